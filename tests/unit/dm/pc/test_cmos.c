/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "dm/pc/cmos.h"
#include "fake/isa-rig.h"

#define S 1000000000ll
#define MS 1000000ll

struct rig {
	struct host_fake *f;
	struct isa_rig_lines lines;
	struct cmos c;
	int64_t wall; /* moved by hand, but for advance() */
	uint32_t nmi_masked, nmi_calls;
};

static int64_t rig_wall(void *opaque)
{
	return ((struct rig *)opaque)->wall;
}

static void rig_nmi(void *opaque, uint32_t masked)
{
	struct rig *r = opaque;

	r->nmi_masked = masked;
	r->nmi_calls++;
}

static int64_t utc(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day,
		         .tm_hour = hour, .tm_min = minute, .tm_sec = second };

	return (int64_t)timegm(&tm) * S;
}

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));
	struct cmos_config config = {
		.ram_below_4g = 3ull << 30, .ram_above_4g = 5ull << 30, .cpus = 4, .boot = { 2, 3, 4 },
		.wall = rig_wall, .nmi_mask = rig_nmi, .opaque = r,
	};

	r->wall = utc(2026, 11, 21, 17, 8, 59) + 250 * MS;
	r->f = host_fake_create(1 << 20, 1);
	assert_int_equal(cmos_init(&r->c, r->f->host, r->f->inst, &config), 0);
	assert_int_equal(cmos_register(&r->c, &isa_rig_lines_ops, &r->lines), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	cmos_finish(&r->c);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
	return 0;
}

static uint8_t rd(struct rig *r, uint8_t reg)
{
	outb(r->f, 0x70, reg);
	return inb(r->f, 0x71);
}

static void wr(struct rig *r, uint8_t reg, uint8_t value)
{
	outb(r->f, 0x70, reg);
	outb(r->f, 0x71, value);
}

/* Wall clock and domain time together, in steps in which timers see both. */
static void advance(struct rig *r, int64_t ns)
{
	while (ns > 0) {
		int64_t step = ns < MS / 10 ? ns : MS / 10;

		r->wall += step;
		host_fake_advance(r->f, (uint64_t)step);
		ns -= step;
	}
}

static void expect_time(struct rig *r, const uint8_t want[8])
{
	static const uint8_t regs[8] = { 0x32, 9, 8, 7, 6, 4, 2, 0 }; /* century .. seconds */

	for (int i = 0; i < 8; i++)
		assert_int_equal(rd(r, regs[i]), want[i]);
}

#define EXPECT_TIME(r, ...) expect_time(r, (const uint8_t[8]){ __VA_ARGS__ })

static void time_is_the_hosts(void **state)
{
	struct rig *r = *state;

	EXPECT_TIME(r, 0x20, 0x26, 0x11, 0x21, 7, 0x17, 0x08, 0x59);
	r->wall += S;
	EXPECT_TIME(r, 0x20, 0x26, 0x11, 0x21, 7, 0x17, 0x09, 0x00);
	r->wall = utc(2028, 2, 29, 0, 0, 0);
	EXPECT_TIME(r, 0x20, 0x28, 0x02, 0x29, 3, 0x00, 0x00, 0x00);
	r->wall = utc(1999, 12, 31, 23, 59, 59);
	EXPECT_TIME(r, 0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59);
	r->wall = utc(2100, 3, 1, 12, 0, 0);
	EXPECT_TIME(r, 0x21, 0x00, 0x03, 0x01, 2, 0x12, 0x00, 0x00);
	assert_int_equal(rd(r, 0x0d), 0x80);
	assert_int_equal(inb(r->f, 0x70), 0xff);
}

static void formats(void **state)
{
	struct rig *r = *state;

	wr(r, 0x0b, 0x06);
	EXPECT_TIME(r, 20, 26, 11, 21, 7, 17, 8, 59);
	wr(r, 0x0b, 0x04);
	assert_int_equal(rd(r, 4), 0x85);
	wr(r, 0x0b, 0x00);
	assert_int_equal(rd(r, 4), 0x85);
	r->wall = utc(2026, 11, 21, 0, 5, 0);
	assert_int_equal(rd(r, 4), 0x12);
	r->wall = utc(2026, 11, 21, 12, 5, 0);
	assert_int_equal(rd(r, 4), 0x92);
	r->wall = utc(2026, 11, 21, 22, 5, 0);
	assert_int_equal(rd(r, 4), 0x90);
	wr(r, 0x0b, 0x02);
	assert_int_equal(rd(r, 4), 0x22);
}

static void set_time(struct rig *r, const uint8_t v[8])
{
	static const uint8_t regs[8] = { 0x32, 9, 8, 7, 6, 4, 2, 0 };

	wr(r, 0x0b, rd(r, 0x0b) | 0x80);
	for (int i = 0; i < 8; i++)
		wr(r, regs[i], v[i]);
	wr(r, 0x0b, rd(r, 0x0b) & 0x7f);
}

static void what_the_guest_sets_is_kept(void **state)
{
	struct rig *r = *state;

	wr(r, 0x0b, 0x82);
	r->wall += 100 * S; /* stopped */
	EXPECT_TIME(r, 0x20, 0x26, 0x11, 0x21, 7, 0x17, 0x08, 0x59);
	wr(r, 0x0b, 0x02);
	set_time(r, (const uint8_t[8]){ 0x19, 0x85, 0x10, 0x26, 7, 0x01, 0x21, 0x00 });
	EXPECT_TIME(r, 0x19, 0x85, 0x10, 0x26, 7, 0x01, 0x21, 0x00);
	r->wall += 60 * S;
	EXPECT_TIME(r, 0x19, 0x85, 0x10, 0x26, 7, 0x01, 0x22, 0x00);
	/* The battery keeps it over a reset. */
	cmos_reset(&r->c);
	r->wall += 60 * S;
	EXPECT_TIME(r, 0x19, 0x85, 0x10, 0x26, 7, 0x01, 0x23, 0x00);
	/* A running clock's byte changes in place. */
	wr(r, 4, 0x05);
	EXPECT_TIME(r, 0x19, 0x85, 0x10, 0x26, 7, 0x05, 0x23, 0x00);
	assert_int_equal(host_fake_counter(r->f, "rtc-sets"), 3);
}

static void the_fraction_of_a_second(void **state)
{
	struct rig *r = *state;

	/* SET does not touch the divider: the second goes on where it was, at .25. */
	set_time(r, (const uint8_t[8]){ 0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00 });
	r->wall += 749 * MS;
	assert_int_equal(rd(r, 0), 0x00);
	r->wall += 2 * MS;
	assert_int_equal(rd(r, 0), 0x01);
	/* A divider that is let go has half a second to go. */
	wr(r, 0x0a, 0x76);
	r->wall += 777 * MS;
	wr(r, 0, 0x30);
	wr(r, 0x0a, 0x26);
	r->wall += 499 * MS;
	assert_int_equal(rd(r, 0), 0x30);
	r->wall += 2 * MS;
	assert_int_equal(rd(r, 0), 0x31);
}

static void update_in_progress(void **state)
{
	struct rig *r = *state;

	r->wall = utc(2026, 1, 1, 0, 0, 0);
	assert_int_equal(rd(r, 0x0a), 0x26);
	r->wall += S - 3 * MS;
	assert_int_equal(rd(r, 0x0a), 0x26);
	r->wall += MS;
	assert_int_equal(rd(r, 0x0a), 0xa6);
	r->wall += 2 * MS;
	assert_int_equal(rd(r, 0x0a), 0x26);
	r->wall += S - MS;
	wr(r, 0x0b, 0x82);
	assert_int_equal(rd(r, 0x0a), 0x26);
}

static void update_ended(void **state)
{
	struct rig *r = *state;

	rd(r, 0x0c);
	advance(r, S);
	assert_int_equal(rd(r, 0x0c) & 0xb0, 0x10);
	assert_int_equal(rd(r, 0x0c) & 0xb0, 0x00);
	wr(r, 0x0b, 0x12);
	advance(r, 740 * MS);
	assert_int_equal(r->lines.level[8], 0);
	advance(r, 20 * MS);
	assert_int_equal(r->lines.level[8], 1);
	advance(r, 10 * S);
	assert_int_equal(r->lines.edges[8], 1);
	assert_int_equal(rd(r, 0x0c) & 0xb0, 0x90);
	assert_int_equal(r->lines.level[8], 0);
	advance(r, S);
	assert_int_equal(r->lines.edges[8], 2);
	/* SET clears the enable. */
	wr(r, 0x0b, 0x92);
	assert_int_equal(rd(r, 0x0b), 0x82);
}

static void alarms(void **state)
{
	struct rig *r = *state;

	wr(r, 1, 0x02);
	wr(r, 3, 0x09);
	wr(r, 5, 0x17);
	wr(r, 0x0b, 0x22);
	rd(r, 0x0c);
	advance(r, 2 * S);
	assert_int_equal(r->lines.level[8], 0);
	advance(r, S);
	assert_int_equal(r->lines.level[8], 1);
	assert_int_equal(rd(r, 0x0c) & 0xa0, 0xa0);
	/* Every minute at :02. */
	wr(r, 3, 0xff);
	wr(r, 5, 0xc0);
	advance(r, 59 * S);
	assert_int_equal(r->lines.level[8], 0);
	advance(r, 2 * S);
	assert_int_equal(r->lines.level[8], 1);
	rd(r, 0x0c);
	/* One that passed while the domain was paused comes on resume. */
	r->wall += 300 * S;
	assert_int_equal(r->lines.level[8], 0);
	cmos_resume(&r->c);
	assert_int_equal(r->lines.level[8], 1);
}

static void an_alarm_in_a_long_pause(void **state)
{
	struct rig *r = *state;

	wr(r, 1, 0x00);
	wr(r, 3, 0x00);
	wr(r, 5, 0x04);
	rd(r, 0x0c);
	r->wall += 400 * 86400 * S;
	assert_int_equal(rd(r, 0x0c) & 0x20, 0x20);
	wr(r, 5, 0x29); /* never */
	rd(r, 0x0c);
	r->wall += 400 * 86400 * S;
	assert_int_equal(rd(r, 0x0c) & 0x20, 0);
}

static uint32_t periodic_in(struct rig *r, int64_t ns)
{
	uint32_t n = 0;

	for (int64_t t = 0; t < ns; t += 50000) {
		host_fake_advance(r->f, 50000);
		if (r->lines.level[8]) {
			n++;
			assert_int_equal(rd(r, 0x0c) & 0xc0, 0xc0);
		}
	}
	return n;
}

static void periodic_rates(void **state)
{
	struct rig *r = *state;

	wr(r, 0x0b, 0x42);
	wr(r, 0x0a, 0x26);
	assert_in_range(periodic_in(r, S), 1023, 1025);
	wr(r, 0x0a, 0x23);
	assert_in_range(periodic_in(r, S), 8190, 8194);
	wr(r, 0x0a, 0x21);
	assert_in_range(periodic_in(r, S), 255, 257);
	wr(r, 0x0a, 0x2f);
	assert_in_range(periodic_in(r, 10 * S), 19, 21);
	wr(r, 0x0a, 0x20);
	assert_in_range(periodic_in(r, S), 0, 1);
	/* It is domain time: the wall clock does not move it. */
	wr(r, 0x0a, 0x26);
	rd(r, 0x0c);
	r->wall += 3600 * S;
	assert_int_equal(rd(r, 0x0c) & 0x40, 0);
}

static void an_ignored_interrupt_costs_nothing(void **state)
{
	struct rig *r = *state;

	wr(r, 0x0b, 0x42);
	host_fake_advance(r->f, 60 * (uint64_t)S);
	assert_int_equal(r->lines.edges[8], 1);
	assert_int_equal(host_fake_counter(r->f, "rtc-interrupts"), 1);
	assert_int_equal(rd(r, 0x0c) & 0xc0, 0xc0);
	host_fake_advance(r->f, (uint64_t)MS);
	assert_int_equal(r->lines.edges[8], 2);
}

static void daylight_saving(void **state)
{
	struct rig *r = *state;

	wr(r, 0x0b, 0x03);
	r->wall = utc(2026, 4, 26, 1, 59, 59);
	EXPECT_TIME(r, 0x20, 0x26, 0x04, 0x26, 1, 0x01, 0x59, 0x59);
	r->wall += S;
	EXPECT_TIME(r, 0x20, 0x26, 0x04, 0x26, 1, 0x03, 0x00, 0x00);
	/* The last Sunday of October, and not twice. */
	r->wall = utc(2026, 10, 25, 0, 59, 59);
	EXPECT_TIME(r, 0x20, 0x26, 0x10, 0x25, 1, 0x01, 0x59, 0x59);
	r->wall += S;
	EXPECT_TIME(r, 0x20, 0x26, 0x10, 0x25, 1, 0x01, 0x00, 0x00);
	r->wall += 3600 * S;
	EXPECT_TIME(r, 0x20, 0x26, 0x10, 0x25, 1, 0x02, 0x00, 0x00);
}

static void what_firmware_is_told(void **state)
{
	struct rig *r = *state;
	uint32_t sum = 0;

	assert_int_equal(rd(r, 0x15) | rd(r, 0x16) << 8, 640);
	assert_int_equal(rd(r, 0x17) | rd(r, 0x18) << 8, 0xffff);
	assert_int_equal(rd(r, 0x30) | rd(r, 0x31) << 8, 0xffff);
	assert_int_equal(rd(r, 0x34) | rd(r, 0x35) << 8, (3u << 14) - 256);
	assert_int_equal(rd(r, 0x5b) | rd(r, 0x5c) << 8 | rd(r, 0x5d) << 16, 5u << 14);
	assert_int_equal(rd(r, 0x10), 0);
	assert_int_equal(rd(r, 0x14), 0x06);
	assert_int_equal(rd(r, 0x38), 0x41);
	assert_int_equal(rd(r, 0x3d), 0x32);
	assert_int_equal(rd(r, 0x5f), 3);
	for (uint8_t i = 0x10; i <= 0x2d; i++)
		sum += rd(r, i);
	assert_int_equal(rd(r, 0x2e) << 8 | rd(r, 0x2f), sum);
}

static void memory_is_kept(void **state)
{
	struct rig *r = *state;

	wr(r, 0x40, 0xab);
	outb(r->f, 0x72, 0x40);
	outb(r->f, 0x73, 0xcd);
	assert_int_equal(inb(r->f, 0x73), 0xcd);
	assert_int_equal(rd(r, 0x40), 0xab);
	wr(r, 0x5f, 0);
	wr(r, 0x0d, 0);
	wr(r, 0x0c, 0xff);
	cmos_reset(&r->c);
	assert_int_equal(rd(r, 0x40), 0xab);
	assert_int_equal(rd(r, 0x5f), 3);
	assert_int_equal(rd(r, 0x0d), 0x80);
	assert_int_equal(rd(r, 0x0c) & 0x60, 0);
}

static void nmi_mask(void **state)
{
	struct rig *r = *state;

	wr(r, 0x8d, 0);
	assert_int_equal(r->nmi_masked, 1);
	assert_int_equal(r->nmi_calls, 1);
	assert_int_equal(rd(r, 0x8d), 0x80);
	assert_int_equal(r->nmi_calls, 1);
	rd(r, 0x0d);
	assert_int_equal(r->nmi_masked, 0);
}

static void reset_stops_interrupts(void **state)
{
	struct rig *r = *state;

	wr(r, 0x0b, 0x72);
	host_fake_advance(r->f, (uint64_t)S);
	assert_int_equal(r->lines.level[8], 1);
	cmos_reset(&r->c);
	assert_int_equal(r->lines.level[8], 0);
	assert_int_equal(rd(r, 0x0b), 0x02);
	host_fake_advance(r->f, 5 * (uint64_t)S);
	assert_int_equal(r->lines.level[8], 0);
}

static void local_time(void **state)
{
	struct rig *r = *state;
	struct cmos c;
	struct cmos_config config = { .local = 1, .wall = rig_wall, .opaque = r };

	setenv("TZ", "XXX-5:30", 1);
	tzset();
	assert_int_equal(cmos_init(&c, r->f->host, r->f->inst, &config), 0);
	cmos_io_ops.write(&c, 0, 1, 4);
	assert_int_equal(cmos_io_ops.read(&c, 1, 1), 0x22);
	cmos_io_ops.write(&c, 0, 1, 2);
	assert_int_equal(cmos_io_ops.read(&c, 1, 1), 0x38);
	cmos_finish(&c);
	unsetenv("TZ");
	tzset();
}

static void any_access_in_any_order(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 300; i++) {
		isa_rig_hammer(r->f, 0x70, 4, 300);
		for (uint8_t reg = 0; reg < 64; reg++)
			wr(r, reg, (uint8_t)(reg * 37 + i * 11));
		wr(r, 0x0a, (uint8_t)i);
		wr(r, 0x0b, (uint8_t)(i * 7));
		for (uint8_t reg = 0; reg < 64; reg++)
			rd(r, reg);
		advance(r, 3 * MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(time_is_the_hosts, setup, teardown),
		cmocka_unit_test_setup_teardown(formats, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_guest_sets_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(the_fraction_of_a_second, setup, teardown),
		cmocka_unit_test_setup_teardown(update_in_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(update_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(alarms, setup, teardown),
		cmocka_unit_test_setup_teardown(an_alarm_in_a_long_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(periodic_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(an_ignored_interrupt_costs_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(daylight_saving, setup, teardown),
		cmocka_unit_test_setup_teardown(what_firmware_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(nmi_mask, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_stops_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(local_time, setup, teardown),
		cmocka_unit_test_setup_teardown(any_access_in_any_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
