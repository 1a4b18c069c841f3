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

#define GAMUT_IOAPIC_BASE 0xfec00000ull

struct gamut_irq_lines_ops {
	uint32_t size;
	/*
	 * The electrical level of an input, 1 asserted. ISA devices raise for a
	 * positive edge; polarity is settled here, so 1 is always "asks". Setting
	 * what it is already does nothing. Devices that share an input put their
	 * levels together before (pci-bus does). Numbers beyond GAMUT_IRQ_COUNT
	 * are ignored, and so are 0, the 8254's, and 2, the cascade's. One thread
	 * at a time for an input. [any]
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
	/* The local APIC's id of a vCPU, for the MADT and the like. The I/O APIC is at GAMUT_IOAPIC_BASE, its id is 0. [any] */
	uint32_t (*apic_id)(void *self, uint32_t vcpu);
	/* The board's NMI pulses: a parity or channel check that ports 0x61 and 0x70 let through, a button. [any] */
	void (*nmi)(void *self);
	/*
	 * An access to an address that no range claims, for whoever has the
	 * domain's bus_fallback to ask first: a guest may have moved a local APIC's
	 * page to there (IA32_APIC_BASE). 0, and a read has filled *value; -ENOENT:
	 * it is not here. [vcpu]
	 */
	int (*mmio)(void *self, uint64_t gpa, uint32_t width, uint32_t write, uint64_t *value);
	/*
	 * The board's INIT# pulses (port 0x92, the keyboard controller, port
	 * 0xcf9): the bootstrap processor starts over at the reset vector, the
	 * others wait for a start-up message, and memory stays. [vcpu]
	 */
	void (*init)(void *self);
};

#ifdef __cplusplus
}
#endif
#endif
