/* SPDX-License-Identifier: MIT */
/*
 * Page tables, translations and memory, through a window of 2 MiB whose entries
 * of level 1 are at hand: by a table of our own in ring 0, by the PV guest's
 * window otherwise.
 */
#include "measure.h"

#define NATIVE_WINDOW 0x10000000000ull /* top-level slot 2 */
#define ENTRIES 512u
#define LIST 16u
#define FRESH_START (32ull << 20) /* far behind the image and what is loaded with it */
#define FRESH_BYTES (16ull << 20)
#define BUFFER_BYTES (2u << 20)

extern uint64_t pml4[512];
static uint64_t other_top[512] PAGE_ALIGNED;
static uint64_t page[512] PAGE_ALIGNED;
static uint64_t buffer[2][BUFFER_BYTES / 8] PAGE_ALIGNED;
static uint64_t fresh, fresh_end;

static uint64_t window(void)
{
	return probe.pv ? WINDOW : NATIVE_WINDOW;
}

static uint64_t page_entry(void)
{
	return pv_machine(page) | PTE_RW;
}

/* ---- ready ------------------------------------------------------------------------- */

static uint64_t ram_top(void)
{
	const struct hvm_memmap_table_entry *map;

	if (probe.pv)
		return pv.start->nr_pages * PAGE_BYTES;
	if (probe.pc)
		return pc.memory_top;
	map = (const void *)probe.start->memmap_paddr;
	for (uint32_t i = 0; i < probe.start->memmap_entries; i++)
		if (map[i].type == XEN_HVM_MEMMAP_TYPE_RAM && map[i].addr <= FRESH_START)
			if (map[i].addr + map[i].size > FRESH_START)
				return map[i].addr + map[i].size;
	return 0;
}

static void link_native(void)
{
	window_l2[0] = (uint64_t)window_l1 | PTE_RW;
	window_l3[0] = (uint64_t)window_l2 | PTE_RW;
	pml4[2] = (uint64_t)window_l3 | PTE_RW;
	memcpy(other_top, pml4, PAGE_BYTES);
}

bool measure_memory_prepare(void)
{
	if (probe.pv) /* for pte-store */
		HYPERCALL2(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
	else
		link_native();
	setup_tlb_warm(ENTRIES);
	if (ram_top() < FRESH_START + FRESH_BYTES)
		return false;
	fresh = FRESH_START;
	fresh_end = FRESH_START + FRESH_BYTES;
	return true;
}

/* ---- translations dropped ------------------------------------------------------------ */

static void write_cr3(const uint64_t *top)
{
	__asm__ volatile("movq %0, %%cr3" ::"r"(top) : "memory");
}

static void invlpg(uint64_t va)
{
	__asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}

static void touch(uint64_t va)
{
	uint64_t value;

	__asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(va) : "memory");
}

bool run_flush_native(unsigned n)
{
	while (n--)
		write_cr3(pml4);
	return true;
}

bool run_flush_pv(unsigned n)
{
	while (n--)
		if (pv_ext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0) != 0)
			return false;
	return true;
}

bool run_flush_page_native(unsigned n)
{
	while (n--)
		invlpg(window());
	return true;
}

bool run_flush_page_pv(unsigned n)
{
	while (n--)
		if (pv_ext(MMUEXT_INVLPG_LOCAL, WINDOW, 0) != 0)
			return false;
	return true;
}

/* ---- entries --------------------------------------------------------------------------- */

/* Entry 0 is there and not there in turn, and there at last. */
static uint64_t turn(unsigned n)
{
	return n & 1 ? 0 : page_entry();
}

bool run_pte_native(unsigned n)
{
	while (n--) {
		*(volatile uint64_t *)&window_l1[0] = turn(n);
		invlpg(window());
	}
	return true;
}

/* Natively without a flush; of a PV kernel it is a write to a page that it has for reading. */
bool run_pte_store(unsigned n)
{
	while (n--)
		*(volatile uint64_t *)&window_l1[0] = turn(n);
	return true;
}

bool run_va_mapping(unsigned n)
{
	while (n--)
		if (pv_va_mapping(WINDOW, turn(n), UVMF_INVLPG) != 0)
			return false;
	return true;
}

bool run_mmu_update(unsigned n)
{
	while (n--)
		if (pv_update(&window_l1[0], MMU_NORMAL_PT_UPDATE, turn(n)) != 0)
			return false;
	return true;
}

/* One page and another, so that it can be touched at each. */
static uint64_t other_entry(unsigned n)
{
	return n & 1 ? pv_machine(buffer) | PTE_RW : page_entry();
}

bool run_pte_touch_native(unsigned n)
{
	while (n--) {
		*(volatile uint64_t *)&window_l1[0] = other_entry(n);
		invlpg(window());
		touch(window());
	}
	return true;
}

bool run_pte_touch_pv(unsigned n)
{
	while (n--) {
		if (pv_va_mapping(WINDOW, other_entry(n), UVMF_INVLPG) != 0)
			return false;
		touch(WINDOW);
	}
	return true;
}

/* As kernels do it for more than a few: all stores, then one flush of everything. */
bool run_pte_batch_native(unsigned n)
{
	for (unsigned done = 0; done < n; done += LIST) {
		for (unsigned i = 0; i < LIST; i++)
			*(volatile uint64_t *)&window_l1[i] = turn(done / LIST + 1);
		write_cr3(pml4);
	}
	return true;
}

bool run_mmu_update_list(unsigned n)
{
	struct mmu_update list[LIST];

	for (unsigned done = 0; done < n; done += LIST) {
		for (unsigned i = 0; i < LIST; i++)
			list[i] = (struct mmu_update){ pv_machine(&window_l1[i]), turn(done / LIST + 1) };
		if (probe.hypercall(__HYPERVISOR_mmu_update, (uint64_t)list, (uint64_t)LIST, 0ull, (uint64_t)DOMID_SELF,
		                    0ull) != 0 ||
		    pv_ext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0) != 0)
			return false;
	}
	return true;
}

/* ---- address spaces ---------------------------------------------------------------------- */

bool run_space_native(unsigned n)
{
	while (n--)
		write_cr3(n & 1 ? other_top : pml4);
	return true;
}

/* As kernels switch: both spaces in one call. */
bool run_space_pv(unsigned n)
{
	struct mmuext_op both[2] = {
		{ .cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = pv.l4 },
		{ .cmd = MMUEXT_NEW_USER_BASEPTR, .arg1.mfn = pv.user_l4 },
	};

	while (n--)
		if (probe.hypercall(__HYPERVISOR_mmuext_op, (uint64_t)both, 2ull, 0ull, (uint64_t)DOMID_SELF, 0ull) != 0)
			return false;
	return true;
}

/* ---- touching ------------------------------------------------------------------------------ */

/* The same page behind all of the window, so that the translations alone are many. */
static void map_window(uint64_t (*entry)(unsigned i))
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		if (window_l1[i] == entry(i))
			continue;
		if (probe.pv)
			pv_va_mapping(WINDOW + (uint64_t)i * PAGE_BYTES, entry(i), UVMF_INVLPG);
		else
			window_l1[i] = entry(i);
	}
	if (!probe.pv)
		write_cr3(pml4);
}

static uint64_t same_page(unsigned i)
{
	(void)i;
	return page_entry();
}

bool run_strides(unsigned n)
{
	uint64_t va = window();

	for (unsigned i = 0; i < n; i++)
		touch(va + (uint64_t)i % ENTRIES * PAGE_BYTES);
	return true;
}

void setup_tlb_warm(unsigned n)
{
	map_window(same_page);
	run_strides(n);
}

/* With accessed bits set, but no translation kept. */
void setup_tlb_cold(unsigned n)
{
	setup_tlb_warm(n);
	if (probe.pv)
		pv_ext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0);
	else
		write_cr3(pml4);
}

/* ---- pages that nobody has touched ----------------------------------------------------------- */

static uint64_t fresh_page(unsigned i)
{
	return frame_of((const void *)(fresh + (uint64_t)i * PAGE_BYTES)) * PAGE_BYTES | PTE_RW;
}

/* The window shows the next n; entries behind them keep what they have. */
void setup_fresh(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (probe.pv)
			pv_va_mapping(WINDOW + (uint64_t)i * PAGE_BYTES, fresh_page(i), UVMF_INVLPG);
		else
			window_l1[i] = fresh_page(i);
	if (!probe.pv)
		write_cr3(pml4);
	fresh += (uint64_t)n * PAGE_BYTES;
}

bool run_touch(unsigned n)
{
	if (fresh > fresh_end)
		return false;
	for (unsigned i = 0; i < n; i++)
		*(volatile uint64_t *)(window() + (uint64_t)i * PAGE_BYTES) = 1;
	return true;
}

/* ---- bandwidth --------------------------------------------------------------------------------- */

bool run_read(unsigned n)
{
	while (n--) {
		const uint64_t *at = buffer[0], *end = at + ARRAY_LEN(buffer[0]);
		uint64_t sum = 0;

		for (; at < end; at += 8)
			__asm__ volatile("addq (%1), %0; addq 8(%1), %0; addq 16(%1), %0; addq 24(%1), %0;"
			                 "addq 32(%1), %0; addq 40(%1), %0; addq 48(%1), %0; addq 56(%1), %0"
			                 : "+r"(sum)
			                 : "r"(at)
			                 : "memory", "cc");
	}
	return true;
}

bool run_write(unsigned n)
{
	while (n--) {
		void *to = buffer[0];
		uint64_t count = ARRAY_LEN(buffer[0]);

		__asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0x5555ull) : "memory");
	}
	return true;
}

bool run_copy(unsigned n)
{
	while (n--) {
		void *to = buffer[1];
		const void *from = buffer[0];
		uint64_t count = ARRAY_LEN(buffer[0]);

		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count)::"memory");
	}
	return true;
}
