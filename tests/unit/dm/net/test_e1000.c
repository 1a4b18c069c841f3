/* SPDX-License-Identifier: MIT */
/* The 82540EM through its registers and rings, as a driver sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/net/checksum.h"
#include "dm/net/e1000-reg.h"
#include "dm/net/e1000.h"
#include "fake/netdev-fake.h"
#include "fake/pci-fake.h"

#define RAM      (4u << 20)
#define TX_RING  0x10000u
#define RX_RING  0x20000u
#define COUNT    64u
#define TX_DATA  0x100000u
#define RX_DATA  0x200000u
#define RX_SIZE  2048u

static const uint8_t mac[6] = {0x00, 0x16, 0x3e, 0x11, 0x22, 0x33};

struct world {
	struct host_fake *f;
	struct pci_fake pci;
	struct netdev_fake *net;
	struct e1000 *d;
	uint32_t tx, rx; /* the driver's next descriptors */
};

static uint32_t get(struct world *w, uint32_t offset)
{
	return (uint32_t)pci_fake_read(&w->pci, 0, offset, 4);
}

static void set(struct world *w, uint32_t offset, uint32_t value)
{
	pci_fake_write(&w->pci, 0, offset, 4, value);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct e1000_config config = {0};

	w->f = host_fake_create(RAM, 1);
	w->net = netdev_fake_create();
	w->pci = (struct pci_fake){.host = w->f, .master = true};
	config.host = w->f->host;
	config.inst = w->f->inst;
	memcpy(config.mac, mac, 6);
	w->d = e1000_create(&config);
	assert_non_null(w->d);
	e1000_front(w->d, &w->net->front);
	assert_memory_equal(w->net->front.mac, mac, 6);
	e1000_connect(w->d, &w->net->netdev);
	assert_int_equal(e1000_start(w->d, &pci_fake_ops, &w->pci), 0);
	*state = w;
	return 0;
}

static bool give(struct world *w, const uint8_t *to, uint32_t n);

static int teardown(void **state)
{
	struct world *w = *state;

	e1000_stop(w->d);
	assert_true(give(w, mac, 100)); /* there is nobody */
	host_fake_run(w->f);
	assert_int_equal(w->pci.functions, 0);
	assert_int_equal(w->pci.level, 0);
	e1000_destroy(w->d);
	netdev_fake_destroy(w->net);
	assert_int_equal(host_fake_destroy(w->f), 0);
	free(w);
	return 0;
}

/* Rings, and all descriptors but one to the receiver. */
static void bring_up(struct world *w)
{
	for (uint32_t i = 0; i < COUNT; i++) {
		struct e1000_rx_desc rx = {.address = RX_DATA + i * RX_SIZE};

		memcpy(w->f->ram + RX_RING + i * 16, &rx, 16);
	}
	set(w, E1000_TDBAL, TX_RING);
	set(w, E1000_TDLEN, COUNT * 16);
	set(w, E1000_TDH, 0);
	set(w, E1000_TDT, 0);
	set(w, E1000_TCTL, TCTL_EN | TCTL_PSP);
	set(w, E1000_RDBAL, RX_RING);
	set(w, E1000_RDLEN, COUNT * 16);
	set(w, E1000_RDH, 0);
	set(w, E1000_RDT, COUNT - 1);
	set(w, E1000_RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC);
	w->tx = w->rx = 0;
}

static void put_tx(struct world *w, uint64_t address, uint32_t lower, uint32_t upper)
{
	struct e1000_tx_desc desc = {address, lower, upper};

	memcpy(w->f->ram + TX_RING + w->tx * 16, &desc, 16);
	w->tx = (w->tx + 1) % COUNT;
}

static void kick(struct world *w)
{
	set(w, E1000_TDT, w->tx);
	host_fake_run(w->f);
}

#define LAST (TXD_EOP | TXD_IFCS | TXD_RS)

static void fill_frame(uint8_t *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		f[i] = (uint8_t)(i * 13 + 1);
	memset(f, 0x02, 6);
	memcpy(f + 6, mac, 6);
	f[12] = 0x12;
	f[13] = 0x34;
}

static struct e1000_rx_desc rx_desc(struct world *w, uint32_t i)
{
	struct e1000_rx_desc desc;

	memcpy(&desc, w->f->ram + RX_RING + i * 16, 16);
	return desc;
}

static bool give(struct world *w, const uint8_t *to, uint32_t n)
{
	uint8_t f[2000];

	fill_frame(f, n);
	memcpy(f, to, 6);
	return netdev_fake_give(w->net, f, n, 0);
}

/* ---- what a driver's probe does ---- */

static void is_an_82540em(void **state)
{
	struct world *w = *state;

	assert_int_equal(w->pci.desc.vendor, 0x8086);
	assert_int_equal(w->pci.desc.device, 0x100e);
	assert_int_equal(w->pci.desc.class_revision >> 8, 0x020000);
	assert_int_equal(w->pci.desc.bar[0].size, 0x20000);
	assert_int_equal(w->pci.desc.bar[1].size, 64);
	assert_int_equal(w->pci.desc.pin, 1);
	assert_int_equal(get(w, E1000_STATUS) & (STATUS_LU | STATUS_FD | STATUS_SPEED_1000),
	                 STATUS_LU | STATUS_FD | STATUS_SPEED_1000);
	assert_int_equal(get(w, E1000_RAL), 0x113e1600);
	assert_int_equal(get(w, E1000_RAH), RAH_AV | 0x3322);
	assert_int_equal(get(w, 0x40), 0x113e1600); /* its old address */
	assert_int_equal(get(w, E1000_PBA), 0x00100030);
	set(w, E1000_PBA, 40);
	assert_int_equal(get(w, E1000_PBA), 0x00180028);
}

static uint16_t eerd(struct world *w, uint32_t word)
{
	uint32_t v;

	set(w, E1000_EERD, word << 8 | EERD_START);
	v = get(w, E1000_EERD);
	assert_true(v & EERD_DONE);
	return (uint16_t)(v >> 16);
}

static void eeprom_by_eerd(void **state)
{
	struct world *w = *state;
	uint16_t sum = 0;

	for (uint32_t i = 0; i < 64; i++)
		sum = (uint16_t)(sum + eerd(w, i));
	assert_int_equal(sum, 0xbaba);
	assert_int_equal(eerd(w, 0), 0x1600);
	assert_int_equal(eerd(w, 2), 0x3322);
	assert_int_equal(eerd(w, 14), 0x8086);
	assert_int_equal(eerd(w, 200), 0xffff);
}

static void clock_out(struct world *w, uint32_t value, uint32_t n)
{
	while (n--) {
		uint32_t di = value >> n & 1 ? EECD_DI : 0;

		set(w, E1000_EECD, EECD_REQ | EECD_CS | di);
		set(w, E1000_EECD, EECD_REQ | EECD_CS | di | EECD_SK);
		set(w, E1000_EECD, EECD_REQ | EECD_CS | di);
	}
}

static uint16_t clock_in(struct world *w)
{
	uint16_t v = 0;

	for (int i = 0; i < 16; i++) {
		set(w, E1000_EECD, EECD_REQ | EECD_CS | EECD_SK);
		v = (uint16_t)(v << 1 | (get(w, E1000_EECD) & EECD_DO ? 1 : 0));
		set(w, E1000_EECD, EECD_REQ | EECD_CS);
	}
	return v;
}

static void deselect(struct world *w)
{
	set(w, E1000_EECD, EECD_REQ);
}

static void eeprom_bit_by_bit(void **state)
{
	struct world *w = *state;

	set(w, E1000_EECD, EECD_REQ);
	assert_true(get(w, E1000_EECD) & EECD_GNT);
	for (uint32_t i = 0; i < 64; i++) {
		clock_out(w, 6 << 6 | i, 9);
		assert_int_equal(clock_in(w), eerd(w, i));
		deselect(w);
	}
	/* Reads go on. */
	clock_out(w, 6 << 6 | 0, 9);
	assert_int_equal(clock_in(w), eerd(w, 0));
	assert_int_equal(clock_in(w), eerd(w, 1));
	deselect(w);
	/* Writing has to be enabled. */
	clock_out(w, 5 << 6 | 2, 9);
	clock_out(w, 0x7788, 16);
	deselect(w);
	assert_int_equal(eerd(w, 2), 0x3322);
	clock_out(w, 4 << 6 | 0x30, 9);
	deselect(w);
	clock_out(w, 5 << 6 | 2, 9);
	clock_out(w, 0x7788, 16);
	deselect(w);
	assert_int_equal(eerd(w, 2), 0x7788);
	set(w, E1000_CTRL, CTRL_RST);
	assert_int_equal(get(w, E1000_RAH), RAH_AV | 0x7788);
	set(w, E1000_EECD, 0);
	assert_false(get(w, E1000_EECD) & EECD_GNT);
}

static uint32_t mdic(struct world *w, uint32_t command, uint32_t phy, uint32_t reg, uint16_t data)
{
	set(w, E1000_MDIC, command | phy << 21 | reg << 16 | data);
	assert_true(get(w, E1000_MDIC) & MDIC_READY);
	return get(w, E1000_MDIC);
}

static void phy(void **state)
{
	struct world *w = *state;

	assert_int_equal(mdic(w, MDIC_READ, 1, 2, 0) & 0xffff, 0x0141);
	assert_int_equal(mdic(w, MDIC_READ, 1, 3, 0) & 0xffff, 0x0c20);
	mdic(w, MDIC_READ, 1, 1, 0);
	assert_int_equal(mdic(w, MDIC_READ, 1, 1, 0) & 0x24, 0x24); /* link, negotiated */
	assert_int_equal(mdic(w, MDIC_READ, 1, 17, 0) & 0xac00, 0xac00);
	assert_true(mdic(w, MDIC_READ, 2, 2, 0) & MDIC_ERROR);
	/* An interrupt for the end, if asked for. */
	set(w, E1000_IMS, ICR_MDAC | ICR_LSC);
	mdic(w, MDIC_READ | MDIC_IE, 1, 2, 0);
	assert_int_equal(get(w, E1000_ICR), ICR_MDAC);
	/* Negotiating anew: the link was away, and says so once. */
	mdic(w, MDIC_WRITE, 1, 0, 0x1340);
	assert_int_equal(get(w, E1000_ICR), ICR_LSC);
	assert_int_equal(mdic(w, MDIC_READ, 1, 0, 0) & 0x8200, 0);
	assert_false(mdic(w, MDIC_READ, 1, 1, 0) & 4);
	assert_true(mdic(w, MDIC_READ, 1, 1, 0) & 4);
	/* Powered down. */
	mdic(w, MDIC_WRITE, 1, 0, 0x1940);
	assert_false(get(w, E1000_STATUS) & STATUS_LU);
	mdic(w, MDIC_WRITE, 1, 0, 0x1140);
	assert_true(get(w, E1000_STATUS) & STATUS_LU);
}

static void link_follows_cable_and_software(void **state)
{
	struct world *w = *state;

	set(w, E1000_IMS, ICR_LSC);
	w->net->front.link(w->net->front.opaque, false);
	assert_int_equal(w->pci.level, 1);
	assert_int_equal(get(w, E1000_ICR), ICR_LSC);
	assert_int_equal(w->pci.level, 0);
	assert_false(get(w, E1000_STATUS) & STATUS_LU);
	w->net->front.link(w->net->front.opaque, true);
	assert_true(get(w, E1000_STATUS) & STATUS_LU);
	set(w, E1000_CTRL, get(w, E1000_CTRL) & ~CTRL_SLU);
	assert_false(get(w, E1000_STATUS) & STATUS_LU);
}

static void io_window(void **state)
{
	struct world *w = *state;

	pci_fake_write(&w->pci, 1, 0, 4, E1000_FCAL);
	pci_fake_write(&w->pci, 1, 4, 4, 0xc28001);
	assert_int_equal(pci_fake_read(&w->pci, 1, 0, 4), E1000_FCAL);
	assert_int_equal(pci_fake_read(&w->pci, 1, 4, 4), 0xc28001);
	assert_int_equal(get(w, E1000_FCAL), 0xc28001);
	pci_fake_write(&w->pci, 1, 0, 4, 0xfffffffc);
	assert_int_equal(pci_fake_read(&w->pci, 1, 4, 4), 0);
	assert_int_equal(pci_fake_read(&w->pci, 1, 8, 4), 0);
}

static void odd_accesses(void **state)
{
	struct world *w = *state;

	assert_int_equal(pci_fake_read(&w->pci, 0, E1000_RAL + 1, 1), 0x16);
	assert_int_equal(pci_fake_read(&w->pci, 0, E1000_RAL + 2, 2), 0x113e);
	assert_int_equal(pci_fake_read(&w->pci, 0, E1000_RAL, 8), (RAH_AV | 0x3322ull) << 32 | 0x113e1600);
	pci_fake_write(&w->pci, 0, E1000_RAL, 2, 0);
	assert_int_equal(get(w, E1000_RAL), 0x113e1600);
	for (uint32_t at = 0; at < 0x20000; at += 4)
		set(w, at, 0xffffffff & ~(at == 0 || at == 4 ? CTRL_RST : 0));
	for (uint32_t at = 0; at < 0x20000; at += 4)
		get(w, at);
	host_fake_run(w->f);
	assert_true(host_fake_counter(w->f, "stray-accesses") > 0);
}

/* ---- interrupts ---- */

static void causes_and_masks(void **state)
{
	struct world *w = *state;

	set(w, E1000_ICS, ICR_LSC);
	assert_int_equal(w->pci.level, 0);
	set(w, E1000_IMS, ICR_LSC | ICR_RXT0);
	assert_int_equal(w->pci.level, 1);
	assert_int_equal(get(w, E1000_IMS), ICR_LSC | ICR_RXT0);
	set(w, E1000_IMC, ICR_LSC);
	assert_int_equal(w->pci.level, 0);
	set(w, E1000_ICS, ICR_RXT0);
	assert_int_equal(w->pci.level, 1);
	set(w, E1000_ICR, ICR_RXT0);
	assert_int_equal(w->pci.level, 0);
	assert_int_equal(get(w, E1000_ICR), ICR_LSC);
	assert_int_equal(get(w, E1000_ICR), 0);
}

static void throttle(void **state)
{
	struct world *w = *state;

	set(w, E1000_ITR, 4000); /* 1.024 ms */
	set(w, E1000_IMS, ICR_RXT0);
	for (int i = 0; i < 100; i++) {
		set(w, E1000_ICS, ICR_RXT0);
		if (w->pci.level)
			get(w, E1000_ICR);
		host_fake_advance(w->f, 100000);
	}
	/* 10 ms */
	assert_in_range(w->pci.raised, 9, 11);
	host_fake_advance(w->f, 2000000);
	assert_int_equal(w->pci.level, 1);
}

static void receive_delay(void **state)
{
	struct world *w = *state;

	bring_up(w);
	set(w, E1000_RDTR, 100);
	set(w, E1000_RADV, 250);
	set(w, E1000_IMS, ICR_RXT0);
	assert_true(give(w, mac, 100));
	assert_int_equal(w->pci.level, 0);
	assert_true(rx_desc(w, 0).status & RXD_DD);
	host_fake_advance(w->f, 101 * 1024);
	assert_int_equal(w->pci.level, 1);
	assert_int_equal(get(w, E1000_ICR) & ICR_RXT0, ICR_RXT0);
	/* A stream does not put it off for ever. */
	for (int i = 0; i < 4; i++) {
		assert_true(give(w, mac, 100));
		host_fake_advance(w->f, 70 * 1024);
	}
	assert_int_equal(w->pci.level, 1);
	get(w, E1000_ICR);
	/* And software can have it now. */
	assert_true(give(w, mac, 100));
	set(w, E1000_RDTR, RDTR_FPD | 100);
	assert_int_equal(w->pci.level, 1);
	assert_int_equal(get(w, E1000_RDTR), 100);
}

static void transmit_delay(void **state)
{
	struct world *w = *state;

	bring_up(w);
	set(w, E1000_TIDV, 50);
	set(w, E1000_IMS, ICR_TXDW);
	fill_frame(w->f->ram + TX_DATA, 100);
	put_tx(w, TX_DATA, LAST | TXD_IDE | 100, 0);
	kick(w);
	assert_int_equal(w->pci.level, 0);
	host_fake_advance(w->f, 51 * 1024);
	assert_int_equal(w->pci.level, 1);
	get(w, E1000_ICR);
	put_tx(w, TX_DATA, LAST | 100, 0);
	kick(w);
	assert_int_equal(w->pci.level, 1);
}

/* ---- transmit ---- */

static void sends_legacy_descriptors(void **state)
{
	struct world *w = *state;
	uint8_t f[1514];
	struct e1000_tx_desc desc;

	bring_up(w);
	fill_frame(f, sizeof(f));
	memcpy(w->f->ram + TX_DATA, f, sizeof(f));
	put_tx(w, TX_DATA, 14, 0);
	put_tx(w, TX_DATA + 14, 1000, 0);
	put_tx(w, TX_DATA + 1014, LAST | 500, 0);
	kick(w);
	assert_int_equal(w->net->n_sent, 1);
	assert_int_equal(w->net->sent[0].length, 1514);
	assert_memory_equal(w->net->sent[0].data, f, 1514);
	assert_int_equal(get(w, E1000_TDH), 3);
	memcpy(&desc, w->f->ram + TX_RING + 32, 16);
	assert_int_equal(desc.upper, TXD_DD);
	memcpy(&desc, w->f->ram + TX_RING, 16);
	assert_int_equal(desc.upper, 0); /* RS was not set */
	assert_int_equal(get(w, E1000_ICR) & (ICR_TXDW | ICR_TXQE), ICR_TXDW | ICR_TXQE);
	assert_int_equal(get(w, E1000_GPTC), 1);
	assert_int_equal(get(w, E1000_GPTC), 0);
	assert_int_equal(get(w, E1000_GOTCL), 1518);
	assert_int_equal(get(w, E1000_GOTCL + 4), 0);
	assert_int_equal(get(w, E1000_GOTCL), 0);
	assert_int_equal(get(w, E1000_PTC64 + 20), 1);
	/* Short ones are filled up. */
	put_tx(w, TX_DATA, LAST | 20, 0);
	kick(w);
	assert_int_equal(w->net->sent[1].length, 60);
	assert_int_equal(w->net->sent[1].data[20], 0);
}

static void many_frames_and_wrapping(void **state)
{
	struct world *w = *state;

	bring_up(w);
	fill_frame(w->f->ram + TX_DATA, 1514);
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < COUNT - 1; i++)
			put_tx(w, TX_DATA, LAST | 1514, 0);
		kick(w);
		assert_int_equal(get(w, E1000_TDH), get(w, E1000_TDT));
	}
	assert_int_equal(w->net->n_sent, 20 * (COUNT - 1));
	assert_true(w->net->n_calls <= 40); /* in batches */
}

/* When the ring runs low, not when it was never full. */
static void a_low_ring(void **state)
{
	struct world *w = *state;

	bring_up(w);
	set(w, E1000_TXDCTL, 1 << TXDCTL_LWTHRESH_SHIFT); /* 8 */
	fill_frame(w->f->ram + TX_DATA, 100);
	for (int i = 0; i < 8; i++)
		put_tx(w, TX_DATA, LAST | 100, 0);
	kick(w);
	assert_int_equal(get(w, E1000_ICR), ICR_TXDW | ICR_TXQE);
	for (int i = 0; i < 9; i++)
		put_tx(w, TX_DATA, LAST | 100, 0);
	kick(w);
	assert_int_equal(get(w, E1000_ICR), ICR_TXDW | ICR_TXQE | ICR_TXD_LOW);
}

static void a_back_end_that_waits(void **state)
{
	struct world *w = *state;

	bring_up(w);
	w->net->room = 5;
	fill_frame(w->f->ram + TX_DATA, 1514);
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 60; i++) {
			w->f->ram[TX_DATA + 2048 * (round * 60 + i)] = 2;
			fill_frame(w->f->ram + TX_DATA + 2048 * (round * 60 + i), 1514);
			w->f->ram[TX_DATA + 2048 * (round * 60 + i) + 20] = (uint8_t)(round * 60 + i);
			put_tx(w, TX_DATA + 2048 * (round * 60 + i), LAST | 1514, 0);
		}
		kick(w);
		if (round == 1)
			assert_int_not_equal(get(w, E1000_TDH), get(w, E1000_TDT));
		while (get(w, E1000_TDH) != get(w, E1000_TDT)) {
			w->net->room = 7;
			w->net->front.writable(w->net->front.opaque);
			host_fake_run(w->f);
		}
	}
	w->net->room = UINT32_MAX;
	w->net->front.writable(w->net->front.opaque);
	host_fake_run(w->f);
	assert_int_equal(w->net->n_sent, 240);
	for (uint32_t i = 0; i < 240; i++)
		assert_int_equal(w->net->sent[i].data[20], (uint8_t)i);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

/* Ethernet, IPv4 and TCP headers of 54 bytes; checksums as a driver leaves them for offload. */
static void tcp_frame(uint8_t *f, uint32_t payload, bool tso)
{
	fill_frame(f, 54 + payload);
	f[12] = 8;
	f[13] = 0;
	memset(f + 14, 0, 40);
	f[14] = 0x45;
	put16(f + 16, tso ? 0 : 40 + payload);
	put16(f + 18, 0xfffe); /* identification, about to wrap */
	f[22] = 64;
	f[23] = 6;
	memcpy(f + 26, "\x0a\0\2\x0f\x0a\0\2\2", 8);
	put16(f + 34, 1234);
	put16(f + 36, 80);
	memcpy(f + 38, "\xff\xff\xff\x00", 4); /* sequence, too */
	f[46] = 5 << 4;
	f[47] = 0x19; /* FIN PSH ACK */
	put16(f + 50, net_sum(f + 26, 8, (uint16_t)(6 + (tso ? 0 : 20 + payload))));
}

static void context(struct world *w, uint32_t command, uint32_t payload, uint32_t header, uint32_t mss)
{
	uint64_t offsets = 14 | 24 << 8 | 33 << 16 | 34ull << 32 | 50ull << 40;

	put_tx(w, offsets, TXD_DEXT | command | payload, header << 8 | mss << 16);
}

static void check_tcp(const uint8_t *f, uint32_t length)
{
	uint32_t n = length - 34;

	assert_int_equal(get16(f + 16), length - 14);
	assert_int_equal(net_sum(f + 14, 20, 0), 0xffff);
	assert_int_equal(net_sum(f + 34, n, net_sum(f + 26, 8, (uint16_t)(6 + n))), 0xffff);
}

static void inserts_checksums(void **state)
{
	struct world *w = *state;

	bring_up(w);
	tcp_frame(w->f->ram + TX_DATA, 501, false);
	context(w, TUCMD_TCP | TUCMD_IPV4, 0, 0, 0);
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | 54, TXD_IXSM | TXD_TXSM);
	put_tx(w, TX_DATA + 54, TXD_DEXT | TXD_DATA | LAST | 501, 0);
	kick(w);
	assert_int_equal(w->net->n_sent, 1);
	check_tcp(w->net->sent[0].data, 555);
	/* The context stays. */
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | LAST | 555, TXD_IXSM | TXD_TXSM);
	kick(w);
	check_tcp(w->net->sent[1].data, 555);
	/* Legacy: one checksum, at CSO from CSS on. */
	put_tx(w, TX_DATA, LAST | TXD_IC | 50 << 16 | 555, 34 << 8);
	kick(w);
	assert_int_equal(get16(w->net->sent[2].data + 50), get16(w->net->sent[0].data + 50));
}

static void segments(void **state)
{
	struct world *w = *state;
	const uint32_t payload = 60000, mss = 1460;
	uint32_t at = 0;

	bring_up(w);
	tcp_frame(w->f->ram + TX_DATA, payload, true);
	context(w, TUCMD_TCP | TUCMD_IPV4 | TUCMD_TSE, payload, 54, mss);
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | TXD_TSE | 20, TXD_IXSM | TXD_TXSM);
	for (at = 20; at < payload + 54; at += 4096)
		put_tx(w, TX_DATA + at,
		       TXD_DEXT | TXD_DATA | TXD_TSE | (payload + 54 - at <= 4096 ? LAST | (payload + 54 - at) : 4096), 0);
	kick(w);
	assert_int_equal(w->net->n_sent, (payload + mss - 1) / mss);
	at = 0;
	for (uint32_t i = 0; i < w->net->n_sent; i++) {
		const uint8_t *f = w->net->sent[i].data;
		uint32_t n = w->net->sent[i].length - 54;
		bool last = i + 1 == w->net->n_sent;

		check_tcp(f, n + 54);
		assert_int_equal(n, last ? payload % mss : mss);
		assert_int_equal(get32(f + 38), 0xffffff00u + at);
		assert_int_equal(get16(f + 18), (uint16_t)(0xfffe + i));
		assert_int_equal(f[47], last ? 0x19 : 0x10);
		assert_memory_equal(f + 54, w->f->ram + TX_DATA + 54 + at, n);
		at += n;
	}
	assert_int_equal(at, payload);
	assert_int_equal(get(w, E1000_TSCTC), 1);
	/* A whole number of segments: the last is known as such. */
	w->net->n_sent = 0;
	context(w, TUCMD_TCP | TUCMD_IPV4 | TUCMD_TSE, 2 * mss, 54, mss);
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | TXD_TSE | LAST | (54 + 2 * mss), TXD_IXSM | TXD_TXSM);
	kick(w);
	assert_int_equal(w->net->n_sent, 2);
	assert_int_equal(w->net->sent[0].data[47], 0x10);
	assert_int_equal(w->net->sent[1].data[47], 0x19);
}

static void segments_for_a_back_end_that_waits(void **state)
{
	struct world *w = *state;
	uint32_t at = 0;

	bring_up(w);
	w->net->room = 0;
	tcp_frame(w->f->ram + TX_DATA, 16000, true);
	for (int i = 0; i < 20; i++) {
		context(w, TUCMD_TCP | TUCMD_IPV4 | TUCMD_TSE, 16000, 54, 100);
		put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | TXD_TSE | LAST | 16054, TXD_IXSM | TXD_TXSM);
	}
	kick(w);
	assert_int_not_equal(get(w, E1000_TDH), get(w, E1000_TDT));
	for (int i = 0; i < 2000; i++) {
		w->net->room = 3;
		w->net->front.writable(w->net->front.opaque);
		host_fake_run(w->f);
	}
	assert_int_equal(get(w, E1000_TDH), get(w, E1000_TDT));
	assert_int_equal(w->net->n_sent, 2048); /* all that the fake keeps, of 3200 */
	for (uint32_t i = 0; i < 160; i++) {
		check_tcp(w->net->sent[i].data, 154);
		assert_memory_equal(w->net->sent[i].data + 54, w->f->ram + TX_DATA + 54 + at, 100);
		at += 100;
	}
}

static void vlan_tags_go_in(void **state)
{
	struct world *w = *state;
	uint8_t f[100];

	bring_up(w);
	set(w, E1000_CTRL, get(w, E1000_CTRL) | CTRL_VME);
	fill_frame(f, 100);
	memcpy(w->f->ram + TX_DATA, f, 100);
	put_tx(w, TX_DATA, LAST | TXD_VLE | 100, 0x6123u << 16);
	kick(w);
	assert_int_equal(w->net->sent[0].length, 104);
	assert_memory_equal(w->net->sent[0].data, f, 12);
	assert_memory_equal(w->net->sent[0].data + 12, "\x81\x00\x61\x23", 4);
	assert_memory_equal(w->net->sent[0].data + 16, f + 12, 88);
}

/* ---- receive ---- */

static void receives(void **state)
{
	struct world *w = *state;
	struct e1000_rx_desc desc;
	uint8_t f[1514];

	bring_up(w);
	set(w, E1000_IMS, ICR_RXT0);
	fill_frame(f, sizeof(f));
	memcpy(f, mac, 6);
	assert_true(netdev_fake_give(w->net, f, sizeof(f), 0));
	desc = rx_desc(w, 0);
	assert_int_equal(desc.status, RXD_DD | RXD_EOP | RXD_IXSM);
	assert_int_equal(desc.errors, 0);
	assert_int_equal(desc.length, 1514);
	assert_int_equal(desc.checksum, (uint16_t)~net_sum(f, sizeof(f), 0));
	assert_memory_equal(w->f->ram + RX_DATA, f, 1514);
	assert_int_equal(get(w, E1000_RDH), 1);
	assert_int_equal(w->pci.level, 1);
	assert_int_equal(get(w, E1000_ICR), ICR_RXT0);
	assert_int_equal(get(w, E1000_GPRC), 1);
	assert_int_equal(get(w, E1000_GORCL), 1518);
	/* Short ones are filled up on the wire; the FCS comes with them if not stripped. */
	set(w, E1000_RCTL, RCTL_EN | RCTL_BAM);
	memset(f + 30, 0, 30);
	assert_true(netdev_fake_give(w->net, f, 30, 0));
	assert_int_equal(rx_desc(w, 1).length, 64);
	/* A frame with its FCS leaves a constant remainder. */
	struct net_fcs fcs;
	net_fcs_init(&fcs);
	assert_int_equal(net_fcs(&fcs, "123456789", 9), 0xcbf43926);
	assert_int_equal(net_fcs(&fcs, w->f->ram + RX_DATA + RX_SIZE, 64), 0x2144df1c);
}

static void filters(void **state)
{
	struct world *w = *state;
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, other[6] = {2, 0, 0, 0, 0, 9},
	                     group[6] = {1, 0, 0x5e, 0, 0, 0xfb};

	bring_up(w);
	assert_true(give(w, other, 100));
	assert_int_equal(get(w, E1000_RDH), 0);
	assert_true(give(w, broadcast, 100));
	assert_int_equal(get(w, E1000_RDH), 1);
	assert_true(give(w, group, 100));
	assert_int_equal(get(w, E1000_RDH), 1);
	/* The table: bits 47:36, so 0xfb0 of ...00:fb. */
	set(w, E1000_MTA + 4 * (0xfb0 >> 5), 1u << (0xfb0 & 31));
	assert_true(give(w, group, 100));
	assert_int_equal(get(w, E1000_RDH), 2);
	assert_true(rx_desc(w, 1).status & RXD_PIF);
	set(w, E1000_MTA + 4 * (0xfb0 >> 5), 0);
	/* As an address of its own. */
	set(w, E1000_RAL + 8, 0x005e0001);
	set(w, E1000_RAH + 8, RAH_AV | 0xfb00);
	assert_true(give(w, group, 100));
	assert_int_equal(get(w, E1000_RDH), 3);
	assert_false(rx_desc(w, 2).status & RXD_PIF);
	set(w, E1000_RAH + 8, 0xfb00);
	set(w, E1000_RCTL, RCTL_EN | RCTL_MPE | RCTL_SECRC);
	assert_true(give(w, group, 100));
	assert_int_equal(get(w, E1000_RDH), 4);
	set(w, E1000_RCTL, RCTL_EN | RCTL_SECRC);
	assert_true(give(w, broadcast, 100));
	assert_int_equal(get(w, E1000_RDH), 4);
	set(w, E1000_RCTL, RCTL_EN | RCTL_UPE | RCTL_SECRC);
	assert_true(give(w, other, 100));
	assert_int_equal(get(w, E1000_RDH), 5);
	/* Too long, until long ones are on. */
	assert_true(give(w, mac, 1515));
	assert_int_equal(get(w, E1000_RDH), 5);
	assert_int_equal(get(w, E1000_ROC), 1);
	set(w, E1000_RCTL, RCTL_EN | RCTL_LPE | RCTL_SECRC);
	assert_true(give(w, mac, 1515));
	assert_int_equal(get(w, E1000_RDH), 6);
	set(w, E1000_RCTL, 0);
	assert_true(give(w, mac, 100));
	assert_int_equal(get(w, E1000_RDH), 6);
}

static void buffers_of_every_size(void **state)
{
	struct world *w = *state;
	static const struct {
		uint32_t rctl, size;
	} sizes[] = {{3 << RCTL_BSIZE_SHIFT, 256},
	             {2 << RCTL_BSIZE_SHIFT, 512},
	             {1 << RCTL_BSIZE_SHIFT, 1024},
	             {0, 2048},
	             {3 << RCTL_BSIZE_SHIFT | RCTL_BSEX, 4096}};
	uint8_t f[5000];

	fill_frame(f, sizeof(f));
	memcpy(f, mac, 6);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t n = (5000 + sizes[i].size - 1) / sizes[i].size;

		bring_up(w);
		set(w, E1000_RCTL, RCTL_EN | RCTL_LPE | RCTL_SECRC | sizes[i].rctl);
		for (uint32_t k = 0; k < COUNT; k++)
			memcpy(w->f->ram + RX_RING + k * 16, &(uint64_t){RX_DATA + k * sizes[i].size}, 8);
		assert_true(netdev_fake_give(w->net, f, sizeof(f), 0));
		assert_int_equal(get(w, E1000_RDH), n);
		assert_memory_equal(w->f->ram + RX_DATA, f, sizeof(f));
		for (uint32_t k = 0; k < n; k++) {
			assert_int_equal(rx_desc(w, k).status & (RXD_DD | RXD_EOP),
			                 RXD_DD | (k + 1 == n ? RXD_EOP : 0));
			assert_int_equal(rx_desc(w, k).length, k + 1 == n ? 5000 - k * sizes[i].size : sizes[i].size);
		}
	}
}

static void a_full_ring_holds_frames_back(void **state)
{
	struct world *w = *state;

	bring_up(w);
	set(w, E1000_IMS, ICR_RXDMT0);
	set(w, E1000_RDT, 40);
	for (int i = 0; i < 40; i++)
		assert_true(give(w, mac, 100));
	assert_int_equal(w->pci.level, 1); /* half and less left */
	assert_false(give(w, mac, 100));
	assert_int_equal(get(w, E1000_RDH), 40);
	host_fake_run(w->f);
	assert_int_equal(w->net->readies, 0);
	set(w, E1000_RDT, 10); /* around the end */
	host_fake_run(w->f);
	assert_int_equal(w->net->readies, 1);
	for (int i = 0; i < 34; i++)
		assert_true(give(w, mac, 100));
	assert_int_equal(get(w, E1000_RDH), 10);
	assert_false(give(w, mac, 100));
	set(w, E1000_RDT, 11);
	set(w, E1000_RDT, 12);
	host_fake_run(w->f);
	assert_int_equal(w->net->readies, 2);
	assert_int_equal(get(w, E1000_GPRC), 74);
	assert_int_equal(get(w, E1000_MPC), 0);
}

static void receive_checksums(void **state)
{
	struct world *w = *state;
	struct e1000_rx_desc desc;
	uint8_t f[555];

	bring_up(w);
	set(w, E1000_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL | 14);
	tcp_frame(f, 501, false);
	memcpy(f, mac, 6);
	put16(f + 24, (uint16_t)~net_sum(f + 14, 20, 0));
	put16(f + 50, (uint16_t)~net_sum(f + 34, 521, 0));
	assert_true(netdev_fake_give(w->net, f, sizeof(f), 0));
	desc = rx_desc(w, 0);
	assert_int_equal(desc.status, RXD_DD | RXD_EOP | RXD_IPCS | RXD_TCPCS);
	assert_int_equal(desc.errors, 0);
	assert_int_equal(desc.checksum, (uint16_t)~net_sum(f + 14, 541, 0));
	f[200] ^= 1;
	assert_true(netdev_fake_give(w->net, f, sizeof(f), 0));
	assert_int_equal(rx_desc(w, 1).errors, RXD_TCPE);
	/* Known to be right: not summed. */
	assert_true(netdev_fake_give(w->net, f, sizeof(f), NETDEV_CSUM_VALID));
	assert_int_equal(rx_desc(w, 2).errors, 0);
	f[22]--;
	assert_true(netdev_fake_give(w->net, f, sizeof(f), 0));
	assert_int_equal(rx_desc(w, 3).errors, RXD_TCPE | RXD_IPE);
	/* A fragment has no checksum to look at. */
	put16(f + 20, 0x2000);
	assert_true(netdev_fake_give(w->net, f, sizeof(f), 0));
	assert_int_equal(rx_desc(w, 4).status & (RXD_IPCS | RXD_TCPCS), RXD_IPCS);
	/* Lengths that lie. */
	put16(f + 20, 0);
	put16(f + 16, 0xffff);
	assert_true(netdev_fake_give(w->net, f, sizeof(f), 0));
	assert_true(rx_desc(w, 5).status & RXD_IXSM);
}

static void vlan_tags_come_out(void **state)
{
	struct world *w = *state;
	uint8_t f[104];

	bring_up(w);
	fill_frame(f, 104);
	memcpy(f, mac, 6);
	memcpy(f + 12, "\x81\x00\x61\x23", 4);
	assert_true(netdev_fake_give(w->net, f, 104, 0));
	assert_int_equal(rx_desc(w, 0).length, 104);
	set(w, E1000_CTRL, get(w, E1000_CTRL) | CTRL_VME);
	assert_true(netdev_fake_give(w->net, f, 104, 0));
	assert_int_equal(rx_desc(w, 1).length, 100);
	assert_int_equal(rx_desc(w, 1).special, 0x6123);
	assert_true(rx_desc(w, 1).status & RXD_VP);
	assert_memory_equal(w->f->ram + RX_DATA + RX_SIZE, f, 12);
	assert_memory_equal(w->f->ram + RX_DATA + RX_SIZE + 12, f + 16, 88);
	/* Only VLANs that are listed. */
	set(w, E1000_RCTL, RCTL_EN | RCTL_SECRC | RCTL_VFE);
	assert_true(netdev_fake_give(w->net, f, 104, 0));
	assert_int_equal(get(w, E1000_RDH), 2);
	set(w, E1000_VFTA + 4 * (0x123 >> 5), 1u << (0x123 & 31));
	assert_true(netdev_fake_give(w->net, f, 104, 0));
	assert_int_equal(get(w, E1000_RDH), 3);
}

static void loopback(void **state)
{
	struct world *w = *state;

	bring_up(w);
	set(w, E1000_RCTL, RCTL_EN | RCTL_UPE | RCTL_SECRC | RCTL_LBM);
	fill_frame(w->f->ram + TX_DATA, 1000);
	for (int i = 0; i < 63; i++)
		put_tx(w, TX_DATA, LAST | 1000, 0);
	kick(w);
	assert_int_equal(w->net->n_sent, 0);
	assert_int_equal(get(w, E1000_RDH), 63);
	assert_memory_equal(w->f->ram + RX_DATA, w->f->ram + TX_DATA, 1000);
	/* Nobody holds what the receiver has no room for. */
	put_tx(w, TX_DATA, LAST | 1000, 0);
	kick(w);
	assert_int_equal(get(w, E1000_MPC), 1);
	assert_int_equal(get(w, E1000_TDH), get(w, E1000_TDT));
}

/* ---- resets ---- */

static void software_reset(void **state)
{
	struct world *w = *state;

	bring_up(w);
	set(w, E1000_IMS, ICR_RXT0);
	assert_true(give(w, mac, 100));
	assert_int_equal(w->pci.level, 1);
	set(w, E1000_CTRL, get(w, E1000_CTRL) | CTRL_RST);
	assert_int_equal(w->pci.level, 0);
	assert_int_equal(get(w, E1000_CTRL) & CTRL_RST, 0);
	assert_int_equal(get(w, E1000_RCTL), 0);
	assert_int_equal(get(w, E1000_RDT), 0);
	assert_int_equal(get(w, E1000_IMS), 0);
	assert_int_equal(get(w, E1000_RAL), 0x113e1600);
	assert_true(get(w, E1000_STATUS) & STATUS_LU);
	bring_up(w);
	assert_true(give(w, mac, 100));
	assert_int_equal(get(w, E1000_RDH), 1);
}

static void domain_reset(void **state)
{
	struct world *w = *state;

	bring_up(w);
	w->net->room = 0;
	fill_frame(w->f->ram + TX_DATA, 1000);
	put_tx(w, TX_DATA, 500, 0); /* the frame never ends */
	kick(w);
	e1000_reset(w->d);
	assert_int_equal(w->net->flushes, 2); /* the first was at start */
	w->net->room = UINT32_MAX;
	bring_up(w);
	put_tx(w, TX_DATA, LAST | 1000, 0);
	kick(w);
	assert_int_equal(w->net->n_sent, 1);
	assert_int_equal(w->net->sent[0].length, 1000);
}

static void no_bus_mastering_no_transfer(void **state)
{
	struct world *w = *state;

	bring_up(w);
	w->pci.master = false;
	fill_frame(w->f->ram + TX_DATA, 1000);
	put_tx(w, TX_DATA, LAST | 1000, 0);
	kick(w);
	assert_true(give(w, mac, 100));
	assert_int_equal(w->net->n_sent, 0);
	assert_int_equal(get(w, E1000_TDH), 0);
	assert_int_equal(get(w, E1000_RDH), 0);
}

/* ---- guests that mean harm ---- */

static void hostile_rings(void **state)
{
	struct world *w = *state;

	bring_up(w);
	fill_frame(w->f->ram + TX_DATA, 1000);
	put_tx(w, TX_DATA, LAST | 1000, 0);
	/* none, or head or tail outside */
	set(w, E1000_TDLEN, 0);
	kick(w);
	set(w, E1000_TDLEN, COUNT * 16);
	set(w, E1000_TDH, 0xffff);
	kick(w);
	set(w, E1000_TDH, 0);
	set(w, E1000_TDT, 0xffff);
	host_fake_run(w->f);
	assert_int_equal(w->net->n_sent, 0);
	/* where there is no memory */
	set(w, E1000_TDBAH, 0xffffffff);
	set(w, E1000_TDBAL, 0xfffffff0);
	set(w, E1000_TDLEN, 0xfff80);
	set(w, E1000_TDT, 100);
	host_fake_run(w->f);
	set(w, E1000_TDBAH, 0);
	set(w, E1000_TDBAL, RAM);
	host_fake_run(w->f);
	set(w, E1000_TDT, 101);
	host_fake_run(w->f);
	assert_int_equal(w->net->n_sent, 0);
	assert_true(host_fake_counter(w->f, "dma-errors") > 0);
	set(w, E1000_RDLEN, 0);
	assert_false(give(w, mac, 100));
	set(w, E1000_RDLEN, COUNT * 16);
	set(w, E1000_RDBAL, RAM - 64);
	assert_true(give(w, mac, 100));
	set(w, E1000_RDBAL, RX_RING);
	set(w, E1000_RDH, 0);
	set(w, E1000_RDT, 0x8000);
	assert_false(give(w, mac, 100));
	/* and then as it should be */
	bring_up(w);
	assert_true(give(w, mac, 100));
	put_tx(w, TX_DATA, LAST | 1000, 0);
	kick(w);
	assert_int_equal(w->net->n_sent, 1);
}

static void hostile_descriptors(void **state)
{
	struct world *w = *state;
	uint64_t before;

	bring_up(w);
	fill_frame(w->f->ram + TX_DATA, 1000);
	put_tx(w, RAM + 0x1000, LAST | 1000, 0);              /* no memory */
	put_tx(w, UINT64_MAX - 10, LAST | 1000, 0);           /* nor here */
	put_tx(w, TX_DATA, LAST, 0);                          /* nothing */
	put_tx(w, TX_DATA, LAST | 13, 0);                     /* no frame */
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | LAST | 0xfffff, 0); /* too much */
	for (int i = 0; i < 4; i++)
		put_tx(w, TX_DATA, 10000, 0); /* for any frame */
	put_tx(w, TX_DATA, LAST | 10000, 0);
	kick(w);
	assert_int_equal(w->net->n_sent, 0);
	assert_int_equal(get(w, E1000_TDH), get(w, E1000_TDT));
	assert_int_equal(host_fake_counter(w->f, "bad-packets"), 6);
	/* Segmentation without segments, without headers, with offsets beyond them. */
	tcp_frame(w->f->ram + TX_DATA, 1000, true);
	context(w, TUCMD_TCP | TUCMD_IPV4 | TUCMD_TSE, 1000, 54, 0);
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | TXD_TSE | LAST | 1054, TXD_IXSM | TXD_TXSM);
	context(w, TUCMD_TCP | TUCMD_IPV4 | TUCMD_TSE, 1000, 0, 100);
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | TXD_TSE | LAST | 1054, TXD_IXSM | TXD_TXSM);
	context(w, TUCMD_TCP | TUCMD_IPV4 | TUCMD_TSE, 1000, 30, 100);
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | TXD_TSE | LAST | 1054, TXD_IXSM | TXD_TXSM);
	context(w, TUCMD_TCP | TUCMD_IPV4 | TUCMD_TSE, 1000, 54, 65535);
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | TXD_TSE | LAST | 1054, TXD_IXSM | TXD_TXSM);
	kick(w);
	assert_int_equal(w->net->n_sent, 0);
	assert_int_equal(get(w, E1000_TDH), get(w, E1000_TDT));
	/* Checksums that lie outside of the frame are left out. */
	put_tx(w, UINT64_MAX, TXD_DEXT | TUCMD_TCP | TUCMD_IPV4, 0);
	put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | LAST | 60, TXD_IXSM | TXD_TXSM);
	put_tx(w, TX_DATA, LAST | TXD_IC | 59 << 16 | 60, 14 << 8);
	kick(w);
	assert_int_equal(w->net->n_sent, 2);
	assert_memory_equal(w->net->sent[0].data, w->f->ram + TX_DATA, 60);
	assert_memory_equal(w->net->sent[1].data, w->f->ram + TX_DATA, 60);
	/* Segments of one byte: a share of work at a time, and the rest later. */
	before = w->pci.reads;
	for (int i = 0; i < 25; i++) {
		context(w, TUCMD_TCP | TUCMD_IPV4 | TUCMD_TSE, 16000, 54, 1);
		put_tx(w, TX_DATA, TXD_DEXT | TXD_DATA | TXD_TSE | LAST | 16054, TXD_IXSM | TXD_TXSM);
	}
	set(w, E1000_TDT, w->tx);
	for (int i = 0; get(w, E1000_TDH) != get(w, E1000_TDT); i++) {
		assert_true(i < 2000);
		host_fake_run(w->f);
	}
	assert_true(w->pci.reads > before);
}

/* Any bytes as descriptors and any values in registers: nothing may go wrong that a sanitizer would see. */
static void noise(void **state)
{
	struct world *w = *state;
	uint32_t seed = 4711;

	for (uint32_t round = 0; round < 300; round++) {
		static const uint32_t regs[] = {E1000_TDH, E1000_TDT, E1000_TDLEN, E1000_RDH, E1000_RDT, E1000_RDLEN,
		                                E1000_RCTL, E1000_TCTL, E1000_CTRL, E1000_TDBAL, E1000_RDBAL, E1000_VET};

		bring_up(w);
		for (uint32_t i = 0; i < COUNT * 16; i++) {
			seed = seed * 1664525 + 1013904223;
			w->f->ram[TX_RING + i] = (uint8_t)(seed >> 24);
			if (i % 16 == 2 || i % 16 == 10)
				w->f->ram[TX_RING + i] = (uint8_t)(seed >> 24 & 0x3f); /* some of it in RAM */
			else if (i % 16 >= 3 && i % 16 < 8)
				w->f->ram[TX_RING + i] = 0;
			w->f->ram[RX_RING + i] = (uint8_t)(seed >> 16);
		}
		if (round & 1)
			for (int i = 0; i < 3; i++) {
				seed = seed * 1664525 + 1013904223;
				set(w, regs[(seed >> 8) % 12], seed * 77);
			}
		w->tx = seed >> 12 & 63;
		w->net->room = round % 3 ? UINT32_MAX : seed >> 20 & 7;
		w->net->n_sent = 0;
		kick(w);
		for (int i = 0; i < 4; i++)
			give(w, mac, 60 + (seed >> (8 + i)) % 1400);
		w->net->room = UINT32_MAX;
		w->net->front.writable(w->net->front.opaque);
		host_fake_run(w->f);
		host_fake_advance(w->f, 1000000);
	}
	e1000_reset(w->d);
	sends_legacy_descriptors(state);
}

/* ---- threads ---- */

struct racer {
	struct world *w;
	_Atomic bool stop;
};

static void *race(void *opaque)
{
	struct racer *r = opaque;
	uint32_t i = 0;

	while (!r->stop) {
		get(r->w, E1000_ICR);
		set(r->w, E1000_IMS, ICR_RXT0 | ICR_TXDW);
		set(r->w, E1000_RDT, (i / 3) % COUNT);
		get(r->w, E1000_STATUS);
		set(r->w, E1000_IMC, ICR_TXDW);
		if (i++ % 1000 == 999)
			set(r->w, E1000_CTRL, CTRL_RST | CTRL_SLU);
		set(r->w, E1000_TDT, i % COUNT);
	}
	return NULL;
}

/* Registers from another thread while frames go both ways; for the thread sanitizer, and for deadlocks. */
static void vcpus_and_io(void **state)
{
	struct world *w = *state;
	struct racer r = {.w = w};
	pthread_t thread;

	bring_up(w);
	fill_frame(w->f->ram + TX_DATA, 1000);
	for (uint32_t i = 0; i < COUNT; i++)
		put_tx(w, TX_DATA, LAST | 1000, 0);
	assert_int_equal(pthread_create(&thread, NULL, race, &r), 0);
	for (int i = 0; i < 3000; i++) {
		give(w, mac, 500);
		host_fake_run(w->f);
		w->net->n_sent = 0;
		if (i % 100 == 0)
			set(w, E1000_TCTL, TCTL_EN);
	}
	r.stop = true;
	pthread_join(thread, NULL);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(is_an_82540em),
	        T(eeprom_by_eerd),
	        T(eeprom_bit_by_bit),
	        T(phy),
	        T(link_follows_cable_and_software),
	        T(io_window),
	        T(odd_accesses),
	        T(causes_and_masks),
	        T(throttle),
	        T(receive_delay),
	        T(transmit_delay),
	        T(sends_legacy_descriptors),
	        T(many_frames_and_wrapping),
	        T(a_low_ring),
	        T(a_back_end_that_waits),
	        T(inserts_checksums),
	        T(segments),
	        T(segments_for_a_back_end_that_waits),
	        T(vlan_tags_go_in),
	        T(receives),
	        T(filters),
	        T(buffers_of_every_size),
	        T(a_full_ring_holds_frames_back),
	        T(receive_checksums),
	        T(vlan_tags_come_out),
	        T(loopback),
	        T(software_reset),
	        T(domain_reset),
	        T(no_bus_mastering_no_transfer),
	        T(hostile_rings),
	        T(hostile_descriptors),
	        T(noise),
	        T(vcpus_and_io),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
