/* SPDX-License-Identifier: MIT */
/*
 * Intel 82540EM, a PCI Gigabit Ethernet controller with a copper PHY, as in
 * "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
 * Manual" (317453). Chapter numbers in this folder are that manual's.
 *
 * Not there, and as if strapped off: wake-up (its registers are held), the
 * flash window, the packet buffer's diagnostic window, SMBus.
 */
#ifndef NET_E1000_H
#define NET_E1000_H

#include "gamut/pci.h"

#include "dm/netdev/netdev.h"

/* What such a card boots by network from where no other ROM is given: Debian's iPXE. See dm/pci/rom.h. */
#define E1000_ROM_DEFAULT "/usr/lib/ipxe/qemu/pxe-e1000.rom"

struct e1000;

struct e1000_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint8_t mac[NETDEV_MAC];
	const void *rom; /* expansion ROM; lives as long as the device. NULL: none */
	uint32_t rom_size;
};

/* NULL with errno set. [control] */
struct e1000 *e1000_create(const struct e1000_config *config);
/* What the back end shall call. [control] */
void e1000_front(struct e1000 *d, struct netdev_front *front);
/* Its cable. Before start; dev stays the caller's, and must outlive start to stop. [control] */
void e1000_connect(struct e1000 *d, struct netdev *dev);
/* Puts it into its slot, at power-on. 0 or -errno; the bus has called host->fail. [control] */
int e1000_start(struct e1000 *d, const struct gamut_pci_bus_ops *bus, void *bus_self);
/* PCI RST#; back in its slot, if it was unplugged. While paused. [control] */
void e1000_reset(struct e1000 *d);
/*
 * Out of its slot: the guest finds nothing there, and nothing is received,
 * sent or asked for any more, until a reset. Frames from the back end still
 * come to it, and are dropped. Its signs start over: the guest has none such
 * now. [vcpu] [control]
 */
void e1000_unplug(struct e1000 *d);
/* Off the bus; no interrupt is asked for any more. [control] */
void e1000_stop(struct e1000 *d);
/* NULL is allowed. [control] */
void e1000_destroy(struct e1000 *d);

#endif
