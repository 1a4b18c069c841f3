/* SPDX-License-Identifier: MIT */
#include "trap-rig.h"

/* A guest's iret with this frame at its rsp. */
static void iret(struct rig *r, const struct iret_context *c)
{
	memcpy(rig_mem + STACK, c, sizeof(*c));
	r->c->gpr[PV_RSP] = STACK;
	r->c->gpr[PV_RAX] = __HYPERVISOR_iret;
	rig_event(r, GAMUT_PV_SYSCALL);
}

static struct iret_context to_user(void)
{
	return (struct iret_context){ .rax = 1, .r11 = 2, .rcx = 3, .rip = 0x401000, .cs = 0x33, .rflags = 0x246,
		                      .rsp = 0x7ffe0000, .ss = 0x2b };
}

static void to_user_mode(void **state)
{
	struct rig *r = *state;
	struct iret_context c = to_user();

	r->info[0][1] = 1;
	iret(r, &c);
	assert_true(r->v->user && r->c->user);
	assert_int_equal(r->c->base[GAMUT_GS], USER_GS);
	assert_int_equal(r->v->other_gs, KERNEL_GS);
	assert_int_equal(r->c->cpu.rip, 0x401000);
	assert_int_equal(r->c->gpr[PV_RSP], 0x7ffe0000);
	assert_int_equal(r->c->gpr[PV_RAX], 1);
	assert_int_equal(r->c->gpr[PV_R11], 2);
	assert_int_equal(r->c->gpr[PV_RCX], 3);
	assert_int_equal(r->c->cpu.rflags, 0x246);
	assert_int_equal(r->c->sel[GAMUT_CS], 0x33);
	assert_int_equal(r->c->sel[GAMUT_SS], 0x2b);
	assert_int_equal(r->info[0][1], 0);
}

static void to_the_kernel(void **state)
{
	struct rig *r = *state;

	for (uint64_t rpl = 0; rpl < 3; rpl++) {
		struct iret_context c = to_user();

		c.cs = (FLAT_KERNEL_CS & ~3ull) | rpl | 0x1234567800000000ull; /* the saved mask and more */
		c.ss = FLAT_KERNEL_SS & ~3ull;
		c.rflags = 0x046;
		r->info[0][1] = 0;
		iret(r, &c);
		assert_false(r->v->user);
		assert_int_equal(r->c->base[GAMUT_GS], KERNEL_GS);
		assert_int_equal(r->c->sel[GAMUT_CS], FLAT_KERNEL_CS);
		assert_int_equal(r->c->loads, 0); /* nothing to load */
		assert_int_equal(r->c->cpu.rflags, 0x246);
		assert_int_equal(r->info[0][1], 1);
	}
}

static void flags_are_cut(void **state)
{
	struct rig *r = *state;
	struct iret_context c = to_user();

	c.rflags = UINT64_MAX;
	iret(r, &c);
	assert_int_equal(r->c->cpu.rflags, 0x254dd5 | 0x202);
	assert_int_equal(r->v->iopl, 0);
	rig_event(r, GAMUT_PV_SYSCALL);
	r->d.vm_assist = 1 << VMASST_TYPE_architectural_iopl;
	iret(r, &c);
	assert_int_equal(r->v->iopl, 3);
}

static void in_syscall_is_sysret(void **state)
{
	struct rig *r = *state;
	struct iret_context c = to_user();

	c.flags = VGCF_in_syscall;
	c.cs = 0x1003;
	iret(r, &c);
	assert_int_equal(r->c->gpr[PV_RCX], c.rip);
	assert_int_equal(r->c->gpr[PV_R11], c.rflags);
	assert_int_equal(r->c->sel[GAMUT_CS], FLAT_USER_CS64);
	assert_int_equal(r->c->sel[GAMUT_SS], FLAT_USER_SS);
	rig_event(r, GAMUT_PV_SYSCALL);
	c.cs = FLAT_USER_CS32;
	iret(r, &c);
	assert_int_equal(r->c->sel[GAMUT_CS], FLAT_USER_CS32);
}

static void event_comes_right_behind(void **state)
{
	struct rig *r = *state;
	struct iret_context c = to_user();

	r->info[0][0] = r->info[0][1] = 1;
	iret(r, &c);
	assert_true(rig_bounced(r, 300));
	assert_false(r->v->user);
	EXPECT_FRAME(r, 3, 2, 0x401000, 0x33, 0x246, 0x7ffe0000, 0x2b);
	c.rflags = 0x46; /* to somewhere masked: none */
	iret(r, &c);
	assert_int_equal(r->c->cpu.rip, 0x401000);
}

/* ---- where one cannot return to ---- */

static void bad_code_selector(void **state)
{
	struct rig *r = *state;
	struct iret_context c = to_user();

	r->bad_selector = 0x1000;
	c.cs = 0x1003;
	iret(r, &c);
	assert_true(rig_bounced(r, PV_GP));
	assert_false(r->v->user);
	assert_int_equal(r->c->gpr[PV_RSP], KERNEL_STACK - 64);
	EXPECT_FRAME(r, 3, 2, 0x1000, 0x401000, 0x1003, 0x246, 0x7ffe0000, 0x2b);
}

static void bad_stack_selector(void **state)
{
	struct rig *r = *state;
	struct iret_context c = to_user();

	r->bad_selector = 0x1000;
	c.ss = 0x1000;
	iret(r, &c);
	assert_true(rig_bounced(r, PV_GP));
	EXPECT_FRAME(r, 3, 2, 0x1000, 0x401000, 0x33, 0x246, 0x7ffe0000, 0x1003);
	assert_int_equal(r->c->sel[GAMUT_CS], FLAT_KERNEL_CS);
}

static void bad_selector_of_the_kernel(void **state)
{
	struct rig *r = *state;
	struct iret_context c = to_user();

	r->bad_selector = 0x1000;
	c.cs = 0x1000;
	c.rsp = 0x9000;
	iret(r, &c);
	assert_true(rig_bounced(r, PV_GP));
	assert_int_equal(r->c->gpr[PV_RSP], 0x9000 - 64);
	EXPECT_FRAME(r, 3, 2, 0x1000, 0x401000, 0x1000, 0x246, 0x9000, 0x2b);
}

static void address_that_is_none(void **state)
{
	struct rig *r = *state;
	struct iret_context c = to_user();

	c.rip = 0x800000000000ull;
	iret(r, &c);
	assert_true(rig_bounced(r, PV_GP));
	EXPECT_FRAME(r, 3, 2, 0, 0x800000000000ull, 0x33, 0x246, 0x7ffe0000, 0x2b);
	c.flags = VGCF_in_syscall;
	r->c->gpr[PV_RCX] = 77;
	iret(r, &c);
	assert_true(rig_bounced(r, PV_GP));
	assert_int_equal(rig_frame(r)[0], 77);
}

static void no_user_tables_is_a_crash(void **state)
{
	struct rig *r = *state;
	struct iret_context c = to_user();

	r->v->root[PV_USER] = 0;
	iret(r, &c);
	assert_true(rig_crashed(r));
	assert_false(r->v->user);
}

static void no_frame_is_a_crash(void **state)
{
	struct rig *r = *state;

	r->c->gpr[PV_RSP] = RIG_MEM - 8;
	r->c->gpr[PV_RAX] = __HYPERVISOR_iret;
	rig_event(r, GAMUT_PV_SYSCALL);
	assert_true(rig_crashed(r));
}

/* ---- system calls of user mode ---- */

static void syscall_there_and_back(void **state)
{
	struct rig *r = *state;
	struct iret_context c = { .rax = 42, .flags = 0 };

	rig_user(r);
	r->c->gpr[PV_RAX] = 39;
	r->c->cpu.rflags = 0x646;
	r->v->syscall.mask = true;
	r->c->cpu.event = GAMUT_PV_SYSCALL;
	assert_int_equal(pv_fast(&r->d, &r->c->cpu), GAMUT_PV_RESUME);
	assert_true(rig_bounced(r, 302));
	assert_int_equal(r->c->gpr[PV_RSP], KERNEL_STACK - 56);
	EXPECT_FRAME(r, CODE, 0x646, CODE, FLAT_USER_CS64, 0x646, STACK, FLAT_USER_SS);
	assert_int_equal(r->c->cpu.rflags, 0x246); /* DF is clear in the kernel */
	assert_int_equal(r->c->gpr[PV_RAX], 39);
	assert_int_equal(r->c->gpr[PV_RCX], CODE);
	assert_int_equal(r->c->gpr[PV_R11], 0x646);
	assert_int_equal(r->info[0][1], 1);
	/* Back by the frame: rcx r11 are followed by flags in iret's. */
	memcpy(&c.rip, rig_frame(r) + 2, 5 * 8);
	memcpy(rig_mem + STACK - 256, &c, sizeof(c));
	r->c->gpr[PV_RSP] = STACK - 256;
	r->c->gpr[PV_RAX] = __HYPERVISOR_iret;
	assert_int_equal(pv_fast(&r->d, &r->c->cpu), GAMUT_PV_RESUME);
	assert_true(r->v->user);
	assert_int_equal(r->c->cpu.rip, CODE);
	assert_int_equal(r->c->gpr[PV_RSP], STACK);
	assert_int_equal(r->c->gpr[PV_RAX], 42);
	assert_int_equal(r->c->cpu.rflags, 0x646);
	assert_int_equal(r->info[0][1], 0);
}

static void syscall_of_32_bit_code(void **state)
{
	struct rig *r = *state;

	rig_user(r);
	r->c->code64 = false;
	rig_event(r, GAMUT_PV_SYSCALL);
	assert_true(rig_bounced(r, 303));
	assert_int_equal(rig_frame(r)[3], FLAT_USER_CS32);
	assert_int_equal(r->info[0][1], 1);
}

static void syscall_without_callback_is_undefined(void **state)
{
	struct rig *r = *state;

	rig_user(r);
	r->v->syscall.rip = 0;
	rig_event(r, GAMUT_PV_SYSCALL);
	assert_true(rig_bounced(r, PV_UD));
	assert_int_equal(rig_frame(r)[2], CODE - 2);
	rig_user(r);
	r->c->cpu.rip = CODE;
	r->c->code64 = false;
	r->v->syscall32.rip = 0;
	rig_event(r, GAMUT_PV_SYSCALL);
	assert_true(rig_bounced(r, PV_UD));
}

static void sysenter_has_a_callback_or_faults(void **state)
{
	struct rig *r = *state;

	rig_user(r);
	r->c->cpu.rflags = 0x4202;
	rig_event(r, GAMUT_PV_SYSENTER);
	assert_true(rig_bounced(r, 304));
	EXPECT_FRAME(r, 0, 0, 0, 3, 0x202, 0, FLAT_USER_SS);
	rig_user(r);
	r->c->cpu.rip = CODE;
	r->v->sysenter.rip = 0;
	rig_event(r, GAMUT_PV_SYSENTER);
	assert_true(rig_bounced(r, PV_GP));
	assert_int_equal(rig_frame(r)[2], 0);
	assert_int_equal(rig_frame(r)[3], CODE);
}

/* ---- hypercalls ---- */

static void hypercall_reaches_the_host(void **state)
{
	struct rig *r = *state;

	r->result = -77;
	r->c->gpr[PV_R10] = 4;
	r->c->gpr[PV_R8] = 5;
	r->c->gpr[PV_R9] = 6;
	assert_int_equal(rig_call(r, 61, 1, 2, 3), -77);
	assert_int_equal(r->last.nr, 61);
	assert_int_equal(r->last.cpl, 0);
	assert_int_equal(r->last.long_mode, 1);
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(r->last.args[i], i + 1);
	assert_int_equal(r->c->gpr[PV_RCX], CODE);
	assert_int_equal(r->c->gpr[PV_R11], 0x202);
	rig_call(r, 0x100000011ull, 0, 0, 0); /* not xen_version */
	assert_int_equal(r->last.nr, UINT32_MAX);
}

static void memory_half_is_asked_first(void **state)
{
	struct rig *r = *state;

	r->mmu_fast = PV_DONE;
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, 0, 0, 0), 0x1001);
	assert_int_equal(r->calls, 0);
	assert_int_equal(r->c->gpr[PV_RCX], CODE);
}

static void hot_ones_are_fast(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_call(r, __HYPERVISOR_stack_switch, 0x18, 0x123450, 0), 0);
	assert_int_equal(r->v->kernel_ss, 0x1b);
	assert_int_equal(r->v->kernel_sp, 0x123450);
	assert_int_equal(rig_call(r, __HYPERVISOR_set_segment_base, SEGBASE_FS, 0x7f1234, 0), 0);
	assert_int_equal(r->c->base[GAMUT_FS], 0x7f1234);
	assert_int_equal(rig_call(r, __HYPERVISOR_set_segment_base, SEGBASE_GS_USER, 0x7f5678, 0), 0);
	assert_int_equal(r->v->other_gs, 0x7f5678);
	assert_int_equal(rig_call(r, __HYPERVISOR_set_segment_base, SEGBASE_GS_KERNEL, 0x9000, 0), 0);
	assert_int_equal(r->c->base[GAMUT_GS], 0x9000);
	assert_int_equal(rig_call(r, __HYPERVISOR_set_segment_base, SEGBASE_FS, 1ull << 47, 0), -EINVAL);
	assert_int_equal(rig_call(r, __HYPERVISOR_set_segment_base, 4, 0, 0), -EINVAL);
	assert_int_equal(rig_call(r, __HYPERVISOR_vcpu_op, VCPUOP_is_up, RIG_VCPUS, 0), -ENOENT);
	assert_int_equal(host_fake_counter(r->f, "events-slow"), 0);
}

static void user_gs_selector(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_call(r, __HYPERVISOR_set_segment_base, SEGBASE_GS_USER_SEL, 0xffff0000 | 0x60, 0), 0);
	assert_int_equal(r->c->sel[GAMUT_GS], 0x63);
	assert_int_equal(r->v->other_gs, 0x63000);
	assert_int_equal(r->c->base[GAMUT_GS], KERNEL_GS);
	r->bad_selector = 0x70;
	assert_int_equal(rig_call(r, __HYPERVISOR_set_segment_base, SEGBASE_GS_USER_SEL, 0x70, 0), 0);
	assert_int_equal(r->c->sel[GAMUT_GS], 0);
	assert_int_equal(r->v->other_gs, 0);
	r->v->other_gs = 5;
	assert_int_equal(rig_call(r, __HYPERVISOR_set_segment_base, SEGBASE_GS_USER_SEL, 0, 0), 0);
	assert_int_equal(r->v->other_gs, 0);
	assert_int_equal(r->c->base[GAMUT_GS], KERNEL_GS);
}

static void not_for_guests(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_call(r, __HYPERVISOR_domctl, 0, 0, 0), -EPERM);
	assert_int_equal(rig_call(r, __HYPERVISOR_sysctl, 0, 0, 0), -EPERM);
	assert_int_equal(rig_call(r, __HYPERVISOR_platform_op, 0, 0, 0), -EPERM);
	assert_int_equal(rig_call(r, __HYPERVISOR_kexec_op, 0, 0, 0), -EPERM);
	assert_int_equal(rig_call(r, __HYPERVISOR_xenpmu_op, 0, 0, 0), -EOPNOTSUPP);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(to_user_mode),
		T(to_the_kernel),
		T(flags_are_cut),
		T(in_syscall_is_sysret),
		T(event_comes_right_behind),
		T(bad_code_selector),
		T(bad_stack_selector),
		T(bad_selector_of_the_kernel),
		T(address_that_is_none),
		T(no_user_tables_is_a_crash),
		T(no_frame_is_a_crash),
		T(syscall_there_and_back),
		T(syscall_of_32_bit_code),
		T(syscall_without_callback_is_undefined),
		T(sysenter_has_a_callback_or_faults),
		T(hypercall_reaches_the_host),
		T(memory_half_is_asked_first),
		T(hot_ones_are_fast),
		T(user_gs_selector),
		T(not_for_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
