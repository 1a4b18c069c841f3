/* SPDX-License-Identifier: MIT */
/* What tables of every kind of machine have in common: headers, checksums, processors of the MADT. */
#ifndef DM_ACPI_TABLE_H
#define DM_ACPI_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define ACPI_HEADER 36u
#define ACPI_RSDP 36u
#define ACPI_RSDP_V1 20u

/* Little-endian, at any address. */
void acpi_put(uint8_t *p, uint64_t value, unsigned bytes);

/* What makes the sum of all bytes zero, when it is put in the place of a zero. */
uint8_t acpi_checksum(const uint8_t *p, size_t len);

/* The header of a table whose body is written already, its checksum last. */
void acpi_finish_table(uint8_t *t, const char *signature, size_t len, uint8_t revision);

/* The MADT's entries for enabled processors: how many bytes, and writing them; returns the byte after. */
size_t acpi_cpus_bytes(const uint32_t *apic_id, uint32_t n);
uint8_t *acpi_put_cpus(uint8_t *e, const uint32_t *apic_id, uint32_t n);

#endif
