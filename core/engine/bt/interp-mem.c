/* SPDX-License-Identifier: MIT */
/*
 * Operands of the interpreter: effective addresses, memory, the stack, and
 * breakpoints on data.
 */
#include "engine/bt/interp-internal.h"

uint64_t interp_ea(const struct bt_vcpu *v, const struct interp *x)
{
	const struct insn *in = &x->in;
	uint64_t ea = (uint64_t)in->disp;

	if (in->rip_rel)
		ea += x->next;
	if (in->base >= 0)
		ea += v->gpr[in->base];
	if (in->index >= 0)
		ea += v->gpr[in->index] << in->scale;
	return ea & size_mask(in->addrsize);
}

enum bt_step interp_operand(struct bt_vcpu *v, const struct interp *x, uint64_t offset, unsigned len,
                            bool write, uint64_t *va)
{
	uint64_t ea = (interp_ea(v, x) + offset) & size_mask(x->in.addrsize);

	return sys_linear(v, (enum gamut_seg)x->in.seg, ea, len, write, va);
}

uint64_t interp_breakpoint(const struct bt_vcpu *v, uint64_t va, unsigned len, unsigned kind)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned rw = v->dr[7] >> (16 + 4 * i) & 3, size = 1 + (v->dr[7] >> (18 + 4 * i) & 3);
		uint64_t at = v->dr[i];

		if (!(v->dr[7] >> (2 * i) & 3))
			continue;
		size = size == 3 ? 8 : size;
		at &= ~(uint64_t)(size - 1);
		/* Kind 3 is read or write; a write meets 1 and 3, a read only 3, a fetch only 0. */
		if (kind == BREAK_EXEC ? rw == 0 : kind == BREAK_WRITE ? (rw & 1) : rw == 3)
			if (va < at + size && at < va + len)
				bits |= 1ull << i;
	}
	return bits;
}

/* Data breakpoints are traps: noted here, delivered after the instruction. */
static void note_break(struct bt_vcpu *v, uint64_t va, unsigned len, unsigned kind)
{
	uint64_t bits = interp_breakpoint(v, va, len, kind);

	if (bits) {
		v->pending_db = true;
		v->pending_dr6 |= bits;
	}
}

static enum bt_step check_access(struct bt_vcpu *v, uint64_t va, unsigned len)
{
	if (alignment_checked(v) && (len == 2 || len == 4 || len == 8) && (va & (len - 1)))
		return bt_fault_error(v, EXC_AC, 0);
	return STEP_OK;
}

enum bt_step interp_read(struct bt_vcpu *v, uint64_t va, void *buf, unsigned len)
{
	enum bt_step step = check_access(v, va, len);

	if (step == STEP_OK)
		step = mmu_read(v, va, buf, len, access_of(v));
	if (step == STEP_OK && (v->dr[7] & 0xff))
		note_break(v, va, len, BREAK_READ);
	return step;
}

enum bt_step interp_write(struct bt_vcpu *v, uint64_t va, const void *buf, unsigned len)
{
	enum bt_step step = check_access(v, va, len);

	if (step == STEP_OK)
		step = mmu_write(v, va, buf, len, access_of(v));
	if (step == STEP_OK && (v->dr[7] & 0xff))
		note_break(v, va, len, BREAK_WRITE);
	return step;
}

enum bt_step interp_rmw(struct bt_vcpu *v, uint64_t va, unsigned len, void **host)
{
	enum bt_step step = check_access(v, va, len);

	*host = NULL;
	if (step == STEP_OK)
		step = mmu_rmw(v, va, len, access_of(v), host);
	if (step == STEP_OK && *host && (v->dr[7] & 0xff))
		note_break(v, va, len, BREAK_WRITE);
	return step;
}

enum bt_step interp_read_rm(struct bt_vcpu *v, const struct interp *x, unsigned size, uint64_t *value)
{
	enum bt_step step;
	uint64_t va;

	*value = 0;
	if (x->in.mod == 3) {
		*value = get_gpr(v, x->in.rm, size);
		return STEP_OK;
	}
	step = interp_operand(v, x, 0, size, false, &va);
	return step == STEP_OK ? interp_read(v, va, value, size) : step;
}

enum bt_step interp_write_rm(struct bt_vcpu *v, const struct interp *x, uint64_t value)
{
	enum bt_step step;
	uint64_t va;

	if (x->in.mod == 3) {
		set_gpr(v, x->in.rm, value, x->in.opsize);
		return STEP_OK;
	}
	step = interp_operand(v, x, 0, x->in.mem_size, true, &va);
	return step == STEP_OK ? interp_write(v, va, &value, x->in.mem_size) : step;
}

/* ---- stack -------------------------------------------------------------------------- */

uint64_t interp_stack_mask(const struct bt_vcpu *v)
{
	if (bt_code64(v))
		return ~0ull;
	return v->seg[GAMUT_SS].attr & SEG_DB ? 0xffffffffull : 0xffffull;
}

enum bt_step interp_push(struct bt_vcpu *v, uint64_t *rsp, uint64_t value, unsigned size)
{
	uint64_t mask = interp_stack_mask(v), top = (*rsp - size) & mask, va;
	enum bt_step step = sys_linear(v, GAMUT_SS, top, size, true, &va);

	if (step == STEP_OK)
		step = interp_write(v, va, &value, size);
	if (step == STEP_OK)
		*rsp = (*rsp & ~mask) | top;
	return step;
}

enum bt_step interp_pop(struct bt_vcpu *v, uint64_t *rsp, uint64_t *value, unsigned size)
{
	uint64_t mask = interp_stack_mask(v), va;
	enum bt_step step = sys_linear(v, GAMUT_SS, *rsp & mask, size, false, &va);

	*value = 0;
	if (step == STEP_OK)
		step = interp_read(v, va, value, size);
	if (step == STEP_OK)
		*rsp = (*rsp & ~mask) | ((*rsp + size) & mask);
	return step;
}
