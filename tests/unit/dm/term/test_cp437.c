/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dm/term/cp437.h"

static void some_characters(void **state)
{
	(void)state;
	assert_int_equal(cp437_unicode('A'), 'A');
	assert_int_equal(cp437_unicode(0), ' ');
	assert_int_equal(cp437_unicode(0x01), 0x263a);
	assert_int_equal(cp437_unicode(0x1f), 0x25bc);
	assert_int_equal(cp437_unicode(0x7f), 0x2302);
	assert_int_equal(cp437_unicode(0x84), 0xe4);
	assert_int_equal(cp437_unicode(0xb3), 0x2502);
	assert_int_equal(cp437_unicode(0xdb), 0x2588);
	assert_int_equal(cp437_unicode(0xe1), 0xdf);
	assert_int_equal(cp437_unicode(0xff), 0xa0);
}

static void expect(uint8_t code, const char *utf8)
{
	char out[3];

	assert_int_equal(cp437_utf8(code, out), strlen(utf8));
	assert_memory_equal(out, utf8, strlen(utf8));
}

static void utf8(void **state)
{
	(void)state;
	expect('A', "A");
	expect(0x84, "ä");
	expect(0xc4, "─");
	expect(0x02, "☻");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(some_characters),
		cmocka_unit_test(utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
