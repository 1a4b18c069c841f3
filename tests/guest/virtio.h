/* SPDX-License-Identifier: MIT */
/*
 * A virtio driver (virtio 1.2): modern PCI functions, and registers in memory
 * that ACPI tells of. Split rings, no interrupts.
 */
#ifndef PROBE_VIRTIO_H
#define PROBE_VIRTIO_H

#include "io.h"

#include <linux/virtio_ring.h>

#define VIRTQ_MAX 256u

/* One at a time: the queues' memory is the device's of this moment. */
struct virtio {
	volatile uint8_t *registers; /* the common configuration, or all of an MMIO device's */
	volatile uint8_t *notify, *config;
	uint32_t notify_each; /* PCI: between two queues' places; 0 for MMIO */
	bool event_index;
};

struct virtq {
	struct virtio *device;
	struct vring ring; /* .num: its size */
	volatile uint16_t *notify;
	uint32_t index;
	uint16_t added, kicked, seen; /* counts of avail and used entries */
};

/*
 * The first device of this id (2: disk, 1: network card), reset, with `features`
 * and those that a queue needs accepted as far as they are offered.
 */
enum io_found virtio_open(struct virtio *v, uint32_t id, uint64_t features, uint64_t *accepted);
/* With the lesser of the size and what the device can; 0 to 2. False when it has no such queue. */
bool virtio_queue(struct virtio *v, struct virtq *q, uint32_t index, unsigned size);
/* Queues are made: it may begin. */
bool virtio_ready(struct virtio *v);
/* Back to where no driver has been: nothing is under way on return. */
void virtio_close(struct virtio *v);
uint64_t virtio_config64(const struct virtio *v, unsigned at);

/* Descriptors are the caller's to fill (q->ring.desc). */
void virtq_add(struct virtq *q, uint16_t head);
void virtq_kick(struct virtq *q);
/* Whether a chain came back. *head is ~0 when there is no such. */
bool virtq_reap(struct virtq *q, uint32_t *head, uint32_t *written);

#endif
