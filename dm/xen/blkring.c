/* SPDX-License-Identifier: MIT */
#include "dm/xen/blkring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Rounds of taking requests before others on the I/O thread get their turn. */
#define ROUNDS 8
/* Requests in the ring that are answered on the vCPU's thread; with more they are not. */
#define FEW 4u
/* Bytes that a thread moves at once before others get their turn. */
#define BUDGET (1 << 20)

#define PAGE 4096u

static struct blkif_sring *shared(struct blkring *ring)
{
	return ring->pages[0];
}

static void bump(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* ---- entries ---------------------------------------------------------------------- */

/*
 * The pages of a ring need not be neighbours in our address space, and an
 * entry may lie across two of them.
 */
static void copy_entry(struct blkring *ring, RING_IDX index, void *buf, uint32_t len, bool to_ring)
{
	uint32_t at = (uint32_t)offsetof(struct blkif_sring, ring) +
	              (index & (ring->size - 1)) * ring->c.abi->entry;
	uint8_t *p = buf;

	while (len) {
		uint8_t *page = ring->pages[at / PAGE];
		uint32_t part = PAGE - at % PAGE;

		part = len < part ? len : part;
		if (to_ring)
			memcpy(page + at % PAGE, p, part);
		else
			memcpy(p, page + at % PAGE, part);
		at += part;
		p += part;
		len -= part;
	}
	/* The copy is made here and nowhere else: the guest may write the entry meanwhile. */
	__asm__ volatile("" ::: "memory");
}

void blkring_respond(struct blkring *ring, uint64_t id, uint8_t op, int16_t status)
{
	struct blkif_response rsp;

	memset(&rsp, 0, sizeof(rsp));
	rsp.id = id;
	rsp.operation = op;
	rsp.status = status;
	copy_entry(ring, ring->rsp_prod++, &rsp, ring->c.abi->response, true);
}

static void publish(struct blkring *ring)
{
	RING_IDX old = ring->rsp_published, new = ring->rsp_prod, event;

	if (old == new || !ring->pages[0])
		return;
	ring->rsp_published = new;
	__atomic_store_n(&shared(ring)->rsp_prod, new, __ATOMIC_RELEASE);
	/* The index before the question whether the guest waits for it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n(&shared(ring)->rsp_event, __ATOMIC_RELAXED);
	if ((RING_IDX)(new - event) < (RING_IDX)(new - old)) {
		bump(ring->c.counters->notifies);
		ring->c.evtchn->notify(ring->c.evtchn_self, ring->c.port);
	}
}

void blkring_publish(struct blkring *ring)
{
	pthread_mutex_lock(&ring->lock);
	publish(ring);
	pthread_mutex_unlock(&ring->lock);
}

/* ---- taking requests ---------------------------------------------------------------- */

/* More requests than entries: the guest lies or is lost. Nothing it says of this ring can be used. */
static bool check_prod(struct blkring *ring, RING_IDX prod)
{
	if ((RING_IDX)(prod - ring->rsp_prod) <= ring->size &&
	    (RING_IDX)(prod - ring->req_cons) <= ring->size)
		return true;
	ring->broken = true;
	bump(ring->c.counters->broken);
	ring->c.host->log(ring->c.inst, GAMUT_LOG_WARN,
	                  "impossible request index %u (consumed %u, ring of %u): "
	                  "the ring is not served any more",
	                  prod, ring->req_cons, ring->size);
	return false;
}

static bool entries_left(const struct blkring *ring)
{
	return (RING_IDX)(ring->req_cons - ring->rsp_prod) < ring->size;
}

static bool consume(struct blkring *ring)
{
	RING_IDX prod = __atomic_load_n(&shared(ring)->req_prod, __ATOMIC_ACQUIRE);
	uint8_t entry[BLKABI_ENTRY_MAX];
	struct blkcmd cmd;
	uint32_t n = 0;

	ring->stalled = false;
	if (!check_prod(ring, prod))
		return false;
	while (ring->req_cons != prod && entries_left(ring)) {
		copy_entry(ring, ring->req_cons, entry, ring->c.abi->entry, false);
		blkabi_parse(ring->c.abi, entry, &cmd);
		ring->req_cons++;
		if (!blkreq_start(ring, &cmd)) {
			ring->req_cons--;
			ring->stalled = true;
			break;
		}
		n++;
	}
	if (n)
		__atomic_fetch_add(ring->c.counters->requests, n, __ATOMIC_RELAXED);
	return n;
}

/* Asks to be notified of the next request; true when it came before the guest could see that. */
static bool more_requests(struct blkring *ring)
{
	RING_IDX prod;

	__atomic_store_n(&shared(ring)->req_event, ring->req_cons + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	prod = __atomic_load_n(&shared(ring)->req_prod, __ATOMIC_ACQUIRE);
	return prod != ring->req_cons && entries_left(ring);
}

/* One round: true when something was handed to the back end, or may have been. */
static bool take(struct blkring *ring)
{
	bool any;

	ring->on_vcpu = false;
	ring->budget = BUDGET;
	any = ring->prepared != NULL;
	blkreq_submit_prepared(ring);
	return (!ring->broken && consume(ring)) || any;
}

static bool work(struct blkring *ring)
{
	bool done = false;

	for (int i = 0; i < ROUNDS && !done; i++) {
		if (take(ring)) {
			pthread_mutex_unlock(&ring->lock);
			block_kick(ring->c.block);
			pthread_mutex_lock(&ring->lock);
		}
		publish(ring);
		done = ring->broken || ring->stalled || !more_requests(ring);
	}
	return !done;
}

bool blkring_work(struct blkring *ring)
{
	bool more;

	if (!__atomic_exchange_n(&ring->attention, 0, __ATOMIC_ACQUIRE))
		return false;
	pthread_mutex_lock(&ring->lock);
	more = ring->pages[0] && work(ring);
	pthread_mutex_unlock(&ring->lock);
	if (more)
		__atomic_store_n(&ring->attention, 1, __ATOMIC_RELAXED);
	return more;
}

void blkring_attend(struct blkring *ring)
{
	__atomic_store_n(&ring->attention, 1, __ATOMIC_RELEASE);
	ring->c.host->defer_run(ring->c.inst, ring->c.defer);
}

/* ---- on the vCPU's thread --------------------------------------------------------- */

static bool few(struct blkring *ring)
{
	RING_IDX prod = __atomic_load_n(&shared(ring)->req_prod, __ATOMIC_RELAXED);

	return (RING_IDX)(prod - ring->req_cons) <= FEW && !ring->prepared;
}

/* False: there is work left for [io]. */
static bool answer(struct blkring *ring)
{
	if (ring->stopped || !ring->pages[0] || ring->broken || !few(ring))
		return false;
	ring->on_vcpu = true;
	ring->budget = BUDGET;
	consume(ring);
	ring->on_vcpu = false;
	publish(ring);
	return !ring->prepared && !ring->stalled && !ring->broken && !more_requests(ring);
}

/* [vcpu] [io] */
static void notified(void *opaque)
{
	struct blkring *ring = opaque;
	bool done = false;

	if (ring->c.block->ops->now && !pthread_mutex_trylock(&ring->lock)) {
		done = answer(ring);
		pthread_mutex_unlock(&ring->lock);
	}
	if (!done)
		blkring_attend(ring);
}

/* ---- life ------------------------------------------------------------------------------ */

static void unmap_pages(struct blkring *ring)
{
	for (uint32_t i = 0; i < ring->c.n_pages; i++) {
		if (ring->pages[i])
			ring->c.grants->unmap(ring->c.grants_self, ring->c.refs[i], ring->pages[i], 1);
		ring->pages[i] = NULL;
	}
}

static int map_pages(struct blkring *ring)
{
	for (uint32_t i = 0; i < ring->c.n_pages; i++) {
		ring->pages[i] = ring->c.grants->map(ring->c.grants_self, ring->c.refs[i], 1, NULL);
		if (!ring->pages[i]) {
			unmap_pages(ring);
			return -EFAULT;
		}
	}
	return 0;
}

/*
 * A front end that comes back to a ring with history (a restarted back end)
 * is taken up where its responses ended; a fresh ring has zeros there.
 */
static void read_indices(struct blkring *ring)
{
	ring->rsp_prod = __atomic_load_n(&shared(ring)->rsp_prod, __ATOMIC_ACQUIRE);
	ring->rsp_published = ring->req_cons = ring->rsp_prod;
}

struct blkring *blkring_create(const struct blkring_config *config)
{
	struct blkring *ring = calloc(1, sizeof(*ring));
	int err = ENOMEM;

	if (!ring)
		goto fail;
	ring->c = *config;
	ring->prepared_end = &ring->prepared;
	pthread_mutex_init(&ring->lock, NULL);
	ring->size = blkabi_ring_size(config->abi, config->n_pages);
	if (blkgrants_init(&ring->grants, config->host, config->inst, config->grants, config->grants_self,
	                   config->persistent))
		goto fail;
	if (blkreq_pool_init(ring))
		goto fail;
	err = -map_pages(ring);
	if (err)
		goto fail;
	read_indices(ring);
	err = -config->evtchn->bind(config->evtchn_self, config->port, notified, ring);
	if (err)
		goto fail;
	ring->bound = true;
	/* Requests may be there already. */
	blkring_attend(ring);
	return ring;
fail:
	blkring_destroy(ring);
	errno = err;
	return NULL;
}

void blkring_stop(struct blkring *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->stopped = true;
	blkreq_submit_prepared(ring);
	pthread_mutex_unlock(&ring->lock);
}

void blkring_destroy(struct blkring *ring)
{
	if (!ring)
		return;
	if (ring->bound)
		ring->c.evtchn->unbind(ring->c.evtchn_self, ring->c.port);
	unmap_pages(ring);
	blkgrants_finish(&ring->grants);
	blkreq_pool_finish(ring);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

void blkring_suspend(struct blkring *ring)
{
	blkring_publish(ring);
	blkgrants_drop(&ring->grants);
	unmap_pages(ring);
}

int blkring_resume(struct blkring *ring)
{
	int err = map_pages(ring);

	ring->stopped = false;
	if (!err)
		blkring_attend(ring);
	return err;
}
