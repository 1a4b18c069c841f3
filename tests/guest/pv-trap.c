/* SPDX-License-Identifier: MIT */
/* Exceptions as they reach a PV kernel, and the events beside them: NMIs and returns that fail. */
#include "pv.h"

#include <xen/errno.h>

#define FRAME_MASK(f) ((uint8_t)((f)->cs >> 32))
#define IF_FLAG       0x200ull

/* A trap in the kernel: RPL 0, the event mask in the upper half of cs and inverted in IF. */
static void check_frame(uint8_t mask)
{
	const struct frame *f = &probe.frame;
	uint64_t rsp;

	__asm__ volatile("movq %%rsp, %0" : "=r"(rsp));
	check((f->cs & 0xffff) == (FLAT_KERNEL_CS & ~3u) && (f->ss & ~3ull) == (FLAT_KERNEL_SS & ~3u),
	      "frame: selectors of the kernel, mask %u", mask);
	check(FRAME_MASK(f) == mask && (f->rflags & IF_FLAG ? 0 : 1) == mask, "frame: the event mask, %u", mask);
	check(memcmp((const void *)f->rip, "\x0f\x0b", 2) == 0, "frame: rip is at the instruction");
	check(f->rsp - rsp + 4096 < 8192, "frame: rsp is this stack's");
}

static void check_frames(void)
{
	uint8_t after;

	check_trap("ud2, events masked", TRAPS("ud2", "i"(0)), 6, 0);
	check_frame(1);
	irq_on();
	(void)TRAPS("ud2", "i"(0));
	after = probe.vcpu->evtchn_upcall_mask;
	irq_off();
	check_frame(0);
	check(after == 0, "frame: the way back puts the mask back");
}

static void check_vectors(void)
{
	check_trap("int3 by INT n", TRAPS("int $3", "i"(0)), 3, 0);
	check_trap("int $0x80 in the kernel", TRAPS("int $0x80", "i"(0)), USER_VECTOR, 0);
	check_trap("int of a gate that is the kernel's own", TRAPS("int $0x81", "i"(0)), 13, 0x81 << 3 | 2);
	check(TRAPS("movq (%[a]), %%rcx", [a] "r"(HOLE + (15ull << 39))) && probe.trap.vector == 14 &&
	              (probe.trap.error & ~1ull) == 0,
	      "trap: read of the monitor's memory");
	check_trap("jump to an unmapped page", TRAPS("jmp *%[a]", [a] "r"(UNMAPPED)), 14, 0x10);
	check_trap("null for SS", TRAPS("xorl %%ecx, %%ecx; movw %%cx, %%ss", "i"(0)), 13, 0);
	check(HYPERCALL2(__HYPERVISOR_set_trap_table, UNMAPPED, 0) == -XEN_EFAULT, "trap table: nowhere");
}

/* ---- debug registers ------------------------------------------------------- */

static long set_dr(unsigned n, uint64_t value)
{
	return HYPERCALL2(__HYPERVISOR_set_debugreg, n, value);
}

static uint64_t get_dr(unsigned n)
{
	return (uint64_t)HYPERCALL2(__HYPERVISOR_get_debugreg, n, 0);
}

/* pv_nothing jumps to rdx, the end of TRAPS. */
#define GO_AND_COME "leaq 1f(%%rip), %%rdx; jmp *%[f]"

static void check_debug(void)
{
	static uint64_t watched;

	check(set_dr(0, (uint64_t)&watched) == 0 && get_dr(0) == (uint64_t)&watched, "debug: an address");
	set_dr(7, 0x90401); /* 8 bytes, written */
	check_trap("breakpoint at a write", TRAPS("movq %%rcx, (%[w])", [w] "r"(&watched)), 1, 0);
	check(get_dr(6) & 1, "debug: dr6 says which");
	set_dr(6, 0);
	check(!TRAPS("movq (%[w]), %%rcx", [w] "r"(&watched)), "debug: a read is none");
	set_dr(0, (uint64_t)pv_nothing);
	set_dr(7, 0x401); /* executed */
	check_trap("breakpoint at an instruction", TRAPS(GO_AND_COME, [f] "r"(pv_nothing)), 1, 0);
	check(probe.frame.rip == (uint64_t)pv_nothing, "debug: before it is executed");
	set_dr(7, 0x400);
	check(!TRAPS(GO_AND_COME, [f] "r"(pv_nothing)), "debug: disabled, it is passed");
	check(set_dr(0, HOLE) < 0 && get_dr(0) == (uint64_t)pv_nothing, "debug: no address of the monitor's");
	check(set_dr(8, 0) < 0 && (int64_t)get_dr(8) < 0, "debug: no register 8");
	set_dr(0, 0);
}

/* ---- the FPU ------------------------------------------------------------------ */

static void check_fpu(void)
{
	long on = HYPERCALL2(__HYPERVISOR_fpu_taskswitch, 1, 0);

	check(on == 0, "fpu_taskswitch");
	check_trap("FPU after a task switch", TRAPS("fninit", "i"(0)), 7, 0);
	check(!TRAPS("fninit", "i"(0)), "FPU: delivering that cleared TS");
	HYPERCALL2(__HYPERVISOR_fpu_taskswitch, 1, 0);
	check_trap("SSE after a task switch", TRAPS("movaps %%xmm1, %%xmm1", "i"(0)), 7, 0);
	HYPERCALL2(__HYPERVISOR_fpu_taskswitch, 1, 0);
	HYPERCALL2(__HYPERVISOR_fpu_taskswitch, 0, 0);
	check(!TRAPS("fninit", "i"(0)), "FPU: set and cleared");
}

/* ---- NMI ------------------------------------------------------------------------ */

static long send_nmi(void)
{
	return HYPERCALL3(__HYPERVISOR_vcpu_op, VCPUOP_send_nmi, 0, 0);
}

static void check_nmi(void)
{
	struct xennmi_callback handler = { .handler_address = (unsigned long)pv_trap_stubs + 32 };
	struct callback_register again = { .type = CALLBACKTYPE_nmi, .address = (unsigned long)pv_trap_stubs + 32 };
	uint32_t before = probe.nmis;

	check(HYPERCALL2(__HYPERVISOR_nmi_op, XENNMI_register_callback, &handler) == 0, "NMI: register");
	check(send_nmi() == 0 && probe.nmis == before + 1, "NMI: to this vCPU");
	check(probe.frame.vector == 2 && FRAME_MASK(&probe.frame) == 1, "NMI: comes with events masked");
	check(HYPERCALL2(__HYPERVISOR_callback_op, CALLBACKOP_register, &again) == 0, "NMI: register by callback_op");
	irq_on();
	send_nmi();
	irq_off();
	check(probe.nmis == before + 2 && FRAME_MASK(&probe.frame) == 0, "NMI: again, after the first has returned");
	check(HYPERCALL2(__HYPERVISOR_nmi_op, XENNMI_unregister_callback, 0) == 0, "NMI: unregister");
	check(HYPERCALL2(__HYPERVISOR_nmi_op, 9, 0) == -XEN_ENOSYS, "NMI: an operation that is not there");
}

/* ---- returns that fail ------------------------------------------------------------ */

/* Returns by the iret hypercall to a code selector that cannot be; r11 comes back by the frame. */
static bool bad_iret(struct iret_context *c)
{
	return TRAPS(
	        "movq %%r11, 8(%[c]); movq %%rsp, 56(%[c]); movq %[c], %%rsp; movl $23, %%eax; syscall", [c] "r"(c));
}

/* Xen has made a #GP of it for long; once it was what the failsafe callback is for. */
static void check_bad_iret(void)
{
	struct iret_context c = { .rip = 0x1234, .cs = 0x1000, .rflags = 2, .ss = FLAT_KERNEL_SS };

	check(bad_iret(&c) && ((probe.trap.vector == 13 && probe.trap.error == 0x1000) ||
	                       probe.trap.vector == PV_VECTOR_FAILSAFE),
	      "iret: to a selector that is not there");
	check((probe.frame.cs & 0xfffc) == 0x1000 && probe.frame.rip == 0x1234, "iret: the frame is what failed");
}

/* ---- registration ----------------------------------------------------------------- */

static void check_callbacks(void)
{
	struct callback_register bad = { .type = 99, .address = 0x1000 };
	struct callback_register far = { .type = CALLBACKTYPE_syscall, .address = NONCANONICAL };
	struct callback_unregister none = { .type = CALLBACKTYPE_event };

	check(HYPERCALL2(__HYPERVISOR_callback_op, CALLBACKOP_register, &bad) < 0,
	      "callback_op: a type that is not there");
	check(HYPERCALL2(__HYPERVISOR_callback_op, 9, &bad) == -XEN_ENOSYS,
	      "callback_op: an operation that is not there");
	check(HYPERCALL2(__HYPERVISOR_callback_op, CALLBACKOP_register, UNMAPPED) == -XEN_EFAULT,
	      "callback_op: nowhere");
	check(HYPERCALL2(__HYPERVISOR_callback_op, CALLBACKOP_unregister, &none) == -XEN_EINVAL,
	      "callback_op: the event callback stays");
	HYPERCALL2(__HYPERVISOR_callback_op, CALLBACKOP_register, &far); /* Xen takes it, and makes it canonical */
	check(HYPERCALL3(__HYPERVISOR_set_callbacks, pv_event_entry, pv_failsafe_entry, pv_syscall_entry) == 0,
	      "set_callbacks");
	pv_callbacks();
}

void check_pv_trap(void)
{
	check_frames();
	check_vectors();
	check_debug();
	check_fpu();
	check_nmi();
	check_bad_iret();
	check_callbacks();
}
