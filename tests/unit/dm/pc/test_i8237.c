/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dm/pc/i8237.h"
#include "fake/isa-rig.h"

struct rig {
	struct host_fake *f;
	struct i8237 d;
};

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, 1);
	assert_int_equal(i8237_init(&r->d, r->f->host, r->f->inst), 0);
	assert_int_equal(i8237_register(&r->d), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	i8237_finish(&r->d);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
	return 0;
}

/* step: ports a register. */
static void addresses_and_counts(struct rig *r, uint16_t base, uint16_t step)
{
	outb(r->f, (uint16_t)(base + 12 * step), 0);
	for (uint16_t i = 0; i < 8; i++) {
		outb(r->f, (uint16_t)(base + i * step), (uint8_t)(0x10 + i));
		outb(r->f, (uint16_t)(base + i * step), (uint8_t)(0x80 + i));
	}
	outb(r->f, (uint16_t)(base + 12 * step), 0);
	for (uint16_t i = 0; i < 8; i++) {
		assert_int_equal(inb(r->f, (uint16_t)(base + i * step)), 0x10 + i);
		assert_int_equal(inb(r->f, (uint16_t)(base + i * step)), 0x80 + i);
	}
}

static void both_keep_addresses_and_counts(void **state)
{
	addresses_and_counts(*state, 0x00, 1);
	addresses_and_counts(*state, 0xc0, 2);
}

static void the_flip_flop_picks_the_byte(void **state)
{
	struct rig *r = *state;

	outb(r->f, 0x0c, 0);
	outb(r->f, 0x00, 0x34);
	outb(r->f, 0x0c, 0);
	outb(r->f, 0x00, 0x35);
	outb(r->f, 0x00, 0x12);
	outb(r->f, 0x0c, 0);
	assert_int_equal(inb(r->f, 0x00), 0x35);
	assert_int_equal(inb(r->f, 0x00), 0x12);
	/* A master clear resets it, and masks all channels. */
	inb(r->f, 0x00);
	outb(r->f, 0x0d, 0);
	assert_int_equal(inb(r->f, 0x00), 0x35);
	assert_int_equal(inb(r->f, 0x0f), 0xff);
}

static void masks_modes_requests(void **state)
{
	struct rig *r = *state;

	outb(r->f, 0x0a, 2);
	assert_int_equal(inb(r->f, 0x0f), 0xfb);
	outb(r->f, 0x0a, 6);
	assert_int_equal(inb(r->f, 0x0f), 0xff);
	outb(r->f, 0x0e, 0);
	assert_int_equal(inb(r->f, 0x0f), 0xf0);
	outb(r->f, 0xde, 0x05);
	assert_int_equal(inb(r->f, 0xde), 0xf5);
	for (uint8_t i = 0; i < 4; i++)
		outb(r->f, 0x0b, (uint8_t)(0x40 + 0x10 * i + i));
	inb(r->f, 0x0e);
	for (uint8_t i = 0; i < 4; i++)
		assert_int_equal(inb(r->f, 0x0b), 0x43 + 0x10 * i);
	outb(r->f, 0x09, 6);
	assert_int_equal(inb(r->f, 0x08), 0x40);
	outb(r->f, 0x09, 2);
	assert_int_equal(inb(r->f, 0x08), 0);
}

static void pages_and_post_codes(void **state)
{
	struct rig *r = *state;

	for (uint16_t i = 0; i < 16; i++)
		outb(r->f, (uint16_t)(0x80 + i), (uint8_t)(i * 7));
	for (uint16_t i = 0; i < 16; i++)
		assert_int_equal(inb(r->f, (uint16_t)(0x80 + i)), i * 7);
	assert_int_equal(host_fake_counter(r->f, "post-codes"), 1);
	isa_rig_out(r->f, 0x81, 2, 0xbbaa);
	assert_int_equal(isa_rig_in(r->f, 0x81, 2), 0xbbaa);
	i8237_reset(&r->d);
	assert_int_equal(inb(r->f, 0x81), 0);
	assert_int_equal(inb(r->f, 0x0f), 0xff);
}

static void any_access_in_any_order(void **state)
{
	struct rig *r = *state;

	isa_rig_hammer(r->f, 0x00, 16, 20000);
	isa_rig_hammer(r->f, 0x80, 16, 20000);
	isa_rig_hammer(r->f, 0xc0, 32, 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_keep_addresses_and_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(the_flip_flop_picks_the_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(masks_modes_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_and_post_codes, setup, teardown),
		cmocka_unit_test_setup_teardown(any_access_in_any_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
