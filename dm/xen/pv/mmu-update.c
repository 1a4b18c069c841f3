/* SPDX-License-Identifier: MIT */
/*
 * mmu_update, and the lists that it and mmuext_op take. A long list is left
 * after a batch and gone on with by the restarted call: list and count then say
 * what is to be done yet, and the count's top bit that pdone tells of what was
 * done before.
 */
#include "dm/xen/pv/pv-mmu.h"

#define BATCH 256u
#define PREEMPTED 0x80000000u /* MMU_UPDATE_PREEMPTED: private to Xen, but guests see it in their registers */
#define ITEM_MAX 24u

struct pv_op pv_op_slow(struct pv_vcpu *v)
{
	struct pv_domain *d = v->domain;
	uint32_t current = d->env.host->vcpu_current(d->env.inst);

	/* No vCPU runs while the domain is built: any will do. */
	return (struct pv_op){
		.d = d,
		.v = v,
		.cpu = current < d->n_vcpus ? d->vcpu[current].cpu : v->cpu,
		.slow = true,
	};
}

int pv_foreign(const struct pv_domain *d, uint32_t domid)
{
	if (xen_env_self(&d->env, domid))
		return 0;
	return domid == 0 || domid == DOMID_IO || domid == DOMID_XEN ? -EPERM : -ESRCH;
}

/* ---- lists ---- */

struct list {
	uint64_t va, pdone;
	uint32_t count, done;
};

static struct list list_begin(struct gamut_pv_cpu *cpu, const struct gamut_hypercall *call)
{
	struct list l = { .va = call->args[0], .count = (uint32_t)call->args[1], .pdone = call->args[2] };

	if (l.count & PREEMPTED && l.pdone && cpu->ops->read(cpu, l.pdone, &l.done, sizeof(l.done), NULL))
		l.done = 0;
	l.count &= ~PREEMPTED;
	return l;
}

/* i of them are done now. As Xen, a pdone that cannot be written is no error. */
static void list_end(const struct list *l, struct gamut_pv_cpu *cpu, struct gamut_hypercall *call, uint32_t size,
                     uint32_t i, bool more)
{
	uint32_t done = l->done + i;

	if (l->pdone)
		cpu->ops->write(cpu, l->pdone, &done, sizeof(done), NULL);
	if (!more)
		return;
	call->args[0] = l->va + (uint64_t)i * size;
	call->args[1] = (l->count - i) | PREEMPTED;
	call->restart = 1;
}

int64_t pv_list(struct pv_domain *d, struct gamut_hypercall *call, uint32_t size, pv_item_fn fn)
{
	struct pv_op op = pv_op_slow(&d->vcpu[call->vcpu]);
	struct list l = list_begin(op.cpu, call);
	int rc = pv_foreign(d, (uint16_t)call->args[3]);
	uint64_t item[ITEM_MAX / 8];
	uint32_t i = 0;

	while (!rc && i < l.count && i < BATCH) {
		if (op.cpu->ops->read(op.cpu, l.va + (uint64_t)i * size, item, size, NULL)) {
			rc = -EFAULT;
			break;
		}
		pv_lock(d);
		rc = fn(&op, item);
		pv_unlock(d);
		i += !rc;
	}
	pv_lock(d);
	pv_roots_commit(&op);
	pv_unlock(d);
	list_end(&l, op.cpu, call, size, i, !rc && i < l.count);
	return rc;
}

/* ---- mmu_update ---- */

int pv_update_one(struct pv_op *op, const struct mmu_update *req)
{
	uint64_t gpa = req->ptr & ~7ull, mfn = gpa >> XEN_PAGE_SHIFT;
	uint32_t cmd = req->ptr & 7;
	enum pv_use use;

	if (cmd > MMU_PT_UPDATE_NO_TRANSLATE)
		return -ENOSYS;
	if (!pv_frame_ok(op->d, mfn))
		return -EINVAL;
	if (cmd == MMU_MACHPHYS_UPDATE) {
		__atomic_store_n(&op->d->m2p[mfn], req->val, __ATOMIC_RELAXED);
		return 0;
	}
	use = pv_use_of(op->d, mfn);
	if (pv_is_table(use))
		return pv_entry_set(op, use, gpa, req->val, cmd == MMU_PT_UPDATE_PRESERVE_AD, NULL);
	/* In a page that is no table, or not yet, it is eight bytes. */
	if (use == PV_DESC)
		return -EINVAL;
	op->cpu->ops->pte_write(op->cpu, gpa, req->val);
	return 0;
}

static int update_item(struct pv_op *op, const void *item)
{
	return pv_update_one(op, item);
}

/* args: list, count, pdone, domain of the pages and, plus one, of the tables. */
int64_t pv_hc_mmu_update(void *opaque, struct gamut_hypercall *call)
{
	uint32_t tables = (uint32_t)call->args[3] >> 16;
	int rc = 0;

	if (call->cpl)
		return -EPERM;
	if (tables)
		rc = pv_foreign(opaque, tables - 1);
	return rc ? rc : pv_list(opaque, call, sizeof(struct mmu_update), update_item);
}
