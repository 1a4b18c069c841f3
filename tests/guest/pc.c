/* SPDX-License-Identifier: MIT */
/* A PC as Multiboot leaves it: start, clock, the end, and the order of the checks. */
#include "pc.h"

#define MULTIBOOT_HAS_CMDLINE 4u
#define MULTIBOOT_HAS_MAP 64u
#define MAP_RAM 1u

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

/* Unexpected ones are counted as well. Only the 8259s' need to be told here; the others' handlers are their checks. */
void pc_interrupt(uint8_t vector)
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
	probe.on_interrupt = pc_interrupt;
	if (info->flags & MULTIBOOT_HAS_MAP)
		read_map(info);
	pic_init(0xffff);
	tsc_clock_init();
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
