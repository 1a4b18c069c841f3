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
 * A table that is linked anew is compared, too, and with an upper one all that
 * is loose. Something else may still lead to its shadow page - a root that is no
 * longer in use, for one -, so that it outlived the table's last use here; what
 * the guest wrote since then, into pages that were no tables to it, needs no
 * invalidation.
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
#include "engine/bt/shadow-internal.h"

#define QUIET 4u        /* comparisons without a difference until a table is protected */
#define QUIET_SHARED 16u /* the same when another vCPU would have to be stopped for it */
#define LOOSE_MAX 512u  /* loose shadow pages; beyond, all are protected */

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
	struct shadow_page *p = spt_find(s, key);
	uint64_t rights = PTE_W | PTE_U, nx = 0, owner = owner_of_key(key), e;

	for (;; p = child_of(s, e)) {
		if (!p || !owned(p, owner))
			return false;
		owner = p->owner;
		look_at(s, p);
		e = entry_get(&p->e[index_of(p->role, va)]);
		if (!e)
			return false;
		if (!(e & SPT_TABLE))
			break;
		rights &= e;
		nx |= e & PTE_NX;
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
	if ((e & SPT_TABLE) && descend(v, va, key, gen, h)) /* where a large page was is a table now */
		e = entry_get(&h->table[va >> h->shift & (ENTRIES - 1)]);
	if (!e || (e & SPT_TABLE))
		return false;
	*leaf = (struct shadow_leaf){ .value = e, .rights = e & h->rights, .nx = (e & PTE_NX) | h->nx, .shift = h->size };
	leaf->frame = e & PTE_ADDR & ~((1ull << h->size) - 1);
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

			if (e && !spt_agrees(s, p->role, e, spt_guest_entry(s, p, i)))
				spt_zap(v, p, i, e);
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

/*
 * With the lock; c is linked to p where it was not before. Since its last use
 * here invlpg did not come to it, nor to what it leads to, and what is loose
 * may differ. False: p or c is gone by that.
 */
static bool linked_anew(struct bt_vcpu *v, const struct shadow_page *p, struct shadow_page *c)
{
	struct shadow *s = v->spt;

	if (!c->filled)
		return true;
	if (level_of(c->role) == 0) {
		if (c->loose)
			compare(v, c);
	} else {
		FOR_EACH_LOOSE(s, q)
			if (reaches(v, q))
				compare(v, q);
	}
	return p->live && c->live;
}

/* ---- filling --------------------------------------------------------------------------------- */

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
	if (!spt_agrees(s, p->role, e, spt_guest_entry(s, p, i)))
		entry_swap(&p->e[i], e, 0);
}

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
	uint64_t table = step_gpa(v, &step[n - 1]) & PAGE_MASK, rights = PTE_W | PTE_U, nx = 0, e;
	unsigned at;

	if (!hit_is(h, va, key, __atomic_load_n(&v->spt->gen, __ATOMIC_ACQUIRE)) || p->gpa != table)
		return false;
	for (unsigned i = 0; i < n - 1; i++) {
		rights &= step[i].value;
		nx |= step[i].value & PTE_NX;
	}
	at = index_of(p->role, va);
	e = entry_get(&p->e[at]);
	if (level_of(p->role) != level_of((unsigned)key) + 1 - n || rights != h->rights || nx != h->nx || (e & SPT_TABLE))
		return false;
	entry_put(v, p, at, e, leaf_entry(p->role, step[n - 1].value));
	return true;
}

/* Without the lock: all but the leaf is there. */
static bool install_leaf(struct bt_vcpu *v, uint64_t va, uint64_t key, const struct walk_step *step, unsigned n)
{
	struct shadow *s = v->spt;
	struct shadow_page *p = spt_find(s, key);
	uint64_t owner = owner_of_key(key), e;

	for (unsigned i = 0; p && owned(p, owner); i++) {
		unsigned at = index_of(p->role, va);

		owner = p->owner;
		e = entry_get(&p->e[at]);
		if (i == n - 1) {
			if (e & SPT_TABLE)
				return false;
			entry_put(v, p, at, e, leaf_entry(p->role, step[i].value));
			return true;
		}
		if (!(e & SPT_TABLE) || !spt_agrees(s, p->role, e, step[i].value))
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

	if (!(e & SPT_TABLE) || !spt_agrees(s, p->role, e, value)) {
		c = spt_find_or_make(v, table_gpa(p->role, value) | child_role(p->role, va));
		c->parents++;
		if (e)
			spt_zap(v, p, at, e);
		e = table_entry(s, c, value);
		note_filled(p, at);
		__atomic_store_n(&p->e[at], e, __ATOMIC_SEQ_CST);
		if (!linked_anew(v, p, c))
			return NULL;
	}
	adopt(v, child_of(s, e), p->owner);
	if (!spt_agrees(s, p->role, e, spt_guest_entry(s, p, at))) {
		spt_zap(v, p, at, e);
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
		spt_make_room(v);
	p = spt_find_or_make(v, key);
	look_at(s, p);
	for (unsigned i = 0; p && i < n - 1; i++)
		p = link_child(v, p, va, step[i].value);
	if (!p)
		return;
	at = index_of(p->role, va);
	e = entry_get(&p->e[at]);
	if (e & SPT_TABLE) {
		spt_zap(v, p, at, e);
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
			spt_list_loose(s, p);
		spt_code_byte(s, gpa, false);
		s->stats.writes++;
	}
	smp_unlock(v);
}

/* From here on a store comes to C first. */
static void protect(struct bt_vcpu *v, uint64_t gpa)
{
	struct shadow *s = v->spt;

	spt_code_byte(s, gpa, true);
	tlb_protect_gpa(v, gpa, false);
	smp_own_page(v, gpa);
	FOR_EACH_SHADOW(s, gpa, p) {
		compare(v, p);
		spt_unlist_loose(s, p);
	}
	s->stats.protected++;
}

static bool others_write(const struct bt_vcpu *v, uint64_t gpa)
{
	return !smp_alone(v) &&
	       (__atomic_load_n(&v->writers[gpa >> PAGE_SHIFT], __ATOMIC_RELAXED) & ~(1ull << v->index));
}

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
	for (p = spt_find(s, key); p; p = child_of(s, e)) {
		unsigned i = index_of(p->role, va);

		e = entry_get(&p->e[i]);
		if (e && p->loose && !spt_agrees(s, p->role, e, spt_guest_entry(s, p, i))) {
			spt_zap(v, p, i, e);
			return;
		}
		if (!(e & SPT_TABLE))
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
			spt_empty(v, p);
		else
			compare(v, p);
	}
}

void shadow_clear(struct bt_vcpu *v)
{
	struct shadow *s = v->spt;

	smp_lock(v);
	smp_stop(v, SMP_ALL);
	spt_evict(v, s->round + 1);
	smp_unlock(v);
}
