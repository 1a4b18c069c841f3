/* SPDX-License-Identifier: MIT */
/*
 * What a PV guest sees of the processor. The lists are Xen's: cpufeatureset.h
 * marks with 'A' what is for all guests, with 'S' and 'H' what is for HVM
 * guests alone, for it needs ring 0 or page tables of one's own (PSE, PGE,
 * PCID, SMEP, UMIP, XSAVES, PKU, 1 GiB pages ...). What the lists do not know is
 * hidden.
 *
 * Of those for all, machine checks, thermal MSRs and the local APIC are hidden
 * as well, for there are none; and what is used through MSRs that an engine
 * may not have (struct gamut_pv_cpu_ops.msr_read) goes with it.
 */
#include "dm/xen/pv/monitor.h"

#include <string.h>

#include <xen/arch-x86/cpufeatureset.h>

enum { EAX, EBX, ECX, EDX };

#define F(name) XEN_X86_FEATURE_##name

static const uint16_t allowed[] = {
	F(FPU), F(DE), F(TSC), F(MSR), F(PAE), F(CX8), F(SEP), F(CMOV), F(PAT), F(CLFLUSH), F(MMX), F(FXSR), F(SSE),
	F(SSE2), F(SS), F(HTT),

	F(SSE3), F(PCLMULQDQ), F(SSSE3), F(FMA), F(CX16), F(SSE4_1), F(SSE4_2), F(MOVBE), F(POPCNT), F(AESNI), F(XSAVE),
	F(OSXSAVE), F(AVX), F(F16C), F(RDRAND), F(HYPERVISOR),

	F(SYSCALL), F(NX), F(MMXEXT), F(FFXSR), F(LM), F(3DNOWEXT), F(3DNOW),

	F(LAHF_LM), F(CMP_LEGACY), F(ABM), F(SSE4A), F(MISALIGNSSE), F(3DNOWPREFETCH), F(XOP), F(FMA4), F(TBM), F(DBEXT),

	F(XSAVEOPT), F(XSAVEC), F(XGETBV1),

	F(FSGSBASE), F(BMI1), F(AVX2), F(FDP_EXCP_ONLY), F(BMI2), F(ERMS), F(RTM), F(NO_FPU_SEL), F(AVX512F),
	F(AVX512DQ), F(RDSEED), F(ADX), F(AVX512_IFMA), F(CLFLUSHOPT), F(CLWB), F(AVX512PF), F(AVX512ER), F(AVX512CD),
	F(SHA), F(AVX512BW), F(AVX512VL),

	F(PREFETCHWT1), F(AVX512_VBMI), F(AVX512_VBMI2), F(GFNI), F(VAES), F(VPCLMULQDQ), F(AVX512_VNNI),
	F(AVX512_BITALG), F(AVX512_VPOPCNTDQ), F(CLDEMOTE),

	F(CLZERO), F(RSTR_FP_ERR_PTRS), F(SSB_NO), F(BTC_NO), F(IBPB_RET),

	F(AVX512_4VNNIW), F(AVX512_4FMAPS), F(FSRM), F(MD_CLEAR), F(SERIALIZE), F(AVX512_FP16),

	F(AVX_VNNI), F(AVX512_BF16), F(FZRM), F(FSRS), F(FSRCS),

	F(LFENCE_DISPATCH), F(VERW_CLEAR), F(NSCB), F(SBPB), F(IBPB_BRTYPE), F(SRSO_NO), F(SRSO_US_NO),

	F(INTEL_PSFD), F(MCDT_NO),

	F(TSA_SQ_NO), F(TSA_L1_NO),
};

/* Allowed when the engine has the MSRs behind them. */
static const uint16_t with_msrs[] = {
	F(RDTSCP), F(RDPID), F(IBPB), F(IBRSB), F(STIBP), F(ARCH_CAPS), F(SSBD),
};

/* Where each word of the lists is. */
static const struct {
	uint32_t leaf, subleaf, reg;
} words[] = {
	{ 1, 0, EDX },          { 1, 0, ECX },          { 0x80000001, 0, EDX }, { 0x80000001, 0, ECX },
	{ 0xd, 1, EAX },        { 7, 0, EBX },          { 7, 0, ECX },          { 0x80000007, 0, EDX },
	{ 0x80000008, 0, EBX }, { 7, 0, EDX },          { 7, 1, EAX },          { 0x80000021, 0, EAX },
	{ 7, 1, EBX },          { 7, 2, EDX },          { 7, 1, ECX },          { 7, 1, EDX },
	{ 0, 0, 0 },            { 0, 0, 0 },            { 0x80000021, 0, ECX },
};

#define N_WORDS (sizeof(words) / sizeof(words[0]))
/* Of leaf 0x80000001 EDX: copies of leaf 1's, on AMD. */
#define COMMON_EDX 0x0183f3ffu
#define WORD_1D 0
#define WORD_E1D 2

/* Not for guests at all: MONITOR, power, counters, topology of x2APICs, quality of service, SGX, traces, SVM ... */
static const struct {
	uint32_t leaf, subleaf;
} none[] = {
	{ 5, 0 }, { 6, 0 }, { 0xa, 0 }, { 0xb, 0 }, { 0xb, 1 }, { 0xf, 0 }, { 0xf, 1 }, { 0x10, 0 }, { 0x12, 0 },
	{ 0x14, 0 }, { 0x19, 0 }, { 0x1c, 0 }, { 0x1f, 0 }, { 0x8000000a, 0 }, { 0x8000001b, 0 }, { 0x8000001e, 0 },
	{ 0x8000001f, 0 },
};

/* Components of XCR0: x87, SSE, AVX, AVX-512's three. Not MPX, PKRU, AMX. */
#define XCR0_ALLOWED 0xe7u

#define BIT(feature) (1u << (feature) % 32)

static void allow(uint32_t bits[N_WORDS], const uint16_t *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		bits[list[i] / 32] |= BIT(list[i]);
}

static int mask(struct pv_domain *d, uint32_t leaf, uint32_t subleaf, const uint32_t clear[4], const uint32_t set[4])
{
	return d->env.host->cpuid_mask(d->env.inst, UINT32_MAX, leaf, subleaf, clear, set);
}

static int mask_features(struct pv_domain *d)
{
	uint32_t bits[N_WORDS] = { 0 };

	allow(bits, allowed, sizeof(allowed) / sizeof(allowed[0]));
	if (pv_has_msrs(d->cpu[0]->ops))
		allow(bits, with_msrs, sizeof(with_msrs) / sizeof(with_msrs[0]));
	bits[WORD_E1D] |= bits[WORD_1D] & COMMON_EDX;
	for (uint32_t i = 0; i < N_WORDS; i++) {
		uint32_t clear[4] = { 0 };
		int rc;

		if (!words[i].leaf)
			continue;
		clear[words[i].reg] = ~bits[i];
		rc = mask(d, words[i].leaf, words[i].subleaf, clear, (const uint32_t[4]){ 0 });
		if (rc)
			return rc;
	}
	return 0;
}

int pv_cpuid_register(struct pv_domain *d)
{
	static const uint32_t nothing[4], all[4] = { ~0u, ~0u, ~0u, ~0u };
	int rc = mask_features(d);

	for (uint32_t i = 0; i < sizeof(none) / sizeof(none[0]) && !rc; i++)
		rc = mask(d, none[i].leaf, none[i].subleaf, all, nothing);
	if (!rc)
		rc = mask(d, 1, 0, nothing, (const uint32_t[4]){ [ECX] = BIT(F(HYPERVISOR)) });
	if (!rc)
		rc = mask(d, 0xd, 0, (const uint32_t[4]){ [EAX] = ~XCR0_ALLOWED, [EDX] = ~0u }, nothing);
	if (!rc)
		rc = mask(d, 0xd, 1, (const uint32_t[4]){ [ECX] = ~0u, [EDX] = ~0u }, nothing);
	return rc;
}

/* ---- asking -------------------------------------------------------------------------------------- */

/*
 * OSXSAVE follows CR4, but the kernel that asks by Xen's prefix has always been
 * told of it together with XSAVE, and depends on it: part of the ABI by now.
 */
void pv_cpuid(struct pv_vcpu *v, bool forced, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	v->cpu->ops->cpuid(v->cpu, leaf, subleaf, regs);
	if (leaf != 1)
		return;
	regs[ECX] &= ~BIT(F(OSXSAVE));
	if (v->cr4 & PV_CR4_OSXSAVE || (forced && !v->user && regs[ECX] & BIT(F(XSAVE))))
		regs[ECX] |= BIT(F(OSXSAVE));
}

uint64_t pv_cr4_choice(struct pv_vcpu *v)
{
	uint32_t one[4], seven[4];

	v->cpu->ops->cpuid(v->cpu, 1, 0, one);
	v->cpu->ops->cpuid(v->cpu, 7, 0, seven);
	return (one[EDX] & BIT(F(TSC)) ? PV_CR4_TSD : 0) | (one[EDX] & BIT(F(DE)) ? PV_CR4_DE : 0) |
	       (one[ECX] & BIT(F(XSAVE)) ? PV_CR4_OSXSAVE : 0) | (seven[EBX] & BIT(F(FSGSBASE)) ? PV_CR4_FSGSBASE : 0);
}
