/* SPDX-License-Identifier: MIT */
/* Hypercalls as a PV guest makes them: memory, grants, version, lists; and as it may abuse them. */
#include "../world.h"
#include "monitor-fake.h"

#include <xen/arch-x86/cpuid.h>

#define RAM_FRAMES 4096u /* 16 MiB */
#define RINGS 0x123u
#define IN ARRAY
#define OUT (ARRAY + 0x8000)

static struct monitor_fake monitor;

/* What the core does for other plugins' hypercalls. */
static int64_t call_by_number(struct gamut_inst *inst, struct gamut_hypercall *call)
{
	(void)inst;
	return call->nr == __HYPERVISOR_mmu_update ? 77 : -ENOSYS;
}

static int setup(void **state)
{
	struct world *w;
	int rc = world_setup_as(state, &xen_flavour_pv);

	w = *state;
	w->f->table.hypercall_call = call_by_number;
	monitor_fake_init(&monitor, RAM_FRAMES);
	w->p.memory.pv.monitor = &monitor_fake_ops;
	w->p.memory.pv.monitor_self = &monitor;
	w->p.memory.pv.rings = RINGS;
	w->p.memory.pv.n_rings = 2;
	w->p.grants.home = GRANT_GPA;
	return rc;
}

#define GNTTAB(w, cmd, s) world_op(w, __HYPERVISOR_grant_table_op, cmd, &(s), sizeof(s))
#define MEMORY(w, cmd, s) world_op(w, __HYPERVISOR_memory_op, cmd, &(s), sizeof(s))

static uint64_t *in_list(struct world *w)
{
	return (void *)(w->f->ram + IN);
}

static uint64_t *out_list(struct world *w)
{
	return (void *)(w->f->ram + OUT);
}

static struct xen_memory_reservation extents(uint64_t list, uint64_t n, unsigned int order)
{
	return (struct xen_memory_reservation){ .extent_start.p = (void *)list, .nr_extents = n, .extent_order = order,
		                                .domid = DOMID_SELF };
}

/* Gives n frames from mfn on back, one by one. */
static void give(struct world *w, uint64_t mfn, uint64_t n)
{
	struct xen_memory_reservation res = extents(IN, n, 0);

	for (uint64_t i = 0; i < n; i++)
		in_list(w)[i] = mfn + i;
	assert_int_equal(MEMORY(w, XENMEM_decrease_reservation, res), n);
}

static int64_t reservation(struct world *w)
{
	domid_t self = DOMID_SELF;

	return MEMORY(w, XENMEM_current_reservation, self);
}

/* ---- memory ---- */

static void map_is_one_piece(void **state)
{
	struct world *w = *state;
	struct xen_memory_map map = { .nr_entries = 8, .buffer.p = (void *)ARRAY };
	const struct xen_e820 *e = (const void *)(w->f->ram + ARRAY);

	assert_int_equal(MEMORY(w, XENMEM_memory_map, map), 0);
	assert_int_equal(map.nr_entries, 1);
	assert_int_equal(e->addr, 0);
	assert_int_equal(e->size, RAM_FRAMES << 12);
	assert_int_equal(e->type, XEN_E820_RAM);
	assert_int_equal(world_call(w, __HYPERVISOR_memory_op, XENMEM_maximum_ram_page, 0, 0), RAM_FRAMES - 1);
}

static void machine_to_phys_is_the_monitors(void **state)
{
	struct world *w = *state;
	struct xen_machphys_mapping map = { 0 };

	assert_int_equal(MEMORY(w, XENMEM_machphys_mapping, map), 0);
	assert_true(map.v_start == MONITOR_M2P);
	assert_true(map.v_end == MONITOR_M2P + RAM_FRAMES * 8);
	assert_int_equal(map.max_mfn, RAM_FRAMES - 1);
	assert_int_equal(world_call(w, __HYPERVISOR_memory_op, XENMEM_machphys_mfn_list, ARG, 0), -ENOSYS);
}

static void frames_go_and_come_back_elsewhere(void **state)
{
	struct world *w = *state;
	struct xen_memory_reservation res = extents(IN, 600, 0);

	give(w, 0x400, 600); /* more than a batch */
	assert_int_equal(reservation(w), RAM_FRAMES - 600);
	assert_int_equal(w->f->hole[0x400], 1);
	assert_true(monitor.m2p[0x400 + 599] == UINT64_MAX);
	/* Page numbers in, machine frames out. */
	for (uint32_t i = 0; i < 600; i++)
		in_list(w)[i] = 0x10000 + i;
	assert_int_equal(MEMORY(w, XENMEM_populate_physmap, res), 600);
	for (uint32_t i = 0; i < 600; i++) {
		assert_int_equal(in_list(w)[i], 0x400 + i);
		assert_int_equal(monitor.m2p[0x400 + i], 0x10000 + i);
		assert_int_equal(w->f->hole[0x400 + i], 0);
	}
	assert_int_equal(reservation(w), RAM_FRAMES);
	/* Nothing was given back, so nothing can be had. */
	assert_int_equal(MEMORY(w, XENMEM_populate_physmap, res), 0);
	assert_int_equal(MEMORY(w, XENMEM_increase_reservation, res), 0);
}

static void large_extents_are_aligned(void **state)
{
	struct world *w = *state;
	struct xen_memory_reservation res = extents(IN, 1, 3);

	give(w, 0x401, 14); /* 0x401 to 0x40e: eight in a row, but none aligned */
	in_list(w)[0] = 0x500;
	assert_int_equal(MEMORY(w, XENMEM_populate_physmap, res), 0);
	give(w, 0x40f, 1);
	in_list(w)[0] = 0x500;
	assert_int_equal(MEMORY(w, XENMEM_populate_physmap, res), 1);
	assert_int_equal(in_list(w)[0], 0x408);
	assert_int_equal(monitor.m2p[0x40f], 0x507);
	/* The ones left over are still to be had, lowest first; frames without a page number. */
	res = extents(IN, 7, 0);
	assert_int_equal(MEMORY(w, XENMEM_increase_reservation, res), 7);
	assert_int_equal(in_list(w)[0], 0x401);
	assert_int_equal(in_list(w)[6], 0x407);
	assert_true(monitor.m2p[0x401] == UINT64_MAX);
	/* An extent of the largest size, over word boundaries of the set; one larger is not for guests. */
	res = extents(IN, 1, 9);
	in_list(w)[0] = 0x600;
	assert_int_equal(MEMORY(w, XENMEM_decrease_reservation, res), 1);
	assert_int_equal(MEMORY(w, XENMEM_populate_physmap, res), 1);
	assert_int_equal(in_list(w)[0], 0x600);
	res.extent_order = 10;
	assert_int_equal(MEMORY(w, XENMEM_decrease_reservation, res), 0);
}

static void some_frames_stay(void **state)
{
	static const uint64_t stay[] = { RINGS, RINGS + 1, 0x800, RAM_FRAMES, 0xf0000, UINT64_MAX };
	struct world *w = *state;
	struct xen_memory_reservation res = extents(IN, 2, 0);

	monitor.kept[0x800] = 1;
	for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++) {
		in_list(w)[0] = 0x700 + i;
		in_list(w)[1] = stay[i];
		assert_int_equal(MEMORY(w, XENMEM_decrease_reservation, res), 1);
	}
	in_list(w)[0] = in_list(w)[1] = 0x900; /* twice */
	assert_int_equal(MEMORY(w, XENMEM_decrease_reservation, res), 1);
	res = extents(IN, 1, 2);
	in_list(w)[0] = RINGS - 1; /* runs into one that stays */
	assert_int_equal(MEMORY(w, XENMEM_decrease_reservation, res), 0);
	assert_int_equal(w->f->hole[RINGS - 1], 0);
	in_list(w)[0] = RAM_FRAMES - 2; /* and past the end */
	assert_int_equal(MEMORY(w, XENMEM_decrease_reservation, res), 0);
}

/* ---- exchange ---- */

static struct xen_memory_exchange exchange(uint64_t n_in, unsigned int in_order, uint64_t n_out, unsigned int out_order)
{
	return (struct xen_memory_exchange){ .in = extents(IN, n_in, in_order), .out = extents(OUT, n_out, out_order) };
}

/* Four scattered frames for one piece of four: there must be such a piece. */
static void singles_for_one_piece(void **state)
{
	static const uint64_t frames[] = { 0x311, 0x444, 0x378, 0x402 };
	struct world *w = *state;
	struct xen_memory_exchange x = exchange(4, 0, 1, 2);

	memcpy(in_list(w), frames, sizeof(frames));
	out_list(w)[0] = 0x20;
	memset(w->f->ram + 0x311000, 0x66, 4096);
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -ENOMEM);
	assert_int_equal(x.nr_exchanged, 0);
	assert_int_equal(w->f->ram[0x311000], 0x66);
	assert_int_equal(monitor.m2p[0x311], 0x311);
	give(w, 0x400, 2);
	give(w, 0x403, 1); /* with 0x402, which comes in, a piece */
	memcpy(in_list(w), frames, sizeof(frames));
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), 0);
	assert_int_equal(x.nr_exchanged, 4);
	assert_int_equal(out_list(w)[0], 0x400);
	assert_int_equal(monitor.m2p[0x403], 0x23);
	assert_true(monitor.m2p[0x311] == UINT64_MAX);
	assert_int_equal(w->f->hole[0x311], 1);
	assert_int_equal(w->f->hole[0x402], 0);
	assert_int_equal(reservation(w), RAM_FRAMES - 3);
	/* A frame that went is not there to be exchanged again. */
	x.nr_exchanged = 0;
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EINVAL);
}

static void one_piece_for_singles(void **state)
{
	struct world *w = *state;
	struct xen_memory_exchange x = exchange(300, 1, 600, 0);

	for (uint32_t i = 0; i < 300; i++)
		in_list(w)[i] = 0x400 + i * 2;
	for (uint32_t i = 0; i < 600; i++)
		out_list(w)[i] = 0x2000 + i;
	memset(w->f->ram + 0x400000, 0x66, 4096);
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), 0); /* restarted on the way */
	assert_int_equal(x.nr_exchanged, 300);
	assert_int_equal(out_list(w)[0], 0x400);
	assert_int_equal(out_list(w)[599], 0x400 + 599);
	assert_int_equal(monitor.m2p[0x400 + 599], 0x2000 + 599);
	assert_int_equal(w->f->ram[0x400000], 0); /* what was there is gone */
	assert_int_equal(reservation(w), RAM_FRAMES);
}

static void bad_exchanges(void **state)
{
	struct world *w = *state;
	struct xen_memory_exchange x = exchange(2, 0, 1, 0);

	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EINVAL);
	x = exchange(1, 10, 1, 10);
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EPERM);
	x = exchange(1ull << 63, 1, 1, 0);
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EINVAL);
	x = exchange(1, 0, 1, 0);
	x.nr_exchanged = 2;
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EINVAL);
	x = exchange(1, 0, 1, 0);
	x.out.domid = 0;
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EINVAL);
	x.in.domid = 0;
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EPERM);
	x = exchange(1, 0, 1, 0);
	x.in.extent_start.p = (void *)UINT64_MAX;
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EFAULT);
	assert_int_equal(world_call(w, __HYPERVISOR_memory_op, XENMEM_exchange, UINT64_MAX, 0), -EFAULT);
	/* One that must stay, behind one that may go: neither goes. */
	x = exchange(2, 0, 1, 1);
	in_list(w)[0] = 0x500;
	in_list(w)[1] = RINGS;
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EINVAL);
	in_list(w)[1] = 0x500;
	assert_int_equal(MEMORY(w, XENMEM_exchange, x), -EINVAL);
	assert_int_equal(monitor.m2p[0x500], 0x500);
	give(w, 0x500, 1); /* and is still its own */
}

/* ---- the rest ---- */

static void no_map_to_change(void **state)
{
	struct world *w = *state;
	struct xen_add_to_physmap add = { .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info };
	struct xen_remove_from_physmap remove = { .domid = DOMID_SELF };
	domid_t self = DOMID_SELF;
	uint64_t max_pfn = 0x1000;

	assert_int_equal(MEMORY(w, XENMEM_add_to_physmap, add), -EACCES);
	assert_int_equal(MEMORY(w, XENMEM_remove_from_physmap, remove), -EACCES);
	add.domid = 0;
	assert_int_equal(MEMORY(w, XENMEM_add_to_physmap, add), -EPERM);
	add.domid = 99;
	assert_int_equal(MEMORY(w, XENMEM_add_to_physmap, add), -ESRCH);
	assert_int_equal(world_call(w, __HYPERVISOR_memory_op, XENMEM_machine_memory_map, ARG, 0), -EPERM);
	assert_int_equal(MEMORY(w, XENMEM_maximum_gpfn, self), 0);
	assert_int_equal(shinfo_place(&w->x.shinfo, SHARED_GPA), 0);
	w->f->host->mem_write(w->f->inst, SHARED_GPA + offsetof(struct shared_info, arch.max_pfn), &max_pfn, 8);
	assert_int_equal(MEMORY(w, XENMEM_maximum_gpfn, self), 0xfff);
}

static void grant_frames_have_their_places(void **state)
{
	struct world *w = *state;
	struct gnttab_setup_table table = { .dom = DOMID_SELF, .nr_frames = 3, .frame_list.p = (void *)ARRAY };
	uint32_t word = 0x1234;

	for (int again = 0; again < 2; again++) {
		assert_int_equal(GNTTAB(w, GNTTABOP_setup_table, table), 0);
		assert_int_equal(table.status, GNTST_okay);
		for (uint32_t i = 0; i < 3; i++)
			assert_int_equal(in_list(w)[i], (GRANT_GPA >> 12) + i);
		w->f->host->mem_write(w->f->inst, GRANT_GPA + 2 * 4096 + 4, &word, 4);
		assert_int_equal(w->p.grants.entries[2 * GRANT_PER_FRAME].frame, word);
		xen_platform_reset(&w->p);
		assert_int_equal(w->p.grants.entries[2 * GRANT_PER_FRAME].frame, 0);
	}
	table.nr_frames = GRANT_FRAMES_MAX + 1;
	assert_int_equal(GNTTAB(w, GNTTABOP_setup_table, table), 0);
	assert_int_equal(table.status, GNTST_general_error);
}

static void what_it_is_told(void **state)
{
	struct world *w = *state;
	struct xen_feature_info info = { 0 };

	assert_int_equal(world_op(w, __HYPERVISOR_xen_version, XENVER_get_features, &info, sizeof(info)), 0);
	assert_int_equal(info.submap, 1u << XENFEAT_mmu_pt_update_preserve_ad | 1u << XENFEAT_highmem_assist |
	                                      1u << XENFEAT_gnttab_map_avail_bits | 1u << XENFEAT_direct_mapped);
	assert_int_equal(world_call(w, __HYPERVISOR_xen_version, XENVER_capabilities, ARG, 0), 0);
	assert_string_equal((const char *)w->f->ram + ARG, "xen-3.0-x86_64 ");
	assert_int_equal(world_call(w, __HYPERVISOR_xen_version, XENVER_platform_parameters, ARG, 0), 0);
	assert_true(*(uint64_t *)(void *)(w->f->ram + ARG) == 0xffff800000000000);
	assert_int_equal(world_call(w, __HYPERVISOR_hvm_op, HVMOP_get_param, ARG, 0), -ENOSYS);
	assert_int_equal(xen_cpuid_set(&w->p), 0);
	assert_int_equal(host_fake_cpuid(w->f, 0, 0x40000000, 0)->regs[0], 0x40000005);
	assert_int_equal(host_fake_cpuid(w->f, 0, 0x40000002, 0)->regs[2], XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD);
	assert_int_equal(host_fake_cpuid(w->f, 0, 0x40000004, 0)->regs[0], 0);
	assert_int_equal(host_fake_cpuid(w->f, 0, 0x40000005, 0)->regs[1], 32);
	w->p.memory.max_gfn = (1ull << 21) - 1; /* 8 GiB */
	assert_int_equal(xen_cpuid_set(&w->p), 0);
	assert_int_equal(host_fake_cpuid(w->f, 0, 0x40000005, 0)->regs[1], 33);
}

static void lists_reach_other_plugins(void **state)
{
	struct world *w = *state;
	struct multicall_entry *list = (void *)(w->f->ram + ARRAY);

	list[0] = (struct multicall_entry){ .op = __HYPERVISOR_mmu_update };
	list[1] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_version } };
	list[2] = (struct multicall_entry){ .op = __HYPERVISOR_hvm_op };
	assert_int_equal(world_call(w, __HYPERVISOR_multicall, ARRAY, 3, 0), 0);
	assert_int_equal(list[0].result, 77);
	assert_int_equal(list[1].result, 4 << 16 | 17);
	assert_true(list[2].result == (xen_ulong_t)-ENOSYS);
}

static void no_argument_does_harm(void **state)
{
	static const uint64_t places[] = { 0, ARG, ARG + 1, (16 << 20) - 3, 16 << 20, UINT64_MAX, 1ull << 63 };
	const uint32_t n = sizeof(places) / sizeof(places[0]);
	struct world *w = *state;

	for (int ones = 0; ones < 2; ones++)
		for (uint64_t cmd = 0; cmd < 32 * n; cmd++) {
			memset(w->f->ram, ones ? 0xff : 0, 1 << 20);
			int64_t rc = world_call(w, __HYPERVISOR_memory_op, cmd / n, places[cmd % n], 0);

			assert_true(rc >= -4095 && rc <= INT32_MAX);
		}
	xen_platform_reset(&w->p);
	monitor_fake_init(&monitor, RAM_FRAMES);
	memset(w->f->hole, 0, RAM_FRAMES);
	give(w, 0x400, 8);
	assert_int_equal(reservation(w), RAM_FRAMES - 8);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(map_is_one_piece), T(machine_to_phys_is_the_monitors), T(frames_go_and_come_back_elsewhere),
		T(large_extents_are_aligned), T(some_frames_stay), T(singles_for_one_piece), T(one_piece_for_singles),
		T(bad_exchanges), T(no_map_to_change), T(grant_frames_have_their_places), T(what_it_is_told),
		T(lists_reach_other_plugins), T(no_argument_does_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
