/* SPDX-License-Identifier: MIT */
/* What the disk and the network cost. */
#include "pc.h"

#include <xen/io/blkif.h>

#define READS 21

static void measure_blk(void)
{
	static char page[PAGE_BYTES] PAGE_ALIGNED;
	uint64_t took[READS], start;
	struct blk b = { 0 };

	if (!blk_open(&b))
		return;
	for (unsigned i = 0; i < READS; i++) {
		start = clock_ns();
		blk_page_io(&b, BLKIF_OP_READ, 8 * (i % 16), page);
		took[i] = clock_ns() - start;
	}
	measure_values("disk-read-4k", took, READS, 1);
	blk_close(&b);
}

void measure_io(void)
{
	if (probe.xen_base)
		measure_blk();
	if (probe.pc)
		measure_pc_ide();
}
