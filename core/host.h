/* SPDX-License-Identifier: MIT */
/* The one table of host services that every instance of every domain is given. */
#ifndef HOST_TABLE_H
#define HOST_TABLE_H

#include "gamut/host.h"

extern const struct gamut_host gamut_host_table;

#endif
