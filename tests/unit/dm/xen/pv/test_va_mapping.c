/* SPDX-License-Identifier: MIT */
/* update_va_mapping, and the guest's own writes to its tables. */
#include "rig.h"

#define WRITE_FAULT 7u /* present, write, ring 3 */
#define L1_VA (PAGE(103) + 200 * 8) /* slot 200 of the L1 table, where the guest sees it */

static void one_entry_changes(void **state)
{
	struct rig *r = *state;
	uint32_t flushes = r->cpu[0].flushes, pages = r->cpu[0].pages;

	assert_int_equal(rig_va(r, PAGE(200), PTE(FREE, PTE_P | PTE_RW | PTE_G), UVMF_NONE), 0);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, PTE_P | PTE_RW | PTE_U));
	assert_int_equal(r->cpu[0].flushes, flushes);
	assert_int_equal(r->cpu[0].pages, pages);
	assert_int_equal(rig_va(r, PAGE(200) + 0xfff, PTE(FREE, RO), UVMF_INVLPG), 0);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, RO));
	assert_int_equal(r->cpu[0].page, PAGE(200) + 0xfff);
	assert_int_equal(rig_va(r, PAGE(200), 0, UVMF_TLB_FLUSH), 0);
	assert_int_equal(rig_see(r, L1, 200), 0);
	assert_int_equal(r->cpu[0].flushes, flushes + 1);
	/* The fourth value is none of them. */
	assert_int_equal(rig_va(r, PAGE(200), 0, 3), 0);
	assert_int_equal(r->cpu[0].flushes, flushes + 1);
}

static void bad_addresses(void **state)
{
	struct rig *r = *state;
	static const uint64_t bad[] = {
		1ull << 21, /* no L1 table */ 1ull << 30, 1ull << 39, (1ull << 47) - 1, 1ull << 47, 1ull << 63,
		0xffff7fffffffffff, 0xffff800000000000, 0xffff808000000000, 0xffff810000000000, 0xffff87ffffffffff,
		0xffff880000000000, UINT64_MAX,
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(rig_va(r, bad[i], 0, 0), -EINVAL);
		assert_int_equal(rig_va(r, bad[i], PTE(FREE, RW), UVMF_INVLPG), -EINVAL);
	}
}

static void bad_entries(void **state)
{
	struct rig *r = *state;
	uint32_t flushes = r->cpu[0].flushes;

	assert_int_equal(rig_va(r, PAGE(0), PTE(L1, RW), UVMF_TLB_FLUSH), -EBUSY);
	assert_int_equal(rig_va(r, PAGE(0), PTE(0xc0000, RO), UVMF_TLB_FLUSH), -EBUSY);
	assert_int_equal(rig_va(r, PAGE(0), PTE(FRAMES, RO), UVMF_TLB_FLUSH), -EPERM);
	assert_int_equal(rig_va(r, PAGE(0), PTE(FREE, RW | PTE_PSE), UVMF_TLB_FLUSH), -EINVAL);
	assert_int_equal(rig_see(r, L1, 0), PTE(DATA, RW));
	assert_int_equal(r->cpu[0].flushes, flushes);
	assert_int_equal(rig_va(r, PAGE(0), PTE(HOST_GPA >> 12, RW), 0), 0);
}

static void flushes_of_others(void **state)
{
	struct rig *r = *state;
	uint64_t *mask = (uint64_t *)(r->f->ram + 0x7e000);
	uint32_t flushes = r->cpu[0].flushes;

	assert_int_equal(rig_va(r, PAGE(200), 0, UVMF_TLB_FLUSH | UVMF_ALL), 0);
	assert_int_equal(r->cpu[0].flushes, flushes + 1);
	assert_int_equal(r->cpu[0].others, 1);
	assert_int_equal(r->cpu[0].other, GAMUT_PV_KEEP);
	assert_int_equal(rig_va(r, PAGE(200), 0, UVMF_INVLPG | UVMF_ALL), 0);
	assert_int_equal(r->cpu[0].other, PAGE(200));
	*mask = 2;
	assert_int_equal(rig_va(r, PAGE(200), 0, UVMF_TLB_FLUSH | 0x7e000), 0);
	assert_int_equal(r->cpu[0].others, 3);
	assert_int_equal(r->cpu[0].flushes, flushes + 1);
	*mask = 1;
	assert_int_equal(rig_va(r, PAGE(200), 0, UVMF_TLB_FLUSH | 0x7e000), 0);
	assert_int_equal(r->cpu[0].others, 3);
	assert_int_equal(r->cpu[0].flushes, flushes + 2);
	/* The entry has been changed by then. */
	assert_int_equal(rig_va(r, PAGE(200), PTE(FREE, RW), UVMF_INVLPG | (NOWHERE & ~7ull)), -EFAULT);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, RW));
	/* A bitmap is not looked at when nothing is to be flushed. */
	assert_int_equal(rig_va(r, PAGE(200), 0, UVMF_NONE | (NOWHERE & ~7ull)), 0);
}

static void of_another_domain(void **state)
{
	struct rig *r = *state;
	const uint32_t nr = __HYPERVISOR_update_va_mapping_otherdomain;

	assert_int_equal(rig_call(r, nr, PAGE(200), PTE(FREE, RW), 0, DOMID_SELF), 0);
	assert_int_equal(rig_call(r, nr, PAGE(200), PTE(FREE, RO), 0, 1), 0);
	assert_int_equal(rig_call(r, nr, PAGE(200), 0, 0, 0), -EPERM);
	assert_int_equal(rig_call(r, nr, PAGE(200), 0, 0, DOMID_IO), -EPERM);
	assert_int_equal(rig_call(r, nr, PAGE(200), 0, 0, 9), -ESRCH);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, RO));
}

/* ---- native writes ---- */

static int write_to(struct rig *r, uint64_t slot, uint64_t entry)
{
	r->native_gpa = MADDR(L1, slot);
	r->native_value = entry;
	return pv_mmu_fault(&r->vcpu[0], PAGE(103) + slot * 8, WRITE_FAULT);
}

static void a_write_to_a_table_is_checked_and_repaired(void **state)
{
	struct rig *r = *state;

	assert_int_equal(write_to(r, 200, PTE(FREE, PTE_P | PTE_RW | PTE_G)), PV_DONE);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, PTE_P | PTE_RW | PTE_U));
	assert_int_equal(r->d.mmu->ref[FREE], 1);
	assert_int_equal(write_to(r, 200, PTE(HOST_GPA >> 12, PTE_P)), PV_DONE);
	assert_int_equal(write_to(r, 200, 0), PV_DONE);
	assert_int_equal(rig_see(r, L1, 200), 0);
	assert_int_equal(write_to(r, 200, PTE(L1, RW)), PV_NOT_MINE);
	assert_int_equal(write_to(r, 200, PTE(0xc0000, RO)), PV_NOT_MINE);
	assert_int_equal(write_to(r, 200, PTE(FREE, RW | PTE_PSE)), PV_NOT_MINE);
	assert_int_equal(rig_see(r, L1, 200), 0);
}

static void an_entry_that_changes_meanwhile(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_va(r, PAGE(200), PTE(FREE, PTE_P | PTE_U), 0), 0);
	r->native_changed = PTE(FREE, PTE_P | PTE_U | PTE_A);
	/* The guest runs the instruction again, with the new value. */
	assert_int_equal(write_to(r, 200, PTE(FREE + 1, RW)), PV_DONE);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, PTE_P | PTE_U | PTE_A));
	assert_int_equal(r->d.mmu->ref[FREE + 1], 0);
	r->native_changed = 0;
	assert_int_equal(write_to(r, 200, PTE(FREE + 1, RW)), PV_DONE);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE + 1, RW));
}

static void faults_of_other_kinds_are_the_guests(void **state)
{
	struct rig *r = *state;
	struct pv_vcpu *v = &r->vcpu[0];
	static const uint32_t errors[] = { 0, 1, 2, 3 | 8, 4, 5, 6, 7 | 8, 7 | 16, 16, 21 };

	/* The fake would fail the test at an address that it does not expect. */
	r->native_gpa = 1;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		assert_int_equal(pv_mmu_fault(v, L1_VA, errors[i]), PV_NOT_MINE);
	v->user = true;
	assert_int_equal(pv_mmu_fault(v, L1_VA, WRITE_FAULT), PV_NOT_MINE);
	v->user = false;
	r->d.vm_assist = ~(1u << VMASST_TYPE_writable_pagetables);
	assert_int_equal(pv_mmu_fault(v, L1_VA, WRITE_FAULT), PV_NOT_MINE);
	r->d.vm_assist = UINT32_MAX;
	/* Directories cannot be written so, nor what is no table, nor what is not mapped. */
	for (uint64_t i = 100; i < 103; i++)
		assert_int_equal(pv_mmu_fault(v, PAGE(i), WRITE_FAULT), PV_NOT_MINE);
	assert_int_equal(rig_va(r, PAGE(0), PTE(DATA, RO), 0), 0);
	assert_int_equal(pv_mmu_fault(v, PAGE(0), WRITE_FAULT), PV_NOT_MINE);
	assert_int_equal(pv_mmu_fault(v, PAGE(1), WRITE_FAULT), PV_NOT_MINE);
	assert_int_equal(pv_mmu_fault(v, PAGE(300), WRITE_FAULT), PV_NOT_MINE);
	assert_int_equal(rig_va(r, PAGE(0), PTE(HOST_GPA >> 12, RO), 0), 0);
	assert_int_equal(pv_mmu_fault(v, PAGE(0), WRITE_FAULT), PV_NOT_MINE);
	assert_int_equal(pv_mmu_fault(v, 0xffff808000000000, WRITE_FAULT), PV_NOT_MINE);
	assert_int_equal(pv_mmu_fault(v, 1ull << 62, WRITE_FAULT), PV_NOT_MINE);
	assert_int_equal(pv_mmu_fault(v, UINT64_MAX, WRITE_FAULT), PV_NOT_MINE);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(one_entry_changes),
		WITH_RIG(bad_addresses),
		WITH_RIG(bad_entries),
		cmocka_unit_test_setup_teardown(flushes_of_others, rig_setup_smp, rig_teardown),
		WITH_RIG(of_another_domain),
		WITH_RIG(a_write_to_a_table_is_checked_and_repaired),
		WITH_RIG(an_entry_that_changes_meanwhile),
		WITH_RIG(faults_of_other_kinds_are_the_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
