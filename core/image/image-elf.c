/* SPDX-License-Identifier: MIT */
/*
 * libelf decodes the headers and notes; what they say about places in the file
 * and in memory is checked here. Notes are kept as offsets into our own bytes,
 * so that nothing of libelf's lives longer than the parse.
 */
#include "image/image-elf.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#define NOTES_MAX      4096u
#define GUEST_PHYS_MAX (1ull << 52)

struct parse {
	Elf *libelf;
	const uint8_t *data;
	size_t size;
	size_t n_headers;
	struct image_elf *out;
	const struct image_error *err;
};

bool image_elf_is(const uint8_t *data, size_t size)
{
	return size >= SELFMAG && !memcmp(data, ELFMAG, SELFMAG);
}

static int fail_truncated(const struct parse *p, const char *what, size_t index)
{
	return image_fail(p->err, ENOEXEC,
	                  "the ELF file is truncated or damaged: %s %zu reaches beyond its end; "
	                  "copy it again",
	                  what, index);
}

static int parse_header(struct parse *p)
{
	GElf_Ehdr header;

	if (elf_kind(p->libelf) != ELF_K_ELF || !gelf_getehdr(p->libelf, &header))
		return image_fail(p->err, ENOEXEC,
		                  "the ELF header is truncated or damaged; copy the file again");
	if (header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (header.e_machine != EM_X86_64 && header.e_machine != EM_386))
		return image_fail(p->err, ENOEXEC,
		                  "is an ELF file for another processor (machine %u); use a kernel "
		                  "for x86-64 (amd64)",
		                  header.e_machine);
	if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
		return image_fail(p->err, ENOEXEC,
		                  "is an ELF file, but not an executable (type %u); use vmlinux or "
		                  "vmlinuz",
		                  header.e_type);
	if (elf_getphdrnum(p->libelf, &p->n_headers) || !p->n_headers)
		return image_fail(p->err, ENOEXEC, "the ELF file has no program headers, so nothing to load");
	p->out->elf_class = gelf_getclass(p->libelf) == ELFCLASS64 ? 64 : 32;
	p->out->machine = header.e_machine;
	p->out->entry = header.e_entry;
	return 0;
}

static int add_segment(struct parse *p, size_t index, const GElf_Phdr *ph)
{
	struct gamut_segment_load *s = &p->out->segments[p->out->n_segments];

	if (!ph->p_memsz && !ph->p_filesz)
		return 0;
	if (ph->p_filesz > ph->p_memsz || ph->p_memsz > GUEST_PHYS_MAX ||
	    ph->p_paddr > GUEST_PHYS_MAX - ph->p_memsz)
		return image_fail(p->err, ENOEXEC,
		                  "the ELF file is damaged: program header %zu has impossible sizes; "
		                  "copy it again",
		                  index);
	*s = (struct gamut_segment_load){
	        .paddr = ph->p_paddr,
	        .vaddr = ph->p_vaddr,
	        .filesz = ph->p_filesz,
	        .memsz = ph->p_memsz,
	        .data = p->data + ph->p_offset,
	};
	p->out->n_segments++;
	return 0;
}

static int add_note(struct parse *p, const struct gamut_elf_note *note)
{
	struct image_elf *elf = p->out;
	struct gamut_elf_note *notes;

	if (elf->n_notes == NOTES_MAX)
		return image_fail(p->err, ENOEXEC, "the ELF file has more than %u notes; refused", NOTES_MAX);
	/* Powers of two: the table is full exactly when its count is one. */
	if (!(elf->n_notes & (elf->n_notes - 1))) {
		notes = realloc(elf->notes, (elf->n_notes ? 2 * (size_t)elf->n_notes : 1) * sizeof(*notes));
		if (!notes)
			return image_fail(p->err, ENOMEM, "not enough memory for its notes");
		elf->notes = notes;
	}
	elf->notes[elf->n_notes++] = *note;
	return 0;
}

/* One table of notes; what follows a damaged note cannot be found and is left out. */
static int add_notes(struct parse *p, uint64_t offset, uint64_t size, uint64_t align)
{
	Elf_Data *raw;
	size_t at = 0, name, desc;
	GElf_Nhdr nh;

	if (!size)
		return 0;
	raw = elf_getdata_rawchunk(p->libelf, (int64_t)offset, size, align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	if (!raw)
		return image_fail(p->err, ENOEXEC, "the ELF notes cannot be read: %s", elf_errmsg(-1));
	while (at < size) {
		const uint8_t *base = p->data + offset;
		size_t next = gelf_getnote(raw, at, &nh, &name, &desc);
		int error;

		if (next <= at)
			break;
		at = next;
		if (name > size || nh.n_namesz > size - name || desc > size || nh.n_descsz > size - desc)
			break;
		if (!nh.n_namesz || base[name + nh.n_namesz - 1])
			continue;
		error = add_note(p, &(struct gamut_elf_note){.name = (const char *)base + name,
		                                             .type = nh.n_type,
		                                             .desc_size = nh.n_descsz,
		                                             .desc = base + desc});
		if (error)
			return error;
	}
	return 0;
}

static int parse_segments(struct parse *p)
{
	for (size_t i = 0; i < p->n_headers; i++) {
		GElf_Phdr ph;
		int error = 0;

		if (!gelf_getphdr(p->libelf, (int)i, &ph))
			return fail_truncated(p, "program header", i);
		if (ph.p_type != PT_LOAD && ph.p_type != PT_NOTE)
			continue;
		if (ph.p_offset > p->size || ph.p_filesz > p->size - ph.p_offset)
			return fail_truncated(p, "program header", i);
		if (ph.p_type == PT_LOAD)
			error = add_segment(p, i, &ph);
		else
			error = add_notes(p, ph.p_offset, ph.p_filesz, ph.p_align);
		if (error)
			return error;
	}
	if (!p->out->n_segments)
		return image_fail(p->err, ENOEXEC, "the ELF file has no segment to load");
	return 0;
}

/* Some kernels (Mini-OS among them) have their notes in a section alone. */
static int parse_section_notes(struct parse *p)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(p->libelf, section))) {
		GElf_Shdr sh;
		int error;

		if (!gelf_getshdr(section, &sh) || sh.sh_type != SHT_NOTE)
			continue;
		if (sh.sh_offset > p->size || sh.sh_size > p->size - sh.sh_offset)
			return fail_truncated(p, "section", elf_ndxscn(section));
		error = add_notes(p, sh.sh_offset, sh.sh_size, sh.sh_addralign);
		if (error)
			return error;
	}
	return 0;
}

static bool has_xen_notes(const struct image_elf *elf)
{
	for (uint32_t i = 0; i < elf->n_notes; i++)
		if (!strcmp(elf->notes[i].name, "Xen"))
			return true;
	return false;
}

/*
 * Xen kernels from before the notes say the same in a string, in a section of
 * this name. It is handed on as a note of that name.
 */
static int parse_xen_guest(struct parse *p)
{
	static const char name[] = "__xen_guest";
	Elf_Scn *section = NULL;
	size_t names;

	if (has_xen_notes(p->out) || elf_getshdrstrndx(p->libelf, &names))
		return 0;
	while ((section = elf_nextscn(p->libelf, section))) {
		const char *its;
		GElf_Shdr sh;

		if (!gelf_getshdr(section, &sh) || sh.sh_type == SHT_NOBITS)
			continue;
		its = elf_strptr(p->libelf, names, sh.sh_name);
		if (!its || strcmp(its, name))
			continue;
		if (sh.sh_offset > p->size || sh.sh_size > p->size - sh.sh_offset || sh.sh_size > UINT32_MAX)
			return fail_truncated(p, "section", elf_ndxscn(section));
		return add_note(p, &(struct gamut_elf_note){.name = name,
		                                            .desc_size = (uint32_t)sh.sh_size,
		                                            .desc = p->data + sh.sh_offset});
	}
	return 0;
}

static int parse_all(struct parse *p)
{
	int error = parse_header(p);

	if (error)
		return error;
	p->out->segments = calloc(p->n_headers, sizeof(*p->out->segments));
	if (!p->out->segments)
		return image_fail(p->err, ENOMEM, "not enough memory for its program headers");
	error = parse_segments(p);
	if (!error && !p->out->n_notes)
		error = parse_section_notes(p);
	return error ? error : parse_xen_guest(p);
}

int image_elf_parse(struct image_elf *elf, const uint8_t *data, size_t size, const struct image_error *err)
{
	struct parse p = {.data = data, .size = size, .out = elf, .err = err};
	int error;

	*elf = (struct image_elf){0};
	if (elf_version(EV_CURRENT) == EV_NONE)
		return image_fail(err, ENOEXEC, "libelf is too old: %s", elf_errmsg(-1));
	/* The parameter is not const, but memory opened this way is only read. */
	p.libelf = elf_memory((char *)(uintptr_t)data, size);
	if (!p.libelf)
		return image_fail(err, ENOEXEC, "the ELF file is truncated or damaged: %s", elf_errmsg(-1));
	error = parse_all(&p);
	elf_end(p.libelf);
	if (error)
		image_elf_finish(elf);
	return error;
}

void image_elf_finish(struct image_elf *elf)
{
	free(elf->segments);
	free(elf->notes);
	*elf = (struct image_elf){0};
}
