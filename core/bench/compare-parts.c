/* SPDX-License-Identifier: MIT */
/*
 * Which parts of the runs' time changed beyond noise. Each part is judged as
 * cells are, by its time in each round; an axis also by what an exit of it
 * costs. A disk that is kept busy all the time by a guest that has more to ask
 * takes as long as before when it gets slower, for less; but not per exit.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "compare-internal.h"

#define KINDS  (PARTS + GAMUT_AXIS_COUNT) /* times, then costs */
#define TINY   1000.0                     /* ns that are added to all, so that something can be compared with nothing */
#define WORTH  0.003                      /* of the run: less is not worth a word */

/* How many times as much is the larger; 1 where it is not known. */
static double times(double x, double y)
{
	return x > 0 && y > 0 ? fmax(x, y) / fmin(x, y) : 1;
}

/* By how much a host that has other things to do made what runs take longer. NAN: not known. */
static double stretched(const struct account *a)
{
	double busy = a->wall_ns - (a->idle_ns > 0 ? a->idle_ns : 0);

	return busy / fmax(busy - a->runnable_ns, 0.01 * a->wall_ns);
}

double compare_tolerance(const struct attempt *a, const struct attempt *b)
{
	double slower = times(a->account.spin_ns, b->account.spin_ns);
	double busier = times(stretched(&a->account), stretched(&b->account));

	return BENCH_FLOOR_FILES + fmax(slower, busier) - 1;
}

/* The times and costs of one run: samples[kind * stride]. */
static int take_run(const json_t *run, double *samples, size_t stride)
{
	struct account account;
	struct parts parts;

	if (account_init(&account, &run, 1))
		return -1;
	explain_parts(&account, &parts);
	for (int part = 0; part < PARTS; part++)
		samples[(size_t)part * stride] = parts.ns[part] + TINY;
	for (int axis = 0; axis < GAMUT_AXIS_COUNT && parts.known; axis++)
		samples[(size_t)(PARTS + axis) * stride] =
			parts.exits[axis] ? TINY + parts.ns[axis] / parts.exits[axis] : TINY;
	return 0;
}

/* KINDS lots of a->n samples; NULL: memory is short. */
static double *take_runs(const struct attempt *a)
{
	double *samples = calloc(KINDS * (a->n + 1), sizeof(*samples));

	for (size_t i = 0; samples && i < a->n; i++) {
		if (take_run(a->runs[i], samples + i, a->n)) {
			free(samples);
			return NULL;
		}
	}
	return samples;
}

static bool is_nothing(const double *samples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (samples[i] > TINY)
			return false;
	return true;
}

static int make_pairs(const struct attempt *a, const struct attempt *b, struct bench_pair *pairs)
{
	double *x = take_runs(a), *y = take_runs(b);

	for (size_t kind = 0; x && y && kind < KINDS; kind++) {
		pairs[kind] = (struct bench_pair){ .a = x + kind * a->n, .n_a = a->n, .b = y + kind * b->n, .n_b = b->n,
			                           .tolerance = compare_tolerance(a, b) };
		/* What both have none of is no comparison, of which the more there are the less can be said. */
		if (is_nothing(pairs[kind].a, a->n) && is_nothing(pairs[kind].b, b->n))
			pairs[kind].n_a = pairs[kind].n_b = 0;
	}
	if (x && y)
		return 0;
	free(x);
	free(y);
	return -1;
}

static double cost(const struct parts *p, int axis)
{
	return p->exits[axis] ? p->ns[axis] / p->exits[axis] : 0;
}

/* What the judges of times and costs say goes to the causes. */
static void take_verdicts(struct attempt_pair *p, const struct bench_pair *pairs)
{
	for (int i = 0; i < PARTS && p->change.known; i++) {
		struct cause *c = &p->change.causes[i];
		bool axis = c->part < GAMUT_AXIS_COUNT, cost_differs = axis && pairs[PARTS + c->part].differs;

		c->judged = true;
		c->extra_ns = c->ns;
		if (cost_differs)
			c->extra_ns = (cost(&p->change.b, c->part) - cost(&p->change.a, c->part)) *
			              p->change.b.exits[c->part];
		c->beyond = (cost_differs || pairs[c->part].differs) && fabs(c->extra_ns) > WORTH * p->change.b.wall;
		p->beyond |= c->beyond && axis;
	}
	if (p->change.known)
		explain_sort(&p->change);
}

static int judge(const struct cells *a, const struct cells *b, struct attempt_pair *list, size_t n,
                 struct bench_pair *pairs)
{
	size_t done = 0;
	int rc = 0;

	for (; done < n && !rc; done++)
		rc = make_pairs(cells_attempt(a, list[done].row_a, list[done].workload_a),
		                cells_attempt(b, list[done].row_b, list[done].workload_b), pairs + done * KINDS);
	rc = rc ? rc : bench_differ(pairs, n * KINDS);
	for (size_t i = 0; i < n && !rc; i++)
		take_verdicts(&list[i], pairs + i * KINDS);
	/* One that failed has zeroes. */
	for (size_t i = 0; i < done; i++) {
		free((void *)pairs[i * KINDS].a);
		free((void *)pairs[i * KINDS].b);
	}
	return rc;
}

/* The rows and workloads that are in both; `list` has room for all of a's. */
static size_t match(const struct cells *a, const struct cells *b, struct attempt_pair *list)
{
	size_t n = 0;

	for (size_t row = 0; row < a->n_rows; row++) {
		for (size_t w = 0; w < a->n_workloads; w++) {
			struct attempt_pair p = { .row_a = row, .row_b = cells_find_row(b, a->rows[row].id),
				                  .workload_a = w,
				                  .workload_b = cells_find_workload(b, a->workloads[w]) };

			if (p.row_b == SIZE_MAX || p.workload_b == SIZE_MAX)
				continue;
			explain_change(&cells_attempt(a, row, w)->account,
			               &cells_attempt(b, p.row_b, p.workload_b)->account, &p.change);
			list[n++] = p;
		}
	}
	return n;
}

int compare_attempts(const struct cells *a, const struct cells *b, struct attempt_pair **list, size_t *n)
{
	struct bench_pair *pairs;
	int rc = -1;

	*list = calloc(a->n_rows * a->n_workloads + 1, sizeof(**list));
	if (!*list)
		return -1;
	*n = match(a, b, *list);
	pairs = calloc(*n * KINDS + 1, sizeof(*pairs));
	if (pairs)
		rc = judge(a, b, *list, *n, pairs);
	free(pairs);
	if (rc) {
		free(*list);
		*list = NULL;
	}
	return rc;
}
