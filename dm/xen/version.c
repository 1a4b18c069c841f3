/* SPDX-License-Identifier: MIT */
/* xen_version: who we say we are, and what the guest may rely on. */
#include "dm/xen/platform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int64_t op_version(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	return XEN_ABI_MAJOR << 16 | XEN_ABI_MINOR;
}

/* A fixed array of characters, filled up with zeroes. */
static int64_t put_text(struct xen_platform *p, struct gamut_hypercall *call, uint64_t arg, const char *text,
                        uint32_t size)
{
	char buf[1024] = { 0 };

	snprintf(buf, size, "%s", text);
	return xen_put_raw(&p->env, call, arg, buf, size);
}

static int64_t op_extraversion(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	return put_text(self, call, arg, ".0-gamut", sizeof(xen_extraversion_t));
}

static int64_t op_compile_info(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	struct xen_compile_info info;

	memset(&info, 0, sizeof(info));
	snprintf(info.compiler, sizeof(info.compiler), "%s", __VERSION__);
	snprintf(info.compile_by, sizeof(info.compile_by), "gamut");
	return xen_put_raw(&p->env, call, arg, &info, sizeof(info));
}

static int64_t op_capabilities(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;

	return put_text(p, call, arg, p->flavour->capabilities, sizeof(xen_capabilities_info_t));
}

static int64_t op_changeset(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	return put_text(self, call, arg, "", sizeof(xen_changeset_info_t));
}

/* Where the hypervisor lies in the address space of a PV guest. */
static int64_t op_platform_parameters(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;

	return xen_put_long(&p->env, call, arg, 0, p->flavour->virt_start);
}

static uint32_t xen_features(const struct xen_platform *p)
{
	const struct xen_flavour *f = p->flavour;

	return f->features | (p->can & GAMUT_XEN_INTR_VECTOR ? f->vector_features : 0) |
	       (p->can & GAMUT_XEN_INTR_TIME ? f->time_features : 0);
}

static int64_t op_get_features(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	struct xen_feature_info info;

	if (xen_get_raw(&p->env, call, arg, &info, sizeof(info)))
		return -EFAULT;
	if (info.submap_idx != 0)
		return -EINVAL;
	if (p->started)
		xen_count(p->started);
	info.submap = xen_features(p);
	return xen_put_raw(&p->env, call, arg, &info, sizeof(info));
}

static int64_t op_pagesize(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	return arg ? -EINVAL : (int64_t)XEN_PAGE_SIZE;
}

static int64_t op_guest_handle(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;

	return xen_put_raw(&p->env, call, arg, p->env.host->domain_uuid(p->env.inst), sizeof(xen_domain_handle_t));
}

static int64_t op_commandline(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	return put_text(self, call, arg, "", sizeof(xen_commandline_t));
}

static int64_t op_build_id(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	return -ENODATA;
}

static const xen_subop_fn ops[] = {
	[XENVER_version] = op_version,
	[XENVER_extraversion] = op_extraversion,
	[XENVER_compile_info] = op_compile_info,
	[XENVER_capabilities] = op_capabilities,
	[XENVER_changeset] = op_changeset,
	[XENVER_platform_parameters] = op_platform_parameters,
	[XENVER_get_features] = op_get_features,
	[XENVER_pagesize] = op_pagesize,
	[XENVER_guest_handle] = op_guest_handle,
	[XENVER_commandline] = op_commandline,
	[XENVER_build_id] = op_build_id,
};

int64_t xen_version_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_platform *p = opaque;

	return xen_dispatch(&p->env, ops, sizeof(ops) / sizeof(ops[0]), p, call, (uint32_t)call->args[0],
	                    call->args[1]);
}
