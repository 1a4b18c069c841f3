/* SPDX-License-Identifier: MIT */
/*
 * Why one run of a workload took longer than another, from where the time of
 * both went: between two rows, or between two results of one row.
 */
#ifndef BENCH_EXPLAIN_H
#define BENCH_EXPLAIN_H

#include "cells.h"

/* Where time goes: an axis by its number, or one of these. */
enum {
	PART_GUEST = GAMUT_AXIS_COUNT, /* the guest itself, on the processor or in translated code */
	PART_ENGINE,                   /* the monitor, outside of any axis' plugin */
	PART_IDLE,                     /* nothing to do: waiting for no I/O of an axis */
	PART_WAIT,                     /* ready to run, while the host's processors did something else */
	PART_HOST,                     /* wall time that is none of these: start, end */
	PARTS
};

struct parts {
	bool known; /* the runs have counters by axis */
	double wall, ns[PARTS], exits[PARTS];
};

void explain_parts(const struct account *a, struct parts *p);
/* "disk", ..., "guest", "engine", "idle", "waiting", "host" */
const char *explain_part_name(int part);

/* What of a change one part makes. */
struct cause {
	int part;
	double ns;    /* more than before, less when below 0 */
	double share; /* of the change; causes are sorted by it */
	bool judged;  /* whether it is noise has been judged ... */
	bool beyond;  /* ... and it is not: such causes are before others */
	double extra_ns; /* judged: what it cost in b beyond a for as many exits */
};

struct change {
	bool known;     /* both sides have counters */
	bool of_wall;   /* the run took longer or shorter; else its time went elsewhere */
	double ns;      /* what is explained: the change of wall time, or the time that moved */
	struct parts a, b;
	struct cause causes[PARTS];
};

void explain_change(const struct account *a, const struct account *b, struct change *c);
/* Again, after what is beyond noise has been found. */
void explain_sort(struct change *c);

/*
 * The change in a sentence or two, `a` and `b` being what the sides are called.
 * The caller's to free; NULL: memory is short.
 */
char *explain_text(const struct change *c, const char *a, const char *b);

/*
 * Each workload's sentences: how its rows differ from the fastest of their
 * engine. Calls `put` for each text.
 * -1: memory is short.
 */
int explain_workload(const struct cells *c, size_t workload, void (*put)(void *ctx, const char *text), void *ctx);

#endif
