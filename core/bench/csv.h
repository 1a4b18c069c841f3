/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CSV_H
#define BENCH_CSV_H

#include <jansson.h>
#include <stdio.h>

/*
 * Every sample of every run as a line of comma-separated values (RFC 4180,
 * lines end with CR LF), with all that is known of the run; then what has no
 * sample: values skipped, runs that failed, rows left out. 0, -1: not a
 * results file, memory is short, or out does not take it.
 */
int bench_csv(const json_t *results, FILE *out);

#endif
