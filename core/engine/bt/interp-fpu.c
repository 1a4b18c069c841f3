/* SPDX-License-Identifier: MIT */
/*
 * When vector and x87 instructions are allowed, and the instructions that
 * store and load their whole state.
 *
 * Sources: Intel SDM vol. 3 chapter 2.5 and 13; vol. 1 chapter 13.
 */
#include "engine/bt/fpu.h"
#include "engine/bt/interp-internal.h"

#define XCR0_SSE_AVX 6u

enum bt_step interp_fpu_check(struct bt_vcpu *v, const struct insn *in)
{
	bool x87 = (in->attr & ATTR_FPU) && in->map == MAP_1;

	if (in->attr & ATTR_AVX) {
		if (!protected_mode(v) || !(v->cr4 & CR4_OSXSAVE) || (v->xcr0 & XCR0_SSE_AVX) != XCR0_SSE_AVX)
			return bt_fault(v, EXC_UD);
	} else if ((in->attr & ATTR_SSE) && !(v->cr4 & CR4_OSFXSR)) {
		return bt_fault(v, EXC_UD);
	}
	if (x87 && (v->cr0 & CR0_EM))
		return bt_fault(v, EXC_NM);
	if (!x87 && !(in->attr & ATTR_AVX) && (v->cr0 & CR0_EM))
		return bt_fault(v, EXC_UD);
	return v->cr0 & CR0_TS ? bt_fault(v, EXC_NM) : STEP_OK;
}

/* Raises a pending x87 exception: fwait on the processor. */
static enum bt_step native_wait(struct bt_vcpu *v)
{
	static const uint8_t fwait[1] = {0x9b};
	struct native n;
	struct interp x;

	bt_zero(&n, sizeof(n));
	insn_decode(&x.in, fwait, 1, MODE_64);
	x.in.attr |= ATTR_FPU;
	x.in.regs_read = x.in.regs_written = 0;
	interp_key(&x, fwait);
	x.key[1] ^= 1ull << 48; /* not the guest's own */
	return native_run(v, &x, &n);
}

enum bt_step fpu_op_wait(struct bt_vcpu *v, struct interp *x)
{
	(void)x;
	if ((v->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
		return bt_fault(v, EXC_NM);
	return native_wait(v);
}

/* ---- fxsave, xsave and their restores --------------------------------------------------- */

static enum bt_step save_allowed(struct bt_vcpu *v, unsigned op)
{
	static const struct {
		uint16_t op;
		uint8_t bit; /* in CPUID.(d,1):eax */
	} optional[] = {{OP_XSAVEOPT, 0}, {OP_XSAVEC, 1}, {OP_XSAVES, 3}, {OP_XRSTORS, 3}};

	for (unsigned i = 0; i < sizeof(optional) / sizeof(*optional); i++)
		if (op == optional[i].op && !interp_cpuid_bit(v, 0xd, 1, 0, optional[i].bit))
			return bt_fault(v, EXC_UD);
	if (op == OP_FXSAVE || op == OP_FXRSTOR)
		return v->cr0 & (CR0_TS | CR0_EM) ? bt_fault(v, EXC_NM) : STEP_OK;
	if (!(v->cr4 & CR4_OSXSAVE))
		return bt_fault(v, EXC_UD);
	return v->cr0 & CR0_TS ? bt_fault(v, EXC_NM) : STEP_OK;
}

/*
 * The area in guest memory is read first in both directions: a save leaves
 * parts of it as they are.
 */
enum bt_step fpu_op_save(struct bt_vcpu *v, struct interp *x)
{
	uint8_t area[1024] __attribute__((aligned(64)));
	unsigned op = x->in.op;
	uint64_t mask = (uint32_t)v->gpr[RAX] | v->gpr[RDX] << 32, va;
	bool save = x->in.attr & ATTR_MEM_WRITE, wide = x->in.w && x->in.mode == MODE_64;
	uint32_t size = fpu_guest_size(v, op, mask);
	enum bt_step step = save_allowed(v, op);

	if (step == STEP_OK && size > sizeof(area))
		step = bt_fault(v, EXC_UD);
	if (step == STEP_OK)
		step = interp_operand(v, x, 0, size, save, &va);
	if (step == STEP_OK && (va & (op == OP_FXSAVE || op == OP_FXRSTOR ? 15 : 63)))
		step = fault_gp(v);
	if (step == STEP_OK)
		step = interp_read(v, va, area, size);
	if (step == STEP_OK)
		step = save ? fpu_guest_save(v, op, wide, mask, area, size)
		            : fpu_guest_load(v, op, wide, mask, area, size);
	return step == STEP_OK && save ? interp_write(v, va, area, size) : step;
}

/* ---- fnsave, fnstenv, frstor, fldenv ------------------------------------------------------ */

/* fnsave resets the state and fnstenv masks exceptions, before the write can fail. */
static enum bt_step env_save(struct bt_vcpu *v, uint64_t va, uint32_t size)
{
	uint8_t before[512] __attribute__((aligned(16))), image[128] __attribute__((aligned(16)));
	enum bt_step step;

	__asm__ volatile("fxsave64 %0" : "=m"(before));
	step = fpu_guest_save(v, OP_FSAVE, false, 0, image, size);
	if (step == STEP_OK)
		step = interp_write(v, va, image, size);
	if (step != STEP_OK)
		__asm__ volatile("fxrstor64 %0" : : "m"(before));
	return step;
}

enum bt_step fpu_op_env(struct bt_vcpu *v, struct interp *x)
{
	bool save = x->in.attr & ATTR_MEM_WRITE, full = x->in.opcode == 0xdd, small = x->in.stacksize == 2;
	uint32_t size = (full ? 80 : 0) + (small ? 14 : 28);
	uint8_t image[128] __attribute__((aligned(16)));
	enum bt_step step = interp_fpu_check(v, &x->in);
	uint64_t va;

	if (step == STEP_OK)
		step = interp_operand(v, x, 0, size, save, &va);
	if (step != STEP_OK)
		return step;
	if (save)
		return env_save(v, va, size);
	step = native_wait(v);
	if (step == STEP_OK)
		step = interp_read(v, va, image, size);
	return step == STEP_OK ? fpu_guest_load(v, OP_FSAVE, false, 0, image, size) : step;
}
