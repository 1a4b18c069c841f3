/* SPDX-License-Identifier: MIT */
/* disk = "ide": disks and CD-ROM drives on the IDE controller of the emulated PC (PIIX3). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/block/block-options.h"
#include "dm/ide/seat.h"
#include "gamut/plugin.h"

struct disk_ide {
	struct ide_seat seat; /* first: see seat.h */
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block; /* NULL: an empty drive */
	const char *dev;
	bool cdrom;
};

static void destroy(void *self)
{
	struct disk_ide *d = self;

	ide_seat_finish(&d->seat);
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
	ide_seat_init(&d->seat, d->host, d->inst, (uint32_t)(d->dev[2] - 'a'), false);
	d->host->option_bool(d->inst, "cdrom", &flag);
	d->cdrom = flag;
	return 0;
}

static int open_block(struct disk_ide *d)
{
	const char *path;

	if (d->host->option_string(d->inst, "path", &path))
		return block_open_instance(d->host, d->inst, path, d->cdrom, &d->block);
	if (d->cdrom)
		return 0;
	return d->host->fail(d->inst, EINVAL, "%s: a disk needs a path; only a CD-ROM drive can be empty", d->dev);
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

static int start(void *self)
{
	struct disk_ide *d = self;
	struct ide_drive_config c = {.host = d->host, .inst = d->inst, .block = d->block, .cdrom = d->cdrom};
	int err;

	d->host->option_string(d->inst, "serial", &c.serial);
	d->host->option_string(d->inst, "model", &c.model);
	err = ide_seat_take(&d->seat, &c);
	if (err == -EBUSY)
		return d->host->fail(d->inst, EBUSY, "%s: another disk is there already", d->dev);
	if (err == -ENODEV)
		return d->host->fail(d->inst, ENODEV,
		                     "an IDE disk needs a platform with %s and interrupts with %s",
		                     GAMUT_PCI_BUS, GAMUT_IRQ_LINES);
	return err ? d->host->fail(d->inst, -err, "%s: %s", d->dev, strerror(-err)) : 0;
}

static int pause_disk(void *self)
{
	ide_seat_pause(&((struct disk_ide *)self)->seat);
	return 0;
}

static int resume(void *self)
{
	ide_seat_resume(&((struct disk_ide *)self)->seat);
	return 0;
}

static int reset(void *self)
{
	ide_seat_reset(&((struct disk_ide *)self)->seat);
	return 0;
}

/* What is still in the host's cache goes out, for what the guest did not wait for. */
static void stop(void *self)
{
	struct disk_ide *d = self;
	int err;

	ide_seat_leave(&d->seat);
	err = d->block ? block_sync(d->block) : 0;
	if (err)
		d->host->log(d->inst, GAMUT_LOG_ERROR, "%s: the last flush failed: %s", d->dev, strerror(-err));
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	return ide_seat_interface(&((struct disk_ide *)self)->seat, id, revision);
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
