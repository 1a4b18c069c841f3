/* SPDX-License-Identifier: MIT */
/* From a later minor of the same major: every struct is longer than this core knows. */
#include "fake.h"

struct future_option {
	struct gamut_option o;
	uint64_t more[2];
};
struct future_ops {
	struct gamut_ops o;
	void (*more)(void);
};
struct future_descriptor {
	struct gamut_descriptor d;
	uint64_t more[3];
};
struct future_plugin {
	struct gamut_plugin p;
	uint64_t more;
};

static const struct future_option options[] = {
        {.o = {.size = sizeof(struct future_option),
               .type = GAMUT_OPTION_STRING,
               .name = "dev",
               .help = "device"},
         .more = {1, 2}},
        {.o = {.size = sizeof(struct future_option),
               .type = GAMUT_OPTION_INT,
               .name = "depth",
               .help = "depth",
               .default_value = "7",
               .min = 1,
               .max = 8},
         .more = {3, 4}},
};
static const struct future_ops ops = {
        .o = {.size = sizeof(ops), .create = fake_create, .destroy = fake_destroy},
};
static const struct future_descriptor desc = {
        .d = {.size = sizeof(desc),
              .axis = GAMUT_AXIS_DISK,
              .colour = GAMUT_COLOUR_V,
              .choice = "future",
              .description = "from the future",
              .options = &options[0].o,
              .n_options = 2,
              .ops = &ops.o},
        .more = {5, 6, 7},
};
static const struct gamut_descriptor *const descs[] = {&desc.d};

/* The public declaration has the type of today; only its address is asked for. */
GAMUT_EXPORT extern const struct future_plugin future_plugin __asm__("gamut_plugin");
const struct future_plugin future_plugin = {
        .p = {.magic = GAMUT_PLUGIN_MAGIC,
              .abi_major = GAMUT_ABI_MAJOR,
              .abi_minor = GAMUT_ABI_MINOR + 1,
              .size = sizeof(struct future_plugin),
              .signature = GAMUT_BUILD_SIGNATURE,
              .name = "disk-future",
              .version = "9",
              .licence = "MIT",
              .n_descriptors = 1,
              .descriptors = descs},
        .more = 8,
};
