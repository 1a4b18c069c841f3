/* SPDX-License-Identifier: MIT */
/*
 * A run's wall time is laid out in parts that add up to it: the guest; each
 * axis, with the time that its plugins took on the vCPU (exit_ns) and on the
 * I/O thread (io_ns); the rest of the monitor; idle; waiting
 * for a processor of the host; and what is left. The
 * guest waits for the I/O thread in idle time, which is why io_ns is taken off
 * that: a disk that is slow to answer makes the guest idle, and it is the disk
 * that is to be named, not the idling. Where guest and I/O thread worked at
 * the same time the parts are more than the whole; then an axis explains more
 * than there is, and is said to explain all of it.
 *
 * A change is laid out likewise. When a workload does so much work and ends,
 * it is that of wall time. When it works for so long and counts, wall time
 * stays as it is, and what is to be explained is time that went elsewhere: the
 * parts are compared at equal wall times, and those that grew share the blame.
 */
#include "explain.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"
#include "plugin.h"

#define SAME_WALL 0.02 /* wall times that are closer are the same */
#define WORTH     0.10 /* the part of a change that is worth a word */
#define NO_AXIS   0.05 /* a row that is slower by less needs no explanation */

const char *explain_part_name(int part)
{
	static const char *const names[] = { "guest", "engine", "idle", "waiting", "host" };

	return part < GAMUT_AXIS_COUNT ? axis_name((enum gamut_axis)part) : names[part - GAMUT_AXIS_COUNT];
}

/* In a sentence. */
static const char *part_words(int part)
{
	static const char *const words[] = { "the guest itself", "the engine", "idling", "waiting for a processor of the host",
		                             "start and end" };

	return part < GAMUT_AXIS_COUNT ? axis_name((enum gamut_axis)part) : words[part - GAMUT_AXIS_COUNT];
}

static double or_nothing(double value)
{
	return isnan(value) ? 0 : value;
}

void explain_parts(const struct account *a, struct parts *p)
{
	double in_axes = 0, in_io = 0, monitor = or_nothing(a->monitor_ns), guest = or_nothing(a->guest_ns);

	*p = (struct parts){ .wall = a->wall_ns };
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		const struct account_axis *x = &a->axes[axis];

		p->known |= !isnan(x->exits) && a->wall_ns > 0;
		p->exits[axis] = or_nothing(x->exits);
		p->ns[axis] = or_nothing(x->exit_ns) + or_nothing(x->io_ns);
		in_axes += or_nothing(x->exit_ns);
		in_io += or_nothing(x->io_ns);
	}
	p->ns[PART_GUEST] = guest;
	p->ns[PART_ENGINE] = fmax(monitor - in_axes, 0);
	p->ns[PART_IDLE] = fmax(or_nothing(a->idle_ns) - in_io, 0);
	p->ns[PART_WAIT] = or_nothing(a->runnable_ns);
	p->ns[PART_HOST] = fmax(or_nothing(a->wall_ns) - guest - fmax(monitor, in_axes) - or_nothing(a->idle_ns) -
	                                or_nothing(a->runnable_ns), 0);
}

static int by_share(const void *a, const void *b)
{
	const struct cause *x = a, *y = b;
	double p = x->beyond ? fmax(x->extra_ns, x->ns) : 0, q = y->beyond ? fmax(y->extra_ns, y->ns) : 0;

	/* What the host did meanwhile comes behind what the guest and its monitor did. */
	if (p > 0 && q > 0 && (x->part == PART_WAIT) != (y->part == PART_WAIT))
		return x->part == PART_WAIT ? 1 : -1;
	if (p != q)
		return (p < q) - (p > q);
	return (x->share < y->share) - (x->share > y->share);
}

void explain_sort(struct change *c)
{
	qsort(c->causes, PARTS, sizeof(c->causes[0]), by_share);
}

/* What grew shares in the time that moved. */
static double moved(const struct cause causes[PARTS])
{
	double sum = 0;

	for (int part = 0; part < PARTS; part++)
		sum += fmax(causes[part].ns, 0);
	return sum;
}

void explain_change(const struct account *a, const struct account *b, struct change *c)
{
	double scale;

	*c = (struct change){ 0 };
	explain_parts(a, &c->a);
	explain_parts(b, &c->b);
	c->known = c->a.known && c->b.known;
	if (!c->known)
		return;
	c->of_wall = fabs(c->b.wall - c->a.wall) > SAME_WALL * fmin(c->a.wall, c->b.wall);
	scale = c->of_wall ? 1 : c->b.wall / c->a.wall;
	for (int part = 0; part < PARTS; part++)
		c->causes[part] = (struct cause){ .part = part, .ns = c->b.ns[part] - c->a.ns[part] * scale };
	c->ns = c->of_wall ? c->b.wall - c->a.wall : moved(c->causes);
	for (int part = 0; part < PARTS; part++)
		c->causes[part].share = c->ns ? c->causes[part].ns / c->ns : 0;
	explain_sort(c);
}

/* ---- in words ------------------------------------------------------------------------------ */

/* "2.75 s in 95,000 exits of 29.0 µs", of an axis; a time, of what has no exits. */
static void put_part(const struct parts *p, int part, FILE *out)
{
	char text[FIGURE];

	fputs(figure_time(p->ns[part], text), out);
	if (part >= GAMUT_AXIS_COUNT)
		return;
	if (!p->exits[part]) {
		fputs(p->ns[part] ? " on the I/O thread" : " and no exits", out);
		return;
	}
	fprintf(out, " in %s exits", figure_count(p->exits[part], text));
	fprintf(out, " of %s", figure_time(p->ns[part] / p->exits[part], text));
}

/* "disk explains 92 % of the slow-down: 2.75 s in 95,000 exits of 29.0 µs, before 0.86 s in 94,000 exits of 9.1 µs" */
static void put_cause(const struct change *c, const struct cause *cause, const char *of, const char *a, FILE *out)
{
	char share[FIGURE];

	fputs(part_words(cause->part), out);
	if (cause->share >= WORTH)
		fprintf(out, " explains %s of %s", cause->share > 0.995 ? "all" : figure_percent(cause->share, share), of);
	fputs(": ", out);
	put_part(&c->b, cause->part, out);
	fprintf(out, ", %s ", a);
	put_part(&c->a, cause->part, out);
}

/* Neither the time nor where it went has changed, as far as is known. */
static bool is_nothing(const struct change *c)
{
	return !c->causes[0].beyond && !c->of_wall && c->ns < SAME_WALL * c->b.wall;
}

/* Whether a cause is worth a word after the first. */
static bool is_next(const struct cause *cause)
{
	return cause->judged ? cause->beyond && cause->extra_ns > 0 : cause->share >= WORTH;
}

static void put_change(const struct change *c, const char *a, const char *b, FILE *out)
{
	const char *of = !c->of_wall ? "the time that moved" : c->ns > 0 ? "the slow-down" : "the speed-up";
	char x[FIGURE], y[FIGURE], z[FIGURE];

	fprintf(out, "%s took %s, %s %s", b, figure_time(c->b.wall, x), a, figure_time(c->a.wall, y));
	if (c->of_wall)
		fprintf(out, " (%s%s). ", c->ns > 0 ? "+" : "", figure_percent(c->b.wall / c->a.wall - 1, z));
	else if (c->ns >= SAME_WALL * c->b.wall)
		fprintf(out, ", of which %s went elsewhere. ", figure_time(c->ns, z));
	else
		fputs(". ", out);
	if (c->causes[0].judged && !c->causes[0].beyond) {
		fputs("No part of it changed beyond noise.", out);
		return;
	}
	put_cause(c, &c->causes[0], of, a, out);
	for (int i = 1; i < 3 && is_next(&c->causes[i]); i++) {
		fputs("; ", out);
		put_cause(c, &c->causes[i], "it", a, out);
	}
	fputc('.', out);
}

char *explain_text(const struct change *c, const char *a, const char *b)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	if (c->known && is_nothing(c))
		fprintf(out, "%s took as long as %s, and its time went where it did there: the counters do not tell why.",
		        b, a);
	else if (c->known)
		put_change(c, a, b, out);
	else
		fprintf(out, "%s and %s: not both have counters by axis, so there is no telling why.", b, a);
	if (!fclose(out))
		return text;
	free(text);
	return NULL;
}

/* ---- the rows of a workload ------------------------------------------------------------------ */

/* The fastest row of an engine by wall time, of those with counters; SIZE_MAX: none. */
static size_t fastest(const struct cells *c, size_t workload, const char *engine)
{
	size_t best = SIZE_MAX;

	for (size_t row = 0; row < c->n_rows; row++) {
		const struct account *a = &cells_attempt(c, row, workload)->account;
		struct parts p;

		explain_parts(a, &p);
		if (p.known && !strcmp(c->rows[row].engine, engine) &&
		    (best == SIZE_MAX || a->wall_ns < cells_attempt(c, best, workload)->account.wall_ns))
			best = row;
	}
	return best;
}

int explain_workload(const struct cells *c, size_t workload, void (*put)(void *ctx, const char *text), void *ctx)
{
	for (size_t row = 0; row < c->n_rows; row++) {
		size_t best = fastest(c, workload, c->rows[row].engine);
		struct change change;
		char *text;

		if (best == SIZE_MAX || best == row)
			continue;
		explain_change(&cells_attempt(c, best, workload)->account, &cells_attempt(c, row, workload)->account, &change);
		if (!change.known || change.ns < NO_AXIS * change.a.wall)
			continue;
		text = explain_text(&change, c->rows[best].id, c->rows[row].id);
		if (!text)
			return -1;
		put(ctx, text);
		free(text);
	}
	return 0;
}
