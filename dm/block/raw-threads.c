/* SPDX-License-Identifier: MIT */
/*
 * Raw images through a few threads that make blocking system calls, for hosts
 * where io_uring is missing or forbidden. Slower by a wake-up per batch; the
 * same answers.
 *
 * [io] owns `waiting`. kick moves it to `todo` under the lock; workers move
 * requests one by one from there to `finished` and ring the eventfd; [io]
 * takes them and calls done without the lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dm/block/raw.h"

#define WORKERS 4

struct raw_threads {
	struct raw raw;
	struct block_queue waiting; /* [io] */
	uint32_t inflight;        /* [io]: kicked and not yet done */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t work;  /* todo or stop changed */
	pthread_cond_t ended; /* finished changed */
	struct block_queue todo, finished;
	bool stop;

	int event_fd;
	struct gamut_watch *watch;
	uint32_t n_workers;
	pthread_t workers[WORKERS];
};

static struct raw_threads *threads_of(struct block *block)
{
	return (struct raw_threads *)block;
}

static ssize_t issue(struct raw *raw, struct block_req *req)
{
	const struct iovec *iov = req->iov + req->first;
	int n_iov = (int)(req->n_iov - req->first);
	off_t offset = (off_t)(req->offset + req->moved);
	int fd = raw_fd(raw, req);
	ssize_t n;

	switch (req->op) {
	case BLOCK_READ:
		n = preadv(fd, iov, n_iov, offset);
		break;
	case BLOCK_WRITE:
		n = pwritev(fd, iov, n_iov, offset);
		break;
	case BLOCK_FLUSH:
		n = fdatasync(fd);
		break;
	default:
		n = fallocate(fd, raw_fallocate_mode(raw, req), (off_t)req->offset, (off_t)req->length);
		break;
	}
	return n < 0 ? -errno : n;
}

static void *work(void *opaque)
{
	struct raw_threads *t = opaque;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		struct block_req *req = block_queue_pop(&t->todo);

		if (!req && t->stop)
			break;
		if (!req) {
			pthread_cond_wait(&t->work, &t->lock);
			continue;
		}
		pthread_mutex_unlock(&t->lock);
		while (!raw_advance(&t->raw, req, issue(&t->raw, req)))
			;
		pthread_mutex_lock(&t->lock);
		block_queue_push(&t->finished, req);
		pthread_cond_signal(&t->ended);
		eventfd_write(t->event_fd, 1);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static int threads_submit(struct block *block, struct block_req *req)
{
	struct raw_threads *t = threads_of(block);
	int error = raw_accept(&t->raw, req);

	if (!error)
		block_queue_push(&t->waiting, req);
	return error;
}

static void threads_kick(struct block *block)
{
	struct raw_threads *t = threads_of(block);

	if (!t->waiting.head)
		return;
	for (const struct block_req *req = t->waiting.head; req; req = req->next)
		t->inflight++;
	pthread_mutex_lock(&t->lock);
	block_queue_splice(&t->todo, &t->waiting);
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
}

/* Calls done for what has finished; wait nonzero: sleeps until something has. */
static void reap(struct raw_threads *t, bool wait)
{
	struct block_queue batch = {0};
	struct block_req *req;

	pthread_mutex_lock(&t->lock);
	while (wait && !t->finished.head)
		pthread_cond_wait(&t->ended, &t->lock);
	block_queue_splice(&batch, &t->finished);
	pthread_mutex_unlock(&t->lock);
	while ((req = block_queue_pop(&batch))) {
		t->inflight--;
		req->done(req, req->result);
	}
}

static void on_event(void *opaque, int fd, uint32_t events)
{
	eventfd_t count;

	(void)events;
	(void)eventfd_read(fd, &count);
	reap(opaque, false);
}

static void threads_drain(struct block *block)
{
	struct raw_threads *t = threads_of(block);

	threads_kick(block);
	while (t->inflight) {
		reap(t, true);
		threads_kick(block);
	}
}

static void stop_workers(struct raw_threads *t)
{
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (uint32_t i = 0; i < t->n_workers; i++)
		pthread_join(t->workers[i], NULL);
}

/* All but the file, which a failed create leaves to its caller. */
static void threads_free(struct raw_threads *t)
{
	stop_workers(t);
	pthread_cond_destroy(&t->ended);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	if (t->event_fd >= 0)
		close(t->event_fd);
	free(t);
}

static void threads_close(struct block *block)
{
	struct raw_threads *t = threads_of(block);

	threads_drain(block);
	t->raw.host->fd_unwatch(t->raw.inst, t->watch);
	raw_file_close(&t->raw.file);
	threads_free(t);
}

static const struct block_ops threads_ops = {
        .submit = threads_submit,
        .kick = threads_kick,
        .drain = threads_drain,
        .close = threads_close,
        .now = raw_now,
};

/* Workers take no signals: those belong to the threads that know what they mean. */
static int start_workers(struct raw_threads *t)
{
	sigset_t all, old;
	int error = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (!error && t->n_workers < WORKERS) {
		error = pthread_create(&t->workers[t->n_workers], NULL, work, t);
		if (!error)
			t->n_workers++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return t->n_workers ? 0 : -error;
}

int raw_threads_create(const struct raw *model, const struct block_options *options, struct block **block)
{
	struct raw_threads *t = calloc(1, sizeof(*t));
	int error;

	(void)options;
	if (!t)
		return -ENOMEM;
	t->raw = *model;
	t->raw.block.ops = &threads_ops;
	t->raw.block.info.driver = "threads";
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	pthread_cond_init(&t->ended, NULL);
	t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = t->event_fd < 0 ? -errno : start_workers(t);
	if (error)
		goto fail;
	t->watch = t->raw.host->fd_watch(t->raw.inst, t->event_fd, GAMUT_FD_IN, on_event, t);
	if (!t->watch) {
		error = -ENOMEM;
		goto fail;
	}
	*block = &t->raw.block;
	return 0;

fail:
	threads_free(t);
	return error;
}
