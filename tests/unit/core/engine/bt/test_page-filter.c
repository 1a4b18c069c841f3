/* SPDX-License-Identifier: MIT */
/* The filter misses nothing that is in it, and is seldom wrong about what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/bt/page-filter.h"

#define KERNEL (0xffffffff81000000ull >> 12)
#define USER   (0x00005555deadb000ull >> 12)

static struct page_filter filter;

static int setup(void **state)
{
	(void)state;
	page_filter_clear(&filter);
	return 0;
}

static void what_is_in_it(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 3000; i++)
		page_filter_add(&filter, KERNEL + i);
	for (uint64_t i = 0; i < 3000; i++)
		assert_true(page_filter_has(&filter, KERNEL + i));
	assert_in_range(filter.n, 2900, 3000); /* less what it took for another */
	page_filter_add(&filter, KERNEL);
	assert_in_range(filter.n, 2900, 3000);
	page_filter_clear(&filter);
	for (uint64_t i = 0; i < 3000; i++)
		assert_false(page_filter_has(&filter, KERNEL + i));
	assert_int_equal(filter.n, 0);
}

/* A thousand pages of a kernel in it; neighbours and pages of a process, which differ in few bits. */
static void what_is_not(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		page_filter_add(&filter, KERNEL + i);
	for (uint64_t i = 0; i < 10000; i++) {
		wrong += page_filter_has(&filter, KERNEL + 1000 + i);
		wrong += page_filter_has(&filter, USER + i);
		wrong += page_filter_has(&filter, i << 12);
	}
	assert_in_range(wrong, 0, 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_in_it, setup),
		cmocka_unit_test_setup(what_is_not, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
