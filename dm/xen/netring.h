/* SPDX-License-Identifier: MIT */
/*
 * The rings of a network back end.
 *
 *     netback.c    the card: the store, what was agreed on, the network
 *     netqueue.c   one queue: its two rings, event channels and grants
 *     nettx.c      packets from a queue's ring to the network
 *     netslot.c    one packet of it, from its slots to a frame
 *     netrx.c      frames from the network into a queue's ring
 *     netmcast.c   the filter of multicast addresses
 *
 * The guest's events only ask for attention; the work is done in one go on
 * [io]: frames are gathered in a batch, given to the network in one call, and
 * answered with one push and at most one notification.
 *
 * What is wrong with a packet is answered with NETIF_RSP_ERROR and counted,
 * and the ring goes on. A ring whose indices or chains are impossible is
 * broken: nothing that the guest says there can be used, and the card is
 * disconnected, as Linux' back end does it.
 */
#ifndef DM_XEN_NETRING_H
#define DM_XEN_NETRING_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/netdev/netdev.h"
#include "dm/net/headers.h"
#include "dm/xen/public.h"
#include "gamut/xen.h"

#include <xen/io/netif.h>

#define NETRING_PAGE 4096u
/* Entries of the two rings, each a page. */
#define NETTX_SIZE ((uint32_t)__CONST_RING_SIZE(netif_tx, NETRING_PAGE))
#define NETRX_SIZE ((uint32_t)__CONST_RING_SIZE(netif_rx, NETRING_PAGE))
/* Data slots of a packet: as many as every front end can be expected to send and to take. */
#define NETRING_SLOTS XEN_NETIF_NR_SLOTS_MIN
/* Packets that are handed to the network at a time. */
#define NETTX_BATCH 64u
/* A packet up to this length is copied; of a longer one its headers, and the rest stays where it is. */
#define NETTX_COPY 2048u

_Static_assert(NETRX_SIZE == 256 && NETTX_SIZE == 256, "a page holds 256 of both");

struct netcounters {
	uint64_t *tx_frames, *tx_bytes, *rx_frames, *rx_bytes;
	uint64_t *rx_dropped; /* there was nobody, or no buffer, or no way to say it to the guest */
	uint64_t *rx_errors;  /* buffers that could not be written */
	uint64_t *bad;        /* packets that were refused */
	uint64_t *broken;     /* cards that were disconnected for impossible rings */
	uint64_t *notifies;
	uint64_t *frames; /* sign: frames went through a ring */
};

/* What the front end has agreed to. */
struct netterms {
	uint32_t queues;
	bool sg, gso_tcpv4, gso_tcpv6; /* it takes */
	bool csum_ipv4, csum_ipv6;
	bool rx_notify;
	bool multicast; /* it wants the filter */
};

#define NETMCAST_MAX 64u

struct netmcast {
	uint32_t n;
	uint8_t addr[NETMCAST_MAX][NETDEV_MAC];
};

struct netqueue;

/* One packet of a batch. */
struct nettx_packet {
	RING_IDX first;   /* its first entry */
	uint16_t entries; /* it has in the ring, extra infos included */
	uint16_t holds;   /* pages */
	int16_t status;   /* NETIF_RSP_* */
	bool frame;       /* it is one for the network */
};

struct nettx_hold {
	uint32_t ref;
	void *page;
};

/*
 * Packets between their ring and the network. They stay here, unanswered,
 * while the network takes no more. One for all queues of a card, since those
 * wait for the same network.
 */
struct nettx_batch {
	struct netqueue *queue; /* whose packets these are */
	uint32_t n, done;       /* packets, and those that are answered */
	uint32_t frames, sent;
	uint32_t n_iov, n_holds, holds_done;
	struct nettx_packet packet[NETTX_BATCH];
	struct netdev_frame frame[NETTX_BATCH];
	struct iovec iov[NETTX_SIZE + NETTX_BATCH];
	struct nettx_hold hold[NETTX_SIZE];
	uint16_t id[NETTX_SIZE]; /* by entry */
	bool extra[NETTX_SIZE];
	uint8_t head[NETTX_BATCH][NETTX_COPY];
};

/* What the queues of a card have in common. */
struct netvif {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct netdev *netdev; /* borrowed */
	const struct gamut_grant_ops *grants;
	void *grants_self;
	const struct gamut_evtchn_ops *evtchn;
	void *evtchn_self;
	struct gamut_defer *defer; /* calls netqueue_work for all queues */
	struct netcounters counters;
	struct netterms terms;
	struct netmcast mcast;
	struct nettx_batch batch;
	bool blocked; /* the network takes no frames before writable */
	bool broken;
};

/* Attention that a queue wants. */
#define NETQUEUE_TX 1u
#define NETQUEUE_RX 2u

struct netqueue {
	struct netvif *vif;
	uint32_t tx_ref, rx_ref, tx_port, rx_port; /* the ports may be one */
	netif_tx_sring_t *tx;                      /* NULL while not mapped */
	netif_rx_sring_t *rx;
	/* Ours; the pages get copies. What was consumed of rx was answered. */
	RING_IDX tx_cons, tx_rsp, tx_published, rx_cons, rx_published;
	uint32_t rx_wants; /* buffers that the frame needs which the network was left with; 0: none */
	bool tx_bound, rx_bound;
	uint32_t attention; /* atomic */
};

static inline void netring_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---- netqueue.c ---- */

/* Where the front end has a queue. */
struct netqueue_place {
	uint32_t tx_ref, rx_ref, tx_port, rx_port;
};

/* Maps the rings and binds the ports. NULL with errno set. [io] */
struct netqueue *netqueue_create(struct netvif *vif, const struct netqueue_place *place);
/* NULL is allowed. [io] [control] */
void netqueue_destroy(struct netqueue *q);
/* Gives up all pointers into guest memory; packets that the network did not take yet are left to the ring.
 * [control] */
void netqueue_suspend(struct netqueue *q);
/* 0, or -EFAULT when the guest no longer grants its rings. [control] */
int netqueue_resume(struct netqueue *q);
/* Does all there is to do; true when it stopped for fairness alone. [io] */
bool netqueue_work(struct netqueue *q);
/* [any] */
void netqueue_attend(struct netqueue *q, uint32_t what);
/* Its rings make no sense. */
void netqueue_break(struct netqueue *q, const char *why);
/* Shows the guest the answers up to rsp, of which `published` were shown before; notifies it if it wants. */
void netqueue_publish(struct netqueue *q, RING_IDX *shared, const RING_IDX *event, RING_IDX *published,
                      RING_IDX rsp, uint32_t port);

/* ---- nettx.c ---- */

/* True when it stopped for fairness alone. */
bool nettx_work(struct netqueue *q);
/* Forgets what the network did not take: it is as if it had never been read. */
void nettx_rewind(struct netqueue *q);

/* ---- netslot.c ---- */

/* The next packet of the ring, of which there are `left` entries, into the batch. False: the ring is broken.
 */
bool netslot_take(struct netqueue *q, uint32_t left);

/* ---- netrx.c ---- */

/* n frames of one queue; returns how many are taken. The guest sees them after netrx_publish. */
uint32_t netrx_receive(struct netqueue *q, const struct netdev_frame *frames, uint32_t n);
void netrx_publish(struct netqueue *q);
/* The guest may have posted buffers: whether the network is to be told. */
bool netrx_ready(struct netqueue *q);
/* Up to NET_HEADERS_MAX bytes of a frame in one piece, maybe in buf; *n says how many. */
const uint8_t *netrx_head(const struct netdev_frame *frame, uint8_t buf[NET_HEADERS_MAX], uint32_t *n);

/* ---- netmcast.c ---- */

/* False when there is no room. */
bool netmcast_add(struct netmcast *m, const uint8_t addr[NETDEV_MAC]);
void netmcast_delete(struct netmcast *m, const uint8_t addr[NETDEV_MAC]);
/* Whether a frame for this destination passes the filter. */
bool netmcast_pass(const struct netmcast *m, const uint8_t destination[NETDEV_MAC]);

#endif
