/* SPDX-License-Identifier: MIT */
/*
 * PCI bus 0 of a PC: what is behind gamut/pci.h. PCI Local Bus Specification
 * 3.0; configuration mechanism #1 (3.2.2.3.2).
 *
 *   bus.c      functions, INTx, DMA, the interface
 *   config.c   configuration space: registers, base address registers, ports
 *              0xcf8 and 0xcfc
 *   window.c   which function an address leads to
 *   msi.c      MSI and MSI-X
 *
 * Locks, in the order in which they are taken: `lock` (configuration space of
 * all functions; recursive, because a function told of a write may write
 * itself), a function's `msi_lock`, `irq_lock` (INTx levels). None is taken on
 * the way to a function's registers.
 */
#ifndef DM_PCI_PCI_H
#define DM_PCI_PCI_H

#include <pthread.h>
#include <stdbool.h>

#include "dm/pci/window.h"
#include "gamut/pci.h"

#define PCI_FUNCTIONS 256u
#define PCI_DEVICES 32u
#define PCI_CONFIG 256u /* bytes */
#define PCI_PIRQS 4u

#define PCI_ADDRESS_PORT 0xcf8u /* the first of eight */
#define PCI_PORTS 8u

enum pci_reg {
	PCI_REG_VENDOR = 0x00,
	PCI_REG_DEVICE = 0x02,
	PCI_REG_COMMAND = 0x04,
	PCI_REG_STATUS = 0x06,
	PCI_REG_REVISION = 0x08,
	PCI_REG_CACHE_LINE = 0x0c,
	PCI_REG_LATENCY = 0x0d,
	PCI_REG_HEADER = 0x0e,
	PCI_REG_BAR = 0x10,
	PCI_REG_SUBSYSTEM_VENDOR = 0x2c,
	PCI_REG_SUBSYSTEM = 0x2e,
	PCI_REG_ROM = 0x30,
	PCI_REG_CAPABILITIES = 0x34,
	PCI_REG_LINE = 0x3c,
	PCI_REG_PIN = 0x3d,
	PCI_REG_OWN = 0x40,
};

#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_INTX_OFF 0x0400u
#define PCI_STATUS_INTX 0x0008u
#define PCI_STATUS_CAPABILITIES 0x0010u

struct pci_bus;

struct gamut_pci_function {
	struct pci_bus *bus;
	struct gamut_pci_desc desc;
	void *opaque;
	uint32_t devfn;

	/* Under bus->lock; single bytes and words may be read without it. */
	uint8_t config[PCI_CONFIG];
	uint8_t mask[PCI_CONFIG];     /* bits that a write changes */
	uint8_t power_on[PCI_CONFIG];

	uint32_t level;   /* of the INTx pin as the function has it; atomic */
	uint32_t driven;  /* as the bus has it; under irq_lock */

	uint32_t msi_at, msix_at; /* where the capabilities are, 0: none */
	pthread_mutex_t msi_lock;
	uint8_t *msix_table;      /* 16 bytes a vector */
	uint64_t *msix_pending;   /* a bit a vector */
	uint32_t msi_pending;

	struct pci_fixed {
		uint64_t base, size; /* ports; size 0: none */
		const struct gamut_io_ops *ops;
	} fixed; /* under bus->lock; see pci_fixed_window */
};

struct pci_bus_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	/* The level of one of the four interrupt inputs of the south bridge; irq_lock held. [any] */
	void (*pirq)(void *opaque, uint32_t pirq, uint32_t level);
	void (*message)(void *opaque, uint64_t address, uint32_t data); /* [any] */
	/* Bytes within the address port, which are the south bridge's: offset 1 is 0xcf9. [vcpu] */
	uint32_t (*side_read)(void *opaque, uint32_t offset);
	void (*side_write)(void *opaque, uint32_t offset, uint32_t value);
	/*
	 * An access to memory that no window holds: 0, and a read has filled
	 * *value; -ENOENT: not here either. May be NULL. [vcpu]
	 */
	int (*otherwise)(void *opaque, uint64_t address, uint32_t width, uint32_t write, uint64_t *value);
	/* A function was added or removed; may be NULL. [control] */
	void (*changed)(void *opaque);
	void *opaque;
};

struct pci_bus {
	struct pci_bus_config config;
	struct gamut_pci_function *function[PCI_FUNCTIONS];
	pthread_mutex_t lock;
	uint32_t address; /* of the configuration mechanism; atomic */
	struct pci_windows io, memory;

	pthread_mutex_t irq_lock;
	uint32_t asserted[PCI_PIRQS]; /* functions, and pins of board_pins, that drive each input */
	uint8_t board_pins[PCI_DEVICES]; /* a bit for each pin that the board drives */

	uint64_t *moves;    /* counter: windows made anew */
	uint64_t *messages; /* counter */
	uint64_t *accesses; /* sign: of the configuration data port */
};

/* What a platform's interface() returns for GAMUT_PCI_BUS; self is the struct pci_bus. */
extern const struct gamut_pci_bus_ops pci_bus_ops;

/* 0 or -errno (host->fail was not called), and then nothing stays behind. In create. [control] */
int pci_bus_init(struct pci_bus *bus, const struct pci_bus_config *config);
/* Claims the configuration ports and what no other range claims. In start. 0 or -errno. [control] */
int pci_bus_register(struct pci_bus *bus);
/*
 * All functions' configuration as at power-on, all lines down. What a function
 * has set with config_set since it was added is not part of that. [control]
 */
void pci_bus_reset(struct pci_bus *bus);
/* Frees the functions that are left, too. [control] */
void pci_bus_finish(struct pci_bus *bus);

/* The two ways in from the processor, for tests: as registered by pci_bus_register; opaque is the bus. */
extern const struct gamut_io_ops pci_config_ops, pci_io_ops, pci_memory_ops;

/* ---- for the functions of the chip set ---- */

/* A register's value at power-on and the bits of it that can be written, as the bus itself would not have it. [control] */
void pci_power_on(struct gamut_pci_function *f, uint32_t offset, uint32_t width, uint32_t value, uint32_t mask);
/* The function's one window of ports that no BAR opens, as registers of its own say; size 0 closes it. [vcpu] */
void pci_fixed_window(struct gamut_pci_function *f, uint64_t base, uint64_t size, const struct gamut_io_ops *ops);

/* ---- between the files of the bus ---- */

/* Fills config, mask and power_on from the description. 0 or -EINVAL. [control] */
int pci_config_build(struct gamut_pci_function *f);
/* The windows of all functions as their registers say now; lock held. */
void pci_config_map(struct pci_bus *bus);
/* Registers as the guest reads and writes them; offset + width within an aligned four bytes. */
uint32_t pci_config_read(struct gamut_pci_function *f, uint32_t offset, uint32_t width);
void pci_config_write(struct gamut_pci_function *f, uint32_t offset, uint32_t width, uint32_t value);
uint32_t pci_get(const struct gamut_pci_function *f, uint32_t offset, uint32_t width);
void pci_put(struct gamut_pci_function *f, uint32_t offset, uint32_t width, uint32_t value);

/* Drives the INTx pin as level, command register and MSI say. [any] */
void pci_intx_update(struct gamut_pci_function *f);

/* Adds the capabilities to a configuration space being built. 0, -EINVAL, -ENOMEM. */
int pci_msi_build(struct gamut_pci_function *f);
void pci_msi_reset(struct gamut_pci_function *f);
void pci_msi_finish(struct gamut_pci_function *f);
/* After a write to configuration space: sends what has been waiting. */
void pci_msi_written(struct gamut_pci_function *f);
/* Whether MSI or MSI-X is on, so that INTx is not used. */
bool pci_msi_on(const struct gamut_pci_function *f);
int pci_msi_message(struct gamut_pci_function *f, uint32_t n);
extern const struct gamut_io_ops pci_msix_ops; /* the table's BAR; opaque is the function */

#endif
