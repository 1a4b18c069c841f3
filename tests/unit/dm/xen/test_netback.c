/* SPDX-License-Identifier: MIT */
/* The network back end against a front end written here, honest and not, over a real bus and a network in
 * memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/net/checksum.h"
#include "dm/xen/netback.h"
#include "dm/xen/netring.h"
#include "dm/xen/xenbus.h"
#include "fake/host-fake.h"
#include "fake/netdev-fake.h"
#include "fake/xen-fake.h"

#define RAM   (16ull << 20)
#define FRONT "/local/domain/1/device/vif/0"
#define BACK  "/local/domain/0/backend/vif/1/0"

/* Where things are in guest memory, and under which grants: queue i's rings at RING + 2 i pages. */
#define RING_GPA 0x100000u
#define RING_REF 8u
#define TX_GPA   0x200000u
#define TX_REF   100u
#define RX_GPA   0x600000u
#define RX_REF   1000u
#define DATA     512u /* pages of each */
#define HEADERS  54u  /* Ethernet, IPv4, TCP */

struct queue {
	netif_tx_sring_t *tx;
	netif_rx_sring_t *rx;
	uint32_t port, rx_port;
	RING_IDX tx_prod, tx_seen, rx_prod, rx_seen;
};

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct xenbus *bus;
	struct netdev_fake *net;
	struct netback *back;
	struct queue q[3];
	int16_t status[1024]; /* by id */
	uint32_t connects, disconnects;
};

/* ---- the front end ---- */

static void put(struct fixture *t, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), FRONT "/%s", name);
	assert_int_equal(xenbus_ops.write(t->bus, path, value, (uint32_t)strlen(value)), 0);
}

static void putn(struct fixture *t, const char *name, uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	put(t, name, text);
}

static void state_to(struct fixture *t, uint32_t state)
{
	putn(t, "state", state);
	host_fake_run(t->f);
}

static char *read_at(struct fixture *t, const char *dir, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return xenbus_ops.read(t->bus, path, NULL);
}

static int back_number(struct fixture *t, const char *name)
{
	char *text = read_at(t, BACK, name);
	int n = text ? atoi(text) : -1;

	free(text);
	return n;
}

static void queue_init(struct fixture *t, uint32_t i, bool split)
{
	struct queue *q = &t->q[i];

	memset(q, 0, sizeof(*q));
	q->tx = (void *)(t->f->ram + RING_GPA + i * 8192);
	q->rx = (void *)(t->f->ram + RING_GPA + i * 8192 + 4096);
	memset(q->tx, 0, 8192);
	q->tx->req_event = q->tx->rsp_event = q->rx->req_event = q->rx->rsp_event = 1;
	q->port = xen_fake_open(&t->x);
	q->rx_port = split ? xen_fake_open(&t->x) : q->port;
	xen_fake_grant(&t->x, RING_REF + 2 * i, RING_GPA + i * 8192, false);
	xen_fake_grant(&t->x, RING_REF + 2 * i + 1, RING_GPA + i * 8192 + 4096, false);
}

static void offer_queue(struct fixture *t, uint32_t i, const char *prefix, bool split)
{
	char name[64];
	const struct {
		const char *name;
		uint32_t value;
	} keys[] = {
	        {"tx-ring-ref", RING_REF + 2 * i},
	        {"rx-ring-ref", RING_REF + 2 * i + 1},
	        {split ? "event-channel-tx" : "event-channel", t->q[i].port},
	        {"event-channel-rx", t->q[i].rx_port},
	};

	for (uint32_t k = 0; k < (split ? 4u : 3u); k++) {
		snprintf(name, sizeof(name), "%s%s", prefix, keys[k].name);
		putn(t, name, keys[k].value);
	}
}

static void offer(struct fixture *t, uint32_t queues, bool split)
{
	static const char *const features[] = {"request-rx-copy",   "feature-rx-notify",
	                                       "feature-sg",        "feature-gso-tcpv4",
	                                       "feature-gso-tcpv6", "feature-ipv6-csum-offload"};
	char prefix[24] = "";

	for (uint32_t i = 0; i < queues; i++) {
		queue_init(t, i, split);
		if (queues > 1)
			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		offer_queue(t, i, prefix, split);
	}
	if (queues > 1)
		putn(t, "multi-queue-num-queues", queues);
	for (uint32_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		put(t, features[i], "1");
}

static void connect_front(struct fixture *t)
{
	offer(t, 1, false);
	state_to(t, 4);
	assert_int_equal(back_number(t, "state"), 4);
}

static uint8_t *tx_page(struct fixture *t, uint32_t page)
{
	return t->f->ram + TX_GPA + page * 4096;
}

static void tx_slot(struct queue *q, uint32_t page, uint32_t offset, uint32_t size, uint16_t flags,
                    uint16_t id)
{
	q->tx->ring[q->tx_prod++ & 255].req = (netif_tx_request_t){
	        .gref = TX_REF + page,
	        .offset = (uint16_t)offset,
	        .flags = flags,
	        .id = id,
	        .size = (uint16_t)size,
	};
}

static void tx_extra(struct queue *q, const netif_extra_info_t *e)
{
	memcpy(&q->tx->ring[q->tx_prod++ & 255], e, sizeof(*e));
}

static void tx_gso(struct queue *q, uint8_t type, uint16_t size)
{
	netif_extra_info_t e = {.type = XEN_NETIF_EXTRA_TYPE_GSO};

	e.u.gso.size = size;
	e.u.gso.type = type;
	tx_extra(q, &e);
}

static void tx_mcast(struct queue *q, uint8_t type, const char *addr, uint8_t flags)
{
	netif_extra_info_t e = {.type = type, .flags = flags};

	memcpy(e.u.mcast.addr, addr, 6);
	tx_extra(q, &e);
}

/* Announces what was queued; returns how many answers came, extras not among them. */
static uint32_t transmit(struct fixture *t, struct queue *q)
{
	uint32_t n = 0;

	q->tx->req_prod = q->tx_prod;
	xen_fake_send(&t->x, q->port);
	host_fake_run(t->f);
	for (; q->tx_seen != q->tx->rsp_prod; q->tx_seen++) {
		const netif_tx_response_t *r = &q->tx->ring[q->tx_seen & 255].rsp;

		if (r->status == NETIF_RSP_NULL)
			continue;
		assert_true(r->id < 1024);
		t->status[r->id] = r->status;
		n++;
	}
	q->tx->rsp_event = q->tx_seen + 1;
	return n;
}

static void post(struct fixture *t, struct queue *q, uint32_t n)
{
	for (; n; n--, q->rx_prod++)
		q->rx->ring[q->rx_prod & 255].req = (netif_rx_request_t){.id = (uint16_t)(q->rx_prod & 255),
		                                                         .gref = RX_REF + q->rx_prod % DATA};
	q->rx->req_prod = q->rx_prod;
	/* As front ends do: only when asked. */
	if ((RING_IDX)(q->rx_prod - q->rx->req_event) < 256)
		xen_fake_send(&t->x, q->rx_port);
	host_fake_run(t->f);
}

/* The next answer, with the data of its buffer. */
static netif_rx_response_t *next_rx(struct fixture *t, struct queue *q, uint8_t **data)
{
	assert_int_not_equal(q->rx_seen, q->rx->rsp_prod);
	*data = t->f->ram + RX_GPA + q->rx_seen % DATA * 4096;
	q->rx->rsp_event = q->rx_seen + 2;
	return &q->rx->ring[q->rx_seen++ & 255].rsp;
}

/* A TCP packet in IPv4 of `length` bytes; its checksum is blank, in a way that no checksum is. */
static void tcp_frame(uint8_t *frame, uint32_t length)
{
	static const uint8_t headers[HEADERS] = "\x52\x54\0\x12\x34\x56\x00\x16\x3e\1\2\3\x08\x00"
	                                        "\x45\0\0\0\0\0\x40\0\x40\x06\0\0\x0a\0\2\x0f\x0a\0\2\2"
	                                        "\x12\x34\0\x50\0\0\0\1\0\0\0\2\x50\x18\xff\xff\xee\xee\0\0";

	for (uint32_t i = HEADERS; i < length; i++)
		frame[i] = (uint8_t)(i * 7 + (i >> 8));
	memcpy(frame, headers, HEADERS);
	frame[16] = (uint8_t)((length - 14) >> 8);
	frame[17] = (uint8_t)(length - 14);
}

static uint16_t pseudo_of(const uint8_t *frame, uint32_t length)
{
	return net_sum(frame + 26, 8, net_sum_add((uint16_t)(length - 34), 6));
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* ---- rig ---- */

static void connected(void *opaque, bool is)
{
	struct fixture *t = opaque;

	if (is)
		t->connects++;
	else
		t->disconnects++;
}

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct xenbus_config bus = {.special_gfn = (RAM >> 12) + 16, .special_count = 2};
	struct netback_config c = {.max_queues = 3, .connected = connected, .opaque = t};
	struct netback_peers p = {&xenbus_ops, NULL, &xen_fake_evtchn, &t->x, &xen_fake_grants, &t->x};

	t->f = host_fake_create(RAM, 1);
	xen_fake_init(&t->x, t->f);
	c.host = bus.host = t->f->host;
	c.inst = bus.inst = t->f->inst;
	memcpy(c.mac, "\x00\x16\x3e\1\2\3", 6);
	p.bus_self = t->bus = xenbus_create(&bus);
	assert_int_equal(xenbus_start(t->bus, &xen_fake_evtchn, &t->x), 0);
	for (uint32_t i = 0; i < DATA; i++) {
		xen_fake_grant(&t->x, TX_REF + i, TX_GPA + i * 4096, true);
		xen_fake_grant(&t->x, RX_REF + i, RX_GPA + i * 4096, false);
	}
	t->net = netdev_fake_create();
	t->net->netdev.info = (struct netdev_info){
	        .name = "fake",
	        .can_send = NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4 | NETDEV_CAN_TCPV6 | NETDEV_CAN_ECN,
	        .can_give = UINT32_MAX,
	        .mtu = 1500,
	};
	t->back = netback_create(&c);
	netback_front(t->back, &t->net->front);
	netback_attach(t->back, &t->net->netdev);
	assert_int_equal(netback_start(t->back, &p), 0);
	host_fake_run(t->f);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	netback_stop(t->back);
	assert_int_equal(t->x.maps, 0);
	assert_int_equal(t->connects, t->disconnects);
	netdev_fake_destroy(t->net);
	netback_destroy(t->back);
	xenbus_destroy(t->bus);
	assert_int_equal(host_fake_destroy(t->f), 0);
	free(t);
	return 0;
}

/* ---- the store ---- */

static void what_is_offered(void **state)
{
	struct fixture *t = *state;
	char *mac = read_at(t, FRONT, "mac"), *back_mac = read_at(t, BACK, "mac");

	assert_string_equal(mac, "00:16:3e:01:02:03");
	assert_string_equal(back_mac, mac);
	free(mac);
	free(back_mac);
	assert_int_equal(back_number(t, "state"), 2);
	assert_int_equal(back_number(t, "handle"), 0);
	assert_int_equal(back_number(t, "feature-rx-copy"), 1);
	assert_int_equal(back_number(t, "feature-sg"), 1);
	assert_int_equal(back_number(t, "feature-gso-tcpv4"), 1);
	assert_int_equal(back_number(t, "feature-split-event-channels"), 1);
	assert_int_equal(back_number(t, "multi-queue-max-queues"), 3);
	assert_int_equal(back_number(t, "feature-ctrl-ring"), 0);
	t->net->front.link(t->net->front.opaque, false);
	assert_int_equal(back_number(t, "carrier"), 0);
}

static void connects_and_closes(void **state)
{
	struct fixture *t = *state;

	for (int i = 0; i < 3; i++) {
		connect_front(t);
		assert_int_equal(t->connects, i + 1);
		assert_int_equal(t->net->can, NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4 | NETDEV_CAN_TCPV6);
		assert_int_equal(t->x.maps, 2);
		state_to(t, 5);
		assert_int_equal(back_number(t, "state"), 5);
		assert_int_equal(t->x.maps, 0);
		assert_int_equal(t->net->can, 0);
		state_to(t, 6);
		assert_int_equal(back_number(t, "state"), 6);
		state_to(t, 1);
		assert_int_equal(back_number(t, "state"), 2);
	}
	assert_int_equal(host_fake_counter(t->f, "ring connected"), 3);
}

/* What a front end may leave out, and what then is not allowed. */
static void terms(void **state)
{
	static const struct {
		const char *key, *value;
		uint32_t can;
	} cases[] = {
	        {"feature-sg", "0", NETDEV_CAN_CSUM},
	        {"feature-gso-tcpv4", "0", NETDEV_CAN_CSUM | NETDEV_CAN_TCPV6},
	        {"feature-ipv6-csum-offload", "0", NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4},
	        {"feature-no-csum-offload", "1", NETDEV_CAN_CSUM | NETDEV_CAN_TCPV6},
	        {"feature-gso-tcpv6", "junk", NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4},
	};
	struct fixture *t = *state;

	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		offer(t, 1, false);
		put(t, "feature-no-csum-offload", "0");
		put(t, cases[i].key, cases[i].value);
		state_to(t, 4);
		assert_int_equal(t->net->can, cases[i].can);
		state_to(t, 6);
		state_to(t, 1);
	}
}

static void cannot_connect(void **state)
{
	static const struct {
		const char *key, *value, *words;
	} cases[] = {
	        {"request-rx-copy", "0", "request-rx-copy"},
	        {"multi-queue-num-queues", "4", "multi-queue-num-queues"},
	        {"multi-queue-num-queues", "0", "multi-queue-num-queues"},
	        {"multi-queue-num-queues", "2", "queue-0/"},
	        {"tx-ring-ref", "x", "tx-ring-ref"},
	        {"rx-ring-ref", "7", "queue 0"}, /* not granted */
	        {"event-channel", "63", "queue 0"},
	        {"event-channel", "", "event-channel"},
	};
	struct fixture *t = *state;

	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		offer(t, 1, false);
		put(t, "multi-queue-num-queues", "1");
		put(t, cases[i].key, cases[i].value);
		state_to(t, 4);
		assert_int_equal(back_number(t, "state"), 5);
		assert_non_null(strstr(t->f->last_log, cases[i].words));
		assert_int_equal(t->x.maps, 0);
		state_to(t, 6);
		state_to(t, 1);
	}
	put(t, "multi-queue-num-queues", "1");
	connect_front(t);
}

/* ---- from the guest ---- */

static void a_frame_is_sent(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	memset(tx_page(t, 0) + 100, 0x5a, 60);
	tx_slot(q, 0, 100, 60, 0, 17);
	assert_int_equal(transmit(t, q), 1);
	assert_int_equal(t->status[17], NETIF_RSP_OKAY);
	assert_int_equal(t->net->n_sent, 1);
	assert_int_equal(t->net->sent[0].length, 60);
	assert_memory_equal(t->net->sent[0].data, tx_page(t, 0) + 100, 60);
	assert_int_equal(t->net->sent[0].offload.flags, 0);
	assert_int_equal(t->x.ports[q->port].notified, 1);
	assert_int_equal(t->x.maps, 2);
	assert_int_equal(host_fake_counter(t->f, "frames"), 1);
	tx_slot(q, 0, 100, 60, NETTXF_data_validated, 18);
	transmit(t, q);
	assert_int_equal(t->net->sent[1].offload.flags, NETDEV_CSUM_VALID);
}

/* A ring full in one go: few calls, one notification. */
static void a_batch(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	for (uint16_t i = 0; i < 256; i++)
		tx_slot(q, i, 0, 60u + i, 0, i);
	assert_int_equal(transmit(t, q), 256);
	assert_int_equal(t->net->n_sent, 256);
	assert_int_equal(t->net->n_calls, 4);
	assert_int_equal(t->x.ports[q->port].notified, 1);
	for (uint32_t i = 0; i < 256; i++)
		assert_int_equal(t->net->sent[i].length, 60 + i);
}

/* The first slot's size is the packet's; 18 slots are allowed, and what is long stays where it is. */
static void many_slots(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	uint8_t *want = malloc(NETDEV_GSO_MAX);
	uint32_t at = 700;

	connect_front(t);
	for (uint32_t i = 0; i < 18 * 4096; i++)
		tx_page(t, 0)[i] = (uint8_t)(i * 31 + (i >> 8));
	tx_slot(q, 0, 96, 700 + 17 * 900, NETTXF_more_data, 1);
	memcpy(want, tx_page(t, 0) + 96, 700);
	for (uint16_t i = 1; i < 18; i++, at += 900) {
		tx_slot(q, i, i, 900, i < 17 ? NETTXF_more_data : 0, (uint16_t)(i + 1));
		memcpy(want + at, tx_page(t, i) + i, 900);
	}
	assert_int_equal(transmit(t, q), 18);
	assert_int_equal(t->net->n_sent, 1);
	assert_int_equal(t->net->sent[0].length, at);
	assert_memory_equal(t->net->sent[0].data, want, at);
	for (uint32_t i = 1; i <= 18; i++)
		assert_int_equal(t->status[i], NETIF_RSP_OKAY);
	assert_int_equal(t->x.maps, 2);
	free(want);
}

static void blank_checksum(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	tcp_frame(tx_page(t, 0), 1000);
	/* Padding behind the packet goes. */
	memset(tx_page(t, 0) + 1000, 0xff, 8);
	tx_slot(q, 0, 0, 1008, NETTXF_csum_blank | NETTXF_data_validated, 1);
	assert_int_equal(transmit(t, q), 1);
	assert_int_equal(t->net->sent[0].length, 1000);
	assert_int_equal(t->net->sent[0].offload.flags, NETDEV_CSUM_NEEDED);
	assert_int_equal(t->net->sent[0].offload.csum_start, 34);
	assert_int_equal(t->net->sent[0].offload.csum_offset, 16);
	assert_int_equal(get16(t->net->sent[0].data + 50), pseudo_of(tx_page(t, 0), 1000));
	/* The guest's page is not ours to write. */
	assert_int_equal(get16(tx_page(t, 0) + 50), 0xeeee);
	/* A network that cannot do it. */
	t->net->netdev.info.can_send = 0;
	tx_slot(q, 0, 0, 1000, NETTXF_csum_blank | NETTXF_data_validated, 2);
	assert_int_equal(transmit(t, q), 1);
	assert_int_equal(t->net->sent[1].offload.flags, NETDEV_CSUM_VALID);
	assert_int_equal(
	        net_sum(t->net->sent[1].data + 34, 966, net_sum(t->net->sent[1].data + 26, 8, 966 + 6)),
	        0xffff);
	/* No TCP and no UDP: nobody knows where it would be. */
	tx_page(t, 0)[23] = 1;
	tx_slot(q, 0, 0, 1000, NETTXF_csum_blank, 3);
	assert_int_equal(transmit(t, q), 1);
	assert_int_equal(t->status[3], NETIF_RSP_ERROR);
	assert_int_equal(t->net->n_sent, 2);
}

static void gso_packet(struct fixture *t, uint32_t length, uint8_t type, uint16_t size, uint16_t id)
{
	struct queue *q = &t->q[0];

	tcp_frame(tx_page(t, 0), length);
	tx_slot(q, 0, 0, length, NETTXF_extra_info | NETTXF_more_data | NETTXF_csum_blank, id);
	tx_gso(q, type, size);
	for (uint32_t at = 4096, page = 1; at < length; at += 4096, page++)
		tx_slot(q, page, 0, length - at < 4096 ? length - at : 4096,
		        at + 4096 < length ? NETTXF_more_data : 0, (uint16_t)(id + page));
}

static void segmentation(void **state)
{
	struct fixture *t = *state;
	const struct netdev_offload *o;

	connect_front(t);
	gso_packet(t, 60000, XEN_NETIF_GSO_TYPE_TCPV4, 1448, 1);
	assert_int_equal(transmit(t, &t->q[0]), 15);
	assert_int_equal(t->net->n_sent, 1);
	assert_int_equal(t->net->sent[0].length, 60000);
	o = &t->net->sent[0].offload;
	assert_int_equal(o->gso_type, NETDEV_GSO_TCPV4);
	assert_int_equal(o->gso_size, 1448);
	assert_int_equal(o->header_len, HEADERS);
	assert_int_equal(o->flags, NETDEV_CSUM_NEEDED);
	assert_int_equal(get16(t->net->sent[0].data + 50), pseudo_of(tx_page(t, 0), 60000));
	assert_memory_equal(t->net->sent[0].data + HEADERS, tx_page(t, 0) + HEADERS, 60000 - HEADERS);
	/* What is one segment anyway is none. */
	gso_packet(t, 5000, XEN_NETIF_GSO_TYPE_TCPV4, 9000, 1);
	assert_int_equal(transmit(t, &t->q[0]), 2);
	assert_int_equal(t->net->sent[1].offload.gso_type, 0);
	assert_int_equal(t->net->sent[1].offload.flags, NETDEV_CSUM_NEEDED);
}

static void bad_segmentation(void **state)
{
	struct fixture *t = *state;
	static const struct {
		uint8_t type;
		uint16_t size;
	} cases[] = {{XEN_NETIF_GSO_TYPE_TCPV6, 1448},
	             {XEN_NETIF_GSO_TYPE_TCPV4, 0},
	             {0, 1448},
	             {3, 1448},
	             {255, 1}};

	connect_front(t);
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		gso_packet(t, 6000, cases[i].type, cases[i].size, 1);
		assert_int_equal(transmit(t, &t->q[0]), 2);
		assert_int_equal(t->status[1], NETIF_RSP_ERROR);
		assert_int_equal(t->status[2], NETIF_RSP_ERROR);
	}
	assert_int_equal(t->net->n_sent, 0);
	t->net->netdev.info.can_send = NETDEV_CAN_CSUM;
	gso_packet(t, 6000, XEN_NETIF_GSO_TYPE_TCPV4, 1448, 1);
	transmit(t, &t->q[0]);
	assert_int_equal(t->status[1], NETIF_RSP_ERROR);
	assert_int_equal(t->x.maps, 2);
	assert_int_equal(host_fake_counter(t->f, "bad-requests"), 6);
}

/* Each is refused, all its slots are answered, and the next packet goes on. */
static void bad_packets(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	tx_slot(q, 0, 0, 13, 0, 0);                /* no frame */
	tx_slot(q, 0, 4000, 97, 0, 1);             /* past the page */
	tx_slot(q, 0, 65535, 65535, 0, 2);         /* far past it */
	tx_slot(q, 2000, 0, 60, 0, 3);             /* no grant of ours: an RX page is, this is none */
	tx_slot(q, 0, 0, 60, NETTXF_more_data, 4); /* the slots are more than the whole */
	tx_slot(q, 1, 0, 61, 0, 5);
	tx_slot(q, 0, 0, 20000, NETTXF_more_data, 6); /* longer than a frame may be */
	for (uint16_t i = 0; i < 5; i++)
		tx_slot(q, i, 0, i < 4 ? 4000 : 1000, i < 4 ? NETTXF_more_data : 0, (uint16_t)(7 + i));
	for (uint16_t i = 0; i < 19; i++) /* too many slots */
		tx_slot(q, i, 0, i ? 60 : 19 * 60, i < 18 ? NETTXF_more_data : 0, (uint16_t)(12 + i));
	tx_slot(q, 0, 0, 60, 0, 31);
	memset(t->status, 0x55, sizeof(t->status));
	assert_int_equal(transmit(t, q), 32);
	for (uint32_t i = 0; i < 31; i++)
		assert_int_equal(t->status[i], NETIF_RSP_ERROR);
	assert_int_equal(t->status[31], NETIF_RSP_OKAY);
	assert_int_equal(t->net->n_sent, 1);
	assert_int_equal(t->x.maps, 2);
	assert_int_equal(back_number(t, "state"), 4);
}

/* Rings of which nothing can be believed: the card goes, and may come again. */
static void broken_rings(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	for (int i = 0; i < 6; i++) {
		netif_extra_info_t e = {.type = i == 3 ? 0 : XEN_NETIF_EXTRA_TYPE_MAX};

		connect_front(t);
		tx_slot(q, 0, 0, 60, 0, 0); /* this one is well */
		if (i == 0)
			q->tx_prod += 256;
		else if (i == 1)
			tx_slot(q, 0, 0, 60, NETTXF_more_data, 1);
		else if (i == 2)
			tx_slot(q, 0, 0, 60, NETTXF_extra_info, 1);
		else if (i < 5) {
			tx_slot(q, 0, 0, 60, NETTXF_extra_info, 1);
			tx_extra(q, &e);
		} else {
			q->tx_prod--;
			q->rx->req_prod = 257;
			netdev_fake_give(t->net, tx_page(t, 0), 60, 0);
		}
		t->net->n_sent = 0;
		transmit(t, q);
		assert_int_equal(t->net->n_sent, i != 0 && i != 5);
		assert_int_equal(back_number(t, "state"), 5);
		assert_int_equal(t->x.maps, 0);
		assert_int_equal(host_fake_counter(t->f, "broken-rings"), i + 1);
		assert_true(netdev_fake_give(t->net, tx_page(t, 0), 60, 0));
		state_to(t, 6);
		state_to(t, 1);
	}
}

static void busy_network(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	t->net->room = 2;
	tx_slot(q, 0, 0, 13, 0, 0);
	for (uint16_t i = 1; i < 100; i++)
		tx_slot(q, i, 0, 3000, 0, i);
	assert_int_equal(transmit(t, q), 3);
	/* A guest that knocks meanwhile changes nothing. */
	assert_int_equal(transmit(t, q), 0);
	assert_int_equal(t->net->n_calls, 1);
	/* Paused with packets on the way: they are let go, and found again. */
	netback_pause(t->back);
	assert_int_equal(t->x.maps, 0);
	netback_resume(t->back);
	host_fake_run(t->f);
	t->net->room = 3;
	t->net->front.writable(t->net->front.opaque);
	host_fake_run(t->f);
	assert_int_equal(transmit(t, q), 3);
	t->net->room = UINT32_MAX;
	t->net->front.writable(t->net->front.opaque);
	host_fake_run(t->f);
	assert_int_equal(transmit(t, q), 94);
	assert_int_equal(t->net->n_sent, 99);
	for (uint32_t i = 1; i < 100; i++)
		assert_int_equal(t->status[i], NETIF_RSP_OKAY);
	assert_int_equal(t->x.maps, 2);
}

static void closes_while_busy(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	t->net->room = 0;
	tx_slot(q, 0, 0, 3000, 0, 1);
	assert_int_equal(transmit(t, q), 0);
	assert_int_equal(t->x.maps, 3);
	state_to(t, 6);
	assert_int_equal(t->x.maps, 0);
	state_to(t, 1);
	connect_front(t);
	t->net->room = UINT32_MAX;
	t->net->front.writable(t->net->front.opaque);
	tx_slot(q, 0, 0, 60, 0, 1);
	assert_int_equal(transmit(t, q), 1);
	assert_int_equal(t->net->sent[0].length, 60);
}

/* ---- to the guest ---- */

static bool give(struct fixture *t, const void *data, uint32_t length, const struct netdev_offload *o)
{
	/* In odd pieces, as a network may have it. */
	struct iovec iov[4] = {{(void *)(uintptr_t)data, 7}};
	struct netdev_frame f = {.iov = iov, .n_iov = 4, .length = length};
	uint32_t second = length > 3000 ? 3000 : length - 7;

	iov[1] = (struct iovec){(uint8_t *)(uintptr_t)data + 7, second};
	iov[2] = (struct iovec){NULL, 0};
	iov[3] = (struct iovec){(uint8_t *)(uintptr_t)data + 7 + second, length - 7 - second};
	if (o)
		f.offload = *o;
	return t->net->front.receive(t->net->front.opaque, &f, 1);
}

static void a_frame_is_received(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	uint8_t frame[1514] = {0}, *data;
	netif_rx_response_t *r;

	/* Nobody there. */
	assert_true(give(t, frame, 60, NULL));
	assert_int_equal(host_fake_counter(t->f, "rx-dropped"), 1);
	connect_front(t);
	post(t, q, 64);
	tcp_frame(frame, sizeof(frame));
	assert_true(give(t, frame, sizeof(frame), &(struct netdev_offload){.flags = NETDEV_CSUM_VALID}));
	r = next_rx(t, q, &data);
	assert_int_equal(r->id, 0);
	assert_int_equal(r->status, 1514);
	assert_int_equal(r->offset, 0);
	assert_int_equal(r->flags, NETRXF_data_validated);
	assert_memory_equal(data, frame, 1514);
	assert_int_equal(t->x.ports[q->port].notified, 1);
	assert_int_equal(t->x.maps, 2);
	assert_int_equal(t->x.grants[RX_REF].dirtied, 1);
}

static void a_segmented_frame_is_received(void **state)
{
	static const struct netdev_offload o = {.flags = NETDEV_CSUM_NEEDED,
	                                        .gso_type = NETDEV_GSO_TCPV4,
	                                        .gso_size = 1460,
	                                        .csum_start = 34,
	                                        .csum_offset = 16};
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	uint8_t *frame = malloc(65549), *data;
	netif_extra_info_t e;
	netif_rx_response_t *r;

	connect_front(t);
	post(t, q, 200);
	tcp_frame(frame, 65549);
	assert_true(give(t, frame, 65549, &o));
	r = next_rx(t, q, &data);
	assert_int_equal(r->status, 4096);
	assert_int_equal(r->flags,
	                 NETRXF_csum_blank | NETRXF_data_validated | NETRXF_more_data | NETRXF_extra_info);
	assert_memory_equal(data, frame, 4096);
	memcpy(&e, next_rx(t, q, &data), sizeof(e));
	assert_int_equal(e.type, XEN_NETIF_EXTRA_TYPE_GSO);
	assert_int_equal(e.flags, 0);
	assert_int_equal(e.u.gso.type, XEN_NETIF_GSO_TYPE_TCPV4);
	assert_int_equal(e.u.gso.size, 1460);
	for (uint32_t at = 4096; at < 65549; at += 4096) {
		uint32_t part = 65549 - at < 4096 ? 65549 - at : 4096;

		r = next_rx(t, q, &data);
		assert_int_equal(r->id, (q->rx_seen - 1) & 255);
		assert_int_equal(r->status, part);
		assert_int_equal(r->flags, at + 4096 < 65549 ? NETRXF_more_data : 0);
		assert_memory_equal(data, frame + at, part);
	}
	assert_int_equal(q->rx_seen, q->rx->rsp_prod);
	free(frame);
}

/* What the front end did not agree to is made for it, or lost. */
static void poor_front_end(void **state)
{
	struct netdev_offload o = {.flags = NETDEV_CSUM_NEEDED, .csum_start = 34, .csum_offset = 16};
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	uint8_t frame[8000], *data;
	netif_rx_response_t *r;

	offer(t, 1, false);
	put(t, "feature-sg", "0");
	put(t, "feature-no-csum-offload", "1");
	state_to(t, 4);
	post(t, q, 64);
	tcp_frame(frame, 1000);
	frame[50] = (uint8_t)(pseudo_of(frame, 1000) >> 8);
	frame[51] = (uint8_t)pseudo_of(frame, 1000);
	assert_true(give(t, frame, 1000, &o));
	r = next_rx(t, q, &data);
	assert_int_equal(r->flags, NETRXF_data_validated);
	assert_int_equal(net_sum(data + 34, 966, net_sum(data + 26, 8, 966 + 6)), 0xffff);
	assert_memory_equal(data + 54, frame + 54, 946);
	assert_memory_equal(data, frame, 50);
	/* More than a buffer, a checksum beyond the headers, segmentation. */
	assert_true(give(t, frame, 4097, NULL));
	o.csum_start = 990;
	assert_true(give(t, frame, 1000, &o));
	o = (struct netdev_offload){.flags = NETDEV_CSUM_NEEDED,
	                            .gso_type = NETDEV_GSO_TCPV4,
	                            .gso_size = 100,
	                            .csum_start = 34,
	                            .csum_offset = 16};
	assert_true(give(t, frame, 1000, &o));
	assert_int_equal(q->rx_seen, q->rx->rsp_prod);
	assert_int_equal(host_fake_counter(t->f, "rx-dropped"), 3);
}

static void no_buffers(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	uint8_t frame[9000] = {0}, *data;

	connect_front(t);
	post(t, q, 2);
	assert_false(give(t, frame, 9000, NULL));
	assert_int_equal(q->rx->rsp_prod, 0);
	assert_int_equal(t->net->readies, 0);
	post(t, q, 1);
	assert_int_equal(t->net->readies, 1);
	assert_true(give(t, frame, 9000, NULL));
	assert_int_equal(next_rx(t, q, &data)->status, 4096);
	/* Left waiting by a guest that goes: the network hears of it. */
	assert_false(give(t, frame, 60, NULL));
	state_to(t, 6);
	assert_int_equal(t->net->readies, 2);
	assert_true(give(t, frame, 60, NULL));
	state_to(t, 1);
	/* Without feature-rx-notify nobody would tell when there are buffers. */
	offer(t, 1, false);
	put(t, "feature-rx-notify", "0");
	state_to(t, 4);
	assert_true(give(t, frame, 60, NULL));
	assert_int_equal(host_fake_counter(t->f, "rx-dropped"), 2);
}

static void bad_buffer(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	uint8_t frame[9000], *data;

	connect_front(t);
	post(t, q, 8);
	xen_fake_revoke(&t->x, RX_REF + 1);
	tcp_frame(frame, sizeof(frame));
	assert_true(give(t, frame, 9000, NULL));
	assert_int_equal(next_rx(t, q, &data)->status, 4096);
	assert_int_equal(next_rx(t, q, &data)->status, NETIF_RSP_ERROR);
	assert_int_equal(next_rx(t, q, &data)->status, 9000 - 8192);
	assert_memory_equal(data, frame + 8192, 9000 - 8192);
	assert_int_equal(host_fake_counter(t->f, "rx-errors"), 1);
}

static void multicast(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	uint8_t frame[60] = "\x01\0\x5e\0\0\1";
	char addr[6] = "\x01\0\x5e\0\0";

	connect_front(t);
	post(t, q, 200);
	give(t, frame, 60, NULL);
	assert_int_equal(q->rx->rsp_prod, 1);
	put(t, "request-multicast-control", "1");
	host_fake_run(t->f);
	give(t, frame, 60, NULL);
	assert_int_equal(q->rx->rsp_prod, 1);
	tx_slot(q, 0, 0, 0, NETTXF_extra_info, 1);
	tx_mcast(q, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, "\x01\0\x5e\0\0\1", 0);
	assert_int_equal(transmit(t, q), 1);
	assert_int_equal(t->status[1], NETIF_RSP_OKAY);
	assert_int_equal(t->net->n_sent, 0);
	give(t, frame, 60, NULL);
	assert_int_equal(q->rx->rsp_prod, 2);
	memset(frame, 0xff, 6);
	give(t, frame, 60, NULL);
	assert_int_equal(q->rx->rsp_prod, 3);
	/* The list has an end, and an address is in it once. */
	for (int i = 1; i <= 65; i++) {
		addr[5] = (char)i;
		tx_slot(q, 0, 0, 0, NETTXF_extra_info, 2);
		tx_mcast(q, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, addr, 0);
		transmit(t, q);
		assert_int_equal(t->status[2], i <= 64 ? NETIF_RSP_OKAY : NETIF_RSP_ERROR);
	}
	tx_slot(q, 0, 0, 0, NETTXF_extra_info, 2);
	tx_mcast(q, XEN_NETIF_EXTRA_TYPE_MCAST_DEL, "\x01\0\x5e\0\0\1", XEN_NETIF_EXTRA_FLAG_MORE);
	tx_mcast(q, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, addr, 0);
	assert_int_equal(transmit(t, q), 1);
	assert_int_equal(t->status[2], NETIF_RSP_OKAY);
	memcpy(frame, "\x01\0\x5e\0\0\1", 6);
	give(t, frame, 60, NULL);
	assert_int_equal(q->rx->rsp_prod, 3);
}

/* ---- queues ---- */

static void queues(void **state)
{
	struct fixture *t = *state;
	uint8_t frame[60] = {0};
	uint32_t total = 0, before[3], grown = 0;

	offer(t, 3, true);
	state_to(t, 4);
	assert_int_equal(back_number(t, "state"), 4);
	for (uint32_t i = 0; i < 3; i++) {
		post(t, &t->q[i], 128);
		tx_slot(&t->q[i], 0, 0, 60 + i, 0, 1);
		assert_int_equal(transmit(t, &t->q[i]), 1);
		assert_int_equal(t->net->sent[i].length, 60 + i);
		assert_int_equal(t->x.ports[t->q[i].port].notified, 1);
		assert_int_equal(t->x.ports[t->q[i].rx_port].notified, 0);
	}
	/* Flows spread, each keeps to its queue. */
	for (uint8_t i = 0; i < 60; i++) {
		tcp_frame(frame, 60);
		frame[35] = i;
		assert_true(give(t, frame, 60, NULL));
	}
	for (uint32_t i = 0; i < 3; i++) {
		assert_in_range(t->q[i].rx->rsp_prod, 5, 40);
		total += before[i] = t->q[i].rx->rsp_prod;
	}
	assert_int_equal(total, 60);
	for (int i = 0; i < 30; i++)
		assert_true(give(t, frame, 60, NULL));
	for (uint32_t i = 0; i < 3; i++)
		grown += t->q[i].rx->rsp_prod == before[i] + 30;
	assert_int_equal(grown, 1);
}

/* ---- life ---- */

static void pause_and_reset(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	netback_pause(t->back);
	assert_int_equal(t->x.maps, 0);
	netback_resume(t->back);
	host_fake_run(t->f);
	tx_slot(q, 0, 0, 60, 0, 1);
	assert_int_equal(transmit(t, q), 1);
	netback_pause(t->back);
	assert_int_equal(xenbus_reset(t->bus), 0);
	assert_int_equal(netback_reset(t->back), 0);
	assert_int_equal(t->net->flushes, 1);
	assert_int_equal(back_number(t, "state"), 2);
	netback_resume(t->back);
	host_fake_run(t->f);
	connect_front(t);
	/* With frames that the network refused: the next guest's are not. */
	t->net->room = 0;
	tx_slot(q, 0, 0, 60, 0, 1);
	assert_int_equal(transmit(t, q), 0);
	netback_pause(t->back);
	assert_int_equal(xenbus_reset(t->bus), 0);
	assert_int_equal(netback_reset(t->back), 0);
	netback_resume(t->back);
	host_fake_run(t->f);
	t->net->room = UINT32_MAX;
	connect_front(t);
	tx_slot(q, 0, 0, 60, 0, 1);
	assert_int_equal(transmit(t, q), 1);
	/* Rings that are gone when it is to go on. */
	netback_pause(t->back);
	xen_fake_revoke(&t->x, RING_REF);
	netback_resume(t->back);
	host_fake_run(t->f);
	assert_int_equal(back_number(t, "state"), 5);
	assert_int_equal(t->x.maps, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(what_is_offered),
	        T(connects_and_closes),
	        T(terms),
	        T(cannot_connect),
	        T(a_frame_is_sent),
	        T(a_batch),
	        T(many_slots),
	        T(blank_checksum),
	        T(segmentation),
	        T(bad_segmentation),
	        T(bad_packets),
	        T(broken_rings),
	        T(busy_network),
	        T(closes_while_busy),
	        T(a_frame_is_received),
	        T(a_segmented_frame_is_received),
	        T(poor_front_end),
	        T(no_buffers),
	        T(bad_buffer),
	        T(multicast),
	        T(queues),
	        T(pause_and_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
