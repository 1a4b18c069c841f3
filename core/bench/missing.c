/* SPDX-License-Identifier: MIT */
#include "missing.h"

#include <stdlib.h>
#include <string.h>

struct list {
	struct missing *items;
	size_t n;
};

static int add(struct list *l, const char *row, const struct missing *m)
{
	struct missing *items = reallocarray(l->items, l->n + 1, sizeof(*items));

	if (!items)
		return -1;
	l->items = items;
	items[l->n] = *m;
	items[l->n].rows = strdup(row);
	return items[l->n++].rows ? 0 : -1;
}

static int add_rows(struct list *l, const struct cells *c)
{
	for (size_t i = 0; i < c->n_rows; i++) {
		const struct cells_row *row = &c->rows[i];
		const struct missing m = { .kind = MISSING_ROW, .workload = "", .what = "", .why = row->left_out };

		if (row->left_out && add(l, row->id, &m))
			return -1;
	}
	return 0;
}

static int add_attempt(struct list *l, const struct cells *c, size_t row, size_t workload)
{
	const struct attempt *a = cells_attempt(c, row, workload);
	const char *id = c->rows[row].id;
	size_t all = a->n + a->warmups + a->failed + a->interrupted + a->refused;
	struct missing m = { .workload = c->workloads[workload], .what = "", .of = all, .why = a->why ? a->why : "" };

	m.kind = MISSING_REFUSED;
	if (a->refused && add(l, id, &m))
		return -1;
	m.kind = MISSING_FAILED;
	m.runs = a->failed;
	if (m.runs && add(l, id, &m))
		return -1;
	m.kind = MISSING_STOPPED;
	m.runs = a->interrupted;
	if (m.runs && add(l, id, &m))
		return -1;
	m.kind = MISSING_NOT_RUN;
	m.why = "the file has no run of it";
	return all || c->rows[row].left_out ? 0 : add(l, id, &m);
}

/* In how many of the runs it was skipped, if `first` is the first of them; 0: it is not. */
static size_t count_skipped(const struct attempt *a, size_t first, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++) {
		if (!json_object_get(json_object_get(a->runs[i], "skipped"), name))
			continue;
		if (i < first)
			return 0;
		n++;
	}
	return n;
}

/* To what other rows skipped for the same reason, or by itself. */
static int add_value(struct list *l, const char *row, const struct missing *m)
{
	for (size_t i = 0; i < l->n; i++) {
		struct missing *other = &l->items[i];
		char *rows;

		if (other->kind != m->kind || other->runs != m->runs || other->of != m->of ||
		    strcmp(other->workload, m->workload) || strcmp(other->what, m->what) || strcmp(other->why, m->why))
			continue;
		if (asprintf(&rows, "%s, %s", other->rows, row) < 0)
			return -1;
		free(other->rows);
		other->rows = rows;
		return 0;
	}
	return add(l, row, m);
}

/* The values that counted runs skipped, each once, with the first reason. */
static int add_skipped(struct list *l, const struct cells *c, size_t row, size_t workload)
{
	const struct attempt *a = cells_attempt(c, row, workload);

	for (size_t i = 0; i < a->n; i++) {
		const char *name;
		json_t *why;

		json_object_foreach(json_object_get(a->runs[i], "skipped"), name, why) {
			struct missing m = { .kind = MISSING_VALUE, .workload = c->workloads[workload], .what = name,
				             .runs = count_skipped(a, i, name), .of = a->n };

			m.why = json_is_string(why) ? json_string_value(why) : "no reason given";
			if (m.runs && add_value(l, c->rows[row].id, &m))
				return -1;
		}
	}
	return 0;
}

static int add_notes(struct list *l, const struct cells *c)
{
	for (size_t i = 0; i < c->n_notes; i++)
		if (add(l, "", &(struct missing){ .kind = MISSING_DAMAGED, .workload = "", .what = "", .why = c->notes[i] }))
			return -1;
	return 0;
}

static int add_attempts(struct list *l, const struct cells *c,
                        int (*one)(struct list *l, const struct cells *c, size_t row, size_t workload))
{
	for (size_t row = 0; row < c->n_rows; row++)
		for (size_t w = 0; w < c->n_workloads; w++)
			if (one(l, c, row, w))
				return -1;
	return 0;
}

int missing_list(const struct cells *c, struct missing **list, size_t *n)
{
	struct list l = { 0 };

	if (add_rows(&l, c) || add_attempts(&l, c, add_attempt) || add_attempts(&l, c, add_skipped) || add_notes(&l, c)) {
		missing_free(l.items, l.n);
		return -1;
	}
	*list = l.items;
	*n = l.n;
	return 0;
}

void missing_free(struct missing *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].rows);
	free(list);
}

const char *missing_kind_name(enum missing_kind kind)
{
	static const char *const names[] = { [MISSING_ROW] = "left out",       [MISSING_REFUSED] = "left out",
		                             [MISSING_FAILED] = "failed",
		                             [MISSING_STOPPED] = "interrupted", [MISSING_NOT_RUN] = "not run",
		                             [MISSING_VALUE] = "skipped",       [MISSING_DAMAGED] = "of no use" };

	return names[kind];
}
