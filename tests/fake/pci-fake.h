/* SPDX-License-Identifier: MIT */
/*
 * A PCI bus for unit tests of functions: one function, its BARs at their
 * offsets, memory of a host_fake behind its DMA. A test reads what was asked
 * of it and turns bus mastering on and off.
 */
#ifndef PCI_FAKE_H
#define PCI_FAKE_H

#include "fake/host-fake.h"
#include "gamut/irq.h"
#include "gamut/pci.h"

struct pci_fake {
	struct host_fake *host;
	struct gamut_pci_desc desc; /* as added */
	void *opaque;
	uint32_t functions;
	_Atomic uint32_t level, raised; /* of INTx; how often it went up */
	bool master;
	bool absent;            /* pulled out of its slot */
	uint64_t reads, writes; /* DMA calls */
	uint8_t config[256];    /* from add on, with the function's own registers at power-on */
	/* Interrupt lines of the machine, for functions that have none on the bus. */
	bool line[GAMUT_IRQ_COUNT];
	uint32_t edges[GAMUT_IRQ_COUNT]; /* rising */
};

/* For host_fake_give or a device's start: self is a struct pci_fake with host filled in. */
extern const struct gamut_pci_bus_ops pci_fake_ops;

extern const struct gamut_irq_lines_ops pci_fake_lines; /* likewise */

/* The guest writes to configuration space; bit 2 of the command register is `master`. */
void pci_fake_config(struct pci_fake *p, uint32_t at, uint32_t width, uint32_t value);

/* Accesses of `width` bytes to BAR `bar`. */
uint64_t pci_fake_read(struct pci_fake *p, uint32_t bar, uint64_t offset, uint32_t width);
void pci_fake_write(struct pci_fake *p, uint32_t bar, uint64_t offset, uint32_t width, uint64_t value);

#endif
