/* SPDX-License-Identifier: MIT */
/*
 * The state as a whole: reset, get, set with validation, and the key that says
 * what translations depend on.
 */
#include <errno.h>

#include "engine/bt/decode.h"
#include "engine/bt/fpu.h"
#include "engine/bt/segment.h"
#include "engine/bt/sys.h"

#define CR0_RESET 0x60000010ull
#define CR0_KNOWN (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define PAT_RESET 0x0007040600070406ull
#define FLAGS_KNOWN (FL_ARITH | FL_FIXED | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | \
                     FL_VIP | FL_ID)
#define DR6_RESET 0xffff0ff0ull
#define DR7_RESET 0x400ull
#define DR7_ENABLED 0xffull

/* Base 0, limit 4G, and every access allowed: code need not look at the segment. */
static bool flat(const struct gamut_segment *s, uint32_t type_mask, uint32_t type)
{
	return s->base == 0 && s->limit == 0xffffffffu &&
	       (s->attr & (type_mask | SEG_S | SEG_P | SEG_UNUSABLE)) == (type | SEG_S | SEG_P);
}

static bool flat_data(const struct gamut_segment *s)
{
	return flat(s, TYPE_CODE | TYPE_EXPAND_DOWN | TYPE_WRITABLE, TYPE_WRITABLE);
}

static bool needs_interpreter(const struct bt_vcpu *v)
{
	const struct gamut_segment *s = v->seg;

	if (!seg_protected(v) || (v->rflags & FL_TF) || (v->dr[7] & DR7_ENABLED))
		return true;
	if ((v->rflags & FL_AC) && (v->cr0 & CR0_AM) && v->cpl == 3) /* alignment is checked */
		return true;
	if (bt_code64(v))
		return false;
	return !(s[GAMUT_CS].attr & SEG_DB) || !flat(&s[GAMUT_CS], TYPE_CODE | TYPE_READABLE, TYPE_CODE | TYPE_READABLE) ||
	       !flat_data(&s[GAMUT_SS]) || !flat_data(&s[GAMUT_DS]) || !flat_data(&s[GAMUT_ES]);
}

static bool no_fpu(const struct bt_vcpu *v)
{
	if ((v->cr0 & (CR0_EM | CR0_TS)) || !(v->cr4 & CR4_OSFXSR))
		return true;
	if (!(v->xcr0_valid & 4))
		return false; /* no AVX here: XCR0 does not matter */
	return !(v->cr4 & CR4_OSXSAVE) || (v->xcr0 & 6) != 6;
}

void bt_update_key(struct bt_vcpu *v)
{
	unsigned key;

	if (bt_code64(v)) {
		key = MODE_64;
	} else {
		key = v->seg[GAMUT_CS].attr & SEG_DB ? MODE_32 : MODE_16;
		if (v->seg[GAMUT_SS].attr & SEG_DB)
			key |= KEY_SS32;
	}
	if (bt_table(v) == TLB_USER)
		key |= KEY_USER;
	if (v->rflags & FL_DF)
		key |= KEY_DF;
	if (no_fpu(v))
		key |= KEY_NOFPU;
	if (needs_interpreter(v))
		key |= KEY_INTERP;
	if (v->smap.open != (v->cpl < 3 && (v->rflags & FL_AC)))
		tlb_smap(v, !v->smap.open);
	v->key = (uint8_t)key;
}

enum bt_step sys_check_rip(struct bt_vcpu *v, uint64_t rip)
{
	bool ok = bt_code64(v) ? canonical(rip) : rip <= v->seg[GAMUT_CS].limit;

	return ok ? STEP_OK : bt_fault_error(v, EXC_GP, 0);
}

struct cr4_feature {
	uint32_t leaf;
	uint8_t reg, bit;
	uint64_t cr4;
};

static const struct cr4_feature cr4_features[] = {
	{ 1, 3, 1, CR4_VME | CR4_PVI }, { 1, 3, 4, CR4_TSD },        { 1, 3, 2, CR4_DE },
	{ 1, 3, 3, CR4_PSE },           { 1, 3, 6, CR4_PAE },        { 1, 3, 7, CR4_MCE },
	{ 1, 3, 13, CR4_PGE },          { 1, 3, 24, CR4_OSFXSR },    { 1, 3, 25, CR4_OSXMMEXCPT },
	{ 1, 2, 26, CR4_OSXSAVE },      { 7, 1, 0, CR4_FSGSBASE },   { 7, 1, 7, CR4_SMEP },
	{ 7, 2, 2, CR4_UMIP },         { 7, 1, 20, CR4_SMAP },       { 7, 2, 3, CR4_PKE },
	{ 7, 2, 31, CR4_PKS },
};

static bool feature(const struct bt_vcpu *v, uint32_t leaf, unsigned reg, unsigned bit)
{
	const struct cpuid_entry *e = cpuid_find(v, leaf, 0);

	return e && (e->regs[reg] >> bit & 1);
}

void sys_features(struct bt_vcpu *v)
{
	const struct cpuid_entry *width = cpuid_find(v, 0x80000008, 0), *xsave = cpuid_find(v, 0xd, 0);
	unsigned bits = width ? width->regs[0] & 0xff : 36;

	v->cr4_valid = CR4_PCE;
	for (unsigned i = 0; i < sizeof(cr4_features) / sizeof(cr4_features[0]); i++)
		if (feature(v, cr4_features[i].leaf, cr4_features[i].reg, cr4_features[i].bit))
			v->cr4_valid |= cr4_features[i].cr4;
	v->efer_valid = (feature(v, 0x80000001, 3, 11) ? EFER_SCE : 0) | (feature(v, 0x80000001, 3, 29) ? EFER_LME : 0) |
	                (feature(v, 0x80000001, 3, 20) ? EFER_NXE : 0);
	v->xcr0_valid = 1;
	if (v->cr4_valid & CR4_OSXSAVE && xsave)
		v->xcr0_valid = xsave->regs[0] | (uint64_t)xsave->regs[3] << 32;
	if (bits < 32 || bits > 52)
		bits = 36;
	v->rdtscp = feature(v, 0x80000001, 3, 27);
	v->pa_reserved = 0x000fffffffffffffull & ~((1ull << bits) - 1);
}

static void reset_segments(struct bt_vcpu *v)
{
	struct gamut_segment data = { .limit = 0xffff, .attr = 0x93 };
	struct gamut_segment code = { .base = 0xffff0000u, .limit = 0xffff, .selector = 0xf000, .attr = 0x9b };
	struct gamut_segment ldtr = { .limit = 0xffff, .attr = 0x82 }, tr = { .limit = 0xffff, .attr = 0x8b };

	for (int i = 0; i < GAMUT_SEG_COUNT; i++)
		seg_set(v, (enum gamut_seg)i, &data);
	seg_set(v, GAMUT_CS, &code);
	seg_set(v, GAMUT_LDTR, &ldtr);
	seg_set(v, GAMUT_TR, &tr);
	v->gdt = v->idt = (struct gamut_table){ .limit = 0xffff };
}

static void reset_msrs(struct bt_vcpu *v)
{
	v->star = v->lstar = v->cstar = v->sfmask = v->kernel_gs_base = 0;
	v->sysenter_cs = v->sysenter_esp = v->sysenter_eip = v->tsc_aux = 0;
	v->spec_ctrl = v->tsc_adjust = 0;
	v->misc_enable = MISC_ENABLE_RESET;
	v->mcg_status = v->mcg_ctl = 0;
	bt_zero(v->mc, sizeof(v->mc));
	v->pkrs = 0;
	v->apic_base = 0xfee00000u | APIC_BASE_ENABLE | (v->index == 0 ? 1u << 8 : 0);
	v->mtrr_def_type = 0;
	bt_zero(v->mtrr, sizeof(v->mtrr));
	bt_zero(v->mtrr_fixed, sizeof(v->mtrr_fixed));
	v->pat = PAT_RESET;
	v->xcr0 = 1;
}

/* What belongs to the instruction that was under way. */
static void forget_progress(struct bt_vcpu *v)
{
	v->shadow = 0;
	v->nmi_blocked = v->halted = v->pending_db = v->replay_on = v->exc_pending = false;
	v->pv.user = v->pv.trap_pending = false;
	v->io_run.n = 0;
	v->exc = (struct bt_exc){ 0 };
	bt_zero(&v->replay, sizeof(v->replay));
}

void sys_reset(struct bt_vcpu *v)
{
	const struct cpuid_entry *id = cpuid_find(v, 1, 0);

	sys_features(v);
	bt_zero(v->gpr, sizeof(v->gpr));
	v->gpr[RDX] = id ? id->regs[0] : 0x600;
	v->rip = 0xfff0;
	bt_set_rflags(v, FL_FIXED);
	reset_segments(v);
	reset_msrs(v);
	v->cr0 = CR0_RESET;
	v->cr2 = v->cr3 = v->cr4 = v->cr8 = v->efer = 0;
	bt_zero(v->dr, sizeof(v->dr));
	bt_zero(v->pdpte, sizeof(v->pdpte));
	v->dr[6] = DR6_RESET;
	v->dr[7] = DR7_RESET;
	v->cpl = 0;
	forget_progress(v);
	v->pkru = 0;
	fpu_reset(v);
	mmu_flush(v, true);
	bt_update_key(v);
}

/* LMA follows from LME and PG. */
static uint64_t efer_of(const struct gamut_vcpu_state *s)
{
	bool lma = (s->efer & EFER_LME) && (s->cr0 & CR0_PG);

	return (s->efer & ~EFER_LMA) | (lma ? EFER_LMA : 0);
}

static bool controls_valid(const struct bt_vcpu *v, const struct gamut_vcpu_state *s)
{
	bool lma = efer_of(s) & EFER_LMA;

	if (s->cr0 & ~CR0_KNOWN || (s->cr0 & CR0_PG && !(s->cr0 & CR0_PE)) || (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)))
		return false;
	if (s->cr4 & ~v->cr4_valid || s->efer & ~(v->efer_valid | EFER_LMA) || s->cr8 > 15)
		return false;
	if ((s->efer & EFER_LMA) && !lma)
		return false;
	if (lma && (!(s->cr4 & CR4_PAE) || s->cr3 & (v->pa_reserved | 0xfff0000000000000ull)))
		return false;
	return !(s->rflags & ~FLAGS_KNOWN) && !(lma && (s->rflags & FL_VM)) && !(s->dr[6] >> 32) && !(s->dr[7] >> 32);
}

static bool segments_valid(const struct gamut_vcpu_state *s)
{
	const struct gamut_segment *cs = &s->seg[GAMUT_CS];
	bool lma = efer_of(s) & EFER_LMA, code64 = lma && (cs->attr & SEG_L);

	for (int i = 0; i < GAMUT_SEG_COUNT; i++) {
		bool wide = lma && i != GAMUT_CS && i != GAMUT_SS && i != GAMUT_DS && i != GAMUT_ES;

		if (wide ? !canonical(s->seg[i].base) : s->seg[i].base >> 32)
			return false;
	}
	if (!canonical(s->gdt.base) || !canonical(s->idt.base) || s->gdt.limit > 0xffff || s->idt.limit > 0xffff)
		return false;
	if (s->cr0 & CR0_PE && !(s->rflags & FL_VM)) {
		uint32_t want = SEG_P | SEG_S | TYPE_CODE;

		if ((cs->attr & want) != want || (cs->attr & SEG_UNUSABLE) || (code64 && (cs->attr & SEG_DB)))
			return false;
	}
	return code64 ? canonical(s->rip) : s->rip >> 32 == 0;
}

static uint8_t cpl_of(const struct gamut_vcpu_state *s)
{
	const struct gamut_segment *ss = &s->seg[GAMUT_SS];

	if (!(s->cr0 & CR0_PE))
		return 0;
	if (s->rflags & FL_VM)
		return 3;
	if (ss->attr & SEG_UNUSABLE)
		return s->seg[GAMUT_CS].selector & 3;
	return ss->attr >> SEG_DPL_SHIFT & 3;
}

/*
 * The control registers, through a CR3 write: PAE paging without long mode
 * takes its top entries from memory, and they may be malformed.
 */
static int load_controls(struct bt_vcpu *v, const struct gamut_vcpu_state *s)
{
	uint64_t cr0 = v->cr0, cr4 = v->cr4, efer = v->efer;
	uint8_t cpl = v->cpl;

	v->cr0 = s->cr0 | CR0_ET;
	v->cr4 = s->cr4;
	v->efer = efer_of(s);
	v->cpl = 0;
	if (sys_write_cr(v, 3, s->cr3) == STEP_OK)
		return 0;
	v->cr0 = cr0;
	v->cr4 = cr4;
	v->efer = efer;
	v->cpl = cpl;
	return -EINVAL;
}

int sys_set_state(struct bt_vcpu *v, const struct gamut_vcpu_state *s)
{
	sys_features(v);
	if (s->size < sizeof(*s) || !controls_valid(v, s) || !segments_valid(s))
		return -EINVAL;
	if (load_controls(v, s) < 0)
		return -EINVAL;
	bt_copy(v->gpr, s->gpr, sizeof(v->gpr));
	v->rip = s->rip;
	bt_set_rflags(v, s->rflags);
	for (int i = 0; i < GAMUT_SEG_COUNT; i++)
		seg_set(v, (enum gamut_seg)i, &s->seg[i]);
	v->gdt = s->gdt;
	v->idt = s->idt;
	v->cr2 = s->cr2;
	v->cr8 = s->cr8;
	bt_copy(v->dr, s->dr, sizeof(v->dr));
	v->dr[6] = (s->dr[6] & 0xe00f) | DR6_RESET;
	v->dr[7] = (s->dr[7] & ~0xd800ull) | DR7_RESET;
	v->cpl = cpl_of(s);
	forget_progress(v);
	mmu_flush(v, true);
	bt_update_key(v);
	return 0;
}

void sys_get_state(const struct bt_vcpu *v, struct gamut_vcpu_state *s)
{
	bt_zero(s, sizeof(*s));
	s->size = sizeof(*s);
	bt_copy(s->gpr, v->gpr, sizeof(s->gpr));
	s->rip = v->rip;
	s->rflags = bt_rflags(v);
	bt_copy(s->seg, v->seg, sizeof(s->seg));
	s->gdt = v->gdt;
	s->idt = v->idt;
	s->cr0 = v->cr0;
	s->cr2 = v->cr2;
	s->cr3 = v->cr3;
	s->cr4 = v->cr4;
	s->cr8 = v->cr8;
	s->efer = v->efer;
	bt_copy(s->dr, v->dr, sizeof(s->dr));
}
