/* SPDX-License-Identifier: MIT */
/*
 * The 82540EM's register file (chapter 13): one table says of every register
 * which bits can be written, and what else happens. What is not in the table
 * reads as zero and cannot be written, and is counted. Registers are 32 bits
 * wide; narrower reads show a part, narrower writes do nothing.
 *
 * BAR 0 is the file itself; BAR 1 a window to it in I/O space (13.2.2).
 */
#include <string.h>

#include "dm/net/e1000-internal.h"

#define IOADDR 0
#define IODATA 4

struct rule {
	uint32_t first, last; /* offsets of the registers, 4 apart */
	uint32_t at;          /* of the first of them in reg[]; another one for an alias of 13.4's 82542 addresses */
	uint32_t mask;        /* bits that can be written */
	uint32_t (*read)(struct e1000 *d, uint32_t at);
	void (*write)(struct e1000 *d, uint32_t at, uint32_t value);
	bool stops; /* a write may turn a ring off: it waits for what is under way */
};

/* ---- reads ---- */

static uint32_t read_zero(struct e1000 *d, uint32_t at)
{
	(void)d;
	(void)at;
	return 0;
}

static uint32_t read_status(struct e1000 *d, uint32_t at)
{
	uint32_t status = STATUS_FD | STATUS_SPEED_1000 | STATUS_ASDV_1000;

	(void)at;
	if (d->link)
		status |= STATUS_LU;
	return status;
}

static uint32_t read_icr(struct e1000 *d, uint32_t at)
{
	(void)at;
	return e1000_icr_read(d);
}

static uint32_t read_eecd(struct e1000 *d, uint32_t at)
{
	(void)at;
	return e1000_eecd_read(d);
}

/* ---- writes ---- */

static void write_ctrl(struct e1000 *d, uint32_t at, uint32_t value)
{
	if (value & CTRL_RST) {
		e1000_device_reset(d);
		return;
	}
	*e1000_reg(d, at) = value & ~CTRL_PHY_RST;
	if (value & CTRL_PHY_RST) {
		e1000_phy_reset(d);
		d->link = false;
	}
	e1000_link_update(d);
}

static void write_ctrl_ext(struct e1000 *d, uint32_t at, uint32_t value)
{
	*e1000_reg(d, at) = value & ~CTRL_EXT_EE_RST;
	if (value & CTRL_EXT_EE_RST)
		e1000_eeprom_load(d);
}

static void write_eecd(struct e1000 *d, uint32_t at, uint32_t value)
{
	(void)at;
	e1000_eecd_write(d, value);
}

static void write_eerd(struct e1000 *d, uint32_t at, uint32_t value)
{
	*e1000_reg(d, at) = e1000_eerd(d, value);
}

static void write_mdic(struct e1000 *d, uint32_t at, uint32_t value)
{
	*e1000_reg(d, at) = e1000_mdic(d, value);
}

static void write_icr(struct e1000 *d, uint32_t at, uint32_t value)
{
	*e1000_reg(d, at) &= ~value;
	e1000_causes(d, 0);
}

static void write_ics(struct e1000 *d, uint32_t at, uint32_t value)
{
	(void)at;
	e1000_causes(d, value & ICR_ALL);
}

static void write_ims(struct e1000 *d, uint32_t at, uint32_t value)
{
	*e1000_reg(d, at) |= value;
	e1000_causes(d, 0);
}

static void write_imc(struct e1000 *d, uint32_t at, uint32_t value)
{
	(void)at;
	*e1000_reg(d, E1000_IMS) &= ~value;
	e1000_causes(d, 0);
}

static void kick_rx(struct e1000 *d)
{
	if (!d->rx_waiting)
		return;
	d->rx_waiting = false;
	d->host->defer_run(d->inst, d->rx_work);
}

static void write_rx(struct e1000 *d, uint32_t at, uint32_t value)
{
	*e1000_reg(d, at) = value;
	kick_rx(d);
}

static void write_rdtr(struct e1000 *d, uint32_t at, uint32_t value)
{
	*e1000_reg(d, at) = value & 0xffff;
	if (!(value & RDTR_FPD) || !d->intr.rx)
		return;
	d->intr.rx = d->intr.rx_limit = 0;
	e1000_causes(d, ICR_RXT0);
}

static void write_tx(struct e1000 *d, uint32_t at, uint32_t value)
{
	*e1000_reg(d, at) = value;
	d->host->defer_run(d->inst, d->tx_work);
}

/* Another ring: descriptors that were fetched belong to the old one. */
static void write_tx_ring(struct e1000 *d, uint32_t at, uint32_t value)
{
	*e1000_reg(d, at) = value;
	d->tx.n = d->tx.next = d->tx.at = 0;
	d->tx.in_packet = d->tx.open = false;
}

/* ---- the table ---- */

#define ALIAS(from, name, n, m, ...)                                                                         \
	{.first = (from), .last = (from) + 4 * ((n) - 1), .at = E1000_##name, .mask = (m), __VA_ARGS__}
#define REGS(name, n, ...) ALIAS(E1000_##name, name, n, __VA_ARGS__)
#define REG(name, ...)     REGS(name, 1, __VA_ARGS__)

#define ALL 0xffffffffu

/* Entry 0 is for what is not there. */
static const struct rule rules[] = {
        {.mask = 0},
        REG(CTRL, 0xfc3dffedu, .write = write_ctrl, .stops = true),
        ALIAS(0x0004, CTRL, 1, 0xfc3dffedu, .write = write_ctrl, .stops = true),
        REG(STATUS, 0, .read = read_status),
        REG(EECD, EECD_HELD, .read = read_eecd, .write = write_eecd),
        REG(EERD, 0xffffffefu, .write = write_eerd),
        REG(CTRL_EXT, 0x00c1fff0u, .write = write_ctrl_ext),
        REG(MDIC, 0x6fffffffu, .write = write_mdic),
        REG(FCAL, ALL),
        REG(FCAH, 0xffff),
        REG(FCT, 0xffff),
        REG(VET, 0xffff),
        REG(ICR, ICR_ALL, .read = read_icr, .write = write_icr),
        REG(ITR, 0xffff),
        REG(ICS, ICR_ALL, .read = read_zero, .write = write_ics),
        REG(IMS, ICR_ALL, .write = write_ims),
        REG(IMC, ICR_ALL, .read = read_zero, .write = write_imc),
        REG(RCTL, 0x06dfb3feu, .write = write_rx, .stops = true),
        REG(FCTTV, 0xffff),
        REG(TXCW, 0xc000ffffu),
        REG(RXCW, 0),
        REG(TCTL, 0x07ffffffu & ~1u, .write = write_tx, .stops = true),
        REG(TIPG, 0x3fffffffu),
        REG(AIT, 0xffff),
        REG(LEDCTL, 0xcfcfcfcfu),
        REG(PBA, 0xffff),
        REG(FCRTL, 0x8000fff8u),
        REG(FCRTH, 0xfff8u),
        REGS(RDFH, 9, 0x1fffu),
        REG(RDBAL, 0xfffffff0u),
        REG(RDBAH, ALL),
        REG(RDLEN, 0x000fff80u, .write = write_rx),
        REG(RDH, 0xffff),
        REG(RDT, 0xffff, .write = write_rx),
        REG(RDTR, 0x8000ffffu, .write = write_rdtr),
        REG(RXDCTL, 0x013f3f3fu),
        REG(RADV, 0xffff),
        REG(RSRPD, 0xfff),
        REG(TXDMAC, 1),
        REGS(TDFH, 9, 0x1fffu),
        REG(TDBAL, 0xfffffff0u, .write = write_tx_ring, .stops = true),
        REG(TDBAH, ALL, .write = write_tx_ring, .stops = true),
        REG(TDLEN, 0x000fff80u, .write = write_tx_ring, .stops = true),
        REG(TDH, 0xffff, .write = write_tx_ring, .stops = true),
        REG(TDT, 0xffff, .write = write_tx),
        REG(TIDV, 0xffff),
        REG(TXDCTL, 0xff3f3f3fu),
        REG(TADV, 0xffff),
        REG(TSPMT, ALL),
        REGS(STATS, (E1000_STATS_END - E1000_STATS) / 4, 0, .read = e1000_stat_read),
        REG(RXCSUM, 0x7ff),
        REGS(MTA, 128, ALL),
        REGS(RAL, 2 * E1000_RA_COUNT, ALL),
        REGS(VFTA, 128, ALL),
        REG(WUC, 0x0f),
        REG(WUFC, 0x000f80ffu),
        REG(WUS, 0x000f00ffu),
        REG(MANC, ALL),
        REG(IPAV, 0x000100ffu),
        REGS(IP4AT, 7, ALL),
        REGS(IP6AT, 4, ALL),
        REG(WUPL, 0xfff),
        REGS(WUPM, 32, ALL),
        REGS(FFLT, 7, 0x7ff),
        /* where the 82542 had them */
        ALIAS(0x0040, RAL, 2 * E1000_RA_COUNT, ALL),
        ALIAS(0x0108, RDTR, 1, 0x8000ffffu, .write = write_rdtr),
        ALIAS(0x0110, RDBAL, 1, 0xfffffff0u),
        ALIAS(0x0114, RDBAH, 1, ALL),
        ALIAS(0x0118, RDLEN, 1, 0x000fff80u, .write = write_rx),
        ALIAS(0x0120, RDH, 1, 0xffff),
        ALIAS(0x0128, RDT, 1, 0xffff, .write = write_rx),
        ALIAS(0x0160, FCRTH, 1, 0xfff8u),
        ALIAS(0x0168, FCRTL, 1, 0x8000fff8u),
        ALIAS(0x0200, MTA, 128, ALL),
        ALIAS(0x0420, TDBAL, 1, 0xfffffff0u, .write = write_tx_ring, .stops = true),
        ALIAS(0x0424, TDBAH, 1, ALL, .write = write_tx_ring, .stops = true),
        ALIAS(0x0428, TDLEN, 1, 0x000fff80u, .write = write_tx_ring, .stops = true),
        ALIAS(0x0430, TDH, 1, 0xffff, .write = write_tx_ring, .stops = true),
        ALIAS(0x0438, TDT, 1, 0xffff, .write = write_tx),
        ALIAS(0x0440, TIDV, 1, 0xffff),
        ALIAS(0x0600, VFTA, 128, ALL),
};

_Static_assert(sizeof(rules) / sizeof(rules[0]) < 256, "the map by offset has bytes");

void e1000_registers_create(struct e1000 *d)
{
	for (uint32_t i = 1; i < sizeof(rules) / sizeof(rules[0]); i++)
		for (uint32_t at = rules[i].first; at <= rules[i].last; at += 4)
			d->rule[at / 4] = (uint8_t)i;
}

void e1000_registers_reset(struct e1000 *d)
{
	memset(d->reg, 0, sizeof(d->reg));
	*e1000_reg(d, E1000_CTRL) = CTRL_FD | CTRL_SLU | CTRL_SPEED_1000;
	*e1000_reg(d, E1000_VET) = 0x8100;
	*e1000_reg(d, E1000_LEDCTL) = 0x07061302;
	*e1000_reg(d, E1000_PBA) = 0x00100030; /* 48 KiB to receive, 16 to transmit */
	*e1000_reg(d, E1000_TXDMAC) = 1;
	d->ioaddr = 0;
}

static const struct rule *find(struct e1000 *d, uint32_t offset)
{
	uint32_t i = offset < E1000_REG_END ? d->rule[offset / 4] : 0;

	if (!i)
		e1000_count(d->stray);
	return &rules[i];
}

uint32_t e1000_read(struct e1000 *d, uint32_t offset)
{
	const struct rule *r = find(d, offset & ~3u);
	uint32_t at = r->at + (offset & ~3u) - r->first, value;

	if (r == rules)
		return 0;
	pthread_mutex_lock(&d->lock);
	value = r->read ? r->read(d, at) : *e1000_reg(d, at);
	pthread_mutex_unlock(&d->lock);
	return value;
}

void e1000_write(struct e1000 *d, uint32_t offset, uint32_t value)
{
	const struct rule *r = find(d, offset & ~3u);
	uint32_t at = r->at + (offset & ~3u) - r->first;

	if (!r->mask)
		return;
	if (r->stops)
		pthread_mutex_lock(&d->dma);
	pthread_mutex_lock(&d->lock);
	/* PBA's upper half is worked out: the buffer is 64 KiB. */
	if (at == E1000_PBA)
		value = (value & 0xffff) | (64 - (value & 0x3f)) << 16;
	else
		value &= r->mask;
	if (r->write)
		r->write(d, at, value);
	else
		*e1000_reg(d, at) = value;
	pthread_mutex_unlock(&d->lock);
	if (r->stops)
		pthread_mutex_unlock(&d->dma);
}

bool e1000_ring(struct e1000 *d, uint32_t bal, struct e1000_ring *ring)
{
	const uint32_t *r = e1000_reg(d, bal); /* the transmitter's registers lie as the receiver's do */

	*ring = (struct e1000_ring){
	        .base = (uint64_t)r[1] << 32 | r[0],
	        .count = r[2] / 16,
	        .head = r[4],
	        .tail = r[6],
	};
	if (ring->head < ring->count && ring->tail < ring->count && ring->base <= UINT64_MAX - r[2])
		return true;
	*ring = (struct e1000_ring){0};
	return false;
}

/* ---- windows ---- */

static uint64_t mmio_read(void *opaque, uint64_t offset, uint32_t width)
{
	uint64_t value = e1000_read(opaque, (uint32_t)offset);

	if (width == 8)
		return value | (uint64_t)e1000_read(opaque, (uint32_t)offset + 4) << 32;
	return width == 4 ? value : (value >> 8 * (offset & 3)) & ((1ull << 8 * width) - 1);
}

static void mmio_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct e1000 *d = opaque;

	if (width < 4 || offset & 3) {
		e1000_count(d->stray);
		return;
	}
	e1000_write(d, (uint32_t)offset, (uint32_t)value);
	if (width == 8)
		e1000_write(d, (uint32_t)offset + 4, (uint32_t)(value >> 32));
}

static uint64_t io_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct e1000 *d = opaque;
	uint32_t address;

	pthread_mutex_lock(&d->lock);
	address = d->ioaddr;
	pthread_mutex_unlock(&d->lock);
	if (width != 4 || (offset != IOADDR && offset != IODATA)) {
		e1000_count(d->stray);
		return 0;
	}
	return offset == IOADDR ? address : e1000_read(d, address);
}

static void io_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct e1000 *d = opaque;
	uint32_t address;

	if (width != 4 || (offset != IOADDR && offset != IODATA)) {
		e1000_count(d->stray);
		return;
	}
	pthread_mutex_lock(&d->lock);
	if (offset == IOADDR)
		d->ioaddr = (uint32_t)value;
	address = d->ioaddr;
	pthread_mutex_unlock(&d->lock);
	if (offset == IODATA)
		e1000_write(d, address, (uint32_t)value);
}

const struct gamut_io_ops e1000_mmio_ops = {
        .size = sizeof(struct gamut_io_ops), .read = mmio_read, .write = mmio_write};
const struct gamut_io_ops e1000_io_ops = {.size = sizeof(struct gamut_io_ops), .read = io_read, .write = io_write};
