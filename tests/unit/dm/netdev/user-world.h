/* SPDX-License-Identifier: MIT */
/*
 * A guest of the back end "user", for its tests: a few frames of ARP, IP and
 * TCP, made by hand, and real sockets on the host's loopback at the other end.
 */
#ifndef USER_WORLD_H
#define USER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dm/net/checksum.h"
#include "dm/netdev/netdev.h"
#include "dm/netdev/user.h"
#include "fake/host-fake.h"

#define KEPT 1024
#define GUEST 0x0a00020fu /* 10.0.2.15 */
#define HOST  0x0a000202u

static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

struct world {
	struct host_fake *f;
	struct netdev *dev;
	struct {
		uint8_t data[NETDEV_GSO_MAX];
		uint32_t length;
		uint8_t flags;
		struct netdev_offload offload;
	} *got;
	uint32_t n_got, next; /* frames received; the first that no test has looked at */
	uint32_t room, offers;
	uint32_t writables;
	uint8_t peer[6]; /* the host's address in the guest's network */
};

static inline uint32_t receive(void *opaque, const struct netdev_frame *frames, uint32_t n)
{
	struct world *w = opaque;
	uint32_t i;

	w->offers++;
	for (i = 0; i < n && w->room; i++) {
		assert_int_equal(frames[i].n_iov, 1);
		if (w->n_got < KEPT) {
			memcpy(w->got[w->n_got].data, frames[i].iov[0].iov_base, frames[i].length);
			w->got[w->n_got].length = frames[i].length;
			w->got[w->n_got].offload = frames[i].offload;
			w->got[w->n_got++].flags = frames[i].offload.flags;
		}
		if (w->room != UINT32_MAX)
			w->room--;
	}
	return i;
}

static inline void writable(void *opaque)
{
	((struct world *)opaque)->writables++;
}

static inline int open_dev(struct world *w)
{
	struct netdev_front front = {.receive = receive, .writable = writable, .opaque = w};
	int error = 0;

	memcpy(front.mac, mac, 6);
	w->dev = netdev_open(w->f->host, w->f->inst, &front, &error);
	return error;
}

static inline int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->f = host_fake_create(1 << 20, 1);
	w->got = calloc(KEPT, sizeof(*w->got));
	w->room = UINT32_MAX;
	*state = w;
	return 0;
}

static inline int teardown(void **state)
{
	struct world *w = *state;

	netdev_close(w->dev);
	assert_int_equal(host_fake_destroy(w->f), 0);
	free(w->got);
	free(w);
	return 0;
}

/* Lets the loop run for ms milliseconds of real time, which libslirp goes by. */
static inline void run_for(struct world *w, int ms)
{
	for (int i = 0; i <= ms; i++) {
		host_fake_run(w->f);
		if (i < ms) {
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
			host_fake_advance(w->f, 1000000);
		}
	}
}

/* ---- frames ---- */

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static inline uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static inline void send_frame(struct world *w, const uint8_t *frame, uint32_t length)
{
	/* In two pieces, as a guest's ring may have them. */
	struct iovec iov[2] = {{(void *)(uintptr_t)frame, 20}, {(void *)(uintptr_t)(frame + 20), length - 20}};
	struct netdev_frame f = {.iov = iov, .n_iov = 2, .length = length};

	assert_int_equal(netdev_send(w->dev, &f, 1), 1);
}

/* An IPv4 header for n bytes that follow; returns where they go. */
static inline uint8_t *make_ip(uint8_t *f, const uint8_t *to, uint8_t protocol, uint32_t from_ip, uint32_t to_ip, uint32_t n)
{
	memcpy(f, to, 6);
	memcpy(f + 6, mac, 6);
	put16(f + 12, 0x0800);
	memset(f + 14, 0, 20);
	f[14] = 0x45;
	put16(f + 16, 20 + n);
	f[22] = 64;
	f[23] = protocol;
	put32(f + 26, from_ip);
	put32(f + 30, to_ip);
	put16(f + 24, (uint16_t)~net_sum(f + 14, 20, 0));
	return f + 34;
}

static inline void seal(uint8_t *f, uint8_t protocol, uint32_t at, uint32_t n)
{
	uint16_t sum = net_sum(f + 26, 8, (uint16_t)(protocol + n));

	put16(f + 34 + at, 0);
	put16(f + 34 + at, (uint16_t)~net_sum(f + 34, n, sum));
}

/* The next frame of the protocol, or NULL. IPv6 and others are passed over. */
static inline const uint8_t *next_ip(struct world *w, uint8_t protocol, uint32_t *length)
{
	while (w->next < w->n_got) {
		const uint8_t *f = w->got[w->next].data;

		*length = w->got[w->next++].length;
		if (*length >= 34 && get16(f + 12) == 0x0800 && f[23] == protocol)
			return f;
	}
	return NULL;
}

/* ARP: learns the host's address and tells it ours. */
static inline void arp(struct world *w)
{
	uint8_t f[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	memcpy(f + 6, mac, 6);
	put16(f + 12, 0x0806);
	memcpy(f + 14, "\0\1\x08\0\6\4\0\1", 8);
	memcpy(f + 22, mac, 6);
	put32(f + 28, GUEST);
	put32(f + 38, HOST);
	send_frame(w, f, sizeof(f));
	host_fake_run(w->f);
	for (; w->next < w->n_got; w->next++) {
		const uint8_t *a = w->got[w->next].data;

		if (get16(a + 12) == 0x0806 && get16(a + 20) == 2) {
			memcpy(w->peer, a + 22, 6);
			w->next++;
			return;
		}
	}
	fail_msg("no answer to ARP");
}

struct tcp {
	uint32_t seq, ack;
	uint16_t from, to, window, mss; /* mss: in the SYN; 0: not said */
};

#define FIN 1
#define SYN 2
#define RST 4
#define PSH 8
#define ACK 16

static inline void tcp_send(struct world *w, struct tcp *t, uint8_t flags, const void *data, uint32_t n)
{
	uint32_t header = flags & SYN && t->mss ? 24 : 20;
	uint8_t f[1600], *p = make_ip(f, w->peer, 6, GUEST, HOST, header + n);

	memset(p, 0, header);
	put16(p, t->from);
	put16(p + 2, t->to);
	put32(p + 4, t->seq);
	put32(p + 8, t->ack);
	p[12] = (uint8_t)(header << 2);
	p[13] = flags;
	put16(p + 14, t->window);
	if (header > 20) {
		put16(p + 20, 0x0204);
		put16(p + 22, t->mss);
	}
	if (n)
		memcpy(p + header, data, n);
	seal(f, 6, 16, header + n);
	t->seq += n + (flags & (SYN | FIN) ? 1 : 0);
	send_frame(w, f, 34 + header + n);
}

/* Takes the segments that have come; returns the flags of all, payload into buf. */
static inline uint8_t tcp_take(struct world *w, struct tcp *t, uint8_t *buf, uint32_t *n)
{
	uint8_t flags = 0;
	const uint8_t *f;
	uint32_t length;

	*n = 0;
	while ((f = next_ip(w, 6, &length))) {
		uint32_t header = 34 + (f[46] >> 4) * 4u, size = get16(f + 16) + 14 - header;

		if (get16(f + 36) != t->from)
			continue;
		if (f[47] & SYN)
			t->ack = get32(f + 38);
		if (get32(f + 38) == t->ack) {
			if (buf)
				memcpy(buf + *n, f + header, size);
			*n += size;
			t->ack += size + (f[47] & (SYN | FIN) ? 1 : 0);
		}
		flags |= f[47];
	}
	return flags;
}

static inline int listener(uint16_t *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

/* A connection from the guest to the host's loopback; the accepted end. */
static inline int connect_guest_mss(struct world *w, struct tcp *t, uint16_t mss)
{
	uint8_t flags = 0;
	uint16_t port;
	uint32_t n;
	int fd = listener(&port), peer;

	*t = (struct tcp){.seq = 1000, .from = 40000, .to = port, .window = 65535, .mss = mss};
	arp(w);
	tcp_send(w, t, SYN, NULL, 0);
	for (int i = 0; i < 500 && !(flags & SYN); i++) {
		run_for(w, 1);
		flags |= tcp_take(w, t, NULL, &n);
	}
	assert_int_equal(flags & (SYN | ACK | RST), SYN | ACK);
	tcp_send(w, t, ACK, NULL, 0);
	run_for(w, 2);
	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(peer >= 0);
	close(fd);
	return peer;
}

static inline int connect_guest(struct world *w, struct tcp *t)
{
	return connect_guest_mss(w, t, 0);
}

#endif
