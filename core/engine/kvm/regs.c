/* SPDX-License-Identifier: MIT */
/*
 * The registers of a vCPU as the rest of Gamut sees them. What KVM would take
 * and the processor then refuse, at the next entry and for good, is refused
 * here.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stddef.h>

#define CR0_PE 1ull
#define CR0_ET (1ull << 4)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)
#define CR0_KNOWN 0xe005003full
#define CR4_PAE (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_KNOWN 0x20cd01ull /* SCE LME LMA NXE FFXSR TCE AIBRSE */
#define FL_FIXED 2ull
#define FL_IF (1ull << 9)
#define FL_VM (1ull << 17)
#define FLAGS_KNOWN 0x3f7fd7ull
#define DR6_FIXED 0xffff0ff0ull
#define DR7_FIXED 0x400ull

/* struct gamut_segment.attr */
#define SEG_S (1u << 4)
#define SEG_P (1u << 7)
#define SEG_AVL (1u << 12)
#define SEG_L (1u << 13)
#define SEG_DB (1u << 14)
#define SEG_G (1u << 15)
#define SEG_UNUSABLE (1u << 16)
#define TYPE_CODE 8u

uint64_t *kvm_gpr(struct kvm_regs *r, unsigned n)
{
	static const uint16_t offset[16] = {
		offsetof(struct kvm_regs, rax), offsetof(struct kvm_regs, rcx), offsetof(struct kvm_regs, rdx),
		offsetof(struct kvm_regs, rbx), offsetof(struct kvm_regs, rsp), offsetof(struct kvm_regs, rbp),
		offsetof(struct kvm_regs, rsi), offsetof(struct kvm_regs, rdi), offsetof(struct kvm_regs, r8),
		offsetof(struct kvm_regs, r9),  offsetof(struct kvm_regs, r10), offsetof(struct kvm_regs, r11),
		offsetof(struct kvm_regs, r12), offsetof(struct kvm_regs, r13), offsetof(struct kvm_regs, r14),
		offsetof(struct kvm_regs, r15),
	};

	return (uint64_t *)((char *)r + offset[n & 15]);
}

unsigned kvm_cpl(struct engine_vcpu *v)
{
	return kvm_sregs(v)->cr0 & CR0_PE ? kvm_sregs(v)->ss.dpl : 0;
}

bool kvm_code64(struct engine_vcpu *v)
{
	return (kvm_sregs(v)->efer & EFER_LMA) && kvm_sregs(v)->cs.l;
}

/* ---- segments ----------------------------------------------------------------- */

void kvm_segment_from(struct kvm_segment *to, const struct gamut_segment *from)
{
	uint32_t a = from->attr;

	*to = (struct kvm_segment){
		.base = from->base,
		.limit = from->limit,
		.selector = from->selector,
		.type = a & 15,
		.s = (a & SEG_S) != 0,
		.dpl = a >> 5 & 3,
		.present = (a & SEG_P) != 0,
		.avl = (a & SEG_AVL) != 0,
		.l = (a & SEG_L) != 0,
		.db = (a & SEG_DB) != 0,
		.g = (a & SEG_G) != 0,
		.unusable = (a & SEG_UNUSABLE) || !(a & SEG_P),
	};
}

void kvm_segment_to(struct gamut_segment *to, const struct kvm_segment *from)
{
	*to = (struct gamut_segment){
		.base = from->base,
		.limit = from->limit,
		.selector = from->selector,
		.attr = (from->type & 15u) | (from->s ? SEG_S : 0) | (from->dpl & 3u) << 5 |
		        (from->present && !from->unusable ? SEG_P : 0) | (from->avl ? SEG_AVL : 0) |
		        (from->l ? SEG_L : 0) | (from->db ? SEG_DB : 0) | (from->g ? SEG_G : 0) |
		        (from->unusable ? SEG_UNUSABLE : 0),
	};
}

static struct kvm_segment *segment(struct kvm_sregs *s, unsigned n)
{
	static const uint16_t offset[GAMUT_SEG_COUNT] = {
		[GAMUT_ES] = offsetof(struct kvm_sregs, es),    [GAMUT_CS] = offsetof(struct kvm_sregs, cs),
		[GAMUT_SS] = offsetof(struct kvm_sregs, ss),    [GAMUT_DS] = offsetof(struct kvm_sregs, ds),
		[GAMUT_FS] = offsetof(struct kvm_sregs, fs),    [GAMUT_GS] = offsetof(struct kvm_sregs, gs),
		[GAMUT_LDTR] = offsetof(struct kvm_sregs, ldt), [GAMUT_TR] = offsetof(struct kvm_sregs, tr),
	};

	return (struct kvm_segment *)((char *)s + offset[n]);
}

/* ---- what can be -------------------------------------------------------------- */

static bool canonical(const struct gamut_vcpu_state *s, uint64_t a)
{
	unsigned beyond = s->cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(a << beyond) >> beyond) == a;
}

/* LMA follows from LME and PG. */
static uint64_t efer_of(const struct gamut_vcpu_state *s)
{
	bool lma = (s->efer & EFER_LME) && (s->cr0 & CR0_PG);

	return (s->efer & ~EFER_LMA) | (lma ? EFER_LMA : 0);
}

static bool controls_valid(const struct gamut_vcpu_state *s)
{
	bool lma = efer_of(s) & EFER_LMA;

	if (s->cr0 & ~CR0_KNOWN || (s->cr0 & CR0_PG && !(s->cr0 & CR0_PE)) || (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)))
		return false;
	if (s->efer & ~EFER_KNOWN || (s->efer & EFER_LMA && !lma) || (lma && !(s->cr4 & CR4_PAE)) || s->cr8 > 15)
		return false;
	return !(s->rflags & ~FLAGS_KNOWN) && !(lma && (s->rflags & FL_VM)) && !(s->dr[6] >> 32) && !(s->dr[7] >> 32);
}

static bool segments_valid(const struct gamut_vcpu_state *s)
{
	const struct gamut_segment *cs = &s->seg[GAMUT_CS];
	bool lma = efer_of(s) & EFER_LMA, code64 = lma && (cs->attr & SEG_L);

	for (int i = 0; i < GAMUT_SEG_COUNT; i++) {
		bool wide = lma && i != GAMUT_CS && i != GAMUT_SS && i != GAMUT_DS && i != GAMUT_ES;

		if (wide ? !canonical(s, s->seg[i].base) : s->seg[i].base >> 32)
			return false;
	}
	if (!canonical(s, s->gdt.base) || !canonical(s, s->idt.base) || s->gdt.limit > 0xffff || s->idt.limit > 0xffff)
		return false;
	if (s->cr0 & CR0_PE && !(s->rflags & FL_VM)) {
		uint32_t want = SEG_P | SEG_S | TYPE_CODE;

		if ((cs->attr & want) != want || (cs->attr & SEG_UNUSABLE) || (code64 && (cs->attr & SEG_DB)))
			return false;
	}
	return code64 ? canonical(s, s->rip) : s->rip >> 32 == 0;
}

/* ---- get ------------------------------------------------------------------------ */

static int get_debug(struct engine_vcpu *v, struct gamut_vcpu_state *state)
{
	struct kvm_debugregs d;
	int r = kvm_ioctl(v->fd, KVM_GET_DEBUGREGS, &d);

	if (r)
		return r;
	for (int i = 0; i < 4; i++)
		state->dr[i] = d.db[i];
	state->dr[6] = d.dr6;
	state->dr[7] = d.dr7;
	return 0;
}

int kvm_regs_get(struct engine_vcpu *v, struct gamut_vcpu_state *state)
{
	struct kvm_sregs *s = kvm_sregs(v);
	int r = v->owed == KVM_OWES_ENTRY ? kvm_settle(v) : 0;

	if (r)
		return r;
	*state = (struct gamut_vcpu_state){ .size = sizeof(*state) };
	for (unsigned i = 0; i < 16; i++)
		state->gpr[i] = *kvm_gpr(kvm_regs(v), i);
	state->rip = kvm_regs(v)->rip + v->skip;
	state->rflags = kvm_regs(v)->rflags;
	for (unsigned i = 0; i < GAMUT_SEG_COUNT; i++)
		kvm_segment_to(&state->seg[i], segment(s, i));
	state->gdt = (struct gamut_table){ .base = s->gdt.base, .limit = s->gdt.limit };
	state->idt = (struct gamut_table){ .base = s->idt.base, .limit = s->idt.limit };
	state->cr0 = s->cr0;
	state->cr2 = s->cr2;
	state->cr3 = s->cr3;
	state->cr4 = s->cr4;
	state->cr8 = s->cr8;
	state->efer = s->efer;
	return get_debug(v, state);
}

/* ---- set ------------------------------------------------------------------------ */

static void fill_segments(struct kvm_sregs *s, const struct gamut_vcpu_state *state)
{
	for (unsigned i = 0; i < GAMUT_SEG_COUNT; i++)
		kvm_segment_from(segment(s, i), &state->seg[i]);
	/* KVM takes the privilege from SS, which need not be there in 64-bit mode. */
	if (s->ss.unusable && state->cr0 & CR0_PE)
		s->ss.dpl = state->seg[GAMUT_CS].selector & 3;
	s->gdt = (struct kvm_dtable){ .base = state->gdt.base, .limit = (uint16_t)state->gdt.limit };
	s->idt = (struct kvm_dtable){ .base = state->idt.base, .limit = (uint16_t)state->idt.limit };
}

static int set_controls(struct engine_vcpu *v, const struct gamut_vcpu_state *state)
{
	struct kvm_sregs s = *kvm_sregs(v);

	fill_segments(&s, state);
	s.cr0 = state->cr0 | CR0_ET;
	s.cr2 = state->cr2;
	s.cr3 = state->cr3;
	s.cr4 = state->cr4;
	s.cr8 = state->cr8;
	s.efer = efer_of(state);
	for (unsigned i = 0; i < sizeof(s.interrupt_bitmap) / sizeof(s.interrupt_bitmap[0]); i++)
		s.interrupt_bitmap[i] = 0;
	if (kvm_ioctl(v->fd, KVM_SET_SREGS, &s))
		return -EINVAL;
	*kvm_sregs(v) = s;
	v->run->cr8 = s.cr8;
	return 0;
}

static int set_general(struct engine_vcpu *v, const struct gamut_vcpu_state *state)
{
	struct kvm_regs *r = kvm_regs(v);

	for (unsigned i = 0; i < 16; i++)
		*kvm_gpr(r, i) = state->gpr[i];
	r->rip = state->rip;
	r->rflags = state->rflags | FL_FIXED;
	return kvm_ioctl(v->fd, KVM_SET_REGS, r);
}

static int set_debug(struct engine_vcpu *v, const struct gamut_vcpu_state *state)
{
	struct kvm_debugregs d = {
		.dr6 = (state->dr[6] & 0xe00f) | DR6_FIXED,
		.dr7 = (state->dr[7] & ~0xd800ull) | DR7_FIXED,
	};

	for (int i = 0; i < 4; i++)
		d.db[i] = state->dr[i];
	return kvm_ioctl(v->fd, KVM_SET_DEBUGREGS, &d);
}

/*
 * What was under way belongs to the state before. An interrupt that was taken
 * from its controller and not yet delivered stays if it can be delivered.
 */
static int forget_events(struct engine_vcpu *v, const struct kvm_vcpu_events *before, bool interruptible)
{
	struct kvm_vcpu_events e = { .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW };

	e.nmi.pending = before->nmi.pending;
	if (interruptible && !before->interrupt.soft) {
		e.interrupt.injected = before->interrupt.injected;
		e.interrupt.nr = before->interrupt.nr;
	}
	return kvm_ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e);
}

int kvm_regs_set(struct engine_vcpu *v, const struct gamut_vcpu_state *state)
{
	struct kvm_vcpu_events before;
	int r;

	if (state->size < sizeof(*state) || !controls_valid(state) || !segments_valid(state))
		return -EINVAL;
	r = kvm_abandon(v);
	if (!r)
		r = kvm_ioctl(v->fd, KVM_GET_VCPU_EVENTS, &before);
	if (!r)
		r = set_controls(v, state);
	if (!r)
		r = set_general(v, state);
	if (!r)
		r = set_debug(v, state);
	if (!r)
		r = forget_events(v, &before, state->rflags & FL_IF);
	v->run->kvm_dirty_regs = 0;
	/* As of the last exit, and for other registers. */
	v->run->ready_for_interrupt_injection = 0;
	v->vm->touched = true;
	return r;
}

int kvm_raise(struct engine_vcpu *v, uint8_t vector)
{
	struct kvm_vcpu_events e;
	int r = kvm_ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e);

	if (r)
		return r;
	e.exception.injected = 1;
	e.exception.pending = 0;
	e.exception.nr = vector;
	e.exception.has_error_code = 0;
	e.flags &= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	return kvm_ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e);
}
