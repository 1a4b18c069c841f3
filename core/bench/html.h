/* SPDX-License-Identifier: MIT */
#ifndef BENCH_HTML_H
#define BENCH_HTML_H

#include <jansson.h>
#include <stdio.h>

/*
 * The report: one file of HTML that needs nothing else and no script to be
 * read. 0; -1: not a results file, memory is short, or out does not take it.
 */
int bench_html(const json_t *results, FILE *out);

#endif
