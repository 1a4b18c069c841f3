/* SPDX-License-Identifier: MIT */
/* Shadow page tables: what is kept, what a store into a table drops, and that nothing else differs from the walk. */
#include "fake/bt-rig.h"

#define VA 0x40000u
#define PTE_OF(va) (RIG_PT + ((va) >> 12) * 8)
#define PML4_B 0x5000u
#define PTE_P 1u
#define PTE_W 2u
#define PTE_U 4u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_PS 0x80u

static int setup(void **state)
{
	rig_with_shadow = true;
	return rig_setup(state);
}

#define SHADOW_TEST(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)

static struct shadow_stats stats(struct rig *r)
{
	return shadow_stats(r->shadow);
}

static uint64_t gpa_of(struct rig *r, uint64_t va, unsigned access)
{
	struct mmu_page page;

	assert_int_equal(mmu_walk(r->v, va, access, &page), STEP_OK);
	return page.gpa;
}

/* What translating costs: walks of the guest's tables. */
static unsigned walks(struct rig *r, uint64_t va, unsigned access)
{
	uint64_t before = r->v->n_walk;

	gpa_of(r, va, access);
	return (unsigned)(r->v->n_walk - before);
}

/* As guest code at CPL 0 stores it, by the identity mapping. */
static void store64(struct rig *r, uint64_t gpa, uint64_t value)
{
	assert_int_equal(mmu_write(r->v, gpa, &value, 8, 0), STEP_OK);
}

static void store32(struct rig *r, uint64_t gpa, uint32_t value)
{
	assert_int_equal(mmu_write(r->v, gpa, &value, 4, 0), STEP_OK);
}

static void load_cr3(struct rig *r, uint64_t value)
{
	assert_int_equal(sys_write_cr(r->v, 3, value), STEP_OK);
}

static bool is_protected(struct rig *r, uint64_t gpa)
{
	return r->mem.code[gpa >> PAGE_SHIFT] & MEM_TABLE;
}

/* Until the tables in use have settled. */
static void settle(struct rig *r)
{
	for (int i = 0; i < 8; i++)
		load_cr3(r, r->v->cr3);
}

/* ---- what is kept ------------------------------------------------------------------------- */

static void kept_over_cr3(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	memcpy(rig_at(r, PML4_B), rig_at(r, RIG_PML4), 4096);
	assert_int_equal(walks(r, VA, ACC_READ), 1);
	assert_int_equal(walks(r, VA, ACC_READ), 0);
	load_cr3(r, PML4_B);
	assert_int_equal(walks(r, VA, ACC_READ), 1); /* its root is another */
	assert_int_equal(walks(r, VA + 0x1000, ACC_READ), 1);
	load_cr3(r, RIG_PML4);
	assert_int_equal(walks(r, VA, ACC_READ), 0);
	assert_int_equal(walks(r, VA + 0x1000, ACC_READ), 0); /* the lower tables are the same */
	assert_int_equal(stats(r).pages, 5);
}

static void control_bits_cost_nothing(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	rig_put64(r, PTE_OF(VA), VA | 5);
	gpa_of(r, VA, ACC_READ);
	assert_fault(r->v, mmu_walk(r->v, VA, ACC_WRITE, &(struct mmu_page){ 0 }), EXC_PF, 3);
	assert_int_equal(sys_write_cr(r->v, 0, r->v->cr0 & ~CR0_WP), STEP_OK);
	gpa_of(r, VA, ACC_WRITE); /* sets D */
	assert_int_equal(walks(r, VA, ACC_WRITE), 0);
	assert_int_equal(sys_write_cr(r->v, 0, r->v->cr0 | CR0_WP), STEP_OK);
	assert_int_equal(walks(r, VA, ACC_READ), 0);
	assert_fault(r->v, mmu_walk(r->v, VA, ACC_WRITE, &(struct mmu_page){ 0 }), EXC_PF, 3);
}

static void accessed_and_dirty(void **state)
{
	struct rig *r = *state;
	struct mmu_page page;

	rig_long(r, 0);
	rig_put64(r, PTE_OF(VA), VA | 7);
	assert_int_equal(mmu_walk(r->v, VA, ACC_READ, &page), STEP_OK);
	assert_int_equal(rig_get64(r, PTE_OF(VA)), VA | 7 | PTE_A);
	assert_false(page.writable);
	assert_int_equal(walks(r, VA, ACC_WRITE), 1);
	assert_int_equal(rig_get64(r, PTE_OF(VA)), VA | 7 | PTE_A | PTE_D);
	assert_int_equal(walks(r, VA, ACC_WRITE), 0);
	settle(r);
	assert_true(is_protected(r, RIG_PT)); /* the walker's own bits release nothing */
	for (unsigned bit = PTE_A; bit <= PTE_D; bit <<= 1) {
		store64(r, PTE_OF(VA), rig_get64(r, PTE_OF(VA)) & ~(uint64_t)bit);
		assert_int_equal(sys_invlpg(r->v, VA), STEP_OK);
		gpa_of(r, VA, ACC_WRITE);
		assert_int_equal(rig_get64(r, PTE_OF(VA)), VA | 7 | PTE_A | PTE_D);
	}
}

/* What is reserved, and what PS means, depends on control bits: other shadow pages then. */
static void roles(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	rig_put64(r, PTE_OF(VA), VA | 7 | 1ull << 63);
	gpa_of(r, VA, ACC_READ);
	assert_int_equal(sys_wrmsr(r->v, 0xc0000080, r->v->efer & ~EFER_NXE), STEP_OK);
	assert_fault(r->v, mmu_walk(r->v, VA, ACC_READ, &(struct mmu_page){ 0 }), EXC_PF, 9);
	assert_int_equal(sys_wrmsr(r->v, 0xc0000080, r->v->efer | EFER_NXE), STEP_OK);
	assert_int_equal(walks(r, VA, ACC_READ), 0);
}

static void roles_32(void **state)
{
	struct rig *r = *state;

	rig_put32(r, RIG_PML4 + 4, 0x800000 | 7 | PTE_PS);
	rig_put32(r, 0x800000 + 4, 0x79000 | 7);
	rig_state(r, false, 0);
	r->state.cr0 |= CR0_PG;
	r->state.cr4 = CR4_PSE;
	rig_enter(r);
	assert_int_equal(gpa_of(r, 0x401234, ACC_READ), 0x801234);
	assert_int_equal(sys_write_cr(r->v, 4, 0), STEP_OK);
	assert_int_equal(gpa_of(r, 0x401234, ACC_READ), 0x79234);
	assert_int_equal(sys_write_cr(r->v, 4, CR4_PSE), STEP_OK);
	assert_int_equal(walks(r, 0x401234, ACC_READ), 0);
	/* Bit 21 of a 4M entry is reserved. */
	bt_code_write(r->v, RIG_PML4 + 4, 4);
	memcpy(rig_at(r, RIG_PML4 + 4), &(uint32_t){ 0xa00000 | 7 | PTE_PS | PTE_A }, 4);
	load_cr3(r, RIG_PML4);
	assert_fault(r->v, mmu_walk(r->v, 0x401234, ACC_READ, &(struct mmu_page){ 0 }), EXC_PF, 9);
}

/* ---- stores into tables ---------------------------------------------------------------------- */

static void store_into_protected(void **state)
{
	struct rig *r = *state;
	struct tlb_entry *e;
	struct mmu_page page;
	uint64_t zaps;

	rig_long(r, 0);
	gpa_of(r, VA, ACC_READ);
	gpa_of(r, VA + 0x1000, ACC_READ);
	/* A write tag that was there before has to go. */
	assert_int_equal(tlb_fill(r->v, RIG_PT, ACC_WRITE, &e, &page), STEP_OK);
	assert_false(is_protected(r, RIG_PT));
	for (int i = 0; i < 8 && !is_protected(r, RIG_PT); i++) {
		load_cr3(r, RIG_PML4); /* drops the tag, too: not so shadow_flush */
		assert_int_equal(tlb_fill(r->v, RIG_PT, ACC_READ, &e, &page), STEP_OK);
		assert_true(e && (e->tag_w == RIG_PT || is_protected(r, RIG_PT)));
		shadow_flush(r->v);
	}
	assert_true(is_protected(r, RIG_PT));
	assert_int_not_equal(e->tag_w, RIG_PT);
	assert_int_equal(e->tag_r, RIG_PT);
	zaps = stats(r).zaps;
	store64(r, PTE_OF(VA), 0x77000 | 7);
	assert_false(is_protected(r, RIG_PT));
	assert_int_equal(stats(r).writes, 1);
	assert_int_equal(e->tag_w, RIG_PT);
	store64(r, PTE_OF(VA), 0x78000 | 7); /* as fast as any */
	assert_int_equal(sys_invlpg(r->v, VA), STEP_OK);
	assert_int_equal(stats(r).zaps, zaps + 1);
	assert_int_equal(gpa_of(r, VA, ACC_READ), 0x78000);
	assert_int_equal(walks(r, VA + 0x1000, ACC_READ), 0);
}

static void several_write_tags(void **state)
{
	struct rig *r = *state;
	struct tlb_entry *e[3];
	struct mmu_page page;
	const uint64_t at[3] = { RIG_PT, VA, VA + 0x5000 };

	rig_long(r, 0);
	rig_put64(r, PTE_OF(VA), RIG_PT | 7);
	rig_put64(r, PTE_OF(VA + 0x5000), RIG_PT | 7);
	for (int i = 0; i < 3; i++)
		assert_int_equal(tlb_fill(r->v, at[i], ACC_WRITE | (i == 2 ? ACC_USER : 0), &e[i], &page), STEP_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(e[i]->tag_w, at[i]);
	for (int i = 0; i < 8; i++)
		shadow_flush(r->v);
	assert_true(is_protected(r, RIG_PT));
	for (int i = 0; i < 3; i++)
		assert_int_not_equal(e[i]->tag_w, at[i]);
}

static void upper_entries(void **state)
{
	struct rig *r = *state;
	uint64_t pages;

	rig_long(r, 0);
	gpa_of(r, 0x200000, ACC_READ);
	gpa_of(r, VA, ACC_READ);
	settle(r);
	pages = stats(r).pages;
	/* Another page table, then a large page; invlpg for any address forgets upper entries. */
	memset(rig_at(r, 0x70000), 0, 4096);
	rig_put64(r, 0x70000 + 8, 0x79000 | 7);
	store64(r, RIG_PD + 8, 0x70000 | 7);
	assert_int_equal(sys_invlpg(r->v, VA), STEP_OK);
	assert_int_equal(gpa_of(r, 0x201234, ACC_READ), 0x79234);
	assert_int_equal(stats(r).pages, pages + 1);
	store64(r, RIG_PD + 8, 0x400000 | 0x87);
	assert_int_equal(sys_invlpg(r->v, VA), STEP_OK);
	assert_int_equal(gpa_of(r, 0x201234, ACC_READ), 0x401234);
	assert_int_equal(stats(r).pages, pages);          /* what nothing leads to is gone */
	assert_false(is_protected(r, 0x70000));
	/* Rights that an upper entry loses. */
	settle(r);
	store64(r, RIG_PDPT, RIG_PD | 5);
	load_cr3(r, RIG_PML4);
	assert_fault(r->v, mmu_walk(r->v, VA, ACC_WRITE, &(struct mmu_page){ 0 }), EXC_PF, 3);
	/* Not present to present needs no invalidation, nor does a right more than before. */
	rig_put64(r, PTE_OF(VA), 0);
	assert_fault(r->v, mmu_walk(r->v, VA, ACC_READ, &(struct mmu_page){ 0 }), EXC_PF, 0);
	rig_put64(r, RIG_PDPT, RIG_PD | 7);
	store64(r, PTE_OF(VA), 0x79000 | 7);
	assert_int_equal(gpa_of(r, VA, ACC_WRITE), 0x79000);
}

static void from_outside(void **state)
{
	struct rig *r = *state;
	uint64_t entry = 0x79000 | 7;

	rig_long(r, 0);
	gpa_of(r, VA, ACC_READ);
	settle(r);
	assert_true(is_protected(r, RIG_PT));
	memcpy(rig_at(r, PTE_OF(VA)), &entry, 8);
	shadow_changed(r->v, PTE_OF(VA), false);
	assert_int_equal(gpa_of(r, VA, ACC_READ), 0x79000);
	/* The table is another page now. */
	entry = 0x7a000 | 7;
	memcpy(rig_at(r, PTE_OF(VA)), &entry, 8);
	shadow_changed(r->v, RIG_PT, true);
	assert_int_equal(gpa_of(r, VA, ACC_READ), 0x7a000);
	/* A hole: not kept, and what is there is what a hole reads as. */
	r->mem.kind[RIG_PT >> PAGE_SHIFT] = MEM_NONE;
	shadow_changed(r->v, RIG_PT, true);
	assert_fault(r->v, mmu_walk(r->v, VA, ACC_READ, &(struct mmu_page){ 0 }), EXC_PF, 9);
	r->mem.kind[RIG_PT >> PAGE_SHIFT] = MEM_ROM;
	assert_int_equal(walks(r, VA, ACC_READ), 1);
	assert_int_equal(walks(r, VA, ACC_READ), 1);
}

static void table_that_is_code(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	gpa_of(r, VA, ACC_READ);
	settle(r);
	r->mem.code[RIG_PT >> PAGE_SHIFT] |= MEM_CODE;
	r->covers = true;
	store64(r, PTE_OF(VA), 0x79000 | 7);
	assert_true(r->invalidations > 0);
	assert_int_equal(r->mem.code[RIG_PT >> PAGE_SHIFT], MEM_CODE);
	assert_int_equal(sys_invlpg(r->v, VA), STEP_OK);
	assert_int_equal(gpa_of(r, VA, ACC_READ), 0x79000);
}

/* A table that was taken out, changed and put back needs no more than what taking it out did. */
static void linked_again(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	memset(rig_at(r, 0x70000), 0, 4096);
	rig_put64(r, 0x70000, 0x71000 | 7);
	rig_put64(r, 0x70000 + 8, 0x79000 | 7);
	rig_put64(r, RIG_PD + 8, 0x70000 | 7);
	rig_put64(r, RIG_PD + 16, 0x70000 | 7);
	assert_int_equal(gpa_of(r, 0x201000, ACC_READ), 0x79000);
	assert_int_equal(gpa_of(r, 0x401000, ACC_READ), 0x79000);
	for (uint64_t frame = 0x7a000; frame < 0x80000; frame += 0x1000) {
		store64(r, RIG_PD + 16, 0);
		assert_int_equal(sys_invlpg(r->v, 0x401000), STEP_OK);
		store64(r, 0x70000 + 8, frame | 7);
		store64(r, RIG_PD + 16, 0x70000 | 7);
		assert_int_equal(gpa_of(r, 0x400000, ACC_READ), 0x71000); /* links the table */
		assert_int_equal(gpa_of(r, 0x401000, ACC_READ), frame);
		settle(r);
	}
}

/* The top-level table maps itself: one page is a table of every level. */
static void recursive(void **state)
{
	const uint64_t slot = 510, window = 0xffff000000000000ull | slot << 39;
	struct rig *r = *state;
	uint64_t value = 0x79000 | 7, pte = window | (uint64_t)VA >> 9;

	rig_long(r, 0);
	rig_put64(r, RIG_PML4 + slot * 8, RIG_PML4 | 7);
	gpa_of(r, VA, ACC_READ);
	assert_int_equal(gpa_of(r, pte, ACC_READ), PTE_OF(VA));
	assert_int_equal(gpa_of(r, window | slot << 30 | slot << 21 | slot << 12, ACC_READ), RIG_PML4);
	settle(r);
	assert_true(is_protected(r, RIG_PML4));
	assert_true(is_protected(r, RIG_PT));
	assert_int_equal(walks(r, pte, ACC_READ), 0);
	assert_int_equal(mmu_write(r->v, pte, &value, 8, 0), STEP_OK);
	assert_int_equal(sys_invlpg(r->v, VA), STEP_OK);
	assert_int_equal(gpa_of(r, VA, ACC_READ), 0x79000);
	/* Closing the window takes all of it down, and the root with its own role stays. */
	store64(r, RIG_PML4 + slot * 8, 0);
	load_cr3(r, RIG_PML4);
	assert_int_equal(walks(r, VA, ACC_READ), 0);
	assert_fault(r->v, mmu_walk(r->v, pte, ACC_READ, &(struct mmu_page){ 0 }), EXC_PF, 0);
	assert_int_equal(stats(r).pages, 4);
}

/* ---- bounds ----------------------------------------------------------------------------------- */

static void eviction(void **state)
{
	struct rig *r = *state;

	rig_long(r, 0);
	shadow_detach(r->v);
	shadow_destroy(r->shadow);
	r->shadow = shadow_create(&r->mem, 64);
	assert_non_null(r->shadow);
	assert_int_equal(shadow_attach(r->v, r->shadow), 0);
	/* 400 page tables, each mapping its own number. */
	for (unsigned i = 0; i < 400; i++) {
		rig_put64(r, RIG_PD + i % 512 * 8, (0x200000 + i * 0x1000ull) | 7);
		rig_put64(r, 0x200000 + i * 0x1000ull, (0x400000 + i * 0x1000ull) | 7);
	}
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 400; i++) {
			assert_int_equal(gpa_of(r, i * 0x200000ull, ACC_READ), 0x400000 + i * 0x1000ull);
			assert_int_equal(gpa_of(r, 0, ACC_READ), 0x400000); /* always in use */
			assert_true(stats(r).pages <= 64);
			if (i % 7 == 0)
				shadow_flush(r->v);
		}
	assert_true(stats(r).evicted > 1000);
	shadow_clear(r->v);
	assert_int_equal(stats(r).pages, 0);
	for (uint64_t i = 0; i < RIG_MEM >> PAGE_SHIFT; i++)
		assert_int_equal(r->mem.code[i], 0);
	assert_int_equal(gpa_of(r, 0, ACC_READ), 0x400000);
}

/* ---- all modes, against the walk ----------------------------------------------------------------- */

enum mode { MODE_LONG, MODE_PAE, MODE_PSE, MODE_PLAIN };

#define TABLES 0x100000u /* 16 pages that tables, and tables of tables, are made of */
#define N_TABLES 16u

static uint64_t rng(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Entries lead to one of the tables, mostly; few places are used, so that much meets. */
static uint64_t random_entry(uint64_t *s, enum mode mode)
{
	uint64_t e = (TABLES + rng(s) % N_TABLES * 0x1000) | (rng(s) % 8 ? PTE_P : 0) | (rng(s) & (PTE_W | PTE_U | PTE_D | 0x100));

	if (rng(s) % 6 == 0)
		e |= PTE_PS;
	if (mode < MODE_PSE && rng(s) % 8 == 0)
		e |= 1ull << 63;
	if (mode < MODE_PSE && rng(s) % 32 == 0)
		e |= 1ull << (rng(s) % 2 ? 52 + rng(s) % 10 : 51);
	if (e & PTE_PS && rng(s) % 4)
		e &= mode < MODE_PSE ? ~0x1ff000ull : ~0x3ff000ull;
	return mode < MODE_PSE ? e : (uint32_t)e;
}

/* The first few, the last, and with 32-bit entries the same in the other half. */
static uint64_t random_index(uint64_t *s, enum mode mode)
{
	uint64_t i = rng(s) % 3 ? rng(s) % 3 : 511;

	return mode >= MODE_PSE && rng(s) % 3 == 0 ? 512 + i : i;
}

static uint64_t random_va(uint64_t *s, enum mode mode)
{
	uint64_t va = 0;
	unsigned bits = mode < MODE_PSE ? 9 : 10;

	for (unsigned shift = 12, i = 0; i < 4 && shift < 48; i++, shift += bits)
		va |= random_index(s, mode) << shift;
	va |= rng(s) & 0xfff;
	return mode == MODE_LONG ? (uint64_t)((int64_t)(va << 16) >> 16) : (uint32_t)va;
}

/* The same question with and without the shadow. A and D go the same way. */
static void compare_one(struct rig *r, uint64_t va, unsigned access)
{
	struct mmu_page with = { 0 }, without = { 0 };
	struct bt_exc exc = { 0 };
	struct shadow *spt = r->v->spt;
	enum bt_step a, b;

	r->v->spt = NULL;
	a = mmu_walk(r->v, va, access | ACC_NOFAULT, &without);
	r->v->spt = spt;
	b = mmu_walk(r->v, va, access, &with);
	assert_int_equal(a, b);
	if (b == STEP_FAULT) {
		exc = r->v->exc;
		r->v->spt = NULL;
		assert_int_equal(mmu_walk(r->v, va, access, &without), STEP_FAULT);
		r->v->spt = spt;
		assert_memory_equal(&exc, &r->v->exc, sizeof(exc));
		return;
	}
	assert_int_equal(with.gpa, without.gpa);
	assert_int_equal(with.size, without.size);
	assert_int_equal(with.user, without.user);
	assert_int_equal(with.global, without.global);
	assert_int_equal(with.exec, without.exec);
	/* D is set by now if this was a write. The shadow may not know of a D that came another way. */
	r->v->spt = NULL;
	assert_int_equal(mmu_walk(r->v, va, access | ACC_NOFAULT, &without), STEP_OK);
	r->v->spt = spt;
	assert_true(!with.writable || without.writable);
	assert_true(with.writable || !(access & ACC_WRITE));
}

static void change_table(struct rig *r, uint64_t *s, enum mode mode)
{
	uint64_t table = TABLES + rng(s) % N_TABLES * 0x1000, value = random_entry(s, mode);
	uint64_t i = random_index(s, mode);

	/* As mmu_write does when the TLB has nothing. */
	if (mode < MODE_PSE) {
		bt_code_write(r->v, table + i * 8, 8);
		memcpy(rig_at(r, table + i * 8), &value, 8);
	} else {
		bt_code_write(r->v, table + i * 4, 4);
		memcpy(rig_at(r, table + i * 4), &value, 4);
	}
}

static void enter_mode(struct rig *r, enum mode mode, uint64_t root)
{
	rig_state(r, mode == MODE_LONG, 0);
	r->state.cr0 |= CR0_PG;
	r->state.cr3 = root;
	r->state.cr4 = (mode < MODE_PSE ? CR4_PAE : 0) | (mode == MODE_PSE ? CR4_PSE : 0) | CR4_PGE;
	if (mode != MODE_LONG)
		r->state.efer = mode == MODE_PAE ? EFER_NXE : 0;
	rig_enter(r);
}

static void random_mode(struct rig *r, enum mode mode, uint64_t seed)
{
	static const unsigned kinds[] = { ACC_READ, ACC_WRITE, ACC_EXEC, ACC_READ | ACC_USER, ACC_WRITE | ACC_USER };
	uint64_t s = seed, root = TABLES;

	memset(rig_at(r, TABLES), 0, N_TABLES * 4096);
	for (unsigned i = 0; i < 200; i++)
		change_table(r, &s, mode);
	/* PDPTEs have rules of their own. */
	for (uint64_t i = 0; mode == MODE_PAE && i < 4; i++)
		rig_put64(r, RIG_PDPT + i * 8, (TABLES + i * 0x1000) | PTE_P);
	enter_mode(r, mode, mode == MODE_PAE ? RIG_PDPT : root);
	for (unsigned turn = 0; turn < 3000; turn++) {
		uint64_t va = random_va(&s, mode);
		unsigned n = rng(&s) % 8 ? 0 : (unsigned)(rng(&s) % 4);

		for (unsigned i = 0; i < n; i++)
			change_table(r, &s, mode);
		if (n && rng(&s) % 2) {
			mmu_flush_page(r->v, va);
			compare_one(r, va, kinds[rng(&s) % 5]);
			mmu_flush(r->v, rng(&s) % 2);
		} else if (rng(&s) % 8 == 0 && mode != MODE_PAE) {
			root = TABLES + rng(&s) % 3 * 0x1000;
			load_cr3(r, root);
		} else if (n || rng(&s) % 16 == 0) {
			mmu_flush(r->v, rng(&s) % 2);
		}
		for (unsigned i = 0; i < 4; i++)
			compare_one(r, i ? random_va(&s, mode) : va, kinds[rng(&s) % 5]);
	}
	assert_true(stats(r).protected > 10);
	assert_true(stats(r).writes > 10);
	assert_true(stats(r).zaps > 10);
}

static void random_long(void **state)
{
	for (uint64_t seed = 1; seed < 40; seed++)
		random_mode(*state, MODE_LONG, seed);
}

static void random_pae(void **state)
{
	for (uint64_t seed = 1; seed < 40; seed++)
		random_mode(*state, MODE_PAE, seed);
}

static void random_32(void **state)
{
	for (uint64_t seed = 1; seed < 40; seed++)
		random_mode(*state, seed % 2 ? MODE_PSE : MODE_PLAIN, seed);
}

/* From mode to mode over the same pages: roles keep them apart. */
static void modes_in_turn(void **state)
{
	for (uint64_t seed = 10; seed < 42; seed++)
		random_mode(*state, (enum mode)(seed % 4), seed);
}

/*
 * Page tables that go from place to place in two directories, and these between
 * two roots, with no more invalidations than the manual asks for: what was taken
 * out or changed where it is in force, by address.
 */
#define SLOTS 6u
#define PLACE_PD(pd) (TABLES + 0x8000 + (pd) * 0x1000)
#define PLACE_PDPT(root) ((root) ? 0x6000u : RIG_PDPT)
#define PLACE_VA(slot, page) ((uint64_t)(slot) << 21 | (uint64_t)(page) << 12)

struct places {
	struct rig *r;
	uint64_t s;
	unsigned root, pd[2];  /* the directory of each */
	uint64_t at[2][SLOTS]; /* the table there, or 0 */
};

static void place(struct places *p, unsigned pd, unsigned slot, uint64_t table)
{
	store64(p->r, PLACE_PD(pd) + slot * 8, table ? table | 7 : 0);
	p->at[pd][slot] = table;
}

static void invalidate(struct places *p, unsigned slot)
{
	for (unsigned page = 0; page < 4; page++)
		assert_int_equal(sys_invlpg(p->r->v, PLACE_VA(slot, page)), STEP_OK);
}

static void take_out(struct places *p, unsigned pd, unsigned slot)
{
	place(p, pd, slot, 0);
	if (pd == p->pd[p->root])
		invalidate(p, slot);
}

static void change_directory(struct places *p)
{
	p->pd[p->root] = !p->pd[p->root];
	store64(p->r, PLACE_PDPT(p->root), PLACE_PD(p->pd[p->root]) | 7);
	for (unsigned slot = 1; slot < SLOTS; slot++)
		invalidate(p, slot);
}

static void change_entry(struct places *p, uint64_t table)
{
	unsigned page = (unsigned)(rng(&p->s) % 4);

	store64(p->r, table + page * 8, rng(&p->s) % 4 ? (0x10000 + rng(&p->s) % 64 * 0x1000) | 7 : 0);
	for (unsigned slot = 1; slot < SLOTS; slot++)
		if (p->at[p->pd[p->root]][slot] == table)
			assert_int_equal(sys_invlpg(p->r->v, PLACE_VA(slot, page)), STEP_OK);
}

static void go_to_root(struct places *p, unsigned root)
{
	p->root = root;
	load_cr3(p->r, root ? PML4_B : RIG_PML4);
}

static void places_turn(struct places *p)
{
	unsigned slot = 1 + (unsigned)(rng(&p->s) % (SLOTS - 1)), page = (unsigned)(rng(&p->s) % 4);
	unsigned pd = rng(&p->s) % 4 ? p->pd[p->root] : !p->pd[p->root];
	uint64_t table = TABLES + rng(&p->s) % 4 * 0x1000;

	switch (rng(&p->s) % 16) {
	case 0: go_to_root(p, !p->root); break;
	case 1: change_directory(p); break;
	case 2: case 3: case 4: change_entry(p, table); break;
	case 5: case 6: take_out(p, pd, slot); break;
	case 7: case 8:
		if (!p->at[pd][slot])
			place(p, pd, slot, table);
		break;
	default:
		compare_one(p->r, PLACE_VA(slot, page), rng(&p->s) % 2 ? ACC_READ : ACC_WRITE);
	}
}

static void moving_tables(void **state)
{
	struct rig *r = *state;

	for (uint64_t seed = 1; seed < 20; seed++) {
		struct places p = { .r = r, .s = seed, .pd = { 0, 1 } };

		rig_long(r, 0);
		memset(rig_at(r, TABLES), 0, N_TABLES * 4096);
		for (unsigned root = 0; root < 2; root++) {
			uint64_t pml4 = root ? PML4_B : RIG_PML4, pdpt = PLACE_PDPT(root);

			memcpy(rig_at(r, PLACE_PD(root)), rig_at(r, RIG_PD), 4096);
			for (unsigned slot = 1; slot < SLOTS; slot++)
				rig_put64(r, PLACE_PD(root) + slot * 8, 0);
			rig_put64(r, pml4, pdpt | 7);
			rig_put64(r, pdpt, PLACE_PD(root) | 7);
		}
		mmu_flush(r->v, true);
		for (unsigned turn = 0; turn < 20000; turn++)
			places_turn(&p);
		go_to_root(&p, 0);
	}
}

static void large_pages_32(void **state)
{
	struct rig *r = *state;

	rig_put32(r, RIG_PML4 + 4, 0x800000 | 7 | PTE_PS);          /* 4M at 4M */
	rig_put32(r, RIG_PML4 + 8, 0x400000 | 7 | PTE_PS | 1 << 13); /* beyond 4 GiB: PSE-36 */
	rig_put32(r, RIG_PML4, 0x7000 | 7);
	rig_put32(r, 0x7000 + 0x3ff * 4, 0x79000 | 7);
	rig_put32(r, 0x7000 + 4, RIG_PML4 | 7);
	enter_mode(r, MODE_PSE, RIG_PML4);
	assert_int_equal(gpa_of(r, 0x612345, ACC_READ), 0xa12345); /* the upper half of the 4M page */
	assert_int_equal(walks(r, 0x6fffff, ACC_READ), 0);
	assert_int_equal(gpa_of(r, 0x412345, ACC_READ), 0x812345);
	assert_int_equal(gpa_of(r, 0x812345, ACC_READ), 0x100412345);
	assert_int_equal(gpa_of(r, 0x3ff123, ACC_READ), 0x79123);
	assert_int_equal(walks(r, 0x3ff123, ACC_READ), 0);
	settle(r);
	assert_true(is_protected(r, RIG_PML4));
	assert_true(is_protected(r, 0x7000));
	store32(r, 0x1000 + 4, 0); /* through the second entry of the page table, which maps the directory */
	assert_false(is_protected(r, RIG_PML4));
	load_cr3(r, RIG_PML4);
	assert_fault(r->v, mmu_walk(r->v, 0x612345, ACC_READ, &(struct mmu_page){ 0 }), EXC_PF, 0);
	assert_fault(r->v, mmu_walk(r->v, 0x412345, ACC_READ, &(struct mmu_page){ 0 }), EXC_PF, 0);
	assert_int_equal(walks(r, 0x812345, ACC_READ), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHADOW_TEST(kept_over_cr3),      SHADOW_TEST(control_bits_cost_nothing), SHADOW_TEST(accessed_and_dirty),
		SHADOW_TEST(roles),              SHADOW_TEST(roles_32),
		SHADOW_TEST(store_into_protected), SHADOW_TEST(several_write_tags),      SHADOW_TEST(upper_entries),
		SHADOW_TEST(from_outside),       SHADOW_TEST(table_that_is_code),        SHADOW_TEST(recursive),
		SHADOW_TEST(eviction),           SHADOW_TEST(large_pages_32),            SHADOW_TEST(random_long),
		SHADOW_TEST(random_pae),         SHADOW_TEST(random_32),                 SHADOW_TEST(modes_in_turn),
		SHADOW_TEST(linked_again),       SHADOW_TEST(moving_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
