/* SPDX-License-Identifier: MIT */
/*
 * A request becomes commands, one after the other: as much at a time as lies
 * in one piece in memory, or, where the guest's pages are scattered, as much
 * as fits the slot's own buffer, by a copy. A slot is one request in flight;
 * there are as many as the queue is deep, made at open, so that nothing is
 * allocated later but a slot's buffer when it is first needed.
 *
 * libnbd calls back while it holds its own lock, when nothing of it may be
 * called. So a completion only puts its slot on a list, which is worked off
 * after libnbd has returned.
 *
 * The server answers a flush when the data are on the disk, as it was told
 * not to lie about it (--cache=writeback), and locks the image as QEMU does.
 * When it goes away, whatever is and comes in flight fails with EIO: what the
 * guest was told is safe is safe, and what it was not told is its to retry.
 */
#include "dm/block/nbd.h"

#include <errno.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/block/format.h"
#include "dm/block/nbd-server.h"
#include "dm/block/request.h"

#define DEPTH       128u
#define COPY_MAX    (256u << 10) /* of a slot's buffer */
#define IN_PLACE    (16u << 10)  /* a piece of memory from here on is worth a command of its own */
#define COMMAND_MAX (32u << 20)  /* what every server takes (NBD protocol, "Block size constraints") */
#define ERROR_LEN   256u

struct nbd_slot {
	struct nbd_block *owner;
	struct nbd_slot *next; /* free, or done */
	struct block_req *req;
	uint64_t part;         /* bytes of the command under way */
	void *copy;            /* COPY_MAX bytes; NULL: not needed yet */
	bool copied;           /* the command under way goes through it */
	int error;             /* of the command that is done */
};

struct nbd_block {
	struct block block; /* first */
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct nbd_handle *nbd;
	struct nbd_server server;
	struct gamut_watch *watch;
	uint32_t watched; /* GAMUT_FD_* */
	struct nbd_slot *slots, *free, *done;
	struct block_queue waiting;
	uint32_t n_slots, in_flight;
	uint64_t command_max;
	bool broken; /* the server is gone */
	bool working; /* in look_after: a done that kicks has its requests sent there */
	bool can_flush, can_zero;
	char *path;
};

/* ---- commands ---- */

/* By libnbd, under its lock. */
static int command_done(void *opaque, int *error)
{
	struct nbd_slot *slot = opaque;

	slot->error = *error;
	slot->next = slot->owner->done;
	slot->owner->done = slot;
	return 1; /* nothing is left to be asked about it */
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What of the request is left and in one piece from its next byte on. */
static uint64_t piece(const struct block_req *req)
{
	const struct iovec *iov = &req->iov[req->first];
	const char *end = (const char *)iov->iov_base + iov->iov_len;
	uint64_t len = iov->iov_len;

	for (uint32_t i = req->first + 1; i < req->n_iov && req->iov[i].iov_base == end; i++) {
		len += req->iov[i].iov_len;
		end += req->iov[i].iov_len;
	}
	return len;
}

/* Between the slot's buffer and the pages of the request, from its next byte on. */
static void copy_part(struct nbd_slot *slot, bool to_slot)
{
	const struct block_req *req = slot->req;
	char *at = slot->copy;
	uint64_t left = slot->part;

	for (uint32_t i = req->first; left; i++) {
		uint64_t n = least(req->iov[i].iov_len, left);

		if (to_slot)
			memcpy(at, req->iov[i].iov_base, n);
		else
			memcpy(req->iov[i].iov_base, at, n);
		at += n;
		left -= n;
	}
}

/* Readies the memory of the next command; NULL: no memory. */
static void *part_memory(struct nbd_slot *slot)
{
	struct nbd_block *n = slot->owner;
	struct block_req *req = slot->req;
	uint64_t left = req->length - req->moved, whole;

	block_req_skip(req, 0);
	whole = piece(req);
	slot->copied = whole < left && whole < IN_PLACE;
	if (!slot->copied) {
		slot->part = least(whole, n->command_max);
		return req->iov[req->first].iov_base;
	}
	if (!slot->copy)
		slot->copy = malloc(COPY_MAX);
	slot->part = least(left, COPY_MAX);
	if (slot->copy && req->op == BLOCK_WRITE)
		copy_part(slot, true);
	return slot->copy;
}

static int64_t send_data(struct nbd_slot *slot)
{
	struct nbd_handle *nbd = slot->owner->nbd;
	const struct block_req *req = slot->req;
	nbd_completion_callback done = { .callback = command_done, .user_data = slot };
	uint64_t at = req->offset + req->moved;
	void *memory = part_memory(slot);

	if (!memory) {
		errno = ENOMEM;
		return -1;
	}
	return req->op == BLOCK_READ ? nbd_aio_pread(nbd, memory, slot->part, at, done, 0) :
	                               nbd_aio_pwrite(nbd, memory, slot->part, at, done, 0);
}

static int64_t send_range(struct nbd_slot *slot)
{
	struct nbd_block *n = slot->owner;
	const struct block_req *req = slot->req;
	nbd_completion_callback done = { .callback = command_done, .user_data = slot };
	uint64_t at = req->offset + req->moved;

	slot->copied = false;
	slot->part = least(req->length - req->moved, n->command_max);
	return req->op == BLOCK_DISCARD ? nbd_aio_trim(n->nbd, slot->part, at, done, 0) :
	                                  nbd_aio_zero(n->nbd, slot->part, at, done, 0);
}

/* The request's next command. 0; or -errno, and none is under way. */
static int send_next(struct nbd_slot *slot)
{
	struct nbd_block *n = slot->owner;
	nbd_completion_callback done = { .callback = command_done, .user_data = slot };
	int64_t cookie;

	if (n->broken)
		return -EIO;
	errno = 0;
	if (slot->req->op == BLOCK_FLUSH) {
		slot->part = 0;
		slot->copied = false;
		cookie = nbd_aio_flush(n->nbd, done, 0);
	} else {
		cookie = block_moves_data(slot->req) ? send_data(slot) : send_range(slot);
	}
	return cookie >= 0 ? 0 : errno == ENOMEM ? -ENOMEM : -EIO;
}

/* ---- slots ---- */

static void finish_slot(struct nbd_slot *slot, int result)
{
	struct nbd_block *n = slot->owner;
	struct block_req *req = slot->req;

	slot->req = NULL;
	slot->next = n->free;
	n->free = slot;
	n->in_flight--;
	req->done(req, result);
}

/* The errors that the protocol has, and no word of the connection's. */
static int result_of(const struct nbd_slot *slot)
{
	static const int known[] = { 0, EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (slot->error == known[i])
			return -slot->error;
	return -EIO;
}

/* One of the commands has come back: the next, or the end. */
static void advance(struct nbd_slot *slot)
{
	struct block_req *req = slot->req;
	int result = result_of(slot);

	if (!result && slot->copied && req->op == BLOCK_READ)
		copy_part(slot, false);
	if (!result && block_moves_data(req))
		block_req_skip(req, slot->part);
	else if (!result)
		req->moved += slot->part;
	if (!result && req->op != BLOCK_FLUSH && req->moved < req->length) {
		result = send_next(slot);
		if (!result)
			return;
	}
	finish_slot(slot, result);
}

/* Requests that waited for a slot. */
static void start_waiting(struct nbd_block *n)
{
	while (n->waiting.head && n->free) {
		struct nbd_slot *slot = n->free;
		int error;

		n->free = slot->next;
		n->in_flight++;
		slot->req = block_queue_pop(&n->waiting);
		/* Without the command, a write is on the disk when it is answered. */
		if (slot->req->op == BLOCK_FLUSH && !n->can_flush) {
			finish_slot(slot, n->broken ? -EIO : 0);
			continue;
		}
		error = send_next(slot);
		if (error)
			finish_slot(slot, error);
	}
}

static void reap_done(struct nbd_block *n)
{
	while (n->done) {
		struct nbd_slot *slot = n->done;

		n->done = slot->next;
		advance(slot);
	}
}

/* ---- the connection ---- */

static void server_gone(struct nbd_block *n)
{
	if (n->broken)
		return;
	n->broken = true;
	n->host->log(n->inst, GAMUT_LOG_ERROR, "%s: the image's server has gone; requests fail from now on", n->path);
	n->host->fd_unwatch(n->inst, n->watch);
	n->watch = NULL;
}

/* Dead: libnbd has called back for everything. */
static void look_after(struct nbd_block *n)
{
	uint32_t want = GAMUT_FD_IN;

	if (n->working)
		return;
	n->working = true;
	do {
		reap_done(n);
		start_waiting(n);
	} while (n->done || (n->waiting.head && n->free));
	n->working = false;
	if (n->broken || nbd_aio_is_dead(n->nbd) > 0 || nbd_aio_is_closed(n->nbd) > 0) {
		server_gone(n);
		return;
	}
	if (nbd_aio_get_direction(n->nbd) & LIBNBD_AIO_DIRECTION_WRITE)
		want |= GAMUT_FD_OUT;
	if (want != n->watched && !n->host->fd_modify(n->inst, n->watch, want))
		n->watched = want;
}

static void on_ready(void *opaque, int fd, uint32_t events)
{
	struct nbd_block *n = opaque;
	unsigned direction = nbd_aio_get_direction(n->nbd);

	(void)fd;
	if ((events & (GAMUT_FD_IN | GAMUT_FD_ERR)) && direction & LIBNBD_AIO_DIRECTION_READ)
		nbd_aio_notify_read(n->nbd);
	else if ((events & (GAMUT_FD_OUT | GAMUT_FD_ERR)) && direction & LIBNBD_AIO_DIRECTION_WRITE)
		nbd_aio_notify_write(n->nbd);
	look_after(n);
}

/* ---- block_ops ---- */

static int submit(struct block *block, struct block_req *req)
{
	struct nbd_block *n = (struct nbd_block *)block;
	int error = block_req_accept(&block->info, req);

	if (error)
		return error;
	if (req->op == BLOCK_WRITE_ZEROES && !n->can_zero)
		return -EOPNOTSUPP;
	block_queue_push(&n->waiting, req);
	return 0;
}

static void kick(struct block *block)
{
	struct nbd_block *n = (struct nbd_block *)block;

	look_after(n);
}

static void drain(struct block *block)
{
	struct nbd_block *n = (struct nbd_block *)block;

	kick(block);
	while (n->in_flight || n->waiting.head) {
		if (!n->done && !n->broken && nbd_poll(n->nbd, -1) < 0 && !n->done)
			server_gone(n);
		look_after(n);
	}
}

static void close_nbd(struct block *block)
{
	struct nbd_block *n = (struct nbd_block *)block;

	if (n->slots && n->nbd)
		drain(block);
	if (n->watch)
		n->host->fd_unwatch(n->inst, n->watch);
	if (n->nbd && !n->broken)
		nbd_shutdown(n->nbd, 0);
	if (n->nbd)
		nbd_close(n->nbd);
	if (!nbd_server_stop(&n->server) && !n->broken && n->path)
		n->host->log(n->inst, GAMUT_LOG_ERROR, "%s: the image's server did not end well", n->path);
	for (uint32_t i = 0; n->slots && i < n->n_slots; i++)
		free(n->slots[i].copy);
	free(n->slots);
	free(n->path);
	free(n);
}

static const struct block_ops nbd_ops = {
	.submit = submit,
	.kick = kick,
	.drain = drain,
	.close = close_nbd,
};

/* ---- opening ---- */

static int make_slots(struct nbd_block *n, const struct block_options *options)
{
	n->n_slots = options->queue_depth ? options->queue_depth : DEPTH;
	n->slots = calloc(n->n_slots, sizeof(*n->slots));
	if (!n->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < n->n_slots; i++) {
		n->slots[i].owner = n;
		n->slots[i].next = n->free;
		n->free = &n->slots[i];
	}
	return 0;
}

static uint32_t power_of_two(int64_t size, uint32_t otherwise, uint32_t most)
{
	return size >= BLOCK_SECTOR && size <= most && !(size & (size - 1)) ? (uint32_t)size : otherwise;
}

/* What the server said of the image. 0 or -errno with a sentence. */
static int read_info(struct nbd_block *n, const struct block_options *options, char *err, size_t err_len)
{
	struct block_info *info = &n->block.info;
	int64_t size = nbd_get_size(n->nbd), most = nbd_get_block_size(n->nbd, LIBNBD_SIZE_MAXIMUM);

	if (size < (int64_t)BLOCK_SECTOR) {
		snprintf(err, err_len, "%s: the image is smaller than one sector", n->path);
		return -EINVAL;
	}
	if (!options->readonly && nbd_is_read_only(n->nbd) > 0) {
		snprintf(err, err_len, "%s: the image cannot be written; use readonly = true", n->path);
		return -EROFS;
	}
	*info = (struct block_info){
		.capacity = (uint64_t)size & ~(uint64_t)(BLOCK_SECTOR - 1),
		.logical_sector = BLOCK_SECTOR,
		.physical_sector = power_of_two(nbd_get_block_size(n->nbd, LIBNBD_SIZE_PREFERRED), 4096, 65536),
		.readonly = options->readonly,
		.discard = !options->readonly && !options->no_discard && nbd_can_trim(n->nbd) > 0,
		.driver = "nbd",
	};
	info->discard_granularity = info->discard ? info->physical_sector : 0;
	n->command_max = most >= (int64_t)BLOCK_SECTOR && most < (int64_t)COMMAND_MAX ? (uint64_t)most : COMMAND_MAX;
	n->command_max &= ~(uint64_t)(BLOCK_SECTOR - 1);
	n->can_flush = nbd_can_flush(n->nbd) > 0;
	n->can_zero = nbd_can_zero(n->nbd) > 0;
	return 0;
}

static int connect_server(struct nbd_block *n, const char *format, const struct block_options *options, char *err,
                          size_t err_len)
{
	char words[ERROR_LEN];
	int fd = nbd_server_start(&n->server, n->path, block_format_driver(format), options->readonly,
	                          !options->no_discard, err, err_len);

	if (fd < 0)
		return fd;
	n->nbd = nbd_create();
	/* Requests are checked here, and errors of the server's are not for standard error. */
	if (!n->nbd) {
		close(fd);
		snprintf(err, err_len, "%s: out of memory", n->path);
		return -ENOMEM;
	}
	nbd_set_debug(n->nbd, 0);
	/* It owns the descriptor from here on. */
	if (!nbd_connect_socket(n->nbd, fd))
		return 0;
	nbd_server_last_words(&n->server, words, sizeof(words));
	snprintf(err, err_len, "%s: cannot be opened as %s: %s", n->path, format, *words ? words : nbd_get_error());
	return -EIO;
}

static int watch_server(struct nbd_block *n)
{
	n->watched = GAMUT_FD_IN;
	n->watch = n->host->fd_watch(n->inst, nbd_aio_get_fd(n->nbd), n->watched, on_ready, n);
	return n->watch ? 0 : -errno;
}

struct block *nbd_open(const struct gamut_host *host, struct gamut_inst *inst, const char *path, const char *format,
                       const struct block_options *options, char *err, size_t err_len)
{
	struct nbd_block *n = calloc(1, sizeof(*n));
	int error;

	if (!n)
		goto no_memory;
	*n = (struct nbd_block){ .block.ops = &nbd_ops, .host = host, .inst = inst, .server.errors = -1 };
	n->path = strdup(path);
	if (!n->path)
		goto no_memory;
	error = connect_server(n, format, options, err, err_len);
	if (!error)
		error = read_info(n, options, err, err_len);
	if (error)
		goto fail;
	error = make_slots(n, options);
	if (!error)
		error = watch_server(n);
	if (!error)
		return &n->block;
	snprintf(err, err_len, "%s: cannot start disk I/O: %s", path, strerror(-error));
fail:
	n->broken = true; /* said already */
	close_nbd(&n->block);
	errno = -error;
	return NULL;

no_memory:
	snprintf(err, err_len, "%s: out of memory", path);
	free(n);
	errno = ENOMEM;
	return NULL;
}
