/* SPDX-License-Identifier: MIT */
#include "dm/virtio/place.h"

#include <errno.h>

int virtio_place_start(struct virtio_place *place, struct virtio_dev *dev, struct virtio_pci_config *pci)
{
	const struct gamut_host *host = dev->c.host;
	const struct gamut_slots_ops *slots;
	void *self;

	pci->bus = host->lookup(dev->c.inst, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, 0, &pci->bus_self);
	if (pci->bus)
		return virtio_pci_create(dev, pci, &place->pci);
	slots = host->lookup(dev->c.inst, GAMUT_SLOTS, GAMUT_SLOTS_REVISION, 0, &self);
	if (slots)
		return virtio_mmio_create(dev, slots, self, &place->mmio);
	return host->fail(dev->c.inst, ENODEV, "a virtio device needs a platform with a " GAMUT_PCI_BUS " or "
	                  GAMUT_SLOTS);
}

int virtio_place_reset(struct virtio_place *place)
{
	if (place->pci)
		virtio_pci_reset(place->pci);
	if (place->mmio)
		virtio_mmio_reset(place->mmio);
	return 0;
}

void virtio_place_stop(struct virtio_place *place)
{
	virtio_pci_destroy(place->pci);
	virtio_mmio_destroy(place->mmio);
	*place = (struct virtio_place){0};
}
