/* SPDX-License-Identifier: MIT */
#include "dm/xen/grant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS_IN_USE (GTF_reading | GTF_writing)

_Static_assert(sizeof(struct grant_entry_v1) == 8 && offsetof(struct grant_entry_v1, domid) == 2 &&
                       offsetof(struct grant_entry_v1, frame) == 4,
               "flags and domid are one word");

/* ---- one reference --------------------------------------------------------- */

/* Flags in the low half, grantee in the high half. */
static uint32_t *entry_word(struct grant_table *gt, uint32_t ref)
{
	return (uint32_t *)(void *)&gt->entries[ref];
}

static pthread_mutex_t *user_lock(struct grant_table *gt, uint32_t ref)
{
	return &gt->user_lock[ref % GRANT_LOCKS];
}

static int set_in_use(struct grant_table *gt, uint32_t ref, uint32_t domid, bool write)
{
	uint32_t *word = entry_word(gt, ref);
	uint32_t old = __atomic_load_n(word, __ATOMIC_SEQ_CST), new;

	do {
		if ((old & GTF_type_mask) != GTF_permit_access || old & GTF_sub_page || old >> 16 != domid)
			return GNTST_bad_gntref;
		if (write && old & GTF_readonly)
			return GNTST_general_error;
		new = old | GTF_reading | (write ? GTF_writing : 0);
	} while (!__atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	return GNTST_okay;
}

static int acquire_locked(struct grant_table *gt, uint32_t ref, uint32_t domid, bool write)
{
	struct grant_user *u = &gt->user[ref];
	int status;

	if (u->users && u->domid != domid)
		return GNTST_bad_gntref;
	if (u->users == UINT32_MAX)
		return GNTST_general_error;
	status = set_in_use(gt, ref, domid, write);
	if (status != GNTST_okay)
		return status;
	if (!u->users++) {
		u->domid = (uint16_t)domid;
		u->frame = __atomic_load_n(&gt->entries[ref].frame, __ATOMIC_SEQ_CST);
	}
	return GNTST_okay;
}

int grant_acquire(struct grant_table *gt, uint32_t ref, uint32_t domid, bool write, uint32_t *frame)
{
	int status = GNTST_bad_gntref;

	if (ref < __atomic_load_n(&gt->n_frames, __ATOMIC_ACQUIRE) * GRANT_PER_FRAME) {
		pthread_mutex_lock(user_lock(gt, ref));
		status = acquire_locked(gt, ref, domid, write);
		*frame = gt->user[ref].frame;
		pthread_mutex_unlock(user_lock(gt, ref));
	}
	if (status != GNTST_okay)
		xen_count(gt->refused);
	return status;
}

void grant_release(struct grant_table *gt, uint32_t ref)
{
	struct grant_user *u;

	if (ref >= GRANT_FRAMES_MAX * GRANT_PER_FRAME)
		return;
	pthread_mutex_lock(user_lock(gt, ref));
	u = &gt->user[ref];
	/* None after a reset: the entry belongs to another life of the guest. */
	if (u->users && !--u->users)
		__atomic_fetch_and(entry_word(gt, ref), ~(uint32_t)FLAGS_IN_USE, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(user_lock(gt, ref));
}

/* ---- the back ends' side ------------------------------------------------------ */

static void *back_map(void *self, uint32_t ref, int write, uint64_t *gpa)
{
	struct grant_table *gt = self;
	uint32_t frame;
	void *page;

	if (grant_acquire(gt, ref, 0, write != 0, &frame) != GNTST_okay)
		return NULL;
	page = gt->env->host->mem_get(gt->env->inst, (uint64_t)frame << XEN_PAGE_SHIFT, XEN_PAGE_SIZE);
	if (!page) {
		xen_count(gt->refused);
		grant_release(gt, ref);
		return NULL;
	}
	if (gpa)
		*gpa = (uint64_t)frame << XEN_PAGE_SHIFT;
	return page;
}

static void back_unmap(void *self, uint32_t ref, void *page, int dirty)
{
	struct grant_table *gt = self;
	const struct gamut_host *host = gt->env->host;

	if (!page || ref >= GRANT_FRAMES_MAX * GRANT_PER_FRAME)
		return;
	/* The frame stays what it was while there are users, and this is one. */
	if (dirty)
		host->mem_dirty(gt->env->inst, (uint64_t)gt->user[ref].frame << XEN_PAGE_SHIFT, XEN_PAGE_SIZE);
	host->mem_put(gt->env->inst, page, XEN_PAGE_SIZE);
	grant_release(gt, ref);
}

const struct gamut_grant_ops grant_ops = {
	.size = sizeof(struct gamut_grant_ops),
	.map = back_map,
	.unmap = back_unmap,
};

/* ---- frames ------------------------------------------------------------------------ */

/* Under gt->lock. */
static int place_frame(struct grant_table *gt, uint64_t idx, uint64_t gpa)
{
	const struct gamut_host *host = gt->env->host;
	int rc = 0;

	if (gt->where[idx] != gpa) {
		if (gt->where[idx] != GAMUT_GPA_NONE)
			host->page_unmap(gt->env->inst, gt->pages, (uint32_t)idx);
		gt->where[idx] = GAMUT_GPA_NONE;
		rc = host->page_map(gt->env->inst, gt->pages, (uint32_t)idx, gpa);
	}
	if (!rc) {
		gt->where[idx] = gpa;
		if (idx >= gt->n_frames)
			__atomic_store_n(&gt->n_frames, (uint32_t)idx + 1, __ATOMIC_RELEASE);
	}
	return rc;
}

int grant_place(struct grant_table *gt, uint64_t idx, uint64_t gpa)
{
	int rc;

	if (idx >= GRANT_FRAMES_MAX)
		return -EINVAL;
	pthread_mutex_lock(&gt->lock);
	rc = place_frame(gt, idx, gpa);
	pthread_mutex_unlock(&gt->lock);
	return rc;
}

int grant_grow(struct grant_table *gt, uint32_t n)
{
	int rc = 0;

	pthread_mutex_lock(&gt->lock);
	for (uint32_t i = 0; i < n && gt->home != GAMUT_GPA_NONE && !rc; i++)
		rc = place_frame(gt, i, gt->home + i * XEN_PAGE_SIZE);
	if (!rc && n > gt->n_frames)
		__atomic_store_n(&gt->n_frames, n, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&gt->lock);
	return rc;
}

/* Under gt->lock, or alone. */
static void unplace_frame(struct grant_table *gt, uint32_t i)
{
	gt->env->host->page_unmap(gt->env->inst, gt->pages, i);
	gt->where[i] = GAMUT_GPA_NONE;
}

int grant_unplace(struct grant_table *gt, uint64_t gpa)
{
	int rc = -ENOENT;

	pthread_mutex_lock(&gt->lock);
	for (uint32_t i = 0; i < GRANT_FRAMES_MAX && rc; i++)
		if (gt->where[i] == gpa && gpa != GAMUT_GPA_NONE) {
			unplace_frame(gt, i);
			rc = 0;
		}
	pthread_mutex_unlock(&gt->lock);
	return rc;
}

int grant_init(struct grant_table *gt, const struct xen_env *env)
{
	void *host;

	*gt = (struct grant_table){ .env = env, .n_frames = 1, .home = GAMUT_GPA_NONE };
	gt->user = calloc(GRANT_FRAMES_MAX * GRANT_PER_FRAME, sizeof(*gt->user));
	if (!gt->user)
		return -ENOMEM;
	gt->pages = env->host->page_alloc(env->inst, GRANT_FRAMES_MAX, &host);
	if (!gt->pages) {
		free(gt->user);
		return -ENOMEM;
	}
	gt->entries = host;
	gt->refused = env->host->counter(env->inst, "grants-refused");
	memset(gt->where, 0xff, sizeof(gt->where));
	pthread_mutex_init(&gt->lock, NULL);
	for (uint32_t i = 0; i < GRANT_LOCKS; i++)
		pthread_mutex_init(&gt->user_lock[i], NULL);
	return 0;
}

void grant_finish(struct grant_table *gt)
{
	gt->env->host->page_free(gt->env->inst, gt->pages);
	pthread_mutex_destroy(&gt->lock);
	for (uint32_t i = 0; i < GRANT_LOCKS; i++)
		pthread_mutex_destroy(&gt->user_lock[i]);
	free(gt->user);
}

void grant_reset(struct grant_table *gt)
{
	for (uint32_t i = 0; i < GRANT_FRAMES_MAX; i++)
		if (gt->where[i] != GAMUT_GPA_NONE)
			unplace_frame(gt, i);
	memset(gt->entries, 0, gt->n_frames * XEN_PAGE_SIZE);
	/* Frames are kept: a back end that unmaps now still says which page it wrote. */
	for (uint32_t i = 0; i < gt->n_frames * GRANT_PER_FRAME; i++)
		gt->user[i].users = 0;
	gt->n_frames = 1;
}
