/* SPDX-License-Identifier: MIT */
/*
 * GNTTABOP_*: what the guest asks of grant tables. The list of sub-operations
 * is the one Xen has for HVM guests. Version 2 is refused as by a Xen that is
 * run with version 1 only.
 *
 * Mapping. A guest could map only what another domain granted to it; there is
 * no other domain that grants, so each map is answered with a bad reference.
 */
#include "dm/xen/grant.h"

#include <errno.h>
#include <string.h>

/* Elements of an array that are served before looking up; then the call is restarted behind them. */
#define BATCH 64u

struct batch {
	const struct xen_layout *layout;
	/* Fills in the status of one element. Not 0: the call ends with that. */
	int (*one)(struct grant_table *gt, struct gamut_hypercall *call, void *element);
};

static int64_t run_batch(struct grant_table *gt, struct gamut_hypercall *call, const struct batch *batch)
{
	uint32_t count = (uint32_t)call->args[2], n = count < BATCH ? count : BATCH;
	uint64_t element[XEN_LAYOUT_MAX / 8] = { 0 };

	for (uint32_t i = 0; i < n; i++) {
		uint64_t va = call->args[1] + i * xen_stride(call, batch->layout);
		int rc;

		if (xen_get(gt->env, call, va, element, batch->layout))
			return -EFAULT;
		rc = batch->one(gt, call, element);
		if (rc)
			return rc;
		if (xen_put(gt->env, call, va, element, batch->layout))
			return -EFAULT;
	}
	if (n < count) {
		call->args[1] += n * xen_stride(call, batch->layout);
		call->args[2] = count - n;
		call->restart = 1;
	}
	return 0;
}

/* ---- table set-up -------------------------------------------------------------- */

static int domain_status(const struct grant_table *gt, uint32_t domid)
{
	if (xen_env_self(gt->env, domid))
		return GNTST_okay;
	return domid == 0 ? GNTST_permission_denied : GNTST_bad_domain;
}

static int64_t op_query_size(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct grant_table *gt = self;
	struct gnttab_query_size query;

	if (call->args[2] != 1)
		return -EINVAL;
	if (xen_get_raw(gt->env, call, arg, &query, sizeof(query)))
		return -EFAULT;
	query.status = (int16_t)domain_status(gt, query.dom);
	if (query.status == GNTST_okay) {
		query.nr_frames = __atomic_load_n(&gt->n_frames, __ATOMIC_ACQUIRE);
		query.max_nr_frames = GRANT_FRAMES_MAX;
	}
	return xen_put_raw(gt->env, call, arg, &query, sizeof(query));
}

static int fill_frames(struct grant_table *gt, const struct gamut_hypercall *call,
                       const struct gnttab_setup_table *setup)
{
	uint64_t list = (uintptr_t)setup->frame_list.p;
	int rc = 0;

	pthread_mutex_lock(&gt->lock);
	for (uint32_t i = 0; i < setup->nr_frames && !rc; i++) {
		uint64_t where = gt->where[i];

		/* Frames that the guest has not mapped have no number that it could use. */
		rc = xen_put_long(gt->env, call, list, i,
		                  where == GAMUT_GPA_NONE ? UINT64_MAX : where >> XEN_PAGE_SHIFT);
	}
	pthread_mutex_unlock(&gt->lock);
	return rc;
}

static int64_t op_setup_table(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = {
		16, 24, 4, { { 0, 2, 0, 2 }, { 4, 4, 4, 4 }, { 8, 2, 8, 2 }, { 12, 4, 16, 8 } }
	};
	struct grant_table *gt = self;
	struct gnttab_setup_table setup;

	if (call->args[2] != 1)
		return -EINVAL;
	if (xen_get(gt->env, call, arg, &setup, &layout))
		return -EFAULT;
	setup.status = (int16_t)domain_status(gt, setup.dom);
	if (setup.status == GNTST_okay && (setup.nr_frames > GRANT_FRAMES_MAX || grant_grow(gt, setup.nr_frames)))
		setup.status = GNTST_general_error;
	if (setup.status == GNTST_okay && fill_frames(gt, call, &setup))
		return -EFAULT;
	return xen_put(gt->env, call, arg, &setup, &layout);
}

static int64_t op_set_version(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct grant_table *gt = self;
	struct gnttab_set_version set;

	if (xen_get_raw(gt->env, call, arg, &set, sizeof(set)))
		return -EFAULT;
	if (set.version == 2)
		return xen_unimplemented(gt->env);
	if (set.version != 1)
		return -EINVAL;
	return xen_put_raw(gt->env, call, arg, &set, sizeof(set));
}

static int64_t op_get_version(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct grant_table *gt = self;
	struct gnttab_get_version get;

	if (xen_get_raw(gt->env, call, arg, &get, sizeof(get)))
		return -EFAULT;
	if (!xen_env_self(gt->env, get.dom))
		return get.dom == 0 ? -EPERM : -ESRCH;
	get.version = 1;
	return xen_put_raw(gt->env, call, arg, &get, sizeof(get));
}

/* ---- mapping ---------------------------------------------------------------------- */

static int map_one(struct grant_table *gt, struct gamut_hypercall *call, void *element)
{
	struct gnttab_map_grant_ref *map = element;

	(void)call;
	xen_count(gt->refused);
	if (!xen_env_self(gt->env, map->dom) && map->dom != 0)
		map->status = GNTST_bad_domain;
	else
		map->status = map->dom == 0 ? GNTST_bad_gntref : GNTST_general_error;
	return 0;
}

static int64_t op_map(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = { 32, 32, 1, { { 0, 32, 0, 32 } } };
	static const struct batch batch = { &layout, map_one };

	(void)arg;
	return run_batch(self, call, &batch);
}

static int unmap_one(struct grant_table *gt, struct gamut_hypercall *call, void *element)
{
	struct gnttab_unmap_grant_ref *unmap = element;

	(void)gt;
	(void)call;
	unmap->status = GNTST_bad_handle;
	return 0;
}

static int64_t op_unmap(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = { 24, 24, 1, { { 0, 24, 0, 24 } } };
	static const struct batch batch = { &layout, unmap_one };

	(void)arg;
	return run_batch(self, call, &batch);
}

/* ---- copy -------------------------------------------------------------------------- */

/* One end of a copy: the guest physical address, and the grant held for it. */
struct copy_end {
	uint64_t gpa;
	bool granted;
	uint32_t ref;
};

static int end_open(struct grant_table *gt, const struct gnttab_copy_ptr *ptr, bool is_ref, bool write,
                    struct copy_end *end)
{
	uint32_t frame;
	int status;

	*end = (struct copy_end){ .granted = false };
	if (!is_ref) {
		if (ptr->domid != DOMID_SELF)
			return GNTST_permission_denied;
		if (ptr->u.gmfn > UINT64_MAX >> XEN_PAGE_SHIFT)
			return GNTST_bad_page;
		end->gpa = ptr->u.gmfn << XEN_PAGE_SHIFT | ptr->offset;
		return GNTST_okay;
	}
	if (!xen_env_self(gt->env, ptr->domid))
		return ptr->domid == 0 ? GNTST_bad_gntref : GNTST_bad_domain;
	status = grant_acquire(gt, ptr->u.ref, gt->env->domid, write, &frame);
	if (status != GNTST_okay)
		return status;
	*end = (struct copy_end){ (uint64_t)frame << XEN_PAGE_SHIFT | ptr->offset, true, ptr->u.ref };
	return GNTST_okay;
}

static void end_close(struct grant_table *gt, const struct copy_end *end)
{
	if (end->granted)
		grant_release(gt, end->ref);
}

static int copy_bytes(struct grant_table *gt, const struct copy_end *from, const struct copy_end *to, uint16_t len)
{
	const struct gamut_host *host = gt->env->host;
	uint8_t buf[XEN_PAGE_SIZE];

	if (host->mem_read(gt->env->inst, from->gpa, buf, len) || host->mem_write(gt->env->inst, to->gpa, buf, len))
		return GNTST_bad_page;
	return GNTST_okay;
}

static int copy_one(struct grant_table *gt, struct gamut_hypercall *call, void *element)
{
	struct gnttab_copy *copy = element;
	struct copy_end from, to;
	int status;

	(void)call;
	if (copy->source.offset + copy->len > XEN_PAGE_SIZE || copy->dest.offset + copy->len > XEN_PAGE_SIZE) {
		copy->status = GNTST_bad_copy_arg;
		return 0;
	}
	status = end_open(gt, &copy->source, copy->flags & GNTCOPY_source_gref, false, &from);
	if (status == GNTST_okay) {
		status = end_open(gt, &copy->dest, copy->flags & GNTCOPY_dest_gref, true, &to);
		if (status == GNTST_okay) {
			status = copy_bytes(gt, &from, &to, copy->len);
			end_close(gt, &to);
		}
		end_close(gt, &from);
	}
	copy->status = (int16_t)status;
	return 0;
}

static int64_t op_copy(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = {
		24, 40, 9,
		{ { 0, 4, 0, 8 }, { 4, 2, 8, 2 }, { 6, 2, 10, 2 }, { 8, 4, 16, 8 }, { 12, 2, 24, 2 }, { 14, 2, 26, 2 },
		  { 16, 2, 32, 2 }, { 18, 2, 34, 2 }, { 20, 2, 36, 2 } }
	};
	static const struct batch batch = { &layout, copy_one };

	(void)arg;
	return run_batch(self, call, &batch);
}

/* ---- swap --------------------------------------------------------------------------- */

static void lock_two(struct grant_table *gt, uint32_t a, uint32_t b)
{
	uint32_t i = a % GRANT_LOCKS, j = b % GRANT_LOCKS;

	pthread_mutex_lock(&gt->user_lock[i < j ? i : j]);
	if (i != j)
		pthread_mutex_lock(&gt->user_lock[i < j ? j : i]);
}

static void unlock_two(struct grant_table *gt, uint32_t a, uint32_t b)
{
	uint32_t i = a % GRANT_LOCKS, j = b % GRANT_LOCKS;

	pthread_mutex_unlock(&gt->user_lock[i]);
	if (i != j)
		pthread_mutex_unlock(&gt->user_lock[j]);
}

static int swap_one(struct grant_table *gt, struct gamut_hypercall *call, void *element)
{
	struct gnttab_swap_grant_ref *swap = element;
	uint32_t n = __atomic_load_n(&gt->n_frames, __ATOMIC_ACQUIRE) * GRANT_PER_FRAME;
	uint32_t a = swap->ref_a, b = swap->ref_b;
	struct grant_entry_v1 keep;

	(void)call;
	if (a >= n || b >= n) {
		swap->status = GNTST_bad_gntref;
		return 0;
	}
	lock_two(gt, a, b);
	swap->status = gt->user[a].users || gt->user[b].users ? GNTST_eagain : GNTST_okay;
	if (swap->status == GNTST_okay) {
		memcpy(&keep, &gt->entries[a], sizeof(keep));
		memcpy(&gt->entries[a], &gt->entries[b], sizeof(keep));
		memcpy(&gt->entries[b], &keep, sizeof(keep));
	}
	unlock_two(gt, a, b);
	return 0;
}

static int64_t op_swap(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = { 12, 12, 1, { { 0, 12, 0, 12 } } };
	static const struct batch batch = { &layout, swap_one };

	(void)arg;
	return run_batch(self, call, &batch);
}

static const xen_subop_fn ops[] = {
	[GNTTABOP_map_grant_ref] = op_map,
	[GNTTABOP_unmap_grant_ref] = op_unmap,
	[GNTTABOP_setup_table] = op_setup_table,
	[GNTTABOP_copy] = op_copy,
	[GNTTABOP_query_size] = op_query_size,
	[GNTTABOP_set_version] = op_set_version,
	[GNTTABOP_get_version] = op_get_version,
	[GNTTABOP_swap_grant_ref] = op_swap,
};

int64_t grant_table_op(void *opaque, struct gamut_hypercall *call)
{
	struct grant_table *gt = opaque;

	/* Xen takes the count as signed. */
	if (!call->cpl && (int32_t)call->args[2] < 0)
		return -EINVAL;
	return xen_dispatch(gt->env, ops, sizeof(ops) / sizeof(ops[0]), gt, call, (uint32_t)call->args[0],
	                    call->args[1]);
}
