/* SPDX-License-Identifier: MIT */
/*
 * Cells are compared by name: the row, the workload, the sample. What is in
 * one file only is listed as that. All that can be compared is judged together
 * (estimate.c), and within the drift of the host nothing is claimed: while each
 * run went, a fixed loop was timed (noise.spin_ns), and guests waited for a
 * processor of the host (runnable_ns). By as much as either stretches a row's
 * runs in one file and not in the other, everything else may differ.
 *
 * Where a cell changed, the whole run's counters say why (explain.c), and they
 * are judged as well (compare-parts.c): one axis that got slower shows in every
 * workload that uses it, though nothing may have measured just that. Over all
 * runs the parts that cost more are summed up.
 *
 * The report is JSON; what is printed is a view of it.
 */
#include "compare.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cells.h"
#include "compare-internal.h"

/* A cell that is in both. */
struct place {
	size_t row_a, row_b, column_a, column_b;
};

struct comparison {
	const struct cells *a, *b;
	struct place *places;
	struct bench_pair *pairs; /* as many */
	size_t n;
	json_t *report;
};

static void put_number(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, isfinite(value) ? json_real(value) : json_null());
}

static void put_text(json_t *object, const char *key, const char *value)
{
	json_object_set_new(object, key, json_string(value));
}

static void put_count(json_t *object, const char *key, size_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* ---- the two files ---------------------------------------------------------------------- */

static json_t *or_null(const json_t *value)
{
	return value ? json_incref((json_t *)value) : json_null();
}

/* Members of a part of both files that differ, in either. */
static void add_differences(json_t *list, const char *part, const json_t *a, const json_t *b, bool again)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)a, key, value) {
		json_t *other = json_object_get(b, key), *item;

		/* Of the plan's file, and so of all that is told here. */
		if (!strcmp(key, "hash"))
			continue;
		if (again ? other != NULL : other && json_equal(value, other))
			continue;
		item = json_object();
		put_text(item, "of", part);
		put_text(item, "what", key);
		json_object_set_new(item, again ? "b" : "a", or_null(value));
		json_object_set_new(item, again ? "a" : "b", or_null(other));
		json_array_append_new(list, item);
	}
}

static json_t *differing(const json_t *a, const json_t *b)
{
	static const char *const parts[] = { "host", "versions", "plan" };
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		add_differences(list, parts[i], json_object_get(a, parts[i]), json_object_get(b, parts[i]), false);
		add_differences(list, parts[i], json_object_get(b, parts[i]), json_object_get(a, parts[i]), true);
	}
	return list;
}

static double spin_of(const struct account *a)
{
	return a->spin_ns;
}

/* The part of its time that a guest waited for a processor. */
static double waiting_of(const struct account *a)
{
	return a->runnable_ns / a->wall_ns;
}

/* The median over rows and workloads. */
static double overall(const struct cells *c, double (*of)(const struct account *a))
{
	double *values = calloc(c->n_rows * c->n_workloads + 1, sizeof(*values));
	struct bench_estimate e = { 0 };
	size_t n = 0;

	for (size_t i = 0; values && i < c->n_rows * c->n_workloads; i++)
		if (of(&c->attempts[i].account) >= 0 && isfinite(of(&c->attempts[i].account)))
			values[n++] = of(&c->attempts[i].account);
	if (values)
		bench_estimate(values, n, &e);
	free(values);
	return n ? e.median : NAN;
}

static json_t *file_of(const struct cells *c)
{
	json_t *file = json_object();

	put_text(file, "started", cells_text(c->results, "started"));
	put_text(file, "version", cells_text(c->results, "version"));
	json_object_set_new(file, "finished", json_boolean(*cells_text(c->results, "finished")));
	put_number(file, "spin_ns", overall(c, spin_of));
	put_number(file, "waiting", overall(c, waiting_of));
	return file;
}

/* Rows and columns that only `c` has. */
static json_t *only_in(const struct cells *c, const struct cells *other)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_rows; i++)
		if (cells_find_row(other, c->rows[i].id) == SIZE_MAX)
			json_array_append_new(list, json_pack("{s:s}", "row", c->rows[i].id));
	for (size_t i = 0; i < c->n_columns; i++) {
		const char *workload = c->workloads[c->columns[i].workload];

		if (cells_find_column(other, workload, c->columns[i].key) == SIZE_MAX)
			json_array_append_new(list, json_pack("{s:s, s:s}", "workload", workload, "sample",
			                                      c->columns[i].key));
	}
	return list;
}

/* ---- the pairs ----------------------------------------------------------------------------- */

/* Memory does not take longer on a slow host. */
static double tolerance(const struct comparison *c, const struct place *p)
{
	const struct cells_column *column = &c->a->columns[p->column_a];

	if (!strcmp(column->unit, "MiB"))
		return BENCH_FLOOR_FILES;
	return compare_tolerance(cells_attempt(c->a, p->row_a, column->workload),
	                         cells_attempt(c->b, p->row_b, c->b->columns[p->column_b].workload));
}

static void add_pair(struct comparison *c, const struct place *p)
{
	const struct cell *a = cells_at(c->a, p->row_a, p->column_a), *b = cells_at(c->b, p->row_b, p->column_b);

	if ((!a->n && !b->n) || c->a->columns[p->column_a].twin)
		return;
	c->places[c->n] = *p;
	c->pairs[c->n++] = (struct bench_pair){ .a = a->samples, .n_a = a->n, .b = b->samples, .n_b = b->n,
		                                .tolerance = tolerance(c, p) };
}

static int pair_up(struct comparison *c)
{
	const struct cells *a = c->a, *b = c->b;
	size_t *columns = calloc(a->n_columns + 1, sizeof(*columns));

	c->places = calloc(a->n_rows * a->n_columns + 1, sizeof(*c->places));
	c->pairs = calloc(a->n_rows * a->n_columns + 1, sizeof(*c->pairs));
	for (size_t i = 0; columns && i < a->n_columns; i++)
		columns[i] = cells_find_column(b, a->workloads[a->columns[i].workload], a->columns[i].key);
	for (size_t row = 0; columns && c->places && c->pairs && row < a->n_rows; row++) {
		struct place p = { .row_a = row, .row_b = cells_find_row(b, a->rows[row].id) };

		for (size_t i = 0; p.row_b != SIZE_MAX && i < a->n_columns; i++) {
			p.column_a = i;
			p.column_b = columns[i];
			if (p.column_b != SIZE_MAX)
				add_pair(c, &p);
		}
	}
	free(columns);
	return columns && c->places && c->pairs ? bench_differ(c->pairs, c->n) : -1;
}

/* ---- cells of the report --------------------------------------------------------------------- */

static json_t *side(const struct cell *cell)
{
	json_t *object = json_object();

	put_count(object, "n", cell->n);
	put_number(object, "median", cell->est.median);
	put_number(object, "low", cell->est.low);
	put_number(object, "high", cell->est.high);
	put_number(object, "level", cell->est.level);
	return object;
}

static json_t *one_cell(const struct comparison *c, size_t i)
{
	const struct place *p = &c->places[i];
	const struct bench_pair *pair = &c->pairs[i];
	const struct cells_column *column = &c->a->columns[p->column_a];
	json_t *object = json_object();
	bool more = pair->ratio > 1;

	put_text(object, "row", c->a->rows[p->row_a].id);
	put_text(object, "workload", c->a->workloads[column->workload]);
	put_text(object, "name", column->name);
	put_text(object, "unit", column->unit);
	json_object_set_new(object, "a", side(cells_at(c->a, p->row_a, p->column_a)));
	json_object_set_new(object, "b", side(cells_at(c->b, p->row_b, p->column_b)));
	if (pair->comparable != BENCH_COMPARED) {
		put_text(object, "why", pair->comparable == BENCH_FEW ? "fewer than two samples" : "samples that are not above 0");
		return object;
	}
	put_number(object, "ratio", pair->ratio);
	put_number(object, "low", pair->low);
	put_number(object, "high", pair->high);
	put_number(object, "p", pair->p);
	put_number(object, "tolerance", pair->tolerance);
	put_text(object, "verdict",
	         !pair->differs ? "same" : !column->direction ? "changed" : more == (column->direction > 0) ? "better" : "worse");
	return object;
}

/* The cells that changed, and those that could not be compared. */
static void add_cells(const struct comparison *c)
{
	json_t *changes = json_array(), *not_compared = json_array();
	size_t compared = 0;

	for (size_t i = 0; i < c->n; i++) {
		if (c->pairs[i].comparable != BENCH_COMPARED)
			json_array_append_new(not_compared, one_cell(c, i));
		else if (c->pairs[i].differs)
			json_array_append_new(changes, one_cell(c, i));
		compared += c->pairs[i].comparable == BENCH_COMPARED;
	}
	put_count(c->report, "compared", compared);
	put_count(c->report, "changed", json_array_size(changes));
	json_object_set_new(c->report, "changes", changes);
	json_object_set_new(c->report, "not_compared", not_compared);
}

/* ---- why ---------------------------------------------------------------------------------------- */

/* Whether any figure that takes time has changed. */
static bool has_changed(const struct comparison *c, size_t row, size_t workload)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct cells_column *column = &c->a->columns[c->places[i].column_a];

		if (c->places[i].row_a == row && column->workload == workload && c->pairs[i].differs &&
		    strcmp(column->unit, "MiB"))
			return true;
	}
	return false;
}

static json_t *causes(const struct change *change)
{
	json_t *list = json_array();

	for (int i = 0; i < PARTS; i++) {
		const struct cause *cause = &change->causes[i];
		json_t *item = json_object();

		put_text(item, "part", explain_part_name(cause->part));
		put_number(item, "ns", cause->ns);
		put_number(item, "share", cause->share);
		json_object_set_new(item, "beyond_noise", json_boolean(cause->beyond));
		put_number(item, "extra_ns", cause->extra_ns);
		put_number(item, "exits_a", change->a.exits[cause->part]);
		put_number(item, "exits_b", change->b.exits[cause->part]);
		put_number(item, "ns_a", change->a.ns[cause->part]);
		put_number(item, "ns_b", change->b.ns[cause->part]);
		json_array_append_new(list, item);
	}
	return list;
}

/* Time that parts cost more than before, beyond noise, over all runs. */
struct blame {
	double ns[PARTS], all;
};

static void add_blame(struct blame *blame, const struct change *change)
{
	for (int i = 0; change->known && i < PARTS; i++) {
		const struct cause *cause = &change->causes[i];
		/* What the host did meanwhile is nobody's fault here. */
		double more = cause->beyond && cause->part != PART_WAIT ? fmax(cause->extra_ns, 0) : 0;

		blame->ns[cause->part] += more;
		blame->all += more;
	}
}

static int add_reason(const struct comparison *c, json_t *list, const struct attempt_pair *p)
{
	char *text = explain_text(&p->change, "before", "it");
	json_t *item;

	if (!text)
		return -1;
	item = json_object();
	put_text(item, "row", c->a->rows[p->row_a].id);
	put_text(item, "workload", c->a->workloads[p->workload_a]);
	put_text(item, "text", text);
	free(text);
	if (p->change.known) {
		put_number(item, "wall_ns_a", p->change.a.wall);
		put_number(item, "wall_ns_b", p->change.b.wall);
		json_object_set_new(item, "of_wall", json_boolean(p->change.of_wall));
		put_number(item, "ns", p->change.ns);
		json_object_set_new(item, "causes", causes(&p->change));
	}
	return json_array_append_new(list, item);
}

static void add_culprit(json_t *report, const struct blame *blame)
{
	json_t *parts = json_object();
	int worst = 0;

	for (int part = 0; part < PARTS; part++) {
		put_number(parts, explain_part_name(part), blame->ns[part]);
		worst = blame->ns[part] > blame->ns[worst] ? part : worst;
	}
	json_object_set_new(report, "slower_by_ns", parts);
	if (blame->all > 0) {
		put_text(report, "culprit", explain_part_name(worst));
		put_number(report, "culprit_share", blame->ns[worst] / blame->all);
	}
}

static int add_reasons(const struct comparison *c)
{
	json_t *list = json_array();
	struct attempt_pair *attempts = NULL;
	struct blame blame = { 0 };
	size_t n = 0, changed = 0;
	int rc = compare_attempts(c->a, c->b, &attempts, &n);

	for (size_t i = 0; i < n && !rc; i++) {
		add_blame(&blame, &attempts[i].change);
		changed += attempts[i].beyond;
		if (attempts[i].beyond || has_changed(c, attempts[i].row_a, attempts[i].workload_a))
			rc = add_reason(c, list, &attempts[i]);
	}
	json_object_set_new(c->report, "reasons", list);
	put_count(c->report, "accounts_changed", changed);
	add_culprit(c->report, &blame);
	free(attempts);
	return rc;
}

/* ---- all of it ------------------------------------------------------------------------------------ */

static int make_report(struct comparison *c)
{
	c->report = json_object();
	if (!c->report || pair_up(c))
		return -1;
	json_object_set_new(c->report, "a", file_of(c->a));
	json_object_set_new(c->report, "b", file_of(c->b));
	json_object_set_new(c->report, "differing", differing(c->a->results, c->b->results));
	json_object_set_new(c->report, "only_in_a", only_in(c->a, c->b));
	json_object_set_new(c->report, "only_in_b", only_in(c->b, c->a));
	add_cells(c);
	return add_reasons(c);
}

static int compare(const struct cells *a, const struct cells *b, json_t **report)
{
	struct comparison c = { .a = a, .b = b };
	int rc = make_report(&c);

	free(c.places);
	free(c.pairs);
	if (rc) {
		json_decref(c.report);
		return -1;
	}
	*report = c.report;
	return json_integer_value(json_object_get(c.report, "changed")) > 0 ||
	       json_integer_value(json_object_get(c.report, "accounts_changed")) > 0;
}

static int read_cells(struct cells *c, const json_t *results, const char *name, FILE *out)
{
	char err[128];
	int rc = cells_init(c, results, err, sizeof(err));

	if (rc && out)
		fprintf(out, "%s: %s\n", name, err);
	return rc;
}

int bench_compare(const json_t *a, const json_t *b, FILE *out, bool colour, json_t **as_json)
{
	struct cells cells_a = { 0 }, cells_b = { 0 };
	json_t *report = NULL;
	int rc;

	if (as_json)
		*as_json = NULL;
	rc = read_cells(&cells_a, a, "the first", out) || read_cells(&cells_b, b, "the second", out) ? -1 : 0;
	rc = rc ? rc : compare(&cells_a, &cells_b, &report);
	if (report && out)
		compare_print(report, colour, out);
	if (as_json && rc >= 0)
		*as_json = json_incref(report);
	json_decref(report);
	cells_finish(&cells_a);
	cells_finish(&cells_b);
	return rc;
}
