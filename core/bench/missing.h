/* SPDX-License-Identifier: MIT */
/* What a results file has no figures for, and why: what every view has to tell. */
#ifndef BENCH_MISSING_H
#define BENCH_MISSING_H

#include <stddef.h>

#include "cells.h"

enum missing_kind {
	MISSING_ROW,      /* left out of the plan */
	MISSING_REFUSED,  /* a workload was, of a row that runs others */
	MISSING_FAILED,   /* runs of a workload failed */
	MISSING_STOPPED,  /* they were interrupted */
	MISSING_NOT_RUN,  /* there are no runs of a workload */
	MISSING_VALUE,    /* the guest skipped a value */
	MISSING_DAMAGED,  /* something in the file is of no use */
};

struct missing {
	enum missing_kind kind;
	char *rows;                 /* one, or several that skipped the same for the same reason; "" */
	const char *workload;       /* "" where it is of all */
	const char *what;           /* the value; "" */
	size_t runs, of;            /* how many, of how many; 0: does not apply */
	const char *why;
};

/* All of it, in a fixed order; other strings are the cells'. -1: memory is short. */
int missing_list(const struct cells *c, struct missing **list, size_t *n);
void missing_free(struct missing *list, size_t n);
/* "left out", "failed", ... */
const char *missing_kind_name(enum missing_kind kind);

#endif
