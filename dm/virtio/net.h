/* SPDX-License-Identifier: MIT */
/*
 * virtio-net (virtio 1.2, 5.1) over a host network back end.
 *
 *     net.c         the device: features, configuration space, life
 *     net-tx.c      from the guest: batches of frames by reference
 *     net-rx.c      to the guest: merged buffers, steering to queues
 *     net-ctrl.c    the control queue
 *     net-filter.c  which frames the guest wants
 *
 * Data moves on [io] alone, where the back ends are: a notification only says
 * which queue. Checksums and segmentation go through as they are where the back
 * end takes them, and are offered only then.
 */
#ifndef DM_VIRTIO_NET_H
#define DM_VIRTIO_NET_H

#include "dm/netdev/netdev.h"
#include "dm/virtio/device.h"

/* Pairs of queues: what of them can be named in one word, with the control queue. */
#define VNET_MAX_PAIRS 31u

struct vnet;

struct vnet_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint8_t mac[NETDEV_MAC];
	uint32_t pairs; /* 1 to VNET_MAX_PAIRS */
};

/* NULL with errno set. [control] */
struct vnet *vnet_create(const struct vnet_config *config);
/* What the back end shall call. [control] */
void vnet_front(struct vnet *n, struct netdev_front *front);
/* Its cable. Before its transport; dev stays the caller's, and must outlive start to stop. [control] */
void vnet_connect(struct vnet *n, struct netdev *dev);
/* Its transport is gone. NULL is allowed. [control] */
void vnet_destroy(struct vnet *n);
/* For its transport. */
struct virtio_dev *vnet_device(struct vnet *n);

#endif
