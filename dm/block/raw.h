/* SPDX-License-Identifier: MIT */
/*
 * Raw images, between the files of this folder: the opened file (raw-file.c),
 * what both ways to serve it share (raw.c), io_uring (raw-ring.c) and threads
 * (raw-threads.c).
 */
#ifndef BLOCK_RAW_H
#define BLOCK_RAW_H

#include <sys/types.h>

#include "dm/block/request.h"

/* Failures of the EAGAIN kind in a row before a request gives up. */
#define RAW_MAX_RETRIES 10000u

/*
 * An opened image. Two descriptors of the same inode: a buffered one, which
 * holds the lock and serves any alignment, and one with O_DIRECT for requests
 * that fit its rules. The kernel keeps the page cache coherent between them.
 */
struct raw_file {
	int fd;
	int direct_fd;         /* -1 when direct I/O is off or impossible */
	uint32_t memory_align; /* of iov addresses for direct_fd; a power of two */
	uint32_t offset_align; /* of offsets and lengths for direct_fd; a power of two */
	bool device;           /* a block device */
};

/*
 * Opens, checks and locks path; fills file and info. 0 or -errno with a
 * sentence in err. [control]
 */
int raw_file_open(struct raw_file *file, struct block_info *info, const char *path,
                  const struct block_options *options, char *err, size_t err_len);
void raw_file_close(struct raw_file *file);

/* The part of struct block that both ways share; first member of theirs. */
struct raw {
	struct block block;
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct raw_file file;
	int no_nowait;        /* the file system cannot promise not to wait. Atomic. */
	uint64_t slow_until;  /* CLOCK_MONOTONIC: no write at once before. Atomic. */
	uint64_t watch_until; /* Likewise: before that it is watched whether one sleeps. Atomic. */
	int zero_mode; /* fallocate mode for WRITE_ZEROES; steps down when the file system lacks it. Atomic.
	                */
};

/* block_open for the format "raw". [control] */
struct block *raw_open(const struct gamut_host *host, struct gamut_inst *inst, const char *path,
                       const struct block_options *options, char *err, size_t err_len);

/* Checks a submitted request and readies its private part; 0 or -errno as block_ops.submit. */
int raw_accept(struct raw *raw, struct block_req *req);

/* The descriptor that serves the request's next transfer. */
int raw_fd(const struct raw *raw, const struct block_req *req);

/* block_ops.now for both ways. [any] */
int raw_now(struct block *block, struct block_req *req);

/* The fallocate mode for DISCARD and WRITE_ZEROES. */
int raw_fallocate_mode(struct raw *raw, const struct block_req *req);

/*
 * Digests the outcome of one system call for the request: bytes moved or
 * -errno. True when the request is over and req->result holds; false when it
 * must be issued again for what is left.
 */
bool raw_advance(struct raw *raw, struct block_req *req, ssize_t outcome);

/*
 * The two ways. Each takes over *file on success. 0 or -errno; for the ring,
 * an error means that the kernel does not give us one.
 */
int raw_ring_create(const struct raw *model, const struct block_options *options, struct block **block);
int raw_threads_create(const struct raw *model, const struct block_options *options, struct block **block);

#endif
