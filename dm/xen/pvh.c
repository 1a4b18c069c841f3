/* SPDX-License-Identifier: MIT */
#include "dm/xen/pvh.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/hypercall-patch.h"
#include "dm/xen/image.h"

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/elfnote.h>

#define LOW_END (1ull << 32)

/* Where things go; made before anything is written. */
struct plan {
	const struct pvh_config *config;
	const struct gamut_boot *boot;
	struct xen_image image;
	struct xen_e820 map[XEN_E820_MAX];
	uint32_t n_map;
	uint32_t entry;
	uint64_t ramdisk, info; /* guest physical addresses */
	uint64_t info_size;
};

static uint64_t page_up(uint64_t x)
{
	return (x + XEN_PAGE_SIZE - 1) & ~(XEN_PAGE_SIZE - 1);
}

/* ---- the image ---------------------------------------------------------------- */

/* An image with a PV entry could be a PV guest; any kernel may start as on bare metal. */
static int refuse_entry(const struct plan *p)
{
	bool pv = xen_image_note(p->boot, XEN_ELFNOTE_ENTRY) || xen_image_note(p->boot, XEN_ELFNOTE_VIRT_BASE);

	return p->config->host->fail(p->config->inst, ENOEXEC,
	                             "%s cannot boot as a PVH guest: it has no Xen ELF note XEN_ELFNOTE_PHYS32_ENTRY; "
	                             "mode = %s would work",
	                             p->boot->kernel_path, pv ? "\"pv\", \"hvm\" or \"kvm\"" : "\"hvm\" or \"kvm\"");
}

static int read_entry(struct plan *p)
{
	const struct gamut_elf_note *note = xen_image_note(p->boot, XEN_ELFNOTE_PHYS32_ENTRY);
	uint64_t entry = 0;

	if (!note)
		return refuse_entry(p);
	if (!xen_image_number(note, &entry) || !entry || entry >= LOW_END)
		return p->config->host->fail(p->config->inst, ENOEXEC,
		                             "%s: its note XEN_ELFNOTE_PHYS32_ENTRY is not a 32-bit address",
		                             p->boot->kernel_path);
	p->entry = (uint32_t)entry;
	return 0;
}

static int check_segments(const struct plan *p)
{
	int rc = xen_image_check(&p->image);

	for (uint32_t i = 0; i < p->boot->n_segments && !rc; i++) {
		const struct gamut_segment_load *s = &p->boot->segments[i];

		if (p->entry >= s->paddr && p->entry - s->paddr < s->memsz)
			return 0;
	}
	return rc ? rc :
	            p->config->host->fail(p->config->inst, ENOEXEC, "%s: its PVH entry 0x%x lies in no segment",
	                                  p->boot->kernel_path, p->entry);
}

/* ---- the place for the rest ------------------------------------------------------ */

static uint64_t info_size(const struct plan *p)
{
	return sizeof(struct hvm_start_info) + sizeof(struct hvm_modlist_entry) +
	       p->n_map * sizeof(struct hvm_memmap_table_entry) + strlen(p->boot->cmdline) + 1;
}

static int place(struct plan *p)
{
	const struct gamut_boot *boot = p->boot;
	uint64_t end = 0, low = p->image.ram[0].gpa + p->image.ram[0].size, need;

	for (uint32_t i = 0; i < boot->n_segments; i++) {
		uint64_t top = boot->segments[i].paddr + boot->segments[i].memsz;

		if (top > end && top <= low)
			end = top;
	}
	p->info_size = info_size(p);
	p->ramdisk = page_up(end);
	need = page_up(p->info_size);
	if (low > LOW_END)
		low = LOW_END;
	if (boot->ramdisk_size > low || p->ramdisk > low - boot->ramdisk_size ||
	    page_up(p->ramdisk + boot->ramdisk_size) + need > low)
		return p->config->host->fail(p->config->inst, ENOMEM,
		                             "kernel and ramdisk do not fit into %llu MiB of memory: %llu MiB more are "
		                             "needed at least",
		                             (unsigned long long)(low >> 20),
		                             (unsigned long long)((p->ramdisk + boot->ramdisk_size + need - low) >> 20) +
		                                     1);
	p->info = page_up(p->ramdisk + boot->ramdisk_size);
	return 0;
}

static int make_plan(struct plan *p, const struct pvh_config *config)
{
	int rc;

	*p = (struct plan){ .config = config };
	rc = xen_image_init(&p->image, config->host, config->inst);
	if (rc)
		return rc;
	p->boot = p->image.boot;
	rc = xen_memory_map(config->host, config->inst, config->extra, config->n_extra, p->map);
	if (rc < 0)
		return config->host->fail(config->inst, -rc, "the guest's memory has %u ranges", p->image.n_ram);
	p->n_map = (uint32_t)rc;
	rc = read_entry(p);
	if (!rc)
		rc = check_segments(p);
	return rc ? rc : place(p);
}

/* ---- writing ------------------------------------------------------------------------ */

/* The types of the two kinds of map have the same numbers. */
_Static_assert(XEN_E820_RAM == XEN_HVM_MEMMAP_TYPE_RAM && XEN_E820_RESERVED == XEN_HVM_MEMMAP_TYPE_RESERVED &&
                       XEN_E820_ACPI == XEN_HVM_MEMMAP_TYPE_ACPI,
               "e820 types");

static void fill_memmap(const struct plan *p, struct hvm_memmap_table_entry *map)
{
	for (uint32_t i = 0; i < p->n_map; i++)
		map[i] = (struct hvm_memmap_table_entry){ p->map[i].addr, p->map[i].size, p->map[i].type, 0 };
}

/* One block: start info, module list, memory map, command line. */
static void fill_info(const struct plan *p, uint8_t *block)
{
	struct hvm_start_info *info = (void *)block;
	struct hvm_modlist_entry *mod = (void *)(info + 1);
	struct hvm_memmap_table_entry *map = (void *)(mod + 1);
	char *cmdline = (void *)(map + p->n_map);

	info->magic = XEN_HVM_START_MAGIC_VALUE;
	info->version = 1;
	if (p->boot->ramdisk_size) {
		info->nr_modules = 1;
		info->modlist_paddr = p->info + (uint64_t)((uint8_t *)mod - block);
		mod->paddr = p->ramdisk;
		mod->size = p->boot->ramdisk_size;
	}
	info->cmdline_paddr = p->info + (uint64_t)((uint8_t *)cmdline - block);
	info->memmap_paddr = p->info + (uint64_t)((uint8_t *)map - block);
	info->memmap_entries = p->n_map;
	fill_memmap(p, map);
	info->rsdp_paddr = p->config->rsdp;
	memcpy(cmdline, p->boot->cmdline, strlen(p->boot->cmdline) + 1);
}

static int write_info(const struct plan *p)
{
	uint8_t *block = calloc(1, p->info_size);
	int rc;

	if (!block)
		return -ENOMEM;
	fill_info(p, block);
	rc = p->config->host->mem_write(p->config->inst, p->info, block, p->info_size);
	free(block);
	return rc;
}

/* ---- vCPU 0 -------------------------------------------------------------------------- */

#define CR0_PE 1u
#define CR0_ET 16u /* hard-wired */
#define ATTR_CODE 0xc09bu
#define ATTR_DATA 0xc093u
#define ATTR_TSS 0x8bu
#define ATTR_UNUSABLE 0x10000u
enum { RBX = 3 };

static int set_vcpu(const struct plan *p)
{
	static const struct gamut_segment data = { .limit = UINT32_MAX, .attr = ATTR_DATA };
	struct gamut_vcpu_state s = { .size = sizeof(s) };

	s.rip = p->entry;
	s.rflags = 2;
	s.gpr[RBX] = p->info;
	s.cr0 = CR0_PE | CR0_ET;
	for (int i = 0; i < GAMUT_SEG_COUNT; i++)
		s.seg[i] = data;
	s.seg[GAMUT_CS].attr = ATTR_CODE;
	s.seg[GAMUT_LDTR] = (struct gamut_segment){ .attr = ATTR_UNUSABLE };
	s.seg[GAMUT_TR] = (struct gamut_segment){ .limit = 0x67, .attr = ATTR_TSS };
	s.dr[6] = 0xffff0ff0;
	s.dr[7] = 0x400;
	return p->config->host->vcpu_set(p->config->inst, 0, &s);
}

int pvh_check(const struct pvh_config *config)
{
	struct plan p;

	return make_plan(&p, config);
}

int pvh_load(const struct pvh_config *config)
{
	struct plan p;
	int rc = make_plan(&p, config);

	if (rc)
		return rc;
	rc = xen_image_write(&p.image);
	if (!rc && config->xen)
		rc = xen_hypercall_patch(config->host, config->inst, p.boot);
	if (!rc && p.boot->ramdisk_size)
		rc = config->host->mem_write(config->inst, p.ramdisk, p.boot->ramdisk, p.boot->ramdisk_size);
	if (!rc)
		rc = write_info(&p);
	if (!rc)
		rc = set_vcpu(&p);
	return rc ? config->host->fail(config->inst, -rc, "cannot load the kernel into the guest: %s", strerror(-rc)) : 0;
}
