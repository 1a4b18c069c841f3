/* SPDX-License-Identifier: MIT */
/*
 * From a row's roles and an instruction's numbers to what it reads and writes:
 * registers, memory, flags. Partial writes count as reads, too; a shift writes
 * flags by its count; the few instructions that no role describes are at the
 * end.
 */
#include "gamut/host.h"

#include "decode-table.h"

/* ---- registers and memory ---------------------------------------------------------------- */

static uint8_t memory_size(const struct insn *in, const struct row *row)
{
	uint8_t vl = in->l ? 32 : 16;

	switch ((enum msize_kind)row->msize) {
	case M_OP:
		return in->opsize;
	case M_0:
		return 0;
	case M_1:
		return 1;
	case M_2:
		return 2;
	case M_4:
		return 4;
	case M_8:
		return 8;
	case M_10:
		return 10;
	case M_16:
		return 16;
	case M_VL:
		return vl;
	case M_VL2:
		return vl / 2;
	case M_VL4:
		return vl / 4;
	case M_VL8:
		return vl / 8;
	case M_DQ:
		return in->mode == MODE_64 && in->w ? 8 : 4;
	case M_W:
		return in->w ? 8 : 4;
	case M_DDUP:
		return in->l ? 32 : 8;
	case M_CX:
		return in->mode == MODE_64 && in->w ? 16 : 8;
	case M_DT:
		return in->mode == MODE_64 ? 10 : 6;
	case M_FAR:
		return in->opsize + 2;
	case M_2OP:
		return 2 * in->opsize;
	case M_XSX:
		return in->opsize == 2 ? 2 : 4;
	}
	return 0;
}

/* Mask of one register; ah..bh are parts of the first four. */
static uint16_t reg_bit(const struct insn *in, unsigned reg, bool byte)
{
	if (byte && !in->rex && !in->vex && reg >= 4 && reg < 8)
		reg -= 4;
	return (uint16_t)(1u << reg);
}

static void add_roles(struct insn *in, uint32_t t, uint32_t read, uint32_t written, uint16_t bit)
{
	if (t & read)
		in->regs_read |= bit;
	if (t & written)
		in->regs_written |= bit;
}

static void set_memory(struct insn *in, const struct row *row)
{
	if (in->base >= 0)
		in->regs_read |= (uint16_t)(1u << in->base);
	if (in->index >= 0 && !(row->attr & ATTR_VSIB))
		in->regs_read |= (uint16_t)(1u << in->index);
	if (in->seg_override < 0 && (in->base == 4 || in->base == 5))
		in->seg = GAMUT_SS;
	if (row->t & T_ADDR_ONLY)
		return;
	in->mem_size = memory_size(in, row);
	if (row->t & T_RM_R)
		in->attr |= ATTR_MEM | ATTR_MEM_READ;
	if (row->t & T_RM_W)
		in->attr |= ATTR_MEM | ATTR_MEM_WRITE;
}

static void set_registers(struct insn *in, const struct row *row)
{
	bool memory = in->has_modrm ? in->mod != 3 : row->imm == I_MOFFS;

	in->regs_read |= row->rr;
	in->regs_written |= row->rw;
	if (memory)
		set_memory(in, row);
	else if (row->attr & ATTR_RM_GPR)
		add_roles(in, row->t, T_RM_R, T_RM_W, reg_bit(in, in->rm, row->attr & ATTR_BYTE_RM));
	if (row->attr & ATTR_REG_GPR)
		add_roles(in, row->t, T_REG_R, T_REG_W, reg_bit(in, in->reg, row->attr & ATTR_BYTE_REG));
	if (row->attr & ATTR_OPREG_GPR)
		add_roles(in, row->t, T_OPR_R, T_OPR_W, reg_bit(in, in->opreg, row->attr & ATTR_BYTE_REG));
	if (row->attr & ATTR_VVVV_GPR)
		add_roles(in, row->t, T_V_R, T_V_W, reg_bit(in, in->vvvv, false));
	if (in->class_ == CLASS_STRING) {
		in->mem_size = in->opsize;
		if (in->rep) {
			in->regs_read |= R_CX;
			in->regs_written |= R_CX;
		}
	}
	if (in->opsize < 4)
		in->regs_read |= in->regs_written; /* a partial write keeps the rest */
	if (!memory)
		in->attr &= ~(ATTR_LOCK_OK | ATTR_BITOFF | ATTR_ALIGNED);
}

/* ---- flags ------------------------------------------------------------------------- */

static struct fl_effect condition_flags(unsigned cond)
{
	static const uint16_t read[8] = {
	        FL_OF, FL_CF, FL_ZF, FL_CF | FL_ZF, FL_SF, FL_PF, FL_SF | FL_OF, FL_ZF | FL_SF | FL_OF,
	};

	return (struct fl_effect){.read = read[cond >> 1]};
}

/* What a shift by a known count writes, count masked and not 0. */
static struct fl_effect fixed_shift(const struct insn *in, unsigned kind, unsigned count)
{
	unsigned bits = in->opsize * 8u;
	uint16_t of = count == 1 ? FL_OF : 0, cf = FL_CF;
	struct fl_effect fl = {0};

	if (kind == F_RCX) {
		fl.read = FL_CF;
		cf = count % (bits + 1) ? FL_CF : 0; /* all the way round: CF is as it was */
	} else if (kind == F_SHIFT && in->op != OP_SAR && count >= bits) {
		cf = 0;
	}
	if (kind == F_SHD && count > bits)
		return (struct fl_effect){.undef = FL_ARITH};
	fl.written = cf | of;
	fl.undef = (FL_CF | FL_OF) & ~fl.written;
	if (kind == F_SHIFT || kind == F_SHD) {
		fl.written |= FL_SF | FL_ZF | FL_PF;
		fl.undef |= FL_AF;
	}
	return fl;
}

static struct fl_effect shift_flags(const struct insn *in, const struct row *row)
{
	unsigned count = row->imm ? (unsigned)in->imm & (in->opsize == 8 ? 63 : 31) : 1;
	uint16_t all = row->fl == F_SHIFT || row->fl == F_SHD ? FL_ARITH : FL_CF | FL_OF;

	if (row->rr & R_CX) /* by cl, which may be 0: all kept */
		return (struct fl_effect){.read = all, .undef = all};
	return count ? fixed_shift(in, row->fl, count) : (struct fl_effect){0};
}

static struct fl_effect find_flags(const struct insn *in, const struct row *row)
{
	if (in->class_ == CLASS_SYS)
		return (struct fl_effect){.read = FL_ARITH, .undef = FL_ARITH};
	switch (row->fl) {
	case F_SHIFT:
	case F_ROT:
	case F_RCX:
	case F_SHD:
		return shift_flags(in, row);
	case F_COND:
		return condition_flags(in->cond);
	case F_STRCMP: /* a count of 0 keeps them */
		return in->rep ? (struct fl_effect){.read = FL_ARITH, .undef = FL_ARITH} : decode_fl[F_ADD];
	default:
		return decode_fl[row->fl];
	}
}

static void set_flags(struct insn *in, struct fl_effect fl)
{
	in->fl_read = fl.read;
	in->fl_written = fl.written;
	in->fl_undef = fl.undef;
}

/* ---- special cases ------------------------------------------------------------------- */

/* x87 register forms that touch general registers or flags. */
static void x87_register_form(struct insn *in)
{
	static const uint8_t fcmov[4] = {2, 4, 6, 10}; /* b e be u as conditions */
	unsigned reg = (in->modrm >> 3) & 7;

	in->opsize = 4;
	in->attr |= ATTR_FPU | ATTR_TRAPS;
	if (in->opcode == 0xdf && in->modrm == 0xe0) { /* fnstsw ax */
		in->opsize = 2;
		in->regs_read = in->regs_written = R_AX;
	} else if ((in->opcode == 0xdb || in->opcode == 0xdf) && (reg == 5 || reg == 6)) {
		set_flags(in, decode_fl[F_FCOMI]);
	} else if ((in->opcode == 0xda || in->opcode == 0xdb) && reg < 4) {
		set_flags(in, condition_flags(fcmov[reg]));
	}
}

/* 90: xchg rax, rax that zero-extends nothing, and pause. */
static void special_nop(struct insn *in)
{
	if (in->opreg != 0)
		return;
	in->op = in->rep == 0xf3 ? OP_PAUSE : OP_NOP;
	in->attr = 0;
	in->regs_read = in->regs_written = 0;
}

static void set_vector_attrs(struct insn *in, const struct row *row)
{
	if (!in->vex)
		return;
	if (!(row->t & T_VALIGN))
		in->attr &= ~ATTR_ALIGNED;
	if (in->op == OP_COPY_ONLY)
		in->attr = (in->attr & ~ATTR_SSE) | ATTR_AVX;
}

static void set_special(struct insn *in, const struct row *row)
{
	if ((row->t & T_X87) && in->mod == 3)
		x87_register_form(in);
	else if (in->map == MAP_1 && in->opcode == 0x90)
		special_nop(in);
	else if (in->op == OP_CMPXCHG8B && in->mem_size == 16)
		in->attr |= ATTR_ALIGNED;
	else if (in->op == OP_NOP || in->op == OP_PREFETCH)
		in->regs_read = 0; /* the address is not computed */
	set_vector_attrs(in, row);
	if (in->class_ == CLASS_SYS)
		in->regs_read = in->regs_written = in->mode == MODE_64 ? 0xffff : 0xff;
}

void decode_roles(struct insn *in, const struct row *row)
{
	in->attr = row->attr;
	set_registers(in, row);
	set_flags(in, find_flags(in, row));
	set_special(in, row);
}
