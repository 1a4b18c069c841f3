/* SPDX-License-Identifier: MIT */
/* KVM's clock: a pvclock record for each vCPU, where the guest wants it, and the wall clock when it asks. */
#include "dm/clock/pvclock.h"
#include "dm/kvm/pv.h"

#include <asm/kvm_para.h>

#define NS 1000000000ull

struct wall_clock {
	uint32_t version, sec, nsec;
};

/* The record's place, a multiple of 4; NULL: there is no memory, and nothing is written, as on KVM. */
static struct pvclock *get(const struct kvm_pv *p, uint64_t gpa)
{
	return gpa % 4 ? NULL : p->host->mem_get(p->inst, gpa, sizeof(struct pvclock));
}

/* The one after whatever the guest has there, even. */
static uint32_t next_version(const uint32_t *version)
{
	return (__atomic_load_n(version, __ATOMIC_RELAXED) | 1) + 1;
}

/* The guest takes the flag "stopped" back by itself, and until then it stays. */
void kvm_clock_write(struct kvm_pv_vcpu *v, uint32_t vcpu, bool stopped)
{
	const struct kvm_pv *p = v->pv;
	uint64_t gpa = v->clock & ~(uint64_t)KVM_MSR_ENABLED;
	struct pvclock *to, clock;

	if (!(v->clock & KVM_MSR_ENABLED))
		return;
	to = get(p, gpa);
	if (!to)
		return;
	pvclock_make(p->host, p->inst, vcpu, &clock);
	v->tsc_base = clock.tsc_timestamp;
	clock.flags |= stopped ? PVCLOCK_STOPPED : __atomic_load_n(&to->flags, __ATOMIC_RELAXED) & PVCLOCK_STOPPED;
	pvclock_publish(to, &clock, next_version(&to->version));
	p->host->mem_put(p->inst, to, sizeof(*to));
	p->host->mem_dirty(p->inst, gpa, sizeof(*to));
}

void kvm_clock_refresh(struct kvm_pv_vcpu *v, uint32_t vcpu)
{
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;

	if (!(v->clock & KVM_MSR_ENABLED))
		return;
	v->pv->host->time_scale(v->pv->inst, vcpu, &tsc, &ns, &mul, &shift);
	if (tsc != v->tsc_base)
		kvm_clock_write(v, vcpu, false);
}

void kvm_clock_set(struct kvm_pv_vcpu *v, uint32_t vcpu, uint64_t value)
{
	v->clock = value;
	if (!(value & KVM_MSR_ENABLED))
		return;
	kvm_clock_write(v, vcpu, false);
}

/* Any vCPU writes the register, and two at a time write the same. */
void kvm_wall_clock(struct kvm_pv *p, uint64_t gpa)
{
	uint64_t boot = pvclock_boot_time(p->host, p->inst);
	struct wall_clock *to = gpa && gpa % 4 == 0 ? p->host->mem_get(p->inst, gpa, sizeof(*to)) : NULL;
	uint32_t version;

	if (!to)
		return;
	version = next_version(&to->version);
	__atomic_store_n(&to->version, version - 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&to->sec, (uint32_t)(boot / NS), __ATOMIC_RELAXED);
	__atomic_store_n(&to->nsec, (uint32_t)(boot % NS), __ATOMIC_RELAXED);
	__atomic_store_n(&to->version, version, __ATOMIC_SEQ_CST);
	p->host->mem_put(p->inst, to, sizeof(*to));
	p->host->mem_dirty(p->inst, gpa, sizeof(*to));
}
