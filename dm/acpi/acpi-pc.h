/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables of an emulated PC: RSDP (revision 2), RSDT and XSDT, FADT
 * (revision 3), FACS, MADT, HPET if there is one, DSDT (dsdt-pc.asl).
 *
 * They are built without a place: pointers hold offsets from the start of the
 * tables, and the lists say where pointers and tables are. Whoever places them
 * adds the address and sums up: the platform itself (acpi_pc_place), or
 * firmware by the script of etc/table-loader (acpi_pc_loader).
 */
#ifndef DM_ACPI_PC_H
#define DM_ACPI_PC_H

#include <stddef.h>
#include <stdint.h>

#include "dm/acpi/table.h"

#define ACPI_PC_POINTERS 16u
#define ACPI_PC_TABLES 8u

struct acpi_pc_config {
	const uint32_t *apic_id; /* of each processor, in order */
	uint32_t n_cpus;
	uint32_t ioapic_address, ioapic_id;
	uint32_t hpet_address;   /* 0: none */
	uint32_t hpet_id;        /* the low half of its capabilities */
	uint16_t pm_base;        /* ports of PIIX4 power management */
	uint16_t smi_port;
	uint8_t smi_enable, smi_disable;
	uint8_t sci;
	uint16_t reset_port;
	uint8_t reset_value;
};

struct acpi_pc {
	uint8_t *tables;
	uint32_t len;
	uint8_t rsdp[ACPI_RSDP];
	struct {
		uint32_t at, bytes;
	} pointer[ACPI_PC_POINTERS]; /* in the tables; those of the RSDP are known */
	struct {
		uint32_t at, len;
	} table[ACPI_PC_TABLES]; /* those that have a checksum and a pointer in them */
	uint32_t n_pointers, n_tables;
};

/* 0 or -ENOMEM. Freed by acpi_pc_finish. Pure. */
int acpi_pc_build(struct acpi_pc *a, const struct acpi_pc_config *config);
void acpi_pc_finish(struct acpi_pc *a);

/*
 * Copies of RSDP and tables, as they are to lie at those guest physical
 * addresses below 4 GiB; tables at a multiple of 64. buf has room for a->len.
 * Pure.
 */
void acpi_pc_place(const struct acpi_pc *a, uint32_t tables_gpa, uint8_t *buf, uint8_t rsdp[ACPI_RSDP]);

#define ACPI_PC_RSDP_FILE "etc/acpi/rsdp"
#define ACPI_PC_TABLES_FILE "etc/acpi/tables"
#define ACPI_PC_LOADER_FILE "etc/table-loader"

/* The script for firmware that places them; *script is the caller's to free. 0 or -ENOMEM. Pure. */
int acpi_pc_loader(const struct acpi_pc *a, void **script, uint32_t *len);

#endif
