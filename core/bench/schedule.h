/* SPDX-License-Identifier: MIT */
/*
 * Rounds: each runs every row with every workload once, in an order that turns
 * from round to round, so that what drifts on the host meets all alike.
 */
#ifndef BENCH_SCHEDULE_H
#define BENCH_SCHEDULE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/row.h"

/* A row with a workload, and what its last run took. */
struct cell {
	const struct row *row;
	const struct plan_workload *workload;
	size_t row_index, workload_index;
	double seconds; /* a guess until it has run */
	bool measured;
};

struct schedule {
	const struct plan *plan;
	struct rows *rows;
	struct cell *cells; /* by workload, then by row */
	size_t n_cells;
	int warmup, rounds; /* before the first that counts; altogether */
};

/* 0 or -1: no memory. */
int schedule_init(struct schedule *s, const struct plan *plan, struct rows *rows);
void schedule_finish(struct schedule *s);

/* Indices of the cells that run in a round, in their order, into order[n_cells]; returns how many. */
size_t schedule_round(const struct schedule *s, int round, size_t *order);

/* Runs, and seconds, that are not in the results yet. */
void schedule_left(const struct schedule *s, const json_t *results, size_t *runs, double *seconds);

/*
 * Makes the runs that the results lack, and writes them to path after each.
 * quiet: no progress on standard error. 0; a signal's number: interrupted;
 * -errno: the file cannot be written, and so on, which was said.
 */
int schedule_run(struct schedule *s, json_t *results, const char *path, bool quiet);

#endif
