/* SPDX-License-Identifier: MIT */
/* Says that it ends before its descriptors. */
#include "fake.h"

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        .magic = GAMUT_PLUGIN_MAGIC,
        .abi_major = GAMUT_ABI_MAJOR,
        .size = offsetof(struct gamut_plugin, n_descriptors),
        .signature = GAMUT_BUILD_SIGNATURE,
        .name = "disk-truncated",
};
