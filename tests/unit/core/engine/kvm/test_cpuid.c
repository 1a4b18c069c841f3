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
	bool keys;

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
	assert_true(!e || !(e->regs[ECX] & 1u << 4));
	keys = e && e->regs[ECX] & 1u << 3;
	e = find(list, n, 0xd, 0);
	if (e) {
		assert_int_equal(e->regs[EAX] & ~0x2e7u, 0);
		assert_true(e->regs[ECX] >= 576);
		assert_null(find(list, n, 0xd, 3)); /* MPX */
		assert_int_equal(find(list, n, 0xd, 9) != NULL, keys);
		assert_int_equal((e->regs[EAX] >> 9 & 1) != 0, keys);
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

/* wrmsr; rdmsr; out %eax, $0x10; a handler of #GP says so in the place of the out */
static uint64_t read_after_write(struct rig *r, uint32_t index, uint64_t value)
{
	uint32_t low;

	rig_real(r, RIG_BYTES(0x0f, 0x30, 0x31, 0xc0, 0x99, 0x0f, 0x32, 0x66, 0xe7, 0x10, 0xf4));
	r->state.gpr[RCX] = index;
	r->state.gpr[RAX] = (uint32_t)value;
	r->state.gpr[RDX] = value >> 32;
	rig_set(r);
	rig_wants(r, EXIT_PIO);
	assert_int_equal(r->exit.pio.port, 0x10);
	low = r->exit.pio.data;
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	return r->state.gpr[RDX] << 32 | low;
}

static void write_and_read(struct rig *r, uint32_t index, uint64_t value)
{
	assert_int_equal(read_after_write(r, index, value), value);
}

/* A firmware's: memory types, with the bit that a platform sets. */
static void mtrrs(void **state)
{
	static const uint32_t fixed[] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f };
	struct cpuid_entry *list;
	uint32_t n;

	RIG(r);
	assert_int_equal(engine_kvm.cpuid_supported(r->vm, &list, &n), 0);
	for (uint32_t i = 0; i < n; i++)
		if (list[i].leaf == 1)
			list[i].regs[EDX] |= 1u << 12;
	assert_int_equal(engine_kvm.cpuid_set(r->v, list, n), 0);
	free(list);
	write_and_read(r, 0x2ff, 0xc06);
	for (unsigned i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		write_and_read(r, fixed[i], 0x0606050504040100);
	for (uint32_t i = 0; i < 8; i++) {
		write_and_read(r, 0x200 + 2 * i, (uint64_t)i << 28 | 6);
		write_and_read(r, 0x201 + 2 * i, 0xff0000800);
	}
	write_and_read(r, 0x277, 0x0007040600070406);
	read_after_write(r, 0x8b, 0); /* an AMD processor in KVM keeps its patch level */
}

/* Registers of KVM's own: the clock, and page faults that are told. Nobody announced them. */
static void nothing_of_kvm(void **state)
{
	static const uint32_t indices[] = { 0x11, 0x12, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d04 };

	RIG(r);
	for (unsigned i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		rig_real(r, RIG_BYTES(0x0f, 0x32, 0xf4));
		r->state.gpr[RCX] = indices[i];
		rig_set(r);
		rig_run(r);
		if (i == 0 && r->exit.reason == EXIT_HLT)
			skip(); /* an older kernel */
		assert_int_equal(r->exit.reason, EXIT_RDMSR);
		assert_int_equal(r->exit.msr.index, indices[i]);
		r->exit.msr.fault = true;
		rig_wants_vector(r, 13);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(the_offer),
		RIG_TEST(the_guest_sees_what_was_set),
		RIG_TEST(mtrrs),
		RIG_TEST(nothing_of_kvm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
