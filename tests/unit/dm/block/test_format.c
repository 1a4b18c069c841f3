/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "dm/block/format.h"

static void names(void **state)
{
	static const char *const expect[][2] = {
		{ "disk.qcow2", "qcow2" },  { "/a/b.c/disk", "raw" },     { "a.QCOW2", "qcow2" }, { "x.vhd", "vhd" },
		{ "x.vmdk", "vmdk" },       { "x.vhdx", "vhdx" },         { "x.img", "raw" },     { "x.raw", "raw" },
		{ "/dev/sda", "raw" },      { "/a.qcow2/disk", "raw" },   { "", "raw" },          { ".", "raw" },
		{ "x.qcow2.bak", "raw" },   { "disk.iso", "raw" },        { "x.vdi", "vdi" },     { "x.dmg", "dmg" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++)
		assert_string_equal(block_format_of_name(expect[i][0]), expect[i][1]);
}

static void content(void **state)
{
	char head[512] = { 0 }, tail[512] = { 0 };

	(void)state;
	assert_null(block_format_of_content(head, sizeof(head), tail));
	memcpy(tail, "conectix", 8);
	assert_string_equal(block_format_of_content(head, sizeof(head), tail), "vhd");
	assert_null(block_format_of_content(head, sizeof(head), NULL));
	memcpy(head, "QFI\xfb\0\0\0\3", 8);
	assert_string_equal(block_format_of_content(head, sizeof(head), tail), "qcow2");
	assert_null(block_format_of_content(head, 7, NULL));
	memset(head, 0, sizeof(head));
	memcpy(head + 0x40, "\x7f\x10\xda\xbe", 4);
	assert_string_equal(block_format_of_content(head, sizeof(head), NULL), "vdi");
	assert_null(block_format_of_content(head, 0x43, NULL));
	assert_null(block_format_of_content(head, 3, NULL));
}

/* Every choice but the first two leads to a driver of its own, and every suffix to a choice. */
static void every_choice_has_a_driver(void **state)
{
	(void)state;
	for (size_t i = 2; block_format_choices[i]; i++)
		assert_string_not_equal(block_format_driver(block_format_choices[i]), "raw");
	assert_string_equal(block_format_driver("vhd"), "vpc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(content),
		cmocka_unit_test(every_choice_has_a_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
