/* SPDX-License-Identifier: MIT */
#include "dm/virtio/net-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_SIZE ((uint32_t)(offsetof(struct virtio_net_config, mtu) + sizeof(((struct virtio_net_config *)0)->mtu)))

#define FEATURES                                                                                                       \
	(VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |                                      \
	 VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ) |                               \
	 VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_RX) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_RX_EXTRA) |                           \
	 VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VLAN) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR) |                         \
	 VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) |                       \
	 VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))

/* Of what the back end can do depends the rest. */
struct pairing {
	uint32_t can; /* NETDEV_CAN_* */
	uint32_t host, guest; /* feature bits */
};

static const struct pairing pairings[] = {
        {NETDEV_CAN_CSUM, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM},
        {NETDEV_CAN_TCPV4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4},
        {NETDEV_CAN_TCPV6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6},
        {NETDEV_CAN_ECN, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN},
};

#define N_PAIRINGS (sizeof(pairings) / sizeof(pairings[0]))

/* 5.1.3.1: what one of these needs, one of those has to be there for. */
static const struct {
	uint32_t feature;
	uint64_t needs; /* one of them */
} requirements[] = {
        {VIRTIO_NET_F_GUEST_TSO4, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM)},
        {VIRTIO_NET_F_GUEST_TSO6, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM)},
        {VIRTIO_NET_F_GUEST_ECN,
         VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6)},
        {VIRTIO_NET_F_HOST_TSO4, VIRTIO_FEATURE(VIRTIO_NET_F_CSUM)},
        {VIRTIO_NET_F_HOST_TSO6, VIRTIO_FEATURE(VIRTIO_NET_F_CSUM)},
        {VIRTIO_NET_F_HOST_ECN, VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6)},
        {VIRTIO_NET_F_CTRL_RX, VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ)},
        {VIRTIO_NET_F_CTRL_VLAN, VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ)},
        {VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ)},
        {VIRTIO_NET_F_MQ, VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ)},
        {VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ)},
        {VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ)},
};

static struct vnet *vnet_of(struct virtio_dev *dev)
{
	return (struct vnet *)dev;
}

/* ---- features and configuration space: 5.1.3, 5.1.4 --------------------------------------- */

uint32_t vnet_can(uint64_t features)
{
	uint32_t can = 0;

	for (uint32_t i = 0; i < N_PAIRINGS; i++)
		if (features >> pairings[i].guest & 1)
			can |= pairings[i].can;
	return can;
}

static uint64_t features_of(const struct netdev_info *info)
{
	uint64_t features = 0;

	for (uint32_t i = 0; i < N_PAIRINGS; i++) {
		if (info->can_send & pairings[i].can)
			features |= VIRTIO_FEATURE(pairings[i].host);
		if (info->can_give & pairings[i].can)
			features |= VIRTIO_FEATURE(pairings[i].guest);
	}
	/* One without the other is nothing that a driver could take up. */
	if (!(features & VIRTIO_FEATURE(VIRTIO_NET_F_CSUM)))
		features &= ~(VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6) |
		              VIRTIO_FEATURE(VIRTIO_NET_F_HOST_ECN));
	if (info->mtu)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_MTU);
	return features;
}

static bool features_ok(struct virtio_dev *dev, uint64_t features)
{
	(void)dev;
	for (uint32_t i = 0; i < sizeof(requirements) / sizeof(requirements[0]); i++)
		if (features >> requirements[i].feature & 1 && !(features & requirements[i].needs))
			return false;
	return true;
}

static void config_read(struct virtio_dev *dev, uint32_t at, void *buf, uint32_t size)
{
	struct vnet *n = vnet_of(dev);
	struct virtio_net_config c = {.max_virtqueue_pairs = (uint16_t)n->c.pairs};

	pthread_mutex_lock(&n->work);
	memcpy(c.mac, n->filter.mac, sizeof(c.mac));
	c.status = (uint16_t)((n->link ? VIRTIO_NET_S_LINK_UP : 0) | (n->announce ? VIRTIO_NET_S_ANNOUNCE : 0));
	pthread_mutex_unlock(&n->work);
	c.mtu = n->netdev->info.mtu <= UINT16_MAX ? (uint16_t)n->netdev->info.mtu : UINT16_MAX;
	memcpy(buf, (const uint8_t *)&c + at, size);
}

/* ---- work ------------------------------------------------------------------------------- */

void vnet_ask(struct vnet *n, uint64_t what)
{
	__atomic_fetch_or(&n->asked, what, __ATOMIC_RELEASE);
	n->c.host->defer_run(n->c.inst, n->defer);
}

static bool asked_rx(const struct vnet *n, uint64_t asked)
{
	for (uint32_t i = 0; i < n->pairs; i++)
		if (asked >> vnet_rx_index(i) & 1)
			return true;
	return false;
}

static void run(void *opaque)
{
	struct vnet *n = opaque;
	uint64_t asked = __atomic_exchange_n(&n->asked, 0, __ATOMIC_ACQUIRE);
	bool ready, offload;
	uint32_t can;

	pthread_mutex_lock(&n->work);
	can = n->can;
	offload = asked & VNET_ASK_OFFLOAD;
	if (asked >> vnet_ctrl_index(n) & 1)
		vnet_ctrl_run(n);
	for (uint32_t i = 0; i < n->c.pairs; i++)
		if (asked >> vnet_tx_index(i) & 1 && vnet_tx_index(i) < vnet_ctrl_index(n))
			vnet_tx_run(n, i);
	ready = (offload || asked_rx(n, asked)) && vnet_rx_refilled(n);
	pthread_mutex_unlock(&n->work);
	/* Both may call back. */
	if (offload)
		netdev_set_offload(n->netdev, can);
	if (ready)
		netdev_ready(n->netdev);
}

static void notify(struct virtio_dev *dev, uint32_t queue)
{
	vnet_ask(vnet_of(dev), 1ull << queue);
}

static void writable(void *opaque)
{
	struct vnet *n = opaque;

	pthread_mutex_lock(&n->work);
	n->tx_blocked = false;
	for (uint32_t i = 0; i < n->pairs; i++)
		vnet_ask(n, 1ull << vnet_tx_index(i));
	pthread_mutex_unlock(&n->work);
}

/* A cable that is plugged in may lead elsewhere: the guest shall say where it is now. */
static void link_changed(void *opaque, bool up)
{
	struct vnet *n = opaque;

	pthread_mutex_lock(&n->work);
	n->announce = up && !n->link && virtio_has(&n->dev, VIRTIO_NET_F_GUEST_ANNOUNCE);
	n->link = up;
	pthread_mutex_unlock(&n->work);
	virtio_config_changed(&n->dev);
}

/* ---- queues and life --------------------------------------------------------------------- */

/* Data moves under the queue's lock alone: with that, it has stopped. */
static void queue_stop(struct virtio_dev *dev, uint32_t queue)
{
	pthread_mutex_lock(&dev->queues[queue].lock);
	pthread_mutex_unlock(&dev->queues[queue].lock);
}

/* [io] is parked: nothing has been taken and not given back. */
static void quiesce(struct virtio_dev *dev)
{
	(void)dev;
}

static void driver_ok(struct virtio_dev *dev)
{
	struct vnet *n = vnet_of(dev);

	pthread_mutex_lock(&n->work);
	n->can = vnet_can(dev->features);
	n->filter.by_vlan = virtio_has(dev, VIRTIO_NET_F_CTRL_VLAN);
	pthread_mutex_unlock(&n->work);
	vnet_ask(n, VNET_ASK_OFFLOAD);
}

/* Frames that wait for a guest that is gone are taken from the back end, and dropped. */
static void reset(struct virtio_dev *dev)
{
	struct vnet *n = vnet_of(dev);

	pthread_mutex_lock(&n->work);
	n->pairs = 1;
	n->can = 0;
	n->announce = false;
	n->tx_blocked = false; /* the old guest's frames were refused; the network may have forgotten that */
	vnet_filter_reset(&n->filter, n->c.mac);
	memset(n->flow, 0, sizeof(n->flow));
	pthread_mutex_unlock(&n->work);
	vnet_ask(n, VNET_ASK_OFFLOAD);
}

static const struct virtio_type type = {
        .id = VIRTIO_ID_NET,
        .name = "virtio-net",
        .config_read = config_read,
        .features_ok = features_ok,
        .driver_ok = driver_ok,
        .notify = notify,
        .queue_stop = queue_stop,
        .quiesce = quiesce,
        .reset = reset,
};

static void make_counters(struct vnet *n)
{
	const struct gamut_host *host = n->c.host;
	struct gamut_inst *inst = n->c.inst;

	n->n = (struct vnet_counters){
	        .tx_frames = host->counter(inst, "frames sent"),
	        .rx_frames = host->counter(inst, "frames received"),
	        .tx_bytes = host->counter(inst, "bytes sent"),
	        .rx_bytes = host->counter(inst, "bytes received"),
	        .tx_bad = host->counter(inst, "bad frames"),
	        .rx_dropped = host->counter(inst, "frames dropped"),
	        .rx_filtered = host->counter(inst, "frames filtered"),
	        .rx_waits = host->counter(inst, "waits for buffers"),
	        .commands = host->counter(inst, "control commands"),
	        .frames = host->sign(inst, GAMUT_AXIS_NET, GAMUT_COLOUR_P, "virtio-net frames"),
	};
}

struct vnet *vnet_create(const struct vnet_config *config)
{
	const struct virtio_config c = {
	        .host = config->host,
	        .inst = config->inst,
	        .type = &type,
	        .features = FEATURES | (config->pairs > 1 ? VIRTIO_FEATURE(VIRTIO_NET_F_MQ) : 0),
	        .config_size = CONFIG_SIZE,
	        .n_queues = 2 * config->pairs + 1,
	        .queue_size = VNET_QUEUE_SIZE,
	        .axis = GAMUT_AXIS_NET,
	};
	struct vnet *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->c = *config;
	n->pairs = 1;
	n->link = true;
	vnet_filter_reset(&n->filter, config->mac);
	pthread_mutex_init(&n->work, NULL);
	make_counters(n);
	n->defer = config->host->defer_create(config->inst, run, n);
	if (!n->defer || virtio_init(&n->dev, &c)) {
		vnet_destroy(n);
		errno = ENOMEM;
		return NULL;
	}
	return n;
}

void vnet_front(struct vnet *n, struct netdev_front *front)
{
	*front = (struct netdev_front){
	        .receive = vnet_receive, .writable = writable, .link = link_changed, .opaque = n};
	memcpy(front->mac, n->c.mac, sizeof(front->mac));
}

void vnet_connect(struct vnet *n, struct netdev *dev)
{
	n->netdev = dev;
	n->dev.offered |= features_of(&dev->info);
}

void vnet_destroy(struct vnet *n)
{
	if (!n)
		return;
	virtio_finish(&n->dev);
	if (n->defer)
		n->c.host->defer_destroy(n->c.inst, n->defer);
	pthread_mutex_destroy(&n->work);
	free(n);
}

struct virtio_dev *vnet_device(struct vnet *n)
{
	return &n->dev;
}
