/* SPDX-License-Identifier: MIT */
/*
 * Near branches and the stack. A branch checks its target before anything
 * changes, so that #GP is reported at the branch.
 */
#include "engine/bt/interp-internal.h"

static enum bt_step branch(struct bt_vcpu *v, struct interp *x, uint64_t target)
{
	enum bt_step step;

	target &= size_mask(x->in.opsize);
	step = sys_check_rip(v, target);
	if (step == STEP_OK)
		x->next = target;
	return step;
}

static bool condition(uint64_t f, unsigned cond)
{
	bool cf = f & FL_CF, zf = f & FL_ZF, sf = f & FL_SF, of = f & FL_OF, pf = f & FL_PF;
	bool value[8] = {of, cf, zf, cf || zf, sf, pf, sf != of, zf || sf != of};

	return value[cond >> 1] != (cond & 1);
}

enum bt_step exec_jcc(struct bt_vcpu *v, struct interp *x)
{
	return condition(v->rflags, x->in.cond) ? exec_jmp(v, x) : STEP_OK;
}

enum bt_step exec_jmp(struct bt_vcpu *v, struct interp *x)
{
	return branch(v, x, x->next + (uint64_t)x->in.imm);
}

/* Pushes the return address when the target is good. */
static enum bt_step call(struct bt_vcpu *v, struct interp *x, uint64_t target)
{
	uint64_t rsp = v->gpr[RSP], ret = x->next;
	enum bt_step step = branch(v, x, target);

	if (step == STEP_OK)
		step = interp_push(v, &rsp, ret, x->in.opsize);
	if (step == STEP_OK)
		v->gpr[RSP] = rsp;
	return step;
}

enum bt_step exec_call(struct bt_vcpu *v, struct interp *x)
{
	return call(v, x, x->next + (uint64_t)x->in.imm);
}

enum bt_step exec_jmp_ind(struct bt_vcpu *v, struct interp *x)
{
	uint64_t target;
	enum bt_step step = interp_read_rm(v, x, x->in.opsize, &target);

	return step == STEP_OK ? branch(v, x, target) : step;
}

enum bt_step exec_call_ind(struct bt_vcpu *v, struct interp *x)
{
	uint64_t target;
	enum bt_step step = interp_read_rm(v, x, x->in.opsize, &target);

	return step == STEP_OK ? call(v, x, target) : step;
}

enum bt_step exec_ret(struct bt_vcpu *v, struct interp *x)
{
	uint64_t rsp = v->gpr[RSP], mask = interp_stack_mask(v), target;
	enum bt_step step = interp_pop(v, &rsp, &target, x->in.opsize);

	if (step == STEP_OK)
		step = branch(v, x, target);
	if (step == STEP_OK)
		v->gpr[RSP] = (rsp & ~mask) | ((rsp + (uint64_t)x->in.imm) & mask);
	return step;
}

/* loop, loope, loopne, jcxz: rcx by address size. */
enum bt_step exec_loop(struct bt_vcpu *v, struct interp *x)
{
	unsigned size = x->in.addrsize;
	uint64_t count = get_gpr(v, RCX, size);
	bool zf = v->rflags & FL_ZF, taken = false;
	enum bt_step step;

	if (x->in.op == OP_JCXZ)
		return count ? STEP_OK : exec_jmp(v, x);
	count = (count - 1) & size_mask(size);
	taken = count && (x->in.op == OP_LOOP || zf == (x->in.op == OP_LOOPE));
	step = taken ? exec_jmp(v, x) : STEP_OK;
	if (step == STEP_OK)
		set_gpr(v, RCX, count, size);
	return step;
}

/* ---- stack -------------------------------------------------------------------------- */

static enum bt_step push_value(struct bt_vcpu *v, uint64_t value, unsigned size)
{
	uint64_t rsp = v->gpr[RSP];
	enum bt_step step = interp_push(v, &rsp, value, size);

	if (step == STEP_OK)
		v->gpr[RSP] = rsp;
	return step;
}

enum bt_step exec_push(struct bt_vcpu *v, struct interp *x)
{
	uint64_t value = (uint64_t)x->in.imm;
	enum bt_step step = STEP_OK;

	if (x->in.attr & ATTR_OPREG_GPR)
		value = v->gpr[x->in.opreg];
	else if (x->in.has_modrm)
		step = interp_read_rm(v, x, x->in.opsize, &value);
	return step == STEP_OK ? push_value(v, value, x->in.opsize) : step;
}

/* pop [rsp + n] computes its address with rsp already moved. */
static enum bt_step pop_memory(struct bt_vcpu *v, struct interp *x, uint64_t rsp, uint64_t value)
{
	uint64_t old = v->gpr[RSP];
	enum bt_step step;

	v->gpr[RSP] = rsp;
	step = interp_write_rm(v, x, value);
	if (step != STEP_OK)
		v->gpr[RSP] = old;
	return step;
}

enum bt_step exec_pop(struct bt_vcpu *v, struct interp *x)
{
	uint64_t rsp = v->gpr[RSP], value;
	enum bt_step step = interp_pop(v, &rsp, &value, x->in.opsize);

	if (step != STEP_OK)
		return step;
	if (x->in.attr & ATTR_MEM)
		return pop_memory(v, x, rsp, value);
	v->gpr[RSP] = rsp;
	set_gpr(v, x->in.has_modrm ? x->in.rm : x->in.opreg, value, x->in.opsize);
	return STEP_OK;
}

enum bt_step exec_leave(struct bt_vcpu *v, struct interp *x)
{
	uint64_t mask = interp_stack_mask(v), rsp = (v->gpr[RSP] & ~mask) | (v->gpr[RBP] & mask), value;
	enum bt_step step = interp_pop(v, &rsp, &value, x->in.opsize);

	if (step != STEP_OK)
		return step;
	v->gpr[RSP] = rsp;
	set_gpr(v, RBP, value, x->in.opsize);
	return STEP_OK;
}

/* The copied frame pointers of an outer level. */
static enum bt_step enter_levels(struct bt_vcpu *v, uint64_t *rsp, unsigned levels, uint64_t frame,
                                 unsigned size)
{
	uint64_t mask = interp_stack_mask(v), value, va;
	enum bt_step step = STEP_OK;

	for (unsigned i = 1; i < levels && step == STEP_OK; i++) {
		step = sys_linear(v, GAMUT_SS, (v->gpr[RBP] - i * size) & mask, size, false, &va);
		value = 0;
		if (step == STEP_OK)
			step = interp_read(v, va, &value, size);
		if (step == STEP_OK)
			step = interp_push(v, rsp, value, size);
	}
	return step == STEP_OK ? interp_push(v, rsp, frame, size) : step;
}

/*
 * The new top of the stack must be writable, although nothing is written (Intel SDM vol. 2, ENTER). The segment
 * must have room for an element there.
 */
static enum bt_step probe_top(struct bt_vcpu *v, uint64_t rsp, unsigned size)
{
	struct mmu_page page;
	uint64_t va;
	enum bt_step step = sys_linear(v, GAMUT_SS, rsp & interp_stack_mask(v), bt_code64(v) ? 1 : size, true, &va);

	return step == STEP_OK ? mmu_walk(v, va, ACC_WRITE | mmu_rights(v), &page) : step;
}

enum bt_step exec_enter(struct bt_vcpu *v, struct interp *x)
{
	uint64_t rsp = v->gpr[RSP], mask = interp_stack_mask(v), frame;
	unsigned levels = x->in.imm2 & 31, size = x->in.opsize;
	enum bt_step step = interp_push(v, &rsp, v->gpr[RBP], size);

	frame = rsp;
	if (step == STEP_OK && levels)
		step = enter_levels(v, &rsp, levels, frame, size);
	if (step == STEP_OK)
		step = probe_top(v, rsp - (uint64_t)x->in.imm, size);
	if (step != STEP_OK)
		return step;
	v->gpr[RSP] = (rsp & ~mask) | ((rsp - (uint64_t)x->in.imm) & mask);
	set_gpr(v, RBP, frame, size);
	return STEP_OK;
}

enum bt_step exec_pusha(struct bt_vcpu *v, struct interp *x)
{
	uint64_t rsp = v->gpr[RSP];
	enum bt_step step = STEP_OK;

	for (unsigned reg = RAX; reg <= RDI && step == STEP_OK; reg++)
		step = interp_push(v, &rsp, v->gpr[reg], x->in.opsize);
	if (step == STEP_OK)
		v->gpr[RSP] = rsp;
	return step;
}

enum bt_step exec_popa(struct bt_vcpu *v, struct interp *x)
{
	uint64_t rsp = v->gpr[RSP], value[8];
	enum bt_step step = STEP_OK;

	for (int reg = RDI; reg >= RAX && step == STEP_OK; reg--)
		step = interp_pop(v, &rsp, &value[reg], x->in.opsize);
	if (step != STEP_OK)
		return step;
	for (unsigned reg = RAX; reg <= RDI; reg++)
		if (reg != RSP)
			set_gpr(v, reg, value[reg], x->in.opsize);
	v->gpr[RSP] = rsp;
	return STEP_OK;
}

static bool v86_without_iopl(const struct bt_vcpu *v)
{
	return (v->rflags & FL_VM) && (v->rflags & FL_IOPL) != FL_IOPL;
}

enum bt_step exec_pushf(struct bt_vcpu *v, struct interp *x)
{
	if (v86_without_iopl(v))
		return fault_gp(v);
	return push_value(v, bt_rflags(v) & ~(FL_VM | FL_RF), x->in.opsize);
}

enum bt_step exec_popf(struct bt_vcpu *v, struct interp *x)
{
	uint64_t rsp = v->gpr[RSP], value;
	enum bt_step step;

	if (v86_without_iopl(v))
		return fault_gp(v);
	step = interp_pop(v, &rsp, &value, x->in.opsize);
	if (step == STEP_OK)
		step = sys_popf(v, value, x->in.opsize);
	if (step == STEP_OK)
		v->gpr[RSP] = rsp;
	return step;
}
