/* SPDX-License-Identifier: MIT */
/*
 * Program headers and notes of an ELF kernel in memory.
 */
#ifndef IMAGE_IMAGE_ELF_H
#define IMAGE_IMAGE_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gamut/host.h"
#include "image/image-file.h"

struct image_elf {
	uint32_t elf_class; /* 32 or 64 */
	uint32_t machine;
	uint64_t entry;
	struct gamut_segment_load *segments; /* malloc; data points into the bytes parsed */
	uint32_t n_segments;
	struct gamut_elf_note *notes; /* malloc; all names, not Xen's alone; point into the bytes parsed */
	uint32_t n_notes;
};

/* True when the bytes start as an ELF file does. */
bool image_elf_is(const uint8_t *data, size_t size);

/*
 * Parses an x86 executable. The bytes must outlive *elf. 0, or -ENOEXEC or
 * -ENOMEM with a sentence; *elf is then empty. [control]
 */
int image_elf_parse(struct image_elf *elf, const uint8_t *data, size_t size, const struct image_error *err);

/* Frees the tables; elf may be empty. */
void image_elf_finish(struct image_elf *elf);

#endif
