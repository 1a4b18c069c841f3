/* SPDX-License-Identifier: MIT */
/*
 * A guest whose kernel runs in ring 3: the border between the engine that runs
 * it and the plugin on the mmu axis that is its monitor.
 *
 * Such a guest has no ring 0 at all. Every system call, exception, software
 * interrupt and privileged instruction of it comes to the monitor's handler as
 * an event, with the vCPU's registers as they were, and the monitor answers by
 * changing them: it emulates, bounces the event to the guest's kernel, or
 * switches address spaces. There are two address spaces at a time, the
 * kernel's and the user's; the monitor says which one is in force, and the
 * engine may keep translations of both.
 *
 * The guest's page tables are used as they are: entries hold guest physical
 * ("machine") frame numbers, and the monitor has checked each. Sixteen slots
 * of every top-level table (256 to 271, 0xffff8000_00000000 up to
 * 0xffff87ff_ffffffff) are the monitor's; some of them may be the engine's
 * (struct gamut_pv_cpu_ops.hole).
 *
 * How a handler is called. fast runs where the event was met, at once, while
 * the guest's vector registers are live: it and all it calls must be built
 * with -mgeneral-regs-only, call nothing outside the plugin but the engine's
 * struct gamut_pv_cpu_ops, and touch guest memory only through pointers taken
 * before. It either settles the event or returns GAMUT_PV_SLOW having changed
 * nothing. slow runs as every other exit handler does and may call any service
 * of the host.
 *
 * Source for what a monitor does with it: Xen's public headers (arch-x86/xen.h,
 * xen.h) and docs/misc.
 */
#ifndef GAMUT_PV_H
#define GAMUT_PV_H

#include "gamut/abi.h"
#include "gamut/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GAMUT_PV_HOLE_FIRST 256u
#define GAMUT_PV_HOLE_SLOTS 16u

enum gamut_pv_event {
	/* SYSCALL. rip is behind the instruction; rcx and r11 are as the guest had them. */
	GAMUT_PV_SYSCALL = 0,
	/* SYSENTER. rip is at the instruction. */
	GAMUT_PV_SYSENTER = 1,
	/*
	 * An exception: vector, error, cr2 as the processor has them. The U bit of
	 * a page fault's error code is what the processor says (set, for all runs
	 * in ring 3). Faults: rip is at the instruction; traps: behind it. INT n
	 * comes as #GP with error n << 3 | 2, but for INT3 and INTO, which come as
	 * #BP and #OF.
	 */
	GAMUT_PV_TRAP = 2,
	/*
	 * Before the guest is entered, after irq_raise or nmi_raise for this vCPU.
	 * cpu->nmi is nonzero when an NMI is among it. The guest stands between
	 * two instructions.
	 */
	GAMUT_PV_ATTENTION = 3,
};

enum gamut_pv_verdict {
	GAMUT_PV_RESUME = 0, /* on with the guest, registers as they now are */
	GAMUT_PV_SLOW = 1,   /* of fast only: call slow */
};

struct gamut_pv_cpu_ops;

/*
 * One vCPU while its event is handled. Engine-owned; the same struct for every
 * event of a vCPU. [vcpu]
 */
struct gamut_pv_cpu {
	uint32_t size;
	uint32_t vcpu;
	const struct gamut_pv_cpu_ops *ops;
	uint64_t *gpr;   /* the 16 registers in the encoding's order; read and write */
	uint64_t rip;    /* taken back when the handler returns */
	uint64_t rflags; /* likewise; IF is always set, IOPL and VM always clear */
	uint32_t event;  /* enum gamut_pv_event */
	uint8_t vector;
	uint8_t has_error;
	uint8_t nmi;
	uint8_t reserved;
	uint32_t error;
	uint32_t reserved2;
	uint64_t cr2;
	uint64_t dr6; /* for #DB: the bits that it sets */
};

/*
 * What an engine does for the monitor. Every function is vector-free and may
 * be called from fast; all are for the calling vCPU, inside its handler, or for
 * one that is down, unless tagged otherwise.
 */
struct gamut_pv_cpu_ops {
	uint32_t size;

	/*
	 * Copies from or to the address space in force, with the rights of ring 3.
	 * 0, or -EFAULT with the first address that failed in *fault (fault may be
	 * NULL); what comes before it may have been copied.
	 */
	int (*read)(struct gamut_pv_cpu *cpu, uint64_t va, void *buf, uint32_t len, uint64_t *fault);
	int (*write)(struct gamut_pv_cpu *cpu, uint64_t va, const void *buf, uint32_t len, uint64_t *fault);

	/* ---- address spaces ---- */

	/*
	 * The top-level tables of the kernel's and the user's space (page-aligned
	 * guest physical addresses; user 0: none). A table that is given, changed
	 * or not, loses all translations that were kept of it; GAMUT_PV_KEEP
	 * leaves that one as it is.
	 */
	void (*roots)(struct gamut_pv_cpu *cpu, uint64_t kernel, uint64_t user);
	/* Which of the two is in force from now on. */
	void (*enter)(struct gamut_pv_cpu *cpu, int user);
	/* Forgets all translations, or those of one page in both spaces. */
	void (*flush)(struct gamut_pv_cpu *cpu);
	void (*flush_page)(struct gamut_pv_cpu *cpu, uint64_t va);
	/*
	 * Stores a page-table entry, atomically, at a guest physical address
	 * (multiple of 8, in RAM: the caller has checked). Every store to a table
	 * that is in use goes through these, for some engines must see them.
	 * exchange stores when expected is still there and returns what was there.
	 * Neither flushes. [vcpu], also when the domain is built [control]: cpu
	 * then is any.
	 */
	void (*pte_write)(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t value);
	uint64_t (*pte_exchange)(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t expected, uint64_t value);

	/* ---- segments and tables ---- */

	/*
	 * Loads a selector from the tables in force. CS, SS: the descriptor must
	 * suit ring 3, RPL is forced to 3. DS ES FS GS: null is allowed; FS and GS
	 * get their base from the descriptor, 0 for null. LDTR and TR: no. 0, or
	 * -EINVAL and nothing has changed.
	 */
	int (*load_segment)(struct gamut_pv_cpu *cpu, uint32_t seg, uint16_t selector);
	uint16_t (*selector)(struct gamut_pv_cpu *cpu, uint32_t seg);
	/* GAMUT_FS or GAMUT_GS; value is canonical. */
	uint64_t (*base)(struct gamut_pv_cpu *cpu, uint32_t seg);
	void (*set_base)(struct gamut_pv_cpu *cpu, uint32_t seg, uint64_t value);
	/* Linear addresses; limits in bytes minus one; an LDT with limit 0 is none. */
	void (*set_gdt)(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit);
	void (*set_ldt)(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit);
	/*
	 * Whether CS is 64-bit code; for deciding how to decode an instruction.
	 */
	int (*code64)(struct gamut_pv_cpu *cpu);

	/* ---- registers that matter in ring 3 ---- */

	/* CR0: TS counts, the rest is fixed. */
	void (*set_ts)(struct gamut_pv_cpu *cpu, int on);
	/* CR4: TSD, DE, OSXSAVE, PCE, FSGSBASE count; other bits are the engine's. */
	uint64_t (*cr4)(struct gamut_pv_cpu *cpu);
	int (*set_cr4)(struct gamut_pv_cpu *cpu, uint64_t value); /* -EINVAL: the processor lacks a bit */
	uint64_t (*xcr0)(struct gamut_pv_cpu *cpu);
	int (*set_xcr0)(struct gamut_pv_cpu *cpu, uint64_t value); /* -EINVAL: as xsetbv's #GP */
	/* DR0-3, 6, 7. The caller has checked that no address is the monitor's. */
	uint64_t (*dr)(struct gamut_pv_cpu *cpu, uint32_t n);
	void (*set_dr)(struct gamut_pv_cpu *cpu, uint32_t n, uint64_t value);
	/* What the guest's CPUID is: the engine's offer with all edits; eax ebx ecx edx. */
	void (*cpuid)(struct gamut_pv_cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);
	uint64_t (*tsc)(struct gamut_pv_cpu *cpu); /* the guest's */

	/* ---- the engine's part of the hole ---- */

	/*
	 * Top-level entries that the engine wants in every table, by slot from
	 * GAMUT_PV_HOLE_FIRST on, GAMUT_PV_HOLE_SLOTS of them, the same for every
	 * vCPU; 0: free for the monitor. Constant. [any]
	 */
	const uint64_t *(*hole)(const struct gamut_pv_cpu *cpu);
	/*
	 * Runs the one instruction at rip with writes allowed to pages that are
	 * mapped read-only, handing every 8-byte-aligned store that hits guest
	 * physical page `gpa` to fn instead of memory: a guest's native write to
	 * its own page table. 0; -EINVAL when the instruction cannot be run so;
	 * -EFAULT when it faults otherwise; what fn returned when that is not 0
	 * (nothing has changed).
	 */
	int (*emulate_write)(struct gamut_pv_cpu *cpu, uint64_t gpa,
	                     int (*fn)(void *opaque, uint64_t gpa, uint64_t old_value, uint64_t new_value), void *opaque);
	/*
	 * Makes every other vCPU forget its translations: all (va GAMUT_PV_KEEP), or
	 * those of one page in both spaces. When it returns none of them can use an
	 * old one any more. The caller may hold a lock that another vCPU's handler
	 * waits for: a vCPU that is not in the guest is told and not waited for.
	 */
	void (*flush_others)(struct gamut_pv_cpu *cpu, uint64_t va);

	/*
	 * Registers that are the processor's and not the system's: speculation
	 * controls and what it says of itself (IA32_ARCH_CAPABILITIES, SPEC_CTRL,
	 * PRED_CMD, the microcode's revision), TSC_AUX. As a kernel in ring 0 would
	 * find them, by CPUID. -EINVAL: #GP, also for any other register. NULL: the
	 * engine has none, and the monitor hides what depends on them.
	 */
	int (*msr_read)(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t *value);
	int (*msr_write)(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t value);
};

#define GAMUT_PV_KEEP UINT64_MAX

/* The monitor, as the plugin gives it to host->pv_attach. */
struct gamut_pv_guest {
	uint32_t size;
	uint32_t reserved;
	int (*fast)(void *opaque, struct gamut_pv_cpu *cpu); /* NULL: always slow */
	int (*slow)(void *opaque, struct gamut_pv_cpu *cpu);
	/*
	 * Whether ATTENTION would find an event to deliver to this vCPU: ends a
	 * vcpu_block. No side effect. [any]
	 */
	int (*pending)(void *opaque, uint32_t vcpu);
};

#ifdef __cplusplus
}
#endif
#endif
