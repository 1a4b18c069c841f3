/* SPDX-License-Identifier: MIT */
/*
 * Leaving a block.
 *
 * A jump within the guest page is a direct jump that is patched once its
 * target exists: the page maps to the same guest memory as long as this block
 * may run at all. Another page may be mapped elsewhere tomorrow, so a jump to
 * it goes through the jump cache, which forgets with the TLB. Backward jumps
 * and all indirect ones poll, so every loop does.
 */
#include "engine/bt/smp.h"
#include "engine/bt/trans.h"

#define LOOKAHEAD 10

bool same_page(const struct trans *t, uint64_t rip)
{
	return (rip ^ t->rip) < PAGE_SIZE;
}

/* A direct jump may go there: same page, and so is all of its first instruction. */
static bool linkable(const struct trans *t, uint64_t rip)
{
	unsigned off = (unsigned)(rip & ~PAGE_MASK), room = (unsigned)PAGE_SIZE - off;
	struct insn in;

	if (!same_page(t, rip) || t->v->vm->no_links)
		return false;
	return room >= INSN_MAX || insn_decode(&in, t->bytes + off, room, t->mode);
}

/*
 * One pass over the code at rip; exact for what it sees, everything for what
 * it does not.
 */
unsigned flow_live_at(struct trans *t, uint64_t rip)
{
	unsigned needed = 0, open = FL_ARITH;
	struct insn in;

	if (t->v->vm->all_live)
		return FL_ARITH;
	for (unsigned i = 0; i < LOOKAHEAD && open && same_page(t, rip); i++) {
		unsigned off = (unsigned)(rip & ~PAGE_MASK), room = (unsigned)PAGE_SIZE - off;

		if (!insn_decode(&in, t->bytes + off, room < INSN_MAX ? room : INSN_MAX, t->mode))
			break;
		needed |= (flags_at_fault(&in) ? FL_ARITH : in.fl_read) & open;
		open &= ~flags_killed(&in);
		if (in.class_ == CLASS_JMP) {
			rip += in.len + (uint64_t)in.imm;
			continue;
		}
		if (in.class_ != CLASS_COPY && in.class_ != CLASS_PUSH && in.class_ != CLASS_POP &&
		    in.class_ != CLASS_LEAVE)
			break;
		rip += in.len;
	}
	return needed | open;
}

static struct stub *stub_new(struct trans *t, enum stub_kind kind, uint32_t patch)
{
	struct stub *s = &t->stubs[t->n_stubs++];

	*s = (struct stub){ .kind = kind, .patch = patch };
	return s;
}

static void emit_poll(struct trans *t)
{
	static const uint8_t cmp_gs[] = { 0x65, 0x48, 0x83, 0x3c, 0x25 }; /* cmp qword gs:[poll], imm8 */

	e_bytes(t, cmp_gs, 5);
	e32(t, V_OFF(poll));
	e8(t, 0);
	flags_clobbered(t);
}

static struct link *link_new(struct trans *t, uint32_t patch, uint64_t rip, bool host_flags)
{
	struct link *l = cache_meta(t->c, sizeof(*l));

	if (!l) {
		t->full = true;
		return NULL;
	}
	l->patch = patch;
	l->rip = rip;
	l->host_flags = host_flags;
	*t->link_tail = l;
	t->link_tail = &l->next_out;
	stub_new(t, STUB_LINK, patch)->link = l;
	return l;
}

/*
 * Before a jump that will be patched, whose displacement comes after n bytes of
 * opcode: another vCPU may be executing it, so the displacement must lie in
 * eight aligned bytes (smp.c).
 */
static void link_align(struct trans *t, unsigned n)
{
	static const uint8_t nop[4][3] = { { 0 }, { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 } };
	unsigned at = (here(t) + n) & 7;

	if (at > 4 && !smp_alone(t->v))
		e_bytes(t, nop[8 - at], 8 - at);
}

static bool backward(const struct trans *t, uint64_t rip)
{
	return rip < t->next;
}

void flow_poll(struct trans *t, uint64_t rip, unsigned live)
{
	flags_keep(t, live);
	emit_poll(t);
	stub_new(t, STUB_POLL, e_jcc(t, 5 /* ne */))->rip = rip;
}

static void direct_in_page(struct trans *t, uint64_t rip, unsigned live)
{
	if (backward(t, rip) || t->sti)
		flow_poll(t, rip, live);
	link_align(t, 1);
	link_new(t, e_jmp(t), rip, t->in_host || !live);
}

static uint32_t jc_off(const struct trans *t)
{
	return BT_OFF_JC + (t->user ? sizeof(struct jc_entry) * JC_SIZE : 0);
}

static enum thunk_index lookup_thunk(const struct trans *t)
{
	return t->user ? THUNK_LOOKUP_U : THUNK_LOOKUP_K;
}

static void direct_cross_page(struct trans *t, uint64_t rip, unsigned live)
{
	uint32_t off = jc_off(t) + jc_index(rip) * (uint32_t)sizeof(struct jc_entry);
	static const uint8_t jmp_gs[] = { 0x65, 0xff, 0x24, 0x25 };

	flags_keep(t, live);
	e_mov_imm(t, T0, rip);
	e_gs_alu(t, 0x3b, T0, off);
	e_jcc_tramp(t, 5 /* ne */, lookup_thunk(t));
	if (backward(t, rip) || t->sti) {
		emit_poll(t);
		e_jcc_tramp(t, 5, lookup_thunk(t));
	}
	e_bytes(t, jmp_gs, 4);
	e32(t, off + (uint32_t)offsetof(struct jc_entry, code));
	flags_clobbered(t);
}

void flow_direct(struct trans *t, uint64_t rip, unsigned live)
{
	if (t->mode != MODE_64)
		rip = (uint32_t)rip;
	clobber(t, MREGS);
	if (linkable(t, rip))
		direct_in_page(t, rip, live);
	else
		direct_cross_page(t, rip, FL_ARITH);
}

/* T1 = jc_index(rip) * 16 */
void flow_indirect(struct trans *t)
{
	static const uint8_t cmp_gs[] = { 0x65, 0x4d, 0x3b, 0x9f }; /* cmp r11, gs:[r15 + disp32] */
	static const uint8_t jmp_gs[] = { 0x65, 0x41, 0xff, 0xa7 }; /* jmp gs:[r15 + disp32] */

	e_imul32_imm(t, T1, T0, JC_HASH);
	e_shift_imm(t, 5, T1, 32 - JC_BITS - 4, false);
	e_alu_imm32(t, 4, T1, (JC_SIZE - 1) * sizeof(struct jc_entry), false);
	e_bytes(t, cmp_gs, 4);
	e32(t, jc_off(t));
	e_jcc_tramp(t, 5 /* ne */, lookup_thunk(t));
	emit_poll(t);
	e_jcc_tramp(t, 5, lookup_thunk(t));
	e_bytes(t, jmp_gs, 4);
	e32(t, jc_off(t) + (uint32_t)offsetof(struct jc_entry, code));
}

void flow_jcc(struct trans *t, const struct insn *in, uint64_t target)
{
	unsigned live = flow_live_at(t, target);
	uint32_t skip;

	flags_restore(t);
	if (linkable(t, target) && !backward(t, target)) {
		link_align(t, 2);
		link_new(t, e_jcc(t, in->cond), target, true);
		return;
	}
	skip = e_jcc(t, in->cond ^ 1u);

	bool in_host = t->in_host, in_slot = t->in_slot;
	uint32_t cached = t->cached;

	flow_direct(t, target, live);
	t->in_host = in_host;
	t->in_slot = in_slot;
	t->cached = cached;
	e_patch(t, skip, here(t));
}

static void store_rip(struct trans *t, uint64_t rip)
{
	if ((int64_t)rip == (int32_t)rip) {
		static const uint8_t mov_gs[] = { 0x65, 0x48, 0xc7, 0x04, 0x25 };

		e_bytes(t, mov_gs, 5);
		e32(t, V_OFF(rip));
		e32(t, (uint32_t)rip);
		return;
	}
	e_mov_imm(t, T0, rip);
	e_gs_store(t, V_OFF(rip), T0);
}

static uint32_t step_arg(const struct insn *in)
{
	uint32_t arg = (uint32_t)in->op | (uint32_t)in->len << 16 | (uint32_t)in->opsize << 24;

	if ((in->op == OP_IN || in->op == OP_OUT) && in->imm_size == 0)
		arg |= STEP_DX;
	return arg;
}

void flow_step(struct trans *t, uint64_t rip, const struct insn *in)
{
	flags_keep(t, FL_ARITH);
	store_rip(t, rip);
	e_gs_store32_imm(t, V_OFF(exit_arg), step_arg(in));
	e_jmp_tramp(t, THUNK_STEP);
}

/*
 * A window that crosses its page would miss every time: T0 is an offset below
 * 4096 then, and a link leads to the ungrouped code without a visit to C.
 */
static void split_window(struct trans *t, uint64_t rip)
{
	uint32_t other_page;
	struct link *l;

	e_alu_imm32(t, 7, T0, 4095, true);
	other_page = e_jcc(t, 7 /* a */);
	link_align(t, 1);
	l = link_new(t, e_jmp(t), rip, false);
	if (l)
		l->ungrouped = true;
	e_patch(t, other_page, here(t));
}

void flow_step_if(struct trans *t, unsigned cond, const struct insn *in)
{
	struct stub *s = stub_new(t, STUB_STEP, e_jcc(t, cond));

	s->rip = t->insn_rip[t->cur];
	s->arg = step_arg(in);
}

static void stub_emit(struct trans *t, const struct stub *s)
{
	uint32_t at = here(t);

	e_patch(t, s->patch, at);
	switch (s->kind) {
	case STUB_MISS:
		if (s->group)
			split_window(t, s->rip);
		e_gs_store32_imm(t, V_OFF(resume), s->after | (s->group ? RESUME_GROUP : 0));
		e_jmp_tramp(t, s->thunk);
		break;
	case STUB_LINK:
		s->link->stub = at;
		e_gs_store32_imm(t, V_OFF(exit_arg), (uint32_t)(((uint8_t *)s->link - t->c->meta) / 8));
		e_jmp_tramp(t, s->link->host_flags ? THUNK_LINK_H : THUNK_LINK);
		break;
	case STUB_POLL:
		store_rip(t, s->rip);
		e_jmp_tramp(t, THUNK_POLL);
		break;
	case STUB_STEP:
		store_rip(t, s->rip);
		e_gs_store32_imm(t, V_OFF(exit_arg), s->arg);
		e_jmp_tramp(t, THUNK_STEP);
		break;
	}
}

void flow_stubs(struct trans *t)
{
	for (unsigned i = 0; i < t->n_stubs; i++)
		stub_emit(t, &t->stubs[i]);
}
