/* SPDX-License-Identifier: MIT */
/*
 * Far jumps, calls and returns, and iret, in every mode.
 *
 * Order matters: everything that can fault (descriptor reads, stack accesses,
 * checks of the new rip) comes first, then the registers change. Accessed bits
 * of descriptors are set on the way, as the processor does.
 */
#include "engine/bt/decode.h"
#include "engine/bt/segment.h"
#include "engine/bt/sys.h"

static enum bt_step gp(struct bt_vcpu *v, uint16_t selector)
{
	return bt_fault_error(v, EXC_GP, sel_error(selector));
}

static unsigned user(const struct bt_vcpu *v)
{
	return v->cpl == 3 ? ACC_USER : 0;
}

static uint64_t truncate(uint64_t value, unsigned opsize)
{
	return opsize == 8 ? value : opsize == 4 ? (uint32_t)value : (uint16_t)value;
}

/* Whether rip may become `rip` in the code segment of d; #GP(0) else. */
static enum bt_step check_target(struct bt_vcpu *v, const struct gamut_segment *cs, uint64_t rip)
{
	bool code64 = bt_long_mode(v) && (cs->attr & SEG_L);

	if (code64 ? canonical(rip) : rip <= cs->limit)
		return STEP_OK;
	return gp(v, 0);
}

/* Long mode: L and D together are reserved. */
static bool code_malformed(const struct bt_vcpu *v, const struct desc *d)
{
	return bt_long_mode(v) && desc_l(d) && desc_db(d);
}

static enum bt_step read_nonnull(struct bt_vcpu *v, uint16_t selector, struct desc *d)
{
	return sel_null(selector) ? gp(v, 0) : desc_read(v, selector, EXC_GP, 0, d);
}

/* A code segment entered by jmp or call at the same level. */
static enum bt_step check_direct(struct bt_vcpu *v, uint16_t selector, struct desc *d)
{
	unsigned rpl = selector & 3;
	bool bad = desc_conforming(d) ? desc_dpl(d) > v->cpl : rpl > v->cpl || desc_dpl(d) != v->cpl;

	if (bad || code_malformed(v, d))
		return gp(v, selector);
	if (!desc_present(d))
		return bt_fault_error(v, EXC_NP, sel_error(selector));
	return desc_set_type(v, d, TYPE_ACCESSED);
}

static void enter_code(struct bt_vcpu *v, const struct gamut_segment *cs, uint64_t rip, unsigned cpl)
{
	struct gamut_segment s = *cs;

	s.selector = (uint16_t)((s.selector & ~3u) | cpl);
	seg_set(v, GAMUT_CS, &s);
	v->cpl = (uint8_t)cpl;
	v->rip = rip;
	bt_update_key(v);
}

static void frame_init(const struct bt_vcpu *v, struct frame *f, unsigned opsize)
{
	f->ss = v->seg[GAMUT_SS];
	f->code64 = bt_code64(v);
	f->sp = v->gpr[RSP];
	f->size = opsize;
	f->access = user(v);
	f->error = 0;
	f->n = 0;
}

/* ---- real and virtual-8086 mode ---- */

static void set_code_legacy(struct bt_vcpu *v, uint16_t selector)
{
	if (v->rflags & FL_VM)
		seg_set_v86(v, GAMUT_CS, selector);
	else
		seg_set_real(v, GAMUT_CS, selector);
}

static enum bt_step far_legacy(struct bt_vcpu *v, uint16_t selector, uint64_t offset, unsigned opsize)
{
	offset = truncate(offset, opsize);
	if (offset > v->seg[GAMUT_CS].limit)
		return gp(v, 0);
	set_code_legacy(v, selector);
	v->rip = offset;
	bt_update_key(v);
	return STEP_OK;
}

/* ---- gates ---- */

struct gate {
	uint16_t selector;
	uint64_t offset;
	unsigned size;   /* of what is pushed: 2 4 8 */
	unsigned params; /* copied from the caller's stack */
	struct desc target;
};

/* Reads and checks a call gate and the code segment behind it. */
static enum bt_step read_gate(struct bt_vcpu *v, uint16_t selector, const struct desc *d, struct gate *g)
{
	unsigned rpl = selector & 3;
	bool lma = bt_long_mode(v), wide = desc_type(d) == SYS_CALL;
	uint64_t high = 0;
	enum bt_step step;

	if (desc_dpl(d) < v->cpl || desc_dpl(d) < rpl)
		return gp(v, selector);
	if (!desc_present(d))
		return bt_fault_error(v, EXC_NP, sel_error(selector));
	g->selector = (uint16_t)(d->lo >> 16);
	g->offset = (d->lo & 0xffff) | (wide ? d->hi & 0xffff0000u : 0);
	g->size = lma ? 8 : wide ? 4 : 2;
	g->params = lma ? 0 : d->hi & 31;
	if (lma) {
		step = desc_read_high(v, selector, d, EXC_GP, &high);
		if (step != STEP_OK)
			return step;
	}
	g->offset |= high;
	step = read_nonnull(v, g->selector, &g->target);
	if (step != STEP_OK)
		return step;
	if (!desc_code(&g->target) || desc_dpl(&g->target) > v->cpl)
		return gp(v, g->selector);
	if (lma && (!desc_l(&g->target) || desc_db(&g->target)))
		return gp(v, g->selector);
	if (!desc_present(&g->target))
		return bt_fault_error(v, EXC_NP, sel_error(g->selector));
	return desc_set_type(v, &g->target, TYPE_ACCESSED);
}

static enum bt_step jmp_gate(struct bt_vcpu *v, uint16_t selector, const struct desc *d)
{
	struct gamut_segment cs;
	struct gate g;
	enum bt_step step = read_gate(v, selector, d, &g);

	if (step != STEP_OK)
		return step;
	if (!desc_conforming(&g.target) && desc_dpl(&g.target) != v->cpl)
		return gp(v, g.selector);
	cs = desc_segment(&g.target, g.selector);
	step = check_target(v, &cs, g.offset);
	if (step == STEP_OK)
		enter_code(v, &cs, g.offset, v->cpl);
	return step;
}

/* The inner level's stack, from the TSS. */
static enum bt_step inner_stack(struct bt_vcpu *v, unsigned cpl, struct frame *f)
{
	uint16_t ss;
	uint32_t sp;
	enum bt_step step;

	f->access = cpl == 3 ? ACC_USER : 0;
	if (bt_long_mode(v)) {
		f->code64 = true;
		f->ss = (struct gamut_segment){ .selector = (uint16_t)cpl, .attr = SEG_UNUSABLE | cpl << SEG_DPL_SHIFT };
		return tss_stack64(v, cpl, 0, &f->sp);
	}
	f->code64 = false;
	step = tss_stack(v, cpl, 0, &ss, &sp);
	if (step != STEP_OK)
		return step;
	f->sp = sp;
	f->error = sel_error(ss);
	return seg_read_stack(v, ss, cpl, EXC_TS, 0, &f->ss);
}

static enum bt_step call_inner(struct bt_vcpu *v, const struct gate *g, const struct gamut_segment *cs, uint64_t next)
{
	unsigned cpl = desc_dpl(&g->target);
	struct frame f;
	uint64_t params[31];
	enum bt_step step;

	frame_init(v, &f, g->size);
	step = inner_stack(v, cpl, &f);
	if (step == STEP_OK)
		step = stack_peek(v, g->size, 0, g->params, params);
	if (step != STEP_OK)
		return step;
	frame_push(&f, v->seg[GAMUT_SS].selector);
	frame_push(&f, v->gpr[RSP]);
	for (unsigned i = g->params; i-- > 0;)
		frame_push(&f, params[i]);
	frame_push(&f, v->seg[GAMUT_CS].selector);
	frame_push(&f, next);
	step = frame_write(v, &f);
	if (step != STEP_OK)
		return step;
	seg_set(v, GAMUT_SS, &f.ss);
	v->gpr[RSP] = f.sp;
	enter_code(v, cs, g->offset, cpl);
	return STEP_OK;
}

/* Pushes CS and the return address on the current stack and goes on at cs:rip. */
static enum bt_step call_same(struct bt_vcpu *v, const struct gamut_segment *cs, uint64_t rip, unsigned size,
                              uint64_t next)
{
	struct frame f;
	enum bt_step step;

	frame_init(v, &f, size);
	frame_push(&f, v->seg[GAMUT_CS].selector);
	frame_push(&f, next);
	step = frame_write(v, &f);
	if (step != STEP_OK)
		return step;
	v->gpr[RSP] = f.sp;
	enter_code(v, cs, rip, v->cpl);
	return STEP_OK;
}

static enum bt_step call_gate(struct bt_vcpu *v, uint16_t selector, const struct desc *d, uint64_t next)
{
	struct gamut_segment cs;
	struct gate g;
	enum bt_step step = read_gate(v, selector, d, &g);

	if (step != STEP_OK)
		return step;
	cs = desc_segment(&g.target, g.selector);
	step = check_target(v, &cs, g.offset);
	if (step != STEP_OK)
		return step;
	if (!desc_conforming(&g.target) && desc_dpl(&g.target) < v->cpl)
		return call_inner(v, &g, &cs, next);
	return call_same(v, &cs, g.offset, g.size, next);
}

/* What follows the instruction at rip: the old task's saved EIP. Cold, so the length is found again. */
static uint64_t next_rip(struct bt_vcpu *v)
{
	uint8_t bytes[INSN_MAX];
	unsigned got = 0, more = 0;
	struct insn in;
	uint64_t va = v->seg[GAMUT_CS].base + v->rip;

	if (mmu_fetch(v, va, bytes, INSN_MAX, &got) != STEP_OK)
		return v->rip;
	if (got < INSN_MAX && mmu_fetch(v, va + got, bytes + got, INSN_MAX - got, &more) == STEP_OK)
		got += more;
	if (!insn_decode(&in, bytes, got, v->key & KEY_MODE))
		return v->rip;
	return v->rip + in.len;
}

/* A task gate or TSS as the target of jmp or call. */
static enum bt_step far_task(struct bt_vcpu *v, uint16_t selector, const struct desc *d, enum task_why why, uint64_t next)
{
	unsigned rpl = selector & 3;

	if (bt_long_mode(v) || desc_dpl(d) < v->cpl || desc_dpl(d) < rpl)
		return gp(v, selector);
	if (!desc_present(d))
		return bt_fault_error(v, EXC_NP, sel_error(selector));
	if (desc_type(d) == SYS_TASK_GATE)
		selector = (uint16_t)(d->lo >> 16);
	return task_switch(v, selector, why, 0, next, NULL);
}

/* Types of system descriptors that jmp and call accept. */
static bool is_gate(const struct bt_vcpu *v, unsigned type)
{
	return type == SYS_CALL || (type == SYS_CALL16 && !bt_long_mode(v));
}

static bool is_task(unsigned type)
{
	return type == SYS_TASK_GATE || type == SYS_TSS || type == SYS_TSS16 || type == SYS_TSS_BUSY ||
	       type == SYS_TSS16_BUSY;
}

enum bt_step sys_jmp_far(struct bt_vcpu *v, uint16_t selector, uint64_t offset, unsigned opsize)
{
	struct gamut_segment cs;
	struct desc d;
	enum bt_step step;

	if (!seg_protected(v))
		return far_legacy(v, selector, offset, opsize);
	step = read_nonnull(v, selector, &d);
	if (step != STEP_OK)
		return step;
	if (!desc_s(&d) && is_gate(v, desc_type(&d)))
		return jmp_gate(v, selector, &d);
	if (!desc_s(&d) && is_task(desc_type(&d)))
		return far_task(v, selector, &d, TASK_JMP, next_rip(v));
	if (!desc_code(&d))
		return gp(v, selector);
	step = check_direct(v, selector, &d);
	if (step != STEP_OK)
		return step;
	cs = desc_segment(&d, selector);
	offset = truncate(offset, opsize);
	step = check_target(v, &cs, offset);
	if (step == STEP_OK)
		enter_code(v, &cs, offset, v->cpl);
	return step;
}

static enum bt_step call_legacy(struct bt_vcpu *v, uint16_t selector, uint64_t offset, unsigned opsize, uint64_t next)
{
	struct frame f;
	enum bt_step step;

	if (truncate(offset, opsize) > v->seg[GAMUT_CS].limit)
		return gp(v, 0);
	frame_init(v, &f, opsize);
	frame_push(&f, v->seg[GAMUT_CS].selector);
	frame_push(&f, next);
	step = frame_write(v, &f);
	if (step != STEP_OK)
		return step;
	v->gpr[RSP] = f.sp;
	return far_legacy(v, selector, offset, opsize);
}

enum bt_step sys_call_far(struct bt_vcpu *v, uint16_t selector, uint64_t offset, unsigned opsize, uint64_t next)
{
	struct gamut_segment cs;
	struct desc d;
	enum bt_step step;

	if (!seg_protected(v))
		return call_legacy(v, selector, offset, opsize, next);
	step = read_nonnull(v, selector, &d);
	if (step != STEP_OK)
		return step;
	if (!desc_s(&d) && is_gate(v, desc_type(&d)))
		return call_gate(v, selector, &d, next);
	if (!desc_s(&d) && is_task(desc_type(&d)))
		return far_task(v, selector, &d, TASK_CALL, next);
	if (!desc_code(&d))
		return gp(v, selector);
	step = check_direct(v, selector, &d);
	if (step != STEP_OK)
		return step;
	cs = desc_segment(&d, selector);
	offset = truncate(offset, opsize);
	step = check_target(v, &cs, offset);
	return step == STEP_OK ? call_same(v, &cs, offset, opsize, next) : step;
}

/* ---- returns ---- */

/* Where a return goes: filled from the stack, then checked. */
struct target {
	uint64_t rip, flags, rsp;
	uint16_t cs, ss;
	unsigned cpl;
	struct gamut_segment code, stack;
};

/* The code segment of a far return or iret. */
static enum bt_step return_code(struct bt_vcpu *v, struct target *t)
{
	struct desc d;
	enum bt_step step = read_nonnull(v, t->cs, &d);

	if (step != STEP_OK)
		return step;
	t->cpl = t->cs & 3;
	if (!desc_code(&d) || t->cpl < v->cpl || code_malformed(v, &d))
		return gp(v, t->cs);
	if (desc_conforming(&d) ? desc_dpl(&d) > t->cpl : desc_dpl(&d) != t->cpl)
		return gp(v, t->cs);
	if (!desc_present(&d))
		return bt_fault_error(v, EXC_NP, sel_error(t->cs));
	step = desc_set_type(v, &d, TYPE_ACCESSED);
	t->code = desc_segment(&d, t->cs);
	return step == STEP_OK ? check_target(v, &t->code, t->rip) : step;
}

/* The outer stack. 64-bit code below level 3 may come back to a null SS. */
static enum bt_step return_stack(struct bt_vcpu *v, struct target *t)
{
	if (sel_null(t->ss)) {
		if (!bt_long_mode(v) || !(t->code.attr & SEG_L) || t->cpl == 3 || (t->ss & 3u) != t->cpl)
			return gp(v, 0);
		t->stack = (struct gamut_segment){ .selector = t->ss,
			                           .attr = SEG_UNUSABLE | t->cpl << SEG_DPL_SHIFT };
		return STEP_OK;
	}
	return seg_read_stack(v, t->ss, t->cpl, EXC_GP, 0, &t->stack);
}

/* The stack pointer of a returned-to level: its upper part stays when the stack is a 16-bit one. */
static uint64_t merge_sp(const struct bt_vcpu *v, const struct target *t, uint64_t rsp)
{
	uint64_t mask = stack_mask(&t->stack, bt_long_mode(v) && (t->code.attr & SEG_L));

	return mask == 0xffff ? (v->gpr[RSP] & ~mask) | (rsp & mask) : rsp & mask;
}

static void pop_bytes(struct bt_vcpu *v, unsigned bytes)
{
	uint64_t mask = stack_mask(&v->seg[GAMUT_SS], bt_code64(v));

	v->gpr[RSP] = mask == 0xffff ? (v->gpr[RSP] & ~mask) | ((v->gpr[RSP] + bytes) & mask) :
	                               (v->gpr[RSP] + bytes) & mask;
}

static void enter_outer(struct bt_vcpu *v, struct target *t, uint64_t rsp)
{
	rsp = merge_sp(v, t, rsp);
	seg_set(v, GAMUT_SS, &t->stack);
	v->gpr[RSP] = rsp;
	enter_code(v, &t->code, t->rip, t->cpl);
	seg_drop_inner(v);
	bt_update_key(v);
}

static enum bt_step ret_legacy(struct bt_vcpu *v, unsigned opsize, unsigned imm)
{
	uint64_t s[2];
	enum bt_step step = stack_peek(v, opsize, 0, 2, s);

	if (step != STEP_OK)
		return step;
	if (s[0] > v->seg[GAMUT_CS].limit)
		return gp(v, 0);
	pop_bytes(v, 2 * opsize + imm);
	return far_legacy(v, (uint16_t)s[1], s[0], opsize);
}

enum bt_step sys_ret_far(struct bt_vcpu *v, unsigned opsize, unsigned imm)
{
	struct target t;
	uint64_t s[2], outer[2];
	enum bt_step step;

	if (!seg_protected(v))
		return ret_legacy(v, opsize, imm);
	step = stack_peek(v, opsize, 0, 2, s);
	if (step != STEP_OK)
		return step;
	t.rip = s[0];
	t.cs = (uint16_t)s[1];
	step = return_code(v, &t);
	if (step != STEP_OK)
		return step;
	if (t.cpl == v->cpl) {
		pop_bytes(v, 2 * opsize + imm);
		enter_code(v, &t.code, t.rip, t.cpl);
		return STEP_OK;
	}
	/* The outer SS:SP lie above the parameters. */
	for (unsigned i = 0; i < 2 && step == STEP_OK; i++) {
		uint64_t mask = stack_mask(&v->seg[GAMUT_SS], bt_code64(v)), va;

		outer[i] = 0;
		step = sys_linear(v, GAMUT_SS, (v->gpr[RSP] + (2 + i) * opsize + imm) & mask, opsize, false, &va);
		if (step == STEP_OK)
			step = mmu_read(v, va, &outer[i], opsize, user(v));
	}
	if (step != STEP_OK)
		return step;
	t.ss = (uint16_t)outer[1];
	step = return_stack(v, &t);
	if (step == STEP_OK)
		enter_outer(v, &t, outer[0] + imm);
	return step;
}

/* ---- iret ---- */

/* One that came meanwhile is looked for at once. */
static void nmi_unblock(struct bt_vcpu *v)
{
	if (!v->nmi_blocked)
		return;
	v->nmi_blocked = false;
	bt_poll_set(v);
}

static void iret_flags(struct bt_vcpu *v, uint64_t value, uint64_t mask)
{
	bt_set_rflags(v, (bt_rflags(v) & ~mask) | (value & mask));
}

static enum bt_step iret_real(struct bt_vcpu *v, unsigned opsize)
{
	uint64_t s[3], mask = flags_mask(v, opsize) | FL_RF;
	enum bt_step step;

	if (v->rflags & FL_VM) {
		if ((v->rflags & FL_IOPL) != FL_IOPL)
			return gp(v, 0);
		mask &= ~FL_IOPL;
	}
	step = stack_peek(v, opsize, 0, 3, s);
	if (step != STEP_OK)
		return step;
	if (s[0] > v->seg[GAMUT_CS].limit)
		return gp(v, 0);
	if (opsize == 2)
		mask &= 0xffff;
	pop_bytes(v, 3 * opsize);
	set_code_legacy(v, (uint16_t)s[1]);
	v->rip = s[0];
	iret_flags(v, s[2], mask);
	nmi_unblock(v);
	bt_update_key(v);
	return STEP_OK;
}

/* From ring 0 with VM in the popped flags: nine values, and the guest is in virtual-8086 mode. */
static enum bt_step iret_to_v86(struct bt_vcpu *v, const uint64_t *head)
{
	static const enum gamut_seg order[] = { GAMUT_ES, GAMUT_DS, GAMUT_FS, GAMUT_GS };
	uint64_t s[6];
	enum bt_step step = stack_peek(v, 4, 3, 6, s);

	if (step != STEP_OK)
		return step;
	if (head[0] > 0xffff)
		return gp(v, 0);
	bt_set_rflags(v, (head[2] & (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_AC | FL_ID |
	                             FL_VIF | FL_VIP)) |
	                         FL_VM);
	seg_set_v86(v, GAMUT_CS, (uint16_t)head[1]);
	seg_set_v86(v, GAMUT_SS, (uint16_t)s[1]);
	for (unsigned i = 0; i < 4; i++)
		seg_set_v86(v, order[i], (uint16_t)s[2 + i]);
	v->gpr[RSP] = (uint32_t)s[0];
	v->rip = head[0];
	v->cpl = 3;
	nmi_unblock(v);
	bt_update_key(v);
	return STEP_OK;
}

/* What iret may change beside popf's bits. */
static uint64_t iret_mask(const struct bt_vcpu *v, unsigned opsize)
{
	uint64_t mask = flags_mask(v, opsize);

	if (opsize >= 4)
		mask |= FL_RF;
	if (opsize >= 4 && v->cpl == 0)
		mask |= FL_VIF | FL_VIP;
	return mask;
}

/* Same level, stack kept: legacy and compatibility mode. */
static enum bt_step iret_same(struct bt_vcpu *v, struct target *t, unsigned opsize)
{
	uint64_t mask = iret_mask(v, opsize);

	pop_bytes(v, 3 * opsize);
	iret_flags(v, t->flags, mask);
	nmi_unblock(v);
	enter_code(v, &t->code, t->rip, t->cpl);
	return STEP_OK;
}

static enum bt_step iret_outer(struct bt_vcpu *v, struct target *t, unsigned opsize)
{
	uint64_t mask = iret_mask(v, opsize);
	enum bt_step step = return_stack(v, t);

	if (step != STEP_OK)
		return step;
	iret_flags(v, t->flags, mask);
	nmi_unblock(v);
	enter_outer(v, t, t->rsp);
	return STEP_OK;
}

/* 64-bit code: five values always, read in one piece; this is the way back to user space. */
static enum bt_step iret_64(struct bt_vcpu *v, unsigned opsize)
{
	struct target t;
	uint64_t s[5], va;
	enum bt_step step;

	if (opsize == 8) {
		step = sys_linear(v, GAMUT_SS, v->gpr[RSP], sizeof(s), false, &va);
		if (step == STEP_OK)
			step = mmu_read(v, va, s, sizeof(s), user(v));
	} else {
		step = stack_peek(v, opsize, 0, 5, s);
	}
	if (step != STEP_OK)
		return step;
	t.rip = s[0];
	t.cs = (uint16_t)s[1];
	t.flags = s[2];
	t.rsp = s[3];
	t.ss = (uint16_t)s[4];
	step = return_code(v, &t);
	return step == STEP_OK ? iret_outer(v, &t, opsize) : step;
}

static enum bt_step iret_task(struct bt_vcpu *v)
{
	uint16_t link;
	enum bt_step step;

	step = mmu_read(v, v->seg[GAMUT_TR].base, &link, 2, IMPLICIT);
	if (step != STEP_OK)
		return step;
	return task_switch(v, link, TASK_IRET, 0, next_rip(v), NULL);
}

enum bt_step sys_iret(struct bt_vcpu *v, unsigned opsize)
{
	struct target t;
	uint64_t s[3], outer[2];
	enum bt_step step;

	if (!seg_protected(v))
		return iret_real(v, opsize);
	if (v->rflags & FL_NT)
		return bt_long_mode(v) ? gp(v, 0) : iret_task(v);
	if (bt_code64(v))
		return iret_64(v, opsize);
	step = stack_peek(v, opsize, 0, 3, s);
	if (step != STEP_OK)
		return step;
	if (opsize == 4 && (s[2] & FL_VM) && v->cpl == 0 && !bt_long_mode(v))
		return iret_to_v86(v, s);
	t.rip = s[0];
	t.cs = (uint16_t)s[1];
	t.flags = s[2];
	step = return_code(v, &t);
	if (step != STEP_OK || t.cpl == v->cpl)
		return step == STEP_OK ? iret_same(v, &t, opsize) : step;
	step = stack_peek(v, opsize, 3, 2, outer);
	if (step != STEP_OK)
		return step;
	t.rsp = outer[0];
	t.ss = (uint16_t)outer[1];
	return iret_outer(v, &t, opsize);
}
