/* SPDX-License-Identifier: MIT */
#include "dm/block/request.h"

#include <errno.h>

void block_queue_push(struct block_queue *queue, struct block_req *req)
{
	req->next = NULL;
	if (queue->head)
		queue->tail->next = req;
	else
		queue->head = req;
	queue->tail = req;
}

struct block_req *block_queue_pop(struct block_queue *queue)
{
	struct block_req *req = queue->head;

	if (req)
		queue->head = req->next;
	return req;
}

void block_queue_splice(struct block_queue *to, struct block_queue *from)
{
	if (!from->head)
		return;
	if (to->head)
		to->tail->next = from->head;
	else
		to->head = from->head;
	to->tail = from->tail;
	from->head = NULL;
}

static bool iov_adds_up(const struct block_req *req)
{
	uint64_t left = req->length;

	if (!req->n_iov || req->n_iov > BLOCK_MAX_IOV)
		return false;
	for (uint32_t i = 0; i < req->n_iov; i++) {
		if (req->iov[i].iov_len > left)
			return false;
		left -= req->iov[i].iov_len;
	}
	return !left;
}

static int check_range(const struct block_info *info, const struct block_req *req)
{
	/* Holes and zeros are made by the device in whole sectors of its own. */
	uint32_t unit = block_moves_data(req) ? BLOCK_SECTOR : info->logical_sector;

	if (!req->length || req->length > info->capacity || req->offset > info->capacity - req->length)
		return -EINVAL;
	if ((req->offset | req->length) & (unit - 1))
		return -EINVAL;
	return 0;
}

int block_req_accept(const struct block_info *info, struct block_req *req)
{
	int error;

	if (req->op >= BLOCK_OP_COUNT)
		return -EINVAL;
	req->next = NULL;
	req->moved = 0;
	req->first = 0;
	req->retries = 0;
	req->result = 0;
	req->direct = false;
	if (req->op == BLOCK_FLUSH)
		return 0;
	error = check_range(info, req);
	if (error)
		return error;
	if (req->op != BLOCK_READ && info->readonly)
		return -EROFS;
	if (req->op == BLOCK_DISCARD && !info->discard)
		return -EOPNOTSUPP;
	return block_moves_data(req) && !iov_adds_up(req) ? -EINVAL : 0;
}

void block_req_skip(struct block_req *req, uint64_t bytes)
{
	req->moved += bytes;
	while (bytes || (req->first < req->n_iov && !req->iov[req->first].iov_len)) {
		struct iovec *iov = &req->iov[req->first];
		uint64_t part = bytes < iov->iov_len ? bytes : iov->iov_len;

		iov->iov_base = (char *)iov->iov_base + part;
		iov->iov_len -= part;
		bytes -= part;
		if (!iov->iov_len)
			req->first++;
	}
}
