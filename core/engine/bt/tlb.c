/* SPDX-License-Identifier: MIT */
/*
 * The soft TLB: filling it and emptying it.
 *
 * Every filled index is in a dirty list, one for global and one for other
 * mappings, so that a CR3 write costs what was filled since the last one. An
 * entry's two LISTED bits say in which lists its index is, and follow the lists
 * alone: invlpg takes the tags away and leaves the bits, a refill with the
 * other kind of mapping adds the index to the other list, and a flush of one
 * list clears just its bit. So an index is never twice in a list (which bounds
 * a list by TLB_SIZE), and a valid entry is always in the list of its kind.
 *
 * A large page enters as one 4K entry for each part that was touched. invlpg
 * on one of them must drop them all, and nothing else: they have a flag, and a
 * filter says whether an address can be mapped by a large page at all. Within
 * the table the parts of a 2M page are 512 neighbours. Pages of 1G and large
 * pages with code are so seldom changed that a hull of them will do, within
 * which everything is dropped.
 */
#include "engine/bt/mmu.h"

/*
 * A device's page has no host address and so no entry, and each of its accesses
 * walks three times: when it misses, when the interpreter asks the core, and
 * when the instruction is run again. The last such page is kept, of the kernel
 * alone, where neither SMAP nor keys have a say, until anything is flushed.
 */
static bool device_again(const struct bt_vcpu *v, uint64_t va, unsigned access, struct mmu_page *page)
{
	const struct bt_device_page *d = &v->device_page;

	if (!d->valid || d->va != (va & PAGE_MASK) || (access & ~(unsigned)(ACC_WRITE | ACC_IMPLICIT)))
		return false;
	if (((access & ACC_WRITE) && !d->writable) || mem_kind(v->mem, d->gpa) != MEM_NONE)
		return false;
	*page = (struct mmu_page){ .gpa = d->gpa | (va & ~PAGE_MASK), .size = PAGE_SIZE, .writable = d->writable };
	return true;
}

static void device_note(struct bt_vcpu *v, uint64_t va, unsigned access, const struct mmu_page *page)
{
	if ((access & ~(unsigned)(ACC_WRITE | ACC_IMPLICIT)) || page->user || page->size == ~0ull || bt_is_pv(v) || v->spt ||
	    (v->cr4 & CR4_PKS))
		return;
	v->device_page = (struct bt_device_page){
		.va = va & PAGE_MASK, .gpa = page->gpa & PAGE_MASK, .valid = true, .writable = page->writable };
}

static inline uint32_t tlb_index(uint64_t va)
{
	return (uint32_t)(va >> PAGE_SHIFT) & (TLB_SIZE - 1);
}

static inline void entry_drop(struct tlb_entry *e, uint32_t index)
{
	e->tag_r = e->tag_w = tlb_invalid(index);
}

/*
 * SMAP. With AC set the kernel may reach user pages: such an entry of its table
 * is noted here, and when AC goes its tags go, and come back with it. What is
 * hidden is forgotten by every flush, and a refill of the entry drops the
 * flag, so that nothing comes back which is no longer so.
 */
static void smap_forget(struct bt_vcpu *v)
{
	if (!v->smap.open)
		v->smap.n = 0;
}

static void smap_hide(struct bt_vcpu *v)
{
	struct bt_smap *s = &v->smap;
	unsigned n = 0;

	for (unsigned i = 0; i < s->n; i++) {
		uint16_t index = s->page[i].index;
		struct tlb_entry *e = &v->tlb[TLB_KERNEL][index];

		if (!(e->flags & TLB_SMAP) || e->tag_r == tlb_invalid(index))
			continue;
		s->page[n].index = index;
		s->page[n].tag = e->tag_r;
		s->page[n++].writable = e->tag_w == e->tag_r;
		entry_drop(e, index);
	}
	s->n = (uint8_t)n;
}

static void smap_show(struct bt_vcpu *v)
{
	struct bt_smap *s = &v->smap;

	for (unsigned i = 0; i < s->n; i++) {
		struct tlb_entry *e = &v->tlb[TLB_KERNEL][s->page[i].index];

		if (!(e->flags & TLB_SMAP))
			continue;
		e->tag_r = s->page[i].tag;
		if (s->page[i].writable)
			e->tag_w = s->page[i].tag;
	}
}

void tlb_smap(struct bt_vcpu *v, bool open)
{
	if (v->smap.open == open)
		return;
	v->smap.open = open;
	if (open)
		smap_show(v);
	else
		smap_hide(v);
}

/* Noted while open: nothing else fills such an entry. When there are too many, all of them are dropped. */
static void smap_note(struct bt_vcpu *v, uint32_t index)
{
	struct bt_smap *s = &v->smap;

	if (s->n == SMAP_MAX) {
		smap_hide(v);
		s->n = 0;
	}
	s->page[s->n++].index = (uint16_t)index;
}

static void hulls_clear(struct bt_vcpu *v)
{
	for (int i = 0; i < 2; i++) {
		v->hull_lo[i] = ~0ull;
		v->hull_hi[i] = 0;
	}
}

void tlb_init(struct bt_vcpu *v)
{
	for (int t = 0; t < 2; t++) {
		for (uint32_t i = 0; i < TLB_SIZE; i++) {
			struct tlb_entry *e = &v->tlb[t][i];

			entry_drop(e, i);
			e->host = 0;
			e->gpa_page = 0;
			e->flags = 0;
		}
		v->tlb_listed[t][0] = v->tlb_listed[t][1] = 0;
	}
	hulls_clear(v);
}

void hull_add(struct bt_vcpu *v, enum tlb_hull hull, uint64_t va, uint64_t size)
{
	uint64_t lo = va & ~(size - 1), hi = lo + (size - 1);

	if (lo < v->hull_lo[hull])
		v->hull_lo[hull] = lo;
	if (hi > v->hull_hi[hull])
		v->hull_hi[hull] = hi;
}

static inline bool in_hull(const struct bt_vcpu *v, enum tlb_hull hull, uint64_t va)
{
	return va >= v->hull_lo[hull] && va <= v->hull_hi[hull];
}

#define LARGE_SHIFT 22 /* of 2M two at a time */

/* Returns the entry's flag. */
static uint32_t large_add(struct bt_vcpu *v, uint64_t va, const struct mmu_page *page)
{
	if (page->size == PAGE_SIZE || page->size == ~0ull)
		return 0;
	if (page->size > 1ull << LARGE_SHIFT) {
		hull_add(v, HULL_1G, va, page->size);
		return 0;
	}
	page_filter_add(&v->large[page->global], va >> LARGE_SHIFT);
	return TLB_LARGE;
}

static inline bool may_be_large(const struct bt_vcpu *v, uint64_t va)
{
	return page_filter_has(&v->large[0], va >> LARGE_SHIFT) || page_filter_has(&v->large[1], va >> LARGE_SHIFT);
}

/* Puts the index in the list for its kind of mapping, once. Returns the entry's LISTED bits. */
static inline uint32_t list_add(struct bt_vcpu *v, int table, uint32_t index, uint32_t flags, bool global)
{
	uint32_t bit = global ? TLB_LISTED_GLOBAL : TLB_LISTED;

	flags &= TLB_LISTED | TLB_LISTED_GLOBAL;
	if (!(flags & bit))
		v->tlb_list[table][global][v->tlb_listed[table][global]++] = (uint16_t)index;
	return flags | bit;
}

/*
 * With shadow paging pages are write-protected all the time, so where a frame's
 * write tag is in either table is noted: 1 + its index. It may be gone by the
 * time that somebody looks.
 */
#define WTAG_SEVERAL UINT16_MAX

static struct tlb_entry *wtag_entry(struct bt_vcpu *v, int table, uint32_t gfn, uint16_t noted)
{
	struct tlb_entry *e = &v->tlb[table][noted - 1];

	return e->gpa_page == gfn && e->tag_w == e->tag_r && e->tag_w != tlb_invalid(noted - 1u) ? e : NULL;
}

static inline void wtag_note(struct bt_vcpu *v, int table, uint32_t gfn, uint32_t index)
{
	uint16_t *noted = &v->wtag[gfn].at[table];

	if (*noted == index + 1 || *noted == WTAG_SEVERAL)
		return;
	*noted = *noted && wtag_entry(v, table, gfn, *noted) ? WTAG_SEVERAL : (uint16_t)(index + 1);
}

/* Whether no search is needed to take the frame's write tags out of the table. */
static bool wtag_drop(struct bt_vcpu *v, int table, uint32_t gfn)
{
	uint16_t noted = v->wtag[gfn].at[table];
	struct tlb_entry *e;

	v->wtag[gfn].at[table] = 0;
	if (noted == WTAG_SEVERAL)
		return false;
	e = noted ? wtag_entry(v, table, gfn, noted) : NULL;
	if (e)
		e->tag_w = tlb_invalid(noted - 1u);
	return true;
}

static inline struct tlb_entry *entry_fill(struct bt_vcpu *v, uint64_t va, int table, const struct mmu_page *page,
                                           bool writable)
{
	uint32_t index = tlb_index(va);
	struct tlb_entry *e = &v->tlb[table][index];
	uint64_t tag = va & PAGE_MASK;

	e->flags = list_add(v, table, index, e->flags, page->global) | (page->global ? TLB_GLOBAL : 0) |
	           (page->exec ? TLB_EXEC : 0) | (page->smap ? TLB_SMAP : 0) | large_add(v, va, page);
	e->host = (uint64_t)(uintptr_t)v->mem->base + (page->gpa & PAGE_MASK);
	e->gpa_page = (uint32_t)(page->gpa >> PAGE_SHIFT);
	e->tag_r = tag;
	e->tag_w = writable ? tag : tlb_invalid(index);
	if (page->smap)
		smap_note(v, index);
	if (writable && v->wtag)
		wtag_note(v, table, e->gpa_page, index);
	return e;
}

enum bt_step tlb_fill(struct bt_vcpu *v, uint64_t va, unsigned access, struct tlb_entry **entry, struct mmu_page *page)
{
	enum mem_kind kind;
	enum bt_step step;
	bool fixed;

	*entry = NULL;
	if (!bt_long_mode(v))
		va = (uint32_t)va;
	if (device_again(v, va, access, page))
		return STEP_OK;
again:
	step = mmu_walk(v, va, access, page);
	if (step != STEP_OK)
		return step;
	kind = mem_kind(v->mem, page->gpa);
	if (kind == MEM_NONE) {
		device_note(v, va, access, page);
		return STEP_OK;
	}
	if (page->writable)
		bt_note_writer(v, page->gpa);
	if (v->spt && (access & ACC_WRITE) && shadow_holds(v, page->gpa)) {
		shadow_release_slow(v, page->gpa);
		goto again;
	}
	fixed = kind == MEM_ROM ||
	        atomic_load_explicit(&v->mem->code[page->gpa >> PAGE_SHIFT], memory_order_relaxed);
	if ((access & ACC_WRITE) && fixed)
		return STEP_OK;
	if (access & ACC_NOFAULT)
		return STEP_OK; /* the accessed bit was not set: such a mapping may not be kept */
	if (bt_is_pv(v) && !(access & ACC_USER))
		return STEP_OK; /* its tables are for ring 3 */
	*entry = entry_fill(v, va, mmu_table(v, access), page, page->writable && !fixed);
	return STEP_OK;
}

static void flush_list(struct bt_vcpu *v, int table, bool global, bool all)
{
	uint32_t bit = global ? TLB_LISTED_GLOBAL : TLB_LISTED;
	uint16_t *list = v->tlb_list[table][global];
	uint32_t n = v->tlb_listed[table][global];

	for (uint32_t i = 0; i < n; i++) {
		struct tlb_entry *e = &v->tlb[table][list[i]];

		e->flags &= ~bit;
		if (all || !(e->flags & TLB_GLOBAL))
			entry_drop(e, list[i]);
	}
	v->tlb_listed[table][global] = 0;
}

static void forget_tables(struct bt_vcpu *v, int table)
{
	for (unsigned i = 0; i < PV_TABLES; i++)
		v->pv.tables[table][i].host = NULL;
}

void tlb_flush(struct bt_vcpu *v, bool global)
{
	v->n_flush++;
	v->device_page.valid = false;
	smap_forget(v);
	for (int t = 0; t < 2; t++) {
		flush_list(v, t, false, global);
		if (global)
			flush_list(v, t, true, true);
	}
	if (global || v->large[0].n > PAGE_FILTER_STALE)
		page_filter_clear(&v->large[0]);
	if (global) {
		page_filter_clear(&v->large[1]);
		hulls_clear(v);
		v->pkeys_seen = 0;
	}
	jc_flush(v, global);
	forget_tables(v, TLB_KERNEL);
	forget_tables(v, TLB_USER);
}

void tlb_flush_table(struct bt_vcpu *v, int table, bool global)
{
	v->n_flush++;
	v->device_page.valid = false;
	flush_list(v, table, false, global);
	if (global)
		flush_list(v, table, true, true);
	jc_flush_class(v, (unsigned)table, global);
	forget_tables(v, table);
}

/* Drops whatever a large page of 2M, or of 4M in 32-bit paging, may have left behind. */
static void flush_large(struct bt_vcpu *v, uint64_t va)
{
	uint64_t size = v->cr4 & CR4_PAE ? 0x200000 : 0x400000, base = va & ~(size - 1);
	uint32_t first = tlb_index(base), n = (uint32_t)(size >> PAGE_SHIFT);

	for (int t = 0; t < 2; t++)
		for (uint32_t i = first; i < first + n; i++)
			if ((v->tlb[t][i].tag_r ^ base) < size && (v->tlb[t][i].flags & TLB_LARGE))
				entry_drop(&v->tlb[t][i], i);
}

static void drop_page(struct bt_vcpu *v, uint64_t page)
{
	uint32_t index = tlb_index(page);

	v->device_page.valid = false;
	smap_forget(v);
	for (int t = 0; t < 2; t++) {
		if (v->tlb[t][index].tag_r == page)
			entry_drop(&v->tlb[t][index], index);
		if (v->pv.tables[t][index % PV_TABLES].va == page)
			v->pv.tables[t][index % PV_TABLES].host = NULL;
	}
}

void tlb_drop_data(struct bt_vcpu *v, uint64_t va)
{
	drop_page(v, va & PAGE_MASK);
}

void tlb_flush_page(struct bt_vcpu *v, uint64_t va)
{
	uint64_t page = (bt_long_mode(v) ? va : (uint32_t)va) & PAGE_MASK;

	if (in_hull(v, HULL_1G, page)) {
		tlb_flush(v, true);
		return;
	}
	drop_page(v, page);
	if (may_be_large(v, page))
		flush_large(v, page);
	if (in_hull(v, HULL_CODE, page))
		jc_flush(v, true);
	else
		jc_flush_page(v, page);
}

static void protect_list(struct bt_vcpu *v, int table, int kind, uint32_t gfn, bool all)
{
	const uint16_t *list = v->tlb_list[table][kind];

	for (uint32_t i = 0; i < v->tlb_listed[table][kind]; i++) {
		struct tlb_entry *e = &v->tlb[table][list[i]];

		if (e->gpa_page != gfn)
			continue;
		e->tag_w = tlb_invalid(list[i]);
		if (all)
			e->tag_r = tlb_invalid(list[i]);
	}
}

void tlb_protect_gpa(struct bt_vcpu *v, uint64_t gpa, bool all)
{
	smap_forget(v);
	for (int t = 0; t < 2; t++) {
		if (!all && v->wtag && wtag_drop(v, t, (uint32_t)(gpa >> PAGE_SHIFT)))
			continue;
		for (int kind = 0; kind < 2; kind++)
			protect_list(v, t, kind, (uint32_t)(gpa >> PAGE_SHIFT), all);
	}
	if (all) {
		v->device_page.valid = false;
		forget_tables(v, TLB_KERNEL);
		forget_tables(v, TLB_USER);
	}
}
