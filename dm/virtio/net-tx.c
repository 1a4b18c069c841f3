/* SPDX-License-Identifier: MIT */
/*
 * Frames from the guest: 5.1.6.2.
 *
 * A batch of chains becomes a batch of frames. The virtio header and the
 * frame's own headers are copied: back ends look at them to segment and to sum
 * up, and must not find them changed between two looks. The payload goes by
 * reference. What the back end does not take goes back into the ring, so that
 * nothing is held in between.
 */
#include "dm/virtio/net-internal.h"

#include <errno.h>
#include <string.h>

/* Batches of one queue before the others get their turn. */
#define ROUNDS 8

/* ---- the header ------------------------------------------------------------------------- */

static bool segments_ok(const struct vnet *n, const struct virtio_net_hdr_v1 *h, uint32_t length)
{
	uint32_t feature;

	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		feature = VIRTIO_NET_F_HOST_TSO4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		feature = VIRTIO_NET_F_HOST_TSO6;
		break;
	default:
		return false;
	}
	if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN && !virtio_has(&n->dev, VIRTIO_NET_F_HOST_ECN))
		return false;
	return virtio_has(&n->dev, feature) && h->gso_size && h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	       length <= NETDEV_GSO_MAX;
}

/* What the driver says of a frame of so many bytes, if it can be so. */
static bool offload_of(const struct vnet *n, const struct virtio_net_hdr_v1 *h, uint32_t length,
                       struct netdev_offload *o)
{
	*o = (struct netdev_offload){0};
	if (length < NETDEV_HEADER)
		return false;
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (!virtio_has(&n->dev, VIRTIO_NET_F_CSUM) || h->csum_start + h->csum_offset + 2u > length)
			return false;
		o->flags = NETDEV_CSUM_NEEDED;
		o->csum_start = h->csum_start;
		o->csum_offset = h->csum_offset;
	}
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return length <= NETDEV_FRAME_MAX;
	if (!segments_ok(n, h, length))
		return false;
	o->gso_type = h->gso_type;
	o->gso_size = h->gso_size;
	/* A hint, which need not be right (5.1.6.2.2). */
	o->header_len = h->hdr_len >= NETDEV_HEADER && h->hdr_len <= length ? h->hdr_len : 0;
	return true;
}

/* ---- a batch ---------------------------------------------------------------------------- */

/* The frame of the chain that was just taken; false: it is none. */
static bool make_frame(struct vnet *n, const struct virtq_chain *c)
{
	struct vnet_tx *t = &n->tx;
	struct netdev_frame *f = &t->frame[t->n_frames];
	uint8_t *header = t->headers[t->n_frames];
	struct iovec *iov = &t->iov[t->n_iov];
	struct virtio_net_hdr_v1 h;
	uint32_t length, first;

	if (virtq_copy_out(c, 0, &h, VNET_HDR) != VNET_HDR)
		return false;
	length = c->out_len - VNET_HDR;
	if (!offload_of(n, &h, length, &f->offload))
		return false;
	first = length < VNET_HEADERS ? length : VNET_HEADERS;
	virtq_copy_out(c, VNET_HDR, header, first);
	iov[0] = (struct iovec){.iov_base = header, .iov_len = first};
	f->n_iov = 1 + virtq_iov(c->seg, c->n_out, VNET_HDR + first, length - first, iov + 1);
	f->iov = iov;
	f->length = length;
	t->n_iov += f->n_iov;
	t->n_frames++;
	return true;
}

/* Takes chains until the batch is full or the ring empty. 0, or -EPROTO. */
static int gather(struct vnet *n, struct virtq *q)
{
	struct vnet_tx *t = &n->tx;

	t->n = t->n_frames = t->n_segs = t->n_iov = 0;
	while (t->n < VNET_BATCH) {
		struct virtq_chain *c = &t->entry[t->n].chain;
		int got = virtq_pop(q, c, t->segs + t->n_segs, VNET_BATCH_SEGS - t->n_segs);

		if (got == -EPROTO)
			return got;
		if (got <= 0)
			return 0;
		t->n_segs += c->n_out + c->n_in;
		t->entry[t->n].bad = !make_frame(n, c);
		t->n++;
	}
	return 0;
}

/* Which of the pair's queues answers to a flow is for the driver to say, by what it sends (5.1.6.5.5). */
static void learn_flows(struct vnet *n, uint32_t pair)
{
	for (uint32_t i = 0; i < n->tx.n_frames && n->pairs > 1; i++)
		n->flow[vnet_flow(n->tx.frame[i].iov[0].iov_base, (uint32_t)n->tx.frame[i].iov[0].iov_len)] =
		        (uint8_t)pair;
}

/* Gives back what was sent, and to the ring what was not. */
static void settle(struct vnet *n, struct virtq *q, uint32_t sent)
{
	struct vnet_tx *t = &n->tx;
	uint32_t i, frames = 0, bad = 0;
	uint64_t bytes = 0;

	for (i = 0; i < t->n && (t->entry[i].bad || frames < sent); i++) {
		if (t->entry[i].bad)
			bad++;
		else
			bytes += t->frame[frames++].length;
		virtq_push(q, t->entry[i].chain.head, 0);
	}
	virtq_unpop(q, (uint16_t)(t->n - i));
	virtq_put(q, t->segs, t->n_segs, 0, 0);
	virtio_add(n->n.tx_frames, sent);
	virtio_add(n->n.tx_bytes, bytes);
	virtio_add(n->n.frames, sent);
	if (bad)
		virtio_add(n->n.tx_bad, bad);
}

/* Whether there is more to send, and to whom. */
static bool send_batch(struct vnet *n, struct virtq *q, uint32_t pair)
{
	struct vnet_tx *t = &n->tx;
	int err = gather(n, q);
	uint32_t sent;

	if (!t->n && !err)
		return virtq_listen(q);
	learn_flows(n, pair);
	sent = t->n_frames ? netdev_send(n->netdev, t->frame, t->n_frames) : 0;
	n->tx_blocked = sent < t->n_frames;
	settle(n, q, sent);
	virtio_publish(&n->dev, vnet_tx_index(pair));
	if (err)
		virtio_broken(&n->dev, vnet_tx_index(pair), q->fault);
	return !err && !n->tx_blocked;
}

void vnet_tx_run(struct vnet *n, uint32_t pair)
{
	struct virtq *q = &n->dev.queues[vnet_tx_index(pair)];
	bool more = true;

	pthread_mutex_lock(&q->lock);
	if (q->live && !n->tx_blocked && pair < n->pairs) {
		virtq_hush(q);
		for (int i = 0; i < ROUNDS && more; i++)
			more = send_batch(n, q, pair);
		if (more)
			vnet_ask(n, 1ull << vnet_tx_index(pair));
	}
	pthread_mutex_unlock(&q->lock);
}
