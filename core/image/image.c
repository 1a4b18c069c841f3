/* SPDX-License-Identifier: MIT */
/*
 * From the names in a domain file to struct gamut_boot.
 *
 * A kernel goes through at most three steps: a bzImage gives its payload, a
 * packed stream gives what is in it (from the cache when that was done
 * before), and an ELF file gives segments and notes, which point into the
 * mapping that is kept. Nothing is copied but by unpacking. A step that fails
 * leaves the file as it is, and the sentence about it for those who ask for more.
 */
#include "image/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/elfnote.h>

#include "image/image-bzimage.h"
#include "image/image-cache.h"
#include "image/image-elf.h"
#include "image/image-file.h"
#include "image/image-notes.h"
#include "image/image-unpack.h"

#define XLF_64BIT_ENTRY 1u

struct image_parts {
	char *kernel_path, *cmdline;
	struct image_bytes file;   /* the kernel's file */
	struct image_bytes kernel; /* the ELF file when that is another: unpacked */
	struct image_bytes ramdisk;
	struct image_elf elf;
	char unfit[512];
};

/* The packed part of a kernel file, and what its container says of it. */
struct packed {
	struct image_bytes bytes;
	struct stat st;
	uint64_t hint;
};

static bool cache_wanted(const struct image_options *options)
{
	const char *off = getenv("GAMUT_NO_CACHE");

	return !options->no_cache && !(off && off[0] && strcmp(off, "0"));
}

/*
 * After a cold unpack the kernel is in anonymous memory, which would stay with
 * the process. Once it is in the cache as well, the page cache's copy will do.
 */
static void store(struct image_cache *cache, uint64_t max, struct image_bytes *kernel)
{
	struct image_bytes cached;

	image_cache_put(cache, kernel);
	if (!image_cache_get(cache, max, &cached))
		return;
	image_unmap(kernel);
	*kernel = cached;
}

static int unpack(struct image *image, const struct image_options *options, const struct packed *packed,
                  const struct image_error *err)
{
	uint64_t max = options->max_unpacked ? options->max_unpacked : IMAGE_DEFAULT_MAX;
	struct image_bytes *kernel = &image->parts->kernel;
	struct image_cache cache = {.dir_fd = -1};
	int error = 0;

	image->packing = image_packing(packed->bytes.data, packed->bytes.size);
	if (image->packing && cache_wanted(options))
		image_cache_init(&cache, options->cache_dir, &packed->st, &packed->bytes);
	image->cached = image_cache_get(&cache, max, kernel);
	if (!image->cached)
		error = image_unpack(kernel, packed->bytes.data, packed->bytes.size, packed->hint, max, err);
	if (!error && !image_elf_is(kernel->data, kernel->size))
		error = image_fail(err, ENOEXEC,
		                   "what is packed in it is not an ELF kernel; use a Linux vmlinuz or "
		                   "vmlinux");
	if (!error && !image->cached)
		store(&cache, max, kernel);
	image_cache_finish(&cache);
	return error;
}

static int open_bzimage(struct image *image, const struct image_options *options, struct packed *packed,
                        const struct image_error *err)
{
	struct bzimage bz;
	int error = bzimage_parse(&bz, packed->bytes.data, packed->bytes.size, err);

	if (error)
		return error;
	image->format = IMAGE_BZIMAGE;
	image->protocol = bz.protocol;
	image->xloadflags = bz.xloadflags;
	packed->bytes = (struct image_bytes){.data = bz.payload, .size = bz.payload_size};
	packed->hint = bz.unpacked_size;
	return unpack(image, options, packed, err);
}

/* Finds out what the file is and unpacks it when it is packed: *elf are its ELF bytes. */
static int open_kernel(struct image *image, const struct image_options *options, struct packed *packed,
                       const struct image_bytes **elf, const struct image_error *err)
{
	const struct image_bytes *file = &image->parts->file;

	packed->bytes = *file;
	*elf = &image->parts->kernel;
	image->format = IMAGE_ELF;
	if (bzimage_is(file->data, file->size))
		return open_bzimage(image, options, packed, err);
	if (image_packing(file->data, file->size))
		return unpack(image, options, packed, err);
	*elf = file;
	if (image_elf_is(file->data, file->size))
		return 0;
	return image_fail(err, ENOEXEC,
	                  "is not a kernel that can be booted: neither an ELF file nor a Linux "
	                  "bzImage; use vmlinux or vmlinuz");
}

static int take_kernel(struct image *image, const struct image_options *options, struct packed *packed,
                       const struct image_error *err)
{
	struct image_parts *parts = image->parts;
	const struct image_bytes *elf;
	int error = open_kernel(image, options, packed, &elf, err);

	if (!error)
		error = image_elf_parse(&parts->elf, elf->data, elf->size, err);
	if (error)
		return error;
	image->machine = parts->elf.machine;
	image->boot.elf_class = parts->elf.elf_class;
	image->boot.elf_entry = parts->elf.entry;
	image->boot.segments = parts->elf.segments;
	image->boot.n_segments = parts->elf.n_segments;
	image->boot.notes = parts->elf.notes;
	image->boot.n_notes = parts->elf.n_notes;
	/* A 32-bit file may well be a PVH kernel or a boot loader; without that entry nothing here starts it.
	 */
	if (image->boot.elf_class == 32 && !image_modes(image) && image_is_pv(&image->boot))
		return image_fail(err, ENOEXEC,
		                  "is a 32-bit PV kernel; Gamut runs 64-bit PV guests: use a 64-bit (amd64) "
		                  "kernel");
	if (image->boot.elf_class == 32 && !image_modes(image))
		return image_fail(err, ENOEXEC,
		                  "is a 32-bit kernel without a PVH entry (no %s note); use a 64-bit "
		                  "(amd64) kernel",
		                  image_note_name(XEN_ELFNOTE_PHYS32_ENTRY));
	return 0;
}

/* Whether what went wrong is the file's own: then it is what it is. */
static bool is_verdict(int error)
{
	return error == -ENOEXEC || error == -EFBIG;
}

static int load_kernel(struct image *image, const struct image_options *options,
                       const struct image_error *err)
{
	struct image_parts *parts = image->parts;
	struct packed packed = {0};
	int error = image_map_file(&parts->file, "kernel", &packed.st, err);

	if (error)
		return error;
	image->boot.image = parts->file.data;
	image->boot.image_size = parts->file.size;
	error = take_kernel(image, options, &packed, err);
	if (!is_verdict(error))
		return error;
	snprintf(parts->unfit, sizeof(parts->unfit), "%s", err->text);
	image->unfit = parts->unfit;
	if (!image->boot.n_segments) {
		image->format = IMAGE_RAW;
		image->boot.not_elf = image->unfit;
	}
	return 0;
}

static int load_ramdisk(struct image *image, const struct image_error *err)
{
	struct stat st;
	int error = image_map_file(&image->parts->ramdisk, "ramdisk", &st, err);

	image->boot.ramdisk = image->parts->ramdisk.data;
	image->boot.ramdisk_size = image->parts->ramdisk.size;
	return error;
}

static struct image *create(const struct image_options *options)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	image->boot.size = sizeof(image->boot);
	image->packing = "none";
	image->parts = calloc(1, sizeof(*image->parts));
	if (!image->parts)
		goto fail;
	image->parts->cmdline = strdup(options->cmdline ? options->cmdline : "");
	image->parts->kernel_path = strdup(options->kernel ? options->kernel : "");
	if (!image->parts->cmdline || !image->parts->kernel_path)
		goto fail;
	image->boot.cmdline = image->parts->cmdline;
	image->boot.kernel_path = image->parts->kernel_path;
	return image;

fail:
	image_destroy(image);
	return NULL;
}

struct image *image_load(const struct image_options *options, char *err, size_t err_len)
{
	struct image_error kernel_err = {options->kernel, err, err_len};
	struct image_error ramdisk_err = {options->ramdisk, err, err_len};
	struct image *image = create(options);
	int error = 0;

	if (!image) {
		snprintf(err, err_len, "not enough memory to load the kernel");
		errno = ENOMEM;
		return NULL;
	}
	if (options->kernel)
		error = load_kernel(image, options, &kernel_err);
	if (!error && options->ramdisk)
		error = load_ramdisk(image, &ramdisk_err);
	if (!error)
		return image;
	image_destroy(image);
	errno = -error;
	return NULL;
}

void image_destroy(struct image *image)
{
	if (!image)
		return;
	if (image->parts) {
		image_elf_finish(&image->parts->elf);
		image_unmap(&image->parts->kernel);
		image_unmap(&image->parts->file);
		image_unmap(&image->parts->ramdisk);
		free(image->parts->kernel_path);
		free(image->parts->cmdline);
		free(image->parts);
	}
	free(image);
}

void image_trim(const struct image *image)
{
	image_drop_pages(&image->parts->kernel);
	image_drop_pages(&image->parts->file);
	image_drop_pages(&image->parts->ramdisk);
}

/* ---- modes --------------------------------------------------------------------------- */

static const struct mode {
	uint32_t bit;
	const char *name;
	const char *missing; /* what an image lacks that cannot boot so */
} modes[] = {
        {IMAGE_MODE_PVH, "PVH", "its ELF notes lack XEN_ELFNOTE_PHYS32_ENTRY (CONFIG_PVH, CONFIG_XEN_PVH)"},
        {IMAGE_MODE_PV, "PV", "it has no Xen ELF notes of a PV kernel (CONFIG_XEN_PV)"},
        {IMAGE_MODE_DIRECT, "direct", "it is not a Linux bzImage with a 64-bit entry"},
};

#define N_MODES (sizeof(modes) / sizeof(modes[0]))

uint32_t image_modes(const struct image *image)
{
	uint32_t mask = 0;
	uint64_t value;

	if (image->unfit)
		return 0;
	if (image_note_int(&image->boot, XEN_ELFNOTE_PHYS32_ENTRY, &value))
		mask |= IMAGE_MODE_PVH;
	if (image->boot.elf_class == 64 && image_is_pv(&image->boot))
		mask |= IMAGE_MODE_PV;
	if (image->format == IMAGE_BZIMAGE && image->boot.elf_class == 64 &&
	    (image->xloadflags & XLF_64BIT_ENTRY))
		mask |= IMAGE_MODE_DIRECT;
	return mask;
}

const char *image_mode_names(uint32_t mask, char *buf, size_t len)
{
	size_t used = 0;

	if (len)
		snprintf(buf, len, "none");
	for (size_t i = 0; i < N_MODES; i++) {
		int n;

		if (!(mask & modes[i].bit) || used >= len)
			continue;
		n = snprintf(buf + used, len - used, "%s%s", used ? ", " : "", modes[i].name);
		used += n > 0 ? (size_t)n : 0;
	}
	return buf;
}

int image_require(const struct image *image, uint32_t mode, char *err, size_t err_len)
{
	struct image_error where = {image->boot.kernel_path, err, err_len};
	uint32_t can = image_modes(image);
	char names[64];

	if (image->format == IMAGE_NONE) {
		snprintf(err, err_len, "no kernel is named; give boot.kernel in the domain file");
		return -ENOEXEC;
	}
	if (image->unfit) {
		snprintf(err, err_len, "%s", image->unfit);
		return -ENOEXEC;
	}
	if (can & mode)
		return 0;
	if (mode == IMAGE_MODE_PV && image->boot.elf_class == 32 && image_is_pv(&image->boot))
		return image_fail(&where, ENOEXEC,
		                  "is a 32-bit PV kernel; Gamut runs 64-bit PV guests; modes that would work: %s",
		                  image_mode_names(can, names, sizeof(names)));
	for (size_t i = 0; i < N_MODES; i++)
		if (modes[i].bit == mode)
			return image_fail(
			        &where, ENOEXEC, "cannot boot in %s mode: %s; modes that would work: %s",
			        modes[i].name, modes[i].missing, image_mode_names(can, names, sizeof(names)));
	return image_fail(&where, ENOEXEC, "unknown boot mode %u", mode);
}
