/* SPDX-License-Identifier: MIT */
#include "fake.h"

static const struct gamut_option options[] = {
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_INT,
         .name = "frames",
         .help = "grant frames",
         .default_value = "0x40",
         .min = 1,
         .max = 4096},
};
static const char *const gives[] = {"grants", "xenbus", NULL};

FAKE_OPS;
FAKE_PLUGIN("platform-pvh", .axis = GAMUT_AXIS_PLATFORM, .colour = GAMUT_COLOUR_P, .score = 20,
            .choice = "pvh", .description = "fake PVH platform", .gives = gives, .options = options,
            .n_options = 1);
