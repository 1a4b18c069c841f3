/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dm/pc/fw_cfg.h"
#include "fake/host-fake.h"

#define REQUEST 0x1000u
#define ERROR 0x01000000u /* as little endian memory has it */

static struct host_fake *h;
static struct fw_cfg f;

static int setup(void **state)
{
	(void)state;
	h = host_fake_create(4 << 20, 1);
	return fw_cfg_init(&f, h->host, h->inst) || fw_cfg_register(&f);
}

static int teardown(void **state)
{
	(void)state;
	fw_cfg_finish(&f);
	return host_fake_destroy(h) != 0;
}

static void select_key(uint32_t key)
{
	host_fake_out(h, GAMUT_SPACE_PIO, 0x510, 2, key);
}

static uint32_t data(void)
{
	return (uint32_t)host_fake_in(h, GAMUT_SPACE_PIO, 0x511, 1);
}

static void be32(uint64_t gpa, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(h->ram + gpa, &value, 4);
}

/* What the request's first word is afterwards, as it lies in memory. */
static uint32_t dma(uint32_t control, uint32_t length, uint64_t address)
{
	uint32_t result;

	be32(REQUEST, control);
	be32(REQUEST + 4, length);
	be32(REQUEST + 8, (uint32_t)(address >> 32));
	be32(REQUEST + 12, (uint32_t)address);
	host_fake_out(h, GAMUT_SPACE_PIO, 0x514, 4, 0);
	host_fake_out(h, GAMUT_SPACE_PIO, 0x518, 4, __builtin_bswap32(REQUEST));
	memcpy(&result, h->ram + REQUEST, 4);
	return result;
}

static void test_signature(void **state)
{
	(void)state;
	select_key(0);
	assert_int_equal(data(), 'Q');
	assert_int_equal(data(), 'E');
	assert_int_equal(data(), 'M');
	assert_int_equal(data(), 'U');
	assert_int_equal(data(), 0); /* beyond the end */
	select_key(1);
	assert_int_equal(data(), 3);
	assert_int_equal(host_fake_in(h, GAMUT_SPACE_PIO, 0x514, 4), __builtin_bswap32(0x51454d55));
	assert_int_equal(host_fake_in(h, GAMUT_SPACE_PIO, 0x518, 4), __builtin_bswap32(0x20434647));
	select_key(0x7777);
	assert_int_equal(data(), 0);
	select_key(0xffff);
	assert_int_equal(data(), 0);
}

static void test_files(void **state)
{
	uint8_t dir[4 + 2 * 64];

	(void)state;
	assert_int_equal(fw_cfg_file(&f, "etc/one", "abc", 3, 0), 0);
	assert_int_equal(fw_cfg_file(&f, "etc/two", NULL, 0, 0), 0);
	assert_int_equal(fw_cfg_file(&f, "etc/one", "x", 1, 0), -EEXIST);
	assert_int_equal(fw_cfg_config_ops.file(&f, "etc/two", "x", 1), -EEXIST);
	select_key(FW_CFG_FILE_DIR);
	for (size_t i = 0; i < sizeof(dir); i++)
		dir[i] = (uint8_t)data();
	assert_int_equal(dir[3], 2);
	assert_int_equal(dir[4 + 3], 3);
	assert_int_equal(dir[4 + 5], 0x20);
	assert_string_equal((char *)dir + 4 + 8, "etc/one");
	assert_int_equal(dir[4 + 64 + 5], 0x21);
	select_key(0x20);
	assert_int_equal(data(), 'a');
	assert_int_equal(fw_cfg_file(&f, "etc/one", "xy", 2, 1), 0);
	select_key(0x20);
	assert_int_equal(data(), 'x');
	assert_int_equal(fw_cfg_file(&f, "", "x", 1, 0), -EINVAL);
	assert_int_equal(fw_cfg_file(&f, "12345678901234567890123456789012345678901234567890123456", "x", 1, 0), -EINVAL);
	for (uint32_t i = 2; i < FW_CFG_FILES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(fw_cfg_file(&f, name, "x", 1, 0), 0);
	}
	assert_int_equal(fw_cfg_file(&f, "one more", "x", 1, 0), -ENOSPC);
}

static void test_keys(void **state)
{
	(void)state;
	assert_int_equal(fw_cfg_set_int(&f, FW_CFG_NB_CPUS, 0x1234, 2), 0);
	select_key(FW_CFG_NB_CPUS);
	assert_int_equal(data(), 0x34);
	assert_int_equal(data(), 0x12);
	assert_int_equal(fw_cfg_set_int(&f, FW_CFG_IRQ0_OVERRIDE, 1, 4), 0);
	select_key(FW_CFG_IRQ0_OVERRIDE);
	assert_int_equal(data(), 1);
	assert_int_equal(fw_cfg_set_int(&f, 0x9999, 1, 4), -EINVAL);
	fw_cfg_reset(&f);
	assert_int_equal(data(), 'Q');
}

static void test_many(void **state)
{
	uint8_t buf[6];

	(void)state;
	select_key(0);
	assert_int_equal(fw_cfg_ops.read_many(&f, 1, 1, buf, 6), 6);
	assert_memory_equal(buf, "QEMU\0\0", 6);
	assert_int_equal(fw_cfg_ops.read_many(&f, 1, 2, buf, 3), 0);
	assert_int_equal(fw_cfg_ops.read_many(&f, 4, 1, buf, 6), 0);
}

static void test_dma(void **state)
{
	(void)state;
	assert_int_equal(fw_cfg_file(&f, "file", "0123456789", 10, 0), 0);
	memset(h->ram + 0x2000, 0xee, 64);
	assert_int_equal(dma(0x20 << 16 | 8 | 2, 4, 0x2000), 0);
	assert_memory_equal(h->ram + 0x2000, "0123\xee", 5);
	assert_int_equal(dma(4, 2, 0), 0); /* skip */
	assert_int_equal(dma(2, 8, 0x2010), 0);
	assert_memory_equal(h->ram + 0x2010, "6789\0\0\0\0\xee", 9);
	assert_int_equal(dma(0x20 << 16 | 8, 0, 0), 0);
	assert_int_equal(data(), '0');
	assert_int_equal(dma(0x20 << 16 | 8 | 0x10, 4, 0x2000), ERROR); /* nothing can be written */
	assert_int_equal(dma(0x7000 << 16 | 8 | 2, 4, 0x2000), 0);      /* no such item: zeros */
	assert_memory_equal(h->ram + 0x2000, "\0\0\0\0", 4);
}

/* Addresses and lengths that a guest would not use. */
static void test_hostile(void **state)
{
	(void)state;
	assert_int_equal(fw_cfg_file(&f, "file", "0123456789", 10, 0), 0);
	assert_int_equal(dma(0x20 << 16 | 8 | 2, 10, h->ram_size - 4), ERROR);
	assert_int_equal(dma(0x20 << 16 | 8 | 2, 10, UINT64_MAX - 3), ERROR);
	assert_int_equal(dma(0x20 << 16 | 8 | 2, UINT32_MAX, 0x2000), ERROR);
	assert_int_equal(dma(4, UINT32_MAX, 0), 0);
	assert_int_equal(dma(4, UINT32_MAX, 0), 0);
	assert_int_equal(dma(2, 1, 0x2000), 0);
	assert_int_equal(h->ram[0x2000], 0);
	/* Over the request itself: it is still answered. */
	assert_int_equal(dma(0x20 << 16 | 8 | 2, 10, REQUEST), 0);
	host_fake_out(h, GAMUT_SPACE_PIO, 0x514, 4, UINT32_MAX);
	host_fake_out(h, GAMUT_SPACE_PIO, 0x518, 4, UINT32_MAX);
	assert_int_equal(host_fake_counter(h, "fw-cfg-errors"), 4);
	for (uint32_t at = 0; at < 12; at++) {
		for (uint32_t width = 1; width <= 4; width *= 2) {
			fw_cfg_ops.write(&f, at, width, 0xffffffff);
			fw_cfg_ops.read(&f, at, width);
		}
	}
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(signature), T(files), T(keys), T(many), T(dma), T(hostile) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
