/* SPDX-License-Identifier: MIT */
/* VCPUOP_initialise for HVM guests: from the ABI's register block to a vCPU state. */
#include "dm/xen/vcpu.h"

#include <errno.h>
#include <string.h>

#define CR0_PE (1ull << 0)
#define CR0_ET (1ull << 4)
#define CR0_PG (1ull << 31)
#define CR4_PAE (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define RFLAGS_FIXED 2ull
#define RFLAGS_VM (1ull << 17)

#define AR_PRESENT (1u << 7)
#define AR_SYSTEM_CODE (1u << 4) /* S: code or data */
#define AR_DB (1u << 10)
#define AR_G (1u << 11)
#define AR_BLANK 0xf000u
#define ATTR_UNUSABLE (1u << 16)

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/* The ABI packs the flags next to the access byte; the engine's form leaves bits 8 to 11 out. */
static struct gamut_segment segment(uint32_t base, uint32_t limit, uint16_t ar)
{
	struct gamut_segment s = { .base = base, .limit = limit };

	s.attr = (ar & 0xffu) | (uint32_t)(ar & 0xf00u) << 4;
	if (ar & AR_G)
		s.limit = limit << 12 | 0xfff;
	if (!(ar & AR_PRESENT))
		s.attr |= ATTR_UNUSABLE;
	return s;
}

static bool segment_ok(uint32_t limit, uint16_t ar, bool code_or_data)
{
	if (ar & AR_BLANK)
		return false;
	if (!(ar & AR_PRESENT))
		return true;
	return !!(ar & AR_SYSTEM_CODE) == code_or_data && limit <= 0xfffff;
}

static void defaults(struct gamut_vcpu_state *s)
{
	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	for (int i = 0; i < GAMUT_SEG_COUNT; i++)
		s->seg[i].attr = ATTR_UNUSABLE;
	s->seg[GAMUT_TR] = (struct gamut_segment){ .limit = 0x67, .attr = 0x8b };
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
}

static int context32(const struct vcpu_hvm_x86_32 *r, struct gamut_vcpu_state *s)
{
	if (!(r->cs_ar & AR_PRESENT) || !(r->tr_ar & AR_PRESENT))
		return -EINVAL;
	if (!segment_ok(r->cs_limit, r->cs_ar, true) || !segment_ok(r->ds_limit, r->ds_ar, true) ||
	    !segment_ok(r->ss_limit, r->ss_ar, true) || !segment_ok(r->es_limit, r->es_ar, true) ||
	    !segment_ok(r->tr_limit, r->tr_ar, false))
		return -EINVAL;
	/* Long mode is entered with the 64-bit block; compatibility mode through LME here, without paging yet. */
	if (r->eflags & RFLAGS_VM || r->efer & EFER_LMA)
		return -EINVAL;
	s->gpr[RAX] = r->eax;
	s->gpr[RCX] = r->ecx;
	s->gpr[RDX] = r->edx;
	s->gpr[RBX] = r->ebx;
	s->gpr[RSP] = r->esp;
	s->gpr[RBP] = r->ebp;
	s->gpr[RSI] = r->esi;
	s->gpr[RDI] = r->edi;
	s->rip = r->eip;
	s->rflags = r->eflags;
	s->cr0 = r->cr0;
	s->cr3 = r->cr3;
	s->cr4 = r->cr4;
	s->efer = r->efer;
	s->seg[GAMUT_CS] = segment(r->cs_base, r->cs_limit, r->cs_ar);
	s->seg[GAMUT_DS] = segment(r->ds_base, r->ds_limit, r->ds_ar);
	s->seg[GAMUT_SS] = segment(r->ss_base, r->ss_limit, r->ss_ar);
	s->seg[GAMUT_ES] = segment(r->es_base, r->es_limit, r->es_ar);
	s->seg[GAMUT_TR] = segment(r->tr_base, r->tr_limit, r->tr_ar);
	return 0;
}

static int context64(const struct vcpu_hvm_x86_64 *r, struct gamut_vcpu_state *s)
{
	if (!(r->cr0 & CR0_PG) || !(r->cr0 & CR0_PE) || !(r->cr4 & CR4_PAE) || !(r->efer & EFER_LME))
		return -EINVAL;
	s->gpr[RAX] = r->rax;
	s->gpr[RCX] = r->rcx;
	s->gpr[RDX] = r->rdx;
	s->gpr[RBX] = r->rbx;
	s->gpr[RSP] = r->rsp;
	s->gpr[RBP] = r->rbp;
	s->gpr[RSI] = r->rsi;
	s->gpr[RDI] = r->rdi;
	s->rip = r->rip;
	s->rflags = r->rflags;
	s->cr0 = r->cr0;
	s->cr3 = r->cr3;
	s->cr4 = r->cr4;
	s->efer = r->efer | EFER_LMA;
	s->seg[GAMUT_CS] = (struct gamut_segment){ .limit = UINT32_MAX, .attr = 0xa09b };
	for (int i = GAMUT_SS; i <= GAMUT_DS; i++)
		s->seg[i] = (struct gamut_segment){ .limit = UINT32_MAX, .attr = 0xc093 };
	s->seg[GAMUT_ES] = s->seg[GAMUT_DS];
	return 0;
}

int xen_vcpu_context(const struct vcpu_hvm_context *ctx, struct gamut_vcpu_state *state)
{
	int rc = -EINVAL;

	if (ctx->pad)
		return -EINVAL;
	defaults(state);
	if (ctx->mode == VCPU_HVM_MODE_32B)
		rc = context32(&ctx->cpu_regs.x86_32, state);
	else if (ctx->mode == VCPU_HVM_MODE_64B)
		rc = context64(&ctx->cpu_regs.x86_64, state);
	state->rflags |= RFLAGS_FIXED;
	state->cr0 |= CR0_ET;
	return rc;
}
