/* SPDX-License-Identifier: MIT */
/*
 * What each frame of RAM is used as.
 *
 * A frame has one use at a time, and a count of references that hold it to
 * that: entries of higher tables, pins and roots for a page table; windows for
 * descriptors; entries with the W bit, in tables that are in use themselves, for
 * a page that the guest can write. At zero the next reference decides on the
 * use. So a page table, whose entries were all checked when its use began and
 * at each change since, is never writable by the guest, and of one level only.
 * This is Xen's rule. It is not what keeps the host safe, for nothing here
 * trusts what a table holds: a page may also be written by a back end that the
 * guest has granted it to.
 *
 * Stale translations. Guests take away the last writable mapping of a page
 * and make it a page table without a flush in between, for Xen flushes then.
 * So does this: a clock ticks at each flush of everything; a frame remembers
 * when it lost a writable mapping, a vCPU when it flushed last.
 */
#include "dm/xen/pv/pv-mmu.h"

bool pv_frame_ok(const struct pv_domain *d, uint64_t mfn)
{
	return mfn < d->n_mfn && pv_use_of(d, mfn) != PV_NONE;
}

bool pv_frame_is(const struct pv_domain *d, uint64_t mfn, enum pv_use use)
{
	return mfn < d->n_mfn && pv_use_of(d, mfn) == use;
}

static void set_use(struct pv_domain *d, uint64_t mfn, enum pv_use use)
{
	__atomic_store_n(&d->use[mfn], (uint8_t)use, __ATOMIC_RELAXED);
}

/* ---- flushes ---- */

void pv_flushed(struct pv_vcpu *v)
{
	struct pv_mmu *m = v->domain->mmu;

	if (!++m->clock) {
		/* Once around: nobody has flushed since, so that every mark counts. */
		m->clock = 1;
		for (uint32_t i = 0; i < v->domain->n_vcpus; i++)
			m->flushed[i] = 0;
	}
	m->flushed[v->index] = m->clock;
}

static void flush_self(struct pv_op *op, uint64_t va)
{
	if (va == GAMUT_PV_KEEP) {
		op->cpu->ops->flush(op->cpu);
		pv_flushed(&op->d->vcpu[op->cpu->vcpu]);
	} else if (pv_addr_ok(va)) {
		op->cpu->ops->flush_page(op->cpu, va);
	}
}

static void flush_others(struct pv_op *op, uint64_t va)
{
	struct pv_domain *d = op->d;

	if (va != GAMUT_PV_KEEP && !pv_addr_ok(va))
		return;
	op->cpu->ops->flush_others(op->cpu, va);
	for (uint32_t i = 0; va == GAMUT_PV_KEEP && i < d->n_vcpus; i++)
		if (i != op->cpu->vcpu)
			pv_flushed(&d->vcpu[i]);
}

void pv_flush(struct pv_op *op, uint64_t va, bool self, bool others)
{
	if (self)
		flush_self(op, va);
	if (others && op->d->n_vcpus > 1)
		flush_others(op, va);
}

/* No vCPU may write to the frame by a translation that is no longer in any table. */
static void settle(struct pv_op *op, uint64_t mfn)
{
	struct pv_mmu *m = op->d->mmu;
	uint32_t mark = m->stale[mfn];
	bool others = false;

	if (!mark)
		return;
	for (uint32_t i = 0; i < op->d->n_vcpus; i++)
		others |= i != op->cpu->vcpu && m->flushed[i] <= mark;
	pv_flush(op, GAMUT_PV_KEEP, m->flushed[op->cpu->vcpu] <= mark, others);
	m->stale[mfn] = 0;
}

/* ---- references ---- */

int pv_frame_get(struct pv_op *op, uint64_t mfn, enum pv_use use)
{
	struct pv_domain *d = op->d;
	uint32_t *ref;
	int rc;

	if (!pv_frame_ok(d, mfn))
		return -EINVAL;
	ref = &d->mmu->ref[mfn];
	if (*ref) {
		if (pv_use_of(d, mfn) != use || *ref == UINT32_MAX)
			return -EINVAL;
		++*ref;
		return 0;
	}
	set_use(d, mfn, use);
	*ref = 1;
	if (use == PV_WRITABLE)
		return 0;
	settle(op, mfn);
	rc = use == PV_DESC ? pv_descriptors_check(op, mfn) : pv_table_check(op, mfn, use);
	if (rc) {
		*ref = 0;
		set_use(d, mfn, PV_FREE);
	}
	return rc;
}

void pv_frame_put(struct pv_op *op, uint64_t mfn, enum pv_use use)
{
	struct pv_domain *d = op->d;

	/* Otherwise somebody wrote to a table behind our back. */
	if (!pv_frame_is(d, mfn, use) || !d->mmu->ref[mfn] || --d->mmu->ref[mfn])
		return;
	set_use(d, mfn, PV_FREE);
	if (pv_is_table(use))
		pv_table_drop(op, mfn, use, PT_ENTRIES);
}

int pv_frame_keep(struct pv_vcpu *v, uint64_t mfn, bool keep)
{
	struct pv_op op = pv_op_slow(v);
	int rc = 0;

	pv_lock(op.d);
	if (keep)
		rc = pv_frame_get(&op, mfn, PV_WRITABLE);
	else
		pv_frame_put(&op, mfn, PV_WRITABLE);
	pv_unlock(op.d);
	return rc;
}

void pv_frame_unmapped(struct pv_op *op, uint64_t mfn)
{
	if (!pv_frame_is(op->d, mfn, PV_WRITABLE))
		return;
	if (op->at_va && op->d->n_vcpus == 1)
		pv_flush(op, op->va, true, false);
	else
		op->d->mmu->stale[mfn] = op->d->mmu->clock;
	pv_frame_put(op, mfn, PV_WRITABLE);
}
