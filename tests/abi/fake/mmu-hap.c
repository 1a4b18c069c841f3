/* SPDX-License-Identifier: MIT */
#include "fake.h"

static const char *const needs[] = {"engine:hap", NULL};

FAKE_OPS;
FAKE_PLUGIN("mmu-hap", .axis = GAMUT_AXIS_MMU, .colour = GAMUT_COLOUR_VH, .score = 20, .choice = "hap",
            .description = "fake HAP", .needs = needs);
