/* SPDX-License-Identifier: MIT */
/*
 * An e1000 beside a Xen network card: the emulated twin that a card has on a
 * PC with Xen, for firmware, boot loaders and guests without PV drivers, until
 * the guest unplugs it (Xen's docs/misc/hvm-emulated-unplug.pandoc).
 *
 * One back end of the host, two front ends. The twin stands between: the
 * plugin opens the back end with the front end that e1000_twin_front gives,
 * and frames from the host go to the PV front end while that is connected, or
 * when there is no e1000 (any more), else to the e1000. Both send into the
 * back end by themselves.
 *
 *     create   e1000_twin_create, e1000_twin_front, netdev_open, e1000_twin_connect
 *     start    e1000_twin_start
 *     [io]     e1000_twin_pv, whenever the PV front end connects or disconnects
 *
 * Whether there is an e1000 says the option "emulated": "true", "false", or
 * "auto", which is: where the platform has a PCI bus and a way to unplug.
 * Without one everything here is a front end that passes on to the PV one.
 */
#ifndef NET_E1000_TWIN_H
#define NET_E1000_TWIN_H

#include "dm/net/e1000.h"
#include "dm/netdev/netdev.h"
#include "dm/pci/rom.h"

struct e1000_twin;

/* Entries of the plugin's table of options. */
extern const char *const e1000_twin_choices[];

#define E1000_TWIN_OPTIONS                                                                                   \
	{NETDEV_OPTION(CHOICE, "emulated",                                                                   \
	               "An e1000 that the guest can use instead until it unplugs it; auto: on a PC", "auto"), \
	 .choices = e1000_twin_choices},                                                                     \
	{                                                                                                    \
		NETDEV_OPTION(PATH, "rom", "emulated: " PCI_ROM_HELP(E1000_ROM_DEFAULT), NULL)                \
	}

/*
 * pv is the PV front end, copied; its mac is the twin's, too. NULL with errno
 * set: no memory. [control]
 */
struct e1000_twin *e1000_twin_create(const struct gamut_host *host, struct gamut_inst *inst,
                                     const struct netdev_front *pv);
/* What the back end is to be opened with. [control] */
void e1000_twin_front(struct e1000_twin *t, struct netdev_front *front);
/* The back end, which must outlive start to stop. [control] */
void e1000_twin_connect(struct e1000_twin *t, struct netdev *dev);
/* Makes the e1000, if there is to be one. 0, or what host->fail gave. [control] */
int e1000_twin_start(struct e1000_twin *t);
/*
 * The PV front end has connected, and takes frames; or no longer does. It
 * tells the back end itself what offloads it takes, after this call; on
 * disconnect they are taken back here. [io] [control]
 */
void e1000_twin_pv(struct e1000_twin *t, bool connected);
/* In reset: plugged in again, the PV front end not connected. [control] */
void e1000_twin_reset(struct e1000_twin *t);
/* In stop. [control] */
void e1000_twin_stop(struct e1000_twin *t);
/* NULL is allowed. [control] */
void e1000_twin_destroy(struct e1000_twin *t);

#endif
