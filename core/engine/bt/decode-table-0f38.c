/* SPDX-License-Identifier: MIT */
/*
 * Opcode maps 0F38 and 0F3A: SSSE3, SSE4, AES, SHA, AVX, AVX2, FMA, F16C, BMI.
 */
/* clang-format off: tables */
#include "decode-simd.h"

#define COPY(o, ...) {.op = o, .class_ = CLASS_COPY, __VA_ARGS__}
#define INT SSE3(M_VL, AL)
#define INT2 SSE2(M_VL, AL)
#define EXTEND(m) SSE2(m, 0)
#define MOVBE_(acc) COPY(OP_MOVBE, .t = T_MODRM | T_MEM_ONLY | (acc), .attr = A_GV)
#define CRC(s, at) COPY(OP_CRC32, .size = s, .t = T_MODRM | T_RM_R | T_REG_RW, .attr = A_GV | (at))
#define ADX(o, f) COPY(o, .size = S_DQ, .fl = f, .t = T_MODRM | T_RM_R | T_REG_RW, .attr = A_EV | A_GV)

const struct row decode_0f38[4][256] = {
	[PP_NONE] = {
		[0x00 ... 0x0b] = MMX(M_8),
		[0x1c ... 0x1e] = MMX(M_8),
		[0xc8 ... 0xcd] = SSE(M_16, 0), /* sha: AMD checks no alignment */
		[0xf0] = MOVBE_(T_RM_R | T_REG_W),
		[0xf1] = MOVBE_(T_RM_W | T_REG_R),
	},
	[PP_66] = {
		[0x00 ... 0x0b] = INT,
		[0x10] = SSE(M_16, AL),
		[0x14] = SSE(M_16, AL),
		[0x15] = SSE(M_16, AL),
		[0x17] = SSE2(M_VL, AL, .fl = F_ADD),
		[0x1c ... 0x1e] = INT2,
		[0x20] = EXTEND(M_VL2),
		[0x21] = EXTEND(M_VL4),
		[0x22] = EXTEND(M_VL8),
		[0x23] = EXTEND(M_VL2),
		[0x24] = EXTEND(M_VL4),
		[0x25] = EXTEND(M_VL2),
		[0x28 ... 0x29] = INT,
		[0x2a] = VEC(M_VL, T_RM_R | T_MEM_ONLY | T_VEX | T_NOV | T_VALIGN, ATTR_SSE | AL),
		[0x2b] = INT,
		[0x30] = EXTEND(M_VL2),
		[0x31] = EXTEND(M_VL4),
		[0x32] = EXTEND(M_VL8),
		[0x33] = EXTEND(M_VL2),
		[0x34] = EXTEND(M_VL4),
		[0x35] = EXTEND(M_VL2),
		[0x37] = INT,
		[0x38 ... 0x40] = INT,
		[0x41] = SSE2L(M_16, AL),
		[0x82] = ROW_SYS(OP_INVPCID, .msize = M_16, .t = T_MODRM | T_MEM_ONLY | T_RM_R | T_F64, .attr = A_GV | ATTR_PRIV),
		[0xdb] = SSE2L(M_16, AL), /* aes */
		[0xdc ... 0xdf] = SSE3L(M_16, AL),
		[0xf0] = MOVBE_(T_RM_R | T_REG_W),
		[0xf1] = MOVBE_(T_RM_W | T_REG_R),
		[0xf6] = ADX(OP_ADCX, F_CMC),
	},
	[PP_F3] = {
		[0xf6] = ADX(OP_ADOX, F_ADOX),
	},
	[PP_F2] = {
		[0xf0] = CRC(S_B, A_EB),
		[0xf1] = CRC(S_V, A_EV),
	},
};

const struct row decode_0f3a[4][256] = {
	[PP_NONE] = {
		[0x0f] = MMX(M_8, UB),
		[0xcc] = SSE(M_16, 0, UB), /* sha1rnds4 */
	},
	[PP_66] = {
		[0x08] = SSE2(M_VL, AL | ATR, UB),
		[0x09] = SSE2(M_VL, AL | ATR, UB),
		[0x0a] = SSE3(M_4, ATR, UB),
		[0x0b] = SSE3(M_8, ATR, UB),
		[0x0c ... 0x0f] = SSE3(M_VL, AL, UB),
		[0x14] = VEC(M_1, T_RM_W | T_VEX | T_NOV | T_L0, ATTR_SSE | A_EV, UB),
		[0x15] = VEC(M_2, T_RM_W | T_VEX | T_NOV | T_L0, ATTR_SSE | A_EV, UB),
		[0x16] = VEC(M_DQ, T_RM_W | T_VEX | T_NOV | T_L0, ATTR_SSE | A_EV, UB),
		[0x17] = VEC(M_4, T_RM_W | T_VEX | T_NOV | T_L0, ATTR_SSE | A_EV, UB),
		[0x20] = VEC(M_1, T_RM_R | T_VEX | T_L0, ATTR_SSE | A_EV, UB),
		[0x21] = SSE3L(M_4, 0, UB),
		[0x22] = VEC(M_DQ, T_RM_R | T_VEX | T_L0, ATTR_SSE | A_EV, UB),
		[0x40] = SSE3(M_VL, AL | ATR, UB),
		[0x41] = SSE3L(M_16, AL | ATR, UB),
		[0x42] = SSE3(M_VL, AL, UB),
		[0x44] = SSE3L(M_16, AL, UB),
		[0x60] = SSE2L(M_16, 0, UB, .fl = F_ADD, .rr = R_AX | R_DX),
		[0x61] = SSE2L(M_16, 0, UB, .fl = F_ADD, .rr = R_AX | R_DX, .rw = R_CX),
		[0x62] = SSE2L(M_16, 0, UB, .fl = F_ADD),
		[0x63] = SSE2L(M_16, 0, UB, .fl = F_ADD, .rw = R_CX),
		[0xdf] = SSE2L(M_16, AL, UB),
	},
};

/* ---- VEX only ---------------------------------------------------------------------- */

/* Suppressed faults of masked elements: the interpreter's. */
#define MASKED(acc, w) \
	{.op = OP_COPY_ONLY, .class_ = CLASS_SYS, .size = S_DQ, .msize = M_VL, \
	 .t = T_MODRM | T_MEM_ONLY | T_VEX | T_MASKED | (acc) | (w)}
#define GATHER \
	{.op = OP_COPY_ONLY, .class_ = CLASS_SYS, .size = S_DQ, .msize = M_0, \
	 .t = T_MODRM | T_MEM_ONLY | T_VEX | T_RM_R, .attr = ATTR_VSIB}
#define FMA_P AVX3(M_VL, ATR, 0)
#define FMA_S AVX3(M_W, ATR, 0)
/* 96-9f and so on: packed fmaddsub, fmsubadd, then fmadd, fmsub, fnmadd, fnmsub packed and scalar. */
#define FMA_ROWS(b) \
	[(b) + 6 ... (b) + 8] = FMA_P, [(b) + 9] = FMA_S, [(b) + 0xa] = FMA_P, [(b) + 0xb] = FMA_S, \
	[(b) + 0xc] = FMA_P, [(b) + 0xd] = FMA_S, [(b) + 0xe] = FMA_P, [(b) + 0xf] = FMA_S
#define BMI_RVM(o, f) \
	COPY(o, .size = S_DQ, .fl = f, .t = T_MODRM | T_VEX | T_L0 | T_RM_R | T_REG_W | T_V_R, \
	     .attr = A_EV | A_GV | ATTR_VVVV_GPR)

const struct row decode_vex_0f38[4][256] = {
	[PP_NONE] = {
		[0xf2] = BMI_RVM(OP_ANDN, F_ANDN),
		[0xf3] = {.op = OP_COPY_ONLY, .class_ = CLASS_UD, .sub = G_VBLS, .t = T_MODRM | T_GROUP | T_VEX},
		[0xf5] = BMI_RVM(OP_BZHI, F_BZHI),
		[0xf7] = BMI_RVM(OP_BEXTR, F_BEXTR),
	},
	[PP_66] = {
		[0x0c ... 0x0d] = AVX3(M_VL, 0, T_W0),
		[0x0e ... 0x0f] = AVX2(M_VL, 0, T_W0, .fl = F_ADD),
		[0x13] = AVX2(M_VL2, ATR, T_W0),
		[0x16] = AVX3(M_VL, 0, T_W0 | T_L1),
		[0x18] = AVX2(M_4, 0, T_W0),
		[0x19] = AVX2(M_8, 0, T_W0 | T_L1),
		[0x1a] = AVX2(M_16, 0, T_W0 | T_L1 | T_MEM_ONLY),
		[0x2c] = MASKED(T_RM_R, T_W0),
		[0x2d] = MASKED(T_RM_R, T_W0),
		[0x2e] = MASKED(T_RM_W, T_W0),
		[0x2f] = MASKED(T_RM_W, T_W0),
		[0x36] = AVX3(M_VL, 0, T_W0 | T_L1),
		[0x45] = AVX3(M_VL, 0, 0),
		[0x46] = AVX3(M_VL, 0, T_W0),
		[0x47] = AVX3(M_VL, 0, 0),
		[0x58] = AVX2(M_4, 0, T_W0),
		[0x59] = AVX2(M_8, 0, T_W0),
		[0x5a] = AVX2(M_16, 0, T_W0 | T_L1 | T_MEM_ONLY),
		[0x78] = AVX2(M_1, 0, T_W0),
		[0x79] = AVX2(M_2, 0, T_W0),
		[0x8c] = MASKED(T_RM_R, 0),
		[0x8e] = MASKED(T_RM_W, 0),
		[0x90 ... 0x93] = GATHER,
		FMA_ROWS(0x90),
		FMA_ROWS(0xa0),
		FMA_ROWS(0xb0),
		[0xf7] = BMI_RVM(OP_SHLX, F_NONE),
	},
	[PP_F3] = {
		[0xf5] = BMI_RVM(OP_PEXT, F_NONE),
		[0xf7] = BMI_RVM(OP_SARX, F_NONE),
	},
	[PP_F2] = {
		[0xf5] = BMI_RVM(OP_PDEP, F_NONE),
		[0xf6] = COPY(OP_MULX, .size = S_DQ, .t = T_MODRM | T_VEX | T_L0 | T_RM_R | T_REG_W | T_V_W,
			      .attr = A_EV | A_GV | ATTR_VVVV_GPR, .rr = R_DX),
		[0xf7] = BMI_RVM(OP_SHRX, F_NONE),
	},
};

const struct row decode_vex_0f3a[4][256] = {
	[PP_66] = {
		[0x00 ... 0x01] = AVX2(M_VL, 0, T_W1 | T_L1, UB),
		[0x02] = AVX3(M_VL, 0, T_W0, UB),
		[0x04 ... 0x05] = AVX2(M_VL, 0, T_W0, UB),
		[0x06] = AVX3(M_VL, 0, T_W0 | T_L1, UB),
		[0x18] = AVX3(M_16, 0, T_W0 | T_L1, UB),
		[0x19] = AVX2W(M_16, 0, T_W0 | T_L1, UB),
		[0x1d] = AVX2W(M_VL2, ATR, T_W0, UB),
		[0x38] = AVX3(M_16, 0, T_W0 | T_L1, UB),
		[0x39] = AVX2W(M_16, 0, T_W0 | T_L1, UB),
		[0x46] = AVX3(M_VL, 0, T_W0 | T_L1, UB),
		[0x4a ... 0x4c] = AVX3(M_VL, 0, T_W0, UB),
	},
	[PP_F2] = {
		[0xf0] = COPY(OP_RORX, .size = S_DQ, .imm = I_UB, .t = T_MODRM | T_VEX | T_NOV | T_L0 | T_RM_R | T_REG_W,
			      .attr = A_EV | A_GV),
	},
};
