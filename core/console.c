/* SPDX-License-Identifier: MIT */
#include "console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IN_SIZE 4096u

struct console {
	pthread_mutex_t lock; /* over all below, but for what is [io] */
	uint8_t out[CONSOLE_HISTORY];
	uint64_t head; /* bytes ever written */
	uint8_t in[IN_SIZE];
	uint64_t in_head, in_tail; /* bytes ever typed, and read */
	bool starved;              /* a write was cut short */
	bool in_full;              /* so was somebody's typing */
	struct console_reader *readers;
	struct loop *loop;        /* NULL: not attached */
	struct gamut_defer *feed; /* calls on_input */

	gamut_defer_fn on_input; /* [io] */
	void *on_input_opaque;
};

/* ---- rings: positions count from the first byte ever; sizes are powers of two ------------------- */

static uint32_t min_u64(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

static void ring_put(uint8_t *ring, uint32_t size, uint64_t at, const uint8_t *data, uint32_t n)
{
	uint32_t offset = (uint32_t)at & (size - 1), first = min_u64(n, size - offset);

	memcpy(ring + offset, data, first);
	memcpy(ring, data + first, n - first);
}

static void ring_get(const uint8_t *ring, uint32_t size, uint64_t at, uint8_t *data, uint32_t n)
{
	uint32_t offset = (uint32_t)at & (size - 1), first = min_u64(n, size - offset);

	memcpy(data, ring + offset, first);
	memcpy(data + first, ring, n - first);
}

/* ---- life ------------------------------------------------------------------------------------------ */

struct console *console_create(void)
{
	struct console *c = calloc(1, sizeof(*c));

	if (c)
		pthread_mutex_init(&c->lock, NULL);
	return c;
}

void console_destroy(struct console *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* ---- for both sides, under the lock ------------------------------------------------------------------ */

static void tell_readers(struct console *c)
{
	for (struct console_reader *r = c->readers; r; r = r->next)
		r->ready(r->opaque);
}

static void feed_again(struct console *c)
{
	if (c->feed)
		loop_defer_run(c->loop, c->feed);
}

/* What the slowest of those that are waited for leaves. */
static uint32_t out_room(const struct console *c)
{
	uint64_t behind = 0;

	for (const struct console_reader *r = c->readers; r; r = r->next) {
		if (r->lossless && c->head - r->at > behind)
			behind = c->head - r->at;
	}
	return CONSOLE_HISTORY - (uint32_t)behind;
}

static bool is_lossless(const struct console *c)
{
	const struct console_reader *r = c->readers;

	while (r && !r->lossless)
		r = r->next;
	return r;
}

/* A reader went on or away: a writer that was cut short may come again. */
static void maybe_feed(struct console *c)
{
	if (!c->starved || out_room(c) < CONSOLE_HISTORY / 2)
		return;
	c->starved = false;
	feed_again(c);
}

/* ---- the guest's side ------------------------------------------------------------------------------------ */

static void feed(void *opaque)
{
	struct console *c = opaque;

	if (c->on_input)
		c->on_input(c->on_input_opaque);
}

int console_attach(struct console *c, struct loop *loop)
{
	struct gamut_defer *defer = loop_defer_create(loop, feed, c);

	if (!defer)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	c->loop = loop;
	c->feed = defer;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

void console_detach(struct console *c)
{
	struct gamut_defer *defer;

	pthread_mutex_lock(&c->lock);
	defer = c->feed;
	c->feed = NULL;
	pthread_mutex_unlock(&c->lock);
	if (defer)
		loop_defer_destroy(c->loop, defer);
	c->loop = NULL;
	c->on_input = NULL;
}

/* With nobody to wait for all is taken, and of more than a ring the end stays. */
uint32_t console_write(struct console *c, const void *buf, uint32_t len)
{
	const uint8_t *data = buf;
	uint32_t n = len, kept;

	pthread_mutex_lock(&c->lock);
	if (is_lossless(c)) {
		n = min_u64(len, out_room(c));
		c->starved |= n < len;
	}
	kept = min_u64(n, CONSOLE_HISTORY);
	ring_put(c->out, CONSOLE_HISTORY, c->head + (n - kept), data + (n - kept), kept);
	c->head += n;
	if (n)
		tell_readers(c);
	pthread_mutex_unlock(&c->lock);
	return n;
}

void console_on_input(struct console *c, gamut_defer_fn fn, void *opaque)
{
	c->on_input = fn;
	c->on_input_opaque = opaque;
	pthread_mutex_lock(&c->lock);
	if (fn)
		feed_again(c);
	pthread_mutex_unlock(&c->lock);
}

uint32_t console_read(struct console *c, void *buf, uint32_t len)
{
	uint32_t n;

	pthread_mutex_lock(&c->lock);
	n = min_u64(len, c->in_head - c->in_tail);
	ring_get(c->in, IN_SIZE, c->in_tail, buf, n);
	c->in_tail += n;
	if (n && c->in_full) {
		c->in_full = false;
		tell_readers(c);
	}
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* ---- the host's side ------------------------------------------------------------------------------------- */

static uint64_t oldest(const struct console *c)
{
	return c->head > CONSOLE_HISTORY ? c->head - CONSOLE_HISTORY : 0;
}

void console_join(struct console *c, struct console_reader *r, bool history)
{
	pthread_mutex_lock(&c->lock);
	r->console = c;
	r->at = history ? oldest(c) : c->head;
	r->lost = 0;
	r->next = c->readers;
	c->readers = r;
	if (r->at != c->head)
		r->ready(r->opaque);
	pthread_mutex_unlock(&c->lock);
}

void console_leave(struct console_reader *r)
{
	struct console *c = r->console;
	struct console_reader **link;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	for (link = &c->readers; *link != r; link = &(*link)->next)
		;
	*link = r->next;
	r->console = NULL;
	maybe_feed(c);
	pthread_mutex_unlock(&c->lock);
}

uint32_t console_peek(struct console_reader *r, void *buf, uint32_t len)
{
	struct console *c = r->console;
	uint64_t first;
	uint32_t n;

	pthread_mutex_lock(&c->lock);
	first = oldest(c);
	if (r->at < first) {
		r->lost += first - r->at;
		r->at = first;
	}
	n = min_u64(len, c->head - r->at);
	ring_get(c->out, CONSOLE_HISTORY, r->at, buf, n);
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* A reader that was overtaken meanwhile is moved by the next peek. */
void console_skip(struct console_reader *r, uint32_t len)
{
	struct console *c = r->console;

	pthread_mutex_lock(&c->lock);
	r->at += len;
	maybe_feed(c);
	pthread_mutex_unlock(&c->lock);
}

uint32_t console_type(struct console *c, const void *buf, uint32_t len)
{
	uint32_t n;

	pthread_mutex_lock(&c->lock);
	n = min_u64(len, IN_SIZE - (c->in_head - c->in_tail));
	ring_put(c->in, IN_SIZE, c->in_head, buf, n);
	c->in_head += n;
	c->in_full |= n < len;
	if (n)
		feed_again(c);
	pthread_mutex_unlock(&c->lock);
	return n;
}

uint32_t console_room(struct console *c)
{
	uint32_t n;

	pthread_mutex_lock(&c->lock);
	n = IN_SIZE - (uint32_t)(c->in_head - c->in_tail);
	/* Whoever finds none wants to hear when there is some. */
	c->in_full |= !n;
	pthread_mutex_unlock(&c->lock);
	return n;
}

void console_counts(struct console *c, uint64_t *out, uint64_t *in)
{
	pthread_mutex_lock(&c->lock);
	*out = c->head;
	*in = c->in_tail;
	pthread_mutex_unlock(&c->lock);
}
