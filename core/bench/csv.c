/* SPDX-License-Identifier: MIT */
/*
 * One line holds one sample and everything about it, so that any program that
 * reads a table needs no other file: what the row is, the run and how it went,
 * its counters and the host's noise, the host itself. What is in the results
 * file under names that nobody has thought of yet gets a column as well.
 *
 * Spreadsheets take text that starts like a formula for one. Guests choose some
 * of the text here: it gets an apostrophe in front.
 */
#include "csv.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cells.h"
#include "plugin.h"

#define MOST_DEPTH 8

/* ---- values ------------------------------------------------------------------------------ */

static void put_text(const char *text, FILE *out)
{
	bool formula = *text && strchr("=+-@\t\r", *text);

	if (!formula && !strpbrk(text, ",\"\r\n")) {
		fputs(text, out);
		return;
	}
	fputs(formula ? "\"'" : "\"", out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void put_value(const json_t *value, FILE *out)
{
	if (json_is_string(value))
		put_text(json_string_value(value), out);
	else if (json_is_number(value))
		json_dumpf(value, out, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "true" : "false", out);
}

static void comma_text(const char *text, FILE *out)
{
	fputc(',', out);
	put_text(text, out);
}

static void comma_value(const json_t *value, FILE *out)
{
	fputc(',', out);
	put_value(value, out);
}

/* ---- columns by the members of objects ------------------------------------------------------- */

/* Puts the leaves of `value` into `flat` under their names joined by dots. */
static int flatten(json_t *flat, const char *name, const json_t *value, int depth)
{
	const char *key;
	json_t *member;
	int rc = 0;

	if (!value || json_is_array(value) || json_is_null(value))
		return 0;
	if (!json_is_object(value))
		return json_object_set(flat, name, (json_t *)value);
	if (depth == MOST_DEPTH)
		return 0;
	json_object_foreach((json_t *)value, key, member) {
		char *longer;

		if (rc || asprintf(&longer, "%s%s%s", name, *name ? "." : "", key) < 0)
			return -1;
		rc = flatten(flat, longer, member, depth + 1);
		free(longer);
	}
	return rc;
}

static json_t *flat_run(const json_t *run)
{
	json_t *flat = json_object();

	if (!flat || flatten(flat, "", json_object_get(run, "counters"), 0) ||
	    flatten(flat, "noise", json_object_get(run, "noise"), 0)) {
		json_decref(flat);
		return NULL;
	}
	return flat;
}

static json_t *flat_host(const json_t *results)
{
	static const char *const parts[] = { "host", "plan", "versions", "version", "started", "finished" };
	json_t *flat = json_object();

	for (size_t i = 0; flat && i < sizeof(parts) / sizeof(parts[0]); i++) {
		const json_t *part = json_object_get(results, parts[i]);

		if (part && flatten(flat, parts[i], part, 0)) {
			json_decref(flat);
			return NULL;
		}
	}
	return flat;
}

/* The names that any run has. */
static json_t *all_names(const json_t *runs)
{
	json_t *names = json_object();

	for (size_t i = 0; names && i < json_array_size(runs); i++) {
		json_t *flat = flat_run(json_array_get(runs, i));

		if (!flat || json_object_update_missing(names, flat)) {
			json_decref(names);
			names = NULL;
		}
		json_decref(flat);
	}
	return names;
}

/* The values of `from` that are named in `names`. */
static void put_members(const json_t *names, const json_t *from, FILE *out)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)names, key, value)
		comma_value(json_object_get(from, key), out);
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* What all lines are made with. */
struct csv {
	const struct cells *cells;
	json_t *names, *host; /* of counters; the host's, with their values */
	FILE *out;
};

static const char *const figures[] = { "n", "min", "p25", "median", "p75", "max" };
#define N_FIGURES (sizeof(figures) / sizeof(figures[0]))

static void put_head(const struct csv *csv)
{
	const char *key;
	json_t *value;

	fputs("row,mode,engine,kind", csv->out);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		fprintf(csv->out, ",%s,%s.colour", axis_name((enum gamut_axis)axis), axis_name((enum gamut_axis)axis));
	fputs(",workload,name,unit,round,warmup", csv->out);
	for (size_t i = 0; i < N_FIGURES; i++)
		fprintf(csv->out, ",%s", figures[i]);
	fputs(",skipped,status,why,run.started", csv->out);
	json_object_foreach(csv->names, key, value)
		comma_text(key, csv->out);
	json_object_foreach(csv->host, key, value)
		comma_text(key, csv->out);
	fputs("\r\n", csv->out);
}

/* `run` NULL: a row that was left out. */
static void put_row(const struct csv *csv, const char *id, const json_t *run)
{
	size_t at = cells_find_row(csv->cells, id);
	const struct cells_row none = { .id = id, .mode = "", .engine = "", .kind = "" };
	const struct cells_row *row = at < csv->cells->n_rows ? &csv->cells->rows[at] : &none;

	put_text(row->id, csv->out);
	comma_text(row->mode, csv->out);
	comma_text(row->engine, csv->out);
	comma_text(row->kind, csv->out);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		comma_text(row->axes[axis].choice ? row->axes[axis].choice : "", csv->out);
		comma_text(row->axes[axis].colour ? row->axes[axis].colour : "", csv->out);
	}
	comma_text(cells_text(run, "workload"), csv->out);
}

/* `key` is "fork-exec ns" for a sample, and a name alone for what was skipped; "": neither. */
static int put_line(const struct csv *csv, const json_t *run, const json_t *flat, const char *key,
                    const json_t *sample, const char *skipped)
{
	const char *space = sample ? strrchr(key, ' ') : NULL;
	char *name = space ? strndup(key, (size_t)(space - key)) : strdup(key);

	if (!name)
		return -1;
	put_row(csv, cells_text(run, "row"), run);
	comma_text(name, csv->out);
	free(name);
	comma_text(space ? space + 1 : "", csv->out);
	comma_value(json_object_get(run, "round"), csv->out);
	comma_value(json_object_get(run, "warmup"), csv->out);
	for (size_t i = 0; i < N_FIGURES; i++)
		comma_value(json_object_get(sample, figures[i]), csv->out);
	comma_text(skipped, csv->out);
	comma_text(cells_text(run, "status"), csv->out);
	comma_text(cells_text(run, "why"), csv->out);
	comma_text(cells_text(run, "started"), csv->out);
	put_members(csv->names, flat, csv->out);
	put_members(csv->host, csv->host, csv->out);
	fputs("\r\n", csv->out);
	return 0;
}

static int put_run(const struct csv *csv, const json_t *run)
{
	json_t *samples = json_object_get(run, "samples"), *skipped = json_object_get(run, "skipped");
	json_t *flat = flat_run(run), *value;
	const char *key;

	int rc = flat ? 0 : -1;

	json_object_foreach(samples, key, value)
		rc = rc ? rc : put_line(csv, run, flat, key, value, "");
	json_object_foreach(skipped, key, value)
		rc = rc ? rc : put_line(csv, run, flat, key, NULL,
		                        json_is_string(value) ? json_string_value(value) : "no reason");
	if (!json_object_size(samples) && !json_object_size(skipped) && !rc)
		rc = put_line(csv, run, flat, "", NULL, "");
	json_decref(flat);
	return rc;
}

/* A line as of a run, whose status is that there was none. */
static int put_left_out(const struct csv *csv, const struct cells_row *row)
{
	json_t *run = json_pack("{s:s, s:s, s:s}", "row", row->id, "status", "left out", "why", row->left_out);
	int rc = run ? put_run(csv, run) : -1;

	json_decref(run);
	return rc;
}

static int put_lines(const struct csv *csv)
{
	const json_t *runs = json_object_get(csv->cells->results, "runs");
	int rc = 0;

	put_head(csv);
	for (size_t i = 0; i < json_array_size(runs) && !rc; i++)
		rc = put_run(csv, json_array_get(runs, i));
	for (size_t i = 0; i < csv->cells->n_rows && !rc; i++)
		if (csv->cells->rows[i].left_out)
			rc = put_left_out(csv, &csv->cells->rows[i]);
	return fflush(csv->out) || ferror(csv->out) ? -1 : rc;
}

int bench_csv(const json_t *results, FILE *out)
{
	struct cells cells;
	struct csv csv = { .cells = &cells, .out = out };
	char err[128];
	int rc = cells_init(&cells, results, err, sizeof(err));

	if (rc)
		return rc;
	csv.names = all_names(json_object_get(results, "runs"));
	csv.host = flat_host(results);
	rc = csv.names && csv.host ? put_lines(&csv) : -1;
	json_decref(csv.names);
	json_decref(csv.host);
	cells_finish(&cells);
	return rc;
}
