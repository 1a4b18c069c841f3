/* SPDX-License-Identifier: MIT */
/* Privileged instructions of a PV kernel, which the monitor does for it, or refuses. */
#include "pv.h"

#include <xen/errno.h>

#define MSR_TSC       0x10
#define MSR_EFER      0xc0000080
#define MSR_FS_BASE   0xc0000100
#define MSR_SHADOW_GS 0xc0000102

#define CR0_TS      8ull
#define CR0_PG      0x80000000ull
#define CR4_OSXSAVE 0x40000ull

static void check_iopl(void)
{
	uint8_t before = probe.vcpu->evtchn_upcall_mask;

	check(pv_iopl(4) == -XEN_EINVAL, "iopl: there is no 4");
	check(pv_iopl(0) == 0, "iopl: 0");
	check_trap("in without a right to it", TRAPS("movl $0x2f7, %%edx; inb %%dx, %%al", "i"(0)), 13, 0);
	check_trap("cli without a right to it", TRAPS("cli", "i"(0)), 13, 0);
	check(pv_iopl(1) == 0 && inb(0x2f7) == 0xff, "iopl: 1, and a port reads as ones");
	check(!TRAPS("cli", "i"(0)) && !TRAPS("sti", "i"(0)) && probe.vcpu->evtchn_upcall_mask == before,
	      "cli and sti pass and change nothing");
}

static void check_ports(void)
{
	uint8_t bytes[8] = { 0 }, *to = bytes;
	uint64_t count = 4;
	uint32_t value;

	__asm__ volatile("inl %%dx, %%eax" : "=a"(value) : "d"(0x2f0));
	check(value == ~0u, "port: 32 bits");
	__asm__ volatile("cld; rep insb" : "+D"(to), "+c"(count) : "d"(0x2f7) : "memory");
	check(to == bytes + 4 && count == 0 && bytes[3] == 0xff && bytes[4] == 0, "port: rep insb");
	check(!TRAPS("outb %%al, $0x80", "i"(0)), "port: out of an immediate");
	/* A pointer to nothing faults as the processor's would. */
	check_trap("insb to nowhere", TRAPS("movl $0x2f7, %%edx; insb", "D"(UNMAPPED)), 14, 2);
}

static void check_msrs(void)
{
	uint64_t efer = rdmsr(MSR_EFER), tsc = rdmsr(MSR_TSC), now = rdtsc();

	check((efer & 0x501) == 0x501, "rdmsr: EFER says long mode and syscall");
	check(tsc <= now && now - tsc < 1ull << 40, "rdmsr: TSC");
	wrmsr(MSR_FS_BASE, 0x123456);
	check(rdmsr(MSR_FS_BASE) == 0x123456, "wrmsr: FS base");
	wrmsr(MSR_SHADOW_GS, 0x654321);
	check(rdmsr(MSR_SHADOW_GS) == 0x654321, "wrmsr: GS base of user mode");
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_SHADOW_GS, 0);
	check_trap("wrmsr of a noncanonical base",
	           TRAPS("movl $0xc0000100, %%ecx; xorl %%eax, %%eax; movl $0x80000000, %%edx; wrmsr", "i"(0)), 13,
	           0);
	check_trap("wrmsr of one that does not exist",
	           TRAPS("movl %k[m], %%ecx; xorl %%eax, %%eax; xorl %%edx, %%edx; wrmsr", [m] "r"(0x12345678)), 13,
	           0);
}

static uint64_t cr0(void)
{
	uint64_t value;

	__asm__ volatile("movq %%cr0, %0" : "=r"(value));
	return value;
}

static void check_cr0(void)
{
	uint64_t value = cr0();

	check((value & 0x80000001) == 0x80000001 && !(value & CR0_TS), "cr0: protected and paged");
	HYPERCALL2(__HYPERVISOR_fpu_taskswitch, 1, 0);
	check(cr0() & CR0_TS, "cr0: TS by fpu_taskswitch");
	__asm__ volatile("clts");
	check(!(cr0() & CR0_TS), "cr0: clts");
	__asm__ volatile("movq %0, %%cr0" ::"r"(value | CR0_TS));
	check(cr0() & CR0_TS, "cr0: TS by mov");
	__asm__ volatile("movq %0, %%cr0" ::"r"(value));
	check(cr0() == value, "cr0: and back");
	check_trap("paging off", TRAPS("movq %[v], %%cr0", [v] "r"(value & ~CR0_PG)), 13, 0);
}

static void check_registers(void)
{
	uint64_t cr2, cr4, dr;

	(void)TRAPS("movq (%[a]), %%rcx", [a] "r"(UNMAPPED + 16));
	__asm__ volatile("movq %%cr2, %0" : "=r"(cr2));
	check(cr2 == UNMAPPED + 16, "cr2: the last page fault's");
	__asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
	check(cr4 & 0x20, "cr4: PAE");
	check(!TRAPS("movq %[v], %%cr4", [v] "r"(cr4)), "cr4: takes what it gave");
	__asm__ volatile("movq %1, %%dr1; movq %%dr1, %0" : "=r"(dr) : "r"(0x4000ull));
	check(dr == 0x4000, "dr1: reads as written");
	__asm__ volatile("movq %0, %%dr1" ::"r"(0ull));
	check_trap("dr0 in the monitor's memory", TRAPS("movq %[v], %%dr0", [v] "r"(HOLE)), 13, 0);
}

static void check_refused(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table = { 0xffff, 0 };

	check_trap("hlt", TRAPS("hlt", "i"(0)), 13, 0);
	check_trap("lgdt", TRAPS("lgdt %[t]", [t] "m"(table)), 13, 0);
	check_trap("lidt", TRAPS("lidt %[t]", [t] "m"(table)), 13, 0);
	check_trap("ltr", TRAPS("ltr %w[s]", [s] "r"(0)), 13, 0);
	check_trap("swapgs", TRAPS("swapgs", "i"(0)), 13, 0);
	check_trap("sysret", TRAPS("sysretq", "i"(0)), 13, 0);
	check(!TRAPS("wbinvd", "i"(0)), "wbinvd passes");
}

static void check_cpuid(void)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	check(r[2] >> 31 & 1, "cpuid: says that there is a hypervisor");
	cpuid(0x80000001, 0, r);
	check((r[3] & 0x20000800) == 0x20000800, "cpuid: long mode and syscall");
	cpuid(0x40000000, 0, r);
	check(memcmp(&r[1], "XenVMMXenVMM", 12) == 0, "cpuid: Xen");
	check_trap("the prefix before something else", TRAPS(XEN_EMULATE_PREFIX "nop", "i"(0)), 6, 0);
}

static void check_xcr0(void)
{
	uint32_t r[4], lo, hi;
	uint64_t cr4;

	cpuid(1, 0, r);
	if (!(r[2] >> 26 & 1)) {
		skip("xcr0", "no XSAVE");
		return;
	}
	__asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
	check(!TRAPS("movq %[v], %%cr4", [v] "r"(cr4 | CR4_OSXSAVE)), "cr4: takes OSXSAVE");
	__asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
	cpuid(1, 0, r);
	check((cr4 & CR4_OSXSAVE) && (r[2] >> 27 & 1), "cr4: and shows it, as does cpuid");
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	check(!TRAPS("xorl %%ecx, %%ecx; xgetbv; xsetbv", "i"(0)), "xsetbv: takes what xgetbv gave");
	check_trap("xsetbv without the x87",
	           TRAPS("xorl %%ecx, %%ecx; xorl %%eax, %%eax; xorl %%edx, %%edx; xsetbv", "i"(0)), 13, 0);
}

void check_pv_emulate(void)
{
	check_iopl();
	check_ports();
	check_msrs();
	check_cr0();
	check_registers();
	check_refused();
	check_cpuid();
	check_xcr0();
}
