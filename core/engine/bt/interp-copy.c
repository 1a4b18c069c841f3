/* SPDX-License-Identifier: MIT */
/*
 * Class COPY: the instruction runs natively between its memory read and its
 * memory write (see interp-native.c).
 *
 * Memory that is written is touched through its host page where there is one,
 * which makes locked instructions atomic. A page crossing or a device has
 * none: the operand goes through a bounce buffer, and registers are committed
 * only when the write has succeeded. x87 stores that pop are the one case
 * whose state is not in registers of ours: it is put back.
 */
#include "engine/bt/interp-internal.h"
#include "engine/bt/smp.h"

/* Operand as the host sees it. */
struct operand {
	uint64_t va;
	unsigned size;
	void *host; /* page of RAM, or NULL: the bounce buffer */
	bool read, write;
};

/* bt mem, reg: the bit offset selects the word. Returns what to add to the address. */
static uint64_t bit_displacement(const struct bt_vcpu *v, const struct insn *in)
{
	unsigned shift = 64 - 8 * in->opsize, log = in->opsize == 8 ? 6 : in->opsize == 4 ? 5 : 4;
	int64_t offset = (int64_t)(v->gpr[in->reg] << shift) >> shift;

	return (uint64_t)(offset >> log) * in->opsize;
}

static enum bt_step resolve(struct bt_vcpu *v, const struct interp *x, struct operand *o)
{
	const struct insn *in = &x->in;
	uint64_t offset = in->attr & ATTR_BITOFF ? bit_displacement(v, in) : 0;
	enum bt_step step;

	o->read = in->attr & ATTR_MEM_READ;
	o->write = in->attr & ATTR_MEM_WRITE;
	o->size = in->mem_size;
	o->host = NULL;
	step = interp_operand(v, x, offset, o->size, o->write, &o->va);
	/* alignment comes first: #GP, also where the address itself would be #SS */
	if ((step == STEP_OK || v->exc.vector == EXC_SS) && (in->attr & ATTR_ALIGNED) && (o->va & (o->size - 1)))
		return fault_gp(v);
	return step;
}

/* What is read to be written faults as a write, in both pages, before it is read. */
static enum bt_step probe_crossing(struct bt_vcpu *v, const struct operand *o)
{
	unsigned access = ACC_WRITE | access_of(v);
	uint64_t end = o->va + o->size - 1, last = bt_long_mode(v) ? end : (uint32_t)end;
	struct mmu_page page;
	enum bt_step step;

	if (!((o->va ^ last) & PAGE_MASK))
		return STEP_OK;
	step = mmu_walk(v, o->va, access, &page);
	return step == STEP_OK ? mmu_walk(v, last & PAGE_MASK, access, &page) : step;
}

/*
 * An x87 store with an unmasked exception stores nothing: what goes back to
 * guest memory then is what was there. (MMIO is not read for that.)
 */
static enum bt_step load_kept(struct bt_vcpu *v, const struct operand *o, void *bounce)
{
	bt_zero(bounce, o->size);
	return mmu_read(v, o->va, bounce, o->size, access_of(v) | ACC_NOMMIO);
}

static enum bt_step load(struct bt_vcpu *v, const struct insn *in, struct operand *o, void *bounce)
{
	enum bt_step step = STEP_OK;
	bool kept = !o->read && (in->attr & ATTR_FPU);

	if (o->write)
		step = interp_rmw(v, o->va, o->size, &o->host);
	if (step != STEP_OK || o->host)
		return step;
	if (o->write && (o->read || kept))
		step = probe_crossing(v, o);
	if (step != STEP_OK)
		return step;
	if (o->read)
		return interp_read(v, o->va, bounce, o->size);
	return kept ? load_kept(v, o, bounce) : STEP_OK;
}

static void fxsave(void *area)
{
	__asm__ volatile("fxsave64 %0" : "=m"(*(uint8_t(*)[512])area));
}

static void fxrstor(const void *area)
{
	__asm__ volatile("fxrstor64 %0" : : "m"(*(const uint8_t(*)[512])area));
}

/* A write that has no host page: registers and x87 stay as they were until it is done. */
static enum bt_step run_bounced(struct bt_vcpu *v, struct interp *x, const struct operand *o,
                                struct native *n)
{
	uint8_t x87[512] __attribute__((aligned(16)));
	bool keep = x->in.attr & ATTR_FPU;
	enum bt_step step;

	if (keep)
		fxsave(x87);
	step = native_run(v, x, n);
	if (step == STEP_OK)
		step = interp_write(v, o->va, n->mem, o->size);
	if (step != STEP_OK && keep)
		fxrstor(x87);
	return step;
}

static void commit(struct bt_vcpu *v, const struct insn *in, const struct native *n)
{
	for (unsigned reg = 0; reg < 16; reg++)
		if (in->regs_written >> reg & 1)
			v->gpr[reg] = n->gpr[reg];
	set_arith(v, n->flags, FL_ARITH);
}

static void prepare(const struct bt_vcpu *v, const struct insn *in, struct native *n)
{
	for (unsigned reg = 0; reg < 16; reg++)
		n->gpr[reg] = v->gpr[reg];
	n->flags = v->rflags;
	if (in->attr & ATTR_BITOFF) /* the address has taken the rest */
		n->gpr[in->reg] &= in->opsize * 8u - 1;
}

/* A pending x87 exception comes before a fault of the operand; fnstcw and fnstsw do not wait. */
static bool x87_raises(const struct insn *in)
{
	bool x87 = in->map == MAP_1 && (in->opcode & 0xf8) == 0xd8;
	uint16_t status;

	if (!(in->attr & ATTR_FPU) || (x87 && (in->reg & 7) == 7 && (in->opcode == 0xd9 || in->opcode == 0xdd)))
		return false;
	__asm__ volatile("fnstsw %0" : "=a"(status));
	return status & 0x80;
}

/* Read, operation and write are one to the other vCPUs: a page crossing that the processor would do locked. */
static bool locked_crossing(const struct insn *in, const struct operand *o)
{
	bool locked = in->lock || in->op == OP_XCHG;

	return locked && o->read && o->write && ((o->va ^ (o->va + o->size - 1)) & PAGE_MASK);
}

static enum bt_step run_memory(struct bt_vcpu *v, struct interp *x, struct operand *o)
{
	uint8_t bounce[64] __attribute__((aligned(64)));
	struct native n;
	enum bt_step step = load(v, &x->in, o, bounce);

	if (step != STEP_OK)
		return step;
	prepare(v, &x->in, &n);
	n.mem = o->host ? o->host : bounce;
	step = o->write && !o->host ? run_bounced(v, x, o, &n) : native_run(v, x, &n);
	if (step == STEP_OK)
		commit(v, &x->in, &n);
	return step;
}

static enum bt_step copy_memory(struct bt_vcpu *v, struct interp *x)
{
	struct operand o;
	enum bt_step step = x87_raises(&x->in) ? bt_fault(v, EXC_MF) : resolve(v, x, &o);

	if (step != STEP_OK)
		return step;
	if (!locked_crossing(&x->in, &o))
		return run_memory(v, x, &o);
	smp_lock(v);
	smp_stop(v, SMP_ALL);
	step = run_memory(v, x, &o);
	smp_unlock(v);
	return step;
}

static enum bt_step copy_register(struct bt_vcpu *v, struct interp *x)
{
	struct native n;
	enum bt_step step;

	prepare(v, &x->in, &n);
	n.mem = NULL;
	step = native_run(v, x, &n);
	if (step == STEP_OK)
		commit(v, &x->in, &n);
	return step;
}

/* Only the address is checked and touched. */
static enum bt_step clflush(struct bt_vcpu *v, struct interp *x)
{
	enum bt_step step;
	uint8_t byte;
	uint64_t va;

	step = interp_operand(v, x, 0, 1, false, &va);
	return step == STEP_OK ? mmu_read(v, va, &byte, 1, access_of(v)) : step;
}

/* A byte register is ah..bh when it is one of these without REX. */
static bool high_byte(const struct insn *in, unsigned reg)
{
	return in->opsize == 1 && !in->rex && reg >= 4;
}

static uint64_t get_reg(const struct bt_vcpu *v, const struct insn *in, unsigned reg)
{
	return high_byte(in, reg) ? v->gpr[reg - 4] >> 8 & 0xff : get_gpr(v, reg, in->opsize);
}

static void set_reg(struct bt_vcpu *v, const struct insn *in, unsigned reg, uint64_t value)
{
	if (high_byte(in, reg))
		v->gpr[reg - 4] = (v->gpr[reg - 4] & ~0xff00ull) | (value & 0xff) << 8;
	else
		set_gpr(v, reg, value, in->opsize);
}

/* Register, immediate or memory to register or memory: the most frequent instruction of all. */
static enum bt_step mov(struct bt_vcpu *v, struct interp *x)
{
	const struct insn *in = &x->in;
	bool moffs = (in->opcode & 0xfc) == 0xa0, modrm_reg = (in->opcode & 0xfc) == 0x88;
	unsigned reg = moffs ? RAX : in->reg;
	uint64_t value = 0, va;
	enum bt_step step;

	if (in->attr & ATTR_OPREG_GPR) {
		set_reg(v, in, in->opreg, (uint64_t)in->imm);
		return STEP_OK;
	}
	if (!(in->attr & ATTR_MEM)) {
		if (!modrm_reg)
			set_reg(v, in, in->rm, (uint64_t)in->imm);
		else if (in->opcode & 2)
			set_reg(v, in, in->reg, get_reg(v, in, in->rm));
		else
			set_reg(v, in, in->rm, get_reg(v, in, in->reg));
		return STEP_OK;
	}
	step = interp_operand(v, x, 0, in->opsize, in->attr & ATTR_MEM_WRITE, &va);
	if (step != STEP_OK)
		return step;
	if (in->attr & ATTR_MEM_WRITE) {
		value = modrm_reg || moffs ? get_reg(v, in, reg) : (uint64_t)in->imm;
		return interp_write(v, va, &value, in->opsize);
	}
	step = interp_read(v, va, &value, in->opsize);
	if (step == STEP_OK)
		set_reg(v, in, reg, value);
	return step;
}

/* What plain moves and addresses need no stub for. */
static bool simple(struct bt_vcpu *v, struct interp *x, enum bt_step *step)
{
	const struct insn *in = &x->in;

	*step = STEP_OK;
	switch (in->op) {
	case OP_NOP:
	case OP_PAUSE:
	case OP_PREFETCH:
		return true;
	case OP_FENCE:
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		return true;
	case OP_MOV:
		*step = mov(v, x);
		return true;
	case OP_LEA:
		set_gpr(v, in->reg, interp_ea(v, x), in->opsize);
		return true;
	case OP_CLFLUSH:
		*step = clflush(v, x);
		return true;
	case OP_DAA:
	case OP_DAS:
	case OP_AAA:
	case OP_AAS:
	case OP_AAM:
	case OP_AAD:
	case OP_SALC:
		*step = interp_legacy(v, x);
		return true;
	default:
		return false;
	}
}

enum bt_step interp_copy(struct bt_vcpu *v, struct interp *x)
{
	const struct insn *in = &x->in;
	enum bt_step step;

	if (in->vex && !protected_mode(v))
		return bt_fault(v, EXC_UD);
	if (simple(v, x, &step))
		return step;
	if (in->attr & (ATTR_FPU | ATTR_SSE | ATTR_AVX)) {
		step = interp_fpu_check(v, in);
		if (step != STEP_OK)
			return step;
	}
	return in->attr & ATTR_MEM ? copy_memory(v, x) : copy_register(v, x);
}
