/* SPDX-License-Identifier: MIT */
#include "dm/pc/boot.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define BOOT_FLAG 0xaa55u
#define HDRS 0x53726448u
#define HEADER_AT offsetof(struct boot_params, hdr)
#define SECTOR 512u
#define PROTOCOL_32 0x0203u
#define PROTOCOL_64 0x020cu
#define LOW_LIMIT (1ull << 32)

#define MULTIBOOT_MAGIC 0x1badb002u
#define MULTIBOOT_SEARCH 8192u

/* ---- what it is ---- */

static bool is_multiboot(const struct gamut_boot *boot)
{
	const uint8_t *p = boot->image;

	for (uint32_t at = 0; at + 12 <= boot->image_size && at + 12 <= MULTIBOOT_SEARCH; at += 4) {
		uint32_t h[3];

		memcpy(h, p + at, sizeof(h));
		if (h[0] == MULTIBOOT_MAGIC && !(h[0] + h[1] + h[2]))
			return true;
	}
	return false;
}

static enum pc_image linux_kind(const struct gamut_boot *boot)
{
	struct setup_header h = { 0 };
	size_t left = boot->image_size - HEADER_AT;

	memcpy(&h, (const uint8_t *)boot->image + HEADER_AT, left < sizeof(h) ? left : sizeof(h));
	if (h.boot_flag != BOOT_FLAG)
		return PC_IMAGE_UNKNOWN;
	if (h.header != HDRS || h.version < PROTOCOL_32 || !(h.loadflags & LOADED_HIGH))
		return PC_IMAGE_LINUX16;
	return h.version >= PROTOCOL_64 && h.xloadflags & XLF_KERNEL_64 ? PC_IMAGE_LINUX64 : PC_IMAGE_LINUX32;
}

enum pc_image pc_image_kind(const struct gamut_boot *boot)
{
	if (!boot->image)
		return PC_IMAGE_NONE;
	if (is_multiboot(boot))
		return PC_IMAGE_MULTIBOOT;
	return boot->image_size >= 2 * SECTOR ? linux_kind(boot) : PC_IMAGE_UNKNOWN;
}

const char *pc_image_name(enum pc_image kind)
{
	static const char *const names[] = {
		[PC_IMAGE_NONE] = "no kernel",
		[PC_IMAGE_LINUX64] = "a Linux image with a 64-bit entry",
		[PC_IMAGE_LINUX32] = "a Linux image with a 32-bit entry",
		[PC_IMAGE_LINUX16] = "an image with a 16-bit entry",
		[PC_IMAGE_MULTIBOOT] = "a Multiboot image",
		[PC_IMAGE_UNKNOWN] = "an image of no kind that is known",
	};

	return names[kind];
}

/* ---- what all of them need ---- */

int pc_boot_fail(const struct pc_boot *b, int err, const char *what)
{
	return b->host->fail(b->inst, err, "%s: %s", b->boot->kernel_path, what);
}

uint64_t pc_page_up(uint64_t x)
{
	return (x + 4095) & ~4095ull;
}

static void add(struct pc_boot *b, uint64_t from, uint64_t to, uint32_t type)
{
	if (to > from && b->n_map < PC_BOOT_MAP)
		b->map[b->n_map++] = (struct pc_range){ from, to - from, type };
}

int pc_boot_init(struct pc_boot *b, const struct gamut_host *host, struct gamut_inst *inst)
{
	struct gamut_mem_range ram[PC_BOOT_MAP];
	uint32_t n = host->mem_ranges(inst, ram, PC_BOOT_MAP);

	*b = (struct pc_boot){ .host = host, .inst = inst, .boot = host->boot(inst) };
	if (!n || n > 4 || ram[0].gpa || ram[0].size <= 1u << 20 || ram[0].size > LOW_LIMIT)
		return host->fail(inst, EINVAL, "the guest's memory has %u ranges, which is not a PC's", n);
	b->low_end = ram[0].size;
	add(b, 0, PC_BOOT_EBDA, PC_RANGE_RAM);
	add(b, PC_BOOT_EBDA, 0xa0000, PC_RANGE_RESERVED);
	add(b, PC_BOOT_FIRMWARE, 1u << 20, PC_RANGE_RESERVED);
	add(b, 1u << 20, b->low_end, PC_RANGE_RAM);
	for (uint32_t i = 1; i < n; i++)
		add(b, ram[i].gpa, ram[i].gpa + ram[i].size, PC_RANGE_RAM);
	return 0;
}

void pc_boot_reserve(struct pc_boot *b, uint64_t addr, uint64_t size)
{
	uint32_t at = b->n_map;

	add(b, addr, addr + size, PC_RANGE_RESERVED);
	for (; at && at < b->n_map && b->map[at - 1].addr > addr; at--) {
		const struct pc_range later = b->map[at - 1];

		b->map[at - 1] = b->map[at];
		b->map[at] = later;
	}
}

#define CR0_PE 1u
#define CR0_ET 16u /* hard-wired */
#define ATTR_CODE 0xc09bu
#define ATTR_DATA 0xc093u
#define ATTR_TSS 0x8bu
#define ATTR_UNUSABLE 0x10000u
#define SELECTOR_CODE 0x10u
#define SELECTOR_DATA 0x18u

int pc_start_32(const struct pc_boot *b, uint32_t entry, const uint64_t gpr[16])
{
	static const struct gamut_segment data = { .limit = UINT32_MAX, .selector = SELECTOR_DATA, .attr = ATTR_DATA };
	struct gamut_vcpu_state s = { .size = sizeof(s), .rip = entry, .rflags = 2, .cr0 = CR0_PE | CR0_ET };

	memcpy(s.gpr, gpr, sizeof(s.gpr));
	for (int i = 0; i < GAMUT_SEG_COUNT; i++)
		s.seg[i] = data;
	s.seg[GAMUT_CS].selector = SELECTOR_CODE;
	s.seg[GAMUT_CS].attr = ATTR_CODE;
	s.seg[GAMUT_LDTR] = (struct gamut_segment){ .attr = ATTR_UNUSABLE };
	s.seg[GAMUT_TR] = (struct gamut_segment){ .limit = 0x67, .attr = ATTR_TSS };
	s.dr[6] = 0xffff0ff0;
	s.dr[7] = 0x400;
	return b->host->vcpu_set(b->inst, 0, &s);
}

static int boot(const struct pc_boot *b, enum pc_image kind, bool load)
{
	switch (kind) {
	case PC_IMAGE_LINUX64:
		return pc_linux(b, true, load);
	case PC_IMAGE_LINUX32:
		return pc_linux(b, false, load);
	case PC_IMAGE_MULTIBOOT:
		return pc_multiboot(b, load);
	default:
		return b->host->fail(b->inst, ENOEXEC, "%s is %s, which cannot be started without firmware",
		                     b->boot->kernel_path, pc_image_name(kind));
	}
}

int pc_boot_check(const struct pc_boot *b, enum pc_image kind)
{
	return boot(b, kind, false);
}

int pc_boot_load(const struct pc_boot *b, enum pc_image kind)
{
	return boot(b, kind, true);
}
