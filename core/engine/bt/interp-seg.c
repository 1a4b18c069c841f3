/* SPDX-License-Identifier: MIT */
/*
 * Descriptor tables, segment registers, far transfers and software interrupts:
 * operands here, descriptors in sys.h's files.
 */
#include "engine/bt/interp-internal.h"

/* A far transfer has set rip. */
static enum bt_step went(struct bt_vcpu *v, struct interp *x, enum bt_step step)
{
	if (step == STEP_OK)
		x->next = v->rip;
	return step;
}

/* ---- descriptor tables and segments ---------------------------------------------------------- */

enum bt_step exec_store_table(struct bt_vcpu *v, struct interp *x)
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

enum bt_step exec_load_table(struct bt_vcpu *v, struct interp *x)
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

enum bt_step exec_sldt(struct bt_vcpu *v, struct interp *x)
{
	if (umip_denies(v))
		return fault_gp(v);
	return interp_write_rm(v, x, system_selector(v, x->in.op));
}

enum bt_step exec_lldt(struct bt_vcpu *v, struct interp *x)
{
	uint64_t selector;
	enum bt_step step = interp_read_rm(v, x, 2, &selector);

	if (step != STEP_OK)
		return step;
	return x->in.op == OP_LLDT ? sys_lldt(v, (uint16_t)selector) : sys_ltr(v, (uint16_t)selector);
}

enum bt_step exec_verr(struct bt_vcpu *v, struct interp *x)
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

enum bt_step exec_lar(struct bt_vcpu *v, struct interp *x)
{
	uint64_t selector;
	uint32_t value;
	bool ok;
	enum bt_step step = interp_read_rm(v, x, 2, &selector);

	if (step == STEP_OK)
		step = x->in.op == OP_LAR ? sys_lar(v, (uint16_t)selector, &value, &ok)
		                          : sys_lsl(v, (uint16_t)selector, &value, &ok);
	if (step != STEP_OK)
		return step;
	if (ok)
		set_gpr(v, x->in.reg, value, x->in.opsize);
	set_arith(v, ok ? FL_ZF : 0, FL_ZF);
	return STEP_OK;
}

/* Requested privilege of the destination is raised to the source's. */
enum bt_step exec_arpl(struct bt_vcpu *v, struct interp *x)
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

enum bt_step exec_mov_from_seg(struct bt_vcpu *v, struct interp *x)
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

enum bt_step exec_mov_to_seg(struct bt_vcpu *v, struct interp *x)
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

enum bt_step exec_push_seg(struct bt_vcpu *v, struct interp *x)
{
	uint64_t rsp = v->gpr[RSP];
	enum bt_step step = interp_push(v, &rsp, v->seg[stack_seg(&x->in)].selector, x->in.opsize);

	if (step == STEP_OK)
		v->gpr[RSP] = rsp;
	return step;
}

enum bt_step exec_pop_seg(struct bt_vcpu *v, struct interp *x)
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

enum bt_step exec_lds(struct bt_vcpu *v, struct interp *x)
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

enum bt_step exec_jmp_far(struct bt_vcpu *v, struct interp *x)
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

enum bt_step exec_ret_far(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_ret_far(v, x->in.opsize, (unsigned)x->in.imm));
}

enum bt_step exec_iret(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_iret(v, x->in.opsize));
}

enum bt_step exec_syscall(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_syscall(v, x->next));
}

enum bt_step exec_sysret(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_sysret(v, x->in.opsize));
}

enum bt_step exec_sysenter(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_sysenter(v));
}

enum bt_step exec_sysexit(struct bt_vcpu *v, struct interp *x)
{
	return went(v, x, sys_sysexit(v, x->in.opsize));
}

static enum bt_step software_interrupt(struct bt_vcpu *v, const struct interp *x, uint8_t vector)
{
	v->exc = (struct bt_exc){
		.vector = vector, .soft = true, .int_n = x->in.op == OP_INT, .len = x->in.len
	};
	return STEP_FAULT;
}

enum bt_step exec_int_n(struct bt_vcpu *v, struct interp *x)
{
	return software_interrupt(v, x, x->in.op == OP_INT3 ? EXC_BP : (uint8_t)x->in.imm);
}

enum bt_step exec_into(struct bt_vcpu *v, struct interp *x)
{
	return v->rflags & FL_OF ? software_interrupt(v, x, EXC_OF) : STEP_OK;
}

/* A trap that checks no DPL. */
enum bt_step exec_int1(struct bt_vcpu *v, struct interp *x)
{
	v->rip = x->next;
	return bt_fault(v, EXC_DB);
}
