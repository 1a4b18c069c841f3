/* SPDX-License-Identifier: MIT */
/* The kvm engine's face: struct engine_ops over the host's KVM. */
#include "engine/kvm/kvm.h"
#include "engine/kvm/paging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- probe --------------------------------------------------------------------- */

static bool probe(struct engine_caps *caps, char *why, unsigned why_len)
{
	struct kvm_features f;
	int kvm = kvm_open(&f, why, why_len), vm;

	if (kvm < 0)
		return false;
	vm = kvm_ioctl(kvm, KVM_CREATE_VM, NULL);
	close(kvm);
	if (vm < 0) {
		snprintf(why, why_len, "/dev/kvm makes no VM: %s", strerror(-vm));
		return false;
	}
	close(vm);
	*caps = (struct engine_caps){ .irqchip = f.irqchip, .max_vcpus = f.max_vcpus };
	kvm_paging("/sys", caps);
	return true;
}

/* ---- domain ---------------------------------------------------------------------- */

static void vm_destroy(struct engine_vm *vm)
{
	if (!vm)
		return;
	kvm_vm_close(vm);
	free(vm);
}

static int vm_create(struct engine_vm **out, struct mem *mem, const struct engine_config *config, char *err,
                     unsigned err_len)
{
	struct engine_vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return -ENOMEM;
	r = kvm_vm_open(vm, mem, config->vcpus, err, err_len);
	if (r) {
		vm_destroy(vm);
		return r;
	}
	*out = vm;
	return 0;
}

static void mem_changed(struct engine_vm *vm, uint64_t gpa, uint64_t len, bool remapped)
{
	/* What is written to memory is there: the processor sees to its own caches. */
	if (remapped)
		kvm_slots_changed(vm, gpa, len);
}

/* ---- vCPU ------------------------------------------------------------------------- */

static int cpuid_set(struct engine_vcpu *v, const struct cpuid_entry *entries, uint32_t n)
{
	v->vm->touched = true;
	return kvm_cpuid_set(v, entries, n);
}

static void vcpu_reset(struct engine_vcpu *v)
{
	v->tsc_adjust = 0;
	/* The signature that a processor shows in EDX is that of the CPUID it has by now. */
	v->power_on->regs.rdx = v->signature;
	kvm_set_state(v, v->power_on);
	if (v->index == 0)
		kvm_irqchip_reset(v->vm);
}

/* ---- running ------------------------------------------------------------------------ */

/* False when the core must look first, or nothing goes any more: *exit is filled. */
static bool ready(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	uint32_t attention;
	int r;

	kvm_vcpu_begin(v);
	attention = atomic_load(v->env.attention);
	if (attention & (ATTN_PAUSE | ATTN_STOP | ATTN_WAKE)) {
		exit->reason = EXIT_INTR;
		exit->rip = kvm_regs(v)->rip;
		return false;
	}
	kvm_cr8_in(v);
	r = kvm_irq_offer(v, attention);
	if (r)
		kvm_exit_error(v, exit, "giving an interrupt to KVM", r);
	return !r;
}

/* True when there is an exit in the shared page to be looked at. */
static bool entered(struct engine_vcpu *v, struct vcpu_exit *exit, bool *failed)
{
	int r;

	if (v->unseen) {
		v->unseen = false;
		return true;
	}
	r = kvm_enter(v);
	kvm_cr8_out(v);
	*failed = r && r != -EINTR && r != -EAGAIN;
	if (*failed)
		kvm_exit_error(v, exit, "KVM_RUN", r);
	return r == 0;
}

static void vcpu_run(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	bool failed = false;

	v->vm->touched = true;
	if (kvm_exit_answer(v, exit))
		return;
	while (!failed && ready(v, exit))
		if (entered(v, exit, &failed) && kvm_exit_fill(v, exit))
			return;
}

static int guest_copy(struct engine_vcpu *v, uint64_t va, void *buf, uint64_t len, bool write)
{
	return kvm_guest_copy(v, va, buf, len, write ? KVM_COPY_WRITE : 0);
}

static uint64_t tsc_offset(struct engine_vcpu *v)
{
	return __atomic_load_n(&v->tsc_offset, __ATOMIC_RELAXED);
}

static uint32_t stats(struct engine_vm *vm, struct engine_stat *s, uint32_t n)
{
	struct engine_stat all[] = {
		{ "entries", 0 },        { "interrupts", 0 },  { "interrupt_windows", 0 },
		{ "nmis", 0 },           { "settles", 0 },     { "memory_slots", vm->slots.n },
		{ "slots_refused", vm->slots.refused },
	};
	uint32_t have = sizeof(all) / sizeof(all[0]);

	for (uint32_t i = 0; i < vm->n_vcpus; i++) {
		const struct engine_vcpu *v = vm->vcpu[i];

		if (!v)
			continue;
		all[0].value += v->n_entry;
		all[1].value += v->n_interrupt;
		all[2].value += v->n_window;
		all[3].value += v->n_nmi;
		all[4].value += v->n_settle;
	}
	for (uint32_t i = 0; i < have && i < n; i++)
		s[i] = all[i];
	return have;
}

const struct engine_ops engine_kvm = {
	.name = "kvm",
	.description = "the host's KVM; needs hardware virtualization",
	.probe = probe,
	.vm_create = vm_create,
	.vm_destroy = vm_destroy,
	.vcpu_create = kvm_vcpu_open,
	.vcpu_destroy = kvm_vcpu_close,
	.cpuid_supported = kvm_cpuid_supported,
	.cpuid_set = cpuid_set,
	.vcpu_reset = vcpu_reset,
	.vcpu_get = kvm_regs_get,
	.vcpu_set = kvm_regs_set,
	.vcpu_run = vcpu_run,
	.vcpu_kick = kvm_kick,
	.guest_copy = guest_copy,
	.mem_changed = mem_changed,
	.tsc_offset = tsc_offset,
	.stats = stats,
	.hypercall_insn = kvm_hypercall_insn,
	.hypercalls = kvm_hypercalls,
	.irqchip_create = kvm_irqchip_create,
	.irqchip_line = kvm_irqchip_line,
	.irqchip_msi = kvm_irqchip_msi,
	.irqchip_route = kvm_irqchip_route,
};
