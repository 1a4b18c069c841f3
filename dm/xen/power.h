/* SPDX-License-Identifier: MIT */
/*
 * Asking a Xen guest to end itself, as a tool stack does: the command goes to
 * control/shutdown of its directory in the store, and the guest, which watches
 * the node, acknowledges by making it empty (Xen's docs/misc/xenstore-paths).
 *
 * Whether it listens is known from that watch. A node written before a kernel
 * watches it is seen when it does, for every watch fires once at first.
 */
#ifndef DM_XEN_POWER_H
#define DM_XEN_POWER_H

#include <stdbool.h>

#include "gamut/power.h"
#include "gamut/xen.h"

struct xenbus;

/* Whether the guest watches control/shutdown. [io] [control] */
bool xen_power_heard(struct xenbus *bus);
/* As struct gamut_power_ops.request. */
int xen_power_request(struct xenbus *bus, uint32_t what);
/*
 * The same for a platform that has another way and knows the store by its
 * interface: asks if the guest has said that it can be asked so (its node
 * control/feature-poweroff or -reboot), else -ENOENT. domid is the guest's.
 */
int xen_power_if_offered(const struct gamut_xenbus_ops *bus, void *bus_self, uint32_t domid, uint32_t what);

#endif
