/* SPDX-License-Identifier: MIT */
/*
 * The Linux x86 boot protocol's header: what is needed to find the packed
 * kernel in a bzImage.
 */
#ifndef IMAGE_IMAGE_BZIMAGE_H
#define IMAGE_IMAGE_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/image-file.h"

struct bzimage {
	uint16_t protocol; /* 0x020f = 2.15 */
	uint16_t xloadflags;
	const uint8_t *payload; /* inside the file's bytes */
	size_t payload_size;
	uint32_t unpacked_size; /* as the image claims; a hint only */
};

/* True when the bytes carry the boot protocol's magic numbers. */
bool bzimage_is(const uint8_t *data, size_t size);

/* Finds the payload, all of it inside data. 0 or -ENOEXEC with a sentence. */
int bzimage_parse(struct bzimage *bz, const uint8_t *data, size_t size, const struct image_error *err);

#endif
