/* SPDX-License-Identifier: MIT */
/*
 * The hot hypercalls, straight from the guest's registers, while its vector
 * registers are live. Each looks first whether it can do the whole without the
 * host, and only then begins; what it then does is the code of the slow way.
 */
#include "dm/xen/pv/pv-mmu.h"

enum { RAX = 0, RDX = 2, RSI = 6, RDI = 7, R10 = 10 };

#define UPDATES_MAX 16u
#define EXTS_MAX 4u

/* Copies a list whose arguments are plain; the number of its items, or 0. */
static uint32_t read_list(struct pv_vcpu *v, void *buf, uint32_t size, uint32_t max)
{
	const uint64_t *gpr = v->cpu->gpr;
	uint32_t count = (uint32_t)gpr[RSI];

	if (!count || count > max || gpr[RDX] || (uint32_t)gpr[R10] != DOMID_SELF)
		return 0;
	return v->cpu->ops->read(v->cpu, gpr[RDI], buf, count * size, NULL) ? 0 : count;
}

/* An entry that needs no question to the host. */
static bool plain_l1e(const struct pv_domain *d, uint64_t entry)
{
	return !(entry & PTE_P) || pv_frame_ok(d, pte_mfn(entry));
}

/* ---- mmu_update ---- */

/*
 * Of an L1 table; of a page that is no table, for guests fill tables before they
 * pin them; of an upper table, when the one that is linked is in use already and
 * no other request of the list can change that.
 */
static bool plain_update(const struct pv_domain *d, const struct mmu_update *req, uint32_t n)
{
	uint64_t mfn = req->ptr >> XEN_PAGE_SHIFT;
	enum pv_use use;

	if (!pv_frame_ok(d, mfn))
		return false;
	use = pv_use_of(d, mfn);
	if (use == PV_L1)
		return plain_l1e(d, req->val);
	if (pv_is_table(use))
		return n == 1 && (!(req->val & PTE_P) || pv_frame_is(d, pte_mfn(req->val), use - 1));
	return use != PV_DESC;
}

static bool fast_update(struct pv_op *op, int *rc)
{
	struct mmu_update req[UPDATES_MAX];
	uint32_t n = read_list(op->v, req, sizeof(req[0]), UPDATES_MAX);
	bool plain = n != 0;

	pv_lock(op->d);
	for (uint32_t i = 0; i < n && plain; i++)
		plain = plain_update(op->d, &req[i], n);
	for (uint32_t i = 0; i < n && plain && !*rc; i++)
		*rc = pv_update_one(op, &req[i]);
	pv_unlock(op->d);
	return plain;
}

/* ---- update_va_mapping ---- */

static bool fast_va(struct pv_op *op, int *rc)
{
	const uint64_t *gpr = op->cpu->gpr;
	uint64_t va = gpr[RDI], flags = gpr[RDX];
	bool plain;

	if (flags & ~UVMF_FLUSHTYPE_MASK)
		return false;
	pv_lock(op->d);
	plain = plain_l1e(op->d, gpr[RSI]);
	if (plain)
		*rc = pv_update_va(op, va, gpr[RSI]);
	if (plain && !*rc && flags == UVMF_TLB_FLUSH)
		pv_flush(op, GAMUT_PV_KEEP, true, false);
	else if (plain && !*rc && flags == UVMF_INVLPG)
		pv_flush(op, va, true, false);
	pv_unlock(op->d);
	return plain;
}

/* ---- mmuext_op ---- */

static bool plain_root(const struct pv_op *op, uint64_t mfn)
{
	return !op->v->ldt_entries && pv_frame_is(op->d, mfn, PV_L4);
}

/* A page that can become an L1 table, as far as frames go. */
static bool plain_table(const struct pv_domain *d, uint64_t mfn)
{
	if (!pv_frame_ok(d, mfn))
		return false;
	for (uint64_t gpa = mfn << XEN_PAGE_SHIFT, end = gpa + XEN_PAGE_SIZE; gpa < end; gpa += 8)
		if (!plain_l1e(d, pv_load(d, gpa)))
			return false;
	return true;
}

static bool plain_ext(const struct pv_op *op, const struct mmuext_op *e, uint32_t n)
{
	switch (e->cmd) {
	case MMUEXT_TLB_FLUSH_LOCAL:
	case MMUEXT_INVLPG_LOCAL:
		return true;
	case MMUEXT_NEW_BASEPTR:
		return plain_root(op, e->arg1.mfn);
	case MMUEXT_NEW_USER_BASEPTR:
		return !e->arg1.mfn || plain_root(op, e->arg1.mfn);
	case MMUEXT_PIN_L1_TABLE:
		return n == 1 && plain_table(op->d, e->arg1.mfn);
	case MMUEXT_UNPIN_TABLE:
		return n == 1 && pv_frame_is(op->d, e->arg1.mfn, PV_L1);
	default:
		return false;
	}
}

/*
 * A list that sets the same root twice might drop a table and then want it
 * again: not here.
 */
static bool plain_exts(const struct pv_op *op, const struct mmuext_op *e, uint32_t n)
{
	uint32_t seen = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t bit;

		if (!plain_ext(op, &e[i], n))
			return false;
		bit = 1u << e[i].cmd;
		if (seen & bit && (e[i].cmd == MMUEXT_NEW_BASEPTR || e[i].cmd == MMUEXT_NEW_USER_BASEPTR))
			return false;
		seen |= bit;
	}
	return n != 0;
}

static bool fast_ext(struct pv_op *op, int *rc)
{
	struct mmuext_op e[EXTS_MAX];
	uint32_t n = read_list(op->v, e, sizeof(e[0]), EXTS_MAX);
	bool plain;

	pv_lock(op->d);
	plain = plain_exts(op, e, n);
	for (uint32_t i = 0; i < n && plain && !*rc; i++)
		*rc = pv_mmuext_one(op, &e[i]);
	pv_roots_commit(op);
	pv_unlock(op->d);
	return plain;
}

int pv_mmu_fast(struct pv_vcpu *v, uint32_t nr)
{
	struct pv_op op = { .d = v->domain, .v = v, .cpu = v->cpu };
	bool settled = false;
	int rc = 0;

	if (nr == __HYPERVISOR_mmu_update)
		settled = fast_update(&op, &rc);
	else if (nr == __HYPERVISOR_mmuext_op)
		settled = fast_ext(&op, &rc);
	else if (nr == __HYPERVISOR_update_va_mapping)
		settled = fast_va(&op, &rc);
	if (!settled)
		return PV_NOT_MINE;
	v->cpu->gpr[RAX] = (uint64_t)(int64_t)rc;
	return PV_DONE;
}
