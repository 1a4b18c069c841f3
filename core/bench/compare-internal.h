/* SPDX-License-Identifier: MIT */
/* What the files of compare.c share; nobody else includes it. */
#ifndef BENCH_COMPARE_INTERNAL_H
#define BENCH_COMPARE_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "cells.h"
#include "explain.h"

/* compare-print.c: for reading, the report that bench_compare makes. */
void compare_print(const json_t *report, bool colour, FILE *out);

/* A row's runs of a workload in both files. */
struct attempt_pair {
	size_t row_a, row_b, workload_a, workload_b;
	struct change change; /* its causes know whether they are beyond noise */
	bool beyond;          /* one of them is */
};

/* compare-parts.c: all of them; *list is the caller's to free. -1: memory is short. */
int compare_attempts(const struct cells *a, const struct cells *b, struct attempt_pair **list, size_t *n);
/* How far apart two lots may be for the host's drift, and the floor. */
double compare_tolerance(const struct attempt *a, const struct attempt *b);

#endif
