/* SPDX-License-Identifier: MIT */
/*
 * net = "xen": a Xen virtual network interface (netif), and on a PC, as with
 * Xen, an e1000 beside it, from which firmware can boot, until the guest's PV
 * drivers unplug it. Both are on one network.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/net/e1000-twin.h"
#include "dm/xen/netback.h"
#include "gamut/plugin.h"

struct net_xen {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct netback *back;
	struct e1000_twin *twin;
	struct netdev *netdev;
};

static void destroy(void *self)
{
	struct net_xen *n = self;

	netdev_close(n->netdev);
	e1000_twin_destroy(n->twin);
	netback_destroy(n->back);
	free(n);
}

/* [io] [control] */
static void connected(void *opaque, bool is)
{
	e1000_twin_pv(((struct net_xen *)opaque)->twin, is);
}

static int open_network(struct net_xen *n)
{
	struct netdev_front front;
	int err;

	netback_front(n->back, &front);
	n->twin = e1000_twin_create(n->host, n->inst, &front);
	if (!n->twin)
		return n->host->fail(n->inst, ENOMEM, "out of memory");
	e1000_twin_front(n->twin, &front);
	n->netdev = netdev_open(n->host, n->inst, &front, &err);
	if (!n->netdev)
		return err;
	e1000_twin_connect(n->twin, n->netdev);
	netback_attach(n->back, n->netdev);
	return 0;
}

static int make_back(struct net_xen *n)
{
	struct netback_config config = {
	        .host = n->host,
	        .inst = n->inst,
	        .devid = n->host->unit(n->inst),
	        .max_queues = n->host->vcpu_count(n->inst),
	        .connected = connected,
	        .opaque = n,
	};
	int err = netdev_mac(n->host, n->inst, config.mac);

	if (err)
		return err;
	n->back = netback_create(&config);
	if (!n->back)
		return n->host->fail(n->inst, errno, "%s", strerror(errno));
	return open_network(n);
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct net_xen *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return host->fail(inst, ENOMEM, "out of memory");
	n->host = host;
	n->inst = inst;
	err = make_back(n);
	if (err) {
		destroy(n);
		return err;
	}
	*self = n;
	return 0;
}

static int start(void *self)
{
	struct net_xen *n = self;
	struct netback_peers p;
	int err;

	p.bus = n->host->lookup(n->inst, GAMUT_XENBUS, GAMUT_XEN_REVISION, 0, &p.bus_self);
	p.evtchn = n->host->lookup(n->inst, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, 0, &p.evtchn_self);
	p.grants = n->host->lookup(n->inst, GAMUT_GRANTS, GAMUT_XEN_REVISION, 0, &p.grants_self);
	if (!p.bus || !p.evtchn || !p.grants)
		return n->host->fail(n->inst, ENODEV,
		                     "a Xen network card needs a platform with %s, %s and %s", GAMUT_XENBUS,
		                     GAMUT_EVENT_CHANNELS, GAMUT_GRANTS);
	err = e1000_twin_start(n->twin);
	if (!err)
		err = netback_start(n->back, &p);
	if (err)
		e1000_twin_stop(n->twin);
	return err;
}

static int pause_net(void *self)
{
	netback_pause(((struct net_xen *)self)->back);
	return 0;
}

static int resume(void *self)
{
	netback_resume(((struct net_xen *)self)->back);
	return 0;
}

static int reset(void *self)
{
	struct net_xen *n = self;

	e1000_twin_reset(n->twin);
	return netback_reset(n->back);
}

static void stop(void *self)
{
	struct net_xen *n = self;

	e1000_twin_stop(n->twin);
	netback_stop(n->back);
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
        E1000_TWIN_OPTIONS,
};

static const char *const needs[] = {GAMUT_EVENT_CHANNELS, GAMUT_GRANTS, GAMUT_XENBUS, NULL};
static const char *const gives[] = {NULL};

static const struct gamut_descriptor descriptor = {
        .size = sizeof(struct gamut_descriptor),
        .axis = GAMUT_AXIS_NET,
        .colour = GAMUT_COLOUR_P,
        .score = 100,
        .choice = "xen",
        .description = "Xen network interface (netif)",
        .needs = needs,
        .gives = gives,
        .options = options,
        .n_options = sizeof(options) / sizeof(options[0]),
        .ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = {&descriptor};

/* libslirp is under the BSD licence, GLib, which it uses, under the LGPL. */
GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        GAMUT_PLUGIN_HEADER, .name = "net-xen",
        .version = "0.1.0",  .licence = "MIT AND BSD-3-Clause AND LGPL-2.1-or-later",
        .n_descriptors = 1,  .descriptors = descriptors,
};
