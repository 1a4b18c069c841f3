/* SPDX-License-Identifier: MIT */
/*
 * One queue of a block back end: shared ring, event channel, the grants and
 * the requests of it.
 *
 *     blkring.c   the ring: indices, entries, notification
 *     blkreq.c    a request from its entry to its response
 *     blkgrant.c  the pages of requests
 *     blkabi.c    the two layouts of entries
 *
 * The work is done in one go by blkring_work on [io]: take what is in the ring,
 * one kick for all of it, publish all responses that are there, at most one
 * notification. The guest's event, and completions, ask for it.
 *
 * But a guest that does one thing at a time waits for it, and waking another
 * thread takes longer than a copy from the host's page cache. So the event of
 * a few requests is answered at once, on the vCPU's thread, as far as the back
 * end can (block_ops.now); what it cannot is left in `prepared` for [io]. A
 * guest with many requests under way has other work meanwhile.
 *
 * `lock` is held over all of a ring, but never over block_kick and
 * block_drain, which call back. A vCPU does not wait for it.
 */
#ifndef DM_XEN_BLKRING_H
#define DM_XEN_BLKRING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "dm/block/block.h"
#include "dm/xen/blkabi.h"
#include "dm/xen/blkgrant.h"
#include "gamut/host.h"
#include "gamut/xen.h"

#define BLKRING_MAX_ORDER 4u
#define BLKRING_MAX_PAGES (1u << BLKRING_MAX_ORDER)
/* Segments of an indirect request, as Linux' back end offers. */
#define BLKRING_MAX_INDIRECT 256u
/* Indirect requests at a time; further ones wait in the ring. */
#define BLKRING_MAX_LARGE 32u
/* The unit of all sector numbers of the protocol. */
#define BLKRING_SECTOR 512u

struct blkcounters {
	uint64_t *reads, *writes, *flushes, *discards, *bytes;
	uint64_t *bad;       /* requests that were refused */
	uint64_t *io_errors; /* requests that the host failed */
	uint64_t *broken;    /* rings with impossible indices */
	uint64_t *notifies;
	uint64_t *at_once;   /* requests that needed no other thread */
	uint64_t *requests;  /* sign: requests taken from rings */
};

struct blkring_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block; /* borrowed */
	const struct gamut_grant_ops *grants;
	void *grants_self;
	const struct gamut_evtchn_ops *evtchn;
	void *evtchn_self;
	struct gamut_defer *defer; /* run when the ring wants attention; its fn calls blkring_work */
	const struct blkcounters *counters;
	const struct blkabi *abi;
	uint32_t refs[BLKRING_MAX_PAGES];
	uint32_t n_pages; /* a power of two */
	uint32_t port;
	bool persistent;
};

struct blkseg {
	struct blkhold hold;
	uint16_t offset, len; /* bytes in the page */
};

/* What an indirect request needs beyond the rest. */
struct blklarge {
	struct blklarge *next;
	struct blkif_request_segment raw[BLKRING_MAX_INDIRECT];
	struct blkseg segs[BLKRING_MAX_INDIRECT];
	struct iovec iov[BLKRING_MAX_INDIRECT];
};

struct blkreq {
	struct block_req io; /* first: done gets a pointer to it */
	struct blkring *ring;
	struct blkreq *next;
	struct blklarge *large;
	struct blkseg *segs;
	uint64_t id;
	uint8_t op;      /* as it is answered */
	bool then_write; /* a flush with data: the write comes after it */
	uint32_t n_segs;
	struct blkseg small_segs[BLKIF_MAX_SEGMENTS_PER_REQUEST];
	struct iovec small_iov[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};

struct blkring {
	struct blkring_config c;
	void *pages[BLKRING_MAX_PAGES]; /* NULL while not mapped */
	uint32_t size;                  /* entries */
	RING_IDX req_cons, rsp_prod;    /* ours; the page gets copies */
	RING_IDX rsp_published;
	bool bound;
	bool broken;        /* impossible indices: nothing is taken any more */
	bool stalled;       /* waits for an indirect request to end */
	uint32_t attention; /* atomic: there is, or may be, work */
	pthread_mutex_t lock; /* of all that follows, and of what is above but c and attention */
	bool on_vcpu;       /* whose thread it is */
	bool stopped;       /* events are not answered any more */
	int64_t budget;     /* bytes that this thread may still move at once */
	struct blkreq *prepared, **prepared_end; /* checked and mapped, to be submitted on [io] */
	struct blkgrants grants;
	struct blkreq *reqs, *unused; /* size of them */
	struct blklarge *large;       /* free ones */
	uint32_t n_large;
};

/* Maps the ring and binds its port. NULL with errno set. [io] */
struct blkring *blkring_create(const struct blkring_config *config);
/*
 * From here on the guest's events start nothing any more; what was prepared is
 * in flight, and to be drained. [io] [control]
 */
void blkring_stop(struct blkring *ring);
/* Stopped, and nothing in flight (block_drain). NULL is allowed. [io] [control] */
void blkring_destroy(struct blkring *ring);

/* Does all there is to do; true when it stopped for fairness alone. [io] */
bool blkring_work(struct blkring *ring);
/* Shows the guest the responses so far, and notifies it if it wants. [io] [control] */
void blkring_publish(struct blkring *ring);

/* After stop and drain: publishes, and gives up all pointers into guest memory. [control] */
void blkring_suspend(struct blkring *ring);
/* 0, or -EFAULT when the guest no longer grants its ring: then it is dead. [control] */
int blkring_resume(struct blkring *ring);

/* ---- between blkring.c and blkreq.c -------------------------------------------- */

/* Puts a response into the ring; it is not visible before blkring_publish. */
void blkring_respond(struct blkring *ring, uint64_t id, uint8_t op, int16_t status);
/* Something ended: there are responses to publish, and room for requests. */
void blkring_attend(struct blkring *ring);

/* Hands what was prepared to the back end; not kicked. Lock held. [io] [control] */
void blkreq_submit_prepared(struct blkring *ring);
/* 0 or -ENOMEM. */
int blkreq_pool_init(struct blkring *ring);
void blkreq_pool_finish(struct blkring *ring);
/* Lock held. False when the request has to wait for another one to end; otherwise it is, or will be, answered. */
bool blkreq_start(struct blkring *ring, const struct blkcmd *cmd);

#endif
