/* SPDX-License-Identifier: MIT */
#include "dm/block/block.h"

struct last_flush {
	struct block_req io; /* first: done gets a pointer to it */
	int result;
};

static void flushed(struct block_req *io, int result)
{
	((struct last_flush *)io)->result = result;
}

int block_sync(struct block *block)
{
	struct last_flush last = {.io = {.op = BLOCK_FLUSH, .done = flushed}};
	int err = block->info.readonly ? 0 : block_submit(block, &last.io);

	if (err || block->info.readonly)
		return err;
	block_kick(block);
	block_drain(block);
	return last.result;
}
