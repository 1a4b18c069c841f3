/* SPDX-License-Identifier: MIT */
#include "missing.h"

#include <stdlib.h>
#include <string.h>

struct list {
	struct missing *items;
	size_t n;
};

static int add(struct list *l, const struct missing *m)
{
	struct missing *items = reallocarray(l->items, l->n + 1, sizeof(*items));

	if (!items)
		return -1;
	l->items = items;
	items[l->n++] = *m;
	return 0;
}

static int add_rows(struct list *l, const struct cells *c)
{
	for (size_t i = 0; i < c->n_rows; i++) {
		const struct cells_row *row = &c->rows[i];

		if (row->left_out && add(l, &(struct missing){ .kind = MISSING_ROW, .row = row->id, .workload = "",
			                                       .what = "", .why = row->left_out }))
			return -1;
	}
	return 0;
}

static int add_attempt(struct list *l, const struct cells *c, size_t row, size_t workload)
{
	const struct attempt *a = cells_attempt(c, row, workload);
	size_t all = a->n + a->warmups + a->failed + a->interrupted;
	struct missing m = { .row = c->rows[row].id, .workload = c->workloads[workload], .what = "", .of = all,
		             .why = a->why ? a->why : "" };

	m.kind = MISSING_FAILED;
	m.runs = a->failed;
	if (m.runs && add(l, &m))
		return -1;
	m.kind = MISSING_STOPPED;
	m.runs = a->interrupted;
	if (m.runs && add(l, &m))
		return -1;
	m.kind = MISSING_NOT_RUN;
	m.why = "the file has no run of it";
	return all || c->rows[row].left_out ? 0 : add(l, &m);
}

/* The values that counted runs skipped, each once, with the first reason. */
static int add_skipped(struct list *l, const struct cells *c, size_t row, size_t workload)
{
	const struct attempt *a = cells_attempt(c, row, workload);
	size_t first = l->n;

	for (size_t i = 0; i < a->n; i++) {
		const char *name;
		json_t *why;

		json_object_foreach(json_object_get(a->runs[i], "skipped"), name, why) {
			size_t at = first;

			while (at < l->n && strcmp(l->items[at].what, name))
				at++;
			if (at == l->n &&
			    add(l, &(struct missing){ .kind = MISSING_VALUE, .row = c->rows[row].id,
			                              .workload = c->workloads[workload], .what = name, .of = a->n,
			                              .why = json_is_string(why) ? json_string_value(why) : "no reason given" }))
				return -1;
			l->items[at].runs++;
		}
	}
	return 0;
}

static int add_notes(struct list *l, const struct cells *c)
{
	for (size_t i = 0; i < c->n_notes; i++)
		if (add(l, &(struct missing){ .kind = MISSING_DAMAGED, .row = "", .workload = "", .what = "",
			                      .why = c->notes[i] }))
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
		free(l.items);
		return -1;
	}
	*list = l.items;
	*n = l.n;
	return 0;
}

const char *missing_kind_name(enum missing_kind kind)
{
	static const char *const names[] = { [MISSING_ROW] = "left out",       [MISSING_FAILED] = "failed",
		                             [MISSING_STOPPED] = "interrupted", [MISSING_NOT_RUN] = "not run",
		                             [MISSING_VALUE] = "skipped",       [MISSING_DAMAGED] = "of no use" };

	return names[kind];
}
