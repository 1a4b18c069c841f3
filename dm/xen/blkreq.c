/* SPDX-License-Identifier: MIT */
/*
 * A request from its private copy to its response.
 *
 * The copy is checked whole before anything is mapped; pages are mapped once
 * and handed to the host's block back end as they are, neighbours in memory as
 * one entry. What is wrong with a request is answered with BLKIF_RSP_ERROR and
 * counted, and no part of it is carried out.
 */
#include "dm/xen/blkring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---- the pool ------------------------------------------------------------------------ */

int blkreq_pool_init(struct blkring *ring)
{
	ring->reqs = calloc(ring->size, sizeof(*ring->reqs));
	if (!ring->reqs)
		return -ENOMEM;
	for (uint32_t i = 0; i < ring->size; i++) {
		ring->reqs[i].ring = ring;
		ring->reqs[i].next = ring->unused;
		ring->unused = &ring->reqs[i];
	}
	return 0;
}

void blkreq_pool_finish(struct blkring *ring)
{
	while (ring->large) {
		struct blklarge *large = ring->large;

		ring->large = large->next;
		free(large);
	}
	free(ring->reqs);
	ring->reqs = NULL;
}

/* Made on first need, kept until the ring goes. */
static struct blklarge *large_get(struct blkring *ring)
{
	struct blklarge *large = ring->large;

	if (large) {
		ring->large = large->next;
		return large;
	}
	if (ring->n_large == BLKRING_MAX_LARGE)
		return NULL;
	large = malloc(sizeof(*large));
	if (large)
		ring->n_large++;
	return large;
}

/* There are as many requests as entries, and an entry is answered before it is used again. */
static struct blkreq *req_get(struct blkring *ring, const struct blkcmd *cmd)
{
	struct blkreq *req = ring->unused;

	ring->unused = req->next;
	req->id = cmd->id;
	req->op = cmd->op;
	req->large = NULL;
	req->segs = req->small_segs;
	req->io.iov = req->small_iov;
	req->io.n_iov = 0;
	req->io.length = 0;
	req->n_segs = 0;
	req->then_write = false;
	return req;
}

static void req_put(struct blkreq *req)
{
	struct blkring *ring = req->ring;

	if (req->large) {
		req->large->next = ring->large;
		ring->large = req->large;
	}
	req->next = ring->unused;
	ring->unused = req;
}

/* ---- ending ---------------------------------------------------------------------------- */

static void segments_put(struct blkreq *req, bool written)
{
	for (uint32_t i = 0; i < req->n_segs; i++) {
		const struct blkseg *seg = &req->segs[i];

		blkgrants_put(&req->ring->grants, &seg->hold, seg->offset, written ? seg->len : 0);
	}
	req->n_segs = 0;
}

static void req_end(struct blkreq *req, int16_t status)
{
	/* A read that failed half-way has written something too. Dirty before the guest hears of it. */
	segments_put(req, req->io.op == BLOCK_READ);
	blkring_respond(req->ring, req->id, req->op, status);
	req_put(req);
}

static void req_refuse(struct blkreq *req, int16_t status)
{
	add(req->ring->c.counters->bad, 1);
	req_end(req, status);
}

static int16_t status_of(int result)
{
	if (!result)
		return BLKIF_RSP_OKAY;
	return result == -EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR;
}

/* ---- to the back end ------------------------------------------------------------------- */

static void req_failed(struct blkreq *req, int err)
{
	add(req->ring->c.counters->io_errors, 1);
	req_end(req, status_of(err));
}

static void req_submit(struct blkreq *req);

static void req_done(struct block_req *io, int result)
{
	struct blkreq *req = (struct blkreq *)io;
	struct blkring *ring = req->ring;
	bool again = !result && req->then_write;

	pthread_mutex_lock(&ring->lock);
	if (again) {
		req->then_write = false;
		io->op = BLOCK_WRITE;
		req_submit(req);
	} else if (result) {
		req_failed(req, result);
	} else {
		req_end(req, BLKIF_RSP_OKAY);
	}
	pthread_mutex_unlock(&ring->lock);
	if (again)
		block_kick(ring->c.block);
	blkring_attend(ring);
}

/* A write may have to wait, which is for the guest's vCPU to do and not for [io]. */
static bool at_once(struct blkreq *req)
{
	struct blkring *ring = req->ring;
	const struct block_ops *ops = ring->c.block->ops;

	if (!ops->now || ring->budget <= 0)
		return false;
	if (req->io.op != BLOCK_READ && (req->io.op != BLOCK_WRITE || !ring->on_vcpu))
		return false;
	if (ops->now(ring->c.block, &req->io))
		return false;
	ring->budget -= (int64_t)req->io.length;
	add(ring->c.counters->at_once, 1);
	return true;
}

static void prepare(struct blkreq *req)
{
	req->next = NULL;
	*req->ring->prepared_end = req;
	req->ring->prepared_end = &req->next;
}

static void hand_over(struct blkreq *req)
{
	int err = block_submit(req->ring->c.block, &req->io);

	if (!err)
		return;
	req_failed(req, err);
	blkring_attend(req->ring);
}

static void req_submit(struct blkreq *req)
{
	req->io.done = req_done;
	if (at_once(req))
		req_end(req, BLKIF_RSP_OKAY);
	else if (req->ring->on_vcpu)
		prepare(req);
	else
		hand_over(req);
}

void blkreq_submit_prepared(struct blkring *ring)
{
	struct blkreq *req = ring->prepared;

	ring->prepared = NULL;
	ring->prepared_end = &ring->prepared;
	while (req) {
		struct blkreq *next = req->next;

		hand_over(req);
		req = next;
	}
}

/* ---- checking -------------------------------------------------------------------------- */

static bool range_ok(const struct blkring *ring, uint64_t sector, uint64_t n)
{
	uint64_t capacity = ring->c.block->info.capacity / BLKRING_SECTOR;

	return n <= capacity && sector <= capacity - n;
}

/* Sectors of all segments, 0 when one of them is no part of a page. */
static uint32_t count_sectors(const struct blkif_request_segment *raw, uint32_t n)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (raw[i].first_sect > raw[i].last_sect || raw[i].last_sect >= 4096 / BLKRING_SECTOR)
			return 0;
		total += raw[i].last_sect - raw[i].first_sect + 1u;
	}
	return total;
}

static void iov_append(struct block_req *io, uint8_t *base, uint32_t len)
{
	struct iovec *last = io->n_iov ? &io->iov[io->n_iov - 1] : NULL;

	if (last && (uint8_t *)last->iov_base + last->iov_len == base)
		last->iov_len += len;
	else
		io->iov[io->n_iov++] = (struct iovec){.iov_base = base, .iov_len = len};
}

static bool segments_map(struct blkreq *req, const struct blkif_request_segment *raw, uint32_t n, bool write)
{
	for (uint32_t i = 0; i < n; i++) {
		struct blkseg *seg = &req->segs[i];

		seg->offset = (uint16_t)(raw[i].first_sect * BLKRING_SECTOR);
		seg->len = (uint16_t)((raw[i].last_sect - raw[i].first_sect + 1u) * BLKRING_SECTOR);
		if (!blkgrants_get(&req->ring->grants, raw[i].gref, write, &seg->hold))
			return false;
		req->n_segs++;
		iov_append(&req->io, (uint8_t *)seg->hold.page + seg->offset, seg->len);
	}
	return true;
}

/* Checks and maps the data of a request: op is BLOCK_READ or BLOCK_WRITE. */
static bool data_prepare(struct blkreq *req, uint8_t op, uint64_t sector,
                         const struct blkif_request_segment *raw, uint32_t n)
{
	struct blkring *ring = req->ring;
	uint32_t sectors = count_sectors(raw, n);

	req->io.op = op;
	if (!sectors || !range_ok(ring, sector, sectors))
		return false;
	if (op == BLOCK_WRITE && ring->c.block->info.readonly)
		return false;
	if (!segments_map(req, raw, n, op == BLOCK_READ))
		return false;
	req->io.offset = sector * BLKRING_SECTOR;
	req->io.length = (uint64_t)sectors * BLKRING_SECTOR;
	return true;
}

static void data_start(struct blkreq *req, uint8_t op, uint64_t sector,
                       const struct blkif_request_segment *raw, uint32_t n)
{
	const struct blkcounters *counters = req->ring->c.counters;

	if (!data_prepare(req, op, sector, raw, n)) {
		req_refuse(req, BLKIF_RSP_ERROR);
		return;
	}
	add(op == BLOCK_READ ? counters->reads : counters->writes, 1);
	add(counters->bytes, req->io.length);
	req_submit(req);
}

/* ---- the operations ---------------------------------------------------------------------- */

static void op_read_write(struct blkreq *req, const struct blkcmd *cmd)
{
	uint8_t op = cmd->op == BLKIF_OP_READ ? BLOCK_READ : BLOCK_WRITE;

	if (cmd->n_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		req_refuse(req, BLKIF_RSP_ERROR);
	else
		data_start(req, op, cmd->sector, cmd->segments, cmd->n_segments);
}

/* A flush may carry data, which is to be written after it. */
static void op_flush(struct blkreq *req, const struct blkcmd *cmd)
{
	req->io.op = BLOCK_FLUSH;
	if (cmd->n_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST) {
		req_refuse(req, BLKIF_RSP_ERROR);
		return;
	}
	if (cmd->n_segments) {
		if (!data_prepare(req, BLOCK_WRITE, cmd->sector, cmd->segments, cmd->n_segments)) {
			req_refuse(req, BLKIF_RSP_ERROR);
			return;
		}
		add(req->ring->c.counters->writes, 1);
		add(req->ring->c.counters->bytes, req->io.length);
		req->then_write = true;
		req->io.op = BLOCK_FLUSH;
	}
	add(req->ring->c.counters->flushes, 1);
	req_submit(req);
}

static void op_discard(struct blkreq *req, const struct blkcmd *cmd)
{
	const struct block_info *info = &req->ring->c.block->info;

	req->io.op = BLOCK_DISCARD;
	if (!info->discard) {
		req_refuse(req, BLKIF_RSP_EOPNOTSUPP);
		return;
	}
	if (info->readonly || !range_ok(req->ring, cmd->sector, cmd->nr_sectors)) {
		req_refuse(req, BLKIF_RSP_ERROR);
		return;
	}
	add(req->ring->c.counters->discards, 1);
	if (!cmd->nr_sectors) {
		req_end(req, BLKIF_RSP_OKAY);
		return;
	}
	req->io.offset = cmd->sector * BLKRING_SECTOR;
	req->io.length = cmd->nr_sectors * BLKRING_SECTOR;
	req_submit(req);
}

/* The segments of an indirect request, copied once out of the guest's page. */
static bool indirect_read(struct blkreq *req, const struct blkcmd *cmd)
{
	struct blkring *ring = req->ring;
	struct blkhold hold;

	_Static_assert(BLKRING_MAX_INDIRECT * sizeof(struct blkif_request_segment) <= 4096,
	               "one indirect page");
	if (!blkgrants_get(&ring->grants, cmd->grefs[0], false, &hold))
		return false;
	memcpy(req->large->raw, hold.page, cmd->n_segments * sizeof(req->large->raw[0]));
	__asm__ volatile("" ::: "memory");
	blkgrants_put(&ring->grants, &hold, 0, 0);
	return true;
}

static void op_indirect(struct blkreq *req, const struct blkcmd *cmd)
{
	/* Linux checks responses against the inner operation. */
	req->op = cmd->indirect_op;
	req->io.op = BLOCK_WRITE;
	if ((cmd->indirect_op != BLKIF_OP_READ && cmd->indirect_op != BLKIF_OP_WRITE) || !req->large ||
	    cmd->n_segments > BLKRING_MAX_INDIRECT || !indirect_read(req, cmd)) {
		req_refuse(req, BLKIF_RSP_ERROR);
		return;
	}
	req->segs = req->large->segs;
	req->io.iov = req->large->iov;
	data_start(req, cmd->indirect_op == BLKIF_OP_READ ? BLOCK_READ : BLOCK_WRITE, cmd->sector,
	           req->large->raw, cmd->n_segments);
}

static void op_unsupported(struct blkreq *req, const struct blkcmd *cmd)
{
	(void)cmd;
	req->io.op = BLOCK_FLUSH;
	req_refuse(req, BLKIF_RSP_EOPNOTSUPP);
}

static void (*const ops[])(struct blkreq *req, const struct blkcmd *cmd) = {
        [BLKIF_OP_READ] = op_read_write,           [BLKIF_OP_WRITE] = op_read_write,
        [BLKIF_OP_WRITE_BARRIER] = op_unsupported, /* not announced: no ordering beyond flush */
        [BLKIF_OP_FLUSH_DISKCACHE] = op_flush,     [BLKIF_OP_RESERVED_1] = op_unsupported,
        [BLKIF_OP_DISCARD] = op_discard,           [BLKIF_OP_INDIRECT] = op_indirect,
};

bool blkreq_start(struct blkring *ring, const struct blkcmd *cmd)
{
	struct blklarge *large = NULL;
	struct blkreq *req;

	if (cmd->op == BLKIF_OP_INDIRECT) {
		large = large_get(ring);
		/* One that is in use will come back; without any there is no memory, and the request fails.
		 */
		if (!large && ring->n_large)
			return false;
	}
	req = req_get(ring, cmd);
	req->large = large;
	if (cmd->op < sizeof(ops) / sizeof(ops[0]))
		ops[cmd->op](req, cmd);
	else
		op_unsupported(req, cmd);
	return true;
}
