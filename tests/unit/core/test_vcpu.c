/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake/engine-fake.h"
#include "schedule.h"
#include "vcpu.h"

static struct bus bus;
static struct clock clk;
static struct vcpus set;
static atomic_int irqs; /* waiting at the source */
static atomic_int ended_how;

static int irq_accept(void *opaque, uint32_t vcpu)
{
	(void)opaque;
	(void)vcpu;
	if (!atomic_load(&irqs))
		return -1;
	atomic_fetch_sub(&irqs, 1);
	return 0x31;
}

static int irq_pending(void *opaque, uint32_t vcpu)
{
	(void)opaque;
	(void)vcpu;
	return atomic_load(&irqs) > 0;
}

static const struct gamut_irq_source source = { sizeof(source), irq_accept, irq_pending };

static atomic_int pv_events; /* that the monitor would deliver */
static atomic_int pv_blocks;

/* SCHEDOP_block, as it were. */
static int pv_slow(void *opaque, struct gamut_pv_cpu *cpu)
{
	(void)opaque;
	(void)cpu;
	set.vcpu[0]->block = true;
	atomic_fetch_add(&pv_blocks, 1);
	return GAMUT_PV_RESUME;
}

static atomic_int pv_late; /* an event arrives just after this many questions were answered */

static int pv_pending(void *opaque, uint32_t vcpu)
{
	int due = atomic_load(&pv_events) > 0;

	(void)opaque;
	if (atomic_load(&pv_late) && atomic_fetch_sub(&pv_late, 1) == 1) {
		atomic_store(&pv_events, 1);
		vcpu_attend(set.vcpu[vcpu], ATTN_IRQ);
	}
	return due;
}

static const struct gamut_pv_guest monitor = { .size = sizeof(monitor), .slow = pv_slow, .pending = pv_pending };

static void on_end(void *opaque, int how, const char *why)
{
	(void)opaque;
	(void)why;
	ended_how = how;
}

static int begin(uint32_t n)
{
	char err[128];

	memset(&set, 0, sizeof(set));
	irqs = 0;
	ended_how = -1;
	clock_init(&clk);
	if (bus_init(&bus) || bus_seal(&bus))
		return -1;
	set.ops = &engine_fake_ops;
	set.bus = &bus;
	set.clock = &clk;
	set.irq = &source;
	set.on_end = on_end;
	return vcpus_init(&set, n, err, sizeof(err)) || vcpus_start(&set);
}

static int setup(void **state)
{
	(void)state;
	engine_fake_reset();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vcpus_stop(&set);
	vcpus_finish(&set);
	bus_finish(&bus);
	return engine_fake.n_vcpus;
}

/* Waits up to five seconds for a condition. */
#define WAIT_FOR(cond)                                                                             \
	do {                                                                                           \
		for (int spins_ = 0; !(cond) && spins_ < 5000; spins_++)                                   \
			usleep(1000);                                                                          \
		assert_true(cond);                                                                         \
	} while (0)

static _Atomic uint32_t overs;

static void step_hlt(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	(void)v;
	e->reason = EXIT_HLT;
}

static void step_hlt_masked(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	v->state.rflags = 2;
	e->reason = EXIT_HLT;
}

static void step_pv(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	e->reason = EXIT_PV;
	e->pv.cpu = &v->pv;
}

static void step_shutdown(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	(void)v;
	e->reason = EXIT_SHUTDOWN;
}

static void raise_irq(struct vcpu *v)
{
	atomic_fetch_add(&irqs, 1);
	vcpu_attend(v, ATTN_IRQ);
}

static void test_parked_until_resumed(void **state)
{
	(void)state;
	assert_int_equal(begin(2), 0);
	usleep(2000);
	assert_int_equal(engine_fake.vcpu[0]->runs, 0);
	vcpus_resume(&set);
	WAIT_FOR(engine_fake.vcpu[0]->runs > 0);
	/* vCPU 1 is down. */
	usleep(2000);
	assert_int_equal(engine_fake.vcpu[1]->runs, 0);
	vcpu_set_up(set.vcpu[1], true);
	WAIT_FOR(engine_fake.vcpu[1]->runs > 0);
}

static void test_pause_rendezvous(void **state)
{
	(void)state;
	assert_int_equal(begin(2), 0);
	vcpu_set_up(set.vcpu[1], true);
	for (int i = 0; i < 50; i++) {
		uint32_t runs[2];

		vcpus_resume(&set);
		if (i % 2)
			WAIT_FOR(engine_fake.vcpu[0]->runs && engine_fake.vcpu[1]->runs);
		vcpus_pause(&set);
		runs[0] = engine_fake.vcpu[0]->runs;
		runs[1] = engine_fake.vcpu[1]->runs;
		usleep(500);
		assert_int_equal(runs[0], engine_fake.vcpu[0]->runs);
		assert_int_equal(runs[1], engine_fake.vcpu[1]->runs);
	}
}

static void test_hlt_sleeps_until_irq(void **state)
{
	static const engine_fake_step script[] = { step_hlt, step_hlt, NULL };
	uint64_t ns[VCPU_TIMES];

	(void)state;
	engine_fake.scripts[0] = script;
	assert_int_equal(begin(1), 0);
	vcpus_resume(&set);
	WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
	usleep(20000);
	assert_int_equal(engine_fake.vcpu[0]->at, 1);
	vcpu_times(set.vcpu[0], ns);
	assert_true(ns[VCPU_BLOCKED] >= 15000000);
	/* A bit without an interrupt behind it does not wake, nor does a wake that is meant for a block. */
	vcpu_attend(set.vcpu[0], ATTN_IRQ);
	vcpu_attend(set.vcpu[0], ATTN_WAKE);
	usleep(3000);
	assert_int_equal(engine_fake.vcpu[0]->at, 1);
	raise_irq(set.vcpu[0]);
	WAIT_FOR(engine_fake.vcpu[0]->at == 2);
	assert_int_equal(engine_fake.vcpu[0]->accepted, 1);
	assert_int_equal(engine_fake.vcpu[0]->last_vector, 0x31);
}

static void step_see_over(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	(void)v;
	assert_int_equal(e->reason, EXIT_HLT);
	atomic_fetch_add(&overs, e->hlt.over);
	e->reason = EXIT_HLT;
}

static void step_see_not_over(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	(void)v;
	assert_false(e->reason == EXIT_HLT && e->hlt.over);
	e->reason = EXIT_INTR;
}

/* With interrupts disabled and enabled, under way and ahead; and once only. */
static void test_unhalt(void **state)
{
	static const engine_fake_step script[] = { step_hlt_masked, step_see_over, step_see_over, step_see_not_over, NULL };

	(void)state;
	atomic_store(&overs, 0);
	engine_fake.scripts[0] = script;
	assert_int_equal(begin(1), 0);
	vcpus_resume(&set);
	WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
	vcpu_unhalt(set.vcpu[0]);
	WAIT_FOR(engine_fake.vcpu[0]->at == 2 && set.vcpu[0]->mode == VCPU_ASLEEP);
	assert_int_equal(atomic_load(&overs), 1);
	/* A pause in between changes nothing. */
	vcpus_pause(&set);
	vcpu_unhalt(set.vcpu[0]);
	usleep(2000);
	assert_int_equal(engine_fake.vcpu[0]->at, 2);
	vcpus_resume(&set);
	WAIT_FOR(engine_fake.vcpu[0]->at == 3 && set.vcpu[0]->mode == VCPU_ASLEEP);
	assert_int_equal(atomic_load(&overs), 2);
	usleep(2000);
	assert_int_equal(engine_fake.vcpu[0]->at, 3);
	/* A reset forgets it. */
	vcpus_pause(&set);
	vcpu_unhalt(set.vcpu[0]);
	vcpus_reset(&set);
	assert_false(atomic_load(&set.vcpu[0]->unhalt));
}

static void test_hlt_with_if_clear(void **state)
{
	static const engine_fake_step script[] = { step_hlt_masked, NULL };

	(void)state;
	engine_fake.scripts[0] = script;
	assert_int_equal(begin(1), 0);
	vcpus_resume(&set);
	WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
	raise_irq(set.vcpu[0]);
	usleep(3000);
	assert_int_equal(engine_fake.vcpu[0]->runs, 1);
	vcpu_attend(set.vcpu[0], ATTN_NMI);
	WAIT_FOR(engine_fake.vcpu[0]->runs == 2);
}

/* One in service and one that waits; what comes besides is lost. */
static void test_nmis_are_counted_to_two(void **state)
{
	_Atomic uint32_t attention = ATTN_PAUSE;

	(void)state;
	for (int i = 0; i < 3; i++)
		attn_nmi_raise(&attention);
	assert_int_equal(attention, ATTN_PAUSE | ATTN_NMI | ATTN_NMI_MORE);
	attn_nmi_take(&attention, false);
	assert_int_equal(attention, ATTN_PAUSE | ATTN_NMI);
	/* The handler runs. */
	attn_nmi_raise(&attention);
	attn_nmi_take(&attention, true);
	assert_int_equal(attention, ATTN_PAUSE | ATTN_NMI);
	attn_nmi_take(&attention, true);
	assert_int_equal(attention, ATTN_PAUSE | ATTN_NMI);
	attn_nmi_take(&attention, false);
	assert_int_equal(attention, ATTN_PAUSE);
}

/* Paused and let go in the middle of a sleep: it goes on sleeping. */
static void test_pause_while_idle(void **state)
{
	static const engine_fake_step script[] = { step_hlt, NULL };

	(void)state;
	engine_fake.scripts[0] = script;
	assert_int_equal(begin(1), 0);
	vcpus_resume(&set);
	WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
	vcpus_pause(&set);
	vcpus_resume(&set);
	WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
	usleep(2000);
	assert_int_equal(engine_fake.vcpu[0]->runs, 1);
	raise_irq(set.vcpu[0]);
	WAIT_FOR(engine_fake.vcpu[0]->runs > 1);
}

static void test_raise_never_lost(void **state)
{
	static const engine_fake_step script[] = { step_hlt, step_hlt, step_hlt, step_hlt, step_hlt, step_hlt, step_hlt,
		                                       step_hlt, step_hlt, step_hlt, step_hlt, step_hlt, step_hlt, NULL };

	(void)state;
	engine_fake.scripts[0] = script;
	assert_int_equal(begin(1), 0);
	vcpus_resume(&set);
	for (uint32_t i = 1; i <= 12; i++) {
		raise_irq(set.vcpu[0]);
		WAIT_FOR(engine_fake.vcpu[0]->accepted == i);
	}
}

/* Under a monitor the interrupt source has no say in what ends a block. */
static void test_block_of_a_pv_guest(void **state)
{
	static const engine_fake_step script[] = { step_pv, step_pv, step_pv, NULL };
	struct engine_fake_vcpu *v;

	(void)state;
	engine_fake.scripts[0] = script;
	pv_events = pv_blocks = 0;
	assert_int_equal(begin(1), 0);
	set.pv = &monitor;
	v = engine_fake.vcpu[0];
	vcpus_resume(&set);
	WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
	raise_irq(set.vcpu[0]); /* pending at the source, but masked as the monitor has it */
	usleep(3000);
	assert_int_equal(v->at, 1);
	assert_int_equal(set.vcpu[0]->mode, VCPU_ASLEEP);
	atomic_store(&irqs, 0);
	atomic_store(&pv_events, 1);
	vcpu_attend(set.vcpu[0], ATTN_IRQ);
	/* It blocks again with the event still there: no sleep at all, though nobody raises once more. */
	WAIT_FOR(v->at == 3 && v->runs > 3);
	assert_int_equal(pv_blocks, 3);
	assert_int_equal(v->accepted, 0);
}

/* An event between the last look and the sleep: the word is then what it was before the look. */
static void test_event_between_look_and_sleep(void **state)
{
	static const engine_fake_step script[] = { step_pv, step_pv, NULL };

	(void)state;
	for (int late = 1; late <= 4; late++) {
		engine_fake_reset();
		engine_fake.scripts[0] = script;
		pv_events = pv_blocks = 0;
		assert_int_equal(begin(1), 0);
		set.pv = &monitor;
		atomic_store(&pv_late, late);
		vcpus_resume(&set);
		if (late > 2) {
			WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
			vcpu_attend(set.vcpu[0], ATTN_IRQ);
		}
		WAIT_FOR(atomic_load(&pv_blocks) == 2);
		vcpus_stop(&set);
		vcpus_finish(&set);
		bus_finish(&bus);
	}
	engine_fake_reset();
	assert_int_equal(begin(1), 0);
}

static void test_triple_fault_parks(void **state)
{
	static const engine_fake_step script[] = { step_shutdown, NULL };

	(void)state;
	engine_fake.scripts[0] = script;
	assert_int_equal(begin(1), 0);
	vcpus_resume(&set);
	WAIT_FOR(ended_how == GAMUT_END_CRASH);
	usleep(2000);
	assert_int_equal(engine_fake.vcpu[0]->runs, 1);
	vcpus_pause(&set);
	vcpus_reset(&set);
	assert_int_equal(engine_fake.vcpu[0]->resets, 2);
}

static void test_down_and_up(void **state)
{
	uint32_t runs;

	(void)state;
	assert_int_equal(begin(1), 0);
	vcpus_resume(&set);
	WAIT_FOR(engine_fake.vcpu[0]->runs > 0);
	vcpu_set_up(set.vcpu[0], false);
	WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
	runs = engine_fake.vcpu[0]->runs;
	raise_irq(set.vcpu[0]);
	usleep(2000);
	assert_int_equal(engine_fake.vcpu[0]->runs, runs);
	vcpu_set_up(set.vcpu[0], true);
	WAIT_FOR(engine_fake.vcpu[0]->runs > runs);
}

/* From another vCPU's thread. */
static void test_set_state_of_another(void **state)
{
	struct gamut_vcpu_state given = { .size = sizeof(given), .rip = 0x1234 }, huge = { .size = sizeof(huge) + 8 };

	(void)state;
	engine_fake.scripts[1] = (engine_fake_step[]){ step_hlt, NULL };
	assert_int_equal(begin(2), 0);
	/* Never up yet, whether its thread has come to look or not: at once. */
	assert_int_equal(vcpu_set_state(set.vcpu[1], &given), 0);
	assert_int_equal(engine_fake.vcpu[1]->state.rip, 0x1234);
	given.rip = 0x2345;
	vcpus_resume(&set);
	/* Asleep because it is down: at once. */
	WAIT_FOR(set.vcpu[1]->mode == VCPU_ASLEEP);
	assert_int_equal(vcpu_set_state(set.vcpu[1], &huge), -EINVAL);
	assert_int_equal(vcpu_set_state(set.vcpu[1], &given), 0);
	assert_int_equal(engine_fake.vcpu[1]->state.rip, 0x2345);
	/* Up, and idle in hlt. */
	vcpu_set_up(set.vcpu[1], true);
	WAIT_FOR(set.vcpu[1]->idle_mask);
	given.rip = 0x5678;
	assert_int_equal(vcpu_set_state(set.vcpu[1], &given), -EBUSY);
	/* Taken down and started anew: it does not go on being idle, whether it has noticed in between or not. */
	vcpu_set_up(set.vcpu[1], false);
	assert_int_equal(vcpu_set_state(set.vcpu[1], &given), 0);
	vcpu_set_up(set.vcpu[1], true);
	WAIT_FOR(engine_fake.vcpu[1]->runs > 1);
	assert_int_equal(engine_fake.vcpu[1]->state.rip, 0x5678);
}

/* A vCPU that sleeps in hlt and only goes down for a while sleeps on. */
static void test_down_while_idle(void **state)
{
	(void)state;
	engine_fake.scripts[0] = (engine_fake_step[]){ step_hlt, NULL };
	assert_int_equal(begin(1), 0);
	vcpus_resume(&set);
	WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
	vcpu_set_up(set.vcpu[0], false);
	WAIT_FOR(set.vcpu[0]->offline);
	vcpu_set_up(set.vcpu[0], true);
	WAIT_FOR(!set.vcpu[0]->offline);
	usleep(2000);
	assert_int_equal(engine_fake.vcpu[0]->runs, 1);
	raise_irq(set.vcpu[0]);
	WAIT_FOR(engine_fake.vcpu[0]->runs > 1);
}

static void test_throttle(void **state)
{
	uint32_t runs;

	(void)state;
	assert_int_equal(begin(1), 0);
	vcpus_resume(&set);
	WAIT_FOR(engine_fake.vcpu[0]->runs > 0);
	vcpus_throttle(&set, true);
	WAIT_FOR(set.vcpu[0]->mode == VCPU_ASLEEP);
	runs = engine_fake.vcpu[0]->runs;
	raise_irq(set.vcpu[0]);
	usleep(2000);
	assert_int_equal(engine_fake.vcpu[0]->runs, runs);
	/* It can still be paused. */
	vcpus_pause(&set);
	vcpus_resume(&set);
	vcpus_throttle(&set, false);
	WAIT_FOR(engine_fake.vcpu[0]->runs > runs);
	WAIT_FOR(engine_fake.vcpu[0]->accepted == 1);
}

static void test_engine_fails(void **state)
{
	char err[128] = "";

	(void)state;
	memset(&set, 0, sizeof(set));
	clock_init(&clk);
	set.ops = &engine_fake_ops;
	set.bus = &bus;
	set.clock = &clk;
	engine_fake.fail_vcpu = true;
	assert_true(vcpus_init(&set, 2, err, sizeof(err)) < 0);
	assert_string_not_equal(err, "");
	assert_int_equal(engine_fake.n_vcpus, 0);
}

static void test_bucket(void **state)
{
	int64_t tokens = 0;

	(void)state;
	/* A domain capped to half a processor that wants a whole one gets half of the ticks. */
	int ran = 0;
	bool wait = false;

	for (int i = 0; i < 1000; i++) {
		ran += !wait;
		wait = sched_bucket(&tokens, 50, 10000000, wait ? 0 : 10000000);
	}
	assert_in_range(ran, 490, 510);
	/* Idle time does not add up without end, nor does a host that slept. */
	sched_bucket(&tokens, 6400, UINT64_MAX, 0);
	assert_in_range(tokens, 1, 64 * 30000000);
}

static void test_nice(void **state)
{
	(void)state;
	assert_int_equal(sched_nice(256), 0);
	assert_int_equal(sched_nice(1), 19);
	assert_int_equal(sched_nice(65535), -20);
	assert_int_equal(sched_nice(320), -1);
	assert_int_equal(sched_nice(205), 1);
	assert_int_equal(sched_nice(128), 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parked_until_resumed),
		TEST(test_pause_rendezvous),
		TEST(test_hlt_sleeps_until_irq),
		TEST(test_unhalt), TEST(test_hlt_with_if_clear),
		TEST(test_nmis_are_counted_to_two),
		TEST(test_pause_while_idle),
		TEST(test_raise_never_lost),
		TEST(test_block_of_a_pv_guest),
		TEST(test_event_between_look_and_sleep),
		TEST(test_triple_fault_parks),
		TEST(test_down_and_up),
		TEST(test_set_state_of_another),
		TEST(test_down_while_idle),
		TEST(test_throttle),
		cmocka_unit_test_setup(test_engine_fails, setup),
		cmocka_unit_test(test_bucket),
		cmocka_unit_test(test_nice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
