/* SPDX-License-Identifier: MIT */
#include "fake.h"

static const char *const caches[] = {"none", "writeback", NULL};
static const struct gamut_option options[] = {
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_STRING,
         .name = "dev",
         .help = "device in the guest",
         .required = 1},
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_STRING,
         .name = "path",
         .help = "image",
         .required = 1},
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_BOOL,
         .name = "readonly",
         .help = "the guest cannot write",
         .default_value = "false"},
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_INT,
         .name = "depth",
         .help = "requests in flight",
         .default_value = "32",
         .min = 1,
         .max = 64},
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_CHOICE,
         .name = "cache",
         .help = "host cache",
         .default_value = "none",
         .choices = caches},
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_STRING,
         .name = "serial",
         .help = "serial number"},
};
static const char *const needs[] = {"event-channels", "grants", "xenbus", NULL};
static const char *const gives[] = {"block", NULL};

FAKE_OPS;
FAKE_PLUGIN("disk-xen", .axis = GAMUT_AXIS_DISK, .colour = GAMUT_COLOUR_P, .score = 20, .choice = "xen",
            .description = "fake blkback", .needs = needs, .gives = gives, .options = options,
            .n_options = 6);
