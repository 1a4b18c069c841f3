/* SPDX-License-Identifier: MIT */
#include "dm/bare/slots.h"

#include <errno.h>
#include <string.h>

#define PAGE 0x1000u

/* The pins beyond those of ISA devices first. 0 and 2 are no lines, 4 is the serial port's. */
static const uint8_t pins[BARE_SLOTS] = { 16, 17, 18, 19, 20, 21, 22, 23, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 3 };

_Static_assert(BARE_SLOTS_GPA + BARE_SLOTS * BARE_SLOT_MAX <= GAMUT_IOAPIC_BASE, "slots are below the I/O APIC");

static uint32_t count_of(const struct bare_slots *s, const char *hid)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n += !strcmp(s->hid[i], hid);
	return n;
}

int bare_slots_add(struct bare_slots *s, struct gamut_inst *inst, const struct gamut_host *host, const char *hid,
                   uint32_t len, const struct gamut_io_ops *ops, void *opaque, struct gamut_slot **slot)
{
	uint32_t i = s->n, base = BARE_SLOTS_GPA + s->next, size = (len + PAGE - 1) & ~(PAGE - 1);
	int rc;

	if (!len || len > BARE_SLOT_MAX || !*hid || strlen(hid) >= sizeof(s->hid[0]))
		return -EINVAL;
	if (!s->lines || i == BARE_SLOTS)
		return -ENOSPC;
	rc = host->mmio_register(inst, base, size, ops, opaque);
	if (rc)
		return rc;
	s->devices[*s->n_devices] = (struct acpi_device){
		.hid = s->hid[i], .uid = count_of(s, hid), .base = base, .len = size, .gsi = pins[i]
	};
	strcpy(s->hid[i], hid);
	s->slot[i] = (struct gamut_slot){ s, pins[i] };
	++*s->n_devices;
	s->n++;
	s->next += size;
	*slot = &s->slot[i];
	return s->changed(s->opaque);
}

void bare_slot_irq(struct gamut_slot *slot, uint32_t level)
{
	slot->set->lines->set(slot->set->lines_self, slot->gsi, level);
}
