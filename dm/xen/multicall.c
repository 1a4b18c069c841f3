/* SPDX-License-Identifier: MIT */
/*
 * multicall: several hypercalls in one. A call inside that has to be restarted
 * is written back to the guest's list as far as it got, and the whole is
 * restarted from there, so no list can keep a vCPU from looking up.
 */
#include "dm/xen/platform.h"

#include <errno.h>

#define BATCH 64u

static const struct xen_layout layout = {
	32, 64, 8,
	{ { 0, 4, 0, 8 }, { 4, 4, 8, 8 }, { 8, 4, 16, 8 }, { 12, 4, 24, 8 }, { 16, 4, 32, 8 }, { 20, 4, 40, 8 },
	  { 24, 4, 48, 8 }, { 28, 4, 56, 8 } }
};

_Static_assert(sizeof(struct multicall_entry) == 64, "the widened entry is Xen's own");

/* Runs one entry; *restart when it is to be run again. 0 or -EFAULT. */
static int64_t run_entry(struct xen_platform *p, const struct gamut_hypercall *call, uint64_t va, bool *restart)
{
	struct gamut_hypercall inner = { .vcpu = call->vcpu, .cpl = call->cpl, .long_mode = call->long_mode };
	struct multicall_entry entry;

	if (xen_get(&p->env, call, va, &entry, &layout))
		return -EFAULT;
	inner.nr = entry.op > UINT32_MAX ? UINT32_MAX : (uint32_t)entry.op;
	for (int i = 0; i < 6; i++)
		inner.args[i] = entry.args[i];
	/* Lists in lists are refused, as on Xen. */
	entry.result = inner.nr == __HYPERVISOR_multicall ? (xen_ulong_t)-EINVAL :
	                                                     (xen_ulong_t)xen_platform_call(p, &inner);
	*restart = inner.restart != 0;
	for (int i = 0; i < 6 && *restart; i++)
		entry.args[i] = inner.args[i];
	return xen_put(&p->env, call, va, &entry, &layout);
}

/* args: list, count. */
int64_t xen_multicall(void *opaque, struct gamut_hypercall *call)
{
	struct xen_platform *p = opaque;
	uint32_t count = (uint32_t)call->args[1], done = 0;
	bool restart = false;
	int64_t rc = 0;

	if (call->cpl)
		return -EPERM;
	while (done < count && done < BATCH && !restart && !rc) {
		rc = run_entry(p, call, call->args[0] + done * xen_stride(call, &layout), &restart);
		done += !restart;
	}
	if (!rc && done < count) {
		call->args[0] += done * xen_stride(call, &layout);
		call->args[1] = count - done;
		call->restart = 1;
	}
	return rc;
}
