/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "bus.h"

struct device {
	uint64_t offset, value, answer;
	uint32_t width, reads, writes;
};

static struct bus bus;
static char err[256];
static const struct bus_owner a = { 1, "uart.0" }, b = { 2, "pit.0" };

static uint64_t dev_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct device *d = opaque;

	d->reads++;
	d->offset = offset;
	d->width = width;
	return d->answer;
}

static void dev_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct device *d = opaque;

	d->writes++;
	d->offset = offset;
	d->width = width;
	d->value = value;
}

static int msr_read(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t *value)
{
	struct device *d = opaque;

	d->offset = msr;
	*value = d->answer + vcpu;
	return 0;
}

static int msr_write(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	struct device *d = opaque;

	(void)vcpu;
	(void)msr;
	d->value = value;
	return value == 13 ? -EPERM : 0;
}

static const struct gamut_io_ops io = { sizeof(io), dev_read, dev_write };
static const struct gamut_msr_ops msrs = { sizeof(msrs), msr_read, msr_write };

static int setup(void **state)
{
	(void)state;
	err[0] = 0;
	return bus_init(&bus);
}

static int teardown(void **state)
{
	(void)state;
	bus_finish(&bus);
	return 0;
}

static void test_port_offsets(void **state)
{
	struct device d = { .answer = 0xa1b2c3d4e5f6 };
	uint32_t data = 0;

	(void)state;
	assert_int_equal(bus_add_pio(&bus, 0x3f8, 8, &io, &d, a, err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_pio(&bus, 0x3fb, 1, false, &data), 1);
	assert_int_equal(d.offset, 3);
	assert_int_equal(data, 0xf6);
	assert_int_equal(bus_pio(&bus, 0x3f8, 4, false, &data), 1);
	assert_int_equal(data, 0xc3d4e5f6);
	data = 0x12345678;
	assert_int_equal(bus_pio(&bus, 0x3fe, 2, true, &data), 1);
	assert_int_equal(d.offset, 6);
	assert_int_equal(d.value, 0x5678);
}

static void test_port_unclaimed(void **state)
{
	struct device d = { 0 };
	uint32_t data = 0;

	(void)state;
	assert_int_equal(bus_add_pio(&bus, 0x60, 1, &io, &d, a, err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_pio(&bus, 0x80, 1, false, &data), BUS_UNCLAIMED);
	assert_int_equal(data, 0xff);
	assert_int_equal(bus_pio(&bus, 0x80, 4, false, &data), BUS_UNCLAIMED);
	assert_int_equal(data, 0xffffffff);
	assert_int_equal(bus_pio(&bus, 0x61, 1, true, &data), BUS_UNCLAIMED);
	assert_int_equal(d.reads + d.writes, 0);
}

/* Two ports of one device, two of another, none behind: each byte goes to whom it belongs. */
static void test_port_across(void **state)
{
	struct device one = { .answer = 0x11 }, two = { .answer = 0x22 };
	uint32_t data = 0;

	(void)state;
	assert_int_equal(bus_add_pio(&bus, 0x100, 2, &io, &one, a, err, sizeof(err)), 0);
	assert_int_equal(bus_add_pio(&bus, 0x102, 1, &io, &two, b, err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_pio(&bus, 0x100, 4, false, &data), 1);
	assert_int_equal(data, 0xff221111);
	assert_int_equal(one.reads, 2);
	assert_int_equal(two.reads, 1);
	/* The last port there is. */
	assert_int_equal(bus_pio(&bus, 0xffff, 4, false, &data), BUS_UNCLAIMED);
	assert_int_equal(data, 0xffffffff);
}

static void test_mmio(void **state)
{
	struct device one = { .answer = UINT64_MAX }, two = { .answer = 0x77 };
	struct bus_cache cache = { 0 };
	uint64_t data = 0;

	(void)state;
	assert_int_equal(bus_add_mmio(&bus, 0xfee00000, 0x1000, &io, &one, a, err, sizeof(err)), 0);
	assert_int_equal(bus_add_mmio(&bus, 0xfec00000, 0x20, &io, &two, b, err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_mmio(&bus, &cache, 0xfee00080, 4, false, &data), 1);
	assert_int_equal(data, 0xffffffff);
	assert_int_equal(one.offset, 0x80);
	/* The range that was hit last must not answer for another. */
	assert_int_equal(bus_mmio(&bus, &cache, 0xfec00010, 1, false, &data), 2);
	assert_int_equal(data, 0x77);
	assert_int_equal(bus_mmio(&bus, &cache, 0xfec0001c, 8, false, &data), 2);
	assert_int_equal(data, 0xffffffff77777777);
	assert_int_equal(bus_mmio(&bus, &cache, 0xfec00020, 8, false, &data), BUS_UNCLAIMED);
	assert_int_equal(data, UINT64_MAX);
	assert_int_equal(bus_mmio(&bus, &cache, UINT64_MAX - 3, 8, false, &data), BUS_UNCLAIMED);
	data = 0x1ff;
	assert_int_equal(bus_mmio(&bus, &cache, 0xfee00fff, 1, true, &data), 1);
	assert_int_equal(one.value, 0xff);
}

static void test_overlap_names_both(void **state)
{
	struct device d;

	(void)state;
	assert_int_equal(bus_add_pio(&bus, 0x3f8, 8, &io, &d, a, err, sizeof(err)), 0);
	assert_int_equal(bus_add_pio(&bus, 0x3ff, 2, &io, &d, b, err, sizeof(err)), -EBUSY);
	assert_non_null(strstr(err, "uart.0"));
	assert_non_null(strstr(err, "pit.0"));
	assert_non_null(strstr(err, "0x3f8"));
	assert_int_equal(bus_add_pio(&bus, 0x3f7, 2, &io, &d, b, err, sizeof(err)), -EBUSY);
	assert_int_equal(bus_add_pio(&bus, 0x3f0, 0x100, &io, &d, b, err, sizeof(err)), -EBUSY);
	assert_int_equal(bus_add_pio(&bus, 0x3f0, 8, &io, &d, b, err, sizeof(err)), 0);
	assert_int_equal(bus_add_pio(&bus, 0x400, 8, &io, &d, b, err, sizeof(err)), 0);
	assert_int_equal(bus.pio.n, 3);
}

static void test_ranges_that_cannot_be(void **state)
{
	static const struct gamut_io_ops half = { sizeof(half), dev_read, NULL };
	struct device d;

	(void)state;
	assert_int_equal(bus_add_pio(&bus, 0, 0, &io, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_pio(&bus, 0xffff, 2, &io, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_pio(&bus, 0, 0x10001, &io, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_mmio(&bus, UINT64_MAX, 2, &io, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_mmio(&bus, 1, UINT64_MAX, &io, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_msr(&bus, UINT32_MAX, 2, &msrs, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_hypercall(&bus, BUS_HYPERCALLS, NULL, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_pio(&bus, 0, 1, &half, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_pio(&bus, 0, 1, NULL, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_add_pio(&bus, 0, 1, &io, &d, a, err, sizeof(err)), -EPERM);
}

static void test_msr(void **state)
{
	struct device d = { .answer = 40 };
	uint64_t value = 0;
	int fault = 0;

	(void)state;
	assert_int_equal(bus_add_msr(&bus, 0x40000000, 2, &msrs, &d, a, err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_msr(&bus, 2, 0x40000001, false, &value, &fault), 1);
	assert_int_equal(value, 42);
	assert_int_equal(fault, 0);
	value = 13;
	assert_int_equal(bus_msr(&bus, 0, 0x40000000, true, &value, &fault), 1);
	assert_int_equal(fault, -EPERM);
	assert_int_equal(bus_msr(&bus, 0, 0x40000002, false, &value, &fault), BUS_UNCLAIMED);
	assert_int_equal(fault, -EPERM);
}

static int64_t call_fn(void *opaque, struct gamut_hypercall *call)
{
	(void)opaque;
	return (int64_t)call->args[0] * 2;
}

static void test_hypercall(void **state)
{
	struct gamut_hypercall call = { .nr = 17, .args = { 21 } };
	int64_t result = 0;

	(void)state;
	assert_int_equal(bus_add_hypercall(&bus, 17, call_fn, NULL, a, err, sizeof(err)), 0);
	assert_int_equal(bus_add_hypercall(&bus, 17, call_fn, NULL, b, err, sizeof(err)), -EBUSY);
	assert_non_null(strstr(err, "uart.0"));
	assert_non_null(strstr(err, "pit.0"));
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_hypercall(&bus, &call, &result), 1);
	assert_int_equal(result, 42);
	call.nr = 18;
	assert_int_equal(bus_hypercall(&bus, &call, &result), BUS_UNCLAIMED);
	assert_int_equal(result, -ENOSYS);
	call.nr = UINT32_MAX;
	assert_int_equal(bus_hypercall(&bus, &call, &result), BUS_UNCLAIMED);
	assert_int_equal(result, -ENOSYS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_port_offsets),  TEST(test_port_unclaimed),        TEST(test_port_across),
		TEST(test_mmio),          TEST(test_overlap_names_both),    TEST(test_ranges_that_cannot_be),
		TEST(test_msr),           TEST(test_hypercall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
