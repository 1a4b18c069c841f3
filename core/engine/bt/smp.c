/* SPDX-License-Identifier: MIT */
/*
 * Several vCPUs over one code cache.
 *
 * What is whose. Soft TLB, jump cache and all registers belong to a vCPU, and
 * translated code uses them without any lock. Blocks, the structures that find
 * them, and the links between them belong to all. They change under one lock,
 * the translator lock, which is taken on slow paths alone: to translate, to
 * link, to drop. Looking a block up takes none (see below). With one vCPU
 * nothing of this exists: v->writers is NULL, and every function here returns.
 *
 * Busy and quiet. A vCPU is busy while it may be in translated code, may hold
 * addresses of such code, or uses its tables; that is, in vcpu_run. It is
 * quiet elsewhere: in the core, asleep, or in a function that is not the
 * engine's (an interrupt source, a monitor's handler), which may wait for
 * whatever it likes; and while it waits for the translator lock. Whoever has
 * the lock can stop others (smp_stop): he asks by stop and the poll word, and
 * waits until they are quiet. A busy vCPU comes to a poll soon, for it waits
 * for nothing; a quiet one is not waited for, and finds when it wants to be
 * busy again that it must not yet. That is Dekker's pattern: one side writes
 * stop, then reads state; the other writes state, then reads stop; both
 * sequentially consistent, so one sees the other. No two stoppers wait for each
 * other, because stopping needs the lock, and waiting for the lock is quiet.
 *
 * While others are stopped, he who stopped them changes their tables himself:
 * takes write tags away, empties jump caches, flushes. So a request to another
 * vCPU is a stop and a plain function call, never a message.
 *
 * Code and stores. The rule of translation is: bytes of a page are read with
 * the lock held, mem->code[page] set, and no other vCPU able to store into
 * the page without asking. writers[page] has a bit for each vCPU that may be
 * able to: it has, or is about to have, a write tag; or it was allowed one
 * store beside code or by the interpreter, which may still be on its way. The
 * bit is set before code[page] is looked at; the translator sets code[page]
 * before it looks at the bits; so again one sees the other. The translator
 * stops the vCPUs whose bits are set, takes their tags, and clears the bits:
 * in a quiet vCPU no store is on its way. Most code pages were last written
 * by the vCPU that executes them first, by another one long ago, or by a
 * device, so stops are few. A store that asks (bt_code_write) sets its bit and
 * drops what it overlaps, under the lock, before it happens. Threads that are
 * no vCPU write first and look at code[page] behind a fence; what they report
 * is dropped by whichever vCPU polls first.
 *
 * Dropping. A dropped block is unlinked and forgotten by every jump cache while
 * all vCPUs that may be in its page's code are stopped; so when a store that
 * changes code is complete no vCPU is executing the old code, or will. That is
 * stronger than what processors promise, and it is what programs rely on that
 * write code on one and call it on another. Each stopped vCPU executes a
 * serializing instruction before it goes on. The memory of dropped blocks is
 * reused after a flush of the whole cache alone, with all others stopped.
 *
 * Which vCPUs those are is in users[page]. Code of a page is entered through C,
 * or the jump cache that C filled, and left through these; links do not lead out
 * of it. So C sets the vCPU's bit before it looks for a block, and a block is
 * taken off its hash chain before the bits are read: once more, one sees the
 * other. The bits fall with a flush of the cache, and when a stopped vCPU's jump
 * cache has forgotten all of the page. Much code is executed once, and its
 * pages are used again for something else: hardly a stop for that.
 *
 * Looking up without the lock. A block is published by one store, of its
 * hash chain's head, after it is complete. Taken off its chain it still leads
 * on, and whoever found it a moment before is among the users that are stopped
 * before it is forgotten. Its memory is reused only when no other vCPU is busy.
 * So a busy vCPU may follow chains, keep what it found until its next poll or
 * lock, and put it in its jump cache.
 *
 * Links. A jump is patched by one store of its displacement, which lies within
 * eight aligned bytes (trans-flow.c sees to that). AMD's manual (APM vol. 2,
 * 7.6.1, "Cross-Modifying Code") allows this without synchronization: a
 * processor that fetches at the same time sees the old instruction or the new
 * one. Intel's (SDM vol. 3, 9.1.3) asks for synchronization in general; that
 * such a store is seen whole or not at all, since aligned accesses are atomic
 * (9.1.1) and instruction caches coherent, is what every JIT compiler and the
 * Linux kernel's static calls and jump labels rest on. Both targets are good at
 * any time: a stub always is, and a block has been complete since before it was
 * linked to. Where the old target must not be reached any more (dropping), all
 * others are stopped and serialize.
 *
 * Atomics. A locked instruction on plain memory is the host's own, on a host
 * pointer, split across cache lines or not. One that crosses a page goes
 * through a buffer in the interpreter, with all others stopped.
 *
 * After waiting for the lock a vCPU must believe that its translations were
 * flushed (another monitor's flush_others, or a changed memory map) and the
 * cache emptied meanwhile: v->smp.lost counts such waits, and who walked before
 * walks again. A missed check whose block is gone shows as v->resume == 0.
 */
#include "engine/bt/smp.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include "engine/bt/mmu.h"
#include "engine/bt/shadow.h"

#define SPINS 200

/* ---- futexes and the lock: no libc, for vector registers are the guest's ---------------------- */

static long futex(uint32_t *word, long op, uint32_t value)
{
	register long timeout __asm__("r10") = 0;
	long ret;

	__asm__ volatile("syscall"
	                 : "=a"(ret)
	                 : "0"((long)SYS_futex), "D"(word), "S"(op), "d"((long)value), "r"(timeout)
	                 : "rcx", "r11", "memory");
	return ret;
}

static void futex_wait(uint32_t *word, uint32_t seen)
{
	futex(word, FUTEX_WAIT_PRIVATE, seen);
}

static void futex_wake(uint32_t *word)
{
	futex(word, FUTEX_WAKE_PRIVATE, 1);
}

/* iretq to the next instruction serializes, and costs less than cpuid under a hypervisor. A call, for the red zone. */
void smp_serialize(void);

__asm__(".text\n"
        ".hidden smp_serialize\n"
        ".globl smp_serialize\n"
        ".type smp_serialize, @function\n"
        "smp_serialize:\n"
        "	movq %rsp, %rax\n"
        "	movl %ss, %ecx\n"
        "	pushq %rcx\n"
        "	pushq %rax\n"
        "	pushfq\n"
        "	movl %cs, %ecx\n"
        "	pushq %rcx\n"
        "	leaq 1f(%rip), %rcx\n"
        "	pushq %rcx\n"
        "	iretq\n"
        "1:	ret\n"
        ".size smp_serialize, . - smp_serialize\n");

/* 0 free, 1 taken, 2 taken and somebody may be asleep (Drepper, "Futexes Are Tricky"). */
static bool lock_try(uint32_t *lock)
{
	uint32_t free = 0;

	return __atomic_compare_exchange_n(lock, &free, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Tries for a while each time it wakes up: who takes the lock again and again must not keep others out. */
static void lock_wait(uint32_t *lock)
{
	for (;;) {
		for (unsigned i = 0; i < SPINS; i++) {
			if (!__atomic_load_n(lock, __ATOMIC_RELAXED) && !__atomic_exchange_n(lock, 2, __ATOMIC_SEQ_CST))
				return;
			__builtin_ia32_pause();
		}
		if (!__atomic_exchange_n(lock, 2, __ATOMIC_SEQ_CST))
			return;
		futex_wait(lock, 2);
	}
}

static void lock_release(uint32_t *lock)
{
	if (__atomic_exchange_n(lock, 0, __ATOMIC_SEQ_CST) == 2)
		futex_wake(lock);
}

/* ---- busy and quiet ------------------------------------------------------------------------------ */

void smp_quiet_slow(struct bt_vcpu *v)
{
	__atomic_store_n(&v->smp.state, SMP_QUIET, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&v->smp.stop, __ATOMIC_SEQ_CST))
		futex_wake(&v->smp.state);
}

static void wait_go(struct bt_vcpu *v)
{
	uint32_t stop = SMP_STOP;

	for (unsigned i = 0; i < SPINS; i++) {
		if (!__atomic_load_n(&v->smp.stop, __ATOMIC_SEQ_CST))
			return;
		__builtin_ia32_pause();
	}
	__atomic_compare_exchange_n(&v->smp.stop, &stop, SMP_STOP_ASLEEP, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&v->smp.stop, __ATOMIC_SEQ_CST) == SMP_STOP_ASLEEP)
		futex_wait(&v->smp.stop, SMP_STOP_ASLEEP);
}

static void go_on(struct bt_vcpu *v)
{
	smp_serialize();
	__atomic_store_n(&v->smp.held, 0, __ATOMIC_SEQ_CST);
	futex_wake(&v->smp.held);
}

void smp_busy_slow(struct bt_vcpu *v)
{
	for (;;) {
		__atomic_store_n(&v->smp.state, SMP_BUSY, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&v->smp.stop, __ATOMIC_SEQ_CST))
			break;
		/* First, so that he who stopped it does not do so again before it had its turn. */
		__atomic_store_n(&v->smp.held, 1, __ATOMIC_SEQ_CST);
		smp_quiet_slow(v);
		wait_go(v);
	}
	if (v->smp.held)
		go_on(v);
}

void smp_safepoint_slow(struct bt_vcpu *v)
{
	__atomic_store_n(&v->smp.held, 1, __ATOMIC_SEQ_CST);
	smp_quiet_slow(v);
	smp_busy_slow(v);
}

/* ---- the translator lock ---------------------------------------------------------------------------- */

/* Not for long: he who has it may be waiting for this vCPU. */
static bool lock_spin(struct bt_vcpu *v)
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (lock_try(&v->vm->lock))
			return true;
		if (__atomic_load_n(&v->smp.stop, __ATOMIC_SEQ_CST))
			return false;
		__builtin_ia32_pause();
	}
	return false;
}

void smp_lock_slow(struct bt_vcpu *v)
{
	uint32_t state;

	if (v->smp.depth++ || lock_spin(v))
		return;
	state = v->smp.state;
	v->smp.waiting = true;
	if (state == SMP_BUSY)
		smp_quiet_slow(v);
	lock_wait(&v->vm->lock);
	v->smp.waiting = false;
	/* Nobody stops anybody now: that takes the lock. */
	__atomic_store_n(&v->smp.state, state, __ATOMIC_SEQ_CST);
	v->smp.lost++;
	smp_serialize();
}

static void let_go(struct bt_vm *vm)
{
	for (uint64_t left = vm->stopped; left; left &= left - 1) {
		struct bt_vcpu *w = vm->vcpu[__builtin_ctzll(left)];

		if (__atomic_exchange_n(&w->smp.stop, SMP_GO, __ATOMIC_SEQ_CST) == SMP_STOP_ASLEEP)
			futex_wake(&w->smp.stop);
	}
	vm->stopped = 0;
}

void smp_unlock_slow(struct bt_vcpu *v)
{
	if (--v->smp.depth)
		return;
	let_go(v->vm);
	lock_release(&v->vm->lock);
}

/* ---- stopping others ---------------------------------------------------------------------------------- */

/*
 * One that was let go has its turn first: it runs until its next poll. Else a
 * vCPU that stops others all the time, to spin on a lock across two pages
 * perhaps, would never see them go on.
 */
static void wait_turn(struct bt_vcpu *w)
{
	while (__atomic_load_n(&w->smp.held, __ATOMIC_SEQ_CST))
		futex_wait(&w->smp.held, 1);
}

static void wait_quiet(struct bt_vcpu *w)
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (__atomic_load_n(&w->smp.state, __ATOMIC_SEQ_CST) != SMP_BUSY)
			return;
		__builtin_ia32_pause();
	}
	while (__atomic_load_n(&w->smp.state, __ATOMIC_SEQ_CST) == SMP_BUSY)
		futex_wait(&w->smp.state, SMP_BUSY);
}

void smp_stop(struct bt_vcpu *v, uint64_t mask)
{
	struct bt_vm *vm = v->vm;
	uint64_t todo;

	if (smp_alone(v))
		return;
	todo = mask & vm->present & ~vm->stopped & ~(1ull << v->index);
	for (uint64_t left = todo; left; left &= left - 1) {
		struct bt_vcpu *w = vm->vcpu[__builtin_ctzll(left)];

		wait_turn(w);
		__atomic_store_n(&w->smp.stop, SMP_STOP, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&w->smp.state, __ATOMIC_SEQ_CST) == SMP_BUSY)
			bt_poll_set(w);
	}
	for (uint64_t left = todo; left; left &= left - 1)
		wait_quiet(vm->vcpu[__builtin_ctzll(left)]);
	vm->stopped |= todo;
	v->n_stop += todo != 0;
}

/* ---- who may write to which page ------------------------------------------------------------------------- */

void smp_own_page(struct bt_vcpu *v, uint64_t gpa)
{
	struct bt_vm *vm = v->vm;
	uint64_t *writers, others;

	if (smp_alone(v))
		return;
	writers = &v->writers[gpa >> PAGE_SHIFT];
	others = __atomic_load_n(writers, __ATOMIC_SEQ_CST) & ~(1ull << v->index);
	if (!others)
		return;
	smp_stop(v, others);
	for (uint64_t left = others & vm->present; left; left &= left - 1)
		tlb_protect_gpa(vm->vcpu[__builtin_ctzll(left)], gpa & PAGE_MASK, false);
	__atomic_fetch_and(writers, ~others, __ATOMIC_SEQ_CST);
}

void bt_code_write_slow(struct bt_vcpu *v, uint64_t gpa, unsigned len)
{
	smp_lock(v);
	bt_note_writer(v, gpa); /* waiting for the lock may have cleared it */
	if (v->spt && shadow_holds(v, gpa))
		shadow_release_slow(v, gpa);
	if (bt_code_covers(v, gpa, len))
		bt_code_invalidate(v, gpa, len);
	smp_unlock(v);
}
