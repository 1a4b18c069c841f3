/* SPDX-License-Identifier: MIT */
#include "dm/virtio/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_pci.h>

#define VENDOR           0x1af4u
#define DEVICE_FIRST     0x1040u
#define REVISION         1u
#define SUBSYSTEM_VENDOR 0x1af4u
#define SUBSYSTEM        0x1100u /* of a modern device any from 0x40 on (4.1.2.1); QEMU's, as the host bridge's is */

#define MSIX_BAR  1u
#define BAR       4u
#define PAGE      0x1000u
#define MSIX_SIZE 0x1000u /* table and pending bits, in halves: 128 vectors */
#define VECTORS_MAX 128u
#define NO_VECTOR VIRTIO_MSI_NO_VECTOR

/* What a page of the BAR is; its offset is the number times PAGE. */
enum { PAGE_COMMON, PAGE_ISR, PAGE_DEVICE, PAGE_NOTIFY, PAGES };

#define NOTIFY_EACH 4u
#define ISR_QUEUE  1u
#define ISR_CONFIG 2u

#define CAP_VENDOR 0x09u
#define CAPS_AT    0x40u
#define N_CAPS     5u
#define CAPS_BYTES (3 * 16u + 2 * 20u)
#define PCI_CFG_AT (CAPS_AT + CAPS_BYTES - 20u) /* the last one */
#define PCI_CFG_DATA (PCI_CFG_AT + 16u)

struct virtio_pci {
	struct virtio_dev *dev;
	const struct gamut_pci_bus_ops *bus;
	void *bus_self;
	struct gamut_pci_function *function;
	uint32_t n_vectors;
	uint32_t isr; /* atomic */

	/* Registers without a queue of their own; under dev->lock but for single words. */
	uint32_t offered_half, accepted_half;
	uint16_t queue, config_vector;

	uint8_t caps[CAPS_BYTES], caps_mask[CAPS_BYTES];
};

/* ---- interrupts ------------------------------------------------------------------------- */

static void interrupt(struct virtio_pci *p, uint16_t vector, uint32_t isr)
{
	if (vector != NO_VECTOR && !p->bus->message(p->bus_self, p->function, vector))
		return;
	/* While MSI-X is on this leads nowhere, as a queue without a vector should. */
	__atomic_fetch_or(&p->isr, isr, __ATOMIC_ACQ_REL);
	p->bus->irq(p->bus_self, p->function, 1);
}

static void queue_irq(void *opaque, uint32_t queue)
{
	struct virtio_pci *p = opaque;

	interrupt(p, __atomic_load_n(&p->dev->queues[queue].vector, __ATOMIC_RELAXED), ISR_QUEUE);
}

static void config_irq(void *opaque)
{
	struct virtio_pci *p = opaque;

	interrupt(p, __atomic_load_n(&p->config_vector, __ATOMIC_RELAXED), ISR_CONFIG);
}

static const struct virtio_transport transport = {
        .queue_irq = queue_irq,
        .config_irq = config_irq,
};

/* Reading it acknowledges the interrupt (4.1.4.5). One that comes between the two steps raises the line anew. */
static uint32_t isr_read(struct virtio_pci *p)
{
	uint32_t isr;

	p->bus->irq(p->bus_self, p->function, 0);
	isr = __atomic_exchange_n(&p->isr, 0, __ATOMIC_ACQ_REL);
	return isr;
}

static uint16_t vector_or_none(const struct virtio_pci *p, uint64_t value)
{
	return value < p->n_vectors ? (uint16_t)value : NO_VECTOR;
}

/* Back to where no driver has been. */
static void forget(struct virtio_pci *p)
{
	p->offered_half = p->accepted_half = 0;
	p->queue = 0;
	p->config_vector = NO_VECTOR;
	for (uint32_t i = 0; i < p->dev->c.n_queues; i++)
		p->dev->queues[i].vector = NO_VECTOR;
	isr_read(p);
}

/* ---- the common configuration: 4.1.4.3 --------------------------------------------------- */

static uint64_t queue_read(struct virtio_pci *p, uint64_t at)
{
	const struct virtq *q = virtio_queue(p->dev, p->queue);

	if (!q)
		return 0;
	switch (at) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return q->size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return q->vector;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return q->enabled;
	case VIRTIO_PCI_COMMON_Q_NOFF:
	case VIRTIO_PCI_COMMON_Q_NDATA:
		return p->queue;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return (uint32_t)q->desc;
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return q->desc >> 32;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return (uint32_t)q->avail;
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return q->avail >> 32;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return (uint32_t)q->used;
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return q->used >> 32;
	default: /* a queue's reset is over when it was asked for: Q_RESET reads as 0 */
		return 0;
	}
}

static uint64_t common_read(struct virtio_pci *p, uint64_t at)
{
	switch (at) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return p->offered_half;
	case VIRTIO_PCI_COMMON_DF:
		return virtio_offered(p->dev, p->offered_half);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return p->accepted_half;
	case VIRTIO_PCI_COMMON_GF:
		return virtio_accepted(p->dev, p->accepted_half);
	case VIRTIO_PCI_COMMON_MSIX:
		return p->config_vector;
	case VIRTIO_PCI_COMMON_NUMQ:
		return p->dev->c.n_queues;
	case VIRTIO_PCI_COMMON_STATUS:
		return virtio_status(p->dev);
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return __atomic_load_n(&p->dev->generation, __ATOMIC_ACQUIRE) & 0xff;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return p->queue;
	default:
		return queue_read(p, at);
	}
}

static void queue_write(struct virtio_pci *p, uint64_t at, uint32_t value)
{
	struct virtq *q = virtio_queue(p->dev, p->queue);

	if (!q)
		return;
	switch (at) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		virtio_set_size(q, value);
		return;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		__atomic_store_n(&q->vector, vector_or_none(p, value), __ATOMIC_RELAXED);
		return;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		virtio_set_address(q, &q->desc, at == VIRTIO_PCI_COMMON_Q_DESCHI, value);
		return;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		virtio_set_address(q, &q->avail, at == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
		return;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		virtio_set_address(q, &q->used, at == VIRTIO_PCI_COMMON_Q_USEDHI, value);
		return;
	}
}

static void set_status(struct virtio_pci *p, uint32_t value)
{
	if (!virtio_set_status(p->dev, value & 0xff))
		return;
	pthread_mutex_lock(&p->dev->lock);
	forget(p);
	pthread_mutex_unlock(&p->dev->lock);
}

/* Those that go into the device take its lock themselves; true when it was one. */
static bool command_write(struct virtio_pci *p, uint64_t at, uint32_t value)
{
	uint32_t queue = __atomic_load_n(&p->queue, __ATOMIC_RELAXED);

	switch (at) {
	case VIRTIO_PCI_COMMON_GF:
		virtio_accept(p->dev, p->accepted_half, value);
		return true;
	case VIRTIO_PCI_COMMON_STATUS:
		set_status(p, value);
		return true;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (value == 1)
			virtio_enable(p->dev, queue);
		return true;
	case VIRTIO_PCI_COMMON_Q_RESET:
		if (value == 1 && virtio_has(p->dev, VIRTIO_F_RING_RESET))
			virtio_queue_reset(p->dev, queue);
		return true;
	default:
		return false;
	}
}

static void common_write(struct virtio_pci *p, uint64_t at, uint32_t value)
{
	if (command_write(p, at, value))
		return;
	pthread_mutex_lock(&p->dev->lock);
	switch (at) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		p->offered_half = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		p->accepted_half = value;
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		__atomic_store_n(&p->config_vector, vector_or_none(p, value), __ATOMIC_RELAXED);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		__atomic_store_n(&p->queue, (uint16_t)value, __ATOMIC_RELAXED);
		break;
	default:
		queue_write(p, at, value);
	}
	pthread_mutex_unlock(&p->dev->lock);
}

/* ---- the BAR ---------------------------------------------------------------------------- */

/* Accesses have a field's own width, 64-bit fields in halves or whole (4.1.3.1). */
static uint64_t bar_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct virtio_pci *p = opaque;
	uint64_t at = offset % PAGE, value = 0;

	switch (offset / PAGE) {
	case PAGE_COMMON:
		value = common_read(p, at);
		if (width == 8 && at >= VIRTIO_PCI_COMMON_Q_DESCLO)
			value |= common_read(p, at + 4) << 32;
		break;
	case PAGE_ISR:
		return at ? 0 : isr_read(p);
	case PAGE_DEVICE:
		return virtio_config_read(p->dev, at, width);
	}
	return width < 8 ? value & ((1ull << 8 * width) - 1) : value;
}

static void bar_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct virtio_pci *p = opaque;
	uint64_t at = offset % PAGE;

	switch (offset / PAGE) {
	case PAGE_NOTIFY:
		/* Where it is says which queue; that is also what is written. */
		virtio_notify(p->dev, (uint32_t)(at / NOTIFY_EACH));
		return;
	case PAGE_COMMON:
		common_write(p, at, (uint32_t)value);
		if (width == 8 && at >= VIRTIO_PCI_COMMON_Q_DESCLO)
			common_write(p, at + 4, (uint32_t)(value >> 32));
		return;
	case PAGE_DEVICE:
		virtio_config_write(p->dev, at, width, value);
		return;
	}
}

static const struct gamut_io_ops bar_ops = {
        .size = sizeof(struct gamut_io_ops),
        .read = bar_read,
        .write = bar_write,
};

/* ---- configuration space ---------------------------------------------------------------- */

struct cap {
	uint8_t type, bytes;
	uint32_t page, length;
};

static const struct cap caps[N_CAPS] = {
        {VIRTIO_PCI_CAP_COMMON_CFG, 16, PAGE_COMMON, PAGE}, {VIRTIO_PCI_CAP_ISR_CFG, 16, PAGE_ISR, PAGE},
        {VIRTIO_PCI_CAP_DEVICE_CFG, 16, PAGE_DEVICE, PAGE}, {VIRTIO_PCI_CAP_NOTIFY_CFG, 20, PAGE_NOTIFY, PAGE},
        {VIRTIO_PCI_CAP_PCI_CFG, 20, 0, 0},
};

static void put32(uint8_t *to, uint32_t value)
{
	memcpy(to, &value, sizeof(value));
}

static void build_caps(struct virtio_pci *p)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < N_CAPS; i++) {
		uint8_t *c = p->caps + at;

		c[VIRTIO_PCI_CAP_VNDR] = CAP_VENDOR;
		c[VIRTIO_PCI_CAP_NEXT] = i + 1 < N_CAPS ? (uint8_t)(CAPS_AT + at + caps[i].bytes) : 0;
		c[VIRTIO_PCI_CAP_LEN] = caps[i].bytes;
		c[VIRTIO_PCI_CAP_CFG_TYPE] = caps[i].type;
		c[VIRTIO_PCI_CAP_BAR] = BAR;
		put32(c + VIRTIO_PCI_CAP_OFFSET, caps[i].page * PAGE);
		put32(c + VIRTIO_PCI_CAP_LENGTH, caps[i].length);
		if (caps[i].type == VIRTIO_PCI_CAP_NOTIFY_CFG)
			put32(c + 16, NOTIFY_EACH);
		at += caps[i].bytes;
	}
	/* The window's BAR, offset, length and data are the driver's. */
	p->caps_mask[PCI_CFG_AT - CAPS_AT + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(p->caps_mask + (PCI_CFG_AT - CAPS_AT + VIRTIO_PCI_CAP_OFFSET), 0xff, 12);
}

/* What the window shows: 4.1.4.9. False when it is set to nothing that can be shown. */
static bool window(struct virtio_pci *p, uint32_t *offset, uint32_t *width)
{
	uint32_t bar = p->bus->config_get(p->bus_self, p->function, PCI_CFG_AT + VIRTIO_PCI_CAP_BAR, 1);

	*offset = p->bus->config_get(p->bus_self, p->function, PCI_CFG_AT + VIRTIO_PCI_CAP_OFFSET, 4);
	*width = p->bus->config_get(p->bus_self, p->function, PCI_CFG_AT + VIRTIO_PCI_CAP_LENGTH, 4);
	return bar == BAR && (*width == 1 || *width == 2 || *width == 4) && !(*offset % *width) &&
	       *offset < PAGES * PAGE;
}

static uint32_t config_read(void *opaque, uint32_t at, uint32_t width, uint32_t held)
{
	struct virtio_pci *p = opaque;
	uint32_t offset, n;

	(void)width;
	if (at == PCI_CFG_DATA && window(p, &offset, &n))
		return (uint32_t)bar_read(p, offset, n);
	return held;
}

static void config_written(void *opaque, uint32_t at, uint32_t width)
{
	struct virtio_pci *p = opaque;
	uint32_t offset, n;

	(void)width;
	if (at < CAPS_AT)
		virtio_set_dma(p->dev, p->bus->bus_master(p->bus_self, p->function));
	else if (at == PCI_CFG_DATA && window(p, &offset, &n))
		bar_write(p, offset, n, p->bus->config_get(p->bus_self, p->function, PCI_CFG_DATA, n));
}

/* ---- life ------------------------------------------------------------------------------- */

static void describe(struct virtio_pci *p, const struct virtio_pci_config *config, struct gamut_pci_desc *desc)
{
	*desc = (struct gamut_pci_desc){
	        .size = sizeof(*desc),
	        .devfn = GAMUT_PCI_ANY,
	        .vendor = VENDOR,
	        .device = (uint16_t)(DEVICE_FIRST + p->dev->c.type->id),
	        .subsystem_vendor = SUBSYSTEM_VENDOR,
	        .subsystem = SUBSYSTEM,
	        .class_revision = config->class_code << 8 | REVISION,
	        .pin = 1,
	        .msix_vectors = p->n_vectors,
	        .msix_bar = MSIX_BAR,
	        .rom = config->rom,
	        .rom_size = config->rom_size,
	        .config_at = CAPS_AT,
	        .n_config = CAPS_BYTES,
	        .config_value = p->caps,
	        .config_mask = p->caps_mask,
	        .config_written = config_written,
	        .config_read = config_read,
	        .capability = CAPS_AT,
	};
	desc->bar[MSIX_BAR] = (struct gamut_pci_bar){.kind = GAMUT_PCI_BAR_MEM32, .size = MSIX_SIZE};
	desc->bar[BAR] = (struct gamut_pci_bar){
	        .kind = GAMUT_PCI_BAR_MEM64, .prefetchable = 1, .size = PAGES * PAGE, .ops = &bar_ops};
}

int virtio_pci_create(struct virtio_dev *dev, const struct virtio_pci_config *config, struct virtio_pci **made)
{
	struct virtio_pci *p = calloc(1, sizeof(*p));
	struct gamut_pci_desc desc;
	int err;

	_Static_assert(CAPS_AT + CAPS_BYTES <= 256 - 12, "room for the bus's capability");
	if (!p)
		return dev->c.host->fail(dev->c.inst, ENOMEM, "out of memory");
	p->dev = dev;
	p->bus = config->bus;
	p->bus_self = config->bus_self;
	p->n_vectors = dev->c.n_queues + 1 < VECTORS_MAX ? dev->c.n_queues + 1 : VECTORS_MAX;
	build_caps(p);
	describe(p, config, &desc);
	virtio_connect(dev, &transport, p, false);
	err = p->bus->add(p->bus_self, &desc, p, &p->function);
	if (err) {
		free(p);
		return err;
	}
	forget(p);
	*made = p;
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *p)
{
	if (!p)
		return;
	p->bus->remove(p->bus_self, p->function);
	free(p);
}

void virtio_pci_reset(struct virtio_pci *p)
{
	virtio_power_on(p->dev);
	forget(p);
	virtio_set_dma(p->dev, p->bus->bus_master(p->bus_self, p->function));
}
