/* SPDX-License-Identifier: MIT */
/* What the kernel says of its stack and of segments, and what it cannot do in ring 3: swapgs. fast: see pv.h. */
#include "dm/xen/pv/monitor.h"

#include <errno.h>

void pv_toggle(struct pv_vcpu *v)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint64_t gs = cpu->ops->base(cpu, GAMUT_GS);

	v->user = !v->user;
	cpu->ops->set_base(cpu, GAMUT_GS, v->other_gs);
	v->other_gs = gs;
	cpu->ops->enter(cpu, v->user);
}

int64_t pv_stack_switch(struct pv_vcpu *v, uint64_t ss, uint64_t sp)
{
	v->kernel_ss = pv_fix_selector((uint16_t)ss);
	v->kernel_sp = sp;
	return 0;
}

int64_t pv_fpu_taskswitch(struct pv_vcpu *v, uint64_t set)
{
	v->ts = (uint32_t)set != 0;
	v->cpu->ops->set_ts(v->cpu, v->ts);
	return 0;
}

/*
 * The user's %gs: its selector is loaded now, its base waits for user mode. One
 * that cannot be loaded becomes null.
 */
static void set_user_gs(struct pv_vcpu *v, uint16_t selector)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint64_t kernel = cpu->ops->base(cpu, GAMUT_GS);

	if (selector <= 3 && cpu->ops->selector(cpu, GAMUT_GS) == selector) {
		v->other_gs = 0;
		return;
	}
	if (cpu->ops->load_segment(cpu, GAMUT_GS, pv_fix_selector(selector)))
		cpu->ops->load_segment(cpu, GAMUT_GS, 0);
	v->other_gs = cpu->ops->base(cpu, GAMUT_GS);
	cpu->ops->set_base(cpu, GAMUT_GS, kernel);
}

int64_t pv_set_segment_base(struct pv_vcpu *v, uint64_t which, uint64_t base)
{
	struct gamut_pv_cpu *cpu = v->cpu;

	which = (uint32_t)which;
	if (which == SEGBASE_GS_USER_SEL) {
		set_user_gs(v, (uint16_t)base);
		return 0;
	}
	if (which > SEGBASE_GS_USER_SEL || !pv_canonical(base))
		return -EINVAL;
	if (which == SEGBASE_GS_USER)
		v->other_gs = base;
	else
		cpu->ops->set_base(cpu, which == SEGBASE_FS ? GAMUT_FS : GAMUT_GS, base);
	return 0;
}
