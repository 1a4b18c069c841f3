/* SPDX-License-Identifier: MIT */
/* Gets nearly everything below the header wrong. */
#include "fake.h"

static const char *const no_choices[] = {NULL};
static const struct gamut_option options[] = {
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_INT,
         .name = "depth",
         .help = "depth",
         .default_value = "65",
         .min = 1,
         .max = 64},
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_INT,
         .name = "empty",
         .help = "range",
         .min = 2,
         .max = 1},
        {.size = sizeof(struct gamut_option),
         .type = GAMUT_OPTION_CHOICE,
         .name = "choice",
         .help = "choice",
         .choices = no_choices},
        {.size = sizeof(struct gamut_option), .type = 99, .name = "future", .help = "type"},
        {.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_BOOL, .name = "depth"},
};
static const char *const needs[] = {"", NULL};
static const struct gamut_ops no_destroy = {.size = sizeof(no_destroy), .create = fake_create};
static const struct gamut_ops truncated = {
        .size = offsetof(struct gamut_ops, stop), .create = fake_create, .destroy = fake_destroy};

static const struct gamut_descriptor first = {.size = sizeof(first),
                                              .axis = GAMUT_AXIS_COUNT,
                                              .colour = 3,
                                              .choice = "many-faults",
                                              .needs = needs,
                                              .options = options,
                                              .n_options = 5,
                                              .ops = &no_destroy};
static const struct gamut_descriptor second = {.size = sizeof(second),
                                               .axis = GAMUT_AXIS_DISK,
                                               .choice = "../evil",
                                               .description = "a path",
                                               .ops = &no_destroy};
static const struct gamut_descriptor third = {.size = sizeof(third),
                                              .axis = GAMUT_AXIS_DISK,
                                              .choice = "third",
                                              .description = "short ops",
                                              .ops = &truncated};
static const struct gamut_descriptor fourth = {
        .size = sizeof(fourth), .axis = GAMUT_AXIS_DISK, .choice = "third", .description = "no ops"};
static const struct gamut_descriptor short_one = {.size = 8};
static const struct gamut_descriptor *const descs[] = {&first, &second, &third, &fourth, &short_one, NULL};

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        GAMUT_PLUGIN_HEADER,
        .name = "disk-many-faults",
        .n_descriptors = 6,
        .descriptors = descs,
};
