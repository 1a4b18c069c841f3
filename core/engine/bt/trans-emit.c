/* SPDX-License-Identifier: MIT */
#include "engine/bt/trans.h"

void e_bytes(struct trans *t, const uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		e8(t, bytes[i]);
}

/* ---- the vCPU at %gs:disp32 ------------------------------------------------ */

static void gs_op(struct trans *t, unsigned rex_w, unsigned map, unsigned opcode, unsigned reg, uint32_t off)
{
	unsigned rex = (rex_w ? 0x48 : 0x40) | (reg >= 8 ? 4 : 0);

	e8(t, 0x65);
	if (rex != 0x40)
		e8(t, rex);
	if (map)
		e8(t, 0x0f);
	e8(t, opcode);
	e8(t, 0x04 | (reg & 7) << 3);
	e8(t, 0x25);
	e32(t, off);
}

void e_gs_load(struct trans *t, unsigned reg, uint32_t off)
{
	gs_op(t, 1, 0, 0x8b, reg, off);
}

void e_gs_load32(struct trans *t, unsigned reg, uint32_t off)
{
	gs_op(t, 0, 0, 0x8b, reg, off);
}

void e_gs_load8(struct trans *t, unsigned reg, uint32_t off)
{
	gs_op(t, 0, 1, 0xb6, reg, off);
}

void e_gs_load16(struct trans *t, unsigned reg, uint32_t off)
{
	gs_op(t, 0, 1, 0xb7, reg, off);
}

void e_gs_store(struct trans *t, uint32_t off, unsigned reg)
{
	gs_op(t, 1, 0, 0x89, reg, off);
}

void e_gs_store32(struct trans *t, uint32_t off, unsigned reg)
{
	gs_op(t, 0, 0, 0x89, reg, off);
}

void e_gs_store8_imm(struct trans *t, uint32_t off, uint8_t imm)
{
	gs_op(t, 0, 0, 0xc6, 0, off);
	e8(t, imm);
}

void e_gs_store32_imm(struct trans *t, uint32_t off, uint32_t imm)
{
	gs_op(t, 0, 0, 0xc7, 0, off);
	e32(t, imm);
}

void e_gs_alu(struct trans *t, unsigned op, unsigned reg, uint32_t off)
{
	gs_op(t, 1, 0, op, reg, off);
}

/* ---- registers ---------------------------------------------------------------- */

static void rex_rr(struct trans *t, bool wide, unsigned reg, unsigned rm)
{
	unsigned rex = (wide ? 0x48 : 0x40) | (reg >= 8 ? 4 : 0) | (rm >= 8 ? 1 : 0);

	if (rex != 0x40)
		e8(t, rex);
}

void e_alu_rr(struct trans *t, unsigned op, unsigned dst, unsigned src, bool wide)
{
	rex_rr(t, wide, dst, src);
	e8(t, op);
	e8(t, 0xc0 | (dst & 7) << 3 | (src & 7));
}

void e_mov_rr(struct trans *t, unsigned dst, unsigned src)
{
	e_alu_rr(t, 0x8b, dst, src, true);
}

void e_mov_imm(struct trans *t, unsigned reg, uint64_t imm)
{
	if (imm <= UINT32_MAX) {
		rex_rr(t, false, 0, reg);
		e8(t, 0xb8 | (reg & 7));
		e32(t, (uint32_t)imm);
	} else if ((int64_t)imm == (int32_t)imm) {
		rex_rr(t, true, 0, reg);
		e8(t, 0xc7);
		e8(t, 0xc0 | (reg & 7));
		e32(t, (uint32_t)imm);
	} else {
		rex_rr(t, true, 0, reg);
		e8(t, 0xb8 | (reg & 7));
		e32(t, (uint32_t)imm);
		e32(t, (uint32_t)(imm >> 32));
	}
}

void e_alu_imm32(struct trans *t, unsigned ext, unsigned reg, uint32_t imm, bool wide)
{
	rex_rr(t, wide, 0, reg);
	e8(t, 0x81);
	e8(t, 0xc0 | ext << 3 | (reg & 7));
	e32(t, imm);
}

void e_shift_imm(struct trans *t, unsigned ext, unsigned reg, unsigned count, bool wide)
{
	rex_rr(t, wide, 0, reg);
	e8(t, 0xc1);
	e8(t, 0xc0 | ext << 3 | (reg & 7));
	e8(t, count);
}

void e_imul32_imm(struct trans *t, unsigned dst, unsigned src, uint32_t imm)
{
	rex_rr(t, false, dst, src);
	e8(t, 0x69);
	e8(t, 0xc0 | (dst & 7) << 3 | (src & 7));
	e32(t, imm);
}

/* VEX.LZ.F2.0F3A.W0 F0 /r ib, or mov and ror where the processor lacks BMI2 (flags are lost then). */
void e_rorx32(struct trans *t, unsigned dst, unsigned src, unsigned count)
{
	if (!t->bmi2) {
		e_alu_rr(t, 0x8b, dst, src, false);
		e_shift_imm(t, 1, dst, count, false);
		return;
	}
	e8(t, 0xc4);
	e8(t, (dst >= 8 ? 0 : 0x80) | 0x40 | (src >= 8 ? 0 : 0x20) | 3);
	e8(t, 0x7b);
	e8(t, 0xf0);
	e8(t, 0xc0 | (dst & 7) << 3 | (src & 7));
	e8(t, count);
}

void e_modrm_t0(struct trans *t, unsigned reg)
{
	unsigned r = (reg & 7) << 3 | (T0 & 7);

	if (t->t0_disp == 0) {
		e8(t, r);
	} else if (t->t0_disp == (int8_t)t->t0_disp) {
		e8(t, 0x40 | r);
		e8(t, (uint8_t)t->t0_disp);
	} else {
		e8(t, 0x80 | r);
		e32(t, (uint32_t)t->t0_disp);
	}
}

/* ---- [T0] --------------------------------------------------------------------- */

static void t0_op(struct trans *t, unsigned op8, unsigned op, unsigned reg, unsigned size)
{
	unsigned rex = 0x41 | (size == 8 ? 8 : 0) | (reg >= 8 ? 4 : 0);

	if (size == 2)
		e8(t, 0x66);
	e8(t, rex);
	e8(t, size == 1 ? op8 : op);
	e_modrm_t0(t, reg);
}

void e_load_t0(struct trans *t, unsigned reg, unsigned size)
{
	t0_op(t, 0x8a, 0x8b, reg, size);
}

void e_store_t0(struct trans *t, unsigned reg, unsigned size)
{
	t0_op(t, 0x88, 0x89, reg, size);
}

void e_store_t0_imm(struct trans *t, int32_t imm, unsigned size)
{
	t0_op(t, 0xc6, 0xc7, 0, size);
	if (size == 1) {
		e8(t, (uint8_t)imm);
	} else if (size == 2) {
		e8(t, (uint8_t)imm);
		e8(t, (uint8_t)(imm >> 8));
	} else {
		e32(t, (uint32_t)imm);
	}
}

/* ---- lea ---------------------------------------------------------------------- */

static void lea_modrm(struct trans *t, unsigned dst, int base, int index, unsigned scale, int32_t disp)
{
	unsigned d = (dst & 7) << 3;

	if (base < 0) { /* [index*scale + disp32] or [disp32]: mod 0 with SIB base 5 */
		e8(t, d | 4);
		e8(t, scale << 6 | (index < 0 ? 4u : (unsigned)(index & 7)) << 3 | 5);
		e32(t, (uint32_t)disp);
		return;
	}
	unsigned mod = disp == 0 && (base & 7) != 5 ? 0 : disp == (int8_t)disp ? 1 : 2;

	if (index >= 0 || (base & 7) == 4) {
		e8(t, mod << 6 | d | 4);
		e8(t, scale << 6 | (index < 0 ? 4u : (unsigned)(index & 7)) << 3 | (unsigned)(base & 7));
	} else {
		e8(t, mod << 6 | d | (unsigned)(base & 7));
	}
	if (mod == 1)
		e8(t, (uint8_t)disp);
	else if (mod == 2)
		e32(t, (uint32_t)disp);
}

static void lea(struct trans *t, unsigned dst, int base, int index, unsigned scale, int32_t disp, bool wide)
{
	unsigned rex = (wide ? 0x48 : 0x40) | (dst >= 8 ? 4 : 0) | (index >= 8 ? 2 : 0) | (base >= 8 ? 1 : 0);

	if (rex != 0x40)
		e8(t, rex);
	e8(t, 0x8d);
	lea_modrm(t, dst, base, index, scale, disp);
}

void e_lea(struct trans *t, unsigned dst, const struct insn *in, bool wide)
{
	uint32_t regs = (in->base >= 0 ? 1u << in->base : 0) | (in->index >= 0 ? 1u << in->index : 0);

	if (in->rip_rel || (in->base < 0 && in->index < 0)) {
		uint64_t a = (uint64_t)in->disp + (in->rip_rel ? t->next : 0);

		e_mov_imm(t, dst, wide ? a : (uint32_t)a);
		return;
	}
	use_regs(t, regs & MREGS);
	if (in->base >= 0 && in->index < 0 && in->disp == 0) {
		e_alu_rr(t, 0x8b, dst, (unsigned)in->base, wide);
		return;
	}
	lea(t, dst, in->base, in->index, in->scale, (int32_t)in->disp, wide);
}

void e_lea_disp(struct trans *t, unsigned dst, unsigned base, int32_t disp, bool wide)
{
	if (disp == 0)
		e_alu_rr(t, 0x8b, dst, base, wide);
	else
		lea(t, dst, (int)base, -1, 0, disp, wide);
}

void e_lea_base(struct trans *t, unsigned dst, unsigned base, int32_t disp)
{
	use_regs(t, 1u << base & MREGS);
	e_lea_disp(t, dst, base, disp, true);
}

/* ---- jumps ---------------------------------------------------------------------- */

uint32_t e_jcc(struct trans *t, unsigned cond)
{
	e8(t, 0x0f);
	e8(t, 0x80 | cond);
	e32(t, 0);
	return here(t) - 4;
}

uint32_t e_jmp(struct trans *t)
{
	e8(t, 0xe9);
	e32(t, 0);
	return here(t) - 4;
}

void e_patch(struct trans *t, uint32_t at, uint32_t to)
{
	uint32_t rel = to - (at + 4);

	__builtin_memcpy(t->c->code + at, &rel, 4);
}

void e_jcc_tramp(struct trans *t, unsigned cond, enum thunk_index thunk)
{
	e_patch(t, e_jcc(t, cond), t->c->tramp[thunk]);
}

void e_jmp_tramp(struct trans *t, enum thunk_index thunk)
{
	e_patch(t, e_jmp(t), t->c->tramp[thunk]);
}

/* ---- copies ----------------------------------------------------------------------- */

static void e_map(struct trans *t, const struct insn *in)
{
	if (in->map != MAP_1)
		e8(t, 0x0f);
	if (in->map == MAP_0F38)
		e8(t, 0x38);
	else if (in->map == MAP_0F3A)
		e8(t, 0x3a);
}

static void e_prefixes(struct trans *t, const struct insn *in)
{
	if (in->lock)
		e8(t, 0xf0);
	if (in->pfx66)
		e8(t, 0x66);
	if (in->rep)
		e8(t, in->rep);
}

/* inc and dec of 32-bit code share their bytes with REX. */
static bool short_incdec(struct trans *t, const struct insn *in)
{
	if (in->mode == MODE_64 || in->map != MAP_1 || in->vex || (in->opcode & 0xf0) != 0x40)
		return false;
	if (in->pfx66)
		e8(t, 0x66);
	e8(t, 0xff);
	e8(t, 0xc0 | (in->opcode & 8) | (in->opcode & 7));
	return true;
}

/* An immediate may name a register, of which 32-bit code has eight. */
static void e_imm(struct trans *t, const struct insn *in, const uint8_t *bytes)
{
	e_bytes(t, bytes + in->imm_off, in->imm_size);
	if (in->vex && in->imm_size == 1)
		t->p[-1] = (uint8_t)in->imm;
}

/* vzeroall and vzeroupper of 32-bit code leave registers 8 to 15 alone: vpxor or vmovaps of each of the others. */
static void short_vzero(struct trans *t, bool all)
{
	for (unsigned i = 0; i < 8; i++) {
		e8(t, 0xc5);
		e8(t, all ? (~i & 15u) << 3 | 0x81 : 0xf8);
		e8(t, all ? 0xef : 0x28);
		e8(t, 0xc0 | i << 3 | i);
	}
}

/* 32-bit code ignores the fourth bits of VEX registers, and W where it would widen a general register. */
static bool short_vex(struct trans *t, const struct insn *in, const uint8_t *bytes)
{
	if (in->mode == MODE_64 || !in->vex)
		return false;
	if (in->map == MAP_0F && in->opcode == 0x77) {
		short_vzero(t, in->l);
		return true;
	}
	e8(t, 0xc4);
	e8(t, 0xe0u | in->map);
	e8(t, (in->w ? 0x80u : 0) | (~(unsigned)in->vvvv & 15u) << 3 | (unsigned)in->l << 2 | in->pp);
	e8(t, in->opcode);
	if (in->has_modrm)
		e8(t, in->modrm);
	e_imm(t, in, bytes);
	return true;
}

void e_copy(struct trans *t, const struct insn *in, const uint8_t *bytes)
{
	if (short_incdec(t, in) || short_vex(t, in, bytes))
		return;
	e_bytes(t, bytes, in->len);
}

static void copy_vex(struct trans *t, const struct insn *in, unsigned reg, unsigned vvvv)
{
	e8(t, 0xc4);
	e8(t, (reg >= 8 ? 0u : 0x80u) | 0x40 | in->map); /* B inverted 0: T0 is r11 */
	e8(t, (in->w ? 0x80u : 0) | (~vvvv & 15u) << 3 | (unsigned)in->l << 2 | in->pp);
	e8(t, in->opcode);
	e_modrm_t0(t, reg);
}

static void copy_legacy(struct trans *t, const struct insn *in, unsigned reg, unsigned opcode)
{
	e_prefixes(t, in);
	e8(t, 0x41 | (in->w ? 8u : 0) | (reg >= 8 ? 4u : 0));
	e_map(t, in);
	e8(t, opcode);
	e_modrm_t0(t, reg);
}

bool e_copy_mem(struct trans *t, const struct insn *in, const uint8_t *bytes, unsigned from)
{
	bool gpr = in->attr & ATTR_REG_GPR;
	unsigned reg = in->reg;
	unsigned opcode = in->opcode;

	if (!in->has_modrm) { /* mov between the accumulator and an absolute address */
		if (in->map != MAP_1 || (opcode & 0xfc) != 0xa0)
			return false;
		opcode = (opcode & 2 ? 0x88 : 0x8a) | (opcode & 1);
		copy_legacy(t, in, RAX, opcode);
		return true;
	}
	/* ah ch dh bh cannot be named beside r11 */
	if ((in->attr & ATTR_BYTE_REG) && !in->rex && reg >= 4 && reg < 8)
		return false;
	if (gpr && reg == from)
		reg = T1;
	if (in->vex) {
		unsigned vvvv = in->vvvv;

		if ((in->attr & ATTR_VVVV_GPR) && vvvv == from)
			vvvv = T1;
		copy_vex(t, in, reg, vvvv);
	} else {
		copy_legacy(t, in, reg, opcode);
	}
	e_imm(t, in, bytes);
	return true;
}

void use_regs(struct trans *t, uint32_t mask)
{
	mask &= MREGS & ~t->cached;
	if (mask & 1u << R11)
		e_gs_load(t, R11, GPR_OFF(R11));
	if (mask & 1u << R15)
		e_gs_load(t, R15, GPR_OFF(R15));
	t->cached |= mask;
}

void def_regs(struct trans *t, uint32_t mask)
{
	mask &= MREGS;
	if (mask & 1u << R11)
		e_gs_store(t, GPR_OFF(R11), R11);
	if (mask & 1u << R15)
		e_gs_store(t, GPR_OFF(R15), R15);
	t->cached |= mask;
}
