/* SPDX-License-Identifier: MIT */
/*
 * disk = "ide": disks and CD-ROM drives on the IDE controller of the emulated
 * PC (PIIX3). Every disk is an instance; the first of them owns the controller,
 * and the others find it by looking for the first that gives OWNER.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/block/block-options.h"
#include "dm/ide/ide.h"
#include "gamut/plugin.h"

/* Between instances of this plugin only: self is a struct disk_ide. */
#define OWNER          "ide-controller"
#define OWNER_REVISION 1u

struct disk_ide {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block; /* NULL: an empty drive */
	const char *dev;
	uint32_t slot;
	bool cdrom;
	struct ide *ide; /* the controller, if this is its owner */
	struct disk_ide *owner;
};

/* ---- create ------------------------------------------------------------------------------- */

static void destroy(void *self)
{
	struct disk_ide *d = self;

	ide_destroy(d->ide);
	block_close(d->block);
	free(d);
}

static int read_dev(struct disk_ide *d)
{
	int flag = 0;

	if (!d->host->option_string(d->inst, "dev", &d->dev))
		return d->host->fail(d->inst, EINVAL, "a disk needs a dev, for instance \"hda\"");
	if (strlen(d->dev) != 3 || strncmp(d->dev, "hd", 2) != 0 || d->dev[2] < 'a' || d->dev[2] > 'd')
		return d->host->fail(
		        d->inst, EINVAL,
		        "\"%s\" is no name of an IDE disk: hda and hdb are on the first channel, "
		        "hdc and hdd on the second",
		        d->dev);
	d->slot = (uint32_t)(d->dev[2] - 'a');
	d->host->option_bool(d->inst, "cdrom", &flag);
	d->cdrom = flag;
	return 0;
}

static int open_block(struct disk_ide *d)
{
	struct block_options options;
	const char *path;
	char err[256];

	if (!d->host->option_string(d->inst, "path", &path)) {
		if (d->cdrom)
			return 0;
		return d->host->fail(d->inst, EINVAL,
		                     "%s: a disk needs a path; only a CD-ROM drive can be empty", d->dev);
	}
	block_options_read(d->host, d->inst, &options);
	options.readonly |= d->cdrom;
	d->block = block_open(d->host, d->inst, path, &options, err, sizeof(err));
	if (!d->block)
		return d->host->fail(d->inst, errno ? errno : EIO, "%s", err);
	if (d->cdrom && d->block->info.capacity < 2048)
		return d->host->fail(d->inst, EINVAL, "%s: is less than one sector of a CD", path);
	return 0;
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct disk_ide *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return host->fail(inst, ENOMEM, "out of memory");
	d->host = host;
	d->inst = inst;
	err = read_dev(d);
	if (!err)
		err = open_block(d);
	if (err) {
		destroy(d);
		return err;
	}
	*self = d;
	return 0;
}

/* ---- start -------------------------------------------------------------------------------- */

static int make_controller(struct disk_ide *d)
{
	struct ide_config c = {.host = d->host, .inst = d->inst};

	c.pci = d->host->lookup(d->inst, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, 0, &c.pci_self);
	c.irq = d->host->lookup(d->inst, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, 0, &c.irq_self);
	if (!c.pci || !c.irq)
		return d->host->fail(d->inst, ENODEV,
		                     "an IDE disk needs a platform with %s and interrupts with %s",
		                     GAMUT_PCI_BUS, GAMUT_IRQ_LINES);
	d->ide = ide_create(&c);
	return d->ide ? 0 : -EIO;
}

static int attach(struct disk_ide *d)
{
	struct ide_drive_config c = {.host = d->host, .inst = d->inst, .block = d->block, .cdrom = d->cdrom};
	int err;

	d->host->option_string(d->inst, "serial", &c.serial);
	d->host->option_string(d->inst, "model", &c.model);
	err = ide_attach(d->owner->ide, d->slot, &c);
	if (err == -EBUSY)
		return d->host->fail(d->inst, EBUSY, "%s: another disk is there already", d->dev);
	return err ? d->host->fail(d->inst, -err, "%s: %s", d->dev, strerror(-err)) : 0;
}

static int start(void *self)
{
	struct disk_ide *d = self;
	void *owner = NULL;
	int err;

	d->host->lookup(d->inst, OWNER, OWNER_REVISION, 0, &owner);
	d->owner = owner ? owner : d;
	err = d->owner == d ? make_controller(d) : 0;
	return err ? err : attach(d);
}

/* ---- the rest of life --------------------------------------------------------------------- */

static int pause_disk(void *self)
{
	struct disk_ide *d = self;

	ide_pause(d->owner->ide, d->slot);
	return 0;
}

static int resume(void *self)
{
	struct disk_ide *d = self;

	ide_resume(d->owner->ide, d->slot);
	return 0;
}

/* The owner comes first, and resets all drives. */
static int reset(void *self)
{
	struct disk_ide *d = self;

	if (d->ide)
		ide_reset(d->ide);
	return 0;
}

static void flushed(struct block_req *req, int result)
{
	(void)req;
	(void)result;
}

/* What is still in the host's cache goes out, for what the guest did not wait for. */
static void stop(void *self)
{
	struct disk_ide *d = self;
	struct block_req flush = {.op = BLOCK_FLUSH, .done = flushed};

	ide_detach(d->owner->ide, d->slot);
	if (!d->block || d->block->info.readonly || block_submit(d->block, &flush))
		return;
	block_kick(d->block);
	block_drain(d->block);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	(void)self;
	return !strcmp(id, OWNER) && revision == OWNER_REVISION ? OWNER : NULL;
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
 * The page cache by default: the guest has one request at a time under way, and
 * it is the host's read-ahead and write-behind that keep the host's disk busy.
 */
static const struct gamut_option options[] = {
        {BLOCK_OPTION(STRING, "dev", "Place: hda, hdb (first channel), hdc or hdd (second)", NULL),
         .required = 1},
        {BLOCK_OPTION(STRING, "path", "Raw image or block device on the host; without, an empty CD-ROM drive",
                      NULL)},
        {BLOCK_OPTION(BOOL, "cdrom", "A CD-ROM drive (ATAPI), and path an image of 2048-byte sectors",
                      "false")},
        {BLOCK_OPTION(STRING, "serial", "Serial number that the drive tells, up to 20 characters", NULL)},
        {BLOCK_OPTION(STRING, "model", "Model that the drive tells, up to 40 characters", NULL)},
        BLOCK_OPTIONS("off"),
};

static const char *const needs[] = {GAMUT_PCI_BUS, GAMUT_IRQ_LINES, NULL};
static const char *const gives[] = {NULL};

static const struct gamut_descriptor descriptor = {
        .size = sizeof(struct gamut_descriptor),
        .axis = GAMUT_AXIS_DISK,
        .colour = GAMUT_COLOUR_V,
        .score = 50,
        .choice = "ide",
        .description = "IDE disk or CD-ROM drive (PIIX3 bus master) on a raw image",
        .needs = needs,
        .gives = gives,
        .options = options,
        .n_options = sizeof(options) / sizeof(options[0]),
        .ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = {&descriptor};

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        GAMUT_PLUGIN_HEADER, .name = "disk-ide", .version = "0.1.0",
        .licence = "MIT",    .n_descriptors = 1, .descriptors = descriptors,
};
