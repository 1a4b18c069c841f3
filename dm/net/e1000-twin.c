/* SPDX-License-Identifier: MIT */
#include "dm/net/e1000-twin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/net/e1000.h"
#include "gamut/plugin.h"
#include "gamut/xen.h"

const char *const e1000_twin_choices[] = {"auto", "true", "false", NULL};

struct e1000_twin {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct netdev_front pv, card; /* the two front ends */
	struct netdev *netdev;
	struct e1000 *device; /* NULL: none */
	void *rom;
	uint32_t plugged;    /* atomic; the device is in its slot */
	bool connected;      /* the PV front end is, [io] */
	uint64_t *unplugged; /* sign: the guest wants the PV card alone */
};

static bool to_card(const struct e1000_twin *t)
{
	return !t->connected && __atomic_load_n(&t->plugged, __ATOMIC_ACQUIRE);
}

/* ---- the front end that the back end sees ---- */

static uint32_t receive(void *opaque, const struct netdev_frame *frames, uint32_t n)
{
	struct e1000_twin *t = opaque;
	const struct netdev_front *to = to_card(t) ? &t->card : &t->pv;

	return to->receive(to->opaque, frames, n);
}

/* Either may have been refused some. */
static void writable(void *opaque)
{
	struct e1000_twin *t = opaque;

	t->pv.writable(t->pv.opaque);
	if (t->device)
		t->card.writable(t->card.opaque);
}

static void link_changed(void *opaque, bool up)
{
	struct e1000_twin *t = opaque;

	if (t->pv.link)
		t->pv.link(t->pv.opaque, up);
	if (t->device)
		t->card.link(t->card.opaque, up);
}

void e1000_twin_front(struct e1000_twin *t, struct netdev_front *front)
{
	*front = t->pv;
	front->receive = receive;
	front->writable = writable;
	front->link = link_changed;
	front->opaque = t;
}

void e1000_twin_connect(struct e1000_twin *t, struct netdev *dev)
{
	t->netdev = dev;
}

void e1000_twin_pv(struct e1000_twin *t, bool connected)
{
	t->connected = connected;
	if (!connected)
		netdev_set_offload(t->netdev, 0);
}

/* ---- life ---- */

struct e1000_twin *e1000_twin_create(const struct gamut_host *host, struct gamut_inst *inst,
                                     const struct netdev_front *pv)
{
	struct e1000_twin *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->host = host;
	t->inst = inst;
	t->pv = *pv;
	t->unplugged = host->sign(inst, GAMUT_AXIS_NET, GAMUT_COLOUR_P, "unplug");
	return t;
}

/* [vcpu] Frames that waited for the device are offered again by its reset, and go to the PV front end. */
static void unplug(void *opaque, uint32_t kinds)
{
	struct e1000_twin *t = opaque;

	(void)kinds;
	if (!__atomic_exchange_n(&t->plugged, 0, __ATOMIC_ACQ_REL))
		return;
	__atomic_fetch_add(t->unplugged, 1, __ATOMIC_RELAXED);
	e1000_unplug(t->device);
}

static int make_device(struct e1000_twin *t, const struct gamut_pci_bus_ops *bus, void *bus_self)
{
	struct e1000_config config = {.host = t->host, .inst = t->inst};
	int err = e1000_rom_read(t->host, t->inst, &t->rom, &config.rom_size);

	if (err)
		return err;
	config.rom = t->rom;
	memcpy(config.mac, t->pv.mac, sizeof(config.mac));
	t->device = e1000_create(&config);
	if (!t->device)
		return t->host->fail(t->inst, ENOMEM, "out of memory");
	e1000_front(t->device, &t->card);
	e1000_connect(t->device, t->netdev);
	err = e1000_start(t->device, bus, bus_self);
	if (!err)
		t->plugged = 1;
	return err;
}

int e1000_twin_start(struct e1000_twin *t)
{
	const char *wish = e1000_twin_choices[0];
	const struct gamut_xen_unplug_ops *port;
	const struct gamut_pci_bus_ops *bus;
	void *bus_self, *port_self;
	int err;

	t->host->option_string(t->inst, "emulated", &wish);
	if (!strcmp(wish, "false"))
		return 0;
	bus = t->host->lookup(t->inst, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, 0, &bus_self);
	port = t->host->lookup(t->inst, GAMUT_XEN_UNPLUG, GAMUT_XEN_REVISION, 0, &port_self);
	if (bus && port && GAMUT_HAS(bus, struct gamut_pci_bus_ops, present)) {
		err = make_device(t, bus, bus_self);
		return err ? err : port->add(port_self, GAMUT_XEN_UNPLUG_NICS, unplug, t);
	}
	if (!strcmp(wish, "auto"))
		return 0;
	return t->host->fail(t->inst, ENODEV, "an emulated card beside this one needs a platform with %s and %s",
	                     GAMUT_PCI_BUS, GAMUT_XEN_UNPLUG);
}

void e1000_twin_reset(struct e1000_twin *t)
{
	e1000_twin_pv(t, false);
	if (!t->device)
		return;
	e1000_reset(t->device);
	__atomic_store_n(&t->plugged, 1, __ATOMIC_RELEASE);
}

void e1000_twin_stop(struct e1000_twin *t)
{
	__atomic_store_n(&t->plugged, 0, __ATOMIC_RELEASE);
	if (t->device)
		e1000_stop(t->device);
}

void e1000_twin_destroy(struct e1000_twin *t)
{
	if (!t)
		return;
	e1000_destroy(t->device);
	free(t->rom);
	free(t);
}
