/* SPDX-License-Identifier: MIT */
#include "dm/xen/pv/memory-op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX (1u << XEN_MEMORY_ORDER) /* of an extent, and so of a chunk of an exchange */
#define NONE UINT64_MAX

static uint64_t gpa_of(uint64_t mfn)
{
	return mfn << XEN_PAGE_SHIFT;
}

/* ---- the set of spare frames; under m->lock -------------------------------------- */

static bool is_spare(const struct xen_memory *m, uint64_t mfn)
{
	return m->pv.spare[mfn / 64] >> mfn % 64 & 1;
}

static void set_spare(struct xen_memory *m, uint64_t mfn, bool spare)
{
	uint64_t bit = 1ull << mfn % 64;

	m->pv.spare[mfn / 64] = spare ? m->pv.spare[mfn / 64] | bit : m->pv.spare[mfn / 64] & ~bit;
	if (spare && mfn < m->pv.lowest)
		m->pv.lowest = mfn;
}

static void set_spares(struct xen_memory *m, uint64_t mfn, uint64_t n, bool spare)
{
	for (uint64_t i = 0; i < n; i++)
		set_spare(m, mfn + i, spare);
}

static bool all_spare(const struct xen_memory *m, uint64_t mfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (!is_spare(m, mfn + i))
			return false;
	return true;
}

/* Takes n spare frames, a power of two, side by side and aligned. NONE when there are no such. */
static uint64_t take_spares(struct xen_memory *m, uint64_t n)
{
	uint64_t end = m->max_gfn + 1, mfn = m->pv.lowest & ~(n - 1), next;

	for (; mfn < end && n <= end - mfn; mfn = next) {
		bool nothing = mfn % 64 == 0 && !m->pv.spare[mfn / 64];

		next = mfn + (nothing && n < 64 ? 64 : n);
		if (nothing || !all_spare(m, mfn, n))
			continue;
		set_spares(m, mfn, n, false);
		if (n == 1)
			m->pv.lowest = mfn + 1;
		return mfn;
	}
	if (n == 1)
		m->pv.lowest = end;
	return NONE;
}

/* ---- reservations ------------------------------------------------------------------ */

/* A frame that the guest has and may part with. */
static bool can_go(const struct xen_memory *m, uint64_t mfn)
{
	if (mfn > m->max_gfn || mfn - m->pv.rings < m->pv.n_rings || is_spare(m, mfn))
		return false;
	return m->pv.monitor->page_free(m->pv.monitor_self, mfn);
}

static bool release(struct xen_memory *m, uint64_t mfn, uint64_t n)
{
	if (m->env->host->mem_release(m->env->inst, gpa_of(mfn), n << XEN_PAGE_SHIFT))
		return false;
	for (uint64_t i = 0; i < n; i++)
		m->pv.monitor->page_gone(m->pv.monitor_self, mfn + i);
	return true;
}

/* pfn NONE: the frames have no place in the guest's list yet. */
static bool populate(struct xen_memory *m, uint64_t mfn, uint64_t n, uint64_t pfn)
{
	if (m->env->host->mem_populate(m->env->inst, gpa_of(mfn), n << XEN_PAGE_SHIFT))
		return false;
	for (uint64_t i = 0; i < n; i++)
		m->pv.monitor->page_here(m->pv.monitor_self, mfn + i, pfn == NONE ? NONE : pfn + i);
	return true;
}

static bool give_back(struct xen_memory *m, uint64_t *mfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (*mfn > m->max_gfn || !can_go(m, *mfn + i))
			return false;
	if (!release(m, *mfn, n))
		return false;
	set_spares(m, *mfn, n, true);
	__atomic_fetch_add(&m->released, n, __ATOMIC_RELAXED);
	return true;
}

/* *frame is a page number, or NONE, and then a machine frame. */
static bool get_back(struct xen_memory *m, uint64_t *frame, uint64_t n)
{
	uint64_t mfn = take_spares(m, n);

	if (mfn == NONE)
		return false;
	if (!populate(m, mfn, n, *frame)) {
		set_spares(m, mfn, n, true);
		return false;
	}
	*frame = mfn;
	__atomic_fetch_sub(&m->released, n, __ATOMIC_RELAXED);
	return true;
}

static int64_t op_decrease(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_extents how = { .in = true, .one = give_back };

	return xen_memory_extents(self, call, arg, &how);
}

static int64_t op_populate(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_extents how = { .in = true, .out = true, .one = get_back };

	return xen_memory_extents(self, call, arg, &how);
}

static int64_t op_increase(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_extents how = { .out = true, .one = get_back };

	return xen_memory_extents(self, call, arg, &how);
}

/* ---- exchange ------------------------------------------------------------------------ */

/*
 * Extents are exchanged in chunks: as many of the smaller ones as make up one
 * of the larger. Either all of a chunk is exchanged or nothing of it.
 */
struct chunk {
	uint32_t in_shift, out_shift;     /* extents in a chunk: 1 << these */
	uint64_t in_pages, out_pages;     /* of an extent */
	uint64_t in[PAGES_MAX], out[PAGES_MAX], pfn[PAGES_MAX]; /* first frames of extents */
};

static int64_t check_exchange(const struct xen_memory *m, const struct xen_memory_exchange *x)
{
	const struct xen_memory_reservation *in = &x->in, *out = &x->out;
	uint32_t order = in->extent_order > out->extent_order ? in->extent_order : out->extent_order;

	if (in->domid != out->domid || x->nr_exchanged > in->nr_extents)
		return -EINVAL;
	if (order > XEN_MEMORY_ORDER)
		return -EPERM;
	if (in->nr_extents > UINT64_MAX >> in->extent_order || out->nr_extents > UINT64_MAX >> out->extent_order ||
	    in->nr_extents << in->extent_order != out->nr_extents << out->extent_order)
		return -EINVAL;
	return xen_memory_domain(m, in->domid);
}

static void chunk_init(struct chunk *c, const struct xen_memory_exchange *x)
{
	uint32_t in = x->in.extent_order, out = x->out.extent_order;

	c->in_shift = out > in ? out - in : 0;
	c->out_shift = in > out ? in - out : 0;
	c->in_pages = 1ull << in;
	c->out_pages = 1ull << out;
}

/* The frames of chunk i as the guest lists them. 0 or -EFAULT. */
static int read_chunk(const struct xen_memory *m, const struct gamut_hypercall *call,
                      const struct xen_memory_exchange *x, uint64_t i, struct chunk *c)
{
	int rc = 0;

	for (uint64_t j = 0; j < 1ull << c->in_shift && !rc; j++)
		rc = xen_get_long(m->env, call, (uintptr_t)x->in.extent_start.p, (i << c->in_shift) + j, &c->in[j]);
	for (uint64_t j = 0; j < 1ull << c->out_shift && !rc; j++)
		rc = xen_get_long(m->env, call, (uintptr_t)x->out.extent_start.p, (i << c->out_shift) + j, &c->pfn[j]);
	return rc;
}

static int write_chunk(const struct xen_memory *m, const struct gamut_hypercall *call,
                       const struct xen_memory_exchange *x, uint64_t i, const struct chunk *c)
{
	int rc = 0;

	for (uint64_t j = 0; j < 1ull << c->out_shift && !rc; j++)
		rc = xen_put_long(m->env, call, (uintptr_t)x->out.extent_start.p, (i << c->out_shift) + j, c->out[j]);
	return rc;
}

/* Marks the first n extents that come in as spare or not; true when all could be. */
static bool mark_in(struct xen_memory *m, const struct chunk *c, uint64_t n, bool spare)
{
	for (uint64_t j = 0; j < n; j++)
		for (uint64_t k = 0; k < c->in_pages; k++) {
			if (spare && (c->in[j] > m->max_gfn || !can_go(m, c->in[j] + k))) {
				set_spares(m, c->in[j], k, false);
				mark_in(m, c, j, false);
				return false;
			}
			set_spare(m, c->in[j] + k, spare);
		}
	return true;
}

static bool take_out(struct xen_memory *m, struct chunk *c)
{
	for (uint64_t j = 0; j < 1ull << c->out_shift; j++) {
		c->out[j] = take_spares(m, c->out_pages);
		if (c->out[j] != NONE)
			continue;
		while (j--)
			set_spares(m, c->out[j], c->out_pages, true);
		return false;
	}
	return true;
}

/*
 * Chosen before anything is done, so that a failure leaves the guest's pages
 * as they are. The frames that come in count as spare for the choice.
 */
static int choose(struct xen_memory *m, struct chunk *c)
{
	uint64_t n_in = 1ull << c->in_shift;

	if (!mark_in(m, c, n_in, true))
		return -EINVAL;
	if (take_out(m, c))
		return 0;
	mark_in(m, c, n_in, false);
	return -ENOMEM;
}

static int exchange_chunk(struct xen_memory *m, struct chunk *c)
{
	int rc = choose(m, c);

	for (uint64_t j = 0; j < 1ull << c->in_shift && !rc; j++)
		rc = release(m, c->in[j], c->in_pages) ? 0 : -ENOMEM;
	for (uint64_t j = 0; j < 1ull << c->out_shift && !rc; j++)
		rc = populate(m, c->out[j], c->out_pages, c->pfn[j]) ? 0 : -ENOMEM;
	return rc;
}

static int64_t run_exchange(struct xen_memory *m, struct gamut_hypercall *call, struct xen_memory_exchange *x,
                            struct chunk *c)
{
	uint64_t i = x->nr_exchanged >> c->in_shift, n = x->in.nr_extents >> c->in_shift, pages = 0;
	int64_t rc = 0;

	for (; i < n && !rc && !call->restart; i++) {
		rc = read_chunk(m, call, x, i, c);
		if (rc)
			break;
		pthread_mutex_lock(&m->lock);
		rc = exchange_chunk(m, c);
		pthread_mutex_unlock(&m->lock);
		if (rc)
			break;
		rc = write_chunk(m, call, x, i, c);
		pages += c->in_pages << c->in_shift;
		call->restart = pages >= XEN_MEMORY_BATCH && i + 1 < n && !rc;
	}
	x->nr_exchanged = i << c->in_shift;
	return rc;
}

static int64_t op_exchange(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_memory *m = self;
	struct xen_memory_exchange x;
	struct chunk *c;
	int64_t rc;

	if (xen_get_raw(m->env, call, arg, &x, sizeof(x)))
		return -EFAULT;
	rc = check_exchange(m, &x);
	if (rc)
		return rc;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	chunk_init(c, &x);
	rc = run_exchange(m, call, &x, c);
	free(c);
	/* A restart goes on from this number. */
	if (xen_put_raw(m->env, call, arg + offsetof(struct xen_memory_exchange, nr_exchanged), &x.nr_exchanged,
	                sizeof(x.nr_exchanged))) {
		call->restart = 0;
		return -EFAULT;
	}
	return rc;
}

/* ---- questions --------------------------------------------------------------------------- */

static int64_t op_machphys_mapping(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_memory *m = self;
	uint64_t start, end, max;

	m->pv.monitor->machphys(m->pv.monitor_self, &start, &end, &max);
	struct xen_machphys_mapping map = { .v_start = start, .v_end = end, .max_mfn = max };

	return xen_put_raw(m->env, call, arg, &map, sizeof(map));
}

/* A PV guest says itself, in shared_info, how many pages it counts. */
static int64_t op_maximum_gpfn(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_memory *m = self;
	int64_t rc = xen_memory_get_domain(m, call, arg);
	uint64_t at = m->intr ? m->intr->shared_info_where(m->intr_self) : GAMUT_GPA_NONE, n = 0;

	if (!rc && at != GAMUT_GPA_NONE)
		m->env->host->mem_read(m->env->inst, at + offsetof(struct shared_info, arch.max_pfn), &n, sizeof(n));
	return rc || !n ? rc : (int64_t)(n - 1);
}

/* add_to_physmap and its like change a map that this guest has not; the domain comes first in each structure. */
static int64_t op_translated_only(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	int64_t rc = xen_memory_get_domain(self, call, arg);

	return rc ? rc : -EACCES;
}

static const xen_subop_fn ops[] = {
	[XENMEM_increase_reservation] = op_increase,
	[XENMEM_decrease_reservation] = op_decrease,
	[XENMEM_maximum_ram_page] = xen_memory_ask_maximum_ram_page,
	[XENMEM_current_reservation] = xen_memory_ask_current_reservation,
	[XENMEM_maximum_reservation] = xen_memory_ask_maximum_reservation,
	[XENMEM_populate_physmap] = op_populate,
	[XENMEM_add_to_physmap] = op_translated_only,
	[XENMEM_memory_map] = xen_memory_ask_memory_map,
	[XENMEM_machine_memory_map] = xen_memory_denied,
	[XENMEM_exchange] = op_exchange,
	[XENMEM_machphys_mapping] = op_machphys_mapping,
	[XENMEM_set_memory_map] = xen_memory_denied,
	[XENMEM_maximum_gpfn] = op_maximum_gpfn,
	[XENMEM_remove_from_physmap] = op_translated_only,
	[XENMEM_set_pod_target] = xen_memory_denied,
	[XENMEM_get_pod_target] = xen_memory_denied,
	[XENMEM_add_to_physmap_batch] = op_translated_only,
	[XENMEM_get_vnumainfo] = xen_memory_no_vnuma,
	[XENMEM_acquire_resource] = xen_memory_denied,
	/* machphys_mfn_list: the frames of the table are not the guest's to map */
};

int64_t pv_memory_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_memory *m = opaque;

	return xen_dispatch(m->env, ops, sizeof(ops) / sizeof(ops[0]), m, call, xen_memory_command(call),
	                    call->args[1]);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

/* The map to be shown is of page numbers, and they have no holes. */
int pv_memory_init(struct xen_memory *m)
{
	m->map[0] = (struct xen_e820){ 0, m->total << XEN_PAGE_SHIFT, XEN_E820_RAM };
	m->n_map = 1;
	m->pv.spare = calloc(m->max_gfn / 64 + 1, sizeof(*m->pv.spare));
	m->pv.lowest = m->max_gfn + 1;
	return m->pv.spare ? 0 : -ENOMEM;
}

void pv_memory_finish(struct xen_memory *m)
{
	free(m->pv.spare);
}

void pv_memory_reset(struct xen_memory *m)
{
	memset(m->pv.spare, 0, (m->max_gfn / 64 + 1) * sizeof(*m->pv.spare));
	m->pv.lowest = m->max_gfn + 1;
}
