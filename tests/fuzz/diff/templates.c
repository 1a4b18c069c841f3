/* SPDX-License-Identifier: MIT */
/*
 * Templates of kernel-mode code: each is a short piece around something that a
 * translator can get wrong, with random parameters. add_template puts the
 * address behind the template into RESUME, where a fault goes on.
 */
#include <string.h>

#include "diff.h"

/* movq $imm32, addr: no register or flag is touched. Returns where the immediate is. */
static unsigned put_store(struct gen *g, uint64_t addr, uint32_t imm)
{
	put_bytes(g, "\x48\xc7", 2);
	put_abs(g, 0, addr);
	put32(g, imm);
	return g->len - 4;
}

static void access_data(struct gen *g, uint64_t addr)
{
	static const uint8_t ops[] = { 0x8b, 0x89, 0x01, 0x3b, 0x87, 0x8a, 0x88, 0x31 };

	put(g, ops[pick(g, 8)]);
	put_abs(g, pick(g, 4), addr);
}

static uint64_t any_data(struct gen *g)
{
	return DATA_VA + pick(g, 20) * 4096 - 4096 + (pick(g, 3) ? pick(g, 4088) & ~7u : 4096 - pick(g, 9));
}

static void t_flags(struct gen *g)
{
	static const uint32_t masks[] = { FL_ARITH, FL_DF, FL_IF, FL_IF | FL_ARITH, FL_NT, FL_AC, FL_ID, FL_RF | FL_CF, FL_TF, FL_IOPL };

	put_bytes(g, "\x9c\x48\x81\x34\x24", 5);
	put32(g, masks[pick(g, 10)]);
	put(g, 0x9d);
}

static void t_cli_sti(struct gen *g)
{
	static const uint8_t ops[] = { 0xfa, 0xfb, 0xfc, 0xfd, 0xfb, 0x90, 0x9c };
	uint8_t op = ops[pick(g, 7)];

	put(g, op);
	if (op == 0x9c)
		put(g, 0x58);
	if (pick(g, 3) == 0)
		put(g, 0xfa);
}

static void reload_cr3(struct gen *g)
{
	put_bytes(g, "\x0f\x20\xda\x0f\x22\xda", 6);
}

/* A page of the data gets another entry, the TLB hears of it, and it is used. */
static void t_pte(struct gen *g)
{
	static const uint64_t bits[] = { 7, 5, 3, 1, 0, 0x67, 0x65, 6, 0x107, 0x167 };
	unsigned page = pick(g, DATA_PAGES - 1);
	uint64_t va = DATA_VA + 4096 * page, pte = data_gpa(pick(g, 3) ? page : pick(g, DATA_PAGES)) | bits[pick(g, 10)];

	if (page == 7)
		return; /* the stack */
	if (pick(g, 5) == 0)
		pte |= 1ull << (pick(g, 2) ? 63 : 51);
	if (pick(g, 3) == 0)
		access_data(g, va + 8 * pick(g, 511));
	put_mov_imm(g, RAX, pte);
	put_bytes(g, "\x48\x89", 2);
	put_abs(g, RAX, TABLE_VA + (PT_DATA - TABLE_GPA) + 8 * page);
	if (pick(g, 2)) {
		put_bytes(g, "\x0f\x01", 2);
		put_abs(g, 7, va + pick(g, 4096));
	} else {
		reload_cr3(g);
	}
	if (pte & 0x100) /* global entries outlive CR3 */
		put_bytes(g, "\x0f\x20\xe2\x48\x81\xf2\x80\x00\x00\x00\x0f\x22\xe2\x48\x81\xf2\x80\x00\x00\x00\x0f\x22\xe2", 23);
	access_data(g, va + 8 * pick(g, 511));
	access_data(g, va + 4096 - pick(g, 9));
}

/* CR0.WP, CR4.SMAP and PGE, EFER.NXE turned over. */
static void t_control(struct gen *g)
{
	switch (pick(g, 5)) {
	case 0:
		put_bytes(g, "\x0f\x20\xc0\x48\x0f\xba\xf8\x10\x0f\x22\xc0", 11);
		access_data(g, RO_VA + pick(g, 4000));
		break;
	case 1:
		put_bytes(g, "\x0f\x20\xe0\x48\x0f\xba\xf8\x07\x0f\x22\xe0", 11);
		break;
	case 2:
		put_bytes(g, "\xb9\x80\x00\x00\xc0\x0f\x32\x35\x00\x08\x00\x00\x0f\x30", 14);
		break;
	case 3:
		put_bytes(g, "\x0f\x20\xe0\x48\x0f\xba\xf8\x15\x0f\x22\xe0", 11);
		access_data(g, any_data(g));
		put_bytes(g, pick(g, 2) ? "\x0f\x01\xcb" : "\x0f\x01\xca", 3);
		access_data(g, any_data(g));
		break;
	default: /* TS, then something that minds, then clts */
		put_bytes(g, "\x0f\x20\xc0\x48\x83\xc8\x08\x0f\x22\xc0", 10);
		put_bytes(g, pick(g, 2) ? "\x0f\x58\xc1" : "\xd9\xe8\x90", 3);
		put_bytes(g, "\x0f\x06", 2);
	}
}

static void t_segments(struct gen *g)
{
	static const uint16_t selectors[] = { 0, 3, 0x10, 0x18, 0x1b, 0x20, 0x23, 0x28, 0x2b, 0x30, 0x33, 0x40, 0x48, 0x4b, 0x50, 0x14 };
	static const uint8_t to[] = { 0xc0, 0xd0, 0xd8, 0xe0, 0xe8 };

	put(g, 0xb8);
	put32(g, selectors[pick(g, 16)]);
	switch (pick(g, 4)) {
	case 0:
	case 1:
		put(g, 0x8e);
		put(g, to[pick(g, 5)]);
		break;
	case 2: /* lar, lsl, verr, verw */
		put_bytes(g, pick(g, 2) ? "\x0f\x02\xd8" : "\x0f\x03\xd8", 3);
		put_bytes(g, pick(g, 2) ? "\x0f\x00\xe0" : "\x0f\x00\xe8", 3);
		break;
	default:
		put_bytes(g, "\x8c\xd8\x8c\xc3\x8c\xe1", 6);
	}
}

static void t_bases(struct gen *g)
{
	static const uint32_t msrs[] = { 0xc0000100, 0xc0000101, 0xc0000102 };
	uint64_t base = pick(g, 4) ? DATA_VA + pick(g, 0x8000) : rng(g);

	put(g, 0xb9);
	put32(g, msrs[pick(g, 3)]);
	put(g, 0xb8);
	put32(g, (uint32_t)base);
	put(g, 0xba);
	put32(g, (uint32_t)(base >> 32));
	put_bytes(g, "\x0f\x30", 2);
	if (pick(g, 2))
		put_bytes(g, "\x0f\x01\xf8", 3); /* swapgs */
	put(g, pick(g, 2) ? 0x64 : 0x65);
	access_data(g, pick(g, 4096));
	put_bytes(g, "\x0f\x32", 2);
}

/*
 * Fields of the processor that instructions read and write, and the bits of CR4 that allow it: FSGSBASE, PKE. Not
 * the clock: an exception right after it would store what no two runs have in common.
 */
static void t_fields(struct gen *g)
{
	static const uint8_t bits[] = { 16, 22 };
	unsigned reg = pick(g, 16), seg = pick(g, 8);

	if (g->kernel && pick(g, 2)) { /* mov rax, cr4; btc rax, bit; mov cr4, rax */
		put_bytes(g, "\x0f\x20\xe0\x48\x0f\xba\xf8", 7);
		put(g, bits[pick(g, 2)]);
		put_bytes(g, "\x0f\x22\xe0", 3);
	}
	switch (pick(g, 4)) {
	case 0: /* rd and wr of the bases */
	case 1:
		put(g, 0xf3);
		put(g, 0x40 | (pick(g, 3) ? 8 : 0) | reg >> 3);
		put_bytes(g, "\x0f\xae", 2);
		put(g, 0xc0 | pick(g, 4) << 3 | (reg & 7));
		put(g, pick(g, 2) ? 0x64 : 0x65);
		access_data(g, pick(g, 4096));
		break;
	case 2: /* rdpkru */
		if (pick(g, 4))
			put_bytes(g, "\x9c\x31\xc9\x9d", 4); /* ecx = 0, and flags as they were */
		put_bytes(g, "\x0f\x01\xee", 3);
		break;
	default: /* mov m16, sreg */
		put(g, 0x8c);
		put_abs(g, seg, any_data(g));
	}
}

static void user_body(struct gen *g)
{
	bool kernel = g->kernel;

	g->kernel = false;
	for (unsigned n = pick(g, 4); n; n--) {
		if (g->mode == MODE_64 && pick(g, 8) == 0)
			t_fields(g);
		else if (pick(g, 3))
			add_insn(g);
		else
			add_pattern(g);
	}
	g->kernel = kernel;
}

/* Into CPL 3 by iretq or sysretq. Returns whether the code there is 64-bit. */
static bool enter_user(struct gen *g)
{
	bool sysret = pick(g, 3) == 0, wide = sysret || pick(g, 3);
	unsigned at;

	if (sysret) {
		put_mov_imm(g, RCX, 0);
		at = g->len - 8;
		put_mov_imm(g, R11, 0x202 | (rng(g) & FL_ARITH));
		put_bytes(g, "\x48\x0f\x07", 3);
	} else {
		put_bytes(g, "\x6a\x2b\x68", 3);
		put32(g, (uint32_t)(DATA_VA + 0x9000 + 8 * pick(g, 400)));
		put(g, 0x68);
		put32(g, 0x202 | (uint32_t)(rng(g) & (FL_ARITH | (pick(g, 4) ? 0 : FL_TF))));
		put(g, 0x6a);
		put(g, wide ? SEL_CS64 : SEL_CS32);
		put(g, 0x68);
		at = g->len;
		put32(g, 0);
		put_bytes(g, "\x48\xcf", 2);
	}
	fix32(g, at, code_at(g));
	return wide;
}

/* Faults in user mode go on at the way back: int 0x30 or syscall. */
static void t_user(struct gen *g)
{
	unsigned fault = put_store(g, RESUME, 0), back = put_store(g, RETURN, 0);
	bool wide = enter_user(g);

	g->mode = wide ? MODE_64 : MODE_32;
	user_body(g);
	g->mode = MODE_64;
	fix32(g, fault, code_at(g));
	put_bytes(g, wide && pick(g, 2) ? "\x0f\x05" : "\xcd\x30", 2);
	fix32(g, back, code_at(g));
}

static void t_int(struct gen *g)
{
	static const uint8_t n[] = { 3, 4, 0x31, 0x50, 0x20, 0x3f, 0x0d };

	switch (pick(g, 4)) {
	case 0:
		put(g, 0xcc);
		break;
	case 1:
		put_bytes(g, "\x0f\x0b", 2);
		break;
	default:
		put(g, 0xcd);
		put(g, n[pick(g, 7)]);
	}
}

static void t_trap_flag(struct gen *g)
{
	put_bytes(g, "\x9c\x81\x0c\x24\x00\x01\x00\x00\x9d", 9);
	for (unsigned n = pick(g, 4); n; n--)
		add_insn(g);
	if (pick(g, 3) == 0)
		put_bytes(g, "\x8e\xd0", 2); /* mov ss, ax: whatever it does */
	put_bytes(g, "\x9c\x81\x24\x24\xff\xfe\xff\xff\x9d", 9);
}

/* A breakpoint on data or code, something that may hit it, and off again. */
static void t_breakpoint(struct gen *g)
{
	static const uint32_t control[] = { 0x00000, 0x10000, 0x30000, 0x50000, 0xd0000, 0xf0000, 0x90000, 0xb0000 };
	uint64_t addr = DATA_VA + 8 * pick(g, 64);
	uint32_t c = control[pick(g, 8)];
	unsigned at = g->len;

	put_mov_imm(g, RAX, addr);
	put_bytes(g, "\x0f\x23\xc0", 3);
	put(g, 0xb8);
	put32(g, 0x402 | c);
	put_bytes(g, "\x0f\x23\xf8", 3);
	for (unsigned n = 1 + pick(g, 3); n; n--)
		access_data(g, addr + pick(g, 12) - 4);
	if (c == 0)
		fix32(g, at + 2, code_at(g));
	put_bytes(g, "\x90\x90", 2);
	put(g, 0xb8);
	put32(g, 0x400);
	put_bytes(g, "\x0f\x23\xf8\x0f\x21\xf3", 6);
}

static void t_rep(struct gen *g)
{
	static const uint8_t ops[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xae, 0xaf, 0xac, 0x6c, 0x6e };

	put_mov_imm(g, RSI, pick(g, 2) ? any_data(g) : DATA_END - pick(g, 900));
	put_mov_imm(g, RDI, pick(g, 2) ? any_data(g) : DATA_END - pick(g, 900));
	put_mov_imm(g, RCX, pick(g, 4) ? pick(g, 1200) : pick(g, 6000));
	if (pick(g, 5) == 0)
		put(g, 0xfd);
	if (pick(g, 6) == 0)
		put(g, 0x66);
	put(g, pick(g, 6) ? 0xf3 : 0xf2);
	if (pick(g, 2))
		put(g, 0x48);
	put(g, ops[pick(g, pick(g, 8) ? 9 : 11)]);
	put(g, 0xfc);
}

static void t_tables(struct gen *g)
{
	static const uint8_t ext[] = { 0, 1, 4 }; /* sgdt sidt smsw */

	put_bytes(g, "\x0f\x01", 2);
	put_abs(g, ext[pick(g, 3)], DATA_VA + pick(g, 4000));
	put_bytes(g, "\x0f\x00\xc8\x0f\x00\xc3", 6); /* str eax; sldt ebx */
}

static void t_io(struct gen *g)
{
	static const uint8_t ops[] = { 0xe4, 0xe5, 0xe6, 0xe7 };

	put(g, ops[pick(g, 4)]);
	put(g, (uint8_t)pick(g, 256));
	if (pick(g, 3) == 0)
		put(g, 0xf4);
}

static void t_far(struct gen *g)
{
	unsigned at;

	put_bytes(g, "\x6a\x10\x68", 3);
	at = g->len;
	put32(g, 0);
	put_bytes(g, "\x48\xcb", 2);
	fix32(g, at, code_at(g));
}

/* Bytes ahead changed through the other mapping. */
static void t_alias(struct gen *g)
{
	static const uint8_t ops[] = { 0x90, 0x98, 0x99, 0xf8, 0xf9, 0xf5 };
	unsigned at;

	put(g, 0xc6);
	at = g->len + 2;
	put_abs(g, 0, 0);
	put(g, ops[pick(g, 6)]);
	put_bytes(g, "\x84\xc0", 2);
	for (unsigned n = pick(g, 5); n; n--)
		put(g, 0x90);
	fix32(g, at, ALIAS_VA + g->len);
	put(g, ops[pick(g, 6)]);
}

static void t_fpu(struct gen *g)
{
	static const char *const ops[] = { "\x0f\xae\x04\x25", "\x0f\xae\x0c\x25", "\x0f\xae\x24\x25", "\x0f\xae\x1c\x25",
					   "\xdd\x34\x25\x90", "\x9b\xd9\x34\x25" };
	const char *op = ops[pick(g, 4)];

	put_mov_imm(g, RAX, 7);
	put_mov_imm(g, RDX, 0);
	put_bytes(g, op, 4);
	put32(g, (uint32_t)(DATA_VA + 64 * pick(g, 40)));
}

static void t_msr(struct gen *g)
{
	static const uint32_t msrs[] = { 0xc0000081, 0xc0000084, 0x10f, 0x174, 0x175, 0x277, 0x8b, 0x12345, 0xc0000103, 0x1b };

	put(g, 0xb9);
	put32(g, msrs[pick(g, 10)]);
	put_bytes(g, "\x0f\x32", 2);
}

static void t_cpu(struct gen *g)
{
	put(g, 0xb8);
	put32(g, pick(g, 2) ? pick(g, 8) : 0x80000000u + pick(g, 9));
	put_bytes(g, "\x31\xc9\x0f\xa2", 4);
}

static void t_mmio(struct gen *g)
{
	unsigned page = DATA_PAGES - 1;

	put_mov_imm(g, RAX, (0x80000000ull + 4096 * pick(g, 4)) | 0x67);
	put_bytes(g, "\x48\x89", 2);
	put_abs(g, RAX, TABLE_VA + (PT_DATA - TABLE_GPA) + 8 * page);
	put_bytes(g, "\x0f\x01", 2);
	put_abs(g, 7, DATA_VA + 4096 * page);
	access_data(g, DATA_VA + 4096 * page + 8 * pick(g, 500));
	access_data(g, DATA_VA + 4096 * page - pick(g, 9));
}

static void t_plain(struct gen *g)
{
	if (pick(g, 4))
		add_insn(g);
	else
		add_pattern(g);
}

static void add_template(struct gen *g)
{
	static void (*const templates[])(struct gen *) = {
		t_plain,  t_plain,   t_plain,	 t_plain, t_flags, t_cli_sti,	t_pte,	   t_pte, t_control, t_segments, t_bases,
		t_int, t_trap_flag, t_breakpoint, t_rep,     t_rep,	 t_tables, t_io,	   t_far,	 t_alias,    t_fpu,
		t_msr,	  t_cpu,     t_mmio,   t_fields,   t_fields,
	};
	unsigned at;

	if (pick(g, 10) == 0) {
		t_user(g);
		return;
	}
	at = put_store(g, RESUME, 0);
	templates[pick(g, sizeof(templates) / sizeof(templates[0]))](g);
	fix32(g, at, code_at(g));
}

void generate_system(struct gen *g)
{
	unsigned n = 2 + pick(g, 10);

	memset(g->code, 0xf4, sizeof(g->code));
	g->mode = MODE_64;
	g->kernel = true;
	g->start = g->len = pick(g, 4) ? 0 : 4096 - pick(g, 300);
	put_store(g, KSTACK, (uint32_t)KSTACK_VA);
	for (unsigned i = 0; i < n && g->len - g->start < 0x900; i++)
		add_template(g);
	put_bytes(g, "\x90\x0f\x01\xc1", 4);
}
