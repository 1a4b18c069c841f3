/* SPDX-License-Identifier: MIT */
/*
 * What the processor cannot be asked about in user mode: system instructions,
 * exits and their replay, faults in the middle, traps, 16 and 32-bit code.
 */
#include "fake/bt-rig.h"

#define NOPAGE (RIG_DATA + 0x1000) /* the page after the data page, absent in some tests */

static unsigned put_code(struct rig *r, const char *hex)
{
	uint64_t at = r->v->seg[GAMUT_CS].base + r->v->rip;
	unsigned n = 0;
	char *end;

	for (; *hex; hex = end)
		*rig_at(r, at + n++) = (uint8_t)strtoul(hex, &end, 16);
	return n;
}

/* One instruction. */
static enum bt_step run(struct rig *r, const char *hex)
{
	put_code(r, hex);
	return interp_step(r->v);
}

static void assert_plain_fault(struct rig *r, enum bt_step step, unsigned vector)
{
	assert_int_equal(step, STEP_FAULT);
	assert_int_equal(r->v->exc.vector, vector);
}

/* What vcpu_run does with the core's answer. */
static void answer(struct rig *r, uint64_t value)
{
	r->v->replay.value[r->v->replay.done++] = value;
}

static void absent(struct rig *r, uint64_t va)
{
	rig_put64(r, RIG_PT + (va >> 12) * 8, 0);
	tlb_flush(r->v, true);
}

static int setup(void **state)
{
	struct rig *r = rig_create();

	*state = r;
	return interp_init(r->v);
}

static int teardown(void **state)
{
	interp_finish(((struct rig *)*state)->v);
	return rig_teardown(state);
}

/* ---- exits -------------------------------------------------------------------------- */

static void port_input(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->v->gpr[RAX] = 0x1122334455667788;
	assert_int_equal(run(r, "e4 60"), STEP_EXIT); /* in al, 60h */
	assert_int_equal(r->exit.reason, EXIT_PIO);
	assert_true(r->exit.pio.port == 0x60 && r->exit.pio.width == 1 && !r->exit.pio.write);
	assert_int_equal(r->v->rip, 0x30000);
	answer(r, 0xffab);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->gpr[RAX], 0x11223344556677ab);
	assert_int_equal(r->v->rip, 0x30002);
	assert_int_equal(r->v->replay.done, 0);
}

/* What vcpu_run does with an exit of several elements. */
static void assert_run(struct rig *r, enum bt_step step, unsigned width, unsigned count, bool write)
{
	assert_int_equal(step, STEP_EXIT);
	assert_int_equal(r->exit.reason, EXIT_PIO);
	assert_int_equal(r->exit.pio.port, 0x1f0);
	assert_int_equal(r->exit.pio.width, width);
	assert_int_equal(r->exit.pio.count, count);
	assert_int_equal(r->exit.pio.write, write);
	assert_int_equal(r->v->io_run.n, count > 1 ? count : 0);
}

static void rep_setup(struct rig *r, uint64_t count, uint64_t rsi, uint64_t rdi)
{
	r->v->gpr[RDX] = 0x1f0;
	r->v->gpr[RCX] = count;
	r->v->gpr[RSI] = rsi;
	r->v->gpr[RDI] = rdi;
}

static void rep_ins(void **state)
{
	static const uint16_t words[3] = { 0x1111, 0x2222, 0x3333 };
	struct rig *r = *state;

	rig_long(r, 0);
	rep_setup(r, 3, 0, RIG_DATA);
	r->v->shadow = 1;
	r->v->rflags |= FL_RF;
	assert_run(r, run(r, "f3 66 6d"), 2, 3, false); /* rep insw */
	assert_int_equal(r->v->gpr[RCX], 3);
	assert_int_equal(r->v->rip, 0x30000);
	memcpy(r->exit.pio.buf, words, sizeof(words));
	io_many_done(r->v);
	assert_int_equal(r->v->rip, 0x30003);
	assert_int_equal(r->v->gpr[RCX], 0);
	assert_int_equal(r->v->gpr[RDI], RIG_DATA + 6);
	assert_int_equal(rig_get64(r, RIG_DATA), 0x333322221111);
	assert_int_equal(r->v->shadow, 0);
	assert_int_equal(r->v->rflags & FL_RF, 0);
	/* A destination that faults does so before the port is read. */
	rig_long(r, 0);
	rep_setup(r, 3, 0, NOPAGE);
	absent(r, NOPAGE);
	assert_plain_fault(r, run(r, "f3 66 6d"), EXC_PF);
	assert_int_equal(r->v->exc.cr2, NOPAGE);
	assert_int_equal(r->v->gpr[RCX], 3);
}

static void rep_outs(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	memcpy(rig_at(r, RIG_DATA), "abcdefgh", 8);
	rep_setup(r, 2, RIG_DATA, 0);
	assert_int_equal(mmu_read(r->v, RIG_DATA, r->v->io_buf, 1, 0), STEP_OK); /* the page is at hand */
	assert_run(r, run(r, "f3 6f"), 4, 2, true); /* rep outsd */
	assert_memory_equal(r->exit.pio.buf, "abcdefgh", 8);
	io_many_done(r->v);
	assert_int_equal(r->v->gpr[RSI], RIG_DATA + 8);
	assert_int_equal(r->v->rip, 0x30002);
}

/* To the end of the page, the element that crosses, and the rest. */
static void rep_ins_over_pages(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	rep_setup(r, 10, 0, RIG_DATA + 0xff7);
	assert_run(r, run(r, "f3 66 6d"), 2, 4, false);
	memset(r->exit.pio.buf, 0x11, 8);
	io_many_done(r->v);
	assert_int_equal(r->v->rip, 0x30000);
	assert_int_equal(r->v->gpr[RCX], 6);
	assert_run(r, interp_step(r->v), 2, 1, false);
	answer(r, 0x2222);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->gpr[RCX], 5);
	assert_run(r, interp_step(r->v), 2, 5, false);
	memset(r->exit.pio.buf, 0x33, 10);
	io_many_done(r->v);
	assert_memory_equal(rig_at(r, RIG_DATA + 0xff7), "\x11\x11\x11\x11\x11\x11\x11\x11\x22\x22\x33", 11);
	assert_int_equal(r->v->gpr[RCX], 0);
	assert_int_equal(r->v->rip, 0x30003);
	/* The page behind is absent: what is before it arrives, and the fault says where. */
	rig_long(r, 0);
	rep_setup(r, 10, 0, RIG_DATA + 0xffc);
	absent(r, NOPAGE);
	assert_run(r, run(r, "f3 66 6d"), 2, 2, false);
	io_many_done(r->v);
	assert_plain_fault(r, interp_step(r->v), EXC_PF);
	assert_int_equal(r->v->exc.cr2, NOPAGE);
	assert_int_equal(r->v->gpr[RCX], 8);
}

/* 16-bit addresses wrap, counts are of 16 bits, and the limit holds; as in real mode. */
static void rep_ins_16(void **state)
{
	struct rig *r = *state;

	rig_protected(r, 0);
	r->v->seg[GAMUT_ES].base = 0x40000;
	rep_setup(r, 0xabcd0004, 0, 0x12340000 | 0xfffc);
	assert_run(r, run(r, "67 f3 66 6d"), 2, 2, false);
	memset(r->exit.pio.buf, 0x77, 4);
	io_many_done(r->v);
	assert_int_equal(r->v->gpr[RCX], 0xabcd0002);
	assert_int_equal(r->v->gpr[RDI], 0x12340000);
	assert_int_equal(rig_get32(r, 0x4fffc), 0x77777777);
	assert_run(r, interp_step(r->v), 2, 2, false);
	io_many_done(r->v);
	assert_int_equal(r->v->rip, 0x30004);
	/* One of the three is within the limit. */
	rig_protected(r, 0);
	r->v->seg[GAMUT_ES].limit = RIG_DATA + 2;
	rep_setup(r, 3, 0, RIG_DATA);
	assert_run(r, run(r, "f3 66 6d"), 2, 1, false);
	answer(r, 0x4444);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_plain_fault(r, interp_step(r->v), EXC_GP);
	assert_int_equal(r->v->gpr[RCX], 2);
}

/* One by one: downwards, to a device, with a trap after each. No port without the right to it. */
static void rep_by_one(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	rep_setup(r, 3, 0, RIG_DATA + 8);
	r->v->rflags |= FL_DF;
	for (unsigned i = 0; i < 3; i++) {
		assert_run(r, run(r, "f3 66 6d"), 2, 1, false);
		answer(r, 0x1111 * (i + 1));
		assert_int_equal(interp_step(r->v), STEP_OK);
	}
	assert_int_equal(rig_get64(r, RIG_DATA + 4) & 0xffffffffffff, 0x111122223333);
	assert_int_equal(r->v->rip, 0x30003);
	rig_long(r, 0);
	rep_setup(r, 3, 0, RIG_DATA);
	r->mem.kind[RIG_DATA >> 12] = MEM_NONE;
	assert_run(r, run(r, "f3 66 6d"), 2, 1, false);
	r->mem.kind[RIG_DATA >> 12] = MEM_RAM;
	rig_long(r, 0);
	rep_setup(r, 3, 0, RIG_DATA);
	r->v->rflags |= FL_TF;
	assert_run(r, run(r, "f3 66 6d"), 2, 1, false);
	rig_long(r, 3);
	rep_setup(r, 3, 0, RIG_DATA);
	memset(rig_at(r, RIG_TSS + 0x1f0 / 8), 0xff, 2); /* the bitmap begins with the TSS */
	assert_plain_fault(r, run(r, "f3 66 6d"), EXC_GP);
	rig_long(r, 0);
	rep_setup(r, 0, 0, NOPAGE);
	assert_int_equal(run(r, "f3 66 6d"), STEP_OK);
	assert_int_equal(r->v->rip, 0x30003);
}

/* Code that the elements are written over goes; a page that is no RAM any more takes none. */
static void rep_ins_to_code(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	rep_setup(r, 4, 0, RIG_DATA);
	r->mem.code[RIG_DATA >> 12] = 1;
	r->covers = true;
	assert_run(r, run(r, "f3 6c"), 1, 4, false);
	r->invalidations = 0;
	memset(r->exit.pio.buf, 0x90, 4);
	io_many_done(r->v);
	assert_int_equal(r->invalidations, 1);
	assert_int_equal(r->invalidated_gpa, RIG_DATA);
	assert_int_equal(rig_get32(r, RIG_DATA), 0x90909090);
	rep_setup(r, 4, 0, RIG_DATA);
	r->v->rip = 0x30000;
	assert_run(r, interp_step(r->v), 1, 4, false);
	memset(r->exit.pio.buf, 0x55, 4);
	r->mem.kind[RIG_DATA >> 12] = MEM_ROM;
	io_many_done(r->v);
	assert_int_equal(rig_get32(r, RIG_DATA), 0x90909090);
	assert_int_equal(r->v->gpr[RCX], 0);
}

static void mmio(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->mem.kind[RIG_DATA >> 12] = MEM_NONE;
	r->v->gpr[RBX] = RIG_DATA + 8;
	r->v->gpr[RAX] = 5;
	assert_int_equal(run(r, "01 03"), STEP_EXIT); /* add [rbx], eax */
	assert_true(r->exit.reason == EXIT_MMIO && !r->exit.mmio.write && r->exit.mmio.gpa == RIG_DATA + 8);
	answer(r, 0xfffffffb);
	assert_int_equal(interp_step(r->v), STEP_EXIT);
	assert_true(r->exit.mmio.write && r->exit.mmio.width == 4 && r->exit.mmio.data == 0);
	assert_int_equal(r->v->rflags & FL_ARITH, 0);
	answer(r, 0);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->rflags & (FL_ZF | FL_CF), FL_ZF | FL_CF);
}

/* Each element is committed; twenty are more than the record holds. */
static void mmio_string(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->mem.kind[RIG_DATA >> 12] = MEM_NONE;
	r->v->gpr[RSI] = 0x50000;
	r->v->gpr[RDI] = RIG_DATA;
	r->v->gpr[RCX] = 20;
	put_code(r, "f3 a4");
	for (unsigned i = 0; i < 20; i++) {
		*rig_at(r, 0x50000 + i) = (uint8_t)i;
		assert_int_equal(interp_step(r->v), STEP_EXIT);
		assert_true(r->exit.mmio.gpa == RIG_DATA + i && r->exit.mmio.data == i);
		answer(r, 0);
		assert_int_equal(interp_step(r->v), STEP_OK);
		assert_int_equal(r->v->gpr[RCX], 19 - i);
	}
	assert_int_equal(r->v->rip, 0x30002);
}

static void hypercalls(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->v->gpr[RAX] = 17;
	r->v->gpr[RDI] = 1;
	r->v->gpr[R9] = 6;
	assert_int_equal(run(r, "0f 01 d9"), STEP_EXIT);
	assert_int_equal(r->exit.reason, EXIT_HYPERCALL);
	assert_true(r->exit.hypercall.nr == 17 && r->exit.hypercall.args[0] == 1 && r->exit.hypercall.args[5] == 6);
	assert_true(r->exit.hypercall.long_mode && r->exit.rip == 0x30000 && r->v->rip == 0x30003);
	rig_protected(r, 0);
	r->v->gpr[RBX] = 7;
	assert_int_equal(run(r, "0f 01 c1"), STEP_EXIT);
	assert_true(!r->exit.hypercall.long_mode && r->exit.hypercall.args[0] == 7);
}

/* ---- faults ------------------------------------------------------------------------- */

static void fault_in_second_page(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	absent(r, NOPAGE);
	rig_put32(r, NOPAGE - 4, 0x01020304);
	r->v->gpr[RBX] = NOPAGE - 2;
	r->v->gpr[RAX] = ~0ull;
	assert_plain_fault(r, run(r, "48 01 03"), EXC_PF); /* add [rbx], rax */
	assert_int_equal(r->v->exc.cr2, NOPAGE);
	assert_int_equal(r->v->exc.error, 2);
	assert_int_equal(rig_get32(r, NOPAGE - 4), 0x01020304);
	assert_true(r->v->rip == 0x30000 && !(r->v->rflags & FL_ARITH));
	assert_plain_fault(r, run(r, "48 87 03"), EXC_PF); /* xchg */
	assert_int_equal(r->v->gpr[RAX], ~0ull);
	r->v->gpr[RSP] = NOPAGE + 4;
	assert_plain_fault(r, run(r, "50"), EXC_PF); /* push */
	assert_int_equal(r->v->gpr[RSP], NOPAGE + 4);
	assert_int_equal(rig_get32(r, NOPAGE - 4), 0x01020304);
	/* The instruction itself. */
	r->v->rip = NOPAGE - 1;
	assert_plain_fault(r, run(r, "48"), EXC_PF);
	assert_int_equal(r->v->exc.cr2, NOPAGE);
	assert_int_equal(r->v->rip, NOPAGE - 1);
}

static unsigned x87_top(void)
{
	uint16_t status;

	__asm__ volatile("fnstsw %0" : "=a"(status));
	return status >> 11 & 7;
}

/* fstp whose write fails has not popped. */
static void x87_store_fault(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->v->gpr[RBX] = NOPAGE - 2;
	put_code(r, "db 3b"); /* fstp tbyte [rbx] */
	__asm__ volatile("fninit; fld1; fldpi");
	assert_int_equal(x87_top(), 6);
	absent(r, NOPAGE);
	assert_plain_fault(r, interp_step(r->v), EXC_PF);
	assert_int_equal(x87_top(), 6);
	rig_put64(r, RIG_PT + (NOPAGE >> 12) * 8, NOPAGE | 7);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(x87_top(), 7);
	assert_int_equal(rig_get64(r, NOPAGE - 2), 0xc90fdaa22168c235); /* pi */
	__asm__ volatile("fninit");
}

struct fault_case {
	const char *code;
	uint64_t cr0, cr4; /* set on top */
	unsigned cpl, vector;
};

static void refusals(void **state)
{
	static const struct fault_case cases[] = {
		{"d9 e8", CR0_EM, 0, 0, EXC_NM},            /* fld1 */
		{"d9 e8", CR0_TS, 0, 0, EXC_NM},
		{"0f ef c0", CR0_EM, CR4_OSFXSR, 0, EXC_UD}, /* pxor mm */
		{"0f 58 c1", 0, 0, 0, EXC_UD},              /* addps without OSFXSR */
		{"0f 58 c1", CR0_TS, CR4_OSFXSR, 0, EXC_NM},
		{"c5 f4 58 c1", 0, CR4_OSFXSR, 0, EXC_UD},  /* vaddps without OSXSAVE */
		{"9b", CR0_MP | CR0_TS, 0, 0, EXC_NM},
		{"0f ae 00", CR0_TS, CR4_OSFXSR, 0, EXC_NM}, /* fxsave */
		{"0f ae 20", 0, 0, 0, EXC_UD},              /* xsave */
		{"0f 01 d0", 0, 0, 0, EXC_UD},              /* xgetbv */
		{"f3 0f ae c0", 0, 0, 0, EXC_UD},           /* rdfsbase */
		{"f4", 0, 0, 3, EXC_GP},
		{"fa", 0, 0, 3, EXC_GP},
		{"fb", 0, 0, 3, EXC_GP},
		{"0f 01 10", 0, 0, 3, EXC_GP},              /* lgdt */
		{"0f 20 c0", 0, 0, 3, EXC_GP},
		{"0f 32", 0, 0, 3, EXC_GP},                 /* rdmsr */
		{"0f 09", 0, 0, 3, EXC_GP},
		{"0f 01 38", 0, 0, 3, EXC_GP},              /* invlpg */
		{"0f 06", 0, 0, 3, EXC_GP},
		{"0f 31", 0, CR4_TSD, 3, EXC_GP},
		{"0f 01 00", 0, CR4_UMIP, 3, EXC_GP},       /* sgdt */
		{"0f 33", 0, 0, 0, EXC_GP},
		{"0f 0b", 0, 0, 0, EXC_UD},
		{"0f aa", 0, 0, 0, EXC_UD},
		{"66 66 66 66 66 66 66 66 66 66 66 66 66 66 66", 0, 0, 0, EXC_GP},
		{"0f 28 43 01", 0, CR4_OSFXSR, 0, EXC_GP},  /* movaps, unaligned */
		{"48 0f c7 4b 08", 0, 0, 0, EXC_GP},        /* cmpxchg16b, unaligned */
		{"cd 80", 0, 0, 0, 0x80},
		{"cc", 0, 0, 0, EXC_BP},
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_long(r, cases[i].cpl);
		r->v->cr0 |= cases[i].cr0;
		r->v->cr4 |= cases[i].cr4;
		r->v->gpr[RBX] = r->v->gpr[RAX] = RIG_DATA;
		assert_plain_fault(r, run(r, cases[i].code), cases[i].vector);
		assert_int_equal(r->v->rip, 0x30000);
	}
}

/* ---- traps -------------------------------------------------------------------------- */

static void single_step(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->v->rflags |= FL_TF;
	assert_plain_fault(r, run(r, "90"), EXC_DB);
	assert_int_equal(r->v->exc.dr6, 0x4000);
	assert_int_equal(r->v->rip, 0x30001);
	/* mov ss, ax holds the trap off for one instruction. */
	r->v->gpr[RAX] = SEL_DATA;
	put_code(r, "8e d0 90");
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->shadow, 1);
	assert_plain_fault(r, interp_step(r->v), EXC_DB);
	assert_int_equal(r->v->shadow, 0);
	assert_int_equal(r->v->rip, 0x30004);
}

static void breakpoints(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->v->dr[0] = RIG_DATA + 4;
	r->v->dr[7] = 0x400 | 1 | 0xdull << 16; /* write, 4 bytes */
	r->v->gpr[RBX] = RIG_DATA;
	assert_int_equal(run(r, "89 03"), STEP_OK); /* mov [rbx], eax */
	assert_int_equal(run(r, "8b 43 04"), STEP_OK);
	assert_plain_fault(r, run(r, "89 43 06"), EXC_DB);
	assert_int_equal(r->v->exc.dr6, 1);
	assert_int_equal(r->v->rip, 0x30008);
	/* On execution: a fault, unless RF. */
	r->v->dr[0] = r->v->rip;
	r->v->dr[7] = 0x400 | 1;
	assert_plain_fault(r, run(r, "90"), EXC_DB);
	assert_int_equal(r->v->rip, 0x30008);
	r->v->rflags |= FL_RF;
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->rflags & FL_RF, 0);
	/* RF lasts for all repetitions, however many steps they take. */
	r->v->dr[0] = r->v->rip;
	r->v->rflags |= FL_RF;
	r->v->gpr[RSI] = r->v->gpr[RDI] = RIG_DATA;
	r->v->gpr[RCX] = 1200;
	put_code(r, "f3 a4");
	for (unsigned i = 0; r->v->rip == r->v->dr[0]; i++) {
		assert_true(i < 1200);
		assert_int_equal(interp_step(r->v), STEP_OK);
	}
	assert_true(r->v->gpr[RCX] == 0 && !(r->v->rflags & FL_RF));
}

static void sti_shadow(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	assert_int_equal(run(r, "fb"), STEP_OK);
	assert_true(r->v->shadow && r->v->if_flag);
	assert_int_equal(run(r, "f4"), STEP_OK);
	assert_true(!r->v->shadow && r->v->halted);
	assert_int_equal(r->v->rip, 0x30002);
}

/* ---- state ---------------------------------------------------------------------------- */

static void fpu_images(void **state)
{
	struct rig *r = *state;
	uint8_t *at = rig_at(r, RIG_DATA);

	rig_long(r, 0);
	r->v->cr4 |= CR4_OSFXSR;
	r->v->gpr[RBX] = RIG_DATA;
	put_code(r, "0f ae 03"); /* fxsave */
	__asm__ volatile("fninit; fld1");
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(at[4], 0x80);
	assert_int_equal(rig_get64(r, RIG_DATA + 8), 0); /* no address of the host */
	assert_int_equal(rig_get64(r, RIG_DATA + 32), 0x8000000000000000);
	put_code(r, "dd 33"); /* fnsave: 108 bytes, then the state is fresh */
	memset(at, 0xcc, 112);
	__asm__ volatile("fninit; fld1; fldpi");
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(x87_top(), 0);
	assert_true(at[37] == 0x40 && at[47] == 0x3f && at[107] != 0xcc && at[108] == 0xcc);
	put_code(r, "dd 23"); /* frstor */
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(x87_top(), 6);
	__asm__ volatile("fninit");
}

static void segment_bases(void **state)
{
	struct rig *r = *state;

	rig_long(r, 3);
	r->v->cr4 |= CR4_FSGSBASE;
	r->v->gpr[RAX] = RIG_DATA;
	assert_int_equal(run(r, "f3 48 0f ae d0"), STEP_OK); /* wrfsbase rax */
	assert_int_equal(r->v->seg_base[GAMUT_FS], RIG_DATA);
	rig_put64(r, RIG_DATA + 8, 0x1234);
	assert_int_equal(run(r, "64 48 8b 0c 25 08 00 00 00"), STEP_OK); /* mov rcx, fs:[8] */
	assert_int_equal(r->v->gpr[RCX], 0x1234);
	r->v->gpr[RAX] = 1ull << 60;
	assert_plain_fault(r, run(r, "f3 48 0f ae d8"), EXC_GP);
}

/* ---- 32 and 16-bit code ------------------------------------------------------------------ */

static void stack_frames_32(void **state)
{
	struct rig *r = *state;
	uint64_t before[8];

	rig_protected(r, 0);
	for (unsigned i = 0; i < 8; i++)
		r->v->gpr[i] = i == RSP ? RIG_STACK : 0x1000 + i;
	memcpy(before, r->v->gpr, sizeof(before));
	assert_int_equal(run(r, "60"), STEP_OK); /* pusha */
	assert_int_equal(r->v->gpr[RSP], RIG_STACK - 32);
	assert_int_equal(rig_get32(r, RIG_STACK - 20), RIG_STACK);
	memset(r->v->gpr, 0, 32);
	r->v->gpr[RSP] = RIG_STACK - 32;
	assert_int_equal(run(r, "61"), STEP_OK);
	assert_memory_equal(r->v->gpr, before, sizeof(before));
	assert_int_equal(run(r, "c8 10 00 00"), STEP_OK); /* enter 16, 0 */
	assert_true(r->v->gpr[RBP] == RIG_STACK - 4 && r->v->gpr[RSP] == RIG_STACK - 20);
	assert_int_equal(run(r, "c9"), STEP_OK);
	assert_memory_equal(r->v->gpr, before, sizeof(before));
	assert_int_equal(run(r, "40"), STEP_OK); /* inc eax, not a REX */
	assert_int_equal(r->v->gpr[RAX], 0x1001);
	r->v->gpr[RAX] = 0xffffffff;
	assert_int_equal(run(r, "40"), STEP_OK);
	assert_int_equal(r->v->gpr[RAX], 0);
}

/* The sum of two packed decimal numbers, by the definition of decimal. */
static void decimal(void **state)
{
	struct rig *r = *state;

	rig_protected(r, 0);
	for (unsigned a = 0; a < 100; a++) {
		for (unsigned b = 0; b < 100; b++) {
			unsigned sum = a + b, diff = 100 + a - b;

			r->v->rip = 0x30000;
			r->v->gpr[RAX] = a / 10 << 4 | a % 10;
			r->v->gpr[RCX] = b / 10 << 4 | b % 10;
			put_code(r, "00 c8 27"); /* add al, cl; daa */
			assert_true(interp_step(r->v) == STEP_OK && interp_step(r->v) == STEP_OK);
			assert_int_equal(r->v->gpr[RAX], sum / 10 % 10 << 4 | sum % 10);
			assert_int_equal((r->v->rflags & FL_CF) != 0, sum > 99);
			r->v->rip = 0x30000;
			r->v->gpr[RAX] = a / 10 << 4 | a % 10;
			put_code(r, "28 c8 2f"); /* sub al, cl; das */
			assert_true(interp_step(r->v) == STEP_OK && interp_step(r->v) == STEP_OK);
			assert_int_equal(r->v->gpr[RAX], diff / 10 % 10 << 4 | diff % 10);
			assert_int_equal((r->v->rflags & FL_CF) != 0, a < b);
		}
	}
	for (unsigned a = 0; a < 100; a++) {
		r->v->gpr[RAX] = a;
		assert_int_equal(run(r, "d4 0a"), STEP_OK); /* aam */
		assert_int_equal(r->v->gpr[RAX], a / 10 << 8 | a % 10);
		assert_int_equal(run(r, "d5 0a"), STEP_OK); /* aad */
		assert_int_equal(r->v->gpr[RAX], a);
	}
	assert_plain_fault(r, run(r, "d4 00"), EXC_DE);
}

static void enter_real(struct rig *r)
{
	rig_state(r, false, 0);
	r->state.cr0 = CR0_ET;
	r->state.rip = 0x100;
	r->state.gpr[RSP] = 0x8000;
	for (int i = GAMUT_ES; i <= GAMUT_GS; i++)
		r->state.seg[i] = (struct gamut_segment){.selector = 0x3000, .base = 0x30000, .limit = 0xffff,
							 .attr = i == GAMUT_CS ? 0x9b : 0x93};
	rig_enter(r);
}

static void real_mode(void **state)
{
	struct rig *r = *state;

	enter_real(r);
	/* mov ax, 1234h; push ax; pop bx; add bl, ah; mov [500h], bx; mov cx, 5; loop $; call +3 */
	put_code(r, "b8 34 12 50 5b 00 e3 89 1e 00 05 b9 05 00 e2 fe e8 03 00");
	for (unsigned i = 0; i < 11; i++)
		assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->gpr[RCX], 0);
	assert_int_equal(r->v->rip, 0x110);
	assert_int_equal(rig_get64(r, 0x30500) & 0xffff, 0x1246);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->rip, 0x116);
	assert_int_equal(rig_get64(r, 0x37ffe) & 0xffff, 0x113);
	assert_int_equal(run(r, "c3"), STEP_OK);
	assert_true(r->v->rip == 0x113 && (r->v->gpr[RSP] & 0xffff) == 0x8000);
	assert_int_equal(run(r, "66 b8 78 56 34 12"), STEP_OK); /* mov eax, imm32 */
	assert_int_equal(r->v->gpr[RAX], 0x12345678);
	assert_plain_fault(r, run(r, "cd 21"), 0x21);
	assert_true(r->v->exc.soft && r->v->exc.len == 2);
	/* Beyond the limit, by data and by code; protected-mode instructions. */
	r->v->gpr[RBX] = 0xffff;
	assert_plain_fault(r, run(r, "8b 07"), EXC_GP);
	assert_plain_fault(r, run(r, "0f 00 c0"), EXC_UD);
	assert_plain_fault(r, run(r, "c5 f4 58 c1"), EXC_UD);
}

/* lds, xlat, bound, and a string with the direction down. */
static void old_instructions(void **state)
{
	struct rig *r = *state;

	enter_real(r);
	rig_put32(r, 0x30600, 0x40005678);
	r->v->gpr[RBX] = 0x600;
	assert_int_equal(run(r, "c5 37"), STEP_OK); /* lds si, [bx] */
	assert_true(r->v->gpr[RSI] == 0x5678 && r->v->seg[GAMUT_DS].base == 0x40000);
	*rig_at(r, 0x40600 + 7) = 0x99;
	r->v->gpr[RAX] = 7;
	assert_int_equal(run(r, "d7"), STEP_OK);
	assert_int_equal(r->v->gpr[RAX], 0x99);
	rig_put32(r, 0x40600, 0x0005fffe); /* -2 .. 5 */
	r->v->gpr[RCX] = 0xffff;
	assert_int_equal(run(r, "62 0f"), STEP_OK);
	r->v->gpr[RCX] = 6;
	assert_plain_fault(r, run(r, "62 0f"), EXC_BR);
	assert_int_equal(run(r, "fd"), STEP_OK);
	r->v->gpr[RDI] = 1;
	r->v->gpr[RCX] = 3;
	r->v->gpr[RAX] = 0xaa;
	assert_int_equal(run(r, "f3 aa"), STEP_OK); /* wraps below 0 */
	assert_true(*rig_at(r, 0x30001) == 0xaa && *rig_at(r, 0x30000) == 0xaa && *rig_at(r, 0x3ffff) == 0xaa);
	assert_int_equal(r->v->gpr[RDI], 0xfffe);
}

/* Behind a load of ss a breakpoint waits: for the next instruction, for the core, for a software interrupt. */
static void breakpoint_behind_ss(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	rig_put32(r, RIG_DATA, SEL_DATA);
	r->v->dr[0] = RIG_DATA;
	r->v->dr[7] = 0x400 | 1 | 7ull << 16; /* read or write, 2 bytes */
	r->v->gpr[RBX] = RIG_DATA;
	assert_int_equal(run(r, "8e 13 90"), STEP_OK); /* mov ss, [rbx] */
	assert_plain_fault(r, interp_step(r->v), EXC_DB);
	assert_int_equal(r->v->exc.dr6, 1);
	assert_int_equal(r->v->rip, 0x30003);
	assert_int_equal(run(r, "8e 13 e4 60"), STEP_OK);
	assert_int_equal(interp_step(r->v), STEP_EXIT);
	answer(r, 0);
	assert_plain_fault(r, interp_step(r->v), EXC_DB);
	assert_int_equal(r->v->exc.dr6, 1);
	assert_int_equal(run(r, "8e 13 cd 80"), STEP_OK);
	assert_plain_fault(r, interp_step(r->v), 0x80);
	r->v->shadow = 0; /* as its delivery leaves it */
	assert_plain_fault(r, interp_step(r->v), EXC_DB);
	assert_int_equal(r->v->exc.dr6, 1);
	/* int1 is one #DB with it. */
	assert_int_equal(run(r, "8e 13 f1"), STEP_OK);
	assert_plain_fault(r, interp_step(r->v), EXC_DB);
	assert_int_equal(r->v->exc.dr6, 1);
	r->v->shadow = 0;
	assert_int_equal(run(r, "90"), STEP_OK);
}

/* TF in what sysret loads traps after sysret itself. */
static void sysret_trap(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->v->star = (uint64_t)(SEL_UDATA - 8) << 48;
	r->v->gpr[RCX] = 0x31000;
	r->v->gpr[R11] = 0x102;
	assert_plain_fault(r, run(r, "48 0f 07"), EXC_DB);
	assert_int_equal(r->v->exc.dr6, DR6_BS);
	assert_int_equal(r->v->rip, 0x31000);
	assert_int_equal(r->v->cpl, 3);
}

static void protection_key_registers(void **state)
{
	struct rig *r = *state;

	rig_long(r, 3);
	r->v->gpr[RCX] = r->v->gpr[RDX] = 0;
	assert_plain_fault(r, run(r, "0f 01 ee"), EXC_UD); /* rdpkru */
	rig_state(r, true, 3);
	r->state.cr4 |= CR4_PKE;
	rig_enter(r);
	r->v->gpr[RAX] = 0x1122334455667788;
	r->v->gpr[RCX] = r->v->gpr[RDX] = 0;
	assert_int_equal(run(r, "0f 01 ef"), STEP_OK);
	r->v->gpr[RDX] = 7;
	assert_plain_fault(r, run(r, "0f 01 ef"), EXC_GP);
	assert_int_equal(run(r, "0f 01 ee"), STEP_OK);
	assert_true(r->v->gpr[RAX] == 0x55667788 && r->v->gpr[RDX] == 0);
	r->v->gpr[RCX] = 1;
	assert_plain_fault(r, run(r, "0f 01 ee"), EXC_GP);
}

/* As a BIOS does it: 16-bit lgdt, PE by a 32-bit register without prefix, 4 GiB of data, and back. */
static void unreal(void **state)
{
	struct rig *r = *state;

	enter_real(r);
	rig_put64(r, 0x30500, 0xfff | (uint64_t)RIG_GDT << 16 | 0xaaull << 40); /* the fourth base byte is not for 16-bit code */
	assert_int_equal(run(r, "0f 01 16 00 05"), STEP_OK); /* lgdt [500h] */
	assert_true(r->v->gdt.base == RIG_GDT && r->v->gdt.limit == 0xfff);
	rig_gdt(r, SEL_FREE, 0x30000, 0xffff, 0x009b);
	assert_int_equal(run(r, "0f 20 c0 66 83 c8 01 0f 22 c0"), STEP_OK); /* mov eax, cr0; or eax, 1; mov cr0, eax */
	assert_int_equal(r->v->gpr[RAX], CR0_ET);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->cr0, CR0_ET | CR0_PE);
	/* Until CS is loaded its code goes on: mov bx, SEL_DATA; mov fs, bx; and eax, -2; mov cr0, eax */
	put_code(r, "bb 10 00 8e e3 66 83 e0 fe 0f 22 c0");
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->cr0, CR0_ET);
	/* mov ebx, 400000h; mov ax, [fs:ebx] */
	rig_put32(r, 0x400000, 0x4321);
	put_code(r, "66 bb 00 00 40 00 64 67 8b 03");
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->gpr[RAX] & 0xffff, 0x4321);
	/* A new selector changes the base and leaves the limit: mov ax, 1000h; mov fs, ax; mov ax, [fs:ebx] */
	rig_put32(r, 0x410000, 0x8765);
	put_code(r, "b8 00 10 8e e0 64 67 8b 03");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->gpr[RAX] & 0xffff, 0x8765);
}

/* From 16-bit code to 32-bit code and back, by far jumps of both sizes. */
static void mode_changes(void **state)
{
	struct rig *r = *state;

	enter_real(r);
	r->v->gdt = (struct gamut_table){ .base = RIG_GDT, .limit = 0xfff };
	rig_gdt(r, SEL_FREE, 0x30000, 0xffff, 0x009b);
	assert_int_equal(run(r, "0f 01 f3"), STEP_OK); /* lmsw bx: PE alone, and it stays */
	r->v->gpr[RBX] = 1;
	assert_int_equal(run(r, "0f 01 f3"), STEP_OK);
	assert_int_equal(r->v->cr0 & CR0_PE, CR0_PE);
	assert_int_equal(run(r, "66 ea 00 00 05 00 18 00"), STEP_OK); /* jmp far SEL_CODE32:50000h */
	assert_int_equal(r->v->rip, 0x50000);
	assert_int_equal(run(r, "b8 78 56 34 12"), STEP_OK);
	assert_int_equal(r->v->gpr[RAX], 0x12345678);
	assert_int_equal(run(r, "ea 00 02 00 00 48 00"), STEP_OK); /* jmp far SEL_FREE:200h: 16-bit code */
	assert_int_equal(run(r, "b8 00 00"), STEP_OK);
	assert_int_equal(r->v->gpr[RAX], 0x12340000);
	r->v->gpr[RAX] = CR0_ET;
	assert_int_equal(run(r, "0f 22 c0"), STEP_OK);
	assert_int_equal(run(r, "ea 00 03 00 30"), STEP_OK); /* jmp far 3000h:300h */
	assert_true(r->v->rip == 0x300 && r->v->seg[GAMUT_CS].base == 0x30000);
}

/* int through the IVT and iret; what cannot be delivered ends in a shutdown. */
static void real_interrupts(void **state)
{
	struct rig *r = *state;

	enter_real(r);
	r->v->idt = (struct gamut_table){ .base = 0, .limit = 0x3ff };
	rig_put32(r, 0x21 * 4, 0x40000123);
	bt_set_rflags(r->v, 0x302); /* IF, TF off again below */
	r->v->rflags &= ~FL_TF;
	assert_plain_fault(r, run(r, "cd 21"), 0x21);
	assert_true(exc_deliver(r->v));
	assert_true(r->v->rip == 0x123 && r->v->seg[GAMUT_CS].base == 0x40000);
	assert_false(r->v->if_flag);
	assert_int_equal(r->v->gpr[RSP], 0x8000 - 6);
	assert_int_equal(rig_get64(r, 0x38000 - 6) & 0xffffffffffffull, 0x020230000102ull);
	assert_int_equal(run(r, "cf"), STEP_OK);
	assert_true(r->v->rip == 0x102 && r->v->if_flag && r->v->gpr[RSP] == 0x8000);
	r->v->idt.limit = 0;
	assert_plain_fault(r, run(r, "cc"), EXC_BP);
	assert_false(exc_deliver(r->v));
}

/* Repetitions by pages: what they do at the segment's end, where the index wraps, and downwards. */
static void bulk_strings(void **state)
{
	struct rig *r = *state;

	enter_real(r);
	for (unsigned i = 0; i < 0x1000; i++)
		*rig_at(r, 0x31000 + i) = (uint8_t)(i * 7);
	r->v->gpr[RSI] = 0x1000;
	r->v->gpr[RDI] = 0x4801;
	r->v->gpr[RCX] = 0x12340000 | 0x400;
	assert_int_equal(run(r, "f3 66 a5"), STEP_OK); /* rep movsd */
	assert_memory_equal(rig_at(r, 0x31000), rig_at(r, 0x34801), 0x1000);
	assert_true(r->v->gpr[RCX] == 0x12340000 && r->v->gpr[RSI] == 0x2000 && r->v->gpr[RDI] == 0x5801);
	/* 64 KiB and the wrap: a word every two bytes. */
	r->v->gpr[RDI] = 0x2000;
	r->v->gpr[RCX] = 0x8000;
	r->v->gpr[RAX] = 0xbeef;
	put_code(r, "f3 ab");
	while (r->v->gpr[RCX] & 0xffff)
		assert_int_equal(interp_step(r->v), STEP_OK);
	assert_int_equal(r->v->gpr[RDI], 0x2000);
	assert_int_equal(rig_get64(r, 0x3fff8), 0xbeefbeefbeefbeef);
	/* A word that crosses the end faults, and all before it is done. */
	r->v->rip = 0x200;
	r->v->gpr[RDI] = 0xff01;
	r->v->gpr[RCX] = 0x100;
	put_code(r, "f3 ab");
	assert_plain_fault(r, interp_step(r->v), EXC_GP);
	assert_true(r->v->gpr[RDI] == 0xffff && r->v->gpr[RCX] == 0x100 - 0x7f && r->v->rip == 0x200);
	/* Down, and over itself. */
	for (unsigned i = 0; i < 64; i++)
		*rig_at(r, 0x31000 + i) = (uint8_t)i;
	r->v->rip = 0x200;
	bt_set_rflags(r->v, FL_DF);
	r->v->gpr[RSI] = 0x103f;
	r->v->gpr[RDI] = 0x1043;
	r->v->gpr[RCX] = 64;
	assert_int_equal(run(r, "f3 a4"), STEP_OK);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(*rig_at(r, 0x31004 + i), i);
}

/*
 * AC at CPL 0 lets a kernel at user pages (stac) and is no reason to move a
 * page by bytes, of which a step does not do so many; at CPL 3 with CR0.AM
 * words are checked, and bytes need not be.
 */
static void bulk_with_ac(void **state)
{
	struct rig *r = *state;

	for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
		rig_state(r, true, cpl);
		r->state.cr0 |= CR0_AM;
		r->state.rflags |= FL_AC;
		rig_enter(r);
		for (unsigned i = 0; i < 0x800; i++)
			*rig_at(r, RIG_DATA + i) = (uint8_t)(i * 5 + cpl);
		r->v->gpr[RSI] = RIG_DATA;
		r->v->gpr[RDI] = RIG_DATA + 0x801;
		r->v->gpr[RCX] = 0x7ff;
		assert_int_equal(run(r, "f3 a4"), STEP_OK);
		assert_int_equal(r->v->gpr[RCX], cpl ? 0x7ff - 512 : 0);
		assert_memory_equal(rig_at(r, RIG_DATA), rig_at(r, RIG_DATA + 0x801), cpl ? 512 : 0x7ff);
	}
	put_code(r, "f3 a5");
	assert_int_equal(interp_step(r->v), STEP_FAULT);
	assert_int_equal(r->v->exc.vector, EXC_AC);
}

/* CS's limit comes before the page that is behind it. */
static void end_of_code(void **state)
{
	struct rig *r = *state;

	rig_state(r, true, 0);
	r->state.seg[GAMUT_CS] = (struct gamut_segment){
		.selector = SEL_CODE32, .base = RIG_DATA, .limit = 0xfff, .attr = 0x9b };
	r->state.rip = 0xffe;
	rig_enter(r);
	absent(r, NOPAGE);
	assert_fault(r->v, run(r, "b8 01"), EXC_GP, 0);
	assert_int_equal(run(r, "90 90"), STEP_OK);
	assert_int_equal(interp_step(r->v), STEP_OK);
	assert_fault(r->v, interp_step(r->v), EXC_GP, 0);
}

#define OP_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OP_TEST(port_input),     OP_TEST(rep_ins), OP_TEST(rep_outs), OP_TEST(rep_ins_over_pages), OP_TEST(rep_ins_16), OP_TEST(rep_by_one), OP_TEST(rep_ins_to_code),  OP_TEST(mmio),          OP_TEST(mmio_string),
		OP_TEST(hypercalls),     OP_TEST(fault_in_second_page), OP_TEST(x87_store_fault), OP_TEST(refusals),
		OP_TEST(single_step),    OP_TEST(breakpoints),   OP_TEST(sti_shadow),    OP_TEST(fpu_images),
		OP_TEST(segment_bases),  OP_TEST(stack_frames_32), OP_TEST(decimal),     OP_TEST(real_mode),
		OP_TEST(old_instructions), OP_TEST(breakpoint_behind_ss), OP_TEST(sysret_trap),
		OP_TEST(protection_key_registers), OP_TEST(unreal), OP_TEST(mode_changes), OP_TEST(real_interrupts),
		OP_TEST(bulk_strings),   OP_TEST(bulk_with_ac),   OP_TEST(end_of_code),
	};

	return RIG_RUN_BOTH(tests);
}
