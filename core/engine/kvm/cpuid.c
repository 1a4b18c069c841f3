/* SPDX-License-Identifier: MIT */
/*
 * The processor that the engine offers: what KVM supports, less what the rest
 * of Gamut has to say or does not do.
 *
 * Left out are leaves about the host's topology (each vCPU's own are set by
 * who models the APIC), performance counters, nested virtualization, secure
 * enclaves, and KVM's own leaves. Bits of the interrupt controller, its timer,
 * MTRR and the hypervisor bit are the plugins' to set. System features that
 * change how memory is reached (supervisor protection keys, address tags, shadow
 * stacks) are left out as well: guest memory is read on the guest's behalf by a
 * walk that does not know them (walk.c).
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };

#define BIT(n) (1u << (n))
#define ALL UINT32_MAX
#define ANY UINT32_MAX /* subleaf */
#define MAX_ENTRIES 512u

/* The leaves that are passed on, with the bits of each register that are. */
static const struct leaf {
	uint32_t leaf, subleaf;
	uint32_t keep[4];
} leaves[] = {
	{ 0x0, ANY, { ALL, ALL, ALL, ALL } },
	/* 1: CLFLUSH size; not MONITOR VMX EIST PDCM x2APIC TSC_DEADLINE HYPERVISOR; not MCE APIC MTRR MCA ACPI HTT */
	{ 0x1, ANY, { ALL, 0xff00, ~(BIT(3) | BIT(5) | BIT(7) | BIT(15) | BIT(21) | BIT(24) | BIT(27) | BIT(31)),
	              ~(BIT(7) | BIT(9) | BIT(12) | BIT(14) | BIT(22) | BIT(28)) } },
	{ 0x2, ANY, { ALL, ALL, ALL, ALL } },
	/* 4: caches, with one processor and core for each. */
	{ 0x4, ANY, { 0x3fff, ALL, ALL, ALL } },
	/* 7: not SGX PQM MPX PQE PT; not OSPKE (KVM's to set) CET_SS, bus lock, ENQCMD, SGX_LC, PKS;
	   not UINTR, hybrid, PCONFIG LBR IBT AMX */
	{ 0x7, 0, { ALL, ~(BIT(2) | BIT(12) | BIT(14) | BIT(15) | BIT(25)),
	            ~(BIT(4) | BIT(7) | BIT(24) | BIT(29) | BIT(30) | BIT(31)),
	            ~(BIT(5) | BIT(15) | BIT(18) | BIT(19) | BIT(20) | BIT(22) | BIT(24) | BIT(25)) } },
	/* 7.1: plain instructions: SHA512 SM3 SM4 AVX-VNNI BF16 CMPccXADD, fast strings, AVX-IFMA;
	   AVX-VNNI-INT8, NE-CONVERT, AVX-VNNI-INT16, PREFETCHI */
	{ 0x7, 1, { BIT(0) | BIT(1) | BIT(2) | BIT(4) | BIT(5) | BIT(7) | BIT(10) | BIT(11) | BIT(12) | BIT(23), 0, 0,
	            BIT(4) | BIT(5) | BIT(10) | BIT(14) } },
	/* 7.2: controls of speculation */
	{ 0x7, 2, { 0, 0, 0, ALL } },
	{ 0xd, ANY, { ALL, ALL, ALL, ALL } },
	{ 0x15, ANY, { ALL, ALL, ALL, ALL } },
	{ 0x16, ANY, { ALL, ALL, ALL, 0 } },
	{ 0x80000000, ANY, { ALL, ALL, ALL, ALL } },
	/* not CmpLegacy SVM ExtApic OSVW IBS SKINIT WDT LWP TopoExt perf counters MWAITX; not MCE APIC MTRR MCA */
	{ 0x80000001, ANY, { ALL, 0, ~(BIT(1) | BIT(2) | BIT(3) | BIT(9) | BIT(10) | BIT(12) | BIT(13) | BIT(15) | BIT(22) |
	                               BIT(23) | BIT(24) | BIT(28) | BIT(29)),
	                     ~(BIT(7) | BIT(9) | BIT(12) | BIT(14)) } },
	{ 0x80000002, ANY, { ALL, ALL, ALL, ALL } },
	{ 0x80000003, ANY, { ALL, ALL, ALL, ALL } },
	{ 0x80000004, ANY, { ALL, ALL, ALL, ALL } },
	{ 0x80000005, ANY, { ALL, ALL, ALL, ALL } },
	{ 0x80000006, ANY, { ALL, ALL, ALL, ALL } },
	{ 0x80000007, ANY, { 0, 0, 0, BIT(8) } },
	{ 0x80000008, ANY, { 0xffff, ALL, 0, 0 } },
	{ 0x80000021, ANY, { ALL, 0, ALL, 0 } },
};

/* Without the XCR0 components that go with what is left out: MPX, CET, AMX. */
#define XCR0_KEEP 0x2e7u

static const struct leaf *find_leaf(const struct kvm_cpuid_entry2 *e)
{
	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		if (leaves[i].leaf == e->function && (leaves[i].subleaf == ANY || leaves[i].subleaf == e->index))
			return &leaves[i];
	return NULL;
}

static bool component_kept(uint32_t subleaf)
{
	return subleaf < 2 || (subleaf < 32 && XCR0_KEEP >> subleaf & 1);
}

static bool convert(struct cpuid_entry *to, const struct kvm_cpuid_entry2 *from)
{
	const struct leaf *leaf = find_leaf(from);

	if (!leaf || (from->function == 0xd && !component_kept(from->index)))
		return false;
	to->leaf = from->function;
	to->subleaf = from->index;
	to->has_subleaf = from->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	to->regs[EAX] = from->eax & leaf->keep[EAX];
	to->regs[EBX] = from->ebx & leaf->keep[EBX];
	to->regs[ECX] = from->ecx & leaf->keep[ECX];
	to->regs[EDX] = from->edx & leaf->keep[EDX];
	if (from->function == 1)
		to->regs[EBX] |= 1u << 16; /* one logical processor */
	if (from->function == 0xd && from->index == 0) {
		to->regs[EAX] &= XCR0_KEEP;
		to->regs[EDX] = 0;
	}
	/* Supervisor components: what they are for is left out. */
	if (from->function == 0xd && from->index == 1)
		to->regs[ECX] = to->regs[EDX] = 0;
	return true;
}

/* The most that the kept components take, in the standard format. */
static void size_xsave(struct cpuid_entry *entries, uint32_t n)
{
	uint32_t size = 576;

	for (uint32_t i = 0; i < n; i++) {
		const struct cpuid_entry *e = &entries[i];

		if (e->leaf == 0xd && e->subleaf >= 2 && e->regs[EAX] + e->regs[EBX] > size)
			size = e->regs[EAX] + e->regs[EBX];
	}
	for (uint32_t i = 0; i < n; i++)
		if (entries[i].leaf == 0xd && entries[i].subleaf == 0)
			entries[i].regs[ECX] = size;
}

static struct kvm_cpuid2 *read_supported(int kvm)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + MAX_ENTRIES * sizeof(c->entries[0]));

	if (!c)
		return NULL;
	c->nent = MAX_ENTRIES;
	if (!kvm_ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c))
		return c;
	free(c);
	return NULL;
}

int kvm_cpuid_supported(struct engine_vm *vm, struct cpuid_entry **entries, uint32_t *n)
{
	struct kvm_cpuid2 *c = read_supported(vm->kvm);
	struct cpuid_entry *list = c ? calloc(c->nent + 1, sizeof(*list)) : NULL;

	*n = 0;
	if (!list) {
		free(c);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < c->nent; i++)
		*n += convert(&list[*n], &c->entries[i]);
	size_xsave(list, *n);
	free(c);
	*entries = list;
	return 0;
}

int kvm_cpuid_set(struct engine_vcpu *v, const struct cpuid_entry *entries, uint32_t n)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));
	int r;

	if (!c)
		return -ENOMEM;
	c->nent = n;
	for (uint32_t i = 0; i < n; i++) {
		const struct cpuid_entry *e = &entries[i];

		c->entries[i] = (struct kvm_cpuid_entry2){
			.function = e->leaf,
			.index = e->subleaf,
			.flags = e->has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = e->regs[EAX],
			.ebx = e->regs[EBX],
			.ecx = e->regs[ECX],
			.edx = e->regs[EDX],
		};
		if (e->leaf == 1)
			v->signature = e->regs[EAX];
	}
	r = kvm_ioctl(v->fd, KVM_SET_CPUID2, c);
	free(c);
	return r;
}
