/* SPDX-License-Identifier: MIT */
#include "rig.h"

/* Follows a slot of the root down the monitor's tables to a page; its entry. */
static uint64_t monitor_leaf(struct rig *r, uint64_t va)
{
	uint64_t entry = PTE(ROOT, 0);

	for (int shift = 39; shift >= 12; shift -= 9) {
		entry = *rig_at(r, (entry & PTE_FRAME) | (va >> shift & 511) * 8);
		assert_true(entry & PTE_P);
	}
	return entry;
}

static void guests_read_it_at_both_places(void **state)
{
	struct rig *r = *state;
	uint64_t start, end, max;
	static const uint64_t places[] = { 0xffff800000000000, 0xffff808000000000, 0xffff808042000000 };

	pv_machphys(&r->d, &start, &end, &max);
	assert_int_equal(start, 0xffff808042000000);
	assert_int_equal(end, start + FRAMES * 8);
	assert_int_equal(max, FRAMES - 1);
	for (int i = 0; i < 3; i++)
		for (uint64_t mfn = 0; mfn < FRAMES; mfn += 511) {
			uint64_t entry = monitor_leaf(r, places[i] + mfn * 8);

			assert_int_equal(entry & (PTE_U | PTE_RW | PTE_NX), PTE_U | PTE_NX);
			assert_int_equal(*rig_at(r, (entry & PTE_FRAME) | mfn * 8 % 4096), mfn);
		}
}

static void windows_are_not_for_ring_3(void **state)
{
	struct rig *r = *state;
	uint64_t va = r->cpu[0].gdt, entry;

	assert_int_equal(va, 0xffff810000000000);
	assert_int_equal(r->cpu[0].gdt_limit, 15 * 4096 - 1);
	assert_int_equal(rig_see(r, ROOT, va >> 39 & 511) & PTE_U, 0);
	entry = monitor_leaf(r, va + 14 * 4096);
	assert_int_equal(entry & PTE_U, 0);
	assert_int_equal(*rig_at(r, (entry & PTE_FRAME) | (FLAT_RING3_CS64 & 0xff8)), 0x00affb000000ffff);
	assert_int_equal(*rig_at(r, (entry & PTE_FRAME) | (FLAT_RING3_CS32 & 0xff8)), 0x00cffb000000ffff);
	assert_int_equal(*rig_at(r, (entry & PTE_FRAME) | (FLAT_RING3_SS64 & 0xff8)), 0x00cff3000000ffff);
	/* Without a GDT of the guest's, the rest is there and empty. */
	for (uint64_t i = 0; i < 14; i++)
		assert_int_equal(*rig_at(r, monitor_leaf(r, va + i * 4096) & PTE_FRAME), 0);
}

static uint32_t two_ranges(struct gamut_inst *inst, struct gamut_mem_range *ranges, uint32_t n)
{
	(void)inst;
	assert_true(n >= 2);
	ranges[0] = (struct gamut_mem_range){ .gpa = 0, .size = 8 << 20 };
	ranges[1] = (struct gamut_mem_range){ .gpa = 12 << 20, .size = 4 << 20 };
	return 2;
}

static uint32_t far_range(struct gamut_inst *inst, struct gamut_mem_range *ranges, uint32_t n)
{
	(void)inst;
	(void)n;
	ranges[0] = (struct gamut_mem_range){ .gpa = 0, .size = 1ull << 39 };
	return 1;
}

static uint32_t no_range(struct gamut_inst *inst, struct gamut_mem_range *ranges, uint32_t n)
{
	(void)inst;
	(void)ranges;
	(void)n;
	return 0;
}

static void frames_follow_the_ranges_of_ram(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	(void)state;
	rig_make(r, 1);
	r->f->table.mem_ranges = two_ranges;
	assert_int_equal(pv_mmu_init(&r->d), 0);
	assert_int_equal(r->d.n_mfn, FRAMES);
	assert_int_equal(r->d.m2p[0x7ff], 0x7ff);
	assert_int_equal(r->d.m2p[0x800], UINT64_MAX);
	assert_false(pv_frame_ok(&r->d, 0x800));
	assert_int_equal(r->d.m2p[0xc00], 0x800);
	assert_true(pv_frame_ok(&r->d, 0xc00));
	assert_int_equal(r->d.m2p[0xfff], 0xbff);
	assert_false(pv_frame_ok(&r->d, 0x1000));
	assert_false(pv_frame_ok(&r->d, UINT64_MAX));
	pv_mmu_finish(&r->d);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
}

static struct gamut_page *no_pages(struct gamut_inst *inst, uint32_t n, void **host)
{
	(void)inst;
	(void)n;
	(void)host;
	return NULL;
}

static int no_map(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index, uint64_t gpa)
{
	(void)inst;
	(void)pages;
	(void)gpa;
	return index < 9 ? 0 : -ENOSPC;
}

static void *no_get(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	(void)inst;
	(void)gpa;
	(void)len;
	return NULL;
}

enum { FAIL_PAGES, FAIL_MAP, FAIL_GET, FAIL_FAR, FAIL_RANGES, FAIL_HOLE, FAIL_HOLE_BUT_ONE, FAILURES };

static void fail_init(struct rig *r, int how)
{
	static const int result[] = { -ENOMEM, -ENOSPC, -EFAULT, -E2BIG, -E2BIG, -ENOSPC, -ENOSPC };

	rig_make(r, 1);
	if (how == FAIL_PAGES)
		r->f->table.page_alloc = no_pages;
	else if (how == FAIL_MAP)
		r->f->table.page_map = no_map;
	else if (how == FAIL_GET)
		r->f->table.mem_get = no_get;
	else if (how == FAIL_FAR)
		r->f->table.mem_ranges = far_range;
	else if (how == FAIL_RANGES)
		r->f->table.mem_ranges = no_range;
	else
		memset(r->hole, 0x55, sizeof(r->hole) - (how == FAIL_HOLE_BUT_ONE) * 8);
	assert_int_equal(pv_mmu_init(&r->d), result[how]);
}

static void a_start_that_fails_leaves_nothing(void **state)
{
	(void)state;
	for (int how = 0; how < FAILURES; how++) {
		struct rig *r = test_calloc(1, sizeof(*r));

		fail_init(r, how);
		assert_null(r->d.mmu);
		assert_int_equal(host_fake_destroy(r->f), 0);
		test_free(r);
	}
}

static void the_engine_has_its_slots_first(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	(void)state;
	rig_make(r, 1);
	r->hole[0] = 0x1003;
	r->hole[1] = 0x2003;
	r->hole[3] = 0x3003;
	assert_int_equal(pv_mmu_init(&r->d), 0);
	assert_int_equal(r->d.m2p_va, 0xffff810042000000);
	rig_tables(r);
	assert_int_equal(pv_mmu_boot(&r->d, ROOT), 0);
	assert_int_equal(r->cpu[0].gdt, 0xffff820000000000);
	assert_int_equal(rig_see(r, ROOT, 256), 0x1003);
	assert_int_equal(rig_see(r, ROOT, 257), 0x2003);
	assert_int_equal(rig_see(r, ROOT, 259), 0x3003);
	assert_int_equal(rig_see(r, ROOT, 261), 0);
	rig_end(r);
}

static void boot_takes_the_builders_tables(void **state)
{
	struct rig *r = *state;

	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(rig_use(r, ROOT + i), PV_L4 - i);
	assert_int_equal(r->d.use[ROOT], PV_L4 | PV_PINNED);
	assert_int_equal(r->d.mmu->ref[ROOT], 2);
	assert_int_equal(r->vcpu[0].root[PV_KERNEL], ROOT);
	assert_int_equal(r->cpu[0].kernel, ROOT << 12);
	assert_int_equal(r->cpu[0].user, 0);
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(rig_see(r, L1, i), PTE(DATA + i, RW));
}

static void boot_refuses_bad_tables(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	(void)state;
	rig_make(r, 1);
	assert_int_equal(pv_mmu_init(&r->d), 0);
	rig_tables(r);
	for (size_t i = 0; i < N_BAD_FRAMES; i++)
		assert_int_equal(pv_mmu_boot(&r->d, rig_bad_frames[i]), -EINVAL);
	rig_put(r, L1, 70, PTE(L2, RW));
	assert_int_equal(pv_mmu_boot(&r->d, ROOT), -EBUSY);
	assert_int_equal(rig_use(r, ROOT), PV_FREE);
	rig_end(r);
}

static void reset_forgets(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_ext(r, MMUEXT_PIN_L1_TABLE, FREE, 0), 0);
	assert_int_equal(rig_update(r, MADDR(5, 0) | MMU_MACHPHYS_UPDATE, 1234), 0);
	assert_int_equal(pv_set_gdt(&r->vcpu[0], (const uint64_t[]){ FREE + 1 }, 512), 0);
	pv_page_gone(&r->d, FREE + 2);
	memset(r->f->ram, 0, RAM);
	pv_mmu_reset(&r->d);
	for (uint64_t mfn = 0; mfn < FRAMES; mfn++) {
		assert_int_equal(r->d.use[mfn], PV_FREE);
		assert_int_equal(r->d.m2p[mfn], mfn);
	}
	rig_tables(r);
	assert_int_equal(pv_mmu_boot(&r->d, ROOT), 0);
	assert_int_equal(rig_use(r, FREE + 1), PV_FREE);
}

static void pages_come_and_go(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < N_BAD_FRAMES; i++) {
		assert_false(pv_page_free(&r->d, rig_bad_frames[i]));
		pv_page_gone(&r->d, rig_bad_frames[i]);
		pv_page_here(&r->d, rig_bad_frames[i], 1);
	}
	for (uint64_t i = 0; i < 4; i++)
		assert_false(pv_page_free(&r->d, ROOT + i));
	assert_false(pv_page_free(&r->d, DATA));
	assert_int_equal(pv_set_gdt(&r->vcpu[0], (const uint64_t[]){ FREE + 1 }, 1), 0);
	assert_false(pv_page_free(&r->d, FREE + 1));
	r->vcpu[0].info = r->d.ram + PAGE(FREE + 2) + 64;
	assert_false(pv_page_free(&r->d, FREE + 2));
	assert_true(pv_page_free(&r->d, FREE + 3));
	assert_true(pv_page_free(&r->d, FREE));

	pv_page_gone(&r->d, FREE);
	assert_false(pv_frame_ok(&r->d, FREE));
	assert_false(pv_page_free(&r->d, FREE));
	assert_int_equal(r->d.m2p[FREE], UINT64_MAX);
	assert_int_equal(rig_ext(r, MMUEXT_PIN_L1_TABLE, FREE, 0), -EINVAL);
	pv_page_here(&r->d, FREE, 77);
	assert_int_equal(r->d.m2p[FREE], 77);
	assert_true(pv_page_free(&r->d, FREE));
	/* Of a page that never went, nothing changes. */
	pv_page_here(&r->d, ROOT, 78);
	assert_int_equal(r->d.m2p[ROOT], ROOT);
	assert_int_equal(rig_use(r, ROOT), PV_L4);
}

static void resume_takes_ram_again(void **state)
{
	struct rig *r = *state;
	uint32_t gets = r->f->gets;

	r->d.ram = NULL;
	r->f->gets--;
	pv_mmu_resume(&r->d);
	assert_ptr_equal(r->d.ram, r->f->ram);
	assert_int_equal(r->f->gets, gets);
	pv_mmu_resume(&r->d);
	assert_int_equal(r->f->gets, gets);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(guests_read_it_at_both_places),
		WITH_RIG(windows_are_not_for_ring_3),
		cmocka_unit_test(frames_follow_the_ranges_of_ram),
		cmocka_unit_test(a_start_that_fails_leaves_nothing),
		cmocka_unit_test(the_engine_has_its_slots_first),
		WITH_RIG(boot_takes_the_builders_tables),
		cmocka_unit_test(boot_refuses_bad_tables),
		WITH_RIG(reset_forgets),
		WITH_RIG(pages_come_and_go),
		WITH_RIG(resume_takes_ram_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
