/* SPDX-License-Identifier: MIT */
/* mmu_update: one entry (pte.c too), and lists of them. */
#include "rig.h"

static int64_t update(struct rig *r, uint64_t mfn, uint64_t slot, uint64_t entry)
{
	return rig_update(r, MADDR(mfn, slot), entry);
}

static void an_l1_entry_changes(void **state)
{
	struct rig *r = *state;

	assert_int_equal(update(r, L1, 200, PTE(FREE, PTE_P | PTE_RW | PTE_G | PTE_NX)), 0);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, PTE_P | PTE_RW | PTE_U | PTE_NX));
	assert_int_equal(r->d.mmu->ref[FREE], 1);
	/* The same with other flags: the count stays. */
	assert_int_equal(update(r, L1, 200, PTE(FREE, RW | 0xe00)), 0);
	assert_int_equal(r->d.mmu->ref[FREE], 1);
	assert_int_equal(update(r, L1, 200, PTE(FREE + 1, RW)), 0);
	assert_int_equal(r->d.mmu->ref[FREE], 0);
	assert_int_equal(update(r, L1, 200, PTE(FREE + 1, RO)), 0);
	assert_int_equal(r->d.mmu->ref[FREE + 1], 0);
	assert_int_equal(update(r, L1, 200, 0xdeadbeefdeadbee0), 0); /* not present: anything */
	assert_int_equal(rig_see(r, L1, 200), 0xdeadbeefdeadbee0);
	assert_int_equal(rig_update(r, MADDR(L1, 200) | MMU_PT_UPDATE_NO_TRANSLATE, PTE(FREE, RW)), 0);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, RW));
}

static const struct {
	uint64_t entry;
	int rc;
} refused[] = {
	{ PTE(FREE, RW | PTE_PSE), -EINVAL }, { PTE(FREE, RW | PTE_PWT), -EINVAL },
	{ PTE(FREE, RW | PTE_PCD), -EINVAL }, { PTE(FREE, RW | PTE_GRANT), -EINVAL },
	{ PTE(FRAMES, RW), -EPERM },          { PTE(0xbffff, RO), -EPERM },
	{ PTE(0xc0000, RO), -EBUSY },         { PTE(0xc0000, RW), -EBUSY },
	{ PTE(1ull << 38, RO), -EPERM },      { PTE(FRAMES_MAX, RO), -EINVAL },
	{ PTE(ROOT, RW), -EBUSY },            { PTE(L1, RW), -EBUSY },
	{ UINT64_MAX, -EINVAL },
};

static void an_l1_entry_is_refused(void **state)
{
	struct rig *r = *state;
	uint64_t sign = host_fake_counter(r->f, "page table entries");

	for (uint64_t slot = 0; slot < 300; slot += 100)
		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
			uint64_t was = rig_see(r, L1, slot);

			assert_int_equal(update(r, L1, slot, refused[i].entry), refused[i].rc);
			assert_int_equal(rig_see(r, L1, slot), was);
		}
	/* The last page of the monitor, and the one behind it. */
	assert_int_equal(update(r, L1, 200, PTE(0xc0000 + r->d.mmu->n_pages - 1, RO)), -EBUSY);
	assert_int_equal(update(r, L1, 200, PTE(0xc0000 + r->d.mmu->n_pages, RO)), -EPERM);
	/* Only what is done is a sign. */
	assert_int_equal(host_fake_counter(r->f, "page table entries"), sign);
	assert_int_equal(update(r, L1, 200, 0), 0);
	assert_int_equal(host_fake_counter(r->f, "page table entries"), sign + 1);
}

static void pages_of_other_parts_are_mapped(void **state)
{
	struct rig *r = *state;

	assert_int_equal(update(r, L1, 200, PTE(HOST_GPA >> 12, PTE_P | PTE_RW)), 0);
	assert_int_equal(rig_see(r, L1, 200), PTE(HOST_GPA >> 12, PTE_P | PTE_RW | PTE_U));
	assert_int_equal(update(r, L1, 200, 0), 0);
}

static void a_and_d_are_kept(void **state)
{
	struct rig *r = *state;
	uint64_t keep = MADDR(L1, 200) | MMU_PT_UPDATE_PRESERVE_AD;

	assert_int_equal(update(r, L1, 200, PTE(FREE, PTE_P | PTE_RW | PTE_U | PTE_D)), 0);
	assert_int_equal(rig_update(r, keep, PTE(FREE, PTE_P)), 0);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, PTE_P | PTE_U | PTE_D));
	/* The processor sets A between our look and our store. */
	r->race = PTE_A;
	assert_int_equal(rig_update(r, keep, PTE(FREE, PTE_P | PTE_RW)), 0);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, PTE_P | PTE_RW | PTE_U | PTE_D | PTE_A));
	/* Something else changes, which cannot be: nothing is stored or counted. */
	r->race = 0x200;
	assert_int_equal(rig_update(r, keep, PTE(FREE + 1, PTE_P | PTE_RW)), -EAGAIN);
	assert_int_equal(r->d.mmu->ref[FREE + 1], 0);
	assert_int_equal(pte_mfn(rig_see(r, L1, 200)), FREE);
	/* Without the command they are replaced. */
	assert_int_equal(update(r, L1, 200, PTE(FREE, PTE_P)), 0);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, PTE_P | PTE_U));
}

static void upper_entries_link_tables(void **state)
{
	struct rig *r = *state;

	rig_put(r, FREE, 7, PTE(DATA, PTE_P | PTE_RW));
	assert_int_equal(update(r, L2, 9, PTE(FREE, PTE_P | PTE_RW)), 0);
	assert_int_equal(rig_use(r, FREE), PV_L1);
	assert_int_equal(rig_see(r, L2, 9), PTE(FREE, PTE_P | PTE_RW | PTE_U));
	assert_int_equal(rig_see(r, FREE, 7), PTE(DATA, PTE_P | PTE_RW | PTE_U));
	assert_int_equal(r->d.mmu->ref[DATA], 2);
	/* The same table at a second place, and then at none. */
	assert_int_equal(update(r, L2, 10, PTE(FREE, TABLE)), 0);
	assert_int_equal(r->d.mmu->ref[FREE], 2);
	assert_int_equal(update(r, L2, 9, 0), 0);
	assert_int_equal(rig_use(r, FREE), PV_L1);
	assert_int_equal(update(r, L2, 10, PTE(FREE + 1, TABLE)), 0);
	assert_int_equal(rig_use(r, FREE), PV_FREE);
	assert_int_equal(r->d.mmu->ref[DATA], 1);
	assert_int_equal(update(r, L3, 1, PTE(FREE + 2, TABLE)), 0);
	assert_int_equal(rig_use(r, FREE + 2), PV_L2);
	assert_int_equal(update(r, ROOT, 511, PTE(FREE + 3, TABLE)), 0);
	assert_int_equal(rig_use(r, FREE + 3), PV_L3);
}

static void upper_entries_are_refused(void **state)
{
	struct rig *r = *state;
	static const uint64_t tables[] = { ROOT, L3, L2 };

	for (uint64_t i = 0; i < 3; i++) {
		static const uint64_t flags[] = { PTE_PSE, PTE_PWT, PTE_PCD, PTE_G };
		uint64_t was = rig_see(r, tables[i], 0);

		for (uint64_t k = 0; k < 4; k++)
			assert_int_equal(update(r, tables[i], 0, PTE(L3 + i, TABLE | flags[k])), -EINVAL);
		for (size_t k = 0; k < N_BAD_FRAMES; k++)
			assert_int_equal(update(r, tables[i], 5, (rig_bad_frames[k] << 12 & PTE_FRAME) | TABLE),
			                 rig_bad_frames[k] << 12 & PTE_FRAME ? -EINVAL : 0);
		assert_int_equal(update(r, tables[i], 5, 0), 0);
		assert_int_equal(update(r, tables[i], 0, PTE(tables[i], TABLE)), -EINVAL);
		assert_int_equal(update(r, tables[i], 0, PTE(DATA, TABLE)), -EINVAL);
		assert_int_equal(rig_see(r, tables[i], 0), was);
	}
	assert_int_equal(update(r, L3, 0, PTE(L1, TABLE)), -EINVAL);
	assert_int_equal(update(r, ROOT, 0, PTE(L2, TABLE)), -EINVAL);
	assert_int_equal(update(r, L2, 0, PTE(HOST_GPA >> 12, TABLE)), -EINVAL);
}

static void the_monitors_slots_are_refused(void **state)
{
	struct rig *r = *state;

	for (uint64_t i = 256; i < 272; i++) {
		uint64_t was = rig_see(r, ROOT, i);

		assert_int_equal(update(r, ROOT, i, 0), -EINVAL);
		assert_int_equal(update(r, ROOT, i, PTE(L3, TABLE)), -EINVAL);
		assert_int_equal(update(r, ROOT, i, was), -EINVAL);
		assert_int_equal(rig_see(r, ROOT, i), was);
	}
	assert_int_equal(update(r, ROOT, 255, PTE(L3, TABLE)), 0);
	assert_int_equal(update(r, ROOT, 272, PTE(L3, TABLE)), 0);
	/* In other tables they are like any slot. */
	assert_int_equal(update(r, L1, 256, PTE(DATA, RW)), 0);
}

static void a_page_that_is_no_table_is_written(void **state)
{
	struct rig *r = *state;

	assert_int_equal(update(r, FREE, 3, UINT64_MAX), 0);
	assert_int_equal(rig_see(r, FREE, 3), UINT64_MAX);
	assert_int_equal(update(r, DATA, 3, 5), 0);
	assert_int_equal(rig_see(r, DATA, 3), 5);
	assert_int_equal(pv_set_gdt(&r->vcpu[0], (const uint64_t[]){ FREE + 1 }, 1), 0);
	assert_int_equal(update(r, FREE + 1, 3, 5), -EINVAL);
	assert_int_equal(rig_see(r, FREE + 1, 3), 0);
}

static void bad_requests(void **state)
{
	struct rig *r = *state;

	for (uint64_t cmd = 4; cmd < 8; cmd++)
		assert_int_equal(rig_update(r, MADDR(L1, 200) | cmd, 0), -ENOSYS);
	for (size_t i = 0; i < N_BAD_FRAMES; i++)
		for (uint64_t cmd = 0; cmd < 4; cmd++)
			if (rig_bad_frames[i] <= FRAMES_MAX)
				assert_int_equal(rig_update(r, PAGE(rig_bad_frames[i]) | cmd, 0), -EINVAL);
	assert_int_equal(rig_update(r, UINT64_MAX & ~7ull, 0), -EINVAL);
	assert_int_equal(rig_update(r, UINT64_MAX, 0), -ENOSYS);
	assert_int_equal(rig_update(r, HOST_GPA, 0), -EINVAL);
}

static void machine_to_phys_changes(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_update(r, PAGE(FREE) | MMU_MACHPHYS_UPDATE, 0x123456), 0);
	assert_int_equal(r->d.m2p[FREE], 0x123456);
	assert_int_equal(rig_update(r, MADDR(FREE, 511) | MMU_MACHPHYS_UPDATE, UINT64_MAX), 0);
	assert_int_equal(r->d.m2p[FREE], UINT64_MAX);
	assert_true(pv_frame_ok(&r->d, FREE));
}

static void only_of_oneself(void **state)
{
	struct rig *r = *state;
	static const struct {
		uint64_t domain;
		int rc;
	} cases[] = {
		{ DOMID_SELF, 0 },       { 1, 0 },        { DOMID_SELF | 2 << 16, 0 },
		{ 0, -EPERM },           { DOMID_IO, -EPERM }, { DOMID_XEN, -EPERM },
		{ 2, -ESRCH },           { DOMID_INVALID, -ESRCH }, { DOMID_SELF | 1 << 16, -EPERM },
		{ DOMID_SELF | 3 << 16, -ESRCH },
	};

	memset(r->f->ram + ARG, 0, 16);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, ARG, 1, 0, cases[i].domain), cases[i].rc);
}

static void only_the_kernel_may_call(void **state)
{
	struct rig *r = *state;
	static const uint32_t numbers[] = { __HYPERVISOR_mmu_update,       __HYPERVISOR_mmuext_op,
		                            __HYPERVISOR_update_va_mapping, __HYPERVISOR_update_va_mapping_otherdomain,
		                            __HYPERVISOR_set_gdt,           __HYPERVISOR_update_descriptor };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct gamut_hypercall call = { .nr = numbers[i], .cpl = 3, .long_mode = 1 };

		assert_int_equal(host_fake_hypercall(r->f, &call), -EPERM);
	}
}

/* ---- lists ---- */

static void lists_tell_how_far_they_got(void **state)
{
	struct rig *r = *state;
	struct mmu_update req[3] = { { MADDR(L1, 200), PTE(FREE, RW) },
		                     { MADDR(L1, 201), PTE(L1, RW) },
		                     { MADDR(L1, 202), PTE(FREE, RW) } };
	uint32_t *done = (uint32_t *)(r->f->ram + DONE);

	memcpy(r->f->ram + ARG, req, sizeof(req));
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, ARG, 3, DONE, DOMID_SELF), -EBUSY);
	assert_int_equal(*done, 1);
	assert_int_equal(rig_see(r, L1, 202), 0);
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, ARG, 0, DONE, DOMID_SELF), 0);
	assert_int_equal(*done, 0);
	/* One that cannot be written is no matter; a list that cannot be read is. */
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, ARG, 1, NOWHERE, DOMID_SELF), 0);
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, NOWHERE, 1, DONE, DOMID_SELF), -EFAULT);
	assert_int_equal(*done, 0);
	memcpy(r->f->ram + RAM - 16, req, 16);
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, RAM - 16, 2, DONE, DOMID_SELF), -EFAULT);
	assert_int_equal(*done, 1);
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, RAM - 16, UINT32_MAX, DONE, DOMID_SELF), -EFAULT);
}

#define LONG 1000u
#define LIST 0x90000ull

static void long_lists_are_done_in_turns(void **state)
{
	struct rig *r = *state;
	struct gamut_hypercall call = { .nr = __HYPERVISOR_mmu_update, .long_mode = 1,
		                        .args = { LIST, LONG, DONE, DOMID_SELF } };
	struct mmu_update *req = (struct mmu_update *)(r->f->ram + LIST);
	uint32_t turns = 0, *done = (uint32_t *)(r->f->ram + DONE);
	int64_t rc;

	for (uint32_t i = 0; i < LONG; i++)
		req[i] = (struct mmu_update){ PAGE(i) | MMU_MACHPHYS_UPDATE, i + 10000 };
	do {
		call.restart = 0;
		rc = r->f->hypercalls[call.nr].fn(r->f->hypercalls[call.nr].opaque, &call);
		assert_int_equal(rc, 0);
		turns++;
		assert_int_equal(call.args[0], LIST + (call.restart ? *done * 16 : LONG / 256 * 256 * 16));
		if (call.restart)
			assert_int_equal(call.args[1], (LONG - *done) | 0x80000000u);
	} while (call.restart);
	assert_int_equal(turns, 4);
	assert_int_equal(*done, LONG);
	for (uint32_t i = 0; i < LONG; i++)
		assert_int_equal(r->d.m2p[i], i + 10000);
}

static void a_list_that_fails_late(void **state)
{
	struct rig *r = *state;
	struct mmu_update *req = (struct mmu_update *)(r->f->ram + LIST);
	uint32_t *done = (uint32_t *)(r->f->ram + DONE);

	for (uint32_t i = 0; i < LONG; i++)
		req[i] = (struct mmu_update){ PAGE(i) | MMU_MACHPHYS_UPDATE, i + 10000 };
	req[700].ptr = UINT64_MAX;
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, LIST, LONG, DONE, DOMID_SELF), -ENOSYS);
	assert_int_equal(*done, 700);
	assert_int_equal(r->d.m2p[699], 10699);
	assert_int_equal(r->d.m2p[701], 701);
	/* A guest that sets the bit itself gets its own number back. */
	*done = 5;
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, LIST, 2 | 0x80000000u, DONE, DOMID_SELF), 0);
	assert_int_equal(*done, 7);
	assert_int_equal(rig_call(r, __HYPERVISOR_mmu_update, 0, 0x80000000u, NOWHERE, DOMID_SELF), 0);
}

/* Random requests: nothing but an errno comes of it, and the counts stay right (rig_teardown). */
static void garbage(void **state)
{
	struct rig *r = *state;
	uint64_t x = 88172645463325252ull;

	for (uint32_t i = 0; i < 20000; i++) {
		uint64_t ptr, val;
		int64_t rc;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		/* Among the tables and some free pages, with flags that are mostly good. */
		ptr = MADDR(ROOT + x % 8 + (x & 0x100 ? FREE - ROOT : 0), x >> 20 & 511) | (x >> 40 & 3);
		val = PTE(ROOT + (x >> 12 & 7) + (x & 0x1000000 ? FREE - ROOT : 0), (x >> 32 & 0x67) | 1) |
		      (x >> 50 & 31 ? 0 : 1ull << (x >> 56 & 63));
		if ((ptr & 7) == MMU_MACHPHYS_UPDATE)
			continue;
		rc = rig_update(r, ptr, val);
		assert_true(rc == 0 || rc == -EINVAL || rc == -EBUSY || rc == -EPERM);
		if (i % 1000 == 0)
			rig_check(r);
	}
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(an_l1_entry_changes),
		WITH_RIG(an_l1_entry_is_refused),
		WITH_RIG(pages_of_other_parts_are_mapped),
		WITH_RIG(a_and_d_are_kept),
		WITH_RIG(upper_entries_link_tables),
		WITH_RIG(upper_entries_are_refused),
		WITH_RIG(the_monitors_slots_are_refused),
		WITH_RIG(a_page_that_is_no_table_is_written),
		WITH_RIG(bad_requests),
		WITH_RIG(machine_to_phys_changes),
		WITH_RIG(only_of_oneself),
		WITH_RIG(only_the_kernel_may_call),
		WITH_RIG(lists_tell_how_far_they_got),
		WITH_RIG(long_lists_are_done_in_turns),
		WITH_RIG(a_list_that_fails_late),
		WITH_RIG(garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
