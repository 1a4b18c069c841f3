/* SPDX-License-Identifier: MIT */
/*
 * The built plugins disk-xen.so and disk-ide.so on a PC with Xen's parts: a PV
 * disk and its IDE twin on one file, unplugged and back; disks of both plugins
 * at one controller.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "dm/ide/seat.h"
#include "dm/xen/xenbus.h"
#include "fake/pci-fake.h"
#include "fake/plugin-load.h"
#include "fake/xen-fake.h"

#define RAM   (4ull << 20)
#define DISK  (1u << 20)
#define DISKS 4

struct disk {
	const struct gamut_ops *ops;
	void *self;
	bool started;
};

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct pci_fake pci;
	struct xenbus *bus;
	void *so[2];
	const struct gamut_descriptor *xen, *ide;
	char path[DISKS][64];
	struct disk disks[DISKS];
	uint32_t n;
	struct {
		uint32_t kinds;
		gamut_xen_unplug_fn fn;
		void *opaque;
	} unplug[DISKS];
	uint32_t n_unplug;
};

static int add_unplug(void *self, uint32_t kinds, gamut_xen_unplug_fn fn, void *opaque)
{
	struct fixture *t = self;

	t->unplug[t->n_unplug].kinds = kinds;
	t->unplug[t->n_unplug].fn = fn;
	t->unplug[t->n_unplug++].opaque = opaque;
	return 0;
}

static const struct gamut_xen_unplug_ops unplug_ops = {.size = sizeof(unplug_ops), .add = add_unplug};

/* As the ports' owner does. */
static void unplug(struct fixture *t, uint32_t kinds)
{
	for (uint32_t i = 0; i < t->n_unplug; i++)
		if (t->unplug[i].kinds & kinds)
			t->unplug[i].fn(t->unplug[i].opaque, kinds);
}

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct xenbus_config c = {.special_gfn = (RAM >> 12) + 16, .special_count = 2};
	char sector[512];

	t->f = t->pci.host = host_fake_create(RAM, 1);
	xen_fake_init(&t->x, t->f);
	c.host = t->f->host;
	c.inst = t->f->inst;
	t->bus = xenbus_create(&c);
	assert_int_equal(xenbus_start(t->bus, &xen_fake_evtchn, &t->x), 0);
	t->xen = plugin_load(TEST_BUILD_DIR, "disk-xen", &t->so[0]);
	t->ide = plugin_load(TEST_BUILD_DIR, "disk-ide", &t->so[1]);
	assert_true(t->xen && t->ide);
	memset(sector, 'x', sizeof(sector));
	for (uint32_t i = 0; i < DISKS; i++) {
		int fd;

		snprintf(t->path[i], sizeof(t->path[i]), "/tmp/gamut-twin-XXXXXX");
		fd = mkstemp(t->path[i]);
		assert_int_equal(ftruncate(fd, DISK), 0);
		assert_int_equal(pwrite(fd, sector, sizeof(sector), 0), sizeof(sector));
		close(fd);
	}
	host_fake_give(t->f, GAMUT_XENBUS, GAMUT_XEN_REVISION, &xenbus_ops, t->bus);
	host_fake_give(t->f, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, &xen_fake_evtchn, &t->x);
	host_fake_give(t->f, GAMUT_GRANTS, GAMUT_XEN_REVISION, &xen_fake_grants, &t->x);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	for (uint32_t i = t->n; i--;)
		if (t->disks[i].started)
			t->disks[i].ops->stop(t->disks[i].self);
	for (uint32_t i = t->n; i--;)
		t->disks[i].ops->destroy(t->disks[i].self);
	assert_int_equal(t->pci.functions, 0);
	xenbus_destroy(t->bus);
	assert_int_equal(host_fake_destroy(t->f), 0);
	dlclose(t->so[0]);
	dlclose(t->so[1]);
	for (uint32_t i = 0; i < DISKS; i++)
		unlink(t->path[i]);
	free(t);
	return 0;
}

static void a_pc(struct fixture *t)
{
	host_fake_give(t->f, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, &pci_fake_ops, &t->pci);
	host_fake_give(t->f, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, &pci_fake_lines, &t->pci);
	pci_fake_config(&t->pci, 4, 2, 7);
}

static void a_pc_with_xen(struct fixture *t)
{
	a_pc(t);
	host_fake_give(t->f, GAMUT_XEN_UNPLUG, GAMUT_XEN_REVISION, &unplug_ops, t);
}

static int create(struct fixture *t, const struct gamut_descriptor *d, const char *dev, const char *emulated,
                  bool cdrom)
{
	struct disk *disk = &t->disks[t->n];
	const void *seat;
	int err;

	t->f->n_options = 0;
	host_fake_option(t->f, "dev", 0, dev);
	host_fake_option(t->f, "path", 0, t->path[t->n]);
	host_fake_option(t->f, "cdrom", cdrom, NULL);
	host_fake_option(t->f, "direct", 0, "off");
	if (emulated)
		host_fake_option(t->f, "emulated", 0, emulated);
	disk->ops = d->ops;
	err = d->ops->create(t->f->host, t->f->inst, &disk->self);
	if (err)
		return err;
	seat = d->ops->interface(disk->self, IDE_SEATS, IDE_SEATS_REVISION);
	if (seat)
		host_fake_give(t->f, IDE_SEATS, IDE_SEATS_REVISION, seat, disk->self);
	t->n++;
	return 0;
}

static int start(struct fixture *t, uint32_t i)
{
	int err = t->disks[i].ops->start(t->disks[i].self);

	t->disks[i].started = !err;
	return err;
}

static uint32_t in(struct fixture *t, uint32_t port, uint32_t width)
{
	return (uint32_t)host_fake_in(t->f, GAMUT_SPACE_PIO, port, width);
}

static void out(struct fixture *t, uint32_t port, uint32_t value)
{
	host_fake_out(t->f, GAMUT_SPACE_PIO, port, 1, value);
}

/* The first word of a sector, by READ SECTORS; -1 when there is no drive. */
static int ide_read(struct fixture *t, uint32_t slot, uint8_t sector)
{
	uint32_t base = slot & 2 ? 0x170 : 0x1f0;

	out(t, base + 6, 0xe0 | (slot & 1) << 4);
	out(t, base + 2, 1);
	out(t, base + 3, sector);
	out(t, base + 4, 0);
	out(t, base + 5, 0);
	out(t, base + 7, 0x20);
	for (int i = 0; i < 5000 && in(t, base + 0x206, 1) & 0x80; i++) {
		host_fake_run(t->f);
		poll(NULL, 0, 1);
	}
	return in(t, base + 7, 1) == 0x58 ? (int)in(t, base, 2) : -1;
}

static void check_store(struct fixture *t, const char *path, const char *want)
{
	char *value = xenbus_ops.read(t->bus, path, NULL);

	assert_non_null(value);
	assert_string_equal(value, want);
	free(value);
}

static const char *type(struct fixture *t, const char *number)
{
	static char value[16];
	char path[128], *text;

	snprintf(path, sizeof(path), "/local/domain/1/device/vbd/%s/device-type", number);
	text = xenbus_ops.read(t->bus, path, NULL);
	snprintf(value, sizeof(value), "%s", text ? text : "nothing");
	free(text);
	return value;
}

/* ---- tests ---- */

static void test_no_pc(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(create(t, t->xen, "xvda", NULL, false), 0);
	assert_int_equal(start(t, 0), 0);
	assert_int_equal(t->f->n_pio, 0);
	assert_int_equal(create(t, t->xen, "xvdb", "true", false), 0);
	assert_int_equal(start(t, 1), -ENODEV);
}

/* What could never be unplugged is not there unasked. */
static void test_pc_without_unplug(void **state)
{
	struct fixture *t = *state;

	a_pc(t);
	assert_int_equal(create(t, t->xen, "xvda", NULL, false), 0);
	assert_int_equal(start(t, 0), 0);
	assert_int_equal(t->pci.functions, 0);
}

static void test_names(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(create(t, t->xen, "xvde", "true", false), -EINVAL);
	assert_int_equal(create(t, t->xen, "sda", "true", false), -EINVAL);
	assert_int_equal(create(t, t->xen, "xvda1", "true", false), -EINVAL);
	assert_int_equal(create(t, t->xen, "xvdaa", "true", false), -EINVAL);
	a_pc_with_xen(t);
	assert_int_equal(create(t, t->xen, "xvde", "auto", false), 0);
	assert_int_equal(start(t, 0), 0);
	assert_int_equal(create(t, t->xen, "xvdd", "false", false), 0);
	assert_int_equal(start(t, 1), 0);
	assert_int_equal(t->pci.functions, 0);
}

static void test_unplug_and_reset(void **state)
{
	struct fixture *t = *state;
	const struct gamut_ops *ops = t->xen->ops;
	void *self;

	a_pc_with_xen(t);
	assert_int_equal(create(t, t->xen, "xvda", NULL, false), 0);
	assert_int_equal(create(t, t->xen, "xvdc", NULL, false), 0);
	assert_int_equal(start(t, 0), 0);
	assert_int_equal(start(t, 1), 0);
	self = t->disks[0].self;
	assert_int_equal(t->pci.functions, 1);
	assert_int_equal(t->unplug[0].kinds, GAMUT_XEN_UNPLUG_DISKS);
	assert_int_equal(t->unplug[1].kinds, GAMUT_XEN_UNPLUG_DISKS | GAMUT_XEN_UNPLUG_AUX_DISKS);
	assert_string_equal(type(t, "51712"), "disk");
	assert_int_equal(ide_read(t, 0, 0), 'x' << 8 | 'x');
	assert_int_equal(ide_read(t, 2, 1), 0);
	unplug(t, GAMUT_XEN_UNPLUG_NICS);
	unplug(t, GAMUT_XEN_UNPLUG_AUX_DISKS);
	assert_int_equal(ide_read(t, 2, 0), -1);
	assert_int_equal(in(t, 0x177, 1), 0x7f);
	assert_int_equal(ide_read(t, 0, 0), 'x' << 8 | 'x');
	unplug(t, GAMUT_XEN_UNPLUG_DISKS);
	assert_int_equal(ide_read(t, 0, 0), -1);
	assert_int_equal(in(t, 0x1f7, 1), 0x7f);
	/* The vbd is still there. */
	check_store(t, "/local/domain/0/backend/vbd/1/51712/state", "2");
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(ops->pause(t->disks[i].self), 0);
	assert_int_equal(ops->resume(self), 0);
	assert_int_equal(ide_read(t, 0, 0), -1);
	assert_int_equal(ops->pause(self), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(ops->reset(t->disks[i].self), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(ops->resume(t->disks[i].self), 0);
	assert_int_equal(ide_read(t, 0, 0), 'x' << 8 | 'x');
	assert_int_equal(ide_read(t, 2, 0), 'x' << 8 | 'x');
}

static void test_cdrom(void **state)
{
	struct fixture *t = *state;

	a_pc_with_xen(t);
	assert_int_equal(create(t, t->xen, "xvdc", NULL, true), 0);
	assert_int_equal(start(t, 0), 0);
	assert_int_equal(in(t, 0x174, 1), 0x14);
	assert_string_equal(type(t, "51744"), "cdrom");
	/* Nothing unplugs it. */
	assert_int_equal(t->n_unplug, 0);
}

/* A PVH guest has no drive for it, and looks at no PV CD-ROM: it is a disk then. */
static void test_cdrom_without_pc(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(create(t, t->xen, "xvdc", NULL, true), 0);
	assert_int_equal(start(t, 0), 0);
	assert_string_equal(type(t, "51744"), "disk");
	check_store(t, "/local/domain/0/backend/vbd/1/51744/mode", "r");
}

static void test_cdrom_of_a_pv_guest(void **state)
{
	static const struct gamut_pv_monitor_ops monitor = {.size = sizeof(monitor)};
	struct fixture *t = *state;

	host_fake_give(t->f, GAMUT_PV_MONITOR, GAMUT_XEN_REVISION, &monitor, NULL);
	assert_int_equal(create(t, t->xen, "xvdc", NULL, true), 0);
	assert_int_equal(start(t, 0), 0);
	assert_string_equal(type(t, "51744"), "cdrom");
}

/* The Xen disk comes first and has the controller; an IDE disk has the place that it would like. */
static void test_both_plugins(void **state)
{
	struct fixture *t = *state;

	a_pc_with_xen(t);
	assert_int_equal(create(t, t->xen, "xvda", NULL, false), 0);
	assert_int_equal(create(t, t->xen, "xvdb", NULL, false), 0);
	assert_int_equal(create(t, t->ide, "hda", NULL, true), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(start(t, i), 0);
	assert_int_equal(t->pci.functions, 1);
	assert_int_equal(t->n_unplug, 1);
	unplug(t, GAMUT_XEN_UNPLUG_DISKS);
	/* hda is a CD-ROM drive, hdb is gone. */
	out(t, 0x1f6, 0xa0);
	assert_int_equal(in(t, 0x1f4, 1), 0x14);
	assert_int_equal(ide_read(t, 1, 0), -1);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(t->disks[i].ops->pause(t->disks[i].self), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(t->disks[i].ops->reset(t->disks[i].self), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(t->disks[i].ops->resume(t->disks[i].self), 0);
	assert_int_equal(ide_read(t, 1, 0), 'x' << 8 | 'x');
}

static void test_one_place(void **state)
{
	struct fixture *t = *state;

	a_pc_with_xen(t);
	assert_int_equal(create(t, t->ide, "hda", NULL, false), 0);
	assert_int_equal(create(t, t->xen, "xvda", "true", true), 0);
	assert_int_equal(create(t, t->xen, "hda", "auto", true), 0);
	assert_int_equal(start(t, 0), 0);
	assert_int_equal(start(t, 1), -EBUSY);
	assert_int_equal(start(t, 2), 0);
	assert_string_equal(type(t, "768"), "disk");
	assert_int_equal(ide_read(t, 0, 0), 'x' << 8 | 'x');
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(no_pc),      T(pc_without_unplug),  T(names),
	        T(unplug_and_reset), T(cdrom),        T(cdrom_without_pc),
	        T(cdrom_of_a_pv_guest), T(both_plugins), T(one_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
