/* SPDX-License-Identifier: MIT */
/* What is read, written and executed on behalf of a guest whose kernel runs in ring 3. */
#include <errno.h>

#include "engine/bt/decode.h"
#include "engine/bt/interp.h"
#include "engine/bt/mmu.h"
#include "engine/bt/pv-ops.h"
#include "engine/bt/smp.h"

/* ---- guest memory ---------------------------------------------------------------------------- */

/* Page by page; what is no memory is as good as not there. */
static int copy(struct gamut_pv_cpu *cpu, uint64_t va, void *buf, uint32_t len, bool write, uint64_t *fault)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);
	struct vcpu_exit scratch, *exit = v->exit;
	enum bt_step step = STEP_OK;
	uint32_t done = 0, n;

	smp_busy(v);
	v->exit = &scratch;
	if (len && va + (len - 1) < va)
		step = STEP_FAULT;
	for (; done < len && step == STEP_OK; done += step == STEP_OK ? n : 0) {
		n = (uint32_t)(PAGE_SIZE - ((va + done) & ~PAGE_MASK));
		n = n < len - done ? n : len - done;
		if (write)
			step = mmu_write(v, va + done, (uint8_t *)buf + done, n, ACC_USER | ACC_WRITE);
		else
			step = mmu_read(v, va + done, (uint8_t *)buf + done, n, ACC_USER);
	}
	v->exit = exit;
	smp_quiet(v);
	if (step == STEP_OK)
		return 0;
	if (fault)
		*fault = va + done;
	return -EFAULT;
}

int pv_op_read(struct gamut_pv_cpu *cpu, uint64_t va, void *buf, uint32_t len, uint64_t *fault)
{
	return copy(cpu, va, buf, len, false, fault);
}

int pv_op_write(struct gamut_pv_cpu *cpu, uint64_t va, const void *buf, uint32_t len, uint64_t *fault)
{
	return copy(cpu, va, (void *)(uintptr_t)buf, len, true, fault);
}

/* ---- one instruction ------------------------------------------------------------------------- */

/*
 * Plain stores, read-modify-writes and string moves. Vector instructions are
 * refused: their registers may be in memory now, and nobody writes page tables
 * with them.
 */
static bool may_emulate(struct bt_vcpu *v, const struct insn *in)
{
	bool vector = in->attr & (ATTR_FPU | ATTR_SSE | ATTR_AVX) || in->vex;
	bool store = in->class_ == CLASS_COPY && (in->attr & ATTR_MEM_WRITE);
	bool string = in->class_ == CLASS_STRING && (in->op == OP_MOVS || in->op == OP_STOS);

	if (!vector && (store || string))
		return true;
	v->pv.store_error = -EINVAL;
	return false;
}

/* A breakpoint on the instruction was met before the fault that led here. */
static enum bt_step run_one(struct bt_vcpu *v)
{
	struct vcpu_exit scratch, *exit = v->exit;
	enum bt_step step;

	pv_take_back(v);
	v->rflags |= FL_RF;
	v->exit = &scratch;
	bt_poll_set(v); /* ends repetition after one element */
	step = interp_step_if(v, may_emulate);
	v->exit = exit;
	return step;
}

int pv_op_emulate_write(struct gamut_pv_cpu *cpu, uint64_t gpa,
                        int (*fn)(void *opaque, uint64_t gpa, uint64_t old_value, uint64_t new_value),
                        void *opaque)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);
	enum bt_step step;

	if (!pv_entry(v, gpa & PAGE_MASK))
		return -EINVAL;
	v->pv.store = fn;
	v->pv.store_opaque = opaque;
	v->pv.store_page = gpa & PAGE_MASK;
	v->pv.store_error = 0;
	smp_busy(v);
	step = run_one(v);
	smp_quiet(v);
	v->pv.store = NULL;
	/* No fault of these is a #DB: the instruction is complete, and traps. */
	if (step == STEP_FAULT && v->exc.vector == EXC_DB) {
		v->pv.trap = v->exc;
		v->pv.trap_pending = true;
		step = STEP_OK;
	}
	if (step != STEP_OK)
		return v->pv.store_error ? v->pv.store_error : step == STEP_EXIT ? -EINVAL : -EFAULT;
	cpu->rip = v->rip;
	cpu->rflags = bt_rflags(v);
	return 0;
}
