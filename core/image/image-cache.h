/* SPDX-License-Identifier: MIT */
/*
 * Unpacked kernels kept between runs, in a folder of the user's own.
 */
#ifndef IMAGE_IMAGE_CACHE_H
#define IMAGE_IMAGE_CACHE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "image/image-file.h"

struct image_cache {
	int dir_fd;    /* -1: no cache */
	char name[96]; /* of the entry */
};

/*
 * Readies the cache entry for one packed kernel: st of its file, and the packed bytes.
 * dir NULL: the user's cache folder. There is no error: without a usable
 * folder the cache is off. Missing folders are made. [control]
 */
void image_cache_init(struct image_cache *cache, const char *dir, const struct stat *st,
                      const struct image_bytes *packed);
void image_cache_finish(struct image_cache *cache);

/* Maps the unpacked kernel. False when the cache has no sound one of at most max bytes. */
bool image_cache_get(struct image_cache *cache, uint64_t max, struct image_bytes *bytes);

/*
 * Stores the unpacked kernel, dropping the oldest entries beyond a few. A
 * failure only means that the next run unpacks again.
 */
void image_cache_put(struct image_cache *cache, const struct image_bytes *bytes);

#endif
