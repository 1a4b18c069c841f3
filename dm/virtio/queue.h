/* SPDX-License-Identifier: MIT */
/*
 * A split virtqueue as the device sees it: virtio 1.2, 2.6 and 2.7, with
 * indirect descriptors and event indices.
 *
 * The rings are guest memory, and the guest may write anything there at any
 * time. What is read is copied once and then checked: an index that is ahead
 * by more than the ring holds, a descriptor outside the table, a chain that
 * does not end, a table within a table, a buffer that is not RAM. Whoever sends
 * one of those has lost count of the ring, and nothing in it can be used any
 * more: the queue is broken, for good, until a reset.
 *
 * A chain is taken (virtq_pop), its buffers are read and written in place, and
 * it is given back (virtq_put, virtq_push). Chains given back are invisible
 * until virtq_publish shows all of them at once. A chain that cannot be served
 * yet goes back where it was (virtq_unpop), so that the ring is the only place
 * where requests wait.
 *
 * Locking. `lock` is held for everything but the members that are said to be
 * the control side's; a queue that is not `live` must be left alone. The ring
 * is mapped while it is live, and not across a pause.
 *
 * All of it is little-endian, as the host is.
 */
#ifndef DM_VIRTIO_QUEUE_H
#define DM_VIRTIO_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <linux/virtio_ring.h>

#include "gamut/host.h"

/* Descriptors of a chain, those of an indirect table included: what the largest ring could hold. */
#define VIRTQ_CHAIN_MAX 1024u
#define VIRTQ_SIZE_MAX  1024u

/* A piece of a buffer. */
struct virtq_seg {
	uint8_t *host;
	uint64_t gpa;
	uint32_t len; /* not 0 */
};

struct virtq_chain {
	struct virtq_seg *seg; /* n_out that the device reads, then n_in that it writes */
	uint32_t n_out, n_in;
	uint32_t out_len, in_len; /* bytes */
	uint16_t head;            /* names the chain to the driver */
};

struct virtq {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint16_t size_max;

	/* As the driver has set it; the control side's. */
	uint64_t desc, avail, used; /* guest physical addresses */
	uint16_t size;
	uint16_t vector; /* the transport's */
	bool enabled;

	pthread_mutex_t lock;
	bool live;
	bool indirect, event_idx; /* negotiated */
	const char *fault;        /* broken: what was wrong, as a sentence's end; NULL: nothing */

	struct vring_desc *desc_ring; /* NULL: not mapped */
	struct vring_avail *avail_ring;
	struct vring_used *used_ring;
	uint16_t avail_next, avail_seen;   /* taken up to; the driver's index when last looked at */
	uint16_t used_next, used_published;
};

/* [control] */
void virtq_init(struct virtq *q, const struct gamut_host *host, struct gamut_inst *inst, uint16_t size_max);
void virtq_finish(struct virtq *q);

/* As at power-on; not live, not mapped. */
void virtq_reset(struct virtq *q);
/* Maps the rings. 0; -EFAULT: they are not all in RAM; -EINVAL: misaligned, or of an impossible size. */
int virtq_map(struct virtq *q);
/* Gives up all pointers; the indices stay. NULL rings are allowed. */
void virtq_unmap(struct virtq *q);

/*
 * The next chain, its segments in segs, of which there is room for `room`: 1.
 * 0: there is none. -ENOSPC: it has more segments and stays where it is; not
 * with room for VIRTQ_CHAIN_MAX. -EPROTO: the queue is broken.
 */
int virtq_pop(struct virtq *q, struct virtq_chain *chain, struct virtq_seg *segs, uint32_t room);
/* The last n chains go back to the ring: their buffers have been put. */
void virtq_unpop(struct virtq *q, uint16_t n);
/* Releases the buffers; of the writable ones the first `written` bytes have changed. */
void virtq_put(struct virtq *q, const struct virtq_seg *seg, uint32_t n_out, uint32_t n_in, uint64_t written);
/* The chain goes back to the driver, len bytes of its writable part being written. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t len);
/* Shows the driver what was pushed; whether it wants to be interrupted. */
bool virtq_publish(struct virtq *q);

/* Asks for no notifications: the device looks by itself. */
void virtq_hush(struct virtq *q);
/* Asks for the next one; true when a chain came before the driver could see that. */
bool virtq_listen(struct virtq *q);

/* Up to n bytes from the readable part at `at` on; returns how many there were. */
uint32_t virtq_copy_out(const struct virtq_chain *chain, uint32_t at, void *buf, uint32_t n);
/* Up to n bytes to the writable part. */
uint32_t virtq_copy_in(const struct virtq_chain *chain, uint32_t at, const void *buf, uint32_t n);
/*
 * n bytes of n_seg segments from `at` on as an iov of up to n_seg entries,
 * neighbours in memory as one; returns how many.
 */
uint32_t virtq_iov(const struct virtq_seg *seg, uint32_t n_seg, uint32_t at, uint32_t n, struct iovec *iov);

#endif
