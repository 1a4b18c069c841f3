/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "fake/pci-rig.h"

#define DEVFN (3u << 3)
#define TABLE 0xe0000000ull
#define VECTORS 70u

static struct pci_rig r;
static struct gamut_pci_function *f;

static int add(uint32_t msi, uint32_t msix)
{
	struct gamut_pci_desc d = {
		.size = sizeof(d), .devfn = DEVFN, .vendor = 1, .device = 2, .pin = 1, .msi_vectors = msi, .msix_vectors = msix,
		.msix_bar = 1, .bar[1] = { GAMUT_PCI_BAR_MEM32, 0, 4096, NULL }, .config_at = 0x40, .n_config = 3,
	};

	return pci_bus_ops.add(&r.bus, &d, NULL, &f);
}

static int setup(void **state)
{
	(void)state;
	return pci_rig_init(&r);
}

static int teardown(void **state)
{
	(void)state;
	return pci_rig_finish(&r) != 0;
}

/* Where a capability is, by the guest's way. */
static uint32_t find(uint32_t id)
{
	uint32_t at = rig_get(&r, DEVFN, 6, 2) & 0x10 ? rig_get(&r, DEVFN, 0x34, 1) : 0;

	while (at && rig_get(&r, DEVFN, at, 1) != id)
		at = rig_get(&r, DEVFN, at + 1, 1);
	return at;
}

static uint64_t table(uint32_t offset, uint32_t width)
{
	return host_fake_in(r.f, GAMUT_SPACE_MMIO, TABLE + offset, width);
}

static void set_table(uint32_t offset, uint32_t value)
{
	host_fake_out(r.f, GAMUT_SPACE_MMIO, TABLE + offset, 4, value);
}

static void test_msi(void **state)
{
	uint32_t at;

	(void)state;
	assert_int_equal(add(4, 0), 0);
	at = find(5);
	assert_true(at >= 0x44);
	assert_int_equal(find(0x11), 0);
	assert_int_equal(rig_get(&r, DEVFN, at + 2, 2), 0x184); /* four vectors, 64-bit, maskable */
	assert_int_equal(pci_bus_ops.message(&r.bus, f, 0), -ENOENT);
	rig_set(&r, DEVFN, at + 4, 4, 0xfee01003);
	rig_set(&r, DEVFN, at + 8, 4, 1);
	rig_set(&r, DEVFN, at + 12, 2, 0x40ff);
	rig_set(&r, DEVFN, at + 2, 2, 1 | 2 << 4);
	assert_int_equal(pci_bus_ops.message(&r.bus, f, 2), 0);
	assert_int_equal(r.messages, 0); /* not a bus master */
	rig_set(&r, DEVFN, 4, 2, 4);
	assert_int_equal(pci_bus_ops.message(&r.bus, f, 2), 0);
	assert_int_equal(r.messages, 1);
	assert_int_equal(r.address, 0x1fee01000ull);
	assert_int_equal(r.data, 0x40fe);
	assert_int_equal(pci_bus_ops.message(&r.bus, f, 4), -ENOENT);
	/* One vector for all. */
	rig_set(&r, DEVFN, at + 2, 2, 1);
	pci_bus_ops.message(&r.bus, f, 3);
	assert_int_equal(r.data, 0x40ff);
	/* More than were asked for are not given. */
	rig_set(&r, DEVFN, at + 2, 2, 1 | 5 << 4);
	pci_bus_ops.message(&r.bus, f, 3);
	assert_int_equal(r.data, 0x40ff);
}

static void test_msi_mask(void **state)
{
	uint32_t at;

	(void)state;
	assert_int_equal(add(2, 0), 0);
	at = find(5);
	rig_set(&r, DEVFN, 4, 2, 4);
	rig_set(&r, DEVFN, at + 2, 2, 1 | 1 << 4);
	rig_set(&r, DEVFN, at + 16, 4, UINT32_MAX);
	assert_int_equal(rig_get(&r, DEVFN, at + 16, 4), 3);
	pci_bus_ops.message(&r.bus, f, 1);
	assert_int_equal(r.messages, 0);
	assert_int_equal(rig_get(&r, DEVFN, at + 20, 4), 2);
	rig_set(&r, DEVFN, at + 16, 4, 1);
	assert_int_equal(r.messages, 1);
	assert_int_equal(rig_get(&r, DEVFN, at + 20, 4), 0);
}

static void test_intx_while_on(void **state)
{
	uint32_t at;

	(void)state;
	assert_int_equal(add(1, 0), 0);
	at = find(5);
	pci_bus_ops.irq(&r.bus, f, 1);
	assert_int_not_equal(r.pirq, 0);
	rig_set(&r, DEVFN, at + 2, 2, 1);
	assert_int_equal(r.pirq, 0);
	rig_set(&r, DEVFN, at + 2, 2, 0);
	assert_int_not_equal(r.pirq, 0);
}

static void test_msix(void **state)
{
	uint32_t at;

	(void)state;
	assert_int_equal(add(1, VECTORS), 0);
	at = find(0x11);
	assert_int_not_equal(at, 0);
	assert_int_not_equal(find(5), 0);
	assert_int_equal(rig_get(&r, DEVFN, at + 2, 2), VECTORS - 1);
	assert_int_equal(rig_get(&r, DEVFN, at + 4, 4), 1);
	assert_int_equal(rig_get(&r, DEVFN, at + 8, 4), 2048 | 1);
	rig_set(&r, DEVFN, 0x14, 4, (uint32_t)TABLE);
	rig_set(&r, DEVFN, 4, 2, 6);
	assert_int_equal(table(12, 4), 1); /* all masked */
	assert_int_equal(table(16 * (VECTORS - 1) + 12, 4), 1);
	set_table(16 * 65 + 0, 0xfee02000);
	set_table(16 * 65 + 4, 0);
	set_table(16 * 65 + 8, 0x55);
	assert_int_equal(table(16 * 65, 8), 0xfee02000);
	rig_set(&r, DEVFN, at + 2, 2, 0x8000);
	assert_int_equal(pci_bus_ops.message(&r.bus, f, 65), 0);
	assert_int_equal(r.messages, 0);
	assert_int_equal(table(2048 + 8, 8), 2);
	assert_int_equal(table(2048, 4), 0);
	set_table(16 * 65 + 12, 0);
	assert_int_equal(r.messages, 1);
	assert_int_equal(r.address, 0xfee02000);
	assert_int_equal(r.data, 0x55);
	assert_int_equal(table(2048 + 8, 8), 0);
	/* The mask of all of them. */
	rig_set(&r, DEVFN, at + 2, 2, 0xc000);
	pci_bus_ops.message(&r.bus, f, 65);
	assert_int_equal(r.messages, 1);
	rig_set(&r, DEVFN, at + 2, 2, 0x8000);
	assert_int_equal(r.messages, 2);
	assert_int_equal(pci_bus_ops.message(&r.bus, f, VECTORS), -ENOENT);
	pci_bus_reset(&r.bus);
	assert_int_equal(pci_bus_ops.message(&r.bus, f, 65), -ENOENT);
}

/* Anywhere in the BAR, in any width. */
static void test_rubbish(void **state)
{
	static const uint32_t widths[] = { 1, 2, 4, 8 };

	(void)state;
	assert_int_equal(add(0, VECTORS), 0);
	rig_set(&r, DEVFN, 0x14, 4, (uint32_t)TABLE);
	rig_set(&r, DEVFN, 4, 2, 6);
	rig_set(&r, DEVFN, find(0x11) + 2, 2, 0x8000);
	for (uint32_t offset = 0; offset < 4096; offset++) {
		for (uint32_t i = 0; i < 4; i++) {
			host_fake_out(r.f, GAMUT_SPACE_MMIO, TABLE + offset, widths[i], 0xfefefefefefefefeull);
			table(offset, widths[i]);
		}
	}
	assert_int_equal(table(2048, 8), 0);
	assert_int_equal(r.messages, 0);
}

static void test_bad(void **state)
{
	struct gamut_pci_desc d = { .size = sizeof(d), .devfn = DEVFN, .vendor = 1, .device = 2, .msix_vectors = 129,
		                    .bar[0] = { GAMUT_PCI_BAR_MEM32, 0, 4096, NULL } };

	(void)state;
	assert_int_equal(pci_bus_ops.add(&r.bus, &d, NULL, &f), -EINVAL); /* the table does not fit into a half */
	d.msix_vectors = 1;
	d.msix_bar = 2;
	assert_int_equal(pci_bus_ops.add(&r.bus, &d, NULL, &f), -EINVAL);
	d.msix_vectors = 0;
	d.msi_vectors = 3;
	assert_int_equal(pci_bus_ops.add(&r.bus, &d, NULL, &f), -EINVAL);
	d.msi_vectors = 64;
	assert_int_equal(pci_bus_ops.add(&r.bus, &d, NULL, &f), -EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(msi), T(msi_mask), T(intx_while_on), T(msix), T(rubbish), T(bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
