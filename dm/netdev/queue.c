/* SPDX-License-Identifier: MIT */
#include "dm/netdev/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct record {
	uint32_t length;
	struct netdev_offload offload;
};

#define ALIGN 16u
#define BATCH 64u

static uint32_t room_for(uint32_t length)
{
	return ((uint32_t)sizeof(struct record) + length + ALIGN - 1) & ~(ALIGN - 1);
}

int netdev_queue_init(struct netdev_queue *q, uint32_t size)
{
	*q = (struct netdev_queue){.data = malloc(size), .size = size, .wrap = size};
	return q->data ? 0 : -ENOMEM;
}

void netdev_queue_finish(struct netdev_queue *q)
{
	free(q->data);
	*q = (struct netdev_queue){0};
}

void netdev_queue_clear(struct netdev_queue *q)
{
	q->head = q->tail = q->frames = q->used = 0;
	q->wrap = q->size;
}

/* Where a record of `need` bytes goes, or UINT32_MAX. The tail never comes to meet the head from behind. */
static uint32_t place(const struct netdev_queue *q, uint32_t need)
{
	if (q->head > q->tail)
		return q->head - q->tail > need ? q->tail : UINT32_MAX;
	if (q->size - q->tail >= need)
		return q->tail;
	return q->head > need ? 0 : UINT32_MAX;
}

uint8_t *netdev_queue_reserve(struct netdev_queue *q, uint32_t length)
{
	if (length > NETDEV_GSO_MAX)
		return NULL;
	q->place = place(q, room_for(length));
	return q->place == UINT32_MAX ? NULL : q->data + q->place + sizeof(struct record);
}

void netdev_queue_commit(struct netdev_queue *q, uint32_t length, const struct netdev_offload *offload)
{
	struct record record = {.length = length, .offload = *offload};
	uint32_t need = room_for(length);

	/* The records go on at the block's beginning. */
	if (q->place < q->tail && q->head <= q->tail)
		q->wrap = q->tail;
	memcpy(q->data + q->place, &record, sizeof(record));
	q->tail = q->place + need;
	q->frames++;
	q->used += need;
}

bool netdev_queue_push(struct netdev_queue *q, const void *data, uint32_t length,
                       const struct netdev_offload *offload)
{
	uint8_t *to = netdev_queue_reserve(q, length);

	if (!to)
		return false;
	memcpy(to, data, length);
	netdev_queue_commit(q, length, offload);
	return true;
}

/* The record after one of `need` bytes at `at`. */
static uint32_t after(const struct netdev_queue *q, uint32_t at, uint32_t need)
{
	at += need;
	return at >= q->wrap ? 0 : at;
}

uint32_t netdev_queue_look(const struct netdev_queue *q, struct netdev_frame *frames, struct iovec *iov, uint32_t n)
{
	uint32_t at = q->head, i;

	for (i = 0; i < n && i < q->frames; i++) {
		struct record record;

		memcpy(&record, q->data + at, sizeof(record));
		iov[i] = (struct iovec){q->data + at + sizeof(record), record.length};
		frames[i] = (struct netdev_frame){
		        .iov = &iov[i], .n_iov = 1, .length = record.length, .offload = record.offload};
		at = after(q, at, room_for(record.length));
	}
	return i;
}

void netdev_queue_drop(struct netdev_queue *q, uint32_t n)
{
	for (; n && q->frames; n--) {
		struct record record;
		uint32_t need, next;

		memcpy(&record, q->data + q->head, sizeof(record));
		need = room_for(record.length);
		next = after(q, q->head, need);
		if (next < q->head)
			q->wrap = q->size;
		q->head = next;
		q->frames--;
		q->used -= need;
	}
	if (!q->frames)
		netdev_queue_clear(q);
}

bool netdev_queue_offer(struct netdev_queue *q, const struct netdev_front *front)
{
	struct netdev_frame frames[BATCH];
	struct iovec iov[BATCH];

	while (q->frames) {
		uint32_t n = netdev_queue_look(q, frames, iov, BATCH);
		uint32_t taken = front->receive(front->opaque, frames, n);

		netdev_queue_drop(q, taken);
		if (taken < n)
			return false;
	}
	return true;
}
