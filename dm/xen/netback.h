/* SPDX-License-Identifier: MIT */
/*
 * Xen network back end (vif) of one card: what meets in the store, and the
 * card's place between rings (netring.h) and network. It is a front end of
 * the network back ends in dm/netdev:
 *
 *     create:   back = netback_create(&config)
 *               netback_front(back, &front)
 *               dev = netdev_open(host, inst, &front, &err)
 *               netback_attach(back, dev)
 *     start:    netback_start(back, &peers)
 *
 * Who has two cards on one network (dm/net/e1000-twin.h) puts a struct
 * netdev_front of his own between, and hands frames to either: with nobody
 * connected frames are dropped here, and nothing is held.
 */
#ifndef DM_XEN_NETBACK_H
#define DM_XEN_NETBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/netdev/netdev.h"
#include "gamut/host.h"
#include "gamut/xen.h"

struct netback;

struct netback_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint32_t devid;      /* 0 for the first card */
	uint32_t max_queues; /* at least 1 */
	uint8_t mac[NETDEV_MAC];
	/*
	 * Told when the guest's driver takes the card, before the network hears of
	 * its offloads, and when it lets go; may be NULL. [io] [control]
	 */
	void (*connected)(void *opaque, bool connected);
	void *opaque;
};

/* What it needs of its peers. */
struct netback_peers {
	const struct gamut_xenbus_ops *bus;
	void *bus_self;
	const struct gamut_evtchn_ops *evtchn;
	void *evtchn_self;
	const struct gamut_grant_ops *grants;
	void *grants_self;
};

/* NULL with errno set. [control] */
struct netback *netback_create(const struct netback_config *config);
/* NULL is allowed. The network may be closed already. [control] */
void netback_destroy(struct netback *back);

/* Fills what the network calls. [control] */
void netback_front(struct netback *back, struct netdev_front *front);
/* The network, before start; it stays open until stop has returned. [control] */
void netback_attach(struct netback *back, struct netdev *netdev);

/* Makes the device directories and waits for the guest. 0, or what host->fail gave. [control] */
int netback_start(struct netback *back, const struct netback_peers *peers);
/* On return no guest memory is mapped. [control] */
void netback_pause(struct netback *back);
/* Maps the rings again and looks at them. [control] */
void netback_resume(struct netback *back);
/* Guest reset, while paused: disconnected, directories as new. 0, or what host->fail gave. [control] */
int netback_reset(struct netback *back);
/* Disconnects and removes the directories. [control] */
void netback_stop(struct netback *back);

#endif
