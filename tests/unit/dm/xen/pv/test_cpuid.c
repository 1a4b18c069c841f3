/* SPDX-License-Identifier: MIT */
#include "trap-rig.h"

#include <xen/arch-x86/cpufeatureset.h>

enum { EAX, EBX, ECX, EDX };

/* All that is cleared and set of a leaf, over all masks. */
static void masks(const struct rig *r, uint32_t leaf, uint32_t subleaf, uint32_t clear[4], uint32_t set[4])
{
	memset(clear, 0, 16);
	memset(set, 0, 16);
	for (uint32_t i = 0; i < r->f->n_cpuid; i++) {
		const struct host_fake_cpuid *c = &r->f->cpuid[i];

		if (!c->mask || c->leaf != leaf || c->subleaf != subleaf)
			continue;
		assert_int_equal(c->vcpu, UINT32_MAX);
		for (int k = 0; k < 4; k++) {
			clear[k] |= c->clear[k];
			set[k] |= c->regs[k];
		}
	}
}

static bool hidden(const struct rig *r, uint32_t leaf, uint32_t subleaf, int reg, uint32_t feature)
{
	uint32_t clear[4], set[4];

	masks(r, leaf, subleaf, clear, set);
	return clear[reg] >> feature % 32 & 1;
}

#define HIDDEN(leaf, sub, reg, name) assert_true(hidden(r, leaf, sub, reg, XEN_X86_FEATURE_##name))
#define SEEN(leaf, sub, reg, name) assert_false(hidden(r, leaf, sub, reg, XEN_X86_FEATURE_##name))

static void what_needs_ring_0_is_hidden(void **state)
{
	struct rig *r = *state;

	HIDDEN(1, 0, EDX, VME);
	HIDDEN(1, 0, EDX, PSE);
	HIDDEN(1, 0, EDX, PGE);
	HIDDEN(1, 0, EDX, PSE36);
	HIDDEN(1, 0, EDX, MTRR);
	HIDDEN(1, 0, EDX, APIC);
	HIDDEN(1, 0, EDX, MCE);
	HIDDEN(1, 0, ECX, MONITOR);
	HIDDEN(1, 0, ECX, VMX);
	HIDDEN(1, 0, ECX, PCID);
	HIDDEN(1, 0, ECX, X2APIC);
	HIDDEN(1, 0, ECX, TSC_DEADLINE);
	HIDDEN(7, 0, EBX, SMEP);
	HIDDEN(7, 0, EBX, SMAP);
	HIDDEN(7, 0, EBX, INVPCID);
	HIDDEN(7, 0, EBX, TSC_ADJUST);
	HIDDEN(7, 0, ECX, UMIP);
	HIDDEN(7, 0, ECX, PKU);
	HIDDEN(7, 0, ECX, OSPKE);
	HIDDEN(0xd, 1, EAX, XSAVES);
	HIDDEN(0x80000001, 0, EDX, PAGE1GB);
	HIDDEN(0x80000001, 0, ECX, SVM);
	HIDDEN(0x80000001, 0, ECX, TOPOEXT);
	HIDDEN(0x80000007, 0, EDX, ITSC);
	assert_true(hidden(r, 7, 0, ECX, 16)); /* LA57: a bit that the lists do not know */
}

static void the_rest_is_left(void **state)
{
	struct rig *r = *state;

	SEEN(1, 0, EDX, FPU);
	SEEN(1, 0, EDX, DE);
	SEEN(1, 0, EDX, SEP);
	SEEN(1, 0, EDX, SSE2);
	SEEN(1, 0, ECX, CX16);
	SEEN(1, 0, ECX, XSAVE);
	SEEN(1, 0, ECX, OSXSAVE);
	SEEN(7, 0, EBX, FSGSBASE);
	SEEN(7, 0, EBX, AVX2);
	SEEN(0xd, 1, EAX, XSAVEC);
	SEEN(0x80000001, 0, EDX, SYSCALL);
	SEEN(0x80000001, 0, EDX, NX);
	SEEN(0x80000001, 0, EDX, LM);
	SEEN(0x80000001, 0, EDX, RDTSCP);
	SEEN(7, 0, EDX, ARCH_CAPS);
	SEEN(0x80000001, 0, ECX, LAHF_LM);
	assert_false(hidden(r, 0x80000001, 0, EDX, XEN_X86_FEATURE_FPU)); /* AMD's copy */
	assert_true(hidden(r, 0x80000001, 0, EDX, XEN_X86_FEATURE_PSE));
}

static void leaves(void **state)
{
	struct rig *r = *state;
	uint32_t clear[4], set[4];

	masks(r, 1, 0, clear, set);
	assert_int_equal(set[ECX], 1u << 31);
	assert_int_equal(set[EAX] | set[EBX] | set[EDX], 0);
	assert_int_equal(clear[EAX] | clear[EBX], 0);
	masks(r, 5, 0, clear, set);
	assert_int_equal(clear[EAX] & clear[EBX] & clear[ECX] & clear[EDX], UINT32_MAX);
	masks(r, 0x8000000a, 0, clear, set);
	assert_int_equal(clear[EDX], UINT32_MAX);
	masks(r, 0xd, 0, clear, set);
	assert_int_equal(clear[EAX], ~0xe7u);
	assert_int_equal(clear[EDX], UINT32_MAX);
	assert_int_equal(clear[EBX] | clear[ECX], 0);
	masks(r, 0, 0, clear, set);
	assert_int_equal(clear[EAX] | clear[EBX] | clear[ECX] | clear[EDX], 0);
	masks(r, 0x80000008, 0, clear, set);
	assert_int_equal(clear[EAX], 0); /* widths of addresses */
}

static void without_msrs_their_features_go(void **state)
{
	struct rig *r = *state;
	struct gamut_pv_cpu_ops ops = rig_ops;

	ops.msr_read = NULL;
	r->c->cpu.ops = &ops;
	r->f->n_cpuid = 0;
	memset(r->f->cpuid, 0, sizeof(r->f->cpuid));
	assert_int_equal(pv_cpuid_register(&r->d), 0);
	HIDDEN(0x80000001, 0, EDX, RDTSCP);
	HIDDEN(7, 0, ECX, RDPID);
	HIDDEN(7, 0, EDX, ARCH_CAPS);
	HIDDEN(7, 0, EDX, IBRSB);
	HIDDEN(0x80000008, 0, EBX, IBPB);
	SEEN(7, 0, EDX, FSRM);
	r->c->cpu.ops = &rig_ops;
	ops = rig_ops;
	ops.size = offsetof(struct gamut_pv_cpu_ops, msr_read); /* an engine that is older */
	assert_false(pv_has_msrs(&ops));
}

static int no_room(struct gamut_inst *inst, uint32_t vcpu, uint32_t leaf, uint32_t subleaf, const uint32_t clear[4],
                   const uint32_t set[4])
{
	(void)inst;
	(void)vcpu;
	(void)clear;
	(void)set;
	return leaf == 0xd && subleaf == 0 ? -ENOMEM : 0;
}

static void failure_is_told(void **state)
{
	struct rig *r = *state;

	r->f->table.cpuid_mask = no_room;
	assert_int_equal(pv_cpuid_register(&r->d), -ENOMEM);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_needs_ring_0_is_hidden), T(the_rest_is_left), T(leaves), T(without_msrs_their_features_go),
		T(failure_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
