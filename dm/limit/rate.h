/* SPDX-License-Identifier: MIT */
/* Rates as users write them, for token buckets. */
#ifndef DM_LIMIT_RATE_H
#define DM_LIMIT_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
	uint64_t bytes;    /* a second; not 0 */
	uint64_t interval; /* ns */
};

/*
 * "RATE" or "RATE@INTERVAL" as in xl-network-configuration(5): 10Mb/s, 250KB/s,
 * 1MB/s@20ms. b is bits and B bytes, K, M and G are powers of 1000, and the
 * interval, in s, ms, us or without a unit seconds, is 50 ms when not given.
 * False when it is none.
 */
bool rate_parse(const char *text, struct rate *rate);

/* What comes in in the interval, 1 at least: the burst of a bucket. */
uint64_t rate_burst(uint64_t rate, uint64_t interval);

#endif
