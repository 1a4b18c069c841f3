/* SPDX-License-Identifier: MIT */
#include "dm/acpi/acpi.h"

#include <errno.h>
#include <string.h>

#include "dm/acpi/table.h"

#define ALIGN 16u
#define FADT_BYTES 276u
#define MADT_BYTES 44u /* before its entries */
#define N_XSDT 2u

/* FADT: where its fields are, and what they say. */
enum {
	FADT_DSDT = 40,
	FADT_PROFILE = 45,
	FADT_LVL2_LAT = 96,
	FADT_LVL3_LAT = 98,
	FADT_IAPC_BOOT_ARCH = 109,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_MINOR = 131,
	FADT_X_DSDT = 140,
	FADT_HYPERVISOR = 268,
};

#define NO_LVL2 101u  /* microseconds; over 100: there is no C2 */
#define NO_LVL3 1001u /* and over 1000: no C3 */
#define PROFILE_UNSPECIFIED 0u
#define BOOT_VGA_NOT_PRESENT (1u << 2)
#define BOOT_CMOS_RTC_NOT_PRESENT (1u << 5)
#define FLAG_WBINVD (1u << 0)
#define FLAG_PROC_C1 (1u << 2)
#define FLAG_PWR_BUTTON (1u << 4) /* set: there is no fixed one */
#define FLAG_SLP_BUTTON (1u << 5)
#define FLAG_FIX_RTC (1u << 6)
#define FLAG_RESET_REG (1u << 10)
#define FLAG_HW_REDUCED (1u << 20)
#define SPACE_IO 1u
#define ACCESS_BYTE 1u

/* An empty scope \_SB: what a kernel's name space needs to start. */
static const uint8_t aml[] = { 0x10, 0x06, '\\', '_', 'S', 'B', '_' };

/* Where the tables are in the block. */
struct layout {
	size_t xsdt, fadt, dsdt, madt, end;
};

static size_t align(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static struct layout lay_out(const struct acpi_config *c)
{
	struct layout l = { .xsdt = align(ACPI_RSDP) };

	l.fadt = align(l.xsdt + ACPI_HEADER + N_XSDT * 8);
	l.dsdt = align(l.fadt + FADT_BYTES);
	l.madt = align(l.dsdt + ACPI_HEADER + sizeof(aml));
	l.end = l.madt + MADT_BYTES + acpi_cpus_bytes(c->apic_id, c->n_cpus);
	return l;
}

static void build_rsdp(uint8_t *t, uint64_t xsdt)
{
	memcpy(t, "RSD PTR ", 8);
	memcpy(t + 9, "Gamut ", 6);
	t[15] = 2;
	acpi_put(t + 20, ACPI_RSDP, 4);
	acpi_put(t + 24, xsdt, 8);
	t[8] = acpi_checksum(t, ACPI_RSDP_V1);
	t[32] = acpi_checksum(t, ACPI_RSDP);
}

static void build_xsdt(uint8_t *t, uint64_t fadt, uint64_t madt)
{
	acpi_put(t + ACPI_HEADER, fadt, 8);
	acpi_put(t + ACPI_HEADER + 8, madt, 8);
	acpi_finish_table(t, "XSDT", ACPI_HEADER + N_XSDT * 8, 1);
}

static void build_fadt(const struct acpi_config *c, uint8_t *t, uint64_t dsdt)
{
	uint32_t flags = FLAG_WBINVD | FLAG_PROC_C1 | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON | FLAG_FIX_RTC | FLAG_HW_REDUCED;

	if (c->reset_port) {
		uint8_t *reg = t + FADT_RESET_REG;

		flags |= FLAG_RESET_REG;
		reg[0] = SPACE_IO;
		reg[1] = 8; /* bits */
		reg[3] = ACCESS_BYTE;
		acpi_put(reg + 4, c->reset_port, 8);
		t[FADT_RESET_VALUE] = c->reset_value;
	}
	acpi_put(t + FADT_DSDT, dsdt, 4);
	acpi_put(t + FADT_X_DSDT, dsdt, 8);
	t[FADT_PROFILE] = PROFILE_UNSPECIFIED;
	acpi_put(t + FADT_LVL2_LAT, NO_LVL2, 2);
	acpi_put(t + FADT_LVL3_LAT, NO_LVL3, 2);
	acpi_put(t + FADT_IAPC_BOOT_ARCH, BOOT_VGA_NOT_PRESENT | BOOT_CMOS_RTC_NOT_PRESENT, 2);
	acpi_put(t + FADT_FLAGS, flags, 4);
	t[FADT_MINOR] = 4;
	memcpy(t + FADT_HYPERVISOR, "XenVMM\0", 8);
	acpi_finish_table(t, "FACP", FADT_BYTES, 6);
}

static void build_dsdt(uint8_t *t)
{
	memcpy(t + ACPI_HEADER, aml, sizeof(aml));
	acpi_finish_table(t, "DSDT", ACPI_HEADER + sizeof(aml), 2);
}

/* No PCAT_COMPAT in its flags: there are no 8259s. */
static void build_madt(const struct acpi_config *c, uint8_t *t)
{
	uint8_t *e = t + MADT_BYTES;

	acpi_put(t + ACPI_HEADER, ACPI_LAPIC_ADDR, 4);
	acpi_put_cpus(e, c->apic_id, c->n_cpus);
	acpi_finish_table(t, "APIC", MADT_BYTES + acpi_cpus_bytes(c->apic_id, c->n_cpus), 5);
}

size_t acpi_size(const struct acpi_config *config)
{
	return lay_out(config).end;
}

int acpi_build(const struct acpi_config *config, uint64_t gpa, void *buf, size_t len)
{
	struct layout l = lay_out(config);
	uint8_t *block = buf;

	if (len < l.end || gpa % ALIGN || gpa > UINT32_MAX || l.end > UINT32_MAX - gpa)
		return -EINVAL;
	memset(block, 0, l.end);
	build_rsdp(block, gpa + l.xsdt);
	build_xsdt(block + l.xsdt, gpa + l.fadt, gpa + l.madt);
	build_fadt(config, block + l.fadt, gpa + l.dsdt);
	build_dsdt(block + l.dsdt);
	build_madt(config, block + l.madt);
	return 0;
}
