/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/acpi/acpi.h"

#define GPA 0xfc000000ull

/* The tables of a machine, and the memory just behind them. */
struct machine {
	struct acpi_config config;
	uint32_t apic_id[2048];
	uint8_t *block;
	size_t size;
};

static struct machine m;

static int teardown(void **state)
{
	(void)state;
	free(m.block);
	m.block = NULL;
	return 0;
}

static void build(uint32_t n_cpus)
{
	for (uint32_t i = 0; i < n_cpus; i++)
		m.apic_id[i] = 2 * i;
	m.config = (struct acpi_config){ .apic_id = m.apic_id, .n_cpus = n_cpus, .reset_port = 0xcf9, .reset_value = 6,
	                                 .hypervisor = "XenVMM\0" };
	m.size = acpi_size(&m.config);
	free(m.block);
	m.block = malloc(m.size); /* exactly: ASan sees a byte too many */
	assert_non_null(m.block);
	memset(m.block, 0xaa, m.size);
	assert_int_equal(acpi_build(&m.config, GPA, m.block, m.size), 0);
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s;
}

/* The table at an address: inside the block, with that name, and its sum right. */
static uint8_t *table(uint64_t gpa, const char *signature)
{
	uint8_t *t;
	uint64_t len;

	assert_true(gpa >= GPA && gpa - GPA <= m.size - 36);
	t = m.block + (gpa - GPA);
	len = get(t + 4, 4);
	assert_memory_equal(t, signature, 4);
	assert_true(len >= 36 && len <= m.size - (gpa - GPA));
	assert_int_equal(sum(t, len), 0);
	return t;
}

static uint8_t *find(const char *signature)
{
	uint8_t *xsdt = table(get(m.block + 24, 8), "XSDT");
	uint64_t n = (get(xsdt + 4, 4) - 36) / 8;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t gpa = get(xsdt + 36 + 8 * i, 8);

		assert_true(gpa >= GPA && gpa - GPA <= m.size - 36);
		if (!memcmp(m.block + (gpa - GPA), signature, 4))
			return table(gpa, signature);
	}
	fail_msg("no %s", signature);
	return NULL;
}

static void root_pointer(void **state)
{
	(void)state;
	build(1);
	assert_memory_equal(m.block, "RSD PTR ", 8);
	assert_int_equal(m.block[15], 2);
	assert_int_equal(get(m.block + 20, 4), 36);
	assert_int_equal(sum(m.block, 20), 0);
	assert_int_equal(sum(m.block, 36), 0);
	assert_int_equal(get(m.block + 16, 4), 0);
}

static void fixed_description(void **state)
{
	uint8_t *fadt;
	uint32_t flags;

	(void)state;
	build(2);
	fadt = find("FACP");
	flags = (uint32_t)get(fadt + 112, 4);
	assert_true(fadt[8] >= 5);
	assert_int_equal(get(fadt + 4, 4), 276);
	assert_true(flags & 1u << 20);              /* hardware-reduced */
	assert_true(flags & 1u << 10);              /* with a reset register */
	assert_int_equal(get(fadt + 109, 2), 0x24); /* neither VGA nor RTC; no 8042, no legacy devices */
	for (unsigned at = 56; at < 92; at += 4)    /* the register blocks */
		assert_int_equal(get(fadt + at, 4), 0);
	assert_int_equal(fadt[116], 1);
	assert_int_equal(get(fadt + 120, 8), 0xcf9);
	assert_int_equal(fadt[128], 6);
	assert_int_equal(get(fadt + 40, 4), get(fadt + 140, 8));
	table(get(fadt + 140, 8), "DSDT");
}

static void no_reset_register(void **state)
{
	uint8_t *fadt;

	(void)state;
	build(1);
	m.config.reset_port = 0;
	assert_int_equal(acpi_build(&m.config, GPA, m.block, m.size), 0);
	fadt = find("FACP");
	assert_false(get(fadt + 112, 4) & 1u << 10);
	for (unsigned i = 116; i <= 128; i++)
		assert_int_equal(fadt[i], 0);
}

/* Entry i of the MADT, by what it says. */
static void check_cpu(const uint8_t *e, uint32_t cpu)
{
	if (e[0] == 0) {
		assert_int_equal(e[1], 8);
		assert_int_equal(e[2], cpu);
		assert_int_equal(e[3], 2 * cpu);
		assert_true(e[3] != 255);
		assert_int_equal(get(e + 4, 4), 1);
		return;
	}
	assert_int_equal(e[0], 9);
	assert_int_equal(e[1], 16);
	assert_true(2 * cpu > 254);
	assert_int_equal(get(e + 4, 4), 2 * cpu);
	assert_int_equal(get(e + 8, 4), 1);
	assert_int_equal(get(e + 12, 4), cpu);
}

static void processors(void **state)
{
	static const uint32_t counts[] = { 1, 2, 3, 15, 16, 127, 128, 129, 255, 256, 257, 1024, 2048 };

	(void)state;
	for (unsigned k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		uint8_t *madt, *e, *end;
		uint32_t cpu = 0;

		build(counts[k]);
		madt = find("APIC");
		assert_int_equal(get(madt + 36, 4), 0xfee00000);
		assert_int_equal(get(madt + 40, 4), 0);
		end = madt + get(madt + 4, 4);
		for (e = madt + 44; e < end; e += e[1])
			check_cpu(e, cpu++);
		assert_ptr_equal(e, end);
		assert_int_equal(cpu, counts[k]);
		find("FACP");
	}
}

static void unfit_places(void **state)
{
	(void)state;
	build(4);
	assert_int_equal(acpi_build(&m.config, GPA, m.block, m.size - 1), -EINVAL);
	assert_int_equal(acpi_build(&m.config, GPA + 8, m.block, m.size), -EINVAL);
	assert_int_equal(acpi_build(&m.config, 1ull << 32, m.block, m.size), -EINVAL);
	assert_int_equal(acpi_build(&m.config, (1ull << 32) - 16, m.block, m.size), -EINVAL);
}

/* The compiler's own opinion, where it is installed. */
static void disassembles(void **state)
{
	static const char *const names[] = { "FACP", "APIC", "DSDT" };
	char dir[] = "/tmp/test_acpi_XXXXXX", command[256];

	(void)state;
	if (system("command -v iasl >/dev/null"))
		skip();
	build(200);
	assert_non_null(mkdtemp(dir));
	for (unsigned i = 0; i < 3; i++) {
		const uint8_t *t = i < 2 ? find(names[i]) : table(get(find("FACP") + 140, 8), "DSDT");
		FILE *f;

		snprintf(command, sizeof(command), "%s/%s.aml", dir, names[i]);
		f = fopen(command, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(t, get(t + 4, 4), 1, f), 1);
		fclose(f);
		snprintf(command, sizeof(command),
		         "cd %s && iasl -d %s.aml >log 2>&1 && ! grep -iE 'error|warning|invalid' log %s.dsl", dir,
		         names[i], names[i]);
		assert_int_equal(system(command), 0);
	}
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(root_pointer), T(fixed_description), T(no_reset_register), T(processors), T(unfit_places), T(disassembles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
