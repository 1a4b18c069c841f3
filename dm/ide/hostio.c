/* SPDX-License-Identifier: MIT */
/*
 * From a channel to the host's block back end.
 *
 * A back end is served on [io], a guest's command arrives on [vcpu]. What the
 * back end can do without waiting (data that is in the host's page cache) is
 * done at once, on the vCPU's thread: waking another thread costs more than
 * the copy. Everything else is queued, and [io] submits it.
 *
 * The lock is never held over block_kick and block_drain, as those call back.
 * Completion is a loop, not a recursion: a transfer of many pieces that are all
 * done at once uses the stack of one.
 */
#include "dm/ide/internal.h"

#include <errno.h>

static struct ide_channel *channel_of(struct block_req *req)
{
	return (struct ide_channel *)((char *)req - offsetof(struct ide_channel, req));
}

static void settle(struct ide_channel *ch, int result)
{
	if (result)
		ide_count(ch->c.drive->n.io_errors, 1);
	ch->result = result;
	ch->ready = true;
	if (ch->settling)
		return;
	ch->settling = true;
	while (ch->ready) {
		ch->ready = false;
		if (ch->reset)
			ide_reset_go_on(ch);
		else
			ch->io_done(ch, ch->result);
	}
	ch->settling = false;
}

/* [io], or [control] while that is parked. */
static void submit(struct ide_channel *ch)
{
	int err = block_submit(ch->block, &ch->req);

	ch->io_queued = false;
	if (err) {
		settle(ch, err);
		return;
	}
	ch->io_flying = true;
	ch->io_kick = true;
}

static void enter(struct ide_channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->on_io = true;
	ch->budget = IDE_CHUNK;
}

static void leave(struct ide_channel *ch)
{
	struct block *block = ch->io_kick ? ch->block : NULL;

	ch->io_kick = false;
	ch->on_io = false;
	if (!ide_io_busy(ch))
		pthread_cond_broadcast(&ch->calm);
	pthread_mutex_unlock(&ch->lock);
	if (block)
		block_kick(block);
}

static void req_done(struct block_req *req, int result)
{
	struct ide_channel *ch = channel_of(req);

	enter(ch);
	ch->io_flying = false;
	settle(ch, result);
	leave(ch);
}

static void run_deferred(void *opaque)
{
	struct ide_channel *ch = opaque;

	enter(ch);
	if (ch->io_queued && !ch->paused)
		submit(ch);
	leave(ch);
}

static bool at_once(struct ide_channel *ch)
{
	if (!ch->block->ops->now || ch->budget <= 0)
		return false;
	if (ch->req.op != BLOCK_READ && (ch->req.op != BLOCK_WRITE || ch->on_io))
		return false;
	if (ch->block->ops->now(ch->block, &ch->req))
		return false;
	ch->budget -= (int64_t)ch->req.length;
	ide_count(ch->c.drive->n.at_once, 1);
	return true;
}

void ide_io(struct ide_channel *ch, uint8_t op, uint64_t offset, uint64_t bytes, uint32_t n_iov,
            ide_io_fn done)
{
	struct ide_drive *d = ch->c.drive;

	ch->block = d->block;
	ch->io_done = done;
	ch->req.op = op;
	ch->req.n_iov = n_iov;
	ch->req.iov = ch->iov;
	ch->req.offset = offset;
	ch->req.length = bytes;
	ch->req.done = req_done;
	ch->c.phase = PHASE_IO;
	d->status = ST_BSY;
	if (!ch->paused && at_once(ch)) {
		settle(ch, 0);
		return;
	}
	ch->io_queued = true;
	if (ch->on_io && !ch->paused)
		submit(ch);
	else if (!ch->paused)
		ch->ide->c.host->defer_run(ch->ide->c.inst, ch->defer);
}

void ide_io_buffer(struct ide_channel *ch, uint8_t op, uint64_t offset, uint32_t from, uint32_t bytes,
                   ide_io_fn done)
{
	ch->iov[0] = (struct iovec){.iov_base = ch->buffer + from, .iov_len = bytes};
	ide_io(ch, op, offset, bytes, 1, done);
}

void ide_io_wait(struct ide_channel *ch)
{
	while (ide_io_busy(ch))
		pthread_cond_wait(&ch->calm, &ch->lock);
}

void ide_io_drain(struct ide_channel *ch)
{
	struct block *block;

	enter(ch);
	/* What is queued may hold guest memory: it goes out, and what follows it waits. */
	if (ch->io_queued && !ch->paused)
		submit(ch);
	ch->paused = true;
	block = ch->io_flying ? ch->block : NULL;
	leave(ch);
	if (block)
		block_drain(block);
}

void ide_io_go(struct ide_channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->paused = false;
	if (ch->io_queued)
		ch->ide->c.host->defer_run(ch->ide->c.inst, ch->defer);
	ide_dma_go(ch);
	pthread_mutex_unlock(&ch->lock);
}

int ide_io_init(struct ide_channel *ch)
{
	ch->defer = ch->ide->c.host->defer_create(ch->ide->c.inst, run_deferred, ch);
	return ch->defer ? 0 : -ENOMEM;
}

void ide_io_finish(struct ide_channel *ch)
{
	if (ch->defer)
		ch->ide->c.host->defer_destroy(ch->ide->c.inst, ch->defer);
	ch->defer = NULL;
}
