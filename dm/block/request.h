/* SPDX-License-Identifier: MIT */
/* What back ends do alike with requests: checking them, advancing through them, keeping them in order. */
#ifndef BLOCK_REQUEST_H
#define BLOCK_REQUEST_H

#include "dm/block/block.h"

/* Requests in order of arrival. */
struct block_queue {
	struct block_req *head, *tail;
};

void block_queue_push(struct block_queue *queue, struct block_req *req);
/* NULL: none is left. */
struct block_req *block_queue_pop(struct block_queue *queue);
/* All of `from` to the end of `to`. */
void block_queue_splice(struct block_queue *to, struct block_queue *from);

static inline bool block_moves_data(const struct block_req *req)
{
	return req->op == BLOCK_READ || req->op == BLOCK_WRITE;
}

/* Checks a submitted request and readies its private part; 0 or -errno as block_ops.submit. */
int block_req_accept(const struct block_info *info, struct block_req *req);

/* That many bytes more have been moved: the iov go on behind them. */
void block_req_skip(struct block_req *req, uint64_t bytes);

#endif
