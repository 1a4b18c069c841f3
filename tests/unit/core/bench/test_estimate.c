/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench/estimate.h"

#define CELLS 200
#define MOST  10

/* ---- samples of known kinds, the same every time ------------------------------------------- */

static uint64_t state;

static double uniform(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

/* How samples of a kind of machine scatter. Spreads are those of logarithms. */
struct kind {
	const char *name;
	double quietest, noisiest; /* a cell's spread is between */
	double outliers;           /* the part of the runs that are disturbed ... */
	double worst;              /* ... and take up to so many times as long */
	double drift;              /* all of a file moves by as much, which nobody sees */
	double wander;             /* its rounds move, all cells together */
};

static const struct kind kinds[] = {
	{ "quiet", 0.005, 0.005, 0, 1, 0, 0 },
	{ "even", 0.05, 0.05, 0, 1, 0, 0 },
	{ "mixed", 0.002, 0.40, 0, 1, 0, 0 },
	{ "mixed, disturbed", 0.005, 0.20, 0.1, 3, 0, 0 },
	{ "disturbed often", 0.02, 0.10, 0.3, 2, 0, 0 },
	{ "drifting", 0.005, 0.10, 0.05, 2, 0.02, 0.01 },
};

struct data {
	double a[CELLS][MOST], b[CELLS][MOST];
	struct bench_pair pairs[CELLS];
};

static double sample(const struct kind *k, double spread)
{
	double value = exp(spread * normal());

	return uniform() < k->outliers ? value * (1 + (k->worst - 1) * uniform()) : value;
}

/* Two files of n rounds; the first `slower` cells take `factor` times as long in the second. */
static void make(struct data *d, const struct kind *k, size_t n, size_t slower, double factor)
{
	double wander_a[MOST], wander_b[MOST], drift = k->drift * normal();

	for (size_t i = 0; i < n; i++) {
		wander_a[i] = k->wander * normal();
		wander_b[i] = k->wander * normal();
	}
	for (size_t cell = 0; cell < CELLS; cell++) {
		double spread = k->quietest * pow(k->noisiest / k->quietest, uniform());

		for (size_t i = 0; i < n; i++) {
			d->a[cell][i] = 100 * sample(k, spread) * exp(wander_a[i]);
			d->b[cell][i] = 100 * sample(k, spread) * exp(wander_b[i] + drift) * (cell < slower ? factor : 1);
		}
		d->pairs[cell] = (struct bench_pair){ .a = d->a[cell], .b = d->b[cell], .n_a = n, .n_b = n,
			                              .tolerance = BENCH_FLOOR_FILES };
	}
	assert_int_equal(bench_differ(d->pairs, CELLS), 0);
}

static size_t found(const struct data *d, size_t from, size_t to)
{
	size_t n = 0;

	for (size_t i = from; i < to; i++)
		n += d->pairs[i].differs;
	return n;
}

/* ---- two lots ----------------------------------------------------------------------------- */

/* Twenty times two files of the same: one cell in twenty at most, of all, and of any two files. */
static void test_same(void **unused)
{
	struct data *d = calloc(1, sizeof(*d));

	(void)unused;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (size_t n = 2; n <= MOST; n = n < 5 ? n + 1 : 2 * n) {
			size_t all = 0, worst = 0;

			state = 1000 * k + n;
			for (int file = 0; file < 20; file++) {
				size_t these;

				make(d, &kinds[k], n, 0, 1);
				these = found(d, 0, CELLS);
				all += these;
				worst = these > worst ? these : worst;
			}
			print_message("%-18s n=%zu: %.2f %% of cells, at worst %.1f %%\n", kinds[k].name, n,
			              (double)all * 100 / (20 * CELLS), (double)worst * 100 / CELLS);
			assert_true(all * 20 <= 20 * CELLS);
			if (kinds[k].drift == 0)
				assert_true(worst * 20 <= CELLS);
		}
	}
	free(d);
}

/* A slow-down of 30 % among noise of 5 %: all but a few, and little else. */
static void test_slower(void **unused)
{
	static const struct {
		const char *name;
		struct kind kind;
		size_t n, slower, least;
		double factor;
	} cases[] = {
		{ "one of 200", { "", 0.05, 0.05, 0, 1, 0, 0 }, 5, 1, 1, 1.3 },
		{ "a tenth", { "", 0.05, 0.05, 0, 1, 0, 0 }, 5, 20, 19, 1.3 },
		{ "a tenth of three", { "", 0.05, 0.05, 0, 1, 0, 0 }, 3, 20, 17, 1.3 },
		{ "a tenth of two, half as fast again", { "", 0.05, 0.05, 0, 1, 0, 0 }, 2, 20, 16, 1.5 },
		{ "disturbed", { "", 0.05, 0.05, 0.1, 3, 0, 0 }, 5, 20, 13, 1.3 },
		{ "mixed", { "", 0.005, 0.10, 0, 1, 0, 0 }, 5, 20, 16, 1.3 },
		{ "faster", { "", 0.05, 0.05, 0, 1, 0, 0 }, 5, 20, 19, 1 / 1.3 },
		{ "within the tolerance", { "", 0.005, 0.005, 0, 1, 0, 0 }, 5, 20, 0, 1.02 },
	};
	struct data *d = calloc(1, sizeof(*d));

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t right = 0, wrong = 0;

		state = i + 7;
		for (int file = 0; file < 20; file++) {
			make(d, &cases[i].kind, cases[i].n, cases[i].slower, cases[i].factor);
			right += found(d, 0, cases[i].slower);
			wrong += found(d, cases[i].slower, CELLS);
		}
		print_message("%s: %.1f of %zu, and %.1f that did not change\n", cases[i].name, (double)right / 20,
		              cases[i].slower, (double)wrong / 20);
		assert_true(right >= cases[i].least * 20 * 9 / 10);
		assert_true(wrong * 10 <= right + 20);
		if (fabs(log(cases[i].factor)) < BENCH_FLOOR_FILES)
			assert_int_equal(right, 0);
	}
	free(d);
}

static void test_ratio(void **unused)
{
	const double a[] = { 10, 10, 10 }, b[] = { 20, 20, 20 }, zero[] = { 0, 1, 2 }, one[] = { 5 };
	struct bench_pair pairs[] = {
		{ .a = a, .n_a = 3, .b = b, .n_b = 3 },
		{ .a = a, .n_a = 3, .b = zero, .n_b = 3 },
		{ .a = a, .n_a = 3, .b = one, .n_b = 1 },
		{ .a = a, .n_a = 3, .b = NULL, .n_b = 0 },
		{ .a = a, .n_a = 3, .b = a, .n_b = 3 },
	};

	(void)unused;
	assert_int_equal(bench_differ(pairs, 5), 0);
	assert_true(pairs[0].differs && fabs(pairs[0].ratio - 2) < 1e-9);
	assert_true(pairs[0].low < 2 && pairs[0].high > 2 && pairs[0].high < 2.1);
	assert_int_equal(pairs[1].comparable, BENCH_NO_RATIO);
	assert_int_equal(pairs[2].comparable, BENCH_FEW);
	assert_int_equal(pairs[3].comparable, BENCH_FEW);
	assert_false(pairs[1].differs || pairs[2].differs || pairs[3].differs || pairs[4].differs);
	assert_int_equal(bench_differ(NULL, 0), 0);
}

/* Values at the ends of what a double holds. */
static void test_extremes(void **unused)
{
	const double big[] = { 1e308, 1.7e308, 1e308 }, tiny[] = { 5e-324, 1e-320, 1e-310 };
	struct bench_pair pairs[] = { { .a = big, .n_a = 3, .b = tiny, .n_b = 3 },
		                      { .a = tiny, .n_a = 3, .b = big, .n_b = 3 } };

	(void)unused;
	assert_int_equal(bench_differ(pairs, 2), 0);
	assert_true(pairs[0].p >= 0 && pairs[0].p <= 1);
}

/* ---- one lot --------------------------------------------------------------------------------- */

/* Confidence of the range of n, and the ranks where 95 % are reached: tables of the sign test. */
static void test_interval(void **unused)
{
	static const struct {
		size_t n, low, high; /* ranks from 1 */
		double level;
	} cases[] = {
		{ 1, 1, 1, 0 },        { 2, 1, 2, 0.5 },      { 3, 1, 3, 0.75 },     { 5, 1, 5, 0.9375 },
		{ 6, 1, 6, 0.96875 },  { 8, 1, 8, 0.9921875 }, { 9, 2, 8, 0.9609375 }, { 20, 6, 15, 0.9586105 },
	};
	double samples[20];

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench_estimate e;

		for (size_t j = 0; j < cases[i].n; j++)
			samples[j] = (double)(cases[i].n - j);
		bench_estimate(samples, cases[i].n, &e);
		assert_true(fabs(e.low - (double)cases[i].low) < 1e-9);
		assert_true(fabs(e.high - (double)cases[i].high) < 1e-9);
		assert_true(fabs(e.level - cases[i].level) < 1e-6);
		assert_true(fabs(e.median - (double)(cases[i].n + 1) / 2) < 1e-9);
	}
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The MAD as it is defined. */
static void test_mad(void **unused)
{
	(void)unused;
	state = 5;
	for (int round = 0; round < 2000; round++) {
		size_t n = 1 + (size_t)(uniform() * 12);
		double samples[12], distances[12], mad;
		struct bench_estimate e;

		for (size_t i = 0; i < n; i++)
			samples[i] = floor(uniform() * 20) / 2;
		bench_estimate(samples, n, &e);
		for (size_t i = 0; i < n; i++)
			distances[i] = fabs(samples[i] - e.median);
		qsort(distances, n, sizeof(double), by_size);
		mad = (distances[(n - 1) / 2] + distances[n / 2]) / 2;
		assert_true(fabs(mad - e.mad) < 1e-9);
		assert_true(e.min <= e.p25 && e.p25 <= e.median && e.median <= e.p75 && e.p75 <= e.max);
	}
}

static void test_none(void **unused)
{
	struct bench_estimate e;

	(void)unused;
	bench_estimate(NULL, 0, &e);
	assert_int_equal(e.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),     cmocka_unit_test(test_slower),   cmocka_unit_test(test_ratio),
		cmocka_unit_test(test_extremes), cmocka_unit_test(test_interval), cmocka_unit_test(test_mad),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
