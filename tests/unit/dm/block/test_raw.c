/* SPDX-License-Identifier: MIT */
/*
 * Raw images on real files: what is refused, random transfers against a model
 * in memory, and the digestion of outcomes that a real file system seldom
 * gives. Each data test runs through io_uring and through threads, with and
 * without direct I/O.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dm/block/block.h"
#include "dm/block/raw.h"

#define DISK_SIZE (4u << 20)

/* ---- a host that watches one descriptor ---------------------------------------- */

struct gamut_inst {
	int fd;
	gamut_fd_fn fn;
	void *opaque;
};

static void GAMUT_PRINTF(3, 4) host_log(struct gamut_inst *inst, int level, const char *fmt, ...)
{
	(void)inst;
	(void)level;
	(void)fmt;
}

static struct gamut_watch *host_fd_watch(struct gamut_inst *inst, int fd, uint32_t events, gamut_fd_fn fn,
                                         void *opaque)
{
	assert_int_equal(events, GAMUT_FD_IN);
	assert_int_equal(inst->fd, -1);
	*inst = (struct gamut_inst){fd, fn, opaque};
	return (struct gamut_watch *)inst;
}

static void host_fd_unwatch(struct gamut_inst *inst, struct gamut_watch *watch)
{
	assert_ptr_equal(watch, inst);
	inst->fd = -1;
}

static const struct gamut_host host = {
        .size = sizeof(host),
        .log = host_log,
        .fd_watch = host_fd_watch,
        .fd_unwatch = host_fd_unwatch,
};

/* One turn of the I/O loop. */
static void turn(struct gamut_inst *inst)
{
	struct pollfd p = {.fd = inst->fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 10000), 1);
	inst->fn(inst->opaque, inst->fd, GAMUT_FD_IN);
}

/* ---- files ---------------------------------------------------------------------- */

struct dir {
	char path[64];
	char disk[96];
};

static int dir_setup(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));
	int fd;

	/* Not /tmp: that may be a tmpfs, which older kernels give no direct I/O. */
	snprintf(d->path, sizeof(d->path), "raw-test-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	snprintf(d->disk, sizeof(d->disk), "%s/disk.img", d->path);
	fd = open(d->disk, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
	close(fd);
	*state = d;
	return 0;
}

static int dir_teardown(void **state)
{
	struct dir *d = *state;

	unlink(d->disk);
	rmdir(d->path);
	free(d);
	return 0;
}

static void expect_refused(const char *path, const struct block_options *options, int error,
                           const char *sentence)
{
	struct gamut_inst inst = {.fd = -1};
	char err[256] = "";

	errno = 0;
	assert_null(block_open(&host, &inst, path, options, err, sizeof(err)));
	assert_int_equal(errno, error);
	assert_int_equal(strncmp(err, path, strlen(path)), 0);
	if (!strstr(err, sentence))
		fail_msg("'%s' does not say '%s'", err, sentence);
	assert_int_equal(inst.fd, -1);
}

static struct block *open_ok(struct gamut_inst *inst, const char *path, const struct block_options *options)
{
	char err[256] = "";
	struct block *block;

	*inst = (struct gamut_inst){.fd = -1};
	block = block_open(&host, inst, path, options, err, sizeof(err));
	if (!block)
		fail_msg("%s", err);
	return block;
}

/* ---- refusals ------------------------------------------------------------------- */

static void test_refuses_missing(void **state)
{
	struct dir *d = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/nothing.img", d->path);
	expect_refused(path, &(struct block_options){0}, ENOENT, "no such disk image");
	assert_int_equal(access(path, F_OK), -1);
}

static void test_refuses_what_is_no_disk(void **state)
{
	struct dir *d = *state;
	char path[128];

	expect_refused(d->path, &(struct block_options){0}, EISDIR, "is a directory");
	expect_refused("/dev/null", &(struct block_options){0}, EINVAL,
	               "neither a regular file nor a block device");
	snprintf(path, sizeof(path), "%s/fifo", d->path);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_refused(path, &(struct block_options){.readonly = true}, EINVAL, "neither a regular file");
	unlink(path);
	assert_int_equal(truncate(d->disk, 0), 0);
	expect_refused(d->disk, &(struct block_options){0}, EINVAL, "is empty");
	assert_int_equal(truncate(d->disk, 511), 0);
	expect_refused(d->disk, &(struct block_options){0}, EINVAL, "is empty");
}

static void test_refuses_to_write_read_only_file(void **state)
{
	struct dir *d = *state;
	struct gamut_inst inst;

	assert_int_equal(chmod(d->disk, 0444), 0);
	expect_refused(d->disk, &(struct block_options){0}, EACCES, "may not be written");
	block_close(open_ok(&inst, d->disk, &(struct block_options){.readonly = true}));
	assert_int_equal(inst.fd, -1);
}

static void test_locks(void **state)
{
	struct dir *d = *state;
	const struct block_options rw = {0}, ro = {.readonly = true};
	struct gamut_inst a, b;
	struct block *first = open_ok(&a, d->disk, &rw), *second;

	expect_refused(d->disk, &rw, EBUSY, "in use by another domain");
	expect_refused(d->disk, &ro, EBUSY, "in use by another domain, which writes to it");
	block_close(first);
	first = open_ok(&a, d->disk, &ro);
	second = open_ok(&b, d->disk, &ro);
	expect_refused(d->disk, &rw, EBUSY, "in use by another domain");
	block_close(first);
	expect_refused(d->disk, &rw, EBUSY, "in use by another domain");
	block_close(second);
	block_close(open_ok(&a, d->disk, &rw));
}

static bool has_direct_io(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	char *buf = aligned_alloc(65536, 65536);
	bool has = fd >= 0 && pread(fd, buf, 65536, 0) > 0;

	free(buf);
	if (fd >= 0)
		close(fd);
	return has;
}

static void test_info(void **state)
{
	struct dir *d = *state;
	struct gamut_inst inst;
	struct block *block;
	struct stat st;

	assert_int_equal(truncate(d->disk, 1000000), 0);
	block = open_ok(&inst, d->disk, &(struct block_options){0});
	assert_int_equal(block->info.capacity, 1000000 / 512 * 512);
	assert_int_equal(block->info.logical_sector, 512);
	assert_true(block->info.physical_sector >= 4096);
	assert_false(block->info.readonly);
	assert_int_equal(block->info.direct, has_direct_io(d->disk));
	block_close(block);
	block = open_ok(&inst, d->disk, &(struct block_options){.direct = BLOCK_DIRECT_OFF});
	assert_false(block->info.direct);
	block_close(block);
	block = open_ok(&inst, d->disk, &(struct block_options){.readonly = true});
	assert_true(block->info.readonly);
	assert_false(block->info.discard);
	block_close(block);
	assert_int_equal(stat(d->disk, &st), 0);
	assert_int_equal(st.st_size, 1000000);
	assert_int_equal(st.st_blocks, 0);
}

/* ---- single requests --------------------------------------------------------------- */

struct io {
	struct block_req req;
	struct iovec iov[8];
	int result;
	int calls;
	struct block *block;
	struct io *then; /* submitted from done */
};

static void io_done(struct block_req *req, int result)
{
	struct io *io = (struct io *)req;

	io->result = result;
	io->calls++;
	if (io->then) {
		assert_int_equal(block_submit(io->block, &io->then->req), 0);
		block_kick(io->block);
	}
}

static void io_init(struct io *io, uint8_t op, void *buf, uint64_t offset, uint64_t length)
{
	*io = (struct io){.result = 1};
	io->iov[0] = (struct iovec){buf, length};
	io->req = (struct block_req){op, 1, io->iov, offset, length, .done = io_done};
}

static int run_one(struct block *block, struct gamut_inst *inst, uint8_t op, void *buf, uint64_t offset,
                   uint64_t length)
{
	struct io io;
	int error;

	io_init(&io, op, buf, offset, length);
	error = block_submit(block, &io.req);
	if (error)
		return error;
	assert_int_equal(io.calls, 0);
	block_kick(block);
	while (!io.calls)
		turn(inst);
	assert_int_equal(io.calls, 1);
	return io.result;
}

static const struct block_options ways[] = {
        {0},
        {.direct = BLOCK_DIRECT_OFF},
        {.queue_depth = 2},
        {.no_uring = true},
        {.no_uring = true, .direct = BLOCK_DIRECT_OFF},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void test_rejects_bad_requests(void **state)
{
	struct dir *d = *state;
	static char buf[8192];

	for (size_t i = 0; i < WAYS; i++) {
		struct gamut_inst inst;
		struct block *block = open_ok(&inst, d->disk, &ways[i]);
		struct io io;

		assert_int_equal(run_one(block, &inst, BLOCK_OP_COUNT, buf, 0, 512), -EINVAL);
		assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, 0, 0), -EINVAL);
		assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, 1, 512), -EINVAL);
		assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, 0, 511), -EINVAL);
		assert_int_equal(run_one(block, &inst, BLOCK_WRITE, buf, DISK_SIZE, 512), -EINVAL);
		assert_int_equal(run_one(block, &inst, BLOCK_WRITE, buf, DISK_SIZE - 512, 1024), -EINVAL);
		assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, UINT64_MAX - 511, 512), -EINVAL);
		assert_int_equal(run_one(block, &inst, BLOCK_DISCARD, NULL, DISK_SIZE, 512), -EINVAL);
		io_init(&io, BLOCK_READ, buf, 0, 4096);
		io.iov[0].iov_len = 8192;
		assert_int_equal(block_submit(block, &io.req), -EINVAL);
		io.iov[0].iov_len = 512;
		assert_int_equal(block_submit(block, &io.req), -EINVAL);
		io.req.n_iov = 0;
		assert_int_equal(block_submit(block, &io.req), -EINVAL);
		io.req.n_iov = BLOCK_MAX_IOV + 1;
		assert_int_equal(block_submit(block, &io.req), -EINVAL);
		block_close(block);
	}
}

static void test_readonly(void **state)
{
	struct dir *d = *state;
	static char buf[512];

	for (size_t i = 0; i < WAYS; i++) {
		struct block_options options = ways[i];
		struct gamut_inst inst;
		struct block *block;

		options.readonly = true;
		block = open_ok(&inst, d->disk, &options);
		assert_int_equal(run_one(block, &inst, BLOCK_WRITE, buf, 0, 512), -EROFS);
		assert_int_equal(run_one(block, &inst, BLOCK_DISCARD, NULL, 0, 4096), -EROFS);
		assert_int_equal(run_one(block, &inst, BLOCK_WRITE_ZEROES, NULL, 0, 4096), -EROFS);
		assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, 0, 512), 0);
		assert_int_equal(run_one(block, &inst, BLOCK_FLUSH, NULL, 0, 0), 0);
		block_close(block);
	}
}

static int now(struct block *block, uint8_t op, void *buf, uint64_t offset, uint64_t length)
{
	struct io io;
	int error;

	io_init(&io, op, buf, offset, length);
	error = block->ops->now(block, &io.req);
	assert_int_equal(io.calls, 0);
	return error;
}

static void test_at_once(void **state)
{
	static char buf[8192] __attribute__((aligned(4096)));
	struct dir *d = *state;

	for (size_t i = 0; i < WAYS; i++) {
		struct gamut_inst inst;
		struct block *block = open_ok(&inst, d->disk, &ways[i]);
		char want = (char)('a' + i);

		/* What bypasses the page cache cannot be had at once; what does not fit there is in the cache. */
		memset(buf, want, sizeof(buf));
		assert_int_equal(now(block, BLOCK_WRITE, buf, 8192, sizeof(buf)), block->info.direct ? -EAGAIN : 0);
		assert_int_equal(now(block, BLOCK_WRITE, buf + 1, 0, 512), 0);
		memset(buf, 0, sizeof(buf));
		assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, 0, 512), 0);
		assert_int_equal(buf[511], want);
		memset(buf, 0, sizeof(buf));
		/* tmpfs makes no promises, so a read may be refused. */
		if (!now(block, BLOCK_READ, buf + 1, 0, 512))
			assert_int_equal(buf[512], want);
		assert_int_equal(now(block, BLOCK_FLUSH, NULL, 0, 0), -EAGAIN);
		assert_int_equal(now(block, BLOCK_DISCARD, NULL, 0, 4096), -EAGAIN);
		assert_int_equal(now(block, BLOCK_WRITE, buf + 1, DISK_SIZE - 512, 1024), -EAGAIN);
		assert_int_equal(now(block, BLOCK_READ, buf + 1, DISK_SIZE, 512), -EAGAIN);
		assert_int_equal(now(block, BLOCK_READ, buf + 1, 1, 512), -EAGAIN);
		block_close(block);
	}
}

/* An answer that is cut short is no answer: the request is done again as a whole. */
static void test_at_once_truncated_below_us(void **state)
{
	const struct block_options options = {.direct = BLOCK_DIRECT_OFF};
	struct dir *d = *state;
	struct gamut_inst inst;
	struct block *block = open_ok(&inst, d->disk, &options);
	static char buf[8192];

	assert_int_equal(truncate(d->disk, 4096), 0);
	assert_int_equal(now(block, BLOCK_READ, buf, 0, 8192), -EAGAIN);
	assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, 0, 8192), -EIO);
	block_close(block);
}

/* ---- writes at once that take long ---------------------------------------------- */

enum { REALLY, SPINS, SLEEPS };
static int cached_write = REALLY;

static uint64_t ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* In the C library's place: takes long in a way that the test says. */
ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	uint64_t start = ms_now();

	if (cached_write == REALLY)
		return syscall(SYS_pwritev2, fd, iov, n, offset, 0, flags);
	if (cached_write == SLEEPS)
		usleep(200000);
	while (ms_now() < start + 4)
		;
	return (ssize_t)iov[0].iov_len;
}

/* A thread that lost its processor has not waited for the disk: only one that slept sends the next ones elsewhere. */
static void test_at_once_slowly(void **state)
{
	const struct block_options options = {.direct = BLOCK_DIRECT_OFF};
	struct dir *d = *state;
	struct gamut_inst inst;
	struct block *block = open_ok(&inst, d->disk, &options);
	static char buf[512];

	cached_write = SPINS;
	for (int i = 0; i < 20; i++)
		assert_int_equal(now(block, BLOCK_WRITE, buf, 0, sizeof(buf)), 0);
	cached_write = SLEEPS;
	while (!now(block, BLOCK_WRITE, buf, 0, sizeof(buf)))
		;
	/* And after a rest they are tried again. */
	cached_write = REALLY;
	while (now(block, BLOCK_WRITE, buf, 0, sizeof(buf)))
		usleep(10000);
	block_close(block);
}

static void test_at_once_readonly(void **state)
{
	const struct block_options options = {.direct = BLOCK_DIRECT_OFF, .readonly = true};
	struct dir *d = *state;
	struct gamut_inst inst;
	struct block *block = open_ok(&inst, d->disk, &options);
	static char buf[512];

	assert_int_equal(now(block, BLOCK_WRITE, buf, 0, 512), -EAGAIN);
	block_close(block);
}

static void test_truncated_below_us(void **state)
{
	struct dir *d = *state;
	char *buf = aligned_alloc(4096, 16384);

	for (size_t i = 0; i < WAYS; i++) {
		struct gamut_inst inst;
		struct block *block = open_ok(&inst, d->disk, &ways[i]);

		assert_int_equal(truncate(d->disk, 12288), 0);
		assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, 0, 8192), 0);
		/* Half of it is there. */
		assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, 8192, 8192), -EIO);
		assert_int_equal(run_one(block, &inst, BLOCK_READ, buf, 16384, 8192), -EIO);
		block_close(block);
		assert_int_equal(truncate(d->disk, DISK_SIZE), 0);
	}
	free(buf);
}

/* A file size limit cuts a write short; the rest of it must then fail, not be forgotten. */
static void test_short_write_then_error(void **state)
{
	struct dir *d = *state;
	struct rlimit old, limit;
	char *buf = aligned_alloc(4096, 16384);

	signal(SIGXFSZ, SIG_IGN);
	memset(buf, 0x5a, 16384);
	for (size_t i = 0; i < WAYS; i++) {
		struct gamut_inst inst;
		struct block *block = open_ok(&inst, d->disk, &ways[i]);

		assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
		limit = old;
		limit.rlim_cur = 8192;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(run_one(block, &inst, BLOCK_WRITE, buf, 4096, 16384), -EFBIG);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_int_equal(run_one(block, &inst, BLOCK_WRITE, buf, 4096, 16384), 0);
		block_close(block);
	}
	free(buf);
}

static void check_zeroed(struct block *block, struct gamut_inst *inst, uint8_t op)
{
	static const char zeros[65536];
	char *buf = aligned_alloc(4096, 65536 * 3);

	memset(buf, 0xa5, 65536 * 3);
	assert_int_equal(run_one(block, inst, BLOCK_WRITE, buf, 65536, 65536 * 3), 0);
	assert_int_equal(run_one(block, inst, op, NULL, 65536 * 2, 65536), 0);
	assert_int_equal(run_one(block, inst, BLOCK_READ, buf, 65536, 65536 * 3), 0);
	assert_memory_equal(buf + 65536, zeros, 65536);
	for (int i = 0; i < 65536; i++) {
		assert_int_equal((uint8_t)buf[i], 0xa5);
		assert_int_equal((uint8_t)buf[i + 2 * 65536], 0xa5);
	}
	free(buf);
}

static void test_discard_and_zeroes(void **state)
{
	struct dir *d = *state;

	for (size_t i = 0; i < WAYS; i++) {
		struct gamut_inst inst;
		struct block *block = open_ok(&inst, d->disk, &ways[i]);
		struct stat before, after;

		check_zeroed(block, &inst, BLOCK_WRITE_ZEROES);
		if (!block->info.discard) {
			block_close(block);
			continue;
		}
		assert_true(block->info.discard_granularity >= 512);
		check_zeroed(block, &inst, BLOCK_DISCARD);
		assert_int_equal(run_one(block, &inst, BLOCK_FLUSH, NULL, 0, 0), 0);
		assert_int_equal(stat(d->disk, &before), 0);
		assert_int_equal(run_one(block, &inst, BLOCK_DISCARD, NULL, 0, DISK_SIZE), 0);
		assert_int_equal(stat(d->disk, &after), 0);
		assert_true(before.st_blocks > after.st_blocks);
		assert_int_equal(after.st_size, DISK_SIZE);
		block_close(block);
	}
}

static void test_discard_turned_off(void **state)
{
	struct dir *d = *state;
	struct gamut_inst inst;
	struct block *block = open_ok(&inst, d->disk, &(struct block_options){.no_discard = true});

	assert_false(block->info.discard);
	assert_int_equal(block->info.discard_granularity, 0);
	assert_int_equal(run_one(block, &inst, BLOCK_DISCARD, NULL, 0, 4096), -EOPNOTSUPP);
	block_close(block);
}

static void test_drain_follows_done(void **state)
{
	struct dir *d = *state;
	static char buf[3][512];

	for (size_t i = 0; i < WAYS; i++) {
		struct gamut_inst inst;
		struct block *block = open_ok(&inst, d->disk, &ways[i]);
		struct io io[3];

		for (int k = 0; k < 3; k++) {
			io_init(&io[k], BLOCK_WRITE, buf[k], (uint64_t)k * 512, 512);
			io[k].block = block;
			io[k].then = k < 2 ? &io[k + 1] : NULL;
		}
		assert_int_equal(block_submit(block, &io[0].req), 0);
		/* Never kicked: drain does. */
		block_drain(block);
		for (int k = 0; k < 3; k++) {
			assert_int_equal(io[k].calls, 1);
			assert_int_equal(io[k].result, 0);
		}
		block_drain(block);
		block_close(block);
	}
}

/* ---- random transfers against a model ------------------------------------------------- */

#define BATCH 24
#define SLICE (DISK_SIZE / BATCH / 4096 * 4096)

struct model {
	uint8_t *disk;
	uint64_t seed;
};

static uint32_t roll(struct model *m, uint32_t below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (uint32_t)(m->seed >> 20) % below;
}

/* One request inside its own slice of the disk, so that none overlap; memory and sizes of all alignments. */
static void deal(struct model *m, struct io *io, uint8_t *buf, uint32_t slice, uint8_t op)
{
	uint32_t unit = roll(m, 2) ? 512 : 4096;
	uint32_t offset = roll(m, SLICE / unit) * unit,
	         length = unit * (1 + roll(m, (SLICE - offset) / unit));
	uint8_t *at = buf + (roll(m, 2) ? 0 : roll(m, 4096));
	uint32_t left = length, n = 0;

	io_init(io, op, NULL, (uint64_t)slice * SLICE + offset, length);
	while (left) {
		uint32_t part = n == 7 ? left : 1 + roll(m, left);

		if (roll(m, 2) && part < left)
			part = (part + 511) / 512 * 512 < left ? (part + 511) / 512 * 512 : left;
		io->iov[n++] = (struct iovec){at, part};
		at += part;
		left -= part;
	}
	io->req.n_iov = n;
}

static void random_fill(struct model *m, uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)roll(m, 256);
}

static void run_batch(struct model *m, struct block *block, struct gamut_inst *inst, uint8_t **buf)
{
	struct io io[BATCH];
	uint8_t *start[BATCH];

	for (uint32_t i = 0; i < BATCH; i++) {
		uint8_t op = roll(m, 2) ? BLOCK_READ : BLOCK_WRITE;

		deal(m, &io[i], buf[i], i, op);
		start[i] = io[i].iov[0].iov_base;
		if (op == BLOCK_WRITE) {
			random_fill(m, start[i], io[i].req.length < 5000 ? io[i].req.length : 5000);
			memcpy(m->disk + io[i].req.offset, start[i], io[i].req.length);
		}
		assert_int_equal(block_submit(block, &io[i].req), 0);
		if (!roll(m, 5))
			block_kick(block);
	}
	block_kick(block);
	if (roll(m, 4) == 0)
		block_drain(block);
	for (uint32_t i = 0; i < BATCH; i++) {
		while (!io[i].calls)
			turn(inst);
		assert_int_equal(io[i].calls, 1);
		assert_int_equal(io[i].result, 0);
		assert_memory_equal(start[i], m->disk + io[i].req.offset, io[i].req.length);
	}
}

static void test_random_against_model(void **state)
{
	struct dir *d = *state;
	struct model m = {calloc(1, DISK_SIZE), 0x9e3779b97f4a7c15ull};
	uint8_t *buf[BATCH], *back = malloc(DISK_SIZE);

	for (int i = 0; i < BATCH; i++)
		buf[i] = aligned_alloc(4096, SLICE + 8192);
	for (size_t way = 0; way < WAYS; way++) {
		struct gamut_inst inst;
		struct block *block = open_ok(&inst, d->disk, &ways[way]);
		int fd;

		for (int round = 0; round < 20; round++)
			run_batch(&m, block, &inst, buf);
		assert_int_equal(run_one(block, &inst, BLOCK_FLUSH, NULL, 0, 0), 0);
		block_close(block);
		fd = open(d->disk, O_RDONLY | O_CLOEXEC);
		assert_int_equal(read(fd, back, DISK_SIZE), DISK_SIZE);
		close(fd);
		assert_memory_equal(back, m.disk, DISK_SIZE);
	}
	for (int i = 0; i < BATCH; i++)
		free(buf[i]);
	free(back);
	free(m.disk);
}

/* ---- outcomes, without a kernel ----------------------------------------------------------- */

static struct raw plain_raw(void)
{
	return (struct raw){
	        .block.info = {.capacity = DISK_SIZE, .logical_sector = 512, .discard = true},
	        .file = {.fd = 10, .direct_fd = 11, .memory_align = 512, .offset_align = 4096},
	        .zero_mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
}

static void test_short_transfers_continue(void **state)
{
	struct raw raw = plain_raw();
	struct io io;
	char *base = (char *)0x10000;

	(void)state;
	io_init(&io, BLOCK_READ, base, 4096, 12288);
	io.iov[0] = (struct iovec){base, 4096};
	io.iov[1] = (struct iovec){base + 8192, 0};
	io.iov[2] = (struct iovec){base + 8192, 8192};
	io.req.n_iov = 3;
	assert_int_equal(raw_accept(&raw, &io.req), 0);
	assert_int_equal(raw_fd(&raw, &io.req), 11);
	/* One aligned entry done: still direct, empty entry skipped. */
	assert_false(raw_advance(&raw, &io.req, 4096));
	assert_int_equal(io.req.first, 2);
	assert_int_equal(io.req.moved, 4096);
	assert_int_equal(raw_fd(&raw, &io.req), 11);
	/* An odd end: the rest goes through the page cache. */
	assert_false(raw_advance(&raw, &io.req, 1000));
	assert_ptr_equal(io.iov[2].iov_base, base + 8192 + 1000);
	assert_int_equal(io.iov[2].iov_len, 7192);
	assert_int_equal(raw_fd(&raw, &io.req), 10);
	assert_false(raw_advance(&raw, &io.req, 7191));
	assert_true(raw_advance(&raw, &io.req, 1));
	assert_int_equal(io.req.result, 0);
}

static bool goes_direct(uintptr_t memory, uint64_t offset, uint64_t length)
{
	struct raw raw = plain_raw();
	struct io io;

	io_init(&io, BLOCK_READ, (void *)memory, offset, length);
	assert_int_equal(raw_accept(&raw, &io.req), 0);
	return io.req.direct;
}

static void test_direct_when_aligned(void **state)
{
	(void)state;
	assert_true(goes_direct(0x10000, 0, 4096));
	assert_true(goes_direct(0x10200, 8192, 8192));
	assert_false(goes_direct(0x10100, 8192, 8192));
	assert_false(goes_direct(0x10000, 512, 4096));
	assert_false(goes_direct(0x10000, 0, 512));
}

static void test_ranges_do_not_overflow(void **state)
{
	struct raw raw = plain_raw();
	struct io io;

	(void)state;
	for (uint8_t op = 0; op < BLOCK_OP_COUNT; op++) {
		int expect = op == BLOCK_FLUSH ? 0 : -EINVAL;

		io_init(&io, op, (void *)0x10000, UINT64_MAX - 511, 512);
		assert_int_equal(raw_accept(&raw, &io.req), expect);
		io_init(&io, op, (void *)0x10000, 512, UINT64_MAX - 511);
		assert_int_equal(raw_accept(&raw, &io.req), expect);
	}
}

static void test_outcomes(void **state)
{
	struct raw raw = plain_raw();
	struct io io;

	(void)state;
	io_init(&io, BLOCK_WRITE, (void *)0x10000, 0, 8192);
	assert_int_equal(raw_accept(&raw, &io.req), 0);
	assert_false(raw_advance(&raw, &io.req, -EINTR));
	assert_false(raw_advance(&raw, &io.req, -EAGAIN));
	assert_true(io.req.direct);
	assert_false(raw_advance(&raw, &io.req, -EINVAL));
	assert_false(io.req.direct);
	assert_true(raw_advance(&raw, &io.req, -EINVAL));
	assert_int_equal(io.req.result, -EINVAL);
	assert_int_equal(raw_accept(&raw, &io.req), 0);
	assert_true(raw_advance(&raw, &io.req, -ENOSPC));
	assert_int_equal(io.req.result, -ENOSPC);
	assert_int_equal(raw_accept(&raw, &io.req), 0);
	assert_true(raw_advance(&raw, &io.req, 0));
	assert_int_equal(io.req.result, -EIO);
	assert_int_equal(raw_accept(&raw, &io.req), 0);
	for (uint32_t i = 0; i < RAW_MAX_RETRIES; i++)
		assert_false(raw_advance(&raw, &io.req, -EAGAIN));
	assert_true(raw_advance(&raw, &io.req, -EAGAIN));
	assert_int_equal(io.req.result, -EIO);
}

static void test_zeroes_fall_back_to_a_hole(void **state)
{
	struct raw raw = plain_raw();
	struct io io;

	(void)state;
	io_init(&io, BLOCK_WRITE_ZEROES, NULL, 0, 8192);
	assert_int_equal(raw_accept(&raw, &io.req), 0);
	assert_int_equal(raw_fallocate_mode(&raw, &io.req), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	assert_false(raw_advance(&raw, &io.req, -EOPNOTSUPP));
	assert_int_equal(raw_fallocate_mode(&raw, &io.req), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	assert_true(raw_advance(&raw, &io.req, -EOPNOTSUPP));
	assert_int_equal(io.req.result, -EOPNOTSUPP);
}

/* ---- a host without io_uring ---------------------------------------------------------------- */

static bool forbid_uring(void)
{
	struct sock_filter code[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Exit status of a process that may not use io_uring: 0 when the disk works all the same. */
static int use_disk_without_uring(const char *path)
{
	struct gamut_inst inst = {.fd = -1};
	static char buf[512];
	struct block *block;
	char err[256];
	struct io io;

	if (!forbid_uring())
		return 77;
	block = block_open(&host, &inst, path, &(struct block_options){0}, err, sizeof(err));
	if (!block)
		return 1;
	io_init(&io, BLOCK_WRITE, buf, 0, sizeof(buf));
	if (strcmp(block->info.driver, "threads") || block_submit(block, &io.req))
		return 2;
	block_drain(block);
	block_close(block);
	return io.calls == 1 && io.result == 0 ? 0 : 3;
}

static void test_falls_back_to_threads(void **state)
{
	struct dir *d = *state;
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child)
		_exit(use_disk_without_uring(d->disk));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        FILE_TEST(test_refuses_missing),
	        FILE_TEST(test_refuses_what_is_no_disk),
	        FILE_TEST(test_refuses_to_write_read_only_file),
	        FILE_TEST(test_locks),
	        FILE_TEST(test_info),
	        FILE_TEST(test_rejects_bad_requests),
	        FILE_TEST(test_readonly),
	        FILE_TEST(test_at_once),
	        FILE_TEST(test_at_once_truncated_below_us),
	        FILE_TEST(test_at_once_slowly),
	        FILE_TEST(test_at_once_readonly),
	        FILE_TEST(test_truncated_below_us),
	        FILE_TEST(test_short_write_then_error),
	        FILE_TEST(test_discard_and_zeroes),
	        FILE_TEST(test_discard_turned_off),
	        FILE_TEST(test_drain_follows_done),
	        FILE_TEST(test_random_against_model),
	        FILE_TEST(test_falls_back_to_threads),
	        cmocka_unit_test(test_short_transfers_continue),
	        cmocka_unit_test(test_direct_when_aligned),
	        cmocka_unit_test(test_ranges_do_not_overflow),
	        cmocka_unit_test(test_outcomes),
	        cmocka_unit_test(test_zeroes_fall_back_to_a_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
