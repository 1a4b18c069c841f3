/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dm/pc/ioapic.h"

#define MASKED 0x10000u
#define LEVEL 0x8000u
#define REMOTE_IRR 0x4000u

struct rig {
	struct ioapic p;
	struct apic_message last;
	uint32_t sent;
	int fate;
};

static int send(void *opaque, const struct apic_message *m)
{
	struct rig *r = opaque;

	r->last = *m;
	r->sent++;
	return r->fate;
}

static void wr(struct rig *r, uint32_t reg, uint32_t value)
{
	ioapic_ops.write(&r->p, 0, 4, reg);
	ioapic_ops.write(&r->p, 0x10, 4, value);
}

static uint32_t rd(struct rig *r, uint32_t reg)
{
	ioapic_ops.write(&r->p, 0, 4, reg);
	return (uint32_t)ioapic_ops.read(&r->p, 0x10, 4);
}

static void entry(struct rig *r, uint32_t pin, uint32_t low)
{
	wr(r, 0x10 + 2 * pin, low);
}

static int pulse(struct rig *r, uint32_t pin)
{
	int fate = ioapic_set(&r->p, pin, 1);

	ioapic_set(&r->p, pin, 0);
	return fate;
}

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	ioapic_init(&r->p, send, r);
	r->fate = APIC_TAKEN;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	ioapic_finish(&r->p);
	test_free(r);
	return 0;
}

/* ---- tests ---- */

static void registers(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rd(r, 1), 0x170020);
	wr(r, 1, 0);
	assert_int_equal(rd(r, 1), 0x170020);
	wr(r, 0, UINT32_MAX);
	assert_int_equal(rd(r, 0), 0x0f000000);
	assert_int_equal(rd(r, 2), 0x0f000000);
	wr(r, 2, 0);
	assert_int_equal(rd(r, 2), 0x0f000000);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		assert_int_equal(rd(r, 0x10 + 2 * pin), MASKED);
		wr(r, 0x10 + 2 * pin, UINT32_MAX);
		wr(r, 0x11 + 2 * pin, UINT32_MAX);
		assert_int_equal(rd(r, 0x10 + 2 * pin), 0x1afff); /* status and remote IRR are read-only */
		assert_int_equal(rd(r, 0x11 + 2 * pin), 0xff000000);
	}
	assert_int_equal(rd(r, 0x40), 0);
	assert_int_equal(rd(r, 0xff), 0);
	wr(r, 0xff, 1);
	/* Ways to get at them. */
	ioapic_ops.write(&r->p, 0, 1, 1);
	assert_int_equal(ioapic_ops.read(&r->p, 0, 1), 1);
	assert_int_equal(ioapic_ops.read(&r->p, 0x12, 1) & 0xff, 0x17);
	ioapic_ops.write(&r->p, 0, 4, 0x10);
	ioapic_ops.write(&r->p, 0x10, 1, 0); /* not by half */
	ioapic_ops.write(&r->p, 0x12, 4, 0);
	assert_int_equal(rd(r, 0x10), 0x1afff);
	assert_int_equal(ioapic_ops.read(&r->p, 0x20, 4), 0);
	ioapic_reset(&r->p);
	assert_int_equal(rd(r, 0), 0);
	assert_int_equal(rd(r, 0x10), MASKED);
	assert_int_equal(rd(r, 0x11), 0);
}

static void edges(void **state)
{
	struct rig *r = *state;

	wr(r, 0x11 + 2 * 14, 0xd000000);
	entry(r, 14, 0x876);
	assert_int_equal(r->sent, 0);
	assert_int_equal(ioapic_set(&r->p, 14, 1), APIC_TAKEN);
	assert_int_equal(r->sent, 1);
	assert_int_equal(r->last.vector, 0x76);
	assert_int_equal(r->last.dest, 0xd);
	assert_true(r->last.logical);
	assert_false(r->last.level);
	assert_int_equal(ioapic_set(&r->p, 14, 1), APIC_MERGED); /* no edge */
	assert_int_equal(r->sent, 1);
	ioapic_set(&r->p, 14, 0);
	pulse(r, 14);
	assert_int_equal(r->sent, 2);
	/* What comes while it is masked is lost. */
	entry(r, 14, 0x876 | MASKED);
	assert_int_equal(pulse(r, 14), APIC_NOBODY);
	ioapic_set(&r->p, 14, 1);
	entry(r, 14, 0x876);
	assert_int_equal(r->sent, 2);
	r->fate = APIC_MERGED;
	ioapic_set(&r->p, 14, 0);
	assert_int_equal(pulse(r, 14), APIC_MERGED);
	assert_int_equal(r->sent, 3);
	assert_int_equal(ioapic_set(&r->p, 24, 1), APIC_NOBODY);
	assert_int_equal(ioapic_set(&r->p, UINT32_MAX, 1), APIC_NOBODY);
}

static void levels(void **state)
{
	struct rig *r = *state;

	entry(r, 10, 0x77 | LEVEL);
	ioapic_set(&r->p, 10, 1);
	assert_int_equal(r->sent, 1);
	assert_true(r->last.level);
	assert_true(rd(r, 0x24) & REMOTE_IRR);
	/* One at a time. */
	ioapic_set(&r->p, 10, 0);
	ioapic_set(&r->p, 10, 1);
	assert_int_equal(r->sent, 1);
	ioapic_eoi(&r->p, 0x78);
	assert_int_equal(r->sent, 1);
	ioapic_eoi(&r->p, 0x77); /* still high */
	assert_int_equal(r->sent, 2);
	ioapic_set(&r->p, 10, 0);
	ioapic_eoi(&r->p, 0x77);
	assert_int_equal(r->sent, 2);
	assert_false(rd(r, 0x24) & REMOTE_IRR);
	/* Masked in its handler, ended, unmasked. */
	ioapic_set(&r->p, 10, 1);
	entry(r, 10, 0x77 | LEVEL | MASKED);
	assert_true(rd(r, 0x24) & REMOTE_IRR);
	ioapic_eoi(&r->p, 0x77);
	assert_int_equal(r->sent, 3);
	assert_false(rd(r, 0x24) & REMOTE_IRR);
	entry(r, 10, 0x77 | LEVEL);
	assert_int_equal(r->sent, 4);
	/* The destination changed while it is in service. */
	wr(r, 0x25, 0x1000000);
	assert_int_equal(r->sent, 4);
	ioapic_eoi(&r->p, 0x77);
	assert_int_equal(r->sent, 5);
	assert_int_equal(r->last.dest, 1);
}

static void the_eoi_register(void **state)
{
	struct rig *r = *state;

	entry(r, 10, 0x77 | LEVEL);
	ioapic_set(&r->p, 10, 1);
	ioapic_set(&r->p, 10, 0);
	ioapic_ops.write(&r->p, 0x40, 4, 0x76);
	assert_true(rd(r, 0x24) & REMOTE_IRR);
	ioapic_ops.write(&r->p, 0x40, 4, 0x77);
	assert_false(rd(r, 0x24) & REMOTE_IRR);
	/* And the way of those without it: to edge and back. */
	ioapic_set(&r->p, 10, 1);
	assert_true(rd(r, 0x24) & REMOTE_IRR);
	entry(r, 10, 0x77 | MASKED);
	assert_false(rd(r, 0x24) & REMOTE_IRR);
	entry(r, 10, 0x77 | LEVEL);
	assert_int_equal(r->sent, 3);
}

static void a_level_without_a_target(void **state)
{
	struct rig *r = *state;

	r->fate = APIC_NOBODY;
	entry(r, 10, 0x77 | LEVEL);
	assert_int_equal(ioapic_set(&r->p, 10, 1), APIC_NOBODY);
	assert_false(rd(r, 0x24) & REMOTE_IRR);
	r->fate = APIC_MERGED; /* somebody has it already, and will end it */
	entry(r, 10, 0x77 | LEVEL);
	assert_true(rd(r, 0x24) & REMOTE_IRR);
}

static void delivery_modes(void **state)
{
	struct rig *r = *state;

	for (uint32_t mode = 0; mode < 8; mode++) {
		entry(r, mode, 0x50 | mode << 8 | LEVEL);
		ioapic_set(&r->p, mode, 1);
		assert_int_equal(r->sent, mode + 1);
		assert_int_equal(r->last.mode, mode);
		/* All but the first two are signals. */
		assert_int_equal(r->last.level, mode < 2);
		assert_int_equal((rd(r, 0x10 + 2 * mode) & REMOTE_IRR) != 0, mode < 2);
	}
}

static void reset_keeps_the_wires(void **state)
{
	struct rig *r = *state;

	ioapic_set(&r->p, 20, 1);
	ioapic_reset(&r->p);
	entry(r, 20, 0x60);
	assert_int_equal(r->sent, 0);
	entry(r, 20, 0x60 | LEVEL);
	assert_int_equal(r->sent, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(registers), T(edges), T(levels), T(the_eoi_register), T(a_level_without_a_target), T(delivery_modes),
		T(reset_keeps_the_wires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
