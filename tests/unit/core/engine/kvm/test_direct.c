/* SPDX-License-Identifier: MIT */
/*
 * A PV guest of engine kvm whose user mode goes to KVM and comes back: loops
 * long enough to be handed over, and asks its kernel (this test) for things in
 * between. Skipped where there is no KVM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/bt/decode.h"
#include "engine/kvm/direct.h"
#include "engine/kvm/pv.h"

#define RAM (8ull << 20)
#define KROOT 0x100000ull
#define UROOT 0x101000ull
#define TABLES 0x102000ull
#define GDT 0x180000ull
#define CODE 0x200000ull /* guest physical */
#define DATA 0x300000ull
#define KERNEL_VA 0xffffffff81000000ull
#define USER_VA 0x400000ull
#define DATA_VA 0x7f0000000000ull
#define DATA_PAGES 256u
#define STACK_VA 0x7ffffffff000ull
#define GDT_VA 0xffffffff82000000ull
#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define FRAME 0xffffffffff000ull

/*
 * Each program ends with a system call; rdi is its argument. They begin in the
 * translator and are in KVM after a tick or two.
 */
__asm__(".section .rodata\n"
        "user_code:\n"
        "code_spin: 1: dec %rdi\n jnz 1b\n syscall\n"
        /* vector state across the border: the sum of 1.0, rdi times, and a constant kept in ymm7 */
        "code_sum: vxorpd %ymm0, %ymm0, %ymm0\n mov $0x3ff0000000000000, %rax\n vmovq %rax, %xmm1\n"
        "vbroadcastsd %xmm1, %ymm7\n vmovapd %ymm7, %ymm6\n"
        "1: vaddpd %ymm7, %ymm0, %ymm0\n dec %rdi\n jnz 1b\n"
        "vmovupd %ymm0, (%rsi)\n vmovupd %ymm6, 32(%rsi)\n syscall\n"
        /* reads and writes a byte in every page of the data, rdi times over */
        "code_touch: 1: mov %rsi, %rbx\n mov $256, %ecx\n"
        "2: incb (%rbx)\n add $4096, %rbx\n dec %ecx\n jnz 2b\n dec %rdi\n jnz 1b\n syscall\n"
        /* loads (rsi) until it is not zero */
        "code_wait: 1: mov (%rsi), %rax\n test %rax, %rax\n jz 1b\n syscall\n"
        /* after a spin: an instruction that is not allowed, with everything in its place */
        "code_fault: 1: dec %rdi\n jnz 1b\n mov $0x1234, %r15\n hlt\n syscall\n"
        "code_null: 1: dec %rdi\n jnz 1b\n movb $1, 0x10\n syscall\n"
        "code_int3: 1: dec %rdi\n jnz 1b\n int3\n syscall\n"
        /* writes over an instruction that it has just run, which the translator has translated */
        /* sets TF: a trap behind the next instruction */
        "code_step: 1: dec %rdi\n jnz 1b\n pushf\n orl $0x100, (%rsp)\n popf\n mov $0x77, %ebx\n syscall\n"
        /* no system call: a jump to where they lead, with flags that user code cannot have */
        "code_jump: 1: dec %rdi\n jnz 1b\n mov $0xffff808000000c00, %rax\n lea 2f(%rip), %rcx\n"
        "mov $0x23202, %r11d\n jmp *%rax\n nop\n 2: syscall\n syscall\n"
        "code_patch: 1: dec %rdi\n jnz 1b\n lea 3f(%rip), %rbx\n mov (%rsi), %eax\n mov %eax, (%rbx)\n"
        "mov $0, %eax\n jmp 3f\n .balign 64\n3: nop\n nop\n nop\n nop\n syscall\n"
        "user_code_end:\n.previous\n");
extern const uint8_t user_code[], user_code_end[], code_spin[], code_sum[], code_touch[], code_wait[], code_fault[],
	code_null[], code_int3[], code_step[], code_jump[], code_patch[];

struct rig {
	const struct engine_ops *ops;
	struct mem mem;
	struct engine_vm *vm;
	struct engine_vcpu *vcpu;
	struct engine_vcpu_env env;
	_Atomic uint32_t attention;
	struct vcpu_exit exit;
	struct gamut_pv_cpu *cpu;
	uint64_t next_table;
};

static uint64_t *at(struct rig *r, uint64_t gpa)
{
	return (uint64_t *)(void *)(r->mem.base + gpa);
}

static uint64_t *entry(struct rig *r, uint64_t root, uint64_t va)
{
	uint64_t table = root;

	for (int level = 3; level > 0; level--) {
		uint64_t *e = &at(r, table)[va >> (12 + 9 * level) & 511];

		if (!*e) {
			*e = r->next_table | P | W | U | A;
			r->next_table += PAGE_SIZE;
		}
		table = *e & FRAME;
	}
	return &at(r, table)[va >> 12 & 511];
}

static void map(struct rig *r, uint64_t root, uint64_t va, uint64_t gpa, uint64_t flags)
{
	*entry(r, root, va) = gpa | P | U | flags;
}

static int no_slow(void *opaque, struct gamut_pv_cpu *cpu)
{
	(void)opaque;
	(void)cpu;
	return 0;
}

static int never(void *opaque, uint32_t vcpu)
{
	(void)opaque;
	(void)vcpu;
	return 0;
}

static const struct gamut_pv_guest monitor = { .size = sizeof(monitor), .slow = no_slow, .pending = never };

static int env_accept(void *opaque)
{
	(void)opaque;
	return -1;
}

static int env_pending(void *opaque)
{
	(void)opaque;
	return 0;
}

static struct gamut_segment flat(uint16_t selector, uint32_t attr)
{
	return (struct gamut_segment){ .selector = selector, .limit = 0xffffffff, .attr = attr };
}

/* The kernel's only code is a system call: the first event. */
static void start_state(struct rig *r)
{
	struct gamut_vcpu_state s = { .size = sizeof(s) };

	s.seg[GAMUT_CS] = flat(0x33, 0xa0fb);
	s.seg[GAMUT_SS] = flat(0x2b, 0xc0f3);
	s.seg[GAMUT_DS] = s.seg[GAMUT_ES] = s.seg[GAMUT_FS] = s.seg[GAMUT_GS] = flat(0, 0x10000);
	s.seg[GAMUT_LDTR] = s.seg[GAMUT_TR] = flat(0, 0x10000);
	s.gdt = (struct gamut_table){ .base = GDT_VA, .limit = 0x3f };
	s.rip = KERNEL_VA;
	s.rflags = 0x202;
	s.cr0 = 0x80050033;
	s.cr3 = KROOT;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
	s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	assert_int_equal(r->ops->vcpu_set(r->vcpu, &s), 0);
}

static void make_guest(struct rig *r)
{
	r->next_table = TABLES;
	memcpy(r->mem.base + CODE, user_code, (size_t)(user_code_end - user_code));
	memcpy(r->mem.base + CODE + PAGE_SIZE, "\x0f\x05\xeb\xfe", 4);
	map(r, KROOT, KERNEL_VA, CODE + PAGE_SIZE, A);
	map(r, KROOT, GDT_VA, GDT, A | W | D);
	map(r, UROOT, USER_VA, CODE, A | W | D);
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		map(r, UROOT, DATA_VA + i * PAGE_SIZE, DATA + i * PAGE_SIZE, W);
	map(r, UROOT, STACK_VA - PAGE_SIZE, DATA + 2 * DATA_PAGES * PAGE_SIZE, A | W | D);
}

static void run_to_event(struct rig *r)
{
	r->ops->vcpu_run(r->vcpu, &r->exit);
	assert_int_equal(r->exit.reason, EXIT_PV);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	const struct engine_config config = { .vcpus = 1, .debug = "" };
	char err[160] = "";

	*state = NULL;
	if (!direct_probe(err, sizeof(err))) {
		free(r);
		return 0;
	}
	r->ops = engine_kvm_pv();
	r->env = (struct engine_vcpu_env){ .opaque = r, .attention = &r->attention, .irq_accept = env_accept, .irq_pending = env_pending };
	if (mem_init(&r->mem, RAM, err, sizeof(err)) || r->ops->vm_create(&r->vm, &r->mem, &config, err, sizeof(err)) ||
	    r->ops->vcpu_create(r->vm, 0, &r->env, &r->vcpu, err, sizeof(err)) ||
	    r->ops->pv_attach(r->vm, &monitor, r, &r->cpu)) {
		print_error("%s\n", err);
		return -1;
	}
	make_guest(r);
	start_state(r);
	run_to_event(r);
	assert_int_equal(r->cpu->event, GAMUT_PV_SYSCALL);
	r->cpu->ops->roots(r->cpu, GAMUT_PV_KEEP, UROOT);
	if (r->cpu->ops->set_xcr0(r->cpu, 7))
		return -1;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	if (!r)
		return 0;
	r->ops->vcpu_destroy(r->vcpu);
	r->ops->vm_destroy(r->vm);
	mem_finish(&r->mem);
	free(r);
	return 0;
}

#define NEED_KVM(state)                                    \
	struct rig *r = *(state);                          \
	if (!r)                                            \
		skip()

static struct direct *direct_of(struct rig *r)
{
	return (struct direct *)(void *)((char *)bt_vcpu_of(r->vcpu)->handover - offsetof(struct direct, handover));
}

static void run_anywhere(struct rig *r, const uint8_t *code, uint64_t rdi, uint64_t rsi)
{
	r->cpu->ops->enter(r->cpu, 1);
	r->cpu->rip = USER_VA + (uint64_t)(code - user_code);
	r->cpu->rflags = 0x202;
	r->cpu->gpr[RDI] = rdi;
	r->cpu->gpr[RSI] = rsi;
	r->cpu->gpr[RSP] = STACK_VA;
	run_to_event(r);
	r->cpu->ops->enter(r->cpu, 0);
}

/* Runs a program to its next event, which it is to meet in KVM. */
static void run(struct rig *r, const uint8_t *code, uint64_t rdi, uint64_t rsi)
{
	struct direct *d = direct_of(r);
	uint64_t stays = d->n_runs;

	run_anywhere(r, code, rdi, rsi);
	if (d->n_runs == stays)
		fail_msg("%s", "user code was never handed over");
}

#define LONG 100000000ull

static void test_syscall(void **state)
{
	NEED_KVM(state);
	r->cpu->gpr[R12] = 0x1212;
	r->cpu->ops->set_base(r->cpu, GAMUT_FS, 0x7f1234567000);
	run(r, code_spin, LONG, 0);
	assert_int_equal(r->cpu->event, GAMUT_PV_SYSCALL);
	assert_int_equal(r->cpu->rip, USER_VA + (uint64_t)(code_sum - user_code));
	assert_int_equal(r->cpu->gpr[RDI], 0);
	assert_int_equal(r->cpu->gpr[R12], 0x1212);
	assert_int_equal(r->cpu->gpr[RSP], STACK_VA);
	assert_int_equal(r->cpu->ops->base(r->cpu, GAMUT_FS), 0x7f1234567000);
	assert_int_equal(r->cpu->ops->selector(r->cpu, GAMUT_CS), 0x33);
	assert_true(r->cpu->rflags & FL_ZF);
}

static void test_vector_state(void **state)
{
	double sum[8];
	NEED_KVM(state);

	run(r, code_sum, LONG, DATA_VA);
	assert_int_equal(r->cpu->event, GAMUT_PV_SYSCALL);
	memcpy(sum, r->mem.base + DATA, sizeof(sum));
	for (int i = 0; i < 4; i++) {
		assert_true(sum[i] == (double)LONG);
		assert_true(sum[i + 4] == 1.0);
	}
}

static void test_page_faults_are_filled(void **state)
{
	NEED_KVM(state);

	run(r, code_touch, 100001, DATA_VA);
	assert_int_equal(r->cpu->event, GAMUT_PV_SYSCALL);
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		assert_int_equal(r->mem.base[DATA + i * PAGE_SIZE], 100001 % 256);
	assert_true(*entry(r, UROOT, DATA_VA + 5 * PAGE_SIZE) & D);
}

static void test_faults(void **state)
{
	static const struct {
		const uint8_t *code;
		uint8_t vector;
		bool has_error;
		uint32_t error;
		uint64_t cr2;
	} cases[] = {
		{ code_fault, EXC_GP, true, 0, 0 },
		{ code_null, EXC_PF, true, 6, 0x10 },
		{ code_int3, EXC_BP, false, 0, 0 },
		{ code_step, EXC_DB, false, 0, 0 },
	};
	NEED_KVM(state);

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run(r, cases[i].code, LONG, 0);
		assert_int_equal(r->cpu->event, GAMUT_PV_TRAP);
		assert_int_equal(r->cpu->vector, cases[i].vector);
		assert_int_equal(r->cpu->has_error, cases[i].has_error);
		if (cases[i].has_error)
			assert_int_equal(r->cpu->error, cases[i].error);
		if (cases[i].vector == EXC_PF)
			assert_int_equal(r->cpu->cr2, cases[i].cr2);
	}
}

/* Traps: rip is behind the instruction. */
static void test_traps(void **state)
{
	NEED_KVM(state);

	run(r, code_int3, LONG, 0);
	assert_int_equal(r->cpu->rip, USER_VA + (uint64_t)(code_int3 - user_code) + 6);
	run(r, code_step, LONG, 0);
	assert_int_equal(r->cpu->gpr[RBX], 0x77);
	assert_true(r->cpu->rflags & FL_TF);
	assert_true(r->cpu->dr6 & 0x4000);
}

/* What user code puts into r11 is not taken for flags that only the kernel may set. */
static void test_forged_flags(void **state)
{
	NEED_KVM(state);

	run(r, code_jump, LONG, 0);
	assert_int_equal(r->cpu->rflags & (FL_VM | FL_IOPL), 0);
	assert_true(r->cpu->rflags & FL_IF);
	assert_int_equal(bt_vcpu_of(r->vcpu)->rflags & (FL_VM | FL_IOPL), 0);
}

/* A page that user code saw in KVM is replaced: it sees the new one. */
static void test_mapping_changes(void **state)
{
	NEED_KVM(state);

	run(r, code_touch, 50000, DATA_VA);
	for (uint64_t i = 0; i < DATA_PAGES; i += 2) {
		uint64_t va = DATA_VA + i * PAGE_SIZE;

		r->cpu->ops->pte_write(r->cpu, (uint64_t)((uint8_t *)entry(r, UROOT, va) - r->mem.base),
		                       (DATA + (DATA_PAGES + i) * PAGE_SIZE) | P | U | W);
		r->cpu->ops->flush_page(r->cpu, va);
	}
	run(r, code_touch, 50000, DATA_VA);
	for (uint64_t i = 0; i < DATA_PAGES; i += 2) {
		assert_int_equal(r->mem.base[DATA + i * PAGE_SIZE], 50000 % 256);
		assert_int_equal(r->mem.base[DATA + (DATA_PAGES + i) * PAGE_SIZE], 50000 % 256);
		assert_int_equal(r->mem.base[DATA + (i + 1) * PAGE_SIZE], 100000 % 256);
	}
}

/* Write access is taken away: the next write is the kernel's to know of. */
static void test_write_protection(void **state)
{
	uint64_t *e;
	NEED_KVM(state);

	run(r, code_touch, 50000, DATA_VA);
	e = entry(r, UROOT, DATA_VA + 7 * PAGE_SIZE);
	r->cpu->ops->pte_write(r->cpu, (uint64_t)((uint8_t *)e - r->mem.base), *e & ~W);
	r->cpu->ops->flush_page(r->cpu, DATA_VA + 7 * PAGE_SIZE);
	r->cpu->ops->enter(r->cpu, 1);
	r->cpu->rip = USER_VA + (uint64_t)(code_touch - user_code);
	r->cpu->gpr[RDI] = 1;
	r->cpu->gpr[RSI] = DATA_VA;
	direct_of(r)->handover.sticky = true;
	run_to_event(r);
	assert_int_equal(r->cpu->event, GAMUT_PV_TRAP);
	assert_int_equal(r->cpu->vector, EXC_PF);
	assert_int_equal(r->cpu->error, 7);
	assert_int_equal(r->cpu->cr2, DATA_VA + 7 * PAGE_SIZE);
}

/* Code that the translator has seen is overwritten by user mode that runs in KVM. */
static void test_self_modification(void **state)
{
	NEED_KVM(state);

	memcpy(r->mem.base + DATA, "\xb0\x2a\x90\x90", 4); /* mov $42, %al */
	run_anywhere(r, code_patch, 1, DATA_VA + 64);     /* zeroes, add %al, (%rax): it faults, but is translated now */
	assert_int_equal(r->cpu->event, GAMUT_PV_TRAP);
	run(r, code_patch, LONG, DATA_VA);
	assert_int_equal(r->cpu->event, GAMUT_PV_SYSCALL);
	assert_int_equal(r->cpu->gpr[RAX], 42);
}

static void *set_later(void *opaque)
{
	struct rig *r = opaque;

	usleep(50000);
	atomic_fetch_or(&r->attention, ATTN_STOP);
	r->ops->vcpu_kick(r->vcpu);
	return NULL;
}

static void test_kick(void **state)
{
	pthread_t thread;
	NEED_KVM(state);

	r->cpu->ops->enter(r->cpu, 1);
	r->cpu->rip = USER_VA + (uint64_t)(code_wait - user_code);
	r->cpu->gpr[RSI] = DATA_VA;
	assert_int_equal(pthread_create(&thread, NULL, set_later, r), 0);
	r->ops->vcpu_run(r->vcpu, &r->exit);
	pthread_join(thread, NULL);
	assert_int_equal(r->exit.reason, EXIT_INTR);
	assert_true(direct_of(r)->n_runs > 0);
	/* And it goes on where it was. */
	atomic_store(&r->attention, 0);
	*at(r, DATA) = 0x77;
	run_to_event(r);
	assert_int_equal(r->cpu->event, GAMUT_PV_SYSCALL);
	assert_int_equal(r->cpu->gpr[RAX], 0x77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_syscall, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vector_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_page_faults_are_filled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_traps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forged_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mapping_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_protection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_self_modification, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kick, setup, teardown),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
