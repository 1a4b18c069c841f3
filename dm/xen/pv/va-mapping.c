/* SPDX-License-Identifier: MIT */
/*
 * Changes that are named by a virtual address: update_va_mapping, and the
 * guest's own writes to L1 tables, which are mapped read-only and fault.
 */
#include "dm/xen/pv/pv-mmu.h"

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u

uint64_t pv_walk(const struct pv_domain *d, uint64_t mfn, uint64_t va)
{
	if (!pv_addr_ok(va))
		return GAMUT_GPA_NONE;
	for (enum pv_use level = PV_L4;; level--) {
		uint64_t slot = va >> (XEN_PAGE_SHIFT + 9 * (level - PV_L1)) & (PT_ENTRIES - 1), gpa, entry;

		/* An entry is believed only as far as what it leads to is in use as that. */
		if (!pv_frame_is(d, mfn, level))
			return GAMUT_GPA_NONE;
		gpa = mfn << XEN_PAGE_SHIFT | slot * 8;
		if (level == PV_L1)
			return gpa;
		entry = pv_load(d, gpa);
		if (!(entry & PTE_P))
			return GAMUT_GPA_NONE;
		mfn = pte_mfn(entry);
	}
}

int pv_update_va(struct pv_op *op, uint64_t va, uint64_t entry)
{
	struct pv_domain *d = op->d;
	uint64_t gpa = pv_walk(d, op->v->root[PV_KERNEL], va), table = gpa >> XEN_PAGE_SHIFT;
	int rc;

	if (gpa == GAMUT_GPA_NONE)
		return -EINVAL;
	/* A table that is linked twice may map its pages at another address too. */
	op->at_va = d->mmu->ref[table] - !!(d->use[table] & PV_PINNED) == 1;
	op->va = va;
	rc = pv_entry_set(op, PV_L1, gpa, entry, false, NULL);
	op->at_va = false;
	return rc;
}

/* What the flags of update_va_mapping ask for. 0, or -EFAULT. */
static int flush_as_told(struct pv_op *op, uint64_t va, uint64_t flags)
{
	uint64_t where = flags & ~UVMF_FLUSHTYPE_MASK, what = flags & UVMF_FLUSHTYPE_MASK;
	bool self = true, others = where == UVMF_ALL;

	if (what != UVMF_TLB_FLUSH && what != UVMF_INVLPG)
		return 0;
	if (where != UVMF_LOCAL && where != UVMF_ALL && pv_vcpu_mask(op, where, &self, &others))
		return -EFAULT;
	pv_flush(op, what == UVMF_INVLPG ? va : GAMUT_PV_KEEP, self, others);
	return 0;
}

static int64_t update_va(struct pv_domain *d, const struct gamut_hypercall *call)
{
	struct pv_op op = pv_op_slow(&d->vcpu[call->vcpu]);
	int rc;

	pv_lock(d);
	rc = pv_update_va(&op, call->args[0], call->args[1]);
	if (!rc)
		rc = flush_as_told(&op, call->args[0], call->args[2]);
	pv_unlock(d);
	return rc;
}

/* args: address, entry, flags. */
int64_t pv_hc_update_va(void *opaque, struct gamut_hypercall *call)
{
	return call->cpl ? -EPERM : update_va(opaque, call);
}

/* args: address, entry, flags, domain. */
int64_t pv_hc_update_va_other(void *opaque, struct gamut_hypercall *call)
{
	int rc;

	if (call->cpl)
		return -EPERM;
	rc = pv_foreign(opaque, (uint16_t)call->args[3]);
	return rc ? rc : update_va(opaque, call);
}

/* ---- native writes ---- */

static int native_write(void *opaque, uint64_t gpa, uint64_t old_value, uint64_t new_value)
{
	struct pv_op *op = opaque;
	int rc = -EINVAL;

	pv_lock(op->d);
	if (pv_frame_is(op->d, gpa >> XEN_PAGE_SHIFT, PV_L1))
		rc = pv_entry_set(op, PV_L1, gpa, new_value, false, &old_value);
	pv_unlock(op->d);
	return rc;
}

/* The L1 table that is mapped read-only at va; GAMUT_GPA_NONE: none is. */
static uint64_t table_at(const struct pv_vcpu *v, uint64_t va)
{
	uint64_t gpa = pv_walk(v->domain, v->root[PV_KERNEL], va), entry;

	if (gpa == GAMUT_GPA_NONE)
		return GAMUT_GPA_NONE;
	entry = pv_load(v->domain, gpa);
	if ((entry & (PTE_P | PTE_RW)) != PTE_P || !pv_frame_is(v->domain, pte_mfn(entry), PV_L1))
		return GAMUT_GPA_NONE;
	return entry & PTE_FRAME;
}

int pv_mmu_fault(struct pv_vcpu *v, uint64_t cr2, uint32_t error)
{
	struct pv_op op = pv_op_slow(v);
	uint64_t gpa;
	int rc;

	/* The processor's own access to a descriptor. */
	if (!(error & (PF_P | PF_U)) && pv_ldt_offset(v, cr2) >= 0)
		return pv_ldt_fault(v, (uint64_t)pv_ldt_offset(v, cr2));
	if (v->user || (error & (PF_P | PF_W | PF_RSVD | PF_I)) != (PF_P | PF_W) ||
	    !(op.d->vm_assist & 1u << VMASST_TYPE_writable_pagetables))
		return PV_NOT_MINE;
	pv_lock(op.d);
	gpa = table_at(v, cr2);
	pv_unlock(op.d);
	if (gpa == GAMUT_GPA_NONE)
		return PV_NOT_MINE;
	rc = op.cpu->ops->emulate_write(op.cpu, gpa, native_write, &op);
	/* -EAGAIN: the entry changed on the way, so the guest runs its instruction again. */
	return !rc || rc == -EAGAIN ? PV_DONE : PV_NOT_MINE;
}
