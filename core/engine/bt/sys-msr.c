/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers that the engine holds: those that describe the
 * processor which it is. All others belong to the core, reached through the
 * replay record; it answers #GP for what nobody registered.
 *
 * One const table names each register, the CPUID bit without which it does not
 * exist, and what a write must look like. Registers with side effects have
 * functions.
 */
#include "engine/bt/interp.h"
#include "engine/bt/segment.h"
#include "engine/bt/sys.h"

#define EFER_WRITABLE (EFER_SCE | EFER_LME | EFER_NXE)

enum msr_check { CHECK_NONE, CHECK_CANONICAL, CHECK_U32, CHECK_PAT, CHECK_MASK };

/* CPUID bit: leaf, register (0 eax ... 3 edx), bit. Leaf 0: always there. LEAF_AMD, LEAF_INTEL: with that vendor. */
#define LEAF_AMD 0xffffffffu
#define LEAF_INTEL 0xfffffffeu
struct msr_feature {
	uint32_t leaf;
	uint8_t reg, bit;
};

struct msr {
	uint32_t index;
	uint32_t count;      /* consecutive registers */
	struct msr_feature feature;
	uint32_t offset;     /* in struct bt_vcpu, when there are no functions */
	uint8_t check;
	uint64_t mask;       /* CHECK_MASK: bits that may be set */
	enum bt_step (*read)(struct bt_vcpu *v, uint32_t index, uint64_t *value);
	enum bt_step (*write)(struct bt_vcpu *v, uint32_t index, uint64_t value);
};

static enum bt_step gp(struct bt_vcpu *v)
{
	return bt_fault_error(v, EXC_GP, 0);
}

uint64_t sys_tsc(const struct bt_vcpu *v)
{
	return __builtin_ia32_rdtsc() + v->tsc_offset;
}

static enum bt_step read_tsc(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	(void)index;
	*value = sys_tsc(v);
	return STEP_OK;
}

/* A change of the counter shows in TSC_ADJUST, and the other way round. */
static enum bt_step write_tsc(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	uint64_t delta = value - sys_tsc(v);

	(void)index;
	v->tsc_offset += delta;
	v->tsc_adjust += delta;
	return STEP_OK;
}

static enum bt_step write_tsc_adjust(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	v->tsc_offset += value - v->tsc_adjust;
	v->tsc_adjust = value;
	return STEP_OK;
}

static enum bt_step write_efer(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	uint64_t changed = (value ^ v->efer) & EFER_WRITABLE;

	(void)index;
	if (value & ~(v->efer_valid | EFER_LMA))
		return gp(v);
	if ((changed & EFER_LME) && (v->cr0 & CR0_PG))
		return gp(v);
	v->efer ^= changed;
	if (changed & EFER_NXE)
		mmu_flush(v, true);
	bt_update_key(v);
	return STEP_OK;
}

static enum bt_step write_base(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	enum gamut_seg seg = index == 0xc0000100 ? GAMUT_FS : GAMUT_GS;

	if (!canonical(value))
		return gp(v);
	v->seg[seg].base = v->seg_base[seg] = value;
	return STEP_OK;
}

static enum bt_step read_base(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	*value = v->seg[index == 0xc0000100 ? GAMUT_FS : GAMUT_GS].base;
	return STEP_OK;
}

/* Write-only commands: nothing is predicted across guest contexts that the host would not clear itself. */
static enum bt_step write_command(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return value & ~1ull ? gp(v) : STEP_OK;
}

static enum bt_step read_nothing(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	(void)index;
	(void)value;
	return gp(v);
}

static enum bt_step read_zero(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	(void)index;
	*value = 0;
	return STEP_OK;
}

static enum bt_step write_nothing(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	(void)value;
	return gp(v);
}

/*
 * The processor that the engine offers has none of the known speculation
 * faults: RDCL SSB MDS PSCHANGE_MC TAA SBDR FBSDP PSDP BHI PBRSB GDS RFDS ITS
 * are "no", IBRS may stay on, and VM entry needs no cache flush. Host kernel
 * and guest share a process boundary that the host defends.
 */
static enum bt_step read_arch_capabilities(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	(void)index;
	*value = 1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 8 | 1ull << 13 |
	         1ull << 14 | 1ull << 15 | 1ull << 20 | 1ull << 24 | 1ull << 26 | 1ull << 27 | 1ull << 62;
	return STEP_OK;
}

/*
 * The microcode's revision: none was loaded. Both vendors have it at the same
 * place and tie it to no CPUID bit. Intel's takes the zero that software stores
 * before it asks.
 */
static enum bt_step write_microcode(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return value || sys_vendor_amd(v) ? gp(v) : STEP_OK;
}

/*
 * AMD's processors all have these, and kernels touch them unguarded. SYSCFG
 * switches AMD's additions to the MTRRs (18 to 22), which are all off. HWCR
 * says that the TSC counts at the P0 frequency; cache and TLB errata bits (3, 6,
 * 8) may be set and mean nothing here. NB_CFG's extended PCI configuration
 * through port cf8 is the platform's, which does not look at it.
 */
#define SYSCFG_IGNORED (0x1full << 18)
#define HWCR_TSC_FREQ (1ull << 24)
#define HWCR_IGNORED (HWCR_TSC_FREQ | 1ull << 3 | 1ull << 6 | 1ull << 8)

static enum bt_step read_hwcr(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	(void)index;
	*value = HWCR_TSC_FREQ;
	return STEP_OK;
}

static enum bt_step write_hwcr(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return value & ~HWCR_IGNORED ? gp(v) : STEP_OK;
}

/* The four performance counters that all of AMD's processors have: like Xen's without a vPMU, they count nothing. */
static enum bt_step ignore(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)v;
	(void)index;
	(void)value;
	return STEP_OK;
}

static enum bt_step write_syscfg(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return value & ~SYSCFG_IGNORED ? gp(v) : STEP_OK;
}

static enum bt_step write_nb_cfg(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return value & ~(1ull << 46) ? gp(v) : STEP_OK;
}

/* Eight variable ranges, the fixed ones, write-combining. */
static enum bt_step read_mtrr_cap(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	(void)index;
	*value = 8 | 1u << 8 | 1u << 10;
	return STEP_OK;
}

/* Types 0 1 4 5 6 (and 7 in PAT) exist. */
static bool types_valid(uint64_t value, unsigned valid)
{
	for (unsigned i = 0; i < 8; i++, value >>= 8)
		if ((value & 0xff) > 7 || !(valid >> (value & 7) & 1))
			return false;
	return true;
}

static enum bt_step write_mtrr(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	uint64_t beyond = v->pa_reserved | 0xfff0000000000000ull;

	if (index & 1 ? value & (beyond | 0x7ff) : value & (beyond | 0xf00) || !types_valid(value & 0xff, 0x73))
		return gp(v);
	v->mtrr[index - 0x200] = value;
	return STEP_OK;
}

static enum bt_step read_mtrr(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	*value = v->mtrr[index - 0x200];
	return STEP_OK;
}

/* 250, 258, 259, 268..26f: positions 0, 1, 2, 3..10. */
static unsigned fixed_slot(uint32_t index)
{
	if (index == 0x250)
		return 0;
	return index < 0x268 ? index - 0x258 + 1 : index - 0x268 + 3;
}

static enum bt_step write_mtrr_fixed(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	if (!types_valid(value, 0x73))
		return gp(v);
	v->mtrr_fixed[fixed_slot(index)] = value;
	return STEP_OK;
}

static enum bt_step read_mtrr_fixed(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	*value = v->mtrr_fixed[fixed_slot(index)];
	return STEP_OK;
}

static enum bt_step write_mtrr_def(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	if ((value & ~0xcffull) || !types_valid(value & 0xff, 0x73))
		return gp(v);
	v->mtrr_def_type = value;
	return STEP_OK;
}

/*
 * Machine checks: the banks are there, and nothing is ever wrong. CTL is all
 * ones or zero; software leaves bits 0 and 10 out for errata of old processors.
 */
#define MCG_CTL_P 0x100ull
#define MC_CTL_ANY (1ull << 10 | 1)
enum { MC_CTL, MC_STATUS, MC_ADDR, MC_MISC };

static enum bt_step read_mcg_cap(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	(void)index;
	*value = MCG_CTL_P | MC_BANKS;
	return STEP_OK;
}

static enum bt_step read_mc(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	*value = v->mc[(index - 0x400) / 4][index % 4];
	return STEP_OK;
}

static enum bt_step write_mc(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	if (index % 4 == MC_CTL && value && (value | MC_CTL_ANY) != ~0ull)
		return gp(v);
	if (index % 4 == MC_STATUS && value)
		return gp(v);
	v->mc[(index - 0x400) / 4][index % 4] = value;
	return STEP_OK;
}

static enum bt_step write_mcg_ctl(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	if (value && value != ~0ull)
		return gp(v);
	v->mcg_ctl = value;
	return STEP_OK;
}

/*
 * Fast strings, thermal control, MONITOR, the limits of CPUID and of NX: they
 * hold what is written and change nothing. What is read-only stays. AMD has no
 * such register, but those who virtualize give it to all guests.
 */
#define MISC_ENABLE_WRITABLE 0x400c50009ull
#define MISC_ENABLE_READ_ONLY 0x1880ull

static enum bt_step write_misc_enable(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	if (value & ~(MISC_ENABLE_WRITABLE | MISC_ENABLE_READ_ONLY))
		return gp(v);
	v->misc_enable = (v->misc_enable & MISC_ENABLE_READ_ONLY) | (value & MISC_ENABLE_WRITABLE);
	return STEP_OK;
}

/* The keys of `changed`, two bits each, that some page in the TLB has. */
static bool keys_matter(uint32_t changed, uint32_t seen)
{
	for (unsigned key = 0; key < 16; key++)
		if ((changed >> 2 * key & 3) && (seen >> key & 1))
			return true;
	return false;
}

void sys_set_pkru(struct bt_vcpu *v, uint32_t value)
{
	bool flush = keys_matter(value ^ v->pkru, v->pkeys_seen & 0xffff);

	v->pkru = value;
	if (flush)
		tlb_flush(v, true);
}

static enum bt_step write_pkrs(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	bool flush = keys_matter((uint32_t)(value ^ v->pkrs), v->pkeys_seen >> 16);

	(void)index;
	if (value >> 32)
		return gp(v);
	v->pkrs = value;
	if (flush)
		tlb_flush(v, true);
	return STEP_OK;
}

#define FIELD(f) .offset = offsetof(struct bt_vcpu, f)
#define F_ALWAYS { 0, 0, 0 }
#define F_AMD { LEAF_AMD, 0, 0 }
#define F_INTEL { LEAF_INTEL, 0, 0 }
#define F_SEP { 1, 3, 11 }
#define F_MTRR { 1, 3, 12 }
#define F_PAT { 1, 3, 16 }
#define F_TSC_ADJUST { 7, 1, 1 }
#define F_SPEC_CTRL { 7, 3, 26 }
#define F_ARCH_CAP { 7, 3, 29 }
#define F_MCA { 1, 3, 14 }
#define F_PKS { 7, 2, 31 }
#define F_RDTSCP { 0x80000001, 3, 27 }
#define F_SYSCALL { 0x80000001, 3, 11 }
#define F_LM { 0x80000001, 3, 29 }

static const struct msr msrs[] = {
	{ 0xc0000100, 2, F_LM, .read = read_base, .write = write_base },
	{ 0xc0000102, 1, F_LM, FIELD(kernel_gs_base), .check = CHECK_CANONICAL },
	{ 0x48, 1, F_SPEC_CTRL, FIELD(spec_ctrl), .check = CHECK_MASK, .mask = 7 },
	{ 0x49, 1, F_SPEC_CTRL, .read = read_nothing, .write = write_command },
	{ 0x10, 1, F_ALWAYS, .read = read_tsc, .write = write_tsc },
	{ 0x17, 1, F_INTEL, .read = read_zero, .write = write_nothing }, /* PLATFORM_ID */
	{ 0x3b, 1, F_TSC_ADJUST, FIELD(tsc_adjust), .write = write_tsc_adjust },
	{ 0x8b, 1, F_ALWAYS, .read = read_zero, .write = write_microcode },
	{ 0xfe, 1, F_MTRR, .read = read_mtrr_cap, .write = write_nothing },
	{ 0x10a, 1, F_ARCH_CAP, .read = read_arch_capabilities, .write = write_nothing },
	{ 0x174, 1, F_SEP, FIELD(sysenter_cs), .check = CHECK_U32 },
	{ 0x175, 1, F_SEP, FIELD(sysenter_esp), .check = CHECK_CANONICAL },
	{ 0x176, 1, F_SEP, FIELD(sysenter_eip), .check = CHECK_CANONICAL },
	{ 0x179, 1, F_MCA, .read = read_mcg_cap, .write = write_nothing },
	{ 0x17a, 1, F_MCA, FIELD(mcg_status), .check = CHECK_MASK, .mask = 7 },
	{ 0x17b, 1, F_MCA, FIELD(mcg_ctl), .write = write_mcg_ctl },
	{ 0x1a0, 1, F_ALWAYS, FIELD(misc_enable), .write = write_misc_enable },
	{ 0x200, 16, F_MTRR, .read = read_mtrr, .write = write_mtrr },
	{ 0x250, 1, F_MTRR, .read = read_mtrr_fixed, .write = write_mtrr_fixed },
	{ 0x258, 2, F_MTRR, .read = read_mtrr_fixed, .write = write_mtrr_fixed },
	{ 0x268, 8, F_MTRR, .read = read_mtrr_fixed, .write = write_mtrr_fixed },
	{ 0x277, 1, F_PAT, FIELD(pat), .check = CHECK_PAT },
	{ 0x2ff, 1, F_MTRR, FIELD(mtrr_def_type), .write = write_mtrr_def },
	{ 0x400, MC_BANKS * 4, F_MCA, .read = read_mc, .write = write_mc },
	{ 0x6e1, 1, F_PKS, FIELD(pkrs), .write = write_pkrs },
	{ 0xc0000080, 1, F_LM, FIELD(efer), .write = write_efer },
	{ 0xc0000081, 1, F_SYSCALL, FIELD(star) },
	{ 0xc0000082, 1, F_SYSCALL, FIELD(lstar), .check = CHECK_CANONICAL },
	{ 0xc0000083, 1, F_SYSCALL, FIELD(cstar), .check = CHECK_CANONICAL },
	{ 0xc0000084, 1, F_SYSCALL, FIELD(sfmask), .check = CHECK_U32 },
	{ 0xc0010000, 8, F_AMD, .read = read_zero, .write = ignore },
	{ 0xc0010010, 1, F_AMD, .read = read_zero, .write = write_syscfg },
	{ 0xc0010015, 1, F_AMD, .read = read_hwcr, .write = write_hwcr },
	{ 0xc001001f, 1, F_AMD, .read = read_zero, .write = write_nb_cfg },
	{ 0xc0000103, 1, F_RDTSCP, FIELD(tsc_aux), .check = CHECK_U32 },
};

static bool offered(const struct bt_vcpu *v, const struct msr_feature *f)
{
	const struct cpuid_entry *e;

	if (f->leaf == 0)
		return true;
	if (f->leaf == LEAF_AMD || f->leaf == LEAF_INTEL)
		return sys_vendor_amd(v) == (f->leaf == LEAF_AMD);
	e = cpuid_find(v, f->leaf, 0);
	return e && (e->regs[f->reg] >> f->bit & 1);
}

static const struct msr *msr_find(const struct bt_vcpu *v, uint32_t index)
{
	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
		if (index - msrs[i].index < msrs[i].count)
			return offered(v, &msrs[i].feature) ? &msrs[i] : NULL;
	return NULL;
}

/* APIC_BASE is the APIC's, which is not ours; a copy is kept of what was accepted, for CPUID. */
static enum bt_step ask_core(struct bt_vcpu *v, uint32_t index, bool write, uint64_t *value)
{
	uint64_t answer;

	if (replay_take(v, &answer)) {
		if (v->replay.fault && v->replay.next == v->replay.done)
			return gp(v);
		if (!write)
			*value = answer;
		else if (index == MSR_APIC_BASE)
			v->apic_base = *value;
		return STEP_OK;
	}
	v->exit->reason = write ? EXIT_WRMSR : EXIT_RDMSR;
	v->exit->rip = v->rip;
	v->exit->msr.index = index;
	v->exit->msr.value = write ? *value : 0;
	v->exit->msr.fault = false;
	return STEP_EXIT;
}

static enum bt_step read_own(struct bt_vcpu *v, const struct msr *m, uint32_t index, uint64_t *value)
{
	if (m->read)
		return m->read(v, index, value);
	*value = *(const uint64_t *)((const uint8_t *)v + m->offset);
	return STEP_OK;
}

enum bt_step sys_rdmsr(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	const struct msr *m;

	if (v->cpl != 0)
		return gp(v);
	m = msr_find(v, index);
	return m ? read_own(v, m, index, value) : ask_core(v, index, false, value);
}

bool sys_msr_read(struct bt_vcpu *v, uint32_t index, uint64_t *value)
{
	const struct msr *m = msr_find(v, index);

	return m && read_own(v, m, index, value) == STEP_OK;
}

static bool value_valid(const struct msr *m, uint64_t value)
{
	switch (m->check) {
	case CHECK_CANONICAL:
		return canonical(value);
	case CHECK_U32:
		return value >> 32 == 0;
	case CHECK_PAT:
		return types_valid(value, 0xf3);
	case CHECK_MASK:
		return (value & ~m->mask) == 0;
	default:
		return true;
	}
}

static enum bt_step write_own(struct bt_vcpu *v, const struct msr *m, uint32_t index, uint64_t value)
{
	if (m->write)
		return m->write(v, index, value);
	if (!value_valid(m, value))
		return gp(v);
	*(uint64_t *)((uint8_t *)v + m->offset) = value;
	return STEP_OK;
}

enum bt_step sys_wrmsr(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	const struct msr *m;

	if (v->cpl != 0)
		return gp(v);
	m = msr_find(v, index);
	if (m)
		return write_own(v, m, index, value);
	/* How wide an address is, we know. */
	if (index == MSR_APIC_BASE && value & v->pa_reserved)
		return gp(v);
	return ask_core(v, index, true, &value);
}

bool sys_msr_write(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	const struct msr *m = msr_find(v, index);

	return m && write_own(v, m, index, value) == STEP_OK;
}
