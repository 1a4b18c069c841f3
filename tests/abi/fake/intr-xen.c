/* SPDX-License-Identifier: MIT */
#include "fake.h"

static const char *const gives[] = {"event-channels", NULL};

FAKE_OPS;
FAKE_PLUGIN("intr-xen", .axis = GAMUT_AXIS_INTERRUPTS, .colour = GAMUT_COLOUR_P, .score = 20, .choice = "xen",
            .description = "fake event channels", .gives = gives);
