/* SPDX-License-Identifier: MIT */
#include "trap-rig.h"

#define RCX 0xc0ffee01ull
#define R11 0x1111ull

static void with_registers(struct rig *r)
{
	r->c->gpr[PV_RCX] = RCX;
	r->c->gpr[PV_R11] = R11;
}

/* ---- frames ---- */

static void kernel_frame(void **state)
{
	struct rig *r = *state;

	with_registers(r);
	r->c->gpr[PV_RSP] = STACK + 0xb; /* aligned down to 16 */
	r->c->cpu.rflags = 0x246;
	rig_trap(r, 0, -1);
	assert_true(rig_bounced(r, 0));
	assert_int_equal(r->c->gpr[PV_RSP], STACK - 7 * 8);
	EXPECT_FRAME(r, RCX, R11, CODE, 0xe030, 0x246, STACK + 0xb, FLAT_KERNEL_SS);
	assert_false(r->v->user);
	assert_int_equal(r->c->base[GAMUT_GS], KERNEL_GS);
	assert_int_equal(r->info[0][1], 0);
}

static void user_frame(void **state)
{
	struct rig *r = *state;

	rig_user(r);
	with_registers(r);
	r->v->kernel_sp = KERNEL_STACK + 8;
	rig_trap(r, 10, 0x1234);
	assert_true(rig_bounced(r, 10));
	assert_int_equal(r->c->gpr[PV_RSP], KERNEL_STACK - 8 * 8);
	EXPECT_FRAME(r, RCX, R11, 0x1234, CODE, 0x33, 0x202, STACK, 0x2b);
	assert_false(r->v->user);
	assert_false(r->c->user);
	assert_int_equal(r->c->base[GAMUT_GS], KERNEL_GS);
	assert_int_equal(r->v->other_gs, USER_GS);
	assert_int_equal(r->c->sel[GAMUT_CS], FLAT_KERNEL_CS);
	assert_int_equal(r->c->sel[GAMUT_SS], FLAT_KERNEL_SS);
}

static void mask_is_saved_and_set(void **state)
{
	struct rig *r = *state;

	r->v->trap[0].mask = true;
	rig_trap(r, 0, -1);
	assert_int_equal(rig_frame(r)[3], 0xe030);
	assert_int_equal(rig_frame(r)[4], 0x202);
	assert_int_equal(r->info[0][1], 1);
	rig_trap(r, 0, -1); /* nested: the mask is in the frame, and IF is not */
	assert_int_equal(rig_frame(r)[3], 0x10000e030ull);
	assert_int_equal(rig_frame(r)[4], 0x002);
	assert_int_equal(rig_frame(r)[5], STACK - 7 * 8);
	assert_int_equal(r->info[0][1], 1);
	r->info[0][1] = 0xff; /* whatever the guest has written there */
	rig_trap(r, 1, -1);
	assert_int_equal(rig_frame(r)[3], 0xff0000e030ull);
	assert_int_equal(r->info[0][1], 0xff);
}

static void flags_at_the_entry(void **state)
{
	struct rig *r = *state;

	r->c->cpu.rflags = 0x254fd7;
	rig_trap(r, 0, -1);
	assert_int_equal(rig_frame(r)[4], 0x254fd7);
	assert_int_equal(r->c->cpu.rflags, 0x254fd7 & ~(PV_FLAG_TF | PV_FLAG_NT | PV_FLAG_RF | PV_FLAG_AC));
}

static void iopl_shows_when_asked_for(void **state)
{
	struct rig *r = *state;

	r->v->iopl = 3;
	rig_trap(r, 0, -1);
	assert_int_equal(rig_frame(r)[4], 0x202);
	assert_int_equal(rig_call(r, __HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_architectural_iopl, 0), 0);
	rig_trap(r, 0, -1);
	assert_int_equal(rig_frame(r)[4], 0x3202);
}

/* ---- page faults ---- */

static void page_fault_of_the_kernel(void **state)
{
	struct rig *r = *state;

	r->c->cpu.cr2 = 0xdead000;
	rig_trap(r, PV_PF, 6);
	assert_true(rig_bounced(r, PV_PF));
	assert_int_equal(rig_frame(r)[2], 2);
	assert_int_equal(r->v->cr2, 0xdead000);
	assert_int_equal(*(uint64_t *)(void *)&r->info[0][offsetof(struct vcpu_info, arch.cr2)], 0xdead000);
	assert_int_equal(r->mmu_faults, 0);
}

static void page_fault_of_user_mode(void **state)
{
	struct rig *r = *state;

	rig_user(r);
	rig_trap(r, PV_PF, 7);
	assert_int_equal(rig_frame(r)[2], 7);
	assert_int_equal(r->mmu_faults, 0);
	rig_user(r);
	rig_trap(r, PV_PF, 0x11); /* an engine that says nothing of U */
	assert_int_equal(rig_frame(r)[2], 0x15);
}

static void write_to_a_table_is_the_memory_half_s(void **state)
{
	struct rig *r = *state;

	r->mmu_fault = PV_DONE;
	r->c->cpu.cr2 = 0x5000;
	rig_trap(r, PV_PF, 7);
	assert_int_equal(r->mmu_faults, 1);
	assert_int_equal(r->c->cpu.rip, CODE);
	r->mmu_fault = PV_NOT_MINE;
	rig_trap(r, PV_PF, 7);
	assert_true(rig_bounced(r, PV_PF));
	assert_int_equal(rig_frame(r)[2], 3);
}

static void page_fault_in_the_hole_is_looked_at(void **state)
{
	struct rig *r = *state;

	rig_user(r);
	r->mmu_fault = PV_DONE;
	r->c->cpu.cr2 = HYPERVISOR_VIRT_START + 0x123;
	rig_trap(r, PV_PF, 4);
	assert_int_equal(r->mmu_faults, 1);
	assert_int_equal(r->c->cpu.rip, CODE);
}

/* ---- frames that cannot be ---- */

static void crash_says_why_once(void **state)
{
	struct rig *r = *state;

	r->pages[(STACK - 1) / 4096] = PAGE_READ_ONLY;
	rig_trap(r, 0, -1);
	assert_true(rig_crashed(r));
	assert_true(r->f->vcpu[0].blocked);
	assert_non_null(strstr(r->f->last_log, "the kernel's stack takes no frame"));
	assert_non_null(strstr(r->f->last_log, "0x2000"));
	rig_trap(r, 0, -1);
	assert_int_equal(r->f->logs[GAMUT_LOG_WARN], 1);
}

static void fast_does_not_end_the_domain(void **state)
{
	struct rig *r = *state;

	r->v->event.rip = 0;
	r->info[0][0] = 1;
	r->c->cpu.event = GAMUT_PV_ATTENTION;
	assert_int_equal(pv_fast(&r->d, &r->c->cpu), GAMUT_PV_SLOW);
	assert_false(rig_crashed(r));
	assert_int_equal(pv_slow(&r->d, &r->c->cpu), GAMUT_PV_RESUME);
	assert_true(rig_crashed(r));
}

static void no_entry_is_a_crash(void **state)
{
	struct rig *r = *state;

	r->v->trap[PV_UD].rip = 0;
	rig_trap(r, PV_UD, -1);
	assert_true(rig_crashed(r));
}

static void stack_in_the_hole_is_a_crash(void **state)
{
	struct rig *r = *state;

	r->c->gpr[PV_RSP] = HYPERVISOR_VIRT_START + 0x1000;
	rig_trap(r, 0, -1);
	assert_true(rig_crashed(r));
}

static void stack_at_zero_wraps_and_crashes(void **state)
{
	struct rig *r = *state;

	r->c->gpr[PV_RSP] = 0;
	rig_trap(r, 0, -1);
	assert_true(rig_crashed(r));
}

/* ---- software interrupts ---- */

static void int_n(struct rig *r, const char *code, uint32_t len, uint8_t vector)
{
	memcpy(rig_mem + CODE, code, len);
	r->c->cpu.rip = CODE;
	rig_trap(r, PV_GP, vector << 3 | 2);
}

static void int_n_obeys_dpl(void **state)
{
	struct rig *r = *state;

	for (uint8_t dpl = 0; dpl < 4; dpl++) {
		r->v->trap_dpl[0x80] = dpl;
		int_n(r, "\xcd\x80", 2, 0x80);
		assert_true(rig_bounced(r, dpl ? 0x80 : PV_GP));
		rig_user(r);
		int_n(r, "\xcd\x80", 2, 0x80);
		assert_true(rig_bounced(r, dpl == 3 ? 0x80 : PV_GP));
		r->c->gpr[PV_RSP] = STACK;
	}
}

static void int_n_returns_behind(void **state)
{
	struct rig *r = *state;

	r->v->trap_dpl[0x80] = 3;
	rig_user(r);
	int_n(r, "\xcd\x80", 2, 0x80);
	assert_int_equal(rig_frame(r)[2], CODE + 2); /* no error code */
	rig_user(r);
	int_n(r, "\x66\x48\xcd\x80", 4, 0x80);
	assert_true(rig_bounced(r, 0x80));
	assert_int_equal(rig_frame(r)[2], CODE + 4);
}

static void refused_int_n_is_a_gp_with_its_error(void **state)
{
	struct rig *r = *state;

	rig_user(r);
	int_n(r, "\xcd\x21", 2, 0x21);
	assert_true(rig_bounced(r, PV_GP));
	assert_int_equal(rig_frame(r)[2], 0x21 << 3 | 2);
	assert_int_equal(rig_frame(r)[3], CODE);
	rig_user(r);
	r->v->trap_dpl[0x21] = 3;
	r->pages[CODE / 4096] = PAGE_NONE; /* the code has gone since */
	rig_trap(r, PV_GP, 0x21 << 3 | 2);
	assert_true(rig_bounced(r, PV_GP));
}

static void breakpoints_and_overflow_are_bounced(void **state)
{
	struct rig *r = *state;

	rig_user(r);
	rig_trap(r, PV_BP, -1);
	assert_true(rig_bounced(r, PV_BP));
	rig_user(r);
	rig_trap(r, PV_OF, -1);
	assert_true(rig_bounced(r, PV_OF));
}

/* ---- exceptions with more to them ---- */

static void nm_clears_ts(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_call(r, __HYPERVISOR_fpu_taskswitch, 1, 0, 0), 0);
	assert_true(r->c->ts);
	rig_user(r);
	rig_trap(r, PV_NM, -1);
	assert_true(rig_bounced(r, PV_NM));
	assert_false(r->c->ts);
	assert_false(r->v->ts);
}

static void db_gathers_dr6(void **state)
{
	struct rig *r = *state;

	r->c->cpu.dr6 = 0x4000;
	rig_trap(r, PV_DB, -1);
	r->c->cpu.dr6 = 1;
	rig_trap(r, PV_DB, -1);
	assert_true(rig_bounced(r, PV_DB));
	assert_int_equal(rig_call(r, __HYPERVISOR_get_debugreg, 6, 0, 0), (int64_t)(PV_DR6_FIXED | 0x4001));
}

/* ---- events and NMIs ---- */

static void upcall_when_unmasked(void **state)
{
	struct rig *r = *state;

	r->info[0][0] = r->info[0][1] = 1;
	rig_event(r, GAMUT_PV_ATTENTION);
	assert_int_equal(r->c->cpu.rip, CODE);
	r->info[0][1] = 0;
	rig_event(r, GAMUT_PV_ATTENTION);
	assert_true(rig_bounced(r, 300));
	EXPECT_FRAME(r, 0, 0, CODE, 0xe030, 0x202, STACK, FLAT_KERNEL_SS);
	assert_int_equal(r->info[0][1], 1);
	assert_int_equal(r->info[0][0], 1); /* the guest's to clear */
}

static void upcall_follows_a_hypercall(void **state)
{
	struct rig *r = *state;

	r->info[0][0] = 1;
	rig_call(r, __HYPERVISOR_xen_version, 0, 0, 0);
	assert_true(rig_bounced(r, 300));
	assert_int_equal(rig_frame(r)[2], CODE);
	assert_int_equal(r->c->gpr[PV_RAX], 0x40011);
	assert_int_equal(r->calls, 0); /* fast */
}

/* SCHEDOP_block, and an event right behind its last look. */
static int64_t sleeps(void *opaque, struct gamut_hypercall *call)
{
	struct rig *r = opaque;

	r->f->host->vcpu_block(r->f->inst, call->vcpu);
	r->info[0][0] = 1;
	r->info[0][1] = 0;
	return 0;
}

static void upcall_ends_a_sleep(void **state)
{
	struct rig *r = *state;

	r->f->hypercalls[__HYPERVISOR_sched_op].fn = sleeps;
	r->f->hypercalls[__HYPERVISOR_sched_op].opaque = r;
	rig_call(r, __HYPERVISOR_sched_op, 1, 0, 0);
	assert_true(rig_bounced(r, 300));
	assert_false(r->f->vcpu[0].blocked);
}

static void upcall_on_top_of_an_exception(void **state)
{
	struct rig *r = *state;

	rig_user(r);
	r->info[0][0] = 1;
	rig_trap(r, 0, -1);
	assert_true(rig_bounced(r, 300));
	EXPECT_FRAME(r, 0, 0, ENTRY(0), 0xe030, 0x202, KERNEL_STACK - 56, FLAT_KERNEL_SS);
	assert_int_equal(*(const uint64_t *)(void *)(rig_mem + KERNEL_STACK - 40), CODE);
}

static void attention(struct rig *r, bool nmi)
{
	r->c->cpu.nmi = nmi;
	rig_event(r, GAMUT_PV_ATTENTION);
}

static void nmi_masks_itself_until_iret(void **state)
{
	struct rig *r = *state;
	struct iret_context frame = { .rip = CODE, .cs = FLAT_KERNEL_CS & ~3, .rflags = 0x202, .rsp = STACK,
		                      .ss = FLAT_KERNEL_SS };

	attention(r, true);
	assert_true(rig_bounced(r, PV_NMI));
	assert_int_equal(r->info[0][1], 1); /* whatever the entry says */
	r->c->cpu.rip = CODE;
	attention(r, true);
	assert_int_equal(r->c->cpu.rip, CODE);
	memcpy(rig_mem + r->c->gpr[PV_RSP], &frame, sizeof(frame));
	rig_call(r, __HYPERVISOR_iret, 0, 0, 0);
	assert_true(rig_bounced(r, PV_NMI)); /* the one that waited */
}

static void nmi_comes_before_events(void **state)
{
	struct rig *r = *state;

	r->info[0][0] = 1;
	attention(r, true);
	assert_true(rig_bounced(r, PV_NMI));
	assert_int_equal(r->info[0][1], 1);
}

static void nmi_without_a_handler_is_lost(void **state)
{
	struct rig *r = *state;

	r->v->trap[PV_NMI].rip = 0;
	attention(r, true);
	assert_int_equal(r->c->cpu.rip, CODE);
	r->v->trap[PV_NMI].rip = ENTRY(2);
	attention(r, false);
	assert_int_equal(r->c->cpu.rip, CODE);
}

static void pending_is_asked_from_outside(void **state)
{
	struct rig *r = *state;

	assert_false(pv_pending(&r->d, 0));
	r->info[0][0] = 1;
	assert_true(pv_pending(&r->d, 0));
	r->info[0][1] = 1;
	assert_false(pv_pending(&r->d, 0));
	pv_domain_pause(&r->d); /* nobody knows: look again */
	assert_true(pv_pending(&r->d, 0));
	rig_event(r, GAMUT_PV_ATTENTION);
	assert_false(pv_pending(&r->d, 0));
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(kernel_frame),
		T(user_frame),
		T(mask_is_saved_and_set),
		T(flags_at_the_entry),
		T(iopl_shows_when_asked_for),
		T(page_fault_of_the_kernel),
		T(page_fault_of_user_mode),
		T(write_to_a_table_is_the_memory_half_s),
		T(page_fault_in_the_hole_is_looked_at),
		T(crash_says_why_once),
		T(fast_does_not_end_the_domain),
		T(no_entry_is_a_crash),
		T(stack_in_the_hole_is_a_crash),
		T(stack_at_zero_wraps_and_crashes),
		T(int_n_obeys_dpl),
		T(int_n_returns_behind),
		T(refused_int_n_is_a_gp_with_its_error),
		T(breakpoints_and_overflow_are_bounced),
		T(nm_clears_ts),
		T(db_gathers_dr6),
		T(upcall_when_unmasked),
		T(upcall_follows_a_hypercall),
		T(upcall_ends_a_sleep),
		T(upcall_on_top_of_an_exception),
		T(nmi_masks_itself_until_iret),
		T(nmi_comes_before_events),
		T(nmi_without_a_handler_is_lost),
		T(pending_is_asked_from_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
