/* SPDX-License-Identifier: MIT */
/*
 * Tiny kernels, built in memory: ELF files with notes, packed streams of each
 * method, and bzImages around them. For tests and fuzz seeds.
 */
#ifndef TESTS_IMAGE_BUILD_H
#define TESTS_IMAGE_BUILD_H

#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xen/elfnote.h>
#include <zlib.h>
#include <zstd.h>

#define BUILD_TEXT  8192u
#define BUILD_ENTRY 0x1000000u

struct blob {
	uint8_t *data;
	size_t size;
};

static inline void blob_add(struct blob *b, const void *data, size_t size)
{
	uint8_t *grown = realloc(b->data, b->size + size + 1);

	if (!grown)
		abort();
	b->data = grown;
	if (data)
		memcpy(b->data + b->size, data, size);
	else
		memset(b->data + b->size, 0, size);
	b->size += size;
}

static inline void blob_free(struct blob *b)
{
	free(b->data);
	*b = (struct blob){0};
}

static inline void blob_note(struct blob *b, const char *name, uint32_t type, const void *desc, uint32_t size)
{
	Elf64_Nhdr nh = {(Elf64_Word)strlen(name) + 1, size, type};

	blob_add(b, &nh, sizeof(nh));
	blob_add(b, name, nh.n_namesz);
	blob_add(b, NULL, -b->size & 3);
	blob_add(b, desc, size);
	blob_add(b, NULL, -b->size & 3);
}

enum build_notes { NOTES_PVH = 1, NOTES_PV = 2 };

static inline struct blob build_notes(unsigned int which)
{
	const uint32_t entry32 = BUILD_ENTRY;
	const uint64_t entry64 = 0xffffffff81000000u;
	struct blob b = {0};

	blob_note(&b, "GNU", XEN_ELFNOTE_PHYS32_ENTRY, "not Xen's", 10);
	blob_note(&b, "Xen", XEN_ELFNOTE_GUEST_OS, "tiny", 5);
	if (which & NOTES_PVH)
		blob_note(&b, "Xen", XEN_ELFNOTE_PHYS32_ENTRY, &entry32, sizeof(entry32));
	if (which & NOTES_PV)
		blob_note(&b, "Xen", XEN_ELFNOTE_ENTRY, &entry64, sizeof(entry64));
	return b;
}

static inline struct blob build_text(void)
{
	struct blob b = {0};

	blob_add(&b, NULL, BUILD_TEXT);
	for (size_t i = 0; i < b.size; i++)
		b.data[i] = (uint8_t)(i * i >> 6 ^ i / 97);
	return b;
}

/* Header, two program headers, notes, text; the text reaches the end of the file. */
static inline struct blob build_elf64(unsigned int which)
{
	struct blob b = {0}, notes = build_notes(which), text = build_text();
	Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
	                 .e_type = ET_EXEC,
	                 .e_machine = EM_X86_64,
	                 .e_version = EV_CURRENT,
	                 .e_entry = BUILD_ENTRY,
	                 .e_phoff = sizeof(eh),
	                 .e_ehsize = sizeof(eh),
	                 .e_phentsize = sizeof(Elf64_Phdr),
	                 .e_phnum = 2};
	Elf64_Phdr ph[2] = {
	        {.p_type = PT_LOAD,
	         .p_offset = sizeof(eh) + sizeof(ph) + notes.size,
	         .p_vaddr = 0xffffffff81000000u,
	         .p_paddr = BUILD_ENTRY,
	         .p_filesz = text.size,
	         .p_memsz = text.size + 4096},
	        {.p_type = PT_NOTE,
	         .p_offset = sizeof(eh) + sizeof(ph),
	         .p_filesz = notes.size,
	         .p_memsz = notes.size,
	         .p_align = 4},
	};

	blob_add(&b, &eh, sizeof(eh));
	blob_add(&b, ph, sizeof(ph));
	blob_add(&b, notes.data, notes.size);
	blob_add(&b, text.data, text.size);
	blob_free(&notes);
	blob_free(&text);
	return b;
}

static inline struct blob build_elf32(unsigned int which)
{
	struct blob b = {0}, notes = build_notes(which), text = build_text();
	Elf32_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
	                 .e_type = ET_EXEC,
	                 .e_machine = EM_386,
	                 .e_version = EV_CURRENT,
	                 .e_entry = BUILD_ENTRY,
	                 .e_phoff = sizeof(eh),
	                 .e_ehsize = sizeof(eh),
	                 .e_phentsize = sizeof(Elf32_Phdr),
	                 .e_phnum = 2};
	Elf32_Phdr ph[2] = {
	        {.p_type = PT_LOAD,
	         .p_offset = (Elf32_Off)(sizeof(eh) + sizeof(ph) + notes.size),
	         .p_vaddr = 0xc1000000u,
	         .p_paddr = BUILD_ENTRY,
	         .p_filesz = (Elf32_Word)text.size,
	         .p_memsz = (Elf32_Word)text.size},
	        {.p_type = PT_NOTE,
	         .p_offset = sizeof(eh) + sizeof(ph),
	         .p_filesz = (Elf32_Word)notes.size,
	         .p_memsz = (Elf32_Word)notes.size,
	         .p_align = 4},
	};

	blob_add(&b, &eh, sizeof(eh));
	blob_add(&b, ph, sizeof(ph));
	blob_add(&b, notes.data, notes.size);
	blob_add(&b, text.data, text.size);
	blob_free(&notes);
	blob_free(&text);
	return b;
}

/* Notes in a section alone, as Mini-OS has them. */
static inline struct blob build_elf64_section_notes(unsigned int which)
{
	struct blob b = build_elf64(which);
	Elf64_Ehdr *eh = (void *)b.data;
	Elf64_Phdr *ph = (void *)(b.data + eh->e_phoff);
	Elf64_Shdr sh[2] = {{0},
	                    {.sh_type = SHT_NOTE,
	                     .sh_offset = ph[1].p_offset,
	                     .sh_size = ph[1].p_filesz,
	                     .sh_addralign = 4}};

	ph[1].p_type = PT_NULL;
	eh->e_shoff = b.size;
	eh->e_shnum = 2;
	eh->e_shentsize = sizeof(Elf64_Shdr);
	blob_add(&b, sh, sizeof(sh));
	return b;
}

/* No notes, and the string of Xen kernels from before them in a section of its own. */
static inline struct blob build_elf64_xen_guest(const char *string)
{
	static const char names[] = "\0__xen_guest\0.names";
	struct blob b = build_elf64(0);
	uint64_t at = b.size, names_at = at + strlen(string);
	Elf64_Shdr sh[3] = {{0},
	                    {.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = at, .sh_size = strlen(string)},
	                    {.sh_name = 13, .sh_type = SHT_STRTAB, .sh_offset = names_at, .sh_size = sizeof(names)}};
	Elf64_Ehdr *eh;

	blob_add(&b, string, strlen(string));
	blob_add(&b, names, sizeof(names));
	blob_add(&b, NULL, -b.size & 7);
	eh = (void *)b.data;
	((Elf64_Phdr *)(void *)(b.data + eh->e_phoff))[1].p_type = PT_NULL;
	eh->e_shoff = b.size;
	eh->e_shnum = 3;
	eh->e_shentsize = sizeof(Elf64_Shdr);
	eh->e_shstrndx = 2;
	blob_add(&b, sh, sizeof(sh));
	return b;
}

/* ---- packing ----------------------------------------------------------------------- */

static inline struct blob pack_gzip(const struct blob *in)
{
	struct blob b = {0};
	z_stream z = {0};

	if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	blob_add(&b, NULL, deflateBound(&z, in->size));
	z.next_in = in->data;
	z.avail_in = (uInt)in->size;
	z.next_out = b.data;
	z.avail_out = (uInt)b.size;
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	b.size = z.total_out;
	deflateEnd(&z);
	return b;
}

static inline struct blob pack_xz(const struct blob *in)
{
	struct blob b = {0};
	size_t used = 0;

	blob_add(&b, NULL, lzma_stream_buffer_bound(in->size));
	if (lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, in->data, in->size, b.data, &used, b.size) !=
	    LZMA_OK)
		abort();
	b.size = used;
	return b;
}

static inline struct blob pack_lzma(const struct blob *in)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	lzma_options_lzma options;
	struct blob b = {0};

	if (lzma_lzma_preset(&options, 1) || lzma_alone_encoder(&stream, &options) != LZMA_OK)
		abort();
	blob_add(&b, NULL, in->size + in->size / 2 + 1024);
	stream.next_in = in->data;
	stream.avail_in = in->size;
	stream.next_out = b.data;
	stream.avail_out = b.size;
	if (lzma_code(&stream, LZMA_FINISH) != LZMA_STREAM_END)
		abort();
	b.size = stream.total_out;
	lzma_end(&stream);
	return b;
}

static inline struct blob pack_lz4(const struct blob *in)
{
	const uint32_t magic = 0x184c2102u, block = 8u << 20;
	struct blob b = {0};

	blob_add(&b, &magic, 4);
	for (size_t at = 0; at < in->size; at += block) {
		int part = (int)(in->size - at < block ? in->size - at : block);
		char *out = malloc((size_t)LZ4_compressBound(part));
		uint32_t n = (uint32_t)LZ4_compress_default((const char *)in->data + at, out, part,
		                                            LZ4_compressBound(part));

		blob_add(&b, &n, 4);
		blob_add(&b, out, n);
		free(out);
	}
	return b;
}

static inline struct blob pack_zstd(const struct blob *in)
{
	struct blob b = {0};

	blob_add(&b, NULL, ZSTD_compressBound(in->size));
	b.size = ZSTD_compress(b.data, b.size, in->data, in->size, 3);
	return b;
}

static const struct packer {
	const char *name;
	struct blob (*pack)(const struct blob *in);
} packers[] = {
        {"gzip", pack_gzip}, {"xz", pack_xz}, {"lzma", pack_lzma}, {"lz4", pack_lz4}, {"zstd", pack_zstd},
};

#define N_PACKERS (sizeof(packers) / sizeof(packers[0]))

/* Offsets in a bzImage, from the kernel's Documentation/arch/x86/boot.rst. */
enum {
	BZ_SETUP_SECTS = 0x1f1,
	BZ_BOOT_FLAG = 0x1fe,
	BZ_MAGIC = 0x202,
	BZ_VERSION = 0x206,
	BZ_XLOADFLAGS = 0x236,
	BZ_PAYLOAD_OFFSET = 0x248,
	BZ_PAYLOAD_LENGTH = 0x24c
};

static inline void put32(uint8_t *p, uint32_t value)
{
	memcpy(p, &value, 4);
}

#define BZ_CODE 64u /* bytes of "code" before the payload */

/* Two sectors of setup, some code, the payload with its size appended, more code. */
static inline struct blob build_bzimage(const struct blob *payload, uint32_t unpacked)
{
	struct blob b = {0};

	blob_add(&b, NULL, 3 * 512);
	b.data[BZ_SETUP_SECTS] = 2;
	put32(b.data + BZ_BOOT_FLAG, 0xaa55);
	put32(b.data + BZ_MAGIC, 0x53726448);
	put32(b.data + BZ_VERSION, 0x020f);
	put32(b.data + BZ_XLOADFLAGS, 1);
	put32(b.data + BZ_PAYLOAD_OFFSET, BZ_CODE);
	put32(b.data + BZ_PAYLOAD_LENGTH, (uint32_t)payload->size + 4);
	blob_add(&b, NULL, BZ_CODE);
	blob_add(&b, payload->data, payload->size);
	blob_add(&b, &unpacked, 4);
	blob_add(&b, NULL, 128);
	return b;
}

#endif
