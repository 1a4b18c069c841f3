/* SPDX-License-Identifier: MIT */
/*
 * The parts of the 82540EM, each in a file of its own, and what they share.
 *
 * Locks, in the order in which they are taken:
 *   dma   held by [io] while it walks a ring, and by whoever turns the rings
 *         off (reset, RCTL, TCTL): once that write is done, the device does
 *         not touch the buffers any more.
 *   lock  registers and the interrupt's state; never while memory is moved.
 *
 * A batch on [io] takes a copy of the registers it works by, works without
 * `lock`, and puts head, statistics and causes back at once.
 */
#ifndef NET_E1000_INTERNAL_H
#define NET_E1000_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "dm/net/checksum.h"
#include "dm/net/e1000-reg.h"
#include "dm/net/e1000.h"

#define E1000_FRAME_MAX NETDEV_FRAME_MAX
#define E1000_BATCH     64u /* descriptors that are fetched at once; the hardware has as many */
#define E1000_FIFO      (128u << 10)
#define E1000_FIFO_FRAMES 64u
#define E1000_HEADER_MAX 255u

#define EEPROM_WORDS 64u

/* Microwire, bit by bit. */
struct e1000_eeprom {
	uint16_t word[EEPROM_WORDS];
	uint32_t pins;     /* EECD as last written */
	uint32_t shift;    /* bits in so far */
	uint32_t n_bits;   /* how many since CS rose and the start bit came */
	uint16_t out;      /* bits going out, next one on top */
	uint8_t address;
	uint8_t reading, started, writable;
	uint8_t data_out;  /* level of DO */
};

struct e1000_phy {
	uint16_t reg[32];
};

/* Delays before a cause, and the throttle: domain time of each, 0 when it does not run. */
struct e1000_interrupt {
	bool level;              /* of the pin */
	uint64_t throttled;      /* no new interrupt before */
	uint64_t rx, rx_limit;   /* RDTR, RADV */
	uint64_t tx, tx_limit;   /* TIDV, TADV */
	uint64_t timer;          /* what the host's timer is set to */
	struct gamut_timer *host_timer;
};

/* What a batch adds to the statistics; e1000-stats.c. */
struct e1000_counts {
	uint32_t good, broadcast, multicast, size[6];
	uint64_t octets, total_octets;
	uint32_t total, missed, no_buffer, segmented, too_long, pause_unknown, xon, xoff;
};

/* One of the two contexts of 3.3.6. */
struct e1000_context {
	uint8_t ipcss, ipcso, tucss, tucso, header_length;
	uint16_t ipcse, tucse, mss;
	uint32_t command; /* TUCMD as in the descriptor */
};

struct e1000_tx {
	struct e1000_tx_desc desc[E1000_BATCH]; /* fetched, from `next` on not yet used up */
	uint32_t n, next, at;                   /* `at`: bytes of desc[next] that are done */
	struct e1000_context checksum, segment;

	/* The packet that descriptors are adding to. */
	bool in_packet, tse, bad, tagged;
	uint32_t options, command; /* POPTS and DCMD of its first descriptor */
	uint8_t cso, css;          /* legacy */
	uint16_t tag;
	uint8_t header[E1000_HEADER_MAX];
	uint32_t header_length, sent, segments; /* TSE: header bytes so far, payload bytes and segments sent */

	/* The frame being built: `length` bytes at fifo + used + 4, room for a tag before it. */
	bool open;
	uint32_t length;

	/* Frames that the back end is yet to take. */
	uint8_t *fifo;
	uint32_t used, first, n_frames;
	struct netdev_frame frame[E1000_FIFO_FRAMES];
	struct iovec iov[E1000_FIFO_FRAMES];
	bool blocked; /* until the back end calls writable */
};

struct e1000 {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_pci_bus_ops *bus;
	void *bus_self;
	struct gamut_pci_function *function;
	struct netdev *netdev;
	const void *rom;
	uint32_t rom_size;

	pthread_mutex_t dma, lock;
	struct gamut_defer *tx_work, *rx_work;

	/* under lock */
	uint32_t reg[E1000_REG_END / 4];
	uint32_t ioaddr;
	bool cable;      /* the back end's link */
	bool link;       /* what STATUS.LU and the PHY say */
	bool rx_waiting; /* the back end holds frames for descriptors to come */
	struct e1000_eeprom eeprom;
	struct e1000_phy phy;
	struct e1000_interrupt intr;

	/* under dma */
	struct e1000_tx tx;
	struct net_fcs fcs;

	uint8_t rule[E1000_REG_END / 4]; /* index into the table of registers, by offset */
	uint64_t *stray, *dma_errors, *bad_packets, *rx_filtered;
	uint64_t *sent, *received; /* signs: frames */
};

static inline uint32_t *e1000_reg(struct e1000 *d, uint32_t offset)
{
	return &d->reg[offset / 4];
}

static inline void e1000_count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* Where a ring is, as its registers say. */
struct e1000_ring {
	uint64_t base;
	uint32_t count, head, tail; /* descriptors */
};

/* False, and *ring empty, when it can hold nothing, or head or tail are outside it. lock held. */
bool e1000_ring(struct e1000 *d, uint32_t bal, struct e1000_ring *ring);

/* ---- e1000-register.c ---- */

void e1000_registers_create(struct e1000 *d);
/* Power-on values of everything in the register file. lock held. */
void e1000_registers_reset(struct e1000 *d);
uint32_t e1000_read(struct e1000 *d, uint32_t offset);                 /* [vcpu] */
void e1000_write(struct e1000 *d, uint32_t offset, uint32_t value);    /* [vcpu] */
extern const struct gamut_io_ops e1000_mmio_ops, e1000_io_ops;

/* ---- e1000.c: what CTRL.RST does; dma and lock held ---- */

void e1000_device_reset(struct e1000 *d);
/* Brings link and its interrupt up to date after cable, CTRL or PHY changed. lock held. */
void e1000_link_update(struct e1000 *d);

/* ---- e1000-eeprom.c; lock held ---- */

void e1000_eeprom_create(struct e1000 *d, const uint8_t mac[NETDEV_MAC]);
/* Station address and such from the EEPROM into the registers. */
void e1000_eeprom_load(struct e1000 *d);
uint32_t e1000_eecd_read(struct e1000 *d);
void e1000_eecd_write(struct e1000 *d, uint32_t value);
uint32_t e1000_eerd(struct e1000 *d, uint32_t value);

/* ---- e1000-phy.c; lock held ---- */

void e1000_phy_reset(struct e1000 *d);
uint32_t e1000_mdic(struct e1000 *d, uint32_t value);
/* The PHY sends to itself. */
bool e1000_phy_loopback(const struct e1000 *d);
/* The link as the PHY's status shows it. */
void e1000_phy_link(struct e1000 *d, bool up);

/* ---- e1000-interrupt.c; lock held, but for the timer's function ---- */

/* More causes (ICR_*), or a change of IMS or ICR. */
void e1000_causes(struct e1000 *d, uint32_t causes);
/* Frames were received, descriptors written back: now or after RDTR/TIDV. */
void e1000_rx_done(struct e1000 *d);
void e1000_tx_done(struct e1000 *d, bool delay);
uint32_t e1000_icr_read(struct e1000 *d);
void e1000_interrupt_reset(struct e1000 *d);
void e1000_interrupt_timer(void *opaque);

/* ---- e1000-stats.c ---- */

/* One frame of `length` bytes, FCS included. */
void e1000_count_frame(struct e1000_counts *c, const uint8_t *frame, uint32_t length);
/* lock held */
void e1000_count_rx(struct e1000 *d, const struct e1000_counts *c);
void e1000_count_tx(struct e1000 *d, const struct e1000_counts *c);
/* A read, which clears. */
uint32_t e1000_stat_read(struct e1000 *d, uint32_t offset);

/* ---- e1000-filter.c: on copies that a batch has made ---- */

struct e1000_filter {
	uint32_t rctl, vet, fct, fcal, fcah;
	bool strip; /* CTRL.VME */
	uint32_t ra[E1000_RA_COUNT * 2], mta[128], vfta[128];
};

/* lock held */
void e1000_filter_copy(struct e1000 *d, struct e1000_filter *f);

enum e1000_match {
	E1000_DROP = 0,
	E1000_EXACT = 1,
	E1000_INEXACT = 2, /* the multicast table or a promiscuous mode took it: software must look (PIF) */
	E1000_PAUSE = 3,   /* a flow control frame that stays here */
};

/* length is at least NETDEV_HEADER. */
enum e1000_match e1000_filter(const struct e1000_filter *f, const uint8_t *frame, uint32_t length);

/* ---- e1000-segment.c: the frame under construction; dma held ---- */

/* Checksums of a packet without segmentation. */
void e1000_insert_checksums(struct e1000_tx *tx, uint8_t *frame, uint32_t length);
/* Turns header and payload into one segment of the packet, checksums included. */
void e1000_finish_segment(struct e1000_tx *tx, uint8_t *frame, uint32_t length, bool last);

/* ---- e1000-transmit.c ---- */

void e1000_tx_work(void *opaque);     /* [io] */
void e1000_tx_writable(void *opaque); /* [io] */
void e1000_tx_reset(struct e1000 *d); /* dma held */

/* ---- e1000-receive.c ---- */

uint32_t e1000_receive(void *opaque, const struct netdev_frame *frames, uint32_t n); /* [io] */
/* The same with dma held already, for loopback. */
uint32_t e1000_receive_locked(struct e1000 *d, const struct netdev_frame *frames, uint32_t n);
void e1000_rx_work(void *opaque); /* [io] */

#endif
