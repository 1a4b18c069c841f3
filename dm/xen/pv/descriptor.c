/* SPDX-License-Identifier: MIT */
/*
 * GDT and LDT. The guest gives frames (GDT) or an address (LDT); the monitor
 * maps them in a window of its own, one a vCPU, and the processor's tables are
 * there. So nothing that the guest does to its address space takes a table away
 * from under a loaded selector, and behind the guest's part of the GDT are the
 * monitor's flat segments, which every guest may count on.
 *
 * A frame in a window is in use as PV_DESC: not writable by the guest, and each
 * descriptor in it has been checked. The processor sets their accessed bits
 * through the window.
 *
 * The pages of an LDT are looked up when it is set and whenever the kernel's
 * root changes. What is missing then is looked up again at the fault.
 */
#include "dm/xen/pv/pv-mmu.h"

#define DESC_P (1ull << 47)
#define DESC_DPL3 (3ull << 45)
#define DESC_S (1ull << 44)
#define DESC_TYPE (15ull << 40)

#define WINDOW_ENTRY (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX)
#define WINDOW_READONLY (PTE_P | PTE_A | PTE_NX)
#define PER_PAGE 512u

/* ---- descriptors ---- */

/*
 * Code and data are good at the privilege of ring 3, and what is not present.
 * Of the system's, only type 0, which always faults: there are no gates.
 */
static bool fix(uint64_t *desc)
{
	if (!(*desc & DESC_P))
		return true;
	if (!(*desc & DESC_S))
		return !(*desc & DESC_TYPE);
	*desc |= DESC_DPL3;
	return true;
}

static void store(struct pv_domain *d, uint64_t gpa, uint64_t desc)
{
	__atomic_store_n((uint64_t *)(d->ram + gpa), desc, __ATOMIC_RELAXED);
	d->env.host->mem_dirty(d->env.inst, gpa, sizeof(desc));
}

int pv_descriptors_check(struct pv_op *op, uint64_t mfn)
{
	for (uint64_t gpa = mfn << XEN_PAGE_SHIFT, end = gpa + XEN_PAGE_SIZE; gpa < end; gpa += 8) {
		uint64_t desc = pv_load(op->d, gpa), fixed = desc;

		if (!fix(&fixed))
			return -EINVAL;
		if (fixed != desc)
			store(op->d, gpa, fixed);
	}
	return 0;
}

/* ---- windows ---- */

static uint64_t window_index(const struct pv_vcpu *v, uint32_t page)
{
	return (uint64_t)v->index * WINDOW_PAGES + page;
}

static uint64_t window_va(const struct pv_vcpu *v, uint32_t page)
{
	return v->domain->mmu->window_va + (window_index(v, page) << XEN_PAGE_SHIFT);
}

static uint64_t window_entry(const struct pv_vcpu *v, uint32_t page)
{
	return v->domain->mmu->window[window_index(v, page)];
}

static void window_write(struct gamut_pv_cpu *cpu, const struct pv_vcpu *v, uint32_t page, uint64_t entry)
{
	cpu->ops->pte_write(cpu, v->domain->mmu->window_gpa + window_index(v, page) * 8, entry);
}

static void window_set(struct gamut_pv_cpu *cpu, struct pv_vcpu *v, uint32_t page, uint64_t entry)
{
	window_write(cpu, v, page, entry);
	v->cpu->ops->flush_page(v->cpu, window_va(v, page));
}

void pv_windows_init(struct pv_domain *d)
{
	for (uint32_t i = 0; i < d->n_vcpus; i++) {
		const struct pv_vcpu *v = &d->vcpu[i];

		for (uint32_t page = 0; page < WINDOW_PAGES; page++)
			window_write(v->cpu, v, page, page < FLAT_PAGE ? d->mmu->zero_gpa | WINDOW_READONLY : 0);
		window_write(v->cpu, v, FLAT_PAGE, d->mmu->flat_gpa | WINDOW_READONLY);
	}
}

/* ---- GDT ---- */

static uint32_t pages_of(uint32_t entries)
{
	return (entries + PER_PAGE - 1) / PER_PAGE;
}

static int get_frames(struct pv_op *op, const uint64_t *mfn, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!pv_frame_get(op, mfn[i], PV_DESC))
			continue;
		while (i--)
			pv_frame_put(op, mfn[i], PV_DESC);
		return -EINVAL;
	}
	return 0;
}

static void install(struct pv_op *op, const uint64_t *mfn, uint32_t n)
{
	struct pv_vcpu *v = op->v;
	uint32_t had = pages_of(v->gdt_entries);

	for (uint32_t i = 0; i < FLAT_PAGE; i++) {
		if (i < n)
			window_set(op->cpu, v, i, mfn[i] << XEN_PAGE_SHIFT | WINDOW_ENTRY);
		else if (i < had)
			window_set(op->cpu, v, i, op->d->mmu->zero_gpa | WINDOW_READONLY);
		if (i < had)
			pv_frame_put(op, v->gdt_mfn[i], PV_DESC);
		v->gdt_mfn[i] = i < n ? mfn[i] : 0;
	}
}

int pv_set_gdt(struct pv_vcpu *v, const uint64_t *mfn, uint32_t entries)
{
	struct pv_op op = pv_op_slow(v);
	uint32_t n;
	int rc;

	if (entries > GDT_ENTRIES_MAX)
		return -EINVAL;
	n = pages_of(entries);
	pv_lock(op.d);
	rc = get_frames(&op, mfn, n);
	if (!rc) {
		install(&op, mfn, n);
		v->gdt_entries = entries;
		v->cpu->ops->set_gdt(v->cpu, window_va(v, 0), (FLAT_PAGE + 1) * XEN_PAGE_SIZE - 1);
	}
	pv_unlock(op.d);
	return rc;
}

/* args: frame list, entries. */
int64_t pv_hc_set_gdt(void *opaque, struct gamut_hypercall *call)
{
	struct pv_domain *d = opaque;
	struct pv_vcpu *v = &d->vcpu[call->vcpu];
	uint32_t entries = (uint32_t)call->args[1];
	uint64_t mfn[FLAT_PAGE];

	if (call->cpl)
		return -EPERM;
	if (entries > GDT_ENTRIES_MAX)
		return -EINVAL;
	if (entries && v->cpu->ops->read(v->cpu, call->args[0], mfn, pages_of(entries) * 8, NULL))
		return -EFAULT;
	return pv_set_gdt(v, mfn, entries);
}

/* args: machine address, descriptor. */
int64_t pv_hc_update_descriptor(void *opaque, struct gamut_hypercall *call)
{
	struct pv_domain *d = opaque;
	struct pv_op op = pv_op_slow(&d->vcpu[call->vcpu]);
	uint64_t gpa = call->args[0], mfn = gpa >> XEN_PAGE_SHIFT, desc = call->args[1];
	bool in_use;
	int rc = 0;

	if (call->cpl)
		return -EPERM;
	if (gpa & 7 || !fix(&desc))
		return -EINVAL;
	pv_lock(d);
	in_use = pv_frame_is(d, mfn, PV_DESC);
	if (!in_use)
		rc = pv_frame_get(&op, mfn, PV_WRITABLE);
	if (!rc)
		store(d, gpa, desc);
	if (!rc && !in_use)
		pv_frame_put(&op, mfn, PV_WRITABLE);
	pv_unlock(d);
	return rc;
}

/* ---- LDT ---- */

static bool ldt_map(struct pv_op *op, uint32_t page)
{
	struct pv_vcpu *v = op->v;
	uint64_t gpa = pv_walk(op->d, v->root[PV_KERNEL], v->ldt_va + page * XEN_PAGE_SIZE), entry;

	if (gpa == GAMUT_GPA_NONE)
		return false;
	entry = pv_load(op->d, gpa);
	if (!(entry & PTE_P) || pv_frame_get(op, pte_mfn(entry), PV_DESC))
		return false;
	window_set(op->cpu, v, GDT_PAGES + page, (entry & PTE_FRAME) | WINDOW_ENTRY);
	return true;
}

static void ldt_drop(struct pv_op *op)
{
	for (uint32_t page = GDT_PAGES; page < WINDOW_PAGES; page++) {
		uint64_t entry = window_entry(op->v, page);

		if (!(entry & PTE_P))
			continue;
		window_set(op->cpu, op->v, page, 0);
		pv_frame_put(op, pte_mfn(entry), PV_DESC);
	}
}

void pv_ldt_refresh(struct pv_op *op)
{
	if (!op->v->ldt_entries)
		return;
	ldt_drop(op);
	for (uint32_t page = 0; page < pages_of(op->v->ldt_entries); page++)
		ldt_map(op, page);
}

int pv_set_ldt_op(struct pv_op *op, uint64_t va, uint32_t entries)
{
	struct pv_vcpu *v = op->v;

	if (entries > LDT_ENTRIES_MAX)
		return -EINVAL;
	if (entries && (va & (XEN_PAGE_SIZE - 1) || !pv_addr_ok(va) || !pv_addr_ok(va + entries * 8 - 1)))
		return -EINVAL;
	ldt_drop(op);
	v->ldt_va = entries ? va : 0;
	v->ldt_entries = entries;
	pv_ldt_refresh(op);
	if (entries)
		v->cpu->ops->set_ldt(v->cpu, window_va(v, GDT_PAGES), entries * 8 - 1);
	else
		v->cpu->ops->set_ldt(v->cpu, 0, 0);
	return 0;
}

int pv_set_ldt(struct pv_vcpu *v, uint64_t va, uint32_t entries)
{
	struct pv_op op = pv_op_slow(v);
	int rc;

	pv_lock(op.d);
	rc = pv_set_ldt_op(&op, va, entries);
	pv_unlock(op.d);
	return rc;
}

int64_t pv_ldt_offset(const struct pv_vcpu *v, uint64_t va)
{
	uint64_t offset = va - window_va(v, GDT_PAGES);

	return offset < v->ldt_entries * 8ull ? (int64_t)offset : -1;
}

int pv_ldt_fault(struct pv_vcpu *v, uint64_t offset)
{
	struct pv_op op = pv_op_slow(v);
	bool mapped;

	pv_lock(op.d);
	mapped = ldt_map(&op, (uint32_t)(offset >> XEN_PAGE_SHIFT));
	pv_unlock(op.d);
	if (mapped)
		return PV_DONE;
	v->cpu->cr2 = v->ldt_va + offset;
	return PV_NOT_MINE;
}
