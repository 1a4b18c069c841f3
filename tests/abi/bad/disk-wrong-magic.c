/* SPDX-License-Identifier: MIT */
#include "fake.h"

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        .magic = 0x12345678,
        .abi_major = GAMUT_ABI_MAJOR,
        .size = sizeof(struct gamut_plugin),
        .signature = GAMUT_BUILD_SIGNATURE,
        .name = "disk-wrong-magic",
};
