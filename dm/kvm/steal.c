/* SPDX-License-Identifier: MIT */
/*
 * Steal time: how long a vCPU wanted to run and did not, as the host accounts
 * for it (host->vcpu_times). It is told when the vCPU takes an interrupt, which
 * a guest that keeps accounts does with every tick.
 */
#include "dm/kvm/pv.h"

#include <errno.h>

#include <asm/kvm_para.h>

enum { RUNNABLE = 1 }; /* in vcpu_times */

/* It lies in one page: its address is a multiple of its size. */
static struct kvm_steal_time *get(const struct kvm_pv *p, uint64_t value)
{
	return p->host->mem_get(p->inst, value & KVM_STEAL_VALID_BITS, sizeof(struct kvm_steal_time));
}

static uint64_t runnable(const struct kvm_pv *p, uint32_t vcpu)
{
	uint64_t ns[4];

	p->host->vcpu_times(p->inst, vcpu, ns);
	return ns[RUNNABLE];
}

/* The time never goes back, though what it is the difference of may, by a little. */
static void update(struct kvm_pv_vcpu *v, uint32_t vcpu)
{
	uint64_t now = runnable(v->pv, vcpu);

	if (now > v->stolen_before && now - v->stolen_before > v->stolen)
		v->stolen = now - v->stolen_before;
}

void kvm_steal_write(struct kvm_pv_vcpu *v, uint32_t vcpu)
{
	const struct kvm_pv *p = v->pv;
	struct kvm_steal_time *to = v->steal & KVM_MSR_ENABLED ? get(p, v->steal) : NULL;
	uint32_t version;

	if (!to)
		return;
	update(v, vcpu);
	version = (__atomic_load_n(&to->version, __ATOMIC_RELAXED) | 1) + 1;
	__atomic_store_n(&to->version, version - 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&to->steal, v->stolen, __ATOMIC_RELAXED);
	__atomic_store_n(&to->flags, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&to->version, version, __ATOMIC_SEQ_CST);
	p->host->mem_put(p->inst, to, sizeof(*to));
	p->host->mem_dirty(p->inst, v->steal & KVM_STEAL_VALID_BITS, sizeof(*to));
}

int kvm_steal_set(struct kvm_pv_vcpu *v, uint32_t vcpu, uint64_t value)
{
	if (value & KVM_STEAL_RESERVED_MASK)
		return -EPERM;
	v->steal = value;
	if (!(value & KVM_MSR_ENABLED))
		return 0;
	/* What was before is not counted, as there was no account of it. */
	v->stolen = 0;
	v->stolen_before = runnable(v->pv, vcpu);
	kvm_pv_count(v->pv->steals);
	kvm_steal_write(v, vcpu);
	return 0;
}
