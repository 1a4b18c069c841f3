/* SPDX-License-Identifier: MIT */
/*
 * Faults that the processor raises in translated code.
 *
 * Most guest faults are found by the TLB check; these are not: division
 * errors, unmasked x87 and SIMD exceptions, and misaligned operands of aligned
 * vector accesses. The handler finds the block and instruction from the host
 * pc, takes the guest's registers from the signal frame, and lets the thread
 * go on in bt_thunk_signal, which delivers the exception.
 *
 * The handler runs on an alternate stack (RSP is the guest's), which disarms
 * itself on entry, so that no guest RSP value can look like "already on it".
 * Any other fault is not ours: the default action is restored and the signal
 * happens again.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <asm/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "engine/bt/run.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

#define ALT_STACK_SIZE (64u << 10)

static __thread struct bt_vcpu *running;
static __thread void *alt_stack;

static const int reg_map[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,	 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static uint32_t slot_of(uint64_t eflags)
{
	return flags_to_slot(eflags);
}

/* r11 and r15 are in memory already. */
static void take_registers(struct bt_vcpu *v, const greg_t *g, bool slot)
{
	for (unsigned i = 0; i < 16; i++) {
		if (i != R11 && i != R15)
			v->gpr[i] = (uint64_t)g[reg_map[i]];
	}
	if (!slot)
		v->flags_slot = slot_of((uint64_t)g[REG_EFL]);
}

/*
 * What a signal in guest code means. x87 errors and SIMD errors both are
 * SIGFPE; trapno tells them apart (Intel SDM vol. 3, 6.3.1).
 */
static bool exception_of(int sig, const greg_t *g, struct bt_exc *exc)
{
	uint64_t trap = (uint64_t)g[REG_TRAPNO];

	*exc = (struct bt_exc){ 0 };
	if (sig == SIGFPE && (trap == EXC_DE || trap == EXC_MF || trap == EXC_XM)) {
		exc->vector = (uint8_t)trap;
		return true;
	}
	if (sig == SIGSEGV && trap == EXC_GP) {
		exc->vector = EXC_GP;
		exc->has_error = true;
		return true;
	}
	return false;
}

static bool in_native(const struct bt_vcpu *v, uint64_t pc)
{
	return v->native_resume && v->native && pc - (uint64_t)v->native < PAGE_SIZE;
}

static bool guest_fault(struct bt_vcpu *v, int sig, greg_t *g)
{
	uint64_t pc = (uint64_t)g[REG_RIP];
	const struct block *b = cache_block_at(&v->vm->cache, (void *)pc);
	struct bt_exc exc;
	bool slot;

	if (!b || !exception_of(sig, g, &exc))
		return false;
	v->rip = block_rip(&v->vm->cache, b, (void *)pc, &slot);
	take_registers(v, g, slot);
	v->exc = exc;
	g[REG_RIP] = (greg_t)(uint64_t)bt_thunk_signal;
	g[REG_RSP] = (greg_t)v->host_rsp;
	g[REG_EFL] &= ~(greg_t)(FL_DF | FL_TF | FL_AC);
	return true;
}

static void handler(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	struct bt_vcpu *v = running;

	if (v && in_native(v, (uint64_t)g[REG_RIP])) {
		v->native_signal = sig;
		v->native_code = info->si_code;
		g[REG_RIP] = (greg_t)v->native_resume;
		return;
	}
	if (v && guest_fault(v, sig, g))
		return;
	signal(sig, SIG_DFL);
}

int bt_signal_init(void)
{
	static const int signals[] = { SIGFPE, SIGSEGV, SIGBUS, SIGILL };
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sigemptyset(&sa.sa_mask);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (sigaction(signals[i], &sa, NULL))
			return -errno;
	}
	return 0;
}

static int gs_set(uint64_t base)
{
	return syscall(SYS_arch_prctl, ARCH_SET_GS, base) ? -errno : 0;
}

int bt_signal_thread(struct bt_vcpu *v)
{
	stack_t ss = { .ss_size = ALT_STACK_SIZE, .ss_flags = (int)SS_AUTODISARM };

	if (running == v)
		return 0;
	if (!alt_stack) {
		alt_stack = mmap(NULL, ALT_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (alt_stack == MAP_FAILED) {
			alt_stack = NULL;
			return -errno;
		}
		ss.ss_sp = alt_stack;
		if (sigaltstack(&ss, NULL))
			return -errno;
	}
	running = v;
	return gs_set((uint64_t)v);
}

void bt_signal_thread_finish(struct bt_vcpu *v)
{
	stack_t off = { .ss_flags = SS_DISABLE };

	if (running != v)
		return;
	running = NULL;
	sigaltstack(&off, NULL);
	munmap(alt_stack, ALT_STACK_SIZE);
	alt_stack = NULL;
	gs_set(0);
}
