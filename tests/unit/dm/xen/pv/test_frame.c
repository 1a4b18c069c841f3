/* SPDX-License-Identifier: MIT */
/*
 * Flushes that the guest leaves to Xen: a page that was writable becomes a
 * table. And several vCPUs at once.
 */
#include <pthread.h>

#include "rig.h"

static int64_t pin(struct rig *r, uint64_t mfn)
{
	return rig_ext(r, MMUEXT_PIN_L1_TABLE, mfn, 0);
}

/* Takes away the only writable mapping of DATA + i by machine address. */
static void unmap(struct rig *r, uint64_t i)
{
	assert_int_equal(rig_update(r, MADDR(L1, i), PTE(DATA + i, RO)), 0);
}

static void a_kept_frame_is_no_table(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pv_frame_keep(&r->vcpu[0], L1, true), -EINVAL);
	assert_int_equal(pv_frame_keep(&r->vcpu[0], 1ull << 40, true), -EINVAL);
	assert_int_equal(pv_frame_keep(&r->vcpu[0], FREE, true), 0);
	assert_int_equal(pin(r, FREE), -EINVAL);
	pv_frame_keep(&r->vcpu[0], FREE, false);
	assert_int_equal(pin(r, FREE), 0);
	assert_int_equal(rig_ext(r, MMUEXT_UNPIN_TABLE, FREE, 0), 0);
}

static void a_table_with_a_stale_mapping(void **state)
{
	struct rig *r = *state;
	uint32_t *flushes = &r->cpu[0].flushes;

	*flushes = 0;
	unmap(r, 0);
	unmap(r, 1);
	unmap(r, 2);
	assert_int_equal(*flushes, 0);
	assert_int_equal(pin(r, DATA), 0);
	assert_int_equal(*flushes, 1);
	/* That flush did for the others too. */
	assert_int_equal(pin(r, DATA + 1), 0);
	assert_int_equal(*flushes, 1);
	/* As does the guest's own. */
	unmap(r, 3);
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
	assert_int_equal(pin(r, DATA + 3), 0);
	unmap(r, 4);
	assert_int_equal(rig_ext(r, MMUEXT_NEW_BASEPTR, ROOT, 0), 0);
	assert_int_equal(pin(r, DATA + 4), 0);
	assert_int_equal(*flushes, 2);
	/* A page that never was writable needs none. */
	assert_int_equal(pin(r, FREE), 0);
	assert_int_equal(*flushes, 2);
	unmap(r, 5);
	assert_int_equal(pv_set_gdt(&r->vcpu[0], (const uint64_t[]){ DATA + 5 }, 1), 0);
	assert_int_equal(*flushes, 3);
}

static void a_known_address_is_flushed_at_once(void **state)
{
	struct rig *r = *state;
	uint32_t *flushes = &r->cpu[0].flushes, *pages = &r->cpu[0].pages;

	*flushes = *pages = 0;
	assert_int_equal(rig_va(r, PAGE(0), PTE(DATA, RO), UVMF_NONE), 0);
	assert_int_equal(*pages, 1);
	assert_int_equal(r->cpu[0].page, PAGE(0));
	assert_int_equal(pin(r, DATA), 0);
	assert_int_equal(*flushes, 0);
	/* A table at two places maps its pages twice. */
	assert_int_equal(rig_update(r, MADDR(L2, 1), PTE(L1, TABLE)), 0);
	assert_int_equal(rig_va(r, PAGE(1), PTE(DATA + 1, RO), UVMF_NONE), 0);
	assert_int_equal(pin(r, DATA + 1), 0);
	assert_int_equal(*flushes, 1);
	/* A pin is no second place. */
	assert_int_equal(rig_update(r, MADDR(L2, 1), 0), 0);
	assert_int_equal(pin(r, L1), 0);
	assert_int_equal(rig_va(r, PAGE(2), PTE(DATA + 2, RO), UVMF_NONE), 0);
	assert_int_equal(pin(r, DATA + 2), 0);
	assert_int_equal(*flushes, 1);
}

static void a_dropped_table_leaves_stale_mappings(void **state)
{
	struct rig *r = *state;
	uint32_t *flushes = &r->cpu[0].flushes;

	*flushes = 0;
	assert_int_equal(rig_update(r, MADDR(L2, 0), 0), 0);
	assert_int_equal(rig_use(r, DATA), PV_FREE);
	assert_int_equal(pin(r, DATA), 0);
	assert_int_equal(*flushes, 1);
}

static void other_vcpus_have_them_too(void **state)
{
	struct rig *r = *state;
	struct rig_cpu *c = r->cpu;

	assert_int_equal(pv_set_roots(&r->vcpu[1], ROOT, 0), 0);
	c[0].flushes = c[0].others = 0;
	assert_int_equal(rig_va(r, PAGE(0), PTE(DATA, RO), UVMF_NONE), 0);
	assert_int_equal(pin(r, DATA), 0);
	assert_int_equal(c[0].flushes, 1);
	assert_int_equal(c[0].others, 1);
	assert_int_equal(c[0].other, GAMUT_PV_KEEP);
	/* Whoever has flushed since is left alone. */
	unmap(r, 1);
	r->f->current = 1;
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
	r->f->current = 0;
	assert_int_equal(c[1].flushes, 1);
	assert_int_equal(pin(r, DATA + 1), 0);
	assert_int_equal(c[0].flushes, 2);
	assert_int_equal(c[0].others, 1);
	unmap(r, 2);
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
	assert_int_equal(c[0].flushes, 3);
	assert_int_equal(c[0].others, 2);
	assert_int_equal(pin(r, DATA + 2), 0);
	assert_int_equal(c[0].flushes, 3);
	assert_int_equal(c[0].others, 2);
}

static void the_clock_goes_round(void **state)
{
	struct rig *r = *state;

	r->d.mmu->clock = r->d.mmu->flushed[0] = UINT32_MAX - 1;
	r->cpu[0].flushes = 0;
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
	unmap(r, 0); /* at the last tick */
	assert_int_equal(rig_ext(r, MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
	unmap(r, 1); /* at the first */
	assert_int_equal(pin(r, DATA + 1), 0);
	assert_int_equal(r->cpu[0].flushes, 3);
	assert_int_equal(pin(r, DATA), 0); /* once too often, which does no harm */
	assert_int_equal(r->cpu[0].flushes, 4);
	assert_int_equal(r->d.mmu->clock, 3);
}

static void counts_do_not_overflow(void **state)
{
	struct rig *r = *state;

	r->d.mmu->ref[DATA] = UINT32_MAX;
	assert_int_equal(rig_update(r, MADDR(L1, 200), PTE(DATA, RW)), -EBUSY);
	assert_int_equal(r->d.mmu->ref[DATA], UINT32_MAX);
	r->d.mmu->ref[DATA] = 1;
	r->d.mmu->ref[L1] = UINT32_MAX;
	assert_int_equal(rig_update(r, MADDR(L2, 1), PTE(L1, TABLE)), -EINVAL);
	r->d.mmu->ref[L1] = 1;
}

/*
 * A table that is written behind our back, as a back end can by a grant: what
 * it then holds is let go of only as far as it was held.
 */
static void forged_tables_do_no_harm(void **state)
{
	struct rig *r = *state;

	rig_put(r, L1, 0, PTE(L3, RW));
	rig_put(r, L1, 1, PTE(FRAMES, RW));
	rig_put(r, L1, 2, PTE(1ull << 39, RW));
	rig_put(r, L1, 3, PTE(FREE, RW));
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(rig_va(r, PAGE(i), 0, 0), 0);
	assert_int_equal(rig_use(r, L3), PV_L3);
	rig_put(r, L2, 1, PTE(0xc0000, TABLE));
	rig_put(r, L2, 2, PTE(FRAMES_MAX, TABLE | PTE_PSE));
	rig_put(r, L2, 3, PTE(DATA, TABLE));
	for (uint64_t i = 1; i < 4; i++) {
		assert_int_equal(rig_va(r, i << 21, 0, 0), -EINVAL);
		assert_int_equal(rig_update(r, MADDR(L2, i), 0), 0);
	}
	/* What was really held by those entries is never freed: put it right for the count at the end. */
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(r->d.mmu->ref[DATA + i], 1);
		rig_put(r, L1, i, PTE(DATA + i, RW));
	}
}

/* ---- several vCPUs ---- */

#define TURNS 20000

static void *hammer(void *opaque)
{
	struct pv_vcpu *v = opaque;
	struct rig *r = rig_cpu(v->cpu)->rig;
	uint64_t where = 0x90000 + v->index * 0x1000, x = 88172645463325252ull + v->index;
	struct mmu_update *req = (struct mmu_update *)(r->f->ram + where);
	uint64_t *gpr = v->cpu->gpr;

	for (int i = 0; i < TURNS; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		for (int k = 0; k < 4; k++)
			req[k] = (struct mmu_update){ MADDR(L1, x >> (8 * k) & 31),
				                      PTE(FREE + (x >> (4 * k + 32) & 3), x >> k & 3) };
		gpr[7] = where;
		gpr[6] = 4;
		gpr[2] = 0;
		gpr[10] = DOMID_SELF;
		if (pv_mmu_fast(v, __HYPERVISOR_mmu_update) != PV_DONE || gpr[0])
			return opaque; /* an update failed */
	}
	return NULL;
}

static void vcpus_at_once(void **state)
{
	struct rig *r = *state;
	pthread_t other;
	void *why;

	assert_int_equal(pv_set_roots(&r->vcpu[1], ROOT, 0), 0);
	assert_int_equal(pthread_create(&other, NULL, hammer, &r->vcpu[1]), 0);
	assert_null(hammer(&r->vcpu[0]));
	assert_int_equal(pthread_join(other, &why), 0);
	assert_null(why);
	/* And the counts are right: rig_teardown. */
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
#define WITH_TWO(test) cmocka_unit_test_setup_teardown(test, rig_setup_smp, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(a_kept_frame_is_no_table),
		WITH_RIG(a_table_with_a_stale_mapping),
		WITH_RIG(a_known_address_is_flushed_at_once),
		WITH_RIG(a_dropped_table_leaves_stale_mappings),
		WITH_TWO(other_vcpus_have_them_too),
		WITH_RIG(the_clock_goes_round),
		WITH_RIG(counts_do_not_overflow),
		WITH_RIG(forged_tables_do_no_harm),
		WITH_TWO(vcpus_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
