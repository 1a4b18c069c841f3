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
 * before it touches a target. Nor is one held when an end of interrupt goes to
 * the I/O APIC or a vector is fetched from the 8259s, which themselves send to
 * here with their locks held.
 *
 * Where it is less than hardware:
 *   - A guest may move the register page (IA32_APIC_BASE), and it is found where
 *     nothing else is: by lapics_page, which whoever takes unclaimed accesses
 *     asks. RAM, and ranges of other devices, go before it. Counted.
 *   - Nothing drives the thermal and performance entries.
 *   - There is no SMM, so SMIs are counted and dropped.
 */
#ifndef DM_PC_LAPIC_H
#define DM_PC_LAPIC_H

#include <pthread.h>
#include <stdbool.h>

#include "dm/pc/apic-message.h"
#include "gamut/host.h"

#define LAPIC_BASE 0xfee00000ull
#define LAPIC_SIZE 0x1000u
#define LAPIC_VERSION 0x50014u /* six LVT entries, version 0x14: as Xen */
#define LAPIC_VERSION_SUPPRESS (1u << 24) /* EOI broadcasts can be suppressed */
#define LAPIC_TICK_NS 10u      /* the bus clock, before division: 100 MHz, as Xen */

/* The APIC id of a vCPU under intr-xen, for CPUID, the MADT and message addresses: as Xen, every other number. */
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
	uint32_t id; /* of xAPIC mode, 8 bits */
	uint64_t base; /* the MSR */
	uint32_t extint; /* an ExtINT message waits for its vector; from any thread */
	uint32_t lvt[LVT_COUNT];

	/* Under the lock from here on. */
	pthread_mutex_t lock;
	uint32_t esr, errors; /* as last latched; since then */
	uint64_t icr;
	bool wait_sipi;

	uint32_t initial, divide; /* as written */
	uint64_t start;           /* domain time at which the count was `initial` */
	uint64_t deadline;        /* guest TSC; 0: none */
	bool armed;               /* something will happen... */
	uint64_t expiry;          /* ...at this domain time */
	struct gamut_timer *timer;

	uint64_t pv_eoi;     /* as lapic_pv_eoi has it */
	uint32_t pv_offered; /* atomic: the interrupt in service may end by the guest's clearing of its bit */
};

struct lapics {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint32_t n;
	bool no_x2apic;    /* the mode is not offered; set between init and register */
	bool tsc_deadline; /* offered: the host can tell domain time from the guest's TSC */
	uint64_t reserved_base; /* bits of IA32_APIC_BASE beyond physical addresses */
	struct lapic *apic;
	/*
	 * The board. Set between init and register, constant then; all optional
	 * but id_shift, which is Xen's after init.
	 */
	uint32_t id_shift;  /* an APIC id is the vCPU's number << id_shift */
	bool suppress_eoi;  /* software may turn EOI broadcasts off: the I/O APIC has a register instead */
	bool restarts;      /* after INIT, vCPU 0 goes to the reset vector, and does not wait to be started */
	void (*eoi)(void *board, uint32_t vector); /* end of a level-triggered interrupt [vcpu] */
	/* The end of any vector, while *owing is not 0. NULL: nobody has more to give. [vcpu] */
	void (*ended)(void *board, uint32_t vector);
	const uint64_t *owing; /* atomic */
	/* The 8259s' vector, acknowledged; when they ask no more, -1, or what they give to one who asks all the same. */
	int (*intack)(void *board, bool all_the_same); /* [vcpu] */
	void *board;
	uint32_t intr; /* atomic: the 8259s' output, at every LINT0 */
	/*
	 * INIT took away what the vCPU's APIC had been asked for. NULL: nobody minds.
	 * Constant once the domain has started. [any]
	 */
	void (*cleared)(void *opaque, uint32_t vcpu);
	void *cleared_opaque;
	/* The vCPU takes an interrupt. NULL: nobody minds. Constant once the domain has started. [vcpu] */
	void (*taken)(void *opaque, uint32_t vcpu);
	void *taken_opaque;
	uint64_t *pv_eois; /* counts ends of interrupt without an exit; NULL: lapic_pv_eoi is not used */
	/* Counters. */
	uint64_t *timer_armed; /* sign */
	uint64_t *accepted, *ipis, *timer_fires, *errors, *refused, *moved, *smi;
};

/* One APIC for each vCPU of the instance's domain, in power-on state. 0 or -ENOMEM. [control] */
int lapics_init(struct lapics *s, const struct gamut_host *host, struct gamut_inst *inst);
void lapics_finish(struct lapics *s);
/*
 * CPUID alone, of APICs that are the engine's: needs host, inst, n, id_shift,
 * no_x2apic and tsc_deadline, and no init. 0 or -errno. [control]
 */
int lapics_cpuid(const struct lapics *s);
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

/* To whom it is meant. Returns enum apic_fate; what cannot be sent that way is counted and dropped. [any] */
int lapics_message(struct lapics *s, const struct apic_message *m);
/* A write of data to an address in 0xfeexxxxx, as a device sends it (SDM, "Message Signalled Interrupts"). [any] */
int lapics_msi(struct lapics *s, uint64_t address, uint32_t data);
/* The 8259s' output, which is every APIC's LINT0, and the INTR of a processor whose APIC is turned off. [any] */
void lapics_intr(struct lapics *s, uint32_t level);
/* Whether a rise of that output becomes an interrupt of some vCPU by virtual wire. [any] */
bool lapics_wired(const struct lapics *s);
/* The board's NMI: an edge at every APIC's LINT1. [any] */
void lapics_nmi(struct lapics *s);
/* The processors' INIT# pin, which reaches one whose APIC is turned off, too. [any] */
void lapics_init_pin(struct lapics *s);
/*
 * An access that nobody claims: true when it is in the calling vCPU's page,
 * which it has moved to there. Reads fill value. [vcpu]
 */
bool lapics_page(struct lapics *s, uint64_t gpa, uint32_t width, bool write, uint64_t *value);

/*
 * KVM's paravirtual end of interrupt: value is what the guest writes to
 * MSR_KVM_PV_EOI_EN. 0 or -EPERM. [vcpu] of that vCPU
 */
int lapic_pv_eoi(struct lapics *s, uint32_t vcpu, uint64_t value);
/* What it has written. [any] */
uint64_t lapic_pv_eoi_value(struct lapics *s, uint32_t vcpu);

/* See struct gamut_irq_source: what accept gives is in service from then on, until the guest's EOI. */
int lapic_accept(struct lapics *s, uint32_t vcpu);
int lapic_pending(const struct lapics *s, uint32_t vcpu);

#endif
