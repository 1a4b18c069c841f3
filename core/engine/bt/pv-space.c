/* SPDX-License-Identifier: MIT */
/*
 * The two address spaces of a guest whose kernel runs in ring 3, and its page
 * tables.
 *
 * The two tables of the soft TLB and the two classes of the jump cache, which
 * belong to supervisor and user code in other guests, are the two address
 * spaces here. So entering one or the other costs no flush, and a new top-level
 * table forgets one of them alone. Entries are made with ring 3's rights
 * only; the guest's G bit means nothing.
 *
 * A new top-level table need not even forget all of its space. The kernel's
 * half of it, the upper one, is commonly the same in all of them, and every
 * change of a table comes through pte_write and pte_exchange. So translations
 * of the upper half are kept as global ones are elsewhere, with the tables
 * behind them noted (mmu_walk). When an entry of such a table has lost
 * something, its page is forgotten at once, or all of them with the next
 * change of the root if it is not clear which page that is; and all of them go
 * when the upper halves of the old and the new top-level table differ. A flush
 * that the guest asks for is no more than a change of the root, then.
 */
#include "engine/bt/handover.h"
#include "engine/bt/mmu.h"
#include "engine/bt/pv-ops.h"
#include "engine/bt/pv.h"
#include "engine/bt/segment.h"
#include "engine/bt/smp.h"

#define PTE_P  0x1ull
#define PTE_A  0x20ull
#define PTE_D  0x40ull
#define PTE_NX (1ull << 63)

/* ---- which tables ---------------------------------------------------------------------------- */

/* Whether two top-level tables map the upper half alike. */
static bool same_upper(const struct bt_vcpu *v, uint64_t a, uint64_t b)
{
	const uint64_t *one = (const uint64_t *)(const void *)(v->mem->base + a);
	const uint64_t *other = (const uint64_t *)(const void *)(v->mem->base + b);

	if (a == b)
		return true;
	if (mem_kind(v->mem, a) != MEM_RAM || mem_kind(v->mem, b) != MEM_RAM)
		return false;
	/* A and D may differ. */
	for (unsigned i = 256; i < 512; i++)
		if ((one[i] ^ other[i]) & ~(PTE_A | PTE_D))
			return false;
	return true;
}

static void set_root(struct bt_vcpu *v, int table, uint64_t root)
{
	bool all;

	if (root == GAMUT_PV_KEEP)
		return;
	root &= ROOT_ADDR;
	/* What another vCPU takes away is not noted here. */
	all = !smp_alone(v) || v->pv.upper_stale[table] || !same_upper(v, v->pv.root[table], root);
	v->pv.root[table] = root;
	tlb_flush_table(v, table, all);
	if (all)
		v->pv.upper_stale[table] = false;
}

/*
 * An entry changed; what it takes away must not be kept over the next change
 * of the root. Where it is known which page that is, it goes at once: a guest
 * changes entries of its map of all memory at every fork.
 */
static void note_change(struct bt_vcpu *v, uint64_t gpa, uint64_t old_value, uint64_t new_value)
{
	const uint32_t *seen = v->pv.upper[gpa >> PAGE_SHIFT].region;
	uint64_t table = gpa & PAGE_MASK;
	bool root = (table == v->pv.root[TLB_KERNEL] || table == v->pv.root[TLB_USER]) &&
	            gpa - table >= PAGE_SIZE / 2;

	if ((!seen[0] && !root) || !(old_value & PTE_P) || !((old_value ^ new_value) & ~(PTE_A | PTE_D)))
		return;
	if (seen[0] == PV_REGIONS || root) {
		v->pv.upper_stale[TLB_KERNEL] = v->pv.upper_stale[TLB_USER] = true;
		return;
	}
	for (unsigned i = 0; i < 2 && seen[i]; i++) {
		uint64_t va = PV_REGION_VA(seen[i]) | (gpa & ~PAGE_MASK) / 8 << PAGE_SHIFT;

		if (old_value & PTE_NX)
			tlb_drop_data(v, va);
		else
			tlb_flush_page(v, va);
	}
}

void pv_op_roots(struct gamut_pv_cpu *cpu, uint64_t kernel, uint64_t user)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);

	smp_busy(v);
	set_root(v, TLB_KERNEL, kernel);
	set_root(v, TLB_USER, user);
	v->cr3 = v->pv.root[v->pv.user];
	smp_quiet(v);
}

void pv_op_enter(struct gamut_pv_cpu *cpu, int user)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);

	v->pv.user = user != 0;
	v->cr3 = v->pv.root[v->pv.user];
	if (user)
		bt_handover_user(v);
}

void pv_op_flush(struct gamut_pv_cpu *cpu)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);

	smp_busy(v);
	for (int table = TLB_KERNEL; table <= TLB_USER; table++) {
		/* What another vCPU takes away is not noted here. */
		tlb_flush_table(v, table, !smp_alone(v) || v->pv.upper_stale[table]);
		v->pv.upper_stale[table] = false;
	}
	smp_quiet(v);
}

void pv_op_flush_page(struct gamut_pv_cpu *cpu, uint64_t va)
{
	if (!canonical(va))
		return;
	smp_busy(pv_vcpu_of(cpu));
	tlb_flush_page(pv_vcpu_of(cpu), va);
	smp_quiet(pv_vcpu_of(cpu));
}

/* They are stopped, and so is whatever a handler of theirs wants to do with their tables. */
void pv_op_flush_others(struct gamut_pv_cpu *cpu, uint64_t va)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);

	if (smp_alone(v) || (va != GAMUT_PV_KEEP && !canonical(va)))
		return;
	smp_lock(v);
	smp_stop(v, SMP_ALL);
	FOR_EACH_VCPU(v->vm, w)
	{
		if (w != v && va == GAMUT_PV_KEEP)
			tlb_flush(w, true);
		else if (w != v)
			tlb_flush_page(w, va);
	}
	smp_unlock(v);
}

/* ---- entries --------------------------------------------------------------------------------- */

uint64_t *pv_entry(const struct bt_vcpu *v, uint64_t gpa)
{
	enum mem_kind kind = mem_kind(v->mem, gpa);

	if (gpa & 7 || (kind != MEM_RAM && kind != MEM_HOST))
		return NULL;
	return (uint64_t *)(void *)(v->mem->base + gpa);
}

static void entry_written(struct bt_vcpu *v, uint64_t gpa, uint64_t old_value, uint64_t new_value)
{
	note_change(v, gpa, old_value, new_value);
	bt_handover_pte(v, old_value, new_value);
}

void pv_op_pte_write(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t value)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);
	uint64_t *entry = pv_entry(v, gpa), old_value;

	if (!entry)
		return;
	smp_busy(v);
	bt_code_write(v, gpa, 8); /* a table may lie in a page with code */
	old_value = __atomic_exchange_n(entry, value, __ATOMIC_SEQ_CST);
	entry_written(v, gpa, old_value, value);
	smp_quiet(v);
}

uint64_t pv_op_pte_exchange(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t expected, uint64_t value)
{
	struct bt_vcpu *v = pv_vcpu_of(cpu);
	uint64_t *entry = pv_entry(v, gpa);
	bool done;

	if (!entry)
		return ~expected;
	smp_busy(v);
	bt_code_write(v, gpa, 8);
	done = __atomic_compare_exchange_n(entry, &expected, value, false, __ATOMIC_SEQ_CST,
	                                   __ATOMIC_SEQ_CST);
	if (done)
		entry_written(v, gpa, expected, value);
	smp_quiet(v);
	return expected;
}
