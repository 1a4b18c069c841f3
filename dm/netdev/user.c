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
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dm/netdev/user-internal.h"

#define QUEUE_SIZE (4u << 20)
#define QUEUE_HIGH (QUEUE_SIZE / 8)
#define QUEUE_LOW  (QUEUE_SIZE / 32)

struct user_timer {
	struct gamut_timer *timer;
	SlirpTimerCb fn;
	void *fn_opaque;
	struct user *user;
};

static struct user *user_of(struct netdev *dev)
{
	return (struct user *)dev;
}

static int64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
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
	if (!u->blocked)
		u->blocked = !netdev_queue_offer(&u->queue, &u->front);
	set_gate(u);
}

static void service_events(struct user *u, const struct epoll_event *events, int n)
{
	user_poll(u, events, n);
	pump(u);
}

static void service(void *opaque)
{
	service_events(opaque, NULL, 0);
}

static void on_ready(void *opaque, int fd, uint32_t mask)
{
	struct epoll_event events[USER_BATCH];
	struct user *u = opaque;
	int n = epoll_wait(fd, events, USER_BATCH, 0);

	(void)mask;
	if (n > 0)
		service_events(u, events, n);
}

/* ---- what libslirp calls ---- */

/* A negative answer would be an I/O error to it, and a line on stderr. */
static ssize_t cb_send_packet(const void *buf, size_t len, void *opaque)
{
	struct user *u = opaque;

	if (len > NETDEV_GSO_MAX)
		user_count(u->dropped);
	else
		user_give_frame(u, buf, (uint32_t)len);
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
	user_poll_forget(u, fd);
	if (u->service)
		u->host->defer_run(u->inst, u->service);
}

static void cb_unregister_fd(int fd, void *opaque)
{
	struct user *u = opaque;

	if (u->open)
		u->open--;
	user_poll_forget(u, fd);
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

/* libslirp takes everything at once. */
static uint32_t user_send(struct netdev *dev, const struct netdev_frame *frames, uint32_t n)
{
	struct user *u = user_of(dev);

	for (uint32_t i = 0; i < n; i++)
		user_send_frame(u, &frames[i]);
	user_send_flush(u);
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

/* What lies in the queue may have been made for a front end that took more: TCP will send it again. */
static void user_set_offload(struct netdev *dev, uint32_t can)
{
	struct user *u = user_of(dev);

	if (u->can & ~can)
		netdev_queue_clear(&u->queue);
	u->can = can;
}

/* ---- life ---- */

static void user_close(struct netdev *dev)
{
	struct user *u = user_of(dev);

	if (u->slirp)
		slirp_cleanup(u->slirp);
	u->host->fd_unwatch(u->inst, u->watch);
	if (u->timer)
		u->host->timer_destroy(u->inst, u->timer);
	if (u->service)
		u->host->defer_destroy(u->inst, u->service);
	netdev_queue_finish(&u->queue);
	user_poll_close(u);
	free(u->out);
	free(u->mss);
	free(u->piece);
	free(u);
}

static bool add_forward(struct user *u, const struct user_forward *f)
{
	const struct sockaddr_in *from = (const struct sockaddr_in *)&f->host, *to = (const struct sockaddr_in *)&f->guest;

	errno = 0;
	/* The first of these knows the first address that DHCP gives. */
	if (f->guest.ss_family == AF_INET && !to->sin_addr.s_addr)
		return !slirp_add_hostfwd(u->slirp, f->udp, from->sin_addr, ntohs(from->sin_port), to->sin_addr,
		                          ntohs(to->sin_port));
	return !slirp_add_hostxfwd(u->slirp, (const struct sockaddr *)&f->host, f->length,
	                           (const struct sockaddr *)&f->guest, f->length, f->udp ? SLIRP_HOSTFWD_UDP : 0);
}

static int add_forwards(struct user *u)
{
	const char *text;

	for (uint32_t i = 0; u->host->option_list(u->inst, "forward", i, &text); i++) {
		struct user_forward f;

		if (!user_forward_parse(text, &f))
			return u->host->fail(u->inst, EINVAL,
			                     "forward: \"%s\" is none; write tcp:127.0.0.1:2222-:22, or udp:...", text);
		if (!add_forward(u, &f))
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
	u->netdev.info.mtu = config.mtu;
	u->slirp_mtu = (uint32_t)config.slirp.if_mtu;
	err = user_poll_open(u);
	if (err)
		return u->host->fail(u->inst, -err, "epoll: %s", strerror(-err));
	u->out = malloc(2 * NETDEV_GSO_MAX);
	u->mss = calloc(USER_PORTS, sizeof(*u->mss));
	u->piece = malloc(NETDEV_HEADER + u->slirp_mtu + 40);
	u->service = u->host->defer_create(u->inst, service, u);
	u->timer = u->host->timer_create(u->inst, service, u);
	u->watch = u->host->fd_watch(u->inst, u->epoll, GAMUT_FD_IN, on_ready, u);
	if (!u->out || !u->piece || !u->mss || !u->service || !u->timer || !u->watch ||
	    netdev_queue_init(&u->queue, QUEUE_SIZE))
		return u->host->fail(u->inst, ENOMEM, "out of memory");
	u->slirp = slirp_new(&config.slirp, &callbacks, u);
	if (!u->slirp)
		return u->host->fail(u->inst, EINVAL, "libslirp %s takes no such network", slirp_version_string());
	err = add_forwards(u);
	if (!err)
		u->host->defer_run(u->inst, u->service);
	return err;
}

/* ---- a guest that begins anew ---- */

/*
 * The connections of the guest before are over: nobody is left to say so, and
 * they would stay open on the host, count against the limit and, worse, swallow
 * the new guest's SYN where it comes from the same port (libslirp drops one whose
 * number lies behind what the old connection had received, without an answer).
 */
static void renew(struct user *u)
{
	struct user_config config;
	Slirp *slirp = user_config_read(u->host, u->inst, &config) ? NULL : slirp_new(&config.slirp, &callbacks, u);
	const char *text;

	if (!slirp) {
		u->host->log(u->inst, GAMUT_LOG_ERROR, "libslirp makes no new network: the guest has its old one");
		return;
	}
	slirp_cleanup(u->slirp);
	u->slirp = slirp;
	u->open = 0;
	for (uint32_t i = 0; u->host->option_list(u->inst, "forward", i, &text); i++) {
		struct user_forward f;

		if (!user_forward_parse(text, &f) || !add_forward(u, &f))
			u->host->log(u->inst, GAMUT_LOG_ERROR, "forward: \"%s\": the host's port cannot be had again: %s", text,
			             strerror(errno ? errno : EADDRINUSE));
	}
}

static void user_flush(struct netdev *dev)
{
	struct user *u = user_of(dev);

	netdev_queue_clear(&u->queue);
	u->blocked = u->holds = u->small_mss = false;
	memset(u->mss, 0, USER_PORTS * sizeof(*u->mss));
	renew(u);
	netdev_queue_clear(&u->queue); /* what the old network said at its end */
	set_gate(u);
	u->host->defer_run(u->inst, u->service);
}

static const struct netdev_ops user_ops = {
        .send = user_send,
        .ready = user_ready,
        .set_offload = user_set_offload,
        .flush = user_flush,
        .close = user_close,
};

struct netdev *netdev_user_open(const struct gamut_host *host, struct gamut_inst *inst,
                                const struct netdev_front *front, int *error)
{
	struct user *u = calloc(1, sizeof(*u));

	if (!u) {
		*error = host->fail(inst, ENOMEM, "out of memory");
		return NULL;
	}
	u->netdev = (struct netdev){.ops = &user_ops, .info = {.name = "user",
	                                             .can_send = NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4 |
	                                                         NETDEV_CAN_TCPV6 | NETDEV_CAN_ECN,
	                                             .can_give = NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4 |
	                                                         NETDEV_CAN_TCPV6}};
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
