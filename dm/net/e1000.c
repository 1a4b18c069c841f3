/* SPDX-License-Identifier: MIT */
/* The 82540EM as a PCI function: its life, its resets, its link. */
#include "dm/net/e1000-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BAR_MMIO 0x20000u
#define BAR_IO   64u

/* ---- link ---- */

void e1000_link_update(struct e1000 *d)
{
	bool wire = d->cable && !(d->phy.reg[0] & 0x0800); /* PHY powered down */
	bool up = wire && *e1000_reg(d, E1000_CTRL) & CTRL_SLU;

	e1000_phy_link(d, wire);
	if (up == d->link)
		return;
	d->link = up;
	e1000_causes(d, ICR_LSC);
	if (up)
		d->host->defer_run(d->inst, d->tx_work);
}

static void on_link(void *opaque, bool up)
{
	struct e1000 *d = opaque;

	pthread_mutex_lock(&d->lock);
	d->cable = up;
	e1000_link_update(d);
	pthread_mutex_unlock(&d->lock);
}

/* ---- resets ---- */

/* CTRL.RST, which the PHY does not see. Frames that wait in the back end stay there: the next ring may have them. */
void e1000_device_reset(struct e1000 *d)
{
	e1000_tx_reset(d);
	e1000_registers_reset(d);
	e1000_interrupt_reset(d);
	d->eeprom.pins = d->eeprom.started = d->eeprom.reading = 0;
	e1000_eeprom_load(d);
	e1000_link_update(d);
	*e1000_reg(d, E1000_ICR) = 0;
	if (d->rx_waiting)
		d->host->defer_run(d->inst, d->rx_work);
	d->rx_waiting = false;
}

/* With receiver and transmitter off nothing asks the bus any more. */
static void quiet(struct e1000 *d)
{
	pthread_mutex_lock(&d->dma);
	pthread_mutex_lock(&d->lock);
	e1000_device_reset(d);
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_unlock(&d->dma);
}

static void present(struct e1000 *d, bool in)
{
	if (GAMUT_HAS(d->bus, struct gamut_pci_bus_ops, present))
		d->bus->present(d->bus_self, d->function, in);
}

/* Nobody reaches its registers any more, and it reaches no memory; then what it was at ends. */
void e1000_unplug(struct e1000 *d)
{
	present(d, false);
	quiet(d);
	__atomic_store_n(d->sent, 0, __ATOMIC_RELAXED);
	__atomic_store_n(d->received, 0, __ATOMIC_RELAXED);
}

void e1000_reset(struct e1000 *d)
{
	present(d, true);
	pthread_mutex_lock(&d->dma);
	pthread_mutex_lock(&d->lock);
	d->tx.blocked = false;
	e1000_phy_reset(d);
	d->link = false;
	e1000_device_reset(d);
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_unlock(&d->dma);
	netdev_flush(d->netdev);
}

/* ---- life ---- */

void e1000_front(struct e1000 *d, struct netdev_front *front)
{
	front->receive = e1000_receive;
	front->writable = e1000_tx_writable;
	front->link = on_link;
	front->opaque = d;
	for (uint32_t i = 0; i < NETDEV_MAC; i++)
		front->mac[i] = (uint8_t)(d->eeprom.word[i / 2] >> 8 * (i & 1));
}

void e1000_connect(struct e1000 *d, struct netdev *dev)
{
	d->netdev = dev;
	d->cable = true;
}

struct e1000 *e1000_create(const struct e1000_config *config)
{
	const struct gamut_host *host = config->host;
	struct e1000 *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->host = host;
	d->inst = config->inst;
	d->rom = config->rom;
	d->rom_size = config->rom_size;
	pthread_mutex_init(&d->dma, NULL);
	pthread_mutex_init(&d->lock, NULL);
	d->stray = host->counter(d->inst, "stray-accesses");
	d->dma_errors = host->counter(d->inst, "dma-errors");
	d->bad_packets = host->counter(d->inst, "bad-packets");
	d->rx_filtered = host->counter(d->inst, "rx-filtered");
	d->sent = host->sign(d->inst, GAMUT_AXIS_NET, GAMUT_COLOUR_V, "e1000-frames-sent");
	d->received = host->sign(d->inst, GAMUT_AXIS_NET, GAMUT_COLOUR_V, "e1000-frames-received");
	net_fcs_init(&d->fcs);
	e1000_registers_create(d);
	e1000_eeprom_create(d, config->mac);
	d->tx.fifo = malloc(E1000_FIFO);
	d->tx_work = host->defer_create(d->inst, e1000_tx_work, d);
	d->rx_work = host->defer_create(d->inst, e1000_rx_work, d);
	d->intr.host_timer = host->timer_create(d->inst, e1000_interrupt_timer, d);
	if (d->tx.fifo && d->tx_work && d->rx_work && d->intr.host_timer)
		return d;
	e1000_destroy(d);
	errno = ENOMEM;
	return NULL;
}

int e1000_start(struct e1000 *d, const struct gamut_pci_bus_ops *bus, void *bus_self)
{
	struct gamut_pci_desc desc = {
	        .size = sizeof(desc),
	        .devfn = GAMUT_PCI_ANY,
	        .vendor = 0x8086,
	        .device = 0x100e,
	        .subsystem_vendor = 0x8086,
	        .subsystem = 0x001e,
	        .class_revision = 0x02000002, /* Ethernet controller, stepping A2 */
	        .pin = 1,
	        .bar = {{GAMUT_PCI_BAR_MEM32, 0, BAR_MMIO, &e1000_mmio_ops},
	                {GAMUT_PCI_BAR_IO, 0, BAR_IO, &e1000_io_ops}},
	        .rom = d->rom,
	        .rom_size = d->rom_size,
	};
	int err;

	d->bus = bus;
	d->bus_self = bus_self;
	err = bus->add(bus_self, &desc, d, &d->function);
	if (err)
		return err;
	e1000_reset(d);
	return 0;
}

void e1000_stop(struct e1000 *d)
{
	if (!d->function)
		return;
	quiet(d);
	d->bus->remove(d->bus_self, d->function);
	d->function = NULL;
}

void e1000_destroy(struct e1000 *d)
{
	if (!d)
		return;
	if (d->intr.host_timer)
		d->host->timer_destroy(d->inst, d->intr.host_timer);
	if (d->rx_work)
		d->host->defer_destroy(d->inst, d->rx_work);
	if (d->tx_work)
		d->host->defer_destroy(d->inst, d->tx_work);
	free(d->tx.fifo);
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->dma);
	free(d);
}
