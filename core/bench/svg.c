/* SPDX-License-Identifier: MIT */
#include "svg.h"

#include <math.h>

#include "figures.h"

#define LOG_FROM 25.0 /* from the largest to the smallest: more is not seen on a linear scale */
#define MOST_DOTS 40

/* ---- scales ------------------------------------------------------------------------------ */

static void add_tick(struct svg_scale *s, double value)
{
	if (s->n_ticks < SVG_TICKS && value >= s->low && value <= s->high * 1.0001)
		s->ticks[s->n_ticks++] = value;
}

/* 1, 2 or 5 times a power of ten, of which some four make the scale. */
static void linear_ticks(struct svg_scale *s)
{
	double step = pow(10, floor(log10(s->high / 4)));
	double times = s->high / 4 / step;

	step *= times > 5 ? 10 : times > 2 ? 5 : times > 1 ? 2 : 1;
	for (int i = 0; i < SVG_TICKS; i++)
		add_tick(s, i * step);
}

/* Powers of ten, of a thousand where there are many. */
static void log_ticks(struct svg_scale *s)
{
	double decades = log10(s->high / s->low), step = decades > 14 ? 1000000 : decades > 6 ? 1000 : 10;
	double tick = pow(10, ceil(log10(s->low)));

	for (int i = 0; i < SVG_TICKS && isfinite(tick); i++, tick *= step)
		add_tick(s, tick);
}

void svg_scale(struct svg_scale *s, double smallest, double largest)
{
	*s = (struct svg_scale){ .high = 1 };
	if (!(largest > 0) || !isfinite(largest * 1.06))
		return;
	s->log = smallest > 0 && largest / smallest > LOG_FROM;
	s->high = largest * (s->log ? 1.25 : 1.06);
	s->low = s->log ? smallest / 2 : 0;
	if (s->log)
		log_ticks(s);
	else
		linear_ticks(s);
}

/* Where a value is, in per cent. */
static double at(const struct svg_scale *s, double value)
{
	double x = s->log ? log(value / s->low) / log(s->high / s->low) : value / s->high;

	return isfinite(x) ? fmin(fmax(x, 0), 1) * 100 : 0;
}

/* ---- strips -------------------------------------------------------------------------------- */

static void grid(FILE *out, const struct svg_scale *s)
{
	for (size_t i = 0; i < s->n_ticks; i++)
		fprintf(out, "<line class=\"g\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" y2=\"22\"/>", at(s, s->ticks[i]),
		        at(s, s->ticks[i]));
}

static void whiskers(FILE *out, const struct svg_scale *s, const struct bench_estimate *e)
{
	double low = at(s, e->low), high = at(s, e->high);

	fprintf(out,
	        "<line class=\"w\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"11\" y2=\"11\"/>"
	        "<line class=\"w\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"7\" y2=\"15\"/>"
	        "<line class=\"w\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"7\" y2=\"15\"/>",
	        low, high, low, low, high, high);
}

static void dots(FILE *out, const struct svg_scale *s, const struct cell *cell)
{
	size_t step = cell->n / MOST_DOTS + 1;

	for (size_t i = 0; i < cell->n; i += step)
		fprintf(out, "<circle class=\"d\" cx=\"%.2f%%\" cy=\"11\" r=\"2.2\"/>", at(s, cell->samples[i]));
}

static void bar(FILE *out, const struct svg_scale *s, double value, const char *class)
{
	/* On a logarithmic scale length means nothing: a line that leads to a mark. */
	if (s->log)
		fprintf(out,
		        "<line class=\"l\" x1=\"0\" x2=\"%.2f%%\" y1=\"11\" y2=\"11\"/>"
		        "<circle class=\"b%s\" cx=\"%.2f%%\" cy=\"11\" r=\"5.5\"/>",
		        at(s, value), class, at(s, value));
	else
		fprintf(out, "<rect class=\"b%s\" x=\"0\" y=\"4\" width=\"%.2f%%\" height=\"14\" rx=\"2\"/>", class,
		        at(s, value));
}

void svg_strip(FILE *out, const struct svg_scale *s, const struct cell *cell, bool best, bool peer)
{
	fputs("<svg class=\"strip\" width=\"100%\" height=\"22\" aria-hidden=\"true\">", out);
	grid(out, s);
	if (cell->n) {
		bar(out, s, cell->est.median, best ? " best" : peer ? " peer" : "");
		if (cell->n > 1)
			whiskers(out, s, &cell->est);
		dots(out, s, cell);
	}
	fputs("</svg>", out);
}

void svg_axis(FILE *out, const struct svg_scale *s)
{
	fputs("<svg class=\"strip\" width=\"100%\" height=\"16\" aria-hidden=\"true\">", out);
	for (size_t i = 0; i < s->n_ticks; i++) {
		double x = at(s, s->ticks[i]);
		char text[FIGURE];

		snprintf(text, sizeof(text), "%.6g", s->ticks[i]);
		fprintf(out, "<text class=\"t\" x=\"%.2f%%\" y=\"12\" text-anchor=\"%s\">%s</text>", x,
		        x < 3 ? "start" : x > 97 ? "end" : "middle", s->ticks[i] < 1e6 ? text : figure_text(s->ticks[i], text));
	}
	fputs("</svg>", out);
}

void svg_stack(FILE *out, const struct svg_scale *s, const struct parts *p)
{
	double sum = 0, x = 0, scale;

	for (int part = 0; part < PARTS; part++)
		sum += p->ns[part];
	/* Parts that went on at the same time are more than the whole: they are drawn smaller. */
	scale = sum > p->wall && sum > 0 ? p->wall / sum : 1;
	fputs("<svg class=\"strip\" width=\"100%\" height=\"22\" aria-hidden=\"true\">", out);
	grid(out, s);
	if (!p->known)
		fprintf(out, "<rect class=\"b peer\" x=\"0\" y=\"3\" width=\"%.2f%%\" height=\"16\"/>", at(s, p->wall));
	for (int i = 0; p->known && i < PARTS; i++) {
		int part = i ? i - (i <= PART_GUEST) : PART_GUEST; /* the guest first, then axes, then the rest */
		double width = at(s, p->ns[part] * scale);
		char time[FIGURE];

		if (width > 0.005)
			fprintf(out, "<rect class=\"p%d\" x=\"%.2f%%\" y=\"3\" width=\"%.2f%%\" height=\"16\"><title>%s: %s</title></rect>",
			        part, x, width, explain_part_name(part), figure_time(p->ns[part] * 1e9, time));
		x += width;
	}
	fputs("</svg>", out);
}
