/* SPDX-License-Identifier: MIT */
/* The block back end on the real event channels, grant table and store: what the fakes of the other tests
 * stand for. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include <xen/io/blkif.h>

#include "dm/xen/blkback.h"
#include "dm/xen/xenbus.h"
#include "fake/block-fake.h"

#define FRONT    "/local/domain/1/device/vbd/51712"
#define RING_GPA 0x100000ull
#define DATA_GPA 0x200000ull
#define RING_REF 8u
#define DATA_REF 9u

struct disk {
	struct world *w;
	struct xenbus *bus;
	struct block_fake block;
	struct blkback *back;
	struct blkif_sring *ring;
	struct evtchn_alloc_unbound port;
};

static void put(struct disk *d, const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), FRONT "/%s", name);
	assert_int_equal(xenbus_ops.write(d->bus, path, value, (uint32_t)strlen(value)), 0);
}

static void begin(struct disk *d, struct world *w)
{
	struct xenbus_config bus = {
	        .host = w->f->host, .inst = w->f->inst, .special_gfn = (16 << 8) + 16, .special_count = 2};
	struct blkback_config c = {w->f->host, w->f->inst, &d->block.block, "xvda", 51712, 1, true};
	struct blkback_peers peers = {&xenbus_ops, NULL, &evtchn_ops, &w->x.evtchn, &grant_ops, &w->p.grants};

	d->w = w;
	block_fake_init(&d->block, 1 << 20);
	d->bus = xenbus_create(&bus);
	assert_int_equal(xenbus_start(d->bus, &evtchn_ops, &w->x.evtchn), 0);
	peers.bus_self = d->bus;
	d->back = blkback_create(&c);
	assert_int_equal(blkback_start(d->back, &peers, BLKBACK_DISK), 0);
}

static void grant(struct disk *d, uint32_t ref, uint64_t gpa)
{
	d->w->p.grants.entries[ref] = (struct grant_entry_v1){GTF_permit_access, 0, (uint32_t)(gpa >> 12)};
}

static void connect_front(struct disk *d)
{
	char text[16];

	grant(d, RING_REF, RING_GPA);
	grant(d, DATA_REF, DATA_GPA);
	d->port = (struct evtchn_alloc_unbound){.dom = DOMID_SELF};
	assert_int_equal(EVTCHN(d->w, EVTCHNOP_alloc_unbound, d->port), 0);
	d->ring = (void *)(d->w->f->ram + RING_GPA);
	memset(d->ring, 0, 4096);
	d->ring->req_event = d->ring->rsp_event = 1;
	snprintf(text, sizeof(text), "%u", d->port.port);
	put(d, "event-channel", text);
	put(d, "ring-ref", "8");
	put(d, "feature-persistent", "1");
	put(d, "state", "3");
	host_fake_run(d->w->f);
}

static int16_t transfer(struct disk *d, uint8_t op)
{
	struct blkif_request *r = &d->ring->ring[d->ring->req_prod & 31].req;
	struct evtchn_send send = {.port = d->port.port};
	uint32_t at = d->ring->rsp_prod;

	memset(r, 0, sizeof(*r));
	r->operation = op;
	r->nr_segments = 1;
	r->seg[0] = (struct blkif_request_segment){DATA_REF, 0, 7};
	d->ring->req_prod++;
	assert_int_equal(EVTCHN(d->w, EVTCHNOP_send, send), 0);
	host_fake_run(d->w->f);
	assert_int_equal(d->ring->rsp_prod, at + 1);
	d->ring->rsp_event = at + 2;
	return d->ring->ring[at & 31].rsp.status;
}

static void finish(struct disk *d)
{
	blkback_stop(d->back);
	blkback_destroy(d->back);
	xenbus_destroy(d->bus);
	block_fake_finish(&d->block);
}

static bool take_event(struct shared_info *si, uint32_t port)
{
	return __atomic_fetch_and(&si->evtchn_pending[port / 64], ~(1ul << port % 64), __ATOMIC_SEQ_CST) >>
	               port % 64 &
	       1;
}

static void data_moves(void **state)
{
	struct world *w = *state;
	struct shared_info *si = world_boot(w);
	struct disk d = {0};

	begin(&d, w);
	connect_front(&d);
	memset(w->f->ram + DATA_GPA, 0xa5, 4096);
	assert_int_equal(transfer(&d, BLKIF_OP_WRITE), BLKIF_RSP_OKAY);
	assert_true(take_event(si, d.port.port));
	memset(w->f->ram + DATA_GPA, 0, 4096);
	assert_int_equal(transfer(&d, BLKIF_OP_READ), BLKIF_RSP_OKAY);
	assert_true(take_event(si, d.port.port));
	assert_memory_equal(w->f->ram + DATA_GPA, d.block.data, 4096);
	assert_int_equal(w->f->ram[DATA_GPA], 0xa5);
	/* Kept, and in use as the guest sees it, until the device closes. */
	assert_true(w->p.grants.entries[DATA_REF].flags & GTF_writing);
	put(&d, "state", "5");
	host_fake_run(w->f);
	assert_int_equal(w->p.grants.entries[DATA_REF].flags, GTF_permit_access);
	assert_int_equal(w->p.grants.entries[RING_REF].flags, GTF_permit_access);
	finish(&d);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

/* The guest closes the port under a connected ring, and comes back with another. */
static void port_goes_away(void **state)
{
	struct world *w = *state;
	struct shared_info *si = world_boot(w);
	struct evtchn_close close;
	struct disk d = {0};

	begin(&d, w);
	connect_front(&d);
	close.port = d.port.port;
	assert_int_equal(EVTCHN(w, EVTCHNOP_close, close), 0);
	put(&d, "state", "6");
	host_fake_run(w->f);
	put(&d, "state", "1");
	host_fake_run(w->f);
	connect_front(&d);
	assert_int_equal(transfer(&d, BLKIF_OP_READ), BLKIF_RSP_OKAY);
	finish(&d);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(data_moves), T(port_goes_away)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
