/* SPDX-License-Identifier: MIT */
/*
 * From "an event is pending" to an interrupt of a vCPU: Xen's event upcalls.
 *
 * Three ways, as on Xen:
 *   - a vector for all vCPUs (HVM_PARAM_CALLBACK_IRQ, type "vector"): level
 *     triggered by evtchn_upcall_pending, asked for until the guest clears it.
 *     It bypasses the local APIC: ahead of what waits there, no EOI;
 *   - a vector of the vCPU's own (HVMOP_set_evtchn_upcall_vector): an edge when
 *     evtchn_upcall_pending goes from 0 to 1, through the local APIC, where it
 *     waits for its priority and for the guest's EOI like any other;
 *   - an interrupt line of a PC: upcall-line.h.
 * Vectors may be not offered (no_vectors): then setting one has no effect.
 *
 * In a PV guest its monitor delivers (upcall_by_monitor): an event raises the
 * vCPU, and what becomes of it is between the monitor and the mask byte.
 *
 * Where there is no I/O APIC and no PIC, a callback by line is accepted and
 * delivers nothing. Linux sets GSI 1 beside its own vectors, only to be seen to
 * use event channels.
 */
#ifndef DM_XEN_UPCALL_H
#define DM_XEN_UPCALL_H

#include "dm/pc/lapic.h"
#include "dm/xen/shinfo.h"
#include "dm/xen/upcall-line.h"

struct upcall_vcpu {
	uint32_t vector; /* 0: none. Atomic. */
};

struct upcall {
	const struct xen_env *env;
	struct shinfo *shinfo;
	struct lapics *apics;
	uint32_t callback_vector; /* 0: none. Atomic. */
	bool by_monitor;          /* these two: constant once the domain has started */
	bool no_vectors;
	struct upcall_line line;
	struct upcall_vcpu *vcpu;
	uint64_t *vector_set, *delivered, *by_line; /* signs */
};

/* 0 or -ENOMEM. shinfo and apics outlive it. [control] */
int upcall_init(struct upcall *up, const struct xen_env *env, struct shinfo *shinfo, struct lapics *apics);
void upcall_finish(struct upcall *up);
/* After shinfo_reset. */
void upcall_reset(struct upcall *up);
/* See struct gamut_xen_intr_ops. */
void upcall_by_monitor(struct upcall *up);

/* Sets evtchn_upcall_pending and, when it was clear, delivers. [any] */
void upcall_pending(struct upcall *up, uint32_t vcpu);
/*
 * Every event of the vCPU may be pending: sets all selector bits and delivers.
 * After its vcpu_info has moved or was out of reach. [any]
 */
void upcall_spurious(struct upcall *up, uint32_t vcpu);

/* The vCPU's vector of its own, or 0; whether its evtchn_upcall_pending is set. [any] */
static inline uint32_t upcall_own_vector(const struct upcall *up, uint32_t vcpu)
{
	return __atomic_load_n(&up->vcpu[vcpu].vector, __ATOMIC_ACQUIRE);
}

static inline bool upcall_has_event(const struct upcall *up, uint32_t vcpu)
{
	const uint8_t *info = shinfo_vcpu_info(up->shinfo, vcpu);

	return info && __atomic_load_n(info, __ATOMIC_SEQ_CST);
}

/* See struct gamut_xen_intr_ops. */
int upcall_set_callback(struct upcall *up, uint64_t via);
int upcall_set_vector(struct upcall *up, uint32_t vcpu, uint32_t vector);

/* See struct gamut_irq_source: the vector for all vCPUs first, then what the local APIC has. */
int upcall_accept(struct upcall *up, uint32_t vcpu);
int upcall_has(struct upcall *up, uint32_t vcpu);
/* A vCPU that blocks can take events: as Xen, its mask is cleared. For PV guests. [vcpu] */
void upcall_unmask(struct upcall *up, uint32_t vcpu);

#endif
