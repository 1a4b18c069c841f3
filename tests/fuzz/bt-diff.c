/* SPDX-License-Identifier: MIT */
/*
 * Differential fuzzer: the bt engine against the processor.
 *
 * Random sequences of user-mode instructions run twice from the same state at
 * the same virtual addresses: natively in this process, and in a guest of the
 * bt engine. All general registers, arithmetic flags, x87 and vector state,
 * memory, and the way it ended (normally, or by which exception at which
 * instruction) must be equal.
 *
 * At an exception, flags that the code would have overwritten before reading
 * are exempt (see trans.h), unless the engine runs with bt.debug = "alllive".
 *
 *     bt-diff [-n cases] [-t seconds] [-s seed] [-d bt.debug] [-v]
 *
 * A failure prints the seed of its case, the bytes and the differences, and
 * exits with 1.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "engine/bt/bt.h"
#include "engine/bt/decode.h"
#include "engine/engine.h"
#include "mem.h"

#define DATA_VA 0x40000000ull
#define DATA_PAGES 16u
#define DATA_SIZE (DATA_PAGES * 4096u)
#define CODE_VA 0x50000000ull
#define CODE_SIZE 8192u
#define SYS_VA 0x60000000ull
#define DATA_GPA 0x100000ull
#define CODE_GPA 0x200000ull
#define SYS_GPA 0x300000ull
#define RAM_SIZE (16ull << 20)
#define FX_SIZE 832u

/* In the system region: GDT, IDT, TSS, stubs, stack. */
#define GDT_OFF 0x0000u
#define IDT_OFF 0x1000u
#define TSS_OFF 0x2000u
#define STUB_OFF 0x3000u
#define STACK_OFF 0x5000u

struct state {
	uint64_t gpr[16], rip, rflags;
	uint8_t fx[FX_SIZE] __attribute__((aligned(64)));
	int vector; /* -1: reached the end */
};

static uint64_t rng_state;

static uint64_t rng(void)
{
	uint64_t z = rng_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned pick(unsigned n)
{
	return (unsigned)(rng() % n);
}

/* ---- native side ---------------------------------------------------------------- */

void native_enter(const struct state *s, const void *code);
void native_leave(void);
extern uint64_t native_rsp;

__asm__(".text\n"
	".globl native_enter\n"
	"native_enter:\n"
	"  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15; subq $8, %rsp\n"
	"  movq %rsp, native_rsp(%rip)\n"
	"  movq %rsi, native_target(%rip)\n"
	"  movl $7, %eax; xorl %edx, %edx; xrstor64 192(%rdi)\n"
	"  pushq 136(%rdi); popfq\n"
	"  movq 0(%rdi), %rax; movq 8(%rdi), %rcx; movq 16(%rdi), %rdx; movq 24(%rdi), %rbx\n"
	"  movq 32(%rdi), %rsp; movq 40(%rdi), %rbp; movq 48(%rdi), %rsi\n"
	"  movq 64(%rdi), %r8; movq 72(%rdi), %r9; movq 80(%rdi), %r10; movq 88(%rdi), %r11\n"
	"  movq 96(%rdi), %r12; movq 104(%rdi), %r13; movq 112(%rdi), %r14; movq 120(%rdi), %r15\n"
	"  movq 56(%rdi), %rdi\n"
	"  jmp *native_target(%rip)\n"
	".globl native_leave\n"
	"native_leave:\n"
	"  addq $8, %rsp; popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp\n"
	"  fninit; vzeroupper; pushq $0x1f80; ldmxcsr (%rsp); addq $8, %rsp\n"
	"  ret\n"
	".data\n"
	".globl native_rsp\n"
	"native_rsp: .quad 0\n"
	"native_target: .quad 0\n"
	".text\n");
_Static_assert(offsetof(struct state, rflags) == 136, "offset in native_enter");
_Static_assert(offsetof(struct state, fx) == 192, "offset in native_enter");

static struct state native_end;
static const int reg_map[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,	 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static void copy_bytes(void *dst, const void *src, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}

static void native_handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	int trap = (int)g[REG_TRAPNO];

	(void)info;
	for (unsigned i = 0; i < 16; i++)
		native_end.gpr[i] = (uint64_t)g[reg_map[i]];
	native_end.rip = (uint64_t)g[REG_RIP];
	native_end.rflags = (uint64_t)g[REG_EFL];
	copy_bytes(native_end.fx, uc->uc_mcontext.fpregs, FX_SIZE);
	native_end.vector = sig == SIGTRAP ? -1 : trap;
	g[REG_RIP] = (greg_t)(uint64_t)native_leave;
	g[REG_RSP] = (greg_t)native_rsp;
	g[REG_EFL] = 0x202;
}

static const int caught[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
#define N_CAUGHT (sizeof(caught) / sizeof(caught[0]))

static void native_run(const struct state *start)
{
	struct sigaction sa = { .sa_sigaction = native_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	struct sigaction old[N_CAUGHT];

	for (unsigned i = 0; i < N_CAUGHT; i++)
		sigaction(caught[i], &sa, &old[i]);
	native_enter(start, (void *)CODE_VA);
	for (unsigned i = 0; i < N_CAUGHT; i++)
		sigaction(caught[i], &old[i], NULL);
}

/* ---- guest side ------------------------------------------------------------------ */

static struct mem mem;
static struct engine_vm *vm;
static struct engine_vcpu *vcpu;
static _Atomic uint32_t attention;

static int no_irq(void *opaque)
{
	(void)opaque;
	return -1;
}

static int none_pending(void *opaque)
{
	(void)opaque;
	return 0;
}

static const struct engine_vcpu_env env = { .attention = &attention, .irq_accept = no_irq, .irq_pending = none_pending };

static void changed(void *opaque, uint64_t gpa, uint64_t len, bool remapped)
{
	(void)opaque;
	if (vm)
		engine_bt.mem_changed(vm, gpa, len, remapped);
}

static void put64(uint64_t gpa, uint64_t value)
{
	mem_write(&mem, gpa, &value, 8);
}

static uint64_t data_gpa(unsigned page)
{
	return DATA_GPA + (uint64_t)(DATA_PAGES - 1 - page) * 4096; /* neighbours in VA are not neighbours in memory */
}

static void make_tables(void)
{
	put64(0x1000, 0x2000 | 7);
	put64(0x2000 + 8, 0x3000 | 7); /* 1 GiB .. 2 GiB */
	put64(0x3000 + 8 * ((DATA_VA >> 21) & 511), 0x4000 | 7);
	put64(0x3000 + 8 * ((CODE_VA >> 21) & 511), 0x5000 | 7);
	put64(0x3000 + 8 * ((SYS_VA >> 21) & 511), 0x6000 | 7);
	for (unsigned i = 0; i < DATA_PAGES; i++)
		put64(0x4000 + 8 * i, data_gpa(i) | 7);
	for (unsigned i = 0; i < CODE_SIZE / 4096; i++)
		put64(0x5000 + 8 * i, (CODE_GPA + i * 4096) | 7);
	for (unsigned i = 0; i < 8; i++)
		put64(0x6000 + 8 * i, (SYS_GPA + i * 4096) | 3);
}

static void make_idt(void)
{
	for (unsigned i = 0; i < 32; i++) {
		uint64_t stub = SYS_VA + STUB_OFF + 16 * i;

		put64(SYS_GPA + IDT_OFF + 16 * i,
		      (stub & 0xffff) | 8ull << 16 | 0x8e00ull << 32 | (stub >> 16 & 0xffff) << 48);
		put64(SYS_GPA + IDT_OFF + 16 * i + 8, stub >> 32);
		mem_write(&mem, SYS_GPA + STUB_OFF + 16 * i, "\x0f\x01\xc1\xf4", 4);
	}
	put64(SYS_GPA + GDT_OFF + 0x08, 0x00af9b000000ffffull);
	put64(SYS_GPA + GDT_OFF + 0x10, 0x00cf93000000ffffull);
	put64(SYS_GPA + GDT_OFF + 0x18, 0x00cff3000000ffffull);
	put64(SYS_GPA + GDT_OFF + 0x20, 0x00affb000000ffffull);
	put64(SYS_GPA + TSS_OFF + 4, SYS_VA + STACK_OFF + 0x2000);
}

static void segment(struct gamut_vcpu_state *s, enum gamut_seg i, uint16_t selector, uint32_t attr)
{
	s->seg[i] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = selector, .attr = attr };
}

static void guest_state(struct gamut_vcpu_state *s, const struct state *start)
{
	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	memcpy(s->gpr, start->gpr, sizeof(s->gpr));
	s->rip = CODE_VA;
	s->rflags = start->rflags | 0x202;
	for (enum gamut_seg i = GAMUT_ES; i <= GAMUT_GS; i++)
		segment(s, i, 0x1b, 0xc0f3);
	segment(s, GAMUT_CS, 0x23, 0xa0fb);
	segment(s, GAMUT_LDTR, 0, 0x10082);
	segment(s, GAMUT_TR, 0x28, 0x8b);
	s->seg[GAMUT_TR].base = SYS_VA + TSS_OFF;
	s->seg[GAMUT_TR].limit = 0x67;
	s->gdt = (struct gamut_table){ .base = SYS_VA + GDT_OFF, .limit = 0x37 };
	s->idt = (struct gamut_table){ .base = SYS_VA + IDT_OFF, .limit = 32 * 16 - 1 };
	s->cr0 = 0x80050033;
	s->cr3 = 0x1000;
	s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
}

static uint64_t guest_frame(unsigned i, uint64_t rsp)
{
	uint64_t value = 0, off = rsp + 8ull * i - SYS_VA;

	mem_read(&mem, SYS_GPA + off, &value, 8);
	return value;
}

static bool has_error(int vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static void guest_end(struct state *end)
{
	struct gamut_vcpu_state s = { .size = sizeof(s) };
	uint64_t rsp;
	unsigned e;

	engine_bt.vcpu_get(vcpu, &s);
	memcpy(end->gpr, s.gpr, sizeof(end->gpr));
	end->rip = s.rip;
	end->rflags = s.rflags;
	end->vector = -1;
	memcpy(end->fx, ((struct bt_vcpu *)vcpu)->fpu_area, FX_SIZE);
	if (s.rip - (SYS_VA + STUB_OFF) >= 32 * 16)
		return;
	end->vector = (int)((s.rip - (SYS_VA + STUB_OFF)) / 16);
	e = has_error(end->vector);
	rsp = s.gpr[RSP];
	end->rip = guest_frame(e, rsp);
	end->rflags = guest_frame(e + 2, rsp);
	end->gpr[RSP] = guest_frame(e + 3, rsp);
}

static bool guest_run(const struct state *start, struct state *end)
{
	struct gamut_vcpu_state s;
	struct vcpu_exit exit = { .reason = EXIT_INTR };

	guest_state(&s, start);
	if (engine_bt.vcpu_set(vcpu, &s)) {
		fprintf(stderr, "bt-diff: vcpu_set refused the state\n");
		return false;
	}
	((struct bt_vcpu *)vcpu)->xcr0 = 7;
	bt_update_key((struct bt_vcpu *)vcpu);
	memcpy(((struct bt_vcpu *)vcpu)->fpu_area, start->fx, FX_SIZE);
	do
		engine_bt.vcpu_run(vcpu, &exit);
	while (exit.reason == EXIT_INTR);
	if (exit.reason != EXIT_HYPERCALL) {
		fprintf(stderr, "bt-diff: unexpected exit %d at %#" PRIx64 " %s\n", exit.reason, exit.rip,
			exit.reason == EXIT_ERROR ? exit.error.text : "");
		return false;
	}
	exit.hypercall.result = s.gpr[RAX];
	guest_end(end);
	/* The hypercall's result would land in rax: complete it with what is there. */
	exit.hypercall.result = end->gpr[RAX];
	exit.hypercall.long_mode = true;
	exit.hypercall.restart = false;
	exit.hypercall.undefined = false;
	((struct bt_vcpu *)vcpu)->exited = EXIT_INTR;
	return true;
}

/* ---- generating ----------------------------------------------------------------------- */

static uint8_t code[CODE_SIZE];
static unsigned code_len;

static void put(uint8_t b)
{
	code[code_len++] = b;
}

static void put_mov_imm(unsigned reg, uint64_t imm)
{
	put(reg >= 8 ? 0x49 : 0x48);
	put(0xb8 | (reg & 7));
	memcpy(code + code_len, &imm, 8);
	code_len += 8;
}

static unsigned random_bytes(uint8_t *b)
{
	unsigned n = 0;

	if (pick(5) == 0)
		b[n++] = 0x66;
	if (pick(6) == 0)
		b[n++] = pick(2) ? 0xf3 : 0xf2;
	if (pick(12) == 0)
		b[n++] = 0xf0;
	switch (pick(8)) {
	case 0: /* VEX3 */
		b[n++] = 0xc4;
		b[n++] = (uint8_t)((rng() & 0xe0) | (1 + pick(3)));
		b[n++] = (uint8_t)rng();
		break;
	case 1: /* VEX2 */
		b[n++] = 0xc5;
		b[n++] = (uint8_t)rng();
		break;
	default:
		if (pick(2))
			b[n++] = (uint8_t)(0x40 | pick(16));
		switch (pick(6)) {
		case 0:
			b[n++] = 0x0f;
			b[n++] = pick(2) ? 0x38 : 0x3a;
			break;
		case 1:
		case 2:
			b[n++] = 0x0f;
			break;
		default:
			break;
		}
	}
	while (n < 15)
		b[n++] = (uint8_t)rng();
	return n;
}

static bool wanted(const struct insn *in)
{
	if (in->seg_override >= 0)
		return false;
	/* Reads what differs by nature, or cannot be compared. */
	if (in->class_ == CLASS_STRING)
		return in->addrsize == 8;
	if (in->class_ == CLASS_PUSH || in->class_ == CLASS_POP)
		return in->stacksize == 8 && !(in->has_modrm && in->mod != 3);
	if (in->class_ != CLASS_COPY)
		return false;
	return in->op != OP_NONE && in->addrsize == 8;
}

/* A memory operand gets a base register that points into the data, just loaded. */
static void place_memory(const struct insn *in, const uint8_t *bytes)
{
	static const uint8_t bases[] = { RBX, RBP, RSI, RDI, R8, R11, R13, R15, RAX };
	unsigned base = bases[pick(sizeof(bases))], index = 4, scale = 0, i = 0;
	uint64_t addr = DATA_VA + 256 + pick(DATA_SIZE - 4096);
	int32_t disp = (int32_t)pick(256) - 128;

	if (pick(6) == 0)
		addr = (addr & ~4095ull) + 4096 - pick(34); /* near a page's end */
	else if (pick(3))
		addr &= ~31ull;
	if ((addr & 31) == 0)
		disp &= ~31;
	if (pick(3) == 0) {
		index = bases[pick(sizeof(bases))];
		if (index != base) {
			scale = pick(4);
			put_mov_imm(index, 32 * pick(4));
		} else {
			index = 4;
		}
	}
	put_mov_imm(base, addr);
	/* prefixes with X and B replaced, opcode, then our own modrm */
	unsigned rex_at = in->vex ? 15 : (in->rex ? (unsigned)(in->opc_off - (in->map == MAP_1 ? 1 : in->map == MAP_0F ? 2 : 3)) : 15);
	bool need_rex = base >= 8 || index >= 8;

	for (; i < in->modrm_off; i++) {
		uint8_t b = bytes[i];

		if (in->vex && bytes[i] == 0xc5 && i + 2 == in->opc_off) { /* two bytes cannot carry X and B */
			put(0xc4);
			put((uint8_t)((bytes[i + 1] & 0x80) | (index >= 8 ? 0 : 0x40) | (base >= 8 ? 0 : 0x20) | 1));
			put(bytes[i + 1] & 0x7f);
			i++;
			continue;
		}
		if (in->vex && bytes[i] == 0xc4 && i + 3 == in->opc_off) {
			put(0xc4);
			put((uint8_t)((bytes[i + 1] & 0x9f) | (index >= 8 ? 0 : 0x40) | (base >= 8 ? 0 : 0x20)));
			put(bytes[i + 2]);
			i += 2;
			continue;
		}
		if (i == rex_at)
			b = (uint8_t)((b & ~3u) | (index >= 8 ? 2 : 0) | (base >= 8 ? 1 : 0));
		else if (!in->vex && !in->rex && need_rex &&
			 i == (unsigned)(in->opc_off - (in->map == MAP_1 ? 0 : in->map == MAP_0F ? 1 : 2)))
			put((uint8_t)(0x40 | (index >= 8 ? 2 : 0) | (base >= 8 ? 1 : 0)));
		put(b);
	}
	put((uint8_t)(0x80 | (in->modrm & 0x38) | 4));
	put((uint8_t)(scale << 6 | (index & 7) << 3 | (base & 7)));
	memcpy(code + code_len, &disp, 4);
	code_len += 4;
	for (i = 0; i < in->imm_size; i++)
		put(bytes[in->imm_off + i]);
}

static void add_insn(void)
{
	for (;;) {
		uint8_t b[16];
		struct insn in, check;
		unsigned at;

		random_bytes(b);
		if (!insn_decode(&in, b, 15, MODE_64) || !wanted(&in))
			continue;
		if (in.class_ == CLASS_STRING) {
			put_mov_imm(RSI, DATA_VA + 64 + pick(DATA_SIZE - 9000));
			put_mov_imm(RDI, DATA_VA + 64 + pick(DATA_SIZE - 9000));
			if (in.rep)
				put_mov_imm(RCX, pick(pick(4) ? 20 : 900));
		}
		if (!in.has_modrm || in.mod == 3) {
			if (!in.has_modrm && in.imm_size == 8 && (in.attr & ATTR_MEM))
				continue; /* moffs: nowhere near the data */
			memcpy(code + code_len, b, in.len);
			code_len += in.len;
			return;
		}
		at = code_len;
		place_memory(&in, b);
		/* What came out must still be what was wanted. */
		for (unsigned o = at; o < code_len;) {
			if (!insn_decode(&check, code + o, 15, MODE_64))
				break;
			o += check.len;
		}
		if (check.op != in.op || check.opcode != in.opcode || !wanted(&check)) {
			code_len = at;
			continue;
		}
		return;
	}
}

static bool writes(unsigned at, unsigned reg)
{
	struct insn in;

	for (; at < code_len && insn_decode(&in, code + at, 15, MODE_64); at += in.len) {
		if (in.regs_written & 1u << reg)
			return true;
	}
	return false;
}

static void generate(void)
{
	unsigned n = 1 + pick(12);

	memset(code, 0xf4, sizeof(code));
	code_len = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned at = code_len;

		if (pick(5) == 0) { /* a conditional jump over the next instruction */
			put(0x70 | pick(16));
			put(0);
			add_insn();
			if (code_len - at - 2 < 128)
				code[at + 1] = (uint8_t)(code_len - at - 2);
			else
				code_len = at;
		} else if (pick(12) == 0) { /* a loop */
			put_mov_imm(RCX, 2 + pick(3));
			at = code_len;
			do {
				code_len = at;
				add_insn();
			} while (writes(at, RCX));
			put(0xe2);
			put((uint8_t)(at - (code_len + 1)));
		} else if (pick(10) == 0) { /* pushf; pop */
			put(0x9c);
			put(0x58 | pick(4));
		} else {
			add_insn();
		}
	}
}

static void random_state(struct state *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 16; i++) {
		s->gpr[i] = pick(3) ? rng() : pick(256);
		if (pick(8) == 0)
			s->gpr[i] = DATA_VA + pick(DATA_SIZE);
	}
	s->gpr[RSP] = DATA_VA + DATA_SIZE / 2 + 8 * pick(600);
	s->rflags = 0x202 | (rng() & FL_ARITH);
	for (unsigned i = 160; i < 416; i++)
		s->fx[i] = (uint8_t)rng();
	for (unsigned i = 576; i < 832; i++)
		s->fx[i] = (uint8_t)rng();
	s->fx[0] = 0x7f;
	s->fx[1] = 0x03;
	s->fx[24] = 0x80;
	s->fx[25] = 0x1f;
	s->fx[512] = 7;
}

/* ---- comparing -------------------------------------------------------------------------- */

static bool flags_matter = false;

static bool same_fx(const struct state *a, const struct state *b)
{
	uint8_t x[FX_SIZE], y[FX_SIZE];

	memcpy(x, a->fx, FX_SIZE);
	memcpy(y, b->fx, FX_SIZE);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *p = i ? y : x;

		memset(p + 6, 0, 18);      /* opcode and pointers */
		memset(p + 28, 0, 4);
		memset(p + 416, 0, 160);   /* reserved, header */
		/* init optimization: a component not in use is all zero, or x87's power-on state */
		uint64_t bv;
		memcpy(&bv, (i ? b : a)->fx + 512, 8);
		if (!(bv & 1)) {
			memset(p, 0, 6);
			p[0] = 0x7f;
			p[1] = 0x03;
			memset(p + 32, 0, 128);
		}
		if (!(bv & 2))
			memset(p + 160, 0, 256);
		if (!(bv & 4))
			memset(p + 576, 0, 256);
		for (unsigned r = 0; r < 8; r++)
			memset(p + 32 + 16 * r + 10, 0, 6);
	}
	return !memcmp(x, y, FX_SIZE);
}

static void print_code(void)
{
	for (unsigned o = 0; o < code_len;) {
		struct insn in;

		fprintf(stderr, "  %04x:", o);
		if (!insn_decode(&in, code + o, 15, MODE_64))
			break;
		for (unsigned i = 0; i < in.len; i++)
			fprintf(stderr, " %02x", code[o + i]);
		fprintf(stderr, "   (op %u class %u)\n", in.op, in.class_);
		o += in.len;
	}
}

static void report(const struct state *start, const struct state *g, uint64_t seed, unsigned data_at)
{
	const struct state *n = &native_end;
	static const char *const name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

	fprintf(stderr, "bt-diff: difference, seed %#" PRIx64 "\n", seed);
	print_code();
	fprintf(stderr, "  ended: native vector %d at %#" PRIx64 ", guest vector %d at %#" PRIx64 "\n", n->vector,
		(uint64_t)(n->rip - CODE_VA), g->vector, (uint64_t)(g->rip - CODE_VA));
	for (unsigned i = 0; i < 16; i++) {
		if (n->gpr[i] != g->gpr[i])
			fprintf(stderr, "  %-3s start %016" PRIx64 " native %016" PRIx64 " guest %016" PRIx64 "\n", name[i],
				start->gpr[i], n->gpr[i], g->gpr[i]);
	}
	if ((n->rflags ^ g->rflags) & FL_ARITH)
		fprintf(stderr, "  flags start %03x native %03x guest %03x\n", (unsigned)(start->rflags & FL_ARITH),
			(unsigned)(n->rflags & FL_ARITH), (unsigned)(g->rflags & FL_ARITH));
	if (!same_fx(n, g)) {
		fprintf(stderr, "  vector or x87 state:");
		for (unsigned i = 0; i < FX_SIZE; i++) {
			if (n->fx[i] != g->fx[i] && (i < 416 || i >= 512))
				fprintf(stderr, " [%u] %02x/%02x", i, n->fx[i], g->fx[i]);
		}
		fprintf(stderr, "\n");
	}
	if (data_at < DATA_SIZE)
		fprintf(stderr, "  memory at data + %#x\n", data_at);
}

static unsigned data_difference(void)
{
	for (unsigned page = 0; page < DATA_PAGES; page++) {
		const uint8_t *n = (const uint8_t *)DATA_VA + 4096 * page, *g = mem.base + data_gpa(page);

		if (!memcmp(n, g, 4096))
			continue;
		for (unsigned i = 0; i < 4096; i++) {
			if (n[i] != g[i])
				return 4096 * page + i;
		}
	}
	return DATA_SIZE;
}

static bool equal(const struct state *g)
{
	const struct state *n = &native_end;
	uint64_t flags = n->vector < 0 || flags_matter ? FL_ARITH : 0;

	if (n->vector != g->vector || memcmp(n->gpr, g->gpr, sizeof(n->gpr)) || !same_fx(n, g))
		return false;
	if (n->vector >= 0 && n->rip != g->rip)
		return false;
	return !((n->rflags ^ g->rflags) & flags);
}

static bool one_case(uint64_t seed)
{
	struct state start, end;
	unsigned at;

	rng_state = seed;
	generate();
	random_state(&start);
	for (unsigned i = 0; i < DATA_SIZE; i += 8) {
		uint64_t value = rng();

		memcpy((uint8_t *)DATA_VA + i, &value, 8);
		memcpy(mem.base + data_gpa(i / 4096) + i % 4096, &value, 8);
	}
	memcpy((void *)CODE_VA, code, CODE_SIZE);
	((uint8_t *)CODE_VA)[code_len] = 0xcc;
	mem_write(&mem, CODE_GPA, code, CODE_SIZE);
	mem_write(&mem, CODE_GPA + code_len, "\x0f\x01\xc1", 3);
	native_run(&start);
	if (!guest_run(&start, &end)) {
		fprintf(stderr, "bt-diff: seed %#" PRIx64 "\n", seed);
		print_code();
		return false;
	}
	at = data_difference();
	if (equal(&end) && at == DATA_SIZE)
		return true;
	report(&start, &end, seed, at);
	return false;
}

/* The native side runs on the guest's stack pointer; its first signal comes before the engine has made its own stack. */
static bool signal_stack(void)
{
	static uint8_t stack[64 << 10];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack), .ss_flags = (int)(1u << 31) /* SS_AUTODISARM */ };

	return !sigaltstack(&ss, NULL);
}

static bool set_up(const char *debug)
{
	struct engine_config config = { .vcpus = 1, .code_cache = 4u << 20, .debug = debug };
	struct cpuid_entry *leaves = NULL;
	uint32_t n_leaves = 0;
	char err[160] = "";

	if (!signal_stack()) {
		perror("bt-diff: sigaltstack");
		return false;
	}
	if (mem_init(&mem, RAM_SIZE, err, sizeof(err)) || engine_bt.vm_create(&vm, &mem, &config, err, sizeof(err)) ||
	    engine_bt.vcpu_create(vm, 0, &env, &vcpu, err, sizeof(err))) {
		fprintf(stderr, "bt-diff: %s\n", err);
		return false;
	}
	if (engine_bt.cpuid_supported(vm, &leaves, &n_leaves) || engine_bt.cpuid_set(vcpu, leaves, n_leaves)) {
		fprintf(stderr, "bt-diff: CPUID\n");
		return false;
	}
	free(leaves);
	mem.changed = changed;
	make_tables();
	make_idt();
	if (mmap((void *)DATA_VA, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		 0) != (void *)DATA_VA ||
	    mmap((void *)CODE_VA, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)CODE_VA) {
		perror("bt-diff: mmap");
		return false;
	}
	return true;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t n = UINT64_MAX, seed = 1, cases = 0;
	bool verbose = false;
	const char *debug = "";
	double limit = 10, start;
	int opt, bad = 0;

	while ((opt = getopt(argc, argv, "n:t:s:d:v")) != -1) {
		if (opt == 'n')
			n = strtoull(optarg, NULL, 0);
		else if (opt == 't')
			limit = atof(optarg);
		else if (opt == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (opt == 'd')
			debug = optarg;
		else if (opt == 'v')
			verbose = true;
		else
			return 2;
	}
	flags_matter = strstr(debug, "alllive") || strstr(debug, "interp");
	if (!set_up(debug))
		return 1;
	start = now();
	for (; cases < n && now() - start < limit && bad < 5; cases++) {
		if (verbose)
			fprintf(stderr, "seed %#" PRIx64 "\n", seed + cases);
		if (!one_case(seed + cases))
			bad++;
	}
	engine_bt.vcpu_destroy(vcpu);
	engine_bt.vm_destroy(vm);
	mem_finish(&mem);
	printf("%" PRIu64 " cases, %d differences\n", cases, bad);
	return bad ? 1 : 0;
}
