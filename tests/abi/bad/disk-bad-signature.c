/* SPDX-License-Identifier: MIT */
#include "fake.h"

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        .magic = GAMUT_PLUGIN_MAGIC,
        .abi_major = GAMUT_ABI_MAJOR,
        .size = sizeof(struct gamut_plugin),
        .signature = GAMUT_BUILD_SIGNATURE ^ 0xf00,
        .name = "disk-bad-signature",
};
