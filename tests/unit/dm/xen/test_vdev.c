/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dm/xen/vdev.h"

static void test_numbers(void **state)
{
	static const struct {
		const char *name;
		uint32_t number;
	} good[] = {
	        {"xvda", 51712},
	        {"xvda1", 51713},
	        {"xvdb", 51728},
	        {"xvdp15", 51967},
	        {"xvda16", 1u << 28 | 16},
	        {"xvdq", 1u << 28 | 16 << 8},
	        {"xvdz", 1u << 28 | 25 << 8},
	        {"xvdaa", 1u << 28 | 26 << 8},
	        {"xvdab3", 1u << 28 | 27 << 8 | 3},
	        {"hda", 768},
	        {"hdb1", 833},
	        {"hdc", 5632},
	        {"hdd63", 5759},
	        {"sda", 2048},
	        {"sdp15", 2303},
	};
	uint32_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(vdev_number(good[i].name, &n), 0);
		assert_int_equal(n, good[i].number);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"",        "xvd",    "xvdA",    "xvda0",     "xvda01",
	                                  "xvda256", "xvda1x", "hde",     "hda64",     "sdq",
	                                  "sda16",   "vda",    "nvme0n1", "/dev/xvda", "xvdzzzzzzzzzzz"};
	uint32_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vdev_number(bad[i], &n), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
