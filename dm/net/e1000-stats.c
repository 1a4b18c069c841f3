/* SPDX-License-Identifier: MIT */
/*
 * Statistics of the 82540EM (13.7): 32-bit counters that stop at their end and
 * are cleared by reading; octet counters are pairs, cleared with the upper half.
 */
#include "dm/net/e1000-internal.h"

void e1000_count_frame(struct e1000_counts *c, const uint8_t *frame, uint32_t length)
{
	static const uint32_t limits[5] = {64, 127, 255, 511, 1023};
	uint32_t size = 0;

	while (size < 5 && length > limits[size])
		size++;
	c->good++;
	c->size[size]++;
	c->octets += length;
	if (frame[0] == 0xff && frame[1] == 0xff && frame[2] == 0xff && frame[3] == 0xff && frame[4] == 0xff &&
	    frame[5] == 0xff)
		c->broadcast++;
	else if (frame[0] & 1)
		c->multicast++;
}

static void add(struct e1000 *d, uint32_t offset, uint32_t n)
{
	uint32_t *r = e1000_reg(d, offset);

	*r = n > UINT32_MAX - *r ? UINT32_MAX : *r + n;
}

static void add_octets(struct e1000 *d, uint32_t offset, uint64_t n)
{
	uint32_t *low = e1000_reg(d, offset), *high = low + 1;
	uint64_t value = (uint64_t)*high << 32 | *low;

	value = n > UINT64_MAX - value ? UINT64_MAX : value + n;
	*low = (uint32_t)value;
	*high = (uint32_t)(value >> 32);
}

static void add_sizes(struct e1000 *d, uint32_t offset, const struct e1000_counts *c)
{
	for (uint32_t i = 0; i < 6; i++)
		add(d, offset + 4 * i, c->size[i]);
}

/* Once for a batch, and not for none. */
static void add_sign(uint64_t *sign, uint32_t frames)
{
	if (frames)
		__atomic_fetch_add(sign, frames, __ATOMIC_RELAXED);
}

void e1000_count_rx(struct e1000 *d, const struct e1000_counts *c)
{
	add_sign(d->received, c->good);
	add_sizes(d, E1000_PRC64, c);
	add(d, E1000_GPRC, c->good);
	add(d, E1000_BPRC, c->broadcast);
	add(d, E1000_MPRC, c->multicast);
	add_octets(d, E1000_GORCL, c->octets);
	add_octets(d, E1000_TORL, c->total_octets);
	add(d, E1000_TPR, c->total);
	add(d, E1000_MPC, c->missed);
	add(d, E1000_RNBC, c->no_buffer);
	add(d, E1000_ROC, c->too_long);
	add(d, E1000_FCRUC, c->pause_unknown);
	add(d, E1000_XONRXC, c->xon);
	add(d, E1000_XOFFRXC, c->xoff);
}

void e1000_count_tx(struct e1000 *d, const struct e1000_counts *c)
{
	add_sign(d->sent, c->good);
	add_sizes(d, E1000_PTC64, c);
	add(d, E1000_GPTC, c->good);
	add(d, E1000_BPTC, c->broadcast);
	add(d, E1000_MPTC, c->multicast);
	add_octets(d, E1000_GOTCL, c->octets);
	add_octets(d, E1000_TOTL, c->total_octets);
	add(d, E1000_TPT, c->total);
	add(d, E1000_TSCTC, c->segmented);
}

uint32_t e1000_stat_read(struct e1000 *d, uint32_t offset)
{
	uint32_t value = *e1000_reg(d, offset);
	uint32_t pair = offset & ~7u;

	if (pair == E1000_GORCL || pair == E1000_GOTCL || pair == E1000_TORL || pair == E1000_TOTL) {
		/* The lower half is read first, and must not change before the upper. */
		if (offset == pair)
			return value;
		*e1000_reg(d, pair) = 0;
	}
	*e1000_reg(d, offset) = 0;
	return value;
}
