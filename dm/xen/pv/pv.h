/* SPDX-License-Identifier: MIT */
/*
 * The monitor of a PV guest: state that its files share. See the essay in
 * monitor.c for how an event travels, and gamut/pv.h for the border to the
 * engine.
 *
 *   monitor.c   the essay; what is slow: hypercalls through the host's table
 *   domain.c    life cycle, and what other plugins see of the monitor
 *   fast.c      events in, those hypercalls that are settled at once
 *   trap.c      bouncing exceptions, syscalls and event upcalls to the kernel
 *   iret.c      the way back
 *   segment.c   stack_switch, set_segment_base, fpu_taskswitch, swapgs
 *   callback.c  set_trap_table, set_callbacks, callback_op, nmi_op
 *   context.c   a vCPU's whole state: VCPUOP_initialise; failsafe callback
 *   misc-op.c   debug registers, vm_assist, physdev_op, what is not for guests
 *   emulate.c   privileged instructions; decode.c what of x86 that needs;
 *   ports.c msr.c cpuid.c their answers
 *   m2p.c       machine-to-physical table, the monitor's slots, life cycle
 *   frame.c     what each frame is used as, and how often; flushes
 *   pte.c       checks and repairs of entries
 *   pin.c       whole tables: check, pin, unpin, make them roots
 *   mmu-update.c mmuext.c va-mapping.c   the hypercalls on them; mmu-fast.c
 *   descriptor.c GDT, LDT, update_descriptor
 *
 * Files marked fast are built vector-free (gamut/pv.h): they call nothing
 * outside this folder but the engine's ops, and use pv_copy and pv_zero.
 */
#ifndef DM_XEN_PV_H
#define DM_XEN_PV_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/xen/hypercall.h"
#include "dm/xen/pv/ports.h"
#include "gamut/pv.h"
#include "gamut/xen.h"

struct pv_domain;
struct pv_mmu;

/* A place in the guest's kernel where something is delivered. */
struct pv_entry {
	uint64_t rip; /* 0: none */
	uint16_t cs;
	bool mask;    /* events are masked on the way in */
};

enum { PV_KERNEL = 0, PV_USER = 1 };

struct pv_vcpu {
	struct pv_domain *domain;
	struct gamut_pv_cpu *cpu;
	uint32_t index;
	bool user;        /* the guest's user mode is in force (cpu->ops->enter) */
	bool initialised; /* VCPUOP_initialise was done, or vCPU 0 */
	uint8_t *info;    /* vcpu_info: pending byte 0, mask byte 1; never NULL while the guest runs */
	struct arch_vcpu_info *arch; /* for cr2; in the same vcpu_info */

	/* ---- where things go ---- */
	struct pv_entry trap[256];
	uint8_t trap_dpl[256]; /* the lowest privilege (highest number) that may use INT n */
	struct pv_entry event, failsafe, syscall, syscall32, sysenter; /* the NMI's is trap[2] */
	uint16_t kernel_ss;
	uint64_t kernel_sp;
	bool nmi_pending, nmi_masked;
	/*
	 * Why the domain must end: a fast handler could not go on. It has returned
	 * GAMUT_PV_SLOW, for only slow can end the domain.
	 */
	const char *doomed;
	/* Initialised by another vCPU; these selectors are loaded before it first runs, by index GAMUT_*. */
	bool fresh;
	uint16_t first[6];

	/* ---- registers of the guest that ring 3 does not have ---- */
	uint64_t root[2];    /* machine frames, PV_KERNEL and PV_USER; 0: none */
	uint64_t other_gs;   /* GS base of the mode not in force: swapgs */
	uint32_t iopl;       /* PHYSDEVOP_set_iopl: 0 to 3 */
	uint64_t iobitmap;   /* PHYSDEVOP_set_iobitmap: virtual address */
	uint32_t iobitmap_ports;
	bool ts;
	uint64_t cr2, cr4;   /* as the guest sees them */

	/* ---- descriptor tables (descriptor.c) ---- */
	uint64_t gdt_mfn[16];
	uint32_t gdt_entries;
	uint64_t ldt_va;
	uint32_t ldt_entries;
};

/*
 * What a machine frame is used as; see frame.c. PV_WRITABLE: the guest has it
 * mapped writable. PV_NONE: no RAM that the guest owns.
 */
enum pv_use { PV_FREE = 0, PV_L1, PV_L2, PV_L3, PV_L4, PV_DESC, PV_WRITABLE, PV_NONE };
#define PV_USE 0x7fu
#define PV_PINNED 0x80u

struct pv_domain {
	struct xen_env env;
	const struct gamut_xen_intr_ops *intr;
	void *intr_self;
	uint32_t n_vcpus;
	struct pv_vcpu *vcpu;
	struct gamut_pv_cpu **cpu;
	uint64_t vm_assist; /* bits VMASST_TYPE_*; atomic */
	struct pv_pit pit;
	pthread_mutex_t lock; /* VCPUOP_initialise */
	bool wired;   /* peers were looked up */
	bool booted;
	bool crashed; /* the reason has been said; atomic */

	/* m2p.c */
	uint8_t *ram;         /* host address of gpa 0; pages of RAM may be touched through it */
	uint64_t n_mfn;       /* frames that m2p and use have: one more than the highest of RAM */
	uint64_t *m2p;        /* the guest's machine_to_phys table, host view */
	uint8_t *use;         /* enum pv_use and PV_PINNED a frame */
	uint64_t m2p_va;      /* where guests see m2p */
	struct pv_mmu *mmu;   /* the rest of the memory half's (pv-mmu.h) */

	uint64_t *hypercalls, *bounces, *emulated, *exits_slow; /* counters */
	uint64_t *entries, *table_ops; /* signs, added to under the lock */
};

/* Copies without vector registers. */
static inline void pv_copy(void *dst, const void *src, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}

static inline void pv_zero(void *dst, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(0) : "memory");
}

/* ---- between the trap half and the memory half ---- */

/* Settled by the memory half: the guest goes on, or hypercall result in *rc. */
enum { PV_NOT_MINE = 0, PV_DONE = 1 };

/*
 * A page fault, before it is bounced: a native write to a page table, or a page
 * of the LDT that is not in the monitor's window yet. PV_DONE: settled. Else it
 * is to be bounced with what is in v->cpu->cr2 by then: the guest's own address
 * of an LDT page that is missing. (va-mapping.c) [vcpu]
 */
int pv_mmu_fault(struct pv_vcpu *v, uint64_t cr2, uint32_t error);

/* Whether the frame is RAM that the guest owns now. (m2p.c) fast */
bool pv_frame_ok(const struct pv_domain *d, uint64_t mfn);

/*
 * The frame stays a page that the guest may write itself, as the place of a
 * vcpu_info has to, until keep is false: 0; -EINVAL: it is no RAM of the guest,
 * or a table or descriptors. (frame.c) [vcpu]
 */
int pv_frame_keep(struct pv_vcpu *v, uint64_t mfn, bool keep);

/* Checked replacement of all of a vCPU's roots, GDT, LDT: 0 or -errno. (pin.c, descriptor.c) [vcpu] */
int pv_set_roots(struct pv_vcpu *v, uint64_t kernel_mfn, uint64_t user_mfn);
int pv_set_gdt(struct pv_vcpu *v, const uint64_t *mfn, uint32_t entries);
int pv_set_ldt(struct pv_vcpu *v, uint64_t va, uint32_t entries);

/* A selector as the guest may have it: RPL 3, none of the monitor's own descriptors but the flat ones. fast */
static inline uint16_t pv_fix_selector(uint16_t sel)
{
	return (sel & ~3u) ? (uint16_t)(sel | 3) : sel;
}

/*
 * Life cycle of the memory half (m2p.c). [control] init: env, n_vcpus, vcpu and
 * cpu are there, after pv_attach; 0 or -errno, and then nothing is left to finish.
 */
int pv_mmu_init(struct pv_domain *d);
void pv_mmu_finish(struct pv_domain *d);
void pv_mmu_reset(struct pv_domain *d);
/* After pause: pointers into guest memory are taken again. */
void pv_mmu_resume(struct pv_domain *d);
/* Takes the image's tables over and puts the monitor's slots in. 0 or -errno. */
int pv_mmu_boot(struct pv_domain *d, uint64_t root_mfn);
/* struct gamut_pv_monitor_ops, see there. (m2p.c) */
void pv_machphys(const struct pv_domain *d, uint64_t *v_start, uint64_t *v_end, uint64_t *max_mfn);
bool pv_page_free(const struct pv_domain *d, uint64_t mfn);
void pv_page_gone(struct pv_domain *d, uint64_t mfn);
void pv_page_here(struct pv_domain *d, uint64_t mfn, uint64_t pfn);
/* Registers mmu_update, mmuext_op, update_va_mapping(_otherdomain), set_gdt, update_descriptor. */
int pv_mmu_register(struct pv_domain *d);
/*
 * The vector-free way of the same: for SYSCALL from the kernel with the
 * arguments in v->cpu->gpr. PV_DONE: settled, result is in rax. (mmu-fast.c) fast
 */
int pv_mmu_fast(struct pv_vcpu *v, uint32_t nr);

/*
 * Event delivery is due when pending is set and mask clear. fast
 */
static inline bool pv_event_due(const struct pv_vcpu *v)
{
	return __atomic_load_n(&v->info[0], __ATOMIC_SEQ_CST) && !__atomic_load_n(&v->info[1], __ATOMIC_SEQ_CST);
}

/*
 * Builds a bounce frame on the kernel's stack and points the vCPU at the
 * entry; from user mode that switches to the kernel's space. error NULL: none.
 * A frame that cannot be written crashes the domain, as on Xen. (trap.c) fast,
 * but for the crash, which is settled slow.
 */
int pv_bounce(struct pv_vcpu *v, const struct pv_entry *entry, const uint32_t *error);

/* Ends the domain as crashed, with one line that says why. [vcpu], slow only */
void pv_crash(struct pv_vcpu *v, const char *why);

#endif
