/* SPDX-License-Identifier: MIT */
/* virtio over MMIO (virtio 1.2, 4.2), version 2, in a slot of a platform without buses (gamut/slots.h). */
#ifndef DM_VIRTIO_MMIO_H
#define DM_VIRTIO_MMIO_H

#include "dm/virtio/device.h"
#include "gamut/slots.h"

/* The ACPI id that drivers know the device by. */
#define VIRTIO_MMIO_HID "LNRO0005"

struct virtio_mmio;

/* Takes a slot. 0 or -errno; host->fail has been called. In start. [control] */
int virtio_mmio_create(struct virtio_dev *dev, const struct gamut_slots_ops *slots, void *slots_self,
                       struct virtio_mmio **made);
/* NULL is allowed. [control] */
void virtio_mmio_destroy(struct virtio_mmio *m);
/* The registers as at power-on, the device's included. While paused. [control] */
void virtio_mmio_reset(struct virtio_mmio *m);

#endif
