/* SPDX-License-Identifier: MIT */
/* The pool of shadow pages: making them, linking's other side, and taking them back. */
#include <errno.h>
#include <sys/mman.h>

#include "engine/bt/shadow-internal.h"

#define ROUNDS 8u
#define PAGES_MIN 1024u
#define PAGES_MAX 65536u

void spt_list_loose(struct shadow *s, struct shadow_page *p)
{
	p->quiet = 0;
	if (p->loose)
		return;
	s->loose[s->n_loose] = p;
	p->loose = ++s->n_loose;
}

void spt_unlist_loose(struct shadow *s, struct shadow_page *p)
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

void spt_code_byte(struct shadow *s, uint64_t gpa, bool table)
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

void spt_zap(struct bt_vcpu *v, struct shadow_page *p, unsigned i, uint64_t e)
{
	struct shadow *s = v->spt;

	if (!entry_swap(&p->e[i], e, 0))
		return; /* a leaf that another vCPU has just stored, and judges itself */
	s->stats.zaps++;
	if (!(e & SPT_TABLE))
		return;
	__atomic_fetch_add(&s->gen, 1, __ATOMIC_SEQ_CST);
	unlink_child(v, child_of(s, e));
}

void spt_empty(struct bt_vcpu *v, struct shadow_page *p)
{
	uint64_t filled = __atomic_exchange_n(&p->filled, 0, __ATOMIC_SEQ_CST);

	for (; filled; filled &= filled - 1) {
		unsigned first = (unsigned)__builtin_ctzll(filled) * 8;

		for (unsigned i = first; i < first + 8; i++) {
			uint64_t e = entry_get(&p->e[i]);

			if (e)
				spt_zap(v, p, i, e);
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
	spt_unlist_loose(s, p);
	p->live = false;
	s->stats.pages--;
	other = same_table(*bucket(s, p->gpa), p->gpa);
	if (!other)
		spt_code_byte(s, p->gpa, false);
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
	spt_empty(v, p);
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
		if (!(p->e[i] & SPT_TABLE) || (!goes(p, keep) && !goes(child_of(s, p->e[i]), keep)))
			continue;
		child_of(s, p->e[i])->parents--;
		p->e[i] = 0;
	}
}

void spt_evict(struct bt_vcpu *v, uint32_t keep)
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

void spt_make_room(struct bt_vcpu *v)
{
	struct shadow *s = v->spt;

	smp_stop(v, SMP_ALL);
	drain_limbo(s);
	if (s->n_free < s->n / 8)
		spt_evict(v, oldest_to_keep(s));
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
	struct shadow_page *p = s->free, **at = bucket(s, key & PTE_ADDR);
	uint64_t *e = &s->entries[(uint64_t)(p - s->page) * ENTRIES];

	s->free = p->free_next;
	s->n_free--;
	bt_zero(e, ENTRIES * sizeof(*e));
	*p = (struct shadow_page){ .e = e, .gpa = key & PTE_ADDR, .role = key & ~PTE_ADDR, .round = s->round, .live = true };
	if (is_root(p->role))
		p->owner = owner_of_key(key);
	p->next = *at;
	__atomic_store_n(at, p, __ATOMIC_RELEASE);
	if (!shadow_holds(v, p->gpa))
		spt_list_loose(s, p);
	count_made(s);
	return p;
}

struct shadow_page *spt_find_or_make(struct bt_vcpu *v, uint64_t key)
{
	struct shadow_page *p = spt_find(v->spt, key);

	return p ? p : make_page(v, key);
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
