/* SPDX-License-Identifier: MIT */
/* Loads, but its option "type" has the name of a key of the core's. */
#include "fake.h"

static const struct gamut_option options[] = {
        {.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_STRING, .name = "type", .help = "never given"},
};

FAKE_OPS;
FAKE_PLUGIN("disk-reserved-key", .axis = GAMUT_AXIS_DISK, .colour = GAMUT_COLOUR_V, .choice = "reserved-key",
            .description = "option of a reserved name", .options = options, .n_options = 1);
