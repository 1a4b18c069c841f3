/* SPDX-License-Identifier: MIT */
/*
 * The 82540EM's receiver (3.2). Frames come from the back end in batches; each
 * that passes the filter is spread over as many descriptors as it needs. For
 * frames that find too few descriptors the back end is the FIFO: they stay
 * there until software moves the tail.
 */
#include <endian.h>
#include <string.h>

#include "dm/net/e1000-internal.h"

#define FCS 4u
#define FRAME_MIN 60u

/* One batch: what it works by, and what it has to put back. */
struct batch {
	struct e1000_filter filter;
	struct e1000_ring ring;
	struct e1000_counts counts;
	uint32_t buffer;   /* bytes of each descriptor's */
	uint32_t rxcsum, small;
	bool on, has_ring, small_packet;

	struct e1000_rx_desc desc[E1000_BATCH]; /* fetched: those from ring.head on */
	uint32_t n, next;
	/* The frame at hand, put together with its FCS and without its tag. */
	uint8_t frame[E1000_FRAME_MAX + FRAME_MIN + FCS];
};

/* ---- what the descriptor says of a frame ---- */

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/*
 * Whether the TCP or UDP packet that begins at `at` in the frame and is n
 * bytes long has the right checksum. addresses, 2 * size bytes, are IP's.
 */
static void check_transport(const uint8_t *frame, uint32_t at, uint32_t n, uint32_t protocol, uint32_t addresses,
                            uint32_t size, bool valid, struct e1000_rx_desc *desc)
{
	uint16_t sum;

	if (!(protocol == 6 && n >= 20) && !(protocol == 17 && n >= 8))
		return;
	if (protocol == 17 && !get16(frame + at + 6))
		return; /* none was made */
	desc->status |= RXD_TCPCS;
	if (valid)
		return;
	sum = net_sum(frame + addresses, 2 * size, (uint16_t)n);
	sum = net_sum(frame + at, n, net_sum_add(sum, (uint16_t)protocol));
	if (sum != 0xffff)
		desc->errors |= RXD_TCPE;
}

static void check_ipv4(const struct batch *b, uint32_t at, uint32_t length, bool valid, struct e1000_rx_desc *desc)
{
	const uint8_t *ip = b->frame + at;
	uint32_t header, total;

	if (length < at + 20 || ip[0] >> 4 != 4)
		return;
	header = (ip[0] & 15u) * 4;
	total = get16(ip + 2);
	if (header < 20 || total < header || total > length - at)
		return;
	if (b->rxcsum & RXCSUM_IPOFL) {
		desc->status |= RXD_IPCS;
		if (net_sum(ip, header, 0) != 0xffff)
			desc->errors |= RXD_IPE;
	}
	/* Not of a fragment. */
	if (b->rxcsum & RXCSUM_TUOFL && !(get16(ip + 6) & 0x3fff))
		check_transport(b->frame, at + header, total - header, ip[9], at + 12, 4, valid, desc);
}

static void check_ipv6(const struct batch *b, uint32_t at, uint32_t length, bool valid, struct e1000_rx_desc *desc)
{
	const uint8_t *ip = b->frame + at;
	uint32_t n;

	if (length < at + 40 || ip[0] >> 4 != 6 || !(b->rxcsum & RXCSUM_TUOFL))
		return;
	n = get16(ip + 4);
	if (n <= length - at - 40)
		check_transport(b->frame, at + 40, n, ip[6], at + 8, 16, valid, desc);
}

/* Fills status, errors and checksum; length is without the FCS. */
static void describe(const struct batch *b, uint32_t length, bool valid, struct e1000_rx_desc *desc)
{
	uint32_t start = b->rxcsum & RXCSUM_PCSS, type = get16(b->frame + 12), at = NETDEV_HEADER;

	if (start < length)
		desc->checksum = (uint16_t)~net_sum(b->frame + start, length - start, 0);
	if (type == b->filter.vet && length >= NETDEV_HEADER + 4) {
		type = get16(b->frame + 16);
		at += 4;
	}
	if (type == 0x0800)
		check_ipv4(b, at, length, valid, desc);
	else if (type == 0x86dd)
		check_ipv6(b, at, length, valid, desc);
	if (!(desc->status & (RXD_IPCS | RXD_TCPCS)))
		desc->status |= RXD_IXSM;
}

/* ---- descriptors ---- */

static uint32_t available(const struct e1000_ring *r)
{
	return (r->tail >= r->head ? 0 : r->count) + r->tail - r->head;
}

/* The next descriptor, NULL when the ring cannot be read. There is one. */
static struct e1000_rx_desc *fetch(struct e1000 *d, struct batch *b)
{
	struct e1000_ring *r = &b->ring;
	uint32_t n = (r->tail < r->head ? r->count : r->tail) - r->head;

	if (b->next < b->n)
		return &b->desc[b->next];
	b->n = b->next = 0;
	n = n < E1000_BATCH ? n : E1000_BATCH;
	if (d->bus->dma_read(d->bus_self, d->function, r->base + r->head * 16ull, b->desc, n * 16ull)) {
		e1000_count(d->dma_errors);
		return NULL;
	}
	b->n = n;
	return &b->desc[0];
}

/* Software may use the descriptor as soon as its status is there, so that goes with the last write. */
static bool write_back(struct e1000 *d, struct batch *b, const struct e1000_rx_desc *desc)
{
	struct e1000_rx_desc out = {
	        .length = htole16(desc->length),
	        .checksum = htole16(desc->checksum),
	        .status = desc->status,
	        .errors = desc->errors,
	        .special = htole16(desc->special),
	};
	uint64_t half;

	memcpy(&half, (const uint8_t *)&out + 8, 8);
	return !d->bus->dma_write(d->bus_self, d->function, b->ring.base + b->ring.head * 16ull + 8, &half, 8);
}

/* The frame's bytes, `length` of them, over as many descriptors as it takes. */
static void deliver(struct e1000 *d, struct batch *b, uint32_t length, const struct e1000_rx_desc *what)
{
	uint32_t at = 0;

	while (at < length) {
		struct e1000_rx_desc *slot = fetch(d, b), out = *what;
		uint32_t n = length - at < b->buffer ? length - at : b->buffer;

		if (!slot)
			return;
		/* A buffer of address 0 is none, 3.2.3. */
		if (slot->address &&
		    d->bus->dma_write(d->bus_self, d->function, le64toh(slot->address), b->frame + at, n))
			e1000_count(d->dma_errors);
		at += n;
		out.length = (uint16_t)n;
		out.status |= RXD_DD | (at == length ? RXD_EOP : 0);
		if (!write_back(d, b, &out))
			e1000_count(d->dma_errors);
		b->next++;
		b->ring.head = b->ring.head + 1 == b->ring.count ? 0 : b->ring.head + 1;
	}
}

/* ---- one frame ---- */

/* Copies the frame to b->frame; its length, 0 when it is none. */
static uint32_t gather(struct batch *b, const struct netdev_frame *frame)
{
	uint32_t length = 0;

	if (frame->offload.gso_type || frame->offload.flags & NETDEV_CSUM_NEEDED)
		return 0;
	for (uint32_t i = 0; i < frame->n_iov; i++) {
		if (frame->iov[i].iov_len > E1000_FRAME_MAX - length)
			return 0;
		memcpy(b->frame + length, frame->iov[i].iov_base, frame->iov[i].iov_len);
		length += (uint32_t)frame->iov[i].iov_len;
	}
	if (length < NETDEV_HEADER)
		return 0;
	if (length < FRAME_MIN) {
		memset(b->frame + length, 0, FRAME_MIN - length);
		length = FRAME_MIN;
	}
	return length;
}

/* Whether the frame goes to software; counts it. */
static bool wanted(struct e1000 *d, struct batch *b, uint32_t length, struct e1000_rx_desc *desc)
{
	uint32_t limit = get16(b->frame + 12) == b->filter.vet ? 1518 : 1514;
	enum e1000_match match = e1000_filter(&b->filter, b->frame, length);

	b->counts.total++;
	b->counts.total_octets += length + FCS;
	if (match == E1000_PAUSE) {
		/* Nothing that is on its way here can be paused: only counted. */
		if (get16(b->frame + 14) != 1)
			b->counts.pause_unknown++;
		else if (get16(b->frame + 16))
			b->counts.xoff++;
		else
			b->counts.xon++;
		return false;
	}
	if (match == E1000_DROP) {
		e1000_count(d->rx_filtered);
		return false;
	}
	if (length > limit && !(b->filter.rctl & RCTL_LPE)) {
		b->counts.too_long++;
		return b->filter.rctl & RCTL_SBP;
	}
	if (match == E1000_INEXACT)
		desc->status |= RXD_PIF;
	return true;
}

/* Takes the tag out if it is to; the length left. */
static uint32_t strip_tag(struct batch *b, uint32_t length, struct e1000_rx_desc *desc)
{
	if (!b->filter.strip || get16(b->frame + 12) != b->filter.vet || length < NETDEV_HEADER + 4)
		return length;
	desc->status |= RXD_VP;
	desc->special = (uint16_t)get16(b->frame + 14);
	memmove(b->frame + 12, b->frame + 16, length - 16);
	return length - 4;
}

/* False when there are too few descriptors for it. */
static bool receive_one(struct e1000 *d, struct batch *b, const struct netdev_frame *frame)
{
	struct e1000_counts before = b->counts;
	struct e1000_rx_desc desc = {0};
	uint32_t length = gather(b, frame), fcs;

	if (!length) {
		e1000_count(d->bad_packets);
		return true;
	}
	if (!wanted(d, b, length, &desc))
		return true;
	if (available(&b->ring) * (uint64_t)b->buffer < length + FCS) {
		b->counts = before;
		return false;
	}
	e1000_count_frame(&b->counts, b->frame, length + FCS);
	if (length + FCS <= b->small)
		b->small_packet = true;
	fcs = b->filter.rctl & RCTL_SECRC ? 0 : htole32(net_fcs(&d->fcs, b->frame, length));
	length = strip_tag(b, length, &desc);
	describe(b, length, frame->offload.flags & NETDEV_CSUM_VALID, &desc);
	if (!(b->filter.rctl & RCTL_SECRC)) {
		memcpy(b->frame + length, &fcs, FCS);
		length += FCS;
	}
	deliver(d, b, length, &desc);
	return true;
}

/* ---- a batch ---- */

static uint32_t buffer_size(uint32_t rctl)
{
	uint32_t size = 2048u >> (rctl >> RCTL_BSIZE_SHIFT & 3);

	/* With BSEX sizes are sixteen times as large, and 00 is reserved. */
	return rctl & RCTL_BSEX && size < 2048 ? size * 16 : size;
}

static void prepare(struct e1000 *d, struct batch *b)
{
	memset(&b->counts, 0, sizeof(b->counts));
	memset(&b->ring, 0, sizeof(b->ring));
	b->n = b->next = 0;
	b->small_packet = false;
	pthread_mutex_lock(&d->lock);
	e1000_filter_copy(d, &b->filter);
	b->on = b->filter.rctl & RCTL_EN && (d->link || b->filter.rctl & RCTL_LBM || e1000_phy_loopback(d));
	b->has_ring = b->on && e1000_ring(d, E1000_RDBAL, &b->ring);
	b->buffer = buffer_size(b->filter.rctl);
	b->rxcsum = *e1000_reg(d, E1000_RXCSUM);
	b->small = *e1000_reg(d, E1000_RSRPD) & 0xfff;
	pthread_mutex_unlock(&d->lock);
}

/* wait: frames are left, for which there were no descriptors. */
static void finish(struct e1000 *d, struct batch *b, uint32_t started, bool wait)
{
	uint32_t shift = (b->filter.rctl >> RCTL_RDMTS_SHIFT & 3) + 1, causes = 0;
	bool moved;

	pthread_mutex_lock(&d->lock);
	e1000_count_rx(d, &b->counts);
	if (b->ring.head != started) {
		*e1000_reg(d, E1000_RDH) = b->ring.head;
		if (shift < 4 && available(&b->ring) <= b->ring.count >> shift)
			causes |= ICR_RXDMT0;
		if (b->small_packet)
			causes |= ICR_SRPD;
		if (causes)
			e1000_causes(d, causes);
		e1000_rx_done(d);
	}
	/* Software may have moved the tail since it was looked at. */
	moved = b->has_ring && *e1000_reg(d, E1000_RDT) != b->ring.tail;
	d->rx_waiting = wait && !moved;
	pthread_mutex_unlock(&d->lock);
	if (wait && moved)
		d->host->defer_run(d->inst, d->rx_work);
}

/* A receiver that is off hears nothing: the frames are gone. */
uint32_t e1000_receive_locked(struct e1000 *d, const struct netdev_frame *frames, uint32_t n)
{
	struct batch b;
	uint32_t done = 0, started;

	prepare(d, &b);
	if (!b.on || !d->bus->bus_master(d->bus_self, d->function))
		return n;
	started = b.ring.head;
	while (done < n && receive_one(d, &b, &frames[done]))
		done++;
	finish(d, &b, started, done < n);
	return done;
}

uint32_t e1000_receive(void *opaque, const struct netdev_frame *frames, uint32_t n)
{
	struct e1000 *d = opaque;
	uint32_t done;

	pthread_mutex_lock(&d->dma);
	done = e1000_receive_locked(d, frames, n);
	pthread_mutex_unlock(&d->dma);
	return done;
}

void e1000_rx_work(void *opaque)
{
	struct e1000 *d = opaque;

	netdev_ready(d->netdev);
}
