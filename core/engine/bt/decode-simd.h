/* SPDX-License-Identifier: MIT */
/*
 * Row macros of the vector instructions, shared by the 0F tables. Private to
 * decode-table-*.c.
 *
 * The third letter of a name is the operand in modrm.rm: read (R), written (W)
 * or none; the size of its memory form is the argument.
 */
/* clang-format off: tables */
#ifndef BT_DECODE_SIMD_H
#define BT_DECODE_SIMD_H

#include "decode-table.h"

#define VEC(m, tt, at, ...) \
	{.op = OP_COPY_ONLY, .class_ = CLASS_COPY, .size = S_DQ, .msize = m, .t = T_MODRM | (tt), .attr = at, __VA_ARGS__}

#define UB .imm = I_UB
#define ATR ATTR_TRAPS

/* MMX */
#define MMX(m, ...) VEC(m, T_RM_R, ATTR_FPU, __VA_ARGS__)

/* SSE with an aligned operand; VEX form of three operands (3) or two (2), with L = 0 only (L). */
#define SSE(m, at, ...) VEC(m, T_RM_R, ATTR_SSE | (at), __VA_ARGS__)
#define SSE3(m, at, ...) VEC(m, T_RM_R | T_VEX, ATTR_SSE | (at), __VA_ARGS__)
#define SSE2(m, at, ...) VEC(m, T_RM_R | T_VEX | T_NOV, ATTR_SSE | (at), __VA_ARGS__)
#define SSE3L(m, at, ...) VEC(m, T_RM_R | T_VEX | T_L0, ATTR_SSE | (at), __VA_ARGS__)
#define SSE2L(m, at, ...) VEC(m, T_RM_R | T_VEX | T_NOV | T_L0, ATTR_SSE | (at), __VA_ARGS__)
#define AL ATTR_ALIGNED

/* VEX only */
#define AVX3(m, at, tt, ...) VEC(m, T_RM_R | T_VEX | (tt), at, __VA_ARGS__)
#define AVX2(m, at, tt, ...) VEC(m, T_RM_R | T_VEX | T_NOV | (tt), at, __VA_ARGS__)
#define AVX2W(m, at, tt, ...) VEC(m, T_RM_W | T_VEX | T_NOV | (tt), at, __VA_ARGS__)

enum { PP_NONE, PP_66, PP_F3, PP_F2 };

#endif
