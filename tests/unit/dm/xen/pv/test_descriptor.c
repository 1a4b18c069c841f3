/* SPDX-License-Identifier: MIT */
/* GDT, LDT and their windows. */
#include "rig.h"

#define CODE64 0x00af9a000000ffffull /* DPL 0 */
#define DATA32 0x00cf92000000ffffull
#define DPL3 (3ull << 45)
#define TSS 0x0000890000000067ull
#define LDT_DESC 0x0000820000000067ull
#define CALL_GATE 0x00008c0000100000ull
#define TYPE_0 0x0000800000000000ull /* present, and always faults */

static uint64_t window(struct rig *r, uint32_t vcpu, uint32_t page)
{
	return r->d.mmu->window[vcpu * WINDOW_PAGES + page];
}

static int64_t set_gdt(struct rig *r, uint64_t a, uint64_t b, uint64_t entries)
{
	memcpy(r->f->ram + ARG, (uint64_t[]){ a, b }, 16);
	return rig_call(r, __HYPERVISOR_set_gdt, ARG, entries, 0, 0);
}

static int64_t update_descriptor(struct rig *r, uint64_t ma, uint64_t desc)
{
	return rig_call(r, __HYPERVISOR_update_descriptor, ma, desc, 0, 0);
}

/* ---- GDT ---- */

static void a_gdt_is_shown_in_the_window(void **state)
{
	struct rig *r = *state;
	struct pv_vcpu *v = &r->vcpu[0];
	uint64_t zero = window(r, 0, 0);

	rig_put(r, FREE, 0, 1234); /* not present */
	rig_put(r, FREE, 2, CODE64);
	rig_put(r, FREE + 1, 0, DATA32);
	rig_put(r, FREE + 1, 1, TYPE_0);
	assert_int_equal(set_gdt(r, FREE, FREE + 1, 513), 0);
	assert_int_equal(window(r, 0, 0), PTE(FREE, PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX));
	assert_int_equal(pte_mfn(window(r, 0, 1)), FREE + 1);
	assert_int_equal(window(r, 0, 2), zero);
	assert_int_equal(v->gdt_entries, 513);
	assert_int_equal(v->gdt_mfn[1], FREE + 1);
	assert_int_equal(r->cpu[0].page, r->cpu[0].gdt + 0x1000);
	/* The privilege is ring 3's, and nothing else has changed. */
	assert_int_equal(rig_see(r, FREE, 0), 1234);
	assert_int_equal(rig_see(r, FREE, 2), CODE64 | DPL3);
	assert_int_equal(rig_see(r, FREE + 1, 0), DATA32 | DPL3);
	assert_int_equal(rig_see(r, FREE + 1, 1), TYPE_0);
	assert_int_equal(rig_va(r, PAGE(200), PTE(FREE, RW), 0), -EBUSY);
	assert_int_equal(rig_va(r, PAGE(200), PTE(FREE, RO), 0), 0);
	/* Another one; and none. */
	assert_int_equal(set_gdt(r, FREE + 1, 0, 512), 0);
	assert_int_equal(rig_use(r, FREE), PV_FREE);
	assert_int_equal(window(r, 0, 1), zero);
	assert_int_equal(rig_call(r, __HYPERVISOR_set_gdt, NOWHERE, 0, 0, 0), 0);
	assert_int_equal(window(r, 0, 0), zero);
	assert_int_equal(rig_use(r, FREE + 1), PV_FREE);
	assert_int_equal(r->cpu[0].gdt_limit, 15 * 4096 - 1);
}

static void bad_gdts(void **state)
{
	struct rig *r = *state;
	static const uint64_t bad[] = { TSS, LDT_DESC, CALL_GATE, UINT64_MAX & ~(1ull << 44) };
	uint64_t was = window(r, 0, 0);

	for (size_t i = 0; i < N_BAD_FRAMES; i++)
		assert_int_equal(set_gdt(r, FREE, rig_bad_frames[i], 1024), -EINVAL);
	assert_int_equal(set_gdt(r, FREE, ROOT, 1024), -EINVAL);
	assert_int_equal(set_gdt(r, FREE, DATA, 1024), -EINVAL);
	assert_int_equal(set_gdt(r, FREE, HOST_GPA >> 12, 1024), -EINVAL);
	assert_int_equal(set_gdt(r, FREE, 0xc0000, 1024), -EINVAL);
	assert_int_equal(set_gdt(r, FREE, FREE, 14 * 512 + 1), -EINVAL);
	assert_int_equal(set_gdt(r, FREE, FREE, UINT32_MAX), -EINVAL);
	assert_int_equal(rig_call(r, __HYPERVISOR_set_gdt, NOWHERE, 1, 0, 0), -EFAULT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig_put(r, FREE + 1, 511, bad[i]);
		assert_int_equal(set_gdt(r, FREE, FREE + 1, 1024), -EINVAL);
	}
	assert_int_equal(window(r, 0, 0), was);
	assert_int_equal(rig_use(r, FREE), PV_FREE);
	assert_int_equal(rig_use(r, FREE + 1), PV_FREE);
}

static void the_largest_gdt(void **state)
{
	struct rig *r = *state;
	uint64_t mfn[14], flat = window(r, 0, 14);

	for (uint64_t i = 0; i < 14; i++)
		mfn[i] = FREE + i / 2; /* each twice */
	memcpy(r->f->ram + ARG, mfn, sizeof(mfn));
	assert_int_equal(rig_call(r, __HYPERVISOR_set_gdt, ARG, 14 * 512, 0, 0), 0);
	assert_int_equal(r->d.mmu->ref[FREE], 2);
	assert_int_equal(window(r, 0, 14), flat);
	assert_int_equal(pte_mfn(window(r, 0, 13)), FREE + 6);
}

static void each_vcpu_has_its_window(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pv_set_gdt(&r->vcpu[1], (const uint64_t[]){ FREE }, 8), 0);
	assert_int_equal(pte_mfn(window(r, 1, 0)), FREE);
	assert_int_not_equal(pte_mfn(window(r, 0, 0)), FREE);
	assert_int_equal(r->cpu[1].gdt, r->cpu[0].gdt + 32 * 4096);
	assert_int_equal(window(r, 1, 14), window(r, 0, 14));
}

/* ---- update_descriptor ---- */

static void one_descriptor_changes(void **state)
{
	struct rig *r = *state;

	assert_int_equal(set_gdt(r, FREE, 0, 512), 0);
	r->f->dirtied = 0;
	assert_int_equal(update_descriptor(r, MADDR(FREE, 5), CODE64), 0);
	assert_int_equal(rig_see(r, FREE, 5), CODE64 | DPL3);
	assert_int_equal(r->f->dirtied, 8);
	assert_int_equal(update_descriptor(r, MADDR(FREE, 5), 0), 0);
	assert_int_equal(rig_see(r, FREE, 5), 0);
	/* In a page that is to become one. */
	assert_int_equal(update_descriptor(r, MADDR(FREE + 1, 5), DATA32), 0);
	assert_int_equal(rig_see(r, FREE + 1, 5), DATA32 | DPL3);
	assert_int_equal(rig_use(r, FREE + 1), PV_FREE);
	assert_int_equal(update_descriptor(r, MADDR(DATA, 5), DATA32), 0);
}

static void bad_descriptors(void **state)
{
	struct rig *r = *state;

	assert_int_equal(update_descriptor(r, MADDR(FREE, 5), TSS), -EINVAL);
	assert_int_equal(update_descriptor(r, MADDR(FREE, 5), CALL_GATE), -EINVAL);
	assert_int_equal(update_descriptor(r, MADDR(FREE, 5), LDT_DESC), -EINVAL);
	for (uint64_t i = 1; i < 8; i++)
		assert_int_equal(update_descriptor(r, MADDR(FREE, 5) + i, DATA32), -EINVAL);
	assert_int_equal(rig_see(r, FREE, 5), 0);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(update_descriptor(r, MADDR(ROOT + i, 5), DATA32), -EINVAL);
	for (size_t i = 0; i < N_BAD_FRAMES; i++)
		if (rig_bad_frames[i] <= FRAMES_MAX)
			assert_int_equal(update_descriptor(r, PAGE(rig_bad_frames[i]), DATA32), -EINVAL);
	assert_int_equal(update_descriptor(r, UINT64_MAX & ~7ull, DATA32), -EINVAL);
	assert_int_equal(update_descriptor(r, UINT64_MAX, DATA32), -EINVAL);
}

/* ---- LDT ---- */

#define LDT_PAGE(i) (FREE + 16 + (i))
#define LDT_SLOT 300u
#define LDT_VA PAGE(LDT_SLOT)

static int64_t set_ldt(struct rig *r, uint64_t va, uint64_t entries)
{
	return rig_ext(r, MMUEXT_SET_LDT, va, entries);
}

/* Pages of an LDT, mapped read-only at LDT_VA. */
static void map_ldt(struct rig *r, uint64_t first, uint64_t end)
{
	for (uint64_t i = first; i < end; i++)
		assert_int_equal(rig_va(r, LDT_VA + PAGE(i), PTE(LDT_PAGE(i), RO), 0), 0);
}

static void an_ldt_is_looked_up_when_it_is_set(void **state)
{
	struct rig *r = *state;

	map_ldt(r, 0, 2);
	rig_put(r, LDT_PAGE(1), 3, DATA32);
	assert_int_equal(set_ldt(r, LDT_VA, 600), 0);
	assert_int_equal(r->cpu[0].ldt, r->cpu[0].gdt + 16 * 4096);
	assert_int_equal(r->cpu[0].ldt_limit, 600 * 8 - 1);
	assert_int_equal(window(r, 0, 16), PTE(LDT_PAGE(0), PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX));
	assert_int_equal(pte_mfn(window(r, 0, 17)), LDT_PAGE(1));
	assert_int_equal(window(r, 0, 18), 0);
	assert_int_equal(rig_see(r, LDT_PAGE(1), 3), DATA32 | DPL3);
	assert_int_equal(rig_use(r, LDT_PAGE(0)), PV_DESC);
	assert_int_equal(update_descriptor(r, MADDR(LDT_PAGE(0), 0), DATA32), 0);
	assert_int_equal(set_ldt(r, 0x123, 0), 0);
	assert_int_equal(r->cpu[0].ldt_limit, 0);
	assert_int_equal(r->vcpu[0].ldt_va, 0);
	assert_int_equal(window(r, 0, 16) | window(r, 0, 17), 0);
	assert_int_equal(rig_use(r, LDT_PAGE(0)), PV_FREE);
}

static void bad_ldts(void **state)
{
	struct rig *r = *state;
	static const uint64_t bad[] = { 1,          LDT_VA + 8,          1ull << 47, 0xffff800000000000,
		                        UINT64_MAX, (1ull << 47) - 4096, 1ull << 63, 0xffff87fffffff000 };

	assert_int_equal(set_ldt(r, LDT_VA, 8193), -EINVAL);
	assert_int_equal(set_ldt(r, LDT_VA, UINT32_MAX), -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(set_ldt(r, bad[i], 8192), -EINVAL);
	assert_int_equal(r->vcpu[0].ldt_entries, 0);
	assert_int_equal(set_ldt(r, LDT_VA, 8192), 0);
	assert_int_equal(r->vcpu[0].ldt_entries, 8192);
	assert_int_equal(r->cpu[0].ldt_limit, 65535);
}

static int ldt_fault(struct rig *r, uint64_t offset)
{
	r->cpu[0].cpu.cr2 = r->cpu[0].ldt + offset;
	return pv_mmu_fault(&r->vcpu[0], r->cpu[0].ldt + offset, 0);
}

static void missing_pages_are_looked_up_at_the_fault(void **state)
{
	struct rig *r = *state;

	map_ldt(r, 0, 1);
	assert_int_equal(set_ldt(r, LDT_VA, 1025), 0);
	assert_int_equal(window(r, 0, 17), 0);
	/* Not there yet: the guest is told its own address. */
	assert_int_equal(ldt_fault(r, 0x1008), PV_NOT_MINE);
	assert_int_equal(r->cpu[0].cpu.cr2, LDT_VA + 0x1008);
	map_ldt(r, 1, 3);
	assert_int_equal(ldt_fault(r, 0x1008), PV_DONE);
	assert_int_equal(pte_mfn(window(r, 0, 17)), LDT_PAGE(1));
	assert_int_equal(r->cpu[0].page, r->cpu[0].ldt + 0x1000);
	/* A page that cannot be one: a gate in it, writable, not RAM. */
	rig_put(r, LDT_PAGE(2), 9, CALL_GATE);
	assert_int_equal(ldt_fault(r, 0x2000), PV_NOT_MINE);
	rig_put(r, LDT_PAGE(2), 9, 0);
	assert_int_equal(rig_va(r, LDT_VA + 0x2000, PTE(LDT_PAGE(2), RW), 0), 0);
	assert_int_equal(ldt_fault(r, 0x2000), PV_NOT_MINE);
	assert_int_equal(rig_va(r, LDT_VA + 0x2000, PTE(HOST_GPA >> 12, RO), 0), 0);
	assert_int_equal(ldt_fault(r, 0x2000), PV_NOT_MINE);
	assert_int_equal(r->cpu[0].cpu.cr2, LDT_VA + 0x2000);
	/* Beyond the LDT, in the GDT's part, and the guest's own doing. */
	assert_int_equal(ldt_fault(r, 0x2008), PV_NOT_MINE);
	assert_int_equal(r->cpu[0].cpu.cr2, r->cpu[0].ldt + 0x2008);
	assert_int_equal(ldt_fault(r, 0ull - 8), PV_NOT_MINE);
	r->cpu[0].cpu.cr2 = 5;
	assert_int_equal(pv_mmu_fault(&r->vcpu[0], r->cpu[0].ldt + 0x2000, 4), PV_NOT_MINE);
	assert_int_equal(r->cpu[0].cpu.cr2, 5);
}

static void another_root_has_another_ldt(void **state)
{
	struct rig *r = *state;

	map_ldt(r, 0, 1);
	assert_int_equal(set_ldt(r, LDT_VA, 8), 0);
	for (uint64_t i = 0; i < 3; i++)
		rig_put(r, FREE + i, 0, PTE(FREE + i + 1, TABLE));
	rig_put(r, FREE + 3, LDT_SLOT, PTE(LDT_PAGE(5), RO));
	assert_int_equal(rig_ext(r, MMUEXT_NEW_BASEPTR, FREE, 0), 0);
	assert_int_equal(pte_mfn(window(r, 0, 16)), LDT_PAGE(5));
	assert_int_equal(rig_use(r, LDT_PAGE(0)), PV_FREE);
	/* And where there is none, it is missing. */
	assert_int_equal(rig_update(r, MADDR(FREE + 3, LDT_SLOT), 0), 0);
	assert_int_equal(pte_mfn(window(r, 0, 16)), LDT_PAGE(5));
	assert_int_equal(pv_set_ldt(&r->vcpu[0], LDT_VA, 9), 0);
	assert_int_equal(window(r, 0, 16), 0);
	assert_int_equal(r->cpu[0].ldt_limit, 9 * 8 - 1);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(a_gdt_is_shown_in_the_window),
		WITH_RIG(bad_gdts),
		WITH_RIG(the_largest_gdt),
		cmocka_unit_test_setup_teardown(each_vcpu_has_its_window, rig_setup_smp, rig_teardown),
		WITH_RIG(one_descriptor_changes),
		WITH_RIG(bad_descriptors),
		WITH_RIG(an_ldt_is_looked_up_when_it_is_set),
		WITH_RIG(bad_ldts),
		WITH_RIG(missing_pages_are_looked_up_at_the_fault),
		WITH_RIG(another_root_has_another_ldt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
