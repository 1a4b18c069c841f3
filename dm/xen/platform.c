/* SPDX-License-Identifier: MIT */
#include "dm/xen/platform.h"

#include <errno.h>

#include "dm/xen/pv/memory-op.h"
#include "dm/xen/pv/notes.h"

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

static int64_t memory_op_pv(void *opaque, struct gamut_hypercall *call)
{
	struct xen_platform *p = opaque;

	return pv_memory_op(&p->memory, call);
}

static const struct xen_hypercall hvm_hypercalls[] = {
	{ __HYPERVISOR_memory_op, memory_op },
	{ __HYPERVISOR_multicall, xen_multicall },
	{ __HYPERVISOR_xen_version, xen_version_op },
	{ __HYPERVISOR_console_io, xen_console_io },
	{ __HYPERVISOR_grant_table_op, grant_op },
	{ __HYPERVISOR_physdev_op, physdev_op },
	{ __HYPERVISOR_hvm_op, xen_hvm_op },
};

/* physdev_op is the monitor's, for what is left of it is about ports; hvm_op is for HVM guests. */
static const struct xen_hypercall pv_hypercalls[] = {
	{ __HYPERVISOR_memory_op, memory_op_pv },
	{ __HYPERVISOR_multicall, xen_multicall },
	{ __HYPERVISOR_xen_version, xen_version_op },
	{ __HYPERVISOR_console_io, xen_console_io },
	{ __HYPERVISOR_grant_table_op, grant_op },
};

#define COUNT(table) (uint32_t)(sizeof(table) / sizeof((table)[0]))

const struct xen_flavour xen_flavour_hvm = {
	.hypercalls = hvm_hypercalls,
	.n_hypercalls = COUNT(hvm_hypercalls),
	.capabilities = "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ",
	.features = 1u << XENFEAT_writable_page_tables | 1u << XENFEAT_auto_translated_physmap,
	.vector_features = 1u << XENFEAT_hvm_callback_vector,
	.time_features = 1u << XENFEAT_hvm_safe_pvclock,
	.last_leaf = 4,
};

const struct xen_flavour xen_flavour_pv = {
	.pv = true,
	.hypercalls = pv_hypercalls,
	.n_hypercalls = COUNT(pv_hypercalls),
	.capabilities = "xen-3.0-x86_64 ",
	.features = PV_FEATURES,
	.virt_start = HYPERVISOR_VIRT_START,
	.last_leaf = 5,
};

int64_t xen_platform_call(struct xen_platform *p, struct gamut_hypercall *call)
{
	for (uint32_t i = 0; i < p->flavour->n_hypercalls; i++)
		if (p->flavour->hypercalls[i].nr == call->nr)
			return p->flavour->hypercalls[i].fn(p, call);
	if (p->flavour->pv)
		return p->env.host->hypercall_call(p->env.inst, call);
	return p->intr ? p->intr->hypercall(p->intr_self, call) : xen_unimplemented(&p->env);
}

int xen_platform_init(struct xen_platform *p, const struct xen_flavour *flavour, const struct gamut_host *host,
                      struct gamut_inst *inst, const struct xen_e820 *extra, uint32_t n_extra)
{
	int rc;

	*p = (struct xen_platform){ .flavour = flavour };
	xen_env_init(&p->env, host, inst);
	rc = grant_init(&p->grants, &p->env);
	if (rc)
		return rc;
	rc = xen_memory_init(&p->memory, &p->env, &p->grants, extra, n_extra);
	if (rc)
		goto finish_grants;
	rc = flavour->pv ? pv_memory_init(&p->memory) : 0;
	if (rc)
		goto finish_memory;
	pthread_mutex_init(&p->line_lock, NULL);
	p->lines_dropped = host->counter(inst, "console-io-lines-dropped");
	return 0;

finish_memory:
	xen_memory_finish(&p->memory);
finish_grants:
	grant_finish(&p->grants);
	return rc;
}

void xen_platform_finish(struct xen_platform *p)
{
	if (p->flavour->pv)
		pv_memory_finish(&p->memory);
	xen_memory_finish(&p->memory);
	grant_finish(&p->grants);
	pthread_mutex_destroy(&p->line_lock);
}

static uint32_t can_of(const struct gamut_xen_intr_ops *intr, void *self)
{
	if (!intr)
		return 0;
	return GAMUT_HAS(intr, struct gamut_xen_intr_ops, can) && intr->can ? intr->can(self) :
	                                                                     GAMUT_XEN_INTR_VECTOR | GAMUT_XEN_INTR_TIME;
}

void xen_platform_connect(struct xen_platform *p, const struct gamut_xen_intr_ops *intr, void *intr_self,
                          const struct gamut_xenbus_ops *params, void *params_self)
{
	p->intr = p->memory.intr = intr;
	p->intr_self = p->memory.intr_self = intr_self;
	p->can = can_of(intr, intr_self);
	p->params = params;
	p->params_self = params_self;
}

int xen_platform_register(struct xen_platform *p)
{
	int rc = xen_hypercalls_register(&p->env, p->flavour->hypercalls, p->flavour->n_hypercalls, p);

	/* A PV guest's accesses to MSRs are the monitor's. */
	return rc || p->flavour->pv ? rc : xen_msr_register(p);
}

void xen_platform_reset(struct xen_platform *p)
{
	if (p->intr)
		p->intr->shared_info_place(p->intr_self, GAMUT_GPA_NONE);
	grant_reset(&p->grants);
	xen_memory_reset(&p->memory);
	if (p->flavour->pv)
		pv_memory_reset(&p->memory);
	p->line_len = 0;
}
