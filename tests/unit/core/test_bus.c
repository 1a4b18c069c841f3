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

static const struct gamut_io_ops io = { .size = sizeof(io), .read = dev_read, .write = dev_write };
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
	static const struct gamut_io_ops half = { .size = sizeof(half), .read = dev_read };
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
	bus_finish(&bus);
	assert_int_equal(bus_init(&bus), 0);
	/* What nobody has registered, and what cannot be. */
	assert_int_equal(bus_add_hypercall(&bus, 17, call_fn, NULL, a, err, sizeof(err)), 0);
	assert_int_equal(bus_add_hypercall_rest(&bus, NULL, NULL, b, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_hypercall_rest(&bus, call_fn, NULL, b, err, sizeof(err)), 0);
	assert_int_equal(bus_add_hypercall_rest(&bus, call_fn, NULL, a, err, sizeof(err)), -EBUSY);
	assert_non_null(strstr(err, "claimed"));
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_add_hypercall_rest(&bus, call_fn, NULL, a, err, sizeof(err)), -EPERM);
	call = (struct gamut_hypercall){ .nr = 17, .args = { 21 } };
	assert_int_equal(bus_hypercall(&bus, &call, &result), 1);
	call.nr = 18;
	assert_int_equal(bus_hypercall(&bus, &call, &result), 2);
	call.nr = UINT32_MAX;
	assert_int_equal(bus_hypercall(&bus, &call, &result), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Addresses, not offsets; whole where nobody claims any of it, else bytes. */
static void test_fallback_ports(void **state)
{
	struct device one = { .answer = 0x11 }, rest = { .answer = 0xaabbccdd };
	uint32_t data = 0;

	(void)state;
	assert_int_equal(bus_add_pio(&bus, 0x100, 2, &io, &one, a, err, sizeof(err)), 0);
	assert_int_equal(bus_add_fallback(&bus, GAMUT_SPACE_PIO, &io, &rest, b, err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_pio(&bus, 0xc000, 4, false, &data), 2);
	assert_int_equal(data, 0xaabbccdd);
	assert_int_equal(rest.offset, 0xc000);
	assert_int_equal(rest.width, 4);
	/* Half of it is the other's: two bytes each. */
	assert_int_equal(bus_pio(&bus, 0x100, 4, false, &data), 1);
	assert_int_equal(data, 0xdddd1111);
	assert_int_equal(rest.offset, 0x103);
	assert_int_equal(rest.width, 1);
	assert_int_equal(rest.reads, 3);
	/* From below into a range. */
	data = 0x44332211;
	assert_int_equal(bus_pio(&bus, 0xff, 2, true, &data), 2);
	assert_int_equal(rest.value, 0x11);
	assert_int_equal(one.value, 0x22);
	/* Round the end of the space. */
	assert_int_equal(bus_pio(&bus, 0xffff, 2, false, &data), 2);
	assert_int_equal(rest.offset, 0);
	assert_int_equal(rest.reads, 5);
	/* The other space has none. */
	assert_null(bus.mmio_rest.io);
}

static void test_fallback_addresses(void **state)
{
	struct device one = { .answer = 0x11 }, rest = { .answer = 0x1122334455667788 };
	struct bus_cache cache = { 0 };
	uint64_t data = 0;

	(void)state;
	assert_int_equal(bus_add_mmio(&bus, 0xfee00000, 0x1000, &io, &one, a, err, sizeof(err)), 0);
	assert_int_equal(bus_add_fallback(&bus, GAMUT_SPACE_MMIO, &io, &rest, b, err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_mmio(&bus, &cache, 0xe0000010, 8, false, &data), 2);
	assert_int_equal(data, 0x1122334455667788);
	assert_int_equal(rest.offset, 0xe0000010);
	assert_int_equal(rest.width, 8);
	assert_int_equal(bus_mmio(&bus, &cache, 0xfee00ffc, 8, false, &data), 1);
	assert_int_equal(data, 0x8888888811111111);
	assert_int_equal(bus_mmio(&bus, &cache, 0xfedffffe, 4, false, &data), 2);
	assert_int_equal(data, 0x11118888);
	assert_int_equal(rest.offset, 0xfedfffff);
	/* It is not what was hit last: ranges come first. */
	assert_int_equal(bus_mmio(&bus, &cache, 0xfee00000, 4, false, &data), 1);
	assert_int_equal(bus_mmio(&bus, &cache, 0xfedffffc, 4, false, &data), 2);
	assert_int_equal(rest.width, 4);
	assert_int_equal(bus_mmio(&bus, &cache, 0, 4, false, &data), 2);
	assert_int_equal(bus_mmio(&bus, &cache, UINT64_MAX - 1, 4, false, &data), 2);
}

static void test_fallback_once(void **state)
{
	static const struct gamut_io_ops half = { .size = sizeof(half), .read = dev_read };
	struct device d;

	(void)state;
	assert_int_equal(bus_add_fallback(&bus, 2, &io, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_fallback(&bus, GAMUT_SPACE_PIO, &half, &d, a, err, sizeof(err)), -EINVAL);
	assert_int_equal(bus_add_fallback(&bus, GAMUT_SPACE_PIO, &io, &d, a, err, sizeof(err)), 0);
	assert_int_equal(bus_add_fallback(&bus, GAMUT_SPACE_PIO, &io, &d, b, err, sizeof(err)), -EBUSY);
	assert_non_null(strstr(err, "uart.0"));
	assert_non_null(strstr(err, "pit.0"));
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_add_fallback(&bus, GAMUT_SPACE_MMIO, &io, &d, b, err, sizeof(err)), -EPERM);
}

/* A device that moves up to five elements at once: an index that counts up, and a sum. */
static uint32_t five_read(void *opaque, uint64_t offset, uint32_t width, void *buf, uint32_t count)
{
	struct device *d = opaque;

	d->offset = offset;
	d->width = width;
	count = count < 5 ? count : 5;
	for (uint32_t i = 0; i < count; i++) {
		d->answer++;
		memcpy((uint8_t *)buf + i * width, &d->answer, width);
	}
	d->reads++;
	return count;
}

static uint32_t five_write(void *opaque, uint64_t offset, uint32_t width, const void *buf, uint32_t count)
{
	struct device *d = opaque;

	d->offset = offset;
	count = count < 5 ? count : 5;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t v = 0;

		memcpy(&v, (const uint8_t *)buf + i * width, width);
		d->value += v;
	}
	d->writes++;
	return count;
}

static void test_many(void **state)
{
	static const struct gamut_io_ops five = { sizeof(five), dev_read, dev_write, five_read, five_write };
	struct device d = { 0 };
	uint16_t buf[12];

	(void)state;
	assert_int_equal(bus_add_pio(&bus, 0x1f0, 8, &five, &d, a, err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_pio_many(&bus, 0x1f2, 2, false, buf, 12), 1);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(buf[i], i + 1);
	assert_int_equal(d.reads, 3);
	assert_int_equal(d.offset, 2);
	assert_int_equal(d.width, 2);
	assert_int_equal(bus_pio_many(&bus, 0x1f2, 2, true, buf, 12), 1);
	assert_int_equal(d.value, 78);
	assert_int_equal(d.writes, 3);
}

/* A struct of before there were such functions, one without them, and one that lies. */
static uint32_t lie(void *opaque, uint64_t offset, uint32_t width, void *buf, uint32_t count)
{
	struct device *d = opaque;

	(void)offset;
	memset(buf, 0x5a, (uint64_t)count * width);
	return d->value ? UINT32_MAX : 0;
}

static void test_many_by_one(void **state)
{
	static const struct gamut_io_ops old = { .size = offsetof(struct gamut_io_ops, read_many), .read = dev_read,
		                                 .write = dev_write, .read_many = five_read };
	static const struct gamut_io_ops liar = { sizeof(liar), dev_read, dev_write, lie, NULL };
	struct device d = { .answer = 0x1234 }, two = { .answer = 7 };
	uint16_t buf[4];
	uint32_t wide[2];

	(void)state;
	assert_int_equal(bus_add_pio(&bus, 0x10, 2, &old, &d, a, err, sizeof(err)), 0);
	assert_int_equal(bus_add_pio(&bus, 0x12, 2, &liar, &two, b, err, sizeof(err)), 0);
	assert_int_equal(bus_seal(&bus), 0);
	assert_int_equal(bus_pio_many(&bus, 0x10, 2, false, buf, 4), 1);
	assert_int_equal(buf[0], 0x1234);
	assert_int_equal(buf[3], 0x1234);
	assert_int_equal(d.reads, 4);
	assert_int_equal(bus_pio_many(&bus, 0x10, 2, true, buf, 4), 1);
	assert_int_equal(d.writes, 4);
	/* Half one, half the other. */
	assert_int_equal(bus_pio_many(&bus, 0x11, 2, false, buf, 2), 1);
	assert_int_equal(buf[1], 0x0734);
	/* None done is one by itself; more than there were is all. */
	assert_int_equal(bus_pio_many(&bus, 0x12, 2, false, buf, 4), 2);
	assert_int_equal(buf[3], 7);
	two.value = 1;
	assert_int_equal(bus_pio_many(&bus, 0x12, 2, false, buf, 4), 2);
	assert_int_equal(buf[3], 0x5a5a);
	assert_int_equal(bus_pio_many(&bus, 0x80, 4, false, wide, 2), BUS_UNCLAIMED);
	assert_int_equal(wide[1], UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_port_offsets),  TEST(test_port_unclaimed),        TEST(test_port_across),
		TEST(test_mmio),          TEST(test_overlap_names_both),    TEST(test_ranges_that_cannot_be),
		TEST(test_msr),           TEST(test_hypercall),             TEST(test_fallback_ports),
		TEST(test_fallback_addresses), TEST(test_fallback_once),  TEST(test_many),
		TEST(test_many_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
