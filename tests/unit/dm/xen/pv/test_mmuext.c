/* SPDX-License-Identifier: MIT */
/* mmuext_op but for pins and roots (test_pin.c) and the LDT (test_descriptor.c). */
#include "rig.h"

#define MASK 0x7e000ull

static void forget(struct rig *r)
{
	for (int i = 0; i < VCPUS_MAX; i++)
		r->cpu[i].flushes = r->cpu[i].pages = r->cpu[i].others = 0;
}

/* What a flush did: of everything here, of a page here, of others. */
static void expect(struct rig *r, uint32_t flushes, uint32_t pages, uint32_t others)
{
	assert_int_equal(r->cpu[0].flushes, flushes);
	assert_int_equal(r->cpu[0].pages, pages);
	assert_int_equal(r->cpu[0].others, others);
	forget(r);
}

static void flushes_of_this_vcpu(void **state)
{
	struct rig *r = *state;

	forget(r);
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
	expect(r, 1, 0, 0);
	assert_int_equal(rig_ext(r, MMUEXT_INVLPG_LOCAL, 0x7fff1234, 0), 0);
	assert_int_equal(r->cpu[0].page, 0x7fff1234);
	expect(r, 0, 1, 0);
	/* Not addresses of the guest's: as on Xen, nothing. */
	assert_int_equal(rig_ext(r, MMUEXT_INVLPG_LOCAL, 0xffff800000000000, 0), 0);
	assert_int_equal(rig_ext(r, MMUEXT_INVLPG_LOCAL, 1ull << 47, 0), 0);
	assert_int_equal(rig_ext(r, MMUEXT_INVLPG_ALL, 0xffff87ffffffffff, 0), 0);
	expect(r, 0, 0, 0);
	/* With one vCPU, all are this one. */
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
	expect(r, 1, 0, 0);
	assert_int_equal(rig_ext(r, MMUEXT_INVLPG_ALL, 0x1000, 0), 0);
	expect(r, 0, 1, 0);
	*(uint64_t *)(r->f->ram + MASK) = 6; /* vCPUs that do not exist */
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_MULTI, 0, MASK), 0);
	expect(r, 0, 0, 0);
}

static void flushes_of_all(void **state)
{
	struct rig *r = *state;

	forget(r);
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
	assert_int_equal(r->cpu[0].other, GAMUT_PV_KEEP);
	expect(r, 1, 0, 1);
	assert_int_equal(rig_ext(r, MMUEXT_INVLPG_ALL, 0x5000, 0), 0);
	assert_int_equal(r->cpu[0].other, 0x5000);
	assert_int_equal(r->cpu[0].page, 0x5000);
	expect(r, 0, 1, 1);
	assert_int_equal(rig_ext(r, MMUEXT_INVLPG_ALL, 0xffff800000000000, 0), 0);
	expect(r, 0, 0, 0);
}

static void flushes_of_some(void **state)
{
	struct rig *r = *state;
	static const struct {
		uint64_t mask;
		uint32_t self, others;
	} cases[] = { { 0, 0, 0 }, { 1, 1, 0 }, { 2, 0, 1 }, { 3, 1, 1 }, { ~3ull, 0, 0 }, { UINT64_MAX, 1, 1 } };

	forget(r);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		*(uint64_t *)(r->f->ram + MASK) = cases[i].mask;
		assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_MULTI, 0, MASK), 0);
		expect(r, cases[i].self, 0, cases[i].others);
		assert_int_equal(rig_ext(r, MMUEXT_INVLPG_MULTI, 0x5000, MASK), 0);
		expect(r, 0, cases[i].self, cases[i].others);
	}
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_MULTI, 0, NOWHERE), -EINVAL);
	assert_int_equal(rig_ext(r, MMUEXT_INVLPG_MULTI, 0x5000, RAM - 4), -EINVAL);
	expect(r, 0, 0, 0);
}

/* The mask of a vCPU behind the first word. */
static void masks_of_many(void **state)
{
	struct rig *r = *state;
	struct pv_op op = { .d = &r->d, .v = &r->vcpu[1], .cpu = r->cpus[1] };
	uint64_t *mask = (uint64_t *)(r->f->ram + RAM - 16);
	bool self, others;

	r->d.n_vcpus = 70;
	r->vcpu[1].index = 65;
	mask[0] = 0;
	mask[1] = 2;
	assert_int_equal(pv_vcpu_mask(&op, RAM - 16, &self, &others), 0);
	assert_true(self && !others);
	mask[1] = 1ull << 6;
	assert_int_equal(pv_vcpu_mask(&op, RAM - 16, &self, &others), 0);
	assert_false(self || others);
	mask[0] = 2;
	assert_int_equal(pv_vcpu_mask(&op, RAM - 16, &self, &others), 0);
	assert_true(!self && others);
	assert_int_equal(pv_vcpu_mask(&op, RAM - 8, &self, &others), -EFAULT);
	r->d.n_vcpus = 2;
	r->vcpu[1].index = 1;
}

static void what_a_guest_without_devices_may_not(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_ext(r, MMUEXT_FLUSH_CACHE, 0, 0), -EACCES);
	assert_int_equal(rig_ext(r, MMUEXT_FLUSH_CACHE_GLOBAL, 0, 0), -EACCES);
	assert_int_equal(rig_ext(r, MMUEXT_MARK_SUPER, 0, 0), -EOPNOTSUPP);
	assert_int_equal(rig_ext(r, MMUEXT_UNMARK_SUPER, 0, 0), -EOPNOTSUPP);
	assert_int_equal(host_fake_counter(r->f, "hypercalls-not-implemented"), 0);
	assert_int_equal(rig_ext(r, 14, 0, 0), -ENOSYS);
	assert_int_equal(rig_ext(r, 21, 0, 0), -ENOSYS);
	assert_int_equal(rig_ext(r, UINT32_MAX, 0, 0), -ENOSYS);
	assert_int_equal(host_fake_counter(r->f, "hypercalls-not-implemented"), 3);
}

static void pages_are_cleared_and_copied(void **state)
{
	struct rig *r = *state;
	uint8_t *a = r->f->ram + PAGE(FREE), *b = a + 4096;

	memset(a, 0x5a, 3 * 4096);
	memset(b, 0xa5, 4096);
	r->f->dirtied = 0;
	assert_int_equal(rig_ext(r, MMUEXT_COPY_PAGE, FREE, FREE + 1), 0);
	assert_int_equal(a[0] | a[4095], 0xa5);
	assert_int_equal(rig_ext(r, MMUEXT_CLEAR_PAGE, FREE + 1, 0), 0);
	assert_int_equal(b[0] | b[4095], 0);
	assert_int_equal(b[4096], 0x5a);
	assert_int_equal(r->f->dirtied, 2 * 4096);
	assert_int_equal(rig_use(r, FREE), PV_FREE);
	/* A table can be read, and that is all. */
	assert_int_equal(rig_ext(r, MMUEXT_COPY_PAGE, FREE, L1), 0);
	assert_memory_equal(a, r->f->ram + PAGE(L1), 4096);
	assert_int_equal(rig_ext(r, MMUEXT_COPY_PAGE, L1, FREE), -EINVAL);
	assert_int_equal(rig_ext(r, MMUEXT_CLEAR_PAGE, ROOT, 0), -EINVAL);
	for (size_t i = 0; i < N_BAD_FRAMES; i++) {
		assert_int_equal(rig_ext(r, MMUEXT_CLEAR_PAGE, rig_bad_frames[i], 0), -EINVAL);
		assert_int_equal(rig_ext(r, MMUEXT_COPY_PAGE, rig_bad_frames[i], FREE), -EINVAL);
		assert_int_equal(rig_ext(r, MMUEXT_COPY_PAGE, FREE, rig_bad_frames[i]), -EINVAL);
	}
}

static void only_of_oneself(void **state)
{
	struct rig *r = *state;

	((struct mmuext_op *)(r->f->ram + ARG))->cmd = MMUEXT_TLB_FLUSH_LOCAL;
	assert_int_equal(rig_call(r, __HYPERVISOR_mmuext_op, ARG, 1, 0, 1), 0);
	assert_int_equal(rig_call(r, __HYPERVISOR_mmuext_op, ARG, 1, 0, 0), -EPERM);
	assert_int_equal(rig_call(r, __HYPERVISOR_mmuext_op, ARG, 1, 0, 7), -ESRCH);
}

/* A root that is set before a fault in the list has been set. */
static void lists_stop_at_what_is_bad(void **state)
{
	struct rig *r = *state;
	struct mmuext_op *e = (struct mmuext_op *)(r->f->ram + RAM - sizeof(*e));
	uint32_t *done = (uint32_t *)(r->f->ram + DONE);

	e->cmd = MMUEXT_NEW_BASEPTR;
	e->arg1.mfn = FREE;
	assert_int_equal(rig_call(r, __HYPERVISOR_mmuext_op, RAM - sizeof(*e), 2, DONE, DOMID_SELF), -EFAULT);
	assert_int_equal(*done, 1);
	assert_int_equal(r->cpu[0].kernel, FREE << 12);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
#define WITH_TWO(test) cmocka_unit_test_setup_teardown(test, rig_setup_smp, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(flushes_of_this_vcpu),
		WITH_TWO(flushes_of_all),
		WITH_TWO(flushes_of_some),
		WITH_TWO(masks_of_many),
		WITH_RIG(what_a_guest_without_devices_may_not),
		WITH_RIG(pages_are_cleared_and_copied),
		WITH_RIG(only_of_oneself),
		WITH_RIG(lists_stop_at_what_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
