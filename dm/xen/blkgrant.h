/* SPDX-License-Identifier: MIT */
/*
 * Granted pages for one block ring: mapped for a request, or, when front and
 * back end have agreed on feature-persistent, kept mapped for the next one.
 *
 * Kept pages are mapped writable whatever the request does, as the protocol
 * says, since a later one may read into them. There is a bound; past it the
 * page that was not used for the longest time goes. When all are in use, or a
 * page is granted read-only, it is mapped for its request alone.
 *
 * All of it under the lock of the ring.
 */
#ifndef DM_XEN_BLKGRANT_H
#define DM_XEN_BLKGRANT_H

#include <stdbool.h>
#include <stdint.h>

#include "gamut/host.h"
#include "gamut/xen.h"

/* As many as Linux' back end keeps for a ring. */
#define BLKGRANT_LIMIT   1056u
#define BLKGRANT_BUCKETS 1024u

struct blkgrant {
	struct blkgrant *chain; /* hash bucket, or free list */
	struct blkgrant *older, *newer;
	void *page;
	uint64_t gpa;
	uint32_t ref, users;
};

struct blkgrants {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_grant_ops *ops;
	void *ops_self;
	bool persistent;
	uint32_t kept;
	struct blkgrant *slots, *unused; /* BLKGRANT_LIMIT of them; only with persistent */
	struct blkgrant *oldest, *newest;
	struct blkgrant *buckets[BLKGRANT_BUCKETS];
};

/* A page in use by a request. */
struct blkhold {
	void *page;
	uint64_t gpa;
	struct blkgrant *kept; /* NULL: mapped for this request */
	uint32_t ref;
};

/* 0 or -ENOMEM. */
int blkgrants_init(struct blkgrants *grants, const struct gamut_host *host, struct gamut_inst *inst,
                   const struct gamut_grant_ops *ops, void *ops_self, bool persistent);
/* Nothing may be held. */
void blkgrants_finish(struct blkgrants *grants);
/* Lets go of all kept pages; they are mapped again as requests come. Nothing may be held. */
void blkgrants_drop(struct blkgrants *grants);

/* write: the back end will write the page. False when the grant does not allow it. */
bool blkgrants_get(struct blkgrants *grants, uint32_t ref, bool write, struct blkhold *hold);
/* [offset, offset + dirty) of the page was written; dirty 0: nothing. */
void blkgrants_put(struct blkgrants *grants, const struct blkhold *hold, uint32_t offset, uint32_t dirty);

#endif
