/* SPDX-License-Identifier: MIT */
#include "trap-rig.h"

#define TICK_NS(n) (((uint64_t)(n) * 1000000000 + 1193181) / 1193182) /* the first ns at which n ticks are over */

static void out(struct rig *r, uint32_t port, uint8_t value)
{
	pv_port_write(&r->d, port, 1, value);
}

static uint8_t in(struct rig *r, uint32_t port)
{
	return (uint8_t)pv_port_read(&r->d, port, 1);
}

static uint16_t count(struct rig *r)
{
	uint8_t low = in(r, 0x42);

	return (uint16_t)(low | in(r, 0x42) << 8);
}

/* As Linux waits 50 ms for the output. */
static void one_shot(void **state)
{
	struct rig *r = *state;

	out(r, 0x61, (in(r, 0x61) & ~2) | 1);
	out(r, 0x43, 0xb0);
	assert_int_equal(in(r, 0x61) & 0x23, 1); /* the control word lowers the output */
	out(r, 0x42, 0x9b);
	out(r, 0x42, 0xe9);
	r->f->now += TICK_NS(0xe99b) - 1;
	assert_int_equal(in(r, 0x61) & 0x20, 0);
	r->f->now += 1;
	assert_int_equal(in(r, 0x61) & 0x20, 0x20);
	r->f->now += 1000000000;
	assert_int_equal(in(r, 0x61) & 0x20, 0x20);
}

/* As Linux reads the high byte of a free-running counter. */
static void counting_down(void **state)
{
	struct rig *r = *state;

	out(r, 0x43, 0xb0);
	out(r, 0x42, 0xff);
	out(r, 0x42, 0xff);
	assert_int_equal(count(r), 0xffff);
	r->f->now += TICK_NS(0x1234);
	assert_int_equal(count(r), 0xffff - 0x1234);
	r->f->now += TICK_NS(0x10000);
	assert_in_range(count(r), 0xffff - 0x1235, 0xffff - 0x1234);
}

static void latch_holds(void **state)
{
	struct rig *r = *state;

	out(r, 0x43, 0xb0);
	out(r, 0x42, 0x00);
	out(r, 0x42, 0x10);
	out(r, 0x43, 0x80);
	r->f->now += TICK_NS(16);
	out(r, 0x43, 0x80); /* one at a time */
	assert_int_equal(count(r), 0x1000);
	assert_int_equal(count(r), 0x0ff0);
	out(r, 0x43, 0xc8); /* read-back of both */
	assert_int_equal(in(r, 0x42), 0x30);
	assert_int_equal(count(r), 0x0ff0);
	out(r, 0x43, 0xe2); /* status of another channel */
	assert_int_equal(in(r, 0x42), 0xf0);
}

static void single_bytes(void **state)
{
	struct rig *r = *state;

	out(r, 0x43, 0x90); /* low alone, mode 0 */
	out(r, 0x42, 0x80);
	r->f->now += TICK_NS(1);
	assert_int_equal(in(r, 0x42), 0x7f);
	assert_int_equal(in(r, 0x42), 0x7f);
	out(r, 0x43, 0xa0);
	out(r, 0x42, 0x12);
	assert_int_equal(in(r, 0x42), 0x12);
	assert_int_equal(r->d.pit.count, 0x1200);
	out(r, 0x42, 0); /* 0 is 65536 */
	r->f->now += TICK_NS(1);
	assert_int_equal(in(r, 0x42), 0xff);
}

static void periodic_modes(void **state)
{
	struct rig *r = *state;

	out(r, 0x43, 0xb4); /* mode 2 */
	out(r, 0x42, 100);
	out(r, 0x42, 0);
	r->f->now = TICK_NS(250);
	assert_int_equal(count(r), 50);
	r->f->now = TICK_NS(299) - 1;
	assert_int_equal(in(r, 0x61) & 0x20, 0x20);
	r->f->now = TICK_NS(299);
	assert_int_equal(in(r, 0x61) & 0x20, 0); /* low for one tick */
	r->f->now = TICK_NS(300);
	assert_int_equal(in(r, 0x61) & 0x20, 0x20);
	out(r, 0x43, 0xbe);                      /* mode 7 is 3 */
	out(r, 0x42, 100);
	out(r, 0x42, 0);
	r->f->now += TICK_NS(10);
	assert_int_equal(count(r), 80);
	assert_int_equal(in(r, 0x61) & 0x20, 0x20);
	r->f->now += TICK_NS(50);
	assert_int_equal(in(r, 0x61) & 0x20, 0);
}

static void gate_starts_anew(void **state)
{
	struct rig *r = *state;

	out(r, 0x61, 0);
	out(r, 0x43, 0xb4);
	out(r, 0x42, 0);
	out(r, 0x42, 1);
	r->f->now += TICK_NS(100);
	out(r, 0x61, 3);
	assert_int_equal(in(r, 0x61) & 3, 3);
	assert_int_equal(count(r), 0x100);
	r->f->now += TICK_NS(7);
	out(r, 0x61, 1); /* no edge */
	assert_int_equal(count(r), 0x100 - 7);
}

static void refresh_toggles(void **state)
{
	struct rig *r = *state;
	uint8_t before = in(r, 0x61) & 0x10;

	r->f->now += 1 << 14;
	assert_int_equal(in(r, 0x61) & 0x10, before ^ 0x10);
}

static void other_ports(void **state)
{
	struct rig *r = *state;

	assert_int_equal(in(r, 0x40), 0xff);
	assert_int_equal(in(r, 0x71), 0xff);
	out(r, 0x70, 0x0d);
	assert_int_equal(in(r, 0x70), 0x0d);
	out(r, 0x40, 0x12); /* channel 0: nobody */
	out(r, 0x43, 0x36);
	assert_int_equal(r->d.pit.mode, 3);
	assert_false(r->d.pit.loaded);
	assert_int_equal(in(r, 0x43), 0);
	assert_int_equal(pv_port_read(&r->d, 0x70, 4), 0xffffff0d); /* byte by byte */
	assert_int_equal(pv_port_read(&r->d, 0xffff, 4), UINT32_MAX);
	pv_port_write(&r->d, 0x6f, 2, 0x1100);
	assert_int_equal(in(r, 0x70), 0x11);
	pv_pit_reset(&r->d.pit);
	assert_int_equal(in(r, 0x70), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_shot),       T(counting_down),    T(latch_holds),     T(single_bytes),
		T(periodic_modes), T(gate_starts_anew), T(refresh_toggles), T(other_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
