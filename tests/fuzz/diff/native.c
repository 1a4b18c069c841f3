/* SPDX-License-Identifier: MIT */
/*
 * A case on the processor itself.
 *
 * 32-bit code runs in the same process through a far jump to Linux's 32-bit
 * user code segment; whatever ends it is a signal, whose frame is a 64-bit one
 * and tells the segment. The handler goes on in native_leave, in 64-bit code.
 * 16-bit code is reached in the same way, in segments of the process's LDT.
 */
#include <asm/ldt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "diff.h"

void native_enter(const struct state *s, const void *code);
void native_enter32(const struct state *s, const void *code);
void native_enter16(const struct state *s, const void *code);
void native_leave(void);
extern uint64_t native_rsp;

#define SAVE                                                                                              \
	"  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15; subq $8, %rsp\n"          \
	"  movq %rsp, native_rsp(%rip)\n"                                                                    \
	"  movq %rsi, native_target(%rip)\n"                                                                 \
	"  movl $7, %eax; xorl %edx, %edx; xrstor64 192(%rdi)\n"

__asm__(".text\n"
	".globl native_enter\n"
	"native_enter:\n" SAVE
	"  pushq 136(%rdi); popfq\n"
	"  movq 0(%rdi), %rax; movq 8(%rdi), %rcx; movq 16(%rdi), %rdx; movq 24(%rdi), %rbx\n"
	"  movq 32(%rdi), %rsp; movq 40(%rdi), %rbp; movq 48(%rdi), %rsi\n"
	"  movq 64(%rdi), %r8; movq 72(%rdi), %r9; movq 80(%rdi), %r10; movq 88(%rdi), %r11\n"
	"  movq 96(%rdi), %r12; movq 104(%rdi), %r13; movq 112(%rdi), %r14; movq 120(%rdi), %r15\n"
	"  movq 56(%rdi), %rdi\n"
	"  jmp *native_target(%rip)\n"
	".globl native_enter32\n"
	"native_enter32:\n" SAVE
	"  movl $0x23, native_target+4(%rip)\n"
	"  movl $0x2b, %eax; movl %eax, %ds; movl %eax, %es\n"
	"  pushq 136(%rdi); popfq\n"
	"  movl 0(%rdi), %eax; movl 8(%rdi), %ecx; movl 16(%rdi), %edx; movl 24(%rdi), %ebx\n"
	"  movl 32(%rdi), %esp; movl 40(%rdi), %ebp; movl 48(%rdi), %esi; movl 56(%rdi), %edi\n"
	"  ljmpl *native_target(%rip)\n"
	".globl native_enter16\n"
	"native_enter16:\n" SAVE
	"  movl $0x07, native_target+4(%rip)\n"
	"  movl $0x0f, %eax; movl %eax, %ds; movl %eax, %es\n"
	"  pushq 136(%rdi); popfq\n"
	"  movl 0(%rdi), %eax; movl 8(%rdi), %ecx; movl 16(%rdi), %edx; movl 24(%rdi), %ebx\n"
	"  movl 40(%rdi), %ebp; movl 48(%rdi), %esi\n"
	"  movl $0x17, %esp; movl %esp, %ss; movl 32(%rdi), %esp\n"
	"  movl 56(%rdi), %edi\n"
	"  ljmpl *native_target(%rip)\n"
	".globl native_leave\n"
	"native_leave:\n"
	"  xorl %eax, %eax; movl %eax, %ds; movl %eax, %es\n"
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

static struct state *result;
static const int reg_map[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,	 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	volatile uint16_t *selectors = (volatile uint16_t *)&g[REG_CSGSFS];

	(void)sig;
	(void)info;
	for (unsigned i = 0; i < 16; i++)
		result->gpr[i] = (uint64_t)g[reg_map[i]];
	result->rip = (uint64_t)g[REG_RIP];
	result->rflags = (uint64_t)g[REG_EFL];
	bt_copy(result->fx, uc->uc_mcontext.fpregs, FX_SIZE);
	result->vector = (int)g[REG_TRAPNO];
	result->error = (uint64_t)g[REG_ERR];
	result->cr2 = (uint64_t)g[REG_CR2];
	if (result->vector == EXC_PF && result->cr2 >= 0x7ffffffff000ull)
		result->error &= ~1ull; /* Linux sets P for what is not the process's, whatever the tables say */
	g[REG_RIP] = (greg_t)(uint64_t)native_leave;
	g[REG_RSP] = (greg_t)native_rsp;
	g[REG_EFL] = 0x202;
	/* CS, GS, FS, SS, each by itself: AC may be set, and a mask lets a compiler read two at an odd place. */
	selectors[0] = SEL_CS64;
	selectors[3] = SEL_DS;
}

static const int caught[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
#define N_CAUGHT (sizeof(caught) / sizeof(caught[0]))

void processor_run(const struct gen *g, const struct state *start, struct state *end)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	struct sigaction old[N_CAUGHT];

	result = end;
	for (unsigned i = 0; i < N_CAUGHT; i++)
		sigaction(caught[i], &sa, &old[i]);
	if (g->mode == MODE_64)
		native_enter(start, (void *)(CODE_VA + g->start));
	else if (g->mode == MODE_16)
		native_enter16(start, (void *)(uint64_t)g->start);
	else
		native_enter32(start, (void *)(CODE_VA + g->start));
	for (unsigned i = 0; i < N_CAUGHT; i++)
		sigaction(caught[i], &old[i], NULL);
	/* A return of Linux to a 16-bit stack leaves some of a stack of its own in the upper half. */
	if (g->mode == MODE_16)
		end->gpr[RSP] = (uint32_t)end->gpr[RSP];
}

static bool map(uint64_t va, uint64_t size, int prot)
{
	return mmap((void *)va, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0) ==
	       (void *)va;
}

/* The processor's signals come on this stack until the engine has made its own: RSP is the case's. */
static bool signal_stack(void)
{
	static uint8_t stack[64 << 10];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack), .ss_flags = (int)(1u << 31) /* SS_AUTODISARM */ };

	return !sigaltstack(&ss, NULL);
}

bool processor_init(void)
{
	const int rw = PROT_READ | PROT_WRITE;

	if (!signal_stack() || !map(RO_VA, DATA_SIZE + 4096, rw) || !map(CODE_VA, CODE_SIZE, rw | PROT_EXEC) ||
	    mprotect((void *)(CODE_VA + 0x2000), 4096, rw)) {
		perror("bt-diff: memory map");
		return false;
	}
	memset((void *)RO_VA, 0x5a, 4096);
	return !mprotect((void *)RO_VA, 4096, PROT_READ);
}

static bool ldt_entry(unsigned selector, uint64_t base, unsigned limit, unsigned contents)
{
	struct user_desc d = { .entry_number = selector >> 3, .base_addr = (unsigned)base, .limit = limit,
			       .contents = contents, .useable = 1 };

	return syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) == 0;
}

bool processor_init16(void)
{
	return ldt_entry(SEL_CS16, CODE_VA, CODE_SIZE - 1, MODIFY_LDT_CONTENTS_CODE) &&
	       ldt_entry(SEL_DS16, DATA_VA, DS16_LIMIT, MODIFY_LDT_CONTENTS_DATA) &&
	       ldt_entry(SEL_SS16, DATA_VA, DATA_SIZE - 1, MODIFY_LDT_CONTENTS_DATA);
}
