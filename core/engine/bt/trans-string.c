/* SPDX-License-Identifier: MIT */
/*
 * String instructions, upwards. Single ones are a check or two and a move. rep
 * movs and rep stos run natively when all of what they touch lies within one
 * page on each side; everything else is the interpreter's, page by page.
 */
#include "engine/bt/trans.h"

#define SCRATCH V_OFF(scratch[2])

static void address_in(struct trans *t, unsigned reg)
{
	e_lea_disp(t, T0, reg, 0, t->mode == MODE_64);
}

static void advance(struct trans *t, unsigned reg, unsigned size)
{
	e_lea_disp(t, reg, reg, (int32_t)size, t->mode == MODE_64);
}

static void read_to(struct trans *t, unsigned address, unsigned dst, unsigned size)
{
	address_in(t, address);
	mem_check(t, size, false);
	e_load_t0(t, dst, size);
}

/* cmp reg, [T0] */
static void compare(struct trans *t, unsigned reg, unsigned size)
{
	if (size == 2)
		e8(t, 0x66);
	e8(t, 0x41 | (size == 8 ? 8 : 0) | (reg >= 8 ? 4 : 0));
	e8(t, size == 1 ? 0x3a : 0x3b);
	e_modrm_t0(t, reg);
	t->in_host = true;
	t->in_slot = false;
}

static void movs(struct trans *t, unsigned size)
{
	read_to(t, RSI, T1, size);
	e_gs_store(t, SCRATCH, T1);
	address_in(t, RDI);
	mem_check(t, size, true);
	e_gs_load(t, T1, SCRATCH);
	e_store_t0(t, T1, size);
	advance(t, RSI, size);
	advance(t, RDI, size);
}

static void cmps(struct trans *t, unsigned size)
{
	read_to(t, RSI, T1, size);
	e_gs_store(t, SCRATCH, T1);
	address_in(t, RDI);
	mem_check(t, size, false);
	e_gs_load(t, T1, SCRATCH);
	compare(t, T1, size);
	advance(t, RSI, size);
	advance(t, RDI, size);
}

/*
 * T0 = host address of the guest address in reg, if rcx elements of size bytes
 * fit behind it in its page; else the instruction is stepped. The count is
 * bounded first, so that the sum cannot wrap.
 */
static void rep_page(struct trans *t, const struct insn *in, unsigned reg, bool write)
{
	unsigned scale = in->opsize == 8 ? 3 : in->opsize == 4 ? 2 : in->opsize == 2 ? 1 : 0;
	uint8_t lea_end[] = { 0x4d, 0x8d, 0x3c, (uint8_t)(scale << 6 | RCX << 3 | (T0 & 7)) }; /* lea r15, [r11 + rcx * size] */

	address_in(t, reg);
	mem_tag(t, write);
	e_alu_imm32(t, 7, T0, 4095, true);
	flow_step_if(t, 7 /* a */, in);
	e_gs_store(t, SCRATCH, T1);
	e_bytes(t, lea_end, 4);
	e_alu_imm32(t, 7, T1, 4096, true);
	flow_step_if(t, 7, in);
	e_gs_load(t, T1, SCRATCH);
	mem_host(t);
}

static void rep_insn(struct trans *t, const struct insn *in, unsigned op8)
{
	if (in->opsize == 2)
		e8(t, 0x66);
	e8(t, 0xf3);
	if (in->opsize == 8)
		e8(t, 0x48);
	e8(t, in->opsize == 1 ? op8 : op8 + 1);
}

static void rep_stos(struct trans *t, const struct insn *in)
{
	rep_page(t, in, RDI, true);
	e_mov_rr(t, T1, RDI);
	e_mov_rr(t, RDI, T0);
	rep_insn(t, in, 0xaa);
	e_alu_rr(t, 0x2b, RDI, T0, true);
	e_alu_rr(t, 0x03, RDI, T1, true);
}

static void rep_movs(struct trans *t, const struct insn *in)
{
	rep_page(t, in, RDI, true);
	e_gs_store(t, V_OFF(scratch[3]), T0);
	rep_page(t, in, RSI, false);
	e_gs_store(t, SCRATCH, RDI);
	e_gs_store(t, V_OFF(scratch[0]), RSI);
	e_gs_load(t, RDI, V_OFF(scratch[3]));
	e_mov_rr(t, RSI, T0);
	e_mov_rr(t, T1, RDI);
	rep_insn(t, in, 0xa4);
	e_alu_rr(t, 0x2b, RDI, T1, true); /* bytes moved */
	e_gs_load(t, RSI, V_OFF(scratch[0]));
	e_alu_rr(t, 0x03, RSI, RDI, true);
	e_gs_alu(t, 0x03, RDI, SCRATCH);
}

static bool trans_rep(struct trans *t, const struct insn *in)
{
	if (t->mode != MODE_64 || (in->op != OP_MOVS && in->op != OP_STOS))
		return false;
	flags_keep(t, t->live);
	e_alu_imm32(t, 7, RCX, 4096, true);
	flags_clobbered(t);
	flow_step_if(t, 7 /* a */, in);
	if (in->op == OP_STOS)
		rep_stos(t, in);
	else
		rep_movs(t, in);
	clobber(t, MREGS);
	return true;
}

bool trans_string(struct trans *t, const struct insn *in)
{
	unsigned size = in->opsize;

	if ((t->key & KEY_DF) || in->seg_override >= GAMUT_FS)
		return false;
	if (in->addrsize != (t->mode == MODE_64 ? 8 : 4))
		return false;
	if (in->rep)
		return trans_rep(t, in);
	flags_keep(t, flags_needed(t, in));
	switch (in->op) {
	case OP_LODS:
		read_to(t, RSI, RAX, size);
		advance(t, RSI, size);
		return true;
	case OP_STOS:
		address_in(t, RDI);
		mem_check(t, size, true);
		e_store_t0(t, RAX, size);
		advance(t, RDI, size);
		return true;
	case OP_SCAS:
		address_in(t, RDI);
		mem_check(t, size, false);
		compare(t, RAX, size);
		advance(t, RDI, size);
		return true;
	case OP_MOVS:
		movs(t, size);
		return true;
	case OP_CMPS:
		cmps(t, size);
		return true;
	default:
		return false;
	}
}

/*
 * loop and jrcxz: the host's own jrcxz decides, over two long jumps.
 *
 *     [lea rcx, -1]; jrcxz L; jmp zero_not; L: jmp zero; ...
 */
bool trans_loop(struct trans *t, const struct insn *in)
{
	uint64_t target = t->next + (uint64_t)in->imm;
	bool wide = in->addrsize == 8, loop = in->op == OP_LOOP;
	uint32_t skip, taken;

	if ((in->op != OP_LOOP && in->op != OP_JCXZ) || in->addrsize == 2)
		return false;
	if (loop)
		e_lea_disp(t, RCX, RCX, -1, wide);
	if (!wide)
		e8(t, 0x67);
	e8(t, 0xe3);
	e8(t, 5);
	taken = e_jmp(t);
	skip = e_jmp(t);
	if (!loop) { /* taken when zero */
		uint32_t x = taken;

		taken = skip;
		skip = x;
	}
	e_patch(t, taken, here(t));

	bool in_host = t->in_host, in_slot = t->in_slot;
	uint32_t cached = t->cached;

	flow_direct(t, target, flow_live_at(t, t->mode == MODE_64 ? target : (uint32_t)target));
	t->in_host = in_host;
	t->in_slot = in_slot;
	t->cached = cached;
	e_patch(t, skip, here(t));
	return true;
}
