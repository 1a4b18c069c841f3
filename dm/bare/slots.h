/* SPDX-License-Identifier: MIT */
/*
 * "device-slots" (gamut/slots.h): windows in a row below the I/O APIC, each with a
 * pin of the I/O APIC for itself, and what ACPI has to tell of them.
 */
#ifndef DM_BARE_SLOTS_H
#define DM_BARE_SLOTS_H

#include "dm/acpi/acpi.h"
#include "gamut/irq.h"
#include "gamut/slots.h"

#define BARE_SLOTS_GPA 0xfd000000u
#define BARE_SLOT_MAX 0x10000u /* bytes of registers */
#define BARE_SLOTS 20u         /* pins that no ISA device has by habit, and then some */

struct bare_slots;

struct gamut_slot {
	struct bare_slots *set;
	uint32_t gsi;
};

struct bare_slots {
	const struct gamut_irq_lines_ops *lines; /* NULL: none, and no slot to be had */
	void *lines_self;
	struct acpi_device *devices; /* of the tables; there is room for all */
	uint32_t *n_devices;
	int (*changed)(void *opaque); /* the tables are to be made anew; 0 or -errno */
	void *opaque;
	uint32_t n, next; /* slots; where the next window begins, from the first on */
	struct gamut_slot slot[BARE_SLOTS];
	char hid[BARE_SLOTS][9];
};

/* struct gamut_slots_ops's; self is this. */
int bare_slots_add(struct bare_slots *s, struct gamut_inst *inst, const struct gamut_host *host, const char *hid,
                   uint32_t len, const struct gamut_io_ops *ops, void *opaque, struct gamut_slot **slot);
void bare_slot_irq(struct gamut_slot *slot, uint32_t level);

#endif
