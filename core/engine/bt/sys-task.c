/* SPDX-License-Identifier: MIT */
/*
 * Task switches through a 16 or 32-bit TSS (SDM vol. 3 chapter 8). No guest
 * that Gamut is for uses them but for the double-fault task of a 32-bit
 * Linux; they are here because the manual has them.
 *
 * Faults up to the commit point belong to the old task and change nothing;
 * those of loading the new task's segments are raised in the new task.
 */
#include "engine/bt/decode.h"
#include "engine/bt/segment.h"
#include "engine/bt/sys.h"

#define TSS32_SIZE 104u
#define TSS16_SIZE 44u
#define TSS32_T 100u
#define DR6_BT 0x8000ull

/* Offsets of fields: link, CR3, ip, flags, first general register, first segment (ES CS SS DS FS GS), LDT. */
struct tss_layout {
	unsigned size, width, segs;
	unsigned cr3, ip, flags, regs, seg, seg_step, ldt;
};

static const struct tss_layout layouts[2] = {
	{ TSS16_SIZE, 2, 4, 0, 14, 16, 18, 34, 2, 42 },
	{ TSS32_SIZE, 4, 6, 28, 32, 36, 40, 72, 4, 96 },
};

struct tss {
	const struct tss_layout *layout;
	uint8_t bytes[TSS32_SIZE];
};

static uint32_t get(const struct tss *t, unsigned off, unsigned width)
{
	uint32_t value = 0;

	bt_copy(&value, t->bytes + off, width);
	return value;
}

static void put(struct tss *t, unsigned off, uint32_t value, unsigned width)
{
	bt_copy(t->bytes + off, &value, width);
}

static const struct tss_layout *layout_of(unsigned type)
{
	return &layouts[type >= SYS_TSS];
}

/* The new TSS's descriptor, checked for the kind of switch. */
static enum bt_step read_target(struct bt_vcpu *v, uint16_t selector, enum task_why why, unsigned ext, struct desc *d)
{
	uint8_t vector = why == TASK_JMP || why == TASK_CALL ? EXC_GP : EXC_TS;
	uint32_t error = sel_error(selector) | ext;
	unsigned type;
	bool busy;
	enum bt_step step;

	if (sel_null(selector) || (selector & 4))
		return bt_fault_error(v, vector, error);
	step = desc_read(v, selector, vector, ext, d);
	if (step != STEP_OK)
		return step;
	type = desc_type(d);
	busy = type & 2;
	if (desc_s(d) || (type & ~10u) != SYS_TSS16 || busy != (why == TASK_IRET))
		return bt_fault_error(v, vector, error);
	if (!desc_present(d))
		return bt_fault_error(v, EXC_NP, error);
	if (desc_segment(d, selector).limit < layout_of(type)->size - 1)
		return bt_fault_error(v, EXC_TS, error);
	return STEP_OK;
}

/* The old task's registers into its TSS. */
static enum bt_step save_old(struct bt_vcpu *v, enum task_why why, uint64_t next)
{
	const struct gamut_segment *tr = &v->seg[GAMUT_TR];
	struct tss t = { .layout = layout_of(tr->attr & SEG_TYPE) };
	const struct tss_layout *l = t.layout;
	uint64_t flags = bt_rflags(v) & ~(why == TASK_IRET ? FL_NT : 0);
	enum bt_step step;

	if (tr->limit < l->size - 1)
		return bt_fault_error(v, EXC_TS, sel_error(tr->selector));
	step = mmu_read(v, tr->base, t.bytes, l->size, IMPLICIT);
	if (step != STEP_OK)
		return step;
	put(&t, l->ip, (uint32_t)next, l->width);
	put(&t, l->flags, (uint32_t)flags, l->width);
	for (unsigned i = 0; i < 8; i++)
		put(&t, l->regs + i * l->width, (uint32_t)v->gpr[i], l->width);
	for (unsigned i = 0; i < l->segs; i++)
		put(&t, l->seg + i * l->seg_step, v->seg[i].selector, 2);
	return mmu_write(v, tr->base, t.bytes, l->size, IMPLICIT);
}

static enum bt_step set_busy(struct bt_vcpu *v, uint64_t va, bool busy)
{
	uint8_t access;
	enum bt_step step = mmu_read(v, va + 5, &access, 1, IMPLICIT);

	if (step != STEP_OK)
		return step;
	access = (uint8_t)(busy ? access | 2 : access & ~2);
	return mmu_write(v, va + 5, &access, 1, IMPLICIT);
}

static enum bt_step switch_tr(struct bt_vcpu *v, struct desc *d, uint16_t selector, enum task_why why)
{
	struct gamut_segment tr = desc_segment(d, selector);
	uint16_t old = v->seg[GAMUT_TR].selector;
	enum bt_step step = STEP_OK;

	if (why == TASK_JMP || why == TASK_IRET)
		step = set_busy(v, v->gdt.base + (old & 0xfff8u), false);
	if (step == STEP_OK && why != TASK_IRET)
		step = set_busy(v, d->va, true);
	if (step == STEP_OK && (why == TASK_CALL || why == TASK_GATE))
		step = mmu_write(v, tr.base, &old, 2, IMPLICIT);
	if (step != STEP_OK)
		return step;
	tr.attr |= 2;
	seg_set(v, GAMUT_TR, &tr);
	return STEP_OK;
}

static enum bt_step ts(struct bt_vcpu *v, uint16_t selector, unsigned ext)
{
	return bt_fault_error(v, EXC_TS, sel_error(selector) | ext);
}

static enum bt_step load_code(struct bt_vcpu *v, uint16_t selector, unsigned ext)
{
	unsigned rpl = selector & 3;
	struct gamut_segment cs;
	struct desc d;
	enum bt_step step;

	if (sel_null(selector))
		return ts(v, selector, ext);
	step = desc_read(v, selector, EXC_TS, ext, &d);
	if (step != STEP_OK)
		return step;
	if (!desc_code(&d) || (desc_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		return ts(v, selector, ext);
	if (!desc_present(&d))
		return bt_fault_error(v, EXC_NP, sel_error(selector) | ext);
	step = desc_set_type(v, &d, TYPE_ACCESSED);
	cs = desc_segment(&d, selector);
	seg_set(v, GAMUT_CS, &cs);
	return step;
}

/* LDTR, then CS (which gives the level), SS and the data segments, as #TS where mov would say #GP. */
static enum bt_step load_segments(struct bt_vcpu *v, const struct tss *t, unsigned ext)
{
	const struct tss_layout *l = t->layout;
	uint16_t sel[6] = { 0 };
	struct gamut_segment ss;
	enum bt_step step;

	for (unsigned i = 0; i < l->segs; i++)
		sel[i] = (uint16_t)get(t, l->seg + i * l->seg_step, 2);
	if (v->rflags & FL_VM) {
		for (unsigned i = 0; i < 6; i++)
			seg_set_v86(v, (enum gamut_seg)i, sel[i]);
		v->cpl = 3;
		return STEP_OK;
	}
	for (unsigned i = 0; i < 6; i++)
		seg_set_null(v, (enum gamut_seg)i, sel[i]);
	v->cpl = 0;
	step = sys_lldt(v, (uint16_t)get(t, l->ldt, 2));
	if (step == STEP_FAULT && v->exc.vector != EXC_PF)
		return ts(v, (uint16_t)get(t, l->ldt, 2), ext);
	v->cpl = sel[GAMUT_CS] & 3;
	if (step == STEP_OK)
		step = load_code(v, sel[GAMUT_CS], ext);
	if (step == STEP_OK)
		step = seg_read_stack(v, sel[GAMUT_SS], v->cpl, EXC_TS, ext, &ss);
	if (step != STEP_OK)
		return step;
	seg_set(v, GAMUT_SS, &ss);
	for (unsigned i = 0; i < 6 && step == STEP_OK; i++) {
		if (i == GAMUT_CS || i == GAMUT_SS)
			continue;
		step = sys_load_seg(v, (enum gamut_seg)i, sel[i]);
		if (step == STEP_FAULT && v->exc.vector == EXC_GP)
			return ts(v, sel[i], ext);
	}
	return step;
}

static enum bt_step push_error(struct bt_vcpu *v, unsigned width, uint32_t error)
{
	struct frame f;
	enum bt_step step;

	f.ss = v->seg[GAMUT_SS];
	f.code64 = false;
	f.sp = v->gpr[RSP];
	f.size = width;
	f.access = (v->cpl == 3 ? ACC_USER : 0) | ACC_NOMMIO;
	f.error = f.n = 0;
	frame_push(&f, error);
	step = frame_write(v, &f);
	if (step == STEP_OK)
		v->gpr[RSP] = f.sp;
	return step;
}

/* Past this nothing belongs to the old task. */
static enum bt_step load_new(struct bt_vcpu *v, const struct tss *t, enum task_why why, unsigned ext)
{
	const struct tss_layout *l = t->layout;
	uint64_t flags = get(t, l->flags, l->width);
	enum bt_step step = STEP_OK;

	if (why == TASK_CALL || why == TASK_GATE)
		flags |= FL_NT;
	v->cr0 |= CR0_TS;
	v->cpl = 0;
	if (l->cr3 && (v->cr0 & CR0_PG))
		step = sys_write_cr(v, 3, get(t, l->cr3, 4));
	v->rip = get(t, l->ip, l->width);
	bt_set_rflags(v, flags & 0x3f7fd7);
	for (unsigned i = 0; i < 8; i++)
		v->gpr[i] = get(t, l->regs + i * l->width, l->width) | (l->width == 2 ? 0xffff0000u : 0);
	v->dr[7] &= ~0x155ull; /* local breakpoints */
	if (step == STEP_OK)
		step = load_segments(v, t, ext);
	bt_update_key(v);
	return step;
}

/* The T bit of a 32-bit TSS: #DB before the task's first instruction. */
static bool debug_trap(const struct tss *t)
{
	return t->layout->size == TSS32_SIZE && (get(t, TSS32_T, 1) & 1);
}

static enum bt_step task_trap(struct bt_vcpu *v)
{
	v->exc = (struct bt_exc){ .vector = EXC_DB, .dr6 = DR6_BT };
	return STEP_FAULT;
}

enum bt_step task_switch(struct bt_vcpu *v, uint16_t selector, enum task_why why, unsigned ext, uint64_t next,
                         const uint32_t *error)
{
	struct desc d;
	struct tss t;
	uint64_t base;
	enum bt_step step = read_target(v, selector, why, ext, &d);

	if (step != STEP_OK)
		return step;
	t.layout = layout_of(desc_type(&d));
	base = desc_segment(&d, selector).base;
	step = mmu_read(v, base, t.bytes, t.layout->size, IMPLICIT);
	if (step == STEP_OK)
		step = save_old(v, why, next);
	if (step == STEP_OK)
		step = switch_tr(v, &d, selector, why);
	if (step == STEP_OK)
		step = load_new(v, &t, why, ext);
	if (step == STEP_OK && error)
		step = push_error(v, t.layout->width, *error);
	if (step == STEP_OK)
		step = sys_check_rip(v, v->rip);
	return step == STEP_OK && debug_trap(&t) ? task_trap(v) : step;
}
