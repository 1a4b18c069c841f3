/* SPDX-License-Identifier: MIT */
#include "fake.h"

static const char *const needs[] = {"event-channels", "xenbus", NULL};

FAKE_OPS;
FAKE_PLUGIN("console-xen", .axis = GAMUT_AXIS_CONSOLE, .colour = GAMUT_COLOUR_P, .score = 10, .choice = "xen",
            .description = "fake hvc0", .needs = needs);
