/* SPDX-License-Identifier: MIT */
#include "dm/block/limit.h"

#include <errno.h>
#include <stdlib.h>

#include "dm/block/request.h"
#include "dm/limit/bucket.h"
#include "dm/limit/rate.h"

struct limited {
	struct block block, *inner;
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct bucket bytes, requests;
	struct block_queue waiting;
	struct gamut_timer *timer;
	bool draining;
};

static struct limited *limited_of(struct block *block)
{
	return (struct limited *)block;
}

/* 0, or when to ask again. */
static uint64_t ready(struct limited *l)
{
	uint64_t now = l->host->time_now(l->inst);
	uint64_t bytes = bucket_ready(&l->bytes, now), requests = bucket_ready(&l->requests, now);

	return bytes > requests ? bytes : requests;
}

static int pass(struct limited *l, struct block_req *req)
{
	/* The length before: the back end may be done with it on return. */
	uint64_t length = block_moves_data(req) ? req->length : 0;
	int error = l->inner->ops->submit(l->inner, req);

	if (!error) {
		bucket_take(&l->bytes, length);
		bucket_take(&l->requests, 1);
	}
	return error;
}

/* Lets those go that there are tokens for, or all; the timer is for the rest. */
static void release(struct limited *l, bool all)
{
	uint64_t at = 0;
	struct block_req *req;

	while (l->waiting.head && (all || !(at = ready(l)))) {
		int error;

		req = block_queue_pop(&l->waiting);
		error = pass(l, req);
		if (error)
			req->done(req, error);
	}
	if (l->waiting.head)
		l->host->timer_set(l->inst, l->timer, at);
}

/* ---- what a front end calls ---- */

static int limited_submit(struct block *block, struct block_req *req)
{
	struct limited *l = limited_of(block);
	uint64_t at = 0;

	if (l->draining || (!l->waiting.head && !(at = ready(l))))
		return pass(l, req);
	if (!l->waiting.head)
		l->host->timer_set(l->inst, l->timer, at);
	block_queue_push(&l->waiting, req);
	return 0;
}

static void limited_kick(struct block *block)
{
	block_kick(limited_of(block)->inner);
}

static void again(void *opaque)
{
	struct limited *l = opaque;

	release(l, false);
	block_kick(l->inner);
}

static void limited_drain(struct block *block)
{
	struct limited *l = limited_of(block);

	l->draining = true;
	release(l, true);
	block_drain(l->inner);
	l->draining = false;
	l->host->timer_cancel(l->inst, l->timer);
}

static void limited_close(struct block *block)
{
	struct limited *l = limited_of(block);

	limited_drain(block);
	block_close(l->inner);
	l->host->timer_destroy(l->inst, l->timer);
	free(l);
}

static const struct block_ops limited_ops = {
        .submit = limited_submit,
        .kick = limited_kick,
        .drain = limited_drain,
        .close = limited_close,
};

static void init_bucket(struct limited *l, struct bucket *b, uint64_t rate, uint64_t burst)
{
	bucket_init(b, rate, rate_burst(rate, burst), l->host->time_now(l->inst));
}

struct block *block_limit(const struct gamut_host *host, struct gamut_inst *inst, struct block *inner,
                          const struct block_limits *limits)
{
	struct limited *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->block = (struct block){.ops = &limited_ops, .info = inner->info};
	l->inner = inner;
	l->host = host;
	l->inst = inst;
	init_bucket(l, &l->bytes, limits->bytes, limits->burst);
	init_bucket(l, &l->requests, limits->requests, limits->burst);
	l->timer = host->timer_create(inst, again, l);
	if (l->timer)
		return &l->block;
	free(l);
	errno = ENOMEM;
	return NULL;
}
