/* SPDX-License-Identifier: MIT */
/*
 * Random instructions, run by the interpreter in a 64-bit guest with paging
 * and by the processor itself, must agree in registers, flags, memory and
 * vector state. And what the decoder declares must be so: a register, flag or
 * byte of memory that is not written does not change, and one that is not read
 * does not matter.
 *
 * The guest's data and code are at the same virtual addresses in this
 * process, so that the processor runs the very same bytes. Seeds are fixed;
 * BT_TEST_SEED and BT_TEST_COUNT choose others.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "engine/bt/fpu.h"
#include "engine/bt/interp.h"
#include "engine/bt/mmu.h"
#include "engine/bt/sys.h"

#define CB_VA      0x20000000ull
#define DATA_VA    0x30000000ull
#define DATA_PAGES 3
#define DATA_SIZE  (DATA_PAGES * 4096u)
#define CODE_VA    0x31000000ull
#define DATA_GPA   0x10000u
#define CODE_GPA   0x20000u

/* Control block of the native runner, at CB_VA; offsets are in the assembly below. */
struct control {
	uint64_t in[16];             /* 0 */
	uint64_t out[16];            /* 0x80 */
	uint64_t flags_in, pad;      /* 0x100 */
	uint64_t flags_out, top;     /* 0x110; rsp for the push is 0x118 */
	uint64_t host_rsp, target;   /* 0x120 */
	uint64_t epilogue, function; /* 0x130 */
	uint8_t pad2[0xc0];
	uint8_t fx_in[512];      /* 0x200 */
	uint8_t fx_out[512];     /* 0x400 */
	uint8_t ymm_in[16][32];  /* 0x600 */
	uint8_t ymm_out[16][32]; /* 0x800 */
};
_Static_assert(offsetof(struct control, fx_in) == 0x200 && offsetof(struct control, ymm_out) == 0x800,
               "assembly");

void test_native(void);                /* runs the code at control.target on control.in */
void test_native_end(void);            /* where that code jumps */
uint64_t test_with_vectors(void *arg); /* calls control.function(arg) with the vector state live */

#define S(x) #x
#define YMM(op)                                                                                              \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD_Y(n)  "vmovdqu 0x20000600+32*" S(n) ", %ymm" S(n) "\n"
#define SAVE_Y(n)  "vmovdqu %ymm" S(n) ", 0x20000800+32*" S(n) "\n"
#define PUSH_ALL   "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
#define POP_ALL    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"
#define LOAD_STATE "fxrstor64 0x20000200\n" YMM(LOAD_Y)
#define SAVE_STATE YMM(SAVE_Y) "fxsave64 0x20000400\nfninit\nldmxcsr test_mxcsr(%rip)\nvzeroupper\n"
#define G(op)                                                                                                \
	op(rax, 0) op(rcx, 8) op(rdx, 16) op(rbx, 24) op(rsp, 32) op(rbp, 40) op(rsi, 48) op(rdi, 56)        \
	        op(r8, 64) op(r9, 72) op(r10, 80) op(r11, 88) op(r12, 96) op(r13, 104) op(r14, 112)          \
	                op(r15, 120)
#define LOAD_G(r, o) "mov 0x20000000+" S(o) ", %" S(r) "\n"
#define SAVE_G(r, o) "mov %" S(r) ", 0x20000080+" S(o) "\n"

__asm__(".text\ntest_mxcsr: .long 0x1f80\n"
        ".globl test_native, test_native_end, test_with_vectors\n"
        "test_native:\n" PUSH_ALL "mov %rsp, 0x20000120\n" LOAD_STATE "mov $0x20000100, %rsp\npopfq\n" G(
                LOAD_G) "jmp *0x20000128\n"
                        "test_native_end:\n" G(SAVE_G) "mov $0x20000118, %rsp\npushfq\ncld\n" SAVE_STATE
                                                       "mov 0x20000120, %rsp\n" POP_ALL "ret\n"
                                                       "test_with_vectors:\n" PUSH_ALL
                                                       "sub $8, %rsp\n" LOAD_STATE
                                                       "call *0x20000138\n" SAVE_STATE
                                                       "add $8, %rsp\n" POP_ALL "ret\n");

static struct control *const cb = (struct control *)CB_VA;
static uint8_t *const data = (uint8_t *)DATA_VA;
static uint8_t *const code = (uint8_t *)CODE_VA;

/* ---- the world ------------------------------------------------------------------------- */

struct world {
	struct bt_vcpu *v;
	struct mem mem;
	struct vcpu_exit exit;
	uint64_t seed;
};

static struct bt_vcpu *signal_vcpu;
static volatile int signal_seen;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	uint64_t pc = (uint64_t)g[REG_RIP];
	struct bt_vcpu *v = signal_vcpu;

	if (v && v->native_resume && pc - (uint64_t)v->native < INTERP_NATIVE_SIZE) {
		v->native_signal = sig;
		v->native_code = info->si_code;
		g[REG_RIP] = (greg_t)v->native_resume;
	} else if (pc - CODE_VA < 4096) {
		signal_seen = sig;
		g[REG_RIP] = (greg_t)cb->epilogue;
	} else {
		signal(sig, SIG_DFL);
	}
}

/* In each test: cmocka installs handlers of its own around it. */
static void catch_signals(void)
{
	static const int signals[] = {SIGFPE, SIGSEGV, SIGILL, SIGBUS};
	static uint8_t memory[65536];
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	stack_t stack = {.ss_size = sizeof(memory), .ss_sp = memory};

	assert_int_equal(sigaltstack(&stack, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		sigaction(signals[i], &sa, NULL);
}

static void *map_at(uint64_t va, size_t size, int prot)
{
	return mmap((void *)va, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static void put64(struct world *w, uint64_t gpa, uint64_t value)
{
	memcpy(w->mem.base + gpa, &value, 8);
}

static void page_tables(struct world *w)
{
	put64(w, 0x1000, 0x2003);
	put64(w, 0x2000, 0x3003);
	put64(w, 0x3000 + 8 * (DATA_VA >> 21), 0x4003);
	put64(w, 0x3000 + 8 * (CODE_VA >> 21), 0x5003);
	for (unsigned i = 0; i < DATA_PAGES; i++)
		put64(w, 0x4000 + 8 * i, (DATA_GPA + i * 4096) | 3);
	put64(w, 0x5000, CODE_GPA | 3);
}

static void long_mode(struct bt_vcpu *v)
{
	sys_reset(v);
	v->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_MP;
	v->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	v->efer = EFER_LMA | EFER_LME;
	v->cr3 = 0x1000;
	v->xcr0 = 7;
	for (unsigned i = 0; i < 6; i++) {
		v->seg[i] = (struct gamut_segment){
		        .selector = 16, .limit = ~0u, .attr = i == GAMUT_CS ? 0xa09b : 0xc093};
		v->seg_base[i] = 0;
	}
	v->cpl = 0;
	v->dr[7] = 0x400;
	bt_update_key(v);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char err[128];

	assert_non_null(w);
	*state = w;
	w->v = mmap(NULL, sizeof(*w->v), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(w->v != MAP_FAILED);
	assert_int_equal(mem_init(&w->mem, 2 << 20, err, sizeof(err)), 0);
	w->v->mem = &w->mem;
	w->v->exit = &w->exit;
	for (unsigned i = 0; i < 2; i++) {
		w->v->tlb_list[i][0] = malloc(TLB_SIZE * 2);
		w->v->tlb_list[i][1] = malloc(TLB_SIZE * 2);
		w->v->jc_list[i] = malloc(JC_SIZE * 2);
	}
	assert_int_equal(interp_init(w->v), 0);
	assert_int_equal(fpu_init(w->v), 0);
	tlb_init(w->v);
	page_tables(w);
	long_mode(w->v);
	assert_true(map_at(CB_VA, 4096, PROT_READ | PROT_WRITE) == cb);
	assert_true(map_at(DATA_VA, DATA_SIZE, PROT_READ | PROT_WRITE) == data);
	assert_true(map_at(CODE_VA, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == code);
	cb->epilogue = (uint64_t)(uintptr_t)test_native_end;
	signal_vcpu = w->v;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	signal_vcpu = NULL;
	interp_finish(w->v);
	fpu_finish(w->v);
	for (unsigned i = 0; i < 2; i++) {
		free(w->v->tlb_list[i][0]);
		free(w->v->tlb_list[i][1]);
		free(w->v->jc_list[i]);
	}
	mem_finish(&w->mem);
	munmap(w->v, sizeof(*w->v));
	munmap(cb, 4096);
	munmap(data, DATA_SIZE);
	munmap(code, 4096);
	free(w);
	return 0;
}

/* ---- random instructions ----------------------------------------------------------------- */

static uint64_t rnd(struct world *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed * 0x2545f4914f6cdd1dull >> 11;
}

struct trial {
	struct insn in;
	uint8_t bytes[16];
	uint64_t gpr[16], flags, operand; /* operand: address of the memory operand, 0 when none */
	uint8_t vectors[16][32], x87[8][16];
	uint8_t data[DATA_SIZE];
};

/* Results of one run. */
struct outcome {
	uint64_t gpr[16], flags;
	uint8_t vectors[16][32], fx[512];
	uint8_t data[DATA_SIZE];
	int fault; /* a signal, or 1 for STEP_FAULT */
};

static bool acceptable(const struct insn *in)
{
	if (in->seg_override >= GAMUT_FS || in->op == OP_CLFLUSH)
		return false;
	/* ldmxcsr and fldcw could unmask exceptions for what comes after: left to their own test. */
	if (in->op == OP_COPY_ONLY && in->map == MAP_0F && in->opcode == 0xae)
		return false;
	if (in->op == OP_COPY_ONLY && in->map == MAP_1 && in->opcode == 0xd9 && in->mod != 3 &&
	    (in->reg & 7) == 5)
		return false;
	/* Undefined by the manuals, but a nop on processors of Intel. */
	if (in->map == MAP_0F && in->opcode == 0x0d && in->mod == 3)
		return false;
	return in->class_ == CLASS_COPY || in->class_ == CLASS_STRING || in->class_ == CLASS_PUSH ||
	       in->class_ == CLASS_POP || in->class_ == CLASS_LEAVE;
}

/* Mostly plausible bytes: prefixes, escape, opcode, then noise. */
static void random_bytes(struct world *w, uint8_t *bytes)
{
	static const uint8_t prefixes[] = {0x66, 0xf3, 0xf2, 0xf0, 0x67, 0x66, 0xf3, 0xf2};
	unsigned n = 0, kind = rnd(w) % 8;

	for (unsigned i = 0; i < 15; i++)
		bytes[i] = (uint8_t)rnd(w);
	if (rnd(w) % 3 == 0)
		bytes[n++] = prefixes[rnd(w) % 8];
	if (kind == 0) {
		bytes[0] = 0xc5;
		return;
	}
	if (kind == 1) {
		bytes[0] = 0xc4;
		bytes[1] = (uint8_t)((bytes[1] & 0xe0) | (1 + rnd(w) % 3));
		return;
	}
	if (rnd(w) % 2)
		bytes[n++] = 0x40 | rnd(w) % 16;
	if (kind < 6)
		bytes[n++] = 0x0f;
	if (kind == 4)
		bytes[n++] = rnd(w) % 2 ? 0x38 : 0x3a;
}

/* Offset of the 32-bit displacement of an operand without registers. */
static unsigned disp_offset(const struct insn *in)
{
	return in->modrm_off + 1u + in->has_sib;
}

/* Makes the operand land at t->operand by choosing registers or the displacement. False: not this time. */
static bool place_operand(struct world *w, struct trial *t)
{
	struct insn *in = &t->in;
	uint64_t want = DATA_VA + 256 + rnd(w) % (DATA_SIZE - 512), rest = (uint64_t)in->disp;
	uint32_t disp;

	if (rnd(w) % 2)
		want &= ~31ull;
	else if (rnd(w) % 4 == 0)
		want = DATA_VA + 4096 - rnd(w) % 16;
	t->operand = want;
	if (in->attr & ATTR_BITOFF) {
		if ((int)in->reg == in->base || (int)in->reg == in->index)
			return false;
		t->gpr[in->reg] = (rnd(w) & 0x1ff) - 0x100;
	}
	if (in->index >= 0 && in->base != in->index && in->base >= 0) {
		in->index == RSP ? 0 : (t->gpr[in->index] &= 0xff);
		rest += t->gpr[in->index] << in->scale;
	} else if (in->index >= 0) {
		return false;
	}
	if (in->base >= 0) {
		t->gpr[in->base] = want - rest;
		if (in->addrsize == 4)
			t->gpr[in->base] = (uint32_t)(want - rest) | rnd(w) << 32;
		return true;
	}
	if (!in->has_modrm)
		return false;
	disp = (uint32_t)(want - (in->rip_rel ? CODE_VA + in->len : 0));
	memcpy(t->bytes + disp_offset(in), &disp, 4);
	return insn_decode(in, t->bytes, 15, MODE_64);
}

/* Registers, flags, memory and vectors. */
static void random_state(struct world *w, struct trial *t)
{
	for (unsigned i = 0; i < 16; i++)
		t->gpr[i] = rnd(w) % 3 ? rnd(w) << (rnd(w) % 40) : (uint64_t)(int64_t)(int8_t)rnd(w);
	t->flags = (rnd(w) & FL_ARITH) | FL_FIXED;
	for (unsigned i = 0; i < sizeof(t->data); i++)
		t->data[i] = (uint8_t)rnd(w);
	for (unsigned i = 0; i < sizeof(t->vectors); i++)
		t->vectors[i / 32][i % 32] = (uint8_t)rnd(w);
	for (unsigned i = 0; i < 8; i++) /* ordinary x87 numbers */
		for (unsigned j = 0; j < 10; j++)
			t->x87[i][j] = j == 9   ? 0x40
			               : j == 8 ? rnd(w) & 0x1f
			                        : (uint8_t)rnd(w) | (j == 7 ? 0x80 : 0);
	t->operand = 0;
}

/* Stack and string instructions use these. */
static void place_pointers(struct world *w, struct trial *t)
{
	t->gpr[RSP] = DATA_VA + 6000 + rnd(w) % 64;
	t->gpr[RBP] = DATA_VA + 3000 + rnd(w) % 2000;
	t->gpr[RSI] = DATA_VA + 2000 + rnd(w) % 5000;
	t->gpr[RDI] = DATA_VA + 2000 + rnd(w) % 5000;
	t->gpr[RCX] = rnd(w) % 40;
	if (t->in.class_ == CLASS_STRING && rnd(w) % 4 == 0)
		t->flags |= FL_DF;
}

static bool random_trial(struct world *w, struct trial *t)
{
	random_bytes(w, t->bytes);
	if (!insn_decode(&t->in, t->bytes, 15, MODE_64) || !acceptable(&t->in))
		return false;
	random_state(w, t);
	if (t->in.class_ != CLASS_COPY)
		place_pointers(w, t);
	if (!(t->in.attr & ATTR_MEM))
		return true;
	return t->in.class_ == CLASS_COPY && place_operand(w, t);
}

static void put_vex(struct trial *t, unsigned r, unsigned x, unsigned vvvv, unsigned wl, uint8_t opcode)
{
	t->bytes[0] = 0xc4;
	t->bytes[1] = (uint8_t)((r & 8 ? 0 : 0x80) | (x & 8 ? 0 : 0x40) | 0x22);
	t->bytes[2] = (uint8_t)((wl & 2) << 6 | (~vvvv & 15) << 3 | (wl & 1) << 2 | 1);
	t->bytes[3] = opcode;
}

/* Gathers with indices from 0 to 255. */
static void gather_trial(struct world *w, struct trial *t)
{
	unsigned reg = rnd(w) % 16, vvvv = rnd(w) % 16, index = rnd(w) % 16;
	bool wide = rnd(w) % 2;

	random_state(w, t);
	put_vex(t, reg, index, vvvv, rnd(w) % 4, (uint8_t)(0x90 + 2 * (rnd(w) % 2) + wide));
	t->bytes[4] = (uint8_t)(0x44 | (reg & 7) << 3);
	t->bytes[5] = (uint8_t)(rnd(w) % 4 << 6 | (index & 7) << 3 | RBX);
	t->bytes[6] = (uint8_t)rnd(w);
	t->gpr[RBX] = DATA_VA + 4096;
	for (unsigned i = 0; i < 32; i++)
		if (i % (wide ? 8 : 4))
			t->vectors[index][i] = 0;
}

/* Masked moves whose unmasked elements may lie beyond what is mapped. */
static void maskmov_trial(struct world *w, struct trial *t)
{
	static const uint8_t opcodes[] = {0x2c, 0x2d, 0x2e, 0x2f, 0x8c, 0x8e};
	uint8_t opcode = opcodes[rnd(w) % 6];
	unsigned reg = rnd(w) % 16;

	random_state(w, t);
	put_vex(t, reg, 0, rnd(w) % 16, opcode < 0x80 ? rnd(w) % 2 : rnd(w) % 4, opcode);
	t->bytes[4] = (uint8_t)((reg & 7) << 3 | RBX);
	t->gpr[RBX] = DATA_VA + DATA_SIZE - rnd(w) % 48;
	if (rnd(w) % 2)
		t->gpr[RBX] -= 4096;
}

/* maskmovdqu and maskmovq. */
static void maskbytes_trial(struct world *w, struct trial *t)
{
	unsigned n = 0;

	random_state(w, t);
	if (rnd(w) % 2) {
		t->bytes[n++] = 0x66;
		t->bytes[n++] = 0x40 | (rnd(w) % 8 & 5);
	}
	t->bytes[n++] = 0x0f;
	t->bytes[n++] = 0xf7;
	t->bytes[n++] = 0xc0 | rnd(w) % 64;
	t->gpr[RDI] = DATA_VA + 4096 - rnd(w) % 20;
}

/* ---- running ------------------------------------------------------------------------------- */

static void load_vectors(const struct trial *t)
{
	uint32_t mxcsr = 0x1f80;
	uint16_t fcw = 0x37f;

	memset(cb->fx_in, 0, 512);
	memcpy(cb->fx_in, &fcw, 2);
	cb->fx_in[4] = 0x3f; /* six registers full, top at 0 */
	memcpy(cb->fx_in + 24, &mxcsr, 4);
	for (unsigned i = 0; i < 8; i++)
		memcpy(cb->fx_in + 32 + 16 * i, t->x87[i], 16);
	for (unsigned i = 0; i < 16; i++)
		memcpy(cb->fx_in + 160 + 16 * i, t->vectors[i], 16);
	memcpy(cb->ymm_in, t->vectors, sizeof(cb->ymm_in));
}

static void take_vectors(struct outcome *o)
{
	memcpy(o->vectors, cb->ymm_out, sizeof(o->vectors));
	memcpy(o->fx, cb->fx_out, 512);
	memset(o->fx + 6, 0, 18); /* last instruction and operand: pointers of the host */
	memset(o->fx + 416, 0, 96);
}

static void run_native(const struct trial *t, struct outcome *o)
{
	static const uint8_t jump[] = {0xff, 0x24, 0x25, 0x30, 0x01, 0x00, 0x20}; /* jmp *control.epilogue */

	memcpy(code, t->bytes, t->in.len);
	memcpy(code + t->in.len, jump, sizeof(jump));
	memcpy(data, t->data, DATA_SIZE);
	memcpy(cb->in, t->gpr, sizeof(cb->in));
	cb->flags_in = t->flags;
	cb->target = CODE_VA;
	load_vectors(t);
	signal_seen = 0;
	test_native();
	o->fault = signal_seen;
	memcpy(o->gpr, cb->out, sizeof(o->gpr));
	o->flags = cb->flags_out & (FL_ARITH | FL_DF);
	memcpy(o->data, data, DATA_SIZE);
	take_vectors(o);
}

static enum bt_step last_step;

static void call_step(struct bt_vcpu *v)
{
	do
		last_step = interp_step(v);
	while (last_step == STEP_OK && v->rip == CODE_VA);
}

static void run_interp(struct world *w, const struct trial *t, struct outcome *o)
{
	struct bt_vcpu *v = w->v;

	memcpy(w->mem.base + DATA_GPA, t->data, DATA_SIZE);
	memcpy(w->mem.base + CODE_GPA, t->bytes, 16);
	memcpy(v->gpr, t->gpr, sizeof(v->gpr));
	bt_set_rflags(v, t->flags);
	v->rip = CODE_VA;
	load_vectors(t);
	cb->function = (uint64_t)(uintptr_t)call_step;
	test_with_vectors(v);
	o->fault = last_step != STEP_OK;
	memcpy(o->gpr, v->gpr, sizeof(o->gpr));
	o->flags = bt_rflags(v) & (FL_ARITH | FL_DF);
	memcpy(o->data, w->mem.base + DATA_GPA, DATA_SIZE);
	take_vectors(o);
}

static void say(const struct trial *t, const char *what)
{
	char line[64] = "";

	for (unsigned i = 0; i < t->in.len; i++)
		snprintf(line + 3 * i, sizeof(line) - 3 * i, "%02x ", t->bytes[i]);
	print_error("%s: %s (flags %x %x %x regs %x %x mem %u at %llx)\n", line, what, t->in.fl_read,
	            t->in.fl_written, t->in.fl_undef, t->in.regs_read, t->in.regs_written, t->in.mem_size,
	            (unsigned long long)t->operand);
}

static bool agree(const struct trial *t, const struct outcome *n, const struct outcome *i)
{
	const char *what = NULL;

	if (!n->fault != !i->fault)
		what = n->fault ? "only the processor faults" : "only the interpreter faults";
	else if (n->fault)
		return true;
	else if (memcmp(n->gpr, i->gpr, sizeof(n->gpr)))
		what = "registers";
	else if ((n->flags ^ i->flags) & ~(uint64_t)t->in.fl_undef)
		what = "flags";
	else if (memcmp(n->data, i->data, DATA_SIZE))
		what = "memory";
#ifndef __SANITIZE_ADDRESS__ /* whose C uses vector registers */
	else if (memcmp(n->vectors, i->vectors, sizeof(n->vectors)))
		what = "vectors";
	else if (memcmp(n->fx, i->fx, sizeof(n->fx)))
		what = "x87 or MXCSR";
#endif
	if (!what)
		return true;
	say(t, what);
	for (unsigned r = 0; r < 16; r++)
		if (n->gpr[r] != i->gpr[r])
			print_error("  r%u in %llx native %llx interpreter %llx\n", r,
			            (unsigned long long)t->gpr[r], (unsigned long long)n->gpr[r],
			            (unsigned long long)i->gpr[r]);
	print_error("  flags in %llx native %llx interpreter %llx, step %d\n", (unsigned long long)t->flags,
	            (unsigned long long)n->flags, (unsigned long long)i->flags, last_step);
	return false;
}

static unsigned trial_count(unsigned usual)
{
	const char *count = getenv("BT_TEST_COUNT");

	return count ? (unsigned)strtoul(count, NULL, 0) : usual;
}

static uint64_t first_seed(void)
{
	const char *seed = getenv("BT_TEST_SEED");

	return seed ? strtoull(seed, NULL, 0) | 1 : 0x9e3779b97f4a7c15ull;
}

static void test_against_processor(void **state)
{
	struct world *w = *state;
	static struct trial t;
	static struct outcome native, interp;
	unsigned wrong = 0, done = 0;

	catch_signals();
	w->seed = first_seed();
	while (done < trial_count(20000)) {
		if (!random_trial(w, &t))
			continue;
		done++;
		run_native(&t, &native);
		run_interp(w, &t, &interp);
		wrong += !agree(&t, &native, &interp);
		assert_true(wrong < 20);
	}
	assert_int_equal(wrong, 0);
}

/* Instructions that the interpreter does element by element. */
static void test_masked(void **state)
{
	static void (*const makers[])(struct world * w, struct trial * t) = {gather_trial, maskmov_trial,
	                                                                     maskbytes_trial};
	struct world *w = *state;
	static struct trial t;
	static struct outcome native, interp;
	unsigned wrong = 0;

	catch_signals();
	w->seed = first_seed() ^ 0x7654321;
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
	for (unsigned i = 0; i < trial_count(20000) / 4; i++) {
		makers[i % 3](w, &t);
		insn_decode(&t.in, t.bytes, 15, MODE_64);
		assert_true(t.in.class_ == CLASS_SYS && t.in.op == OP_COPY_ONLY);
		run_native(&t, &native);
		run_interp(w, &t, &interp);
		t.in.fl_undef = 0;
		wrong += !agree(&t, &native, &interp);
		assert_true(wrong < 20);
	}
	assert_int_equal(wrong, 0);
}

/* ---- what the decoder declares --------------------------------------------------------------- */

static const char *undeclared_write(const struct trial *t, const struct outcome *o)
{
	uint64_t first = t->operand - DATA_VA, end = first + t->in.mem_size;

	for (unsigned r = 0; r < 16; r++)
		if (!(t->in.regs_written >> r & 1) && o->gpr[r] != t->gpr[r])
			return "writes an undeclared register";
	if ((o->flags ^ t->flags) & FL_ARITH & ~(t->in.fl_written | t->in.fl_undef))
		return "writes an undeclared flag";
	for (unsigned i = 0; i < DATA_SIZE; i++)
		if (o->data[i] != t->data[i] && (!(t->in.attr & ATTR_MEM_WRITE) || i < first || i >= end))
			return "writes undeclared memory";
	return NULL;
}

/* The same with other values in all that is not read. */
static void vary_unread(struct world *w, const struct trial *t, struct trial *u)
{
	uint64_t first = t->operand - DATA_VA, end = first + t->in.mem_size;

	*u = *t;
	for (unsigned r = 0; r < 16; r++)
		if (!(t->in.regs_read >> r & 1))
			u->gpr[r] = rnd(w);
	u->flags ^= rnd(w) & FL_ARITH & ~t->in.fl_read;
	for (unsigned i = 0; i < DATA_SIZE; i++)
		if (!(t->in.attr & ATTR_MEM_READ) || i < first || i >= end)
			u->data[i] = (uint8_t)rnd(w);
}

static const char *undeclared_read(const struct trial *t, const struct outcome *a, const struct outcome *b)
{
	uint64_t first = t->operand - DATA_VA;

	if (a->fault != b->fault)
		return "faults by something undeclared";
	for (unsigned r = 0; r < 16; r++)
		if ((t->in.regs_written >> r & 1) && a->gpr[r] != b->gpr[r])
			return "a register depends on something undeclared";
	if ((a->flags ^ b->flags) & t->in.fl_written)
		return "a flag depends on something undeclared";
	if (memcmp(a->vectors, b->vectors, sizeof(a->vectors)) || memcmp(a->fx, b->fx, 512))
		return "a vector depends on something undeclared";
	if ((t->in.attr & ATTR_MEM_WRITE) && memcmp(a->data + first, b->data + first, t->in.mem_size))
		return "memory depends on something undeclared";
	return NULL;
}

static bool declared(struct world *w, const struct trial *t)
{
	static struct trial u;
	static struct outcome a, b;
	const char *what;

	run_native(t, &a);
	if (a.fault)
		return true;
	what = undeclared_write(t, &a);
	if (!what) {
		vary_unread(w, t, &u);
		run_native(&u, &b);
		what = undeclared_read(t, &a, &b);
	}
	if (what)
		say(t, what);
	return !what;
}

static void test_declarations(void **state)
{
	struct world *w = *state;
	static struct trial t;
	unsigned wrong = 0, done = 0;

	catch_signals();
	w->seed = first_seed() ^ 0x1234567;
	while (done < trial_count(10000)) {
		if (!random_trial(w, &t) || t.in.class_ != CLASS_COPY || (t.in.attr & ATTR_BITOFF))
			continue;
		done++;
		wrong += !declared(w, &t);
		assert_true(wrong < 20);
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_declarations),
	        cmocka_unit_test(test_against_processor),
	        cmocka_unit_test(test_masked),
	};

	/* The state is loaded and compared with AVX. */
	if (!__builtin_cpu_supports("avx2")) {
		puts("no AVX2 on this host");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
