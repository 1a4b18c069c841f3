/* SPDX-License-Identifier: MIT */
/*
 * The commands of a CD-ROM and DVD-ROM drive (MMC-4, SPC-2) that are about the
 * drive, and reading. What is not in the table at the end is an invalid
 * operation code. The medium is an image of 2048-byte sectors: a data disc of
 * one session and one track; there is no audio and there are no raw sectors.
 */
#include "dm/ide/internal.h"

#include <string.h>

/* More than a CD can hold, 99:59:74 by its addresses: a DVD. */
#define CD_SECTORS 449850u

enum { PROFILE_NONE = 0, PROFILE_CD = 0x08, PROFILE_DVD = 0x10 };

/* Loading mechanism: a tray; can be locked, can be ejected. */
#define MECHANISM 0x29u

#define MAX_SPEED 5645u /* kB/s: 32 times */

static void invalid_field(struct ide_channel *ch)
{
	atapi_fail(ch, SENSE_ILLEGAL, 0x2400);
}

static uint8_t *clear(struct ide_channel *ch, uint32_t bytes)
{
	return memset(ch->buffer, 0, bytes);
}

/* Blank-padded ASCII. */
static void put_text(uint8_t *to, uint32_t n, const char *text)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = (uint8_t)(*text ? *text++ : ' ');
}

static uint16_t profile(const struct ide_drive *d)
{
	if (!atapi_has_medium(d))
		return PROFILE_NONE;
	return atapi_capacity(d) > CD_SECTORS ? PROFILE_DVD : PROFILE_CD;
}

bool mmc_is_dvd(const struct ide_drive *d)
{
	return profile(d) == PROFILE_DVD;
}

/* ---- status ---------------------------------------------------------------------------------- */

static void test_unit_ready(struct ide_channel *ch)
{
	atapi_good(ch);
}

static void request_sense(struct ide_channel *ch)
{
	struct ide_cd *cd = &ch->c.drive->cd;
	uint8_t *b = clear(ch, 18);

	if (!cd->sense && cd->attention) {
		cd->sense = SENSE_ATTENTION;
		cd->code = cd->attention;
		cd->attention = 0;
	}
	b[0] = 0x70; /* current error, fixed format */
	b[2] = cd->sense;
	b[7] = 10;
	put_be16(b + 12, cd->code);
	atapi_reply(ch, 18, ch->c.packet[4]);
}

static void inquiry(struct ide_channel *ch)
{
	uint8_t *b = clear(ch, 36);

	if (ch->c.packet[1] & 0x03) { /* vital product data: none */
		invalid_field(ch);
		return;
	}
	b[0] = 0x05; /* CD and DVD devices */
	b[1] = 0x80; /* removable */
	b[3] = 0x21; /* ATAPI */
	b[4] = 31;
	put_text(b + 8, 8, "Gamut");
	put_text(b + 16, 16, ch->c.drive->model);
	put_text(b + 32, 4, "1.0");
	atapi_reply(ch, 36, ch->c.packet[4]);
}

static void mechanism_status(struct ide_channel *ch)
{
	uint8_t *b = clear(ch, 8);

	b[1] = ch->c.drive->cd.tray_open ? 0x10 : 0;
	atapi_reply(ch, 8, get_be16(ch->c.packet + 8));
}

/* Polled only; of the classes there is media. */
static void get_event_status(struct ide_channel *ch)
{
	struct ide_drive *d = ch->c.drive;
	uint8_t *b = clear(ch, 8);
	uint32_t n = 4;

	if (!(ch->c.packet[1] & 1)) {
		invalid_field(ch);
		return;
	}
	b[3] = 1 << 4;
	if (ch->c.packet[4] & 1 << 4) {
		n = 8;
		b[2] = 4;
		b[4] = d->cd.event;
		b[5] = (uint8_t)(d->cd.tray_open | atapi_has_medium(d) << 1);
		d->cd.event = 0;
	} else {
		b[2] = 0x80; /* no such event */
	}
	put_be16(b, n - 2);
	atapi_reply(ch, n, get_be16(ch->c.packet + 7));
}

/* ---- the tray -------------------------------------------------------------------------------- */

static void eject(struct ide_channel *ch)
{
	struct ide_drive *d = ch->c.drive;

	if (d->cd.locked) {
		atapi_fail(ch, SENSE_ILLEGAL, 0x5302); /* medium removal prevented */
		return;
	}
	if (atapi_has_medium(d))
		d->cd.event = 3; /* removed */
	d->cd.tray_open = true;
	atapi_good(ch);
}

static void load(struct ide_channel *ch)
{
	struct ide_drive *d = ch->c.drive;

	if (d->cd.tray_open && d->block) {
		d->cd.event = 2; /* new medium */
		d->cd.attention = 0x2800;
	}
	d->cd.tray_open = false;
	atapi_good(ch);
}

static void start_stop_unit(struct ide_channel *ch)
{
	uint8_t how = ch->c.packet[4];

	/* With a power condition the other bits mean nothing. */
	if (how & 0xf0 || !(how & 2))
		atapi_good(ch);
	else if (how & 1)
		load(ch);
	else
		eject(ch);
}

static void prevent_allow(struct ide_channel *ch)
{
	ch->c.drive->cd.locked = ch->c.packet[4] & 1;
	atapi_good(ch);
}

/* ---- mode pages ------------------------------------------------------------------------------ */

static uint32_t page_recovery(const struct ide_drive *d, uint8_t *p)
{
	(void)d;
	p[0] = 0x01;
	p[1] = 10;
	p[3] = 5; /* retries */
	return 12;
}

static uint32_t page_capabilities(const struct ide_drive *d, uint8_t *p)
{
	p[0] = 0x2a;
	p[1] = 20;
	p[2] = 0x0b; /* reads CD-R, CD-RW, DVD-ROM */
	p[6] = (uint8_t)(MECHANISM | d->cd.locked << 1);
	put_be16(p + 8, MAX_SPEED);
	put_be16(p + 12, IDE_BUFFER >> 10);
	put_be16(p + 14, MAX_SPEED);
	return 22;
}

static uint8_t medium_type(const struct ide_drive *d)
{
	if (d->cd.tray_open)
		return 0x71;
	return d->block ? 0x01 : 0x70; /* 120 mm data disc; no disc */
}

/* Nothing of them can be changed. */
static uint32_t pages(const struct ide_drive *d, uint8_t *p, uint8_t page, bool changeable)
{
	uint32_t n = 0, first;

	if (page == 0x01 || page == 0x3f)
		n += page_recovery(d, p);
	first = n;
	if (page == 0x2a || page == 0x3f)
		n += page_capabilities(d, p + n);
	if (changeable && first)
		memset(p + 2, 0, first - 2);
	if (changeable && n > first)
		memset(p + first + 2, 0, n - first - 2);
	return n;
}

static void mode_sense(struct ide_channel *ch)
{
	const struct ide_drive *d = ch->c.drive;
	const uint8_t *k = ch->c.packet;
	uint32_t head = k[0] == 0x5a ? 8 : 4, n;
	uint8_t *b = clear(ch, 64);

	if (k[2] >> 6 == 3) {
		atapi_fail(ch, SENSE_ILLEGAL, 0x3900); /* saving parameters not supported */
		return;
	}
	n = pages(d, b + head, k[2] & 0x3f, k[2] >> 6 == 1);
	if (!n) {
		invalid_field(ch);
		return;
	}
	if (head == 8) {
		put_be16(b, head + n - 2);
		b[2] = medium_type(d);
	} else {
		b[0] = (uint8_t)(head + n - 1);
		b[1] = medium_type(d);
	}
	atapi_reply(ch, head + n, head == 8 ? get_be16(k + 7) : k[4]);
}

/* ---- features -------------------------------------------------------------------------------- */

struct feature {
	uint16_t code;
	uint8_t version;
	bool persistent;
	uint16_t profile; /* current with this kind of medium only; 0: always; ANY_MEDIUM */
	uint8_t n;
	uint8_t data[8];
};

#define ANY_MEDIUM 0xffffu

static const struct feature features[] = {
        {0x0000, 0, true, 0, 8, {0, PROFILE_DVD, 0, 0, 0, PROFILE_CD, 0, 0}}, /* profile list */
        {0x0001, 1, true, 0, 8, {0, 0, 0, 2}},                                /* core: ATAPI */
        {0x0002, 1, true, 0, 4, {0}},                                         /* morphing */
        {0x0003, 0, true, 0, 4, {MECHANISM}},                                 /* removable medium */
        {0x0010, 0, false, ANY_MEDIUM, 8, {0, 0, 0x08, 0, 0, 1}}, /* random readable: 2048 bytes */
        {0x001e, 1, false, PROFILE_CD, 4, {0}},                   /* CD read */
        {0x001f, 0, false, PROFILE_DVD, 4, {0}},                  /* DVD read */
        {0x0100, 0, true, 0, 0, {0}},                             /* power management */
};

static bool feature_current(const struct feature *f, uint16_t now)
{
	return !f->profile || f->profile == now || (f->profile == ANY_MEDIUM && now);
}

static uint32_t put_feature(uint8_t *b, const struct feature *f, uint16_t now)
{
	put_be16(b, f->code);
	b[2] = (uint8_t)(f->version << 2 | f->persistent << 1 | feature_current(f, now));
	b[3] = f->n;
	memcpy(b + 4, f->data, f->n);
	if (!f->code) { /* which of the profiles is current */
		b[6] = now == PROFILE_DVD;
		b[10] = now == PROFILE_CD;
	}
	return 4u + f->n;
}

static void get_configuration(struct ide_channel *ch)
{
	uint8_t kind = ch->c.packet[1] & 3;
	uint32_t start = get_be16(ch->c.packet + 2), n = 8;
	uint16_t now = profile(ch->c.drive);
	uint8_t *b = clear(ch, 256);

	if (kind == 3) {
		invalid_field(ch);
		return;
	}
	put_be16(b + 6, now);
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		const struct feature *f = &features[i];

		if (f->code < start || (kind == 2 && f->code != start) ||
		    (kind == 1 && !feature_current(f, now)))
			continue;
		n += put_feature(b + n, f, now);
	}
	put_be32(b, n - 4);
	atapi_reply(ch, n, get_be16(ch->c.packet + 7));
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_capacity(struct ide_channel *ch)
{
	uint8_t *b = clear(ch, 8);

	put_be32(b, atapi_capacity(ch->c.drive) - 1);
	put_be32(b + 4, IDE_CD_SECTOR);
	atapi_reply(ch, 8, 8);
}

static void read_10(struct ide_channel *ch)
{
	atapi_read(ch, get_be32(ch->c.packet + 2), get_be16(ch->c.packet + 7));
}

static void read_12(struct ide_channel *ch)
{
	atapi_read(ch, get_be32(ch->c.packet + 2), get_be32(ch->c.packet + 6));
}

/* Which parts of a sector are wanted: the user data or nothing at all. */
static void read_cd_sectors(struct ide_channel *ch, uint64_t first, uint64_t n)
{
	const uint8_t *k = ch->c.packet;
	uint8_t type = k[1] >> 2 & 7, parts = k[9] & 0xf8;

	if (type != 0 && type != 2)                    /* any, or mode 1 */
		atapi_fail(ch, SENSE_ILLEGAL, 0x6400); /* illegal mode for this track */
	else if ((parts && parts != 0x10) || k[9] & 0x06 || k[10] & 7)
		invalid_field(ch);
	else
		atapi_read(ch, first, parts ? n : 0);
}

static void read_cd(struct ide_channel *ch)
{
	const uint8_t *k = ch->c.packet;

	read_cd_sectors(ch, get_be32(k + 2), (uint32_t)k[6] << 16 | get_be16(k + 7));
}

static int64_t from_msf(const uint8_t *p)
{
	return (p[0] * 60 + p[1]) * 75 + p[2] - 150;
}

static void read_cd_msf(struct ide_channel *ch)
{
	int64_t first = from_msf(ch->c.packet + 3), end = from_msf(ch->c.packet + 6);

	if (first < 0 || end < first)
		invalid_field(ch);
	else
		read_cd_sectors(ch, (uint64_t)first, (uint64_t)(end - first));
}

static void seek_10(struct ide_channel *ch)
{
	if (get_be32(ch->c.packet + 2) < atapi_capacity(ch->c.drive))
		atapi_good(ch);
	else
		atapi_fail(ch, SENSE_ILLEGAL, 0x2100);
}

static void set_cd_speed(struct ide_channel *ch)
{
	atapi_good(ch);
}

/* ---- the table ------------------------------------------------------------------------------- */

enum { NEEDS_MEDIUM = 1, DESPITE_ATTENTION = 2 };

static const struct {
	ide_next_fn fn;
	uint32_t flags;
} commands[256] = {
        [0x00] = {test_unit_ready, NEEDS_MEDIUM},
        [0x03] = {request_sense, DESPITE_ATTENTION},
        [0x12] = {inquiry, DESPITE_ATTENTION},
        [0x1a] = {mode_sense, 0}, /* (6) */
        [0x1b] = {start_stop_unit, 0},
        [0x1e] = {prevent_allow, 0},
        [0x25] = {read_capacity, NEEDS_MEDIUM},
        [0x28] = {read_10, NEEDS_MEDIUM},
        [0x2b] = {seek_10, NEEDS_MEDIUM},
        [0x42] = {mmc_read_sub_channel, NEEDS_MEDIUM},
        [0x43] = {mmc_read_toc, NEEDS_MEDIUM},
        [0x46] = {get_configuration, DESPITE_ATTENTION},
        [0x4a] = {get_event_status, DESPITE_ATTENTION},
        [0x51] = {mmc_read_disc_information, NEEDS_MEDIUM},
        [0x5a] = {mode_sense, 0}, /* (10) */
        [0xa8] = {read_12, NEEDS_MEDIUM},
        [0xad] = {mmc_read_disc_structure, NEEDS_MEDIUM},
        [0xb9] = {read_cd_msf, NEEDS_MEDIUM},
        [0xbb] = {set_cd_speed, 0},
        [0xbd] = {mechanism_status, 0},
        [0xbe] = {read_cd, NEEDS_MEDIUM},
};

void mmc_command(struct ide_channel *ch)
{
	struct ide_drive *d = ch->c.drive;
	uint8_t op = ch->c.packet[0];
	uint16_t attention = d->cd.attention;

	if (attention && !(commands[op].flags & DESPITE_ATTENTION)) {
		d->cd.attention = 0;
		atapi_fail(ch, SENSE_ATTENTION, attention);
	} else if (!commands[op].fn) {
		ide_count(d->n.aborted, 1);
		atapi_fail(ch, SENSE_ILLEGAL, 0x2000); /* invalid command operation code */
	} else if (commands[op].flags & NEEDS_MEDIUM && !atapi_has_medium(d)) {
		atapi_fail(ch, SENSE_NOT_READY, d->cd.tray_open ? 0x3a02 : 0x3a01); /* medium not present */
	} else {
		d->power = ATA_POWER_ACTIVE;
		commands[op].fn(ch);
	}
}
