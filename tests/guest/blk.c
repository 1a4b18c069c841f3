/* SPDX-License-Identifier: MIT */
/* A block front end: one disk, one ring page, one request at a time. */
#include "probe.h"

#define xen_mb() __sync_synchronize()
#define xen_rmb() barrier()
#define xen_wmb() barrier()
#include <xen/io/blkif.h>
#include <xen/io/protocols.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>

#define NO_RESPONSE (-1000)
#define REPLY_NS (2000 * NS_PER_MS)

static union {
	struct blkif_sring ring;
	char bytes[PAGE_BYTES];
} ring_page PAGE_ALIGNED;
static struct blkif_front_ring front;

static bool wait_state(const char *dir, enum xenbus_state wanted)
{
	uint64_t deadline = clock_ns() + REPLY_NS;
	char path[160];

	format_to(path, sizeof(path), "%s/state", dir);
	while (clock_ns() < deadline) {
		if (store_read_uint(path, 0) == wanted)
			return true;
		HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	}
	return false;
}

static bool write_uint(const struct blk *b, const char *key, uint32_t value)
{
	char path[96], text[16];

	format_to(path, sizeof(path), "%s/%s", b->front, key);
	format_to(text, sizeof(text), "%u", value);
	return store_write(path, text) >= 0;
}

static uint64_t read_back(const struct blk *b, const char *key)
{
	char path[160];

	format_to(path, sizeof(path), "%s/%s", b->back, key);
	return store_read_uint(path, 0);
}

static bool publish(struct blk *b)
{
	char path[96];

	format_to(path, sizeof(path), "%s/protocol", b->front);
	return write_uint(b, "ring-ref", b->ring_ref) && write_uint(b, "event-channel", b->port) &&
	       store_write(path, XEN_IO_PROTO_ABI_X86_64) >= 0 && write_uint(b, "state", XenbusStateInitialised);
}

static bool find_disk(struct blk *b)
{
	char list[256], path[96];

	if (store_request(XS_DIRECTORY, "device/vbd", 11, list, sizeof(list)) <= 0)
		return false;
	format_to(b->front, sizeof(b->front), "device/vbd/%s", list); /* the first of the list */
	format_to(path, sizeof(path), "%s/backend", b->front);
	return store_read(path, b->back, sizeof(b->back)) > 0;
}

bool blk_open(struct blk *b)
{
	/* After a close this asks the back end to start over. */
	if (!find_disk(b) || !write_uint(b, "state", XenbusStateInitialising) || !wait_state(b->back, XenbusStateInitWait))
		return false;
	memset(&ring_page, 0, PAGE_BYTES);
	SHARED_RING_INIT(&ring_page.ring);
	FRONT_RING_INIT(&front, &ring_page.ring, PAGE_BYTES);
	b->ring = &front;
	b->ring_ref = grant_page(&ring_page, false);
	b->port = event_alloc();
	if (!b->ring_ref || !b->port || !publish(b) || !wait_state(b->back, XenbusStateConnected))
		return false;
	b->sectors = read_back(b, "sectors");
	b->sector_size = (uint32_t)read_back(b, "sector-size");
	b->info = (uint32_t)read_back(b, "info");
	return write_uint(b, "state", XenbusStateConnected);
}

void blk_close(struct blk *b)
{
	/* The back end answers each step with the same. */
	write_uint(b, "state", XenbusStateClosing);
	wait_state(b->back, XenbusStateClosing);
	write_uint(b, "state", XenbusStateClosed);
	wait_state(b->back, XenbusStateClosed);
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
