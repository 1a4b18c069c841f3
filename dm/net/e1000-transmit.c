/* SPDX-License-Identifier: MIT */
/*
 * The 82540EM's transmitter (3.3, 3.4). Descriptors are fetched into the
 * device in batches, as the hardware does, and the packets that they describe
 * put together in a FIFO, from which the back end takes frames. Segmentation
 * streams: a segment goes into the FIFO when its bytes have come, so that no
 * packet has to fit anywhere as a whole.
 *
 * The work stops anywhere, even in the middle of a descriptor, when the FIFO
 * is full and the back end takes nothing, or when this run has done its share,
 * and goes on from there: a guest with an odd ring keeps nobody else waiting.
 */
#include <endian.h>
#include <string.h>

#include "dm/net/e1000-internal.h"

/* Bytes, and what a frame and a descriptor count at least, in one run. */
#define BUDGET       (512 << 10)
#define BUDGET_FRAME 512
#define BUDGET_DESC  128

#define HEADROOM 4u /* for a VLAN tag */
#define FRAME_MIN 60u

/* One run: what it works by, and what it has to put back. */
struct run {
	struct e1000_ring ring;
	struct e1000_counts counts;
	uint32_t vet;
	uint32_t low, pending; /* LWTHRESH, and descriptors that there were at first */
	uint32_t missed; /* in loopback */
	int32_t budget;
	bool loopback, vlan, pad;
	bool stop;      /* the ring cannot be read */
	bool reported;  /* a descriptor was written back that asked for it */
	bool immediate; /* ... and its interrupt is not to be put off */
};

/* ---- the FIFO ---- */

static uint8_t *frame_at(struct e1000_tx *tx)
{
	return tx->fifo + tx->used + HEADROOM;
}

/* Hands frames on; false when the back end has not taken all. */
static bool flush(struct e1000 *d, struct run *run)
{
	struct e1000_tx *tx = &d->tx;
	uint32_t left = tx->n_frames - tx->first;

	if (left && run->loopback) {
		/* On a wire that leads back here nobody holds what the receiver has no room for. */
		run->missed += left - e1000_receive_locked(d, tx->frame + tx->first, left);
		tx->first += left;
	} else if (left && !tx->blocked) {
		tx->first += netdev_send(d->netdev, tx->frame + tx->first, left);
	}
	if (tx->first < tx->n_frames) {
		tx->blocked = true;
		return false;
	}
	/* What is being built moves to the front. */
	if (tx->open && tx->used)
		memmove(tx->fifo, tx->fifo + tx->used, HEADROOM + tx->length);
	tx->used = tx->first = tx->n_frames = 0;
	return true;
}

static bool open_frame(struct e1000 *d, struct run *run)
{
	struct e1000_tx *tx = &d->tx;

	if (tx->open)
		return true;
	if ((tx->n_frames == E1000_FIFO_FRAMES || tx->used + HEADROOM + E1000_FRAME_MAX + FRAME_MIN > E1000_FIFO) &&
	    !flush(d, run))
		return false;
	tx->open = true;
	tx->length = 0;
	return true;
}

/* The frame under construction is whole. */
static void close_frame(struct e1000 *d, struct run *run)
{
	struct e1000_tx *tx = &d->tx;
	uint8_t *frame = frame_at(tx);
	uint32_t length = tx->length;

	tx->open = false;
	run->budget -= BUDGET_FRAME;
	/* Without IFCS the last four bytes are the FCS that software made; not of a segment, which it did not. */
	if (!tx->tse && !(tx->command & TXD_IFCS) && length > NETDEV_HEADER + 4)
		length -= 4;
	if (run->pad && length < FRAME_MIN) {
		memset(frame + length, 0, FRAME_MIN - length);
		length = FRAME_MIN;
	}
	if (tx->tagged && run->vlan) {
		memmove(frame - 4, frame, 2 * NETDEV_MAC);
		frame -= 4;
		frame[12] = (uint8_t)(run->vet >> 8);
		frame[13] = (uint8_t)run->vet;
		frame[14] = (uint8_t)(tx->tag >> 8);
		frame[15] = (uint8_t)tx->tag;
		length += 4;
	}
	tx->iov[tx->n_frames] = (struct iovec){frame, length};
	tx->frame[tx->n_frames] =
	        (struct netdev_frame){.iov = &tx->iov[tx->n_frames], .n_iov = 1, .length = length};
	tx->n_frames++;
	tx->used += (HEADROOM + tx->length + FRAME_MIN + 7) & ~7u;
	e1000_count_frame(&run->counts, frame, length + 4);
	run->counts.total++;
	run->counts.total_octets += length + 4;
}

/* ---- packets ---- */

/* A segmentation that makes no sense is no packet. */
static bool segment_ok(const struct e1000_context *c)
{
	return c->mss && c->header_length >= NETDEV_HEADER && c->ipcss < c->header_length &&
	       c->tucss < c->header_length && (uint32_t)c->header_length + c->mss <= E1000_FRAME_MAX;
}

static void begin_packet(struct e1000_tx *tx, const struct e1000_tx_desc *desc)
{
	tx->in_packet = true;
	tx->bad = tx->tagged = false;
	tx->command = desc->lower;
	tx->options = desc->upper;
	tx->tse = (desc->lower & TXD_DEXT) && (desc->lower & TXD_TSE);
	tx->header_length = tx->sent = tx->segments = 0;
	if (tx->tse)
		tx->bad = !segment_ok(&tx->segment);
}

/* Some of the command counts in the last descriptor, but software may give it in all of them. */
static void add_command(struct e1000_tx *tx, const struct e1000_tx_desc *desc)
{
	tx->command |= desc->lower & TXD_IFCS;
	if (desc->lower & TXD_VLE) {
		tx->tagged = true;
		tx->tag = (uint16_t)(desc->upper >> 16);
	}
	if (!(tx->command & TXD_DEXT) && desc->lower & TXD_EOP) {
		tx->command |= desc->lower & TXD_IC;
		tx->cso = (uint8_t)(desc->lower >> 16);
		tx->css = (uint8_t)(desc->upper >> 8);
	}
}

static bool fetch_bytes(struct e1000 *d, uint64_t address, uint8_t *to, uint32_t n)
{
	if (!d->bus->dma_read(d->bus_self, d->function, address, to, n))
		return true;
	e1000_count(d->dma_errors);
	d->tx.bad = true;
	return false;
}

static void end_segment(struct e1000 *d, struct run *run, bool last)
{
	struct e1000_tx *tx = &d->tx;
	uint32_t payload = tx->length - tx->segment.header_length;

	e1000_finish_segment(tx, frame_at(tx), tx->length, last);
	tx->sent += payload;
	tx->segments++;
	close_frame(d, run);
}

/* Takes some of the n bytes at address into the segment; 0: there is no room in the FIFO. */
static uint32_t add_to_segment(struct e1000 *d, struct run *run, uint64_t address, uint32_t n)
{
	struct e1000_tx *tx = &d->tx;
	const struct e1000_context *c = &tx->segment;
	uint32_t left;

	if (tx->header_length < c->header_length) {
		left = c->header_length - tx->header_length;
		n = n < left ? n : left;
		if (fetch_bytes(d, address, tx->header + tx->header_length, n))
			tx->header_length += n;
		return n;
	}
	/* Only now is it known that the full one is not the last. */
	if (tx->open && tx->length == (uint32_t)c->header_length + c->mss)
		end_segment(d, run, false);
	if (!tx->open) {
		if (run->budget <= 0 || !open_frame(d, run))
			return 0;
		memcpy(frame_at(tx), tx->header, c->header_length);
		tx->length = c->header_length;
	}
	left = (uint32_t)c->header_length + c->mss - tx->length;
	n = n < left ? n : left;
	if (fetch_bytes(d, address, frame_at(tx) + tx->length, n))
		tx->length += n;
	return n;
}

static uint32_t add_to_frame(struct e1000 *d, struct run *run, uint64_t address, uint32_t n)
{
	struct e1000_tx *tx = &d->tx;

	if (!open_frame(d, run))
		return 0;
	if (n > E1000_FRAME_MAX - tx->length)
		tx->bad = true;
	else if (fetch_bytes(d, address, frame_at(tx) + tx->length, n))
		tx->length += n;
	return n;
}

/* The bytes of the descriptor at hand; false when they have to wait. */
static bool add_bytes(struct e1000 *d, struct run *run, const struct e1000_tx_desc *desc, uint32_t length)
{
	struct e1000_tx *tx = &d->tx;

	if (length > TXD_LENGTH_MAX)
		tx->bad = true;
	while (!tx->bad && tx->at < length) {
		uint64_t address = desc->address + tx->at;
		uint32_t n = tx->tse ? add_to_segment(d, run, address, length - tx->at)
		                     : add_to_frame(d, run, address, length - tx->at);

		if (!n)
			return false;
		tx->at += n;
		run->budget -= (int32_t)n;
	}
	return true;
}

static void end_packet(struct e1000 *d, struct run *run)
{
	struct e1000_tx *tx = &d->tx;

	tx->in_packet = false;
	if (tx->bad) {
		tx->open = false;
		e1000_count(d->bad_packets);
	} else if (tx->tse && tx->open) {
		end_segment(d, run, true);
		run->counts.segmented++;
	} else if (tx->open && tx->length >= NETDEV_HEADER) {
		e1000_insert_checksums(tx, frame_at(tx), tx->length);
		close_frame(d, run);
	} else {
		tx->open = false;
		e1000_count(d->bad_packets);
	}
}

/* ---- descriptors ---- */

static void load_context(struct e1000_tx *tx, const struct e1000_tx_desc *desc)
{
	struct e1000_context *c = desc->lower & TUCMD_TSE ? &tx->segment : &tx->checksum;
	uint64_t offsets = desc->address;

	*c = (struct e1000_context){
	        .ipcss = (uint8_t)offsets,
	        .ipcso = (uint8_t)(offsets >> 8),
	        .ipcse = (uint16_t)(offsets >> 16),
	        .tucss = (uint8_t)(offsets >> 32),
	        .tucso = (uint8_t)(offsets >> 40),
	        .tucse = (uint16_t)(offsets >> 48),
	        .header_length = (uint8_t)(desc->upper >> 8),
	        .mss = (uint16_t)(desc->upper >> 16),
	        .command = desc->lower,
	};
}

/* False when it has to wait. A context between the descriptors of a packet has no effect on that. */
static bool process(struct e1000 *d, struct run *run, const struct e1000_tx_desc *desc)
{
	struct e1000_tx *tx = &d->tx;
	bool extended = desc->lower & TXD_DEXT;

	if (extended && (desc->lower & TXD_TYPE) != TXD_DATA) {
		if (!tx->in_packet)
			load_context(tx, desc);
		return true;
	}
	if (!tx->in_packet)
		begin_packet(tx, desc);
	add_command(tx, desc);
	if (!add_bytes(d, run, desc, desc->lower & (extended ? TXD_LENGTH : TXD_LENGTH_LEGACY)))
		return false;
	if (desc->lower & TXD_EOP)
		end_packet(d, run);
	return true;
}

/* Tells software that the descriptor at head is done, if it wants to know. */
static void write_back(struct e1000 *d, struct run *run, const struct e1000_tx_desc *desc)
{
	uint8_t status = (uint8_t)(desc->upper & 0x0f) | TXD_DD;

	if (!(desc->lower & (TXD_RS | TXD_RPS)))
		return;
	run->reported = true;
	run->immediate |= !(desc->lower & TXD_IDE);
	if (d->bus->dma_write(d->bus_self, d->function, run->ring.base + run->ring.head * 16ull + 12, &status, 1))
		e1000_count(d->dma_errors);
}

/* Descriptors from head on into the device, up to tail or the ring's end. */
static bool fetch(struct e1000 *d, struct run *run)
{
	struct e1000_tx *tx = &d->tx;
	struct e1000_ring *r = &run->ring;
	uint32_t n = (r->tail < r->head ? r->count : r->tail) - r->head;

	tx->n = tx->next = tx->at = 0;
	if (!n)
		return false;
	n = n < E1000_BATCH ? n : E1000_BATCH;
	if (d->bus->dma_read(d->bus_self, d->function, r->base + r->head * 16ull, tx->desc, n * 16ull)) {
		e1000_count(d->dma_errors);
		run->stop = true;
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		tx->desc[i].address = le64toh(tx->desc[i].address);
		tx->desc[i].lower = le32toh(tx->desc[i].lower);
		tx->desc[i].upper = le32toh(tx->desc[i].upper);
	}
	tx->n = n;
	return true;
}

static void walk(struct e1000 *d, struct run *run)
{
	struct e1000_tx *tx = &d->tx;

	while (run->budget > 0) {
		const struct e1000_tx_desc *desc = &tx->desc[tx->next];

		if (tx->next == tx->n) {
			if (!fetch(d, run))
				return;
			continue;
		}
		if (!process(d, run, desc))
			return;
		write_back(d, run, desc);
		run->budget -= BUDGET_DESC;
		tx->next++;
		tx->at = 0;
		run->ring.head = run->ring.head + 1 == run->ring.count ? 0 : run->ring.head + 1;
	}
}

/* ---- a run ---- */

static uint32_t pending(const struct e1000_ring *r, uint32_t tail)
{
	return (tail >= r->head ? 0 : r->count) + tail - r->head;
}

/* False when there is nothing to do, or not now. */
static bool prepare(struct e1000 *d, struct run *run)
{
	bool can;

	pthread_mutex_lock(&d->lock);
	run->loopback = *e1000_reg(d, E1000_RCTL) & RCTL_LBM || e1000_phy_loopback(d);
	run->vlan = *e1000_reg(d, E1000_CTRL) & CTRL_VME;
	run->vet = *e1000_reg(d, E1000_VET) & 0xffff;
	run->pad = *e1000_reg(d, E1000_TCTL) & TCTL_PSP;
	run->low = (*e1000_reg(d, E1000_TXDCTL) >> TXDCTL_LWTHRESH_SHIFT) * 8;
	run->budget = BUDGET;
	can = *e1000_reg(d, E1000_TCTL) & TCTL_EN && (d->link || run->loopback) &&
	      e1000_ring(d, E1000_TDBAL, &run->ring);
	run->pending = pending(&run->ring, run->ring.tail);
	pthread_mutex_unlock(&d->lock);
	return can && d->bus->bus_master(d->bus_self, d->function);
}

static void finish(struct e1000 *d, struct run *run, uint32_t started)
{
	uint32_t left, causes = 0;

	pthread_mutex_lock(&d->lock);
	e1000_count_tx(d, &run->counts);
	e1000_count_rx(d, &(struct e1000_counts){.missed = run->missed, .no_buffer = run->missed});
	if (run->ring.head != started) {
		uint32_t tail = *e1000_reg(d, E1000_TDT);

		*e1000_reg(d, E1000_TDH) = run->ring.head;
		left = pending(&run->ring, tail);
		if (!left)
			causes |= ICR_TXQE;
		if (run->pending > run->low && left <= run->low && run->low)
			causes |= ICR_TXD_LOW;
	}
	if (run->reported)
		e1000_tx_done(d, !run->immediate);
	if (causes)
		e1000_causes(d, causes);
	/* The guest may have moved the tail since; then its kick is on its way. */
	pthread_mutex_unlock(&d->lock);
	if (run->budget <= 0 && !d->tx.blocked && !run->stop)
		d->host->defer_run(d->inst, d->tx_work);
}

void e1000_tx_work(void *opaque)
{
	struct e1000 *d = opaque;
	struct run run = {0};

	pthread_mutex_lock(&d->dma);
	if (prepare(d, &run)) {
		uint32_t started = run.ring.head;

		if (flush(d, &run)) {
			walk(d, &run);
			flush(d, &run);
		}
		finish(d, &run, started);
	}
	pthread_mutex_unlock(&d->dma);
}

/* From inside the back end: the work is for a call of its own. */
void e1000_tx_writable(void *opaque)
{
	struct e1000 *d = opaque;

	d->tx.blocked = false;
	d->host->defer_run(d->inst, d->tx_work);
}

void e1000_tx_reset(struct e1000 *d)
{
	struct e1000_tx *tx = &d->tx;
	uint8_t *fifo = tx->fifo;
	bool blocked = tx->blocked;

	memset(tx, 0, sizeof(*tx));
	tx->fifo = fifo;
	tx->blocked = blocked;
}
