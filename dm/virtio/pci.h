/* SPDX-License-Identifier: MIT */
/*
 * virtio over PCI (virtio 1.2, 4.1), modern alone: there is no I/O BAR, and the
 * revision says so.
 *
 *   BAR 1   the table of MSI-X
 *   BAR 4   64 bits wide, a page each: common configuration, ISR, device
 *           configuration, notifications (four bytes a queue)
 *
 * One vector for changes of the configuration and one a queue; without MSI-X,
 * INTA# and the ISR. The window through configuration space (VIRTIO_PCI_CAP_
 * PCI_CFG) is there for firmware that cannot reach BARs.
 */
#ifndef DM_VIRTIO_PCI_H
#define DM_VIRTIO_PCI_H

#include "dm/virtio/device.h"
#include "gamut/pci.h"

struct virtio_pci_config {
	const struct gamut_pci_bus_ops *bus;
	void *bus_self;
	uint32_t class_code; /* class << 16 | subclass << 8 | interface */
	const void *rom;     /* expansion ROM, or NULL; must last */
	uint32_t rom_size;
};

struct virtio_pci;

/* Puts the device on the bus. 0 or -errno; host->fail has been called. In start. [control] */
int virtio_pci_create(struct virtio_dev *dev, const struct virtio_pci_config *config, struct virtio_pci **made);
/* Off the bus. NULL is allowed. [control] */
void virtio_pci_destroy(struct virtio_pci *p);
/* The registers as at power-on, the device's included. While paused. [control] */
void virtio_pci_reset(struct virtio_pci *p);

#endif
