/* SPDX-License-Identifier: MIT */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * The results for a terminal of `width` columns, 0: as wide as they are; in
 * the colours of the spectrum when `colour`. 0; -1: not a results file, which
 * is said on out, or memory is short.
 */
int bench_table(const json_t *results, FILE *out, bool colour, unsigned width);

#endif
