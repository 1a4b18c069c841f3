/* SPDX-License-Identifier: MIT */
/*
 * Intel 82371AB (PIIX4), function 3 (here 00:01.3): power management. PM1
 * event and control blocks, PM timer, GPE block, SMI command port. ACPI 1.0
 * fixed hardware; data sheet, chapter 7.
 *
 * There is no SMM: what an SMI handler would do with ACPI's enable and disable
 * commands happens in the chip, and DEVACTB says that SMIs are set up already,
 * so that firmware does not try. The SMBus controller of the same function is
 * not there: its enable bit stays 0.
 */
#ifndef DM_PC_PIIX4_PM_H
#define DM_PC_PIIX4_PM_H

#include <pthread.h>

#include "gamut/pci.h"

#define PIIX4_PM_BYTES 64u
#define PIIX4_PM_BASE 0x600u /* where SeaBIOS puts it, and our tables say it is */
#define PIIX4_PM_DEVFN 0x0bu
#define PIIX4_PM_HZ 3579545u
#define PIIX4_SMI_PORT 0xb2u
#define PIIX4_ACPI_ENABLE 0xf1u
#define PIIX4_ACPI_DISABLE 0xf0u

/* Offsets from the base. */
enum { PM_STATUS = 0, PM_ENABLE = 2, PM_CONTROL = 4, PM_TIMER = 8, PM_GP_STATUS = 12, PM_GP_ENABLE = 14 };

struct piix4_pm_pins {
	void (*sci)(void *opaque, uint32_t level); /* [any] */
	void (*power_off)(void *opaque);           /* [vcpu] */
	void *opaque;
};

struct piix4_pm {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct piix4_pm_pins pins;
	const struct gamut_pci_bus_ops *bus;
	void *bus_self;
	struct gamut_pci_function *function;
	struct gamut_timer *timer;

	pthread_mutex_t lock; /* over all below */
	uint16_t status, enable, control, gp_enable;
	uint32_t global;      /* PCNTRL and such: held */
	uint8_t apm[2];
	uint64_t turns;       /* of the timer's top bit that have been put into status */
	uint32_t sci;
};

int piix4_pm_init(struct piix4_pm *x, const struct gamut_host *host, struct gamut_inst *inst,
                  const struct piix4_pm_pins *pins);
int piix4_pm_register(struct piix4_pm *x, const struct gamut_pci_bus_ops *bus, void *bus_self);
void piix4_pm_reset(struct piix4_pm *x);
/* As firmware leaves it behind: the ports at PIIX4_PM_BASE. [control] */
void piix4_pm_open(struct piix4_pm *x);
/* Somebody presses the power button. 0; -EAGAIN: the guest does not listen to it. [any] */
int piix4_pm_button(struct piix4_pm *x);
void piix4_pm_finish(struct piix4_pm *x);

/* The ports at the base, and 0xb2 and 0xb3; opaque is the chip. */
extern const struct gamut_io_ops piix4_pm_ops, piix4_apm_ops;

#endif
