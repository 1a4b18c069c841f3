/* SPDX-License-Identifier: MIT */
/*
 * One IDE channel: command block and control block registers, which of two
 * drives answers, reset, and the interrupt line (ATA-7 volume 2).
 *
 * The host's writes go to both drives, its reads come from the selected one. A
 * drive that is not there answers as its neighbour does for it (Device 0 alone:
 * status 00h), and an empty channel as a bus with nothing on it but the
 * pull-down on DD7.
 */
#include "dm/ide/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY_BUS 0x7fu
#define PAGE      4096u

/* Commands that a channel knows by itself. */
enum { CMD_DEVICE_RESET = 0x08, CMD_DIAGNOSTIC = 0x90 };

/* ---- interrupt ---------------------------------------------------------------------------- */

void ide_irq_update(struct ide_channel *ch)
{
	const struct ide_config *k = &ch->ide->c;
	const struct ide_drive *d = ide_selected(ch);
	bool line = d && d->irq && !(ch->control & CTL_NIEN);

	if (line == ch->line)
		return;
	ch->line = line;
	/* The bus master notes the edge, before the guest can look. */
	if (line)
		ch->bm.status |= BM_INT;
	k->irq->set(k->irq_self, 14 + ch->n, line);
}

void ide_irq(struct ide_drive *d, bool on)
{
	d->irq = on;
	ide_irq_update(d->ch);
}

/* ---- the end of a command ----------------------------------------------------------------- */

void ide_end(struct ide_channel *ch, uint8_t status, uint8_t error)
{
	struct ide_drive *d = ch->c.drive;

	ch->c.phase = PHASE_IDLE;
	d->status = status;
	d->error = error;
	ide_irq(d, true);
}

void ide_end_ok(struct ide_channel *ch)
{
	ide_end(ch, ST_DRDY | ST_DSC, 0);
}

void ide_abort(struct ide_channel *ch)
{
	ide_count(ch->c.drive->n.aborted, 1);
	ide_end(ch, ST_DRDY | ST_DSC | ST_ERR, ER_ABRT);
}

void ide_end_if(struct ide_channel *ch, bool ok)
{
	if (ok)
		ide_end_ok(ch);
	else
		ide_abort(ch);
}

/* ---- reset -------------------------------------------------------------------------------- */

void ide_signature(struct ide_drive *d)
{
	d->feature[0] = d->feature[1] = d->count[1] = d->lbal[1] = d->lbam[1] = d->lbah[1] = 0;
	d->count[0] = d->lbal[0] = 1;
	d->lbam[0] = d->cdrom ? 0x14 : 0;
	d->lbah[0] = d->cdrom ? 0xeb : 0;
	d->error = 1; /* diagnostic code: passed */
	d->status = d->cdrom ? 0 : ST_DRDY | ST_DSC;
	d->irq = false;
}

static void reset_drive(struct ide_drive *d)
{
	ide_signature(d);
	d->power = ATA_POWER_ACTIVE;
	if (d->cdrom)
		d->cd.attention = 0x2900;
	else
		ata_soft_reset(d);
}

static void reset_done(struct ide_channel *ch)
{
	struct ide_drive *only = ch->reset == RESET_DEVICE ? ch->c.drive : NULL;

	memset(&ch->c, 0, sizeof(ch->c));
	ch->reset = RESET_NONE;
	if (only) {
		ide_signature(only);
	} else {
		for (uint32_t i = 0; i < 2; i++)
			if (ch->drive[i])
				reset_drive(ch->drive[i]);
		ch->device = 0;
	}
	ide_irq_update(ch);
}

void ide_reset_go_on(struct ide_channel *ch)
{
	ide_spans_put(ch);
	/* Software holds SRST for as long as it likes. */
	if (ch->reset == RESET_SOFT && ch->control & CTL_SRST)
		ch->c.phase = PHASE_IDLE;
	else
		reset_done(ch);
}

static void busy(struct ide_drive *d)
{
	if (!d)
		return;
	d->status = ST_BSY;
	d->irq = false;
}

static void soft_reset(struct ide_channel *ch, bool asserted)
{
	if (asserted) {
		ch->reset = RESET_SOFT;
		busy(ch->drive[0]);
		busy(ch->drive[1]);
		if (!ide_io_busy(ch))
			ch->c.phase = PHASE_IDLE;
	} else if (!ide_io_busy(ch)) {
		reset_done(ch);
	}
}

static void device_reset(struct ide_channel *ch, struct ide_drive *d)
{
	busy(d);
	ide_irq_update(ch);
	ch->c.drive = d;
	ch->reset = RESET_DEVICE;
	if (!ide_io_busy(ch))
		reset_done(ch);
}

static void diagnose(struct ide_channel *ch)
{
	struct ide_drive *first = ch->drive[0] ? ch->drive[0] : ch->drive[1];

	for (uint32_t i = 0; i < 2; i++)
		if (ch->drive[i])
			ide_signature(ch->drive[i]);
	ch->c.phase = PHASE_IDLE;
	ch->device = 0;
	ide_irq(first, true);
}

/* ---- command block ------------------------------------------------------------------------ */

static bool reading_old(const struct ide_channel *ch)
{
	return ch->control & CTL_HOB;
}

uint8_t ide_alt_status(const struct ide_channel *ch)
{
	const struct ide_drive *d = ide_selected(ch);

	if (d)
		return d->status;
	return ch->drive[0] ? 0 : EMPTY_BUS;
}

static uint8_t read_status(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);

	if (d && d->irq)
		ide_irq(d, false);
	return ide_alt_status(ch);
}

uint8_t ide_reg_read(struct ide_channel *ch, uint32_t reg)
{
	/* Device 0 answers for a Device 1 that is not there; nobody for a Device 0. */
	const struct ide_drive *d = ide_selected(ch) ? ide_selected(ch) : ch->drive[0];
	uint32_t old = reading_old(ch);

	if (reg == REG_STATUS)
		return read_status(ch);
	if (!d)
		return EMPTY_BUS;
	if (d->status & ST_BSY)
		return d->status;
	switch (reg) {
	case REG_ERROR:
		return d->error;
	case REG_COUNT:
		return d->count[old];
	case REG_LBAL:
		return d->lbal[old];
	case REG_LBAM:
		return d->lbam[old];
	case REG_LBAH:
		return d->lbah[old];
	default:
		return ch->device | 0xa0;
	}
}

static void push(uint8_t reg[2], uint8_t value)
{
	reg[1] = reg[0];
	reg[0] = value;
}

static void write_task_file(struct ide_drive *d, uint32_t reg, uint8_t value)
{
	switch (reg) {
	case REG_ERROR:
		push(d->feature, value);
		break;
	case REG_COUNT:
		push(d->count, value);
		break;
	case REG_LBAL:
		push(d->lbal, value);
		break;
	case REG_LBAM:
		push(d->lbam, value);
		break;
	case REG_LBAH:
		push(d->lbah, value);
		break;
	default:
		break;
	}
}

static bool is_busy(const struct ide_drive *d)
{
	return d && d->status & ST_BSY;
}

static void begin_command(struct ide_channel *ch, struct ide_drive *d, uint8_t command)
{
	/* A command in the middle of another's data ends that one. */
	memset(&ch->c, 0, sizeof(ch->c));
	ch->c.drive = d;
	ch->c.block = IDE_SECTOR;
	ide_irq(d, false);
	d->error = 0;
	d->status = ST_DRDY | ST_DSC;
	if (command == CMD_DIAGNOSTIC)
		diagnose(ch);
	else if (d->cdrom)
		atapi_command(ch, command);
	else
		ata_command(ch, command);
}

static void write_command(struct ide_channel *ch, uint8_t command)
{
	struct ide_drive *d = ide_selected(ch);

	/* Both drives carry out this one. */
	if (!d && command == CMD_DIAGNOSTIC)
		d = ch->drive[0] ? ch->drive[0] : ch->drive[1];
	if (!d || ch->control & CTL_SRST)
		return;
	if (command == CMD_DEVICE_RESET && d->cdrom && !ch->reset)
		device_reset(ch, d);
	else if (!is_busy(ch->drive[0]) && !is_busy(ch->drive[1]) && d->power != ATA_POWER_SLEEP)
		begin_command(ch, d, command);
}

void ide_reg_write(struct ide_channel *ch, uint32_t reg, uint8_t value)
{
	ch->control &= (uint8_t)~CTL_HOB;
	if (reg == REG_STATUS) {
		write_command(ch, value);
		return;
	}
	if (is_busy(ch->drive[0]) || is_busy(ch->drive[1]))
		return;
	if (reg == REG_DEVICE) {
		ch->device = value;
		ide_irq_update(ch);
		return;
	}
	for (uint32_t i = 0; i < 2; i++)
		if (ch->drive[i])
			write_task_file(ch->drive[i], reg, value);
}

void ide_control_write(struct ide_channel *ch, uint8_t value)
{
	uint8_t changed = ch->control ^ value;

	ch->control = value;
	if (changed & CTL_SRST)
		soft_reset(ch, value & CTL_SRST);
	ide_irq_update(ch);
}

/* ---- life --------------------------------------------------------------------------------- */

void ide_drive_power_on(struct ide_drive *d)
{
	if (d->cdrom)
		atapi_power_on(d);
	else
		ata_power_on(d);
	d->power = ATA_POWER_ACTIVE;
	ide_signature(d);
}

void ide_channel_power_on(struct ide_channel *ch)
{
	memset(&ch->c, 0, sizeof(ch->c));
	memset(&ch->bm, 0, sizeof(ch->bm));
	ch->device = ch->control = 0;
	ch->reset = RESET_NONE;
	ch->io_queued = false;
	for (uint32_t i = 0; i < 2; i++)
		if (ch->drive[i])
			ide_drive_power_on(ch->drive[i]);
	ide_irq_update(ch);
}

int ide_channel_init(struct ide_channel *ch)
{
	pthread_mutex_init(&ch->lock, NULL);
	pthread_cond_init(&ch->calm, NULL);
	/* Aligned for disks that bypass the page cache. */
	ch->buffer = aligned_alloc(PAGE, IDE_BUFFER + PAGE);
	if (ch->buffer)
		memset(ch->buffer, 0, IDE_BUFFER + PAGE);
	return ch->buffer ? ide_io_init(ch) : -ENOMEM;
}

void ide_channel_finish(struct ide_channel *ch)
{
	ide_io_finish(ch);
	free(ch->buffer);
	ch->buffer = NULL;
	pthread_cond_destroy(&ch->calm);
	pthread_mutex_destroy(&ch->lock);
}
