/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cpuid-edit.h"

static const struct cpuid_entry base[] = {
	{ .leaf = 1, .regs = { 1, 2, 3, 4 } },
	{ .leaf = 7, .subleaf = 0, .has_subleaf = true, .regs = { 5, 6, 7, 8 } },
	{ .leaf = 7, .subleaf = 1, .has_subleaf = true, .regs = { 9, 10, 11, 12 } },
};

static const struct cpuid_entry *find(const struct cpuid_entry *e, uint32_t n, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < n; i++) {
		if (e[i].leaf == leaf && (!e[i].has_subleaf || e[i].subleaf == subleaf))
			return &e[i];
	}
	return NULL;
}

static void test_edits(void **state)
{
	static const uint32_t regs[4] = { 100, 101, 102, 103 }, other[4] = { 200, 201, 202, 203 };
	static const uint32_t clear[4] = { 0, 0, 3, 0 }, set[4] = { 0, 0, 16, 0 };
	struct cpuid_edits e = { 0 };
	struct cpuid_entry *out;
	uint32_t n;

	(void)state;
	assert_int_equal(cpuid_edits_set(&e, CPUID_ALL_VCPUS, 0x40000000, 0, regs), 0);
	assert_int_equal(cpuid_edits_set(&e, CPUID_ALL_VCPUS, 0x40000003, 0, regs), 0);
	assert_int_equal(cpuid_edits_set(&e, CPUID_ALL_VCPUS, 0x40000003, 1, other), 0);
	assert_int_equal(cpuid_edits_mask(&e, CPUID_ALL_VCPUS, 1, 0, clear, set), 0);
	assert_int_equal(cpuid_edits_mask(&e, CPUID_ALL_VCPUS, 7, 1, clear, set), 0);
	/* Of a leaf that the engine does not have, nothing can be masked. */
	assert_int_equal(cpuid_edits_mask(&e, CPUID_ALL_VCPUS, 0xd, 0, clear, set), 0);
	assert_int_equal(cpuid_edits_set(&e, 1, 0x40000004, 0, other), 0);
	assert_int_equal(cpuid_edits_apply(&e, 0, base, 3, &out, &n), 0);
	assert_int_equal(n, 6);
	assert_int_equal(find(out, n, 1, 0)->regs[2], 16);
	assert_int_equal(find(out, n, 1, 0)->regs[3], 4);
	assert_int_equal(find(out, n, 7, 0)->regs[2], 7);
	assert_int_equal(find(out, n, 7, 1)->regs[2], 24);
	/* Without subleaves it answers for any; with, each for itself. */
	assert_int_equal(find(out, n, 0x40000000, 9)->regs[0], 100);
	assert_int_equal(find(out, n, 0x40000003, 0)->regs[0], 100);
	assert_int_equal(find(out, n, 0x40000003, 1)->regs[0], 200);
	assert_null(find(out, n, 0x40000003, 2));
	assert_null(find(out, n, 0x40000004, 0));
	free(out);
	assert_int_equal(cpuid_edits_apply(&e, 1, base, 3, &out, &n), 0);
	assert_int_equal(find(out, n, 0x40000004, 0)->regs[0], 200);
	free(out);
	cpuid_edits_finish(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_edits) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
