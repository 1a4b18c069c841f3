/* SPDX-License-Identifier: MIT */
/*
 * Control and debug registers, XCR0, invlpg and invpcid.
 */
#include "engine/bt/fpu.h"
#include "engine/bt/segment.h"
#include "engine/bt/smp.h"
#include "engine/bt/sys.h"

#define CR0_VALID (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
/* Changing any of these changes what a walk says. */
#define CR0_PAGING (CR0_PG | CR0_WP | CR0_PE)
#define CR4_PAGING (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_PKE | CR4_PKS)
/* With PAE paging, these reload the PDPTEs when they change. */
#define CR0_PDPTE (CR0_PG | CR0_CD | CR0_NW)
#define CR4_PDPTE (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)

#define PDPTE_RESERVED 0xfff00000000001e6ull /* with those above MAXPHYADDR */

#define DR6_FIXED 0xffff0ff0ull
#define DR6_WRITABLE 0xe00full
#define DR6_BD 0x2000ull
#define DR7_FIXED 0x400ull
#define DR7_RESERVED 0xd800ull
#define DR7_GD 0x2000ull

static enum bt_step gp(struct bt_vcpu *v)
{
	return bt_fault_error(v, EXC_GP, 0);
}

/* PAE paging keeps the four top entries in the processor. They may not change when one of them is malformed. */
static enum bt_step load_pdptes(struct bt_vcpu *v, uint64_t cr3)
{
	uint64_t base = cr3 & 0xffffffe0u, e[4];

	for (unsigned i = 0; i < 4; i++) {
		uint64_t gpa = base + i * 8;

		e[i] = mem_kind(v->mem, gpa) == MEM_NONE ?
		               ~0ull :
		               __atomic_load_n((uint64_t *)(v->mem->base + gpa), __ATOMIC_RELAXED);
		if ((e[i] & 1) && (e[i] & (PDPTE_RESERVED | v->pa_reserved)))
			return gp(v);
	}
	bt_copy(v->pdpte, e, sizeof(e));
	return STEP_OK;
}

/* CR8 is a controller's: its code is not ours, and may use the vector registers, which are the guest's now. */
static bool cr8_outside(struct bt_vcpu *v, bool write, uint64_t *value)
{
	const struct engine_vcpu_env *env = v->env;
	bool live = v->fpu_live;

	if (!env->cr8_outside || !*env->cr8_outside)
		return false;
	fpu_save(v);
	smp_quiet(v);
	if (write)
		env->cr8_write(env->opaque, *value);
	else
		*value = env->cr8_read(env->opaque);
	smp_busy(v);
	if (live)
		fpu_restore(v);
	return true;
}

static enum bt_step read_cr8(struct bt_vcpu *v, uint64_t *value)
{
	if (v->cpl != 0)
		return gp(v);
	if (!cr8_outside(v, false, value))
		*value = v->cr8;
	return STEP_OK;
}

static enum bt_step write_cr8(struct bt_vcpu *v, uint64_t value)
{
	if (value > 15)
		return gp(v);
	if (!cr8_outside(v, true, &value))
		v->cr8 = value;
	return STEP_OK;
}

enum bt_step sys_read_cr(struct bt_vcpu *v, unsigned cr, uint64_t *value)
{
	switch (cr) {
	case 0:
		*value = v->cr0;
		break;
	case 2:
		*value = v->cr2;
		break;
	case 3:
		*value = v->cr3;
		break;
	case 4:
		*value = v->cr4;
		break;
	case 8:
		return read_cr8(v, value);
	default:
		return bt_fault(v, EXC_UD);
	}
	return v->cpl == 0 ? STEP_OK : gp(v);
}

/* What setting PG asks for, and the EFER.LMA that follows. */
static enum bt_step paging_on(struct bt_vcpu *v, uint64_t *efer)
{
	if (!(v->efer & EFER_LME))
		return v->cr4 & CR4_PAE ? load_pdptes(v, v->cr3) : STEP_OK;
	if (!(v->cr4 & CR4_PAE) || (v->seg[GAMUT_CS].attr & SEG_L))
		return gp(v);
	/* A 16-bit TSS cannot be used in long mode. */
	if (!(v->seg[GAMUT_TR].attr & SEG_UNUSABLE) && (v->seg[GAMUT_TR].attr & SEG_TYPE) <= SYS_TSS16_BUSY &&
	    v->seg[GAMUT_TR].selector)
		return gp(v);
	*efer |= EFER_LMA;
	return STEP_OK;
}

static enum bt_step write_cr0(struct bt_vcpu *v, uint64_t value)
{
	uint64_t changed, efer = v->efer;
	enum bt_step step = STEP_OK;

	if (value >> 32)
		return gp(v);
	value = (value & CR0_VALID) | CR0_ET;
	if ((value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
		return gp(v);
	changed = value ^ v->cr0;
	if (changed & value & CR0_PG) {
		step = paging_on(v, &efer);
	} else if (changed & CR0_PG) {
		if (bt_code64(v) || (v->cr4 & CR4_PCIDE))
			return gp(v);
		efer &= ~EFER_LMA;
	} else if ((changed & CR0_PDPTE) && (value & CR0_PG) && (v->cr4 & CR4_PAE) && !bt_long_mode(v)) {
		step = load_pdptes(v, v->cr3);
	}
	if (step != STEP_OK)
		return step;
	v->cr0 = value;
	v->efer = efer;
	if (changed & CR0_PE)
		v->cpl = 0;
	if (changed & CR0_PAGING)
		mmu_flush(v, true);
	bt_update_key(v);
	return STEP_OK;
}

static enum bt_step write_cr3(struct bt_vcpu *v, uint64_t value)
{
	enum bt_step step = STEP_OK;

	if (bt_long_mode(v)) {
		if (value & (v->pa_reserved | 0xfff0000000000000ull))
			return gp(v);
	} else {
		value = (uint32_t)value;
		if ((v->cr0 & CR0_PG) && (v->cr4 & CR4_PAE))
			step = load_pdptes(v, value);
	}
	if (step != STEP_OK)
		return step;
	v->cr3 = value;
	mmu_flush(v, false);
	return STEP_OK;
}

static enum bt_step write_cr4(struct bt_vcpu *v, uint64_t value)
{
	uint64_t changed = value ^ v->cr4, old = v->cr4;

	if (value & ~v->cr4_valid)
		return gp(v);
	if (bt_long_mode(v) && !(value & CR4_PAE))
		return gp(v);
	if ((changed & value & CR4_PCIDE) && (!bt_long_mode(v) || (v->cr3 & 0xfff)))
		return gp(v);
	if ((changed & CR4_PDPTE) && (value & CR4_PAE) && (v->cr0 & CR0_PG) && !bt_long_mode(v)) {
		enum bt_step step = load_pdptes(v, v->cr3);

		if (step != STEP_OK)
			return step;
	}
	v->cr4 = value;
	if ((value ^ old) & CR4_PAGING)
		mmu_flush(v, true);
	bt_update_key(v);
	return STEP_OK;
}

enum bt_step sys_write_cr(struct bt_vcpu *v, unsigned cr, uint64_t value)
{
	if (cr > 8 || !(0x11d >> cr & 1))
		return bt_fault(v, EXC_UD);
	if (v->cpl != 0)
		return gp(v);
	switch (cr) {
	case 0:
		return write_cr0(v, value);
	case 2:
		v->cr2 = value;
		return STEP_OK;
	case 3:
		return write_cr3(v, value);
	case 4:
		return write_cr4(v, value);
	default:
		return write_cr8(v, value);
	}
}

/* The common checks of mov to and from DRn; DR4 and DR5 are other names of DR6 and DR7 unless CR4.DE. */
static enum bt_step dr_check(struct bt_vcpu *v, unsigned *dr)
{
	if (*dr > 7 || ((*dr == 4 || *dr == 5) && (v->cr4 & CR4_DE)))
		return bt_fault(v, EXC_UD);
	if (*dr == 4 || *dr == 5)
		*dr += 2;
	if (v->cpl != 0)
		return gp(v);
	if (v->dr[7] & DR7_GD) {
		v->exc = (struct bt_exc){ .vector = EXC_DB, .dr6 = DR6_BD };
		return STEP_FAULT;
	}
	return STEP_OK;
}

enum bt_step sys_read_dr(struct bt_vcpu *v, unsigned dr, uint64_t *value)
{
	enum bt_step step = dr_check(v, &dr);

	if (step == STEP_OK)
		*value = v->dr[dr];
	return step;
}

enum bt_step sys_write_dr(struct bt_vcpu *v, unsigned dr, uint64_t value)
{
	enum bt_step step = dr_check(v, &dr);

	if (step != STEP_OK)
		return step;
	if (dr >= 6 && value >> 32)
		return gp(v);
	if (dr == 6)
		value = (value & DR6_WRITABLE) | DR6_FIXED;
	else if (dr == 7)
		value = (value & ~DR7_RESERVED) | DR7_FIXED;
	v->dr[dr] = value;
	bt_update_key(v);
	return STEP_OK;
}

/* x87 is always on; AVX needs SSE. */
bool sys_xcr0_valid(const struct bt_vcpu *v, uint64_t value)
{
	return !(value & ~v->xcr0_valid) && (value & 1) && (!(value & 4) || (value & 2));
}

enum bt_step sys_xsetbv(struct bt_vcpu *v, uint32_t index, uint64_t value)
{
	if (!(v->cr4 & CR4_OSXSAVE))
		return bt_fault(v, EXC_UD);
	if (v->cpl != 0 || index != 0 || !sys_xcr0_valid(v, value))
		return gp(v);
	v->xcr0 = value;
	bt_update_key(v);
	return STEP_OK;
}

enum bt_step sys_invlpg(struct bt_vcpu *v, uint64_t va)
{
	if (v->cpl != 0)
		return gp(v);
	if (!bt_long_mode(v) || canonical(va))
		mmu_flush_page(v, va);
	return STEP_OK;
}

/* Without PCID there is one address space, number 0. */
enum bt_step sys_invpcid(struct bt_vcpu *v, uint64_t type, const uint64_t desc[2])
{
	const struct cpuid_entry *e = cpuid_find(v, 7, 0);

	if (!e || !(e->regs[1] & 1u << 10))
		return bt_fault(v, EXC_UD);
	if (v->cpl != 0 || type > 3 || desc[0] >> 12)
		return gp(v);
	if (type <= 1 && desc[0] != 0)
		return gp(v);
	if (type == 0) {
		if (!canonical(desc[1]))
			return gp(v);
		mmu_flush_page(v, desc[1]);
	} else {
		mmu_flush(v, type == 2);
	}
	return STEP_OK;
}
