/* SPDX-License-Identifier: MIT */
/*
 * Bytes that an image is made of: a mapped file or anonymous memory, and the
 * error sentences about them.
 */
#ifndef IMAGE_IMAGE_FILE_H
#define IMAGE_IMAGE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "gamut/abi.h"

/* Where a sentence about the file at path goes. */
struct image_error {
	const char *path;
	char *text;
	size_t len;
};

/* Writes "path: sentence" and returns -error. */
int image_fail(const struct image_error *err, int error, const char *fmt, ...) GAMUT_PRINTF(3, 4);

/* A mapping of our own; data is NULL when there is none. */
struct image_bytes {
	const uint8_t *data;
	size_t size;   /* bytes of content */
	size_t mapped; /* bytes to unmap */
	bool file;     /* backed by a file, so that its pages can be dropped and come back */
};

/*
 * Maps the regular file err->path for reading; what names its purpose
 * ("kernel"). Kernels and ramdisks are replaced by rename, not written in
 * place; whoever truncates one under a running domain gets a SIGBUS, as with
 * an executable. 0 or -errno with a sentence. [control]
 */
int image_map_file(struct image_bytes *bytes, const char *what, struct stat *st,
                   const struct image_error *err);

/* Drops the resident pages of a mapped file; the bytes stay readable. */
void image_drop_pages(const struct image_bytes *bytes);

/* Unmaps; bytes may be empty. */
void image_unmap(struct image_bytes *bytes);

#endif
