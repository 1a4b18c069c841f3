/* SPDX-License-Identifier: MIT */
/*
 * Shadow page tables.
 *
 * With mmu = "hap" a miss of the soft TLB walks the guest's tables, as a
 * processor with nested paging does. With mmu = "shadow" it looks in tables of
 * our own, as a processor without nested paging would: they hold finished
 * translations, are filled as the guest touches pages, are shared by all vCPUs,
 * and outlive changes of CR3. The soft TLB stands before either.
 *
 * Shadow pages. A shadow page belongs to one guest table page in one role:
 * format, level, whether NX and PSE are on, and, for 32-bit paging, which part
 * of the table. Its 512 entries have one shape for all formats. An upper entry
 * is the number of the next shadow page with the guest entry's rights; a leaf
 * is the guest's leaf entry, judged (no reserved bit, A set). 32-bit tables
 * have the geometry of PAE: a table of 1024 entries has two shadow pages, a
 * directory four with two entries for each of its own, which is how a 4M page
 * becomes a leaf like any other. A table that is used at several levels, as
 * recursive mappings do, has a shadow page for each.
 *
 * CR0.WP, SMEP, SMAP and protection keys are in no role: rights are kept as the
 * guest gave them and judged by who asks (walk_allows), so that changing such a
 * bit costs nothing. Writing needs D in the leaf; without it the guest's tables
 * are walked, which sets it. In short: what the shadow does not allow is walked
 * anew, so every fault is the guest's tables' own.
 *
 * Frames. Guest physical space is linear in host addresses (core/mem.h), so a
 * guest frame is a host address but for one constant, and what lies there -
 * RAM, ROM, a host's page, MMIO, code - is one byte that tlb_fill asks anyway.
 * Leaves therefore hold frames: a page that is remapped changes no leaf, and a
 * large page need not be splintered where memory of several kinds lies in it.
 * Only when a table itself is remapped is its shadow emptied. Tables outside
 * of RAM are not shadowed: walked each time, as with hap.
 *
 * Who may store into a table. Stale entries are what a processor's TLB may
 * have, too: until the guest loads CR3 or executes invlpg. So a shadowed table
 * is in one of two states.
 *
 *	protected  mem->code has MEM_TABLE: no vCPU has a write tag for the page.
 *	           Its shadow pages agree with it. A store comes to C
 *	           (shadow_release) and makes it
 *	loose      Stores are as fast as any. Its shadow pages are in a list.
 *	           What invalidates compares them with the table, and zaps the
 *	           entries that differ and no other.
 *
 * Every table starts loose, since a table that has just been made is likely
 * still to be filled, and is protected when QUIET comparisons have found
 * nothing. This is what KVM and Xen call out of sync, for all levels alike.
 * A fork that write-protects 500 pages costs one trap and one comparison.
 *
 * Only those loose tables are compared that can be reached from the root that
 * is in force: a shadow page knows its owner, the root under which it was
 * found, or that there were several. invlpg forgets paging-structure caches for
 * all addresses (SDM vol. 3, 4.10.4.1): it compares all loose upper tables, and
 * of the lowest level just the one entry.
 *
 * Protecting a page means finding the write tags that lead to it. A TLB can
 * only be searched by address; so with shadow paging a vCPU notes for each
 * frame where its write tag is (wtag), as long as there is but one.
 *
 * Several vCPUs. Lookups, and stores of leaves into pages that are there, take
 * no lock; all else takes the translator lock. A leaf is stored first and the
 * guest's entry read again after that; a protector takes the write tags away
 * (stopping vCPUs that may have one, by the same bits that code pages use) and
 * compares after that: so one sees the other, and no stale entry gets into a
 * protected table. Shadow pages that were dropped are used again only after
 * all others have been stopped, so a lookup never meets another page's entries.
 * What leads to shadow pages from elsewhere (the vCPU's small cache by 2M
 * regions, hits) is good for one generation, which every unlinking ends.
 *
 * Bounds. The pool is a fixed share of guest memory. When it is used up, those
 * pages go that were not looked at for longest, so many that an eighth is free.
 * Time is counted in rounds, which are generations, too: only what is found by
 * descending from a root counts as used. Eviction is one pass over the pool.
 */
#include "engine/bt/shadow.h"

#include <errno.h>
#include <sys/mman.h>

#include "engine/bt/mmu.h"
#include "engine/bt/smp.h"

#define P 0x1ull
#define W 0x2ull
#define U 0x4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define NX (1ull << 63)
#define SOFT 0xe00ull /* ignored by processors: not kept */
#define ADDR 0x000ffffffffff000ull
#define HIGH 0x7ff0000000000000ull
#define TABLE 0x200ull /* in our entries: leads to the shadow page whose number is in ADDR */
#define UPPER (P | W | U | A | PS | NX) /* of the guest's upper entries, in ours */

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

#define QUIET 4u        /* comparisons without a difference until a table is protected */
#define QUIET_SHARED 16u /* the same when another vCPU would have to be stopped for it */
#define LOOSE_MAX 512u  /* loose shadow pages; beyond, all are protected */
#define HITS 256u
#define ROUNDS 8u
#define PAGES_MIN 1024u
#define PAGES_MAX 65536u

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
		*key = (v->cr3 & ADDR) | ROLE_LONG | 3 | nx;
	} else if (v->cr4 & CR4_PAE) {
		*key = (v->pdpte[va >> 30 & 3] & ADDR) | ROLE_PAE | 1 | nx;
		return v->pdpte[va >> 30 & 3] & P;
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

static unsigned child_role(unsigned role, uint64_t va)
{
	unsigned child = (role & ~ROLE_PART) - 1;

	return (role & ROLE_FORMAT) == ROLE_32 ? child | (va >> 21 & 1) << ROLE_PART_SHIFT : child;
}

/* The guest's entry behind entry i. Tables are in memory that stays readable. */
static uint64_t guest_entry(const struct shadow *s, const struct shadow_page *p, unsigned i)
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
	return value & ~SOFT;
}

static inline uint64_t table_entry(const struct shadow *s, const struct shadow_page *child, uint64_t value)
{
	return TABLE | (uint64_t)(child - s->page) << PAGE_SHIFT | (value & UPPER);
}

static inline uint64_t table_gpa(unsigned role, uint64_t value)
{
	return value & ((role & ROLE_FORMAT) == ROLE_PAE ? ADDR | HIGH : ADDR);
}

static inline struct shadow_page *child_of(const struct shadow *s, uint64_t e)
{
	return &s->page[(e & ADDR) >> PAGE_SHIFT];
}

/* Whether entry e is what `value` in the guest's table asks for. D may have come since. */
static bool agrees(const struct shadow *s, unsigned role, uint64_t e, uint64_t value)
{
	uint64_t differ;

	if (e & TABLE)
		return e == table_entry(s, child_of(s, e), value) && table_gpa(role, value) == child_of(s, e)->gpa;
	differ = leaf_entry(role, value) ^ e;
	return !(differ & ~D) && !(differ & e);
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

/*
 * Puts `e` where `old` is, and takes it away again if the guest's entry is
 * another by now. The bit is set before and, in case the page was emptied at
 * the same time, after.
 */
static inline void entry_put(struct bt_vcpu *v, struct shadow_page *p, unsigned i, uint64_t old, uint64_t e)
{
	struct shadow *s = v->spt;

	if (smp_alone(v)) {
		p->filled |= 1ull << i / 8;
		p->e[i] = e;
		return;
	}
	note_filled(p, i);
	if (!entry_swap(&p->e[i], old, e))
		return;
	note_filled(p, i);
	if (!agrees(s, p->role, e, guest_entry(s, p, i)))
		entry_swap(&p->e[i], e, 0);
}

/* ---- the pool ---------------------------------------------------------------------------- */

static struct shadow_page **bucket(const struct shadow *s, uint64_t gpa)
{
	return &s->hash[(uint32_t)(gpa >> PAGE_SHIFT) * 0x9e3779b1u >> (32 - s->hash_bits)];
}

static inline struct shadow_page *chain(struct shadow_page *const *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static struct shadow_page *find(const struct shadow *s, uint64_t key)
{
	struct shadow_page *p = chain(bucket(s, key & ADDR));

	while (p && (p->gpa | p->role) != key)
		p = chain(&p->next);
	return p;
}

/* The next shadow page of this table, from p on. */
static struct shadow_page *same_table(struct shadow_page *p, uint64_t gpa)
{
	while (p && p->gpa != gpa)
		p = p->next;
	return p;
}

#define FOR_EACH_SHADOW(s, at, p)                                                                        \
	for (struct shadow_page *p = same_table(*bucket(s, at), at), *next_ = NULL;                      \
	     p && (next_ = same_table(p->next, at), true); p = next_)

static void list_loose(struct shadow *s, struct shadow_page *p)
{
	p->quiet = 0;
	if (p->loose)
		return;
	s->loose[s->n_loose] = p;
	p->loose = ++s->n_loose;
}

static void unlist_loose(struct shadow *s, struct shadow_page *p)
{
	struct shadow_page *last;

	if (!p->loose)
		return;
	last = s->loose[s->n_loose - 1];
	s->loose[p->loose - 1] = last;
	last->loose = p->loose;
	p->loose = 0;
	s->n_loose--;
}

static void code_byte(struct shadow *s, uint64_t gpa, bool table)
{
	_Atomic uint8_t *byte = &s->mem->code[gpa >> PAGE_SHIFT];

	if (table)
		atomic_fetch_or(byte, MEM_TABLE);
	else
		atomic_fetch_and(byte, (uint8_t)~MEM_TABLE);
}

static void release_page(struct bt_vcpu *v, struct shadow_page *p);

static void unlink_child(struct bt_vcpu *v, struct shadow_page *child)
{
	if (--child->parents == 0 && !is_root(child->role))
		release_page(v, child);
}

static void zap(struct bt_vcpu *v, struct shadow_page *p, unsigned i, uint64_t e)
{
	struct shadow *s = v->spt;

	if (!entry_swap(&p->e[i], e, 0))
		return; /* a leaf that another vCPU has just stored, and judges itself */
	s->stats.zaps++;
	if (!(e & TABLE))
		return;
	__atomic_fetch_add(&s->gen, 1, __ATOMIC_SEQ_CST);
	unlink_child(v, child_of(s, e));
}

static void empty(struct bt_vcpu *v, struct shadow_page *p)
{
	uint64_t filled = __atomic_exchange_n(&p->filled, 0, __ATOMIC_SEQ_CST);

	for (; filled; filled &= filled - 1) {
		unsigned first = (unsigned)__builtin_ctzll(filled) * 8;

		for (unsigned i = first; i < first + 8; i++) {
			uint64_t e = entry_get(&p->e[i]);

			if (e)
				zap(v, p, i, e);
		}
	}
}

/* Nothing leads to it any more. */
static void discard(struct bt_vcpu *v, struct shadow_page *p)
{
	struct shadow *s = v->spt;
	struct shadow_page **at = bucket(s, p->gpa), *other;

	while (*at != p)
		at = &(*at)->next;
	__atomic_store_n(at, p->next, __ATOMIC_RELEASE);
	unlist_loose(s, p);
	p->live = false;
	s->stats.pages--;
	other = same_table(*bucket(s, p->gpa), p->gpa);
	if (!other)
		code_byte(s, p->gpa, false);
	if (smp_alone(v)) {
		p->free_next = s->free;
		s->free = p;
		s->n_free++;
	} else {
		p->free_next = s->limbo;
		s->limbo = p;
	}
}

/* With all that was found through it alone: three levels deep at most. */
static void release_page(struct bt_vcpu *v, struct shadow_page *p)
{
	empty(v, p);
	discard(v, p);
}

/* With the others stopped, nobody looks at them. */
static void drain_limbo(struct shadow *s)
{
	struct shadow_page *next;

	for (struct shadow_page *p = s->limbo; p; p = next) {
		next = p->free_next;
		p->free_next = s->free;
		s->free = p;
		s->n_free++;
	}
	s->limbo = NULL;
}

static inline bool goes(const struct shadow_page *p, uint32_t keep)
{
	return p->live && (int32_t)(p->round - keep) < 0;
}

/* Takes every entry out of p that leads to a page which goes, or all if p does. */
static void forget_children(struct shadow *s, struct shadow_page *p, uint32_t keep)
{
	for (unsigned i = 0; level_of(p->role) > 0 && i < ENTRIES; i++) {
		if (!(p->filled >> i / 8 & 1)) {
			i |= 7;
			continue;
		}
		if (!(p->e[i] & TABLE) || (!goes(p, keep) && !goes(child_of(s, p->e[i]), keep)))
			continue;
		child_of(s, p->e[i])->parents--;
		p->e[i] = 0;
	}
}

/* Those not looked at since round `keep` go. The others are stopped. */
static void evict(struct bt_vcpu *v, uint32_t keep)
{
	struct shadow *s = v->spt;

	for (uint32_t i = 0; i < s->n; i++)
		if (s->page[i].live)
			forget_children(s, &s->page[i], keep);
	for (uint32_t i = 0; i < s->n; i++) {
		if (!goes(&s->page[i], keep))
			continue;
		discard(v, &s->page[i]);
		s->stats.evicted++;
	}
	drain_limbo(s);
	__atomic_fetch_add(&s->gen, 1, __ATOMIC_SEQ_CST);
}

/* The youngest round that must go so that an eighth of the pool is free, plus one. */
static uint32_t oldest_to_keep(const struct shadow *s)
{
	uint32_t of_age[ROUNDS] = { 0 }, age, room = s->n_free;

	for (uint32_t i = 0; i < s->n; i++) {
		age = s->round - s->page[i].round;
		of_age[age < ROUNDS ? age : ROUNDS - 1] += s->page[i].live;
	}
	for (age = ROUNDS; age > 0 && room < s->n / 8; age--)
		room += of_age[age - 1];
	return s->round - age + 1;
}

static void make_room(struct bt_vcpu *v)
{
	struct shadow *s = v->spt;

	smp_stop(v, SMP_ALL);
	drain_limbo(s);
	if (s->n_free < s->n / 8)
		evict(v, oldest_to_keep(s));
}

/* A round is an eighth of the pool. Then every page has to be looked at again to count as used. */
static void count_made(struct shadow *s)
{
	s->stats.pages++;
	if (++s->stats.made % (s->n / 8))
		return;
	s->round++;
	__atomic_fetch_add(&s->gen, 1, __ATOMIC_SEQ_CST);
}

static struct shadow_page *make_page(struct bt_vcpu *v, uint64_t key)
{
	struct shadow *s = v->spt;
	struct shadow_page *p = s->free, **at = bucket(s, key & ADDR);
	uint64_t *e = &s->entries[(uint64_t)(p - s->page) * ENTRIES];

	s->free = p->free_next;
	s->n_free--;
	bt_zero(e, ENTRIES * sizeof(*e));
	*p = (struct shadow_page){ .e = e, .gpa = key & ADDR, .role = key & ~ADDR, .round = s->round, .live = true };
	if (is_root(p->role))
		p->owner = owner_of_key(key);
	p->next = *at;
	__atomic_store_n(at, p, __ATOMIC_RELEASE);
	if (!shadow_holds(v, p->gpa))
		list_loose(s, p);
	count_made(s);
	return p;
}

static struct shadow_page *find_or_make(struct bt_vcpu *v, uint64_t key)
{
	struct shadow_page *p = find(v->spt, key);

	return p ? p : make_page(v, key);
}

/* ---- looking up --------------------------------------------------------------------------- */

static inline void look_at(const struct shadow *s, struct shadow_page *p)
{
	if (p->round != s->round)
		p->round = s->round;
}

static inline bool owned(const struct shadow_page *p, uint64_t owner)
{
	return p->owner == owner || p->owner == OWNER_ANY;
}

/* From the root to the table whose entry for va is a leaf, into *h. False: there is none, or not for this root. */
static bool descend(struct bt_vcpu *v, uint64_t va, uint64_t key, uint64_t gen, struct shadow_hit *h)
{
	struct shadow *s = v->spt;
	struct shadow_page *p = find(s, key);
	uint64_t rights = W | U, nx = 0, owner = owner_of_key(key), e;

	for (;; p = child_of(s, e)) {
		if (!p || !owned(p, owner))
			return false;
		owner = p->owner;
		look_at(s, p);
		e = entry_get(&p->e[index_of(p->role, va)]);
		if (!e)
			return false;
		if (!(e & TABLE))
			break;
		rights &= e;
		nx |= e & NX;
	}
	*h = (struct shadow_hit){ .region = va >> 21, .key = key, .gen = gen, .page = p, .table = p->e };
	h->rights = rights;
	h->nx = nx;
	h->shift = shift_of(p->role);
	h->size = h->shift + ((p->role & (ROLE_FORMAT | ROLE_LEVEL)) == (ROLE_32 | 1));
	return true;
}

static inline struct shadow_hit *hit_slot(const struct bt_vcpu *v, uint64_t va, uint64_t key)
{
	return &v->spt_hits[(va >> 21 ^ key >> PAGE_SHIFT) % HITS];
}

static inline bool hit_is(const struct shadow_hit *h, uint64_t va, uint64_t key, uint64_t gen)
{
	return h->region == va >> 21 && h->key == key && h->gen == gen;
}

bool shadow_lookup(struct bt_vcpu *v, uint64_t va, struct shadow_leaf *leaf)
{
	uint64_t key, e, gen = __atomic_load_n(&v->spt->gen, __ATOMIC_ACQUIRE);
	struct shadow_hit *h;

	if (!root_key(v, va, &key))
		return false;
	h = hit_slot(v, va, key);
	if (!hit_is(h, va, key, gen) && !descend(v, va, key, gen, h))
		return false;
	e = entry_get(&h->table[va >> h->shift & (ENTRIES - 1)]);
	if ((e & TABLE) && descend(v, va, key, gen, h)) /* where a large page was is a table now */
		e = entry_get(&h->table[va >> h->shift & (ENTRIES - 1)]);
	if (!e || (e & TABLE))
		return false;
	*leaf = (struct shadow_leaf){ .value = e, .rights = e & h->rights, .nx = (e & NX) | h->nx, .shift = h->size };
	leaf->frame = e & ADDR & ~((1ull << h->size) - 1);
	return true;
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* Zaps what is no longer so. True: there was something. */
static bool compare(struct bt_vcpu *v, struct shadow_page *p)
{
	struct shadow *s = v->spt;
	uint64_t before = s->stats.zaps;

	s->stats.compared++;
	for (uint64_t left = __atomic_load_n(&p->filled, __ATOMIC_SEQ_CST); left; left &= left - 1) {
		unsigned first = (unsigned)__builtin_ctzll(left) * 8;

		for (unsigned i = first; i < first + 8; i++) {
			uint64_t e = entry_get(&p->e[i]);

			if (e && !agrees(s, p->role, e, guest_entry(s, p, i)))
				zap(v, p, i, e);
		}
	}
	return s->stats.zaps != before;
}

/* Of two owners: then what one's flushes have not compared is to be compared for the other. */
static void adopt(struct bt_vcpu *v, struct shadow_page *p, uint64_t owner)
{
	if (!p->owner)
		p->owner = owner;
	if (owned(p, owner))
		return;
	p->owner = OWNER_ANY;
	if (p->loose)
		compare(v, p);
}

/* ---- filling --------------------------------------------------------------------------------- */

static inline uint64_t step_gpa(const struct bt_vcpu *v, const struct walk_step *step)
{
	return (uint64_t)((const uint8_t *)step->slot - v->mem->base);
}

/* Tables in what is not plain memory are not shadowed. */
static bool can_keep(const struct bt_vcpu *v, const struct walk_step *step, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!step[i].slot || mem_kind(v->mem, step_gpa(v, &step[i])) != MEM_RAM)
			return false;
	return true;
}

/* The quick way: the walk ended in the table that the last lookup here ended in. */
static bool install_hit(struct bt_vcpu *v, uint64_t va, uint64_t key, const struct walk_step *step, unsigned n)
{
	const struct shadow_hit *h = hit_slot(v, va, key);
	struct shadow_page *p = h->page;
	uint64_t table = step_gpa(v, &step[n - 1]) & PAGE_MASK, rights = W | U, nx = 0, e;
	unsigned at;

	if (!hit_is(h, va, key, __atomic_load_n(&v->spt->gen, __ATOMIC_ACQUIRE)) || p->gpa != table)
		return false;
	for (unsigned i = 0; i < n - 1; i++) {
		rights &= step[i].value;
		nx |= step[i].value & NX;
	}
	at = index_of(p->role, va);
	e = entry_get(&p->e[at]);
	if (level_of(p->role) != level_of((unsigned)key) + 1 - n || rights != h->rights || nx != h->nx || (e & TABLE))
		return false;
	entry_put(v, p, at, e, leaf_entry(p->role, step[n - 1].value));
	return true;
}

/* Without the lock: all but the leaf is there. */
static bool install_leaf(struct bt_vcpu *v, uint64_t va, uint64_t key, const struct walk_step *step, unsigned n)
{
	struct shadow *s = v->spt;
	struct shadow_page *p = find(s, key);
	uint64_t owner = owner_of_key(key), e;

	for (unsigned i = 0; p && owned(p, owner); i++) {
		unsigned at = index_of(p->role, va);

		owner = p->owner;
		e = entry_get(&p->e[at]);
		if (i == n - 1) {
			if (e & TABLE)
				return false;
			entry_put(v, p, at, e, leaf_entry(p->role, step[i].value));
			return true;
		}
		if (!(e & TABLE) || !agrees(s, p->role, e, step[i].value))
			return false;
		p = child_of(s, e);
	}
	return false;
}

/* With the lock. The child for entry `at` of p, linked; NULL when the guest has another by now. */
static struct shadow_page *link_child(struct bt_vcpu *v, struct shadow_page *p, uint64_t va, uint64_t value)
{
	struct shadow *s = v->spt;
	unsigned at = index_of(p->role, va);
	struct shadow_page *c;
	uint64_t e = entry_get(&p->e[at]);

	if (!(e & TABLE) || !agrees(s, p->role, e, value)) {
		c = find_or_make(v, table_gpa(p->role, value) | child_role(p->role, va));
		c->parents++;
		if (e)
			zap(v, p, at, e);
		e = table_entry(s, c, value);
		note_filled(p, at);
		__atomic_store_n(&p->e[at], e, __ATOMIC_SEQ_CST);
	}
	adopt(v, child_of(s, e), p->owner);
	if (!agrees(s, p->role, e, guest_entry(s, p, at))) {
		zap(v, p, at, e);
		return NULL;
	}
	look_at(s, child_of(s, e));
	return child_of(s, e);
}

/* With the lock. */
static void install(struct bt_vcpu *v, uint64_t va, uint64_t key, const struct walk_step *step, unsigned n)
{
	struct shadow *s = v->spt;
	struct shadow_page *p;
	unsigned at;
	uint64_t e;

	if (s->n_free < n)
		make_room(v);
	p = find_or_make(v, key);
	look_at(s, p);
	for (unsigned i = 0; p && i < n - 1; i++)
		p = link_child(v, p, va, step[i].value);
	if (!p)
		return;
	at = index_of(p->role, va);
	e = entry_get(&p->e[at]);
	if (e & TABLE) {
		zap(v, p, at, e);
		e = 0;
	}
	entry_put(v, p, at, e, leaf_entry(p->role, step[n - 1].value));
}

bool shadow_install(struct bt_vcpu *v, uint64_t va, const struct walk_step *step, unsigned n)
{
	uint64_t key, lost = v->smp.lost;
	bool ok;

	if (!root_key(v, va, &key) || !can_keep(v, step, n))
		return true;
	v->n_shadow_fill++;
	if (install_hit(v, va, key, step, n) || install_leaf(v, va, key, step, n))
		return true;
	smp_lock(v);
	ok = v->smp.lost == lost;
	if (ok)
		install(v, va, key, step, n);
	smp_unlock(v);
	return ok;
}

/* ---- stores into tables, and what invalidates ----------------------------------------------------- */

void shadow_release_slow(struct bt_vcpu *v, uint64_t gpa)
{
	struct shadow *s = v->spt;

	gpa &= PAGE_MASK;
	smp_lock(v);
	if (shadow_holds(v, gpa)) {
		FOR_EACH_SHADOW(s, gpa, p)
			list_loose(s, p);
		code_byte(s, gpa, false);
		s->stats.writes++;
	}
	smp_unlock(v);
}

/* From here on a store comes to C first. */
static void protect(struct bt_vcpu *v, uint64_t gpa)
{
	struct shadow *s = v->spt;

	code_byte(s, gpa, true);
	tlb_protect_gpa(v, gpa, false);
	smp_own_page(v, gpa);
	FOR_EACH_SHADOW(s, gpa, p) {
		compare(v, p);
		unlist_loose(s, p);
	}
	s->stats.protected++;
}

static bool others_write(const struct bt_vcpu *v, uint64_t gpa)
{
	return !smp_alone(v) &&
	       (__atomic_load_n(&v->writers[gpa >> PAGE_SHIFT], __ATOMIC_RELAXED) & ~(1ull << v->index));
}

static bool reaches(const struct bt_vcpu *v, const struct shadow_page *p)
{
	uint64_t key;

	if (p->owner == OWNER_ANY)
		return true;
	if (bt_long_mode(v) || !(v->cr4 & CR4_PAE))
		return root_key(v, 0, &key) && p->owner == owner_of_key(key);
	for (uint64_t i = 0; i < 4; i++)
		if (root_key(v, i << 30, &key) && p->owner == owner_of_key(key))
			return true;
	return false;
}

/* Downwards: comparing may take pages out of the list, whose places the last ones take. */
#define FOR_EACH_LOOSE(s, p)                                              \
	for (uint32_t i_ = (s)->n_loose; i_-- > 0;)                       \
		for (struct shadow_page *p = i_ < (s)->n_loose ? (s)->loose[i_] : NULL; p; p = NULL)

/* What a device or another thread wrote, before it is known for certain to be seen at a poll. */
static void see_inval(struct bt_vcpu *v)
{
	struct bt_vm *vm = v->vm;
	struct bt_inval inval[INVAL_MAX];
	uint32_t n;
	bool all;

	pthread_mutex_lock(&vm->inval_lock);
	n = vm->n_inval;
	all = vm->inval_all;
	bt_copy(inval, vm->inval, n * sizeof(inval[0]));
	pthread_mutex_unlock(&vm->inval_lock);
	if (all)
		shadow_clear(v);
	for (uint32_t i = 0; i < n && !all; i++)
		for (uint64_t gpa = inval[i].gpa & PAGE_MASK; gpa < inval[i].gpa + inval[i].len; gpa += PAGE_SIZE)
			shadow_changed(v, gpa, inval[i].remapped);
}

static inline bool inval_pending(const struct bt_vcpu *v)
{
	return v->env && (atomic_load_explicit(v->env->attention, memory_order_relaxed) & ATTN_INVAL);
}

void shadow_flush(struct bt_vcpu *v)
{
	struct shadow *s = v->spt;

	if (!__atomic_load_n(&s->n_loose, __ATOMIC_ACQUIRE) && !inval_pending(v))
		return;
	smp_lock(v);
	if (inval_pending(v))
		see_inval(v);
	FOR_EACH_LOOSE(s, p) {
		if (!reaches(v, p))
			continue;
		if (compare(v, p))
			p->quiet = 0;
		else if (++p->quiet >= (others_write(v, p->gpa) ? QUIET_SHARED : QUIET))
			protect(v, p->gpa);
	}
	if (s->n_loose > LOOSE_MAX)
		FOR_EACH_LOOSE(s, p)
			protect(v, p->gpa);
	smp_unlock(v);
}

/* The one entry for va in a loose table of the lowest level. */
static void compare_entry(struct bt_vcpu *v, uint64_t va)
{
	struct shadow *s = v->spt;
	struct shadow_page *p;
	uint64_t key, e;

	if (!root_key(v, va, &key))
		return;
	for (p = find(s, key); p; p = child_of(s, e)) {
		unsigned i = index_of(p->role, va);

		e = entry_get(&p->e[i]);
		if (e && p->loose && !agrees(s, p->role, e, guest_entry(s, p, i))) {
			zap(v, p, i, e);
			return;
		}
		if (!(e & TABLE))
			return;
	}
}

void shadow_flush_page(struct bt_vcpu *v, uint64_t va)
{
	struct shadow *s = v->spt;

	if (!(v->cr0 & CR0_PG))
		return;
	if (!__atomic_load_n(&s->n_loose, __ATOMIC_ACQUIRE) && !inval_pending(v))
		return;
	smp_lock(v);
	if (inval_pending(v))
		see_inval(v);
	FOR_EACH_LOOSE(s, p)
		if (level_of(p->role) > 0 && reaches(v, p))
			compare(v, p);
	compare_entry(v, bt_long_mode(v) ? va : (uint32_t)va);
	smp_unlock(v);
}

void shadow_changed(struct bt_vcpu *v, uint64_t gpa, bool remapped)
{
	struct shadow *s = v->spt;

	gpa &= PAGE_MASK;
	FOR_EACH_SHADOW(s, gpa, p) {
		if (remapped)
			empty(v, p);
		else
			compare(v, p);
	}
}

void shadow_clear(struct bt_vcpu *v)
{
	struct shadow *s = v->spt;

	smp_lock(v);
	smp_stop(v, SMP_ALL);
	evict(v, s->round + 1);
	smp_unlock(v);
}

/* ---- set-up ------------------------------------------------------------------------------------------- */

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void unmap(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

struct shadow *shadow_create(struct mem *mem, uint32_t n)
{
	struct shadow *s = map(sizeof(*s));
	uint64_t share = mem->ram_size >> PAGE_SHIFT >> 5;

	if (!s)
		return NULL;
	if (!n)
		n = (uint32_t)(share < PAGES_MIN ? PAGES_MIN : share > PAGES_MAX ? PAGES_MAX : share);
	s->mem = mem;
	s->n = n;
	for (s->hash_bits = 4; 1ull << s->hash_bits < n; s->hash_bits++)
		;
	s->page = map(n * sizeof(*s->page));
	s->entries = map((size_t)n * ENTRIES * sizeof(*s->entries));
	s->hash = map(sizeof(*s->hash) << s->hash_bits);
	s->loose = map(n * sizeof(*s->loose));
	if (!s->page || !s->entries || !s->hash || !s->loose) {
		shadow_destroy(s);
		return NULL;
	}
	for (uint32_t i = n; i-- > 0; s->n_free++) {
		s->page[i].free_next = s->free;
		s->free = &s->page[i];
	}
	s->gen = s->round = 1;
	return s;
}

void shadow_destroy(struct shadow *s)
{
	if (!s)
		return;
	unmap(s->page, s->n * sizeof(*s->page));
	unmap(s->entries, (size_t)s->n * ENTRIES * sizeof(*s->entries));
	unmap(s->hash, sizeof(*s->hash) << s->hash_bits);
	unmap(s->loose, s->n * sizeof(*s->loose));
	unmap(s, sizeof(*s));
}

struct shadow_stats shadow_stats(const struct shadow *s)
{
	return s ? s->stats : (struct shadow_stats){ 0 };
}

static size_t wtag_size(const struct bt_vcpu *v)
{
	return (v->mem->limit >> PAGE_SHIFT) * sizeof(*v->wtag);
}

int shadow_attach(struct bt_vcpu *v, struct shadow *s)
{
	v->spt_hits = map(HITS * sizeof(*v->spt_hits));
	v->wtag = map(wtag_size(v));
	if (!v->spt_hits || !v->wtag) {
		shadow_detach(v);
		return -ENOMEM;
	}
	v->spt = s;
	return 0;
}

void shadow_detach(struct bt_vcpu *v)
{
	unmap(v->spt_hits, HITS * sizeof(*v->spt_hits));
	unmap(v->wtag, wtag_size(v));
	v->spt_hits = NULL;
	v->wtag = NULL;
	v->spt = NULL;
}
