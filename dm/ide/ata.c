/* SPDX-License-Identifier: MIT */
/*
 * An ATA disk: AT Attachment with Packet Interface 7 (T13/1532D), with TRIM
 * from ATA8-ACS-2. Everything that the table at the end does not have is
 * aborted, as a drive without it would: SMART, Security, Host Protected Area,
 * Media Status, queued commands.
 */
#include "dm/ide/internal.h"

#include <string.h>

#define DEFAULT_HEADS 16u
#define DEFAULT_SPT   63u
#define MAX_CYLINDERS 16383u

/* ---- settings ----------------------------------------------------------------------------- */

/* The translation at power-on, as IDENTIFY words 1, 3 and 6 tell it. */
static void default_translation(struct ide_drive *d)
{
	uint64_t track = d->sectors < DEFAULT_SPT ? d->sectors : DEFAULT_SPT;
	uint64_t heads = track && d->sectors / track < DEFAULT_HEADS ? d->sectors / track : DEFAULT_HEADS;
	uint64_t cylinders = track && heads ? d->sectors / (track * heads) : 0;

	d->spt = (uint16_t)track;
	d->heads = (uint16_t)heads;
	d->cylinders = (uint16_t)(cylinders < MAX_CYLINDERS ? cylinders : MAX_CYLINDERS);
}

static void default_features(struct ide_drive *d)
{
	d->write_cache = true;
	d->look_ahead = true;
	d->apm = 0;
	d->multi = IDE_MAX_MULTI;
}

void ata_power_on(struct ide_drive *d)
{
	default_translation(d);
	default_features(d);
	d->keep_settings = false;
	d->mwdma = 1 << 2;
	d->udma = 0;
}

void ata_soft_reset(struct ide_drive *d)
{
	if (!d->keep_settings)
		default_features(d);
}

static bool set_transfer_mode(struct ide_drive *d, uint8_t mode)
{
	uint8_t n = mode & 7;

	switch (mode >> 3) {
	case 0: /* PIO default, with or without IORDY */
		return n <= 1;
	case 1:
		return n <= 4;
	case 4:
		if (n > 2)
			return false;
		d->mwdma = (uint8_t)(1 << n);
		d->udma = 0;
		return true;
	case 8:
		if (n > 5)
			return false;
		d->mwdma = 0;
		d->udma = (uint8_t)(1 << n);
		return true;
	default:
		return false;
	}
}

bool ata_set_common_feature(struct ide_drive *d)
{
	switch (d->feature[0]) {
	case 0x03:
		return set_transfer_mode(d, d->count[0]);
	case 0x66:
		d->keep_settings = true;
		return true;
	case 0xcc:
		d->keep_settings = false;
		return true;
	default:
		return false;
	}
}

static void set_features(struct ide_channel *ch, uint8_t command)
{
	struct ide_drive *d = ch->c.drive;
	bool ok = true;

	(void)command;
	switch (d->feature[0]) {
	case 0x02:
		d->write_cache = true;
		break;
	case 0x82: /* what is in the cache goes to the medium first */
		d->write_cache = false;
		ata_flush(ch, d->power);
		return;
	case 0x05:
		ok = d->count[0] >= 1 && d->count[0] <= 0xfe;
		d->apm = ok ? d->count[0] : d->apm;
		break;
	case 0x85:
		d->apm = 0;
		break;
	case 0xaa:
		d->look_ahead = true;
		break;
	case 0x55:
		d->look_ahead = false;
		break;
	default:
		ok = ata_set_common_feature(d);
		break;
	}
	ide_end_if(ch, ok);
}

static void set_multiple(struct ide_channel *ch, uint8_t command)
{
	struct ide_drive *d = ch->c.drive;
	uint8_t n = d->count[0];

	(void)command;
	if (n > IDE_MAX_MULTI || (n & (n - 1))) {
		d->multi = 0;
		ide_abort(ch);
		return;
	}
	d->multi = n;
	ide_end_ok(ch);
}

static void initialize_parameters(struct ide_channel *ch, uint8_t command)
{
	struct ide_drive *d = ch->c.drive;
	uint32_t heads = (ch->device & 0x0fu) + 1, spt = d->count[0];
	uint64_t cylinders = spt ? d->sectors / (heads * spt) : 0;

	(void)command;
	if (!cylinders) {
		ide_abort(ch);
		return;
	}
	d->heads = (uint16_t)heads;
	d->spt = (uint16_t)spt;
	d->cylinders = (uint16_t)(cylinders < 65535 ? cylinders : 65535);
	ide_end_ok(ch);
}

/* ---- information -------------------------------------------------------------------------- */

static void identified(struct ide_channel *ch)
{
	ch->c.phase = PHASE_IDLE;
}

static void identify(struct ide_channel *ch, uint8_t command)
{
	uint16_t words[256];

	(void)command;
	ata_identify(ch->c.drive, words);
	memcpy(ch->buffer, words, sizeof(words));
	ide_pio_in(ch, sizeof(words), identified);
}

static void native_max(struct ide_channel *ch, uint8_t command)
{
	struct ide_drive *d = ch->c.drive;
	uint64_t last = d->sectors - 1;

	ch->c.ext = command == 0x27;
	if (!(ch->device & DEV_LBA)) {
		ide_abort(ch);
		return;
	}
	if (!ch->c.ext && last > 0x0fffffff)
		last = 0x0fffffff;
	ata_put_address(ch, last);
	ide_end_ok(ch);
}

static void check_power(struct ide_channel *ch, uint8_t command)
{
	(void)command;
	ch->c.drive->count[0] = ch->c.drive->power;
	ide_end_ok(ch);
}

/* ---- power -------------------------------------------------------------------------------- */

static void idle(struct ide_channel *ch, uint8_t command)
{
	(void)command;
	ch->c.drive->power = ATA_POWER_ACTIVE;
	ide_end_ok(ch);
}

static void standby(struct ide_channel *ch, uint8_t command)
{
	(void)command;
	ata_flush(ch, ATA_POWER_STANDBY);
}

static void sleep_now(struct ide_channel *ch, uint8_t command)
{
	(void)command;
	ata_flush(ch, ATA_POWER_SLEEP);
}

static void flush(struct ide_channel *ch, uint8_t command)
{
	(void)command;
	ata_flush(ch, ch->c.drive->power);
}

/* ---- the table ---------------------------------------------------------------------------- */

static void recalibrate(struct ide_channel *ch, uint8_t command)
{
	(void)command;
	ide_end_ok(ch);
}

typedef void (*command_fn)(struct ide_channel *ch, uint8_t command);

static const command_fn commands[256] = {
        [0x06] = ata_trim,              /* DATA SET MANAGEMENT */
        [0x10] = recalibrate,           /* obsolete; BIOSes and DOS drivers send it */
        [0x20] = ata_pio_read,          /* READ SECTORS */
        [0x21] = ata_pio_read,          /* the same, without retries */
        [0x24] = ata_pio_read,          /* READ SECTORS EXT */
        [0x25] = ata_dma,               /* READ DMA EXT */
        [0x27] = native_max,            /* READ NATIVE MAX ADDRESS EXT */
        [0x29] = ata_pio_read,          /* READ MULTIPLE EXT */
        [0x30] = ata_pio_write,         /* WRITE SECTORS */
        [0x31] = ata_pio_write,         /* the same, without retries */
        [0x34] = ata_pio_write,         /* WRITE SECTORS EXT */
        [0x35] = ata_dma,               /* WRITE DMA EXT */
        [0x39] = ata_pio_write,         /* WRITE MULTIPLE EXT */
        [0x3d] = ata_dma,               /* WRITE DMA FUA EXT */
        [0x40] = ata_verify,            /* READ VERIFY SECTORS */
        [0x41] = ata_verify,            /* the same, without retries */
        [0x42] = ata_verify,            /* READ VERIFY SECTORS EXT */
        [0x70] = ata_seek,              /* SEEK */
        [0x91] = initialize_parameters, /* INITIALIZE DEVICE PARAMETERS */
        [0x94] = standby,               /* E0h to E6h by their older codes */
        [0x95] = idle,
        [0x96] = standby,
        [0x97] = idle,
        [0x98] = check_power,
        [0x99] = sleep_now,
        [0xc4] = ata_pio_read,  /* READ MULTIPLE */
        [0xc5] = ata_pio_write, /* WRITE MULTIPLE */
        [0xc6] = set_multiple,  /* SET MULTIPLE MODE */
        [0xc8] = ata_dma,       /* READ DMA */
        [0xc9] = ata_dma,       /* the same, without retries */
        [0xca] = ata_dma,       /* WRITE DMA */
        [0xcb] = ata_dma,       /* the same, without retries */
        [0xce] = ata_pio_write, /* WRITE MULTIPLE FUA EXT */
        [0xe0] = standby,       /* STANDBY IMMEDIATE */
        [0xe1] = idle,          /* IDLE IMMEDIATE */
        [0xe2] = standby,       /* STANDBY */
        [0xe3] = idle,          /* IDLE */
        [0xe5] = check_power,   /* CHECK POWER MODE */
        [0xe6] = sleep_now,     /* SLEEP */
        [0xe7] = flush,         /* FLUSH CACHE */
        [0xea] = flush,         /* FLUSH CACHE EXT */
        [0xec] = identify,      /* IDENTIFY DEVICE */
        [0xef] = set_features,  /* SET FEATURES */
        [0xf8] = native_max,    /* READ NATIVE MAX ADDRESS */
};

void ata_command(struct ide_channel *ch, uint8_t command)
{
	if (commands[command])
		commands[command](ch, command);
	else
		ide_abort(ch);
}
