/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bench/compare.h"
#include "synthetic.h"

static double number(const json_t *report, const char *key)
{
	return json_number_value(json_object_get(report, key));
}

/* Compares what two lists of words make; the report is the caller's. */
static json_t *compare(const char *a, const char *b, int expected)
{
	json_t *x = synthetic(a), *y = synthetic(b), *report = NULL;
	int rc = bench_compare(x, y, NULL, false, &report);

	json_decref(x);
	json_decref(y);
	assert_non_null(report);
	if (rc != expected)
		print_message("%s, then %s: %.0f of %.0f changed\n", a, b, number(report, "changed"),
		              number(report, "compared"));
	assert_int_equal(rc, expected);
	return report;
}

/* The same guests again, on a host that is disturbed more, and one that became slower and knows it. */
static void test_same(void **unused)
{
	static const char *const again[][2] = {
		{ "--seed 1", "--seed 2" },
		{ "--seed 3 --rounds 3", "--seed 4 --rounds 3" },
		{ "--seed 5 --rounds 2", "--seed 6 --rounds 2" },
		{ "--seed 7 --noise 3 --disturbed 0.1", "--seed 8 --noise 3 --disturbed 0.1" },
		{ "--seed 9", "--seed 10 --drift 1.02" },
		{ "--seed 11", "--seed 12 --drift 1.2" },
		{ "--seed 15", "--seed 16 --busy 2" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
		json_t *x = synthetic(again[i][0]), *y = synthetic(again[i][1]), *report = NULL;

		assert_true(bench_compare(x, y, NULL, false, &report) >= 0);
		print_message("%s: %.0f of %.0f changed\n", again[i][1], number(report, "changed"), number(report, "compared"));
		assert_true(number(report, "compared") > 150);
		assert_true(number(report, "changed") * 20 <= number(report, "compared"));
		json_decref(report);
		json_decref(x);
		json_decref(y);
	}
}

/* Time burned in the exits of one axis is laid to its charge, whatever else uses time. */
static void test_burn(void **unused)
{
	static const char *const axes[] = { "disk", "interrupts", "console" };

	(void)unused;
	for (size_t i = 0; i < sizeof(axes) / sizeof(axes[0]); i++) {
		char words[64];
		json_t *report;

		snprintf(words, sizeof(words), "--seed %zu --burn %s=20000", 20 + i, axes[i]);
		report = compare("--seed 13", words, 1);
		assert_string_equal(json_string_value(json_object_get(report, "culprit")), axes[i]);
		assert_true(number(report, "culprit_share") > 0.8);
		json_decref(report);
	}
}

/* Back again: better, and no culprit. */
static void test_better(void **unused)
{
	json_t *report = compare("--seed 13 --burn disk=20000", "--seed 14", 1);
	const json_t *changes = json_object_get(report, "changes");

	(void)unused;
	assert_true(json_array_size(changes) > 0);
	for (size_t i = 0; i < json_array_size(changes); i++)
		assert_string_equal(json_string_value(json_object_get(json_array_get(changes, i), "verdict")), "better");
	assert_null(json_object_get(report, "culprit"));
	json_decref(report);
}

static void test_words(void **unused)
{
	json_t *a = synthetic("--seed 1"), *b = synthetic("--seed 2 --burn disk=20000 --small");
	char *text = NULL;

	(void)unused;
	json_object_set_new(json_object_get(b, "host"), "kernel", json_string("6.12\x1b[2J"));
	WRITTEN(text, out, assert_int_equal(bench_compare(a, b, out, false, NULL), 1));
	assert_non_null(strstr(text, "host differs: kernel was \"6.1.0-56-amd64\", is "));
	assert_non_null(strstr(text, "plan differs: burn was absent, is {\"disk\":20000}"));
	assert_non_null(strstr(text, "a row only in a: pv/bt"));
	assert_non_null(strstr(text, "disk explains"));
	assert_null(strchr(text, '\x1b'));
	free(text);
	json_decref(a);
	json_decref(b);
}

static void test_refused(void **unused)
{
	json_t *a = synthetic("--small"), *b = json_object(), *report = NULL;
	char *text = NULL;

	(void)unused;
	WRITTEN(text, out, assert_int_equal(bench_compare(a, b, out, false, &report), -1));
	assert_non_null(strstr(text, "the second: "));
	assert_null(report);
	free(text);
	assert_int_equal(bench_compare(b, a, NULL, false, &report), -1);
	assert_int_equal(bench_compare(NULL, a, NULL, false, &report), -1);
	json_decref(a);
	json_decref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),  cmocka_unit_test(test_burn),    cmocka_unit_test(test_better),
		cmocka_unit_test(test_words), cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
