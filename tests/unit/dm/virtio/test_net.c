/* SPDX-License-Identifier: MIT */
/* virtio-net with a driver written here, honest and not, on a network that keeps what it is sent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/virtio_net.h>

#include "dm/virtio/net.h"
#include "fake/netdev-fake.h"
#include "fake/virtio-rig.h"

#define RAM  (8ull << 20)
#define RX   0x10000u
#define TX   0x20000u
#define CTRL 0x30000u
#define RX1  0x40000u
#define TX1  0x50000u
#define DATA 0x100000u
#define BUFS 0x200000u
#define CMD  0x180000u
#define ACK  0x181000u
#define HDR  ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define F(n) VIRTIO_FEATURE(n)
#define BASE                                                                                                           \
	(F(VIRTIO_F_VERSION_1) | F(VIRTIO_NET_F_MAC) | F(VIRTIO_NET_F_CTRL_VQ) | F(VIRTIO_NET_F_CTRL_RX) |             \
	 F(VIRTIO_NET_F_CTRL_RX_EXTRA) | F(VIRTIO_NET_F_CTRL_MAC_ADDR) | F(VIRTIO_NET_F_STATUS))
#define OFFLOADS                                                                                                       \
	(F(VIRTIO_NET_F_CSUM) | F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_NET_F_HOST_TSO4) | F(VIRTIO_NET_F_GUEST_TSO4) |  \
	 F(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))
#define MRG F(VIRTIO_NET_F_MRG_RXBUF)
#define MQ  F(VIRTIO_NET_F_MQ)

static const uint8_t own[NETDEV_MAC] = {0x00, 0x16, 0x3e, 1, 2, 3};

struct fixture {
	struct host_fake *f;
	struct netdev_fake *net;
	struct vnet *n;
	struct virtio_rig r;
	struct virtio_ring rx, tx, ctrl;
	uint8_t frame[70000];
};

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct vnet_config c = {.pairs = 2};

	t->f = host_fake_create(RAM, 2);
	t->net = netdev_fake_create();
	t->net->netdev.info.can_send = NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4;
	t->net->netdev.info.can_give = NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4;
	t->net->netdev.info.mtu = 1500;
	c.host = t->f->host;
	c.inst = t->f->inst;
	memcpy(c.mac, own, sizeof(own));
	t->n = vnet_create(&c);
	vnet_front(t->n, &t->net->front);
	vnet_connect(t->n, &t->net->netdev);
	virtio_rig_init(&t->r, t->f, vnet_device(t->n));
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	virtio_power_on(t->r.dev);
	assert_int_equal(t->f->gets, 0);
	host_fake_run(t->f);
	vnet_destroy(t->n);
	netdev_fake_destroy(t->net);
	assert_int_equal(host_fake_destroy(t->f), 0);
	free(t);
	return 0;
}

static void go(struct fixture *t, uint64_t features)
{
	assert_true(virtio_rig_features(&t->r, features));
	virtio_ring_init(&t->rx, &t->r, 0, RX, 64);
	virtio_ring_init(&t->tx, &t->r, 1, TX, 64);
	virtio_ring_init(&t->ctrl, &t->r, features & MQ ? 4 : 2, CTRL, 16);
	virtio_rig_driver_ok(&t->r);
	host_fake_run(t->f);
}

/* A frame to us, of some bytes that tell places apart. */
static const uint8_t *frame(struct fixture *t, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		t->frame[i] = (uint8_t)(i * 13 + i / 256);
	memcpy(t->frame, own, sizeof(own));
	t->frame[12] = 0x88;
	t->frame[13] = 0xb5;
	return t->frame;
}

/* ---- from the guest ---- */

/* Offers a frame for sending in pieces of `piece` bytes, header first. */
static void offer(struct fixture *t, struct virtio_net_hdr_v1 h, uint32_t length, uint32_t piece)
{
	struct virtio_buf buf[64];
	uint32_t n = 0;

	memcpy(t->f->ram + DATA, &h, HDR);
	memcpy(t->f->ram + DATA + HDR, frame(t, length), length);
	for (uint32_t at = 0; at < HDR + length; at += piece, n++)
		buf[n] = (struct virtio_buf){DATA + at, HDR + length - at < piece ? HDR + length - at : piece};
	virtio_ring_add(&t->tx, buf, n, 0);
}

static void sends(void **state)
{
	struct fixture *t = *state;
	struct vring_used_elem elem = {0};
	uint32_t pieces[] = {2000, 12, 7, 500};

	go(t, BASE);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t length = pieces[i] < 100 ? 300 : 1000;

		offer(t, (struct virtio_net_hdr_v1){0}, length, pieces[i]);
		virtio_ring_kick(&t->tx);
		assert_int_equal(t->net->n_sent, i + 1);
		assert_int_equal(t->net->sent[i].length, length);
		assert_memory_equal(t->net->sent[i].data, t->frame, t->net->sent[i].length);
		assert_true(virtio_ring_used(&t->tx, &elem));
		assert_int_equal(elem.len, 0);
	}
	assert_int_equal(host_fake_counter(t->f, "virtio-net frames"), 4);
}

static void batches(void **state)
{
	struct fixture *t = *state;

	go(t, BASE);
	for (int i = 0; i < 60; i++)
		offer(t, (struct virtio_net_hdr_v1){0}, 100, 200);
	virtio_ring_kick(&t->tx);
	assert_int_equal(t->net->n_sent, 60);
	assert_int_equal(t->net->n_calls, 1);
	assert_int_equal(t->r.irqs[1], 1);
}

/* What the back end does not take stays in the ring, in its order. */
static void back_pressure(void **state)
{
	struct fixture *t = *state;

	go(t, BASE);
	t->net->room = 3;
	for (uint32_t i = 0; i < 8; i++)
		offer(t, (struct virtio_net_hdr_v1){0}, 100 + i, 1000);
	/* Each has its own bytes in one place: only lengths tell them apart. */
	virtio_ring_kick(&t->tx);
	assert_int_equal(t->net->n_sent, 3);
	assert_int_equal(t->tx.used->idx, 3);
	assert_int_equal(t->f->gets, 9); /* the rings */
	virtio_ring_kick(&t->tx);
	assert_int_equal(t->net->n_sent, 3);
	t->net->room = UINT32_MAX;
	t->net->front.writable(t->net->front.opaque);
	host_fake_run(t->f);
	assert_int_equal(t->net->n_sent, 8);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(t->net->sent[i].length, 100 + i);
	assert_int_equal(t->tx.used->idx, 8);
}

static void offload_headers(void **state)
{
	struct fixture *t = *state;
	struct virtio_net_hdr_v1 h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	                              .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
	                              .gso_size = 1448,
	                              .hdr_len = 66,
	                              .csum_start = 34,
	                              .csum_offset = 16};

	go(t, BASE | OFFLOADS);
	offer(t, h, 20000, 4096);
	virtio_ring_kick(&t->tx);
	assert_int_equal(t->net->n_sent, 1);
	assert_int_equal(t->net->sent[0].length, 20000);
	assert_memory_equal(t->net->sent[0].data, t->frame, 20000);
	assert_int_equal(t->net->sent[0].offload.flags, NETDEV_CSUM_NEEDED);
	assert_int_equal(t->net->sent[0].offload.gso_type, NETDEV_GSO_TCPV4);
	assert_int_equal(t->net->sent[0].offload.gso_size, 1448);
	assert_int_equal(t->net->sent[0].offload.csum_start, 34);
	h.hdr_len = 60000; /* a wrong hint is no hint */
	offer(t, h, 20000, 4096);
	virtio_ring_kick(&t->tx);
	assert_int_equal(t->net->sent[1].offload.header_len, 0);
}

static const struct {
	struct virtio_net_hdr_v1 h;
	uint32_t length;
} bad[] = {
        {{0}, 13},
        {{0}, 20000}, /* longer than a frame without segmentation */
        {{.flags = 1, .csum_start = 99, .csum_offset = 0}, 100},
        {{.flags = 1, .csum_start = 65535, .csum_offset = 65535}, 100},
        {{.flags = 1, .gso_type = 1, .gso_size = 0, .csum_start = 34, .csum_offset = 16}, 3000},
        {{.flags = 0, .gso_type = 1, .gso_size = 1000}, 3000},
        {{.flags = 1, .gso_type = 4, .gso_size = 1000, .csum_start = 34, .csum_offset = 16}, 3000}, /* not offered */
        {{.flags = 1, .gso_type = 3, .gso_size = 1000, .csum_start = 34, .csum_offset = 6}, 3000},
        {{.flags = 1, .gso_type = 0x81, .gso_size = 1000, .csum_start = 34, .csum_offset = 16}, 3000},
        {{.flags = 1, .gso_type = 0x77, .gso_size = 1000, .csum_start = 34, .csum_offset = 16}, 3000},
};

static void bad_headers(void **state)
{
	struct fixture *t = *state;
	uint32_t n = sizeof(bad) / sizeof(bad[0]);
	struct virtio_buf half = {DATA, 5};

	go(t, BASE | OFFLOADS);
	for (uint32_t i = 0; i < n; i++)
		offer(t, bad[i].h, bad[i].length, 65536);
	virtio_ring_add(&t->tx, &half, 1, 0);
	/* All in one place: the last one is what all of them read. So one by one again. */
	virtio_ring_kick(&t->tx);
	for (uint32_t i = 0; i < n; i++) {
		offer(t, bad[i].h, bad[i].length, 65536);
		virtio_ring_kick(&t->tx);
	}
	offer(t, (struct virtio_net_hdr_v1){0}, 100, 65536);
	virtio_ring_kick(&t->tx);
	assert_int_equal(t->net->n_sent, 1);
	assert_int_equal(t->tx.used->idx, 2 * n + 2);
	assert_int_equal(host_fake_counter(t->f, "bad frames"), 2 * n + 1);
}

static void broken_ring(void **state)
{
	struct fixture *t = *state;

	go(t, BASE);
	offer(t, (struct virtio_net_hdr_v1){0}, 100, 1000);
	t->tx.desc[1] = (struct vring_desc){.addr = UINT64_MAX, .len = 10};
	virtio_ring_offer(&t->tx, 1);
	virtio_ring_kick(&t->tx);
	/* What came before it was sent. */
	assert_int_equal(t->net->n_sent, 1);
	assert_int_equal(t->tx.used->idx, 1);
	assert_true(virtio_status(t->r.dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	virtio_ring_kick(&t->tx);
	virtio_set_status(t->r.dev, 0);
	go(t, BASE);
	offer(t, (struct virtio_net_hdr_v1){0}, 100, 1000);
	virtio_ring_kick(&t->tx);
	assert_int_equal(t->net->n_sent, 2);
}

/* ---- to the guest ---- */

/* n receive buffers of `size` bytes. */
static void buffers(struct virtio_ring *ring, uint32_t n, uint32_t size)
{
	for (uint32_t i = 0; i < n; i++) {
		struct virtio_buf buf = {BUFS + ring->next * 0x10000u, size};

		virtio_ring_add(ring, &buf, 0, 1);
	}
	virtio_ring_kick(ring);
}

static const uint8_t *buffer_of(struct fixture *t, const struct vring_used_elem *elem)
{
	return t->f->ram + BUFS + elem->id * 0x10000u;
}

static void receives(void **state)
{
	struct fixture *t = *state;
	struct vring_used_elem elem = {0};
	struct virtio_net_hdr_v1 h;

	go(t, BASE);
	buffers(&t->rx, 4, 1600);
	assert_true(netdev_fake_give(t->net, frame(t, 1000), 1000, NETDEV_CSUM_VALID));
	assert_true(virtio_ring_used(&t->rx, &elem));
	assert_int_equal(elem.len, HDR + 1000);
	memcpy(&h, buffer_of(t, &elem), HDR);
	assert_int_equal(h.num_buffers, 1);
	assert_int_equal(h.flags, 0); /* nobody asked for it */
	assert_memory_equal(buffer_of(t, &elem) + HDR, t->frame, 1000);
	assert_int_equal(t->r.irqs[0], 1);
}

static void merges(void **state)
{
	struct fixture *t = *state;
	struct vring_used_elem elem = {0};
	struct virtio_net_hdr_v1 h;
	uint32_t at = 0;

	go(t, BASE | MRG | OFFLOADS);
	buffers(&t->rx, 8, 700);
	assert_true(netdev_fake_give(t->net, frame(t, 3000), 3000, NETDEV_CSUM_VALID));
	for (int i = 0; i < 5; i++) {
		const uint8_t *p;
		uint32_t skip = i ? 0 : HDR;

		assert_true(virtio_ring_used(&t->rx, &elem));
		p = buffer_of(t, &elem);
		assert_int_equal(elem.len, i < 4 ? 700 : 3000 + HDR - 2800);
		assert_memory_equal(p + skip, t->frame + at, elem.len - skip);
		at += elem.len - skip;
		memcpy(&h, p, HDR);
		if (!i)
			assert_int_equal(h.num_buffers, 5);
		if (!i)
			assert_int_equal(h.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	}
	assert_int_equal(at, 3000);
	assert_false(virtio_ring_used(&t->rx, &elem));
}

/* Too few buffers: the frame waits in the back end, and the guest says when there are more. */
static void waits_for_buffers(void **state)
{
	struct fixture *t = *state;

	go(t, BASE | MRG);
	buffers(&t->rx, 2, 700);
	assert_false(netdev_fake_give(t->net, frame(t, 3000), 3000, 0));
	assert_int_equal(t->rx.used->idx, 0);
	assert_int_equal(t->net->readies, 0);
	buffers(&t->rx, 3, 700);
	assert_int_equal(t->net->readies, 1);
	assert_true(netdev_fake_give(t->net, frame(t, 3000), 3000, 0));
	assert_int_equal(t->rx.used->idx, 5);
	buffers(&t->rx, 1, 700);
	assert_int_equal(t->net->readies, 1);
}

static void never_fits(void **state)
{
	struct fixture *t = *state;

	go(t, BASE);
	buffers(&t->rx, 2, 700);
	assert_true(netdev_fake_give(t->net, frame(t, 1000), 1000, 0));
	assert_int_equal(t->rx.used->idx, 0);
	assert_int_equal(host_fake_counter(t->f, "frames dropped"), 1);
	assert_true(netdev_fake_give(t->net, frame(t, 600), 600, 0));
	assert_int_equal(t->rx.used->idx, 1);
}

static void without_a_driver(void **state)
{
	struct fixture *t = *state;

	assert_true(netdev_fake_give(t->net, frame(t, 100), 100, 0));
	go(t, BASE);
	assert_false(netdev_fake_give(t->net, frame(t, 100), 100, 0));
	/* The guest goes while a frame waits: the back end is asked for it, and it is dropped. */
	virtio_set_status(t->r.dev, 0);
	host_fake_run(t->f);
	assert_int_equal(t->net->readies, 1);
	assert_true(netdev_fake_give(t->net, frame(t, 100), 100, 0));
}

static void offload_to_the_guest(void **state)
{
	struct fixture *t = *state;
	struct vring_used_elem elem = {0};
	struct virtio_net_hdr_v1 h;
	struct iovec iov = {t->frame, 9000};
	struct netdev_frame f = {.iov = &iov,
	                         .n_iov = 1,
	                         .length = 9000,
	                         .offload = {.flags = NETDEV_CSUM_NEEDED, .gso_type = NETDEV_GSO_TCPV4, .header_len = 54,
	                                     .gso_size = 1460, .csum_start = 34, .csum_offset = 16}};

	go(t, BASE | MRG | OFFLOADS);
	assert_int_equal(t->net->can, NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4);
	frame(t, 9000);
	buffers(&t->rx, 8, 4096);
	assert_int_equal(t->net->front.receive(t->net->front.opaque, &f, 1), 1);
	assert_true(virtio_ring_used(&t->rx, &elem));
	memcpy(&h, buffer_of(t, &elem), HDR);
	assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(h.gso_size, 1460);
	assert_int_equal(h.csum_start, 34);
	assert_int_equal(h.num_buffers, 3);
	/* One that the guest did not ask for is not given to it. */
	f.offload.gso_type = NETDEV_GSO_TCPV6;
	assert_int_equal(t->net->front.receive(t->net->front.opaque, &f, 1), 1);
	assert_int_equal(t->rx.used->idx, 3);
}

/* ---- the control queue ---- */

static uint8_t command(struct fixture *t, uint8_t class, uint8_t cmd, const void *data, uint32_t n)
{
	struct virtio_buf buf[2] = {{CMD, 2 + n}, {ACK, 1}};

	t->f->ram[CMD] = class;
	t->f->ram[CMD + 1] = cmd;
	memcpy(t->f->ram + CMD + 2, data, n);
	t->f->ram[ACK] = 0xee;
	virtio_ring_add(&t->ctrl, buf, 1, 1);
	virtio_ring_kick(&t->ctrl);
	return t->f->ram[ACK];
}

/* Whether a frame to this address arrives. */
static bool arrives(struct fixture *t, const uint8_t to[NETDEV_MAC])
{
	uint16_t before = t->rx.used->idx;

	frame(t, 100);
	memcpy(t->frame, to, NETDEV_MAC);
	buffers(&t->rx, 1, 2000);
	assert_true(netdev_fake_give(t->net, t->frame, 100, 0));
	return t->rx.used->idx != before;
}

static void filters(void **state)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255}, group[6] = {1, 0, 0x5e, 1, 2, 3},
	                     other[6] = {2, 4, 6, 8, 10, 12}, off = 0, on = 1;
	struct fixture *t = *state;
	uint8_t table[4 + 6 + 4 + 6] = {1};

	go(t, BASE);
	assert_true(arrives(t, other));
	assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), VIRTIO_NET_OK);
	assert_false(arrives(t, other));
	assert_false(arrives(t, group));
	assert_true(arrives(t, own));
	assert_true(arrives(t, all));
	memcpy(table + 4, other, 6);
	table[10] = 1;
	memcpy(table + 14, group, 6);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 20), VIRTIO_NET_OK);
	assert_true(arrives(t, other));
	assert_true(arrives(t, group));
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, all, 5), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, &on, 1), VIRTIO_NET_OK);
	assert_false(arrives(t, all));
	assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOMULTI, &on, 1), VIRTIO_NET_OK);
	assert_false(arrives(t, group));
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x02zzzzz", 6), VIRTIO_NET_OK);
	assert_false(arrives(t, own));
	assert_int_equal(virtio_config_read(t->r.dev, 1, 1), 'z');
	virtio_set_status(t->r.dev, 0);
	assert_int_equal(virtio_config_read(t->r.dev, 1, 1), 0x16);
}

static void bad_commands(void **state)
{
	struct fixture *t = *state;
	uint8_t table[64] = {0xff, 0xff, 0xff, 0xff};
	struct virtio_buf only = {CMD, 2};

	go(t, BASE);
	for (uint32_t class = 0; class < 256; class++)
		assert_int_equal(command(t, (uint8_t)class, 200, table, 8), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, 0, table, 0), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, 0, table, 2), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, 0, table, 64), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, 0, table, 3), VIRTIO_NET_ERR);
	table[0] = table[1] = table[2] = table[3] = 0;
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, 0, table, 4), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, 0, table, 9), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, 0, table, 8), VIRTIO_NET_OK);
	/* Not negotiated. */
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MQ, 0, "\1", 2), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_VLAN, 0, "\1", 2), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, table, 8), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_ANNOUNCE, 0, table, 0), VIRTIO_NET_ERR);
	virtio_ring_add(&t->ctrl, &only, 1, 0);
	virtio_ring_kick(&t->ctrl);
	assert_true(virtio_status(t->r.dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void vlans(void **state)
{
	struct fixture *t = *state;
	uint8_t off = 0, id[2] = {42, 0};

	go(t, BASE | F(VIRTIO_NET_F_CTRL_VLAN));
	assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), VIRTIO_NET_OK);
	buffers(&t->rx, 4, 2000);
	frame(t, 100);
	memcpy(t->frame + 12, "\x81\x00\x00\x2a", 4);
	assert_true(netdev_fake_give(t->net, t->frame, 100, 0));
	assert_int_equal(t->rx.used->idx, 0);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, id, 2), VIRTIO_NET_OK);
	assert_true(netdev_fake_give(t->net, t->frame, 100, 0));
	assert_int_equal(t->rx.used->idx, 1);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, id, 2), VIRTIO_NET_OK);
	assert_true(netdev_fake_give(t->net, t->frame, 100, 0));
	assert_int_equal(t->rx.used->idx, 1);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\xff\xff", 2), VIRTIO_NET_ERR);
}

static void guest_offloads(void **state)
{
	struct fixture *t = *state;
	uint64_t none = 0, more = F(VIRTIO_NET_F_GUEST_TSO6);

	go(t, BASE | OFFLOADS);
	assert_int_equal(t->net->can, NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &none, 8), VIRTIO_NET_OK);
	assert_int_equal(t->net->can, 0);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &more, 8), VIRTIO_NET_ERR);
}

static void link_and_announcement(void **state)
{
	struct fixture *t = *state;

	go(t, BASE | F(VIRTIO_NET_F_GUEST_ANNOUNCE));
	assert_int_equal(virtio_config_read(t->r.dev, 6, 2), VIRTIO_NET_S_LINK_UP);
	t->net->front.link(t->net->front.opaque, false);
	assert_int_equal(virtio_config_read(t->r.dev, 6, 2), 0);
	t->net->front.link(t->net->front.opaque, true);
	assert_int_equal(virtio_config_read(t->r.dev, 6, 2), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_int_equal(t->r.config_irqs, 2);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_ANNOUNCE, 0, "", 0), VIRTIO_NET_OK);
	assert_int_equal(virtio_config_read(t->r.dev, 6, 2), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(virtio_config_read(t->r.dev, 8, 2), 2);
	assert_int_equal(virtio_config_read(t->r.dev, 10, 2), 1500);
}

/* ---- several queues ---- */

static void set_flow(uint8_t *f, uint8_t from, uint8_t to, uint16_t sport, uint16_t dport)
{
	memset(f + 12, 0, 60);
	memcpy(f + 12, "\x08\x00\x45", 3);
	f[23] = 6;
	f[29] = from;
	f[33] = to;
	f[34] = (uint8_t)(sport >> 8);
	f[35] = (uint8_t)sport;
	f[36] = (uint8_t)(dport >> 8);
	f[37] = (uint8_t)dport;
}

/* A flow is received where it was sent. */
static void steering(void **state)
{
	struct virtio_ring rx1, tx1;
	struct fixture *t = *state;
	struct virtio_buf buf = {DATA, HDR + 100};

	assert_true(virtio_rig_features(&t->r, BASE | MQ));
	virtio_ring_init(&t->rx, &t->r, 0, RX, 64);
	virtio_ring_init(&t->tx, &t->r, 1, TX, 64);
	virtio_ring_init(&rx1, &t->r, 2, RX1, 64);
	virtio_ring_init(&tx1, &t->r, 3, TX1, 64);
	virtio_ring_init(&t->ctrl, &t->r, 4, CTRL, 16);
	virtio_rig_driver_ok(&t->r);
	buffers(&t->rx, 4, 2000);
	buffers(&rx1, 4, 2000);
	/* A queue that is not in use is not read. */
	memset(t->f->ram + DATA, 0, HDR);
	memcpy(t->f->ram + DATA + HDR, frame(t, 100), 100);
	set_flow(t->f->ram + DATA + HDR, 1, 2, 1000, 80);
	virtio_ring_add(&tx1, &buf, 1, 0);
	virtio_ring_kick(&tx1);
	assert_int_equal(t->net->n_sent, 0);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MQ, 0, "\3\0", 2), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MQ, 0, "\0\0", 2), VIRTIO_NET_ERR);
	assert_int_equal(command(t, VIRTIO_NET_CTRL_MQ, 0, "\2\0", 2), VIRTIO_NET_OK);
	assert_int_equal(t->net->n_sent, 1);
	set_flow(t->frame, 2, 1, 80, 1000);
	assert_true(netdev_fake_give(t->net, t->frame, 100, 0));
	assert_int_equal(rx1.used->idx, 1);
	set_flow(t->frame, 3, 1, 80, 1001);
	assert_true(netdev_fake_give(t->net, t->frame, 100, 0));
	assert_int_equal(t->rx.used->idx, 1);
}

/* ---- negotiation and life ---- */

static void needs_each_other(void **state)
{
	static const uint64_t wrong[] = {
	        F(VIRTIO_NET_F_HOST_TSO4), F(VIRTIO_NET_F_GUEST_TSO4), MQ, F(VIRTIO_NET_F_CTRL_RX),
	        F(VIRTIO_NET_F_HOST_TSO6) | F(VIRTIO_NET_F_CSUM) /* not offered */,
	};
	struct fixture *t = *state;

	for (uint32_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_false(virtio_rig_features(&t->r, F(VIRTIO_F_VERSION_1) | wrong[i]));
		virtio_set_status(t->r.dev, 0);
	}
	assert_true(virtio_rig_features(&t->r, F(VIRTIO_F_VERSION_1)));
}

static void pause_and_resume(void **state)
{
	struct fixture *t = *state;

	go(t, BASE);
	t->net->room = 0;
	offer(t, (struct virtio_net_hdr_v1){0}, 100, 1000);
	virtio_ring_kick(&t->tx);
	buffers(&t->rx, 1, 2000);
	virtio_pause(t->r.dev);
	assert_int_equal(t->f->gets, 0);
	virtio_resume(t->r.dev);
	t->net->room = UINT32_MAX;
	t->net->front.writable(t->net->front.opaque);
	host_fake_run(t->f);
	assert_int_equal(t->net->n_sent, 1);
	assert_true(netdev_fake_give(t->net, frame(t, 100), 100, 0));
	assert_int_equal(t->rx.used->idx, 1);
}

/* A back end that forgets a guest does not say that it takes frames again. */
static void reset_while_refused(void **state)
{
	struct fixture *t = *state;

	go(t, BASE);
	t->net->room = 0;
	offer(t, (struct virtio_net_hdr_v1){0}, 100, 1000);
	virtio_ring_kick(&t->tx);
	assert_int_equal(t->net->n_sent, 0);
	virtio_set_status(t->r.dev, 0);
	t->net->room = UINT32_MAX;
	go(t, BASE);
	offer(t, (struct virtio_net_hdr_v1){0}, 100, 1000);
	virtio_ring_kick(&t->tx);
	assert_int_equal(t->net->n_sent, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(sends),
	        TEST(batches),
	        TEST(back_pressure),
	        TEST(offload_headers),
	        TEST(bad_headers),
	        TEST(reset_while_refused),
	        TEST(broken_ring),
	        TEST(receives),
	        TEST(merges),
	        TEST(waits_for_buffers),
	        TEST(never_fits),
	        TEST(without_a_driver),
	        TEST(offload_to_the_guest),
	        TEST(filters),
	        TEST(bad_commands),
	        TEST(vlans),
	        TEST(guest_offloads),
	        TEST(link_and_announcement),
	        TEST(steering),
	        TEST(needs_each_other),
	        TEST(pause_and_resume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
