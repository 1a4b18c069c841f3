/* SPDX-License-Identifier: MIT */
/*
 * A token bucket: how much a device may move. Tokens (bytes, requests,
 * frames) come in at a steady rate up to a bound, the burst, and go with what
 * is moved. The caller gives the time, so that this is pure and needs no
 * timer; whoever finds the bucket short waits until the time it is told.
 *
 * One thread at a time for a bucket.
 */
#ifndef DM_LIMIT_BUCKET_H
#define DM_LIMIT_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
	uint64_t rate;  /* tokens a second; 0: no limit */
	uint64_t burst; /* tokens, at least 1 with a rate */
	uint64_t tokens;
	uint64_t at;    /* ns: tokens are as of then */
	uint64_t debt;  /* tokens taken beyond what there were */
};

/* Full at first. burst 0: what comes in in a tenth of a second. now in ns. */
void bucket_init(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now);

/*
 * 0: whatever is to be moved may move. Else the time in ns, later than now, at
 * which to ask again.
 */
uint64_t bucket_ready(struct bucket *b, uint64_t now);

/*
 * Takes n tokens after bucket_ready said 0. What there is not is a debt, which
 * is paid before bucket_ready says 0 again: so a request larger than the burst
 * passes, and the mean still holds.
 */
void bucket_take(struct bucket *b, uint64_t n);

#endif
