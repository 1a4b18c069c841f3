/* SPDX-License-Identifier: MIT */
#include "dm/netdev/limit.h"

#include <errno.h>
#include <stdlib.h>

#include "dm/limit/bucket.h"
#include "dm/limit/rate.h"

/* One way: bytes of frames, without what Ethernet puts around them on a wire. */
struct way {
	struct bucket bucket;
	struct gamut_timer *timer;
	bool waiting; /* for tokens: the timer is set */
};

struct limited {
	struct netdev netdev, *inner;
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct netdev_front front;
	struct way out, in; /* as the guest sees it */
};

typedef uint32_t pass_fn(struct limited *l, const struct netdev_frame *frames, uint32_t n);

static struct limited *limited_of(struct netdev *dev)
{
	return (struct limited *)dev;
}

/* How many of the frames there are tokens for, which they take. */
static uint32_t take(struct bucket *b, uint64_t now, const struct netdev_frame *frames, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n && !bucket_ready(b, now); i++)
		bucket_take(b, frames[i].length);
	return i;
}

/* Passes on as many as may go. When that is fewer than n and not the other side's doing, the timer is set. */
static uint32_t pass(struct limited *l, struct way *way, pass_fn *to, const struct netdev_frame *frames, uint32_t n)
{
	uint64_t now = l->host->time_now(l->inst);
	struct bucket before = way->bucket;
	uint32_t allowed = take(&way->bucket, now, frames, n), taken = allowed ? to(l, frames, allowed) : 0;

	if (taken < allowed) {
		/* Only what went counts. */
		way->bucket = before;
		take(&way->bucket, now, frames, taken);
		return taken;
	}
	if (allowed < n) {
		way->waiting = true;
		l->host->timer_set(l->inst, way->timer, bucket_ready(&way->bucket, now));
	}
	return taken;
}

static uint32_t to_inner(struct limited *l, const struct netdev_frame *frames, uint32_t n)
{
	return netdev_send(l->inner, frames, n);
}

static uint32_t to_front(struct limited *l, const struct netdev_frame *frames, uint32_t n)
{
	return l->front.receive(l->front.opaque, frames, n);
}

static void out_again(void *opaque)
{
	struct limited *l = opaque;

	l->out.waiting = false;
	l->front.writable(l->front.opaque);
}

static void in_again(void *opaque)
{
	struct limited *l = opaque;

	l->in.waiting = false;
	netdev_ready(l->inner);
}

/* ---- what the front end calls ---- */

static uint32_t limited_send(struct netdev *dev, const struct netdev_frame *frames, uint32_t n)
{
	struct limited *l = limited_of(dev);

	return l->out.waiting ? 0 : pass(l, &l->out, to_inner, frames, n);
}

/* While tokens are missing, the timer will do it. */
static void limited_ready(struct netdev *dev)
{
	if (!limited_of(dev)->in.waiting)
		netdev_ready(limited_of(dev)->inner);
}

static void limited_set_offload(struct netdev *dev, uint32_t can)
{
	netdev_set_offload(limited_of(dev)->inner, can);
}

static void stop_waiting(struct limited *l, struct way *way)
{
	l->host->timer_cancel(l->inst, way->timer);
	way->waiting = false;
}

/* A new guest inherits no wait, but the tokens that the old one left. */
static void limited_flush(struct netdev *dev)
{
	struct limited *l = limited_of(dev);

	stop_waiting(l, &l->in);
	stop_waiting(l, &l->out);
	netdev_flush(l->inner);
}

static void limited_close(struct netdev *dev)
{
	struct limited *l = limited_of(dev);

	netdev_close(l->inner);
	if (l->in.timer)
		l->host->timer_destroy(l->inst, l->in.timer);
	if (l->out.timer)
		l->host->timer_destroy(l->inst, l->out.timer);
	free(l);
}

static const struct netdev_ops limited_ops = {
        .send = limited_send,
        .ready = limited_ready,
        .set_offload = limited_set_offload,
        .flush = limited_flush,
        .close = limited_close,
};

/* ---- what the back end calls ---- */

static uint32_t limited_receive(void *opaque, const struct netdev_frame *frames, uint32_t n)
{
	struct limited *l = opaque;

	return l->in.waiting ? 0 : pass(l, &l->in, to_front, frames, n);
}

static void limited_writable(void *opaque)
{
	struct limited *l = opaque;

	if (!l->out.waiting)
		l->front.writable(l->front.opaque);
}

static void limited_link(void *opaque, bool up)
{
	struct limited *l = opaque;

	l->front.link(l->front.opaque, up);
}

/* ---- life ---- */

/* rate 0: no limit. */
static int read_rate(const struct gamut_host *host, struct gamut_inst *inst, const char *name, struct rate *rate)
{
	const char *text;

	*rate = (struct rate){0};
	if (!host->option_string(inst, name, &text) || rate_parse(text, rate))
		return 0;
	return host->fail(inst, EINVAL, "%s: \"%s\" is none; write 10Mb/s, 250KB/s or 1MB/s@20ms", name, text);
}

static void init_way(struct limited *l, struct way *way, const struct rate *rate)
{
	bucket_init(&way->bucket, rate->bytes, rate->bytes ? rate_burst(rate->bytes, rate->interval) : 1,
	            l->host->time_now(l->inst));
}

/* Timers, and the back end with us for its front end. */
static int make(struct limited *l, netdev_open_fn *open)
{
	struct netdev_front mine = l->front;
	int error = 0;

	mine.receive = limited_receive;
	mine.writable = limited_writable;
	mine.link = mine.link ? limited_link : NULL;
	mine.opaque = l;
	l->out.timer = l->host->timer_create(l->inst, out_again, l);
	l->in.timer = l->host->timer_create(l->inst, in_again, l);
	if (!l->out.timer || !l->in.timer)
		return l->host->fail(l->inst, ENOMEM, "out of memory");
	l->inner = open(l->host, l->inst, &mine, &error);
	if (l->inner)
		l->netdev.info = l->inner->info;
	return error;
}

struct netdev *netdev_limit_open(const struct gamut_host *host, struct gamut_inst *inst, const struct netdev_front *front,
                                 netdev_open_fn *open, int *error)
{
	struct rate out, in = {0};
	struct limited *l;

	*error = read_rate(host, inst, "rate", &out);
	if (!*error)
		*error = read_rate(host, inst, "rate-in", &in);
	if (*error)
		return NULL;
	if (!out.bytes && !in.bytes)
		return open(host, inst, front, error);
	l = calloc(1, sizeof(*l));
	if (!l) {
		*error = host->fail(inst, ENOMEM, "out of memory");
		return NULL;
	}
	*l = (struct limited){.netdev.ops = &limited_ops, .host = host, .inst = inst, .front = *front};
	init_way(l, &l->out, &out);
	init_way(l, &l->in, &in);
	*error = make(l, open);
	if (!*error)
		return &l->netdev;
	limited_close(&l->netdev);
	return NULL;
}
