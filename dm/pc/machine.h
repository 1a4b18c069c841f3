/* SPDX-License-Identifier: MIT */
/*
 * The i440FX and PIIX machine as a whole: its chips and how they are wired, its
 * tables, and how it starts (firmware, or a kernel without). What each chip
 * does is in a file of its own here, in dm/pci and in dm/acpi.
 *
 *   machine.c            chips and wires, power and reset
 *   machine-start.c      what the options say of the start, what firmware is told
 *   machine-tables.c     ACPI and SMBIOS
 *   machine-interface.c  what others of the domain get
 *
 *     create:   pc_machine_init, pc_machine_choose, pc_machine_make
 *     start:    pc_machine_register, pc_machine_tables, pc_machine_firmware, pc_machine_power_on
 *     reset:    pc_machine_power_on
 *     destroy:  pc_machine_finish
 *
 * Power-on is written once, for start and for reset.
 */
#ifndef DM_PC_MACHINE_H
#define DM_PC_MACHINE_H

#include "dm/acpi/acpi-pc.h"
#include "dm/pc/boot.h"
#include "dm/pc/cmos.h"
#include "dm/pc/debugcon.h"
#include "dm/pc/firmware.h"
#include "dm/pc/i440fx.h"
#include "dm/pc/i8042.h"
#include "dm/pc/i8237.h"
#include "dm/pc/piix3.h"
#include "dm/pc/piix4-pm.h"
#include "dm/pc/smbios.h"
#include "dm/pc/testdev.h"
#include "dm/pc/uart.h"
#include "dm/pc/vga.h"
#include "dm/pci/pci.h"

#define PC_UARTS 2u
#define PC_RESET_PORT 0xcf9u
#define PC_RESET_VALUE 0x06u /* the processors, and everything else */

#define PC_FIRMWARE_FILE "/usr/share/seabios/bios-256k.bin"
#define PC_VGA_BIOS_FILE "/usr/share/seabios/vgabios-isavga.bin"

struct pc_machine {
	struct pci_bus pci; /* first: what we give as GAMUT_PCI_BUS takes us for it */
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_irq_lines_ops *lines;
	void *lines_self;
	struct pc_boot boot;
	enum pc_image image;
	uint32_t direct;     /* no firmware: the kernel is started by us */
	uint32_t chips;      /* how many of the table have been made */
	uint8_t order[3];    /* as the CMOS has it */
	uint64_t *resets, *inits; /* counters */

	struct i440fx bridge;
	struct piix3 isa;
	struct piix4_pm pm;
	struct fw_cfg config;
	struct firmware firmware;
	struct cmos cmos;
	struct i8042 keyboard;
	struct i8237 dma;
	struct vga vga;
	struct debugcon debug;
	struct uart uart[PC_UARTS];
	struct testdev *test; /* NULL: none */
	struct acpi_pc acpi;
	struct smbios smbios;
	uint32_t *apic_id;
	const char *maker, *product; /* in SMBIOS; NULL: ours. Before pc_machine_tables */
};

/* All that return int: 0, or what host->fail gave. [control] */

/* Memory as the host has it; p is zeroed. Whatever fails from here on, pc_machine_finish frees all. */
int pc_machine_init(struct pc_machine *p, const struct gamut_host *host, struct gamut_inst *inst);
/* Reads the options, and the firmware's file: all that can be wrong with them is said here. machine-start.c */
int pc_machine_choose(struct pc_machine *p);
int pc_machine_make(struct pc_machine *p);
void pc_machine_finish(struct pc_machine *p);

/* lines are set. */
int pc_machine_register(struct pc_machine *p);
int pc_machine_tables(struct pc_machine *p); /* machine-tables.c */
/* Tells and registers the firmware, if there is one; machine-start.c */
int pc_machine_firmware(struct pc_machine *p);
/* vCPUs are at their reset vector already. */
int pc_machine_power_on(struct pc_machine *p);

void pc_machine_flush(struct pc_machine *p); /* what the serial ports have not sent yet */
void pc_machine_resume(struct pc_machine *p);

/* For interface(): self of all is the struct pc_machine. machine-interface.c */
const void *pc_machine_interface(const char *id, uint32_t revision);

/* ---- between the files ---- */

/* Where firmware would have put the tables: 0 or -errno. machine-tables.c */
int pc_machine_place_tables(struct pc_machine *p);
/* The work of firmware, for a machine without. machine-start.c */
int pc_machine_boot(struct pc_machine *p);

#endif
