/* SPDX-License-Identifier: MIT */
/*
 * What a guest says of its measurements, out of all that it prints. The guest
 * may print anything: lines without end, numbers that are none, a thousand
 * names. What is not a line of README.md is counted and left alone.
 */
#ifndef BENCH_LINES_H
#define BENCH_LINES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_LENGTH  512  /* bytes of a line that are looked at */
#define LINES_SAMPLES 1024 /* that one run may have */

struct lines {
	char line[LINES_LENGTH + 1];
	size_t len;
	bool too_long;
	char last[121]; /* the last line that was not empty, printable */

	bool begun, ended;
	json_t *samples; /* "NAME UNIT" to { n, min, p25, median, p75, max } */
	json_t *skipped; /* NAME to the reason */
	int64_t turns;    /* that it says it did; 0: it did not say */
	uint64_t bytes, bad; /* seen; lines "bench: ..." that are none */
};

/* 0 or -1: no memory. */
int lines_init(struct lines *l);
void lines_finish(struct lines *l);

/*
 * Takes what the guest printed next. True: it went past "bench: begin" or
 * "bench: end" for the first time, and *used is how much was read; the rest is
 * to be given again.
 */
bool lines_feed(struct lines *l, const char *data, size_t n, size_t *used);

/* Of a file or a guest: only what JSON and a terminal take. */
void lines_printable(char *to, size_t size, const char *from, size_t n);

/* Whether this is a unit that the results know. */
bool lines_unit_ok(const char *unit);
bool lines_name_ok(const char *name);
/* { n, min, p25, median, p75, max }; NULL: no memory. */
json_t *lines_sample(int64_t n, const double five[5]);

#endif
