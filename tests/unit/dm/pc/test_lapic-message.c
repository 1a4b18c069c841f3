/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dm/pc/lapic.h"
#include "fake/host-fake.h"

#define VCPUS 4u
#define MSI 0xfee00000ull
#define LOGICAL 4u
#define REDIRECT 8u
#define LEVEL 0x8000u
#define ASSERT 0x4000u

enum { TPR = 0x80, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300,
       ICR_HIGH = 0x310 };

struct rig {
	struct host_fake *f;
	struct lapics s;
	int vector; /* what the 8259s would give */
	uint32_t acks;
};

static int intack(void *board, bool all_the_same)
{
	struct rig *r = board;

	assert_true(all_the_same);
	r->acks++;
	return r->vector;
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
	r->s.id_shift = 0;
	r->s.restarts = true;
	r->s.intack = intack;
	r->s.board = r;
	assert_int_equal(lapics_register(&r->s), 0);
	for (uint32_t i = 0; i < VCPUS; i++) {
		wr(r, i, SVR, 0x1ff);
		wr(r, i, LDR, 1u << (24 + i));
	}
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

static uint32_t who_got(struct rig *r, int vector)
{
	uint32_t mask = 0;

	for (uint32_t i = 0; i < VCPUS; i++) {
		int got = lapic_accept(&r->s, i);

		if (got < 0)
			continue;
		assert_int_equal(got, vector);
		mask |= 1u << i;
		wr(r, i, EOI, 0);
	}
	return mask;
}

static uint64_t to(uint32_t dest, uint32_t flags)
{
	return MSI | dest << 12 | flags;
}

/* ---- tests ---- */

static void destinations(void **state)
{
	struct rig *r = *state;

	assert_int_equal(lapics_msi(&r->s, to(2, 0), 0x41), APIC_TAKEN);
	assert_int_equal(who_got(r, 0x41), 4);
	lapics_msi(&r->s, to(0xff, 0), 0x41);
	assert_int_equal(who_got(r, 0x41), 0xf);
	assert_int_equal(lapics_msi(&r->s, to(9, 0), 0x41), APIC_NOBODY);
	lapics_msi(&r->s, to(0xa, LOGICAL), 0x41); /* without the hint, as Linux does */
	assert_int_equal(who_got(r, 0x41), 0xa);
	/* In x2APIC mode the eight bits are ids, and members of cluster 0. */
	for (uint32_t i = 0; i < VCPUS; i++)
		assert_int_equal(host_fake_wrmsr(r->f, i, 0x1b, LAPIC_BASE | 0xc00), 0);
	lapics_msi(&r->s, to(3, 0), 0x41);
	assert_int_equal(lapic_accept(&r->s, 3), 0x41);
	lapics_msi(&r->s, to(0xd, LOGICAL), 0x42);
	for (uint32_t i = 0; i < VCPUS; i++)
		assert_int_equal(lapic_pending(&r->s, i), i != 1 && i != 3); /* 3 is busy with the class */
	host_fake_wrmsr(r->f, 3, 0x80b, 0);
	assert_int_equal(lapic_accept(&r->s, 3), 0x42);
}

static void one_of_several(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < VCPUS; i++)
		wr(r, i, TPR, i == 2 ? 0x10 : 0x20);
	lapics_msi(&r->s, to(0xf, LOGICAL), 0x141);
	assert_int_equal(who_got(r, 0x41), 4);
	lapics_msi(&r->s, to(0xf, LOGICAL | REDIRECT), 0x41);
	assert_int_equal(who_got(r, 0x41), 4);
	lapics_msi(&r->s, to(0xb, LOGICAL | REDIRECT), 0x41);
	assert_int_equal(who_got(r, 0x41), 1); /* the first of equals */
	wr(r, 2, SVR, 0xff); /* disabled: not a candidate */
	lapics_msi(&r->s, to(0xf, LOGICAL), 0x141);
	assert_int_equal(who_got(r, 0x41), 1);
	assert_int_equal(lapics_msi(&r->s, to(0x4, LOGICAL), 0x141), APIC_NOBODY);
}

static void merging(void **state)
{
	struct rig *r = *state;

	assert_int_equal(lapics_msi(&r->s, to(1, 0), 0x41), APIC_TAKEN);
	assert_int_equal(lapics_msi(&r->s, to(1, 0), 0x41), APIC_MERGED);
	assert_int_equal(lapics_msi(&r->s, to(0xff, 0), 0x41), APIC_TAKEN); /* new to the others */
	assert_int_equal(who_got(r, 0x41), 0xf);
}

static void levels(void **state)
{
	struct rig *r = *state;

	lapics_msi(&r->s, to(1, 0), 0x41 | LEVEL | ASSERT);
	assert_int_equal(rd(r, 1, TMR + 0x20), 2);
	assert_int_equal(who_got(r, 0x41), 2);
	lapics_msi(&r->s, to(1, 0), 0x41 | LEVEL); /* de-assertion */
	assert_int_equal(who_got(r, 0x41), 0);
}

static void other_modes(void **state)
{
	struct rig *r = *state;

	lapics_msi(&r->s, to(1, 0), 0x400);
	assert_int_equal(r->f->vcpu[1].nmis, 1);
	assert_int_equal(lapics_msi(&r->s, to(1, 0), 0x200), APIC_NOBODY);
	assert_int_equal(host_fake_counter(r->f, "apic-smi-dropped"), 1);
	assert_int_equal(lapics_msi(&r->s, to(1, 0), 0x300), APIC_NOBODY);
	assert_int_equal(lapics_msi(&r->s, to(1, 0), 0x610), APIC_NOBODY);
	assert_int_equal(lapics_msi(&r->s, 0xfed00000, 0x41), APIC_NOBODY);
	assert_int_equal(lapics_msi(&r->s, to(1, 0) | 1ull << 32, 0x41), APIC_NOBODY);
	assert_int_equal(host_fake_counter(r->f, "apic-ipis-refused"), 4);
	assert_int_equal(who_got(r, 0), 0);
	/* A vector that cannot be is the receiver's error. */
	lapics_msi(&r->s, to(1, 0), 0x0f);
	wr(r, 1, ESR, 0);
	assert_int_equal(rd(r, 1, ESR), 0x40);
	/* ExtINT: the vector is the 8259s'. */
	r->vector = 0x37;
	assert_int_equal(lapics_msi(&r->s, to(1, 0), 0x700), APIC_TAKEN);
	assert_int_equal(r->acks, 0);
	assert_int_equal(lapic_pending(&r->s, 1), 1);
	assert_int_equal(lapic_pending(&r->s, 0), 0);
	assert_int_equal(lapic_accept(&r->s, 1), 0x37);
	assert_int_equal(r->acks, 1);
	assert_int_equal(lapic_accept(&r->s, 1), -1);
	/* One that is disabled takes nothing but signals. */
	wr(r, 1, SVR, 0xff);
	assert_int_equal(lapics_msi(&r->s, to(1, 0), 0x41), APIC_NOBODY);
	assert_int_equal(lapics_msi(&r->s, to(1, 0), 0x700), APIC_NOBODY);
	lapics_msi(&r->s, to(1, 0), 0x400);
	assert_int_equal(r->f->vcpu[1].nmis, 2);
	/* One that is off, not even those. */
	host_fake_wrmsr(r->f, 1, 0x1b, LAPIC_BASE);
	assert_int_equal(lapics_msi(&r->s, to(1, 0), 0x400), APIC_NOBODY);
}

static void init_starts_the_first_over(void **state)
{
	struct rig *r = *state;
	struct gamut_vcpu_state *s = &r->f->vcpu[0].state;

	r->f->vcpu[0].state.rip = 0x1234;
	lapics_msi(&r->s, to(0, 0), 0x500);
	assert_true(r->f->vcpu[0].up);
	assert_int_equal(s->rip, 0xfff0);
	assert_int_equal(s->seg[GAMUT_CS].base, 0xffff0000);
	assert_int_equal(s->seg[GAMUT_CS].selector, 0xf000);
	assert_int_equal(s->cr0 & 0x80000001, 0);
	assert_int_not_equal(s->gpr[2], 0); /* rdx: the signature */
	assert_int_equal(rd(r, 0, SVR), 0xff);
	/* Another waits to be started. */
	r->f->vcpu[1].up = true;
	lapics_msi(&r->s, to(1, 0), 0x500);
	assert_false(r->f->vcpu[1].up);
	wr(r, 0, SVR, 0x1ff);
	wr(r, 0, ICR_HIGH, 1u << 24);
	wr(r, 0, ICR, 0x4611);
	assert_true(r->f->vcpu[1].up);
	assert_int_equal(r->f->vcpu[1].state.seg[GAMUT_CS].base, 0x11000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(destinations), T(one_of_several), T(merging), T(levels), T(other_modes), T(init_starts_the_first_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
