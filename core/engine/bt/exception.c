/* SPDX-License-Identifier: MIT */
/*
 * Delivery through the IDT.
 *
 * One attempt (deliver_once) reads the gate, the target and the stack, writes
 * the frame, and only then changes registers; when it faults, nothing has
 * happened, and exc_deliver decides what the pair of exceptions becomes: the
 * second one alone, a double fault, or a shutdown. All memory accesses carry
 * ACC_NOMMIO: a table or stack in a device's range reads as ones, so delivery
 * always ends.
 */
#include "engine/bt/decode.h"
#include "engine/bt/exception.h"
#include "engine/bt/segment.h"
#include "engine/bt/sys.h"

#define DR7_GD 0x2000ull
#define IDT_BIT 2u

/* What is delivered: an exception, or an interrupt from outside. */
struct event {
	struct bt_exc exc;
	bool external;
	unsigned ext;    /* the EXT bit in error codes of faults met on the way */
	uint64_t rip;    /* to be pushed */
	uint64_t flags;  /* to be pushed */
};

/* One gate, whichever its format. */
struct gate {
	uint16_t selector;
	uint64_t offset;
	unsigned type, dpl, ist;
	bool present;
};

static uint32_t idt_error(const struct event *e)
{
	return (uint32_t)e->exc.vector * 8 | IDT_BIT | e->ext;
}

static enum bt_step fault_idt(struct bt_vcpu *v, uint8_t vector, const struct event *e)
{
	return bt_fault_error(v, vector, idt_error(e));
}

static enum bt_step read_gate(struct bt_vcpu *v, const struct event *e, struct gate *g)
{
	unsigned size = bt_long_mode(v) ? 16 : 8, off = e->exc.vector * size;
	uint32_t raw[4] = { 0 };
	enum bt_step step;

	if (off + size - 1 > v->idt.limit)
		return fault_idt(v, EXC_GP, e);
	step = mmu_read(v, v->idt.base + off, raw, size, IMPLICIT);
	if (step != STEP_OK)
		return step;
	g->selector = (uint16_t)(raw[0] >> 16);
	g->type = raw[1] >> 8 & 0x1f;
	g->dpl = raw[1] >> 13 & 3;
	g->present = raw[1] >> 15 & 1;
	g->ist = size == 16 ? raw[1] & 7 : 0;
	g->offset = (raw[0] & 0xffff) | (raw[1] & 0xffff0000u) | (uint64_t)raw[2] << 32;
	return STEP_OK;
}

/* Bit 4 of the type is S: a gate has it clear. */
static bool gate_type_valid(const struct bt_vcpu *v, unsigned type)
{
	if (type == SYS_INT || type == SYS_TRAP)
		return true;
	return !bt_long_mode(v) && (type == SYS_INT16 || type == SYS_TRAP16 || type == SYS_TASK_GATE);
}

static enum bt_step check_gate(struct bt_vcpu *v, const struct event *e, const struct gate *g)
{
	if (!gate_type_valid(v, g->type) || (e->exc.soft && g->dpl < v->cpl))
		return fault_idt(v, EXC_GP, e);
	if (!g->present)
		return fault_idt(v, EXC_NP, e);
	return STEP_OK;
}

/* The handler's code segment, and the level that it runs at. */
static enum bt_step read_handler(struct bt_vcpu *v, const struct event *e, const struct gate *g,
                                 struct gamut_segment *cs, unsigned *cpl)
{
	uint32_t error = sel_error(g->selector) | e->ext;
	bool lma = bt_long_mode(v), conforming;
	struct desc d;
	enum bt_step step;

	if (sel_null(g->selector))
		return bt_fault_error(v, EXC_GP, e->ext);
	step = desc_read(v, g->selector, EXC_GP, e->ext, &d);
	if (step != STEP_OK)
		return step;
	if (!desc_code(&d) || desc_dpl(&d) > v->cpl || (lma && (!desc_l(&d) || desc_db(&d))))
		return bt_fault_error(v, EXC_GP, error);
	if (!desc_present(&d))
		return bt_fault_error(v, EXC_NP, error);
	conforming = desc_conforming(&d);
	*cpl = conforming ? v->cpl : desc_dpl(&d);
	if ((v->rflags & FL_VM) && *cpl != 0)
		return bt_fault_error(v, EXC_GP, error);
	step = desc_set_type(v, &d, TYPE_ACCESSED);
	*cs = desc_segment(&d, g->selector);
	cs->selector = (uint16_t)((g->selector & ~3u) | *cpl);
	return step;
}

static bool handler_rip_valid(const struct bt_vcpu *v, const struct gamut_segment *cs, uint64_t rip)
{
	return bt_long_mode(v) ? canonical(rip) : rip <= cs->limit;
}

/* Interrupt gates clear IF; all clear TF, NT, RF, VM. */
static void enter_handler(struct bt_vcpu *v, const struct gate *g, const struct gamut_segment *cs, unsigned cpl,
                          const struct frame *f)
{
	bool interrupt = (g->type & 7) == (SYS_INT16 & 7);
	uint64_t clear = FL_TF | FL_NT | FL_RF | FL_VM | (interrupt ? FL_IF : 0);

	bt_set_rflags(v, bt_rflags(v) & ~clear);
	seg_set(v, GAMUT_SS, &f->ss);
	seg_set(v, GAMUT_CS, cs);
	v->gpr[RSP] = f->sp;
	v->rip = g->offset;
	v->cpl = (uint8_t)cpl;
}

/* ---- long mode ---- */

static enum bt_step stack_64(struct bt_vcpu *v, const struct event *e, const struct gate *g, unsigned cpl,
                             struct frame *f)
{
	enum bt_step step = STEP_OK;

	f->ss = v->seg[GAMUT_SS];
	f->sp = v->gpr[RSP];
	if (g->ist)
		step = tss_stack64(v, g->ist + 3, e->ext, &f->sp);
	else if (cpl != v->cpl)
		step = tss_stack64(v, cpl, e->ext, &f->sp);
	if (cpl != v->cpl)
		f->ss = (struct gamut_segment){ .selector = (uint16_t)cpl, .attr = SEG_UNUSABLE | cpl << SEG_DPL_SHIFT };
	f->sp &= ~15ull;
	f->code64 = true;
	f->size = 8;
	f->access = (cpl == 3 ? ACC_USER : 0) | ACC_NOMMIO;
	f->error = e->ext;
	f->n = 0;
	return step;
}

static enum bt_step deliver_64(struct bt_vcpu *v, const struct event *e, const struct gate *g)
{
	struct gamut_segment cs;
	struct frame f;
	unsigned cpl;
	enum bt_step step = read_handler(v, e, g, &cs, &cpl);

	if (step != STEP_OK)
		return step;
	step = stack_64(v, e, g, cpl, &f);
	if (step != STEP_OK)
		return step;
	if (!handler_rip_valid(v, &cs, g->offset))
		return bt_fault_error(v, EXC_GP, e->ext);
	frame_push(&f, v->seg[GAMUT_SS].selector);
	frame_push(&f, v->gpr[RSP]);
	frame_push(&f, e->flags);
	frame_push(&f, v->seg[GAMUT_CS].selector);
	frame_push(&f, e->rip);
	if (e->exc.has_error)
		frame_push(&f, e->exc.error);
	step = frame_write(v, &f);
	if (step == STEP_OK)
		enter_handler(v, g, &cs, cpl, &f);
	return step;
}

/* ---- protected mode ---- */

static enum bt_step stack_32(struct bt_vcpu *v, const struct event *e, const struct gate *g, unsigned cpl,
                             struct frame *f)
{
	uint16_t ss;
	uint32_t sp;
	enum bt_step step;

	f->code64 = false;
	f->size = g->type & 8 ? 4 : 2;
	f->access = (cpl == 3 ? ACC_USER : 0) | ACC_NOMMIO;
	f->error = e->ext;
	f->n = 0;
	f->sp = v->gpr[RSP];
	f->ss = v->seg[GAMUT_SS];
	if (cpl == v->cpl)
		return STEP_OK;
	step = tss_stack(v, cpl, e->ext, &ss, &sp);
	if (step != STEP_OK)
		return step;
	f->sp = sp;
	f->error = sel_error(ss) | e->ext;
	return seg_read_stack(v, ss, cpl, EXC_TS, e->ext, &f->ss);
}

static enum bt_step deliver_32(struct bt_vcpu *v, const struct event *e, const struct gate *gate)
{
	static const enum gamut_seg v86_order[] = { GAMUT_GS, GAMUT_FS, GAMUT_DS, GAMUT_ES };
	struct gate g = *gate;
	bool vm = v->rflags & FL_VM;
	struct gamut_segment cs;
	struct frame f;
	unsigned cpl;
	enum bt_step step;

	if (!(g.type & 8))
		g.offset &= 0xffff;
	step = read_handler(v, e, &g, &cs, &cpl);
	if (step == STEP_OK)
		step = stack_32(v, e, &g, cpl, &f);
	if (step != STEP_OK)
		return step;
	if (!handler_rip_valid(v, &cs, g.offset))
		return bt_fault_error(v, EXC_GP, e->ext);
	for (unsigned i = 0; vm && i < 4; i++)
		frame_push(&f, v->seg[v86_order[i]].selector);
	if (cpl != v->cpl) {
		frame_push(&f, v->seg[GAMUT_SS].selector);
		frame_push(&f, v->gpr[RSP]);
	}
	frame_push(&f, e->flags);
	frame_push(&f, v->seg[GAMUT_CS].selector);
	frame_push(&f, e->rip);
	if (e->exc.has_error)
		frame_push(&f, e->exc.error);
	step = frame_write(v, &f);
	if (step != STEP_OK)
		return step;
	enter_handler(v, &g, &cs, cpl, &f);
	for (unsigned i = 0; vm && i < 4; i++)
		seg_set_null(v, v86_order[i], 0);
	return STEP_OK;
}

static enum bt_step deliver_task(struct bt_vcpu *v, const struct event *e, const struct gate *g)
{
	return task_switch(v, g->selector, TASK_GATE, e->ext, e->rip, e->exc.has_error ? &e->exc.error : NULL);
}

/* ---- real mode ---- */

static enum bt_step deliver_real(struct bt_vcpu *v, const struct event *e)
{
	uint32_t off = e->exc.vector * 4u;
	uint16_t vector[2];
	struct frame f;
	enum bt_step step;

	if (off + 3 > v->idt.limit)
		return bt_fault(v, EXC_GP);
	step = mmu_read(v, v->idt.base + off, vector, 4, IMPLICIT);
	if (step != STEP_OK)
		return step;
	f.ss = v->seg[GAMUT_SS];
	f.code64 = false;
	f.sp = v->gpr[RSP];
	f.size = 2;
	f.access = ACC_NOMMIO;
	f.error = f.n = 0;
	frame_push(&f, e->flags);
	frame_push(&f, v->seg[GAMUT_CS].selector);
	frame_push(&f, e->rip);
	step = frame_write(v, &f);
	if (step != STEP_OK)
		return step;
	bt_set_rflags(v, bt_rflags(v) & ~(FL_IF | FL_TF | FL_AC | FL_RF));
	seg_set_real(v, GAMUT_CS, vector[1]);
	v->gpr[RSP] = f.sp;
	v->rip = vector[0];
	return STEP_OK;
}

/* ---- one attempt, and the rules for two ---- */

static enum bt_step deliver_once(struct bt_vcpu *v, const struct event *e)
{
	struct gate g;
	enum bt_step step;

	if (!(v->cr0 & CR0_PE))
		return deliver_real(v, e);
	/* int n (but not int3, into, int1) in virtual-8086 mode is IOPL-sensitive; the one-byte forms are not. */
	if ((v->rflags & FL_VM) && e->exc.int_n && (v->rflags & FL_IOPL) != FL_IOPL)
		return bt_fault_error(v, EXC_GP, 0);
	step = read_gate(v, e, &g);
	if (step == STEP_OK)
		step = check_gate(v, e, &g);
	if (step != STEP_OK)
		return step;
	if (bt_long_mode(v))
		return deliver_64(v, e, &g);
	return g.type == SYS_TASK_GATE ? deliver_task(v, e, &g) : deliver_32(v, e, &g);
}

/* Faults push RF set, so that an instruction breakpoint does not hit again. */
#define RF_VECTORS (1u << EXC_DE | 1u << EXC_BR | 1u << EXC_UD | 1u << EXC_NM | 1u << EXC_TS | 1u << EXC_NP | \
                    1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF | 1u << EXC_MF | 1u << EXC_AC | 1u << EXC_XM)
#define CONTRIBUTORY (1u << EXC_DE | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP)

static bool in_set(uint8_t vector, uint32_t set)
{
	return vector < 32 && (set >> vector & 1);
}

static void event_init(const struct bt_vcpu *v, struct event *e, const struct bt_exc *exc, bool external)
{
	e->exc = *exc;
	e->external = external;
	e->ext = !exc->soft;
	e->rip = exc->soft ? v->rip + exc->len : v->rip;
	if (!bt_code64(v))
		e->rip = (uint32_t)e->rip;
	e->flags = bt_rflags(v);
	if (!external && !exc->soft && in_set(exc->vector, RF_VECTORS))
		e->flags |= FL_RF;
}

/* Side effects of an exception's recognition: CR2; DR6, and GD off so that the handler can use the registers. */
static void recognise(struct bt_vcpu *v, const struct event *e)
{
	if (e->external || e->exc.soft)
		return;
	if (e->exc.vector == EXC_PF)
		v->cr2 = e->exc.cr2;
	if (e->exc.vector == EXC_DB) {
		/* Bits 3:0 say which breakpoint it was this time; the others stay until software clears them. */
		v->dr[6] = (v->dr[6] & ~15ull) | e->exc.dr6;
		v->dr[7] &= ~DR7_GD;
	}
}

/* What a second exception makes of the first: false is a shutdown. */
static bool combine(struct bt_vcpu *v, struct event *e)
{
	uint8_t first = e->exc.vector, second = v->exc.vector;
	struct bt_exc next = v->exc;
	bool genuine = !e->external && !e->exc.soft;

	if (genuine && first == EXC_DF)
		return false;
	if (genuine && ((in_set(first, CONTRIBUTORY) && in_set(second, CONTRIBUTORY)) ||
	                (first == EXC_PF && (second == EXC_PF || in_set(second, CONTRIBUTORY))))) {
		if (second == EXC_PF)
			v->cr2 = v->exc.cr2;
		next = (struct bt_exc){ .vector = EXC_DF, .has_error = v->cr0 & CR0_PE };
	}
	event_init(v, e, &next, false);
	return true;
}

/* A triple fault leaves the state as it was. */
struct saved {
	uint64_t cr2, dr6, dr7;
};

static bool deliver(struct bt_vcpu *v, const struct bt_exc *exc, bool external)
{
	struct saved old = { v->cr2, v->dr[6], v->dr[7] };
	struct event e;

	event_init(v, &e, exc, external);
	for (;;) {
		recognise(v, &e);
		if (!(v->cr0 & CR0_PE))
			e.exc.has_error = false;
		if (deliver_once(v, &e) == STEP_OK)
			break;
		if (combine(v, &e))
			continue;
		v->cr2 = old.cr2;
		v->dr[6] = old.dr6;
		v->dr[7] = old.dr7;
		return false;
	}
	v->shadow = 0;
	v->halted = false;
	bt_update_key(v);
	return true;
}

bool exc_deliver(struct bt_vcpu *v)
{
	struct bt_exc exc = v->exc;

	return deliver(v, &exc, false);
}

bool exc_interrupt(struct bt_vcpu *v, uint8_t vector)
{
	struct bt_exc exc = { .vector = vector };
	bool ok = deliver(v, &exc, true);

	if (ok && vector == EXC_NMI)
		v->nmi_blocked = true;
	return ok;
}
