/* SPDX-License-Identifier: MIT */
/*
 * The kernel, ramdisk and command line that a domain file names, made ready
 * for a platform plugin: struct gamut_boot.
 *
 * A kernel file may be an ELF executable (vmlinux, a unikernel, GRUB for PVH),
 * a Linux bzImage whose payload is such an ELF file packed by any of the
 * kernel's own methods, or an ELF file packed with gzip, xz, lz4 or zstd
 * directly. What is none of these, or cannot be unpacked, or is an ELF file for
 * something else than a platform here boots, is loaded as it is: firmware and
 * boot loaders in the guest have their own opinion of what a kernel is. Files come from users and distributions, hence from anybody: each
 * offset and length is checked before it is used, and unpacking stops at a cap.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gamut/host.h"

#define IMAGE_DEFAULT_MAX (1ull << 30)

enum image_format {
	IMAGE_NONE = 0, /* no kernel was named */
	IMAGE_ELF = 1,
	IMAGE_BZIMAGE = 2,
	IMAGE_RAW = 3, /* no kernel that is known here; boot.not_elf says why */
};

/* Ways to boot an image, as a mask; see image_modes. */
#define IMAGE_MODE_PVH    1u /* PHYS32_ENTRY note: hvm_start_info direct boot */
#define IMAGE_MODE_PV     2u /* Xen PV guest, 64-bit */
#define IMAGE_MODE_DIRECT 4u /* Linux boot protocol without firmware, 64-bit entry (hvm, kvm) */

/* Zero is the default for every member. */
struct image_options {
	const char *kernel;    /* path, or NULL: an image with no segments */
	const char *ramdisk;   /* path or NULL */
	const char *cmdline;   /* NULL is "" */
	uint64_t max_unpacked; /* bytes an unpacked kernel may have; 0: IMAGE_DEFAULT_MAX */
	/*
	 * Where unpacked kernels are kept between runs; NULL: $XDG_CACHE_HOME/gamut/kernels
	 * or ~/.cache/gamut/kernels. Environment GAMUT_NO_CACHE=1 or no_cache turns it off.
	 */
	const char *cache_dir;
	bool no_cache;
};

struct image {
	struct gamut_boot boot; /* what host->boot() hands out */
	enum image_format format;
	const char *packing;       /* "none", "gzip", "xz", "lzma", "lz4", "zstd" */
	bool cached;               /* the unpacked kernel came from the cache */
	uint32_t machine;          /* ELF e_machine */
	uint16_t protocol;         /* Linux boot protocol, 0x020f = 2.15; 0 when not a bzImage */
	const char *unfit;         /* a sentence: no platform here that enters kernels enters this one; NULL otherwise */
	uint16_t xloadflags;       /* of the bzImage; bit 0: 64-bit entry */
	struct image_parts *parts; /* private */
};

/*
 * Reads and checks everything named in options (the strings are copied).
 * NULL with errno set and one sentence in err naming the file, what is wrong
 * with it and what would help: for files that cannot be read or are empty. What
 * is wrong with a kernel as a kernel is in image->unfit. [control]
 */
struct image *image_load(const struct image_options *options, char *err, size_t err_len);

/* Unmaps and frees; image may be NULL. No pointer from image->boot may be used after it. */
void image_destroy(struct image *image);

/*
 * Gives the resident pages of the kernel and ramdisk back to the host once they have been
 * copied into the guest. image->boot stays valid: whoever reads it again, for
 * a reset, gets the pages back from the page cache. A kernel that was unpacked
 * without the cache has no other copy and stays. [control]
 */
void image_trim(const struct image *image);

/* The IMAGE_MODE_* that this image can boot in. */
uint32_t image_modes(const struct image *image);

/*
 * Checks that the image can boot in one IMAGE_MODE_*. 0, or -ENOEXEC with a
 * sentence that names the file, what is missing (the note, the entry point),
 * and the modes that would work.
 */
int image_require(const struct image *image, uint32_t mode, char *err, size_t err_len);

/* "PVH, PV" for a mask; "none" for 0. Returns buf. */
const char *image_mode_names(uint32_t modes, char *buf, size_t len);

#endif
