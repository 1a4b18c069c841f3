/* SPDX-License-Identifier: MIT */
/* Whole tables: pinning, and other address spaces. */
#include "pv.h"

#include <xen/errno.h>

static uint64_t l1[512] PAGE_ALIGNED, other_l1[512] PAGE_ALIGNED, other_l2[512] PAGE_ALIGNED;
static uint64_t other_l3[512] PAGE_ALIGNED, other_l4[512] PAGE_ALIGNED;
static uint64_t here[512] PAGE_ALIGNED, there[512] PAGE_ALIGNED;

static volatile uint64_t *const window = (volatile uint64_t *)WINDOW;

static void check_pin(void)
{
	l1[7] = pv_machine(here) | PTE_P | PTE_W | PTE_A;
	check(pv_ext(MMUEXT_PIN_L1_TABLE, frame_of(l1), 0) < 0, "pin: not while it is mapped writable");
	pv_page_rights(l1, PTE_RO);
	check(pv_ext(MMUEXT_PIN_L1_TABLE, frame_of(l1), 0) == 0, "pin: level 1");
	check(l1[7] & PTE_U, "pin: its entries get the user bit");
	check(pv_page_rights(l1, PTE_RW) < 0, "pin: no writable mapping of it any more");
	check(pv_ext(MMUEXT_PIN_L2_TABLE, frame_of(l1), 0) < 0, "pin: not as another level");
	check(pv_update(&window_l2[2], 0, pv_machine(l1) | PTE_RW) == 0 && window[2 * 512 * 512 + 7 * 512] == 0x4e4e,
	      "pin: linked afterwards, it maps");
	check(pv_update(&window_l2[2], 0, 0) == 0 && pv_ext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0) == 0, "pin: and taken out");
	check(pv_ext(MMUEXT_UNPIN_TABLE, frame_of(l1), 0) == 0, "unpin");
	check(pv_ext(MMUEXT_UNPIN_TABLE, frame_of(l1), 0) == -XEN_EINVAL, "unpin: of what is not pinned");
	check(pv_page_rights(l1, PTE_RW) == 0, "unpin: it may be written again");
	l1[8] = 0x000ffffffffff000ull | PTE_RW;
	pv_page_rights(l1, PTE_RO);
	check(pv_ext(MMUEXT_PIN_L1_TABLE, frame_of(l1), 0) < 0, "pin: not with an entry of no frame");
	check(pv_ext(MMUEXT_PIN_L4_TABLE, 1ull << 40, 0) < 0, "pin: not what is no frame");
	check(pv_page_rights(l1, PTE_RW) == 0, "pin: what was refused may be written");
}

/* A second space: the kernel's own, but for the window. */
static void build_other(void)
{
	other_l1[0] = pv_machine(there) | PTE_RW;
	other_l2[0] = pv_machine(other_l1) | PTE_RW;
	other_l3[0] = pv_machine(other_l2) | PTE_RW;
	memcpy(other_l4, pv_table(pv.l4), PAGE_BYTES);
	for (unsigned i = 256; i < 272; i++)
		other_l4[i] = 0;
	other_l4[WINDOW_SLOT] = pv_machine(other_l3) | PTE_RW;
	pv_page_rights(other_l1, PTE_RO);
	pv_page_rights(other_l2, PTE_RO);
	pv_page_rights(other_l3, PTE_RO);
	pv_page_rights(other_l4, PTE_RO);
}

static uint64_t cr3(void)
{
	uint64_t value;

	__asm__ volatile("movq %%cr3, %0" : "=r"(value));
	return value;
}

static void check_spaces(void)
{
	uint64_t other = frame_of(other_l4);

	pv_window(0, here);
	build_other();
	if (!check(pv_ext(MMUEXT_PIN_L4_TABLE, other, 0) == 0, "pin: level 4"))
		return;
	check(window[0] == 0x4e4e, "address space: the window shows one page");
	check(pv_ext(MMUEXT_NEW_BASEPTR, other, 0) == 0 && window[0] == 0x7e7e,
	      "NEW_BASEPTR: and in another, another");
	check(cr3() == other * PAGE_BYTES, "NEW_BASEPTR: cr3 reads as it");
	check(pv.m2p[other] == (uint64_t)other_l4 / PAGE_BYTES,
	      "NEW_BASEPTR: the machine-to-physical table is there");
	check(pv_ext(MMUEXT_NEW_BASEPTR, pv.l4, 0) == 0 && window[0] == 0x4e4e, "NEW_BASEPTR: back");
	__asm__ volatile("movq %0, %%cr3" ::"r"(other * PAGE_BYTES) : "memory");
	check(window[0] == 0x7e7e, "mov to cr3");
	__asm__ volatile("movq %0, %%cr3" ::"r"(pv.l4 * PAGE_BYTES) : "memory");
	check(window[0] == 0x4e4e, "mov to cr3: back");
	check(pv_ext(MMUEXT_NEW_BASEPTR, frame_of(other_l3), 0) < 0, "NEW_BASEPTR: not of a level 3 table");
	check(pv_ext(MMUEXT_NEW_BASEPTR, frame_of(here), 0) < 0, "NEW_BASEPTR: not of a plain page");
	check(pv_ext(MMUEXT_NEW_BASEPTR, 1ull << 40, 0) < 0, "NEW_BASEPTR: not of no frame");
	check(pv_ext(MMUEXT_NEW_USER_BASEPTR, frame_of(here), 0) < 0, "NEW_USER_BASEPTR: not of a plain page");
	check(pv_ext(MMUEXT_UNPIN_TABLE, other, 0) == 0, "unpin: level 4");
	check(pv_ext(MMUEXT_NEW_BASEPTR, other, 0) == 0 && window[0] == 0x7e7e,
	      "NEW_BASEPTR: of a table that is not pinned");
	check(pv_ext(MMUEXT_NEW_BASEPTR, pv.l4, 0) == 0 && window[0] == 0x4e4e, "NEW_BASEPTR: and back");
	check(pv_page_rights(other_l4, PTE_RW) == 0 && pv_page_rights(other_l3, PTE_RW) == 0,
	      "unpin: all of it may be written again");
	pv_window(0, NULL);
}

void check_pv_pin(void)
{
	here[0] = 0x4e4e;
	there[0] = 0x7e7e;
	check_pin();
	check_spaces();
}
