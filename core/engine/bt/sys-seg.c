/* SPDX-License-Identifier: MIT */
/*
 * Loads of segment registers, LDTR and TR; lar, lsl, verr, verw; the I/O
 * permission map.
 */
#include "engine/bt/segment.h"
#include "engine/bt/sys.h"

static enum bt_step load_ss(struct bt_vcpu *v, uint16_t selector)
{
	struct gamut_segment ss;
	enum bt_step step;

	if (sel_null(selector)) {
		/* 64-bit code below CPL 3 may run with a null SS of its own level. */
		if (!bt_code64(v) || v->cpl == 3 || (selector & 3u) != v->cpl)
			return bt_fault_error(v, EXC_GP, 0);
		seg_set_null(v, GAMUT_SS, selector);
		return STEP_OK;
	}
	step = seg_read_stack(v, selector, v->cpl, EXC_GP, 0, &ss);
	if (step == STEP_OK)
		seg_set(v, GAMUT_SS, &ss);
	return step;
}

static enum bt_step load_data(struct bt_vcpu *v, enum gamut_seg seg, uint16_t selector)
{
	unsigned rpl = selector & 3, level = rpl > v->cpl ? rpl : v->cpl;
	struct gamut_segment s;
	struct desc d;
	enum bt_step step;

	if (sel_null(selector)) {
		seg_set_null(v, seg, selector);
		return STEP_OK;
	}
	step = desc_read(v, selector, EXC_GP, 0, &d);
	if (step != STEP_OK)
		return step;
	if (!desc_s(&d) || (desc_code(&d) && !(desc_type(&d) & TYPE_READABLE)))
		return bt_fault_error(v, EXC_GP, sel_error(selector));
	if (!desc_conforming(&d) && level > desc_dpl(&d))
		return bt_fault_error(v, EXC_GP, sel_error(selector));
	if (!desc_present(&d))
		return bt_fault_error(v, EXC_NP, sel_error(selector));
	step = desc_set_type(v, &d, TYPE_ACCESSED);
	if (step != STEP_OK)
		return step;
	s = desc_segment(&d, selector);
	seg_set(v, seg, &s);
	return STEP_OK;
}

enum bt_step sys_load_seg(struct bt_vcpu *v, enum gamut_seg seg, uint16_t selector)
{
	enum bt_step step = STEP_OK;

	if (seg == GAMUT_CS || seg > GAMUT_GS)
		return bt_fault(v, EXC_UD);
	if (!(v->cr0 & CR0_PE))
		seg_set_real(v, seg, selector);
	else if (v->rflags & FL_VM)
		seg_set_v86(v, seg, selector);
	else
		step = seg == GAMUT_SS ? load_ss(v, selector) : load_data(v, seg, selector);
	if (step == STEP_OK)
		bt_update_key(v);
	return step;
}

/* lldt, ltr, lar ...: only in protected mode. */
static bool no_descriptors(const struct bt_vcpu *v)
{
	return !seg_protected(v);
}

/* A system descriptor in the GDT whose type is in the mask; its base with the upper half in long mode. */
static enum bt_step read_system(struct bt_vcpu *v, uint16_t selector, unsigned types, struct desc *d,
                                struct gamut_segment *s)
{
	enum bt_step step;
	uint64_t high = 0;

	if (selector & 4)
		return bt_fault_error(v, EXC_GP, sel_error(selector));
	step = desc_read(v, selector, EXC_GP, 0, d);
	if (step != STEP_OK)
		return step;
	if (desc_s(d) || !(types >> desc_type(d) & 1))
		return bt_fault_error(v, EXC_GP, sel_error(selector));
	if (!desc_present(d))
		return bt_fault_error(v, EXC_NP, sel_error(selector));
	if (bt_long_mode(v))
		step = desc_read_high(v, selector, d, EXC_GP, &high);
	*s = desc_segment(d, selector);
	s->base |= high;
	if (step == STEP_OK && !canonical(s->base))
		return bt_fault_error(v, EXC_GP, sel_error(selector));
	return step;
}

enum bt_step sys_lldt(struct bt_vcpu *v, uint16_t selector)
{
	struct gamut_segment s;
	struct desc d;
	enum bt_step step;

	if (no_descriptors(v))
		return bt_fault(v, EXC_UD);
	if (v->cpl != 0)
		return bt_fault_error(v, EXC_GP, 0);
	if (sel_null(selector)) {
		seg_set_null(v, GAMUT_LDTR, selector);
		return STEP_OK;
	}
	step = read_system(v, selector, 1u << SYS_LDT, &d, &s);
	if (step == STEP_OK)
		seg_set(v, GAMUT_LDTR, &s);
	return step;
}

enum bt_step sys_ltr(struct bt_vcpu *v, uint16_t selector)
{
	struct gamut_segment s;
	struct desc d;
	enum bt_step step;
	unsigned types = bt_long_mode(v) ? 1u << SYS_TSS : 1u << SYS_TSS | 1u << SYS_TSS16;

	if (no_descriptors(v))
		return bt_fault(v, EXC_UD);
	if (v->cpl != 0 || sel_null(selector))
		return bt_fault_error(v, EXC_GP, 0);
	step = read_system(v, selector, types, &d, &s);
	if (step == STEP_OK)
		step = desc_set_type(v, &d, 2); /* busy */
	if (step != STEP_OK)
		return step;
	s.attr |= 2;
	seg_set(v, GAMUT_TR, &s);
	return STEP_OK;
}

/* Types of system descriptors that lar and lsl accept. */
#define LAR_LEGACY (1u << SYS_TSS16 | 1u << SYS_LDT | 1u << SYS_TSS16_BUSY | 1u << SYS_CALL16 | 1u << SYS_TASK_GATE | \
                    1u << SYS_TSS | 1u << SYS_TSS_BUSY | 1u << SYS_CALL)
#define LAR_LONG (1u << SYS_LDT | 1u << SYS_TSS | 1u << SYS_TSS_BUSY | 1u << SYS_CALL)
#define LSL_LEGACY (1u << SYS_TSS16 | 1u << SYS_LDT | 1u << SYS_TSS16_BUSY | 1u << SYS_TSS | 1u << SYS_TSS_BUSY)
#define LSL_LONG (1u << SYS_LDT | 1u << SYS_TSS | 1u << SYS_TSS_BUSY)

/* The common part of lar and lsl: *ok when the descriptor exists, is of an accepted type, and CPL and RPL may see it. */
static enum bt_step query(struct bt_vcpu *v, uint16_t selector, unsigned types, struct desc *d, bool *ok)
{
	unsigned rpl = selector & 3, level = rpl > v->cpl ? rpl : v->cpl;
	enum bt_step step;

	*ok = false;
	if (no_descriptors(v))
		return bt_fault(v, EXC_UD);
	if (sel_null(selector))
		return STEP_OK;
	step = desc_probe(v, selector, d, ok);
	if (step != STEP_OK || !*ok)
		return step;
	if (!desc_s(d) && !(types >> desc_type(d) & 1))
		*ok = false;
	else if (!desc_conforming(d) && level > desc_dpl(d))
		*ok = false;
	return STEP_OK;
}

enum bt_step sys_lar(struct bt_vcpu *v, uint16_t selector, uint32_t *value, bool *ok)
{
	struct desc d;
	enum bt_step step = query(v, selector, bt_long_mode(v) ? LAR_LONG : LAR_LEGACY, &d, ok);

	if (step == STEP_OK && *ok)
		*value = d.hi & 0x00f0ff00;
	return step;
}

enum bt_step sys_lsl(struct bt_vcpu *v, uint16_t selector, uint32_t *value, bool *ok)
{
	struct desc d;
	enum bt_step step = query(v, selector, bt_long_mode(v) ? LSL_LONG : LSL_LEGACY, &d, ok);

	if (step == STEP_OK && *ok)
		*value = desc_segment(&d, selector).limit;
	return step;
}

enum bt_step sys_verify(struct bt_vcpu *v, uint16_t selector, bool write, bool *ok)
{
	struct desc d;
	enum bt_step step = query(v, selector, 0, &d, ok);

	if (step != STEP_OK || !*ok)
		return step;
	if (desc_code(&d))
		*ok = !write && (desc_type(&d) & TYPE_READABLE);
	else
		*ok = !write || (desc_type(&d) & TYPE_WRITABLE);
	return STEP_OK;
}

enum bt_step sys_io_check(struct bt_vcpu *v, uint16_t port, unsigned width)
{
	const struct gamut_segment *tr = &v->seg[GAMUT_TR];
	unsigned iopl = (unsigned)(v->rflags >> 12 & 3), type = tr->attr & SEG_TYPE;
	uint16_t map, bits;
	enum bt_step step;

	if (!(v->cr0 & CR0_PE) || (!(v->rflags & FL_VM) && v->cpl <= iopl))
		return STEP_OK;
	if ((tr->attr & SEG_UNUSABLE) || type != SYS_TSS_BUSY || tr->limit < 103)
		return bt_fault_error(v, EXC_GP, 0);
	step = mmu_read(v, tr->base + 102, &map, 2, IMPLICIT);
	if (step != STEP_OK)
		return step;
	/* Two bytes are read always, so that a map must end in a byte of ones. */
	if ((uint32_t)map + port / 8 + 1 > tr->limit)
		return bt_fault_error(v, EXC_GP, 0);
	step = mmu_read(v, tr->base + map + port / 8, &bits, 2, IMPLICIT);
	if (step != STEP_OK)
		return step;
	if (bits >> (port & 7) & ((1u << width) - 1))
		return bt_fault_error(v, EXC_GP, 0);
	return STEP_OK;
}
