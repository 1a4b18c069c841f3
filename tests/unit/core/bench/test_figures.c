/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/figures.h"

static void test_numbers(void **unused)
{
	static const struct {
		const char *(*function)(double value, char buf[FIGURE]);
		double value;
		const char *text;
	} cases[] = {
		{ figure_text, 0, "0" },
		{ figure_text, 0.12346, "0.1235" },
		{ figure_text, 12.345, "12.35" },
		{ figure_text, 123.45, "123.5" },
		{ figure_text, 999.97, "1,000" },
		{ figure_text, 1234.4, "1,234" },
		{ figure_text, 12345678, "12,345,678" },
		{ figure_text, -1234567, "-1,234,567" },
		{ figure_text, 1.5e12, "1.5e+12" },
		{ figure_text, 1e-9, "1e-09" },
		{ figure_text, NAN, "-" },
		{ figure_count, 7, "7" },
		{ figure_count, 41234, "41,200" },
		{ figure_count, 999999, "1,000,000" },
		{ figure_count, NAN, "-" },
		{ figure_time, 85, "85 ns" },
		{ figure_time, 9120, "9.12 µs" },
		{ figure_time, 38100000, "38.1 ms" },
		{ figure_time, 1.2345e11, "123 s" },
		{ figure_time, -1.9e9, "-1.90 s" },
		{ figure_time, 0, "0 ns" },
		{ figure_percent, 0.38, "38 %" },
		{ figure_percent, 0.004, "0.4 %" },
		{ figure_percent, 0, "0 %" },
		{ figure_ratio, 1.3, "1.30×" },
		{ figure_ratio, 0.0123, "0.012×" },
		{ figure_ratio, 27.31, "27.3×" },
		{ figure_ratio, 1234567, "1.2e+06×" },
	};
	/* What any double makes fits. */
	static const double extremes[] = { 1e308, -1e308, 5e-324, INFINITY, -INFINITY, NAN, 999.9999, 99999.99 };
	char buf[FIGURE];

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(cases[i].function(cases[i].value, buf), cases[i].text);
	for (size_t i = 0; i < sizeof(extremes) / sizeof(extremes[0]); i++) {
		assert_true(strlen(figure_text(extremes[i], buf)) < FIGURE);
		assert_true(strlen(figure_count(extremes[i], buf)) < FIGURE);
		assert_true(strlen(figure_time(extremes[i], buf)) < FIGURE);
		assert_true(strlen(figure_percent(extremes[i], buf)) < FIGURE);
		assert_true(strlen(figure_ratio(extremes[i], buf)) < FIGURE);
	}
}

static void check(void (*put)(const char *text, FILE *out), const char *text, const char *expected)
{
	char *written = NULL;
	size_t len;
	FILE *out = open_memstream(&written, &len);

	put(text, out);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(written, expected);
	free(written);
}

static void plain(const char *text, FILE *out)
{
	figure_plain(text, 0, out);
}

static void plain_four(const char *text, FILE *out)
{
	figure_plain(text, 4, out);
}

/* Text that does something to a terminal or a page does nothing. */
static void test_foreign(void **unused)
{
	(void)unused;
	check(plain, "disk µs", "disk µs");
	check(plain, "a\x1b[31mb\r\n\x07", "a?[31mb" "?" "?" "?");
	check(plain, "\xc2\x9b" "31m", "?31m");           /* CSI in one character */
	check(plain, "\xe2\x80\xaetxt", "?txt");           /* right to left */
	check(plain, "\xff\xfe\xc3(", "?" "?" "?(");         /* no UTF-8 */
	check(plain, "\xe2\x82", "??");                    /* half a character at the end */
	check(plain_four, "µµµµµ", "µµµµ");
	check(figure_html, "<a b=\"c\" d='e'>&amp;", "&#60;a b=&#34;c&#34; d=&#39;e&#39;&#62;&#38;amp;");
	check(figure_html, "a\nb\x01", "a b\xef\xbf\xbd");
	assert_int_equal(figure_width("µs\x1b"), 3);
	assert_int_equal(figure_width("\xe2\x82"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_numbers), cmocka_unit_test(test_foreign) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
