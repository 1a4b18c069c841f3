/* SPDX-License-Identifier: MIT */
#include "dm/xen/platform.h"

#include <errno.h>

static int64_t memory_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_platform *p = opaque;

	return xen_memory_op(&p->memory, call);
}

static int64_t grant_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_platform *p = opaque;

	return grant_table_op(&p->grants, call);
}

/* What is left of it for HVM guests needs physical interrupts, which the domain has not: as Xen then, -ENOSYS. */
static int64_t physdev_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_platform *p = opaque;

	return call->cpl ? -EPERM : xen_unimplemented(&p->env);
}

static const struct xen_hypercall hypercalls[] = {
	{ __HYPERVISOR_memory_op, memory_op },
	{ __HYPERVISOR_multicall, xen_multicall },
	{ __HYPERVISOR_xen_version, xen_version_op },
	{ __HYPERVISOR_console_io, xen_console_io },
	{ __HYPERVISOR_grant_table_op, grant_op },
	{ __HYPERVISOR_physdev_op, physdev_op },
	{ __HYPERVISOR_hvm_op, xen_hvm_op },
};

#define N_HYPERCALLS (sizeof(hypercalls) / sizeof(hypercalls[0]))

int64_t xen_platform_call(struct xen_platform *p, struct gamut_hypercall *call)
{
	for (uint32_t i = 0; i < N_HYPERCALLS; i++)
		if (hypercalls[i].nr == call->nr)
			return hypercalls[i].fn(p, call);
	return p->intr ? p->intr->hypercall(p->intr_self, call) : xen_unimplemented(&p->env);
}

int xen_platform_init(struct xen_platform *p, const struct gamut_host *host, struct gamut_inst *inst,
                      const struct xen_e820 *extra, uint32_t n_extra)
{
	int rc;

	*p = (struct xen_platform){ .intr = NULL };
	xen_env_init(&p->env, host, inst);
	rc = grant_init(&p->grants, &p->env);
	if (rc)
		return rc;
	rc = xen_memory_init(&p->memory, &p->env, &p->grants, extra, n_extra);
	if (rc) {
		grant_finish(&p->grants);
		return rc;
	}
	pthread_mutex_init(&p->line_lock, NULL);
	p->lines_dropped = host->counter(inst, "console-io-lines-dropped");
	return 0;
}

void xen_platform_finish(struct xen_platform *p)
{
	xen_memory_finish(&p->memory);
	grant_finish(&p->grants);
	pthread_mutex_destroy(&p->line_lock);
}

void xen_platform_connect(struct xen_platform *p, const struct gamut_xen_intr_ops *intr, void *intr_self,
                          const struct gamut_xenbus_ops *params, void *params_self)
{
	p->intr = p->memory.intr = intr;
	p->intr_self = p->memory.intr_self = intr_self;
	p->params = params;
	p->params_self = params_self;
}

int xen_platform_register(struct xen_platform *p)
{
	int rc = xen_hypercalls_register(&p->env, hypercalls, N_HYPERCALLS, p);

	return rc ? rc : xen_msr_register(p);
}

void xen_platform_reset(struct xen_platform *p)
{
	if (p->intr)
		p->intr->shared_info_place(p->intr_self, GAMUT_GPA_NONE);
	grant_reset(&p->grants);
	xen_memory_reset(&p->memory);
	p->line_len = 0;
}
