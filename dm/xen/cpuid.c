/* SPDX-License-Identifier: MIT */
/* How a guest finds Xen: CPUID leaves from 0x40000000 on, and the hypercall page behind an MSR. */
#include "dm/xen/platform.h"

#include <errno.h>
#include <string.h>

#include <cpuid.h>

#include <xen/arch-x86/cpuid.h>

#define HYGON_EBX 0x6f677948u /* "Hygo": AMD's design */
#define STUB_SIZE 32u
#define ALL_VCPUS UINT32_MAX

void xen_hypercall_page(uint8_t page[4096], const uint8_t insn[3])
{
	memset(page, 0xcc, XEN_PAGE_SIZE);
	for (uint32_t nr = 0; nr < XEN_PAGE_SIZE / STUB_SIZE; nr++) {
		const uint8_t stub[] = {
			0xb8, (uint8_t)nr, 0, 0, 0,             /* mov $nr, %eax */
			insn[0], insn[1], insn[2],              /* vmcall or what does as it */
			0xc3,                                   /* ret */
		};
		static const uint8_t none[] = { 0x0f, 0x0b }; /* ud2: iret is for PV guests */

		if (nr == __HYPERVISOR_iret)
			memcpy(page + nr * STUB_SIZE, none, sizeof(none));
		else
			memcpy(page + nr * STUB_SIZE, stub, sizeof(stub));
	}
}

void xen_hypercall_page_pv(uint8_t page[4096])
{
	memset(page, 0xcc, XEN_PAGE_SIZE);
	for (uint32_t nr = 0; nr < XEN_PAGE_SIZE / STUB_SIZE; nr++) {
		const uint8_t stub[] = {
			0x51, 0x41, 0x53,           /* push %rcx; push %r11 */
			0xb8, (uint8_t)nr, 0, 0, 0, /* mov $nr, %eax */
			0x0f, 0x05,                 /* syscall */
			0x41, 0x5b, 0x59, 0xc3,     /* pop %r11; pop %rcx; ret */
		};
		/* iret does not come back, and its frame has rax above the two. */
		static const uint8_t iret[] = { 0x51, 0x41, 0x53, 0x50, 0xb8, __HYPERVISOR_iret, 0, 0, 0, 0x0f, 0x05 };

		if (nr == __HYPERVISOR_iret)
			memcpy(page + nr * STUB_SIZE, iret, sizeof(iret));
		else
			memcpy(page + nr * STUB_SIZE, stub, sizeof(stub));
	}
}

/* The page's address, with the page's index in the low bits: there is one, 0. */
static int msr_write(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	struct xen_platform *p = opaque;
	struct gamut_vcpu_state state = { .size = sizeof(state) };
	uint8_t page[4096];

	(void)msr;
	if (value & (XEN_PAGE_SIZE - 1))
		return -EPERM;
	xen_hypercall_page(page, p->insn);
	if (p->env.host->mem_write(p->env.inst, value, page, sizeof(page)))
		return -EPERM;
	/* As Xen, a moment to see which layout the guest uses: CS.L while EFER.LMA. */
	if (p->intr && !p->env.host->vcpu_get(p->env.inst, vcpu, &state))
		p->intr->latch_mode(p->intr_self, state.efer >> 10 & 1 && state.seg[GAMUT_CS].attr >> 13 & 1);
	return 0;
}

static int msr_read(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t *value)
{
	(void)opaque;
	(void)vcpu;
	(void)msr;
	*value = 0;
	return 0;
}

static const struct gamut_msr_ops msr_ops = { .size = sizeof(msr_ops), .read = msr_read, .write = msr_write };

int xen_msr_register(struct xen_platform *p)
{
	p->env.host->hypercall_insn(p->env.inst, p->insn);
	return p->env.host->msr_register(p->env.inst, XEN_MSR_HYPERCALL, 1, &msr_ops, p);
}

/* kHz of the guest's TSC from its scale to ns; 0 when the engine does not say. */
static uint32_t tsc_khz(uint32_t mul, int8_t shift)
{
	unsigned __int128 khz;

	if (!mul || shift < -31 || shift > 31)
		return 0;
	khz = ((unsigned __int128)1000000 << 32) / mul;
	khz = shift < 0 ? khz << -shift : khz >> shift;
	return khz > UINT32_MAX ? 0 : (uint32_t)khz;
}

static int set(const struct xen_platform *p, uint32_t vcpu, uint32_t leaf, uint32_t subleaf, uint32_t eax,
               uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	const uint32_t regs[4] = { eax, ebx, ecx, edx };

	return p->env.host->cpuid_set(p->env.inst, vcpu, XEN_CPUID_BASE + leaf, subleaf, regs);
}

/* TSC: not emulated; how it scales, and the frequency that follows. */
static int set_tsc(const struct xen_platform *p)
{
	uint64_t tsc, ns;
	uint32_t mul, khz;
	int8_t shift;
	int rc;

	p->env.host->time_scale(p->env.inst, 0, &tsc, &ns, &mul, &shift);
	khz = tsc_khz(mul, shift);
	rc = set(p, ALL_VCPUS, 3, 0, 0, 0, khz, 0);
	if (!rc)
		rc = set(p, ALL_VCPUS, 3, 1, (uint32_t)tsc, (uint32_t)(tsc >> 32), mul, (uint32_t)(int32_t)shift);
	return rc ? rc : set(p, ALL_VCPUS, 3, 2, khz, 0, 0, 0);
}

static int set_hvm(const struct xen_platform *p)
{
	uint32_t features = XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT;
	int rc = 0;

	if (p->can & GAMUT_XEN_INTR_VECTOR)
		features |= XEN_HVM_CPUID_UPCALL_VECTOR;
	for (uint32_t i = 0; i < p->env.n_vcpus && !rc; i++)
		rc = set(p, i, 4, 0, features, i, p->env.domid, 0);
	return rc;
}

/* "There is a hypervisor", bit 31: without it nobody is obliged to look for leaves from 0x40000000 on. */
static int set_present(const struct xen_platform *p)
{
	static const uint32_t none[4] = { 0 }, present[4] = { 0, 0, 1u << 31, 0 };

	return p->env.host->cpuid_mask(p->env.inst, ALL_VCPUS, 1, 0, none, present);
}

static bool host_is_amd(void)
{
	uint32_t eax, ebx, ecx, edx;

	if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx))
		return false;
	return ebx == signature_AMD_ebx || ebx == HYGON_EBX;
}

int xen_cpuid_set_mtrr(const struct xen_platform *p)
{
	static const uint32_t none[4] = { 0 }, mtrr[4] = { 0, 0, 0, 1u << 12 };
	int rc = p->env.host->cpuid_mask(p->env.inst, ALL_VCPUS, 1, 0, none, mtrr);

	/* AMD repeats the bit. */
	if (rc || !host_is_amd())
		return rc;
	return p->env.host->cpuid_mask(p->env.inst, ALL_VCPUS, 0x80000001u, 0, none, mtrr);
}

/* Bits of the highest machine address that may show up: host pages are below 4 GiB. */
static int set_pv(const struct xen_platform *p)
{
	uint32_t width = 32;
	int rc;

	while (p->memory.max_gfn >> (width - XEN_PAGE_SHIFT))
		width++;
	rc = set(p, ALL_VCPUS, 4, 0, 0, 0, 0, 0);
	return rc ? rc : set(p, ALL_VCPUS, 5, 0, 0, width, 0, 0);
}

int xen_cpuid_set(const struct xen_platform *p)
{
	bool pv = p->flavour->pv;
	int rc = set_present(p);

	if (!rc)
		rc = set(p, ALL_VCPUS, 0, 0, XEN_CPUID_BASE + p->flavour->last_leaf, XEN_CPUID_SIGNATURE_EBX,
		         XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX);
	if (!rc)
		rc = set(p, ALL_VCPUS, 1, 0, XEN_ABI_MAJOR << 16 | XEN_ABI_MINOR, 0, 0, 0);
	if (!rc)
		rc = set(p, ALL_VCPUS, 2, 0, 1, XEN_MSR_HYPERCALL,
		         pv ? XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD : 0, 0);
	if (!rc)
		rc = set_tsc(p);
	if (!rc)
		rc = pv ? set_pv(p) : set_hvm(p);
	return rc;
}
