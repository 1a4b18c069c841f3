/* SPDX-License-Identifier: MIT */
#include "dm/pc/fw_cfg.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gamut/plugin.h"

#define SELECT 0u
#define DATA 1u /* and 2: the second byte of a word access to the selector's neighbour */
#define DMA_HIGH 4u
#define DMA_LOW 8u

#define ID_TRADITIONAL 1u
#define ID_DMA 2u

#define DMA_ERROR 0x01u
#define DMA_READ 0x02u
#define DMA_SKIP 0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE 0x10u
#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */

/* Bytes after an item's end read as zero; nobody needs many of them, so a request for more is refused. */
#define BEYOND_MAX 65536u

#define DIR_ENTRY 64u
#define NO_ITEM UINT32_MAX

struct dma {
	uint32_t control, length;
	uint64_t address;
};

/* ---- items ---- */

/* Index of a key, as the guest or we name it. */
static uint32_t index_of(uint32_t key)
{
	if (key < FW_CFG_KEYS)
		return key;
	return key - FW_CFG_ARCH < FW_CFG_ARCH_KEYS ? FW_CFG_KEYS + (key - FW_CFG_ARCH) : NO_ITEM;
}

static void put_item(struct fw_cfg *f, uint32_t i, const void *data, uint32_t len, uint8_t *owned)
{
	pthread_mutex_lock(&f->lock);
	free(f->item[i].owned);
	f->item[i] = (struct fw_cfg_item){ data, len, owned };
	pthread_mutex_unlock(&f->lock);
}

int fw_cfg_refer(struct fw_cfg *f, uint32_t key, const void *data, uint32_t len)
{
	uint32_t i = index_of(key);

	if (i == NO_ITEM)
		return -EINVAL;
	put_item(f, i, data, len, NULL);
	return 0;
}

int fw_cfg_set(struct fw_cfg *f, uint32_t key, const void *data, uint32_t len)
{
	uint32_t i = index_of(key);
	uint8_t *copy;

	if (i == NO_ITEM)
		return -EINVAL;
	copy = malloc(len ? len : 1);
	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, data, len);
	put_item(f, i, copy, len, copy);
	return 0;
}

int fw_cfg_set_int(struct fw_cfg *f, uint32_t key, uint64_t value, uint32_t bytes)
{
	return bytes <= sizeof(value) ? fw_cfg_set(f, key, &value, bytes) : -EINVAL;
}

static void put_be(uint8_t *p, uint64_t value, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static int make_directory(struct fw_cfg *f)
{
	uint8_t dir[4 + FW_CFG_FILES * DIR_ENTRY] = { 0 };

	put_be(dir, f->n_files, 4);
	for (uint32_t i = 0; i < f->n_files; i++) {
		uint8_t *e = dir + 4 + i * DIR_ENTRY;

		put_be(e, f->item[FW_CFG_FILE_FIRST + i].len, 4);
		put_be(e + 4, FW_CFG_FILE_FIRST + i, 2);
		memcpy(e + 8, f->name[i], FW_CFG_NAME);
	}
	return fw_cfg_set(f, FW_CFG_FILE_DIR, dir, 4 + f->n_files * DIR_ENTRY);
}

int fw_cfg_file(struct fw_cfg *f, const char *name, const void *data, uint32_t len, uint32_t replace)
{
	uint32_t i = 0;
	int rc;

	if (!*name || strlen(name) >= FW_CFG_NAME)
		return -EINVAL;
	while (i < f->n_files && strcmp(f->name[i], name) != 0)
		i++;
	if (i < f->n_files && !replace)
		return -EEXIST;
	if (i == FW_CFG_FILES)
		return -ENOSPC;
	rc = fw_cfg_set(f, FW_CFG_FILE_FIRST + i, data, len);
	if (rc)
		return rc;
	strcpy(f->name[i], name);
	f->n_files += i == f->n_files;
	return make_directory(f);
}

static int config_file(void *self, const char *name, const void *data, uint32_t len)
{
	return fw_cfg_file(self, name, data, len, 0);
}

const struct gamut_firmware_config_ops fw_cfg_config_ops = {
	.size = sizeof(struct gamut_firmware_config_ops),
	.file = config_file,
};

/* ---- the ports: lock held ---- */

static const struct fw_cfg_item *current(const struct fw_cfg *f)
{
	static const struct fw_cfg_item none;
	uint32_t i = index_of(f->selected);

	return i == NO_ITEM ? &none : &f->item[i];
}

static void choose(struct fw_cfg *f, uint32_t key)
{
	f->selected = key & 0xffff;
	f->offset = 0;
}

/* Copies what there is and moves on by all of n; returns how much there was. */
static uint32_t take(struct fw_cfg *f, void *buf, uint32_t n)
{
	const struct fw_cfg_item *item = current(f);
	uint32_t there = f->offset < item->len ? item->len - f->offset : 0;

	if (there > n)
		there = n;
	if (there)
		memcpy(buf, item->data + f->offset, there);
	f->offset = n > UINT32_MAX - f->offset ? UINT32_MAX : f->offset + n;
	return there;
}

static int zero(struct fw_cfg *f, uint64_t gpa, uint32_t len)
{
	static const uint8_t zeros[4096];
	int rc = 0;

	for (uint32_t n; len && !rc; gpa += n, len -= n) {
		n = len < sizeof(zeros) ? len : (uint32_t)sizeof(zeros);
		rc = f->host->mem_write(f->inst, gpa, zeros, n);
	}
	return rc;
}

static int dma_read(struct fw_cfg *f, const struct dma *d)
{
	const struct fw_cfg_item *item = current(f);
	uint32_t from = f->offset, there = from < item->len ? item->len - from : 0;
	int rc;

	if (there > d->length)
		there = d->length;
	if (d->length - there > BEYOND_MAX)
		return -EINVAL;
	rc = there ? f->host->mem_write(f->inst, d->address, item->data + from, there) : 0;
	if (!rc)
		rc = zero(f, d->address + there, d->length - there);
	f->offset = d->length > UINT32_MAX - from ? UINT32_MAX : from + d->length;
	return rc;
}

static int dma_run(struct fw_cfg *f, const struct dma *d)
{
	if (d->control & DMA_SELECT)
		choose(f, d->control >> 16);
	if (d->control & DMA_READ)
		return dma_read(f, d);
	if (d->control & DMA_WRITE)
		return -EPERM;
	if (d->control & DMA_SKIP)
		f->offset = d->length > UINT32_MAX - f->offset ? UINT32_MAX : f->offset + d->length;
	return 0;
}

static void dma(struct fw_cfg *f, uint64_t gpa)
{
	uint8_t raw[16], result[4];
	struct dma d;
	int rc;

	__atomic_fetch_add(f->transfers, 1, __ATOMIC_RELAXED);
	if (f->host->mem_read(f->inst, gpa, raw, sizeof(raw))) {
		__atomic_fetch_add(f->errors, 1, __ATOMIC_RELAXED);
		return;
	}
	d.control = (uint32_t)raw[0] << 24 | (uint32_t)raw[1] << 16 | (uint32_t)raw[2] << 8 | raw[3];
	d.length = (uint32_t)raw[4] << 24 | (uint32_t)raw[5] << 16 | (uint32_t)raw[6] << 8 | raw[7];
	d.address = 0;
	for (uint32_t i = 8; i < 16; i++)
		d.address = d.address << 8 | raw[i];
	rc = dma_run(f, &d);
	if (rc)
		__atomic_fetch_add(f->errors, 1, __ATOMIC_RELAXED);
	put_be(result, rc ? DMA_ERROR : 0, 4);
	/* It was readable a moment ago; if it is not any more, nobody waits for it. */
	(void)f->host->mem_write(f->inst, gpa, result, sizeof(result));
}

static uint32_t dma_signature(uint64_t offset, uint32_t width)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < width && offset + i < 8; i++)
		value |= (uint32_t)(DMA_SIGNATURE >> 8 * (7 - (offset + i)) & 0xff) << 8 * i;
	return value;
}

static uint64_t port_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct fw_cfg *f = opaque;
	uint8_t byte = 0;

	if (offset >= DMA_HIGH)
		return dma_signature(offset - DMA_HIGH, width);
	if (offset != DATA)
		return UINT64_MAX;
	pthread_mutex_lock(&f->lock);
	take(f, &byte, 1);
	pthread_mutex_unlock(&f->lock);
	return width == 1 ? byte : byte | UINT64_MAX << 8;
}

static uint32_t port_read_many(void *opaque, uint64_t offset, uint32_t width, void *buf, uint32_t count)
{
	struct fw_cfg *f = opaque;
	uint32_t n;

	if (offset != DATA || width != 1)
		return 0;
	pthread_mutex_lock(&f->lock);
	n = take(f, buf, count);
	pthread_mutex_unlock(&f->lock);
	memset((uint8_t *)buf + n, 0, count - n);
	return count;
}

static void port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct fw_cfg *f = opaque;

	pthread_mutex_lock(&f->lock);
	if (offset == SELECT && width >= 2) {
		__atomic_fetch_add(f->selections, 1, __ATOMIC_RELAXED);
		choose(f, (uint32_t)value);
	} else if (offset == DMA_HIGH && width == 4) {
		f->dma_high = __builtin_bswap32((uint32_t)value);
	} else if (offset == DMA_LOW && width == 4) {
		uint64_t gpa = (uint64_t)f->dma_high << 32 | __builtin_bswap32((uint32_t)value);

		f->dma_high = 0;
		dma(f, gpa);
	}
	pthread_mutex_unlock(&f->lock);
}

const struct gamut_io_ops fw_cfg_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = port_read,
	.write = port_write,
	.read_many = port_read_many,
};

/* ---- life cycle ---- */

int fw_cfg_init(struct fw_cfg *f, const struct gamut_host *host, struct gamut_inst *inst)
{
	int rc;

	memset(f, 0, sizeof(*f));
	f->host = host;
	f->inst = inst;
	f->transfers = host->counter(inst, "fw-cfg-transfers");
	f->errors = host->counter(inst, "fw-cfg-errors");
	f->selections = host->sign(inst, GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_V, "firmware");
	pthread_mutex_init(&f->lock, NULL);
	rc = fw_cfg_set(f, FW_CFG_SIGNATURE, "QEMU", 4);
	if (!rc)
		rc = fw_cfg_set_int(f, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, 4);
	if (!rc)
		rc = make_directory(f);
	if (rc)
		fw_cfg_finish(f);
	return rc;
}

int fw_cfg_register(struct fw_cfg *f)
{
	return f->host->pio_register(f->inst, FW_CFG_PORT, FW_CFG_PORTS, &fw_cfg_ops, f);
}

void fw_cfg_reset(struct fw_cfg *f)
{
	pthread_mutex_lock(&f->lock);
	choose(f, 0);
	f->dma_high = 0;
	pthread_mutex_unlock(&f->lock);
}

void fw_cfg_finish(struct fw_cfg *f)
{
	if (!f->host)
		return;
	for (uint32_t i = 0; i < FW_CFG_KEYS + FW_CFG_ARCH_KEYS; i++)
		free(f->item[i].owned);
	pthread_mutex_destroy(&f->lock);
	f->host = NULL;
}
