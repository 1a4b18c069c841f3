/* SPDX-License-Identifier: MIT */
/*
 * What a kernel does all the time and is no more than a field of the vCPU: the
 * segment registers and bases of a switch of tasks, clocks, PKRU, which Linux
 * reads for each page that it pins. What depends on CR4 is asked there each
 * time; where the answer is no, C makes the exception.
 *
 * system_refine() has the classes: those that change what an address means, which a
 * group of accesses relies on, end their block.
 */
#include "engine/bt/trans.h"

#define SEG_OFF(i, member) \
	((uint32_t)(V_OFF(seg) + (i) * sizeof(struct gamut_segment) + offsetof(struct gamut_segment, member)))
#define BASE_OFF(i) ((uint32_t)(V_OFF(seg_base) + 8 * (i)))

#define COND_NE 5u

enum { SHL = 4, SHR = 5, SAR = 7 };

static void flags_only(struct insn *in, unsigned regs_read, unsigned regs_written)
{
	in->class_ = CLASS_FLAGS;
	in->fl_read = in->fl_written = in->fl_undef = 0;
	in->regs_read = (uint16_t)regs_read;
	in->regs_written = (uint16_t)regs_written;
}

void system_refine(struct insn *in)
{
	switch (in->op) {
	case OP_MOV_FROM_SEG:
		if (in->mod != 3)
			flags_only(in, in->regs_read, 0);
		else if (in->opsize >= 4)
			flags_only(in, 0, 1u << in->rm);
		break;
	case OP_RDFSBASE:
	case OP_RDGSBASE:
		flags_only(in, 0, 1u << in->rm);
		break;
	case OP_RDPKRU:
		flags_only(in, 1u << RCX, 1u << RAX | 1u << RDX);
		break;
	case OP_RDTSC:
		flags_only(in, 0, 1u << RAX | 1u << RDX);
		break;
	case OP_RDTSCP:
		flags_only(in, 0, 1u << RAX | 1u << RDX | 1u << RCX);
		break;
	default:
		break;
	}
}

/* Goes to C unless CR4's bit is as wanted. T0 is 0 then. */
static void cr4_is(struct trans *t, const struct insn *in, uint32_t bit, bool set)
{
	flags_keep(t, t->live);
	e_gs_load32(t, T0, V_OFF(cr4));
	e_alu_imm32(t, 4, T0, bit, false); /* and */
	if (set)
		e_alu_imm32(t, 6, T0, bit, false); /* xor */
	clobber(t, 1u << T0);
	flags_clobbered(t);
	flow_step_if(t, COND_NE, in);
}

static bool mov_from_seg(struct trans *t, const struct insn *in)
{
	unsigned reg = in->rm;

	if (in->reg > GAMUT_GS || (in->mod == 3 && in->opsize < 4))
		return false;
	if (in->mod == 3) {
		e_gs_load16(t, reg, SEG_OFF(in->reg, selector));
		def_regs(t, 1u << reg);
		return true;
	}
	if (in->addrsize == 2 || (t->mode != MODE_64 && in->seg == GAMUT_CS)) /* not writable */
		return false;
	flags_keep(t, t->live);
	t->t0_disp = 0;
	mem_address(t, in);
	mem_check(t, 2, true);
	e_gs_load16(t, T1, SEG_OFF(in->reg, selector));
	e_store_t0(t, T1, 2);
	clobber(t, MREGS);
	return true;
}

static bool read_base(struct trans *t, const struct insn *in, unsigned seg)
{
	cr4_is(t, in, CR4_FSGSBASE, true);
	if (in->opsize == 8)
		e_gs_load(t, in->rm, BASE_OFF(seg));
	else
		e_gs_load32(t, in->rm, BASE_OFF(seg));
	def_regs(t, 1u << in->rm);
	return true;
}

static void next_block(struct trans *t)
{
	clobber(t, MREGS);
	flow_direct(t, t->next, t->live);
}

/* A base that is not canonical is C's to refuse. */
static bool write_base(struct trans *t, const struct insn *in, unsigned seg)
{
	cr4_is(t, in, CR4_FSGSBASE, true);
	if (1u << in->rm & MREGS)
		e_gs_load(t, T1, GPR_OFF(in->rm));
	else
		e_mov_rr(t, T1, in->rm);
	if (in->opsize == 8) {
		e_mov_rr(t, T0, T1);
		e_shift_imm(t, SHL, T0, 16, true);
		e_shift_imm(t, SAR, T0, 16, true);
		e_alu_rr(t, 0x3b, T0, T1, true); /* cmp */
		flow_step_if(t, COND_NE, in);
	} else {
		e_alu_rr(t, 0x8b, T1, T1, false); /* mov r32, r32: the upper half goes */
	}
	e_gs_store(t, BASE_OFF(seg), T1);
	e_gs_store(t, SEG_OFF(seg, base), T1);
	next_block(t);
	return true;
}

/* Blocks do not tell CPL 0 from 1 and 2. */
static bool swapgs(struct trans *t, const struct insn *in)
{
	if (t->mode != MODE_64 || t->user || t->ring3)
		return false;
	flags_keep(t, t->live);
	e_gs_load8(t, T0, V_OFF(cpl));
	e_alu_rr(t, 0x0b, T0, T0, false); /* or: sets ZF */
	clobber(t, 1u << T0);
	flags_clobbered(t);
	flow_step_if(t, COND_NE, in);
	e_gs_load(t, T0, BASE_OFF(GAMUT_GS));
	e_gs_load(t, T1, V_OFF(kernel_gs_base));
	e_gs_store(t, V_OFF(kernel_gs_base), T0);
	e_gs_store(t, BASE_OFF(GAMUT_GS), T1);
	e_gs_store(t, SEG_OFF(GAMUT_GS, base), T1);
	next_block(t);
	return true;
}

static bool read_pkru(struct trans *t, const struct insn *in)
{
	flags_keep(t, t->live);
	e_gs_load32(t, T0, V_OFF(cr4));
	e_alu_imm32(t, 4, T0, CR4_PKE, false); /* and */
	e_alu_imm32(t, 6, T0, CR4_PKE, false); /* xor */
	e_alu_rr(t, 0x0b, T0, RCX, false);     /* or */
	clobber(t, 1u << T0);
	flags_clobbered(t);
	flow_step_if(t, COND_NE, in);
	e_gs_load32(t, RAX, V_OFF(pkru));
	e_mov_imm(t, RDX, 0);
	return true;
}

/* RDTSCP waits for what is before it: clocks of vCPUs are compared with it. */
static bool read_tsc(struct trans *t, const struct insn *in)
{
	static const uint8_t lfence[] = { 0x0f, 0xae, 0xe8 }, rdtsc[] = { 0x0f, 0x31 };

	if (t->mode != MODE_64 || (in->op == OP_RDTSCP && !t->v->rdtscp))
		return false;
	cr4_is(t, in, CR4_TSD, false);
	if (in->op == OP_RDTSCP)
		e_bytes(t, lfence, sizeof(lfence));
	e_bytes(t, rdtsc, sizeof(rdtsc));
	e_shift_imm(t, SHL, RDX, 32, true);
	e_alu_rr(t, 0x0b, RAX, RDX, true); /* or */
	e_gs_alu(t, 0x03, RAX, V_OFF(tsc_offset));
	e_mov_rr(t, RDX, RAX);
	e_shift_imm(t, SHR, RDX, 32, true);
	e_alu_rr(t, 0x8b, RAX, RAX, false);
	if (in->op == OP_RDTSCP)
		e_gs_load32(t, RCX, V_OFF(tsc_aux));
	return true;
}

bool trans_system(struct trans *t, const struct insn *in)
{
	switch (in->op) {
	case OP_MOV_FROM_SEG: return mov_from_seg(t, in);
	case OP_RDFSBASE:     return read_base(t, in, GAMUT_FS);
	case OP_RDGSBASE:     return read_base(t, in, GAMUT_GS);
	case OP_WRFSBASE:     return write_base(t, in, GAMUT_FS);
	case OP_WRGSBASE:     return write_base(t, in, GAMUT_GS);
	case OP_SWAPGS:       return swapgs(t, in);
	case OP_RDPKRU:       return read_pkru(t, in);
	case OP_RDTSC:
	case OP_RDTSCP:       return read_tsc(t, in);
	default:              return false;
	}
}
