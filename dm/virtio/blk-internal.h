/* SPDX-License-Identifier: MIT */
/* Between the files of virtio-blk; see blk.h. */
#ifndef DM_VIRTIO_BLK_INTERNAL_H
#define DM_VIRTIO_BLK_INTERNAL_H

#include <linux/virtio_blk.h>

#include "dm/virtio/blk.h"
#include "gamut/plugin.h"

#define VBLK_SECTOR     512u
#define VBLK_QUEUE_SIZE 256u
/* Data segments of a request that the driver is told to make: a ring full, less header and status. */
#define VBLK_SEG_MAX (VBLK_QUEUE_SIZE - 2)
#define VBLK_SMALL   16u /* data segments of most requests */
/* Ranges of one discard or write-zeroes request. */
#define VBLK_RANGES 16u
/* Sectors of such a range: 1 GiB, so that no request keeps the host busy for minutes. */
#define VBLK_RANGE_SECTORS (1u << 21)

struct vblk_counters {
	uint64_t *reads, *writes, *flushes, *discards, *bytes;
	uint64_t *at_once;   /* requests served on the vCPU's thread */
	uint64_t *bad;       /* requests that were refused */
	uint64_t *io_errors; /* requests that the host failed */
	uint64_t *requests;  /* sign */
};

/* What a request of many pieces needs beyond the rest. */
struct vblk_large {
	struct vblk_large *next;
	struct virtq_seg segs[VIRTQ_CHAIN_MAX];
	struct iovec iov[VIRTQ_CHAIN_MAX];
};

/* A request that outlives the call that took it from the ring. */
struct vblk_req {
	struct block_req io; /* first: done gets a pointer to it */
	struct vblk_queue *q;
	struct vblk_req *next;
	struct vblk_large *large;
	struct virtq_seg *segs;
	uint32_t n_out, n_in, in_len;
	uint16_t head;
	bool then_flush;     /* write-through: the write is done when a flush is */
	uint32_t n_ranges, range;
	struct virtq_seg small_segs[VBLK_SMALL + 2];
	union {
		struct iovec small_iov[VBLK_SMALL + 2];
		struct virtio_blk_discard_write_zeroes ranges[VBLK_RANGES];
	};
};

struct vblk_queue {
	struct vblk *b;
	struct virtq *vq; /* its lock is this one's, too */
	uint32_t index;
	struct gamut_defer *defer;

	/* The chain at hand, and what is made of it. */
	struct virtq_chain chain;
	struct virtq_seg segs[VIRTQ_CHAIN_MAX];
	struct iovec iov[VIRTQ_CHAIN_MAX];
	struct block_req now;

	struct vblk_req *reqs, *unused; /* VBLK_QUEUE_SIZE of them */
	struct vblk_large *large;       /* free ones */
	struct vblk_req *first, **last; /* taken, not submitted */
	uint32_t in_flight;             /* submitted, not done */
	pthread_cond_t calm;            /* in_flight came to 0 */
	bool kick;                      /* submitted since the last one */
	bool on_io;                     /* vblk_queue_io is running, and publishes in the end */
	int64_t budget;                 /* bytes to move on the vCPU's thread */
	uint32_t n_requests;            /* to be counted */
};

struct vblk {
	struct virtio_dev dev; /* first */
	struct vblk_config c;
	struct vblk_queue *queues;
	char serial[VIRTIO_BLK_ID_BYTES]; /* padded with zeros */
	bool writeback; /* as the driver set it; atomic */
	struct vblk_counters n;
};

/* ---- blk-queue.c ------------------------------------------------------------------------ */

/* 0 or -ENOMEM. [control] */
int vblk_queue_init(struct vblk *b, uint32_t index);
void vblk_queue_finish(struct vblk_queue *q);
void vblk_queue_notify(struct virtio_dev *dev, uint32_t index);
void vblk_queue_stop(struct virtio_dev *dev, uint32_t index);
void vblk_queue_quiesce(struct virtio_dev *dev);

/* ---- blk-req.c: the queue's lock is held ------------------------------------------------ */

/* 0 or -ENOMEM. */
int vblk_reqs_init(struct vblk_queue *q);
void vblk_reqs_finish(struct vblk_queue *q);
/* Serves q->chain, or makes a request of it that waits. False: it cannot be answered, the ring is broken. */
bool vblk_req_begin(struct vblk_queue *q, bool on_vcpu);
/* Hands those that wait to the host. [io] [control] */
void vblk_reqs_submit(struct vblk_queue *q);
/* Forgets those that wait. */
void vblk_reqs_drop(struct vblk_queue *q);
/* After requests ended outside of vblk_queue_io: someone has to publish. */
void vblk_queue_attend(struct vblk_queue *q);

#endif
