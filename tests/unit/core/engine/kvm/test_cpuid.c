/* SPDX-License-Identifier: MIT */
/* What the engine offers, and that the guest sees what it is given. */
#include "fake/kvm-rig.h"

enum { EAX, EBX, ECX, EDX };

static const struct cpuid_entry *find(const struct cpuid_entry *list, uint32_t n, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i].leaf == leaf && (!list[i].has_subleaf || list[i].subleaf == subleaf))
			return &list[i];
	return NULL;
}

static void the_offer(void **state)
{
	static const uint32_t absent[] = { 0xa, 0xb, 0x1f, 0x12, 0x14, 0x40000000, 0x40000001, 0x8000000a, 0x8000001e };
	struct cpuid_entry *list;
	const struct cpuid_entry *e;
	uint32_t n;

	RIG(r);
	assert_int_equal(engine_kvm.cpuid_supported(r->vm, &list, &n), 0);
	for (unsigned i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		assert_null(find(list, n, absent[i], 0));
	e = find(list, n, 1, 0);
	assert_non_null(e);
	assert_int_equal(e->regs[EBX] >> 16, 1);                   /* one processor, APIC id 0 */
	assert_int_equal(e->regs[ECX] & (1u << 31 | 1u << 21 | 1u << 5 | 1u << 24 | 1u << 3), 0);
	assert_int_equal(e->regs[EDX] & (1u << 9 | 1u << 12), 0);  /* APIC, MTRR: not ours to say */
	assert_int_equal(e->regs[EDX] & 0x61, 0x61);               /* FPU PAE MSR */
	e = find(list, n, 7, 0);
	assert_true(!e || !(e->regs[ECX] & (1u << 3 | 1u << 4)));
	e = find(list, n, 0xd, 0);
	if (e) {
		assert_int_equal(e->regs[EAX] & ~0xe7u, 0);
		assert_true(e->regs[ECX] >= 576);
		assert_null(find(list, n, 0xd, 9));
	}
	free(list);
}

static void the_guest_sees_what_was_set(void **state)
{
	const struct cpuid_entry leaves[] = {
		{ .leaf = 0, .regs = { 0xd, 1, 2, 3 } },
		{ .leaf = 1, .regs = { 0x12345, 0, 0, 1u << 5 | 1u << 6 | 1 } },
		{ .leaf = 4, .subleaf = 1, .has_subleaf = true, .regs = { 11, 12, 13, 14 } },
		{ .leaf = 0x40000000, .regs = { 0x40000004, 0x566e6558, 0x65584d4d, 0x4d4d566e } },
		{ .leaf = 0x80000000, .regs = { 0x80000001 } },
		{ .leaf = 0x80000001, .regs = { 0, 0, 0, 1u << 29 | 1u << 20 | 1u << 11 } },
	};

	RIG(r);
	assert_int_equal(engine_kvm.cpuid_set(r->v, leaves, sizeof(leaves) / sizeof(leaves[0])), 0);
	/* cpuid; hlt, for ever */
	rig_long(r, RIG_BYTES(0x0f, 0xa2, 0xf4, 0x44, 0x89, 0xc0, 0x44, 0x89, 0xc9, 0x0f, 0xa2, 0xf4));
	r->state.gpr[RAX] = 0x40000000;
	r->state.gpr[R8] = 4; /* mov %r8d, %eax; mov %r9d, %ecx; cpuid; hlt */
	r->state.gpr[R9] = 1;
	rig_set(r);
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RAX], 0x40000004);
	assert_int_equal(r->state.gpr[RBX], 0x566e6558);
	assert_int_equal(r->state.gpr[RCX], 0x65584d4d);
	assert_int_equal(r->state.gpr[RDX], 0x4d4d566e);
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RAX], 11);
	assert_int_equal(r->state.gpr[RDX], 14);
	engine_kvm.vcpu_reset(r->v);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RDX], 0x12345);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(the_offer),
		RIG_TEST(the_guest_sees_what_was_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
