/* SPDX-License-Identifier: MIT */
/* disk = "virtio": a raw image or block device as a virtio block device (vd*). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/block/block-options.h"
#include "dm/virtio/blk.h"
#include "dm/virtio/place.h"
#include "gamut/plugin.h"

/* More queues than that have nothing to do on a host thread's own. */
#define MAX_QUEUES 16u
#define CLASS_SCSI 0x010000u /* what virtio-blk functions say they are since there are any */

struct disk_virtio {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block;
	struct vblk *blk;
	struct virtio_place place;
};

static void destroy(void *self)
{
	struct disk_virtio *d = self;

	virtio_place_stop(&d->place);
	vblk_destroy(d->blk);
	block_close(d->block);
	free(d);
}

/* ---- create ------------------------------------------------------------------------------- */

/* The n-th name: vda to vdz, vdaa, ... */
static void name_of(uint32_t n, char *name, size_t size)
{
	char letters[8];
	size_t at = sizeof(letters);

	letters[--at] = 0;
	for (n++; n; n = (n - 1) / 26)
		letters[--at] = (char)('a' + (n - 1) % 26);
	snprintf(name, size, "vd%s", letters + at);
}

/* A virtio disk has no name of its own: drivers count them. So a name can only be confirmed. */
static int check_dev(struct disk_virtio *d)
{
	uint32_t unit = d->host->unit_of_choice(d->inst);
	char right[16];
	const char *dev;

	if (!d->host->option_string(d->inst, "dev", &dev))
		return 0;
	name_of(unit, right, sizeof(right));
	if (!strcmp(dev, right))
		return 0;
	return d->host->fail(d->inst, EINVAL,
	                     "\"%s\": guests name virtio disks in the order of the domain file, and this one will be %s",
	                     dev, right);
}

static int open_block(struct disk_virtio *d)
{
	struct block_options options;
	const char *path;
	char err[256];

	if (!d->host->option_string(d->inst, "path", &path))
		return d->host->fail(d->inst, EINVAL, "a disk needs a path");
	block_options_read(d->host, d->inst, &options);
	d->block = block_open(d->host, d->inst, path, &options, err, sizeof(err));
	if (!d->block)
		return d->host->fail(d->inst, errno ? errno : EIO, "%s", err);
	return 0;
}

static int make_device(struct disk_virtio *d)
{
	uint32_t vcpus = d->host->vcpu_count(d->inst);
	struct vblk_config c = {
	        .host = d->host,
	        .inst = d->inst,
	        .block = d->block,
	        .n_queues = vcpus < MAX_QUEUES ? vcpus : MAX_QUEUES,
	};
	int64_t queues;

	if (d->host->option_int(d->inst, "queues", &queues))
		c.n_queues = (uint32_t)queues;
	d->host->option_string(d->inst, "serial", &c.serial);
	if (c.serial && strlen(c.serial) > 20)
		return d->host->fail(d->inst, EINVAL, "serial: \"%s\" is longer than the 20 characters that a disk can tell",
		                     c.serial);
	d->blk = vblk_create(&c);
	return d->blk ? 0 : d->host->fail(d->inst, errno, "%s", strerror(errno));
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct disk_virtio *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return host->fail(inst, ENOMEM, "out of memory");
	d->host = host;
	d->inst = inst;
	err = check_dev(d);
	if (!err)
		err = open_block(d);
	if (!err)
		err = make_device(d);
	if (err) {
		destroy(d);
		return err;
	}
	*self = d;
	return 0;
}

/* ---- the rest of life --------------------------------------------------------------------- */

static int start(void *self)
{
	struct disk_virtio *d = self;
	struct virtio_pci_config pci = {.class_code = CLASS_SCSI};

	return virtio_place_start(&d->place, vblk_device(d->blk), &pci);
}

static int pause_disk(void *self)
{
	virtio_pause(vblk_device(((struct disk_virtio *)self)->blk));
	return 0;
}

static int resume(void *self)
{
	virtio_resume(vblk_device(((struct disk_virtio *)self)->blk));
	return 0;
}

static int reset(void *self)
{
	return virtio_place_reset(&((struct disk_virtio *)self)->place);
}

/* Nothing is left in flight when the guest's memory goes. */
static void stop(void *self)
{
	struct disk_virtio *d = self;

	virtio_pause(vblk_device(d->blk));
	virtio_place_stop(&d->place);
}

static const struct gamut_ops ops = {
        .size = sizeof(struct gamut_ops),
        .create = create,
        .start = start,
        .pause = pause_disk,
        .resume = resume,
        .reset = reset,
        .stop = stop,
        .destroy = destroy,
};

/*
 * The page cache by default: what it has is served without another thread, and
 * its read-ahead and write-behind keep the host's disk busy.
 */
static const struct gamut_option options[] = {
        {BLOCK_OPTION(STRING, "dev", "Name in the guest, which goes by the order: vda, vdb, ...", NULL)},
        {BLOCK_OPTION(STRING, "path", "Raw image or block device on the host", NULL), .required = 1},
        {BLOCK_OPTION(STRING, "serial", "Serial number that the disk tells, up to 20 characters", NULL)},
        {BLOCK_OPTION(INT, "queues", "Request queues; a vCPU each, up to 16, if not given", NULL),
         .min = 1, .max = 64},
        BLOCK_OPTIONS("off"),
};

static const char *const needs[] = {GAMUT_VIRTIO_TRANSPORT, NULL};
static const char *const gives[] = {NULL};

static const struct gamut_descriptor descriptor = {
        .size = sizeof(struct gamut_descriptor),
        .axis = GAMUT_AXIS_DISK,
        .colour = GAMUT_COLOUR_P,
        .score = 80,
        .choice = "virtio",
        .description = "virtio block device (virtio-blk) on a raw image",
        .needs = needs,
        .gives = gives,
        .options = options,
        .n_options = sizeof(options) / sizeof(options[0]),
        .ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = {&descriptor};

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        GAMUT_PLUGIN_HEADER, .name = "disk-virtio", .version = "0.1.0",
        .licence = "MIT",    .n_descriptors = 1,    .descriptors = descriptors,
};
