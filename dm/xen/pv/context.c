/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's whole state: the first one's at the start of the image, the others'
 * by VCPUOP_initialise (struct vcpu_guest_context), and those vcpu_ops that
 * concern the monitor.
 *
 * The registers of a vCPU that is down are set from another's thread; its
 * selectors are loaded on its own, before its first instruction, because only
 * there they can fault: a bad data selector leads to the failsafe callback, a
 * bad CS or SS is a #GP, both of a vCPU that runs.
 */
#include "dm/xen/pv/monitor.h"

#include <errno.h>
#include <string.h>

/* struct gamut_segment.attr: flat, ring 3, 64-bit code and writable data. */
#define ATTR_CODE64 0xa0fbu
#define ATTR_DATA 0xc0f3u
#define ATTR_UNUSABLE (1u << 16)

#define USER_FLAGS 0x254dd5ull
#define FLAGS_FIXED 2ull
#define LDT_ENTRIES_MAX 8192u
#define PAGE_OFFSET (XEN_PAGE_SIZE - 1)

void pv_vcpu_clear(struct pv_vcpu *v)
{
	struct pv_domain *d = v->domain;
	struct gamut_pv_cpu *cpu = v->cpu;
	uint32_t index = v->index;

	memset(v, 0, sizeof(*v));
	v->domain = d;
	v->cpu = cpu;
	v->index = index;
	v->cr4 = PV_CR4_FIXED;
}

/* Long mode in ring 3, with the kernel's space in force and null data segments. */
static void power_on(struct gamut_vcpu_state *s, uint64_t root)
{
	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	for (int i = 0; i < GAMUT_SEG_COUNT; i++)
		s->seg[i].attr = ATTR_UNUSABLE;
	s->seg[GAMUT_CS] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = FLAT_KERNEL_CS,
		                                   .attr = ATTR_CODE64 };
	s->seg[GAMUT_SS] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = FLAT_KERNEL_SS,
		                                   .attr = ATTR_DATA };
	s->rflags = PV_FLAG_IF | FLAGS_FIXED;
	s->cr0 = PV_CR0;
	s->cr3 = root << XEN_PAGE_SHIFT;
	s->cr4 = PV_CR4_FIXED;
	s->efer = PV_EFER;
	s->dr[6] = PV_DR6_FIXED;
	s->dr[7] = PV_DR7_FIXED;
}

int pv_vcpu_first(struct pv_vcpu *v, const struct gamut_pv_boot *boot)
{
	const struct xen_env *env = &v->domain->env;
	struct gamut_vcpu_state s;

	power_on(&s, boot->root);
	s.rip = boot->entry;
	s.gpr[PV_RSP] = boot->stack;
	s.gpr[PV_RSI] = boot->start_info;
	v->kernel_ss = FLAT_KERNEL_SS;
	v->kernel_sp = boot->stack;
	v->initialised = true;
	return env->host->vcpu_set(env->inst, v->index, &s);
}

/* ---- VCPUOP_initialise: checks ------------------------------------------------------------------- */

static bool addresses_ok(const struct vcpu_guest_context *c)
{
	const uint64_t list[] = { c->user_regs.rip, c->user_regs.rsp, c->kernel_sp, c->ldt_base, c->fs_base,
		                  c->gs_base_kernel, c->gs_base_user, c->event_callback_eip,
		                  c->failsafe_callback_eip, c->syscall_callback_eip };

	for (uint32_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (!pv_canonical(list[i]))
			return false;
	for (uint32_t i = 0; i < 256; i++)
		if (!pv_canonical(c->trap_ctxt[i].address))
			return false;
	return true;
}

static bool context_ok(const struct vcpu_guest_context *c)
{
	if (!addresses_ok(c) || c->ldt_base & PAGE_OFFSET || c->ldt_ents > LDT_ENTRIES_MAX ||
	    c->gdt_ents > FIRST_RESERVED_GDT_ENTRY)
		return false;
	if (c->ldt_ents && !pv_guest_va(c->ldt_base, c->ldt_ents * 8))
		return false;
	return (c->flags & VGCF_in_kernel) || c->ctrlreg[1];
}

/* ---- ... and taking it over ---------------------------------------------------------------------- */

static void take_entries(struct pv_vcpu *v, const struct vcpu_guest_context *c)
{
	for (uint32_t i = 0; i < 256; i++) {
		const struct trap_info *ti = &c->trap_ctxt[i];

		v->trap[i] = (struct pv_entry){
			.rip = ti->address, .cs = pv_fix_selector(ti->cs), .mask = TI_GET_IF(ti) != 0
		};
		v->trap_dpl[i] = TI_GET_DPL(ti);
	}
	v->event = (struct pv_entry){ .rip = c->event_callback_eip, .cs = FLAT_KERNEL_CS, .mask = true };
	v->failsafe = (struct pv_entry){ .rip = c->failsafe_callback_eip, .cs = FLAT_KERNEL_CS,
		                         .mask = c->flags & VGCF_failsafe_disables_events };
	v->syscall = (struct pv_entry){ .rip = c->syscall_callback_eip, .cs = FLAT_KERNEL_CS,
		                        .mask = c->flags & VGCF_syscall_disables_events };
	v->kernel_ss = pv_fix_selector((uint16_t)c->kernel_ss);
	v->kernel_sp = c->kernel_sp;
}

static void take_registers(const struct vcpu_guest_context *c, struct gamut_vcpu_state *s)
{
	const struct cpu_user_regs *r = &c->user_regs;
	const uint64_t gpr[16] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
		                   r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };

	power_on(s, xen_cr3_to_pfn(c->ctrlreg[3]));
	memcpy(s->gpr, gpr, sizeof(gpr));
	s->rip = r->rip;
	s->rflags |= r->rflags & USER_FLAGS;
}

static void take_selectors(struct pv_vcpu *v, const struct vcpu_guest_context *c)
{
	v->first[GAMUT_CS] = (uint16_t)(c->user_regs.cs | 3);
	v->first[GAMUT_SS] = (uint16_t)(c->user_regs.ss | 3);
	v->first[GAMUT_DS] = c->user_regs.ds;
	v->first[GAMUT_ES] = c->user_regs.es;
	v->first[GAMUT_FS] = c->user_regs.fs;
	v->first[GAMUT_GS] = c->user_regs.gs;
	v->fresh = true;
}

/* What the engine has beyond struct gamut_vcpu_state. A base counts only beside a null selector. */
static void take_rest(struct pv_vcpu *v, const struct vcpu_guest_context *c)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint64_t fs = c->user_regs.fs & ~3u ? 0 : c->fs_base, user_gs = c->user_regs.gs & ~3u ? 0 : c->gs_base_user;

	v->user = !(c->flags & VGCF_in_kernel);
	v->other_gs = v->user ? c->gs_base_kernel : user_gs;
	cpu->ops->set_base(cpu, GAMUT_FS, fs);
	cpu->ops->set_base(cpu, GAMUT_GS, v->user ? user_gs : c->gs_base_kernel);
	cpu->ops->enter(cpu, v->user);
	v->iopl = (uint32_t)(c->user_regs.rflags >> 12 & 3);
	pv_fpu_taskswitch(v, (c->ctrlreg[0] & PV_CR0_TS) != 0);
	v->cr4 = PV_CR4_FIXED | (c->ctrlreg[4] & pv_cr4_choice(v));
	cpu->ops->set_cr4(cpu, v->cr4);
	for (uint32_t i = 0; i < 8; i++) /* those that are not allowed stay as they are at power-on: as on Xen */
		if (i != 4 && i != 5)
			pv_debugreg_set(v, i, c->debugreg[i]);
}

static int take_tables(struct pv_vcpu *v, const struct vcpu_guest_context *c)
{
	int rc = pv_set_gdt(v, c->gdt_frames, (uint32_t)c->gdt_ents);

	if (!rc)
		rc = pv_set_ldt(v, c->ldt_base, (uint32_t)c->ldt_ents);
	if (!rc)
		rc = pv_set_roots(v, xen_cr3_to_pfn(c->ctrlreg[3]), xen_cr3_to_pfn(c->ctrlreg[1]));
	if (!rc)
		return 0;
	pv_set_ldt(v, 0, 0);
	pv_set_gdt(v, NULL, 0);
	return rc;
}

/* Under d->lock; the vCPU is down and never was up. */
static int64_t initialise(struct pv_vcpu *v, const struct vcpu_guest_context *c)
{
	const struct xen_env *env = &v->domain->env;
	struct gamut_vcpu_state s;
	int rc;

	if (v->initialised)
		return -EEXIST;
	if (!context_ok(c))
		return -EINVAL;
	take_registers(c, &s);
	if (env->host->vcpu_set(env->inst, v->index, &s))
		return -EINVAL;
	rc = take_tables(v, c);
	if (rc)
		return rc;
	take_entries(v, c);
	take_selectors(v, c);
	take_rest(v, c);
	v->initialised = true;
	return 0;
}

/* ---- vcpu_op ---------------------------------------------------------------------------------------- */

/* Event or not, the vCPU is to look in before its first instruction: v->fresh. */
static int64_t bring_up(struct pv_domain *d, struct gamut_hypercall *call, struct pv_vcpu *v)
{
	bool ready;

	pthread_mutex_lock(&d->lock);
	ready = v->initialised;
	pthread_mutex_unlock(&d->lock);
	if (!ready)
		return -EINVAL;
	d->env.host->irq_raise(d->env.inst, v->index);
	return d->intr->hypercall(d->intr_self, call);
}

static int64_t op_initialise(struct pv_domain *d, struct gamut_hypercall *call, struct pv_vcpu *v)
{
	struct vcpu_guest_context c;
	struct gamut_hypercall up = *call;
	int64_t rc;

	if (xen_get_raw(&d->env, call, call->args[2], &c, sizeof(c)))
		return -EFAULT;
	pthread_mutex_lock(&d->lock);
	rc = initialise(v, &c);
	pthread_mutex_unlock(&d->lock);
	if (rc || !(c.flags & VGCF_online))
		return rc;
	up.args[0] = VCPUOP_up;
	return bring_up(d, &up, v);
}

/*
 * What is written to a vcpu_info does not go through the guest's tables, so its
 * page must not be one, and never become one: as on Xen, it is kept for good.
 */
static int64_t register_info(struct pv_domain *d, struct gamut_hypercall *call, struct pv_vcpu *v)
{
	struct vcpu_register_vcpu_info reg;
	const uint8_t *info;
	int64_t rc;

	if (xen_get_raw(&d->env, call, call->args[2], &reg, sizeof(reg)))
		return -EFAULT;
	rc = pv_frame_keep(v, reg.mfn, true);
	if (rc)
		return rc;
	rc = d->intr->hypercall(d->intr_self, call);
	if (rc) {
		pv_frame_keep(v, reg.mfn, false);
		return rc;
	}
	/* The owner has read the arguments once more. */
	info = d->intr->vcpu_info(d->intr_self, v->index);
	if (((uintptr_t)info - (uintptr_t)d->ram) >> XEN_PAGE_SHIFT != reg.mfn)
		pv_crash(v, "the place of a vcpu_info changed while it was registered");
	/* This vCPU takes it again before it goes on, another one when it is up. */
	__atomic_store_n(&v->info, NULL, __ATOMIC_RELEASE);
	return 0;
}

/* args: the sub-operation, the vCPU, its structure. What is not of the monitor is the interrupts plugin's. */
int64_t pv_op_vcpu(void *opaque, struct gamut_hypercall *call)
{
	struct pv_domain *d = opaque;
	uint32_t cmd = (uint32_t)call->args[0], target = (uint32_t)call->args[1];

	if (target >= d->n_vcpus)
		return -ENOENT;
	if (cmd == VCPUOP_initialise)
		return op_initialise(d, call, &d->vcpu[target]);
	if (cmd == VCPUOP_up)
		return bring_up(d, call, &d->vcpu[target]);
	if (cmd == VCPUOP_register_vcpu_info)
		return register_info(d, call, &d->vcpu[target]);
	return d->intr->hypercall(d->intr_self, call);
}

/* ---- the first instruction --------------------------------------------------------------------------- */

static void to_failsafe(struct pv_vcpu *v, const struct pv_origin *from)
{
	const uint64_t selectors[4] = { v->first[GAMUT_DS], v->first[GAMUT_ES], v->first[GAMUT_FS],
		                        v->first[GAMUT_GS] };

	pv_bounce_from(v, &v->failsafe, NULL, from, selectors);
}

/*
 * DS ES FS GS: true when all could be loaded; the others are null then. A base
 * beside a null selector is what the context said.
 */
static bool load_data(struct pv_vcpu *v)
{
	static const uint8_t segs[] = { GAMUT_DS, GAMUT_ES, GAMUT_FS, GAMUT_GS };
	struct gamut_pv_cpu *cpu = v->cpu;
	uint64_t gs = cpu->ops->base(cpu, GAMUT_GS);
	bool good = true;

	for (uint32_t i = 0; i < sizeof(segs); i++) {
		uint16_t selector = v->first[segs[i]];

		if (selector & ~3u)
			good &= !cpu->ops->load_segment(cpu, segs[i], pv_fix_selector(selector));
	}
	/* %gs is the user's: in the kernel's mode its base waits. */
	if (!v->user && v->first[GAMUT_GS] & ~3u) {
		v->other_gs = cpu->ops->base(cpu, GAMUT_GS);
		cpu->ops->set_base(cpu, GAMUT_GS, gs);
	}
	return good;
}

void pv_vcpu_enter(struct pv_vcpu *v)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	struct pv_origin from = { .rip = cpu->rip, .rflags = cpu->rflags, .rsp = cpu->gpr[PV_RSP],
		                  .cs = v->first[GAMUT_CS], .ss = v->first[GAMUT_SS] };
	uint32_t error;

	v->fresh = false;
	if (!load_data(v)) {
		to_failsafe(v, &from);
		return;
	}
	error = from.cs & ~3u;
	if (!cpu->ops->load_segment(cpu, GAMUT_CS, from.cs)) {
		error = from.ss & ~3u;
		if (!cpu->ops->load_segment(cpu, GAMUT_SS, from.ss))
			return;
	}
	pv_bounce_from(v, &v->trap[PV_GP], &error, &from, NULL);
}
