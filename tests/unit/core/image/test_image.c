/* SPDX-License-Identifier: MIT */
/*
 * Kernels of every form that is accepted, and of as many forms as possible
 * that are not, through image_load as the core calls it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image-build.h"
#include "image/image-hash.h"
#include "image/image-notes.h"
#include "image/image.h"

struct dir {
	char path[64], kernel[96], ramdisk[96], cache[96];
};

static int dir_setup(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));

	unsetenv("GAMUT_NO_CACHE");
	snprintf(d->path, sizeof(d->path), "/tmp/image-test-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	snprintf(d->kernel, sizeof(d->kernel), "%s/vmlinuz", d->path);
	snprintf(d->ramdisk, sizeof(d->ramdisk), "%s/initrd", d->path);
	snprintf(d->cache, sizeof(d->cache), "%s/cache/kernels", d->path);
	*state = d;
	return 0;
}

static int for_each_entry(const char *dir, int (*fn)(const char *path))
{
	DIR *handle = opendir(dir);
	struct dirent *e;
	int n = 0;

	if (!handle)
		return 0;
	while ((e = readdir(handle))) {
		char path[512];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		n++;
		if (fn)
			assert_int_equal(fn(path), 0);
	}
	closedir(handle);
	return n;
}

static int dir_teardown(void **state)
{
	struct dir *d = *state;
	char parent[128];

	for_each_entry(d->cache, unlink);
	rmdir(d->cache);
	snprintf(parent, sizeof(parent), "%s/cache", d->path);
	rmdir(parent);
	for_each_entry(d->path, remove);
	rmdir(d->path);
	free(d);
	return 0;
}

static void write_file(const char *path, const void *data, size_t size)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

static struct image *load_with(const struct image_options *options)
{
	char err[512] = "";
	struct image *image = image_load(options, err, sizeof(err));

	if (!image)
		fail_msg("%s", err);
	return image;
}

static struct image *load(struct dir *d, const struct blob *b)
{
	write_file(d->kernel, b->data, b->size);
	return load_with(&(struct image_options){.kernel = d->kernel, .no_cache = true});
}

static void refuse_with(const struct image_options *options, int error, const char *path,
                        const char *sentence)
{
	char err[512] = "";

	errno = 0;
	assert_null(image_load(options, err, sizeof(err)));
	if (!strstr(err, sentence) || errno != error || strncmp(err, path, strlen(path)) || strchr(err, '\n'))
		fail_msg("errno %d, '%s' instead of %d, '%s: ... %s'", errno, err, error, path, sentence);
}

/* It is loaded as the bytes that it is; who wants a kernel hears why it is none. */
static void unfit_with(const struct image_options *options, const char *sentence)
{
	struct image *image = load_with(options);
	char err[512] = "";

	assert_non_null(image->unfit);
	assert_int_equal(image_modes(image), 0);
	assert_int_equal(image_require(image, IMAGE_MODE_PVH, err, sizeof(err)), -ENOEXEC);
	assert_string_equal(err, image->unfit);
	assert_int_equal(image_require(image, IMAGE_MODE_PV, err, sizeof(err)), -ENOEXEC);
	assert_string_equal(err, image->unfit);
	if (!strstr(err, sentence) || strncmp(err, options->kernel, strlen(options->kernel)) || strchr(err, '\n'))
		fail_msg("'%s' instead of '%s: ... %s'", err, options->kernel, sentence);
	if (!image->boot.n_segments) {
		assert_int_equal(image->format, IMAGE_RAW);
		assert_ptr_equal(image->boot.not_elf, image->unfit);
	} else {
		assert_null(image->boot.not_elf);
	}
	image_trim(image);
	image_destroy(image);
}

static void refuse(struct dir *d, const struct blob *b, const char *sentence)
{
	write_file(d->kernel, b->data, b->size);
	unfit_with(&(struct image_options){.kernel = d->kernel, .no_cache = true}, sentence);
}

static void check_file(const struct image *image, const struct blob *b)
{
	assert_int_equal(image->boot.image_size, b->size);
	assert_memory_equal(image->boot.image, b->data, b->size);
}

static void check_tiny(const struct image *image, uint64_t bss)
{
	const struct gamut_boot *boot = &image->boot;
	struct blob text = build_text();
	uint64_t value = 0;

	assert_int_equal(boot->size, sizeof(*boot));
	assert_int_equal(boot->n_segments, 1);
	assert_int_equal(boot->elf_entry, BUILD_ENTRY);
	assert_int_equal(boot->segments[0].paddr, BUILD_ENTRY);
	assert_int_equal(boot->segments[0].filesz, BUILD_TEXT);
	assert_int_equal(boot->segments[0].memsz, BUILD_TEXT + bss);
	assert_memory_equal(boot->segments[0].data, text.data, text.size);
	assert_true(image_note_int(boot, XEN_ELFNOTE_PHYS32_ENTRY, &value));
	assert_int_equal(value, BUILD_ENTRY);
	assert_string_equal(image_note_string(boot, XEN_ELFNOTE_GUEST_OS), "tiny");
	blob_free(&text);
}

/* ---- what is accepted -------------------------------------------------------------- */

static void test_no_kernel(void **state)
{
	char err[256];
	struct image *image = load_with(&(struct image_options){0});

	(void)state;
	assert_int_equal(image->format, IMAGE_NONE);
	assert_int_equal(image->boot.n_segments, 0);
	assert_string_equal(image->boot.cmdline, "");
	assert_null(image->boot.ramdisk);
	assert_int_equal(image_modes(image), 0);
	assert_int_equal(image_require(image, IMAGE_MODE_PVH, err, sizeof(err)), -ENOEXEC);
	image_trim(image);
	image_destroy(image);
	image_destroy(NULL);
}

static void test_elf64(void **state)
{
	struct blob b = build_elf64(NOTES_PVH | NOTES_PV);
	struct image *image = load(*state, &b);

	check_tiny(image, 4096);
	assert_int_equal(image->format, IMAGE_ELF);
	assert_string_equal(image->packing, "none");
	assert_int_equal(image->boot.elf_class, 64);
	assert_int_equal(image->boot.n_notes, 4);
	assert_int_equal(image->boot.segments[0].vaddr, 0xffffffff81000000u);
	assert_int_equal(image_modes(image), IMAGE_MODE_PVH | IMAGE_MODE_PV);
	assert_null(image->unfit);
	assert_null(image->boot.not_elf);
	image_trim(image);
	check_tiny(image, 4096);
	check_file(image, &b);
	image_destroy(image);
	blob_free(&b);
}

static void test_elf32_with_pvh_entry(void **state)
{
	struct blob b = build_elf32(NOTES_PVH | NOTES_PV);
	struct image *image = load(*state, &b);
	char err[512];

	check_tiny(image, 0);
	assert_int_equal(image->boot.elf_class, 32);
	/* PV is for 64-bit kernels alone. */
	assert_int_equal(image_modes(image), IMAGE_MODE_PVH);
	assert_int_equal(image_require(image, IMAGE_MODE_PV, err, sizeof(err)), -ENOEXEC);
	assert_non_null(strstr(err, "is a 32-bit PV kernel"));
	assert_non_null(strstr(err, "modes that would work: PVH"));
	image_destroy(image);
	blob_free(&b);
}

static void test_section_notes(void **state)
{
	struct blob b = build_elf64_section_notes(NOTES_PVH);
	struct image *image = load(*state, &b);

	check_tiny(image, 4096);
	image_destroy(image);
	blob_free(&b);
}

static void test_section_from_before_the_notes(void **state)
{
	static const char string[] = "GUEST_OS=linux,XEN_VER=xen-3.0";
	struct blob b = build_elf64_xen_guest(string);
	struct image *image = load(*state, &b);

	assert_int_equal(image->boot.n_notes, 1);
	assert_string_equal(image->boot.notes[0].name, "__xen_guest");
	assert_int_equal(image->boot.notes[0].desc_size, strlen(string));
	assert_memory_equal(image->boot.notes[0].desc, string, strlen(string));
	assert_int_equal(image_modes(image), IMAGE_MODE_PV);
	image_destroy(image);
	/* Its length is the file's word. */
	((Elf64_Shdr *)(void *)(b.data + ((Elf64_Ehdr *)(void *)b.data)->e_shoff))[1].sh_size = b.size;
	refuse(*state, &b, "section 1 reaches beyond its end");
	blob_free(&b);
}

static void test_every_packing(void **state)
{
	for (size_t i = 0; i < N_PACKERS; i++) {
		struct blob elf = build_elf64(NOTES_PVH), packed = packers[i].pack(&elf);
		struct blob bz = build_bzimage(&packed, (uint32_t)elf.size);
		struct image *image = load(*state, &bz);

		check_tiny(image, 4096);
		assert_int_equal(image->format, IMAGE_BZIMAGE);
		assert_string_equal(image->packing, packers[i].name);
		assert_int_equal(image->protocol, 0x020f);
		assert_int_equal(image_modes(image), IMAGE_MODE_PVH | IMAGE_MODE_DIRECT);
		image_destroy(image);
		/* The same without the container. */
		image = load(*state, &packed);
		check_tiny(image, 4096);
		assert_int_equal(image->format, IMAGE_ELF);
		assert_string_equal(image->packing, packers[i].name);
		image_destroy(image);
		blob_free(&bz);
		blob_free(&packed);
		blob_free(&elf);
	}
}

/* Larger than the first allocation and than one lz4 block, with hints that are right, missing and wrong. */
static void test_growth(void **state)
{
	static const uint32_t hints[] = {0, 1, 20u << 20, 0xffffffffu};

	for (size_t i = 0; i < N_PACKERS; i++) {
		struct blob elf = build_elf64(NOTES_PVH), packed, bz;

		blob_add(&elf, NULL, (20u << 20) - elf.size);
		packed = packers[i].pack(&elf);
		for (size_t k = 0; k < sizeof(hints) / sizeof(hints[0]); k++) {
			struct image *image;

			bz = build_bzimage(&packed, hints[k]);
			image = load(*state, &bz);
			check_tiny(image, 4096);
			image_destroy(image);
			blob_free(&bz);
		}
		blob_free(&packed);
		blob_free(&elf);
	}
}

static void test_zero_setup_sects_means_four(void **state)
{
	struct blob elf = build_elf64(NOTES_PVH), packed = pack_gzip(&elf), bz = {0}, plain;
	struct image *image;

	plain = build_bzimage(&packed, (uint32_t)elf.size);
	blob_add(&bz, plain.data, 3 * 512);
	blob_add(&bz, NULL, 2 * 512);
	blob_add(&bz, plain.data + 3 * 512, plain.size - 3 * 512);
	bz.data[BZ_SETUP_SECTS] = 0;
	image = load(*state, &bz);
	check_tiny(image, 4096);
	image_destroy(image);
	blob_free(&plain);
	blob_free(&bz);
	blob_free(&packed);
	blob_free(&elf);
}

static void test_ramdisk_and_cmdline(void **state)
{
	struct dir *d = *state;
	struct image_options options = {.ramdisk = d->ramdisk, .cmdline = "console=hvc0"};
	struct image *image;

	write_file(d->ramdisk, "initrd", 6);
	image = load_with(&options);
	assert_int_equal(image->boot.ramdisk_size, 6);
	assert_memory_equal(image->boot.ramdisk, "initrd", 6);
	assert_string_equal(image->boot.cmdline, "console=hvc0");
	image_destroy(image);
	write_file(d->ramdisk, "", 0);
	refuse_with(&options, ENOEXEC, d->ramdisk, "the ramdisk is empty");
	unlink(d->ramdisk);
	refuse_with(&options, ENOENT, d->ramdisk, "no such ramdisk");
	options.ramdisk = d->path;
	refuse_with(&options, EISDIR, d->path, "is a directory, not a ramdisk");
}

/* ---- what is refused ----------------------------------------------------------------- */

static void test_files_that_are_none(void **state)
{
	struct dir *d = *state;
	struct image_options options = {.kernel = d->kernel};

	refuse_with(&options, ENOENT, d->kernel, "no such kernel");
	write_file(d->kernel, "", 0);
	refuse_with(&options, ENOEXEC, d->kernel, "the kernel is empty");
	refuse(d, &(struct blob){(uint8_t *)(uintptr_t) "#!/bin/sh\n", 10}, "is not a kernel");
	refuse(d, &(struct blob){(uint8_t *)(uintptr_t) "x", 1}, "is not a kernel");
	unlink(d->kernel);
	assert_int_equal(mkfifo(d->kernel, 0600), 0);
	refuse_with(&options, EINVAL, d->kernel, "is not a regular file");
	options.kernel = d->path;
	refuse_with(&options, EISDIR, d->path, "is a directory, not a kernel");
}

static void test_truncated_elf(void **state)
{
	struct blob b = build_elf64(NOTES_PVH);

	for (size_t size = 4; size < b.size; size += size < 512 ? 1 : 511) {
		struct blob cut = {b.data, size};

		refuse(*state, &cut, "ELF");
	}
	b.size--;
	refuse(*state, &b, "truncated or damaged");
	blob_free(&b);
}

static void test_truncated_bzimage(void **state)
{
	for (size_t i = 0; i < N_PACKERS; i++) {
		struct blob elf = build_elf64(NOTES_PVH), packed = packers[i].pack(&elf);
		struct blob bz = build_bzimage(&packed, (uint32_t)elf.size);

		/* The file cut short: found by its own header. */
		for (size_t size = 0x208; size < bz.size - 128; size += 131) {
			struct blob cut = {bz.data, size};

			refuse(*state, &cut, size < 0x250 ? "bzImage" : "truncated");
		}
		/* The stream cut short inside a whole file. */
		put32(bz.data + BZ_PAYLOAD_LENGTH, (uint32_t)packed.size - 16);
		refuse(*state, &bz, "truncated or damaged");
		blob_free(&bz);
		blob_free(&packed);
		blob_free(&elf);
	}
}

static void test_damaged_bytes_never_crash(void **state)
{
	struct dir *d = *state;
	uint64_t seed = 0x2545f4914f6cdd1dull;

	for (size_t i = 0; i <= N_PACKERS; i++) {
		struct blob elf = build_elf64(NOTES_PVH | NOTES_PV);
		struct blob packed = i < N_PACKERS ? packers[i].pack(&elf) : (struct blob){0};
		struct blob b = i < N_PACKERS ? build_bzimage(&packed, (uint32_t)elf.size) : elf;

		for (int round = 0; round < 300; round++) {
			char err[512];
			size_t at;
			uint8_t old;

			seed = seed * 6364136223846793005u + 1442695040888963407u;
			at = (size_t)(seed >> 33) % (round & 1 ? b.size : b.size < 700 ? b.size : 700);
			old = b.data[at];
			b.data[at] = (uint8_t)(seed >> 20);
			write_file(d->kernel, b.data, b.size);
			image_destroy(image_load(&(struct image_options){.kernel = d->kernel,
			                                                 .no_cache = true,
			                                                 .max_unpacked = 1 << 20},
			                         err, sizeof(err)));
			b.data[at] = old;
		}
		if (i < N_PACKERS)
			blob_free(&b);
		blob_free(&packed);
		blob_free(&elf);
	}
}

static void test_bad_bzimage_headers(void **state)
{
	static const struct {
		uint32_t offset, value;
		const char *sentence;
	} cases[] = {
	        {BZ_PAYLOAD_OFFSET, 0xffffffff, "truncated"},
	        {BZ_PAYLOAD_LENGTH, 0xffffffff, "truncated"},
	        {BZ_PAYLOAD_OFFSET, 0, "no packed kernel"},
	        {BZ_PAYLOAD_LENGTH, 0, "no packed kernel"},
	        {BZ_PAYLOAD_LENGTH, 4, "no packed kernel"},
	        {BZ_PAYLOAD_OFFSET, BZ_CODE + 1, "method that is not known"},
	        {BZ_VERSION, 0x0207, "boot protocol 2.07"},
	        {BZ_MAGIC, 0, "is not a kernel"},
	        {BZ_BOOT_FLAG, 0, "is not a kernel"},
	};
	struct blob elf = build_elf64(NOTES_PVH), packed = pack_xz(&elf);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct blob bz = build_bzimage(&packed, (uint32_t)elf.size);

		put32(bz.data + cases[i].offset, cases[i].value);
		refuse(*state, &bz, cases[i].sentence);
		blob_free(&bz);
	}
	blob_free(&packed);
	blob_free(&elf);
}

static void test_methods_we_lack_are_named(void **state)
{
	static const uint8_t bzip2[16] = "BZh91AY&SY",
	                     lzo[16] = {0x89, 'L', 'Z', 'O', 0, 0x0d, 0x0a, 0x1a, 0x0a};
	struct blob payload = {(uint8_t *)(uintptr_t)bzip2, sizeof(bzip2)}, bz = build_bzimage(&payload, 0);

	refuse(*state, &bz, "packed with bzip2, which is not supported; use one packed with gzip");
	blob_free(&bz);
	payload.data = (uint8_t *)(uintptr_t)lzo;
	bz = build_bzimage(&payload, 0);
	refuse(*state, &bz, "packed with lzo");
	blob_free(&bz);
}

static void test_packed_rubbish(void **state)
{
	struct blob text = build_text(), packed = pack_gzip(&text), bz = build_bzimage(&packed, BUILD_TEXT);

	refuse(*state, &bz, "what is packed in it is not an ELF kernel");
	blob_free(&bz);
	blob_free(&packed);
	blob_free(&text);
}

static void test_bombs(void **state)
{
	struct dir *d = *state;
	struct blob elf = build_elf64(NOTES_PVH);

	blob_add(&elf, NULL, (16u << 20) - elf.size);
	for (size_t i = 0; i < N_PACKERS; i++) {
		struct blob packed = packers[i].pack(&elf);
		struct image_options options = {
		        .kernel = d->kernel, .no_cache = true, .max_unpacked = elf.size};

		write_file(d->kernel, packed.data, packed.size);
		image_destroy(load_with(&options)); /* just fits */
		options.max_unpacked--;
		unfit_with(&options, "unpacks to more than");
		options.max_unpacked = 1 << 20;
		unfit_with(&options, "unpacks to more than 1 MiB");
		blob_free(&packed);
	}
	blob_free(&elf);
}

/* For a boot loader or for firmware: all bytes of a file that is no kernel here, and segments if it is ELF. */
static void test_raw(void **state)
{
	struct blob elf = build_elf32(0), packed = pack_gzip(&elf),
	            bz = build_bzimage(&packed, (uint32_t)elf.size);
	const struct blob flat = {(uint8_t *)(uintptr_t) "\xfa\xf4 flat", 7};
	struct image *image = load(*state, &elf);

	check_file(image, &elf);
	assert_int_equal(image->boot.n_segments, 1);
	assert_int_equal(image->boot.elf_class, 32);
	assert_null(image->boot.not_elf);
	image_destroy(image);
	image = load(*state, &bz);
	check_file(image, &bz);
	assert_int_equal(image->boot.n_segments, 1);
	image_destroy(image);
	image = load(*state, &flat);
	check_file(image, &flat);
	assert_int_equal(image->boot.n_segments, 0);
	assert_non_null(strstr(image->boot.not_elf, "neither an ELF file nor a Linux bzImage"));
	image_destroy(image);
	/* What a boot protocol needs of it is in front of the payload that nobody here can unpack. */
	memset(bz.data + bz.size - packed.size, 0xee, packed.size);
	image = load(*state, &bz);
	check_file(image, &bz);
	assert_int_equal(image->boot.n_segments, 0);
	assert_int_equal(image->format, IMAGE_RAW);
	assert_non_null(image->boot.not_elf);
	image_destroy(image);
	blob_free(&bz);
	blob_free(&packed);
	blob_free(&elf);
}

static void test_32_bit_without_pvh(void **state)
{
	struct blob elf = build_elf32(0), packed = pack_gzip(&elf),
	            bz = build_bzimage(&packed, (uint32_t)elf.size);

	refuse(*state, &elf, "32-bit kernel without a PVH entry (no XEN_ELFNOTE_PHYS32_ENTRY note)");
	refuse(*state, &bz, "use a 64-bit (amd64) kernel");
	blob_free(&bz);
	blob_free(&packed);
	blob_free(&elf);
	elf = build_elf32(NOTES_PV);
	refuse(*state, &elf, "is a 32-bit PV kernel; Gamut runs 64-bit PV guests");
	blob_free(&elf);
}

static void patch_and_refuse(struct dir *d, size_t offset, const void *value, size_t size,
                             const char *sentence)
{
	struct blob b = build_elf64(NOTES_PVH);

	memcpy(b.data + offset, value, size);
	refuse(d, &b, sentence);
	blob_free(&b);
}

#define EH(m)    offsetof(Elf64_Ehdr, m)
#define PH(i, m) (sizeof(Elf64_Ehdr) + (i) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, m))

static void test_bad_elf_headers(void **state)
{
	const uint16_t arm = EM_AARCH64, rel = ET_REL, none = 0, many = 60000;
	const uint8_t big = ELFDATA2MSB;
	const uint64_t huge = UINT64_MAX - 100, top = 1ull << 52;
	const uint32_t null = PT_NULL;

	patch_and_refuse(*state, EH(e_machine), &arm, 2, "another processor (machine 183)");
	patch_and_refuse(*state, EH(e_ident[EI_DATA]), &big, 1, "ELF");
	patch_and_refuse(*state, EH(e_type), &rel, 2, "not an executable");
	patch_and_refuse(*state, EH(e_phnum), &none, 2, "no program headers");
	patch_and_refuse(*state, EH(e_phnum), &many, 2, "ELF");
	patch_and_refuse(*state, EH(e_phoff), &huge, 8, "ELF");
	patch_and_refuse(*state, PH(0, p_type), &null, 4, "no segment to load");
	patch_and_refuse(*state, PH(0, p_offset), &huge, 8, "program header 0 reaches beyond its end");
	patch_and_refuse(*state, PH(0, p_filesz), &huge, 8, "program header 0 reaches beyond its end");
	patch_and_refuse(*state, PH(0, p_memsz), &none, 2, "impossible sizes");
	patch_and_refuse(*state, PH(0, p_memsz), &huge, 8, "impossible sizes");
	patch_and_refuse(*state, PH(0, p_paddr), &huge, 8, "impossible sizes");
	patch_and_refuse(*state, PH(0, p_paddr), &top, 8, "impossible sizes");
	patch_and_refuse(*state, PH(1, p_filesz), &huge, 8, "program header 1 reaches beyond its end");
}

/* ---- notes ------------------------------------------------------------------------------ */

static void test_damaged_notes(void **state)
{
	struct blob b = build_elf64(NOTES_PVH);
	size_t notes = PH(2, p_type);
	struct image *image;
	uint64_t value = 7;

	/* The first note claims a name that goes on past the table: it and what follows are lost. */
	put32(b.data + notes, 0xfffffff0);
	image = load(*state, &b);
	assert_int_equal(image->boot.n_notes, 0);
	assert_false(image_note_int(&image->boot, XEN_ELFNOTE_PHYS32_ENTRY, &value));
	assert_int_equal(value, 7);
	assert_int_equal(image_modes(image), 0);
	image_destroy(image);
	/* A name without its NUL is no name; the others stay. */
	put32(b.data + notes, 4);
	memcpy(b.data + notes + sizeof(Elf64_Nhdr), "GNUX", 4);
	image = load(*state, &b);
	assert_int_equal(image->boot.n_notes, 2);
	assert_int_equal(image_modes(image), IMAGE_MODE_PVH);
	image_destroy(image);
	blob_free(&b);
}

static void test_note_values(void **state)
{
	static const uint8_t eight[] = {1, 2, 3, 4, 5, 6, 7, 8};
	const struct gamut_elf_note notes[] = {
	        {"GNU", XEN_ELFNOTE_ENTRY, 8, eight},        {"Xen", XEN_ELFNOTE_ENTRY, 8, eight},
	        {"Xen", XEN_ELFNOTE_PHYS32_ENTRY, 4, eight}, {"Xen", XEN_ELFNOTE_VIRT_BASE, 3, eight},
	        {"Xen", XEN_ELFNOTE_LOADER, 0, eight},       {"Xen", XEN_ELFNOTE_GUEST_OS, 8, eight},
	};
	const struct gamut_boot boot = {.n_notes = 6, .notes = notes};
	uint64_t value = 0;

	(void)state;
	assert_true(image_note_int(&boot, XEN_ELFNOTE_ENTRY, &value));
	assert_true(value == 0x0807060504030201ull);
	assert_true(image_note_int(&boot, XEN_ELFNOTE_PHYS32_ENTRY, &value));
	assert_int_equal(value, 0x04030201);
	assert_false(image_note_int(&boot, XEN_ELFNOTE_VIRT_BASE, &value));
	assert_null(image_note_string(&boot, XEN_ELFNOTE_LOADER));
	assert_null(image_note_string(&boot, XEN_ELFNOTE_GUEST_OS));
	assert_null(image_note(&boot, XEN_ELFNOTE_FEATURES));
	assert_string_equal(image_note_name(XEN_ELFNOTE_PHYS32_ENTRY), "XEN_ELFNOTE_PHYS32_ENTRY");
	assert_null(image_note_name(XEN_ELFNOTE_MAX + 1));
}

static void test_require(void **state)
{
	struct dir *d = *state;
	struct blob b = build_elf64(NOTES_PV);
	struct image *image = load(d, &b);
	char err[512], names[64];

	assert_int_equal(image_require(image, IMAGE_MODE_PV, err, sizeof(err)), 0);
	assert_int_equal(image_require(image, IMAGE_MODE_PVH, err, sizeof(err)), -ENOEXEC);
	assert_int_equal(strncmp(err, d->kernel, strlen(d->kernel)), 0);
	assert_non_null(strstr(err, "cannot boot in PVH mode: its ELF notes lack XEN_ELFNOTE_PHYS32_ENTRY"));
	assert_non_null(strstr(err, "modes that would work: PV"));
	assert_string_equal(image_mode_names(0, names, sizeof(names)), "none");
	assert_string_equal(image_mode_names(IMAGE_MODE_PVH | IMAGE_MODE_PV, names, sizeof(names)),
	                    "PVH, PV");
	image_destroy(image);
	blob_free(&b);
}

/* ---- the cache ------------------------------------------------------------------------------ */

static struct image *load_cached(struct dir *d, bool expect)
{
	struct image *image = load_with(&(struct image_options){.kernel = d->kernel, .cache_dir = d->cache});

	check_tiny(image, 4096);
	assert_int_equal(image->cached, expect);
	return image;
}

static void write_packed(struct dir *d)
{
	struct blob elf = build_elf64(NOTES_PVH), packed = pack_xz(&elf);
	struct blob bz = build_bzimage(&packed, (uint32_t)elf.size);

	write_file(d->kernel, bz.data, bz.size);
	blob_free(&bz);
	blob_free(&packed);
	blob_free(&elf);
}

static int damage(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), n;
	uint8_t byte;

	n = pread(fd, &byte, 1, 1000) == 1;
	byte ^= 1;
	n = n && pwrite(fd, &byte, 1, 1000) == 1;
	close(fd);
	return n ? 0 : -1;
}

static int shorten(const char *path)
{
	struct stat st;

	return stat(path, &st) || truncate(path, st.st_size - 1) ? -1 : 0;
}

static int make_tiny(const char *path)
{
	return truncate(path, 3);
}

static int open_to_all(const char *path)
{
	return chmod(path, 0666);
}

static int owner_only(const char *path)
{
	struct stat st;

	return stat(path, &st) || (st.st_mode & 077) ? -1 : 0;
}

static void test_cache(void **state)
{
	static int (*const spoil[])(const char *) = {damage, shorten, make_tiny, open_to_all, unlink};
	struct dir *d = *state;

	write_packed(d);
	image_destroy(load_cached(d, false));
	assert_int_equal(for_each_entry(d->cache, owner_only), 1);
	image_destroy(load_cached(d, true));
	for (size_t i = 0; i < sizeof(spoil) / sizeof(spoil[0]); i++) {
		for_each_entry(d->cache, spoil[i]);
		image_destroy(load_cached(d, false));
		image_destroy(load_cached(d, true));
		assert_int_equal(for_each_entry(d->cache, owner_only), 1);
	}
	/* Written again with the same bytes, it is another file in time. */
	usleep(20000);
	write_packed(d);
	image_destroy(load_cached(d, false));
}

static void test_cache_trim(void **state)
{
	struct dir *d = *state;
	struct image *image;

	write_packed(d);
	image = load_cached(d, false);
	image_trim(image);
	check_tiny(image, 4096);
	/* An entry that is dropped under a running domain stays with it. */
	for_each_entry(d->cache, unlink);
	image_trim(image);
	check_tiny(image, 4096);
	image_destroy(image);
}

static void test_cache_turned_off(void **state)
{
	struct dir *d = *state;
	struct image_options options = {.kernel = d->kernel, .cache_dir = d->cache, .no_cache = true};

	write_packed(d);
	image_destroy(load_with(&options));
	options.no_cache = false;
	setenv("GAMUT_NO_CACHE", "1", 1);
	image_destroy(load_with(&options));
	assert_int_equal(access(d->cache, F_OK), -1);
	unsetenv("GAMUT_NO_CACHE");
	image_destroy(load_with(&options));
	assert_int_equal(access(d->cache, F_OK), 0);
}

static void test_cache_folder_of_others(void **state)
{
	struct dir *d = *state;

	write_packed(d);
	image_destroy(load_cached(d, false));
	/* Others may write to it: neither read nor filled. */
	assert_int_equal(chmod(d->cache, 0777), 0);
	image_destroy(load_cached(d, false));
	image_destroy(load_cached(d, false));
	assert_int_equal(chmod(d->cache, 0700), 0);
	image_destroy(load_cached(d, true));
	if (geteuid())
		return;
	assert_int_equal(chown(d->cache, 65534, 65534), 0);
	image_destroy(load_cached(d, false));
	image_destroy(load_cached(d, false));
}

static void test_cache_in_the_users_folder(void **state)
{
	static const char *const parts[] = {"xdg/gamut/kernels", "xdg/gamut", "xdg"};
	struct dir *d = *state;
	struct image_options options = {.kernel = d->kernel};
	char *old = getenv("XDG_CACHE_HOME"), *saved = old ? strdup(old) : NULL;
	struct image *image;
	char path[128];

	write_packed(d);
	snprintf(path, sizeof(path), "%s/xdg", d->path);
	assert_int_equal(setenv("XDG_CACHE_HOME", path, 1), 0);
	image_destroy(load_with(&options));
	image = load_with(&options);
	assert_true(image->cached);
	image_destroy(image);
	snprintf(path, sizeof(path), "%s/%s", d->path, parts[0]);
	assert_int_equal(for_each_entry(path, unlink), 1);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", d->path, parts[i]);
		assert_int_equal(rmdir(path), 0);
	}
	if (saved)
		setenv("XDG_CACHE_HOME", saved, 1);
	else
		unsetenv("XDG_CACHE_HOME");
	free(saved);
}

static void test_cache_that_cannot_be_made(void **state)
{
	struct dir *d = *state;
	struct image *image;

	write_packed(d);
	image = load_with(&(struct image_options){.kernel = d->kernel, .cache_dir = "/proc/none"});
	check_tiny(image, 4096);
	image_destroy(image);
}

static void test_cache_drops_the_oldest(void **state)
{
	struct dir *d = *state;

	for (int i = 0; i < 12; i++) {
		struct image *image;

		/* Its size makes it another kernel, however coarse the clock. */
		write_packed(d);
		assert_int_equal(truncate(d->kernel, 100000 + i), 0);
		image = load_cached(d, false);
		image_destroy(image);
	}
	assert_int_equal(for_each_entry(d->cache, NULL), 8);
	image_destroy(load_cached(d, true));
}

static void test_hash(void **state)
{
	uint8_t buf[100] = {0};
	struct image_hash first = image_hash(buf, 100), other;

	(void)state;
	for (int bit = 0; bit < 800; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		other = image_hash(buf, 100);
		assert_memory_not_equal(&first.word[0], &other.word[0], 8);
		assert_memory_not_equal(&first.word[1], &other.word[1], 8);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t size = 0; size < 100; size++) {
		other = image_hash(buf, size);
		assert_memory_not_equal(&first, &other, sizeof(first));
	}
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_no_kernel),
	        FILE_TEST(test_elf64),
	        FILE_TEST(test_elf32_with_pvh_entry),
	        FILE_TEST(test_section_notes),
	        FILE_TEST(test_section_from_before_the_notes),
	        FILE_TEST(test_every_packing),
	        FILE_TEST(test_growth),
	        FILE_TEST(test_zero_setup_sects_means_four),
	        FILE_TEST(test_ramdisk_and_cmdline),
	        FILE_TEST(test_files_that_are_none),
	        FILE_TEST(test_truncated_elf),
	        FILE_TEST(test_truncated_bzimage),
	        FILE_TEST(test_damaged_bytes_never_crash),
	        FILE_TEST(test_bad_bzimage_headers),
	        FILE_TEST(test_methods_we_lack_are_named),
	        FILE_TEST(test_packed_rubbish),
	        FILE_TEST(test_bombs),
	        FILE_TEST(test_raw),
	        FILE_TEST(test_32_bit_without_pvh),
	        FILE_TEST(test_bad_elf_headers),
	        FILE_TEST(test_damaged_notes),
	        cmocka_unit_test(test_note_values),
	        FILE_TEST(test_require),
	        FILE_TEST(test_cache),
	        FILE_TEST(test_cache_trim),
	        FILE_TEST(test_cache_turned_off),
	        FILE_TEST(test_cache_folder_of_others),
	        FILE_TEST(test_cache_in_the_users_folder),
	        FILE_TEST(test_cache_that_cannot_be_made),
	        FILE_TEST(test_cache_drops_the_oldest),
	        cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
