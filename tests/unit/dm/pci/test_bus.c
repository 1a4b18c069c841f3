/* SPDX-License-Identifier: MIT */
/* Functions, configuration space, windows, INTx, DMA: as the guest and as a function see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "fake/pci-rig.h"

#define DEVFN (5u << 3)

/* A function whose registers say who was asked for what. */
struct device {
	uint64_t offset, value;
	uint32_t width, reads, writes, told;
};

static struct pci_rig r;
static struct device d;
static struct gamut_pci_function *f;

static uint64_t dev_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct device *x = opaque;

	x->offset = offset;
	x->width = width;
	x->reads++;
	return 0x1122334455667788ull + offset;
}

static void dev_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct device *x = opaque;

	x->offset = offset;
	x->width = width;
	x->value = value;
	x->writes++;
}

static const struct gamut_io_ops dev_ops = { .size = sizeof(dev_ops), .read = dev_read, .write = dev_write };

static void dev_written(void *opaque, uint32_t offset, uint32_t width)
{
	struct device *x = opaque;

	x->offset = offset;
	x->width = width;
	x->told++;
}

static const uint8_t own_value[4] = { 1, 2, 3, 4 }, own_mask[4] = { 0xf0, 0, 0xff, 0 };
static uint8_t rom[3000];

static struct gamut_pci_desc desc(void)
{
	return (struct gamut_pci_desc){
		.size = sizeof(struct gamut_pci_desc), .devfn = DEVFN, .vendor = 0x1234, .device = 0x5678,
		.subsystem_vendor = 0xaaaa, .subsystem = 0xbbbb, .class_revision = 0x02000003, .pin = 1,
		.bar = { { GAMUT_PCI_BAR_IO, 0, 32, &dev_ops }, { GAMUT_PCI_BAR_MEM32, 0, 0x1000, &dev_ops },
		         { GAMUT_PCI_BAR_MEM64, 1, 0x10000, &dev_ops } },
		.rom = rom, .rom_size = sizeof(rom), .config_at = 0x40, .n_config = 4,
		.config_value = own_value, .config_mask = own_mask, .config_written = dev_written,
	};
}

static int setup(void **state)
{
	const struct gamut_pci_desc dd = desc();

	(void)state;
	d = (struct device){ 0 };
	memset(rom, 0x5a, sizeof(rom));
	return pci_rig_init(&r) || pci_bus_ops.add(&r.bus, &dd, &d, &f);
}

static int teardown(void **state)
{
	(void)state;
	return pci_rig_finish(&r) != 0;
}

static void test_header(void **state)
{
	(void)state;
	assert_int_equal(rig_get(&r, DEVFN, 0, 4), 0x56781234);
	assert_int_equal(rig_get(&r, DEVFN, 2, 2), 0x5678);
	assert_int_equal(rig_get(&r, DEVFN, 8, 4), 0x02000003);
	assert_int_equal(rig_get(&r, DEVFN, 0x2c, 4), 0xbbbbaaaa);
	assert_int_equal(rig_get(&r, DEVFN, 0x3d, 1), 1);
	rig_set(&r, DEVFN, 0, 4, 0);
	assert_int_equal(rig_get(&r, DEVFN, 0, 4), 0x56781234);
	rig_set(&r, DEVFN, 0x3c, 1, 11);
	assert_int_equal(rig_get(&r, DEVFN, 0x3c, 2), 0x010b);
	/* Nobody else is there, and not on other buses. */
	assert_int_equal(rig_get(&r, 6 << 3, 0, 4), UINT32_MAX);
	rig_out(&r, 0xcf8, 4, 0x80010000u | DEVFN << 8);
	assert_int_equal(rig_in(&r, 0xcfc, 4), UINT32_MAX);
	rig_out(&r, 0xcf8, 4, DEVFN << 8); /* not enabled */
	assert_int_equal(rig_in(&r, 0xcfc, 4), UINT32_MAX);
	assert_int_equal(r.changed, 1);
}

static void test_address_port(void **state)
{
	(void)state;
	rig_out(&r, 0xcf8, 4, UINT32_MAX);
	assert_int_equal(rig_in(&r, 0xcf8, 4), 0x80fffffc);
	rig_out(&r, 0xcf9, 1, 0x02);
	assert_int_equal(r.side[1], 2);
	assert_int_equal(rig_in(&r, 0xcf9, 1), 2);
	assert_int_equal(rig_in(&r, 0xcf8, 4), 0x80fffffc);
}

static void test_sizing(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 6; i++)
		rig_set(&r, DEVFN, 0x10 + 4 * i, 4, UINT32_MAX);
	assert_int_equal(rig_get(&r, DEVFN, 0x10, 4), 0xffffffe1);
	assert_int_equal(rig_get(&r, DEVFN, 0x14, 4), 0xfffff000);
	assert_int_equal(rig_get(&r, DEVFN, 0x18, 4), 0xffff000c);
	assert_int_equal(rig_get(&r, DEVFN, 0x1c, 4), 0xffffffff);
	assert_int_equal(rig_get(&r, DEVFN, 0x20, 4), 0);
	rig_set(&r, DEVFN, 0x30, 4, UINT32_MAX);
	assert_int_equal(rig_get(&r, DEVFN, 0x30, 4), 0xfffff001); /* 3000 bytes of ROM need 4096 */
	/* Bytes one by one do the same. */
	for (uint32_t i = 0; i < 4; i++)
		rig_set(&r, DEVFN, 0x14 + i, 1, 0x12);
	assert_int_equal(rig_get(&r, DEVFN, 0x14, 4), 0x12121000);
}

static void test_decode(void **state)
{
	(void)state;
	rig_set(&r, DEVFN, 0x10, 4, 0xc000);
	rig_set(&r, DEVFN, 0x14, 4, 0xe0000000);
	rig_set(&r, DEVFN, 0x18, 4, 0xe1000000);
	assert_int_equal(rig_in(&r, 0xc004, 4), UINT32_MAX); /* decoding is off */
	rig_set(&r, DEVFN, 4, 2, 1);
	assert_int_equal(rig_in(&r, 0xc004, 4), 0x5566778c);
	assert_int_equal(d.offset, 4);
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0xe0000010, 4), UINT32_MAX);
	rig_set(&r, DEVFN, 4, 2, 2);
	assert_int_equal(rig_in(&r, 0xc004, 4), UINT32_MAX);
	host_fake_out(r.f, GAMUT_SPACE_MMIO, 0xe0000ff8, 8, 42);
	assert_int_equal(d.offset, 0xff8);
	assert_int_equal(d.width, 8);
	assert_int_equal(d.value, 42);
	host_fake_out(r.f, GAMUT_SPACE_MMIO, 0xe1000000, 1, 7);
	assert_int_equal(d.offset, 0);
	/* Beyond the end of a window the bytes that are in it are still its. */
	host_fake_out(r.f, GAMUT_SPACE_MMIO, 0xe0000ffe, 4, 0x04030201);
	assert_int_equal(d.writes, 4);
	assert_int_equal(d.offset, 0xfff);
	assert_int_equal(d.value, 2);
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0xe0000fff, 2) >> 8, 0xff);
	/* 64-bit windows go where 32 bits do not. */
	rig_set(&r, DEVFN, 0x1c, 4, 0x10);
	host_fake_out(r.f, GAMUT_SPACE_MMIO, 0x10e1000020ull, 4, 9);
	assert_int_equal(d.offset, 0x20);
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0xe1000020, 4), UINT32_MAX);
	/* An address that nobody has set leads nowhere. */
	rig_set(&r, DEVFN, 0x14, 4, 0);
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0x10, 4), UINT32_MAX);
}

static void test_rom(void **state)
{
	(void)state;
	rig_set(&r, DEVFN, 4, 2, 2);
	rig_set(&r, DEVFN, 0x30, 4, 0xe2000000);
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0xe2000000, 2), 0xffff);
	rig_set(&r, DEVFN, 0x30, 4, 0xe2000001);
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0xe2000000, 2), 0x5a5a);
	/* The file ends in the middle of an access, and of the window. */
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0xe2000000 + 2998, 4), 0xffff5a5a);
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0xe2000ffc, 4), 0xffffffff);
	host_fake_out(r.f, GAMUT_SPACE_MMIO, 0xe2000000, 2, 0);
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0xe2000000, 2), 0x5a5a);
}

static void test_own_registers(void **state)
{
	(void)state;
	assert_int_equal(rig_get(&r, DEVFN, 0x40, 4), 0x04030201);
	rig_set(&r, DEVFN, 0x40, 4, UINT32_MAX);
	assert_int_equal(rig_get(&r, DEVFN, 0x40, 4), 0x04ff02f1);
	assert_int_equal(d.told, 1);
	rig_set(&r, DEVFN, 0x44, 4, 1); /* nobody's */
	assert_int_equal(d.told, 1);
	rig_set(&r, DEVFN, 4, 2, 7); /* the command register is told of, too */
	assert_int_equal(d.told, 2);
	pci_bus_ops.config_set(&r.bus, f, 0x41, 1, 0x77);
	assert_int_equal(pci_bus_ops.config_get(&r.bus, f, 0x40, 2), 0x77f1);
	assert_int_equal(pci_bus_ops.config_get(&r.bus, f, 0xfe, 4), 0); /* not there */
}

static void test_intx(void **state)
{
	struct gamut_pci_desc dd = { .size = sizeof(dd), .devfn = 9 << 3, .vendor = 1, .device = 1, .pin = 1 };
	struct gamut_pci_function *other;

	(void)state;
	assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &other), 0);
	pci_bus_ops.irq(&r.bus, f, 1);
	assert_int_equal(r.pirq, 1); /* devices 5 and 9, INTA#: the first input */
	assert_int_equal(rig_get(&r, DEVFN, 6, 2) & 8, 8);
	assert_int_equal(rig_get(&r, DEVFN, 4, 4) >> 16 & 8, 8);
	pci_bus_ops.irq(&r.bus, other, 1);
	pci_bus_ops.irq(&r.bus, f, 0);
	assert_int_equal(r.pirq, 1); /* shared */
	pci_bus_ops.irq(&r.bus, other, 0);
	assert_int_equal(r.pirq, 0);
	assert_int_equal(r.pirq_calls, 2);
	/* The board drives a pin beside the function's, whatever its registers say. */
	pci_bus_ops.board_irq(&r.bus, DEVFN >> 3, 1, 1);
	pci_bus_ops.board_irq(&r.bus, DEVFN >> 3, 1, 1);
	assert_int_equal(r.pirq, 1);
	pci_bus_ops.irq(&r.bus, f, 1);
	pci_bus_ops.board_irq(&r.bus, DEVFN >> 3, 1, 0);
	assert_int_equal(r.pirq, 1);
	pci_bus_ops.irq(&r.bus, f, 0);
	pci_bus_ops.board_irq(&r.bus, DEVFN >> 3, 1, 0);
	assert_int_equal(r.pirq, 0);
	assert_int_equal(r.pirq_calls, 4);
	pci_bus_ops.board_irq(&r.bus, 32, 1, 1);
	pci_bus_ops.board_irq(&r.bus, 5, 0, 1);
	pci_bus_ops.board_irq(&r.bus, 5, 5, 1);
	assert_int_equal(r.pirq, 0);
	pci_bus_ops.irq(&r.bus, f, 1);
	rig_set(&r, DEVFN, 4, 2, 0x400);
	assert_int_equal(r.pirq, 0);
	assert_int_equal(rig_get(&r, DEVFN, 6, 2) & 8, 8); /* it asks all the same */
	rig_set(&r, DEVFN, 4, 2, 0);
	assert_int_equal(r.pirq, 1);
	pci_bus_ops.remove(&r.bus, f);
	assert_int_equal(r.pirq, 0);
	assert_int_equal(rig_get(&r, DEVFN, 0, 4), UINT32_MAX);
}

static void test_swizzle(void **state)
{
	(void)state;
	for (uint32_t dev = 10; dev < 14; dev++) {
		for (uint32_t pin = 1; pin <= 4; pin++) {
			struct gamut_pci_desc dd = { .size = sizeof(dd), .devfn = (uint16_t)(dev << 3 | pin), .vendor = 1,
				                     .device = 1, .pin = pin };
			struct gamut_pci_function *x;

			assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &x), 0);
			pci_bus_ops.irq(&r.bus, x, 1);
			assert_int_equal(r.pirq, 1u << ((dev - 1 + pin - 1) & 3));
			pci_bus_ops.irq(&r.bus, x, 0);
		}
	}
}

static void test_dma(void **state)
{
	uint8_t buf[4] = { 1, 2, 3, 4 };

	(void)state;
	assert_int_equal(pci_bus_ops.dma_write(&r.bus, f, 0x1000, buf, 4), -EACCES);
	assert_int_equal(pci_bus_ops.bus_master(&r.bus, f), 0);
	rig_set(&r, DEVFN, 4, 2, 4);
	assert_int_equal(pci_bus_ops.bus_master(&r.bus, f), 1);
	assert_int_equal(pci_bus_ops.dma_write(&r.bus, f, 0x1000, buf, 4), 0);
	assert_memory_equal(r.f->ram + 0x1000, buf, 4);
	assert_int_equal(pci_bus_ops.dma_read(&r.bus, f, r.f->ram_size - 2, buf, 4), -EFAULT);
	assert_int_equal(pci_bus_ops.dma_read(&r.bus, f, UINT64_MAX - 1, buf, 4), -EFAULT);
}

static void test_add(void **state)
{
	struct gamut_pci_desc dd = desc();
	struct gamut_pci_function *x = NULL;

	(void)state;
	assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &x), -EBUSY);
	assert_int_equal(r.f->fails, 1);
	dd.devfn = GAMUT_PCI_ANY;
	assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &x), 0);
	assert_int_equal(pci_bus_ops.devfn(&r.bus, x), 0);
	dd.bar[0].size = 24;
	assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &x), -EINVAL);
	dd.bar[0].size = 512;
	assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &x), -EINVAL);
	dd = desc();
	dd.devfn = GAMUT_PCI_ANY;
	dd.bar[3].kind = GAMUT_PCI_BAR_MEM32; /* the upper half of the 64-bit one */
	dd.bar[3].size = 4096;
	assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &x), -EINVAL);
	dd = desc();
	dd.devfn = GAMUT_PCI_ANY;
	dd.config_at = 0xf0;
	dd.n_config = 0x20;
	assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &x), -EINVAL);
	dd = desc();
	dd.devfn = GAMUT_PCI_ANY;
	for (int i = 0; i < 30; i++)
		assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &x), 0);
	assert_int_equal(pci_bus_ops.add(&r.bus, &dd, NULL, &x), -ENOSPC);
}

static void test_reset(void **state)
{
	(void)state;
	rig_set(&r, DEVFN, 0x10, 4, 0xc000);
	rig_set(&r, DEVFN, 4, 2, 1);
	rig_set(&r, DEVFN, 0x40, 1, 0xff);
	pci_bus_ops.irq(&r.bus, f, 1);
	pci_bus_reset(&r.bus);
	assert_int_equal(r.pirq, 0);
	assert_int_equal(rig_in(&r, 0xc000, 4), UINT32_MAX);
	assert_int_equal(rig_get(&r, DEVFN, 0x10, 4), 1);
	assert_int_equal(rig_get(&r, DEVFN, 4, 2), 0);
	assert_int_equal(rig_get(&r, DEVFN, 0x40, 1), 1);
}

/* Two windows at one place: the function with the lower number answers, and the other when it has moved away. */
static void test_overlapping_functions(void **state)
{
	struct gamut_pci_desc dd = desc();
	struct device e = { 0 };
	struct gamut_pci_function *x;

	(void)state;
	dd.devfn = 6 << 3;
	assert_int_equal(pci_bus_ops.add(&r.bus, &dd, &e, &x), 0);
	for (uint32_t devfn = DEVFN; devfn <= 6u << 3; devfn += 8) {
		rig_set(&r, devfn, 0x10, 4, 0xc000);
		rig_set(&r, devfn, 4, 2, 1);
	}
	rig_out(&r, 0xc000, 4, 1);
	assert_int_equal(d.writes, 1);
	assert_int_equal(e.writes, 0);
	rig_set(&r, DEVFN, 0x10, 4, 0xc010 & ~31u);
	rig_set(&r, DEVFN, 0x10, 4, 0xd000);
	rig_out(&r, 0xc000, 4, 1);
	assert_int_equal(e.writes, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(header), T(address_port), T(sizing), T(decode), T(rom), T(own_registers), T(intx), T(swizzle), T(dma), T(add),
		T(reset), T(overlapping_functions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
