/* SPDX-License-Identifier: MIT */
/*
 * What every Xen platform is made of: the hypercalls and the tool stack's part,
 * wired to event channels, and the two interfaces that come of it.
 *
 * The instance of a platform that is nothing but Xen begins with a struct
 * xen_domain, so that the tables of xen_domain_interface, whose self is the
 * instance, find it. Others use domain-tables.h.
 */
#ifndef DM_XEN_DOMAIN_H
#define DM_XEN_DOMAIN_H

#include "dm/xen/platform.h"
#include "dm/xen/xenbus.h"

struct xen_domain {
	struct xen_platform xen;
	struct xenbus *bus;
};

/* All that return int: 0, or what host->fail gave. [control] */

/* extra: see xen_memory_map. host and inst of bus are used for everything. */
int xen_domain_init(struct xen_domain *d, const struct xen_flavour *flavour, const struct xenbus_config *bus,
                    const struct xen_e820 *extra, uint32_t n_extra);
void xen_domain_finish(struct xen_domain *d);

/* Finds event channels, registers hypercalls and CPUID leaves, starts the store. */
int xen_domain_start(struct xen_domain *d);
/* Power-on: no host page is in the guest's map but the store's. */
int xen_domain_reset(struct xen_domain *d);

/* For the instance's table of operations: stop, and interface with "grants", "xenbus" and "power". */
void xen_domain_stop(void *self);
const void *xen_domain_interface(void *self, const char *id, uint32_t revision);

#endif
