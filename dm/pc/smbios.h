/* SPDX-License-Identifier: MIT */
/*
 * SMBIOS 2.8 tables of a PC (DMTF DSP0134): firmware, system, chassis,
 * processors, memory. Built without a place, like the ACPI tables: firmware
 * takes entry point and structures from two files, or smbios_place does it.
 */
#ifndef DM_PC_SMBIOS_H
#define DM_PC_SMBIOS_H

#include <stdint.h>

#define SMBIOS_ANCHOR 0x1fu /* bytes of the entry point */
#define SMBIOS_ANCHOR_FILE "etc/smbios/smbios-anchor"
#define SMBIOS_TABLES_FILE "etc/smbios/smbios-tables"

struct smbios_config {
	const char *name;     /* of the domain */
	const uint8_t *uuid;  /* 16 bytes, in the order of its text */
	const char *maker, *product; /* of the system; NULL: ours */
	uint32_t n_cpus;
	uint64_t low_end;     /* RAM from 0 to here, */
	uint64_t high_size;   /* and so much from 4 GiB */
};

struct smbios {
	uint8_t anchor[SMBIOS_ANCHOR];
	uint8_t *tables;
	uint32_t len, room;
	uint32_t n, largest;
	int failed; /* no memory */
};

/* 0; -ENOMEM; -E2BIG: more than 64 KiB. Freed by smbios_finish. Pure. */
int smbios_build(struct smbios *s, const struct smbios_config *config);
/* The entry point for structures that lie at tables_gpa. Pure. */
void smbios_place(const struct smbios *s, uint32_t tables_gpa, uint8_t anchor[SMBIOS_ANCHOR]);
void smbios_finish(struct smbios *s);

#endif
