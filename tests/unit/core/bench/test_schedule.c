/* SPDX-License-Identifier: MIT */
/* What runs when; results files, and going on from one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bench/results.h"
#include "core/bench/schedule.h"

#define ROWS 5

static struct plan plan;
static struct rows rows;
static struct schedule s;
static char dir[64], file[96];
static struct plan_mode mode;

static int setup(void **state)
{
	static const char *const names[] = { "boot", "probe", "linux" };

	(void)state;
	memset(&plan, 0, sizeof(plan));
	plan.file = "plan.cfg";
	plan.repetitions = 4;
	plan.warmup = 1;
	mode.preset = preset_find("pvh");
	for (int i = 0; i < 3; i++)
		plan.workloads[plan.n_workloads++] = (struct plan_workload){
			.name = names[i], .cmdline = "", .repetitions = 4, .warmup = 1, .timeout = 9, .seconds = 10 * (i + 1) };
	rows = (struct rows){ .disk = (char *)(uintptr_t)"none" };
	for (int i = 0; i < ROWS; i++) {
		char id[32];
		struct row *row;

		snprintf(id, sizeof(id), "row%d/bt", i);
		row = rows_add(&rows, ROW_GAMUT, id);
		assert_non_null(row);
		row->mode = &mode;
		row->engine = "bt";
	}
	assert_int_equal(schedule_init(&s, &plan, &rows), 0);
	snprintf(dir, sizeof(dir), "/tmp/gamut-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/r.json", dir);
	return 0;
}

static int teardown(void **state)
{
	char cmd[96];

	(void)state;
	schedule_finish(&s);
	for (size_t i = 0; i < rows.n; i++) {
		for (size_t j = 0; j < PLAN_MAX; j++)
			free(rows.row[i].refused[j]);
	}
	free(rows.row);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static void every_round_has_each_once(void **state)
{
	size_t order[64];

	(void)state;
	assert_int_equal(s.n_cells, 3 * ROWS);
	assert_int_equal(s.rounds, 5);
	for (int round = 0; round < s.rounds; round++) {
		bool seen[64] = { false };

		assert_int_equal(schedule_round(&s, round, order), 3 * ROWS);
		for (size_t i = 0; i < 3 * ROWS; i++) {
			assert_in_range(order[i], 0, 3 * ROWS - 1);
			assert_false(seen[order[i]]);
			seen[order[i]] = true;
		}
	}
}

/* Over many rounds a row is as often early as late: the mean of its place is that of all. */
static void no_row_is_always_first(void **state)
{
	double place[ROWS] = { 0 };
	size_t order[64];
	int rounds = 2 * ROWS * 3;

	(void)state;
	s.rounds = rounds + s.warmup;
	for (size_t w = 0; w < plan.n_workloads; w++)
		plan.workloads[w].repetitions = rounds;
	for (int round = s.warmup; round < s.rounds; round++) {
		size_t n = schedule_round(&s, round, order);

		for (size_t i = 0; i < n; i++)
			place[s.cells[order[i]].row_index] += (double)i / rounds / 3;
	}
	for (int i = 0; i < ROWS; i++) {
		if (place[i] < 6.9 || place[i] > 7.1)
			fail_msg("row %d is at %f", i, place[i]);
	}
}

static void a_workload_may_have_fewer_rounds(void **state)
{
	size_t order[64], runs;
	double seconds;

	(void)state;
	plan.workloads[2].repetitions = 1;
	plan.workloads[2].warmup = 0;
	assert_int_equal(schedule_round(&s, 0, order), 2 * ROWS);
	assert_int_equal(schedule_round(&s, 1, order), 3 * ROWS);
	assert_int_equal(schedule_round(&s, 2, order), 2 * ROWS);
	schedule_left(&s, NULL, &runs, &seconds);
	assert_int_equal(runs, ROWS * (5 + 5 + 1));
	assert_true(seconds == ROWS * (50 + 100 + 30));
}

static void what_is_refused_does_not_run(void **state)
{
	size_t order[64];
	json_t *results;
	const json_t *run;

	(void)state;
	schedule_finish(&s);
	rows.row[1].refused[2] = strdup("no such kernel");
	assert_int_equal(schedule_init(&s, &plan, &rows), 0);
	assert_int_equal(schedule_round(&s, 0, order), 3 * ROWS - 1);
	results = results_new(&plan, &rows);
	run = json_array_get(json_object_get(results, "runs"), 0);
	assert_string_equal(json_string_value(json_object_get(run, "why")), "no such kernel");
	json_decref(results);
}

/* ---- results ----------------------------------------------------------------------------------- */

static void add(json_t *results, const char *row, int round, const char *status)
{
	assert_int_equal(results_add(results, json_pack("{s:s, s:s, s:i, s:s}", "row", row, "workload", "boot", "round",
	                                                round, "status", status)),
	                 0);
}

static int begin(bool force, json_t **results, size_t *resumed)
{
	char err[512];

	return results_begin(results_new(&plan, &rows), file, force, results, resumed, err, sizeof(err));
}

static void going_on(void **state)
{
	json_t *results;
	size_t resumed, runs;
	double seconds;

	(void)state;
	assert_int_equal(begin(false, &results, &resumed), 0);
	assert_int_equal(resumed, 0);
	add(results, "row0/bt", 0, "ok");
	add(results, "row1/bt", 0, "failed");
	add(results, "row2/bt", 0, "interrupted");
	assert_int_equal(results_write(results, file), 0);
	json_decref(results);

	assert_int_equal(begin(false, &results, &resumed), 0);
	assert_int_equal(resumed, 2);
	assert_true(results_has(results, "row0/bt", "boot", 0));
	assert_true(results_has(results, "row1/bt", "boot", 0));
	assert_false(results_has(results, "row2/bt", "boot", 0));
	assert_false(results_has(results, "row0/bt", "boot", 1));
	assert_false(results_has(results, "row0/bt", "probe", 0));
	schedule_left(&s, results, &runs, &seconds);
	assert_int_equal(runs, 3 * ROWS * 5 - 2);
	add(results, "row2/bt", 0, "ok");
	assert_true(results_has(results, "row2/bt", "boot", 0));
	assert_int_equal(json_array_size(json_object_get(results, "runs")), 3);
	json_decref(results);
}

static void failures(void **state)
{
	json_t *results;
	size_t resumed;
	bool any_ok;

	(void)state;
	assert_int_equal(begin(false, &results, &resumed), 0);
	assert_int_equal(results_failures(results, "row0/bt", "boot", &any_ok), 0);
	add(results, "row0/bt", 0, "failed");
	add(results, "row0/bt", 1, "failed");
	assert_int_equal(results_failures(results, "row0/bt", "boot", &any_ok), 2);
	assert_false(any_ok);
	add(results, "row0/bt", 2, "ok");
	results_failures(results, "row0/bt", "boot", &any_ok);
	assert_true(any_ok);
	json_decref(results);
}

static void expect_refusal(const char *part)
{
	json_t *results;
	size_t resumed;
	char err[512];

	assert_int_equal(results_begin(results_new(&plan, &rows), file, false, &results, &resumed, err, sizeof(err)), -1);
	if (!strstr(err, part))
		fail_msg("\"%s\" is not in \"%s\"", part, err);
	assert_int_equal(begin(true, &results, &resumed), 0);
	assert_int_equal(resumed, 0);
	json_decref(results);
}

static void files_that_are_not_touched(void **state)
{
	json_t *results;
	size_t resumed;
	FILE *f;

	(void)state;
	assert_int_equal(begin(false, &results, &resumed), 0);
	assert_int_equal(results_write(results, file), 0);
	plan.workloads[0].repetitions++;
	expect_refusal("another plan");
	plan.workloads[0].repetitions--;
	plan.burn_ns[GAMUT_AXIS_DISK] = 1;
	expect_refusal("another plan");
	plan.burn_ns[GAMUT_AXIS_DISK] = 0;
	json_object_set_new(json_object_get(results, "host"), "kernel", json_string("0.99"));
	assert_int_equal(results_write(results, file), 0);
	expect_refusal("another kernel of the host");
	results_finish(results);
	assert_int_equal(results_write(results, file), 0);
	json_decref(results);
	expect_refusal("is finished");

	f = fopen(file, "we");
	fputs("{ \"a\": 1", f);
	fclose(f);
	expect_refusal("is no results file");
	f = fopen(file, "we");
	fputs("{ \"gamut-matrix\": 2 }", f);
	fclose(f);
	expect_refusal("of this version");
	f = fopen(file, "we");
	fputs("{ \"gamut-matrix\": 1 }", f);
	fclose(f);
	expect_refusal("no whole results file");
}

static void it_can_be_read_again(void **state)
{
	json_t *results, *again;
	size_t resumed;
	char err[512];

	(void)state;
	assert_int_equal(begin(false, &results, &resumed), 0);
	add(results, "row0/bt", 0, "ok");
	assert_int_equal(results_write(results, file), 0);
	again = results_load(file, err, sizeof(err));
	assert_true(json_equal(results, again));
	json_decref(again);
	json_decref(results);
	assert_null(results_load("/no/such/file", err, sizeof(err)));
	assert_non_null(strstr(err, "No such file"));
}

/* ---- figures from elsewhere ---------------------------------------------------------------------- */

static int import(const char *text, struct plan_peer *peer, struct diag *diag)
{
	FILE *f = fopen(file, "we");

	fputs(text, f);
	fclose(f);
	*peer = (struct plan_peer){ .name = "xen", .kind = PEER_CSV, .csv = file };
	return import_rows(&rows, peer, NULL, diag);
}

#define HEAD "row,workload,name,unit,value\n"

static void imported(void **state)
{
	struct diag diag = { 0 };
	json_t *runs = json_array();
	struct plan_peer peer;
	const json_t *last;

	(void)state;
	assert_int_equal(import(HEAD "xen-pv,linux,fork-exec,ns,5\r\nxen-pv,linux,fork-exec,ns,6\nxen-pv,linux,syscall,ns,1.5\n"
	                             "xen-hvm,linux,fork-exec,ns,7\n",
	                        &peer, &diag),
	                 0);
	assert_int_equal(rows.n, ROWS + 2);
	assert_int_equal(import_runs(runs, &peer, &rows), 0);
	assert_int_equal(json_array_size(runs), 3);
	last = json_array_get(runs, 1);
	assert_int_equal(json_integer_value(json_object_get(last, "round")), 2);
	assert_non_null(json_object_get(json_object_get(json_array_get(runs, 0), "samples"), "syscall ns"));
	json_decref(runs);
}

static void bad_csv(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
	} bad[] = {
		{ "", 0 }, { "a,b\n", 1 }, { HEAD "x,y,z\n", 2 }, { HEAD "x,y,z,ns,1,2\n", 2 }, { HEAD ",y,z,ns,1\n", 2 },
		{ HEAD "x,y,Z,ns,1\n", 2 }, { HEAD "x,y,z,miles,1\n", 2 }, { HEAD "x,y,z,ns,-1\n", 2 },
		{ HEAD "x,y,z,ns,nan\n", 2 }, { HEAD "\nx,y,z,ns,\n", 3 }, { HEAD "x,y,z,ns,1x\n", 2 },
	};
	struct diag diag = { 0 };
	struct plan_peer peer;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(import(bad[i].text, &peer, &diag), -1);
		assert_int_equal(diag.n, i + 1);
		assert_int_equal(diag.entries[i].line, bad[i].line);
	}
	diag_finish(&diag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_round_has_each_once, setup, teardown),
		cmocka_unit_test_setup_teardown(no_row_is_always_first, setup, teardown),
		cmocka_unit_test_setup_teardown(a_workload_may_have_fewer_rounds, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_refused_does_not_run, setup, teardown),
		cmocka_unit_test_setup_teardown(going_on, setup, teardown),
		cmocka_unit_test_setup_teardown(failures, setup, teardown),
		cmocka_unit_test_setup_teardown(files_that_are_not_touched, setup, teardown),
		cmocka_unit_test_setup_teardown(it_can_be_read_again, setup, teardown),
		cmocka_unit_test_setup_teardown(imported, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_csv, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
