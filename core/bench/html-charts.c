/* SPDX-License-Identifier: MIT */
#include "html-internal.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "explain.h"
#include "figures.h"
#include "svg.h"

static void put_label(FILE *out, const char *text)
{
	fputs("<span title=\"", out);
	figure_html(text, out);
	fputs("\">", out);
	figure_html(text, out);
	fputs("</span>", out);
}

static void put_axis(FILE *out, const struct svg_scale *s)
{
	fputs("<div class=\"r\"><span></span>", out);
	svg_axis(out, s);
	fputs("<span></span></div>", out);
}

/* ---- figures --------------------------------------------------------------------------------- */

/* False: there is nothing to draw. */
static bool scale_of(const struct cells *c, size_t column, struct svg_scale *s)
{
	double smallest = INFINITY, largest = 0;

	for (size_t row = 0; row < c->n_rows; row++) {
		const struct cell *cell = cells_at(c, row, column);

		if (cell->n && cell->est.min > 0)
			smallest = fmin(smallest, cell->est.min);
		if (cell->n)
			largest = fmax(largest, cell->est.max);
	}
	svg_scale(s, smallest, largest);
	return largest > 0;
}

static void put_strip(FILE *out, const struct cells *c, size_t row, size_t column, const struct svg_scale *s)
{
	const struct cell *cell = cells_at(c, row, column);
	bool best = cell->best && c->columns[column].told_apart;
	char text[FIGURE];

	fprintf(out, "<div class=\"r%s\">", best ? " best" : "");
	put_label(out, c->rows[row].id);
	svg_strip(out, s, cell, best, html_is_peer(&c->rows[row]));
	fprintf(out, "<span>%s", figure_text(cell->est.median, text));
	if (cell->leader.comparable == BENCH_COMPARED && cell->leader.differs)
		fprintf(out, " <small>%s</small>", figure_ratio(cell->leader.ratio, text));
	fputs("</span></div>", out);
}

static void put_chart(FILE *out, const struct cells *c, size_t column)
{
	const struct cells_column *col = &c->columns[column];
	struct svg_scale scale;

	if (!scale_of(c, column, &scale))
		return;
	fputs("<figure class=\"chart\"><figcaption>", out);
	figure_html(col->name, out);
	fputs("<small>", out);
	figure_html(col->unit, out);
	fprintf(out, "%s%s%s</small></figcaption>",
	        col->direction > 0 ? ", more is better" : col->direction < 0 ? ", less is better" : "",
	        scale.log ? "; logarithmic" : "",
	        col->leader == SIZE_MAX ? "; too few rounds to judge" : col->told_apart ? "" : "; no difference beyond noise");
	for (size_t row = 0; row < c->n_rows; row++)
		if (cells_at(c, row, column)->n)
			put_strip(out, c, row, column, &scale);
	put_axis(out, &scale);
	fputs("</figure>\n", out);
}

void html_charts(FILE *out, const struct cells *c, size_t workload)
{
	fputs("<div class=\"charts\">\n", out);
	for (size_t i = 0; i < c->n_columns; i++)
		if (c->columns[i].workload == workload && !c->columns[i].twin)
			put_chart(out, c, i);
	fputs("</div>\n", out);
}

/* ---- where time went -------------------------------------------------------------------------- */

static double longest(const struct cells *c, size_t workload)
{
	double most = 0;

	for (size_t row = 0; row < c->n_rows; row++) {
		double wall = cells_attempt(c, row, workload)->account.wall_ns;

		most = isnan(wall) ? most : fmax(most, wall / 1e9);
	}
	return most;
}

/* Parts in seconds, as the scale has them. */
static struct parts in_seconds(const struct account *a)
{
	struct parts p;

	explain_parts(a, &p);
	p.wall /= 1e9;
	for (int part = 0; part < PARTS; part++)
		p.ns[part] /= 1e9;
	return p;
}

static void put_stack(FILE *out, const struct cells *c, size_t row, size_t workload, const struct svg_scale *s)
{
	const struct account *a = &cells_attempt(c, row, workload)->account;
	struct parts p = in_seconds(a);
	char time[FIGURE], exits[FIGURE];

	if (!(a->wall_ns > 0))
		return;
	fputs("<div class=\"r\">", out);
	put_label(out, c->rows[row].id);
	svg_stack(out, s, &p);
	fprintf(out, "<span>%s", figure_time(a->wall_ns, time));
	if (!isnan(a->exits))
		fprintf(out, " <small>%s exits</small>", figure_count(a->exits, exits));
	fputs("</span></div>", out);
}

/* Reasons while they are put. */
struct reasons {
	FILE *out;
	size_t n;
};

static void put_reason(void *ctx, const char *text)
{
	struct reasons *r = ctx;

	r->n++;
	fputs("<li>", r->out);
	figure_html(text, r->out);
	fputs("</li>\n", r->out);
}

static void put_part_legend(FILE *out)
{
	static const char *const beyond[] = { "guest", "engine, beyond axes", "idle", "waiting for a processor",
		                              "start, end" };

	fputs("<div class=\"legend\">", out);
	fprintf(out, "<span><i class=\"p%d\"></i>guest</span>", PART_GUEST);
	for (int part = 0; part < PARTS; part++)
		if (part != PART_GUEST)
			fprintf(out, "<span><i class=\"p%d\"></i>%s</span>", part,
			        part < PART_GUEST ? explain_part_name(part) : beyond[part - PART_GUEST]);
	fputs("<span><i class=\"pq\"></i>not known</span></div>", out);
}

int html_accounts(FILE *out, const struct cells *c, size_t workload)
{
	struct reasons reasons = { .out = out };
	struct svg_scale scale;
	double most = longest(c, workload);
	int rc;

	if (most <= 0)
		return 0;
	svg_scale(&scale, most, most);
	fputs("<h3>Where the time of a run went</h3>\n<div class=\"box\">", out);
	put_part_legend(out);
	for (size_t row = 0; row < c->n_rows; row++)
		put_stack(out, c, row, workload, &scale);
	put_axis(out, &scale);
	fputs("<p class=\"soft\">Seconds. An axis has the time of its plugins, on the guest's processor and on the I/O "
	      "thread. Rows that took 5 % longer than the fastest of their engine are explained by their counters:</p><ul class=\"why\">\n", out);
	rc = explain_workload(c, workload, put_reason, &reasons);
	fprintf(out, "</ul>%s</div>\n",
	        reasons.n ? "" : "<p>No row took 5 % longer than the fastest of its engine, as far as there are counters.</p>");
	return rc;
}
