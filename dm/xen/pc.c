/* SPDX-License-Identifier: MIT */
#include "dm/xen/pc.h"

#include <string.h>

int xen_pc_init(struct xen_pc *x, const struct gamut_host *host, struct gamut_inst *inst)
{
	const struct xenbus_config bus = {
		.host = host, .inst = inst, .special_gfn = XEN_PC_SPECIAL_GFN, .special_count = XEN_PC_SPECIAL_COUNT
	};
	int rc;

	x->special = (struct xen_e820){ XEN_PC_SPECIAL_GFN << XEN_PAGE_SHIFT, XEN_PC_SPECIAL_COUNT * XEN_PAGE_SIZE,
		                        XEN_E820_RESERVED };
	rc = xen_domain_init(&x->domain, &xen_flavour_hvm, &bus, &x->special, 1);
	if (!rc)
		xen_device_init(&x->device, &x->domain.xen);
	return rc;
}

void xen_pc_finish(struct xen_pc *x)
{
	xen_device_finish(&x->device);
	xen_domain_finish(&x->domain);
}

int xen_pc_start(struct xen_pc *x, const struct gamut_pci_bus_ops *bus, void *bus_self)
{
	const struct xen_env *env = &x->domain.xen.env;
	int rc = xen_domain_start(&x->domain);

	if (rc)
		return rc;
	rc = xen_console_port_register(&x->domain.xen);
	if (rc)
		return env->host->fail(env->inst, -rc, "cannot offer Xen's debug console: %s", strerror(-rc));
	return xen_device_register(&x->device, bus, bus_self);
}

int xen_pc_reset(struct xen_pc *x)
{
	xen_device_reset(&x->device);
	return xen_domain_reset(&x->domain);
}

void xen_pc_stop(struct xen_pc *x)
{
	xen_domain_stop(&x->domain);
}
