/* SPDX-License-Identifier: MIT */
#include "cells.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

/* A unit that is not here has no better and no worse. */
static const struct {
	const char *unit;
	int direction;
} units[] = {
	{ "ns", -1 }, { "us", -1 }, { "ms", -1 }, { "s", -1 }, { "cycles", -1 }, { "MiB", -1 },
	{ "exits", -1 },
	{ "MB/s", 1 }, { "ops/s", 1 }, { "packets/s", 1 },
};

static int fail(char *err, size_t len, const char *text)
{
	snprintf(err, len, "%s", text);
	return -1;
}

static int no_memory(char *err, size_t len)
{
	return fail(err, len, "out of memory");
}

/* A note that memory is too short for is not missed. */
__attribute__((format(printf, 2, 3))) static void note(struct cells *c, const char *format, ...)
{
	char **notes = realloc(c->notes, (c->n_notes + 1) * sizeof(*notes));
	va_list args;

	if (!notes)
		return;
	c->notes = notes;
	va_start(args, format);
	if (vasprintf(&notes[c->n_notes], format, args) >= 0)
		c->n_notes++;
	va_end(args);
}

const char *cells_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* One more element of zeroes; NULL: memory is short. */
static void *grow(void *array, size_t *n, size_t size)
{
	char **at = array, *bigger = reallocarray(*at, *n + 1, size);

	if (!bigger)
		return NULL;
	*at = bigger;
	return memset(bigger + (*n)++ * size, 0, size);
}

/* ---- names to indices ------------------------------------------------------------------ */

/*
 * While the file is read: objects from names to integers. `columns` has one
 * such object for each workload.
 */
struct names {
	json_t *rows, *workloads, *columns;
};

static void names_finish(struct names *n)
{
	json_decref(n->rows);
	json_decref(n->workloads);
	json_decref(n->columns);
}

static size_t lookup(const json_t *names, const char *name)
{
	const json_t *i = json_object_get(names, name);

	return i ? (size_t)json_integer_value(i) : SIZE_MAX;
}

/* ---- rows and workloads ----------------------------------------------------------------- */

static void read_axes(struct cells_row *row, const json_t *axes)
{
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		const json_t *a = json_object_get(axes, axis_name((enum gamut_axis)axis));

		row->axes[axis] = (struct cells_axis){ cells_text(a, "choice"), cells_text(a, "colour") };
	}
}

static int read_row(struct cells *c, struct names *names, const json_t *json, size_t at)
{
	const char *id = cells_text(json, "id"), *left_out = json_string_value(json_object_get(json, "left_out"));
	struct cells_row *row;

	if (!*id || lookup(names->rows, id) != SIZE_MAX) {
		note(c, "rows[%zu] %s", at, *id ? "has the id of another row" : "has no id");
		return 0;
	}
	if (json_object_set_new(names->rows, id, json_integer((json_int_t)c->n_rows)))
		return -1;
	row = grow(&c->rows, &c->n_rows, sizeof(*row));
	if (!row)
		return -1;
	*row = (struct cells_row){ .id = id, .mode = cells_text(json, "mode"), .engine = cells_text(json, "engine"),
		                   .kind = cells_text(json, "kind"), .left_out = left_out, .json = json };
	read_axes(row, json_object_get(json, "axes"));
	if (json_object_get(json, "left_out") && !left_out)
		note(c, "rows[%zu].left_out is not a text", at);
	return 0;
}

static int add_workload(struct cells *c, struct names *names, const char *id)
{
	const char **workload;

	if (json_object_set_new(names->workloads, id, json_integer((json_int_t)c->n_workloads)) ||
	    json_array_append_new(names->columns, json_object()))
		return -1;
	workload = grow(&c->workloads, &c->n_workloads, sizeof(*workload));
	if (!workload)
		return -1;
	*workload = id;
	return 0;
}

static int read_rows(struct cells *c, struct names *names)
{
	const json_t *rows = json_object_get(c->results, "rows"), *workloads = json_object_get(c->results, "workloads");
	int rc = 0;

	for (size_t i = 0; i < json_array_size(rows) && !rc; i++)
		rc = read_row(c, names, json_array_get(rows, i), i);
	if (!json_is_array(workloads))
		note(c, "there is no list of workloads");
	for (size_t i = 0; i < json_array_size(workloads) && !rc; i++) {
		const char *id = cells_text(json_array_get(workloads, i), "id");

		if (!*id || lookup(names->workloads, id) != SIZE_MAX)
			note(c, "workloads[%zu] %s", i, *id ? "has the id of another" : "has no id");
		else
			rc = add_workload(c, names, id);
	}
	return rc;
}

/* ---- columns ------------------------------------------------------------------------------ */

static int direction_of(const char *unit)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(units[i].unit, unit))
			return units[i].direction;
	return 0;
}

static int add_column(struct cells *c, struct names *names, size_t workload, const char *key)
{
	json_t *of = json_array_get(names->columns, workload);
	const char *space = strrchr(key, ' ');
	struct cells_column *column;

	if (lookup(of, key) != SIZE_MAX)
		return 0;
	if (json_object_set_new(of, key, json_integer((json_int_t)c->n_columns)))
		return -1;
	column = grow(&c->columns, &c->n_columns, sizeof(*column));
	if (!column)
		return -1;
	*column = (struct cells_column){ .workload = workload, .key = key, .leader = SIZE_MAX };
	column->name = space ? strndup(key, (size_t)(space - key)) : strdup(key);
	column->unit = space ? space + 1 : "";
	column->direction = direction_of(column->unit);
	return column->name ? 0 : -1;
}

/* The run's samples, skipped ones too: a column that every row skipped is shown as that. */
static int add_columns(struct cells *c, struct names *names, const json_t *run, size_t workload)
{
	static const char *const memory[4] = { "counters", "memory_overhead_mib" };
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(run, "samples"), key, value)
		if (add_column(c, names, workload, key))
			return -1;
	return isnan(cells_number(run, memory)) ? 0 : add_column(c, names, workload, CELLS_MEMORY);
}

/* Side by side, each workload's in the order in which they were met. */
static int sort_columns(struct cells *c)
{
	struct cells_column *sorted = calloc(c->n_columns + 1, sizeof(*sorted));
	size_t n = 0;

	if (!sorted)
		return -1;
	for (size_t w = 0; w < c->n_workloads; w++)
		for (size_t i = 0; i < c->n_columns; i++)
			if (c->columns[i].workload == w)
				sorted[n++] = c->columns[i];
	free(c->columns);
	c->columns = sorted;
	return 0;
}

/* What is there in ns and in cycles is one thing. */
static void find_twins(struct cells *c)
{
	for (size_t i = 0; i < c->n_columns; i++) {
		struct cells_column *cycles = &c->columns[i];

		for (size_t j = 0; j < c->n_columns && !strcmp(cycles->unit, "cycles"); j++)
			cycles->twin |= c->columns[j].workload == cycles->workload && !strcmp(c->columns[j].unit, "ns") &&
			                !strcmp(c->columns[j].name, cycles->name);
	}
}

/* ---- runs ---------------------------------------------------------------------------------- */

/* The row of a run and its workload, which may be one that the file does not list. SIZE_MAX: of no use. */
static int place(struct cells *c, struct names *names, const json_t *run, size_t at, size_t *row, size_t *workload)
{
	const char *id = cells_text(run, "workload");

	*row = lookup(names->rows, cells_text(run, "row"));
	*workload = lookup(names->workloads, id);
	if (*row == SIZE_MAX || !*id) {
		note(c, "runs[%zu] %s", at, *id ? "is of a row that is not listed" : "names no workload");
		*workload = SIZE_MAX;
		return 0;
	}
	if (*workload != SIZE_MAX)
		return 0;
	note(c, "runs[%zu] is of workload %s, which is not listed", at, id);
	*workload = c->n_workloads;
	return add_workload(c, names, id);
}

/* The first pass: which workloads and columns there are. */
static int read_columns(struct cells *c, struct names *names, const json_t *runs)
{
	for (size_t i = 0; i < json_array_size(runs); i++) {
		const json_t *run = json_array_get(runs, i);
		size_t row, workload;

		if (place(c, names, run, i, &row, &workload))
			return -1;
		if (workload != SIZE_MAX && add_columns(c, names, run, workload))
			return -1;
	}
	return sort_columns(c);
}

static int add_run(struct attempt *a, const json_t *run)
{
	const char *status = cells_text(run, "status"), *why = cells_text(run, "why");
	const json_t **at;

	if (strcmp(status, "ok")) {
		*(!strcmp(status, "refused") ? &a->refused : strcmp(status, "interrupted") ? &a->failed : &a->interrupted) += 1;
		a->why = *why ? why : *status ? status : "a run without a status";
		return 0;
	}
	if (json_is_true(json_object_get(run, "warmup"))) {
		a->warmups++;
		return 0;
	}
	at = grow(&a->runs, &a->n, sizeof(*a->runs));
	if (!at)
		return -1;
	*at = run;
	return 0;
}

/* The second pass: which runs each row and workload has. */
static int read_runs(struct cells *c, const struct names *names, const json_t *runs)
{
	for (size_t i = 0; i < json_array_size(runs); i++) {
		const json_t *run = json_array_get(runs, i);
		size_t row = lookup(names->rows, cells_text(run, "row"));
		size_t workload = lookup(names->workloads, cells_text(run, "workload"));

		if (row == SIZE_MAX || workload == SIZE_MAX)
			continue;
		if (add_run(&c->attempts[row * c->n_workloads + workload], run))
			return -1;
	}
	return 0;
}

/* ---- cells --------------------------------------------------------------------------------- */

/* A figure of a run's sample. Memory may be the run's own. */
static double figure(const json_t *run, const char *key, const char *which)
{
	static const char *const memory[4] = { "counters", "memory_overhead_mib" };
	const char *const path[4] = { "samples", key, which };
	double value = cells_number(run, path);

	return isnan(value) && !strcmp(key, CELLS_MEMORY) ? cells_number(run, memory) : value;
}

/* The median over runs of `which`, of those whose median can be used; their number. */
static size_t gather(const struct attempt *a, const char *key, const char *which, double *values)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++) {
		double value = figure(a->runs[i], key, which);

		if (!isnan(value))
			values[n++] = value;
	}
	return n;
}

static int fill_cell(struct cell *cell, const struct cells_column *column, const struct attempt *a)
{
	struct bench_estimate quartile;
	size_t n;

	cell->samples = calloc(a->n + 1, sizeof(*cell->samples));
	if (!cell->samples)
		return -1;
	n = gather(a, column->key, "p25", cell->samples);
	bench_estimate(cell->samples, n, &quartile);
	cell->p25 = n ? quartile.median : NAN;
	n = gather(a, column->key, "p75", cell->samples);
	bench_estimate(cell->samples, n, &quartile);
	cell->p75 = n ? quartile.median : NAN;
	cell->n = gather(a, column->key, "median", cell->samples);
	bench_estimate(cell->samples, cell->n, &cell->est);
	for (size_t i = 0; i < a->n && !cell->skipped; i++)
		cell->skipped = json_string_value(
			json_object_get(json_object_get(a->runs[i], "skipped"), column->name));
	return 0;
}

/* A sample that is there but is none. */
static void note_damage(struct cells *c, size_t row, size_t column)
{
	const struct attempt *a = cells_attempt(c, row, c->columns[column].workload);
	const struct cell *cell = cells_at(c, row, column);
	size_t there = 0;

	for (size_t i = 0; i < a->n; i++)
		there += json_object_get(json_object_get(a->runs[i], "samples"), c->columns[column].key) != NULL;
	if (there > cell->n)
		note(c, "%s: %zu of %zu runs of %s have no number for %s", c->rows[row].id, there - cell->n, there,
		     c->workloads[c->columns[column].workload], c->columns[column].key);
}

static int fill(struct cells *c)
{
	for (size_t i = 0; i < c->n_rows * c->n_workloads; i++)
		if (account_init(&c->attempts[i].account, c->attempts[i].runs, c->attempts[i].n))
			return -1;
	for (size_t row = 0; row < c->n_rows; row++) {
		for (size_t column = 0; column < c->n_columns; column++) {
			if (fill_cell(&c->cells[row * c->n_columns + column], &c->columns[column],
			              cells_attempt(c, row, c->columns[column].workload)))
				return -1;
			note_damage(c, row, column);
		}
	}
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int allocate(struct cells *c)
{
	size_t cells, attempts;

	if (__builtin_mul_overflow(c->n_rows, c->n_columns, &cells) ||
	    __builtin_mul_overflow(c->n_rows, c->n_workloads, &attempts))
		return -1;
	c->cells = calloc(cells + 1, sizeof(*c->cells));
	c->attempts = calloc(attempts + 1, sizeof(*c->attempts));
	return c->cells && c->attempts ? 0 : -1;
}

static int build(struct cells *c, struct names *names)
{
	const json_t *runs = json_object_get(c->results, "runs");

	if (read_rows(c, names) || read_columns(c, names, runs) || allocate(c))
		return -1;
	find_twins(c);
	if (read_runs(c, names, runs) || fill(c))
		return -1;
	return cells_find_best(c);
}

int cells_init(struct cells *c, const json_t *results, char *err, size_t len)
{
	struct names names = { json_object(), json_object(), json_array() };
	int rc;

	*c = (struct cells){ .results = results };
	if (json_integer_value(json_object_get(results, "gamut-matrix")) != 1)
		rc = fail(err, len, "this is no results file of version 1: it does not say \"gamut-matrix\": 1");
	else if (!json_is_array(json_object_get(results, "rows")))
		rc = fail(err, len, "this results file has no list of rows");
	else if (!json_is_array(json_object_get(results, "runs")))
		rc = fail(err, len, "this results file has no list of runs");
	else
		rc = build(c, &names) ? no_memory(err, len) : 0;
	names_finish(&names);
	if (rc)
		cells_finish(c);
	return rc;
}

void cells_finish(struct cells *c)
{
	for (size_t i = 0; c->cells && i < c->n_rows * c->n_columns; i++)
		free(c->cells[i].samples);
	for (size_t i = 0; c->attempts && i < c->n_rows * c->n_workloads; i++)
		free(c->attempts[i].runs);
	for (size_t i = 0; i < c->n_columns; i++)
		free(c->columns[i].name);
	for (size_t i = 0; i < c->n_notes; i++)
		free(c->notes[i]);
	free(c->cells);
	free(c->attempts);
	free(c->columns);
	free(c->rows);
	free(c->workloads);
	free(c->notes);
	*c = (struct cells){ 0 };
}

const struct cell *cells_at(const struct cells *c, size_t row, size_t column)
{
	return row < c->n_rows && column < c->n_columns ? &c->cells[row * c->n_columns + column] : NULL;
}

const struct attempt *cells_attempt(const struct cells *c, size_t row, size_t workload)
{
	return row < c->n_rows && workload < c->n_workloads ? &c->attempts[row * c->n_workloads + workload] : NULL;
}

size_t cells_find_row(const struct cells *c, const char *id)
{
	for (size_t i = 0; i < c->n_rows; i++)
		if (!strcmp(c->rows[i].id, id))
			return i;
	return SIZE_MAX;
}

size_t cells_find_workload(const struct cells *c, const char *id)
{
	for (size_t i = 0; i < c->n_workloads; i++)
		if (!strcmp(c->workloads[i], id))
			return i;
	return SIZE_MAX;
}

size_t cells_find_column(const struct cells *c, const char *workload, const char *key)
{
	for (size_t i = 0; i < c->n_columns; i++)
		if (!strcmp(c->columns[i].key, key) && !strcmp(c->workloads[c->columns[i].workload], workload))
			return i;
	return SIZE_MAX;
}
