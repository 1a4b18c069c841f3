/* SPDX-License-Identifier: MIT */
#include "dm/acpi/acpi.h"

#include <errno.h>
#include <string.h>

#define ALIGN 16u
#define HEADER_BYTES 36u
#define RSDP_BYTES 36u
#define RSDP_V1_BYTES 20u
#define FADT_BYTES 276u
#define MADT_BYTES 44u /* before its entries */
#define LAPIC_BYTES 8u
#define X2APIC_BYTES 16u
#define LAPIC_ID_MAX 254u /* 255 is the broadcast */
#define CPU_ENABLED 1u
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

/* An identifier of more than 8 bits, or a processor whose number has more, has another kind of entry. */
static int needs_x2apic(const struct acpi_config *c, uint32_t cpu)
{
	return c->apic_id[cpu] > LAPIC_ID_MAX || cpu > LAPIC_ID_MAX;
}

static size_t madt_bytes(const struct acpi_config *c)
{
	size_t n = MADT_BYTES;

	for (uint32_t i = 0; i < c->n_cpus; i++)
		n += needs_x2apic(c, i) ? X2APIC_BYTES : LAPIC_BYTES;
	return n;
}

static struct layout lay_out(const struct acpi_config *c)
{
	struct layout l = { .xsdt = align(RSDP_BYTES) };

	l.fadt = align(l.xsdt + HEADER_BYTES + N_XSDT * 8);
	l.dsdt = align(l.fadt + FADT_BYTES);
	l.madt = align(l.dsdt + HEADER_BYTES + sizeof(aml));
	l.end = l.madt + madt_bytes(c);
	return l;
}

static void put(uint8_t *p, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

/* What makes the sum of all bytes zero. */
static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

/* The header of a table whose body is written already. */
static void finish_table(uint8_t *t, const char *signature, size_t len, uint8_t revision)
{
	memcpy(t, signature, 4);
	put(t + 4, len, 4);
	t[8] = revision;
	memcpy(t + 10, "Gamut ", 6);
	memcpy(t + 16, "GAMUTDOM", 8);
	put(t + 24, 1, 4);
	memcpy(t + 28, "GAMU", 4);
	put(t + 32, 1, 4);
	t[9] = checksum(t, len);
}

static void build_rsdp(uint8_t *t, uint64_t xsdt)
{
	memcpy(t, "RSD PTR ", 8);
	memcpy(t + 9, "Gamut ", 6);
	t[15] = 2;
	put(t + 20, RSDP_BYTES, 4);
	put(t + 24, xsdt, 8);
	t[8] = checksum(t, RSDP_V1_BYTES);
	t[32] = checksum(t, RSDP_BYTES);
}

static void build_xsdt(uint8_t *t, uint64_t fadt, uint64_t madt)
{
	put(t + HEADER_BYTES, fadt, 8);
	put(t + HEADER_BYTES + 8, madt, 8);
	finish_table(t, "XSDT", HEADER_BYTES + N_XSDT * 8, 1);
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
		put(reg + 4, c->reset_port, 8);
		t[FADT_RESET_VALUE] = c->reset_value;
	}
	put(t + FADT_DSDT, dsdt, 4);
	put(t + FADT_X_DSDT, dsdt, 8);
	t[FADT_PROFILE] = PROFILE_UNSPECIFIED;
	put(t + FADT_LVL2_LAT, NO_LVL2, 2);
	put(t + FADT_LVL3_LAT, NO_LVL3, 2);
	put(t + FADT_IAPC_BOOT_ARCH, BOOT_VGA_NOT_PRESENT | BOOT_CMOS_RTC_NOT_PRESENT, 2);
	put(t + FADT_FLAGS, flags, 4);
	t[FADT_MINOR] = 4;
	memcpy(t + FADT_HYPERVISOR, "XenVMM\0", 8);
	finish_table(t, "FACP", FADT_BYTES, 6);
}

static void build_dsdt(uint8_t *t)
{
	memcpy(t + HEADER_BYTES, aml, sizeof(aml));
	finish_table(t, "DSDT", HEADER_BYTES + sizeof(aml), 2);
}

static uint8_t *put_cpu(const struct acpi_config *c, uint8_t *e, uint32_t cpu)
{
	if (!needs_x2apic(c, cpu)) {
		e[0] = 0;
		e[1] = LAPIC_BYTES;
		e[2] = (uint8_t)cpu;
		e[3] = (uint8_t)c->apic_id[cpu];
		put(e + 4, CPU_ENABLED, 4);
		return e + LAPIC_BYTES;
	}
	e[0] = 9;
	e[1] = X2APIC_BYTES;
	put(e + 4, c->apic_id[cpu], 4);
	put(e + 8, CPU_ENABLED, 4);
	put(e + 12, cpu, 4);
	return e + X2APIC_BYTES;
}

/* No PCAT_COMPAT in its flags: there are no 8259s. */
static void build_madt(const struct acpi_config *c, uint8_t *t)
{
	uint8_t *e = t + MADT_BYTES;

	put(t + HEADER_BYTES, ACPI_LAPIC_ADDR, 4);
	for (uint32_t i = 0; i < c->n_cpus; i++)
		e = put_cpu(c, e, i);
	finish_table(t, "APIC", madt_bytes(c), 5);
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
