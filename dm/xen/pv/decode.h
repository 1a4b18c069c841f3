/* SPDX-License-Identifier: MIT */
/* As much of x86 as a privileged instruction needs. */
#ifndef DM_XEN_PV_DECODE_H
#define DM_XEN_PV_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#define PV_INSN_MAX 15u

struct pv_insn {
	uint16_t opcode;   /* 0x0f00 and the second byte for two-byte ones */
	uint8_t modrm;     /* of those that have it */
	uint8_t imm8;
	uint8_t len;
	uint8_t opsize;    /* bytes: 2, 4, 8 */
	uint8_t addrsize;  /* bytes: 2, 4, 8 */
	uint8_t reg, rm;   /* of modrm, with REX */
	uint8_t segment;   /* enum gamut_seg of the override, or PV_NO_SEGMENT */
	bool rep;
};

#define PV_NO_SEGMENT 0xff

/*
 * code has n bytes; code64: 64-bit code, else 32-bit. False when this is none
 * of the instructions that emulate.c knows, or not all of it is there. Pure.
 */
bool pv_decode(const uint8_t *code, uint32_t n, bool code64, struct pv_insn *in);

#endif
