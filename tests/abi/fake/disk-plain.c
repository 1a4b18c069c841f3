/* SPDX-License-Identifier: MIT */
/* A second type of disk, which works beside one of the first, and on shadow page tables. */
#include "fake.h"

static const struct gamut_option options[] = {
        {.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_STRING, .name = "dev", .help = "device in the guest"},
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_STRING,
         .name = "path",
         .help = "image",
         .required = 1},
};
static const char *const needs[] = {"block", "engine:shadow", NULL};

FAKE_OPS;
FAKE_PLUGIN("disk-plain", .axis = GAMUT_AXIS_DISK, .colour = GAMUT_COLOUR_V, .score = 500, .choice = "plain",
            .description = "fake plain disk", .needs = needs, .options = options, .n_options = 2);
