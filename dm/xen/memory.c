/* SPDX-License-Identifier: MIT */
#include "dm/xen/memory.h"

#include <errno.h>
#include <string.h>

#define GFN_MAX (UINT64_MAX >> XEN_PAGE_SHIFT)

static uint64_t gpa_of(uint64_t gfn)
{
	return gfn << XEN_PAGE_SHIFT;
}

/* ---- host pages in the guest's map ------------------------------------------ */

static bool has_shared_info(const struct xen_memory *m, uint64_t gpa)
{
	return m->intr && m->intr->shared_info_where(m->intr_self) == gpa;
}

/* Takes away what of ours is mapped at gpa. -ENOENT when nothing is. Under m->lock. */
static int unplace(struct xen_memory *m, uint64_t gpa)
{
	if (has_shared_info(m, gpa))
		return m->intr->shared_info_place(m->intr_self, GAMUT_GPA_NONE);
	return grant_unplace(m->grants, gpa);
}

static int place_shared_info(struct xen_memory *m, uint64_t idx, uint64_t gpa)
{
	if (idx != 0 || !m->intr)
		return -EINVAL;
	if (!has_shared_info(m, gpa))
		unplace(m, gpa);
	return m->intr->shared_info_place(m->intr_self, gpa);
}

static int place_grant(struct xen_memory *m, uint64_t idx, uint64_t gpa)
{
	/* Also the way to name frames of status, which is of version 2. */
	if (idx >= GRANT_FRAMES_MAX)
		return -EINVAL;
	if (m->grants->where[idx] != gpa)
		unplace(m, gpa);
	return grant_place(m->grants, idx, gpa);
}

static int64_t add_one(struct xen_memory *m, uint32_t space, uint64_t idx, uint64_t gfn)
{
	int64_t rc;

	if (gfn > GFN_MAX)
		return -EINVAL;
	pthread_mutex_lock(&m->lock);
	switch (space) {
	case XENMAPSPACE_shared_info:
		rc = place_shared_info(m, idx, gpa_of(gfn));
		break;
	case XENMAPSPACE_grant_table:
		rc = place_grant(m, idx, gpa_of(gfn));
		break;
	case XENMAPSPACE_gmfn:
	case XENMAPSPACE_gmfn_range:
		rc = xen_unimplemented(m->env);
		break;
	case XENMAPSPACE_gmfn_foreign:
		rc = -EPERM;
		break;
	default:
		rc = -EINVAL;
	}
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static int64_t op_add_to_physmap(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = {
		16, 24, 5, { { 0, 2, 0, 2 }, { 2, 2, 2, 2 }, { 4, 4, 4, 4 }, { 8, 4, 8, 8 }, { 12, 4, 16, 8 } }
	};
	struct xen_memory *m = self;
	struct xen_add_to_physmap add;
	int64_t rc;

	if (xen_get(m->env, call, arg, &add, &layout))
		return -EFAULT;
	rc = xen_memory_domain(m, add.domid);
	return rc ? rc : add_one(m, add.space, add.idx, add.gpfn);
}

static int64_t op_add_batch(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = {
		20, 32, 7,
		{ { 0, 2, 0, 2 }, { 2, 2, 2, 2 }, { 4, 2, 4, 2 }, { 6, 2, 6, 2 }, { 8, 4, 8, 8 }, { 12, 4, 16, 8 },
		  { 16, 4, 24, 8 } }
	};
	struct xen_memory *m = self;
	struct xen_add_to_physmap_batch add;
	uint64_t idx, gfn;
	int64_t rc;

	if (xen_get(m->env, call, arg, &add, &layout))
		return -EFAULT;
	rc = xen_memory_domain(m, add.domid);
	for (uint32_t i = 0; i < add.size && !rc; i++) {
		if (xen_get_long(m->env, call, (uintptr_t)add.idxs.p, i, &idx) ||
		    xen_get_long(m->env, call, (uintptr_t)add.gpfns.p, i, &gfn))
			return -EFAULT;
		int32_t err = (int32_t)add_one(m, add.space, idx, gfn);

		rc = xen_put_raw(m->env, call, (uintptr_t)add.errs.p + i * sizeof(err), &err, sizeof(err));
	}
	return rc;
}

/* ---- RAM -------------------------------------------------------------------------- */

static bool release_pages(struct xen_memory *m, uint64_t *gfn, uint64_t n)
{
	if (*gfn > GFN_MAX - n || m->env->host->mem_release(m->env->inst, gpa_of(*gfn), n << XEN_PAGE_SHIFT))
		return false;
	__atomic_fetch_add(&m->released, n, __ATOMIC_RELAXED);
	return true;
}

static bool populate_pages(struct xen_memory *m, uint64_t *gfn, uint64_t n)
{
	if (*gfn > GFN_MAX - n || n > __atomic_load_n(&m->released, __ATOMIC_RELAXED) ||
	    m->env->host->mem_populate(m->env->inst, gpa_of(*gfn), n << XEN_PAGE_SHIFT))
		return false;
	__atomic_fetch_sub(&m->released, n, __ATOMIC_RELAXED);
	return true;
}

static int64_t op_remove_from_physmap(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = { 8, 16, 2, { { 0, 2, 0, 2 }, { 4, 4, 8, 8 } } };
	struct xen_memory *m = self;
	struct xen_remove_from_physmap remove;
	uint64_t gfn;
	int64_t rc;

	if (xen_get(m->env, call, arg, &remove, &layout))
		return -EFAULT;
	rc = xen_memory_domain(m, remove.domid);
	if (rc)
		return rc;
	if (remove.gpfn > GFN_MAX)
		return -ENOENT;
	gfn = remove.gpfn;
	pthread_mutex_lock(&m->lock);
	rc = unplace(m, gpa_of(gfn));
	if (rc == -ENOENT && release_pages(m, &gfn, 1))
		rc = 0;
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static int64_t op_decrease(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_extents how = { .in = true, .one = release_pages };

	return xen_memory_extents(self, call, arg, &how);
}

static int64_t op_populate(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_extents how = { .in = true, .one = populate_pages };

	return xen_memory_extents(self, call, arg, &how);
}

/* Gives pages without a place, which a translated guest cannot use: none. */
static int64_t op_increase(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_memory *m = self;
	uint64_t word;

	return xen_get_raw(m->env, call, arg, &word, sizeof(word)) ? -EFAULT : 0;
}

/* Machine frames of a translated guest cannot be exchanged. */
static int64_t op_exchange(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	return -EOPNOTSUPP;
}

static int64_t op_maximum_gpfn(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_memory *m = self;
	int64_t rc = xen_memory_get_domain(m, call, arg);

	return rc ? rc : (int64_t)m->max_gfn;
}

static const xen_subop_fn ops[] = {
	[XENMEM_increase_reservation] = op_increase,
	[XENMEM_decrease_reservation] = op_decrease,
	[XENMEM_maximum_ram_page] = xen_memory_ask_maximum_ram_page,
	[XENMEM_current_reservation] = xen_memory_ask_current_reservation,
	[XENMEM_maximum_reservation] = xen_memory_ask_maximum_reservation,
	[XENMEM_populate_physmap] = op_populate,
	[XENMEM_add_to_physmap] = op_add_to_physmap,
	[XENMEM_memory_map] = xen_memory_ask_memory_map,
	[XENMEM_exchange] = op_exchange,
	[XENMEM_set_memory_map] = xen_memory_denied,
	[XENMEM_maximum_gpfn] = op_maximum_gpfn,
	[XENMEM_remove_from_physmap] = op_remove_from_physmap,
	[XENMEM_set_pod_target] = xen_memory_denied,
	[XENMEM_get_pod_target] = xen_memory_denied,
	[XENMEM_add_to_physmap_batch] = op_add_batch,
	[XENMEM_get_vnumainfo] = xen_memory_no_vnuma,
	[XENMEM_acquire_resource] = xen_memory_denied,
	/* machine_memory_map, machphys_*: not for HVM guests, as on Xen */
};

int64_t xen_memory_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_memory *m = opaque;

	return xen_dispatch(m->env, ops, sizeof(ops) / sizeof(ops[0]), m, call, xen_memory_command(call),
	                    call->args[1]);
}

/* ---- life cycle -------------------------------------------------------------------------- */

int xen_memory_map(const struct gamut_host *host, struct gamut_inst *inst, const struct xen_e820 *extra,
                   uint32_t n_extra, struct xen_e820 *map)
{
	struct gamut_mem_range ram[XEN_E820_MAX];
	uint32_t n = host->mem_ranges(inst, ram, XEN_E820_MAX), total = 0;

	if (n > XEN_E820_MAX || n_extra > XEN_E820_MAX - n)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		for (; n_extra && extra->addr < ram[i].gpa; n_extra--)
			map[total++] = *extra++;
		map[total++] = (struct xen_e820){ .addr = ram[i].gpa, .size = ram[i].size, .type = XEN_E820_RAM };
	}
	for (; n_extra; n_extra--)
		map[total++] = *extra++;
	return (int)total;
}

int xen_memory_init(struct xen_memory *m, const struct xen_env *env, struct grant_table *grants,
                    const struct xen_e820 *extra, uint32_t n_extra)
{
	int n;

	*m = (struct xen_memory){ .env = env, .grants = grants };
	n = xen_memory_map(env->host, env->inst, extra, n_extra, m->map);
	if (n < 0)
		return n;
	m->n_map = (uint32_t)n;
	for (uint32_t i = 0; i < m->n_map; i++) {
		if (m->map[i].type != XEN_E820_RAM)
			continue;
		m->total += m->map[i].size >> XEN_PAGE_SHIFT;
		m->max_gfn = ((m->map[i].addr + m->map[i].size) >> XEN_PAGE_SHIFT) - 1;
	}
	pthread_mutex_init(&m->lock, NULL);
	return 0;
}

void xen_memory_finish(struct xen_memory *m)
{
	pthread_mutex_destroy(&m->lock);
}

void xen_memory_reset(struct xen_memory *m)
{
	m->released = 0;
}
