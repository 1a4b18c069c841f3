/* SPDX-License-Identifier: MIT */
/* Descriptor tables, traps, ring 3, and checks of the processor itself. */
#include "pv.h"

extern uint8_t trap_stubs[], user_stack_top[];
extern void syscall_entry(void);

#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084

struct gate {
	uint16_t offset0, selector;
	uint8_t ist, type;
	uint16_t offset1;
	uint32_t offset2, zero;
};

struct __attribute__((packed)) tss {
	uint32_t reserved0;
	uint64_t rsp[3], reserved1, ist[7], reserved2;
	uint16_t reserved3, iomap;
};

struct __attribute__((packed)) table_pointer {
	uint16_t limit;
	uint64_t base;
};

static struct gate idt[256];
static struct tss tss;

void idt_load(void)
{
	struct table_pointer p = { sizeof(idt) - 1, (uint64_t)idt };

	__asm__ volatile("lidt %0" ::"m"(p));
}

static void idt_init(void)
{
	for (unsigned v = 0; v < 256; v++) {
		uint64_t stub = (uint64_t)trap_stubs + 16 * v;

		idt[v] = (struct gate){
			.offset0 = (uint16_t)stub,
			.selector = 0x08,
			.type = v == USER_VECTOR ? 0xee : 0x8e, /* interrupt gate, DPL 3 or 0 */
			.offset1 = (uint16_t)(stub >> 16),
			.offset2 = (uint32_t)(stub >> 32),
		};
	}
	idt_load();
}

void cpu_init(void)
{
	uint64_t base = (uint64_t)&tss;

	idt_init();
	tss.rsp[0] = (uint64_t)trap_stack_top;
	tss.iomap = sizeof(tss);
	gdt[6] = 0x0000890000000000ull | (sizeof(tss) - 1) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
	gdt[7] = base >> 32;
	__asm__ volatile("ltr %w0" ::"r"(0x30));
	wrmsr(MSR_STAR, 0x001b000800000000ull);
	wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
	wrmsr(MSR_SFMASK, 0);
}

static void report_trap(const struct frame *f)
{
	print("# trap %lu, error %lx, rip %lx, cs %lx, rsp %lx, cr2 %lx\n", f->vector, f->error, f->rip, f->cs,
	      f->rsp, probe.trap.cr2);
	if (probe.on_fatal)
		probe.on_fatal();
}

static uint64_t fault_address(void)
{
	uint64_t cr2;

	if (probe.pv)
		return probe.vcpu ? probe.vcpu->arch.cr2 : 0;
	__asm__ volatile("movq %%cr2, %0" : "=r"(cr2));
	return cr2;
}

/* Events, NMIs, and what hostile calls may leave behind. */
static bool absorb(struct frame *f)
{
	if (f->vector == UPCALL_VECTOR || f->vector == UPCALL_VECTOR - 1) {
		probe.upcall_frame = *f;
		event_upcall();
		return true;
	}
	if (f->vector == 2) {
		probe.nmis++;
		probe.frame = *f;
		return true;
	}
	if (probe.on_interrupt && f->vector >= 0x20 && f->vector != USER_VECTOR) {
		probe.on_interrupt((uint8_t)f->vector);
		return true;
	}
	return f->vector == 1 && probe.shrug && !probe.trap.resume;
}

uint64_t user_run(void (*code)(void), uint64_t arg)
{
	struct pv_user u = {
		.rip = (uint64_t)code,
		.cs = FLAT_USER_CS64,
		.rflags = 2,
		.rsp = (uint64_t)user_stack_top,
		.ss = FLAT_USER_SS64,
		.arg = arg,
	};

	return probe.pv ? pv_user_enter(&u) : user_run_native(code, arg);
}

void trap(struct frame *f)
{
	if (absorb(f) || ((f->cs & 3) && probe.on_user_trap && probe.on_user_trap(f)))
		return;
	probe.frame = *f;
	probe.trap.cr2 = fault_address();
	probe.trap.vector = (int)f->vector;
	probe.trap.error = f->error;
	probe.trap.rip = f->rip;
	if ((f->cs & 3) != 0)
		user_leave(f->vector == USER_VECTOR ? f->rax : ~0ull);
	if (!probe.trap.resume) {
		report_trap(f);
		probe_end(SHUTDOWN_crash);
	}
	f->rip = probe.trap.resume;
	if (probe.pv) /* a return that failed left another */
		f->cs = (f->cs & ~0xffffull) | (FLAT_KERNEL_CS & ~3u);
	f->rflags &= ~0x100ull; /* TF */
	probe.trap.resume = 0;
}

/* ---- checks ----------------------------------------------------------- */

void check_trap(const char *name, bool trapped, int vector, uint64_t error)
{
	bool ok = trapped && probe.trap.vector == vector && probe.trap.error == error;

	check(ok, "trap: %s", name);
	if (!ok)
		print("# vector %d error %lx, expected %d %lx\n", probe.trap.vector, probe.trap.error, vector, error);
}

static void check_traps(void)
{
	/* Above what is mapped one to one; bit 4 of the error code is an instruction fetch. */
	const uint64_t unmapped = 0x123456789000ull, noncanonical = 0x8000000000000000ull;

	check_trap("ud2", TRAPS("ud2", "i"(0)), 6, 0);
	check_trap("divide by zero", TRAPS("xorl %%ecx, %%ecx; divl %%ecx", "i"(0)), 0, 0);
	if (!probe.lean)
		check_trap("int3", TRAPS("int3", "i"(0)), 3, 0);
	check_trap("read of an unmapped page", TRAPS("movq (%[a]), %%rcx", [a] "r"(unmapped)), 14, 0);
	check(probe.trap.cr2 == unmapped, "trap: cr2 is the address");
	check_trap("write to an unmapped page", TRAPS("movq %%rcx, 8(%[a])", [a] "r"(unmapped)), 14, 2);
	check(probe.trap.cr2 == unmapped + 8, "trap: cr2 is the address written");
	check_trap("noncanonical address", TRAPS("movq (%[a]), %%rcx", [a] "r"(noncanonical)), 13, 0);
	check_trap("selector past the GDT", TRAPS("movw %w[s], %%fs", [s] "r"(0x1000)), 13, 0x1000);
	check_trap("single step", TRAPS("pushfq; orl $0x100, (%%rsp); popfq; nop; nop", "i"(0)), 1, 0);
}

/* QEMU's TCG lets these pass, so they are for Xen alone. Xen drops bits of CR4 that a PV guest may not have. */
static void check_strict_traps(void)
{
	if (!probe.pv && !probe.lean)
		check_trap("reserved bit of CR4",
		           TRAPS("movq %%cr4, %%rcx; btsq $63, %%rcx; movq %%rcx, %%cr4", "i"(0)), 13, 0);
	check_trap("MSR that does not exist", TRAPS("movl %k[m], %%ecx; rdmsr", [m] "r"(0x12345678)), 13, 0);
}

/* Code that is written, run, and written again must run as it is now. */
static void check_self_modifying(void)
{
	static uint8_t code[64] PAGE_ALIGNED = { 0xb8, 0, 0, 0, 0, 0xc3 }; /* mov $imm, %eax; ret */
	uint32_t (*run)(void) = (uint32_t(*)(void))(uintptr_t)code;
	bool ok = true;

	for (uint32_t i = 1; i < 1000; i++) {
		*(volatile uint32_t *)(code + 1) = i;
		ok &= run() == i;
	}
	check(ok, "self-modifying code: the operand of a function that just ran");
}

/* The next instruction of the same block is the one that changes. */
static void check_self_modifying_ahead(void)
{
	static uint8_t code[64] PAGE_ALIGNED;
	static const uint8_t text[] = {
		0x40, 0x88, 0x3d, 0x01, 0, 0, 0, /* mov %dil, 1(%rip): the operand below */
		0xb8, 0, 0, 0, 0,                /* mov $0, %eax */
		0xc3,
	};
	uint32_t (*run)(uint8_t) = (uint32_t(*)(uint8_t))(uintptr_t)code;
	bool ok = true;

	memcpy(code, text, sizeof(text));
	for (unsigned i = 1; i < 200; i++)
		ok &= run((uint8_t)i) == i;
	check(ok, "self-modifying code: an operand ahead in the same block");
}

static void check_flags(void)
{
	uint64_t sum, flags;

	__asm__ volatile("movb $0x7f, %%al; addb $1, %%al; pushfq; popq %1; movzbl %%al, %%eax"
	                 : "=a"(sum), "=r"(flags)::"cc");
	/* OF, SF and AF set, CF, ZF and PF clear */
	check(sum == 0x80 && (flags & 0x8d5) == 0x890, "flags: 0x7f + 1");
	__asm__ volatile("movq $-1, %%rax; addq $1, %%rax; pushfq; popq %1" : "=a"(sum), "=r"(flags)::"cc");
	check(sum == 0 && (flags & 0x8d5) == 0x55, "flags: -1 + 1");
}

/* In ring 3, where user code has it: a KVM in software emulates little of ring 0, and no vectors. */
static void check_sse(void)
{
	static struct {
		uint32_t in[4], out[4];
	} v __attribute__((aligned(16))) = { .in = { 1, 2, 3, 0xffffffff } };

	user_run(user_vectors, (uint64_t)&v);
	check(v.out[0] == 2 && v.out[2] == 6 && v.out[3] == 0xfffffffe, "SSE2: paddd");
}

static void check_user(void)
{
	if (!probe.lean)
		check(user_run(user_syscalls, 3) == 42, "ring 3: syscall and sysret");
	probe.trap.vector = -1;
	user_run(user_cli, 0);
	check(probe.trap.vector == 13, "ring 3: cli is refused");
}

void check_cpu(void)
{
	check_flags();
	check_sse();
	check_traps();
	if (probe.xen_base || (probe.pc && !cmdline_word("tcg")))
		check_strict_traps();
	check_self_modifying();
	check_self_modifying_ahead();
	check_user();
	check(inb(0x2f7) == 0xff, "port that nobody claims reads as ones");
}
