/* SPDX-License-Identifier: MIT */
/*
 * One packet from its slots to a frame. Each entry is copied out of the ring
 * once. The packet's first bytes are copied too, and what is said of its
 * headers is found in that copy: the guest cannot change it any more. The rest
 * of a long packet stays in the guest's pages, and may change at any time.
 */
#include <netinet/in.h>
#include <string.h>

#include "dm/net/checksum.h"
#include "dm/net/segment.h"
#include "dm/xen/netring.h"

struct slot {
	uint32_t ref;
	uint16_t offset, size;
};

/* A packet as its entries have it. */
struct request {
	uint16_t flags, entries;
	uint32_t total;
	uint32_t n; /* slots; past NETRING_SLOTS they are counted and no more */
	struct slot slot[NETRING_SLOTS];
	uint32_t extras; /* mask of XEN_NETIF_EXTRA_TYPE_* */
	netif_extra_info_t extra[XEN_NETIF_EXTRA_TYPE_MAX];
};

/* ---- entries ---------------------------------------------------------------------------- */

/* The next entry of the packet into to; the copy is made here and nowhere else. */
static void read_entry(struct netqueue *q, struct request *r, void *to, uint32_t size, bool extra)
{
	struct nettx_batch *b = &q->vif->batch;
	uint32_t at = (q->tx_cons + r->entries++) & (NETTX_SIZE - 1);

	memcpy(to, (const void *)&q->tx->ring[at], size);
	__asm__ volatile("" ::: "memory");
	b->extra[at] = extra;
	b->id[at] = extra ? 0 : ((const netif_tx_request_t *)to)->id;
}

static void add_slot(struct request *r, const netif_tx_request_t *t)
{
	if (r->n < NETRING_SLOTS)
		r->slot[r->n] = (struct slot){t->gref, t->offset, t->size};
	r->n++;
}

/* False when the chain of extra infos has no end, or is none. */
static bool read_extras(struct netqueue *q, struct request *r, uint32_t left)
{
	netif_extra_info_t extra;

	do {
		if (r->entries == left)
			return false;
		read_entry(q, r, &extra, sizeof(extra), true);
		if (extra.type == XEN_NETIF_EXTRA_TYPE_NONE || extra.type >= XEN_NETIF_EXTRA_TYPE_MAX)
			return false;
		r->extras |= 1u << extra.type;
		r->extra[extra.type] = extra;
	} while (extra.flags & XEN_NETIF_EXTRA_FLAG_MORE);
	return true;
}

/* False when what is in the ring does not end where a packet ends. */
static bool read_request(struct netqueue *q, struct request *r, uint32_t left)
{
	netif_tx_request_t t;

	r->entries = 0;
	r->n = r->extras = 0;
	read_entry(q, r, &t, sizeof(t), false);
	r->flags = t.flags;
	r->total = t.size;
	add_slot(r, &t);
	if (t.flags & NETTXF_extra_info && !read_extras(q, r, left))
		return false;
	while (t.flags & NETTXF_more_data) {
		if (r->entries == left)
			return false;
		read_entry(q, r, &t, sizeof(t), false);
		add_slot(r, &t);
	}
	return true;
}

/* The first slot's size is the packet's: its own is what the others leave. */
static bool check_slots(struct request *r)
{
	uint32_t left = r->total;

	if (r->n > NETRING_SLOTS || r->total < NETDEV_HEADER)
		return false;
	for (uint32_t i = 1; i < r->n; i++) {
		if (r->slot[i].size > left)
			return false;
		left -= r->slot[i].size;
	}
	r->slot[0].size = (uint16_t)left;
	for (uint32_t i = 0; i < r->n; i++)
		if ((uint32_t)r->slot[i].offset + r->slot[i].size > NETRING_PAGE)
			return false;
	return true;
}

/* ---- data ------------------------------------------------------------------------------- */

static struct iovec *add_iov(struct nettx_batch *b, void *base, uint32_t length)
{
	struct netdev_frame *f = &b->frame[b->frames];

	b->iov[b->n_iov] = (struct iovec){base, length};
	f->n_iov++;
	f->length += length;
	return &b->iov[b->n_iov++];
}

/*
 * The first `copy` bytes of the packet go to the head, what lies behind them
 * stays where it is. False when a grant does not allow it.
 */
static bool add_data(struct netqueue *q, const struct request *r, uint32_t copy)
{
	struct netvif *vif = q->vif;
	struct nettx_batch *b = &vif->batch;
	uint8_t *head = b->head[b->n];
	uint32_t at = 0;

	b->frame[b->frames] = (struct netdev_frame){.iov = &b->iov[b->n_iov]};
	add_iov(b, head, copy);
	for (uint32_t i = 0; i < r->n; i++) {
		const struct slot *s = &r->slot[i];
		uint32_t part = s->size < copy - at ? s->size : copy - at;
		uint8_t *page;

		if (!s->size)
			continue;
		page = vif->grants->map(vif->grants_self, s->ref, 0, NULL);
		if (!page)
			return false;
		memcpy(head + at, page + s->offset, part);
		at += part;
		if (part == s->size) {
			vif->grants->unmap(vif->grants_self, s->ref, page, 0);
			continue;
		}
		b->hold[b->n_holds++] = (struct nettx_hold){s->ref, page};
		add_iov(b, page + s->offset + part, s->size - part);
	}
	return true;
}

/* Takes back what add_data did. */
static void drop_data(struct netvif *vif, uint32_t n_iov, uint32_t n_holds)
{
	struct nettx_batch *b = &vif->batch;

	while (b->n_holds > n_holds) {
		const struct nettx_hold *h = &b->hold[--b->n_holds];

		vif->grants->unmap(vif->grants_self, h->ref, h->page, 0);
	}
	b->n_iov = n_iov;
}

/* Padding behind the IP packet would be summed with it. */
static void trim(struct netdev_frame *f, struct iovec *iov, uint32_t length)
{
	while (f->length > length) {
		struct iovec *last = &iov[f->n_iov - 1];
		uint32_t more = f->length - length,
		         cut = more < last->iov_len ? more : (uint32_t)last->iov_len;

		last->iov_len -= cut;
		f->length -= cut;
		f->n_iov -= !last->iov_len;
	}
}

/* ---- offloads --------------------------------------------------------------------------- */

/* The checksum for a network that cannot do it. */
static void finish_csum(struct netdev_frame *f, uint8_t *head, const struct net_headers *h)
{
	uint16_t sum = (uint16_t)~net_sum_iov(f->iov, f->n_iov, h->transport, 0);

	net_put16(head + h->transport + h->csum_offset, !sum && h->protocol == IPPROTO_UDP ? 0xffff : sum);
	f->offload.flags |= NETDEV_CSUM_VALID;
}

static void blank_csum(const struct netvif *vif, struct netdev_frame *f, uint8_t *head,
                       const struct net_headers *h)
{
	/* Linux leaves the pseudo header's sum there; the protocol only says that it is blank. */
	if (!h->routed)
		net_put16(head + h->transport + h->csum_offset, net_headers_pseudo(head, h));
	if (!(vif->netdev->info.can_send & NETDEV_CAN_CSUM)) {
		finish_csum(f, head, h);
		return;
	}
	f->offload.flags |= NETDEV_CSUM_NEEDED;
	f->offload.csum_start = h->transport;
	f->offload.csum_offset = h->csum_offset;
}

/* False when the network or we do not know such segmentation, or the packet is not for it. */
static bool set_gso(const struct netvif *vif, struct netdev_frame *f, const netif_extra_info_t *e,
                    const struct net_headers *h)
{
	bool v4 = e->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV4;
	uint32_t can = vif->netdev->info.can_send;

	if (!e->u.gso.size || e->u.gso.features || h->protocol != IPPROTO_TCP)
		return false;
	if (!v4 && e->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV6)
		return false;
	if (h->ip != (v4 ? 4 : 6) || !(can & (v4 ? NETDEV_CAN_TCPV4 : NETDEV_CAN_TCPV6)))
		return false;
	/* One segment is none. */
	if (f->length - h->end <= e->u.gso.size)
		return f->length <= NETDEV_FRAME_MAX;
	f->offload.gso_type = v4 ? NETDEV_GSO_TCPV4 : NETDEV_GSO_TCPV6;
	if (h->cwr && can & NETDEV_CAN_ECN)
		f->offload.gso_type |= NETDEV_GSO_ECN;
	f->offload.gso_size = e->u.gso.size;
	f->offload.header_len = h->end;
	return true;
}

static bool set_offload(struct netvif *vif, const struct request *r, uint32_t copied)
{
	struct nettx_batch *b = &vif->batch;
	struct netdev_frame *f = &b->frame[b->frames];
	uint8_t *head = b->head[b->n];
	bool gso = r->extras & 1u << XEN_NETIF_EXTRA_TYPE_GSO;
	struct net_headers h;

	if (!gso && f->length > NETDEV_FRAME_MAX)
		return false;
	if (!gso && !(r->flags & NETTXF_csum_blank)) {
		f->offload.flags = r->flags & NETTXF_data_validated ? NETDEV_CSUM_VALID : 0;
		return true;
	}
	if (!net_headers_find(head, copied, f->length, &h))
		return false;
	trim(f, (struct iovec *)(uintptr_t)f->iov, h.total);
	if (gso && !set_gso(vif, f, &r->extra[XEN_NETIF_EXTRA_TYPE_GSO], &h))
		return false;
	/* A packet to be segmented is one whose checksum is to be made, whatever it says. */
	blank_csum(vif, f, head, &h);
	return true;
}

/* ---- packets ---------------------------------------------------------------------------- */

static bool add_frame(struct netqueue *q, struct request *r)
{
	struct nettx_batch *b = &q->vif->batch;
	uint32_t n_iov = b->n_iov, n_holds = b->n_holds;
	uint32_t copy = r->total <= NETTX_COPY ? r->total : NET_HEADERS_MAX;

	if (!check_slots(r))
		return false;
	if (!add_data(q, r, copy) || !set_offload(q->vif, r, copy)) {
		drop_data(q->vif, n_iov, n_holds);
		return false;
	}
	return true;
}

/* A request that only changes the filter: it carries no packet. */
static bool change_filter(struct netvif *vif, const struct request *r)
{
	const netif_extra_info_t *add = &r->extra[XEN_NETIF_EXTRA_TYPE_MCAST_ADD];
	const netif_extra_info_t *del = &r->extra[XEN_NETIF_EXTRA_TYPE_MCAST_DEL];

	if (r->extras & 1u << XEN_NETIF_EXTRA_TYPE_MCAST_DEL)
		netmcast_delete(&vif->mcast, del->u.mcast.addr);
	return !(r->extras & 1u << XEN_NETIF_EXTRA_TYPE_MCAST_ADD) ||
	       netmcast_add(&vif->mcast, add->u.mcast.addr);
}

bool netslot_take(struct netqueue *q, uint32_t left)
{
	static const uint32_t filter =
	        1u << XEN_NETIF_EXTRA_TYPE_MCAST_ADD | 1u << XEN_NETIF_EXTRA_TYPE_MCAST_DEL;
	struct nettx_batch *b = &q->vif->batch;
	struct nettx_packet *p = &b->packet[b->n];
	uint32_t n_holds = b->n_holds;
	struct request r;
	bool ok;

	if (!read_request(q, &r, left)) {
		netqueue_break(q, "a packet without end");
		return false;
	}
	ok = r.extras & filter ? change_filter(q->vif, &r) : add_frame(q, &r);
	*p = (struct nettx_packet){
	        .first = q->tx_cons,
	        .entries = r.entries,
	        .holds = (uint16_t)(b->n_holds - n_holds),
	        .status = ok ? NETIF_RSP_OKAY : NETIF_RSP_ERROR,
	        .frame = ok && !(r.extras & filter),
	};
	q->tx_cons += r.entries;
	b->frames += p->frame;
	b->n++;
	if (!ok)
		netring_count(q->vif->counters.bad, 1);
	return true;
}
