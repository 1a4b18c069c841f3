/* SPDX-License-Identifier: MIT */
/*
 * Starting a kernel on a PC without its firmware, or handing one to the
 * firmware.
 *
 *   boot-image.c      what a file is
 *   boot-linux.c      the Linux boot protocol's 64-bit and 32-bit entries
 *                     (Documentation/x86/boot.rst)
 *   boot-multiboot.c  Multiboot Specification 0.6.96
 *   boot-bios.c       the Linux boot protocol's 16-bit entry: items for
 *                     linuxboot.S
 *
 * The image comes from a file, hence from anybody: what its headers say is
 * checked before it is used. Guest memory is written below 4 GiB only.
 */
#ifndef DM_PC_BOOT_H
#define DM_PC_BOOT_H

#include <stdbool.h>

#include "dm/pc/fw_cfg.h"
#include "gamut/host.h"

#define PC_BOOT_EBDA 0x9fc00u     /* where conventional memory ends */
#define PC_BOOT_FIRMWARE 0xe0000u /* what firmware's tables are in, up to 1 MiB */
#define PC_BOOT_MAP 10u

enum pc_image {
	PC_IMAGE_NONE,
	PC_IMAGE_LINUX64,   /* a bzImage with a 64-bit entry */
	PC_IMAGE_LINUX32,   /* a bzImage of protocol 2.03 or later */
	PC_IMAGE_LINUX16,   /* an image with a boot sector and a setup, of any age */
	PC_IMAGE_MULTIBOOT,
	PC_IMAGE_UNKNOWN,
};

/* As the boot protocol and firmware have it: 20 bytes. */
struct pc_range {
	uint64_t addr, size;
	uint32_t type;
} __attribute__((packed));

enum { PC_RANGE_RAM = 1, PC_RANGE_RESERVED = 2, PC_RANGE_ACPI = 3 };

struct pc_boot {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_boot *boot;
	uint64_t low_end;                  /* RAM that begins at 0 ends here */
	struct pc_range map[PC_BOOT_MAP];  /* what a kernel is told of memory */
	uint32_t n_map;
	uint32_t rsdp;                     /* guest physical; 0: none */
};

/* boot, low_end and map, from the host. 0 or -errno with host->fail called. [control] */
int pc_boot_init(struct pc_boot *b, const struct gamut_host *host, struct gamut_inst *inst);

/* Names a range that is no RAM in the map, which has room for one more. [control] */
void pc_boot_reserve(struct pc_boot *b, uint64_t addr, uint64_t size);

/* Pure. */
enum pc_image pc_image_kind(const struct gamut_boot *boot);
const char *pc_image_name(enum pc_image kind);

/*
 * Whether the image and its ramdisk fit; and loading, with vCPU 0 set to the
 * entry. Kind as pc_image_kind says: LINUX64, LINUX32 or MULTIBOOT. 0, or
 * what host->fail gave. [control]
 */
int pc_boot_check(const struct pc_boot *b, enum pc_image kind);
int pc_boot_load(const struct pc_boot *b, enum pc_image kind);

/* The items by which linuxboot.S boots a Linux or Multiboot image. 0, or what host->fail gave. [control] */
int pc_boot_bios(const struct pc_boot *b, struct fw_cfg *f);

/* ---- between the files ---- */

int pc_linux(const struct pc_boot *b, bool entry64, bool load);
int pc_multiboot(const struct pc_boot *b, bool load);
int pc_multiboot_bios(const struct pc_boot *b, struct fw_cfg *f);
/* The BIOS keeps its tables at the end of memory: what it may take at most. */
#define PC_BOOT_BIOS_MARGIN (1ull << 20)
/* The image's own sentence through host->fail: "PATH: ..." */
int pc_boot_fail(const struct pc_boot *b, int err, const char *what);
uint64_t pc_page_up(uint64_t x);
/* vCPU 0 in flat 32-bit protected mode without paging, registers as in gpr. 0 or -errno. */
int pc_start_32(const struct pc_boot *b, uint32_t entry, const uint64_t gpr[16]);

#endif
