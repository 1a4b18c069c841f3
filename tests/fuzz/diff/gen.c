/* SPDX-License-Identifier: MIT */
/*
 * Random instructions: random bytes that decode to something wanted, with the
 * memory operand replaced by one whose registers were just loaded.
 */
#include <stdio.h>
#include <string.h>

#include "diff.h"

uint64_t rng(struct gen *g)
{
	uint64_t z = g->rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

unsigned pick(struct gen *g, unsigned n)
{
	return (unsigned)(rng(g) % n);
}

void put(struct gen *g, uint8_t b)
{
	g->code[g->len++] = b;
}

void put_bytes(struct gen *g, const void *bytes, unsigned n)
{
	memcpy(g->code + g->len, bytes, n);
	g->len += n;
}

void put32(struct gen *g, uint32_t x)
{
	put_bytes(g, &x, 4);
}

void put_mov_imm(struct gen *g, unsigned reg, uint64_t imm)
{
	if (g->mode == MODE_64)
		put(g, reg >= 8 ? 0x49 : 0x48);
	else if (g->mode == MODE_16)
		put(g, 0x66);
	put(g, 0xb8 | (reg & 7));
	put_bytes(g, &imm, g->mode == MODE_64 ? 8 : 4);
}

/* [disp32]: by SIB in 64-bit code, where the short form is relative to rip */
void put_abs(struct gen *g, unsigned reg, uint64_t addr)
{
	if (g->mode == MODE_64) {
		put(g, (uint8_t)(reg << 3 | 4));
		put(g, 0x25);
	} else {
		put(g, (uint8_t)(reg << 3 | 5));
	}
	put32(g, (uint32_t)addr);
}

void fix32(struct gen *g, unsigned at, uint64_t value)
{
	for (unsigned i = 0; i < 4; i++)
		g->code[at + i] = (uint8_t)(value >> 8 * i);
}

/* In 16-bit code an address is an offset in the data segment, or beyond it. */
static uint64_t pick_offset(struct gen *g)
{
	switch (pick(g, 16)) {
	case 0:
		return DS16_LIMIT + 1 - pick(g, 80);
	case 1:
		return 0xffff - pick(g, 40);
	case 2:
		return pick(g, 2) ? 0x10000 + pick(g, 0x10000) : pick(g, 40);
	default:
		return pick(g, DS16_LIMIT);
	}
}

uint64_t pick_address(struct gen *g)
{
	uint64_t addr = DATA_VA + 256 + pick(g, DATA_SIZE - 4096);

	if (g->mode == MODE_16)
		return pick_offset(g);
	switch (pick(g, 24)) {
	case 0:
		return DATA_END - pick(g, 80); /* into nothing */
	case 1:
		return DATA_VA - pick(g, 80); /* from the read-only page */
	case 2:
		return CODE_VA + 0xc00 + pick(g, 0x200); /* beside code: see generate */
	case 3:
		return g->mode == MODE_64 ? (1ull << 47) - pick(g, 40) : 0x10000 + pick(g, 4096);
	case 4:
	case 5:
	case 6:
		return (addr & ~4095ull) + 4096 - pick(g, 34); /* near a page's end */
	default:
		return pick(g, 3) ? addr & ~31ull : addr;
	}
}

/* ---- raw bytes ---------------------------------------------------------------------- */

static unsigned opcode_bytes(struct gen *g, uint8_t *b, unsigned n)
{
	switch (pick(g, 8)) {
	case 0: /* VEX3 */
		b[n++] = 0xc4;
		b[n++] = (uint8_t)((g->mode == MODE_64 ? rng(g) & 0xe0 : 0xe0) | (1 + pick(g, 3)));
		b[n++] = (uint8_t)rng(g);
		return n;
	case 1: /* VEX2 */
		b[n++] = 0xc5;
		b[n++] = (uint8_t)(rng(g) | (g->mode == MODE_64 ? 0 : 0xc0));
		return n;
	default:
		break;
	}
	if (g->mode == MODE_64 && pick(g, 2))
		b[n++] = (uint8_t)(0x40 | pick(g, 16));
	switch (pick(g, 6)) {
	case 0:
		b[n++] = 0x0f;
		b[n++] = pick(g, 2) ? 0x38 : 0x3a;
		break;
	case 1:
	case 2:
		b[n++] = 0x0f;
		break;
	default:
		break;
	}
	return n;
}

static void random_bytes(struct gen *g, uint8_t *b)
{
	static const uint8_t flat[] = { 0x26, 0x2e, 0x36, 0x3e };
	unsigned n = 0;

	if (pick(g, 5) == 0)
		b[n++] = 0x66;
	if (pick(g, 20) == 0)
		b[n++] = 0x67;
	if (pick(g, 20) == 0)
		b[n++] = flat[pick(g, 4)];
	if (pick(g, 6) == 0)
		b[n++] = pick(g, 2) ? 0xf3 : 0xf2;
	if (pick(g, 12) == 0)
		b[n++] = 0xf0;
	n = opcode_bytes(g, b, n);
	while (n < 15)
		b[n++] = (uint8_t)rng(g);
}

/* What only differs by nature or does not come back is left out. */
static bool wanted_system(const struct gen *g, const struct insn *in)
{
	switch (in->op) {
	case OP_PUSHA:
	case OP_POPA:
	case OP_ENTER:
	case OP_INT3:
	case OP_INTO:
	case OP_BOUND:
		return true;
	case OP_PUSH_SEG:
	case OP_MOV_FROM_SEG:
		return !g->kernel;
	default:
		/* #GP on any processor; some are #UD where the extension is missing */
		return (in->attr & ATTR_PRIV) && !g->kernel && in->op >= OP_IN && in->op <= OP_LTR;
	}
}

static bool wanted(const struct gen *g, const struct insn *in)
{
	if (in->seg_override >= GAMUT_FS) /* the process's own */
		return false;
	switch (in->class_) {
	case CLASS_COPY:
	case CLASS_STRING:
	case CLASS_PUSH:
	case CLASS_POP:
	case CLASS_LEAVE:
		return in->op != OP_NONE && in->op != OP_ARPL;
	case CLASS_FLAGS:
		return in->op != OP_POPF && in->op != OP_PUSHF && (!g->kernel || in->op != OP_STI);
	case CLASS_SYS:
		return wanted_system(g, in);
	default:
		return false;
	}
}

/* ---- memory operands --------------------------------------------------------------- */

struct place {
	int base, index; /* -1: none */
	unsigned scale;
	int32_t disp;
	uint64_t addr;   /* of the operand, when there is no base */
};

static int place_reg(struct gen *g)
{
	static const uint8_t bases[] = { RAX, RBX, RBP, RSI, RDI, R8, R11, R13, R15 };

	return bases[pick(g, g->mode == MODE_64 ? sizeof(bases) : 5)];
}

/* Loads the registers of an operand that lies at a place worth visiting. */
static void place_choose(struct gen *g, struct place *p)
{
	uint64_t addr = pick_address(g);

	if (g->mode == MODE_16 && pick(g, 4))
		addr &= 0xffff;
	*p = (struct place){ .base = place_reg(g), .index = -1, .addr = addr, .disp = (int32_t)pick(g, 256) - 128 };
	if ((addr & 31) == 0)
		p->disp &= ~31;
	if (pick(g, 5) == 0)
		p->disp = pick(g, 2) ? 0 : (int32_t)(p->disp * 16);
	if (pick(g, 3) == 0) {
		p->index = place_reg(g);
		p->scale = pick(g, 4);
		if (p->index == p->base)
			p->index = -1;
		else
			put_mov_imm(g, (unsigned)p->index, 32 * pick(g, 4));
	}
	switch (pick(g, 12)) {
	case 0:
		p->base = RSP; /* wherever it points */
		return;
	case 1:
		p->base = -1;
		if (addr >> 31)
			p->addr = DATA_VA + pick(g, DATA_SIZE);
		return;
	default:
		put_mov_imm(g, (unsigned)p->base, addr - (p->index < 0 && pick(g, 2) ? (uint64_t)(int64_t)p->disp : 0));
	}
}

static void put_operand(struct gen *g, const struct place *p, unsigned reg, unsigned imm_size)
{
	unsigned scale = p->scale << 6, index = p->index < 0 ? 4 : (unsigned)p->index & 7;
	unsigned mod = p->disp == 0 && (p->base & 7) != 5 ? 0 : p->disp == (int8_t)p->disp ? 0x40 : 0x80;

	if (p->base < 0 && p->index < 0 && pick(g, 2)) { /* relative to rip, or disp32 */
		put(g, (uint8_t)(reg | 5));
		put32(g, (uint32_t)p->addr - (g->mode == MODE_64 ? (uint32_t)code_at(g) + 4 + imm_size : 0));
		return;
	}
	if (p->base < 0) {
		put(g, (uint8_t)(reg | 4));
		put(g, (uint8_t)(scale | index << 3 | 5));
		put32(g, (uint32_t)p->addr);
		return;
	}
	if (pick(g, 8) == 0)
		mod = 0x80;
	if (p->index >= 0 || (p->base & 7) == 4) {
		put(g, (uint8_t)(mod | reg | 4));
		put(g, (uint8_t)(scale | index << 3 | (unsigned)(p->base & 7)));
	} else {
		put(g, (uint8_t)(mod | reg | (unsigned)(p->base & 7)));
	}
	if (mod == 0x40)
		put(g, (uint8_t)p->disp);
	else if (mod == 0x80)
		put32(g, (uint32_t)p->disp);
}

/* Bytes of REX or VEX before the opcode. No legacy prefix is c4. */
static unsigned ext_len(const struct insn *in, const uint8_t *bytes)
{
	if (!in->vex)
		return in->rex ? 1 : 0;
	return in->opc_off >= 3 && bytes[in->opc_off - 3] == 0xc4 ? 3 : 2;
}

/* Prefixes and opcode again, with X and B for the operand's registers. */
static void put_head(struct gen *g, const struct insn *in, const uint8_t *bytes, bool x, bool b)
{
	unsigned escape = in->map == MAP_1 ? 0 : in->map == MAP_0F ? 1 : 2;
	unsigned first = (unsigned)in->opc_off - (in->vex ? 0 : escape); /* of the opcode with its escape bytes */
	unsigned i = 0;

	while (i < first - ext_len(in, bytes))
		put(g, bytes[i++]);
	if (in->vex) {
		bool two = bytes[i] == 0xc5;

		put(g, 0xc4);
		put(g, (uint8_t)((bytes[i + 1] & 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | (two ? 1 : bytes[i + 1] & 0x1f)));
		put(g, two ? bytes[i + 1] & 0x7f : bytes[i + 2]);
		i += two ? 2 : 3;
	} else if (in->rex || x || b) {
		put(g, (uint8_t)((in->rex ? in->rex & ~3u : 0x40) | (x ? 2 : 0) | (b ? 1 : 0)));
		i += in->rex ? 1 : 0;
	}
	while (i <= in->opc_off)
		put(g, bytes[i++]);
}

static void place_memory(struct gen *g, const struct insn *in, const uint8_t *bytes)
{
	struct place p;

	place_choose(g, &p);
	put_head(g, in, bytes, p.index >= 8, p.base >= 8);
	put_operand(g, &p, in->modrm & 0x38, in->imm_size);
	put_bytes(g, bytes + in->imm_off, in->imm_size);
}

/* ---- one instruction --------------------------------------------------------------------- */

static void string_operands(struct gen *g, const struct insn *in)
{
	put_mov_imm(g, RSI, pick(g, 12) ? DATA_VA + 64 + pick(g, DATA_SIZE - 9000) : pick_address(g));
	put_mov_imm(g, RDI, pick(g, 12) ? DATA_VA + 64 + pick(g, DATA_SIZE - 9000) : pick_address(g));
	if (g->mode == MODE_16) {
		put_mov_imm(g, RSI, pick_offset(g));
		put_mov_imm(g, RDI, pick_offset(g));
	}
	if (in->rep)
		put_mov_imm(g, RCX, pick(g, pick(g, 4) ? 20 : 900));
}

/* What came out must still be what was wanted. */
static bool still(const struct gen *g, unsigned at, const struct insn *in)
{
	struct insn check = { 0 };

	while (at < g->len && insn_decode(&check, g->code + at, 15, g->mode))
		at += check.len;
	return check.op == in->op && check.opcode == in->opcode && wanted(g, &check);
}

static bool try_insn(struct gen *g)
{
	uint8_t b[16];
	struct insn in;
	unsigned at = g->len;

	random_bytes(g, b);
	if (!insn_decode(&in, b, 15, g->mode) || !wanted(g, &in))
		return false;
	/* rare, or they end the case most of the time */
	if ((in.class_ == CLASS_SYS && in.op != OP_PUSHA && in.op != OP_POPA && in.op != OP_ENTER && pick(g, 16)) ||
	    (in.class_ == CLASS_LEAVE && pick(g, 4)))
		return false;
	if (in.op == OP_MOVSXD && in.pfx66) /* two or four bytes are read, depending on the maker */
		return false;
	if (in.op == OP_POPA) /* a fault may leave some registers loaded */
		put_mov_imm(g, RSP, (g->mode == MODE_16 ? 0 : DATA_VA) + 0x8000 + 4 * pick(g, 900));
	if (in.class_ == CLASS_LEAVE)
		put_mov_imm(g, RBP, (g->mode == MODE_16 ? 0 : DATA_VA) + DATA_SIZE / 2);
	if (in.class_ == CLASS_STRING)
		string_operands(g, &in);
	if (!in.has_modrm || in.mod == 3 || in.addrsize == 2) {
		if (!in.has_modrm && in.imm_size >= 4 && (in.attr & ATTR_MEM) && pick(g, 16))
			return false; /* moffs: nowhere near the data */
		put_bytes(g, b, in.len);
		if (in.op >= OP_DAA && in.op <= OP_AAD) { /* the flags that they leave undefined are not modelled: test al, al */
			put_bytes(g, "\x84\xc0", 2);
			g->decimal = true;
		}
		return true;
	}
	place_memory(g, &in, b);
	if (still(g, at, &in))
		return true;
	g->len = at;
	return false;
}

void add_insn(struct gen *g)
{
	unsigned at = g->len;

	while (!try_insn(g))
		g->len = at;
}

/* ---- a case -------------------------------------------------------------------------------- */

static bool writes(const struct gen *g, unsigned at, unsigned reg)
{
	struct insn in;

	for (; at < g->len && insn_decode(&in, g->code + at, 15, g->mode); at += in.len) {
		if ((in.regs_written & 1u << reg) || in.op == OP_POPA)
			return true;
	}
	return false;
}

static void add_skip(struct gen *g)
{
	unsigned at = g->len;

	put(g, (uint8_t)(0x70 | pick(g, 16)));
	put(g, 0);
	add_insn(g);
	if (g->len - at - 2 < 128)
		g->code[at + 1] = (uint8_t)(g->len - at - 2);
	else
		g->len = at;
}

static void add_loop(struct gen *g)
{
	unsigned at;

	put_mov_imm(g, RCX, 2 + pick(g, 3));
	at = g->len;
	do {
		g->len = at;
		add_insn(g);
	} while (writes(g, at, RCX));
	put(g, 0xe2);
	put(g, (uint8_t)(at - (g->len + 1)));
}

/* Most begin at the region's start, some so that they cross into the next page: code, not executable, or nothing. */
static unsigned pick_start(struct gen *g)
{
	switch (pick(g, 8)) {
	case 0:
		return 4096 - pick(g, 80);
	case 1:
		return pick(g, 4) ? 4096 - pick(g, 200) : 8192 - pick(g, 120);
	case 2:
		return pick(g, 4) ? 0 : CODE_SIZE - 1 - pick(g, 120);
	default:
		return 0;
	}
}

void generate(struct gen *g)
{
	unsigned n = 1 + pick(g, 12);

	memset(g->code, 0xf4, sizeof(g->code));
	g->decimal = false;
	g->start = g->len = pick_start(g);
	for (unsigned i = 0; i < n && g->len - g->start < 0xa00 && g->len < CODE_SIZE; i++) {
		switch (pick(g, 30)) {
		case 0: case 1: case 2: case 3: case 4:
			add_skip(g);
			break;
		case 5: case 6:
			add_loop(g);
			break;
		case 7: case 8: /* pushf; pop */
			put(g, 0x9c);
			put(g, (uint8_t)(0x58 | pick(g, 4)));
			break;
		case 9: case 10: case 11: case 12: case 13: case 14:
			if (g->mode == MODE_16)
				add_insn(g);
			else
				add_pattern(g);
			break;
		default:
			add_insn(g);
		}
	}
	/* what lies beside the code may be an operand (pick_address) */
	for (unsigned i = 0xb00; i < 0xf00 && g->start == 0; i++)
		g->code[i] = (uint8_t)rng(g);
}

void random_state(struct gen *g, struct state *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 16; i++) {
		s->gpr[i] = pick(g, 3) ? rng(g) : pick(g, 256);
		if (pick(g, 8) == 0)
			s->gpr[i] = DATA_VA + pick(g, DATA_SIZE);
		if (g->mode != MODE_64)
			s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
	}
	s->gpr[RSP] = DATA_VA + DATA_SIZE / 2 + 8 * pick(g, 600);
	if (pick(g, 40) == 0)
		s->gpr[RSP] = pick(g, 2) ? pick_address(g) : DATA_VA + pick(g, 24);
	s->rip = CODE_VA + g->start;
	if (g->mode == MODE_16) {
		s->gpr[RSP] = pick(g, 40) ? 0x8000 + 2 * pick(g, 2000) : pick(g, 0x20000);
		s->rip = g->start;
	}
	s->rflags = 0x202 | (rng(g) & FL_ARITH);
	if (pick(g, 30) == 0)
		s->rflags |= FL_DF;
	for (unsigned i = 160; i < 416; i++)
		s->fx[i] = (uint8_t)rng(g);
	for (unsigned i = 576; i < 832; i++)
		s->fx[i] = (uint8_t)rng(g);
	s->fx[0] = 0x7f;
	s->fx[1] = 0x03;
	s->fx[24] = 0x80;
	s->fx[25] = 0x1f;
	s->fx[512] = 7;
}

void print_code(const struct gen *g)
{
	for (unsigned o = g->start; o < g->len;) {
		struct insn in;

		fprintf(stderr, "  %04x:", o);
		if (!insn_decode(&in, g->code + o, 15, g->mode))
			break;
		for (unsigned i = 0; i < in.len; i++)
			fprintf(stderr, " %02x", g->code[o + i]);
		fprintf(stderr, "   (op %u class %u)\n", in.op, in.class_);
		o += in.len;
	}
}
