/* SPDX-License-Identifier: MIT */
/*
 * The bus master of a channel: Programming Interface for Bus Master IDE
 * Controller, revision 1.0, as the 82371SB has it.
 *
 * A transfer needs two: a drive that has begun a DMA command and a bus master
 * that is active in the drive's direction. Whichever comes last sets it going.
 * Regions of memory are walked as the transfer proceeds, each descriptor copied
 * once; data goes between the host's block back end and the guest's own pages.
 *
 * How it can end (section 3.1 of the interface):
 *   - the command is through as the last region is: Interrupt, not Active;
 *   - the command is through before: Interrupt and Active;
 *   - the regions are through before: neither. The drive still has DRQ, and
 *     goes on if the bus master is started again;
 *   - a descriptor or region cannot be reached: Error, not Active.
 * Regions need not hold whole sectors. `edge` is how much of the sector at
 * c->at was moved before the regions ran out; on a write these bytes are kept.
 */
#include "dm/ide/internal.h"

#include <string.h>

enum ide_stop { STOP_NONE = 0, STOP_END, STOP_FAULT };

/* ---- regions ------------------------------------------------------------------------------ */

static bool fetch(struct ide_channel *ch)
{
	const struct ide_config *k = &ch->ide->c;
	struct ide_bm *bm = &ch->bm;
	uint8_t raw[8];
	uint32_t base, flags;

	if (k->pci->dma_read(k->pci_self, ch->ide->function, bm->next, raw, sizeof(raw)))
		return false;
	memcpy(&base, raw, 4);
	memcpy(&flags, raw + 4, 4);
	/* The table lies in one 64 KiB area: the upper half of the pointer is a latch. */
	bm->next = (bm->next & 0xffff0000u) | ((bm->next + 8) & 0xffffu);
	bm->base = base & ~1u;
	bm->left = flags & 0xfffeu ? flags & 0xfffeu : 0x10000u;
	bm->last = flags >> 31;
	/* And so is that of the address of a region. */
	return (bm->base & 0xffffu) + bm->left <= 0x10000u;
}

static enum ide_stop region(struct ide_channel *ch)
{
	if (ch->bm.left)
		return STOP_NONE;
	if (ch->bm.last)
		return STOP_END;
	return fetch(ch) ? STOP_NONE : STOP_FAULT;
}

/* Maps regions for up to `max` bytes into ch->span; returns how many bytes they are. */
static uint32_t gather(struct ide_channel *ch, uint32_t max)
{
	const struct gamut_host *host = ch->ide->c.host;
	struct ide_command *c = &ch->c;
	struct ide_bm *bm = &ch->bm;
	uint32_t sum = 0;

	c->stop = STOP_NONE;
	while (sum < max && c->n_spans < IDE_MAX_SPANS) {
		struct ide_span *s = &ch->span[c->n_spans];

		c->stop = (uint8_t)region(ch);
		if (c->stop)
			break;
		s->len = bm->left < max - sum ? bm->left : max - sum;
		s->gpa = bm->base;
		s->host = host->mem_get(ch->ide->c.inst, s->gpa, s->len);
		if (!s->host) {
			c->stop = STOP_FAULT;
			break;
		}
		c->n_spans++;
		bm->base += s->len;
		bm->left -= s->len;
		sum += s->len;
	}
	return sum;
}

void ide_spans_put(struct ide_channel *ch)
{
	const struct gamut_host *host = ch->ide->c.host;

	for (uint32_t i = 0; i < ch->c.n_spans; i++) {
		const struct ide_span *s = &ch->span[i];

		if (ch->c.to_memory)
			host->mem_dirty(ch->ide->c.inst, s->gpa, s->len);
		host->mem_put(ch->ide->c.inst, s->host, s->len);
	}
	ch->c.n_spans = 0;
}

/* ---- the ends ----------------------------------------------------------------------------- */

static void halt(struct ide_channel *ch)
{
	ch->bm.status &= (uint8_t)~BM_ACTIVE;
	if (ch->c.stop == STOP_FAULT) {
		ch->bm.status |= BM_ERROR;
		ide_count(ch->c.drive->n.dma_errors, 1);
	}
}

static void all_moved(struct ide_channel *ch)
{
	if (!ch->bm.left && ch->bm.last)
		ch->bm.status &= (uint8_t)~BM_ACTIVE;
	ch->c.phase = PHASE_IDLE;
	ch->c.done(ch);
}

/* ---- the buffer --------------------------------------------------------------------------- */

static void move_buffer(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;

	do {
		gather(ch, c->fill - c->pos);
		for (uint32_t i = 0; i < c->n_spans; i++) {
			const struct ide_span *s = &ch->span[i];

			if (c->to_memory)
				memcpy(s->host, ch->buffer + c->pos, s->len);
			else
				memcpy(ch->buffer + c->pos, s->host, s->len);
			c->pos += s->len;
		}
		ide_spans_put(ch);
	} while (c->pos < c->fill && !c->stop);
	if (c->pos == c->fill)
		all_moved(ch);
	else
		halt(ch);
}

/* ---- the medium --------------------------------------------------------------------------- */

/* Read: what regions do not take of a sector at either end goes nowhere. Returns the entries used. */
static uint32_t lay_out_read(struct ide_channel *ch, uint32_t sum, uint32_t *bytes)
{
	struct ide_command *c = &ch->c;
	uint32_t n = 0, pad = (IDE_SECTOR - (c->edge + sum) % IDE_SECTOR) % IDE_SECTOR;

	if (c->edge)
		ch->iov[n++] = (struct iovec){.iov_base = ch->sink, .iov_len = c->edge};
	for (uint32_t i = 0; i < c->n_spans; i++)
		ch->iov[n++] = (struct iovec){.iov_base = ch->span[i].host, .iov_len = ch->span[i].len};
	if (pad)
		ch->iov[n++] = (struct iovec){.iov_base = ch->sink, .iov_len = pad};
	*bytes = c->edge + sum + pad;
	return n;
}

/* The last `n` bytes of the spans, which are less than a sector. */
static void keep_tail(struct ide_channel *ch, uint8_t *to, uint32_t skip)
{
	for (uint32_t i = 0; i < ch->c.n_spans; i++) {
		const struct ide_span *s = &ch->span[i];

		if (skip >= s->len) {
			skip -= s->len;
			continue;
		}
		memcpy(to, (uint8_t *)s->host + skip, s->len - skip);
		to += s->len - skip;
		skip = 0;
	}
}

/* Write: whole sectors go to the medium, the rest is kept for when the bus master goes on. */
static uint32_t lay_out_write(struct ide_channel *ch, uint32_t sum, uint32_t *bytes)
{
	struct ide_command *c = &ch->c;
	uint32_t n = 0, left = (c->edge + sum) / IDE_SECTOR * IDE_SECTOR;

	*bytes = left;
	if (!left) {
		keep_tail(ch, ch->edge[c->edge_side] + c->edge, 0);
		return 0;
	}
	keep_tail(ch, ch->edge[!c->edge_side], left - c->edge);
	if (c->edge)
		ch->iov[n++] = (struct iovec){.iov_base = ch->edge[c->edge_side], .iov_len = c->edge};
	left -= c->edge;
	for (uint32_t i = 0; left; i++) {
		uint32_t len = ch->span[i].len < left ? ch->span[i].len : left;

		ch->iov[n++] = (struct iovec){.iov_base = ch->span[i].host, .iov_len = len};
		left -= len;
	}
	return n;
}

/* Where the regions ran out, or the request was full, within a sector. */
static void advance(struct ide_channel *ch, uint32_t sum)
{
	struct ide_command *c = &ch->c;
	uint32_t whole = (c->edge + sum) / IDE_SECTOR * IDE_SECTOR;

	c->edge = c->edge + sum - whole;
	if (whole)
		c->edge_side = !c->edge_side;
	c->at += whole;
	c->left -= whole;
}

static void move_medium(struct ide_channel *ch);

static void moved(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;

	c->phase = PHASE_DMA;
	c->drive->status = ST_DRDY | ST_DSC | ST_DRQ;
	if (!c->left)
		all_moved(ch);
	else if (c->stop)
		halt(ch);
	else
		ide_dma_go(ch);
}

static void request_done(struct ide_channel *ch, int result)
{
	struct ide_command *c = &ch->c;
	uint32_t sum = 0;

	for (uint32_t i = 0; i < c->n_spans; i++)
		sum += ch->span[i].len;
	ide_spans_put(ch);
	if (!result) {
		advance(ch, sum);
		moved(ch);
	} else if (c->chunk > IDE_SECTOR) {
		/* The regions are walked anew, in smaller steps. */
		c->limit = c->chunk / IDE_SECTOR / 2 * IDE_SECTOR;
		ch->bm.next = c->before.next;
		ch->bm.base = c->before.base;
		ch->bm.left = c->before.left;
		ch->bm.last = c->before.last;
		c->stop = STOP_NONE;
		moved(ch);
	} else {
		ide_medium_error(ch, c->at);
	}
}

static void move_medium(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;
	uint64_t max = c->left < c->limit ? c->left : c->limit;
	uint32_t n, sum;

	c->before = ch->bm;
	sum = gather(ch, (uint32_t)max - c->edge);
	if (!sum) {
		moved(ch);
		return;
	}
	n = c->to_memory ? lay_out_read(ch, sum, &c->chunk) : lay_out_write(ch, sum, &c->chunk);
	if (n) {
		ide_io(ch, c->to_memory ? BLOCK_READ : BLOCK_WRITE, c->at, c->chunk, n, request_done);
		return;
	}
	ide_spans_put(ch);
	advance(ch, sum);
	moved(ch);
}

/* ---- what sets it going ------------------------------------------------------------------- */

static bool can_go(const struct ide_channel *ch)
{
	const struct ide_config *k = &ch->ide->c;
	const struct ide_bm *bm = &ch->bm;

	return ch->c.phase == PHASE_DMA && !ch->paused && bm->status & BM_ACTIVE && bm->command & BM_START &&
	       !(bm->command & BM_TO_MEMORY) == !ch->c.to_memory &&
	       k->pci->bus_master(k->pci_self, ch->ide->function);
}

void ide_dma_go(struct ide_channel *ch)
{
	if (!can_go(ch))
		return;
	if (ch->c.by_buffer)
		move_buffer(ch);
	else
		move_medium(ch);
}

static void begin(struct ide_channel *ch, bool to_memory, ide_next_fn next)
{
	struct ide_command *c = &ch->c;

	c->phase = PHASE_DMA;
	c->to_memory = to_memory;
	c->done = next;
	c->drive->status = ST_DRDY | ST_DSC | ST_DRQ;
	if (c->packet_data)
		c->drive->count[0] = to_memory ? IR_IO : 0;
	ide_dma_go(ch);
}

void ide_dma_buffer(struct ide_channel *ch, uint32_t bytes, bool to_memory, ide_next_fn next)
{
	ch->c.by_buffer = true;
	ch->c.pos = 0;
	ch->c.fill = bytes;
	begin(ch, to_memory, next);
}

void ide_dma_medium(struct ide_channel *ch, bool to_memory, ide_next_fn next)
{
	ch->c.by_buffer = false;
	ch->c.edge = 0;
	ch->c.limit = IDE_CHUNK;
	begin(ch, to_memory, next);
}

/* ---- registers ---------------------------------------------------------------------------- */

uint8_t ide_bm_read(struct ide_channel *ch, uint32_t reg)
{
	switch (reg) {
	case 0:
		return ch->bm.command;
	case 2:
		return ch->bm.status;
	case 4:
	case 5:
	case 6:
	case 7:
		return (uint8_t)(ch->bm.table >> (reg - 4) * 8);
	default:
		return 0;
	}
}

static void write_command(struct ide_channel *ch, uint8_t value)
{
	struct ide_bm *bm = &ch->bm;
	bool started = bm->command & BM_START;

	bm->command = value & (BM_START | BM_TO_MEMORY);
	if (!(value & BM_START)) {
		bm->status &= (uint8_t)~BM_ACTIVE;
		/* The guest may take its memory back now. */
		if (started && ch->c.n_spans)
			ide_io_wait(ch);
	} else if (!started) {
		bm->next = bm->table;
		bm->left = 0;
		bm->last = false;
		bm->status |= BM_ACTIVE;
		ide_dma_go(ch);
	}
}

void ide_bm_write(struct ide_channel *ch, uint32_t reg, uint8_t value)
{
	struct ide_bm *bm = &ch->bm;

	switch (reg) {
	case 0:
		write_command(ch, value);
		break;
	case 2:
		bm->status &= (uint8_t) ~(value & (BM_ERROR | BM_INT));
		bm->status = (uint8_t)((bm->status & ~BM_CAPABLE) | (value & BM_CAPABLE));
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		bm->table &= ~(0xffu << (reg - 4) * 8);
		bm->table |= (uint32_t)value << (reg - 4) * 8;
		bm->table &= ~3u;
		break;
	default:
		break;
	}
}
