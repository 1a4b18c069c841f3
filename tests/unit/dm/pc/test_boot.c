/* SPDX-License-Identifier: MIT */
/* Kernels of every kind as files, and the state that the first instruction finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/pc/boot.h"
#include "fake/host-fake.h"

#define RAM (64ull << 20)
#define SETUP_BYTES (5 * 512)
#define KERNEL_BYTES 5000
#define HDR offsetof(struct boot_params, hdr)

static struct host_fake *h;
static struct pc_boot b;
static uint8_t file[SETUP_BYTES + KERNEL_BYTES];
static uint8_t ramdisk[10000];
static struct fw_cfg fw;

static struct setup_header *hdr(void)
{
	return (struct setup_header *)(file + HDR);
}

static void make_linux(uint16_t version, uint16_t xload)
{
	memset(file, 0, sizeof(file));
	memset(file + SETUP_BYTES, 0xcc, KERNEL_BYTES);
	file[0x200] = 0xeb;
	file[0x201] = 0x6c;
	hdr()->setup_sects = 4;
	hdr()->boot_flag = 0xaa55;
	memcpy(file + 0x202, "HdrS", 4);
	hdr()->version = version;
	hdr()->loadflags = LOADED_HIGH;
	hdr()->initrd_addr_max = 0x7fffffff;
	hdr()->kernel_alignment = 0x200000;
	hdr()->relocatable_kernel = 1;
	hdr()->xloadflags = xload;
	hdr()->cmdline_size = 2047;
	hdr()->pref_address = 0x1000000;
	hdr()->init_size = 0x800000;
}

static void give(const void *image, uint64_t len)
{
	h->boot.image = image;
	h->boot.image_size = len;
	h->boot.kernel_path = "kernel";
	h->boot.cmdline = "console=ttyS0";
	h->boot.ramdisk = ramdisk;
	h->boot.ramdisk_size = sizeof(ramdisk);
	assert_int_equal(pc_boot_init(&b, h->host, h->inst), 0);
}

static int setup(void **state)
{
	(void)state;
	h = host_fake_create(RAM, 1);
	memset(ramdisk, 0xdd, sizeof(ramdisk));
	return fw_cfg_init(&fw, h->host, h->inst);
}

static int teardown(void **state)
{
	(void)state;
	fw_cfg_finish(&fw);
	return host_fake_destroy(h) != 0;
}

static void test_kinds(void **state)
{
	uint32_t multiboot[3] = { 0x1badb002, 3, -(0x1badb002 + 3) };

	(void)state;
	give(NULL, 0);
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_NONE);
	make_linux(0x20f, XLF_KERNEL_64);
	give(file, sizeof(file));
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_LINUX64);
	make_linux(0x20f, 0);
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_LINUX32);
	make_linux(0x20b, XLF_KERNEL_64); /* the flags are younger than that */
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_LINUX32);
	make_linux(0x202, 0);
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_LINUX16);
	memcpy(file + 0x202, "\0\0\0\0", 4);
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_LINUX16);
	hdr()->boot_flag = 0;
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_UNKNOWN);
	memcpy(file + 8188 - 8188 % 4 - 4096, multiboot, 12);
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_MULTIBOOT);
	give(file, 7);
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_UNKNOWN);
	give(file, 0x1f8);
	assert_int_equal(pc_image_kind(&h->boot), PC_IMAGE_UNKNOWN);
}

static void test_linux_64(void **state)
{
	struct gamut_vcpu_state *s = &h->vcpu[0].state;
	struct boot_params *z;

	(void)state;
	make_linux(0x20f, XLF_KERNEL_64);
	give(file, sizeof(file));
	b.rsdp = 0xf0040;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_LINUX64), 0);
	assert_int_equal(s->rip, 0);
	assert_int_equal(pc_boot_load(&b, PC_IMAGE_LINUX64), 0);
	assert_int_equal(s->rip, 0x1000200);
	assert_int_equal(s->cr0, 0x80000011);
	assert_int_equal(s->efer, 0x500);
	assert_int_equal(s->cr4, 0x20);
	assert_int_equal(s->seg[GAMUT_CS].selector, 0x10);
	assert_int_equal(s->seg[GAMUT_DS].selector, 0x18);
	assert_int_equal(h->ram[0x1000000], 0xcc);
	z = (void *)(h->ram + s->gpr[6]);
	assert_int_equal(z->acpi_rsdp_addr, 0xf0040);
	assert_int_equal(z->hdr.code32_start, 0x1000000);
	assert_int_equal(z->hdr.type_of_loader, 0xff);
	assert_int_equal(z->sentinel, 0);
	assert_string_equal((char *)h->ram + z->hdr.cmd_line_ptr, "console=ttyS0");
	assert_int_equal(z->hdr.ramdisk_size, sizeof(ramdisk));
	assert_int_equal(z->hdr.ramdisk_image % 4096, 0);
	assert_true(z->hdr.ramdisk_image + sizeof(ramdisk) <= RAM);
	assert_int_equal(h->ram[z->hdr.ramdisk_image + sizeof(ramdisk) - 1], 0xdd);
	assert_int_equal(z->e820_entries, 4);
	assert_int_equal(z->e820_table[0].size, 0x9fc00);
	assert_int_equal(z->e820_table[3].addr + z->e820_table[3].size, RAM);
	/* The tables map what is there one to one. */
	assert_int_equal(*(uint64_t *)(h->ram + s->cr3) & 0xfff, 3);
}

static void test_linux_32(void **state)
{
	struct gamut_vcpu_state *s = &h->vcpu[0].state;

	(void)state;
	make_linux(0x205, 0);
	hdr()->relocatable_kernel = 0;
	give(file, sizeof(file));
	assert_int_equal(pc_boot_load(&b, PC_IMAGE_LINUX32), 0);
	assert_int_equal(s->rip, 0x100000);
	assert_int_equal(s->cr0, 0x11);
	assert_int_equal(s->seg[GAMUT_CS].attr, 0xc09b);
	assert_int_equal(h->ram[0x100000], 0xcc);
}

/* Too large for where it wants to be: it moves; too large altogether: refused. */
static void test_linux_place(void **state)
{
	struct gamut_vcpu_state *s = &h->vcpu[0].state;

	(void)state;
	make_linux(0x20f, XLF_KERNEL_64);
	hdr()->init_size = (uint32_t)RAM - 0x800000;
	give(file, sizeof(file));
	assert_int_equal(pc_boot_load(&b, PC_IMAGE_LINUX64), 0);
	assert_int_equal(s->rip, 0x200200);
	hdr()->init_size = (uint32_t)RAM;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_LINUX64), -ENOMEM);
	hdr()->init_size = UINT32_MAX;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_LINUX64), -ENOMEM);
	hdr()->init_size = 0x800000;
	hdr()->pref_address = UINT64_MAX;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_LINUX64), 0);
	hdr()->relocatable_kernel = 0;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_LINUX64), -ENOMEM);
	hdr()->pref_address = 0x1000000;
	hdr()->initrd_addr_max = 0x17fffff; /* all of it is the kernel's */
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_LINUX64), -ENOMEM);
	hdr()->initrd_addr_max = 0;
	hdr()->cmdline_size = 4;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_LINUX64), -E2BIG);
	give(file, SETUP_BYTES);
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_LINUX64), -ENOEXEC);
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_UNKNOWN), -ENOEXEC);
}

/* ---- multiboot ---- */

struct elf {
	Elf32_Ehdr e;
	Elf32_Phdr p[2];
	uint32_t magic, flags, checksum;
	uint8_t text[16];
};

static struct elf elf;

static void make_elf(void)
{
	memset(&elf, 0, sizeof(elf));
	memcpy(elf.e.e_ident, ELFMAG, SELFMAG);
	elf.e.e_ident[EI_CLASS] = ELFCLASS32;
	elf.e.e_entry = 0x400010;
	elf.e.e_phoff = offsetof(struct elf, p);
	elf.e.e_phentsize = sizeof(Elf32_Phdr);
	elf.e.e_phnum = 2;
	elf.p[0] = (Elf32_Phdr){ .p_type = PT_LOAD, .p_offset = offsetof(struct elf, text), .p_paddr = 0x400000,
		                 .p_filesz = 16, .p_memsz = 0x2000 };
	elf.p[1] = (Elf32_Phdr){ .p_type = PT_NOTE, .p_offset = UINT32_MAX };
	elf.magic = 0x1badb002;
	elf.checksum = -elf.magic;
	memset(elf.text, 0xaa, 16);
	give(&elf, sizeof(elf));
}

static void test_multiboot(void **state)
{
	struct gamut_vcpu_state *s = &h->vcpu[0].state;
	uint32_t *info, *mod;

	(void)state;
	make_elf();
	assert_int_equal(pc_boot_load(&b, PC_IMAGE_MULTIBOOT), 0);
	assert_int_equal(s->rip, 0x400010);
	assert_int_equal(s->gpr[0], 0x2badb002);
	assert_int_equal(h->ram[0x40000f], 0xaa);
	info = (uint32_t *)(h->ram + s->gpr[3]);
	assert_int_equal(info[0], 0x24d);
	assert_int_equal(info[2], (RAM - 0x100000) / 1024);
	assert_string_equal((char *)h->ram + info[4], "console=ttyS0");
	assert_int_equal(info[5], 1);
	mod = (uint32_t *)(h->ram + info[6]);
	assert_int_equal(mod[0], 0x402000);
	assert_int_equal(mod[1] - mod[0], sizeof(ramdisk));
	assert_int_equal(h->ram[mod[0]], 0xdd);
	assert_int_equal(info[11], b.n_map * 24);
	assert_int_equal(*(uint32_t *)(h->ram + info[12]), 20);
}

static void test_multiboot_bad(void **state)
{
	(void)state;
	make_elf();
	elf.p[0].p_offset = UINT32_MAX;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	make_elf();
	elf.p[0].p_paddr = (uint32_t)RAM - 0x1000;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	make_elf();
	elf.p[0].p_paddr = 0x9f000;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	make_elf();
	elf.e.e_phnum = 60000;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	make_elf();
	elf.e.e_phentsize = 4;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	make_elf();
	elf.p[0].p_filesz = 0x3000;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	make_elf();
	elf.flags = 8;
	elf.checksum = -(elf.magic + elf.flags);
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	make_elf();
	h->boot.ramdisk_size = RAM;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOMEM);
}

/* Addresses in the header itself. */
static void test_multiboot_addresses(void **state)
{
	uint32_t image[64] = { 0 };
	struct gamut_vcpu_state *s = &h->vcpu[0].state;

	(void)state;
	image[4] = 0x1badb002;
	image[5] = 1u << 16;
	image[6] = -(image[4] + image[5]);
	image[7] = 0x200010;  /* header */
	image[8] = 0x200008;  /* load: eight bytes before it */
	image[9] = 0x200040;
	image[10] = 0x201000;
	image[11] = 0x200020;
	give(image, sizeof(image));
	assert_int_equal(pc_boot_load(&b, PC_IMAGE_MULTIBOOT), 0);
	assert_int_equal(s->rip, 0x200020);
	assert_int_equal(*(uint32_t *)(h->ram + 0x200010), 0x1badb002);
	image[8] = 0x1ff000; /* before the file begins */
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	image[8] = 0x200014; /* after the header */
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	image[8] = 0x200008;
	image[9] = 0x300000; /* more than the file has */
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	image[9] = 0x200000;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOEXEC);
	image[9] = 0;
	image[10] = 0;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), 0);
}

/* ---- through the BIOS ---- */

static uint32_t item(uint32_t key)
{
	uint32_t value = 0;

	memcpy(&value, fw.item[key].data, 4);
	return value;
}

static void test_bios(void **state)
{
	struct setup_header *s;
	uint8_t total = 0;

	(void)state;
	make_linux(0x20f, 0);
	give(file, sizeof(file));
	assert_int_equal(pc_boot_bios(&b, &fw), 0);
	assert_int_equal(item(FW_CFG_SETUP_ADDR), 0x10000);
	assert_int_equal(item(FW_CFG_CMDLINE_ADDR), 0x20000);
	assert_int_equal(item(FW_CFG_KERNEL_ADDR), 0x100000);
	assert_int_equal(item(FW_CFG_KERNEL_SIZE), KERNEL_BYTES);
	assert_int_equal(fw.item[FW_CFG_KERNEL_DATA].data[0], 0xcc);
	s = (void *)(fw.item[FW_CFG_SETUP_DATA].data + HDR);
	assert_int_equal(s->cmd_line_ptr, 0x20000);
	assert_int_equal(s->ramdisk_image, item(FW_CFG_INITRD_ADDR));
	assert_true(s->ramdisk_image + sizeof(ramdisk) <= RAM - (1 << 20));
	assert_int_equal(s->loadflags & CAN_USE_HEAP, CAN_USE_HEAP);
	assert_int_equal(hdr()->cmd_line_ptr, 0); /* the file itself is as it was */
	/* The option ROM sums up to zero, and says how long it is. */
	for (uint32_t i = 0; i < fw.item[FW_CFG_FILE_FIRST].len; i++)
		total = (uint8_t)(total + fw.item[FW_CFG_FILE_FIRST].data[i]);
	assert_int_equal(total, 0);
	assert_int_equal(fw.item[FW_CFG_FILE_FIRST].data[0], 0x55);
	assert_int_equal(fw.item[FW_CFG_FILE_FIRST].data[2] * 512, fw.item[FW_CFG_FILE_FIRST].len);
	assert_memory_equal(fw.item[FW_CFG_FILE_FIRST].data + fw.item[FW_CFG_FILE_FIRST].data[0x1a], "$PnP", 4);
}

/* Its size cut to 32 bits would be that of one that fits. */
static void test_large_ramdisk(void **state)
{
	(void)state;
	make_linux(0x20f, 0);
	give(file, sizeof(file));
	h->boot.ramdisk_size = (1ull << 32) + sizeof(ramdisk);
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_LINUX64), -ENOMEM);
	assert_int_equal(pc_boot_bios(&b, &fw), -ENOMEM);
	assert_non_null(strstr(h->last_fail, "ramdisk"));
	make_elf();
	h->boot.ramdisk_size = (1ull << 32) + sizeof(ramdisk);
	h->last_fail[0] = 0;
	assert_int_equal(pc_boot_check(&b, PC_IMAGE_MULTIBOOT), -ENOMEM);
	assert_int_equal(pc_boot_bios(&b, &fw), -ENOMEM);
	assert_non_null(strstr(h->last_fail, "ramdisk"));
}

/* From before there was a header. */
static void test_bios_old(void **state)
{
	(void)state;
	make_linux(0, 0);
	memset(file + 0x202, 0, 4);
	give(file, sizeof(file));
	assert_int_equal(pc_boot_bios(&b, &fw), -EINVAL); /* no ramdisk then */
	h->boot.ramdisk_size = 0;
	assert_int_equal(pc_boot_bios(&b, &fw), 0);
	assert_int_equal(item(FW_CFG_SETUP_ADDR), 0x90000);
	assert_int_equal(item(FW_CFG_KERNEL_ADDR), 0x10000);
	assert_int_equal(item(FW_CFG_CMDLINE_ADDR), 0x9a000 - 16);
	assert_int_equal(*(uint16_t *)(fw.item[FW_CFG_SETUP_DATA].data + 0x20), 0xa33f);
	assert_int_equal(*(uint16_t *)(fw.item[FW_CFG_SETUP_DATA].data + 0x22), 0x9a000 - 16 - 0x90000);
}

static void test_bios_multiboot(void **state)
{
	const uint32_t *info;

	(void)state;
	make_elf();
	assert_int_equal(pc_boot_bios(&b, &fw), 0);
	assert_int_equal(item(FW_CFG_KERNEL_ENTRY), 0x400010);
	assert_int_equal(item(FW_CFG_KERNEL_ADDR), 0x400000);
	assert_int_equal(item(FW_CFG_KERNEL_SIZE), 0x2000);
	assert_int_equal(fw.item[FW_CFG_KERNEL_DATA].data[15], 0xaa);
	assert_int_equal(fw.item[FW_CFG_KERNEL_DATA].data[16], 0);
	assert_int_equal(item(FW_CFG_INITRD_ADDR), 0x402000);
	assert_true(item(FW_CFG_CMDLINE_ADDR) + item(FW_CFG_CMDLINE_SIZE) <= 0x80000);
	info = (const uint32_t *)fw.item[FW_CFG_CMDLINE_DATA].data;
	assert_int_equal(info[2], (RAM - 0x200000) / 1024); /* the BIOS's share is taken off */
	assert_string_equal((const char *)fw.item[FW_CFG_CMDLINE_DATA].data + (info[4] - item(FW_CFG_CMDLINE_ADDR)),
	                    "console=ttyS0");
	elf.p[1] = elf.p[0];
	elf.p[1].p_paddr = (uint32_t)RAM - 0x200000;
	elf.p[0].p_paddr = 0x1000;
	assert_int_equal(pc_boot_bios(&b, &fw), 0);
	elf.p[1].p_paddr = (uint32_t)RAM - 0x100000; /* where the BIOS is */
	assert_int_equal(pc_boot_bios(&b, &fw), -ENOEXEC);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(kinds), T(linux_64), T(linux_32), T(linux_place), T(multiboot), T(multiboot_bad), T(multiboot_addresses),
		T(large_ramdisk), T(bios), T(bios_old), T(bios_multiboot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
