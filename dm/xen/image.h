/* SPDX-License-Identifier: MIT */
/*
 * What booting a kernel directly has in common, whatever the guest's mode:
 * finding ELF notes, and checking and writing segments. The image comes from
 * anybody, so nothing in it is believed.
 */
#ifndef DM_XEN_IMAGE_H
#define DM_XEN_IMAGE_H

#include <stdbool.h>

#include "dm/xen/public.h"
#include "gamut/host.h"

#define XEN_IMAGE_RANGES 16u

struct xen_image {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_boot *boot;
	struct gamut_mem_range ram[XEN_IMAGE_RANGES]; /* as configured, ascending */
	uint32_t n_ram;
	uint64_t offset; /* of a segment's p_paddr from its guest physical address */
};

/* What follows returns 0, or what host->fail gave. [control] */

/* Fills in all but offset; there must be a kernel and RAM. */
int xen_image_init(struct xen_image *image, const struct gamut_host *host, struct gamut_inst *inst);
/* Segments that lie in RAM and do not overlap. */
int xen_image_check(const struct xen_image *image);

/* The rest returns 0 or -EFAULT. [control] */

/* All segments, with zeroes up to their size in memory. After xen_image_check. */
int xen_image_write(const struct xen_image *image);
int xen_image_zero(const struct xen_image *image, uint64_t gpa, uint64_t len);

/* The first "Xen" note of an XEN_ELFNOTE_* type, or NULL. */
const struct gamut_elf_note *xen_image_note(const struct gamut_boot *boot, uint32_t type);
/* A numeric note; false when it has no size that a number has. */
bool xen_image_number(const struct gamut_elf_note *note, uint64_t *value);

/* Where a segment goes. */
static inline uint64_t xen_image_gpa(const struct xen_image *image, const struct gamut_segment_load *s)
{
	return s->paddr - image->offset;
}

#endif
