/* SPDX-License-Identifier: MIT */
/*
 * The domain builder: what lies where for the kinds of kernels that there are,
 * page tables walked, and images that must be refused with the guest's memory
 * untouched.
 */
#include "image.h"

#include <stdio.h>

#include "dm/xen/pv/build.h"

#define RAM (32ull << 20)
#define SHARED_INFO 0xf0000000ull
#define PORT 7u
#define KERNEL_END_PFN ((KERNEL_PADDR >> 12) + KERNEL_PAGES)
#define PTE_RO 0x025u /* present, user, accessed */
#define PTE_RW 0x027u

struct world {
	struct host_fake *f;
	struct pv_image image;
	struct pv_build build;
};

static int setup(void **state)
{
	struct world *w = test_calloc(1, sizeof(*w));

	w->f = host_fake_create(RAM, 1);
	w->build = (struct pv_build){ .host = w->f->host, .inst = w->f->inst, .shared_info = SHARED_INFO };
	image_init(&w->image, w->f, LINUX_BASE);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	assert_int_equal(host_fake_destroy(w->f), 0);
	test_free(w);
	return 0;
}

static const struct start_info *built(struct world *w)
{
	uint64_t pfn;

	memset(w->f->ram, 0xaa, RAM);
	if (pv_build_check(&w->build) || pv_build_load(&w->build, PORT))
		fail_msg("%s", w->f->last_fail);
	pfn = w->build.layout.start_info;
	assert_true((pfn + 1) << 12 <= RAM);
	return (const void *)(w->f->ram + (pfn << 12));
}

/* The entry that maps a page of the first region. */
static uint64_t entry_of(const struct world *w, uint64_t pfn)
{
	return walk(w->f, w->build.boot.root, pv_layout_va(&w->build.layout, pfn));
}

/* ---- any image ---- */

static void check_info(const struct world *w, const struct start_info *info)
{
	const struct pv_layout *l = &w->build.layout;

	assert_string_equal(info->magic, "xen-3.0-x86_64");
	assert_int_equal(info->nr_pages, RAM >> 12);
	assert_int_equal(info->shared_info, SHARED_INFO);
	assert_int_equal(info->store_mfn, l->xenstore);
	assert_int_equal(info->store_evtchn, PORT);
	assert_int_equal(info->console.domU.mfn, 0);
	assert_int_equal(info->pt_base, pv_layout_va(l, l->root));
	assert_int_equal(info->nr_pt_frames, l->region[0].n_tables);
	assert_string_equal((const char *)info->cmd_line, "console=hvc0");
	assert_int_equal(w->build.boot.root, l->root);
	assert_int_equal(w->build.boot.start_info, pv_layout_va(l, l->start_info));
	assert_int_equal(w->build.boot.stack, pv_layout_va(l, l->stack) + 4096);
	assert_int_equal(w->build.boot.entry, w->image.values[XEN_ELFNOTE_ENTRY]);
}

/* Tables are read-only, everything else is writable, and the end is where xen.h has it. */
static void check_region(const struct world *w)
{
	const struct pv_layout *l = &w->build.layout;
	uint64_t base = l->region[0].first, end = ((l->region[0].last - base) >> 12) + 1;

	assert_int_equal((l->region[0].last + 1) % (4 << 20), 0);
	assert_true(end - l->stack - 1 >= 128);
	for (uint64_t pfn = 0; pfn < end; pfn++) {
		bool table = pfn >= l->root && pfn < l->root + l->region[0].n_tables;

		assert_int_equal(entry_of(w, pfn), pfn << 12 | (table ? PTE_RO : PTE_RW));
	}
	if (l->region[0].last != UINT64_MAX)
		assert_int_equal(walk(w->f, l->root, l->region[0].last + 1), 0);
	if (base)
		assert_int_equal(walk(w->f, l->root, base - 1), 0);
}

static void check_kernel(const struct world *w)
{
	const uint8_t *kernel = w->f->ram + KERNEL_PADDR;

	assert_string_equal((const char *)kernel, "kernel text");
	for (uint32_t i = 64; i < 3 * 4096; i++)
		assert_int_equal(kernel[i], 0);
	assert_memory_equal(kernel + 3 * 4096, "data", 4);
	assert_int_equal(kernel[3 * 4096 + 99], 0);
	assert_int_equal(kernel[3 * 4096 + 100], 0xaa);
}

/* The list of frames as the guest finds it, through its page tables. */
static void check_list(const struct world *w, uint64_t va, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = va + i * 8;

		assert_int_equal(word_at(w->f, (walk(w->f, w->build.layout.root, at) & ~0xfffull) + (at & 0xfff)), i);
	}
}

/* ---- layouts ---- */

static void small_kernel(void **state)
{
	struct world *w = *state;
	const struct start_info *info = built(w);
	const struct pv_layout *l = &w->build.layout;

	check_kernel(w);
	check_info(w, info);
	check_region(w);
	assert_int_equal(l->p2m, KERNEL_END_PFN);
	assert_int_equal(l->p2m_pages, RAM / 4096 * 8 / 4096);
	assert_int_equal(info->mfn_list, LINUX_BASE + (KERNEL_END_PFN << 12));
	assert_int_equal(info->first_p2m_pfn | info->nr_p2m_frames, 0);
	check_list(w, info->mfn_list, RAM / 4096);
	assert_int_equal(l->start_info, l->p2m + l->p2m_pages);
	assert_int_equal(l->xenstore, l->start_info + 1);
	assert_int_equal(l->console, l->start_info + 2);
	assert_int_equal(l->root, l->start_info + 3);
	/* One table of each level but L1, which 4 MiB need two of. */
	assert_int_equal(info->nr_pt_frames, 5);
	assert_int_equal(l->stack, l->root + 5);
	assert_int_equal(info->mod_start | info->mod_len, 0);
	assert_int_equal(info->flags, SIF_VIRT_P2M_4TOOLS);
}

static void ramdisk_is_mapped_after_the_kernel(void **state)
{
	struct world *w = *state;
	const struct start_info *info;

	w->f->boot.ramdisk = "initramfs";
	w->f->boot.ramdisk_size = 9;
	info = built(w);
	assert_int_equal(info->mod_start, LINUX_BASE + (KERNEL_END_PFN << 12));
	assert_int_equal(info->mod_len, 9);
	assert_int_equal(info->flags & SIF_MOD_START_PFN, 0);
	assert_memory_equal(w->f->ram + (KERNEL_END_PFN << 12), "initramfs", 9);
	assert_int_equal(w->build.layout.p2m, KERNEL_END_PFN + 1);
	check_region(w);
}

static void linux_has_list_and_ramdisk_apart(void **state)
{
	struct world *w = *state;
	const struct pv_layout *l = &w->build.layout;
	const struct start_info *info;
	uint64_t end;

	image_linux(&w->image);
	info = built(w);
	check_info(w, info);
	check_region(w);
	end = ((l->region[0].last - l->region[0].first) >> 12) + 1;
	assert_int_equal(l->start_info, KERNEL_END_PFN);
	assert_int_equal(info->flags, SIF_VIRT_P2M_4TOOLS | SIF_MOD_START_PFN);
	assert_int_equal(info->mod_start, end);
	assert_string_equal((const char *)w->f->ram + (end << 12), "initramfs");
	assert_int_equal(info->mfn_list, 0x8000000000);
	assert_int_equal(info->first_p2m_pfn, end + 2);
	/* 16 pages of list; an L1, an L2 and an L3 of its own. */
	assert_int_equal(info->nr_p2m_frames, 16 + 3);
	assert_int_equal(l->pages, end + 2 + 19);
	check_list(w, info->mfn_list, RAM / 4096);
	assert_int_equal(walk(w->f, l->root, 0x8000000000), (end + 2) << 12 | PTE_RW);
	assert_int_equal(walk(w->f, l->root, 0x8000000000 + 16 * 4096), 0);
}

/* Right below the kernel: the list shares all tables but some. */
static void list_shares_tables(void **state)
{
	static const uint64_t below[] = { 1ull << 20, 4ull << 20, 1ull << 30, 1ull << 39 };
	static const uint64_t tables[] = { 0, 2, 2, 3 };
	struct world *w = *state;

	for (int i = 0; i < 4; i++) {
		uint64_t base = LINUX_BASE + (i ? 0 : 1 << 20), va = base - below[i];
		const struct start_info *info;

		/* With the base 1 MiB above a 2 MiB boundary, the first L1 table serves both. */
		image_init(&w->image, w->f, base);
		image_number(&w->image, XEN_ELFNOTE_INIT_P2M, va);
		info = built(w);
		check_list(w, info->mfn_list, RAM / 4096);
		assert_int_equal(info->mfn_list, va);
		assert_int_equal(info->nr_p2m_frames, 16 + tables[i]);
		check_info(w, info);
	}
}

static void grub_starts_at_zero(void **state)
{
	struct world *w = *state;
	const struct start_info *info;

	image_init(&w->image, w->f, 0);
	image_text(&w->image, XEN_ELFNOTE_GUEST_OS, "GRUB");
	image_text(&w->image, XEN_ELFNOTE_LOADER, "generic");
	image_number(&w->image, XEN_ELFNOTE_ENTRY, 0);
	w->image.segments[0].paddr = 0;
	info = built(w);
	check_info(w, info);
	check_region(w);
	assert_string_equal((const char *)w->f->ram, "kernel text");
	assert_int_equal(w->build.boot.entry, 0);
}

static void offsets_in_physical_addresses(void **state)
{
	struct world *w = *state;

	image_number(&w->image, XEN_ELFNOTE_PADDR_OFFSET, LINUX_BASE);
	for (int i = 0; i < 2; i++)
		w->image.segments[i].paddr += LINUX_BASE;
	built(w);
	check_kernel(w);
	check_region(w);
}

/* The last byte of the address space may be mapped. */
static void region_at_the_very_end(void **state)
{
	struct world *w = *state;
	const uint64_t base = UINT64_MAX - (4ull << 20) + 1;

	image_init(&w->image, w->f, base);
	built(w);
	assert_int_equal(w->build.layout.region[0].last, UINT64_MAX);
	check_region(w);
}

static void hypercall_page_is_filled(void **state)
{
	static const uint8_t stub[] = { 0x51, 0x41, 0x53, 0xb8, 17, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3, 0xcc };
	static const uint8_t iret[] = { 0x51, 0x41, 0x53, 0x50, 0xb8, 23, 0, 0, 0, 0x0f, 0x05, 0xcc };
	struct world *w = *state;
	const uint8_t *page = w->f->ram + KERNEL_PADDR + 4096;

	image_number(&w->image, XEN_ELFNOTE_HYPERCALL_PAGE, LINUX_BASE + KERNEL_PADDR + 4096);
	built(w);
	assert_memory_equal(page + 17 * 32, stub, sizeof(stub));
	assert_memory_equal(page + 23 * 32, iret, sizeof(iret));
	assert_int_equal(page[4096], 0);
	assert_string_equal((const char *)page - 4096, "kernel text");
}

static void legacy_kernel(void **state)
{
	static const char text[] = "GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,"
	                           "VIRT_ENTRY=0xffffffff80200000,HYPERCALL_PAGE=0x201,"
	                           "FEATURES=writable_page_tables|writable_descriptor_tables,LOADER=generic,PAE=yes";
	static const struct gamut_elf_note note = { .name = "__xen_guest", .desc = text,
		                                    .desc_size = sizeof(text) - 1 };
	struct world *w = *state;

	w->f->boot.notes = &note;
	w->f->boot.n_notes = 1;
	/* In these, physical addresses are offset by VIRT_BASE unless they say otherwise. */
	for (int i = 0; i < 2; i++)
		w->image.segments[i].paddr += LINUX_BASE;
	built(w);
	assert_int_equal(w->build.boot.entry, LINUX_BASE + 0x200000);
	assert_string_equal((const char *)w->f->ram + KERNEL_PADDR, "kernel text");
	assert_int_equal(w->f->ram[0x201000 + 3], 0xb8);
}

/* ---- memory in two pieces ---- */

static uint32_t two_ranges(struct gamut_inst *inst, struct gamut_mem_range *ranges, uint32_t n)
{
	(void)inst;
	if (n > 0)
		ranges[0] = (struct gamut_mem_range){ 0, 3ull << 30 };
	if (n > 1)
		ranges[1] = (struct gamut_mem_range){ 4ull << 30, 1ull << 30 };
	return 2;
}

static void list_jumps_over_the_hole(void **state)
{
	struct world *w = *state;
	const struct start_info *info;
	const uint64_t *list;

	w->f->table.mem_ranges = two_ranges;
	image_linux(&w->image);
	info = built(w);
	list = (const void *)(w->f->ram + (info->first_p2m_pfn << 12));
	assert_int_equal(info->nr_pages, 1 << 20);
	assert_int_equal(list[0xbffff], 0xbffff);
	assert_int_equal(list[0xc0000], 0x100000);
	assert_int_equal(list[0xfffff], 0x13ffff);
	/* 8 MiB of list want four L1 tables. */
	assert_int_equal(info->nr_p2m_frames, 2048 + 6);
}

static uint32_t low_and_high(struct gamut_inst *inst, struct gamut_mem_range *ranges, uint32_t n)
{
	(void)inst;
	for (uint32_t i = 0; i < n && i < 2; i++)
		ranges[i] = (struct gamut_mem_range){ i * (4ull << 30), 4ull << 20 };
	return 2;
}

/* ---- refusals ---- */

static void refused(struct world *w, int err, const char *words)
{
	uint32_t fails = w->f->fails;

	memset(w->f->ram, 0x55, RAM);
	assert_int_equal(pv_build_check(&w->build), -err);
	assert_int_equal(pv_build_load(&w->build, PORT), -err);
	assert_int_equal(w->f->fails, fails + 2);
	if (!strstr(w->f->last_fail, words))
		fail_msg("\"%s\" does not say \"%s\"", w->f->last_fail, words);
	for (uint64_t i = 0; i < RAM; i += 8)
		assert_int_equal(*(uint64_t *)(void *)(w->f->ram + i), 0x5555555555555555);
	image_init(&w->image, w->f, LINUX_BASE);
}

static void images_that_are_not_for_it(void **state)
{
	struct world *w = *state;

	w->f->boot.n_segments = 0;
	refused(w, ENOEXEC, "no kernel");
	w->f->boot.n_notes = 0;
	refused(w, ENOEXEC, "\"hvm\" or \"kvm\" would work");
	w->f->boot.n_notes = 2; /* version and system, as a kernel for PVH alone has them */
	image_number(&w->image, XEN_ELFNOTE_PHYS32_ENTRY, 0x1000);
	refused(w, ENOEXEC, "mode = \"pvh\" would work");
	w->f->boot.elf_class = 32;
	refused(w, ENOEXEC, "32-bit PV kernel");
	w->f->boot.elf_class = 32;
	image_number(&w->image, XEN_ELFNOTE_PHYS32_ENTRY, 0x1000);
	refused(w, ENOEXEC, "or mode = \"pvh\"");
	image_text(&w->image, XEN_ELFNOTE_GUEST_OS, "plan9");
	refused(w, ENOEXEC, "loader of its own");
	image_text(&w->image, XEN_ELFNOTE_XEN_VERSION, "xen-2.0");
	refused(w, ENOEXEC, "interface 3.0");
	image_text(&w->image, XEN_ELFNOTE_FEATURES, "writable_page_tables|!auto_translated_physmap");
	refused(w, ENOEXEC, "\"auto_translated_physmap\"");
	image_text(&w->image, XEN_ELFNOTE_FEATURES, "!flying");
	refused(w, ENOEXEC, "\"flying\"");
	image_number(&w->image, XEN_ELFNOTE_HV_START_LOW, HYPERVISOR_VIRT_START + 1);
	refused(w, ENOEXEC, "HV_START_LOW");
	w->f->boot.cmdline = (char[1025]){ [0 ... 1023] = 'x' };
	refused(w, E2BIG, "1024 characters long; a PV guest takes 1023");
	w->f->boot.cmdline = (char[1024]){ [0 ... 1022] = 'x' };
	built(w);
}

static void hostile_numbers(void **state)
{
	/* What a note that holds an address must not hold. */
	static const struct {
		uint32_t note;
		uint64_t value;
		int err;
		const char *words;
	} bad[] = {
		{ XEN_ELFNOTE_VIRT_BASE, LINUX_BASE + 1, ENOEXEC, "page boundary" },
		{ XEN_ELFNOTE_VIRT_BASE, 0x800000000000, ENOEXEC, "address space" },
		{ XEN_ELFNOTE_VIRT_BASE, 0x7fffffe00000, ENOEXEC, "address space" },
		{ XEN_ELFNOTE_VIRT_BASE, 0xffff7fffff000000, ENOEXEC, "address space" },
		{ XEN_ELFNOTE_VIRT_BASE, HYPERVISOR_VIRT_START, ENOEXEC, "address space" },
		{ XEN_ELFNOTE_VIRT_BASE, HYPERVISOR_VIRT_END - 4096, ENOEXEC, "address space" },
		{ XEN_ELFNOTE_VIRT_BASE, UINT64_MAX - 4095, ENOEXEC, "address space" },
		{ XEN_ELFNOTE_ENTRY, LINUX_BASE + KERNEL_PADDR - 1, ENOEXEC, "entry" },
		{ XEN_ELFNOTE_ENTRY, LINUX_BASE + KERNEL_PADDR + 3 * 4096 + 100, ENOEXEC, "entry" },
		{ XEN_ELFNOTE_ENTRY, UINT64_MAX, ENOEXEC, "entry" },
		{ XEN_ELFNOTE_HYPERCALL_PAGE, LINUX_BASE + KERNEL_PADDR + 8, ENOEXEC, "page boundary" },
		{ XEN_ELFNOTE_HYPERCALL_PAGE, LINUX_BASE, ENOEXEC, "outside" },
		{ XEN_ELFNOTE_HYPERCALL_PAGE, LINUX_BASE + KERNEL_PADDR + 4 * 4096, ENOEXEC, "outside" },
		{ XEN_ELFNOTE_HYPERCALL_PAGE, 0, ENOEXEC, "outside" },
		{ XEN_ELFNOTE_INIT_P2M, LINUX_BASE - 4096, ENOEXEC, "INIT_P2M" },
		{ XEN_ELFNOTE_INIT_P2M, 0x800000000000, ENOEXEC, "INIT_P2M" },
		{ XEN_ELFNOTE_INIT_P2M, 0x7ffffffff000, ENOEXEC, "INIT_P2M" },
		{ XEN_ELFNOTE_INIT_P2M, HYPERVISOR_VIRT_END - 8 * 4096, ENOEXEC, "INIT_P2M" },
		{ XEN_ELFNOTE_PADDR_OFFSET, KERNEL_PADDR + 1, ENOEXEC, "outside" },
		{ XEN_ELFNOTE_PADDR_OFFSET, UINT64_MAX - 1, ENOEXEC, "outside" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		image_number(&w->image, bad[i].note, bad[i].value);
		refused(w, bad[i].err, bad[i].words);
	}
	image_note(&w->image, XEN_ELFNOTE_ENTRY, "abc", 3);
	refused(w, ENOEXEC, "XEN_ELFNOTE_ENTRY is not a number");
	w->image.notes[2] = w->image.notes[3]; /* no VIRT_BASE */
	w->f->boot.n_notes = 3;
	image_number(&w->image, XEN_ELFNOTE_PADDR_OFFSET, 0x1000);
	refused(w, ENOEXEC, "without VIRT_BASE");
}

/* Not below the kernel, or between pages: as if it were not there, as by Xen's tool stack. */
static void places_for_the_list_that_do_not_count(void **state)
{
	static const uint64_t places[] = { LINUX_BASE, LINUX_BASE + 4096, UINT64_MAX - 4095, 0x8000000001 };
	struct world *w = *state;

	for (int i = 0; i < 4; i++) {
		image_number(&w->image, XEN_ELFNOTE_INIT_P2M, places[i]);
		assert_int_equal(built(w)->mfn_list, LINUX_BASE + (KERNEL_END_PFN << 12));
	}
}

static void hostile_segments(void **state)
{
	struct world *w = *state;

	w->image.segments[0].memsz = UINT64_MAX;
	refused(w, ENOEXEC, "outside");
	w->image.segments[0].memsz = UINT64_MAX - KERNEL_PADDR;
	refused(w, ENOEXEC, "address space");
	w->image.segments[0].memsz = 1ull << 50;
	refused(w, ENOEXEC, "address space");
	w->image.segments[0].memsz = 1ull << 30;
	refused(w, ENOMEM, "needs at least memory");
	w->image.segments[1].paddr = UINT64_MAX - 50;
	refused(w, ENOEXEC, "outside");
	w->image.segments[1].paddr = KERNEL_PADDR + 3 * 4096 - 1;
	refused(w, ENOEXEC, "segments 0 and 1 overlap");
	w->image.segments[0].filesz = 4 * 4096;
	refused(w, ENOEXEC, "longer in the file");
	w->f->boot.ramdisk_size = UINT64_MAX;
	refused(w, ENOEXEC, "address space");
	w->f->boot.ramdisk_size = UINT64_MAX;
	image_linux(&w->image);
	w->f->boot.ramdisk_size = UINT64_MAX;
	refused(w, ENOMEM, "needs at least memory");
}

static struct world *ram_of(struct world *w, uint64_t size)
{
	w->f->ram_size = size;
	return w;
}

/* The number in the message is the least that works. */
static void memory_that_is_too_small(void **state)
{
	struct world *w = *state;
	unsigned int mib = 0;

	/* Ends at 4 MiB; the ramdisk is behind it. */
	image_linux(&w->image);
	assert_int_equal(pv_build_check(&ram_of(w, 4 << 20)->build), -ENOMEM);
	assert_int_equal(sscanf(w->f->last_fail, "vmlinux needs at least memory = %u (MiB)", &mib), 1);
	assert_int_equal(mib, 5);
	assert_int_equal(pv_build_check(&ram_of(w, 5 << 20)->build), 0);
	/* With a ramdisk of 20 MiB and the list in the way of the guess. */
	w->f->boot.ramdisk_size = (20 << 20) + 1;
	assert_int_equal(pv_build_check(&ram_of(w, 1 << 20)->build), -ENOMEM);
	assert_int_equal(sscanf(w->f->last_fail, "vmlinux needs at least memory = %u (MiB)", &mib), 1);
	assert_int_equal(pv_build_check(&ram_of(w, (uint64_t)mib << 20)->build), 0);
	assert_int_equal(pv_build_check(&ram_of(w, (uint64_t)(mib - 1) << 20)->build), -ENOMEM);
	/* More memory does not help when it comes behind a hole. */
	w->f->table.mem_ranges = low_and_high;
	assert_int_equal(pv_build_check(&w->build), -ENOMEM);
	assert_non_null(strstr(w->f->last_fail, "only the first 4 MiB of memory can hold them"));
	ram_of(w, RAM);
}

static void console_comes_late(void **state)
{
	struct world *w = *state;
	const struct start_info *info = built(w);

	assert_int_equal(pv_build_console(&w->build, 0x1234, 9), 0);
	assert_int_equal(info->console.domU.mfn, 0x1234);
	assert_int_equal(info->console.domU.evtchn, 9);
	assert_int_equal(info->store_evtchn, PORT);
	assert_int_equal(info->pt_base, pv_layout_va(&w->build.layout, w->build.layout.root));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(small_kernel), T(ramdisk_is_mapped_after_the_kernel), T(linux_has_list_and_ramdisk_apart),
		T(list_shares_tables), T(grub_starts_at_zero), T(offsets_in_physical_addresses),
		T(region_at_the_very_end), T(hypercall_page_is_filled), T(legacy_kernel), T(list_jumps_over_the_hole),
		T(images_that_are_not_for_it), T(hostile_numbers), T(places_for_the_list_that_do_not_count),
		T(hostile_segments), T(memory_that_is_too_small), T(console_comes_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
