/* SPDX-License-Identifier: MIT */
/*
 * The guest's vector and x87 state lives in the processor while its code runs.
 *
 * Only the components that the guest can be offered are saved: x87, SSE, and
 * AVX where the host has it. The host's others (AVX-512, PKRU) are untouched:
 * translated code has no way to name them, and C treats the vector part as
 * call-clobbered. The guest's PKRU is no register of the processor, and what
 * its xsave and xrstor do with it is done here by hand.
 *
 * Every exit saves and restores, and xsave and xrstor are slow: more than the
 * rest of a port's exit. Mostly x87 is in its initial state, which the
 * processor tracks (XINUSE); then the vector registers are moved one by one
 * and x87 is left alone. The area is the same either way.
 *
 * The x87 instruction and data pointers (FIP, FDP) would be addresses in the
 * code cache and the host, and the opcode (FOP) one of a copy: whatever the
 * guest saves shows zeros there, as processors do that save them for pending
 * exceptions only.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>

#include "engine/bt/decode.h"
#include "engine/bt/fpu.h"
#include "engine/bt/sys.h"

#define COMP_X87 1ull
#define COMP_SSE 2ull
#define COMP_AVX 4ull

#define FX_SIZE 512u
#define HEADER 512u /* of the XSAVE header */
#define AVX_OFFSET 576u
#define AVX_SIZE 256u
#define AREA_MAX FPU_AREA_MAX
_Static_assert(AREA_MAX == AVX_OFFSET + AVX_SIZE, "size of the area");
#define COMPACT (1ull << 63)

#define FCW_RESET 0x37fu
#define MXCSR_RESET 0x1f80u

/* Offsets in the FXSAVE image. */
#define FX_FCW 0
#define FX_FOP 6 /* followed by FIP and FDP */
#define FX_POINTERS 18
#define FX_MXCSR 24
#define FX_MXCSR_MASK 28
#define FX_XMM 160

#define XCR_INUSE 1u /* xgetbv of it: XINUSE */

static uint64_t xgetbv(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
	return (uint64_t)hi << 32 | lo;
}

/* AVX state is where the standard format has always had it (leaf 0xD.2); a host with another place gets no AVX. */
static bool avx_in_place(void)
{
	uint32_t a, b, c, d;

	return __get_cpuid_count(0xd, 2, &a, &b, &c, &d) && a == AVX_SIZE && b == AVX_OFFSET;
}

/* Whether xgetbv tells XINUSE (leaf 0xD.1). */
static bool has_inuse(void)
{
	uint32_t a = 0, b, c, d;

	return __get_cpuid_count(0xd, 1, &a, &b, &c, &d) && (a & 1u << 2);
}

bool fpu_probe(uint64_t *components, uint32_t *area_size, bool *avx)
{
	uint32_t a, b, c = 0, d;
	bool xsave;

	__get_cpuid(1, &a, &b, &c, &d);
	xsave = c & 1u << 27; /* OSXSAVE: the host's kernel has enabled it */
	*components = COMP_X87 | COMP_SSE;
	*avx = xsave && (c & 1u << 28) && (xgetbv(0) & COMP_AVX) && avx_in_place();
	if (*avx)
		*components |= COMP_AVX;
	*area_size = *avx ? AREA_MAX : AVX_OFFSET;
	return xsave;
}

int fpu_init(struct bt_vcpu *v)
{
	uint32_t size;
	bool avx;

	v->fpu_area = aligned_alloc(64, AREA_MAX);
	if (!v->fpu_area)
		return -ENOMEM;
	if (!fpu_probe(&v->fpu_comps, &size, &avx))
		v->fpu_comps = 0;
	v->fpu_inuse = v->fpu_comps && has_inuse();
	fpu_reset(v);
	return 0;
}

void fpu_finish(struct bt_vcpu *v)
{
	free(v->fpu_area);
	v->fpu_area = NULL;
	v->fpu_live = false;
}

/* XSTATE_BV 0 is the power-on state of all components but MXCSR, which is read from the area. */
void fpu_reset(struct bt_vcpu *v)
{
	uint16_t fcw = FCW_RESET;
	uint32_t mxcsr = MXCSR_RESET;

	bt_zero(v->fpu_area, AREA_MAX);
	bt_copy(v->fpu_area + FX_FCW, &fcw, sizeof(fcw));
	bt_copy(v->fpu_area + FX_MXCSR, &mxcsr, sizeof(mxcsr));
	v->fpu_live = false;
}

static void native_xsave(void *area, uint64_t mask)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

static void native_xrstor(const void *area, uint64_t mask)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

static void native_fxsave(void *area, bool wide)
{
	if (wide)
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
	else
		__asm__ volatile("fxsave (%0)" : : "r"(area) : "memory");
}

static void native_fxrstor(const void *area, bool wide)
{
	if (wide)
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
	else
		__asm__ volatile("fxrstor (%0)" : : "r"(area) : "memory");
}

/* fn(n) for every vector register; the halves are where the standard format has them. */
#define EACH_VECTOR(fn) fn(0) fn(1) fn(2) fn(3) fn(4) fn(5) fn(6) fn(7) fn(8) fn(9) fn(10) fn(11) fn(12) fn(13) fn(14) fn(15)
#define STORE_LOW(n) "movups %%xmm" #n ", 160+16*" #n "(%0)\n\t"
#define LOAD_LOW(n) "movups 160+16*" #n "(%0), %%xmm" #n "\n\t"
#define STORE_BOTH(n) "vmovups %%xmm" #n ", 160+16*" #n "(%0)\n\tvextractf128 $1, %%ymm" #n ", 576+16*" #n "(%0)\n\t"
#define LOAD_BOTH(n) "vmovups 160+16*" #n "(%0), %%xmm" #n "\n\tvinsertf128 $1, 576+16*" #n "(%0), %%ymm" #n ", %%ymm" #n "\n\t"
_Static_assert(FX_XMM == 160 && AVX_OFFSET == 576, "offsets above");

/* False when x87 is in use. A host without AVX never has its bit. */
static bool quick_save(struct bt_vcpu *v)
{
	uint64_t inuse;

	if (!v->fpu_inuse)
		return false;
	inuse = xgetbv(XCR_INUSE) & v->fpu_comps;
	if (inuse & COMP_X87)
		return false;
	if (inuse & COMP_AVX)
		__asm__ volatile(EACH_VECTOR(STORE_BOTH) "vzeroupper" : : "r"(v->fpu_area) : "memory");
	else
		__asm__ volatile(EACH_VECTOR(STORE_LOW) : : "r"(v->fpu_area) : "memory");
	__asm__ volatile("stmxcsr %0" : "=m"(*(uint32_t *)(void *)(v->fpu_area + FX_MXCSR)));
	((uint64_t *)(void *)(v->fpu_area + HEADER))[0] = COMP_SSE | (inuse & COMP_AVX);
	return true;
}

/* False when x87 is in use: the guest's, or, by some C, the processor's. */
static bool quick_restore(struct bt_vcpu *v)
{
	uint64_t comps = ((const uint64_t *)(const void *)(v->fpu_area + HEADER))[0];

	if (!v->fpu_inuse || (comps & (COMP_X87 | COMP_SSE)) != COMP_SSE || (xgetbv(XCR_INUSE) & COMP_X87))
		return false;
	if (comps & COMP_AVX)
		__asm__ volatile(EACH_VECTOR(LOAD_BOTH) : : "r"(v->fpu_area) : "memory");
	else if (v->fpu_comps & COMP_AVX)
		__asm__ volatile("vzeroupper\n\t" EACH_VECTOR(LOAD_LOW) : : "r"(v->fpu_area) : "memory");
	else
		__asm__ volatile(EACH_VECTOR(LOAD_LOW) : : "r"(v->fpu_area) : "memory");
	__asm__ volatile("ldmxcsr %0" : : "m"(*(const uint32_t *)(const void *)(v->fpu_area + FX_MXCSR)));
	return true;
}

static void full_save(struct bt_vcpu *v)
{
	if (v->fpu_comps)
		native_xsave(v->fpu_area, v->fpu_comps);
	else
		native_fxsave(v->fpu_area, true);
	__asm__ volatile("fninit");
	if (v->fpu_comps & COMP_AVX)
		__asm__ volatile("vzeroupper" : : : "memory");
}

void fpu_save(struct bt_vcpu *v)
{
	static const uint32_t mxcsr = MXCSR_RESET;

	if (!v->fpu_live)
		return;
	if (!quick_save(v))
		full_save(v);
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	v->fpu_live = false;
}

void fpu_restore(struct bt_vcpu *v)
{
	if (v->fpu_live)
		return;
	if (quick_restore(v))
		; /* done */
	else if (v->fpu_comps)
		native_xrstor(v->fpu_area, v->fpu_comps);
	else
		native_fxrstor(v->fpu_area, true);
	v->fpu_live = true;
}

/* ---- the guest's own instructions ---- */

/* Components that a guest xsave or xrstor with this mask is about. */
static uint64_t requested(const struct bt_vcpu *v, uint64_t mask)
{
	return mask & v->xcr0 & (v->fpu_comps | FPU_COMP_PKRU);
}

uint32_t fpu_standard_size(uint64_t components)
{
	return components & FPU_COMP_PKRU ? AREA_MAX + FPU_PKRU_SIZE : components & COMP_AVX ? AREA_MAX : AVX_OFFSET;
}

uint32_t fpu_compact_size(uint64_t components)
{
	return AVX_OFFSET + (components & COMP_AVX ? AVX_SIZE : 0) + (components & FPU_COMP_PKRU ? FPU_PKRU_SIZE : 0);
}

/* Where PKRU is in an area: behind AVX, unless that is left out of a compact one. */
static uint32_t pkru_offset(bool compact, uint64_t components)
{
	return !compact || (components & COMP_AVX) ? AREA_MAX : AVX_OFFSET;
}

static bool is_xsave(unsigned op)
{
	return op == OP_XSAVE || op == OP_XSAVEOPT || op == OP_XSAVEC || op == OP_XRSTOR;
}

uint32_t fpu_guest_size(const struct bt_vcpu *v, unsigned op, uint64_t mask)
{
	if (!is_xsave(op))
		return FX_SIZE;
	if (op == OP_XSAVEC)
		return fpu_compact_size(requested(v, mask));
	return fpu_standard_size(requested(v, mask));
}

/* fnsave and fnstenv images by size: 108 and 28 bytes with 32-bit operands, 94 and 14 with 16-bit ones. */
static enum bt_step legacy_save(struct bt_vcpu *v, void *area, uint32_t size)
{
	uint8_t *image = area;

	switch (size) {
	case 108:
		__asm__ volatile("fnsave (%0)" : : "r"(area) : "memory");
		break;
	case 94:
		__asm__ volatile(".byte 0x66; fnsave (%0)" : : "r"(area) : "memory");
		break;
	case 28:
		__asm__ volatile("fnstenv (%0)" : : "r"(area) : "memory");
		break;
	case 14:
		__asm__ volatile(".byte 0x66; fnstenv (%0)" : : "r"(area) : "memory");
		break;
	default:
		return bt_fault(v, EXC_UD);
	}
	if (size == 108 || size == 28)
		bt_zero(image + 12, 16);
	else
		bt_zero(image + 6, 8);
	return STEP_OK;
}

static enum bt_step legacy_load(struct bt_vcpu *v, const void *area, uint32_t size)
{
	switch (size) {
	case 108:
		__asm__ volatile("frstor (%0)" : : "r"(area) : "memory");
		return STEP_OK;
	case 94:
		__asm__ volatile(".byte 0x66; frstor (%0)" : : "r"(area) : "memory");
		return STEP_OK;
	case 28:
		__asm__ volatile("fldenv (%0)" : : "r"(area) : "memory");
		return STEP_OK;
	case 14:
		__asm__ volatile(".byte 0x66; fldenv (%0)" : : "r"(area) : "memory");
		return STEP_OK;
	default:
		return bt_fault(v, EXC_UD);
	}
}

/* PKRU into an area whose other components and header are there. Zero is its initial state. */
static void save_pkru(struct bt_vcpu *v, unsigned op, uint64_t rfbm, uint8_t *area)
{
	uint64_t header[2], image = v->pkru;

	bt_copy(header, area + HEADER, sizeof(header));
	header[0] = (header[0] & ~FPU_COMP_PKRU) | (v->pkru ? FPU_COMP_PKRU : 0);
	header[1] |= op == OP_XSAVEC ? FPU_COMP_PKRU : 0;
	bt_copy(area + HEADER, header, sizeof(header));
	/* xsave stores the initial state, too; the others leave it out. */
	if (v->pkru || op == OP_XSAVE)
		bt_copy(area + pkru_offset(op == OP_XSAVEC, rfbm), &image, sizeof(image));
}

static enum bt_step xsave_guest(struct bt_vcpu *v, unsigned op, uint64_t mask, uint8_t *area)
{
	uint64_t all = requested(v, mask), rfbm = all & v->fpu_comps;

	if (op == OP_XSAVEC)
		__asm__ volatile("xsavec64 (%0)"
		                 :
		                 : "r"(area), "a"((uint32_t)rfbm), "d"((uint32_t)(rfbm >> 32))
		                 : "memory");
	else
		native_xsave(area, rfbm);
	if (rfbm & COMP_X87)
		bt_zero(area + FX_FOP, FX_POINTERS);
	if (all & FPU_COMP_PKRU)
		save_pkru(v, op, all, area);
	return STEP_OK;
}

enum bt_step fpu_guest_save(struct bt_vcpu *v, unsigned op, bool wide, uint64_t mask, void *area, uint32_t size)
{
	if (op == OP_FSAVE)
		return legacy_save(v, area, size);
	if (is_xsave(op))
		return size < fpu_guest_size(v, op, mask) ? bt_fault(v, EXC_UD) : xsave_guest(v, op, mask, area);
	if (op != OP_FXSAVE || size < FX_SIZE)
		return bt_fault(v, EXC_UD);
	native_fxsave(area, wide);
	bt_zero((uint8_t *)area + FX_FOP, FX_POINTERS);
	return STEP_OK;
}

/* Bits of MXCSR that this processor has; a zero mask in the image means the original set. */
static uint32_t mxcsr_mask(void)
{
	uint8_t image[FX_SIZE] __attribute__((aligned(16)));
	uint32_t mask;

	native_fxsave(image, true);
	bt_copy(&mask, image + FX_MXCSR_MASK, sizeof(mask));
	return mask ? mask : 0xffbf;
}

static bool mxcsr_valid(const uint8_t *image)
{
	uint32_t mxcsr;

	bt_copy(&mxcsr, image + FX_MXCSR, sizeof(mxcsr));
	return !(mxcsr & ~mxcsr_mask());
}

/* Whether the header is one that xrstor accepts; sets *loads_mxcsr. SDM vol. 1 section 13.8. */
static bool header_valid(const struct bt_vcpu *v, const uint8_t *image, uint64_t rfbm, bool *loads_mxcsr)
{
	uint64_t h[8];

	bt_copy(h, image + HEADER, sizeof(h));
	if (h[1] & COMPACT) {
		const struct cpuid_entry *e = cpuid_find(v, 0xd, 1);

		*loads_mxcsr = h[0] & rfbm & COMP_SSE;
		if (!e || !(e->regs[0] & 2) || (h[1] & ~(COMPACT | v->xcr0)) || (h[0] & ~h[1]))
			return false;
		for (unsigned i = 2; i < 8; i++)
			if (h[i])
				return false;
		return true;
	}
	*loads_mxcsr = rfbm & (COMP_SSE | COMP_AVX);
	return !(h[0] & ~v->xcr0) && h[1] == 0 && h[2] == 0;
}

/* Takes PKRU out of an image, so that the processor need not know of it. */
static void load_pkru(struct bt_vcpu *v, uint64_t rfbm, uint8_t *image)
{
	uint64_t header[2];
	uint32_t value = 0;

	bt_copy(header, image + HEADER, sizeof(header));
	if (header[0] & FPU_COMP_PKRU)
		bt_copy(&value, image + pkru_offset(header[1] & COMPACT, header[1]), sizeof(value));
	header[0] &= ~FPU_COMP_PKRU;
	header[1] &= ~FPU_COMP_PKRU;
	bt_copy(image + HEADER, header, sizeof(header));
	if (rfbm & FPU_COMP_PKRU)
		sys_set_pkru(v, value);
}

static enum bt_step xrstor_guest(struct bt_vcpu *v, uint64_t mask, uint8_t *image)
{
	uint64_t rfbm = requested(v, mask);
	bool loads_mxcsr;

	if (!header_valid(v, image, rfbm, &loads_mxcsr) || (loads_mxcsr && !mxcsr_valid(image)))
		return bt_fault_error(v, EXC_GP, 0);
	load_pkru(v, rfbm, image);
	native_xrstor(image, rfbm & v->fpu_comps);
	return STEP_OK;
}

/* The image is copied first: it may be guest memory, and what was checked must be what is loaded. */
enum bt_step fpu_guest_load(struct bt_vcpu *v, unsigned op, bool wide, uint64_t mask, const void *area, uint32_t size)
{
	uint8_t image[AREA_MAX + FPU_PKRU_SIZE] __attribute__((aligned(64)));

	if (op == OP_FSAVE)
		return legacy_load(v, area, size);
	if ((op != OP_FXRSTOR && op != OP_XRSTOR) || size > sizeof(image) || size < fpu_guest_size(v, op, mask))
		return bt_fault(v, EXC_UD);
	bt_copy(image, area, size);
	if (op == OP_XRSTOR)
		return xrstor_guest(v, mask, image);
	if (!mxcsr_valid(image))
		return bt_fault_error(v, EXC_GP, 0);
	native_fxrstor(image, wide);
	return STEP_OK;
}
