/* SPDX-License-Identifier: MIT */
/* The walk in all paging modes, the soft TLB, and memory accesses of C code. */
#include "fake/bt-rig.h"

#define VA 0x40000u /* mapped by PT entry 64 */
#define PTE_OF(va) (RIG_PT + ((va) >> 12) * 8)
#define NX (1ull << 63)

static enum bt_step walk(struct rig *r, uint64_t va, unsigned access)
{
	struct mmu_page page;

	return mmu_walk(r->v, va, access, &page);
}

/* The manual's rules once more, in another form: what error an access to a page ends in, or 0. */
static unsigned expected(bool present, bool writable, bool user, bool nx, unsigned access, bool wp, bool smep)
{
	bool u = access & ACC_USER, w = access & ACC_WRITE, x = access & ACC_EXEC, bad = !present;
	unsigned code = (w ? 2u : 0) | (u ? 4u : 0) | (x ? 16u : 0);

	if (u && !user)
		bad = true;
	if (w && !writable && (u || wp))
		bad = true;
	if (x && (nx || (!u && user && smep)))
		bad = true;
	return bad ? code | present | 0x100 : 0;
}

static void every_right_and_access(void **state)
{
	static const unsigned kinds[] = { ACC_READ, ACC_WRITE, ACC_EXEC };
	struct rig *r = *state;

	for (unsigned bits = 0; bits < 16; bits++) {
		for (unsigned a = 0; a < 6; a++) {
			for (unsigned mode = 0; mode < 4; mode++) {
				unsigned access = kinds[a % 3] | (a >= 3 ? ACC_USER : 0);
				bool p = bits & 1, w = bits & 2, u = bits & 4, nx = bits & 8;
				unsigned want = expected(p, w, u, nx, access, mode & 1, mode & 2);

				rig_state(r, true, 0);
				r->state.cr0 = (r->state.cr0 & ~CR0_WP) | (mode & 1 ? CR0_WP : 0);
				r->state.cr4 |= mode & 2 ? CR4_SMEP : 0;
				rig_enter(r);
				rig_put64(r, PTE_OF(VA), VA | (bits & 7) | (nx ? NX : 0));
				if (want)
					assert_fault(r->v, walk(r, VA, access), EXC_PF, want & 0xff);
				else
					assert_int_equal(walk(r, VA, access), STEP_OK);
			}
		}
	}
}

/* A right that any level takes away is gone. */
static void rights_of_upper_levels(void **state)
{
	static const uint64_t entries[] = { RIG_PML4, RIG_PDPT, RIG_PD, PTE_OF(VA) };
	struct rig *r = *state;

	rig_long(r, 0);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t old = rig_get64(r, entries[i]);

		rig_put64(r, entries[i], old & ~2ull);
		assert_fault(r->v, walk(r, VA, ACC_WRITE | ACC_USER), EXC_PF, 7);
		assert_int_equal(walk(r, VA, ACC_USER), STEP_OK);
		rig_put64(r, entries[i], old & ~4ull);
		assert_fault(r->v, walk(r, VA, ACC_USER), EXC_PF, 5);
		rig_put64(r, entries[i], old | NX);
		assert_fault(r->v, walk(r, VA, ACC_EXEC), EXC_PF, 0x11);
		rig_put64(r, entries[i], old & ~1ull);
		assert_fault(r->v, walk(r, VA, ACC_READ), EXC_PF, 0);
		assert_int_equal(r->v->exc.cr2, VA);
		rig_put64(r, entries[i], old);
	}
}

static void reserved_bits(void **state)
{
	static const struct {
		uint64_t entry, bits;
		bool nxe;
		uint64_t va;
	} cases[] = {
		{ RIG_PML4, 1ull << 51, true, VA },   { RIG_PDPT, 1ull << 50, true, VA },
		{ RIG_PD, 1ull << 51, true, VA },     { PTE_OF(VA), 1ull << 51, true, VA },
		{ RIG_PML4, 0x80, true, VA },         { RIG_PML4, NX, false, VA },
		{ PTE_OF(VA), NX, false, VA },        { RIG_PD + 8, 0x2000, true, 0x200000 },
		{ RIG_PD + 8, 0x100000, true, 0x200000 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t old = rig_get64(r, cases[i].entry);

		rig_state(r, true, 0);
		if (!cases[i].nxe)
			r->state.efer &= ~EFER_NXE;
		rig_enter(r);
		rig_put64(r, cases[i].entry, old | cases[i].bits);
		assert_fault(r->v, walk(r, cases[i].va, ACC_READ), EXC_PF, 9);
		assert_fault(r->v, walk(r, cases[i].va, ACC_WRITE | ACC_USER), EXC_PF, 15);
		/* The instruction bit is reported only with NXE or SMEP. */
		assert_fault(r->v, walk(r, cases[i].va, ACC_EXEC), EXC_PF, cases[i].nxe ? 0x19 : 9);
		rig_put64(r, cases[i].entry, old);
		assert_int_equal(walk(r, cases[i].va, ACC_READ), STEP_OK);
	}
}

/* The instruction bit of the error code comes with NXE or with SMEP. */
static void instruction_bit(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 4; i++) {
		rig_state(r, true, 0);
		r->state.efer &= i & 1 ? ~0ull : ~EFER_NXE;
		r->state.cr4 |= i & 2 ? CR4_SMEP : 0;
		rig_enter(r);
		assert_fault(r->v, walk(r, 0x40000000, ACC_EXEC), EXC_PF, i ? 0x10 : 0);
	}
}

static void accessed_and_dirty(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	assert_int_equal(walk(r, VA, ACC_READ | ACC_NOFAULT), STEP_OK);
	assert_int_equal(rig_get64(r, PTE_OF(VA)) & 0x60, 0);
	assert_int_equal(walk(r, VA, ACC_READ), STEP_OK);
	assert_int_equal(rig_get64(r, PTE_OF(VA)) & 0x60, 0x20);
	assert_int_equal(rig_get64(r, RIG_PML4) & 0x60, 0x20);
	assert_int_equal(rig_get64(r, RIG_PD) & 0x60, 0x20);
	assert_int_equal(walk(r, VA, ACC_WRITE), STEP_OK);
	assert_int_equal(rig_get64(r, PTE_OF(VA)) & 0x60, 0x60);
	assert_int_equal(rig_get64(r, RIG_PD) & 0x60, 0x20); /* dirty is the leaf's alone */
	/* A refused access marks nothing. */
	rig_put64(r, PTE_OF(VA), VA | 5);
	assert_fault(r->v, walk(r, VA, ACC_WRITE | ACC_USER), EXC_PF, 7);
	assert_int_equal(rig_get64(r, PTE_OF(VA)) & 0x60, 0);
	/* In ROM they stay clear, and the access succeeds. */
	r->mem.kind[RIG_PT >> 12] = MEM_ROM;
	assert_int_equal(walk(r, VA, ACC_READ), STEP_OK);
	assert_int_equal(rig_get64(r, PTE_OF(VA)) & 0x60, 0);
}

static void page_sizes(void **state)
{
	struct rig *r = *state;
	struct mmu_page page;

	rig_long(r, 0);
	assert_int_equal(mmu_walk(r->v, 0x345678, 0, &page), STEP_OK);
	assert_int_equal(page.size, 0x200000);
	assert_int_equal(page.gpa, 0x345678);
	rig_put64(r, RIG_PDPT + 8, 0x187); /* 1G, global */
	assert_int_equal(mmu_walk(r->v, 0x40345678, 0, &page), STEP_OK);
	assert_int_equal(page.size, 0x40000000);
	assert_int_equal(page.gpa, 0x345678);
	assert_false(page.global); /* CR4.PGE is off */
	r->v->cr4 |= CR4_PGE;
	assert_int_equal(mmu_walk(r->v, 0x40345678, 0, &page), STEP_OK);
	assert_true(page.global);
}

static void not_canonical(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	assert_fault(r->v, walk(r, 0x800000000000, 0), EXC_GP, 0);
	assert_fault(r->v, walk(r, 0xffff7fffffffffff, ACC_WRITE), EXC_GP, 0);
	assert_fault(r->v, walk(r, 0xffff800000000000, 0), EXC_PF, 0);
}

static void table_in_a_hole(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	rig_put64(r, RIG_PD, RIG_MEM | 7); /* beyond memory: reads as ones */
	assert_fault(r->v, walk(r, VA, 0), EXC_PF, 9);
}

static void legacy_paging(void **state)
{
	struct rig *r = *state;
	struct mmu_page page;

	rig_put32(r, RIG_PML4, RIG_PDPT | 7);
	rig_put32(r, RIG_PML4 + 4, 0x400000 | 0x87); /* 4M */
	rig_put32(r, RIG_PML4 + 8, 0x00600000 | 0x87);
	rig_put32(r, RIG_PDPT + (VA >> 12) * 4, 0x55000 | 5);
	rig_state(r, false, 0);
	r->state.cr0 |= CR0_PG;
	r->state.cr4 = CR4_PSE;
	rig_enter(r);
	assert_int_equal(mmu_walk(r->v, VA + 0x123, ACC_READ | ACC_USER, &page), STEP_OK);
	assert_int_equal(page.gpa, 0x55123);
	assert_fault(r->v, walk(r, VA, ACC_WRITE), EXC_PF, 3);
	assert_int_equal(rig_get32(r, RIG_PDPT + (VA >> 12) * 4) & 0x60, 0x20);
	assert_int_equal(mmu_walk(r->v, 0x512345, ACC_WRITE, &page), STEP_OK);
	assert_int_equal(page.gpa, 0x512345);
	assert_int_equal(page.size, 0x400000);
	assert_int_equal(rig_get32(r, RIG_PML4 + 4) & 0x60, 0x60);
	assert_fault(r->v, walk(r, 0x800000, ACC_READ), EXC_PF, 9); /* bit 21 is reserved */
	assert_fault(r->v, walk(r, 0xc00000, ACC_EXEC), EXC_PF, 0); /* no I bit in this mode */
}

static void pae_paging(void **state)
{
	struct rig *r = *state;
	struct mmu_page page;

	rig_put64(r, RIG_PDPT, RIG_PD | 1);
	rig_put64(r, RIG_PDPT + 8, 0);
	rig_state(r, false, 0);
	r->state.cr0 |= CR0_PG;
	r->state.cr4 = CR4_PAE;
	r->state.cr3 = RIG_PDPT;
	rig_enter(r);
	assert_int_equal(mmu_walk(r->v, VA + 5, ACC_WRITE | ACC_USER, &page), STEP_OK);
	assert_int_equal(page.gpa, VA + 5);
	assert_fault(r->v, walk(r, 0x40000000, 0), EXC_PF, 0);
	/* The four top entries are in the processor: memory may change. */
	rig_put64(r, RIG_PDPT, 0);
	assert_int_equal(walk(r, VA, 0), STEP_OK);
	assert_int_equal(sys_write_cr(r->v, 3, RIG_PDPT), STEP_OK);
	assert_fault(r->v, walk(r, VA, 0), EXC_PF, 0);
	/* A malformed one refuses CR3 whole. */
	rig_put64(r, RIG_PDPT + 24, 0x1e1);
	assert_fault(r->v, sys_write_cr(r->v, 3, RIG_PDPT), EXC_GP, 0);
	/* Bits 62:52 are reserved here, unlike in 4-level paging. */
	rig_put64(r, RIG_PDPT + 24, 0);
	rig_put64(r, RIG_PDPT, RIG_PD | 1);
	assert_int_equal(sys_write_cr(r->v, 3, RIG_PDPT), STEP_OK);
	rig_put64(r, PTE_OF(VA), VA | 7 | 1ull << 60);
	assert_fault(r->v, walk(r, VA, 0), EXC_PF, 9);
}

/* ---- soft TLB ---- */

static struct tlb_entry *fill(struct rig *r, uint64_t va, unsigned access)
{
	struct tlb_entry *e;
	struct mmu_page page;

	assert_int_equal(tlb_fill(r->v, va, access, &e, &page), STEP_OK);
	return e;
}

static bool cached(struct rig *r, uint64_t va, int table, bool write)
{
	struct tlb_entry *e = &r->v->tlb[table][va >> 12 & (TLB_SIZE - 1)];

	return (write ? e->tag_w : e->tag_r) == (va & PAGE_MASK);
}

static void tags(void **state)
{
	struct rig *r = *state;
	struct tlb_entry *e;

	rig_long(r, 0);
	e = fill(r, VA + 8, ACC_READ);
	assert_ptr_equal((void *)(uintptr_t)e->host, rig_at(r, VA));
	assert_true(cached(r, VA, TLB_KERNEL, false));
	assert_false(cached(r, VA, TLB_KERNEL, true)); /* not dirty yet */
	assert_false(cached(r, VA, TLB_USER, false));
	fill(r, VA, ACC_WRITE);
	assert_true(cached(r, VA, TLB_KERNEL, true));
	r->mem.code[VA >> 12] = 1;
	assert_null(fill(r, VA, ACC_WRITE));
	fill(r, VA, ACC_READ);
	assert_false(cached(r, VA, TLB_KERNEL, true));
	r->mem.kind[VA >> 12] = MEM_NONE;
	assert_null(fill(r, VA, ACC_READ));
}

static uint64_t device_gpa(struct rig *r, uint64_t va, unsigned access)
{
	struct mmu_page page;
	struct tlb_entry *e;

	assert_int_equal(tlb_fill(r->v, va, access, &e, &page), STEP_OK);
	assert_null(e);
	return page.gpa;
}

/* The page of a device is walked once, for as long as the TLB would have it, and the kernel's alone. */
static void device_page(void **state)
{
	struct rig *r = *state;
	uint64_t walks;

	rig_long(r, 0);
	r->mem.kind[0x50] = r->mem.kind[0x51] = MEM_NONE;
	rig_put64(r, PTE_OF(VA), 0x50003);
	assert_int_equal(device_gpa(r, VA + 8, ACC_READ), 0x50008);
	walks = r->v->n_walk;
	assert_int_equal(device_gpa(r, VA + 16, ACC_READ), 0x50010);
	if (!r->v->spt)
		assert_int_equal(r->v->n_walk, walks);
	assert_fault(r->v, tlb_fill(r->v, VA, ACC_USER, &(struct tlb_entry *){ NULL }, &(struct mmu_page){ 0 }), EXC_PF, 5);
	assert_false(rig_get64(r, PTE_OF(VA)) & 0x40);
	assert_int_equal(device_gpa(r, VA, ACC_WRITE), 0x50000); /* which makes it dirty */
	assert_true(rig_get64(r, PTE_OF(VA)) & 0x40);
	rig_put64(r, PTE_OF(VA), 0x51001);
	mmu_flush_page(r->v, VA);
	assert_int_equal(device_gpa(r, VA, ACC_READ), 0x51000);
	assert_fault(r->v, tlb_fill(r->v, VA, ACC_WRITE, &(struct tlb_entry *){ NULL }, &(struct mmu_page){ 0 }), EXC_PF, 3);
	rig_put64(r, PTE_OF(VA), 0x50003);
	mmu_flush(r->v, false);
	assert_int_equal(device_gpa(r, VA, ACC_WRITE), 0x50000);
	r->mem.kind[0x50] = MEM_RAM;
	assert_non_null(fill(r, VA, ACC_READ));
}

/* The check of translated code: t0 = va ^ tag, hit when t0 <= 4096 - size. No address may hit an empty slot. */
static void empty_slots_match_nothing(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < TLB_SIZE; i++) {
		uint64_t vas[] = { (uint64_t)i << 12, ~0ull << 26 | (uint64_t)i << 12 };

		for (int k = 0; k < 4; k++) {
			uint64_t va = vas[k & 1] | (k & 2 ? 0xfff : 0);

			assert_true((va ^ r->v->tlb[0][i].tag_r) > 4095);
			assert_true((va ^ r->v->tlb[1][i].tag_w) > 4095);
		}
	}
}

static void flushes(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->v->cr4 |= CR4_PGE;
	rig_put64(r, PTE_OF(0x50000), 0x50000 | 0x107); /* global */
	fill(r, VA, 0);
	fill(r, 0x50000, 0);
	fill(r, 0x50000, ACC_USER);
	tlb_flush(r->v, false);
	assert_false(cached(r, VA, TLB_KERNEL, false));
	assert_true(cached(r, 0x50000, TLB_KERNEL, false));
	assert_true(cached(r, 0x50000, TLB_USER, false));
	tlb_flush(r->v, true);
	assert_false(cached(r, 0x50000, TLB_KERNEL, false));
	assert_false(cached(r, 0x50000, TLB_USER, false));
}

/* A slot that changes between global and not is found by either flush, however often it changes. */
static void slot_changes_kind(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	r->v->cr4 |= CR4_PGE;
	for (int i = 0; i < 3 * (int)TLB_SIZE; i++) {
		rig_put64(r, PTE_OF(VA), VA | 7 | (i & 1 ? 0x100 : 0));
		fill(r, VA, 0);
		tlb_flush_page(r->v, VA);
		assert_false(cached(r, VA, TLB_KERNEL, false));
	}
	assert_int_equal(r->v->tlb_listed[TLB_KERNEL][0], 1);
	assert_int_equal(r->v->tlb_listed[TLB_KERNEL][1], 1);
	rig_put64(r, PTE_OF(VA), VA | 0x107);
	fill(r, VA, 0);
	tlb_flush(r->v, false);
	assert_true(cached(r, VA, TLB_KERNEL, false));
	rig_put64(r, PTE_OF(VA), VA | 7);
	fill(r, VA, 0);
	tlb_flush(r->v, false);
	assert_false(cached(r, VA, TLB_KERNEL, false));
}

/* invlpg'ed slots that are filled again are flushed again. */
static void invlpg_and_refill(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	for (int i = 0; i < 5; i++) {
		fill(r, VA, 0);
		tlb_flush_page(r->v, VA);
		assert_false(cached(r, VA, TLB_KERNEL, false));
		fill(r, VA, 0);
		tlb_flush(r->v, false);
		assert_false(cached(r, VA, TLB_KERNEL, false));
	}
	assert_int_equal(r->jc_pages, 5);
}

static void invlpg_of_large_pages(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	fill(r, VA, 0);
	fill(r, 0x200000, 0);
	fill(r, 0x3ff000, ACC_USER);
	fill(r, 0x400000, 0);
	tlb_flush_page(r->v, 0x345000);
	assert_false(cached(r, 0x200000, TLB_KERNEL, false));
	assert_false(cached(r, 0x3ff000, TLB_USER, false));
	assert_true(cached(r, 0x400000, TLB_KERNEL, false));
	assert_true(cached(r, VA, TLB_KERNEL, false));
	/* The other way round, small pages beside a large one are none of it. */
	fill(r, 0x50000, 0);
	fill(r, 0x200000, 0);
	tlb_flush_page(r->v, 0x50000);
	assert_false(cached(r, 0x50000, TLB_KERNEL, false));
	assert_true(cached(r, VA, TLB_KERNEL, false));
	assert_true(cached(r, 0x200000, TLB_KERNEL, false));
	/* Their place is known as long as they are there. */
	tlb_flush(r->v, false);
	fill(r, 0x200000, 0);
	fill(r, 0x201000, 0);
	tlb_flush_page(r->v, 0x2ff000);
	assert_false(cached(r, 0x200000, TLB_KERNEL, false));
	assert_false(cached(r, 0x201000, TLB_KERNEL, false));
	rig_put64(r, RIG_PDPT + 8, 0x87);
	fill(r, 0x40000000, 0);
	fill(r, 0x40800000, 0);
	tlb_flush_page(r->v, 0x40111000);
	assert_false(cached(r, 0x40000000, TLB_KERNEL, false));
	assert_false(cached(r, 0x40800000, TLB_KERNEL, false));
}

/* Jumps into a large page are forgotten as a whole. */
static void invlpg_of_large_code(void **state)
{
	struct rig *r = *state;
	unsigned before;

	rig_long(r, 0);
	assert_int_equal(walk(r, 0x200000, ACC_EXEC), STEP_OK);
	before = r->jc_flush_globals;
	tlb_flush_page(r->v, 0x345000);
	assert_int_equal(r->jc_flush_globals, before + 1);
	tlb_flush_page(r->v, 0x600000);
	assert_int_equal(r->jc_flush_globals, before + 1);
}

static void protect_by_gpa(void **state)
{
	struct rig *r = *state;

	rig_put64(r, PTE_OF(0x50000), VA | 7); /* an alias */
	rig_long(r, 0);
	fill(r, VA, ACC_WRITE);
	fill(r, 0x50000, ACC_WRITE | ACC_USER);
	fill(r, 0x60000, ACC_WRITE);
	tlb_protect_gpa(r->v, VA + 7, false);
	assert_false(cached(r, VA, TLB_KERNEL, true));
	assert_false(cached(r, 0x50000, TLB_USER, true));
	assert_true(cached(r, VA, TLB_KERNEL, false));
	assert_true(cached(r, 0x60000, TLB_KERNEL, true));
	tlb_protect_gpa(r->v, VA, true);
	assert_false(cached(r, 0x50000, TLB_USER, false));
}

/* ---- accesses ---- */

static void sizes_and_crossings(void **state)
{
	struct rig *r = *state;
	uint8_t in[4096], out[4096];

	rig_long(r, 0);
	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 + 1);
	for (unsigned round = 0; round < 2; round++) { /* slow, then from the TLB */
		for (unsigned len = 1; len <= 4096; len = len < 16 ? len + 1 : len * 2) {
			assert_int_equal(mmu_write(r->v, 0x41ffb, in, len, 0), STEP_OK);
			assert_memory_equal(rig_at(r, 0x41ffb), in, len);
			memset(out, 0, sizeof(out));
			assert_int_equal(mmu_read(r->v, 0x41ffb, out, len, 0), STEP_OK);
			assert_memory_equal(out, in, len);
		}
	}
}

static void write_is_all_or_nothing(void **state)
{
	struct rig *r = *state;
	uint64_t value = ~0ull;

	rig_long(r, 0);
	rig_put64(r, PTE_OF(0x42000), 0x42000 | 5);
	assert_fault(r->v, mmu_write(r->v, 0x41ffc, &value, 8, 0), EXC_PF, 3);
	assert_int_equal(r->v->exc.cr2, 0x42000);
	assert_int_equal(rig_get64(r, 0x41ffc), 0);
}

/* The core's side of a replay: answers and lets the access run again. */
static void answer(struct rig *r, uint64_t value)
{
	r->v->replay.value[r->v->replay.done++] = value;
	r->v->replay.next = 0;
}

static void mmio_pieces(void **state)
{
	struct rig *r = *state;
	uint8_t buf[12];
	static const struct {
		uint64_t gpa;
		uint8_t width;
	} want[] = { { 0x50002, 2 }, { 0x50004, 4 }, { 0x50008, 4 }, { 0x5000c, 2 } };

	rig_long(r, 0);
	r->mem.kind[0x50] = MEM_NONE;
	for (unsigned i = 0; i < 4; i++) {
		unsigned expect_width = i == 2 ? 4 : want[i].width;

		r->v->replay.next = 0;
		assert_int_equal(mmu_read(r->v, 0x50002, buf, 12, 0), STEP_EXIT);
		assert_int_equal(r->exit.reason, EXIT_MMIO);
		assert_int_equal(r->exit.mmio.gpa, want[i].gpa);
		assert_int_equal(r->exit.mmio.width, expect_width);
		assert_false(r->exit.mmio.write);
		answer(r, 0x1111111111111111ull * (i + 1));
	}
	assert_int_equal(mmu_read(r->v, 0x50002, buf, 12, 0), STEP_OK);
	assert_memory_equal(buf, "\x11\x11\x22\x22\x22\x22\x33\x33\x33\x33\x44\x44", 12);
	assert_int_equal(r->v->replay.next, 4);
}

static void mmio_write_beside_ram(void **state)
{
	struct rig *r = *state;
	uint64_t value = 0x8877665544332211ull;

	rig_long(r, 0);
	r->mem.kind[0x51] = MEM_NONE;
	assert_int_equal(mmu_write(r->v, 0x50ffc, &value, 8, 0), STEP_EXIT);
	assert_true(r->exit.mmio.write);
	assert_int_equal(r->exit.mmio.gpa, 0x51000);
	assert_int_equal(r->exit.mmio.width, 4);
	assert_int_equal(r->exit.mmio.data, 0x88776655);
	assert_int_equal(rig_get32(r, 0x50ffc), 0); /* RAM waits for the device */
	answer(r, 0);
	assert_int_equal(mmu_write(r->v, 0x50ffc, &value, 8, 0), STEP_OK);
	assert_int_equal(rig_get32(r, 0x50ffc), 0x44332211);
}

static void mmio_beyond_the_record(void **state)
{
	struct rig *r = *state;
	uint8_t buf[512];

	rig_long(r, 0);
	r->mem.kind[0x50] = MEM_NONE;
	memset(buf, 0, sizeof(buf));
	assert_int_equal(mmu_read(r->v, 0x50000, buf, 64, 0), STEP_EXIT); /* eight pieces fit */
	assert_int_equal(mmu_read(r->v, 0x50000, buf, 512, 0), STEP_OK);
	assert_int_equal(buf[0], 0xff);
	assert_int_equal(buf[511], 0xff);
	assert_int_equal(mmu_write(r->v, 0x50000, buf, 512, 0), STEP_OK);
	assert_int_equal(mmu_read(r->v, 0x50000, buf, 4, ACC_NOMMIO), STEP_OK);
	assert_int_equal(r->v->n_dropped, 3);
}

static void writes_to_code(void **state)
{
	struct rig *r = *state;
	uint32_t value = 0x12345678;
	void *host;

	rig_long(r, 0);
	assert_int_equal(mmu_write(r->v, VA, &value, 4, 0), STEP_OK);
	r->mem.code[VA >> 12] = 1;
	tlb_protect_gpa(r->v, VA, false);
	assert_int_equal(mmu_write(r->v, VA, &value, 4, 0), STEP_OK);
	assert_int_equal(r->invalidations, 0); /* other bytes of the page */
	r->covers = true;
	assert_int_equal(mmu_write(r->v, VA + 8, &value, 4, 0), STEP_OK);
	assert_int_equal(r->invalidations, 1);
	assert_int_equal(r->invalidated_gpa, VA + 8);
	assert_int_equal(mmu_rmw(r->v, VA + 12, 4, 0, &host), STEP_OK);
	assert_ptr_equal(host, rig_at(r, VA + 12));
	assert_int_equal(r->invalidations, 2);
}

static void read_modify_write(void **state)
{
	struct rig *r = *state;
	void *host;

	rig_long(r, 0);
	assert_int_equal(mmu_rmw(r->v, 0x40ffe, 4, 0, &host), STEP_OK);
	assert_null(host); /* crosses */
	r->mem.kind[0x50] = MEM_NONE;
	assert_int_equal(mmu_rmw(r->v, 0x50000, 4, 0, &host), STEP_OK);
	assert_null(host);
	rig_put64(r, PTE_OF(0x60000), 0x60000 | 5);
	assert_fault(r->v, mmu_rmw(r->v, 0x60000, 4, ACC_USER, &host), EXC_PF, 7);
}

/* Read like RAM; what is written to it is for the device that covers it. */
static void rom(void **state)
{
	struct rig *r = *state;
	uint32_t value = 1;
	void *host;

	rig_long(r, 0);
	rig_put32(r, 0x70000, 42);
	r->mem.kind[0x70] = MEM_ROM;
	assert_int_equal(mmu_read(r->v, 0x70000, &value, 4, 0), STEP_OK);
	assert_int_equal(value, 42);
	value = 7;
	assert_int_equal(mmu_write(r->v, 0x70000, &value, 4, 0), STEP_EXIT);
	assert_int_equal(r->exit.reason, EXIT_MMIO);
	assert_true(r->exit.mmio.write);
	assert_int_equal(r->exit.mmio.gpa, 0x70000);
	assert_int_equal(r->exit.mmio.data, 7);
	answer(r, 0);
	assert_int_equal(mmu_write(r->v, 0x70000, &value, 4, 0), STEP_OK);
	assert_int_equal(rig_get32(r, 0x70000), 42);
	assert_int_equal(r->invalidations, 0);
	/* A read-modify-write reads it and writes to the device. */
	assert_int_equal(mmu_rmw(r->v, 0x70000, 4, 0, &host), STEP_OK);
	assert_null(host);
	/* RAM beside it waits for the device. */
	r->v->replay.done = r->v->replay.next = 0;
	assert_int_equal(mmu_write(r->v, 0x6fffe, &value, 4, 0), STEP_EXIT);
	assert_int_equal(r->exit.mmio.gpa, 0x70000);
	assert_int_equal(r->exit.mmio.width, 2);
	assert_int_equal(rig_get32(r, 0x6fffc), 0);
}

static void fetches(void **state)
{
	struct rig *r = *state;
	uint8_t buf[15];
	unsigned got;

	rig_long(r, 0);
	memcpy(rig_at(r, 0x40ffa), "\x90\x91\x92\x93\x94\x95\x96", 7);
	assert_int_equal(mmu_fetch(r->v, 0x40ffa, buf, 15, &got), STEP_OK);
	assert_int_equal(got, 6);
	assert_memory_equal(buf, "\x90\x91\x92\x93\x94\x95", 6);
	rig_put64(r, PTE_OF(0x40000), 0x40000 | 7 | NX);
	tlb_flush_page(r->v, 0x40ffa);
	assert_fault(r->v, mmu_fetch(r->v, 0x40ffa, buf, 15, &got), EXC_PF, 0x11);
	fill(r, 0x40000, 0); /* readable in the TLB does not make it executable */
	assert_fault(r->v, mmu_fetch(r->v, 0x40ffa, buf, 15, &got), EXC_PF, 0x11);
}

/* ---- SMAP and protection keys ---- */

static void enter_smap(struct rig *r)
{
	rig_state(r, true, 0);
	r->state.cr4 |= CR4_SMAP;
	rig_enter(r);
	rig_put64(r, PTE_OF(VA + 0x1000), (VA + 0x1000) | 3); /* a supervisor page */
}

static void set_ac(struct rig *r, bool on)
{
	r->v->rflags = (r->v->rflags & ~FL_AC) | (on ? FL_AC : 0);
	bt_update_key(r->v);
}

/* The TLB has a user page for the kernel only while AC is set. */
static void smap(void **state)
{
	struct rig *r = *state;
	struct tlb_entry *e = &r->v->tlb[TLB_KERNEL][VA >> 12];
	uint32_t word = 1;

	enter_smap(r);
	rig_put32(r, VA, 0x1234);
	assert_fault(r->v, mmu_read(r->v, VA, &word, 4, 0), EXC_PF, 1);
	assert_fault(r->v, mmu_write(r->v, VA, &word, 4, 0), EXC_PF, 3);
	assert_int_equal(mmu_read(r->v, VA + 0x1000, &word, 4, 0), STEP_OK);
	assert_int_equal(mmu_read(r->v, VA, &word, 4, ACC_USER), STEP_OK);
	assert_int_equal(walk(r, VA, ACC_EXEC), STEP_OK); /* that is SMEP's */
	set_ac(r, true);
	assert_int_equal(mmu_write(r->v, VA, &word, 4, 0), STEP_OK);
	assert_int_equal(e->tag_w, VA);
	/* What the processor reads for itself is not the program's. */
	assert_fault(r->v, mmu_read(r->v, VA, &word, 4, IMPLICIT), EXC_PF, 1);
	set_ac(r, false);
	assert_true(e->tag_r != VA && e->tag_w != VA);
	assert_fault(r->v, mmu_read(r->v, VA, &word, 4, 0), EXC_PF, 1);
	set_ac(r, true);
	assert_true(e->tag_r == VA && e->tag_w == VA);
	/* Nothing hidden comes back after a flush, nor over another entry. */
	set_ac(r, false);
	tlb_flush_page(r->v, VA);
	set_ac(r, true);
	assert_int_not_equal(e->tag_r, VA);
	assert_int_equal(mmu_read(r->v, VA, &word, 4, 0), STEP_OK);
	set_ac(r, false);
	rig_put64(r, PTE_OF(VA), VA | 0x63);
	fill(r, VA, 0);
	assert_int_equal(e->flags & TLB_SMAP, 0);
	set_ac(r, true);
	set_ac(r, false);
	assert_int_equal(e->tag_r, VA);
}

/* More pages than are remembered. */
static void smap_many(void **state)
{
	struct rig *r = *state;
	uint32_t word;

	enter_smap(r);
	rig_put64(r, PTE_OF(VA + 0x1000), (VA + 0x1000) | 7);
	set_ac(r, true);
	for (unsigned i = 0; i < 3 * SMAP_MAX; i++)
		assert_int_equal(mmu_read(r->v, VA + i * 0x1000, &word, 4, 0), STEP_OK);
	set_ac(r, false);
	for (unsigned i = 0; i < 3 * SMAP_MAX; i++)
		assert_fault(r->v, mmu_read(r->v, VA + i * 0x1000, &word, 4, 0), EXC_PF, 1);
}

static void protection_keys(void **state)
{
	static const struct {
		unsigned rights; /* AD 1, WD 2 */
		bool wp, user_page;
		unsigned access, error; /* 0: allowed */
	} cases[] = {
		{ 0, true, true, ACC_WRITE | ACC_USER, 0 },  { 1, true, true, ACC_READ | ACC_USER, 0x25 },
		{ 1, true, true, ACC_READ, 0x21 },           { 1, false, true, ACC_WRITE, 0x23 },
		{ 2, true, true, ACC_READ | ACC_USER, 0 },   { 2, false, true, ACC_WRITE | ACC_USER, 0x27 },
		{ 2, false, true, ACC_WRITE, 0 },            { 2, true, true, ACC_WRITE, 0x23 },
		{ 3, true, true, ACC_EXEC | ACC_USER, 0 },   { 1, true, false, ACC_READ, 0x21 },
		{ 2, true, false, ACC_WRITE, 0x23 },         { 2, false, false, ACC_WRITE, 0 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_state(r, true, 0);
		r->state.cr0 = (r->state.cr0 & ~CR0_WP) | (cases[i].wp ? CR0_WP : 0);
		r->state.cr4 |= CR4_PKE | CR4_PKS;
		rig_enter(r);
		rig_put64(r, PTE_OF(VA), VA | (cases[i].user_page ? 7 : 3) | 5ull << 59);
		/* Each register speaks of its own pages. */
		r->v->pkru = cases[i].user_page ? cases[i].rights << 10 : ~0u;
		r->v->pkrs = cases[i].user_page ? ~0u : cases[i].rights << 10;
		if (cases[i].error)
			assert_fault(r->v, walk(r, VA, cases[i].access), EXC_PF, cases[i].error);
		else
			assert_int_equal(walk(r, VA, cases[i].access), STEP_OK);
	}
}

/* A change of rights is a flush when a page that was seen has the key. */
static void key_changes(void **state)
{
	struct rig *r = *state;
	uint32_t word;
	uint64_t flushes;

	rig_state(r, true, 3);
	r->state.cr4 |= CR4_PKE;
	rig_enter(r);
	rig_put64(r, PTE_OF(VA), VA | 7 | 5ull << 59);
	assert_int_equal(mmu_write(r->v, VA, &(uint32_t){ 1 }, 4, ACC_USER), STEP_OK);
	flushes = r->v->n_flush;
	sys_set_pkru(r->v, 3u << 12);
	assert_int_equal(r->v->n_flush, flushes);
	sys_set_pkru(r->v, 2u << 10);
	assert_int_equal(r->v->n_flush, flushes + 1);
	assert_int_equal(mmu_read(r->v, VA, &word, 4, ACC_USER), STEP_OK);
	assert_fault(r->v, mmu_write(r->v, VA, &word, 4, ACC_USER), EXC_PF, 0x27);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(every_right_and_access), RIG_TEST(rights_of_upper_levels), RIG_TEST(reserved_bits),
		RIG_TEST(accessed_and_dirty),     RIG_TEST(page_sizes),             RIG_TEST(not_canonical),
		RIG_TEST(table_in_a_hole),        RIG_TEST(legacy_paging),          RIG_TEST(pae_paging),
		RIG_TEST(tags),                   RIG_TEST(empty_slots_match_nothing), RIG_TEST(flushes),
		RIG_TEST(slot_changes_kind),      RIG_TEST(invlpg_and_refill),      RIG_TEST(invlpg_of_large_pages),
		RIG_TEST(invlpg_of_large_code),   RIG_TEST(protect_by_gpa),         RIG_TEST(sizes_and_crossings),
		RIG_TEST(write_is_all_or_nothing), RIG_TEST(mmio_pieces),           RIG_TEST(mmio_write_beside_ram),
		RIG_TEST(mmio_beyond_the_record), RIG_TEST(writes_to_code),         RIG_TEST(read_modify_write),
		RIG_TEST(rom),                    RIG_TEST(fetches), RIG_TEST(instruction_bit),
		RIG_TEST(smap),                   RIG_TEST(smap_many),              RIG_TEST(protection_keys),
		RIG_TEST(key_changes),            RIG_TEST(device_page),
	};

	return RIG_RUN_BOTH(tests);
}
