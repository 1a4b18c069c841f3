/* SPDX-License-Identifier: MIT */
#include "dm/xen/pv/decode.h"

#include "gamut/host.h"

#include <string.h>

/* What comes behind an opcode. */
enum { FORM_NONE, FORM_PLAIN, FORM_IMM8, FORM_MODRM };

static const uint8_t one_byte[256] = {
	[0x6c] = FORM_PLAIN, [0x6d] = FORM_PLAIN, [0x6e] = FORM_PLAIN, [0x6f] = FORM_PLAIN, /* ins, outs */
	[0xe4] = FORM_IMM8,  [0xe5] = FORM_IMM8,  [0xe6] = FORM_IMM8,  [0xe7] = FORM_IMM8,  /* in, out imm8 */
	[0xec] = FORM_PLAIN, [0xed] = FORM_PLAIN, [0xee] = FORM_PLAIN, [0xef] = FORM_PLAIN, /* in, out dx */
	[0xfa] = FORM_PLAIN, [0xfb] = FORM_PLAIN,                                           /* cli, sti */
};

static const uint8_t two_byte[256] = {
	[0x01] = FORM_MODRM,                                                                /* xsetbv, rdtscp */
	[0x06] = FORM_PLAIN, [0x09] = FORM_PLAIN,                                           /* clts, wbinvd */
	[0x20] = FORM_MODRM, [0x21] = FORM_MODRM, [0x22] = FORM_MODRM, [0x23] = FORM_MODRM, /* mov cr, dr */
	[0x30] = FORM_PLAIN, [0x31] = FORM_PLAIN, [0x32] = FORM_PLAIN,                      /* wrmsr rdtsc rdmsr */
	[0xa2] = FORM_PLAIN,                                                                /* cpuid */
};

struct prefixes {
	uint8_t rex;
	bool size16, address;
};

static uint8_t override(uint8_t byte)
{
	switch (byte) {
	case 0x26:
		return GAMUT_ES;
	case 0x2e:
		return GAMUT_CS;
	case 0x36:
		return GAMUT_SS;
	case 0x3e:
		return GAMUT_DS;
	case 0x64:
		return GAMUT_FS;
	case 0x65:
		return GAMUT_GS;
	default:
		return PV_NO_SEGMENT;
	}
}

/* False when byte is no prefix. LOCK is none that these instructions may have. */
static bool prefix(uint8_t byte, bool code64, struct pv_insn *in, struct prefixes *p)
{
	if (code64 && (byte & 0xf0) == 0x40) {
		p->rex = byte;
		return true;
	}
	if (byte == 0x66)
		p->size16 = true;
	else if (byte == 0x67)
		p->address = true;
	else if (byte == 0xf2 || byte == 0xf3)
		in->rep = true;
	else if (override(byte) != PV_NO_SEGMENT)
		in->segment = override(byte);
	else
		return false;
	p->rex = 0; /* counts only right before the opcode */
	return true;
}

static void sizes(bool code64, const struct prefixes *p, struct pv_insn *in)
{
	in->opsize = p->rex & 8 ? 8 : p->size16 ? 2 : 4;
	in->addrsize = code64 ? (p->address ? 4 : 8) : (p->address ? 2 : 4);
}

bool pv_decode(const uint8_t *code, uint32_t n, bool code64, struct pv_insn *in)
{
	struct prefixes p = { 0 };
	uint32_t at = 0;
	uint8_t form;

	memset(in, 0, sizeof(*in));
	in->segment = PV_NO_SEGMENT;
	while (at < n && prefix(code[at], code64, in, &p))
		at++;
	if (at == n)
		return false;
	in->opcode = code[at++];
	form = one_byte[in->opcode];
	if (in->opcode == 0x0f) {
		if (at == n)
			return false;
		form = two_byte[code[at]];
		in->opcode = (uint16_t)(0x0f00 | code[at++]);
	}
	if (form == FORM_NONE || (form != FORM_PLAIN && at == n))
		return false;
	if (form == FORM_IMM8)
		in->imm8 = code[at++];
	if (form == FORM_MODRM) {
		in->modrm = code[at++];
		in->reg = (uint8_t)((in->modrm >> 3 & 7) | (p.rex & 4 ? 8 : 0));
		in->rm = (uint8_t)((in->modrm & 7) | (p.rex & 1 ? 8 : 0));
	}
	sizes(code64, &p, in);
	in->len = (uint8_t)at;
	return at <= PV_INSN_MAX;
}
