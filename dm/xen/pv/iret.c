/* SPDX-License-Identifier: MIT */
/*
 * HYPERVISOR_iret: the kernel's way to where it was interrupted, or into user
 * mode. fast: see pv.h.
 *
 * What cannot be returned to (a selector that does not load, an address that
 * is none) is a fault of the place that was returned to, as on Xen: the frame
 * of the #GP shows it, and a return to user mode has happened by then.
 */
#include "dm/xen/pv/monitor.h"

/* What IRET gives to ring 3; the rest is the monitor's. CF PF AF ZF SF TF DF OF NT RF AC ID */
#define IRET_FLAGS 0x254dd5ull
#define FLAGS_FIXED 2ull

static void fault(struct pv_vcpu *v, const struct pv_origin *to, uint32_t error)
{
	pv_bounce_from(v, &v->trap[PV_GP], &error, to, NULL);
}

static bool load(struct pv_vcpu *v, uint32_t seg, uint16_t selector)
{
	struct gamut_pv_cpu *cpu = v->cpu;

	return cpu->ops->selector(cpu, seg) == selector || !cpu->ops->load_segment(cpu, seg, selector);
}

/* SYSRET in place of IRET: flat segments, rcx and r11 as the instruction leaves them. */
static void as_sysret(struct pv_vcpu *v, struct pv_origin *to)
{
	uint64_t *gpr = v->cpu->gpr;

	if (to->cs != FLAT_USER_CS32)
		to->cs = FLAT_USER_CS64;
	to->ss = FLAT_USER_SS;
	gpr[PV_RCX] = to->rip;
	gpr[PV_R11] = to->rflags;
}

static void go(struct pv_vcpu *v, const struct pv_origin *to)
{
	struct gamut_pv_cpu *cpu = v->cpu;

	cpu->rip = to->rip;
	cpu->rflags = to->rflags;
	cpu->gpr[PV_RSP] = to->rsp;
	if (!load(v, GAMUT_CS, to->cs))
		fault(v, to, to->cs & ~3u);
	else if (!load(v, GAMUT_SS, to->ss))
		fault(v, to, to->ss & ~3u);
	else if (!pv_canonical(to->rip))
		fault(v, to, 0);
}

void pv_iret(struct pv_vcpu *v)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	struct iret_context c;
	struct pv_origin to;

	if (cpu->ops->read(cpu, cpu->gpr[PV_RSP], &c, sizeof(c), NULL)) {
		pv_doom(v, "the stack has no frame for iret");
		return;
	}
	if ((c.cs & 3) == 3) {
		if (!v->root[PV_USER]) {
			pv_doom(v, "iret to user mode, which has no page tables");
			return;
		}
		pv_toggle(v);
	}
	to.rip = c.rip;
	to.rflags = (c.rflags & IRET_FLAGS) | PV_FLAG_IF | FLAGS_FIXED;
	to.rsp = c.rsp;
	to.cs = (uint16_t)(c.cs | 3);
	to.ss = (uint16_t)(c.ss | 3);
	if (pv_assist(v->domain, VMASST_TYPE_architectural_iopl))
		v->iopl = (uint32_t)(c.rflags >> 12 & 3);
	cpu->gpr[PV_RAX] = c.rax;
	if (!(c.flags & VGCF_in_syscall)) {
		cpu->gpr[PV_R11] = c.r11;
		cpu->gpr[PV_RCX] = c.rcx;
	} else if (pv_canonical(to.rip)) {
		as_sysret(v, &to);
	}
	v->info[1] = !(c.rflags & PV_FLAG_IF);
	v->nmi_masked = false;
	go(v, &to);
}
