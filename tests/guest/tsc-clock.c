/* SPDX-License-Identifier: MIT */
/*
 * A clock for a machine without Xen's: the time stamp counter, whose speed the
 * 8254 tells, or KVM's clock where there is no 8254.
 */
#include "pc.h"

#define PIT_HZ 1193182ull
#define PIT_TICKS 3580u /* 3 ms: seldom is the processor taken away in it */
#define CLOCK_ROUNDS 10u

#define MSR_KVM_SYSTEM_TIME 0x4b564d01u
#define KVM_CLOCKSOURCE2 (1u << 3)

static struct vcpu_time_info kvm_time __attribute__((aligned(64))); /* KVM's record has Xen's layout */

/* ---- 8254 ----------------------------------------------------------------------------- */

/* The count of counter 2 at the write that latches it; *after is the TSC behind that. */
static uint16_t latched(uint64_t *after)
{
	uint8_t low;

	outb(0x43, 0x80);
	*after = rdtsc();
	low = inb(0x42);
	return (uint16_t)(low | inb(0x42) << 8);
}

/* Between two readings: where each is an exit, thousands of them would be more than all that is counted later. */
static void wait_ticks(uint64_t ticks)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < ticks)
		__asm__ volatile("pause");
}

static void pit_count_down(void)
{
	outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1));
	outb(0x43, 0xb0); /* mode 0: goes on below 0 */
	outb(0x42, 0xff);
	outb(0x42, 0xff);
}

/* Whether anything counts there: by some reads and some time, as an exit may take long or hardly any. */
bool pit_there(void)
{
	uint64_t start, now = 0;

	if (probe.pc)
		return true;
	pit_count_down();
	start = rdtsc();
	for (unsigned i = 0; i < 64 || now - start < 1u << 22; i++) {
		if (latched(&now) < 0xff00)
			return true;
		wait_ticks(1u << 15);
	}
	return false;
}

/* 2^32 times the ns in a tick of the TSC, from 3 ms or more of the 8254. */
static uint64_t ns_per_tsc(void)
{
	uint64_t start, end, unused;
	uint16_t first, ticks;

	pit_count_down();
	start = rdtsc();
	first = latched(&unused);
	do {
		wait_ticks(1u << 17);
		ticks = (uint16_t)(first - latched(&end));
	} while (ticks < PIT_TICKS && end - start < 1ull << 34);
	return ((ticks * 1000000000ull / PIT_HZ) << 32) / (end - start);
}

/*
 * What comes between the readings of the two makes it less, and nothing should
 * make it more; a machine within two others does all the same now and then. So
 * it is one of the greater, but not of the greatest.
 */
static uint64_t by_pit(void)
{
	uint64_t found[CLOCK_ROUNDS];

	for (unsigned i = 0; i < CLOCK_ROUNDS; i++)
		found[i] = ns_per_tsc();
	sort(found, CLOCK_ROUNDS);
	return found[CLOCK_ROUNDS * 3 / 4];
}

/* ---- KVM's ------------------------------------------------------------------------------ */

bool kvm_there(void)
{
	uint32_t r[4];

	cpuid(0x40000000, 0, r);
	return !probe.pv && memcmp(&r[1], "KVMKVMKVM\0\0\0", 12) == 0;
}

bool kvm_clock_start(void)
{
	uint32_t r[4];

	cpuid(0x40000001, 0, r);
	if (!(r[0] & KVM_CLOCKSOURCE2))
		return false;
	wrmsr(MSR_KVM_SYSTEM_TIME, (uint64_t)&kvm_time | 1);
	return kvm_time.tsc_to_system_mul != 0;
}

uint64_t kvm_clock_ns(void)
{
	return pvclock_ns(&kvm_time);
}

static uint64_t by_kvm(void)
{
	uint64_t ratio = kvm_there() && kvm_clock_start() ? pvclock_scale(1ull << 32, &kvm_time) : 0;

	if (ratio)
		wrmsr(MSR_KVM_SYSTEM_TIME, 0);
	return ratio;
}

/* ---- the clock --------------------------------------------------------------------------- */

void tsc_clock_init(void)
{
	pc.ns_per_tsc_32 = pit_there() ? by_pit() : by_kvm();
	pc.tsc_start = rdtsc();
	probe.clock = pc.ns_per_tsc_32 != 0;
}

uint64_t pc_clock_ns(void)
{
	return (uint64_t)((unsigned __int128)(rdtsc() - pc.tsc_start) * pc.ns_per_tsc_32 >> 32);
}

void pc_delay(uint64_t ns)
{
	uint64_t end = pc_clock_ns() + ns;

	while (pc_clock_ns() < end)
		__asm__ volatile("pause");
}
