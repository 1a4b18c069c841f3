/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "diag.h"

static char *printed(struct diag *diag)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	diag_print(diag, f, "gamut: ");
	fclose(f);
	return text;
}

static void prints_by_line_within_a_file(void **state)
{
	struct diag diag = {0};
	char *text;

	(void)state;
	assert_int_equal(diag_error(&diag, "b.cfg", 9, "late"), -1);
	diag_note(&diag, "b.cfg", 2, "early %d", 1);
	diag_error(&diag, "b.cfg", 2, "early 2");
	diag_error(&diag, "a.cfg", 1, "another");
	diag_error(&diag, "a.cfg", 0, "whole file");
	diag_error(&diag, NULL, 0, "no file");
	assert_int_equal(diag.n, 6);
	assert_int_equal(diag.n_errors, 5);
	text = printed(&diag);
	assert_string_equal(text, "b.cfg:2: note: early 1\nb.cfg:2: early 2\nb.cfg:9: late\n"
	                          "a.cfg: whole file\na.cfg:1: another\ngamut: no file\n");
	free(text);
	diag_finish(&diag);
	assert_int_equal(diag.n, 0);
	assert_null(diag.entries);
}

static void an_entry_is_one_printable_line(void **state)
{
	struct diag diag = {0};

	(void)state;
	diag_error(&diag, NULL, 0, "a\nb\033[31mc\td\x7f");
	assert_string_equal(diag.entries[0].text, "a?b?[31mc?d?");
	diag_finish(&diag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(prints_by_line_within_a_file),
	        cmocka_unit_test(an_entry_is_one_printable_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
