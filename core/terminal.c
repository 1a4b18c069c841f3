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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define PIECE 256u /* what one write may hold when it could block */

struct terminal {
	int in, out;
	int own_out; /* our description of out, or -1 */
	bool tty, out_socket;
	atomic_bool raw;
	struct termios saved;
	struct console_pump pump;
	void (*on_leave)(void *opaque);
	void *on_leave_opaque;
};

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
	t->in = in;
	t->out = out;
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

static bool has_room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) > 0;
}

/* As write, but -1 with EAGAIN where it would block. */
static ssize_t write_some(void *opaque, const void *buf, size_t len)
{
	struct terminal *t = opaque;
	struct stat st;

	if (t->own_out >= 0)
		return write(t->own_out, buf, len);
	if (t->out_socket)
		return send(t->out, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* A regular file never blocks, and says POLLOUT at all times. */
	if (!has_room(t->out)) {
		errno = EAGAIN;
		return -1;
	}
	if (len > PIECE && !(fstat(t->out, &st) == 0 && S_ISREG(st.st_mode)))
		len = PIECE;
	return write(t->out, buf, len);
}

/* ---- input ------------------------------------------------------------------------------------ */

/* What comes before Ctrl-] still belongs to the guest. */
static uint32_t until_leave(void *opaque, const uint8_t *buf, uint32_t n)
{
	struct terminal *t = opaque;
	const uint8_t *at = atomic_load(&t->raw) ? memchr(buf, TERMINAL_LEAVE, n) : NULL;

	if (!at)
		return n;
	if (t->on_leave)
		t->on_leave(t->on_leave_opaque);
	return (uint32_t)(at - buf);
}

/* ---- loop ----------------------------------------------------------------------------------------- */

int terminal_attach(struct terminal *t, struct console *console, struct loop *loop)
{
	t->pump = (struct console_pump){
		.reader.lossless = true,
		.console = console,
		.loop = loop,
		.in = t->in,
		.out = t->own_out >= 0 ? t->own_out : t->out,
		.write = write_some,
		.filter = until_leave,
		.opaque = t,
	};
	return console_pump_start(&t->pump, true);
}

void terminal_detach(struct terminal *t)
{
	console_pump_drain(&t->pump);
	console_pump_stop(&t->pump);
}

void terminal_destroy(struct terminal *t)
{
	if (!t)
		return;
	terminal_detach(t);
	terminal_restore(t);
	if (t->own_out >= 0)
		close(t->own_out);
	free(t);
}
