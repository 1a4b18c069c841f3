/* SPDX-License-Identifier: MIT */
/*
 * Not blocking without O_NONBLOCK. The flag belongs to the open file
 * description, which is shared with the shell and whoever else has the
 * terminal: setting it breaks them, and they may clear it. So a terminal or
 * pipe is opened once more through /proc/self/fd, which gives a description of
 * our own. Where that is refused (a terminal of another user), we write in
 * small pieces and only when poll says that there is room.
 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define OUT_SIZE 65536u
#define IN_SIZE 4096u
#define PIECE 256u /* what one write may hold when it could block */
#define DRAIN_MS 2000 /* without any progress, at the end */

struct ring {
	uint8_t *buf;
	uint32_t size; /* power of two */
	uint32_t head, tail; /* free running: head is written, tail is read */
};

struct terminal {
	int in, out;
	int own_out; /* our description of out, or -1 */
	bool tty, out_socket;
	atomic_bool raw;
	struct termios saved;

	pthread_mutex_t lock;
	struct ring output, input; /* under lock */
	bool out_gone;             /* under lock: nobody reads; drop */
	bool starved;              /* under lock: a write was cut short */

	/* I/O thread. */
	struct loop *loop;
	struct gamut_watch *in_watch, *out_watch;
	struct gamut_defer *flush, *feed;
	bool in_ended;
	gamut_defer_fn on_input;
	void *on_input_opaque;
	void (*on_leave)(void *opaque);
	void *on_leave_opaque;
};

/* ---- rings -------------------------------------------------------------------------- */

static int ring_init(struct ring *r, uint32_t size)
{
	*r = (struct ring){ .buf = malloc(size), .size = size };
	return r->buf ? 0 : -ENOMEM;
}

static uint32_t ring_used(const struct ring *r)
{
	return r->head - r->tail;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t ring_put(struct ring *r, const uint8_t *data, uint32_t len)
{
	uint32_t n = min_u32(len, r->size - ring_used(r)), at = r->head & (r->size - 1);
	uint32_t first = min_u32(n, r->size - at);

	memcpy(r->buf + at, data, first);
	memcpy(r->buf, data + first, n - first);
	r->head += n;
	return n;
}

/* Copies without taking. */
static uint32_t ring_peek(const struct ring *r, uint8_t *data, uint32_t len)
{
	uint32_t n = min_u32(len, ring_used(r)), at = r->tail & (r->size - 1);
	uint32_t first = min_u32(n, r->size - at);

	memcpy(data, r->buf + at, first);
	memcpy(data + first, r->buf, n - first);
	return n;
}

/* ---- life ------------------------------------------------------------------------------ */

static int reopen(int fd)
{
	char path[32];
	struct stat st;

	if (fstat(fd, &st) || !(S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

static bool is_socket(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISSOCK(st.st_mode);
}

struct terminal *terminal_create(int in, int out)
{
	struct terminal *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	t->in = in;
	t->out = out;
	t->own_out = -1;
	if (ring_init(&t->output, OUT_SIZE) || ring_init(&t->input, IN_SIZE)) {
		terminal_destroy(t);
		errno = ENOMEM;
		return NULL;
	}
	t->tty = isatty(in) && isatty(out);
	t->out_socket = is_socket(out);
	t->own_out = reopen(out);
	return t;
}

bool terminal_is_tty(const struct terminal *t)
{
	return t->tty;
}

const atomic_bool *terminal_raw_flag(const struct terminal *t)
{
	return &t->raw;
}

void terminal_on_leave(struct terminal *t, void (*fn)(void *opaque), void *opaque)
{
	t->on_leave = fn;
	t->on_leave_opaque = opaque;
}

void terminal_raw(struct terminal *t)
{
	struct termios raw;

	if (!t->tty || atomic_load(&t->raw) || tcgetattr(t->in, &t->saved))
		return;
	raw = t->saved;
	cfmakeraw(&raw);
	if (!tcsetattr(t->in, TCSANOW, &raw))
		atomic_store(&t->raw, true);
}

void terminal_restore(struct terminal *t)
{
	if (!atomic_load(&t->raw))
		return;
	tcsetattr(t->in, TCSANOW, &t->saved);
	atomic_store(&t->raw, false);
}

/* ---- output ------------------------------------------------------------------------------- */

static bool has_room(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, timeout_ms) > 0;
}

/* As write, but -1 with EAGAIN where it would block. */
static ssize_t write_some(struct terminal *t, const void *buf, size_t len)
{
	struct stat st;

	if (t->own_out >= 0)
		return write(t->own_out, buf, len);
	if (t->out_socket)
		return send(t->out, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* A regular file never blocks, and says POLLOUT at all times. */
	if (!has_room(t->out, 0)) {
		errno = EAGAIN;
		return -1;
	}
	if (len > PIECE && !(fstat(t->out, &st) == 0 && S_ISREG(st.st_mode)))
		len = PIECE;
	return write(t->out, buf, len);
}

/* One piece of what is queued. 1: more may go; 0: nothing left; -EAGAIN: no room now. Lock held by nobody. */
static int flush_piece(struct terminal *t)
{
	uint8_t piece[4096];
	uint32_t n;
	ssize_t rc;

	pthread_mutex_lock(&t->lock);
	n = ring_peek(&t->output, piece, sizeof(piece));
	pthread_mutex_unlock(&t->lock);
	if (!n)
		return 0;
	rc = write_some(t, piece, n);
	if (rc < 0 && errno == EINTR)
		return 1;
	if (rc < 0 && errno == EAGAIN)
		return -EAGAIN;
	pthread_mutex_lock(&t->lock);
	/* Any other error is for good (EPIPE, EIO of a vanished terminal, ENOSPC): the guest goes on without. */
	if (rc < 0)
		t->out_gone = true;
	t->output.tail += rc < 0 ? ring_used(&t->output) : (uint32_t)rc;
	pthread_mutex_unlock(&t->lock);
	return 1;
}

static int flush_output(struct terminal *t)
{
	int rc;

	do {
		rc = flush_piece(t);
	} while (rc > 0);
	return rc;
}

static void feed_again(struct terminal *t)
{
	if (t->feed)
		loop_defer_run(t->loop, t->feed);
}

static void out_ready(void *opaque, int fd, uint32_t events);

/* Waits for room only while there is something to write. */
static void wait_for_room(struct terminal *t, bool wait)
{
	int fd = t->own_out >= 0 ? t->own_out : t->out;

	if (wait && !t->out_watch)
		t->out_watch = loop_watch(t->loop, fd, GAMUT_FD_OUT, out_ready, t);
	if (!wait && t->out_watch) {
		loop_unwatch(t->loop, t->out_watch);
		t->out_watch = NULL;
	}
}

static void flush_deferred(void *opaque)
{
	struct terminal *t = opaque;
	bool starved;

	wait_for_room(t, flush_output(t) == -EAGAIN);
	pthread_mutex_lock(&t->lock);
	starved = t->starved && ring_used(&t->output) < OUT_SIZE / 2;
	if (starved)
		t->starved = false;
	pthread_mutex_unlock(&t->lock);
	if (starved)
		feed_again(t);
}

static void out_ready(void *opaque, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	flush_deferred(opaque);
}

uint32_t terminal_write(struct terminal *t, const void *buf, uint32_t len)
{
	uint32_t n = len;

	pthread_mutex_lock(&t->lock);
	if (!t->out_gone) {
		n = ring_put(&t->output, buf, len);
		t->starved |= n < len;
	}
	pthread_mutex_unlock(&t->lock);
	if (n && t->flush)
		loop_defer_run(t->loop, t->flush);
	return n;
}

/* ---- input ------------------------------------------------------------------------------------ */

static void in_ready(void *opaque, int fd, uint32_t events);

/*
 * Watches the input only while there is room for it: a pipe whose writer has
 * gone is ready for ever.
 */
static void watch_input(struct terminal *t, bool watch)
{
	if (watch && !t->in_watch && !t->in_ended && t->loop) {
		t->in_watch = loop_watch(t->loop, t->in, GAMUT_FD_IN, in_ready, t);
		t->in_ended = !t->in_watch;
	}
	if (!watch && t->in_watch) {
		loop_unwatch(t->loop, t->in_watch);
		t->in_watch = NULL;
	}
}

static void leave(struct terminal *t)
{
	if (t->on_leave)
		t->on_leave(t->on_leave_opaque);
}

/* What comes before Ctrl-] still belongs to the guest. */
static uint32_t until_leave(struct terminal *t, const uint8_t *buf, uint32_t n)
{
	const uint8_t *at = atomic_load(&t->raw) ? memchr(buf, TERMINAL_LEAVE, n) : NULL;

	if (!at)
		return n;
	leave(t);
	return (uint32_t)(at - buf);
}

static void in_ready(void *opaque, int fd, uint32_t events)
{
	struct terminal *t = opaque;
	uint8_t buf[512];
	uint32_t room;
	ssize_t n;

	(void)events;
	pthread_mutex_lock(&t->lock);
	room = t->input.size - ring_used(&t->input);
	pthread_mutex_unlock(&t->lock);
	if (!room) {
		watch_input(t, false);
		return;
	}
	n = read(fd, buf, min_u32(room, sizeof(buf)));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		t->in_ended = true;
		watch_input(t, false);
		return;
	}
	n = until_leave(t, buf, (uint32_t)n);
	pthread_mutex_lock(&t->lock);
	ring_put(&t->input, buf, (uint32_t)n);
	pthread_mutex_unlock(&t->lock);
	if (n && t->on_input)
		t->on_input(t->on_input_opaque);
}

static void feed_deferred(void *opaque)
{
	struct terminal *t = opaque;

	if (t->on_input)
		t->on_input(t->on_input_opaque);
}

void terminal_on_input(struct terminal *t, gamut_defer_fn fn, void *opaque)
{
	t->on_input = fn;
	t->on_input_opaque = opaque;
	if (fn)
		feed_again(t);
}

uint32_t terminal_read(struct terminal *t, void *buf, uint32_t len)
{
	uint32_t n;

	pthread_mutex_lock(&t->lock);
	n = ring_peek(&t->input, buf, len);
	t->input.tail += n;
	pthread_mutex_unlock(&t->lock);
	if (n)
		watch_input(t, true);
	return n;
}

/* ---- loop ----------------------------------------------------------------------------------------- */

int terminal_attach(struct terminal *t, struct loop *loop)
{
	t->loop = loop;
	t->flush = loop_defer_create(loop, flush_deferred, t);
	t->feed = loop_defer_create(loop, feed_deferred, t);
	if (!t->flush || !t->feed) {
		terminal_detach(t);
		return -ENOMEM;
	}
	/* An input that cannot be watched (closed) is an empty one. */
	watch_input(t, true);
	return 0;
}

void terminal_detach(struct terminal *t)
{
	if (!t->loop)
		return;
	watch_input(t, false);
	wait_for_room(t, false);
	loop_defer_destroy(t->loop, t->flush);
	loop_defer_destroy(t->loop, t->feed);
	t->flush = t->feed = NULL;
	t->on_input = NULL;
	t->loop = NULL;
}

/* The guest's last words, as long as somebody takes them. */
static void drain(struct terminal *t)
{
	int fd = t->own_out >= 0 ? t->own_out : t->out;

	while (flush_output(t) == -EAGAIN) {
		if (!has_room(fd, DRAIN_MS))
			return;
	}
}

void terminal_destroy(struct terminal *t)
{
	if (!t)
		return;
	if (t->output.buf)
		drain(t);
	terminal_restore(t);
	if (t->own_out >= 0)
		close(t->own_out);
	free(t->output.buf);
	free(t->input.buf);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
