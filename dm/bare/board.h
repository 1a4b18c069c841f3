/* SPDX-License-Identifier: MIT */
/*
 * A machine without a chip set: what a kernel that is booted directly finds
 * beside processors and memory. Hardware-reduced ACPI tells of all of it
 * (dm/acpi/acpi.h), and there is no more of it than somebody needs:
 *
 *   the tables                    unless they are not wanted
 *   a reset register              with the tables; without Xen also at F000:FFF0
 *   a sleep control register      likewise, where the guest has no hypercall to turn itself off
 *   a 16550 at 0x3f8, pin 4       when somebody needs "serial-ports"
 *   devices in slots              as they are added (dm/bare/slots.h)
 *   port 0x61                     where there is an 8254: its counter 2 is reached by it
 *
 * Interrupts need the interrupts plugin's "irq-lines", which a bare platform
 * may be without: then there are neither slots nor the serial port's interrupt.
 */
#ifndef DM_BARE_BOARD_H
#define DM_BARE_BOARD_H

#include "dm/bare/slots.h"
#include "dm/pc/uart.h"

#define BARE_ACPI_GPA 0xfc000000ull

struct bare_board {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_irq_lines_ops *lines; /* NULL: none */
	void *lines_self;

	struct gamut_page *pages; /* the tables; NULL: none */
	void *tables;             /* the same, ours to write */
	uint64_t bytes;           /* whole pages */
	struct acpi_config acpi;
	struct acpi_device devices[BARE_SLOTS + 1];
	uint32_t *apic_id;
	struct bare_slots slots;
	bool xen, placed; /* as start was told; the tables are where they belong */

	bool has_uart;
	struct uart uart;
	uint8_t port_61; /* atomic */
	uint64_t *resets; /* counter */
};

/* All that return int: 0, or what host->fail gave. [control] */

int bare_board_init(struct bare_board *b, const struct gamut_host *host, struct gamut_inst *inst, bool acpi);
void bare_board_finish(struct bare_board *b);
/* Bytes of guest memory from BARE_ACPI_GPA on that the tables take; 0: there are none. */
uint64_t bare_board_tables(const struct bare_board *b);
/* Ports and lines; xen: under Xen, which turns the machine off by hypercall and is named in the tables. */
int bare_board_start(struct bare_board *b, bool xen);
/* Power-on, and the tables: guests write to them, and take them away. Before the kernel is loaded. */
int bare_board_reset(struct bare_board *b);
/* What the guest has sent goes out. In pause and stop. */
void bare_board_flush(struct bare_board *b);
/* "serial-ports", "device-slots", as far as they are there: for interface(), of an instance that begins with it. */
const void *bare_board_interface(const struct bare_board *b, const char *id, uint32_t revision);

#endif
