/* SPDX-License-Identifier: MIT */
/*
 * From the network into the guest's buffers, a page each, which the ring has
 * one entry for. A frame takes as many as it needs, and one more, whose buffer
 * is not used, for what is to be said of its segmentation. The answer to an
 * entry is put where the entry was, as front ends expect.
 *
 * When there are too few, the frame stays with the network, the guest is asked
 * to notify when there are enough, and that is when the network is told.
 */
#include <string.h>

#include "dm/net/checksum.h"
#include "dm/net/segment.h"
#include "dm/xen/netring.h"

#define UDP_CSUM 6u

/* A frame on its way into the ring. */
struct delivery {
	const struct iovec *iov;
	uint32_t n_iov, i, at; /* the next byte: piece and offset */
	uint32_t left;
	uint16_t flags; /* of the first answer */
	uint8_t gso;    /* XEN_NETIF_GSO_TYPE_*; NONE: no extra info */
	uint16_t gso_size;
	uint32_t patched; /* bytes of head that stand for the frame's; 0: it goes as it is */
	uint8_t head[NET_HEADERS_MAX];
};

/* ---- what the guest has to be told ------------------------------------------------------ */

const uint8_t *netrx_head(const struct netdev_frame *frame, uint8_t buf[NET_HEADERS_MAX], uint32_t *n)
{
	uint32_t want = frame->length < NET_HEADERS_MAX ? frame->length : NET_HEADERS_MAX, at = 0;

	*n = want;
	if (frame->n_iov && frame->iov[0].iov_len >= want)
		return frame->iov[0].iov_base;
	for (uint32_t i = 0; i < frame->n_iov && at < want; i++) {
		uint32_t part =
		        frame->iov[i].iov_len < want - at ? (uint32_t)frame->iov[i].iov_len : want - at;

		memcpy(buf + at, frame->iov[i].iov_base, part);
		at += part;
	}
	*n = at;
	return buf;
}

/* Makes the checksum in a copy of the head. False when it does not lie there. */
static bool finish_csum(struct delivery *d, const struct netdev_frame *f, const uint8_t *head, uint32_t n)
{
	uint32_t at = (uint32_t)f->offload.csum_start + f->offload.csum_offset;
	uint16_t sum;

	if (at + 2 > n || f->offload.csum_start > f->length)
		return false;
	sum = (uint16_t)~net_sum_iov(f->iov, f->n_iov, f->offload.csum_start, 0);
	/* A UDP checksum of zero says that there is none. */
	if (!sum && f->offload.csum_offset == UDP_CSUM)
		sum = 0xffff;
	if (head != d->head)
		memcpy(d->head, head, n);
	net_put16(d->head + at, sum);
	d->patched = n;
	d->flags |= NETRXF_data_validated;
	return true;
}

/* Whether the front end can finish the checksum: it looks for it where the headers say. */
static bool front_takes(const struct netterms *t, const struct netdev_offload *o, const struct net_headers *h)
{
	return o->csum_start == h->transport && o->csum_offset == h->csum_offset &&
	       (h->ip == 4 ? t->csum_ipv4 : t->csum_ipv6);
}

static bool describe_csum(const struct netterms *t, struct delivery *d, const struct netdev_frame *f)
{
	struct net_headers h;
	uint32_t n;
	const uint8_t *head = netrx_head(f, d->head, &n);
	bool known = net_headers_find(head, n, f->length, &h);

	if (known && front_takes(t, &f->offload, &h)) {
		d->flags |= NETRXF_csum_blank | NETRXF_data_validated;
		return true;
	}
	return finish_csum(d, f, head, n);
}

/* Segmentation goes with a checksum that is left to the receiver. */
static bool describe_gso(const struct netterms *t, struct delivery *d, const struct netdev_offload *o)
{
	uint8_t type = o->gso_type & (uint8_t)~NETDEV_GSO_ECN;

	if (type == NETDEV_GSO_TCPV4 && t->gso_tcpv4)
		d->gso = XEN_NETIF_GSO_TYPE_TCPV4;
	else if (type == NETDEV_GSO_TCPV6 && t->gso_tcpv6)
		d->gso = XEN_NETIF_GSO_TYPE_TCPV6;
	d->gso_size = o->gso_size;
	d->flags |= NETRXF_extra_info;
	return d->gso && o->gso_size && d->flags & NETRXF_csum_blank;
}

/* False when the frame cannot be given to this front end. */
static bool describe(const struct netterms *t, struct delivery *d, const struct netdev_frame *f)
{
	d->iov = f->iov;
	d->n_iov = f->n_iov;
	d->i = d->at = d->patched = 0;
	d->left = f->length;
	d->flags = f->offload.flags & NETDEV_CSUM_VALID ? NETRXF_data_validated : 0;
	d->gso = XEN_NETIF_GSO_TYPE_NONE;
	if (f->length < NETDEV_HEADER || f->length > (t->sg ? NETDEV_GSO_MAX : NETRING_PAGE))
		return false;
	if (f->offload.flags & NETDEV_CSUM_NEEDED && !describe_csum(t, d, f))
		return false;
	if (f->offload.gso_type)
		return describe_gso(t, d, &f->offload);
	return f->length <= NETDEV_FRAME_MAX;
}

/* ---- copying ---------------------------------------------------------------------------- */

/* The next `length` bytes of the frame; to NULL: they are lost. */
static void copy(struct delivery *d, uint8_t *to, uint32_t length)
{
	while (length) {
		uint32_t have = (uint32_t)d->iov[d->i].iov_len - d->at, part;
		const uint8_t *from = (const uint8_t *)d->iov[d->i].iov_base + d->at;

		if (!have) {
			d->i++;
			d->at = 0;
			continue;
		}
		part = have < length ? have : length;
		if (to)
			to = (uint8_t *)memcpy(to, from, part) + part;
		length -= part;
		d->at += part;
	}
}

static void put_answer(struct netqueue *q, const netif_rx_request_t *r, uint16_t flags, int16_t status)
{
	netif_rx_response_t *rsp = &q->rx->ring[q->rx_cons++ & (NETRX_SIZE - 1)].rsp;

	*rsp = (netif_rx_response_t){.id = r->id, .flags = flags, .status = status};
}

static netif_rx_request_t next_request(struct netqueue *q)
{
	netif_rx_request_t r;

	memcpy(&r, &q->rx->ring[q->rx_cons & (NETRX_SIZE - 1)].req, sizeof(r));
	__asm__ volatile("" ::: "memory");
	return r;
}

/* One buffer's worth of the frame. */
static void put_slot(struct netqueue *q, struct delivery *d, bool first)
{
	struct netvif *vif = q->vif;
	netif_rx_request_t r = next_request(q);
	uint32_t length = d->left < NETRING_PAGE ? d->left : NETRING_PAGE;
	uint8_t *page = vif->grants->map(vif->grants_self, r.gref, 1, NULL);
	uint16_t flags = first ? d->flags : 0;

	d->left -= length;
	if (d->left)
		flags |= NETRXF_more_data;
	if (!page) {
		netring_count(vif->counters.rx_errors, 1);
		copy(d, NULL, length);
		put_answer(q, &r, flags, NETIF_RSP_ERROR);
		return;
	}
	copy(d, page, length);
	/* A head that was changed is laid over what was copied. */
	if (first && d->patched)
		memcpy(page, d->head, d->patched);
	vif->grants->unmap(vif->grants_self, r.gref, page, 1);
	put_answer(q, &r, flags, (int16_t)length);
}

static void put_extra(struct netqueue *q, const struct delivery *d)
{
	netif_extra_info_t extra = {.type = XEN_NETIF_EXTRA_TYPE_GSO};

	extra.u.gso.size = d->gso_size;
	extra.u.gso.type = d->gso;
	memcpy(&q->rx->ring[q->rx_cons++ & (NETRX_SIZE - 1)].rsp, &extra, sizeof(extra));
}

/* ---- buffers ---------------------------------------------------------------------------- */

/* How many the guest has posted; UINT32_MAX: nonsense. */
static uint32_t posted(struct netqueue *q)
{
	uint32_t n = __atomic_load_n(&q->rx->req_prod, __ATOMIC_ACQUIRE) - q->rx_cons;

	if (n <= NETRX_SIZE)
		return n;
	netqueue_break(q, "more buffers than entries");
	return UINT32_MAX;
}

/* Asks for a notification when there are enough; true when there are already. */
static bool wait_for(struct netqueue *q, uint32_t wants)
{
	__atomic_store_n(&q->rx->req_event, q->rx_cons + wants, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return posted(q) >= wants;
}

bool netrx_ready(struct netqueue *q)
{
	if (!q->rx_wants || !wait_for(q, q->rx_wants))
		return false;
	q->rx_wants = 0;
	return true;
}

/* False when the frame has to wait. */
static bool have_buffers(struct netqueue *q, uint32_t wants)
{
	if (posted(q) >= wants || wait_for(q, wants))
		return true;
	q->rx_wants = wants;
	return false;
}

/* ---- frames ----------------------------------------------------------------------------- */

static bool filtered(const struct netvif *vif, const struct netdev_frame *f)
{
	const uint8_t *head = f->iov[0].iov_base;

	return vif->terms.multicast && f->iov[0].iov_len >= NETDEV_MAC && head[0] & 1 &&
	       !netmcast_pass(&vif->mcast, head);
}

/* False when it has to wait. Sets *bytes to what was given to the guest. */
static bool receive_one(struct netqueue *q, const struct netdev_frame *f, uint64_t *bytes)
{
	struct netvif *vif = q->vif;
	struct delivery d;
	bool first = true;

	*bytes = 0;
	if (!f->n_iov || filtered(vif, f) || !describe(&vif->terms, &d, f)) {
		netring_count(vif->counters.rx_dropped, 1);
		return true;
	}
	if (!have_buffers(q, (f->length + NETRING_PAGE - 1) / NETRING_PAGE +
	                             (d.gso != XEN_NETIF_GSO_TYPE_NONE))) {
		/* A front end that does not say when it has buffers must not be waited for. */
		if (vif->terms.rx_notify || vif->broken)
			return false;
		q->rx_wants = 0;
		netring_count(vif->counters.rx_dropped, 1);
		return true;
	}
	if (vif->broken)
		return false;
	for (; d.left; first = false) {
		put_slot(q, &d, first);
		if (first && d.gso)
			put_extra(q, &d);
	}
	*bytes = f->length;
	return true;
}

uint32_t netrx_receive(struct netqueue *q, const struct netdev_frame *frames, uint32_t n)
{
	struct netcounters *c = &q->vif->counters;
	uint64_t total = 0, given = 0, bytes;
	uint32_t i = 0;

	while (i < n && receive_one(q, &frames[i], &bytes)) {
		total += bytes;
		given += bytes != 0;
		i++;
	}
	netring_count(c->rx_frames, given);
	netring_count(c->rx_bytes, total);
	netring_count(c->frames, given);
	return i;
}

void netrx_publish(struct netqueue *q)
{
	netqueue_publish(q, &q->rx->rsp_prod, &q->rx->rsp_event, &q->rx_published, q->rx_cons, q->rx_port);
}
