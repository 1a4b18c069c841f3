/* SPDX-License-Identifier: MIT */
/*
 * Images of other formats, through a real qemu-nbd: random transfers against a
 * model in memory, what is refused, and a server that dies. Skipped where there
 * is no qemu-nbd or qemu-img.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dm/block/block.h"

#define DISK_SIZE (4u << 20)

/* ---- a host that watches one descriptor ---- */

struct gamut_inst {
	int fd;
	uint32_t events;
	gamut_fd_fn fn;
	void *opaque;
	uint32_t errors;
	char log[256];
};

static void GAMUT_PRINTF(3, 4) host_log(struct gamut_inst *inst, int level, const char *fmt, ...)
{
	va_list ap;

	inst->errors += level == GAMUT_LOG_ERROR;
	va_start(ap, fmt);
	vsnprintf(inst->log, sizeof(inst->log), fmt, ap);
	va_end(ap);
}

static struct gamut_watch *host_fd_watch(struct gamut_inst *inst, int fd, uint32_t events, gamut_fd_fn fn,
                                         void *opaque)
{
	assert_int_equal(inst->fd, -1);
	inst->fd = fd;
	inst->events = events;
	inst->fn = fn;
	inst->opaque = opaque;
	return (struct gamut_watch *)inst;
}

static int host_fd_modify(struct gamut_inst *inst, struct gamut_watch *watch, uint32_t events)
{
	assert_ptr_equal(watch, inst);
	inst->events = events;
	return 0;
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
	.fd_modify = host_fd_modify,
	.fd_unwatch = host_fd_unwatch,
};

/* One turn of the I/O loop. */
static void turn(struct gamut_inst *inst)
{
	struct pollfd p = { .fd = inst->fd,
		            .events = (short)((inst->events & GAMUT_FD_IN ? POLLIN : 0) |
		                              (inst->events & GAMUT_FD_OUT ? POLLOUT : 0)) };

	assert_int_equal(poll(&p, 1, 20000), 1);
	inst->fn(inst->opaque, inst->fd,
	         (p.revents & POLLIN ? GAMUT_FD_IN : 0) | (p.revents & POLLOUT ? GAMUT_FD_OUT : 0) |
	                 (p.revents & (POLLERR | POLLHUP) ? GAMUT_FD_ERR : 0));
}

/* ---- images ---- */

struct dir {
	char path[64];
	char disk[128];
};

static int dir_setup(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));

	snprintf(d->path, sizeof(d->path), "nbd-test-XXXXXX");
	assert_non_null(mkdtemp(d->path));
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

static int run(const char *const argv[])
{
	pid_t pid = fork();
	int status, null;

	if (!pid) {
		null = open("/dev/null", O_RDWR);
		dup2(null, 1);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Skips the test where the programs are not there. */
static void make_image(struct dir *d, const char *driver, const char *suffix)
{
	char name[16], size[16];
	const char *argv[] = { "qemu-img", "create", "-q", "-f", name, d->disk, size, NULL };
	const char *probe[] = { "qemu-nbd", "--version", NULL };

	snprintf(name, sizeof(name), "%s", driver);
	snprintf(size, sizeof(size), "%u", DISK_SIZE);
	snprintf(d->disk, sizeof(d->disk), "%s/disk.%s", d->path, suffix);
	if (run(probe) == 127)
		skip();
	assert_int_equal(run(argv), 0);
}

static struct block *open_ok(struct gamut_inst *inst, const char *path, const struct block_options *options)
{
	char err[256] = "";
	struct block *block;

	*inst = (struct gamut_inst){ .fd = -1 };
	block = block_open(&host, inst, path, options, err, sizeof(err));
	if (!block)
		fail_msg("%s", err);
	return block;
}

/* ---- requests ---- */

struct io {
	struct block_req req;
	struct iovec iov[64];
	uint32_t done;
	int result;
};

static void io_done(struct block_req *req, int result)
{
	struct io *io = (struct io *)req;

	io->done++;
	io->result = result;
}

/* The buffer in pieces of `step` bytes, every other one away from where it would continue. */
static void io_fill(struct io *io, uint8_t op, uint64_t offset, uint8_t *buf, uint64_t len, uint64_t step)
{
	*io = (struct io){ .req = { .op = op, .offset = offset, .length = len, .done = io_done, .iov = io->iov } };
	for (uint64_t at = 0; at < len; at += step)
		io->iov[io->req.n_iov++] = (struct iovec){ buf + at, len - at < step ? len - at : step };
	/* Swapping the ends scatters them: the data are then in another order, the same both ways. */
	for (uint32_t i = 0; i + 3 < io->req.n_iov; i += 4) {
		struct iovec t = io->iov[i];

		io->iov[i] = io->iov[i + 2];
		io->iov[i + 2] = t;
	}
}

static int io_run(struct block *block, struct gamut_inst *inst, struct io *io)
{
	int rc = block_submit(block, &io->req);

	if (rc)
		return rc;
	assert_int_equal(io->done, 0);
	block_kick(block);
	while (!io->done)
		turn(inst);
	assert_int_equal(io->done, 1);
	return io->result;
}

static int simple(struct block *block, struct gamut_inst *inst, uint8_t op, uint64_t offset, void *buf, uint64_t len)
{
	struct io io;

	io_fill(&io, op, offset, buf, op == BLOCK_READ || op == BLOCK_WRITE ? len : 0, len ? len : 1);
	io.req.length = len;
	return io_run(block, inst, &io);
}

static void random_transfers(struct dir *d, const char *driver, const char *suffix)
{
	const struct block_options options = { .queue_depth = 4 };
	static uint8_t model[DISK_SIZE], a[1u << 20], b[1u << 20];
	struct gamut_inst inst;
	struct block *block;
	struct io io;

	make_image(d, driver, suffix);
	memset(model, 0, sizeof(model));
	srand(7);
	block = open_ok(&inst, d->disk, &options);
	assert_true(block->info.capacity >= DISK_SIZE);
	assert_string_equal(block->info.driver, "nbd");
	for (int round = 0; round < 300; round++) {
		uint64_t at = (uint64_t)(rand() % (int)(DISK_SIZE / 512)) * 512;
		uint64_t len = ((uint64_t)(rand() % 128) + 1) * 512;
		uint64_t step = rand() % 2 ? len : 4096;
		bool write = rand() % 2;

		if (len > DISK_SIZE - at)
			len = DISK_SIZE - at;
		for (uint64_t i = 0; i < len; i++)
			a[i] = (uint8_t)rand();
		/* What the scattered pieces hold, in the order of the disk. */
		io_fill(&io, write ? BLOCK_WRITE : BLOCK_READ, at, a, len, step);
		for (uint64_t i = 0, n = 0; i < io.req.n_iov; n += io.iov[i++].iov_len)
			memcpy(b + n, io.iov[i].iov_base, io.iov[i].iov_len);
		if (write)
			memcpy(model + at, b, len);
		assert_int_equal(io_run(block, &inst, &io), 0);
		io_fill(&io, BLOCK_READ, at, a, len, step);
		for (uint64_t i = 0, n = 0; !write && i < io.req.n_iov; n += io.iov[i++].iov_len)
			assert_memory_equal(model + at + n, io.iov[i].iov_base, io.iov[i].iov_len);
		if (round % 50 == 0)
			assert_int_equal(simple(block, &inst, BLOCK_FLUSH, 0, NULL, 0), 0);
	}
	if (block->info.discard)
		assert_int_equal(simple(block, &inst, BLOCK_DISCARD, 0, NULL, 65536), 0);
	assert_int_equal(simple(block, &inst, BLOCK_WRITE_ZEROES, 0, NULL, 65536), 0);
	memset(model, 0, 65536);
	block_close(block);
	assert_int_equal(inst.fd, -1);
	assert_int_equal(inst.errors, 0);

	/* What was written is in the image, for whoever opens it next. */
	block = open_ok(&inst, d->disk, &(struct block_options){ .readonly = true });
	for (uint64_t at = 0; at < DISK_SIZE; at += sizeof(a)) {
		assert_int_equal(simple(block, &inst, BLOCK_READ, at, a, sizeof(a)), 0);
		assert_memory_equal(a, model + at, sizeof(a));
	}
	assert_int_equal(simple(block, &inst, BLOCK_WRITE, 0, a, 512), -EROFS);
	assert_int_equal(simple(block, &inst, BLOCK_READ, block->info.capacity, a, 512), -EINVAL);
	block_close(block);
}

static void qcow2(void **state)
{
	random_transfers(*state, "qcow2", "qcow2");
}

static void vhd(void **state)
{
	random_transfers(*state, "vpc", "vhd");
}

static void vmdk(void **state)
{
	random_transfers(*state, "vmdk", "vmdk");
}

/* More at a time than there are slots, in one go and drained. */
static void many_at_a_time(void **state)
{
	static struct io io[40];
	static uint8_t buf[40][8192], back[8192];
	struct dir *d = *state;
	struct gamut_inst inst;
	struct block *block;

	make_image(d, "qcow2", "qcow2");
	block = open_ok(&inst, d->disk, &(struct block_options){ .queue_depth = 4 });
	for (uint32_t i = 0; i < 40; i++) {
		memset(buf[i], (int)i + 1, sizeof(buf[i]));
		io_fill(&io[i], BLOCK_WRITE, i * sizeof(buf[i]), buf[i], sizeof(buf[i]), i % 2 ? 512 : 8192);
		assert_int_equal(block_submit(block, &io[i].req), 0);
	}
	block_kick(block);
	block_drain(block);
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(io[i].result, 0);
		assert_int_equal(simple(block, &inst, BLOCK_READ, i * sizeof(back), back, sizeof(back)), 0);
		assert_memory_equal(back, buf[i], sizeof(back));
	}
	block_close(block);
}

static void what_is_no_image_is_refused(void **state)
{
	struct dir *d = *state;
	struct gamut_inst inst = { .fd = -1 };
	char err[256] = "";
	int fd;

	make_image(d, "qcow2", "qcow2");
	fd = open(d->disk, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
	close(fd);
	assert_null(block_open(&host, &inst, d->disk, &(struct block_options){ 0 }, err, sizeof(err)));
	assert_int_equal(strncmp(err, d->disk, strlen(d->disk)), 0);
	if (!strstr(err, "not in qcow2 format"))
		fail_msg("'%s' does not say why", err);
	assert_int_equal(inst.fd, -1);
}

static pid_t server_of(const char *path)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	while (!found && (e = readdir(proc))) {
		char file[300], text[512];
		ssize_t n;
		int fd;

		snprintf(file, sizeof(file), "/proc/%s/cmdline", e->d_name);
		fd = open(file, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
		if (fd >= 0)
			close(fd);
		if (n > 0 && !strncmp(text, "qemu-nbd", 8) && memmem(text, (size_t)n, path, strlen(path)))
			found = (pid_t)atoi(e->d_name);
	}
	closedir(proc);
	return found;
}

/* Nothing hangs, everything fails, it is said once, and nothing is left of it. */
static void a_server_that_dies(void **state)
{
	static struct io io[8];
	static uint8_t buf[8][4096];
	struct dir *d = *state;
	struct gamut_inst inst;
	struct block *block;
	pid_t server;

	make_image(d, "qcow2", "qcow2");
	block = open_ok(&inst, d->disk, &(struct block_options){ .queue_depth = 2 });
	server = server_of(d->disk);
	assert_int_not_equal(server, 0);
	assert_int_equal(kill(server, SIGSTOP), 0);
	for (uint32_t i = 0; i < 8; i++) {
		io_fill(&io[i], BLOCK_WRITE, i * 4096, buf[i], 4096, 4096);
		assert_int_equal(block_submit(block, &io[i].req), 0);
	}
	block_kick(block);
	assert_int_equal(kill(server, SIGKILL), 0);
	block_drain(block);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(io[i].result, -EIO);
	}
	assert_int_equal(simple(block, &inst, BLOCK_READ, 0, buf[0], 512), -EIO);
	assert_int_equal(simple(block, &inst, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	assert_int_equal(inst.errors, 1);
	block_close(block);
	assert_int_equal(inst.errors, 1);
	assert_int_equal(kill(server, 0), -1);
}

static void no_program_says_which_package(void **state)
{
	struct dir *d = *state;
	struct gamut_inst inst = { .fd = -1 };
	char err[256] = "", *path;

	make_image(d, "qcow2", "qcow2");
	path = strdup(getenv("PATH"));
	setenv("PATH", d->path, 1);
	assert_null(block_open(&host, &inst, d->disk, &(struct block_options){ 0 }, err, sizeof(err)));
	setenv("PATH", path, 1);
	free(path);
	assert_int_equal(errno, ENOENT);
	assert_non_null(strstr(err, "qemu-utils"));
}

/* A raw disk whose guest wrote a header of another format stays a raw disk, and that is said. */
static void content_is_not_believed(void **state)
{
	struct dir *d = *state;
	struct gamut_inst inst;
	struct block *block;
	char raw[160];

	make_image(d, "qcow2", "qcow2");
	snprintf(raw, sizeof(raw), "%s/disk.img", d->path);
	assert_int_equal(rename(d->disk, raw), 0);
	strcpy(d->disk, raw);
	block = open_ok(&inst, raw, &(struct block_options){ 0 });
	assert_string_not_equal(block->info.driver, "nbd");
	assert_non_null(strstr(inst.log, "looks like qcow2"));
	block_close(block);
	block = open_ok(&inst, raw, &(struct block_options){ .format = "raw" });
	assert_string_not_equal(block->info.driver, "nbd");
	assert_null(strstr(inst.log, "looks like"));
	block_close(block);
	block = open_ok(&inst, raw, &(struct block_options){ .format = "qcow2" });
	assert_string_equal(block->info.driver, "nbd");
	assert_int_equal(block->info.capacity, DISK_SIZE);
	block_close(block);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(qcow2),
		CASE(vhd),
		CASE(vmdk),
		CASE(many_at_a_time),
		CASE(what_is_no_image_is_refused),
		CASE(a_server_that_dies),
		CASE(no_program_says_which_package),
		CASE(content_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
