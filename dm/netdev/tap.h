/* SPDX-License-Identifier: MIT */
/*
 * backend = "tap": the cable's other end is a network interface of the host's
 * (Linux' tun driver), which may be in a bridge. tap.c moves frames,
 * tap-open.c finds or makes the interface.
 */
#ifndef NETDEV_TAP_H
#define NETDEV_TAP_H

#include <net/if.h>

#include "dm/netdev/netdev.h"

/* See netdev_open. */
struct netdev *netdev_tap_open(const struct gamut_host *host, struct gamut_inst *inst, const struct netdev_front *front,
                               int *error);

/* ---- tap-open.c ---- */

struct tap_interface {
	int fd;
	uint32_t index;
	uint32_t mtu;
	uint32_t can; /* NETDEV_CAN_*: what this kernel knows of, both ways */
	char name[IFNAMSIZ];
};

/* The interface that the options name, set up as they say. 0 or -errno after host->fail. [control] */
int tap_interface_open(const struct gamut_host *host, struct gamut_inst *inst, struct tap_interface *tap);
/* What the kernel may send by it; of tap->can. 0 or -errno. */
int tap_interface_offload(const struct tap_interface *tap, uint32_t can);

#endif
