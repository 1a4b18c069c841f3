/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers of a PV guest: what Xen has for one, and a #GP for
 * all else, read or written. Those that follow from the processor (speculation
 * controls, TSC_AUX) are the engine's to answer, if it has the means; if it
 * has not, cpuid.c hides them.
 */
#include "dm/xen/pv/monitor.h"

#include <errno.h>

#include "dm/xen/platform.h"

#define MSR_TSC 0x10u
#define MSR_APIC_BASE 0x1bu
#define MSR_SPEC_CTRL 0x48u
#define MSR_PRED_CMD 0x49u
#define MSR_UCODE_REV 0x8bu
#define MSR_PLATFORM_INFO 0xceu
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_MISC_FEATURES_ENABLES 0x140u
#define MSR_MISC_ENABLE 0x1a0u
#define MSR_PAT 0x277u
#define MSR_EFER 0xc0000080u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u
#define MSR_AMD_SYSCFG 0xc0010010u
#define MSR_AMD_HWCR 0xc0010015u

#define AMD_EBX 0x68747541u /* "Auth" */

/* Where an APIC would be, on, and the first processor: no guest uses it, and Linux reads it. */
#define APIC_BASE (0xfee00000ull | 1ull << 11)
#define APIC_BASE_BSP (1ull << 8)

/* WB WT UC- UC WC WP UC UC: Xen's, for every PV guest. */
#define XEN_PAT 0x050100070406ull

/* Fast strings on; no branch trace, no precise events, no task-priority messages. */
#define MISC_ENABLE (1ull << 0 | 1ull << 11 | 1ull << 12 | 1ull << 23)

/* ---- reading --------------------------------------------------------------------------------- */

static int read_base(struct pv_vcpu *v, uint32_t msr, uint64_t *value)
{
	if (msr == MSR_KERNEL_GS_BASE)
		*value = v->other_gs;
	else
		*value = v->cpu->ops->base(v->cpu, msr == MSR_FS_BASE ? GAMUT_FS : GAMUT_GS);
	return 0;
}

static int read_tsc(struct pv_vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = v->cpu->ops->tsc(v->cpu);
	return 0;
}

static int read_apic_base(struct pv_vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = APIC_BASE | (v->index ? 0 : APIC_BASE_BSP);
	return 0;
}

static int read_engine(struct pv_vcpu *v, uint32_t msr, uint64_t *value)
{
	const struct gamut_pv_cpu_ops *ops = v->cpu->ops;

	if (!pv_has_msrs(ops) || ops->msr_read(v->cpu, msr, value))
		return -EPERM;
	return 0;
}

/* Nobody's revision, when the engine knows none: 0. */
static int read_revision(struct pv_vcpu *v, uint32_t msr, uint64_t *value)
{
	if (read_engine(v, msr, value))
		*value = 0;
	return 0;
}

/* What AMD's processors all have and kernels read without asking: nothing is set in it. */
static int read_amd(struct pv_vcpu *v, uint32_t msr, uint64_t *value)
{
	uint32_t regs[4];

	(void)msr;
	v->cpu->ops->cpuid(v->cpu, 0, 0, regs);
	*value = 0;
	return regs[1] == AMD_EBX ? 0 : -EPERM;
}

static int read_zero(struct pv_vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	*value = 0;
	return 0;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static int write_base(struct pv_vcpu *v, uint32_t msr, uint64_t value)
{
	if (!pv_canonical(value))
		return -EPERM;
	if (msr == MSR_KERNEL_GS_BASE)
		v->other_gs = value;
	else
		v->cpu->ops->set_base(v->cpu, msr == MSR_FS_BASE ? GAMUT_FS : GAMUT_GS, value);
	return 0;
}

static int write_engine(struct pv_vcpu *v, uint32_t msr, uint64_t value)
{
	const struct gamut_pv_cpu_ops *ops = v->cpu->ops;

	if (!pv_has_msrs(ops) || ops->msr_write(v->cpu, msr, value))
		return -EPERM;
	return 0;
}

/* The first half of asking for the revision, by Intel's manual. */
static int write_zero(struct pv_vcpu *v, uint32_t msr, uint64_t value)
{
	(void)v;
	(void)msr;
	return value ? -EPERM : 0;
}

/* The address of a page that is to be the first (and only) one of stubs; it may be nothing but memory. */
static int write_hypercall_page(struct pv_vcpu *v, uint32_t msr, uint64_t value)
{
	const struct xen_env *env = &v->domain->env;
	uint8_t page[XEN_PAGE_SIZE];

	(void)msr;
	if (value % XEN_PAGE_SIZE || !pv_page_free(v->domain, value >> XEN_PAGE_SHIFT))
		return -EPERM;
	xen_hypercall_page_pv(page);
	return env->host->mem_write(env->inst, value, page, sizeof(page)) ? -EPERM : 0;
}

static int write_never(struct pv_vcpu *v, uint32_t msr, uint64_t value)
{
	(void)v;
	(void)msr;
	(void)value;
	return -EPERM;
}

static const struct {
	uint32_t msr;
	uint64_t constant; /* when there is no read; writing the same is no error */
	int (*read)(struct pv_vcpu *v, uint32_t msr, uint64_t *value);
	int (*write)(struct pv_vcpu *v, uint32_t msr, uint64_t value);
} table[] = {
	{ MSR_FS_BASE, 0, read_base, write_base },
	{ MSR_GS_BASE, 0, read_base, write_base },
	{ MSR_KERNEL_GS_BASE, 0, read_base, write_base },
	{ MSR_TSC_AUX, 0, read_engine, write_engine },
	{ MSR_SPEC_CTRL, 0, read_engine, write_engine },
	{ MSR_PRED_CMD, 0, read_engine, write_engine },
	{ MSR_ARCH_CAPABILITIES, 0, read_engine, write_engine },
	{ MSR_EFER, PV_EFER, NULL, NULL },
	{ MSR_PAT, XEN_PAT, NULL, NULL },
	{ MSR_MISC_ENABLE, MISC_ENABLE, NULL, NULL },
	{ MSR_PLATFORM_INFO, 0, NULL, NULL },
	{ MSR_MISC_FEATURES_ENABLES, 0, NULL, NULL },
	{ MSR_TSC, 0, read_tsc, write_never },
	{ MSR_APIC_BASE, 0, read_apic_base, write_never },
	{ MSR_UCODE_REV, 0, read_revision, write_zero },
	{ XEN_MSR_HYPERCALL, 0, read_zero, write_hypercall_page },
	{ MSR_AMD_SYSCFG, 0, read_amd, write_never },
	{ MSR_AMD_HWCR, 0, read_amd, write_never },
};

#define N (sizeof(table) / sizeof(table[0]))

int pv_msr_read(struct pv_vcpu *v, uint32_t msr, uint64_t *value)
{
	for (uint32_t i = 0; i < N; i++) {
		if (table[i].msr != msr)
			continue;
		*value = table[i].constant;
		return table[i].read ? table[i].read(v, msr, value) : 0;
	}
	return -EPERM;
}

int pv_msr_write(struct pv_vcpu *v, uint32_t msr, uint64_t value)
{
	for (uint32_t i = 0; i < N; i++) {
		if (table[i].msr != msr)
			continue;
		if (table[i].write)
			return table[i].write(v, msr, value);
		return value == table[i].constant ? 0 : -EPERM;
	}
	return -EPERM;
}
