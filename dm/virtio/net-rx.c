/* SPDX-License-Identifier: MIT */
/*
 * Frames for the guest: 5.1.6.3, 5.1.6.4.
 *
 * The back end offers batches. Each frame goes to the queue on which the guest
 * sends the same flow, spread over as many buffers as it needs where the driver
 * merges them, and is shown with the rest of the batch. A frame for which there
 * are too few buffers stays in the back end; the guest is asked to say when it
 * has put in more.
 */
#include "dm/virtio/net-internal.h"

#include <errno.h>
#include <string.h>

enum outcome { DELIVERED, DROPPED, NO_ROOM, BROKEN };

/* ---- buffers ---------------------------------------------------------------------------- */

/* Takes buffers of `need` bytes; how many chains in *n, which the caller gives back. */
static enum outcome collect(struct vnet *n, struct virtq *q, uint32_t need, uint32_t *n_chains, uint32_t *n_segs)
{
	bool merge = virtio_has(&n->dev, VIRTIO_NET_F_MRG_RXBUF);
	uint64_t sum = 0;

	while (sum < need) {
		struct virtq_chain *c = &n->rx.chain[*n_chains];
		int got = *n_chains < VIRTQ_SIZE_MAX && (merge || !*n_chains)
		                  ? virtq_pop(q, c, n->rx.segs + *n_segs, VNET_BATCH_SEGS - *n_segs)
		                  : -ENOSPC;

		if (got == -EPROTO)
			return BROKEN;
		/* Buffers so small that the frame never fits. */
		if (got == -ENOSPC)
			return DROPPED;
		if (!got)
			return NO_ROOM;
		++*n_chains;
		*n_segs += c->n_out + c->n_in;
		sum += c->in_len;
		if (!c->in_len || c->n_out) {
			q->fault = "a receive buffer that cannot be written";
			return BROKEN;
		}
	}
	return DELIVERED;
}

/* ---- bytes ------------------------------------------------------------------------------ */

/* Where the next byte comes from: the header, then the pieces of the frame. */
struct source {
	struct iovec piece;
	const struct iovec *next;
	uint32_t left;
};

static void take(struct source *s, uint8_t *to, uint32_t n)
{
	while (n) {
		uint32_t part = s->piece.iov_len < n ? (uint32_t)s->piece.iov_len : n;

		memcpy(to, s->piece.iov_base, part);
		to += part;
		n -= part;
		s->piece.iov_base = (uint8_t *)s->piece.iov_base + part;
		s->piece.iov_len -= part;
		if (s->piece.iov_len)
			continue;
		if (!s->left)
			return;
		s->piece = *s->next++;
		s->left--;
	}
}

/* Up to n bytes into the buffers of a chain; how many. */
static uint32_t fill_chain(const struct virtq_chain *c, struct source *s, uint32_t n)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < c->n_in && done < n; i++) {
		uint32_t part = c->seg[i].len < n - done ? c->seg[i].len : n - done;

		take(s, c->seg[i].host, part);
		done += part;
	}
	return done;
}

static struct virtio_net_hdr_v1 header_of(const struct vnet *n, const struct netdev_offload *o, uint32_t n_chains)
{
	struct virtio_net_hdr_v1 h = {
	        .gso_type = o->gso_type,
	        .hdr_len = o->header_len,
	        .gso_size = o->gso_size,
	        .num_buffers = (uint16_t)n_chains,
	};

	if (o->flags & NETDEV_CSUM_NEEDED) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = o->csum_start;
		h.csum_offset = o->csum_offset;
	} else if (o->flags & NETDEV_CSUM_VALID && virtio_has(&n->dev, VIRTIO_NET_F_GUEST_CSUM)) {
		h.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	return h;
}

/* The frame into the chains that were collected, which go back to the driver. */
static void fill(struct vnet *n, struct virtq *q, const struct netdev_frame *f, uint32_t n_chains)
{
	struct virtio_net_hdr_v1 h = header_of(n, &f->offload, n_chains);
	struct source s = {.piece = {&h, VNET_HDR}, .next = f->iov, .left = f->n_iov};
	uint32_t left = VNET_HDR + f->length;

	for (uint32_t i = 0; i < n_chains; i++) {
		const struct virtq_chain *c = &n->rx.chain[i];
		uint32_t done = fill_chain(c, &s, left);

		virtq_put(q, c->seg, 0, c->n_in, done);
		virtq_push(q, c->head, done);
		left -= done;
	}
}

static void give_back(struct vnet *n, struct virtq *q, uint32_t n_chains)
{
	for (uint32_t i = 0; i < n_chains; i++)
		virtq_put(q, n->rx.chain[i].seg, n->rx.chain[i].n_out, n->rx.chain[i].n_in, 0);
	virtq_unpop(q, (uint16_t)n_chains);
}

/* ---- one frame -------------------------------------------------------------------------- */

/* The first bytes of a frame, in one piece. */
static uint32_t peek(const struct netdev_frame *f, uint8_t *to, uint32_t n)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < f->n_iov && done < n; i++) {
		uint32_t part = f->iov[i].iov_len < n - done ? (uint32_t)f->iov[i].iov_len : n - done;

		memcpy(to + done, f->iov[i].iov_base, part);
		done += part;
	}
	return done;
}

/* Whether the guest can do what is left to do to the frame. */
static bool can_take(const struct vnet *n, const struct netdev_offload *o)
{
	if (o->flags & NETDEV_CSUM_NEEDED && !(n->can & NETDEV_CAN_CSUM))
		return false;
	if (o->gso_type & NETDEV_GSO_ECN && !(n->can & NETDEV_CAN_ECN))
		return false;
	switch (o->gso_type & ~NETDEV_GSO_ECN) {
	case NETDEV_GSO_NONE:
		return true;
	case NETDEV_GSO_TCPV4:
		return n->can & NETDEV_CAN_TCPV4;
	case NETDEV_GSO_TCPV6:
		return n->can & NETDEV_CAN_TCPV6;
	default:
		return false;
	}
}

/*
 * Asks to be told of more buffers than the n that are too few; true when there
 * are by now. The driver counts what is in the ring, not what was taken.
 */
static bool grew(struct virtq *q, uint32_t n)
{
	bool more;

	virtq_unpop(q, (uint16_t)-n);
	more = virtq_listen(q);
	virtq_unpop(q, (uint16_t)n);
	return more;
}

static enum outcome deliver(struct vnet *n, struct virtq *q, const struct netdev_frame *f)
{
	uint32_t n_chains, n_segs;
	enum outcome outcome;

	do {
		n_chains = n_segs = 0;
		outcome = collect(n, q, VNET_HDR + f->length, &n_chains, &n_segs);
		if (outcome == DELIVERED)
			fill(n, q, f, n_chains);
		else
			give_back(n, q, n_chains);
	} while (outcome == NO_ROOM && grew(q, n_chains));
	return outcome;
}

/* ---- a batch ---------------------------------------------------------------------------- */

/* The pair whose receive queue this frame is for. */
static uint32_t steer(const struct vnet *n, const uint8_t *header, uint32_t length)
{
	uint32_t pair = n->pairs > 1 ? n->flow[vnet_flow(header, length)] : 0;

	return pair < n->pairs ? pair : 0;
}

static enum outcome receive_one(struct vnet *n, const struct netdev_frame *f, uint64_t *touched)
{
	uint8_t header[64];
	uint32_t length = peek(f, header, sizeof(header)), index;
	enum outcome outcome = DROPPED;
	struct virtq *q;

	if (length < NETDEV_HEADER || f->length > NETDEV_GSO_MAX || !can_take(n, &f->offload)) {
		virtio_add(n->n.rx_dropped, 1);
		return DROPPED;
	}
	if (!vnet_filter_wants(&n->filter, header, length)) {
		virtio_add(n->n.rx_filtered, 1);
		return DROPPED;
	}
	index = vnet_rx_index(steer(n, header, length));
	q = &n->dev.queues[index];
	pthread_mutex_lock(&q->lock);
	if (q->live) {
		virtq_hush(q);
		outcome = deliver(n, q, f);
	}
	if (outcome == BROKEN) {
		virtio_broken(&n->dev, index, q->fault);
		outcome = DROPPED;
	}
	pthread_mutex_unlock(&q->lock);
	*touched |= 1ull << index;
	if (outcome == DROPPED)
		virtio_add(n->n.rx_dropped, 1);
	return outcome;
}

static void publish(struct vnet *n, uint64_t touched)
{
	for (; touched; touched &= touched - 1) {
		uint32_t index = (uint32_t)__builtin_ctzll(touched);
		struct virtq *q = &n->dev.queues[index];

		pthread_mutex_lock(&q->lock);
		if (q->live)
			virtio_publish(&n->dev, index);
		pthread_mutex_unlock(&q->lock);
	}
}

/* A device without a driver hears nothing: the frames are gone. */
uint32_t vnet_receive(void *opaque, const struct netdev_frame *frames, uint32_t count)
{
	uint64_t touched = 0, bytes = 0;
	struct vnet *n = opaque;
	uint32_t done = 0, delivered = 0;

	pthread_mutex_lock(&n->work);
	n->rx_waiting = false;
	for (; done < count; done++) {
		enum outcome outcome = receive_one(n, &frames[done], &touched);

		if (outcome == NO_ROOM) {
			n->rx_waiting = true;
			virtio_add(n->n.rx_waits, 1);
			break;
		}
		if (outcome == DELIVERED) {
			delivered++;
			bytes += frames[done].length;
		}
	}
	publish(n, touched);
	virtio_add(n->n.rx_frames, delivered);
	virtio_add(n->n.rx_bytes, bytes);
	virtio_add(n->n.frames, delivered);
	pthread_mutex_unlock(&n->work);
	return done;
}

bool vnet_rx_refilled(struct vnet *n)
{
	bool waiting = n->rx_waiting;

	n->rx_waiting = false;
	return waiting;
}
