/* SPDX-License-Identifier: MIT */
#include "dm/virtio/blk-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_SIZE ((uint32_t)offsetof(struct virtio_blk_config, max_secure_erase_sectors))

/* ---- the configuration space: 5.2.4 ------------------------------------------------------ */

/* A logical block that the driver must keep to is as the medium's, if that is one that drivers know. */
static uint32_t block_size(const struct block_info *info)
{
	uint32_t size = info->logical_sector;

	return size >= VBLK_SECTOR && size <= 4096 && !(size & (size - 1)) && !(info->capacity % size) ? size : VBLK_SECTOR;
}

static uint8_t physical_exponent(const struct block_info *info)
{
	uint8_t exponent = 0;

	while (exponent < 7 && (uint64_t)block_size(info) << (exponent + 1) <= info->physical_sector)
		exponent++;
	return exponent;
}

static void fill_config(const struct vblk *b, struct virtio_blk_config *c)
{
	const struct block_info *info = &b->c.block->info;
	uint32_t granule = info->discard_granularity / VBLK_SECTOR;

	*c = (struct virtio_blk_config){
	        .capacity = info->capacity / VBLK_SECTOR,
	        .seg_max = VBLK_SEG_MAX,
	        .blk_size = block_size(info),
	        .physical_block_exp = physical_exponent(info),
	        .wce = __atomic_load_n(&b->writeback, __ATOMIC_RELAXED),
	        .num_queues = (uint16_t)b->dev.c.n_queues,
	        .max_discard_sectors = VBLK_RANGE_SECTORS,
	        .max_discard_seg = VBLK_RANGES,
	        .discard_sector_alignment = granule ? granule : 1,
	        .max_write_zeroes_sectors = VBLK_RANGE_SECTORS,
	        .max_write_zeroes_seg = VBLK_RANGES,
	        .write_zeroes_may_unmap = 1,
	};
	c->min_io_size = (uint16_t)(1u << c->physical_block_exp);
}

static void config_read(struct virtio_dev *dev, uint32_t at, void *buf, uint32_t n)
{
	struct virtio_blk_config c;

	fill_config((struct vblk *)dev, &c);
	memcpy(buf, (const uint8_t *)&c + at, n);
}

/* The cache mode is all that can be written. */
static void config_write(struct virtio_dev *dev, uint32_t at, const void *buf, uint32_t n)
{
	const uint32_t wce = offsetof(struct virtio_blk_config, wce);
	struct vblk *b = (struct vblk *)dev;

	if (at <= wce && wce < at + n && virtio_has(dev, VIRTIO_BLK_F_CONFIG_WCE))
		__atomic_store_n(&b->writeback, ((const uint8_t *)buf)[wce - at] & 1, __ATOMIC_RELAXED);
}

/* ---- the device ------------------------------------------------------------------------- */

static void reset(struct virtio_dev *dev)
{
	__atomic_store_n(&((struct vblk *)dev)->writeback, true, __ATOMIC_RELAXED);
}

static const struct virtio_type type = {
        .id = VIRTIO_ID_BLOCK,
        .name = "virtio-blk",
        .config_read = config_read,
        .config_write = config_write,
        .notify = vblk_queue_notify,
        .queue_stop = vblk_queue_stop,
        .quiesce = vblk_queue_quiesce,
        .reset = reset,
};

static uint64_t features(const struct vblk_config *c)
{
	uint64_t f = VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
	             VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH);

	if (c->n_queues > 1)
		f |= VIRTIO_FEATURE(VIRTIO_BLK_F_MQ);
	if (c->block->info.readonly)
		return f | VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	f |= VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE) | VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	if (c->block->info.discard)
		f |= VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD);
	return f;
}

static void make_counters(struct vblk *b)
{
	const struct gamut_host *host = b->c.host;
	struct gamut_inst *inst = b->c.inst;

	b->n = (struct vblk_counters){
	        .reads = host->counter(inst, "reads"),
	        .writes = host->counter(inst, "writes"),
	        .flushes = host->counter(inst, "flushes"),
	        .discards = host->counter(inst, "discards"),
	        .bytes = host->counter(inst, "bytes"),
	        .at_once = host->counter(inst, "served at once"),
	        .bad = host->counter(inst, "bad requests"),
	        .io_errors = host->counter(inst, "I/O errors"),
	        .requests = host->sign(inst, GAMUT_AXIS_DISK, GAMUT_COLOUR_P, "virtio-blk requests"),
	};
}

struct vblk *vblk_create(const struct vblk_config *config)
{
	const struct virtio_config c = {
	        .host = config->host,
	        .inst = config->inst,
	        .type = &type,
	        .features = features(config),
	        .config_size = CONFIG_SIZE,
	        .n_queues = config->n_queues,
	        .queue_size = VBLK_QUEUE_SIZE,
	        .axis = GAMUT_AXIS_DISK,
	};
	struct vblk *b = calloc(1, sizeof(*b));
	int err = -ENOMEM;

	if (!b)
		goto fail;
	b->c = *config;
	b->writeback = true;
	if (config->serial)
		memcpy(b->serial, config->serial, strnlen(config->serial, sizeof(b->serial)));
	make_counters(b);
	b->queues = calloc(config->n_queues, sizeof(*b->queues));
	err = b->queues ? virtio_init(&b->dev, &c) : -ENOMEM;
	for (uint32_t i = 0; i < config->n_queues && !err; i++)
		err = vblk_queue_init(b, i);
	if (!err)
		return b;
fail:
	vblk_destroy(b);
	errno = -err;
	return NULL;
}

void vblk_destroy(struct vblk *b)
{
	if (!b)
		return;
	for (uint32_t i = 0; b->queues && i < b->c.n_queues; i++)
		vblk_queue_finish(&b->queues[i]);
	virtio_finish(&b->dev);
	free(b->queues);
	free(b);
}

struct virtio_dev *vblk_device(struct vblk *b)
{
	return &b->dev;
}
