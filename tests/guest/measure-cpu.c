/* SPDX-License-Identifier: MIT */
/* Exits, traps and user mode. */
#include "measure.h"

#define MSR_EFER 0xc0000080u /* of which monitors take reads as well as writes */
#define KVM_HC_VAPIC_POLL_IRQ 1u /* does nothing */
#define UNCLAIMED_PORT 0x2f7
#define DELAY_PORT 0x80
#define MULTICALL 16u

/* Additions each of which waits for the one before: what an engine adds at the end of a turn is hidden by them. */
bool run_loop(unsigned n)
{
	uint64_t turns = n * 25ull, sum = 0;

	__asm__ volatile("1: .rept 38; addq $3, %1; .endr; dec %0; jnz 1b" : "+r"(turns), "+r"(sum)::"cc");
	return sum == n * 25ull * 38 * 3;
}

bool run_hypercall(unsigned n)
{
	while (n--)
		HYPERCALL2(__HYPERVISOR_xen_version, XENVER_version, 0);
	return true;
}

bool run_hypercall_kvm(unsigned n)
{
	long (*call)(unsigned nr, ...) = vendor_is_amd() ? hypercall_vmmcall : hypercall_vmcall;

	while (n--)
		if (call(KVM_HC_VAPIC_POLL_IRQ, 0ull, 0ull, 0ull, 0ull, 0ull) != 0)
			return false;
	return true;
}

bool kvm_hypercall_works(void)
{
	return !TRAPS("movl %[nr], %%eax; vmcall", [nr] "i"(KVM_HC_VAPIC_POLL_IRQ)) ||
	       !TRAPS("movl %[nr], %%eax; vmmcall", [nr] "i"(KVM_HC_VAPIC_POLL_IRQ));
}

bool run_hypercall_page(unsigned n)
{
	while (n--)
		hypercall_by_page(__HYPERVISOR_xen_version, 0ull, 0ull, 0ull, 0ull, 0ull);
	return true;
}

bool run_multicall(unsigned n)
{
	struct multicall_entry list[MULTICALL];

	for (unsigned i = 0; i < MULTICALL; i++)
		list[i] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_version, 0 } };
	for (unsigned i = 0; i < n; i += MULTICALL)
		if (HYPERCALL2(__HYPERVISOR_multicall, list, MULTICALL) != 0)
			return false;
	return true;
}

bool run_cpuid(unsigned n)
{
	uint32_t r[4];

	while (n--)
		cpuid(0, 0, r);
	return true;
}

bool run_msr_read(unsigned n)
{
	while (n--)
		rdmsr(MSR_EFER);
	return true;
}

/* It is not changed. */
bool run_msr_write(unsigned n)
{
	uint64_t value = rdmsr(MSR_EFER);

	while (n--)
		wrmsr(MSR_EFER, value);
	return true;
}

bool msr_write_works(void)
{
	return !TRAPS("movl %[m], %%ecx; rdmsr; wrmsr", [m] "i"(MSR_EFER));
}

bool run_port_in(unsigned n)
{
	while (n--)
		inb(UNCLAIMED_PORT);
	return true;
}

bool run_port_out(unsigned n)
{
	while (n--)
		outb(DELAY_PORT, 0);
	return true;
}

bool run_mmio_read(unsigned n)
{
	while (n--)
		mmio_read(IOAPIC_BASE);
	return true;
}

bool run_mmio_write(unsigned n)
{
	while (n--)
		mmio_write(IOAPIC_BASE, 1);
	return true;
}

bool run_lapic_read(unsigned n)
{
	while (n--)
		mmio_read(LAPIC_BASE + 0x20);
	return true;
}

bool run_pci_read(unsigned n)
{
	while (n--)
		pci_read(0, 0);
	return true;
}

bool run_vga_write(unsigned n)
{
	while (n--)
		*(volatile uint16_t *)0xb8000 = 0x0720;
	return true;
}

bool run_interrupt_flag(unsigned n)
{
	while (n--)
		__asm__ volatile("pushfq; cli; popfq" ::: "memory", "cc");
	return true;
}

/* What a PV kernel has for it. */
bool run_event_mask(unsigned n)
{
	volatile uint8_t *mask = &probe.vcpu->evtchn_upcall_mask;
	uint8_t before;

	while (n--) {
		before = *mask;
		*mask = 1;
		barrier();
		*mask = before;
	}
	return true;
}

bool run_syscall(unsigned n)
{
	return user_run(user_syscalls, n) == 42;
}

bool run_page_fault(unsigned n)
{
	while (n--)
		if (!TRAPS("movq (%[a]), %%rcx", [a] "r"(UNMAPPED)))
			return false;
	return true;
}

static bool skip_fault(struct frame *f)
{
	if (f->vector != 14)
		return false;
	f->rip += USER_FAULT_BYTES;
	return true;
}

bool run_page_fault_user(unsigned n)
{
	uint64_t left;

	probe.on_user_trap = skip_fault;
	left = user_run(user_faults, n);
	probe.on_user_trap = NULL;
	return left == 0;
}

bool run_stack_switch(unsigned n)
{
	while (n--)
		HYPERCALL2(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, trap_stack_top);
	return true;
}

bool run_segment_base(unsigned n)
{
	while (n--)
		HYPERCALL2(__HYPERVISOR_set_segment_base, SEGBASE_FS, 0);
	return true;
}

bool run_store(unsigned n)
{
	char buf[32];

	while (n--)
		if (store_read("domid", buf, sizeof(buf)) < 0)
			return false;
	return true;
}
