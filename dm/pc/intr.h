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
 * Locks are taken in the order 8254, 8259 pair, I/O APIC, local APIC, and no
 * two of local APICs. What goes the other way (fetching a vector, an end of
 * interrupt) goes with none held.
 *
 * Or the engine has the controllers (host->irqchip_create), whole: then there
 * is only the 8254 here, and lines and messages go to the engine. Whole, not
 * split: what the split would save is code in the host's kernel; what it would
 * cost is an exit for every access to an 8259 or the I/O APIC and for every end
 * of a level-triggered interrupt, and the ExtINT of every tick of the 8254.
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

struct pc_intr {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	bool kernel; /* the engine has all but the 8254 */
	struct i8254 pit;
	struct i8259 pic;
	struct ioapic ioapic;
	struct lapics apics;
	bool tick_waits; /* the 8254's last tick was taken off the 8259's input before it was acknowledged */
};

/* kernel: irqchip_create has succeeded. 0 or -ENOMEM. [control] */
int pc_intr_init(struct pc_intr *x, const struct gamut_host *host, struct gamut_inst *inst, bool kernel);
void pc_intr_finish(struct pc_intr *x);
/* Ports, pages, MSRs, CPUID, the interrupt source; and power-on. 0 or -errno. [control] */
int pc_intr_register(struct pc_intr *x);
void pc_intr_reset(struct pc_intr *x);
void pc_intr_resume(struct pc_intr *x);

/* Of "irq-lines"; self is the struct pc_intr. */
extern const struct gamut_irq_lines_ops pc_irq_lines;

#endif
