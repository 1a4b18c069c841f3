/* SPDX-License-Identifier: MIT */
/* Whole tables: what is checked and repaired when a use begins, and what holds it. */
#include "rig.h"

static int64_t pin(struct rig *r, int level, uint64_t mfn)
{
	return rig_ext(r, MMUEXT_PIN_L1_TABLE + (uint32_t)level - 1, mfn, 0);
}

static int64_t unpin(struct rig *r, uint64_t mfn)
{
	return rig_ext(r, MMUEXT_UNPIN_TABLE, mfn, 0);
}

/* A second set of tables, L4 FREE to L1 FREE + 3, that maps DATA writable. */
static void second_tables(struct rig *r, uint64_t flags)
{
	for (uint64_t i = 0; i < 3; i++)
		rig_put(r, FREE + i, 1, PTE(FREE + i + 1, flags));
	rig_put(r, FREE + 3, 5, PTE(DATA, flags));
}

static void pins_are_counted_once(void **state)
{
	struct rig *r = *state;

	for (int level = 1; level <= 4; level++) {
		uint64_t mfn = FREE + (uint64_t)level;

		assert_int_equal(unpin(r, mfn), -EINVAL);
		assert_int_equal(pin(r, level, mfn), 0);
		assert_int_equal(r->d.use[mfn], (PV_L1 + level - 1) | PV_PINNED);
		assert_int_equal(pin(r, level, mfn), -EINVAL);
		for (int other = 1; other <= 4; other++)
			assert_int_equal(pin(r, other, mfn), -EINVAL);
		assert_int_equal(r->d.mmu->ref[mfn], 1);
		assert_int_equal(unpin(r, mfn), 0);
		assert_int_equal(rig_use(r, mfn), PV_FREE);
		assert_int_equal(unpin(r, mfn), -EINVAL);
	}
}

static void bad_frames(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < N_BAD_FRAMES; i++) {
		for (int level = 1; level <= 4; level++)
			assert_int_equal(pin(r, level, rig_bad_frames[i]), -EINVAL);
		assert_int_equal(unpin(r, rig_bad_frames[i]), -EINVAL);
	}
}

static void a_linked_table_can_be_pinned_too(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pin(r, 1, L1), 0);
	assert_int_equal(r->d.mmu->ref[L1], 2);
	assert_int_equal(rig_update(r, MADDR(L2, 0), 0), 0);
	assert_int_equal(rig_use(r, L1), PV_L1);
	assert_int_equal(unpin(r, L1), 0);
	assert_int_equal(rig_use(r, L1), PV_FREE);
	assert_int_equal(rig_use(r, DATA), PV_FREE);
}

static void everything_below_is_repaired(void **state)
{
	struct rig *r = *state;

	second_tables(r, PTE_P | PTE_RW | PTE_A);
	rig_put(r, FREE + 3, 6, PTE(DATA + 1, PTE_P | PTE_G | PTE_NX));
	rig_put(r, FREE + 3, 7, PTE(DATA + 2, PTE_G | PTE_PSE)); /* not present: left alone */
	assert_int_equal(pin(r, 4, FREE), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(rig_see(r, FREE + i, 1), PTE(FREE + i + 1, PTE_P | PTE_RW | PTE_A | PTE_U));
	assert_int_equal(rig_see(r, FREE + 3, 5), PTE(DATA, PTE_P | PTE_RW | PTE_A | PTE_U));
	assert_int_equal(rig_see(r, FREE + 3, 6), PTE(DATA + 1, PTE_P | PTE_U | PTE_NX));
	assert_int_equal(rig_see(r, FREE + 3, 7), PTE(DATA + 2, PTE_G | PTE_PSE));
	assert_int_equal(r->d.mmu->ref[DATA], 2);
	assert_int_equal(unpin(r, FREE), 0);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(rig_use(r, FREE + i), PV_FREE);
	assert_int_equal(r->d.mmu->ref[DATA], 1);
}

static void a_good_table_is_not_written(void **state)
{
	struct rig *r = *state;
	uint32_t writes = r->writes;

	second_tables(r, TABLE);
	assert_int_equal(pin(r, 3, FREE + 1), 0);
	assert_int_equal(r->writes, writes);
}

static void the_monitors_slots_are_filled(void **state)
{
	struct rig *r = *state;

	/* Whatever the guest had there does not matter. */
	for (uint64_t i = 256; i < 272; i++)
		rig_put(r, FREE, i, UINT64_MAX);
	assert_int_equal(pin(r, 4, FREE), 0);
	for (uint64_t i = 256; i < 272; i++)
		assert_int_equal(rig_see(r, FREE, i), rig_see(r, ROOT, i));
	assert_int_not_equal(rig_see(r, FREE, 257), 0);
	assert_int_equal(unpin(r, FREE), 0);
	/* Left in the page, they make it no good for any lower table. */
	assert_int_equal(pin(r, 1, FREE), -EBUSY);
	assert_int_equal(pin(r, 3, FREE), -EINVAL);
}

/* Entry, at which level, and what is said; the rest of the tables is good. */
static const struct {
	int level;
	uint64_t entry;
	int rc;
} refused[] = {
	{ 1, PTE(DATA, RW | PTE_PSE), -EINVAL },          { 1, PTE(DATA, RO | PTE_PWT), -EINVAL },
	{ 1, PTE(DATA, RO | PTE_PCD), -EINVAL },          { 1, PTE(DATA, RO | PTE_GRANT), -EINVAL },
	{ 1, PTE(FRAMES, RO), -EPERM },                   { 1, PTE(0xbffff, RW), -EPERM },
	{ 1, PTE(0xc0000, RO), -EBUSY },                  { 1, PTE(1ull << 39, RO), -EPERM },
	{ 1, PTE(FRAMES_MAX, RO), -EINVAL },              { 1, PTE(ROOT, RW), -EBUSY },
	{ 1, PTE(L1, RW), -EBUSY },                       { 1, PTE(FREE + 3, RW), -EBUSY },
	{ 1, PTE(FREE, RW), -EBUSY },                     { 2, PTE(DATA, TABLE | PTE_PSE), -EINVAL },
	{ 2, PTE(0, RW | PTE_PSE), -EINVAL },             { 2, PTE(FREE + 4, TABLE | PTE_G), -EINVAL },
	{ 2, PTE(FREE + 4, TABLE | PTE_PCD), -EINVAL },   { 2, PTE(DATA, TABLE), -EINVAL },
	{ 2, PTE(L2, TABLE), -EINVAL },                   { 2, PTE(ROOT, TABLE), -EINVAL },
	{ 2, PTE(FREE + 2, TABLE), -EINVAL },             { 2, PTE(FRAMES, TABLE), -EINVAL },
	{ 2, PTE(0xc0000, TABLE), -EINVAL },              { 3, PTE(0, RW | PTE_PSE), -EINVAL },
	{ 3, PTE(L1, TABLE), -EINVAL },                   { 3, PTE(FREE + 1, TABLE), -EINVAL },
	{ 3, PTE(FRAMES_MAX, TABLE), -EINVAL },           { 4, PTE(FREE, TABLE), -EINVAL },
	{ 4, PTE(FREE + 4, TABLE | PTE_PSE), -EINVAL },   { 4, PTE(FREE + 4, TABLE | PTE_PWT), -EINVAL },
	{ 4, PTE(L2, TABLE), -EINVAL },                   { 4, PTE(1ull << 39, TABLE), -EINVAL },
};

static void what_is_refused_leaves_nothing(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		uint64_t table = FREE + 4 - (uint64_t)refused[i].level;
		int64_t rc;

		memset(r->f->ram + PAGE(FREE), 0, 8 << 12);
		second_tables(r, TABLE);
		rig_put(r, table, 511, refused[i].entry);
		rc = pin(r, 4, FREE);
		if (rc != refused[i].rc)
			fail_msg("case %zu: %lld", i, (long long)rc);
		for (uint64_t k = 0; k < 5; k++)
			assert_int_equal(rig_use(r, FREE + k), PV_FREE);
		assert_int_equal(r->d.mmu->ref[DATA], 1);
		rig_check(r);
	}
}

static void pages_of_other_parts_can_be_mapped(void **state)
{
	struct rig *r = *state;
	uint32_t gets = r->f->gets;

	rig_put(r, FREE, 0, PTE(HOST_GPA >> 12, RW));
	assert_int_equal(pin(r, 1, FREE), 0);
	assert_int_equal(r->f->gets, gets);
	assert_int_equal(unpin(r, FREE), 0);
	/* But they are no tables. */
	rig_put(r, FREE, 0, PTE(HOST_GPA >> 12, TABLE));
	assert_int_equal(pin(r, 2, FREE), -EINVAL);
}

static void a_writable_page_is_no_table(void **state)
{
	struct rig *r = *state;

	for (int level = 1; level <= 4; level++)
		assert_int_equal(pin(r, level, DATA), -EINVAL);
	assert_int_equal(rig_va(r, PAGE(0), PTE(DATA, RO), 0), 0);
	assert_int_equal(pin(r, 1, DATA), 0);
	assert_int_equal(rig_va(r, PAGE(0), PTE(DATA, RW), 0), -EBUSY);
	assert_int_equal(unpin(r, DATA), 0);
	assert_int_equal(rig_va(r, PAGE(0), PTE(DATA, RW), 0), 0);
}

static void a_table_under_two(void **state)
{
	struct rig *r = *state;

	rig_put(r, FREE, 3, PTE(L3, TABLE));
	assert_int_equal(pin(r, 4, FREE), 0);
	assert_int_equal(r->d.mmu->ref[L3], 2);
	/* The first one's going does not take the shared ones along. */
	assert_int_equal(rig_ext(r, MMUEXT_NEW_BASEPTR, FREE, 0), 0);
	assert_int_equal(unpin(r, ROOT), 0);
	assert_int_equal(rig_use(r, ROOT), PV_FREE);
	assert_int_equal(rig_use(r, L3), PV_L3);
	assert_int_equal(rig_use(r, L1), PV_L1);
}

/* ---- roots ---- */

static void both_roots_at_once(void **state)
{
	struct rig *r = *state;
	const struct mmuext_op list[] = { { .cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = FREE },
		                          { .cmd = MMUEXT_NEW_USER_BASEPTR, .arg1.mfn = FREE + 1 } };

	assert_int_equal(pin(r, 4, FREE), 0);
	r->cpu[0].roots = 0;
	assert_int_equal(rig_exts(r, list, 2), 0);
	assert_int_equal(r->cpu[0].roots, 1);
	assert_int_equal(r->cpu[0].kernel, FREE << 12);
	assert_int_equal(r->cpu[0].user, (FREE + 1) << 12);
	/* The one that nobody pinned was checked, and is let go of when it is a root no more. */
	assert_int_equal(rig_use(r, FREE + 1), PV_L4);
	assert_int_equal(rig_see(r, FREE + 1, 257), rig_see(r, ROOT, 257));
	assert_int_equal(rig_ext(r, MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
	assert_int_equal(r->cpu[0].user, 0);
	assert_int_equal(r->cpu[0].kernel, FREE << 12);
	assert_int_equal(rig_use(r, FREE + 1), PV_FREE);
}

static void the_same_root_again_flushes(void **state)
{
	struct rig *r = *state;

	r->cpu[0].roots = 0;
	assert_int_equal(rig_ext(r, MMUEXT_NEW_BASEPTR, ROOT, 0), 0);
	assert_int_equal(r->cpu[0].roots, 1);
	assert_int_equal(r->d.mmu->ref[ROOT], 2);
	assert_int_equal(rig_ext(r, MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
	assert_int_equal(r->cpu[0].roots, 1);
}

static void bad_roots(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < N_BAD_FRAMES; i++) {
		assert_int_equal(rig_ext(r, MMUEXT_NEW_BASEPTR, rig_bad_frames[i], 0), -EINVAL);
		assert_int_equal(rig_ext(r, MMUEXT_NEW_USER_BASEPTR, rig_bad_frames[i], 0), -EINVAL);
	}
	assert_int_equal(rig_ext(r, MMUEXT_NEW_BASEPTR, 0, 0), -EINVAL);
	assert_int_equal(rig_ext(r, MMUEXT_NEW_BASEPTR, L3, 0), -EINVAL);
	assert_int_equal(rig_ext(r, MMUEXT_NEW_USER_BASEPTR, DATA, 0), -EINVAL);
	assert_int_equal(r->vcpu[0].root[PV_KERNEL], ROOT);
	assert_int_equal(r->vcpu[0].root[PV_USER], 0);
}

static void user_mode_may_be_kept_from_machine_to_phys(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_ext(r, MMUEXT_NEW_USER_BASEPTR, FREE, 0), 0);
	assert_int_equal(rig_see(r, FREE, 257), rig_see(r, ROOT, 257));
	assert_int_equal(rig_ext(r, MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
	r->d.vm_assist |= 1ull << VMASST_TYPE_m2p_strict;
	assert_int_equal(rig_ext(r, MMUEXT_NEW_USER_BASEPTR, FREE, 0), 0);
	assert_int_equal(rig_see(r, FREE, 256) | rig_see(r, FREE, 257), 0);
	assert_int_equal(rig_see(r, FREE, 258), rig_see(r, ROOT, 258));
	assert_int_not_equal(rig_see(r, ROOT, 257), 0);
	/* As the kernel's it has it again, even if nothing is asked for any more. */
	r->d.vm_assist = 0;
	assert_int_equal(rig_ext(r, MMUEXT_NEW_BASEPTR, FREE, 0), 0);
	assert_int_equal(rig_see(r, FREE, 256), rig_see(r, ROOT, 256));
	assert_int_equal(rig_see(r, FREE, 257), rig_see(r, ROOT, 257));
}

/* [B, A, B]: each takes effect in turn; what is a root no more is let go of. */
static void roots_change_back_and_forth(void **state)
{
	struct rig *r = *state;
	const struct mmuext_op list[] = { { .cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = FREE },
		                          { .cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = ROOT },
		                          { .cmd = MMUEXT_UNPIN_TABLE, .arg1.mfn = ROOT },
		                          { .cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = FREE } };

	assert_int_equal(rig_exts(r, list, 4), 0);
	assert_int_equal(r->vcpu[0].root[PV_KERNEL], FREE);
	assert_int_equal(r->cpu[0].kernel, FREE << 12);
	assert_int_equal(rig_use(r, ROOT), PV_FREE);
	assert_int_equal(rig_use(r, L1), PV_FREE);
}

static void roots_of_a_vcpu_are_set_both_or_none(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pv_set_roots(&r->vcpu[1], FREE, DATA), -EINVAL);
	assert_int_equal(pv_set_roots(&r->vcpu[1], DATA, FREE), -EINVAL);
	assert_int_equal(pv_set_roots(&r->vcpu[1], 0, 0), -EINVAL);
	assert_int_equal(r->vcpu[1].root[PV_KERNEL], 0);
	assert_int_equal(rig_use(r, FREE), PV_FREE);
	assert_int_equal(r->cpu[1].roots, 0);
	assert_int_equal(pv_set_roots(&r->vcpu[1], FREE, FREE), 0);
	assert_int_equal(r->d.mmu->ref[FREE], 2);
	assert_int_equal(r->cpu[1].kernel, FREE << 12);
	assert_int_equal(r->cpu[1].user, FREE << 12);
	assert_int_equal(pv_set_roots(&r->vcpu[1], ROOT, 0), 0);
	assert_int_equal(r->cpu[1].user, 0);
	assert_int_equal(rig_use(r, FREE), PV_FREE);
	assert_int_equal(r->d.mmu->ref[ROOT], 3);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(pins_are_counted_once),
		WITH_RIG(bad_frames),
		WITH_RIG(a_linked_table_can_be_pinned_too),
		WITH_RIG(everything_below_is_repaired),
		WITH_RIG(a_good_table_is_not_written),
		WITH_RIG(the_monitors_slots_are_filled),
		WITH_RIG(what_is_refused_leaves_nothing),
		WITH_RIG(pages_of_other_parts_can_be_mapped),
		WITH_RIG(a_writable_page_is_no_table),
		WITH_RIG(a_table_under_two),
		WITH_RIG(both_roots_at_once),
		WITH_RIG(the_same_root_again_flushes),
		WITH_RIG(bad_roots),
		WITH_RIG(user_mode_may_be_kept_from_machine_to_phys),
		WITH_RIG(roots_change_back_and_forth),
		cmocka_unit_test_setup_teardown(roots_of_a_vcpu_are_set_both_or_none, rig_setup_smp, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
