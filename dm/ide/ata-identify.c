/* SPDX-License-Identifier: MIT */
/* What a drive says of itself: IDENTIFY DEVICE, ATA-7 volume 1; words by number. */
#include "dm/ide/internal.h"

#include <string.h>

/* Two characters a word, the first in the upper half. */
void ata_string(uint16_t *words, uint32_t n, const char *text)
{
	for (uint32_t i = 0; i < n; i++) {
		uint8_t a = (uint8_t)(*text ? *text++ : ' '), b = (uint8_t)(*text ? *text++ : ' ');

		words[i] = (uint16_t)(a << 8 | b);
	}
}

static void put32(uint16_t *words, uint64_t value)
{
	words[0] = (uint16_t)value;
	words[1] = (uint16_t)(value >> 16);
}

void ata_identify_modes(const struct ide_drive *d, uint16_t w[256])
{
	w[63] = (uint16_t)(0x07 | d->mwdma << 8); /* multiword DMA 0-2 */
	w[64] = 0x03;                             /* PIO 3 and 4 */
	w[65] = w[66] = w[67] = w[68] = 120;      /* ns a word */
	w[88] = (uint16_t)(0x3f | d->udma << 8);  /* Ultra DMA 0-5 */
	/* Passed its diagnostics, found its number by a jumper, and an 80-conductor cable. */
	w[93] = d->unit ? 0x6b00 : 0x600b;
}

void ata_identify_end(uint16_t words[256])
{
	const uint8_t *bytes = (const uint8_t *)words;
	uint8_t sum = 0;

	words[255] = 0x00a5;
	for (uint32_t i = 0; i < 511; i++)
		sum = (uint8_t)(sum + bytes[i]);
	words[255] |= (uint16_t)((uint8_t)-sum << 8);
}

static uint32_t log2_of(uint32_t n)
{
	uint32_t log = 0;

	while (n >>= 1)
		log++;
	return log;
}

static void geometry(const struct ide_drive *d, uint16_t w[256])
{
	/* Words 1, 3 and 6 are the translation at power-on. */
	struct ide_drive fresh = *d;
	uint64_t current = (uint64_t)d->cylinders * d->heads * d->spt;

	ata_power_on(&fresh);
	w[1] = fresh.cylinders;
	w[3] = fresh.heads;
	w[6] = fresh.spt;
	w[54] = d->cylinders;
	w[55] = d->heads;
	w[56] = d->spt;
	put32(w + 57, current);
	put32(w + 60, d->sectors < 0x0fffffff ? d->sectors : 0x0fffffff);
	put32(w + 100, d->sectors);
	put32(w + 102, d->sectors >> 32);
}

static void features(const struct ide_drive *d, uint16_t w[256])
{
	uint16_t enabled = (uint16_t)(d->write_cache << 5 | d->look_ahead << 6);

	w[82] = 0x4068; /* NOP, look-ahead, write cache, power management */
	w[83] = 0x7408; /* FLUSH CACHE EXT, FLUSH CACHE, 48-bit address, APM */
	w[84] = 0x4040; /* FUA writes */
	w[85] = (uint16_t)(0x4008 | enabled);
	w[86] = (uint16_t)(0x3400 | (d->apm ? 0x08 : 0));
	w[87] = 0x4040;
	w[91] = d->apm;
}

static void sectors(const struct ide_drive *d, uint16_t w[256])
{
	uint32_t ratio = log2_of(d->block->info.physical_sector / IDE_SECTOR);

	w[106] = (uint16_t)(0x4000 | (ratio ? 0x2000 | (ratio & 15) : 0));
	if (ratio)
		w[209] = 0x4000; /* the first sector begins a physical one */
	if (d->block->info.discard) {
		w[105] = IDE_TRIM_UNITS;
		w[169] = 1;
	}
	w[217] = 1; /* nothing rotates */
}

void ata_identify(const struct ide_drive *d, uint16_t w[256])
{
	memset(w, 0, 512);
	w[0] = 0x0040; /* an ATA device that is not removable */
	geometry(d, w);
	ata_string(w + 10, 10, d->serial);
	ata_string(w + 23, 4, "1.0");
	ata_string(w + 27, 20, d->model);
	w[47] = 0x8000 | IDE_MAX_MULTI;
	w[49] = 0x2f00; /* standby timer, IORDY, LBA, DMA */
	w[50] = 0x4000;
	w[51] = w[52] = 0x0200;
	w[53] = 0x0007; /* words 54-58, 64-70 and 88 are valid */
	w[59] = d->multi ? (uint16_t)(0x0100 | d->multi) : 0;
	ata_identify_modes(d, w);
	w[80] = 0x00f0; /* ATA/ATAPI-4 to -7 */
	features(d, w);
	sectors(d, w);
	ata_identify_end(w);
}
