/* SPDX-License-Identifier: MIT */
/* The south bridge: interrupt routing, reset, ports 61 and 92; power management. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dm/pc/piix3.h"
#include "dm/pc/piix4-pm.h"
#include "fake/pci-rig.h"

#define ISA 8u
#define PM PIIX4_PM_DEVFN
#define MS 1000000ull

static struct pci_rig r;
static struct piix3 isa;
static struct piix4_pm pm;
static uint32_t lines, resets, inits, offs, gate, refresh, output;

static void line_set(void *self, uint32_t line, uint32_t level)
{
	(void)self;
	lines = level ? lines | 1u << line : lines & ~(1u << line);
}

static uint32_t speaker_output(void *self)
{
	(void)self;
	return output;
}

static void speaker_gate(void *self, uint32_t level)
{
	(void)self;
	gate = level;
}

static uint32_t get_refresh(void *self)
{
	(void)self;
	return refresh;
}

static const struct gamut_irq_lines_ops lines_ops = {
	.size = sizeof(lines_ops), .set = line_set, .speaker_output = speaker_output, .speaker_gate = speaker_gate,
	.refresh = get_refresh,
};

static void on_reset(void *opaque)
{
	(void)opaque;
	resets++;
}

static void on_init(void *opaque)
{
	(void)opaque;
	inits++;
}

static void on_off(void *opaque)
{
	(void)opaque;
	offs++;
}

static void on_sci(void *opaque, uint32_t level)
{
	piix3_sci(opaque, level);
}

static int setup(void **state)
{
	const struct piix3_pins pins = { on_reset, on_init, NULL };
	const struct piix4_pm_pins pm_pins = { on_sci, on_off, &isa };

	(void)state;
	lines = resets = inits = offs = gate = refresh = output = 0;
	return pci_rig_init(&r) || piix3_init(&isa, r.f->host, r.f->inst, &pins) ||
	       piix3_register(&isa, &pci_bus_ops, &r.bus, &lines_ops, NULL) ||
	       piix4_pm_init(&pm, r.f->host, r.f->inst, &pm_pins) || piix4_pm_register(&pm, &pci_bus_ops, &r.bus);
}

static int teardown(void **state)
{
	(void)state;
	piix4_pm_finish(&pm);
	piix3_finish(&isa);
	return pci_rig_finish(&r) != 0;
}

static void test_identity(void **state)
{
	(void)state;
	assert_int_equal(rig_get(&r, ISA, 0, 4), 0x70008086);
	assert_int_equal(rig_get(&r, ISA, 0x0e, 1), 0x80);
	assert_int_equal(rig_get(&r, ISA, 4, 4), 0x02000007);
	assert_int_equal(rig_get(&r, PM, 0, 4), 0x71138086);
	assert_int_equal(rig_get(&r, PM, 0x5b, 1), 2); /* firmware sees SMIs set up */
	rig_set(&r, ISA, 4, 2, 0);
	assert_int_equal(rig_get(&r, ISA, 4, 2), 7);
}

static void test_routing(void **state)
{
	(void)state;
	piix3_pirq(&isa, 2, 1);
	assert_int_equal(lines, 0); /* off at power-on */
	rig_set(&r, ISA, 0x62, 1, 11);
	assert_int_equal(lines, 1u << 11);
	rig_set(&r, ISA, 0x60, 4, 0x0a0b0a0b);
	assert_int_equal(lines, 1u << 11);
	piix3_pirq(&isa, 0, 1);
	piix3_pirq(&isa, 2, 0);
	assert_int_equal(lines, 1u << 11); /* both inputs are on line 11 */
	piix3_pirq(&isa, 0, 0);
	assert_int_equal(lines, 0);
	/* Lines that PCI interrupts cannot be on. */
	piix3_pirq(&isa, 1, 1);
	for (uint32_t line = 0; line < 16; line++) {
		rig_set(&r, ISA, 0x61, 1, line);
		assert_int_equal(lines, 0xdef8 >> line & 1 ? 1u << line : 0);
	}
	rig_set(&r, ISA, 0x61, 1, 0x85);
	assert_int_equal(lines, 0);
}

static void test_sci_shares(void **state)
{
	(void)state;
	rig_set(&r, ISA, 0x60, 1, 9);
	piix3_pirq(&isa, 0, 1);
	piix3_sci(&isa, 1);
	piix3_pirq(&isa, 0, 0);
	assert_int_equal(lines, 1u << 9);
	piix3_reset(&isa);
	assert_int_equal(lines, 0);
}

static void test_reset_control(void **state)
{
	(void)state;
	piix3_side_write(&isa, 0, 6);
	piix3_side_write(&isa, 1, 2);
	assert_int_equal(resets + inits, 0);
	assert_int_equal(piix3_side_read(&isa, 1), 2);
	piix3_side_write(&isa, 1, 6);
	assert_int_equal(resets, 1);
	piix3_side_write(&isa, 1, 4);
	assert_int_equal(inits, 1);
	assert_int_equal(resets, 1);
}

static void test_port_92(void **state)
{
	(void)state;
	assert_int_equal(rig_in(&r, 0x92, 1), 2);
	rig_out(&r, 0x92, 1, 0);
	assert_int_equal(rig_in(&r, 0x92, 1), 0);
	rig_out(&r, 0x92, 1, 3);
	rig_out(&r, 0x92, 1, 3);
	assert_int_equal(inits, 1); /* going up, once */
	piix3_set_a20(&isa, 0);
	assert_int_equal(rig_in(&r, 0x92, 1) & 2, 0);
}

static void test_port_61(void **state)
{
	(void)state;
	rig_out(&r, 0x61, 1, 0xff);
	assert_int_equal(gate, 1);
	assert_int_equal(rig_in(&r, 0x61, 1), 0x0f);
	refresh = output = 1;
	assert_int_equal(rig_in(&r, 0x61, 1), 0x3f);
	rig_out(&r, 0x61, 1, 0);
	assert_int_equal(gate, 0);
}

/* ---- power management ---- */

static void open_pm(uint32_t base)
{
	rig_set(&r, PM, 0x40, 4, base | 1);
	rig_set(&r, PM, 0x80, 1, 1);
}

static void test_pm_base(void **state)
{
	(void)state;
	assert_int_equal(rig_in(&r, 0x608, 4), UINT32_MAX);
	open_pm(0x600);
	assert_int_equal(rig_in(&r, 0x608, 4), 0);
	host_fake_advance(r.f, 1000 * MS);
	assert_int_equal(rig_in(&r, 0x608, 4), 3579545);
	assert_int_equal(rig_in(&r, 0x60a, 1), 3579545 >> 16);
	rig_set(&r, PM, 0x40, 4, 0xb001);
	assert_int_equal(rig_in(&r, 0x608, 4), UINT32_MAX);
	assert_int_equal(rig_in(&r, 0xb008, 2), 3579545 & 0xffff);
	rig_set(&r, PM, 0x80, 1, 0);
	assert_int_equal(rig_in(&r, 0xb008, 4), UINT32_MAX);
	piix4_pm_open(&pm);
	assert_int_equal(rig_in(&r, 0x608, 4), 3579545);
}

static void test_timer(void **state)
{
	(void)state;
	open_pm(0x600);
	rig_out(&r, 0x602, 2, 1);
	rig_out(&r, 0xb2, 1, PIIX4_ACPI_ENABLE);
	assert_int_equal(rig_in(&r, 0x604, 2) & 1, 1);
	assert_int_equal(rig_in(&r, 0x600, 2), 0);
	host_fake_advance(r.f, 2343 * MS); /* bit 23 changes after 2.3435 s */
	assert_int_equal(lines, 0);
	host_fake_advance(r.f, 1 * MS);
	assert_int_equal(lines, 1u << 9);
	assert_int_equal(rig_in(&r, 0x600, 2), 1);
	rig_out(&r, 0x600, 2, 1);
	assert_int_equal(lines, 0);
	host_fake_advance(r.f, 2344 * MS);
	assert_int_equal(lines, 1u << 9);
	rig_out(&r, 0xb2, 1, PIIX4_ACPI_DISABLE);
	assert_int_equal(lines, 0);
	/* 24 bits. */
	host_fake_advance(r.f, 100000 * MS);
	assert_true(rig_in(&r, 0x608, 4) < 1u << 24);
}

static void test_button(void **state)
{
	(void)state;
	open_pm(0x600);
	assert_int_not_equal(piix4_pm_button(&pm), 0);
	rig_out(&r, 0x600, 2, 0x100);
	rig_out(&r, 0x602, 2, 0x100);
	rig_out(&r, 0x604, 2, 1);
	assert_int_equal(piix4_pm_button(&pm), 0);
	assert_int_equal(lines, 1u << 9);
	rig_out(&r, 0x601, 1, 1); /* the byte that it is in */
	assert_int_equal(lines, 0);
}

static void test_sleep(void **state)
{
	(void)state;
	open_pm(0x600);
	rig_out(&r, 0x604, 2, 1 << 10 | 0x2000); /* S3 is not offered */
	assert_int_equal(offs, 0);
	rig_out(&r, 0x605, 1, 0x20); /* type 0, in a byte */
	assert_int_equal(offs, 1);
	assert_int_equal(rig_in(&r, 0x604, 2) & 0x2000, 0); /* write-only */
	rig_out(&r, 0x604, 4, 0x2000);
	assert_int_equal(offs, 2);
}

/* Any register, any width: nothing but what a register holds comes of it. */
static void test_rubbish(void **state)
{
	uint32_t seed = 1;

	(void)state;
	open_pm(0x600);
	for (int i = 0; i < 20000; i++) {
		uint32_t width = 1u << (seed >> 8) % 3, at = (seed >> 12) % 64;

		seed = seed * 1664525 + 1013904223;
		piix4_pm_ops.write(&pm, at, width, seed);
		piix4_pm_ops.read(&pm, at, width);
		piix4_apm_ops.write(&pm, at & 1, 1 + (seed >> 30 & 1), seed >> 4);
	}
	piix4_pm_reset(&pm);
	assert_int_equal(rig_in(&r, 0x604, 2), 0);
	assert_int_equal(lines, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(identity), T(routing), T(sci_shares), T(reset_control), T(port_92), T(port_61), T(pm_base), T(timer),
		T(button), T(sleep), T(rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
