/* SPDX-License-Identifier: MIT */
/*
 * A virtio device apart from how the driver reaches it: virtio 1.2, chapters 2
 * and 3. Three parts meet here.
 *
 *   transport (pci.c, mmio.c)   registers and interrupts; calls virtio_*
 *   device.c                    status, features, queues' coming and going
 *   type (blk*.c, net*.c)       struct virtio_type: what the device is
 *
 * Only modern drivers are served (VIRTIO_F_VERSION_1 is not up for choice).
 *
 * Threads. Registers are written on [vcpu], under `lock`. Queues have locks of
 * their own, under which data moves on [vcpu] or [io]; they are taken after
 * `lock`. A device that finds its rings broken may say so under a queue's
 * lock (virtio_broken); the status is atomic for that.
 *
 * Reset is complete when the write that asks for it is: the vCPU waits for
 * what is in flight on the host, as for any register of a device whose bus is
 * busy. There are drivers that do not ask whether a reset is over.
 */
#ifndef DM_VIRTIO_DEVICE_H
#define DM_VIRTIO_DEVICE_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "dm/virtio/queue.h"

#define VIRTIO_FEATURE(n) (1ull << (n))

struct virtio_dev;

struct virtio_type {
	uint32_t id; /* VIRTIO_ID_* */
	const char *name;
	/* Bytes of the configuration space; at + n is within config_size. [vcpu] */
	void (*config_read)(struct virtio_dev *dev, uint32_t at, void *buf, uint32_t n);
	/* May be NULL: nothing can be written. [vcpu] */
	void (*config_write)(struct virtio_dev *dev, uint32_t at, const void *buf, uint32_t n);
	/* Whether it can live with this choice, of what is offered. NULL: with any. [vcpu] */
	bool (*features_ok)(struct virtio_dev *dev, uint64_t features);
	/* DRIVER_OK, with the queues live; may be NULL. [vcpu] */
	void (*driver_ok)(struct virtio_dev *dev);
	/* There is, or may be, something in a live queue. [vcpu] [io] [control] */
	void (*notify)(struct virtio_dev *dev, uint32_t queue);
	/*
	 * The queue is not live any more: on return nothing of it is in flight
	 * and no pointer into guest memory is left. [vcpu] [control]
	 */
	void (*queue_stop)(struct virtio_dev *dev, uint32_t queue);
	/*
	 * [io] is parked: on return nothing is in flight, what was taken has been
	 * pushed and published or is back in its ring. [control]
	 */
	void (*quiesce)(struct virtio_dev *dev);
	/* The device's own state as at power-on; the queues are stopped. [vcpu] [control] */
	void (*reset)(struct virtio_dev *dev);
};

/* What a transport does for its device. */
struct virtio_transport {
	void (*queue_irq)(void *opaque, uint32_t queue); /* [any] */
	void (*config_irq)(void *opaque);                /* [any] */
};

struct virtio_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct virtio_type *type;
	uint64_t features; /* offered beside those of the rings */
	uint32_t config_size;
	uint32_t n_queues;
	uint16_t queue_size; /* a power of two */
	uint32_t axis;       /* of its signs, enum gamut_axis */
};

/* The head of every device's own struct. */
struct virtio_dev {
	struct virtio_config c;
	struct virtq *queues;
	pthread_mutex_t lock;
	uint64_t offered, features; /* features: accepted, once FEATURES_OK is set */
	uint64_t wished;            /* as the driver writes them */
	uint32_t status;            /* atomic */
	uint32_t generation;        /* atomic: of the configuration space */
	bool dma;                   /* the transport lets it at memory */
	const struct virtio_transport *transport;
	void *transport_self;
	uint64_t *broken;           /* counter: rings that were impossible */
	uint64_t *driver_ok, *moved; /* signs; moved: chains given back */
	uint32_t complaints;
};

/* 0 or -ENOMEM. [control] */
int virtio_init(struct virtio_dev *dev, const struct virtio_config *config);
/* After the transport is gone. [control] */
void virtio_finish(struct virtio_dev *dev);
/* Before the transport lets the driver in. dma: whether it is at memory from the start. [control] */
void virtio_connect(struct virtio_dev *dev, const struct virtio_transport *transport, void *self, bool dma);

/* Life cycle, as the ops of a plugin. [control] */
void virtio_pause(struct virtio_dev *dev);
void virtio_resume(struct virtio_dev *dev);
void virtio_power_on(struct virtio_dev *dev);

/* ---- for transports: registers [vcpu] --------------------------------------------------- */

uint32_t virtio_offered(const struct virtio_dev *dev, uint32_t half);
uint32_t virtio_accepted(const struct virtio_dev *dev, uint32_t half);
void virtio_accept(struct virtio_dev *dev, uint32_t half, uint32_t value);
uint32_t virtio_status(const struct virtio_dev *dev);
/* 0 resets, and has reset on return. True then. */
bool virtio_set_status(struct virtio_dev *dev, uint32_t status);
/* NULL when there is no such queue. */
struct virtq *virtio_queue(struct virtio_dev *dev, uint32_t queue);
void virtio_set_size(struct virtq *q, uint32_t size);
/* Half of one of the queue's addresses; ignored while it is enabled. */
void virtio_set_address(struct virtq *q, uint64_t *address, bool upper, uint32_t value);
void virtio_enable(struct virtio_dev *dev, uint32_t queue);
/* The queue alone is as at power-on again. */
void virtio_queue_reset(struct virtio_dev *dev, uint32_t queue);
void virtio_notify(struct virtio_dev *dev, uint32_t queue);
/* width is 1, 2, 4 or 8; what is beyond the space reads as zero. */
uint64_t virtio_config_read(struct virtio_dev *dev, uint64_t at, uint32_t width);
void virtio_config_write(struct virtio_dev *dev, uint64_t at, uint32_t width, uint64_t value);
/* Bus mastering went on or off. [vcpu] */
void virtio_set_dma(struct virtio_dev *dev, bool on);

/* ---- for types -------------------------------------------------------------------------- */

static inline bool virtio_has(const struct virtio_dev *dev, uint32_t feature)
{
	return dev->features >> feature & 1;
}

/* Shows what was pushed and interrupts if the driver wants it; the queue's lock is held. [vcpu] [io] [control] */
void virtio_publish(struct virtio_dev *dev, uint32_t queue);
/*
 * What the driver put into a queue makes no sense: it is not live any more, and
 * the driver has to reset the device. The queue's lock is held. [vcpu] [io]
 */
void virtio_broken(struct virtio_dev *dev, uint32_t queue, const char *why);
/* The configuration space reads otherwise now. [any] */
void virtio_config_changed(struct virtio_dev *dev);

static inline void virtio_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

#endif
