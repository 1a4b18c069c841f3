/* SPDX-License-Identifier: MIT */
/*
 * Opcode map 1, the groups, x87, and the effects on flags. An empty row (op 0)
 * is undefined.
 */
/* clang-format off: tables */
#include "decode-table.h"

#define COPY(o, ...) {.op = o, .class_ = CLASS_COPY, __VA_ARGS__}

/* The six rows of an ALU operation; dest is T_RM_RW, or T_RM_R for cmp. */
#define ALU(base, o, f, rm, reg, acc, lk)                                                                       \
	[base] = COPY(o, .size = S_B, .fl = f, .t = T_MODRM | (rm) | T_REG_R, .attr = A_EB | A_GB | (lk)),      \
	[(base) + 1] = COPY(o, .fl = f, .t = T_MODRM | (rm) | T_REG_R, .attr = A_EV | A_GV | (lk)),             \
	[(base) + 2] = COPY(o, .size = S_B, .fl = f, .t = T_MODRM | T_RM_R | (reg), .attr = A_EB | A_GB),       \
	[(base) + 3] = COPY(o, .fl = f, .t = T_MODRM | T_RM_R | (reg), .attr = A_EV | A_GV),                    \
	[(base) + 4] = COPY(o, .size = S_B, .imm = I_B, .fl = f, .rr = R_AX, .rw = acc),                        \
	[(base) + 5] = COPY(o, .imm = I_Z, .fl = f, .rr = R_AX, .rw = acc)
#define ALU_RW(base, o, f) ALU(base, o, f, T_RM_RW, T_REG_RW, R_AX, ATTR_LOCK_OK)
#define JCC(imm_) {.op = OP_JCC, .class_ = CLASS_JCC, .imm = imm_, .fl = F_COND, .t = T_F64 | T_COND}
#define STR(o, s, f, r, w) \
	{.op = o, .class_ = CLASS_STRING, .size = s, .fl = f, .t = T_STRING, .rr = (r), .rw = (w)}
#define LOOP(o, f) \
	{.op = o, .class_ = CLASS_LOOP, .imm = I_B, .fl = f, .t = T_F64, .rr = R_CX, .rw = R_CX}
#define PUSHPOP_SEG(o) ROW_SYS(o, .t = T_NO64 | T_D64)
#define FLAGS(o, ...) {.op = o, .class_ = CLASS_FLAGS, __VA_ARGS__}

const struct row decode_map1[256] = {
	ALU_RW(0x00, OP_ADD, F_ADD),
	ALU_RW(0x08, OP_OR, F_LOGIC),
	ALU_RW(0x10, OP_ADC, F_ADC),
	ALU_RW(0x18, OP_SBB, F_ADC),
	ALU_RW(0x20, OP_AND, F_LOGIC),
	ALU_RW(0x28, OP_SUB, F_ADD),
	ALU_RW(0x30, OP_XOR, F_LOGIC),
	ALU(0x38, OP_CMP, F_ADD, T_RM_R, T_REG_R, 0, 0),
	[0x06] = PUSHPOP_SEG(OP_PUSH_SEG),
	[0x07] = PUSHPOP_SEG(OP_POP_SEG),
	[0x0e] = PUSHPOP_SEG(OP_PUSH_SEG),
	[0x16] = PUSHPOP_SEG(OP_PUSH_SEG),
	[0x17] = PUSHPOP_SEG(OP_POP_SEG),
	[0x1e] = PUSHPOP_SEG(OP_PUSH_SEG),
	[0x1f] = PUSHPOP_SEG(OP_POP_SEG),
	[0x27] = COPY(OP_DAA, .size = S_B, .fl = F_DAA, .t = T_NO64, .rr = R_AX, .rw = R_AX),
	[0x2f] = COPY(OP_DAS, .size = S_B, .fl = F_DAA, .t = T_NO64, .rr = R_AX, .rw = R_AX),
	[0x37] = COPY(OP_AAA, .size = S_W, .fl = F_AAA, .t = T_NO64, .rr = R_AX, .rw = R_AX),
	[0x3f] = COPY(OP_AAS, .size = S_W, .fl = F_AAA, .t = T_NO64, .rr = R_AX, .rw = R_AX),
	[0x40 ... 0x47] = COPY(OP_INC, .fl = F_INC, .t = T_NO64 | T_OPR_R | T_OPR_W, .attr = ATTR_OPREG_GPR),
	[0x48 ... 0x4f] = COPY(OP_DEC, .fl = F_INC, .t = T_NO64 | T_OPR_R | T_OPR_W, .attr = ATTR_OPREG_GPR),
	[0x50 ... 0x57] = {.op = OP_PUSH, .class_ = CLASS_PUSH, .t = T_D64 | T_OPR_R, .attr = ATTR_OPREG_GPR,
			   .rr = R_SP, .rw = R_SP},
	[0x58 ... 0x5f] = {.op = OP_POP, .class_ = CLASS_POP, .t = T_D64 | T_OPR_W, .attr = ATTR_OPREG_GPR,
			   .rr = R_SP, .rw = R_SP},
	[0x60] = ROW_SYS(OP_PUSHA, .t = T_NO64),
	[0x61] = ROW_SYS(OP_POPA, .t = T_NO64),
	[0x62] = ROW_SYS(OP_BOUND, .msize = M_2OP, .t = T_MODRM | T_MEM_ONLY | T_NO64 | T_RM_R | T_REG_R,
			 .attr = A_GV),
	/* In 64-bit mode movsxd: see find_row. */
	[0x63] = ROW_SYS(OP_ARPL, .size = S_W, .t = T_MODRM | T_NO64 | T_RM_RW | T_REG_R, .attr = A_EV | A_GV),
	[0x68] = {.op = OP_PUSH, .class_ = CLASS_PUSH, .imm = I_Z, .t = T_D64, .rr = R_SP, .rw = R_SP},
	[0x69] = COPY(OP_IMUL2, .imm = I_Z, .fl = F_MUL, .t = T_MODRM | T_RM_R | T_REG_W, .attr = A_EV | A_GV),
	[0x6a] = {.op = OP_PUSH, .class_ = CLASS_PUSH, .imm = I_B, .t = T_D64, .rr = R_SP, .rw = R_SP},
	[0x6b] = COPY(OP_IMUL2, .imm = I_B, .fl = F_MUL, .t = T_MODRM | T_RM_R | T_REG_W, .attr = A_EV | A_GV),
	[0x6c] = ROW_SYS(OP_INS, .size = S_B, .t = T_STRING),
	[0x6d] = ROW_SYS(OP_INS, .t = T_STRING),
	[0x6e] = ROW_SYS(OP_OUTS, .size = S_B, .t = T_STRING),
	[0x6f] = ROW_SYS(OP_OUTS, .t = T_STRING),
	[0x70 ... 0x7f] = JCC(I_B),
	[0x80] = ROW_GROUP(G_80),
	[0x81] = ROW_GROUP(G_81),
	[0x82] = {.op = OP_COPY_ONLY, .class_ = CLASS_UD, .sub = G_80, .t = T_MODRM | T_GROUP | T_NO64},
	[0x83] = ROW_GROUP(G_83),
	[0x84] = COPY(OP_TEST, .size = S_B, .fl = F_LOGIC, .t = T_MODRM | T_RM_R | T_REG_R, .attr = A_EB | A_GB),
	[0x85] = COPY(OP_TEST, .fl = F_LOGIC, .t = T_MODRM | T_RM_R | T_REG_R, .attr = A_EV | A_GV),
	[0x86] = COPY(OP_XCHG, .size = S_B, .t = T_MODRM | T_RM_RW | T_REG_RW, .attr = A_EB | A_GB | ATTR_LOCK_OK),
	[0x87] = COPY(OP_XCHG, .t = T_MODRM | T_RM_RW | T_REG_RW, .attr = A_EV | A_GV | ATTR_LOCK_OK),
	[0x88] = COPY(OP_MOV, .size = S_B, .t = T_MODRM | T_RM_W | T_REG_R, .attr = A_EB | A_GB),
	[0x89] = COPY(OP_MOV, .t = T_MODRM | T_RM_W | T_REG_R, .attr = A_EV | A_GV),
	[0x8a] = COPY(OP_MOV, .size = S_B, .t = T_MODRM | T_RM_R | T_REG_W, .attr = A_EB | A_GB),
	[0x8b] = COPY(OP_MOV, .t = T_MODRM | T_RM_R | T_REG_W, .attr = A_EV | A_GV),
	[0x8c] = ROW_SYS(OP_MOV_FROM_SEG, .msize = M_2, .t = T_MODRM | T_RM_W, .attr = A_EV),
	[0x8d] = COPY(OP_LEA, .t = T_MODRM | T_MEM_ONLY | T_ADDR_ONLY | T_REG_W, .attr = A_GV),
	[0x8e] = ROW_SYS(OP_MOV_TO_SEG, .msize = M_2, .t = T_MODRM | T_RM_R, .attr = A_EV),
	[0x8f] = ROW_GROUP(G_8F),
	/* 90 without REX.B is a nop: see special_nop. */
	[0x90 ... 0x97] = COPY(OP_XCHG, .t = T_OPR_R | T_OPR_W, .attr = ATTR_OPREG_GPR, .rr = R_AX, .rw = R_AX),
	[0x98] = COPY(OP_CBW, .rr = R_AX, .rw = R_AX),
	[0x99] = COPY(OP_CWD, .rr = R_AX, .rw = R_DX),
	[0x9a] = ROW_SYS(OP_CALL_FAR, .imm = I_FAR, .t = T_NO64),
	[0x9b] = ROW_SYS(OP_FWAIT, .attr = ATTR_TRAPS),
	[0x9c] = FLAGS(OP_PUSHF, .fl = F_READ, .t = T_D64, .rr = R_SP, .rw = R_SP),
	[0x9d] = FLAGS(OP_POPF, .fl = F_ADD, .t = T_D64, .rr = R_SP, .rw = R_SP),
	[0x9e] = COPY(OP_SAHF, .size = S_B, .fl = F_SAHF, .rr = R_AX),
	[0x9f] = COPY(OP_LAHF, .size = S_B, .fl = F_LAHF, .rr = R_AX, .rw = R_AX),
	[0xa0] = COPY(OP_MOV, .size = S_B, .imm = I_MOFFS, .t = T_RM_R, .rr = R_AX, .rw = R_AX),
	[0xa1] = COPY(OP_MOV, .imm = I_MOFFS, .t = T_RM_R, .rw = R_AX),
	[0xa2] = COPY(OP_MOV, .size = S_B, .imm = I_MOFFS, .t = T_RM_W, .rr = R_AX),
	[0xa3] = COPY(OP_MOV, .imm = I_MOFFS, .t = T_RM_W, .rr = R_AX),
	[0xa4] = STR(OP_MOVS, S_B, F_NONE, R_SI | R_DI, R_SI | R_DI),
	[0xa5] = STR(OP_MOVS, S_V, F_NONE, R_SI | R_DI, R_SI | R_DI),
	[0xa6] = STR(OP_CMPS, S_B, F_STRCMP, R_SI | R_DI, R_SI | R_DI),
	[0xa7] = STR(OP_CMPS, S_V, F_STRCMP, R_SI | R_DI, R_SI | R_DI),
	[0xa8] = COPY(OP_TEST, .size = S_B, .imm = I_B, .fl = F_LOGIC, .rr = R_AX),
	[0xa9] = COPY(OP_TEST, .imm = I_Z, .fl = F_LOGIC, .rr = R_AX),
	[0xaa] = STR(OP_STOS, S_B, F_NONE, R_AX | R_DI, R_DI),
	[0xab] = STR(OP_STOS, S_V, F_NONE, R_AX | R_DI, R_DI),
	[0xac] = STR(OP_LODS, S_B, F_NONE, R_SI, R_AX | R_SI),
	[0xad] = STR(OP_LODS, S_V, F_NONE, R_SI, R_AX | R_SI),
	[0xae] = STR(OP_SCAS, S_B, F_STRCMP, R_AX | R_DI, R_DI),
	[0xaf] = STR(OP_SCAS, S_V, F_STRCMP, R_AX | R_DI, R_DI),
	[0xb0 ... 0xb7] = COPY(OP_MOV, .size = S_B, .imm = I_B, .t = T_OPR_W, .attr = ATTR_OPREG_GPR | ATTR_BYTE_REG),
	[0xb8 ... 0xbf] = COPY(OP_MOV, .imm = I_V, .t = T_OPR_W, .attr = ATTR_OPREG_GPR),
	[0xc0] = ROW_GROUP(G_C0),
	[0xc1] = ROW_GROUP(G_C1),
	[0xc2] = {.op = OP_RET, .class_ = CLASS_RET, .imm = I_UW, .t = T_F64, .rr = R_SP, .rw = R_SP},
	[0xc3] = {.op = OP_RET, .class_ = CLASS_RET, .t = T_F64, .rr = R_SP, .rw = R_SP},
	[0xc4] = ROW_SYS(OP_LDS_ETC, .msize = M_FAR, .t = T_MODRM | T_MEM_ONLY | T_NO64 | T_RM_R | T_REG_W, .attr = A_GV),
	[0xc5] = ROW_SYS(OP_LDS_ETC, .msize = M_FAR, .t = T_MODRM | T_MEM_ONLY | T_NO64 | T_RM_R | T_REG_W, .attr = A_GV),
	[0xc6] = ROW_GROUP(G_C6),
	[0xc7] = ROW_GROUP(G_C7),
	[0xc8] = ROW_SYS(OP_ENTER, .imm = I_ENTER, .t = T_D64),
	[0xc9] = {.op = OP_LEAVE, .class_ = CLASS_LEAVE, .t = T_D64, .rr = R_BP, .rw = R_BP | R_SP},
	[0xca] = ROW_SYS(OP_RET_FAR, .imm = I_UW),
	[0xcb] = ROW_SYS(OP_RET_FAR),
	[0xcc] = ROW_SYS(OP_INT3),
	[0xcd] = ROW_SYS(OP_INT, .imm = I_UB),
	[0xce] = ROW_SYS(OP_INTO, .t = T_NO64),
	[0xcf] = ROW_SYS(OP_IRET),
	[0xd0] = ROW_GROUP(G_D0),
	[0xd1] = ROW_GROUP(G_D1),
	[0xd2] = ROW_GROUP(G_D2),
	[0xd3] = ROW_GROUP(G_D3),
	[0xd4] = COPY(OP_AAM, .size = S_W, .imm = I_UB, .fl = F_AAM, .t = T_NO64, .attr = ATTR_TRAPS, .rr = R_AX, .rw = R_AX),
	[0xd5] = COPY(OP_AAD, .size = S_W, .imm = I_UB, .fl = F_AAM, .t = T_NO64, .rr = R_AX, .rw = R_AX),
	[0xd6] = COPY(OP_SALC, .size = S_B, .fl = F_RCF, .t = T_NO64, .rr = R_AX, .rw = R_AX),
	[0xd7] = ROW_SYS(OP_XLAT, .size = S_B),
	[0xd8 ... 0xdf] = {.op = OP_COPY_ONLY, .class_ = CLASS_COPY, .t = T_MODRM | T_X87},
	[0xe0] = LOOP(OP_LOOPNE, F_RZF),
	[0xe1] = LOOP(OP_LOOPE, F_RZF),
	[0xe2] = LOOP(OP_LOOP, F_NONE),
	[0xe3] = {.op = OP_JCXZ, .class_ = CLASS_LOOP, .imm = I_B, .t = T_F64, .rr = R_CX},
	[0xe4] = ROW_SYS(OP_IN, .size = S_B, .imm = I_UB),
	[0xe5] = ROW_SYS(OP_IN, .imm = I_UB),
	[0xe6] = ROW_SYS(OP_OUT, .size = S_B, .imm = I_UB),
	[0xe7] = ROW_SYS(OP_OUT, .imm = I_UB),
	[0xe8] = {.op = OP_CALL, .class_ = CLASS_CALL, .imm = I_Z, .t = T_F64, .rr = R_SP, .rw = R_SP},
	[0xe9] = {.op = OP_JMP, .class_ = CLASS_JMP, .imm = I_Z, .t = T_F64},
	[0xea] = ROW_SYS(OP_JMP_FAR, .imm = I_FAR, .t = T_NO64),
	[0xeb] = {.op = OP_JMP, .class_ = CLASS_JMP, .imm = I_B, .t = T_F64},
	[0xec] = ROW_SYS(OP_IN, .size = S_B),
	[0xed] = ROW_SYS(OP_IN),
	[0xee] = ROW_SYS(OP_OUT, .size = S_B),
	[0xef] = ROW_SYS(OP_OUT),
	[0xf1] = ROW_SYS(OP_INT1),
	[0xf4] = ROW_SYS(OP_HLT, .attr = ATTR_PRIV),
	[0xf5] = COPY(OP_CMC, .fl = F_CMC),
	[0xf6] = ROW_GROUP(G_F6),
	[0xf7] = ROW_GROUP(G_F7),
	[0xf8] = COPY(OP_CLC, .fl = F_WCF),
	[0xf9] = COPY(OP_STC, .fl = F_WCF),
	[0xfa] = FLAGS(OP_CLI),
	[0xfb] = FLAGS(OP_STI),
	[0xfc] = FLAGS(OP_CLD),
	[0xfd] = FLAGS(OP_STD),
	[0xfe] = ROW_GROUP(G_FE),
	[0xff] = ROW_GROUP(G_FF),
};

/* ---- groups ---------------------------------------------------------------------- */

/* Both halves of a group that does not care about mod. */
#define BOTH(...) {{__VA_ARGS__}, {__VA_ARGS__}}
#define GROUP_ALU(s, i, e)                                                                                      \
	BOTH(COPY(OP_ADD, .size = s, .imm = i, .fl = F_ADD, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK), \
	     COPY(OP_OR, .size = s, .imm = i, .fl = F_LOGIC, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK), \
	     COPY(OP_ADC, .size = s, .imm = i, .fl = F_ADC, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK), \
	     COPY(OP_SBB, .size = s, .imm = i, .fl = F_ADC, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK), \
	     COPY(OP_AND, .size = s, .imm = i, .fl = F_LOGIC, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK), \
	     COPY(OP_SUB, .size = s, .imm = i, .fl = F_ADD, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK), \
	     COPY(OP_XOR, .size = s, .imm = i, .fl = F_LOGIC, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK), \
	     COPY(OP_CMP, .size = s, .imm = i, .fl = F_ADD, .t = T_MODRM | T_RM_R, .attr = (e)))
#define SHIFT1(o, s, i, f, e, r) \
	COPY(o, .size = s, .imm = i, .fl = f, .t = T_MODRM | T_RM_RW, .attr = e, .rr = r)
#define GROUP_SHIFT(s, i, e, r)                                                                         \
	BOTH(SHIFT1(OP_ROL, s, i, F_ROT, e, r), SHIFT1(OP_ROR, s, i, F_ROT, e, r),                      \
	     SHIFT1(OP_RCL, s, i, F_RCX, e, r), SHIFT1(OP_RCR, s, i, F_RCX, e, r),                      \
	     SHIFT1(OP_SHL, s, i, F_SHIFT, e, r), SHIFT1(OP_SHR, s, i, F_SHIFT, e, r),                  \
	     SHIFT1(OP_SAL, s, i, F_SHIFT, e, r), SHIFT1(OP_SAR, s, i, F_SHIFT, e, r))
#define GROUP_UNARY(s, i, e, hi)                                                                                \
	BOTH(COPY(OP_TEST, .size = s, .imm = i, .fl = F_LOGIC, .t = T_MODRM | T_RM_R, .attr = e),               \
	     COPY(OP_TEST, .size = s, .imm = i, .fl = F_LOGIC, .t = T_MODRM | T_RM_R, .attr = e),               \
	     COPY(OP_NOT, .size = s, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK),                       \
	     COPY(OP_NEG, .size = s, .fl = F_ADD, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK),          \
	     COPY(OP_MUL, .size = s, .fl = F_MUL, .t = T_MODRM | T_RM_R, .attr = e, .rr = R_AX, .rw = R_AX | (hi)), \
	     COPY(OP_IMUL, .size = s, .fl = F_MUL, .t = T_MODRM | T_RM_R, .attr = e, .rr = R_AX, .rw = R_AX | (hi)), \
	     COPY(OP_DIV, .size = s, .fl = F_DIV, .t = T_MODRM | T_RM_R, .attr = (e) | ATTR_TRAPS,              \
		  .rr = R_AX | (hi), .rw = R_AX | (hi)),                                                        \
	     COPY(OP_IDIV, .size = s, .fl = F_DIV, .t = T_MODRM | T_RM_R, .attr = (e) | ATTR_TRAPS,             \
		  .rr = R_AX | (hi), .rw = R_AX | (hi)))
#define INCDEC(s, e)                                                                                         \
	COPY(OP_INC, .size = s, .fl = F_INC, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK),            \
	COPY(OP_DEC, .size = s, .fl = F_INC, .t = T_MODRM | T_RM_RW, .attr = (e) | ATTR_LOCK_OK)
#define CALL_IND \
	{.op = OP_CALL_IND, .class_ = CLASS_CALL_IND, .t = T_MODRM | T_F64 | T_RM_R, .attr = A_EV, .rr = R_SP, .rw = R_SP}
#define JMP_IND {.op = OP_JMP_IND, .class_ = CLASS_JMP_IND, .t = T_MODRM | T_F64 | T_RM_R, .attr = A_EV}
#define PUSH_E {.op = OP_PUSH, .class_ = CLASS_PUSH, .t = T_MODRM | T_D64 | T_RM_R, .attr = A_EV, .rr = R_SP, .rw = R_SP}
#define POP_E {.op = OP_POP, .class_ = CLASS_POP, .t = T_MODRM | T_D64 | T_RM_W, .attr = A_EV, .rr = R_SP, .rw = R_SP}
#define FAR_M(o) ROW_SYS(o, .msize = M_FAR, .t = T_MODRM | T_MEM_ONLY | T_RM_R)
#define SEL_R(o, p) ROW_SYS(o, .size = S_W, .msize = M_2, .t = T_MODRM | T_RM_R, .attr = A_EV | (p))
#define SEL_W(o) ROW_SYS(o, .msize = M_2, .t = T_MODRM | T_RM_W, .attr = A_EV)
#define DT(o, access, p) ROW_SYS(o, .msize = M_DT, .t = T_MODRM | T_F64 | T_MEM_ONLY | (access), .attr = p)
#define BT_IMM(o, acc, lk) COPY(o, .imm = I_UB, .fl = F_BT, .t = T_MODRM | (acc), .attr = A_EV | (lk))
#define GPR_W(o) ROW_SYS(o, .t = T_MODRM | T_REG_ONLY | T_RM_W, .attr = A_EV)
#define SAVE(o, access, p) ROW_SYS(o, .msize = M_0, .t = T_MODRM | T_MEM_ONLY | (access), .attr = p)
#define FSBASE(o, access) ROW_SYS(o, .size = S_DQ, .t = T_MODRM | T_REG_ONLY | T_ONLY64 | (access), .attr = A_EV)
#define FLUSH COPY(OP_CLFLUSH, .msize = M_1, .t = T_MODRM | T_MEM_ONLY | T_RM_R)
#define MXCSR(access, ...) \
	COPY(OP_COPY_ONLY, .msize = M_4, .t = T_MODRM | T_MEM_ONLY | (access), .attr = ATTR_SSE | ATTR_TRAPS, __VA_ARGS__)
#define FENCE COPY(OP_FENCE, .t = T_MODRM | T_REG_ONLY)
#define NOP_E COPY(OP_NOP, .t = T_MODRM | T_ADDR_ONLY)
#define PREFETCH COPY(OP_PREFETCH, .t = T_MODRM | T_ADDR_ONLY)
/* Shifts of vector registers by an immediate. */
#define MMX_SHIFT COPY(OP_COPY_ONLY, .imm = I_UB, .t = T_MODRM | T_REG_ONLY, .attr = ATTR_FPU)
#define SSE_SHIFT COPY(OP_COPY_ONLY, .imm = I_UB, .t = T_MODRM | T_REG_ONLY | T_VEX, .attr = ATTR_SSE)
#define BLS(o) \
	COPY(o, .size = S_DQ, .fl = F_BZHI, .t = T_MODRM | T_VEX | T_RM_R | T_V_W | T_L0, .attr = A_EV | ATTR_VVVV_GPR)

const struct row decode_groups[G_COUNT][2][8] = {
	[G_80] = GROUP_ALU(S_B, I_B, A_EB),
	[G_81] = GROUP_ALU(S_V, I_Z, A_EV),
	[G_83] = GROUP_ALU(S_V, I_B, A_EV),
	[G_8F] = BOTH(POP_E),
	[G_C0] = GROUP_SHIFT(S_B, I_UB, A_EB, 0),
	[G_C1] = GROUP_SHIFT(S_V, I_UB, A_EV, 0),
	[G_D0] = GROUP_SHIFT(S_B, I_NONE, A_EB, 0),
	[G_D1] = GROUP_SHIFT(S_V, I_NONE, A_EV, 0),
	[G_D2] = GROUP_SHIFT(S_B, I_NONE, A_EB, R_CX),
	[G_D3] = GROUP_SHIFT(S_V, I_NONE, A_EV, R_CX),
	[G_C6] = BOTH(COPY(OP_MOV, .size = S_B, .imm = I_B, .t = T_MODRM | T_RM_W, .attr = A_EB)),
	[G_C7] = BOTH(COPY(OP_MOV, .imm = I_Z, .t = T_MODRM | T_RM_W, .attr = A_EV)),
	[G_F6] = GROUP_UNARY(S_B, I_B, A_EB, 0),
	[G_F7] = GROUP_UNARY(S_V, I_Z, A_EV, R_DX),
	[G_FE] = BOTH(INCDEC(S_B, A_EB)),
	[G_FF] = BOTH(INCDEC(S_V, A_EV), CALL_IND, FAR_M(OP_CALL_FAR), JMP_IND, FAR_M(OP_JMP_FAR), PUSH_E),
	[G_0F00] = BOTH(SEL_W(OP_SLDT), SEL_W(OP_STR), SEL_R(OP_LLDT, ATTR_PRIV), SEL_R(OP_LTR, ATTR_PRIV),
			SEL_R(OP_VERR, 0), SEL_R(OP_VERW, 0)),
	/* The register half is decode_0f01_reg. */
	[G_0F01] = {{DT(OP_SGDT, T_RM_W, 0), DT(OP_SIDT, T_RM_W, 0), DT(OP_LGDT, T_RM_R, ATTR_PRIV),
		     DT(OP_LIDT, T_RM_R, ATTR_PRIV), SEL_W(OP_SMSW), {0}, SEL_R(OP_LMSW, ATTR_PRIV),
		     ROW_SYS(OP_INVLPG, .t = T_MODRM | T_ADDR_ONLY, .attr = ATTR_PRIV)}},
	[G_0FBA] = BOTH({0}, {0}, {0}, {0}, BT_IMM(OP_BT, T_RM_R, 0), BT_IMM(OP_BTS, T_RM_RW, ATTR_LOCK_OK),
			BT_IMM(OP_BTR, T_RM_RW, ATTR_LOCK_OK), BT_IMM(OP_BTC, T_RM_RW, ATTR_LOCK_OK)),
	[G_0FC7] = {{{0},
		     COPY(OP_CMPXCHG8B, .size = S_DQ, .msize = M_CX, .fl = F_ZF, .t = T_MODRM | T_MEM_ONLY | T_RM_RW,
			  .attr = ATTR_LOCK_OK, .rr = R_AX | R_BX | R_CX | R_DX, .rw = R_AX | R_DX),
		     {0},
		     SAVE(OP_XRSTORS, T_RM_R, ATTR_PRIV),
		     SAVE(OP_XSAVEC, T_RM_W, 0),
		     SAVE(OP_XSAVES, T_RM_W, ATTR_PRIV)},
		    {[6] = GPR_W(OP_RDRAND), [7] = GPR_W(OP_RDSEED)}},
	[G_0FC7_F3] = {{{0}}, {[7] = ROW_SYS(OP_RDPID, .t = T_MODRM | T_F64 | T_REG_ONLY | T_RM_W, .attr = A_EV)}},
	[G_0FAE] = {{SAVE(OP_FXSAVE, T_RM_W, 0), SAVE(OP_FXRSTOR, T_RM_R, 0), MXCSR(T_RM_R), MXCSR(T_RM_W),
		     SAVE(OP_XSAVE, T_RM_W, 0), SAVE(OP_XRSTOR, T_RM_R, 0), SAVE(OP_XSAVEOPT, T_RM_W, 0), FLUSH},
		    {[5] = FENCE, [6] = FENCE, [7] = FENCE}},
	[G_0FAE_66] = {{[6] = FLUSH, [7] = FLUSH}},
	[G_0FAE_F3] = {{{0}},
		       {FSBASE(OP_RDFSBASE, T_RM_W), FSBASE(OP_RDGSBASE, T_RM_W), FSBASE(OP_WRFSBASE, T_RM_R),
			FSBASE(OP_WRGSBASE, T_RM_R)}},
	[G_0F71] = {{{0}}, {[2] = MMX_SHIFT, [4] = MMX_SHIFT, [6] = MMX_SHIFT}},
	[G_0F71_66] = {{{0}}, {[2] = SSE_SHIFT, [4] = SSE_SHIFT, [6] = SSE_SHIFT}},
	[G_0F72] = {{{0}}, {[2] = MMX_SHIFT, [4] = MMX_SHIFT, [6] = MMX_SHIFT}},
	[G_0F72_66] = {{{0}}, {[2] = SSE_SHIFT, [4] = SSE_SHIFT, [6] = SSE_SHIFT}},
	[G_0F73] = {{{0}}, {[2] = MMX_SHIFT, [6] = MMX_SHIFT}},
	[G_0F73_66] = {{{0}}, {[2] = SSE_SHIFT, [3] = SSE_SHIFT, [6] = SSE_SHIFT, [7] = SSE_SHIFT}},
	[G_VAE] = {{[2] = MXCSR(T_RM_R | T_L0 | T_NOV | T_VEX), [3] = MXCSR(T_RM_W | T_L0 | T_NOV | T_VEX)}},
	[G_VBLS] = BOTH({0}, BLS(OP_BLSR), BLS(OP_BLSMSK), BLS(OP_BLSI)),
	[G_0F18] = {{PREFETCH, PREFETCH, PREFETCH, PREFETCH, NOP_E, NOP_E, NOP_E, NOP_E},
		    {NOP_E, NOP_E, NOP_E, NOP_E, NOP_E, NOP_E, NOP_E, NOP_E}},
};

#define REG01(o, p) ROW_SYS(o, .t = T_MODRM, .attr = p)

const struct row decode_0f01_reg[64] = {
	[0x01] = REG01(OP_VMCALL, 0),
	[0x08] = REG01(OP_MONITOR, ATTR_PRIV),
	[0x09] = REG01(OP_MWAIT, ATTR_PRIV),
	[0x0a] = REG01(OP_CLAC, 0),
	[0x0b] = REG01(OP_STAC, 0),
	[0x10] = REG01(OP_XGETBV, 0),
	[0x11] = REG01(OP_XSETBV, ATTR_PRIV),
	[0x19] = REG01(OP_VMMCALL, 0),
	[0x20 ... 0x27] = SEL_W(OP_SMSW),
	[0x2e] = REG01(OP_RDPKRU, 0),
	[0x2f] = REG01(OP_WRPKRU, 0),
	[0x30 ... 0x37] = SEL_R(OP_LMSW, ATTR_PRIV),
	[0x38] = ROW_SYS(OP_SWAPGS, .t = T_MODRM | T_ONLY64, .attr = ATTR_PRIV),
	[0x39] = REG01(OP_RDTSCP, 0),
};

/* ---- x87 --------------------------------------------------------------------------- */

#define FP(m, access) \
	COPY(OP_COPY_ONLY, .size = S_D, .msize = m, .t = T_MODRM | T_X87 | (access), .attr = ATTR_FPU | ATTR_TRAPS)
#define FP_R(m) FP(m, T_RM_R)
#define FP_W(m) FP(m, T_RM_W)
#define FP_ENV(access) ROW_SYS(OP_FSAVE, .msize = M_0, .t = T_MODRM | T_X87 | (access), .attr = ATTR_FPU | ATTR_TRAPS)
#define FP_R8(m) {FP_R(m), FP_R(m), FP_R(m), FP_R(m), FP_R(m), FP_R(m), FP_R(m), FP_R(m)}

const struct row decode_x87[8][8] = {
	FP_R8(M_4),
	{FP_R(M_4), {0}, FP_W(M_4), FP_W(M_4), FP_ENV(T_RM_R), FP_R(M_2), FP_ENV(T_RM_W), FP_W(M_2)},
	FP_R8(M_4),
	{FP_R(M_4), FP_W(M_4), FP_W(M_4), FP_W(M_4), {0}, FP_R(M_10), {0}, FP_W(M_10)},
	FP_R8(M_8),
	{FP_R(M_8), FP_W(M_8), FP_W(M_8), FP_W(M_8), FP_ENV(T_RM_R), {0}, FP_ENV(T_RM_W), FP_W(M_2)},
	FP_R8(M_2),
	{FP_R(M_2), FP_W(M_2), FP_W(M_2), FP_W(M_2), FP_R(M_10), FP_R(M_8), FP_W(M_10), FP_W(M_8)},
};

/* Bit n: modrm c0 + n. Undocumented aliases that all processors have are valid. */
const uint64_t decode_x87_reg[8] = {
	0xffffffffffffffff, /* d8 */
	0xffff7f33ff01ffff, /* d9: fld fxch fnop (fstp1) fchs fabs ftst fxam, constants, functions */
	0x00000200ffffffff, /* da: fcmov fucompp */
	0x00ffff1fffffffff, /* db: fcmovn, control, fucomi fcomi */
	0xffffffffffffffff, /* dc */
	0x0000ffffffffffff, /* dd: ffree (fxch4) fst fstp fucom fucomp */
	0xffffffff02ffffff, /* de: faddp fmulp (fcomp5) fcompp, the rest */
	0x00ffff01ffffffff, /* df: ffreep (aliases) fnstsw, fucomip fcomip */
};

/* ---- flags ------------------------------------------------------------------------- */

#define NOT_CF (FL_ARITH & ~FL_CF)

const struct fl_effect decode_fl[F_TABLE_END] = {
	[F_ADD] = {0, FL_ARITH, 0},
	[F_ADC] = {FL_CF, FL_ARITH, 0},
	[F_LOGIC] = {0, FL_ARITH & ~FL_AF, FL_AF},
	[F_INC] = {0, NOT_CF, 0},
	[F_MUL] = {0, FL_CF | FL_OF, FL_SF | FL_ZF | FL_AF | FL_PF},
	[F_DIV] = {0, 0, FL_ARITH},
	[F_BT] = {0, FL_CF, FL_OF | FL_SF | FL_AF | FL_PF},
	[F_BSF] = {0, FL_ZF, FL_ARITH & ~FL_ZF},
	[F_TZCNT] = {0, FL_CF | FL_ZF, FL_OF | FL_SF | FL_AF | FL_PF},
	[F_ANDN] = {0, FL_SF | FL_ZF | FL_OF | FL_CF, FL_AF | FL_PF},
	[F_BEXTR] = {0, FL_ZF | FL_OF | FL_CF, FL_AF | FL_PF | FL_SF},
	[F_BZHI] = {0, FL_ZF | FL_CF | FL_SF | FL_OF, FL_AF | FL_PF},
	[F_ZF] = {0, FL_ZF, 0},
	[F_RCF] = {FL_CF, 0, 0},
	[F_WCF] = {0, FL_CF, 0},
	[F_CMC] = {FL_CF, FL_CF, 0},
	[F_LAHF] = {FL_ARITH & ~FL_OF, 0, 0},
	[F_SAHF] = {0, FL_ARITH & ~FL_OF, 0},
	[F_DAA] = {FL_CF | FL_AF, FL_ARITH & ~FL_OF, FL_OF},
	[F_AAA] = {FL_AF, FL_AF | FL_CF, FL_OF | FL_SF | FL_ZF | FL_PF},
	[F_AAM] = {0, FL_SF | FL_ZF | FL_PF, FL_OF | FL_AF | FL_CF},
	[F_ADOX] = {FL_OF, FL_OF, 0},
	[F_READ] = {FL_ARITH, 0, 0},
	[F_RZF] = {FL_ZF, 0, 0},
	[F_FCOMI] = {0, FL_ZF | FL_PF | FL_CF, FL_OF | FL_SF | FL_AF},
};
