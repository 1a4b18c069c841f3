/* SPDX-License-Identifier: MIT */
/*
 * One thread, one poll() for all connections, which are all non-blocking. A
 * connection has either something to be sent, and is not read meanwhile, or
 * waits for what the other side says: so what it can make us keep is one buffer.
 */
#include "bench/peer-net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE     64u          /* a command with its end fits */
#define PIECE    (256u << 10) /* of what is sent or taken at once */
#define ROUND    4u           /* pieces given to one connection before the others have their turn */
#define REST_MS  100          /* without new connections, when the kernel has no more of them */
#define N_POLLED (PEER_NET_CONNECTIONS + 2)

enum doing { COMMAND, SINK, SOURCE, ECHO };

struct connection {
	int fd; /* -1: none */
	enum doing doing;
	uint64_t left;      /* bytes of SINK and SOURCE, messages of ECHO */
	uint32_t size;      /* of a message */
	uint32_t batch;     /* messages in out */
	uint32_t have;      /* bytes in buf that came and are not used yet */
	const uint8_t *out; /* what is to be sent before anything else */
	uint32_t n_out;
	int64_t heard; /* when something last went through, in ms */
	uint8_t buf[PEER_NET_MESSAGE];
};

struct peer_net {
	int listener, wake;
	uint16_t port;
	pthread_t thread;
	int silence_ms;
	int64_t resting; /* until then nobody is let in, in ms */
	struct connection connections[PEER_NET_CONNECTIONS];
	uint8_t piece[PIECE]; /* what is given; what is taken is written over it */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void hang_up(struct connection *c)
{
	close(c->fd);
	c->fd = -1;
}

/* ---- commands ---- */

/* A number of at most 13 digits behind one space; the rest of the text, or NULL. */
static const char *number(const char *text, uint64_t *value)
{
	const char *at = text + 1;

	if (*text != ' ')
		return NULL;
	for (*value = 0; *at >= '0' && *at <= '9' && at - text <= 13; at++)
		*value = *value * 10 + (uint64_t)(*at - '0');
	return at > text + 1 && *value <= PEER_NET_MOST ? at : NULL;
}

static const struct command {
	const char *name;
	enum doing doing;
} commands[] = {{"sink", SINK}, {"source", SOURCE}, {"echo", ECHO}};

static bool obey(struct connection *c, const char *line)
{
	uint64_t size = 0;
	const char *at;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		size_t n = strlen(commands[i].name);

		if (strncmp(line, commands[i].name, n) != 0)
			continue;
		c->doing = commands[i].doing;
		at = line + n;
		if (c->doing == ECHO)
			at = number(at, &size);
		at = at ? number(at, &c->left) : NULL;
		c->size = (uint32_t)size;
		return at && !*at && (c->doing != ECHO || (size && size <= PEER_NET_MESSAGE));
	}
	return false;
}

static void used(struct connection *c, uint32_t n)
{
	c->have -= n;
	memmove(c->buf, c->buf + n, c->have);
}

static bool take_command(struct connection *c)
{
	char line[LINE];
	const uint8_t *end = memchr(c->buf, '\n', c->have < LINE ? c->have : LINE);
	uint32_t n = end ? (uint32_t)(end - c->buf) : 0;

	if (!end) {
		if (c->have >= LINE)
			hang_up(c);
		return false;
	}
	memcpy(line, c->buf, n);
	line[n] = 0;
	used(c, n + 1);
	if (memchr(line, 0, n) || !obey(c, line))
		hang_up(c);
	return c->fd >= 0;
}

/* ---- what is done with what came ---- */

static void send_next(struct connection *c, const void *bytes, uint32_t n)
{
	c->out = bytes;
	c->n_out = n;
}

/* N bytes are in: the last of them are answered. */
static void swallow(struct connection *c, uint64_t n)
{
	c->left -= n;
	if (c->left)
		return;
	c->doing = COMMAND;
	send_next(c, "ok\n", 3);
}

/* One step with what is there; false when it needs more, or has something to be sent first. */
static bool step(struct connection *c)
{
	uint32_t n;

	switch (c->doing) {
	case COMMAND:
		return take_command(c);
	case SINK:
		n = c->left < c->have ? (uint32_t)c->left : c->have;
		used(c, n);
		swallow(c, n);
		return false;
	case ECHO:
		c->batch = c->have / c->size;
		if (c->batch > c->left)
			c->batch = (uint32_t)c->left;
		if (c->batch)
			send_next(c, c->buf, c->batch * c->size);
		if (!c->left)
			c->doing = COMMAND;
		return !c->left;
	default:
		if (!c->left)
			c->doing = COMMAND;
		return !c->left;
	}
}

/* What was sent is over: echoed messages make room for the next. */
static void sent(struct connection *c)
{
	if (c->doing != ECHO)
		return;
	used(c, c->batch * c->size);
	c->left -= c->batch;
}

/* Is there more to be sent at once? False, too, when the other side takes no more, or is gone. */
static bool send_some(struct peer_net *p, struct connection *c)
{
	bool source = !c->n_out;
	size_t want = source ? (c->left < PIECE ? (size_t)c->left : PIECE) : c->n_out;
	ssize_t n = send(c->fd, source ? p->piece : c->out, want, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			hang_up(c);
		return false;
	}
	c->heard = now_ms();
	if (source) {
		c->left -= (uint64_t)n;
		return true;
	}
	c->out += n;
	c->n_out -= (uint32_t)n;
	if (!c->n_out)
		sent(c);
	return !c->n_out;
}

static bool wants_to_send(const struct connection *c)
{
	return c->n_out || (c->doing == SOURCE && c->left);
}

/* As far as it goes without waiting, and not at the expense of the others. */
static void go_on(struct peer_net *p, struct connection *c)
{
	uint32_t round = 0;

	while (c->fd >= 0) {
		if (wants_to_send(c)) {
			if (c->doing == SOURCE && !c->n_out && round++ == ROUND)
				return;
			if (!send_some(p, c))
				return;
		} else if (!step(c) && !wants_to_send(c))
			return;
	}
}

/* Bytes to be swallowed need not go through the connection's own buffer. */
static void receive(struct peer_net *p, struct connection *c)
{
	bool direct = c->doing == SINK && !c->have;
	uint32_t most = direct ? (c->left < PIECE ? (uint32_t)c->left : PIECE) : PEER_NET_MESSAGE - c->have;
	ssize_t n = recv(c->fd, direct ? p->piece : c->buf + c->have, most, MSG_DONTWAIT);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			hang_up(c);
		return;
	}
	c->heard = now_ms();
	if (direct)
		swallow(c, (uint64_t)n);
	else
		c->have += (uint32_t)n;
	go_on(p, c);
}

/* ---- connections ---- */

static struct connection *place(struct peer_net *p)
{
	struct connection *best = &p->connections[0];

	for (uint32_t i = 0; i < PEER_NET_CONNECTIONS; i++) {
		struct connection *c = &p->connections[i];

		if (c->fd < 0)
			return c;
		if (c->heard < best->heard)
			best = c;
	}
	hang_up(best);
	return best;
}

static void let_in(struct peer_net *p)
{
	int fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
	struct connection *c;

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			p->resting = now_ms() + REST_MS;
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = place(p);
	c->fd = fd;
	c->doing = COMMAND;
	c->left = c->n_out = c->have = 0;
	c->heard = now_ms();
}

/* Fills polled, those without a descriptor included; how long to wait, in ms. */
static int prepare(struct peer_net *p, struct pollfd *polled)
{
	int64_t now = now_ms(), next = INT32_MAX;

	polled[0] = (struct pollfd){.fd = p->wake, .events = POLLIN};
	polled[1] = (struct pollfd){.fd = now < p->resting ? -1 : p->listener, .events = POLLIN};
	if (now < p->resting)
		next = p->resting - now;
	for (uint32_t i = 0; i < PEER_NET_CONNECTIONS; i++) {
		struct connection *c = &p->connections[i];
		int64_t left = c->heard + p->silence_ms - now;

		if (c->fd >= 0 && left <= 0)
			hang_up(c);
		if (c->fd >= 0 && left < next)
			next = left;
		polled[i + 2] = (struct pollfd){.fd = c->fd, .events = wants_to_send(c) ? POLLOUT : POLLIN};
	}
	return next == INT32_MAX ? -1 : (int)next;
}

static void serve(struct peer_net *p, const struct pollfd *polled)
{
	for (uint32_t i = 0; i < PEER_NET_CONNECTIONS; i++) {
		struct connection *c = &p->connections[i];

		if (c->fd < 0 || !polled[i + 2].revents)
			continue;
		if (wants_to_send(c))
			go_on(p, c);
		else
			receive(p, c);
	}
	if (polled[1].revents)
		let_in(p);
}

static void *peer_thread(void *opaque)
{
	struct pollfd polled[N_POLLED];
	struct peer_net *p = opaque;

	pthread_setname_np(pthread_self(), "gamut-peer");
	for (;;) {
		int timeout = prepare(p, polled);

		if (poll(polled, N_POLLED, timeout) < 0)
			continue;
		if (polled[0].revents)
			return NULL;
		serve(p, polled);
	}
}

/* ---- life ---- */

static int listen_on_loopback(struct peer_net *p)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&at, len) || listen(p->listener, 16) ||
	    getsockname(p->listener, (struct sockaddr *)&at, &len))
		return -errno;
	p->port = ntohs(at.sin_port);
	return 0;
}

/* Signals are for the other threads. */
static int start_thread(struct peer_net *p)
{
	sigset_t all, before;
	int status;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	status = pthread_create(&p->thread, NULL, peer_thread, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -status;
}

static void finish(struct peer_net *p)
{
	for (uint32_t i = 0; i < PEER_NET_CONNECTIONS; i++)
		if (p->connections[i].fd >= 0)
			hang_up(&p->connections[i]);
	if (p->listener >= 0)
		close(p->listener);
	if (p->wake >= 0)
		close(p->wake);
	free(p);
}

int peer_net_start_patient(struct peer_net **peer, int silence_ms)
{
	struct peer_net *p = calloc(1, sizeof(*p));
	int status;

	if (!p)
		return -ENOMEM;
	p->silence_ms = silence_ms;
	for (uint32_t i = 0; i < PEER_NET_CONNECTIONS; i++)
		p->connections[i].fd = -1;
	p->listener = -1;
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	status = p->wake < 0 ? -errno : listen_on_loopback(p);
	if (!status)
		status = start_thread(p);
	if (status) {
		finish(p);
		return status;
	}
	*peer = p;
	return 0;
}

int peer_net_start(struct peer_net **peer)
{
	return peer_net_start_patient(peer, PEER_NET_SILENCE_MS);
}

uint16_t peer_net_port(const struct peer_net *p)
{
	return p->port;
}

void peer_net_stop(struct peer_net *p)
{
	const uint64_t one = 1;

	if (!p)
		return;
	while (write(p->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(p->thread, NULL);
	finish(p);
}
