/* SPDX-License-Identifier: MIT */
/* Shadow pages and their entries: what shadow.c and shadow-pool.c share. The essay is in shadow.c. */
#ifndef BT_SHADOW_INTERNAL_H
#define BT_SHADOW_INTERNAL_H

#include "engine/bt/mmu.h"
#include "engine/bt/shadow.h"
#include "engine/bt/smp.h"

#define PTE_P 0x1ull
#define PTE_W 0x2ull
#define PTE_U 0x4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_NX (1ull << 63)
#define PTE_SOFT 0xe00ull /* ignored by processors: not kept */
#define PTE_ADDR 0x000ffffffffff000ull
#define PTE_HIGH 0x7ff0000000000000ull
#define SPT_TABLE 0x200ull /* in our entries: leads to the shadow page whose number is in ADDR */
#define SPT_UPPER (PTE_P | PTE_W | PTE_U | PTE_A | PTE_PS | PTE_NX) /* of the guest's upper entries, in ours */

/* Roles: fit below a table's address. */
#define ROLE_LEVEL 3u
#define ROLE_32 (1u << 2)
#define ROLE_PAE (2u << 2)
#define ROLE_LONG (3u << 2)
#define ROLE_FORMAT (3u << 2)
#define ROLE_PART_SHIFT 4
#define ROLE_PART (3u << ROLE_PART_SHIFT)
#define ROLE_NX (1u << 6)
#define ROLE_PSE (1u << 7)

#define ENTRIES 512u
#define OWNER_ANY (~0ull)

#define HITS 256u

struct shadow_page {
	struct shadow_page *next;      /* in the hash chain; still leads on after it was taken off */
	struct shadow_page *free_next;
	uint64_t *e;
	uint64_t gpa;     /* of the table */
	uint64_t owner;   /* the root it was found under, OWNER_ANY for several; 0: none yet */
	uint64_t filled;  /* a bit for eight entries: one of them may be something */
	uint32_t parents; /* entries that lead here */
	uint32_t round;   /* when it was last looked at */
	uint32_t loose;   /* 1 + place in the list of loose pages; 0: protected */
	uint16_t role;
	uint8_t quiet;
	bool live;
};

struct shadow {
	struct mem *mem;
	struct shadow_page *page;
	uint64_t *entries;
	uint32_t n, n_free;
	struct shadow_page **hash;
	unsigned hash_bits;
	struct shadow_page *free;
	struct shadow_page *limbo; /* dropped: another vCPU may still look at it */
	struct shadow_page **loose;
	uint32_t n_loose;
	uint32_t round;
	uint64_t gen;
	struct shadow_stats stats;
};

/* The last table on the way to a 2M region. */
struct shadow_hit {
	uint64_t region, key, gen;
	struct shadow_page *page;
	uint64_t *table; /* of the page */
	uint64_t rights, nx;
	unsigned shift; /* of an entry of table */
	unsigned size;  /* log2 of what it maps */
};

/* ---- the guest's side ---------------------------------------------------------------- */

/* The table that the translation of va starts from, with its role. False: there is none. */
static inline bool root_key(const struct bt_vcpu *v, uint64_t va, uint64_t *key)
{
	unsigned nx = v->efer & EFER_NXE ? ROLE_NX : 0;

	if (bt_long_mode(v)) {
		*key = (v->cr3 & PTE_ADDR) | ROLE_LONG | 3 | nx;
	} else if (v->cr4 & CR4_PAE) {
		*key = (v->pdpte[va >> 30 & 3] & PTE_ADDR) | ROLE_PAE | 1 | nx;
		return v->pdpte[va >> 30 & 3] & PTE_P;
	} else {
		*key = (v->cr3 & 0xfffff000u) | ROLE_32 | 1 | (v->cr4 & CR4_PSE ? ROLE_PSE : 0) |
		       (va >> 30 & 3) << ROLE_PART_SHIFT;
	}
	return true;
}

static inline uint64_t owner_of_key(uint64_t key)
{
	return key & ~(uint64_t)ROLE_PART;
}

static inline unsigned level_of(unsigned role)
{
	return role & ROLE_LEVEL;
}

static inline bool is_root(unsigned role)
{
	return level_of(role) == ((role & ROLE_FORMAT) == ROLE_LONG ? 3 : 1);
}

static inline unsigned shift_of(unsigned role)
{
	return 12 + 9 * level_of(role);
}

static inline unsigned index_of(unsigned role, uint64_t va)
{
	return va >> shift_of(role) & (ENTRIES - 1);
}

static inline unsigned child_role(unsigned role, uint64_t va)
{
	unsigned child = (role & ~ROLE_PART) - 1;

	return (role & ROLE_FORMAT) == ROLE_32 ? child | (va >> 21 & 1) << ROLE_PART_SHIFT : child;
}

/* The guest's entry behind entry i. Tables are in memory that stays readable. */
static inline uint64_t spt_guest_entry(const struct shadow *s, const struct shadow_page *p, unsigned i)
{
	const uint8_t *table = s->mem->base + p->gpa;
	unsigned at = (p->role & ROLE_PART) >> ROLE_PART_SHIFT << 9 | i;

	if ((p->role & ROLE_FORMAT) != ROLE_32)
		return __atomic_load_n((const uint64_t *)(const void *)table + i, __ATOMIC_SEQ_CST);
	if (level_of(p->role) == 1)
		at >>= 1;
	return __atomic_load_n((const uint32_t *)(const void *)table + at, __ATOMIC_SEQ_CST);
}

/* ---- entries --------------------------------------------------------------------------- */

static inline uint64_t leaf_entry(unsigned role, uint64_t value)
{
	if ((role & ROLE_FORMAT) == ROLE_32 && level_of(role) == 1)
		return (value & 0xffe001ffu) | (value >> 13 & 0xff) << 32;
	return value & ~PTE_SOFT;
}

static inline uint64_t table_entry(const struct shadow *s, const struct shadow_page *child, uint64_t value)
{
	return SPT_TABLE | (uint64_t)(child - s->page) << PAGE_SHIFT | (value & SPT_UPPER);
}

static inline uint64_t table_gpa(unsigned role, uint64_t value)
{
	return value & ((role & ROLE_FORMAT) == ROLE_PAE ? PTE_ADDR | PTE_HIGH : PTE_ADDR);
}

static inline struct shadow_page *child_of(const struct shadow *s, uint64_t e)
{
	return &s->page[(e & PTE_ADDR) >> PAGE_SHIFT];
}

/* Whether entry e is what `value` in the guest's table asks for. D may have come since. */
static inline bool spt_agrees(const struct shadow *s, unsigned role, uint64_t e, uint64_t value)
{
	uint64_t differ;

	if (e & SPT_TABLE)
		return e == table_entry(s, child_of(s, e), value) && table_gpa(role, value) == child_of(s, e)->gpa;
	differ = leaf_entry(role, value) ^ e;
	return !(differ & ~PTE_D) && !(differ & e);
}

static inline uint64_t entry_get(const uint64_t *e)
{
	return __atomic_load_n(e, __ATOMIC_SEQ_CST);
}

static inline bool entry_swap(uint64_t *e, uint64_t old, uint64_t new)
{
	return __atomic_compare_exchange_n(e, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static inline void note_filled(struct shadow_page *p, unsigned i)
{
	uint64_t bit = 1ull << i / 8;

	if (!(__atomic_load_n(&p->filled, __ATOMIC_SEQ_CST) & bit))
		__atomic_fetch_or(&p->filled, bit, __ATOMIC_SEQ_CST);
}

/* ---- finding shadow pages ------------------------------------------------------------ */

static inline struct shadow_page **bucket(const struct shadow *s, uint64_t gpa)
{
	return &s->hash[(uint32_t)(gpa >> PAGE_SHIFT) * 0x9e3779b1u >> (32 - s->hash_bits)];
}

static inline struct shadow_page *chain(struct shadow_page *const *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static inline struct shadow_page *spt_find(const struct shadow *s, uint64_t key)
{
	struct shadow_page *p = chain(bucket(s, key & PTE_ADDR));

	while (p && (p->gpa | p->role) != key)
		p = chain(&p->next);
	return p;
}

/* The next shadow page of this table, from p on. */
static inline struct shadow_page *same_table(struct shadow_page *p, uint64_t gpa)
{
	while (p && p->gpa != gpa)
		p = p->next;
	return p;
}

#define FOR_EACH_SHADOW(s, at, p)                                                                        \
	for (struct shadow_page *p = same_table(*bucket(s, at), at), *next_ = NULL;                      \
	     p && (next_ = same_table(p->next, at), true); p = next_)

/* ---- the pool ------------------------------------------------------------------------- */

/* shadow-pool.c. All with the lock. */
void spt_list_loose(struct shadow *s, struct shadow_page *p);
void spt_unlist_loose(struct shadow *s, struct shadow_page *p);
/* MEM_TABLE of the page. */
void spt_code_byte(struct shadow *s, uint64_t gpa, bool table);
/* Entry i of p, which was e, goes; with it the page that it led to, if nothing else does. */
void spt_zap(struct bt_vcpu *v, struct shadow_page *p, unsigned i, uint64_t e);
void spt_empty(struct bt_vcpu *v, struct shadow_page *p);
/* Those not looked at since round `keep` go. The others are stopped. */
void spt_evict(struct bt_vcpu *v, uint32_t keep);
/* Four pages at least. May take any page away, and stops the others. */
void spt_make_room(struct bt_vcpu *v);
/* There is room. */
struct shadow_page *spt_find_or_make(struct bt_vcpu *v, uint64_t key);

#endif
