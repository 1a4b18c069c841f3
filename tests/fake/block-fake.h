/* SPDX-License-Identifier: MIT */
/*
 * A host block back end in memory. Requests complete at kick, unless held;
 * a write is safe (in `stable`) only once a flush has followed it.
 */
#ifndef BLOCK_FAKE_H
#define BLOCK_FAKE_H

#include "dm/block/block.h"

#define BLOCK_FAKE_LOG 256

struct block_fake {
	struct block block; /* first */
	uint8_t *data, *stable;
	struct block_req *first, **last; /* submitted, not done */
	bool hold;                       /* kick completes nothing; drain still does */
	int fail;                        /* -errno for everything that completes, or 0 */
	int refuse;                      /* -errno for everything that is submitted, or 0 */
	uint64_t bad_at, bad_len;        /* -EIO for every read and write that touches these bytes */
	bool at_once;                    /* `now` carries out what it can */
	uint32_t n_at_once;
	bool closed;
	uint32_t kicks, drains, in_flight;
	uint32_t n_refused; /* requests that were wrong, beside those of `refuse` */
	uint32_t n_log;     /* requests submitted; the first ones are kept here */
	struct {
		uint8_t op;
		uint64_t offset, length;
		uint32_t n_iov;
	} log[BLOCK_FAKE_LOG];
};

/* A writable disk with discard of `size` bytes, zeroed. */
void block_fake_init(struct block_fake *b, uint64_t size);
void block_fake_finish(struct block_fake *b);
/* Completes what is in flight. */
void block_fake_complete(struct block_fake *b);

#endif
