/* SPDX-License-Identifier: MIT */
/* Time wasted on purpose goes where it was asked for, and is told in the accounts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "burn.h"
#include "cmd.h"
#include "fake/engine-fake.h"
#include "gamut/plugin.h"
#include "loop.h"
#include "vcpu.h"

#define MANY 1000000u /* ticks: more than anything here takes, but for a host that stalls */

static void words(void **state)
{
	static const char *const bad[] = { "", "disk", "disk=", "disk=x", "disk=-1", "disk=1x", "disk= 1", "=1", "dsik=1",
		                           "disk=1000000001", "disk=99999999999999999999" };
	uint64_t ns[GAMUT_AXIS_COUNT] = { 0 };

	(void)state;
	assert_int_equal(burn_parse("disk=20000", "run", ns), CMD_OK);
	assert_int_equal(burn_parse("console=1000000000", "run", ns), CMD_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(burn_parse(bad[i], "run", ns), CMD_USAGE);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		assert_int_equal(ns[axis], axis == GAMUT_AXIS_DISK ? 20000 : axis == GAMUT_AXIS_CONSOLE ? 1000000000 : 0);
}

static void nothing(void *opaque)
{
	++*(int *)opaque;
}

static void on_the_io_thread(void **state)
{
	struct loop_account burnt = { .burn = MANY };
	int calls = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		loop_call(&burnt, nothing, &calls);
	assert_int_equal(calls, 3);
	assert_true(atomic_load(&burnt.ticks) >= 3 * MANY);
}

/* ---- exits ------------------------------------------------------------------------------------- */

static uint64_t io_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)offset;
	(void)width;
	return 0;
}

static void io_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)opaque;
	(void)offset;
	(void)width;
	(void)value;
}

static const struct gamut_io_ops io = { .size = sizeof(io), .read = io_read, .write = io_write };

static void on_exits(void **state)
{
	const uint64_t burn[3] = { 0, 0, MANY };
	const struct bus_owner owners[2] = { { 1, "cheap" }, { 2, "dear" } };
	struct vcpus set = { .ops = &engine_fake_ops };
	struct bus bus;
	struct clock clk;
	struct vcpu *v;
	char err[128];
	uint64_t begun;

	(void)state;
	engine_fake_reset();
	clock_init(&clk);
	assert_int_equal(bus_init(&bus), 0);
	assert_int_equal(bus_add_pio(&bus, 0x10, 1, &io, NULL, owners[0], err, sizeof(err)), 0);
	assert_int_equal(bus_add_pio(&bus, 0x20, 1, &io, NULL, owners[1], err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	set.bus = &bus;
	set.clock = &clk;
	assert_int_equal(vcpus_init(&set, 1, err, sizeof(err)), 0);
	assert_int_equal(vcpus_set_owners(&set, 3), 0);
	v = set.vcpu[0];
	v->counters.burn = burn;
	begun = __rdtsc();
	for (int i = 0; i < 300; i++) {
		struct vcpu_exit cheap = { .reason = EXIT_PIO, .pio = { .port = 0x10, .width = 1 } };
		struct vcpu_exit dear = { .reason = EXIT_PIO, .pio = { .port = i % 3 ? 0x10 : 0x20, .width = 1 } };

		exit_dispatch(v, &cheap);
		exit_dispatch(v, &dear);
	}
	assert_true(__rdtsc() - begun >= 100ull * MANY);
	assert_int_equal(atomic_load(&v->counters.owner[2]), 100);
	/* One in 64 is timed, and counts for all; at 600 exits some of the dear ones were. */
	assert_true(atomic_load(&v->counters.ticks[2]) == 0 || atomic_load(&v->counters.ticks[2]) >= 64ull * MANY);
	vcpus_finish(&set);
	bus_finish(&bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(on_the_io_thread),
		cmocka_unit_test(on_exits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
