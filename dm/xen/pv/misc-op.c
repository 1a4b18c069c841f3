/* SPDX-License-Identifier: MIT */
/* Debug registers, vm_assist, and physdev_op of a guest without devices. */
#include "dm/xen/pv/monitor.h"

#include <errno.h>

#include <xen/physdev.h>

static struct pv_vcpu *caller(void *opaque, const struct gamut_hypercall *call)
{
	return &((struct pv_domain *)opaque)->vcpu[call->vcpu];
}

/* ---- debug registers ------------------------------------------------------------------------ */

#define DR7_ENABLED 0xffull
#define DR7_GD (1ull << 13)
#define DR7_RESERVED_ZERO 0xffffffff0000d800ull
#define DR6_RESERVED_ZERO 0xffffffff00001000ull

enum { TYPE_EXECUTE = 0, TYPE_IO = 2 };

/* Execution is watched one byte at a time; I/O only with CR4.DE. */
static bool dr7_ok(const struct pv_vcpu *v, uint64_t value)
{
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t type = value >> (16 + 4 * i) & 3, len = value >> (18 + 4 * i) & 3;

		if (type == TYPE_EXECUTE && len)
			return false;
		if (type == TYPE_IO && !(v->cr4 & PV_CR4_DE))
			return false;
	}
	return true;
}

static int set_dr7(struct pv_vcpu *v, uint64_t value)
{
	value = (value & ~DR7_RESERVED_ZERO) | PV_DR7_FIXED;
	if (value & DR7_GD || (value & DR7_ENABLED && !dr7_ok(v, value)))
		return -EPERM;
	v->cpu->ops->set_dr(v->cpu, 7, value);
	return 0;
}

/* 4 and 5 are 6 and 7 until CR4.DE takes them away. */
static int64_t real_dr(const struct pv_vcpu *v, uint64_t n)
{
	if (n > 7 || ((n == 4 || n == 5) && v->cr4 & PV_CR4_DE))
		return -ENODEV;
	return (int64_t)(n == 4 || n == 5 ? n + 2 : n);
}

int pv_debugreg_set(struct pv_vcpu *v, uint64_t n, uint64_t value)
{
	int64_t reg = real_dr(v, n);

	if (reg < 0)
		return (int)reg;
	if (reg == 7)
		return set_dr7(v, value);
	if (reg == 6)
		value = (value & ~DR6_RESERVED_ZERO) | PV_DR6_FIXED;
	else if (!pv_guest_va(value, 8))
		return -EPERM;
	v->cpu->ops->set_dr(v->cpu, (uint32_t)reg, value);
	return 0;
}

int pv_debugreg_get(struct pv_vcpu *v, uint64_t n, uint64_t *value)
{
	int64_t reg = real_dr(v, n);

	if (reg < 0)
		return (int)reg;
	*value = v->cpu->ops->dr(v->cpu, (uint32_t)reg);
	return 0;
}

int64_t pv_op_set_debugreg(void *opaque, struct gamut_hypercall *call)
{
	return pv_debugreg_set(caller(opaque, call), (uint32_t)call->args[0], call->args[1]);
}

int64_t pv_op_get_debugreg(void *opaque, struct gamut_hypercall *call)
{
	uint64_t value = 0;
	int rc = pv_debugreg_get(caller(opaque, call), (uint32_t)call->args[0], &value);

	return rc ? rc : (int64_t)value;
}

/* ---- vm_assist ------------------------------------------------------------------------------- */

#define ASSISTS (1ull << VMASST_TYPE_4gb_segments | 1ull << VMASST_TYPE_4gb_segments_notify | \
                 1ull << VMASST_TYPE_writable_pagetables | 1ull << VMASST_TYPE_pae_extended_cr3 | \
                 1ull << VMASST_TYPE_architectural_iopl | 1ull << VMASST_TYPE_runstate_update_flag | \
                 1ull << VMASST_TYPE_m2p_strict)

int64_t pv_op_vm_assist(void *opaque, struct gamut_hypercall *call)
{
	struct pv_domain *d = opaque;
	uint32_t cmd = (uint32_t)call->args[0], type = (uint32_t)call->args[1];

	if (type > 63 || !(ASSISTS >> type & 1))
		return -EINVAL;
	/* Of runstates others keep the books. */
	if (type == VMASST_TYPE_runstate_update_flag)
		return d->intr->hypercall(d->intr_self, call);
	if (cmd == VMASST_CMD_enable)
		__atomic_fetch_or(&d->vm_assist, 1ull << type, __ATOMIC_RELAXED);
	else if (cmd == VMASST_CMD_disable)
		__atomic_fetch_and(&d->vm_assist, ~(1ull << type), __ATOMIC_RELAXED);
	else
		return xen_unimplemented(&d->env);
	return 0;
}

/* ---- physdev_op ------------------------------------------------------------------------------- */

static int64_t op_set_iopl(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct pv_domain *d = self;
	struct physdev_set_iopl set;

	if (xen_get_raw(&d->env, call, arg, &set, sizeof(set)))
		return -EFAULT;
	if (set.iopl > 3)
		return -EINVAL;
	caller(d, call)->iopl = set.iopl;
	return 0;
}

static int64_t op_set_iobitmap(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct pv_domain *d = self;
	struct pv_vcpu *v = caller(d, call);
	struct physdev_set_iobitmap set;
	uint64_t va;

	if (xen_get_raw(&d->env, call, arg, &set, sizeof(set)))
		return -EFAULT;
	va = (uintptr_t)set.bitmap.p;
	if (set.nr_ports > 65536 || (set.nr_ports && !pv_guest_va(va, (set.nr_ports + 7) / 8)))
		return -EINVAL;
	v->iobitmap = va;
	v->iobitmap_ports = set.nr_ports;
	return 0;
}

static const xen_subop_fn physdev_ops[] = {
	[PHYSDEVOP_set_iopl] = op_set_iopl,
	[PHYSDEVOP_set_iobitmap] = op_set_iobitmap,
};

int64_t pv_op_physdev(void *opaque, struct gamut_hypercall *call)
{
	struct pv_domain *d = opaque;

	return xen_dispatch(&d->env, physdev_ops, sizeof(physdev_ops) / sizeof(physdev_ops[0]), d, call,
	                    (uint32_t)call->args[0], call->args[1]);
}
