/* SPDX-License-Identifier: MIT */
/* libslirp's sockets in an epoll set. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/netdev/user-internal.h"

/* slirp_pollfds_fill never asks for more, although nothing is due then. */
#define FILL_IDLE 1000u

static uint32_t to_epoll(int events)
{
	return (events & SLIRP_POLL_IN ? EPOLLIN : 0u) | (events & SLIRP_POLL_OUT ? EPOLLOUT : 0u) |
	       (events & SLIRP_POLL_PRI ? EPOLLPRI : 0u);
}

static int from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
	       (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
	       (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

/* Room for descriptor fd. False when memory is short. */
static bool know_socket(struct user *u, int fd)
{
	uint32_t n = u->n_sockets ? u->n_sockets : 64;
	struct socket_state *sockets;
	int *polled;

	if (fd < 0)
		return false;
	if ((uint32_t)fd < u->n_sockets)
		return true;
	while (n <= (uint32_t)fd)
		n *= 2;
	polled = realloc(u->polled, n * sizeof(*polled));
	if (!polled)
		return false;
	u->polled = polled;
	sockets = realloc(u->sockets, n * sizeof(*sockets));
	if (!sockets)
		return false;
	memset(sockets + u->n_sockets, 0, (n - u->n_sockets) * sizeof(*sockets));
	u->sockets = sockets;
	u->n_sockets = n;
	return true;
}

void user_poll_forget(struct user *u, int fd)
{
	struct socket_state *s;

	if (fd < 0 || (uint32_t)fd >= u->n_sockets || !u->sockets[fd].events)
		return;
	s = &u->sockets[fd];
	epoll_ctl(u->epoll, EPOLL_CTL_DEL, fd, NULL);
	u->polled[s->at] = u->polled[--u->n_polled];
	u->sockets[u->polled[s->at]].at = s->at;
	s->events = s->revents = 0;
}

/* libslirp waits for events on fd. The answer is what it asks with in revents_of; -1: cannot be waited for. */
static int add_poll(int fd, int events, void *opaque)
{
	struct user *u = opaque;
	struct epoll_event ev = {.events = to_epoll(events) | EPOLLERR | EPOLLHUP, .data.fd = fd};
	struct socket_state *s;

	if (!know_socket(u, fd))
		return -1;
	s = &u->sockets[fd];
	s->round = u->round;
	if (s->events == ev.events)
		return fd;
	if (epoll_ctl(u->epoll, s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev))
		return -1;
	if (!s->events) {
		s->at = u->n_polled;
		u->polled[u->n_polled++] = fd;
	}
	s->events = ev.events;
	return fd;
}

static int revents_of(int index, void *opaque)
{
	struct user *u = opaque;

	return index >= 0 && (uint32_t)index < u->n_sockets ? from_epoll(u->sockets[index].revents) : 0;
}

static void set_timer(struct user *u, uint32_t timeout_ms)
{
	if (timeout_ms >= FILL_IDLE && !u->open)
		u->host->timer_cancel(u->inst, u->timer);
	else
		u->host->timer_set(u->inst, u->timer, u->host->time_now(u->inst) + timeout_ms * 1000000ull);
}

static void refill(struct user *u)
{
	uint32_t timeout = UINT32_MAX;

	u->round++;
	slirp_pollfds_fill(u->slirp, &timeout, add_poll, u);
	for (uint32_t i = u->n_polled; i-- > 0;)
		if (u->sockets[u->polled[i]].round != u->round)
			user_poll_forget(u, u->polled[i]);
	set_timer(u, timeout);
}

void user_poll(struct user *u, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++)
		u->sockets[events[i].data.fd].revents = events[i].events;
	slirp_pollfds_poll(u->slirp, 0, revents_of, u);
	for (int i = 0; i < n; i++)
		u->sockets[events[i].data.fd].revents = 0;
	refill(u);
}

int user_poll_open(struct user *u)
{
	u->epoll = epoll_create1(EPOLL_CLOEXEC);
	return u->epoll < 0 ? -errno : 0;
}

void user_poll_close(struct user *u)
{
	if (u->epoll >= 0)
		close(u->epoll);
	free(u->sockets);
	free(u->polled);
}
