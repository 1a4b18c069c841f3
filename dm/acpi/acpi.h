/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables, built as one block that refers to itself by guest physical
 * addresses: RSDP (revision 2), XSDT, FADT (revision 6), MADT, DSDT. There is
 * no RSDT and no FACS: nothing that reads the first needs it, and the second
 * is optional on hardware-reduced ACPI.
 *
 * The machine described is a hardware-reduced one (ACPI 6.4, 4.1): no PM
 * registers, no SCI, no 8259, no PIT, no RTC, no VGA, no keyboard controller.
 * That is what a PVH domain is, said in the way that lets a kernel skip the
 * search for these devices. What Xen's tool stack gives to such a domain is
 * the FADT of a PC with the devices that are missing taken out, PM1 blocks
 * left in at ports where nobody answers.
 *
 * All is little-endian and unaligned, so it is written byte by byte.
 */
#ifndef DM_ACPI_H
#define DM_ACPI_H

#include <stddef.h>
#include <stdint.h>

#define ACPI_LAPIC_ADDR 0xfee00000u

struct acpi_config {
	const uint32_t *apic_id; /* of each processor, in order */
	uint32_t n_cpus;
	/* Writing reset_value to this port resets the machine; 0: there is no such port. */
	uint16_t reset_port;
	uint8_t reset_value;
};

/* Bytes that the block takes. Pure. */
size_t acpi_size(const struct acpi_config *config);

/*
 * Writes the block of acpi_size bytes as it is to lie at gpa, below 4 GiB and
 * a multiple of 16. The RSDP comes first. 0, or -EINVAL when len is too small
 * or gpa unfit. Pure.
 */
int acpi_build(const struct acpi_config *config, uint64_t gpa, void *buf, size_t len);

#endif
