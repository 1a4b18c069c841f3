/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/mman.h>

#include "engine/bt/cache.h"
#include "engine/bt/decode.h"
#include "engine/bt/mmu.h"
#include "engine/bt/shadow.h"
#include "engine/bt/smp.h"

/* Room that any one block may take; translate.c stops well below it. */
#define BLOCK_ROOM (64u << 10)
#define META_ROOM (64u << 10)

static void *map_region(uint64_t size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int cache_init(struct code_cache *c, uint64_t size, uint64_t guest_limit)
{
	*c = (struct code_cache){ 0 };
	c->size = (uint32_t)size;
	c->meta_size = size / 2;
	c->n_pages = guest_limit >> PAGE_SHIFT;
	c->max_order = (uint32_t)(c->meta_size / sizeof(struct block));
	c->code = map_region(size, PROT_READ | PROT_WRITE | PROT_EXEC);
	c->meta = map_region(c->meta_size, PROT_READ | PROT_WRITE);
	c->hash = map_region(sizeof(*c->hash) << CACHE_HASH_BITS, PROT_READ | PROT_WRITE);
	c->pages = map_region(c->n_pages * sizeof(*c->pages), PROT_READ | PROT_WRITE);
	c->cover = map_region(c->n_pages * sizeof(*c->cover), PROT_READ | PROT_WRITE);
	c->order = map_region(c->max_order * sizeof(*c->order), PROT_READ | PROT_WRITE);
	if (!c->code || !c->meta || !c->hash || !c->pages || !c->cover || !c->order) {
		cache_finish(c);
		return -ENOMEM;
	}
	return 0;
}

void cache_finish(struct code_cache *c)
{
	if (c->code)
		munmap(c->code, c->size);
	if (c->meta)
		munmap(c->meta, c->meta_size);
	if (c->hash)
		munmap(c->hash, sizeof(*c->hash) << CACHE_HASH_BITS);
	if (c->pages)
		munmap(c->pages, c->n_pages * sizeof(*c->pages));
	if (c->cover)
		munmap(c->cover, c->n_pages * sizeof(*c->cover));
	if (c->order)
		munmap(c->order, c->max_order * sizeof(*c->order));
	*c = (struct code_cache){ 0 };
}

void *cache_meta(struct code_cache *c, size_t size)
{
	uint8_t *p;

	size = (size + 7) & ~(size_t)7;
	if (size > c->meta_size - c->meta_used)
		return NULL;
	p = c->meta + c->meta_used;
	c->meta_used += size;
	bt_zero(p, size);
	return p;
}

bool cache_room(const struct code_cache *c)
{
	return c->size - c->used > BLOCK_ROOM && c->meta_size - c->meta_used > META_ROOM &&
	       c->n_order < c->max_order;
}

/* For a vCPU that may be on its way back to a missed check. For any other this means nothing. */
static void resume_lose(struct code_cache *c, struct bt_vcpu *v)
{
	const uint8_t *at = c->code + ((uint32_t)v->resume & ~RESUME_GROUP);
	const struct block *b = cache_block_at(c, at);
	bool slot;

	if (b)
		v->resume_rip = block_rip(c, b, at, &slot);
	v->resume = 0;
}

static void forget_page(struct bt_vm *vm, uint64_t gpa)
{
	uint64_t page = gpa >> PAGE_SHIFT;

	vm->cache.pages[page] = NULL;
	vm->cache.cover[page] = 0;
	atomic_fetch_and(&vm->mem->code[page], (uint8_t)~MEM_CODE);
	if (vm->users)
		vm->users[page] = 0;
}

static void forget_blocks(struct bt_vm *vm)
{
	struct code_cache *c = &vm->cache;

	for (uint32_t i = 0; i < c->n_order; i++) {
		struct block *b = (struct block *)(c->meta + 8ull * c->order[i]);

		forget_page(vm, b->gpa);
		if (b->part)
			forget_page(vm, b->gpa2);
	}
	bt_zero(c->hash, sizeof(*c->hash) << CACHE_HASH_BITS);
	c->used = c->start;
	c->meta_used = 0;
	c->n_order = 0;
	c->n_flush++;
}

void cache_flush(struct bt_vcpu *v)
{
	struct bt_vm *vm = v->vm;
	struct code_cache *c = &vm->cache;

	smp_lock(v);
	smp_stop(v, SMP_ALL);
	FOR_EACH_VCPU(vm, w)
		resume_lose(c, w);
	forget_blocks(vm);
	FOR_EACH_VCPU(vm, w)
		jc_flush(w, true);
	smp_unlock(v);
}

/* ---- what of a page is code ---------------------------------------------- */

#define PIECES 64u /* of a page: the bits of cover */
#define PIECE_SIZE (PAGE_SIZE / PIECES)

/* The pieces that [off, off+len) touches; what is beyond the page does not count. */
static uint64_t pieces(uint64_t off, uint64_t len)
{
	uint64_t first = off / PIECE_SIZE, last = (off + (len ? len - 1 : 0)) / PIECE_SIZE;

	if (last >= PIECES)
		last = PIECES - 1;
	return UINT64_MAX << first & UINT64_MAX >> (PIECES - 1 - last);
}

static uint64_t pieces_of(const struct block *b)
{
	return pieces(b->gpa & ~PAGE_MASK, b->guest_len);
}

/* ---- finding ----------------------------------------------------------- */

static unsigned hash_of(uint64_t gpa, uint64_t rip, uint8_t key)
{
	uint64_t h = (gpa ^ rip << 20 ^ (uint64_t)key << 40) * 0x9e3779b97f4a7c15ull;

	return (unsigned)(h >> (64 - CACHE_HASH_BITS));
}

struct block *cache_find(const struct code_cache *c, uint64_t gpa, uint64_t rip, uint8_t key)
{
	struct block *b = __atomic_load_n(&c->hash[hash_of(gpa, rip, key)], __ATOMIC_ACQUIRE);

	while (b && (b->gpa != gpa || b->rip != rip || b->key != key))
		b = b->hash_next;
	return b;
}

void cache_insert(struct bt_vcpu *v, struct block *b)
{
	struct code_cache *c = &v->vm->cache;
	unsigned h = hash_of(b->gpa, b->rip, b->key);
	uint64_t page = b->gpa >> PAGE_SHIFT;

	b->page_next = c->pages[page];
	c->pages[page] = b;
	c->cover[page] |= pieces_of(b);
	if (b->part) {
		c->cover[b->gpa2 >> PAGE_SHIFT] |= pieces_of(b->part);
		b->part->page_next = c->pages[b->gpa2 >> PAGE_SHIFT];
		c->pages[b->gpa2 >> PAGE_SHIFT] = b->part;
	}
	c->order[c->n_order] = (uint32_t)(((uint8_t *)b - c->meta) / 8);
	__atomic_store_n(&c->n_order, c->n_order + 1, __ATOMIC_RELEASE);
	c->n_blocks++;
	c->n_insns += b->n_insns;
	/* Now others may find it. */
	b->hash_next = c->hash[h];
	__atomic_store_n(&c->hash[h], b, __ATOMIC_RELEASE);
}

struct block *cache_block_at(const struct code_cache *c, const void *host)
{
	uint64_t off = (uint64_t)((const uint8_t *)host - c->code);
	uint32_t lo = 0, hi = __atomic_load_n(&c->n_order, __ATOMIC_ACQUIRE);

	if ((const uint8_t *)host < c->code || off >= __atomic_load_n(&c->used, __ATOMIC_RELAXED))
		return NULL;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		struct block *b = (struct block *)(c->meta + 8ull * c->order[mid]);

		if (off < b->code)
			hi = mid;
		else if (off >= b->code_end)
			lo = mid + 1;
		else
			return b;
	}
	return NULL;
}

uint64_t block_rip(const struct code_cache *c, const struct block *b, const void *host, bool *slot)
{
	uint64_t off = (uint64_t)((const uint8_t *)host - c->code) - b->code;
	unsigned i = b->n_insns;

	while (i > 1 && b->insns[i - 1].host > off)
		i--;
	*slot = (b->insns[i - 1].guest & INSN_SLOT) != 0;
	return b->rip + (b->insns[i - 1].guest & ~INSN_SLOT);
}

/* ---- links --------------------------------------------------------------- */

/* One store; where there are several vCPUs it lies in eight aligned bytes. */
static void patch_jump(struct code_cache *c, uint32_t at, uint32_t to)
{
	int32_t rel = (int32_t)(to - (at + 4));

	__atomic_store_n((int32_t *)(void *)(c->code + at), rel, __ATOMIC_RELEASE);
}

void link_set(struct code_cache *c, struct link *l, struct block *target)
{
	l->target = target;
	l->next_in = target->incoming;
	l->prev_in = &target->incoming;
	if (l->next_in)
		l->next_in->prev_in = &l->next_in;
	target->incoming = l;
	patch_jump(c, l->patch, l->host_flags ? target->entry_a : target->entry_b);
}

static void link_clear(struct code_cache *c, struct link *l)
{
	*l->prev_in = l->next_in;
	if (l->next_in)
		l->next_in->prev_in = l->prev_in;
	l->target = NULL;
	patch_jump(c, l->patch, l->stub);
}

/* ---- dropping -------------------------------------------------------------- */

static void unhash(struct code_cache *c, struct block *b)
{
	struct block **p = &c->hash[hash_of(b->gpa, b->rip, b->key)];

	while (*p && *p != b)
		p = &(*p)->hash_next;
	if (*p)
		__atomic_store_n(p, b->hash_next, __ATOMIC_SEQ_CST);
}

static void jc_forget(struct bt_vcpu *v, const struct block *b)
{
	const void *code = v->vm->cache.code + b->entry_b;
	struct jc_entry *jc = v->jc[(b->key & KEY_USER) != 0];

	for (unsigned way = 0; way < 2; way++) {
		struct jc_entry *e = &jc[jc_index(b->rip) ^ way];

		if (e->code == code)
			e->rip = TLB_INVALID;
	}
}

/* The caller has taken it off its page's list, and stopped the vCPUs that may use it. */
static void cache_drop(struct bt_vcpu *v, struct block *b)
{
	struct code_cache *c = &v->vm->cache;

	unhash(c, b);
	while (b->incoming)
		link_clear(c, b->incoming);
	for (struct link *l = b->outgoing; l; l = l->next_out) {
		if (l->target)
			link_clear(c, l);
	}
	FOR_EACH_VCPU(v->vm, w) {
		if (w == v || v->vm->stopped >> w->index & 1)
			jc_forget(w, b);
	}
	b->dead = true;
}

static bool overlaps(const struct block *b, uint64_t off, uint64_t len)
{
	uint64_t start = b->gpa & ~PAGE_MASK;

	return off < start + b->guest_len && start < off + len;
}

bool bt_code_covers(struct bt_vcpu *v, uint64_t gpa, uint32_t len)
{
	const struct code_cache *c = &v->vm->cache;

	if (gpa >= v->mem->limit || !(c->cover[gpa >> PAGE_SHIFT] & pieces(gpa & ~PAGE_MASK, len)))
		return false;
	for (const struct block *b = c->pages[gpa >> PAGE_SHIFT]; b; b = b->page_next) {
		if (overlaps(b, gpa & ~PAGE_MASK, len))
			return true;
	}
	return false;
}

/* The second page of a block changed. Its record on the first page's list goes, too, unless it went before. */
static void drop_master(struct bt_vcpu *v, struct block *b)
{
	struct code_cache *c = &v->vm->cache;
	struct block **p = &c->pages[b->gpa >> PAGE_SHIFT];

	if (b->dead)
		return;
	while (*p && *p != b)
		p = &(*p)->page_next;
	if (*p)
		*p = b->page_next;
	cache_drop(v, b);
	v->n_smc++;
}

static void drop_overlapping(struct bt_vcpu *v, uint64_t gpa, uint32_t len)
{
	struct code_cache *c = &v->vm->cache;
	uint64_t page = gpa >> PAGE_SHIFT, left = 0;

	if (c->pages[page] && !(c->cover[page] & pieces(gpa & ~PAGE_MASK, len)))
		return;
	for (struct block **p = &c->pages[page]; *p;) {
		struct block *b = *p;

		if (!overlaps(b, gpa & ~PAGE_MASK, len)) {
			left |= pieces_of(b);
			p = &b->page_next;
			continue;
		}
		*p = b->page_next;
		if (b->master) {
			drop_master(v, b->master);
			continue;
		}
		cache_drop(v, b);
		v->n_smc++;
	}
	c->cover[page] = left;
	if (!c->pages[page])
		atomic_fetch_and(&v->mem->code[page], (uint8_t)~MEM_CODE);
}

/* So that nobody finds them any more; then, who may have found them before. */
static uint64_t users_of_overlapping(struct bt_vcpu *v, uint64_t gpa, uint32_t len)
{
	struct code_cache *c = &v->vm->cache;
	uint64_t mask = 0;

	for (struct block *b = c->pages[gpa >> PAGE_SHIFT]; b; b = b->page_next) {
		struct block *whole = b->master ? b->master : b;

		if (!overlaps(b, gpa & ~PAGE_MASK, len))
			continue;
		unhash(c, whole);
		mask |= __atomic_load_n(&v->vm->users[whole->gpa >> PAGE_SHIFT], __ATOMIC_SEQ_CST);
	}
	return mask;
}

/*
 * Where one block of a page was overwritten the others often follow. So a stop
 * is made the most of: whom it found outside of any block forgets all code of
 * the page, and is its user no more.
 */
static void forget_users(struct bt_vcpu *v, uint64_t page)
{
	struct bt_vm *vm = v->vm;

	FOR_EACH_VCPU(vm, w) {
		if (w == v || !(vm->stopped >> w->index & 1) || w->smp.waiting)
			continue;
		for (struct block *b = vm->cache.pages[page]; b; b = b->page_next)
			if (!b->master)
				jc_forget(w, b);
		__atomic_fetch_and(&vm->users[page], ~(1ull << w->index), __ATOMIC_SEQ_CST);
	}
}

void bt_code_invalidate(struct bt_vcpu *v, uint64_t gpa, uint32_t len)
{
	if (gpa >= v->mem->limit)
		return;
	smp_lock(v);
	if (!smp_alone(v) && bt_code_covers(v, gpa, len)) {
		smp_stop(v, users_of_overlapping(v, gpa, len));
		forget_users(v, gpa >> PAGE_SHIFT);
	}
	drop_overlapping(v, gpa, len);
	smp_unlock(v);
}

/* ---- jump cache --------------------------------------------------------------- */

/* Slots of non-global pages are listed, and the latest word on a slot counts: it may be listed and be global since. */
static bool jc_is_local(const struct bt_vcpu *v, unsigned class, unsigned i)
{
	return v->jc_local[class][i / 64] >> (i & 63) & 1;
}

static void jc_note(struct bt_vcpu *v, unsigned class, unsigned i, bool local)
{
	uint64_t bit = 1ull << (i & 63);

	if (!local) {
		v->jc_local[class][i / 64] &= ~bit;
		v->jc_global[class] = true;
		return;
	}
	v->jc_local[class][i / 64] |= bit;
	v->jc_list[class][v->jc_listed[class]++] = (uint16_t)i;
}

/* What the slot held moves to its neighbour, the second way. */
void jc_fill(struct bt_vcpu *v, uint64_t rip, const void *code, bool global)
{
	unsigned class = (v->key & KEY_USER) != 0, i = jc_index(rip);
	uint64_t page = rip >> PAGE_SHIFT;
	struct jc_entry old;

	/* Room for both first: a flush drops the filter, too, so nothing of before it may be put back. */
	if (v->jc_listed[class] + 2 > JC_SIZE)
		jc_flush(v, true);
	old = v->jc[class][i];

	if (old.rip != TLB_INVALID && old.rip != rip) {
		jc_note(v, class, i ^ 1, jc_is_local(v, class, i));
		v->jc[class][i ^ 1] = old;
	}
	jc_note(v, class, i, !global);
	page_filter_add(&v->jc_pages[class], page);
	v->jc[class][i] = (struct jc_entry){ .rip = rip, .code = code };
}

static void jc_clear_class(struct bt_vcpu *v, unsigned class)
{
	for (unsigned i = 0; i < JC_SIZE; i++)
		v->jc[class][i].rip = TLB_INVALID;
	page_filter_clear(&v->jc_pages[class]);
	v->jc_listed[class] = 0;
	v->jc_global[class] = false;
}

void jc_init(struct bt_vcpu *v)
{
	jc_clear_class(v, TLB_KERNEL);
	jc_clear_class(v, TLB_USER);
}

void jc_flush_class(struct bt_vcpu *v, unsigned class, bool global)
{
	v->itlb_gen[class][0]++;
	v->itlb_gen[class][1] += global;
	if (global && v->jc_global[class]) {
		jc_clear_class(v, class);
		return;
	}
	for (uint32_t i = 0; i < v->jc_listed[class]; i++)
		if (jc_is_local(v, class, v->jc_list[class][i]))
			v->jc[class][v->jc_list[class][i]].rip = TLB_INVALID;
	v->jc_listed[class] = 0;
	if (!v->jc_global[class] && v->jc_pages[class].n > PAGE_FILTER_STALE)
		page_filter_clear(&v->jc_pages[class]);
}

void jc_flush(struct bt_vcpu *v, bool global)
{
	jc_flush_class(v, TLB_KERNEL, global);
	jc_flush_class(v, TLB_USER, global);
}

/* The same by the list, when every entry is in it and there are few. */
static void jc_flush_listed(struct bt_vcpu *v, unsigned class, uint64_t first)
{
	for (uint32_t i = 0; i < v->jc_listed[class]; i++) {
		struct jc_entry *e = &v->jc[class][v->jc_list[class][i]];

		if (e->rip - first < PAGE_SIZE + INSN_MAX - 1)
			e->rip = TLB_INVALID;
	}
}

/*
 * Entries of one page are scattered: every rip that the page can have is looked
 * up. So are the last bytes of the page before, where an instruction may begin
 * that ends on this one. The filter keeps that from happening for data pages.
 */
static void jc_flush_code_page(struct bt_vcpu *v, unsigned class, uint64_t page)
{
	uint64_t first = (page << PAGE_SHIFT) - (INSN_MAX - 1);

	if (!v->jc_global[class] && v->jc_listed[class] < PAGE_SIZE) {
		jc_flush_listed(v, class, first);
		return;
	}
	for (unsigned i = 0; i < PAGE_SIZE + INSN_MAX - 1; i++) {
		struct jc_entry *e = &v->jc[class][jc_index(first + i)], *other = &v->jc[class][jc_index(first + i) ^ 1];

		if (e->rip == first + i)
			e->rip = TLB_INVALID;
		if (other->rip == first + i)
			other->rip = TLB_INVALID;
	}
}

void jc_flush_page(struct bt_vcpu *v, uint64_t va)
{
	uint64_t page = va >> PAGE_SHIFT;

	for (unsigned class = 0; class < 2; class++) {
		struct bt_itlb *t = &v->itlb[class][page & 255];

		if (t->va == page << PAGE_SHIFT)
			t->gen = 0;
		if (page_filter_has(&v->jc_pages[class], page) || page_filter_has(&v->jc_pages[class], page - 1))
			jc_flush_code_page(v, class, page);
	}
}

/* ---- changes from other threads --------------------------------------------------- */

static void remapped(struct bt_vm *vm, uint64_t gpa)
{
	FOR_EACH_VCPU(vm, w)
		tlb_protect_gpa(w, gpa, true);
}

static void inval_one(struct bt_vcpu *v, const struct bt_inval *i)
{
	uint64_t last = (i->gpa + i->len - 1) >> PAGE_SHIFT;

	if (i->remapped)
		smp_stop(v, SMP_ALL);
	for (uint64_t page = i->gpa >> PAGE_SHIFT; page <= last; page++) {
		uint64_t gpa = page << PAGE_SHIFT;

		if (i->remapped)
			bt_code_invalidate(v, gpa, PAGE_SIZE);
		else
			bt_code_invalidate(v, gpa > i->gpa ? gpa : i->gpa,
					   (uint32_t)(PAGE_SIZE - (gpa > i->gpa ? 0 : i->gpa & ~PAGE_MASK)));
		if (i->remapped)
			remapped(v->vm, gpa);
		if (v->spt)
			shadow_changed(v, gpa, i->remapped);
	}
	if (i->remapped) {
		FOR_EACH_VCPU(v->vm, w)
			jc_flush(w, true);
	}
}

static void inval_all(struct bt_vcpu *v)
{
	smp_stop(v, SMP_ALL);
	cache_flush(v);
	FOR_EACH_VCPU(v->vm, w)
		tlb_flush(w, true);
	if (v->spt)
		shadow_clear(v);
}

/* Whoever comes with nothing left has waited, by the lock, for the one who serves it. */
void cache_serve_inval(struct bt_vcpu *v)
{
	struct bt_vm *vm = v->vm;
	struct bt_inval inval[INVAL_MAX];
	uint32_t n;
	bool all;

	smp_lock(v);
	pthread_mutex_lock(&vm->inval_lock);
	n = vm->n_inval;
	all = vm->inval_all;
	bt_copy(inval, vm->inval, n * sizeof(inval[0]));
	vm->n_inval = 0;
	vm->inval_all = false;
	pthread_mutex_unlock(&vm->inval_lock);
	if (all)
		inval_all(v);
	for (uint32_t i = 0; i < n && !all; i++)
		inval_one(v, &inval[i]);
	smp_unlock(v);
}
