/* SPDX-License-Identifier: MIT */
/*
 * From "an event is pending" to a vector in a vCPU: Xen's event upcalls for
 * HVM-like guests without emulated interrupt controllers.
 *
 * Two ways, as on Xen:
 *   - a vector for all vCPUs (HVM_PARAM_CALLBACK_IRQ, type "vector"): level
 *     triggered by evtchn_upcall_pending, asked for until the guest clears it;
 *   - a vector of the vCPU's own (HVMOP_set_evtchn_upcall_vector): an edge when
 *     evtchn_upcall_pending goes from 0 to 1. On Xen it passes through the
 *     local APIC; with no local APIC there is no in-service state and no EOI.
 * The two remaining kinds of callback, a GSI and a PCI INTx line, need an
 * interrupt controller, so they are accepted and deliver nothing. Linux sets
 * GSI 1 beside its own vectors, only to be seen to use event channels.
 */
#ifndef DM_XEN_UPCALL_H
#define DM_XEN_UPCALL_H

#include "dm/xen/shinfo.h"

struct upcall_vcpu {
	uint32_t vector; /* 0: none. Atomic. */
	uint32_t edge;   /* the vector is to be delivered. Atomic. */
};

struct upcall {
	const struct xen_env *env;
	struct shinfo *shinfo;
	uint32_t callback_vector; /* 0: none. Atomic. */
	struct upcall_vcpu *vcpu;
	uint64_t *delivered;      /* counter */
};

/* 0 or -ENOMEM. shinfo outlives it. [control] */
int upcall_init(struct upcall *up, const struct xen_env *env, struct shinfo *shinfo);
void upcall_finish(struct upcall *up);
void upcall_reset(struct upcall *up);

/* Sets evtchn_upcall_pending and, when it was clear, delivers. [any] */
void upcall_pending(struct upcall *up, uint32_t vcpu);
/*
 * Every event of the vCPU may be pending: sets all selector bits and delivers.
 * After its vcpu_info has moved or was out of reach. [any]
 */
void upcall_spurious(struct upcall *up, uint32_t vcpu);

/* See struct gamut_xen_intr_ops. */
int upcall_set_callback(struct upcall *up, uint64_t via);
int upcall_set_vector(struct upcall *up, uint32_t vcpu, uint32_t vector);

/* See struct gamut_irq_source. */
int upcall_accept(struct upcall *up, uint32_t vcpu);
int upcall_has(struct upcall *up, uint32_t vcpu);

#endif
