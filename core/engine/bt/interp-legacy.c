/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic that 64-bit mode does not have, so that no stub can run it.
 * Flags that the manual leaves undefined are cleared, or kept where said.
 */
#include "engine/bt/interp-internal.h"

static uint64_t szp_flags(uint8_t al)
{
	return (al & 0x80u) | (al ? 0 : FL_ZF) | (__builtin_parity(al) ? 0 : FL_PF);
}

static void daa_das(struct bt_vcpu *v, bool subtract)
{
	uint8_t old = (uint8_t)v->gpr[RAX], al = old;
	bool cf = v->rflags & FL_CF, carry = cf || old > 0x99;
	bool adjust = (old & 15) > 9 || (v->rflags & FL_AF);
	uint8_t by = (adjust ? 6 : 0) | (carry ? 0x60 : 0);

	/* das: the low adjustment may borrow into CF by itself */
	if (subtract && adjust && !carry)
		carry = old < 6;
	al = (uint8_t)(subtract ? old - by : old + by);
	set_gpr(v, RAX, al, 1);
	set_arith(v, szp_flags(al) | (carry ? FL_CF : 0) | (adjust ? FL_AF : 0), FL_ARITH);
}

static void aaa_aas(struct bt_vcpu *v, bool subtract)
{
	uint16_t ax = (uint16_t)v->gpr[RAX];
	bool adjust = (ax & 15) > 9 || (v->rflags & FL_AF);

	if (adjust)
		ax = (uint16_t)(subtract ? ax - 0x106 : ax + 0x106);
	ax &= 0xff0f;
	set_gpr(v, RAX, ax, 2);
	set_arith(v, szp_flags((uint8_t)ax) | (adjust ? FL_CF | FL_AF : 0), FL_ARITH);
}

static enum bt_step aam(struct bt_vcpu *v, uint8_t base)
{
	uint8_t al = (uint8_t)v->gpr[RAX];

	if (!base)
		return bt_fault(v, EXC_DE);
	set_gpr(v, RAX, (uint64_t)(al / base) << 8 | al % base, 2);
	set_arith(v, szp_flags(al % base), FL_ARITH);
	return STEP_OK;
}

static void aad(struct bt_vcpu *v, uint8_t base)
{
	uint16_t ax = (uint16_t)v->gpr[RAX];
	uint8_t al = (uint8_t)((ax & 0xff) + (ax >> 8) * base);

	set_gpr(v, RAX, al, 2);
	set_arith(v, szp_flags(al), FL_ARITH);
}

enum bt_step interp_legacy(struct bt_vcpu *v, struct interp *x)
{
	switch (x->in.op) {
	case OP_DAA:
	case OP_DAS:
		daa_das(v, x->in.op == OP_DAS);
		return STEP_OK;
	case OP_AAA:
	case OP_AAS:
		aaa_aas(v, x->in.op == OP_AAS);
		return STEP_OK;
	case OP_AAM:
		return aam(v, (uint8_t)x->in.imm);
	case OP_AAD:
		aad(v, (uint8_t)x->in.imm);
		return STEP_OK;
	default: /* salc */
		set_gpr(v, RAX, v->rflags & FL_CF ? 0xff : 0, 1);
		return STEP_OK;
	}
}
