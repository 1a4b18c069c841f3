/* SPDX-License-Identifier: MIT */
/*
 * The two layouts of a block ring entry. xen/io/blkif.h is compiled for this
 * host, where a uint64_t is aligned to 8 bytes; a 32-bit guest aligns it to 4
 * and so has the same members at other offsets.
 */
#ifndef DM_XEN_BLKABI_H
#define DM_XEN_BLKABI_H

#include <stdint.h>

#include <xen/xen.h>
#include <xen/io/blkif.h>

/* The larger of the two. */
#define BLKABI_ENTRY_MAX sizeof(union blkif_sring_entry)
/* Of a response; the same bytes matter in both layouts. */
#define BLKABI_RESPONSE sizeof(struct blkif_response)

struct blkabi {
	const char *protocol; /* XEN_IO_PROTO_ABI_* */
	uint8_t entry;        /* bytes of a ring entry */
	uint8_t response;     /* bytes of a response that are written */
	uint8_t id, sector;   /* offsets, the same for all operations */
	uint8_t segments;     /* read, write */
	uint8_t grefs;        /* indirect */
	uint8_t nr_sectors;   /* discard */
};

/* A request as read from the ring, nothing of it checked. */
struct blkcmd {
	uint8_t op;
	uint8_t indirect_op;
	uint16_t n_segments;
	uint64_t id, sector, nr_sectors;
	struct blkif_request_segment segments[BLKIF_MAX_SEGMENTS_PER_REQUEST];
	grant_ref_t grefs[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST];
};

/* The layout of a protocol string; the host's for NULL or "". NULL for one unknown. */
const struct blkabi *blkabi_find(const char *protocol);
/* Entries of a ring of n pages: a power of two. */
uint32_t blkabi_ring_size(const struct blkabi *abi, uint32_t pages);
/* entry: abi->entry bytes, private to us. */
void blkabi_parse(const struct blkabi *abi, const uint8_t *entry, struct blkcmd *cmd);

#endif
