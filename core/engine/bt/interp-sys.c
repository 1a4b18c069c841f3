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

/* A far transfer has set rip. */
static enum bt_step went(struct bt_vcpu *v, struct interp *x, enum bt_step step)
{
	if (step == STEP_OK)
		x->next = v->rip;
	return step;
}

/* ---- control, debug and model-specific registers ------------------------------------------ */

static enum bt_step mov_from_cr(struct bt_vcpu *v, struct interp *x)
{
	uint64_t value;
	enum bt_step step = x->in.op == OP_MOV_FROM_CR ? sys_read_cr(v, x->in.reg, &value) :
							  sys_read_dr(v, x->in.reg, &value);

	if (step == STEP_OK)
		set_gpr(v, x->in.rm, value, x->in.opsize);
	return step;
}

static enum bt_step mov_to_cr(struct bt_vcpu *v, struct interp *x)
{
	uint64_t value = get_gpr(v, x->in.rm, x->in.opsize);

	return x->in.op == OP_MOV_TO_CR ? sys_write_cr(v, x->in.reg, value) : sys_write_dr(v, x->in.reg, value);
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

/* UMIP: these tell nothing to user code. */
static bool umip_denies(const struct bt_vcpu *v)
{
	return (v->cr4 & CR4_UMIP) && v->cpl > 0;
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

/* ---- descriptor tables and segments ---------------------------------------------------------- */

static enum bt_step store_table(struct bt_vcpu *v, struct interp *x)
{
	const struct gamut_table *t = x->in.op == OP_SGDT ? &v->gdt : &v->idt;
	uint8_t image[10];
	uint16_t limit = (uint16_t)t->limit;
	enum bt_step step;
	uint64_t va;

	if (umip_denies(v))
		return fault_gp(v);
	bt_copy(image, &limit, 2);
	bt_copy(image + 2, &t->base, 8);
	step = interp_operand(v, x, 0, x->in.mem_size, true, &va);
	return step == STEP_OK ? interp_write(v, va, image, x->in.mem_size) : step;
}

static bool canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

static enum bt_step load_table(struct bt_vcpu *v, struct interp *x)
{
	struct gamut_table *t = x->in.op == OP_LGDT ? &v->gdt : &v->idt;
	uint8_t image[10] = {0};
	uint64_t base, va;
	uint16_t limit;
	enum bt_step step = interp_operand(v, x, 0, x->in.mem_size, false, &va);

	if (step == STEP_OK)
		step = interp_read(v, va, image, x->in.mem_size);
	if (step != STEP_OK)
		return step;
	bt_copy(&limit, image, 2);
	bt_copy(&base, image + 2, 8);
	if (x->in.mode != MODE_64)
		base &= x->in.opsize == 2 ? 0xffffff : 0xffffffff;
	else if (!canonical(base))
		return fault_gp(v);
	t->base = base;
	t->limit = limit;
	return STEP_OK;
}

static uint16_t system_selector(const struct bt_vcpu *v, unsigned op)
{
	return v->seg[op == OP_SLDT ? GAMUT_LDTR : GAMUT_TR].selector;
}

static enum bt_step sldt(struct bt_vcpu *v, struct interp *x)
{
	if (umip_denies(v))
		return fault_gp(v);
	return interp_write_rm(v, x, system_selector(v, x->in.op));
}

static enum bt_step lldt(struct bt_vcpu *v, struct interp *x)
{
	uint64_t selector;
	enum bt_step step = interp_read_rm(v, x, 2, &selector);

	if (step != STEP_OK)
		return step;
	return x->in.op == OP_LLDT ? sys_lldt(v, (uint16_t)selector) : sys_ltr(v, (uint16_t)selector);
}

static enum bt_step verr(struct bt_vcpu *v, struct interp *x)
{
	uint64_t selector;
	bool ok;
	enum bt_step step = interp_read_rm(v, x, 2, &selector);

	if (step == STEP_OK)
		step = sys_verify(v, (uint16_t)selector, x->in.op == OP_VERW, &ok);
	if (step == STEP_OK)
		set_arith(v, ok ? FL_ZF : 0, FL_ZF);
	return step;
}

static enum bt_step lar(struct bt_vcpu *v, struct interp *x)
{
	uint64_t selector;
	uint32_t value;
	bool ok;
	enum bt_step step = interp_read_rm(v, x, 2, &selector);

	if (step == STEP_OK)
		step = x->in.op == OP_LAR ? sys_lar(v, (uint16_t)selector, &value, &ok) :
					    sys_lsl(v, (uint16_t)selector, &value, &ok);
	if (step != STEP_OK)
		return step;
	if (ok)
		set_gpr(v, x->in.reg, value, x->in.opsize);
	set_arith(v, ok ? FL_ZF : 0, FL_ZF);
	return STEP_OK;
}

/* Requested privilege of the destination is raised to the source's. */
static enum bt_step arpl(struct bt_vcpu *v, struct interp *x)
{
	uint64_t dst, src = get_gpr(v, x->in.reg, 2);
	enum bt_step step = interp_read_rm(v, x, 2, &dst);
	bool raise;

	if (step != STEP_OK)
		return step;
	raise = (dst & 3) < (src & 3);
	if (raise)
		step = interp_write_rm(v, x, (dst & ~3ull) | (src & 3));
	if (step == STEP_OK)
		set_arith(v, raise ? FL_ZF : 0, FL_ZF);
	return step;
}

static enum bt_step mov_from_seg(struct bt_vcpu *v, struct interp *x)
{
	return interp_write_rm(v, x, v->seg[x->in.reg & 7].selector);
}

/* Interrupts are held off after a load of ss. */
static enum bt_step load_seg(struct bt_vcpu *v, unsigned seg, uint64_t selector)
{
	enum bt_step step = sys_load_seg(v, (enum gamut_seg)seg, (uint16_t)selector);

	if (step == STEP_OK && seg == GAMUT_SS)
		v->shadow = 1;
	return step;
}

static enum bt_step mov_to_seg(struct bt_vcpu *v, struct interp *x)
{
	uint64_t selector;
	enum bt_step step = interp_read_rm(v, x, 2, &selector);

	return step == STEP_OK ? load_seg(v, x->in.reg & 7, selector) : step;
}

/* es cs ss ds are in bits 3 and 4 of the one-byte opcodes, fs and gs in bit 3 of the others. */
static unsigned stack_seg(const struct insn *in)
{
	return in->map == MAP_1 ? in->opcode >> 3 & 3 : (in->opcode & 8 ? GAMUT_GS : GAMUT_FS);
}

static enum bt_step push_seg(struct bt_vcpu *v, struct interp *x)
{
	uint64_t rsp = v->gpr[RSP];
	enum bt_step step = interp_push(v, &rsp, v->seg[stack_seg(&x->in)].selector, x->in.opsize);

	if (step == STEP_OK)
		v->gpr[RSP] = rsp;
	return step;
}

static enum bt_step pop_seg(struct bt_vcpu *v, struct interp *x)
{
	uint64_t rsp = v->gpr[RSP], selector;
	enum bt_step step = interp_pop(v, &rsp, &selector, x->in.opsize);

	if (step == STEP_OK)
		step = load_seg(v, stack_seg(&x->in), selector);
	if (step == STEP_OK)
		v->gpr[RSP] = rsp;
	return step;
}

/* Offset and selector of a far pointer in memory. */
static enum bt_step far_pointer(struct bt_vcpu *v, struct interp *x, uint64_t *offset, uint16_t *selector)
{
	uint8_t image[10];
	uint64_t va;
	enum bt_step step = interp_operand(v, x, 0, x->in.mem_size, false, &va);

	if (step == STEP_OK)
		step = interp_read(v, va, image, x->in.mem_size);
	*offset = 0;
	bt_copy(offset, image, x->in.opsize);
	bt_copy(selector, image + x->in.opsize, 2);
	return step;
}

static unsigned lds_seg(const struct insn *in)
{
	if (in->map == MAP_1)
		return in->opcode == 0xc4 ? GAMUT_ES : GAMUT_DS;
	return in->opcode == 0xb2 ? GAMUT_SS : in->opcode == 0xb4 ? GAMUT_FS : GAMUT_GS;
}

static enum bt_step lds(struct bt_vcpu *v, struct interp *x)
{
	uint64_t offset;
	uint16_t selector;
	enum bt_step step = far_pointer(v, x, &offset, &selector);

	if (step == STEP_OK)
		step = sys_load_seg(v, (enum gamut_seg)lds_seg(&x->in), selector);
	if (step == STEP_OK)
		set_gpr(v, x->in.reg, offset, x->in.opsize);
	return step;
}

/* ---- far transfers ------------------------------------------------------------------------- */

static enum bt_step jmp_far(struct bt_vcpu *v, struct interp *x)
{
	uint64_t offset = (uint64_t)x->in.imm;
	uint16_t selector = x->in.imm2;
	enum bt_step step = x->in.has_modrm ? far_pointer(v, x, &offset, &selector) : STEP_OK;

	if (step != STEP_OK)
		return step;
	if (x->in.op == OP_JMP_FAR)
		return went(v, x, sys_jmp_far(v, selector, offset, x->in.opsize));
	return went(v, x, sys_call_far(v, selector, offset, x->in.opsize, x->next));
}

static enum bt_step ret_far(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_ret_far(v, x->in.opsize, (unsigned)x->in.imm));
}

static enum bt_step iret(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_iret(v, x->in.opsize));
}

static enum bt_step syscall_(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_syscall(v, x->next));
}

static enum bt_step sysret(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_sysret(v, x->in.opsize));
}

static enum bt_step sysenter(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_sysenter(v));
}

static enum bt_step sysexit(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_sysexit(v, x->in.opsize));
}

static enum bt_step software_interrupt(struct bt_vcpu *v, const struct interp *x, uint8_t vector)
{
	v->exc = (struct bt_exc){.vector = vector, .soft = true, .len = x->in.len};
	return STEP_FAULT;
}

static enum bt_step int_n(struct bt_vcpu *v, struct interp *x)
{
	return software_interrupt(v, x, x->in.op == OP_INT3 ? EXC_BP : (uint8_t)x->in.imm);
}

static enum bt_step into(struct bt_vcpu *v, struct interp *x)
{
	return v->rflags & FL_OF ? software_interrupt(v, x, EXC_OF) : STEP_OK;
}

/* A trap that checks no DPL. */
static enum bt_step int1(struct bt_vcpu *v, struct interp *x)
{
	v->rip = x->next;
	return bt_fault(v, EXC_DB);
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
	[OP_ARPL] = arpl,
	[OP_PUSHA] = exec_pusha,
	[OP_POPA] = exec_popa,
	[OP_PUSHF] = exec_pushf,
	[OP_POPF] = exec_popf,
	[OP_ENTER] = exec_enter,
	[OP_PUSH_SEG] = push_seg,
	[OP_POP_SEG] = pop_seg,
	[OP_INS] = interp_string,
	[OP_OUTS] = interp_string,
	[OP_CLI] = cli,
	[OP_STI] = sti,
	[OP_CLD] = cld,
	[OP_STD] = cld,
	[OP_JMP_FAR] = jmp_far,
	[OP_CALL_FAR] = jmp_far,
	[OP_RET_FAR] = ret_far,
	[OP_IRET] = iret,
	[OP_INT] = int_n,
	[OP_INT3] = int_n,
	[OP_INTO] = into,
	[OP_INT1] = int1,
	[OP_MOV_FROM_SEG] = mov_from_seg,
	[OP_MOV_TO_SEG] = mov_to_seg,
	[OP_LDS_ETC] = lds,
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
	[OP_LGDT] = load_table,
	[OP_LIDT] = load_table,
	[OP_SGDT] = store_table,
	[OP_SIDT] = store_table,
	[OP_LLDT] = lldt,
	[OP_LTR] = lldt,
	[OP_SLDT] = sldt,
	[OP_STR] = sldt,
	[OP_VERR] = verr,
	[OP_VERW] = verr,
	[OP_LAR] = lar,
	[OP_LSL] = lar,
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
	[OP_SYSCALL] = syscall_,
	[OP_SYSRET] = sysret,
	[OP_SYSENTER] = sysenter,
	[OP_SYSEXIT] = sysexit,
	[OP_VMCALL] = hypercall,
	[OP_VMMCALL] = hypercall,
	[OP_XGETBV] = xgetbv,
	[OP_XSETBV] = xsetbv,
	[OP_MONITOR] = monitor,
	[OP_MWAIT] = monitor,
	[OP_CLAC] = clac,
	[OP_STAC] = clac,
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
