/* SPDX-License-Identifier: MIT */
#include "dm/pc/boot.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define HDRS 0x53726448u
#define HEADER_AT offsetof(struct boot_params, hdr)
#define OLD_CMDLINE_MAGIC 0xa33fu /* at 0x20 and 0x22 of the boot sector, before protocol 2.02 */
#define LOADER_UNDEFINED 0xffu
#define INITRD_MAX_DEFAULT 0x37ffffffull

#define ROM_FILE "genroms/linuxboot.bin"

extern const uint8_t linuxboot_rom[], linuxboot_rom_end[];

struct plan {
	const struct pc_boot *b;
	uint8_t *setup; /* a copy that is changed */
	uint32_t setup_bytes;
	struct setup_header h;
	uint32_t protocol;
	uint32_t setup_at, cmdline_at, kernel_at, ramdisk_at;
	uint32_t kernel_bytes, cmdline_bytes;
};

static int read_image(struct plan *p)
{
	const struct gamut_boot *boot = p->b->boot;
	uint64_t left = boot->image_size - HEADER_AT;

	memcpy(&p->h, (const uint8_t *)boot->image + HEADER_AT, left < sizeof(p->h) ? left : sizeof(p->h));
	p->protocol = p->h.header == HDRS ? p->h.version : 0;
	p->setup_bytes = (1u + (p->h.setup_sects ? p->h.setup_sects : 4)) * SECTOR;
	if (p->setup_bytes >= boot->image_size || boot->image_size > UINT32_MAX)
		return pc_boot_fail(p->b, ENOEXEC, "the file is too short or too long for what its boot sector says");
	p->kernel_bytes = (uint32_t)boot->image_size - p->setup_bytes;
	p->cmdline_bytes = ((uint32_t)strlen(boot->cmdline) + 1 + 15) & ~15u;
	if (p->cmdline_bytes > 4096)
		return pc_boot_fail(p->b, E2BIG, "boot.cmdline is too long for a boot through the BIOS");
	return 0;
}

/* Where the boot protocol of that age has them. */
static void place(struct plan *p)
{
	bool high = p->protocol >= 0x200 && p->h.loadflags & LOADED_HIGH;

	p->setup_at = p->protocol >= 0x202 && high ? 0x10000 : 0x90000;
	p->cmdline_at = p->protocol >= 0x202 && high ? 0x20000 : 0x9a000 - p->cmdline_bytes;
	p->kernel_at = high ? 0x100000 : 0x10000;
}

static int place_ramdisk(struct plan *p)
{
	uint64_t size = p->b->boot->ramdisk_size, top = INITRD_MAX_DEFAULT + 1;

	if (!size)
		return 0;
	if (p->protocol < 0x200)
		return pc_boot_fail(p->b, EINVAL, "an image of its age takes no ramdisk");
	if (p->protocol >= 0x203 && p->h.initrd_addr_max)
		top = (uint64_t)p->h.initrd_addr_max + 1;
	if (top > p->b->low_end - PC_BOOT_BIOS_MARGIN)
		top = p->b->low_end - PC_BOOT_BIOS_MARGIN;
	if (size > top || ((top - size) & ~4095ull) < (uint64_t)p->kernel_at + p->kernel_bytes)
		return pc_boot_fail(p->b, ENOMEM, "kernel and ramdisk do not fit into the guest's memory");
	p->ramdisk_at = (uint32_t)((top - size) & ~4095ull);
	return 0;
}

static int check_kernel(const struct plan *p)
{
	uint64_t end = p->kernel_at < 0x100000 ? p->setup_at : p->b->low_end - PC_BOOT_BIOS_MARGIN;

	if (p->kernel_at < end && p->kernel_bytes <= end - p->kernel_at)
		return 0;
	return pc_boot_fail(p->b, ENOMEM, "the kernel does not fit into the guest's memory");
}

static void fill_setup(struct plan *p)
{
	uint16_t magic = OLD_CMDLINE_MAGIC, offset = (uint16_t)(p->cmdline_at - p->setup_at);

	memcpy(p->setup, p->b->boot->image, p->setup_bytes);
	if (p->protocol < 0x202) {
		memcpy(p->setup + 0x20, &magic, 2);
		memcpy(p->setup + 0x22, &offset, 2);
	}
	if (p->protocol < 0x200)
		return;
	p->h.type_of_loader = LOADER_UNDEFINED;
	if (p->protocol >= 0x201) {
		p->h.heap_end_ptr = (uint16_t)(p->cmdline_at - p->setup_at - 0x200 > 0xfe00 ?
		                                       0xfe00 - 0x200 :
		                                       p->cmdline_at - p->setup_at - 0x200);
		p->h.loadflags |= CAN_USE_HEAP;
	}
	if (p->protocol >= 0x202)
		p->h.cmd_line_ptr = p->cmdline_at;
	p->h.ramdisk_image = p->ramdisk_at;
	p->h.ramdisk_size = p->ramdisk_at ? (uint32_t)p->b->boot->ramdisk_size : 0;
	/* What of the header there is; the rest is code. */
	memcpy(p->setup + HEADER_AT, &p->h, offsetof(struct setup_header, cmd_line_ptr) + (p->protocol >= 0x202 ? 4 : 0));
}

static int give_numbers(const struct plan *p, struct fw_cfg *f)
{
	const struct {
		uint32_t key, value;
	} numbers[] = {
		{ FW_CFG_KERNEL_ADDR, p->kernel_at },   { FW_CFG_KERNEL_SIZE, p->kernel_bytes },
		{ FW_CFG_SETUP_ADDR, p->setup_at },     { FW_CFG_SETUP_SIZE, p->setup_bytes },
		{ FW_CFG_CMDLINE_ADDR, p->cmdline_at }, { FW_CFG_CMDLINE_SIZE, (uint32_t)strlen(p->b->boot->cmdline) + 1 },
		{ FW_CFG_INITRD_ADDR, p->ramdisk_at },  { FW_CFG_INITRD_SIZE, p->ramdisk_at ? (uint32_t)p->b->boot->ramdisk_size : 0 },
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !rc; i++)
		rc = fw_cfg_set_int(f, numbers[i].key, numbers[i].value, 4);
	return rc;
}

static int give_rom(struct fw_cfg *f)
{
	uint32_t len = (uint32_t)(linuxboot_rom_end - linuxboot_rom);
	uint8_t *rom = malloc(len), sum = 0;
	int rc;

	if (!rom)
		return -ENOMEM;
	memcpy(rom, linuxboot_rom, len);
	for (uint32_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + rom[i]);
	rom[len - 1] = (uint8_t)(rom[len - 1] - sum);
	rc = fw_cfg_file(f, ROM_FILE, rom, len, 1);
	free(rom);
	return rc;
}

static int give(const struct plan *p, struct fw_cfg *f)
{
	const struct gamut_boot *boot = p->b->boot;
	int rc = give_numbers(p, f);

	if (!rc)
		rc = fw_cfg_refer(f, FW_CFG_KERNEL_DATA, (const uint8_t *)boot->image + p->setup_bytes, p->kernel_bytes);
	if (!rc && p->ramdisk_at)
		rc = fw_cfg_refer(f, FW_CFG_INITRD_DATA, boot->ramdisk, (uint32_t)boot->ramdisk_size);
	if (!rc)
		rc = fw_cfg_set(f, FW_CFG_CMDLINE_DATA, boot->cmdline, (uint32_t)strlen(boot->cmdline) + 1);
	if (!rc)
		rc = fw_cfg_set(f, FW_CFG_SETUP_DATA, p->setup, p->setup_bytes);
	return rc;
}

static int boot_linux(const struct pc_boot *b, struct fw_cfg *f)
{
	struct plan p = { .b = b };
	int rc = read_image(&p);

	if (rc)
		return rc;
	place(&p);
	rc = check_kernel(&p);
	if (!rc)
		rc = place_ramdisk(&p);
	if (rc)
		return rc;
	p.setup = malloc(p.setup_bytes);
	if (!p.setup)
		return b->host->fail(b->inst, ENOMEM, "out of memory");
	fill_setup(&p);
	rc = give(&p, f);
	free(p.setup);
	return rc ? b->host->fail(b->inst, -rc, "cannot give the kernel to the BIOS: %s", strerror(-rc)) : 0;
}

int pc_boot_bios(const struct pc_boot *b, struct fw_cfg *f)
{
	bool multiboot = pc_image_kind(b->boot) == PC_IMAGE_MULTIBOOT;
	int rc = multiboot ? pc_multiboot_bios(b, f) : boot_linux(b, f);

	if (rc)
		return rc;
	rc = give_rom(f);
	return rc ? b->host->fail(b->inst, -rc, "cannot give the boot ROM to the BIOS: %s", strerror(-rc)) : 0;
}
