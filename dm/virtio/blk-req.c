/* SPDX-License-Identifier: MIT */
/*
 * A request of virtio-blk: virtio 1.2, 5.2.6.
 *
 * How a request is cut into buffers is the driver's choice (2.7.4): the header
 * is the first 16 bytes of what can be read, the status the last byte of what
 * can be written, and the data is what lies between. Header and ranges are
 * copied once and then checked; data goes between the guest's own pages and the
 * host's back end. A wrong request is answered with an error, and no part of it
 * carried out; one without room for the answer means a broken ring.
 */
#include "dm/virtio/blk-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER ((uint32_t)sizeof(struct virtio_blk_outhdr))
#define RANGE  ((uint32_t)sizeof(struct virtio_blk_discard_write_zeroes))

/* ---- the pool --------------------------------------------------------------------------- */

int vblk_reqs_init(struct vblk_queue *q)
{
	q->reqs = calloc(VBLK_QUEUE_SIZE, sizeof(*q->reqs));
	if (!q->reqs)
		return -ENOMEM;
	for (uint32_t i = 0; i < VBLK_QUEUE_SIZE; i++) {
		q->reqs[i].q = q;
		q->reqs[i].next = q->unused;
		q->unused = &q->reqs[i];
	}
	return 0;
}

void vblk_reqs_finish(struct vblk_queue *q)
{
	while (q->large) {
		struct vblk_large *large = q->large;

		q->large = large->next;
		free(large);
	}
	free(q->reqs);
	q->reqs = NULL;
}

/* Made on first need, kept as long as the queue. NULL: memory is short. */
static struct vblk_large *large_get(struct vblk_queue *q)
{
	struct vblk_large *large = q->large;

	if (!large)
		return malloc(sizeof(*large));
	q->large = large->next;
	return large;
}

static void req_put(struct vblk_req *r)
{
	struct vblk_queue *q = r->q;

	if (r->large) {
		r->large->next = q->large;
		q->large = r->large;
	}
	r->next = q->unused;
	q->unused = r;
}

/*
 * The chain at hand as a request of its own: one is free, as a ring never has
 * more chains out than entries. NULL: memory is short.
 */
static struct vblk_req *req_get(struct vblk_queue *q)
{
	const struct virtq_chain *c = &q->chain;
	struct vblk_large *large = NULL;
	struct vblk_req *r = q->unused;
	uint32_t n = c->n_out + c->n_in;

	if (n > VBLK_SMALL + 2) {
		large = large_get(q);
		if (!large)
			return NULL;
	}
	q->unused = r->next;
	r->large = large;
	r->segs = large ? large->segs : r->small_segs;
	memcpy(r->segs, c->seg, n * sizeof(*r->segs));
	r->n_out = c->n_out;
	r->n_in = c->n_in;
	r->in_len = c->in_len;
	r->head = c->head;
	r->then_flush = false;
	r->n_ranges = r->range = 0;
	r->io.iov = large ? large->iov : r->small_iov;
	r->io.n_iov = 0;
	return r;
}

/* ---- ending ----------------------------------------------------------------------------- */

/* The last byte of the last buffer is the status; a chain without one is not let in. */
static void answer(struct vblk_queue *q, const struct virtq_seg *seg, uint32_t n_out, uint32_t n_in, uint32_t in_len,
                   uint16_t head, uint8_t status)
{
	const struct virtq_seg *last = &seg[n_out + n_in - 1];

	/* What a failed read left of the buffer is not shown. */
	for (uint32_t i = n_out; status != VIRTIO_BLK_S_OK && i < n_out + n_in; i++)
		memset(seg[i].host, 0, seg[i].len);
	last->host[last->len - 1] = status;
	virtq_put(q->vq, seg, n_out, n_in, in_len);
	if (q->vq->live)
		virtq_push(q->vq, head, in_len);
}

static void answer_chain(struct vblk_queue *q, uint8_t status)
{
	const struct virtq_chain *c = &q->chain;

	answer(q, c->seg, c->n_out, c->n_in, c->in_len, c->head, status);
}

static void refuse(struct vblk_queue *q, uint8_t status)
{
	virtio_add(q->b->n.bad, 1);
	answer_chain(q, status);
}

static uint8_t status_of(int result)
{
	if (!result)
		return VIRTIO_BLK_S_OK;
	return result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static void req_end(struct vblk_req *r, int result)
{
	if (result)
		virtio_add(r->q->b->n.io_errors, 1);
	answer(r->q, r->segs, r->n_out, r->n_in, r->in_len, r->head, status_of(result));
	req_put(r);
}

/* ---- on the host ------------------------------------------------------------------------ */

static void wait_for_io(struct vblk_req *r)
{
	r->next = NULL;
	*r->q->last = r;
	r->q->last = &r->next;
}

static void load_range(struct vblk_req *r)
{
	r->io.offset = r->ranges[r->range].sector * VBLK_SECTOR;
	r->io.length = (uint64_t)r->ranges[r->range].num_sectors * VBLK_SECTOR;
}

/* Whether the request has a next step, which is then ready to be submitted. */
static bool next_step(struct vblk_req *r)
{
	while (r->range + 1 < r->n_ranges) {
		r->range++;
		load_range(r);
		if (r->io.length)
			return true;
	}
	if (!r->then_flush)
		return false;
	r->then_flush = false;
	r->io.op = BLOCK_FLUSH;
	return true;
}

static void req_done(struct block_req *io, int result);

static void submit(struct vblk_req *r)
{
	struct vblk_queue *q = r->q;
	int err;

	r->io.done = req_done;
	err = block_submit(q->b->c.block, &r->io);
	if (err) {
		req_end(r, err);
		return;
	}
	q->in_flight++;
	q->kick = true;
}

static void req_done(struct block_req *io, int result)
{
	struct vblk_req *r = (struct vblk_req *)io;
	struct vblk_queue *q = r->q;
	bool kick;

	pthread_mutex_lock(&q->vq->lock);
	q->in_flight--;
	if (!result && q->vq->live && next_step(r))
		submit(r);
	else
		req_end(r, result);
	kick = q->kick;
	q->kick = false;
	if (!q->in_flight)
		pthread_cond_broadcast(&q->calm);
	pthread_mutex_unlock(&q->vq->lock);
	if (kick)
		block_kick(q->b->c.block);
	vblk_queue_attend(q);
}

void vblk_reqs_submit(struct vblk_queue *q)
{
	struct vblk_req *r = q->first;

	q->first = NULL;
	q->last = &q->first;
	while (r) {
		struct vblk_req *next = r->next;

		submit(r);
		r = next;
	}
}

void vblk_reqs_drop(struct vblk_queue *q)
{
	while (q->first) {
		struct vblk_req *r = q->first;

		q->first = r->next;
		virtq_put(q->vq, r->segs, r->n_out, r->n_in, 0);
		req_put(r);
	}
	q->last = &q->first;
}

/* ---- data ------------------------------------------------------------------------------- */

static bool range_ok(const struct vblk_queue *q, uint64_t sector, uint64_t n)
{
	uint64_t capacity = q->b->c.block->info.capacity / VBLK_SECTOR;

	return n <= capacity && sector <= capacity - n;
}

/*
 * 5.2.6.2: without VIRTIO_BLK_F_FLUSH the driver cannot ask for a flush, and
 * without writeback it need not.
 */
static bool write_through(const struct vblk_queue *q)
{
	return !virtio_has(&q->b->dev, VIRTIO_BLK_F_FLUSH) || !__atomic_load_n(&q->b->writeback, __ATOMIC_RELAXED);
}

static bool at_once(struct vblk_queue *q, bool on_vcpu)
{
	const struct block *block = q->b->c.block;

	if (!on_vcpu || !block->ops->now || (q->now.op == BLOCK_WRITE && write_through(q)) ||
	    block->ops->now(q->b->c.block, &q->now))
		return false;
	q->budget -= (int64_t)q->now.length;
	virtio_add(q->b->n.at_once, 1);
	return true;
}

/* The checked transfer of q->now, whose iov is the queue's. */
static void transfer(struct vblk_queue *q, bool on_vcpu)
{
	const struct vblk_counters *n = &q->b->n;
	struct vblk_req *r;

	virtio_add(q->now.op == BLOCK_READ ? n->reads : n->writes, 1);
	virtio_add(n->bytes, q->now.length);
	if (at_once(q, on_vcpu)) {
		answer_chain(q, VIRTIO_BLK_S_OK);
		return;
	}
	r = req_get(q);
	if (!r) {
		virtio_add(n->io_errors, 1);
		answer_chain(q, VIRTIO_BLK_S_IOERR);
		return;
	}
	r->io.op = q->now.op;
	r->io.offset = q->now.offset;
	r->io.length = q->now.length;
	r->io.n_iov = q->now.n_iov;
	memcpy(r->io.iov, q->iov, q->now.n_iov * sizeof(*q->iov));
	r->then_flush = q->now.op == BLOCK_WRITE && write_through(q);
	wait_for_io(r);
}

static void read_or_write(struct vblk_queue *q, const struct virtio_blk_outhdr *h, bool on_vcpu)
{
	const struct virtq_chain *c = &q->chain;
	bool write = h->type == VIRTIO_BLK_T_OUT;
	uint32_t length = write ? c->out_len - HEADER : c->in_len - 1;

	if (length % VBLK_SECTOR || !range_ok(q, h->sector, length / VBLK_SECTOR) ||
	    (write && q->b->c.block->info.readonly)) {
		refuse(q, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (!length) {
		answer_chain(q, VIRTIO_BLK_S_OK);
		return;
	}
	q->now = (struct block_req){
	        .op = write ? BLOCK_WRITE : BLOCK_READ,
	        .iov = q->iov,
	        .offset = h->sector * VBLK_SECTOR,
	        .length = length,
	        .n_iov = write ? virtq_iov(c->seg, c->n_out, HEADER, length, q->iov)
	                       : virtq_iov(c->seg + c->n_out, c->n_in, 0, length, q->iov),
	};
	transfer(q, on_vcpu);
}

/* ---- the other operations ---------------------------------------------------------------- */

static void flush(struct vblk_queue *q, const struct virtio_blk_outhdr *h, bool on_vcpu)
{
	struct vblk_req *r;

	(void)h;
	(void)on_vcpu;
	virtio_add(q->b->n.flushes, 1);
	r = req_get(q);
	if (!r) {
		answer_chain(q, VIRTIO_BLK_S_IOERR);
		return;
	}
	r->io.op = BLOCK_FLUSH;
	wait_for_io(r);
}

/* 20 bytes, without a zero at the end where the serial is as long (5.2.6). */
static void get_id(struct vblk_queue *q, const struct virtio_blk_outhdr *h, bool on_vcpu)
{
	const struct virtq_chain *c = &q->chain;

	(void)h;
	(void)on_vcpu;
	for (uint32_t i = 0; i < c->n_in; i++)
		memset(c->seg[c->n_out + i].host, 0, c->seg[c->n_out + i].len);
	virtq_copy_in(c, 0, q->b->serial,
	              c->in_len - 1 < VIRTIO_BLK_ID_BYTES ? c->in_len - 1 : VIRTIO_BLK_ID_BYTES);
	answer_chain(q, VIRTIO_BLK_S_OK);
}

/* The status of a set of ranges that were copied from the driver: 5.2.6.1, 5.2.6.2. */
static uint8_t check_ranges(const struct vblk_queue *q, uint32_t type,
                            const struct virtio_blk_discard_write_zeroes *range, uint32_t n)
{
	uint32_t flags = type == VIRTIO_BLK_T_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

	for (uint32_t i = 0; i < n; i++) {
		if (range[i].flags & ~flags)
			return VIRTIO_BLK_S_UNSUPP;
		if (range[i].num_sectors > VBLK_RANGE_SECTORS ||
		    !range_ok(q, range[i].sector, range[i].num_sectors))
			return VIRTIO_BLK_S_IOERR;
	}
	return q->b->c.block->info.readonly ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* The first range that is not empty; false when there is none. */
static bool first_range(struct vblk_req *r)
{
	for (r->range = 0; r->range < r->n_ranges; r->range++) {
		load_range(r);
		if (r->io.length)
			return true;
	}
	return false;
}

static void ranges(struct vblk_queue *q, const struct virtio_blk_outhdr *h, bool on_vcpu)
{
	struct virtio_blk_discard_write_zeroes range[VBLK_RANGES];
	uint32_t length = q->chain.out_len - HEADER, n = length / RANGE;
	bool discard = h->type == VIRTIO_BLK_T_DISCARD;
	struct vblk_req *r;
	uint8_t status;

	(void)on_vcpu;
	if (!virtio_has(&q->b->dev, discard ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES)) {
		refuse(q, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (!n || length % RANGE || n > VBLK_RANGES) {
		refuse(q, VIRTIO_BLK_S_IOERR);
		return;
	}
	virtq_copy_out(&q->chain, HEADER, range, length);
	status = check_ranges(q, h->type, range, n);
	if (status != VIRTIO_BLK_S_OK) {
		refuse(q, status);
		return;
	}
	virtio_add(q->b->n.discards, 1);
	r = req_get(q);
	if (!r) {
		answer_chain(q, VIRTIO_BLK_S_IOERR);
		return;
	}
	r->io.op = discard ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
	r->io.iov = NULL;
	r->n_ranges = n;
	memcpy(r->ranges, range, length);
	r->then_flush = write_through(q);
	if (first_range(r))
		wait_for_io(r);
	else
		req_end(r, 0);
}

static void unsupported(struct vblk_queue *q, const struct virtio_blk_outhdr *h, bool on_vcpu)
{
	(void)h;
	(void)on_vcpu;
	refuse(q, VIRTIO_BLK_S_UNSUPP);
}

typedef void (*operation)(struct vblk_queue *q, const struct virtio_blk_outhdr *h, bool on_vcpu);

static const operation operations[] = {
        [VIRTIO_BLK_T_IN] = read_or_write, [VIRTIO_BLK_T_OUT] = read_or_write,
        [VIRTIO_BLK_T_FLUSH] = flush,      [VIRTIO_BLK_T_GET_ID] = get_id,
        [VIRTIO_BLK_T_DISCARD] = ranges,   [VIRTIO_BLK_T_WRITE_ZEROES] = ranges,
};

#define N_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

bool vblk_req_begin(struct vblk_queue *q, bool on_vcpu)
{
	struct virtio_blk_outhdr h;
	operation op;

	if (!q->chain.in_len || q->chain.out_len < HEADER) {
		q->vq->fault = "a request without room for header or status";
		virtq_put(q->vq, q->segs, q->chain.n_out, q->chain.n_in, 0);
		return false;
	}
	q->n_requests++;
	virtq_copy_out(&q->chain, 0, &h, HEADER);
	op = h.type < N_OPERATIONS ? operations[h.type] : NULL;
	(op ? op : unsupported)(q, &h, on_vcpu);
	return true;
}
