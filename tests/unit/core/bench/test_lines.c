/* SPDX-License-Identifier: MIT */
/* What a guest says of its measurements, and what else it may print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bench/lines.h"

static struct lines l;

static int setup(void **state)
{
	(void)state;
	return lines_init(&l);
}

static int teardown(void **state)
{
	(void)state;
	lines_finish(&l);
	return 0;
}

/* All of it, in pieces of `step` bytes. */
static void feed(const char *data, size_t n, size_t step)
{
	for (size_t used, piece; n; data += used, n -= used) {
		piece = n < step ? n : step;
		lines_feed(&l, data, piece, &used);
		assert_in_range(used, 1, piece);
	}
}

static void say(const char *text)
{
	feed(text, strlen(text), SIZE_MAX);
}

static double median(const char *key)
{
	const json_t *sample = json_object_get(l.samples, key);

	assert_non_null(sample);
	return json_real_value(json_object_get(sample, "median"));
}

static const char talk[] = "Linux version 6.1\r\nbench: begin linux\r\nbench: fork-exec ns 21 1 2.5 3 4 5\r\n"
			   "[ 1.0] something else\nbench: fork-exec cycles 21 10 20 30 40 50\n"
			   "bench: skip disk-write no disk is there\nbench: turns 20400\nbench: end\n";

static void whole_talk(void **state)
{
	(void)state;
	for (size_t step = 1; step < 40; step++) {
		lines_finish(&l);
		lines_init(&l);
		feed(talk, strlen(talk), step);
		assert_true(l.begun && l.ended);
		assert_int_equal(l.bad, 0);
		assert_int_equal(json_object_size(l.samples), 2);
		assert_true(median("fork-exec ns") == 3);
		assert_true(median("fork-exec cycles") == 30);
		assert_string_equal(json_string_value(json_object_get(l.skipped, "disk-write")), "no disk is there");
		assert_int_equal(l.turns, 20400);
	}
}

static void marks_are_told_where_they_are(void **state)
{
	size_t used;

	(void)state;
	assert_true(lines_feed(&l, talk, strlen(talk), &used));
	assert_true(l.begun && !l.ended);
	assert_int_equal(used, strstr(talk, "bench: fork-exec ns") - talk);
	assert_true(lines_feed(&l, talk + used, strlen(talk) - used, &used));
	assert_true(l.ended);
}

static const char *const bad[] = {
	"bench: nonsense", "bench: begin again", "bench: NAME ns 1 1 1 1 1 1", "bench: a ns 1 1 1 1 1",
	"bench: a ns 1 1 1 1 1 1 1", "bench: a miles 1 1 1 1 1 1", "bench: a ns 0 1 1 1 1 1", "bench: a ns -1 1 1 1 1 1",
	"bench: a ns 1 5 4 3 2 1", "bench: a ns 1 nan nan nan nan nan", "bench: a ns 1 inf inf inf inf inf",
	"bench: a ns 1 1e3 1e3 1e3 1e3 1e3", "bench: a ns 1 1 1 1 1 0x10", "bench: a ns 1 -1 1 1 1 1", "bench: a ns 1 . . . . .",
	"bench: a ns 99999999999999999999 1 1 1 1 1", "bench: a ns 1 1.1.1 2 2 2 2", "bench: skip", "bench: skip a",
	"bench: skip NAME why", "bench: end of it", "bench: turns", "bench: turns 0", "bench: turns -1", "bench: turns 1 2",
	"bench: a ns 1 1 1 1 1 9999999999999999999999999999999999999999999999999999999999999999999999",
};

static void bad_lines_are_counted(void **state)
{
	(void)state;
	say("bench: begin x\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		say(bad[i]);
		say("\n");
		if (l.bad != i + 1)
			fail_msg("taken: %s", bad[i]);
	}
	assert_int_equal(json_object_size(l.samples), 0);
	assert_int_equal(json_object_size(l.skipped), 0);
	assert_false(l.ended);
}

static void nothing_counts_before_or_after(void **state)
{
	(void)state;
	say("bench: a ns 1 1 1 1 1 1\nbench: end\nbench: begin x\nbench: end\nbench: a ns 1 1 1 1 1 1\nbench: begin y\n");
	assert_int_equal(l.bad, 4);
	assert_int_equal(json_object_size(l.samples), 0);
}

static void first_of_a_name_counts(void **state)
{
	(void)state;
	say("bench: begin x\nbench: a ns 1 1 1 1 1 1\nbench: a ns 1 2 2 2 2 2\nbench: a us 1 3 3 3 3 3\n");
	assert_int_equal(l.bad, 1);
	assert_true(median("a ns") == 1);
	assert_true(median("a us") == 3);
}

static void a_line_without_end(void **state)
{
	char junk[4096];

	(void)state;
	memset(junk, 'x', sizeof(junk));
	memcpy(junk, "bench: end", 10);
	say("bench: begin x\n");
	for (int i = 0; i < 1000; i++)
		feed(junk, sizeof(junk), 777);
	assert_int_equal(l.len, LINES_LENGTH);
	say("\nbench: end\n");
	assert_int_equal(l.bad, 1);
	assert_true(l.ended);
}

static void more_names_than_there_can_be(void **state)
{
	char line[80];

	(void)state;
	say("bench: begin x\n");
	for (int i = 0; i < LINES_SAMPLES + 100; i++) {
		snprintf(line, sizeof(line), "bench: a%d ns 1 1 1 1 1 1\nbench: skip b%d why\n", i, i);
		say(line);
	}
	assert_int_equal(json_object_size(l.samples), LINES_SAMPLES);
	assert_int_equal(json_object_size(l.skipped), LINES_SAMPLES);
	assert_int_equal(l.bad, 200);
}

static void bytes_of_any_kind(void **state)
{
	char data[512];

	(void)state;
	srand(1);
	for (int round = 0; round < 2000; round++) {
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = (char)(rand() >> 7);
		memcpy(data, "\nbench: ", 8);
		feed(data, sizeof(data), (size_t)(1 + rand() % 600));
	}
	say("\nbench: skip x \x1b[2J\xff\xfe\n\nlast \x1b\x01 line\xe4\n");
	for (const char *p = l.last; *p; p++)
		assert_in_range(*p, ' ', '~');
	assert_string_equal(l.last, "last ?? line?");
}

static void reasons_are_printable(void **state)
{
	(void)state;
	say("bench: begin x\nbench: skip y \x1b[2J\xff no\n");
	assert_string_equal(json_string_value(json_object_get(l.skipped, "y")), "?[2J? no");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_talk, setup, teardown),
		cmocka_unit_test_setup_teardown(marks_are_told_where_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_lines_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_counts_before_or_after, setup, teardown),
		cmocka_unit_test_setup_teardown(first_of_a_name_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(more_names_than_there_can_be, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_of_any_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(reasons_are_printable, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
