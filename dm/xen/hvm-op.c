/* SPDX-License-Identifier: MIT */
/*
 * hvm_op. The sub-operations of device models are a hypercall of their own
 * since long and not for guests; what is left are the HVM params, the upcall
 * vector, and a few small things. The structures have only fixed-width fields
 * and are the same for 32-bit callers.
 */
#include "dm/xen/platform.h"

#include <errno.h>

/* Who may touch an HVM param: as Xen lets the guest itself. */
enum { TOOLS = 1, READ = 2, WRITE = 4 };

static const uint8_t rights[HVM_NR_PARAMS] = {
	[HVM_PARAM_CALLBACK_IRQ] = READ | WRITE,
	[HVM_PARAM_STORE_PFN] = READ,
	[HVM_PARAM_STORE_EVTCHN] = READ,
	[HVM_PARAM_CONSOLE_PFN] = READ,
	[HVM_PARAM_CONSOLE_EVTCHN] = READ,
	[HVM_PARAM_X87_FIP_WIDTH] = READ,
	[HVM_PARAM_VM86_TSS] = READ,
	[HVM_PARAM_VM86_TSS_SIZED] = READ,
	[HVM_PARAM_ACPI_IOPORTS_LOCATION] = READ,
	[HVM_PARAM_VM_GENERATION_ID_ADDR] = READ,
	[HVM_PARAM_IOREQ_PFN] = TOOLS,
	[HVM_PARAM_BUFIOREQ_PFN] = TOOLS,
	[HVM_PARAM_VIRIDIAN] = TOOLS,
	[HVM_PARAM_TIMER_MODE] = TOOLS,
	[HVM_PARAM_HPET_ENABLED] = TOOLS,
	[HVM_PARAM_IDENT_PT] = TOOLS,
	[HVM_PARAM_ACPI_S_STATE] = TOOLS,
	[HVM_PARAM_VPT_ALIGN] = TOOLS,
	[HVM_PARAM_PAGING_RING_PFN] = TOOLS,
	[HVM_PARAM_MONITOR_RING_PFN] = TOOLS,
	[HVM_PARAM_SHARING_RING_PFN] = TOOLS,
	[HVM_PARAM_TRIPLE_FAULT_REASON] = TOOLS,
	[HVM_PARAM_IOREQ_SERVER_PFN] = TOOLS,
	[HVM_PARAM_NR_IOREQ_SERVER_PAGES] = TOOLS,
	[HVM_PARAM_ALTP2M] = TOOLS,
	[HVM_PARAM_MCA_CAP] = TOOLS,
};

/* 0, -EINVAL for what is no param, -EPERM, -ESRCH. */
static int64_t check_param(const struct xen_platform *p, const struct xen_hvm_param *param, uint8_t right)
{
	if (param->index >= HVM_NR_PARAMS)
		return -EINVAL;
	if (!xen_env_self(&p->env, param->domid))
		return param->domid == 0 ? -EPERM : -ESRCH;
	if (!rights[param->index])
		return -EINVAL;
	return rights[param->index] & right ? 0 : -EPERM;
}

static int64_t op_set_param(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	struct xen_hvm_param param;
	int64_t rc;

	if (xen_get_raw(&p->env, call, arg, &param, sizeof(param)))
		return -EFAULT;
	rc = check_param(p, &param, WRITE);
	if (rc)
		return rc;
	/* Only HVM_PARAM_CALLBACK_IRQ comes here. */
	rc = p->params->hvm_param_set(p->params_self, param.index, param.value);
	if (rc || !p->intr)
		return rc;
	p->intr->latch_mode(p->intr_self, call->long_mode);
	return p->intr->callback_set(p->intr_self, param.value);
}

static int64_t op_get_param(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	struct xen_hvm_param param;
	int64_t rc;

	if (xen_get_raw(&p->env, call, arg, &param, sizeof(param)))
		return -EFAULT;
	rc = check_param(p, &param, READ);
	if (rc)
		return rc;
	rc = p->params->hvm_param_get(p->params_self, param.index, &param.value);
	return rc ? rc : xen_put_raw(&p->env, call, arg, &param, sizeof(param));
}

/* The engine keeps its translations right by itself. */
static int64_t op_flush_tlbs(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	return arg ? -EINVAL : 0;
}

/* Of use to shadow page tables only; Xen refuses it otherwise. */
static int64_t op_pagetable_dying(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	struct xen_hvm_pagetable_dying dying;

	return xen_get_raw(&p->env, call, arg, &dying, sizeof(dying)) ? -EFAULT : -EINVAL;
}

static int64_t op_get_time(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	struct xen_hvm_get_time time = { .now = p->env.host->time_now(p->env.inst) };

	return xen_put_raw(&p->env, call, arg, &time, sizeof(time));
}

/* There is no trace buffer, as on a Xen that is not being traced. */
static int64_t op_xentrace(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	struct xen_hvm_xentrace trace;

	if (xen_get_raw(&p->env, call, arg, &trace, sizeof(trace)))
		return -EFAULT;
	return trace.extra_bytes > sizeof(trace.extra) ? -EINVAL : 0;
}

static int64_t op_get_mem_type(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	struct xen_hvm_get_mem_type type;
	uint8_t byte;
	bool ram;

	if (xen_get_raw(&p->env, call, arg, &type, sizeof(type)))
		return -EFAULT;
	if (!xen_env_self(&p->env, type.domid))
		return type.domid == 0 ? -EPERM : -ESRCH;
	ram = type.pfn <= UINT64_MAX >> XEN_PAGE_SHIFT &&
	      !p->env.host->mem_read(p->env.inst, type.pfn << XEN_PAGE_SHIFT, &byte, 1);
	type.mem_type = ram ? HVMMEM_ram_rw : HVMMEM_mmio_dm;
	return xen_put_raw(&p->env, call, arg, &type, sizeof(type));
}

static int64_t op_set_upcall_vector(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	struct xen_hvm_evtchn_upcall_vector upcall;

	if (xen_get_raw(&p->env, call, arg, &upcall, sizeof(upcall)))
		return -EFAULT;
	if (!p->intr)
		return xen_unimplemented(&p->env);
	return p->intr->upcall_vector_set(p->intr_self, upcall.vcpu, upcall.vector);
}

/* Nobody monitors the domain, so the request reaches nobody. */
static int64_t op_vm_event(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	return arg ? -EINVAL : 0;
}

static int64_t op_altp2m(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	return -EOPNOTSUPP;
}

static const xen_subop_fn ops[] = {
	[HVMOP_set_param] = op_set_param,
	[HVMOP_get_param] = op_get_param,
	[HVMOP_flush_tlbs] = op_flush_tlbs,
	[HVMOP_pagetable_dying] = op_pagetable_dying,
	[HVMOP_get_time] = op_get_time,
	[HVMOP_xentrace] = op_xentrace,
	[HVMOP_get_mem_type] = op_get_mem_type,
	[HVMOP_set_evtchn_upcall_vector] = op_set_upcall_vector,
	[HVMOP_guest_request_vm_event] = op_vm_event,
	[HVMOP_altp2m] = op_altp2m,
};

int64_t xen_hvm_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_platform *p = opaque;

	return xen_dispatch(&p->env, ops, sizeof(ops) / sizeof(ops[0]), p, call, (uint32_t)call->args[0],
	                    call->args[1]);
}
