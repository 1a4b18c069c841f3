/* SPDX-License-Identifier: MIT */
/*
 * Raw images through io_uring.
 *
 * submit puts a request into `waiting`, in memory; kick moves as many as the
 * ring has room for into submission entries and hands them to the kernel with
 * one system call. At most `depth` are in the ring at a time, and the
 * completion queue is twice that, so completions cannot overflow; the others
 * stay in `waiting` until some have come back.
 *
 * Completions are announced by an eventfd on the I/O loop. The same eventfd is
 * rung by ourselves when the kernel is short of memory for a submission, so
 * that the loop comes back and tries again; nothing sleeps here but drain.
 *
 * The ring is made on one thread, used on another and drained on the first
 * (with the second parked), hence none of the IORING_SETUP flags that promise
 * a single issuer, or that leave completion work to whoever next enters the
 * kernel.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "dm/block/raw.h"

#define DEFAULT_DEPTH 128u
#define MAX_DEPTH     4096u

/* Indices of the registered files. */
enum { FIXED_BUFFERED = 0, FIXED_DIRECT = 1 };

struct raw_ring {
	struct raw raw;
	struct io_uring ring;
	struct block_queue waiting;
	uint32_t inflight; /* have an entry in the ring, submitted or not */
	uint32_t depth;
	bool fixed_files;
	int event_fd;
	struct gamut_watch *watch;
};

static struct raw_ring *ring_of(struct block *block)
{
	return (struct raw_ring *)block;
}

static int ring_submit(struct block *block, struct block_req *req)
{
	struct raw_ring *r = ring_of(block);
	int error = raw_accept(&r->raw, req);

	if (!error)
		block_queue_push(&r->waiting, req);
	return error;
}

static void prepare(struct raw_ring *r, struct io_uring_sqe *sqe, struct block_req *req)
{
	int fd = r->fixed_files ? (req->direct ? FIXED_DIRECT : FIXED_BUFFERED) : raw_fd(&r->raw, req);
	struct iovec *iov = req->iov + req->first;
	uint32_t n_iov = req->n_iov - req->first;
	uint64_t offset = req->offset + req->moved;

	switch (req->op) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, fd, iov, n_iov, offset);
		break;
	case BLOCK_WRITE:
		io_uring_prep_writev(sqe, fd, iov, n_iov, offset);
		break;
	case BLOCK_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(sqe, fd, raw_fallocate_mode(&r->raw, req), (off_t)req->offset,
		                        (off_t)req->length);
		break;
	}
	if (r->fixed_files)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, req);
}

static void fill(struct raw_ring *r)
{
	while (r->waiting.head && r->inflight < r->depth) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

		if (!sqe)
			break;
		prepare(r, sqe, block_queue_pop(&r->waiting));
		r->inflight++;
	}
}

static void ring_kick(struct block *block)
{
	struct raw_ring *r = ring_of(block);
	int n;

	fill(r);
	while (io_uring_sq_ready(&r->ring)) {
		n = io_uring_submit(&r->ring);
		if (n == -EINTR)
			continue;
		/* Short of memory, or completions are to be taken first: come back from the loop. */
		if (n <= 0) {
			eventfd_write(r->event_fd, 1);
			break;
		}
	}
}

static void reap(struct raw_ring *r)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&r->ring, &cqe) == 0 && cqe) {
		struct block_req *req = io_uring_cqe_get_data(cqe);
		int outcome = cqe->res;

		/* The entry goes back before done runs: done may kick. */
		io_uring_cqe_seen(&r->ring, cqe);
		r->inflight--;
		if (raw_advance(&r->raw, req, outcome))
			req->done(req, req->result);
		else
			block_queue_push(&r->waiting, req);
	}
}

static void on_event(void *opaque, int fd, uint32_t events)
{
	struct raw_ring *r = opaque;
	eventfd_t count;

	(void)events;
	(void)eventfd_read(fd, &count);
	reap(r);
	if (r->waiting.head || io_uring_sq_ready(&r->ring))
		ring_kick(&r->raw.block);
}

static void pause_briefly(void)
{
	const struct timespec one_ms = {.tv_nsec = 1000000};

	nanosleep(&one_ms, NULL);
}

static void ring_drain(struct block *block)
{
	struct raw_ring *r = ring_of(block);

	while (r->inflight || r->waiting.head) {
		int n;

		fill(r);
		n = io_uring_submit_and_wait(&r->ring, 1);
		if (n < 0 && n != -EINTR)
			pause_briefly();
		reap(r);
	}
}

static void ring_close(struct block *block)
{
	struct raw_ring *r = ring_of(block);

	ring_drain(block);
	r->raw.host->fd_unwatch(r->raw.inst, r->watch);
	if (r->fixed_files)
		io_uring_unregister_files(&r->ring);
	io_uring_queue_exit(&r->ring);
	close(r->event_fd);
	raw_file_close(&r->raw.file);
	free(r);
}

static const struct block_ops ring_ops = {
        .submit = ring_submit,
        .kick = ring_kick,
        .drain = ring_drain,
        .close = ring_close,
        .now = raw_now,
};

static int check_opcodes(struct io_uring *ring)
{
	static const uint8_t needed[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
	                                 IORING_OP_FALLOCATE};
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	int error = probe ? 0 : -ENOSYS;

	for (size_t i = 0; !error && i < sizeof(needed); i++)
		if (!io_uring_opcode_supported(probe, needed[i]))
			error = -ENOSYS;
	io_uring_free_probe(probe);
	return error;
}

static int setup(struct raw_ring *r)
{
	int files[] = {r->raw.file.fd, r->raw.file.direct_fd};
	int error = check_opcodes(&r->ring);

	if (!error)
		error = io_uring_register_eventfd(&r->ring, r->event_fd);
	if (error)
		return error;
	/* Saves a reference count per request; not worth failing for. */
	r->fixed_files = io_uring_register_files(&r->ring, files, files[1] < 0 ? 1 : 2) == 0;
	r->watch = r->raw.host->fd_watch(r->raw.inst, r->event_fd, GAMUT_FD_IN, on_event, r);
	return r->watch ? 0 : -ENOMEM;
}

int raw_ring_create(const struct raw *model, const struct block_options *options, struct block **block)
{
	struct raw_ring *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return -ENOMEM;
	r->raw = *model;
	r->raw.block.ops = &ring_ops;
	r->raw.block.info.driver = "io_uring";
	r->depth = options->queue_depth ? options->queue_depth : DEFAULT_DEPTH;
	if (r->depth > MAX_DEPTH)
		r->depth = MAX_DEPTH;
	r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->event_fd < 0) {
		error = -errno;
		goto free_ring;
	}
	error = io_uring_queue_init(r->depth, &r->ring, 0);
	if (error)
		goto close_event;
	error = setup(r);
	if (error)
		goto exit_queue;
	*block = &r->raw.block;
	return 0;

exit_queue:
	io_uring_queue_exit(&r->ring);
close_event:
	close(r->event_fd);
free_ring:
	free(r);
	return error;
}
