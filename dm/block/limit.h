/* SPDX-License-Identifier: MIT */
/*
 * A disk that moves no more than it may: a struct block around any other.
 *
 * Requests go on in their order, at once while there are tokens and by a timer
 * when there are again. A request larger than what may be saved up goes as a
 * whole, and the next ones wait for it to be paid for. Reads and writes count
 * by their bytes; every request counts as one, those that move no data too.
 *
 * drain lets everything go that waits, and what is submitted until it returns:
 * a domain is paused when its disk can, not when its limit would have it. It is
 * paid for afterwards.
 *
 * There is no `now`: that is called on any thread, and goes past the order.
 */
#ifndef BLOCK_LIMIT_H
#define BLOCK_LIMIT_H

#include "dm/block/block.h"

struct block_limits {
	uint64_t bytes;    /* a second; 0: no limit */
	uint64_t requests; /* a second; 0: no limit */
	uint64_t burst;    /* ns: what comes in in this time may be saved up */
};

/* Takes over `inner`, which is closed with it. NULL with errno set, and `inner` still the caller's. [control] */
struct block *block_limit(const struct gamut_host *host, struct gamut_inst *inst, struct block *inner,
                          const struct block_limits *limits);

#endif
