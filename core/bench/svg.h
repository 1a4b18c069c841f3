/* SPDX-License-Identifier: MIT */
/*
 * Charts, a strip of SVG for each row. Across a strip everything is in per
 * cent, and in pixels only up and down: strips are as wide as there is room
 * for, and text and lines keep their size. Colours are the page's (classes).
 */
#ifndef BENCH_SVG_H
#define BENCH_SVG_H

#include <stdbool.h>
#include <stdio.h>

#include "cells.h"
#include "explain.h"

#define SVG_TICKS 8

/* What the strips of one chart have in common. */
struct svg_scale {
	double low, high;
	bool log; /* else low is 0 */
	double ticks[SVG_TICKS];
	size_t n_ticks;
};

/* For values from the smallest above zero to the largest. */
void svg_scale(struct svg_scale *s, double smallest, double largest);

/* A cell's median as a bar, its interval as whiskers, its samples as dots. `best`, `peer`: how it is coloured. */
void svg_strip(FILE *out, const struct svg_scale *s, const struct cell *cell, bool best, bool peer);
/* The scale's figures. */
void svg_axis(FILE *out, const struct svg_scale *s);
/* Where a run's time went, and how long it took on the scale: parts in the scale's unit, seconds. */
void svg_stack(FILE *out, const struct svg_scale *s, const struct parts *p);

#endif
