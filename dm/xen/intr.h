/* SPDX-License-Identifier: MIT */
/*
 * Interrupts and timers the Xen way, composed for a plugin: shared_info, local
 * APICs, upcalls, event channels, time, vCPUs, in that order of need.
 */
#ifndef DM_XEN_INTR_H
#define DM_XEN_INTR_H

#include "dm/xen/vcpu.h"

struct xen_intr {
	struct xen_env env;
	struct shinfo shinfo;
	struct lapics apics;
	struct upcall upcall;
	struct evtchn evtchn;
	struct xen_time time;
	struct xen_vcpus vcpus;
};

/* 0 or -ENOMEM. [control] */
int xen_intr_init(struct xen_intr *x, const struct gamut_host *host, struct gamut_inst *inst);
void xen_intr_finish(struct xen_intr *x);
/* Registers hypercalls, the interrupt source and the local APICs. 0 or -errno. */
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

#endif
