/* SPDX-License-Identifier: MIT */
/*
 * The tables of "grants" and "xenbus" with a platform's instance as self: a
 * template, to be included once by a .c file, which has said before where an
 * instance has its struct xen_domain:
 *
 *     #define XEN_DOMAIN_OF(self) (&((struct platform *)(self))->domain)
 */
#ifndef DM_XEN_DOMAIN_TABLES_H
#define DM_XEN_DOMAIN_TABLES_H

#include <string.h>

#include "dm/xen/domain.h"

static void *grant_map(void *self, uint32_t ref, int write, uint64_t *gpa)
{
	return grant_ops.map(&XEN_DOMAIN_OF(self)->xen.grants, ref, write, gpa);
}

static void grant_unmap(void *self, uint32_t ref, void *page, int dirty)
{
	grant_ops.unmap(&XEN_DOMAIN_OF(self)->xen.grants, ref, page, dirty);
}

static const struct gamut_grant_ops domain_grants = {
	.size = sizeof(struct gamut_grant_ops),
	.map = grant_map,
	.unmap = grant_unmap,
};

static struct xenbus *bus_of(void *self)
{
	return XEN_DOMAIN_OF(self)->bus;
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

/* NULL for any other interface. */
static const void *domain_tables(const char *id, uint32_t revision)
{
	if (revision != GAMUT_XEN_REVISION)
		return NULL;
	if (!strcmp(id, GAMUT_GRANTS))
		return &domain_grants;
	return strcmp(id, GAMUT_XENBUS) ? NULL : &domain_bus;
}

#endif
