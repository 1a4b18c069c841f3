/* SPDX-License-Identifier: MIT */
/* Valid in every way, and no instance of it ever comes up. */
#include "fake.h"

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	(void)self;
	return host->fail(inst, ENXIO, "the flux capacitor is missing");
}

static const char *const gives[] = {"block", NULL};
static const struct gamut_option options[] = {
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_STRING,
         .name = "dev",
         .help = "device in the guest"},
        {.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_STRING, .name = "path", .help = "image"},
};
static const struct gamut_ops ops = {.size = sizeof(ops), .create = create, .destroy = fake_destroy};

FAKE_PLUGIN("disk-fails-in-create", .axis = GAMUT_AXIS_DISK, .colour = GAMUT_COLOUR_V,
            .choice = "fails-in-create", .description = "fails in create", .gives = gives, .options = options,
            .n_options = 2);
