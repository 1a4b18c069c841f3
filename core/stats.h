/* SPDX-License-Identifier: MIT */
/*
 * What a domain did, as numbers: exits by reason and by plugin, the plugins'
 * own counters, the engine's, time and memory. Collected as JSON, of which the
 * text of `gamut run --stats` is another view.
 */
#ifndef STATS_H
#define STATS_H

#include <jansson.h>
#include <stdio.h>

#include "domain.h"

/* A new object, or NULL when memory is short. Control thread, or any while the domain lives. */
json_t *stats_collect(struct domain *d);
/* The same but for "memory", for which the kernel has to walk all of the process's pages: for who looks often. */
json_t *stats_activity(struct domain *d);
/* For reading, not for programs. */
void stats_print(const json_t *stats, FILE *out);
/* 0, or -errno with nothing left at path. `stats` may be an array of several domains. */
int stats_write(const json_t *stats, const char *path);

#endif
