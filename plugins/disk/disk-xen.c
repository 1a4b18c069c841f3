/* SPDX-License-Identifier: MIT */
/* disk = "xen": a raw image or block device as a Xen virtual block device (xvd*). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/block/block-options.h"
#include "dm/xen/blkback.h"
#include "dm/xen/vdev.h"
#include "gamut/plugin.h"

struct disk_xen {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block;
	struct blkback *back;
};

static void destroy(void *self)
{
	struct disk_xen *d = self;

	blkback_destroy(d->back);
	block_close(d->block);
	free(d);
}

static int open_block(struct disk_xen *d)
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

static int make_back(struct disk_xen *d)
{
	struct blkback_config c = {
	        .host = d->host,
	        .inst = d->inst,
	        .block = d->block,
	        .max_queues = d->host->vcpu_count(d->inst),
	};
	int flag = 1;

	if (!d->host->option_string(d->inst, "dev", &c.dev))
		return d->host->fail(d->inst, EINVAL, "a disk needs a dev, for instance \"xvda\"");
	if (vdev_number(c.dev, &c.devid))
		return d->host->fail(
		        d->inst, EINVAL,
		        "\"%s\" is no name of a Xen disk: use xvda, xvdb, ..., hda to hdd or sda to sdp",
		        c.dev);
	d->host->option_bool(d->inst, "persistent", &flag);
	c.persistent = flag;
	d->back = blkback_create(&c);
	return d->back ? 0 : d->host->fail(d->inst, errno, "%s: %s", c.dev, strerror(errno));
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct disk_xen *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return host->fail(inst, ENOMEM, "out of memory");
	d->host = host;
	d->inst = inst;
	err = open_block(d);
	if (!err)
		err = make_back(d);
	if (err) {
		destroy(d);
		return err;
	}
	*self = d;
	return 0;
}

static int start(void *self)
{
	struct disk_xen *d = self;
	struct blkback_peers p;

	p.bus = d->host->lookup(d->inst, GAMUT_XENBUS, GAMUT_XEN_REVISION, 0, &p.bus_self);
	p.evtchn = d->host->lookup(d->inst, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, 0, &p.evtchn_self);
	p.grants = d->host->lookup(d->inst, GAMUT_GRANTS, GAMUT_XEN_REVISION, 0, &p.grants_self);
	if (!p.bus || !p.evtchn || !p.grants)
		return d->host->fail(d->inst, ENODEV, "a Xen disk needs a platform with %s, %s and %s",
		                     GAMUT_XENBUS, GAMUT_EVENT_CHANNELS, GAMUT_GRANTS);
	return blkback_start(d->back, &p);
}

static int pause_disk(void *self)
{
	blkback_pause(((struct disk_xen *)self)->back);
	return 0;
}

static int resume(void *self)
{
	blkback_resume(((struct disk_xen *)self)->back);
	return 0;
}

static int reset(void *self)
{
	return blkback_reset(((struct disk_xen *)self)->back);
}

static void stop(void *self)
{
	blkback_stop(((struct disk_xen *)self)->back);
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

static const struct gamut_option options[] = {
        {BLOCK_OPTION(STRING, "dev", "Name in the guest: xvda, xvdb, ..., or hda to hdd, sda to sdp", NULL),
         .required = 1},
        {BLOCK_OPTION(STRING, "path", "Raw image or block device on the host", NULL), .required = 1},
        {BLOCK_OPTION(BOOL, "persistent", "Offer persistent grants", "true")},
        BLOCK_OPTIONS("auto"),
};

static const char *const needs[] = {GAMUT_EVENT_CHANNELS, GAMUT_GRANTS, GAMUT_XENBUS, NULL};
static const char *const gives[] = {NULL};

static const struct gamut_descriptor descriptor = {
        .size = sizeof(struct gamut_descriptor),
        .axis = GAMUT_AXIS_DISK,
        .colour = GAMUT_COLOUR_P,
        .score = 100,
        .choice = "xen",
        .description = "Xen block device (blkif) on a raw image",
        .needs = needs,
        .gives = gives,
        .options = options,
        .n_options = sizeof(options) / sizeof(options[0]),
        .ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = {&descriptor};

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        GAMUT_PLUGIN_HEADER, .name = "disk-xen", .version = "0.1.0",
        .licence = "MIT",    .n_descriptors = 1, .descriptors = descriptors,
};
