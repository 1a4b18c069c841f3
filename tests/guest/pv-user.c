/* SPDX-License-Identifier: MIT */
/* User mode of a PV guest: its own address space, system calls, faults, 32-bit code. */
#include "pv.h"

#include <xen/errno.h>

static uint64_t user_l4[512] PAGE_ALIGNED, user_l3[512] PAGE_ALIGNED, user_l2[512] PAGE_ALIGNED;
static uint64_t user_l1[512] PAGE_ALIGNED;
static volatile uint64_t user_page[512] PAGE_ALIGNED, kernel_page[512] PAGE_ALIGNED;

void user_load(void);
void user_store(void);
void user_syscall_slow(void);
extern uint8_t user_syscall_after[], user32_syscall_after[];
void user_hlt(void);
void user_in(void);
void user_mov_cr3(void);
void user_int81(void);
void user_ud2(void);
void user_spin(void);
void user_marks(void);
void user32_int80(void);
void user32_syscall(void);
void user32_sysenter(void);
void user32_into(void);
void user32_dec(void);

/* The kernel's space, but that the window shows a page of the user's. */
void pv_user_init(void)
{
	user_l1[0] = pv_machine((const void *)user_page) | PTE_RW;
	user_l2[0] = pv_machine(user_l1) | PTE_RW;
	user_l3[0] = pv_machine(user_l2) | PTE_RW;
	memcpy(user_l4, pv_table(pv.l4), PAGE_BYTES);
	for (unsigned i = 256; i < 272; i++)
		user_l4[i] = 0;
	user_l4[WINDOW_SLOT] = pv_machine(user_l3) | PTE_RW;
	pv_page_rights(user_l1, PTE_RO);
	pv_page_rights(user_l2, PTE_RO);
	pv_page_rights(user_l3, PTE_RO);
	pv_page_rights(user_l4, PTE_RO);
	pv.user_l4 = frame_of(user_l4);
	if (pv_ext(MMUEXT_PIN_L4_TABLE, pv.user_l4, 0) != 0 || pv_ext(MMUEXT_NEW_USER_BASEPTR, pv.user_l4, 0) != 0)
		print("# the user's top-level table was refused\n");
}

static uint64_t run32(void (*code)(void))
{
	struct pv_user u = {
		.rip = (uint64_t)code,
		.cs = FLAT_USER_CS32,
		.rflags = 2,
		.rsp = (uint64_t)user_stack_top,
		.ss = FLAT_USER_SS32,
	};

	probe.trap.vector = -1;
	return pv_user_enter(&u);
}

static void check_trapped(const char *name, void (*code)(void), uint64_t arg, int vector, uint64_t error)
{
	bool ok;

	probe.trap.vector = -1;
	user_run(code, arg);
	ok = check(probe.trap.vector == vector && probe.trap.error == error && (probe.frame.cs & 3) == 3, "user: %s",
	           name);
	if (!ok)
		print("# vector %d error %lx, expected %d %lx\n", probe.trap.vector, probe.trap.error, vector, error);
}

static void check_spaces(void)
{
	kernel_page[1] = 0x111;
	user_page[1] = 0x222;
	pv_window(0, (const void *)kernel_page);
	check(user_run(user_load, WINDOW + 8) == 0x222, "user: has its own address space");
	check(*(volatile uint64_t *)(WINDOW + 8) == 0x111, "user: and the kernel is back in its own");
	user_run(user_store, WINDOW + 16);
	check(user_page[2] == WINDOW + 16 && kernel_page[2] == 0, "user: stores to its own");
	pv_window(0, NULL);
	check(pv_update(&user_l1[1], 0, pv_machine((const void *)kernel_page) | PTE_RO) == 0 &&
	              user_run(user_load, WINDOW + PAGE_BYTES + 8) == 0x111,
	      "user: a mapping made for it");
	check(pv_ext(MMUEXT_NEW_USER_BASEPTR, 0, 0) == 0 && pv_ext(MMUEXT_NEW_USER_BASEPTR, pv.user_l4, 0) == 0 &&
	              user_run(user_load, WINDOW + 8) == 0x222,
	      "user: no space at all, and this one again");
}

static void check_faults(void)
{
	check_trapped("read of an unmapped page", user_load, UNMAPPED, 14, 4);
	check(probe.trap.cr2 == UNMAPPED, "user: cr2 is the address");
	check_trapped("write to an unmapped page", user_store, UNMAPPED, 14, 6);
	check_trapped("write to a read-only page", user_store, WINDOW + PAGE_BYTES, 14, 7);
	check_trapped("write to its own page table", user_store, (uint64_t)&user_l1[5], 14, 7);
	check_trapped("noncanonical address", user_load, NONCANONICAL, 13, 0);
	check_trapped("cli", user_cli, 0, 13, 0);
	check_trapped("hlt", user_hlt, 0, 13, 0);
	check_trapped("in", user_in, 0, 13, 0);
	check_trapped("mov from cr3", user_mov_cr3, 0, 13, 0);
	check_trapped("int of a gate that is the kernel's", user_int81, 0, 13, 0x81 << 3 | 2);
	check_trapped("ud2", user_ud2, 0, 6, 0);
	probe.trap.vector = -1;
	user_run(user_store, HOLE);
	check(probe.trap.vector == 14 && (probe.trap.error & 6) == 6, "user: write to the monitor's memory");
}

static void check_syscall_frame(void)
{
	const struct frame *f = &probe.frame;

	check_trapped("system call", user_syscall_slow, 0, PV_VECTOR_SYSCALL, 0);
	check(f->rax == 99 && f->rip == (uint64_t)user_syscall_after, "system call: rax, rip");
	check((f->cs & 0xffff) == FLAT_USER_CS64 && (f->ss & 0xffff) == FLAT_USER_SS64 &&
	              f->rsp == (uint64_t)user_stack_top,
	      "system call: selectors and stack");
	check(f->rcx == f->rip && (f->r11 | 0x200) == (f->rflags | 0x200),
	      "system call: rcx and r11 as the instruction leaves them");
	check(f->cs >> 32 == 1 && !(f->rflags & 0x200), "system call: events were masked");
}

static void check_registers(void)
{
	const struct frame *f = &probe.frame;

	probe.trap.vector = -1;
	check(user_run(user_marks, 0x1000) == FLAT_USER_CS64, "user: its code selector");
	check(f->rbx == 0x1000 && f->rcx == 0x1001 && f->rdx == 0x1002 && f->rsi == 0x1003 && f->rdi == 0x1004 &&
	              f->r8 == 0x1005 && f->r9 == 0x1006 && f->r10 == 0x1007 && f->r11 == 0x1008 && f->r15 == 0x1009,
	      "user: all registers come with int $0x80");
}

/* The timer's event finds user mode with events on, and goes back to it. */
static volatile uint32_t spin_flag;

static void end_spin(uint32_t port)
{
	if (port == timer_port_get())
		spin_flag = 0x99;
}

static void check_upcall(void)
{
	struct pv_user u = {
		.rip = (uint64_t)user_spin,
		.cs = FLAT_USER_CS64,
		.rflags = 0x202,
		.rsp = (uint64_t)user_stack_top,
		.ss = FLAT_USER_SS64,
		.arg = (uint64_t)&spin_flag,
	};

	timer_port_get();
	probe.on_event = end_spin;
	spin_flag = 0;
	timer_shot(clock_ns() + 3 * NS_PER_MS);
	check(pv_user_enter(&u) == 0x99, "user: an event comes while it runs");
	probe.on_event = NULL;
	check((probe.upcall_frame.cs & 3) == 3 && probe.upcall_frame.cs >> 32 == 0 &&
	              (probe.upcall_frame.rflags & 0x200),
	      "user: the event's frame says user, events on");
	check(probe.frame.cs >> 32 == 0 && probe.vcpu->evtchn_upcall_mask == 1,
	      "user: int $0x80 masks on the way in");
	irq_off();
}

static void check_compat(void)
{
	check(run32(user32_int80) == 0x80001234 && (probe.frame.cs & 0xffff) == FLAT_USER_CS32,
	      "user, 32 bits: int $0x80");
	check(run32(user32_dec) == 7, "user, 32 bits: instructions are those of 32-bit code");
	run32(user32_into);
	check(probe.trap.vector == 4, "user, 32 bits: into");
	run32(user32_syscall);
	if (probe.amd)
		check(probe.trap.vector == PV_VECTOR_SYSCALL32 &&
		              (uint32_t)probe.frame.rip == (uint32_t)(uint64_t)user32_syscall_after &&
		              (uint32_t)probe.frame.rax == 0x5678 && (probe.frame.cs & 0xffff) == FLAT_USER_CS32,
		      "user, 32 bits: syscall");
	else
		check(probe.trap.vector == 6, "user, 32 bits: no syscall on this processor");
	run32(user32_sysenter);
	if (probe.amd)
		check(probe.trap.vector == 6, "user, 32 bits: no sysenter on this processor");
	else
		check(probe.trap.vector == PV_VECTOR_SYSENTER && (uint32_t)probe.frame.rax == 0x9abc,
		      "user, 32 bits: sysenter");
}

void check_pv_user(void)
{
	check_spaces();
	check_faults();
	check_syscall_frame();
	check_registers();
	check_upcall();
	check_compat();
}
