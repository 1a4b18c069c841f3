/* SPDX-License-Identifier: MIT */
/*
 * All of a vCPU, as KVM's own structures. The power-on state is what the
 * kernel gives a new vCPU, kept and put back at every reset: whatever state a
 * host's KVM knows of is covered, without a list of ours.
 */
#include "engine/kvm/kvm.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XSAVE_PKRU 9      /* the component */
#define XSAVE_PRESENT 512 /* the offset of XSTATE_BV */

struct kvm_state *kvm_state_create(const struct engine_vm *vm)
{
	struct kvm_state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->xsave = calloc(1, vm->features.xsave_size);
	s->msrs = calloc(1, sizeof(*s->msrs) + vm->n_msrs * sizeof(s->msrs->entries[0]));
	if (!s->xsave || !s->msrs) {
		kvm_state_destroy(s);
		return NULL;
	}
	s->msrs->nmsrs = vm->n_msrs;
	for (uint32_t i = 0; i < vm->n_msrs; i++)
		s->msrs->entries[i].index = vm->msrs[i];
	return s;
}

void kvm_state_destroy(struct kvm_state *s)
{
	if (!s)
		return;
	free(s->xsave);
	free(s->msrs);
	free(s);
}

/* The ioctls of the parts that are a struct each. */
static const struct part {
	size_t offset;
	unsigned long get, set;
} parts[] = {
	{ offsetof(struct kvm_state, xcrs), KVM_GET_XCRS, KVM_SET_XCRS },
	{ offsetof(struct kvm_state, events), KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS },
	{ offsetof(struct kvm_state, mp), KVM_GET_MP_STATE, KVM_SET_MP_STATE },
	{ offsetof(struct kvm_state, debug), KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS },
};

/* After the MSRs, of which APIC_BASE is one. */
static const struct part apic_part = { offsetof(struct kvm_state, apic), KVM_GET_LAPIC, KVM_SET_LAPIC };

#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

static int get_xsave(struct engine_vcpu *v, struct kvm_xsave *area)
{
	bool large = v->vm->features.xsave_size > sizeof(struct kvm_xsave);

	return kvm_ioctl(v->fd, large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area);
}

uint32_t kvm_pkru(struct engine_vcpu *v)
{
	struct kvm_xsave *area = calloc(1, v->vm->features.xsave_size);
	uint32_t a, at = 0, c, d, pkru = UINT32_MAX;
	uint64_t present;

	__get_cpuid_count(0xd, XSAVE_PKRU, &a, &at, &c, &d);
	if (area && at && at <= v->vm->features.xsave_size - sizeof(pkru) && !get_xsave(v, area)) {
		memcpy(&present, (const char *)area + XSAVE_PRESENT, sizeof(present));
		memcpy(&pkru, (const char *)area + at, sizeof(pkru));
		pkru = present >> XSAVE_PKRU & 1 ? pkru : 0;
	}
	free(area);
	return pkru;
}

int kvm_get_state(struct engine_vcpu *v, struct kvm_state *s)
{
	int r = kvm_settle(v);

	if (!r)
		r = get_xsave(v, s->xsave);
	for (unsigned i = 0; i < N_PARTS && !r; i++)
		r = kvm_ioctl(v->fd, parts[i].get, (char *)s + parts[i].offset);
	if (!r && v->vm->irqchip)
		r = kvm_ioctl(v->fd, apic_part.get, &s->apic);
	if (r)
		return r;
	s->regs = *kvm_regs(v);
	s->sregs = *kvm_sregs(v);
	kvm_msrs_get(v, s->msrs->entries, s->msrs->nmsrs);
	return 0;
}

static int set_registers(struct engine_vcpu *v, const struct kvm_state *s)
{
	*kvm_sregs(v) = s->sregs;
	*kvm_regs(v) = s->regs;
	v->run->kvm_dirty_regs = 0;
	v->run->cr8 = s->sregs.cr8;
	v->run->ready_for_interrupt_injection = 0;
	if (kvm_ioctl(v->fd, KVM_SET_SREGS, kvm_sregs(v)))
		return -EINVAL;
	return kvm_ioctl(v->fd, KVM_SET_REGS, kvm_regs(v));
}

int kvm_set_state(struct engine_vcpu *v, const struct kvm_state *s)
{
	int r = kvm_abandon(v);

	if (!r)
		r = set_registers(v, s);
	if (!r)
		r = kvm_ioctl(v->fd, KVM_SET_XSAVE, s->xsave);
	if (!r)
		kvm_msrs_set(v, s->msrs->entries, s->msrs->nmsrs);
	if (!r && v->vm->irqchip)
		r = kvm_ioctl(v->fd, apic_part.set, (void *)(uintptr_t)&s->apic);
	for (unsigned i = 0; i < N_PARTS && !r; i++)
		r = kvm_ioctl(v->fd, parts[i].set, (char *)s + parts[i].offset);
	return r;
}
