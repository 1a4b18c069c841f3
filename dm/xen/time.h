/* SPDX-License-Identifier: MIT */
/*
 * Time as a Xen guest sees it: pvclock, wall clock, timers and runstates.
 *
 * System time is domain time: nanoseconds since the domain was made, standing
 * still while it is paused. Each vCPU's vcpu_time_info says how it follows
 * from the TSC; it is rewritten when that may have changed (a resume, another
 * vcpu_info), under the version protocol: odd while it is being written.
 *
 * Where PV time is not offered (none), the clocks stay 0 and the timers' calls
 * are not there: vcpu.h.
 *
 * A vCPU has a singleshot and a periodic timer; both end in VIRQ_TIMER.
 *
 * Two structures are registered by *virtual* address and can only be written
 * in the context of their vCPU, so they are brought up to date during
 * hypercalls of this object: the copy of vcpu_time_info (for vDSOs) when it is
 * stale, the runstate area when it has aged by RUNSTATE_AGE_NS or is new. A
 * guest that sets timers does so far more often.
 */
#ifndef DM_XEN_TIME_H
#define DM_XEN_TIME_H

#include "dm/xen/evtchn.h"

#define RUNSTATE_AGE_NS 1000000ull

struct xen_time;

struct xen_time_vcpu {
	struct xen_time *time;
	uint32_t id;
	pthread_mutex_t lock; /* vcpu_time_info, periodic timer */
	struct gamut_timer *singleshot, *periodic;
	uint64_t period, next; /* ns; period 0: stopped */
	uint32_t version;      /* of vcpu_time_info */
	/* below: only on the vCPU's own thread */
	uint64_t time_area;    /* guest virtual address, or 0 */
	uint32_t area_version; /* what the area holds */
	uint64_t runstate_area;
	uint32_t runstate_long; /* layout of the area */
	uint64_t runstate_at;   /* when it was last written */
};

struct xen_time {
	const struct xen_env *env;
	struct shinfo *shinfo;
	struct evtchn *evtchn;
	pthread_mutex_t wallclock_lock;
	bool none; /* only runstates are offered; constant once the domain has started */
	uint64_t *timers, *clocks; /* signs: timers set, clocks registered */
	uint32_t runstate_flag; /* VMASST_TYPE_runstate_update_flag is on; atomic */
	struct xen_time_vcpu *vcpu;
};

/* 0 or -ENOMEM. shinfo and evtchn outlive it. [control] */
int xen_time_init(struct xen_time *t, const struct xen_env *env, struct shinfo *shinfo, struct evtchn *evtchn);
void xen_time_finish(struct xen_time *t);
/* Power-on: no timer runs, clocks are written anew. After shinfo_reset. [control] */
void xen_time_reset(struct xen_time *t);
/* Every clock in guest memory is written anew: at start and resume. [control] */
void xen_time_update(struct xen_time *t);
/* One vCPU's vcpu_time_info. [any] */
void xen_time_update_vcpu(struct xen_time *t, uint32_t vcpu);
/* wc_* of shared_info. [any] */
void xen_time_wallclock(struct xen_time *t);
/* Brings the vCPU's registered areas up to date; in a handler for that vCPU. [vcpu] */
void xen_time_refresh(struct xen_time *t, const struct gamut_hypercall *call);

/*
 * Sub-operations of VCPUOP; vcpu is valid. An area is registered for the calling
 * vCPU or one that is down. [vcpu]
 */
int64_t xen_time_set_singleshot(struct xen_time *t, struct gamut_hypercall *call, uint64_t arg);
int64_t xen_time_stop_singleshot(struct xen_time *t, uint32_t vcpu);
int64_t xen_time_set_periodic(struct xen_time *t, struct gamut_hypercall *call, uint32_t vcpu, uint64_t arg);
int64_t xen_time_stop_periodic(struct xen_time *t, uint32_t vcpu);
int64_t xen_time_register_area(struct xen_time *t, struct gamut_hypercall *call, uint32_t vcpu, uint64_t arg);
int64_t xen_time_runstate_info(struct xen_time *t, struct gamut_hypercall *call, uint32_t vcpu, uint64_t arg);
int64_t xen_time_register_runstate(struct xen_time *t, struct gamut_hypercall *call, uint32_t vcpu, uint64_t arg);

/* __HYPERVISOR_set_timer_op; opaque is the struct xen_time. [vcpu] */
int64_t xen_set_timer_op(void *opaque, struct gamut_hypercall *call);
/* __HYPERVISOR_vm_assist: the one type an HVM guest may set. [vcpu] */
int64_t xen_vm_assist(void *opaque, struct gamut_hypercall *call);

#endif
