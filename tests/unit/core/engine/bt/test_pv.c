/* SPDX-License-Identifier: MIT */
/*
 * The whole engine under a small monitor: each test is guest code, and a
 * function that gets the events. All of them run with that function as the fast
 * handler, as the slow one, and with the interpreter alone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine/bt/bt.h"
#include "engine/bt/decode.h"
#include "engine/bt/run.h"
#include "engine/bt/segment.h"

#define RAM (16ull << 20)
/* Page tables of the two spaces: level n of 4 at n * 0x1000 above; both map the first 2 MiB as it is. */
#define KERNEL_ROOT 0x1000u
#define USER_ROOT 0x5000u
#define OTHER_ROOT 0x9000u
#define GDT 0xe000u
#define CODE 0x100000u
#define STACK 0x120000u /* top */
#define DATA 0x130000u
#define NX (1ull << 63)

enum {
	SEL_CODE64 = 0x08 | 3, SEL_DATA = 0x10 | 3, SEL_CODE32 = 0x18 | 3, SEL_INNER_CODE = 0x20, SEL_INNER_DATA = 0x28,
	SEL_ABSENT = 0x30 | 3, SEL_BASED = 0x38 | 3, SEL_RO = 0x40 | 3, SEL_GATE = 0x48 | 3, /* 16 bytes */
	SEL_FRESH = 0x58 | 3, GDT_LIMIT = 0x5f
};

struct rig {
	struct mem mem;
	struct engine_vm *vm;
	struct engine_vcpu *engine;
	struct vcpu_exit exit;
	_Atomic uint32_t attention;
	struct gamut_pv_cpu *cpu;
	const struct gamut_pv_cpu_ops *ops;
	struct gamut_pv_guest guest;
	bool slow;
	/* The test's: false ends the run. */
	bool (*event)(struct rig *r);
	unsigned n;       /* events so far */
	uint64_t note[8]; /* for the test */
};

/* Guest code, between two symbols. */
#define GUEST(name, text)                                                                                     \
	extern const uint8_t name[], name##_end[];                                                            \
	__asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.popsection")

/* ---- the monitor ----------------------------------------------------------------------- */

static int settle(void *opaque, struct gamut_pv_cpu *cpu)
{
	struct rig *r = opaque;

	assert_ptr_equal(cpu, r->cpu);
	assert_true(cpu->rflags & FL_IF);
	assert_int_equal(cpu->rflags & (FL_IOPL | FL_VM), 0);
	r->n++;
	if (!r->event(r))
		atomic_fetch_or(&r->attention, ATTN_STOP);
	if (atomic_load(&r->attention))
		engine_bt.vcpu_kick(r->engine);
	return GAMUT_PV_RESUME;
}

static int pending(void *opaque, uint32_t vcpu)
{
	(void)opaque;
	(void)vcpu;
	return 0;
}

static int no_irq(void *opaque)
{
	(void)opaque;
	fail();
	return -1;
}

/* ---- the rig ------------------------------------------------------------------------------- */

static void put64(struct rig *r, uint64_t gpa, uint64_t value)
{
	memcpy(r->mem.base + gpa, &value, 8);
}

static uint64_t get64(struct rig *r, uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, r->mem.base + gpa, 8);
	return value;
}

/* Of the lowest level. */
static uint64_t pte_at(uint32_t root, uint64_t va)
{
	return root + 0x3000u + (va >> 12) * 8;
}

static void map(struct rig *r, uint32_t root, uint64_t va, uint64_t entry)
{
	put64(r, pte_at(root, va), entry);
}

static void make_space(struct rig *r, uint32_t root)
{
	for (unsigned i = 0; i < 3; i++)
		put64(r, root + i * 0x1000u, (root + (i + 1) * 0x1000u) | 7);
	for (unsigned i = 0; i < 512; i++)
		map(r, root, i * 4096u, i * 4096u | 7);
	/* Ring 3 cannot read its descriptors. */
	map(r, root, GDT, GDT | 3);
}

static void descriptor(struct rig *r, unsigned selector, uint32_t base, uint32_t attr)
{
	put64(r, GDT + (selector & ~7u), 0xffff | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(attr & 0xff) << 40 |
	                                         0xfull << 48 | (uint64_t)(attr >> 12) << 52 | (uint64_t)(base >> 24) << 56);
}

static void make_gdt(struct rig *r)
{
	descriptor(r, SEL_CODE64, 0, 0xa0fb);
	descriptor(r, SEL_DATA, 0, 0xc0f3);
	descriptor(r, SEL_CODE32, 0, 0xc0fb);
	descriptor(r, SEL_INNER_CODE, 0, 0xa09b);
	descriptor(r, SEL_INNER_DATA, 0, 0xc093);
	descriptor(r, SEL_ABSENT, 0, 0xc073);
	descriptor(r, SEL_BASED, 0x12345678, 0xc0f3);
	descriptor(r, SEL_RO, 0, 0xc0f1);
	put64(r, GDT + (SEL_GATE & ~7), (uint64_t)SEL_INNER_CODE << 16 | 0xecull << 40 | (uint64_t)(CODE >> 16) << 48);
	descriptor(r, SEL_FRESH, 0, 0xc0f2); /* never accessed */
}

static struct gamut_segment segment(unsigned selector, uint32_t attr)
{
	return (struct gamut_segment){ .selector = (uint16_t)selector, .limit = 0xffffffff, .attr = attr };
}

static struct gamut_vcpu_state first_state(void)
{
	struct gamut_vcpu_state s = {
		.size = sizeof(s), .rip = CODE, .rflags = 2, .cr0 = CR0_PE | CR0_PG, .cr3 = KERNEL_ROOT,
		.cr4 = CR4_PAE, .efer = EFER_LME | EFER_LMA, .gdt = { .base = GDT, .limit = GDT_LIMIT },
	};

	s.gpr[RSP] = STACK;
	for (unsigned i = GAMUT_ES; i <= GAMUT_GS; i++)
		s.seg[i] = segment(SEL_DATA, 0xc0f3);
	s.seg[GAMUT_CS] = segment(SEL_CODE64, 0xa0fb);
	s.seg[GAMUT_LDTR].attr = s.seg[GAMUT_TR].attr = SEG_UNUSABLE;
	return s;
}

static int create(void **state, bool slow, const char *debug)
{
	const struct engine_config config = { .vcpus = 1, .code_cache = 4u << 20, .debug = debug };
	struct rig *r = calloc(1, sizeof(*r));
	const struct engine_vcpu_env env = { .opaque = r, .attention = &r->attention, .irq_accept = no_irq,
		                             .irq_pending = no_irq };
	const struct gamut_vcpu_state s = first_state();
	char err[160] = "";

	if (!r || mem_init(&r->mem, RAM, err, sizeof(err)) ||
	    engine_bt.vm_create(&r->vm, &r->mem, &config, err, sizeof(err)) ||
	    engine_bt.vcpu_create(r->vm, 0, &env, &r->engine, err, sizeof(err)))
		return -1;
	r->slow = slow;
	r->guest = (struct gamut_pv_guest){
		.size = sizeof(r->guest), .fast = slow ? NULL : settle, .slow = settle, .pending = pending
	};
	if (engine_bt.pv_attach(r->vm, &r->guest, r, &r->cpu))
		return -1;
	r->ops = r->cpu->ops;
	make_space(r, KERNEL_ROOT);
	make_space(r, USER_ROOT);
	make_gdt(r);
	*state = r;
	if (engine_bt.vcpu_set(r->engine, &s))
		return -1;
	r->ops->roots(r->cpu, GAMUT_PV_KEEP, USER_ROOT);
	return 0;
}

static int setup_fast(void **state)
{
	return create(state, false, "");
}

static int setup_slow(void **state)
{
	return create(state, true, "");
}

static int setup_interp(void **state)
{
	return create(state, false, "interp");
}

static int teardown(void **state)
{
	struct rig *r = *state;

	engine_bt.vcpu_destroy(r->engine);
	engine_bt.vm_destroy(r->vm);
	mem_finish(&r->mem);
	free(r);
	return 0;
}

/* Goes on until the test has seen enough. */
static void go(struct rig *r, bool (*event)(struct rig *r))
{
	r->event = event;
	r->n = 0;
	assert_int_equal(bt_signal_init(), 0); /* cmocka puts its own handlers around every test */
	for (;;) {
		engine_bt.vcpu_run(r->engine, &r->exit);
		if (r->exit.reason != EXIT_PV)
			break;
		assert_ptr_equal(r->exit.pv.cpu, r->cpu);
		settle(r, r->exit.pv.cpu);
	}
	assert_int_equal(r->exit.reason, EXIT_INTR);
	atomic_store(&r->attention, 0);
}

static void load(struct rig *r, uint64_t gpa, const uint8_t *code, const uint8_t *end)
{
	assert_true(end > code && end - code < 4096);
	memcpy(r->mem.base + gpa, code, (size_t)(end - code));
}

#define LOAD(r, code) load(r, CODE, code, code##_end)
#define RUN(r, code, event)                                                                                   \
	do {                                                                                                  \
		LOAD(r, code);                                                                                \
		go(r, event);                                                                                 \
	} while (0)

static uint64_t stat(struct rig *r, const char *name)
{
	struct engine_stat s[32];
	uint32_t n = engine_bt.stats(r->vm, s, 32);

	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(s[i].name, name))
			return s[i].value;
	fail_msg("no statistic %s", name);
	return 0;
}

#define assert_syscall(r, number)                                                                             \
	do {                                                                                                  \
		assert_int_equal((r)->cpu->event, GAMUT_PV_SYSCALL);                                          \
		assert_int_equal((r)->cpu->gpr[RAX], number);                                                 \
	} while (0)

#define assert_trap(r, vec, err, at)                                                                          \
	do {                                                                                                  \
		assert_int_equal((r)->cpu->event, GAMUT_PV_TRAP);                                             \
		assert_int_equal((r)->cpu->vector, vec);                                                      \
		assert_int_equal((r)->cpu->has_error, (err) >= 0);                                            \
		assert_int_equal((r)->cpu->error, (err) >= 0 ? (err) : 0);                                    \
		assert_int_equal((r)->cpu->rip, at);                                                          \
	} while (0)

/* ---- events ------------------------------------------------------------------------------------ */

GUEST(code_syscall,
      "mov $7, %eax; mov $0x1111, %ecx; mov $0x2222, %r11d; stc; syscall\n" /* 20 bytes */
      "mov %rdx, %rax; syscall");

static bool on_syscall(struct rig *r)
{
	uint64_t *gpr = r->cpu->gpr;

	if (r->n == 2) {
		assert_syscall(r, 0x3333);
		assert_int_equal(r->cpu->rip, CODE + 40 + 5);
		assert_int_equal(r->cpu->rflags & (FL_CF | FL_ZF), FL_ZF);
		return false;
	}
	assert_syscall(r, 7);
	assert_int_equal(r->cpu->rip, CODE + 19);
	assert_int_equal(gpr[RCX], 0x1111);
	assert_int_equal(gpr[R11], 0x2222);
	assert_int_equal(r->cpu->rflags & (FL_CF | FL_RF), FL_CF);
	gpr[RDX] = 0x3333;
	/* What a guest may ask for, and what it cannot have. */
	r->cpu->rflags = FL_ZF | FL_IOPL | FL_VM | FL_VIF;
	r->cpu->rip = CODE + 40;
	return true;
}

static void syscall_event(void **state)
{
	struct rig *r = *state;

	LOAD(r, code_syscall);
	memcpy(r->mem.base + CODE + 40, r->mem.base + CODE + 19, 5);
	go(r, on_syscall);
	assert_int_equal(r->n, 2);
	assert_int_equal(stat(r, "pv_events"), 2);
	assert_int_equal(stat(r, "pv_events_slow"), r->slow ? 2 : 0);
}

/* What ring 3 may not do, one at a time: the handler steps over each by the length in the table. */
GUEST(code_faults, "ud2; hlt; cli; sti; in (%dx), %al; out %eax, $0x80; mov %cr3, %rax; mov %rax, %cr4\n"
                   "mov %db7, %rax; rdmsr; wrmsr; lgdt (%rsp); ltr %ax; swapgs; sysretq; invlpg (%rsp); xor %ecx, %ecx; div %ecx\n"
                   "vmcall; vmmcall; ud2; .ascii \"xen\"; int $0x80; .byte 0xcd, 3\n"
                   "mov $1, %al; add $127, %al; int3; syscall");

static const struct {
	uint8_t vector, skip;
	int error;
} faults[] = {
	{ EXC_UD, 2, -1 }, { EXC_GP, 1, 0 }, { EXC_GP, 1, 0 }, { EXC_GP, 1, 0 }, { EXC_GP, 1, 0 }, { EXC_GP, 2, 0 },
	{ EXC_GP, 3, 0 }, { EXC_GP, 3, 0 }, { EXC_GP, 3, 0 }, { EXC_GP, 2, 0 }, { EXC_GP, 2, 0 }, { EXC_GP, 4, 0 },
	{ EXC_GP, 3, 0 }, { EXC_GP, 3, 0 }, { EXC_GP, 3, 0 }, { EXC_GP, 4, 0 }, { EXC_DE, 2, -1 }, { EXC_UD, 3, -1 },
	{ EXC_UD, 3, -1 }, { EXC_UD, 5, -1 }, { EXC_GP, 2, 0x80 << 3 | 2 }, { EXC_GP, 2, 3 << 3 | 2 },
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static bool on_fault(struct rig *r)
{
	unsigned i = r->n - 1;

	if (i == FAULTS) { /* behind int3; mov and add were in between */
		assert_trap(r, EXC_BP, -1, r->note[0] + 2 + 2 + 1);
		assert_int_equal(r->cpu->rflags & (FL_OF | FL_RF), FL_OF);
		return true;
	}
	if (i > FAULTS)
		return false;
	if (faults[i].vector == EXC_DE)
		r->note[0] += 2; /* xor */
	assert_trap(r, faults[i].vector, faults[i].error, r->note[0]);
	assert_true(r->cpu->rflags & FL_RF);
	r->cpu->rip += faults[i].skip;
	r->note[0] = r->cpu->rip;
	return true;
}

static void what_ring_3_may_not(void **state)
{
	struct rig *r = *state;

	for (int user = 0; user < 2; user++) {
		const struct gamut_vcpu_state s = first_state();

		assert_int_equal(engine_bt.vcpu_set(r->engine, &s), 0);
		r->ops->roots(r->cpu, GAMUT_PV_KEEP, USER_ROOT);
		r->ops->enter(r->cpu, user);
		r->note[0] = CODE;
		RUN(r, code_faults, on_fault);
		assert_int_equal(r->n, FAULTS + 2);
	}
}

GUEST(code_allowed, "xor %eax, %eax; cpuid; mov %eax, %esi; rdtsc; smsw %eax; mov %eax, %edi; str %edx\n"
                    "pushf; popf; syscall");

static bool on_allowed(struct rig *r)
{
	uint32_t leaf[4];

	r->ops->cpuid(r->cpu, 0, 0, leaf);
	assert_int_equal(r->cpu->event, GAMUT_PV_SYSCALL);
	assert_int_equal(r->cpu->gpr[RSI], leaf[0]);
	assert_int_equal(r->cpu->gpr[RBX], leaf[1]);
	assert_int_equal(r->cpu->gpr[RDI] & (CR0_PG | CR0_WP | CR0_PE | CR0_TS), CR0_PG | CR0_WP | CR0_PE);
	assert_int_equal(r->cpu->gpr[RDX], 0);
	return false;
}

static void what_ring_3_may(void **state)
{
	RUN(*state, code_allowed, on_allowed);
}

/* Intel knows sysenter in long mode, AMD does not; with syscall in compatibility mode it is the other way round. */
GUEST(code_sysenter, "sysenter");
GUEST(code_compat, ".code32; mov $5, %eax; syscall; .code64");

static bool on_fast_call(struct rig *r)
{
	r->note[0] = r->cpu->event;
	r->note[1] = r->cpu->rip;
	r->note[2] = r->cpu->vector;
	return false;
}

static void fast_calls_of_vendors(void **state)
{
	struct rig *r = *state;
	uint32_t leaf[4];
	bool amd;

	r->ops->cpuid(r->cpu, 0, 0, leaf);
	amd = leaf[1] == 0x68747541 || leaf[1] == 0x6f677948;
	RUN(r, code_sysenter, on_fast_call);
	assert_int_equal(r->note[0], amd ? GAMUT_PV_TRAP : GAMUT_PV_SYSENTER);
	assert_int_equal(r->note[1], CODE);
	assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_CS, SEL_CODE32), 0);
	assert_false(r->ops->code64(r->cpu));
	r->ops->flush(r->cpu);
	LOAD(r, code_compat);
	engine_bt.mem_changed(r->vm, CODE, 4096, false);
	go(r, on_fast_call);
	assert_int_equal(r->note[0], amd ? GAMUT_PV_SYSCALL : GAMUT_PV_TRAP);
	assert_int_equal(r->note[1], amd ? CODE + 7 : CODE + 5);
	if (!amd)
		assert_int_equal(r->note[2], EXC_UD);
}

/* TF traps behind the instruction, with BS. */
GUEST(code_step, "pushf; orl $0x100, (%rsp); popf; nop; syscall");

static bool on_step(struct rig *r)
{
	assert_trap(r, EXC_DB, -1, CODE + 1 + 7 + 1 + 1);
	assert_int_equal(r->cpu->dr6, 0x4000);
	assert_true(r->ops->dr(r->cpu, 6) & 0x4000);
	assert_true(r->cpu->rflags & FL_TF);
	return false;
}

static void single_step(void **state)
{
	RUN(*state, code_step, on_step);
}

/* An interrupt is the monitor's; behind mov ss it waits. */
GUEST(code_attention, "mov $0x13, %eax; mov %eax, %ss; mov $1, %ebx; mov $2, %ebx; syscall");

static bool on_attention(struct rig *r)
{
	if (r->n == 1) {
		assert_int_equal(r->cpu->event, GAMUT_PV_ATTENTION);
		assert_int_equal(r->cpu->nmi, 1);
		assert_int_equal(r->cpu->rip, CODE);
		return true;
	}
	assert_int_equal(r->cpu->nmi, 0);
	assert_syscall(r, 0x13);
	return false;
}

static void attention_event(void **state)
{
	struct rig *r = *state;

	atomic_store(&r->attention, ATTN_IRQ | ATTN_NMI);
	RUN(r, code_attention, on_attention);
	assert_int_equal(r->n, 2);
}

static bool in_shadow(struct rig *r)
{
	if (r->cpu->event == GAMUT_PV_TRAP) { /* a breakpoint on mov ss: from here on it is interpreted */
		atomic_fetch_or(&r->attention, ATTN_IRQ);
		r->note[1]++;
		return true;
	}
	if (r->cpu->event == GAMUT_PV_ATTENTION) {
		r->note[0] = r->cpu->rip;
		return true;
	}
	return false;
}

static void attention_waits_behind_mov_ss(void **state)
{
	struct rig *r = *state;
	struct bt_vcpu *v = (struct bt_vcpu *)r->engine;
	struct gamut_vcpu_state s = first_state();

	/* As it is when an interrupt comes while mov ss is interpreted. */
	s.rip = CODE + 7;
	assert_int_equal(engine_bt.vcpu_set(r->engine, &s), 0);
	v->shadow = 1;
	atomic_store(&r->attention, ATTN_IRQ);
	RUN(r, code_attention, in_shadow);
	assert_int_equal(r->note[0], CODE + 12);
}

/* ---- address spaces ---------------------------------------------------------------------------------- */

/* The same address means another page in each, and the loop flushes nothing. */
GUEST(code_spaces, "1: mov 0x130000, %rbx; incq 0x130008; mov $1, %eax; syscall; jmp 1b");

static bool on_spaces(struct rig *r)
{
	bool user = r->n % 2 == 0; /* was in force */

	assert_syscall(r, 1);
	assert_int_equal(r->cpu->gpr[RBX], user ? 0xbbb : 0xaaa);
	r->ops->enter(r->cpu, !user);
	r->cpu->rip = CODE;
	if (r->n == 20) {
		r->note[0] = stat(r, "tlb_misses");
		r->note[1] = stat(r, "tlb_flushes");
		r->note[2] = stat(r, "lookups");
		r->note[3] = stat(r, "page_walks");
	}
	return r->n < 1000;
}

static void two_spaces_without_flush(void **state)
{
	struct rig *r = *state;

	put64(r, DATA, 0xaaa);
	put64(r, DATA + 0x1000, 0xbbb);
	map(r, USER_ROOT, DATA, (DATA + 0x1000) | 7);
	RUN(r, code_spaces, on_spaces);
	assert_int_equal(get64(r, DATA + 8), 500);
	assert_int_equal(get64(r, DATA + 0x1008), 500);
	assert_int_equal(stat(r, "tlb_misses"), r->note[0]);
	assert_int_equal(stat(r, "tlb_flushes"), r->note[1]);
	assert_int_equal(stat(r, "lookups"), r->note[2]);
	assert_int_equal(stat(r, "page_walks"), r->note[3]);
}

/* So does code. */
GUEST(code_kernel, "mov $0x10, %eax; syscall");
GUEST(code_user, "mov $0x20, %eax; syscall");

static bool on_code(struct rig *r)
{
	bool user = r->n % 2 == 0;

	assert_syscall(r, user ? 0x20 : 0x10);
	r->ops->enter(r->cpu, !user);
	r->cpu->rip = CODE;
	return r->n < 10;
}

static void code_of_two_spaces(void **state)
{
	struct rig *r = *state;

	load(r, CODE + 0x1000, code_user, code_user_end);
	map(r, USER_ROOT, CODE, (CODE + 0x1000) | 7);
	RUN(r, code_kernel, on_code);
	assert_int_equal(r->n, 10);
}

/* The jump cache of a vCPU that is new has no entry for any address, 0 included. */
GUEST(code_jump_0, "xor %eax, %eax; jmp *%rax");

static bool on_jump_0(struct rig *r)
{
	assert_trap(r, 14, 0x14, 0);
	assert_int_equal(r->cpu->cr2, 0);
	return false;
}

static void code_at_0(void **state)
{
	struct rig *r = *state;

	map(r, KERNEL_ROOT, 0, 0);
	RUN(r, code_jump_0, on_jump_0);
	assert_int_equal(r->n, 1);
}

/* A new root forgets what was code; the same address is another page now. */
static bool on_new_code(struct rig *r)
{
	assert_syscall(r, r->n < 4 ? 0x10 : 0x20);
	r->cpu->rip = CODE;
	if (r->n == 3)
		r->ops->roots(r->cpu, OTHER_ROOT, GAMUT_PV_KEEP);
	return r->n < 6;
}

static void code_of_a_new_root(void **state)
{
	struct rig *r = *state;

	make_space(r, OTHER_ROOT);
	load(r, CODE + 0x1000, code_user, code_user_end);
	map(r, OTHER_ROOT, CODE, (CODE + 0x1000) | 7);
	RUN(r, code_kernel, on_new_code);
	assert_int_equal(r->n, 6);
}

/* A new root forgets its own space, and no other. */
static bool on_roots(struct rig *r)
{
	static const uint64_t want[] = { 0xaaa, 0xbbb, 0xaaa, 0xccc, 0xaaa, 0xbbb, 0xddd, 0xbbb };
	unsigned i = r->n - 1;

	assert_syscall(r, 1);
	assert_int_equal(r->cpu->gpr[RBX], want[i]);
	r->cpu->rip = CODE;
	r->ops->enter(r->cpu, !(i & 1));
	switch (i) {
	case 2: /* user: the other space */
		r->ops->roots(r->cpu, GAMUT_PV_KEEP, OTHER_ROOT);
		break;
	case 3: /* back; the entry of the kernel's is changed without a word, and it may keep the old one */
		r->ops->roots(r->cpu, GAMUT_PV_KEEP, USER_ROOT);
		r->note[0] = stat(r, "page_walks");
		break;
	case 4:
		assert_int_equal(stat(r, "page_walks"), r->note[0]);
		map(r, KERNEL_ROOT, DATA, (DATA + 0x3000) | 7);
		break;
	case 5: /* the same root once more */
		r->ops->roots(r->cpu, KERNEL_ROOT, GAMUT_PV_KEEP);
		r->note[0] = stat(r, "page_walks");
		break;
	case 7:
		return false;
	}
	return true;
}

static void roots_forget_their_space(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 4; i++)
		put64(r, DATA + i * 0x1000u, 0xaaa + i * 0x111u);
	make_space(r, OTHER_ROOT);
	map(r, USER_ROOT, DATA, (DATA + 0x1000) | 7);
	map(r, OTHER_ROOT, DATA, (DATA + 0x2000) | 7);
	RUN(r, code_spaces, on_roots);
	assert_int_equal(r->n, 8);
}

/* Ring 3's rights, in both. */
GUEST(code_rights, "mov %rbx, 0x130000; mov 0x131000, %rbx; mov $0x132000, %eax; jmp *%rax");

static bool on_rights(struct rig *r)
{
	static const struct {
		int error;
		uint64_t cr2, rip;
	} want[] = { { 7, DATA, CODE }, { 5, DATA + 0x1000, CODE + 8 }, { 0x15, DATA + 0x2000, DATA + 0x2000 } };
	unsigned i = r->n - 1;

	assert_trap(r, EXC_PF, want[i].error, want[i].rip);
	assert_int_equal(r->cpu->cr2, want[i].cr2);
	r->cpu->rip += 8;
	return i < 2;
}

static void rights_are_ring_3s(void **state)
{
	struct rig *r = *state;

	for (int user = 0; user < 2; user++) {
		uint32_t root = user ? USER_ROOT : KERNEL_ROOT;
		const struct gamut_vcpu_state s = first_state();

		assert_int_equal(engine_bt.vcpu_set(r->engine, &s), 0);
		r->ops->roots(r->cpu, GAMUT_PV_KEEP, USER_ROOT);
		map(r, root, DATA, DATA | 5);
		map(r, root, DATA + 0x1000, (DATA + 0x1000) | 3);
		map(r, root, DATA + 0x2000, (DATA + 0x2000) | 7 | NX);
		r->ops->enter(r->cpu, user);
		RUN(r, code_rights, on_rights);
		assert_int_equal(r->n, 3);
	}
}

/* An entry changes, and its page is flushed; the other space keeps what it had. */
static bool on_pte(struct rig *r)
{
	assert_syscall(r, 1);
	assert_int_equal(r->cpu->gpr[RBX], r->n == 1 ? 0xaaa : r->n == 2 ? 0xbbb : 0xccc);
	r->cpu->rip = CODE;
	if (r->n == 1) {
		r->ops->pte_write(r->cpu, pte_at(KERNEL_ROOT, DATA), (DATA + 0x1000) | 7);
		r->ops->flush_page(r->cpu, DATA);
	} else if (r->n == 2) {
		uint64_t gpa = pte_at(KERNEL_ROOT, DATA), old = get64(r, gpa);

		assert_int_equal(old, (DATA + 0x1000) | 0x67); /* accessed, dirty */
		assert_int_equal(r->ops->pte_exchange(r->cpu, gpa, old ^ 0x20, 0), old);
		assert_int_equal(get64(r, gpa), old);
		assert_int_equal(r->ops->pte_exchange(r->cpu, gpa, old, (DATA + 0x2000) | 7), old);
		r->ops->flush(r->cpu);
	}
	return r->n < 3;
}

static void entries_and_flushes(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 3; i++)
		put64(r, DATA + i * 0x1000u, 0xaaa + i * 0x111u);
	RUN(r, code_spaces, on_pte);
	assert_int_equal(r->n, 3);
	/* Nothing of the host's is within reach. */
	r->ops->pte_write(r->cpu, r->mem.limit + 0x1000, 1);
	r->ops->pte_write(r->cpu, RAM + 0x1000, 1);
	assert_int_equal(r->ops->pte_exchange(r->cpu, ~7ull, 5, 1), ~5ull);
}

/* A table in a page with code: the instruction that the entry is made of changes. */
GUEST(code_entry, "mov $1, %eax; syscall; nop");

static bool on_code_entry(struct rig *r)
{
	uint64_t bytes;

	assert_syscall(r, r->n);
	bytes = get64(r, CODE);
	if (r->n == 1)
		r->ops->pte_write(r->cpu, CODE, (bytes & ~0xffffff00ull) | 2 << 8);
	r->cpu->rip = CODE;
	return r->n < 2;
}

static void entry_in_code(void **state)
{
	struct rig *r = *state;

	RUN(r, code_entry, on_code_entry);
	assert_int_equal(r->n, 2);
}

/* ---- memory --------------------------------------------------------------------------------------------- */

GUEST(code_once, "mov $1, %eax; syscall");

static bool on_copies(struct rig *r)
{
	const struct gamut_pv_cpu_ops *ops = r->ops;
	uint64_t value = 0x123456789abcdef0, fault = 0, words[4] = { 1, 2, 3, 4 };
	uint8_t buf[0x2000];

	assert_int_equal(ops->write(r->cpu, DATA, &value, 8, &fault), 0);
	assert_int_equal(get64(r, DATA), value);
	ops->enter(r->cpu, 1);
	assert_int_equal(ops->read(r->cpu, DATA, words, 32, NULL), 0);
	assert_int_equal(words[0], 0x777);
	/* Across a page's end, to one that is read-only, to one that is the kernel's, and to none. */
	assert_int_equal(ops->write(r->cpu, DATA + 0xff8, words, 32, &fault), -EFAULT);
	assert_int_equal(fault, DATA + 0x1000);
	assert_int_equal(ops->read(r->cpu, DATA, buf, 0x2000, &fault), 0);
	assert_int_equal(ops->read(r->cpu, DATA + 0x1ffc, buf, 8, &fault), -EFAULT);
	assert_int_equal(fault, DATA + 0x2000);
	assert_int_equal(ops->read(r->cpu, 0x8000000000000000, buf, 1, &fault), -EFAULT);
	assert_int_equal(fault, 0x8000000000000000);
	assert_int_equal(ops->read(r->cpu, ~0ull, buf, 2, &fault), -EFAULT);
	assert_int_equal(ops->write(r->cpu, DATA + 0x3000, buf, 1, &fault), -EFAULT); /* a device */
	assert_int_equal(fault, DATA + 0x3000);
	assert_int_equal(ops->read(r->cpu, 0, NULL, 0, &fault), 0);
	assert_int_equal(engine_bt.guest_copy(r->engine, DATA, words, 8, false), 0);
	assert_int_equal(words[0], 0x777);
	assert_int_equal(engine_bt.guest_copy(r->engine, DATA + 0x2000, words, 8, false), -EFAULT);
	return false;
}

static void copies(void **state)
{
	struct rig *r = *state;

	put64(r, DATA + 0x10000, 0x777);
	map(r, USER_ROOT, DATA, (DATA + 0x10000) | 7);
	map(r, USER_ROOT, DATA + 0x1000, (DATA + 0x1000) | 5);
	map(r, USER_ROOT, DATA + 0x2000, (DATA + 0x2000) | 3);
	map(r, USER_ROOT, DATA + 0x3000, 0xe0000000 | 7);
	RUN(r, code_once, on_copies);
}

/* ---- emulate_write ---------------------------------------------------------------------------------------- */

struct store {
	struct rig *r;
	uint64_t gpa, old, value;
	unsigned n;
	int answer;
};

static int on_store(void *opaque, uint64_t gpa, uint64_t old_value, uint64_t new_value)
{
	struct store *s = opaque;

	s->n++;
	s->gpa = gpa;
	s->old = old_value;
	s->value = new_value;
	assert_int_equal(get64(s->r, gpa), old_value);
	if (!s->answer)
		s->r->ops->pte_write(s->r->cpu, gpa, new_value);
	return s->answer;
}

/* DATA is mapped read-only and holds OLD at 0x10; rbx is the value. */
#define OLD 0x1111222233334444ull
#define VALUE 0x5555666677778888ull
#define FIRST "mov $0x5555666677778888, %rbx; mov $0x130010, %edi; "

GUEST(emu_mov, FIRST "mov %rbx, (%rdi); mov $9, %eax; syscall");
GUEST(emu_mov32, FIRST "mov %ebx, 4(%rdi); mov $9, %eax; syscall");
GUEST(emu_mov8, FIRST "movb $0x99, 7(%rdi); mov $9, %eax; syscall");
GUEST(emu_xchg, FIRST "xchg %rbx, (%rdi); mov $9, %eax; syscall");
GUEST(emu_and, FIRST "lock andq $-3, (%rdi); mov $9, %eax; syscall");
GUEST(emu_btr, FIRST "lock btrq $2, (%rdi); mov $9, %eax; syscall");
GUEST(emu_cmpxchg, FIRST "mov $0x1111222233334444, %rax; lock cmpxchg %rbx, (%rdi); setz %dl; mov $9, %eax; syscall");
GUEST(emu_cmpxchg_no, FIRST "mov $5, %eax; lock cmpxchg %rbx, (%rdi); setz %dl; mov %rax, %rsi; mov $9, %eax; syscall");
GUEST(emu_stos, FIRST "mov %rbx, %rax; mov $3, %ecx; rep stosq; mov $9, %eax; syscall");
GUEST(emu_movs, FIRST "mov $0x138000, %esi; mov %rbx, (%rsi); mov %rbx, 8(%rsi); mov $2, %ecx; rep movsq\n"
                "mov $9, %eax; syscall");

static const struct emulated {
	const uint8_t *code, *end;
	uint64_t at, value; /* of the last store */
	unsigned stores;
	unsigned reg;       /* one more register to look at, and what it is in the end */
	uint64_t reg_value;
} emulated[] = {
	{ emu_mov, emu_mov_end, 0x10, VALUE, 1, RBX, VALUE },
	{ emu_mov32, emu_mov32_end, 0x10, 0x7777888833334444, 1, RBX, VALUE },
	{ emu_mov8, emu_mov8_end, 0x10, 0x9911222233334444, 1, RBX, VALUE },
	{ emu_xchg, emu_xchg_end, 0x10, VALUE, 1, RBX, OLD },
	{ emu_and, emu_and_end, 0x10, OLD & ~2ull, 1, RBX, VALUE },
	{ emu_btr, emu_btr_end, 0x10, OLD & ~4ull, 1, RBX, VALUE },
	{ emu_cmpxchg, emu_cmpxchg_end, 0x10, VALUE, 1, RDX, 1 },
	{ emu_cmpxchg_no, emu_cmpxchg_no_end, 0x10, OLD, 1, RSI, OLD },
	{ emu_stos, emu_stos_end, 0x20, VALUE, 3, RDI, DATA + 0x28 },
	{ emu_movs, emu_movs_end, 0x18, VALUE, 2, RDI, DATA + 0x20 },
};

static struct store stored;

static bool on_emulated(struct rig *r)
{
	unsigned before = stored.n;

	if (r->cpu->event == GAMUT_PV_SYSCALL) {
		assert_int_equal(r->cpu->gpr[RAX], 9);
		return false;
	}
	assert_int_equal(r->cpu->vector, EXC_PF);
	assert_int_equal(r->cpu->error, 7);
	assert_int_equal(r->ops->emulate_write(r->cpu, r->cpu->cr2, on_store, &stored), 0);
	assert_int_equal(stored.n, before + 1);
	return true;
}

static void emulated_writes(void **state)
{
	struct rig *r = *state;

	map(r, KERNEL_ROOT, DATA, DATA | 5);
	for (unsigned i = 0; i < sizeof(emulated) / sizeof(emulated[0]); i++) {
		const struct emulated *e = &emulated[i];
		const struct gamut_vcpu_state s = first_state();

		assert_int_equal(engine_bt.vcpu_set(r->engine, &s), 0);
		engine_bt.mem_changed(r->vm, CODE, 4096, false);
		stored = (struct store){ .r = r };
		for (unsigned off = 0; off < 0x40; off += 8)
			put64(r, DATA + off, OLD);
		load(r, CODE, e->code, e->end);
		go(r, on_emulated);
		assert_int_equal(stored.n, e->stores);
		assert_int_equal(stored.gpa, DATA + e->at);
		assert_int_equal(stored.old, OLD);
		assert_int_equal(get64(r, DATA + e->at), e->value);
		assert_int_equal(get64(r, DATA + 8), OLD);
		assert_int_equal(get64(r, DATA + e->at + 8), OLD);
		assert_int_equal(r->cpu->gpr[e->reg], e->reg_value);
	}
}

/* What cannot be run so changes nothing: neither memory nor registers. */
GUEST(emu_sse, FIRST "movups %xmm0, (%rdi)");
GUEST(emu_split, FIRST "mov %rbx, 4(%rdi)");
GUEST(emu_push, FIRST "lea 8(%rdi), %rsp; push %rbx");
GUEST(emu_inc, FIRST "incq (%rdi)");

static const struct refused {
	const uint8_t *code, *end;
	uint64_t gpa;
	int answer, want; /* of the monitor's function; of emulate_write */
} refused[] = {
	{ emu_sse, emu_sse_end, DATA, 0, -EINVAL },
	{ emu_split, emu_split_end, DATA, 0, -EINVAL },
	{ emu_push, emu_push_end, DATA, 0, -EINVAL },
	{ emu_inc, emu_inc_end, DATA, -EPERM, -EPERM },
	{ emu_xchg, emu_xchg_end, DATA, -EINVAL, -EINVAL },
	{ emu_stos, emu_stos_end, DATA, -EINVAL, -EINVAL },
	{ emu_mov, emu_mov_end, DATA + 0x1000, 0, -EFAULT }, /* a store elsewhere obeys the W bit */
	{ emu_inc, emu_inc_end, DATA + 0x1000, 0, -EFAULT },
	{ emu_mov, emu_mov_end, 0xe0000000, 0, -EINVAL },
};

static bool on_refused(struct rig *r)
{
	const struct refused *e = &refused[r->note[0]];
	uint64_t gpr[16], rip = r->cpu->rip, rflags = r->cpu->rflags;

	assert_trap(r, EXC_PF, 7, rip);
	memcpy(gpr, r->cpu->gpr, sizeof(gpr));
	assert_int_equal(r->ops->emulate_write(r->cpu, e->gpa, on_store, &stored), e->want);
	assert_memory_equal(gpr, r->cpu->gpr, sizeof(gpr));
	assert_int_equal(r->cpu->rip, rip);
	assert_int_equal(r->cpu->rflags, rflags);
	assert_int_equal(get64(r, DATA + 0x10), OLD);
	assert_int_equal(stored.n, e->answer ? 1 : 0);
	return false;
}

static void refused_writes(void **state)
{
	struct rig *r = *state;

	map(r, KERNEL_ROOT, DATA, DATA | 5);
	put64(r, DATA + 0x10, OLD);
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const struct gamut_vcpu_state s = first_state();

		assert_int_equal(engine_bt.vcpu_set(r->engine, &s), 0);
		engine_bt.mem_changed(r->vm, CODE, 4096, false);
		stored = (struct store){ .r = r, .answer = refused[i].answer };
		r->note[0] = i;
		load(r, CODE, refused[i].code, refused[i].end);
		go(r, on_refused);
		assert_int_equal(r->n, 1);
	}
}

/* A crossing store whose second page is the table. */
GUEST(emu_cross, FIRST "mov %rbx, -0x14(%rdi)");

static bool on_cross(struct rig *r)
{
	assert_trap(r, EXC_PF, 7, r->cpu->rip);
	assert_int_equal(r->cpu->cr2, DATA);
	assert_int_equal(r->ops->emulate_write(r->cpu, DATA, on_store, &stored), -EFAULT);
	assert_int_equal(stored.n, 0);
	return false;
}

static void crossing_write_is_refused(void **state)
{
	struct rig *r = *state;

	map(r, KERNEL_ROOT, DATA, DATA | 5);
	stored = (struct store){ .r = r };
	RUN(r, emu_cross, on_cross);
	assert_int_equal(get64(r, DATA - 8), 0);
}

/* With TF the emulated instruction traps as any other. */
GUEST(emu_step, FIRST "pushf; orl $0x100, (%rsp); popf; mov %rbx, (%rdi); nop");

static bool on_emulated_step(struct rig *r)
{
	if (r->n == 1) {
		assert_int_equal(r->cpu->vector, EXC_PF);
		assert_int_equal(r->ops->emulate_write(r->cpu, DATA, on_store, &stored), 0);
		r->note[0] = r->cpu->rip;
		/* Whatever else happens in the handler. */
		assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_DS, SEL_ABSENT), -EINVAL);
		return true;
	}
	assert_trap(r, EXC_DB, -1, r->note[0]);
	assert_int_equal(r->cpu->dr6, 0x4000);
	return false;
}

static void emulated_write_traps(void **state)
{
	struct rig *r = *state;

	map(r, KERNEL_ROOT, DATA, DATA | 5);
	stored = (struct store){ .r = r };
	RUN(r, emu_step, on_emulated_step);
	assert_int_equal(stored.n, 1);
	assert_int_equal(r->n, 2);
}

/* ---- segments ------------------------------------------------------------------------------------------------ */

static const struct {
	uint32_t seg;
	uint16_t selector;
	int want;
} loads[] = {
	{ GAMUT_CS, SEL_CODE64, 0 }, { GAMUT_CS, SEL_CODE64 & ~3, 0 }, { GAMUT_CS, SEL_INNER_CODE, -EINVAL },
	{ GAMUT_CS, SEL_DATA, -EINVAL }, { GAMUT_CS, 0, -EINVAL }, { GAMUT_CS, 3, -EINVAL }, { GAMUT_CS, 0x63, -EINVAL },
	{ GAMUT_CS, SEL_GATE, -EINVAL }, { GAMUT_CS, SEL_CODE64 | 4, -EINVAL }, /* no LDT */
	{ GAMUT_SS, SEL_DATA, 0 }, { GAMUT_SS, SEL_DATA & ~3, 0 }, { GAMUT_SS, SEL_INNER_DATA, -EINVAL },
	{ GAMUT_SS, SEL_RO, -EINVAL }, { GAMUT_SS, SEL_CODE64, -EINVAL }, { GAMUT_SS, 0, -EINVAL },
	{ GAMUT_DS, 0, 0 }, { GAMUT_DS, SEL_RO, 0 }, { GAMUT_DS, SEL_INNER_DATA, -EINVAL }, { GAMUT_DS, SEL_ABSENT, -EINVAL },
	{ GAMUT_ES, SEL_CODE64, 0 }, { GAMUT_FS, SEL_BASED, 0 }, { GAMUT_GS, SEL_BASED, 0 }, { GAMUT_GS, 2, 0 },
	{ GAMUT_LDTR, 0, -EINVAL }, { GAMUT_TR, 0, -EINVAL }, { 99, 0, -EINVAL },
};

static bool on_loads(struct rig *r)
{
	struct bt_vcpu *v = (struct bt_vcpu *)r->engine;
	uint64_t word;

	for (unsigned i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		struct gamut_segment before[GAMUT_SEG_COUNT];
		uint32_t seg = loads[i].seg;

		memcpy(before, v->seg, sizeof(before));
		assert_int_equal(r->ops->load_segment(r->cpu, seg, loads[i].selector), loads[i].want);
		if (loads[i].want)
			assert_memory_equal(before, v->seg, sizeof(before));
		else
			assert_int_equal(r->ops->selector(r->cpu, seg),
			                 loads[i].selector | (seg == GAMUT_CS || seg == GAMUT_SS ? 3 : 0));
	}
	assert_int_equal(r->ops->base(r->cpu, GAMUT_FS), 0x12345678);
	assert_int_equal(r->ops->base(r->cpu, GAMUT_GS), 0); /* null */
	/* Another table, as far away as it takes to be confused with this one. */
	put64(r, DATA + (SEL_BASED & ~7), get64(r, GDT + (SEL_DATA & ~7)));
	for (unsigned i = 1; i < 32; i++) {
		map(r, KERNEL_ROOT, GDT + i * 0x1000u, DATA | 3);
		r->ops->set_gdt(r->cpu, GDT + i * 0x1000u, GDT_LIMIT);
		assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_FS, SEL_BASED), 0);
		assert_int_equal(r->ops->base(r->cpu, GAMUT_FS), 0);
		r->ops->set_gdt(r->cpu, GDT, GDT_LIMIT);
		assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_FS, SEL_BASED), 0);
		assert_int_equal(r->ops->base(r->cpu, GAMUT_FS), 0x12345678);
	}
	r->ops->set_base(r->cpu, GAMUT_GS, 0x130000);
	/* The processor sets the accessed bit; in a page that it may not write, it cannot. */
	assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_ES, SEL_FRESH), 0);
	assert_int_equal(get64(r, GDT + (SEL_FRESH & ~7)) >> 40 & 1, 1);
	/* That the processor has read and written the page does not open it to ring 3. */
	assert_int_equal(r->ops->read(r->cpu, GDT, &word, 8, NULL), -EFAULT);
	assert_int_equal(r->ops->write(r->cpu, GDT, &word, 8, NULL), -EFAULT);
	descriptor(r, SEL_FRESH, 0, 0xc0f2);
	map(r, KERNEL_ROOT, GDT, GDT | 1);
	r->ops->flush_page(r->cpu, GDT);
	assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_ES, SEL_FRESH), -EINVAL);
	/* The page of descriptors is another one. */
	memcpy(r->mem.base + DATA, r->mem.base + GDT, 4096);
	put64(r, DATA + (SEL_BASED & ~7), get64(r, GDT + (SEL_DATA & ~7)));
	map(r, KERNEL_ROOT, GDT, DATA | 1);
	r->ops->flush_page(r->cpu, GDT);
	assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_FS, SEL_BASED), 0);
	assert_int_equal(r->ops->base(r->cpu, GAMUT_FS), 0);
	/* A local table. */
	r->ops->set_ldt(r->cpu, GDT + (SEL_DATA & ~7), 7);
	assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_ES, 4 | 3), 0);
	assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_ES, 8 | 4 | 3), -EINVAL);
	r->ops->set_ldt(r->cpu, 0, 0);
	assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_ES, 4 | 3), -EINVAL);
	r->ops->set_gdt(r->cpu, GDT, 7);
	assert_int_equal(r->ops->load_segment(r->cpu, GAMUT_ES, SEL_DATA), -EINVAL);
	return false;
}

static void segment_loads(void **state)
{
	RUN(*state, code_once, on_loads);
}

/* No way leads to ring 0: a gate to it finds no stack. */
GUEST(code_gate, "sub $16, %rsp; movl $0x100000, (%rsp); movl $0x4b, 4(%rsp); lcall *(%rsp)");

static bool on_gate(struct rig *r)
{
	assert_trap(r, EXC_TS, 0, CODE + 4 + 7 + 8);
	return false;
}

static void call_gate(void **state)
{
	RUN(*state, code_gate, on_gate);
}

/* ---- registers -------------------------------------------------------------------------------------------------- */

GUEST(code_vector, "movq %xmm1, %rbx; mov $1, %eax; syscall; movq %xmm0, %rbx; fnop; mov $2, %eax; syscall");

static bool on_ts(struct rig *r)
{
	if (r->n == 1 || r->n == 4) {
		assert_trap(r, EXC_NM, -1, CODE);
		r->ops->set_ts(r->cpu, 0);
		return r->n == 1;
	}
	assert_syscall(r, r->n - 1);
	if (r->n == 3) {
		r->ops->set_ts(r->cpu, 1);
		r->cpu->rip = CODE;
	}
	return r->n < 4;
}

static void task_switched(void **state)
{
	struct rig *r = *state;
	struct gamut_vcpu_state s = first_state();

	s.cr0 |= CR0_TS;
	assert_int_equal(engine_bt.vcpu_set(r->engine, &s), 0);
	RUN(r, code_vector, on_ts);
	assert_int_equal(r->n, 4);
}

/* Vector registers are the guest's through both kinds of handler; the slow one may use them. */
GUEST(code_xmm, "mov $0x1234567890, %rax; movq %rax, %xmm0; movq %rax, %xmm15; mov $1, %eax; syscall\n"
                "movq %xmm0, %rbx; movq %xmm15, %rdx; mov $2, %eax; syscall");

__attribute__((target("general-regs-only"))) static int fast_plain(void *opaque, struct gamut_pv_cpu *cpu)
{
	const struct rig *r = opaque;

	return r->slow || cpu->gpr[RAX] != 1 ? GAMUT_PV_SLOW : GAMUT_PV_RESUME;
}

static bool on_xmm(struct rig *r)
{
	if (r->slow && r->n == 1) {
		__asm__ volatile("pcmpeqb %%xmm0, %%xmm0; pcmpeqb %%xmm15, %%xmm15" : : : "xmm0", "xmm15");
		return true;
	}
	assert_int_equal(r->cpu->gpr[RBX], 0x1234567890);
	assert_int_equal(r->cpu->gpr[RDX], 0x1234567890);
	return false;
}

static void vector_registers(void **state)
{
	struct rig *r = *state;

	r->guest.fast = fast_plain; /* the rest of this file is not vector-free */
	RUN(r, code_xmm, on_xmm);
	assert_int_equal(stat(r, "pv_events"), 2);
	assert_int_equal(stat(r, "pv_events_slow"), r->slow ? 2 : 1);
}

GUEST(code_control, "rdfsbase %rbx; wrgsbase %rax; xor %ecx, %ecx; xgetbv; rdtsc");

static bool on_control(struct rig *r)
{
	const struct gamut_pv_cpu_ops *ops = r->ops;
	uint32_t leaf[4];

	switch (r->n) {
	case 1: /* nothing is enabled: rdfsbase */
		assert_trap(r, EXC_UD, -1, CODE);
		ops->cpuid(r->cpu, 1, 0, leaf);
		assert_false(leaf[2] & 1u << 27);
		assert_int_equal(ops->set_cr4(r->cpu, CR4_FSGSBASE | CR4_PGE | CR4_SMEP | CR4_VME), 0);
		assert_int_equal(ops->cr4(r->cpu), CR4_FSGSBASE | CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
		ops->set_base(r->cpu, GAMUT_FS, 0x7654321);
		r->cpu->gpr[RAX] = 0x1234567;
		return true;
	case 2: /* xgetbv */
		assert_trap(r, EXC_UD, -1, CODE + 12);
		assert_int_equal(r->cpu->gpr[RBX], 0x7654321);
		assert_int_equal(ops->base(r->cpu, GAMUT_GS), 0x1234567);
		assert_int_equal(ops->set_xcr0(r->cpu, 3), 0);
		assert_int_equal(ops->set_xcr0(r->cpu, 2), -EINVAL);
		assert_int_equal(ops->set_xcr0(r->cpu, 5), -EINVAL);
		assert_int_equal(ops->set_xcr0(r->cpu, 1ull << 62 | 3), -EINVAL);
		assert_int_equal(ops->xcr0(r->cpu), 3);
		assert_int_equal(ops->set_cr4(r->cpu, CR4_OSXSAVE | CR4_TSD | CR4_DE), 0);
		ops->cpuid(r->cpu, 1, 0, leaf);
		assert_true(leaf[2] & 1u << 27);
		return true;
	default: /* rdtsc */
		assert_trap(r, EXC_GP, 0, CODE + 15);
		assert_int_equal(r->cpu->gpr[RAX], 3);
		return false;
	}
}

static void registers_of_the_processor(void **state)
{
	struct rig *r = *state;
	uint64_t value = 0;

	assert_int_equal(r->ops->msr_read(r->cpu, 0x10a, &value), 0);
	assert_true(value & 1); /* RDCL_NO */
	assert_int_equal(r->ops->msr_write(r->cpu, 0x10a, value), -EINVAL);
	assert_int_equal(r->ops->msr_write(r->cpu, 0xc0000103, 5), 0);
	assert_int_equal(r->ops->msr_read(r->cpu, 0xc0000103, &value), 0);
	assert_int_equal(value, 5);
	assert_int_equal(r->ops->msr_write(r->cpu, 0xc0000103, 1ull << 32), -EINVAL);
	assert_int_equal(r->ops->msr_write(r->cpu, 0x49, 1), 0);
	assert_int_equal(r->ops->msr_read(r->cpu, 0x49, &value), -EINVAL);
	assert_int_equal(r->ops->msr_read(r->cpu, 0xc0000082, &value), -EINVAL); /* LSTAR: for ring 0 */
	assert_int_equal(r->ops->msr_write(r->cpu, 0xc0000080, 0), -EINVAL);
	assert_int_equal(r->ops->msr_read(r->cpu, 0x12345, &value), -EINVAL);
}

static void control_registers(void **state)
{
	struct rig *r = *state;
	uint32_t leaf1[4], leaf7[4];
	uint64_t tsc;

	r->ops->cpuid(r->cpu, 1, 0, leaf1);
	r->ops->cpuid(r->cpu, 7, 0, leaf7);
	if (!(leaf1[2] & 1u << 26) || !(leaf7[1] & 1)) {
		assert_int_equal(r->ops->set_cr4(r->cpu, CR4_FSGSBASE | CR4_OSXSAVE), -EINVAL);
		skip();
	}
	tsc = r->ops->tsc(r->cpu);
	RUN(r, code_control, on_control);
	assert_true(r->ops->tsc(r->cpu) > tsc);
}

/* A write breakpoint. */
GUEST(code_watched, "mov %rbx, 0x130008; mov %rbx, 0x130010; nop");

static bool on_watch(struct rig *r)
{
	if (r->n == 1) { /* attention: arm it */
		r->ops->set_dr(r->cpu, 0, DATA + 0x10);
		r->ops->set_dr(r->cpu, 7, 0xd0001 | 1ull << 40);
		r->ops->set_dr(r->cpu, 4, 1);
		assert_int_equal(r->ops->dr(r->cpu, 0), DATA + 0x10);
		assert_int_equal(r->ops->dr(r->cpu, 7), 0xd0401);
		assert_int_equal(r->ops->dr(r->cpu, 4), 0);
		return true;
	}
	assert_trap(r, EXC_DB, -1, CODE + 16);
	assert_int_equal(r->cpu->dr6, 1);
	r->ops->set_dr(r->cpu, 6, 0);
	assert_int_equal(r->ops->dr(r->cpu, 6), 0xffff0ff0);
	return false;
}

static void debug_registers(void **state)
{
	struct rig *r = *state;

	atomic_store(&r->attention, ATTN_IRQ);
	RUN(r, code_watched, on_watch);
	assert_int_equal(r->n, 2);
}

static void hole_is_free(void **state)
{
	struct rig *r = *state;
	const uint64_t *hole = r->ops->hole(r->cpu);

	for (unsigned i = 0; i < GAMUT_PV_HOLE_SLOTS; i++)
		assert_int_equal(hole[i], 0);
}

/* ---- state ----------------------------------------------------------------------------------------------------- */

static bool on_once(struct rig *r)
{
	assert_syscall(r, 1);
	return false;
}

static void state_as_a_whole(void **state)
{
	struct rig *r = *state;
	struct gamut_vcpu_state s = first_state(), got = { .size = sizeof(got) };

	s.seg[GAMUT_SS] = segment(SEL_INNER_DATA, 0xc093);
	assert_int_equal(engine_bt.vcpu_set(r->engine, &s), -EINVAL);
	s = first_state();
	s.seg[GAMUT_CS] = segment(SEL_INNER_CODE, 0xa09b);
	assert_int_equal(engine_bt.vcpu_set(r->engine, &s), -EINVAL);
	s = first_state();
	s.cr0 = CR0_PE;
	s.efer = 0;
	assert_int_equal(engine_bt.vcpu_set(r->engine, &s), -EINVAL);
	s = first_state();
	s.size = 8;
	assert_int_equal(engine_bt.vcpu_set(r->engine, &s), -EINVAL);
	s = first_state();
	s.gpr[R9] = 0x99;
	assert_int_equal(engine_bt.vcpu_set(r->engine, &s), 0);
	RUN(r, code_once, on_once);
	assert_int_equal(engine_bt.vcpu_get(r->engine, &got), 0);
	assert_int_equal(got.rip, CODE + 7);
	assert_int_equal(got.gpr[R9], 0x99);
	assert_int_equal(got.cr3, KERNEL_ROOT);
	assert_int_equal(got.seg[GAMUT_CS].selector, SEL_CODE64);
	assert_int_equal(got.rflags, FL_IF | FL_FIXED);
}

/* Without registers from the monitor it does not run: power-on state is ring 0. */
static void reset_needs_a_state(void **state)
{
	struct rig *r = *state;
	const struct gamut_vcpu_state s = first_state();

	RUN(r, code_once, on_once);
	engine_bt.vcpu_reset(r->engine);
	engine_bt.vcpu_run(r->engine, &r->exit);
	assert_int_equal(r->exit.reason, EXIT_ERROR);
	assert_int_equal(engine_bt.vcpu_set(r->engine, &s), 0);
	go(r, on_once);
	assert_int_equal(r->n, 1);
}

/* vcpu_set in a slow handler: the registers that it gives count. */
static bool on_replaced(struct rig *r)
{
	struct gamut_vcpu_state s = first_state();

	if (r->n > 1) {
		assert_int_equal(r->cpu->gpr[RAX], 1);
		return false;
	}
	s.gpr[RSP] = 0x4444;
	assert_int_equal(engine_bt.vcpu_set(r->engine, &s), 0);
	assert_int_equal(r->cpu->rip, CODE);
	return true;
}

static void state_set_by_a_handler(void **state)
{
	struct rig *r = *state;

	RUN(r, code_once, on_replaced);
	assert_int_equal(r->n, 2);
	assert_int_equal(r->cpu->gpr[RSP], 0x4444);
}

#define TEST(f)                                                                                               \
	{ #f ", fast", f, setup_fast, teardown, NULL }, { #f ", slow", f, setup_slow, teardown, NULL },         \
		{ #f ", interpreted", f, setup_interp, teardown, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(syscall_event),
		TEST(what_ring_3_may_not),
		TEST(what_ring_3_may),
		TEST(fast_calls_of_vendors),
		TEST(single_step),
		TEST(attention_event),
		TEST(attention_waits_behind_mov_ss),
		TEST(two_spaces_without_flush),
		TEST(code_of_two_spaces),
		TEST(code_at_0),
		TEST(code_of_a_new_root),
		TEST(roots_forget_their_space),
		TEST(rights_are_ring_3s),
		TEST(entries_and_flushes),
		TEST(entry_in_code),
		TEST(copies),
		TEST(emulated_writes),
		TEST(refused_writes),
		TEST(crossing_write_is_refused),
		TEST(emulated_write_traps),
		TEST(segment_loads),
		TEST(call_gate),
		TEST(task_switched),
		TEST(vector_registers),
		TEST(registers_of_the_processor),
		TEST(control_registers),
		TEST(debug_registers),
		TEST(hole_is_free),
		TEST(state_as_a_whole),
		TEST(reset_needs_a_state),
		TEST(state_set_by_a_handler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
