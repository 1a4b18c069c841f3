/* SPDX-License-Identifier: MIT */
/*
 * Figures from elsewhere, real Xen's for instance: row,workload,name,unit,value
 * with a header line. The n-th value of a cell is of round n.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lines.h"
#include "bench/row.h"
#include "json.h"

#define HEADER     "row,workload,name,unit,value"
#define FIELDS     5
#define LINES_MAX_ 10000u

struct csv {
	FILE *f;
	char line[1024];
	unsigned number;
	char *field[FIELDS];
	double value;
};

static void cut_end(char *line)
{
	size_t len = strlen(line);

	while (len && isspace((unsigned char)line[len - 1]))
		line[--len] = 0;
}

static bool split(struct csv *csv)
{
	char *p = csv->line;

	for (int i = 0; i < FIELDS; i++) {
		csv->field[i] = p;
		p = strchr(p, ',');
		if (!p != (i == FIELDS - 1))
			return false;
		if (p)
			*p++ = 0;
	}
	return true;
}

/* Why the line is none, or NULL. */
static const char *check(struct csv *csv)
{
	char *end;

	if (!split(csv))
		return "wants five fields: " HEADER;
	if (!*csv->field[0] || strlen(csv->field[0]) > 63 || !*csv->field[1] || strlen(csv->field[1]) > 63)
		return "wants a row and a workload of 1 to 63 bytes";
	if (!lines_name_ok(csv->field[2]))
		return "wants a name of a-z, 0-9, '.' and '-'";
	if (!lines_unit_ok(csv->field[3]))
		return "wants a unit: ns, us, ms, s, cycles, MiB, MB/s, ops/s or packets/s";
	csv->value = strtod(csv->field[4], &end);
	if (!*csv->field[4] || *end || !(csv->value >= 0) || csv->value > 1e18)
		return "wants a number of 0 or more as its value";
	return NULL;
}

/* Calls fn for each line; 0, or -1 with what is wrong in *why. */
static int each(const char *path, int (*fn)(struct csv *csv, void *opaque), void *opaque, unsigned *line,
                const char **why)
{
	struct csv csv = { .f = fopen(path, "re") };
	int rc = 0;

	*line = 0;
	*why = csv.f ? NULL : strerror(errno);
	while (csv.f && !*why && fgets(csv.line, sizeof(csv.line), csv.f)) {
		*line = ++csv.number;
		if (!strchr(csv.line, '\n') && !feof(csv.f))
			*why = "is longer than 1023 bytes";
		cut_end(csv.line);
		if (csv.number > LINES_MAX_)
			*why = "is one line too many";
		else if (csv.number == 1 && strcmp(csv.line, HEADER) != 0)
			*why = "wants the header " HEADER;
		if (*why || csv.number == 1 || !csv.line[0])
			continue;
		*why = check(&csv);
		if (!*why && fn(&csv, opaque))
			*why = "out of memory";
	}
	if (csv.f && !csv.number)
		*why = "is empty; wants the header " HEADER;
	if (csv.f)
		fclose(csv.f);
	rc = *why ? -1 : 0;
	return rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct into {
	struct rows *rows;
	const struct plan_peer *peer;
	const char *only;
	json_t *runs;
};

static const struct row *find(const struct rows *rows, const struct plan_peer *peer, const char *id)
{
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->row[i].peer == peer && !strcmp(rows->row[i].id, id))
			return &rows->row[i];
	}
	return NULL;
}

static int add_row(struct csv *csv, void *opaque)
{
	struct into *into = opaque;
	struct row *row;

	if (find(into->rows, into->peer, csv->field[0]) ||
	    (!plan_listed(into->only, csv->field[0]) && !plan_listed(into->only, into->peer->name)))
		return 0;
	row = rows_add(into->rows, ROW_IMPORTED, csv->field[0]);
	if (!row)
		return -1;
	row->peer = into->peer;
	row->engine = into->peer->name;
	return 0;
}

int import_rows(struct rows *rows, const struct plan_peer *peer, const char *only, struct diag *diag)
{
	struct into into = { .rows = rows, .peer = peer, .only = only };
	const char *why;
	unsigned line;

	return each(peer->csv, add_row, &into, &line, &why) ? diag_error(diag, peer->csv, line, "%s", why) : 0;
}

/* ---- runs ---------------------------------------------------------------------------------------- */

/* The first run of the row and workload that has no such sample yet, or a new one. */
static json_t *run_for(struct into *into, const char *row, const char *workload, const char *key)
{
	json_int_t round = 0;
	json_t *run;

	for (size_t i = 0; i < json_array_size(into->runs); i++) {
		run = json_array_get(into->runs, i);
		if (strcmp(json_string_value(json_object_get(run, "row")), row) != 0 ||
		    strcmp(json_string_value(json_object_get(run, "workload")), workload) != 0)
			continue;
		round = json_integer_value(json_object_get(run, "round"));
		if (!json_object_get(json_object_get(run, "samples"), key))
			return run;
	}
	run = json_pack("{s:o, s:o, s:I, s:b, s:s, s:{}, s:{}, s:{}}", "row", json_text(row), "workload",
	                json_text(workload), "round", round + 1, "warmup", 0, "status", "ok", "samples", "skipped",
	                "counters");
	return run && !json_array_append_new(into->runs, run) ? run : NULL;
}

static int add_run(struct csv *csv, void *opaque)
{
	struct into *into = opaque;
	double v = csv->value, five[5] = { v, v, v, v, v };
	char key[96];
	json_t *run;

	if (!find(into->rows, into->peer, csv->field[0]))
		return 0;
	snprintf(key, sizeof(key), "%s %s", csv->field[2], csv->field[3]);
	run = run_for(into, csv->field[0], csv->field[1], key);
	return !run || json_object_set_new(json_object_get(run, "samples"), key, lines_sample(1, five));
}

int import_runs(json_t *runs, const struct plan_peer *peer, const struct rows *rows)
{
	struct into into = { .rows = (struct rows *)(uintptr_t)rows, .peer = peer, .runs = runs };
	const char *why;
	unsigned line;

	return each(peer->csv, add_run, &into, &line, &why);
}
