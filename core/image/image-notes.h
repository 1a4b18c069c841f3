/* SPDX-License-Identifier: MIT */
/*
 * Xen ELF notes of a loaded kernel (struct gamut_boot), by type.
 */
#ifndef IMAGE_IMAGE_NOTES_H
#define IMAGE_IMAGE_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gamut/host.h"

/* The first "Xen" note of this XEN_ELFNOTE_* type, or NULL. */
const struct gamut_elf_note *image_note(const struct gamut_boot *boot, uint32_t type);

/*
 * A numeric note of 4 or 8 bytes (PHYS32_ENTRY, ENTRY, VIRT_BASE, ...). False when it is
 * absent or has another size; *value is then untouched.
 */
bool image_note_int(const struct gamut_boot *boot, uint32_t type, uint64_t *value);

/* A string note (GUEST_OS, LOADER, ...); NULL when it is absent or not NUL-terminated. */
const char *image_note_string(const struct gamut_boot *boot, uint32_t type);

/*
 * Whether it says of itself to be a kernel for PV guests, of either word size:
 * where it is entered or mapped, or in the form from before the notes. Without
 * a PVH entry, that it is for Xen at all is enough.
 */
bool image_is_pv(const struct gamut_boot *boot);

/* "XEN_ELFNOTE_PHYS32_ENTRY"; NULL for a type that this version does not know. */
const char *image_note_name(uint32_t type);

#endif
