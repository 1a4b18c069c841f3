/* SPDX-License-Identifier: MIT */
/*
 * What the operations of this mode cost: each is run in batches, and of the
 * batches the least and the median are reported, per operation.
 */
#include "probe.h"

#include <xen/io/blkif.h>

#define BATCHES 21

struct operation {
	const char *name;
	void (*run)(unsigned n);
	unsigned per_batch;
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

static const struct operation operations[] = {
	{ "loop-1000", run_loop, 100000 }, /* reported per 1000 turns below */
	{ "rdtsc", run_tsc, 1000 },
	{ "clock-read", run_clock, 1000 },
	{ "cli-popf", run_interrupt_flag, 1000 },
	{ "cr3-write", run_cr3, 1000 },
	{ "syscall", run_syscall, 1000 },
	{ "page-fault", run_page_fault, 500 },
	{ "cpuid", run_cpuid, 500 },
	{ "port-in", run_port, 500 },
	{ "hypercall", run_hypercall, 500 },
	{ "hypercall-page", run_hypercall_page, 500 },
	{ "xenstore-read", run_store, 20 },
};

static void sort(uint64_t *v, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		for (unsigned j = i; j && v[j - 1] > v[j]; j--) {
			uint64_t t = v[j];

			v[j] = v[j - 1];
			v[j - 1] = t;
		}
}

static void report(const char *name, uint64_t *v, unsigned n, uint64_t divisor, const char *unit)
{
	char full[48];

	sort(v, n);
	format_to(full, sizeof(full), "%s-min", name);
	measure_report(full, v[0] / divisor, unit);
	format_to(full, sizeof(full), "%s-median", name);
	measure_report(full, v[n / 2] / divisor, unit);
}

static void measure_operation(const struct operation *op)
{
	uint64_t batch[BATCHES], start;

	op->run(op->per_batch); /* warm */
	for (unsigned i = 0; i < BATCHES; i++) {
		start = clock_ns();
		op->run(op->per_batch);
		batch[i] = clock_ns() - start;
	}
	report(op->name, batch, BATCHES, op->run == run_loop ? op->per_batch / 1000 : op->per_batch,
	       probe.clock ? "ns" : "ticks");
}

static void measure_timer(void)
{
	uint64_t late[BATCHES];

	for (unsigned i = 0; i < BATCHES; i++) {
		late[i] = timer_lateness();
		if (late[i] == ~0ull)
			return;
	}
	report("timer-lateness", late, BATCHES, 1, "ns");
}

static void measure_blk(void)
{
	static char page[PAGE_BYTES] PAGE_ALIGNED;
	uint64_t took[BATCHES], start;
	struct blk b = { 0 };

	if (!blk_open(&b))
		return;
	for (unsigned i = 0; i < BATCHES; i++) {
		start = clock_ns();
		blk_page_io(&b, BLKIF_OP_READ, 8 * (i % 16), page);
		took[i] = clock_ns() - start;
	}
	report("disk-read-4k", took, BATCHES, 1, "ns");
	blk_close(&b);
}

static bool needs_xen(const struct operation *op)
{
	return op->run == run_hypercall || op->run == run_hypercall_page || op->run == run_store ||
	       op->run == run_clock;
}

void measure_all(void)
{
	uint32_t r[4] = { 0 };

	if (probe.xen_base)
		cpuid(probe.xen_base + 2, 0, r);
	for (unsigned i = 0; i < ARRAY_LEN(operations); i++) {
		if (needs_xen(&operations[i]) && !probe.clock)
			continue;
		if (operations[i].run == run_hypercall_page && !r[0])
			continue;
		measure_operation(&operations[i]);
	}
	if (probe.clock) {
		measure_timer();
		measure_blk();
	}
}
