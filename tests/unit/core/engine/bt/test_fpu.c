/* SPDX-License-Identifier: MIT */
/*
 * The guest's vector state: brackets, and the guest's own fxsave and xsave
 * family. Registers that the compiler does not use by itself (xmm15, x87)
 * carry the values, between adjacent statements.
 */
#include "fake/bt-rig.h"

static uint8_t image[1024] __attribute__((aligned(64)));

static void put(unsigned off, uint64_t value)
{
	memcpy(image + off, &value, 8);
}

static uint64_t get(const uint8_t *area, unsigned off)
{
	uint64_t value;

	memcpy(&value, area + off, 8);
	return value;
}

static bool has_xsave(struct rig *r)
{
	return r->v->fpu_comps != 0;
}

static void enable_all(struct rig *r)
{
	r->v->xcr0 = has_xsave(r) ? r->v->fpu_comps : 3;
}

static void probe(void **state)
{
	uint64_t components;
	uint32_t size;
	bool avx, xsave = fpu_probe(&components, &size, &avx);

	(void)state;
	assert_int_equal(components & 3, 3);
	assert_int_equal(size, avx ? 832 : 576);
	assert_int_equal((components & 4) != 0, avx);
	if (avx)
		assert_true(xsave);
}

/* With x87 in its initial state, which has a way of its own; what C does meanwhile to x87 and to the vectors is undone. */
static void brackets_without_x87(void **state)
{
	struct rig *r = *state;
	uint64_t in[4] = { 0x1122334455667788, 0x99aabbccddeeff00, 0x123456789, 0xabcdef012 }, out[4] = { 0, 0, 1, 1 };
	bool avx = r->v->fpu_comps & 4;
	uint32_t mxcsr = 0x1fc0;
	uint16_t status;

	for (unsigned upper = 0; upper <= (unsigned)avx; upper++) {
		fpu_reset(r->v);
		fpu_restore(r->v);
		if (upper)
			__asm__ volatile("vmovups %0, %%ymm15; vmovups %0, %%ymm0" : : "m"(in) : "xmm0", "xmm15");
		else
			__asm__ volatile("movups %0, %%xmm15; movups %0, %%xmm0" : : "m"(in) : "xmm0", "xmm15");
		__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
		fpu_save(r->v);
		assert_memory_equal(r->v->fpu_area + 160, in, 16);
		assert_int_equal(get(r->v->fpu_area, 24) & 0xffff, 0x1fc0);
		if (upper)
			assert_memory_equal(r->v->fpu_area + 576 + 15 * 16, in + 2, 16);
		if (avx)
			__asm__ volatile("vpcmpeqd %%xmm15, %%xmm15, %%xmm15; vinsertf128 $1, %%xmm15, %%ymm15, %%ymm15" : : : "xmm15");
		__asm__ volatile("fld1; fldpi; fdivrp; fstp %%st(0)" : : : "memory"); /* inexact: its flag stays */
		fpu_restore(r->v);
		if (avx)
			__asm__ volatile("vmovups %%ymm15, %0; fnstsw %1" : "=m"(out), "=a"(status));
		else
			__asm__ volatile("movups %%xmm15, %0; fnstsw %1" : "=m"(out), "=a"(status));
		__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
		fpu_save(r->v);
		assert_memory_equal(out, in, upper ? 32 : 16);
		if (avx && !upper)
			assert_true(!out[2] && !out[3]);
		assert_int_equal(status, 0);
		assert_int_equal(mxcsr, 0x1fc0);
	}
}

static void brackets(void **state)
{
	struct rig *r = *state;
	uint64_t in[2] = { 0x1122334455667788, 0x99aabbccddeeff00 }, out[2] = { 0, 0 };
	uint32_t mxcsr;
	uint16_t fcw;

	assert_false(r->v->fpu_live);
	fpu_restore(r->v);
	assert_true(r->v->fpu_live);
	__asm__ volatile("movups %0, %%xmm15; fldpi" : : "m"(in) : "xmm15");
	mxcsr = 0x1fc0;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	fpu_save(r->v);
	/* C finds a host's defaults, with the x87 stack empty. */
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(fcw));
	assert_int_equal(mxcsr & ~0x3fu, 0x1f80);
	assert_int_equal(fcw, 0x37f);
	__asm__ volatile("xorps %%xmm15, %%xmm15" : : : "xmm15");
	fpu_save(r->v); /* not live: nothing happens */
	fpu_restore(r->v);
	__asm__ volatile("movups %%xmm15, %0; stmxcsr %1" : "=m"(out), "=m"(mxcsr));
	fpu_save(r->v);
	assert_memory_equal(in, out, 16);
	assert_int_equal(mxcsr, 0x1fc0);
	fpu_reset(r->v);
	fpu_restore(r->v);
	__asm__ volatile("movups %%xmm15, %0; stmxcsr %1; fnstcw %2" : "=m"(out), "=m"(mxcsr), "=m"(fcw));
	fpu_save(r->v);
	assert_int_equal(out[0] | out[1], 0);
	assert_int_equal(mxcsr, 0x1f80);
	assert_int_equal(fcw, 0x37f);
}

/* After an x87 load from memory the processor's FIP and FDP are host addresses: the guest sees zeros. */
static void no_host_addresses(void **state)
{
	static const struct {
		unsigned op;
		bool wide;
		uint32_t size, from, to;
	} cases[] = {
		{ OP_FXSAVE, true, 512, 8, 24 },  { OP_FXSAVE, false, 512, 8, 24 }, { OP_XSAVE, true, 832, 8, 24 },
		{ OP_XSAVEC, true, 832, 8, 24 },  { OP_FSAVE, false, 108, 12, 28 }, { OP_FSAVE, false, 28, 12, 28 },
		{ OP_FSAVE, false, 94, 6, 14 },   { OP_FSAVE, false, 14, 6, 14 },
	};
	struct rig *r = *state;
	static const double zero = 0.0;

	enable_all(r);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct cpuid_entry *d1 = cpuid_find(r->v, 0xd, 1);
		enum bt_step step;

		if (cases[i].op == OP_XSAVE && !has_xsave(r))
			continue;
		if (cases[i].op == OP_XSAVEC && (!d1 || !(d1->regs[0] & 2)))
			continue;
		memset(image, 0, sizeof(image));
		fpu_reset(r->v);
		fpu_restore(r->v);
		/* An unmasked exception is pending, which makes AMD processors save the pointers too. */
		__asm__ volatile("fld1; fldcw %1; fdivl %0" : : "m"(zero), "m"((const uint16_t){ 0x37b }));
		step = fpu_guest_save(r->v, cases[i].op, cases[i].wide, ~0ull, image, cases[i].size);
		__asm__ volatile("fnclex");
		fpu_save(r->v);
		assert_int_equal(step, STEP_OK);
		for (uint32_t k = cases[i].from; k < cases[i].to; k++)
			assert_int_equal(image[k], 0);
		assert_int_not_equal(get(image, 0), 0); /* something was saved */
	}
}

static void fx_round_trip(void **state)
{
	struct rig *r = *state;
	uint64_t out[2];

	memset(image, 0, sizeof(image));
	put(0, 0x37f);
	put(24, 0x1fa0);
	put(160 + 15 * 16, 0xabcdef);
	fpu_restore(r->v);
	assert_int_equal(fpu_guest_load(r->v, OP_FXRSTOR, true, ~0ull, image, 512), STEP_OK);
	__asm__ volatile("movups %%xmm15, %0" : "=m"(out));
	fpu_save(r->v);
	assert_int_equal(out[0], 0xabcdef);
	assert_int_equal(get(r->v->fpu_area, 24) & 0xffffffff, 0x1fa0);
	put(24, 0x10000);
	fpu_restore(r->v);
	assert_fault(r->v, fpu_guest_load(r->v, OP_FXRSTOR, true, ~0ull, image, 512), EXC_GP, 0);
	fpu_save(r->v);
	assert_int_equal(get(r->v->fpu_area, 160 + 15 * 16), 0xabcdef); /* nothing was loaded */
}

/* The header rules of xrstor. 8: compact form. */
static void xrstor_headers(void **state)
{
	static const struct {
		uint64_t bv, comp, rest; /* rest: bytes 16 on of the header */
		uint32_t mxcsr;
		bool ok;
	} cases[] = {
		{ 0, 0, 0, 0x1f80, true },
		{ 3, 0, 0, 0x1f80, true },
		{ 7, 0, 0, 0x1f80, true },
		{ 1ull << 5, 0, 0, 0x1f80, false }, /* not in XCR0 */
		{ 1ull << 63, 0, 0, 0x1f80, false },
		{ 3, 1, 0, 0x1f80, false }, /* bits without the compact bit */
		{ 3, 0, 1, 0x1f80, false },
		{ 3, 0, 0, 0x10000, false },
		{ 0, 0, 0, 0x10000, false }, /* MXCSR is loaded whatever XSTATE_BV says */
	};
	struct rig *r = *state;

	if (!has_xsave(r) || !(r->v->fpu_comps & 4))
		skip();
	enable_all(r);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum bt_step step;

		memset(image, 0, sizeof(image));
		put(0, 0x37f);
		put(24, cases[i].mxcsr);
		put(512, cases[i].bv);
		put(520, cases[i].comp);
		put(528, cases[i].rest);
		fpu_restore(r->v);
		step = fpu_guest_load(r->v, OP_XRSTOR, true, ~0ull, image, 832);
		fpu_save(r->v);
		if (cases[i].ok)
			assert_int_equal(step, STEP_OK);
		else
			assert_fault(r->v, step, EXC_GP, 0);
	}
	/* A component that XCR0 does not have is refused too. */
	r->v->xcr0 = 3;
	memset(image, 0, sizeof(image));
	put(24, 0x1f80);
	put(512, 7);
	fpu_restore(r->v);
	assert_fault(r->v, fpu_guest_load(r->v, OP_XRSTOR, true, ~0ull, image, 832), EXC_GP, 0);
	fpu_save(r->v);
}

static void compact_form(void **state)
{
	static const struct {
		uint64_t bv, comp, rest;
		bool ok;
	} cases[] = {
		{ 3, 3, 0, true }, { 7, 7, 0, true }, { 7, 3, 0, false }, { 3, 1ull << 9 | 3, 0, false }, { 3, 3, 1, false },
	};
	struct rig *r = *state;
	const struct cpuid_entry *d1 = cpuid_find(r->v, 0xd, 1);

	if (!d1 || !(d1->regs[0] & 2) || !(r->v->fpu_comps & 4))
		skip();
	enable_all(r);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum bt_step step;

		memset(image, 0, sizeof(image));
		put(0, 0x37f);
		put(24, 0x1f80);
		put(512, cases[i].bv);
		put(520, cases[i].comp | 1ull << 63);
		put(568, cases[i].rest);
		fpu_restore(r->v);
		step = fpu_guest_load(r->v, OP_XRSTOR, true, ~0ull, image, 832);
		fpu_save(r->v);
		if (cases[i].ok)
			assert_int_equal(step, STEP_OK);
		else
			assert_fault(r->v, step, EXC_GP, 0);
	}
	fpu_restore(r->v);
	assert_int_equal(fpu_guest_save(r->v, OP_XSAVEC, true, 3, image, 832), STEP_OK);
	fpu_save(r->v);
	assert_int_equal(get(image, 520), 1ull << 63 | 3);
}

/* xsave writes the components asked for, keeps the other bits of XSTATE_BV, and never more than XCR0 has. */
static void xsave_masks(void **state)
{
	struct rig *r = *state;
	uint64_t in[2] = { 5, 6 };

	if (!has_xsave(r))
		skip();
	enable_all(r);
	memset(image, 0, sizeof(image));
	put(512, 4);
	fpu_restore(r->v);
	__asm__ volatile("movups %0, %%xmm15" : : "m"(in) : "xmm15");
	assert_int_equal(fpu_guest_save(r->v, OP_XSAVE, true, 2, image, 832), STEP_OK);
	fpu_save(r->v);
	assert_int_equal(get(image, 160 + 15 * 16), 5);
	assert_int_equal(get(image, 512), 6);
	assert_int_equal(fpu_guest_size(r->v, OP_XSAVE, 3), 576);
	assert_int_equal(fpu_guest_size(r->v, OP_XSAVE, ~0ull), r->v->fpu_comps & 4 ? 832 : 576);
	r->v->xcr0 = 3;
	assert_int_equal(fpu_guest_size(r->v, OP_XSAVE, ~0ull), 576);
	assert_int_equal(fpu_guest_size(r->v, OP_FXSAVE, ~0ull), 512);
}

/* PKRU is the engine's: behind AVX in standard format, packed in compact format, absent when it is zero. */
static void pkru(void **state)
{
	struct rig *r = *state;
	const struct cpuid_entry *d1 = cpuid_find(r->v, 0xd, 1);

	if (!has_xsave(r))
		skip();
	r->v->xcr0 = 0x203;
	r->v->pkru = 0x55555554;
	memset(image, 0xee, sizeof(image));
	put(512, 0);
	put(520, 0);
	assert_int_equal(fpu_guest_size(r->v, OP_XSAVE, ~0ull), 840);
	fpu_restore(r->v);
	assert_int_equal(fpu_guest_save(r->v, OP_XSAVE, true, 0x200, image, 840), STEP_OK);
	fpu_save(r->v);
	assert_int_equal(get(image, 512), 0x200);
	assert_int_equal(get(image, 832), 0x55555554);
	put(528, 0);
	put(832, 0x12345678);
	assert_int_equal(fpu_guest_load(r->v, OP_XRSTOR, true, 0x200, image, 840), STEP_OK);
	assert_int_equal(r->v->pkru, 0x12345678);
	assert_int_equal(fpu_guest_load(r->v, OP_XRSTOR, true, 0, image, 840), STEP_OK); /* not asked for */
	assert_int_equal(r->v->pkru, 0x12345678);
	put(512, 0);
	assert_int_equal(fpu_guest_load(r->v, OP_XRSTOR, true, 0x200, image, 840), STEP_OK);
	assert_int_equal(r->v->pkru, 0); /* the initial state */
	r->v->xcr0 = 3;
	put(512, 0x200);
	assert_fault(r->v, fpu_guest_load(r->v, OP_XRSTOR, true, 0x200, image, 840), EXC_GP, 0);
	if (!d1 || !(d1->regs[0] & 2))
		return;
	r->v->xcr0 = 0x203;
	r->v->pkru = 0xabc;
	assert_int_equal(fpu_guest_size(r->v, OP_XSAVEC, ~0ull), 584);
	fpu_restore(r->v);
	assert_int_equal(fpu_guest_save(r->v, OP_XSAVEC, true, 0x200, image, 584), STEP_OK);
	fpu_save(r->v);
	assert_int_equal(get(image, 520), 1ull << 63 | 0x200);
	assert_int_equal(get(image, 576), 0xabc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(probe),          RIG_TEST(brackets), RIG_TEST(brackets_without_x87), RIG_TEST(no_host_addresses), RIG_TEST(fx_round_trip),
		RIG_TEST(xrstor_headers), RIG_TEST(compact_form), RIG_TEST(xsave_masks),
		RIG_TEST(pkru),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
