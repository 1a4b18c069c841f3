/* SPDX-License-Identifier: MIT */
/*
 * A domain's disks at its one IDE controller, whichever plugins they are of.
 *
 * Every disk is an instance of a plugin, and several plugins may have some that
 * hang on the PIIX3: an IDE disk, the IDE twin of a Xen disk. Each such
 * instance has a seat, which is the *first member* of its struct, and answers
 * its plugin's op `interface` with ide_seat_interface. By that the seats of a
 * domain find each other; the first of them has the controller, made when
 * somebody first sits down, and the others reach it through struct
 * ide_seat_ops.
 *
 *     create   ide_seat_init
 *     start    ide_seat_take
 *     pause    ide_seat_pause     resume ide_seat_resume     reset ide_seat_reset
 *     stop     ide_seat_leave     destroy ide_seat_finish
 *
 * A seat that was not taken may go through all of these.
 */
#ifndef DM_IDE_SEAT_H
#define DM_IDE_SEAT_H

#include "dm/ide/ide.h"

#define IDE_SEATS          "ide-seats"
#define IDE_SEATS_REVISION 1u

/* Among the plugins of one build: drive configurations and back ends are no part of the plugin ABI. */
struct ide_seat_ops {
	uint32_t size;
	/* The slot that a seat wants; *yields nonzero when it gives way to one that does not. */
	uint32_t (*wants)(void *seat, uint32_t *yields);
	/* Of the first seat, for any slot: as ide_attach and so on. */
	int (*attach)(void *first, uint32_t slot, const struct ide_drive_config *config);
	void (*detach)(void *first, uint32_t slot);
	void (*pause)(void *first, uint32_t slot);
	void (*resume)(void *first, uint32_t slot);
	void (*unplug)(void *first, uint32_t slot);
};

struct ide_seat {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint32_t slot; /* IDE_SLOTS: none is wanted */
	bool yields, taken;
	struct ide *ide; /* of the first seat: the controller */
	const struct ide_seat_ops *ops; /* the first seat's, once taken */
	void *first;
};

/* slot IDE_SLOTS: this instance has no business with the controller. [control] */
void ide_seat_init(struct ide_seat *seat, const struct gamut_host *host, struct gamut_inst *inst, uint32_t slot,
                   bool yields);
/* For the plugin's op `interface`. */
const void *ide_seat_interface(const struct ide_seat *seat, const char *id, uint32_t revision);

/*
 * Attaches the drive. 0; -EBUSY: another disk is there, or wants to be and this
 * one yields; -ENODEV: the platform has no PCI bus or no lines for interrupts;
 * other -errno. host->fail was not called. [control]
 */
int ide_seat_take(struct ide_seat *seat, const struct ide_drive_config *config);
/* As ide_pause, ide_resume, ide_unplug. */
void ide_seat_pause(struct ide_seat *seat);
void ide_seat_resume(struct ide_seat *seat);
void ide_seat_unplug(struct ide_seat *seat);
/* The first seat, which is reset first, resets the controller and all drives. [control] */
void ide_seat_reset(struct ide_seat *seat);
/* As ide_detach. [control] */
void ide_seat_leave(struct ide_seat *seat);
void ide_seat_finish(struct ide_seat *seat);

#endif
