/* SPDX-License-Identifier: MIT */
#include "dm/xen/blkgrant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct blkgrant **bucket(struct blkgrants *grants, uint32_t ref)
{
	return &grants->buckets[(ref * 2654435761u) >> 22];
}

_Static_assert(BLKGRANT_BUCKETS == 1u << (32 - 22), "the shift of bucket()");

static void age_unlink(struct blkgrants *grants, struct blkgrant *g)
{
	*(g->older ? &g->older->newer : &grants->oldest) = g->newer;
	*(g->newer ? &g->newer->older : &grants->newest) = g->older;
}

static void age_newest(struct blkgrants *grants, struct blkgrant *g)
{
	g->newer = NULL;
	g->older = grants->newest;
	*(g->older ? &g->older->newer : &grants->oldest) = g;
	grants->newest = g;
}

static void free_all(struct blkgrants *grants)
{
	grants->unused = NULL;
	for (uint32_t i = 0; i < BLKGRANT_LIMIT; i++) {
		grants->slots[i].chain = grants->unused;
		grants->unused = &grants->slots[i];
	}
}

int blkgrants_init(struct blkgrants *grants, const struct gamut_host *host, struct gamut_inst *inst,
                   const struct gamut_grant_ops *ops, void *ops_self, bool persistent)
{
	*grants = (struct blkgrants){
	        .host = host,
	        .inst = inst,
	        .ops = ops,
	        .ops_self = ops_self,
	        .persistent = persistent,
	};
	if (!persistent)
		return 0;
	grants->slots = calloc(BLKGRANT_LIMIT, sizeof(*grants->slots));
	if (!grants->slots)
		return -ENOMEM;
	free_all(grants);
	return 0;
}

void blkgrants_drop(struct blkgrants *grants)
{
	for (struct blkgrant *g = grants->oldest; g; g = g->newer)
		grants->ops->unmap(grants->ops_self, g->ref, g->page, 0);
	grants->oldest = grants->newest = NULL;
	grants->kept = 0;
	memset(grants->buckets, 0, sizeof(grants->buckets));
	if (grants->slots)
		free_all(grants);
}

void blkgrants_finish(struct blkgrants *grants)
{
	blkgrants_drop(grants);
	free(grants->slots);
	grants->slots = NULL;
}

static struct blkgrant *find(struct blkgrants *grants, uint32_t ref)
{
	struct blkgrant *g = *bucket(grants, ref);

	while (g && g->ref != ref)
		g = g->chain;
	return g;
}

/* Unmaps the oldest page that nobody uses and makes its slot free. */
static void evict(struct blkgrants *grants)
{
	struct blkgrant *g = grants->oldest;
	struct blkgrant **slot;

	while (g && g->users)
		g = g->newer;
	if (!g)
		return;
	for (slot = bucket(grants, g->ref); *slot != g; slot = &(*slot)->chain)
		;
	*slot = g->chain;
	age_unlink(grants, g);
	grants->ops->unmap(grants->ops_self, g->ref, g->page, 0);
	grants->kept--;
	g->chain = grants->unused;
	grants->unused = g;
}

/* Maps a page to be kept; NULL when there is no slot or it is not granted for writing. */
static struct blkgrant *keep(struct blkgrants *grants, uint32_t ref)
{
	struct blkgrant *g;

	if (!grants->unused)
		evict(grants);
	g = grants->unused;
	if (!g)
		return NULL;
	g->page = grants->ops->map(grants->ops_self, ref, 1, &g->gpa);
	if (!g->page)
		return NULL;
	grants->unused = g->chain;
	g->ref = ref;
	g->users = 0;
	g->chain = *bucket(grants, ref);
	*bucket(grants, ref) = g;
	age_newest(grants, g);
	grants->kept++;
	return g;
}

static bool get_kept(struct blkgrants *grants, uint32_t ref, struct blkhold *hold)
{
	struct blkgrant *g = find(grants, ref);

	if (g) {
		age_unlink(grants, g);
		age_newest(grants, g);
	} else {
		g = keep(grants, ref);
	}
	if (!g)
		return false;
	g->users++;
	*hold = (struct blkhold){.page = g->page, .gpa = g->gpa, .kept = g, .ref = ref};
	return true;
}

bool blkgrants_get(struct blkgrants *grants, uint32_t ref, bool write, struct blkhold *hold)
{
	if (grants->persistent && get_kept(grants, ref, hold))
		return true;
	hold->kept = NULL;
	hold->ref = ref;
	hold->page = grants->ops->map(grants->ops_self, ref, write, &hold->gpa);
	return hold->page != NULL;
}

void blkgrants_put(struct blkgrants *grants, const struct blkhold *hold, uint32_t offset, uint32_t dirty)
{
	if (!hold->kept) {
		grants->ops->unmap(grants->ops_self, hold->ref, hold->page, dirty != 0);
		return;
	}
	hold->kept->users--;
	if (dirty)
		grants->host->mem_dirty(grants->inst, hold->gpa + offset, dirty);
}
