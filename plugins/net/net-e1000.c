/* SPDX-License-Identifier: MIT */
/* net = "e1000": an Intel 82540EM on the PCI bus of an emulated PC. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/net/e1000.h"
#include "dm/pci/rom.h"
#include "gamut/plugin.h"

struct net_e1000 {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	void *rom;
	struct e1000 *device;
	struct netdev *netdev;
};

static void destroy(void *self)
{
	struct net_e1000 *n = self;

	netdev_close(n->netdev);
	e1000_destroy(n->device);
	free(n->rom);
	free(n);
}

static int make_device(struct net_e1000 *n)
{
	struct e1000_config config = {.host = n->host, .inst = n->inst};
	struct netdev_front front;
	int err = netdev_mac(n->host, n->inst, config.mac);

	if (err)
		return err;
	err = pci_rom_read(n->host, n->inst, E1000_ROM_DEFAULT, &n->rom, &config.rom_size);
	if (err)
		return err;
	config.rom = n->rom;
	n->device = e1000_create(&config);
	if (!n->device)
		return n->host->fail(n->inst, errno, "%s", strerror(errno));
	e1000_front(n->device, &front);
	n->netdev = netdev_open(n->host, n->inst, &front, &err);
	if (n->netdev)
		e1000_connect(n->device, n->netdev);
	return n->netdev ? 0 : err;
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct net_e1000 *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return host->fail(inst, ENOMEM, "out of memory");
	n->host = host;
	n->inst = inst;
	err = make_device(n);
	if (err) {
		destroy(n);
		return err;
	}
	*self = n;
	return 0;
}

static int start(void *self)
{
	struct net_e1000 *n = self;
	const struct gamut_pci_bus_ops *bus;
	void *bus_self;

	bus = n->host->lookup(n->inst, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, 0, &bus_self);
	if (!bus)
		return n->host->fail(n->inst, ENODEV, "an e1000 needs a platform with a " GAMUT_PCI_BUS);
	return e1000_start(n->device, bus, bus_self);
}

static int reset(void *self)
{
	e1000_reset(((struct net_e1000 *)self)->device);
	return 0;
}

static void stop(void *self)
{
	e1000_stop(((struct net_e1000 *)self)->device);
}

/* pause and resume have nothing to do: between two calls on [io] nothing is in flight and no guest memory is held. */
static const struct gamut_ops ops = {
        .size = sizeof(struct gamut_ops),
        .create = create,
        .start = start,
        .reset = reset,
        .stop = stop,
        .destroy = destroy,
};

static const struct gamut_option options[] = {
        NETDEV_OPTIONS,
        {NETDEV_OPTION(PATH, "rom", PCI_ROM_HELP(E1000_ROM_DEFAULT), NULL)},
};

static const char *const needs[] = {GAMUT_PCI_BUS, NULL};
static const char *const gives[] = {NULL};

static const struct gamut_descriptor descriptor = {
        .size = sizeof(struct gamut_descriptor),
        .axis = GAMUT_AXIS_NET,
        .colour = GAMUT_COLOUR_V,
        .score = 50,
        .choice = "e1000",
        .description = "Intel 82540EM Gigabit Ethernet controller (e1000)",
        .needs = needs,
        .gives = gives,
        .options = options,
        .n_options = sizeof(options) / sizeof(options[0]),
        .ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = {&descriptor};

/* libslirp is under the BSD licence, GLib, which it uses, under the LGPL. */
GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        GAMUT_PLUGIN_HEADER,
        .name = "net-e1000",
        .version = "0.1.0",
        .licence = "MIT AND BSD-3-Clause AND LGPL-2.1-or-later",
        .n_descriptors = 1,
        .descriptors = descriptors,
};
