/* SPDX-License-Identifier: MIT */
/*
 * A CD-ROM drive as an ATA device: the PACKET protocol (ATA-7 volume 2, with
 * the byte counts and interrupt reasons of SFF-8020i) and what else an ATAPI
 * drive answers. The commands in the packets are in atapi-mmc.c.
 */
#include "dm/ide/internal.h"

#include <string.h>

void atapi_power_on(struct ide_drive *d)
{
	memset(&d->cd, 0, sizeof(d->cd));
	d->cd.attention = 0x2900; /* power on, reset, or bus device reset occurred */
	d->keep_settings = false;
	d->mwdma = 1 << 2;
	d->udma = 0;
}

bool atapi_has_medium(const struct ide_drive *d)
{
	return d->block && !d->cd.tray_open;
}

uint32_t atapi_capacity(const struct ide_drive *d)
{
	uint64_t n = d->sectors / (IDE_CD_SECTOR / IDE_SECTOR);

	return n < 0xffffffffu ? (uint32_t)n : 0xffffffffu;
}

/* ---- how a packet command ends -------------------------------------------------------------- */

void atapi_good(struct ide_channel *ch)
{
	struct ide_drive *d = ch->c.drive;

	d->cd.sense = 0;
	d->cd.code = 0;
	d->count[0] = IR_CD | IR_IO;
	ide_end(ch, ST_DRDY | ST_DSC, 0);
}

void atapi_fail(struct ide_channel *ch, uint8_t sense, uint16_t code)
{
	struct ide_drive *d = ch->c.drive;

	d->cd.sense = sense;
	d->cd.code = code;
	d->count[0] = IR_CD | IR_IO;
	ide_end(ch, ST_DRDY | ST_DSC | ST_ERR, (uint8_t)(sense << 4));
}

/* ---- data ------------------------------------------------------------------------------------ */

/* The size of DRQ blocks for a transfer in units; false: the host allows for none, and the command is
 * aborted. */
static bool take_block(struct ide_channel *ch, uint64_t bytes, uint32_t unit)
{
	struct ide_command *c = &ch->c;
	uint32_t limit = c->byte_limit;

	if (!limit) {
		ide_abort(ch);
		return false;
	}
	/* An odd count can only be the last. */
	if (limit < bytes)
		limit = limit < 2 ? 2 : limit & ~1u;
	if (limit > unit)
		limit -= limit % unit;
	c->block = limit;
	return true;
}

void atapi_reply(struct ide_channel *ch, uint32_t bytes, uint32_t allocation)
{
	struct ide_command *c = &ch->c;

	if (bytes > allocation)
		bytes = allocation;
	c->packet_data = true;
	if (!bytes)
		atapi_good(ch);
	else if (c->packet_dma)
		ide_dma_buffer(ch, bytes, true, atapi_good);
	else if (take_block(ch, bytes, 1))
		ide_pio_in(ch, bytes, atapi_good);
}

void atapi_read(struct ide_channel *ch, uint64_t sector, uint64_t n)
{
	struct ide_command *c = &ch->c;
	struct ide_drive *d = c->drive;
	uint64_t capacity = atapi_capacity(d);

	if (sector > capacity || n > capacity - sector) {
		atapi_fail(ch, SENSE_ILLEGAL, 0x2100); /* logical block address out of range */
		return;
	}
	if (!n) {
		atapi_good(ch);
		return;
	}
	c->packet_data = true;
	c->at = sector * IDE_CD_SECTOR;
	c->left = n * IDE_CD_SECTOR;
	ide_count(d->n.reads, 1);
	ide_count(d->n.bytes, c->left);
	if (c->packet_dma)
		ide_dma_medium(ch, true, atapi_good);
	else if (take_block(ch, c->left, IDE_CD_SECTOR))
		ide_pio_read(ch, atapi_good);
}

/* ---- ATA commands ------------------------------------------------------------------------------ */

static void packet_here(struct ide_channel *ch)
{
	memcpy(ch->c.packet, ch->buffer, sizeof(ch->c.packet));
	mmc_command(ch);
}

static void packet(struct ide_channel *ch)
{
	struct ide_command *c = &ch->c;
	struct ide_drive *d = c->drive;
	uint32_t limit = d->lbam[0] | (uint32_t)d->lbah[0] << 8;

	/* Overlap is not there. */
	if (d->feature[0] & 0x02) {
		ide_abort(ch);
		return;
	}
	c->packet_dma = d->feature[0] & 0x01;
	c->byte_limit = limit == 0xffff ? 0xfffe : limit;
	c->block = sizeof(c->packet);
	d->count[0] = IR_CD;
	ide_pio_out(ch, sizeof(c->packet), true, packet_here);
}

static void over(struct ide_channel *ch)
{
	ch->c.phase = PHASE_IDLE;
}

static void identify(struct ide_channel *ch)
{
	const struct ide_drive *d = ch->c.drive;
	uint16_t w[256] = {0};

	w[0] = 0x85c0; /* ATAPI, CD-ROM, removable, DRQ within 50 us, packets of 12 bytes */
	ata_string(w + 10, 10, d->serial);
	ata_string(w + 23, 4, "1.0");
	ata_string(w + 27, 20, d->model);
	w[49] = 0x0f00; /* IORDY, LBA, DMA */
	w[50] = 0x4000;
	w[51] = 0x0200;
	w[53] = 0x0006;
	ata_identify_modes(d, w);
	w[80] = 0x00f0;         /* ATA/ATAPI-4 to -7 */
	w[82] = w[85] = 0x4218; /* NOP, DEVICE RESET, PACKET, power management */
	w[83] = w[84] = w[87] = 0x4000;
	ata_identify_end(w);
	memcpy(ch->buffer, w, sizeof(w));
	ide_pio_in(ch, sizeof(w), over);
}

static void set_features(struct ide_channel *ch)
{
	ide_end_if(ch, ata_set_common_feature(ch->c.drive));
}

static void set_power(struct ide_channel *ch, uint8_t power)
{
	ch->c.drive->power = power;
	ide_end_ok(ch);
}

/* Commands for disks by which software tells the kinds apart: aborted, with the signature in the registers.
 */
static void not_a_disk(struct ide_channel *ch)
{
	struct ide_drive *d = ch->c.drive;

	ide_signature(d);
	ide_abort(ch);
}

void atapi_command(struct ide_channel *ch, uint8_t command)
{
	struct ide_drive *d = ch->c.drive;

	switch (command) {
	case 0xa0:
		packet(ch);
		break;
	case 0xa1:
		identify(ch);
		break;
	case 0x20:
	case 0xec:
		not_a_disk(ch);
		break;
	case 0xef:
		set_features(ch);
		break;
	case 0xe0:
	case 0xe2:
		set_power(ch, ATA_POWER_STANDBY);
		break;
	case 0xe1:
	case 0xe3:
		set_power(ch, ATA_POWER_ACTIVE);
		break;
	case 0xe5:
		d->count[0] = d->power;
		ide_end_ok(ch);
		break;
	case 0xe6:
		set_power(ch, ATA_POWER_SLEEP);
		break;
	default:
		ide_abort(ch);
		break;
	}
}
