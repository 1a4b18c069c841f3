/* SPDX-License-Identifier: MIT */
/* What of all that can be measured there is in this mode, made ready. */
#include "measure.h"

#define CPUID_1_EDX_APIC (1u << 9)
#define SLOW_LOOP 100000u /* cycles for 1000 instructions */
#define CPUID_1_ECX_DEADLINE (1u << 24)

static const struct {
	uint32_t bit;
	const char *why;
} lacks[] = {
	{ M_PV, "of a PV kernel alone" },
	{ M_XEN, "no Xen" },
	{ M_KVM, "no hypervisor to call" },
	{ M_PAGE, "no hypercall page" },
	{ M_VECTOR, "no events by a vector" },
	{ M_XEN_TIME, "no PV time" },
	{ M_PVCLOCK, "no PV clock" },
	{ M_PC, "not a PC" },
	{ M_LAPIC, "no local APIC" },
	{ M_IOAPIC, "no device with registers in memory" },
	{ M_PIT, "no 8254" },
	{ M_PM_TIMER, "no ACPI PM timer" },
	{ M_DEADLINE, "no TSC deadline" },
	{ M_MSR_WRITE, "refused to a PV kernel" },
	{ M_FULL, "not on a KVM in software" },
	{ M_FRESH, "too little RAM" },
	{ M_SECOND, "one vCPU" },
	{ M_CLOCK, "no clock that tells ns" },
	{ M_NATIVE, "not in ring 0" },
};

const char *measure_lack(uint32_t missing)
{
	for (unsigned i = 0; i < ARRAY_LEN(lacks); i++)
		if (missing & lacks[i].bit)
			return lacks[i].why;
	return "not there";
}

static bool hypercall_page_there(void)
{
	uint32_t r[4] = { 0 };

	if (probe.pv)
		return probe_wants_hypercall_page;
	if (probe.xen_base)
		cpuid(probe.xen_base + 2, 0, r);
	return r[0] != 0;
}

/* By its version register; what nobody claims reads as ones. */
static bool ioapic_there(void)
{
	return probe.pc || ((ioapic_version() & 0xff) < 0x80);
}

static uint32_t of_hypervisor(void)
{
	uint32_t have = 0;

	if (probe.xen_base)
		have |= M_XEN | (hypercall_page_there() ? M_PAGE : 0) | (probe.by_line ? 0 : M_VECTOR);
	else if (kvm_there())
		have |= (kvm_hypercall_works() ? M_KVM : 0) | (kvm_clock_start() ? M_PVCLOCK : 0);
	if (probe.xen_base && !probe.by_line && probe.clock)
		have |= M_XEN_TIME | M_PVCLOCK;
	return have;
}

static uint32_t of_board(void)
{
	uint32_t r[4], have = M_NATIVE;

	cpuid(1, 0, r);
	if (r[3] & CPUID_1_EDX_APIC) {
		have |= M_LAPIC | (r[2] & CPUID_1_ECX_DEADLINE ? M_DEADLINE : 0);
		lapic_enable();
	}
	have |= (ioapic_there() ? M_IOAPIC : 0) | (pit_there() ? M_PIT : 0) | (pc.pm_timer ? M_PM_TIMER : 0);
	return have | (probe.pc ? M_PC : 0);
}

/* Whether an instruction takes so long, at its fastest, that most of it is somebody else's work. */
static bool interpreted(void)
{
	uint64_t least = ~0ull, start;

	for (unsigned i = 0; i < 8; i++) {
		start = rdtsc();
		run_loop(1);
		start = rdtsc() - start;
		least = start < least ? start : least;
	}
	return least > SLOW_LOOP;
}

uint32_t measure_prepare(void)
{
	uint32_t have = probe.pv ? M_PV : of_board();

	probe.lean |= interpreted();
	if (probe.by_line)
		events_by_line();
	have |= of_hypervisor() | (probe.clock ? M_CLOCK : 0) | (probe.lean ? 0 : M_FULL);
	have |= (msr_write_works() ? M_MSR_WRITE : 0) | (measure_memory_prepare() ? M_FRESH : 0);
	measure_time_prepare(have);
	return have | (measure_second_start(have) ? M_SECOND : 0);
}
