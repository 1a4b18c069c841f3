/* SPDX-License-Identifier: MIT */
/*
 * What `gamut color` shows, made of one or two snapshots of a domain's
 * statistics (stats.h): for each axis what was configured and what the guest
 * was seen to use, exits, time in the monitor, and how fast they grow.
 *
 * What was observed is told from the snapshot's "signs" alone; "plugins" is
 * for what was configured and for the accounts.
 */
#ifndef COLOUR_REPORT_H
#define COLOUR_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * A new object; NULL when memory is short. before, an earlier snapshot of the
 * same domain, may be NULL: then rates are over the domain's life.
 */
json_t *colour_report(const json_t *now, const json_t *before);

/* Takes out of a snapshot what was configured: what is left is what the guest did. */
void colour_hide_configuration(json_t *snapshot);

/* The report for reading; in the colours of the spectrum when `ansi`. */
void colour_print(const json_t *report, bool ansi, FILE *out);

#endif
