/* SPDX-License-Identifier: MIT */
/*
 * The decoder proper: prefixes, opcode, modrm, immediate. What the row's roles
 * make of the numbers found is in decode-roles.c.
 *
 * Bytes past the end read as zero and set cursor.over, so that the parse needs
 * no check at each byte: an instruction that did not need them is decoded
 * whatever follows, and one that did is given back for more.
 *
 * Choices where processors differ: near branches in 64-bit mode ignore 66
 * (Intel's way; AMD truncates rip); null segment overrides of 64-bit mode do
 * not cancel an earlier fs or gs.
 */
#include <stddef.h>

#include "gamut/host.h"

#include "decode-table.h"

struct cursor {
	const uint8_t *bytes;
	unsigned pos, len;
	bool over;
};

static uint8_t peek(struct cursor *c)
{
	if (c->pos < c->len)
		return c->bytes[c->pos];
	c->over = true;
	return 0;
}

static uint8_t get(struct cursor *c)
{
	uint8_t byte = peek(c);

	c->pos++;
	return byte;
}

static uint64_t get_n(struct cursor *c, unsigned n)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n; i++)
		value |= (uint64_t)get(c) << (8 * i);
	return value;
}

static int64_t sign_extend(uint64_t value, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return bytes == 0 ? 0 : (int64_t)(value << shift) >> shift;
}

/* ---- prefixes ---------------------------------------------------------------------- */

/* In 64-bit mode only fs and gs override. */
static void segment_prefix(struct insn *in, int seg)
{
	if (in->mode != MODE_64 || seg >= GAMUT_FS)
		in->seg_override = (int8_t)seg;
}

static bool legacy_prefix(struct insn *in, uint8_t byte, bool *addr)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		segment_prefix(in, (byte >> 3) & 3);
		return true;
	case 0x64:
	case 0x65:
		segment_prefix(in, byte - 0x60);
		return true;
	case 0x66:
		in->pfx66 = true;
		return true;
	case 0x67:
		*addr = true;
		return true;
	case 0xf0:
		in->lock = true;
		return true;
	case 0xf2:
	case 0xf3:
		in->rep = byte;
		return true;
	default:
		return false;
	}
}

static void parse_prefixes(struct insn *in, struct cursor *c)
{
	static const uint8_t addrsize[3][2] = {{2, 4}, {4, 2}, {8, 4}};
	bool addr = false;

	while (c->pos < INSN_MAX) {
		uint8_t byte = peek(c);

		if (legacy_prefix(in, byte, &addr))
			in->rex = 0; /* a REX counts only right before the opcode */
		else if (in->mode == MODE_64 && (byte & 0xf0) == 0x40)
			in->rex = byte;
		else
			break;
		c->pos++;
	}
	in->addrsize = addrsize[in->mode][addr];
	in->w = in->rex & 8;
	in->pp = in->rep == 0xf3 ? 2 : in->rep == 0xf2 ? 3 : in->pfx66;
}

/* ---- opcode ------------------------------------------------------------------------ */

/* R, X and B of either REX or VEX, as 0 or 8. */
struct ext {
	uint8_t r, x, b;
};

/* c4 and c5 are VEX unless they are les and lds, whose operand is never a register. */
static bool is_vex(const struct insn *in, struct cursor *c, uint8_t byte)
{
	if (byte != 0xc4 && byte != 0xc5)
		return false;
	return in->mode == MODE_64 || peek(c) >= 0xc0;
}

/* False when the prefix cannot be. */
static bool parse_vex(struct insn *in, struct cursor *c, struct ext *e, uint8_t first)
{
	uint8_t b1 = get(c), b2 = b1;
	bool legal = !in->rex && !in->lock && !in->pp;

	in->vex = true;
	in->map = MAP_0F;
	in->w = false;
	*e = (struct ext){.r = b1 & 0x80 ? 0 : 8};
	if (first == 0xc4) {
		e->x = b1 & 0x40 ? 0 : 8;
		e->b = b1 & 0x20 ? 0 : 8;
		legal = legal && (b1 & 0x1f) >= 1 && (b1 & 0x1f) <= 3;
		in->map = b1 & 3;
		b2 = get(c);
		in->w = b2 & 0x80;
	}
	in->vvvv = (~b2 >> 3) & 15;
	in->l = (b2 >> 2) & 1;
	in->pp = b2 & 3;
	if (in->mode != MODE_64)
		*e = (struct ext){0};
	in->opcode = get(c);
	return legal;
}

static bool parse_opcode(struct insn *in, struct cursor *c, struct ext *e)
{
	uint8_t byte = get(c);

	if (is_vex(in, c, byte))
		return parse_vex(in, c, e, byte);
	*e = (struct ext){(in->rex & 4) << 1, (in->rex & 2) << 2, (in->rex & 1) << 3};
	if (byte == 0x0f) {
		in->map = MAP_0F;
		byte = get(c);
		if (byte == 0x38 || byte == 0x3a) {
			in->map = byte == 0x38 ? MAP_0F38 : MAP_0F3A;
			byte = get(c);
		}
	}
	in->opcode = byte;
	return true;
}

typedef const struct row table_t[4][256];

static table_t *const legacy_tables[4] = {NULL, &decode_0f, &decode_0f38, &decode_0f3a};
static table_t *const vex_tables[4] = {NULL, &decode_vex_0f, &decode_vex_0f38, &decode_vex_0f3a};

static const struct row undefined_row = {0};

static const struct row movsxd_row = {
        .op = OP_MOVSXD,
        .class_ = CLASS_COPY,
        .msize = M_XSX,
        .t = T_MODRM | T_RM_R | T_REG_W,
        .attr = A_EV | A_GV,
};

static const struct row *find_row(const struct insn *in)
{
	const struct row *row;

	if (in->map == MAP_1)
		return in->opcode == 0x63 && in->mode == MODE_64 ? &movsxd_row : &decode_map1[in->opcode];
	if (in->vex && (*vex_tables[in->map & 3])[in->pp][in->opcode].op)
		return &(*vex_tables[in->map & 3])[in->pp][in->opcode];
	row = &(*legacy_tables[in->map & 3])[in->pp][in->opcode];
	if (row->op || in->vex)
		return row;
	row = &(*legacy_tables[in->map & 3])[0][in->opcode];
	return row->t & T_ANYPP ? row : &undefined_row;
}

/* ---- modrm ------------------------------------------------------------------------- */

static void parse_mem16(struct insn *in, struct cursor *c)
{
	static const int8_t base[8] = {3, 3, 5, 5, 6, 7, 5, 3};
	static const int8_t index[8] = {6, 7, 6, 7, -1, -1, -1, -1};
	unsigned rm = in->modrm & 7;

	in->base = base[rm];
	in->index = index[rm];
	if (in->mod == 0 && rm == 6) {
		in->base = -1;
		in->disp = (int64_t)get_n(c, 2);
	} else if (in->mod) {
		in->disp = sign_extend(get_n(c, in->mod), in->mod);
	}
}

static void parse_mem(struct insn *in, struct cursor *c, const struct ext *e, bool vsib)
{
	unsigned rm = in->modrm & 7, base = rm;

	if (rm == 4) {
		in->has_sib = true;
		in->sib = get(c);
		in->scale = in->sib >> 6;
		in->index = (int8_t)(((in->sib >> 3) & 7) | e->x);
		if (in->index == 4 && !vsib)
			in->index = -1;
		base = in->sib & 7;
	}
	if (in->mod == 0 && base == 5) {
		in->rip_rel = rm == 5 && in->mode == MODE_64;
		in->disp = sign_extend(get_n(c, 4), 4);
		return;
	}
	in->base = (int8_t)(base | e->b);
	if (in->mod == 1)
		in->disp = sign_extend(get_n(c, 1), 1);
	else if (in->mod == 2)
		in->disp = sign_extend(get_n(c, 4), 4);
}

static void parse_modrm(struct insn *in, struct cursor *c, const struct ext *e, const struct row *row)
{
	in->has_modrm = true;
	in->modrm_off = (uint8_t)c->pos;
	in->modrm = get(c);
	in->mod = row->t & T_FORCE_REG ? 3 : in->modrm >> 6;
	in->reg = ((in->modrm >> 3) & 7) | e->r;
	in->rm = (in->modrm & 7) | (in->mod == 3 ? e->b : 0);
	if (in->mod == 3)
		return;
	if (in->addrsize == 2)
		parse_mem16(in, c);
	else
		parse_mem(in, c, e, row->attr & ATTR_VSIB);
}

/* The row that modrm selects. */
static const struct row *refine_row(const struct insn *in, const struct row *row)
{
	unsigned reg = (in->modrm >> 3) & 7;

	if (row->t & T_X87) {
		unsigned esc = in->opcode - 0xd8;

		if (in->mod != 3)
			return &decode_x87[esc][reg];
		return decode_x87_reg[esc] >> (in->modrm & 0x3f) & 1 ? row : &undefined_row;
	}
	if (!(row->t & T_GROUP))
		return row;
	if (row->sub == G_0F01 && in->mod == 3)
		return &decode_0f01_reg[in->modrm & 0x3f];
	return &decode_groups[row->sub][in->mod == 3][reg];
}

/* ---- sizes and immediates ------------------------------------------------------------ */

static uint8_t general_size(const struct insn *in)
{
	if (in->mode == MODE_64 && in->w)
		return 8;
	return (in->mode == MODE_16) != in->pfx66 ? 2 : 4;
}

static void set_sizes(struct insn *in, const struct row *row)
{
	bool long_w = in->mode == MODE_64 && in->w;
	uint8_t size[] = {[S_V] = general_size(in), [S_B] = 1, [S_W] = 2, [S_DQ] = long_w ? 8 : 4, [S_D] = 4};

	in->opsize = size[row->size];
	in->stacksize = size[S_V];
	if (in->mode != MODE_64)
		return;
	in->stacksize = in->pfx66 && !in->w ? 2 : 8;
	if (row->t & T_D64)
		in->opsize = in->stacksize;
	else if (row->t & T_F64)
		in->opsize = in->stacksize = 8;
}

static uint8_t immediate_size(const struct insn *in, const struct row *row)
{
	switch ((enum imm_kind)row->imm) {
	case I_NONE:
		return 0;
	case I_B:
	case I_UB:
		return 1;
	case I_UW:
	case I_ENTER:
		return 2;
	case I_Z:
	case I_FAR:
		return in->opsize == 2 ? 2 : 4;
	case I_V:
		return in->opsize;
	case I_MOFFS:
		return in->addrsize;
	}
	return 0;
}

static void parse_immediate(struct insn *in, struct cursor *c, const struct row *row)
{
	uint64_t value;

	in->imm_size = immediate_size(in, row);
	if (!in->imm_size)
		return;
	in->imm_off = (uint8_t)c->pos;
	value = get_n(c, in->imm_size);
	if (row->imm == I_B || row->imm == I_Z || row->imm == I_V)
		in->imm = sign_extend(value, in->imm_size);
	else
		in->imm = (int64_t)value;
	if (row->imm == I_FAR)
		in->imm2 = (uint16_t)get_n(c, 2);
	else if (row->imm == I_ENTER)
		in->imm2 = get(c);
	else if (row->imm == I_MOFFS)
		in->disp = in->imm;
}

/* ---- validity ------------------------------------------------------------------------ */

static bool mode_legal(const struct insn *in, uint32_t t)
{
	return !(t & (in->mode == MODE_64 ? T_NO64 : T_ONLY64));
}

static bool vex_legal(const struct insn *in, uint32_t t)
{
	bool no_vvvv = (t & T_NOV) || ((t & T_NOV_MEM) && in->mod != 3);

	if (!(t & T_VEX))
		return false;
	return !(no_vvvv && in->vvvv) && !((t & T_L0) && in->l) && !((t & T_L1) && !in->l) &&
	       !((t & T_W0) && in->w) && !((t & T_W1) && !in->w);
}

/* Control registers 0 2 3 4 8, debug registers 0..7, segment registers that exist. */
static bool special_reg_legal(const struct insn *in)
{
	switch (in->op) {
	case OP_MOV_FROM_CR:
	case OP_MOV_TO_CR:
		return in->reg <= 8 && (0x11du >> in->reg & 1);
	case OP_MOV_FROM_DR:
	case OP_MOV_TO_DR:
		return in->reg < 8;
	case OP_MOV_FROM_SEG:
		return (in->reg & 7) < 6;
	case OP_MOV_TO_SEG:
		return (in->reg & 7) < 6 && (in->reg & 7) != GAMUT_CS;
	default:
		return true;
	}
}

static bool row_legal(const struct insn *in, const struct row *row)
{
	if (row->op == OP_NONE || row->class_ == CLASS_UD || !mode_legal(in, row->t))
		return false;
	if (in->has_modrm && (row->t & (in->mod == 3 ? T_MEM_ONLY : T_REG_ONLY)))
		return false;
	return (!in->vex || vex_legal(in, row->t)) && special_reg_legal(in);
}

static bool lock_legal(const struct insn *in)
{
	return !in->lock || (in->attr & (ATTR_LOCK_OK | ATTR_MEM_WRITE)) == (ATTR_LOCK_OK | ATTR_MEM_WRITE);
}

static void make_undefined(struct insn *in)
{
	in->class_ = CLASS_UD;
	in->op = in->op == OP_UD ? OP_UD : OP_NONE;
	in->attr = 0;
	in->mem_size = 0;
	in->regs_read = in->regs_written = 0;
	in->fl_read = in->fl_written = in->fl_undef = 0;
}

/* Applies the row; false: undefined. */
static bool apply_row(struct insn *in, struct cursor *c, const struct row *row)
{
	in->op = row->op;
	in->class_ = row->class_;
	if (!row_legal(in, row))
		return false;
	if (row->t & T_COND)
		in->cond = in->opcode & 15;
	set_sizes(in, row);
	parse_immediate(in, c, row);
	if (in->mode != MODE_64 && in->vex && in->w && in->map == MAP_0F3A && (in->opcode == 0x16 || in->opcode == 0x22))
		return false; /* vpextrq, vpinsrq */
	if (in->mode != MODE_64)
		in->vvvv &= 7; /* only now: "must be 1111" holds for all four bits */
	decode_roles(in, row);
	/* Outside 64-bit mode VEX.W says nothing about general registers (and the translator's copy is 64-bit code). */
	if (in->vex && in->mode != MODE_64 &&
	    ((row->attr & (ATTR_REG_GPR | ATTR_RM_GPR | ATTR_VVVV_GPR)) ||
	     (in->map == MAP_0F3A && (in->opcode & 0xfc) == 0x60))) /* vpcmpestri and its kin: lengths in eax, edx */
		in->w = false;
	if (in->vex && in->mode != MODE_64 && in->map == MAP_0F3A && in->opcode >= 0x4a && in->opcode <= 0x4c)
		in->imm &= 0x7f; /* a register number of three bits */
	return lock_legal(in);
}

static void decode_body(struct insn *in, struct cursor *c)
{
	const struct row *row;
	struct ext e;
	bool legal;

	parse_prefixes(in, c);
	legal = parse_opcode(in, c, &e);
	in->opc_off = (uint8_t)(c->pos - 1);
	in->opreg = (in->opcode & 7) | e.b;
	in->seg = in->seg_override >= 0 ? in->seg_override : GAMUT_DS;
	row = legal ? find_row(in) : &undefined_row;
	if (row->t & T_MODRM) {
		bool outer = mode_legal(in, row->t);

		parse_modrm(in, c, &e, row);
		row = outer ? refine_row(in, row) : &undefined_row;
	}
	if (!apply_row(in, c, row))
		make_undefined(in);
}

bool insn_decode(struct insn *in, const uint8_t *bytes, unsigned len, enum insn_mode mode)
{
	struct cursor c = {bytes, 0, len < INSN_MAX ? len : INSN_MAX, false};

	*in = (struct insn){.mode = (uint8_t)mode, .seg_override = -1, .base = -1, .index = -1};
	decode_body(in, &c);
	if (c.over && c.len < INSN_MAX)
		return false;
	if (c.over) { /* longer than any instruction may be: #GP */
		*in = (struct insn){.mode = (uint8_t)mode,
		                    .class_ = CLASS_SYS,
		                    .len = INSN_MAX,
		                    .seg_override = -1,
		                    .base = -1,
		                    .index = -1};
		return true;
	}
	in->len = (uint8_t)c.pos;
	return true;
}
