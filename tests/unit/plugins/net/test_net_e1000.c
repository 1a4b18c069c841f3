/* SPDX-License-Identifier: MIT */
/* The built plugin net-e1000.so as the core loads it: options, boot ROM, and a frame to the network and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/net/e1000-reg.h"
#include "fake/pci-fake.h"
#include "gamut/plugin.h"

struct fixture {
	struct host_fake *f;
	struct pci_fake pci;
	void *so;
	const struct gamut_ops *ops;
	void *self;
	char path[64];
};

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	const struct gamut_plugin *plugin;
	char path[512];

	t->f = host_fake_create(1 << 20, 1);
	t->pci = (struct pci_fake){.host = t->f, .master = true};
	host_fake_give(t->f, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, &pci_fake_ops, &t->pci);
	snprintf(path, sizeof(path), "%s/plugins/net-e1000.so", TEST_BUILD_DIR);
	t->so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!t->so)
		fail_msg("%s", dlerror());
	plugin = dlsym(t->so, GAMUT_PLUGIN_SYMBOL);
	assert_non_null(plugin);
	assert_string_equal(plugin->name, "net-e1000");
	assert_int_equal(plugin->descriptors[0]->axis, GAMUT_AXIS_NET);
	assert_int_equal(plugin->descriptors[0]->colour, GAMUT_COLOUR_V);
	t->ops = plugin->descriptors[0]->ops;
	snprintf(t->path, sizeof(t->path), "/tmp/gamut-rom-XXXXXX");
	close(mkstemp(t->path));
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	if (t->self) {
		t->ops->stop(t->self);
		t->ops->destroy(t->self);
	}
	assert_int_equal(t->pci.functions, 0);
	assert_int_equal(host_fake_destroy(t->f), 0);
	unlink(t->path);
	dlclose(t->so);
	free(t);
	return 0;
}

static void write_rom(struct fixture *t, const char *head, uint32_t size)
{
	uint8_t rom[1024] = {0};
	int fd = open(t->path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	memcpy(rom, head, 2);
	assert_int_equal(write(fd, rom, size), size);
	close(fd);
}

static int create(struct fixture *t)
{
	return t->ops->create(t->f->host, t->f->inst, &t->self);
}

static uint32_t get(struct fixture *t, uint32_t offset)
{
	return (uint32_t)pci_fake_read(&t->pci, 0, offset, 4);
}

static void set(struct fixture *t, uint32_t offset, uint32_t value)
{
	pci_fake_write(&t->pci, 0, offset, 4, value);
}

static void options_reach_the_card(void **state)
{
	struct fixture *t = *state;

	write_rom(t, "\x55\xaa", 1024);
	host_fake_option(t->f, "mac", 0, "52:54:00:12:34:56");
	host_fake_option(t->f, "rom", 0, t->path);
	assert_int_equal(create(t), 0);
	assert_int_equal(t->ops->start(t->self), 0);
	assert_int_equal(t->pci.desc.rom_size, 1024);
	assert_memory_equal(t->pci.desc.rom, "\x55\xaa", 2);
	assert_int_equal(get(t, E1000_RAL), 0x12005452);
	assert_int_equal(get(t, E1000_RAH), RAH_AV | 0x5634);
}

static void no_rom(void **state)
{
	struct fixture *t = *state;

	host_fake_option(t->f, "rom", 0, "");
	assert_int_equal(create(t), 0);
	assert_int_equal(t->ops->start(t->self), 0);
	assert_null(t->pci.desc.rom);
	assert_int_equal(get(t, E1000_RAL) & 0xffffff, 0x3e1600);
}

static void options_that_are_refused(void **state)
{
	struct fixture *t = *state;

	host_fake_option(t->f, "rom", 0, "/nowhere/rom");
	assert_true(create(t) < 0);
	assert_non_null(strstr(t->f->last_fail, "rom: /nowhere/rom: "));
	t->f->n_options = 0;
	write_rom(t, "\x55\xaa", 100);
	host_fake_option(t->f, "rom", 0, t->path);
	assert_true(create(t) < 0);
	assert_non_null(strstr(t->f->last_fail, "is no expansion ROM"));
	write_rom(t, "MZ", 1024);
	assert_true(create(t) < 0);
	assert_non_null(strstr(t->f->last_fail, "does not begin with"));
	t->f->n_options = 0;
	host_fake_option(t->f, "mac", 0, "x");
	assert_true(create(t) < 0);
	t->f->n_options = 0;
	host_fake_option(t->f, "network", 0, "x");
	assert_true(create(t) < 0);
	assert_null(t->self);
	/* A platform without PCI. */
	t->f->n_options = t->f->n_peers = 0;
	assert_int_equal(create(t), 0);
	assert_true(t->ops->start(t->self) < 0);
	assert_non_null(strstr(t->f->last_fail, "pci-bus"));
}

/* An ARP request through the transmitter, the answer through the receiver; twice, with a reset between. */
static void a_frame_there_and_back(void **state)
{
	static const uint8_t request[] =
	        "\xff\xff\xff\xff\xff\xff\x52\x54\0\x12\x34\x56\x08\x06\0\1\x08\0\6\4\0\1\x52\x54\0\x12\x34\x56"
	        "\x0a\0\2\x0f\0\0\0\0\0\0\x0a\0\2\2";
	struct fixture *t = *state;

	host_fake_option(t->f, "mac", 0, "52:54:00:12:34:56");
	host_fake_option(t->f, "ipv6", 0, NULL); /* no advertisements in between */
	assert_int_equal(create(t), 0);
	assert_int_equal(t->ops->start(t->self), 0);
	for (int i = 0; i < 2; i++) {
		struct e1000_tx_desc tx = {0x4000, 42 | TXD_EOP | TXD_IFCS | TXD_RS, 0};
		struct e1000_rx_desc rx = {.address = 0x5000};

		memcpy(t->f->ram + 0x1000, &tx, 16);
		memcpy(t->f->ram + 0x2000, &rx, 16);
		memcpy(t->f->ram + 0x4000, request, 42);
		memset(t->f->ram + 0x5000, 0, 64);
		set(t, E1000_TDBAL, 0x1000);
		set(t, E1000_TDLEN, 128);
		set(t, E1000_RDBAL, 0x2000);
		set(t, E1000_RDLEN, 128);
		set(t, E1000_RCTL, RCTL_EN | RCTL_SECRC);
		set(t, E1000_RDT, 7);
		set(t, E1000_TCTL, TCTL_EN);
		set(t, E1000_TDT, 1);
		host_fake_run(t->f);
		assert_int_equal(get(t, E1000_RDH), 1);
		assert_memory_equal(t->f->ram + 0x5000, request + 6, 6);
		assert_int_equal(t->f->ram[0x5000 + 21], 2);
		assert_memory_equal(t->f->ram + 0x5000 + 28, "\x0a\0\2\2", 4);
		assert_int_equal(t->ops->reset(t->self), 0);
		assert_int_equal(get(t, E1000_RDH), 0);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(options_reach_the_card),
	        T(no_rom),
	        T(options_that_are_refused),
	        T(a_frame_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
