/* SPDX-License-Identifier: MIT */
/*
 * What a guest finds under KVM beside the machine: its clock, steal time, PV
 * end of interrupt and hypercalls, after Linux' Documentation/virt/kvm/x86
 * (cpuid.rst, msr.rst, hypercalls.rst) and asm/kvm_para.h.
 *
 * The same code serves both engines. On engine kvm the host's KVM could do it:
 * it answers the MSRs and CPUID has only to say so. But its clock goes on while
 * the domain is paused, and domain time, by which every other timer here goes,
 * stands still; and it would answer them to guests that are not to know of KVM.
 * So the engine takes the MSRs from it (core/engine/kvm/msr.c), and they arrive
 * here as on the other engine.
 *
 * What is offered is what works:
 *
 *   clock        always. Stable: one scale for all vCPUs (dm/clock/pvclock.h)
 *   no I/O delay always: no port here needs time
 *   steal time   with local APICs of our own. With the engine's, a vCPU halts
 *                inside it, and its sleep is not told from waiting
 *   PV EOI       likewise: with the engine's, the end of an interrupt is not ours
 *   PV unhalt, IPIs, yield
 *                likewise, and where vmcall comes out of the engine
 *
 * Never: asynchronous page faults (no page of the guest is ever fetched while it
 * waits); poll control (a halt never polls); clock pairing; remote TLB flushes,
 * which rest on `preempted`. That is 0 for ever: whether the host has taken the
 * processor away from a vCPU's thread is not seen from within the process, and a
 * flag that is late makes a guest wait for nobody.
 */
#ifndef DM_KVM_PV_H
#define DM_KVM_PV_H

#include <pthread.h>
#include <stdbool.h>

#include "dm/pc/lapic.h"

#define KVM_STEAL_AGE_NS 1000000u /* steal time and clock are looked at no more often than this */

struct kvm_pv;

struct kvm_pv_vcpu {
	struct kvm_pv *pv;
	pthread_mutex_t lock; /* over all below: INIT comes from another vCPU's thread */
	uint64_t clock;       /* MSR_KVM_SYSTEM_TIME: address | enabled */
	uint64_t tsc_base;    /* of the record that is there */
	uint64_t steal;       /* MSR_KVM_STEAL_TIME, likewise */
	uint64_t stolen, stolen_before; /* ns: as the guest was told; what is not its affair */
	uint64_t looked;      /* domain time of the last look at both */
};

struct kvm_pv {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct lapics *apics; /* NULL: the engine's */
	uint32_t n;
	bool hypercalls; /* they reach us */
	uint64_t wall_clock; /* MSR_KVM_WALL_CLOCK as last written, by any vCPU; atomic */
	struct kvm_pv_vcpu *vcpu;
	/* Signs of the guest's colour. */
	uint64_t *clocks, *steals, *eois, *ipis, *kicks;
	uint64_t *unknown; /* counter */
};

/* apics may be NULL; else they outlive it. 0 or -ENOMEM. [control] */
int kvm_pv_init(struct kvm_pv *p, const struct gamut_host *host, struct gamut_inst *inst, struct lapics *apics);
void kvm_pv_finish(struct kvm_pv *p);
/* MSRs, hypercalls, CPUID. 0 or -errno. [control] */
int kvm_pv_register(struct kvm_pv *p);
/* Domain time goes on: the clocks are written anew, and say that the vCPUs were stopped. [control] */
void kvm_pv_resume(struct kvm_pv *p);
/* Power-on state. [control] */
void kvm_pv_reset(struct kvm_pv *p);

/* ---- for the files of this folder ---- */

static inline void kvm_pv_count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* clock.c: the vCPU's lock is held but for the wall clock's. */
void kvm_clock_set(struct kvm_pv_vcpu *v, uint32_t vcpu, uint64_t value);
void kvm_clock_write(struct kvm_pv_vcpu *v, uint32_t vcpu, bool stopped);
/* Writes it if the guest's TSC has been set since. */
void kvm_clock_refresh(struct kvm_pv_vcpu *v, uint32_t vcpu);
void kvm_wall_clock(struct kvm_pv *p, uint64_t gpa);

/* steal.c: likewise. set: 0 or -EPERM */
int kvm_steal_set(struct kvm_pv_vcpu *v, uint32_t vcpu, uint64_t value);
void kvm_steal_write(struct kvm_pv_vcpu *v, uint32_t vcpu);

/* hypercall.c; opaque is the struct kvm_pv */
int64_t kvm_hypercall(void *opaque, struct gamut_hypercall *call);

#endif
