/* SPDX-License-Identifier: MIT */
#include "dm/pc/boot.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x1badb002u
#define LOADED_MAGIC 0x2badb002u
#define SEARCH 8192u
#define FLAG_ADDRESSES (1u << 16)
#define UNSUPPORTED 0xfffcu /* of bits 0-15, which a loader must know: aligned modules and memory sizes are */

#define INFO_MEMORY (1u << 0)
#define INFO_CMDLINE (1u << 2)
#define INFO_MODULES (1u << 3)
#define INFO_MAP (1u << 6)
#define INFO_LOADER (1u << 9)

#define MAX_SEGMENTS 64u
#define CONVENTIONAL 0x7000u /* nothing of ours lies below */
#define BIOS_TOP 0x80000u    /* nor above, where the boot ROM has its stack and the BIOS its data area */
#define FLAT_MAX (256u << 20)

enum { RAX = 0, RBX = 3 };

struct header {
	uint32_t magic, flags, checksum, header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr,
		drives_length, drives_addr, config_table, boot_loader_name, apm_table, vbe[4];
};

struct module {
	uint32_t start, end, string, reserved;
};

struct map_entry {
	uint32_t size; /* of what follows */
	uint64_t addr, len;
	uint32_t type;
} __attribute__((packed));

struct part {
	uint64_t gpa, filesz, memsz;
	const uint8_t *data;
};

struct plan {
	const struct pc_boot *b;
	struct header h;
	uint32_t at; /* of the header in the file */
	struct part part[MAX_SEGMENTS];
	uint32_t n_parts;
	uint32_t entry;
	uint64_t end; /* of what is loaded above 1 MiB */
	uint64_t low_top; /* conventional memory is free up to here */
	uint64_t module, info;
	uint32_t info_bytes;
};

/* What all of the information is in, in one piece. */
struct block {
	struct info info;
	struct module module;
	struct map_entry map[PC_BOOT_MAP];
	char loader[8];
	char text[]; /* the command line; then the module's, which is empty */
};

static int bad(const struct plan *p, const char *what)
{
	return pc_boot_fail(p->b, ENOEXEC, what);
}

/* ---- the image ---- */

static int read_header(struct plan *p)
{
	const struct gamut_boot *boot = p->b->boot;

	for (; p->at + 12 <= boot->image_size && p->at + 12 <= SEARCH; p->at += 4) {
		uint64_t left = boot->image_size - p->at;

		p->h = (struct header){ 0 };
		memcpy(&p->h, (const uint8_t *)boot->image + p->at, left < sizeof(p->h) ? left : sizeof(p->h));
		if (p->h.magic == MAGIC && !(p->h.magic + p->h.flags + p->h.checksum))
			return p->h.flags & UNSUPPORTED ? bad(p, "its Multiboot header asks for what is not there") : 0;
	}
	return bad(p, "it has no Multiboot header");
}

static int add(struct plan *p, const struct part *part)
{
	uint64_t low = p->b->low_end;

	if (!part->memsz)
		return 0;
	if (part->gpa > low || part->memsz > low - part->gpa || part->filesz > part->memsz)
		return bad(p, "a part of it does not lie in the guest's memory");
	if (part->gpa < 0x100000 && part->gpa + part->memsz > 0xa0000)
		return bad(p, "a part of it lies between 640 KiB and 1 MiB");
	if (p->n_parts == MAX_SEGMENTS)
		return bad(p, "it has more parts than can be");
	p->part[p->n_parts++] = *part;
	if (part->gpa + part->memsz > p->end)
		p->end = part->gpa + part->memsz;
	return 0;
}

/* The header itself says where the file goes. */
static int take_addresses(struct plan *p)
{
	const struct header *h = &p->h;
	uint64_t skip = (uint64_t)h->header_addr - h->load_addr, from = p->at - skip;
	uint64_t rest, size;
	struct part part;

	if (h->load_addr > h->header_addr || skip > p->at)
		return bad(p, "its Multiboot header has addresses that cannot be");
	rest = p->b->boot->image_size - from;
	size = h->load_end_addr ? (uint64_t)h->load_end_addr - h->load_addr : rest;
	if ((h->load_end_addr && h->load_end_addr < h->load_addr) || size > rest)
		return bad(p, "its Multiboot header asks for more than the file has");
	part = (struct part){ h->load_addr, size, size, (const uint8_t *)p->b->boot->image + from };
	if (h->bss_end_addr > h->load_addr && h->bss_end_addr - h->load_addr > size)
		part.memsz = h->bss_end_addr - h->load_addr;
	p->entry = h->entry_addr;
	return add(p, &part);
}

/* A program header of either class. */
static int take_segment(struct plan *p, uint64_t type, uint64_t offset, uint64_t gpa, uint64_t filesz, uint64_t memsz)
{
	const struct gamut_boot *boot = p->b->boot;
	const struct part part = { gpa, filesz, memsz, (const uint8_t *)boot->image + offset };

	if (type != PT_LOAD)
		return 0;
	if (offset > boot->image_size || filesz > boot->image_size - offset)
		return bad(p, "a segment lies beyond the end of the file");
	return add(p, &part);
}

static bool headers_fit(const struct gamut_boot *boot, uint64_t offset, uint64_t size, uint64_t least, uint64_t n)
{
	return size >= least && offset <= boot->image_size && n * size <= boot->image_size - offset;
}

static int take_elf_32(struct plan *p)
{
	const struct gamut_boot *boot = p->b->boot;
	Elf32_Ehdr e;
	int rc = 0;

	memcpy(&e, boot->image, sizeof(e));
	if (!headers_fit(boot, e.e_phoff, e.e_phentsize, sizeof(Elf32_Phdr), e.e_phnum))
		return bad(p, "its ELF header is damaged");
	p->entry = e.e_entry;
	for (uint32_t i = 0; i < e.e_phnum && !rc; i++) {
		Elf32_Phdr h;

		memcpy(&h, (const uint8_t *)boot->image + e.e_phoff + i * e.e_phentsize, sizeof(h));
		rc = take_segment(p, h.p_type, h.p_offset, h.p_paddr, h.p_filesz, h.p_memsz);
	}
	return rc;
}

static int take_elf_64(struct plan *p)
{
	const struct gamut_boot *boot = p->b->boot;
	Elf64_Ehdr e;
	int rc = 0;

	memcpy(&e, boot->image, sizeof(e));
	if (!headers_fit(boot, e.e_phoff, e.e_phentsize, sizeof(Elf64_Phdr), e.e_phnum) || e.e_entry > UINT32_MAX)
		return bad(p, "its ELF header is damaged");
	p->entry = (uint32_t)e.e_entry;
	for (uint32_t i = 0; i < e.e_phnum && !rc; i++) {
		Elf64_Phdr h;

		memcpy(&h, (const uint8_t *)boot->image + e.e_phoff + i * (uint64_t)e.e_phentsize, sizeof(h));
		rc = take_segment(p, h.p_type, h.p_offset, h.p_paddr, h.p_filesz, h.p_memsz);
	}
	return rc;
}

static int take_image(struct plan *p)
{
	const struct gamut_boot *boot = p->b->boot;
	const uint8_t *ident = boot->image;
	int rc = read_header(p);

	if (rc)
		return rc;
	if (p->h.flags & FLAG_ADDRESSES)
		return take_addresses(p);
	if (boot->image_size < sizeof(Elf64_Ehdr) || memcmp(ident, ELFMAG, SELFMAG) != 0)
		return bad(p, "it is neither ELF nor says where it is to be loaded");
	return ident[EI_CLASS] == ELFCLASS64 ? take_elf_64(p) : take_elf_32(p);
}

/* ---- the place for the rest ---- */

static bool free_at(const struct plan *p, uint64_t gpa, uint64_t len)
{
	for (uint32_t i = 0; i < p->n_parts; i++) {
		if (gpa < p->part[i].gpa + p->part[i].memsz && p->part[i].gpa < gpa + len)
			return false;
	}
	return true;
}

/* The ramdisk after the image; the information at the end of conventional memory, or after both. */
static int place(struct plan *p)
{
	const struct gamut_boot *boot = p->b->boot;
	uint64_t end = pc_page_up(p->end < 0x100000 ? 0x100000 : p->end);

	p->info_bytes = (uint32_t)(sizeof(struct block) + strlen(boot->cmdline) + 2);
	p->module = end;
	if (boot->ramdisk_size > p->b->low_end || end > p->b->low_end - boot->ramdisk_size)
		return pc_boot_fail(p->b, ENOMEM, "the ramdisk does not fit into the guest's memory");
	end = pc_page_up(end + boot->ramdisk_size);
	p->info = (p->low_top - p->info_bytes) & ~15ull;
	if (p->info_bytes < p->low_top - CONVENTIONAL && free_at(p, p->info, p->info_bytes))
		return 0;
	p->info = end;
	return end + p->info_bytes <= p->b->low_end ?
	               0 :
	               pc_boot_fail(p->b, ENOMEM, "the command line does not fit into the guest's memory");
}

/* ---- writing ---- */

static int put(const struct plan *p, uint64_t gpa, const void *data, uint64_t len)
{
	return len ? p->b->host->mem_write(p->b->inst, gpa, data, len) : 0;
}

static void fill(const struct plan *p, struct block *k)
{
	const struct gamut_boot *boot = p->b->boot;
	uint32_t at = (uint32_t)p->info, text = at + (uint32_t)offsetof(struct block, text);
	size_t len = strlen(boot->cmdline);

	k->info.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MAP | INFO_LOADER | (boot->ramdisk_size ? INFO_MODULES : 0);
	k->info.mem_lower = PC_BOOT_EBDA / 1024;
	k->info.mem_upper = (uint32_t)((p->b->low_end - 0x100000) / 1024);
	k->info.cmdline = text;
	k->info.mods_count = boot->ramdisk_size != 0;
	k->info.mods_addr = at + (uint32_t)offsetof(struct block, module);
	k->info.mmap_length = p->b->n_map * (uint32_t)sizeof(struct map_entry);
	k->info.mmap_addr = at + (uint32_t)offsetof(struct block, map);
	k->info.boot_loader_name = at + (uint32_t)offsetof(struct block, loader);
	k->module.start = (uint32_t)p->module;
	k->module.end = (uint32_t)(p->module + boot->ramdisk_size);
	k->module.string = text + (uint32_t)len + 1;
	for (uint32_t i = 0; i < p->b->n_map; i++)
		k->map[i] = (struct map_entry){ sizeof(struct map_entry) - 4, p->b->map[i].addr, p->b->map[i].size,
			                        p->b->map[i].type };
	memcpy(k->loader, "gamut", 6);
	memcpy(k->text, boot->cmdline, len + 1);
}

/* ---- through the BIOS ---- */

/* All parts as one, with zeros between. *from is where it goes. */
static int flatten(const struct plan *p, uint64_t *from, uint8_t **flat, uint32_t *len)
{
	uint64_t first = UINT64_MAX, end = 0;

	for (uint32_t i = 0; i < p->n_parts; i++) {
		first = p->part[i].gpa < first ? p->part[i].gpa : first;
		end = p->part[i].gpa + p->part[i].memsz > end ? p->part[i].gpa + p->part[i].memsz : end;
	}
	if (!p->n_parts || end - first > FLAT_MAX)
		return bad(p, "its parts lie too far apart for a boot through the BIOS");
	*from = first;
	*len = (uint32_t)(end - first);
	*flat = calloc(1, *len);
	for (uint32_t i = 0; *flat && i < p->n_parts; i++)
		memcpy(*flat + (p->part[i].gpa - first), p->part[i].data, p->part[i].filesz);
	return *flat ? 0 : p->b->host->fail(p->b->inst, ENOMEM, "out of memory");
}

static int give(const struct plan *p, struct fw_cfg *f, uint64_t from, const uint8_t *flat, uint32_t len,
                const struct block *k)
{
	const struct gamut_boot *boot = p->b->boot;
	const struct {
		uint32_t key;
		uint64_t value;
	} numbers[] = {
		{ FW_CFG_KERNEL_ADDR, from },    { FW_CFG_KERNEL_SIZE, len },           { FW_CFG_KERNEL_ENTRY, p->entry },
		{ FW_CFG_CMDLINE_ADDR, p->info }, { FW_CFG_CMDLINE_SIZE, p->info_bytes }, { FW_CFG_INITRD_ADDR, p->module },
		{ FW_CFG_INITRD_SIZE, boot->ramdisk_size },
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !rc; i++)
		rc = fw_cfg_set_int(f, numbers[i].key, numbers[i].value, 4);
	if (!rc)
		rc = fw_cfg_set(f, FW_CFG_KERNEL_DATA, flat, len);
	if (!rc)
		rc = fw_cfg_set(f, FW_CFG_CMDLINE_DATA, k, p->info_bytes);
	return rc ? rc : fw_cfg_refer(f, FW_CFG_INITRD_DATA, boot->ramdisk, (uint32_t)boot->ramdisk_size);
}

static int prepare_bios(struct plan *p, struct fw_cfg *f)
{
	uint8_t *flat = NULL;
	struct block *k;
	uint64_t from = 0;
	uint32_t len = 0;
	int rc = take_image(p);

	if (!rc)
		rc = place(p);
	if (!rc)
		rc = flatten(p, &from, &flat, &len);
	if (rc)
		return rc;
	k = calloc(1, p->info_bytes);
	if (k)
		fill(p, k);
	rc = k ? give(p, f, from, flat, len, k) : -ENOMEM;
	free(k);
	free(flat);
	return rc ? p->b->host->fail(p->b->inst, -rc, "cannot give the kernel to the BIOS: %s", strerror(-rc)) : 0;
}

int pc_multiboot_bios(const struct pc_boot *b, struct fw_cfg *f)
{
	struct pc_boot less = *b;
	struct plan *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return b->host->fail(b->inst, ENOMEM, "out of memory");
	less.low_end -= PC_BOOT_BIOS_MARGIN;
	for (uint32_t i = 0; i < less.n_map; i++) {
		if (less.map[i].addr == 1u << 20)
			less.map[i].size -= PC_BOOT_BIOS_MARGIN;
	}
	p->b = &less;
	p->low_top = BIOS_TOP;
	rc = prepare_bios(p, f);
	free(p);
	return rc;
}

/* ---- directly ---- */

static int write_info(const struct plan *p)
{
	struct block *k = calloc(1, p->info_bytes);
	int rc;

	if (!k)
		return -ENOMEM;
	fill(p, k);
	rc = put(p, p->info, k, p->info_bytes);
	free(k);
	return rc;
}

/* What is not in the file is zero already: memory is, after a reset, too. */
static int write_all(const struct plan *p)
{
	int rc = 0;

	for (uint32_t i = 0; i < p->n_parts && !rc; i++)
		rc = put(p, p->part[i].gpa, p->part[i].data, p->part[i].filesz);
	if (!rc)
		rc = put(p, p->module, p->b->boot->ramdisk, p->b->boot->ramdisk_size);
	return rc ? rc : write_info(p);
}

int pc_multiboot(const struct pc_boot *b, bool load)
{
	struct plan *p = calloc(1, sizeof(*p));
	uint64_t gpr[16] = { [RAX] = LOADED_MAGIC };
	int rc;

	if (!p)
		return b->host->fail(b->inst, ENOMEM, "out of memory");
	p->b = b;
	p->low_top = PC_BOOT_EBDA;
	rc = take_image(p);
	if (!rc)
		rc = place(p);
	if (!rc && load) {
		gpr[RBX] = p->info;
		rc = write_all(p);
		if (!rc)
			rc = pc_start_32(b, p->entry, gpr);
		if (rc)
			pc_boot_fail(b, -rc, "cannot be loaded into the guest");
	}
	free(p);
	return rc;
}
