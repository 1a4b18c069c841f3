/* SPDX-License-Identifier: MIT */
/*
 * Whole page tables: check and repair when a table's use begins, and what holds
 * it: pins and roots.
 *
 * A check goes down to the tables below, none of which is looked at twice while
 * it is in use. It does not stop half-way, so a guest that hangs all of its RAM
 * as tables under one entry keeps its own vCPU here for the time it takes to
 * read its RAM once.
 */
#include "dm/xen/pv/pv-mmu.h"

static uint64_t entry_gpa(uint64_t mfn, uint64_t slot)
{
	return mfn << XEN_PAGE_SHIFT | slot * 8;
}

static int check_entry(struct pv_op *op, uint64_t gpa, enum pv_use level)
{
	uint64_t entry = pv_load(op->d, gpa), fixed;
	int rc;

	if (!(entry & PTE_P))
		return 0;
	fixed = pv_entry_fix(level, entry);
	rc = pv_entry_get(op, level, fixed);
	if (!rc && fixed != entry)
		op->cpu->ops->pte_write(op->cpu, gpa, fixed);
	return rc;
}

/* The entries of a top-level table that are not the guest's, whatever it had there. */
static void fill_hole(struct pv_op *op, uint64_t mfn)
{
	for (uint32_t i = 0; i < GAMUT_PV_HOLE_SLOTS; i++) {
		uint64_t gpa = entry_gpa(mfn, GAMUT_PV_HOLE_FIRST + i), entry = op->d->mmu->slot[i];

		if (pv_load(op->d, gpa) != entry)
			op->cpu->ops->pte_write(op->cpu, gpa, entry);
	}
}

int pv_table_check(struct pv_op *op, uint64_t mfn, enum pv_use level)
{
	for (uint32_t i = 0; i < PT_ENTRIES; i++) {
		int rc;

		if (level == PV_L4 && pv_is_hole(i))
			continue;
		rc = check_entry(op, entry_gpa(mfn, i), level);
		if (rc) {
			pv_table_drop(op, mfn, level, i);
			return rc;
		}
	}
	if (level == PV_L4)
		fill_hole(op, mfn);
	return 0;
}

void pv_table_drop(struct pv_op *op, uint64_t mfn, enum pv_use level, uint32_t entries)
{
	bool at_va = op->at_va;

	op->at_va = false; /* these entries map other addresses */
	for (uint32_t i = 0; i < entries; i++)
		if (level != PV_L4 || !pv_is_hole(i))
			pv_entry_put(op, level, pv_load(op->d, entry_gpa(mfn, i)));
	op->at_va = at_va;
}

/* ---- pins ---- */

int pv_pin(struct pv_op *op, uint64_t mfn, enum pv_use level)
{
	int rc = pv_frame_get(op, mfn, level);

	if (rc)
		return rc;
	if (op->d->use[mfn] & PV_PINNED) {
		pv_frame_put(op, mfn, level);
		return -EINVAL;
	}
	__atomic_store_n(&op->d->use[mfn], (uint8_t)(level | PV_PINNED), __ATOMIC_RELAXED);
	return 0;
}

int pv_unpin(struct pv_op *op, uint64_t mfn)
{
	enum pv_use level;

	if (!pv_frame_ok(op->d, mfn) || !(op->d->use[mfn] & PV_PINNED))
		return -EINVAL;
	level = pv_use_of(op->d, mfn);
	__atomic_store_n(&op->d->use[mfn], (uint8_t)level, __ATOMIC_RELAXED);
	pv_frame_put(op, mfn, level);
	return 0;
}

/* ---- roots ---- */

static void show_m2p(struct pv_op *op, uint64_t mfn, bool show)
{
	const struct pv_mmu *m = op->d->mmu;
	const uint32_t slots[] = { 0, m->m2p_slot };

	for (uint32_t i = 0; i < 2; i++) {
		uint64_t gpa = entry_gpa(mfn, GAMUT_PV_HOLE_FIRST + slots[i]), entry = show ? m->m2p_entry : 0;

		if (m->slot[slots[i]] == m->m2p_entry && pv_load(op->d, gpa) != entry)
			op->cpu->ops->pte_write(op->cpu, gpa, entry);
	}
}

/* The guest may have asked that its user mode does not see machine_to_phys. */
static void settle_m2p(struct pv_op *op, int which, uint64_t mfn)
{
	uint64_t assists = __atomic_load_n(&op->d->vm_assist, __ATOMIC_RELAXED);

	if (which == PV_KERNEL)
		show_m2p(op, mfn, true);
	else if (mfn && assists >> VMASST_TYPE_m2p_strict & 1)
		show_m2p(op, mfn, false);
}

int pv_root_set(struct pv_op *op, int which, uint64_t mfn)
{
	uint64_t *root = &op->v->root[which];
	int rc = 0;

	if (which == PV_KERNEL && !mfn)
		return -EINVAL;
	if (op->new_root[which])
		pv_roots_commit(op);
	if (mfn == *root) {
		/* The same kernel space again is a flush; the same user space nothing. */
		op->new_root[which] = which == PV_KERNEL;
		return 0;
	}
	if (mfn)
		rc = pv_frame_get(op, mfn, PV_L4);
	if (rc)
		return rc;
	settle_m2p(op, which, mfn);
	op->old_root[which] = *root;
	*root = mfn;
	op->new_root[which] = true;
	return 0;
}

void pv_roots_commit(struct pv_op *op)
{
	struct pv_vcpu *v = op->v;
	bool kernel = op->new_root[PV_KERNEL], changed = op->old_root[PV_KERNEL] != 0;
	uint64_t user = v->root[PV_USER] << XEN_PAGE_SHIFT;

	if (!kernel && !op->new_root[PV_USER])
		return;
	v->cpu->ops->roots(v->cpu, kernel ? v->root[PV_KERNEL] << XEN_PAGE_SHIFT : GAMUT_PV_KEEP, user);
	if (kernel)
		pv_flushed(v);
	for (int i = PV_KERNEL; i <= PV_USER; i++) {
		if (op->old_root[i])
			pv_frame_put(op, op->old_root[i], PV_L4);
		op->old_root[i] = 0;
		op->new_root[i] = false;
	}
	if (changed)
		pv_ldt_refresh(op);
}

int pv_set_roots(struct pv_vcpu *v, uint64_t kernel_mfn, uint64_t user_mfn)
{
	struct pv_op op = pv_op_slow(v);
	int rc;

	pv_lock(op.d);
	/* Held meanwhile, so that the second one cannot fail once the first is done. */
	rc = user_mfn ? pv_frame_get(&op, user_mfn, PV_L4) : 0;
	if (!rc) {
		rc = pv_root_set(&op, PV_KERNEL, kernel_mfn);
		if (!rc)
			rc = pv_root_set(&op, PV_USER, user_mfn);
		pv_roots_commit(&op);
		if (user_mfn)
			pv_frame_put(&op, user_mfn, PV_L4);
	}
	pv_unlock(op.d);
	return rc;
}
