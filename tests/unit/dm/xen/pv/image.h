/* SPDX-License-Identifier: MIT */
/*
 * A PV kernel for tests: notes that a test may change one by one, two segments,
 * and the tables that were built walked as a processor does.
 */
#ifndef TEST_PV_IMAGE_H
#define TEST_PV_IMAGE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dm/xen/public.h"
#include "fake/host-fake.h"

#include <xen/elfnote.h>

#define LINUX_BASE 0xffffffff80000000ull
#define KERNEL_PADDR 0x200000ull
#define KERNEL_PAGES 4ull
#define ENTRY_OFFSET 0x10ull
#define IMAGE_NOTES 20

struct pv_image {
	struct host_fake *f;
	struct gamut_elf_note notes[IMAGE_NOTES];
	uint64_t values[IMAGE_NOTES];
	struct gamut_segment_load segments[2];
};

/* Sets or replaces a note. */
static inline void image_note(struct pv_image *i, uint32_t type, const void *desc, uint32_t size)
{
	uint32_t n = 0;

	while (n < i->f->boot.n_notes && i->notes[n].type != type)
		n++;
	assert_true(n < IMAGE_NOTES);
	i->notes[n] = (struct gamut_elf_note){ .name = "Xen", .type = type, .desc = desc, .desc_size = size };
	if (n == i->f->boot.n_notes)
		i->f->boot.n_notes++;
}

static inline void image_number(struct pv_image *i, uint32_t type, uint64_t value)
{
	assert_true(type < IMAGE_NOTES);
	i->values[type] = value;
	image_note(i, type, &i->values[type], 8);
}

static inline void image_text(struct pv_image *i, uint32_t type, const char *text)
{
	image_note(i, type, text, (uint32_t)strlen(text) + 1);
}

/* A kernel as small as can be: Xen's version, its system, base and entry. Page 0 is at base. */
static inline void image_init(struct pv_image *i, struct host_fake *f, uint64_t base)
{
	static const char text[64] = "kernel text";

	*i = (struct pv_image){ .f = f };
	i->segments[0] = (struct gamut_segment_load){ KERNEL_PADDR, base + KERNEL_PADDR, sizeof(text), 3 * 4096, text };
	i->segments[1] = (struct gamut_segment_load){ KERNEL_PADDR + 3 * 4096, 0, 4, 100, "data" };
	f->boot = (struct gamut_boot){ .size = sizeof(f->boot), .n_segments = 2, .segments = i->segments,
		                       .notes = i->notes, .elf_class = 64, .elf_entry = 0x1234, .kernel_path = "vmlinux",
		                       .cmdline = "console=hvc0" };
	image_text(i, XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
	image_text(i, XEN_ELFNOTE_GUEST_OS, "linux");
	image_number(i, XEN_ELFNOTE_VIRT_BASE, base);
	image_number(i, XEN_ELFNOTE_ENTRY, base + KERNEL_PADDR + ENTRY_OFFSET);
}

/* What a stock Linux has beside. */
static inline void image_linux(struct pv_image *i)
{
	static const char ramdisk[5000] = "initramfs";

	image_number(i, XEN_ELFNOTE_INIT_P2M, 0x8000000000ull);
	image_number(i, XEN_ELFNOTE_MOD_START_PFN, 1);
	image_note(i, XEN_ELFNOTE_FEATURES, "!writable_page_tables|pae_pgdir_above_4gb", 41); /* without a zero */
	image_number(i, XEN_ELFNOTE_HV_START_LOW, HYPERVISOR_VIRT_START);
	i->f->boot.ramdisk = ramdisk;
	i->f->boot.ramdisk_size = sizeof(ramdisk);
}

/* ---- what was built ---- */

static inline uint64_t word_at(const struct host_fake *f, uint64_t gpa)
{
	uint64_t value = 0;

	assert_int_equal(f->host->mem_read(f->inst, gpa, &value, sizeof(value)), 0);
	return value;
}

/* The L1 entry of va below the top-level table, 0 when there is none; every entry on the way is user and writable. */
static inline uint64_t walk(const struct host_fake *f, uint64_t root, uint64_t va)
{
	uint64_t entry = root << 12 | 7;

	for (int shift = 39; shift >= 12 && entry; shift -= 9) {
		assert_int_equal(entry & 7, 7);
		assert_int_equal(entry & 0x80, 0);
		entry = word_at(f, (entry & 0xffffffffff000ull) + (va >> shift & 511) * 8);
	}
	return entry;
}

#endif
