/* SPDX-License-Identifier: MIT */
/*
 * Host block back ends: what a guest's disk is made of on the host.
 *
 * A back end is a struct block behind struct block_ops. Front ends (blkback,
 * virtio-blk, IDE) hand it requests that they own, typically embedded in
 * their own per-request state, so that the data path allocates nothing.
 *
 * Threads. submit, kick and the watch run on [io]; open, drain and close on
 * [control] while [io] is parked, or on [io]. There are no locks for the
 * caller to take. done is called from kick, from drain and from the
 * back end's own fd watch, never from submit; it may submit further requests
 * and kick them, but must not drain or close.
 *
 * Several front ends may use one back end, as the two faces of a disk that is
 * both emulated and paravirtualized: a request is its front end's business
 * alone. drain waits for all of them.
 *
 * Ordering. Requests may complete in any order, and overlapping requests in
 * flight together have no defined result, as on a real disk. FLUSH makes
 * durable every write whose done had been called before the flush was
 * submitted; later ones may or may not be included.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gamut/host.h"

/* offset and length of every request are multiples of this, whatever the sector sizes say. */
#define BLOCK_SECTOR 512u

/* More entries than this in one request are refused (-EINVAL): Linux' own UIO_MAXIOV. */
#define BLOCK_MAX_IOV 1024u

enum block_op {
	BLOCK_READ = 0,
	BLOCK_WRITE = 1,
	BLOCK_FLUSH = 2,        /* offset, length and iov are ignored */
	BLOCK_DISCARD = 3,      /* no iov; the range reads as zeros or as before */
	BLOCK_WRITE_ZEROES = 4, /* no iov; the range reads as zeros */
	BLOCK_OP_COUNT
};

struct block;
struct block_req;

/* result is 0 (everything was transferred) or -errno (the range's content is undefined). [io] [control] */
typedef void (*block_done_fn)(struct block_req *req, int result);

struct block_req {
	/* Filled by the caller; kept unchanged from submit to done. */
	uint8_t op; /* enum block_op */
	uint32_t n_iov;
	/*
	 * The memory to read into or write from; the lengths add up to `length`
	 * exactly. The entries are the back end's until done: after a short
	 * transfer it advances them in place.
	 */
	struct iovec *iov;
	uint64_t offset; /* bytes */
	uint64_t length; /* bytes, not 0 but for FLUSH */
	block_done_fn done;

	/* The back end's own, from submit to done. Need not be initialized. */
	struct block_req *next;
	uint64_t moved;   /* bytes transferred so far */
	uint32_t first;   /* iov entries used up */
	uint32_t retries; /* since the last progress */
	int result;
	bool direct; /* goes past the page cache */
};

/* What a disk is; constant from open to close. */
struct block_info {
	uint64_t capacity;        /* bytes, a multiple of logical_sector */
	uint32_t logical_sector;  /* smallest unit of the medium; 512 for files */
	uint32_t physical_sector; /* unit without read-modify-write, for the guest to align to */
	bool readonly;
	bool discard;                 /* DISCARD does something; otherwise it answers -EOPNOTSUPP */
	uint32_t discard_granularity; /* bytes; 0 without discard */
	bool direct;                  /* aligned requests bypass the host's page cache */
	const char *driver;           /* "io_uring" or "threads", for logs */
};

struct block_ops {
	/*
	 * Takes the request: 0, and done will be called exactly once; or -errno
	 * and it will not: -EINVAL (op, range, alignment, iov), -EROFS (a write to
	 * a read-only disk), -EOPNOTSUPP (no discard). Nothing needs to reach the
	 * host before the next kick.
	 */
	int (*submit)(struct block *block, struct block_req *req);
	/* Everything submitted is on its way: one system call for all of them. */
	void (*kick)(struct block *block);
	/* Waits until nothing is in flight, done called for all, including what done submitted. */
	void (*drain)(struct block *block);
	/* Drains, unlocks, frees. */
	void (*close)(struct block *block);
	/*
	 * A READ or WRITE that needs no thread but the caller's, as it is the
	 * host's page cache that it reads or fills: 0 when it has been carried
	 * out, and done is not called. Otherwise -EAGAIN, and the request can be
	 * submitted; some of it may have been transferred. A read does not wait; a
	 * write may for once, and is then not tried for a while. Not for a
	 * request that is submitted. NULL: never. [vcpu], reads also on [io]; at
	 * the same time as everything else.
	 */
	int (*now)(struct block *block, struct block_req *req);
};

/* The head of every back end's own struct. */
struct block {
	const struct block_ops *ops;
	struct block_info info;
};

enum block_direct {
	BLOCK_DIRECT_AUTO = 0, /* where the file can */
	BLOCK_DIRECT_ON = 1,   /* refuse to open a file that cannot */
	BLOCK_DIRECT_OFF = 2,
};

/* Zero is the default for every member. */
struct block_options {
	const char *format; /* one of block_format_choices; NULL: "auto" */
	bool readonly;
	uint8_t direct; /* enum block_direct */
	bool no_discard;
	bool no_uring;        /* use threads even where io_uring works (tests, comparisons) */
	uint32_t queue_depth; /* requests in flight on the host; 0: 128 */
	const char *bps;      /* bound of bytes a second, "50MB/s"; NULL: none */
	uint64_t iops;        /* bound of requests a second; 0: none */
	uint32_t burst;       /* ms: what these let through in this time may be saved up; 0: 100 */
};

/*
 * Opens the disk image or block device at path: raw ones in this process, all
 * other formats through a server process (nbd.h). Nothing is ever created or
 * truncated. It is locked against other domains: exclusively when writable,
 * shared when read-only. NULL with errno set and one sentence that names the
 * path in err. [control]
 */
struct block *block_open(const struct gamut_host *host, struct gamut_inst *inst, const char *path,
                         const struct block_options *options, char *err, size_t err_len);

/*
 * The same by the options of the instance (block-options.h), and for a CD-ROM
 * drive read-only in any case. 0; or what host->fail gave, and *block is NULL.
 * [control]
 */
int block_open_instance(const struct gamut_host *host, struct gamut_inst *inst, const char *path, bool cdrom,
                        struct block **block);
/*
 * All that was written and is done becomes durable, for the end of a domain:
 * drains. 0 or -errno; nothing to do on a read-only disk. [control]
 */
int block_sync(struct block *block);

static inline int block_submit(struct block *block, struct block_req *req)
{
	return block->ops->submit(block, req);
}

static inline void block_kick(struct block *block)
{
	block->ops->kick(block);
}

static inline void block_drain(struct block *block)
{
	block->ops->drain(block);
}

/* block may be NULL. */
static inline void block_close(struct block *block)
{
	if (block)
		block->ops->close(block);
}

#endif
