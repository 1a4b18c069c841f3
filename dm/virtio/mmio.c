/* SPDX-License-Identifier: MIT */
#include "dm/virtio/mmio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_mmio.h>

#define MAGIC       0x74726976u /* "virt" */
#define VERSION     2u
#define VENDOR      0x54554d47u /* "GMUT" */
#define QUEUE_RESET 0x0c0u      /* virtio 1.2, 4.2.2; younger than the header */
#define LENGTH      0x1000u

struct virtio_mmio {
	struct virtio_dev *dev;
	const struct gamut_slots_ops *slots;
	void *slots_self;
	struct gamut_slot *slot;
	/* Under dev->lock but for single words. */
	uint32_t offered_half, accepted_half, queue;

	pthread_mutex_t irq_lock; /* status and level go together */
	uint32_t irq;             /* VIRTIO_MMIO_INT_*; the line is up while there is one */
};

/* ---- interrupts ------------------------------------------------------------------------- */

static void set_irq(struct virtio_mmio *m, uint32_t set, uint32_t clear)
{
	uint32_t old;

	pthread_mutex_lock(&m->irq_lock);
	old = m->irq;
	m->irq = (old | set) & ~clear;
	if (!old != !m->irq)
		m->slots->irq(m->slots_self, m->slot, m->irq != 0);
	pthread_mutex_unlock(&m->irq_lock);
}

static void queue_irq(void *opaque, uint32_t queue)
{
	(void)queue;
	set_irq(opaque, VIRTIO_MMIO_INT_VRING, 0);
}

static void config_irq(void *opaque)
{
	set_irq(opaque, VIRTIO_MMIO_INT_CONFIG, 0);
}

static const struct virtio_transport transport = {
        .queue_irq = queue_irq,
        .config_irq = config_irq,
};

static void forget(struct virtio_mmio *m)
{
	m->offered_half = m->accepted_half = m->queue = 0;
	set_irq(m, 0, UINT32_MAX);
}

/* ---- registers: 4.2.2 ------------------------------------------------------------------- */

static uint32_t queue_read(struct virtio_mmio *m, uint64_t at)
{
	const struct virtq *q = virtio_queue(m->dev, m->queue);

	if (!q)
		return 0;
	return at == VIRTIO_MMIO_QUEUE_NUM_MAX ? q->size_max : at == VIRTIO_MMIO_QUEUE_READY ? q->enabled : 0;
}

static uint32_t reg_read(struct virtio_mmio *m, uint64_t at)
{
	switch (at) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return m->dev->c.type->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_offered(m->dev, m->offered_half);
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return __atomic_load_n(&m->irq, __ATOMIC_ACQUIRE);
	case VIRTIO_MMIO_STATUS:
		return virtio_status(m->dev);
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return __atomic_load_n(&m->dev->generation, __ATOMIC_ACQUIRE);
	/* There is no shared memory, which is said by its length. */
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX;
	default:
		return queue_read(m, at);
	}
}

static void queue_write(struct virtio_mmio *m, uint64_t at, uint32_t value)
{
	struct virtq *q = virtio_queue(m->dev, m->queue);

	if (!q)
		return;
	switch (at) {
	case VIRTIO_MMIO_QUEUE_NUM:
		virtio_set_size(q, value);
		return;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		virtio_set_address(q, &q->desc, at == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		return;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		virtio_set_address(q, &q->avail, at == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		return;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		virtio_set_address(q, &q->used, at == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		return;
	}
}

/* Those that go into the device take its lock themselves; true when it was one. */
static bool command_write(struct virtio_mmio *m, uint64_t at, uint32_t value)
{
	uint32_t queue = __atomic_load_n(&m->queue, __ATOMIC_RELAXED);

	switch (at) {
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_notify(m->dev, value);
		return true;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		set_irq(m, 0, value);
		return true;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_accept(m->dev, m->accepted_half, value);
		return true;
	case VIRTIO_MMIO_STATUS:
		if (virtio_set_status(m->dev, value & 0xff))
			forget(m);
		return true;
	case VIRTIO_MMIO_QUEUE_READY:
		if (value & 1)
			virtio_enable(m->dev, queue);
		else
			virtio_queue_reset(m->dev, queue);
		return true;
	case QUEUE_RESET:
		if (value == 1 && virtio_has(m->dev, VIRTIO_F_RING_RESET))
			virtio_queue_reset(m->dev, queue);
		return true;
	default:
		return false;
	}
}

static void reg_write(struct virtio_mmio *m, uint64_t at, uint32_t value)
{
	if (command_write(m, at, value))
		return;
	pthread_mutex_lock(&m->dev->lock);
	switch (at) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		m->offered_half = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		m->accepted_half = value;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		__atomic_store_n(&m->queue, value, __ATOMIC_RELAXED);
		break;
	default:
		queue_write(m, at, value);
	}
	pthread_mutex_unlock(&m->dev->lock);
}

/* Registers are read and written whole (4.2.2.2); the configuration space in any width. */
static uint64_t io_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct virtio_mmio *m = opaque;

	if (offset >= VIRTIO_MMIO_CONFIG)
		return virtio_config_read(m->dev, offset - VIRTIO_MMIO_CONFIG, width);
	return width == 4 && !(offset & 3) ? reg_read(m, offset) : 0;
}

static void io_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct virtio_mmio *m = opaque;

	if (offset >= VIRTIO_MMIO_CONFIG)
		virtio_config_write(m->dev, offset - VIRTIO_MMIO_CONFIG, width, value);
	else if (width == 4 && !(offset & 3))
		reg_write(m, offset, (uint32_t)value);
}

static const struct gamut_io_ops io_ops = {
        .size = sizeof(struct gamut_io_ops),
        .read = io_read,
        .write = io_write,
};

/* ---- life ------------------------------------------------------------------------------- */

int virtio_mmio_create(struct virtio_dev *dev, const struct gamut_slots_ops *slots, void *slots_self,
                       struct virtio_mmio **made)
{
	struct virtio_mmio *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return dev->c.host->fail(dev->c.inst, ENOMEM, "out of memory");
	m->dev = dev;
	m->slots = slots;
	m->slots_self = slots_self;
	pthread_mutex_init(&m->irq_lock, NULL);
	/* Without a bus nothing keeps a device from memory. */
	virtio_connect(dev, &transport, m, true);
	err = slots->add(slots_self, dev->c.inst, VIRTIO_MMIO_HID, LENGTH, &io_ops, m, &m->slot);
	if (err) {
		virtio_mmio_destroy(m);
		return dev->c.host->fail(dev->c.inst, -err, "%s: no slot of the platform for it: %s",
		                         dev->c.type->name, strerror(-err));
	}
	*made = m;
	return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->irq_lock);
	free(m);
}

void virtio_mmio_reset(struct virtio_mmio *m)
{
	virtio_power_on(m->dev);
	forget(m);
}
