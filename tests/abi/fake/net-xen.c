/* SPDX-License-Identifier: MIT */
#include "fake.h"

static const struct gamut_option options[] = {
        {.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_STRING, .name = "mac", .help = "address"},
        {.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_LIST, .name = "forward", .help = "ports"},
        {.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_LIST, .name = "search", .help = "domains",
         .default_value = "lan"},
        {.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_PATH, .name = "tftp", .help = "folder",
         .default_value = "/nowhere/at/all"},
};

FAKE_OPS;
FAKE_PLUGIN("net-xen", .axis = GAMUT_AXIS_NET, .colour = GAMUT_COLOUR_P, .score = 20, .choice = "xen",
            .description = "fake netback", .options = options, .n_options = 4);
