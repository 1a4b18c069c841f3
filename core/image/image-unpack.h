/* SPDX-License-Identifier: MIT */
/*
 * Unpacking kernels: the methods that Linux' build offers, told apart by their
 * magic numbers. Output is bounded whatever the input claims.
 */
#ifndef IMAGE_IMAGE_UNPACK_H
#define IMAGE_IMAGE_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "image/image-file.h"

/* The method's name when data starts as a packed stream does ("xz"), also of those refused; else NULL. */
const char *image_packing(const uint8_t *data, size_t size);

/*
 * Unpacks the one stream at data into memory of its own. hint is the size
 * expected (0: unknown) and only steers the first allocation; max is the most
 * bytes that may come out. Bytes after the stream's end are ignored. 0, or
 * -errno with a sentence: -ENOEXEC damaged, truncated or a method we lack;
 * -EFBIG more than max; -ENOMEM. [control]
 */
int image_unpack(struct image_bytes *out, const uint8_t *data, size_t size, uint64_t hint, uint64_t max,
                 const struct image_error *err);

#endif
