/* SPDX-License-Identifier: MIT */
/*
 * A bounded queue of frames that wait for the front end: one block of memory
 * used in a circle, so that nothing is allocated per frame and a busy queue of
 * small frames holds many of them. An empty queue starts from its beginning
 * again, which keeps the memory that it touches small. One thread at a time.
 */
#ifndef NETDEV_QUEUE_H
#define NETDEV_QUEUE_H

#include "dm/netdev/netdev.h"

struct netdev_queue {
	uint8_t *data;
	uint32_t size;       /* bytes */
	uint32_t head, tail; /* oldest record, end of the youngest; equal only when empty */
	uint32_t wrap;       /* where the records before the block's end stop; size while head <= tail */
	uint32_t frames;
	uint32_t used; /* bytes in records */
	uint32_t place; /* of the record that was reserved */
};

/* 0 or -ENOMEM. size is a multiple of 16. */
int netdev_queue_init(struct netdev_queue *q, uint32_t size);
void netdev_queue_finish(struct netdev_queue *q);
/* Copies a frame in; false when there is no room. */
bool netdev_queue_push(struct netdev_queue *q, const void *data, uint32_t length,
                       const struct netdev_offload *offload);
/*
 * The same without a copy: room for a frame of up to `length` bytes, NULL when
 * there is none; and the frame that was written there, `length` bytes of it.
 * Nothing else may happen to the queue in between.
 */
uint8_t *netdev_queue_reserve(struct netdev_queue *q, uint32_t length);
void netdev_queue_commit(struct netdev_queue *q, uint32_t length, const struct netdev_offload *offload);
/* Describes up to n frames from the oldest on, one iov each; returns how many. They stay in the queue. */
uint32_t netdev_queue_look(const struct netdev_queue *q, struct netdev_frame *frames, struct iovec *iov, uint32_t n);
/* Removes the n oldest, of those there are. */
void netdev_queue_drop(struct netdev_queue *q, uint32_t n);
void netdev_queue_clear(struct netdev_queue *q);
/* Offers all to the front end and removes what it takes; false when it left some. */
bool netdev_queue_offer(struct netdev_queue *q, const struct netdev_front *front);

#endif
