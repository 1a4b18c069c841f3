/* SPDX-License-Identifier: MIT */
/*
 * The results file. It is written as a whole after every run, beside the old
 * one and then in its place, so that there is a good one at any time; a matrix
 * that was interrupted goes on from it.
 */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "bench/row.h"

/* A matrix about to begin; what was imported is in it. NULL: no memory. */
json_t *results_new(const struct plan *plan, const struct rows *rows);

/* A results file; NULL with a line in err. */
json_t *results_load(const char *path, char *err, size_t len);

/*
 * What to go on with: `fresh`, or what the file at path has of the same plan.
 * -1 with a line in err: it is finished, another plan's, or none of ours; all
 * of which `force` passes over. Takes the reference to fresh. *resumed: how
 * many runs are done already.
 */
int results_begin(json_t *fresh, const char *path, bool force, json_t **results, size_t *resumed, char *err, size_t len);

/* Whether a run has been made, whatever came of it; not one that was interrupted. */
bool results_has(const json_t *results, const char *row, const char *workload, int round);
/* How many runs of a cell have failed, and whether any went well. */
int results_failures(const json_t *results, const char *row, const char *workload, bool *any_ok);
/* Takes the reference. In the place of the same that was interrupted. */
int results_add(json_t *results, json_t *run);
void results_finish(json_t *results);

/* 0 or -errno. */
int results_write(const json_t *results, const char *path);

/* "2026-01-31T12:00:00Z", now. */
json_t *results_now(void);

#endif
