/* SPDX-License-Identifier: MIT */
/* ACPI as an operating system finds it: ACPI 6.3, chapter 5. */
#include "pc.h"

#define PM_TIMER_HZ 3579545ull

struct __attribute__((packed)) table {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char rest[26];
};

static bool sums_to_zero(const void *p, uint32_t length)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)p)[i]);
	return sum == 0;
}

static uint32_t field32(const void *table, uint32_t offset)
{
	uint32_t value;

	memcpy(&value, (const uint8_t *)table + offset, 4);
	return value;
}

/* By the XSDT where there is no RSDT: on a board without a chip set. */
static const struct table *table_find(const char *signature)
{
	const struct table *root, *t;
	uint32_t entry = 4;

	if (!pc.rsdp)
		return NULL;
	root = (const void *)(uint64_t)field32((const void *)pc.rsdp, 16);
	if (!root) {
		root = (const void *)(uint64_t)field32((const void *)pc.rsdp, 24);
		entry = 8;
	}
	for (uint32_t at = 36; at + entry <= root->length; at += entry) {
		t = (const void *)(uint64_t)field32(root, at);
		if (memcmp(t->signature, signature, 4) == 0)
			return t;
	}
	return NULL;
}

/* Name _S5_, package of bytes or words of which the first is PM1a's type. */
static void find_s5(const struct table *dsdt)
{
	const uint8_t *b = (const uint8_t *)dsdt;

	for (uint32_t i = 36; i + 12 < dsdt->length; i++) {
		if (memcmp(b + i, "_S5_", 4) != 0 || b[i + 4] != 0x12)
			continue;
		i += 7 + (b[i + 5] >> 6); /* package op, its length, number of elements */
		if (b[i] == 0x0a)
			i++;
		pc.s5_type = b[i] <= 1 || b[i - 1] == 0x0a ? b[i] & 7 : 0;
		return;
	}
}

static void read_fadt(const struct table *fadt)
{
	pc.pm1_control = field32(fadt, 64);
	pc.pm_timer = field32(fadt, 76);
	pc.pm_timer_32 = field32(fadt, 112) & 1u << 8;
	if (fadt->length >= 129 && (field32(fadt, 112) & 1u << 10)) {
		pc.reset_port = field32(fadt, 120);
		pc.reset_value = ((const uint8_t *)fadt)[128];
	}
	find_s5((const void *)(uint64_t)field32(fadt, 40));
}

static void read_madt(const struct table *madt)
{
	const uint8_t *b = (const uint8_t *)madt;

	for (uint32_t at = 44; at + 2 <= madt->length && b[at + 1] >= 2; at += b[at + 1]) {
		if ((b[at] == 0 && b[at + 4] & 1) || (b[at] == 9 && b[at + 8] & 1))
			pc.processors++;
		else if (b[at] == 1)
			pc.ioapic = field32(b, at + 4);
	}
}

void bare_acpi_find(void)
{
	const struct table *t;

	pc.rsdp = probe.start->rsdp_paddr;
	t = table_find("FACP");
	if (t && t->length >= 256)
		pc.sleep_control = (uint16_t)field32(t, 248);
	t = table_find("APIC");
	if (t)
		read_madt(t);
}

void pc_acpi_find(void)
{
	const struct table *t;

	for (uint64_t at = 0xe0000; at < 0x100000 && !pc.rsdp; at += 16)
		if (memcmp((const void *)at, "RSD PTR ", 8) == 0 && sums_to_zero((const void *)at, 20))
			pc.rsdp = at;
	t = table_find("FACP");
	if (t)
		read_fadt(t);
	t = table_find("APIC");
	if (t)
		read_madt(t);
}

static void check_tables(void)
{
	const struct table *rsdt = (const void *)(uint64_t)field32((const void *)pc.rsdp, 16), *t;
	bool good = sums_to_zero(rsdt, rsdt->length);

	for (uint32_t at = 36; at + 4 <= rsdt->length; at += 4) {
		t = (const void *)(uint64_t)field32(rsdt, at);
		good &= sums_to_zero(t, t->length);
	}
	check(good, "ACPI: every table's checksum");
}

/* Over 20 ms, to a tenth. */
static bool pm_timer_runs(void)
{
	uint32_t first = inl((uint16_t)pc.pm_timer), ticks;
	uint64_t start = pc_clock_ns(), ns, expected;

	pc_delay(20 * NS_PER_MS);
	ticks = (inl((uint16_t)pc.pm_timer) - first) & (pc.pm_timer_32 ? ~0u : 0xffffffu);
	ns = pc_clock_ns() - start;
	expected = ns * PM_TIMER_HZ / 1000000000;
	if (ticks > expected * 9 / 10 && ticks < expected * 11 / 10)
		return true;
	print("# %u ticks in %lu ns, expected %lu\n", ticks, ns, expected);
	return false;
}

/* More than once, as the processor may be taken away between two readings. */
static void check_pm_timer(void)
{
	bool runs = false;

	for (unsigned i = 0; i < 5 && !runs; i++)
		runs = pm_timer_runs();
	check(runs, "ACPI: the PM timer runs at 3.58 MHz");
}

void check_pc_acpi(void)
{
	if (!check(pc.rsdp != 0, "ACPI: RSDP in the BIOS area"))
		return;
	check_tables();
	check(pc.processors >= 1, "ACPI: MADT has processors");
	check(pc.ioapic == 0xfec00000, "ACPI: MADT has an I/O APIC");
	check(table_find("FACP") && pc.pm1_control, "ACPI: FADT has PM1a control");
	check(pc.reset_port != 0, "ACPI: FADT has a reset register");
	if (check(pc.pm_timer != 0, "ACPI: FADT has a PM timer"))
		check_pm_timer();
}
