/* SPDX-License-Identifier: MIT */
/*
 * The page tables that user mode runs on.
 *
 * They only ever gain: an entry becomes present, or gets a right more, which
 * every MMU (a shadowing KVM included) learns from the fault that it meets.
 * What would lose something is a new set of tables, from pages that were not
 * used since KVM last forgot everything.
 */
#include <string.h>

#include "engine/kvm/direct.h"

#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define NX (1ull << 63)
#define FRAME 0xffffffffff000ull
#define TABLE 512u

static uint64_t *own(const struct direct_space *s, uint64_t gpa)
{
	return (uint64_t *)(void *)(s->pool + (gpa - s->pool_gpa));
}

/* A zeroed page for a table, or 0. */
static uint64_t take(struct direct_space *s)
{
	uint64_t gpa;

	if (s->used == s->n_pages)
		return 0;
	gpa = s->pool_gpa + (uint64_t)s->used++ * PAGE_SIZE;
	memset(own(s, gpa), 0, PAGE_SIZE);
	return gpa;
}

static void start(struct direct_space *s, uint64_t guest, const struct direct_fixed *fixed)
{
	s->root = take(s);
	s->guest = guest;
	own(s, s->root)[fixed->slot] = fixed->entry;
	memset(s->writable, 0, s->mem->limit >> PAGE_SHIFT);
}

bool direct_space_drop(struct direct_space *s, uint64_t guest, const struct direct_fixed *fixed)
{
	/* A set of tables takes four pages at the least; half of the pool lets a large one grow. */
	bool again = s->n_pages - s->used < (s->n_pages - s->first) / 2;

	if (again)
		s->used = s->first;
	s->n_drop++;
	start(s, guest, fixed);
	return again;
}

/* The guest's table that an entry leads to, or NULL. Copied once: the guest cannot change it while we look, but may any other time. */
static _Atomic uint64_t *guest_table(const struct direct_space *s, uint64_t entry)
{
	uint64_t gpa = entry & FRAME;

	return mem_kind(s->mem, gpa) == MEM_RAM ? (_Atomic uint64_t *)(void *)(s->mem->base + gpa) : NULL;
}

static unsigned slot_of(uint64_t va, unsigned level)
{
	return (unsigned)(va >> (12 + 9 * level)) & (TABLE - 1);
}

/* The guest's lowest table for va, with the rights that the levels above leave. NULL: not mapped, or by a large page. */
static _Atomic uint64_t *guest_l1(const struct direct_space *s, uint64_t va, uint64_t *rights)
{
	_Atomic uint64_t *table = guest_table(s, s->guest);

	*rights = W;
	for (unsigned level = 3; level > 0 && table; level--) {
		uint64_t e = atomic_load_explicit(&table[slot_of(va, level)], memory_order_relaxed);

		if ((e & (P | U)) != (P | U) || (level < 3 && (e & PS)))
			return NULL;
		atomic_fetch_or_explicit(&table[slot_of(va, level)], A, memory_order_relaxed);
		*rights = (*rights & e & W) | ((*rights | e) & NX);
		table = guest_table(s, e);
	}
	return table;
}

/* Own lowest table for va; NULL when the pool is used up. */
static uint64_t *own_l1(struct direct_space *s, uint64_t va)
{
	uint64_t *table = own(s, s->root);

	for (unsigned level = 3; level > 0; level--) {
		uint64_t *e = &table[slot_of(va, level)];

		if (!(*e & P)) {
			uint64_t gpa = take(s);

			if (!gpa)
				return NULL;
			__atomic_store_n(e, gpa | P | W | U | A | D, __ATOMIC_RELEASE);
		}
		table = own(s, *e & FRAME);
	}
	return table;
}

/* What an entry of the guest allows here; 0: nothing. A is set there, for it may be used from now on. */
static uint64_t translate_entry(struct direct_space *s, _Atomic uint64_t *at, uint64_t rights)
{
	uint64_t e = atomic_load_explicit(at, memory_order_relaxed), gpa = e & FRAME, out;

	if ((e & (P | U)) != (P | U) || mem_kind(s->mem, gpa) != MEM_RAM)
		return 0;
	if (!(e & A))
		atomic_fetch_or_explicit(at, A, memory_order_relaxed);
	out = gpa | P | U | A | D | ((rights | e) & NX);
	if (rights & e & W && e & D && !atomic_load_explicit(&s->mem->code[gpa >> PAGE_SHIFT], memory_order_relaxed)) {
		s->writable[gpa >> PAGE_SHIFT] = 1;
		out |= W;
	}
	return out;
}

/* A right that is here already is never taken away: see bt_handover_pte for that. */
static bool gains(uint64_t old, uint64_t e)
{
	return e && (!(old & P) || (!(old & W) && e & W && (old & FRAME) == (e & FRAME)));
}

bool direct_space_fill(struct direct_space *s, uint64_t va, bool write, bool fetch)
{
	uint64_t rights, *mine, e;
	_Atomic uint64_t *guest;

	if (va >> 47)
		return false;
	guest = guest_l1(s, va, &rights);
	if (!guest)
		return false;
	mine = own_l1(s, va);
	if (!mine)
		return false;
	e = translate_entry(s, &guest[slot_of(va, 0)], rights);
	if (!e || (write && !(e & W)) || (fetch && (e & NX)))
		return false;
	s->n_fill++;
	for (unsigned i = 0; i < TABLE; i++) {
		e = translate_entry(s, &guest[i], rights);
		if (gains(mine[i], e))
			__atomic_store_n(&mine[i], e, __ATOMIC_RELEASE);
	}
	return true;
}
