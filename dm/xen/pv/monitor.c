/* SPDX-License-Identifier: MIT */
/*
 * The monitor of a PV guest: what Xen is to a guest whose kernel has no ring 0.
 *
 * How an event travels. The engine meets it (a SYSCALL, a fault, an interrupt
 * for the vCPU) and calls pv_fast where it is. Most end there:
 *
 *   SYSCALL of the kernel   a hypercall; the hot ones are functions of fast.c
 *                           and mmu-fast.c
 *   SYSCALL of user mode    bounced (trap.c): space and GS base are switched, a
 *                           frame is put on the kernel's stack
 *   page fault, exception   bounced as well
 *   an event channel        host->irq_raise became ATTENTION
 *
 * The rest is handed to pv_slow, which may take locks and call the host: other
 * hypercalls, through the host's table, so that event channels, grants and
 * memory are the same code as in other Xen guests; #GP(0), which is mostly a
 * privileged instruction (emulate.c); #UD, which may be Xen's prefix; a page
 * fault that is a write to a page table (va-mapping.c).
 *
 * Either way pv_deliver comes last: before the guest goes on, an NMI and the
 * event upcall are bounced if they are due. That is all there is to interrupts:
 * vcpu_info has the pending byte, which others set, and the mask, which
 * replaces IF and is the vCPU's own.
 *
 * Who is in user mode is v->user and nothing else: both modes are ring 3 to the
 * processor. A guest that can no longer be helped (a frame that cannot be
 * written, an entry that was never set) is doomed: its domain ends as crashed,
 * as on Xen.
 *
 * Threads. A pv_vcpu belongs to the vCPU's thread; that of a vCPU which was
 * never up belongs to who initialises it, under host->vcpu_up's ordering. What
 * belongs to the domain is atomic or has a lock.
 */
#include "dm/xen/pv/monitor.h"

#include <errno.h>

void pv_crash(struct pv_vcpu *v, const char *why)
{
	const struct xen_env *env = &v->domain->env;

	if (!__atomic_exchange_n(&v->domain->crashed, true, __ATOMIC_SEQ_CST))
		env->host->log(env->inst, GAMUT_LOG_WARN, "vCPU %u has crashed in %s mode at %#llx: %s", v->index,
		               v->user ? "user" : "kernel", (unsigned long long)v->cpu->rip, why);
	v->doomed = why;
	env->host->domain_end(env->inst, GAMUT_END_CRASH);
	/* It goes no further, however long the core takes to stop it. */
	env->host->vcpu_block(env->inst, v->index);
}

void pv_take_info(struct pv_vcpu *v)
{
	struct pv_domain *d = v->domain;
	uint8_t *info = d->intr ? d->intr->vcpu_info(d->intr_self, v->index) : NULL;

	v->arch = info ? (void *)(info + offsetof(struct vcpu_info, arch)) : NULL;
	__atomic_store_n(&v->info, info, __ATOMIC_RELEASE);
}

/* ---- hypercalls ------------------------------------------------------------------------ */

static const uint8_t arguments[6] = { PV_RDI, PV_RSI, PV_RDX, PV_R10, PV_R8, PV_R9 };

/* A call that was cut short finds itself again: arguments as far as it got, rip at the instruction. */
static void restart(struct gamut_pv_cpu *cpu, const struct gamut_hypercall *call)
{
	for (int i = 0; i < 6; i++)
		cpu->gpr[arguments[i]] = call->args[i];
	cpu->rip -= 2;
}

static void hypercall(struct pv_vcpu *v)
{
	const struct xen_env *env = &v->domain->env;
	struct gamut_pv_cpu *cpu = v->cpu;
	uint64_t nr = cpu->gpr[PV_RAX];
	struct gamut_hypercall call = { .vcpu = v->index, .nr = nr > UINT32_MAX ? UINT32_MAX : (uint32_t)nr,
		                        .long_mode = 1 };
	int64_t result;

	for (int i = 0; i < 6; i++)
		call.args[i] = cpu->gpr[arguments[i]];
	xen_count(v->domain->hypercalls);
	result = env->host->hypercall_call(env->inst, &call);
	if (call.restart)
		restart(cpu, &call);
	else
		cpu->gpr[PV_RAX] = (uint64_t)result;
	cpu->gpr[PV_RCX] = cpu->rip;
	cpu->gpr[PV_R11] = cpu->rflags;
}

/* The hypercalls of fast.c come here from within a multicall. */
static struct pv_vcpu *caller(void *opaque, const struct gamut_hypercall *call)
{
	return &((struct pv_domain *)opaque)->vcpu[call->vcpu];
}

static int64_t op_stack_switch(void *opaque, struct gamut_hypercall *call)
{
	return pv_stack_switch(caller(opaque, call), call->args[0], call->args[1]);
}

static int64_t op_set_segment_base(void *opaque, struct gamut_hypercall *call)
{
	return pv_set_segment_base(caller(opaque, call), call->args[0], call->args[1]);
}

static int64_t op_fpu_taskswitch(void *opaque, struct gamut_hypercall *call)
{
	return pv_fpu_taskswitch(caller(opaque, call), call->args[0]);
}

/* For a control domain, or for a host's administrator. */
static int64_t op_privileged(void *opaque, struct gamut_hypercall *call)
{
	(void)opaque;
	(void)call;
	return -EPERM;
}

static int64_t op_no_counters(void *opaque, struct gamut_hypercall *call)
{
	(void)opaque;
	(void)call;
	return -EOPNOTSUPP;
}

static const struct xen_hypercall table[] = {
	{ __HYPERVISOR_set_trap_table, pv_op_set_trap_table },
	{ __HYPERVISOR_stack_switch, op_stack_switch },
	{ __HYPERVISOR_set_callbacks, pv_op_set_callbacks },
	{ __HYPERVISOR_fpu_taskswitch, op_fpu_taskswitch },
	{ __HYPERVISOR_platform_op, op_privileged },
	{ __HYPERVISOR_set_debugreg, pv_op_set_debugreg },
	{ __HYPERVISOR_get_debugreg, pv_op_get_debugreg },
	{ __HYPERVISOR_vm_assist, pv_op_vm_assist },
	{ __HYPERVISOR_vcpu_op, pv_op_vcpu },
	{ __HYPERVISOR_set_segment_base, op_set_segment_base },
	{ __HYPERVISOR_nmi_op, pv_op_nmi },
	{ __HYPERVISOR_callback_op, pv_op_callback },
	{ __HYPERVISOR_physdev_op, pv_op_physdev },
	{ __HYPERVISOR_sysctl, op_privileged },
	{ __HYPERVISOR_domctl, op_privileged },
	{ __HYPERVISOR_kexec_op, op_privileged },
	{ __HYPERVISOR_xenpmu_op, op_no_counters },
};

int pv_hypercalls_register(struct pv_domain *d)
{
	return xen_hypercalls_register(&d->env, table, sizeof(table) / sizeof(table[0]), d);
}

/* ---- exceptions ------------------------------------------------------------------------- */

/* INT n with prefixes: rip goes behind the instruction, however long it is. */
static bool soft_int(struct pv_vcpu *v)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint8_t code[15];

	for (uint32_t i = 0; i < sizeof(code); i++) {
		if (cpu->ops->read(cpu, cpu->rip + i, &code[i], 1, NULL))
			return false;
		if (code[i] == 0xcd)
			return pv_soft_int(v, (uint8_t)(cpu->error >> 3), cpu->rip + i + 2) == PV_DONE;
	}
	return false;
}

static bool settle_gp(struct pv_vcpu *v)
{
	if ((v->cpu->error & 7) == 2)
		return soft_int(v);
	return !v->cpu->error && pv_emulate(v) == PV_DONE;
}

static void trap(struct pv_vcpu *v)
{
	struct gamut_pv_cpu *cpu = v->cpu;

	switch (cpu->vector) {
	case PV_PF:
		if (pv_mmu_fault(v, cpu->cr2, cpu->error) == PV_NOT_MINE)
			pv_inject_pf(v, cpu->cr2, cpu->error);
		return;
	case PV_UD:
		if (pv_emulate_forced(v) == PV_NOT_MINE)
			pv_inject(v, PV_UD, false, 0);
		return;
	default:
		if (!settle_gp(v))
			pv_inject(v, cpu->vector, cpu->has_error, cpu->error);
	}
}

int pv_slow(void *opaque, struct gamut_pv_cpu *cpu)
{
	struct pv_domain *d = opaque;
	struct pv_vcpu *v = &d->vcpu[cpu->vcpu];

	xen_count(d->exits_slow);
	if (!v->info)
		pv_take_info(v);
	if (!v->info)
		pv_doom(v, "there is no vcpu_info");
	if (v->fresh && !v->doomed)
		pv_vcpu_enter(v);
	/* Everything may come here first: an engine need not call fast. */
	if (!v->doomed && !pv_fast_event(v)) {
		if (cpu->event == GAMUT_PV_SYSCALL)
			hypercall(v);
		else
			trap(v);
	}
	/* The call may have moved the vcpu_info. */
	if (!v->info)
		pv_take_info(v);
	/*
	 * The call may have put the vCPU to sleep, before the event came. Its
	 * frame is made now, with events masked: nothing else would wake it.
	 */
	if (pv_deliver(v))
		d->env.host->vcpu_wake(d->env.inst, cpu->vcpu);
	if (v->doomed)
		pv_crash(v, v->doomed);
	return GAMUT_PV_RESUME;
}

int pv_pending(void *opaque, uint32_t vcpu)
{
	const struct pv_domain *d = opaque;
	const uint8_t *info = __atomic_load_n(&d->vcpu[vcpu].info, __ATOMIC_ACQUIRE);

	/* After a pause nobody knows until the vCPU has looked. */
	if (!info)
		return 1;
	return __atomic_load_n(&info[0], __ATOMIC_SEQ_CST) && !__atomic_load_n(&info[1], __ATOMIC_SEQ_CST);
}
