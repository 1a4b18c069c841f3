/* SPDX-License-Identifier: MIT */
/*
 * What serving a raw image means, whichever way the system calls are made.
 *
 * A request is issued, its outcome digested by raw_advance, and issued again
 * for what is left until it is over. Each issue picks its descriptor anew: a
 * request that fits the rules of O_DIRECT goes there, and one that does not,
 * or no longer does after a short transfer, takes the page cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "dm/block/raw.h"

/* A write to the page cache that takes longer may have waited. */
#define SLOW_NS 2000000u
/* How long after such a one the next ones are watched, whether they wait. */
#define WATCH_NS 1000000000u
/* One that waited is followed by a rest so many times as long: a vCPU waits a ninth of its time at most. */
#define REST 8u

static bool aligned_for_direct(const struct raw_file *file, const struct block_req *req)
{
	uint64_t memory = 0, extent = req->offset + req->moved;

	if (file->direct_fd < 0)
		return false;
	for (uint32_t i = req->first; i < req->n_iov; i++) {
		memory |= (uintptr_t)req->iov[i].iov_base;
		extent |= req->iov[i].iov_len;
	}
	return !(memory & (file->memory_align - 1)) && !(extent & (file->offset_align - 1));
}

int raw_accept(struct raw *raw, struct block_req *req)
{
	int error = block_req_accept(&raw->block.info, req);

	if (!error)
		req->direct = block_moves_data(req) && aligned_for_direct(&raw->file, req);
	return error;
}

int raw_fd(const struct raw *raw, const struct block_req *req)
{
	return req->direct ? raw->file.direct_fd : raw->file.fd;
}

int raw_fallocate_mode(struct raw *raw, const struct block_req *req)
{
	if (req->op == BLOCK_DISCARD)
		return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	return __atomic_load_n(&raw->zero_mode, __ATOMIC_RELAXED);
}

/* ---- at once ---- */

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* How often this thread has gone to sleep in the kernel; that others took its processor does not count. */
static long sleeps(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

/* On a busy host slow is not yet waiting; to ask costs as much as a small write, so it is asked when there is cause. */
static void judge_slow(struct raw *raw, uint64_t start, uint64_t end, bool watched, long slept)
{
	if (watched && sleeps() != slept)
		__atomic_store_n(&raw->slow_until, end + REST * (end - start), __ATOMIC_RELAXED);
	__atomic_store_n(&raw->watch_until, end + WATCH_NS, __ATOMIC_RELAXED);
}

/*
 * Into the page cache: a copy, as a rule. Few file systems can promise it, so
 * it is tried; one that had to wait (the host writes back what it has, or reads
 * the rest of a page) has the next ones go the long way for a while.
 */
static ssize_t write_cached(struct raw *raw, const struct block_req *req)
{
	uint64_t start = clock_ns(), end;
	bool watched = start < __atomic_load_n(&raw->watch_until, __ATOMIC_RELAXED);
	long slept;
	ssize_t n;

	if (start < __atomic_load_n(&raw->slow_until, __ATOMIC_RELAXED))
		return -1;
	slept = watched ? sleeps() : 0;
	n = pwritev2(raw->file.fd, req->iov, (int)req->n_iov, (off_t)req->offset, 0);
	end = clock_ns();
	if (end - start > SLOW_NS)
		judge_slow(raw, start, end, watched, slept);
	return n;
}

static ssize_t read_cached(struct raw *raw, const struct block_req *req)
{
	ssize_t n;

	if (__atomic_load_n(&raw->no_nowait, __ATOMIC_RELAXED))
		return -1;
	n = preadv2(raw->file.fd, req->iov, (int)req->n_iov, (off_t)req->offset, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		__atomic_store_n(&raw->no_nowait, 1, __ATOMIC_RELAXED);
	return n;
}

/* A short answer is none: everything is done again. */
int raw_now(struct block *block, struct block_req *req)
{
	struct raw *raw = (struct raw *)block;
	ssize_t n;

	if (!block_moves_data(req) || raw_accept(raw, req) || req->direct)
		return -EAGAIN;
	n = req->op == BLOCK_WRITE ? write_cached(raw, req) : read_cached(raw, req);
	return n >= 0 && (uint64_t)n == req->length ? 0 : -EAGAIN;
}

static bool finish(struct block_req *req, int result)
{
	req->result = result;
	return true;
}

/* Some file systems make holes but do not zero a range; a hole reads as zeros too. */
static bool step_down_zeroes(struct raw *raw, const struct block_req *req)
{
	int mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

	if (req->op != BLOCK_WRITE_ZEROES || req->retries > 1)
		return false;
	__atomic_compare_exchange_n(&raw->zero_mode, &mode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, false,
	                            __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return true;
}

static bool digest_error(struct raw *raw, struct block_req *req, int error)
{
	req->retries++;
	switch (error) {
	case EINTR:
	case EAGAIN:
		return req->retries > RAW_MAX_RETRIES ? finish(req, -EIO) : false;
	case EINVAL:
		/* The file system's rules were stricter than it told: take the page cache. */
		if (!req->direct)
			return finish(req, -EINVAL);
		req->direct = false;
		return false;
	case EOPNOTSUPP:
		return step_down_zeroes(raw, req) ? false : finish(req, -EOPNOTSUPP);
	default:
		return finish(req, -error);
	}
}

bool raw_advance(struct raw *raw, struct block_req *req, ssize_t outcome)
{
	bool was_direct = req->direct;

	if (outcome < 0)
		return digest_error(raw, req, (int)-outcome);
	if (!block_moves_data(req))
		return finish(req, 0);
	/* The end of the file inside the disk: somebody truncated the image. */
	if (!outcome || (uint64_t)outcome > req->length - req->moved)
		return finish(req, -EIO);
	req->retries = 0;
	if (req->moved + (uint64_t)outcome == req->length)
		return finish(req, 0);
	block_req_skip(req, (uint64_t)outcome);
	req->direct = was_direct && aligned_for_direct(&raw->file, req);
	return false;
}

struct block *raw_open(const struct gamut_host *host, struct gamut_inst *inst, const char *path,
                       const struct block_options *options, char *err, size_t err_len)
{
	struct raw model = {
	        .host = host, .inst = inst, .zero_mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	struct block *block = NULL;
	int error;

	error = raw_file_open(&model.file, &model.block.info, path, options, err, err_len);
	if (error)
		goto fail;
	error = options->no_uring ? -ENOSYS : raw_ring_create(&model, options, &block);
	if (error && !options->no_uring)
		host->log(inst, GAMUT_LOG_INFO, "%s: no io_uring here (%s), using threads", path,
		          strerror(-error));
	if (error)
		error = raw_threads_create(&model, options, &block);
	if (error) {
		snprintf(err, err_len, "%s: cannot start disk I/O: %s", path, strerror(-error));
		raw_file_close(&model.file);
		goto fail;
	}
	return block;

fail:
	errno = -error;
	return NULL;
}
