/* SPDX-License-Identifier: MIT */
/* A good plugin, built without hiding its other symbols. */
#include "fake.h"

GAMUT_EXPORT extern int leaked_function(void);
int leaked_function(void)
{
	return 1;
}

FAKE_OPS;
FAKE_PLUGIN("disk-extra-export", .axis = GAMUT_AXIS_DISK, .choice = "extra-export",
            .description = "leaks a symbol");
