/* SPDX-License-Identifier: MIT */
/* How far the matrix is, on standard error: one line that changes on a terminal, else one for each run. */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct progress {
	bool quiet, terminal;
	size_t done, all;
	double left; /* s, this run included */
	char what[320];
	double guess; /* s, of this run */
};

void progress_init(struct progress *p, bool quiet, size_t all);
void progress_begin(struct progress *p, const char *row, const char *workload, int round, int warmup, int rounds,
                    double guess, double left);
void progress_tick(void *p, double seconds);
void progress_end(struct progress *p, const json_t *run, double seconds);
void progress_finish(struct progress *p);

/* "12 s", "3 min", "1 h 20 min". Returns buf. */
const char *progress_time(double seconds, char *buf, size_t len);

#endif
