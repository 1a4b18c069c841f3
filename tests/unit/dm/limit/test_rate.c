/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dm/limit/rate.h"

static void rates_as_xen_has_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes, interval;
	} good[] = {
	        {"10Mb/s", 1250000, 50000000},         {"250KB/s", 250000, 50000000},
	        {"1MB/s@20ms", 1000000, 20000000},     {"1GB/s", 1000000000, 50000000},
	        {"8b/s", 1, 50000000},                 {"7B/s@1s", 7, 1000000000},
	        {"1Gb/s@100us", 125000000, 100000},    {"1Gb/s@2", 125000000, 2000000000},
	        {"4294967295GB/s@4294967295s", 4294967295000000000ull, 4294967295000000000ull},
	};
	struct rate r;

	(void)state;
	for (uint32_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(rate_parse(good[i].text, &r));
		assert_int_equal(r.bytes, good[i].bytes);
		assert_int_equal(r.interval, good[i].interval);
	}
}

static void what_is_none(void **state)
{
	static const char *const bad[] = {"",        "10",       "Mb/s",        "10Mb",      "10 Mb/s",  "-1Mb/s",
	                                  "0Mb/s",   "7b/s",     "10mb/s",      "10Mb/sx",   "10Mb/s@",  "10Mb/s@0ms",
	                                  "1B/s@xs", "1B/s@1ns", "1B/s@1ms1",   "1TB/s",     "0x10B/s",  "4294967296B/s",
	                                  "1B/S",    "1MKB/s",   "1B/s@4294967296s", "1Bb/s"};
	struct rate r;

	(void)state;
	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(rate_parse(bad[i], &r));
}

static void bursts(void **state)
{
	(void)state;
	assert_int_equal(rate_burst(1250000, 50000000), 62500);
	assert_int_equal(rate_burst(1, 1), 1);
	assert_true(rate_burst(UINT64_MAX, UINT64_MAX) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rates_as_xen_has_them), cmocka_unit_test(what_is_none),
	                                   cmocka_unit_test(bursts)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
