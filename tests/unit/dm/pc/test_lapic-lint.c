/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dm/pc/lapic.h"
#include "fake/host-fake.h"

#define VCPUS 2u
#define MASKED 0x10000u
#define LEVEL 0x8000u
#define REMOTE_IRR 0x4000u
#define EXTINT 0x700u
#define NMI 0x400u

enum { EOI = 0xb0, SVR = 0xf0, TMR = 0x180, LINT0 = 0x350, LINT1 = 0x360 };

struct rig {
	struct host_fake *f;
	struct lapics s;
	bool asks; /* the 8259s do */
};

static int intack(void *board, bool all_the_same)
{
	struct rig *r = board;
	bool asked = r->asks;

	r->asks = false;
	if (asked)
		lapics_intr(&r->s, 0);
	return asked || all_the_same ? 0x38 : -1;
}

static void intr(struct rig *r, bool level)
{
	r->asks = level;
	lapics_intr(&r->s, level);
}

static void wr(struct rig *r, uint32_t vcpu, uint64_t offset, uint32_t value)
{
	r->f->current = vcpu;
	host_fake_out(r->f, GAMUT_SPACE_MMIO, LAPIC_BASE + offset, 4, value);
}

static uint32_t rd(struct rig *r, uint32_t vcpu, uint64_t offset)
{
	r->f->current = vcpu;
	return (uint32_t)host_fake_in(r->f, GAMUT_SPACE_MMIO, LAPIC_BASE + offset, 4);
}

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, VCPUS);
	assert_int_equal(lapics_init(&r->s, r->f->host, r->f->inst), 0);
	r->s.intack = intack;
	r->s.board = r;
	assert_int_equal(lapics_register(&r->s), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	lapics_finish(&r->s);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
	return 0;
}

static uint32_t raises(struct rig *r, uint32_t vcpu)
{
	return r->f->vcpu[vcpu].irq_raises;
}

/* ---- tests ---- */

static void virtual_wire(void **state)
{
	struct rig *r = *state;
	uint32_t before;

	assert_false(lapics_wired(&r->s));
	intr(r, true); /* masked, as after power-on */
	assert_int_equal(lapic_pending(&r->s, 0), 0);
	assert_int_equal(lapic_accept(&r->s, 0), -1);
	wr(r, 0, LINT0, EXTINT); /* disabled, it stays masked */
	assert_int_equal(lapic_pending(&r->s, 0), 0);
	wr(r, 0, SVR, 0x1ff);
	before = raises(r, 0);
	wr(r, 0, LINT0, EXTINT | LEVEL);
	assert_int_equal(raises(r, 0), before + 1); /* it was high all the while */
	assert_true(lapics_wired(&r->s));
	assert_int_equal(lapic_pending(&r->s, 0), 1);
	assert_int_equal(lapic_pending(&r->s, 0), 1);
	assert_int_equal(lapic_pending(&r->s, 1), 0);
	assert_int_equal(lapic_accept(&r->s, 1), -1);
	assert_true(r->asks);
	assert_int_equal(lapic_accept(&r->s, 0), 0x38);
	assert_int_equal(lapic_accept(&r->s, 0), -1);
	before = raises(r, 0);
	intr(r, true);
	assert_int_equal(raises(r, 0), before + 1);
	/* It asks for no priority, and goes first. */
	wr(r, 0, 0x80, 0xff);
	assert_int_equal(lapic_accept(&r->s, 0), 0x38);
	wr(r, 0, 0x80, 0);
	lapic_set_irq(&r->s, 0, 0xf0);
	intr(r, true);
	assert_int_equal(lapic_accept(&r->s, 0), 0x38);
	assert_int_equal(lapic_accept(&r->s, 0), 0xf0);
	/* Withdrawn. */
	intr(r, true);
	intr(r, false);
	assert_int_equal(lapic_pending(&r->s, 0), 0);
	assert_int_equal(lapic_accept(&r->s, 0), -1);
}

static void two_that_could_take_it(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < VCPUS; i++) {
		wr(r, i, SVR, 0x1ff);
		wr(r, i, LINT0, EXTINT);
	}
	intr(r, true);
	assert_int_equal(lapic_accept(&r->s, 1), 0x38);
	assert_int_equal(lapic_accept(&r->s, 0), -1);
}

static void turned_off_the_pins_are_the_processors(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < VCPUS; i++)
		assert_int_equal(host_fake_wrmsr(r->f, i, 0x1b, LAPIC_BASE | (i ? 0 : 0x100)), 0);
	intr(r, true);
	assert_int_equal(lapic_pending(&r->s, 1), 0);
	assert_int_equal(lapic_pending(&r->s, 0), 1);
	assert_int_equal(lapic_accept(&r->s, 0), 0x38);
	lapics_nmi(&r->s);
	assert_int_equal(r->f->vcpu[0].nmis, 1);
	assert_int_equal(r->f->vcpu[1].nmis, 0);
}

static void nmi(void **state)
{
	struct rig *r = *state;

	lapics_nmi(&r->s);
	assert_int_equal(r->f->vcpu[0].nmis, 0);
	for (uint32_t i = 0; i < VCPUS; i++) {
		wr(r, i, SVR, 0x1ff);
		wr(r, i, LINT1, NMI | (i ? MASKED : LEVEL));
	}
	lapics_nmi(&r->s);
	lapics_nmi(&r->s);
	assert_int_equal(r->f->vcpu[0].nmis, 2);
	assert_int_equal(r->f->vcpu[1].nmis, 0);
	/* The 8259s as an NMI: Linux's watchdog of old. */
	wr(r, 0, LINT0, NMI);
	intr(r, true);
	intr(r, false);
	intr(r, true);
	assert_int_equal(r->f->vcpu[0].nmis, 4);
}

static void fixed_edge(void **state)
{
	struct rig *r = *state;

	wr(r, 0, SVR, 0x1ff);
	wr(r, 0, LINT0, 0x41);
	assert_true(lapics_wired(&r->s));
	intr(r, true);
	assert_int_equal(lapic_accept(&r->s, 0), 0x41);
	wr(r, 0, EOI, 0);
	assert_int_equal(lapic_accept(&r->s, 0), -1);
	assert_true(r->asks); /* nobody has asked the 8259s */
	intr(r, false);
	intr(r, true);
	assert_int_equal(lapic_accept(&r->s, 0), 0x41);
}

static void fixed_level(void **state)
{
	struct rig *r = *state;

	wr(r, 0, SVR, 0x1ff);
	intr(r, true);
	wr(r, 0, LINT0, 0x41 | LEVEL);
	assert_int_equal(rd(r, 0, LINT0), 0x41 | LEVEL | REMOTE_IRR);
	assert_int_equal(rd(r, 0, TMR + 0x20), 2);
	assert_int_equal(lapic_accept(&r->s, 0), 0x41);
	wr(r, 0, LINT0, 0x41 | LEVEL); /* does not ask twice */
	assert_int_equal(rd(r, 0, LINT0), 0x41 | LEVEL | REMOTE_IRR);
	wr(r, 0, EOI, 0);
	assert_int_equal(lapic_accept(&r->s, 0), 0x41); /* still high */
	intr(r, false);
	wr(r, 0, EOI, 0);
	assert_int_equal(rd(r, 0, LINT0), 0x41 | LEVEL);
	assert_int_equal(lapic_accept(&r->s, 0), -1);
}

static void init(void **state)
{
	struct rig *r = *state;

	r->f->vcpu[1].up = true;
	wr(r, 1, SVR, 0x1ff);
	wr(r, 1, LINT0, 0x500);
	intr(r, true);
	assert_false(r->f->vcpu[1].up);
	assert_int_equal(rd(r, 1, LINT0), MASKED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(virtual_wire), T(two_that_could_take_it), T(turned_off_the_pins_are_the_processors), T(nmi), T(fixed_edge),
		T(fixed_level), T(init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
