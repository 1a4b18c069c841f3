/* SPDX-License-Identifier: MIT */
/*
 * What the 82540EM changes in a frame before it sends it: checksums (3.5.5,
 * 3.6) and, when it cuts a packet into segments, the headers of each (3.5.8).
 * Offsets come from the guest; whatever does not fit the frame is left out.
 */
#include "dm/net/e1000-internal.h"
#include "dm/net/segment.h"

/*
 * Puts the checksum of [start, end] (end 0: the frame's) at `at`. What stands
 * there is summed too: zero, or the pseudo header's sum.
 */
static void insert(uint8_t *frame, uint32_t length, uint32_t start, uint32_t end, uint32_t at, bool udp)
{
	uint16_t sum;

	end = end && end < length ? end + 1 : length;
	if (start >= end || at + 2 > length)
		return;
	sum = (uint16_t)~net_sum(frame + start, end - start, 0);
	/* A UDP checksum of zero says that there is none. */
	net_put16(frame + at, udp && !sum ? 0xffff : sum);
}

static void insert_transport(const struct e1000_context *c, uint8_t *frame, uint32_t length)
{
	insert(frame, length, c->tucss, c->tucse, c->tucso, !(c->command & TUCMD_TCP));
}

static void insert_ip(const struct e1000_context *c, uint8_t *frame, uint32_t length)
{
	insert(frame, length, c->ipcss, c->ipcse, c->ipcso, false);
}

void e1000_insert_checksums(struct e1000_tx *tx, uint8_t *frame, uint32_t length)
{
	if (!(tx->command & TXD_DEXT)) {
		if (tx->command & TXD_IC)
			insert(frame, length, tx->css, 0, tx->cso, false);
		return;
	}
	if (tx->options & TXD_TXSM)
		insert_transport(&tx->checksum, frame, length);
	if (tx->options & TXD_IXSM)
		insert_ip(&tx->checksum, frame, length);
}

void e1000_finish_segment(struct e1000_tx *tx, uint8_t *frame, uint32_t length, bool last)
{
	const struct e1000_context *c = &tx->segment;
	struct net_cut cut = {.header = c->header_length,
	                      .ip = c->ipcss,
	                      .transport = c->tucss,
	                      .ipv4 = c->command & TUCMD_IPV4,
	                      .tcp = c->command & TUCMD_TCP};

	net_segment_headers(&cut, frame, length, tx->segments, tx->sent, last);
	if (tx->options & TXD_TXSM) {
		/* The pseudo header's sum as software left it has no length in it. */
		if (c->tucso + 2u <= c->header_length && c->tucss <= length)
			net_put16(frame + c->tucso, net_sum_add(net_get16(frame + c->tucso), (uint16_t)(length - c->tucss)));
		insert_transport(c, frame, length);
	}
	if (tx->options & TXD_IXSM)
		insert_ip(c, frame, length);
}
