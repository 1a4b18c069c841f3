/* SPDX-License-Identifier: MIT */
/* Between the files of virtio-net; see net.h. */
#ifndef DM_VIRTIO_NET_INTERNAL_H
#define DM_VIRTIO_NET_INTERNAL_H

#include <linux/virtio_net.h>

#include "dm/virtio/net.h"
#include "gamut/plugin.h"

#define VNET_QUEUE_SIZE 256u
#define VNET_BATCH      64u
/* Segments of a batch of chains: always one whole chain, and many usual ones. */
#define VNET_BATCH_SEGS (2 * VIRTQ_CHAIN_MAX)
/* Every header that a back end looks at: Ethernet with two tags, IP and TCP with all options, and IPv6's. */
#define VNET_HEADERS 256u
#define VNET_HDR     ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define VNET_TABLE   64u /* addresses that are filtered by; with more, all pass */
#define VNET_FLOWS   256u

struct vnet_counters {
	uint64_t *tx_frames, *rx_frames, *tx_bytes, *rx_bytes;
	uint64_t *tx_bad;      /* frames from the guest that are none */
	uint64_t *rx_dropped;  /* no driver, or buffers that never fit */
	uint64_t *rx_filtered;
	uint64_t *rx_waits;    /* the guest had no buffers: frames wait in the back end */
	uint64_t *commands;    /* of the control queue */
	uint64_t *frames;      /* sign */
};

/* What the guest wants to receive: 5.1.6.5.1 to 5.1.6.5.3. */
struct vnet_filter {
	uint8_t mac[NETDEV_MAC];
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	bool by_vlan; /* negotiated */
	/* Too many addresses were given: all of that kind pass. */
	bool any_unicast, any_multicast;
	uint32_t n_unicast, n_multicast;
	uint8_t unicast[VNET_TABLE][NETDEV_MAC], multicast[VNET_TABLE][NETDEV_MAC];
	uint32_t vlan[4096 / 32]; /* a bit each */
};

/* A batch of frames on their way from the guest. */
struct vnet_tx {
	struct {
		struct virtq_chain chain;
		bool bad; /* no frame is made of it */
	} entry[VNET_BATCH];
	struct virtq_seg segs[VNET_BATCH_SEGS];
	struct netdev_frame frame[VNET_BATCH];
	struct iovec iov[VNET_BATCH_SEGS + VNET_BATCH];
	uint8_t headers[VNET_BATCH][VNET_HEADERS]; /* private copies */
	uint32_t n, n_frames, n_segs, n_iov;
};

/* Buffers for one frame on its way to the guest. */
struct vnet_rx {
	struct virtq_chain chain[VIRTQ_SIZE_MAX];
	struct virtq_seg segs[VNET_BATCH_SEGS];
};

struct vnet {
	struct virtio_dev dev; /* first */
	struct vnet_config c;
	struct netdev *netdev;
	struct gamut_defer *defer;
	uint64_t asked; /* atomic: queues to look at, and ASK_* */

	/* Held while data moves and by whoever changes what follows; before a queue's lock, after dev.lock. */
	pthread_mutex_t work;
	uint32_t pairs; /* in use */
	struct vnet_filter filter;
	bool link, announce;
	uint32_t can;      /* NETDEV_CAN_*: what the guest takes now */
	bool tx_blocked;   /* the back end takes nothing until it says so */
	bool rx_waiting;   /* frames wait in the back end for buffers */
	uint8_t flow[VNET_FLOWS]; /* by a flow's hash, the pair on which the guest sent it last */
	struct vnet_tx tx;
	struct vnet_rx rx;
	struct vnet_counters n;
};

/* In `asked` beside the queues. */
#define VNET_ASK_OFFLOAD (1ull << 63) /* `can` has changed: the back end has to know */

static inline uint32_t vnet_rx_index(uint32_t pair)
{
	return 2 * pair;
}

static inline uint32_t vnet_tx_index(uint32_t pair)
{
	return 2 * pair + 1;
}

/* Without VIRTIO_NET_F_MQ there is one pair, and the control queue follows it (5.1.2). */
static inline uint32_t vnet_ctrl_index(const struct vnet *n)
{
	return virtio_has(&n->dev, VIRTIO_NET_F_MQ) ? 2 * n->c.pairs : 2;
}

/* Has [io] look at queues. [any] */
void vnet_ask(struct vnet *n, uint64_t what);
/* The mask for the back end of VIRTIO_NET_F_GUEST_* in `features`. */
uint32_t vnet_can(uint64_t features);

/* work is held for all of these. [io] */
void vnet_tx_run(struct vnet *n, uint32_t pair);
void vnet_ctrl_run(struct vnet *n);
/* Buffers have come: whether there are frames that wait. */
bool vnet_rx_refilled(struct vnet *n);

/* For the back end. [io] */
uint32_t vnet_receive(void *opaque, const struct netdev_frame *frames, uint32_t n);

/* A hash of the addresses and ports of a frame, the same in both directions. */
uint32_t vnet_flow(const uint8_t *header, uint32_t n);

void vnet_filter_reset(struct vnet_filter *f, const uint8_t mac[NETDEV_MAC]);
bool vnet_filter_wants(const struct vnet_filter *f, const uint8_t *header, uint32_t n);

#endif
