/* SPDX-License-Identifier: MIT */
/* Calls into the core, which no plugin may. */
#include "fake.h"

extern int core_secret(void);
extern int core_other_secret(void);

static int start(void *self)
{
	(void)self;
	return core_secret() + core_other_secret();
}

static const struct gamut_ops ops = {
        .size = sizeof(ops), .create = fake_create, .start = start, .destroy = fake_destroy};

FAKE_PLUGIN("disk-undefined", .axis = GAMUT_AXIS_DISK, .choice = "undefined",
            .description = "links the core");
