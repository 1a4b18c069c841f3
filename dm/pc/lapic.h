/* SPDX-License-Identifier: MIT */
/*
 * The local APICs of a domain: one per vCPU, per Intel SDM volume 3, "Advanced
 * Programmable Interrupt Controller", in xAPIC and x2APIC mode.
 *
 * Two kinds of state. What other threads touch (requests in IRR, and the few
 * registers by which a message finds its target or a sleeper its reason to
 * wake) is atomic, so that an IPI or a timer takes no lock of the target's, and
 * `lapic_pending` takes none at all. Everything else, and every step that
 * changes two things at once (request to in-service), is under the APIC's lock.
 * No two of these locks are ever held together: a sender has let go of its own
 * before it touches a target.
 *
 * Where it is less than hardware:
 *   - The register page is at LAPIC_BASE only. A guest may move it, and then it
 *     is no longer there, but nowhere else either; counted.
 *   - CR8 is the processor's and does not follow TPR.
 *   - Nothing drives LINT0, LINT1, thermal and performance entries: they hold
 *     what is written to them.
 *   - There is no SMM, so SMIs are counted and dropped.
 */
#ifndef DM_PC_LAPIC_H
#define DM_PC_LAPIC_H

#include <pthread.h>
#include <stdbool.h>

#include "gamut/host.h"

#define LAPIC_BASE 0xfee00000ull
#define LAPIC_SIZE 0x1000u
#define LAPIC_VERSION 0x50014u /* six LVT entries, version 0x14: as Xen */
#define LAPIC_TICK_NS 10u      /* the bus clock, before division: 100 MHz, as Xen */

/* The APIC id of a vCPU, for CPUID, the MADT and message addresses: as Xen, every other number. */
static inline uint32_t lapic_id_of(uint32_t vcpu)
{
	return vcpu * 2;
}

enum lapic_lvt { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

struct lapics;

struct lapic {
	struct lapics *set;
	uint32_t vcpu;

	/* Atomic; irr and tmr from any thread, the others under the lock. */
	uint32_t irr[8], tmr[8], isr[8];
	uint32_t tpr, svr, ldr, dfr;
	uint64_t base; /* the MSR */

	/* Under the lock from here on. */
	pthread_mutex_t lock;
	uint32_t esr, errors; /* as last latched; since then */
	uint64_t icr;
	uint32_t lvt[LVT_COUNT];
	bool wait_sipi;

	uint32_t initial, divide; /* as written */
	uint64_t start;           /* domain time at which the count was `initial` */
	uint64_t deadline;        /* guest TSC; 0: none */
	bool armed;               /* something will happen... */
	uint64_t expiry;          /* ...at this domain time */
	struct gamut_timer *timer;
};

struct lapics {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint32_t n;
	bool tsc_deadline; /* offered: the host can tell domain time from the guest's TSC */
	struct lapic *apic;
	/*
	 * INIT took away what the vCPU's APIC had been asked for. NULL: nobody minds.
	 * Constant once the domain has started. [any]
	 */
	void (*cleared)(void *opaque, uint32_t vcpu);
	void *cleared_opaque;
	/* Counters. */
	uint64_t *accepted, *ipis, *timer_fires, *errors, *refused, *moved;
};

/* One APIC for each vCPU of the instance's domain, in power-on state. 0 or -ENOMEM. [control] */
int lapics_init(struct lapics *s, const struct gamut_host *host, struct gamut_inst *inst);
void lapics_finish(struct lapics *s);
/* The register page, the MSRs, and what CPUID says of them and of APIC ids. 0 or -errno. [control] */
int lapics_register(struct lapics *s);
/* Power-on state. [control] */
void lapics_reset(struct lapics *s);
/* After a pause, during which the TSC went on and domain time did not. [control] */
void lapics_resume(struct lapics *s);

/*
 * An edge-triggered interrupt for the vCPU, from a source inside the monitor
 * (Xen's vlapic_set_irq): it waits in IRR even while the APIC is disabled. [any]
 */
void lapic_set_irq(struct lapics *s, uint32_t vcpu, uint8_t vector);

/* See struct gamut_irq_source: what accept gives is in service from then on, until the guest's EOI. */
int lapic_accept(struct lapics *s, uint32_t vcpu);
int lapic_pending(const struct lapics *s, uint32_t vcpu);

#endif
