/* SPDX-License-Identifier: MIT */
/*
 * The monitor's own pages, and the life of the memory half.
 *
 * Pseudo-physical frame i of the guest is the i-th page of its RAM; its machine
 * frame is where that page is in guest physical space. machine_to_phys is a
 * table of the monitor's, like the page tables that map it and the windows of
 * descriptor.c. All of these are one run of host pages in the gap below 4 GiB,
 * where there never is RAM, and no entry of the guest's may map them.
 *
 * Guests see them in slots of their top-level tables (pin.c): machine_to_phys,
 * read-only, where XENMEM_machphys_mapping says, and once more at the constant
 * that Xen's headers have for guests which do not ask, when the engine leaves
 * that slot free. The windows are not for ring 3.
 */
#include <stdlib.h>

#include "dm/xen/pv/pv-mmu.h"

#include "gamut/plugin.h"

#define GAP_FIRST 0xc0000000ull
#define GAP_PAGES ((0xf0000000ull - GAP_FIRST) >> XEN_PAGE_SHIFT)
#define RANGES_MAX 16u

#define M2P_SLOT 1u /* of the hole: 0xffff8080_00000000, for not every engine can have the first */
#define WINDOW_SLOT 2u

/*
 * In its own slot, guests are told of machine_to_phys at another offset than
 * 0. Where both frame numbers of a page are equal, its entries here and in the
 * guest's own table (a list that begins at a round address, too) would be in
 * pages of equal low address bits, and the two are read in turns: a TLB that
 * is indexed with those bits would miss every time.
 */
#define M2P_SHIFT_L3 1u  /* entry of the upper table */
#define M2P_SHIFT_L2 16u /* and of the one below: 32 MiB */
#define M2P_SHIFT ((uint64_t)M2P_SHIFT_L3 << 30 | (uint64_t)M2P_SHIFT_L2 << 21)
#define SLOT_SHIFT 39

#define TABLE_GUEST (PTE_P | PTE_U | PTE_A)
#define TABLE_MONITOR (PTE_P | PTE_RW | PTE_A)
#define M2P_ENTRY (PTE_P | PTE_U | PTE_A | PTE_NX)

/* The flat segments: offsets in the page of FLAT_RING3_CS32, _SS32 (and DS), _CS64; accessed. */
static const struct {
	uint32_t offset;
	uint64_t desc;
} flat[] = {
	{ 0x20, 0x00cffb000000ffff },
	{ 0x28, 0x00cff3000000ffff },
	{ 0x30, 0x00affb000000ffff },
};

/* ---- frames ---- */

static uint32_t ram_ranges(const struct pv_domain *d, struct gamut_mem_range *range)
{
	return d->env.host->mem_ranges(d->env.inst, range, RANGES_MAX);
}

static void frames_init(struct pv_domain *d)
{
	struct gamut_mem_range range[RANGES_MAX];
	uint32_t n = ram_ranges(d, range);
	uint64_t pfn = 0;

	for (uint64_t mfn = 0; mfn < d->n_mfn; mfn++) {
		d->use[mfn] = PV_NONE;
		d->m2p[mfn] = UINT64_MAX;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint64_t mfn = range[i].gpa >> XEN_PAGE_SHIFT;

		for (uint64_t end = mfn + (range[i].size >> XEN_PAGE_SHIFT); mfn < end; mfn++) {
			d->use[mfn] = PV_FREE;
			d->m2p[mfn] = pfn++;
		}
	}
	pv_zero(d->mmu->ref, d->n_mfn * sizeof(*d->mmu->ref));
	pv_zero(d->mmu->stale, d->n_mfn * sizeof(*d->mmu->stale));
}

static void ram_take(struct pv_domain *d)
{
	const struct gamut_host *host = d->env.host;

	if (d->ram)
		host->mem_put(d->env.inst, d->ram, XEN_PAGE_SIZE);
	d->ram = host->mem_get(d->env.inst, 0, XEN_PAGE_SIZE);
}

void pv_mmu_resume(struct pv_domain *d)
{
	ram_take(d);
}

void pv_machphys(const struct pv_domain *d, uint64_t *v_start, uint64_t *v_end, uint64_t *max_mfn)
{
	*v_start = d->m2p_va;
	*v_end = d->m2p_va + d->n_mfn * sizeof(*d->m2p);
	*max_mfn = d->n_mfn - 1;
}

bool pv_page_free(const struct pv_domain *d, uint64_t mfn)
{
	if (!pv_frame_ok(d, mfn) || d->mmu->ref[mfn])
		return false;
	for (uint32_t i = 0; i < d->n_vcpus; i++)
		if (((uintptr_t)d->vcpu[i].info - (uintptr_t)d->ram) >> XEN_PAGE_SHIFT == mfn)
			return false;
	return true;
}

void pv_page_gone(struct pv_domain *d, uint64_t mfn)
{
	if (!pv_frame_ok(d, mfn))
		return;
	pv_lock(d);
	__atomic_store_n(&d->use[mfn], (uint8_t)PV_NONE, __ATOMIC_RELAXED);
	d->mmu->ref[mfn] = 0;
	d->m2p[mfn] = UINT64_MAX;
	pv_unlock(d);
}

void pv_page_here(struct pv_domain *d, uint64_t mfn, uint64_t pfn)
{
	if (mfn >= d->n_mfn || pv_frame_ok(d, mfn))
		return;
	pv_lock(d);
	d->m2p[mfn] = pfn;
	__atomic_store_n(&d->use[mfn], (uint8_t)PV_FREE, __ATOMIC_RELAXED);
	pv_unlock(d);
}

/* ---- the monitor's pages ---- */

/* Where in the run what is, in pages. */
struct plan {
	uint64_t m2p, m2p_tables, window_tables, flat, zero, n;
};

static uint64_t chunks(uint64_t n, uint64_t size)
{
	return (n + size - 1) / size;
}

/* Tables of three levels for n pages, of which one table of the upper two each. */
static uint64_t tables_for(uint64_t n)
{
	return chunks(n, PT_ENTRIES) + 2;
}

static struct plan plan_pages(const struct pv_domain *d)
{
	struct plan p = { .m2p_tables = chunks(d->n_mfn * sizeof(*d->m2p), XEN_PAGE_SIZE) };

	p.window_tables = p.m2p_tables + tables_for(p.m2p_tables) + 1; /* one for the shifted view */
	p.flat = p.window_tables + tables_for((uint64_t)d->n_vcpus * WINDOW_PAGES);
	p.zero = p.flat + 1;
	p.n = p.zero + 1;
	return p;
}

/* Entries of consecutive tables from page `table` on, to n pages from `first` on. */
static void fill(const struct pv_mmu *m, uint8_t *host, uint64_t table, uint64_t first, uint64_t n, uint64_t flags)
{
	uint64_t *entry = (uint64_t *)(host + (table << XEN_PAGE_SHIFT));

	for (uint64_t i = 0; i < n; i++)
		entry[i] = (m->gpa + ((first + i) << XEN_PAGE_SHIFT)) | flags;
}

/* The upper two levels over n1 L1 tables at page l1; what goes into a slot. */
static uint64_t upper_tables(const struct pv_mmu *m, uint8_t *host, uint64_t l1, uint64_t n1, uint64_t flags)
{
	uint64_t l2 = l1 + n1, l3 = l2 + 1;

	fill(m, host, l2, l1, n1, flags);
	fill(m, host, l3, l2, 1, flags);
	return (m->gpa + (l3 << XEN_PAGE_SHIFT)) | flags;
}

/* machine_to_phys once more in the same tables, shifted. */
static void shifted_view(const struct pv_mmu *m, uint8_t *host, uint64_t l1, uint64_t n1)
{
	uint64_t l3 = l1 + n1 + 1, l2 = l3 + 1;
	uint64_t *upper = (uint64_t *)(host + (l3 << XEN_PAGE_SHIFT)), *lower = (uint64_t *)(host + (l2 << XEN_PAGE_SHIFT));

	upper[M2P_SHIFT_L3] = (m->gpa + (l2 << XEN_PAGE_SHIFT)) | TABLE_GUEST;
	for (uint64_t i = 0; i < n1; i++)
		lower[M2P_SHIFT_L2 + i] = (m->gpa + ((l1 + i) << XEN_PAGE_SHIFT)) | TABLE_GUEST;
}

/* The slot that is wished for, or the first that the engine does not want; 0: none. */
static uint32_t choose_slot(const struct pv_mmu *m, uint32_t wish)
{
	for (uint32_t i = wish; i < GAMUT_PV_HOLE_SLOTS; i++)
		if (!m->slot[i])
			return i;
	return 0;
}

static uint64_t slot_va(uint64_t slot)
{
	return 0xffff800000000000ull + (slot << SLOT_SHIFT);
}

static int place_slots(struct pv_domain *d, uint64_t m2p_entry, uint64_t window_entry)
{
	struct gamut_pv_cpu *cpu = d->cpu[0];
	const uint64_t *hole = cpu->ops->hole(cpu);
	struct pv_mmu *m = d->mmu;
	uint32_t slot;

	for (uint32_t i = 0; i < GAMUT_PV_HOLE_SLOTS; i++)
		m->slot[i] = hole[i];
	slot = choose_slot(m, M2P_SLOT);
	if (!slot)
		return -ENOSPC;
	m->slot[slot] = m->m2p_entry = m2p_entry;
	m->m2p_slot = slot;
	d->m2p_va = slot_va(slot) + M2P_SHIFT;
	slot = choose_slot(m, WINDOW_SLOT);
	if (!slot)
		return -ENOSPC;
	m->slot[slot] = window_entry;
	m->window_va = slot_va(slot);
	if (!m->slot[0])
		m->slot[0] = m2p_entry;
	return 0;
}

static int build_pages(struct pv_domain *d, const struct plan *p, uint8_t *host)
{
	struct pv_mmu *m = d->mmu;
	uint64_t m2p_l1 = chunks(p->m2p_tables, PT_ENTRIES);
	uint64_t window_l1 = chunks((uint64_t)d->n_vcpus * WINDOW_PAGES, PT_ENTRIES);

	d->m2p = (uint64_t *)host;
	m->window = (uint64_t *)(host + (p->window_tables << XEN_PAGE_SHIFT));
	m->window_gpa = m->gpa + (p->window_tables << XEN_PAGE_SHIFT);
	m->flat_gpa = m->gpa + (p->flat << XEN_PAGE_SHIFT);
	m->zero_gpa = m->gpa + (p->zero << XEN_PAGE_SHIFT);
	fill(m, host, p->m2p_tables, p->m2p, p->m2p_tables, M2P_ENTRY);
	for (uint32_t i = 0; i < sizeof(flat) / sizeof(flat[0]); i++)
		*(uint64_t *)(host + (p->flat << XEN_PAGE_SHIFT) + flat[i].offset) = flat[i].desc;
	shifted_view(m, host, p->m2p_tables, m2p_l1);
	return place_slots(d, upper_tables(m, host, p->m2p_tables, m2p_l1, TABLE_GUEST),
	                   upper_tables(m, host, p->window_tables, window_l1, TABLE_MONITOR));
}

static int make_pages(struct pv_domain *d)
{
	const struct gamut_host *host = d->env.host;
	struct plan p = plan_pages(d);
	struct pv_mmu *m = d->mmu;
	void *pages;

	m->gpa = GAP_FIRST;
	m->n_pages = p.n;
	m->pages = host->page_alloc(d->env.inst, (uint32_t)p.n, &pages);
	if (!m->pages)
		return -ENOMEM;
	for (uint32_t i = 0; i < p.n; i++) {
		int rc = host->page_map(d->env.inst, m->pages, i, m->gpa + ((uint64_t)i << XEN_PAGE_SHIFT));

		if (rc)
			return rc;
	}
	return build_pages(d, &p, pages);
}

/* ---- life cycle ---- */

static int measure(struct pv_domain *d)
{
	struct gamut_mem_range range[RANGES_MAX];
	uint32_t n = ram_ranges(d, range);

	if (!n || n > RANGES_MAX)
		return -E2BIG;
	d->n_mfn = (range[n - 1].gpa + range[n - 1].size) >> XEN_PAGE_SHIFT;
	return plan_pages(d).n > GAP_PAGES ? -E2BIG : 0;
}

static int make_frames(struct pv_domain *d)
{
	struct pv_mmu *m = d->mmu;

	d->use = calloc(d->n_mfn, sizeof(*d->use));
	m->ref = calloc(d->n_mfn, sizeof(*m->ref));
	m->stale = calloc(d->n_mfn, sizeof(*m->stale));
	m->flushed = calloc(d->n_vcpus, sizeof(*m->flushed));
	if (!d->use || !m->ref || !m->stale || !m->flushed)
		return -ENOMEM;
	ram_take(d);
	return d->ram ? 0 : -EFAULT;
}

int pv_mmu_init(struct pv_domain *d)
{
	const struct xen_env *env = &d->env;
	int rc;

	d->entries = env->host->sign(env->inst, GAMUT_AXIS_MMU, GAMUT_COLOUR_P, "page table entries");
	d->table_ops = env->host->sign(env->inst, GAMUT_AXIS_MMU, GAMUT_COLOUR_P, "page table operations");
	d->mmu = calloc(1, sizeof(*d->mmu));
	if (!d->mmu)
		return -ENOMEM;
	rc = measure(d);
	if (!rc)
		rc = make_frames(d);
	if (!rc)
		rc = make_pages(d);
	if (rc) {
		pv_mmu_finish(d);
		return rc;
	}
	pv_mmu_reset(d);
	return 0;
}

void pv_mmu_finish(struct pv_domain *d)
{
	struct pv_mmu *m = d->mmu;

	if (!m)
		return;
	if (d->ram)
		d->env.host->mem_put(d->env.inst, d->ram, XEN_PAGE_SIZE);
	d->env.host->page_free(d->env.inst, m->pages);
	free(m->ref);
	free(m->stale);
	free(m->flushed);
	free(d->use);
	free(m);
	d->mmu = NULL;
	d->use = NULL;
	d->m2p = NULL;
	d->ram = NULL;
}

void pv_mmu_reset(struct pv_domain *d)
{
	struct pv_mmu *m = d->mmu;

	m->clock = 1;
	ram_take(d); /* the domain was paused */
	frames_init(d);
	for (uint32_t i = 0; i < d->n_vcpus; i++) {
		struct pv_vcpu *v = &d->vcpu[i];

		m->flushed[i] = 0;
		v->root[PV_KERNEL] = v->root[PV_USER] = 0;
		v->gdt_entries = v->ldt_entries = 0;
		v->ldt_va = 0;
	}
}

int pv_mmu_boot(struct pv_domain *d, uint64_t root_mfn)
{
	struct pv_vcpu *v = &d->vcpu[0];
	struct pv_op op = pv_op_slow(v);
	int rc;

	pv_windows_init(d);
	pv_lock(d);
	rc = pv_pin(&op, root_mfn, PV_L4);
	if (!rc)
		rc = pv_root_set(&op, PV_KERNEL, root_mfn);
	pv_roots_commit(&op);
	pv_unlock(d);
	return rc ? rc : pv_set_gdt(v, NULL, 0);
}

int pv_mmu_register(struct pv_domain *d)
{
	static const struct xen_hypercall calls[] = {
		{ __HYPERVISOR_mmu_update, pv_hc_mmu_update },
		{ __HYPERVISOR_set_gdt, pv_hc_set_gdt },
		{ __HYPERVISOR_update_descriptor, pv_hc_update_descriptor },
		{ __HYPERVISOR_update_va_mapping, pv_hc_update_va },
		{ __HYPERVISOR_update_va_mapping_otherdomain, pv_hc_update_va_other },
		{ __HYPERVISOR_mmuext_op, pv_hc_mmuext_op },
	};

	return xen_hypercalls_register(&d->env, calls, sizeof(calls) / sizeof(calls[0]), d);
}
