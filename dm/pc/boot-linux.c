/* SPDX-License-Identifier: MIT */
#include "dm/pc/boot.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Conventional memory: ours until the kernel has read it. */
#define GDT_AT 0x1000u
#define TABLES_AT 0x2000u /* six pages */
#define STACK_AT 0x9000u
#define ZERO_PAGE 0x10000u
#define CMDLINE 0x20000u
#define CMDLINE_MAX (PC_BOOT_EBDA - CMDLINE)

#define PAGE 4096u
#define SECTOR 512u
#define PROTOCOL_INITRD_MAX 0x0203u
#define PROTOCOL_CMDLINE_SIZE 0x0206u
#define PROTOCOL_INIT_SIZE 0x020au
#define PROTOCOL_RELOCATABLE 0x0205u
#define INITRD_MAX_DEFAULT 0x37ffffffu
#define CMDLINE_DEFAULT 255u
#define LOADER_UNDEFINED 0xffu
#define ENTRY_64 0x200u
#define KERNEL_AT 0x100000u

#define CR0_PE 1ull
#define CR0_ET 16ull
#define CR0_PG (1ull << 31)
#define CR4_PAE 32ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define PTE_PW 3u
#define PTE_LARGE 0x80u

enum { RSP = 4, RSI = 6 };

struct plan {
	const struct pc_boot *b;
	struct setup_header h;
	uint32_t setup_bytes;       /* of the file before the kernel proper */
	uint64_t kernel, kernel_bytes, room;
	uint64_t ramdisk;
};

/* ---- the image ---- */

static int read_header(struct plan *p)
{
	const struct gamut_boot *boot = p->b->boot;
	const uint8_t *image = boot->image;
	size_t at = offsetof(struct boot_params, hdr), len = sizeof(p->h), end;

	/* The jump at 0x200 goes over the header, and so says how long it is. */
	end = 0x202 + (size_t)image[0x201];
	if (end > at && end - at < len)
		len = end - at;
	memcpy(&p->h, image + at, len);
	p->setup_bytes = (1u + (p->h.setup_sects ? p->h.setup_sects : 4)) * SECTOR;
	if (p->setup_bytes >= boot->image_size)
		return pc_boot_fail(p->b, ENOEXEC, "the file ends before its kernel begins");
	p->kernel_bytes = boot->image_size - p->setup_bytes;
	return 0;
}

/* Where it prefers to be, when that is there; a kernel that cannot move has no choice. */
static void place_kernel(struct plan *p)
{
	bool sized = p->h.version >= PROTOCOL_INIT_SIZE;
	uint64_t align = p->h.kernel_alignment, wanted = sized ? p->h.pref_address : KERNEL_AT;

	p->room = sized && p->h.init_size > p->kernel_bytes ? p->h.init_size : p->kernel_bytes;
	p->kernel = wanted < KERNEL_AT ? KERNEL_AT : wanted;
	if (p->h.version < PROTOCOL_RELOCATABLE || !p->h.relocatable_kernel || !align || align & (align - 1))
		return;
	if (p->kernel > p->b->low_end || p->room > p->b->low_end - p->kernel)
		p->kernel = (KERNEL_AT + align - 1) & ~(align - 1);
}

static int no_room(const struct plan *p, const char *what)
{
	return p->b->host->fail(p->b->inst, ENOMEM, "%s: %s does not fit into %llu MiB of memory", p->b->boot->kernel_path,
	                        what, (unsigned long long)(p->b->low_end >> 20));
}

/* As high as may be, so that nothing the kernel does early runs into it. */
static int place_ramdisk(struct plan *p)
{
	uint64_t size = p->b->boot->ramdisk_size, top = (uint64_t)INITRD_MAX_DEFAULT + 1;

	if (!size)
		return 0;
	if (p->h.version >= PROTOCOL_INITRD_MAX && p->h.initrd_addr_max)
		top = (uint64_t)p->h.initrd_addr_max + 1;
	if (top > p->b->low_end)
		top = p->b->low_end;
	if (size > top || ((top - size) & ~(uint64_t)(PAGE - 1)) < p->kernel + p->room)
		return no_room(p, "the ramdisk");
	p->ramdisk = (top - size) & ~(uint64_t)(PAGE - 1);
	return 0;
}

static int check_cmdline(const struct plan *p)
{
	uint64_t max = p->h.version >= PROTOCOL_CMDLINE_SIZE && p->h.cmdline_size ? p->h.cmdline_size : CMDLINE_DEFAULT;
	size_t len = strlen(p->b->boot->cmdline);

	if (len <= max && len < CMDLINE_MAX)
		return 0;
	return p->b->host->fail(p->b->inst, E2BIG, "boot.cmdline has %zu characters, and %s takes %llu", len,
	                        p->b->boot->kernel_path, (unsigned long long)max);
}

static int make_plan(struct plan *p, const struct pc_boot *b)
{
	int rc;

	*p = (struct plan){ .b = b };
	rc = read_header(p);
	if (rc)
		return rc;
	place_kernel(p);
	if (p->kernel > b->low_end || p->room > b->low_end - p->kernel)
		return no_room(p, "the kernel");
	rc = place_ramdisk(p);
	return rc ? rc : check_cmdline(p);
}

/* ---- writing ---- */

static int put(const struct plan *p, uint64_t gpa, const void *data, uint64_t len)
{
	return len ? p->b->host->mem_write(p->b->inst, gpa, data, len) : 0;
}

static void fill_header(const struct plan *p, struct setup_header *h)
{
	*h = p->h;
	h->type_of_loader = LOADER_UNDEFINED;
	h->loadflags &= (uint8_t)~CAN_USE_HEAP;
	h->code32_start = (uint32_t)p->kernel;
	h->cmd_line_ptr = CMDLINE;
	h->ramdisk_image = (uint32_t)p->ramdisk;
	h->ramdisk_size = p->ramdisk ? (uint32_t)p->b->boot->ramdisk_size : 0;
}

_Static_assert(sizeof(struct pc_range) == sizeof(struct boot_e820_entry), "e820 entries");

/* The screen as it is: vga_text_mode. */
static const struct screen_info text_screen = {
	.orig_video_mode = 3,
	.orig_video_cols = 80,
	.orig_video_lines = 25,
	.orig_video_isVGA = 1, /* VIDEO_TYPE_VGAC */
	.orig_video_points = 16,
};

static int write_zero_page(const struct plan *p)
{
	struct boot_params *z = calloc(1, sizeof(*z));
	int rc;

	if (!z)
		return -ENOMEM;
	fill_header(p, &z->hdr);
	z->screen_info = text_screen;
	z->acpi_rsdp_addr = p->b->rsdp;
	z->e820_entries = (uint8_t)p->b->n_map;
	memcpy(z->e820_table, p->b->map, p->b->n_map * sizeof(p->b->map[0]));
	rc = put(p, ZERO_PAGE, z, sizeof(*z));
	free(z);
	return rc;
}

/* The first 4 GiB as they are, in pages of 2 MiB. */
static int write_tables(const struct plan *p)
{
	uint64_t *t = calloc(6, PAGE);
	int rc;

	if (!t)
		return -ENOMEM;
	t[0] = (TABLES_AT + PAGE) | PTE_PW;
	for (uint64_t i = 0; i < 4; i++)
		t[512 + i] = (TABLES_AT + (2 + i) * PAGE) | PTE_PW;
	for (uint64_t i = 0; i < 4 * 512; i++)
		t[1024 + i] = i << 21 | PTE_PW | PTE_LARGE;
	rc = put(p, TABLES_AT, t, 6 * PAGE);
	free(t);
	return rc;
}

static int write_gdt(const struct plan *p)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };

	return put(p, GDT_AT, gdt, sizeof(gdt));
}

static int write_all(const struct plan *p)
{
	const struct gamut_boot *boot = p->b->boot;
	int rc = put(p, p->kernel, (const uint8_t *)boot->image + p->setup_bytes, p->kernel_bytes);

	if (!rc)
		rc = put(p, p->ramdisk, boot->ramdisk, p->ramdisk ? boot->ramdisk_size : 0);
	if (!rc)
		rc = put(p, CMDLINE, boot->cmdline, strlen(boot->cmdline) + 1);
	return rc ? rc : write_zero_page(p);
}

/* ---- vCPU 0 ---- */

#define ATTR_CODE_64 0xa09bu
#define ATTR_DATA 0xc093u
#define ATTR_TSS 0x8bu
#define ATTR_UNUSABLE 0x10000u

static int start_64(const struct plan *p)
{
	static const struct gamut_segment data = { .limit = UINT32_MAX, .selector = 0x18, .attr = ATTR_DATA };
	struct gamut_vcpu_state s = { .size = sizeof(s), .rip = p->kernel + ENTRY_64, .rflags = 2 };
	int rc = write_tables(p);

	if (!rc)
		rc = write_gdt(p);
	if (rc)
		return rc;
	for (int i = 0; i < GAMUT_SEG_COUNT; i++)
		s.seg[i] = data;
	s.seg[GAMUT_CS].selector = 0x10;
	s.seg[GAMUT_CS].attr = ATTR_CODE_64;
	s.seg[GAMUT_LDTR] = (struct gamut_segment){ .attr = ATTR_UNUSABLE };
	s.seg[GAMUT_TR] = (struct gamut_segment){ .limit = 0x67, .attr = ATTR_TSS };
	s.gpr[RSI] = ZERO_PAGE;
	s.gpr[RSP] = STACK_AT;
	s.gdt = (struct gamut_table){ .base = GDT_AT, .limit = 31 };
	s.cr0 = CR0_PE | CR0_ET | CR0_PG;
	s.cr3 = TABLES_AT;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	s.dr[6] = 0xffff0ff0;
	s.dr[7] = 0x400;
	return p->b->host->vcpu_set(p->b->inst, 0, &s);
}

static int start_32(const struct plan *p)
{
	const uint64_t gpr[16] = { [RSI] = ZERO_PAGE, [RSP] = STACK_AT };

	return pc_start_32(p->b, (uint32_t)p->kernel, gpr);
}

int pc_linux(const struct pc_boot *b, bool entry64, bool load)
{
	struct plan p;
	int rc = make_plan(&p, b);

	if (rc || !load)
		return rc;
	rc = write_all(&p);
	if (!rc)
		rc = entry64 ? start_64(&p) : start_32(&p);
	return rc ? pc_boot_fail(b, -rc, "cannot be loaded into the guest") : 0;
}
