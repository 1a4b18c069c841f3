/* SPDX-License-Identifier: MIT */
/*
 * KVM's hypercalls: number in rax, up to four arguments in rbx, rcx, rdx, rsi,
 * in both word sizes, the result in rax. That is not the convention of struct
 * gamut_hypercall in long mode, and an unknown number has another answer than
 * there: so all of them arrive as the fallback (host->hypercall_fallback).
 */
#include "dm/kvm/pv.h"

#include <errno.h>
#include <sched.h>

#include <linux/kvm_para.h>

enum { RCX = 1, RBX = 3 };          /* in gpr */
enum { LONG_RSI = 1, LONG_RDX = 2 }; /* in args, in long mode; else they are in order */

#define ICR_VECTOR 0xffu
#define ICR_MODE(icr) ((icr) >> 8 & 7)
#define ICR_LEVEL (1u << 15)
#define ICR_LOGICAL (1u << 11)
#define ICR_SHORTHAND (3u << 18)

struct args {
	uint64_t a[4];
	uint32_t bits; /* of a word */
};

static int get_args(const struct kvm_pv *p, const struct gamut_hypercall *call, struct args *args)
{
	struct gamut_vcpu_state s = { .size = sizeof(s) };

	if (!call->long_mode) {
		*args = (struct args){ { call->args[0], call->args[1], call->args[2], call->args[3] }, 32 };
		return 0;
	}
	if (p->host->vcpu_get(p->inst, call->vcpu, &s))
		return -KVM_EFAULT;
	*args = (struct args){ { s.gpr[RBX], s.gpr[RCX], call->args[LONG_RDX], call->args[LONG_RSI] }, 64 };
	return 0;
}

/* Who has that id in CPUID; NULL: nobody. */
static struct lapic *find(const struct kvm_pv *p, uint64_t id)
{
	uint64_t vcpu = id >> p->apics->id_shift;

	return vcpu < p->n && vcpu << p->apics->id_shift == id ? &p->apics->apic[vcpu] : NULL;
}

/* A halted vCPU goes on, or does not halt the next time; a1 is its APIC id. */
static int64_t kick(struct kvm_pv *p, const struct args *args)
{
	const struct lapic *a = find(p, args->a[1]);

	if (a)
		p->host->vcpu_unhalt(p->inst, a->vcpu);
	kvm_pv_count(p->kicks);
	return 0;
}

static int64_t send_to_map(struct kvm_pv *p, uint64_t map, uint64_t first, const struct apic_message *like)
{
	int64_t sent = 0;

	for (; map; map &= map - 1) {
		uint64_t id = first + (uint64_t)__builtin_ctzll(map);
		struct apic_message m = *like;

		if (id < first || !find(p, id))
			continue;
		m.dest = (uint32_t)id;
		sent += lapics_message(p->apics, &m) != APIC_NOBODY;
	}
	return sent;
}

/* a0 and a1 are a map of APIC ids from a2 on, a3 the ICR's low half; how many have got it. */
static int64_t send_ipi(struct kvm_pv *p, const struct args *args)
{
	uint64_t icr = args->a[3], first = (uint32_t)args->a[2];
	const struct apic_message like = {
		.vector = icr & ICR_VECTOR,
		.mode = ICR_MODE(icr),
		.level = icr & ICR_LEVEL,
		.wide = true,
	};

	if (icr & (ICR_LOGICAL | ICR_SHORTHAND))
		return -KVM_EINVAL;
	kvm_pv_count(p->ipis);
	return send_to_map(p, args->a[0], first, &like) + send_to_map(p, args->a[1], first + args->bits, &like);
}

/* The host has no way to give a processor to a certain thread, but to any other that waits. */
static int64_t yield(void)
{
	sched_yield();
	return 0;
}

static int64_t unknown(struct kvm_pv *p)
{
	kvm_pv_count(p->unknown);
	return -KVM_ENOSYS;
}

int64_t kvm_hypercall(void *opaque, struct gamut_hypercall *call)
{
	struct kvm_pv *p = opaque;
	struct args args;
	int rc;

	if (call->cpl)
		return -KVM_EPERM;
	/* An exit is all that it is for. */
	if (call->nr == KVM_HC_VAPIC_POLL_IRQ)
		return 0;
	if (!p->apics)
		return unknown(p);
	rc = get_args(p, call, &args);
	if (rc)
		return rc;
	switch (call->nr) {
	case KVM_HC_KICK_CPU:
		return kick(p, &args);
	case KVM_HC_SEND_IPI:
		return send_ipi(p, &args);
	case KVM_HC_SCHED_YIELD:
		return yield();
	default:
		return unknown(p);
	}
}
