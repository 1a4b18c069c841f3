/* SPDX-License-Identifier: MIT */
/* The Xen platform device of a PC, as a guest's drivers find it. */
#include "world.h"

#include "dm/xen/platform-device.h"
#include "fake/pci-fake.h"

static struct world *w;
static struct pci_fake pci;
static struct xen_device x;
static uint32_t told[3], calls[3];

static void unplugged(void *opaque, uint32_t kinds)
{
	uint32_t i = (uint32_t)(uintptr_t)opaque;

	told[i] = kinds;
	calls[i]++;
}

static int setup(void **state)
{
	world_setup(state);
	w = *state;
	pci = (struct pci_fake){ .host = w->f };
	memset(told, 0, sizeof(told));
	memset(calls, 0, sizeof(calls));
	xen_device_init(&x, &w->p);
	return xen_device_register(&x, &pci_fake_ops, &pci);
}

static int teardown(void **state)
{
	xen_device_finish(&x);
	assert_int_equal(pci.functions, 0);
	return world_teardown(state);
}

static uint64_t in(uint64_t port, uint32_t width)
{
	return host_fake_in(w->f, GAMUT_SPACE_PIO, port, width);
}

static void out(uint64_t port, uint32_t width, uint64_t value)
{
	host_fake_out(w->f, GAMUT_SPACE_PIO, port, width, value);
}

static void function(void **state)
{
	(void)state;
	assert_int_equal(pci.desc.devfn, 2 << 3);
	assert_int_equal(pci.desc.vendor, 0x5853);
	assert_int_equal(pci.desc.device, 1);
	assert_int_equal(pci.desc.subsystem_vendor, 0x5853);
	assert_int_equal(pci.desc.class_revision >> 8, 0xff8000);
	assert_int_equal(pci.desc.pin, 1);
	assert_int_equal(pci.desc.bar[0].kind, GAMUT_PCI_BAR_IO);
	assert_int_equal(pci.desc.bar[0].size, 0x100);
	assert_int_equal(pci.desc.bar[1].size, 16 << 20);
	assert_int_equal(pci_fake_read(&pci, 1, 0x123, 4), 0);
	pci_fake_write(&pci, 1, 0xfffffc, 4, 1);
}

/* Linux's check_platform_magic, step by step. */
static void protocol(void **state)
{
	(void)state;
	assert_int_equal(in(0x10, 2), 0x49d2);
	assert_int_equal(in(0x12, 1), 1);
	out(0x12, 2, 3);
	out(0x10, 4, 0xff);
	assert_int_equal(in(0x10, 2), 0x49d2);
	assert_int_equal(x.product, 3);
	assert_int_equal(x.build, 0xff);
	out(0x10, 2, 3);
	assert_int_equal(calls[0], 0);
	assert_int_equal(host_fake_counter(w->f, "disks unplugged"), 0); /* there were none */
}

static void unplugging(void **state)
{
	(void)state;
	assert_int_equal(xen_device_on_unplug(&x, GAMUT_XEN_UNPLUG_DISKS | GAMUT_XEN_UNPLUG_AUX_DISKS, unplugged, (void *)0), 0);
	assert_int_equal(xen_device_on_unplug(&x, GAMUT_XEN_UNPLUG_NICS, unplugged, (void *)1), 0);
	assert_int_equal(xen_device_on_unplug(&x, GAMUT_XEN_UNPLUG_DISKS, unplugged, (void *)2), 0);
	out(0x10, 2, GAMUT_XEN_UNPLUG_AUX_DISKS);
	assert_int_equal(calls[0], 1);
	assert_int_equal(told[0], GAMUT_XEN_UNPLUG_AUX_DISKS);
	assert_int_equal(calls[1] + calls[2], 0);
	out(0x10, 2, GAMUT_XEN_UNPLUG_DISKS | GAMUT_XEN_UNPLUG_NICS);
	assert_int_equal(calls[0], 2);
	assert_int_equal(calls[1], 1);
	assert_int_equal(told[2], GAMUT_XEN_UNPLUG_DISKS | GAMUT_XEN_UNPLUG_NICS);
	out(0x10, 2, 0xfff8); /* nothing that there is */
	assert_int_equal(calls[0] + calls[1] + calls[2], 4);
	assert_int_equal(host_fake_counter(w->f, "disks unplugged"), 3);
	assert_int_equal(host_fake_counter(w->f, "cards unplugged"), 1);
}

static void listeners(void **state)
{
	(void)state;
	assert_int_equal(xen_device_on_unplug(&x, 0, unplugged, NULL), -EINVAL);
	assert_int_equal(xen_device_on_unplug(&x, 8, unplugged, NULL), -EINVAL);
	assert_int_equal(xen_device_on_unplug(&x, 1, NULL, NULL), -EINVAL);
	for (int i = 0; i < 40; i++)
		assert_int_equal(xen_device_on_unplug(&x, 1, unplugged, (void *)0), 0);
	out(0x10, 2, 1);
	assert_int_equal(calls[0], 40);
}

static void flags_and_log(void **state)
{
	(void)state;
	assert_int_equal(in(0x10, 1), 0);
	out(0x10, 1, 0xff);
	assert_int_equal(in(0x10, 1), 1);
	assert_int_equal(pci_fake_read(&pci, 0, 0, 1), 1);
	pci_fake_write(&pci, 0, 0, 1, 0);
	assert_int_equal(in(0x10, 1), 0);
	for (const char *c = "driver\n"; *c; c++)
		out(0x12, 1, (uint8_t)*c);
	assert_string_equal(w->f->last_log, "guest: driver");
	for (const char *c = "by BAR\n"; *c; c++)
		pci_fake_write(&pci, 0, 8, 1, (uint8_t)*c);
	assert_string_equal(w->f->last_log, "guest: by BAR");
	out(0x10, 1, 1);
	xen_device_reset(&x);
	assert_int_equal(in(0x10, 1), 0);
}

/* Every width everywhere: nothing is unplugged but by a word at 0x10, and what is no register reads as ones. */
static void anything(void **state)
{
	(void)state;
	xen_device_on_unplug(&x, 7, unplugged, (void *)0);
	for (uint64_t at = 0; at < 4; at++)
		for (uint32_t width = 1; at + width <= 4; width++)
			if (at || width != 2)
				out(0x10 + at, width, 0xffffffff);
	assert_int_equal(calls[0], 0);
	assert_int_equal(in(0x10, 4), 0xffffffff);
	assert_int_equal(in(0x11, 1), 0xff);
	assert_int_equal(in(0x12, 2), 0xffff);
	assert_int_equal(in(0x13, 1), 0xff);
	for (uint64_t at = 0; at < 0x100; at++) {
		pci_fake_write(&pci, 0, at, 1, at);
		pci_fake_read(&pci, 0, at, 1);
	}
	assert_int_equal(calls[0], 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(function), T(protocol), T(unplugging), T(listeners), T(flags_and_log), T(anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
