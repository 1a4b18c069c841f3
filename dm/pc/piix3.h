/* SPDX-License-Identifier: MIT */
/*
 * Intel 82371SB (PIIX3), function 00:01.0, the ISA bridge: which ISA interrupts
 * the PCI bus's four inputs go to, reset control (0xcf9), port 92 (fast A20 and
 * INIT), port 61 (NMI status and control). ELCR is the interrupt controllers'.
 *
 * A20. The gate is a latch that reads back what was set; address bit 20 is
 * never masked. It is 1 at power-on, as firmware of today expects of its
 * machine. (A guest that relies on wrapping at 1 MiB would see a difference;
 * processors have no such pin any more since Haswell.)
 */
#ifndef DM_PC_PIIX3_H
#define DM_PC_PIIX3_H

#include <pthread.h>

#include "gamut/irq.h"
#include "gamut/pci.h"

#define PIIX3_PORT_61 0x61u
#define PIIX3_PORT_92 0x92u
#define PIIX3_SCI 9u

struct piix3_pins {
	/* Reset of the machine; and of the processors alone, memory stays. [vcpu] */
	void (*reset)(void *opaque);
	void (*init)(void *opaque);
	void *opaque;
};

struct piix3 {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct piix3_pins pins;
	const struct gamut_pci_bus_ops *bus;
	void *bus_self;
	const struct gamut_irq_lines_ops *lines;
	void *lines_self;
	struct gamut_pci_function *function;
	pthread_mutex_t lock;       /* over the interrupt levels */
	uint32_t pirq;              /* a bit for each input that is asserted */
	uint32_t sci;
	uint32_t driven;            /* a bit for each ISA line that is up */
	uint8_t reset_control, port_92, port_61; /* atomic bytes */
};

int piix3_init(struct piix3 *x, const struct gamut_host *host, struct gamut_inst *inst, const struct piix3_pins *pins);
int piix3_register(struct piix3 *x, const struct gamut_pci_bus_ops *bus, void *bus_self,
                   const struct gamut_irq_lines_ops *lines, void *lines_self);
void piix3_reset(struct piix3 *x);
void piix3_finish(struct piix3 *x);

/* Level of an interrupt input, 0-3; and of the SCI, which shares an ISA line with them. [any] */
void piix3_pirq(struct piix3 *x, uint32_t pirq, uint32_t level);
void piix3_sci(struct piix3 *x, uint32_t level);

/* Bytes of the configuration address port; offset 1 is reset control. [vcpu] */
uint32_t piix3_side_read(struct piix3 *x, uint32_t offset);
void piix3_side_write(struct piix3 *x, uint32_t offset, uint32_t value);

/* The keyboard controller's view of the gate. [vcpu] */
void piix3_set_a20(struct piix3 *x, uint32_t level);

extern const struct gamut_io_ops piix3_port_61_ops, piix3_port_92_ops; /* opaque is the chip */

#endif
