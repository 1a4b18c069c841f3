/* SPDX-License-Identifier: MIT */
/* Task switches by jmp, call, iret, int and exceptions, with TSSs of both sizes, to and from virtual-8086 mode. */
#include "fake/bt-rig.h"

#define NEW_TSS RIG_TSS2
#define OLD_TSS 0xd000u
#define NEW_IP 0x32000u
#define NEW_SP 0x2e000u

enum { SEL_NEW = SEL_FREE, SEL_OLD = 0x50, SEL_GATE = 0x58, SEL_CODE16 = 0x60, SEL_LDT = 0x68 };

static void put16(struct rig *r, uint64_t gpa, unsigned value)
{
	memcpy(rig_at(r, gpa), &(uint16_t){ (uint16_t)value }, 2);
}

static unsigned get16(struct rig *r, uint64_t gpa)
{
	return rig_get32(r, gpa) & 0xffff;
}

static unsigned access_of_desc(struct rig *r, unsigned selector)
{
	return rig_get64(r, RIG_GDT + (selector & 0xfff8)) >> 40 & 0xff;
}

/* In ring 0 of 32-bit protected mode, in the task of a TSS of the given type (1 or 9). */
static void start(struct rig *r, unsigned old_type)
{
	rig_state(r, false, 0);
	rig_gdt(r, SEL_OLD, OLD_TSS, 0x67, 0x80 | old_type | 2);
	r->state.seg[GAMUT_TR] = rig_seg(r, SEL_OLD);
	rig_enter(r);
	for (unsigned i = 0; i < 8; i++)
		if (i != RSP)
			r->v->gpr[i] = 0x11111111u * i;
}

static void new_task32(struct rig *r, uint32_t flags)
{
	memset(rig_at(r, NEW_TSS), 0, 0x68);
	rig_gdt(r, SEL_NEW, NEW_TSS, 0x67, 0x0089);
	rig_put32(r, NEW_TSS + 32, NEW_IP);
	rig_put32(r, NEW_TSS + 36, flags);
	for (unsigned i = 0; i < 8; i++)
		rig_put32(r, NEW_TSS + 40 + 4 * i, i == RSP ? NEW_SP : 0xa0000000u + i);
	for (unsigned i = 0; i < 6; i++)
		rig_put32(r, NEW_TSS + 72 + 4 * i, i == GAMUT_CS ? SEL_CODE32 : SEL_DATA);
}

static void new_task16(struct rig *r)
{
	memset(rig_at(r, NEW_TSS), 0, 0x2c);
	rig_gdt(r, SEL_NEW, NEW_TSS, 0x2b, 0x0081);
	rig_gdt(r, SEL_CODE16, 0x30000, 0xffff, 0x009b);
	put16(r, NEW_TSS + 14, 0x2000);
	put16(r, NEW_TSS + 16, 2);
	for (unsigned i = 0; i < 8; i++)
		put16(r, NEW_TSS + 18 + 2 * i, i == RSP ? 0xe000 : 0xa000 + i);
	for (unsigned i = 0; i < 4; i++)
		put16(r, NEW_TSS + 34 + 2 * i, i == GAMUT_CS ? SEL_CODE16 : SEL_DATA);
}

static void assert_new_task32(struct rig *r)
{
	assert_int_equal(r->v->rip, NEW_IP);
	assert_int_equal(r->v->gpr[RSP], NEW_SP);
	assert_int_equal(r->v->gpr[RDI], 0xa0000007);
	assert_true(r->v->seg[GAMUT_TR].base == NEW_TSS && r->v->seg[GAMUT_TR].selector == SEL_NEW);
	assert_true(r->v->cr0 & CR0_TS);
	assert_int_equal(access_of_desc(r, SEL_NEW), 0x8b);
}

static void by_jmp(void **state)
{
	struct rig *r = *state;

	start(r, 9);
	new_task32(r, 2);
	assert_int_equal(sys_jmp_far(r->v, SEL_NEW, 0xdead, 4), STEP_OK);
	assert_new_task32(r);
	assert_int_equal(access_of_desc(r, SEL_OLD), 0x89);
	assert_false(bt_rflags(r->v) & FL_NT);
	assert_int_equal(get16(r, NEW_TSS), 0); /* no link */
	assert_int_equal(rig_get32(r, OLD_TSS + 40 + 4 * RBX), 0x33333333);
	assert_int_equal(rig_get32(r, OLD_TSS + 72 + 4 * GAMUT_CS), SEL_CODE32);
	/* A task that is busy, or not there, is none to go to. */
	assert_fault(r->v, sys_jmp_far(r->v, SEL_NEW, 0, 4), EXC_GP, SEL_NEW);
	rig_gdt(r, SEL_OLD, OLD_TSS, 0x67, 0x0009);
	assert_fault(r->v, sys_jmp_far(r->v, SEL_OLD, 0, 4), EXC_NP, SEL_OLD);
	rig_gdt(r, SEL_OLD, OLD_TSS, 0x66, 0x0089);
	assert_fault(r->v, sys_jmp_far(r->v, SEL_OLD, 0, 4), EXC_TS, SEL_OLD);
}

static void by_call_and_back(void **state)
{
	struct rig *r = *state;

	start(r, 9);
	new_task32(r, 2);
	assert_int_equal(sys_call_far(r->v, SEL_NEW, 0, 4, 0x30007), STEP_OK);
	assert_new_task32(r);
	assert_true(bt_rflags(r->v) & FL_NT);
	assert_int_equal(get16(r, NEW_TSS), SEL_OLD);
	assert_int_equal(access_of_desc(r, SEL_OLD), 0x8b); /* both are busy */
	r->v->gpr[RCX] = 0x77;
	assert_int_equal(sys_iret(r->v, 4), STEP_OK);
	assert_int_equal(r->v->rip, 0x30007);
	assert_int_equal(r->v->gpr[RCX], 0x11111111);
	assert_int_equal(access_of_desc(r, SEL_NEW), 0x89);
	assert_int_equal(rig_get32(r, NEW_TSS + 40 + 4 * RCX), 0x77);
	assert_false(rig_get32(r, NEW_TSS + 36) & FL_NT);
	/* Back to a task that is not busy. */
	r->v->rflags |= FL_NT;
	put16(r, OLD_TSS, SEL_NEW);
	assert_fault(r->v, sys_iret(r->v, 4), EXC_TS, SEL_NEW);
}

/* A 16-bit task has 16 bits of each register, and no CR3, FS or GS. */
static void small_tasks(void **state)
{
	struct rig *r = *state;

	start(r, 9);
	new_task16(r);
	assert_int_equal(sys_call_far(r->v, SEL_NEW, 0, 4, 0x30007), STEP_OK);
	assert_true(r->v->rip == 0x2000 && r->v->seg[GAMUT_CS].base == 0x30000);
	assert_int_equal(r->v->gpr[RSP] & 0xffff, 0xe000);
	assert_int_equal(r->v->gpr[RDX], 0xffffa002);
	assert_true(r->v->seg[GAMUT_FS].attr & SEG_UNUSABLE);
	r->v->gpr[RDX] = 0x12345678;
	assert_int_equal(sys_iret(r->v, 2), STEP_OK);
	assert_int_equal(r->v->rip, 0x30007);
	assert_int_equal(get16(r, NEW_TSS + 18 + 2 * RDX), 0x5678);
	assert_int_equal(get16(r, NEW_TSS + 18 + 2 * RBX), 0xa003); /* nothing is written beside the fields */
	/* And from a 16-bit one. */
	start(r, 1);
	new_task32(r, 2);
	assert_int_equal(sys_jmp_far(r->v, SEL_NEW, 0, 4), STEP_OK);
	assert_new_task32(r);
	assert_int_equal(get16(r, OLD_TSS + 18 + 2 * RBX), 0x3333);
	assert_int_equal(access_of_desc(r, SEL_OLD), 0x81);
}

static void by_gate(void **state)
{
	struct rig *r = *state;

	start(r, 9);
	new_task32(r, 2);
	rig_put64(r, RIG_GDT + SEL_GATE, (uint64_t)SEL_NEW << 16 | 0x85ull << 40);
	assert_int_equal(sys_call_far(r->v, SEL_GATE, 0, 4, 0x30007), STEP_OK);
	assert_new_task32(r);
	/* Through the IDT, by software from ring 3 too. */
	start(r, 9);
	new_task32(r, 2);
	rig_put64(r, RIG_IDT + 0x40 * 8, (uint64_t)SEL_NEW << 16 | 0xe5ull << 40);
	r->v->exc = (struct bt_exc){ .vector = 0x40, .soft = true, .int_n = true, .len = 2 };
	assert_true(exc_deliver(r->v));
	assert_new_task32(r);
	assert_int_equal(rig_get32(r, OLD_TSS + 32), 0x30002);
}

/* Faults of the new task's segments are raised in the new task, with #TS. */
static void faults_of_the_new_task(void **state)
{
	struct rig *r = *state;

	start(r, 9);
	new_task32(r, 2);
	rig_put32(r, NEW_TSS + 72 + 4 * GAMUT_SS, SEL_CODE32);
	assert_fault(r->v, sys_jmp_far(r->v, SEL_NEW, 0, 4), EXC_TS, SEL_CODE32);
	assert_int_equal(r->v->rip, NEW_IP);
	assert_int_equal(r->v->seg[GAMUT_TR].selector, SEL_NEW);
	start(r, 9);
	new_task32(r, 2);
	rig_put32(r, NEW_TSS + 96, SEL_DATA); /* no LDT */
	assert_fault(r->v, sys_jmp_far(r->v, SEL_NEW, 0, 4), EXC_TS, SEL_DATA);
	start(r, 9);
	new_task32(r, 2);
	rig_gdt(r, SEL_LDT, 0xe000, 0xff, 0x0082);
	rig_put32(r, NEW_TSS + 96, SEL_LDT);
	rig_put64(r, 0xe000, rig_desc(0x12000, 0xffff, 0x0093));
	rig_put32(r, NEW_TSS + 72 + 4 * GAMUT_ES, 4);
	assert_int_equal(sys_jmp_far(r->v, SEL_NEW, 0, 4), STEP_OK);
	assert_true(r->v->seg[GAMUT_LDTR].base == 0xe000 && r->v->seg[GAMUT_ES].base == 0x12000);
}

/* The T bit: #DB before the first instruction, after the switch. */
static void debug_trap(void **state)
{
	struct rig *r = *state;

	start(r, 9);
	new_task32(r, 2);
	rig_put32(r, NEW_TSS + 100, 0x00680001);
	r->v->dr[7] = 0x403;
	assert_int_equal(sys_jmp_far(r->v, SEL_NEW, 0, 4), STEP_FAULT);
	assert_true(r->v->exc.vector == EXC_DB && r->v->exc.dr6 == 0x8000);
	assert_new_task32(r);
	assert_int_equal(r->v->dr[7], 0x402); /* local breakpoints are the old task's */
}

static void virtual_8086_task(void **state)
{
	struct rig *r = *state;

	start(r, 9);
	new_task32(r, 2 | FL_VM | FL_IOPL);
	rig_put32(r, NEW_TSS + 32, 0x100);
	for (unsigned i = 0; i < 6; i++)
		rig_put32(r, NEW_TSS + 72 + 4 * i, 0x3000);
	assert_int_equal(sys_call_far(r->v, SEL_NEW, 0, 4, 0x30007), STEP_OK);
	assert_true(r->v->cpl == 3 && r->v->rip == 0x100 && r->v->seg[GAMUT_DS].base == 0x30000);
	/* NT means nothing there: iret is that of real mode. */
	assert_int_equal(bt_rflags(r->v) & (FL_VM | FL_NT), FL_VM | FL_NT);
	rig_put64(r, RIG_IDT + EXC_GP * 8, (uint64_t)SEL_OLD << 16 | 0x85ull << 40);
	rig_gdt(r, SEL_OLD, OLD_TSS, 0x67, 0x0089);
	r->v->exc = (struct bt_exc){ .vector = EXC_GP, .has_error = true };
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->cpl, 0);
	assert_int_equal(r->v->rip, 0x30007);
	assert_int_equal(rig_get32(r, NEW_TSS + 36) & FL_VM, FL_VM);
	assert_int_equal(sys_iret(r->v, 4), STEP_OK);
	assert_true(r->v->rflags & FL_VM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(by_jmp), RIG_TEST(by_call_and_back), RIG_TEST(small_tasks), RIG_TEST(by_gate),
		RIG_TEST(faults_of_the_new_task), RIG_TEST(debug_trap), RIG_TEST(virtual_8086_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
