/* SPDX-License-Identifier: MIT */
/* Descriptor tables and segment bases of a PV guest. */
#include "pv.h"

#include <xen/errno.h>

static uint64_t gdt_page[512] PAGE_ALIGNED, ldt_page[512] PAGE_ALIGNED;
static uint64_t value_a = 0xaaaa, value_b = 0xbbbb;

#define SELECTOR_GDT 0x13 /* entry 2 */
#define SELECTOR_LDT 0x0f /* entry 1 */

static uint64_t descriptor(const void *base, uint64_t access)
{
	uint64_t b = (uint64_t)base;

	return 0x00cf00000000ffffull | access << 40 | (b & 0xffffff) << 16 | (b >> 24 & 0xff) << 56;
}

static uint64_t data_at(const void *base)
{
	return descriptor(base, 0xf3);
}

static uint64_t load_fs(uint16_t selector)
{
	uint64_t value;

	__asm__ volatile("movw %w1, %%fs; movq %%fs:0, %0" : "=r"(value) : "r"(selector));
	return value;
}

static void drop_fs(void)
{
	__asm__ volatile("movw %w0, %%fs" ::"r"(0));
}

static long set_gdt(uint64_t frame, unsigned entries)
{
	return HYPERCALL2(__HYPERVISOR_set_gdt, &frame, entries);
}

static long update_descriptor(uint64_t machine, uint64_t desc)
{
	return HYPERCALL2(__HYPERVISOR_update_descriptor, machine, desc);
}

static void check_gdt(void)
{
	uint64_t frame = frame_of(gdt_page), machine = pv_machine(gdt_page);

	gdt_page[2] = data_at(&value_a);
	check(set_gdt(frame, 512) < 0, "GDT: not while it is mapped writable");
	pv_page_rights(gdt_page, PTE_RO);
	check(set_gdt(frame, 512) == 0, "GDT: set");
	check(load_fs(SELECTOR_GDT) == 0xaaaa, "GDT: its base is used");
	check(pv_page_rights(gdt_page, PTE_RW) < 0, "GDT: no writable mapping of it");
	check(update_descriptor(machine + 16, data_at(&value_b)) == 0 && gdt_page[2] == data_at(&value_b),
	      "update_descriptor: stores");
	check(load_fs(SELECTOR_GDT) == 0xbbbb, "update_descriptor: loaded again, it is used");
	check(update_descriptor(machine + 24, 0x00008b0000000067ull) < 0, "update_descriptor: no TSS");
	check(update_descriptor(machine + 17, 0) < 0, "update_descriptor: unaligned");
	check(update_descriptor(pv_machine(window_l1), 0) < 0, "update_descriptor: not in a page table");
	check(update_descriptor(1ull << 50, 0) < 0, "update_descriptor: not in what is no frame");
	check(set_gdt(frame, FIRST_RESERVED_GDT_ENTRY + 1) == -XEN_EINVAL, "GDT: not over the monitor's part");
	check(set_gdt(1ull << 40, 512) < 0, "GDT: not what is no frame");
	check(load_fs(SELECTOR_GDT) == 0xbbbb, "GDT: what is refused changes nothing");
}

static void end_gdt(void)
{
	drop_fs();
	check(set_gdt(0, 0) == 0, "GDT: none");
	check_trap("selector of a GDT that is gone", TRAPS("movw %w[s], %%fs", [s] "r"(SELECTOR_GDT)), 13,
	           SELECTOR_GDT & ~3);
	check(pv_page_rights(gdt_page, PTE_RW) == 0, "GDT: its page may be written again");
}

static void check_ldt(void)
{
	ldt_page[1] = data_at(&value_a);
	pv_page_rights(ldt_page, PTE_RO);
	check(pv_ext(MMUEXT_SET_LDT, (uint64_t)ldt_page, 512) == 0, "LDT: set");
	check(load_fs(SELECTOR_LDT) == 0xaaaa, "LDT: its base is used");
	check(pv_ext(MMUEXT_SET_LDT, (uint64_t)ldt_page + 8, 512) < 0, "LDT: unaligned");
	check(pv_ext(MMUEXT_SET_LDT, (uint64_t)ldt_page, 8193) < 0, "LDT: too long");
	check(pv_ext(MMUEXT_SET_LDT, HOLE, 512) < 0, "LDT: the monitor's memory");
	drop_fs();
	check(pv_ext(MMUEXT_SET_LDT, 0, 0) == 0, "LDT: none");
	check_trap("selector of an LDT that is gone", TRAPS("movw %w[s], %%fs", [s] "r"(SELECTOR_LDT)), 13,
	           SELECTOR_LDT & ~3);
	check(pv_page_rights(ldt_page, PTE_RW) == 0, "LDT: its page may be written again");
}

static long set_base(unsigned which, const void *base)
{
	return HYPERCALL2(__HYPERVISOR_set_segment_base, which, base);
}

static uint64_t at_fs(void)
{
	uint64_t value;

	__asm__ volatile("movq %%fs:0, %0" : "=r"(value));
	return value;
}

static uint64_t at_gs(void)
{
	uint64_t value;

	__asm__ volatile("movq %%gs:0, %0" : "=r"(value));
	return value;
}

void user_load_gs(void);
void user_load_fs(void);

static void check_bases(void)
{
	check(set_base(SEGBASE_FS, &value_a) == 0 && at_fs() == 0xaaaa, "base: FS");
	check(set_base(SEGBASE_GS_KERNEL, &value_a) == 0 && at_gs() == 0xaaaa, "base: GS of the kernel");
	check(set_base(SEGBASE_GS_USER, &value_b) == 0 && at_gs() == 0xaaaa, "base: GS of user mode is another");
	check(user_run(user_load_fs, 0) == 0xaaaa, "base: FS in user mode");
	check(user_run(user_load_gs, 0) == 0xbbbb, "base: GS in user mode");
	check(at_gs() == 0xaaaa, "base: GS of the kernel is back after it");
	check(set_base(SEGBASE_GS_USER_SEL, (void *)SELECTOR_GDT) == 0 && at_gs() == 0xaaaa,
	      "base: user GS by a selector");
	update_descriptor(pv_machine(gdt_page) + 16, data_at(&value_a));
	set_base(SEGBASE_GS_KERNEL, &value_b);
	check(set_base(SEGBASE_GS_USER_SEL, (void *)SELECTOR_GDT) == 0 && user_run(user_load_gs, 0) == 0xaaaa,
	      "base: is the descriptor's in user mode");
	check(at_gs() == 0xbbbb, "base: and the kernel's stays");
	set_base(SEGBASE_GS_USER_SEL, (void *)0x1003); /* Xen takes null for it and says nothing */
	check(at_gs() == 0xbbbb, "base: a selector past the tables does no harm");
	check(set_base(SEGBASE_GS_USER_SEL, NULL) == 0, "base: a null selector");
	check(set_base(SEGBASE_FS, (void *)NONCANONICAL) == -XEN_EINVAL && at_fs() == 0xaaaa,
	      "base: not noncanonical");
	check(set_base(9, NULL) == -XEN_EINVAL, "base: of which there is none");
	set_base(SEGBASE_FS, NULL);
	set_base(SEGBASE_GS_KERNEL, NULL);
	set_base(SEGBASE_GS_USER, NULL);
}

void check_pv_segment(void)
{
	check_gdt();
	check_bases();
	end_gdt();
	check_ldt();
}
