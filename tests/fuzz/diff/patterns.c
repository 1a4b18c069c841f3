/* SPDX-License-Identifier: MIT */
/*
 * Patterns: short pieces of user code that random instructions do not make.
 *
 * Self-modifying ones change immediates of instructions ahead in the same
 * block, behind in a loop, or behind a jump; an x86 processor takes such
 * stores into account at once.
 */
#include "diff.h"

static void fix_rel32(struct gen *g, unsigned at)
{
	fix32(g, at, g->len - (at + 4));
}

static void filler(struct gen *g)
{
	for (unsigned n = pick(g, 3); n; n--)
		add_insn(g);
}

/* call f; jmp over; f: ...; ret [n]; over: */
static void calls(struct gen *g)
{
	unsigned call, over;

	put(g, 0xe8);
	call = g->len;
	put32(g, 0);
	filler(g);
	put(g, 0xe9);
	over = g->len;
	put32(g, 0);
	fix_rel32(g, call);
	put(g, 0x90);
	if (pick(g, 2)) {
		put(g, 0xc3);
	} else {
		put(g, 0xc2);
		put(g, (uint8_t)(8 * pick(g, 3)));
		put(g, 0);
	}
	fix_rel32(g, over);
}

/* mov reg, target; jmp or call reg or memory; skipped bytes; target: */
static void indirect(struct gen *g)
{
	static const uint8_t regs[] = { RAX, RBX, RDX, RSI, R11, R15, R9 };
	unsigned reg = regs[pick(g, g->mode == MODE_64 ? 7 : 4)], at = g->len, kind = pick(g, 4);

	put_mov_imm(g, reg, 0);
	if (kind & 2) { /* through the stack */
		if (reg >= 8)
			put(g, 0x41);
		put(g, (uint8_t)(0x50 | (reg & 7)));
		if (kind & 1)
			put(g, 0xc3);
		else
			put_bytes(g, "\xff\x24\x24", 3);
	} else {
		if (reg >= 8)
			put(g, 0x41);
		put(g, 0xff);
		put(g, (uint8_t)((kind & 1 ? 0xe0 : 0xd0) | (reg & 7)));
	}
	for (unsigned n = pick(g, 12); n; n--)
		put(g, 0x90);
	fix32(g, at + (g->mode == MODE_64 ? 2 : 1), code_at(g));
}

/* mov byte [ahead], x; ...; ahead: mov reg, imm32 */
static void modify_ahead(struct gen *g)
{
	unsigned at, size = pick(g, 2) ? 1 : 4;

	put(g, size == 1 ? 0xc6 : 0xc7);
	at = g->len + (g->mode == MODE_64 ? 2 : 1);
	put_abs(g, 0, 0);
	put_bytes(g, &g->rng, size);
	filler(g);
	if (pick(g, 3) == 0) /* into the next block */
		put_bytes(g, "\xeb\x00", 2);
	put(g, (uint8_t)(0xb8 | (pick(g, 2) ? RDX : RBX)));
	fix32(g, at, code_at(g));
	put32(g, (uint32_t)rng(g));
}

/* mov ecx, n; L: mov edx, imm; add [that imm], dx; filler; loop L */
static void modify_loop(struct gen *g)
{
	unsigned at, loop, before = pick(g, 2);
	uint64_t target;

	put_mov_imm(g, RCX, 2 + pick(g, 12));
	loop = g->len;
	if (before) {
		put(g, 0xba);
		target = code_at(g);
		put32(g, pick(g, 100));
	}
	put_bytes(g, "\x66\x01", 2);
	at = g->len + (g->mode == MODE_64 ? 2 : 1);
	put_abs(g, RDX, 0);
	if (!before) {
		put(g, 0x05); /* add eax, imm32 */
		target = code_at(g);
		put32(g, (uint32_t)rng(g));
	}
	fix32(g, at, target);
	put(g, 0xe2);
	put(g, (uint8_t)(loop - (g->len + 1)));
}

/* The opcode byte ahead becomes another; nops around it. */
static void modify_opcode(struct gen *g)
{
	static const uint8_t ops[] = { 0x90, 0x98, 0x99, 0xf8, 0xf9, 0xf5, 0x9f, 0x9e, 0x9c };
	unsigned at, gap = pick(g, 6);

	put(g, 0xc6);
	at = g->len + (g->mode == MODE_64 ? 2 : 1);
	put_abs(g, 0, 0);
	put(g, ops[pick(g, 9)]);
	put_bytes(g, "\x84\xc0", 2); /* test: flags that the old code does not need are not kept for the new */
	for (unsigned i = 0; i < gap; i++)
		put(g, ops[pick(g, 8)]);
	fix32(g, at, code_at(g));
	put(g, ops[pick(g, 9)]);
	put(g, ops[pick(g, 8)]);
}

/* rep stosb or movsb over upcoming nops with valid one-byte instructions */
static void modify_rep(struct gen *g)
{
	unsigned n = 1 + pick(g, 20), at = g->len;

	put_mov_imm(g, RDI, 0);
	put_mov_imm(g, RAX, pick(g, 2) ? 0x98 : 0xf9);
	put_mov_imm(g, RCX, n);
	put(g, 0xfc);
	put_bytes(g, "\xf3\xaa", 2);
	fix32(g, at + (g->mode == MODE_64 ? 2 : 1), code_at(g) + pick(g, 3));
	for (unsigned i = 0; i < n + 3; i++)
		put(g, 0x90);
}

/* jmp over data; the data is an operand of what follows */
static void data_beside(struct gen *g)
{
	uint64_t at;

	put_bytes(g, "\xeb\x10", 2);
	at = code_at(g);
	for (unsigned i = 0; i < 16; i++)
		put(g, (uint8_t)rng(g));
	for (unsigned n = 1 + pick(g, 3); n; n--) {
		static const uint8_t ops[] = { 0x01, 0x03, 0x29, 0x31, 0x39, 0x89, 0x8b, 0x87, 0x11 };

		put(g, ops[pick(g, 9)]);
		put_abs(g, pick(g, 4), at + pick(g, 12));
	}
}

static void flags_change(struct gen *g)
{
	static const uint32_t masks[] = { FL_ARITH, FL_DF, FL_CF | FL_DF, FL_AC, FL_ID, FL_NT, FL_IF, FL_TF };

	put(g, 0x9c);
	if (g->mode == MODE_64)
		put(g, 0x48);
	put_bytes(g, "\x81\x34\x24", 3); /* xor [rsp], imm32 */
	put32(g, masks[pick(g, pick(g, 4) ? 5 : 8)] & (uint32_t)(rng(g) | FL_TF));
	put(g, 0x9d);
}

static void loops(struct gen *g)
{
	static const uint8_t ops[] = { 0xe0, 0xe1, 0xe2, 0xe3 };
	unsigned at = g->len;

	if (pick(g, 3) == 0)
		put(g, 0x67);
	put(g, ops[pick(g, 4)]);
	put(g, 0);
	at = g->len;
	add_insn(g);
	if (g->len - at < 128)
		g->code[at - 1] = (uint8_t)(g->len - at);
	else
		g->len = at;
}

static void fault(struct gen *g)
{
	static const char *const ops[] = { "\x0f\x0b", "\xcd\x35", "\xcc\x90", "\xcd\x03", "\xcd\x21", "\xfa\x90", "\xf4\x90",
					   "\xe4\x10", "\xee\x90", "\xcd\x0e" };

	if (pick(g, 4) == 0)
		put_bytes(g, ops[pick(g, 10)], 2);
	else
		flags_change(g);
}

/* xor edx, edx or so; div: overflows half the time */
static void divide(struct gen *g)
{
	put_bytes(g, "\x31\xd2", 2);
	if (pick(g, 2))
		put_bytes(g, "\x39\xd8", 2);
	put(g, 0xf7);
	if (pick(g, 2)) {
		put(g, (uint8_t)(0xf0 | pick(g, 2) << 3 | pick(g, 8)));
	} else {
		put_abs(g, 6 + pick(g, 2), DATA_VA + pick(g, DATA_SIZE));
	}
}

/* Between the two modes and back. */
static void far_mode(struct gen *g)
{
	unsigned at;

	if (g->mode == MODE_64) { /* push cs; call next; retf: the same segment */
		put_bytes(g, "\x6a\x33", 2);
		put(g, 0x68);
		at = g->len;
		put32(g, 0);
		put_bytes(g, "\x48\xcb", 2);
		fix32(g, at, code_at(g));
		return;
	}
	put_mov_imm(g, RSP, DATA_VA + 0x8000 + 4 * pick(g, 900)); /* a frame that crosses into a page that faults is half written */
	put(g, 0x9a + (pick(g, 2) ? 0x50 : 0)); /* call far or jmp far */
	at = g->len;
	put32(g, 0);
	put(g, SEL_CS32);
	put(g, 0);
	fix32(g, at, code_at(g));
}

/* 64-bit: a trip through 32-bit code and back. */
static void compat_trip(struct gen *g)
{
	unsigned at, n = pick(g, 3);
	enum insn_mode mode = g->mode;

	if (mode != MODE_64)
		return;
	put_bytes(g, "\x6a\x23\x68", 3);
	at = g->len;
	put32(g, 0);
	put_bytes(g, "\x48\xcb", 2);
	fix32(g, at, code_at(g));
	for (; n; n--)
		put_bytes(g, "\x40\x4a", 2); /* inc eax; dec edx */
	put(g, 0xea);
	at = g->len;
	put32(g, 0);
	put(g, SEL_CS64);
	put(g, 0);
	fix32(g, at, code_at(g));
}

/* Accesses off one base, close together; the base moves now and then, the place is often a page's end. */
static void same_base(struct gen *g)
{
	static const uint8_t ops[] = { 0x8b, 0x89, 0x01, 0x03, 0x29, 0x39, 0x3b, 0x11, 0x13, 0x87, 0x8a, 0x88, 0x63 };
	static const uint8_t bases[] = { RBX, RBP, RSI, RDI, R11, R15, R8 };
	unsigned base = bases[pick(g, g->mode == MODE_64 ? 7 : 4)], reach = pick(g, 3) ? 64 : 256;

	put_mov_imm(g, base, pick(g, 3) ? pick_address(g) : DATA_VA + 4096 * pick(g, 17) - pick(g, 100));
	for (unsigned n = 2 + pick(g, 8); n; n--) {
		unsigned reg = pick(g, 4), rex = g->mode == MODE_64 ? 0x40 | pick(g, 2) << 3 | (base >= 8) : 0;
		uint8_t op = ops[pick(g, g->mode == MODE_64 ? 13 : 12)];
		int disp = (int)pick(g, reach) - (int)reach / 2;

		if (pick(g, 12) == 0) { /* lea base, [base + disp] */
			op = 0x8d;
			reg = base & 7;
			if (rex)
				rex = 0x48 | (base >= 8 ? 5 : 0);
		} else if (rex && pick(g, 5) == 0) { /* through r11, r15 */
			reg = 3 + 4 * pick(g, 2);
			rex |= 4;
		} else if (op != 0x63 && pick(g, 8) == 0) {
			put(g, 0x66);
		}
		if (rex)
			put(g, (uint8_t)rex);
		put(g, op);
		put(g, (uint8_t)(0x80 | reg << 3 | (base & 7)));
		put32(g, (uint32_t)disp);
		if (pick(g, 12) == 0)
			put_bytes(g, "\x0f\x92\xc0", 3); /* setc al */
	}
}

/* A prologue and an epilogue: pushes, sub rsp, stores to the frame, pops. */
static void frame(struct gen *g)
{
	static const uint8_t ops[] = { 0x8b, 0x89, 0x01, 0x3b };
	unsigned pushes = 1 + pick(g, 7), size = 8 * pick(g, 20);

	if (pick(g, 6) == 0)
		put_mov_imm(g, RSP, pick(g, 2) ? pick_address(g) : DATA_VA + 4096 * (1 + pick(g, 15)) + 4 * pick(g, 12));
	for (unsigned i = 0; i < pushes; i++) {
		if (g->mode == MODE_64 && pick(g, 2))
			put(g, 0x41);
		put(g, (uint8_t)(0x50 | pick(g, 8)));
	}
	if (g->mode == MODE_64)
		put(g, 0x48);
	put_bytes(g, "\x81\xec", 2);
	put32(g, size);
	for (unsigned i = pick(g, 5); i; i--) {
		put(g, ops[pick(g, 4)]);
		put(g, (uint8_t)(0x84 | pick(g, 4) << 3));
		put(g, 0x24);
		put32(g, 4 * pick(g, 60));
	}
	if (g->mode == MODE_64)
		put(g, 0x48);
	put_bytes(g, "\x81\xc4", 2);
	put32(g, size);
	for (unsigned i = 0; i < pushes; i++) {
		unsigned reg = pick(g, 8);

		if (g->mode == MODE_64 && pick(g, 2))
			put(g, 0x41);
		put(g, (uint8_t)(0x58 | (reg == RSP && pick(g, 4) ? RBP : reg)));
	}
}

void add_pattern(struct gen *g)
{
	static void (*const patterns[])(struct gen *) = {
		calls,	     indirect,	   modify_ahead, modify_loop, modify_opcode, modify_rep,
		same_base,   same_base,	   frame,	 frame,
		data_beside, flags_change, loops,	 fault,	      divide,	     far_mode, compat_trip,
	};

	patterns[pick(g, sizeof(patterns) / sizeof(patterns[0]))](g);
}
