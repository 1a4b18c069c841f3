/* SPDX-License-Identifier: MIT */
/* net = "virtio": a virtio network card, on the platform's PCI bus or in a device slot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/pci/rom.h"
#include "dm/virtio/net.h"
#include "dm/virtio/place.h"
#include "gamut/plugin.h"

/* iPXE for BIOS and UEFI alike. */
#define ROM_DEFAULT    "/usr/lib/ipxe/qemu/efi-virtio.rom"
#define CLASS_ETHERNET 0x020000u
/* More pairs than that only divide what one host thread does. */
#define MAX_PAIRS 8u

struct net_virtio {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	void *rom;
	uint32_t rom_size;
	struct vnet *net;
	struct netdev *netdev;
	struct virtio_place place;
};

static void destroy(void *self)
{
	struct net_virtio *n = self;

	virtio_place_stop(&n->place);
	netdev_close(n->netdev);
	vnet_destroy(n->net);
	free(n->rom);
	free(n);
}

static int make_device(struct net_virtio *n)
{
	uint32_t vcpus = n->host->vcpu_count(n->inst);
	struct vnet_config config = {
	        .host = n->host, .inst = n->inst, .pairs = vcpus < MAX_PAIRS ? vcpus : MAX_PAIRS};
	struct netdev_front front;
	int64_t queues;
	int err = netdev_mac(n->host, n->inst, config.mac);

	if (n->host->option_int(n->inst, "queues", &queues))
		config.pairs = (uint32_t)queues;
	if (!err)
		err = pci_rom_read(n->host, n->inst, ROM_DEFAULT, &n->rom, &n->rom_size);
	if (err)
		return err;
	n->net = vnet_create(&config);
	if (!n->net)
		return n->host->fail(n->inst, errno, "%s", strerror(errno));
	vnet_front(n->net, &front);
	n->netdev = netdev_open(n->host, n->inst, &front, &err);
	if (n->netdev)
		vnet_connect(n->net, n->netdev);
	return n->netdev ? 0 : err;
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct net_virtio *n = calloc(1, sizeof(*n));
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
	struct net_virtio *n = self;
	struct virtio_pci_config pci = {.class_code = CLASS_ETHERNET, .rom = n->rom, .rom_size = n->rom_size};

	return virtio_place_start(&n->place, vnet_device(n->net), &pci);
}

static int pause_net(void *self)
{
	virtio_pause(vnet_device(((struct net_virtio *)self)->net));
	return 0;
}

static int resume(void *self)
{
	virtio_resume(vnet_device(((struct net_virtio *)self)->net));
	return 0;
}

static int reset(void *self)
{
	struct net_virtio *n = self;

	netdev_flush(n->netdev);
	return virtio_place_reset(&n->place);
}

static void stop(void *self)
{
	struct net_virtio *n = self;

	virtio_pause(vnet_device(n->net));
	virtio_place_stop(&n->place);
}

static const struct gamut_ops ops = {
        .size = sizeof(struct gamut_ops),
        .create = create,
        .start = start,
        .pause = pause_net,
        .resume = resume,
        .reset = reset,
        .stop = stop,
        .destroy = destroy,
};

static const struct gamut_option options[] = {
        NETDEV_OPTIONS,
        {NETDEV_OPTION(INT, "queues", "Pairs of queues; a vCPU each, up to 8, if not given", NULL), .min = 1, .max = 31},
        {NETDEV_OPTION(PATH, "rom", PCI_ROM_HELP(ROM_DEFAULT), NULL)},
};

static const char *const needs[] = {GAMUT_VIRTIO_TRANSPORT, NULL};
static const char *const gives[] = {NULL};

static const struct gamut_descriptor descriptor = {
        .size = sizeof(struct gamut_descriptor),
        .axis = GAMUT_AXIS_NET,
        .colour = GAMUT_COLOUR_P,
        .score = 80,
        .choice = "virtio",
        .description = "virtio network card (virtio-net)",
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
        .name = "net-virtio",
        .version = "0.1.0",
        .licence = "MIT AND BSD-3-Clause AND LGPL-2.1-or-later",
        .n_descriptors = 1,
        .descriptors = descriptors,
};
