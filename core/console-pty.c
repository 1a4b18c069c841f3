/* SPDX-License-Identifier: MIT */
/*
 * to = "pty": a pseudo-terminal for screen, minicom and their like, in raw mode
 * to begin with.
 *
 * Our end hangs up while nobody has the other one open, and stays so until
 * somebody opens it, of which the pty itself does not tell. So an inotify watch
 * does, and counts. Who is the first to open it gets the history. On a host that has no inotify
 * instance left we hold the other end open ourselves: then it never hangs up,
 * and the kernel's own queue has a few KiB of what was said before.
 *
 * `path`, when given, becomes a symbolic link to the pty, for its number is
 * another one each time.
 */
#include "console-end.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

struct console_pty {
	struct console_end end;
	struct console_pump pump;
	char *link;
	int master, master_out; /* twice the same: in and out are watched by themselves */
	int held;               /* the other end, or -1 */
	int notify;             /* inotify, or -1 */
	int opens;              /* how many have the other end open, as inotify told so far */
	struct gamut_watch *notify_watch;
};

/* Whether somebody has the other end open. */
static bool is_open(const struct console_pty *p)
{
	struct pollfd fd = { .fd = p->master };

	return poll(&fd, 1, 0) >= 0 && !(fd.revents & POLLHUP);
}

/* Of one who left and came again between two looks the pump has seen nothing: it is started anew. */
static void count_event(struct console_pty *p, uint32_t mask)
{
	if (mask & IN_Q_OVERFLOW)
		p->opens = is_open(p);
	else if (mask & IN_OPEN)
		p->opens++;
	else if (mask & IN_CLOSE && p->opens)
		p->opens--;
	if (!p->opens)
		console_pump_stop(&p->pump);
}

static void notified(void *opaque, int fd, uint32_t events)
{
	_Alignas(struct inotify_event) char buf[4096];
	struct console_pty *p = opaque;
	ssize_t n;

	(void)events;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (const char *at = buf; at < buf + n; at += sizeof(struct inotify_event) + ((const struct inotify_event *)at)->len)
			count_event(p, ((const struct inotify_event *)at)->mask);
	}
	if (p->opens && !p->pump.work && is_open(p))
		console_pump_start(&p->pump, true);
}

/* Hung up: until the next one opens it. */
static void gone(void *opaque, bool output)
{
	struct console_pty *p = opaque;

	(void)output;
	console_pump_stop(&p->pump);
}

static void pty_close(struct console_end *end)
{
	struct console_pty *p = (struct console_pty *)end;
	char target[64] = "";

	if (p->pump.work && is_open(p))
		console_pump_flush(&p->pump);
	console_pump_stop(&p->pump);
	loop_unwatch(p->pump.loop, p->notify_watch);
	/* The link may be another domain's by now. */
	if (p->link && readlink(p->link, target, sizeof(target) - 1) > 0 && end->path && !strcmp(target, end->path))
		unlink(p->link);
	for (int *fd = (int[]){ p->master, p->master_out, p->held, p->notify, -2 }; *fd != -2; fd++) {
		if (*fd >= 0)
			close(*fd);
	}
	free(p->link);
	free(end->path);
	free(p);
}

static int open_master(struct console_pty *p)
{
	char name[64];

	p->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (p->master < 0 || grantpt(p->master) || unlockpt(p->master) || ptsname_r(p->master, name, sizeof(name)))
		return -errno;
	p->master_out = fcntl(p->master, F_DUPFD_CLOEXEC, 0);
	if (p->master_out < 0)
		return -errno;
	p->end.path = strdup(name);
	return p->end.path ? 0 : -ENOMEM;
}

/* No echo: what the guest says must not come back to it as input. */
static int make_raw(struct console_pty *p)
{
	struct termios raw;

	p->held = open(p->end.path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	/* Not for the group tty, whose write(1) would type. */
	if (p->held < 0 || fchmod(p->held, 0600) || tcgetattr(p->held, &raw))
		return -errno;
	cfmakeraw(&raw);
	return tcsetattr(p->held, TCSANOW, &raw) ? -errno : 0;
}

static int make_link(struct console_pty *p, const char *link)
{
	if (!link)
		return 0;
	if (unlink(link) && errno != ENOENT)
		return -errno;
	if (symlink(p->end.path, link))
		return -errno;
	p->link = strdup(link);
	return p->link ? 0 : -ENOMEM;
}

static int watch_opens(struct console_pty *p)
{
	p->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (p->notify < 0 || inotify_add_watch(p->notify, p->end.path, IN_OPEN | IN_CLOSE) < 0)
		return -1;
	p->notify_watch = loop_watch(p->pump.loop, p->notify, GAMUT_FD_IN, notified, p);
	return p->notify_watch ? 0 : -1;
}

static int start(struct console_pty *p, const char *link)
{
	int rc = open_master(p);

	if (!rc)
		rc = make_raw(p);
	if (!rc)
		rc = make_link(p, link);
	if (rc)
		return rc;
	p->pump.in = p->master;
	p->pump.out = p->master_out;
	if (watch_opens(p))
		return console_pump_start(&p->pump, true);
	p->opens = 1; /* we, until the next line is told of */
	close(p->held);
	p->held = -1;
	return 0;
}

static struct console_end *pty_open(struct console *c, struct loop *loop, const char *path, char *err, size_t err_len)
{
	struct console_pty *p = calloc(1, sizeof(*p));
	int rc = -ENOMEM;

	if (p) {
		p->end.ops = &console_pty_ops;
		p->master = p->master_out = p->held = p->notify = -1;
		p->pump = (struct console_pump){ .console = c, .loop = loop, .gone = gone, .opaque = p };
		rc = start(p, path);
	}
	if (!rc)
		return &p->end;
	snprintf(err, err_len, "cannot make a pty for the console%s%s: %s", path ? " with a link at " : "",
	         path ? path : "", strerror(-rc));
	if (p)
		pty_close(&p->end);
	return NULL;
}

const struct console_end_ops console_pty_ops = { "pty", pty_open, pty_close };
