/* SPDX-License-Identifier: MIT */
/*
 * virtio-blk (virtio 1.2, 5.2) over a host block back end.
 *
 *     blk.c        the device: configuration space, life
 *     blk-queue.c  a queue: on which thread requests are served
 *     blk-req.c    a request, from its header to its status
 *
 * A request that the host's page cache can serve is carried out at once, on the
 * vCPU's own thread, during the notification: the copy costs less than waking
 * another thread would. Everything else is submitted on [io].
 */
#ifndef DM_VIRTIO_BLK_H
#define DM_VIRTIO_BLK_H

#include "dm/block/block.h"
#include "dm/virtio/device.h"

struct vblk;

struct vblk_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block; /* borrowed */
	uint32_t n_queues;
	const char *serial; /* up to 20 characters are told; NULL: none */
};

/* NULL with errno set. [control] */
struct vblk *vblk_create(const struct vblk_config *config);
/* Its transport is gone. NULL is allowed. [control] */
void vblk_destroy(struct vblk *b);
/* For its transport. */
struct virtio_dev *vblk_device(struct vblk *b);

#endif
