/* SPDX-License-Identifier: MIT */
/* Disk images of every format but raw: libnbd to a server process of our own (nbd-server.h). */
#ifndef BLOCK_NBD_H
#define BLOCK_NBD_H

#include "dm/block/block.h"

/*
 * Opens the image at path, of that format (block_format_choices, neither
 * "auto" nor "raw"). NULL with errno set and a sentence in err. [control]
 */
struct block *nbd_open(const struct gamut_host *host, struct gamut_inst *inst, const char *path, const char *format,
                       const struct block_options *options, char *err, size_t err_len);

#endif
