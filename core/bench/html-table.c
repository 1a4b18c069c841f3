/* SPDX-License-Identifier: MIT */
#include "html-internal.h"

#include <math.h>
#include <string.h>

#include "figures.h"
#include "plugin.h"

bool html_was_run(const struct cells *c, size_t row, size_t workload)
{
	const struct attempt *a = cells_attempt(c, row, workload);

	return a->n || a->failed || a->interrupted;
}

bool html_is_peer(const struct cells_row *row)
{
	return strcmp(row->kind, "gamut") != 0;
}

/* Only the three that there are become classes. */
void html_chip(FILE *out, const struct cells_axis *axis)
{
	const char *colour = axis->colour;
	bool known = !strcmp(colour, "V") || !strcmp(colour, "P") || !strcmp(colour, "VH");

	if (!*colour && !*axis->choice) {
		fputs("<span class=\"chip absent\">–</span>", out);
		return;
	}
	fprintf(out, "<span class=\"chip %s\"><b>", known ? colour : "");
	figure_html(*colour ? colour : "?", out);
	fputs("</b>", out);
	figure_html(axis->choice, out);
	fputs("</span>", out);
}

static void put_head(FILE *out, const struct cells *c, size_t workload)
{
	fputs("<thead><tr><th>row</th>", out);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		fprintf(out, "<th class=\"ax\">%s</th>", axis_name((enum gamut_axis)axis));
	for (size_t i = 0; i < c->n_columns; i++) {
		const struct cells_column *column = &c->columns[i];

		if (column->workload != workload || column->twin)
			continue;
		fputs("<th class=\"fig\">", out);
		figure_html(column->name, out);
		fputs("<small>", out);
		figure_html(column->unit, out);
		fprintf(out, "%s</small></th>", column->direction > 0 ? " ↑" : column->direction < 0 ? " ↓" : "");
	}
	fputs("</tr></thead>", out);
}

static void put_no_figure(FILE *out, const struct cell *cell, const struct attempt *a)
{
	if (cell->skipped) {
		fputs("<td class=\"none\" title=\"", out);
		figure_html(cell->skipped, out);
		fputs("\">skipped</td>", out);
	} else {
		fprintf(out, "<td class=\"none\">%s</td>", a->n ? "–" : a->failed ? "failed" : a->refused ? "left out" : "–");
	}
}

static void put_cell(FILE *out, const struct cells *c, size_t row, size_t column)
{
	const struct cell *cell = cells_at(c, row, column);
	char text[FIGURE], low[FIGURE], high[FIGURE], ratio[FIGURE];
	bool best = cell->best && c->columns[column].told_apart;

	if (!cell->n) {
		put_no_figure(out, cell, cells_attempt(c, row, c->columns[column].workload));
		return;
	}
	fprintf(out, "<td%s data-v=\"%.9g\" title=\"%zu round%s", best ? " class=\"best\"" : "", cell->est.median, cell->n,
	        cell->n == 1 ? "" : "s");
	if (cell->n > 1)
		fprintf(out, ", median between %s and %s with a confidence of %.0f %%", figure_text(cell->est.low, low),
		        figure_text(cell->est.high, high), cell->est.level * 100);
	fprintf(out, "\">%s%s", best ? "★ " : "", figure_text(cell->est.median, text));
	if (cell->leader.comparable == BENCH_COMPARED && cell->leader.differs)
		fprintf(out, "<br><small>%s</small>", figure_ratio(cell->leader.ratio, ratio));
	fputs("</td>", out);
}

static void put_row(FILE *out, const struct cells *c, size_t row, size_t workload)
{
	fputs("<tr><th data-v=\"", out);
	figure_html(c->rows[row].id, out);
	fputs("\">", out);
	figure_html(c->rows[row].id, out);
	fputs("</th>", out);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		fputs("<td class=\"ax\" data-v=\"", out);
		figure_html(c->rows[row].axes[axis].colour, out);
		fputs("\">", out);
		html_chip(out, &c->rows[row].axes[axis]);
		fputs("</td>", out);
	}
	for (size_t i = 0; i < c->n_columns; i++)
		if (c->columns[i].workload == workload && !c->columns[i].twin)
			put_cell(out, c, row, i);
	fputs("</tr>\n", out);
}

void html_table(FILE *out, const struct cells *c, size_t workload)
{
	fputs("<div class=\"scroll\"><table class=\"sortable\">", out);
	put_head(out, c, workload);
	fputs("<tbody>\n", out);
	for (size_t row = 0; row < c->n_rows; row++)
		if (html_was_run(c, row, workload))
			put_row(out, c, row, workload);
	fputs("</tbody></table></div>\n", out);
}
