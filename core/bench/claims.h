/* SPDX-License-Identifier: MIT */
/* What is commonly said of the modes, held against one file's own figures. */
#ifndef BENCH_CLAIMS_H
#define BENCH_CLAIMS_H

#include "cells.h"

/* Mostly: at least three times as many figures say so as say the opposite. */
enum claim_verdict {
	CLAIM_HOLDS,
	CLAIM_MOSTLY_HOLDS,
	CLAIM_PARTLY,
	CLAIM_MOSTLY_FAILS,
	CLAIM_FAILS,
	CLAIM_NO_DIFFERENCE,
	CLAIM_UNJUDGED,
	CLAIM_UNKNOWN,
};

struct claim_result {
	const char *title;
	enum claim_verdict verdict;
	const char *text; /* how many comparisons say what, then a line for each two rows; until put returns */
};

const char *claim_verdict_name(enum claim_verdict verdict);
/* Calls `put` for each claim. -1: memory is short. */
int claims_judge(const struct cells *c, void (*put)(void *ctx, const struct claim_result *result), void *ctx);

#endif
