/* SPDX-License-Identifier: MIT */
/*
 * Devices without a bus: a page of registers and an interrupt each, which the
 * guest finds in the ACPI tables. Given by platforms that have no PCI bus
 * (platform-pvh), fetched with
 * host->lookup(inst, GAMUT_SLOTS, GAMUT_SLOTS_REVISION, 0, &self). Made for
 * virtio over MMIO (virtio 1.2, 4.2).
 */
#ifndef GAMUT_SLOTS_H
#define GAMUT_SLOTS_H

#include "gamut/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GAMUT_SLOTS "device-slots"
#define GAMUT_SLOTS_REVISION 1u

/*
 * A word without an interface, among what a platform gives beside
 * GAMUT_PCI_BUS or GAMUT_SLOTS: devices that can be either on a bus or in a
 * slot, as virtio's, need this one and take what there is.
 */
#define GAMUT_VIRTIO_TRANSPORT "virtio-transport"

struct gamut_slot;

struct gamut_slots_ops {
	uint32_t size;
	/*
	 * A device of `len` bytes of registers (up to 64 KiB, rounded up to pages),
	 * described by the hardware id ("LNRO0005") and its number among those of
	 * the same id as _UID. The platform chooses address and interrupt, and
	 * registers the range for `inst`, whose exits are then counted to it. In
	 * start. 0; -ENOSPC: no interrupt or no table room is left; -errno. [control]
	 */
	int (*add)(void *self, struct gamut_inst *inst, const char *hid, uint32_t len, const struct gamut_io_ops *ops,
	           void *opaque, struct gamut_slot **slot);
	/* The level of its interrupt, which no other device shares. [any] */
	void (*irq)(void *self, struct gamut_slot *slot, uint32_t level);
};

#ifdef __cplusplus
}
#endif
#endif
