/* SPDX-License-Identifier: MIT */
/*
 * Where everything of a PV guest lies when it starts, in pages, and the page
 * tables that map it. Arithmetic alone: no host, no guest memory.
 *
 * The layout is the one of xen.h ("Start-of-day memory layout"), as Xen's tool
 * stack makes it:
 *
 *     page 0 = VIRT_BASE
 *       the kernel, where its segments say
 *       the ramdisk                    unless it need not be mapped
 *       the list of machine frames     unless it has a place of its own
 *       start_info, xenstore ring, console ring
 *       page tables of this region
 *       a page of stack
 *       at least 512 KiB of nothing, up to a 4 MiB boundary
 *     end of what VIRT_BASE maps
 *       the ramdisk                    with MOD_START_PFN
 *       the list, and its page tables  mapped at INIT_P2M
 *
 * Page tables are counted by level from the ranges that they cover: a table of
 * level l has the index va >> (12 + 9 * l). The second region takes part in
 * tables that the first has already; where it has its own, they lie behind its
 * list.
 */
#ifndef DM_XEN_PV_LAYOUT_H
#define DM_XEN_PV_LAYOUT_H

#include <stdbool.h>

#include "dm/xen/pv/notes.h"

#define PV_LEVELS 4

/* Tables of one level: of indices first to last, at pfn on. */
struct pv_tables {
	uint64_t first, last, pfn;
	uint64_t n; /* 0: none */
};

struct pv_region {
	uint64_t first, last; /* virtual addresses, of the first and the last byte */
	uint64_t pfn;         /* of the first page */
	struct pv_tables level[PV_LEVELS]; /* [1]: L1 tables ... [3]: L3 tables; [0] is not used */
	uint64_t n_tables;    /* of all levels, the top-level table among them */
};

struct pv_layout {
	uint64_t nr_pages;  /* of the guest */
	uint64_t ramdisk, p2m, start_info, xenstore, console, root, stack; /* page numbers */
	uint64_t p2m_pages; /* of the list */
	uint64_t pages;     /* all that must be there: one more than the highest page number */
	bool p2m_apart;     /* the second region exists */
	struct pv_region region[2];
};

/*
 * kernel_end: bytes from page 0 to the kernel's last one. NULL, or why there is
 * no such layout: a clause. nr_pages is not checked against.
 */
const char *pv_layout_make(struct pv_layout *layout, const struct pv_notes *notes, uint64_t nr_pages,
                           uint64_t kernel_end, uint64_t ramdisk_size);

/* The virtual address of a page of the first region. */
static inline uint64_t pv_layout_va(const struct pv_layout *l, uint64_t pfn)
{
	return l->region[0].first + (pfn << 12);
}

/*
 * Fills in one table of level 1 to 4 with the given index (0 for level 4).
 * first_frame is the machine frame of page 0, from which all pages of the
 * layout follow one by one.
 */
void pv_layout_table(const struct pv_layout *l, int level, uint64_t index, uint64_t first_frame, uint64_t table[512]);

#endif
