/* SPDX-License-Identifier: MIT */
#include "console-end.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define PIECE 4096u
#define DRAIN_MS 2000 /* without any progress */

/* ---- output ------------------------------------------------------------------------- */

static void out_is_gone(struct console_pump *p)
{
	p->out_gone = true;
	console_leave(&p->reader);
}

/* One piece of what is queued. 1: more may go; 0: nothing left; -EAGAIN: no room now; -EPIPE: nobody reads. */
static int flush_piece(struct console_pump *p)
{
	uint8_t piece[PIECE];
	uint32_t n;
	ssize_t rc;

	if (p->out_gone || !p->reader.console)
		return 0;
	n = console_peek(&p->reader, piece, sizeof(piece));
	if (!n)
		return 0;
	rc = p->write ? p->write(p->opaque, piece, n) : write(p->out, piece, n);
	if (rc < 0 && errno == EINTR)
		return 1;
	if (rc < 0 && errno == EAGAIN)
		return -EAGAIN;
	/* Any other error is for good (EPIPE, EIO of a vanished terminal, ENOSPC): the guest goes on without. */
	if (rc < 0) {
		out_is_gone(p);
		return -EPIPE;
	}
	console_skip(&p->reader, (uint32_t)rc);
	return 1;
}

int console_pump_flush(struct console_pump *p)
{
	int rc;

	do {
		rc = flush_piece(p);
	} while (rc > 0);
	return rc;
}

static void out_ready(void *opaque, int fd, uint32_t events);

/* Waits for room only while there is something to write. */
static void wait_for_room(struct console_pump *p, bool wait)
{
	if (wait && !p->out_watch)
		p->out_watch = loop_watch(p->loop, p->out, GAMUT_FD_OUT, out_ready, p);
	if (!wait && p->out_watch) {
		loop_unwatch(p->loop, p->out_watch);
		p->out_watch = NULL;
	}
}

/* False: the owner has stopped it. */
static bool send_out(struct console_pump *p)
{
	int rc = console_pump_flush(p);

	wait_for_room(p, rc == -EAGAIN);
	if (rc == -EPIPE && p->gone)
		p->gone(p->opaque, true);
	return rc != -EPIPE || !p->gone;
}

static void out_ready(void *opaque, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	send_out(opaque);
}

/* ---- input ------------------------------------------------------------------------------ */

static void in_ready(void *opaque, int fd, uint32_t events);

/*
 * Watches the input only while there is room for it: a pipe whose writer has
 * gone is ready for ever. An input that cannot be watched (closed) is an empty
 * one.
 */
static void watch_input(struct console_pump *p, bool watch)
{
	if (watch && !p->in_watch && !p->in_ended && p->in >= 0) {
		p->in_watch = loop_watch(p->loop, p->in, GAMUT_FD_IN, in_ready, p);
		p->in_ended = !p->in_watch;
	}
	if (!watch && p->in_watch) {
		loop_unwatch(p->loop, p->in_watch);
		p->in_watch = NULL;
	}
}

static void in_ready(void *opaque, int fd, uint32_t events)
{
	struct console_pump *p = opaque;
	uint8_t buf[512];
	uint32_t room = console_room(p->console);
	ssize_t n;

	(void)events;
	if (!room) {
		watch_input(p, false);
		return;
	}
	n = read(fd, buf, room < sizeof(buf) ? room : sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		p->in_ended = true;
		watch_input(p, false);
		if (p->gone)
			p->gone(p->opaque, false);
		return;
	}
	/* Others type at the same time, but on this thread: the room is still there. */
	console_type(p->console, buf, p->filter ? p->filter(p->opaque, buf, (uint32_t)n) : (uint32_t)n);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void work(void *opaque)
{
	struct console_pump *p = opaque;

	if (send_out(p))
		watch_input(p, true);
}

/* [any], under the console's lock. */
static void ready(void *opaque)
{
	struct console_pump *p = opaque;

	loop_defer_run(p->loop, p->work);
}

int console_pump_start(struct console_pump *p, bool history)
{
	p->in_watch = p->out_watch = NULL;
	p->in_ended = false;
	p->out_gone = p->out < 0;
	p->work = loop_defer_create(p->loop, work, p);
	if (!p->work)
		return -ENOMEM;
	p->reader.ready = ready;
	p->reader.opaque = p;
	console_join(p->console, &p->reader, history);
	watch_input(p, true);
	return 0;
}

void console_pump_stop(struct console_pump *p)
{
	if (!p->work)
		return;
	console_leave(&p->reader);
	watch_input(p, false);
	wait_for_room(p, false);
	loop_defer_destroy(p->loop, p->work);
	p->work = NULL;
}

void console_pump_drain(struct console_pump *p)
{
	struct pollfd fd = { .fd = p->out, .events = POLLOUT };

	while (p->work && console_pump_flush(p) == -EAGAIN) {
		if (poll(&fd, 1, DRAIN_MS) <= 0)
			return;
	}
}

/* ---- kinds --------------------------------------------------------------------------------------- */

static const struct console_end_ops *const kinds[] = {
	[CONSOLE_TO_PTY] = &console_pty_ops,
	[CONSOLE_TO_SOCKET] = &console_socket_ops,
	[CONSOLE_TO_FILE] = &console_file_ops,
};

const char *console_end_kind_name(enum console_end_kind kind)
{
	return kind == CONSOLE_TO_STDIO ? "stdio" : kinds[kind]->name;
}

struct console_end *console_end_open(enum console_end_kind kind, struct console *c, struct loop *loop,
                                     const char *path, char *err, size_t err_len)
{
	return kinds[kind]->open(c, loop, path, err, err_len);
}

void console_end_close(struct console_end *end)
{
	if (end)
		end->ops->close(end);
}
