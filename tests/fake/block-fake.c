/* SPDX-License-Identifier: MIT */
#include "fake/block-fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int move(struct block_fake *b, struct block_req *req)
{
	uint64_t at = req->offset, left = req->length;

	for (uint32_t i = 0; i < req->n_iov && left; i++) {
		uint64_t n = req->iov[i].iov_len < left ? req->iov[i].iov_len : left;

		if (req->op == BLOCK_READ)
			memcpy(req->iov[i].iov_base, b->data + at, n);
		else
			memcpy(b->data + at, req->iov[i].iov_base, n);
		at += n;
		left -= n;
	}
	return left ? -EIO : 0;
}

static int carry_out(struct block_fake *b, struct block_req *req)
{
	if (b->fail)
		return b->fail;
	if (req->op <= BLOCK_WRITE && req->offset < b->bad_at + b->bad_len && b->bad_at < req->offset + req->length)
		return -EIO;
	switch (req->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return move(b, req);
	case BLOCK_FLUSH:
		memcpy(b->stable, b->data, b->block.info.capacity);
		return 0;
	default:
		memset(b->data + req->offset, 0, req->length);
		return 0;
	}
}

void block_fake_complete(struct block_fake *b)
{
	while (b->first) {
		struct block_req *req = b->first;

		b->first = req->next;
		if (!b->first)
			b->last = &b->first;
		b->in_flight--;
		req->done(req, carry_out(b, req));
	}
}

static bool in_range(const struct block_req *req, uint64_t capacity)
{
	return req->op == BLOCK_FLUSH ||
	       (req->offset % BLOCK_SECTOR == 0 && req->length % BLOCK_SECTOR == 0 && req->length &&
	        req->length <= capacity && req->offset <= capacity - req->length);
}

static bool changes(const struct block_req *req)
{
	return req->op != BLOCK_READ && req->op != BLOCK_FLUSH;
}

static int fake_submit(struct block *block, struct block_req *req)
{
	struct block_fake *b = (struct block_fake *)block;

	if (b->refuse)
		return b->refuse;
	if (!in_range(req, block->info.capacity) || (changes(req) && block->info.readonly)) {
		b->n_refused++;
		return block->info.readonly ? -EROFS : -EINVAL;
	}
	if (b->n_log < BLOCK_FAKE_LOG) {
		b->log[b->n_log].op = req->op;
		b->log[b->n_log].offset = req->offset;
		b->log[b->n_log].length = req->length;
		b->log[b->n_log].n_iov = req->n_iov;
	}
	b->n_log++;
	b->in_flight++;
	req->next = NULL;
	*b->last = req;
	b->last = &req->next;
	return 0;
}

static int fake_now(struct block *block, struct block_req *req)
{
	struct block_fake *b = (struct block_fake *)block;

	if (!b->at_once || b->hold || b->refuse || !in_range(req, block->info.capacity) ||
	    (changes(req) && block->info.readonly) || carry_out(b, req))
		return -EAGAIN;
	b->n_at_once++;
	return 0;
}

static void fake_kick(struct block *block)
{
	struct block_fake *b = (struct block_fake *)block;

	b->kicks++;
	if (!b->hold)
		block_fake_complete(b);
}

static void fake_drain(struct block *block)
{
	struct block_fake *b = (struct block_fake *)block;

	b->drains++;
	block_fake_complete(b);
}

static void fake_close(struct block *block)
{
	fake_drain(block);
	((struct block_fake *)block)->closed = true;
}

static const struct block_ops ops = {
        .submit = fake_submit,
        .kick = fake_kick,
        .drain = fake_drain,
        .close = fake_close,
        .now = fake_now,
};

void block_fake_init(struct block_fake *b, uint64_t size)
{
	memset(b, 0, sizeof(*b));
	b->block.ops = &ops;
	b->block.info = (struct block_info){
	        .capacity = size,
	        .logical_sector = 512,
	        .physical_sector = 4096,
	        .discard = true,
	        .discard_granularity = 4096,
	        .driver = "fake",
	};
	b->data = calloc(1, size);
	b->stable = calloc(1, size);
	b->last = &b->first;
}

void block_fake_finish(struct block_fake *b)
{
	free(b->data);
	free(b->stable);
}
