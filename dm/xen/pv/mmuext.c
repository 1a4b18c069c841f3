/* SPDX-License-Identifier: MIT */
/*
 * mmuext_op. New roots take effect together, before the next operation that is
 * something else and at the end of the list: guests change both at each switch
 * of address spaces.
 */
#include "dm/xen/pv/pv-mmu.h"

/* What a guest without devices may do to the caches of the processor. */
static int op_denied(struct pv_op *op, const struct mmuext_op *e)
{
	(void)op;
	(void)e;
	return -EACCES;
}

/* There are no large pages. */
static int op_super(struct pv_op *op, const struct mmuext_op *e)
{
	(void)op;
	(void)e;
	return -EOPNOTSUPP;
}

static int op_pin(struct pv_op *op, const struct mmuext_op *e)
{
	return pv_pin(op, e->arg1.mfn, PV_L1 + (e->cmd - MMUEXT_PIN_L1_TABLE));
}

static int op_unpin(struct pv_op *op, const struct mmuext_op *e)
{
	return pv_unpin(op, e->arg1.mfn);
}

static int op_baseptr(struct pv_op *op, const struct mmuext_op *e)
{
	return pv_root_set(op, PV_KERNEL, e->arg1.mfn);
}

static int op_user_baseptr(struct pv_op *op, const struct mmuext_op *e)
{
	return pv_root_set(op, PV_USER, e->arg1.mfn);
}

static uint64_t flush_va(const struct mmuext_op *e)
{
	bool all = e->cmd == MMUEXT_TLB_FLUSH_LOCAL || e->cmd == MMUEXT_TLB_FLUSH_MULTI ||
	           e->cmd == MMUEXT_TLB_FLUSH_ALL;

	return all ? GAMUT_PV_KEEP : e->arg1.linear_addr;
}

static int op_flush_local(struct pv_op *op, const struct mmuext_op *e)
{
	pv_flush(op, flush_va(e), true, false);
	return 0;
}

static int op_flush_all(struct pv_op *op, const struct mmuext_op *e)
{
	pv_flush(op, flush_va(e), true, true);
	return 0;
}

int pv_vcpu_mask(struct pv_op *op, uint64_t bitmap, bool *self, bool *others)
{
	uint32_t n = op->d->n_vcpus, own = op->v->index;

	*self = *others = false;
	for (uint32_t i = 0; i < n; i += 64) {
		uint64_t word, mine = own / 64 == i / 64 ? 1ull << own % 64 : 0;

		if (op->cpu->ops->read(op->cpu, bitmap + i / 8, &word, sizeof(word), NULL))
			return -EFAULT;
		if (n - i < 64)
			word &= (1ull << (n - i)) - 1;
		*self |= word & mine;
		*others |= word & ~mine;
	}
	return 0;
}

static int op_flush_multi(struct pv_op *op, const struct mmuext_op *e)
{
	bool self, others;

	if (pv_vcpu_mask(op, (uintptr_t)e->arg2.vcpumask.p, &self, &others))
		return -EINVAL;
	pv_flush(op, flush_va(e), self, others);
	return 0;
}

static int op_set_ldt(struct pv_op *op, const struct mmuext_op *e)
{
	return pv_set_ldt_op(op, e->arg1.linear_addr, e->arg2.nr_ents);
}

/* Writes a page of the guest's for it, which it might do itself: no table, no descriptors. */
static int write_page(struct pv_op *op, uint64_t mfn, const uint8_t *from)
{
	struct pv_domain *d = op->d;
	uint64_t gpa = mfn << XEN_PAGE_SHIFT;

	if (pv_frame_get(op, mfn, PV_WRITABLE))
		return -EINVAL;
	if (from)
		pv_copy(d->ram + gpa, from, XEN_PAGE_SIZE);
	else
		pv_zero(d->ram + gpa, XEN_PAGE_SIZE);
	d->env.host->mem_dirty(d->env.inst, gpa, XEN_PAGE_SIZE);
	pv_frame_put(op, mfn, PV_WRITABLE);
	return 0;
}

static int op_clear_page(struct pv_op *op, const struct mmuext_op *e)
{
	return write_page(op, e->arg1.mfn, NULL);
}

static int op_copy_page(struct pv_op *op, const struct mmuext_op *e)
{
	uint64_t from = e->arg2.src_mfn;

	if (!pv_frame_ok(op->d, from))
		return -EINVAL;
	return write_page(op, e->arg1.mfn, op->d->ram + (from << XEN_PAGE_SHIFT));
}

static int (*const ops[])(struct pv_op *op, const struct mmuext_op *e) = {
	[MMUEXT_PIN_L1_TABLE] = op_pin,
	[MMUEXT_PIN_L2_TABLE] = op_pin,
	[MMUEXT_PIN_L3_TABLE] = op_pin,
	[MMUEXT_PIN_L4_TABLE] = op_pin,
	[MMUEXT_UNPIN_TABLE] = op_unpin,
	[MMUEXT_NEW_BASEPTR] = op_baseptr,
	[MMUEXT_TLB_FLUSH_LOCAL] = op_flush_local,
	[MMUEXT_INVLPG_LOCAL] = op_flush_local,
	[MMUEXT_TLB_FLUSH_MULTI] = op_flush_multi,
	[MMUEXT_INVLPG_MULTI] = op_flush_multi,
	[MMUEXT_TLB_FLUSH_ALL] = op_flush_all,
	[MMUEXT_INVLPG_ALL] = op_flush_all,
	[MMUEXT_FLUSH_CACHE] = op_denied,
	[MMUEXT_SET_LDT] = op_set_ldt,
	[MMUEXT_NEW_USER_BASEPTR] = op_user_baseptr,
	[MMUEXT_CLEAR_PAGE] = op_clear_page,
	[MMUEXT_COPY_PAGE] = op_copy_page,
	[MMUEXT_FLUSH_CACHE_GLOBAL] = op_denied,
	[MMUEXT_MARK_SUPER] = op_super,
	[MMUEXT_UNMARK_SUPER] = op_super,
};

int pv_mmuext_one(struct pv_op *op, const struct mmuext_op *e)
{
	if (e->cmd != MMUEXT_NEW_BASEPTR && e->cmd != MMUEXT_NEW_USER_BASEPTR)
		pv_roots_commit(op);
	if (e->cmd >= sizeof(ops) / sizeof(ops[0]) || !ops[e->cmd])
		return (int)xen_unimplemented(&op->d->env);
	pv_sign(op->d->table_ops);
	return ops[e->cmd](op, e);
}

static int mmuext_item(struct pv_op *op, const void *item)
{
	return pv_mmuext_one(op, item);
}

/* args: list, count, pdone, domain. */
int64_t pv_hc_mmuext_op(void *opaque, struct gamut_hypercall *call)
{
	return call->cpl ? -EPERM : pv_list(opaque, call, sizeof(struct mmuext_op), mmuext_item);
}
