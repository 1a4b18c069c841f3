/* SPDX-License-Identifier: MIT */
/* Start, TAP, and the end. */
#include "pc.h"
#include "pv.h"

#define MULTIBOOT_MAGIC 0x2badb002u

struct probe probe;

bool check(bool ok, const char *fmt, ...)
{
	va_list ap;

	probe.checks++;
	if (!ok)
		probe.failed++;
	print("%sok %u - ", ok ? "" : "not ", probe.checks);
	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
	print("\n");
	return ok;
}

void skip(const char *name, const char *why)
{
	probe.checks++;
	print("ok %u - %s # SKIP %s\n", probe.checks, name, why);
}

/*
 * A triple fault, which is a reset: the end that every machine has. Without a
 * chip set a guest has no way to say that it failed; whoever runs it says
 * on_reboot = "destroy" and sees that it did not turn itself off.
 */
static void reset(void)
{
	static const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} no_vectors;

	__asm__ volatile("lidt %0; int3" ::"m"(no_vectors));
}

void probe_end(unsigned reason)
{
	struct sched_shutdown arg = { .reason = reason };

	if (probe.pv || probe.xen_base) {
		HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &arg);
		print("# SCHEDOP_shutdown came back\n");
	}
	if (probe.pv)
		__builtin_trap();
	if (probe.pc && reason == SHUTDOWN_poweroff)
		pc_power_off();
	if (pc.sleep_control && !probe.xen_base && reason == SHUTDOWN_poweroff)
		outb(pc.sleep_control, 5 << 2 | 0x20); /* ACPI 4.8.3.7, type 5 */
	outb(0xf4, (uint8_t)reason); /* isa-debug-exit, where a test has one */
	if (!probe.pc)
		reset();
	for (;;)
		__asm__ volatile("cli; hlt");
}

static bool range_holds(const struct hvm_memmap_table_entry *e, uint64_t from, uint64_t to)
{
	return e->type == XEN_HVM_MEMMAP_TYPE_RAM && e->addr <= from && e->addr + e->size >= to;
}

static void check_start(void)
{
	const struct hvm_start_info *s = probe.start;
	const struct hvm_memmap_table_entry *map = (const void *)s->memmap_paddr;
	bool image = false;

	check(s->magic == XEN_HVM_START_MAGIC_VALUE, "start info: magic");
	if (!check(s->version >= 1, "start info: version 1, with a memory map"))
		return;
	for (uint32_t i = 0; i < s->memmap_entries; i++)
		image |= range_holds(&map[i], 0x100000, (uint64_t)image_end);
	check(image, "start info: RAM holds this image");
	check(s->cmdline_paddr != 0, "start info: command line");
}

static void check_xen_parts(void)
{
	if (!probe.xen_base) {
		skip("Xen", "no Xen CPUID leaves here");
		return;
	}
	check_xen();
	check_events();
	check_time();
	check_console();
	check_store();
	check_grants();
	check_blk();
}

static void check_pv(void)
{
	check_pv_mmu();
	check_pv_pin();
	check_pv_memory();
	check_pv_trap();
	check_pv_emulate();
	check_pv_segment();
	check_pv_event();
	check_pv_user();
}

static void run_checks(void)
{
	print("TAP version 13\n# command line: %s\n", probe.cmdline);
	if (probe.pv)
		check_pv_start();
	else if (!probe.pc)
		check_start();
	check_cpu();
	if (probe.pc)
		check_pc();
	check_xen_parts();
	if (probe.pv)
		check_pv();
	else if (probe.xen_base)
		check_smp();
	print("1..%u\n", probe.checks);
	print("# %u of %u failed\n", probe.failed, probe.checks);
}

static _Noreturn void run(void)
{
	const char *hostile = cmdline_word("hostile=");

	probe.quick = cmdline_word("quick");
	probe.measure = cmdline_word("measure");
	probe.timer = cmdline_word("timer");
	probe.ipi = cmdline_word("ipi");
	probe.write = cmdline_word("write");
	probe.shim = cmdline_word("shim");
	probe.lean = cmdline_word("lean");
	probe.no_console = cmdline_word("console=none");
	if (hostile) {
		hostile_run(hostile);
		probe_end(SHUTDOWN_poweroff);
	}
	if (!probe.measure && !probe.timer && !probe.ipi)
		run_checks();
	if (probe.timer)
		measure_timer();
	else if (probe.ipi)
		measure_ipi();
	else if (!probe.quick || probe.measure)
		measure_all();
	probe_end(probe.failed ? SHUTDOWN_crash : SHUTDOWN_poweroff);
}

static void start_pvh(const struct hvm_start_info *start)
{
	probe.start = start;
	probe.cmdline = start->cmdline_paddr ? (const char *)start->cmdline_paddr : "";
	bare_acpi_find();
}

void probe_start(const void *info, uint32_t magic)
{
	cpu_init();
	if (magic == MULTIBOOT_MAGIC)
		pc_init(info);
	else
		start_pvh(info);
	if (!xen_init()) {
		if (!probe.pc)
			tsc_clock_init();
	} else {
		events_init();
		console_init();
		store_init();
		grant_init();
	}
	run();
}

void probe_main_pv(const struct start_info *start)
{
	probe.pv = true;
	probe.hypercall = hypercall_syscall;
	pv_init(start);
	probe.cmdline = pv.cmdline;
	xen_init();
	store_init();
	grant_init();
	run();
}
