/* SPDX-License-Identifier: MIT */
/* The options by which a domain file says how a disk is reached on the host: the same for every disk plugin. */
#ifndef BLOCK_BLOCK_OPTIONS_H
#define BLOCK_BLOCK_OPTIONS_H

#include "dm/block/block.h"
#include "dm/block/format.h"
#include "gamut/plugin.h"

/* The values of `direct`, in the order of enum block_direct; and of `aio`. */
extern const char *const block_direct_choices[];
extern const char *const block_aio_choices[];

#define BLOCK_OPTION(t, n, h, d)                                                                             \
	.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_##t, .name = n, .help = h,                 \
	.default_value = d

/* Entries of a plugin's table; direct_default is one of the choices, as text. */
#define BLOCK_OPTIONS(direct_default)                                                                        \
	{BLOCK_OPTION(CHOICE, "format", "Format of the image; auto goes by the end of its name", "auto"),            \
	 .choices = block_format_choices},                                                                   \
	        {BLOCK_OPTION(BOOL, "readonly", "The guest may not write", "false")},                                \
	        {BLOCK_OPTION(BOOL, "discard", "Offer discard where the host has it", "true")},              \
	        {BLOCK_OPTION(CHOICE, "direct", "Bypass the host's page cache", direct_default),             \
	         .choices = block_direct_choices},                                                           \
	        {BLOCK_OPTION(CHOICE, "aio",                                                                 \
	                      "How requests reach the host: io_uring where it works, or threads", "auto"),   \
	         .choices = block_aio_choices},                                                              \
	        {BLOCK_OPTION(INT, "queue-depth", "Requests in flight on the host", "128"), .min = 1, .max = 4096}, \
	        {BLOCK_OPTION(STRING, "bps", "Bound of what the guest reads and writes, \"50MB/s\"", NULL)},  \
	        {BLOCK_OPTION(INT, "iops", "Bound of the guest's requests in a second", NULL), .min = 1,     \
	         .max = 1000000000},                                                                         \
	{                                                                                                    \
		BLOCK_OPTION(INT, "burst", "Milliseconds of bps and iops that can be saved up", "100"), .min = 1, \
		                                                                                        .max = 60000 \
	}

/* What they are for this instance; o is zeroed before. [control] */
void block_options_read(const struct gamut_host *host, struct gamut_inst *inst, struct block_options *o);

#endif
