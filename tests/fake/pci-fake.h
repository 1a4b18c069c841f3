/* SPDX-License-Identifier: MIT */
/*
 * A PCI bus for unit tests of functions: one function, its BARs at their
 * offsets, memory of a host_fake behind its DMA. A test reads what was asked
 * of it and turns bus mastering on and off.
 */
#ifndef PCI_FAKE_H
#define PCI_FAKE_H

#include "fake/host-fake.h"
#include "gamut/pci.h"

struct pci_fake {
	struct host_fake *host;
	struct gamut_pci_desc desc; /* as added */
	void *opaque;
	uint32_t functions;
	_Atomic uint32_t level, raised; /* of INTx; how often it went up */
	bool master;
	uint64_t reads, writes; /* DMA calls */
};

/* For host_fake_give or a device's start: self is a struct pci_fake with host filled in. */
extern const struct gamut_pci_bus_ops pci_fake_ops;

/* Accesses of `width` bytes to BAR `bar`. */
uint64_t pci_fake_read(struct pci_fake *p, uint32_t bar, uint64_t offset, uint32_t width);
void pci_fake_write(struct pci_fake *p, uint32_t bar, uint64_t offset, uint32_t width, uint64_t value);

#endif
