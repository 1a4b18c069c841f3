/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dm/term/keys.h"

enum { S = KEYS_SHIFT, A = KEYS_ALT, C = KEYS_CTRL };

/* The only key that the bytes make. */
static struct keys_stroke one(const char *bytes, size_t n)
{
	struct keys k = { 0 };
	struct keys_stroke found = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct keys_stroke s = keys_feed(&k, (uint8_t)bytes[i]);

		if (!s.usage)
			continue;
		assert_int_equal(found.usage, 0);
		assert_int_equal(i, n - 1);
		found = s;
	}
	if (keys_waiting(&k))
		found = keys_idle(&k);
	assert_false(keys_waiting(&k));
	return found;
}

static void expect(const char *bytes, size_t n, uint32_t usage, uint32_t modifiers)
{
	struct keys_stroke s = one(bytes, n);

	if (s.usage != usage || s.modifiers != modifiers)
		fail_msg("\"%s\" is %02x/%u, not %02x/%u", bytes + (bytes[0] == 27), s.usage, s.modifiers, usage,
		         modifiers);
}

#define EXPECT(bytes, usage, modifiers) expect(bytes, sizeof(bytes) - 1, usage, modifiers)

static void characters(void **state)
{
	(void)state;
	EXPECT("a", 0x04, 0);
	EXPECT("Z", 0x1d, S);
	EXPECT("1", 0x1e, 0);
	EXPECT("0", 0x27, 0);
	EXPECT(" ", 0x2c, 0);
	EXPECT("!", 0x1e, S);
	EXPECT(")", 0x27, S);
	EXPECT("-", 0x2d, 0);
	EXPECT("_", 0x2d, S);
	EXPECT("\\", 0x31, 0);
	EXPECT("|", 0x31, S);
	EXPECT(";", 0x33, 0);
	EXPECT("\"", 0x34, S);
	EXPECT("~", 0x35, S);
	EXPECT("?", 0x38, S);
}

/* Every printable character is some key, and no two are the same. */
static void all_of_ascii(void **state)
{
	uint8_t seen[256][2] = { { 0 } };

	(void)state;
	for (char c = ' '; c < 0x7f; c++) {
		struct keys_stroke s = one(&c, 1);

		assert_int_not_equal(s.usage, 0);
		assert_int_equal(s.modifiers & ~S, 0);
		assert_int_equal(seen[s.usage][s.modifiers], 0);
		seen[s.usage][s.modifiers] = 1;
	}
}

static void control_characters(void **state)
{
	(void)state;
	EXPECT("\r", 0x28, 0);
	EXPECT("\n", 0x28, 0);
	EXPECT("\t", 0x2b, 0);
	EXPECT("\x7f", 0x2a, 0);
	EXPECT("\b", 0x2a, 0);
	EXPECT("\x03", 0x06, C);
	EXPECT("\x1a", 0x1d, C);
	EXPECT("\x1c", 0x31, C);
	EXPECT("\x1d", 0x30, C);
	EXPECT("\0", 0x2c, C);
	EXPECT("\x1f", 0x2d, C | S);
}

static void sequences(void **state)
{
	(void)state;
	EXPECT("\033[A", 0x52, 0);
	EXPECT("\033OD", 0x50, 0);
	EXPECT("\033[H", 0x4a, 0);
	EXPECT("\033[4~", 0x4d, 0);
	EXPECT("\033[3~", 0x4c, 0);
	EXPECT("\033[6~", 0x4e, 0);
	EXPECT("\033OP", 0x3a, 0);
	EXPECT("\033[[E", 0x3e, 0);
	EXPECT("\033[11~", 0x3a, 0);
	EXPECT("\033[15~", 0x3e, 0);
	EXPECT("\033[17~", 0x3f, 0);
	EXPECT("\033[24~", 0x45, 0);
	EXPECT("\033[1;5C", 0x4f, C);
	EXPECT("\033[1;2P", 0x3a, S);
	EXPECT("\033[3;7~", 0x4c, C | A);
	EXPECT("\033[Z", 0x2b, S);
}

static void alt_and_escape(void **state)
{
	(void)state;
	EXPECT("\033", 0x29, 0);
	EXPECT("\033\033", 0x29, A);
	EXPECT("\033x", 0x1b, A);
	EXPECT("\033X", 0x1b, A | S);
	EXPECT("\033\x03", 0x06, A | C);
	EXPECT("\033\033[A", 0x52, A);
	EXPECT("\033[", 0x2f, A);
	EXPECT("\033O", 0x12, A | S);
}

static void what_is_no_key(void **state)
{
	(void)state;
	EXPECT("\xc3\xa4", 0, 0);
	EXPECT("\xe2\x82\xac", 0, 0);
	EXPECT("\xf0\x9f\x98\x80", 0, 0);
	EXPECT("\x80", 0, 0);
	EXPECT("\033[99~", 0, 0);
	EXPECT("\033[4294967297~", 0, 0);
	EXPECT("\033[?1;2c", 0, 0);
	/* A character that breaks off does not take the next with it. */
	EXPECT("\xe2" "a", 0x04, 0);
}

static void pressed_in_order(void **state)
{
	const struct keys_stroke all = { .usage = 0x4c, .modifiers = C | A | S }, none = { 0 };
	uint8_t usage[4];

	(void)state;
	assert_int_equal(keys_of(all, usage), 4);
	assert_int_equal(usage[0], 0xe0);
	assert_int_equal(usage[1], 0xe1);
	assert_int_equal(usage[2], 0xe2);
	assert_int_equal(usage[3], 0x4c);
	assert_int_equal(keys_of(none, usage), 0);
}

static void any_bytes(void **state)
{
	struct keys k = { 0 };
	uint32_t x = 7;
	uint8_t usage[4];

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		uint8_t byte = (uint8_t)(x >> 20);

		x = x * 1664525u + 1013904223u;
		if (x >> 30)
			byte = (uint8_t)"\033[O;1~A[2\033?\303;9 Z"[x >> 16 & 15];
		assert_in_range(keys_of(keys_feed(&k, byte), usage), 0, 4);
		if (!(x >> 24))
			keys_idle(&k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters),
		cmocka_unit_test(all_of_ascii),
		cmocka_unit_test(control_characters),
		cmocka_unit_test(sequences),
		cmocka_unit_test(alt_and_escape),
		cmocka_unit_test(what_is_no_key),
		cmocka_unit_test(pressed_in_order),
		cmocka_unit_test(any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
