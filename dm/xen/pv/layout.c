/* SPDX-License-Identifier: MIT */
#include "dm/xen/pv/layout.h"

#include <string.h>

#include "dm/xen/public.h"

#define PADDING (512u << 10)
#define END_MASK ((4ull << 20) - 1)
#define PAGES_MAX (1ull << 40) /* 52 bits of physical address; sums of a few of these cannot overflow */

#define PTE_P 0x001u
#define PTE_RW 0x002u
#define PTE_US 0x004u
#define PTE_A 0x020u
#define PTE_D 0x040u
#define PTE_LEAF (PTE_P | PTE_RW | PTE_US | PTE_A)
#define PTE_TABLE (PTE_LEAF | PTE_D)

static uint64_t pages_of(uint64_t bytes)
{
	uint64_t n = bytes / XEN_PAGE_SIZE + (bytes % XEN_PAGE_SIZE != 0);

	return n < PAGES_MAX ? n : PAGES_MAX;
}

static unsigned shift_of(int level)
{
	return XEN_PAGE_SHIFT + 9u * (unsigned)level;
}

/* ---- regions --------------------------------------------------------------------- */

/* Both ends in the same canonical half, and none of it in the hypervisor's slots. */
static bool mappable(uint64_t first, uint64_t last)
{
	if (first > last || first >> 47 != last >> 47)
		return false;
	return first >> 47 == 0 || (first >> 47 == 0x1ffff && first >= HYPERVISOR_VIRT_END);
}

/* Of the tables that cover the region, those that `other` does not have: it lies above and may share the last. */
static void count_level(struct pv_region *r, int level, const struct pv_region *other)
{
	struct pv_tables *t = &r->level[level];

	t->first = r->first >> shift_of(level);
	t->last = r->last >> shift_of(level);
	t->n = t->last - t->first + 1;
	if (other && t->last >= other->level[level].first) {
		t->n = t->first < other->level[level].first ? other->level[level].first - t->first : 0;
		t->last = t->first + t->n - 1;
	}
	r->n_tables += t->n;
}

/* Tables from pfn on, top first. */
static void place_tables(struct pv_region *r, uint64_t pfn)
{
	for (int level = PV_LEVELS - 1; level > 0; level--) {
		r->level[level].pfn = pfn;
		pfn += r->level[level].n;
	}
}

static void count_tables(struct pv_region *r, const struct pv_region *other)
{
	r->n_tables = other ? 0 : 1;
	for (int level = PV_LEVELS - 1; level > 0; level--)
		count_level(r, level, other);
}

/*
 * The end of the first region depends on how many tables there are, and they
 * on the end: both grow until they agree.
 */
static bool end_first(struct pv_region *r, uint64_t next)
{
	uint64_t extra = 1 + PADDING / XEN_PAGE_SIZE, pages = extra;

	do {
		uint64_t bytes = (next + pages) << XEN_PAGE_SHIFT;

		if (bytes > UINT64_MAX - r->first)
			return false;
		r->last = (r->first + bytes - 1) | END_MASK;
		if (!mappable(r->first, r->last))
			return false;
		count_tables(r, NULL);
		pages = r->n_tables + extra;
	} while (pages > ((r->last - r->first) >> XEN_PAGE_SHIFT) + 1 - next);
	return true;
}

/* ---- the layout -------------------------------------------------------------------- */

static const char *make_first(struct pv_layout *l, const struct pv_notes *notes, uint64_t kernel_end,
                              uint64_t ramdisk_size)
{
	struct pv_region *r = &l->region[0];
	uint64_t next = pages_of(kernel_end);

	r->first = notes->virt_base;
	if (ramdisk_size && !notes->mod_start_pfn) {
		l->ramdisk = next;
		next += pages_of(ramdisk_size);
	}
	if (!l->p2m_apart) {
		l->p2m = next;
		next += l->p2m_pages;
	}
	l->start_info = next++;
	l->xenstore = next++;
	l->console = next++;
	if (!end_first(r, next))
		return "what it wants mapped at VIRT_BASE does not fit into the address space there";
	l->root = next;
	place_tables(r, next + 1);
	l->stack = next + r->n_tables;
	l->pages = ((r->last - r->first) >> XEN_PAGE_SHIFT) + 1;
	return NULL;
}

static const char *make_second(struct pv_layout *l, const struct pv_notes *notes)
{
	struct pv_region *r = &l->region[1];

	r->first = notes->init_p2m;
	r->last = r->first + (l->p2m_pages << XEN_PAGE_SHIFT) - 1;
	if (!mappable(r->first, r->last) || r->last >= l->region[0].first)
		return "the list of frames does not fit into the address space at INIT_P2M";
	r->pfn = l->p2m = l->pages;
	count_tables(r, &l->region[0]);
	place_tables(r, r->pfn + l->p2m_pages);
	l->pages += l->p2m_pages + r->n_tables;
	return NULL;
}

const char *pv_layout_make(struct pv_layout *l, const struct pv_notes *notes, uint64_t nr_pages, uint64_t kernel_end,
                           uint64_t ramdisk_size)
{
	const char *why;

	*l = (struct pv_layout){ .nr_pages = nr_pages };
	if (notes->virt_base % XEN_PAGE_SIZE)
		return "its VIRT_BASE is not at a page boundary";
	l->p2m_pages = nr_pages < PAGES_MAX ? pages_of(nr_pages * sizeof(xen_pfn_t)) : PAGES_MAX;
	/* As Xen: a place that is not below the kernel counts for none. */
	l->p2m_apart = notes->init_p2m < notes->virt_base && notes->init_p2m % XEN_PAGE_SIZE == 0;
	why = make_first(l, notes, kernel_end, ramdisk_size);
	if (why)
		return why;
	if (ramdisk_size && notes->mod_start_pfn) {
		l->ramdisk = l->pages;
		l->pages += pages_of(ramdisk_size);
	}
	return l->p2m_apart ? make_second(l, notes) : NULL;
}

/* ---- tables -------------------------------------------------------------------------- */

static bool is_table(const struct pv_layout *l, uint64_t pfn)
{
	const struct pv_region *b = &l->region[1];

	if (pfn >= l->root && pfn < l->root + l->region[0].n_tables)
		return true;
	return l->p2m_apart && pfn >= b->pfn + l->p2m_pages && pfn < b->pfn + l->p2m_pages + b->n_tables;
}

/* What the entry for page `page` (va >> 12) is; 0: not mapped. */
static uint64_t leaf(const struct pv_layout *l, uint64_t page, uint64_t first_frame)
{
	for (int i = 0; i <= l->p2m_apart; i++) {
		const struct pv_region *r = &l->region[i];
		uint64_t first = r->first >> XEN_PAGE_SHIFT, pfn = r->pfn + (page - first);

		if (page >= first && page <= r->last >> XEN_PAGE_SHIFT)
			return (first_frame + pfn) << XEN_PAGE_SHIFT |
			       (is_table(l, pfn) ? PTE_LEAF & ~PTE_RW : PTE_LEAF);
	}
	return 0;
}

/* The entry that refers to table `index` of a level; 0: there is no such table. */
static uint64_t table_entry(const struct pv_layout *l, int level, uint64_t index, uint64_t first_frame)
{
	for (int i = 0; i <= l->p2m_apart; i++) {
		const struct pv_tables *t = &l->region[i].level[level];

		if (t->n && index >= t->first && index <= t->last)
			return (first_frame + t->pfn + (index - t->first)) << XEN_PAGE_SHIFT | PTE_TABLE;
	}
	return 0;
}

/* The index of what a slot refers to. The upper half of the top-level table is the upper canonical half. */
static uint64_t child_of(int level, uint64_t index, uint64_t slot)
{
	if (level == PV_LEVELS)
		return slot < 256 ? slot : slot | (UINT64_MAX >> shift_of(PV_LEVELS - 1) & ~511ull);
	return index << 9 | slot;
}

void pv_layout_table(const struct pv_layout *l, int level, uint64_t index, uint64_t first_frame, uint64_t table[512])
{
	memset(table, 0, XEN_PAGE_SIZE);
	for (uint64_t slot = 0; slot < 512; slot++) {
		uint64_t child = child_of(level, index, slot);

		table[slot] = level == 1 ? leaf(l, child, first_frame) : table_entry(l, level - 1, child, first_frame);
	}
}
