/* SPDX-License-Identifier: MIT */
/* Figures and foreign text for reading. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stddef.h>
#include <stdio.h>

#define FIGURE 40 /* bytes that any of these takes */

/* Four digits that count: "0.1234", "12.34", "1,234", "1,234,567". NAN is "-". Returns buf. */
const char *figure_text(double value, char buf[FIGURE]);
/* "41,000": a count, to three digits that count from a thousand on. */
const char *figure_count(double value, char buf[FIGURE]);
/* "1.90 s", "38.1 ms", "120 µs", "85 ns". */
const char *figure_time(double ns, char buf[FIGURE]);
/* "38 %", "0.4 %": of a fraction. */
const char *figure_percent(double fraction, char buf[FIGURE]);
/* How many times, or how much more: "1.30×", "27×". */
const char *figure_ratio(double ratio, char buf[FIGURE]);

/*
 * Text that a guest or a file of somebody's has chosen, on a terminal: what is
 * not printable, or would turn the direction of writing, is a '?'. At most
 * `most` characters of it, 0: all.
 */
void figure_plain(const char *text, size_t most, FILE *out);
/* The same as text of HTML, also within an attribute's quotes. */
void figure_html(const char *text, FILE *out);
/* The columns that figure_plain takes. */
size_t figure_width(const char *text);

#endif
