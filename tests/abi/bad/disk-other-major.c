/* SPDX-License-Identifier: MIT */
/* Built for an ABI that is to come. */
#include "fake.h"

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        .magic = GAMUT_PLUGIN_MAGIC,
        .abi_major = 2,
        .abi_minor = 7,
        .size = sizeof(struct gamut_plugin),
        .signature = GAMUT_BUILD_SIGNATURE,
        .name = "disk-other-major",
};
