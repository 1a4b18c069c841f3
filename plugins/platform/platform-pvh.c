/* SPDX-License-Identifier: MIT */
/*
 * platform = "pvh": no chipset at all. A kernel is booted directly, finds Xen
 * through CPUID, and gets everything else by hypercall. This file wires up
 * the loader, the hypercalls and the store; it gives grants and xenbus.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/platform.h"
#include "dm/xen/pvh.h"
#include "dm/xen/xenbus.h"
#include "gamut/plugin.h"

/* Frames for host pages that HVM params name, where Xen's tool stack has them: below 4 GiB, never RAM. */
#define SPECIAL_GFN 0xfeff8ull
#define SPECIAL_COUNT 8u

static const struct gamut_mem_range special = { .gpa = SPECIAL_GFN << XEN_PAGE_SHIFT,
	                                        .size = SPECIAL_COUNT * XEN_PAGE_SIZE };

struct platform_pvh {
	struct xen_platform xen;
	struct pvh_config boot;
	struct xenbus *bus;
};

/* ---- interfaces: the same tables with this instance as self ---- */

static void *grant_map(void *self, uint32_t ref, int write, uint64_t *gpa)
{
	return grant_ops.map(&((struct platform_pvh *)self)->xen.grants, ref, write, gpa);
}

static void grant_unmap(void *self, uint32_t ref, void *page, int dirty)
{
	grant_ops.unmap(&((struct platform_pvh *)self)->xen.grants, ref, page, dirty);
}

static const struct gamut_grant_ops pvh_grants = {
	.size = sizeof(struct gamut_grant_ops),
	.map = grant_map,
	.unmap = grant_unmap,
};

static struct xenbus *bus_of(void *self)
{
	return ((struct platform_pvh *)self)->bus;
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

static const struct gamut_xenbus_ops pvh_bus = {
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

/* ---- life cycle ---- */

/*
 * All that can be wrong with the image is found here, before a disk or the
 * network has been touched.
 */
static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct platform_pvh *p = calloc(1, sizeof(*p));
	struct xenbus_config bus = { host, inst, SPECIAL_GFN, SPECIAL_COUNT };
	int rc;

	if (!p)
		return host->fail(inst, ENOMEM, "out of memory");
	p->boot = (struct pvh_config){ host, inst, special };
	rc = pvh_check(&p->boot);
	if (rc)
		goto free_self;
	rc = xen_platform_init(&p->xen, host, inst, &special);
	if (rc) {
		host->fail(inst, -rc, "cannot make the Xen platform: %s", strerror(-rc));
		goto free_self;
	}
	p->bus = xenbus_create(&bus);
	if (!p->bus) {
		rc = host->fail(inst, errno, "cannot make the store: %s", strerror(errno));
		goto finish_xen;
	}
	*self = p;
	return 0;

finish_xen:
	xen_platform_finish(&p->xen);
free_self:
	free(p);
	return rc;
}

static int start(void *self)
{
	struct platform_pvh *p = self;
	const struct gamut_host *host = p->boot.host;
	struct gamut_inst *inst = p->boot.inst;
	const struct gamut_xen_intr_ops *intr;
	const struct gamut_evtchn_ops *evtchn;
	void *intr_self = NULL, *evtchn_self = NULL;
	int rc;

	intr = host->lookup(inst, GAMUT_XEN_INTERRUPTS, GAMUT_XEN_REVISION, 0, &intr_self);
	evtchn = host->lookup(inst, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, 0, &evtchn_self);
	if (!intr || !evtchn)
		return host->fail(inst, ENODEV, "the PVH platform needs event channels: use interrupts = \"xen\"");
	xen_platform_connect(&p->xen, intr, intr_self, &xenbus_ops, p->bus);
	rc = xen_platform_register(&p->xen);
	if (!rc)
		rc = xen_cpuid_set(&p->xen);
	if (rc)
		return host->fail(inst, -rc, "cannot register the hypercalls: %s", strerror(-rc));
	rc = xenbus_start(p->bus, evtchn, evtchn_self);
	if (rc)
		return host->fail(inst, -rc, "cannot start the store: %s", strerror(-rc));
	return pvh_load(&p->boot);
}

/* The guest's map first: a page of ours may lie where the kernel goes. */
static int reset(void *self)
{
	struct platform_pvh *p = self;
	int rc;

	xen_platform_reset(&p->xen);
	rc = xenbus_reset(p->bus);
	if (rc)
		return p->boot.host->fail(p->boot.inst, -rc, "cannot reset the store: %s", strerror(-rc));
	return pvh_load(&p->boot);
}

static void stop(void *self)
{
	xenbus_stop(bus_of(self));
}

static void destroy(void *self)
{
	struct platform_pvh *p = self;

	xenbus_destroy(p->bus);
	xen_platform_finish(&p->xen);
	free(p);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	(void)self;
	if (revision != GAMUT_XEN_REVISION)
		return NULL;
	if (!strcmp(id, GAMUT_GRANTS))
		return &pvh_grants;
	return strcmp(id, GAMUT_XENBUS) ? NULL : &pvh_bus;
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.reset = reset,
	.stop = stop,
	.destroy = destroy,
	.interface = interface,
};

static const char *const needs[] = { GAMUT_EVENT_CHANNELS, NULL };
static const char *const gives[] = { GAMUT_GRANTS, GAMUT_XENBUS, NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_PLATFORM,
	.colour = GAMUT_COLOUR_P,
	.score = 100,
	.choice = "pvh",
	.description = "Xen PVH: direct boot, hypercalls, grant tables and xenstore; no chipset",
	.needs = needs,
	.gives = gives,
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "platform-pvh",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
