/* SPDX-License-Identifier: MIT */
/* Registers and the whole state: what is set is what is there, for the guest and for who asks. */
#include "fake/kvm-rig.h"

static void segments_translate_both_ways(void **state)
{
	static const uint32_t attrs[] = { 0x93, 0xa09b, 0xc093, 0xc0f3, 0x8b, 0x82, 0xd09b, 0x10000 };

	(void)state;
	for (unsigned i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++) {
		struct gamut_segment from = { .base = 0x12345, .limit = 0xfffff, .selector = 0x33, .attr = attrs[i] }, to;
		struct kvm_segment k;

		kvm_segment_from(&k, &from);
		kvm_segment_to(&to, &k);
		assert_memory_equal(&from, &to, sizeof(to));
		assert_int_equal(k.unusable, attrs[i] == 0x10000);
	}
}

/* Not present is not usable, in KVM's terms. */
static void absent_segments_are_unusable(void **state)
{
	struct gamut_segment from = { .attr = 0x13 }, to;
	struct kvm_segment k;

	(void)state;
	kvm_segment_from(&k, &from);
	assert_true(k.unusable);
	kvm_segment_to(&to, &k);
	assert_int_equal(to.attr, 0x10013);
}

static void general_registers_are_in_the_encodings_order(void **state)
{
	struct kvm_regs regs = { .rax = 0, .rcx = 1, .rdx = 2, .rbx = 3, .rsp = 4, .rbp = 5, .rsi = 6, .rdi = 7,
		                 .r8 = 8, .r9 = 9, .r10 = 10, .r11 = 11, .r12 = 12, .r13 = 13, .r14 = 14, .r15 = 15 };

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(*kvm_gpr(&regs, i), i);
}

static void what_is_set_is_read_back(void **state)
{
	struct gamut_vcpu_state want, got = { .size = sizeof(got) };

	RIG(r);
	rig_long(r, RIG_BYTES(0xf4));
	want = r->state;
	for (unsigned i = 0; i < 16; i++)
		want.gpr[i] = 0x0101010101010101ull * (i + 1);
	want.rip = 0x123456;
	want.rflags = 0x246;
	want.cr2 = 0xdeadbeef000;
	want.cr8 = 5;
	want.gdt = (struct gamut_table){ .base = 0xffff888000001000, .limit = 0x7f };
	want.idt = (struct gamut_table){ .base = 0xffff888000002000, .limit = 0xfff };
	want.seg[GAMUT_FS].base = 0x7fff12345678;
	want.seg[GAMUT_GS].base = 0xffff888000003000;
	for (unsigned i = 0; i < 4; i++)
		want.dr[i] = 0x1000 * (i + 1);
	want.dr[6] = 0xffff0ff0;
	want.dr[7] = 0x400;
	assert_int_equal(engine_kvm.vcpu_set(r->v, &want), 0);
	assert_int_equal(engine_kvm.vcpu_get(r->v, &got), 0);
	assert_memory_equal(want.gpr, got.gpr, sizeof(got.gpr));
	assert_memory_equal(want.dr, got.dr, sizeof(got.dr));
	assert_memory_equal(want.seg, got.seg, sizeof(got.seg));
	assert_memory_equal(&want.gdt, &got.gdt, sizeof(got.gdt));
	assert_memory_equal(&want.idt, &got.idt, sizeof(got.idt));
	assert_int_equal(want.rip, got.rip);
	assert_int_equal(want.rflags, got.rflags);
	assert_int_equal(want.cr0, got.cr0);
	assert_int_equal(want.cr2, got.cr2);
	assert_int_equal(want.cr3, got.cr3);
	assert_int_equal(want.cr4, got.cr4);
	assert_int_equal(want.cr8, got.cr8);
	assert_int_equal(want.efer, got.efer);
}

/* The guest itself has them, and what it makes of them comes back. */
static void the_guest_has_what_was_set(void **state)
{
	RIG(r);
	rig_long(r, RIG_BYTES(0x48, 0xff, 0xc0, 0x48, 0x01, 0xd8, /* inc %rax; add %rbx, %rax */
	                      0x49, 0x89, 0xc7, 0x0f, 0x20, 0xd1, /* mov %rax, %r15; mov %cr2, %rcx */
	                      0x48, 0xc7, 0xc6, 0x01, 0x00, 0x00, 0x00, 0x0f, 0x23, 0xce, /* mov $1, %rsi; mov %rsi, %dr1 */
	                      0xf4));
	r->state.gpr[RAX] = 41;
	r->state.gpr[RBX] = 1ull << 40;
	r->state.cr2 = 0x1234000;
	rig_set(r);
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[15], 42 + (1ull << 40));
	assert_int_equal(r->state.gpr[RCX], 0x1234000);
	assert_int_equal(r->state.dr[1], 1);
}

static void states_that_cannot_be_are_refused(void **state)
{
	struct gamut_vcpu_state good;
	static const struct {
		size_t offset;
		uint64_t value;
	} bad[] = {
		{ offsetof(struct gamut_vcpu_state, cr0), 0x80000010 },           /* PG without PE */
		{ offsetof(struct gamut_vcpu_state, cr0), 0x180010031 },          /* beyond 32 bits */
		{ offsetof(struct gamut_vcpu_state, cr0), 0xa0010031 },           /* NW without CD */
		{ offsetof(struct gamut_vcpu_state, cr4), 0x600 },                /* long mode without PAE */
		{ offsetof(struct gamut_vcpu_state, cr4), 0x620 | 1ull << 40 },
		{ offsetof(struct gamut_vcpu_state, cr8), 16 },
		{ offsetof(struct gamut_vcpu_state, efer), 0xd01 | 1ull << 50 },
		{ offsetof(struct gamut_vcpu_state, rflags), 1ull << 30 },
		{ offsetof(struct gamut_vcpu_state, rflags), 1ull << 17 | 2 },    /* VM in long mode */
		{ offsetof(struct gamut_vcpu_state, rip), 1ull << 63 },
		{ offsetof(struct gamut_vcpu_state, dr[7]), 1ull << 32 },
		{ offsetof(struct gamut_vcpu_state, gdt.base), 1ull << 62 },
		{ offsetof(struct gamut_vcpu_state, seg[GAMUT_GS].base), 1ull << 50 },
		{ offsetof(struct gamut_vcpu_state, seg[GAMUT_CS].attr), 0xe09b }, /* L and D */
		{ offsetof(struct gamut_vcpu_state, seg[GAMUT_CS].attr), 0xa093 }, /* not code */
	};

	RIG(r);
	rig_long(r, RIG_BYTES(0xf4));
	good = r->state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct gamut_vcpu_state s = good;

		*(uint64_t *)((char *)&s + bad[i].offset) = bad[i].value;
		if (engine_kvm.vcpu_set(r->v, &s) != -EINVAL)
			fail_msg("case %u was taken", i);
	}
	good.size--;
	assert_int_equal(engine_kvm.vcpu_set(r->v, &good), -EINVAL);
	rig_fetch(r);
	assert_int_equal(r->state.cr0, 0x80010031);
	rig_wants(r, EXIT_HLT);
}

static void reset_is_power_on(void **state)
{
	const uint64_t lstar = 0xffffffff81000000;
	uint64_t value = 1;

	RIG(r);
	rig_long(r, RIG_BYTES(0xe4, 0x20, 0xf4));
	assert_int_equal(kvm_msr_set(r->v, 0xc0000082, lstar), 0);
	assert_int_equal(kvm_msr_get(r->v, 0xc0000082, &value), 0);
	assert_int_equal(value, lstar);
	rig_wants_in(r, 0x20, 1, 0xff); /* an exit that is not finished */
	engine_kvm.vcpu_reset(r->v);
	rig_fetch(r);
	assert_int_equal(r->state.rip, 0xfff0);
	assert_int_equal(r->state.seg[GAMUT_CS].selector, 0xf000);
	assert_int_equal(r->state.seg[GAMUT_CS].base, 0xffff0000);
	assert_int_equal(r->state.cr0, 0x60000010);
	assert_int_equal(r->state.cr4, 0);
	assert_int_equal(r->state.efer, 0);
	assert_int_equal(r->state.rflags, 2);
	assert_int_equal(r->state.gpr[RAX], 0);
	assert_int_equal(r->state.gpr[RDX], r->v->signature);
	assert_int_equal(r->state.dr[7], 0x400);
	assert_int_equal(kvm_msr_get(r->v, 0xc0000082, &value), 0);
	assert_int_equal(value, 0);
	/* And it runs from there. */
	rig_real(r, RIG_BYTES(0xf4));
	rig_wants(r, EXIT_HLT);
}

/* Vector state is moved with the rest. */
static void the_whole_state_moves(void **state)
{
	struct kvm_state *s;
	uint32_t *xmm0;

	RIG(r);
	rig_long(r, RIG_BYTES(0xf4));
	s = kvm_state_create(r->vm);
	assert_non_null(s);
	assert_int_equal(kvm_get_state(r->v, s), 0);
	xmm0 = &s->xsave->region[160 / 4];
	xmm0[0] = 0x11223344;
	s->xsave->region[512 / 4] |= 3; /* XSTATE_BV */
	s->regs.rbx = 77;
	assert_int_equal(kvm_set_state(r->v, s), 0);
	xmm0[0] = 0;
	s->regs.rbx = 0;
	assert_int_equal(kvm_get_state(r->v, s), 0);
	assert_int_equal(xmm0[0], 0x11223344);
	assert_int_equal(s->regs.rbx, 77);
	kvm_state_destroy(s);
	rig_wants(r, EXIT_HLT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_translate_both_ways),
		cmocka_unit_test(absent_segments_are_unusable),
		cmocka_unit_test(general_registers_are_in_the_encodings_order),
		RIG_TEST(what_is_set_is_read_back),
		RIG_TEST(the_guest_has_what_was_set),
		RIG_TEST(states_that_cannot_be_are_refused),
		RIG_TEST(reset_is_power_on),
		RIG_TEST(the_whole_state_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
