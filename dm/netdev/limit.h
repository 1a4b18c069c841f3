/* SPDX-License-Identifier: MIT */
/*
 * The options "rate" and "rate-in": how much a guest may send and receive. A
 * netdev around that of any back end, which it keeps waiting as a full
 * ring would, or the front end as a full network would.
 */
#ifndef NETDEV_LIMIT_H
#define NETDEV_LIMIT_H

#include "dm/netdev/netdev.h"

typedef struct netdev *netdev_open_fn(const struct gamut_host *host, struct gamut_inst *inst,
                                      const struct netdev_front *front, int *error);

/* The netdev that `open` gives, with limits around it if there are any; see netdev_open. */
struct netdev *netdev_limit_open(const struct gamut_host *host, struct gamut_inst *inst, const struct netdev_front *front,
                                 netdev_open_fn *open, int *error);

#endif
