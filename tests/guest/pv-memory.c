/* SPDX-License-Identifier: MIT */
/* memory_op: what there is, giving pages back, taking others. */
#include "pv.h"

#include <xen/errno.h>

struct e820 {
	uint64_t addr, size;
	uint32_t type;
} __attribute__((packed));

static uint64_t spare[512] PAGE_ALIGNED;

static long memory_op(unsigned cmd, void *arg)
{
	return HYPERCALL2(__HYPERVISOR_memory_op, cmd, arg);
}

static long current(void)
{
	domid_t self = DOMID_SELF;

	return memory_op(XENMEM_current_reservation, &self);
}

/* A domain without a map of its own is told so, and takes nr_pages. */
static void check_map(void)
{
	struct e820 entries[32];
	struct xen_memory_map map = { .nr_entries = ARRAY_LEN(entries) };
	uint64_t ram = 0;
	long rc;

	set_xen_guest_handle(map.buffer, (void *)entries);
	rc = memory_op(XENMEM_memory_map, &map);
	for (unsigned i = 0; rc == 0 && i < map.nr_entries && i < ARRAY_LEN(entries); i++)
		ram += entries[i].type == 1 ? entries[i].size : 0;
	check(rc == -XEN_ENOSYS || (rc == 0 && ram >= pv.start->nr_pages * PAGE_BYTES), "memory: map");
	check(memory_op(XENMEM_machine_memory_map, &map) < 0, "memory: the machine's map is not for us");
}

static void check_numbers(void)
{
	struct xen_machphys_mapping map = { 0 };
	domid_t self = DOMID_SELF, other = 77;
	uint64_t highest = 0;

	for (uint64_t pfn = 0; pfn < pv.start->nr_pages; pfn++)
		highest = pv.p2m[pfn] > highest ? pv.p2m[pfn] : highest;
	check(current() == (long)pv.start->nr_pages, "memory: current reservation");
	check(memory_op(XENMEM_maximum_reservation, &self) >= (long)pv.start->nr_pages,
	      "memory: maximum reservation");
	check(memory_op(XENMEM_current_reservation, &other) < 0, "memory: not another domain's");
	check(memory_op(XENMEM_maximum_ram_page, NULL) >= (long)highest, "memory: maximum RAM page");
	check(memory_op(XENMEM_machphys_mapping, &map) == 0 && map.v_start >= HYPERVISOR_VIRT_START &&
	              map.v_end <= HYPERVISOR_VIRT_END && map.max_mfn >= highest,
	      "memory: where the machine-to-physical table is");
	check(memory_op(62, &map) == -XEN_ENOSYS, "memory: an operation that is not there");
}

static struct xen_memory_reservation reservation(xen_pfn_t *list, uint64_t count)
{
	struct xen_memory_reservation r = { .nr_extents = count, .domid = DOMID_SELF };

	set_xen_guest_handle(r.extent_start, list);
	return r;
}

/* A page of the image leaves and comes back, perhaps on another frame. */
static void check_balloon(void)
{
	xen_pfn_t frame = frame_of(spare), pfn = (uint64_t)spare / PAGE_BYTES, list = frame;
	struct xen_memory_reservation r = reservation(&list, 1);

	pv_va_mapping((uint64_t)spare, 0, UVMF_INVLPG | UVMF_ALL);
	check(memory_op(XENMEM_decrease_reservation, &r) == 1, "balloon: a page goes");
	check(current() == (long)pv.start->nr_pages - 1, "balloon: the reservation is less");
	check(pv_va_mapping((uint64_t)spare, frame * PAGE_BYTES | PTE_RW, 0) < 0,
	      "balloon: its frame cannot be mapped");
	list = frame;
	check(memory_op(XENMEM_decrease_reservation, &r) <= 0, "balloon: nor given again");
	list = pfn;
	check(memory_op(XENMEM_populate_physmap, &r) == 1, "balloon: a page comes");
	check(list < pv.m2p_count && pv.m2p[list] == pfn, "balloon: machine-to-physical knows it");
	pv.p2m[pfn] = list;
	check(pv_page_rights(spare, PTE_RW) == 0, "balloon: it can be mapped");
	spare[5] = 5;
	check(spare[5] == 5 && current() == (long)pv.start->nr_pages, "balloon: and used");
}

static void check_refused(void)
{
	xen_pfn_t list[2] = { 1ull << 40, frame_of(window_l1) };
	struct xen_memory_reservation r = reservation(list, 1);

	check(memory_op(XENMEM_decrease_reservation, &r) <= 0, "balloon: no giving of what is no frame");
	r = reservation(list + 1, 1);
	if (probe.shim) /* Xen takes it, and frees it when it is a table no more */
		skip("balloon: nor of a page table", "xen-shim");
	else
		check(memory_op(XENMEM_decrease_reservation, &r) <= 0 && current() == (long)pv.start->nr_pages,
		      "balloon: nor of a page table");
	r = reservation((xen_pfn_t *)UNMAPPED, 1);
	check(memory_op(XENMEM_decrease_reservation, &r) <= 0, "balloon: nor by a list nowhere");
	r = reservation(list, 1ull << 60);
	check(memory_op(XENMEM_populate_physmap, &r) <= 0, "balloon: no list that long");
	r.domid = 77;
	check(memory_op(XENMEM_decrease_reservation, &r) <= 0, "balloon: nor another domain's");
}

static void check_exchange(void)
{
	xen_pfn_t in = frame_of(spare), pfn = (uint64_t)spare / PAGE_BYTES, out = pfn;
	struct xen_memory_exchange x = { .in = reservation(&in, 1), .out = reservation(&out, 1) };
	long rc;

	pv_va_mapping((uint64_t)spare, 0, UVMF_INVLPG | UVMF_ALL);
	rc = memory_op(XENMEM_exchange, &x);
	check(rc == 0 && x.nr_exchanged == 1, "exchange: one page");
	if (rc == 0)
		pv.p2m[pfn] = out;
	check(pv.p2m[pfn] < pv.m2p_count && pv.m2p[pv.p2m[pfn]] == pfn, "exchange: machine-to-physical knows it");
	check(pv_page_rights(spare, PTE_RW) == 0, "exchange: it can be mapped");
	spare[6] = 6;
	check(spare[6] == 6 && current() == (long)pv.start->nr_pages, "exchange: and used");
}

void check_pv_memory(void)
{
	check_map();
	check_numbers();
	check_balloon();
	check_refused();
	check_exchange();
}
