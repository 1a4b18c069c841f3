/* SPDX-License-Identifier: MIT */
#include "fake/netdev-fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(void)
{
	fputs("netdev-fake: out of memory\n", stderr);
	exit(99);
}

static void keep(struct netdev_fake *n, const struct netdev_frame *frame)
{
	uint8_t *data = realloc(n->sent[n->n_sent].data, frame->length + 1);
	uint32_t at = 0;

	if (!data)
		out_of_memory();
	n->sent[n->n_sent].data = data;
	for (uint32_t i = 0; i < frame->n_iov; i++) {
		memcpy(data + at, frame->iov[i].iov_base, frame->iov[i].iov_len);
		at += (uint32_t)frame->iov[i].iov_len;
	}
	n->sent[n->n_sent].offload = frame->offload;
	n->sent[n->n_sent++].length = at;
}

static uint32_t fake_send(struct netdev *dev, const struct netdev_frame *frames, uint32_t count)
{
	struct netdev_fake *n = (struct netdev_fake *)dev;
	uint32_t i;

	n->n_calls++;
	for (i = 0; i < count && n->room; i++) {
		if (n->n_sent < NETDEV_FAKE_FRAMES)
			keep(n, &frames[i]);
		if (n->room != UINT32_MAX)
			n->room--;
	}
	return i;
}

static void fake_ready(struct netdev *dev)
{
	((struct netdev_fake *)dev)->readies++;
}

static void fake_set_offload(struct netdev *dev, uint32_t can)
{
	((struct netdev_fake *)dev)->can = can;
}

static void fake_flush(struct netdev *dev)
{
	((struct netdev_fake *)dev)->flushes++;
}

static void fake_close(struct netdev *dev)
{
	netdev_fake_destroy((struct netdev_fake *)dev);
}

static const struct netdev_ops ops = {
        .send = fake_send,
        .ready = fake_ready,
        .set_offload = fake_set_offload,
        .flush = fake_flush,
        .close = fake_close,
};

struct netdev_fake *netdev_fake_create(void)
{
	struct netdev_fake *n = calloc(1, sizeof(*n));

	if (n)
		n->sent = calloc(NETDEV_FAKE_FRAMES, sizeof(*n->sent));
	if (!n || !n->sent)
		out_of_memory();
	n->netdev.ops = &ops;
	n->netdev.info.name = "fake";
	n->room = UINT32_MAX;
	return n;
}

void netdev_fake_destroy(struct netdev_fake *n)
{
	for (uint32_t i = 0; i < NETDEV_FAKE_FRAMES; i++)
		free(n->sent[i].data);
	free(n->sent);
	free(n);
}

bool netdev_fake_give(struct netdev_fake *n, const void *data, uint32_t length, uint8_t flags)
{
	struct iovec iov = {(void *)(uintptr_t)data, length};
	struct netdev_frame frame = {.iov = &iov, .n_iov = 1, .length = length, .offload.flags = flags};

	return n->front.receive(n->front.opaque, &frame, 1);
}
