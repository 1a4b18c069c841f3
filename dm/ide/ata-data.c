/* SPDX-License-Identifier: MIT */
/*
 * What an ATA disk does with its medium: reads and writes by PIO and DMA,
 * verify, seek, flush, TRIM; and how sectors are addressed (CHS, 28 bits, 48
 * bits).
 *
 * Writes are in the drive's write cache when they are acknowledged, which is
 * the host's: FLUSH CACHE, a FUA write, or a write with the cache disabled are
 * acknowledged when the host has them on stable storage. A request that fails
 * is tried again in halves, so that the address of the bad sector is exact and
 * everything before it is done.
 */
#include "dm/ide/internal.h"

#include <string.h>

/* ---- addresses ---------------------------------------------------------------------------- */

static uint64_t get_chs(const struct ide_drive *d, uint8_t device)
{
	uint32_t cylinder = d->lbam[0] | (uint32_t)d->lbah[0] << 8, head = device & 0x0f;

	/* Such a sector does not exist: beyond the end by any measure. */
	if (!d->lbal[0] || d->lbal[0] > d->spt || head >= d->heads || cylinder >= d->cylinders)
		return ~0ull;
	return ((uint64_t)cylinder * d->heads + head) * d->spt + d->lbal[0] - 1;
}

static uint64_t get_address(struct ide_channel *ch)
{
	const struct ide_drive *d = ch->c.drive;
	uint64_t low = d->lbal[0] | (uint32_t)d->lbam[0] << 8 | (uint32_t)d->lbah[0] << 16;
	uint64_t high = d->lbal[1] | (uint32_t)d->lbam[1] << 8 | (uint32_t)d->lbah[1] << 16;

	if (ch->c.ext)
		return high << 24 | low;
	if (ch->device & DEV_LBA)
		return (uint64_t)(ch->device & 0x0f) << 24 | low;
	ch->c.chs = true;
	return get_chs(d, ch->device);
}

static void put_chs(struct ide_channel *ch, uint64_t sector)
{
	struct ide_drive *d = ch->c.drive;
	uint64_t track = sector / d->spt;

	d->lbal[0] = (uint8_t)(sector % d->spt + 1);
	d->lbam[0] = (uint8_t)(track / d->heads);
	d->lbah[0] = (uint8_t)(track / d->heads >> 8);
	ch->device = (uint8_t)((ch->device & 0xf0) | (track % d->heads));
}

void ata_put_address(struct ide_channel *ch, uint64_t sector)
{
	struct ide_drive *d = ch->c.drive;

	if (ch->c.chs) {
		put_chs(ch, sector);
		return;
	}
	d->lbal[0] = (uint8_t)sector;
	d->lbam[0] = (uint8_t)(sector >> 8);
	d->lbah[0] = (uint8_t)(sector >> 16);
	if (ch->c.ext) {
		d->lbal[1] = (uint8_t)(sector >> 24);
		d->lbam[1] = (uint8_t)(sector >> 32);
		d->lbah[1] = (uint8_t)(sector >> 40);
	} else {
		ch->device = (uint8_t)((ch->device & 0xf0) | ((sector >> 24) & 0x0f));
	}
}

static uint32_t get_count(const struct ide_channel *ch)
{
	const struct ide_drive *d = ch->c.drive;
	uint32_t n = ch->c.ext ? d->count[0] | (uint32_t)d->count[1] << 8 : d->count[0];

	if (n)
		return n;
	return ch->c.ext ? 65536 : 256;
}

/* Takes the command's range from the registers; false when it has been answered. */
static bool take_range(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;
	struct ide_drive *d = c->drive;
	uint64_t first = get_address(ch), n = get_count(ch);

	if (c->writing && d->block->info.readonly) {
		ide_abort(ch);
		return false;
	}
	if (first >= d->sectors || n > d->sectors - first) {
		/* The first sector that is not there. With no such address at all the registers stay. */
		if (first != ~0ull && first < d->sectors)
			ata_put_address(ch, d->sectors);
		ide_end(ch, ST_DRDY | ST_DSC | ST_ERR, ER_IDNF);
		return false;
	}
	c->at = first * IDE_SECTOR;
	c->left = n * IDE_SECTOR;
	d->power = ATA_POWER_ACTIVE;
	ide_count(c->writing ? d->n.writes : d->n.reads, 1);
	ide_count(d->n.bytes, c->left);
	return true;
}

static bool is_ext(uint8_t command)
{
	switch (command) {
	case 0x24:
	case 0x25:
	case 0x29:
	case 0x34:
	case 0x35:
	case 0x39:
	case 0x3d:
	case 0x42:
	case 0xce:
		return true;
	default:
		return false;
	}
}

/* ---- flush -------------------------------------------------------------------------------- */

static void flushed(struct ide_channel *ch, int result)
{
	if (result) {
		ide_end(ch, ST_DRDY | ST_DSC | ST_ERR, ER_ABRT);
		return;
	}
	ch->c.drive->power = ch->c.then_power;
	ide_end_ok(ch);
}

void ata_flush(struct ide_channel *ch, uint8_t power)
{
	struct ide_drive *d = ch->c.drive;

	ch->c.then_power = power;
	if (d->block->info.readonly) {
		flushed(ch, 0);
		return;
	}
	ide_count(d->n.flushes, 1);
	ide_io(ch, BLOCK_FLUSH, 0, 0, 0, flushed);
}

static void written(struct ide_channel *ch)
{
	struct ide_drive *d = ch->c.drive;

	if (ch->c.fua || !d->write_cache)
		ata_flush(ch, d->power);
	else
		ide_end_ok(ch);
}

/* ---- PIO ---------------------------------------------------------------------------------- */

/* READ MULTIPLE and WRITE MULTIPLE move blocks of more than one sector; false: not while that is off. */
static bool take_block(struct ide_channel *ch, bool multi)
{
	struct ide_drive *d = ch->c.drive;

	if (multi && !d->multi) {
		ide_abort(ch);
		return false;
	}
	ch->c.block = (multi ? d->multi : 1u) * IDE_SECTOR;
	return true;
}

/* The host has read the last block: no interrupt follows. */
static void read_over(struct ide_channel *ch)
{
	ch->c.phase = PHASE_IDLE;
}

void ata_pio_read(struct ide_channel *ch, uint8_t command)
{
	ch->c.ext = is_ext(command);
	if (take_block(ch, command == 0x29 || command == 0xc4) && take_range(ch))
		ide_pio_read(ch, read_over);
}

static void take_block_from_host(struct ide_channel *ch, bool first);

static void write_piece(struct ide_channel *ch);

static void piece_written(struct ide_channel *ch, int result)
{
	struct ide_command *c = &ch->c;

	if (result && c->chunk == IDE_SECTOR) {
		ide_medium_error(ch, c->at);
		return;
	}
	if (result) {
		c->limit = c->chunk / IDE_SECTOR / 2 * IDE_SECTOR;
	} else {
		c->at += c->chunk;
		c->left -= c->chunk;
		c->pos += c->chunk;
	}
	if (c->pos < c->fill)
		write_piece(ch);
	else if (c->left)
		take_block_from_host(ch, false);
	else
		written(ch);
}

static void write_piece(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;
	uint32_t n = c->fill - c->pos;

	c->chunk = n < c->limit ? n : c->limit;
	ide_io_buffer(ch, BLOCK_WRITE, c->at, c->pos, c->chunk, piece_written);
}

static void buffer_full(struct ide_channel *ch)
{
	ch->c.pos = 0;
	write_piece(ch);
}

/* As many blocks as the buffer holds: each is in the write cache when the next is asked for. */
static void take_block_from_host(struct ide_channel *ch, bool first)
{
	struct ide_command *c = &ch->c;

	ide_pio_out(ch, c->left < IDE_BUFFER ? (uint32_t)c->left : IDE_BUFFER, first, buffer_full);
}

void ata_pio_write(struct ide_channel *ch, uint8_t command)
{
	struct ide_command *c = &ch->c;

	c->ext = is_ext(command);
	c->writing = true;
	c->fua = command == 0xce;
	c->limit = IDE_BUFFER;
	if (take_block(ch, command == 0x39 || command == 0xc5 || command == 0xce) && take_range(ch))
		take_block_from_host(ch, true);
}

/* ---- DMA ---------------------------------------------------------------------------------- */

void ata_dma(struct ide_channel *ch, uint8_t command)
{
	struct ide_command *c = &ch->c;

	c->ext = is_ext(command);
	c->writing = command == 0x35 || command == 0x3d || command == 0xca || command == 0xcb;
	c->fua = command == 0x3d;
	if (take_range(ch))
		ide_dma_medium(ch, !c->writing, c->writing ? written : ide_end_ok);
}

/* ---- without data ------------------------------------------------------------------------- */

void ata_verify(struct ide_channel *ch, uint8_t command)
{
	ch->c.ext = is_ext(command);
	ch->c.verify = true;
	if (take_range(ch))
		ide_pio_read(ch, ide_end_ok);
}

void ata_seek(struct ide_channel *ch, uint8_t command)
{
	(void)command;
	if (get_address(ch) < ch->c.drive->sectors)
		ide_end_ok(ch);
	else
		ide_end(ch, ST_DRDY | ST_DSC | ST_ERR, ER_IDNF);
}

/* ---- TRIM --------------------------------------------------------------------------------- */

static void next_range(struct ide_channel *ch);

static void range_discarded(struct ide_channel *ch, int result)
{
	/* A hint: what the host cannot discard stays as it is. */
	(void)result;
	next_range(ch);
}

/* Little endian: 48 bits of address, 16 of length in sectors, 0 for no range. */
static bool get_range(const struct ide_channel *ch, uint64_t *first, uint64_t *n)
{
	uint64_t raw;

	memcpy(&raw, ch->buffer + 8 * (size_t)ch->c.trim, sizeof(raw));
	*first = raw & 0xffffffffffffull;
	*n = raw >> 48;
	return *n;
}

static void next_range(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;
	uint32_t unit = c->drive->block->info.logical_sector / IDE_SECTOR;
	uint64_t first, n, skip;

	while (c->trim < c->fill / 8) {
		bool some = get_range(ch, &first, &n);

		c->trim++;
		/* Whole sectors of the host's only. */
		skip = (unit - first % unit) % unit;
		if (!some || n < skip + unit)
			continue;
		first += skip;
		n = (n - skip) / unit * unit;
		ide_io(ch, BLOCK_DISCARD, first * IDE_SECTOR, n * IDE_SECTOR, 0, range_discarded);
		return;
	}
	ide_end_ok(ch);
}

static void ranges_here(struct ide_channel *ch)
{
	struct ide_drive *d = ch->c.drive;
	uint64_t first, n;

	/* All are checked before any is carried out. */
	for (ch->c.trim = 0; ch->c.trim < ch->c.fill / 8; ch->c.trim++) {
		if (!get_range(ch, &first, &n) || (first < d->sectors && n <= d->sectors - first))
			continue;
		ide_end(ch, ST_DRDY | ST_DSC | ST_ERR, ER_IDNF);
		return;
	}
	ch->c.trim = 0;
	ide_count(d->n.discards, 1);
	next_range(ch);
}

void ata_trim(struct ide_channel *ch, uint8_t command)
{
	struct ide_drive *d = ch->c.drive;
	uint32_t units = d->count[0] | (uint32_t)d->count[1] << 8;

	(void)command;
	if (!d->block->info.discard || d->feature[0] != 1 || !units || units > IDE_TRIM_UNITS) {
		ide_abort(ch);
		return;
	}
	d->power = ATA_POWER_ACTIVE;
	ide_dma_buffer(ch, units * IDE_SECTOR, false, ranges_here);
}
