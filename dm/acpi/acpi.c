/* SPDX-License-Identifier: MIT */
#include "dm/acpi/acpi.h"

#include <errno.h>
#include <string.h>

#include "dm/acpi/aml.h"
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
	FADT_SLEEP_CONTROL = 244,
	FADT_SLEEP_STATUS = 256,
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

#define IOAPIC_BYTES 12u
#define DEVICE_NAMES 0x1000u /* D000 to DFFF */

/* ---- the DSDT's body ---- */

static void device_name(char name[4], uint32_t i)
{
	static const char digits[] = "0123456789ABCDEF";

	name[0] = 'D';
	for (int d = 3; d; d--, i /= 16)
		name[d] = digits[i % 16];
}

static void put_device(struct aml *a, const struct acpi_device *d, uint32_t i)
{
	aml_mark device, resources;
	char name[4];

	device_name(name, i);
	device = aml_device(a, name);
	aml_name_string(a, "_HID", d->hid);
	aml_name_integer(a, "_UID", d->uid);
	resources = aml_resources(a, "_CRS");
	if (d->ports)
		aml_ports(a, (uint16_t)d->base, (uint8_t)d->len);
	else
		aml_memory(a, d->base, d->len);
	aml_interrupt(a, d->gsi, d->edge);
	aml_resources_end(a, resources);
	aml_end(a, device);
}

/* A scope \_SB is what a kernel's name space needs to start, be it empty. */
static void put_aml(const struct acpi_config *c, struct aml *a)
{
	aml_mark mark = aml_scope_sb(a);

	for (uint32_t i = 0; i < c->n_devices; i++)
		put_device(a, &c->devices[i], i);
	aml_end(a, mark);
	if (!c->sleep_port)
		return;
	mark = aml_package(a, "_S5_", 4);
	aml_integer(a, ACPI_S5_TYPE);
	for (int i = 1; i < 4; i++)
		aml_integer(a, 0);
	aml_end(a, mark);
}

static size_t aml_bytes(const struct acpi_config *c)
{
	struct aml a = { 0 };

	put_aml(c, &a);
	return a.len;
}

/* ---- where things are ---- */

/* Where the tables are in the block. */
struct layout {
	size_t xsdt, fadt, dsdt, madt, end;
};

static size_t align(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static size_t madt_bytes(const struct acpi_config *c)
{
	return MADT_BYTES + acpi_cpus_bytes(c->apic_id, c->n_cpus) + (c->ioapic ? IOAPIC_BYTES : 0);
}

static struct layout lay_out(const struct acpi_config *c)
{
	struct layout l = { .xsdt = align(ACPI_RSDP) };

	l.fadt = align(l.xsdt + ACPI_HEADER + N_XSDT * 8);
	l.dsdt = align(l.fadt + FADT_BYTES);
	l.madt = align(l.dsdt + ACPI_HEADER + aml_bytes(c));
	l.end = l.madt + madt_bytes(c);
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

/* A generic address: a port of one byte. */
static void put_port(uint8_t *reg, uint32_t port)
{
	reg[0] = SPACE_IO;
	reg[1] = 8; /* bits */
	reg[3] = ACCESS_BYTE;
	acpi_put(reg + 4, port, 8);
}

static void build_fadt(const struct acpi_config *c, uint8_t *t, uint64_t dsdt)
{
	uint32_t flags = FLAG_WBINVD | FLAG_PROC_C1 | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON | FLAG_FIX_RTC | FLAG_HW_REDUCED;

	if (c->reset_port) {
		flags |= FLAG_RESET_REG;
		put_port(t + FADT_RESET_REG, c->reset_port);
		t[FADT_RESET_VALUE] = c->reset_value;
	}
	if (c->sleep_port) {
		put_port(t + FADT_SLEEP_CONTROL, c->sleep_port);
		put_port(t + FADT_SLEEP_STATUS, c->sleep_port + 1u);
	}
	acpi_put(t + FADT_DSDT, dsdt, 4);
	acpi_put(t + FADT_X_DSDT, dsdt, 8);
	t[FADT_PROFILE] = PROFILE_UNSPECIFIED;
	acpi_put(t + FADT_LVL2_LAT, NO_LVL2, 2);
	acpi_put(t + FADT_LVL3_LAT, NO_LVL3, 2);
	acpi_put(t + FADT_IAPC_BOOT_ARCH, BOOT_VGA_NOT_PRESENT | BOOT_CMOS_RTC_NOT_PRESENT, 2);
	acpi_put(t + FADT_FLAGS, flags, 4);
	t[FADT_MINOR] = 4;
	if (c->hypervisor)
		memcpy(t + FADT_HYPERVISOR, c->hypervisor, 8);
	acpi_finish_table(t, "FACP", FADT_BYTES, 6);
}

static void build_dsdt(const struct acpi_config *c, uint8_t *t)
{
	struct aml a = { t + ACPI_HEADER, aml_bytes(c), 0 };

	put_aml(c, &a);
	acpi_finish_table(t, "DSDT", ACPI_HEADER + a.len, 2);
}

/* No PCAT_COMPAT in its flags: there are no 8259s. */
static void build_madt(const struct acpi_config *c, uint8_t *t)
{
	uint8_t *e = t + MADT_BYTES;

	acpi_put(t + ACPI_HEADER, ACPI_LAPIC_ADDR, 4);
	e = acpi_put_cpus(e, c->apic_id, c->n_cpus);
	if (c->ioapic) {
		e[0] = 1;
		e[1] = IOAPIC_BYTES;
		acpi_put(e + 4, c->ioapic, 4);
	}
	acpi_finish_table(t, "APIC", madt_bytes(c), 5);
}

size_t acpi_size(const struct acpi_config *config)
{
	return lay_out(config).end;
}

int acpi_build(const struct acpi_config *config, uint64_t gpa, void *buf, size_t len)
{
	struct layout l = lay_out(config);
	uint8_t *block = buf;

	if (config->n_devices > DEVICE_NAMES || len < l.end || gpa % ALIGN || gpa > UINT32_MAX || l.end > UINT32_MAX - gpa)
		return -EINVAL;
	memset(block, 0, l.end);
	build_rsdp(block, gpa + l.xsdt);
	build_xsdt(block + l.xsdt, gpa + l.fadt, gpa + l.madt);
	build_fadt(config, block + l.fadt, gpa + l.dsdt);
	build_dsdt(config, block + l.dsdt);
	build_madt(config, block + l.madt);
	return 0;
}
