/* SPDX-License-Identifier: MIT */
/* A PC as Multiboot leaves it: start, clock, the end, and the order of the checks. */
#include "pc.h"

#define MULTIBOOT_HAS_CMDLINE 4u
#define MULTIBOOT_HAS_MAP 64u
#define MAP_RAM 1u

#define PIT_HZ 1193182ull
#define PIT_TICKS 3580u /* 3 ms: seldom is the processor taken away in it */
#define CLOCK_ROUNDS 10u

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};

struct __attribute__((packed)) multiboot_map {
	uint32_t size; /* of the rest */
	uint64_t base, length;
	uint32_t type;
};

struct pc pc;

static void read_map(const struct multiboot_info *info)
{
	uint64_t at = info->mmap_addr, end = at + info->mmap_length;

	for (const struct multiboot_map *m; at < end; at += m->size + 4) {
		m = (const void *)at;
		if (m->type != MAP_RAM)
			continue;
		if (m->base < 1ull << 32 && m->base + m->length > pc.memory_top)
			pc.memory_top = m->base + m->length;
		pc.map_holds_image |= m->base <= 0x100000 && m->base + m->length >= (uint64_t)image_end;
	}
}

/* The count of counter 2 at the write that latches it; *after is the TSC behind that. */
static uint16_t latched(uint64_t *after)
{
	uint8_t low;

	outb(0x43, 0x80);
	*after = rdtsc();
	low = inb(0x42);
	return (uint16_t)(low | inb(0x42) << 8);
}

/*
 * 2^32 times the ns in a tick of the TSC, from 3 ms or more of the 8254. What
 * comes between its readings and the TSC's only makes it less.
 */
static uint64_t ns_per_tsc(void)
{
	uint64_t start, end, unused;
	uint16_t first, ticks;

	outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1));
	outb(0x43, 0xb0); /* mode 0: goes on below 0 */
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	start = rdtsc();
	first = latched(&unused);
	do
		ticks = (uint16_t)(first - latched(&end));
	while (ticks < PIT_TICKS && end - start < 1ull << 34);
	return ((ticks * 1000000000ull / PIT_HZ) << 32) / (end - start);
}

static void clock_init(void)
{
	for (unsigned i = 0; i < CLOCK_ROUNDS; i++) {
		uint64_t found = ns_per_tsc();

		pc.ns_per_tsc_32 = found > pc.ns_per_tsc_32 ? found : pc.ns_per_tsc_32;
	}
	pc.tsc_start = rdtsc();
	probe.clock = true;
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

/* Unexpected ones are counted as well. Only the 8259s' need to be told here; the others' handlers are their checks. */
static void interrupt(uint8_t vector)
{
	pc.interrupts[vector]++;
	if (vector >= PIC_VECTOR && vector < PIC_VECTOR + 16) {
		if (vector >= PIC_VECTOR + 8)
			outb(0xa0, 0x20);
		outb(0x20, 0x20);
	} else if (vector != SPURIOUS_VECTOR) {
		lapic_eoi();
	}
}

bool pc_wait_interrupts(uint8_t vector, uint32_t count)
{
	uint64_t end = pc_clock_ns() + 1000 * NS_PER_MS;

	__asm__ volatile("sti");
	while (pc.interrupts[vector] < count && pc_clock_ns() < end)
		__asm__ volatile("pause");
	__asm__ volatile("cli");
	return pc.interrupts[vector] >= count;
}

void pc_init(const struct multiboot_info *info)
{
	probe.pc = true;
	probe.cmdline = info->flags & MULTIBOOT_HAS_CMDLINE ? (const char *)(uint64_t)info->cmdline : "";
	probe.on_interrupt = interrupt;
	if (info->flags & MULTIBOOT_HAS_MAP)
		read_map(info);
	pic_init(0xffff);
	clock_init();
	pc_acpi_find();
}

void pc_power_off(void)
{
	if (pc.pm1_control)
		outw((uint16_t)pc.pm1_control, (uint16_t)(1u << 13 | (uint32_t)pc.s5_type << 10));
}

/* KVM's clock: a record with an even version that goes on with the TSC, and a wall clock. */
static void check_kvm(void)
{
	static volatile uint32_t clock[8] __attribute__((aligned(32))), wall[3] __attribute__((aligned(4)));
	uint32_t r[4];

	cpuid(1, 0, r);
	check(r[2] >> 31, "CPUID: there is a hypervisor");
	cpuid(0x40000001, 0, r);
	if (!check((r[0] & (1u << 3 | 1u << 24)) == (1u << 3 | 1u << 24), "KVM: a stable clock"))
		return;
	wrmsr(0x4b564d01, (uint64_t)clock | 1);
	wrmsr(0x4b564d00, (uint64_t)wall);
	check(clock[0] && !(clock[0] & 1) && clock[6], "KVM: the clock is written");
	check(wall[0] && !(wall[0] & 1) && wall[1] > 1700000000 && wall[2] < 1000000000, "KVM: the wall clock is written");
	wrmsr(0x4b564d01, 0);
}

static void check_hypervisor_leaves(void)
{
	static const char *const names[] = { "XenVMMXenVMM", "KVMKVMKVM\0\0\0", "Microsoft Hv", "TCGTCGTCGTCG" };
	uint32_t r[4];
	bool silent = true;

	if (probe.xen_base)
		return;
	cpuid(0x40000000, 0, r);
	if (r[1] == 0x4b4d564b) { /* "KVMK" */
		check_kvm();
		return;
	}
	cpuid(1, 0, r);
	check(!(r[2] >> 31), "CPUID: says nothing of a hypervisor");
	for (uint32_t leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
		cpuid(leaf, 0, r);
		for (unsigned i = 0; i < ARRAY_LEN(names); i++)
			silent &= memcmp(&r[1], names[i], 12) != 0;
	}
	check(silent, "CPUID: no hypervisor's signature");
}

void check_pc(void)
{
	check(pc.map_holds_image, "memory map: RAM holds this image");
	check(pc.memory_top >= 16u << 20, "memory map: has RAM of a PC's size");
	check_hypervisor_leaves();
	check_pc_acpi();
	check_pc_interrupts();
	check_pc_timers();
	check_pc_isa();
	check_pc_pci();
	check_pc_ide();
}

/* ---- measures ---------------------------------------------------------- */

#define BATCHES 21

static void measure(const char *name, void (*run)(unsigned n), unsigned n)
{
	uint64_t took[BATCHES], start;

	run(n);
	for (unsigned i = 0; i < BATCHES; i++) {
		start = pc_clock_ns();
		run(n);
		took[i] = pc_clock_ns() - start;
	}
	measure_values(name, took, BATCHES, n);
}

static void run_lapic_read(unsigned n)
{
	while (n--)
		mmio_read(LAPIC_BASE + 0x20);
}

static void run_self_ipi(unsigned n)
{
	__asm__ volatile("sti");
	while (n--)
		mmio_write(LAPIC_BASE + 0x300, 0x40000 | LAPIC_VECTOR);
	__asm__ volatile("cli");
}

static void run_pci_read(unsigned n)
{
	while (n--)
		pci_read(0, 0);
}

static void run_pm_timer(unsigned n)
{
	while (n--)
		inl((uint16_t)pc.pm_timer);
}

static void run_vga_write(unsigned n)
{
	while (n--)
		*(volatile uint16_t *)0xb8000 = 0x0720;
}

void measure_pc(void)
{
	lapic_enable();
	measure("lapic-read", run_lapic_read, 200);
	measure("self-ipi", run_self_ipi, 200);
	measure("pci-config-read", run_pci_read, 200);
	if (pc.pm_timer)
		measure("pm-timer-read", run_pm_timer, 200);
	measure("vga-write", run_vga_write, 200);
}
