/* SPDX-License-Identifier: MIT */
/*
 * Descriptors and stacks: what segment loads, far transfers and exception
 * delivery have in common. See segment.h.
 */
#include "engine/bt/segment.h"
#include "engine/bt/sys.h"

enum bt_step desc_probe(struct bt_vcpu *v, uint16_t selector, struct desc *d, bool *ok)
{
	uint32_t off = selector & 0xfff8u, raw[2];
	bool ldt = selector & 4;
	uint64_t base = ldt ? v->seg[GAMUT_LDTR].base : v->gdt.base;
	uint32_t limit = ldt ? v->seg[GAMUT_LDTR].limit : v->gdt.limit;
	enum bt_step step;

	*ok = false;
	if (ldt && (v->seg[GAMUT_LDTR].attr & SEG_UNUSABLE))
		return STEP_OK;
	if (off + 7 > limit)
		return STEP_OK;
	d->va = base + off;
	step = mmu_read(v, d->va, raw, 8, IMPLICIT);
	if (step != STEP_OK)
		return step;
	d->lo = raw[0];
	d->hi = raw[1];
	*ok = true;
	return STEP_OK;
}

enum bt_step desc_read(struct bt_vcpu *v, uint16_t selector, uint8_t vector, unsigned ext, struct desc *d)
{
	bool ok;
	enum bt_step step = desc_probe(v, selector, d, &ok);

	if (step != STEP_OK || ok)
		return step;
	return bt_fault_error(v, vector, sel_error(selector) | ext);
}

enum bt_step desc_read_high(struct bt_vcpu *v, uint16_t selector, const struct desc *d, uint8_t vector, uint64_t *base)
{
	uint32_t limit = selector & 4 ? v->seg[GAMUT_LDTR].limit : v->gdt.limit, high[2];
	enum bt_step step;

	if ((selector & 0xfff8u) + 15u > limit)
		return bt_fault_error(v, vector, sel_error(selector));
	step = mmu_read(v, d->va + 8, high, 8, IMPLICIT);
	if (step != STEP_OK)
		return step;
	if (high[1] & 0x1f00)
		return bt_fault_error(v, vector, sel_error(selector));
	*base = (uint64_t)high[0] << 32;
	return STEP_OK;
}

enum bt_step desc_set_type(struct bt_vcpu *v, struct desc *d, unsigned bits)
{
	enum bt_step step;
	uint8_t access;
	void *host;

	if ((desc_type(d) & bits) == bits)
		return STEP_OK;
	d->hi |= bits << 8;
	step = mmu_rmw(v, d->va + 5, 1, IMPLICIT, &host);
	if (step != STEP_OK)
		return step;
	if (host) {
		/* Locked, as the processor does it: what another vCPU changes in the byte stays. */
		__atomic_fetch_or((uint8_t *)host, (uint8_t)bits, __ATOMIC_SEQ_CST);
		return STEP_OK;
	}
	access = (uint8_t)(d->hi >> 8);
	return mmu_write(v, d->va + 5, &access, 1, IMPLICIT);
}

struct gamut_segment desc_segment(const struct desc *d, uint16_t selector)
{
	uint32_t limit = (d->lo & 0xffff) | (d->hi & 0xf0000);

	if (d->hi & 1u << 23)
		limit = limit << 12 | 0xfff;
	return (struct gamut_segment){
		.base = (d->lo >> 16) | (d->hi & 0xff) << 16 | (d->hi & 0xff000000u),
		.limit = limit,
		.selector = selector,
		.attr = d->hi >> 8 & 0xf0ff,
	};
}

void seg_set(struct bt_vcpu *v, enum gamut_seg seg, const struct gamut_segment *s)
{
	v->seg[seg] = *s;
	v->seg_base[seg] = s->base;
}

void seg_set_null(struct bt_vcpu *v, enum gamut_seg seg, uint16_t selector)
{
	struct gamut_segment s = { .selector = selector, .attr = SEG_UNUSABLE };

	if (seg == GAMUT_SS)
		s.attr |= (uint32_t)v->cpl << SEG_DPL_SHIFT;
	seg_set(v, seg, &s);
}

/* Real mode changes selector and base alone: limit and type stay ("unreal" mode works). Code is 16-bit from then on. */
void seg_set_real(struct bt_vcpu *v, enum gamut_seg seg, uint16_t selector)
{
	if (seg == GAMUT_CS)
		v->seg[seg].attr &= ~(SEG_DB | SEG_L);
	v->seg[seg].selector = selector;
	v->seg[seg].base = v->seg_base[seg] = (uint64_t)selector << 4;
}

void seg_set_v86(struct bt_vcpu *v, enum gamut_seg seg, uint16_t selector)
{
	struct gamut_segment s = {
		.base = (uint64_t)selector << 4, .limit = 0xffff, .selector = selector, .attr = 0xf3
	};

	seg_set(v, seg, &s);
}

void seg_set_flat(struct bt_vcpu *v, uint16_t cs, uint32_t cs_attr, uint16_t ss, unsigned cpl)
{
	struct gamut_segment code = {
		.limit = 0xffffffffu, .selector = cs, .attr = cs_attr | cpl << SEG_DPL_SHIFT
	};
	struct gamut_segment stack = {
		.limit = 0xffffffffu, .selector = ss, .attr = ATTR_DATA32 | cpl << SEG_DPL_SHIFT
	};

	seg_set(v, GAMUT_CS, &code);
	seg_set(v, GAMUT_SS, &stack);
	v->cpl = (uint8_t)cpl;
}

/* The base stays, as on processors: 64-bit code goes on using that of FS and GS. */
static void drop(struct bt_vcpu *v, enum gamut_seg seg)
{
	v->seg[seg].selector = 0;
	v->seg[seg].limit = 0;
	v->seg[seg].attr = SEG_UNUSABLE;
}

void seg_drop_inner(struct bt_vcpu *v)
{
	static const enum gamut_seg data[] = { GAMUT_ES, GAMUT_DS, GAMUT_FS, GAMUT_GS };

	for (unsigned i = 0; i < 4; i++) {
		const struct gamut_segment *s = &v->seg[data[i]];
		bool conforming = (s->attr & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING);

		if (s->attr & SEG_UNUSABLE || conforming)
			continue;
		if ((s->attr >> SEG_DPL_SHIFT & 3) < v->cpl)
			drop(v, data[i]);
	}
}

static enum bt_step outside(struct bt_vcpu *v, bool stack)
{
	return bt_fault_error(v, stack ? EXC_SS : EXC_GP, 0);
}

/* Whether a segment's type and limit admit [offset, offset+len). */
static bool seg_admits(const struct bt_vcpu *v, const struct gamut_segment *s, uint32_t offset, unsigned len, bool write)
{
	uint64_t last = (uint64_t)offset + len - 1;
	bool code = s->attr & TYPE_CODE;

	if (seg_protected(v)) {
		if (s->attr & SEG_UNUSABLE)
			return false;
		if (write && (code || !(s->attr & TYPE_WRITABLE)))
			return false;
		if (!write && code && !(s->attr & TYPE_READABLE))
			return false;
	}
	if (!code && (s->attr & TYPE_EXPAND_DOWN))
		return offset > s->limit && last <= (s->attr & SEG_DB ? 0xffffffffu : 0xffffu);
	return last <= s->limit;
}

enum bt_step seg_linear(struct bt_vcpu *v, const struct gamut_segment *s, bool stack, bool code64, uint64_t offset,
                        unsigned len, bool write, uint64_t *va)
{
	if (code64) {
		*va = offset;
		if (!canonical(offset) || !canonical(offset + len - 1))
			return outside(v, stack);
		return STEP_OK;
	}
	*va = (uint32_t)(s->base + offset);
	if (!seg_admits(v, s, (uint32_t)offset, len, write))
		return outside(v, stack);
	return STEP_OK;
}

enum bt_step sys_linear(struct bt_vcpu *v, enum gamut_seg seg, uint64_t offset, unsigned len, bool write, uint64_t *va)
{
	const struct gamut_segment *s = &v->seg[seg];

	if (bt_code64(v)) {
		uint64_t base = seg == GAMUT_FS || seg == GAMUT_GS ? s->base : 0;

		return seg_linear(v, s, seg == GAMUT_SS, true, base + offset, len, write, va);
	}
	return seg_linear(v, s, seg == GAMUT_SS, false, offset, len, write, va);
}

enum bt_step seg_read_stack(struct bt_vcpu *v, uint16_t selector, unsigned cpl, uint8_t vector, unsigned ext,
                            struct gamut_segment *ss)
{
	struct desc d;
	enum bt_step step;

	if (sel_null(selector))
		return bt_fault_error(v, vector, ext);
	step = desc_read(v, selector, vector, ext, &d);
	if (step != STEP_OK)
		return step;
	if ((selector & 3u) != cpl || desc_dpl(&d) != cpl || !desc_s(&d) || desc_code(&d) ||
	    !(desc_type(&d) & TYPE_WRITABLE))
		return bt_fault_error(v, vector, sel_error(selector) | ext);
	if (!desc_present(&d))
		return bt_fault_error(v, EXC_SS, sel_error(selector) | ext);
	step = desc_set_type(v, &d, TYPE_ACCESSED);
	*ss = desc_segment(&d, selector);
	return step;
}

static enum bt_step tss_field(struct bt_vcpu *v, uint32_t off, void *buf, unsigned len, unsigned ext)
{
	const struct gamut_segment *tr = &v->seg[GAMUT_TR];

	if (off + len - 1 > tr->limit)
		return bt_fault_error(v, EXC_TS, sel_error(tr->selector) | ext);
	return mmu_read(v, tr->base + off, buf, len, IMPLICIT);
}

enum bt_step tss_stack(struct bt_vcpu *v, unsigned cpl, unsigned ext, uint16_t *ss, uint32_t *sp)
{
	uint16_t small[2];
	uint32_t wide[2];
	enum bt_step step;

	if ((v->seg[GAMUT_TR].attr & SEG_TYPE) == SYS_TSS16_BUSY) {
		step = tss_field(v, 2 + 4 * cpl, small, 4, ext);
		*sp = small[0];
		*ss = small[1];
		return step;
	}
	step = tss_field(v, 4 + 8 * cpl, wide, 8, ext);
	*sp = wide[0];
	*ss = (uint16_t)wide[1];
	return step;
}

enum bt_step tss_stack64(struct bt_vcpu *v, unsigned index, unsigned ext, uint64_t *rsp)
{
	enum bt_step step = tss_field(v, 4 + 8 * index, rsp, 8, ext);

	if (step == STEP_OK && !canonical(*rsp))
		return bt_fault_error(v, EXC_SS, ext);
	return step;
}

static enum bt_step stack_fault(struct bt_vcpu *v, const struct frame *f, enum bt_step step)
{
	if (step == STEP_FAULT && (v->exc.vector == EXC_SS || v->exc.vector == EXC_GP))
		return bt_fault_error(v, EXC_SS, f->error);
	return step;
}

/* The frame as it will be in memory: the value pushed last comes first. */
static void frame_image(const struct frame *f, uint64_t *image)
{
	for (unsigned i = 0; i < f->n; i++) {
		unsigned at = f->n - 1 - i;

		if (f->size == 8)
			image[at] = f->value[i];
		else if (f->size == 4)
			((uint32_t *)image)[at] = (uint32_t)f->value[i];
		else
			((uint16_t *)image)[at] = (uint16_t)f->value[i];
	}
}

/* A frame is pushed from its top: CR2 of a page fault is the first element that cannot be. */
static enum bt_step frame_fault(struct bt_vcpu *v, const struct frame *f, uint64_t va, enum bt_step step)
{
	struct mmu_page page;

	if (step != STEP_FAULT || v->exc.vector != EXC_PF)
		return step;
	for (unsigned i = f->n; i-- > 0;) {
		if (mmu_walk(v, va + i * f->size, ACC_WRITE | (f->access & ACC_USER), &page) == STEP_FAULT)
			break;
	}
	return step;
}

/* One write of the whole frame. */
static enum bt_step frame_write_whole(struct bt_vcpu *v, const struct frame *f, uint64_t low)
{
	uint64_t image[FRAME_MAX], va;
	enum bt_step step = seg_linear(v, &f->ss, true, f->code64, low, f->n * f->size, true, &va);

	frame_image(f, image);
	if (step == STEP_OK)
		step = frame_fault(v, f, va, mmu_write(v, va, image, f->n * f->size, f->access));
	return stack_fault(v, f, step);
}

/* The stack pointer wraps inside the frame (16-bit stacks): each element by itself, checked before any is written. */
static enum bt_step frame_write_each(struct bt_vcpu *v, const struct frame *f, uint64_t mask)
{
	enum bt_step step = STEP_OK;
	uint64_t va;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < f->n && step == STEP_OK; i++) {
			struct mmu_page page;

			step = seg_linear(v, &f->ss, true, false, (f->sp - (i + 1) * f->size) & mask, f->size, true, &va);
			if (step != STEP_OK)
				break;
			step = pass == 0 ? mmu_walk(v, va, ACC_WRITE | (f->access & ACC_USER), &page) :
			                   mmu_write(v, va, &f->value[i], f->size, f->access);
		}
	}
	return stack_fault(v, f, step);
}

enum bt_step frame_write(struct bt_vcpu *v, struct frame *f)
{
	uint64_t mask = stack_mask(&f->ss, f->code64), bytes = f->n * f->size;
	uint64_t low = (f->sp - bytes) & mask;
	bool wraps = !f->code64 && low + bytes - 1 > mask;
	enum bt_step step = wraps ? frame_write_each(v, f, mask) : frame_write_whole(v, f, low);

	if (step == STEP_OK)
		f->sp = (f->sp & ~mask) | low;
	return step;
}

enum bt_step stack_peek(struct bt_vcpu *v, unsigned size, unsigned skip, unsigned n, uint64_t *values)
{
	bool code64 = bt_code64(v);
	uint64_t mask = stack_mask(&v->seg[GAMUT_SS], code64), va;
	unsigned access = v->cpl == 3 ? ACC_USER : 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t sp = (v->gpr[RSP] + (skip + i) * size) & mask;
		enum bt_step step = sys_linear(v, GAMUT_SS, sp, size, false, &va);

		values[i] = 0;
		if (step == STEP_OK)
			step = mmu_read(v, va, &values[i], size, access);
		if (step != STEP_OK)
			return step;
	}
	return STEP_OK;
}
