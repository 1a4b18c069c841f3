/* SPDX-License-Identifier: MIT */
/*
 * VCPUOP_* and SCHEDOP_*: what a guest does with its vCPUs.
 */
#ifndef DM_XEN_VCPU_H
#define DM_XEN_VCPU_H

#include "dm/xen/time.h"

#define XEN_WATCHDOGS 2u

struct xen_vcpus;

struct xen_watchdog {
	struct xen_vcpus *vcpus;
	struct gamut_timer *timer;
	bool armed;
};

struct xen_vcpu {
	struct xen_vcpus *vcpus;
	uint32_t id;
	struct gamut_timer *poll; /* timeout of SCHEDOP_poll */
	bool initialised;         /* VCPUOP_initialise was done; under the lock */
};

struct xen_vcpus {
	const struct xen_env *env;
	struct shinfo *shinfo;
	struct upcall *upcall;
	struct evtchn *evtchn;
	struct xen_time *time;
	pthread_mutex_t lock;
	struct xen_watchdog watchdog[XEN_WATCHDOGS];
	uint32_t shutdown_code; /* SCHEDOP_shutdown_code + 1, or 0 */
	struct xen_vcpu *vcpu;
};

/* 0 or -ENOMEM. The other objects outlive it. [control] */
int xen_vcpus_init(struct xen_vcpus *vs, const struct xen_env *env, struct shinfo *shinfo, struct upcall *upcall,
                   struct evtchn *evtchn, struct xen_time *time);
void xen_vcpus_finish(struct xen_vcpus *vs);
/* No watchdog, no poll; vCPUs other than 0 are to be initialised again. [control] */
void xen_vcpus_reset(struct xen_vcpus *vs);

/* gamut_hypercall_fn with the struct xen_vcpus as opaque. [vcpu] */
int64_t xen_vcpu_op(void *opaque, struct gamut_hypercall *call);
int64_t xen_sched_op(void *opaque, struct gamut_hypercall *call);

/*
 * A vCPU halted with interrupts off: as on Xen it is down then, and with the
 * last one the domain has powered off. That is how Linux ends a domain without
 * ACPI sleep states. A gamut_halt_fn with the struct xen_vcpus. [vcpu]
 */
void xen_vcpu_halted(void *opaque, uint32_t vcpu);

/*
 * The registers that struct vcpu_hvm_context asks for. 0, or -EINVAL for a
 * state that the processor would not accept. Pure.
 */
int xen_vcpu_context(const struct vcpu_hvm_context *ctx, struct gamut_vcpu_state *state);

#endif
