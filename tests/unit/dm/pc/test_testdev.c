/* SPDX-License-Identifier: MIT */
/* The test devices, the debug port and the firmware's file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/pc/debugcon.h"
#include "dm/pc/firmware.h"
#include "dm/pc/testdev.h"
#include "fake/pci-rig.h"

static struct pci_rig r;
static struct testdev *t;
static uint32_t lines;

static void line_set(void *self, uint32_t line, uint32_t level)
{
	(void)self;
	lines = level ? lines | 1u << line : lines & ~(1u << line);
}

static const struct gamut_irq_lines_ops lines_ops = { .size = sizeof(lines_ops), .set = line_set };

static int setup(void **state)
{
	(void)state;
	if (pci_rig_init(&r))
		return -1;
	t = malloc(sizeof(*t));
	lines = 0;
	testdev_init(t, r.f->host, r.f->inst);
	return testdev_register(t, &lines_ops, NULL);
}

static int teardown(void **state)
{
	(void)state;
	free(t);
	return pci_rig_finish(&r) != 0;
}

static void test_echo(void **state)
{
	(void)state;
	rig_out(&r, 0xe0, 4, 0x12345678);
	assert_int_equal(rig_in(&r, 0xe0, 1), 0x78);
	rig_out(&r, 0xe1, 1, 0xaa);
	assert_int_equal(rig_in(&r, 0xe0, 4), 0x1234aa78);
	assert_int_equal(rig_in(&r, 0xe2, 2), 0x1234);
	testdev_reset(t);
	assert_int_equal(rig_in(&r, 0xe0, 4), 0);
}

static void test_lines(void **state)
{
	(void)state;
	rig_out(&r, 0x2000 + 10, 1, 1);
	rig_out(&r, 0x2000 + 23, 1, 1);
	assert_int_equal(lines, 1u << 10 | 1u << 23);
	rig_out(&r, 0x2000 + 10, 1, 0);
	assert_int_equal(lines, 1u << 23);
	assert_int_equal(rig_in(&r, 0x2018, 1), 0xff);
}

static void test_memory(void **state)
{
	(void)state;
	host_fake_out(r.f, GAMUT_SPACE_MMIO, 0xff00fff8, 8, 0x1122334455667788ull);
	assert_int_equal(host_fake_in(r.f, GAMUT_SPACE_MMIO, 0xff00fffc, 4), 0x11223344);
	testdev_memory_ops.write(t, 0xfffc, 8, UINT64_MAX); /* over the end: not at all */
	testdev_memory_ops.write(t, UINT64_MAX, 8, UINT64_MAX);
	assert_int_equal(testdev_memory_ops.read(t, 0xfffc, 4), 0x11223344);
}

static void test_exit(void **state)
{
	(void)state;
	rig_out(&r, 0xf4, 4, 0);
	assert_int_equal(r.f->ended, GAMUT_END_POWEROFF);
	rig_out(&r, 0xf4, 1, 3);
	assert_int_equal(r.f->ended, GAMUT_END_CRASH);
	assert_string_equal(r.f->last_log, "test device: exit code 3");
}

static void test_debug_port(void **state)
{
	struct debugcon d;

	(void)state;
	assert_int_equal(debugcon_init(&d, r.f->host, r.f->inst), 0);
	assert_int_equal(debugcon_register(&d), 0);
	assert_int_equal(rig_in(&r, 0x402, 1), 0xe9);
	for (const char *p = "Hello\x1b\n"; *p; p++)
		rig_out(&r, 0x402, 1, (uint8_t)*p);
	assert_string_equal(r.f->last_log, "firmware: Hello");
	assert_int_equal(debugcon_ops.write_many(&d, 0, 1, "ab\ncd", 5), 5);
	assert_string_equal(r.f->last_log, "firmware: ab");
	debugcon_reset(&d);
	assert_string_equal(r.f->last_log, "firmware: cd");
	for (int i = 0; i < 1000; i++)
		rig_out(&r, 0x402, 1, 'x');
	assert_int_equal(r.f->logs[GAMUT_LOG_DEBUG], 3 + 4);
	debugcon_finish(&d);
}

/* A file of n bytes; its name, which the next call changes. */
static const char *make_file(size_t n)
{
	static char path[] = "/tmp/gamut-firmware-XXXXXX";
	int fd;

	strcpy(path + sizeof(path) - 7, "XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)n), 0);
	if (n)
		assert_int_equal(pwrite(fd, "\xea", 1, (off_t)n - 16), 1);
	close(fd);
	return path;
}

static void test_firmware(void **state)
{
	struct firmware f;
	struct i440fx x;
	const char *path = make_file(256 << 10);

	(void)state;
	assert_int_equal(i440fx_init(&x, r.f->host, r.f->inst), 0);
	assert_int_equal(i440fx_register(&x, &pci_bus_ops, &r.bus), 0);
	assert_int_equal(firmware_init(&f, r.f->host, r.f->inst, path, NULL), 0);
	assert_int_equal(firmware_register(&f, &x), 0);
	assert_int_equal(i440fx_reset(&x), 0);
	assert_int_equal(r.f->over[0xfffff][0xff0], 0xea);
	assert_int_equal(r.f->rom[0xfffff], 1);
	assert_int_equal(r.f->over[0xff][0xff0], 0xea);
	assert_null(r.f->over[0xfffbf]);
	firmware_finish(&f);
	i440fx_finish(&x);
	unlink(path);
}

static void test_bad_firmware(void **state)
{
	static const size_t sizes[] = { 0, 5000, (16 << 20) + 4096 };
	struct firmware f;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const char *path = make_file(sizes[i]);

		assert_int_equal(firmware_init(&f, r.f->host, r.f->inst, path, NULL), -EINVAL);
		unlink(path);
	}
	assert_int_equal(firmware_init(&f, r.f->host, r.f->inst, "/nowhere/bios.bin", "seabios"), -ENOENT);
	assert_non_null(strstr(r.f->last_fail, "install the Debian package seabios"));
	assert_int_equal(firmware_init(&f, r.f->host, r.f->inst, "/nowhere/bios.bin", NULL), -ENOENT);
	assert_null(strstr(r.f->last_fail, "package"));
	assert_int_equal(firmware_init(&f, r.f->host, r.f->inst, "/tmp", NULL), -EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(echo), T(lines), T(memory), T(exit), T(debug_port), T(firmware), T(bad_firmware),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
