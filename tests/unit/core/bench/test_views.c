/* SPDX-License-Identifier: MIT */
/* Table, report and CSV: what must be in them, and that no damage to a results file is any to us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bench/compare.h"
#include "bench/csv.h"
#include "bench/figures.h"
#include "bench/html.h"
#include "bench/table.h"
#include "synthetic.h"

#define KINDS   6
#define HOSTILE "</style><script>x</script>\" onload='\x1b[2J\xe2\x80\xae=1+1"

/* ---- what is in them ------------------------------------------------------------------------ */

static void test_table(void **unused)
{
	json_t *results = synthetic("");
	static const char *const wanted[] = { "pvh/bt", "*", "±", "left out", "failed", "skipped", "not run",
		                              "/dev/kvm of this host is software", "xen-4.17 pvh", "AMD EPYC" };
	char *text = NULL;

	(void)unused;
	WRITTEN(text, out, assert_int_equal(bench_table(results, out, false, 0), 0));
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_non_null(strstr(text, wanted[i]));
	assert_null(strchr(text, '\x1b'));
	free(text);
	WRITTEN(text, out, assert_int_equal(bench_table(results, out, true, 80), 0));
	assert_non_null(strstr(text, "\x1b[31mV"));
	assert_non_null(strstr(text, "\x1b[32mP"));
	assert_non_null(strstr(text, "\x1b[33mVH"));
	free(text);
	json_decref(results);
}

/* A workload that a row cannot have is left out, and no failure. */
static void test_refused(void **unused)
{
	json_t *results = synthetic("");
	static const char why[] = "it takes two processors";
	char *text = NULL;

	(void)unused;
	json_array_append_new(json_object_get(results, "runs"),
	                      json_pack("{s:s, s:s, s:i, s:b, s:s, s:s, s:{}, s:{}}", "row", "xen-4.17 pvh", "workload", "probe",
	                                "round", 0, "warmup", 0, "status", "refused", "why", why, "samples", "skipped"));
	WRITTEN(text, out, assert_int_equal(bench_table(results, out, false, 0), 0));
	assert_non_null(strstr(text, "left out    xen-4.17 pvh probe: it takes two processors"));
	free(text);
	WRITTEN(text, out, assert_int_equal(bench_html(results, out), 0));
	assert_non_null(strstr(text, why));
	free(text);
	json_decref(results);
}

/* Every line of figures keeps to the terminal's width. */
static void test_width(void **unused)
{
	json_t *results = synthetic("");

	(void)unused;
	for (unsigned width = 70; width < 200; width += 13) {
		char *text = NULL, *line, *rest;

		WRITTEN(text, out, assert_int_equal(bench_table(results, out, false, width), 0));
		rest = strchr(strstr(text, "\n\n"), 'p');
		for (line = strtok_r(rest, "\n", &rest); line && strncmp(line, "V emulated", 10); line = strtok_r(NULL, "\n", &rest))
			assert_true(figure_width(line) <= width);
		assert_non_null(line);
		free(text);
	}
	json_decref(results);
}

static void test_html(void **unused)
{
	json_t *results = synthetic("");
	static const char *const wanted[] = {
		"reproduced", "Folk wisdom", "PV drivers beat IDE", "class=\"chip VH\"", "<svg", "class=\"w\"", "explains",
		"left out", "&#60;b&#62;as its kind", "xen-4.17 pvh", "Definitions", "prefers-color-scheme", "</html>",
	};
	static const char *const forbidden[] = { "http://", "https://", "src=", "<b>as its", "nan", "@import", "url(" };
	char *text = NULL;

	(void)unused;
	WRITTEN(text, out, assert_int_equal(bench_html(results, out), 0));
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_non_null(strstr(text, wanted[i]));
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		assert_null(strstr(text, forbidden[i]));
	free(text);
	json_decref(results);
}

/* RFC 4180: as many fields in each line. */
static size_t count_fields(const char **at)
{
	size_t n = 1;
	bool quoted = false;

	for (; **at && (quoted || strncmp(*at, "\r\n", 2)); (*at)++) {
		quoted ^= **at == '"';
		n += !quoted && **at == ',';
	}
	assert_false(quoted);
	assert_string_not_equal(*at, "");
	*at += 2;
	return n;
}

static void test_csv(void **unused)
{
	json_t *results = synthetic(""), *run = json_array_get(json_object_get(results, "runs"), 3);
	const char *at;
	char *text = NULL;
	size_t fields, lines = 0;

	(void)unused;
	json_object_set_new(run, "why", json_string("=cmd|' /C calc'!A0"));
	json_object_set_new(json_object_get(run, "counters"), "later", json_integer(77));
	WRITTEN(text, out, assert_int_equal(bench_csv(results, out), 0));
	assert_int_equal(strncmp(text, "row,mode,engine,kind,disk,disk.colour,", 38), 0);
	at = text;
	fields = count_fields(&at);
	for (; *at; lines++)
		assert_int_equal(count_fields(&at), fields);
	assert_true(lines > 1000);
	assert_non_null(strstr(text, ",\"'=cmd|' /C calc'!A0\","));
	assert_non_null(strstr(text, "\"the guest said nothing for 60 s; its last words: \"\"check disk,\n"));
	assert_non_null(strstr(text, "axes.disk.exit_ns"));
	assert_non_null(strstr(text, ",later,"));
	assert_non_null(strstr(text, "left out"));
	free(text);
	json_decref(results);
}

/* ---- damage --------------------------------------------------------------------------------------- */

static size_t damaged;

/* Every view of a document that somebody broke: an error, or without what is broken. */
static void check(json_t *results, json_t *whole)
{
	char *text = NULL;
	json_t *report = NULL;

	damaged++;
	WRITTEN(text, out, (void)bench_table(results, out, false, 80));
	assert_null(strchr(text, '\x1b'));
	free(text);
	WRITTEN(text, out, (void)bench_html(results, out));
	assert_null(strstr(text, "<script>x"));
	assert_null(strstr(text, "onload='"));
	free(text);
	WRITTEN(text, out, (void)bench_csv(results, out));
	free(text);
	WRITTEN(text, out, (void)bench_compare(whole, results, out, false, &report));
	assert_null(strchr(text, '\x1b'));
	json_decref(report);
	free(text);
	WRITTEN(text, out, (void)bench_compare(results, whole, out, false, &report));
	json_decref(report);
	free(text);
}

static json_t *instead(int kind)
{
	switch (kind) {
	case 0:
		return json_null();
	case 1:
		return json_integer(INT64_MIN + 1);
	case 2:
		return json_real(1.7e308);
	case 3:
		return json_string(HOSTILE);
	case 4:
		return json_pack("[[i], {s:n}]", 1, HOSTILE);
	default:
		return json_pack("{s:{s:s}, s:i}", HOSTILE, "exits", HOSTILE, "median", -5);
	}
}

static void damage(json_t *at, json_t *results, json_t *whole);

static void damage_members(json_t *at, json_t *results, json_t *whole)
{
	const char *key;
	json_t *value, *copy = json_copy(at);

	json_object_foreach(copy, key, value) {
		json_object_del(at, key);
		check(results, whole);
		for (int kind = 0; kind < KINDS; kind++) {
			json_object_set_new(at, key, instead(kind));
			check(results, whole);
		}
		json_object_set(at, key, value);
		json_object_set_new(at, HOSTILE, json_incref(value));
		check(results, whole);
		json_object_del(at, HOSTILE);
		damage(value, results, whole);
	}
	json_decref(copy);
}

static void damage_elements(json_t *at, json_t *results, json_t *whole)
{
	for (size_t i = 0; i < json_array_size(at); i++) {
		json_t *value = json_incref(json_array_get(at, i));
		bool taken = i < 1 || i == 4; /* runs are alike: a warm-up and one that counts are enough */

		for (int kind = 0; taken && kind < KINDS; kind++) {
			json_array_set_new(at, i, instead(kind));
			check(results, whole);
		}
		json_array_set(at, i, value);
		json_array_append(at, value); /* twice */
		check(results, whole);
		json_array_remove(at, json_array_size(at) - 1);
		if (taken)
			damage(value, results, whole);
		json_decref(value);
	}
}

static void damage(json_t *at, json_t *results, json_t *whole)
{
	if (json_is_object(at))
		damage_members(at, results, whole);
	else if (json_is_array(at))
		damage_elements(at, results, whole);
}

static void test_damage(void **unused)
{
	json_t *whole = synthetic("--small --rounds 2"), *results = json_deep_copy(whole);

	(void)unused;
	damage(results, results, whole);
	assert_true(json_equal(results, whole));
	print_message("%zu documents\n", damaged);
	assert_true(damaged > 1000);
	for (int kind = 0; kind < KINDS; kind++) {
		json_t *no_document = instead(kind);

		check(no_document, whole);
		json_decref(no_document);
	}
	check(NULL, whole);
	json_decref(results);
	json_decref(whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table), cmocka_unit_test(test_refused), cmocka_unit_test(test_width),  cmocka_unit_test(test_html),
		cmocka_unit_test(test_csv),   cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
