/* SPDX-License-Identifier: MIT */
/*
 * Kernel-mode cases: the same guest runs once translated and once by the
 * interpreter alone; everything architectural must be equal afterwards, and
 * so must the exits on the way.
 *
 * Every exception is logged in memory with its frame, error code, CR2 and DR6.
 * Traps return; a fault goes on at the address that the case has stored at
 * RESUME (the end of the template that faulted); int 0x30 goes back to kernel
 * mode there. Frames may differ in dead flags (trans.h): FLAG_MASK says which
 * flags of a frame count.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "diff.h"

#define LOG_VA (SYS_VA + LOG_OFF)
#define RESUME (LOG_VA + 8)
#define FLAG_MASK (LOG_VA + 16)
#define KSTACK (LOG_VA + 24) /* RSP for int 0x30 and syscall */
#define RETURN (LOG_VA + 32) /* where int 0x30 and syscall go on in kernel mode */
#define LOG_LIMIT 60
#define SYSCALL_OFF 0x4800u
#define KSTACK_VA (DATA_VA + 0x7800)

/* Absolute addresses in the blob below. */
#define S_(x) #x
#define S(x) S_(x)
_Static_assert(LOG_VA == 0x60008000ull, "addresses in the handlers");

extern const uint8_t system_handlers[], system_handlers_end[], system_syscall[], system_syscall_end[];
__asm__(".section .rodata\n"
	"system_handlers:\n" /* vector and error (or 0) have been pushed */
	"  push %rax; push %rcx; push %rdx\n"
	"  mov $0x60008000, %ecx\n"
	"  mov 16(%rcx), %rax; and %rax, 56(%rsp)\n"
	"  mov (%rcx), %rax; cmp $60, %eax; ja 9f\n"
	"  incq (%rcx)\n"
	"  shl $6, %eax; lea 64(%rcx,%rax), %rcx\n"
	"  mov 24(%rsp), %rax; mov %rax, (%rcx)\n"
	"  mov 32(%rsp), %rax; mov %rax, 8(%rcx)\n"
	"  mov 40(%rsp), %rax; mov %rax, 16(%rcx)\n"
	"  mov 48(%rsp), %rax; mov %eax, 24(%rcx); mov 72(%rsp), %rax; mov %eax, 28(%rcx)\n"
	"  mov 56(%rsp), %rax; mov %rax, 32(%rcx)\n"
	"  mov 64(%rsp), %rax; mov %rax, 40(%rcx)\n"
	"  mov %cr2, %rax; mov %rax, 48(%rcx)\n"
	"  mov %dr6, %rax; mov %rax, 56(%rcx)\n"
	"  mov 24(%rsp), %eax\n"
	"  cmp $1, %eax; je 2f; cmp $3, %eax; je 2f; cmp $4, %eax; je 2f; cmp $0x31, %eax; je 2f\n"
	"  mov 0x60008008, %rcx; mov %rcx, 40(%rsp)\n"
	"  cmp $0x30, %eax; jne 2f\n"
	"  movq $0x10, 48(%rsp); movq $0x18, 72(%rsp)\n"
	"  mov 0x60008018, %rcx; mov %rcx, 64(%rsp)\n"
	"  mov 0x60008020, %rcx; mov %rcx, 40(%rsp)\n"
	"2: btrq $16, 56(%rsp)\n" /* RF has been logged */
	"  pop %rdx; pop %rcx; pop %rax; add $16, %rsp; iretq\n"
	"9: vmcall\n"
	"system_handlers_end:\n"
	"system_syscall:\n"
	"  mov 0x60008018, %rsp; jmp *0x60008020\n"
	"system_syscall_end:\n"
	".text\n");

/* ---- templates ------------------------------------------------------------------------------ */

static void put_rm_abs(struct gen *g, unsigned reg, uint64_t addr)
{
	put(g, (uint8_t)(reg << 3 | 4));
	put(g, 0x25);
	put32(g, (uint32_t)addr);
}

/* movq $imm32, addr: no register or flag is touched. Returns where the immediate is. */
static unsigned put_store(struct gen *g, uint64_t addr, uint32_t imm)
{
	put_bytes(g, "\x48\xc7", 2);
	put_rm_abs(g, 0, addr);
	put32(g, imm);
	return g->len - 4;
}

static void fix32(struct gen *g, unsigned at, uint64_t value)
{
	for (unsigned i = 0; i < 4; i++)
		g->code[at + i] = (uint8_t)(value >> 8 * i);
}

static void access_data(struct gen *g, uint64_t addr)
{
	static const uint8_t ops[] = { 0x8b, 0x89, 0x01, 0x3b, 0x87, 0x8a, 0x88, 0x31 };

	put(g, ops[pick(g, 8)]);
	put_rm_abs(g, pick(g, 4), addr);
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
	put_rm_abs(g, RAX, TABLE_VA + (PT_DATA - TABLE_GPA) + 8 * page);
	if (pick(g, 2)) {
		put_bytes(g, "\x0f\x01", 2);
		put_rm_abs(g, 7, va + pick(g, 4096));
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

static void user_body(struct gen *g)
{
	bool kernel = g->kernel;

	g->kernel = false;
	for (unsigned n = pick(g, 4); n; n--) {
		if (pick(g, 3))
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
	put_rm_abs(g, ext[pick(g, 3)], DATA_VA + pick(g, 4000));
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
	put_rm_abs(g, 0, 0);
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
	put_rm_abs(g, RAX, TABLE_VA + (PT_DATA - TABLE_GPA) + 8 * page);
	put_bytes(g, "\x0f\x01", 2);
	put_rm_abs(g, 7, DATA_VA + 4096 * page);
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
		t_msr,	  t_cpu,     t_mmio,
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

static void generate_system(struct gen *g)
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

/* ---- running ---------------------------------------------------------------------------------- */

struct outcome {
	struct gamut_vcpu_state s;
	struct state fx;
	uint64_t exits; /* hash of all that the guest asked for */
	bool timed_out;
	int reason;
};

static struct guest *watched;
static volatile sig_atomic_t timed_out;

static void on_alarm(int sig)
{
	(void)sig;
	timed_out = 1;
	if (!watched)
		return;
	atomic_fetch_or(&watched->attention, ATTN_PAUSE);
	engine_bt.vcpu_kick(watched->vcpu);
}

static void mix(uint64_t *hash, uint64_t value)
{
	*hash = (*hash ^ value) * 0x9e3779b97f4a7c15ull;
	*hash ^= *hash >> 29;
}

/* True when the guest goes on. */
static bool answer(struct vcpu_exit *e, struct outcome *o)
{
	mix(&o->exits, e->reason);
	switch (e->reason) {
	case EXIT_PIO:
		mix(&o->exits, e->pio.port | e->pio.width << 16 | e->pio.write << 24);
		if (e->pio.write)
			mix(&o->exits, e->pio.data);
		else
			e->pio.data = (uint32_t)o->exits;
		return true;
	case EXIT_MMIO:
		mix(&o->exits, e->mmio.gpa);
		mix(&o->exits, e->mmio.width | e->mmio.write << 8);
		if (e->mmio.write)
			mix(&o->exits, e->mmio.data);
		else
			e->mmio.data = o->exits;
		return true;
	case EXIT_RDMSR:
	case EXIT_WRMSR:
		mix(&o->exits, e->msr.index);
		e->msr.fault = true;
		return true;
	case EXIT_INTR:
		return !timed_out;
	default:
		return false;
	}
}

static void start_state(struct gamut_vcpu_state *s, const struct state *start)
{
	guest_state(s, start, MODE_64);
	s->seg[GAMUT_CS] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = SEL_KCS, .attr = 0xa09b };
	s->seg[GAMUT_SS] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = SEL_KDS, .attr = 0xc093 };
	s->rflags = start->rflags;
	s->cr4 |= CR4_PGE | CR4_DE;
}

static bool run_one(struct guest *g, const struct state *start, int irq, struct outcome *o)
{
	const struct itimerval limit = { .it_value = { .tv_sec = 2 } }, off = { 0 };
	struct bt_vcpu *v = (struct bt_vcpu *)g->vcpu;
	struct vcpu_exit exit = { .reason = EXIT_INTR };
	unsigned n = 0;

	memset(o, 0, sizeof(*o));
	start_state(&o->s, start);
	if (!guest_load(g, &o->s, start))
		return false;
	v->star = 0x0023001000000000ull | (uint64_t)0x10 << 32;
	v->lstar = SYS_VA + SYSCALL_OFF;
	v->cstar = v->lstar;
	v->sfmask = 0x700;
	v->kernel_gs_base = 0;
	g->irq = irq;
	atomic_fetch_and(&g->attention, ATTN_INVAL);
	atomic_fetch_or(&g->attention, irq >= 0 ? ATTN_IRQ : 0);
	timed_out = 0;
	watched = g;
	setitimer(ITIMER_REAL, &limit, NULL);
	do {
		engine_bt.vcpu_run(g->vcpu, &exit);
	} while (answer(&exit, o) && ++n < 20000);
	setitimer(ITIMER_REAL, &off, NULL);
	watched = NULL;
	o->timed_out = timed_out || n == 20000;
	o->reason = exit.reason;
	memset(&o->s, 0, sizeof(o->s));
	o->s.size = sizeof(o->s);
	engine_bt.vcpu_get(g->vcpu, &o->s);
	memcpy(o->fx.fx, v->fpu_area, FX_SIZE);
	o->fx.gpr[0] = v->star;
	o->fx.gpr[1] = v->kernel_gs_base;
	o->fx.gpr[2] = v->shadow;
	o->fx.gpr[3] = (uint64_t)g->irq;
	return true;
}

/* ---- comparing ---------------------------------------------------------------------------------- */

static const struct {
	uint64_t gpa, size;
	const char *name;
} regions[] = {
	{ TABLE_GPA, TABLE_SIZE, "page tables" },
	{ DATA_GPA, DATA_SIZE, "data" },
	{ RO_GPA, 4096, "read-only page" },
	{ CODE_GPA, CODE_SIZE, "code" },
	{ SYS_GPA, SYS_SIZE, "system" },
};
#define N_REGIONS (sizeof(regions) / sizeof(regions[0]))

static uint64_t memory_difference(const struct system_pair *p, const char **name)
{
	for (unsigned r = 0; r < N_REGIONS; r++) {
		/* Translated code walks before it finds that a vector operand is not aligned: A and D may be set early. */
		uint8_t early = regions[r].gpa == TABLE_GPA ? 0x60 : 0;
		const uint8_t *a = p->trans.mem.base + regions[r].gpa, *b = p->interp.mem.base + regions[r].gpa;

		if (!memcmp(a, b, regions[r].size))
			continue;
		for (uint64_t i = 0; i < regions[r].size; i++) {
			if (a[i] != (b[i] | (i & 7 ? 0 : a[i] & early))) {
				*name = regions[r].name;
				return regions[r].gpa + i;
			}
		}
	}
	return 0;
}

static void print_log(struct guest *g, const char *name)
{
	const uint64_t *log = (const uint64_t *)(const void *)(g->mem.base + SYS_GPA + LOG_OFF);

	for (unsigned i = 0; i < log[0] && i <= LOG_LIMIT; i++) {
		const uint64_t *e = log + 8 + 8 * i;

		fprintf(stderr,
			"  %s %2" PRIu64 ".%04" PRIx64 " rip %" PRIx64 " cs:ss %" PRIx64 " flags %" PRIx64 " rsp %" PRIx64
			" cr2 %" PRIx64 " dr6 %" PRIx64 "\n",
			name, e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7]);
	}
}

static void report(struct system_pair *p, const struct gen *g, const struct outcome *t, const struct outcome *i, uint64_t seed)
{
	const uint64_t *a = (const uint64_t *)&t->s, *b = (const uint64_t *)&i->s;
	const char *name = "";
	uint64_t at = memory_difference(p, &name);

	fprintf(stderr, "bt-diff: difference, seed %#" PRIx64 "; exits %d %d, timed out %d %d\n", seed, t->reason, i->reason,
		t->timed_out, i->timed_out);
	print_code(g);
	if (t->timed_out || i->timed_out)
		return;
	print_log(&p->trans, "trans ");
	print_log(&p->interp, "interp");
	for (unsigned k = 0; k < sizeof(t->s) / 8; k++) {
		if (a[k] != b[k])
			fprintf(stderr, "  state word %u: translated %016" PRIx64 " interpreted %016" PRIx64 "\n", k, a[k], b[k]);
	}
	for (unsigned k = 0; k < 4; k++) {
		if (t->fx.gpr[k] != i->fx.gpr[k])
			fprintf(stderr, "  hidden state %u: %" PRIx64 " %" PRIx64 "\n", k, t->fx.gpr[k], i->fx.gpr[k]);
	}
	if (!same_fx(&t->fx, &i->fx))
		print_fx(&t->fx, &i->fx);
	if (t->exits != i->exits)
		fprintf(stderr, "  exits differ\n");
	if (at)
		fprintf(stderr, "  memory at gpa %#" PRIx64 " (%s): translated %02x interpreted %02x\n", at, name,
			p->trans.mem.base[at], p->interp.mem.base[at]);
}

/* Dead flags may differ when the case ends in the middle: only then. */
static bool same(struct system_pair *p, const struct outcome *t, const struct outcome *i)
{
	const char *name;

	return !t->timed_out && !i->timed_out && t->reason == i->reason && !memcmp(&t->s, &i->s, sizeof(t->s)) &&
	       !memcmp(t->fx.gpr, i->fx.gpr, sizeof(t->fx.gpr)) && same_fx(&t->fx, &i->fx) && t->exits == i->exits &&
	       !memory_difference(p, &name);
}

/* ---- a case ----------------------------------------------------------------------------------------- */

static void install(struct guest *g, bool alllive)
{
	uint64_t common = SYS_VA + 0x4000;

	guest_layout(g);
	for (unsigned v = 0; v < 0x32; v++) {
		uint64_t at = SYS_GPA + STUB_OFF + 16 * v;
		bool error = v == 8 || (v >= 10 && v <= 14) || v == 17;
		uint8_t stub[16] = { 0x6a, 0 };
		unsigned n = error ? 0 : 2;
		int32_t rel;

		stub[n++] = 0x6a;
		stub[n++] = (uint8_t)v;
		stub[n++] = 0xe9;
		rel = (int32_t)(common - (SYS_VA + STUB_OFF + 16 * v + n + 4));
		memcpy(stub + n, &rel, 4);
		memcpy(g->mem.base + at, stub, 16);
	}
	memcpy(g->mem.base + SYS_GPA + 0x4000, system_handlers, (size_t)(system_handlers_end - system_handlers));
	memcpy(g->mem.base + SYS_GPA + SYSCALL_OFF, system_syscall, (size_t)(system_syscall_end - system_syscall));
	guest_put64(g, SYS_GPA + LOG_OFF + 16, alllive ? ~0ull : ~(uint64_t)FL_ARITH);
	mem_dirty(&g->mem, SYS_GPA, SYS_SIZE);
}

static void prepare(struct guest *g, const struct gen *gen, const uint8_t *data, bool alllive)
{
	install(g, alllive);
	memcpy(g->mem.base + DATA_GPA, data, DATA_SIZE);
	memcpy(g->mem.base + CODE_GPA, gen->code, CODE_SIZE);
	mem_dirty(&g->mem, DATA_GPA, DATA_SIZE);
	mem_dirty(&g->mem, CODE_GPA, CODE_SIZE);
}

bool system_case(struct system_pair *p, uint64_t seed, bool verbose)
{
	static struct gen g;
	static uint8_t data[DATA_SIZE];
	static struct outcome t, i;
	struct state start;
	int irq;

	if (verbose)
		fprintf(stderr, "seed %#" PRIx64 "\n", seed);
	g.rng = seed;
	generate_system(&g);
	random_state(&g, &start);
	start.gpr[RSP] = DATA_VA + 0x7f00 - 8 * pick(&g, 100);
	start.rflags = 2 | (start.rflags & FL_ARITH);
	irq = pick(&g, 3) ? -1 : 0x31;
	for (unsigned k = 0; k < DATA_SIZE; k += 8) {
		uint64_t value = rng(&g);

		memcpy(data + k, &value, 8);
	}
	prepare(&p->trans, &g, data, p->alllive);
	prepare(&p->interp, &g, data, p->alllive);
	if (!run_one(&p->trans, &start, irq, &t) || !run_one(&p->interp, &start, irq, &i))
		return false;
	if (same(p, &t, &i))
		return true;
	report(p, &g, &t, &i, seed);
	return false;
}

bool system_init(struct system_pair *p, const char *debug)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART };

	p->alllive = strstr(debug, "alllive") != NULL;
	sigemptyset(&sa.sa_mask);
	return !sigaction(SIGALRM, &sa, NULL) && guest_init(&p->trans, debug) && guest_init(&p->interp, "interp");
}

void system_finish(struct system_pair *p)
{
	guest_finish(&p->trans);
	guest_finish(&p->interp);
}
