/* SPDX-License-Identifier: MIT */
/*
 * Guest paging: the two-dimensional walk (guest tables over the linear
 * guest-physical space of core/mem.h), the soft TLB, and guest memory as C
 * code reads and writes it. With mmu = "shadow" the walk is made where the
 * shadow page tables (shadow.h) do not know the answer.
 *
 * Sources: Intel SDM vol. 3 chapter 4, AMD APM vol. 2 chapter 5.
 */
#ifndef BT_MMU_H
#define BT_MMU_H

#include "engine/bt/bt.h"
#include "engine/bt/shadow.h"

enum mmu_access {
	ACC_READ = 0,
	ACC_WRITE = 1,
	ACC_EXEC = 2,
	ACC_USER = 4,   /* as CPL 3; else supervisor */
	ACC_NOFAULT = 8, /* do not touch v->exc, nor A and D bits */
	ACC_IMPLICIT = 32, /* of the processor's own, to a table or TSS: SMAP holds whatever AC says; equals TLB_SMAP */
	ACC_NOMMIO = 16  /* mmu_read, mmu_write: what is not memory reads as ones and ignores writes (never STEP_EXIT) */
};

struct mmu_page {
	uint64_t gpa;    /* of the byte asked for */
	uint64_t size;   /* of the mapping: 4K, 2M, 4M, 1G; all ones with paging off */
	bool writable;   /* a write by the same privilege needs no further walk (W, and D set) */
	bool user, global, exec;
	bool smap;       /* a supervisor may access it, and only because EFLAGS.AC says so */
};

/*
 * Walks for one byte at linear address va. Sets A (and D for writes) by
 * compare-and-swap on the host page. STEP_OK, or STEP_FAULT with #PF (error
 * code P W U RSVD I exact) or, for a non-canonical va in 64-bit mode, #GP(0)
 * (the caller turns it into #SS for stack references).
 */
enum bt_step mmu_walk(struct bt_vcpu *v, uint64_t va, unsigned access, struct mmu_page *page);

/* The table that an access uses. In a PV guest supervisor accesses find only what ring 3 may do, too. */
static inline int mmu_table(const struct bt_vcpu *v, unsigned access)
{
	if (bt_is_pv(v))
		return v->pv.user;
	return access & ACC_USER ? TLB_USER : TLB_KERNEL;
}

static inline unsigned mmu_rights(const struct bt_vcpu *v)
{
	return v->cpl == 3 ? ACC_USER : 0;
}

/*
 * Serves a TLB miss of translated code: walk, and fill the entry of the table
 * for the access's privilege where the page is RAM. On STEP_OK *entry is the
 * filled entry, or NULL when the page is not plain memory (hole, MMIO; a write
 * to ROM or to a page with code): the caller goes another way. Honours
 * mem->kind, mem->code: tag_w stays invalid for ROM and pages with code and
 * until D is set. A PV guest's supervisor accesses fill nothing.
 */
enum bt_step tlb_fill(struct bt_vcpu *v, uint64_t va, unsigned access, struct tlb_entry **entry, struct mmu_page *page);

void tlb_init(struct bt_vcpu *v);                    /* all invalid, lists empty */
void tlb_flush(struct bt_vcpu *v, bool global);      /* also jc_flush */
void tlb_flush_table(struct bt_vcpu *v, int table, bool global);  /* of a PV guest: one space, with its class of the jump cache */
/* Ranges of virtual addresses that are treated as a whole: pages of 1G, large pages that were executed. */
enum tlb_hull { HULL_1G, HULL_CODE };
void hull_add(struct bt_vcpu *v, enum tlb_hull hull, uint64_t va, uint64_t size);
void tlb_flush_page(struct bt_vcpu *v, uint64_t va); /* invlpg: also when a large page maps it; also jc_flush_page */
/* SMAP: a user page in the kernel's table is there while explicit accesses may reach it. From bt_update_key. */
void tlb_smap(struct bt_vcpu *v, bool open);
void tlb_drop_data(struct bt_vcpu *v, uint64_t va);  /* of a page that cannot hold code, not part of a large one: no jc flush */
/* Some page of guest physical memory became code or changed kind: drop write tags (or all tags) that lead to it. */
void tlb_protect_gpa(struct bt_vcpu *v, uint64_t gpa, bool all);

/* What instructions do that invalidate: to the TLB, and to shadow page tables. May take the translator lock. */
static inline void mmu_flush(struct bt_vcpu *v, bool global)
{
	tlb_flush(v, global);
	if (v->spt)
		shadow_flush(v);
}

static inline void mmu_flush_page(struct bt_vcpu *v, uint64_t va)
{
	tlb_flush_page(v, va);
	if (v->spt)
		shadow_flush_page(v, va);
}

/*
 * Reads and writes at linear addresses with the given privilege (ACC_USER or
 * 0), any length up to 4096, crossing pages as need be. A write checks both
 * pages before it changes a byte. MMIO goes through v->replay and returns
 * STEP_EXIT with v->exit filled (see interp.h). Writes to pages with code
 * invalidate it. Fast when the TLB has the page.
 */
enum bt_step mmu_read(struct bt_vcpu *v, uint64_t va, void *buf, unsigned len, unsigned access);
enum bt_step mmu_write(struct bt_vcpu *v, uint64_t va, const void *buf, unsigned len, unsigned access);
/*
 * A host pointer for a read-modify-write of len bytes within one page of RAM,
 * already checked for writing and cleared of code; NULL with STEP_OK when it
 * is MMIO or crosses a page: the caller then uses mmu_read and mmu_write.
 */
enum bt_step mmu_rmw(struct bt_vcpu *v, uint64_t va, unsigned len, unsigned access, void **host);
/*
 * Host address of the 16 bytes at linear va, for execution; NULL when the page
 * ends before that or is no memory: mmu_fetch then. Good until the next walk,
 * lock or flush; the bytes may change meanwhile. Faults as a fetch.
 */
enum bt_step mmu_text(struct bt_vcpu *v, uint64_t va, const void **text);
/*
 * Instruction bytes at linear va, at most len, not beyond the page's end
 * unless `cross`; *got says how many. Faults as a fetch. In real mode too. What
 * is no memory is read through v->replay, as by mmu_read.
 */
enum bt_step mmu_fetch(struct bt_vcpu *v, uint64_t va, uint8_t *buf, unsigned len, unsigned *got);

#endif
