/* SPDX-License-Identifier: MIT */
/* The PC's tables as a kernel walks them, placed by us and by the script as firmware follows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/acpi/acpi-pc.h"

#define BASE 0x1fff0000u
#define CPUS 3u

static uint32_t ids[300];
static struct acpi_pc a;
static uint8_t rsdp[ACPI_RSDP], *tables;

static struct acpi_pc_config config(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		ids[i] = i;
	return (struct acpi_pc_config){
		.apic_id = ids, .n_cpus = n, .ioapic_address = 0xfec00000, .pm_base = 0x600, .smi_port = 0xb2,
		.smi_enable = 0xf1, .smi_disable = 0xf0, .sci = 9, .reset_port = 0xcf9, .reset_value = 6,
	};
}

static void build(uint32_t n, uint32_t hpet)
{
	struct acpi_pc_config c = config(n);

	c.hpet_address = hpet;
	assert_int_equal(acpi_pc_build(&a, &c), 0);
	tables = malloc(a.len);
	assert_non_null(tables);
	acpi_pc_place(&a, BASE, tables, rsdp);
}

static int teardown(void **state)
{
	(void)state;
	free(tables);
	tables = NULL;
	acpi_pc_finish(&a);
	return 0;
}

static uint64_t get(const uint8_t *p, uint32_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, p, bytes);
	return value;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s;
}

static uint8_t *at(uint64_t gpa)
{
	assert_true(gpa >= BASE && gpa < BASE + a.len);
	return tables + (gpa - BASE);
}

/* A table by way of RSDT or XSDT; both lead to the same. */
static uint8_t *find(const char *signature)
{
	uint8_t *xsdt = at(get(rsdp + 24, 8)), *rsdt = at(get(rsdp + 16, 4)), *found = NULL;
	uint64_t n = (get(xsdt + 4, 4) - 36) / 8;

	assert_memory_equal(xsdt, "XSDT", 4);
	assert_memory_equal(rsdt, "RSDT", 4);
	assert_int_equal((get(rsdt + 4, 4) - 36) / 4, n);
	assert_int_equal(sum(xsdt, get(xsdt + 4, 4)), 0);
	assert_int_equal(sum(rsdt, get(rsdt + 4, 4)), 0);
	for (uint64_t i = 0; i < n; i++) {
		uint8_t *t = at(get(xsdt + 36 + 8 * i, 8));

		assert_ptr_equal(t, at(get(rsdt + 36 + 4 * i, 4)));
		assert_int_equal(sum(t, get(t + 4, 4)), 0);
		if (!memcmp(t, signature, 4))
			found = t;
	}
	return found;
}

static void check_tables(void)
{
	uint8_t *fadt, *facs, *dsdt;

	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	fadt = find("FACP");
	assert_non_null(fadt);
	facs = at(get(fadt + 36, 4));
	dsdt = at(get(fadt + 40, 4));
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal((BASE + (uint64_t)(facs - tables)) % 64, 0);
	assert_ptr_equal(dsdt, at(get(fadt + 140, 8)));
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_int_equal(sum(dsdt, get(dsdt + 4, 4)), 0);
	assert_int_equal(get(fadt + 76, 4), 0x608);
	assert_int_equal(get(fadt + 116 + 4, 8), 0xcf9);
	assert_int_equal(fadt[128], 6);
	assert_int_equal(get(fadt + 112, 4) >> 20 & 1, 0); /* not hardware-reduced */
}

static void test_walk(void **state)
{
	(void)state;
	build(CPUS, 0);
	check_tables();
	assert_null(find("HPET"));
}

static void test_hpet(void **state)
{
	uint8_t *t;

	(void)state;
	build(1, 0xfed00000);
	t = find("HPET");
	assert_non_null(t);
	assert_int_equal(get(t + 44, 8), 0xfed00000);
}

/* The MADT's entries by type. */
static void test_madt(void **state)
{
	uint32_t count[256] = { 0 }, level = 0;
	uint8_t *t, *e;

	(void)state;
	build(300, 0);
	t = find("APIC");
	assert_int_equal(get(t + 40, 4), 1);
	for (e = t + 44; e < t + get(t + 4, 4); e += e[1]) {
		assert_true(e[1] >= 6);
		count[e[0]]++;
		if (e[0] == 2 && e[3])
			level |= 1u << e[3];
		if (e[0] == 2 && !e[3])
			assert_int_equal(get(e + 4, 4), 2);
		if (e[0] == 1)
			assert_int_equal(get(e + 4, 4), 0xfec00000);
	}
	assert_ptr_equal(e, t + get(t + 4, 4));
	assert_int_equal(count[0] + count[9], 300);
	assert_int_equal(count[0], 255);
	assert_int_equal(count[1], 1);
	assert_int_equal(count[2], 5);
	assert_int_equal(count[4], 1);
	assert_int_equal(level, 1u << 5 | 1u << 9 | 1u << 10 | 1u << 11);
}

/* As firmware does: files are memory, commands are followed one by one. */
static void test_loader(void **state)
{
	uint8_t *script, *c;
	uint32_t len;

	(void)state;
	build(CPUS, 0);
	assert_int_equal(acpi_pc_loader(&a, (void **)&script, &len), 0);
	memcpy(tables, a.tables, a.len);
	memcpy(rsdp, a.rsdp, sizeof(rsdp));
	assert_int_equal(len % 128, 0);
	for (c = script; c < script + len; c += 128) {
		bool is_rsdp = !strcmp((char *)c + 4, ACPI_PC_RSDP_FILE);
		uint8_t *file = is_rsdp ? rsdp : tables;

		if (get(c, 4) == 1) {
			assert_int_equal(c[64], is_rsdp ? 2 : 1);
		} else if (get(c, 4) == 2) {
			uint32_t offset = (uint32_t)get(c + 116, 4), bytes = c[120];

			assert_string_equal((char *)c + 60, ACPI_PC_TABLES_FILE);
			acpi_put(file + offset, get(file + offset, bytes) + BASE, bytes);
		} else {
			uint32_t offset = (uint32_t)get(c + 60, 4), start = (uint32_t)get(c + 64, 4);

			assert_int_equal(get(c, 4), 3);
			assert_int_equal(file[offset], 0);
			file[offset] = (uint8_t)-sum(file + start, get(c + 68, 4));
		}
	}
	free(script);
	check_tables();
}

/* The disassembler reads what the compiler wrote, and what we did around it. */
static void test_iasl(void **state)
{
	static const char *const names[] = { "FACP", "APIC", "DSDT" };
	char folder[] = "/tmp/gamut-acpi-XXXXXX", command[256], path[64];

	(void)state;
	build(CPUS, 0);
	assert_non_null(mkdtemp(folder));
	for (size_t i = 0; i < 3; i++) {
		uint8_t *t = i == 2 ? at(get(find("FACP") + 40, 4)) : find(names[i]);
		FILE *out;

		snprintf(path, sizeof(path), "%s/%s.dat", folder, names[i]);
		out = fopen(path, "wb");
		assert_non_null(out);
		assert_int_equal(fwrite(t, 1, get(t + 4, 4), out), get(t + 4, 4));
		assert_int_equal(fclose(out), 0);
		snprintf(command, sizeof(command), "cd %s && iasl -d %s.dat > log 2>&1 && ! grep -iE 'error|invalid|warning' log",
		         folder, names[i]);
		assert_int_equal(system(command), 0);
	}
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

#define T(name) cmocka_unit_test_teardown(test_##name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(walk), T(hpet), T(madt), T(loader), T(iasl) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
