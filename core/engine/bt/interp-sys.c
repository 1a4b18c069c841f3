/* SPDX-License-Identifier: MIT */
/*
 * Instructions of class SYS and FLAGS: operands here, what they mean in sys.c
 * and its neighbours. The table at the end is the index of all there are.
 */
#include "engine/bt/interp-internal.h"

typedef enum bt_step (*selector_fn)(struct bt_vcpu *v, uint16_t selector);

static enum bt_step undefined(struct bt_vcpu *v)
{
	return bt_fault(v, EXC_UD);
}

bool interp_cpuid_bit(const struct bt_vcpu *v, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	for (uint32_t i = 0; i < v->n_cpuid; i++) {
		const struct cpuid_entry *e = &v->cpuid[i];

		if (e->leaf == leaf && (!e->has_subleaf || e->subleaf == subleaf))
			return e->regs[reg] >> bit & 1;
	}
	return false;
}

/* ---- control, debug and model-specific registers ------------------------------------------ */

static enum bt_step mov_from_cr(struct bt_vcpu *v, struct interp *x)
{
	uint64_t value;
	enum bt_step step = x->in.op == OP_MOV_FROM_CR ? sys_read_cr(v, x->in.reg, &value)
	                                               : sys_read_dr(v, x->in.reg, &value);

	if (step == STEP_OK)
		set_gpr(v, x->in.rm, value, x->in.opsize);
	return step;
}

static enum bt_step mov_to_cr(struct bt_vcpu *v, struct interp *x)
{
	uint64_t value = get_gpr(v, x->in.rm, x->in.opsize);

	return x->in.op == OP_MOV_TO_CR ? sys_write_cr(v, x->in.reg, value)
	                                : sys_write_dr(v, x->in.reg, value);
}

static enum bt_step clts(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	v->cr0 &= ~CR0_TS;
	bt_update_key(v);
	return STEP_OK;
}

/* Sets PE MP EM TS; PE is never cleared. */
static enum bt_step lmsw(struct bt_vcpu *v, struct interp *x)
{
	uint64_t value;
	enum bt_step step = interp_read_rm(v, x, 2, &value);

	if (step != STEP_OK)
		return step;
	return sys_write_cr(v, 0, (v->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (value & 15));
}

static enum bt_step smsw(struct bt_vcpu *v, struct interp *x)
{
	return umip_denies(v) ? fault_gp(v) : interp_write_rm(v, x, v->cr0);
}

static uint64_t edx_eax(const struct bt_vcpu *v)
{
	return (uint32_t)v->gpr[RAX] | v->gpr[RDX] << 32;
}

static void set_edx_eax(struct bt_vcpu *v, uint64_t value)
{
	v->gpr[RAX] = (uint32_t)value;
	v->gpr[RDX] = value >> 32;
}

static enum bt_step rdmsr(struct bt_vcpu *v, struct interp *x)
{
	uint64_t value;
	enum bt_step step = sys_rdmsr(v, (uint32_t)v->gpr[RCX], &value);

	(void)x;
	if (step == STEP_OK)
		set_edx_eax(v, value);
	return step;
}

static enum bt_step wrmsr(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	return sys_wrmsr(v, (uint32_t)v->gpr[RCX], edx_eax(v));
}

static enum bt_step xgetbv(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	if (!(v->cr4 & CR4_OSXSAVE))
		return undefined(v);
	if ((uint32_t)v->gpr[RCX] != 0)
		return fault_gp(v);
	set_edx_eax(v, v->xcr0);
	return STEP_OK;
}

static enum bt_step xsetbv(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	if (!(v->cr4 & CR4_OSXSAVE))
		return undefined(v);
	return sys_xsetbv(v, (uint32_t)v->gpr[RCX], edx_eax(v));
}

/* ---- identification, time, random numbers --------------------------------------------------- */

static enum bt_step cpuid(struct bt_vcpu *v, struct interp *x)
{
	uint32_t regs[4];

	(void)x;
	sys_cpuid(v, (uint32_t)v->gpr[RAX], (uint32_t)v->gpr[RCX], regs);
	v->gpr[RAX] = regs[0];
	v->gpr[RBX] = regs[1];
	v->gpr[RCX] = regs[2];
	v->gpr[RDX] = regs[3];
	return STEP_OK;
}

static enum bt_step rdtsc(struct bt_vcpu *v, struct interp *x)
{
	if (x->in.op == OP_RDTSCP && !interp_cpuid_bit(v, 0x80000001, 0, 3, 27))
		return undefined(v);
	if ((v->cr4 & CR4_TSD) && v->cpl > 0)
		return fault_gp(v);
	if (x->in.op == OP_RDTSCP)
		__asm__ volatile("lfence" : : : "memory");
	set_edx_eax(v, sys_tsc(v));
	if (x->in.op == OP_RDTSCP)
		v->gpr[RCX] = (uint32_t)v->tsc_aux;
	return STEP_OK;
}

/* There are no performance counters. */
static enum bt_step rdpmc(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	return fault_gp(v);
}

static enum bt_step rdpid(struct bt_vcpu *v, struct interp *x)
{
	if (!interp_cpuid_bit(v, 7, 0, 2, 22))
		return undefined(v);
	set_gpr(v, x->in.rm, v->tsc_aux, 8);
	return STEP_OK;
}

/* The processor's own, flags included. */
static enum bt_step rdrand(struct bt_vcpu *v, struct interp *x)
{
	bool seed = x->in.op == OP_RDSEED;
	uint64_t value = 0;
	uint8_t ok;

	if (!(seed ? interp_cpuid_bit(v, 7, 0, 1, 18) : interp_cpuid_bit(v, 1, 0, 2, 30)))
		return undefined(v);
	if (seed)
		__asm__ volatile("rdseed %0\n\tsetc %1" : "=r"(value), "=qm"(ok) : : "cc");
	else
		__asm__ volatile("rdrand %0\n\tsetc %1" : "=r"(value), "=qm"(ok) : : "cc");
	set_gpr(v, x->in.rm, ok ? value : 0, x->in.opsize);
	set_arith(v, ok ? FL_CF : 0, FL_ARITH);
	return STEP_OK;
}

/* ---- flags -------------------------------------------------------------------------------- */

static enum bt_step cli(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	return sys_cli(v);
}

static enum bt_step sti(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	return sys_sti(v);
}

static enum bt_step cld(struct bt_vcpu *v, struct interp *x)
{
	v->rflags = (v->rflags & ~FL_DF) | (x->in.op == OP_STD ? FL_DF : 0);
	bt_update_key(v);
	return STEP_OK;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static enum bt_step hlt(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	v->halted = true;
	return STEP_OK;
}

static enum bt_step nothing(struct bt_vcpu *v, struct interp *x)
{
	(void)v;
	(void)x;
	return STEP_OK;
}

static enum bt_step invlpg(struct bt_vcpu *v, struct interp *x)
{
	uint64_t base = x->in.mode == MODE_64 && x->in.seg < GAMUT_FS ? 0 : v->seg[x->in.seg].base;

	return sys_invlpg(v, base + interp_ea(v, x));
}

static enum bt_step invpcid(struct bt_vcpu *v, struct interp *x)
{
	uint64_t desc[2], va;
	enum bt_step step;

	if (!interp_cpuid_bit(v, 7, 0, 1, 10))
		return undefined(v);
	step = interp_operand(v, x, 0, 16, false, &va);
	if (step == STEP_OK)
		step = interp_read(v, va, desc, 16);
	return step == STEP_OK ? sys_invpcid(v, get_gpr(v, x->in.reg, x->in.opsize), desc) : step;
}

static enum bt_step swapgs(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	return sys_swapgs(v);
}

static enum bt_step hypercall(struct bt_vcpu *v, struct interp *x)
{
	static const uint8_t long_regs[6] = {RDI, RSI, RDX, R10, R8, R9};
	static const uint8_t short_regs[6] = {RBX, RCX, RDX, RSI, RDI, RBP};
	bool wide = bt_code64(v);
	struct vcpu_exit *exit = v->exit;

	if (bt_is_pv(v)) /* such a guest runs on no virtual machine that it could know of */
		return undefined(v);
	exit->reason = EXIT_HYPERCALL;
	exit->rip = v->rip;
	exit->hypercall.nr = get_gpr(v, RAX, wide ? 8 : 4);
	for (unsigned i = 0; i < 6; i++)
		exit->hypercall.args[i] = get_gpr(v, wide ? long_regs[i] : short_regs[i], wide ? 8 : 4);
	exit->hypercall.result = 0;
	exit->hypercall.cpl = v->cpl;
	exit->hypercall.long_mode = wide;
	exit->hypercall.restart = exit->hypercall.undefined = false;
	v->rip = x->next; /* past it, as engine.h says */
	v->shadow = 0;
	return STEP_EXIT;
}

static enum bt_step monitor(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	return interp_cpuid_bit(v, 1, 0, 2, 3) ? STEP_OK : undefined(v);
}

static enum bt_step clac(struct bt_vcpu *v, struct interp *x)
{
	if (v->cpl != 0 || !protected_mode(v) || !interp_cpuid_bit(v, 7, 0, 1, 20))
		return undefined(v);
	v->rflags = (v->rflags & ~FL_AC) | (x->in.op == OP_STAC ? FL_AC : 0);
	bt_update_key(v);
	return STEP_OK;
}

static enum bt_step pkru(struct bt_vcpu *v, struct interp *x)
{
	if (!(v->cr4 & CR4_PKE))
		return undefined(v);
	if ((uint32_t)v->gpr[RCX] != 0 || (x->in.op == OP_WRPKRU && (uint32_t)v->gpr[RDX] != 0))
		return fault_gp(v);
	if (x->in.op == OP_WRPKRU)
		sys_set_pkru(v, (uint32_t)v->gpr[RAX]);
	else
		set_edx_eax(v, v->pkru);
	return STEP_OK;
}

static enum bt_step fsbase(struct bt_vcpu *v, struct interp *x)
{
	bool gs = x->in.op == OP_RDGSBASE || x->in.op == OP_WRGSBASE;
	bool write = x->in.op == OP_WRFSBASE || x->in.op == OP_WRGSBASE;
	unsigned seg = gs ? GAMUT_GS : GAMUT_FS;
	uint64_t value;

	if (!(v->cr4 & CR4_FSGSBASE))
		return undefined(v);
	if (!write) {
		set_gpr(v, x->in.rm, v->seg[seg].base, x->in.opsize);
		return STEP_OK;
	}
	value = get_gpr(v, x->in.rm, x->in.opsize);
	if (!canonical(value))
		return fault_gp(v);
	v->seg[seg].base = v->seg_base[seg] = value;
	return STEP_OK;
}

/* Signed bounds in memory, both inclusive. */
static enum bt_step bound(struct bt_vcpu *v, struct interp *x)
{
	unsigned size = x->in.opsize, shift = 64 - 8 * size;
	uint64_t low = 0, high = 0, va;
	int64_t index = (int64_t)(v->gpr[x->in.reg] << shift);
	uint8_t image[8];
	enum bt_step step = interp_operand(v, x, 0, 2 * size, false, &va);

	if (step == STEP_OK)
		step = interp_read(v, va, image, 2 * size);
	if (step != STEP_OK)
		return step;
	bt_copy(&low, image, size);
	bt_copy(&high, image + size, size);
	if (index < (int64_t)(low << shift) || index > (int64_t)(high << shift))
		return bt_fault(v, EXC_BR);
	return STEP_OK;
}

static enum bt_step xlat(struct bt_vcpu *v, struct interp *x)
{
	uint64_t ea = (v->gpr[RBX] + (uint8_t)v->gpr[RAX]) & size_mask(x->in.addrsize), va;
	uint8_t byte;
	enum bt_step step = sys_linear(v, (enum gamut_seg)x->in.seg, ea, 1, false, &va);

	if (step == STEP_OK)
		step = interp_read(v, va, &byte, 1);
	if (step == STEP_OK)
		set_gpr(v, RAX, byte, 1);
	return step;
}

static enum bt_step too_long(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	return fault_gp(v);
}

static enum bt_step rsm(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	return undefined(v);
}

const interp_fn interp_sys_table[OP_COUNT] = {
        [OP_NONE] = too_long,
        [OP_COPY_ONLY] = interp_masked,
        [OP_XLAT] = xlat,
        [OP_BOUND] = bound,
        [OP_ARPL] = exec_arpl,
        [OP_PUSHA] = exec_pusha,
        [OP_POPA] = exec_popa,
        [OP_PUSHF] = exec_pushf,
        [OP_POPF] = exec_popf,
        [OP_ENTER] = exec_enter,
        [OP_PUSH_SEG] = exec_push_seg,
        [OP_POP_SEG] = exec_pop_seg,
        [OP_INS] = interp_string,
        [OP_OUTS] = interp_string,
        [OP_CLI] = cli,
        [OP_STI] = sti,
        [OP_CLD] = cld,
        [OP_STD] = cld,
        [OP_JMP_FAR] = exec_jmp_far,
        [OP_CALL_FAR] = exec_jmp_far,
        [OP_RET_FAR] = exec_ret_far,
        [OP_IRET] = exec_iret,
        [OP_INT] = exec_int_n,
        [OP_INT3] = exec_int_n,
        [OP_INTO] = exec_into,
        [OP_INT1] = exec_int1,
        [OP_MOV_FROM_SEG] = exec_mov_from_seg,
        [OP_MOV_TO_SEG] = exec_mov_to_seg,
        [OP_LDS_ETC] = exec_lds,
        [OP_IN] = io_in,
        [OP_OUT] = io_out,
        [OP_HLT] = hlt,
        [OP_MOV_FROM_CR] = mov_from_cr,
        [OP_MOV_TO_CR] = mov_to_cr,
        [OP_MOV_FROM_DR] = mov_from_cr,
        [OP_MOV_TO_DR] = mov_to_cr,
        [OP_CLTS] = clts,
        [OP_LMSW] = lmsw,
        [OP_SMSW] = smsw,
        [OP_LGDT] = exec_load_table,
        [OP_LIDT] = exec_load_table,
        [OP_SGDT] = exec_store_table,
        [OP_SIDT] = exec_store_table,
        [OP_LLDT] = exec_lldt,
        [OP_LTR] = exec_lldt,
        [OP_SLDT] = exec_sldt,
        [OP_STR] = exec_sldt,
        [OP_VERR] = exec_verr,
        [OP_VERW] = exec_verr,
        [OP_LAR] = exec_lar,
        [OP_LSL] = exec_lar,
        [OP_INVLPG] = invlpg,
        [OP_INVPCID] = invpcid,
        [OP_INVD] = nothing, /* the host's caches are coherent */
        [OP_WBINVD] = nothing,
        [OP_SWAPGS] = swapgs,
        [OP_RDTSC] = rdtsc,
        [OP_RDTSCP] = rdtsc,
        [OP_RDPMC] = rdpmc,
        [OP_RDPID] = rdpid,
        [OP_RDMSR] = rdmsr,
        [OP_WRMSR] = wrmsr,
        [OP_CPUID] = cpuid,
        [OP_SYSCALL] = exec_syscall,
        [OP_SYSRET] = exec_sysret,
        [OP_SYSENTER] = exec_sysenter,
        [OP_SYSEXIT] = exec_sysexit,
        [OP_VMCALL] = hypercall,
        [OP_VMMCALL] = hypercall,
        [OP_XGETBV] = xgetbv,
        [OP_XSETBV] = xsetbv,
        [OP_MONITOR] = monitor,
        [OP_MWAIT] = monitor,
        [OP_CLAC] = clac,
        [OP_STAC] = clac,
        [OP_RDPKRU] = pkru,
        [OP_WRPKRU] = pkru,
        [OP_RSM] = rsm,
        [OP_RDFSBASE] = fsbase,
        [OP_RDGSBASE] = fsbase,
        [OP_WRFSBASE] = fsbase,
        [OP_WRGSBASE] = fsbase,
        [OP_RDRAND] = rdrand,
        [OP_RDSEED] = rdrand,
        [OP_FXSAVE] = fpu_op_save,
        [OP_FXRSTOR] = fpu_op_save,
        [OP_XSAVE] = fpu_op_save,
        [OP_XSAVEOPT] = fpu_op_save,
        [OP_XSAVEC] = fpu_op_save,
        [OP_XRSTOR] = fpu_op_save,
        [OP_XSAVES] = fpu_op_save,
        [OP_XRSTORS] = fpu_op_save,
        [OP_FSAVE] = fpu_op_env,
        [OP_FWAIT] = fpu_op_wait,
};
