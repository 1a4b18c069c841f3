/* SPDX-License-Identifier: MIT */
/*
 * Bouncing: an event is delivered to the guest's kernel as if its processor had
 * done it. fast: see pv.h.
 *
 * The frame, from the new stack pointer up, in words of eight bytes:
 *     rcx r11 [ds es fs gs: failsafe callback only] [error code]
 *     rip cs rflags rsp ss
 * The stack is the one of stack_switch when the guest was in user mode, else it
 * goes on where it is; aligned to 16 below the old data. The word of CS has the
 * event mask as it was in bits 32 to 39, and RPL 0 when the kernel itself was
 * interrupted. In rflags, IF is the inverse of that mask, and IOPL is there for
 * guests that asked for it (VMASST_TYPE_architectural_iopl).
 */
#include "dm/xen/pv/monitor.h"

#define FRAME_MAX 12u

/* Cleared on the way into the kernel. */
#define ENTRY_CLEARS (PV_FLAG_AC | PV_FLAG_VM | PV_FLAG_RF | PV_FLAG_NT | PV_FLAG_TF)

void pv_origin(const struct pv_vcpu *v, struct pv_origin *from)
{
	struct gamut_pv_cpu *cpu = v->cpu;

	from->rip = cpu->rip;
	from->rflags = cpu->rflags;
	from->rsp = cpu->gpr[PV_RSP];
	from->cs = cpu->ops->selector(cpu, GAMUT_CS);
	from->ss = cpu->ops->selector(cpu, GAMUT_SS);
}

static uint64_t frame_flags(const struct pv_vcpu *v, uint64_t rflags, uint8_t mask)
{
	rflags &= ~(PV_FLAG_IF | PV_FLAG_IOPL);
	if (!mask)
		rflags |= PV_FLAG_IF;
	if (pv_assist(v->domain, VMASST_TYPE_architectural_iopl))
		rflags |= (uint64_t)v->iopl << 12;
	return rflags;
}

/* All entries of a 64-bit kernel are in its flat segments, whatever selectors it named. */
static int enter_kernel(struct pv_vcpu *v, const struct pv_entry *entry, uint64_t sp)
{
	struct gamut_pv_cpu *cpu = v->cpu;

	if ((cpu->ops->selector(cpu, GAMUT_CS) != FLAT_KERNEL_CS &&
	     cpu->ops->load_segment(cpu, GAMUT_CS, FLAT_KERNEL_CS)) ||
	    (cpu->ops->selector(cpu, GAMUT_SS) != FLAT_KERNEL_SS &&
	     cpu->ops->load_segment(cpu, GAMUT_SS, FLAT_KERNEL_SS)))
		return -1;
	cpu->gpr[PV_RSP] = sp;
	cpu->rip = entry->rip;
	cpu->rflags = (cpu->rflags & ~ENTRY_CLEARS) | PV_FLAG_IF;
	if (entry->mask)
		v->info[1] = 1;
	return 0;
}

int pv_bounce_from(struct pv_vcpu *v, const struct pv_entry *entry, const uint32_t *error,
                   const struct pv_origin *from, const uint64_t selectors[4])
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint64_t frame[FRAME_MAX], sp = from->rsp, cs = from->cs & ~3ull;
	uint32_t n = 0;
	uint8_t mask = v->info[1];

	xen_count(v->domain->bounces);
	if (v->user) {
		pv_toggle(v);
		sp = v->kernel_sp;
		cs = from->cs;
	}
	frame[n++] = cpu->gpr[PV_RCX];
	frame[n++] = cpu->gpr[PV_R11];
	for (uint32_t i = 0; selectors && i < 4; i++)
		frame[n++] = selectors[i];
	if (error)
		frame[n++] = *error;
	frame[n++] = from->rip;
	frame[n++] = cs | (uint64_t)mask << 32;
	frame[n++] = frame_flags(v, from->rflags, mask);
	frame[n++] = from->rsp;
	frame[n++] = from->ss;
	sp = (sp & ~15ull) - n * 8;
	if (!entry->rip)
		pv_doom(v, "an event for which the kernel has set no entry");
	else if (!pv_guest_va(sp, n * 8) || cpu->ops->write(cpu, sp, frame, n * 8, NULL))
		pv_doom(v, "the kernel's stack takes no frame");
	else if (enter_kernel(v, entry, sp))
		pv_doom(v, "the kernel's flat segments are gone");
	return v->doomed ? -1 : 0;
}

int pv_bounce(struct pv_vcpu *v, const struct pv_entry *entry, const uint32_t *error)
{
	struct pv_origin from;

	pv_origin(v, &from);
	return pv_bounce_from(v, entry, error, &from, NULL);
}

/* ---- exceptions --------------------------------------------------------------------- */

int pv_inject(struct pv_vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	return pv_bounce(v, &v->trap[vector], has_error ? &error : NULL);
}

int pv_inject_pf(struct pv_vcpu *v, uint64_t cr2, uint32_t error)
{
	/* To the processor all of the guest is user code. */
	error &= ~4u;
	if (v->user)
		error |= 4u;
	v->cr2 = cr2;
	v->arch->cr2 = cr2;
	return pv_inject(v, PV_PF, true, error);
}

int pv_soft_int(struct pv_vcpu *v, uint8_t vector, uint64_t next_rip)
{
	if (v->trap_dpl[vector] < (v->user ? 3 : 1))
		return PV_NOT_MINE;
	v->cpu->rip = next_rip;
	pv_inject(v, vector, false, 0);
	return PV_DONE;
}

/* ---- events --------------------------------------------------------------------------- */

/* Until the kernel's next iret hypercall there is no other. Without a handler it is lost, as on Xen. */
static void deliver_nmi(struct pv_vcpu *v)
{
	struct pv_entry entry = { .rip = v->trap[PV_NMI].rip, .mask = true };

	v->nmi_pending = false;
	if (!entry.rip)
		return;
	v->nmi_masked = true;
	pv_bounce(v, &entry, NULL);
}

bool pv_deliver(struct pv_vcpu *v)
{
	struct pv_entry entry = { .rip = v->event.rip, .mask = true };
	bool nmi = v->nmi_pending && !v->nmi_masked;

	if (v->doomed)
		return false;
	if (nmi)
		deliver_nmi(v);
	if (v->doomed || !pv_event_due(v))
		return nmi;
	pv_bounce(v, &entry, NULL);
	return true;
}
