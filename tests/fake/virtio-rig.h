/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of a virtio device, over a fake host: a transport that
 * counts interrupts, and rings in guest memory that a test fills by hand. A
 * test that wants to misbehave writes to the rings itself.
 */
#ifndef VIRTIO_RIG_H
#define VIRTIO_RIG_H

#include <string.h>

#include "dm/virtio/device.h"
#include "fake/host-fake.h"

#define VIRTIO_RIG_QUEUES 64u

struct virtio_rig {
	struct host_fake *f;
	struct virtio_dev *dev;
	uint32_t irqs[VIRTIO_RIG_QUEUES], config_irqs;
};

/* A ring: descriptor table, available ring and used ring, a page or more each, from `base` on. */
struct virtio_ring {
	struct virtio_rig *r;
	uint32_t index;
	uint16_t size, next, seen; /* next free descriptor; used entries that were looked at */
	uint64_t base;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

/* A buffer of the driver's. */
struct virtio_buf {
	uint64_t gpa;
	uint32_t len;
};

static inline void virtio_rig_queue_irq(void *opaque, uint32_t queue)
{
	((struct virtio_rig *)opaque)->irqs[queue]++;
}

static inline void virtio_rig_config_irq(void *opaque)
{
	((struct virtio_rig *)opaque)->config_irqs++;
}

static const struct virtio_transport virtio_rig_transport = {
	.queue_irq = virtio_rig_queue_irq,
	.config_irq = virtio_rig_config_irq,
};

static inline void virtio_rig_init(struct virtio_rig *r, struct host_fake *f, struct virtio_dev *dev)
{
	*r = (struct virtio_rig){ .f = f, .dev = dev };
	virtio_connect(dev, &virtio_rig_transport, r, true);
}

/* Up to FEATURES_OK; whether the device agreed. */
static inline bool virtio_rig_features(struct virtio_rig *r, uint64_t features)
{
	virtio_set_status(r->dev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	virtio_accept(r->dev, 0, (uint32_t)features);
	virtio_accept(r->dev, 1, (uint32_t)(features >> 32));
	virtio_set_status(r->dev, virtio_status(r->dev) | VIRTIO_CONFIG_S_FEATURES_OK);
	return virtio_status(r->dev) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static inline void virtio_rig_driver_ok(struct virtio_rig *r)
{
	virtio_set_status(r->dev, virtio_status(r->dev) | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* Where the parts of a ring at `base` are. */
static inline uint64_t virtio_ring_avail_at(uint64_t base)
{
	return base + 0x4000;
}

static inline uint64_t virtio_ring_used_at(uint64_t base)
{
	return base + 0x6000;
}

/* Sets a queue up and enables it; the memory from base on, 64 KiB, is the ring's. */
static inline void virtio_ring_init(struct virtio_ring *ring, struct virtio_rig *r, uint32_t index, uint64_t base,
                                    uint16_t size)
{
	struct virtq *q = virtio_queue(r->dev, index);
	uint8_t *ram = r->f->ram;

	memset(ram + base, 0, 0x10000);
	*ring = (struct virtio_ring){ .r = r, .index = index, .size = size, .base = base };
	ring->desc = (struct vring_desc *)(ram + base);
	ring->avail = (struct vring_avail *)(ram + virtio_ring_avail_at(base));
	ring->used = (struct vring_used *)(ram + virtio_ring_used_at(base));
	if (q) {
		virtio_set_size(q, size);
		virtio_set_address(q, &q->desc, false, (uint32_t)base);
		virtio_set_address(q, &q->avail, false, (uint32_t)virtio_ring_avail_at(base));
		virtio_set_address(q, &q->used, false, (uint32_t)virtio_ring_used_at(base));
		virtio_enable(r->dev, index);
	}
}

/* Makes a head available. */
static inline void virtio_ring_offer(struct virtio_ring *ring, uint16_t head)
{
	ring->avail->ring[ring->avail->idx & (ring->size - 1)] = head;
	__atomic_store_n(&ring->avail->idx, (uint16_t)(ring->avail->idx + 1), __ATOMIC_RELEASE);
}

/* A chain of n_out readable and n_in writable buffers, offered; its head. */
static inline uint16_t virtio_ring_add(struct virtio_ring *ring, const struct virtio_buf *buf, uint32_t n_out,
                                       uint32_t n_in)
{
	uint16_t head = ring->next, at = head;

	for (uint32_t i = 0; i < n_out + n_in; i++) {
		at = ring->next;
		ring->next = (uint16_t)((ring->next + 1) & (ring->size - 1));
		ring->desc[at] = (struct vring_desc){ .addr = buf[i].gpa, .len = buf[i].len, .next = ring->next };
		ring->desc[at].flags = (uint16_t)((i + 1 < n_out + n_in ? VRING_DESC_F_NEXT : 0) |
		                                  (i >= n_out ? VRING_DESC_F_WRITE : 0));
	}
	virtio_ring_offer(ring, head);
	return head;
}

static inline void virtio_ring_kick(struct virtio_ring *ring)
{
	virtio_notify(ring->r->dev, ring->index);
	host_fake_run(ring->r->f);
}

/* The next used chain, if there is one. */
static inline bool virtio_ring_used(struct virtio_ring *ring, struct vring_used_elem *elem)
{
	if (ring->seen == __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE))
		return false;
	*elem = ring->used->ring[ring->seen++ & (ring->size - 1)];
	return true;
}

#endif
