/* SPDX-License-Identifier: MIT */
/*
 * syscall, sysret, sysenter, sysexit, swapgs, and the instructions that change
 * RFLAGS.
 */
#include "engine/bt/decode.h"
#include "engine/bt/segment.h"
#include "engine/bt/sys.h"

/* RFLAGS as sysret takes them from r11: no RF, VM, nor reserved bits. */
#define SYSRET_FLAGS 0x3c7fd7ull

static enum bt_step gp(struct bt_vcpu *v)
{
	return bt_fault_error(v, EXC_GP, 0);
}

/* In a PV guest there is no ring 0 to go to: pv.c makes an event of it. */
static enum bt_step fast_call(struct bt_vcpu *v, enum bt_call call, uint64_t next)
{
	v->exc = (struct bt_exc){ .call = (uint8_t)call, .len = (uint8_t)(next - v->rip) };
	return STEP_FAULT;
}

/* Intel has syscall in 64-bit mode only, and sysenter in all protected modes; AMD has them the other way round. */
bool sys_vendor_amd(const struct bt_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_find(v, 0, 0);

	return e && (e->regs[1] == 0x68747541 /* Auth */ || e->regs[1] == 0x6f677948 /* Hygo */);
}

static enum bt_step syscall_legacy(struct bt_vcpu *v, uint64_t next)
{
	uint16_t cs = v->star >> 32 & 0xfffc;

	if (!sys_vendor_amd(v) || !(v->cr0 & CR0_PE))
		return bt_fault(v, EXC_UD);
	v->gpr[RCX] = (uint32_t)next;
	v->rip = (uint32_t)v->star;
	bt_set_rflags(v, bt_rflags(v) & ~(FL_IF | FL_RF | FL_VM));
	seg_set_flat(v, cs, ATTR_CODE32, (uint16_t)(cs + 8), 0);
	bt_update_key(v);
	return STEP_OK;
}

enum bt_step sys_syscall(struct bt_vcpu *v, uint64_t next)
{
	uint16_t cs = v->star >> 32 & 0xfffc;
	bool code64 = bt_code64(v);
	uint64_t flags = bt_rflags(v);

	if (!(v->efer & EFER_SCE))
		return bt_fault(v, EXC_UD);
	if (!bt_long_mode(v))
		return syscall_legacy(v, next);
	if (!code64 && !sys_vendor_amd(v))
		return bt_fault(v, EXC_UD);
	if (bt_is_pv(v))
		return fast_call(v, CALL_SYSCALL, next);
	v->gpr[RCX] = code64 ? next : (uint32_t)next;
	v->gpr[R11] = flags & ~FL_RF;
	v->rip = code64 ? v->lstar : v->cstar;
	bt_set_rflags(v, flags & ~(v->sfmask | FL_RF));
	seg_set_flat(v, cs, ATTR_CODE64, (uint16_t)(cs + 8), 0);
	bt_update_key(v);
	return STEP_OK;
}

static enum bt_step sysret_legacy(struct bt_vcpu *v)
{
	uint16_t cs = (uint16_t)(v->star >> 48);

	if (!sys_vendor_amd(v))
		return bt_fault(v, EXC_UD);
	if (!(v->cr0 & CR0_PE) || v->cpl != 0)
		return gp(v);
	v->rip = (uint32_t)v->gpr[RCX];
	bt_set_rflags(v, bt_rflags(v) | FL_IF);
	seg_set_flat(v, cs | 3, ATTR_CODE32, (uint16_t)(cs + 8) | 3, 3);
	bt_update_key(v);
	return STEP_OK;
}

enum bt_step sys_sysret(struct bt_vcpu *v, unsigned opsize)
{
	uint16_t base = (uint16_t)(v->star >> 48);

	if (!(v->efer & EFER_SCE))
		return bt_fault(v, EXC_UD);
	if (!bt_long_mode(v))
		return sysret_legacy(v);
	if (!bt_code64(v) && !sys_vendor_amd(v))
		return bt_fault(v, EXC_UD);
	if (v->cpl != 0 || (opsize == 8 && !canonical(v->gpr[RCX])))
		return gp(v);
	bt_set_rflags(v, v->gpr[R11] & SYSRET_FLAGS);
	if (opsize == 8) {
		v->rip = v->gpr[RCX];
		seg_set_flat(v, (uint16_t)(base + 16) | 3, ATTR_CODE64, (uint16_t)(base + 8) | 3, 3);
	} else {
		v->rip = (uint32_t)v->gpr[RCX];
		seg_set_flat(v, base | 3, ATTR_CODE32, (uint16_t)(base + 8) | 3, 3);
	}
	bt_update_key(v);
	return STEP_OK;
}

enum bt_step sys_sysenter(struct bt_vcpu *v)
{
	bool lma = bt_long_mode(v);
	uint16_t cs = v->sysenter_cs & 0xfffc;

	if (lma && sys_vendor_amd(v))
		return bt_fault(v, EXC_UD);
	if (bt_is_pv(v))
		return fast_call(v, CALL_SYSENTER, v->rip);
	if (!(v->cr0 & CR0_PE) || cs == 0)
		return gp(v);
	bt_set_rflags(v, bt_rflags(v) & ~(FL_VM | FL_IF | FL_RF));
	v->gpr[RSP] = lma ? v->sysenter_esp : (uint32_t)v->sysenter_esp;
	v->rip = lma ? v->sysenter_eip : (uint32_t)v->sysenter_eip;
	seg_set_flat(v, cs, lma ? ATTR_CODE64 : ATTR_CODE32, (uint16_t)(cs + 8), 0);
	bt_update_key(v);
	return STEP_OK;
}

enum bt_step sys_sysexit(struct bt_vcpu *v, unsigned opsize)
{
	bool wide = opsize == 8;
	uint16_t cs = v->sysenter_cs & 0xfffc;

	if (bt_long_mode(v) && sys_vendor_amd(v))
		return bt_fault(v, EXC_UD);
	if (!seg_protected(v) || v->cpl != 0 || cs == 0)
		return gp(v);
	if (wide && (!canonical(v->gpr[RCX]) || !canonical(v->gpr[RDX])))
		return gp(v);
	cs = (uint16_t)(cs + (wide ? 32 : 16));
	v->gpr[RSP] = wide ? v->gpr[RCX] : (uint32_t)v->gpr[RCX];
	v->rip = wide ? v->gpr[RDX] : (uint32_t)v->gpr[RDX];
	seg_set_flat(v, cs | 3, wide ? ATTR_CODE64 : ATTR_CODE32, (uint16_t)(cs + 8) | 3, 3);
	bt_update_key(v);
	return STEP_OK;
}

enum bt_step sys_swapgs(struct bt_vcpu *v)
{
	uint64_t gs = v->seg[GAMUT_GS].base;

	if (!bt_code64(v))
		return bt_fault(v, EXC_UD);
	if (v->cpl != 0)
		return gp(v);
	v->seg[GAMUT_GS].base = v->seg_base[GAMUT_GS] = v->kernel_gs_base;
	v->kernel_gs_base = gs;
	return STEP_OK;
}

static unsigned iopl(const struct bt_vcpu *v)
{
	return (unsigned)(v->rflags >> 12 & 3);
}

uint64_t flags_mask(const struct bt_vcpu *v, unsigned opsize)
{
	uint64_t mask = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF | FL_TF | FL_DF | FL_NT;

	if (opsize >= 4)
		mask |= FL_AC | FL_ID;
	if (v->cpl <= iopl(v))
		mask |= FL_IF;
	if (v->cpl == 0)
		mask |= FL_IOPL;
	return mask;
}

enum bt_step sys_popf(struct bt_vcpu *v, uint64_t value, unsigned opsize)
{
	uint64_t mask = flags_mask(v, opsize);

	if (v->rflags & FL_VM) {
		if (iopl(v) < 3)
			return gp(v);
		mask &= ~FL_IOPL;
	}
	/* RF is cleared whatever was popped. */
	bt_set_rflags(v, ((bt_rflags(v) & ~mask) | (value & mask)) & ~FL_RF);
	bt_update_key(v);
	return STEP_OK;
}

/* CPL within IOPL; in virtual-8086 mode (CPL 3) that means IOPL 3. Real mode has CPL 0. */
enum bt_step sys_cli(struct bt_vcpu *v)
{
	if (v->cpl > iopl(v))
		return gp(v);
	v->if_flag = 0;
	return STEP_OK;
}

enum bt_step sys_sti(struct bt_vcpu *v)
{
	if (v->cpl > iopl(v))
		return gp(v);
	if (!v->if_flag)
		v->shadow = 1;
	v->if_flag = 1;
	return STEP_OK;
}
