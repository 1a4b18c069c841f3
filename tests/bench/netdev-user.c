/* SPDX-License-Identifier: MIT */
/*
 * What the back end "user" costs by itself: a guest that is nothing but a TCP
 * sender and receiver, on a host whose loop does nothing else, with a thread at
 * the other end of the host's loopback.
 *
 *     netdev-user SECONDS
 *
 * prints MB/s and frames a second each way, with segmentation left to the other
 * side and without.
 */
#include "unit/dm/netdev/user-world.h"

#include <pthread.h>

struct far {
	int fd;
	bool sends;
};

/* The other end: reads all there is, or writes all it can. */
static void *far_end(void *opaque)
{
	static uint8_t data[1 << 18];
	struct far *f = opaque;

	fcntl(f->fd, F_SETFL, 0);
	while ((f->sends ? send(f->fd, data, sizeof(data), MSG_NOSIGNAL) : read(f->fd, data, sizeof(data))) > 0)
		;
	return NULL;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the guest's side of one connection ---- */

struct near {
	struct netdev_front front;
	struct netdev *dev;
	struct world *w;
	struct tcp t;
	uint32_t acked, window; /* of what was sent */
	uint64_t bytes, frames;
	bool ack;
};

static uint32_t near_receive(void *opaque, const struct netdev_frame *frames, uint32_t n)
{
	struct near *g = opaque;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *f = frames[i].iov[0].iov_base;
		uint32_t size;

		if (get16(f + 12) != 0x0800 || f[23] != 6)
			continue;
		size = get16(f + 16) - 20 - (f[46] >> 4) * 4u;
		g->acked = get32(f + 42);
		g->window = get16(f + 48);
		if (size && get32(f + 38) == g->t.ack) {
			g->t.ack += size;
			g->bytes += size;
			g->frames++;
			g->ack = true;
		}
	}
	return n;
}

static void to_guest(struct near *g)
{
	host_fake_run(g->w->f);
	if (g->ack)
		tcp_send(g->w, &g->t, ACK, NULL, 0);
	g->ack = false;
}

/* As much as the window has room for, in frames of `most` bytes of payload, a batch at a time as a card's. */
static void from_guest(struct near *g, uint32_t most, struct netdev_offload offload)
{
	static uint8_t f[64][1514], large[NETDEV_GSO_MAX];
	struct netdev_frame frame[64];
	struct iovec iov[64];
	uint32_t room, count = 0;

	while (count < 64 && (room = g->window - (g->t.seq - g->acked)) && room <= 65535) {
		uint32_t n = room < most ? room : most;
		uint8_t *to = most > 1460 ? large : f[count], *p = make_ip(to, g->w->peer, 6, GUEST, HOST, 20 + n);

		iov[count] = (struct iovec){to, 54 + n};
		frame[count] = (struct netdev_frame){.iov = &iov[count], .n_iov = 1, .length = 54 + n, .offload = offload};
		memset(p, 0, 20);
		put16(p, g->t.from);
		put16(p + 2, g->t.to);
		put32(p + 4, g->t.seq);
		put32(p + 8, g->t.ack);
		p[12] = 5 << 4;
		p[13] = ACK | PSH;
		put16(p + 14, g->t.window);
		put16(p + 16, net_sum(to + 26, 8, (uint16_t)(6 + 20 + n)));
		g->t.seq += n;
		g->bytes += n;
		g->frames++;
		count++;
		if (most > 1460)
			netdev_send(g->dev, frame, count);
		count = most > 1460 ? 0 : count;
	}
	if (count)
		netdev_send(g->dev, frame, count);
	host_fake_run(g->w->f);
}

static uint32_t forward_receive(void *opaque, const struct netdev_frame *frames, uint32_t n)
{
	struct near *g = opaque;

	return g->front.receive ? g->front.receive(g, frames, n) : receive(g->w, frames, n);
}

static void measure(const char *name, double duration, bool sends, uint32_t most, uint32_t can)
{
	struct netdev_offload offload = {.flags = NETDEV_CSUM_NEEDED,
	                                 .gso_type = most > 1460 ? NETDEV_GSO_TCPV4 : 0,
	                                 .gso_size = 1460,
	                                 .csum_start = 34,
	                                 .csum_offset = 16};
	struct world *w;
	struct near g = {0};
	struct netdev_front front = {.receive = forward_receive, .writable = writable, .opaque = &g};
	struct far far;
	pthread_t thread;
	double start, took;
	int error;

	setup((void **)&w);
	g.w = w;
	w->dev = g.dev = netdev_open(w->f->host, w->f->inst, &front, &error);
	netdev_set_offload(g.dev, can);
	far = (struct far){.fd = connect_guest_mss(w, &g.t, 1460), .sends = !sends};
	g.acked = g.t.seq;
	g.window = 65535;
	g.front.receive = near_receive;
	pthread_create(&thread, NULL, far_end, &far);
	start = seconds();
	for (took = 0; took < duration; took = seconds() - start) {
		for (int i = 0; i < 100; i++) {
			if (sends)
				from_guest(&g, most, offload);
			else
				to_guest(&g);
		}
		host_fake_advance(w->f, 1000000);
	}
	printf("%-40s %8.0f MB/s %10.0f frames/s\n", name, (double)g.bytes / took / 1e6, (double)g.frames / took);
	shutdown(far.fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(far.fd);
	teardown((void **)&w);
}

int main(int argc, char **argv)
{
	double duration = argc > 1 ? atof(argv[1]) : 2;

	if (argc > 2)
		return measure("from the guest, 1500 bytes", duration, true, 1460, 0), 0;
	measure("from the guest, large", duration, true, 62780, 0);
	measure("from the guest, 1500 bytes", duration, true, 1460, 0);
	measure("to the guest, large", duration, false, 0, NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4);
	measure("to the guest, 1500 bytes", duration, false, 0, 0);
	return 0;
}
