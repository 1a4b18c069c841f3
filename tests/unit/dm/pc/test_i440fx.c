/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "dm/pc/i440fx.h"
#include "fake/pci-rig.h"

static struct pci_rig r;
static struct i440fx x;
static uint8_t bios[I440FX_ROM_PAGES * 4096];

static int setup(void **state)
{
	(void)state;
	memset(bios, 0xb1, sizeof(bios));
	if (pci_rig_init(&r) || i440fx_init(&x, r.f->host, r.f->inst) || i440fx_register(&x, &pci_bus_ops, &r.bus))
		return -1;
	i440fx_set_rom(&x, bios + sizeof(bios), sizeof(bios));
	return i440fx_reset(&x);
}

static int teardown(void **state)
{
	(void)state;
	i440fx_finish(&x);
	return pci_rig_finish(&r) != 0;
}

/* What the guest reads: memory where there is some, else the chip's range. */
static uint8_t peek(uint64_t gpa)
{
	uint64_t page = gpa / 4096;

	if (r.f->over[page])
		return r.f->over[page][gpa % 4096];
	return r.f->hole[page] ? (uint8_t)host_fake_in(r.f, GAMUT_SPACE_MMIO, gpa, 1) : r.f->ram[gpa];
}

static void poke(uint64_t gpa, uint8_t value)
{
	uint64_t page = gpa / 4096;

	if (r.f->over[page] && !r.f->rom[page])
		r.f->over[page][gpa % 4096] = value;
	else if (r.f->over[page] || r.f->hole[page])
		host_fake_out(r.f, GAMUT_SPACE_MMIO, gpa, 1, value);
	else
		r.f->ram[gpa] = value;
}

static void test_power_on(void **state)
{
	(void)state;
	assert_int_equal(rig_get(&r, 0, 0, 4), 0x12378086);
	assert_int_equal(rig_get(&r, 0, 0x2c, 4), 0x11001af4);
	assert_int_equal(rig_get(&r, 0, 0x72, 1), 2);
	assert_int_equal(peek(0xfffff), 0xb1);
	assert_int_equal(peek(0xe0000), 0xb1);
	assert_int_equal(peek(0xdffff), 0xff); /* nothing answers */
	assert_int_equal(peek(0xa0000), 0xff); /* RAM was taken away */
	poke(0xf0000, 1);
	poke(0xc0000, 1);
	assert_int_equal(peek(0xf0000), 0xb1);
	assert_int_equal(peek(0xc0000), 0xff);
	assert_int_equal(peek(0x9ffff), 0);
}

/* All four states of a segment, with the register's two halves. */
static void test_states(void **state)
{
	static const struct {
		uint64_t gpa, end;
		uint32_t reg, shift;
	} segments[] = {
		{ 0xf0000, 0xfffff, 0x59, 4 }, { 0xc0000, 0xc3fff, 0x5a, 0 }, { 0xc4000, 0xc7fff, 0x5a, 4 },
		{ 0xdc000, 0xdffff, 0x5d, 4 }, { 0xe0000, 0xe3fff, 0x5e, 0 }, { 0xec000, 0xeffff, 0x5f, 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
		uint64_t at = segments[i].gpa, end = segments[i].end;
		uint8_t rom = at >= 0xe0000 ? 0xb1 : 0xff;

		rig_set(&r, 0, segments[i].reg, 1, 2u << segments[i].shift); /* read ROM, write DRAM */
		poke(at, 0x11);
		poke(end, 0x22);
		assert_int_equal(peek(at), rom);
		rig_set(&r, 0, segments[i].reg, 1, 1u << segments[i].shift); /* read DRAM, write nothing */
		assert_int_equal(peek(at), 0x11);
		assert_int_equal(peek(end), 0x22);
		poke(at, 0x33);
		assert_int_equal(peek(at), 0x11);
		rig_set(&r, 0, segments[i].reg, 1, 3u << segments[i].shift);
		poke(at, 0x44);
		assert_int_equal(peek(at), 0x44);
		rig_set(&r, 0, segments[i].reg, 1, 0);
		assert_int_equal(peek(at), rom);
		poke(at, 0x55);
		rig_set(&r, 0, segments[i].reg, 1, 3u << segments[i].shift);
		assert_int_equal(peek(at), 0x44);
		rig_set(&r, 0, segments[i].reg, 1, 0);
	}
}

/* As a BIOS copies itself: eight registers in two double words. */
static void test_all_at_once(void **state)
{
	(void)state;
	rig_set(&r, 0, 0x58, 4, 0x33333000);
	rig_set(&r, 0, 0x5c, 4, 0x33333333);
	assert_int_equal(rig_get(&r, 0, 0x58, 4) >> 8, 0x333330);
	for (uint64_t at = 0xc0000; at < 0x100000; at += 4096) {
		poke(at, (uint8_t)(at >> 12));
		assert_int_equal(peek(at), at >> 12 & 0xff);
	}
	assert_int_equal(i440fx_reset(&x), 0); /* the bus resets registers; here they stay */
	assert_int_equal(peek(0xc0000), 0);
}

static void test_reset(void **state)
{
	(void)state;
	rig_set(&r, 0, 0x58, 4, UINT32_MAX);
	poke(0xf1000, 9);
	pci_bus_reset(&r.bus);
	/* The core makes RAM anew. */
	memset(r.f->hole + 0xa0, 0, 0x60);
	assert_int_equal(i440fx_reset(&x), 0);
	assert_int_equal(peek(0xf1000), 0xb1);
	rig_set(&r, 0, 0x59, 1, 0x10);
	assert_int_equal(peek(0xf1000), 0);
	assert_int_equal(peek(0xb8000), 0xff);
}

static void test_smram(void **state)
{
	(void)state;
	rig_set(&r, 0, 0x72, 1, 0x4a);
	assert_int_equal(rig_get(&r, 0, 0x72, 1), 0x4a);
	rig_set(&r, 0, 0x72, 1, 0x5a); /* D_LCK closes */
	assert_int_equal(rig_get(&r, 0, 0x72, 1), 0x1a);
	rig_set(&r, 0, 0x72, 1, 0x42);
	assert_int_equal(rig_get(&r, 0, 0x72, 1), 0x1a);
}

static void test_write(void **state)
{
	(void)state;
	assert_int_equal(i440fx_open(&x), 0);
	assert_int_equal(i440fx_write(&x, 0xe0000, "abc", 3), 0);
	assert_int_equal(peek(0xe0001), 'b');
	assert_int_equal(i440fx_write(&x, 0xbffff, "abc", 3), -EINVAL);
	assert_int_equal(i440fx_write(&x, 0xffffe, "abc", 3), -EINVAL);
	assert_int_equal(i440fx_write(&x, 0xf0000, "abc", UINT64_MAX), -EINVAL);
}

/* An access across the end of the range, and of any width. */
static void test_edges(void **state)
{
	(void)state;
	rig_set(&r, 0, 0x59, 1, 0x20);
	i440fx_segment_ops.write(&x, 0x3fffc, 8, UINT64_MAX);
	i440fx_segment_ops.write(&x, 0x40000, 1, 1);
	i440fx_segment_ops.write(&x, 0x3fff8, 8, 0x0102030405060708ull);
	rig_set(&r, 0, 0x59, 1, 0x10);
	assert_int_equal(peek(0xfffff), 1);
	assert_int_equal(peek(0xffff8), 8);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(power_on), T(states), T(all_at_once), T(reset), T(smram), T(write), T(edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
