/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "dm/pc/smbios.h"

static const uint8_t uuid[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static struct smbios s;

static struct smbios_config config(uint32_t cpus)
{
	return (struct smbios_config){
		.name = "name", .uuid = uuid, .n_cpus = cpus, .low_end = 3ull << 30, .high_size = 5ull << 30
	};
}

static int teardown(void **state)
{
	(void)state;
	smbios_finish(&s);
	return 0;
}

static uint8_t sum(const uint8_t *p, uint32_t n)
{
	uint8_t total = 0;

	while (n--)
		total = (uint8_t)(total + *p++);
	return total;
}

/* The structure after p. */
static const uint8_t *next(const uint8_t *p)
{
	p += p[1];
	while (p[0] || p[1])
		p++;
	return p + 2;
}

static void test_walk(void **state)
{
	static const uint8_t needed[] = { 0, 1, 3, 4, 16, 17, 19, 32, 127 };
	const struct smbios_config c = config(3);
	uint32_t count[128] = { 0 }, n = 0, largest = 0;
	const uint8_t *p;

	(void)state;
	assert_int_equal(smbios_build(&s, &c), 0);
	for (p = s.tables; p < s.tables + s.len; p = next(p)) {
		uint32_t bytes = (uint32_t)(next(p) - p);

		assert_true(p[0] < 128 && p[1] >= 4);
		count[p[0]]++;
		n++;
		largest = bytes > largest ? bytes : largest;
		if (p[0] == 1)
			assert_memory_equal(p + 8, "\x03\x02\x01\x00\x05\x04\x07\x06\x08\x09", 10);
	}
	assert_ptr_equal(p, s.tables + s.len);
	assert_int_equal(count[4], 3);
	assert_int_equal(count[19], 2);
	for (size_t i = 0; i < sizeof(needed); i++)
		assert_true(count[needed[i]] > 0);
	assert_int_equal(n, s.anchor[0x1c]);
	assert_int_equal(largest, s.anchor[8]);
	assert_int_equal(s.len, s.anchor[0x16] | s.anchor[0x17] << 8);
}

static void test_place(void **state)
{
	const struct smbios_config c = config(1);
	uint8_t a[SMBIOS_ANCHOR];

	(void)state;
	assert_int_equal(smbios_build(&s, &c), 0);
	smbios_place(&s, 0xf1000, a);
	assert_int_equal(sum(a, SMBIOS_ANCHOR), 0);
	assert_int_equal(sum(a + 0x10, 0x0f), 0);
	assert_int_equal(a[0x19] | a[0x1a] << 8, 0x0f10);
	assert_int_equal(sum(s.anchor, SMBIOS_ANCHOR), 0);
}

static void test_too_many(void **state)
{
	const struct smbios_config c = config(5000);

	(void)state;
	assert_int_equal(smbios_build(&s, &c), -E2BIG);
	assert_null(s.tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_walk, teardown),
		cmocka_unit_test_teardown(test_place, teardown),
		cmocka_unit_test_teardown(test_too_many, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
