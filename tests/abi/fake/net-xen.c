/* SPDX-License-Identifier: MIT */
#include "fake.h"

static const struct gamut_option options[] = {
        {.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_STRING, .name = "mac", .help = "address"},
};

FAKE_OPS;
FAKE_PLUGIN("net-xen", .axis = GAMUT_AXIS_NET, .colour = GAMUT_COLOUR_P, .score = 20, .choice = "xen",
            .description = "fake netback", .options = options, .n_options = 1);
