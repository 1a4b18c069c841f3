/* SPDX-License-Identifier: MIT */
/* Guest virtual memory through the guest's tables, with its rights. No guest code runs here. */
#include "fake/kvm-rig.h"

#define PT 0x16000u
#define VA 0x40000000ull /* of one table of 4-KiB pages */
#define PAGE 0x200000u   /* what its first entry maps */

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
#define NX (1ull << 63)
#define KEY(n) ((uint64_t)(n) << 59)
#define PKE (1ull << 22) /* of CR4 */

/* Long mode at a privilege, VA mapped by one page with these bits in its last entry. */
static void map_page(struct rig *r, unsigned cpl, uint64_t bits)
{
	uint8_t type = cpl ? 0xf3 : 0x93;

	rig_long(r, RIG_BYTES(0xf4));
	rig_put64(r, RIG_PML4, RIG_PDPT | P | W | U);
	rig_put64(r, RIG_PDPT + 8, (RIG_PD + PAGE_SIZE) | P | W | U);
	rig_put64(r, RIG_PD + PAGE_SIZE, PT | P | W | U);
	rig_put64(r, PT, PAGE | bits);
	rig_put64(r, PT + 8, (PAGE + PAGE_SIZE) | bits);
	if (cpl) {
		r->state.seg[GAMUT_CS].attr |= 3u << 5;
		r->state.seg[GAMUT_CS].selector |= 3;
		r->state.seg[GAMUT_SS].attr = 0xc000u | type;
		r->state.seg[GAMUT_SS].selector |= 3;
	}
	rig_set(r);
}

static int copy(struct rig *r, uint64_t va, void *buf, uint64_t len, bool write)
{
	return engine_kvm.guest_copy(r->v, va, buf, len, write);
}

static void rights_of_a_page(void **state)
{
	static const struct {
		unsigned cpl;
		uint64_t bits, cr0, cr4, flags;
		int read, write;
	} cases[] = {
		{ 0, P | W, 0, 0, 0, 0, 0 },
		{ 0, P, 0, 0, 0, 0, -EFAULT },
		{ 0, P, 0x10000, 0, 0, 0, 0 },                          /* WP off */
		{ 0, 0, 0, 0, 0, -EFAULT, -EFAULT },
		{ 0, P | W | U, 0, 0, 0, 0, 0 },
		{ 0, P | W | U, 0, 1 << 21, 0, -EFAULT, -EFAULT },      /* SMAP */
		{ 0, P | W | U, 0, 1 << 21, 1 << 18, 0, 0 },            /* with AC */
		{ 0, P | W, 0, 1 << 21, 0, 0, 0 },
		{ 3, P | W, 0, 0, 0, -EFAULT, -EFAULT },
		{ 3, P | U, 0, 0, 0, 0, -EFAULT },
		{ 3, P | U, 0x10000, 0, 0, 0, -EFAULT },
		{ 3, P | W | U, 0, 1 << 21, 0, 0, 0 },
		{ 0, P | W | NX, 0, 0, 0, 0, 0 },
	};

	RIG(r);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t word = 0;

		map_page(r, cases[i].cpl, cases[i].bits);
		r->state.cr0 &= ~cases[i].cr0;
		r->state.cr4 |= cases[i].cr4;
		r->state.rflags |= cases[i].flags;
		if (engine_kvm.vcpu_set(r->v, &r->state)) {
			assert_true(cases[i].cr4); /* a processor without SMAP */
			continue;
		}
		rig_put64(r, PAGE, 0x1234);
		if (copy(r, VA, &word, 4, false) != cases[i].read || copy(r, VA, &word, 4, true) != cases[i].write)
			fail_msg("case %u", i);
		if (!cases[i].read)
			assert_int_equal(word, 0x1234);
	}
}

static bool has_keys(struct rig *r)
{
	struct cpuid_entry *entries;
	uint32_t n;
	bool has = false;

	assert_int_equal(engine_kvm.cpuid_supported(r->vm, &entries, &n), 0);
	for (uint32_t i = 0; i < n; i++)
		has |= entries[i].leaf == 7 && entries[i].subleaf == 0 && entries[i].regs[2] & 1u << 3;
	free(entries);
	return has;
}

/* PKRU is the guest's: it writes it itself. */
static void set_pkru(struct rig *r, uint32_t value)
{
	rig_long(r, RIG_BYTES(0x0f, 0x01, 0xef, 0xf4)); /* wrpkru; hlt */
	r->state.cr4 |= PKE;
	r->state.gpr[RAX] = value;
	r->state.gpr[RCX] = r->state.gpr[RDX] = 0;
	rig_set(r);
	rig_wants(r, EXIT_HLT);
}

static void rights_by_protection_key(void **state)
{
	static const struct {
		unsigned cpl;
		uint64_t bits;
		uint32_t pkru; /* two bits a key: no writes, no access */
		uint64_t cr0, cr4; /* to clear */
		int read, write;
	} cases[] = {
		{ 3, P | W | U | KEY(5), 0, 0, 0, 0, 0 },
		{ 3, P | W | U | KEY(5), 1u << 10, 0, 0, -EFAULT, -EFAULT },
		{ 3, P | W | U | KEY(5), 2u << 10, 0, 0, 0, -EFAULT },
		{ 3, P | W | U | KEY(5), ~(3u << 10), 0, 0, 0, 0 },
		{ 3, P | W | U | KEY(5), 3u << 10, 0, PKE, 0, 0 },
		{ 3, P | W | U, 1, 0, 0, -EFAULT, -EFAULT },
		{ 3, P | U | KEY(15), 0, 0, 0, 0, -EFAULT },
		{ 0, P | W | U | KEY(15), 1u << 30, 0, 0, -EFAULT, -EFAULT },
		{ 0, P | W | U | KEY(15), 2u << 30, 0, 0, 0, -EFAULT },
		{ 0, P | W | U | KEY(15), 2u << 30, 0x10000, 0, 0, 0 }, /* WP off */
		{ 0, P | W | KEY(5), 3u << 10, 0, 0, 0, 0 },            /* the kernel's own */
	};

	RIG(r);
	if (!has_keys(r))
		skip();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t word = 0;

		set_pkru(r, cases[i].pkru);
		map_page(r, cases[i].cpl, cases[i].bits);
		r->state.cr0 &= ~cases[i].cr0;
		r->state.cr4 |= PKE & ~cases[i].cr4;
		rig_set(r);
		if (copy(r, VA, &word, 4, false) != cases[i].read || copy(r, VA, &word, 4, true) != cases[i].write)
			fail_msg("case %u", i);
	}
}

/* A table's entry counts like the last one. */
static void rights_are_the_least_on_the_way(void **state)
{
	uint32_t word = 0;

	RIG(r);
	map_page(r, 3, P | W | U);
	assert_int_equal(copy(r, VA, &word, 4, true), 0);
	rig_put64(r, RIG_PDPT + 8, (RIG_PD + PAGE_SIZE) | P | U);
	assert_int_equal(copy(r, VA, &word, 4, true), -EFAULT);
	assert_int_equal(copy(r, VA, &word, 4, false), 0);
	rig_put64(r, RIG_PDPT + 8, (RIG_PD + PAGE_SIZE) | P | W);
	assert_int_equal(copy(r, VA, &word, 4, false), -EFAULT);
}

static void accessed_and_dirty(void **state)
{
	uint32_t word = 0;

	RIG(r);
	map_page(r, 0, P | W);
	rig_put64(r, RIG_PML4, RIG_PDPT | P | W);
	assert_int_equal(copy(r, VA, &word, 4, false), 0);
	assert_int_equal(rig_get64(r, PT), PAGE | P | W | A);
	assert_true(rig_get64(r, RIG_PML4) & A);
	assert_true(rig_get64(r, RIG_PD + PAGE_SIZE) & A);
	assert_int_equal(copy(r, VA, &word, 4, true), 0);
	assert_int_equal(rig_get64(r, PT), PAGE | P | W | A | D);
	assert_false(rig_get64(r, RIG_PD + PAGE_SIZE) & D);
	/* What is refused leaves no mark. */
	rig_put64(r, PT, PAGE | P);
	assert_int_equal(copy(r, VA, &word, 4, true), -EFAULT);
	assert_int_equal(rig_get64(r, PT), PAGE | P);
}

static void copies_cross_pages(void **state)
{
	uint8_t out[PAGE_SIZE + 100], in[PAGE_SIZE + 100];

	RIG(r);
	map_page(r, 0, P | W);
	rig_put64(r, PT + 8, 0x400000 | P | W); /* elsewhere */
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	assert_int_equal(copy(r, VA + PAGE_SIZE - 50, out, 100, true), 0);
	assert_memory_equal(rig_at(r, PAGE + PAGE_SIZE - 50), out, 50);
	assert_memory_equal(rig_at(r, 0x400000), out + 50, 50);
	assert_int_equal(copy(r, VA + PAGE_SIZE - 50, in, 100, false), 0);
	assert_memory_equal(in, out, 100);
	assert_int_equal(copy(r, VA + PAGE_SIZE - 50, in, sizeof(in), false), -EFAULT); /* a third page */
	assert_int_equal(copy(r, VA, in, 0, false), 0);
}

static void addresses_that_cannot_be(void **state)
{
	uint32_t word = 0;

	RIG(r);
	map_page(r, 0, P | W);
	assert_int_equal(copy(r, 0x800000000000, &word, 4, false), -EFAULT);
	assert_int_equal(copy(r, UINT64_MAX - 1, &word, 2, false), -EFAULT);
	rig_put64(r, PT, 0x000fffffff000000 | P | W); /* beyond all memory */
	assert_int_equal(copy(r, VA, &word, 4, false), -EFAULT);
	rig_put64(r, PT, RIG_HOLE | P | W); /* MMIO is no memory */
	assert_int_equal(copy(r, VA, &word, 4, false), -EFAULT);
	rig_put64(r, RIG_PD + PAGE_SIZE, RIG_HOLE | P | W); /* nor a table */
	assert_int_equal(copy(r, VA, &word, 4, false), -EFAULT);
}

/* A write to ROM goes nowhere, and is no fault. */
static void rom_stays_as_it_is(void **state)
{
	uint32_t word = 0x77;

	RIG(r);
	map_page(r, 0, P | W);
	r->mem.kind[PAGE >> PAGE_SHIFT] = MEM_ROM;
	rig_put64(r, PAGE, 0x1234);
	assert_int_equal(copy(r, VA, &word, 4, true), 0);
	assert_int_equal(copy(r, VA, &word, 4, false), 0);
	assert_int_equal(word, 0x1234);
}

static void large_pages(void **state)
{
	uint64_t word = 0;

	RIG(r);
	rig_long(r, RIG_BYTES(0xf4));
	rig_put64(r, 0x654321, 0x1122334455667788);
	assert_int_equal(copy(r, 0x654321, &word, 8, false), 0); /* 2 MiB */
	assert_int_equal(word, 0x1122334455667788);
	rig_put64(r, RIG_PDPT + 8, 0 | P | W | PS); /* 1 GiB */
	word = 0;
	assert_int_equal(copy(r, VA + 0x654321, &word, 8, false), 0);
	assert_int_equal(word, 0x1122334455667788);
	rig_put64(r, RIG_PML4, RIG_PDPT | P | W | PS); /* there is none larger */
	assert_int_equal(copy(r, VA, &word, 8, false), -EFAULT);
}

/* ---- the older formats ---------------------------------------------------------------- */

static void protected_mode(struct rig *r, uint64_t cr4)
{
	rig_real(r, RIG_BYTES(0xf4));
	for (unsigned i = 0; i < 6; i++)
		r->state.seg[i] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = 8, .attr = 0xc093 };
	r->state.seg[GAMUT_CS].attr = 0xc09b;
	r->state.cr0 = 0x80010011;
	r->state.cr3 = RIG_PML4;
	r->state.cr4 = cr4;
}

static void two_levels(void **state)
{
	uint32_t *pd, *pt, word = 0;

	RIG(r);
	protected_mode(r, 0x10); /* PSE */
	pd = (uint32_t *)rig_at(r, RIG_PML4);
	pt = (uint32_t *)rig_at(r, PT);
	memset(pd, 0, PAGE_SIZE);
	pd[0] = 0 | P | W | PS;
	pd[1] = PT | P | W;
	pt[2] = PAGE | P | W;
	pd[2] = 0 | 1u << 13 | P | W | PS; /* PSE-36: 4 GiB, where there is nothing */
	rig_set(r);
	rig_put64(r, PAGE, 0xabcd);
	assert_int_equal(copy(r, 0x402000, &word, 4, false), 0);
	assert_int_equal(word, 0xabcd);
	assert_int_equal(pt[2], PAGE | P | W | A);
	word = 0;
	assert_int_equal(copy(r, PAGE, &word, 4, false), 0);
	assert_int_equal(word, 0xabcd);
	assert_int_equal(copy(r, 0x800000, &word, 4, false), -EFAULT);
	assert_int_equal(copy(r, 0x403000, &word, 4, false), -EFAULT);
	assert_int_equal(copy(r, 1ull << 32 | PAGE, &word, 4, false), -EFAULT);
}

static void three_levels(void **state)
{
	uint32_t word = 0;

	RIG(r);
	protected_mode(r, 0x20); /* PAE */
	rig_put64(r, RIG_PML4, RIG_PDPT | P);
	rig_put64(r, RIG_PDPT, 0 | P | W | PS);
	rig_put64(r, RIG_PDPT + 8, PT | P | W);
	rig_put64(r, PT, PAGE | P | W);
	rig_set(r);
	rig_put64(r, PAGE, 0xabcd);
	assert_int_equal(copy(r, 0x200000, &word, 4, true), 0);
	assert_int_equal(rig_get64(r, RIG_PML4), RIG_PDPT | P); /* has no such bits */
	assert_int_equal(rig_get64(r, PT), PAGE | P | W | A | D);
	assert_int_equal(copy(r, 0x201000, &word, 4, false), -EFAULT);
}

static void no_paging(void **state)
{
	uint32_t word = 0;

	RIG(r);
	rig_real(r, RIG_BYTES(0xf4));
	rig_put64(r, 0x12345, 0xabcd);
	assert_int_equal(copy(r, 0x12345, &word, 4, false), 0);
	assert_int_equal(word, 0xabcd);
	assert_int_equal(copy(r, RIG_MEM - 2, &word, 4, false), -EFAULT);
	assert_int_equal(copy(r, 1ull << 32, &word, 4, false), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(rights_of_a_page),
		RIG_TEST(rights_by_protection_key),
		RIG_TEST(rights_are_the_least_on_the_way),
		RIG_TEST(accessed_and_dirty),
		RIG_TEST(copies_cross_pages),
		RIG_TEST(addresses_that_cannot_be),
		RIG_TEST(rom_stays_as_it_is),
		RIG_TEST(large_pages),
		RIG_TEST(two_levels),
		RIG_TEST(three_levels),
		RIG_TEST(no_paging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
