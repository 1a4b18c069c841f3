/* SPDX-License-Identifier: MIT */
/* What the files of html.c share; nobody else includes it. */
#ifndef BENCH_HTML_INTERNAL_H
#define BENCH_HTML_INTERNAL_H

#include <stdbool.h>
#include <stdio.h>

#include "cells.h"

/* html-style.c */
extern const char html_style[], html_script[];

/* html-text.c: what the clocks include, how to read it. */
extern const char html_definitions[];

/* html-table.c: a workload's rows with their axes and all figures. */
void html_table(FILE *out, const struct cells *c, size_t workload);
/* An axis' colour and choice, as a chip. */
void html_chip(FILE *out, const struct cells_axis *axis);

/* html-charts.c: where a workload's time went, and why rows differ. -1: memory is short. */
int html_accounts(FILE *out, const struct cells *c, size_t workload);
/* A chart for each column. */
void html_charts(FILE *out, const struct cells *c, size_t workload);

/* Whether a row has anything of a workload to show. */
bool html_was_run(const struct cells *c, size_t row, size_t workload);
bool html_is_peer(const struct cells_row *row);

#endif
