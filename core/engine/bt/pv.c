/* SPDX-License-Identifier: MIT */
/*
 * Guests whose kernel runs in ring 3 (gamut/pv.h).
 *
 * The vCPU is at CPL 3 in 64-bit or compatibility mode always: nothing in here
 * leads anywhere else, and far transfers cannot, for there is no TSS to take
 * an inner stack from. What would go through the IDT or to LSTAR becomes an
 * event (pv_deliver); what ring 3 may not do is a #GP as it is anyway.
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
 *
 * Handlers find rip and rflags in struct gamut_pv_cpu, and all else in the
 * vCPU itself through the functions below. These run both while the guest's
 * vector registers are live (fast) and while they are saved (slow), so none
 * touches them.
 */
#include <errno.h>

#include "engine/bt/decode.h"
#include "engine/bt/handover.h"
#include "engine/bt/interp.h"
#include "engine/bt/mmu.h"
#include "engine/bt/pv.h"
#include "engine/bt/segment.h"
#include "engine/bt/smp.h"
#include "engine/bt/sys.h"

#define PV_CR0 (CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG)
#define PV_CR4 (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)
#define PV_CR4_GUEST (CR4_TSD | CR4_DE | CR4_OSXSAVE | CR4_PCE | CR4_FSGSBASE)
#define PV_EFER (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define PV_FLAGS (FL_ARITH | FL_TF | FL_DF | FL_NT | FL_RF | FL_AC | FL_ID)
#define PTE_P 0x1ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_NX (1ull << 63)
#define ROOT_ADDR 0x000ffffffffff000ull

/* Faults after whose frame the instruction runs again: RF is set in it. */
#define RF_VECTORS (1u << EXC_DE | 1u << EXC_BR | 1u << EXC_UD | 1u << EXC_NM | 1u << EXC_TS | 1u << EXC_NP | \
                    1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF | 1u << EXC_MF | 1u << EXC_AC | 1u << EXC_XM)

#define DR6_FIXED 0xffff0ff0ull
#define DR6_WRITABLE 0xe00full
#define DR7_FIXED 0x400ull
#define DR7_RESERVED 0xffffffff0000d800ull
#define DR7_GD 0x2000ull

static struct bt_vcpu *vcpu_of(const struct gamut_pv_cpu *cpu)
{
	return (struct bt_vcpu *)((uintptr_t)cpu - offsetof(struct bt_vcpu, pv.cpu));
}

/* ---- events ------------------------------------------------------------------------ */

static void take_back(struct bt_vcpu *v)
{
	const struct gamut_pv_cpu *cpu = &v->pv.cpu;

	v->rip = bt_code64(v) ? cpu->rip : (uint32_t)cpu->rip;
	bt_set_rflags(v, (cpu->rflags & PV_FLAGS) | FL_IF);
}

void pv_resume(struct bt_vcpu *v)
{
	take_back(v);
	v->shadow = 0;
	v->pending_db = false;
	bt_update_key(v);
	if (v->pv.trap_pending) {
		v->pv.trap_pending = false;
		v->exc = v->pv.trap;
		v->exc_pending = true;
	}
}

/* Calls the fast handler, and has the core call the other one if that does not settle it. */
static bool handle(struct bt_vcpu *v, enum gamut_pv_event event)
{
	const struct gamut_pv_guest *guest = v->pv.guest;
	struct gamut_pv_cpu *cpu = &v->pv.cpu;
	int slow;

	cpu->event = event;
	cpu->rip = v->rip;
	v->n_pv++;
	smp_quiet(v);
	slow = !guest->fast || guest->fast(v->pv.opaque, cpu) == GAMUT_PV_SLOW;
	smp_busy(v);
	if (!slow) {
		pv_resume(v);
		return true;
	}
	v->n_pv_slow++;
	v->exit->reason = EXIT_PV;
	v->exit->rip = v->rip;
	v->exit->pv.cpu = cpu;
	return false;
}

static void skip_instruction(struct bt_vcpu *v, unsigned len)
{
	v->rip += len;
	if (!bt_code64(v))
		v->rip = (uint32_t)v->rip;
}

/* INT n is for the monitor to allow: there is no gate for it. */
static void int_n(struct bt_exc *exc)
{
	*exc = (struct bt_exc){ .vector = EXC_GP, .has_error = true, .error = (uint32_t)exc->vector << 3 | 2 };
}

static bool trap(struct bt_vcpu *v)
{
	struct gamut_pv_cpu *cpu = &v->pv.cpu;
	struct bt_exc *exc = &v->exc;

	v->n_exc++;
	if (exc->int_n)
		int_n(exc);
	if (exc->soft)
		skip_instruction(v, exc->len);
	else if (exc->vector == EXC_PF)
		v->cr2 = exc->cr2;
	else if (exc->vector == EXC_DB) {
		v->dr[6] |= exc->dr6;
		v->dr[7] &= ~DR7_GD;
	}
	cpu->rflags = bt_rflags(v) | (!exc->soft && RF_VECTORS >> exc->vector & 1 ? FL_RF : 0);
	cpu->vector = exc->vector;
	cpu->has_error = exc->has_error;
	cpu->error = exc->error;
	cpu->cr2 = exc->cr2;
	cpu->dr6 = exc->dr6;
	cpu->nmi = 0;
	return handle(v, GAMUT_PV_TRAP);
}

static bool call(struct bt_vcpu *v)
{
	bool syscall = v->exc.call == CALL_SYSCALL;

	v->pv.cpu.rflags = bt_rflags(v) & ~FL_RF;
	v->pv.cpu.nmi = 0;
	skip_instruction(v, v->exc.len);
	return handle(v, syscall ? GAMUT_PV_SYSCALL : GAMUT_PV_SYSENTER);
}

/* More than once when the monitor has emulated an instruction that traps. */
bool pv_deliver(struct bt_vcpu *v)
{
	do {
		v->exc_pending = false;
		if (!(v->exc.call ? call(v) : trap(v)))
			return false;
	} while (v->exc_pending);
	return true;
}

bool pv_attention(struct bt_vcpu *v, bool nmi)
{
	v->pv.cpu.rflags = bt_rflags(v);
	v->pv.cpu.nmi = nmi;
	return handle(v, GAMUT_PV_ATTENTION) && (!v->exc_pending || pv_deliver(v));
}

/* ---- guest memory --------------------------------------------------------------------- */

/* Page by page; what is no memory is as good as not there. */
static int copy(struct gamut_pv_cpu *cpu, uint64_t va, void *buf, uint32_t len, bool write, uint64_t *fault)
{
	struct bt_vcpu *v = vcpu_of(cpu);
	struct vcpu_exit scratch, *exit = v->exit;
	enum bt_step step = STEP_OK;
	uint32_t done = 0, n;

	smp_busy(v);
	v->exit = &scratch;
	if (len && va + (len - 1) < va)
		step = STEP_FAULT;
	for (; done < len && step == STEP_OK; done += step == STEP_OK ? n : 0) {
		n = (uint32_t)(PAGE_SIZE - ((va + done) & ~PAGE_MASK));
		n = n < len - done ? n : len - done;
		if (write)
			step = mmu_write(v, va + done, (uint8_t *)buf + done, n, ACC_USER | ACC_WRITE);
		else
			step = mmu_read(v, va + done, (uint8_t *)buf + done, n, ACC_USER);
	}
	v->exit = exit;
	smp_quiet(v);
	if (step == STEP_OK)
		return 0;
	if (fault)
		*fault = va + done;
	return -EFAULT;
}

static int op_read(struct gamut_pv_cpu *cpu, uint64_t va, void *buf, uint32_t len, uint64_t *fault)
{
	return copy(cpu, va, buf, len, false, fault);
}

static int op_write(struct gamut_pv_cpu *cpu, uint64_t va, const void *buf, uint32_t len, uint64_t *fault)
{
	return copy(cpu, va, (void *)(uintptr_t)buf, len, true, fault);
}

/* ---- address spaces ---------------------------------------------------------------------- */

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
	bool root = (table == v->pv.root[TLB_KERNEL] || table == v->pv.root[TLB_USER]) && gpa - table >= PAGE_SIZE / 2;

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

static void op_roots(struct gamut_pv_cpu *cpu, uint64_t kernel, uint64_t user)
{
	struct bt_vcpu *v = vcpu_of(cpu);

	smp_busy(v);
	set_root(v, TLB_KERNEL, kernel);
	set_root(v, TLB_USER, user);
	v->cr3 = v->pv.root[v->pv.user];
	smp_quiet(v);
}

static void op_enter(struct gamut_pv_cpu *cpu, int user)
{
	struct bt_vcpu *v = vcpu_of(cpu);

	v->pv.user = user != 0;
	v->cr3 = v->pv.root[v->pv.user];
	if (user)
		bt_handover_user(v);
}

static void op_flush(struct gamut_pv_cpu *cpu)
{
	struct bt_vcpu *v = vcpu_of(cpu);

	smp_busy(v);
	for (int table = TLB_KERNEL; table <= TLB_USER; table++) {
		/* What another vCPU takes away is not noted here. */
		tlb_flush_table(v, table, !smp_alone(v) || v->pv.upper_stale[table]);
		v->pv.upper_stale[table] = false;
	}
	smp_quiet(v);
}

static void op_flush_page(struct gamut_pv_cpu *cpu, uint64_t va)
{
	if (!canonical(va))
		return;
	smp_busy(vcpu_of(cpu));
	tlb_flush_page(vcpu_of(cpu), va);
	smp_quiet(vcpu_of(cpu));
}

/* They are stopped, and so is whatever a handler of theirs wants to do with their tables. */
static void op_flush_others(struct gamut_pv_cpu *cpu, uint64_t va)
{
	struct bt_vcpu *v = vcpu_of(cpu);

	if (smp_alone(v) || (va != GAMUT_PV_KEEP && !canonical(va)))
		return;
	smp_lock(v);
	smp_stop(v, SMP_ALL);
	FOR_EACH_VCPU(v->vm, w) {
		if (w != v && va == GAMUT_PV_KEEP)
			tlb_flush(w, true);
		else if (w != v)
			tlb_flush_page(w, va);
	}
	smp_unlock(v);
}

/* The entry's host address. The caller has checked gpa, and a mistake must not reach the host's memory all the same. */
static uint64_t *entry_at(const struct bt_vcpu *v, uint64_t gpa)
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

static void op_pte_write(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t value)
{
	struct bt_vcpu *v = vcpu_of(cpu);
	uint64_t *entry = entry_at(v, gpa), old_value;

	if (!entry)
		return;
	smp_busy(v);
	bt_code_write(v, gpa, 8); /* a table may lie in a page with code */
	old_value = __atomic_exchange_n(entry, value, __ATOMIC_SEQ_CST);
	entry_written(v, gpa, old_value, value);
	smp_quiet(v);
}

static uint64_t op_pte_exchange(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t expected, uint64_t value)
{
	struct bt_vcpu *v = vcpu_of(cpu);
	uint64_t *entry = entry_at(v, gpa);
	bool done;

	if (!entry)
		return ~expected;
	smp_busy(v);
	bt_code_write(v, gpa, 8);
	done = __atomic_compare_exchange_n(entry, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	if (done)
		entry_written(v, gpa, expected, value);
	smp_quiet(v);
	return expected;
}

/* ---- segments and tables -------------------------------------------------------------------- */

static enum bt_step load_code(struct bt_vcpu *v, uint16_t selector)
{
	struct gamut_segment s;
	struct desc d;
	enum bt_step step;

	if (sel_null(selector))
		return bt_fault_error(v, EXC_GP, 0);
	step = desc_read(v, selector, EXC_GP, 0, &d);
	if (step != STEP_OK)
		return step;
	if (!desc_code(&d) || !desc_present(&d) || (desc_l(&d) && desc_db(&d)) ||
	    (!desc_conforming(&d) && desc_dpl(&d) != 3))
		return bt_fault_error(v, EXC_GP, sel_error(selector));
	step = desc_set_type(v, &d, TYPE_ACCESSED);
	if (step != STEP_OK)
		return step;
	s = desc_segment(&d, selector);
	seg_set(v, GAMUT_CS, &s);
	return STEP_OK;
}

static enum bt_step load_stack(struct bt_vcpu *v, uint16_t selector)
{
	struct gamut_segment s;
	enum bt_step step = seg_read_stack(v, selector, 3, EXC_GP, 0, &s);

	if (step == STEP_OK)
		seg_set(v, GAMUT_SS, &s);
	return step;
}

static int op_load_segment(struct gamut_pv_cpu *cpu, uint32_t seg, uint16_t selector)
{
	struct bt_vcpu *v = vcpu_of(cpu);
	enum bt_step step;

	smp_busy(v);
	if (seg == GAMUT_CS)
		step = load_code(v, selector | 3);
	else if (seg == GAMUT_SS)
		step = load_stack(v, selector | 3);
	else
		step = sys_load_seg(v, (enum gamut_seg)seg, selector);
	smp_quiet(v);
	return step == STEP_OK ? 0 : -EINVAL;
}

static uint16_t op_selector(struct gamut_pv_cpu *cpu, uint32_t seg)
{
	return seg < GAMUT_SEG_COUNT ? vcpu_of(cpu)->seg[seg].selector : 0;
}

static uint64_t op_base(struct gamut_pv_cpu *cpu, uint32_t seg)
{
	return seg < GAMUT_SEG_COUNT ? vcpu_of(cpu)->seg[seg].base : 0;
}

static void op_set_base(struct gamut_pv_cpu *cpu, uint32_t seg, uint64_t value)
{
	struct bt_vcpu *v = vcpu_of(cpu);

	if (seg == GAMUT_FS || seg == GAMUT_GS)
		v->seg[seg].base = v->seg_base[seg] = value;
}

static void op_set_gdt(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit)
{
	vcpu_of(cpu)->gdt = (struct gamut_table){ .base = base, .limit = limit & 0xffff };
}

static void op_set_ldt(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit)
{
	struct gamut_segment s = { .base = base, .limit = limit, .attr = SEG_P | SYS_LDT };

	if (limit)
		seg_set(vcpu_of(cpu), GAMUT_LDTR, &s);
	else
		seg_set_null(vcpu_of(cpu), GAMUT_LDTR, 0);
}

static int op_code64(struct gamut_pv_cpu *cpu)
{
	return bt_code64(vcpu_of(cpu));
}

/* ---- registers; the key follows when the handler returns ----------------------------------------- */

static void op_set_ts(struct gamut_pv_cpu *cpu, int on)
{
	struct bt_vcpu *v = vcpu_of(cpu);

	v->cr0 = (v->cr0 & ~CR0_TS) | (on ? CR0_TS : 0);
}

static uint64_t op_cr4(struct gamut_pv_cpu *cpu)
{
	return vcpu_of(cpu)->cr4;
}

static int op_set_cr4(struct gamut_pv_cpu *cpu, uint64_t value)
{
	struct bt_vcpu *v = vcpu_of(cpu);

	value &= PV_CR4_GUEST;
	if (value & ~v->cr4_valid)
		return -EINVAL;
	v->cr4 = PV_CR4 | value;
	return 0;
}

static uint64_t op_xcr0(struct gamut_pv_cpu *cpu)
{
	return vcpu_of(cpu)->xcr0;
}

static int op_set_xcr0(struct gamut_pv_cpu *cpu, uint64_t value)
{
	struct bt_vcpu *v = vcpu_of(cpu);

	if (!sys_xcr0_valid(v, value))
		return -EINVAL;
	v->xcr0 = value;
	return 0;
}

static bool dr_exists(uint32_t n)
{
	return n < 8 && n != 4 && n != 5;
}

static uint64_t op_dr(struct gamut_pv_cpu *cpu, uint32_t n)
{
	return dr_exists(n) ? vcpu_of(cpu)->dr[n] : 0;
}

static void op_set_dr(struct gamut_pv_cpu *cpu, uint32_t n, uint64_t value)
{
	if (!dr_exists(n))
		return;
	if (n == 6)
		value = (value & DR6_WRITABLE) | DR6_FIXED;
	else if (n == 7)
		value = (value & ~DR7_RESERVED) | DR7_FIXED;
	vcpu_of(cpu)->dr[n] = value;
}

static void op_cpuid(struct gamut_pv_cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	sys_cpuid(vcpu_of(cpu), leaf, subleaf, regs);
}

static uint64_t op_tsc(struct gamut_pv_cpu *cpu)
{
	return sys_tsc(vcpu_of(cpu));
}

/* SPEC_CTRL, PRED_CMD, ARCH_CAPABILITIES, TSC_AUX: the rest of the table is for ring 0. */
static bool msr_of_ring3(uint32_t msr)
{
	return msr == 0x48 || msr == 0x49 || msr == 0x10a || msr == 0xc0000103;
}

static int op_msr_read(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t *value)
{
	return msr_of_ring3(msr) && sys_msr_read(vcpu_of(cpu), msr, value) ? 0 : -EINVAL;
}

static int op_msr_write(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t value)
{
	return msr_of_ring3(msr) && sys_msr_write(vcpu_of(cpu), msr, value) ? 0 : -EINVAL;
}

/* Translated code and its vCPU live in the host's address space, so the guest's is all its own. */
static const uint64_t *op_hole(const struct gamut_pv_cpu *cpu)
{
	static const uint64_t none[GAMUT_PV_HOLE_SLOTS];

	(void)cpu;
	return none;
}

/* ---- one instruction ------------------------------------------------------------------------------ */

/*
 * Plain stores, read-modify-writes and string moves. Vector instructions are
 * refused: their registers may be in memory now, and nobody writes page tables
 * with them.
 */
static bool may_emulate(struct bt_vcpu *v, const struct insn *in)
{
	bool vector = in->attr & (ATTR_FPU | ATTR_SSE | ATTR_AVX) || in->vex;
	bool store = in->class_ == CLASS_COPY && (in->attr & ATTR_MEM_WRITE);
	bool string = in->class_ == CLASS_STRING && (in->op == OP_MOVS || in->op == OP_STOS);

	if (!vector && (store || string))
		return true;
	v->pv.store_error = -EINVAL;
	return false;
}

/* A breakpoint on the instruction was met before the fault that led here. */
static enum bt_step run_one(struct bt_vcpu *v)
{
	struct vcpu_exit scratch, *exit = v->exit;
	enum bt_step step;

	take_back(v);
	v->rflags |= FL_RF;
	v->exit = &scratch;
	bt_poll_set(v); /* ends repetition after one element */
	step = interp_step_if(v, may_emulate);
	v->exit = exit;
	return step;
}

static int op_emulate_write(struct gamut_pv_cpu *cpu, uint64_t gpa,
                            int (*fn)(void *opaque, uint64_t gpa, uint64_t old_value, uint64_t new_value), void *opaque)
{
	struct bt_vcpu *v = vcpu_of(cpu);
	enum bt_step step;

	if (!entry_at(v, gpa & PAGE_MASK))
		return -EINVAL;
	v->pv.store = fn;
	v->pv.store_opaque = opaque;
	v->pv.store_page = gpa & PAGE_MASK;
	v->pv.store_error = 0;
	smp_busy(v);
	step = run_one(v);
	smp_quiet(v);
	v->pv.store = NULL;
	/* No fault of these is a #DB: the instruction is complete, and traps. */
	if (step == STEP_FAULT && v->exc.vector == EXC_DB) {
		v->pv.trap = v->exc;
		v->pv.trap_pending = true;
		step = STEP_OK;
	}
	if (step != STEP_OK)
		return v->pv.store_error ? v->pv.store_error : step == STEP_EXIT ? -EINVAL : -EFAULT;
	cpu->rip = v->rip;
	cpu->rflags = bt_rflags(v);
	return 0;
}

/* ---- set-up ------------------------------------------------------------------------------------------ */

static const struct gamut_pv_cpu_ops pv_ops = {
	.size = sizeof(pv_ops),
	.read = op_read,
	.write = op_write,
	.roots = op_roots,
	.enter = op_enter,
	.flush = op_flush,
	.flush_page = op_flush_page,
	.pte_write = op_pte_write,
	.pte_exchange = op_pte_exchange,
	.load_segment = op_load_segment,
	.selector = op_selector,
	.base = op_base,
	.set_base = op_set_base,
	.set_gdt = op_set_gdt,
	.set_ldt = op_set_ldt,
	.code64 = op_code64,
	.set_ts = op_set_ts,
	.cr4 = op_cr4,
	.set_cr4 = op_set_cr4,
	.xcr0 = op_xcr0,
	.set_xcr0 = op_set_xcr0,
	.dr = op_dr,
	.set_dr = op_set_dr,
	.cpuid = op_cpuid,
	.tsc = op_tsc,
	.hole = op_hole,
	.emulate_write = op_emulate_write,
	.flush_others = op_flush_others,
	.msr_read = op_msr_read,
	.msr_write = op_msr_write,
};

struct gamut_pv_cpu *pv_init(struct bt_vcpu *v, const struct gamut_pv_guest *guest, void *opaque)
{
	v->pv.opaque = opaque;
	v->pv.cpu = (struct gamut_pv_cpu){
		.size = sizeof(v->pv.cpu), .vcpu = v->index, .ops = &pv_ops, .gpr = v->gpr
	};
	v->pv.guest = guest;
	return &v->pv.cpu;
}

static bool ring3(const struct gamut_segment *s)
{
	return !(s->attr & SEG_UNUSABLE) && (s->attr >> SEG_DPL_SHIFT & 3) == 3;
}

int pv_set_state(struct bt_vcpu *v, const struct gamut_vcpu_state *s)
{
	int r;

	if (s->size < sizeof(*s) || !(s->cr0 & CR0_PG) || !(s->efer & EFER_LME))
		return -EINVAL;
	if (!ring3(&s->seg[GAMUT_CS]) || !ring3(&s->seg[GAMUT_SS]))
		return -EINVAL;
	r = sys_set_state(v, s);
	if (r)
		return r;
	v->cr0 = PV_CR0 | (s->cr0 & CR0_TS);
	v->cr4 = PV_CR4 | (s->cr4 & PV_CR4_GUEST);
	v->efer = PV_EFER;
	v->idt = (struct gamut_table){ .limit = 0 };
	seg_set_null(v, GAMUT_TR, 0);
	v->pv.root[TLB_KERNEL] = v->cr3 = s->cr3 & ROOT_ADDR;
	v->pv.root[TLB_USER] = 0;
	v->pv.cpu.rip = v->rip;
	v->pv.cpu.rflags = bt_rflags(v);
	pv_resume(v);
	return 0;
}
