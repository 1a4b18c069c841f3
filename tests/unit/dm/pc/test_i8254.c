/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dm/pc/apic-message.h"
#include "dm/pc/i8254.h"
#include "fake/host-fake.h"

#define MS 1000000ull
#define SECOND 1000000000ull
#define STATUS_OUT 0x80u
#define STATUS_NULL 0x40u

/* Line 0 with an interrupt controller that keeps one request. */
struct rig {
	struct host_fake *f;
	struct i8254 p;
	uint32_t line, rises, taken;
	bool waiting, masked;
	bool acks; /* the processor takes each at once */
};

static int line(void *opaque, uint32_t level)
{
	struct rig *r = opaque;
	bool merged = r->waiting;

	assert_int_not_equal(level, r->line);
	r->line = level;
	if (!level)
		return APIC_MERGED;
	r->rises++;
	if (r->masked)
		return APIC_NOBODY;
	r->waiting = !r->acks;
	r->taken += r->acks;
	return merged ? APIC_MERGED : APIC_TAKEN;
}

static void take(struct rig *r)
{
	r->taken += r->waiting;
	r->waiting = false;
}

/* ---- as the guest ---- */

static void control(struct rig *r, uint8_t word)
{
	i8254_ops.write(&r->p, 3, 1, word);
}

static void load(struct rig *r, int counter, uint16_t count)
{
	i8254_ops.write(&r->p, (uint64_t)counter, 1, count & 0xff);
	i8254_ops.write(&r->p, (uint64_t)counter, 1, count >> 8);
}

static uint8_t rd(struct rig *r, int counter)
{
	return (uint8_t)i8254_ops.read(&r->p, (uint64_t)counter, 1);
}

static uint16_t rd2(struct rig *r, int counter)
{
	uint8_t low = rd(r, counter);

	return (uint16_t)(low | rd(r, counter) << 8);
}

static uint8_t status(struct rig *r, int counter)
{
	control(r, (uint8_t)(0xe0 | 2 << counter));
	return rd(r, counter);
}

static uint32_t out(struct rig *r, int counter)
{
	return i8254_output(&r->p, (uint32_t)counter);
}

/* To the middle of the n-th tick from now. */
static void ticks(struct rig *r, uint64_t n)
{
	uint64_t tick = r->f->now * 105 / 88000 + n;

	host_fake_advance(r->f, (tick * 88000 + 44000) / 105 - r->f->now);
}

/* A macro, for the line of a failure. */
#define OUT_AFTER(n, counter, level)                      \
	do {                                              \
		ticks(r, n);                              \
		assert_int_equal(out(r, counter), level); \
	} while (0)

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, 1);
	r->acks = true;
	assert_int_equal(i8254_init(&r->p, r->f->host, r->f->inst, line, r), 0);
	host_fake_advance(r->f, SECOND);
	ticks(r, 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	i8254_finish(&r->p);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
	return 0;
}

/* ---- reading and writing ---- */

static void at_power_on(void **state)
{
	struct rig *r = *state;

	assert_int_equal(r->rises, 0);
	assert_int_equal(rd(r, 3), 0xff); /* the control word cannot be read */
	assert_int_equal(status(r, 0) & STATUS_NULL, STATUS_NULL);
	assert_int_equal(out(r, 3), 0);
	i8254_gate(&r->p, 7, 1);
}

static void bytes(void **state)
{
	struct rig *r = *state;

	i8254_gate(&r->p, 2, 1);
	control(r, 0x90); /* counter 2, low byte, mode 0 */
	i8254_ops.write(&r->p, 2, 1, 200);
	ticks(r, 11); /* loaded with the first */
	assert_int_equal(rd(r, 2), 190);
	assert_int_equal(rd(r, 2), 190);
	control(r, 0xa0); /* high byte */
	i8254_ops.write(&r->p, 2, 1, 2);
	ticks(r, 1);
	assert_int_equal(rd(r, 2), 2);
	ticks(r, 1);
	assert_int_equal(rd(r, 2), 1);
	control(r, 0xb0);
	load(r, 2, 0x1234);
	ticks(r, 1);
	assert_int_equal(rd2(r, 2), 0x1234);
	ticks(r, 0x34);
	assert_int_equal(rd(r, 2), 0x00);
	assert_int_equal(rd(r, 2), 0x12);
	/* Both in one access. */
	i8254_ops.write(&r->p, 2, 2, 0xb000);
	assert_int_equal(status(r, 2) & 0x3f, 0x30);
}

static void latching(void **state)
{
	struct rig *r = *state;

	i8254_gate(&r->p, 2, 1);
	control(r, 0xb0);
	load(r, 2, 1001);
	ticks(r, 2);
	control(r, 0x80);
	ticks(r, 100);
	control(r, 0x80); /* the second changes nothing */
	assert_int_equal(rd2(r, 2), 1000);
	assert_int_equal(rd2(r, 2), 900);
	/* Between two bytes. */
	assert_int_equal(rd(r, 2), 900 & 0xff);
	control(r, 0x80);
	ticks(r, 500);
	assert_int_equal(rd(r, 2), 900 >> 8);
	assert_int_equal(rd2(r, 2), 400);
	/* Read-back: status first, then the count; of several counters at once. */
	control(r, 0x34);
	load(r, 0, 5000);
	ticks(r, 1);
	control(r, 0xc0 | 0x0a);
	ticks(r, 50);
	assert_int_equal(rd(r, 2), 0x30);
	assert_int_equal(rd2(r, 2), 399);
	assert_int_equal(rd(r, 0), STATUS_OUT | 0x34);
	assert_int_equal(rd2(r, 0), 5000);
	assert_int_equal(rd2(r, 0), 4950);
	control(r, 0xd0 | 0x08); /* the count alone */
	ticks(r, 9);
	assert_int_equal(rd2(r, 2), 349);
}

static void null_count(void **state)
{
	struct rig *r = *state;

	i8254_gate(&r->p, 2, 1);
	control(r, 0xb4);
	assert_int_equal(status(r, 2), STATUS_OUT | STATUS_NULL | 0x34);
	load(r, 2, 100);
	assert_int_equal(status(r, 2) & STATUS_NULL, STATUS_NULL); /* not yet in the counter */
	ticks(r, 1);
	assert_int_equal(status(r, 2) & STATUS_NULL, 0);
	load(r, 2, 50); /* waits for the period's end */
	ticks(r, 50);
	assert_int_equal(status(r, 2) & STATUS_NULL, STATUS_NULL);
	ticks(r, 50);
	assert_int_equal(status(r, 2) & STATUS_NULL, 0);
}

static void bcd(void **state)
{
	struct rig *r = *state;

	i8254_gate(&r->p, 2, 1);
	control(r, 0xb1);
	assert_int_equal(status(r, 2) & 1, 1);
	load(r, 2, 0x1000);
	ticks(r, 2);
	assert_int_equal(rd2(r, 2), 0x0999);
	ticks(r, 999);
	assert_int_equal(rd2(r, 2), 0);
	assert_int_equal(out(r, 2), 1);
	ticks(r, 1);
	assert_int_equal(rd2(r, 2), 0x9999);
	load(r, 2, 0); /* ten thousand */
	ticks(r, 1);
	assert_int_equal(rd2(r, 2), 0);
	ticks(r, 9999);
	assert_int_equal(rd2(r, 2), 1);
	assert_int_equal(out(r, 2), 0);
}

/* ---- modes, by counter 2 ---- */

static void mode_0(void **state)
{
	struct rig *r = *state;

	i8254_gate(&r->p, 2, 1);
	control(r, 0xb0);
	assert_int_equal(out(r, 2), 0);
	load(r, 2, 100);
	OUT_AFTER(100, 2, 0);
	OUT_AFTER(1, 2, 1); /* N + 1 after the write */
	ticks(r, 1);
	assert_int_equal(rd2(r, 2), 0xffff);
	OUT_AFTER(100000, 2, 1);
	/* A new count starts over; its first half stops. */
	i8254_ops.write(&r->p, 2, 1, 50);
	assert_int_equal(out(r, 2), 0);
	OUT_AFTER(1000, 2, 0);
	i8254_ops.write(&r->p, 2, 1, 0);
	ticks(r, 21);
	/* The gate stops the count, not the output. */
	i8254_gate(&r->p, 2, 0);
	ticks(r, 1000);
	assert_int_equal(rd2(r, 2), 30);
	i8254_gate(&r->p, 2, 1);
	OUT_AFTER(29, 2, 0);
	OUT_AFTER(1, 2, 1);
	i8254_gate(&r->p, 2, 0);
	assert_int_equal(out(r, 2), 1);
}

static void mode_1(void **state)
{
	struct rig *r = *state;

	control(r, 0xb2);
	load(r, 2, 100);
	assert_int_equal(out(r, 2), 1);
	OUT_AFTER(1000, 2, 1); /* waits for its trigger */
	i8254_gate(&r->p, 2, 1);
	OUT_AFTER(1, 2, 0);
	assert_int_equal(rd2(r, 2), 100);
	i8254_gate(&r->p, 2, 0); /* the level does not matter */
	OUT_AFTER(99, 2, 0);
	/* Triggered again it is longer; a new count is for the next trigger. */
	load(r, 2, 20);
	i8254_gate(&r->p, 2, 1);
	ticks(r, 1);
	assert_int_equal(rd2(r, 2), 20);
	OUT_AFTER(19, 2, 0);
	OUT_AFTER(1, 2, 1);
	load(r, 2, 50);
	OUT_AFTER(1000, 2, 1);
}

static void mode_2(void **state)
{
	struct rig *r = *state;

	i8254_gate(&r->p, 2, 1);
	control(r, 0xb4);
	load(r, 2, 100);
	ticks(r, 1);
	for (int period = 0; period < 3; period++) {
		assert_int_equal(rd2(r, 2), 100);
		assert_int_equal(out(r, 2), 1);
		OUT_AFTER(98, 2, 1);
		OUT_AFTER(1, 2, 0);
		assert_int_equal(rd2(r, 2), 1);
		ticks(r, 1);
	}
	/* A new count is for the next period. */
	ticks(r, 10);
	load(r, 2, 40);
	ticks(r, 89);
	assert_int_equal(rd2(r, 2), 1);
	ticks(r, 1);
	assert_int_equal(rd2(r, 2), 40);
	/* The gate forces the output up, and starts again. */
	OUT_AFTER(39, 2, 0);
	i8254_gate(&r->p, 2, 0);
	assert_int_equal(out(r, 2), 1);
	ticks(r, 500);
	assert_int_equal(rd2(r, 2), 1);
	i8254_gate(&r->p, 2, 1);
	ticks(r, 1);
	assert_int_equal(rd2(r, 2), 40);
	/* 6 is 2. */
	control(r, 0xbc);
	assert_int_equal(status(r, 2) >> 1 & 7, 2);
}

static void mode_3(void **state)
{
	struct rig *r = *state;

	i8254_gate(&r->p, 2, 1);
	control(r, 0xb6);
	load(r, 2, 100);
	ticks(r, 1);
	assert_int_equal(rd2(r, 2), 100);
	OUT_AFTER(49, 2, 1);
	assert_int_equal(rd2(r, 2), 2); /* by two */
	OUT_AFTER(1, 2, 0);
	assert_int_equal(rd2(r, 2), 100);
	OUT_AFTER(49, 2, 0);
	OUT_AFTER(1, 2, 1);
	/* A new count takes over at the half's end: the low part is the new one's. */
	load(r, 2, 21);
	OUT_AFTER(49, 2, 1);
	OUT_AFTER(1, 2, 0);
	assert_int_equal(rd2(r, 2), 20);
	OUT_AFTER(9, 2, 0);
	ticks(r, 1);
	/* An odd one is high a tick longer. */
	assert_int_equal(out(r, 2), 1);
	OUT_AFTER(10, 2, 1);
	assert_int_equal(rd2(r, 2), 0);
	OUT_AFTER(1, 2, 0);
	/* From the low half the whole period is new. */
	load(r, 2, 8);
	OUT_AFTER(10, 2, 1);
	assert_int_equal(rd2(r, 2), 8);
	OUT_AFTER(4, 2, 0);
	i8254_gate(&r->p, 2, 0);
	assert_int_equal(out(r, 2), 1);
	ticks(r, 100);
	i8254_gate(&r->p, 2, 1);
	OUT_AFTER(1 + 3, 2, 1);
	OUT_AFTER(1, 2, 0);
	control(r, 0xbe);
	assert_int_equal(status(r, 2) >> 1 & 7, 3);
}

static void mode_4(void **state)
{
	struct rig *r = *state;

	i8254_gate(&r->p, 2, 1);
	control(r, 0xb8);
	load(r, 2, 100);
	OUT_AFTER(100, 2, 1);
	OUT_AFTER(1, 2, 0);
	OUT_AFTER(1, 2, 1);
	OUT_AFTER(65535, 2, 1); /* no second strobe */
	load(r, 2, 100);
	ticks(r, 51);
	load(r, 2, 10); /* starts over */
	OUT_AFTER(11, 2, 0);
	load(r, 2, 10);
	i8254_gate(&r->p, 2, 0);
	ticks(r, 100);
	i8254_gate(&r->p, 2, 1);
	OUT_AFTER(10, 2, 0);
}

static void mode_5(void **state)
{
	struct rig *r = *state;

	control(r, 0xba);
	load(r, 2, 100);
	OUT_AFTER(101, 2, 1);
	i8254_gate(&r->p, 2, 1);
	OUT_AFTER(100, 2, 1);
	OUT_AFTER(1, 2, 0);
	OUT_AFTER(1, 2, 1);
	i8254_gate(&r->p, 2, 0);
	i8254_gate(&r->p, 2, 1);
	ticks(r, 50);
	i8254_gate(&r->p, 2, 0);
	i8254_gate(&r->p, 2, 1); /* triggered again */
	OUT_AFTER(100, 2, 1);
	OUT_AFTER(1, 2, 0);
}

static void refresh_toggles(void **state)
{
	struct rig *r = *state;
	uint32_t last = i8254_refresh(&r->p), toggles = 0;

	for (int i = 0; i < 1000; i++) {
		host_fake_advance(r->f, 1000);
		toggles += i8254_refresh(&r->p) != last;
		last = i8254_refresh(&r->p);
	}
	assert_in_range(toggles, 66, 67); /* a millisecond by 15.085 us */
}

/* ---- line 0 ---- */

static void line_in_mode_0(void **state)
{
	struct rig *r = *state;

	control(r, 0x30);
	load(r, 0, 1000);
	assert_int_equal(r->line, 0);
	ticks(r, 1000);
	assert_int_equal(r->line, 0);
	ticks(r, 1);
	assert_int_equal(r->line, 1);
	ticks(r, 100000);
	assert_int_equal(r->rises, 1);
	control(r, 0x30);
	assert_int_equal(r->line, 0);
	ticks(r, 100000);
	assert_int_equal(r->rises, 1);
}

static void line_in_mode_4(void **state)
{
	struct rig *r = *state;

	control(r, 0x38); /* the output goes up */
	assert_int_equal(r->rises, 1);
	load(r, 0, 1000);
	ticks(r, 1001);
	assert_int_equal(r->rises, 1);
	ticks(r, 1);
	assert_int_equal(r->rises, 2);
	ticks(r, 100000);
	assert_int_equal(r->rises, 2);
	/* One that the guest forestalls is one all the same. */
	load(r, 0, 1000);
	r->f->now += MS;
	load(r, 0, 1000);
	assert_int_equal(r->rises, 3);
	ticks(r, 100000);
	assert_int_equal(r->rises, 4);
}

static void line_in_modes_1_and_5(void **state)
{
	struct rig *r = *state;

	control(r, 0x32);
	load(r, 0, 10);
	control(r, 0x3a);
	load(r, 0, 10);
	i8254_gate(&r->p, 0, 0); /* tied high */
	i8254_gate(&r->p, 0, 1);
	ticks(r, 1000);
	assert_int_equal(r->rises, 1);
}

static void periodic(struct rig *r, uint8_t word)
{
	uint32_t before;

	control(r, word);
	load(r, 0, 11932); /* 100 Hz, nearly */
	before = r->rises;
	host_fake_advance(r->f, 10 * SECOND);
	assert_in_range(r->rises - before, 999, 1000);
	assert_int_equal(host_fake_counter(r->f, "pit-ticks-late"), 0);
	/* Faster from the next period on. */
	load(r, 0, 1193);
	before = r->rises;
	host_fake_advance(r->f, SECOND);
	assert_in_range(r->rises - before, 991, 1001);
	control(r, 0x30);
	before = r->rises;
	host_fake_advance(r->f, SECOND);
	assert_int_equal(r->rises, before);
}

static void line_in_mode_2(void **state)
{
	periodic(*state, 0x34);
}

static void line_in_mode_3(void **state)
{
	periodic(*state, 0x36);
}

static void a_long_period_becomes_short_in_the_middle(void **state)
{
	struct rig *r = *state;
	uint32_t before;

	control(r, 0x36);
	load(r, 0, 0); /* 55 ms */
	ticks(r, 1000);
	load(r, 0, 1193);
	before = r->rises;
	ticks(r, 32768 - 1000 + 2 + 600); /* the half, and the new one's low part */
	assert_int_equal(r->rises, before + 1);
	ticks(r, 1193);
	assert_int_equal(r->rises, before + 2);
}

static void no_storm(void **state)
{
	struct rig *r = *state;

	control(r, 0x14); /* low byte: 1 */
	i8254_ops.write(&r->p, 0, 1, 1);
	host_fake_advance(r->f, 100 * MS);
	assert_in_range(r->rises, 1000, 5001);
}

/* ---- ticks that come too late ---- */

/* The host's timer runs late by this: time goes on without it. */
static void stall(struct rig *r, uint64_t ns)
{
	r->f->now += ns;
}

static void late_timers_are_made_up_for(void **state)
{
	struct rig *r = *state;
	uint32_t before, most = 0;

	control(r, 0x34);
	load(r, 0, 1193);
	host_fake_advance(r->f, 100 * MS);
	before = r->rises;
	stall(r, 500 * MS);
	for (int i = 0; i < 700; i++) {
		uint32_t last = r->rises;

		host_fake_advance(r->f, MS);
		most = r->rises - last > most ? r->rises - last : most;
	}
	assert_in_range(r->rises - before, 1195, 1202);
	assert_in_range(most, 2, 3); /* twice the rate at most */
	assert_int_equal(r->p.owed, 0);
	assert_int_equal(host_fake_counter(r->f, "pit-ticks-lost"), 0);
	assert_in_range(host_fake_counter(r->f, "pit-ticks-late"), 498, 501);
}

static void a_slow_guest_gets_all_its_ticks(void **state)
{
	struct rig *r = *state;

	r->acks = false;
	control(r, 0x34);
	load(r, 0, 1193);
	take(r);
	/* It takes nothing for a while, and then what is there every 200 us. */
	host_fake_advance(r->f, 300 * MS);
	for (int i = 0; i < 5 * 700; i++) {
		take(r);
		host_fake_advance(r->f, MS / 5);
	}
	take(r);
	assert_in_range(r->taken, 998, 1002);
	assert_int_equal(r->p.owed, 0);
}

/* The processor was away for 64 ms, and all ticks of that time are there before another thing is done. */
static void one_that_acknowledges_gets_them_at_once(void **state)
{
	struct rig *r = *state;

	r->acks = false;
	control(r, 0x34);
	load(r, 0, 4773); /* 4 ms */
	take(r);
	host_fake_advance(r->f, 64 * MS);
	assert_in_range(r->p.owed, 14, 16);
	take(r);
	r->taken = 0;
	for (int i = 0; i < 100; i++) {
		i8254_acknowledged(&r->p);
		take(r);
	}
	assert_in_range(r->taken, 14, 16);
	assert_int_equal(r->p.owed, 0);
}

static void what_is_owed_is_bounded(void **state)
{
	struct rig *r = *state;

	control(r, 0x34);
	load(r, 0, 1193);
	stall(r, 3600 * SECOND);
	host_fake_advance(r->f, MS);
	assert_in_range(r->p.owed, 3990, 4002);
	assert_true(host_fake_counter(r->f, "pit-ticks-lost") > 3590000);
	/* Another programming, and nothing is owed. */
	control(r, 0x34);
	assert_int_equal(r->p.owed, 0);
}

static void a_masked_line_is_owed_nothing(void **state)
{
	struct rig *r = *state;
	uint32_t before;

	control(r, 0x34);
	load(r, 0, 1193);
	r->masked = true;
	stall(r, SECOND);
	host_fake_advance(r->f, 2 * MS);
	assert_int_equal(r->p.owed, 0);
	r->masked = false;
	before = r->rises;
	host_fake_advance(r->f, 100 * MS);
	assert_in_range(r->rises - before, 99, 101);
}

/* ---- hostile ---- */

static void random_accesses(void **state)
{
	struct rig *r = *state;
	uint64_t seed = 88172645463325252ull;

	for (int i = 0; i < 300000; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		r->masked = seed >> 60 & 1;
		r->acks = seed >> 61 & 1;
		take(r);
		switch (seed >> 8 & 7) {
		case 0:
			i8254_ops.read(&r->p, seed >> 16 & 3, 1u << (seed >> 18 & 1));
			break;
		case 1:
			control(r, (uint8_t)(seed >> 16));
			break;
		case 2:
			i8254_gate(&r->p, 2, seed >> 16 & 1);
			break;
		case 3:
			host_fake_advance(r->f, seed >> 16 & 0xfffff);
			break;
		case 4:
			stall(r, seed >> 16 & 0xffffff);
			break;
		case 5:
			out(r, seed >> 16 & 3);
			break;
		default:
			i8254_ops.write(&r->p, seed >> 16 & 3, 1u << (seed >> 18 & 1), seed >> 24 & 0xffff);
		}
		for (int c = 0; c < 3; c++)
			assert_in_range(r->p.counter[c].n, 1, 65536);
	}
}

static void reset(void **state)
{
	struct rig *r = *state;
	uint32_t before;

	control(r, 0x34);
	load(r, 0, 1193);
	host_fake_advance(r->f, 10 * MS);
	i8254_reset(&r->p);
	before = r->rises;
	host_fake_advance(r->f, SECOND);
	assert_int_equal(r->rises, before);
	assert_int_equal(r->line, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(at_power_on), T(bytes), T(latching), T(null_count), T(bcd), T(mode_0), T(mode_1), T(mode_2), T(mode_3),
		T(mode_4), T(mode_5), T(refresh_toggles), T(line_in_mode_0), T(line_in_mode_4), T(line_in_modes_1_and_5),
		T(line_in_mode_2), T(line_in_mode_3), T(a_long_period_becomes_short_in_the_middle), T(no_storm),
		T(late_timers_are_made_up_for), T(a_slow_guest_gets_all_its_ticks), T(what_is_owed_is_bounded),
		T(one_that_acknowledges_gets_them_at_once),
		T(a_masked_line_is_owed_nothing), T(random_accesses), T(reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
