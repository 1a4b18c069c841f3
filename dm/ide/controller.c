/* SPDX-License-Identifier: MIT */
/*
 * Intel 82371SB (PIIX3), function 1: the IDE controller at 00:01.1.
 *
 * Two channels at the ports and interrupts of the PC/AT. They answer when I/O
 * space is enabled in the command register and the channel is in its timing
 * register (IDETIM bit 15), which firmware sets; so do the bus master registers
 * in BAR 4, for which the first is enough and which the bus decodes.
 * What the timing registers say of wait states has no effect.
 */
#include "dm/ide/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEVFN       0x09u /* 00:01.1 */
#define IDETIM      0x40u /* 16 bits a channel */
#define IDETIM_IDE  0x8000u
#define PCI_COMMAND 0x04u
#define COMMAND_IO  0x01u

static const struct {
	uint16_t command, control;
} ports[IDE_CHANNELS] = {{0x1f0, 0x3f6}, {0x170, 0x376}};

/* ---- command block ------------------------------------------------------------------------ */

static void lock(struct ide_channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->budget = IDE_CHUNK;
}

static void unlock(struct ide_channel *ch)
{
	pthread_mutex_unlock(&ch->lock);
}

static uint64_t ones(uint32_t width)
{
	return width < 8 ? (1ull << width * 8) - 1 : ~0ull;
}

/* The register is 16 bits wide: a byte of it is read or written with its whole word. */
static uint64_t read_data(struct ide_channel *ch, uint32_t width)
{
	uint8_t bytes[8] = {0};
	uint64_t value;

	ide_data_read(ch, bytes, width < 2 ? 2 : width);
	memcpy(&value, bytes, sizeof(value));
	return value & ones(width);
}

static uint64_t command_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct ide_channel *ch = opaque;
	uint64_t value = 0;

	lock(ch);
	if (!ch->decoded)
		value = ones(width);
	else if (offset == REG_DATA)
		value = read_data(ch, width);
	else
		for (uint32_t i = 0; i < width; i++)
			value |= (uint64_t)ide_reg_read(ch, (uint32_t)offset + i) << i * 8;
	unlock(ch);
	return value;
}

static void command_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct ide_channel *ch = opaque;

	lock(ch);
	if (ch->decoded && offset == REG_DATA)
		ide_data_write(ch, (const uint8_t *)&value, width < 2 ? 2 : width);
	else if (ch->decoded)
		for (uint32_t i = 0; i < width; i++)
			ide_reg_write(ch, (uint32_t)offset + i, (uint8_t)(value >> i * 8));
	unlock(ch);
}

/* As many accesses as the DRQ block has words for; others are done one by one. */
static uint32_t block_of(const struct ide_channel *ch, uint64_t offset, uint32_t width, uint32_t count,
                         bool in)
{
	uint32_t whole;

	if (!ch->decoded || offset != REG_DATA || width < 2)
		return 0;
	whole = ide_data_room(ch, in) / width;
	return whole < count ? whole : count;
}

static uint32_t command_read_many(void *opaque, uint64_t offset, uint32_t width, void *buf, uint32_t count)
{
	struct ide_channel *ch = opaque;
	uint64_t value;
	uint32_t n;

	lock(ch);
	n = block_of(ch, offset, width, count, true);
	if (n)
		ide_data_read(ch, buf, n * width);
	unlock(ch);
	if (n)
		return n;
	value = command_read(ch, offset, width);
	memcpy(buf, &value, width);
	return 1;
}

static uint32_t command_write_many(void *opaque, uint64_t offset, uint32_t width, const void *buf,
                                   uint32_t count)
{
	struct ide_channel *ch = opaque;
	uint64_t value = 0;
	uint32_t n;

	lock(ch);
	n = block_of(ch, offset, width, count, false);
	if (n)
		ide_data_write(ch, buf, n * width);
	unlock(ch);
	if (n)
		return n;
	memcpy(&value, buf, width);
	command_write(ch, offset, width, value);
	return 1;
}

static const struct gamut_io_ops command_ops = {
        .size = sizeof(struct gamut_io_ops),
        .read = command_read,
        .write = command_write,
        .read_many = command_read_many,
        .write_many = command_write_many,
};

/* ---- control block: one register ------------------------------------------------------------ */

static uint64_t control_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct ide_channel *ch = opaque;
	uint64_t value;

	(void)offset;
	lock(ch);
	value = ch->decoded ? ide_alt_status(ch) : ones(width);
	unlock(ch);
	return value;
}

static void control_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct ide_channel *ch = opaque;

	(void)offset;
	(void)width;
	lock(ch);
	if (ch->decoded)
		ide_control_write(ch, (uint8_t)value);
	unlock(ch);
}

static const struct gamut_io_ops control_ops = {
        .size = sizeof(struct gamut_io_ops),
        .read = control_read,
        .write = control_write,
};

/* ---- bus master registers: eight bytes a channel ---------------------------------------------- */

static uint64_t bm_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct ide *ide = opaque;
	uint64_t value = 0;

	for (uint32_t i = 0; i < width; i++) {
		uint32_t at = (uint32_t)offset + i;
		struct ide_channel *ch = &ide->channel[at / 8 % IDE_CHANNELS];

		lock(ch);
		value |= (uint64_t)ide_bm_read(ch, at % 8) << i * 8;
		unlock(ch);
	}
	return value;
}

static void bm_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct ide *ide = opaque;

	for (uint32_t i = 0; i < width; i++) {
		uint32_t at = (uint32_t)offset + i;
		struct ide_channel *ch = &ide->channel[at / 8 % IDE_CHANNELS];

		lock(ch);
		ide_bm_write(ch, at % 8, (uint8_t)(value >> i * 8));
		unlock(ch);
	}
}

static const struct gamut_io_ops bm_ops = {
        .size = sizeof(struct gamut_io_ops),
        .read = bm_read,
        .write = bm_write,
};

/* ---- configuration space ------------------------------------------------------------------------ */

/*
 * IDETIM of both channels and the slave timing register; the rest of the
 * function's area reads 0. The 82371SB powers on with both channels off; here
 * they are on, for machines that start without the firmware that would do it.
 */
static const uint8_t config_value[12] = {[1] = IDETIM_IDE >> 8, [3] = IDETIM_IDE >> 8};
static const uint8_t config_mask[12] = {0xff, 0xff, 0xff, 0xff, 0xff};

static void look_at_config(struct ide *ide)
{
	const struct ide_config *k = &ide->c;
	uint32_t command = k->pci->config_get(k->pci_self, ide->function, PCI_COMMAND, 2);

	for (uint32_t i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];
		uint32_t timing = k->pci->config_get(k->pci_self, ide->function, IDETIM + 2 * i, 2);

		lock(ch);
		ch->decoded = command & COMMAND_IO && timing & IDETIM_IDE;
		/* Bus mastering may have been switched on under a transfer that waits. */
		ide_dma_go(ch);
		unlock(ch);
	}
}

static void config_written(void *opaque, uint32_t offset, uint32_t width)
{
	(void)offset;
	(void)width;
	look_at_config(opaque);
}

static const struct gamut_pci_desc function_desc = {
        .size = sizeof(struct gamut_pci_desc),
        .devfn = DEVFN,
        .vendor = 0x8086,
        .device = 0x7010,
        .class_revision = 0x01018000, /* IDE, both channels in legacy mode for good, bus master */
        .bar[4] = {.kind = GAMUT_PCI_BAR_IO, .size = 16, .ops = &bm_ops},
        .config_at = IDETIM,
        .n_config = sizeof(config_value),
        .config_value = config_value,
        .config_mask = config_mask,
        .config_written = config_written,
};

/* ---- life ------------------------------------------------------------------------------------------ */

static int claim_ports(struct ide_channel *ch)
{
	const struct ide_config *k = &ch->ide->c;
	int err = k->host->pio_register(k->inst, ports[ch->n].command, 8, &command_ops, ch);

	return err ? err : k->host->pio_register(k->inst, ports[ch->n].control, 1, &control_ops, ch);
}

static int build(struct ide *ide)
{
	const struct ide_config *k = &ide->c;
	int err = 0;

	for (uint32_t i = 0; i < IDE_CHANNELS && !err; i++) {
		ide->channel[i].ide = ide;
		ide->channel[i].n = (uint8_t)i;
		err = ide_channel_init(&ide->channel[i]);
	}
	if (err)
		return k->host->fail(k->inst, -err, "out of memory");
	err = k->pci->add(k->pci_self, &function_desc, ide, &ide->function);
	for (uint32_t i = 0; i < IDE_CHANNELS && !err; i++)
		err = claim_ports(&ide->channel[i]);
	return err;
}

struct ide *ide_create(const struct ide_config *config)
{
	struct ide *ide = calloc(1, sizeof(*ide));

	if (!ide) {
		config->host->fail(config->inst, ENOMEM, "out of memory");
		return NULL;
	}
	ide->c = *config;
	if (build(ide)) {
		ide_destroy(ide);
		return NULL;
	}
	ide_reset(ide);
	return ide;
}

void ide_destroy(struct ide *ide)
{
	if (!ide)
		return;
	if (ide->function)
		ide->c.pci->remove(ide->c.pci_self, ide->function);
	for (uint32_t i = 0; i < IDE_CHANNELS; i++)
		if (ide->channel[i].ide)
			ide_channel_finish(&ide->channel[i]);
	free(ide);
}

static struct ide_counters make_counters(const struct ide_drive_config *c)
{
	return (struct ide_counters){
	        .reads = c->host->counter(c->inst, "reads"),
	        .writes = c->host->counter(c->inst, "writes"),
	        .flushes = c->host->counter(c->inst, "flushes"),
	        .discards = c->host->counter(c->inst, "discards"),
	        .bytes = c->host->counter(c->inst, "bytes"),
	        .io_errors = c->host->counter(c->inst, "io-errors"),
	        .aborted = c->host->counter(c->inst, "commands-aborted"),
	        .dma_errors = c->host->counter(c->inst, "dma-errors"),
	        .at_once = c->host->counter(c->inst, "requests-at-once"),
	        .requests = c->host->sign(c->inst, GAMUT_AXIS_DISK, GAMUT_COLOUR_V, "ide-requests"),
	        .sectors = c->host->sign(c->inst, GAMUT_AXIS_DISK, GAMUT_COLOUR_V, "ide-sectors"),
	};
}

static void copy_name(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; n < size - 1 && from[n]; n++)
		to[n] = from[n];
	to[n] = 0;
}

int ide_attach(struct ide *ide, uint32_t slot, const struct ide_drive_config *config)
{
	uint64_t sectors = config->block ? config->block->info.capacity / IDE_SECTOR : 0;
	struct ide_channel *ch;
	struct ide_drive *d;

	/* A CD has one sector of its own size at least. */
	if (slot >= IDE_SLOTS || (!config->cdrom && !sectors) ||
	    (config->block && sectors < (config->cdrom ? IDE_CD_SECTOR / IDE_SECTOR : 1)))
		return -EINVAL;
	ch = &ide->channel[slot / 2];
	if (ch->drive[slot % 2] || ch->pulled[slot % 2])
		return -EBUSY;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->ch = ch;
	d->unit = (uint8_t)(slot % 2);
	d->host = config->host;
	d->inst = config->inst;
	d->block = config->block;
	d->cdrom = config->cdrom;
	d->sectors = sectors;
	copy_name(d->model, sizeof(d->model),
	          config->model ? config->model
	          : d->cdrom    ? "Gamut CD-ROM"
	                        : "Gamut disk");
	copy_name(d->serial, sizeof(d->serial), config->serial ? config->serial : "GAMUT0");
	if (!config->serial)
		d->serial[5] = (char)('0' + slot);
	d->n = make_counters(config);
	ch->drive[d->unit] = d;
	ide_drive_power_on(d);
	return 0;
}

static struct ide_channel *channel_at(struct ide *ide, uint32_t slot)
{
	return &ide->channel[slot / 2 % IDE_CHANNELS];
}

void ide_detach(struct ide *ide, uint32_t slot)
{
	struct ide_channel *ch = channel_at(ide, slot);
	struct ide_drive *d = ch->drive[slot % 2] ? ch->drive[slot % 2] : ch->pulled[slot % 2];

	if (!d)
		return;
	ide_io_drain(ch);
	if (ch->c.drive == d)
		memset(&ch->c, 0, sizeof(ch->c));
	ch->drive[slot % 2] = ch->pulled[slot % 2] = NULL;
	ch->paused = false;
	ch->io_queued = false;
	ide_irq_update(ch);
	free(d);
}

void ide_unplug(struct ide *ide, uint32_t slot)
{
	struct ide_channel *ch = channel_at(ide, slot);

	lock(ch);
	ide_pull(ch, slot % 2);
	unlock(ch);
}

void ide_pause(struct ide *ide, uint32_t slot)
{
	ide_io_drain(channel_at(ide, slot));
}

void ide_resume(struct ide *ide, uint32_t slot)
{
	ide_io_go(channel_at(ide, slot));
}

void ide_reset(struct ide *ide)
{
	for (uint32_t i = 0; i < IDE_CHANNELS; i++)
		ide_channel_power_on(&ide->channel[i]);
	look_at_config(ide);
}
