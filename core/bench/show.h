/* SPDX-License-Identifier: MIT */
/* Results in the forms that a user asked for. */
#ifndef BENCH_SHOW_H
#define BENCH_SHOW_H

#include <jansson.h>
#include <stdbool.h>

struct show {
	const char *html, *csv; /* files; NULL: not wanted */
	bool json;              /* on standard output, instead of the table */
};

/* All of them. 0, or -1 and it was said what is wrong. */
int show_results(const json_t *results, const struct show *show);
/* 0: nothing differs; 1: something does; -1: what is wrong was said. */
int show_compare(const char *a, const char *b, const struct show *show);

#endif
