/* SPDX-License-Identifier: MIT */
/*
 * A second vCPU: what two processors may rely on when they share memory. Both
 * run a job at the same time; nothing here waits for an interrupt.
 */
#include "smp.h"

#include <xen/errno.h>
#include <xen/hvm/hvm_vcpu.h>

#define ROUNDS 20000u
#define SLOW_ROUNDS 400u /* each stops the other vCPU */
#define WINDOW 0x8000000000ull /* the second entry of the top table: nothing else is there */
#define PTE 7ull

/* ---- atomics ------------------------------------------------------------------------- */

static volatile uint64_t counter, guarded;
static volatile uint32_t spinlock;
static struct {
	uint64_t a, b;
} pair __attribute__((aligned(16)));
static uint8_t two_pages[2 * PAGE_BYTES] PAGE_ALIGNED;
#define CROSSING ((volatile uint64_t *)(void *)(two_pages + PAGE_BYTES - 3))

static void lock_inc(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS; i++)
		__asm__ volatile("lock incq %0" : "+m"(counter));
}

static void spin_lock(void)
{
	uint32_t taken = 1;

	for (;;) {
		__asm__ volatile("xchgl %0, %1" : "+r"(taken), "+m"(spinlock)::"memory");
		if (!taken)
			return;
		while (spinlock)
			__asm__ volatile("pause" ::: "memory");
	}
}

static void spin_unlock(void)
{
	barrier();
	spinlock = 0;
}

static void spin(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS; i++) {
		spin_lock();
		guarded = guarded + 1;
		spin_unlock();
	}
}

/* b is a's complement always. */
static void wide(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t a = pair.a, b = pair.b;
		bool ok;

		do
			__asm__ volatile("lock cmpxchg16b %1; sete %0"
			                 : "=q"(ok), "+m"(pair), "+a"(a), "+d"(b)
			                 : "b"(a + 1), "c"(~(a + 1))
			                 : "cc", "memory");
		while (!ok);
	}
}

static void crossing(unsigned me)
{
	uint64_t step = me ? 1ull << 32 : 1;

	for (unsigned i = 0; i < SLOW_ROUNDS; i++)
		__asm__ volatile("lock addq %1, %0" : "+m"(*CROSSING) : "r"(step));
}

/* The first adds to eight bytes over the end of the page, the second to four of them that lie in the second. */
static volatile uint32_t crossed, inside;
#define INSIDE ((volatile uint32_t *)(void *)(two_pages + PAGE_BYTES))

static void overlapping(unsigned me)
{
	while (!me && !inside)
		__asm__ volatile("pause" ::: "memory");
	for (unsigned i = 0; !me && i < SLOW_ROUNDS; i++)
		__asm__ volatile("lock incq %0" : "+m"(*CROSSING));
	if (!me)
		crossed = 1;
	for (; me && !crossed; inside++)
		__asm__ volatile("lock incl %0" : "+m"(*INSIDE));
}

static void check_atomics(void)
{
	pair.b = ~0ull;
	both(lock_inc);
	check(counter == 2 * ROUNDS, "two vCPUs: lock inc (%lu)", counter);
	both(spin);
	check(guarded == 2 * ROUNDS, "two vCPUs: a lock made of xchg (%lu)", guarded);
	both(wide);
	check(pair.a == 2 * ROUNDS && pair.b == ~pair.a, "two vCPUs: cmpxchg16b (%lu)", pair.a);
	both(crossing);
	check(*CROSSING == (SLOW_ROUNDS | (uint64_t)SLOW_ROUNDS << 32), "two vCPUs: lock add over the end of a page (%lx)",
	      *CROSSING);
	*CROSSING = 0;
	both(overlapping);
	check(*INSIDE == inside && (*CROSSING & 0xffffff) == SLOW_ROUNDS,
	      "two vCPUs: the same against lock inc in the second page (%u of %u)", *INSIDE, inside);
}

/* ---- time ------------------------------------------------------------------------------- */

static uint64_t last_tsc;
static uint32_t warps;

static void compare_clocks(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t now;

		spin_lock();
		now = rdtsc();
		warps += now < last_tsc;
		last_tsc = now;
		spin_unlock();
	}
}

/* ---- code -------------------------------------------------------------------------------- */

/* mov $n, %eax; ret; and in the same page a counter that both change. */
static struct {
	uint8_t mov;
	uint32_t n;
	uint8_t ret;
	uint8_t room[2042];
	volatile uint64_t beside;
} __attribute__((packed)) code PAGE_ALIGNED = { .mov = 0xb8, .ret = 0xc3 };
static volatile uint32_t written, executed, stale;

static void serialize(void)
{
	uint32_t r[4];

	cpuid(0, 0, r);
}

static void write_code(void)
{
	for (uint32_t i = 1; i <= SLOW_ROUNDS; i++) {
		code.n = i;
		barrier();
		written = i;
		__asm__ volatile("lock incq %0" : "+m"(code.beside));
		wait_for(&executed, i);
	}
}

static void execute_code(void)
{
	uint32_t (*fn)(void) = (void *)&code;

	for (uint32_t i = 1; i <= SLOW_ROUNDS; i++) {
		wait_for(&written, i);
		serialize();
		stale += fn() != i;
		__asm__ volatile("lock incq %0" : "+m"(code.beside));
		executed = i;
	}
}

static void ap_executes(unsigned me)
{
	if (me)
		execute_code();
	else
		write_code();
}

static void ap_writes(unsigned me)
{
	ap_executes(!me);
}

static void check_code(void)
{
	both(ap_executes);
	check(!stale, "two vCPUs: code written by the first, executed by the second (%u stale)", stale);
	stale = written = executed = 0;
	both(ap_writes);
	check(!stale, "two vCPUs: code written by the second, executed by the first (%u stale)", stale);
	check(code.beside == 4 * SLOW_ROUNDS, "two vCPUs: data beside it (%lu)", code.beside);
}

/* ---- translations ---------------------------------------------------------------------------- */

extern uint64_t pml4[512];
static uint64_t pdpt1[512] PAGE_ALIGNED, pd1[512] PAGE_ALIGNED;
static volatile uint64_t pt1[512] PAGE_ALIGNED;
static volatile uint64_t pages[2][512] PAGE_ALIGNED;
static volatile uint32_t mapped, flushed;

static void map_window(void)
{
	pages[0][0] = 0;
	pages[1][0] = 1;
	pt1[0] = (uint64_t)pages[0] | PTE;
	pd1[0] = (uint64_t)pt1 | PTE;
	pdpt1[0] = (uint64_t)pd1 | PTE;
	pml4[1] = (uint64_t)pdpt1 | PTE;
}

static void flush_window(void)
{
	__asm__ volatile("invlpg (%0)" ::"r"(WINDOW) : "memory");
}

/* The first maps another page and asks; the second reads all the time, and says when it has forgotten the old one. */
static void shoot(unsigned me)
{
	volatile uint64_t *window = (volatile uint64_t *)WINDOW;

	for (uint32_t i = 1; i <= SLOW_ROUNDS; i++) {
		if (!me) {
			pt1[0] = (uint64_t)pages[i & 1] | PTE;
			mapped = i;
			flush_window();
			wait_for(&flushed, i);
			continue;
		}
		while (mapped != i)
			(void)window[0];
		flush_window();
		stale += window[0] != (i & 1);
		window[1] = i; /* sets the dirty bit of what is mapped now */
		flushed = i;
	}
}

static void check_translations(void)
{
	map_window();
	stale = 0;
	both(shoot);
	check(!stale, "two vCPUs: translations forgotten when asked to (%u stale)", stale);
	check(pages[SLOW_ROUNDS & 1][1] == SLOW_ROUNDS && pages[~SLOW_ROUNDS & 1][1] == SLOW_ROUNDS - 1,
	      "two vCPUs: stores by the new ones");
	check((pt1[0] & 0x60) == 0x60, "two vCPUs: the second's walk sets A and D");
}

/* ---- coming and going --------------------------------------------------------------------------- */

static long vcpu_op(unsigned op, void *arg)
{
	return HYPERCALL3(__HYPERVISOR_vcpu_op, op, AP, arg);
}

static void go_down(unsigned me)
{
	if (me)
		vcpu_op(VCPUOP_down, NULL);
}

static void check_up_and_down(void)
{
	struct vcpu_hvm_context c;

	ap_context(&c);
	check(vcpu_op(VCPUOP_initialise, &c) == -XEN_EEXIST, "two vCPUs: initialised once");
	ap_start(go_down);
	while (vcpu_op(VCPUOP_is_up, NULL) != 0)
		;
	check(ap_done != ap_asked, "two vCPUs: the second goes down");
	check(vcpu_op(VCPUOP_up, NULL) == 0, "two vCPUs: and comes up");
	wait_for(&ap_done, ap_asked);
	counter = 0;
	both(lock_inc);
	check(counter == 2 * ROUNDS, "two vCPUs: where it was");
	ap_start(go_down);
}

void check_smp(void)
{
	struct vcpu_hvm_context c;

	ap_context(&c);
	if (vcpu_op(VCPUOP_is_up, NULL) == -XEN_ENOENT) {
		skip("two vCPUs", "there is one");
		return;
	}
	check(vcpu_op(VCPUOP_up, NULL) == -XEN_EINVAL, "two vCPUs: none comes up without a state");
	check(vcpu_op(VCPUOP_initialise, &c) == 0 && vcpu_op(VCPUOP_up, NULL) == 0, "two vCPUs: the second starts");
	check_atomics();
	check(ap_id != apic_id(), "two vCPUs: an APIC id for each (%u)", ap_id);
	both(compare_clocks);
	check(!warps, "two vCPUs: one time stamp counter (%u warps)", warps);
	check_code();
	check_translations();
	check_up_and_down();
}
