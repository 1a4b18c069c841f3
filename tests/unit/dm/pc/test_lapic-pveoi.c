/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>

#include "dm/pc/lapic.h"
#include "fake/host-fake.h"

#define WORD 0x5000u
#define LEVEL 0x8000u
#define ASSERT 0x4000u

enum { EOI = 0xb0, ISR = 0x100, SVR = 0xf0 };

struct rig {
	struct host_fake *f;
	struct lapics s;
	uint64_t ended; /* by the guest's bit */
};

static void wr(struct rig *r, uint64_t offset, uint32_t value)
{
	host_fake_out(r->f, GAMUT_SPACE_MMIO, LAPIC_BASE + offset, 4, value);
}

static uint32_t in_service(struct rig *r, uint32_t vector)
{
	return (uint32_t)host_fake_in(r->f, GAMUT_SPACE_MMIO, LAPIC_BASE + ISR + vector / 32 * 16, 4) >> vector % 32 & 1;
}

static uint32_t *word(struct rig *r)
{
	return (void *)(r->f->ram + WORD);
}

/* As the guest does it: true when that was all. */
static bool guest_ends(struct rig *r)
{
	uint32_t old = *word(r);

	*word(r) &= ~1u;
	return old & 1;
}

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, 2);
	assert_int_equal(lapics_init(&r->s, r->f->host, r->f->inst), 0);
	r->s.pv_eois = &r->ended;
	assert_int_equal(lapics_register(&r->s), 0);
	wr(r, SVR, 0x1ff);
	*word(r) = 0xabcd0000;
	assert_int_equal(lapic_pv_eoi(&r->s, 0, WORD | 1), 0);
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

static void take(struct rig *r, int vector)
{
	lapic_set_irq(&r->s, 0, (uint8_t)vector);
	assert_int_equal(lapic_accept(&r->s, 0), vector);
}

static void ends_without_an_exit(void **state)
{
	struct rig *r = *state;

	take(r, 0x40);
	assert_int_equal(*word(r), 0xabcd0001);
	assert_true(guest_ends(r));
	/* What is read by then is as if EOI had been written. */
	assert_false(in_service(r, 0x40));
	assert_int_equal(r->ended, 1);
	take(r, 0x40);
	assert_true(guest_ends(r));
	/* The next one sees to it, of a lower class too. */
	take(r, 0x31);
	assert_int_equal(r->ended, 2);
	assert_true(*word(r) & 1);
}

static void one_that_waits_is_not_lost(void **state)
{
	struct rig *r = *state;
	uint32_t raised;

	take(r, 0x40);
	raised = r->f->vcpu[0].irq_raises;
	lapic_set_irq(&r->s, 0, 0x31);
	assert_true(r->f->vcpu[0].irq_raises > raised);
	assert_true(lapic_pending(&r->s, 0));
	assert_true(guest_ends(r));
	assert_true(lapic_pending(&r->s, 0));
	assert_int_equal(lapic_accept(&r->s, 0), 0x31);
	assert_int_equal(r->ended, 1);
}

static void taken_back_when_the_guest_has_not_come_so_far(void **state)
{
	struct rig *r = *state;

	take(r, 0x40);
	lapic_set_irq(&r->s, 0, 0x31);
	assert_int_equal(lapic_accept(&r->s, 0), -1);
	/* It is not looked for again and again. */
	assert_false(lapic_pending(&r->s, 0));
	assert_false(guest_ends(r));
	wr(r, EOI, 0);
	assert_int_equal(lapic_accept(&r->s, 0), 0x31);
	assert_int_equal(r->ended, 0);
}

static void nested(void **state)
{
	struct rig *r = *state;

	take(r, 0x40);
	take(r, 0x60);
	/* The inner one's; the outer one's was taken back. */
	assert_true(guest_ends(r));
	assert_true(in_service(r, 0x40));
	assert_false(in_service(r, 0x60));
	assert_false(guest_ends(r));
	wr(r, EOI, 0);
	assert_false(in_service(r, 0x40));
}

static void no_offer(void **state)
{
	struct rig *r = *state;

	/* Somebody waits for the end. */
	lapic_set_irq(&r->s, 0, 0x31);
	take(r, 0x40);
	assert_false(*word(r) & 1);
	wr(r, EOI, 0);
	assert_int_equal(lapic_accept(&r->s, 0), 0x31);
	assert_true(guest_ends(r));
	/* The I/O APIC does. */
	lapics_msi(&r->s, LAPIC_BASE, LEVEL | ASSERT | 0x50);
	assert_int_equal(lapic_accept(&r->s, 0), 0x50);
	assert_false(*word(r) & 1);
	wr(r, EOI, 0);
	/* Disabled: what is out is taken back first. */
	take(r, 0x40);
	assert_int_equal(lapic_pv_eoi(&r->s, 0, 0), 0);
	assert_false(*word(r) & 1);
	assert_true(in_service(r, 0x40));
	wr(r, EOI, 0);
	take(r, 0x40);
	assert_false(*word(r) & 1);
}

static void bad_values_and_memory(void **state)
{
	struct rig *r = *state;

	assert_int_equal(lapic_pv_eoi(&r->s, 0, WORD | 3), -EPERM);
	assert_int_equal(lapic_pv_eoi(&r->s, 0, WORD | 2), -EPERM);
	assert_int_equal(lapic_pv_eoi(&r->s, 0, (64ull << 30) | 1), -EPERM);
	assert_int_equal(lapic_pv_eoi(&r->s, 0, ~3ull | 1), -EPERM);
	assert_int_equal(lapic_pv_eoi_value(&r->s, 0), WORD | 1);
	/* The page goes away with an offer out: then it is for the guest to write EOI. */
	take(r, 0x40);
	r->f->hole[WORD / 4096] = 1;
	assert_true(in_service(r, 0x40));
	wr(r, EOI, 0);
	take(r, 0x41);
	assert_true(in_service(r, 0x41));
	wr(r, EOI, 0);
	r->f->hole[WORD / 4096] = 0;
	assert_int_equal(r->ended, 0);
}

static void init_forgets(void **state)
{
	struct rig *r = *state;

	take(r, 0x40);
	lapics_init_pin(&r->s);
	assert_int_equal(lapic_pv_eoi_value(&r->s, 0), 0);
	assert_false(lapic_pending(&r->s, 0));
	wr(r, SVR, 0x1ff);
	*word(r) = 0;
	take(r, 0x40);
	assert_int_equal(*word(r), 0);
	assert_int_equal(r->ended, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ends_without_an_exit, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_waits_is_not_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_back_when_the_guest_has_not_come_so_far, setup, teardown),
		cmocka_unit_test_setup_teardown(nested, setup, teardown),
		cmocka_unit_test_setup_teardown(no_offer, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_values_and_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(init_forgets, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
