/* SPDX-License-Identifier: MIT */
/*
 * The best of each column: the leader has the best median, and what does not
 * differ from it beyond noise is as good. All columns are judged together.
 */
#include <stdint.h>
#include <stdlib.h>

#include "cells.h"

static size_t find_leader(const struct cells *c, size_t column)
{
	int direction = c->columns[column].direction;
	size_t leader = SIZE_MAX;

	for (size_t row = 0; row < c->n_rows && direction && !c->columns[column].twin; row++) {
		const struct cell *cell = cells_at(c, row, column), *best = cells_at(c, leader, column);

		if (cell->n >= 2 && cell->est.min > 0 &&
		    (!best || (cell->est.median - best->est.median) * direction > 0))
			leader = row;
	}
	return leader;
}

static struct bench_pair *pair_with_leader(const struct cells *c, size_t column, struct bench_pair *pair)
{
	size_t leader = c->columns[column].leader;
	const struct cell *best = cells_at(c, leader, column);

	for (size_t row = 0; best && row < c->n_rows; row++) {
		const struct cell *cell = cells_at(c, row, column);

		if (row != leader)
			*pair++ = (struct bench_pair){ .a = best->samples, .n_a = best->n, .b = cell->samples,
				                       .n_b = cell->n, .tolerance = BENCH_FLOOR_ROWS };
	}
	return pair;
}

static struct bench_pair *take_results(struct cells *c, size_t column, struct bench_pair *pair)
{
	struct cells_column *col = &c->columns[column];

	for (size_t row = 0; col->leader != SIZE_MAX && row < c->n_rows; row++) {
		struct cell *cell = &c->cells[row * c->n_columns + column];

		cell->leader.comparable = BENCH_FEW;
		cell->best = row == col->leader;
		if (cell->best)
			continue;
		cell->leader = *pair++;
		cell->best = cell->leader.comparable == BENCH_COMPARED && !cell->leader.differs;
		col->told_apart |= cell->leader.differs;
	}
	return pair;
}

int cells_find_best(struct cells *c)
{
	struct bench_pair *pairs = calloc(c->n_rows * c->n_columns + 1, sizeof(*pairs)), *end = pairs, *pair = pairs;
	int rc;

	if (!pairs)
		return -1;
	for (size_t column = 0; column < c->n_columns; column++) {
		c->columns[column].leader = find_leader(c, column);
		end = pair_with_leader(c, column, end);
	}
	rc = bench_differ(pairs, (size_t)(end - pairs));
	for (size_t column = 0; column < c->n_columns && !rc; column++)
		pair = take_results(c, column, pair);
	free(pairs);
	return rc;
}
