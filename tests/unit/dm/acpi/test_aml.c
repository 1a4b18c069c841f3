/* SPDX-License-Identifier: MIT */
/* What is written at run time against what iasl makes of the same, in its own language. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/acpi/acpi.h"
#include "dm/acpi/aml.h"
#include "dm/acpi/table.h"

/* The body of the table that iasl makes of a text; *len without the header. */
static uint8_t *compile(const char *asl, size_t *len)
{
	char folder[] = "/tmp/amlXXXXXX", command[512], path[64];
	static uint8_t table[65536];
	FILE *f;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/t.asl", folder);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "DefinitionBlock (\"\", \"DSDT\", 2, \"GAMUT \", \"GAMUTDOM\", 1)\n{\n%s\n}\n", asl);
	fclose(f);
	snprintf(command, sizeof(command), "cd %s && iasl -on -vr -vs -p t t.asl >log 2>&1 || (cat log; false)", folder);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/t.aml", folder);
	f = fopen(path, "r");
	assert_non_null(f);
	*len = fread(table, 1, sizeof(table), f);
	fclose(f);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	assert_true(*len >= ACPI_HEADER);
	*len -= ACPI_HEADER;
	return table + ACPI_HEADER;
}

static void same(const struct aml *a, const char *asl)
{
	size_t len;
	const uint8_t *want = compile(asl, &len);

	assert_int_equal(a->len, len);
	assert_memory_equal(a->buf, want, len);
}

static void integers_and_packages(void **state)
{
	static const uint32_t values[] = { 0, 1, 2, 255, 256, 65535, 65536, UINT32_MAX };
	uint8_t buf[256];
	struct aml a = { buf, sizeof(buf), 0 };
	aml_mark mark;

	(void)state;
	mark = aml_package(&a, "ABCD", 8);
	for (int i = 0; i < 8; i++)
		aml_integer(&a, values[i]);
	aml_end(&a, mark);
	aml_name_string(&a, "TEXT", "some text");
	same(&a, "Name (ABCD, Package (8) { 0, 1, 2, 255, 256, 65535, 65536, 0xffffffff })\n"
	         "Name (TEXT, \"some text\")");
}

static void device(struct aml *a, const char *name, uint32_t i)
{
	aml_mark d = aml_device(a, name), r;

	aml_name_string(a, "_HID", "LNRO0005");
	aml_name_integer(a, "_UID", i);
	r = aml_resources(a, "_CRS");
	aml_memory(a, 0xfd000000u + i * 4096, 4096);
	aml_interrupt(a, 16 + i, 0);
	aml_resources_end(a, r);
	aml_end(a, d);
}

#define DEVICE(name, uid, base, gsi)                                                                                   \
	"Device (" name ") { Name (_HID, \"LNRO0005\") Name (_UID, " uid ") Name (_CRS, ResourceTemplate () {"        \
	" Memory32Fixed (ReadWrite, " base ", 0x1000)"                                                                \
	" Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) { " gsi " } }) }\n"

/* Lengths of one byte and of two. */
static void devices(void **state)
{
	uint8_t buf[512];
	struct aml a = { buf, sizeof(buf), 0 };
	aml_mark scope = aml_scope_sb(&a);

	(void)state;
	device(&a, "D000", 0);
	device(&a, "D001", 1);
	aml_end(&a, scope);
	same(&a, "Scope (\\_SB) {\n" DEVICE("D000", "0", "0xfd000000", "16") DEVICE("D001", "1", "0xfd001000", "17") "}");
}

static void ports(void **state)
{
	uint8_t buf[128];
	struct aml a = { buf, sizeof(buf), 0 };
	aml_mark d = aml_device(&a, "COM1"), r;

	(void)state;
	r = aml_resources(&a, "_CRS");
	aml_ports(&a, 0x3f8, 8);
	aml_interrupt(&a, 4, 1);
	aml_resources_end(&a, r);
	aml_end(&a, d);
	same(&a, "Device (COM1) { Name (_CRS, ResourceTemplate () { IO (Decode16, 0x3f8, 0x3f8, 1, 8)\n"
	         "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 } }) }");
}

/* A length that takes three bytes: more than 4095. */
static void many(void **state)
{
	static char asl[65536];
	static uint8_t buf[16384];
	struct aml a = { buf, sizeof(buf), 0 };
	aml_mark scope = aml_scope_sb(&a);
	size_t at = (size_t)sprintf(asl, "Scope (\\_SB) {\n");

	(void)state;
	for (uint32_t i = 0; i < 90; i++) {
		char name[5];

		snprintf(name, sizeof(name), "D%03X", i);
		device(&a, name, i);
		at += (size_t)sprintf(asl + at,
		                      "Device (%s) { Name (_HID, \"LNRO0005\") Name (_UID, %u) Name (_CRS, "
		                      "ResourceTemplate () { Memory32Fixed (ReadWrite, 0x%x, 0x1000) Interrupt "
		                      "(ResourceConsumer, Level, ActiveHigh, Exclusive) { %u } }) }\n",
		                      name, i, 0xfd000000u + i * 4096, 16 + i);
	}
	strcpy(asl + at, "}");
	aml_end(&a, scope);
	assert_true(a.len > 4096);
	same(&a, asl);
}

/* Measuring writes nothing, a buffer that is too small is not left, and both know the length. */
static void small_buffers(void **state)
{
	uint8_t buf[128], whole[128];
	struct aml a = { 0 }, b;

	(void)state;
	device(&a, "D000", 3);
	assert_true(a.len <= ACPI_DEVICE_BYTES && a.len <= sizeof(buf));
	b = (struct aml){ whole, sizeof(whole), 0 };
	device(&b, "D000", 3);
	assert_int_equal(b.len, a.len);
	for (size_t room = 0; room < a.len; room++) {
		struct aml c = { buf, room, 0 };

		memset(buf, 0x55, sizeof(buf));
		device(&c, "D000", 3);
		assert_int_equal(c.len, a.len);
		for (size_t i = room; i < sizeof(buf); i++)
			assert_int_equal(buf[i], 0x55);
	}
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

/* The tables as a whole: DSDT with devices and the off state, MADT with the I/O APIC, sleep registers. */
static void in_the_tables(void **state)
{
	static const struct acpi_device list[] = {
		{ .hid = "PNP0501", .base = 0x3f8, .len = 8, .gsi = 4, .ports = 1, .edge = 1 },
		{ .hid = "LNRO0005", .uid = 7, .base = 0xfd000000, .len = 0x1000, .gsi = 16 },
	};
	static const uint32_t id[] = { 0, 1 };
	const struct acpi_config config = { .apic_id = id, .n_cpus = 2, .sleep_port = 0x604, .ioapic = 0xfec00000,
		                            .devices = list, .n_devices = 2 };
	size_t size = acpi_size(&config), len;
	uint8_t *block = test_malloc(size), *xsdt, *fadt, *madt, *dsdt;
	const uint8_t *want;

	(void)state;
	assert_int_equal(acpi_build(&config, 0xfc000000, block, size), 0);
	xsdt = block + (get(block + 24, 8) - 0xfc000000);
	fadt = block + (get(xsdt + 36, 8) - 0xfc000000);
	madt = block + (get(xsdt + 44, 8) - 0xfc000000);
	dsdt = block + (get(fadt + 140, 8) - 0xfc000000);
	want = compile("Scope (\\_SB) {\n"
	               "Device (D000) { Name (_HID, \"PNP0501\") Name (_UID, 0) Name (_CRS, ResourceTemplate () {"
	               " IO (Decode16, 0x3f8, 0x3f8, 1, 8)"
	               " Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 } }) }\n"
	               DEVICE("D001", "7", "0xfd000000", "16") "}\n"
	               "Name (_S5, Package (4) { 5, 0, 0, 0 })", &len);
	assert_int_equal(get(dsdt + 4, 4), ACPI_HEADER + len);
	assert_memory_equal(dsdt + ACPI_HEADER, want, len);
	assert_int_equal(get(madt + 4, 4), 44 + 2 * 8 + 12);
	assert_int_equal(madt[60], 1);
	assert_int_equal(madt[61], 12);
	assert_int_equal(get(madt + 64, 4), 0xfec00000);
	assert_int_equal(get(madt + 68, 4), 0);
	assert_int_equal(fadt[244], 1);
	assert_int_equal(get(fadt + 248, 8), 0x604);
	assert_int_equal(get(fadt + 260, 8), 0x605);
	test_free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_and_packages), cmocka_unit_test(devices), cmocka_unit_test(ports),
		cmocka_unit_test(many), cmocka_unit_test(small_buffers), cmocka_unit_test(in_the_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
