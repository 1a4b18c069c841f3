/* SPDX-License-Identifier: MIT */
/*
 * The IDE controller of a PIIX3 south bridge (Intel 82371SB, function 1) with
 * its two channels and up to four drives: ATA disks (ATA/ATAPI-7) and ATAPI
 * CD-ROMs (MMC-4).
 *
 * Threads. create to destroy are life-cycle calls on [control], as
 * gamut/plugin.h has them: no vCPU runs and [io] is parked. Register accesses
 * come on [vcpu], completions on [io]; a lock per channel is between them.
 */
#ifndef DM_IDE_IDE_H
#define DM_IDE_IDE_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/block/block.h"
#include "gamut/host.h"
#include "gamut/irq.h"
#include "gamut/pci.h"

#define IDE_CHANNELS 2u
#define IDE_SLOTS    4u /* channel * 2 + device */

struct ide;

struct ide_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_pci_bus_ops *pci;
	void *pci_self;
	const struct gamut_irq_lines_ops *irq;
	void *irq_self;
};

struct ide_drive_config {
	/* Of the drive's own: counters are put to its account. */
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block; /* borrowed, from attach to detach; NULL: a CD-ROM drive with nothing in it */
	bool cdrom;
	const char *serial, *model; /* ASCII, up to 20 and 40 characters; NULL: made up */
};

/* Adds function 00:01.1 and claims the ports. NULL: host->fail has been called. [control] */
struct ide *ide_create(const struct ide_config *config);
/* NULL is allowed. Drives must have been detached. [control] */
void ide_destroy(struct ide *ide);

/* 0; -EBUSY, -ENOMEM, -EINVAL. The drive is at power-on. [control] */
int ide_attach(struct ide *ide, uint32_t slot, const struct ide_drive_config *config);
/* Drains the drive; it is absent from then on. [control] */
void ide_detach(struct ide *ide, uint32_t slot);
/*
 * Pulls the drive out until the next ide_reset: on return the channel answers
 * as without it, what the drive was at has ended without a word, and its
 * request at the host, if there was one, has been carried out or never begun.
 * Its signs start over: the guest has no such drive now. [vcpu]
 */
void ide_unplug(struct ide *ide, uint32_t slot);

/* On return the drive has nothing in flight and no guest memory is held. [control] */
void ide_pause(struct ide *ide, uint32_t slot);
/* What pause held up goes on. [control] */
void ide_resume(struct ide *ide, uint32_t slot);
/* Power-on state of the controller and all drives, unplugged ones back in; while paused. [control] */
void ide_reset(struct ide *ide);

#endif
