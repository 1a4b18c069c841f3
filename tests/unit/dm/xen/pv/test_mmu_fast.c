/* SPDX-License-Identifier: MIT */
/*
 * The quick way: does what the slow one does, or nothing at all. The host's
 * services are taken away while it runs.
 */
#include "rig.h"

enum { RAX = 0, RDX = 2, RSI = 6, RDI = 7, R10 = 10 };

#define GDT (FREE + 0x20)
#define UNTOUCHED 0x5555555555555555ull

static int fast(struct rig *r, uint32_t nr, uint64_t rdi, uint64_t rsi, uint64_t rdx, uint64_t r10)
{
	static const struct gamut_host nothing;
	uint64_t *gpr = r->cpu[0].gpr;
	int settled;

	gpr[RAX] = UNTOUCHED;
	gpr[RDI] = rdi;
	gpr[RSI] = rsi;
	gpr[RDX] = rdx;
	gpr[R10] = r10;
	r->d.env.host = &nothing;
	settled = pv_mmu_fast(&r->vcpu[0], nr);
	r->d.env.host = r->f->host;
	if (settled == PV_NOT_MINE)
		assert_int_equal(gpr[RAX], UNTOUCHED);
	return settled;
}

static int update(struct rig *r, const struct mmu_update *req, uint32_t n)
{
	memcpy(r->f->ram + ARG, req, n * sizeof(*req));
	return fast(r, __HYPERVISOR_mmu_update, ARG, n, 0, DOMID_SELF);
}

static int update_one(struct rig *r, uint64_t ptr, uint64_t val)
{
	return update(r, &(struct mmu_update){ ptr, val }, 1);
}

static int exts(struct rig *r, const struct mmuext_op *e, uint32_t n)
{
	memcpy(r->f->ram + ARG, e, n * sizeof(*e));
	return fast(r, __HYPERVISOR_mmuext_op, ARG, n, 0, DOMID_SELF);
}

static int ext(struct rig *r, uint32_t cmd, uint64_t arg)
{
	return exts(r, &(struct mmuext_op){ .cmd = cmd, .arg1.mfn = arg }, 1);
}

static int64_t rax(struct rig *r)
{
	return (int64_t)r->cpu[0].gpr[RAX];
}

/* ---- mmu_update ---- */

static void l1_updates(void **state)
{
	struct rig *r = *state;
	struct mmu_update req[16];

	for (uint64_t i = 0; i < 16; i++)
		req[i] = (struct mmu_update){ MADDR(L1, 200 + i), PTE(FREE + i, PTE_P | PTE_RW | PTE_G) };
	assert_int_equal(update(r, req, 16), PV_DONE);
	assert_int_equal(rax(r), 0);
	for (uint64_t i = 0; i < 16; i++)
		assert_int_equal(rig_see(r, L1, 200 + i), PTE(FREE + i, PTE_P | PTE_RW | PTE_U));
	assert_int_equal(update_one(r, MADDR(L1, 200) | MMU_PT_UPDATE_PRESERVE_AD, PTE(FREE, PTE_P | PTE_D)), PV_DONE);
	assert_int_equal(update_one(r, MADDR(L1, 200) | MMU_PT_UPDATE_PRESERVE_AD, PTE(FREE, PTE_P)), PV_DONE);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, PTE_P | PTE_U | PTE_D));
	/* What needs no host to be refused is refused here. */
	assert_int_equal(update_one(r, MADDR(L1, 200), PTE(L1, RW)), PV_DONE);
	assert_int_equal(rax(r), -EBUSY);
	assert_int_equal(update_one(r, MADDR(L1, 200), PTE(FREE, RW | PTE_PSE)), PV_DONE);
	assert_int_equal(rax(r), -EINVAL);
	req[1].val = PTE(ROOT, RW);
	req[0].val = req[2].val = 0;
	assert_int_equal(update(r, req, 3), PV_DONE);
	assert_int_equal(rax(r), -EBUSY);
	assert_int_equal(rig_see(r, L1, 200), 0);
	assert_int_not_equal(rig_see(r, L1, 202), 0);
}

static void upper_tables(void **state)
{
	struct rig *r = *state;
	struct mmu_update list[2] = { { MADDR(L2, 5), 0 }, { MADDR(L2, 6), 0 } };

	/* A table that is in use is linked once more, and unlinked. */
	assert_int_equal(update_one(r, MADDR(L2, 5), PTE(L1, PTE_P | PTE_RW)), PV_DONE);
	assert_int_equal(rax(r), 0);
	assert_int_equal(rig_see(r, L2, 5), PTE(L1, PTE_P | PTE_RW | PTE_U));
	assert_int_equal(r->d.mmu->ref[L1], 2);
	assert_int_equal(update_one(r, MADDR(L2, 5), PTE(L1, TABLE | PTE_PSE)), PV_DONE);
	assert_int_equal(rax(r), -EINVAL);
	assert_int_equal(update_one(r, MADDR(L2, 5), 0), PV_DONE);
	assert_int_equal(update_one(r, MADDR(ROOT, 256), 0), PV_DONE);
	assert_int_equal(rax(r), -EINVAL);
	assert_int_equal(update_one(r, MADDR(ROOT, 300), PTE(L3, TABLE)), PV_DONE);
	assert_int_equal(r->d.mmu->ref[L3], 2);
	assert_int_equal(update(r, list, 2), PV_NOT_MINE);
}

static void pages_that_are_no_tables(void **state)
{
	struct rig *r = *state;
	const struct mmu_update list[] = { { MADDR(FREE, 0), UINT64_MAX },
		                           { MADDR(DATA, 1) | MMU_PT_UPDATE_PRESERVE_AD, PTE(0xc0000, RW) },
		                           { PAGE(FREE) | MMU_MACHPHYS_UPDATE, 77 } };

	assert_int_equal(update(r, list, 3), PV_DONE);
	assert_int_equal(rax(r), 0);
	assert_int_equal(rig_see(r, FREE, 0), UINT64_MAX);
	assert_int_equal(rig_see(r, DATA, 1), PTE(0xc0000, RW));
	assert_int_equal(r->d.m2p[FREE], 77);
	assert_int_equal(update_one(r, MADDR(FREE, 0) | 5, 0), PV_DONE);
	assert_int_equal(rax(r), -ENOSYS);
}

static void updates_for_the_slow_way(void **state)
{
	struct rig *r = *state;
	const struct mmu_update good = { MADDR(L1, 200), PTE(FREE, RW) };
	const struct mmu_update other[] = {
		{ MADDR(L2, 5), PTE(FREE + 1, TABLE) },
		{ MADDR(L2, 5), PTE(L2, TABLE) },
		{ MADDR(ROOT, 5), PTE(DATA, TABLE) },
		{ MADDR(ROOT, 5), PTE(FRAMES, TABLE) },
		{ MADDR(GDT, 5), 0 },
		{ MADDR(FRAMES, 0), 0 },
		{ UINT64_MAX, 0 },
		{ MADDR(L1, 201), PTE(HOST_GPA >> 12, RW) },
		{ MADDR(L1, 201), PTE(0xc0000, RO) },
		{ MADDR(L1, 201), PTE(FRAMES, RW) },
		{ MADDR(L1, 201), UINT64_MAX },
	};
	uint32_t writes;

	assert_int_equal(pv_set_gdt(&r->vcpu[0], (const uint64_t[]){ GDT }, 1), 0);
	writes = r->writes;
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		struct mmu_update list[2] = { good, other[i] };

		assert_int_equal(update(r, &other[i], 1), PV_NOT_MINE);
		assert_int_equal(update(r, list, 2), PV_NOT_MINE);
	}
	memcpy(r->f->ram + ARG, &good, sizeof(good));
	assert_int_equal(fast(r, __HYPERVISOR_mmu_update, ARG, 0, 0, DOMID_SELF), PV_NOT_MINE);
	assert_int_equal(fast(r, __HYPERVISOR_mmu_update, ARG, 17, 0, DOMID_SELF), PV_NOT_MINE);
	assert_int_equal(fast(r, __HYPERVISOR_mmu_update, ARG, 0x80000001, 0, DOMID_SELF), PV_NOT_MINE);
	assert_int_equal(fast(r, __HYPERVISOR_mmu_update, ARG, 1, DONE, DOMID_SELF), PV_NOT_MINE);
	assert_int_equal(fast(r, __HYPERVISOR_mmu_update, ARG, 1, 0, 0), PV_NOT_MINE);
	assert_int_equal(fast(r, __HYPERVISOR_mmu_update, ARG, 1, 0, DOMID_SELF | 1 << 16), PV_NOT_MINE);
	assert_int_equal(fast(r, __HYPERVISOR_mmu_update, NOWHERE, 1, 0, DOMID_SELF), PV_NOT_MINE);
	assert_int_equal(fast(r, __HYPERVISOR_mmu_update, RAM - 16, 2, 0, DOMID_SELF), PV_NOT_MINE);
	assert_int_equal(fast(r, __HYPERVISOR_set_gdt, ARG, 1, 0, DOMID_SELF), PV_NOT_MINE);
	assert_int_equal(fast(r, UINT32_MAX, ARG, 1, 0, DOMID_SELF), PV_NOT_MINE);
	assert_int_equal(r->writes, writes);
	assert_int_equal(rig_see(r, L1, 200), 0);
	/* The upper half of a 32-bit argument counts for nothing. */
	assert_int_equal(fast(r, __HYPERVISOR_mmu_update, ARG, 1ull << 32 | 1, 0, 5ull << 32 | DOMID_SELF), PV_DONE);
}

/* ---- update_va_mapping ---- */

static int update_va(struct rig *r, uint64_t va, uint64_t entry, uint64_t flags)
{
	return fast(r, __HYPERVISOR_update_va_mapping, va, entry, flags, 0);
}

static void va_mappings(void **state)
{
	struct rig *r = *state;
	struct rig_cpu *c = &r->cpu[0];

	c->flushes = c->pages = 0;
	assert_int_equal(update_va(r, PAGE(200), PTE(FREE, PTE_P | PTE_RW), UVMF_NONE), PV_DONE);
	assert_int_equal(rax(r), 0);
	assert_int_equal(rig_see(r, L1, 200), PTE(FREE, PTE_P | PTE_RW | PTE_U));
	assert_int_equal(c->flushes + c->pages, 0);
	assert_int_equal(update_va(r, PAGE(200), PTE(FREE, PTE_P | PTE_RW | PTE_A), UVMF_INVLPG), PV_DONE);
	assert_int_equal(c->page, PAGE(200));
	assert_int_equal(c->pages, 1);
	assert_int_equal(update_va(r, PAGE(200), PTE(FREE, PTE_P | PTE_RW), UVMF_TLB_FLUSH), PV_DONE);
	assert_int_equal(c->flushes, 1);
	assert_int_equal(update_va(r, PAGE(200), PTE(L1, RW), UVMF_TLB_FLUSH), PV_DONE);
	assert_int_equal(rax(r), -EBUSY);
	assert_int_equal(update_va(r, 0xffff800000000000, 0, UVMF_TLB_FLUSH), PV_DONE);
	assert_int_equal(rax(r), -EINVAL);
	assert_int_equal(c->flushes, 1);
	assert_int_equal(update_va(r, PAGE(200), PTE(HOST_GPA >> 12, RW), 0), PV_NOT_MINE);
	assert_int_equal(update_va(r, PAGE(200), 0, UVMF_TLB_FLUSH | UVMF_ALL), PV_NOT_MINE);
	assert_int_equal(update_va(r, PAGE(200), 0, ARG), PV_NOT_MINE);
	assert_int_equal(pte_mfn(rig_see(r, L1, 200)), FREE);
}

/* ---- mmuext_op ---- */

static void roots_that_are_pinned(void **state)
{
	struct rig *r = *state;
	struct mmuext_op list[] = { { .cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = FREE },
		                    { .cmd = MMUEXT_NEW_USER_BASEPTR, .arg1.mfn = FREE + 1 } };
	struct rig_cpu *c = &r->cpu[0];

	assert_int_equal(exts(r, list, 2), PV_NOT_MINE);
	assert_int_equal(rig_ext(r, MMUEXT_PIN_L4_TABLE, FREE, 0), 0);
	assert_int_equal(exts(r, list, 2), PV_NOT_MINE);
	assert_int_equal(r->vcpu[0].root[PV_KERNEL], ROOT);
	assert_int_equal(rig_ext(r, MMUEXT_PIN_L4_TABLE, FREE + 1, 0), 0);
	c->roots = 0;
	assert_int_equal(exts(r, list, 2), PV_DONE);
	assert_int_equal(rax(r), 0);
	assert_int_equal(c->roots, 1);
	assert_int_equal(c->kernel, FREE << 12);
	assert_int_equal(c->user, (FREE + 1) << 12);
	list[1].arg1.mfn = 0;
	list[0].arg1.mfn = ROOT;
	assert_int_equal(exts(r, list, 2), PV_DONE);
	assert_int_equal(c->user, 0);
	assert_int_equal(c->kernel, ROOT << 12);
	/* The same one twice in a list may drop a table on the way. */
	list[1] = list[0];
	assert_int_equal(exts(r, list, 2), PV_NOT_MINE);
	assert_int_equal(ext(r, MMUEXT_NEW_BASEPTR, 0), PV_NOT_MINE);
	assert_int_equal(ext(r, MMUEXT_NEW_BASEPTR, L3), PV_NOT_MINE);
	assert_int_equal(ext(r, MMUEXT_NEW_USER_BASEPTR, FRAMES), PV_NOT_MINE);
	/* With an LDT, its pages are to be found again. */
	assert_int_equal(pv_set_ldt(&r->vcpu[0], PAGE(300), 8), 0);
	assert_int_equal(ext(r, MMUEXT_NEW_BASEPTR, ROOT), PV_NOT_MINE);
	assert_int_equal(ext(r, MMUEXT_NEW_USER_BASEPTR, 0), PV_DONE);
}

static void pins_of_l1_tables(void **state)
{
	struct rig *r = *state;

	rig_put(r, FREE, 0, PTE(DATA, PTE_P));
	assert_int_equal(ext(r, MMUEXT_PIN_L1_TABLE, FREE), PV_DONE);
	assert_int_equal(rax(r), 0);
	assert_int_equal(rig_see(r, FREE, 0), PTE(DATA, PTE_P | PTE_U));
	assert_int_equal(ext(r, MMUEXT_PIN_L1_TABLE, FREE), PV_DONE);
	assert_int_equal(rax(r), -EINVAL);
	assert_int_equal(ext(r, MMUEXT_UNPIN_TABLE, FREE), PV_DONE);
	assert_int_equal(rax(r), 0);
	assert_int_equal(rig_use(r, FREE), PV_FREE);
	rig_put(r, FREE, 511, PTE(HOST_GPA >> 12, PTE_P));
	assert_int_equal(ext(r, MMUEXT_PIN_L1_TABLE, FREE), PV_NOT_MINE);
	assert_int_equal(rig_use(r, FREE), PV_FREE);
	assert_int_equal(ext(r, MMUEXT_UNPIN_TABLE, FREE), PV_NOT_MINE);
	assert_int_equal(ext(r, MMUEXT_UNPIN_TABLE, ROOT), PV_NOT_MINE);
	assert_int_equal(ext(r, MMUEXT_UNPIN_TABLE, UINT64_MAX), PV_NOT_MINE);
	assert_int_equal(ext(r, MMUEXT_PIN_L1_TABLE, FRAMES), PV_NOT_MINE);
	assert_int_equal(ext(r, MMUEXT_PIN_L2_TABLE, FREE + 1), PV_NOT_MINE);
}

static void flushes(void **state)
{
	struct rig *r = *state;
	const struct mmuext_op list[5] = { { .cmd = MMUEXT_INVLPG_LOCAL, .arg1.linear_addr = 0x1000 },
		                           { .cmd = MMUEXT_INVLPG_LOCAL, .arg1.linear_addr = 0x2000 },
		                           { .cmd = MMUEXT_TLB_FLUSH_LOCAL } };
	struct rig_cpu *c = &r->cpu[0];

	c->flushes = c->pages = 0;
	assert_int_equal(exts(r, list, 3), PV_DONE);
	assert_int_equal(c->pages, 2);
	assert_int_equal(c->flushes, 1);
	assert_int_equal(exts(r, list, 0), PV_NOT_MINE);
	assert_int_equal(exts(r, list, 5), PV_NOT_MINE);
	for (uint32_t cmd = MMUEXT_TLB_FLUSH_MULTI; cmd < 40; cmd++)
		if (cmd != MMUEXT_NEW_USER_BASEPTR)
			assert_int_equal(ext(r, cmd, 0), PV_NOT_MINE);
	assert_int_equal(ext(r, UINT32_MAX, 0), PV_NOT_MINE);
}

/* Random lists, in a quick and a slow world: the same results and the same tables. */
static uint64_t random_entry(uint64_t x)
{
	return PTE(x & 8 ? ROOT + (x >> 4 & 3) : FREE + (x >> 4 & 7), x >> 8 & 0x67) | (x >> 20 & 15 ? 0 : PTE_PSE);
}

static void both_ways_are_the_same(void **state)
{
	struct rig *quick = *state, *slow = rig_boot(1);
	uint64_t x = 88172645463325252ull;
	uint32_t settled = 0;

	for (uint32_t i = 0; i < 5000; i++) {
		struct mmu_update req[4];

		for (int k = 0; k < 4; k++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			req[k] = (struct mmu_update){ MADDR(L1, 200 + (x >> 40 & 7)) | (x >> 50 & 1) * 2,
				                      random_entry(x) };
		}
		if (update(quick, req, 4) != PV_DONE)
			continue;
		settled++;
		memcpy(slow->f->ram + ARG, req, sizeof(req));
		assert_int_equal(rig_call(slow, __HYPERVISOR_mmu_update, ARG, 4, 0, DOMID_SELF), rax(quick));
		assert_memory_equal(slow->f->ram + PAGE(L1), quick->f->ram + PAGE(L1), 4096);
		assert_memory_equal(slow->d.mmu->ref, quick->d.mmu->ref, FRAMES * 4);
	}
	assert_int_equal(settled, 5000);
	rig_end(slow);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(l1_updates),
		WITH_RIG(upper_tables),
		WITH_RIG(pages_that_are_no_tables),
		WITH_RIG(updates_for_the_slow_way),
		WITH_RIG(va_mappings),
		WITH_RIG(roots_that_are_pinned),
		WITH_RIG(pins_of_l1_tables),
		WITH_RIG(flushes),
		WITH_RIG(both_ways_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
