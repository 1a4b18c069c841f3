/* SPDX-License-Identifier: MIT */
/*
 * The Xen platform device of a PC: PCI function 00:02.0, 5853:0001, and the
 * four fixed ports beside it (Xen's docs/misc/hvm-emulated-unplug.pandoc and
 * xen/include/public/hvm/pvdrivers.h).
 *
 * The function is how a guest that has PV drivers finds Xen's part of the
 * machine: its memory BAR is address space where grant frames may be put, its
 * interrupt pin is for event channels (upcall-line.h). Its registers do little.
 *
 *   port  bytes  read                      written
 *   0x10    1    flags                     flags: bit 0 locks the ROM, kept alone
 *   0x10    2    0x49d2                    what to unplug, enum gamut_xen_unplug
 *   0x10    4    -                         the drivers' build number
 *   0x12    1    version of the protocol   a character for the log
 *   0x12    2    -                         the drivers' product number
 *
 * No drivers are refused by their numbers. What is unplugged is the business of
 * whoever has emulated devices that may go; they are told in the order in which
 * they came, one guest write at a time.
 */
#ifndef DM_XEN_PLATFORM_DEVICE_H
#define DM_XEN_PLATFORM_DEVICE_H

#include "dm/xen/platform.h"
#include "gamut/pci.h"

#define XEN_DEVICE_DEVFN 0x10u /* 00:02.0, where Xen's tool stack has it */
#define XEN_DEVICE_PIN 1u      /* INTA# */
#define XEN_DEVICE_PORT 0x10u
#define XEN_DEVICE_PORTS 4u
#define XEN_DEVICE_MAGIC 0x49d2u
#define XEN_DEVICE_IO 0x100u
#define XEN_DEVICE_MEMORY (16u << 20)

struct xen_unplugger {
	uint32_t kinds;
	gamut_xen_unplug_fn fn;
	void *opaque;
};

struct xen_device {
	struct xen_platform *xen; /* the log is its */
	const struct gamut_pci_bus_ops *bus;
	void *bus_self;
	struct gamut_pci_function *function;
	pthread_mutex_t lock; /* unplugging */
	struct xen_unplugger *unplugger;
	uint32_t n_unpluggers;
	uint32_t flags, product, build; /* as written; atomic */
	uint64_t *disks, *nics;         /* counters: emulated ones that went */
};

void xen_device_init(struct xen_device *x, struct xen_platform *xen);
void xen_device_finish(struct xen_device *x);
/* Adds the function and the ports. 0 or what host->fail gave. [control] */
int xen_device_register(struct xen_device *x, const struct gamut_pci_bus_ops *bus, void *bus_self);
void xen_device_reset(struct xen_device *x);

/* See struct gamut_xen_unplug_ops. 0, -EINVAL, -ENOMEM. */
int xen_device_on_unplug(struct xen_device *x, uint32_t kinds, gamut_xen_unplug_fn fn, void *opaque);

/* The fixed ports, and the BARs; opaque is the device. */
extern const struct gamut_io_ops xen_device_port_ops, xen_device_io_ops, xen_device_memory_ops;

#endif
