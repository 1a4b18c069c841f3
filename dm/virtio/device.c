/* SPDX-License-Identifier: MIT */
#include "dm/virtio/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gamut/plugin.h"

/* Lines in the log that one guest may cause by misuse. */
#define MAX_COMPLAINTS 16u

#define RING_FEATURES                                                                                                  \
	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |                            \
	 VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_FEATURE(VIRTIO_F_RING_RESET))

#define DRIVER_BITS                                                                                                    \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |                          \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)

/* ---- life ------------------------------------------------------------------------------- */

int virtio_init(struct virtio_dev *dev, const struct virtio_config *config)
{
	dev->c = *config;
	dev->queues = calloc(config->n_queues, sizeof(*dev->queues));
	if (!dev->queues)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->n_queues; i++)
		virtq_init(&dev->queues[i], config->host, config->inst, config->queue_size);
	pthread_mutex_init(&dev->lock, NULL);
	dev->offered = config->features | RING_FEATURES;
	dev->broken = config->host->counter(config->inst, "rings broken");
	dev->driver_ok = config->host->sign(config->inst, config->axis, GAMUT_COLOUR_P, "virtio driver ok");
	dev->moved = config->host->sign(config->inst, config->axis, GAMUT_COLOUR_P, "virtio buffers moved");
	return 0;
}

void virtio_finish(struct virtio_dev *dev)
{
	if (!dev->queues)
		return;
	for (uint32_t i = 0; i < dev->c.n_queues; i++)
		virtq_finish(&dev->queues[i]);
	pthread_mutex_destroy(&dev->lock);
	free(dev->queues);
	dev->queues = NULL;
}

void virtio_connect(struct virtio_dev *dev, const struct virtio_transport *transport, void *self, bool dma)
{
	dev->transport = transport;
	dev->transport_self = self;
	dev->dma = dma;
}

/* ---- queues come and go ----------------------------------------------------------------- */

static void complain(struct virtio_dev *dev, uint32_t queue, const char *why)
{
	if (__atomic_fetch_add(&dev->complaints, 1, __ATOMIC_RELAXED) < MAX_COMPLAINTS)
		dev->c.host->log(dev->c.inst, GAMUT_LOG_WARN, "%s, queue %u: %s: not served until a reset",
		                 dev->c.type->name, queue, why);
}

void virtio_broken(struct virtio_dev *dev, uint32_t queue, const char *why)
{
	uint32_t old = __atomic_fetch_or(&dev->status, VIRTIO_CONFIG_S_NEEDS_RESET, __ATOMIC_ACQ_REL);

	dev->queues[queue].live = false;
	virtio_add(dev->broken, 1);
	complain(dev, queue, why);
	/* Only a driver that has said it is there is told (2.1.2). */
	if (old & VIRTIO_CONFIG_S_DRIVER_OK && !(old & VIRTIO_CONFIG_S_NEEDS_RESET))
		virtio_config_changed(dev);
}

static const char *why_not_mapped(int err)
{
	return err == -EINVAL ? "a ring of impossible size or alignment" : "a ring that is not in RAM";
}

/* The driver is ready, the queue is enabled: maps the rings. lock held. */
static void queue_up(struct virtio_dev *dev, uint32_t queue)
{
	struct virtq *q = &dev->queues[queue];
	int err;

	if (!q->enabled || !dev->dma || q->fault)
		return;
	pthread_mutex_lock(&q->lock);
	q->indirect = virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
	q->event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX);
	err = q->desc_ring ? 0 : virtq_map(q);
	q->live = !err;
	if (err)
		virtio_broken(dev, queue, why_not_mapped(err));
	pthread_mutex_unlock(&q->lock);
}

/* The rings are let go of; the queue keeps its place in them. lock held. */
static void queue_down(struct virtio_dev *dev, uint32_t queue)
{
	struct virtq *q = &dev->queues[queue];

	pthread_mutex_lock(&q->lock);
	q->live = false;
	pthread_mutex_unlock(&q->lock);
	dev->c.type->queue_stop(dev, queue);
	pthread_mutex_lock(&q->lock);
	virtq_unmap(q);
	pthread_mutex_unlock(&q->lock);
}

static void all_up(struct virtio_dev *dev)
{
	for (uint32_t i = 0; i < dev->c.n_queues; i++)
		queue_up(dev, i);
}

/* Buffers may have been there before the queue was. */
static void notify_all(struct virtio_dev *dev)
{
	for (uint32_t i = 0; i < dev->c.n_queues; i++)
		if (dev->queues[i].enabled)
			dev->c.type->notify(dev, i);
}

static void reset(struct virtio_dev *dev)
{
	for (uint32_t i = 0; i < dev->c.n_queues; i++) {
		queue_down(dev, i);
		pthread_mutex_lock(&dev->queues[i].lock);
		virtq_reset(&dev->queues[i]);
		pthread_mutex_unlock(&dev->queues[i].lock);
	}
	dev->features = dev->wished = 0;
	if (dev->c.type->reset)
		dev->c.type->reset(dev);
	__atomic_store_n(&dev->status, 0, __ATOMIC_RELEASE);
}

void virtio_power_on(struct virtio_dev *dev)
{
	pthread_mutex_lock(&dev->lock);
	reset(dev);
	__atomic_store_n(&dev->generation, 0, __ATOMIC_RELAXED);
	dev->complaints = 0;
	pthread_mutex_unlock(&dev->lock);
}

void virtio_pause(struct virtio_dev *dev)
{
	pthread_mutex_lock(&dev->lock);
	dev->c.type->quiesce(dev);
	for (uint32_t i = 0; i < dev->c.n_queues; i++) {
		pthread_mutex_lock(&dev->queues[i].lock);
		virtq_unmap(&dev->queues[i]);
		pthread_mutex_unlock(&dev->queues[i].lock);
	}
	pthread_mutex_unlock(&dev->lock);
}

/* The queues that were live. */
static void map_again(struct virtio_dev *dev, uint32_t queue)
{
	struct virtq *q = &dev->queues[queue];
	int err;

	pthread_mutex_lock(&q->lock);
	err = q->live && !q->desc_ring ? virtq_map(q) : 0;
	if (err)
		virtio_broken(dev, queue, why_not_mapped(err));
	pthread_mutex_unlock(&q->lock);
}

void virtio_resume(struct virtio_dev *dev)
{
	pthread_mutex_lock(&dev->lock);
	for (uint32_t i = 0; i < dev->c.n_queues; i++)
		map_again(dev, i);
	notify_all(dev);
	pthread_mutex_unlock(&dev->lock);
}

/* ---- features and status ---------------------------------------------------------------- */

uint32_t virtio_offered(const struct virtio_dev *dev, uint32_t half)
{
	return half < 2 ? (uint32_t)(dev->offered >> 32 * half) : 0;
}

uint32_t virtio_accepted(const struct virtio_dev *dev, uint32_t half)
{
	return half < 2 ? (uint32_t)(dev->wished >> 32 * half) : 0;
}

void virtio_accept(struct virtio_dev *dev, uint32_t half, uint32_t value)
{
	pthread_mutex_lock(&dev->lock);
	if (half < 2 && !(virtio_status(dev) & VIRTIO_CONFIG_S_FEATURES_OK)) {
		dev->wished &= ~(0xffffffffull << 32 * half);
		dev->wished |= (uint64_t)value << 32 * half;
	}
	pthread_mutex_unlock(&dev->lock);
}

uint32_t virtio_status(const struct virtio_dev *dev)
{
	return __atomic_load_n(&dev->status, __ATOMIC_ACQUIRE);
}

/* The choice holds if FEATURES_OK reads as set (3.1.1). */
static bool features_ok(struct virtio_dev *dev)
{
	const struct virtio_type *type = dev->c.type;

	return !(dev->wished & ~dev->offered) && dev->wished & VIRTIO_FEATURE(VIRTIO_F_VERSION_1) &&
	       (!type->features_ok || type->features_ok(dev, dev->wished));
}

static void advance(struct virtio_dev *dev, uint32_t status)
{
	uint32_t old = virtio_status(dev), new = status & DRIVER_BITS & ~old;

	if (new & VIRTIO_CONFIG_S_FEATURES_OK) {
		if (features_ok(dev))
			dev->features = dev->wished;
		else
			new &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
	}
	if (!((old | new) & VIRTIO_CONFIG_S_FEATURES_OK))
		new &= ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK;
	__atomic_fetch_or(&dev->status, new, __ATOMIC_ACQ_REL);
	if (!(new & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	virtio_add(dev->driver_ok, 1);
	all_up(dev);
	if (dev->c.type->driver_ok)
		dev->c.type->driver_ok(dev);
	notify_all(dev);
}

bool virtio_set_status(struct virtio_dev *dev, uint32_t status)
{
	pthread_mutex_lock(&dev->lock);
	if (status)
		advance(dev, status);
	else
		reset(dev);
	pthread_mutex_unlock(&dev->lock);
	return !status;
}

void virtio_set_dma(struct virtio_dev *dev, bool on)
{
	pthread_mutex_lock(&dev->lock);
	if (dev->dma != on) {
		dev->dma = on;
		for (uint32_t i = 0; i < dev->c.n_queues && !on; i++)
			queue_down(dev, i);
		if (on && virtio_status(dev) & VIRTIO_CONFIG_S_DRIVER_OK) {
			all_up(dev);
			notify_all(dev);
		}
	}
	pthread_mutex_unlock(&dev->lock);
}

/* ---- the registers of a queue ----------------------------------------------------------- */

struct virtq *virtio_queue(struct virtio_dev *dev, uint32_t queue)
{
	return queue < dev->c.n_queues ? &dev->queues[queue] : NULL;
}

void virtio_set_size(struct virtq *q, uint32_t size)
{
	if (!q->enabled)
		q->size = size <= UINT16_MAX ? (uint16_t)size : 0;
}

void virtio_set_address(struct virtq *q, uint64_t *address, bool upper, uint32_t value)
{
	if (q->enabled)
		return;
	*address &= upper ? 0xffffffffull : ~0xffffffffull;
	*address |= (uint64_t)value << (upper ? 32 : 0);
}

void virtio_enable(struct virtio_dev *dev, uint32_t queue)
{
	pthread_mutex_lock(&dev->lock);
	if (queue < dev->c.n_queues && !dev->queues[queue].enabled) {
		dev->queues[queue].enabled = true;
		if (virtio_status(dev) & VIRTIO_CONFIG_S_DRIVER_OK) {
			queue_up(dev, queue);
			dev->c.type->notify(dev, queue);
		}
	}
	pthread_mutex_unlock(&dev->lock);
}

void virtio_queue_reset(struct virtio_dev *dev, uint32_t queue)
{
	pthread_mutex_lock(&dev->lock);
	if (queue < dev->c.n_queues) {
		queue_down(dev, queue);
		pthread_mutex_lock(&dev->queues[queue].lock);
		virtq_reset(&dev->queues[queue]);
		pthread_mutex_unlock(&dev->queues[queue].lock);
	}
	pthread_mutex_unlock(&dev->lock);
}

void virtio_notify(struct virtio_dev *dev, uint32_t queue)
{
	if (queue < dev->c.n_queues)
		dev->c.type->notify(dev, queue);
}

void virtio_publish(struct virtio_dev *dev, uint32_t queue)
{
	struct virtq *q = &dev->queues[queue];
	uint16_t n = (uint16_t)(q->used_next - q->used_published);

	if (!n)
		return;
	virtio_add(dev->moved, n);
	if (virtq_publish(q))
		dev->transport->queue_irq(dev->transport_self, queue);
}

/* ---- the configuration space ------------------------------------------------------------ */

uint64_t virtio_config_read(struct virtio_dev *dev, uint64_t at, uint32_t width)
{
	uint64_t value = 0;

	if (at >= dev->c.config_size || width > sizeof(value))
		return 0;
	if (width > dev->c.config_size - at)
		width = dev->c.config_size - (uint32_t)at;
	pthread_mutex_lock(&dev->lock);
	dev->c.type->config_read(dev, (uint32_t)at, &value, width);
	pthread_mutex_unlock(&dev->lock);
	return value;
}

void virtio_config_write(struct virtio_dev *dev, uint64_t at, uint32_t width, uint64_t value)
{
	if (at >= dev->c.config_size || width > dev->c.config_size - at || width > sizeof(value) ||
	    !dev->c.type->config_write)
		return;
	pthread_mutex_lock(&dev->lock);
	dev->c.type->config_write(dev, (uint32_t)at, &value, width);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_config_changed(struct virtio_dev *dev)
{
	__atomic_fetch_add(&dev->generation, 1, __ATOMIC_ACQ_REL);
	if (virtio_status(dev) & VIRTIO_CONFIG_S_DRIVER_OK)
		dev->transport->config_irq(dev->transport_self);
}
