/* SPDX-License-Identifier: MIT */
/*
 * What the files of the memory half share; see pv.h for which is which. All of
 * them are built vector-free. What is marked slow calls the host and may not be
 * reached from pv_mmu_fast.
 *
 * Locking. With one vCPU there is none. Otherwise everything below "one change"
 * is called with the domain's spin lock held; the engine's read and write are
 * called without it where they can be.
 */
#ifndef DM_XEN_PV_MMU_H
#define DM_XEN_PV_MMU_H

#include <errno.h>

#include "dm/xen/pv/pv.h"

#define PTE_P 0x001ull
#define PTE_RW 0x002ull
#define PTE_U 0x004ull
#define PTE_PWT 0x008ull
#define PTE_PCD 0x010ull
#define PTE_A 0x020ull
#define PTE_D 0x040ull
#define PTE_PSE 0x080ull /* PAT in an L1 entry */
#define PTE_G 0x100ull
#define PTE_GRANT (1ull << 62) /* a software bit that Xen keeps from guests in L1 entries */
#define PTE_NX (1ull << 63)
#define PTE_FRAME 0x000ffffffffff000ull

#define PT_ENTRIES 512u
#define FRAMES_MAX (PTE_FRAME >> XEN_PAGE_SHIFT)

/* Not an errno: only a caller that may call the host can tell. */
#define PV_NEEDS_SLOW 1

/* A vCPU's window: its GDT, the monitor's descriptors in the last page but one, and its LDT. */
#define WINDOW_PAGES 32u
#define GDT_PAGES 16u
#define FLAT_PAGE 14u
#define LDT_PAGES 16u
#define GDT_ENTRIES_MAX (FLAT_PAGE * 512u)
#define LDT_ENTRIES_MAX 8192u

struct pv_mmu {
	/* ---- one a frame, beside pv_domain.use (frame.c) ---- */
	uint32_t *ref;   /* references that hold the use; 0: it may change */
	uint32_t *stale; /* the clock when a translation that may write was last taken away unflushed */
	uint32_t clock;
	uint32_t *flushed; /* a vCPU: the clock when it last forgot everything */
	bool lock;

	/* ---- the monitor's own pages (m2p.c): one run ---- */
	struct gamut_page *pages;
	uint64_t gpa, n_pages, n_mapped;
	uint64_t slot[GAMUT_PV_HOLE_SLOTS]; /* of every top-level table */
	uint64_t m2p_entry;                 /* in slot m2p_slot, and in slot 0 when that is free */
	uint32_t m2p_slot;
	uint64_t *window;                   /* L1 entries of all windows, WINDOW_PAGES a vCPU */
	uint64_t window_gpa, window_va;
	uint64_t flat_gpa, zero_gpa;        /* the monitor's descriptors; a page without any */
};

/* One change: on whose account it is, and what it has to do at the end. */
struct pv_op {
	struct pv_domain *d;
	struct pv_vcpu *v;        /* whose roots and window */
	struct gamut_pv_cpu *cpu; /* of the vCPU that runs the handler: v's, but while v is being set up by another */
	bool slow;                /* the host may be called */
	bool at_va;               /* the L1 entry that changes maps va and nothing else */
	uint64_t va;
	bool new_root[2];         /* to be told to the engine */
	uint64_t old_root[2];     /* to be let go of after that; 0: none */
};

/* ---- lock ---- */

static inline void pv_lock(struct pv_domain *d)
{
	while (d->n_vcpus > 1 && __atomic_test_and_set(&d->mmu->lock, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static inline void pv_unlock(struct pv_domain *d)
{
	if (d->n_vcpus > 1)
		__atomic_clear(&d->mmu->lock, __ATOMIC_RELEASE);
}

/* Under the lock, so that no two add at a time; others look. */
static inline void pv_sign(uint64_t *sign)
{
	__atomic_store_n(sign, __atomic_load_n(sign, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* ---- guest memory ---- */

static inline uint64_t pte_mfn(uint64_t entry)
{
	return (entry & PTE_FRAME) >> XEN_PAGE_SHIFT;
}

/* An entry, or eight bytes of anything, of a frame that pv_frame_ok said yes to. */
static inline uint64_t pv_load(const struct pv_domain *d, uint64_t gpa)
{
	return __atomic_load_n((const uint64_t *)(d->ram + gpa), __ATOMIC_RELAXED);
}

/* Whether Xen lets a guest use the linear address: canonical, and not the monitor's. */
static inline bool pv_addr_ok(uint64_t va)
{
	return va < 1ull << 47 || va >= 0xffff880000000000ull;
}

static inline bool pv_is_hole(uint64_t slot)
{
	return slot - GAMUT_PV_HOLE_FIRST < GAMUT_PV_HOLE_SLOTS;
}

/* ---- frame.c ---- */

static inline enum pv_use pv_use_of(const struct pv_domain *d, uint64_t mfn)
{
	return (enum pv_use)(__atomic_load_n(&d->use[mfn], __ATOMIC_RELAXED) & PV_USE);
}

static inline bool pv_is_table(enum pv_use use)
{
	return use >= PV_L1 && use <= PV_L4;
}

/* RAM that is used as this now: a table of a level, descriptors. */
bool pv_frame_is(const struct pv_domain *d, uint64_t mfn, enum pv_use use);

/*
 * One reference to the frame in the given use. The first one checks and repairs
 * what is in it. 0; -EINVAL and the like; PV_NEEDS_SLOW. Failure changes nothing,
 * but repairs that were made stay.
 */
int pv_frame_get(struct pv_op *op, uint64_t mfn, enum pv_use use);
void pv_frame_put(struct pv_op *op, uint64_t mfn, enum pv_use use);
/* A writable mapping of the frame has gone from a table. */
void pv_frame_unmapped(struct pv_op *op, uint64_t mfn);

/* Forgets the translations of one page, or all (va GAMUT_PV_KEEP), on the running vCPU and on the others. */
void pv_flush(struct pv_op *op, uint64_t va, bool self, bool others);
/* The vCPU has just forgotten everything for another reason. */
void pv_flushed(struct pv_vcpu *v);

/* ---- pte.c ---- */

/* The references that a present entry of a table of the level holds. As pv_frame_get. */
int pv_entry_get(struct pv_op *op, enum pv_use level, uint64_t entry);
void pv_entry_put(struct pv_op *op, enum pv_use level, uint64_t entry);
/* A present entry as it is stored. */
uint64_t pv_entry_fix(enum pv_use level, uint64_t entry);
/*
 * One change: entry `gpa` of a table in use as level. old NULL: whatever is there
 * is replaced; else -EAGAIN when that is no longer there. keep_ad: A and D stay.
 */
int pv_entry_set(struct pv_op *op, enum pv_use level, uint64_t gpa, uint64_t entry, bool keep_ad, const uint64_t *old);

/* ---- pin.c ---- */

/* What pv_frame_get and _put need when a use begins and ends. */
int pv_table_check(struct pv_op *op, uint64_t mfn, enum pv_use level);
void pv_table_drop(struct pv_op *op, uint64_t mfn, enum pv_use level, uint32_t entries);
int pv_pin(struct pv_op *op, uint64_t mfn, enum pv_use level);
int pv_unpin(struct pv_op *op, uint64_t mfn);
/* One of op->v's roots becomes mfn; takes effect with pv_roots_commit, which every caller owes. */
int pv_root_set(struct pv_op *op, int which, uint64_t mfn);
void pv_roots_commit(struct pv_op *op);

/* ---- descriptor.c ---- */

/* The frame's descriptors as the guest may have them; -EINVAL. */
int pv_descriptors_check(struct pv_op *op, uint64_t mfn);
/* The windows of all vCPUs without anything of the guest in them. [control] */
void pv_windows_init(struct pv_domain *d);
/* The kernel's root is another one: the LDT is looked up anew. */
void pv_ldt_refresh(struct pv_op *op);
int pv_set_ldt_op(struct pv_op *op, uint64_t va, uint32_t entries);
/* The page with this offset of the LDT is missing: PV_DONE, or PV_NOT_MINE and v->cpu->cr2 is the guest's. slow */
int pv_ldt_fault(struct pv_vcpu *v, uint64_t offset);
/* Offset of va in the vCPU's LDT window; -1: it is not in there. */
int64_t pv_ldt_offset(const struct pv_vcpu *v, uint64_t va);
int64_t pv_hc_set_gdt(void *opaque, struct gamut_hypercall *call);
int64_t pv_hc_update_descriptor(void *opaque, struct gamut_hypercall *call);

/* ---- mmu-update.c, mmuext.c, va-mapping.c ---- */

/* Begins a change on the slow path; v is the vCPU whose roots and window it is about. */
struct pv_op pv_op_slow(struct pv_vcpu *v);
/* 0 for the domain itself, else what Xen says of another. slow */
int pv_foreign(const struct pv_domain *d, uint32_t domid);

/*
 * Runs one after the other, for mmu_update and mmuext_op: args are list, count,
 * pdone, domain. slow
 */
typedef int (*pv_item_fn)(struct pv_op *op, const void *item);
int64_t pv_list(struct pv_domain *d, struct gamut_hypercall *call, uint32_t size, pv_item_fn fn);

int pv_update_one(struct pv_op *op, const struct mmu_update *req);
int64_t pv_hc_mmu_update(void *opaque, struct gamut_hypercall *call);
int pv_mmuext_one(struct pv_op *op, const struct mmuext_op *e);
int64_t pv_hc_mmuext_op(void *opaque, struct gamut_hypercall *call);
/* Whether a bitmap of vCPUs names this one, and any other; -EFAULT. */
int pv_vcpu_mask(struct pv_op *op, uint64_t bitmap, bool *self, bool *others);

/* The L1 entry that maps va in a space: its guest physical address, or GAMUT_GPA_NONE. */
uint64_t pv_walk(const struct pv_domain *d, uint64_t root_mfn, uint64_t va);
/* The change of update_va_mapping, without flushes. */
int pv_update_va(struct pv_op *op, uint64_t va, uint64_t entry);
int64_t pv_hc_update_va(void *opaque, struct gamut_hypercall *call);
int64_t pv_hc_update_va_other(void *opaque, struct gamut_hypercall *call);

#endif
