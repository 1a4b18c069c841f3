/* SPDX-License-Identifier: MIT */
/*
 * The page walk.
 *
 * Three formats share one shape: entries are read from the root down, rights
 * are gathered on the way (W and U by and, NX by or), and only when the access
 * is allowed are the accessed and dirty bits set, each by a compare-and-swap
 * against the value that was judged. When one of those fails the guest (or
 * another vCPU) changed the table meanwhile, and the walk starts over.
 *
 * An entry that lies in no memory is read as all ones, which is what an
 * unclaimed read of a PC's bus returns. In the 64-bit formats that is a
 * reserved-bit fault; 32-bit paging can live with it, and so do we.
 */
#include "engine/bt/mmu.h"
#include "engine/bt/pv.h"

#define PTE_P 0x1ull
#define PTE_W 0x2ull
#define PTE_U 0x4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)
#define PTE_KEY(pte) ((unsigned)((pte) >> 59 & 15))
#define PTE_ADDR 0x000ffffffffff000ull
#define PTE_HIGH 0x7ff0000000000000ull /* 62:52: ignored in 4-level paging, reserved in PAE */
#define PDE4M_RESERVED 0x200000ull     /* 32-bit paging with PSE-36: bit 21 of a 4M entry */

/* #PF error code. */
#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u
#define PF_PK 32u

enum walk_end { WALK_LEAF, WALK_ABSENT, WALK_RESERVED };

struct walk {
	struct walk_step step[4];
	unsigned n;
	unsigned shift;  /* log2 of the mapping's size */
	uint64_t rights; /* PTE_W, PTE_U of all levels */
	uint64_t nx;     /* PTE_NX of any level */
	uint64_t frame;  /* guest physical address of the mapping */
};

/* What else is reserved when PS is set at a level; nothing maps 512G. */
static const uint64_t large_reserved[4] = { 0, 0x1fe000, 0x3fffe000, PTE_PS };

static inline void *entry_at(const struct bt_vcpu *v, uint64_t gpa, bool *writable)
{
	enum mem_kind kind = mem_kind(v->mem, gpa);

	*writable = kind == MEM_RAM || kind == MEM_HOST;
	return kind == MEM_NONE ? NULL : v->mem->base + gpa;
}

static inline uint64_t entry64(const struct bt_vcpu *v, uint64_t gpa, struct walk *w)
{
	struct walk_step *s = &w->step[w->n++];
	bool writable;
	uint64_t *slot = entry_at(v, gpa, &writable);

	s->value = slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : ~0ull;
	s->slot = writable ? slot : NULL;
	return s->value;
}

static uint64_t entry32(const struct bt_vcpu *v, uint64_t gpa, struct walk *w)
{
	struct walk_step *s = &w->step[w->n++];
	bool writable;
	uint32_t *slot = entry_at(v, gpa, &writable);

	s->value = slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : ~0u;
	s->slot = writable ? slot : NULL;
	return s->value;
}

/* From the table at `table`, whose entries are of `level` (3: PML4 ... 0: page table), down to a leaf. */
static inline enum walk_end walk64(const struct bt_vcpu *v, uint64_t va, uint64_t table, unsigned level,
                                   uint64_t reserved, struct walk *w)
{
	uint64_t rights = PTE_W | PTE_U, nx = 0;

	for (;; level--) {
		unsigned shift = 12 + 9 * level;
		uint64_t e = entry64(v, table + (va >> shift & 511) * 8, w);
		bool leaf = level == 0 || (e & PTE_PS);

		if (!(e & PTE_P))
			return WALK_ABSENT;
		if (leaf)
			reserved |= large_reserved[level];
		if (e & reserved)
			return WALK_RESERVED;
		rights &= e;
		nx |= e & PTE_NX;
		if (leaf) {
			w->rights = rights;
			w->nx = nx;
			w->shift = shift;
			w->frame = e & PTE_ADDR & ~((1ull << shift) - 1);
			return WALK_LEAF;
		}
		table = e & PTE_ADDR;
	}
}

static enum walk_end walk_pae(const struct bt_vcpu *v, uint64_t va, uint64_t reserved, struct walk *w)
{
	uint64_t pdpte = v->pdpte[va >> 30 & 3];

	if (!(pdpte & PTE_P))
		return WALK_ABSENT;
	return walk64(v, va, pdpte & PTE_ADDR, 1, reserved | PTE_HIGH, w);
}

static enum walk_end walk32(const struct bt_vcpu *v, uint64_t va, struct walk *w)
{
	uint64_t pde = entry32(v, (v->cr3 & 0xfffff000u) + (va >> 22 & 1023) * 4, w), pte;

	w->nx = 0;
	if (!(pde & PTE_P))
		return WALK_ABSENT;
	if ((pde & PTE_PS) && (v->cr4 & CR4_PSE)) {
		w->frame = (pde & 0xffc00000u) | (pde >> 13 & 0xff) << 32;
		if ((pde & PDE4M_RESERVED) || (w->frame & v->pa_reserved))
			return WALK_RESERVED;
		w->shift = 22;
		w->rights = pde;
		return WALK_LEAF;
	}
	pte = entry32(v, (pde & 0xfffff000u) + (va >> 12 & 1023) * 4, w);
	if (!(pte & PTE_P))
		return WALK_ABSENT;
	w->shift = 12;
	w->rights = pde & pte;
	w->frame = pte & 0xfffff000u;
	return WALK_LEAF;
}

/* With SMAP a supervisor's access to a user page must be one of the program's, made with AC set. */
static inline bool smap_forbids(const struct bt_vcpu *v, const struct walk *w, unsigned access)
{
	if (!(v->cr4 & CR4_SMAP) || !(w->rights & PTE_U) || (access & (ACC_USER | ACC_EXEC)))
		return false;
	return (access & ACC_IMPLICIT) || v->cpl == 3 || !(v->rflags & FL_AC);
}

/* Protection keys: PKRU speaks of user pages, whoever accesses them, and IA32_PKRS of the others. */
static bool key_forbids(const struct bt_vcpu *v, const struct walk *w, unsigned access)
{
	bool user = w->rights & PTE_U;
	unsigned bits;

	if ((access & ACC_EXEC) || !bt_long_mode(v) || !(v->cr4 & (user ? CR4_PKE : CR4_PKS)))
		return false;
	bits = (user ? v->pkru : (uint32_t)v->pkrs) >> 2 * PTE_KEY(w->step[w->n - 1].value);
	if (bits & 1)
		return true;
	return (bits & 2) && (access & ACC_WRITE) && ((access & ACC_USER) || (v->cr0 & CR0_WP));
}

static inline bool key_denies(const struct bt_vcpu *v, const struct walk *w, unsigned access)
{
	return (v->cr4 & (CR4_PKE | CR4_PKS)) && key_forbids(v, w, access);
}

/* So that a change of the rights of keys that no page has costs nothing. */
static inline void note_key(struct bt_vcpu *v, const struct walk *w)
{
	if (v->cr4 & (CR4_PKE | CR4_PKS))
		v->pkeys_seen |= 1u << (PTE_KEY(w->step[w->n - 1].value) + (w->rights & PTE_U ? 0 : 16));
}

/* Whether the gathered rights allow the access, keys aside. */
static inline bool walk_allows(const struct bt_vcpu *v, const struct walk *w, unsigned access)
{
	if ((access & ACC_USER) && !(w->rights & PTE_U))
		return false;
	if ((access & ACC_WRITE) && !(w->rights & PTE_W) && ((access & ACC_USER) || (v->cr0 & CR0_WP)))
		return false;
	if (smap_forbids(v, w, access))
		return false;
	if (!(access & ACC_EXEC))
		return true;
	return !w->nx && ((access & ACC_USER) || !(w->rights & PTE_U) || !(v->cr4 & CR4_SMEP));
}

/*
 * Adds bits to an entry, unless it is no longer what was judged, or may not be
 * the right one any more. A page may be a page table and code at once: the bits
 * are visible to its code.
 */
static bool entry_add(struct bt_vcpu *v, struct walk_step *s, uint64_t bits, bool wide)
{
	uint64_t old = s->value, gpa = (uint64_t)((uint8_t *)s->slot - v->mem->base), lost = v->smp.lost;
	uint32_t old32 = (uint32_t)old;
	bool ok;

	if (!v->spt)
		bt_code_write(v, gpa, wide ? 8 : 4);
	if (v->smp.lost != lost)
		return false;
	if (wide)
		ok = __atomic_compare_exchange_n((uint64_t *)s->slot, &old, old | bits, false, __ATOMIC_SEQ_CST,
		                                 __ATOMIC_RELAXED);
	else
		ok = __atomic_compare_exchange_n((uint32_t *)s->slot, &old32, old32 | (uint32_t)bits, false,
		                                 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	s->value |= bits;
	/* The shadow allows for these bits: such a store releases no table. What code sees them hears of it after. */
	if (v->spt && (v->mem->code[gpa >> PAGE_SHIFT] & MEM_CODE))
		bt_code_write_slow(v, gpa, wide ? 8 : 4);
	return ok && v->smp.lost == lost;
}

/* Accessed in every level, dirty in the leaf for a write. False: start over. */
static inline bool walk_mark(struct bt_vcpu *v, struct walk *w, bool write, bool wide)
{
	for (unsigned i = 0; i < w->n; i++) {
		struct walk_step *s = &w->step[i];
		uint64_t need = PTE_A | (write && i == w->n - 1 ? PTE_D : 0);

		if ((s->value & need) == need || !s->slot)
			continue;
		if (!entry_add(v, s, need, wide))
			return false;
	}
	return true;
}

static enum bt_step page_fault(struct bt_vcpu *v, uint64_t va, unsigned access, unsigned cause)
{
	uint32_t error = cause;
	bool fetch_known = (v->cr4 & CR4_SMEP) || ((v->cr4 & CR4_PAE) && (v->efer & EFER_NXE));

	if (access & ACC_NOFAULT)
		return STEP_FAULT;
	error |= (access & ACC_WRITE) ? PF_W : 0;
	error |= (access & ACC_USER) ? PF_U : 0;
	error |= (access & ACC_EXEC) && fetch_known ? PF_I : 0;
	v->exc = (struct bt_exc){ .vector = EXC_PF, .has_error = true, .error = error, .cr2 = va };
	return STEP_FAULT;
}

static enum bt_step walk_unpaged(uint64_t va, struct mmu_page *page)
{
	*page = (struct mmu_page){
		.gpa = va, .size = ~0ull, .writable = true, .user = true, .global = false, .exec = true, .smap = false
	};
	return STEP_OK;
}

static inline void walk_result(struct bt_vcpu *v, uint64_t va, unsigned access, const struct walk *w,
                               struct mmu_page *page)
{
	uint64_t size = 1ull << w->shift, leaf = w->step[w->n - 1].value;
	unsigned write = (access & (ACC_USER | ACC_IMPLICIT)) | ACC_WRITE;

	page->gpa = w->frame | (va & (size - 1));
	page->size = size;
	page->writable = (leaf & PTE_D) && walk_allows(v, w, write) && !key_denies(v, w, write);
	page->user = (w->rights & PTE_U) != 0;
	page->smap = page->user && !(access & ACC_USER) && (v->cr4 & CR4_SMAP);
	page->global = (leaf & PTE_G) && (v->cr4 & CR4_PGE);
	page->exec = walk_allows(v, w, (access & ACC_USER) | ACC_EXEC);
	/* Where large pages were executed: invlpg must forget jumps into all of such a page. */
	if ((access & ACC_EXEC) && size > PAGE_SIZE)
		hull_add(v, HULL_CODE, va, size);
}

/* The walk without the walk: true when the shadow has it and allows the access. */
static inline bool walk_shadow(struct bt_vcpu *v, uint64_t va, unsigned access, struct walk *w)
{
	struct shadow_leaf leaf;

	if (!shadow_lookup(v, va, &leaf))
		return false;
	w->n = 1;
	w->step[0] = (struct walk_step){ .value = leaf.value };
	w->shift = leaf.shift;
	w->rights = leaf.rights;
	w->nx = leaf.nx;
	w->frame = leaf.frame;
	return walk_allows(v, w, access) && !key_denies(v, w, access) &&
	       (!(access & ACC_WRITE) || (leaf.value & PTE_D));
}

static void note_table(uint32_t seen[2], uint32_t region)
{
	if (seen[0] == region || seen[0] == PV_REGIONS)
		return;
	if (seen[0] == 0 || region == PV_REGIONS)
		seen[0] = region;
	else if (seen[1] == 0 || seen[1] == region)
		seen[1] = region;
	else
		seen[0] = PV_REGIONS;
}

/*
 * The upper half of a PV guest's spaces is kept over changes of the root that
 * leave it as it is (see pv-space.c), for which the tables behind it are noted.
 */
static void note_upper(struct bt_vcpu *v, uint64_t va, const struct walk *w, struct mmu_page *page)
{
	if (!w->step[0].slot)
		return;
	/* The top-level table is looked at when it is replaced, or changed while in force. */
	for (unsigned i = 1; i < w->n; i++) {
		uint64_t gpa = (uint64_t)((const uint8_t *)w->step[i].slot - v->mem->base);

		if (!w->step[i].slot)
			return;
		note_table(v->pv.upper[gpa >> PAGE_SHIFT].region, i == 3 ? PV_REGION(va) : PV_REGIONS);
	}
	page->global = true;
}

enum bt_step mmu_walk(struct bt_vcpu *v, uint64_t va, unsigned access, struct mmu_page *page)
{
	bool lma = bt_long_mode(v), wide = (v->cr4 & CR4_PAE) != 0;
	uint64_t reserved = v->pa_reserved | (v->efer & EFER_NXE ? 0 : PTE_NX);
	enum walk_end end;
	struct walk w;

	if (!lma)
		va = (uint32_t)va;
	else if ((uint64_t)((int64_t)(va << 16) >> 16) != va)
		return access & ACC_NOFAULT ? STEP_FAULT : bt_fault_error(v, EXC_GP, 0);
	if (!(v->cr0 & CR0_PG))
		return walk_unpaged(va, page);
	if (v->spt && walk_shadow(v, va, access, &w)) {
		note_key(v, &w);
		walk_result(v, va, access, &w, page);
		return STEP_OK;
	}
	v->n_walk++;
	do {
		w.n = 0;
		if (lma)
			end = walk64(v, va, v->cr3 & PTE_ADDR, 3, reserved, &w);
		else if (wide)
			end = walk_pae(v, va, reserved, &w);
		else
			end = walk32(v, va, &w);
		if (end != WALK_LEAF)
			return page_fault(v, va, access, end == WALK_RESERVED ? PF_P | PF_RSVD : 0);
		if (key_denies(v, &w, access))
			return page_fault(v, va, access, PF_P | PF_PK);
		if (!walk_allows(v, &w, access))
			return page_fault(v, va, access, PF_P);
	} while (!(access & ACC_NOFAULT) &&
	         (!walk_mark(v, &w, access & ACC_WRITE, wide) || (v->spt && !shadow_install(v, va, w.step, w.n))));
	note_key(v, &w);
	walk_result(v, va, access, &w, page);
	if (bt_is_pv(v) && va >> 63)
		note_upper(v, va, &w, page);
	return STEP_OK;
}
