/* SPDX-License-Identifier: MIT */
#include "dm/xen/domain.h"

#include <errno.h>
#include <string.h>

#include "dm/xen/power.h"

/* ---- interfaces: the same tables with this instance as self ---- */

static void *grant_map(void *self, uint32_t ref, int write, uint64_t *gpa)
{
	return grant_ops.map(&((struct xen_domain *)self)->xen.grants, ref, write, gpa);
}

static void grant_unmap(void *self, uint32_t ref, void *page, int dirty)
{
	grant_ops.unmap(&((struct xen_domain *)self)->xen.grants, ref, page, dirty);
}

static const struct gamut_grant_ops domain_grants = {
	.size = sizeof(struct gamut_grant_ops),
	.map = grant_map,
	.unmap = grant_unmap,
};

static struct xenbus *bus_of(void *self)
{
	return ((struct xen_domain *)self)->bus;
}

static char *bus_read(void *self, const char *path, uint32_t *len)
{
	return xenbus_ops.read(bus_of(self), path, len);
}

static int bus_write(void *self, const char *path, const void *value, uint32_t len)
{
	return xenbus_ops.write(bus_of(self), path, value, len);
}

static int bus_rm(void *self, const char *path)
{
	return xenbus_ops.rm(bus_of(self), path);
}

static struct gamut_xs_watch *bus_watch(void *self, const char *path, gamut_xs_watch_fn fn, void *opaque)
{
	return xenbus_ops.watch(bus_of(self), path, fn, opaque);
}

static void bus_unwatch(void *self, struct gamut_xs_watch *watch)
{
	xenbus_ops.unwatch(bus_of(self), watch);
}

static int bus_device_add(void *self, const char *type, uint32_t devid, char *frontend, uint32_t frontend_len,
                          char *backend, uint32_t backend_len)
{
	return xenbus_ops.device_add(bus_of(self), type, devid, frontend, frontend_len, backend, backend_len);
}

static int bus_device_remove(void *self, const char *type, uint32_t devid)
{
	return xenbus_ops.device_remove(bus_of(self), type, devid);
}

static int bus_param_set(void *self, uint32_t index, uint64_t value)
{
	return xenbus_ops.hvm_param_set(bus_of(self), index, value);
}

static int bus_param_get(void *self, uint32_t index, uint64_t *value)
{
	return xenbus_ops.hvm_param_get(bus_of(self), index, value);
}

static uint64_t bus_special_gfn(void *self)
{
	return xenbus_ops.special_gfn(bus_of(self));
}

static const struct gamut_xenbus_ops domain_bus = {
	.size = sizeof(struct gamut_xenbus_ops),
	.read = bus_read,
	.write = bus_write,
	.rm = bus_rm,
	.watch = bus_watch,
	.unwatch = bus_unwatch,
	.device_add = bus_device_add,
	.device_remove = bus_device_remove,
	.hvm_param_set = bus_param_set,
	.hvm_param_get = bus_param_get,
	.special_gfn = bus_special_gfn,
};

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
	if (revision != GAMUT_XEN_REVISION)
		return NULL;
	if (!strcmp(id, GAMUT_GRANTS))
		return &domain_grants;
	return strcmp(id, GAMUT_XENBUS) ? NULL : &domain_bus;
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
	xenbus_stop(bus_of(self));
}
