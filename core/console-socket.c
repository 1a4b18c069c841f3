/* SPDX-License-Identifier: MIT */
/*
 * to = "socket" or "socket:PATH": a Unix socket, of which every connection gets
 * the history and what follows, and may type. Bytes as they are, both ways.
 */
#include "console-end.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#include "control/unix-socket.h"

#define MAX_PEERS 32u /* at a time */

struct console_socket;

struct peer {
	struct peer *next;
	struct console_socket *socket;
	struct console_pump pump;
	struct gamut_watch *hangup; /* when it only listens any more */
	int fd;
};

struct console_socket {
	struct console_end end;
	struct console *console;
	struct loop *loop;
	struct unix_listener listener;
	struct gamut_watch *watch;
	struct peer *peers;
	uint32_t n_peers;
};

static ssize_t peer_write(void *opaque, const void *buf, size_t len)
{
	struct peer *p = opaque;

	return send(p->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void watch_listener(struct console_socket *s);

static void peer_destroy(struct peer *p)
{
	struct console_socket *s = p->socket;
	struct peer **link = &s->peers;

	console_pump_stop(&p->pump);
	loop_unwatch(s->loop, p->hangup);
	while (*link != p)
		link = &(*link)->next;
	*link = p->next;
	s->n_peers--;
	if (p->pump.out >= 0)
		close(p->pump.out);
	close(p->fd);
	free(p);
}

static void hung_up(void *opaque, int fd, uint32_t events)
{
	struct peer *p = opaque;
	struct console_socket *s = p->socket;

	(void)fd;
	(void)events;
	peer_destroy(p);
	watch_listener(s);
}

/* One that closed its sending half alone goes on watching, until it hangs up. */
static void peer_gone(void *opaque, bool output)
{
	struct peer *p = opaque;

	if (!output && !p->hangup)
		p->hangup = loop_watch(p->socket->loop, p->fd, 0, hung_up, p);
	if (output || !p->hangup)
		hung_up(p, p->fd, 0);
}

static void add_peer(struct console_socket *s, int fd)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p) {
		close(fd);
		return;
	}
	p->socket = s;
	p->fd = fd;
	p->pump = (struct console_pump){
		.console = s->console,
		.loop = s->loop,
		.in = fd,
		.out = fcntl(fd, F_DUPFD_CLOEXEC, 0),
		.write = peer_write,
		.gone = peer_gone,
		.opaque = p,
	};
	p->next = s->peers;
	s->peers = p;
	s->n_peers++;
	if (p->pump.out < 0 || console_pump_start(&p->pump, true))
		peer_destroy(p);
}

static void incoming(void *opaque, int fd, uint32_t events)
{
	struct console_socket *s = opaque;
	int peer = unix_accept(fd);

	(void)events;
	if (peer >= 0)
		add_peer(s, peer);
	watch_listener(s);
}

/* Those that come when there are too many wait in the kernel until one has left. */
static void watch_listener(struct console_socket *s)
{
	bool wanted = s->n_peers < MAX_PEERS;

	if (wanted && !s->watch)
		s->watch = loop_watch(s->loop, s->listener.fd, GAMUT_FD_IN, incoming, s);
	if (!wanted && s->watch) {
		loop_unwatch(s->loop, s->watch);
		s->watch = NULL;
	}
}

static void socket_close(struct console_end *end)
{
	struct console_socket *s = (struct console_socket *)end;

	while (s->peers) {
		console_pump_flush(&s->peers->pump);
		peer_destroy(s->peers);
	}
	loop_unwatch(s->loop, s->watch);
	unix_listener_close(&s->listener);
	free(end->path);
	free(s);
}

static struct console_end *socket_open(struct console *c, struct loop *loop, const char *path, char *err,
                                       size_t err_len)
{
	struct console_socket *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	if (s) {
		s->end.ops = &console_socket_ops;
		s->console = c;
		s->loop = loop;
		s->end.path = strdup(path);
		s->listener.fd = s->listener.dir = -1;
		rc = s->end.path ? unix_listener_open(&s->listener, path) : -ENOMEM;
	}
	if (!rc) {
		watch_listener(s);
		return &s->end;
	}
	snprintf(err, err_len, rc == -EADDRINUSE ? "cannot make the console's socket %s: somebody listens there" :
	                                          "cannot make the console's socket %s: %s",
	         path, strerror(-rc));
	if (s)
		socket_close(&s->end);
	return NULL;
}

const struct console_end_ops console_socket_ops = { "socket", socket_open, socket_close };
