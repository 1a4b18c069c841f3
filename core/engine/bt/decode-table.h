/* SPDX-License-Identifier: MIT */
/*
 * The rows of the decoder's opcode tables; private to decode*.c.
 *
 * A row is found by map, mandatory prefix and opcode, then by modrm.reg for a
 * group. It names the roles of the encoding's fields; decode.c turns them into
 * the numbers of one instruction.
 *
 * One row serves the legacy SSE form and the VEX form of an instruction: it has
 * T_VEX when the latter exists. Rows that only VEX has are in tables of their
 * own, looked at first.
 */
/* clang-format off: tables */
#ifndef BT_DECODE_TABLE_H
#define BT_DECODE_TABLE_H

#include "decode.h"

/* row.t: roles and constraints. */
#define T_MODRM 0x1u
#define T_RM_R 0x2u /* the operand in modrm.rm, register or memory, is read */
#define T_RM_W 0x4u
#define T_RM_RW (T_RM_R | T_RM_W)
#define T_REG_R 0x8u
#define T_REG_W 0x10u
#define T_REG_RW (T_REG_R | T_REG_W)
#define T_V_R 0x20u /* VEX.vvvv as a general register */
#define T_V_W 0x40u
#define T_OPR_R 0x80u /* opcode register */
#define T_OPR_W 0x100u
#define T_MEM_ONLY 0x200u /* mod == 3 is undefined */
#define T_REG_ONLY 0x400u
#define T_NO64 0x800u
#define T_ONLY64 0x1000u
#define T_D64 0x2000u    /* operand size 64 by default in 64-bit mode (push, pop) */
#define T_F64 0x4000u    /* operand size always 64 in 64-bit mode (near branches, mov cr) */
#define T_ANYPP 0x8000u  /* row of prefix "none" that F3, F2 and 66 fall back to */
#define T_GROUP 0x10000u /* row.sub: group, selected by modrm.reg */
#define T_FORCE_REG 0x20000u /* mod is ignored and taken as 3 (mov cr) */
#define T_VEX 0x40000u    /* also encoded with VEX */
#define T_NOV 0x80000u    /* VEX form without vvvv */
#define T_NOV_MEM 0x100000u /* without vvvv when rm is memory (vmovss) */
#define T_L0 0x200000u
#define T_L1 0x400000u
#define T_W0 0x800000u
#define T_W1 0x1000000u
#define T_VALIGN 0x2000000u /* the VEX form checks alignment, too */
#define T_ADDR_ONLY 0x4000000u /* memory operand is an address that is not accessed here */
#define T_X87 0x8000000u
#define T_STRING 0x10000000u
#define T_COND 0x20000000u  /* low four opcode bits are a condition */
#define T_MASKED 0x40000000u /* VEX masked move: faults depend on the mask */

/* row.imm */
enum imm_kind {
	I_NONE,
	I_B,     /* imm8, sign-extended */
	I_UB,    /* imm8, zero-extended */
	I_UW,    /* imm16 */
	I_Z,     /* 2 or 4 bytes by operand size, sign-extended */
	I_V,     /* 2, 4 or 8 */
	I_MOFFS, /* address-sized offset */
	I_FAR,   /* offset by operand size, then selector */
	I_ENTER, /* imm16, imm8 */
};

/* row.size: how insn.opsize is found. */
enum size_kind {
	S_V, /* 2 4 8 by 66 and W */
	S_B,
	S_W, /* 2 */
	S_DQ,  /* 4, 8 with W in 64-bit mode; 66 is no operand size */
	S_D,
};

/* row.msize: how insn.mem_size is found. */
enum msize_kind {
	M_OP, /* opsize */
	M_0,  /* variable */
	M_1,
	M_2,
	M_4,
	M_8,
	M_10,
	M_16,
	M_VL,   /* 16 or 32 by VEX.L */
	M_VL2,  /* a half of that */
	M_VL4,
	M_VL8,
	M_DQ,   /* 4, 8 with W in 64-bit mode */
	M_W,    /* 4, 8 with VEX.W in any mode */
	M_DDUP, /* 8 or 32 by L */
	M_CX,   /* cmpxchg8b: 8, 16 with W */
	M_DT,   /* descriptor table register: 6, 10 in 64-bit mode */
	M_FAR,  /* opsize + 2 */
	M_2OP,  /* bound: 2 * opsize */
	M_XSX,  /* movsxd: 4, 2 with a 16-bit operand */
};

/* row.fl: index of decode_fl, or one of the computed ones at its end. */
enum fl_kind {
	F_NONE,
	F_ADD,
	F_ADC,
	F_LOGIC,
	F_INC,
	F_MUL,
	F_DIV,
	F_BT,
	F_BSF,
	F_TZCNT,
	F_ANDN,
	F_BEXTR,
	F_BZHI,
	F_ZF,
	F_RCF,
	F_WCF,
	F_CMC,
	F_LAHF,
	F_SAHF,
	F_DAA,
	F_AAA,
	F_AAM,
	F_ADOX,
	F_READ,
	F_RZF,
	F_FCOMI,
	F_TABLE_END,
	F_SHIFT = F_TABLE_END, /* shl shr sar */
	F_ROT,
	F_RCX, /* rcl rcr */
	F_SHD, /* shld shrd */
	F_COND,
	F_STRCMP, /* scas cmps */
};

enum group {
	G_NONE,
	G_80,
	G_81,
	G_83,
	G_8F,
	G_C0,
	G_C1,
	G_D0,
	G_D1,
	G_D2,
	G_D3,
	G_C6,
	G_C7,
	G_F6,
	G_F7,
	G_FE,
	G_FF,
	G_0F00,
	G_0F01,
	G_0FBA,
	G_0FC7,
	G_0FC7_F3,
	G_0FAE,
	G_0FAE_66,
	G_0FAE_F3,
	G_0F71,
	G_0F71_66,
	G_0F72,
	G_0F72_66,
	G_0F73,
	G_0F73_66,
	G_VAE,
	G_VBLS,
	G_0F18,
	G_COUNT
};

struct row {
	uint16_t op;
	uint8_t class_;
	uint8_t imm, size, msize, fl;
	uint8_t sub; /* T_GROUP: enum group */
	uint32_t t, attr;
	uint16_t rr, rw; /* implicit general registers */
};

#define R_AX 0x1u
#define R_CX 0x2u
#define R_DX 0x4u
#define R_BX 0x8u
#define R_SP 0x10u
#define R_BP 0x20u
#define R_SI 0x40u
#define R_DI 0x80u

struct fl_effect {
	uint16_t read, written, undef;
};

extern const struct fl_effect decode_fl[F_TABLE_END];
extern const struct row decode_map1[256];
/* Groups that differ between memory and register forms have them at [0] and [1]. */
extern const struct row decode_groups[G_COUNT][2][8];
extern const struct row decode_0f01_reg[64]; /* 0F 01 with mod == 3, by the low six bits */
extern const struct row decode_0f[4][256], decode_0f38[4][256], decode_0f3a[4][256];
extern const struct row decode_vex_0f[4][256], decode_vex_0f38[4][256], decode_vex_0f3a[4][256];
/* x87: memory forms by [opcode - d8][modrm.reg]; a bit for each valid register form. */
extern const struct row decode_x87[8][8];
extern const uint64_t decode_x87_reg[8];

/* Fills what in reads and writes (attr, regs_*, fl_*, seg, mem_size) once everything is parsed; decode-roles.c. */
void decode_roles(struct insn *in, const struct row *row);

/* Short hands for rows: Eb is modrm.rm as a byte, Gv modrm.reg by operand size, and so on. */
#define A_EB (ATTR_RM_GPR | ATTR_BYTE_RM)
#define A_EV ATTR_RM_GPR
#define A_GB (ATTR_REG_GPR | ATTR_BYTE_REG)
#define A_GV ATTR_REG_GPR
#define ROW_SYS(o, ...) {.op = o, .class_ = CLASS_SYS, __VA_ARGS__}
#define ROW_UD {.op = OP_UD, .class_ = CLASS_UD}
#define ROW_GROUP(g) {.op = OP_COPY_ONLY, .class_ = CLASS_UD, .sub = g, .t = T_MODRM | T_GROUP}

#endif
