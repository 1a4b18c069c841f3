/* SPDX-License-Identifier: MIT */
#include "compare-internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cells.h"
#include "figures.h"

static double number(const json_t *object, const char *key)
{
	const char *const path[4] = { key };

	return cells_number(object, path);
}

static void put_text(const json_t *object, const char *key, FILE *out)
{
	figure_plain(cells_text(object, key), 0, out);
}

static void put_value(const json_t *value, FILE *out)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));

	figure_plain(!text ? "?" : json_is_null(value) ? "absent" : text, 200, out);
	free(text);
}

/* ---- the head: what the files are, and whether they can be compared -------------------------- */

static void print_file(const json_t *report, const char *key, FILE *out)
{
	const json_t *file = json_object_get(report, key);

	fprintf(out, "%s: started ", key);
	put_text(file, "started", out);
	fprintf(out, ", Gamut ");
	put_text(file, "version", out);
	fprintf(out, "%s\n", json_is_true(json_object_get(file, "finished")) ? "" : ", not finished");
}

static void print_differing(const json_t *report, bool colour, FILE *out)
{
	const json_t *list = json_object_get(report, "differing");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);

		fprintf(out, "%s%s differs:%s ", colour ? "\x1b[33m" : "", cells_text(item, "of"), colour ? "\x1b[0m" : "");
		put_text(item, "what", out);
		fputs(" was ", out);
		put_value(json_object_get(item, "a"), out);
		fputs(", is ", out);
		put_value(json_object_get(item, "b"), out);
		fputc('\n', out);
	}
}

static void print_drift(const json_t *report, FILE *out)
{
	const json_t *of_a = json_object_get(report, "a"), *of_b = json_object_get(report, "b");
	double a = number(of_a, "spin_ns"), b = number(of_b, "spin_ns");
	char x[FIGURE], y[FIGURE], z[FIGURE];

	if (isnan(a) || isnan(b))
		fputs("How fast the host was is not known of both.\n", out);
	else
		fprintf(out, "The host took %s for a fixed loop in a, %s in b (%s%s).\n", figure_time(a, x),
		        figure_time(b, y), b < a ? "" : "+", figure_percent(b / a - 1, z));
	a = number(of_a, "waiting");
	b = number(of_b, "waiting");
	if (!isnan(a) && !isnan(b))
		fprintf(out, "Guests waited for a processor of the host for %s of their time in a, %s in b.\n",
		        figure_percent(a, x), figure_percent(b, y));
	fprintf(out, "Within what that makes, row by row, and %s besides nothing is claimed.\n",
	        figure_percent(BENCH_FLOOR_FILES, x));
}

/* ---- the changes ----------------------------------------------------------------------------------- */

static const char *verdict_sgr(const char *verdict, bool colour)
{
	if (!colour)
		return "";
	return !strcmp(verdict, "worse") ? "\x1b[31m" : !strcmp(verdict, "better") ? "\x1b[32m" : "\x1b[33m";
}

static void print_change(const json_t *item, bool colour, FILE *out)
{
	const char *verdict = cells_text(item, "verdict");
	char a[FIGURE], b[FIGURE], ratio[FIGURE], low[FIGURE], high[FIGURE];

	fprintf(out, "  %s%-7s%s ", verdict_sgr(verdict, colour), verdict, colour ? "\x1b[0m" : "");
	put_text(item, "name", out);
	fprintf(out, ": %s, was %s ", figure_text(number(json_object_get(item, "b"), "median"), b),
	        figure_text(number(json_object_get(item, "a"), "median"), a));
	put_text(item, "unit", out);
	fprintf(out, "; %s (%s to %s)\n", figure_ratio(number(item, "ratio"), ratio),
	        figure_ratio(number(item, "low"), low), figure_ratio(number(item, "high"), high));
}

static bool same_run(const json_t *a, const json_t *b)
{
	return !strcmp(cells_text(a, "row"), cells_text(b, "row")) &&
	       !strcmp(cells_text(a, "workload"), cells_text(b, "workload"));
}

static void print_reason(const json_t *report, const json_t *item, FILE *out)
{
	const json_t *reasons = json_object_get(report, "reasons");

	for (size_t i = 0; i < json_array_size(reasons); i++) {
		if (!same_run(json_array_get(reasons, i), item))
			continue;
		fputs("  why: ", out);
		put_text(json_array_get(reasons, i), "text", out);
		fputc('\n', out);
	}
}

static void print_head(const json_t *item, bool colour, FILE *out)
{
	fprintf(out, "\n%s", colour ? "\x1b[1m" : "");
	put_text(item, "row", out);
	fputs(", ", out);
	put_text(item, "workload", out);
	fprintf(out, "%s\n", colour ? "\x1b[0m" : "");
}

/* Changes come in the order of rows and workloads; the reason follows the last of each. */
static void print_changes(const json_t *report, bool colour, FILE *out)
{
	const json_t *list = json_object_get(report, "changes");
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(list, i);

		if (!i || !same_run(item, json_array_get(list, i - 1)))
			print_head(item, colour, out);
		print_change(item, colour, out);
		if (i + 1 == n || !same_run(item, json_array_get(list, i + 1)))
			print_reason(report, item, out);
	}
}

/* Reasons without a figure that changed: the accounts did. */
static void print_accounts(const json_t *report, bool colour, FILE *out)
{
	const json_t *changes = json_object_get(report, "changes"), *reasons = json_object_get(report, "reasons");

	for (size_t i = 0; i < json_array_size(reasons); i++) {
		const json_t *item = json_array_get(reasons, i);
		size_t at = 0;

		while (at < json_array_size(changes) && !same_run(json_array_get(changes, at), item))
			at++;
		if (at < json_array_size(changes))
			continue;
		print_head(item, colour, out);
		fputs("  no figure changed, but where time went: ", out);
		put_text(item, "text", out);
		fputc('\n', out);
	}
}

/* ---- what was not compared, and the sum ----------------------------------------------------------- */

static void print_only(const json_t *report, const char *key, FILE *out)
{
	const json_t *list = json_object_get(report, key);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		bool row = *cells_text(item, "row");

		fprintf(out, "%s in %s: ", row ? "a row only" : "a sample only", strrchr(key, '_') + 1);
		put_text(item, row ? "row" : "workload", out);
		if (!row) {
			fputs(", ", out);
			put_text(item, "sample", out);
		}
		fputc('\n', out);
	}
}

static void print_not_compared(const json_t *report, FILE *out)
{
	const json_t *list = json_object_get(report, "not_compared");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);

		fputs("not compared: ", out);
		put_text(item, "row", out);
		fputs(", ", out);
		put_text(item, "workload", out);
		fputs(", ", out);
		put_text(item, "name", out);
		fputc(' ', out);
		put_text(item, "unit", out);
		fputs(": ", out);
		put_text(item, "why", out);
		fputc('\n', out);
	}
}

static void print_sum(const json_t *report, bool colour, FILE *out)
{
	const char *culprit = cells_text(report, "culprit");
	char count[FIGURE], of[FIGURE], share[FIGURE], time[FIGURE];

	fprintf(out, "\n%s%s of %s cells changed beyond noise.%s", colour ? "\x1b[1m" : "",
	        figure_count(number(report, "changed"), count), figure_count(number(report, "compared"), of),
	        colour ? "\x1b[0m" : "");
	if (*culprit)
		fprintf(out, " Of the time that parts of the runs cost more, %s has %s: %s.", culprit,
		        figure_percent(number(report, "culprit_share"), share),
		        figure_time(number(json_object_get(report, "slower_by_ns"), culprit), time));
	fputc('\n', out);
}

void compare_print(const json_t *report, bool colour, FILE *out)
{
	print_file(report, "a", out);
	print_file(report, "b", out);
	print_differing(report, colour, out);
	print_drift(report, out);
	print_changes(report, colour, out);
	print_accounts(report, colour, out);
	print_sum(report, colour, out);
	print_only(report, "only_in_a", out);
	print_only(report, "only_in_b", out);
	print_not_compared(report, out);
}
