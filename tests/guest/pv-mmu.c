/* SPDX-License-Identifier: MIT */
/* Changing entries of page tables: mmu_update, update_va_mapping, and plain stores. */
#include "pv.h"

#include <xen/errno.h>

static uint64_t page_a[512] PAGE_ALIGNED, page_b[512] PAGE_ALIGNED;
static volatile uint64_t *const window = (volatile uint64_t *)WINDOW;

static uint64_t frame_a, frame_b; /* as addresses in an entry */

static long updates(struct mmu_update *u, uint64_t count, uint32_t *done, uint64_t dom)
{
	return probe.hypercall(__HYPERVISOR_mmu_update, (uint64_t)u, count, (uint64_t)done, dom, 0ull);
}

static void flush(void)
{
	pv_ext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0);
}

static void check_update(void)
{
	check(pv_update(&window_l1[0], MMU_NORMAL_PT_UPDATE, frame_a | PTE_RW) == 0 && window[0] == 0xa,
	      "mmu_update: maps a page");
	check((window_l1[0] & (PTE_P | PTE_W | PTE_U)) == (PTE_P | PTE_W | PTE_U) &&
	              (window_l1[0] & ~0xfffull) == frame_a,
	      "mmu_update: the entry is there");
	window[1] = 1; /* A and D */
	check(pv_update(&window_l1[0], MMU_PT_UPDATE_PRESERVE_AD, frame_a | PTE_P | PTE_W | PTE_U) == 0 &&
	              (window_l1[0] & (PTE_A | PTE_D)) == (PTE_A | PTE_D),
	      "mmu_update: A and D preserved");
	check(pv_update(&window_l1[0], MMU_NORMAL_PT_UPDATE, frame_a | PTE_P | PTE_W) == 0 && (window_l1[0] & PTE_U),
	      "mmu_update: entries get the user bit");
	check(pv_update(&window_l1[0], MMU_PT_UPDATE_NO_TRANSLATE, frame_b | PTE_RW) == 0,
	      "mmu_update: not to be translated");
	flush();
	check(window[0] == 0xb, "mmu_update: and flushed, it maps another page");
	check(pv_update(&window_l1[0], MMU_NORMAL_PT_UPDATE, 0) == 0, "mmu_update: unmaps");
	flush();
	check_trap("read of a page that was unmapped", TRAPS("movq (%[a]), %%rcx", [a] "r"(window)), 14, 0);
}

static void check_machphys(void)
{
	uint64_t machine = pv_machine(page_a) | MMU_MACHPHYS_UPDATE, pfn = (uint64_t)page_a / PAGE_BYTES;

	check(pv_update_at(machine, 0x1234) == 0 && pv.m2p[frame_of(page_a)] == 0x1234,
	      "mmu_update: machine-to-physical entry");
	check(pv_update_at(machine, pfn) == 0 && pv.m2p[frame_of(page_a)] == pfn, "mmu_update: put back");
	check(pv_update_at(1ull << 50 | MMU_MACHPHYS_UPDATE, 0) < 0, "mmu_update: machine-to-physical of no frame");
}

static void check_update_list(void)
{
	struct mmu_update u[3] = {
		{ pv_machine(&window_l1[0]), frame_a | PTE_RW },
		{ pv_machine(&window_l1[1]), 0x000ffffffff00000ull | PTE_RW },
		{ pv_machine(&window_l1[2]), frame_a | PTE_RW },
	};
	uint32_t done = 77;

	check(updates(u, 3, &done, DOMID_SELF) < 0 && done == 1, "mmu_update: a list stops at the entry that is bad");
	check(window_l1[1] == 0 && window_l1[2] == 0, "mmu_update: and does no more");
	u[1].val = frame_b | PTE_RW;
	check(updates(u, 3, &done, DOMID_SELF) == 0 && done == 3 && window[0] == 0xa && window[512] == 0xb,
	      "mmu_update: a list of three");
	u[0].val = u[1].val = u[2].val = 0;
	check(updates(u, 3, NULL, DOMID_SELF) == 0, "mmu_update: without a count back");
	flush();
	check(updates((struct mmu_update *)UNMAPPED, 1, NULL, DOMID_SELF) == -XEN_EFAULT, "mmu_update: list nowhere");
	check(updates(u, 1, NULL, 5) < 0, "mmu_update: another domain's");
}

/* What would let the guest out of its frames, or at tables behind the monitor's back. */
static void check_refused(void)
{
	uint64_t l1 = pv_machine(window_l1), l4 = pv.l4 * PAGE_BYTES;

	check(pv_update_at(1ull << 50, frame_a | PTE_RW) < 0, "mmu_update: a table that is no frame");
	check(pv_update(&window_l1[5], 0, 0x000ffffffffff000ull | PTE_RW) < 0, "mmu_update: a frame that is none");
	check(pv_update(&window_l1[5], 0, l1 | PTE_RW) < 0, "mmu_update: no writable mapping of a table");
	check(pv_update(&window_l1[5], 0, l4 | PTE_RW) < 0, "mmu_update: nor of the top one");
	check(pv_update_at(l4 + 256 * 8, frame_a | PTE_RW) < 0, "mmu_update: the monitor's first slot");
	check(pv_update_at(l4 + 271 * 8, 0) < 0, "mmu_update: the monitor's last slot");
	check(pv_update(&window_l2[1], 0, frame_a | PTE_RW) < 0,
	      "mmu_update: a page that is mapped writable as a table");
	check(pv_update(&window_l2[1], 0, frame_a | PTE_RW | 0x80) < 0, "mmu_update: a large page");
	check(window_l1[5] == 0 && window_l2[1] == 0, "mmu_update: nothing of that was stored");
}

static void check_va_mapping(void)
{
	static const unsigned long flags[] = {
		UVMF_TLB_FLUSH | UVMF_LOCAL,
		UVMF_TLB_FLUSH | UVMF_ALL,
		UVMF_INVLPG | UVMF_LOCAL,
		UVMF_INVLPG | UVMF_ALL,
	};
	static unsigned long all_cpus[64] = { ~0ul };
	uint64_t value;

	pv_va_mapping(WINDOW, frame_a | PTE_RW, UVMF_NONE);
	value = window[0];
	check(value == 0xa, "update_va_mapping: maps");
	for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
		value ^= 0xa ^ 0xb;
		check(pv_va_mapping(WINDOW, (value == 0xa ? frame_a : frame_b) | PTE_RW, flags[i]) == 0 &&
		              window[0] == value,
		      "update_va_mapping: flags %lu", flags[i]);
	}
	value ^= 0xa ^ 0xb;
	check(pv_va_mapping(WINDOW, (value == 0xa ? frame_a : frame_b) | PTE_RW,
	                    UVMF_INVLPG | UVMF_MULTI | (uint64_t)all_cpus) == 0 &&
	              window[0] == value,
	      "update_va_mapping: flags with a bitmap");
	check(pv_va_mapping(UNMAPPED, frame_a | PTE_RW, 0) < 0, "update_va_mapping: an address without a table");
	check(pv_va_mapping(HOLE, frame_a | PTE_RW, 0) < 0, "update_va_mapping: the monitor's address");
	check(pv_va_mapping(NONCANONICAL, frame_a | PTE_RW, 0) < 0, "update_va_mapping: noncanonical");
	check(pv_va_mapping(WINDOW, 0x000ffffffffff000ull | PTE_RW, 0) < 0, "update_va_mapping: no such frame");
	check(pv_va_mapping(WINDOW, 0, UVMF_INVLPG) == 0 && !TRAPS("nop", "i"(0)), "update_va_mapping: unmaps");
}

/* A store to a table that is mapped read-only is checked and done by the monitor. */
static void check_native(void)
{
	volatile uint64_t *entry = &window_l1[3];
	volatile uint64_t *page = window + 3 * 512;
	uint64_t old = frame_b | PTE_RW, expected;
	bool was;

	check_trap("store to a table without the assist",
	           TRAPS("movq %[v], (%[p])", [p] "r"(entry), [v] "r"(frame_a | PTE_RW)), 14, 3);
	check(HYPERCALL2(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_writable_pagetables) == 0,
	      "vm_assist: writable page tables");
	check(!TRAPS("movq %[v], (%[p])", [p] "r"(entry), [v] "r"(frame_a | PTE_RW)) && page[0] == 0xa,
	      "store to a table: mov");
	__asm__ volatile("xchgq %0, %1" : "+r"(old), "+m"(*entry)::"memory");
	flush();
	check((old & ~0xfffull) == frame_a && page[0] == 0xb, "store to a table: xchg");
	expected = *entry;
	__asm__ volatile("lock cmpxchgq %2, %1"
	                 : "+a"(expected), "+m"(*entry)
	                 : "r"(frame_a | PTE_RW)
	                 : "memory", "cc");
	flush();
	check(page[0] == 0xa, "store to a table: lock cmpxchg");
	expected = 0x1234;
	__asm__ volatile("lock cmpxchgq %2, %1" : "+a"(expected), "+m"(*entry) : "r"(0ull) : "memory", "cc");
	check(expected == *entry && page[0] == 0xa, "store to a table: cmpxchg of another value");
	__asm__ volatile("lock btrq $1, %1; setc %0" : "=q"(was), "+m"(*entry)::"memory", "cc");
	flush();
	check(was && !(*entry & PTE_W), "store to a table: lock btr");
	check_trap("write to the page that is read-only now", TRAPS("movq %%rcx, (%[a])", [a] "r"(page)), 14, 3);
	__asm__ volatile("lock orq $2, %0" : "+m"(*entry)::"memory", "cc");
	check((*entry & PTE_W) && (*entry & PTE_U), "store to a table: lock or");
	*entry = 0;
	flush();
	check_trap("read of the page that it unmapped", TRAPS("movq (%[a]), %%rcx", [a] "r"(page)), 14, 0);
	check_trap("store of a frame that is none",
	           TRAPS("movq %[v], (%[p])", [p] "r"(entry), [v] "r"(0x000ffffffffff000ull | PTE_RW)), 14, 3);
	check(*entry == 0, "store to a table: what is refused is not stored");
}

static void check_flushes(void)
{
	static unsigned long all_cpus[64] = { ~0ul };

	check(pv_ext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0) == 0, "mmuext_op: TLB_FLUSH_LOCAL");
	check(pv_ext(MMUEXT_INVLPG_LOCAL, WINDOW, 0) == 0, "mmuext_op: INVLPG_LOCAL");
	check(pv_ext(MMUEXT_TLB_FLUSH_MULTI, 0, (uint64_t)all_cpus) == 0, "mmuext_op: TLB_FLUSH_MULTI");
	check(pv_ext(MMUEXT_INVLPG_MULTI, WINDOW, (uint64_t)all_cpus) == 0, "mmuext_op: INVLPG_MULTI");
	check(pv_ext(MMUEXT_TLB_FLUSH_ALL, 0, 0) == 0, "mmuext_op: TLB_FLUSH_ALL");
	check(pv_ext(MMUEXT_INVLPG_ALL, WINDOW, 0) == 0, "mmuext_op: INVLPG_ALL");
	check(pv_ext(MMUEXT_TLB_FLUSH_MULTI, 0, UNMAPPED) < 0, "mmuext_op: a bitmap nowhere");
	check(pv_ext(14, 0, 0) == -XEN_ENOSYS && pv_ext(99, 0, 0) == -XEN_ENOSYS,
	      "mmuext_op: commands that are not there");
}

static void check_pages(void)
{
	static uint64_t page[512] PAGE_ALIGNED;

	page[511] = 5;
	check(pv_ext(MMUEXT_COPY_PAGE, frame_of(page), frame_of(page_a)) == 0 && page[0] == 0xa && page[511] == 0,
	      "mmuext_op: COPY_PAGE");
	check(pv_ext(MMUEXT_CLEAR_PAGE, frame_of(page), 0) == 0 && page[0] == 0, "mmuext_op: CLEAR_PAGE");
	check(pv_ext(MMUEXT_CLEAR_PAGE, frame_of(window_l1), 0) < 0 && pv_ext(MMUEXT_CLEAR_PAGE, 1ull << 40, 0) < 0,
	      "mmuext_op: CLEAR_PAGE of a table, of no frame");
	check(pv_ext(MMUEXT_COPY_PAGE, frame_of(window_l1), frame_of(page_a)) < 0, "mmuext_op: COPY_PAGE to a table");
}

void check_pv_mmu(void)
{
	page_a[0] = 0xa;
	page_b[0] = 0xb;
	frame_a = pv_machine(page_a);
	frame_b = pv_machine(page_b);
	check_update();
	check_machphys();
	check_update_list();
	check_refused();
	check_va_mapping();
	check_native();
	check_flushes();
	check_pages();
}
