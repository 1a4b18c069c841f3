/* SPDX-License-Identifier: MIT */
/*
 * A PC's firmware: an image from a file, which ends at 4 GiB, and of which the
 * last 128 KiB show below 1 MiB as well (i440fx.h). SeaBIOS, OVMF and others
 * are made so.
 *
 * The memory is ROM: what the guest writes there is ignored, as with a flash
 * chip whose write enable is not wired.
 */
#ifndef DM_PC_FIRMWARE_H
#define DM_PC_FIRMWARE_H

#include "dm/pc/i440fx.h"

#define FIRMWARE_MAX (16u << 20)
#define FIRMWARE_UNIT 4096u

struct firmware {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct gamut_page *pages; /* NULL: none */
	uint8_t *image;           /* the same as we see them */
	uint32_t bytes;
};

/*
 * Reads a file of at most `max` bytes, a multiple of `unit`, into memory of
 * the caller's to free. what names it in messages ("firmware"); package is the
 * Debian package that has it, NULL for a file the user has named. 0 or what
 * host->fail gave. [control]
 */
int firmware_read(const struct gamut_host *host, struct gamut_inst *inst, const char *path, const char *what,
                  const char *package, uint32_t max, uint32_t unit, void **data, uint32_t *len);

/* 0 or what host->fail gave, and then nothing stays behind. [control] */
int firmware_init(struct firmware *f, const struct gamut_host *host, struct gamut_inst *inst, const char *path,
                  const char *package);
/* Puts it below 4 GiB, and its end to the host bridge. 0 or what host->fail gave. [control] */
int firmware_register(struct firmware *f, struct i440fx *bridge);
void firmware_finish(struct firmware *f);

#endif
