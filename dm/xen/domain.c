/* SPDX-License-Identifier: MIT */
#include "dm/xen/domain.h"

#include <errno.h>
#include <string.h>

#include "dm/xen/power.h"

/* ---- interfaces, of an instance that begins with the domain ---- */

#define XEN_DOMAIN_OF(self) ((struct xen_domain *)(self))
#include "dm/xen/domain-tables.h"

static int power_request(void *self, uint32_t what)
{
	return xen_power_request(bus_of(self), what);
}

static const struct gamut_power_ops domain_power = {
	.size = sizeof(struct gamut_power_ops),
	.request = power_request,
};

const void *xen_domain_interface(void *self, const char *id, uint32_t revision)
{
	(void)self;
	if (!strcmp(id, GAMUT_POWER))
		return revision == GAMUT_POWER_REVISION ? &domain_power : NULL;
	return domain_tables(id, revision);
}

/* ---- life cycle ---- */

int xen_domain_init(struct xen_domain *d, const struct xen_flavour *flavour, const struct xenbus_config *bus,
                    const struct xen_e820 *extra, uint32_t n_extra)
{
	int rc = xen_platform_init(&d->xen, flavour, bus->host, bus->inst, extra, n_extra);

	if (rc)
		return bus->host->fail(bus->inst, -rc, "cannot make the Xen platform: %s", strerror(-rc));
	d->bus = xenbus_create(bus);
	if (d->bus)
		return 0;
	rc = bus->host->fail(bus->inst, errno, "cannot make the store: %s", strerror(errno));
	xen_platform_finish(&d->xen);
	return rc;
}

void xen_domain_finish(struct xen_domain *d)
{
	xenbus_destroy(d->bus);
	xen_platform_finish(&d->xen);
}

int xen_domain_start(struct xen_domain *d)
{
	const struct gamut_host *host = d->xen.env.host;
	struct gamut_inst *inst = d->xen.env.inst;
	const struct gamut_xen_intr_ops *intr;
	const struct gamut_evtchn_ops *evtchn;
	void *intr_self = NULL, *evtchn_self = NULL;
	int rc;

	intr = host->lookup(inst, GAMUT_XEN_INTERRUPTS, GAMUT_XEN_REVISION, 0, &intr_self);
	evtchn = host->lookup(inst, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, 0, &evtchn_self);
	if (!intr || !evtchn)
		return host->fail(inst, ENODEV, "a Xen platform needs event channels: use interrupts = \"xen\"");
	xen_platform_connect(&d->xen, intr, intr_self, &xenbus_ops, d->bus);
	rc = xen_platform_register(&d->xen);
	if (!rc)
		rc = xen_cpuid_set(&d->xen);
	if (rc)
		return host->fail(inst, -rc, "cannot register the hypercalls: %s", strerror(-rc));
	rc = xenbus_start(d->bus, evtchn, evtchn_self);
	return rc ? host->fail(inst, -rc, "cannot start the store: %s", strerror(-rc)) : 0;
}

int xen_domain_reset(struct xen_domain *d)
{
	int rc;

	xen_platform_reset(&d->xen);
	rc = xenbus_reset(d->bus);
	return rc ? d->xen.env.host->fail(d->xen.env.inst, -rc, "cannot reset the store: %s", strerror(-rc)) : 0;
}

void xen_domain_stop(void *self)
{
	xenbus_stop(((struct xen_domain *)self)->bus);
}
