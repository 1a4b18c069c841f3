/* SPDX-License-Identifier: MIT */
#include "dm/xen/pv/build.h"

#include <errno.h>
#include <string.h>

#include "dm/xen/image.h"
#include "dm/xen/platform.h"

#define MIB (1ull << 20)
#define MIB_PAGES (MIB / XEN_PAGE_SIZE)

_Static_assert(sizeof(struct start_info) <= XEN_PAGE_SIZE, "start_info is one page");

/* The image and what it says of itself, for the time of one operation. */
struct plan {
	struct xen_image image;
	struct pv_notes notes;
	uint64_t kernel_first, kernel_end; /* bytes from page 0 */
};

static int refuse(const struct pv_build *b, const struct plan *p, const char *why)
{
	return b->host->fail(b->inst, ENOEXEC, "%s cannot boot as a PV guest: %s", p->image.boot->kernel_path, why);
}

/* ---- the image ----------------------------------------------------------------- */

/* The span of all segments from page 0; addresses as libelf has them: p_paddr without PADDR_OFFSET. */
static int measure(const struct pv_build *b, struct plan *p)
{
	const struct gamut_boot *boot = p->image.boot;

	p->kernel_first = UINT64_MAX;
	for (uint32_t i = 0; i < boot->n_segments; i++) {
		const struct gamut_segment_load *s = &boot->segments[i];
		uint64_t at = s->paddr - p->notes.paddr_offset;

		if (s->paddr < p->notes.paddr_offset || at > UINT64_MAX - s->memsz)
			return refuse(b, p, "a segment lies outside of what its notes say is mapped");
		if (at < p->kernel_first)
			p->kernel_first = at;
		if (at + s->memsz > p->kernel_end)
			p->kernel_end = at + s->memsz;
	}
	return 0;
}

/* Whether a virtual address is in the kernel; the layout has been made, so that the kernel's are good. */
static bool in_kernel(const struct plan *p, uint64_t va)
{
	return va >= p->notes.virt_base + p->kernel_first && va < p->notes.virt_base + p->kernel_end;
}

static int check_addresses(const struct pv_build *b, const struct plan *p)
{
	uint64_t page = p->notes.hypercall_page;

	if (!in_kernel(p, p->notes.entry))
		return refuse(b, p, "its entry lies outside of the kernel");
	if (page == PV_UNSET)
		return 0;
	if (page % XEN_PAGE_SIZE)
		return refuse(b, p, "its HYPERCALL_PAGE is not at a page boundary");
	return in_kernel(p, page) ? 0 : refuse(b, p, "its HYPERCALL_PAGE lies outside of the kernel");
}

/* ---- memory ----------------------------------------------------------------------- */

static uint64_t ram_pages(const struct xen_image *image)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < image->n_ram; i++)
		n += image->ram[i].size >> XEN_PAGE_SHIFT;
	return n;
}

/* The least memory that would do; the list grows with it, so this is found by trying. */
static uint64_t needed_mib(const struct plan *p, struct pv_layout *l)
{
	uint64_t mib = 0, need = (l->pages + MIB_PAGES - 1) / MIB_PAGES;

	while (need > mib) {
		mib = need;
		if (pv_layout_make(l, &p->notes, mib * MIB_PAGES, p->kernel_end, p->image.boot->ramdisk_size))
			break;
		need = (l->pages + MIB_PAGES - 1) / MIB_PAGES;
	}
	return mib;
}

static int check_memory(const struct pv_build *b, const struct plan *p)
{
	struct pv_layout l = b->layout;
	uint64_t low = p->image.ram[0].size >> XEN_PAGE_SHIFT;

	if (l.pages <= low)
		return 0;
	if (p->image.n_ram > 1)
		return b->host->fail(b->inst, ENOMEM,
		                     "%s needs %llu MiB for kernel, ramdisk and page tables, and only the first "
		                     "%llu MiB of memory can hold them",
		                     p->image.boot->kernel_path,
		                     (unsigned long long)((l.pages + MIB_PAGES - 1) / MIB_PAGES),
		                     (unsigned long long)(low / MIB_PAGES));
	return b->host->fail(b->inst, ENOMEM,
	                     "%s needs at least memory = %llu (MiB) to start as a PV guest; it has %llu",
	                     p->image.boot->kernel_path, (unsigned long long)needed_mib(p, &l),
	                     (unsigned long long)(low / MIB_PAGES));
}

static int make_layout(struct pv_build *b, const struct plan *p)
{
	const struct xen_image *image = &p->image;
	const char *why = pv_layout_make(&b->layout, &p->notes, ram_pages(image), p->kernel_end,
	                                 image->boot->ramdisk_size);

	return why ? refuse(b, p, why) : check_memory(b, p);
}

static int make_plan(struct pv_build *b, struct plan *p)
{
	int rc;

	*p = (struct plan){ .kernel_end = 0 };
	rc = xen_image_init(&p->image, b->host, b->inst);
	if (!rc)
		rc = pv_notes_read(&p->notes, b->host, b->inst, p->image.boot);
	if (!rc)
		rc = measure(b, p);
	if (!rc)
		rc = make_layout(b, p);
	if (rc)
		return rc;
	b->first_frame = p->image.ram[0].gpa >> XEN_PAGE_SHIFT;
	p->image.offset = p->notes.paddr_offset - p->image.ram[0].gpa;
	rc = xen_image_check(&p->image);
	if (!rc)
		rc = check_addresses(b, p);
	if (!rc && strlen(p->image.boot->cmdline) >= MAX_GUEST_CMDLINE)
		rc = b->host->fail(b->inst, E2BIG, "the command line is %zu characters long; a PV guest takes %d",
		                   strlen(p->image.boot->cmdline), MAX_GUEST_CMDLINE - 1);
	return rc;
}

int pv_build_check(struct pv_build *b)
{
	struct plan p;
	int rc = make_plan(b, &p);

	if (rc)
		return rc;
	b->boot = (struct gamut_pv_boot){
		.size = sizeof(b->boot),
		.root = pv_build_frame(b, b->layout.root),
		.entry = p.notes.entry,
		.stack = pv_layout_va(&b->layout, b->layout.stack + 1),
		.start_info = pv_layout_va(&b->layout, b->layout.start_info),
	};
	return 0;
}

/* ---- writing ------------------------------------------------------------------------- */

static int write_page(const struct pv_build *b, uint64_t pfn, const void *data)
{
	return b->host->mem_write(b->inst, pv_build_frame(b, pfn) << XEN_PAGE_SHIFT, data, XEN_PAGE_SIZE);
}

static int write_ramdisk(const struct pv_build *b, const struct gamut_boot *boot)
{
	uint64_t gpa = pv_build_frame(b, b->layout.ramdisk) << XEN_PAGE_SHIFT;

	return boot->ramdisk_size ? b->host->mem_write(b->inst, gpa, boot->ramdisk, boot->ramdisk_size) : 0;
}

static int write_hypercall_page(const struct pv_build *b, const struct plan *p)
{
	uint8_t page[XEN_PAGE_SIZE];

	if (p->notes.hypercall_page == PV_UNSET)
		return 0;
	xen_hypercall_page_pv(page);
	return write_page(b, (p->notes.hypercall_page - p->notes.virt_base) >> XEN_PAGE_SHIFT, page);
}

/* The list of frames by page number, over all ranges of RAM; the rest of its last page is zero. */
static int write_p2m(const struct pv_build *b, const struct xen_image *image)
{
	xen_pfn_t page[XEN_PAGE_SIZE / sizeof(xen_pfn_t)] = { 0 };
	const uint64_t per_page = sizeof(page) / sizeof(page[0]);
	uint64_t pfn = 0;
	int rc = 0;

	for (uint32_t i = 0; i < image->n_ram; i++)
		for (uint64_t at = 0; at < image->ram[i].size >> XEN_PAGE_SHIFT && !rc; at++, pfn++) {
			if (pfn && pfn % per_page == 0) {
				rc = write_page(b, b->layout.p2m + pfn / per_page - 1, page);
				memset(page, 0, sizeof(page));
			}
			page[pfn % per_page] = (image->ram[i].gpa >> XEN_PAGE_SHIFT) + at;
		}
	return rc ? rc : write_page(b, b->layout.p2m + b->layout.p2m_pages - 1, page);
}

static int write_tables(const struct pv_build *b)
{
	const struct pv_layout *l = &b->layout;
	uint64_t table[512];
	int rc;

	pv_layout_table(l, PV_LEVELS, 0, b->first_frame, table);
	rc = write_page(b, l->root, table);
	for (int i = 0; i <= l->p2m_apart; i++)
		for (int level = PV_LEVELS - 1; level > 0; level--) {
			const struct pv_tables *t = &l->region[i].level[level];

			for (uint64_t n = 0; n < t->n && !rc; n++) {
				pv_layout_table(l, level, t->first + n, b->first_frame, table);
				rc = write_page(b, t->pfn + n, table);
			}
		}
	return rc;
}

static void fill_p2m_info(const struct pv_layout *l, struct start_info *info)
{
	if (!l->p2m_apart) {
		info->mfn_list = pv_layout_va(l, l->p2m);
		return;
	}
	info->mfn_list = l->region[1].first;
	info->first_p2m_pfn = l->p2m;
	info->nr_p2m_frames = l->p2m_pages + l->region[1].n_tables;
}

/* SIF_VIRT_P2M_4TOOLS: nobody here reads the guest's list by its old three-level tree. */
static int write_start_info(const struct pv_build *b, const struct plan *p, uint32_t store_port)
{
	const struct gamut_boot *boot = p->image.boot;
	const struct pv_layout *l = &b->layout;
	uint8_t page[XEN_PAGE_SIZE] = { 0 };
	struct start_info *info = (void *)page;

	memcpy(info->magic, "xen-3.0-x86_64", sizeof("xen-3.0-x86_64"));
	info->nr_pages = l->nr_pages;
	info->shared_info = b->shared_info;
	info->flags = SIF_VIRT_P2M_4TOOLS;
	info->store_mfn = pv_build_frame(b, l->xenstore);
	info->store_evtchn = store_port;
	info->pt_base = pv_layout_va(l, l->root);
	info->nr_pt_frames = l->region[0].n_tables;
	fill_p2m_info(l, info);
	if (boot->ramdisk_size) {
		info->mod_len = boot->ramdisk_size;
		info->mod_start = p->notes.mod_start_pfn ? l->ramdisk : pv_layout_va(l, l->ramdisk);
		info->flags |= p->notes.mod_start_pfn ? SIF_MOD_START_PFN : 0;
	}
	memcpy(info->cmd_line, boot->cmdline, strlen(boot->cmdline));
	return write_page(b, l->start_info, page);
}

int pv_build_load(const struct pv_build *build, uint32_t store_port)
{
	struct pv_build b = *build;
	struct plan p;
	int rc = make_plan(&b, &p);

	if (rc)
		return rc;
	rc = xen_image_write(&p.image);
	if (!rc)
		rc = write_hypercall_page(&b, &p);
	if (!rc)
		rc = write_ramdisk(&b, p.image.boot);
	if (!rc)
		rc = write_p2m(&b, &p.image);
	if (!rc)
		rc = write_tables(&b);
	if (!rc)
		rc = write_start_info(&b, &p, store_port);
	return rc ? b.host->fail(b.inst, -rc, "cannot load the kernel into the guest: %s", strerror(-rc)) : 0;
}

int pv_build_console(const struct pv_build *b, uint64_t frame, uint32_t port)
{
	uint64_t info = pv_build_frame(b, b->layout.start_info) << XEN_PAGE_SHIFT;
	xen_pfn_t mfn = frame;
	int rc = b->host->mem_write(b->inst, info + offsetof(struct start_info, console.domU.mfn), &mfn, sizeof(mfn));

	return rc ? rc :
	            b->host->mem_write(b->inst, info + offsetof(struct start_info, console.domU.evtchn), &port,
	                               sizeof(port));
}
