/* SPDX-License-Identifier: MIT */
/*
 * One page-table entry: what a guest may put there, and what becomes of it.
 *
 * Refused, as Xen does for a domain without devices: PWT, PCD and PAT or PSE
 * (there are no large pages), G above L1, frames that are not the guest's. An
 * entry that is not present may hold anything. The guest's kernel runs in ring
 * 3, so a present entry gets U; and loses G, for kernel and user space are not
 * told apart by it.
 */
#include "dm/xen/pv/pv-mmu.h"

#define REFUSED (PTE_PWT | PTE_PCD | PTE_PSE)
#define REFUSED_L1 (REFUSED | PTE_GRANT)
#define REFUSED_UPPER (REFUSED | PTE_G)

/* What may differ without a new look at the frame, if it is not refused. */
#define HARMLESS (~(PTE_FRAME | PTE_P | PTE_RW))

/*
 * A frame that is no RAM: a page that another part of the domain has put there
 * (shared_info, grant table), or nothing.
 */
static int check_foreign(struct pv_op *op, uint64_t mfn)
{
	const struct gamut_host *host = op->d->env.host;
	const struct pv_mmu *m = op->d->mmu;
	uint64_t gpa = mfn << XEN_PAGE_SHIFT;
	void *page;

	if (mfn == FRAMES_MAX)
		return -EINVAL;
	if (gpa - m->gpa < m->n_pages << XEN_PAGE_SHIFT)
		return -EBUSY;
	if (!op->slow)
		return PV_NEEDS_SLOW;
	page = host->mem_get(op->d->env.inst, gpa, XEN_PAGE_SIZE);
	if (!page)
		return -EPERM;
	host->mem_put(op->d->env.inst, page, XEN_PAGE_SIZE);
	return 0;
}

static bool refused(enum pv_use level, uint64_t entry)
{
	return entry & (level == PV_L1 ? REFUSED_L1 : REFUSED_UPPER);
}

static int get_l1(struct pv_op *op, uint64_t entry)
{
	uint64_t mfn = pte_mfn(entry);

	if (!pv_frame_ok(op->d, mfn))
		return check_foreign(op, mfn);
	return entry & PTE_RW && pv_frame_get(op, mfn, PV_WRITABLE) ? -EBUSY : 0;
}

int pv_entry_get(struct pv_op *op, enum pv_use level, uint64_t entry)
{
	if (refused(level, entry))
		return -EINVAL;
	return level == PV_L1 ? get_l1(op, entry) : pv_frame_get(op, pte_mfn(entry), level - 1);
}

void pv_entry_put(struct pv_op *op, enum pv_use level, uint64_t entry)
{
	if (!(entry & PTE_P))
		return;
	if (level != PV_L1)
		pv_frame_put(op, pte_mfn(entry), level - 1);
	else if (entry & PTE_RW)
		pv_frame_unmapped(op, pte_mfn(entry));
}

uint64_t pv_entry_fix(enum pv_use level, uint64_t entry)
{
	return level == PV_L1 ? (entry | PTE_U) & ~PTE_G : entry | PTE_U;
}

/*
 * Stores, and says what was there. Only A and D, which the processor sets, may
 * change under our eyes.
 */
static int store(struct pv_op *op, uint64_t gpa, uint64_t entry, uint64_t keep, uint64_t *old)
{
	for (;;) {
		uint64_t seen = op->cpu->ops->pte_exchange(op->cpu, gpa, *old, entry | (*old & keep));
		uint64_t change = seen ^ *old;

		if (!change)
			return 0;
		if (change & ~(PTE_A | PTE_D) || !keep)
			return -EAGAIN;
		*old = seen;
	}
}

int pv_entry_set(struct pv_op *op, enum pv_use level, uint64_t gpa, uint64_t entry, bool keep_ad, const uint64_t *old)
{
	uint64_t was = old ? *old : pv_load(op->d, gpa);
	bool take, present = entry & PTE_P;
	int rc = 0;

	if (level == PV_L4 && pv_is_hole((gpa & (XEN_PAGE_SIZE - 1)) / 8))
		return -EINVAL;
	if (present)
		entry = pv_entry_fix(level, entry);
	/* The frame need not be looked at when it is the same, with the same rights. */
	take = !present || !(was & PTE_P) || (was ^ entry) & ~HARMLESS || refused(level, entry);
	if (present && take)
		rc = pv_entry_get(op, level, entry);
	if (rc)
		return rc;
	if (keep_ad || old)
		rc = store(op, gpa, entry, keep_ad ? PTE_A | PTE_D : 0, &was);
	else
		op->cpu->ops->pte_write(op->cpu, gpa, entry);
	if (take)
		pv_entry_put(op, level, rc ? entry : was);
	pv_sign(op->d->entries);
	return rc;
}
