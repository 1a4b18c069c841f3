/* SPDX-License-Identifier: MIT */
/* console-serial.so between a real serial port and a console terminal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dm/pc/uart.h"
#include "fake/isa-rig.h"
#include "fake/plugin-load.h"

#define COM1 0x3f8u
#define MS 1000000ull

struct rig {
	struct host_fake *f;
	struct uart uart[2];
	struct serial_ports ports;
	void *so, *self;
	const struct gamut_descriptor *d;
};

static int setup_without_ports(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(uart_init(&r->uart[i], r->f->host, r->f->inst, i ? "com2" : "com1"), 0);
	assert_int_equal(uart_register(&r->uart[0], COM1, NULL, NULL, 4), 0);
	serial_ports_init(&r->ports, r->uart, 2);
	r->d = plugin_load(TEST_BUILD_DIR, "console-serial", &r->so);
	assert_non_null(r->d);
	assert_int_equal(r->d->axis, GAMUT_AXIS_CONSOLE);
	assert_string_equal(r->d->choice, "serial");
	assert_int_equal(r->d->ops->create(r->f->host, r->f->inst, &r->self), 0);
	*state = r;
	return 0;
}

static int setup(void **state)
{
	struct rig *r;

	setup_without_ports(state);
	r = *state;
	host_fake_give(r->f, GAMUT_SERIAL_PORTS, GAMUT_PC_REVISION, &r->ports.ops, &r->ports);
	assert_int_equal(r->d->ops->start(r->self), 0);
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	r->d->ops->stop(r->self);
	r->d->ops->destroy(r->self);
	for (int i = 0; i < 2; i++)
		uart_finish(&r->uart[i]);
	assert_int_equal(host_fake_destroy(r->f), 0);
	dlclose(r->so);
	test_free(r);
	return 0;
}

static void put(struct rig *r, const char *text)
{
	for (; *text; text++) {
		assert_true(inb(r->f, COM1 + 5) & 0x20);
		outb(r->f, COM1, (uint8_t)*text);
	}
}

static void settle(struct rig *r)
{
	for (int i = 0; i < 10; i++) {
		host_fake_advance(r->f, MS);
		host_fake_run(r->f);
	}
}

static void needs_ports(void **state)
{
	struct rig *r = *state;

	assert_int_equal(r->d->ops->start(r->self), -ENODEV);
	assert_non_null(strstr(r->f->last_fail, GAMUT_SERIAL_PORTS));
}

static void the_guest_writes(void **state)
{
	struct rig *r = *state;

	assert_int_equal(inb(r->f, COM1 + 6) & 0xf0, 0xb0);
	put(r, "login: ");
	settle(r);
	assert_int_equal(r->f->out_len, 7);
	assert_memory_equal(r->f->out, "login: ", 7);
}

static void the_user_types(void **state)
{
	struct rig *r = *state;
	char text[1000], got[1000];
	uint32_t n = 0;

	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (char)i;
	outb(r->f, COM1 + 2, 1);
	host_fake_type(r->f, text, sizeof(text));
	host_fake_run(r->f);
	for (int i = 0; i < 10000 && n < sizeof(got); i++) {
		if (inb(r->f, COM1 + 5) & 1)
			got[n++] = (char)inb(r->f, COM1);
		else
			host_fake_run(r->f);
	}
	assert_int_equal(n, sizeof(text));
	assert_memory_equal(got, text, n);
}

static void a_full_terminal_holds_the_guest(void **state)
{
	struct rig *r = *state;
	uint32_t sent = 0;

	r->f->out_room = 10;
	while (inb(r->f, COM1 + 5) & 0x20 && sent < 100000) {
		outb(r->f, COM1, (uint8_t)sent++);
		if (sent % 100 == 0)
			settle(r);
	}
	assert_true(sent < 100000);
	assert_int_equal(r->f->out_len, 10);
	/* There is room again: the terminal calls as for input. */
	r->f->out_room = UINT32_MAX;
	r->f->on_input(r->f->on_input_opaque);
	settle(r);
	assert_int_equal(r->f->out_len, sent);
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal((uint8_t)r->f->out[i], (uint8_t)i);
	assert_true(inb(r->f, COM1 + 5) & 0x20);
}

static void last_words(void **state)
{
	struct rig *r = *state;

	put(r, "bye");
	r->d->ops->stop(r->self);
	assert_int_equal(r->f->out_len, 3);
	assert_null(r->f->on_input);
	assert_int_equal(inb(r->f, COM1 + 6) & 0xf0, 0);
}

static void reset_forgets_what_was_typed(void **state)
{
	struct rig *r = *state;

	outb(r->f, COM1 + 4, 2);
	host_fake_type(r->f, "abc", 3);
	host_fake_run(r->f);
	assert_int_equal(inb(r->f, COM1), 'a');
	uart_reset(&r->uart[0]);
	assert_int_equal(r->d->ops->reset(r->self), 0);
	settle(r);
	assert_int_equal(inb(r->f, COM1 + 5) & 1, 0);
	outb(r->f, COM1 + 4, 2);
	host_fake_type(r->f, "x", 1);
	host_fake_run(r->f);
	assert_int_equal(inb(r->f, COM1), 'x');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(needs_ports, setup_without_ports, teardown),
		cmocka_unit_test_setup_teardown(the_guest_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(the_user_types, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_terminal_holds_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(last_words, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_forgets_what_was_typed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
