/* SPDX-License-Identifier: MIT */
/* Where a virtio device is: on the platform's PCI bus if it has one, else in a slot (GAMUT_VIRTIO_TRANSPORT). */
#ifndef DM_VIRTIO_PLACE_H
#define DM_VIRTIO_PLACE_H

#include "dm/virtio/mmio.h"
#include "dm/virtio/pci.h"

struct virtio_place {
	struct virtio_pci *pci;
	struct virtio_mmio *mmio;
};

/* The life of a plugin's instance, for its ops of the same names. pci: its bus is filled in here. [control] */
int virtio_place_start(struct virtio_place *place, struct virtio_dev *dev, struct virtio_pci_config *pci);
int virtio_place_reset(struct virtio_place *place);
void virtio_place_stop(struct virtio_place *place);

#endif
