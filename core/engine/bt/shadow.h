/* SPDX-License-Identifier: MIT */
/*
 * mmu = "shadow": shadow page tables between the guest's page tables and the
 * soft TLB. The essay is in shadow.c.
 *
 * Everything here is for vCPUs whose v->spt is not NULL. Functions run on the
 * vCPU's thread (or while it does not run) with the vCPU busy (smp.h). Those
 * that say so take the translator lock, so v->smp.lost may change.
 */
#ifndef BT_SHADOW_H
#define BT_SHADOW_H

#include "engine/bt/bt.h"

/* An entry of the guest's tables as the walk met it. */
struct walk_step {
	void *slot; /* host address of the entry, NULL when it is not in writable memory */
	uint64_t value;
};

/* What the shadow says of a linear address. */
struct shadow_leaf {
	uint64_t value;  /* the guest's leaf entry, with its A set; of a 4M page in the 64-bit form */
	uint64_t rights; /* W and U of all levels */
	uint64_t nx;     /* NX of any level */
	uint64_t frame;  /* guest physical address of the mapping */
	unsigned shift;  /* log2 of the mapping's size */
};

struct shadow;
struct shadow_hit;

/* Counters, of the domain. */
struct shadow_stats {
	uint64_t pages;       /* in use now */
	uint64_t made;        /* shadow pages made */
	uint64_t writes;      /* first stores into write-protected tables */
	uint64_t zaps;        /* entries dropped because the guest's changed */
	uint64_t compared;    /* shadow pages compared with their tables */
	uint64_t protected;   /* tables write-protected (again) */
	uint64_t evicted;     /* shadow pages taken back for lack of room */
};

/*
 * Room for n pages (0: by the size of memory). mem outlives it; NULL for lack
 * of memory. Destroy takes NULL. [control]
 */
struct shadow *shadow_create(struct mem *mem, uint32_t n);
void shadow_destroy(struct shadow *s);
struct shadow_stats shadow_stats(const struct shadow *s); /* zeros of NULL */

/* A vCPU's own part; sets v->spt. 0 or -ENOMEM. finish for any vCPU. [control] */
int shadow_attach(struct bt_vcpu *v, struct shadow *s);
void shadow_detach(struct bt_vcpu *v);

/*
 * Paging is on, and va canonical (32 bits outside long mode). False: the shadow
 * does not know, and the guest's tables are to be walked. No lock.
 */
bool shadow_lookup(struct bt_vcpu *v, uint64_t va, struct shadow_leaf *leaf);

/*
 * Keeps what a walk from the root found: n steps, the last a leaf, with A set
 * in all of them. False: the lock had to be waited for, so the walk is to be made again, and
 * nothing was kept.
 */
bool shadow_install(struct bt_vcpu *v, uint64_t va, const struct walk_step *step, unsigned n);

/* Before a store of the guest into a page: if it is a write-protected table, it is so no more. Takes the lock. */
void shadow_release_slow(struct bt_vcpu *v, uint64_t gpa);

static inline bool shadow_holds(const struct bt_vcpu *v, uint64_t gpa)
{
	return atomic_load_explicit(&v->mem->code[gpa >> PAGE_SHIFT], memory_order_relaxed) & MEM_TABLE;
}

/* Somebody else wrote to the page, or (remapped) it is another page now. With the lock. */
void shadow_changed(struct bt_vcpu *v, uint64_t gpa, bool remapped);
/* Everything is forgotten. Takes the lock, and stops the others. */
void shadow_clear(struct bt_vcpu *v);

/*
 * What the architecture does to the processor's paging caches, after the new
 * CR3 and the like are in force: from here on what the guest stored into its
 * tables is seen. Take the lock.
 */
void shadow_flush(struct bt_vcpu *v);
void shadow_flush_page(struct bt_vcpu *v, uint64_t va);

#endif
