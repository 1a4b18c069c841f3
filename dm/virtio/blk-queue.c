/* SPDX-License-Identifier: MIT */
/*
 * On which thread a queue is served.
 *
 * A notification is served by the vCPU that makes it, as far as the host's page
 * cache goes and the budget lasts: a guest that asks for a lot at a time gets
 * it from [io], and runs meanwhile. Where another thread has the queue at that
 * moment, [io] is asked to look once more instead. [io] does what is left: one
 * kick for all that was submitted, one publication for all that is done.
 *
 * The lock is never held over block_kick and block_drain, as those call back.
 */
#include "dm/virtio/blk-internal.h"

#include <errno.h>
#include <stdlib.h>

/* Bytes that a vCPU moves by itself in one notification. */
#define BUDGET (1 << 20)
/* Requests from the ring before others on [io] get their turn. */
#define ROUND 512u

/* Takes requests until the ring is empty, the budget used up or the queue broken; whether something is left. */
static bool take(struct vblk_queue *q, bool on_vcpu)
{
	struct virtq *vq = q->vq;

	for (uint32_t i = 0; i < ROUND; i++) {
		int got;

		if (on_vcpu && q->budget <= 0)
			return true;
		got = virtq_pop(vq, &q->chain, q->segs, VIRTQ_CHAIN_MAX);
		if (!got && !virtq_listen(vq))
			return false;
		if (got > 0 && !vblk_req_begin(q, on_vcpu))
			got = -EPROTO;
		if (got < 0) {
			virtio_broken(&q->b->dev, q->index, vq->fault);
			return false;
		}
	}
	return true;
}

static void count(struct vblk_queue *q)
{
	if (q->n_requests)
		virtio_add(q->b->n.requests, q->n_requests);
	q->n_requests = 0;
}

static void defer(struct vblk_queue *q)
{
	q->b->c.host->defer_run(q->b->c.inst, q->defer);
}

void vblk_queue_attend(struct vblk_queue *q)
{
	if (!q->on_io)
		defer(q);
}

void vblk_queue_notify(struct virtio_dev *dev, uint32_t index)
{
	struct vblk_queue *q = &((struct vblk *)dev)->queues[index];
	bool left = false;

	if (q->b->c.host->vcpu_current(q->b->c.inst) == UINT32_MAX || pthread_mutex_trylock(&q->vq->lock)) {
		defer(q);
		return;
	}
	if (q->vq->live) {
		q->budget = BUDGET;
		left = take(q, true) || q->first;
		virtio_publish(dev, index);
		count(q);
	}
	pthread_mutex_unlock(&q->vq->lock);
	if (left)
		defer(q);
}

/* Submits what waits and what is in the ring; whether it stopped for fairness alone. */
static bool serve(struct vblk_queue *q)
{
	bool left = false;

	q->on_io = true;
	vblk_reqs_submit(q);
	if (q->vq->live) {
		virtq_hush(q->vq);
		left = take(q, false);
		vblk_reqs_submit(q);
		count(q);
	}
	return left;
}

static void run(void *opaque)
{
	struct vblk_queue *q = opaque;
	bool left, kick;

	pthread_mutex_lock(&q->vq->lock);
	left = serve(q);
	kick = q->kick;
	q->kick = false;
	/* Before the kick: what it completes may take long, what is done is done. */
	if (q->vq->live)
		virtio_publish(&q->b->dev, q->index);
	pthread_mutex_unlock(&q->vq->lock);
	if (kick)
		block_kick(q->b->c.block);
	pthread_mutex_lock(&q->vq->lock);
	q->on_io = false;
	if (q->vq->live)
		virtio_publish(&q->b->dev, q->index);
	pthread_mutex_unlock(&q->vq->lock);
	if (left)
		defer(q);
}

/* ---- life ------------------------------------------------------------------------------- */

int vblk_queue_init(struct vblk *b, uint32_t index)
{
	struct vblk_queue *q = &b->queues[index];

	q->b = b;
	q->vq = &b->dev.queues[index];
	q->index = index;
	q->last = &q->first;
	pthread_cond_init(&q->calm, NULL);
	q->defer = b->c.host->defer_create(b->c.inst, run, q);
	return q->defer && !vblk_reqs_init(q) ? 0 : -ENOMEM;
}

void vblk_queue_finish(struct vblk_queue *q)
{
	if (!q->b)
		return;
	if (q->defer)
		q->b->c.host->defer_destroy(q->b->c.inst, q->defer);
	vblk_reqs_finish(q);
	pthread_cond_destroy(&q->calm);
}

void vblk_queue_stop(struct virtio_dev *dev, uint32_t index)
{
	struct vblk_queue *q = &((struct vblk *)dev)->queues[index];

	pthread_mutex_lock(&q->vq->lock);
	vblk_reqs_drop(q);
	while (q->in_flight)
		pthread_cond_wait(&q->calm, &q->vq->lock);
	pthread_mutex_unlock(&q->vq->lock);
}

void vblk_queue_quiesce(struct virtio_dev *dev)
{
	struct vblk *b = (struct vblk *)dev;

	for (uint32_t i = 0; i < dev->c.n_queues; i++) {
		pthread_mutex_lock(&b->queues[i].vq->lock);
		vblk_reqs_submit(&b->queues[i]);
		b->queues[i].kick = false;
		pthread_mutex_unlock(&b->queues[i].vq->lock);
	}
	block_drain(b->c.block);
	for (uint32_t i = 0; i < dev->c.n_queues; i++) {
		pthread_mutex_lock(&b->queues[i].vq->lock);
		if (b->queues[i].vq->live)
			virtio_publish(dev, i);
		pthread_mutex_unlock(&b->queues[i].vq->lock);
	}
}
