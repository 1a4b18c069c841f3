/* SPDX-License-Identifier: MIT */
/*
 * The network back end "user", on libslirp.
 *
 * libslirp wants to be asked before every poll(2) which descriptors it waits
 * for, and told afterwards of all of them. Here its sockets are in an epoll
 * set of their own, which the domain's loop watches as one descriptor: what
 * libslirp answers is compared with what the set holds, and only differences
 * reach the kernel. It is asked once per round of the loop, not per frame:
 * send and every callback only ask for a deferred call, `service`.
 *
 * Frames for the guest go into a queue while libslirp runs and are offered to
 * the front end in batches when it has returned. Once the queue is past its
 * high mark, the set is not watched any more: data stays in the host's socket
 * buffers, and TCP slows its senders down. What libslirp still produces by
 * itself (answers to the guest's own frames) has the rest of the queue.
 *
 * Time is the host's monotonic clock, not the domain's: libslirp keeps the
 * time that it was told last in a variable of the process, which domains on
 * other threads share.
 */
#include "dm/netdev/user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "dm/netdev/queue.h"

#define QUEUE_SIZE (1u << 20)
#define QUEUE_HIGH (QUEUE_SIZE / 4)
#define QUEUE_LOW  (QUEUE_SIZE / 16)
#define BATCH      64
/* slirp_pollfds_fill never asks for more, although nothing is due then. */
#define FILL_IDLE 1000u
#define MTU 1500u

/* By descriptor number. */
struct socket_state {
	uint32_t events;  /* in the epoll set; 0: not in it */
	uint32_t revents; /* what epoll_wait said, during slirp_pollfds_poll */
	uint32_t round;   /* of the last fill that named it */
	uint32_t at;      /* place in `polled` */
};

struct user_timer {
	struct gamut_timer *timer;
	SlirpTimerCb fn;
	void *fn_opaque;
	struct user *user;
};

struct user {
	struct netdev netdev;
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct netdev_front front;
	Slirp *slirp;
	struct netdev_queue queue;
	bool blocked; /* the front end took less than it was offered */
	bool gated;   /* the set is not watched */

	int epoll;
	struct gamut_watch *watch;
	struct gamut_defer *service;
	struct gamut_timer *timer; /* for what slirp_pollfds_fill said */
	struct socket_state *sockets;
	int *polled; /* the descriptors in the set */
	uint32_t n_sockets, n_polled, round;
	uint32_t open, limit; /* sockets of libslirp's */

	uint8_t *linear; /* a frame in several pieces is put together here */
	uint64_t *dropped, *unsupported, *refused, *bad;
};

static struct user *user_of(struct netdev *dev)
{
	return (struct user *)dev;
}

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static int64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- the epoll set ---- */

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

static void forget_socket(struct user *u, int fd)
{
	struct socket_state *s = &u->sockets[fd];

	if (!s->events)
		return;
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
			forget_socket(u, u->polled[i]);
	set_timer(u, timeout);
}

/* ---- to the guest ---- */

static void set_gate(struct user *u)
{
	bool gate = u->gated ? u->queue.used > QUEUE_LOW : u->queue.used > QUEUE_HIGH;

	if (gate == u->gated)
		return;
	if (!u->host->fd_modify(u->inst, u->watch, gate ? 0 : GAMUT_FD_IN))
		u->gated = gate;
}

static void pump(struct user *u)
{
	struct netdev_frame frames[BATCH];
	struct iovec iov[BATCH];

	while (!u->blocked && u->queue.frames) {
		uint32_t n = netdev_queue_look(&u->queue, frames, iov, BATCH);
		uint32_t taken = u->front.receive(u->front.opaque, frames, n);

		netdev_queue_drop(&u->queue, taken);
		u->blocked = taken < n;
	}
	set_gate(u);
}

/* Tells libslirp of what epoll_wait found, if anything, lets it send what is due, and asks what it waits for now. */
static void service_events(struct user *u, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++)
		u->sockets[events[i].data.fd].revents = events[i].events;
	slirp_pollfds_poll(u->slirp, 0, revents_of, u);
	for (int i = 0; i < n; i++)
		u->sockets[events[i].data.fd].revents = 0;
	refill(u);
	pump(u);
}

static void service(void *opaque)
{
	service_events(opaque, NULL, 0);
}

static void on_ready(void *opaque, int fd, uint32_t mask)
{
	struct epoll_event events[BATCH];
	struct user *u = opaque;
	int n = epoll_wait(fd, events, BATCH, 0);

	(void)mask;
	if (n > 0)
		service_events(u, events, n);
}

/* ---- what libslirp calls ---- */

/* A negative answer would be an I/O error to it, and a line on stderr. */
static ssize_t cb_send_packet(const void *buf, size_t len, void *opaque)
{
	static const struct netdev_offload valid = {.flags = NETDEV_CSUM_VALID};
	struct user *u = opaque;

	if (len > NETDEV_FRAME_MAX || !netdev_queue_push(&u->queue, buf, (uint32_t)len, &valid))
		count(u->dropped);
	u->host->defer_run(u->inst, u->service);
	return (ssize_t)len;
}

static void cb_guest_error(const char *msg, void *opaque)
{
	struct user *u = opaque;

	/* The guest can make any number of them. */
	if (!__atomic_fetch_add(u->bad, 1, __ATOMIC_RELAXED))
		u->host->log(u->inst, GAMUT_LOG_DEBUG, "the guest's network: %s", msg ? msg : "error");
}

static int64_t cb_clock(void *opaque)
{
	(void)opaque;
	return monotonic_ns();
}

static void on_timer(void *opaque)
{
	struct user_timer *t = opaque;

	t->fn(t->fn_opaque);
	t->user->host->defer_run(t->user->inst, t->user->service);
}

static void *cb_timer_new(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
	struct user *u = opaque;
	struct user_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct user_timer){.fn = fn, .fn_opaque = fn_opaque, .user = u};
	t->timer = u->host->timer_create(u->inst, on_timer, t);
	if (!t->timer) {
		free(t);
		return NULL;
	}
	return t;
}

static void cb_timer_free(void *timer, void *opaque)
{
	struct user *u = opaque;
	struct user_timer *t = timer;

	if (t)
		u->host->timer_destroy(u->inst, t->timer);
	free(t);
}

static void cb_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	struct user *u = opaque;
	struct user_timer *t = timer;
	int64_t left = expire_ms - monotonic_ns() / 1000000;

	if (t)
		u->host->timer_set(u->inst, t->timer,
		                   u->host->time_now(u->inst) + (left > 0 ? (uint64_t)left * 1000000u : 0));
}

static void cb_register_fd(int fd, void *opaque)
{
	struct user *u = opaque;

	u->open++;
	/* Left over if libslirp closed a socket of this number unsaid; the kernel took that one out of the set. */
	if (fd >= 0 && (uint32_t)fd < u->n_sockets)
		forget_socket(u, fd);
	if (u->service)
		u->host->defer_run(u->inst, u->service);
}

static void cb_unregister_fd(int fd, void *opaque)
{
	struct user *u = opaque;

	if (u->open)
		u->open--;
	if (fd >= 0 && (uint32_t)fd < u->n_sockets)
		forget_socket(u, fd);
}

static void cb_notify(void *opaque)
{
	struct user *u = opaque;

	u->host->defer_run(u->inst, u->service);
}

static const SlirpCb callbacks = {
        .send_packet = cb_send_packet,
        .guest_error = cb_guest_error,
        .clock_get_ns = cb_clock,
        .timer_new = cb_timer_new,
        .timer_free = cb_timer_free,
        .timer_mod = cb_timer_mod,
        .register_poll_fd = cb_register_fd,
        .unregister_poll_fd = cb_unregister_fd,
        .notify = cb_notify,
};

/* ---- from the guest ---- */

/* Whether the transport packet may make libslirp open a socket: all but TCP without a SYN of its own. */
static bool opens(uint8_t protocol, const uint8_t *p, uint32_t len)
{
	if (protocol == IPPROTO_TCP)
		return len < 14 || (p[13] & 0x12) == 0x02;
	/* To the DHCP and TFTP servers, which are libslirp's own. */
	if (protocol == IPPROTO_UDP)
		return len < 4 || (p[2] != 0 || (p[3] != 67 && p[3] != 69));
	return protocol == IPPROTO_ICMP;
}

static bool opens_socket(const uint8_t *frame, uint32_t len)
{
	uint32_t header;

	if (len < NETDEV_HEADER + 20)
		return false;
	if (frame[12] == 0x08 && frame[13] == 0x00) {
		header = NETDEV_HEADER + (frame[14] & 15u) * 4u;
		return header <= len && opens(frame[NETDEV_HEADER + 9], frame + header, len - header);
	}
	header = NETDEV_HEADER + 40;
	return frame[12] == 0x86 && frame[13] == 0xdd && len >= header &&
	       opens(frame[NETDEV_HEADER + 6], frame + header, len - header);
}

static const uint8_t *linearize(struct user *u, const struct netdev_frame *frame)
{
	uint32_t at = 0;

	if (frame->n_iov == 1)
		return frame->iov[0].iov_base;
	for (uint32_t i = 0; i < frame->n_iov; i++) {
		if (frame->iov[i].iov_len > frame->length - at)
			return NULL;
		memcpy(u->linear + at, frame->iov[i].iov_base, frame->iov[i].iov_len);
		at += (uint32_t)frame->iov[i].iov_len;
	}
	return at == frame->length ? u->linear : NULL;
}

static void send_one(struct user *u, const struct netdev_frame *frame)
{
	const uint8_t *data;

	if (frame->offload.flags & NETDEV_CSUM_NEEDED || frame->offload.gso_type || frame->length > NETDEV_FRAME_MAX) {
		count(u->unsupported);
		return;
	}
	data = linearize(u, frame);
	if (!data || frame->length < NETDEV_HEADER)
		count(u->unsupported);
	else if (u->open >= u->limit && opens_socket(data, frame->length))
		count(u->refused);
	else
		slirp_input(u->slirp, data, (int)frame->length);
}

/* libslirp takes everything at once. */
static uint32_t user_send(struct netdev *dev, const struct netdev_frame *frames, uint32_t n)
{
	struct user *u = user_of(dev);

	for (uint32_t i = 0; i < n; i++)
		send_one(u, &frames[i]);
	u->host->defer_run(u->inst, u->service);
	return n;
}

static void user_ready(struct netdev *dev)
{
	struct user *u = user_of(dev);

	if (!u->blocked)
		return;
	u->blocked = false;
	u->host->defer_run(u->inst, u->service);
}

static void user_flush(struct netdev *dev)
{
	struct user *u = user_of(dev);

	netdev_queue_clear(&u->queue);
	u->blocked = false;
	set_gate(u);
}

/* ---- life ---- */

static void user_close(struct netdev *dev)
{
	struct user *u = user_of(dev);

	if (u->slirp)
		slirp_cleanup(u->slirp);
	u->host->fd_unwatch(u->inst, u->watch);
	if (u->epoll >= 0)
		close(u->epoll);
	if (u->timer)
		u->host->timer_destroy(u->inst, u->timer);
	if (u->service)
		u->host->defer_destroy(u->inst, u->service);
	netdev_queue_finish(&u->queue);
	free(u->linear);
	free(u->sockets);
	free(u->polled);
	free(u);
}

static const struct netdev_ops user_ops = {
        .send = user_send,
        .ready = user_ready,
        .flush = user_flush,
        .close = user_close,
};

static int add_forwards(struct user *u)
{
	const char *text;

	for (uint32_t i = 0; u->host->option_list(u->inst, "forward", i, &text); i++) {
		struct user_forward f;

		if (!user_forward_parse(text, &f))
			return u->host->fail(u->inst, EINVAL,
			                     "forward: \"%s\" is none; write tcp:127.0.0.1:2222-:22, or udp:...", text);
		if (f.guest.ss_family == AF_INET && !((struct sockaddr_in *)&f.guest)->sin_addr.s_addr) {
			struct sockaddr_in *from = (struct sockaddr_in *)&f.host, *to = (struct sockaddr_in *)&f.guest;

			/* This one knows the first address that DHCP gives. */
			if (!slirp_add_hostfwd(u->slirp, f.udp, from->sin_addr, ntohs(from->sin_port), to->sin_addr,
			                       ntohs(to->sin_port)))
				continue;
		} else if (!slirp_add_hostxfwd(u->slirp, (struct sockaddr *)&f.host, f.length,
		                               (struct sockaddr *)&f.guest, f.length,
		                               f.udp ? SLIRP_HOSTFWD_UDP : 0)) {
			continue;
		}
		return u->host->fail(u->inst, errno ? errno : EADDRINUSE, "forward: \"%s\": the host's port cannot be had: %s",
		                     text, strerror(errno ? errno : EADDRINUSE));
	}
	return 0;
}

static int make(struct user *u)
{
	struct user_config config;
	int err = user_config_read(u->host, u->inst, &config);

	if (err)
		return err;
	u->limit = config.connections;
	u->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (u->epoll < 0)
		return u->host->fail(u->inst, errno, "epoll: %s", strerror(errno));
	u->linear = malloc(NETDEV_FRAME_MAX);
	u->service = u->host->defer_create(u->inst, service, u);
	u->timer = u->host->timer_create(u->inst, service, u);
	u->watch = u->host->fd_watch(u->inst, u->epoll, GAMUT_FD_IN, on_ready, u);
	if (!u->linear || !u->service || !u->timer || !u->watch || netdev_queue_init(&u->queue, QUEUE_SIZE))
		return u->host->fail(u->inst, ENOMEM, "out of memory");
	u->slirp = slirp_new(&config.slirp, &callbacks, u);
	if (!u->slirp)
		return u->host->fail(u->inst, EINVAL, "libslirp %s takes no such network", slirp_version_string());
	errno = 0;
	err = add_forwards(u);
	if (!err)
		u->host->defer_run(u->inst, u->service);
	return err;
}

struct netdev *netdev_user_open(const struct gamut_host *host, struct gamut_inst *inst,
                                const struct netdev_front *front, int *error)
{
	struct user *u = calloc(1, sizeof(*u));

	if (!u) {
		*error = host->fail(inst, ENOMEM, "out of memory");
		return NULL;
	}
	u->netdev = (struct netdev){.ops = &user_ops, .info = {.name = "user", .mtu = MTU}};
	u->host = host;
	u->inst = inst;
	u->front = *front;
	u->epoll = -1;
	u->dropped = host->counter(inst, "frames-dropped");
	u->unsupported = host->counter(inst, "frames-unsupported");
	u->refused = host->counter(inst, "connections-refused");
	u->bad = host->counter(inst, "guest-errors");
	*error = make(u);
	if (!*error)
		return &u->netdev;
	user_close(&u->netdev);
	return NULL;
}
