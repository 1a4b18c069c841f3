/* SPDX-License-Identifier: MIT */
/* One guest from the start of its process to its end: its lines, its clocks, its accounts. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct bench_run {
	const json_t *command; /* words */
	const char *stats;     /* where `gamut run` leaves its statistics; "" or NULL: it does not */
	int64_t timeout;       /* s */
	int64_t guest_mib;     /* of the guest's memory */
	int signals;           /* a signalfd: what is read from it ends the run; -1: none */
	/* About once a second, with the seconds since the start. NULL: nobody cares. */
	void (*tick)(void *opaque, double seconds);
	void *opaque;
};

/*
 * Runs it, and sets "status", "why", "samples", "skipped", "counters" and
 * "noise" of the results file in `into`. Returns the signal that ended it, or 0.
 */
int bench_run(const struct bench_run *run, json_t *into);

/* Of a domain's statistics: `counters` of the results file. */
json_t *bench_counters(const json_t *stats);

#endif
