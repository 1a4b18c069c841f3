/* SPDX-License-Identifier: MIT */
/* A block front end: one disk, one ring page, one request at a time. */
#include "probe.h"

#define xen_mb() __sync_synchronize()
#define xen_rmb() barrier()
#define xen_wmb() barrier()
#include <xen/io/blkif.h>
#include <xen/io/protocols.h>
#include <xen/io/xenbus.h>

#define NO_RESPONSE (-1000)
#define REPLY_NS (2000 * NS_PER_MS)

static union {
	struct blkif_sring ring;
	char bytes[PAGE_BYTES];
} ring_page PAGE_ALIGNED;
static struct blkif_front_ring front;

static bool publish(struct blk *b)
{
	return xenbus_put_uint(&b->x, "ring-ref", b->ring_ref) && xenbus_put_uint(&b->x, "event-channel", b->port) &&
	       xenbus_put_uint(&b->x, "feature-persistent", b->persistent) &&
	       xenbus_put(&b->x, "protocol", XEN_IO_PROTO_ABI_X86_64) &&
	       xenbus_put_uint(&b->x, "state", XenbusStateInitialised);
}

bool blk_open(struct blk *b)
{
	if (!xenbus_find(&b->x, "device/vbd") || !xenbus_begin(&b->x))
		return false;
	memset(&ring_page, 0, PAGE_BYTES);
	SHARED_RING_INIT(&ring_page.ring);
	FRONT_RING_INIT(&front, &ring_page.ring, PAGE_BYTES);
	b->ring = &front;
	b->ring_ref = grant_page(&ring_page, false);
	b->port = event_alloc();
	if (!b->ring_ref || !b->port || !publish(b) || !xenbus_wait(&b->x, XenbusStateConnected))
		return false;
	b->sectors = xenbus_back_uint(&b->x, "sectors");
	b->sector_size = (uint32_t)xenbus_back_uint(&b->x, "sector-size");
	b->info = (uint32_t)xenbus_back_uint(&b->x, "info");
	return xenbus_put_uint(&b->x, "state", XenbusStateConnected);
}

void blk_close(struct blk *b)
{
	xenbus_end(&b->x);
	grant_end(b->ring_ref);
}

static int response(struct blk *b, uint64_t id)
{
	uint64_t deadline = clock_ns() + REPLY_NS;
	struct blkif_response rsp;
	int more;

	for (;;) {
		RING_FINAL_CHECK_FOR_RESPONSES(b->ring, more);
		if (more)
			break;
		if (!event_wait(b->port, deadline))
			return NO_RESPONSE;
	}
	rsp = *RING_GET_RESPONSE(b->ring, b->ring->rsp_cons);
	b->ring->rsp_cons++;
	return rsp.id == id ? rsp.status : NO_RESPONSE;
}

int blk_raw(struct blk *b, const struct blkif_request *req)
{
	int notify;

	*RING_GET_REQUEST(b->ring, b->ring->req_prod_pvt) = *req;
	b->ring->req_prod_pvt++;
	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(b->ring, notify);
	if (notify)
		event_send(b->port);
	return response(b, req->id);
}

int blk_page_io(struct blk *b, unsigned op, uint64_t sector, void *page)
{
	uint32_t ref = page ? grant_page(page, op == BLKIF_OP_WRITE) : 0;
	struct blkif_request req = {
		.operation = (uint8_t)op,
		.nr_segments = page ? 1 : 0,
		.id = sector ^ 0x1d,
		.sector_number = sector,
		.seg = { { .gref = ref, .first_sect = 0, .last_sect = 7 } },
	};
	int status = blk_raw(b, &req);

	grant_end(ref);
	return status;
}
