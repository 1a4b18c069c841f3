/* SPDX-License-Identifier: MIT */
/*
 * Data through the data register (ATA-7 volume 2, PIO data-in and PIO data-out
 * protocols; PACKET uses the same with a byte count of its own).
 *
 * What goes through the register comes out of the channel's buffer. It holds
 * many DRQ blocks, so that a command of many sectors is one request to the
 * host, and the next block is there when the last word of one has been read.
 */
#include "dm/ide/internal.h"

#include <string.h>

/* ---- DRQ blocks --------------------------------------------------------------------------- */

static void offer(struct ide_channel *ch, bool announce)
{
	struct ide_command *c = &ch->c;
	struct ide_drive *d = c->drive;
	uint32_t left = c->fill - c->pos, n = left < c->block ? left : c->block;

	c->end = c->pos + n;
	d->status = ST_DRDY | ST_DSC | ST_DRQ;
	if (c->packet_data) {
		d->count[0] = c->phase == PHASE_PIO_IN ? IR_IO : 0;
		d->lbam[0] = (uint8_t)n;
		d->lbah[0] = (uint8_t)(n >> 8);
	}
	if (announce)
		ide_irq(d, true);
}

void ide_pio_in(struct ide_channel *ch, uint32_t bytes, ide_next_fn next)
{
	struct ide_command *c = &ch->c;

	c->phase = PHASE_PIO_IN;
	c->pos = 0;
	c->fill = bytes;
	c->next = next;
	/* The host reads words: what rounds up must be nobody's old data. */
	ch->buffer[bytes] = 0;
	offer(ch, true);
}

void ide_pio_out(struct ide_channel *ch, uint32_t bytes, bool first, ide_next_fn next)
{
	struct ide_command *c = &ch->c;

	c->phase = PHASE_PIO_OUT;
	c->pos = 0;
	c->fill = bytes;
	c->next = next;
	offer(ch, !first);
}

static void block_moved(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;

	c->pos = c->end;
	if (c->pos < c->fill) {
		offer(ch, true);
		return;
	}
	c->phase = PHASE_IDLE;
	c->drive->status = ST_DRDY | ST_DSC;
	c->next(ch);
}

uint32_t ide_data_room(const struct ide_channel *ch, bool in)
{
	const struct ide_command *c = &ch->c;

	if (c->phase != (in ? PHASE_PIO_IN : PHASE_PIO_OUT) || c->drive != ide_selected(ch))
		return 0;
	return ((c->end + 1) & ~1u) - c->pos;
}

void ide_data_read(struct ide_channel *ch, uint8_t *buf, uint32_t bytes)
{
	while (bytes) {
		uint32_t room = ide_data_room(ch, true), n = bytes < room ? bytes : room;

		if (!room) {
			memset(buf, 0xff, bytes);
			return;
		}
		memcpy(buf, ch->buffer + ch->c.pos, n);
		buf += n;
		bytes -= n;
		ch->c.pos += n;
		if (ch->c.pos >= ch->c.end)
			block_moved(ch);
	}
}

void ide_data_write(struct ide_channel *ch, const uint8_t *buf, uint32_t bytes)
{
	while (bytes) {
		uint32_t room = ide_data_room(ch, false), n = bytes < room ? bytes : room;

		if (!room)
			return;
		memcpy(ch->buffer + ch->c.pos, buf, n);
		buf += n;
		bytes -= n;
		ch->c.pos += n;
		if (ch->c.pos >= ch->c.end)
			block_moved(ch);
	}
}

/* ---- from the medium ---------------------------------------------------------------------- */

void ide_medium_error(struct ide_channel *ch, uint64_t at)
{
	if (ch->c.drive->cdrom) {
		atapi_fail(ch, SENSE_MEDIUM, 0x1100); /* unrecovered read error */
		return;
	}
	ata_put_address(ch, at / IDE_SECTOR);
	/* UNC is for reads; a write that cannot be done is an aborted command. */
	ide_end(ch, ST_DRDY | ST_DSC | ST_ERR, ch->c.writing ? ER_ABRT : ER_UNC);
}

static void fill(struct ide_channel *ch);

static void fill_next(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;

	if (c->bad) {
		ide_medium_error(ch, c->bad_at);
	} else if (c->left) {
		c->fill = 0;
		c->want = c->left < IDE_BUFFER ? (uint32_t)c->left : IDE_BUFFER;
		fill(ch);
	} else {
		c->done(ch);
	}
}

/* The buffer holds its part of the command: whole DRQ blocks only, if an error follows. */
static void filled(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;
	uint32_t unit = c->drive->cdrom ? IDE_CD_SECTOR : c->block, bytes = c->fill;

	if (c->bad) {
		c->bad_at = c->at + bytes;
		bytes -= bytes % unit;
	}
	c->at += bytes;
	c->left -= bytes;
	if (c->verify || !bytes)
		fill_next(ch);
	else
		ide_pio_in(ch, bytes, fill_next);
}

static void piece_read(struct ide_channel *ch, int result)
{
	struct ide_command *c = &ch->c;

	if (!result)
		c->fill += c->chunk;
	else if (c->chunk > IDE_SECTOR)
		c->limit = c->chunk / IDE_SECTOR / 2 * IDE_SECTOR;
	else
		c->bad = true;
	if (c->bad || c->fill == c->want)
		filled(ch);
	else
		fill(ch);
}

static void fill(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;
	uint32_t n = c->want - c->fill;

	c->chunk = n < c->limit ? n : c->limit;
	ide_io_buffer(ch, BLOCK_READ, c->at + c->fill, c->fill, c->chunk, piece_read);
}

void ide_pio_read(struct ide_channel *ch, ide_next_fn next)
{
	ch->c.done = next;
	ch->c.limit = IDE_BUFFER;
	fill_next(ch);
}
