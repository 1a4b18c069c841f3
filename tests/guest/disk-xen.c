/* SPDX-License-Identifier: MIT */
/*
 * The Xen disk with many requests under way: all of io_buffer stays granted, as
 * feature-persistent has it, and large requests are indirect where the back end
 * takes such.
 */
#include "io.h"

#define xen_mb() __sync_synchronize()
#define xen_rmb() barrier()
#define xen_wmb() barrier()
#include <xen/io/blkif.h>

#define LARGE_TAGS 8u /* requests that may be indirect; each has a page for its segments */

static struct blk blk;
static uint32_t refs[IO_PAGES], list_refs[LARGE_TAGS];
static struct blkif_request_segment lists[LARGE_TAGS][PAGE_BYTES / sizeof(struct blkif_request_segment)] PAGE_ALIGNED;

static struct blkif_request_segment segment(const uint8_t *data)
{
	return (struct blkif_request_segment){ .gref = refs[(data - io_buffer) / PAGE_BYTES], .last_sect = 7 };
}

static void put_indirect(struct blkif_request_indirect *to, const struct disk_request *r)
{
	unsigned n = r->bytes / PAGE_BYTES;

	*to = (struct blkif_request_indirect){
		.operation = BLKIF_OP_INDIRECT,
		.indirect_op = r->write ? BLKIF_OP_WRITE : BLKIF_OP_READ,
		.nr_segments = (uint16_t)n,
		.id = r->tag,
		.sector_number = r->sector,
		.indirect_grefs = { list_refs[r->tag] },
	};
	for (unsigned i = 0; i < n; i++)
		lists[r->tag][i] = segment(r->data + i * PAGE_BYTES);
}

static void put_direct(struct blkif_request *to, const struct disk_request *r)
{
	unsigned n = r->bytes / PAGE_BYTES;

	to->operation = r->write ? BLKIF_OP_WRITE : BLKIF_OP_READ;
	to->nr_segments = (uint8_t)n;
	to->handle = 0;
	to->id = r->tag;
	to->sector_number = r->sector;
	for (unsigned i = 0; i < n; i++)
		to->seg[i] = segment(r->data + i * PAGE_BYTES);
}

static void submit(const struct disk_request *r)
{
	struct blkif_request *slot = RING_GET_REQUEST(blk.ring, blk.ring->req_prod_pvt);

	if (r->bytes / PAGE_BYTES > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		put_indirect((void *)slot, r);
	else
		put_direct(slot, r);
	blk.ring->req_prod_pvt++;
}

static void kick(void)
{
	int notify;

	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(blk.ring, notify);
	if (notify)
		event_send(blk.port);
}

/* rsp_event is left behind, so that no event comes for what is polled. */
static bool reap(unsigned *tag, bool *ok)
{
	struct blkif_response rsp;

	if (__atomic_load_n(&blk.ring->sring->rsp_prod, __ATOMIC_ACQUIRE) == blk.ring->rsp_cons)
		return false;
	rsp = *RING_GET_RESPONSE(blk.ring, blk.ring->rsp_cons);
	blk.ring->rsp_cons++;
	*tag = rsp.id < DISK_DEPTH ? (unsigned)rsp.id : ~0u;
	*ok = rsp.status == BLKIF_RSP_OKAY;
	return true;
}

static void grants_end(void)
{
	for (unsigned i = 0; i < IO_PAGES; i++)
		grant_end(refs[i]);
	for (unsigned i = 0; i < LARGE_TAGS; i++)
		grant_end(list_refs[i]);
}

static bool grants_make(void)
{
	bool all = true;

	for (unsigned i = 0; i < IO_PAGES; i++)
		all &= (refs[i] = grant_page(io_buffer + i * PAGE_BYTES, false)) != 0;
	for (unsigned i = 0; i < LARGE_TAGS; i++)
		all &= (list_refs[i] = grant_page(lists[i], true)) != 0;
	return all;
}

static void close(void)
{
	blk_close(&blk);
	grants_end();
}

enum io_found disk_xen_open(struct disk *d)
{
	uint64_t segments;

	if (!probe.xen_base)
		return IO_NONE;
	memset(&blk, 0, sizeof(blk));
	blk.persistent = true;
	if (!blk_open(&blk))
		return blk.x.back[0] ? IO_FAILED : IO_NONE;
	if (blk.sector_size != SECTOR || !grants_make()) {
		close();
		return IO_FAILED;
	}
	segments = xenbus_back_uint(&blk.x, "feature-max-indirect-segments");
	*d = (struct disk){
		.driver = "Xen",
		.sectors = blk.sectors,
		.readonly = blk.info & VDISK_READONLY,
		.depth = RING_SIZE(blk.ring) < DISK_DEPTH ? RING_SIZE(blk.ring) : DISK_DEPTH,
		.submit = submit,
		.kick = kick,
		.reap = reap,
		.close = close,
	};
	if (segments < BLKIF_MAX_SEGMENTS_PER_REQUEST)
		segments = BLKIF_MAX_SEGMENTS_PER_REQUEST;
	d->bytes = (uint32_t)(segments < IO_PAGES ? segments : IO_PAGES) * PAGE_BYTES;
	return IO_OPEN;
}
