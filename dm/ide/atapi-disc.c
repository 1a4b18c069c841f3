/* SPDX-License-Identifier: MIT */
/*
 * What an ATAPI drive tells of the disc in it (MMC-4): one closed session with
 * one data track, from the first sector to the last of the image.
 */
#include "dm/ide/internal.h"

#include <string.h>

#define DATA_TRACK 0x14u /* position information, uninterrupted data */
#define LEAD_OUT   0xaau
#define DVD_FIRST  0x30000u /* physical number of logical sector 0 */

static void invalid_field(struct ide_channel *ch)
{
	atapi_fail(ch, SENSE_ILLEGAL, 0x2400);
}

/* ---- table of contents ------------------------------------------------------------------------- */

static void put_msf(uint8_t *p, uint32_t sector)
{
	uint64_t frame = (uint64_t)sector + 150;

	p[0] = (uint8_t)(frame / (75 * 60));
	p[1] = (uint8_t)(frame / 75 % 60);
	p[2] = (uint8_t)(frame % 75);
}

static void put_address(uint8_t *p, uint32_t sector, bool msf)
{
	if (msf)
		put_msf(p + 1, sector);
	else
		put_be32(p, sector);
}

static uint32_t put_track(uint8_t *p, uint8_t number, uint32_t sector, bool msf)
{
	p[1] = DATA_TRACK;
	p[2] = number;
	put_address(p + 4, sector, msf);
	return 8;
}

/* From that track on; 0: there is none. */
static uint32_t toc_tracks(const struct ide_channel *ch, uint8_t *b, uint8_t from, bool msf)
{
	uint32_t n = 4;

	if (from > 1 && from != LEAD_OUT)
		return 0;
	b[2] = b[3] = 1;
	if (from <= 1)
		n += put_track(b + n, 1, 0, msf);
	return n + put_track(b + n, LEAD_OUT, atapi_capacity(ch->c.drive), msf);
}

static uint32_t toc_sessions(uint8_t *b, bool msf)
{
	b[2] = b[3] = 1;
	return 4 + put_track(b + 4, 1, 0, msf);
}

static uint8_t *put_point(uint8_t *p, uint8_t point)
{
	p[0] = 1; /* session */
	p[1] = DATA_TRACK;
	p[3] = point;
	return p + 8;
}

/* What the lead-in's Q channel says. */
static uint32_t toc_raw(const struct ide_channel *ch, uint8_t *b)
{
	b[2] = b[3] = 1;
	put_point(b + 4, 0xa0)[0] = 1; /* first track; a CD-ROM */
	put_point(b + 15, 0xa1)[0] = 1;
	put_msf(put_point(b + 26, 0xa2), atapi_capacity(ch->c.drive));
	put_msf(put_point(b + 37, 1), 0);
	return 48;
}

void mmc_read_toc(struct ide_channel *ch)
{
	const uint8_t *k = ch->c.packet;
	/* SFF-8020i had the format elsewhere. */
	uint8_t format = k[2] & 0x0f ? k[2] & 0x0f : k[9] >> 6;
	bool msf = k[1] & 2;
	uint8_t *b = memset(ch->buffer, 0, 64);
	uint32_t n = 0;

	if (format == 0)
		n = toc_tracks(ch, b, k[6], msf);
	else if (format == 1)
		n = toc_sessions(b, msf);
	else if (format == 2 && k[6] <= 1)
		n = toc_raw(ch, b);
	if (!n) {
		invalid_field(ch);
		return;
	}
	put_be16(b, n - 2);
	atapi_reply(ch, n, get_be16(k + 7));
}

/* ---- the rest ------------------------------------------------------------------------------------ */

void mmc_read_disc_information(struct ide_channel *ch)
{
	uint8_t *b = memset(ch->buffer, 0, 34);

	if (ch->c.packet[1] & 7) {
		invalid_field(ch);
		return;
	}
	put_be16(b, 32);
	b[2] = 0x0e;                   /* complete, and so is its last session */
	b[3] = b[4] = b[5] = b[6] = 1; /* tracks and sessions */
	b[7] = 0x20;                   /* unrestricted use */
	memset(b + 17, 0xff, 3);       /* no further session can begin anywhere */
	memset(b + 21, 0xff, 3);
	atapi_reply(ch, 34, get_be16(ch->c.packet + 7));
}

void mmc_read_sub_channel(struct ide_channel *ch)
{
	const uint8_t *k = ch->c.packet;
	uint8_t *b = memset(ch->buffer, 0, 24), format = k[3];
	uint32_t n = 4;

	b[1] = 0x15; /* no audio is played */
	if (k[2] & 0x40) {
		if (format < 1 || format > 3) {
			invalid_field(ch);
			return;
		}
		n = format == 1 ? 16 : 24;
		b[4] = format;
		if (format == 1) { /* at the first sector of track 1 */
			b[5] = DATA_TRACK;
			b[6] = b[7] = 1;
			put_address(b + 8, 0, k[1] & 2);
			put_address(b + 12, 0, false);
		}
	}
	put_be16(b + 2, n - 4);
	atapi_reply(ch, n, get_be16(k + 7));
}

static uint32_t dvd_physical(const struct ide_channel *ch, uint8_t *b)
{
	b[0] = 0x01; /* DVD-ROM, part version 1 */
	b[1] = 0x02; /* 120 mm, 10.08 Mbit/s */
	b[2] = 0x01; /* one layer, embossed data */
	put_be32(b + 4, DVD_FIRST);
	put_be32(b + 8, DVD_FIRST + atapi_capacity(ch->c.drive) - 1);
	return 2048;
}

/* READ DVD STRUCTURE: of a DVD, its physical format and that nothing protects it. */
void mmc_read_disc_structure(struct ide_channel *ch)
{
	const uint8_t *k = ch->c.packet;
	uint8_t *b = memset(ch->buffer, 0, 4 + 2048), format = k[7];
	uint32_t n = 0;

	/* A CD has none. */
	if (!mmc_is_dvd(ch->c.drive)) {
		atapi_fail(ch, SENSE_ILLEGAL, 0x3002); /* cannot read medium: incompatible format */
		return;
	}
	if (k[6]) { /* a layer that is not there */
		invalid_field(ch);
		return;
	}
	if (format == 0)
		n = dvd_physical(ch, b + 4);
	else if (format == 1)
		n = 4;
	if (!n) {
		invalid_field(ch);
		return;
	}
	put_be16(b, n + 2);
	atapi_reply(ch, n + 4, get_be16(k + 8));
}
