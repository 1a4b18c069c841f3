/* SPDX-License-Identifier: MIT */
/*
 * How a second vCPU comes up: by hypercall under Xen, with a state of its own
 * kind in a PV guest; by INIT and SIPI through a page below 1 MiB elsewhere.
 */
#include "pc.h"
#include "pv.h"
#include "smp.h"

#include <xen/errno.h>
#include <xen/hvm/hvm_vcpu.h>

#define TRAMPOLINE 0x8000u
#define ICR (LAPIC_BASE + 0x300)
#define ICR_HIGH (LAPIC_BASE + 0x310)
#define ICR_INIT 0x4500u
#define ICR_SIPI 0x4600u
#define PATIENCE (500 * NS_PER_MS)

uint8_t ap_stack[AP_STACK_BYTES] PAGE_ALIGNED;
volatile uint32_t ap_asked, ap_done, ap_id;
static volatile job_fn ap_job;

/* ---- jobs ------------------------------------------------------------------------- */

uint32_t apic_id(void)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	return r[1] >> 24;
}

_Noreturn void ap_main(void)
{
	uint32_t served = ap_done;

	if (!probe.pv)
		idt_load();
	ap_id = apic_id();
	for (;;) {
		wait_for(&ap_asked, served + 1);
		ap_job(1);
		ap_done = ++served;
	}
}

void ap_start(job_fn job)
{
	ap_job = job;
	barrier();
	ap_asked++;
}

void both(job_fn job)
{
	ap_start(job);
	job(0);
	wait_for(&ap_done, ap_asked);
}

static void nothing(unsigned me)
{
	(void)me;
}

/* ---- Xen ---------------------------------------------------------------------------- */

void ap_context(struct vcpu_hvm_context *c)
{
	struct vcpu_hvm_x86_64 *r = &c->cpu_regs.x86_64;

	memset(c, 0, sizeof(*c));
	c->mode = VCPU_HVM_MODE_64B;
	r->rip = (uint64_t)ap_entry64;
	r->rsp = (uint64_t)ap_stack + AP_STACK_BYTES;
	r->rflags = 2;
	__asm__ volatile("movq %%cr0, %0" : "=r"(r->cr0));
	__asm__ volatile("movq %%cr3, %0" : "=r"(r->cr3));
	__asm__ volatile("movq %%cr4, %0" : "=r"(r->cr4));
	r->efer = 0x101; /* LME, SCE */
}

static void *pv_context(void)
{
	static struct vcpu_guest_context c;

	c.flags = VGCF_in_kernel;
	c.user_regs.rip = (uint64_t)ap_main;
	c.user_regs.rsp = (uint64_t)ap_stack + AP_STACK_BYTES - 8; /* as if called */
	c.user_regs.cs = FLAT_KERNEL_CS;
	c.user_regs.ss = FLAT_KERNEL_SS;
	c.user_regs.rflags = 0x202;
	c.kernel_ss = FLAT_KERNEL_SS;
	c.kernel_sp = (uint64_t)ap_stack + AP_STACK_BYTES / 2;
	c.ctrlreg[3] = xen_pfn_to_cr3(pv.l4);
	c.event_callback_eip = (uint64_t)pv_event_entry;
	c.failsafe_callback_eip = (uint64_t)pv_failsafe_entry;
	c.syscall_callback_eip = (uint64_t)pv_syscall_entry;
	for (unsigned v = 0; v < 256; v++)
		c.trap_ctxt[v] = (struct trap_info){
			.vector = (uint8_t)v, .flags = 4, .cs = FLAT_KERNEL_CS, .address = (unsigned long)pv_trap_stubs + 16 * v
		};
	return &c;
}

static long vcpu_op(unsigned op, void *arg)
{
	return HYPERCALL3(__HYPERVISOR_vcpu_op, op, AP, arg);
}

static bool xen_start(void)
{
	struct vcpu_hvm_context hvm;
	long rc;

	if (vcpu_op(VCPUOP_is_up, NULL) < 0)
		return false;
	ap_context(&hvm);
	rc = vcpu_op(VCPUOP_initialise, probe.pv ? pv_context() : &hvm);
	return (rc == 0 || rc == -XEN_EEXIST) && vcpu_op(VCPUOP_up, NULL) == 0;
}

/* ---- INIT, SIPI ------------------------------------------------------------------------ */

static void send(uint32_t what)
{
	mmio_write(ICR_HIGH, AP << 24);
	mmio_write(ICR, what);
}

static bool reached(const volatile uint32_t *word, uint32_t value)
{
	uint64_t end = clock_ns() + PATIENCE;

	while (*word != value)
		if (clock_ns() > end)
			return false;
	return true;
}

static bool sipi_start(void)
{
	static uint8_t before[PAGE_BYTES];
	uint8_t *page = (uint8_t *)(uint64_t)TRAMPOLINE;
	bool up;

	if (!probe.clock || pc.processors < 2)
		return false;
	memcpy(before, page, PAGE_BYTES);
	memcpy(page, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	send(ICR_INIT);
	pc_delay(10 * NS_PER_MS);
	send(ICR_SIPI | TRAMPOLINE >> 12);
	up = reached(&ap_done, ap_asked);
	memcpy(page, before, PAGE_BYTES);
	return up;
}

bool smp_start(void)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	if (!probe.xen_base && !(r[3] & 1u << 9))
		return false;
	ap_start(nothing);
	if (probe.xen_base ? xen_start() : sipi_start()) {
		wait_for(&ap_done, ap_asked);
		return true;
	}
	ap_asked--;
	return false;
}
