/* SPDX-License-Identifier: MIT */
/* Where the guest's kernel wants things delivered: set_trap_table, set_callbacks, callback_op, nmi_op. */
#include "dm/xen/pv/monitor.h"

#include <errno.h>
#include <string.h>

#include <xen/callback.h>
#include <xen/nmi.h>

/* Entries of a trap table in one go; a table has as many as a guest cares to write. */
#define BATCH 256u

static struct pv_vcpu *caller(void *opaque, const struct gamut_hypercall *call)
{
	return &((struct pv_domain *)opaque)->vcpu[call->vcpu];
}

static void set_trap(struct pv_vcpu *v, const struct trap_info *ti)
{
	v->trap[ti->vector] = (struct pv_entry){
		.rip = ti->address, .cs = pv_fix_selector(ti->cs), .mask = TI_GET_IF(ti) != 0
	};
	v->trap_dpl[ti->vector] = TI_GET_DPL(ti);
}

static void clear_traps(struct pv_vcpu *v)
{
	memset(v->trap, 0, sizeof(v->trap));
	memset(v->trap_dpl, 0, sizeof(v->trap_dpl));
}

/* args: the table, ended by an entry without address; NULL clears all. */
int64_t pv_op_set_trap_table(void *opaque, struct gamut_hypercall *call)
{
	struct pv_domain *d = opaque;
	struct pv_vcpu *v = caller(d, call);
	struct trap_info ti;

	if (!call->args[0]) {
		clear_traps(v);
		return 0;
	}
	for (uint32_t i = 0; i < BATCH; i++) {
		if (xen_get_raw(&d->env, call, call->args[0], &ti, sizeof(ti)))
			return -EFAULT;
		if (!ti.address)
			return 0;
		if (!pv_canonical(ti.address))
			return -EINVAL;
		set_trap(v, &ti);
		call->args[0] += sizeof(ti);
	}
	call->restart = 1;
	return 0;
}

/* ---- callbacks --------------------------------------------------------------------------- */

static struct pv_entry *entry_of(struct pv_vcpu *v, uint32_t type)
{
	switch (type) {
	case CALLBACKTYPE_event:
		return &v->event;
	case CALLBACKTYPE_failsafe:
		return &v->failsafe;
	case CALLBACKTYPE_syscall:
		return &v->syscall;
	case CALLBACKTYPE_sysenter:
		return &v->sysenter;
	case CALLBACKTYPE_syscall32:
		return &v->syscall32;
	default:
		return NULL;
	}
}

/* It is entry 2 of the trap table, with events masked. */
static int64_t set_nmi(struct pv_vcpu *v, uint64_t address)
{
	if (!pv_canonical(address))
		return -EINVAL;
	v->trap[PV_NMI] = (struct pv_entry){ .rip = address, .cs = FLAT_KERNEL_CS, .mask = true };
	v->trap_dpl[PV_NMI] = 0;
	return 0;
}

static int64_t clear_nmi(struct pv_vcpu *v)
{
	v->trap[PV_NMI] = (struct pv_entry){ 0 };
	v->trap_dpl[PV_NMI] = 0;
	return 0;
}

static int64_t set_callback(struct pv_vcpu *v, uint32_t type, uint32_t flags, uint64_t address)
{
	struct pv_entry *entry = entry_of(v, type);

	if (!pv_canonical(address))
		return -EINVAL;
	if (type == CALLBACKTYPE_nmi)
		return set_nmi(v, address);
	if (!entry)
		return -ENOSYS;
	*entry = (struct pv_entry){ .rip = address, .cs = FLAT_KERNEL_CS, .mask = flags & CALLBACKF_mask_events };
	return 0;
}

/* args: event, failsafe, syscall. Each is taken or left by itself, and all is well whatever they are: as on Xen. */
int64_t pv_op_set_callbacks(void *opaque, struct gamut_hypercall *call)
{
	struct pv_vcpu *v = caller(opaque, call);

	set_callback(v, CALLBACKTYPE_event, 0, call->args[0]);
	set_callback(v, CALLBACKTYPE_failsafe, 0, call->args[1]);
	set_callback(v, CALLBACKTYPE_syscall, 0, call->args[2]);
	return 0;
}

static int64_t op_register(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct pv_domain *d = self;
	struct callback_register reg;

	if (xen_get_raw(&d->env, call, arg, &reg, sizeof(reg)))
		return -EFAULT;
	return set_callback(caller(d, call), reg.type, reg.flags, reg.address);
}

/* Only the NMI's can be taken away. */
static int64_t op_unregister(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct pv_domain *d = self;
	struct pv_vcpu *v = caller(d, call);
	struct callback_unregister reg;

	if (xen_get_raw(&d->env, call, arg, &reg, sizeof(reg)))
		return -EFAULT;
	if (reg.type == CALLBACKTYPE_nmi)
		return clear_nmi(v);
	return entry_of(v, reg.type) ? -EINVAL : -ENOSYS;
}

static const xen_subop_fn callback_ops[] = {
	[CALLBACKOP_register] = op_register,
	[CALLBACKOP_unregister] = op_unregister,
};

int64_t pv_op_callback(void *opaque, struct gamut_hypercall *call)
{
	struct pv_domain *d = opaque;

	return xen_dispatch(&d->env, callback_ops, 2, d, call, (uint32_t)call->args[0], call->args[1]);
}

static int64_t op_nmi_register(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct pv_domain *d = self;
	struct xennmi_callback cb;

	if (xen_get_raw(&d->env, call, arg, &cb, sizeof(cb)))
		return -EFAULT;
	return set_nmi(caller(d, call), cb.handler_address);
}

static int64_t op_nmi_unregister(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)arg;
	return clear_nmi(caller(self, call));
}

static const xen_subop_fn nmi_ops[] = {
	[XENNMI_register_callback] = op_nmi_register,
	[XENNMI_unregister_callback] = op_nmi_unregister,
};

int64_t pv_op_nmi(void *opaque, struct gamut_hypercall *call)
{
	struct pv_domain *d = opaque;

	return xen_dispatch(&d->env, nmi_ops, 2, d, call, (uint32_t)call->args[0], call->args[1]);
}
