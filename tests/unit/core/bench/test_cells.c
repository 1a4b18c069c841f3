/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bench/cells.h"
#include "bench/missing.h"
#include "synthetic.h"

static char err[128];

static const struct cell *find(const struct cells *c, const char *row, const char *workload, const char *key)
{
	const struct cell *cell = cells_at(c, cells_find_row(c, row), cells_find_column(c, workload, key));

	assert_non_null(cell);
	return cell;
}

/* Warm-up rounds and failed runs do not count, and what is skipped says why. */
static void test_samples(void **unused)
{
	json_t *results = synthetic("--rounds 4");
	struct cells c;
	const struct attempt *a;

	(void)unused;
	assert_int_equal(cells_init(&c, results, err, sizeof(err)), 0);
	assert_int_equal(c.n_rows, 11);
	assert_int_equal(c.n_workloads, 2);
	assert_int_equal(c.n_notes, 0);
	assert_int_equal(find(&c, "pvh/bt", "linux", "syscall ns")->n, 4);
	assert_int_equal(find(&c, "hvm-pv-drivers/bt", "probe", "syscall ns")->n, 3);
	assert_int_equal(find(&c, "xen-4.17 pvh", "linux", "syscall ns")->n, 1);
	assert_int_equal(find(&c, "qemu-tcg", "probe", "syscall ns")->n, 0);
	assert_non_null(find(&c, "hvm/bt", "probe", "hypercall ns")->skipped);
	assert_non_null(c.rows[cells_find_row(&c, "hvm/kvm")].left_out);
	a = cells_attempt(&c, cells_find_row(&c, "hvm-pv-drivers/bt"), cells_find_workload(&c, "probe"));
	assert_true(a->n == 3 && a->warmups == 1 && a->failed == 1 && a->why);
	/* A run's memory is a figure of it. */
	assert_int_equal(find(&c, "qemu-tcg", "linux", CELLS_MEMORY)->n, 4);
	cells_finish(&c);
	json_decref(results);
}

static void test_best(void **unused)
{
	json_t *results = synthetic("--disturbed 0");
	struct cells c;

	(void)unused;
	assert_int_equal(cells_init(&c, results, err, sizeof(err)), 0);
	/* All but PV are as good as each other; the more the better of a rate; one sample is not judged. */
	assert_true(find(&c, "hvm/bt", "probe", "syscall ns")->best && find(&c, "pvh/bt", "probe", "syscall ns")->best);
	assert_false(find(&c, "pv/bt", "probe", "syscall ns")->best);
	assert_true(find(&c, "pv/kvm", "linux", "zstd-compress MB/s")->best);
	assert_false(find(&c, "pvh/bt", "linux", "zstd-compress MB/s")->best);
	assert_false(find(&c, "xen-4.17 pvh", "linux", "syscall ns")->best);
	assert_false(find(&c, "hvm/bt", "linux", "disk-rand-read-qd16 ops/s")->best);
	assert_true(fabs(find(&c, "pv/bt", "probe", "syscall ns")->leader.ratio - 7.2) < 0.5);
	cells_finish(&c);
	json_decref(results);
}

static void test_account(void **unused)
{
	json_t *results = synthetic("--burn disk=20000");
	struct cells c;
	const struct account *a;
	double ns;

	(void)unused;
	assert_int_equal(cells_init(&c, results, err, sizeof(err)), 0);
	a = &cells_attempt(&c, cells_find_row(&c, "hvm/bt"), cells_find_workload(&c, "linux"))->account;
	ns = a->axes[GAMUT_AXIS_DISK].exit_ns / a->axes[GAMUT_AXIS_DISK].exits;
	assert_true(ns > 28000 && ns < 30000);
	a = &cells_attempt(&c, cells_find_row(&c, "qemu-tcg"), cells_find_workload(&c, "linux"))->account;
	assert_true(a->wall_ns > 0 && isnan(a->guest_ns) && isnan(a->axes[GAMUT_AXIS_DISK].exits));
	cells_finish(&c);
	json_decref(results);
}

static size_t missing_of(const struct cells *c, enum missing_kind kind)
{
	struct missing *list = NULL;
	size_t n = 0, found = 0;

	assert_int_equal(missing_list(c, &list, &n), 0);
	for (size_t i = 0; i < n; i++) {
		if (list[i].kind != kind)
			continue;
		found++;
		for (const char *row = list[i].rows; *row; row++)
			found += *row == ','; /* several rows */
	}
	missing_free(list, n);
	return found;
}

/* Whatever has no figure is listed. */
static void test_missing(void **unused)
{
	json_t *results = synthetic("--rounds 2"), *runs = json_object_get(results, "runs");
	struct cells c;

	(void)unused;
	json_object_set_new(json_array_get(runs, 30), "row", json_string("nobody"));
	json_object_set_new(json_array_get(runs, 31), "workload", json_string("unheard of"));
	json_object_set_new(json_array_get(runs, 34), "status", json_string("interrupted"));
	json_object_set_new(json_object_get(json_object_get(json_array_get(runs, 33), "samples"), "syscall ns"), "median",
	                    json_string("none"));
	assert_int_equal(cells_init(&c, results, err, sizeof(err)), 0);
	assert_int_equal(missing_of(&c, MISSING_ROW), 2);
	assert_int_equal(missing_of(&c, MISSING_FAILED), 1);
	assert_int_equal(missing_of(&c, MISSING_STOPPED), 1);
	assert_int_equal(missing_of(&c, MISSING_VALUE), 6);
	assert_int_equal(missing_of(&c, MISSING_DAMAGED), 3);
	cells_finish(&c);
	json_decref(results);
}

static void test_refused(void **unused)
{
	static const char *const bad[] = { "[]", "{}", "{\"gamut-matrix\": 2, \"rows\": [], \"runs\": []}",
		                           "{\"gamut-matrix\": 1, \"runs\": []}",
		                           "{\"gamut-matrix\": 1, \"rows\": [], \"runs\": {}}" };
	json_t *empty = json_loads("{\"gamut-matrix\": 1, \"rows\": [], \"runs\": []}", 0, NULL);
	struct cells c;

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *results = json_loads(bad[i], 0, NULL);

		err[0] = 0;
		assert_int_equal(cells_init(&c, results, err, sizeof(err)), -1);
		assert_true(err[0]);
		json_decref(results);
	}
	assert_int_equal(cells_init(&c, empty, err, sizeof(err)), 0);
	assert_int_equal(c.n_columns, 0);
	cells_finish(&c);
	json_decref(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples), cmocka_unit_test(test_best),    cmocka_unit_test(test_account),
		cmocka_unit_test(test_missing), cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
