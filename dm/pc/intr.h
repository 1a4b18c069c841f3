/* SPDX-License-Identifier: MIT */
/*
 * The interrupt controllers and the timer of a PC, and how they are wired:
 *
 *   line 0-15 ---> 8259 pair ---INT---> LINT0 of every local APIC, I/O APIC pin 0
 *   line 0 ------> I/O APIC pin 2       (the board's one crossing; line 2 is the cascade's, and nobody's)
 *   line n ------> I/O APIC pin n       (1, 3-23)
 *   8254 counter 0 ---> line 0
 *   I/O APIC, devices' messages ---> local APICs ---end of interrupt---> I/O APIC
 *
 * Locks are taken in the order 8254, lines, 8259 pair, I/O APIC, local APIC, and no
 * two of local APICs. What goes the other way (fetching a vector, an end of
 * interrupt) goes with none held.
 *
 * Or the engine has the controllers (host->irqchip_create), whole: then there
 * is only the 8254 here, and lines and messages go to the engine. Whole, not
 * split: what the split would save is code in the host's kernel; what it would
 * cost is an exit for every access to an 8259 or the I/O APIC and for every end
 * of a level-triggered interrupt, and the ExtINT of every tick of the 8254.
 *
 * Or there is no board, and local APICs are all there is (PC_INTR_APICS).
 *
 * Others may have more interrupts than a PC's (dm/xen/intr.h): then they are
 * the interrupt source, and ask the local APICs for what is theirs; and a line
 * may be driven by them beside the devices on it (pc_intr_wire). What is
 * asserted for as long as the guest has not done something in memory is looked
 * at by `look`: before software's accesses to the controllers and with each end
 * of interrupt, before a level that still stands would interrupt once more.
 *
 * There is no HPET. The boards of this chip set (i440FX, PIIX) had none, and
 * everything it is used for has a better source here: the TSC and the PM timer
 * as clocks, the local APIC's timer for events.
 */
#ifndef DM_PC_INTR_H
#define DM_PC_INTR_H

#include "dm/pc/i8254.h"
#include "dm/pc/i8259.h"
#include "dm/pc/ioapic.h"
#include "dm/pc/lapic.h"
#include "gamut/irq.h"

enum pc_intr_kind {
	PC_INTR_OWN,    /* all of the above */
	PC_INTR_KERNEL, /* irqchip_create has succeeded: all but the 8254 is the engine's */
	PC_INTR_APICS,  /* local APICs alone, with ids as under Xen */
};

struct pc_intr {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	enum pc_intr_kind kind;
	struct i8254 pit;
	struct i8259 pic;
	struct ioapic ioapic;
	struct lapics apics;
	bool tick_waits; /* the 8254's last tick was taken off the 8259's input before it was acknowledged */
	uint64_t *by_pic, *by_ioapic; /* signs */

	/* Set between init and register, constant then. */
	const struct gamut_irq_source *source; /* NULL: the local APICs */
	void *source_opaque;
	bool wired;                 /* pc_intr_wire is used */
	void (*look)(void *opaque); /* NULL: nobody minds. No lock is held. [vcpu] */
	void *look_opaque;

	pthread_mutex_t line_lock;
	uint32_t devices, wires; /* what asserts each line; when wired */
};

/* 0 or -ENOMEM. [control] */
int pc_intr_init(struct pc_intr *x, const struct gamut_host *host, struct gamut_inst *inst, enum pc_intr_kind kind);
void pc_intr_finish(struct pc_intr *x);
/* Ports, pages, MSRs, CPUID, the interrupt source; and power-on. 0 or -errno. [control] */
int pc_intr_register(struct pc_intr *x);
void pc_intr_reset(struct pc_intr *x);
void pc_intr_resume(struct pc_intr *x);

/* The level of a line as the monitor drives it beside the devices on it; 0 and 2 are nobody's. [any] */
void pc_intr_wire(struct pc_intr *x, uint32_t line, uint32_t level);

/* Of "irq-lines", which there are but for PC_INTR_APICS; self is the struct pc_intr. */
extern const struct gamut_irq_lines_ops pc_irq_lines;

#endif
