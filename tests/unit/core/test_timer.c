/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "timer.h"

#define MS 1000000ull

static struct clock clk;
static struct loop loop;
static struct timers timers;
static unsigned order[64], n_order;

struct probe {
	struct gamut_timer *timer;
	unsigned id, fired;
	bool again; /* sets itself to the past */
	uint64_t at;
};

static int setup(void **state)
{
	(void)state;
	n_order = 0;
	clock_init(&clk);
	return loop_init(&loop) || timers_init(&timers, &clk, &loop);
}

static int teardown(void **state)
{
	(void)state;
	timers_finish(&timers);
	loop_finish(&loop);
	return 0;
}

static void fired(void *opaque)
{
	struct probe *p = opaque;

	p->fired++;
	p->at = clock_now(&clk);
	if (n_order < 64)
		order[n_order++] = p->id;
	if (p->again)
		timer_set_in(&timers, p->timer, 0);
}

static void make(struct probe *p, unsigned id)
{
	*p = (struct probe){ .id = id };
	p->timer = timer_create_in(&timers, fired, p);
	assert_non_null(p->timer);
}

static void run_until(const unsigned *count, unsigned want)
{
	for (int i = 0; i < 200 && *count < want; i++)
		loop_once(&loop, 20);
}

static void test_order(void **state)
{
	struct probe p[40];
	uint64_t now = clock_now(&clk);

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		make(&p[i], i);
		timer_set_in(&timers, p[i].timer, now + (i * 17 % 40) * 100000);
	}
	run_until(&n_order, 40);
	assert_int_equal(n_order, 40);
	for (unsigned i = 1; i < 40; i++)
		assert_true(order[i - 1] * 17 % 40 < order[i] * 17 % 40);
	for (unsigned i = 0; i < 40; i++) {
		assert_true(p[i].at >= now + (i * 17 % 40) * 100000);
		timer_destroy_in(&timers, p[i].timer);
	}
}

static void test_replace_and_cancel(void **state)
{
	struct probe p, q;
	uint64_t now = clock_now(&clk);

	(void)state;
	make(&p, 1);
	make(&q, 2);
	timer_set_in(&timers, p.timer, now + 5 * MS);
	timer_set_in(&timers, p.timer, now + 2 * MS);
	timer_set_in(&timers, q.timer, now + 1 * MS);
	timer_cancel_in(&timers, q.timer);
	timer_cancel_in(&timers, q.timer);
	for (int i = 0; i < 10; i++)
		loop_once(&loop, 2);
	assert_int_equal(p.fired, 1);
	assert_int_equal(q.fired, 0);
	/* To a later time than the descriptor is armed for: found not due, and armed again. */
	now = clock_now(&clk);
	timer_set_in(&timers, q.timer, now + 1 * MS);
	timer_set_in(&timers, q.timer, now + 4 * MS);
	run_until(&q.fired, 1);
	assert_int_equal(q.fired, 1);
	assert_true(q.at >= now + 4 * MS);
	timer_destroy_in(&timers, p.timer);
	timer_destroy_in(&timers, q.timer);
}

static void test_past_and_far_future(void **state)
{
	struct probe p, q;

	(void)state;
	make(&p, 1);
	make(&q, 2);
	timer_set_in(&timers, q.timer, UINT64_MAX);
	timer_set_in(&timers, p.timer, 0);
	loop_once(&loop, 1000);
	assert_int_equal(p.fired, 1);
	assert_int_equal(q.fired, 0);
	timer_destroy_in(&timers, p.timer);
	timer_destroy_in(&timers, q.timer);
}

/* A timer that always sets itself to the past must leave the round. */
static void test_no_starvation(void **state)
{
	struct probe p;

	(void)state;
	make(&p, 1);
	p.again = true;
	timer_set_in(&timers, p.timer, 0);
	for (int i = 0; i < 5; i++)
		loop_once(&loop, 100);
	assert_in_range(p.fired, 2, 5);
	timer_destroy_in(&timers, p.timer);
}

static void test_stands_still_while_paused(void **state)
{
	struct probe p;
	uint64_t now;

	(void)state;
	make(&p, 1);
	clock_calibrate(&clk);
	now = clock_now(&clk);
	timer_set_in(&timers, p.timer, now + 3 * MS);
	timers_pause(&timers);
	clock_pause(&clk);
	now = clock_now(&clk);
	loop_once(&loop, 10);
	assert_int_equal(p.fired, 0);
	assert_int_equal(clock_now(&clk), now);
	clock_resume(&clk);
	timers_resume(&timers);
	assert_true(clock_now(&clk) >= now);
	assert_true(clock_now(&clk) < now + 5 * MS);
	run_until(&p.fired, 1);
	assert_int_equal(p.fired, 1);
	timer_destroy_in(&timers, p.timer);
}

static void test_scale(void **state)
{
	static const uint64_t hz[] = { 1000000, 24000000, 999999999, 1000000000, 2400000000, 5000000000 };

	(void)state;
	for (size_t i = 0; i < sizeof(hz) / sizeof(hz[0]); i++) {
		struct clock_sample x = { .tsc = 1000, .mono = 5 };
		struct clock_sample y = { .tsc = 1000 + hz[i], .mono = 5 + 1000000000 };
		struct clock_scale s = clock_scale_from(&x, &y);
		uint64_t ns = clock_scale_apply(&s, y.tsc + 100 * hz[i]);

		assert_true(s.mul & 1u << 31);
		assert_in_range(ns, 99999999000, 100000001000);
		/* Before the base is the base. */
		assert_int_equal(clock_scale_apply(&s, 0), 0);
	}
}

static void test_clock_follows_monotonic(void **state)
{
	uint64_t mono, ns;

	(void)state;
	clock_calibrate(&clk);
	mono = mono_now();
	ns = clock_now(&clk);
	while (mono_now() < mono + 20 * MS)
		;
	/* Within a tenth of a percent, and the time that the scheduler may take between the two readings. */
	assert_in_range(clock_now(&clk) - ns, 19 * MS, (mono_now() - mono) + 20 * MS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_replace_and_cancel),
		TEST(test_past_and_far_future),
		TEST(test_no_starvation),
		TEST(test_stands_still_while_paused),
		TEST(test_scale),
		TEST(test_clock_follows_monotonic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
