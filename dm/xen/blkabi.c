/* SPDX-License-Identifier: MIT */
#include "dm/xen/blkabi.h"

#include <stddef.h>
#include <string.h>

#include <xen/io/protocols.h>

#define AT(type, member) ((uint8_t)offsetof(struct type, member))

/* On i386 each member from the first uint64_t on lies 4 bytes earlier: nothing else is padded differently. */
static const struct blkabi layouts[] = {
        {
                .protocol = XEN_IO_PROTO_ABI_X86_64,
                .entry = sizeof(union blkif_sring_entry),
                .response = sizeof(struct blkif_response),
                .id = AT(blkif_request, id),
                .sector = AT(blkif_request, sector_number),
                .segments = AT(blkif_request, seg),
                .grefs = AT(blkif_request_indirect, indirect_grefs),
                .nr_sectors = AT(blkif_request_discard, nr_sectors),
        },
        {
                .protocol = XEN_IO_PROTO_ABI_X86_32,
                .entry = sizeof(union blkif_sring_entry) - 4,
                .response = sizeof(struct blkif_response) - 4,
                .id = AT(blkif_request, id) - 4,
                .sector = AT(blkif_request, sector_number) - 4,
                .segments = AT(blkif_request, seg) - 4,
                .grefs = AT(blkif_request_indirect, indirect_grefs) - 4,
                .nr_sectors = AT(blkif_request_discard, nr_sectors) - 4,
        },
};

_Static_assert(sizeof(union blkif_sring_entry) == 112, "the public x86_64 entry");
_Static_assert(AT(blkif_request, id) == 8 && AT(blkif_request_discard, id) == 8 &&
                       AT(blkif_request_indirect, id) == 8,
               "one offset for all ids");
_Static_assert(AT(blkif_request_discard, sector_number) == AT(blkif_request, sector_number) &&
                       AT(blkif_request_indirect, sector_number) == AT(blkif_request, sector_number),
               "one offset for all sectors");

const struct blkabi *blkabi_find(const char *protocol)
{
	if (!protocol || !protocol[0])
		protocol = XEN_IO_PROTO_ABI_NATIVE;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (!strcmp(layouts[i].protocol, protocol))
			return &layouts[i];
	return NULL;
}

uint32_t blkabi_ring_size(const struct blkabi *abi, uint32_t pages)
{
	uint32_t n = (pages * 4096 - (uint32_t)offsetof(struct blkif_sring, ring)) / abi->entry;

	return 1u << (31 - __builtin_clz(n));
}

static uint64_t u64_at(const uint8_t *entry, uint32_t offset)
{
	uint64_t v;

	memcpy(&v, entry + offset, sizeof(v));
	return v;
}

void blkabi_parse(const struct blkabi *abi, const uint8_t *entry, struct blkcmd *cmd)
{
	cmd->op = entry[offsetof(struct blkif_request, operation)];
	cmd->id = u64_at(entry, abi->id);
	cmd->sector = u64_at(entry, abi->sector);
	switch (cmd->op) {
	case BLKIF_OP_INDIRECT:
		cmd->indirect_op = entry[offsetof(struct blkif_request_indirect, indirect_op)];
		memcpy(&cmd->n_segments, entry + offsetof(struct blkif_request_indirect, nr_segments),
		       sizeof(cmd->n_segments));
		memcpy(cmd->grefs, entry + abi->grefs, sizeof(cmd->grefs));
		break;
	case BLKIF_OP_DISCARD:
		cmd->nr_sectors = u64_at(entry, abi->nr_sectors);
		break;
	default:
		cmd->n_segments = entry[offsetof(struct blkif_request, nr_segments)];
		memcpy(cmd->segments, entry + abi->segments, sizeof(cmd->segments));
		break;
	}
}
