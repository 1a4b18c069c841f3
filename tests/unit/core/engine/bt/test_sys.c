/* SPDX-License-Identifier: MIT */
/* Control registers, MSRs, segments, far transfers, fast system calls, the state as a whole. */
#include <errno.h>

#include "fake/bt-rig.h"

#define NONCANONICAL 0x800000000000ull
#define AMD 0x68747541u /* leaf 0, EBX */
#define INTEL 0x756e6547u

/* ---- control and debug registers ---- */

enum { OK, GP, UD };

static void assert_step(struct rig *r, enum bt_step step, int want)
{
	if (want == OK) {
		assert_int_equal(step, STEP_OK);
		return;
	}
	assert_int_equal(step, STEP_FAULT);
	assert_int_equal(r->v->exc.vector, want == GP ? EXC_GP : EXC_UD);
	if (want == GP)
		assert_int_equal(r->v->exc.error, 0);
}

static void control_register_writes(void **state)
{
	static const struct {
		bool long_mode;
		unsigned cpl, cr;
		uint64_t value;
		int want;
	} cases[] = {
		{ true, 0, 0, 0x80050033, OK },      { true, 3, 0, 0x80050033, GP },  { true, 0, 0, 0x180050033, GP },
		{ true, 0, 0, 0x80050032, GP },      { true, 0, 0, 0xa0050033, GP },  { true, 0, 0, 0x50033, GP },
		{ false, 0, 0, 0x33, OK },           { false, 0, 0, 0x80000000, GP }, { false, 0, 0, 0x60000011, OK },
		{ true, 0, 1, 0, UD },               { true, 0, 5, 0, UD },           { true, 3, 7, 0, UD },
		{ true, 0, 9, 0, UD },               { true, 0, 2, ~0ull, OK },       { true, 0, 3, RIG_PML4 | 0x18, OK },
		{ true, 0, 3, 1ull << 51, GP },      { true, 0, 3, 1ull << 63, GP },  { true, 0, 4, 0x20, OK },
		{ true, 0, 4, 0, GP },               { true, 0, 4, 1ull << 32, GP },  { true, 0, 4, 0x20 | CR4_VME, GP },
		{ true, 0, 4, 0x20 | CR4_SMAP, OK }, { true, 0, 4, 0x20 | CR4_PKE, OK }, { true, 0, 4, 0x20 | CR4_PKS, OK },
	
		{ true, 0, 4, 0x20 | CR4_PCIDE, GP }, { true, 0, 4, 0x20 | CR4_SMEP, OK }, { true, 0, 8, 15, OK },
		{ true, 0, 8, 16, GP },              { false, 0, 4, 0, OK },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t cr0;

		cases[i].long_mode ? rig_long(r, cases[i].cpl) : rig_protected(r, cases[i].cpl);
		cr0 = r->v->cr0;
		assert_step(r, sys_write_cr(r->v, cases[i].cr, cases[i].value), cases[i].want);
		if (cases[i].want != OK)
			assert_int_equal(r->v->cr0, cr0);
	}
}

/* The way of a 32-bit PVH entry to 64-bit code. */
static void into_long_mode(void **state)
{
	struct rig *r = *state;

	rig_protected(r, 0);
	assert_int_equal(r->v->key & (KEY_MODE | KEY_INTERP | KEY_SS32), MODE_32 | KEY_SS32);
	assert_int_equal(sys_write_cr(r->v, 4, CR4_PAE), STEP_OK);
	assert_int_equal(sys_write_cr(r->v, 3, RIG_PML4), STEP_OK);
	assert_int_equal(sys_wrmsr(r->v, 0xc0000080, EFER_LME), STEP_OK);
	assert_int_equal(sys_write_cr(r->v, 0, 0x80000011), STEP_OK);
	assert_int_equal(r->v->efer, EFER_LME | EFER_LMA);
	assert_int_equal(r->v->key & (KEY_MODE | KEY_INTERP), MODE_32);
	assert_int_equal(sys_jmp_far(r->v, SEL_CODE64, 0x31000, 4), STEP_OK);
	assert_int_equal(r->v->key & (KEY_MODE | KEY_INTERP), MODE_64);
	assert_int_equal(r->v->rip, 0x31000);
	/* Not out of it the short way. */
	assert_step(r, sys_write_cr(r->v, 0, 0x11), GP);
	assert_step(r, sys_wrmsr(r->v, 0xc0000080, 0), GP);
}

static void long_mode_needs_pae(void **state)
{
	struct rig *r = *state;

	rig_protected(r, 0);
	assert_int_equal(sys_wrmsr(r->v, 0xc0000080, EFER_LME), STEP_OK);
	assert_step(r, sys_write_cr(r->v, 0, 0x80000011), GP);
	assert_int_equal(r->v->efer, EFER_LME);
}

static void flushes_of_control_registers(void **state)
{
	static const struct {
		unsigned cr;
		uint64_t flip;
		unsigned flushes, global;
	} cases[] = {
		{ 0, CR0_TS, 0, 0 }, { 0, CR0_WP, 1, 1 },    { 4, CR4_PGE, 1, 1 },        { 4, CR4_SMEP, 1, 1 },
		{ 4, CR4_TSD, 0, 0 }, { 3, 0, 1, 0 },        { 4, CR4_PSE, 1, 1 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value;

		rig_long(r, 0);
		r->jc_flushes = r->jc_flush_globals = 0;
		assert_int_equal(sys_read_cr(r->v, cases[i].cr, &value), STEP_OK);
		assert_int_equal(sys_write_cr(r->v, cases[i].cr, value ^ cases[i].flip), STEP_OK);
		assert_int_equal(r->jc_flushes, cases[i].flushes);
		assert_int_equal(r->jc_flush_globals, cases[i].global);
	}
}

static void debug_registers(void **state)
{
	struct rig *r = *state;
	uint64_t value;

	rig_long(r, 0);
	assert_int_equal(sys_write_dr(r->v, 7, 0xffffffff & ~0x2000ull), STEP_OK);
	assert_int_equal(sys_read_dr(r->v, 5, &value), STEP_OK);
	assert_int_equal(value, 0xffff07ff);
	assert_int_equal(r->v->key & KEY_INTERP, KEY_INTERP);
	assert_int_equal(sys_write_dr(r->v, 7, 0), STEP_OK);
	assert_int_equal(r->v->key & KEY_INTERP, 0);
	assert_int_equal(sys_write_dr(r->v, 6, 0), STEP_OK);
	assert_int_equal(r->v->dr[6], 0xffff0ff0);
	assert_step(r, sys_write_dr(r->v, 6, 1ull << 32), GP);
	r->v->cr4 |= CR4_DE;
	assert_step(r, sys_read_dr(r->v, 4, &value), UD);
	r->v->cpl = 3;
	assert_step(r, sys_read_dr(r->v, 0, &value), GP);
}

static void xcr0(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	assert_step(r, sys_xsetbv(r->v, 0, 1), UD);
	if (!(r->v->cr4_valid & CR4_OSXSAVE))
		skip();
	assert_int_equal(sys_write_cr(r->v, 4, CR4_PAE | CR4_OSXSAVE | CR4_OSFXSR), STEP_OK);
	assert_step(r, sys_xsetbv(r->v, 0, 3), OK);
	assert_step(r, sys_xsetbv(r->v, 0, 0), GP);
	assert_step(r, sys_xsetbv(r->v, 0, 5), GP);
	assert_step(r, sys_xsetbv(r->v, 0, 0xe7), GP);
	assert_step(r, sys_xsetbv(r->v, 1, 3), GP);
	if (!(r->v->xcr0_valid & 4))
		return;
	assert_int_equal(r->v->key & KEY_NOFPU, KEY_NOFPU);
	assert_step(r, sys_xsetbv(r->v, 0, 7), OK);
	assert_int_equal(r->v->key & KEY_NOFPU, 0);
	assert_int_equal(sys_write_cr(r->v, 0, r->v->cr0 | CR0_TS), STEP_OK);
	assert_int_equal(r->v->key & KEY_NOFPU, KEY_NOFPU);
}

/* ---- MSRs ---- */

static void msr_values(void **state)
{
	static const struct {
		uint32_t index;
		uint64_t value;
		int want;
	} cases[] = {
		{ 0xc0000081, ~0ull, OK },          { 0xc0000082, 0xffffffff81000000, OK },
		{ 0xc0000082, NONCANONICAL, GP },   { 0xc0000083, NONCANONICAL, GP },
		{ 0xc0000084, 0x47700, OK },        { 0xc0000084, 1ull << 32, GP },
		{ 0xc0000100, 0x7f0000001000, OK }, { 0xc0000101, NONCANONICAL, GP },
		{ 0xc0000102, NONCANONICAL, GP },   { 0xc0000102, 0xffff888000000000, OK },
		{ 0x277, 0x0007040600070406, OK },  { 0x277, 0x0207040600070406, GP },
		{ 0x277, 0x0807040600070406, GP },  { 0x174, 0x10, OK },
		{ 0x176, NONCANONICAL, GP },        { 0xc0000103, 7, OK },
		{ 0xc0000103, 1ull << 40, GP },     { 0x48, 1, OK },
		{ 0x48, 8, GP },                    { 0x10a, 0, GP },
		{ 0xc0000080, 1ull << 12, GP },
	};
	struct rig *r = *state;

	rig_long(r, 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 0;

		assert_step(r, sys_wrmsr(r->v, cases[i].index, cases[i].value), cases[i].want);
		if (cases[i].want != OK)
			continue;
		assert_int_equal(sys_rdmsr(r->v, cases[i].index, &value), STEP_OK);
		assert_int_equal(value, cases[i].value);
	}
	assert_int_equal(r->v->seg_base[GAMUT_FS], 0x7f0000001000);
	r->v->cpl = 3;
	assert_step(r, sys_wrmsr(r->v, 0xc0000081, 0), GP);
}

static void speculation(void **state)
{
	struct rig *r = *state;
	uint64_t value;

	rig_long(r, 0);
	assert_int_equal(sys_rdmsr(r->v, 0x10a, &value), STEP_OK);
	assert_int_equal(value & 0x133, 0x133); /* RDCL_NO IBRS_ALL SSB_NO MDS_NO TAA_NO */
	assert_step(r, sys_wrmsr(r->v, 0x49, 1), OK);
	assert_step(r, sys_wrmsr(r->v, 0x49, 2), GP);
	assert_step(r, sys_rdmsr(r->v, 0x49, &value), GP);
}

static void tsc_write(void **state)
{
	struct rig *r = *state;
	uint64_t value;

	rig_long(r, 0);
	assert_int_equal(sys_wrmsr(r->v, 0x10, 1000), STEP_OK);
	assert_int_equal(sys_rdmsr(r->v, 0x10, &value), STEP_OK);
	assert_in_range(value, 1000, 1000 + 60000000000ull);
}

static void set_vendor(struct rig *r, uint32_t ebx)
{
	for (uint32_t i = 0; i < r->v->n_cpuid; i++)
		if (r->v->cpuid[i].leaf == 0)
			r->v->cpuid[i].regs[1] = ebx;
}

/* Present with AMD's vendor string alone. */
static void msrs_of_amd(void **state)
{
	struct rig *r = *state;
	uint64_t value;

	rig_long(r, 0);
	set_vendor(r, AMD);
	assert_int_equal(sys_rdmsr(r->v, 0xc0010015, &value), STEP_OK);
	assert_int_equal(value, 1u << 24);
	assert_step(r, sys_wrmsr(r->v, 0xc0010015, value | 0x40), OK);
	assert_step(r, sys_wrmsr(r->v, 0xc0010015, 1), GP);
	assert_step(r, sys_wrmsr(r->v, 0xc001001f, 1ull << 46), OK);
	assert_step(r, sys_wrmsr(r->v, 0xc001001f, 1), GP);
	assert_int_equal(sys_rdmsr(r->v, 0xc0010010, &value), STEP_OK);
	assert_int_equal(value, 0);
	assert_step(r, sys_wrmsr(r->v, 0xc0010010, 0x1full << 18), OK);
	assert_step(r, sys_wrmsr(r->v, 0xc0010010, 1ull << 23), GP); /* memory encryption */
	set_vendor(r, INTEL);
	assert_int_equal(sys_rdmsr(r->v, 0xc0010015, &value), STEP_EXIT);
	assert_int_equal(sys_rdmsr(r->v, 0xc0010010, &value), STEP_EXIT);
}

/* Both vendors say which microcode runs; only Intel's register takes the zero that precedes the question. */
static void microcode(void **state)
{
	static const struct {
		uint32_t vendor;
		int want;
	} cases[] = { { INTEL, OK }, { AMD, GP } };
	struct rig *r = *state;

	rig_long(r, 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 1;

		set_vendor(r, cases[i].vendor);
		assert_step(r, sys_wrmsr(r->v, 0x8b, 0), cases[i].want);
		assert_step(r, sys_wrmsr(r->v, 0x8b, 1), GP);
		assert_int_equal(sys_rdmsr(r->v, 0x8b, &value), STEP_OK);
		assert_int_equal(value, 0);
	}
}

static void msrs_of_intel(void **state)
{
	struct rig *r = *state;
	uint64_t value = 1;

	rig_long(r, 0);
	set_vendor(r, INTEL);
	assert_int_equal(sys_rdmsr(r->v, 0x1a0, &value), STEP_OK);
	assert_int_equal(value & 1, 1); /* fast strings */
	assert_step(r, sys_wrmsr(r->v, 0x1a0, value | 1ull << 1), GP);
	assert_step(r, sys_wrmsr(r->v, 0x1a0, 0), OK);
	assert_int_equal(sys_rdmsr(r->v, 0x1a0, &value), STEP_OK);
	assert_int_equal(value & 1, 0);
	assert_int_equal(sys_rdmsr(r->v, 0x17, &value), STEP_OK);
	assert_int_equal(value, 0);
	assert_step(r, sys_wrmsr(r->v, 0x17, 0), GP);
	set_vendor(r, AMD);
	assert_int_equal(sys_rdmsr(r->v, 0x17, &value), STEP_EXIT);
}

/* Unknown registers are the core's; so are MTRRs and the APIC base as long as CPUID does not show them. */
static void msrs_of_the_core(void **state)
{
	static const uint32_t indices[] = { 0x12345, 0x1b, 0xfe, 0x200, 0x1d9, 0x480 };
	struct rig *r = *state;
	uint64_t value;

	rig_long(r, 0);
	set_vendor(r, AMD);
	for (unsigned i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		assert_int_equal(sys_rdmsr(r->v, indices[i], &value), STEP_EXIT);
		assert_int_equal(r->exit.reason, EXIT_RDMSR);
		assert_int_equal(r->exit.msr.index, indices[i]);
		r->v->replay.value[0] = 0x55;
		r->v->replay.done = 1;
		assert_int_equal(sys_rdmsr(r->v, indices[i], &value), STEP_OK);
		assert_int_equal(value, 0x55);
		replay_clear(r->v);
		assert_int_equal(sys_wrmsr(r->v, indices[i], 0x66), STEP_EXIT);
		assert_int_equal(r->exit.reason, EXIT_WRMSR);
		assert_int_equal(r->exit.msr.value, 0x66);
		r->v->replay.done = 1;
		r->v->replay.fault = true;
		assert_step(r, sys_wrmsr(r->v, indices[i], 0x66), GP);
		replay_clear(r->v);
	}
}

/* The engine follows what the core has accepted, and only that. */
static void apic_base_is_followed(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	/* An address wider than CPUID's never gets there. */
	r->v->pa_reserved = 0x000fffffffffffffull & ~((1ull << 46) - 1);
	assert_step(r, sys_wrmsr(r->v, 0x1b, 0xfee00900 | 1ull << 46), GP);
	assert_int_equal(sys_wrmsr(r->v, 0x1b, 0xfee00900 | 1ull << 45), STEP_EXIT);
	assert_true(r->v->apic_base & APIC_BASE_ENABLE);
	assert_int_equal(sys_wrmsr(r->v, MSR_APIC_BASE, 0xfee00000), STEP_EXIT);
	r->v->replay.done = 1;
	r->v->replay.fault = true;
	assert_step(r, sys_wrmsr(r->v, MSR_APIC_BASE, 0xfee00000), GP);
	assert_true(r->v->apic_base & APIC_BASE_ENABLE);
	replay_clear(r->v);
	r->v->replay.done = 1;
	assert_int_equal(sys_wrmsr(r->v, MSR_APIC_BASE, 0xfee00000), STEP_OK);
	assert_false(r->v->apic_base & APIC_BASE_ENABLE);
	replay_clear(r->v);
}

static void mtrrs_when_offered(void **state)
{
	struct rig *r = *state;
	uint64_t value;

	for (uint32_t i = 0; i < r->v->n_cpuid; i++)
		if (r->v->cpuid[i].leaf == 1)
			r->v->cpuid[i].regs[3] |= 1u << 12;
	rig_long(r, 0);
	assert_int_equal(sys_rdmsr(r->v, 0xfe, &value), STEP_OK);
	assert_int_equal(value, 0x508);
	assert_step(r, sys_wrmsr(r->v, 0x2ff, 0xc06), OK);
	assert_step(r, sys_wrmsr(r->v, 0x2ff, 0xc02), GP);
	assert_step(r, sys_wrmsr(r->v, 0x200, 0x80000006), OK);
	assert_step(r, sys_wrmsr(r->v, 0x200, 0x80000106), GP);
	assert_step(r, sys_wrmsr(r->v, 0x201, 0xf80000800), OK);
	assert_step(r, sys_wrmsr(r->v, 0x201, 0xf80000801), GP);
	for (uint32_t i = 0x268; i <= 0x26f; i++)
		assert_step(r, sys_wrmsr(r->v, i, 0x0606060606060600 | (i & 1 ? 5 : 4)), OK);
	assert_step(r, sys_wrmsr(r->v, 0x259, 0x0202020202020202), GP);
	assert_int_equal(sys_rdmsr(r->v, 0x26f, &value), STEP_OK);
	assert_int_equal(value, 0x0606060606060605);
	/* All of them hold what they are given: eight ranges and eleven fixed ones. */
	for (uint32_t i = 0x200; i < 0x210; i++) {
		assert_step(r, sys_wrmsr(r->v, i, (uint64_t)i << 12), OK);
		assert_int_equal(sys_rdmsr(r->v, i, &value), STEP_OK);
		assert_int_equal(value, (uint64_t)i << 12);
	}
	for (unsigned i = 0; i < 3; i++) {
		static const uint32_t fixed[] = { 0x250, 0x258, 0x259 };

		assert_step(r, sys_wrmsr(r->v, fixed[i], 0x0101010101010101 * (4 + i)), OK);
		assert_int_equal(sys_rdmsr(r->v, fixed[i], &value), STEP_OK);
		assert_int_equal(value, 0x0101010101010101 * (4 + i));
	}
	assert_int_equal(sys_rdmsr(r->v, 0x210, &value), STEP_EXIT);
}

/* ---- segments ---- */

static void segment_loads(void **state)
{
	static const struct {
		bool long_mode;
		unsigned cpl;
		enum gamut_seg seg;
		uint16_t selector;
		uint32_t attr; /* of SEL_FREE */
		uint8_t vector; /* 0xff: loads */
		uint32_t error;
	} cases[] = {
		/* data segments */
		{ false, 0, GAMUT_DS, 0, 0, 0xff, 0 },
		{ false, 0, GAMUT_DS, 3, 0, 0xff, 0 },
		{ false, 0, GAMUT_DS, SEL_DATA, 0, 0xff, 0 },
		{ false, 0, GAMUT_DS, SEL_DATA | 3, 0, EXC_GP, SEL_DATA },
		{ false, 3, GAMUT_DS, SEL_DATA, 0, EXC_GP, SEL_DATA },
		{ false, 3, GAMUT_ES, SEL_UDATA, 0, 0xff, 0 },
		{ false, 0, GAMUT_FS, SEL_UDATA, 0, 0xff, 0 },
		{ false, 0, GAMUT_DS, 0x2000, 0, EXC_GP, 0x2000 },
		{ false, 0, GAMUT_DS, SEL_DATA | 4, 0, EXC_GP, SEL_DATA | 4 }, /* no LDT */
		{ false, 0, GAMUT_DS, SEL_TSS, 0, EXC_GP, SEL_TSS },
		{ false, 0, GAMUT_DS, SEL_FREE, 0xc099, EXC_GP, SEL_FREE }, /* execute-only */
		{ false, 0, GAMUT_DS, SEL_FREE, 0xc09b, 0xff, 0 },
		{ false, 3, GAMUT_DS, SEL_FREE, 0xc09b, EXC_GP, SEL_FREE },
		{ false, 3, GAMUT_DS, SEL_FREE, 0xc09f, 0xff, 0 }, /* conforming: no level check */
		{ false, 0, GAMUT_DS, SEL_FREE, 0xc013, EXC_NP, SEL_FREE },
		{ true, 0, GAMUT_GS, SEL_FREE, 0xc013, EXC_NP, SEL_FREE },
		{ true, 3, GAMUT_GS, SEL_DATA, 0, EXC_GP, SEL_DATA },
		/* SS */
		{ false, 0, GAMUT_SS, 0, 0, EXC_GP, 0 },
		{ false, 0, GAMUT_SS, SEL_DATA, 0, 0xff, 0 },
		{ false, 0, GAMUT_SS, SEL_DATA | 3, 0, EXC_GP, SEL_DATA },
		{ false, 0, GAMUT_SS, SEL_UDATA, 0, EXC_GP, SEL_UDATA & ~3u },
		{ false, 3, GAMUT_SS, SEL_UDATA, 0, 0xff, 0 },
		{ false, 0, GAMUT_SS, SEL_CODE32, 0, EXC_GP, SEL_CODE32 },
		{ false, 0, GAMUT_SS, SEL_FREE, 0xc091, EXC_GP, SEL_FREE }, /* read-only */
		{ false, 0, GAMUT_SS, SEL_FREE, 0xc013, EXC_SS, SEL_FREE },
		{ true, 0, GAMUT_SS, 0, 0, 0xff, 0 },
		{ true, 0, GAMUT_SS, 1, 0, EXC_GP, 0 },
		{ true, 3, GAMUT_SS, 3, 0, EXC_GP, 0 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum bt_step step;
		uint16_t old;

		rig_gdt(r, SEL_FREE, 0x1000, 0xfffff, cases[i].attr);
		cases[i].long_mode ? rig_long(r, cases[i].cpl) : rig_protected(r, cases[i].cpl);
		old = r->v->seg[cases[i].seg].selector;
		step = sys_load_seg(r->v, cases[i].seg, cases[i].selector);
		if (cases[i].vector == 0xff) {
			assert_int_equal(step, STEP_OK);
			assert_int_equal(r->v->seg[cases[i].seg].selector, cases[i].selector);
			continue;
		}
		assert_fault(r->v, step, cases[i].vector, cases[i].error);
		assert_int_equal(r->v->seg[cases[i].seg].selector, old);
	}
}

static void segment_contents(void **state)
{
	struct rig *r = *state;
	const struct gamut_segment *s;

	rig_protected(r, 0);
	s = &r->v->seg[GAMUT_FS];
	rig_gdt(r, SEL_FREE, 0x12345678, 0xabcde, 0x4092); /* byte limit, not yet accessed */
	assert_int_equal(sys_load_seg(r->v, GAMUT_FS, SEL_FREE), STEP_OK);
	assert_int_equal(s->base, 0x12345678);
	assert_int_equal(r->v->seg_base[GAMUT_FS], 0x12345678);
	assert_int_equal(s->limit, 0xabcde);
	assert_int_equal(s->attr, 0x4093);
	assert_int_equal(rig_get64(r, RIG_GDT + SEL_FREE) >> 40 & 0xff, 0x93);
	rig_gdt(r, SEL_FREE, 0, 0xabcde, 0xc093);
	assert_int_equal(sys_load_seg(r->v, GAMUT_FS, SEL_FREE), STEP_OK);
	assert_int_equal(s->limit, 0xabcdefff);
	assert_int_equal(r->v->key & KEY_INTERP, 0); /* FS need not be flat */
	assert_int_equal(sys_load_seg(r->v, GAMUT_DS, SEL_FREE), STEP_OK);
	assert_int_equal(r->v->key & KEY_INTERP, KEY_INTERP);
	assert_int_equal(sys_load_seg(r->v, GAMUT_FS, 0), STEP_OK);
	assert_int_equal(s->base, 0);
	assert_int_equal(s->attr & SEG_UNUSABLE, SEG_UNUSABLE);
}

static void linear_addresses(void **state)
{
	static const struct {
		uint32_t base, limit, attr;
		uint64_t offset;
		unsigned len;
		bool write, ok;
	} cases[] = {
		{ 0x1000, 0xfff, 0x4093, 0xffc, 4, true, true },
		{ 0x1000, 0xfff, 0x4093, 0xffd, 4, true, false },
		{ 0x1000, 0xfff, 0x4093, 0xffffffff, 4, false, false },
		{ 0x1000, 0xfff, 0x4091, 0, 4, false, true },
		{ 0x1000, 0xfff, 0x4091, 0, 4, true, false },   /* read-only */
		{ 0x1000, 0xfff, 0x4097, 0xfff, 1, true, false }, /* expand-down */
		{ 0x1000, 0xfff, 0x4097, 0x1000, 4, true, true },
		{ 0x1000, 0xfff, 0x0097, 0xfffe, 4, true, false }, /* its top is 64K without B */
		{ 0x1000, 0xfff, 0x4097, 0xfffe, 4, true, true },
		{ 0xfffff000, 0xffffffff, 0xc093, 0x2000, 4, true, true }, /* wraps */
		{ 0, 0xfff, 0x409b, 0, 4, false, true },
		{ 0, 0xfff, 0x409b, 0, 4, true, false }, /* code */
		{ 0, 0xfff, 0x4099, 0, 4, false, false }, /* execute-only */
		{ 0, 0, SEG_UNUSABLE, 0, 1, false, false },
	};
	struct rig *r = *state;
	uint64_t va;

	rig_protected(r, 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum gamut_seg seg = i & 1 ? GAMUT_ES : GAMUT_SS;
		enum bt_step step;

		r->v->seg[seg] = (struct gamut_segment){ .base = cases[i].base, .limit = cases[i].limit,
			                                 .attr = cases[i].attr };
		step = sys_linear(r->v, seg, cases[i].offset, cases[i].len, cases[i].write, &va);
		if (cases[i].ok) {
			assert_int_equal(step, STEP_OK);
			assert_int_equal(va, (uint32_t)(cases[i].base + cases[i].offset));
		} else {
			assert_fault(r->v, step, seg == GAMUT_SS ? EXC_SS : EXC_GP, 0);
		}
	}
	rig_long(r, 0);
	r->v->seg[GAMUT_GS].base = 0xffff888000000000;
	r->v->seg[GAMUT_DS].base = 0x1000; /* does not count */
	assert_int_equal(sys_linear(r->v, GAMUT_GS, 0x10, 8, true, &va), STEP_OK);
	assert_int_equal(va, 0xffff888000000010);
	assert_int_equal(sys_linear(r->v, GAMUT_DS, 0x10, 8, true, &va), STEP_OK);
	assert_int_equal(va, 0x10);
	assert_fault(r->v, sys_linear(r->v, GAMUT_DS, 0x7ffffffffffc, 8, true, &va), EXC_GP, 0);
	assert_fault(r->v, sys_linear(r->v, GAMUT_SS, NONCANONICAL, 8, true, &va), EXC_SS, 0);
}

static void task_and_local_tables(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	rig_gdt(r, SEL_FREE, 0x5000, 0x67, 0x0089);
	rig_put64(r, RIG_GDT + SEL_FREE + 8, 0xffff8880);
	assert_int_equal(sys_ltr(r->v, SEL_FREE), STEP_OK);
	assert_int_equal(r->v->seg[GAMUT_TR].base, 0xffff888000005000);
	assert_int_equal(rig_get64(r, RIG_GDT + SEL_FREE) >> 40 & 0xff, 0x8b);
	assert_fault(r->v, sys_ltr(r->v, SEL_FREE), EXC_GP, SEL_FREE); /* busy */
	assert_fault(r->v, sys_ltr(r->v, 0), EXC_GP, 0);
	assert_fault(r->v, sys_ltr(r->v, SEL_FREE | 4), EXC_GP, SEL_FREE | 4);
	assert_fault(r->v, sys_ltr(r->v, SEL_DATA), EXC_GP, SEL_DATA);
	rig_gdt(r, SEL_FREE, 0x5000, 0x67, 0x0009);
	assert_fault(r->v, sys_ltr(r->v, SEL_FREE), EXC_NP, SEL_FREE);
	rig_put64(r, RIG_GDT + SEL_FREE + 8, 0x8000);
	rig_gdt(r, SEL_FREE, 0x5000, 0x67, 0x0082);
	assert_fault(r->v, sys_lldt(r->v, SEL_FREE), EXC_GP, SEL_FREE); /* base not canonical */
	rig_put64(r, RIG_GDT + SEL_FREE + 8, 0);
	assert_int_equal(sys_lldt(r->v, SEL_FREE), STEP_OK);
	assert_int_equal(sys_lldt(r->v, 0), STEP_OK);
	assert_int_equal(r->v->seg[GAMUT_LDTR].attr & SEG_UNUSABLE, SEG_UNUSABLE);
	r->v->cpl = 3;
	assert_fault(r->v, sys_lldt(r->v, 0), EXC_GP, 0);
}

static void queries(void **state)
{
	struct rig *r = *state;
	uint32_t value;
	bool ok;

	rig_long(r, 3);
	assert_int_equal(sys_lar(r->v, SEL_UDATA, &value, &ok), STEP_OK);
	assert_true(ok);
	assert_int_equal(value, 0xc0f300); /* the limit's bits are masked */
	assert_int_equal(sys_lsl(r->v, SEL_UDATA, &value, &ok), STEP_OK);
	assert_true(ok);
	assert_int_equal(value, 0xffffffff);
	assert_int_equal(sys_lar(r->v, SEL_DATA, &value, &ok), STEP_OK);
	assert_false(ok);
	assert_int_equal(sys_lsl(r->v, 0, &value, &ok), STEP_OK);
	assert_false(ok);
	assert_int_equal(sys_lsl(r->v, 0x7ff8, &value, &ok), STEP_OK);
	assert_false(ok);
	assert_int_equal(sys_verify(r->v, SEL_UDATA, true, &ok), STEP_OK);
	assert_true(ok);
	assert_int_equal(sys_verify(r->v, SEL_UCODE64, true, &ok), STEP_OK);
	assert_false(ok);
	assert_int_equal(sys_verify(r->v, SEL_UCODE64, false, &ok), STEP_OK);
	assert_true(ok);
	assert_int_equal(sys_verify(r->v, SEL_TSS, false, &ok), STEP_OK);
	assert_false(ok);
	sys_reset(r->v);
	assert_step(r, sys_lar(r->v, SEL_DATA, &value, &ok), UD);
}

static void io_permissions(void **state)
{
	struct rig *r = *state;

	rig_long(r, 3);
	rig_put32(r, RIG_TSS + 100, 0x68u << 16);
	assert_int_equal(sys_io_check(r->v, 0x60, 4), STEP_OK);
	*rig_at(r, RIG_TSS + 0x68 + 0x60 / 8) = 0x80; /* port 67 */
	assert_int_equal(sys_io_check(r->v, 0x60, 4), STEP_OK);
	assert_fault(r->v, sys_io_check(r->v, 0x64, 4), EXC_GP, 0);
	assert_fault(r->v, sys_io_check(r->v, 0x66, 2), EXC_GP, 0);
	r->v->seg[GAMUT_TR].limit = 0x68 + 0x60 / 8;
	assert_fault(r->v, sys_io_check(r->v, 0x60, 1), EXC_GP, 0);
	r->v->rflags |= FL_IOPL;
	assert_int_equal(sys_io_check(r->v, 0x66, 2), STEP_OK);
}

/* ---- far transfers ---- */

static void far_jumps(void **state)
{
	static const struct {
		bool long_mode;
		unsigned cpl;
		uint16_t selector;
		uint32_t attr, limit;
		uint64_t offset;
		uint8_t vector;
		uint32_t error;
	} cases[] = {
		{ true, 0, SEL_CODE64, 0, 0, 0x1000, 0xff, 0 },
		{ true, 0, SEL_CODE32, 0, 0, 0x1000, 0xff, 0 },
		{ true, 0, 0, 0, 0, 0x1000, EXC_GP, 0 },
		{ true, 0, SEL_CODE64, 0, 0, NONCANONICAL, EXC_GP, 0 },
		{ true, 3, SEL_CODE64, 0, 0, 0, EXC_GP, SEL_CODE64 },
		{ true, 3, SEL_UCODE32, 0, 0, 0, 0xff, 0 },
		{ true, 0, SEL_UCODE64, 0, 0, 0, EXC_GP, SEL_UCODE64 & ~3 },
		{ true, 0, SEL_DATA, 0, 0, 0, EXC_GP, SEL_DATA },
		{ true, 0, SEL_TSS, 0, 0, 0, EXC_GP, SEL_TSS },
		{ true, 0, SEL_FREE, 0xe09b, 0xfffff, 0, EXC_GP, SEL_FREE },
		{ true, 0, SEL_FREE, 0xa01b, 0xfffff, 0, EXC_NP, SEL_FREE },
		{ true, 3, SEL_FREE, 0xa09f, 0xfffff, 0, 0xff, 0 }, /* conforming */
		{ false, 0, SEL_FREE, 0x409b, 0xfff, 0xfff, 0xff, 0 },
		{ false, 0, SEL_FREE, 0x409b, 0xfff, 0x1000, EXC_GP, 0 },
		{ false, 0, 0x4000, 0, 0, 0, EXC_GP, 0x4000 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum bt_step step;

		rig_gdt(r, SEL_FREE, 0, cases[i].limit, cases[i].attr);
		cases[i].long_mode ? rig_long(r, cases[i].cpl) : rig_protected(r, cases[i].cpl);
		step = sys_jmp_far(r->v, cases[i].selector, cases[i].offset, 8);
		if (cases[i].vector == 0xff) {
			assert_int_equal(step, STEP_OK);
			assert_int_equal(r->v->rip, cases[i].offset);
			assert_int_equal(r->v->seg[GAMUT_CS].selector, (cases[i].selector & ~3u) | cases[i].cpl);
		} else {
			assert_fault(r->v, step, cases[i].vector, cases[i].error);
			assert_int_equal(r->v->rip, 0x30000);
		}
	}
}

static void far_call_and_return(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	assert_int_equal(sys_call_far(r->v, SEL_CODE32, 0x1000, 4, 0x30007), STEP_OK);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK - 8);
	assert_int_equal(r->v->key & KEY_MODE, MODE_32);
	assert_int_equal(sys_ret_far(r->v, 4, 0), STEP_OK);
	assert_int_equal(r->v->rip, 0x30007);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK);
	assert_int_equal(r->v->key & KEY_MODE, MODE_64);
}

/* A 32-bit call gate from level 3 to 0 with two parameters, and back with ret far 8. */
static void call_gate_to_inner(void **state)
{
	struct rig *r = *state;

	rig_protected(r, 3);
	rig_put32(r, RIG_TSS + 4, RIG_STACK0);
	rig_put32(r, RIG_TSS + 8, SEL_DATA);
	rig_put64(r, RIG_GDT + SEL_FREE, 0x1000 | SEL_CODE32 << 16 | (uint64_t)0x0003ec02 << 32);
	r->v->gpr[RSP] = RIG_STACK - 8;
	rig_put32(r, RIG_STACK - 8, 0xaaaa);
	rig_put32(r, RIG_STACK - 4, 0xbbbb);
	assert_int_equal(sys_call_far(r->v, SEL_FREE | 3, 0, 4, 0x30007), STEP_OK);
	assert_int_equal(r->v->cpl, 0);
	assert_int_equal(r->v->rip, 0x31000);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK0 - 24);
	assert_int_equal(rig_get32(r, RIG_STACK0 - 24), 0x30007);
	assert_int_equal(rig_get32(r, RIG_STACK0 - 20), SEL_UCODE32);
	assert_int_equal(rig_get32(r, RIG_STACK0 - 16), 0xaaaa);
	assert_int_equal(rig_get32(r, RIG_STACK0 - 12), 0xbbbb);
	assert_int_equal(rig_get32(r, RIG_STACK0 - 8), RIG_STACK - 8);
	assert_int_equal(rig_get32(r, RIG_STACK0 - 4), SEL_UDATA);
	assert_int_equal(sys_load_seg(r->v, GAMUT_ES, SEL_DATA), STEP_OK);
	assert_int_equal(sys_ret_far(r->v, 4, 8), STEP_OK);
	assert_int_equal(r->v->cpl, 3);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK);
	assert_int_equal(r->v->rip, 0x30007);
	/* What level 3 may not have is gone. */
	assert_int_equal(r->v->seg[GAMUT_ES].attr & SEG_UNUSABLE, SEG_UNUSABLE);
	assert_int_equal(r->v->seg[GAMUT_DS].attr & SEG_UNUSABLE, 0);
	/* The gate's own level. */
	rig_put64(r, RIG_GDT + SEL_FREE, 0x1000 | SEL_CODE32 << 16 | (uint64_t)0x00038c00 << 32);
	assert_fault(r->v, sys_call_far(r->v, SEL_FREE, 0, 4, 0), EXC_GP, SEL_FREE);
}

static void call_gate_64(void **state)
{
	struct rig *r = *state;

	rig_long(r, 3);
	rig_put64(r, RIG_TSS + 4, RIG_STACK0);
	rig_put64(r, RIG_GDT + SEL_FREE, 0x1000 | SEL_CODE64 << 16 | (uint64_t)0x0003ec00 << 32);
	rig_put64(r, RIG_GDT + SEL_FREE + 8, 0);
	assert_int_equal(sys_call_far(r->v, SEL_FREE | 3, 0, 8, 0x30007), STEP_OK);
	assert_int_equal(r->v->cpl, 0);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK0 - 32);
	assert_int_equal(sys_ret_far(r->v, 8, 0), STEP_OK);
	assert_int_equal(r->v->cpl, 3);
	assert_int_equal(r->v->gpr[RSP], RIG_STACK);
	assert_int_equal(r->v->seg[GAMUT_SS].selector, SEL_UDATA);
}

static void put_iret(struct rig *r, uint64_t rip, uint64_t cs, uint64_t flags, uint64_t rsp, uint64_t ss)
{
	uint64_t frame[] = { rip, cs, flags, rsp, ss };

	memcpy(rig_at(r, RIG_STACK), frame, sizeof(frame));
}

static void iret_checks(void **state)
{
	static const struct {
		uint64_t rip, cs, ss;
		unsigned cpl;
		uint8_t vector;
		uint32_t error;
	} cases[] = {
		{ 0x1000, SEL_UCODE64, SEL_UDATA, 0, 0xff, 0 },
		{ 0x1000, SEL_UCODE32, SEL_UDATA, 0, 0xff, 0 },
		{ 0x1000, SEL_CODE64, SEL_DATA, 0, 0xff, 0 },
		{ 0x1000, SEL_CODE64, 0, 0, 0xff, 0 },
		{ 0x1000, SEL_UCODE64, 3, 0, EXC_GP, 0 },
		{ NONCANONICAL, SEL_UCODE64, SEL_UDATA, 0, EXC_GP, 0 },
		{ 0x1000, 0, SEL_DATA, 0, EXC_GP, 0 },
		{ 0x1000, SEL_CODE64, SEL_DATA, 3, EXC_GP, SEL_CODE64 }, /* inwards */
		{ 0x1000, SEL_UCODE64, SEL_DATA, 0, EXC_GP, SEL_DATA },
		{ 0x1000, SEL_DATA, SEL_DATA, 0, EXC_GP, SEL_DATA },
		{ 0x1000, SEL_UCODE64, 0x2003, 0, EXC_GP, 0x2000 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum bt_step step;

		rig_long(r, cases[i].cpl);
		put_iret(r, cases[i].rip, cases[i].cs, 0x3202, 0x12345, cases[i].ss);
		step = sys_iret(r->v, 8);
		if (cases[i].vector != 0xff) {
			assert_fault(r->v, step, cases[i].vector, cases[i].error);
			assert_int_equal(r->v->gpr[RSP], RIG_STACK);
			assert_int_equal(bt_rflags(r->v), 2);
			continue;
		}
		assert_int_equal(step, STEP_OK);
		assert_int_equal(r->v->rip, cases[i].rip);
		assert_int_equal(r->v->cpl, cases[i].cs & 3);
		assert_int_equal(r->v->gpr[RSP], 0x12345);
		assert_int_equal(bt_rflags(r->v), 0x3202);
	}
	rig_long(r, 0);
	r->v->rflags |= FL_NT;
	assert_fault(r->v, sys_iret(r->v, 8), EXC_GP, 0);
}

/* Level 3 changes neither IOPL nor, below IOPL 3, IF. */
static void iret_flags_of_users(void **state)
{
	struct rig *r = *state;

	rig_long(r, 3);
	put_iret(r, 0x1000, SEL_UCODE64, 0x3fffff & ~FL_NT, 0x12345, SEL_UDATA);
	r->v->if_flag = 1;
	assert_int_equal(sys_iret(r->v, 8), STEP_OK);
	assert_int_equal(bt_rflags(r->v), 0x250fd7 & ~FL_VIF);
	assert_int_equal(r->v->key & KEY_INTERP, KEY_INTERP); /* TF */
}

/* ---- system calls ---- */

static void syscall_and_sysret(void **state)
{
	struct rig *r = *state;

	rig_long(r, 3);
	r->v->star = (uint64_t)SEL_CODE64 << 32 | (uint64_t)(SEL_CODE32 | 3) << 48;
	r->v->lstar = 0xffffffff81000000;
	r->v->sfmask = FL_IF | FL_DF | FL_TF;
	bt_set_rflags(r->v, 0x10602 | FL_CF);
	assert_int_equal(sys_syscall(r->v, 0x30002), STEP_OK);
	assert_int_equal(r->v->rip, 0xffffffff81000000);
	assert_int_equal(r->v->gpr[RCX], 0x30002);
	assert_int_equal(r->v->gpr[R11], 0x603);
	assert_int_equal(bt_rflags(r->v), 3);
	assert_int_equal(r->v->cpl, 0);
	assert_int_equal(r->v->seg[GAMUT_CS].selector, SEL_CODE64);
	assert_int_equal(r->v->seg[GAMUT_SS].selector, SEL_CODE64 + 8);
	assert_int_equal(r->v->key & (KEY_USER | KEY_MODE | KEY_INTERP | KEY_DF), MODE_64);
	assert_int_equal(sys_sysret(r->v, 8), STEP_OK);
	assert_int_equal(r->v->seg[GAMUT_CS].selector, SEL_UCODE64);
	assert_int_equal(r->v->seg[GAMUT_SS].selector, SEL_UDATA);
	assert_int_equal(r->v->rip, 0x30002);
	assert_int_equal(bt_rflags(r->v), 0x603);
	assert_int_equal(r->v->cpl, 3);
	assert_step(r, sys_sysret(r->v, 8), GP);
}

static void syscall_checks(void **state)
{
	struct rig *r = *state;

	rig_state(r, true, 0);
	r->state.efer &= ~EFER_SCE;
	rig_enter(r);
	assert_step(r, sys_syscall(r->v, 0), UD);
	assert_step(r, sys_sysret(r->v, 8), UD);
	rig_long(r, 0);
	r->v->gpr[RCX] = NONCANONICAL;
	assert_step(r, sys_sysret(r->v, 8), GP);
	assert_int_equal(r->v->cpl, 0);
	r->v->star = (uint64_t)SEL_CODE32 << 48;
	assert_int_equal(sys_sysret(r->v, 4), STEP_OK);
	assert_int_equal(r->v->key & (KEY_MODE | KEY_USER), MODE_32 | KEY_USER);
}

static void sysenter_and_sysexit(void **state)
{
	struct rig *r = *state;

	rig_protected(r, 3);
	assert_step(r, sys_sysenter(r->v), GP); /* no selector */
	r->v->sysenter_cs = SEL_CODE32;
	r->v->sysenter_eip = 0x1000;
	r->v->sysenter_esp = 0x2000;
	r->v->if_flag = 1;
	assert_int_equal(sys_sysenter(r->v), STEP_OK);
	assert_int_equal(r->v->rip, 0x1000);
	assert_int_equal(r->v->gpr[RSP], 0x2000);
	assert_int_equal(r->v->if_flag, 0);
	assert_int_equal(r->v->cpl, 0);
	r->v->gpr[RDX] = 0x3000;
	r->v->gpr[RCX] = 0x4000;
	assert_int_equal(sys_sysexit(r->v, 4), STEP_OK);
	assert_int_equal(r->v->rip, 0x3000);
	assert_int_equal(r->v->cpl, 3);
	assert_int_equal(r->v->seg[GAMUT_CS].selector, (SEL_CODE32 + 16) | 3);
	assert_step(r, sys_sysexit(r->v, 4), GP);
}

static void swapgs(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->v->kernel_gs_base = 0x1234;
	assert_int_equal(sys_swapgs(r->v), STEP_OK);
	assert_int_equal(r->v->seg_base[GAMUT_GS], 0x1234);
	assert_int_equal(r->v->seg[GAMUT_GS].base, 0x1234);
	assert_int_equal(r->v->kernel_gs_base, 0);
	r->v->cpl = 3;
	assert_step(r, sys_swapgs(r->v), GP);
	rig_protected(r, 0);
	assert_step(r, sys_swapgs(r->v), UD);
}

static void popf(void **state)
{
	static const struct {
		unsigned cpl, iopl, opsize;
		uint64_t start, value, result;
	} cases[] = {
		{ 0, 0, 8, 0x2, 0x3fffff, 0x247fd7 }, /* not RF, VM, VIF, VIP */
		{ 3, 0, 8, 0x202, 0x3dfdff & ~0x3000ull, 0x244fd7 | 0x200 },
		{ 3, 0, 8, 0x2, 0x200, 0x2 },
		{ 3, 3, 8, 0x3002, 0x200, 0x3202 },
		{ 0, 0, 2, 0x240002, 0xffff, 0x247fd7 },
		{ 0, 0, 8, 0x10002, 0, 0x2 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_long(r, cases[i].cpl);
		bt_set_rflags(r->v, cases[i].start);
		assert_int_equal(sys_popf(r->v, cases[i].value, cases[i].opsize), STEP_OK);
		assert_int_equal(bt_rflags(r->v), cases[i].result);
	}
}

static void cli_and_sti(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	assert_int_equal(sys_sti(r->v), STEP_OK);
	assert_int_equal(r->v->if_flag, 1);
	assert_int_equal(r->v->shadow, 1);
	r->v->shadow = 0;
	assert_int_equal(sys_sti(r->v), STEP_OK);
	assert_int_equal(r->v->shadow, 0); /* was on already */
	r->v->cpl = 3;
	assert_step(r, sys_cli(r->v), GP);
	assert_step(r, sys_sti(r->v), GP);
	r->v->rflags |= FL_IOPL;
	assert_step(r, sys_cli(r->v), OK);
	assert_int_equal(r->v->if_flag, 0);
}

static void invpcid(void **state)
{
	struct rig *r = *state;
	uint64_t desc[2] = { 0, 0x40000 };

	rig_long(r, 0);
	r->jc_flushes = r->jc_flush_globals = r->jc_pages = 0;
	assert_step(r, sys_invpcid(r->v, 0, desc), OK);
	assert_int_equal(r->jc_pages, 1);
	assert_step(r, sys_invpcid(r->v, 2, desc), OK);
	assert_int_equal(r->jc_flush_globals, 1);
	assert_step(r, sys_invpcid(r->v, 3, desc), OK);
	assert_int_equal(r->jc_flushes, 2);
	assert_step(r, sys_invpcid(r->v, 4, desc), GP);
	desc[0] = 1;
	assert_step(r, sys_invpcid(r->v, 1, desc), GP);
	desc[0] = 0;
	desc[1] = NONCANONICAL;
	assert_step(r, sys_invpcid(r->v, 0, desc), GP);
	assert_step(r, sys_invlpg(r->v, NONCANONICAL), OK); /* no fault, no effect */
	r->v->cpl = 3;
	assert_step(r, sys_invlpg(r->v, 0), GP);
}

/* ---- state ---- */

static void reset_state(void **state)
{
	struct rig *r = *state;
	struct gamut_vcpu_state s;

	rig_long(r, 3);
	sys_reset(r->v);
	sys_get_state(r->v, &s);
	assert_int_equal(s.rip, 0xfff0);
	assert_int_equal(s.seg[GAMUT_CS].base, 0xffff0000);
	assert_int_equal(s.cr0, 0x60000010);
	assert_int_equal(s.rflags, 2);
	assert_int_equal(s.efer, 0);
	assert_int_equal(r->v->key & (KEY_INTERP | KEY_MODE | KEY_USER), KEY_INTERP | MODE_16);
	assert_int_equal(sys_set_state(r->v, &s), 0);
}

static void round_trip(void **state)
{
	struct rig *r = *state;
	struct gamut_vcpu_state s;

	rig_state(r, true, 3);
	for (int i = 0; i < 16; i++)
		r->state.gpr[i] = 0x1111111111111111ull * (unsigned)i;
	r->state.seg[GAMUT_FS].base = 0x7f0012345000;
	r->state.rflags = 0x3202 | FL_DF;
	r->state.cr2 = 0x1234;
	r->state.dr[0] = 0x5678;
	rig_enter(r);
	sys_get_state(r->v, &s);
	assert_memory_equal(&s, &r->state, sizeof(s));
	assert_int_equal(r->v->cpl, 3);
	assert_int_equal(r->v->seg_base[GAMUT_FS], 0x7f0012345000);
	assert_int_equal(r->v->key & (KEY_MODE | KEY_USER | KEY_DF | KEY_INTERP), MODE_64 | KEY_USER | KEY_DF);
}

static void break_size(struct gamut_vcpu_state *s) { s->size--; }
static void break_cr0(struct gamut_vcpu_state *s) { s->cr0 &= ~CR0_PE; }
static void break_cr0_high(struct gamut_vcpu_state *s) { s->cr0 |= 1ull << 32; }
static void break_nw(struct gamut_vcpu_state *s) { s->cr0 |= CR0_NW; }
static void break_cr4(struct gamut_vcpu_state *s) { s->cr4 |= CR4_VME; }
static void break_pae(struct gamut_vcpu_state *s) { s->cr4 &= ~CR4_PAE; }
static void break_cr3(struct gamut_vcpu_state *s) { s->cr3 |= 1ull << 51; }
static void break_efer(struct gamut_vcpu_state *s) { s->efer |= 1ull << 12; }
static void break_lma(struct gamut_vcpu_state *s) { s->efer &= ~EFER_LME; }
static void break_cr8(struct gamut_vcpu_state *s) { s->cr8 = 16; }
static void break_flags(struct gamut_vcpu_state *s) { s->rflags |= 1ull << 22; }
static void break_vm(struct gamut_vcpu_state *s) { s->rflags |= FL_VM; }
static void break_rip(struct gamut_vcpu_state *s) { s->rip = NONCANONICAL; }
static void break_cs(struct gamut_vcpu_state *s) { s->seg[GAMUT_CS].attr = 0xc093; }
static void break_cs_ld(struct gamut_vcpu_state *s) { s->seg[GAMUT_CS].attr |= SEG_DB; }
static void break_gs(struct gamut_vcpu_state *s) { s->seg[GAMUT_GS].base = NONCANONICAL; }
static void break_ds(struct gamut_vcpu_state *s) { s->seg[GAMUT_DS].base = 1ull << 32; }
static void break_gdt(struct gamut_vcpu_state *s) { s->gdt.limit = 0x10000; }
static void break_idt(struct gamut_vcpu_state *s) { s->idt.base = NONCANONICAL; }
static void break_dr7(struct gamut_vcpu_state *s) { s->dr[7] |= 1ull << 32; }

static void impossible_states(void **state)
{
	static void (*const breaks[])(struct gamut_vcpu_state *) = {
		break_size, break_cr0, break_cr0_high, break_nw,  break_cr4,   break_pae, break_cr3,
		break_efer, break_lma, break_cr8,      break_flags, break_vm,  break_rip, break_cs,
		break_cs_ld, break_gs, break_ds,       break_gdt, break_idt,   break_dr7,
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
		struct gamut_vcpu_state before, after;

		rig_protected(r, 0);
		sys_get_state(r->v, &before);
		rig_state(r, true, 0);
		breaks[i](&r->state);
		assert_int_equal(sys_set_state(r->v, &r->state), -EINVAL);
		sys_get_state(r->v, &after);
		assert_memory_equal(&before, &after, sizeof(before));
	}
}

/* A 32-bit kernel's PAE state whose top entries are malformed. */
static void state_with_bad_pdptes(void **state)
{
	struct rig *r = *state;
	struct gamut_vcpu_state before, after;

	rig_protected(r, 3);
	sys_get_state(r->v, &before);
	rig_state(r, false, 0);
	rig_put64(r, RIG_PDPT, RIG_PD | 7);
	r->state.cr0 |= CR0_PG;
	r->state.cr4 |= CR4_PAE;
	r->state.cr3 = RIG_PDPT;
	assert_int_equal(sys_set_state(r->v, &r->state), -EINVAL);
	sys_get_state(r->v, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(r->v->cpl, 3);
}

static void keys(void **state)
{
	static const struct {
		enum gamut_seg seg;
		uint64_t base;
		uint32_t limit, attr;
		bool interp;
	} cases[] = {
		{ GAMUT_DS, 0, 0xffffffff, 0xc093, false }, { GAMUT_DS, 1, 0xffffffff, 0xc093, true },
		{ GAMUT_SS, 0, 0xfffffffe, 0xc093, true },  { GAMUT_ES, 0, 0xffffffff, 0xc091, true },
		{ GAMUT_ES, 0, 0, SEG_UNUSABLE, true },     { GAMUT_CS, 0, 0xffffffff, 0x809b, true },
		{ GAMUT_CS, 0, 0xffffffff, 0xc099, true },  { GAMUT_CS, 0, 0xffffffff, 0xc09b, false },
		{ GAMUT_FS, 77, 0, SEG_UNUSABLE, false },   { GAMUT_DS, 0, 0xffffffff, 0xc097, true },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_protected(r, 0);
		r->v->seg[cases[i].seg] = (struct gamut_segment){ .base = cases[i].base, .limit = cases[i].limit,
			                                          .attr = cases[i].attr };
		bt_update_key(r->v);
		assert_int_equal(!!(r->v->key & KEY_INTERP), cases[i].interp);
	}
}

struct tpr {
	uint64_t value;
	unsigned reads, writes;
};

static uint64_t tpr_read(void *opaque)
{
	struct tpr *t = opaque;

	t->reads++;
	return t->value;
}

static void tpr_write(void *opaque, uint64_t value)
{
	struct tpr *t = opaque;

	t->writes++;
	t->value = value;
}

static void cr8_of_a_controller(void **state)
{
	struct rig *r = *state;
	struct tpr tpr = { .value = 3 };
	bool outside = false;
	uint64_t value = 0;

	rig_long(r, 0);
	r->v->env_copy.opaque = &tpr;
	r->v->env_copy.cr8_outside = &outside;
	r->v->env_copy.cr8_read = tpr_read;
	r->v->env_copy.cr8_write = tpr_write;
	assert_int_equal(sys_write_cr(r->v, 8, 7), STEP_OK);
	assert_int_equal(sys_read_cr(r->v, 8, &value), STEP_OK);
	assert_int_equal(value, 7);
	assert_int_equal(tpr.reads + tpr.writes, 0);
	outside = true;
	assert_int_equal(sys_read_cr(r->v, 8, &value), STEP_OK);
	assert_int_equal(value, 3);
	assert_int_equal(sys_write_cr(r->v, 8, 12), STEP_OK);
	assert_int_equal(tpr.value, 12);
	/* What cannot be is not asked for. */
	assert_fault(r->v, sys_write_cr(r->v, 8, 16), EXC_GP, 0);
	r->v->cpl = 3;
	assert_fault(r->v, sys_write_cr(r->v, 8, 1), EXC_GP, 0);
	assert_fault(r->v, sys_read_cr(r->v, 8, &value), EXC_GP, 0);
	assert_int_equal(tpr.reads, 1);
	assert_int_equal(tpr.writes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(control_register_writes), RIG_TEST(into_long_mode), RIG_TEST(long_mode_needs_pae),
		RIG_TEST(flushes_of_control_registers), RIG_TEST(debug_registers), RIG_TEST(xcr0),
		RIG_TEST(msr_values), RIG_TEST(speculation), RIG_TEST(tsc_write), RIG_TEST(msrs_of_amd), RIG_TEST(microcode),
		RIG_TEST(msrs_of_the_core),
		RIG_TEST(apic_base_is_followed),
		RIG_TEST(mtrrs_when_offered), RIG_TEST(msrs_of_intel), RIG_TEST(segment_loads), RIG_TEST(segment_contents),
		RIG_TEST(linear_addresses), RIG_TEST(task_and_local_tables), RIG_TEST(queries),
		RIG_TEST(io_permissions), RIG_TEST(far_jumps), RIG_TEST(far_call_and_return),
		RIG_TEST(call_gate_to_inner), RIG_TEST(call_gate_64), RIG_TEST(iret_checks),
		RIG_TEST(iret_flags_of_users), RIG_TEST(syscall_and_sysret), RIG_TEST(syscall_checks),
		RIG_TEST(sysenter_and_sysexit), RIG_TEST(swapgs), RIG_TEST(popf), RIG_TEST(cli_and_sti),
		RIG_TEST(invpcid), RIG_TEST(reset_state), RIG_TEST(round_trip), RIG_TEST(impossible_states),
		RIG_TEST(state_with_bad_pdptes), RIG_TEST(keys),
		RIG_TEST(cr8_of_a_controller),
	};

	return RIG_RUN_BOTH(tests);
}
