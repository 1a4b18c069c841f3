/* SPDX-License-Identifier: MIT */
/*
 * The registers of a guest whose kernel runs in ring 3: what its monitor reads
 * and sets of them, and what they are at first. The translator's key follows
 * when the handler returns.
 */
#include <errno.h>

#include "engine/bt/mmu.h"
#include "engine/bt/pv-ops.h"
#include "engine/bt/pv.h"
#include "engine/bt/segment.h"
#include "engine/bt/smp.h"
#include "engine/bt/sys.h"

#define PV_CR0       (CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG)
#define PV_CR4       (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)
#define PV_CR4_GUEST (CR4_TSD | CR4_DE | CR4_OSXSAVE | CR4_PCE | CR4_FSGSBASE)
#define PV_EFER      (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

#define DR6_FIXED    0xffff0ff0ull
#define DR6_WRITABLE 0xe00full
#define DR7_FIXED    0x400ull
#define DR7_RESERVED 0xffffffff0000d800ull

/* ---- segments and tables --------------------------------------------------------------------- */

static enum bt_step load_code(struct bt_vcpu *v, uint16_t selector)
{
	struct gamut_segment s;
	struct desc d;
	enum bt_step step;

	if (sel_null(selector))
		return bt_fault_error(v, EXC_GP, 0);
	step = desc_read(v, selector, EXC_GP, 0, &d);
	if (step != STEP_OK)
		return step;
	if (!desc_code(&d) || !desc_present(&d) || (desc_l(&d) && desc_db(&d)) ||
	    (!desc_conforming(&d) && desc_dpl(&d) != 3))
		return bt_fault_error(v, EXC_GP, sel_error(selector));
	step = desc_set_type(v, &d, TYPE_ACCESSED);
	if (step != STEP_OK)
		return step;
	s = desc_segment(&d, selector);
	seg_set(v, GAMUT_CS, &s);
	return STEP_OK;
}

static enum bt_step load_stack(struct bt_vcpu *v, uint16_t selector)
{
	struct gamut_segment s;
	enum bt_step step = seg_read_stack(v, selector, 3, EXC_GP, 0, &s);

	if (step == STEP_OK)
		seg_set(v, GAMUT_SS, &s);
	return step;
}

int pv_op_load_segment(struct gamut_pv_cpu *cpu, uint32_t seg, uint16_t selector)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);
	enum bt_step step;

	smp_busy(v);
	if (seg == GAMUT_CS)
		step = load_code(v, selector | 3);
	else if (seg == GAMUT_SS)
		step = load_stack(v, selector | 3);
	else
		step = sys_load_seg(v, (enum gamut_seg)seg, selector);
	smp_quiet(v);
	return step == STEP_OK ? 0 : -EINVAL;
}

uint16_t pv_op_selector(struct gamut_pv_cpu *cpu, uint32_t seg)
{
	return seg < GAMUT_SEG_COUNT ? pv_vcpu_of(cpu)->seg[seg].selector : 0;
}

uint64_t pv_op_base(struct gamut_pv_cpu *cpu, uint32_t seg)
{
	return seg < GAMUT_SEG_COUNT ? pv_vcpu_of(cpu)->seg[seg].base : 0;
}

void pv_op_set_base(struct gamut_pv_cpu *cpu, uint32_t seg, uint64_t value)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);

	if (seg == GAMUT_FS || seg == GAMUT_GS)
		v->seg[seg].base = v->seg_base[seg] = value;
}

void pv_op_set_gdt(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit)
{
	pv_vcpu_of(cpu)->gdt = (struct gamut_table){.base = base, .limit = limit & 0xffff};
}

void pv_op_set_ldt(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit)
{
	struct gamut_segment s = {.base = base, .limit = limit, .attr = SEG_P | SYS_LDT};

	if (limit)
		seg_set(pv_vcpu_of(cpu), GAMUT_LDTR, &s);
	else
		seg_set_null(pv_vcpu_of(cpu), GAMUT_LDTR, 0);
}

int pv_op_code64(struct gamut_pv_cpu *cpu)
{
	return bt_code64(pv_vcpu_of(cpu));
}

/* ---- control, debug and model-specific registers --------------------------------------------- */

void pv_op_set_ts(struct gamut_pv_cpu *cpu, int on)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);

	v->cr0 = (v->cr0 & ~CR0_TS) | (on ? CR0_TS : 0);
}

uint64_t pv_op_cr4(struct gamut_pv_cpu *cpu)
{
	return pv_vcpu_of(cpu)->cr4;
}

int pv_op_set_cr4(struct gamut_pv_cpu *cpu, uint64_t value)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);

	value &= PV_CR4_GUEST;
	if (value & ~v->cr4_valid)
		return -EINVAL;
	v->cr4 = PV_CR4 | value;
	return 0;
}

uint64_t pv_op_xcr0(struct gamut_pv_cpu *cpu)
{
	return pv_vcpu_of(cpu)->xcr0;
}

int pv_op_set_xcr0(struct gamut_pv_cpu *cpu, uint64_t value)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);

	if (!sys_xcr0_valid(v, value))
		return -EINVAL;
	v->xcr0 = value;
	return 0;
}

static bool dr_exists(uint32_t n)
{
	return n < 8 && n != 4 && n != 5;
}

uint64_t pv_op_dr(struct gamut_pv_cpu *cpu, uint32_t n)
{
	return dr_exists(n) ? pv_vcpu_of(cpu)->dr[n] : 0;
}

void pv_op_set_dr(struct gamut_pv_cpu *cpu, uint32_t n, uint64_t value)
{
	if (!dr_exists(n))
		return;
	if (n == 6)
		value = (value & DR6_WRITABLE) | DR6_FIXED;
	else if (n == 7)
		value = (value & ~DR7_RESERVED) | DR7_FIXED;
	pv_vcpu_of(cpu)->dr[n] = value;
}

void pv_op_cpuid(struct gamut_pv_cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	sys_cpuid(pv_vcpu_of(cpu), leaf, subleaf, regs);
}

uint64_t pv_op_tsc(struct gamut_pv_cpu *cpu)
{
	return sys_tsc(pv_vcpu_of(cpu));
}

/* SPEC_CTRL, PRED_CMD, ARCH_CAPABILITIES, TSC_AUX: the rest of the table is for ring 0. */
static bool msr_of_ring3(uint32_t msr)
{
	return msr == 0x48 || msr == 0x49 || msr == 0x10a || msr == 0xc0000103;
}

int pv_op_msr_read(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t *value)
{
	return msr_of_ring3(msr) && sys_msr_read(pv_vcpu_of(cpu), msr, value) ? 0 : -EINVAL;
}

int pv_op_msr_write(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t value)
{
	return msr_of_ring3(msr) && sys_msr_write(pv_vcpu_of(cpu), msr, value) ? 0 : -EINVAL;
}

/* Translated code and its vCPU live in the host's address space, so the guest's is all its own. */
const uint64_t *pv_op_hole(const struct gamut_pv_cpu *cpu)
{
	static const uint64_t none[GAMUT_PV_HOLE_SLOTS];

	(void)cpu;
	return none;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool ring3(const struct gamut_segment *s)
{
	return !(s->attr & SEG_UNUSABLE) && (s->attr >> SEG_DPL_SHIFT & 3) == 3;
}

int pv_set_state(struct bt_vcpu *v, const struct gamut_vcpu_state *s)
{
	int r;

	if (s->size < sizeof(*s) || !(s->cr0 & CR0_PG) || !(s->efer & EFER_LME))
		return -EINVAL;
	if (!ring3(&s->seg[GAMUT_CS]) || !ring3(&s->seg[GAMUT_SS]))
		return -EINVAL;
	r = sys_set_state(v, s);
	if (r)
		return r;
	v->cr0 = PV_CR0 | (s->cr0 & CR0_TS);
	v->cr4 = PV_CR4 | (s->cr4 & PV_CR4_GUEST);
	v->efer = PV_EFER;
	v->idt = (struct gamut_table){.limit = 0};
	seg_set_null(v, GAMUT_TR, 0);
	v->pv.root[TLB_KERNEL] = v->cr3 = s->cr3 & ROOT_ADDR;
	v->pv.root[TLB_USER] = 0;
	v->pv.cpu.rip = v->rip;
	v->pv.cpu.rflags = bt_rflags(v);
	pv_resume(v);
	return 0;
}
