/* SPDX-License-Identifier: MIT */
/*
 * The probe as a PV guest: its page tables, and what only such a guest can do.
 * Virtual address 0 is pseudo-physical address 0, so the machine frame of
 * anything in the image is p2m[address / 4096].
 */
#ifndef PROBE_PV_H
#define PROBE_PV_H

#include "probe.h"

#include <xen/callback.h>
#include <xen/nmi.h>
#include <xen/physdev.h>

#define PTE_P   0x001ull
#define PTE_W   0x002ull
#define PTE_U   0x004ull
#define PTE_A   0x020ull
#define PTE_D   0x040ull
#define PTE_RO  (PTE_P | PTE_U | PTE_A)
#define PTE_RW  (PTE_RO | PTE_W | PTE_D)
#define PTE_MFN(e) ((e) >> 12 & 0xffffffffffull)

/* Where the window of 2 MiB is that tests map pages in: top-level slot 1. */
#define WINDOW_SLOT 1u
#define WINDOW      0x8000000000ull

#define HOLE        0xffff800000000000ull
#define UNMAPPED    0x123456789000ull
#define NONCANONICAL 0x8000000000000000ull

/* What struct frame has as vector beside the processor's. */
#define PV_VECTOR_SYSCALL   0x100
#define PV_VECTOR_SYSCALL32 0x101
#define PV_VECTOR_SYSENTER  0x102
#define PV_VECTOR_FAILSAFE  0x103

struct pv {
	const struct start_info *start;
	unsigned long *p2m;
	const unsigned long *m2p;
	uint64_t m2p_count;
	uint64_t l4;      /* the frame of the kernel's top-level table */
	uint64_t user_l4; /* of the user's */
	char cmdline[MAX_GUEST_CMDLINE];
};

/* What user mode starts with; rbx is arg. */
struct pv_user {
	uint64_t rip, cs, rflags, rsp, ss, arg;
};

extern struct pv pv;
/* The tables of the window, all mapped read-only. */
extern uint64_t window_l1[512], window_l2[512], window_l3[512];

/* ---- pv.c ---- */
void pv_init(const struct start_info *start);
/* Everything that tells the monitor where to deliver, once more. */
void pv_callbacks(void);
void pv_map_grants(void *table);
/* The address where a table's frame is mapped. */
uint64_t *pv_table(uint64_t mfn);
/* The entry of level 1 to 4 for an address, or NULL where a table is missing. */
uint64_t *pv_entry_for(uint64_t root, uint64_t va, unsigned level);
/* The machine address of anything in the image. */
uint64_t pv_machine(const void *p);
long pv_va_mapping(uint64_t va, uint64_t pte, unsigned long flags);
/* A request on the entry at `entry`, of type MMU_*. */
long pv_update(uint64_t *entry, unsigned type, uint64_t value);
long pv_update_at(uint64_t machine, uint64_t value);
long pv_ext(unsigned cmd, uint64_t arg1, uint64_t arg2);
/* Changes the mapping of a page of the image, with all its other pages as they are. */
long pv_page_rights(const void *page, uint64_t rights);
/* The window's page i shows this page. */
uint8_t *pv_window(unsigned i, const void *page);
long pv_iopl(unsigned iopl);
void pv_force_upcall(void);

/* ---- pv-entry.S ---- */
long hypercall_syscall(unsigned nr, ...);
long hypercall_raw(uint64_t nr, const uint64_t args[6]);
_Noreturn void pv_iret_raw(const void *frame);
uint64_t pv_user_enter(const struct pv_user *u);
extern uint8_t pv_trap_stubs[], pv_event_entry[], pv_failsafe_entry[], pv_syscall_entry[], pv_syscall32_entry[],
	pv_sysenter_entry[], trap_stack_top[], user_stack_top[], pv_nothing[];

/* ---- pv-user.c ---- */
void pv_user_init(void);
void check_pv_user(void);

/* ---- the other checks ---- */
void check_pv_start(void);  /* pv-start.c */
void check_pv_trap(void);   /* pv-trap.c */
void check_pv_emulate(void); /* pv-emulate.c */
void check_pv_segment(void); /* pv-segment.c */
void check_pv_event(void);  /* pv-event.c */
void check_pv_mmu(void);    /* pv-mmu.c */
void check_pv_pin(void);    /* pv-pin.c */
void check_pv_memory(void); /* pv-memory.c */

#endif
