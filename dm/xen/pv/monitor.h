/* SPDX-License-Identifier: MIT */
/* What the files of the monitor's trap half share. */
#ifndef DM_XEN_PV_MONITOR_H
#define DM_XEN_PV_MONITOR_H

#include "dm/xen/pv/pv.h"

/* Positions in gamut_pv_cpu.gpr. */
enum { PV_RAX, PV_RCX, PV_RDX, PV_RBX, PV_RSP, PV_RBP, PV_RSI, PV_RDI, PV_R8, PV_R9, PV_R10, PV_R11 };

enum {
	PV_DB = 1, PV_NMI = 2, PV_BP = 3, PV_OF = 4, PV_UD = 6, PV_NM = 7, PV_GP = 13, PV_PF = 14
};

#define PV_FLAG_TF (1ull << 8)
#define PV_FLAG_IF (1ull << 9)
#define PV_FLAG_DF (1ull << 10)
#define PV_FLAG_IOPL (3ull << 12)
#define PV_FLAG_NT (1ull << 14)
#define PV_FLAG_RF (1ull << 16)
#define PV_FLAG_VM (1ull << 17)
#define PV_FLAG_AC (1ull << 18)

#define PV_CR0_TS (1ull << 3)
#define PV_CR4_TSD (1ull << 2)
#define PV_CR4_DE (1ull << 3)
#define PV_CR4_PAE (1ull << 5)
#define PV_CR4_OSFXSR (1ull << 9)
#define PV_CR4_OSXMMEXCPT (1ull << 10)
#define PV_CR4_FSGSBASE (1ull << 16)
#define PV_CR4_OSXSAVE (1ull << 18)
#define PV_EFER (1ull << 0 | 1ull << 8 | 1ull << 10 | 1ull << 11) /* SCE LME LMA NXE */

/* What the guest reads of CR0: PG AM WP NE ET MP PE, and TS when it is set. */
#define PV_CR0 0x80050033ull
/* What it always has in CR4, and what it may choose. */
#define PV_CR4_FIXED (PV_CR4_PAE | PV_CR4_OSFXSR | PV_CR4_OSXMMEXCPT)

#define PV_DR6_FIXED 0xffff0ff0ull
#define PV_DR6_BS (1ull << 14)
#define PV_DR7_FIXED 0x400ull

static inline bool pv_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* Not the monitor's, all of len bytes of it. */
static inline bool pv_guest_va(uint64_t va, uint64_t len)
{
	return pv_canonical(va) && pv_canonical(va + len - 1) &&
	       (va + len <= HYPERVISOR_VIRT_START || va >= HYPERVISOR_VIRT_END) && va <= va + len - 1;
}

static inline bool pv_assist(const struct pv_domain *d, uint32_t type)
{
	return __atomic_load_n(&d->vm_assist, __ATOMIC_RELAXED) >> type & 1;
}

static inline void pv_doom(struct pv_vcpu *v, const char *why)
{
	if (!v->doomed)
		v->doomed = why;
}

static inline bool pv_has_msrs(const struct gamut_pv_cpu_ops *ops)
{
	return GAMUT_HAS(ops, struct gamut_pv_cpu_ops, msr_write) && ops->msr_read && ops->msr_write;
}

/* ---- events in: what struct gamut_pv_guest holds (fast.c, monitor.c) ---- */

int pv_fast(void *opaque, struct gamut_pv_cpu *cpu); /* fast */
int pv_slow(void *opaque, struct gamut_pv_cpu *cpu);
int pv_pending(void *opaque, uint32_t vcpu);

/* The fast part of each event: true when it is settled. (fast.c) fast */
bool pv_fast_event(struct pv_vcpu *v);
/* NMIs and event upcalls that are due; whether there were any. (trap.c) fast */
bool pv_deliver(struct pv_vcpu *v);

/* ---- bouncing (trap.c) fast ---- */

/* Where an event came from, for the frame. */
struct pv_origin {
	uint64_t rip, rflags, rsp;
	uint16_t cs, ss;
};

/* The guest as it stands. */
void pv_origin(const struct pv_vcpu *v, struct pv_origin *from);
/* pv_bounce with a given origin, and the four data selectors when it is the failsafe callback's (else NULL). */
int pv_bounce_from(struct pv_vcpu *v, const struct pv_entry *entry, const uint32_t *error,
                   const struct pv_origin *from, const uint64_t selectors[4]);
/* An exception of the guest, to its trap table. has_error false: none. */
int pv_inject(struct pv_vcpu *v, uint8_t vector, bool has_error, uint32_t error);
int pv_inject_pf(struct pv_vcpu *v, uint64_t cr2, uint32_t error);
/* INT n by the guest: PV_DONE with rip behind it, or PV_NOT_MINE: not allowed. */
int pv_soft_int(struct pv_vcpu *v, uint8_t vector, uint64_t next_rip);

/* ---- the way back (iret.c) fast ---- */

/* HYPERVISOR_iret. */
void pv_iret(struct pv_vcpu *v);

/* ---- segment.c fast ---- */

/* From the kernel's mode to the user's or back: address space and swapgs. */
void pv_toggle(struct pv_vcpu *v);
int64_t pv_stack_switch(struct pv_vcpu *v, uint64_t ss, uint64_t sp);
int64_t pv_set_segment_base(struct pv_vcpu *v, uint64_t which, uint64_t base);
int64_t pv_fpu_taskswitch(struct pv_vcpu *v, uint64_t set);

/* ---- hypercalls; opaque is the struct pv_domain [vcpu] ---- */

/* callback.c */
int64_t pv_op_set_trap_table(void *opaque, struct gamut_hypercall *call);
int64_t pv_op_set_callbacks(void *opaque, struct gamut_hypercall *call);
int64_t pv_op_callback(void *opaque, struct gamut_hypercall *call);
int64_t pv_op_nmi(void *opaque, struct gamut_hypercall *call);
/* context.c */
int64_t pv_op_vcpu(void *opaque, struct gamut_hypercall *call);
/* misc-op.c */
int64_t pv_op_set_debugreg(void *opaque, struct gamut_hypercall *call);
int64_t pv_op_get_debugreg(void *opaque, struct gamut_hypercall *call);
int64_t pv_op_vm_assist(void *opaque, struct gamut_hypercall *call);
int64_t pv_op_physdev(void *opaque, struct gamut_hypercall *call);

/* monitor.c: all of the above and those that are fast. 0 or -errno. [control] */
int pv_hypercalls_register(struct pv_domain *d);
/* The vcpu_info is taken again. [vcpu] */
void pv_take_info(struct pv_vcpu *v);

/* ---- a vCPU's state (context.c) ---- */

/* Nothing set: as before VCPUOP_initialise. [control] */
void pv_vcpu_clear(struct pv_vcpu *v);
/* The image's first vCPU. 0 or -errno. [control] */
int pv_vcpu_first(struct pv_vcpu *v, const struct gamut_pv_boot *boot);
/* A vCPU that was initialised runs for the first time: loads its selectors, or bounces to failsafe. [vcpu] */
void pv_vcpu_enter(struct pv_vcpu *v);

/* 0, -EPERM, -EINVAL or -ENODEV, as HYPERVISOR_set_debugreg. (misc-op.c) */
int pv_debugreg_set(struct pv_vcpu *v, uint64_t n, uint64_t value);
int pv_debugreg_get(struct pv_vcpu *v, uint64_t n, uint64_t *value);

/* ---- emulation ---- */

/*
 * The instruction at rip, which raised #GP(0). PV_DONE: it was carried out, or
 * an exception of its own was bounced. (emulate.c) [vcpu]
 */
int pv_emulate(struct pv_vcpu *v);
/* ud2; .ascii "xen"; cpuid, at a #UD. Likewise. [vcpu] */
int pv_emulate_forced(struct pv_vcpu *v);

/* -EPERM: #GP(0). (msr.c) [vcpu] */
int pv_msr_read(struct pv_vcpu *v, uint32_t msr, uint64_t *value);
int pv_msr_write(struct pv_vcpu *v, uint32_t msr, uint64_t value);

/* What a PV guest may see of the processor is masked in the host's table. 0 or -errno. (cpuid.c) [control] */
int pv_cpuid_register(struct pv_domain *d);
/* CPUID as the guest's kernel (by the forced prefix) or user mode gets it. [vcpu] */
void pv_cpuid(struct pv_vcpu *v, bool forced, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);
/* Bits of CR4 that the guest may choose, after CPUID. */
uint64_t pv_cr4_choice(struct pv_vcpu *v);

/* ---- life cycle (domain.c) [control] ---- */

/* 0 or -errno; on failure nothing stays behind. */
int pv_domain_init(struct pv_domain *d, const struct gamut_host *host, struct gamut_inst *inst);
void pv_domain_finish(struct pv_domain *d);
/* Peers, hypercalls, CPUID. */
int pv_domain_start(struct pv_domain *d);
void pv_domain_pause(struct pv_domain *d);
void pv_domain_resume(struct pv_domain *d);
/* Given as "pv-monitor"; self is the struct pv_domain. */
extern const struct gamut_pv_monitor_ops pv_monitor_ops;

#endif
