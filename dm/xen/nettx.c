/* SPDX-License-Identifier: MIT */
/*
 * From the ring to the network. A batch is gathered as far as the ring and the
 * batch go, handed over in one call, and answered in the order of the ring, so
 * that what was not taken can be forgotten: the ring still has it.
 */
#include "dm/xen/netring.h"

/* Batches before others on the I/O thread get their turn. */
#define ROUNDS 8

/* ---- answers ---------------------------------------------------------------------------- */

static void respond(struct netqueue *q, const struct nettx_packet *p)
{
	const struct nettx_batch *b = &q->vif->batch;

	for (uint32_t i = 0; i < p->entries; i++) {
		uint32_t at = (p->first + i) & (NETTX_SIZE - 1);

		q->tx->ring[at].rsp = (netif_tx_response_t){
		        .id = b->id[at],
		        .status = b->extra[at] ? NETIF_RSP_NULL : p->status,
		};
	}
	q->tx_rsp = p->first + p->entries;
}

static void release(struct netqueue *q, uint32_t n)
{
	struct netvif *vif = q->vif;
	struct nettx_batch *b = &vif->batch;

	for (uint32_t i = 0; i < n; i++) {
		const struct nettx_hold *h = &b->hold[b->holds_done++];

		vif->grants->unmap(vif->grants_self, h->ref, h->page, 0);
	}
}

static void empty(struct nettx_batch *b)
{
	b->queue = NULL;
	b->n = b->done = b->frames = b->sent = b->n_iov = b->n_holds = b->holds_done = 0;
}

/* Answers the packets that are through, in their order. */
static void answer(struct netqueue *q)
{
	struct nettx_batch *b = &q->vif->batch;
	uint32_t frames = 0;
	uint64_t bytes = 0;

	while (b->done < b->n) {
		const struct nettx_packet *p = &b->packet[b->done];

		if (p->frame) {
			if (frames == b->sent)
				break;
			bytes += b->frame[frames++].length;
		}
		release(q, p->holds);
		respond(q, p);
		b->done++;
	}
	netring_count(q->vif->counters.tx_frames, frames);
	netring_count(q->vif->counters.tx_bytes, bytes);
	netring_count(q->vif->counters.frames, frames);
}

/* Makes room at the front: the frames that are left begin the array again. */
static void forget_sent(struct nettx_batch *b)
{
	for (uint32_t i = b->sent; i < b->frames; i++)
		b->frame[i - b->sent] = b->frame[i];
	b->frames -= b->sent;
	b->sent = 0;
}

/* False when packets are left that the network does not take now. */
static bool flush(struct netqueue *q)
{
	struct netvif *vif = q->vif;
	struct nettx_batch *b = &vif->batch;

	if (b->frames)
		b->sent = netdev_send(vif->netdev, b->frame, b->frames);
	vif->blocked = b->sent < b->frames;
	answer(q);
	netqueue_publish(q, &q->tx->rsp_prod, &q->tx->rsp_event, &q->tx_published, q->tx_rsp, q->tx_port);
	if (vif->blocked)
		forget_sent(b);
	else
		empty(b);
	return !vif->blocked;
}

void nettx_rewind(struct netqueue *q)
{
	struct nettx_batch *b = &q->vif->batch;

	if (b->queue != q)
		return;
	release(q, b->n_holds - b->holds_done);
	q->tx_cons = q->tx_rsp;
	empty(b);
}

/* ---- taking ----------------------------------------------------------------------------- */

/* Whether there is room for any one packet. */
static bool room(const struct nettx_batch *b)
{
	return b->n < NETTX_BATCH;
}

/* Gathers packets; false when the ring is broken. */
static bool gather(struct netqueue *q)
{
	struct nettx_batch *b = &q->vif->batch;
	RING_IDX prod = __atomic_load_n(&q->tx->req_prod, __ATOMIC_ACQUIRE);

	/* Each entry is answered before it is used again, so that there are never more than the ring holds.
	 */
	if ((RING_IDX)(prod - q->tx_rsp) > NETTX_SIZE || (RING_IDX)(prod - q->tx_cons) > NETTX_SIZE) {
		netqueue_break(q, "more requests than entries");
		return false;
	}
	b->queue = q;
	while (q->tx_cons != prod && room(b))
		if (!netslot_take(q, prod - q->tx_cons))
			return false;
	return true;
}

/* Asks to be notified of the next request; true when it came before the guest could see that. */
static bool more_requests(struct netqueue *q)
{
	__atomic_store_n(&q->tx->req_event, q->tx_cons + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&q->tx->req_prod, __ATOMIC_ACQUIRE) != q->tx_cons;
}

bool nettx_work(struct netqueue *q)
{
	struct netvif *vif = q->vif;

	/* Not now; all queues are called again when it is writable. */
	if (vif->blocked)
		return false;
	if (vif->batch.queue && !flush(vif->batch.queue))
		return false;
	for (int i = 0; i < ROUNDS; i++) {
		bool sane = gather(q);

		/* What came before the nonsense was well. */
		if (!flush(q) || !sane)
			return false;
		if (!more_requests(q))
			return false;
	}
	return true;
}
