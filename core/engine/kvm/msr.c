/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers: which of them KVM holds, which come out.
 *
 * KVM holds those that describe the processor, and an access to one that it
 * does not know comes out as an exit, for the core. Four kinds are taken from
 * KVM although it would answer:
 *
 *   those of the local APIC, while that is not in the kernel: without one,
 *   KVM would take writes and do nothing with them;
 *   0x40000000 and up, which KVM knows as Hyper-V's and others use otherwise;
 *   KVM's own paravirtual ones: its clock would go on while the domain is
 *   paused, and a guest that is not told of KVM is to find none of them;
 *   writes to the TSC, so that its offset is known to the threads that publish
 *   time: asking the kernel would wait for the vCPU to come out.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#define MSR_TSC 0x10u
#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_ADJUST 0x3bu
#define MSR_TSC_DEADLINE 0x6e0u
#define HYPERVISOR_FIRST 0x40000000u
#define HYPERVISOR_COUNT (KVM_HYPERVISOR_MSR_LAST - HYPERVISOR_FIRST + 1)
#define KVM_CLOCK_OLD 0x11u
#define KVM_FIRST 0x4b564d00u
#define KVM_COUNT 0x100u

/* Sent out for reading as well as writing, but for the TSC, which is read natively. */
enum { READ = KVM_MSR_FILTER_READ, WRITE = KVM_MSR_FILTER_WRITE };

static const struct {
	uint32_t first, count, flags;
	bool apic; /* the local APIC's: only while it is not in the kernel */
} taken[] = {
	{ MSR_TSC, 1, WRITE, false },
	{ MSR_TSC_ADJUST, 1, READ | WRITE, false },
	{ HYPERVISOR_FIRST, HYPERVISOR_COUNT, READ | WRITE, false },
	{ KVM_CLOCK_OLD, 2, READ | WRITE, false },
	{ KVM_FIRST, KVM_COUNT, READ | WRITE, false },
	{ MSR_APIC_BASE, 1, READ | WRITE, true },
	{ MSR_TSC_DEADLINE, 1, READ | WRITE, true },
};

#define N_TAKEN (sizeof(taken) / sizeof(taken[0]))
_Static_assert(N_TAKEN <= KVM_MSR_FILTER_MAX_RANGES, "ranges of the filter");

static int set_filter(struct engine_vm *vm)
{
	static uint8_t none[HYPERVISOR_COUNT / 8];
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	unsigned n = 0;

	for (unsigned i = 0; i < N_TAKEN; i++) {
		if (taken[i].apic && vm->irqchip)
			continue;
		filter.ranges[n++] = (struct kvm_msr_filter_range){
			.flags = taken[i].flags,
			.base = taken[i].first,
			.nmsrs = taken[i].count,
			.bitmap = none,
		};
	}
	return kvm_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
}

/* The list comes with the number that there is room for replaced by the number there are. */
static int read_list(struct engine_vm *vm)
{
	struct kvm_msr_list probe = { 0 }, *list;
	int r = kvm_ioctl(vm->kvm, KVM_GET_MSR_INDEX_LIST, &probe);

	if (r && r != -E2BIG)
		return r;
	list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	vm->msrs = calloc(probe.nmsrs + 1, sizeof(*vm->msrs));
	if (!list || !vm->msrs) {
		free(list);
		return -ENOMEM;
	}
	list->nmsrs = probe.nmsrs;
	r = kvm_ioctl(vm->kvm, KVM_GET_MSR_INDEX_LIST, list);
	for (uint32_t i = 0; i < list->nmsrs && !r; i++)
		if (list->indices[i] != MSR_TSC)
			vm->msrs[vm->n_msrs++] = list->indices[i];
	free(list);
	return r;
}

int kvm_msrs_init(struct engine_vm *vm)
{
	int r = kvm_vm_enable(vm, KVM_CAP_X86_USER_SPACE_MSR,
	                      KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER);

	if (!r)
		r = set_filter(vm);
	return r || vm->msrs ? r : read_list(vm);
}

/* ---- from the host's side --------------------------------------------------------- */

static int one(struct engine_vcpu *v, unsigned long request, struct kvm_msr_entry *entry)
{
	_Alignas(struct kvm_msrs) uint8_t room[sizeof(struct kvm_msrs) + sizeof(*entry)] = { 0 };
	struct kvm_msrs *m = (void *)room;
	int n;

	m->nmsrs = 1;
	m->entries[0] = *entry;
	n = kvm_ioctl(v->fd, request, m);
	if (n == 1)
		*entry = m->entries[0];
	return n == 1 ? 0 : n < 0 ? n : -EINVAL;
}

int kvm_msr_get(struct engine_vcpu *v, uint32_t index, uint64_t *value)
{
	struct kvm_msr_entry entry = { .index = index };
	int r = one(v, KVM_GET_MSRS, &entry);

	if (!r)
		*value = entry.data;
	return r;
}

int kvm_msr_set(struct engine_vcpu *v, uint32_t index, uint64_t value)
{
	struct kvm_msr_entry entry = { .index = index, .data = value };

	return one(v, KVM_SET_MSRS, &entry);
}

/* The kernel stops at the first that it refuses, and says how many it has done. */
static void many(struct engine_vcpu *v, unsigned long request, struct kvm_msr_entry *entries, uint32_t n)
{
	struct kvm_msrs *m = calloc(1, sizeof(*m) + n * sizeof(*entries));

	for (uint32_t at = 0; m && at < n;) {
		int done;

		m->nmsrs = n - at;
		memcpy(m->entries, entries + at, (n - at) * sizeof(*entries));
		done = kvm_ioctl(v->fd, request, m);
		if (done < 0)
			break;
		memcpy(entries + at, m->entries, (uint32_t)done * sizeof(*entries));
		at += (uint32_t)done;
		/* That one keeps the value it has in the list. */
		if (at < n)
			at++;
	}
	free(m);
}

void kvm_msrs_get(struct engine_vcpu *v, struct kvm_msr_entry *entries, uint32_t n)
{
	many(v, KVM_GET_MSRS, entries, n);
}

void kvm_msrs_set(struct engine_vcpu *v, const struct kvm_msr_entry *entries, uint32_t n)
{
	/* KVM_SET_MSRS only reads. */
	many(v, KVM_SET_MSRS, (struct kvm_msr_entry *)entries, n);
}

/* ---- the TSC ---------------------------------------------------------------------------- */

static int set_offset(struct engine_vcpu *v, uint64_t offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uint64_t)(uintptr_t)&offset,
	};
	int r = v->vm->features.tsc_offset ? kvm_ioctl(v->fd, KVM_SET_DEVICE_ATTR, &attr) :
	                                     kvm_msr_set(v, MSR_TSC, __rdtsc() + offset);

	if (!r)
		__atomic_store_n(&v->tsc_offset, offset, __ATOMIC_RELAXED);
	return r;
}

/* The guest's TSC is the host's: the same for all vCPUs, and no offset to be wrong by. */
int kvm_tsc_init(struct engine_vcpu *v)
{
	v->tsc_adjust = 0;
	return set_offset(v, 0);
}

/* A change of the counter shows in TSC_ADJUST, and the other way round. */
bool kvm_msr_own(struct engine_vcpu *v, uint32_t index, bool write, uint64_t *value)
{
	uint64_t delta;

	if (index != MSR_TSC_ADJUST && !(index == MSR_TSC && write))
		return false;
	if (!write) {
		*value = v->tsc_adjust;
		return true;
	}
	delta = index == MSR_TSC ? *value - (__rdtsc() + v->tsc_offset) : *value - v->tsc_adjust;
	if (!set_offset(v, v->tsc_offset + delta))
		v->tsc_adjust += delta;
	return true;
}
