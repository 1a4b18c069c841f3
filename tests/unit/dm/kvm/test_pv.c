/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#include <linux/kvm_para.h>

#include "dm/clock/pvclock.h"
#include "dm/kvm/pv.h"
#include "fake/host-fake.h"

#define VCPUS 4u
#define CLOCK 0x300cu /* a multiple of 4 is enough */
#define STEAL 0x4040u
#define WALL 0x5004u
#define MS 1000000ull
#define FAR (1ull << 40)
#define BIT(n) (1u << (n))

enum { EOI = 0xb0, SVR = 0xf0, ICR_NMI = 0x400 };

struct rig {
	struct host_fake *f;
	struct lapics s;
	struct kvm_pv pv;
	bool own;
};

static struct rig *make(bool own, bool hypercalls)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, VCPUS);
	r->own = own;
	if (!hypercalls)
		r->f->table.hypercall_fallback = NULL;
	if (own) {
		assert_int_equal(lapics_init(&r->s, r->f->host, r->f->inst), 0);
		r->s.id_shift = 0;
		assert_int_equal(lapics_register(&r->s), 0);
	}
	assert_int_equal(kvm_pv_init(&r->pv, r->f->host, r->f->inst, own ? &r->s : NULL), 0);
	assert_int_equal(kvm_pv_register(&r->pv), 0);
	for (uint32_t i = 0; own && i < VCPUS; i++) {
		r->f->current = i;
		host_fake_out(r->f, GAMUT_SPACE_MMIO, LAPIC_BASE + SVR, 4, 0x1ff);
	}
	return r;
}

static void drop(struct rig *r)
{
	kvm_pv_finish(&r->pv);
	if (r->own)
		lapics_finish(&r->s);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
}

static int setup(void **state)
{
	*state = make(true, true);
	return 0;
}

static int teardown(void **state)
{
	drop(*state);
	return 0;
}

static uint32_t features(struct rig *r)
{
	return host_fake_cpuid(r->f, 0, KVM_CPUID_FEATURES, 0)->regs[0];
}

static void what_is_offered(void **state)
{
	const uint32_t clock = BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_CLOCKSOURCE2) |
	                       BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT) | BIT(KVM_FEATURE_NOP_IO_DELAY);
	const uint32_t own = clock | BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_EOI);
	struct rig *r = *state, *other;
	const struct host_fake_cpuid *leaf = host_fake_cpuid(r->f, 2, KVM_CPUID_SIGNATURE, 0);
	uint64_t value;

	assert_int_equal(leaf->regs[0], KVM_CPUID_FEATURES);
	assert_memory_equal(&leaf->regs[1], "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(features(r), own | BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) |
	                                      BIT(KVM_FEATURE_PV_SCHED_YIELD));
	assert_int_equal(host_fake_rdmsr(r->f, 0, MSR_KVM_ASYNC_PF_EN, &value), -EPERM);
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_POLL_CONTROL, 0), -EPERM);

	other = make(true, false);
	assert_int_equal(features(other), own);
	drop(other);
	other = make(false, true);
	assert_int_equal(features(other), clock);
	assert_int_equal(host_fake_wrmsr(other->f, 0, MSR_KVM_STEAL_TIME, STEAL | 1), -EPERM);
	assert_int_equal(host_fake_wrmsr(other->f, 0, MSR_KVM_PV_EOI_EN, 0), -EPERM);
	assert_int_equal(host_fake_call(other->f, KVM_HC_KICK_CPU, 0, 0, 0), -KVM_ENOSYS);
	drop(other);
}

/* ---- the clock ---- */

static struct pvclock *clock_at(struct rig *r, uint64_t gpa)
{
	return (void *)(r->f->ram + gpa);
}

/* Nanoseconds as the guest works them out; the fake's TSC ticks at 1 GHz. */
static uint64_t read_clock(const struct pvclock *c, uint64_t tsc)
{
	uint64_t delta = tsc - c->tsc_timestamp;

	assert_false(c->version & 1);
	delta = c->tsc_shift >= 0 ? delta << c->tsc_shift : delta >> -c->tsc_shift;
	return (uint64_t)((unsigned __int128)delta * c->tsc_to_system_mul >> 32) + c->system_time;
}

static void clock_follows_the_tsc(void **state)
{
	struct rig *r = *state;
	struct pvclock *c = clock_at(r, CLOCK);
	uint64_t value;

	r->f->tsc_base = 1000;
	r->f->ns_base = 77;
	assert_int_equal(host_fake_wrmsr(r->f, 1, MSR_KVM_SYSTEM_TIME_NEW, CLOCK | 1), 0);
	assert_true(c->version);
	assert_int_equal(read_clock(c, 1500), 577);
	assert_int_equal(c->flags, PVCLOCK_STABLE);
	/* A firmware's, which does not page, is no sign of what the guest uses. */
	assert_int_equal(host_fake_counter(r->f, "kvmclock registered"), 0);
	r->f->vcpu[1].state.cr0 = 0x80000001;
	assert_int_equal(host_fake_wrmsr(r->f, 1, MSR_KVM_SYSTEM_TIME, CLOCK | 1), 0);
	assert_int_equal(host_fake_wrmsr(r->f, 1, MSR_KVM_SYSTEM_TIME, CLOCK), 0);
	assert_int_equal(host_fake_counter(r->f, "kvmclock registered"), 1);
	assert_int_equal(host_fake_wrmsr(r->f, 1, MSR_KVM_SYSTEM_TIME_NEW, CLOCK | 1), 0);
	/* The old number is the same register. */
	assert_int_equal(host_fake_rdmsr(r->f, 1, MSR_KVM_SYSTEM_TIME, &value), 0);
	assert_int_equal(value, CLOCK | 1);
	assert_int_equal(host_fake_rdmsr(r->f, 0, MSR_KVM_SYSTEM_TIME, &value), 0);
	assert_int_equal(value, 0);
}

static void clock_over_a_pause(void **state)
{
	struct rig *r = *state;
	struct pvclock *c = clock_at(r, CLOCK);
	uint32_t version;

	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_SYSTEM_TIME, CLOCK | 1), 0);
	version = c->version;
	r->f->tsc_base = 5000; /* the TSC went on to there, domain time did not */
	r->f->ns_base = 1000;
	kvm_pv_resume(&r->pv);
	assert_int_equal(c->version, version + 2);
	assert_int_equal(read_clock(c, 5001), 1001);
	assert_int_equal(c->flags, PVCLOCK_STABLE | PVCLOCK_STOPPED);
	/* "Stopped" stays until the guest takes it back. */
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_SYSTEM_TIME, CLOCK | 1), 0);
	assert_int_equal(c->flags, PVCLOCK_STABLE | PVCLOCK_STOPPED);
	c->flags = PVCLOCK_STABLE;
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_SYSTEM_TIME, CLOCK | 1), 0);
	assert_int_equal(c->flags, PVCLOCK_STABLE);
	/* Disabled, nothing is written any more. */
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_SYSTEM_TIME, CLOCK), 0);
	version = c->version;
	kvm_pv_resume(&r->pv);
	assert_int_equal(c->version, version);
}

static void clock_after_the_tsc_was_set(void **state)
{
	struct rig *r = *state;
	struct pvclock *c = clock_at(r, CLOCK);

	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_SYSTEM_TIME_NEW, CLOCK | 1), 0);
	r->f->tsc_base = 12345;
	host_fake_advance(r->f, 2 * MS);
	lapic_set_irq(&r->s, 0, 0x40);
	assert_int_equal(lapic_accept(&r->s, 0), 0x40);
	assert_int_equal(c->tsc_timestamp, 12345);
}

/* Any version may be there, and anywhere may be asked for. */
static void clock_of_a_hostile_guest(void **state)
{
	static const uint64_t bad[] = { CLOCK | 2, CLOCK | 1, 0xffffffffffffffff, FAR, (1 << 20) - 16, 0 };
	struct rig *r = *state;

	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t value;

		assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_SYSTEM_TIME_NEW, bad[i] | 1), 0);
		assert_int_equal(host_fake_rdmsr(r->f, 0, MSR_KVM_SYSTEM_TIME_NEW, &value), 0);
		assert_int_equal(value, bad[i] | 1);
		assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_WALL_CLOCK_NEW, bad[i]), 0);
		kvm_pv_resume(&r->pv);
	}
	clock_at(r, CLOCK)->version = UINT32_MAX;
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_SYSTEM_TIME_NEW, CLOCK | 1), 0);
	assert_int_equal(clock_at(r, CLOCK)->version, 0);
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_SYSTEM_TIME_NEW, CLOCK | 1), 0);
	assert_int_equal(clock_at(r, CLOCK)->version, 2);
}

static void wall_clock(void **state)
{
	struct rig *r = *state;
	uint32_t *w = (void *)(r->f->ram + WALL);
	uint64_t value;

	host_fake_advance(r->f, 100 * 1000 * MS);
	assert_int_equal(host_fake_wrmsr(r->f, 3, MSR_KVM_WALL_CLOCK_NEW, WALL), 0);
	assert_int_equal(w[0], 2);
	assert_in_range(w[1] + 100, time(NULL) - 2, time(NULL) + 1);
	assert_in_range(w[2], 0, 999999999);
	assert_int_equal(host_fake_rdmsr(r->f, 0, MSR_KVM_WALL_CLOCK, &value), 0);
	assert_int_equal(value, WALL);
}

/* ---- steal time ---- */

static void interrupt(struct rig *r)
{
	host_fake_advance(r->f, MS);
	lapic_set_irq(&r->s, 0, 0x40);
	assert_int_equal(lapic_accept(&r->s, 0), 0x40);
	r->f->current = 0;
	host_fake_out(r->f, GAMUT_SPACE_MMIO, LAPIC_BASE + EOI, 4, 0);
}

static void steal_time(void **state)
{
	struct rig *r = *state;
	struct kvm_steal_time *s = (void *)(r->f->ram + STEAL);
	uint32_t version;

	r->f->vcpu[0].times[1] = 1000;
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_STEAL_TIME, STEAL | 1), 0);
	assert_int_equal(s->steal, 0);
	assert_int_equal(host_fake_counter(r->f, "steal time"), 1);
	r->f->vcpu[0].times[1] = 4000;
	s->preempted = 1; /* the guest's own: it is never touched */
	interrupt(r);
	assert_int_equal(s->steal, 3000);
	assert_int_equal(s->preempted, 1);
	assert_false(s->version & 1);
	/* It never goes back, and is not looked at with every interrupt. */
	r->f->vcpu[0].times[1] = 3500;
	interrupt(r);
	assert_int_equal(s->steal, 3000);
	version = s->version;
	lapic_set_irq(&r->s, 0, 0x50);
	assert_int_equal(lapic_accept(&r->s, 0), 0x50);
	assert_int_equal(s->version, version);
	host_fake_out(r->f, GAMUT_SPACE_MMIO, LAPIC_BASE + EOI, 4, 0);
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_STEAL_TIME, STEAL | 3), -EPERM);
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_STEAL_TIME, FAR | 1), 0);
	interrupt(r);
}

/* ---- hypercalls ---- */

static int64_t call(struct rig *r, uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	struct gamut_hypercall c = { .nr = nr, .long_mode = 1, .args = { 0xbad, a3, a2, 0xbad, 0xbad, 0xbad } };

	r->f->vcpu[0].state.gpr[3] = a0;
	r->f->vcpu[0].state.gpr[1] = a1;
	return host_fake_hypercall(r->f, &c);
}

static int64_t call32(struct rig *r, uint32_t nr, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3)
{
	struct gamut_hypercall c = { .nr = nr, .args = { a0, a1, a2, a3 } };

	return host_fake_hypercall(r->f, &c);
}

static void hypercalls(void **state)
{
	struct gamut_hypercall user = { .nr = KVM_HC_KICK_CPU, .cpl = 3, .long_mode = 1 };
	struct rig *r = *state;

	assert_int_equal(host_fake_hypercall(r->f, &user), -KVM_EPERM);
	assert_int_equal(call(r, KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), 0);
	assert_int_equal(call(r, KVM_HC_SCHED_YIELD, 1, 0, 0, 0), 0);
	assert_int_equal(call(r, KVM_HC_MMU_OP, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(call(r, KVM_HC_CLOCK_PAIRING, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(call(r, UINT32_MAX, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(call(r, KVM_HC_KICK_CPU, 0, 2, 0, 0), 0);
	assert_int_equal(r->f->vcpu[2].unhalts, 1);
	assert_int_equal(call32(r, KVM_HC_KICK_CPU, 0, 3, 0, 0), 0);
	assert_int_equal(r->f->vcpu[3].unhalts, 1);
	/* Nobody's. */
	assert_int_equal(call(r, KVM_HC_KICK_CPU, 0, VCPUS, 0, 0), 0);
	assert_int_equal(call(r, KVM_HC_KICK_CPU, 0, UINT64_MAX, 0, 0), 0);
}

static void ipis(void **state)
{
	struct rig *r = *state;

	assert_int_equal(call(r, KVM_HC_SEND_IPI, 0xd, 0, 0, 0x40), 3);
	assert_int_equal(lapic_accept(&r->s, 0), 0x40);
	assert_int_equal(lapic_accept(&r->s, 1), -1);
	assert_int_equal(lapic_accept(&r->s, 2), 0x40);
	assert_int_equal(lapic_accept(&r->s, 3), 0x40);
	/* From a number on; bits beyond those that are there. */
	assert_int_equal(call(r, KVM_HC_SEND_IPI, UINT64_MAX, UINT64_MAX, 3, 0x50), 1);
	assert_int_equal(call(r, KVM_HC_SEND_IPI, UINT64_MAX, UINT64_MAX, UINT32_MAX, 0x51), 0);
	assert_int_equal(lapic_accept(&r->s, 3), 0x50);
	/* The second word, whose place follows the word size. */
	assert_int_equal(call32(r, KVM_HC_SEND_IPI, 0, 1, (uint32_t)-32, 0x52), 0);
	assert_int_equal(call(r, KVM_HC_SEND_IPI, 2, 0, 0, ICR_NMI), 1);
	assert_int_equal(r->f->vcpu[1].nmis, 1);
	/* Logical destinations and shorthands have no place here. */
	assert_int_equal(call(r, KVM_HC_SEND_IPI, 1, 0, 0, 0x840), -KVM_EINVAL);
	assert_int_equal(call(r, KVM_HC_SEND_IPI, 1, 0, 0, 0xc0040), -KVM_EINVAL);
}

/* ---- what ends it ---- */

static void init_and_reset(void **state)
{
	struct rig *r = *state;
	struct pvclock *c = clock_at(r, CLOCK);
	uint32_t version;
	uint64_t value;

	assert_int_equal(host_fake_wrmsr(r->f, 1, MSR_KVM_SYSTEM_TIME_NEW, CLOCK | 1), 0);
	assert_int_equal(host_fake_wrmsr(r->f, 1, MSR_KVM_PV_EOI_EN, 0x6001), 0);
	r->f->vcpu[1].up = true;
	lapics_init_pin(&r->s);
	version = c->version;
	kvm_pv_resume(&r->pv);
	assert_int_equal(c->version, version);
	assert_int_equal(host_fake_rdmsr(r->f, 1, MSR_KVM_PV_EOI_EN, &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_SYSTEM_TIME_NEW, CLOCK | 1), 0);
	assert_int_equal(host_fake_wrmsr(r->f, 0, MSR_KVM_STEAL_TIME, STEAL | 1), 0);
	kvm_pv_reset(&r->pv);
	version = c->version;
	kvm_pv_resume(&r->pv);
	assert_int_equal(c->version, version);
	assert_int_equal(host_fake_rdmsr(r->f, 0, MSR_KVM_STEAL_TIME, &value), 0);
	assert_int_equal(value, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(clock_follows_the_tsc, setup, teardown),
		cmocka_unit_test_setup_teardown(clock_over_a_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(clock_after_the_tsc_was_set, setup, teardown),
		cmocka_unit_test_setup_teardown(clock_of_a_hostile_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(wall_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(steal_time, setup, teardown),
		cmocka_unit_test_setup_teardown(hypercalls, setup, teardown),
		cmocka_unit_test_setup_teardown(ipis, setup, teardown),
		cmocka_unit_test_setup_teardown(init_and_reset, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
