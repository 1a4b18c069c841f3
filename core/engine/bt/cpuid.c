/* SPDX-License-Identifier: MIT */
/*
 * The processor that the engine offers: the host's, less what a translator
 * does not do, plus what a guest should not worry about.
 *
 * Instruction-set bits are the host's, cut to a list of what has been proven:
 * instructions run natively, so what the host lacks cannot be offered. Bits of
 * the system architecture (paging, SYSCALL, SMEP) are ours, and offered
 * whatever the host has.
 *
 * Speculation: the guest's kernel and its processes share one host process,
 * and what separates processes from the world is the host kernel's affair.
 * Page-table isolation and retpolines inside the guest would protect nothing
 * that the soft TLB does not separate architecturally and would cost every
 * system call, so the processor says that it is not affected:
 * ARCH_CAPABILITIES (sys-msr.c) for both vendors, and AMD's own "no" bits.
 *
 * Left to the core's mask and to plugins: the hypervisor bit, APIC, and with it
 * x2APIC and the TSC deadline timer, MTRR.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>

#include "engine/bt/fpu.h"
#include "engine/bt/sys.h"

/* Physical address bits: enough for any memory that a host can give, few enough for every guest. */
#define PHYS_BITS_MIN 40u
#define PHYS_BITS_MAX 46u
#define LINEAR_BITS 48u

enum { EAX, EBX, ECX, EDX };

#define BIT(n) (1u << (n))

/* Leaf 1. */
#define L1_ECX_HOST (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) | \
                     BIT(29) | BIT(30)) /* SSE3 PCLMUL SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES F16C RDRAND */
#define L1_ECX_XSAVE BIT(26)
#define L1_ECX_AVX BIT(28)
#define L1_EDX_OURS (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(13) | \
                     BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26))
	/* FPU DE PSE TSC MSR PAE MCE CX8 SEP PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
#define L1_AVX_ONLY (BIT(12) | BIT(29)) /* FMA F16C: VEX-encoded */

/* Leaf 7. */
#define L7_EBX_HOST (BIT(3) | BIT(8) | BIT(9) | BIT(18) | BIT(19) | BIT(23) | BIT(24) | BIT(29))
	/* BMI1 BMI2 ERMS RDSEED ADX CLFLUSHOPT CLWB SHA */
#define L7_EBX_OURS (BIT(0) | BIT(1) | BIT(7) | BIT(10) | BIT(20)) /* FSGSBASE TSC_ADJUST SMEP INVPCID SMAP */
#define L7_EBX_AVX2 BIT(5)
#define L7_EBX_BMI (BIT(3) | BIT(8))
#define L7_ECX_OURS (BIT(2) | BIT(22) | BIT(31)) /* UMIP RDPID PKS */
#define L7_ECX_PKU BIT(3)
#define L7_ECX_OSPKE BIT(4)
#define L7_EDX_HOST BIT(4)   /* FSRM */
#define L7_EDX_OURS (BIT(26) | BIT(29)) /* SPEC_CTRL, ARCH_CAPABILITIES */

/* Leaf 0x80000001. */
#define X1_ECX_HOST (BIT(5) | BIT(8)) /* LZCNT (ABM), PREFETCHW */
#define X1_ECX_OURS BIT(0)            /* LAHF */
#define X1_EDX_OURS (BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29)) /* SYSCALL NX PDPE1GB RDTSCP LM */
#define X1_EDX_AMD (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(13) | BIT(14) | \
                    BIT(15) | BIT(16) | BIT(17) | BIT(23) | BIT(24)) /* the copies of leaf 1 EDX that AMD has here */

#define X8_EBX_AMD (BIT(26) | BIT(29))          /* SSB_NO, BTC_NO */
#define X21_EAX_AMD (BIT(6) | BIT(29) | BIT(30)) /* null selector clears base; SRSO_NO, SRSO_USER_KERNEL_NO */
#define X21_EAX_HOST BIT(2)                      /* lfence always serializing: it runs natively */
#define X21_ECX_AMD (BIT(1) | BIT(2))           /* TSA_SQ_NO, TSA_L1_NO */

#define D1_EAX (BIT(0) | BIT(1)) /* XSAVEOPT XSAVEC */

#define LEAVES_MAX 48

struct builder {
	struct cpuid_entry *list;
	uint32_t n;
	bool amd, xsave, avx;
	uint64_t components;
	uint32_t host_max, host_ext_max;
};

static void host_leaf(const struct builder *b, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	uint32_t max = leaf & 0x80000000u ? b->host_ext_max : b->host_max;

	r[EAX] = r[EBX] = r[ECX] = r[EDX] = 0;
	if (leaf <= max)
		__cpuid_count(leaf, subleaf, r[EAX], r[EBX], r[ECX], r[EDX]);
}

static void add_entry(struct builder *b, uint32_t leaf, uint32_t subleaf, bool has_subleaf, const uint32_t r[4])
{
	struct cpuid_entry *e = &b->list[b->n++];

	e->leaf = leaf;
	e->subleaf = subleaf;
	e->has_subleaf = has_subleaf;
	for (int i = 0; i < 4; i++)
		e->regs[i] = r[i];
}

static void add(struct builder *b, uint32_t leaf, const uint32_t r[4])
{
	add_entry(b, leaf, 0, false, r);
}

static void add_sub(struct builder *b, uint32_t leaf, uint32_t subleaf, const uint32_t r[4])
{
	add_entry(b, leaf, subleaf, true, r);
}

static void copy_host(struct builder *b, uint32_t leaf)
{
	uint32_t r[4];

	host_leaf(b, leaf, 0, r);
	add(b, leaf, r);
}

/* ---- basic leaves ---- */

static void leaf_vendor(struct builder *b)
{
	uint32_t r[4];

	host_leaf(b, 0, 0, r);
	r[EAX] = b->xsave ? 0xd : 7;
	add(b, 0, r);
}

static void leaf_features(struct builder *b)
{
	uint32_t r[4];

	host_leaf(b, 1, 0, r);
	r[EBX] = (r[EBX] & 0xff00) | 1u << 16; /* CLFLUSH line; one logical processor, APIC id 0 */
	r[ECX] &= L1_ECX_HOST | (b->xsave ? L1_ECX_XSAVE : 0) | (b->avx ? L1_ECX_AVX : 0);
	if (!b->avx)
		r[ECX] &= ~L1_AVX_ONLY;
	r[EDX] = L1_EDX_OURS;
	add(b, 1, r);
}

/* Sharing fields of a cache leaf say one processor, one core. */
static void leaf_caches(struct builder *b, uint32_t leaf)
{
	uint32_t r[4] = { 0 };

	for (uint32_t i = 0; i < 8; i++) {
		host_leaf(b, leaf, i, r);
		if ((r[EAX] & 31) == 0)
			break;
		r[EAX] &= 0x3fff;
		add_sub(b, leaf, i, r);
	}
	r[EAX] = r[EBX] = r[ECX] = r[EDX] = 0;
	add_sub(b, leaf, b->n && b->list[b->n - 1].leaf == leaf ? b->list[b->n - 1].subleaf + 1 : 0, r);
}

static void leaf_extended_features(struct builder *b)
{
	uint32_t r[4];

	host_leaf(b, 7, 0, r);
	r[EAX] = 0;
	r[EBX] = (r[EBX] & (L7_EBX_HOST | (b->avx ? L7_EBX_AVX2 : 0))) | L7_EBX_OURS;
	if (!b->avx)
		r[EBX] &= ~L7_EBX_BMI;
	r[ECX] = L7_ECX_OURS | (b->xsave ? L7_ECX_PKU : 0); /* PKRU is part of the XSAVE state */
	r[EDX] = (r[EDX] & L7_EDX_HOST) | L7_EDX_OURS;
	add_sub(b, 7, 0, r);
}

static void leaf_xsave(struct builder *b)
{
	uint32_t r[4] = { (uint32_t)(b->components | FPU_COMP_PKRU), 576, fpu_standard_size(FPU_COMP_PKRU), 0 };

	if (!b->xsave)
		return;
	add_sub(b, 0xd, 0, r);
	host_leaf(b, 0xd, 1, r);
	r[EAX] &= D1_EAX;
	r[EBX] = 0;
	r[ECX] = r[EDX] = 0;
	add_sub(b, 0xd, 1, r);
	r[EAX] = FPU_PKRU_SIZE;
	r[EBX] = FPU_AREA_MAX;
	add_sub(b, 0xd, 9, r);
	if (!b->avx)
		return;
	r[EAX] = 256;
	r[EBX] = 576;
	add_sub(b, 0xd, 2, r);
}

/* ---- extended leaves ---- */

static void leaf_ext_max(struct builder *b)
{
	uint32_t r[4];

	host_leaf(b, 0x80000000, 0, r);
	r[EAX] = b->amd ? 0x80000021 : 0x80000008;
	add(b, 0x80000000, r);
}

static void leaf_ext_features(struct builder *b)
{
	uint32_t r[4], id[4];

	host_leaf(b, 1, 0, id);
	host_leaf(b, 0x80000001, 0, r);
	r[EAX] = b->amd ? id[EAX] : 0;
	r[EBX] = 0;
	r[ECX] = (r[ECX] & X1_ECX_HOST) | X1_ECX_OURS;
	r[EDX] = X1_EDX_OURS | (b->amd ? X1_EDX_AMD : 0);
	add(b, 0x80000001, r);
}

static void leaf_invariant_tsc(struct builder *b)
{
	uint32_t r[4];

	host_leaf(b, 0x80000007, 0, r);
	r[EAX] = r[EBX] = r[ECX] = 0;
	r[EDX] &= BIT(8);
	add(b, 0x80000007, r);
}

static void leaf_addresses(struct builder *b)
{
	uint32_t r[4], bits;

	host_leaf(b, 0x80000008, 0, r);
	bits = r[EAX] & 0xff;
	bits = bits < PHYS_BITS_MIN ? PHYS_BITS_MIN : bits > PHYS_BITS_MAX ? PHYS_BITS_MAX : bits;
	r[EAX] = bits | LINEAR_BITS << 8;
	r[EBX] = b->amd ? X8_EBX_AMD : 0;
	r[ECX] = r[EDX] = 0;
	add(b, 0x80000008, r);
}

static void leaf_amd_features2(struct builder *b)
{
	uint32_t r[4];

	host_leaf(b, 0x80000021, 0, r);
	r[EAX] = (r[EAX] & X21_EAX_HOST) | X21_EAX_AMD;
	r[EBX] = 0;
	r[ECX] = X21_ECX_AMD;
	r[EDX] = 0;
	add(b, 0x80000021, r);
}

/* TSC frequency where the host's CPUID tells it; else the guest finds it out. */
static void leaf_tsc(struct builder *b)
{
	uint32_t r[4];

	if (b->amd || !b->xsave)
		return;
	host_leaf(b, 0x15, 0, r);
	if (r[EAX] == 0 || r[EBX] == 0 || r[ECX] == 0)
		return;
	add(b, 0x15, r);
	b->list[0].regs[EAX] = 0x15;
}

static void build(struct builder *b)
{
	leaf_vendor(b);
	leaf_features(b);
	if (!b->amd) {
		copy_host(b, 2);
		leaf_caches(b, 4);
	}
	leaf_extended_features(b);
	leaf_xsave(b);
	leaf_tsc(b);
	leaf_ext_max(b);
	leaf_ext_features(b);
	copy_host(b, 0x80000002);
	copy_host(b, 0x80000003);
	copy_host(b, 0x80000004);
	if (b->amd)
		copy_host(b, 0x80000005);
	copy_host(b, 0x80000006);
	leaf_invariant_tsc(b);
	leaf_addresses(b);
	if (b->amd)
		leaf_amd_features2(b);
}

int cpuid_build(struct cpuid_entry **entries, uint32_t *n)
{
	struct builder b = { 0 };
	uint32_t r[4], size;

	b.list = calloc(LEAVES_MAX, sizeof(*b.list));
	if (!b.list)
		return -ENOMEM;
	b.host_max = __get_cpuid_max(0, NULL);
	b.host_ext_max = __get_cpuid_max(0x80000000, NULL);
	host_leaf(&b, 0, 0, r);
	b.amd = r[EBX] == signature_AMD_ebx || r[EBX] == 0x6f677948; /* or Hygon */
	b.xsave = fpu_probe(&b.components, &size, &b.avx);
	build(&b);
	*entries = b.list;
	*n = b.n;
	return 0;
}

/* ---- what the guest sees ---- */

const struct cpuid_entry *cpuid_find(const struct bt_vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < v->n_cpuid; i++) {
		const struct cpuid_entry *e = &v->cpuid[i];

		if (e->leaf == leaf && (!e->has_subleaf || e->subleaf == subleaf))
			return e;
	}
	return NULL;
}

static bool is_intel(const struct bt_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_find(v, 0, 0);

	return e && e->regs[EBX] == signature_INTEL_ebx;
}

/* Beyond the last basic leaf Intel answers with that leaf's data, others with zeros. */
static const struct cpuid_entry *find_or_last(const struct bt_vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	const struct cpuid_entry *zero = cpuid_find(v, 0, 0), *ext = cpuid_find(v, 0x80000000, 0);
	uint32_t max = leaf & 0x80000000u ? (ext ? ext->regs[EAX] : 0) : zero ? zero->regs[EAX] : 0;
	bool hypervisor = leaf >> 16 == 0x4000;

	if (!hypervisor && leaf > max && is_intel(v))
		return zero ? cpuid_find(v, zero->regs[EAX], subleaf) : NULL;
	return cpuid_find(v, leaf, subleaf);
}

/* Bits that follow the vCPU's state. APIC ids are in each vCPU's own leaves, set by who models the APIC. */
static void adjust(const struct bt_vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	switch (leaf) {
	case 1:
		/* Turned off by APIC_BASE, the APIC is not there. */
		if (!(v->apic_base & APIC_BASE_ENABLE))
			r[EDX] &= ~BIT(9);
		r[ECX] = (r[ECX] & ~BIT(27)) | (v->cr4 & CR4_OSXSAVE ? BIT(27) : 0);
		break;
	case 7:
		if (subleaf == 0 && (v->cr4 & CR4_PKE))
			r[ECX] |= L7_ECX_OSPKE;
		break;
	case 0xb:
	case 0x1f:
		/* The subleaf is echoed even when it does not exist. */
		r[ECX] = (r[ECX] & ~0xffu) | (subleaf & 0xff);
		break;
	case 0xd:
		if (subleaf == 0) {
			r[EBX] = fpu_standard_size(v->xcr0);
			r[ECX] = fpu_standard_size(r[EAX]);
		} else if (subleaf == 1 && (r[EAX] & BIT(1))) {
			r[EBX] = fpu_compact_size(v->xcr0);
		}
		break;
	case 0x80000001:
		/* Intel shows SYSCALL in 64-bit mode alone. */
		if (is_intel(v) && !bt_code64(v))
			r[EDX] &= ~BIT(11);
		if (!(v->apic_base & APIC_BASE_ENABLE))
			r[EDX] &= ~BIT(9);
		break;
	default:
		break;
	}
}

void sys_cpuid(struct bt_vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	const struct cpuid_entry *e = find_or_last(v, leaf, subleaf);

	for (int i = 0; i < 4; i++)
		regs[i] = e ? e->regs[i] : 0;
	if (e)
		adjust(v, leaf, subleaf, regs);
}
