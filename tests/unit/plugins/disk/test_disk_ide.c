/* SPDX-License-Identifier: MIT */
/* The built plugin disk-ide.so as the core loads it: two disks on one controller, down to files on the host.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dm/ide/seat.h"
#include "fake/host-fake.h"
#include "fake/pci-fake.h"

#define RAM  (4ull << 20)
#define DISK (1u << 20)

struct fixture {
	struct host_fake *f;
	void *so;
	const struct gamut_descriptor *d;
	char path[64];
	struct pci_fake pci;
};

/* ---- the fixture ---- */

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	const struct gamut_plugin *plugin;
	char sector[512];
	int fd;

	t->f = t->pci.host = host_fake_create(RAM, 1);
	t->so = dlopen(TEST_BUILD_DIR "/plugins/disk-ide.so", RTLD_NOW | RTLD_LOCAL);
	if (!t->so)
		fail_msg("%s", dlerror());
	plugin = dlsym(t->so, GAMUT_PLUGIN_SYMBOL);
	assert_string_equal(plugin->name, "disk-ide");
	t->d = plugin->descriptors[0];
	snprintf(t->path, sizeof(t->path), "/tmp/gamut-disk-XXXXXX");
	fd = mkstemp(t->path);
	assert_int_equal(ftruncate(fd, DISK), 0);
	memset(sector, 'x', sizeof(sector));
	assert_int_equal(pwrite(fd, sector, 512, 0), 512);
	close(fd);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(t->pci.functions, 0);
	assert_int_equal(host_fake_destroy(t->f), 0);
	dlclose(t->so);
	unlink(t->path);
	free(t);
	return 0;
}

static void give_all(struct fixture *t)
{
	host_fake_give(t->f, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, &pci_fake_ops, &t->pci);
	host_fake_give(t->f, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, &pci_fake_lines, &t->pci);
}

static int create(struct fixture *t, const char *dev, const char *path, bool cdrom, void **self)
{
	t->f->n_options = 0;
	if (dev)
		host_fake_option(t->f, "dev", 0, dev);
	if (path)
		host_fake_option(t->f, "path", 0, path);
	host_fake_option(t->f, "cdrom", cdrom, NULL);
	host_fake_option(t->f, "direct", 0, "off");
	return t->d->ops->create(t->f->host, t->f->inst, self);
}

/* As the core, which finds every instance that gives something. */
static void sit(struct fixture *t, void *self)
{
	host_fake_give(t->f, IDE_SEATS, IDE_SEATS_REVISION,
	               t->d->ops->interface(self, IDE_SEATS, IDE_SEATS_REVISION), self);
}

static uint32_t port_in(struct fixture *t, uint32_t port, uint32_t width)
{
	for (uint32_t i = 0; i < t->f->n_pio; i++) {
		const struct host_fake_range *p = &t->f->pio[i];

		if (port - p->base < p->len)
			return (uint32_t)((const struct gamut_io_ops *)p->ops)
			        ->read(p->opaque, port - p->base, width);
	}
	fail_msg("nothing at port %#x", port);
	return 0;
}

static void port_out(struct fixture *t, uint32_t port, uint32_t value)
{
	for (uint32_t i = 0; i < t->f->n_pio; i++) {
		const struct host_fake_range *p = &t->f->pio[i];

		if (port - p->base < p->len)
			((const struct gamut_io_ops *)p->ops)->write(p->opaque, port - p->base, 1, value);
	}
}

/* ---- tests ---- */

static void test_bad_options(void **state)
{
	struct fixture *t = *state;
	void *self;

	assert_int_equal(create(t, NULL, t->path, false, &self), -EINVAL);
	assert_int_equal(create(t, "xvda", t->path, false, &self), -EINVAL);
	assert_int_equal(create(t, "hde", t->path, false, &self), -EINVAL);
	assert_int_equal(create(t, "hda1", t->path, false, &self), -EINVAL);
	assert_int_equal(create(t, "hda", NULL, false, &self), -EINVAL);
	assert_int_equal(create(t, "hda", "/nowhere/at/all", false, &self), -ENOENT);
	assert_int_equal(t->f->fails, 6);
	/* Only the CD-ROM drive has nothing to write. */
	assert_int_equal(chmod(t->path, 0444), 0);
	assert_int_equal(create(t, "hda", t->path, false, &self), -EACCES);
	assert_int_equal(create(t, "hda", t->path, true, &self), 0);
	t->d->ops->destroy(self);
}

static void test_needs_its_peers(void **state)
{
	struct fixture *t = *state;
	void *self;

	assert_int_equal(create(t, "hda", t->path, false, &self), 0);
	sit(t, self);
	assert_int_equal(t->d->ops->start(self), -ENODEV);
	t->d->ops->destroy(self);
}

static void test_two_on_one_controller(void **state)
{
	struct fixture *t = *state;
	const struct gamut_ops *ops = t->d->ops;
	void *disk, *cd;

	give_all(t);
	pci_fake_config(&t->pci, 4, 2, 7); /* as firmware leaves it */
	assert_int_equal(create(t, "hda", t->path, false, &disk), 0);
	assert_int_equal(create(t, "hdc", NULL, true, &cd), 0);
	sit(t, disk);
	sit(t, cd);
	assert_null(ops->interface(disk, IDE_SEATS, IDE_SEATS_REVISION + 1));
	assert_int_equal(ops->start(disk), 0);
	assert_int_equal(ops->start(cd), 0);
	assert_int_equal(t->pci.functions, 1);
	/* READ SECTORS, the first */
	port_out(t, 0x1f6, 0xe0);
	port_out(t, 0x1f2, 1);
	port_out(t, 0x1f3, 0);
	port_out(t, 0x1f7, 0x20);
	for (int i = 0; i < 1000 && !t->pci.line[14]; i++)
		host_fake_run(t->f);
	assert_int_equal(port_in(t, 0x1f0, 2), 'x' << 8 | 'x');
	/* The other one's signature */
	assert_int_equal(port_in(t, 0x174, 1), 0x14);
	assert_int_equal(ops->pause(cd), 0);
	assert_int_equal(ops->pause(disk), 0);
	assert_int_equal(ops->reset(disk), 0);
	assert_int_equal(ops->reset(cd), 0);
	assert_false(t->pci.line[14]);
	assert_int_equal(ops->resume(disk), 0);
	assert_int_equal(ops->resume(cd), 0);
	assert_int_equal(port_in(t, 0x1f7, 1), 0x50);
	ops->stop(cd);
	ops->stop(disk);
	ops->destroy(cd);
	ops->destroy(disk);
}

static void test_same_place(void **state)
{
	struct fixture *t = *state;
	const struct gamut_ops *ops = t->d->ops;
	void *a, *b;

	give_all(t);
	assert_int_equal(create(t, "hdb", NULL, true, &a), 0);
	assert_int_equal(create(t, "hdb", NULL, true, &b), 0);
	sit(t, a);
	sit(t, b);
	assert_int_equal(ops->start(a), 0);
	assert_int_equal(ops->start(b), -EBUSY);
	ops->stop(a);
	ops->destroy(b);
	ops->destroy(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_bad_options, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_needs_its_peers, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_two_on_one_controller, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_same_place, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
