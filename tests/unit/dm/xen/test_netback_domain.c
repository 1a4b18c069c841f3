/* SPDX-License-Identifier: MIT */
/* The network back end on the real event channels, grant table and store: what the fakes of test_netback
 * stand for. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "dm/xen/netback.h"
#include "dm/xen/netring.h"
#include "dm/xen/xenbus.h"
#include "fake/netdev-fake.h"

#define FRONT  "/local/domain/1/device/vif/0"
#define TX_GPA 0x100000ull
#define RX_GPA 0x101000ull
#define BUFFER 0x200000ull
#define TX_REF 8u
#define RX_REF 9u
#define DATA   10u /* two pages */

struct card {
	struct world *w;
	struct xenbus *bus;
	struct netdev_fake *net;
	struct netback *back;
	netif_tx_sring_t *tx;
	netif_rx_sring_t *rx;
	struct evtchn_alloc_unbound port;
};

static void put(struct card *d, const char *name, uint32_t value)
{
	char path[96], text[16];

	snprintf(path, sizeof(path), FRONT "/%s", name);
	snprintf(text, sizeof(text), "%u", value);
	assert_int_equal(xenbus_ops.write(d->bus, path, text, (uint32_t)strlen(text)), 0);
}

static void begin(struct card *d, struct world *w)
{
	struct xenbus_config bus = {
	        .host = w->f->host, .inst = w->f->inst, .special_gfn = (16 << 8) + 16, .special_count = 2};
	struct netback_config c = {.host = w->f->host, .inst = w->f->inst, .max_queues = 1};
	struct netback_peers peers = {&xenbus_ops, NULL, &evtchn_ops, &w->x.evtchn, &grant_ops, &w->p.grants};

	d->w = w;
	d->bus = xenbus_create(&bus);
	assert_int_equal(xenbus_start(d->bus, &evtchn_ops, &w->x.evtchn), 0);
	peers.bus_self = d->bus;
	d->net = netdev_fake_create();
	d->back = netback_create(&c);
	netback_front(d->back, &d->net->front);
	netback_attach(d->back, &d->net->netdev);
	assert_int_equal(netback_start(d->back, &peers), 0);
}

static void grant(struct card *d, uint32_t ref, uint64_t gpa, bool readonly)
{
	d->w->p.grants.entries[ref] = (struct grant_entry_v1){
	        GTF_permit_access | (readonly ? GTF_readonly : 0), 0, (uint32_t)(gpa >> 12)};
}

static void connect_front(struct card *d)
{
	grant(d, TX_REF, TX_GPA, false);
	grant(d, RX_REF, RX_GPA, false);
	grant(d, DATA, BUFFER, true);
	grant(d, DATA + 1, BUFFER + 4096, false);
	d->port = (struct evtchn_alloc_unbound){.dom = DOMID_SELF};
	assert_int_equal(EVTCHN(d->w, EVTCHNOP_alloc_unbound, d->port), 0);
	d->tx = (void *)(d->w->f->ram + TX_GPA);
	d->rx = (void *)(d->w->f->ram + RX_GPA);
	memset(d->tx, 0, 8192);
	d->tx->req_event = d->tx->rsp_event = d->rx->req_event = d->rx->rsp_event = 1;
	put(d, "event-channel", d->port.port);
	put(d, "tx-ring-ref", TX_REF);
	put(d, "rx-ring-ref", RX_REF);
	put(d, "request-rx-copy", 1);
	put(d, "feature-rx-notify", 1);
	put(d, "state", 4);
	host_fake_run(d->w->f);
}

static void finish(struct card *d)
{
	netback_stop(d->back);
	netdev_fake_destroy(d->net);
	netback_destroy(d->back);
	xenbus_destroy(d->bus);
}

static bool take_event(struct shared_info *si, uint32_t port)
{
	return __atomic_fetch_and(&si->evtchn_pending[port / 64], ~(1ul << port % 64), __ATOMIC_SEQ_CST) >>
	               port % 64 &
	       1;
}

static int16_t transmit(struct card *d, uint32_t ref, uint32_t size)
{
	struct evtchn_send send = {.port = d->port.port};
	uint32_t at = d->tx->req_prod;

	d->tx->ring[at & 255].req = (netif_tx_request_t){.gref = ref, .size = (uint16_t)size};
	d->tx->req_prod++;
	assert_int_equal(EVTCHN(d->w, EVTCHNOP_send, send), 0);
	host_fake_run(d->w->f);
	assert_int_equal(d->tx->rsp_prod, at + 1);
	d->tx->rsp_event = at + 2;
	return d->tx->ring[at & 255].rsp.status;
}

static void frames_move(void **state)
{
	struct world *w = *state;
	struct shared_info *si = world_boot(w);
	struct card d = {0};
	union netif_rx_sring_entry *ring; /* the header has it as an array of one */
	uint8_t frame[60];

	begin(&d, w);
	connect_front(&d);
	ring = d.rx->ring;
	memset(w->f->ram + BUFFER, 0xa5, 3000);
	assert_int_equal(transmit(&d, DATA, 3000), NETIF_RSP_OKAY);
	assert_true(take_event(si, d.port.port));
	assert_int_equal(d.net->sent[0].length, 3000);
	assert_memory_equal(d.net->sent[0].data, w->f->ram + BUFFER, 3000);
	assert_int_equal(w->p.grants.entries[DATA].flags, GTF_permit_access | GTF_readonly);
	memset(frame, 0x5a, sizeof(frame));
	ring[0].req = (netif_rx_request_t){.id = 3, .gref = DATA + 1};
	d.rx->req_prod = 1;
	assert_true(netdev_fake_give(d.net, frame, 60, 0));
	assert_true(take_event(si, d.port.port));
	assert_int_equal(ring[0].rsp.status, 60);
	assert_memory_equal(w->f->ram + BUFFER + 4096, frame, 60);
	assert_int_equal(w->p.grants.entries[DATA + 1].flags, GTF_permit_access);
	/* A page that may only be read, and one that was never granted. */
	ring[1].req = (netif_rx_request_t){.id = 4, .gref = DATA};
	ring[2].req = (netif_rx_request_t){.id = 5, .gref = 0xffffffff};
	d.rx->req_prod = 3;
	assert_true(netdev_fake_give(d.net, frame, 60, 0));
	assert_true(netdev_fake_give(d.net, frame, 60, 0));
	assert_int_equal(ring[1].rsp.status, NETIF_RSP_ERROR);
	assert_int_equal(ring[2].rsp.status, NETIF_RSP_ERROR);
	assert_int_equal(transmit(&d, 77, 60), NETIF_RSP_ERROR);
	put(&d, "state", 5);
	host_fake_run(w->f);
	assert_int_equal(w->p.grants.entries[TX_REF].flags, GTF_permit_access);
	assert_int_equal(w->p.grants.entries[RX_REF].flags, GTF_permit_access);
	finish(&d);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

/* The guest closes the port under connected rings, gets frames all the same, and comes back with another. */
static void port_goes_away(void **state)
{
	struct world *w = *state;
	struct shared_info *si = world_boot(w);
	struct evtchn_close close;
	struct card d = {0};
	uint8_t frame[60] = {0};

	begin(&d, w);
	connect_front(&d);
	close.port = d.port.port;
	assert_int_equal(EVTCHN(w, EVTCHNOP_close, close), 0);
	d.rx->ring[0].req = (netif_rx_request_t){.id = 3, .gref = DATA + 1};
	d.rx->req_prod = 1;
	assert_true(netdev_fake_give(d.net, frame, 60, 0));
	put(&d, "state", 6);
	host_fake_run(w->f);
	put(&d, "state", 1);
	host_fake_run(w->f);
	connect_front(&d);
	assert_int_equal(transmit(&d, DATA, 60), NETIF_RSP_OKAY);
	finish(&d);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(frames_move), T(port_goes_away)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
