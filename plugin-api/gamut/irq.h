/* SPDX-License-Identifier: MIT */
/*
 * Interrupt lines and messages of an emulated PC: what its interrupt
 * controllers give to everything else. Fetched with
 * host->lookup(inst, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, 0, &self); given by
 * interrupts plugins that have an 8259 pair and an I/O APIC (intr-apic).
 *
 * A PCI function does not drive a line: see gamut_pci_bus_ops.irq.
 */
#ifndef GAMUT_IRQ_H
#define GAMUT_IRQ_H

#include "gamut/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GAMUT_IRQ_LINES "irq-lines"
#define GAMUT_IRQ_REVISION 1u

/* Inputs by number. */
#define GAMUT_IRQ_ISA 16u  /* 0-15: the ISA lines, to the 8259 pair and the I/O APIC (line 0 is its pin 2) */
#define GAMUT_IRQ_COUNT 24u /* 16-23: the I/O APIC alone */

struct gamut_irq_lines_ops {
	uint32_t size;
	/*
	 * The electrical level of an input, 1 asserted. ISA devices raise for a
	 * positive edge; polarity is settled here, so 1 is always "asks". Setting
	 * what it is already does nothing. Devices that share an input put their
	 * levels together before (pci-bus does). Numbers beyond GAMUT_IRQ_COUNT
	 * are ignored. [any]
	 */
	void (*set)(void *self, uint32_t line, uint32_t level);
	/* A message signalled interrupt, as a device writes it to memory. [any] */
	void (*message)(void *self, uint64_t address, uint32_t data);
	/*
	 * The level of the 8254's counter 2 output as port 0x61 bit 5 shows it,
	 * and its gate as port 0x61 bit 0 sets it: the system control port is the
	 * platform's, the counter the timers'. [vcpu]
	 */
	uint32_t (*speaker_output)(void *self);
	void (*speaker_gate)(void *self, uint32_t level);
	/* Bit 4 of port 0x61: toggles with every refresh request (15.085 us). [vcpu] */
	uint32_t (*refresh)(void *self);
};

#ifdef __cplusplus
}
#endif
#endif
