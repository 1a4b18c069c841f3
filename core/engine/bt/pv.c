/* SPDX-License-Identifier: MIT */
/*
 * Guests whose kernel runs in ring 3 (gamut/pv.h).
 *
 * The vCPU is at CPL 3 in 64-bit or compatibility mode always: nothing in here
 * leads anywhere else, and far transfers cannot, for there is no TSS to take
 * an inner stack from. What would go through the IDT or to LSTAR becomes an
 * event (pv_deliver); what ring 3 may not do is a #GP as it is anyway.
 *
 * Handlers find rip and rflags in struct gamut_pv_cpu, and all else in the
 * vCPU itself through the functions of pv-ops.h. These run both while the
 * guest's vector registers are live (fast) and while they are saved (slow), so
 * none touches them.
 */
#include "engine/bt/decode.h"
#include "engine/bt/pv-ops.h"
#include "engine/bt/pv.h"
#include "engine/bt/smp.h"

#define PV_FLAGS (FL_ARITH | FL_TF | FL_DF | FL_NT | FL_RF | FL_AC | FL_ID)

/* Faults after whose frame the instruction runs again: RF is set in it. */
#define RF_VECTORS                                                                                           \
	(1u << EXC_DE | 1u << EXC_BR | 1u << EXC_UD | 1u << EXC_NM | 1u << EXC_TS | 1u << EXC_NP |           \
	 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF | 1u << EXC_MF | 1u << EXC_AC | 1u << EXC_XM)

#define DR7_GD 0x2000ull

/* ---- events ---------------------------------------------------------------------------------- */

void pv_take_back(struct bt_vcpu *v)
{
	const struct gamut_pv_cpu *cpu = &v->pv.cpu;

	v->rip = bt_code64(v) ? cpu->rip : (uint32_t)cpu->rip;
	bt_set_rflags(v, (cpu->rflags & PV_FLAGS) | FL_IF);
}

void pv_resume(struct bt_vcpu *v)
{
	pv_take_back(v);
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
	*exc = (struct bt_exc){.vector = EXC_GP, .has_error = true, .error = (uint32_t)exc->vector << 3 | 2};
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

/* ---- set-up ---------------------------------------------------------------------------------- */

static const struct gamut_pv_cpu_ops pv_ops = {
        .size = sizeof(pv_ops),
        .read = pv_op_read,
        .write = pv_op_write,
        .roots = pv_op_roots,
        .enter = pv_op_enter,
        .flush = pv_op_flush,
        .flush_page = pv_op_flush_page,
        .pte_write = pv_op_pte_write,
        .pte_exchange = pv_op_pte_exchange,
        .load_segment = pv_op_load_segment,
        .selector = pv_op_selector,
        .base = pv_op_base,
        .set_base = pv_op_set_base,
        .set_gdt = pv_op_set_gdt,
        .set_ldt = pv_op_set_ldt,
        .code64 = pv_op_code64,
        .set_ts = pv_op_set_ts,
        .cr4 = pv_op_cr4,
        .set_cr4 = pv_op_set_cr4,
        .xcr0 = pv_op_xcr0,
        .set_xcr0 = pv_op_set_xcr0,
        .dr = pv_op_dr,
        .set_dr = pv_op_set_dr,
        .cpuid = pv_op_cpuid,
        .tsc = pv_op_tsc,
        .hole = pv_op_hole,
        .emulate_write = pv_op_emulate_write,
        .flush_others = pv_op_flush_others,
        .msr_read = pv_op_msr_read,
        .msr_write = pv_op_msr_write,
};

struct gamut_pv_cpu *pv_init(struct bt_vcpu *v, const struct gamut_pv_guest *guest, void *opaque)
{
	v->pv.opaque = opaque;
	v->pv.cpu = (struct gamut_pv_cpu){
	        .size = sizeof(v->pv.cpu), .vcpu = v->index, .ops = &pv_ops, .gpr = v->gpr};
	v->pv.guest = guest;
	return &v->pv.cpu;
}
