/* SPDX-License-Identifier: MIT */
/* The stack, and the transfers that use it. RSP is the host's RSP, so its moves are lea: they keep flags. */
#include "engine/bt/trans.h"

#define SCRATCH V_OFF(scratch[2])

bool stack_wide(const struct trans *t)
{
	return t->mode == MODE_64;
}

static bool size_ok(const struct trans *t, unsigned size)
{
	return size == (t->mode == MODE_64 ? 8u : 4u);
}

static void below_top(struct trans *t, const struct insn *in)
{
	e_lea_disp(t, T0, RSP, -(int32_t)in->stacksize, stack_wide(t));
}

static void at_top(struct trans *t, const struct insn *in)
{
	(void)in;
	e_lea_disp(t, T0, RSP, 0, stack_wide(t));
}

/* T0 = host address of the new top of stack. */
static void push_check(struct trans *t, const struct insn *in, unsigned needed)
{
	mem_access(t, in, in->stacksize, true, needed, below_top);
}

static void rsp_add(struct trans *t, int32_t n)
{
	e_lea_disp(t, RSP, RSP, n, stack_wide(t));
}

static void push_scratch(struct trans *t, const struct insn *in)
{
	unsigned size = in->stacksize;

	push_check(t, in, 0);
	e_gs_load(t, T1, SCRATCH);
	e_store_t0(t, T1, size);
	rsp_add(t, -(int32_t)size);
}

static void push_reg(struct trans *t, const struct insn *in)
{
	unsigned size = in->stacksize, reg = in->opreg;

	push_check(t, in, t->live);
	if (1u << reg & MREGS) {
		e_gs_load(t, T1, GPR_OFF(reg));
		reg = T1;
	}
	e_store_t0(t, reg, size);
	rsp_add(t, -(int32_t)size);
}

/* The value of a register or memory operand of call, jmp or push, to the scratch slot. */
static bool operand_to_scratch(struct trans *t, const struct insn *in, unsigned size)
{
	if (in->mod == 3) {
		use_regs(t, 1u << in->rm);
		e_gs_store(t, SCRATCH, in->rm);
		return true;
	}
	if (in->addrsize == 2)
		return false;
	t->t0_disp = 0;
	mem_address(t, in);
	mem_check(t, size, false);
	e_load_t0(t, T1, size);
	e_gs_store(t, SCRATCH, T1);
	return true;
}

bool trans_push(struct trans *t, const struct insn *in)
{
	unsigned size = in->stacksize;

	if (!size_ok(t, size))
		return false;
	if (in->has_modrm) {
		flags_keep(t, t->live);
		if (!operand_to_scratch(t, in, size))
			return false;
		push_scratch(t, in);
	} else if (in->imm_size) {
		push_check(t, in, t->live);
		e_store_t0_imm(t, (int32_t)in->imm, size);
		rsp_add(t, -(int32_t)size);
	} else {
		push_reg(t, in);
	}
	return true;
}

bool trans_pop(struct trans *t, const struct insn *in)
{
	unsigned size = in->stacksize, reg = in->has_modrm ? in->rm : in->opreg;

	if (!size_ok(t, size) || (in->has_modrm && in->mod != 3))
		return false;
	mem_access(t, in, size, false, t->live, at_top);
	if (reg == RSP) {
		e_load_t0(t, RSP, size);
		return true;
	}
	rsp_add(t, (int32_t)size);
	if (1u << reg & MREGS) {
		e_load_t0(t, T1, size);
		e_gs_store(t, GPR_OFF(reg), T1);
	} else {
		e_load_t0(t, reg, size);
	}
	return true;
}

bool trans_leave(struct trans *t, const struct insn *in)
{
	unsigned size = in->stacksize;

	if (!size_ok(t, size))
		return false;
	t->t0_disp = 0;
	flags_keep(t, t->live);
	e_lea_disp(t, T0, RBP, 0, stack_wide(t));
	mem_check(t, size, false);
	e_lea_disp(t, RSP, RBP, (int32_t)size, stack_wide(t));
	e_load_t0(t, RBP, size);
	return true;
}

static void push_next(struct trans *t, const struct insn *in, unsigned needed)
{
	unsigned size = in->stacksize;

	push_check(t, in, needed);
	if (size == 4 || (int64_t)t->next == (int32_t)t->next) {
		e_store_t0_imm(t, (int32_t)t->next, size);
	} else {
		e_mov_imm(t, T1, t->next);
		e_store_t0(t, T1, size);
	}
	rsp_add(t, -(int32_t)size);
}

bool trans_call(struct trans *t, const struct insn *in)
{
	if (!size_ok(t, in->stacksize))
		return false;
	push_next(t, in, t->live);
	flow_direct(t, t->next + (uint64_t)in->imm, t->live);
	return true;
}

static void load_target(struct trans *t)
{
	if (t->mode == MODE_64)
		e_gs_load(t, T0, SCRATCH);
	else
		e_gs_load32(t, T0, SCRATCH);
}

bool trans_call_ind(struct trans *t, const struct insn *in)
{
	if (!size_ok(t, in->stacksize))
		return false;
	flags_keep(t, FL_ARITH);
	if (!operand_to_scratch(t, in, in->stacksize))
		return false;
	push_next(t, in, FL_ARITH);
	load_target(t);
	flow_indirect(t);
	return true;
}

bool trans_jmp_ind(struct trans *t, const struct insn *in)
{
	unsigned size = t->mode == MODE_64 ? 8 : 4;

	if (in->mode != MODE_64 && in->opsize != 4)
		return false;
	flags_keep(t, FL_ARITH);
	if (in->mod == 3) {
		use_regs(t, 1u << in->rm);
		e_alu_rr(t, 0x8b, T0, in->rm, size == 8);
	} else {
		if (in->addrsize == 2)
			return false;
		t->t0_disp = 0;
		mem_address(t, in);
		mem_check(t, size, false);
		e_load_t0(t, T0, size);
	}
	flow_indirect(t);
	return true;
}

bool trans_ret(struct trans *t, const struct insn *in)
{
	unsigned size = in->stacksize;

	if (!size_ok(t, size))
		return false;
	mem_access(t, in, size, false, FL_ARITH, at_top);
	flags_keep(t, FL_ARITH);
	e_load_t0(t, T0, size);
	rsp_add(t, (int32_t)size + (in->imm_size ? (int32_t)(uint16_t)in->imm : 0));
	flow_indirect(t);
	return true;
}

/* The RFLAGS image to the scratch slot, from the slot, if_flag and rflags. */
static void flags_image(struct trans *t)
{
	flags_keep(t, FL_ARITH);
	e_gs_load8(t, T1, V_OFF(flags_slot) + 1);
	e_alu_imm32(t, 4, T1, FL_ARITH & 0xff, false);
	e_gs_load8(t, T0, V_OFF(flags_slot));
	e_alu_imm32(t, 4, T0, 1, false);
	e_shift_imm(t, 4, T0, 11, false);
	e_alu_rr(t, 0x0b, T1, T0, true);
	e_gs_load8(t, T0, V_OFF(if_flag));
	e_shift_imm(t, 4, T0, 9, false);
	e_alu_rr(t, 0x0b, T1, T0, true);
	e_gs_load(t, T0, V_OFF(rflags));
	e_alu_imm32(t, 4, T0, (uint32_t)~(FL_ARITH | FL_IF | FL_RF | FL_VM), true);
	e_alu_rr(t, 0x0b, T1, T0, true);
	e_gs_store(t, SCRATCH, T1);
	clobber(t, MREGS);
	flags_clobbered(t);
}

/* The poll comes after the next instruction: sti; hlt must not lose a wake-up, and sti; nop; cli is a window. */
static bool trans_sti(struct trans *t)
{
	/* Where the next instruction is in another block, C keeps the shadow. */
	if (t->ring3 || t->block->n_insns == t->n)
		return false;
	t->sti = 2;
	e_gs_store8_imm(t, V_OFF(if_flag), 1);
	e_gs_load32(t, T0, V_OFF(irq_wait));
	e_gs_store32(t, V_OFF(poll_irq), T0);
	clobber(t, 1u << T0);
	return true;
}

bool trans_flags_op(struct trans *t, const struct insn *in)
{
	switch (in->op) {
	case OP_CLI:
		if (t->ring3)
			return false;
		e_gs_store8_imm(t, V_OFF(if_flag), 0);
		return true;
	case OP_STI:
		return trans_sti(t);
	case OP_CLD:
		return !(t->key & KEY_DF);
	case OP_STD:
		return t->key & KEY_DF;
	case OP_PUSHF:
		if (!size_ok(t, in->stacksize))
			return false;
		flags_image(t);
		push_scratch(t, in);
		return true;
	default:
		return trans_system(t, in);
	}
}
