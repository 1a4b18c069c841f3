/* SPDX-License-Identifier: MIT */
/* The parts of memory_op that are the same for translated and for PV guests. */
#include "dm/xen/memory.h"

#include <errno.h>

#define MEMOP_EXTENT_SHIFT 6 /* the extent to go on with is kept above the sub-operation */
#define MEMOP_CMD_MASK ((1u << MEMOP_EXTENT_SHIFT) - 1)

uint32_t xen_memory_command(const struct gamut_hypercall *call)
{
	return call->args[0] & MEMOP_CMD_MASK;
}

int64_t xen_memory_domain(const struct xen_memory *m, uint32_t domid)
{
	if (xen_env_self(m->env, domid))
		return 0;
	return domid == 0 ? -EPERM : -ESRCH;
}

/* ---- extents ------------------------------------------------------------------------------ */

static bool one_extent(struct xen_memory *m, const struct gamut_hypercall *call,
                       const struct xen_memory_reservation *res, uint64_t i, const struct xen_extents *how)
{
	uint64_t list = (uintptr_t)res->extent_start.p, frame = UINT64_MAX;
	bool ok;

	if (how->in && xen_get_long(m->env, call, list, i, &frame))
		return false;
	pthread_mutex_lock(&m->lock);
	ok = how->one(m, &frame, 1ull << res->extent_order);
	pthread_mutex_unlock(&m->lock);
	/* A caller that names no list does not want to know. */
	return ok && (!how->out || !list || !xen_put_long(m->env, call, list, i, frame));
}

int64_t xen_memory_extents(struct xen_memory *m, struct gamut_hypercall *call, uint64_t arg,
                           const struct xen_extents *how)
{
	static const struct xen_layout layout = {
		20, 32, 5, { { 0, 4, 0, 8 }, { 4, 4, 8, 8 }, { 8, 4, 16, 4 }, { 12, 4, 20, 4 }, { 16, 2, 24, 2 } }
	};
	uint64_t mask = call->long_mode ? UINT64_MAX : UINT32_MAX, i = (call->args[0] & mask) >> MEMOP_EXTENT_SHIFT;
	uint64_t pages = 0;
	struct xen_memory_reservation res;

	if (xen_get(m->env, call, arg, &res, &layout))
		return (int64_t)i;
	if (res.nr_extents > mask >> MEMOP_EXTENT_SHIFT || res.extent_order > XEN_MEMORY_ORDER ||
	    !xen_env_self(m->env, res.domid))
		return (int64_t)i;
	for (; i < res.nr_extents; i++, pages += 1ull << res.extent_order) {
		if (pages >= XEN_MEMORY_BATCH) {
			call->args[0] = i << MEMOP_EXTENT_SHIFT | (call->args[0] & MEMOP_CMD_MASK);
			call->restart = 1;
			return (int64_t)i;
		}
		if (!one_extent(m, call, &res, i, how))
			break;
	}
	return (int64_t)i;
}

/* ---- questions ------------------------------------------------------------------------ */

int64_t xen_memory_get_domain(struct xen_memory *m, struct gamut_hypercall *call, uint64_t arg)
{
	domid_t domid;

	if (xen_get_raw(m->env, call, arg, &domid, sizeof(domid)))
		return -EFAULT;
	return xen_memory_domain(m, domid);
}

int64_t xen_memory_ask_maximum_ram_page(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_memory *m = self;

	(void)call;
	(void)arg;
	return (int64_t)m->max_gfn;
}

int64_t xen_memory_ask_current_reservation(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_memory *m = self;
	int64_t rc = xen_memory_get_domain(m, call, arg);

	return rc ? rc : (int64_t)(m->total - __atomic_load_n(&m->released, __ATOMIC_RELAXED));
}

int64_t xen_memory_ask_maximum_reservation(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_memory *m = self;
	int64_t rc = xen_memory_get_domain(m, call, arg);

	return rc ? rc : (int64_t)m->total;
}

int64_t xen_memory_ask_memory_map(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = { 8, 16, 2, { { 0, 4, 0, 4 }, { 4, 4, 8, 8 } } };
	struct xen_memory *m = self;
	struct xen_memory_map map;

	if (xen_get(m->env, call, arg, &map, &layout))
		return -EFAULT;
	if (map.nr_entries > m->n_map)
		map.nr_entries = m->n_map;
	if (xen_put_raw(m->env, call, (uintptr_t)map.buffer.p, m->map, map.nr_entries * sizeof(m->map[0])))
		return -EFAULT;
	return xen_put(m->env, call, arg, &map, &layout);
}

/* For a tool stack or a device model, not for the guest itself. */
int64_t xen_memory_denied(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	return -EPERM;
}

/* The guest has no virtual NUMA. */
int64_t xen_memory_no_vnuma(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	return -EOPNOTSUPP;
}
