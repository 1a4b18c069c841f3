/* SPDX-License-Identifier: MIT */
#include "fake.h"

FAKE_OPS;
FAKE_PLUGIN("intr-quiet", .axis = GAMUT_AXIS_INTERRUPTS, .colour = GAMUT_COLOUR_V, .score = 1,
            .choice = "quiet", .description = "gives nothing to anybody");
