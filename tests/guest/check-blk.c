/* SPDX-License-Identifier: MIT */
/*
 * Checks of the first disk. tests/guest/make-disk wrote "sector NNNNNNNN\n" all
 * over each sector. Writes happen on request alone, to the last page of the disk.
 */
#include "probe.h"

#define xen_mb() __sync_synchronize()
#define xen_rmb() barrier()
#define xen_wmb() barrier()
#include <xen/io/blkif.h>

static char page[PAGE_BYTES] PAGE_ALIGNED;
static char other[PAGE_BYTES] PAGE_ALIGNED;

static void check_read(struct blk *b)
{
	static const uint64_t first[] = { 0, 8, 1024, 2040 };

	for (unsigned i = 0; i < ARRAY_LEN(first); i++) {
		memset(page, 0, sizeof(page));
		check(blk_page_io(b, BLKIF_OP_READ, first[i], page) == BLKIF_RSP_OKAY && names_sectors(page, first[i], 8),
		      "disk: read at sector %lu", first[i]);
	}
}

static int with_request(struct blk *b, uint8_t op, uint8_t segments, uint32_t gref, uint8_t first, uint8_t last)
{
	struct blkif_request req = {
		.operation = op,
		.nr_segments = segments,
		.id = 77,
		.seg = { { .gref = gref, .first_sect = first, .last_sect = last } },
	};

	return blk_raw(b, &req);
}

static void check_refusals(struct blk *b)
{
	uint32_t ref = grant_page(page, false), readonly = grant_page(other, true);

	check(blk_page_io(b, BLKIF_OP_READ, b->sectors, page) == BLKIF_RSP_ERROR, "disk: read past the end");
	check(blk_page_io(b, BLKIF_OP_READ, ~0ull - 3, page) == BLKIF_RSP_ERROR, "disk: read at the last sector number");
	check(with_request(b, 99, 1, ref, 0, 7) == BLKIF_RSP_EOPNOTSUPP, "disk: an operation that is not there");
	check(with_request(b, BLKIF_OP_READ, 1, ref, 5, 2) == BLKIF_RSP_ERROR, "disk: a segment that ends first");
	check(with_request(b, BLKIF_OP_READ, 1, ref, 0, 8) == BLKIF_RSP_ERROR, "disk: a segment past its page");
	check(with_request(b, BLKIF_OP_READ, 255, ref, 0, 7) == BLKIF_RSP_ERROR, "disk: 255 segments");
	check(with_request(b, BLKIF_OP_READ, 1, 500, 0, 7) == BLKIF_RSP_ERROR, "disk: a reference that grants nothing");
	check(with_request(b, BLKIF_OP_READ, 1, readonly, 0, 7) == BLKIF_RSP_ERROR, "disk: a read into a read-only grant");
	grant_end(ref);
	grant_end(readonly);
}

static void check_write(struct blk *b)
{
	uint64_t last = b->sectors - 8;

	if (b->info & VDISK_READONLY) {
		check(blk_page_io(b, BLKIF_OP_WRITE, last, page) == BLKIF_RSP_ERROR, "disk: read-only refuses a write");
		return;
	}
	if (!probe.write) {
		skip("disk: write", "not asked for");
		return;
	}
	blk_page_io(b, BLKIF_OP_READ, last, other);
	for (unsigned i = 0; i < sizeof(page); i++)
		page[i] = (char)(i * 7);
	check(blk_page_io(b, BLKIF_OP_WRITE, last, page) == BLKIF_RSP_OKAY, "disk: write");
	check(blk_page_io(b, BLKIF_OP_FLUSH_DISKCACHE, 0, NULL) == BLKIF_RSP_OKAY, "disk: flush");
	memset(page, 0, sizeof(page));
	check(blk_page_io(b, BLKIF_OP_READ, last, page) == BLKIF_RSP_OKAY && page[1] == 7 && page[4095] == (char)(4095 * 7),
	      "disk: read it back");
	check(blk_page_io(b, BLKIF_OP_WRITE, last, other) == BLKIF_RSP_OKAY, "disk: put back what was there");
}

void check_blk(void)
{
	struct blk b = { 0 };

	if (!blk_open(&b)) {
		if (b.x.back[0])
			check(false, "disk: connect");
		else
			skip("disk", "the domain has none");
		return;
	}
	check(b.sectors >= 8 && b.sector_size == 512, "disk: its size");
	print("# disk of %lu sectors of %u\n", b.sectors, b.sector_size);
	check_read(&b);
	check_refusals(&b);
	check_write(&b);
	blk_close(&b);
	/* A second connection finds everything as the first did. */
	check(blk_open(&b) && blk_page_io(&b, BLKIF_OP_READ, 0, page) == BLKIF_RSP_OKAY && names_sectors(page, 0, 8),
	      "disk: close, connect again and read");
	blk_close(&b);
}
