/* SPDX-License-Identifier: MIT */
/* The page tables that a PV guest's user mode runs on: what they take over of the guest's, and what never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/kvm/direct.h"

#define RAM (8ull << 20)
#define POOL 64u
#define POOL_GPA (1ull << 38)
#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define NX (1ull << 63)
#define FRAME 0xffffffffff000ull

#define L4 0x100000ull
#define L3 0x101000ull
#define L2 0x102000ull
#define L1 0x103000ull
#define VA 0x7f1234400000ull /* the first page that L1 maps */

struct setup {
	struct mem mem;
	struct direct_space space;
	struct direct_fixed fixed;
};

static uint64_t *at(struct setup *s, uint64_t gpa)
{
	return (uint64_t *)(void *)(s->mem.base + gpa);
}

static void link_tables(struct setup *s, uint64_t rights)
{
	at(s, L4)[VA >> 39 & 511] = L3 | P | U | rights;
	at(s, L3)[VA >> 30 & 511] = L2 | P | U | rights;
	at(s, L2)[VA >> 21 & 511] = L1 | P | U | rights;
}

static int setup(void **state)
{
	struct setup *s = calloc(1, sizeof(*s));
	char err[128];

	if (!s || mem_init(&s->mem, RAM, err, sizeof(err)))
		return -1;
	s->fixed = (struct direct_fixed){ DIRECT_SLOT, POOL_GPA | 0x63 };
	s->space = (struct direct_space){ .mem = &s->mem, .pool_gpa = POOL_GPA, .n_pages = POOL, .first = 2, .used = 2 };
	s->space.pool = calloc(POOL, PAGE_SIZE);
	s->space.writable = calloc(s->mem.limit >> PAGE_SHIFT, 1);
	link_tables(s, W);
	direct_space_drop(&s->space, L4, &s->fixed);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct setup *s = *state;

	free(s->space.pool);
	free(s->space.writable);
	mem_finish(&s->mem);
	free(s);
	return 0;
}

/* The entry that our own tables have for va; 0: none. */
static uint64_t own(const struct setup *s, uint64_t va)
{
	uint64_t gpa = s->space.root, e = 0;

	for (int level = 3; level >= 0; level--) {
		const uint64_t *table = (const uint64_t *)(const void *)(s->space.pool + (gpa - POOL_GPA));

		e = table[va >> (12 + 9 * level) & 511];
		if (!(e & P))
			return 0;
		gpa = e & FRAME;
	}
	return e;
}

static void test_fills_around_the_fault(void **state)
{
	struct setup *s = *state;

	at(s, L1)[0] = 0x200000 | P | U | W | A | D;
	at(s, L1)[511] = 0x201000 | P | U | NX;
	assert_true(direct_space_fill(&s->space, VA + 0x123, true, false));
	assert_int_equal(own(s, VA) & (FRAME | P | U | W | NX), 0x200000 | P | U | W);
	assert_int_equal(own(s, VA + 511 * PAGE_SIZE) & (FRAME | P | U | W | NX), 0x201000 | P | U | NX);
	assert_int_equal(own(s, VA + PAGE_SIZE), 0);
	/* What may be used without our knowledge counts as used. */
	assert_true(at(s, L1)[511] & A);
	assert_false(at(s, L1)[511] & D);
}

static void test_refusals(void **state)
{
	struct setup *s = *state;
	static const struct {
		uint64_t entry;
		bool write, fetch, ok;
	} cases[] = {
		{ 0x200000 | U | W | D, false, false, false },           /* not present */
		{ 0x200000 | P | W | D, false, false, false },           /* the kernel's */
		{ 0x200000 | P | U, true, false, false },                /* read-only */
		{ 0x200000 | P | U | W, true, false, false },            /* D is to be set by the translator */
		{ 0x200000 | P | U | W | D | NX, false, true, false },   /* no code */
		{ RAM | P | U | W | D, false, false, false },            /* no memory */
		{ FRAME | P | U | W | D, false, false, false },
		{ 0x200000 | P | U | W | D, true, true, true },
		{ 0x200000 | P | U, false, true, true },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		direct_space_drop(&s->space, L4, &s->fixed);
		at(s, L1)[0] = cases[i].entry;
		assert_int_equal(direct_space_fill(&s->space, VA, cases[i].write, cases[i].fetch), cases[i].ok);
	}
	assert_false(direct_space_fill(&s->space, 0x800000000000ull, false, false));
	assert_false(direct_space_fill(&s->space, ~0ull, false, false));
}

static void test_rights_of_upper_levels(void **state)
{
	struct setup *s = *state;

	at(s, L1)[0] = 0x200000 | P | U | W | D;
	link_tables(s, NX);
	assert_false(direct_space_fill(&s->space, VA, true, false));
	assert_false(direct_space_fill(&s->space, VA, false, true));
	assert_true(direct_space_fill(&s->space, VA, false, false));
	at(s, L2)[VA >> 21 & 511] |= 0x80;
	direct_space_drop(&s->space, L4, &s->fixed);
	assert_false(direct_space_fill(&s->space, VA, false, false));
}

static void test_code_stays_read_only(void **state)
{
	struct setup *s = *state;

	at(s, L1)[0] = 0x200000 | P | U | W | D;
	s->mem.code[0x200] = 1;
	assert_false(direct_space_fill(&s->space, VA, true, false));
	assert_true(direct_space_fill(&s->space, VA, false, true));
	assert_int_equal(s->space.writable[0x200], 0);
	s->mem.code[0x200] = 0;
	assert_true(direct_space_fill(&s->space, VA, true, false));
	assert_int_equal(s->space.writable[0x200], 1);
}

static void test_only_gains(void **state)
{
	struct setup *s = *state;

	at(s, L1)[0] = 0x200000 | P | U | W | D;
	at(s, L1)[1] = 0x201000 | P | U;
	assert_true(direct_space_fill(&s->space, VA, true, false));
	at(s, L1)[0] = 0x300000 | P | U | W | D;
	at(s, L1)[1] = 0x201000 | P | U | W | D;
	assert_true(direct_space_fill(&s->space, VA + PAGE_SIZE, true, false));
	assert_int_equal(own(s, VA) & FRAME, 0x200000);
	assert_true(own(s, VA + PAGE_SIZE) & W);
	direct_space_drop(&s->space, L4, &s->fixed);
	assert_int_equal(own(s, VA), 0);
	assert_int_equal(s->space.writable[0x200], 0);
	assert_true(direct_space_fill(&s->space, VA, true, false));
	assert_int_equal(own(s, VA) & FRAME, 0x300000);
}

/* Pages are used again only after the caller was told to make KVM forget. */
static void test_pool_runs_out(void **state)
{
	struct setup *s = *state;
	unsigned filled = 0, again = 0;

	at(s, L1)[0] = 0x200000 | P | U | W | D;
	for (unsigned i = 0; i < 512; i++) {
		at(s, L3)[i] = L2 | P | U | W;
		if (!direct_space_fill(&s->space, (VA & ~0x7fffffffffull) | (uint64_t)i << 30 | (VA & 0x3fffffff), false, false))
			break;
		filled++;
	}
	assert_in_range(filled, 1, POOL);
	for (unsigned i = 0; i < 3 * POOL; i++) {
		uint32_t used = s->space.used;
		bool told = direct_space_drop(&s->space, L4, &s->fixed);

		again += told;
		assert_true(told || s->space.used > used);
		assert_true(direct_space_fill(&s->space, VA, true, false));
		assert_true(s->space.used <= POOL);
	}
	assert_true(again >= 1);
}

static void test_stub_frames(void **state)
{
	uint8_t *pool = calloc(DIRECT_PAGES, PAGE_SIZE);
	uint64_t frame[6] = { 7, 0x401000, 0x33, 0x246, 0x7ffe0000, 0x2b };
	struct direct_fixed fixed;
	struct direct_frame f;

	(void)state;
	direct_stub_make(pool, POOL_GPA, &fixed);
	assert_int_equal(fixed.slot, DIRECT_SLOT);
	memcpy(pool + (DIRECT_STACK + 1) * PAGE_SIZE - 48, frame, 48);
	assert_true(direct_stub_frame(pool, DIRECT_VA + EXC_PF * 4 + 2, DIRECT_STACK_TOP - 48, &f));
	assert_int_equal(f.vector, EXC_PF);
	assert_int_equal(f.error, 7);
	assert_int_equal(f.rip, 0x401000);
	assert_int_equal(f.rsp, 0x7ffe0000);
	/* No error code with this one. */
	assert_true(direct_stub_frame(pool, DIRECT_VA + EXC_UD * 4, DIRECT_STACK_TOP - 40, &f));
	assert_int_equal(f.vector, EXC_UD);
	assert_int_equal(f.rip, 0x401000);
	/* SYSCALL where it does not change the level: a fault on its page. */
	frame[1] = DIRECT_LSTAR;
	memcpy(pool + (DIRECT_STACK + 1) * PAGE_SIZE - 48, frame, 48);
	assert_true(direct_stub_frame(pool, DIRECT_VA + EXC_PF * 4, DIRECT_STACK_TOP - 48, &f));
	assert_int_equal(f.vector, DIRECT_SYSCALL);
	assert_int_equal(f.rsp, 0x7ffe0000);
	assert_true(direct_stub_frame(pool, DIRECT_LSTAR + 2, 0x7ffe0000, &f));
	assert_int_equal(f.vector, DIRECT_SYSCALL);
	assert_int_equal(f.cs, 0);
	/* Not ours: user code, and a stack that is somewhere else. */
	assert_false(direct_stub_frame(pool, 0x401000, 0x7ffe0000, &f));
	assert_false(direct_stub_frame(pool, DIRECT_VA + EXC_PF * 4, DIRECT_STACK_TOP - 40, &f));
	assert_false(direct_stub_frame(pool, DIRECT_VA + EXC_PF * 4, 0, &f));
	assert_false(direct_stub_frame(pool, DIRECT_VA + EXC_PF * 4, ~0ull, &f));
	free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fills_around_the_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rights_of_upper_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_code_stays_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_gains, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pool_runs_out, setup, teardown),
		cmocka_unit_test(test_stub_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
