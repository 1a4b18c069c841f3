/* SPDX-License-Identifier: MIT */
/*
 * The PCI bus of an emulated PC, given by the platform (platform-pc):
 * host->lookup(inst, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, 0, &self). Configuration
 * space, decoding of base address registers, interrupt routing, MSI and MSI-X
 * and the expansion ROM are the bus's; a function describes itself and serves
 * its registers. PCI Local Bus Specification 3.0.
 */
#ifndef GAMUT_PCI_H
#define GAMUT_PCI_H

#include "gamut/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GAMUT_PCI_BUS "pci-bus"
#define GAMUT_PCI_REVISION 1u

#define GAMUT_PCI_BARS 6u
#define GAMUT_PCI_ANY 0xffffu /* any free device number */

enum gamut_pci_bar_kind {
	GAMUT_PCI_BAR_NONE = 0,
	GAMUT_PCI_BAR_IO = 1,
	GAMUT_PCI_BAR_MEM32 = 2,
	GAMUT_PCI_BAR_MEM64 = 3, /* takes the next entry too, which must be NONE */
};

struct gamut_pci_bar {
	uint32_t kind;
	uint32_t prefetchable;
	uint64_t size; /* bytes, a power of two; IO: 4 to 256, MEM: 16 and up */
	/* As for a range of the host: the function sees offsets. NULL with IO BARs of fixed legacy decode. */
	const struct gamut_io_ops *ops;
};

/* Copied by add, but for what pointers lead to, which must live as long as the function. */
struct gamut_pci_desc {
	uint32_t size;
	/* Where: device << 3 | function, or GAMUT_PCI_ANY. Function 0 of a device with several sets multi_function. */
	uint16_t devfn;
	uint16_t multi_function;
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_revision; /* class << 24 | subclass << 16 | interface << 8 | revision */
	uint32_t pin;            /* 0 none, 1-4: INTA# to INTD# */
	struct gamut_pci_bar bar[GAMUT_PCI_BARS];
	uint32_t msix_vectors; /* 0: no MSI-X. Its table and pending bits are in msix_bar, of at least 4 KiB, a MEM BAR with no ops */
	uint32_t msix_bar;
	uint32_t msi_vectors; /* 0: no MSI; else 1, 2, 4 .. 32 */
	const void *rom;      /* expansion ROM, or NULL */
	uint32_t rom_size;
	/*
	 * Registers of the function's own in configuration space, from 0x40 on
	 * where no capability lies; n_config bytes that begin at `config_at`. The
	 * bus holds them, as power-on values and the bits that can be written;
	 * config_written, if any, is told after a write to them or to the command
	 * register. [vcpu]
	 */
	uint32_t config_at, n_config;
	const uint8_t *config_value, *config_mask;
	void (*config_written)(void *opaque, uint32_t offset, uint32_t width);
	/* Status bits and such that a read shows as they are now; NULL: as held. [vcpu] */
	uint32_t (*config_read)(void *opaque, uint32_t offset, uint32_t width, uint32_t held);
	/*
	 * Where in those registers a list of capabilities begins that the function
	 * has itself (6.7; vendor-specific ones, for instance), its last next
	 * pointer being 0; the bus puts its own before them. 0: there is none.
	 */
	uint32_t capability;
};

struct gamut_pci_function;

struct gamut_pci_bus_ops {
	uint32_t size;
	/* In start. 0; -EBUSY (taken), -ENOSPC (no device number), -EINVAL; host->fail has been called. [control] */
	int (*add)(void *self, const struct gamut_pci_desc *desc, void *opaque, struct gamut_pci_function **function);
	/* For stop or destroy; NULL is allowed. [control] */
	void (*remove)(void *self, struct gamut_pci_function *function);
	/* The level of the function's INTx pin; shared lines are put together by the bus. Ignored while MSI is on. [any] */
	void (*irq)(void *self, struct gamut_pci_function *function, uint32_t level);
	/* Sends MSI or MSI-X vector n if enabled and unmasked, else marks it pending. 0; -ENOENT: neither is enabled. [any] */
	int (*message)(void *self, struct gamut_pci_function *function, uint32_t n);
	/*
	 * Memory as the function's bus mastering reaches it: -EACCES while it is
	 * off (nothing is transferred), -EFAULT where it is not RAM. [any]
	 */
	int (*dma_read)(void *self, struct gamut_pci_function *function, uint64_t address, void *buf, uint64_t len);
	int (*dma_write)(void *self, struct gamut_pci_function *function, uint64_t address, const void *buf,
	                 uint64_t len);
	/* Whether bus mastering is on, for functions that map memory with mem_get. [any] */
	int (*bus_master)(void *self, struct gamut_pci_function *function);
	/* The function's registers as held: 1, 2 or 4 bytes. [vcpu] [control] */
	uint32_t (*config_get)(void *self, struct gamut_pci_function *function, uint32_t offset, uint32_t width);
	void (*config_set)(void *self, struct gamut_pci_function *function, uint32_t offset, uint32_t width,
	                   uint32_t value);
	/* device << 3 | function, once added. [any] */
	uint32_t (*devfn)(void *self, struct gamut_pci_function *function);
	/*
	 * The level of a device's interrupt pin (1-4: INTA# to INTD#) as the board
	 * drives it, beside what the functions there do, whose registers do not
	 * matter: for the monitor's own interrupts, as Xen's callback by PCI INTx.
	 * Numbers that do not exist are ignored. Setting what it is already does
	 * nothing. One thread at a time. [any]
	 */
	void (*board_irq)(void *self, uint32_t device, uint32_t pin, uint32_t level);
	/*
	 * 0 takes the function off the bus for a while, as if pulled out of its
	 * slot: nothing answers in its place, its windows close, it is no bus
	 * master and asks for no interrupt. An access that another vCPU has begun
	 * may still reach it. 1 puts it back, at power-on. Not from within its
	 * config_written. [vcpu] [control]
	 */
	void (*present)(void *self, struct gamut_pci_function *function, uint32_t present);
};

#ifdef __cplusplus
}
#endif
#endif
