// SPDX-License-Identifier: MIT
/*
 * Debugging: breakpoints in code and in the debug registers, watchpoints, single
 * steps and stops at system calls, by ptrace; and a process that traps itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

#define DR(n) offsetof(struct user, u_debugreg[n])
#define DR7_EXEC0 0x1ull                      /* 0 enabled, one byte, execution */
#define DR7_WRITE1 (0x4ull | 0xdull << 20)    /* 1 enabled, four bytes, writes */

static volatile uint32_t watched, other;

/* What is stepped through: three instructions with names. */
void steps(void);
extern const char step_1[], step_2[], step_3[];
__asm__(".globl steps, step_1, step_2, step_3\n"
        "steps: nop\nstep_1: lea 1(%rax), %rax\nstep_2: push %rax\nstep_3: pop %rax\nret");

__attribute__((noinline)) static void child(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	for (int i = 0; i < 3; i++) {
		steps();
		other = 1;
		watched = (uint32_t)i;
		syscall(SYS_getppid);
	}
	_exit(9);
}

static pid_t start(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		child();
	waitpid(pid, &status, 0);
	return pid;
}

/* Goes on, and whether it stops with SIGTRAP. */
static bool trap(pid_t pid, int how)
{
	int status = 0;

	ptrace(how, pid, 0, 0);
	waitpid(pid, &status, 0);
	return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
}

static bool ended(pid_t pid, int how)
{
	int status = 0;

	ptrace(how, pid, 0, 0);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 9;
}

static uint64_t rip(pid_t pid)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
}

static bool set(pid_t pid, int n, uint64_t value)
{
	return ptrace(PTRACE_POKEUSER, pid, DR(n), value) == 0;
}

static uint64_t get(pid_t pid, int n)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, pid, DR(n), 0);
}

static void execution(void)
{
	pid_t pid = start();
	int hits = 0;

	check(set(pid, 0, (uint64_t)step_1) && set(pid, 7, DR7_EXEC0), "a hardware breakpoint is set");
	for (int i = 0; i < 3; i++) {
		set(pid, 6, 0);
		hits += trap(pid, PTRACE_CONT) && rip(pid) == (uint64_t)step_1 && (get(pid, 6) & 0xf) == 1;
	}
	check(hits == 3, "it is met before its instruction, each time, and DR6 says which (%d)", hits);
	check(ended(pid, PTRACE_CONT), "the process ends as it would have");
}

static void data(void)
{
	pid_t pid = start();
	uint32_t seen = 0;
	int hits = 0;

	check(set(pid, 1, (uint64_t)&watched) && set(pid, 7, DR7_WRITE1), "a watchpoint is set");
	for (uint32_t i = 0; i < 3; i++) {
		set(pid, 6, 0);
		hits += trap(pid, PTRACE_CONT) && (get(pid, 6) & 0xf) == 2;
		seen += (uint32_t)ptrace(PTRACE_PEEKDATA, pid, &watched, 0) == i;
	}
	check(hits == 3 && seen == 3, "it is met behind each write, and by nothing else (%d, %u)", hits, seen);
	check(ended(pid, PTRACE_CONT), "the process ends as it would have");
}

static void single_steps(void)
{
	const uint64_t want[] = { (uint64_t)step_2, (uint64_t)step_3, (uint64_t)step_3 + 1 };
	pid_t pid = start();
	int good = 0;

	set(pid, 0, (uint64_t)step_1);
	set(pid, 7, DR7_EXEC0);
	trap(pid, PTRACE_CONT);
	set(pid, 7, 0);
	for (int i = 0; i < 3; i++)
		good += trap(pid, PTRACE_SINGLESTEP) && rip(pid) == want[i];
	check(good == 3, "single steps stop behind each instruction (%d)", good);
	good = 0;
	for (int i = 0; i < 50; i++)
		good += trap(pid, PTRACE_SINGLESTEP);
	check(good == 50, "fifty more, through what comes (%d)", good);
	check(ended(pid, PTRACE_CONT), "the process ends as it would have");
}

static void software(void)
{
	pid_t pid = start();
	long text = ptrace(PTRACE_PEEKTEXT, pid, step_2, 0);
	bool met;

	ptrace(PTRACE_POKETEXT, pid, step_2, (text & ~0xffL) | 0xcc);
	met = trap(pid, PTRACE_CONT) && rip(pid) == (uint64_t)step_2 + 1;
	check(met, "int3 in another process's code stops it behind");
	ptrace(PTRACE_POKETEXT, pid, step_2, text);
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rip), step_2);
	check(ended(pid, PTRACE_CONT), "put back, it goes on");
}

static void system_calls(void)
{
	pid_t pid = start();
	int calls = 0;

	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
	for (int i = 0; i < 6; i++) {
		struct user_regs_struct regs = { 0 };
		int status = 0;

		ptrace(PTRACE_SYSCALL, pid, 0, 0);
		waitpid(pid, &status, 0);
		ptrace(PTRACE_GETREGS, pid, 0, &regs);
		calls += WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80) && regs.orig_rax == SYS_getppid &&
		         (i % 2 ? (pid_t)regs.rax == getpid() : (long)regs.rax == -ENOSYS);
	}
	check(calls == 6, "stops at system calls, before and behind (%d)", calls);
	check(ended(pid, PTRACE_CONT), "the process ends as it would have");
}

static volatile sig_atomic_t traps, codes[4];
static volatile uint64_t where[4];

static void on_trap(int number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	(void)number;
	if (traps < 4) {
		where[traps] = (uint64_t)u->uc_mcontext.gregs[REG_RIP];
		codes[traps] = info->si_code;
	}
	traps++;
	u->uc_mcontext.gregs[REG_EFL] &= ~0x100ll; /* off with TF */
}

extern const char after_tf[], after_int3[];

static void oneself(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &action, NULL);
	/* Clear of the red zone; the step is that of the nop. */
	__asm__ volatile("sub $256, %%rsp; pushf; orq $0x100, (%%rsp); popf; nop; .globl after_tf; after_tf: add $256, %%rsp"
	                 : : : "cc", "memory");
	check(traps == 1 && where[0] == (uint64_t)after_tf && codes[0] == TRAP_TRACE, "TF traps behind one instruction (%d)",
	      traps);
	__asm__ volatile("int3; .globl after_int3; after_int3:" : : : "memory");
	check(traps == 2 && where[1] == (uint64_t)after_int3, "int3 traps behind itself (%d)", traps);
}

int main(void)
{
	execution();
	data();
	single_steps();
	software();
	system_calls();
	oneself();
	return finish();
}
