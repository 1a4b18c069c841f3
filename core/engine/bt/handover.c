/* SPDX-License-Identifier: MIT */
#include "engine/bt/handover.h"

/* A stay that has paid for the way there and back many times over. */
#define LONG_STAY_NS 2000000u
/* One that has hardly paid for it. */
#define SHORT_STAY_NS 300000u

#define PTE_P 1ull
#define PTE_RIGHTS 0x6ull /* W, U */
#define PTE_NX (1ull << 63)
#define PTE_FRAME 0xffffffffff000ull

/*
 * Only what any processor runs alike: 64-bit code with no segment but the
 * bases of FS and GS, no stepping, no breakpoints, FPU at hand.
 */
static bool eligible(const struct bt_vcpu *v)
{
	static const uint8_t plain[] = { GAMUT_DS, GAMUT_ES, GAMUT_FS, GAMUT_GS };

	if (!(v->key & KEY_USER) || !bt_code64(v) || v->rflags & (FL_TF | FL_AC) || v->cr0 & CR0_TS || v->dr[7] & 0xff ||
	    v->cr4 & CR4_TSD || v->shadow || v->exc_pending)
		return false;
	for (unsigned i = 0; i < sizeof(plain); i++)
		if (v->seg[plain[i]].selector & ~3u)
			return false;
	return true;
}

bool bt_handover_due(struct bt_vcpu *v)
{
	struct bt_handover *h = v->handover;

	if (h->sticky) {
		if (!(v->key & KEY_USER))
			return false;
		h->sticky = false;
		return h->go = v->pv.root[TLB_USER] == h->root && eligible(v);
	}
	if (!__atomic_exchange_n(&h->tick, 0, __ATOMIC_RELAXED))
		return false;
	if (v->n_pv != h->events) {
		h->events = v->n_pv;
		h->quiet = 0;
		return false;
	}
	if (++h->quiet < h->patience)
		return false;
	h->quiet = 0;
	return h->go = eligible(v);
}

void bt_handover_user(struct bt_vcpu *v)
{
	if (v->handover && v->handover->sticky)
		bt_poll_set(v);
}

void bt_handover_pte(struct bt_vcpu *v, uint64_t old_value, uint64_t new_value)
{
	if (!v->handover || !(old_value & PTE_P))
		return;
	if (!(new_value & PTE_P) || (old_value ^ new_value) & PTE_FRAME || old_value & ~new_value & PTE_RIGHTS ||
	    new_value & ~old_value & PTE_NX)
		v->handover->gen++;
}

void bt_handover_code(struct bt_vcpu *v, uint64_t gpa)
{
	struct bt_handover *h = v->handover;

	if (h && gpa >> PAGE_SHIFT < h->n_frames && h->writable[gpa >> PAGE_SHIFT])
		h->gen++;
}

void bt_handover_back(struct bt_vcpu *v, uint64_t ns, bool own_event)
{
	struct bt_handover *h = v->handover;

	h->go = false;
	h->quiet = 0;
	h->events = v->n_pv;
	h->sticky = !own_event;
	h->root = v->pv.root[TLB_USER];
	if (ns >= LONG_STAY_NS || !own_event)
		h->patience = 1;
	else if (ns < SHORT_STAY_NS && h->patience < HANDOVER_PATIENCE_MAX)
		h->patience *= 2;
}
