/* SPDX-License-Identifier: MIT */
/*
 * A fast 128-bit checksum against accidents: torn writes, bit rot, a file
 * replaced in place. It is not meant to resist somebody who constructs two
 * inputs with one value; see image-cache.c for why nobody can use that.
 */
#ifndef IMAGE_IMAGE_HASH_H
#define IMAGE_IMAGE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct image_hash {
	uint64_t word[2];
};

struct image_hash image_hash(const void *data, size_t size);

#endif
