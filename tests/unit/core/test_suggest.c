/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "suggest.h"

static void distances(void **state)
{
	(void)state;
	assert_int_equal(suggest_distance("", "", 3), 0);
	assert_int_equal(suggest_distance("disk", "disk", 3), 0);
	assert_int_equal(suggest_distance("Disk", "dISK", 3), 0);
	assert_int_equal(suggest_distance("disk", "disks", 3), 1);
	assert_int_equal(suggest_distance("dsik", "disk", 3), 1);
	assert_int_equal(suggest_distance("risk", "disk", 3), 1);
	assert_int_equal(suggest_distance("", "abc", 3), 3);
	assert_int_equal(suggest_distance("kitten", "sitting", 5), 3);
	assert_int_equal(suggest_distance("abcdef", "ghijkl", 9), 6);
}

static void distance_stops_at_the_limit(void **state)
{
	(void)state;
	assert_int_equal(suggest_distance("kitten", "sitting", 2), 3);
	assert_int_equal(suggest_distance("abcdef", "ghijkl", 1), 2);
	assert_int_equal(suggest_distance("a", "abcdefgh", 0), 1);
}

static void long_words_are_far_from_everything(void **state)
{
	char word[SUGGEST_MAX + 2], longest[SUGGEST_MAX + 1];

	(void)state;
	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = 0;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	assert_int_equal(suggest_distance(word, word, 4), 5);
	assert_int_equal(suggest_distance(longest, longest, 4), 0);
}

static void nearest(void **state)
{
	static const char *const words[] = {"memory", "mode", "vcpus", "kernel", "on_reboot"};
	const size_t n = sizeof(words) / sizeof(words[0]);

	(void)state;
	assert_string_equal(suggest_nearest("memmory", words, n), "memory");
	assert_string_equal(suggest_nearest("cpus", words, n), "vcpus");
	assert_string_equal(suggest_nearest("onreboot", words, n), "on_reboot");
	assert_string_equal(suggest_nearest("mdoe", words, n), "mode");
	assert_null(suggest_nearest("xyzzy", words, n));
	assert_null(suggest_nearest("", words, n));
	assert_null(suggest_nearest("memory", words, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(distances),
	        cmocka_unit_test(distance_stops_at_the_limit),
	        cmocka_unit_test(long_words_are_far_from_everything),
	        cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
