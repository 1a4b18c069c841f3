/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dm/pc/i8042.h"
#include "fake/isa-rig.h"

#define MS 1000000ull

struct rig {
	struct host_fake *f;
	struct isa_rig_lines lines;
	struct i8042 k;
	uint32_t a20, resets;
};

static void pin_a20(void *opaque, uint32_t level)
{
	((struct rig *)opaque)->a20 = level;
}

static void pin_reset(void *opaque)
{
	((struct rig *)opaque)->resets++;
}

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));
	const struct i8042_pins pins = { .a20 = pin_a20, .reset = pin_reset, .opaque = r };

	r->f = host_fake_create(1 << 20, 1);
	assert_int_equal(i8042_init(&r->k, r->f->host, r->f->inst, &pins), 0);
	assert_int_equal(i8042_register(&r->k, &isa_rig_lines_ops, &r->lines), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	i8042_finish(&r->k);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
	return 0;
}

static uint8_t status(struct rig *r)
{
	return inb(r->f, 0x64);
}

static void command(struct rig *r, uint8_t value)
{
	outb(r->f, 0x64, value);
}

/* The next byte, waiting for it as a driver does. */
static int next(struct rig *r)
{
	for (int i = 0; i < 100; i++) {
		if (status(r) & 1)
			return inb(r->f, 0x60);
		host_fake_advance(r->f, MS / 10);
	}
	return -1;
}

static void expect(struct rig *r, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(next(r), (uint8_t)bytes[i]);
	assert_int_equal(next(r), -1);
}

#define EXPECT(r, bytes) expect(r, bytes, sizeof(bytes) - 1)

static void to_keyboard(struct rig *r, uint8_t value)
{
	outb(r->f, 0x60, value);
}

static void to_mouse(struct rig *r, uint8_t value)
{
	command(r, 0xd4);
	outb(r->f, 0x60, value);
}

static void set_command_byte(struct rig *r, uint8_t value)
{
	command(r, 0x60);
	outb(r->f, 0x60, value);
}

/* Both devices on and quiet. */
static void quiet(struct rig *r, uint8_t command_byte)
{
	set_command_byte(r, command_byte);
	while (next(r) >= 0)
		;
}

static int press(struct rig *r, uint32_t usage)
{
	return i8042_keyboard_ops.key(&r->k, usage, 1);
}

static int release(struct rig *r, uint32_t usage)
{
	return i8042_keyboard_ops.key(&r->k, usage, 0);
}

/* ---- controller ---- */

static void self_tests(void **state)
{
	struct rig *r = *state;

	assert_int_equal(status(r), 0x10);
	command(r, 0xaa);
	assert_int_equal(status(r), 0x1d);
	assert_int_equal(inb(r->f, 0x60), 0x55);
	assert_int_equal(status(r), 0x1c);
	command(r, 0xab);
	assert_int_equal(inb(r->f, 0x60), 0);
	command(r, 0xa9);
	assert_int_equal(inb(r->f, 0x60), 0);
	command(r, 0xa4);
	assert_int_equal(inb(r->f, 0x60), 0xf1);
	command(r, 0xe0);
	assert_int_equal(inb(r->f, 0x60), 0);
}

static void command_byte_and_memory(void **state)
{
	struct rig *r = *state;

	command(r, 0x20);
	assert_int_equal(inb(r->f, 0x60), 0x70);
	command(r, 0xa8);
	command(r, 0x20);
	assert_int_equal(inb(r->f, 0x60), 0x50);
	command(r, 0xa7);
	command(r, 0x20);
	assert_int_equal(inb(r->f, 0x60), 0x70);
	command(r, 0x65);
	outb(r->f, 0x60, 0x5a);
	command(r, 0x25);
	assert_int_equal(inb(r->f, 0x60), 0x5a);
	set_command_byte(r, 0x30);
	assert_int_equal(status(r) & 4, 0);
}

static void a20_and_reset(void **state)
{
	struct rig *r = *state;

	assert_int_equal(r->a20, 1);
	command(r, 0xd1);
	outb(r->f, 0x60, 0xdd);
	assert_int_equal(r->a20, 0);
	command(r, 0xd0);
	assert_int_equal(inb(r->f, 0x60) & 3, 1);
	command(r, 0xd1);
	outb(r->f, 0x60, 0xdf);
	assert_int_equal(r->a20, 1);
	assert_int_equal(r->resets, 0);
	command(r, 0xfe);
	assert_int_equal(r->resets, 1);
	command(r, 0xff);
	assert_int_equal(r->resets, 1);
	command(r, 0xd1);
	outb(r->f, 0x60, 0xde);
	assert_int_equal(r->resets, 2);
	/* The pin comes back by itself. */
	command(r, 0xd0);
	assert_int_equal(inb(r->f, 0x60) & 1, 1);
}

/* What Linux does to find the auxiliary port and a multiplexer. */
static void mouse_loop(void **state)
{
	struct rig *r = *state;

	set_command_byte(r, 0x76);
	command(r, 0xd3);
	outb(r->f, 0x60, 0x5a);
	assert_int_equal(status(r) & 0x21, 0x21);
	assert_int_equal(r->lines.level[12], 1);
	assert_int_equal(inb(r->f, 0x60), 0x5a);
	assert_int_equal(r->lines.level[12], 0);
	command(r, 0xd3);
	outb(r->f, 0x60, 0xa4);
	assert_int_equal(inb(r->f, 0x60), 0xa4); /* no multiplexer: that would answer with its version */
	command(r, 0xd2);
	outb(r->f, 0x60, 0x11);
	assert_int_equal(status(r) & 0x21, 0x01);
	assert_int_equal(inb(r->f, 0x60), 0x11);
}

static void lines_follow_the_buffer(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x47);
	r->lines.edges[1] = 0;
	assert_int_equal(press(r, 0x04), 0);
	assert_int_equal(r->lines.level[1], 1);
	assert_int_equal(inb(r->f, 0x60), 0x1e);
	assert_int_equal(r->lines.level[1], 0);
	/* Read again, the byte is still there. */
	release(r, 0x04);
	assert_int_equal(inb(r->f, 0x60), 0x1e);
	host_fake_advance(r->f, MS);
	assert_int_equal(r->lines.level[1], 1);
	assert_int_equal(r->lines.edges[1], 2);
	assert_int_equal(inb(r->f, 0x60), 0x9e);
	/* Without the interrupt enabled the buffer fills all the same. */
	quiet(r, 0x46);
	press(r, 0x05);
	host_fake_advance(r->f, MS);
	assert_int_equal(r->lines.level[1], 0);
	assert_int_equal(status(r) & 1, 1);
	set_command_byte(r, 0x47);
	assert_int_equal(r->lines.level[1], 1);
}

static void a_byte_needs_its_time(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x45);
	host_fake_advance(r->f, MS);
	press(r, 0x4f); /* e0 4d */
	assert_int_equal(inb(r->f, 0x60), 0xe0);
	host_fake_advance(r->f, MS / 2);
	assert_int_equal(status(r) & 1, 0);
	assert_int_equal(inb(r->f, 0x60), 0xe0);
	host_fake_advance(r->f, MS / 2);
	assert_int_equal(inb(r->f, 0x60), 0x4d);
}

static void a_closed_interface_holds_bytes(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x45);
	command(r, 0xad);
	press(r, 0x04);
	assert_int_equal(next(r), -1);
	command(r, 0xae);
	assert_int_equal(next(r), 0x1e);
	/* A byte to the keyboard opens it. */
	command(r, 0xad);
	to_keyboard(r, 0xee);
	assert_int_equal(next(r), 0xee);
}

/* ---- keyboard ---- */

static void power_on_test(void **state)
{
	struct rig *r = *state;

	command(r, 0xae);
	EXPECT(r, "\xaa");
	command(r, 0xa8);
	assert_int_equal(next(r), 0xaa);
	assert_int_equal(next(r), 0);
	assert_int_equal(next(r), -1);
}

static void keyboard_commands(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x05); /* no translation */
	to_keyboard(r, 0xff);
	EXPECT(r, "\xfa\xaa");
	to_keyboard(r, 0xf2);
	EXPECT(r, "\xfa\xab\x83");
	to_keyboard(r, 0xee);
	EXPECT(r, "\xee");
	to_keyboard(r, 0xed);
	EXPECT(r, "\xfa");
	to_keyboard(r, 0x07);
	EXPECT(r, "\xfa");
	assert_int_equal(r->k.keyboard.leds, 7);
	to_keyboard(r, 0xf3);
	to_keyboard(r, 0x2b);
	EXPECT(r, "\xfa\xfa");
	to_keyboard(r, 0xf0);
	EXPECT(r, "\xfa");
	to_keyboard(r, 0x00);
	EXPECT(r, "\xfa\x02");
	to_keyboard(r, 0xfe);
	EXPECT(r, "\x02");
	to_keyboard(r, 0x12);
	EXPECT(r, "\xfe");
	to_keyboard(r, 0xf0);
	to_keyboard(r, 0x04);
	EXPECT(r, "\xfa\xfe");
	/* In place of an argument, a command. */
	to_keyboard(r, 0xed);
	to_keyboard(r, 0xf4);
	EXPECT(r, "\xfa\xfa");
	assert_int_equal(r->k.keyboard.leds, 7);
}

static void identity_is_translated(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x45);
	to_keyboard(r, 0xf2);
	EXPECT(r, "\xfa\xab\x41");
}

static void a_disabled_keyboard_is_silent(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x45);
	to_keyboard(r, 0xf5);
	EXPECT(r, "\xfa");
	assert_int_equal(press(r, 0x04), 0);
	assert_int_equal(release(r, 0x04), 0);
	EXPECT(r, "");
	to_keyboard(r, 0xf4);
	EXPECT(r, "\xfa");
	press(r, 0x04);
	EXPECT(r, "\x1e");
}

static void answers_go_first(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x05);
	press(r, 0x04);
	press(r, 0x05);
	to_keyboard(r, 0xee);
	EXPECT(r, "\x1c\xee\x32");
}

static void tap(struct rig *r, uint32_t usage)
{
	assert_int_equal(press(r, usage), 0);
	assert_int_equal(release(r, usage), 0);
}

static void scan_codes_set_2(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x05);
	tap(r, 0x28);
	EXPECT(r, "\x5a\xf0\x5a");
	tap(r, 0x40); /* F7 */
	EXPECT(r, "\x83\xf0\x83");
	tap(r, 0x52); /* up */
	EXPECT(r, "\xe0\x75\xe0\xf0\x75");
	tap(r, 0xe6);
	EXPECT(r, "\xe0\x11\xe0\xf0\x11");
	tap(r, 0x46); /* Print Screen */
	EXPECT(r, "\xe0\x12\xe0\x7c\xe0\xf0\x7c\xe0\xf0\x12");
	tap(r, 0x48); /* Pause */
	EXPECT(r, "\xe1\x14\x77\xe1\xf0\x14\xf0\x77");
	press(r, 0xe0);
	tap(r, 0x48);
	EXPECT(r, "\x14\xe0\x7e\xe0\xf0\x7e");
	release(r, 0xe0);
	EXPECT(r, "\xf0\x14");
	press(r, 0xe2);
	tap(r, 0x46); /* System Request */
	EXPECT(r, "\x11\x84\xf0\x84");
	release(r, 0xe2);
	EXPECT(r, "\xf0\x11");
}

static void scan_codes_set_1(void **state)
{
	struct rig *r = *state;

	/* Translated by the controller ... */
	quiet(r, 0x45);
	tap(r, 0x40);
	EXPECT(r, "\x41\xc1");
	tap(r, 0x52);
	EXPECT(r, "\xe0\x48\xe0\xc8");
	tap(r, 0x48);
	EXPECT(r, "\xe1\x1d\x45\xe1\x9d\xc5");
	/* ... or made by the keyboard. */
	quiet(r, 0x05);
	to_keyboard(r, 0xf0);
	to_keyboard(r, 0x01);
	EXPECT(r, "\xfa\xfa");
	tap(r, 0x04);
	EXPECT(r, "\x1e\x9e");
	tap(r, 0x48);
	EXPECT(r, "\xe1\x1d\x45\xe1\x9d\xc5");
}

static void scan_codes_set_3(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x05);
	to_keyboard(r, 0xf0);
	to_keyboard(r, 0x03);
	EXPECT(r, "\xfa\xfa");
	tap(r, 0x04); /* no break code by default */
	EXPECT(r, "\x1c");
	tap(r, 0xe1);
	EXPECT(r, "\x12\xf0\x12");
	to_keyboard(r, 0xfc);
	to_keyboard(r, 0x1c);
	EXPECT(r, "\xfa\xfa");
	to_keyboard(r, 0xf4);
	EXPECT(r, "\xfa");
	tap(r, 0x04);
	EXPECT(r, "\x1c\xf0\x1c");
	to_keyboard(r, 0xf8);
	EXPECT(r, "\xfa");
	tap(r, 0x52);
	EXPECT(r, "\x63\xf0\x63");
	assert_int_equal(press(r, 0x68), -EINVAL);
}

static void every_usage_is_answered(void **state)
{
	struct rig *r = *state;
	uint32_t keys = 0;

	quiet(r, 0x45);
	for (uint32_t usage = 0; usage < 0x200; usage++) {
		int rc = press(r, usage);

		assert_true(rc == 0 || rc == -EINVAL);
		if (rc)
			continue;
		keys++;
		assert_int_equal(release(r, usage), 0);
		while (next(r) >= 0)
			;
	}
	assert_true(keys > 120);
	assert_int_equal(press(r, UINT32_MAX), -EINVAL);
}

static void a_full_queue_refuses_whole_keys(void **state)
{
	struct rig *r = *state;
	uint32_t n = 0;

	quiet(r, 0x05);
	command(r, 0xad);
	while (!press(r, 0x52))
		n++;
	assert_int_equal(press(r, 0x52), -EAGAIN);
	assert_int_equal(n, PS2_QUEUE / 2);
	assert_int_equal(host_fake_counter(r->f, "keys-refused"), 2);
	command(r, 0xae);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(next(r), 0xe0);
		assert_int_equal(next(r), 0x75);
	}
	assert_int_equal(next(r), -1);
}

/* ---- mouse ---- */

static void mouse_commands(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x47);
	to_mouse(r, 0xff);
	assert_int_equal(status(r) & 0x21, 0x21);
	assert_int_equal(r->lines.level[12], 1);
	assert_int_equal(r->lines.level[1], 0);
	EXPECT(r, "\xfa\xaa\x00");
	to_mouse(r, 0xf2);
	EXPECT(r, "\xfa\x00");
	to_mouse(r, 0xf3);
	to_mouse(r, 200);
	EXPECT(r, "\xfa\xfa");
	to_mouse(r, 0xe8);
	to_mouse(r, 3);
	EXPECT(r, "\xfa\xfa");
	to_mouse(r, 0xf4);
	EXPECT(r, "\xfa");
	to_mouse(r, 0xe7);
	EXPECT(r, "\xfa");
	to_mouse(r, 0xe9);
	EXPECT(r, "\xfa\x30\x03\xc8");
	to_mouse(r, 0xeb);
	EXPECT(r, "\xfa\x08\x00\x00");
	to_mouse(r, 0xf6);
	to_mouse(r, 0xe9);
	EXPECT(r, "\xfa\xfa\x00\x02\x64");
	to_mouse(r, 0xe8);
	to_mouse(r, 4);
	EXPECT(r, "\xfa\xfe");
	to_mouse(r, 0xe1);
	EXPECT(r, "\xfe");
}

static void mouse_wrap(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x47);
	to_mouse(r, 0xee);
	EXPECT(r, "\xfa");
	to_mouse(r, 0xf4);
	EXPECT(r, "\xf4");
	to_mouse(r, 0xec);
	EXPECT(r, "\xfa");
	to_mouse(r, 0xf4);
	EXPECT(r, "\xfa");
}

/* ---- both ---- */

static void reset_is_power_on(void **state)
{
	struct rig *r = *state;

	quiet(r, 0x47);
	press(r, 0x04);
	command(r, 0xd1);
	outb(r->f, 0x60, 0xdd);
	assert_int_equal(r->lines.level[1], 1);
	i8042_reset(&r->k);
	assert_int_equal(r->lines.level[1], 0);
	assert_int_equal(r->a20, 1);
	assert_int_equal(status(r), 0x10);
	assert_int_equal(next(r), -1);
	power_on_test(state);
}

static void any_access_in_any_order(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < 200; i++) {
		isa_rig_hammer(r->f, 0x60, 1, 50 + i);
		isa_rig_hammer(r->f, 0x64, 1, 50 + i);
		for (uint32_t value = 0; value < 256; value++) {
			outb(r->f, 0x64, (uint8_t)value);
			outb(r->f, 0x60, (uint8_t)(value * i));
			press(r, value);
		}
		host_fake_advance(r->f, MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(self_tests, setup, teardown),
		cmocka_unit_test_setup_teardown(command_byte_and_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(a20_and_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(mouse_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_follow_the_buffer, setup, teardown),
		cmocka_unit_test_setup_teardown(a_byte_needs_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_closed_interface_holds_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(power_on_test, setup, teardown),
		cmocka_unit_test_setup_teardown(keyboard_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(identity_is_translated, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disabled_keyboard_is_silent, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_go_first, setup, teardown),
		cmocka_unit_test_setup_teardown(scan_codes_set_2, setup, teardown),
		cmocka_unit_test_setup_teardown(scan_codes_set_1, setup, teardown),
		cmocka_unit_test_setup_teardown(scan_codes_set_3, setup, teardown),
		cmocka_unit_test_setup_teardown(every_usage_is_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_queue_refuses_whole_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(mouse_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(mouse_wrap, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_is_power_on, setup, teardown),
		cmocka_unit_test_setup_teardown(any_access_in_any_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
