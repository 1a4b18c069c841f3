/* SPDX-License-Identifier: MIT */
#include "dm/acpi/acpi-pc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 64u /* the FACS's; enough for all */
#define FACS_BYTES 64u
#define FADT_BYTES 244u
#define MADT_FIXED 44u
#define IOAPIC_BYTES 12u
#define OVERRIDE_BYTES 10u
#define NMI_BYTES 6u
#define HPET_BYTES 56u
#define LAPIC_ADDRESS 0xfee00000u

/* dsdt-pc.asl, compiled. */
extern const uint8_t dsdt_pc_aml[], dsdt_pc_aml_end[];

/* FADT: offsets (ACPI 2.0, table 5-5). */
enum {
	FADT_FACS = 36, FADT_DSDT = 40, FADT_SCI = 46, FADT_SMI = 48, FADT_ENABLE = 52, FADT_DISABLE = 53,
	FADT_PM1_EVENT = 56, FADT_PM1_CONTROL = 64, FADT_TIMER = 76, FADT_GPE0 = 80,
	FADT_PM1_EVENT_LEN = 88, FADT_PM1_CONTROL_LEN = 89, FADT_TIMER_LEN = 91, FADT_GPE0_LEN = 92,
	FADT_LVL2 = 96, FADT_LVL3 = 98, FADT_CENTURY = 108, FADT_BOOT_ARCH = 109, FADT_FLAGS = 112,
	FADT_RESET = 116, FADT_RESET_VALUE = 128, FADT_X_FACS = 132, FADT_X_DSDT = 140,
	FADT_X_PM1_EVENT = 148, FADT_X_PM1_CONTROL = 172, FADT_X_TIMER = 208, FADT_X_GPE0 = 220,
};

#define NO_LVL2 101u  /* microseconds; over 100: there is no C2 */
#define NO_LVL3 1001u /* and over 1000: no C3 */
#define CMOS_CENTURY 0x32u
#define BOOT_LEGACY 1u
#define BOOT_8042 2u
#define FLAG_WBINVD (1u << 0)
#define FLAG_PROC_C1 (1u << 2)
#define FLAG_SLP_BUTTON (1u << 5) /* set: there is no fixed one */
#define FLAG_FIX_RTC (1u << 6)    /* set: the RTC does not wake by fixed hardware */
#define FLAG_RESET (1u << 10)
#define PM_EVENT_LEN 4u
#define PM_CONTROL_LEN 2u
#define PM_TIMER_LEN 4u
#define PM_GPE_LEN 4u

#define PCAT_COMPAT 1u
#define ISO_LEVEL_HIGH 0x000du

struct build {
	const struct acpi_pc_config *c;
	struct acpi_pc *a;
	uint32_t facs, dsdt, fadt, madt, hpet, rsdt, xsdt;
};

/* ---- places ---- */

static uint32_t reserve(struct acpi_pc *a, uint32_t bytes)
{
	uint32_t at = (a->len + ALIGN - 1) & ~(ALIGN - 1);

	a->len = at + bytes;
	return at;
}

static uint32_t dsdt_bytes(void)
{
	return (uint32_t)(dsdt_pc_aml_end - dsdt_pc_aml);
}

/* Lines that a PCI input can be on, and the SCI's: level, and not inverted. */
static uint32_t level_lines(const struct acpi_pc_config *c)
{
	return 1u << 5 | 1u << 10 | 1u << 11 | 1u << c->sci;
}

static uint32_t madt_bytes(const struct acpi_pc_config *c)
{
	uint32_t overrides = 1 + (uint32_t)__builtin_popcount(level_lines(c));

	return MADT_FIXED + (uint32_t)acpi_cpus_bytes(c->apic_id, c->n_cpus) + IOAPIC_BYTES +
	       overrides * OVERRIDE_BYTES + NMI_BYTES;
}

static uint32_t n_listed(const struct build *b)
{
	return b->c->hpet_address ? 3 : 2;
}

static void lay_out(struct build *b)
{
	b->facs = reserve(b->a, FACS_BYTES);
	b->dsdt = reserve(b->a, dsdt_bytes());
	b->fadt = reserve(b->a, FADT_BYTES);
	b->madt = reserve(b->a, madt_bytes(b->c));
	b->hpet = b->c->hpet_address ? reserve(b->a, HPET_BYTES) : 0;
	b->rsdt = reserve(b->a, ACPI_HEADER + n_listed(b) * 4);
	b->xsdt = reserve(b->a, ACPI_HEADER + n_listed(b) * 8);
}

/* ---- tables ---- */

static void pointer(struct build *b, uint32_t at, uint32_t bytes, uint32_t to)
{
	struct acpi_pc *a = b->a;

	acpi_put(a->tables + at, to, bytes);
	a->pointer[a->n_pointers].at = at;
	a->pointer[a->n_pointers++].bytes = bytes;
}

static void finish(struct build *b, uint32_t at, const char *signature, uint32_t len, uint8_t revision)
{
	struct acpi_pc *a = b->a;

	acpi_finish_table(a->tables + at, signature, len, revision);
	a->tables[at + 9] = 0; /* summed up when it has its place */
	a->table[a->n_tables].at = at;
	a->table[a->n_tables++].len = len;
}

static void build_facs(struct build *b)
{
	uint8_t *t = b->a->tables + b->facs;

	memcpy(t, "FACS", 4);
	acpi_put(t + 4, FACS_BYTES, 4);
	t[32] = 1; /* version */
}

/* A generic address: a block of ports. */
static void put_ports(uint8_t *t, uint32_t port, uint32_t bytes)
{
	t[0] = 1;
	t[1] = (uint8_t)(8 * bytes);
	acpi_put(t + 4, port, 8);
}

static void fadt_blocks(const struct acpi_pc_config *c, uint8_t *t)
{
	const struct {
		uint32_t at, x_at, len_at, offset, len;
	} blocks[] = {
		{ FADT_PM1_EVENT, FADT_X_PM1_EVENT, FADT_PM1_EVENT_LEN, 0, PM_EVENT_LEN },
		{ FADT_PM1_CONTROL, FADT_X_PM1_CONTROL, FADT_PM1_CONTROL_LEN, 4, PM_CONTROL_LEN },
		{ FADT_TIMER, FADT_X_TIMER, FADT_TIMER_LEN, 8, PM_TIMER_LEN },
		{ FADT_GPE0, FADT_X_GPE0, FADT_GPE0_LEN, 12, PM_GPE_LEN },
	};

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		acpi_put(t + blocks[i].at, c->pm_base + blocks[i].offset, 4);
		put_ports(t + blocks[i].x_at, c->pm_base + blocks[i].offset, blocks[i].len);
		t[blocks[i].len_at] = (uint8_t)blocks[i].len;
	}
}

static void build_fadt(struct build *b)
{
	const struct acpi_pc_config *c = b->c;
	uint8_t *t = b->a->tables + b->fadt;

	fadt_blocks(c, t);
	acpi_put(t + FADT_SCI, c->sci, 2);
	acpi_put(t + FADT_SMI, c->smi_port, 4);
	t[FADT_ENABLE] = c->smi_enable;
	t[FADT_DISABLE] = c->smi_disable;
	acpi_put(t + FADT_LVL2, NO_LVL2, 2);
	acpi_put(t + FADT_LVL3, NO_LVL3, 2);
	t[FADT_CENTURY] = CMOS_CENTURY;
	acpi_put(t + FADT_BOOT_ARCH, BOOT_LEGACY | BOOT_8042, 2);
	acpi_put(t + FADT_FLAGS, FLAG_WBINVD | FLAG_PROC_C1 | FLAG_SLP_BUTTON | FLAG_FIX_RTC | FLAG_RESET, 4);
	put_ports(t + FADT_RESET, c->reset_port, 1);
	t[FADT_RESET_VALUE] = c->reset_value;
	pointer(b, b->fadt + FADT_FACS, 4, b->facs);
	pointer(b, b->fadt + FADT_DSDT, 4, b->dsdt);
	pointer(b, b->fadt + FADT_X_DSDT, 8, b->dsdt);
	finish(b, b->fadt, "FACP", FADT_BYTES, 3);
}

static uint8_t *put_override(uint8_t *e, uint32_t irq, uint32_t gsi, uint32_t flags)
{
	e[0] = 2;
	e[1] = OVERRIDE_BYTES;
	e[3] = (uint8_t)irq;
	acpi_put(e + 4, gsi, 4);
	acpi_put(e + 8, flags, 2);
	return e + OVERRIDE_BYTES;
}

static void build_madt(struct build *b)
{
	const struct acpi_pc_config *c = b->c;
	uint8_t *t = b->a->tables + b->madt, *e;

	acpi_put(t + 36, LAPIC_ADDRESS, 4);
	acpi_put(t + 40, PCAT_COMPAT, 4);
	e = acpi_put_cpus(t + MADT_FIXED, c->apic_id, c->n_cpus);
	e[0] = 1;
	e[1] = IOAPIC_BYTES;
	e[2] = (uint8_t)c->ioapic_id;
	acpi_put(e + 4, c->ioapic_address, 4);
	e = put_override(e + IOAPIC_BYTES, 0, 2, 0);
	for (uint32_t left = level_lines(c); left; left &= left - 1)
		e = put_override(e, (uint32_t)__builtin_ctz(left), (uint32_t)__builtin_ctz(left), ISO_LEVEL_HIGH);
	e[0] = 4; /* NMI at LINT1 of all processors */
	e[1] = NMI_BYTES;
	e[2] = 0xff;
	e[5] = 1;
	finish(b, b->madt, "APIC", madt_bytes(c), 3);
}

static void build_hpet(struct build *b)
{
	uint8_t *t = b->a->tables + b->hpet;

	if (!b->hpet)
		return;
	acpi_put(t + 36, b->c->hpet_id, 4);
	t[41] = 64;
	acpi_put(t + 44, b->c->hpet_address, 8);
	acpi_put(t + 53, 100, 2); /* least ticks that are not lost */
	finish(b, b->hpet, "HPET", HPET_BYTES, 1);
}

static void build_lists(struct build *b)
{
	const uint32_t listed[] = { b->fadt, b->madt, b->hpet };

	for (uint32_t i = 0; i < n_listed(b); i++) {
		pointer(b, b->rsdt + ACPI_HEADER + 4 * i, 4, listed[i]);
		pointer(b, b->xsdt + ACPI_HEADER + 8 * i, 8, listed[i]);
	}
	finish(b, b->rsdt, "RSDT", ACPI_HEADER + n_listed(b) * 4, 1);
	finish(b, b->xsdt, "XSDT", ACPI_HEADER + n_listed(b) * 8, 1);
}

static void build_rsdp(struct build *b)
{
	uint8_t *t = b->a->rsdp;

	memcpy(t, "RSD PTR ", 8);
	memcpy(t + 9, "Gamut ", 6);
	t[15] = 2;
	acpi_put(t + 16, b->rsdt, 4);
	acpi_put(t + 20, ACPI_RSDP, 4);
	acpi_put(t + 24, b->xsdt, 8);
}

int acpi_pc_build(struct acpi_pc *a, const struct acpi_pc_config *config)
{
	struct build b = { .c = config, .a = a };

	memset(a, 0, sizeof(*a));
	lay_out(&b);
	a->tables = calloc(1, a->len);
	if (!a->tables)
		return -ENOMEM;
	build_facs(&b);
	memcpy(a->tables + b.dsdt, dsdt_pc_aml, dsdt_bytes());
	build_fadt(&b);
	build_madt(&b);
	build_hpet(&b);
	build_lists(&b);
	build_rsdp(&b);
	return 0;
}

void acpi_pc_finish(struct acpi_pc *a)
{
	free(a->tables);
	a->tables = NULL;
}

/* ---- placing ---- */

static uint64_t get(const uint8_t *p, uint32_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, p, bytes);
	return value;
}

static void move(uint8_t *p, uint32_t bytes, uint32_t by)
{
	acpi_put(p, get(p, bytes) + by, bytes);
}

static void sum_rsdp(uint8_t *t)
{
	t[8] = t[32] = 0;
	t[8] = acpi_checksum(t, ACPI_RSDP_V1);
	t[32] = acpi_checksum(t, ACPI_RSDP);
}

void acpi_pc_place(const struct acpi_pc *a, uint32_t tables_gpa, uint8_t *buf, uint8_t rsdp[ACPI_RSDP])
{
	memcpy(buf, a->tables, a->len);
	for (uint32_t i = 0; i < a->n_pointers; i++)
		move(buf + a->pointer[i].at, a->pointer[i].bytes, tables_gpa);
	for (uint32_t i = 0; i < a->n_tables; i++) {
		uint8_t *t = buf + a->table[i].at;

		t[9] = 0;
		t[9] = acpi_checksum(t, a->table[i].len);
	}
	memcpy(rsdp, a->rsdp, ACPI_RSDP);
	move(rsdp + 16, 4, tables_gpa);
	move(rsdp + 24, 8, tables_gpa);
	sum_rsdp(rsdp);
}

/* ---- the script: QEMU's linker and loader, 128 bytes a command ---- */

#define COMMAND 128u
#define NAME 56u
enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

static uint8_t *allocate(uint8_t *c, const char *file, uint32_t align, uint8_t zone)
{
	acpi_put(c, ALLOCATE, 4);
	strncpy((char *)c + 4, file, NAME - 1);
	acpi_put(c + 4 + NAME, align, 4);
	c[8 + NAME] = zone;
	return c + COMMAND;
}

static uint8_t *add_pointer(uint8_t *c, const char *file, uint32_t at, uint32_t bytes)
{
	acpi_put(c, ADD_POINTER, 4);
	strncpy((char *)c + 4, file, NAME - 1);
	strncpy((char *)c + 4 + NAME, ACPI_PC_TABLES_FILE, NAME - 1);
	acpi_put(c + 4 + 2 * NAME, at, 4);
	c[8 + 2 * NAME] = (uint8_t)bytes;
	return c + COMMAND;
}

/* Firmware sums up with the byte as it is, which is 0. */
static uint8_t *add_checksum(uint8_t *c, const char *file, uint32_t at, uint32_t start, uint32_t len)
{
	acpi_put(c, ADD_CHECKSUM, 4);
	strncpy((char *)c + 4, file, NAME - 1);
	acpi_put(c + 4 + NAME, at, 4);
	acpi_put(c + 8 + NAME, start, 4);
	acpi_put(c + 12 + NAME, len, 4);
	return c + COMMAND;
}

int acpi_pc_loader(const struct acpi_pc *a, void **script, uint32_t *len)
{
	uint32_t n = 2 + a->n_pointers + 2 + a->n_tables + 2;
	uint8_t *block = calloc(n, COMMAND), *c = block;

	if (!block)
		return -ENOMEM;
	c = allocate(c, ACPI_PC_TABLES_FILE, ALIGN, ZONE_HIGH);
	c = allocate(c, ACPI_PC_RSDP_FILE, 16, ZONE_FSEG);
	for (uint32_t i = 0; i < a->n_pointers; i++)
		c = add_pointer(c, ACPI_PC_TABLES_FILE, a->pointer[i].at, a->pointer[i].bytes);
	c = add_pointer(c, ACPI_PC_RSDP_FILE, 16, 4);
	c = add_pointer(c, ACPI_PC_RSDP_FILE, 24, 8);
	for (uint32_t i = 0; i < a->n_tables; i++)
		c = add_checksum(c, ACPI_PC_TABLES_FILE, a->table[i].at + 9, a->table[i].at, a->table[i].len);
	c = add_checksum(c, ACPI_PC_RSDP_FILE, 8, 0, ACPI_RSDP_V1);
	add_checksum(c, ACPI_PC_RSDP_FILE, 32, 0, ACPI_RSDP);
	*script = block;
	*len = n * COMMAND;
	return 0;
}
