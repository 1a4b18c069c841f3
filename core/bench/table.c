/* SPDX-License-Identifier: MIT */
/*
 * A line for each row of the spectrum: its axes in their colours, then the
 * figures of one workload; as many columns as the terminal is wide, then the
 * rows again with the next ones. A figure is the median of the rounds, and
 * behind it how far they scatter, which one disturbed round does not change.
 */
#include "table.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cells.h"
#include "figures.h"
#include "missing.h"
#include "plugin.h"

#define HEAD_WIDTH 12 /* a column's name is broken at its dashes to about this */
#define GAP        2
#define BOLD       "\x1b[1m"
#define DIM        "\x1b[2m"
#define PLAIN      "\x1b[0m"

struct table {
	const struct cells *cells;
	FILE *out;
	bool colour;
	unsigned width; /* 0: no bounds */
	size_t id_width;
};

static const char *sgr(const struct table *t, const char *code)
{
	return t->colour ? code : "";
}

/* As `gamut color` has them: from red, emulated in every detail, to green, where guest and monitor talk. */
static const char *paint(const char *colour)
{
	return !strcmp(colour, "V") ? "\x1b[31m" : !strcmp(colour, "P") ? "\x1b[32m" : "\x1b[33m";
}

static void put_padded(const struct table *t, const char *text, size_t width)
{
	size_t used = figure_width(text);

	figure_plain(text, 0, t->out);
	fprintf(t->out, "%*s", used < width ? (int)(width - used) : 0, "");
}

static void put_right(const struct table *t, const char *text, size_t width)
{
	size_t used = figure_width(text);

	fprintf(t->out, "%*s", used < width ? (int)(width - used) : 0, "");
	figure_plain(text, 0, t->out);
}

/* ---- a cell ------------------------------------------------------------------------------- */

#define CELL (2 * FIGURE)

/* "*123.4 ±3%", "skipped", "failed", "left out", "-". */
static void cell_text(const struct cells *c, size_t row, size_t column, char buf[CELL])
{
	const struct cells_column *col = &c->columns[column];
	const struct attempt *a = cells_attempt(c, row, col->workload);
	const struct cell *cell = cells_at(c, row, column);
	const struct bench_estimate *e = &cell->est;
	const char *mark = cell->best && col->told_apart ? "*" : "";
	double spread = (e->p75 - e->p25) / 1.349 / e->median; /* a standard deviation, were they normal */
	char number[FIGURE];

	if (!cell->n)
		snprintf(buf, CELL, "%s", cell->skipped ? "skipped" : a->n ? "-" : a->failed ? "failed" : a->refused ? "left out" : "-");
	else if (cell->n < 2 || !isfinite(spread) || spread < 0)
		snprintf(buf, CELL, "%s%s     ", mark, figure_text(e->median, number));
	else
		snprintf(buf, CELL, "%s%s ±%*.0f%%", mark, figure_text(e->median, number), spread < 0.0995 ? 2 : 1,
		         fmin(spread * 100, 999));
}

static void put_cell(const struct table *t, size_t row, size_t column, size_t width)
{
	const struct cell *cell = cells_at(t->cells, row, column);
	bool best = cell->best && t->cells->columns[column].told_apart;
	char text[CELL];

	cell_text(t->cells, row, column, text);
	fprintf(t->out, "%*s%s", GAP, "", sgr(t, best ? BOLD : cell->n ? "" : DIM));
	put_right(t, text, width);
	fputs(sgr(t, PLAIN), t->out);
}

/* ---- heads: a name on several lines ------------------------------------------------------- */

/* Where the name's next line ends: behind a dash where there is one. */
static size_t head_break(const char *name)
{
	size_t len = strlen(name), at = len;

	if (len <= HEAD_WIDTH)
		return len;
	for (size_t i = 1; i < len; i++)
		if ((name[i - 1] == '-' || name[i - 1] == '.') && (i <= HEAD_WIDTH || at == len))
			at = i;
	return at;
}

static size_t head_lines(const char *name, size_t *width)
{
	size_t lines = 0;

	for (; *name; lines++) {
		size_t len = head_break(name);
		char part[HEAD_WIDTH * 4] = "";

		snprintf(part, sizeof(part), "%.*s", (int)len, name);
		if (figure_width(part) > *width)
			*width = figure_width(part);
		name += len;
	}
	return lines;
}

static void put_head_line(const struct table *t, const char *name, size_t line, size_t width)
{
	char part[HEAD_WIDTH * 4] = "";

	for (; line && *name; line--)
		name += head_break(name);
	snprintf(part, sizeof(part), "%.*s", (int)head_break(name), name);
	fprintf(t->out, "%*s", GAP, "");
	put_right(t, part, width);
}

static size_t column_width(const struct table *t, size_t column)
{
	const struct cells_column *col = &t->cells->columns[column];
	size_t width = figure_width(col->unit);

	head_lines(col->name, &width);
	for (size_t row = 0; row < t->cells->n_rows; row++) {
		char text[CELL];

		cell_text(t->cells, row, column, text);
		if (figure_width(text) > width)
			width = figure_width(text);
	}
	return width;
}

/* ---- a block: some columns of a workload ----------------------------------------------------- */

struct block {
	size_t workload, first, n; /* columns */
	size_t lines;              /* of its head, without the unit's */
	bool any;                  /* a column that is shown */
	size_t *widths;            /* of all columns */
};

static const char *const short_names[GAMUT_AXIS_COUNT] = {
	[GAMUT_AXIS_DISK] = "dsk",     [GAMUT_AXIS_NET] = "net", [GAMUT_AXIS_INTERRUPTS] = "int",
	[GAMUT_AXIS_PLATFORM] = "plt", [GAMUT_AXIS_MMU] = "mmu", [GAMUT_AXIS_CONSOLE] = "con",
};

static void put_axes(const struct table *t, const struct cells_row *row)
{
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		const char *colour = row->axes[axis].colour;

		fprintf(t->out, " %s", sgr(t, *colour ? paint(colour) : DIM));
		put_padded(t, *colour && figure_width(colour) <= 3 ? colour : "·", 3);
		fputs(sgr(t, PLAIN), t->out);
	}
}

static void put_block_head(const struct table *t, const struct block *b)
{
	const struct cells_column *columns = t->cells->columns;

	for (size_t line = 0; line <= b->lines; line++) {
		bool last = line == b->lines;

		fputs(sgr(t, BOLD), t->out);
		put_padded(t, line ? "" : t->cells->workloads[b->workload], t->id_width);
		fputs(sgr(t, PLAIN), t->out);
		for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
			fprintf(t->out, " %-3s", last ? short_names[axis] : "");
		for (size_t i = b->first; i < b->first + b->n; i++) {
			size_t ignored = 0, lines = head_lines(columns[i].name, &ignored), empty = b->lines - lines;

			if (columns[i].twin)
				continue;
			if (last)
				fputs(sgr(t, DIM), t->out);
			put_head_line(t, last ? columns[i].unit : line < empty ? "" : columns[i].name,
			              last || line < empty ? 0 : line - empty, b->widths[i]);
			fputs(sgr(t, PLAIN), t->out);
		}
		fputc('\n', t->out);
	}
}

static bool was_run(const struct attempt *a)
{
	return a->n || a->failed || a->interrupted;
}

static void put_block(const struct table *t, const struct block *b)
{
	put_block_head(t, b);
	for (size_t row = 0; row < t->cells->n_rows; row++) {
		if (!was_run(cells_attempt(t->cells, row, b->workload)))
			continue;
		put_padded(t, t->cells->rows[row].id, t->id_width);
		put_axes(t, &t->cells->rows[row]);
		for (size_t i = b->first; i < b->first + b->n; i++)
			if (!t->cells->columns[i].twin)
				put_cell(t, row, i, b->widths[i]);
		fputc('\n', t->out);
	}
	fputc('\n', t->out);
}

/* As many columns from `first` on as the terminal takes, one at least. */
static struct block next_block(const struct table *t, size_t *widths, size_t first)
{
	const struct cells_column *columns = t->cells->columns;
	struct block b = { .workload = columns[first].workload, .first = first, .widths = widths };
	size_t used = t->id_width + 4 * (size_t)GAMUT_AXIS_COUNT;

	for (size_t i = first; i < t->cells->n_columns && columns[i].workload == b.workload; i++, b.n++) {
		size_t ignored = 0, lines = head_lines(columns[i].name, &ignored);

		if (columns[i].twin)
			continue;
		used += widths[i] + GAP;
		if (b.any && t->width && used > t->width)
			break;
		b.any = true;
		b.lines = lines > b.lines ? lines : b.lines;
	}
	return b;
}

static int put_blocks(const struct table *t)
{
	size_t *widths = calloc(t->cells->n_columns + 1, sizeof(*widths));

	if (!widths)
		return -1;
	for (size_t i = 0; i < t->cells->n_columns; i++)
		widths[i] = column_width(t, i);
	for (size_t first = 0; first < t->cells->n_columns;) {
		struct block b = next_block(t, widths, first);

		if (b.any)
			put_block(t, &b);
		first += b.n;
	}
	free(widths);
	return 0;
}

/* ---- head and foot ------------------------------------------------------------------------------ */

static void put_host(const struct table *t)
{
	const json_t *results = t->cells->results, *host = json_object_get(results, "host");
	static const char *const repetitions[4] = { "plan", "repetitions" }, *const warmup[4] = { "plan", "warmup" };
	static const char *const cores[4] = { "host", "cores" };
	char a[FIGURE], b[FIGURE];

	figure_plain(cells_text(host, "cpu"), 0, t->out);
	fprintf(t->out, ", %s processors, Linux ", figure_count(cells_number(results, cores), a));
	figure_plain(cells_text(host, "kernel"), 0, t->out);
	if (*cells_text(host, "hypervisor")) {
		fputs(", under ", t->out);
		figure_plain(cells_text(host, "hypervisor"), 0, t->out);
	}
	fputs("\nstarted ", t->out);
	figure_plain(cells_text(results, "started"), 0, t->out);
	fprintf(t->out, "%s; %s rounds after %s to warm up\n\n",
	        *cells_text(results, "finished") ? "" : ", not finished",
	        figure_count(cells_number(results, repetitions), a), figure_count(cells_number(results, warmup), b));
}

static void put_legend(const struct table *t)
{
	fprintf(t->out, "%sV%s emulated, %sP%s paravirtual, %sVH%s by hardware or translator. A figure is the median of its "
	                "rounds, ± their spread;\nless is better but for MB/s, ops/s and packets/s. "
	                "* the best and all that do not differ from it beyond noise;\na column without * has no "
	                "difference beyond noise, or fewer than two rounds. What is there in cycles as well is so in CSV.\n",
	        sgr(t, paint("V")), sgr(t, PLAIN), sgr(t, paint("P")), sgr(t, PLAIN), sgr(t, paint("VH")), sgr(t, PLAIN));
}

static void put_missing_item(const struct table *t, const struct missing *m)
{
	fprintf(t->out, "  %-11s ", missing_kind_name(m->kind));
	if (m->kind != MISSING_VALUE)
		figure_plain(m->rows, 0, t->out);
	if (*m->workload) {
		fputs(m->kind == MISSING_VALUE ? "" : " ", t->out);
		figure_plain(m->workload, 0, t->out);
	}
	if (*m->what) {
		fputs(" ", t->out);
		figure_plain(m->what, 0, t->out);
	}
	if (m->runs && (m->runs < m->of || m->kind != MISSING_VALUE))
		fprintf(t->out, ", %zu of %zu runs", m->runs, m->of);
	fprintf(t->out, "%s", *m->rows ? ": " : "");
	figure_plain(m->why, 0, t->out);
	if (m->kind == MISSING_VALUE) {
		fputs("; ", t->out);
		figure_plain(m->rows, 0, t->out);
	}
	fputc('\n', t->out);
}

static int put_missing(const struct table *t)
{
	struct missing *list = NULL;
	size_t n = 0;

	if (missing_list(t->cells, &list, &n))
		return -1;
	if (n)
		fprintf(t->out, "\n%sWithout figures%s\n", sgr(t, BOLD), sgr(t, PLAIN));
	for (size_t i = 0; i < n; i++)
		put_missing_item(t, &list[i]);
	missing_free(list, n);
	return 0;
}

int bench_table(const json_t *results, FILE *out, bool colour, unsigned width)
{
	struct cells cells;
	struct table t = { .cells = &cells, .out = out, .colour = colour, .width = width };
	char err[128];
	int rc = cells_init(&cells, results, err, sizeof(err));

	if (rc) {
		fprintf(out, "%s\n", err);
		return rc;
	}
	for (size_t i = 0; i < cells.n_rows; i++)
		t.id_width = figure_width(cells.rows[i].id) > t.id_width ? figure_width(cells.rows[i].id) : t.id_width;
	for (size_t i = 0; i < cells.n_workloads; i++)
		t.id_width = figure_width(cells.workloads[i]) > t.id_width ? figure_width(cells.workloads[i]) : t.id_width;
	t.id_width = t.id_width > 60 ? 60 : t.id_width;
	put_host(&t);
	rc = put_blocks(&t);
	if (!rc) {
		put_legend(&t);
		rc = put_missing(&t);
	}
	cells_finish(&cells);
	return rc;
}
