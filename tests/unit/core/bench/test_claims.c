/* SPDX-License-Identifier: MIT */
/* What is commonly said, held against files in which it is so, mostly so, not so, or not known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bench/claims.h"
#include "bench/lines.h"

#define MEMORY "PVH has the smallest memory"
#define EXITS  "Emulated interrupts and timers cost several exits a cycle, paravirtual ones one or none"

static json_t *results;

static void add_row(const char *mode)
{
	char id[64];

	snprintf(id, sizeof(id), "%s/bt", mode);
	json_array_append_new(json_object_get(results, "rows"),
	                      json_pack("{s:s, s:s, s:s, s:s}", "id", id, "kind", "gamut", "mode", mode, "engine", "bt"));
}

/* Five rounds of a figure, one per cent apart. */
static void add_figure(const char *mode, const char *key, double value)
{
	char id[64];

	snprintf(id, sizeof(id), "%s/bt", mode);
	for (int i = 0; i < 5; i++) {
		double v = value * (1 + 0.01 * ((i * 3) % 5 - 2)), five[5] = { v, v, v, v, v };

		json_array_append_new(json_object_get(results, "runs"),
		                      json_pack("{s:s, s:s, s:i, s:b, s:s, s:{s:o}}", "row", id, "workload", "w", "round", i + 1,
		                                "warmup", 0, "status", "ok", "samples", key, lines_sample(1, five)));
	}
}

static int setup(void **state)
{
	(void)state;
	results = json_pack("{s:i, s:[], s:[{s:s}], s:[]}", "gamut-matrix", 1, "rows", "workloads", "id", "w", "runs");
	return !results;
}

static int teardown(void **state)
{
	(void)state;
	json_decref(results);
	return 0;
}

struct wanted {
	const char *title, *part;
	enum claim_verdict verdict;
	bool seen;
};

static void compare(void *ctx, const struct claim_result *result)
{
	struct wanted *w = ctx;

	if (strcmp(result->title, w->title))
		return;
	w->seen = true;
	if (result->verdict != w->verdict || !strstr(result->text, w->part))
		fail_msg("%s: %s: %s", result->title, claim_verdict_name(result->verdict), result->text);
}

static void verdict(const char *title, enum claim_verdict verdict, const char *part)
{
	struct wanted w = { .title = title, .part = part, .verdict = verdict };
	char err[200];
	struct cells c;

	if (cells_init(&c, results, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(claims_judge(&c, compare, &w), 0);
	assert_true(w.seen);
	cells_finish(&c);
}

/* PVH, and the others at so many times its memory. */
static void memory(const double others[5])
{
	static const char *const modes[] = { "hvm", "hvm-pv-drivers", "pvhvm", "pv", "kvm" };

	add_row("pvh");
	add_figure("pvh", "memory-overhead MiB", 40);
	for (int i = 0; i < 5; i++) {
		add_row(modes[i]);
		add_figure(modes[i], "memory-overhead MiB", 40 * others[i]);
	}
}

static void all_say_so(void **state)
{
	(void)state;
	memory((double[]){ 1.5, 1.5, 1.5, 1.5, 1.5 });
	verdict(MEMORY, CLAIM_HOLDS, "Of 5 comparisons 5 say so, 0 the opposite, and 0 are within noise.");
}

static void most_say_so(void **state)
{
	(void)state;
	memory((double[]){ 1.5, 1.5, 0.5, 1.5, 1.0 });
	verdict(MEMORY, CLAIM_MOSTLY_HOLDS, "Of 5 comparisons 3 say so, 1 the opposite, and 1 is within noise.");
}

static void some_say_so(void **state)
{
	(void)state;
	memory((double[]){ 1.5, 1.5, 0.5, 0.5, 1.0 });
	verdict(MEMORY, CLAIM_PARTLY, "2 say so, 2 the opposite");
}

static void most_say_the_opposite(void **state)
{
	(void)state;
	memory((double[]){ 0.5, 0.5, 1.5, 0.5, 0.5 });
	verdict(MEMORY, CLAIM_MOSTLY_FAILS, "1 says so, 4 the opposite");
}

static void all_say_the_opposite(void **state)
{
	(void)state;
	memory((double[]){ 0.5, 0.5, 0.5, 0.5, 0.5 });
	verdict(MEMORY, CLAIM_FAILS, "0 say so, 5 the opposite");
}

static void nothing_differs(void **state)
{
	(void)state;
	memory((double[]){ 1, 1, 1, 1, 1 });
	verdict(MEMORY, CLAIM_NO_DIFFERENCE, "0 say so, 0 the opposite, and 5 are within noise");
}

static void nothing_is_known(void **state)
{
	(void)state;
	add_row("pvh");
	add_figure("pvh", "memory-overhead MiB", 40);
	verdict(MEMORY, CLAIM_UNKNOWN, "No row of mode pvh");
}

static void exits_are_compared_by_the_turn(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		static const char *const modes[] = { "hvm", "pvhvm", "pvh" };

		add_row(modes[i]);
		add_figure(modes[i], "interrupt-exits-a-turn exits", i ? 1 : 2);
	}
	verdict(EXITS, CLAIM_HOLDS, "hvm/bt against pvh/bt: interrupt-exits-a-turn 2.000 against 1.000 exits");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(all_say_so),      T(most_say_so),      T(some_say_so), T(most_say_the_opposite), T(all_say_the_opposite),
		T(nothing_differs), T(nothing_is_known), T(exits_are_compared_by_the_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
