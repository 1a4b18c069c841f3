/* SPDX-License-Identifier: MIT */
/* What the engine offers: never more than the host's instructions, always our system architecture, consistent in itself. */
#include <cpuid.h>

#include "fake/bt-rig.h"

static void leaf(struct rig *r, uint32_t index, uint32_t sub, uint32_t out[4])
{
	sys_cpuid(r->v, index, sub, out);
}

static bool bit(struct rig *r, uint32_t index, unsigned reg, unsigned n)
{
	uint32_t x[4];

	leaf(r, index, 0, x);
	return x[reg] >> n & 1;
}

/* Bits of instructions that run natively may be there only when the host has them. */
static void not_more_than_the_host(void **state)
{
	static const struct {
		uint32_t leaf, reg;
		uint32_t ours; /* bits that are the engine's own work */
	} cases[] = {
		{ 1, 2, 0 },
		{ 7, 1, 1u << 0 | 1u << 7 | 1u << 10 },
		{ 0x80000001, 2, 1 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t host[4], guest[4];

		__cpuid_count(cases[i].leaf, 0, host[0], host[1], host[2], host[3]);
		leaf(r, cases[i].leaf, 0, guest);
		assert_int_equal(guest[cases[i].reg] & ~host[cases[i].reg] & ~cases[i].ours, 0);
	}
}

static void what_must_not_be_offered(void **state)
{
	static const struct {
		uint32_t leaf;
		unsigned reg, bit;
	} bits[] = {
		{ 1, 2, 3 },   /* MONITOR */
		{ 1, 2, 5 },   /* VMX */
		{ 1, 2, 17 },  /* PCID */
		{ 1, 2, 21 },  /* x2APIC */
		{ 1, 2, 24 },  /* TSC deadline */
		{ 1, 2, 31 },  /* hypervisor: the platform's */
		{ 1, 3, 9 },   /* APIC: the interrupts plugin's */
		{ 1, 3, 12 },  /* MTRR */
		{ 1, 3, 28 },  /* HTT */
		{ 7, 1, 4 },   /* HLE */
		{ 7, 1, 11 },  /* RTM */
		{ 7, 1, 16 },  /* AVX-512F */
		{ 7, 2, 16 },  /* LA57 */
		{ 0x80000001, 2, 2 },  /* SVM */
		{ 0x80000001, 2, 22 }, /* TOPOEXT */
		{ 1, 3, 1 },   /* VME */
		{ 7, 2, 4 },   /* OSPKE: CR4 has it not */
	};
	struct rig *r = *state;

	rig_long(r, 0);
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		assert_false(bit(r, bits[i].leaf, bits[i].reg, bits[i].bit));
}

static void what_a_64_bit_kernel_needs(void **state)
{
	static const struct {
		uint32_t leaf;
		unsigned reg, bit;
	} bits[] = {
		{ 1, 3, 0 },  { 1, 3, 3 },  { 1, 3, 4 },  { 1, 3, 5 },  { 1, 3, 6 },  { 1, 3, 8 },  { 1, 3, 13 },
		{ 1, 3, 15 }, { 1, 3, 16 }, { 1, 3, 19 }, { 1, 3, 24 }, { 1, 3, 25 }, { 1, 3, 26 },
		{ 0x80000001, 3, 11 }, { 0x80000001, 3, 20 }, { 0x80000001, 3, 26 }, { 0x80000001, 3, 27 },
		{ 0x80000001, 3, 29 }, { 0x80000001, 2, 0 }, { 7, 1, 7 }, { 7, 1, 20 }, { 7, 2, 2 }, { 7, 2, 31 }, { 7, 3, 26 }, { 7, 3, 29 },
	};
	struct rig *r = *state;

	rig_long(r, 0);
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		assert_true(bit(r, bits[i].leaf, bits[i].reg, bits[i].bit));
}

/* Features that need another one do not come alone. */
static void consistency(void **state)
{
	struct rig *r = *state;
	uint32_t x[4];

	rig_long(r, 0);
	if (!bit(r, 1, 2, 26))
		assert_false(bit(r, 1, 2, 28));
	if (!bit(r, 1, 2, 28)) {
		assert_false(bit(r, 1, 2, 12));
		assert_false(bit(r, 1, 2, 29));
		assert_false(bit(r, 7, 1, 5));
	}
	leaf(r, 0x80000008, 0, x);
	assert_in_range(x[0] & 0xff, 40, 46);
	assert_int_equal(x[0] >> 8 & 0xff, 48);
	assert_int_equal(r->v->pa_reserved, 0x000fffffffffffffull & ~0ull << (x[0] & 0xff));
	assert_int_equal(x[2] & 0xff, 0); /* one core */
	leaf(r, 0xd, 0, x);
	if (bit(r, 1, 2, 26)) {
		assert_int_equal(x[0] & ~0x207u, 0);
		assert_int_equal(x[2], 840); /* to the end of PKRU */
		assert_int_equal(bit(r, 7, 2, 3), x[0] >> 9 & 1);
		assert_int_equal(x[1], 576); /* XCR0 is 1 */
		r->v->xcr0 = 7;
		leaf(r, 0xd, 0, x);
		assert_int_equal(x[1], 832);
		r->v->xcr0 = 0x203;
		leaf(r, 0xd, 0, x);
		assert_int_equal(x[1], 840);
		leaf(r, 0xd, 9, x);
		assert_int_equal(x[0], 8);
		assert_int_equal(x[1], 832);
	}
}

static void bits_that_follow_the_state(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	assert_false(bit(r, 1, 2, 27));
	r->v->cr4 |= CR4_OSXSAVE;
	assert_true(bit(r, 1, 2, 27));
	r->v->cr4 |= CR4_PKE;
	assert_true(bit(r, 7, 2, 4));
	for (uint32_t i = 0; i < r->v->n_cpuid; i++)
		if (r->v->cpuid[i].leaf == 1)
			r->v->cpuid[i].regs[3] |= 1u << 9; /* as who models the APIC does */
	assert_true(bit(r, 1, 3, 9));
	r->v->apic_base &= ~APIC_BASE_ENABLE;
	assert_false(bit(r, 1, 3, 9));
}

static void beyond_the_last_leaf(void **state)
{
	struct rig *r = *state;
	uint32_t x[4], max[4], last[4];

	leaf(r, 0, 0, max);
	leaf(r, 0x8fffffff, 0, x);
	if (max[1] == signature_INTEL_ebx) {
		leaf(r, max[0], 0, last);
		assert_memory_equal(x, last, 16);
	} else {
		assert_int_equal(x[0] | x[1] | x[2] | x[3], 0);
	}
	leaf(r, 0x40000000, 0, x); /* until a plugin adds it */
	assert_int_equal(x[0] | x[1] | x[2] | x[3], 0);
	leaf(r, 7, 9, x);
	assert_int_equal(x[0] | x[1] | x[2] | x[3], 0);
}

static void the_hosts_vendor(void **state)
{
	struct rig *r = *state;
	uint32_t host[4], guest[4];

	__cpuid(0, host[0], host[1], host[2], host[3]);
	leaf(r, 0, 0, guest);
	assert_memory_equal(host + 1, guest + 1, 12);
	__cpuid(1, host[0], host[1], host[2], host[3]);
	leaf(r, 1, 0, guest);
	assert_int_equal(host[0], guest[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(not_more_than_the_host), RIG_TEST(what_must_not_be_offered), RIG_TEST(what_a_64_bit_kernel_needs),
		RIG_TEST(consistency), RIG_TEST(bits_that_follow_the_state), RIG_TEST(beyond_the_last_leaf),
		RIG_TEST(the_hosts_vendor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
