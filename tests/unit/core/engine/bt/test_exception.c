/* SPDX-License-Identifier: MIT */
/* Delivery: gates of each mode and type, stacks, error codes, double and triple faults. */
#include "fake/bt-rig.h"

#define HANDLER 0x31000u
#define TSS64_RSP0 4
#define TSS64_IST1 36

static void long_mode(struct rig *r, unsigned cpl)
{
	rig_put64(r, RIG_TSS + TSS64_RSP0, RIG_STACK0);
	rig_put64(r, RIG_TSS + TSS64_IST1, RIG_IST1);
	rig_long(r, cpl);
}

static void protected_mode(struct rig *r, unsigned cpl)
{
	rig_put32(r, RIG_TSS + 4, RIG_STACK0);
	rig_put32(r, RIG_TSS + 8, SEL_DATA);
	rig_protected(r, cpl);
}

static void raise_fault(struct rig *r, uint8_t vector, bool has_error, uint32_t error)
{
	r->v->exc = (struct bt_exc){ .vector = vector, .has_error = has_error, .error = error };
}

static void assert_frame64(struct rig *r, uint64_t sp, const uint64_t *want, unsigned n)
{
	assert_int_equal(r->v->gpr[RSP], sp);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(rig_get64(r, sp + i * 8), want[i]);
}

static void assert_frame32(struct rig *r, uint64_t sp, const uint32_t *want, unsigned n)
{
	assert_int_equal(r->v->gpr[RSP], sp);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(rig_get32(r, sp + i * 4), want[i]);
}

static void long_same_level(void **state)
{
	struct rig *r = *state;

	long_mode(r, 0);
	r->v->gpr[RSP] = RIG_STACK - 3; /* is aligned */
	r->v->if_flag = 1;
	rig_gate64(r, EXC_GP, SEL_CODE64, HANDLER, 0x8e, 0);
	raise_fault(r, EXC_GP, true, 0x1234);
	assert_true(exc_deliver(r->v));
	assert_frame64(r, RIG_STACK - 16 - 48,
	               (uint64_t[]){ 0x1234, 0x30000, SEL_CODE64, 0x10202, RIG_STACK - 3, SEL_DATA }, 6);
	assert_int_equal(r->v->rip, HANDLER);
	assert_int_equal(r->v->if_flag, 0);
	assert_int_equal(r->v->seg[GAMUT_SS].selector, SEL_DATA);
}

static void long_from_user(void **state)
{
	struct rig *r = *state;

	long_mode(r, 3);
	r->v->if_flag = 1;
	r->v->rflags |= FL_TF | FL_NT | FL_DF;
	rig_gate64(r, EXC_UD, SEL_CODE64, HANDLER, 0x8f, 0); /* trap gate keeps IF */
	raise_fault(r, EXC_UD, false, 0);
	assert_true(exc_deliver(r->v));
	assert_frame64(r, RIG_STACK0 - 40,
	               (uint64_t[]){ 0x30000, SEL_UCODE64, 0x14702, RIG_STACK, SEL_UDATA }, 5);
	assert_int_equal(r->v->cpl, 0);
	assert_int_equal(r->v->if_flag, 1);
	assert_int_equal(bt_rflags(r->v) & (FL_TF | FL_NT | FL_RF), 0);
	assert_int_equal(bt_rflags(r->v) & FL_DF, FL_DF);
	assert_int_equal(r->v->seg[GAMUT_SS].selector, 0);
	assert_int_equal(r->v->seg[GAMUT_CS].selector, SEL_CODE64);
	assert_int_equal(r->v->key & KEY_USER, 0);
}

static void long_ist(void **state)
{
	struct rig *r = *state;

	long_mode(r, 0);
	rig_gate64(r, EXC_NMI, SEL_CODE64, HANDLER, 0x8e, 1);
	assert_true(exc_interrupt(r->v, EXC_NMI));
	assert_frame64(r, RIG_IST1 - 40, (uint64_t[]){ 0x30000, SEL_CODE64, 2, RIG_STACK, SEL_DATA }, 5);
	assert_true(r->v->nmi_blocked);
	assert_int_equal(sys_iret(r->v, 8), STEP_OK);
	assert_false(r->v->nmi_blocked);
	assert_int_equal(r->v->rip, 0x30000);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK);
}

static void interrupt_and_back(void **state)
{
	struct rig *r = *state;

	long_mode(r, 3);
	r->v->if_flag = 1;
	r->v->halted = true;
	r->v->shadow = 1;
	rig_gate64(r, 0xf3, SEL_CODE64, HANDLER, 0x8e, 0);
	assert_true(exc_interrupt(r->v, 0xf3));
	assert_false(r->v->halted);
	assert_int_equal(r->v->shadow, 0);
	assert_int_equal(rig_get64(r, r->v->gpr[RSP] + 16), 0x202); /* no RF for an interrupt */
	assert_int_equal(sys_iret(r->v, 8), STEP_OK);
	assert_int_equal(r->v->cpl, 3);
	assert_int_equal(r->v->if_flag, 1);
	assert_int_equal(r->v->seg[GAMUT_SS].selector, SEL_UDATA);
	assert_int_equal(r->v->key & KEY_USER, KEY_USER);
}

/*
 * What a bad gate, target or stack becomes. The fault is benign (#UD), so the
 * second exception is delivered by itself, with EXT in its error code.
 */
static void long_bad_gates(void **state)
{
	static const struct {
		const char *what;
		uint16_t selector;
		uint32_t attr; /* of SEL_FREE */
		unsigned access;
		uint16_t limit;
		uint8_t vector;
		uint32_t error;
	} cases[] = {
		{ "not present", SEL_CODE64, 0, 0x0e, 0xfff, EXC_NP, 6 * 8 + 3 },
		{ "task gate", SEL_CODE64, 0, 0x85, 0xfff, EXC_GP, 6 * 8 + 3 },
		{ "16-bit gate", SEL_CODE64, 0, 0x86, 0xfff, EXC_GP, 6 * 8 + 3 },
		{ "call gate", SEL_CODE64, 0, 0x8c, 0xfff, EXC_GP, 6 * 8 + 3 },
		{ "S bit", SEL_CODE64, 0, 0x9e, 0xfff, EXC_GP, 6 * 8 + 3 },
		{ "null target", 0, 0, 0x8e, 0xfff, EXC_GP, 1 },
		{ "null with RPL", 3, 0, 0x8e, 0xfff, EXC_GP, 1 },
		{ "target beyond the GDT", 0x2000, 0, 0x8e, 0xfff, EXC_GP, 0x2001 },
		{ "data", SEL_DATA, 0, 0x8e, 0xfff, EXC_GP, SEL_DATA | 1 },
		{ "32-bit code", SEL_CODE32, 0, 0x8e, 0xfff, EXC_GP, SEL_CODE32 | 1 },
		{ "less privileged", SEL_UCODE64, 0, 0x8e, 0xfff, EXC_GP, (SEL_UCODE64 & ~3) | 1 },
		{ "code not present", SEL_FREE, 0xa01b, 0x8e, 0xfff, EXC_NP, SEL_FREE | 1 },
		{ "L and D", SEL_FREE, 0xe09b, 0x8e, 0xfff, EXC_GP, SEL_FREE | 1 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		long_mode(r, 0);
		rig_gdt(r, SEL_FREE, 0, 0xfffff, cases[i].attr);
		rig_gate64(r, EXC_UD, cases[i].selector, HANDLER, cases[i].access, 0);
		for (unsigned vec = 10; vec < 14; vec++)
			rig_gate64(r, vec, SEL_CODE64, HANDLER + vec, 0x8e, 0);
		raise_fault(r, EXC_UD, false, 0);
		assert_true(exc_deliver(r->v));
		if (r->v->rip != HANDLER + cases[i].vector)
			print_error("%s\n", cases[i].what);
		assert_int_equal(r->v->rip, HANDLER + cases[i].vector);
		assert_int_equal(rig_get64(r, r->v->gpr[RSP]), cases[i].error);
	}
}

static void soft_interrupts(void **state)
{
	static const struct {
		unsigned cpl, access;
		bool soft, delivered;
		uint32_t error;
	} cases[] = {
		{ 0, 0x8e, true, true, 0 },          { 3, 0x8e, true, false, 0x80 * 8 + 2 },
		{ 3, 0xee, true, true, 0 },          { 3, 0x8e, false, true, 0 },
		{ 3, 0x6e, true, false, 0x80 * 8 + 2 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		long_mode(r, cases[i].cpl);
		rig_gate64(r, 0x80, SEL_CODE64, HANDLER, cases[i].access, 0);
		rig_gate64(r, EXC_GP, SEL_CODE64, HANDLER + EXC_GP, 0x8e, 0);
		rig_gate64(r, EXC_NP, SEL_CODE64, HANDLER + EXC_NP, 0x8e, 0);
		r->v->exc = (struct bt_exc){ .vector = 0x80, .soft = cases[i].soft, .len = 2 };
		assert_true(exc_deliver(r->v));
		if (cases[i].delivered) {
			assert_int_equal(r->v->rip, HANDLER);
			assert_int_equal(rig_get64(r, r->v->gpr[RSP]), cases[i].soft ? 0x30002 : 0x30000);
			continue;
		}
		assert_int_equal(rig_get64(r, r->v->gpr[RSP]), i == 4 ? 0x80 * 8 + 2 : cases[i].error);
		assert_int_equal(rig_get64(r, r->v->gpr[RSP] + 8), 0x30000); /* at the int */
		assert_int_equal(r->v->rip, HANDLER + (i == 4 ? EXC_NP : EXC_GP));
	}
}

/* First and second exception to what is delivered; 0xff: shutdown. */
static void combinations(void **state)
{
	static const struct {
		uint8_t first, gate_missing, result;
	} cases[] = {
		/* The first's gate is not present: second is #NP (contributory). */
		{ EXC_UD, 1, EXC_NP }, { EXC_DE, 1, EXC_DF }, { EXC_GP, 1, EXC_DF }, { EXC_PF, 1, EXC_DF },
		{ EXC_SS, 1, EXC_DF }, { EXC_TS, 1, EXC_DF }, { EXC_NP, 1, EXC_DF }, { EXC_BR, 1, EXC_NP },
		{ EXC_AC, 1, EXC_NP }, { EXC_DF, 1, 0xff },
		/* The first's target stack is unmapped: second is #PF. */
		{ EXC_UD, 2, EXC_PF }, { EXC_GP, 2, EXC_PF }, { EXC_PF, 2, EXC_DF }, { EXC_DF, 2, 0xff },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool ok;

		long_mode(r, 0);
		for (unsigned vec = 0; vec < 32; vec++)
			rig_gate64(r, vec, SEL_CODE64, HANDLER + vec, 0x8e, 0);
		rig_put64(r, RIG_TSS + TSS64_IST1, 0xa00000000ull); /* not mapped */
		if (cases[i].gate_missing == 1)
			rig_gate64(r, cases[i].first, SEL_CODE64, HANDLER, 0x0e, 0);
		else
			rig_gate64(r, cases[i].first, SEL_CODE64, HANDLER, 0x8e, 1);
		/* The handler of the second must be sound even when it is the same vector. */
		raise_fault(r, cases[i].first, true, 0);
		r->v->exc.cr2 = 0x123;
		ok = exc_deliver(r->v);
		assert_int_equal(ok, cases[i].result != 0xff);
		if (!ok) {
			assert_int_equal(r->v->rip, 0x30000);
			assert_int_equal(r->v->cr2, 0);
			continue;
		}
		assert_int_equal(r->v->rip, HANDLER + cases[i].result);
		if (cases[i].result == EXC_DF)
			assert_int_equal(rig_get64(r, r->v->gpr[RSP]), 0);
	}
}

static void page_fault_sets_cr2(void **state)
{
	struct rig *r = *state;

	long_mode(r, 3);
	rig_gate64(r, EXC_PF, SEL_CODE64, HANDLER, 0x8e, 0);
	raise_fault(r, EXC_PF, true, 6);
	r->v->exc.cr2 = 0xdeadb000;
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->cr2, 0xdeadb000);
	assert_int_equal(rig_get64(r, r->v->gpr[RSP]), 6);
}

static void debug_sets_dr6(void **state)
{
	struct rig *r = *state;

	long_mode(r, 0);
	rig_gate64(r, EXC_DB, SEL_CODE64, HANDLER, 0x8e, 0);
	r->v->dr[7] |= 0x2000;
	assert_int_equal(sys_write_dr(r->v, 0, 1), STEP_FAULT);
	assert_int_equal(r->v->exc.vector, EXC_DB);
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->dr[6], 0xffff2ff0);
	assert_int_equal(r->v->dr[7] & 0x2000, 0);
	assert_int_equal(rig_get64(r, r->v->gpr[RSP] + 16) & FL_RF, 0);
}

static void bad_stacks(void **state)
{
	struct rig *r = *state;

	/* Not canonical in the TSS: #SS, which has a good stack of its own. */
	long_mode(r, 3);
	rig_put64(r, RIG_TSS + TSS64_IST1, 0x900000000000);
	rig_gate64(r, EXC_UD, SEL_CODE64, HANDLER, 0x8e, 1);
	rig_gate64(r, EXC_SS, SEL_CODE64, HANDLER + EXC_SS, 0x8e, 0);
	raise_fault(r, EXC_UD, false, 0);
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->rip, HANDLER + EXC_SS);
	assert_int_equal(rig_get64(r, r->v->gpr[RSP]), 1);
	/* A TSS that ends before the field: #TS with its selector. */
	long_mode(r, 3);
	r->v->seg[GAMUT_TR].limit = 20;
	rig_gate64(r, EXC_TS, SEL_CODE64, HANDLER + EXC_TS, 0x8e, 0);
	raise_fault(r, EXC_UD, false, 0);
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->rip, HANDLER + EXC_TS);
	assert_int_equal(rig_get64(r, r->v->gpr[RSP]), SEL_TSS | 1);
}

/* Tables where nothing is: reads as ones, no exit, and in the end a shutdown. */
static void idt_in_a_hole(void **state)
{
	struct rig *r = *state;

	long_mode(r, 0);
	memset(r->mem.kind + (RIG_IDT >> 12), MEM_NONE, 1);
	raise_fault(r, EXC_UD, false, 0);
	assert_false(exc_deliver(r->v));
	assert_int_equal(r->v->rip, 0x30000);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK);
}

/* ---- protected mode ---- */

static void protected_same_level(void **state)
{
	struct rig *r = *state;

	protected_mode(r, 0);
	r->v->if_flag = 1;
	rig_gate32(r, EXC_GP, SEL_CODE32, HANDLER, 0x8e);
	raise_fault(r, EXC_GP, true, 0x18);
	assert_true(exc_deliver(r->v));
	assert_frame32(r, RIG_STACK - 16, (uint32_t[]){ 0x18, 0x30000, SEL_CODE32, 0x10202 }, 4);
	assert_int_equal(r->v->if_flag, 0);
	r->v->gpr[RSP] += 4;
	assert_int_equal(sys_iret(r->v, 4), STEP_OK);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK);
	assert_int_equal(bt_rflags(r->v), 0x10202);
}

static void protected_from_user(void **state)
{
	struct rig *r = *state;

	protected_mode(r, 3);
	rig_gate32(r, 0x80, SEL_CODE32, HANDLER, 0xef);
	r->v->exc = (struct bt_exc){ .vector = 0x80, .soft = true, .len = 2 };
	assert_true(exc_deliver(r->v));
	assert_frame32(r, RIG_STACK0 - 20, (uint32_t[]){ 0x30002, SEL_UCODE32, 2, RIG_STACK, SEL_UDATA }, 5);
	assert_int_equal(r->v->cpl, 0);
	assert_int_equal(r->v->seg[GAMUT_SS].selector, SEL_DATA);
	assert_int_equal(sys_iret(r->v, 4), STEP_OK);
	assert_int_equal(r->v->cpl, 3);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK);
	assert_int_equal(r->v->rip, 0x30002);
}

static void sixteen_bit_gate(void **state)
{
	struct rig *r = *state;
	uint16_t frame[3];

	protected_mode(r, 0);
	rig_gate32(r, EXC_UD, SEL_CODE32, 0xffff1000, 0x86);
	raise_fault(r, EXC_UD, false, 0);
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->rip, 0x1000);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK - 6);
	memcpy(frame, rig_at(r, RIG_STACK - 6), 6);
	assert_int_equal(frame[0], 0); /* 0x30000 cut */
	assert_int_equal(frame[1], SEL_CODE32);
}

static void protected_bad_stack(void **state)
{
	static const struct {
		uint16_t ss;
		uint8_t vector;
		uint32_t error;
	} cases[] = {
		{ 0, EXC_TS, 1 },
		{ SEL_UDATA, EXC_TS, (SEL_UDATA & ~3) | 1 },
		{ SEL_CODE32, EXC_TS, SEL_CODE32 | 1 },
		{ 0x3000, EXC_TS, 0x3001 },
		{ SEL_FREE, EXC_SS, SEL_FREE | 1 }, /* not present */
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		protected_mode(r, 3);
		rig_gdt(r, SEL_FREE, 0, 0xfffff, 0xc013);
		/* Handlers of the second exception run at level 3, through a conforming segment: no stack is needed. */
		rig_gdt(r, SEL_FREE + 8, 0, 0xfffff, 0xc09e);
		rig_gate32(r, EXC_UD, SEL_CODE32, HANDLER, 0x8e);
		for (unsigned vec = 10; vec < 14; vec++)
			rig_gate32(r, vec, SEL_FREE + 8, HANDLER + vec, 0x8e);
		rig_put32(r, RIG_TSS + 8, cases[i].ss);
		raise_fault(r, EXC_UD, false, 0);
		assert_true(exc_deliver(r->v));
		assert_int_equal(r->v->rip, HANDLER + cases[i].vector);
		assert_int_equal(r->v->cpl, 3);
		assert_int_equal(rig_get32(r, r->v->gpr[RSP]), cases[i].error);
	}
}

static void from_v86(void **state)
{
	struct rig *r = *state;

	protected_mode(r, 0);
	r->state.rflags = 2 | FL_VM | FL_IOPL;
	for (int i = 0; i < 6; i++)
		r->state.seg[i] =
			(struct gamut_segment){ .selector = 0x1000, .base = 0x10000, .limit = 0xffff, .attr = 0xf3 };
	r->state.rip = 0x100;
	r->state.gpr[RSP] = 0xfff0;
	rig_enter(r);
	assert_int_equal(r->v->cpl, 3);
	rig_gate32(r, 0x21, SEL_CODE32, HANDLER, 0xee);
	r->v->exc = (struct bt_exc){ .vector = 0x21, .soft = true, .int_n = true, .len = 2 };
	assert_true(exc_deliver(r->v));
	assert_frame32(r, RIG_STACK0 - 36,
	               (uint32_t[]){ 0x102, 0x1000, 0x23002, 0xfff0, 0x1000, 0x1000, 0x1000, 0x1000, 0x1000 }, 9);
	assert_int_equal(r->v->seg[GAMUT_DS].attr & SEG_UNUSABLE, SEG_UNUSABLE);
	assert_int_equal(sys_iret(r->v, 4), STEP_OK);
	assert_int_equal(bt_rflags(r->v), 0x23002);
	assert_int_equal(r->v->rip, 0x102);
	assert_int_equal(r->v->seg[GAMUT_DS].base, 0x10000);
	/* Below IOPL 3, int n is the monitor's. */
	r->v->rflags &= ~FL_IOPL;
	rig_gate32(r, EXC_GP, SEL_CODE32, HANDLER + EXC_GP, 0x8e);
	r->v->exc = (struct bt_exc){ .vector = 0x21, .soft = true, .int_n = true, .len = 2 };
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->rip, HANDLER + EXC_GP);
	assert_int_equal(rig_get32(r, r->v->gpr[RSP]), 0);
	/* int3 is not, whatever prefixes it has. */
	r->v->gpr[RSP] += 4;
	assert_int_equal(sys_iret(r->v, 4), STEP_OK);
	rig_gate32(r, EXC_BP, SEL_CODE32, HANDLER + EXC_BP, 0xee);
	r->v->exc = (struct bt_exc){ .vector = EXC_BP, .soft = true, .len = 2 };
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->rip, HANDLER + EXC_BP);
}

/* ---- real mode ---- */

static void real_mode(void **state)
{
	struct rig *r = *state;
	uint16_t frame[3];

	sys_reset(r->v);
	r->v->seg[GAMUT_CS].base = r->v->seg_base[GAMUT_CS] = 0x10000;
	r->v->seg[GAMUT_CS].selector = 0x1000;
	r->v->rip = 0x200;
	r->v->gpr[RSP] = 2; /* the frame wraps around the segment */
	r->v->if_flag = 1;
	rig_put32(r, 0x21 * 4, 0x20000345);
	r->v->exc = (struct bt_exc){ .vector = 0x21, .soft = true, .len = 2 };
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->rip, 0x345);
	assert_int_equal(r->v->seg[GAMUT_CS].base, 0x20000);
	assert_int_equal(r->v->gpr[RSP], 0xfffc);
	assert_int_equal(r->v->if_flag, 0);
	memcpy(frame, rig_at(r, 0xfffc), 4);
	memcpy(frame + 2, rig_at(r, 0), 2);
	assert_int_equal(frame[0], 0x202);
	assert_int_equal(frame[1], 0x1000);
	assert_int_equal(frame[2], 0x202);
	assert_int_equal(sys_iret(r->v, 2), STEP_OK);
	assert_int_equal(r->v->rip, 0x202);
	assert_int_equal(r->v->gpr[RSP], 2);
	assert_int_equal(r->v->if_flag, 1);
}

/* ---- tasks ---- */

static void task_gate(void **state)
{
	struct rig *r = *state;

	protected_mode(r, 0);
	rig_gdt(r, SEL_FREE, RIG_TSS2, 0x67, 0x0089);
	rig_put32(r, RIG_TSS2 + 32, 0x32000);
	rig_put32(r, RIG_TSS2 + 36, 2);
	rig_put32(r, RIG_TSS2 + 56, 0x2e000);
	rig_put32(r, RIG_TSS2 + 72, SEL_DATA);
	rig_put32(r, RIG_TSS2 + 76, SEL_CODE32);
	rig_put32(r, RIG_TSS2 + 80, SEL_DATA);
	rig_put32(r, RIG_TSS2 + 84, SEL_DATA);
	rig_gate32(r, EXC_DF, SEL_FREE, 0, 0x85);
	raise_fault(r, EXC_DF, true, 0);
	r->v->gpr[RBX] = 0xb0b0b0b0;
	assert_true(exc_deliver(r->v));
	assert_int_equal(r->v->rip, 0x32000);
	assert_int_equal(r->v->gpr[RSP], 0x2e000 - 4); /* the error code */
	assert_int_equal(r->v->seg[GAMUT_TR].base, RIG_TSS2);
	assert_int_equal(rig_get32(r, RIG_TSS2) & 0xffff, SEL_TSS); /* back link */
	assert_int_equal(bt_rflags(r->v) & FL_NT, FL_NT);
	assert_int_equal(r->v->cr0 & CR0_TS, CR0_TS);
	assert_int_equal(rig_get32(r, RIG_TSS + 52), 0xb0b0b0b0);
	assert_int_equal(rig_get32(r, RIG_TSS + 32), 0x30000);
	r->v->gpr[RSP] += 4;
	assert_int_equal(sys_iret(r->v, 4), STEP_OK);
	assert_int_equal(r->v->rip, 0x30000);
	assert_int_equal(r->v->gpr[RBX], 0xb0b0b0b0);
	assert_int_equal(r->v->seg[GAMUT_TR].base, RIG_TSS);
	assert_int_equal(rig_get64(r, RIG_GDT + SEL_FREE) >> 40 & 0xff, 0x89); /* no longer busy */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(long_same_level),      RIG_TEST(long_from_user),       RIG_TEST(long_ist),
		RIG_TEST(interrupt_and_back),   RIG_TEST(long_bad_gates),       RIG_TEST(soft_interrupts),
		RIG_TEST(combinations),         RIG_TEST(page_fault_sets_cr2),  RIG_TEST(debug_sets_dr6),
		RIG_TEST(bad_stacks),           RIG_TEST(idt_in_a_hole),        RIG_TEST(protected_same_level),
		RIG_TEST(protected_from_user),  RIG_TEST(sixteen_bit_gate),     RIG_TEST(protected_bad_stack),
		RIG_TEST(from_v86),             RIG_TEST(real_mode),            RIG_TEST(task_gate),
	};

	return RIG_RUN_BOTH(tests);
}
