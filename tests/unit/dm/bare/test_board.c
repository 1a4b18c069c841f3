/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "dm/bare/board.h"
#include "dm/pc/intr.h"
#include "fake/host-fake.h"

#define PIO GAMUT_SPACE_PIO
#define MMIO GAMUT_SPACE_MMIO
#define GPA BARE_ACPI_GPA

enum { RESET = 0xcf9, SLEEP = 0x604, COM1 = 0x3f8, P61 = 0x61 };

struct rig {
	struct host_fake *f;
	struct pc_intr x;
	struct bare_board b;
	bool has_lines;
	uint64_t got; /* last write to a slot */
};

static struct rig *make(bool acpi, bool serial, int kind, bool xen)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, 2);
	host_fake_grow(r->f, 1ull << 32);
	if (serial)
		host_fake_need(r->f, GAMUT_SERIAL_PORTS);
	r->has_lines = kind >= 0;
	if (r->has_lines) {
		assert_int_equal(pc_intr_init(&r->x, r->f->host, r->f->inst, (enum pc_intr_kind)kind), 0);
		assert_int_equal(pc_intr_register(&r->x), 0);
		host_fake_give(r->f, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION,
		               pc_intr_interface(&r->x, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION), &r->x);
	}
	assert_int_equal(bare_board_init(&r->b, r->f->host, r->f->inst, acpi), 0);
	assert_int_equal(bare_board_start(&r->b, xen), 0);
	return r;
}

static void drop(struct rig *r)
{
	bare_board_finish(&r->b);
	if (r->has_lines)
		pc_intr_finish(&r->x);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
}

static uint64_t get(struct rig *r, uint64_t gpa, unsigned bytes)
{
	uint64_t value = 0;

	assert_int_equal(r->f->host->mem_read(r->f->inst, gpa, &value, bytes), 0);
	return value;
}

/* The XSDT's entry i; -1: the DSDT. */
static uint64_t table(struct rig *r, int i)
{
	uint64_t xsdt = get(r, GPA + 24, 8);

	return i < 0 ? get(r, get(r, xsdt + 36, 8) + 140, 8) : get(r, xsdt + 36 + 8 * (uint32_t)i, 8);
}

static bool says(struct rig *r, const char *text)
{
	uint64_t dsdt = table(r, -1), len = get(r, dsdt + 4, 4);
	char body[4096];

	assert_true(len < sizeof(body));
	assert_int_equal(r->f->host->mem_read(r->f->inst, dsdt, body, len), 0);
	return memmem(body, len, text, strlen(text)) != NULL;
}

static uint64_t slot_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	return offset << 8 | width;
}

static void slot_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)offset;
	(void)width;
	((struct rig *)opaque)->got = value;
}

static const struct gamut_io_ops slot_ops = { sizeof(slot_ops), slot_read, slot_write, NULL, NULL };

static int add(struct rig *r, const char *hid, uint32_t len, struct gamut_slot **slot)
{
	const struct gamut_slots_ops *ops = bare_board_interface(&r->b, GAMUT_SLOTS, GAMUT_SLOTS_REVISION);

	return ops->add(&r->b, r->f->inst, hid, len, &slot_ops, r, slot);
}

/* ---- cases ---- */

static void a_plain_pvh_domain_has_nothing_more(void **state)
{
	struct rig *r = make(true, false, -1, true);
	struct gamut_slot *slot;

	(void)state;
	assert_int_equal(get(r, table(r, 1) + 4, 4), 44 + 2 * 8); /* MADT: no I/O APIC */
	assert_int_equal(get(r, table(r, 0) + 244, 8), 0);        /* no sleep register */
	assert_int_equal(get(r, table(r, 0) + 268, 6), 0x4d4d566e6558); /* "XenVMM" */
	assert_int_equal(get(r, table(r, -1) + 4, 4), 36 + 7);
	assert_int_equal(host_fake_in(r->f, PIO, COM1 + 5, 1), 0xff);
	assert_int_equal(host_fake_in(r->f, PIO, P61, 1), 0xff);
	assert_int_equal(get(r, 0xffff0, 4), 0);
	assert_int_equal(add(r, "LNRO0005", 512, &slot), -ENOSPC);
	assert_null(bare_board_interface(&r->b, GAMUT_SERIAL_PORTS, GAMUT_PC_REVISION));
	host_fake_out(r->f, PIO, SLEEP, 1, ACPI_SLEEP_OFF);
	assert_int_equal(r->f->ended, -1);
	host_fake_out(r->f, PIO, RESET, 1, 2);
	assert_int_equal(r->f->ended, -1);
	host_fake_out(r->f, PIO, RESET, 1, 6);
	assert_int_equal(r->f->ended, GAMUT_END_REBOOT);
	drop(r);
}

static void off_and_reset(void **state)
{
	static const uint8_t bad[] = { 0, ACPI_SLEEP_ENABLE, ACPI_S5_TYPE << 2, 3 << 2 | ACPI_SLEEP_ENABLE };
	struct rig *r = make(true, false, PC_INTR_IOAPIC, false);

	(void)state;
	assert_int_equal(get(r, table(r, 0) + 248, 8), SLEEP);
	assert_int_equal(get(r, table(r, 0) + 268, 8), 0);
	for (uint32_t i = 0; i < sizeof(bad); i++)
		host_fake_out(r->f, PIO, SLEEP, 1, bad[i]);
	host_fake_out(r->f, PIO, SLEEP + 1, 1, ACPI_SLEEP_OFF);
	assert_int_equal(r->f->ended, -1);
	host_fake_out(r->f, PIO, SLEEP, 1, ACPI_SLEEP_OFF);
	assert_int_equal(r->f->ended, GAMUT_END_POWEROFF);
	/* mov $6, %al; mov $0xcf9, %dx; out */
	assert_int_equal(get(r, 0xffff0, 6), 0xee0cf9ba06b0);
	drop(r);
}

static void slots_are_told_of(void **state)
{
	struct rig *r = make(true, false, PC_INTR_IOAPIC, false);
	struct gamut_slot *a, *b, *c;

	(void)state;
	assert_int_equal(get(r, table(r, 1) + 4, 4), 44 + 2 * 8 + 12);
	assert_int_equal(get(r, table(r, 1) + 44 + 8 + 3, 1), 1); /* ids as the controllers have them, not as under Xen */
	assert_false(says(r, "LNRO0005"));
	assert_int_equal(add(r, "LNRO0005", 512, &a), 0);
	assert_true(says(r, "LNRO0005"));
	assert_false(says(r, "TEST0001"));
	assert_int_equal(add(r, "TEST0001", 0x10000, &b), 0);
	assert_int_equal(add(r, "LNRO0005", 1, &c), 0);
	assert_true(says(r, "TEST0001"));
	assert_int_equal(r->b.devices[0].uid, 0);
	assert_int_equal(r->b.devices[1].uid, 0);
	assert_int_equal(r->b.devices[2].uid, 1);
	/* Each has its own window. */
	assert_int_equal(host_fake_in(r->f, MMIO, r->b.devices[0].base + 0x10, 4), 0x1004);
	host_fake_out(r->f, MMIO, r->b.devices[2].base, 4, 77);
	assert_int_equal(r->got, 77);
	assert_int_equal(r->b.devices[2].base, BARE_SLOTS_GPA + 0x11000);
	/* And its own pin. */
	bare_slot_irq(a, 1);
	assert_int_equal(r->x.ioapic.lines, 1u << 16);
	bare_slot_irq(c, 1);
	bare_slot_irq(a, 0);
	assert_int_equal(r->x.ioapic.lines, 1u << 18);
	drop(r);
}

/* A guest writes to its tables and maps over them; a reset brings them back with all devices. */
static void tables_come_back(void **state)
{
	struct rig *r = make(true, true, PC_INTR_IOAPIC, false);
	struct gamut_slot *slot;
	uint8_t before[4096], zero[4096] = { 0 };

	(void)state;
	assert_int_equal(add(r, "LNRO0005", 512, &slot), 0);
	assert_int_equal(r->f->host->mem_read(r->f->inst, GPA, before, sizeof(before)), 0);
	assert_int_equal(r->f->host->mem_write(r->f->inst, GPA, zero, sizeof(zero)), 0);
	assert_int_equal(r->f->host->mem_write(r->f->inst, 0xffff0, zero, 16), 0);
	assert_int_equal(bare_board_reset(&r->b), 0);
	assert_int_equal(r->f->host->mem_read(r->f->inst, GPA, zero, sizeof(zero)), 0);
	assert_memory_equal(before, zero, sizeof(before));
	assert_int_equal(get(r, 0xffff0, 1), 0xb0);
	drop(r);
}

static void slots_end(void **state)
{
	struct rig *r = make(true, true, PC_INTR_IOAPIC, false);
	uint32_t pins = 0;
	struct gamut_slot *slot;

	(void)state;
	assert_int_equal(add(r, "LNRO0005", 0, &slot), -EINVAL);
	assert_int_equal(add(r, "LNRO0005", 0x10001, &slot), -EINVAL);
	assert_int_equal(add(r, "LNRO00056", 512, &slot), -EINVAL);
	assert_int_equal(add(r, "", 512, &slot), -EINVAL);
	for (uint32_t i = 0; i < BARE_SLOTS; i++) {
		assert_int_equal(add(r, "LNRO0005", 0x10000, &slot), 0);
		pins |= 1u << slot->gsi;
	}
	assert_int_equal(add(r, "LNRO0005", 512, &slot), -ENOSPC);
	assert_int_equal(__builtin_popcount(pins), BARE_SLOTS);
	assert_false(pins & (1u << 0 | 1u << 2 | 1u << 4) || pins >> GAMUT_IRQ_COUNT);
	/* All of them fit into the tables. */
	assert_int_equal(r->b.acpi.n_devices, BARE_SLOTS + 1);
	assert_true(acpi_size(&r->b.acpi) <= r->b.bytes);
	drop(r);
}

/* A level stands until the device takes it back, over the ends of interrupts. */
static void a_slot_interrupts(void **state)
{
	struct rig *r = make(true, false, PC_INTR_IOAPIC, false);
	struct gamut_slot *slot;

	(void)state;
	assert_int_equal(add(r, "LNRO0005", 512, &slot), 0);
	r->f->current = 0;
	host_fake_out(r->f, MMIO, LAPIC_BASE + 0xf0, 4, 0x1ff);
	host_fake_out(r->f, MMIO, GAMUT_IOAPIC_BASE, 4, 0x10 + 2 * slot->gsi);
	host_fake_out(r->f, MMIO, GAMUT_IOAPIC_BASE + 0x10, 4, 0x8050);
	bare_slot_irq(slot, 1);
	assert_int_equal(lapic_accept(&r->x.apics, 0), 0x50);
	host_fake_out(r->f, MMIO, LAPIC_BASE + 0xb0, 4, 0);
	assert_int_equal(lapic_accept(&r->x.apics, 0), 0x50);
	bare_slot_irq(slot, 0);
	host_fake_out(r->f, MMIO, LAPIC_BASE + 0xb0, 4, 0);
	assert_int_equal(lapic_accept(&r->x.apics, 0), -1);
	drop(r);
}

static void serial_port(void **state)
{
	struct rig *r = make(true, true, PC_INTR_IOAPIC, false);
	const struct gamut_serial_ops *ops = bare_board_interface(&r->b, GAMUT_SERIAL_PORTS, GAMUT_PC_REVISION);

	(void)state;
	assert_true(says(r, "PNP0501"));
	assert_int_equal(ops->count, 1);
	assert_int_equal(ops->attach(&r->b, 1, NULL, NULL), -ENOENT);
	assert_int_equal(host_fake_in(r->f, PIO, COM1 + 5, 1), 0x60);
	host_fake_out(r->f, PIO, COM1 + 4, 1, 8); /* OUT2 */
	host_fake_out(r->f, PIO, COM1 + 1, 1, 2); /* the transmitter is empty */
	assert_int_equal(r->x.ioapic.lines, 1u << 4);
	assert_int_equal(bare_board_reset(&r->b), 0);
	assert_int_equal(r->x.ioapic.lines, 0);
	drop(r);
}

static void timer_and_its_port(void **state)
{
	struct rig *r = make(true, false, PC_INTR_TIMER, false);

	(void)state;
	assert_int_equal(host_fake_in(r->f, PIO, P61, 1) & 3, 0);
	/* Counter 2, mode 0: its output rises at the end, with the gate open. */
	host_fake_out(r->f, PIO, P61, 1, 1);
	host_fake_out(r->f, PIO, 0x43, 1, 0xb0);
	host_fake_out(r->f, PIO, 0x42, 1, 100);
	host_fake_out(r->f, PIO, 0x42, 1, 0);
	assert_int_equal(host_fake_in(r->f, PIO, P61, 1) & 0x21, 1);
	host_fake_advance(r->f, 200000);
	assert_int_equal(host_fake_in(r->f, PIO, P61, 1) & 0x21, 0x21);
	/* There are no 8259s. */
	assert_int_equal(host_fake_in(r->f, PIO, 0x21, 1), 0xff);
	drop(r);
}

static void without_tables(void **state)
{
	struct rig *r = make(false, true, PC_INTR_IOAPIC, false);
	struct gamut_slot *slot;

	(void)state;
	assert_int_equal(bare_board_tables(&r->b), 0);
	assert_int_equal(add(r, "LNRO0005", 512, &slot), -ENOSPC);
	host_fake_out(r->f, PIO, RESET, 1, 6);
	assert_int_equal(r->f->ended, -1);
	assert_int_equal(host_fake_in(r->f, PIO, COM1 + 5, 1), 0x60);
	assert_int_equal(bare_board_reset(&r->b), 0);
	drop(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_pvh_domain_has_nothing_more),
		cmocka_unit_test(off_and_reset),
		cmocka_unit_test(slots_are_told_of),
		cmocka_unit_test(tables_come_back),
		cmocka_unit_test(slots_end),
		cmocka_unit_test(a_slot_interrupts),
		cmocka_unit_test(serial_port),
		cmocka_unit_test(timer_and_its_port),
		cmocka_unit_test(without_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
