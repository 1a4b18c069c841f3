/* SPDX-License-Identifier: MIT */
#include "world.h"

static struct grant_entry_v1 *entries(struct world *w)
{
	return w->p.grants.entries;
}

static void grant(struct world *w, uint32_t ref, domid_t domid, uint16_t flags, uint32_t frame)
{
	entries(w)[ref] = (struct grant_entry_v1){ .flags = flags, .domid = domid, .frame = frame };
}

#define GNTTAB(w, cmd, s) world_op(w, __HYPERVISOR_grant_table_op, cmd, &(s), sizeof(s))

static void table_is_mapped_and_grows(void **state)
{
	struct world *w = *state;
	struct gnttab_query_size query = { .dom = DOMID_SELF };
	struct xen_add_to_physmap add = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table,
		                          .idx = GRANT_FRAMES_MAX - 1, .gpfn = GRANT_GPA >> 12 };
	uint32_t word = 0x12345678;

	assert_int_equal(GNTTAB(w, GNTTABOP_query_size, query), 0);
	assert_int_equal(query.status, GNTST_okay);
	assert_int_equal(query.nr_frames, 1);
	assert_int_equal(query.max_nr_frames, GRANT_FRAMES_MAX);
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add, sizeof(add)), 0);
	assert_int_equal(GNTTAB(w, GNTTABOP_query_size, query), 0);
	assert_int_equal(query.nr_frames, GRANT_FRAMES_MAX);
	w->f->host->mem_write(w->f->inst, GRANT_GPA + 4, &word, 4);
	assert_int_equal(entries(w)[(GRANT_FRAMES_MAX - 1) * GRANT_PER_FRAME].frame, word);
	add.idx = GRANT_FRAMES_MAX;
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add, sizeof(add)), -EINVAL);
	add.idx = XENMAPIDX_grant_table_status;
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add, sizeof(add)), -EINVAL);
}

static void shared_info_takes_the_place_of_a_frame(void **state)
{
	struct world *w = *state;
	struct xen_add_to_physmap add = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = 0,
		                          .gpfn = SHARED_GPA >> 12 };
	struct xen_remove_from_physmap remove = { .domid = DOMID_SELF, .gpfn = SHARED_GPA >> 12 };

	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add, sizeof(add)), 0);
	add.space = XENMAPSPACE_shared_info;
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add, sizeof(add)), 0);
	assert_true(w->p.grants.where[0] == GAMUT_GPA_NONE);
	assert_true(shinfo_where(&w->x.shinfo) == SHARED_GPA);
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &remove, sizeof(remove)), 0);
	assert_true(shinfo_where(&w->x.shinfo) == GAMUT_GPA_NONE);
}

static void map_marks_and_unmap_clears(void **state)
{
	struct world *w = *state;
	uint64_t gpa;
	void *ro, *rw;

	grant(w, 8, 0, GTF_permit_access, 0x123);
	ro = grant_ops.map(&w->p.grants, 8, 0, &gpa);
	assert_ptr_equal(ro, w->f->ram + 0x123000);
	assert_int_equal(gpa, 0x123000);
	assert_int_equal(entries(w)[8].flags, GTF_permit_access | GTF_reading);
	/* In use: the frame stays whatever the guest writes. */
	entries(w)[8].frame = 0x200;
	rw = grant_ops.map(&w->p.grants, 8, 1, &gpa);
	assert_ptr_equal(rw, ro);
	assert_int_equal(entries(w)[8].flags, GTF_permit_access | GTF_reading | GTF_writing);
	grant_ops.unmap(&w->p.grants, 8, rw, 1);
	assert_int_equal(w->f->dirtied, 4096);
	assert_true(entries(w)[8].flags & GTF_reading);
	grant_ops.unmap(&w->p.grants, 8, ro, 0);
	assert_int_equal(entries(w)[8].flags, GTF_permit_access);
}

static void bad_references_are_refused(void **state)
{
	struct world *w = *state;
	struct grant_table *gt = &w->p.grants;

	grant(w, 8, 0, GTF_permit_access | GTF_readonly, 0x123);
	assert_null(grant_ops.map(gt, 8, 1, NULL));
	grant(w, 9, 5, GTF_permit_access, 0x123); /* for another domain */
	assert_null(grant_ops.map(gt, 9, 0, NULL));
	grant(w, 10, 0, GTF_accept_transfer, 0x123);
	assert_null(grant_ops.map(gt, 10, 0, NULL));
	grant(w, 11, 0, GTF_transitive, 0x123);
	assert_null(grant_ops.map(gt, 11, 0, NULL));
	grant(w, 12, 0, GTF_permit_access | GTF_sub_page, 0x123);
	assert_null(grant_ops.map(gt, 12, 0, NULL));
	grant(w, 13, 0, GTF_permit_access, UINT32_MAX); /* no such frame */
	assert_null(grant_ops.map(gt, 13, 0, NULL));
	assert_int_equal(entries(w)[13].flags, GTF_permit_access);
	assert_null(grant_ops.map(gt, GRANT_PER_FRAME, 0, NULL)); /* past the end */
	assert_null(grant_ops.map(gt, UINT32_MAX, 0, NULL));
	assert_int_equal(host_fake_counter(w->f, "grants-refused"), 8);
	assert_int_equal(w->f->gets, 0);
}

static void unmap_after_reset_is_harmless(void **state)
{
	struct world *w = *state;
	void *page;

	grant(w, 8, 0, GTF_permit_access, 0x123);
	page = grant_ops.map(&w->p.grants, 8, 1, NULL);
	assert_non_null(page);
	xen_platform_reset(&w->p);
	grant(w, 8, 0, GTF_permit_access | GTF_reading, 0x456);
	grant_ops.unmap(&w->p.grants, 8, page, 1);
	assert_int_equal(entries(w)[8].flags, GTF_permit_access | GTF_reading);
	assert_int_equal(w->f->gets, 0);
}

static void copy_between_frames_and_grants(void **state)
{
	struct world *w = *state;
	struct gnttab_copy copy = { .source = { .u.gmfn = 0x100, .domid = DOMID_SELF, .offset = 8 },
		                    .dest = { .u.ref = 20, .domid = DOMID_SELF, .offset = 16 },
		                    .len = 5, .flags = GNTCOPY_dest_gref };

	grant(w, 20, w->f->domid, GTF_permit_access, 0x101);
	memcpy(w->f->ram + 0x100008, "hello", 5);
	assert_int_equal(GNTTAB(w, GNTTABOP_copy, copy), 0);
	assert_int_equal(copy.status, GNTST_okay);
	assert_memory_equal(w->f->ram + 0x101010, "hello", 5);
	assert_int_equal(entries(w)[20].flags, GTF_permit_access);
	copy.dest.offset = 4092;
	assert_int_equal(GNTTAB(w, GNTTABOP_copy, copy), 0);
	assert_int_equal(copy.status, GNTST_bad_copy_arg);
	copy.dest.offset = 0, copy.source.u.gmfn = UINT64_MAX;
	assert_int_equal(GNTTAB(w, GNTTABOP_copy, copy), 0);
	assert_int_equal(copy.status, GNTST_bad_page);
	copy.source.u.gmfn = 0x100, copy.source.domid = 0;
	assert_int_equal(GNTTAB(w, GNTTABOP_copy, copy), 0);
	assert_int_equal(copy.status, GNTST_permission_denied);
}

static void long_arrays_are_restarted(void **state)
{
	struct world *w = *state;
	struct gnttab_unmap_grant_ref *array = (void *)(w->f->ram + ARRAY);

	for (int i = 0; i < 200; i++)
		array[i].status = 99;
	assert_int_equal(world_call(w, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, ARRAY, 199), 0);
	assert_int_equal(array[0].status, GNTST_bad_handle);
	assert_int_equal(array[198].status, GNTST_bad_handle);
	assert_int_equal(array[199].status, 99);
}

static void setup_table_in_both_layouts(void **state)
{
	struct world *w = *state;
	struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = 2, .frame_list.p = (void *)ARRAY };
	struct {
		uint16_t dom;
		uint32_t nr_frames;
		int16_t status;
		uint32_t frame_list;
	} setup32 = { DOMID_SELF, 2, 99, ARRAY };
	uint64_t *list = (void *)(w->f->ram + ARRAY);

	assert_int_equal(grant_place(&w->p.grants, 1, GRANT_GPA), 0);
	assert_int_equal(GNTTAB(w, GNTTABOP_setup_table, setup), 0);
	assert_int_equal(setup.status, GNTST_okay);
	assert_true(list[0] == UINT64_MAX && list[1] == GRANT_GPA >> 12);
	list[1] = 0;
	w->long_mode = 0;
	assert_int_equal(GNTTAB(w, GNTTABOP_setup_table, setup32), 0);
	assert_int_equal(setup32.status, GNTST_okay);
	assert_true(list[0] == (GRANT_GPA >> 12 << 32 | UINT32_MAX));
	assert_int_equal(list[1], 0);
	setup32.nr_frames = UINT32_MAX;
	assert_int_equal(GNTTAB(w, GNTTABOP_setup_table, setup32), 0);
	assert_int_equal(setup32.status, GNTST_general_error);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(table_is_mapped_and_grows), T(shared_info_takes_the_place_of_a_frame), T(map_marks_and_unmap_clears),
		T(bad_references_are_refused), T(unmap_after_reset_is_harmless), T(copy_between_frames_and_grants),
		T(long_arrays_are_restarted), T(setup_table_in_both_layouts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
