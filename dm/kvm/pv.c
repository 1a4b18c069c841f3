/* SPDX-License-Identifier: MIT */
#include "dm/kvm/pv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <asm/kvm_para.h>

#include "gamut/plugin.h"

#define ALL_VCPUS UINT32_MAX
#define CR0_PG (1u << 31)
#define CPUID1_ECX_HYPERVISOR (1u << 31)
#define BIT(feature) (1u << (feature))

/* ---- MSRs ---- */

static int msr_read(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t *value)
{
	struct kvm_pv *p = opaque;
	struct kvm_pv_vcpu *v = &p->vcpu[vcpu];

	pthread_mutex_lock(&v->lock);
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*value = __atomic_load_n(&p->wall_clock, __ATOMIC_RELAXED);
		break;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*value = v->clock;
		break;
	case MSR_KVM_STEAL_TIME:
		*value = v->steal;
		break;
	default:
		*value = lapic_pv_eoi_value(p->apics, vcpu);
		break;
	}
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int write_locked(struct kvm_pv *p, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	struct kvm_pv_vcpu *v = &p->vcpu[vcpu];

	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		__atomic_store_n(&p->wall_clock, value, __ATOMIC_RELAXED);
		kvm_wall_clock(p, value);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		kvm_clock_set(v, vcpu, value);
		return 0;
	default:
		return kvm_steal_set(v, vcpu, value);
	}
}

/*
 * SeaBIOS has KVM's clock on the boot processor tell how fast the TSC is, and
 * leaves it registered: that says nothing of the guest. Unlike an operating
 * system it does not page.
 */
static bool by_firmware(const struct kvm_pv *p, uint32_t vcpu)
{
	struct gamut_vcpu_state state = { .size = sizeof(state) };

	return !p->host->vcpu_get(p->inst, vcpu, &state) && !(state.cr0 & CR0_PG);
}

static bool is_clock(uint32_t msr)
{
	return msr == MSR_KVM_SYSTEM_TIME || msr == MSR_KVM_SYSTEM_TIME_NEW;
}

static int msr_write(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	struct kvm_pv *p = opaque;
	int rc;

	/* An end of interrupt goes to other chips, and that with no lock held. */
	if (msr == MSR_KVM_PV_EOI_EN)
		return lapic_pv_eoi(p->apics, vcpu, value);
	if (is_clock(msr) && value & KVM_MSR_ENABLED && !by_firmware(p, vcpu))
		kvm_pv_count(p->clocks);
	pthread_mutex_lock(&p->vcpu[vcpu].lock);
	rc = write_locked(p, vcpu, msr, value);
	pthread_mutex_unlock(&p->vcpu[vcpu].lock);
	return rc;
}

static const struct gamut_msr_ops msr_ops = { .size = sizeof(msr_ops), .read = msr_read, .write = msr_write };

static int register_msrs(struct kvm_pv *p)
{
	int rc = p->host->msr_register(p->inst, MSR_KVM_WALL_CLOCK, 2, &msr_ops, p);

	if (!rc)
		rc = p->host->msr_register(p->inst, MSR_KVM_WALL_CLOCK_NEW, 2, &msr_ops, p);
	/* Steal time and PV EOI. */
	return rc || !p->apics ? rc : p->host->msr_register(p->inst, MSR_KVM_STEAL_TIME, 2, &msr_ops, p);
}

/* ---- CPUID ---- */

static uint32_t features(const struct kvm_pv *p)
{
	uint32_t set = BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_NOP_IO_DELAY) |
	               BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);

	if (p->apics)
		set |= BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_EOI);
	if (p->apics && p->hypercalls)
		set |= BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) | BIT(KVM_FEATURE_PV_SCHED_YIELD);
	return set;
}

static int set_cpuid(const struct kvm_pv *p)
{
	static const uint32_t none[4] = { 0 }, present[4] = { 0, 0, CPUID1_ECX_HYPERVISOR, 0 };
	const uint32_t leaf[4] = { features(p), 0, 0, 0 };
	uint32_t signature[4] = { KVM_CPUID_FEATURES };
	int rc;

	memcpy(&signature[1], KVM_SIGNATURE, 12);
	rc = p->host->cpuid_mask(p->inst, ALL_VCPUS, 1, 0, none, present);
	if (!rc)
		rc = p->host->cpuid_set(p->inst, ALL_VCPUS, KVM_CPUID_SIGNATURE, 0, signature);
	return rc ? rc : p->host->cpuid_set(p->inst, ALL_VCPUS, KVM_CPUID_FEATURES, 0, leaf);
}

/* ---- what the local APICs tell of ---- */

/* On the vCPU's thread, with every interrupt that it takes. */
static void taken(void *opaque, uint32_t vcpu)
{
	struct kvm_pv *p = opaque;
	struct kvm_pv_vcpu *v = &p->vcpu[vcpu];
	uint64_t now = p->host->time_now(p->inst);

	if (now - __atomic_load_n(&v->looked, __ATOMIC_RELAXED) < KVM_STEAL_AGE_NS)
		return;
	__atomic_store_n(&v->looked, now, __ATOMIC_RELAXED);
	pthread_mutex_lock(&v->lock);
	kvm_clock_refresh(v, vcpu);
	kvm_steal_write(v, vcpu);
	pthread_mutex_unlock(&v->lock);
}

static void forget(struct kvm_pv_vcpu *v)
{
	pthread_mutex_lock(&v->lock);
	v->clock = v->steal = 0;
	pthread_mutex_unlock(&v->lock);
}

/* INIT: who comes up again does not know of what was registered before him. */
static void cleared(void *opaque, uint32_t vcpu)
{
	forget(&((struct kvm_pv *)opaque)->vcpu[vcpu]);
}

/* ---- life cycle ---- */

static void make_signs(struct kvm_pv *p)
{
	const struct gamut_host *host = p->host;

	p->clocks = host->sign(p->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "kvmclock registered");
	p->steals = host->sign(p->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "steal time");
	p->eois = host->sign(p->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "PV EOI");
	p->ipis = host->sign(p->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "PV IPIs");
	p->kicks = host->sign(p->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "PV kicks");
	p->unknown = host->counter(p->inst, "kvm-hypercalls-unknown");
}

int kvm_pv_init(struct kvm_pv *p, const struct gamut_host *host, struct gamut_inst *inst, struct lapics *apics)
{
	*p = (struct kvm_pv){ .host = host, .inst = inst, .apics = apics, .n = host->vcpu_count(inst) };
	p->vcpu = calloc(p->n, sizeof(*p->vcpu));
	if (!p->vcpu)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n; i++) {
		p->vcpu[i].pv = p;
		pthread_mutex_init(&p->vcpu[i].lock, NULL);
	}
	make_signs(p);
	return 0;
}

void kvm_pv_finish(struct kvm_pv *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		pthread_mutex_destroy(&p->vcpu[i].lock);
	free(p->vcpu);
}

static bool register_hypercalls(struct kvm_pv *p)
{
	const struct gamut_host *host = p->host;

	return GAMUT_HAS(host, struct gamut_host, vcpu_unhalt) && host->hypercall_fallback && host->vcpu_unhalt &&
	       !host->hypercall_fallback(p->inst, kvm_hypercall, p);
}

int kvm_pv_register(struct kvm_pv *p)
{
	int rc = register_msrs(p);

	if (rc)
		return rc;
	p->hypercalls = register_hypercalls(p);
	if (p->apics) {
		p->apics->taken = taken;
		p->apics->cleared = cleared;
		p->apics->taken_opaque = p->apics->cleared_opaque = p;
		p->apics->pv_eois = p->eois;
	}
	return set_cpuid(p);
}

void kvm_pv_resume(struct kvm_pv *p)
{
	for (uint32_t i = 0; i < p->n; i++) {
		pthread_mutex_lock(&p->vcpu[i].lock);
		kvm_clock_write(&p->vcpu[i], i, true);
		pthread_mutex_unlock(&p->vcpu[i].lock);
	}
}

void kvm_pv_reset(struct kvm_pv *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		forget(&p->vcpu[i]);
	p->wall_clock = 0;
}
