/* SPDX-License-Identifier: MIT */
/* What travels to local APICs, whoever sends it: another one, an I/O APIC, a device's write to memory. */
#ifndef DM_PC_APIC_MESSAGE_H
#define DM_PC_APIC_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Delivery modes (Intel SDM volume 3, "Interrupt Command Register", and the 82093AA data sheet). */
enum apic_mode {
	APIC_FIXED = 0,
	APIC_LOWEST = 1,
	APIC_SMI = 2,
	APIC_RESERVED = 3,
	APIC_NMI = 4,
	APIC_INIT = 5,
	APIC_STARTUP = 6,
	APIC_EXTINT = 7,
};

struct apic_message {
	uint32_t dest; /* an id, or a logical destination */
	uint8_t vector;
	uint8_t mode;
	bool logical;
	bool level; /* level triggered */
	bool wide;  /* dest has 32 bits, as a sender in x2APIC mode has it; else 8 */
};

/* What became of one. */
enum apic_fate {
	APIC_NOBODY = -1, /* no APIC is meant, or none takes it */
	APIC_MERGED = 0,  /* every target had asked for that vector already */
	APIC_TAKEN = 1,
};

#endif
