/* SPDX-License-Identifier: MIT */
/* What a PV guest starts with: start_info, its frames, its first page tables. */
#include "pv.h"

static uint64_t read_cr3(void)
{
	uint64_t cr3;

	__asm__ volatile("movq %%cr3, %0" : "=r"(cr3));
	return cr3;
}

static void check_info(const struct start_info *s)
{
	check(has_prefix(s->magic, "xen-3.0-x86_64"), "start info: magic");
	check(s->nr_pages * PAGE_BYTES > (uint64_t)image_end, "start info: pages enough for this image");
	check(s->shared_info && s->shared_info % PAGE_BYTES == 0, "start info: shared_info");
	check((uint64_t)s % PAGE_BYTES == 0, "start info: on a page of its own");
	check((s->flags & (SIF_PRIVILEGED | SIF_INITDOMAIN)) == 0, "start info: no privileges");
	check(s->store_mfn && s->store_evtchn, "start info: xenstore");
	check((s->console.domU.mfn && s->console.domU.evtchn) == !probe.no_console, "start info: console, if any");
	check(s->mod_start == 0 && s->mod_len == 0, "start info: no module");
}

/* Every frame has one pseudo-physical number and the two tables agree. */
static void check_frames(const struct start_info *s)
{
	uint64_t wrong = 0;

	for (uint64_t pfn = 0; pfn < s->nr_pages; pfn++)
		wrong += pv.p2m[pfn] >= pv.m2p_count || pv.m2p[pv.p2m[pfn]] != pfn;
	check(wrong == 0, "frames: machine-to-physical agrees with the list of frames");
	check_trap("write to the machine-to-physical table", TRAPS("movq %%rcx, (%[a])", [a] "r"(&pv.m2p[pv.p2m[0]])),
	           14, 3);
}

static void check_tables(const struct start_info *s)
{
	uint64_t first = s->pt_base, end = first + s->nr_pt_frames * PAGE_BYTES;
	bool readonly = true, writable = true;
	uint64_t *entry;

	check(read_cr3() == pv.l4 * PAGE_BYTES, "tables: cr3 is pt_base");
	for (uint64_t va = first; va < end; va += PAGE_BYTES) {
		entry = pv_entry_for(pv.l4, va, 1);
		readonly &= entry && (*entry & (PTE_P | PTE_W)) == PTE_P;
	}
	check(readonly, "tables: are mapped read-only, all %lu", s->nr_pt_frames);
	for (uint64_t va = 0x100000; va < first; va += PAGE_BYTES) {
		entry = pv_entry_for(pv.l4, va, 1);
		writable &= entry && (*entry & PTE_P);
	}
	check(writable, "tables: all before them is mapped");
	entry = pv_entry_for(pv.l4, end + 512 * 1024 - PAGE_BYTES, 1);
	check(entry && (*entry & (PTE_P | PTE_W)) == (PTE_P | PTE_W), "tables: 512 KiB more are mapped");
}

static uint64_t rflags(void)
{
	uint64_t flags;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	return flags;
}

void check_pv_start(void)
{
	uint16_t cs, ss;

	__asm__ volatile("movw %%cs, %0; movw %%ss, %1" : "=r"(cs), "=r"(ss));
	check((cs & 3) == 3 && (ss & 3) == 3, "ring 3");
	check((rflags() & 0x3200) == 0x200, "interrupts are on for the processor, IOPL is 0");
	check(probe.shared && probe.vcpu->evtchn_upcall_mask == 1, "start: events are masked");
	check_info(pv.start);
	check_frames(pv.start);
	check_tables(pv.start);
}
