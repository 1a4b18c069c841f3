/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dm/pc/lapic.h"
#include "fake/host-fake.h"

#define VCPUS 4u
#define US 1000ull
#define MS 1000000ull

enum {
	ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0,
	ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR_HIGH = 0x310, TIMER = 0x320,
	THERMAL = 0x330, LINT0 = 0x350, ERROR = 0x370, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0
};

#define MSR_BASE 0x1bu
#define MSR_DEADLINE 0x6e0u
#define X2(offset) (0x800u + (offset) / 16)
#define ENABLE 0x800ull
#define EXTD 0x400ull
#define MASKED 0x10000u
#define PERIODIC 0x20000u
#define DEADLINE 0x40000u

struct rig {
	struct host_fake *f;
	struct lapics s;
};

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, VCPUS);
	assert_int_equal(lapics_init(&r->s, r->f->host, r->f->inst), 0);
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

/* ---- as the guest ---- */

static uint64_t rd_as(struct rig *r, uint32_t vcpu, uint64_t offset, uint32_t width)
{
	const struct gamut_io_ops *ops = r->f->mmio[0].ops;

	r->f->current = vcpu;
	return ops->read(r->f->mmio[0].opaque, offset, width);
}

static void wr_as(struct rig *r, uint32_t vcpu, uint64_t offset, uint32_t width, uint64_t value)
{
	const struct gamut_io_ops *ops = r->f->mmio[0].ops;

	r->f->current = vcpu;
	ops->write(r->f->mmio[0].opaque, offset, width, value);
}

static uint32_t rd(struct rig *r, uint32_t vcpu, uint64_t offset)
{
	return (uint32_t)rd_as(r, vcpu, offset, 4);
}

static void wr(struct rig *r, uint32_t vcpu, uint64_t offset, uint32_t value)
{
	wr_as(r, vcpu, offset, 4, value);
}

static const struct host_fake_range *msr_range(struct rig *r, uint32_t msr)
{
	for (uint32_t i = 0; i < r->f->n_msr; i++)
		if (msr - r->f->msr[i].base < r->f->msr[i].len)
			return &r->f->msr[i];
	fail_msg("MSR %x is nobody's", msr);
	return NULL;
}

static int rdmsr(struct rig *r, uint32_t vcpu, uint32_t msr, uint64_t *value)
{
	const struct host_fake_range *range = msr_range(r, msr);

	return ((const struct gamut_msr_ops *)range->ops)->read(range->opaque, vcpu, msr, value);
}

static int wrmsr(struct rig *r, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	const struct host_fake_range *range = msr_range(r, msr);

	return ((const struct gamut_msr_ops *)range->ops)->write(range->opaque, vcpu, msr, value);
}

static uint64_t msr(struct rig *r, uint32_t vcpu, uint32_t index)
{
	uint64_t value = 0;

	assert_int_equal(rdmsr(r, vcpu, index, &value), 0);
	return value;
}

static void enable_all(struct rig *r)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		wr(r, i, SVR, 0x1ff);
}

static void x2_all(struct rig *r)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		assert_int_equal(wrmsr(r, i, MSR_BASE, LAPIC_BASE | ENABLE | EXTD), 0);
}

static int accept_at(struct rig *r, uint32_t vcpu)
{
	int pending = lapic_pending(&r->s, vcpu), vector = lapic_accept(&r->s, vcpu);

	assert_int_equal(pending, vector >= 0);
	return vector;
}

/* Bit i: vCPU i has accepted the vector; it is ended. Everything else there is a failure. */
static uint32_t who_got(struct rig *r, int vector)
{
	uint32_t mask = 0;

	for (uint32_t i = 0; i < VCPUS; i++) {
		int got = accept_at(r, i);

		if (got < 0)
			continue;
		assert_int_equal(got, vector);
		mask |= 1u << i;
		if (msr(r, i, MSR_BASE) & EXTD)
			assert_int_equal(wrmsr(r, i, X2(EOI), 0), 0);
		else
			wr(r, i, EOI, 0);
	}
	return mask;
}

/* ---- state ---- */

static void power_on_state(void **state)
{
	struct rig *r = *state;

	assert_int_equal(msr(r, 0, MSR_BASE), 0xfee00900);
	assert_int_equal(msr(r, 1, MSR_BASE), 0xfee00800);
	assert_int_equal(rd(r, 3, ID), 6u << 24);
	assert_int_equal(rd(r, 0, VERSION), 0x50014);
	assert_int_equal(rd(r, 0, SVR), 0xff);
	assert_int_equal(rd(r, 0, DFR), UINT32_MAX);
	for (uint64_t lvt = TIMER; lvt <= ERROR; lvt += 16)
		assert_int_equal(rd(r, 0, lvt), MASKED);
	enable_all(r);
	wr(r, 0, TPR, 0x20);
	lapic_set_irq(&r->s, 0, 0x40);
	lapics_reset(&r->s);
	assert_int_equal(rd(r, 0, SVR), 0xff);
	assert_int_equal(rd(r, 0, TPR), 0);
	assert_int_equal(rd(r, 0, IRR + 0x20), 0);
}

static void cpuid_says_so(void **state)
{
	struct rig *r = *state;
	const struct host_fake_cpuid *c;
	uint32_t ids = 0;

	for (uint32_t i = 0; i < r->f->n_cpuid; i++) {
		c = &r->f->cpuid[i];
		if (c->leaf == 1 && c->vcpu == UINT32_MAX) {
			assert_true(c->regs[3] & 1u << 9);
			assert_true(c->regs[2] & 1u << 21);
			assert_true(c->regs[2] & 1u << 24);
			/* One package with room for ids 0 to 7: four vCPUs, every other number. */
			assert_true(c->regs[3] & 1u << 28);
			assert_int_equal(c->regs[1] >> 16 & 0xff, 8);
		} else if (c->leaf == 1) {
			assert_int_equal(c->regs[1] >> 24, c->vcpu * 2);
			ids++;
		}
	}
	assert_int_equal(ids, VCPUS);
	assert_int_equal(host_fake_cpuid(r->f, 3, 0xb, 0)->regs[3], 6);
}

/* ---- priorities ---- */

static void higher_class_first_and_nested(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	lapic_set_irq(&r->s, 0, 0x31);
	lapic_set_irq(&r->s, 0, 0x35);
	assert_int_equal(accept_at(r, 0), 0x35);
	assert_int_equal(rd(r, 0, ISR + 0x10), 1u << 0x15);
	assert_int_equal(rd(r, 0, IRR + 0x10), 1u << 0x11);
	assert_int_equal(rd(r, 0, PPR), 0x30);
	assert_int_equal(accept_at(r, 0), -1); /* the same class waits */
	lapic_set_irq(&r->s, 0, 0x80);
	assert_int_equal(accept_at(r, 0), 0x80);
	wr(r, 0, EOI, 0);
	assert_int_equal(accept_at(r, 0), -1);
	wr(r, 0, EOI, 0);
	assert_int_equal(accept_at(r, 0), 0x31);
	wr(r, 0, EOI, 0);
	wr(r, 0, EOI, 0); /* one too many is nothing */
	assert_int_equal(accept_at(r, 0), -1);
	assert_int_equal(host_fake_counter(r->f, "apic-interrupts"), 3);
}

static void task_priority_holds_back(void **state)
{
	struct rig *r = *state;
	uint32_t raised;

	enable_all(r);
	wr(r, 0, TPR, 0x4f);
	assert_int_equal(rd(r, 0, PPR), 0x4f);
	lapic_set_irq(&r->s, 0, 0x4e);
	assert_int_equal(accept_at(r, 0), -1);
	raised = r->f->vcpu[0].irq_raises;
	wr(r, 0, TPR, 0x40);
	assert_int_equal(r->f->vcpu[0].irq_raises, raised);
	wr(r, 0, TPR, 0x3f);
	assert_int_equal(r->f->vcpu[0].irq_raises, raised + 1);
	assert_int_equal(accept_at(r, 0), 0x4e);
	assert_int_equal(rd(r, 0, PPR), 0x40);
	/* EOI, too, may let something through. */
	lapic_set_irq(&r->s, 0, 0x42);
	raised = r->f->vcpu[0].irq_raises;
	wr(r, 0, EOI, 0);
	assert_int_equal(r->f->vcpu[0].irq_raises, raised + 1);
}

static void disabled_holds_requests(void **state)
{
	struct rig *r = *state;

	lapic_set_irq(&r->s, 0, 0x50);
	assert_int_equal(accept_at(r, 0), -1);
	wr(r, 0, TIMER, 0x60); /* not yet: entries stay masked */
	assert_int_equal(rd(r, 0, TIMER), MASKED | 0x60);
	wr(r, 0, SVR, 0x1ff);
	assert_int_equal(accept_at(r, 0), 0x50);
	wr(r, 0, TIMER, 0x60);
	assert_int_equal(rd(r, 0, TIMER), 0x60);
	wr(r, 0, SVR, 0xff);
	assert_int_equal(rd(r, 0, TIMER), MASKED | 0x60);
	/* Messages are not for it now. */
	wr(r, 1, ICR, 0x51 | 2u << 18);
	assert_int_equal(rd(r, 0, IRR + 0x20), 0);
}

/* ---- registers ---- */

static void reserved_registers_set_esr(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	wr(r, 0, ERROR, 0xe0);
	assert_int_equal(rd(r, 0, 0x40), 0);
	assert_int_equal(accept_at(r, 0), 0xe0);
	wr(r, 0, EOI, 0);
	assert_int_equal(rd(r, 0, ESR), 0); /* not latched yet */
	wr(r, 0, ESR, 0xffffffff);
	assert_int_equal(rd(r, 0, ESR), 0x80);
	wr(r, 0, ESR, 0);
	assert_int_equal(rd(r, 0, ESR), 0);
	wr(r, 0, 0xff0, 1);
	wr(r, 0, 0x3f0, 0x55); /* self IPI: x2APIC only */
	wr(r, 0, ESR, 0);
	assert_int_equal(rd(r, 0, ESR), 0x80);
	assert_int_equal(accept_at(r, 0), 0xe0);
	/* Read-only ones ignore it. */
	wr(r, 0, EOI, 0);
	wr(r, 0, VERSION, 5);
	wr(r, 0, ESR, 0);
	assert_int_equal(rd(r, 0, ESR), 0);
	assert_int_equal(rd(r, 0, VERSION), 0x50014);
}

static void an_error_without_a_vector_does_not_recurse(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	wr(r, 0, ERROR, 3);
	rd(r, 0, 0x40);
	wr(r, 0, ESR, 0);
	assert_int_equal(rd(r, 0, ESR), 0x80 | 0x40);
	lapic_set_irq(&r->s, 0, 15);
	wr(r, 0, ESR, 0);
	assert_int_equal(rd(r, 0, ESR), 0x40);
	assert_int_equal(accept_at(r, 0), -1);
}

static void widths(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	wr(r, 1, LDR, 0xa5000000);
	assert_int_equal(rd_as(r, 1, LDR + 3, 1) & 0xff, 0xa5);
	assert_int_equal(rd_as(r, 1, LDR + 2, 2) & 0xffff, 0xa500);
	assert_int_equal(rd_as(r, 1, LDR, 8), 0xa5000000);
	assert_int_equal(rd_as(r, 1, LDR + 4, 4), 0);
	wr_as(r, 1, TPR, 1, 0x99);
	wr_as(r, 1, TPR, 8, 0x99);
	wr_as(r, 1, TPR + 4, 4, 0x99);
	assert_int_equal(rd(r, 1, TPR), 0);
	/* Not a vCPU's thread: nobody answers. */
	assert_int_equal(rd(r, UINT32_MAX, ID), UINT32_MAX);
	wr(r, UINT32_MAX, TPR, 1);
	wr(r, 1, LINT0, UINT32_MAX);
	assert_int_equal(rd(r, 1, LINT0), 0x1a7ff);
	wr(r, 1, THERMAL, UINT32_MAX);
	assert_int_equal(rd(r, 1, THERMAL), 0x107ff);
	wr(r, 1, DFR, 0);
	assert_int_equal(rd(r, 1, DFR), 0x0fffffff);
}

static void send(struct rig *r, uint32_t from, uint8_t dest, uint32_t low)
{
	wr(r, from, ICR_HIGH, (uint32_t)dest << 24);
	wr(r, from, ICR, low);
}

/* ---- modes ---- */

static void legal_and_illegal_transitions(void **state)
{
	struct rig *r = *state;
	const uint64_t off = LAPIC_BASE, x1 = off | ENABLE, x2 = x1 | EXTD;

	assert_int_equal(wrmsr(r, 1, MSR_BASE, off | EXTD), -EPERM);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, x1 | 1), -EPERM);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, x1 | 1ull << 60), -EPERM);
	wr(r, 1, TPR, 0x30);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, x2), 0);
	assert_int_equal(msr(r, 1, X2(TPR)), 0x30); /* state is kept */
	assert_int_equal(rd(r, 1, TPR), UINT32_MAX); /* the page is gone */
	assert_int_equal(wrmsr(r, 1, MSR_BASE, x1), -EPERM);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, off), 0);
	assert_int_equal(rd(r, 1, TPR), UINT32_MAX);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, x2), -EPERM);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, x1), 0);
	assert_int_equal(rd(r, 1, TPR), 0); /* cleared */
	assert_int_equal(wrmsr(r, 1, MSR_BASE, 0x10000000 | ENABLE), 0);
	assert_int_equal(rd(r, 1, TPR), UINT32_MAX);
	assert_int_equal(host_fake_counter(r->f, "apic-moved"), 1);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, x1), 0);
	assert_int_equal(rd(r, 1, TPR), 0);
}

/* The id of xAPIC mode is what messages go by; INIT keeps it, and turning the APIC on does not. */
static void the_id_can_be_written(void **state)
{
	struct rig *r = *state;
	uint32_t id = rd(r, 1, ID);

	enable_all(r);
	wr(r, 1, ID, 0x77ffffff);
	wr(r, 2, ID, 0x77000000);
	assert_int_equal(rd(r, 1, ID), 0x77000000);
	send(r, 0, 0x77, 0x41);
	assert_int_equal(who_got(r, 0x41), 1u << 1 | 1u << 2);
	send(r, 0, id >> 24, 0x41);
	assert_int_equal(who_got(r, 0x41), 0);
	send(r, 0, 0x77, 5u << 8); /* INIT */
	assert_int_equal(rd(r, 1, ID), 0x77000000);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, LAPIC_BASE | ENABLE | EXTD), 0);
	assert_int_equal(msr(r, 1, X2(ID)), id >> 24);
	assert_int_equal(wrmsr(r, 1, X2(ID), 5), -EPERM);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, LAPIC_BASE), 0);
	assert_int_equal(wrmsr(r, 1, MSR_BASE, LAPIC_BASE | ENABLE), 0);
	assert_int_equal(rd(r, 1, ID), id);
}

static void x2_registers_fault_where_the_page_ignores(void **state)
{
	struct rig *r = *state;
	uint64_t value;

	assert_int_equal(rdmsr(r, 2, X2(ID), &value), -EPERM); /* not in this mode */
	x2_all(r);
	assert_int_equal(msr(r, 2, X2(ID)), 4);
	assert_int_equal(msr(r, 2, X2(LDR)), 1u << 4);
	assert_int_equal(wrmsr(r, 2, X2(ID), 4), -EPERM);
	assert_int_equal(wrmsr(r, 2, X2(LDR), 4), -EPERM);
	assert_int_equal(rdmsr(r, 2, X2(DFR), &value), -EPERM);
	assert_int_equal(rdmsr(r, 2, X2(EOI), &value), -EPERM);
	assert_int_equal(wrmsr(r, 2, X2(EOI), 1), -EPERM);
	assert_int_equal(wrmsr(r, 2, X2(EOI), 0), 0);
	assert_int_equal(wrmsr(r, 2, X2(ESR), 1), -EPERM);
	assert_int_equal(wrmsr(r, 2, X2(TPR), 0x100), -EPERM);
	assert_int_equal(wrmsr(r, 2, X2(SVR), 1u << 12), -EPERM);
	assert_int_equal(rdmsr(r, 2, X2(ICR_HIGH), &value), -EPERM);
	assert_int_equal(wrmsr(r, 2, X2(ICR), 1u << 12), -EPERM);
	assert_int_equal(rdmsr(r, 2, 0x83f, &value), -EPERM);
	assert_int_equal(rdmsr(r, 2, 0x804, &value), -EPERM);
	assert_int_equal(wrmsr(r, 2, X2(SVR), 0x1ff), 0);
	assert_int_equal(wrmsr(r, 2, 0x83f, 0x77), 0);
	assert_int_equal(msr(r, 2, X2(IRR + 0x30)), 1u << 0x17);
	assert_int_equal(accept_at(r, 2), 0x77);
}

/* ---- messages ---- */

static void fixed_to_whom(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	send(r, 0, 4, 0x41);
	assert_int_equal(who_got(r, 0x41), 1u << 2);
	send(r, 0, 3, 0x41); /* no such id */
	assert_int_equal(who_got(r, 0x41), 0);
	send(r, 0, 0xff, 0x41);
	assert_int_equal(who_got(r, 0x41), 0xf);
	send(r, 1, 0, 0x41 | 1u << 18);
	assert_int_equal(who_got(r, 0x41), 2);
	send(r, 1, 0, 0x41 | 2u << 18);
	assert_int_equal(who_got(r, 0x41), 0xf);
	send(r, 1, 0, 0x41 | 3u << 18);
	assert_int_equal(who_got(r, 0x41), 0xd);
	assert_int_equal(rd(r, 1, ICR), 0x41 | 3u << 18);
}

static void logical_flat_and_cluster(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	for (uint32_t i = 0; i < VCPUS; i++)
		wr(r, i, LDR, 1u << (24 + i));
	send(r, 0, 0x0a, 0x41 | 1u << 11);
	assert_int_equal(who_got(r, 0x41), 0xa);
	for (uint32_t i = 0; i < VCPUS; i++) {
		wr(r, i, DFR, 0);
		wr(r, i, LDR, (i / 2) << 28 | 1u << (24 + i % 2));
	}
	send(r, 0, 0x13, 0x41 | 1u << 11);
	assert_int_equal(who_got(r, 0x41), 0xc);
	send(r, 0, 0xf2, 0x41 | 1u << 11);
	assert_int_equal(who_got(r, 0x41), 0xa);
	wr(r, 0, DFR, 0x70000000); /* no such model */
	send(r, 0, 0x01, 0x41 | 1u << 11);
	assert_int_equal(who_got(r, 0x41), 0);
}

static void x2_destinations(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	x2_all(r);
	assert_int_equal(wrmsr(r, 0, X2(ICR), 6ull << 32 | 0x41), 0);
	assert_int_equal(who_got(r, 0x41), 8);
	assert_int_equal(wrmsr(r, 0, X2(ICR), 0xffull << 32 | 0x41), 0);
	assert_int_equal(who_got(r, 0x41), 0);
	assert_int_equal(wrmsr(r, 0, X2(ICR), 0xffffffffull << 32 | 0x41), 0);
	assert_int_equal(who_got(r, 0x41), 0xf);
	assert_int_equal(wrmsr(r, 0, X2(ICR), 0x5ull << 32 | 0x841), 0); /* ids 0 and 2 */
	assert_int_equal(who_got(r, 0x41), 3);
	assert_int_equal(wrmsr(r, 0, X2(ICR), 0x10005ull << 32 | 0x841), 0); /* another cluster */
	assert_int_equal(who_got(r, 0x41), 0);
}

static void lowest_priority_picks_one(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	for (uint32_t i = 0; i < VCPUS; i++)
		wr(r, i, TPR, i == 2 ? 0x10 : 0x20);
	send(r, 0, 0xff, 0x141);
	assert_int_equal(who_got(r, 0x41), 4);
}

static void what_is_refused(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	send(r, 0, 0, 0x0f);
	wr(r, 0, ESR, 0);
	assert_int_equal(rd(r, 0, ESR), 0x20);
	assert_int_equal(who_got(r, 0x0f), 0);
	send(r, 0, 2, 0x241);           /* SMI */
	send(r, 0, 2, 0x341);           /* reserved */
	send(r, 0, 2, 0x741);           /* ExtINT */
	send(r, 0, 0, 0x400 | 1u << 18); /* NMI to self */
	assert_int_equal(host_fake_counter(r->f, "apic-ipis-refused"), 4);
	assert_int_equal(host_fake_counter(r->f, "apic-ipis"), 5);
	assert_int_equal(r->f->vcpu[0].nmis, 0);
	send(r, 0, 0, 0x400 | 3u << 18);
	assert_int_equal(r->f->vcpu[0].nmis, 0);
	assert_int_equal(r->f->vcpu[3].nmis, 1);
}

/* What was requested for one that has not been started is there when it has turned its APIC on. */
static void init_leaves_a_waiting_vcpu_alone(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	wr(r, 1, SVR, 0xff);
	lapic_set_irq(&r->s, 1, 0xf3);
	send(r, 0, 2, 0x4500);
	send(r, 0, 2, 0x69a);
	assert_true(r->f->vcpu[1].up);
	wr(r, 1, SVR, 0x1ff);
	assert_int_equal(accept_at(r, 1), 0xf3);
	/* Once it runs, INIT clears. */
	wr(r, 1, EOI, 0);
	lapic_set_irq(&r->s, 1, 0xf4);
	send(r, 0, 2, 0x4500);
	send(r, 0, 2, 0x69a);
	wr(r, 1, SVR, 0x1ff);
	assert_int_equal(accept_at(r, 1), -1);
}

/* As the one who delivers upcalls: asks again for what INIT has taken away. */
static void ask_again(void *opaque, uint32_t vcpu)
{
	struct rig *r = opaque;

	lapic_set_irq(&r->s, vcpu, 0x93);
}

static void init_is_told(void **state)
{
	struct rig *r = *state;

	r->s.cleared = ask_again;
	r->s.cleared_opaque = r;
	enable_all(r);
	r->f->vcpu[1].up = true;
	lapic_set_irq(&r->s, 1, 0x94);
	send(r, 0, 2, 0x4500);
	assert_int_equal(rd(r, 1, IRR + 0x40), 1u << 0x13);
	assert_int_equal(rd(r, 0, IRR + 0x40), 0);
}

static void init_and_startup(void **state)
{
	struct rig *r = *state;
	struct host_fake_vcpu *v = &r->f->vcpu[1];

	enable_all(r);
	wr(r, 1, TPR, 0x50);
	v->up = true; /* started by hypercall: a start-up message means nothing to it */
	send(r, 0, 2, 0x69a);
	assert_int_equal(v->state.seg[GAMUT_CS].selector, 0);
	send(r, 0, 2, 0x8500); /* de-assertion */
	assert_true(v->up);
	send(r, 0, 2, 0x4500);
	assert_false(v->up);
	assert_int_equal(rd(r, 1, TPR), 0);
	assert_int_equal(rd(r, 1, SVR), 0xff);
	send(r, 0, 2, 0x69a);
	assert_true(v->up);
	assert_int_equal(v->state.seg[GAMUT_CS].selector, 0x9a00);
	assert_int_equal(v->state.seg[GAMUT_CS].base, 0x9a000);
	assert_int_equal(v->state.rip, 0);
	assert_int_equal(v->state.cr0 & 1, 0);
	send(r, 0, 2, 0x69b); /* the second one comes too late */
	assert_int_equal(v->state.seg[GAMUT_CS].selector, 0x9a00);
}

/* ---- timer ---- */

static void one_shot(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	wr(r, 0, DIVIDE, 0xb); /* by 1 */
	wr(r, 0, TIMER, 0x60);
	wr(r, 0, INITIAL, 1000); /* 10 us */
	assert_int_equal(rd(r, 0, CURRENT), 1000);
	host_fake_advance(r->f, 4 * US);
	assert_int_equal(rd(r, 0, CURRENT), 600);
	host_fake_advance(r->f, 6 * US - 1);
	assert_int_equal(accept_at(r, 0), -1);
	host_fake_advance(r->f, 1);
	assert_int_equal(who_got(r, 0x60), 1);
	assert_int_equal(rd(r, 0, CURRENT), 0);
	host_fake_advance(r->f, MS);
	assert_int_equal(who_got(r, 0x60), 0);
	wr(r, 0, INITIAL, 1000);
	wr(r, 0, INITIAL, 0);
	host_fake_advance(r->f, MS);
	assert_int_equal(who_got(r, 0x60), 0);
	/* Masked it counts all the same. */
	wr(r, 0, TIMER, 0x60 | MASKED);
	wr(r, 0, INITIAL, 1000);
	host_fake_advance(r->f, 20 * US);
	assert_int_equal(rd(r, 0, CURRENT), 0);
	assert_int_equal(who_got(r, 0x60), 0);
}

/* The guest reads the end of the count before the host's timer has come, and changes the entry. */
static void a_late_timer_is_no_lost_end(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	wr(r, 0, DIVIDE, 0xb);
	wr(r, 0, TIMER, 0x60);
	wr(r, 0, INITIAL, 1000);
	atomic_fetch_add(&r->f->now, 11 * US);
	assert_int_equal(rd(r, 0, CURRENT), 0);
	wr(r, 0, TIMER, 0x61 | PERIODIC);
	assert_int_equal(rd(r, 0, CURRENT), 0);
	assert_int_equal(who_got(r, 0x60), 1);
	host_fake_advance(r->f, MS);
	assert_int_equal(who_got(r, 0x61), 0);
	assert_int_equal(host_fake_counter(r->f, "apic-timer"), 1);
}

static void divide_changes_the_pace(void **state)
{
	static const struct {
		uint32_t code, by;
	} cases[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 } };
	struct rig *r = *state;

	enable_all(r);
	wr(r, 0, TIMER, 0x60);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		wr(r, 0, DIVIDE, cases[i].code | 4);
		assert_int_equal(rd(r, 0, DIVIDE), cases[i].code);
		wr(r, 0, INITIAL, 1000);
		host_fake_advance(r->f, 10ull * 100 * cases[i].by);
		assert_int_equal(rd(r, 0, CURRENT), 900);
	}
	wr(r, 0, DIVIDE, 0);
	assert_int_equal(rd(r, 0, CURRENT), 900);
	host_fake_advance(r->f, 18 * US - 1);
	assert_int_equal(who_got(r, 0x60), 0);
	host_fake_advance(r->f, 1);
	assert_int_equal(who_got(r, 0x60), 1);
}

static void periodic(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	wr(r, 0, DIVIDE, 0xb);
	wr(r, 0, TIMER, 0x60 | PERIODIC);
	wr(r, 0, INITIAL, 100000); /* 1 ms */
	for (int i = 0; i < 5; i++) {
		host_fake_advance(r->f, MS - 1);
		assert_int_equal(who_got(r, 0x60), 0);
		host_fake_advance(r->f, 1);
		assert_int_equal(who_got(r, 0x60), 1);
	}
	host_fake_advance(r->f, MS / 4);
	assert_int_equal(rd(r, 0, CURRENT), 75000);
	/* Become single, the count under way is the last. */
	wr(r, 0, TIMER, 0x60);
	host_fake_advance(r->f, 10 * MS);
	assert_int_equal(who_got(r, 0x60), 1);
	assert_int_equal(host_fake_counter(r->f, "apic-timer"), 6);
	/* What is over does not start again by becoming periodic. */
	wr(r, 0, TIMER, 0x60 | PERIODIC);
	assert_int_equal(rd(r, 0, CURRENT), 0);
	host_fake_advance(r->f, 10 * MS);
	assert_int_equal(who_got(r, 0x60), 0);
}

static void a_tiny_period_is_no_storm(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	wr(r, 0, DIVIDE, 0xb);
	wr(r, 0, TIMER, 0x60 | PERIODIC);
	wr(r, 0, INITIAL, 1);
	host_fake_advance(r->f, 10 * MS);
	assert_true(host_fake_counter(r->f, "apic-timer") <= 500);
	assert_int_equal(who_got(r, 0x60), 1);
	assert_int_equal(rd(r, 0, CURRENT), 1);
}

static void deadline(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	host_fake_advance(r->f, MS);
	assert_int_equal(wrmsr(r, 0, MSR_DEADLINE, 2 * MS), 0); /* not in this mode: ignored */
	assert_int_equal(msr(r, 0, MSR_DEADLINE), 0);
	wr(r, 0, INITIAL, 50);
	wr(r, 0, TIMER, 0x60 | DEADLINE);
	assert_int_equal(rd(r, 0, INITIAL), 0);
	wr(r, 0, INITIAL, 50);
	assert_int_equal(rd(r, 0, CURRENT), 0);
	assert_int_equal(wrmsr(r, 0, MSR_DEADLINE, 2 * MS), 0); /* the fake's TSC ticks in ns */
	assert_int_equal(msr(r, 0, MSR_DEADLINE), 2 * MS);
	host_fake_advance(r->f, MS - 1);
	assert_int_equal(who_got(r, 0x60), 0);
	host_fake_advance(r->f, 2);
	assert_int_equal(who_got(r, 0x60), 1);
	assert_int_equal(msr(r, 0, MSR_DEADLINE), 0);
	assert_int_equal(wrmsr(r, 0, MSR_DEADLINE, 1), 0); /* long past */
	host_fake_advance(r->f, 0);
	assert_int_equal(who_got(r, 0x60), 1);
	assert_int_equal(wrmsr(r, 0, MSR_DEADLINE, UINT64_MAX), 0); /* never */
	host_fake_advance(r->f, 1000000 * MS);
	assert_int_equal(who_got(r, 0x60), 0);
	assert_int_equal(wrmsr(r, 0, MSR_DEADLINE, r->f->now + MS), 0);
	assert_int_equal(wrmsr(r, 0, MSR_DEADLINE, 0), 0);
	host_fake_advance(r->f, 2 * MS);
	assert_int_equal(who_got(r, 0x60), 0);
	assert_int_equal(wrmsr(r, 0, MSR_DEADLINE, r->f->now + MS), 0);
	wr(r, 0, TIMER, 0x60); /* leaving the mode forgets it */
	host_fake_advance(r->f, 2 * MS);
	assert_int_equal(who_got(r, 0x60), 0);
}

static void deadline_over_a_pause(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	wr(r, 0, TIMER, 0x60 | DEADLINE);
	assert_int_equal(wrmsr(r, 0, MSR_DEADLINE, 10 * MS), 0);
	/* The TSC went on for 5 ms while domain time stood still. */
	r->f->tsc_base = 5 * MS;
	lapics_resume(&r->s);
	host_fake_advance(r->f, 5 * MS - 1);
	assert_int_equal(who_got(r, 0x60), 0);
	host_fake_advance(r->f, 2);
	assert_int_equal(who_got(r, 0x60), 1);
}

/* ---- on a board ---- */

static uint32_t eois[8], n_eois;

static void note_eoi(void *board, uint32_t vector)
{
	(void)board;
	if (n_eois < 8)
		eois[n_eois++] = vector;
}

/* As intr-apic sets it up. */
static int setup_board(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, VCPUS);
	assert_int_equal(lapics_init(&r->s, r->f->host, r->f->inst), 0);
	r->s.id_shift = 0;
	r->s.suppress_eoi = true;
	r->s.restarts = true;
	r->s.eoi = note_eoi;
	n_eois = 0;
	assert_int_equal(lapics_register(&r->s), 0);
	*state = r;
	return 0;
}

static void ids_in_a_row(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	assert_int_equal(rd(r, 3, ID), 3u << 24);
	assert_int_equal(host_fake_cpuid(r->f, 3, 0xb, 0)->regs[3], 3);
	send(r, 0, 3, 0x41);
	assert_int_equal(who_got(r, 0x41), 8);
	x2_all(r);
	assert_int_equal(msr(r, 3, X2(ID)), 3);
	assert_int_equal(msr(r, 3, X2(LDR)), 8);
}

static void level(struct rig *r, uint32_t vcpu, uint8_t vector)
{
	const struct apic_message m = { .dest = vcpu, .vector = vector, .level = true };

	assert_int_not_equal(lapics_message(&r->s, &m), APIC_NOBODY);
}

static void ends_of_levels_are_told(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	level(r, 1, 0x51);
	assert_int_equal(rd(r, 1, TMR + 0x20), 1u << 0x11);
	assert_int_equal(accept_at(r, 1), 0x51);
	lapic_set_irq(&r->s, 1, 0x61);
	assert_int_equal(accept_at(r, 1), 0x61);
	wr(r, 1, EOI, 0); /* an edge's is nobody's business */
	assert_int_equal(n_eois, 0);
	wr(r, 1, EOI, 0);
	assert_int_equal(n_eois, 1);
	assert_int_equal(eois[0], 0x51);
	wr(r, 1, EOI, 0);
	assert_int_equal(n_eois, 1);
	/* TMR is as of the last request. */
	lapic_set_irq(&r->s, 1, 0x51);
	assert_int_equal(rd(r, 1, TMR + 0x20), 0);
	assert_int_equal(accept_at(r, 1), 0x51);
	wr(r, 1, EOI, 0);
	assert_int_equal(n_eois, 1);
}

static void broadcasts_are_suppressed(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rd(r, 1, VERSION), 0x1050014);
	wr(r, 1, SVR, 0x11ff);
	assert_int_equal(rd(r, 1, SVR), 0x11ff);
	level(r, 1, 0x51);
	assert_int_equal(accept_at(r, 1), 0x51);
	wr(r, 1, EOI, 0);
	assert_int_equal(n_eois, 0);
	assert_int_equal(rd(r, 1, ISR + 0x20), 0);
}

/* The pin: memory is nobody's here, so what is left is who starts where. */
static void the_init_pin(void **state)
{
	struct rig *r = *state;

	r->f->vcpu[0].up = r->f->vcpu[2].up = true;
	assert_int_equal(wrmsr(r, 0, MSR_BASE, LAPIC_BASE | 0x100), 0); /* turned off, it gets no messages */
	lapics_init_pin(&r->s);
	assert_true(r->f->vcpu[0].up);
	assert_int_equal(r->f->vcpu[0].state.rip, 0xfff0);
	assert_int_equal(r->f->vcpu[0].state.seg[GAMUT_CS].base, 0xffff0000);
	assert_false(r->f->vcpu[2].up);
}

static int setup_no_x2apic(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, VCPUS);
	assert_int_equal(lapics_init(&r->s, r->f->host, r->f->inst), 0);
	r->s.no_x2apic = true;
	assert_int_equal(lapics_register(&r->s), 0);
	*state = r;
	return 0;
}

static void x2apic_may_be_missing(void **state)
{
	struct rig *r = *state;
	uint32_t set = 0, cleared = 0;

	for (uint32_t i = 0; i < r->f->n_cpuid; i++) {
		set |= r->f->cpuid[i].leaf == 1 ? r->f->cpuid[i].regs[2] : 0;
		cleared |= r->f->cpuid[i].leaf == 1 ? r->f->cpuid[i].clear[2] : 0;
	}
	assert_int_equal(set & 1u << 21, 0);
	assert_int_equal(cleared & 1u << 21, 1u << 21);
	assert_int_equal(wrmsr(r, 0, MSR_BASE, LAPIC_BASE | ENABLE | EXTD), -EPERM);
	assert_int_equal(wrmsr(r, 0, X2(TPR), 0), -EPERM);
	assert_int_equal(rd(r, 0, VERSION) & 0xff, 0x14);
}

static void cr8_is_the_task_priority(void **state)
{
	struct rig *r = *state;
	uint32_t raised;

	assert_non_null(r->f->cr8_read);
	enable_all(r);
	wr(r, 2, TPR, 0x5c);
	assert_int_equal(r->f->cr8_read(r->f->cr8_opaque, 2), 5);
	lapic_set_irq(&r->s, 2, 0x61);
	r->f->cr8_write(r->f->cr8_opaque, 2, 6);
	assert_int_equal(rd(r, 2, TPR), 0x60);
	assert_int_equal(accept_at(r, 2), -1);
	raised = r->f->vcpu[2].irq_raises;
	r->f->cr8_write(r->f->cr8_opaque, 2, 5);
	assert_int_equal(r->f->vcpu[2].irq_raises, raised + 1);
	assert_int_equal(accept_at(r, 2), 0x61);
	/* It works with the APIC turned off, too. */
	assert_int_equal(wrmsr(r, 1, MSR_BASE, LAPIC_BASE), 0);
	r->f->cr8_write(r->f->cr8_opaque, 1, 9);
	assert_int_equal(r->f->cr8_read(r->f->cr8_opaque, 1), 9);
}

static void the_page_moves(void **state)
{
	struct rig *r = *state;
	uint64_t value = 0;

	r->f->current = 1;
	assert_false(lapics_page(&r->s, 0xfed40000 + VERSION, 4, false, &value));
	assert_int_equal(wrmsr(r, 1, MSR_BASE, 0xfed40000 | ENABLE), 0);
	assert_true(lapics_page(&r->s, 0xfed40000 + VERSION, 4, false, &value));
	assert_int_equal(value, 0x1050014);
	assert_int_equal(rd(r, 1, VERSION), UINT32_MAX);
	value = 0x40;
	assert_true(lapics_page(&r->s, 0xfed40000 + TPR, 4, true, &value));
	assert_false(lapics_page(&r->s, 0xfed41000 + TPR, 4, true, &value));
	r->f->current = 0;
	assert_false(lapics_page(&r->s, 0xfed40000 + TPR, 4, true, &value));
	assert_int_equal(wrmsr(r, 1, MSR_BASE, LAPIC_BASE | ENABLE), 0);
	assert_int_equal(rd(r, 1, TPR), 0x40);
	/* Beyond physical addresses. */
	assert_int_equal(wrmsr(r, 1, MSR_BASE, LAPIC_BASE | ENABLE | 1ull << 52), -EPERM);
	if (r->s.reserved_base)
		assert_int_equal(wrmsr(r, 1, MSR_BASE, LAPIC_BASE | ENABLE | 1ull << 51), -EPERM);
}

static void read_only_bits_are_no_fault(void **state)
{
	struct rig *r = *state;

	x2_all(r);
	wrmsr(r, 0, X2(SVR), 0x1ff);
	/* As Linux leaves it. */
	assert_int_equal(wrmsr(r, 0, X2(LINT0), 0x5700), 0);
	assert_int_equal(msr(r, 0, X2(LINT0)), 0x700);
	assert_int_equal(wrmsr(r, 0, X2(LINT0), 0x20000), -EPERM);
	assert_int_equal(wrmsr(r, 0, X2(ERROR), 0x1000), 0);
	assert_int_equal(wrmsr(r, 0, X2(ERROR), 0x4000), -EPERM);
}

static void a_deadline_that_is_past_fires_at_once(void **state)
{
	struct rig *r = *state;

	enable_all(r);
	host_fake_advance(r->f, MS);
	wr(r, 0, TIMER, 0x60 | DEADLINE);
	assert_int_equal(wrmsr(r, 0, MSR_DEADLINE, MS - 1), 0);
	assert_int_equal(who_got(r, 0x60), 1);
	assert_int_equal(msr(r, 0, MSR_DEADLINE), 0);
	host_fake_advance(r->f, MS);
	assert_int_equal(who_got(r, 0x60), 0);
}

/* ---- hostile ---- */

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void check_sane(struct rig *r, uint32_t vcpu)
{
	int vector = accept_at(r, vcpu);

	assert_true(vector == -1 || (vector >= 16 && vector <= 255));
	if (msr(r, vcpu, MSR_BASE) & EXTD)
		assert_true(msr(r, vcpu, X2(PPR)) <= 0xff);
}

static void random_accesses(void **state)
{
	static const uint32_t widths[] = { 1, 2, 4, 8 };
	struct rig *r = *state;
	uint64_t seed = 88172645463325252ull, value;

	for (int i = 0; i < 200000; i++) {
		uint64_t what = next(&seed), data = next(&seed);
		uint32_t vcpu = what % VCPUS, width = widths[what >> 8 & 3];
		uint64_t offset = (what >> 16) % (LAPIC_SIZE - width + 1);

		if (what >> 62)
			offset &= 0x3f0, width = 4;
		switch (what >> 12 & 7) {
		case 0:
			wrmsr(r, vcpu, MSR_BASE, what >> 61 ? LAPIC_BASE | (data & 0xd00) : data);
			break;
		case 1:
			wrmsr(r, vcpu, 0x800 + (uint32_t)(what >> 16 & 0x3f), what >> 61 ? data & 0xfffff : data);
			break;
		case 2:
			rdmsr(r, vcpu, 0x800 + (uint32_t)(what >> 16 & 0x3f), &value);
			break;
		case 3:
			wrmsr(r, vcpu, MSR_DEADLINE, data);
			break;
		case 4:
			host_fake_advance(r->f, data % (10 * US));
			break;
		case 5:
			rd_as(r, vcpu, offset, width);
			break;
		default:
			wr_as(r, vcpu, offset, width, data);
		}
		check_sane(r, vcpu);
	}
	lapics_reset(&r->s);
	power_on_state(state);
}

/* ---- threads ---- */

#define ROUNDS 20000

static void *sender(void *opaque)
{
	struct rig *r = opaque;

	for (int i = 0; i < ROUNDS; i++) {
		lapic_set_irq(&r->s, 0, 0x40);
		/* The next one only after this was taken, so that each is told from the other. */
		while (__atomic_load_n(&r->s.apic[0].irr[2], __ATOMIC_SEQ_CST) & 1)
			sched_yield();
	}
	return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
	struct rig *r = *state;
	pthread_t thread;

	enable_all(r);
	assert_int_equal(pthread_create(&thread, NULL, sender, r), 0);
	for (int got = 0; got < ROUNDS;) {
		int vector = lapic_accept(&r->s, 0);

		if (vector < 0) {
			sched_yield();
			continue;
		}
		assert_int_equal(vector, 0x40);
		wr(r, 0, EOI, 0);
		got++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(accept_at(r, 0), -1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define B(f) cmocka_unit_test_setup_teardown(f, setup_board, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(power_on_state), T(cpuid_says_so), T(higher_class_first_and_nested), T(task_priority_holds_back),
		T(disabled_holds_requests), T(reserved_registers_set_esr),
		T(an_error_without_a_vector_does_not_recurse), T(widths), T(legal_and_illegal_transitions),
		T(the_id_can_be_written), T(a_late_timer_is_no_lost_end),
		cmocka_unit_test_setup_teardown(x2apic_may_be_missing, setup_no_x2apic, teardown),
		T(x2_registers_fault_where_the_page_ignores), T(fixed_to_whom), T(logical_flat_and_cluster),
		T(x2_destinations), T(lowest_priority_picks_one), T(what_is_refused), T(init_and_startup), T(init_is_told),
		T(init_leaves_a_waiting_vcpu_alone), T(one_shot),
		T(divide_changes_the_pace), T(periodic), T(a_tiny_period_is_no_storm), T(deadline),
		T(deadline_over_a_pause), T(random_accesses), T(nothing_is_lost_between_threads),
		B(ids_in_a_row), B(the_init_pin), B(ends_of_levels_are_told), B(broadcasts_are_suppressed), B(cr8_is_the_task_priority),
		B(the_page_moves), B(read_only_bits_are_no_fault), B(a_deadline_that_is_past_fires_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
