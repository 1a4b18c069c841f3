/* SPDX-License-Identifier: MIT */
/*
 * From KVM's exits to struct vcpu_exit, and the answers back.
 *
 * One exit of KVM may be several of ours: an MMIO access that crosses a page
 * comes in parts of any length. v->done counts what has been handed out; the
 * guest is entered again when all of it is answered. A string instruction on a
 * port comes with up to a page of elements, and so it goes out.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- errors -------------------------------------------------------------------- */

void kvm_exit_error(struct engine_vcpu *v, struct vcpu_exit *exit, const char *what, int error)
{
	exit->reason = EXIT_ERROR;
	exit->rip = kvm_regs(v)->rip;
	snprintf(exit->error.text, sizeof(exit->error.text), "%s: %s", what, strerror(-error));
}

/* The bytes of the instruction that could not be emulated, where they are told. */
static void emulation_text(struct engine_vcpu *v, char *text, size_t len)
{
	const struct kvm_run *run = v->run;
	unsigned n = 0;
	int at;

	at = snprintf(text, len, "KVM cannot emulate the instruction");
	if (run->emulation_failure.ndata >= 3 &&
	    run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)
		n = run->emulation_failure.insn_size;
	if (n > sizeof(run->emulation_failure.insn_bytes))
		n = sizeof(run->emulation_failure.insn_bytes);
	for (unsigned i = 0; i < n; i++)
		at += snprintf(text + at, len - (size_t)at, " %02x", run->emulation_failure.insn_bytes[i]);
}

/* The instruction is in no memory. */
static bool fetch_fails(struct engine_vcpu *v)
{
	uint64_t rip = kvm_regs(v)->rip;
	uint8_t byte;

	if (!kvm_code64(v))
		rip = (uint32_t)(kvm_sregs(v)->cs.base + rip);
	return kvm_guest_copy(v, rip, &byte, 1, KVM_COPY_FETCH) != 0;
}

/* Where nothing is, a processor reads all ones, which is no instruction. The kernel reads nothing there. */
static bool undefined_in_a_hole(struct engine_vcpu *v)
{
	if (v->run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION || !fetch_fails(v))
		return false;
	v->owed = KVM_OWES_NOTHING;
	return kvm_raise(v, 6) == 0;
}

static bool on_internal_error(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	static const char *const names[] = {
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "exceptions of which one must not come on top of the other",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] = "an exit while an event was being delivered",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "an exit of the processor that it does not expect",
	};
	const struct kvm_run *run = v->run;
	uint32_t sub = run->internal.suberror;
	const char *name = sub < sizeof(names) / sizeof(names[0]) ? names[sub] : NULL;

	if (undefined_in_a_hole(v))
		return false;
	exit->reason = EXIT_ERROR;
	exit->rip = kvm_regs(v)->rip;
	if (sub == KVM_INTERNAL_ERROR_EMULATION)
		emulation_text(v, exit->error.text, sizeof(exit->error.text));
	else
		snprintf(exit->error.text, sizeof(exit->error.text), "KVM met %s (internal error %u, 0x%llx 0x%llx)",
		         name ? name : "what it has no name for", sub,
		         run->internal.ndata > 0 ? (unsigned long long)run->internal.data[0] : 0,
		         run->internal.ndata > 1 ? (unsigned long long)run->internal.data[1] : 0);
	return true;
}

static bool on_fail_entry(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	exit->reason = EXIT_ERROR;
	exit->rip = kvm_regs(v)->rip;
	snprintf(exit->error.text, sizeof(exit->error.text),
	         "the processor does not enter the guest, hardware reason 0x%llx: its state is not one that can be",
	         (unsigned long long)v->run->fail_entry.hardware_entry_failure_reason);
	return true;
}

static bool on_exception(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	exit->reason = EXIT_ERROR;
	exit->rip = kvm_regs(v)->rip;
	snprintf(exit->error.text, sizeof(exit->error.text), "KVM hands out exception %u, error code 0x%x",
	         v->run->ex.exception, v->run->ex.error_code);
	return true;
}

static bool on_system_event(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	exit->reason = EXIT_ERROR;
	exit->rip = kvm_regs(v)->rip;
	snprintf(exit->error.text, sizeof(exit->error.text), "KVM reports system event %u", v->run->system_event.type);
	return true;
}

static bool on_unknown(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	exit->reason = EXIT_ERROR;
	exit->rip = kvm_regs(v)->rip;
	snprintf(exit->error.text, sizeof(exit->error.text), "KVM's exit %u is not known, 0x%llx", v->run->exit_reason,
	         (unsigned long long)v->run->hw.hardware_exit_reason);
	return true;
}

/* ---- ports ------------------------------------------------------------------------- */

static void *port_data(struct engine_vcpu *v)
{
	return (uint8_t *)v->run + v->run->io.data_offset;
}

static bool on_io(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	const struct kvm_run *run = v->run;

	if (kvm_hypercall_exit(v, exit))
		return true;
	exit->reason = EXIT_PIO;
	exit->rip = kvm_regs(v)->rip;
	exit->pio.port = run->io.port;
	exit->pio.width = run->io.size;
	exit->pio.write = run->io.direction == KVM_EXIT_IO_OUT;
	exit->pio.data = 0;
	exit->pio.count = run->io.count;
	exit->pio.buf = port_data(v);
	if (exit->pio.write && run->io.count == 1)
		memcpy(&exit->pio.data, port_data(v), run->io.size);
	return true;
}

static void answer_io(struct engine_vcpu *v, const struct vcpu_exit *exit)
{
	if (!exit->pio.write && v->run->io.count == 1)
		memcpy(port_data(v), &exit->pio.data, v->run->io.size);
}

/* ---- MMIO --------------------------------------------------------------------------- */

/* The next part of an access of any length: widths are powers of two. */
static uint8_t mmio_width(uint32_t left)
{
	uint8_t width = 8;

	while (width > left)
		width /= 2;
	return width;
}

static bool on_mmio(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	const struct kvm_run *run = v->run;

	exit->reason = EXIT_MMIO;
	exit->rip = kvm_regs(v)->rip;
	exit->mmio.gpa = run->mmio.phys_addr + v->done;
	exit->mmio.width = mmio_width(run->mmio.len - v->done);
	exit->mmio.write = run->mmio.is_write;
	exit->mmio.data = 0;
	if (exit->mmio.write)
		memcpy(&exit->mmio.data, run->mmio.data + v->done, exit->mmio.width);
	return true;
}

static bool answer_mmio(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	if (!exit->mmio.write)
		memcpy(v->run->mmio.data + v->done, &exit->mmio.data, exit->mmio.width);
	v->done += exit->mmio.width;
	return v->done < v->run->mmio.len && on_mmio(v, exit);
}

/* ---- MSRs --------------------------------------------------------------------------- */

static bool on_msr(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	struct kvm_run *run = v->run;
	bool write = run->exit_reason == KVM_EXIT_X86_WRMSR;
	uint64_t value = run->msr.data;

	run->msr.error = 0;
	if (kvm_msr_own(v, run->msr.index, write, &value)) {
		run->msr.data = value;
		v->owed = KVM_OWES_ENTRY;
		return false;
	}
	exit->reason = write ? EXIT_WRMSR : EXIT_RDMSR;
	exit->rip = kvm_regs(v)->rip;
	exit->msr.index = run->msr.index;
	exit->msr.value = write ? value : 0;
	exit->msr.fault = false;
	return true;
}

#define MSR_APIC_BASE 0x1bu

/* APIC_BASE is the APIC's, which is not in the kernel; a copy of what was accepted is, for CPUID. */
static bool answer_msr(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	v->run->msr.error = exit->msr.fault;
	if (exit->reason == EXIT_RDMSR)
		v->run->msr.data = exit->msr.value;
	if (exit->reason == EXIT_WRMSR && exit->msr.index == MSR_APIC_BASE && !exit->msr.fault) {
		kvm_sregs(v)->apic_base = exit->msr.value;
		kvm_touch(v, KVM_SYNC_X86_SREGS);
	}
	return false;
}

/* ---- the others -------------------------------------------------------------------------- */

static bool on_xen(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	return kvm_hypercall_exit(v, exit) || on_unknown(v, exit);
}

static bool answer_hypercall(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	int r = kvm_hypercall_complete(v, exit);

	if (r)
		kvm_exit_error(v, exit, "finishing a hypercall", r);
	return r != 0;
}

static bool on_plain(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	exit->reason = v->run->exit_reason == KVM_EXIT_HLT ? EXIT_HLT : EXIT_SHUTDOWN;
	exit->rip = kvm_regs(v)->rip;
	return true;
}

/* Nothing of the core's: attention is looked at before every entry. */
static bool on_nothing(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	(void)exit;
	v->n_window += v->run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN;
	return false;
}

static bool on_eoi(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	(void)exit;
	if (v->vm->eoi)
		v->vm->eoi(v->vm->eoi_opaque, v->run->eoi.vector);
	return false;
}

static bool (*const handlers[])(struct engine_vcpu *v, struct vcpu_exit *exit) = {
	[KVM_EXIT_EXCEPTION] = on_exception,
	[KVM_EXIT_IO] = on_io,
	[KVM_EXIT_HLT] = on_plain,
	[KVM_EXIT_MMIO] = on_mmio,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = on_nothing,
	[KVM_EXIT_SHUTDOWN] = on_plain,
	[KVM_EXIT_FAIL_ENTRY] = on_fail_entry,
	[KVM_EXIT_INTR] = on_nothing,
	[KVM_EXIT_SET_TPR] = on_nothing,
	[KVM_EXIT_NMI] = on_nothing,
	[KVM_EXIT_INTERNAL_ERROR] = on_internal_error,
	[KVM_EXIT_SYSTEM_EVENT] = on_system_event,
	[KVM_EXIT_IOAPIC_EOI] = on_eoi,
	[KVM_EXIT_X86_RDMSR] = on_msr,
	[KVM_EXIT_X86_WRMSR] = on_msr,
	[KVM_EXIT_XEN] = on_xen,
};

bool kvm_exit_fill(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	uint32_t reason = v->run->exit_reason;

	v->done = 0;
	v->owed = KVM_OWES_ANSWER;
	if (reason >= sizeof(handlers) / sizeof(handlers[0]) || !handlers[reason])
		return on_unknown(v, exit);
	return handlers[reason](v, exit);
}

bool kvm_exit_answer(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	bool more = false;

	if (v->owed != KVM_OWES_ANSWER)
		return false;
	if (v->hypercall)
		return answer_hypercall(v, exit);
	if (v->run->exit_reason == KVM_EXIT_IO)
		answer_io(v, exit);
	else if (v->run->exit_reason == KVM_EXIT_MMIO)
		more = answer_mmio(v, exit);
	else if (v->run->exit_reason == KVM_EXIT_X86_RDMSR || v->run->exit_reason == KVM_EXIT_X86_WRMSR)
		more = answer_msr(v, exit);
	if (!more)
		v->owed = KVM_OWES_ENTRY;
	return more;
}
