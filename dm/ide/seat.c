/* SPDX-License-Identifier: MIT */
#include "dm/ide/seat.h"

#include <errno.h>
#include <string.h>

/* ---- the first seat, as the others see it ---- */

static int make_controller(struct ide_seat *seat)
{
	struct ide_config c = {.host = seat->host, .inst = seat->inst};

	c.pci = c.host->lookup(c.inst, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, 0, &c.pci_self);
	c.irq = c.host->lookup(c.inst, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, 0, &c.irq_self);
	if (!c.pci || !c.irq)
		return -ENODEV;
	seat->ide = ide_create(&c);
	return seat->ide ? 0 : -EIO;
}

static uint32_t seat_wants(void *self, uint32_t *yields)
{
	const struct ide_seat *seat = self;

	*yields = seat->yields;
	return seat->slot;
}

static int first_attach(void *self, uint32_t slot, const struct ide_drive_config *config)
{
	struct ide_seat *first = self;
	int err = first->ide ? 0 : make_controller(first);

	return err ? err : ide_attach(first->ide, slot, config);
}

static void first_detach(void *self, uint32_t slot)
{
	ide_detach(((struct ide_seat *)self)->ide, slot);
}

static void first_pause(void *self, uint32_t slot)
{
	ide_pause(((struct ide_seat *)self)->ide, slot);
}

static void first_resume(void *self, uint32_t slot)
{
	ide_resume(((struct ide_seat *)self)->ide, slot);
}

static void first_unplug(void *self, uint32_t slot)
{
	ide_unplug(((struct ide_seat *)self)->ide, slot);
}

static const struct ide_seat_ops seat_ops = {
        .size = sizeof(struct ide_seat_ops),
        .wants = seat_wants,
        .attach = first_attach,
        .detach = first_detach,
        .pause = first_pause,
        .resume = first_resume,
        .unplug = first_unplug,
};

const void *ide_seat_interface(const struct ide_seat *seat, const char *id, uint32_t revision)
{
	bool asked = !strcmp(id, IDE_SEATS) && revision == IDE_SEATS_REVISION;

	return asked && seat->slot < IDE_SLOTS ? &seat_ops : NULL;
}

/* ---- each ---- */

void ide_seat_init(struct ide_seat *seat, const struct gamut_host *host, struct gamut_inst *inst, uint32_t slot,
                   bool yields)
{
	*seat = (struct ide_seat){.host = host, .inst = inst, .slot = slot, .yields = yields};
}

/* Whether a seat that does not yield wants the same slot. */
static bool outdone(const struct ide_seat *seat)
{
	const struct ide_seat_ops *ops;
	uint32_t yields;
	void *other;

	for (uint32_t i = 0; (ops = seat->host->lookup(seat->inst, IDE_SEATS, IDE_SEATS_REVISION, i, &other)); i++)
		if (other != seat && ops->wants(other, &yields) == seat->slot && !yields)
			return true;
	return false;
}

int ide_seat_take(struct ide_seat *seat, const struct ide_drive_config *config)
{
	int err;

	seat->ops = seat->host->lookup(seat->inst, IDE_SEATS, IDE_SEATS_REVISION, 0, &seat->first);
	if (!seat->ops)
		return -ENOENT;
	if (seat->yields && outdone(seat))
		return -EBUSY;
	err = seat->ops->attach(seat->first, seat->slot, config);
	seat->taken = !err;
	return err;
}

void ide_seat_pause(struct ide_seat *seat)
{
	if (seat->taken)
		seat->ops->pause(seat->first, seat->slot);
}

void ide_seat_resume(struct ide_seat *seat)
{
	if (seat->taken)
		seat->ops->resume(seat->first, seat->slot);
}

void ide_seat_unplug(struct ide_seat *seat)
{
	if (seat->taken)
		seat->ops->unplug(seat->first, seat->slot);
}

void ide_seat_reset(struct ide_seat *seat)
{
	if (seat->ide)
		ide_reset(seat->ide);
}

void ide_seat_leave(struct ide_seat *seat)
{
	if (seat->taken)
		seat->ops->detach(seat->first, seat->slot);
	seat->taken = false;
}

/* A start that failed later on was not stopped. */
void ide_seat_finish(struct ide_seat *seat)
{
	ide_seat_leave(seat);
	ide_destroy(seat->ide);
	seat->ide = NULL;
}
