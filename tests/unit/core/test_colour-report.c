/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "colour-report.h"

/* A PVHVM domain with an IDE disk and a Xen one, a second after it started and another second later. */
static json_t *snapshot(int seconds)
{
	json_error_t error;
	json_t *j = json_pack_ex(
	        &error, 0,
	        "{s:s, s:I, s:i, s:{s:s}, s:[{}],"
	        " s:[{s:s,s:s,s:s,s:s,s:i,s:I,s:I}, {s:s,s:s,s:s,s:s,s:i,s:I,s:I}, {s:s,s:s,s:s,s:s,s:i,s:I,s:I}],"
	        " s:[{s:s,s:s,s:s,s:s,s:s,s:i}, {s:s,s:s,s:s,s:s,s:s,s:i}, {s:s,s:s,s:s,s:s,s:s,s:i},"
	        "    {s:s,s:s,s:s,s:s,s:s,s:i}, {s:s,s:s}]}",
	        "domain", "web", "wall_ns", (json_int_t)1000000000 * seconds, "resets", 0, "engine", "name", "bt", "vcpus",
	        "plugins", /* */
	        "name", "disk-ide.0", "axis", "disk", "choice", "ide", "colour", "V", "exits", 1000, "exit_ns",
	        (json_int_t)5000000, "io_ns", (json_int_t)0, /* */
	        "name", "disk-xen.1", "axis", "disk", "choice", "xen", "colour", "P", "exits", 50 * seconds, "exit_ns",
	        (json_int_t)1000000 * seconds, "io_ns", (json_int_t)9000000 * seconds, /* */
	        "name", "platform-pc.0", "axis", "platform", "choice", "pc", "colour", "V", "exits", 7, "exit_ns",
	        (json_int_t)0, "io_ns", (json_int_t)0, "signs", /* */
	        "axis", "disk", "colour", "V", "family", "ide", "plugin", "disk-ide.0", "name", "requests", "count", 500,
	        /* */
	        "axis", "disk", "colour", "P", "family", "xen", "plugin", "disk-xen.1", "name", "requests", "count",
	        40 * seconds, /* */
	        "axis", "platform", "colour", "V", "family", "pc", "plugin", "platform-pc.0", "name", "pci", "count", 9,
	        /* */
	        "axis", "interrupts", "colour", "P", "family", "xen", "plugin", "interrupts-xen.0", "name", "vector",
	        "count", 1, /* */
	        "axis", "weather", "colour", "blue");

	if (!j)
		fail_msg("%s", error.text);
	return j;
}

static const json_t *at(const json_t *j, const char *a, const char *b, const char *c)
{
	j = json_object_get(j, a);
	j = b ? json_object_get(j, b) : j;
	return c ? json_object_get(j, c) : j;
}

static void rates_are_between_two_looks(void **state)
{
	json_t *before = snapshot(1), *now = snapshot(2), *report = colour_report(now, before);
	const json_t *disk = at(report, "axes", "disk", NULL);

	(void)state;
	assert_string_equal(json_string_value(at(report, "mode", NULL, NULL)), "PVHVM");
	/* What it came to, and what else was seen. */
	assert_string_equal(json_string_value(at(disk, "observed", "choice", NULL)), "xen");
	assert_int_equal(json_array_size(at(disk, "configured", NULL, NULL)), 2);
	assert_int_equal(json_array_size(at(disk, "also", NULL, NULL)), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(at(disk, "also", NULL, NULL), 0), "choice")), "ide");
	assert_true(json_real_value(at(disk, "exits_per_s", NULL, NULL)) == 50.0);
	assert_float_equal(json_real_value(at(disk, "load", NULL, NULL)), 0.01, 1e-6);
	assert_int_equal(json_integer_value(at(disk, "exits", NULL, NULL)), 1100);
	assert_true(json_is_null(at(report, "axes", "net", "observed")));
	json_decref(report);

	/* The first look: over all that was. */
	report = colour_report(now, NULL);
	disk = at(report, "axes", "disk", NULL);
	assert_string_equal(json_string_value(at(disk, "observed", "choice", NULL)), "xen");
	assert_true(json_real_value(at(disk, "exits_per_s", NULL, NULL)) == 550.0);
	json_decref(report);

	/* Numbers that went back were started over. */
	report = colour_report(before, now);
	assert_string_equal(json_string_value(at(report, "mode", NULL, NULL)), "PVHVM");
	json_decref(report);
	json_decref(before);
	json_decref(now);
}

/* Who looks is told nothing of the configuration: with other plugins in it, the guest is where it is. */
static void configuration_does_not_help(void **state)
{
	json_t *now = snapshot(1), *report;
	json_t *plain = colour_report(now, NULL);

	(void)state;
	colour_hide_configuration(now);
	assert_null(json_object_get(now, "plugins"));
	report = colour_report(now, NULL);
	assert_true(json_equal(at(report, "axes", "disk", "observed"), at(plain, "axes", "disk", "observed")));
	assert_int_equal(json_array_size(at(report, "axes", "disk", "configured")), 0);
	json_decref(plain);
	assert_string_equal(json_string_value(at(report, "mode", NULL, NULL)), "PVHVM");
	json_decref(report);
	json_decref(now);
}

static void what_is_printed(void **state)
{
	json_t *now = snapshot(1), *report = colour_report(now, NULL);
	char *text = NULL;
	size_t len = 0;

	(void)state;
	for (int ansi = 0; ansi < 2; ansi++) {
		FILE *out = open_memstream(&text, &len);

		colour_print(report, ansi, out);
		fclose(out);
		assert_non_null(strstr(text, "PVHVM"));
		assert_non_null(strstr(text, "disk-xen.1"));
		assert_non_null(strstr(text, "vector 1"));
		assert_int_equal(strchr(text, '\x1b') != NULL, ansi);
		free(text);
	}
	json_decref(report);
	json_decref(now);
}

/* After a reset the guest is another, whatever the one before did: as much as before is still all that is new. */
static void a_reset_starts_over(void **state)
{
	json_t *before = snapshot(1), *now = snapshot(2), *report;
	const json_t *sign;

	(void)state;
	json_object_set_new(now, "resets", json_integer(1));
	json_object_set_new(now, "state", json_string("paused"));
	report = colour_report(now, before);
	sign = json_array_get(at(report, "axes", "disk", "signs"), 0);
	assert_true(json_real_value(json_object_get(sign, "per_s")) == 500.0);
	assert_string_equal(json_string_value(at(report, "state", NULL, NULL)), "paused");
	json_decref(report);
	json_decref(now);
	json_decref(before);
}

static void nothing_at_all(void **state)
{
	json_t *now = json_object(), *report = colour_report(now, NULL);

	(void)state;
	assert_string_equal(json_string_value(at(report, "mode", NULL, NULL)), "none yet");
	json_decref(report);
	json_decref(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_between_two_looks),
		cmocka_unit_test(configuration_does_not_help),
		cmocka_unit_test(what_is_printed),
		cmocka_unit_test(a_reset_starts_over),
		cmocka_unit_test(nothing_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
