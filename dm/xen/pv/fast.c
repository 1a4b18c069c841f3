/* SPDX-License-Identifier: MIT */
/*
 * Events in, where they are met: what is frequent is settled here, with the
 * guest's vector registers in the processor. fast: see pv.h.
 */
#include "dm/xen/pv/monitor.h"

#include <errno.h>

/* ---- hypercalls ----------------------------------------------------------------------- */

static int op_stack_switch(struct pv_vcpu *v)
{
	uint64_t *gpr = v->cpu->gpr;

	gpr[PV_RAX] = (uint64_t)pv_stack_switch(v, gpr[PV_RDI], gpr[PV_RSI]);
	return PV_DONE;
}

static int op_set_segment_base(struct pv_vcpu *v)
{
	uint64_t *gpr = v->cpu->gpr;

	gpr[PV_RAX] = (uint64_t)pv_set_segment_base(v, gpr[PV_RDI], gpr[PV_RSI]);
	return PV_DONE;
}

static int op_fpu_taskswitch(struct pv_vcpu *v)
{
	uint64_t *gpr = v->cpu->gpr;

	gpr[PV_RAX] = (uint64_t)pv_fpu_taskswitch(v, gpr[PV_RDI]);
	return PV_DONE;
}

/* Guests ask for the version to have events delivered on the way back. */
static int op_xen_version(struct pv_vcpu *v)
{
	uint64_t *gpr = v->cpu->gpr;

	if ((uint32_t)gpr[PV_RDI] != XENVER_version)
		return PV_NOT_MINE;
	gpr[PV_RAX] = XEN_ABI_MAJOR << 16 | XEN_ABI_MINOR;
	return PV_DONE;
}

/* At boot a guest asks for each vCPU that it could ever have. */
static int op_vcpu(struct pv_vcpu *v)
{
	uint64_t *gpr = v->cpu->gpr;

	if ((uint32_t)gpr[PV_RSI] < v->domain->n_vcpus)
		return PV_NOT_MINE;
	gpr[PV_RAX] = (uint64_t)-ENOENT;
	return PV_DONE;
}

static int (*const hypercalls[])(struct pv_vcpu *v) = {
	[__HYPERVISOR_stack_switch] = op_stack_switch,
	[__HYPERVISOR_fpu_taskswitch] = op_fpu_taskswitch,
	[__HYPERVISOR_xen_version] = op_xen_version,
	[__HYPERVISOR_vcpu_op] = op_vcpu,
	[__HYPERVISOR_set_segment_base] = op_set_segment_base,
};

static bool hypercall(struct pv_vcpu *v)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint64_t nr = cpu->gpr[PV_RAX];
	int done;

	if (nr == __HYPERVISOR_iret) {
		xen_count(v->domain->hypercalls);
		pv_iret(v);
		return true;
	}
	if (nr < sizeof(hypercalls) / sizeof(hypercalls[0]) && hypercalls[nr])
		done = hypercalls[nr](v);
	else
		done = nr <= UINT32_MAX ? pv_mmu_fast(v, (uint32_t)nr) : PV_NOT_MINE;
	if (done == PV_NOT_MINE)
		return false;
	xen_count(v->domain->hypercalls);
	cpu->gpr[PV_RCX] = cpu->rip;
	cpu->gpr[PV_R11] = cpu->rflags;
	return true;
}

/* ---- system calls of user mode -------------------------------------------------------------- */

/*
 * SYSCALL tells nothing of the segments it came from but their width, and Xen
 * names its flat ones. Without a callback it does not exist.
 */
static void bounce_syscall(struct pv_vcpu *v, bool code64)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	const struct pv_entry *entry = code64 ? &v->syscall : &v->syscall32;
	struct pv_origin from = { .rip = cpu->rip, .rflags = cpu->rflags, .rsp = cpu->gpr[PV_RSP],
		                  .cs = code64 ? FLAT_USER_CS64 : FLAT_USER_CS32, .ss = FLAT_USER_SS };

	if (!entry->rip) {
		cpu->rip -= 2;
		pv_inject(v, PV_UD, false, 0);
		return;
	}
	cpu->gpr[PV_RCX] = from.rip;
	cpu->gpr[PV_R11] = from.rflags;
	pv_bounce_from(v, entry, NULL, &from, NULL);
	cpu->rflags &= ~PV_FLAG_DF;
}

static bool on_syscall(struct pv_vcpu *v)
{
	bool code64 = v->cpu->ops->code64(v->cpu);

	if (!v->user && code64)
		return hypercall(v);
	bounce_syscall(v, code64);
	return true;
}

/* SYSENTER keeps neither the stack pointer nor where it was: both are null in the frame, as on Xen. */
static bool on_sysenter(struct pv_vcpu *v)
{
	struct pv_origin from = { .rflags = v->cpu->rflags & ~PV_FLAG_NT, .cs = 3, .ss = FLAT_USER_SS };

	if (v->sysenter.rip)
		pv_bounce_from(v, &v->sysenter, NULL, &from, NULL);
	else
		pv_inject(v, PV_GP, true, 0);
	return true;
}

/* ---- exceptions ------------------------------------------------------------------------------ */

/* Some are for more than a frame: a write to a page table, a page of an LDT, an instruction to emulate. */
static bool needs_slow(const struct pv_vcpu *v)
{
	const struct gamut_pv_cpu *cpu = v->cpu;

	if (cpu->vector == PV_PF)
		return (!v->user && (cpu->error & 3) == 3) || !pv_guest_va(cpu->cr2, 1);
	return cpu->vector == PV_UD || (cpu->vector == PV_GP && !cpu->error);
}

/* INT n without prefixes, which is how everybody writes it. */
static bool soft_int(struct pv_vcpu *v)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint8_t opcode = 0;

	if (cpu->ops->read(cpu, cpu->rip, &opcode, 1, NULL) || opcode != 0xcd)
		return false;
	if (pv_soft_int(v, (uint8_t)(cpu->error >> 3), cpu->rip + 2) == PV_NOT_MINE)
		pv_inject(v, PV_GP, true, cpu->error);
	return true;
}

static bool on_trap(struct pv_vcpu *v)
{
	struct gamut_pv_cpu *cpu = v->cpu;

	if (needs_slow(v))
		return false;
	if (cpu->vector == PV_PF) {
		pv_inject_pf(v, cpu->cr2, cpu->error);
		return true;
	}
	if (cpu->vector == PV_GP && (cpu->error & 7) == 2)
		return soft_int(v);
	if (cpu->vector == PV_DB)
		cpu->ops->set_dr(cpu, 6, cpu->ops->dr(cpu, 6) | cpu->dr6);
	pv_inject(v, cpu->vector, cpu->has_error, cpu->error);
	/* The handler may use the FPU at once: as on Xen, TS is clear by then. */
	if (cpu->vector == PV_NM && v->ts)
		pv_fpu_taskswitch(v, 0);
	return true;
}

static bool on_attention(struct pv_vcpu *v)
{
	if (v->cpu->nmi)
		v->nmi_pending = true;
	return true;
}

static bool (*const events[])(struct pv_vcpu *v) = {
	[GAMUT_PV_SYSCALL] = on_syscall,
	[GAMUT_PV_SYSENTER] = on_sysenter,
	[GAMUT_PV_TRAP] = on_trap,
	[GAMUT_PV_ATTENTION] = on_attention,
};

bool pv_fast_event(struct pv_vcpu *v)
{
	uint32_t event = v->cpu->event;

	return event < sizeof(events) / sizeof(events[0]) && events[event](v);
}

int pv_fast(void *opaque, struct gamut_pv_cpu *cpu)
{
	struct pv_domain *d = opaque;
	struct pv_vcpu *v = &d->vcpu[cpu->vcpu];

	if (!v->info || v->fresh || v->doomed || !pv_fast_event(v))
		return GAMUT_PV_SLOW;
	pv_deliver(v);
	return v->doomed ? GAMUT_PV_SLOW : GAMUT_PV_RESUME;
}
