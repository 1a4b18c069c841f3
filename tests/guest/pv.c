/* SPDX-License-Identifier: MIT */
/*
 * The probe's PV half: finding frames, changing page tables, and telling the
 * monitor where to deliver what.
 */
#include "pv.h"

struct pv pv;

uint64_t window_l1[512] PAGE_ALIGNED, window_l2[512] PAGE_ALIGNED, window_l3[512] PAGE_ALIGNED;

static uint8_t shared_page[PAGE_BYTES] PAGE_ALIGNED;

/* ---- frames and tables -------------------------------------------------- */

uint64_t frame_of(const void *p)
{
	uint64_t pfn = (uint64_t)p / PAGE_BYTES;

	return probe.pv ? pv.p2m[pfn] : pfn;
}

uint64_t pv_machine(const void *p)
{
	return frame_of(p) * PAGE_BYTES + (uint64_t)p % PAGE_BYTES;
}

uint64_t *pv_table(uint64_t mfn)
{
	return (uint64_t *)(pv.m2p[mfn] * PAGE_BYTES);
}

uint64_t *pv_entry_for(uint64_t root, uint64_t va, unsigned level)
{
	uint64_t *entry = NULL, mfn = root;

	for (unsigned l = 4; l >= level; l--) {
		if (entry && !(*entry & PTE_P))
			return NULL;
		if (entry)
			mfn = PTE_MFN(*entry);
		entry = pv_table(mfn) + (va >> (12 + 9 * (l - 1)) & 511);
	}
	return entry;
}

long pv_va_mapping(uint64_t va, uint64_t pte, unsigned long flags)
{
	return HYPERCALL3(__HYPERVISOR_update_va_mapping, va, pte, flags);
}

long pv_update_at(uint64_t machine, uint64_t value)
{
	struct mmu_update u = { .ptr = machine, .val = value };

	return probe.hypercall(__HYPERVISOR_mmu_update, (uint64_t)&u, 1ull, 0ull, (uint64_t)DOMID_SELF, 0ull);
}

long pv_update(uint64_t *entry, unsigned type, uint64_t value)
{
	return pv_update_at(pv_machine(entry) | type, value);
}

long pv_ext(unsigned cmd, uint64_t arg1, uint64_t arg2)
{
	struct mmuext_op op = { .cmd = cmd, .arg1.mfn = arg1, .arg2.src_mfn = arg2 };

	return probe.hypercall(__HYPERVISOR_mmuext_op, (uint64_t)&op, 1ull, 0ull, (uint64_t)DOMID_SELF, 0ull);
}

long pv_page_rights(const void *page, uint64_t rights)
{
	return pv_va_mapping((uint64_t)page, frame_of(page) * PAGE_BYTES | rights, UVMF_INVLPG | UVMF_ALL);
}

uint8_t *pv_window(unsigned i, const void *page)
{
	uint64_t va = WINDOW + (uint64_t)i * PAGE_BYTES;

	if (pv_va_mapping(va, page ? frame_of(page) * PAGE_BYTES | PTE_RW : 0, UVMF_INVLPG | UVMF_ALL) != 0)
		return NULL;
	return (uint8_t *)va;
}

/* Tables first become read-only, then are linked, top last. */
static bool window_init(void)
{
	window_l3[0] = pv_machine(window_l2) | PTE_RW;
	window_l2[0] = pv_machine(window_l1) | PTE_RW;
	return pv_page_rights(window_l1, PTE_RO) == 0 && pv_page_rights(window_l2, PTE_RO) == 0 &&
	       pv_page_rights(window_l3, PTE_RO) == 0 &&
	       pv_update_at(pv.l4 * PAGE_BYTES + WINDOW_SLOT * 8, pv_machine(window_l3) | PTE_RW) == 0;
}

/* ---- where things go ------------------------------------------------------ */

/* Every vector, with events masked on the way in; INT n for breakpoint, overflow and 0x80. */
static long set_traps(void)
{
	static struct trap_info table[257];

	for (unsigned v = 0; v < 256; v++) {
		bool open = v == 3 || v == 4 || v == USER_VECTOR;

		table[v] = (struct trap_info){
			.vector = (uint8_t)v,
			.flags = 4 | (open ? 3 : 0),
			.cs = FLAT_KERNEL_CS,
			.address = (unsigned long)pv_trap_stubs + 16 * v,
		};
	}
	return HYPERCALL2(__HYPERVISOR_set_trap_table, table, 0);
}

static long set_callback(unsigned type, const uint8_t *entry)
{
	struct callback_register arg = {
		.type = (uint16_t)type,
		.flags = CALLBACKF_mask_events,
		.address = (unsigned long)entry,
	};

	return HYPERCALL2(__HYPERVISOR_callback_op, CALLBACKOP_register, &arg);
}

void pv_callbacks(void)
{
	set_traps();
	set_callback(CALLBACKTYPE_event, pv_event_entry);
	set_callback(CALLBACKTYPE_failsafe, pv_failsafe_entry);
	set_callback(CALLBACKTYPE_syscall, pv_syscall_entry);
	set_callback(CALLBACKTYPE_syscall32, pv_syscall32_entry);
	set_callback(CALLBACKTYPE_sysenter, pv_sysenter_entry);
	HYPERCALL2(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, trap_stack_top);
}

long pv_iopl(unsigned iopl)
{
	struct physdev_set_iopl arg = { .iopl = iopl };

	return HYPERCALL2(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &arg);
}

/* ---- start ------------------------------------------------------------------ */

static void find_m2p(void)
{
	struct xen_machphys_mapping map = { .v_start = MACH2PHYS_VIRT_START, .max_mfn = MACH2PHYS_NR_ENTRIES - 1 };

	HYPERCALL2(__HYPERVISOR_memory_op, XENMEM_machphys_mapping, &map);
	pv.m2p = (const unsigned long *)map.v_start;
	pv.m2p_count = map.max_mfn + 1;
}

static void *page_of_frame(uint64_t mfn)
{
	return mfn ? (void *)(pv.m2p[mfn] * PAGE_BYTES) : NULL;
}

void pv_init(const struct start_info *start)
{
	pv.start = start;
	pv.p2m = (unsigned long *)start->mfn_list;
	memcpy(pv.cmdline, start->cmd_line, sizeof(pv.cmdline));
	pv.cmdline[sizeof(pv.cmdline) - 1] = 0;
	find_m2p();
	pv.l4 = frame_of((const void *)start->pt_base);
	pv_callbacks();
	if (pv_va_mapping((uint64_t)shared_page, start->shared_info | PTE_RW, UVMF_INVLPG) == 0) {
		probe.shared = (struct shared_info *)shared_page;
		probe.vcpu = &probe.shared->vcpu_info[0];
		probe.clock = probe.vcpu->time.tsc_to_system_mul != 0;
		memset(probe.shared->evtchn_mask, 0xff, sizeof(probe.shared->evtchn_mask));
	}
	probe.console = page_of_frame(start->console.domU.mfn);
	probe.console_port = start->console.domU.evtchn;
	probe.store = page_of_frame(start->store_mfn);
	probe.store_port = start->store_evtchn;
	pv_iopl(1);
	HYPERCALL3(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0); /* Xen starts with one of 10 ms */
	if (!window_init())
		print("# the window's tables were refused\n");
	pv_user_init();
}

void pv_map_grants(void *table)
{
	xen_pfn_t frame = 0;
	struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = 1 };

	set_xen_guest_handle(setup.frame_list, &frame);
	if (HYPERCALL3(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, &setup, 1) == 0 &&
	    setup.status == GNTST_okay &&
	    pv_va_mapping((uint64_t)table, frame * PAGE_BYTES | PTE_RW, UVMF_INVLPG) == 0)
		probe.grants = table;
}

/* Any hypercall ends in a look at what is pending. */
void pv_force_upcall(void)
{
	HYPERCALL2(__HYPERVISOR_xen_version, XENVER_version, 0);
}
