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
 * Devices without a bus, if there are any, stand in the DSDT with their
 * registers and interrupts, and the I/O APIC that these lead to in the MADT.
 *
 * All is little-endian and unaligned, so it is written byte by byte.
 */
#ifndef DM_ACPI_H
#define DM_ACPI_H

#include <stddef.h>
#include <stdint.h>

#define ACPI_LAPIC_ADDR 0xfee00000u

#define ACPI_DEVICE_BYTES 96u /* of the DSDT, at most, that one device takes */

/* A device without a bus. */
struct acpi_device {
	const char *hid; /* hardware id, up to 8 characters */
	uint32_t uid;
	uint32_t base, len; /* of its registers: in memory, or ports */
	uint32_t gsi;
	uint8_t ports; /* 1: base and len are those of ports */
	uint8_t edge;  /* its interrupt is edge triggered; always active high */
};

struct acpi_config {
	const uint32_t *apic_id; /* of each processor, in order */
	uint32_t n_cpus;
	/* Writing reset_value to this port resets the machine; 0: there is no such port. */
	uint16_t reset_port;
	uint8_t reset_value;
	/*
	 * Sleep control register of hardware-reduced ACPI (4.8.3.7), the status register
	 * after it; 0: there is none, and no sleep state. Writing
	 * ACPI_SLEEP_OFF turns the machine off.
	 */
	uint16_t sleep_port;
	uint32_t ioapic; /* address of the one I/O APIC, id 0; 0: there is none */
	const struct acpi_device *devices;
	uint32_t n_devices;
	const char *hypervisor; /* 8 characters, as the FADT tells; NULL: nothing */
};

#define ACPI_S5_TYPE 5u
#define ACPI_SLEEP_ENABLE 0x20u
#define ACPI_SLEEP_OFF (ACPI_S5_TYPE << 2 | ACPI_SLEEP_ENABLE)

/* Bytes that the block takes. Pure. */
size_t acpi_size(const struct acpi_config *config);

/*
 * Writes the block of acpi_size bytes as it is to lie at gpa, below 4 GiB and
 * a multiple of 16. The RSDP comes first. 0, or -EINVAL when len is too small
 * or gpa unfit. Pure.
 */
int acpi_build(const struct acpi_config *config, uint64_t gpa, void *buf, size_t len);

#endif
