/* SPDX-License-Identifier: MIT */
/*
 * A guest at the rings of a network card. The input sets up what the card and
 * the network can do, and then is a list of actions: entries and bytes into
 * the rings or the data, indices, grants given and taken, frames from the
 * network, a network that takes no more, pauses.
 */
#include <string.h>

#include "dm/xen/netring.h"
#include "fake/host-fake.h"
#include "fake/netdev-fake.h"
#include "fake/xen-fake.h"
#include "fuzz-input.h"

#define PAGES 32u /* of guest memory, all granted under their numbers; 0 and 1 are the rings */

struct world {
	struct host_fake *f;
	struct xen_fake *x;
	struct netdev_fake *net;
	struct netvif vif;
	struct netqueue *q;
	uint64_t counts[10];
	uint32_t port, given;
	bool waiting; /* the network was left with a frame */
};

static void work(void *opaque)
{
	struct world *w = opaque;

	if (w->q && netqueue_work(w->q))
		w->f->host->defer_run(w->f->inst, w->vif.defer);
}

/* Frames for the network: they are what they say, and nothing that it does not know. */
static void check_sent(struct world *w)
{
	for (uint32_t i = 0; i < w->net->n_sent; i++) {
		const struct netdev_offload *o = &w->net->sent[i].offload;
		uint32_t length = w->net->sent[i].length;

		FUZZ_CHECK(length >= NETDEV_HEADER);
		if (o->flags & NETDEV_CSUM_NEEDED)
			FUZZ_CHECK((uint32_t)o->csum_start + o->csum_offset + 2 <= length);
		if (o->gso_type) {
			FUZZ_CHECK(o->flags & NETDEV_CSUM_NEEDED);
			FUZZ_CHECK(o->gso_size && o->header_len > o->csum_start &&
			           length > o->header_len + o->gso_size);
		} else {
			FUZZ_CHECK(length <= NETDEV_FRAME_MAX);
		}
		FUZZ_CHECK(!(o->flags & NETDEV_CSUM_NEEDED) ||
		           w->net->netdev.info.can_send & NETDEV_CAN_CSUM);
	}
	w->net->n_sent = 0;
}

static void run(struct world *w)
{
	xen_fake_send(w->x, w->port);
	host_fake_run(w->f);
	check_sent(w);
}

static void act_bytes(struct world *w, struct fuzz_input *in)
{
	uint32_t page = fuzz_u8(in) % PAGES, at = fuzz_u16(in) % 4096;
	size_t n;
	const uint8_t *p = fuzz_bytes(in, fuzz_u8(in), &n);

	n = n < 4096 - at ? n : 4096 - at;
	memcpy(w->f->ram + page * 4096 + at, p, n);
}

/* The next entry of the transmit ring, announced or not. */
static void act_send(struct world *w, struct fuzz_input *in)
{
	netif_tx_sring_t *s = (netif_tx_sring_t *)w->f->ram;
	netif_tx_request_t r = {
	        .gref = fuzz_u8(in) % PAGES,
	        .offset = fuzz_u16(in),
	        .flags = fuzz_u8(in),
	        .size = fuzz_u16(in),
	};

	if (!(r.offset & 0x8000))
		r.offset &= 0xff;
	s->ring[s->req_prod++ & 255].req = r;
	if (fuzz_u8(in) & 1)
		run(w);
}

static void act_extra(struct world *w, struct fuzz_input *in)
{
	netif_tx_sring_t *s = (netif_tx_sring_t *)w->f->ram;
	size_t n;
	const uint8_t *p = fuzz_bytes(in, sizeof(netif_extra_info_t), &n);

	memcpy(&s->ring[s->req_prod++ & 255], p, n);
	if (fuzz_u8(in) & 1)
		run(w);
}

static void act_post(struct world *w, struct fuzz_input *in)
{
	netif_rx_sring_t *s = (netif_rx_sring_t *)(w->f->ram + 4096);
	uint32_t n = fuzz_u8(in) % 32;

	for (uint32_t i = 0; i < n; i++)
		s->ring[s->req_prod++ & 255].req =
		        (netif_rx_request_t){.id = (uint16_t)i, .gref = 2 + i % (PAGES - 2)};
	run(w);
}

static void act_index(struct world *w, struct fuzz_input *in)
{
	netif_tx_sring_t *s = (netif_tx_sring_t *)(w->f->ram + (fuzz_u8(in) & 1) * 4096);

	s->req_prod = (fuzz_u8(in) & 1 ? s->req_prod : 0) + fuzz_u32(in);
	s->rsp_event = fuzz_u32(in);
	run(w);
}

static void act_grant(struct world *w, struct fuzz_input *in)
{
	uint32_t ref = fuzz_u8(in) % PAGES, how = fuzz_u8(in);

	/* What is mapped stays granted, as real grants do. */
	if (w->x->grants[ref].maps)
		return;
	if (how & 1)
		xen_fake_revoke(w->x, ref);
	else
		xen_fake_grant(w->x, ref, fuzz_u8(in) % PAGES * 4096u, how & 2);
}

/* A frame from the network, which says the truth about it. */
static void act_receive(struct world *w, struct fuzz_input *in)
{
	static uint8_t data[NETDEV_GSO_MAX];
	struct iovec iov[2];
	struct netdev_frame f = {.iov = iov, .n_iov = 2, .length = fuzz_u16(in)};
	uint32_t cut = fuzz_u8(in);
	size_t n;
	const uint8_t *p;

	f.offload.flags = fuzz_u8(in) & 3;
	f.offload.gso_type = fuzz_u8(in) & 0x87;
	f.offload.gso_size = fuzz_u16(in);
	f.offload.csum_start = fuzz_u8(in);
	f.offload.csum_offset = fuzz_u8(in) & 31;
	p = fuzz_bytes(in, fuzz_u8(in), &n);
	memcpy(data, p, n);
	cut = cut < f.length ? cut : f.length;
	iov[0] = (struct iovec){data, cut};
	iov[1] = (struct iovec){data + cut, f.length - cut};
	if (w->vif.broken || w->waiting)
		return;
	w->waiting = !netrx_receive(w->q, &f, 1);
	w->given++;
	netrx_publish(w->q);
}

static void act_network(struct world *w, struct fuzz_input *in)
{
	uint8_t room = fuzz_u8(in);

	w->net->room = room & 0x80 ? UINT32_MAX : room;
	w->vif.blocked = false;
	netqueue_attend(w->q, NETQUEUE_TX);
	run(w);
}

static void act_pause(struct world *w, struct fuzz_input *in)
{
	(void)in;
	netqueue_suspend(w->q);
	FUZZ_CHECK(w->x->maps == 0);
	if (netqueue_resume(w->q)) {
		FUZZ_CHECK(w->x->maps == 0);
		xen_fake_grant(w->x, 0, 0, false);
		xen_fake_grant(w->x, 1, 4096, false);
		FUZZ_CHECK(!netqueue_resume(w->q));
	}
	run(w);
}

static void (*const actions[])(struct world *w, struct fuzz_input *in) = {
        act_send,    act_send,  act_send,  act_extra,   act_bytes, act_post,
        act_receive, act_index, act_grant, act_network, act_pause,
};

static void check(struct world *w)
{
	const struct nettx_batch *b = &w->vif.batch;
	uint32_t readies = w->net->readies;

	FUZZ_CHECK((RING_IDX)(w->q->tx_cons - w->q->tx_rsp) <= NETTX_SIZE);
	if (w->vif.broken)
		return;
	/* Nothing is held but what waits for the network. */
	FUZZ_CHECK(w->x->maps == 2 + b->n_holds - b->holds_done);
	FUZZ_CHECK(b->n || w->q->tx_cons == w->q->tx_rsp);
	if (readies)
		w->waiting = false;
	w->net->readies = 0;
}

static void begin(struct world *w, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct netqueue_place place = {0, 1, 0, 0};
	uint64_t **c = (uint64_t **)&w->vif.counters;

	for (size_t i = 0; i < sizeof(w->vif.counters) / sizeof(*c); i++)
		c[i] = &w->counts[i];
	w->vif.host = w->f->host;
	w->vif.inst = w->f->inst;
	w->vif.netdev = &w->net->netdev;
	w->vif.grants = &xen_fake_grants;
	w->vif.grants_self = w->x;
	w->vif.evtchn = &xen_fake_evtchn;
	w->vif.evtchn_self = w->x;
	w->vif.defer = w->f->host->defer_create(w->f->inst, work, w);
	w->vif.terms = (struct netterms){1, how & 1, how & 2, how & 4, how & 8, how & 16, how & 32, how & 64};
	w->net->netdev.info.can_send = how & 128 ? 0 : UINT32_MAX;
	w->port = place.tx_port = place.rx_port = xen_fake_open(w->x);
	for (uint32_t i = 0; i < PAGES; i++)
		xen_fake_grant(w->x, i, i * 4096, false);
	w->q = netqueue_create(&w->vif, &place);
	FUZZ_CHECK(w->q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct world *w = calloc(1, sizeof(*w));

	w->f = host_fake_create(PAGES * 4096, 1);
	w->x = malloc(sizeof(*w->x));
	xen_fake_init(w->x, w->f);
	w->net = netdev_fake_create();
	begin(w, &in);
	while (in.left) {
		actions[fuzz_u8(&in) % (sizeof(actions) / sizeof(actions[0]))](w, &in);
		check(w);
	}
	netqueue_destroy(w->q);
	FUZZ_CHECK(w->x->maps == 0);
	w->f->host->defer_destroy(w->f->inst, w->vif.defer);
	FUZZ_CHECK(!host_fake_destroy(w->f));
	netdev_fake_destroy(w->net);
	free(w->x);
	free(w);
	return 0;
}
