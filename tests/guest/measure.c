/* SPDX-License-Identifier: MIT */
/*
 * What the operations of this mode cost: each is run in batches, and of the
 * batches the quartiles are printed, per operation, in ns and in cycles of the
 * time stamp counter, as core/bench/README.md has it.
 */
#include "pc.h"
#include "pv.h"

#define BATCHES 21

/* What an operation needs to be measured. */
#define XEN  1u /* hypercalls and a clock */
#define PAGE 2u /* a hypercall page */
#define PVH  4u
#define PV   8u

struct operation {
	const char *name;
	void (*run)(unsigned n);
	unsigned per_batch;
	unsigned needs;
};

static void run_hypercall(unsigned n)
{
	while (n--)
		HYPERCALL2(__HYPERVISOR_xen_version, XENVER_version, 0);
}

static void run_hypercall_page(unsigned n)
{
	while (n--)
		hypercall_by_page(__HYPERVISOR_xen_version, 0ull, 0ull, 0ull, 0ull, 0ull);
}

static void run_cpuid(unsigned n)
{
	uint32_t r[4];

	while (n--)
		cpuid(0, 0, r);
}

static void run_port(unsigned n)
{
	while (n--)
		inb(0x2f7);
}

static void run_tsc(unsigned n)
{
	while (n--)
		rdtsc();
}

static void run_clock(unsigned n)
{
	while (n--)
		clock_ns();
}

static void run_page_fault(unsigned n)
{
	while (n--)
		(void)TRAPS("movq (%[a]), %%rcx", [a] "r"(0x123456789000ull));
}

static void run_syscall(unsigned n)
{
	user_run(user_syscalls, n);
}

static void run_cr3(unsigned n)
{
	uint64_t cr3;

	__asm__ volatile("movq %%cr3, %0" : "=r"(cr3));
	while (n--)
		__asm__ volatile("movq %0, %%cr3" ::"r"(cr3) : "memory");
}

static void run_interrupt_flag(unsigned n)
{
	while (n--)
		__asm__ volatile("pushfq; cli; popfq" ::: "memory", "cc");
}

static void run_loop(unsigned n)
{
	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(n)::"cc");
}

static void run_store(unsigned n)
{
	char buf[32];

	while (n--)
		store_read("domid", buf, sizeof(buf));
}

/* ---- what only a PV guest does ----------------------------------------- */

static uint32_t self_port;

static void run_event(unsigned n)
{
	irq_on();
	while (n--)
		event_send(self_port);
	irq_off();
}

static void run_mmu_update(unsigned n)
{
	static uint64_t page[512] PAGE_ALIGNED;

	while (n--)
		pv_update(&window_l1[0], MMU_NORMAL_PT_UPDATE, n & 1 ? pv_machine(page) | PTE_RW : 0);
}

static void run_va_mapping(unsigned n)
{
	static uint64_t page[512] PAGE_ALIGNED;

	while (n--)
		pv_va_mapping(WINDOW, n & 1 ? pv_machine(page) | PTE_RW : 0, UVMF_INVLPG);
}

static void run_entry_store(unsigned n)
{
	static uint64_t page[512] PAGE_ALIGNED;

	while (n--)
		*(volatile uint64_t *)&window_l1[0] = n & 1 ? pv_machine(page) | PTE_RW : 0;
}

/* As kernels switch: both spaces in one call. */
static void run_space_switch(unsigned n)
{
	struct mmuext_op both[2] = {
		{ .cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = pv.l4 },
		{ .cmd = MMUEXT_NEW_USER_BASEPTR, .arg1.mfn = pv.user_l4 },
	};

	while (n--)
		probe.hypercall(__HYPERVISOR_mmuext_op, (uint64_t)both, 2ull, 0ull, (uint64_t)DOMID_SELF, 0ull);
}

static void run_stack_switch(unsigned n)
{
	while (n--)
		HYPERCALL2(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, trap_stack_top);
}

static void run_segment_base(unsigned n)
{
	while (n--)
		HYPERCALL2(__HYPERVISOR_set_segment_base, SEGBASE_FS, 0);
}

static const struct operation operations[] = {
	{ "loop-1000", run_loop, 100000, 0 }, /* reported per 1000 turns below */
	{ "rdtsc", run_tsc, 1000, 0 },
	{ "clock-read", run_clock, 1000, XEN },
	{ "cli-popf", run_interrupt_flag, 1000, PVH },
	{ "cr3-write", run_cr3, 1000, 0 },
	{ "syscall", run_syscall, 1000, 0 },
	{ "page-fault", run_page_fault, 500, 0 },
	{ "cpuid", run_cpuid, 500, 0 },
	{ "port-in", run_port, 500, 0 },
	{ "hypercall", run_hypercall, 500, XEN },
	{ "hypercall-page", run_hypercall_page, 500, XEN | PAGE },
	{ "event-to-self", run_event, 500, XEN | PV },
	{ "mmu-update", run_mmu_update, 500, XEN | PV },
	{ "update-va-mapping", run_va_mapping, 500, XEN | PV },
	{ "page-table-store", run_entry_store, 200, XEN | PV },
	{ "space-switch", run_space_switch, 500, XEN | PV },
	{ "stack-switch", run_stack_switch, 500, XEN | PV },
	{ "segment-base", run_segment_base, 500, XEN | PV },
	{ "xenstore-read", run_store, 20, XEN },
};

/* ---- lines ------------------------------------------------------------------ */

/* Shell's: samples may be some thousands. */
static void sort(uint64_t *v, unsigned n)
{
	for (unsigned gap = n / 2; gap; gap /= 2)
		for (unsigned i = gap; i < n; i++)
			for (unsigned j = i; j >= gap && v[j - gap] > v[j]; j -= gap) {
				uint64_t t = v[j];

				v[j] = v[j - gap];
				v[j - gap] = t;
			}
}

/* The five figures of sorted samples; each is times multiplier / 2^32 / divisor, with two decimals. */
static void line(const char *name, const char *unit, const uint64_t *v, unsigned n, uint64_t multiplier, uint64_t divisor)
{
	char figures[128];
	size_t len = 0;

	for (unsigned q = 0; q <= 4; q++) {
		unsigned __int128 exact = (unsigned __int128)v[(n - 1) * q / 4] * multiplier;
		uint64_t hundredths = (uint64_t)(exact >> 24) * 100 / divisor >> 8;

		len += format_to(figures + len, sizeof(figures) - len, " %lu.%02lu", hundredths / 100, hundredths % 100);
	}
	print("bench: %s %s %u%s\n", name, unit, n, figures);
}

#define ONE (1ull << 32)

void measure_values(const char *name, uint64_t *samples_ns, unsigned n, uint64_t divisor)
{
	uint64_t ratio = clock_ns_per_tsc_32();

	if (!n)
		return;
	sort(samples_ns, n);
	if (ratio)
		line(name, "ns", samples_ns, n, ONE, divisor);
	line(name, "cycles", samples_ns, n, ratio ? ~0ull / ratio : ONE, divisor);
}

void measure_rate(const char *name, const char *unit, uint64_t *values, unsigned n)
{
	measure_rate_per(name, unit, values, n, 1);
}

void measure_rate_per(const char *name, const char *unit, uint64_t *values, unsigned n, uint64_t divisor)
{
	if (!n)
		return;
	sort(values, n);
	line(name, unit, values, n, ONE, divisor);
}

void measure_skip(const char *name, const char *reason)
{
	print("bench: skip %s %s\n", name, reason);
}

/* ---- running ------------------------------------------------------------------ */

static void measure_operation(const struct operation *op)
{
	uint64_t batch[BATCHES], start;

	op->run(op->per_batch); /* warm */
	for (unsigned i = 0; i < BATCHES; i++) {
		start = clock_ns();
		op->run(op->per_batch);
		batch[i] = clock_ns() - start;
	}
	measure_values(op->name, batch, BATCHES, op->run == run_loop ? op->per_batch / 1000 : op->per_batch);
}

static void measure_timer(void)
{
	uint64_t late[BATCHES];

	for (unsigned i = 0; i < BATCHES; i++) {
		late[i] = timer_lateness();
		if (late[i] == ~0ull)
			return;
	}
	measure_values("timer-lateness", late, BATCHES, 1);
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

static void prepare(void)
{
	struct evtchn_bind_ipi bind = { .vcpu = 0 };

	if (probe.pv && event_op(EVTCHNOP_bind_ipi, &bind) == 0) {
		self_port = bind.port;
		event_mask(self_port, false);
	}
}

static void measure_operations(void)
{
	unsigned there = (probe.xen_base ? XEN : 0) | (hypercall_page_there() ? PAGE : 0) | (probe.pv ? PV : PVH);

	prepare();
	for (unsigned i = 0; i < ARRAY_LEN(operations); i++)
		if (!(operations[i].needs & ~there))
			measure_operation(&operations[i]);
	if (probe.xen_base)
		measure_timer();
	if (probe.pc)
		measure_pc();
}

void measure_all(void)
{
	print("bench: begin probe\n");
	measure_operations();
	measure_io();
	print("bench: end\n");
}
