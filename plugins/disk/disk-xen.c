/* SPDX-License-Identifier: MIT */
/*
 * disk = "xen": a raw image or block device as a Xen virtual block device
 * (xvd*), and on a PC, as with Xen, as a disk on the IDE controller, too: its
 * twin, from which firmware and boot loader read. Both work on one back end.
 *
 * A guest with PV drivers unplugs the twins of disks before it looks for
 * disks. Those of CD-ROM drives stay: a PC's guest leaves their PV halves
 * alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/block/block-options.h"
#include "dm/ide/seat.h"
#include "dm/xen/blkback.h"
#include "dm/xen/vdev.h"
#include "gamut/plugin.h"

/* In the order of enum emulated. */
static const char *const emulated_choices[] = {"auto", "true", "false", NULL};
enum emulated { EMULATED_AUTO, EMULATED_TRUE, EMULATED_FALSE };

struct disk_xen {
	struct ide_seat seat; /* the twin's; first: see seat.h */
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block;
	struct blkback *back;
	const char *dev;
	uint32_t devid;
	enum emulated emulated;
	bool cdrom;
	uint64_t *unplugged; /* sign: the guest wants the disk without its twin */
};

/* ---- create ------------------------------------------------------------------------------- */

static void destroy(void *self)
{
	struct disk_xen *d = self;

	ide_seat_finish(&d->seat);
	blkback_destroy(d->back);
	block_close(d->block);
	free(d);
}

/* Where the twin of a disk is: xvda and hda first. IDE_SLOTS: nowhere. */
static uint32_t twin_slot(const char *dev)
{
	const char *letter = !strncmp(dev, "xvd", 3) ? dev + 3 : !strncmp(dev, "hd", 2) ? dev + 2 : "";

	return *letter >= 'a' && *letter <= 'd' && !letter[1] ? (uint32_t)(*letter - 'a') : IDE_SLOTS;
}

static int read_emulated(struct disk_xen *d)
{
	const char *wish = emulated_choices[EMULATED_AUTO];
	uint32_t slot = twin_slot(d->dev);

	d->host->option_string(d->inst, "emulated", &wish);
	while (strcmp(wish, emulated_choices[d->emulated]))
		d->emulated++;
	if (d->emulated == EMULATED_TRUE && slot == IDE_SLOTS)
		return d->host->fail(d->inst, EINVAL, "%s: no IDE disk can be its twin; xvda to xvdd have one",
		                     d->dev);
	ide_seat_init(&d->seat, d->host, d->inst, d->emulated == EMULATED_FALSE ? IDE_SLOTS : slot,
	              d->emulated == EMULATED_AUTO);
	return 0;
}

static int read_dev(struct disk_xen *d)
{
	int flag = 0;

	if (!d->host->option_string(d->inst, "dev", &d->dev))
		return d->host->fail(d->inst, EINVAL, "a disk needs a dev, for instance \"xvda\"");
	if (vdev_number(d->dev, &d->devid))
		return d->host->fail(
		        d->inst, EINVAL,
		        "\"%s\" is no name of a Xen disk: use xvda, xvdb, ..., hda to hdd or sda to sdp",
		        d->dev);
	d->host->option_bool(d->inst, "cdrom", &flag);
	d->cdrom = flag;
	return read_emulated(d);
}

static int open_block(struct disk_xen *d)
{
	const char *path;

	if (!d->host->option_string(d->inst, "path", &path))
		return d->host->fail(d->inst, EINVAL, "a disk needs a path");
	return block_open_instance(d->host, d->inst, path, d->cdrom, &d->block);
}

static int make_back(struct disk_xen *d)
{
	struct blkback_config c = {
	        .host = d->host,
	        .inst = d->inst,
	        .block = d->block,
	        .dev = d->dev,
	        .devid = d->devid,
	        .max_queues = d->host->vcpu_count(d->inst),
	};
	int flag = 1;

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
	d->unplugged = host->sign(inst, GAMUT_AXIS_DISK, GAMUT_COLOUR_P, "unplug");
	err = read_dev(d);
	if (!err)
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

/* ---- the twin ----------------------------------------------------------------------------- */

/* [vcpu] */
static void unplug(void *opaque, uint32_t kinds)
{
	struct disk_xen *d = opaque;

	(void)kinds;
	__atomic_fetch_add(d->unplugged, 1, __ATOMIC_RELAXED);
	ide_seat_unplug(&d->seat);
}

static int attach_twin(struct disk_xen *d)
{
	struct ide_drive_config c = {.host = d->host, .inst = d->inst, .block = d->block, .cdrom = d->cdrom};
	int err = ide_seat_take(&d->seat, &c);

	if (err == -EBUSY && d->emulated == EMULATED_AUTO) {
		d->host->log(d->inst, GAMUT_LOG_INFO, "%s: has no IDE twin: another disk is in its place", d->dev);
		return 0;
	}
	return err ? d->host->fail(d->inst, -err, "%s: its IDE twin: %s", d->dev,
	                           err == -EBUSY ? "another disk is there already" : strerror(-err))
	           : 0;
}

/* A disk that can be read in two ways and not unplugged would be found twice. */
static int start_twin(struct disk_xen *d)
{
	const struct gamut_xen_unplug_ops *port;
	void *port_self, *bus_self;
	uint32_t kinds = GAMUT_XEN_UNPLUG_DISKS | (d->seat.slot ? GAMUT_XEN_UNPLUG_AUX_DISKS : 0);
	bool bus = d->host->lookup(d->inst, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, 0, &bus_self) != NULL;
	int err;

	port = d->host->lookup(d->inst, GAMUT_XEN_UNPLUG, GAMUT_XEN_REVISION, 0, &port_self);
	if (d->seat.slot == IDE_SLOTS)
		return 0;
	if (!bus || (!port && !d->cdrom)) {
		if (d->emulated == EMULATED_AUTO)
			return 0;
		return d->host->fail(d->inst, ENODEV, "%s: an IDE twin needs a platform with %s and %s", d->dev,
		                     GAMUT_PCI_BUS, GAMUT_XEN_UNPLUG);
	}
	err = attach_twin(d);
	if (err || d->cdrom || !d->seat.taken)
		return err;
	return port->add(port_self, kinds, unplug, d);
}

/* ---- the rest of life --------------------------------------------------------------------- */

/*
 * A guest that is no PV guest leaves CD-ROMs to the emulated drives: where
 * there is none, the disc is a disk that cannot be written.
 */
static enum blkback_type type_of(const struct disk_xen *d)
{
	void *self;
	bool pv = d->host->lookup(d->inst, GAMUT_PV_MONITOR, GAMUT_XEN_REVISION, 0, &self) != NULL;

	return d->cdrom && (pv || d->seat.taken) ? BLKBACK_CDROM : BLKBACK_DISK;
}

static int start(void *self)
{
	struct disk_xen *d = self;
	struct blkback_peers p;
	int err;

	p.bus = d->host->lookup(d->inst, GAMUT_XENBUS, GAMUT_XEN_REVISION, 0, &p.bus_self);
	p.evtchn = d->host->lookup(d->inst, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, 0, &p.evtchn_self);
	p.grants = d->host->lookup(d->inst, GAMUT_GRANTS, GAMUT_XEN_REVISION, 0, &p.grants_self);
	if (!p.bus || !p.evtchn || !p.grants)
		return d->host->fail(d->inst, ENODEV, "a Xen disk needs a platform with %s, %s and %s",
		                     GAMUT_XENBUS, GAMUT_EVENT_CHANNELS, GAMUT_GRANTS);
	err = start_twin(d);
	return err ? err : blkback_start(d->back, &p, type_of(d));
}

/* Both drain the back end; what one of them still had there is then done, and it knows. */
static int pause_disk(void *self)
{
	struct disk_xen *d = self;

	ide_seat_pause(&d->seat);
	blkback_pause(d->back);
	return 0;
}

static int resume(void *self)
{
	struct disk_xen *d = self;

	blkback_resume(d->back);
	ide_seat_resume(&d->seat);
	return 0;
}

static int reset(void *self)
{
	struct disk_xen *d = self;

	ide_seat_reset(&d->seat);
	return blkback_reset(d->back);
}

static void stop(void *self)
{
	struct disk_xen *d = self;

	ide_seat_leave(&d->seat);
	blkback_stop(d->back);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	return ide_seat_interface(&((struct disk_xen *)self)->seat, id, revision);
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
        .interface = interface,
};

/*
 * The page cache by default: what it has is answered without another thread,
 * and firmware reads from the twin in small pieces.
 */
static const struct gamut_option options[] = {
        {BLOCK_OPTION(STRING, "dev", "Name in the guest: xvda, xvdb, ..., or hda to hdd, sda to sdp", NULL),
         .required = 1},
        {BLOCK_OPTION(STRING, "path", "Raw image or block device on the host", NULL), .required = 1},
        {BLOCK_OPTION(BOOL, "cdrom", "A CD-ROM, on a PC in an IDE drive", "false")},
        {BLOCK_OPTION(CHOICE, "emulated",
                      "An IDE disk that is the same, until the guest unplugs it; auto: on a PC, for xvda to xvdd",
                      "auto"),
         .choices = emulated_choices},
        {BLOCK_OPTION(BOOL, "persistent", "Offer persistent grants", "true")},
        BLOCK_OPTIONS("off"),
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
