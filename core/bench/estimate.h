/* SPDX-License-Identifier: MIT */
/*
 * What can be said of a few samples: their middle, their spread, and whether
 * two lots of them differ. Pure. estimate.c says how, and why so.
 */
#ifndef BENCH_ESTIMATE_H
#define BENCH_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>

/* All in the samples' unit, but for n and level. */
struct bench_estimate {
	size_t n; /* 0: nothing else is set */
	double min, p25, median, p75, max;
	double mad;       /* the median distance from the median */
	double low, high; /* a confidence interval of the median, between samples */
	double level;     /* which confidence it has, 0 to 1; below 0.95 where so few samples have no better, 0 for one */
};

/* Sorts the samples. Every one is finite. */
void bench_estimate(double *samples, size_t n, struct bench_estimate *e);

/* Between rows of one file, whose rounds are interleaved; between two files. As ratios less one. */
#define BENCH_FLOOR_ROWS  0.02
#define BENCH_FLOOR_FILES 0.03

enum bench_comparable {
	BENCH_COMPARED,
	BENCH_FEW,      /* fewer than two samples on a side */
	BENCH_NO_RATIO, /* a sample that is not above zero */
};

/* Two lots of samples; the results are valid when comparable is BENCH_COMPARED. */
struct bench_pair {
	const double *a, *b; /* the caller's */
	size_t n_a, n_b;
	double tolerance;    /* a ratio less one, within which nothing is claimed: a floor and the host's drift */

	enum bench_comparable comparable;
	double ratio;        /* of the medians, b over a */
	double low, high;    /* its interval of 95 % */
	double p;            /* of so large a difference where there is none beyond the tolerance */
	bool differs;
};

/* Judges all pairs together. 0, or -1: memory is short. */
int bench_differ(struct bench_pair *pairs, size_t n);

#endif
