/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a kernel file, through image_load. Whatever loads must then be
 * readable where its segments and notes say it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "image/image-notes.h"
#include "image/image.h"

static unsigned int touch(const void *data, uint64_t size)
{
	const uint8_t *p = data;
	unsigned int sum = 0;

	for (uint64_t i = 0; i < size; i++)
		sum += p[i];
	return sum;
}

static void read_all(const struct image *image)
{
	const struct gamut_boot *boot = &image->boot;
	unsigned int sum = 0;
	char text[512];

	for (uint32_t i = 0; i < boot->n_segments; i++)
		sum += touch(boot->segments[i].data, boot->segments[i].filesz);
	for (uint32_t i = 0; i < boot->n_notes; i++) {
		sum += touch(boot->notes[i].name, strlen(boot->notes[i].name));
		sum += touch(boot->notes[i].desc, boot->notes[i].desc_size);
		(void)image_note_string(boot, boot->notes[i].type);
	}
	/* The reads are the point; the compiler must not leave them out. */
	__asm__ volatile("" : : "r"(sum));
	for (uint32_t mode = 1; mode < 8; mode <<= 1)
		(void)image_require(image, mode, text, sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);
	char path[64], err[512];
	struct image *image;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	image = image_load(&(struct image_options){.kernel = path, .no_cache = true, .max_unpacked = 4 << 20},
	                   err, sizeof(err));
	if (image)
		read_all(image);
	image_destroy(image);
	close(fd);
	return 0;
}
