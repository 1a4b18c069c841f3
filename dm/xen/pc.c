/* SPDX-License-Identifier: MIT */
#include "dm/xen/pc.h"

#include <errno.h>
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

/*
 * A kernel on a PC brings its own hypercall instruction, packed, and newer ones
 * ask for no hypercall page: it must be one that the processor has.
 */
static int check_hypercalls(const struct xen_platform *xen)
{
	static const uint8_t vmcall[3] = { 0x0f, 0x01, 0xc1 }, vmmcall[3] = { 0x0f, 0x01, 0xd9 };

	if (!memcmp(xen->insn, vmcall, 3) || !memcmp(xen->insn, vmmcall, 3))
		return 0;
	return xen->env.host->fail(xen->env.inst, ENOTSUP,
	                           "a PC's kernel makes Xen hypercalls by vmcall or vmmcall, which this engine cannot "
	                           "take on this host (a KVM without KVM_CAP_XEN_HVM); use engine = \"bt\"");
}

int xen_pc_start(struct xen_pc *x, const struct gamut_pci_bus_ops *bus, void *bus_self)
{
	const struct xen_env *env = &x->domain.xen.env;
	int rc = xen_domain_start(&x->domain);

	if (!rc)
		rc = check_hypercalls(&x->domain.xen);
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
