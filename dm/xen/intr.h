/* SPDX-License-Identifier: MIT */
/*
 * Interrupts and timers the Xen way, composed for a plugin: interrupt
 * controllers, shared_info, upcalls, event channels, time, vCPUs, in that order
 * of need.
 *
 * The controllers are a struct pc_intr: local APICs alone for a machine without
 * a board, or all of a PC's. A vector for upcalls goes before what they have;
 * everything else is theirs, so that a PC's devices interrupt as ever.
 *
 * On a PC there may be event channels and no more (can): upcalls by an
 * interrupt line, no PV timers and no PV clocks, as Xen was before it had them.
 */
#ifndef DM_XEN_INTR_H
#define DM_XEN_INTR_H

#include "dm/pc/intr.h"
#include "dm/xen/vcpu.h"

struct xen_intr {
	struct pc_intr pc; /* first: what is given as GAMUT_IRQ_LINES takes us for it */
	struct xen_env env;
	uint32_t can; /* enum gamut_xen_intr_can */
	struct shinfo shinfo;
	struct upcall upcall;
	struct evtchn evtchn;
	struct xen_time time;
	struct xen_vcpus vcpus;
	const struct gamut_pci_bus_ops *bus; /* for upcalls by PCI INTx; NULL: none */
	void *bus_self;
};

/* For a machine without a board, with everything; on a PC, as can says. 0 or -ENOMEM. [control] */
int xen_intr_init(struct xen_intr *x, const struct gamut_host *host, struct gamut_inst *inst);
int xen_intr_init_pc(struct xen_intr *x, const struct gamut_host *host, struct gamut_inst *inst, uint32_t can);
void xen_intr_finish(struct xen_intr *x);
/* Registers hypercalls, the interrupt source and the controllers. 0 or -errno. */
int xen_intr_register(struct xen_intr *x);
/* The clocks are written for the first time. [control] */
void xen_intr_start(struct xen_intr *x);
void xen_intr_pause(struct xen_intr *x);
void xen_intr_resume(struct xen_intr *x);
/* Power-on state; ports made by back ends stay. [control] */
void xen_intr_reset(struct xen_intr *x);

/* The two interfaces; self is the struct xen_intr. */
extern const struct gamut_xen_intr_ops xen_intr_ops;
extern const struct gamut_evtchn_ops xen_intr_evtchn_ops;

/* For interface(): those two, and the lines where there are some. */
const void *xen_intr_interface(const struct xen_intr *x, const char *id, uint32_t revision);

#endif
