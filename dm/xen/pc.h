/* SPDX-License-Identifier: MIT */
/*
 * Xen's parts of a PC: what every Xen platform is made of (domain.h), the
 * platform device, and where pages of the host's are that HVM params name.
 *
 * Everything else is the PC's. So a PC's own map of memory is the one that
 * counts, and the params' pages are named reserved in it.
 */
#ifndef DM_XEN_PC_H
#define DM_XEN_PC_H

#include "dm/xen/domain.h"
#include "dm/xen/platform-device.h"

/* Frames for HVM params, where Xen's tool stack has them: below 4 GiB, never RAM, beyond all that PCI gets. */
#define XEN_PC_SPECIAL_GFN 0xfeff8ull
#define XEN_PC_SPECIAL_COUNT 8u

struct xen_pc {
	struct xen_domain domain;
	struct xen_device device;
	struct xen_e820 special; /* the frames, as the map of memory shows them */
};

/* All that return int: 0, or what host->fail gave. [control] */

int xen_pc_init(struct xen_pc *x, const struct gamut_host *host, struct gamut_inst *inst);
void xen_pc_finish(struct xen_pc *x);
/* Hypercalls, CPUID, the store, the device on the bus. */
int xen_pc_start(struct xen_pc *x, const struct gamut_pci_bus_ops *bus, void *bus_self);
/* Power-on, when the bus has been reset: no page of the host's is in the guest's map but the store's. */
int xen_pc_reset(struct xen_pc *x);
void xen_pc_stop(struct xen_pc *x);

#endif
