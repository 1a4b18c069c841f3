/* SPDX-License-Identifier: MIT */
/*
 * PV on KVM: the guest's user mode runs directly on the processor inside a KVM
 * virtual machine, its kernel (which is in ring 3 too) under the binary
 * translator beside it.
 *
 * Why so. A PV kernel leaves ring 3 for its monitor at every page-table
 * update, address-space switch, return to user mode and interrupt; each such
 * exit costs 27 us where KVM is software and a microsecond or two where it is
 * not, but 0.1 us under the translator, whose monitor is plain C around the
 * corner. User code leaves rarely and gains most from running as it is. It is
 * the division of labour of VMware's first monitor.
 *
 * What is in the virtual machine: the guest's RAM, as the guest knows it, and
 * a few pages of ours out of its reach (direct-stub.c): descriptor tables, and
 * one page of ring-0 code with a port write for every exception vector, and
 * for SYSCALL. Whatever happens in user mode, the vCPU stands there at the
 * next exit, with the user's registers in the frame on its stack. So there is
 * nothing to emulate: the registers go back to the translator, which runs the
 * same instruction again and meets the same event (but for traps, such as that
 * of INT3, which it is told of).
 *
 * Address spaces (direct-space.c): page tables of ours, filled when user mode
 * faults on them, 2 MiB at a time, from the guest's tables. They never map the
 * guest's kernel, and never map writable what holds translated code or is not
 * dirty yet. What may have changed while the translator ran is noted by
 * engine/bt/handover.h; then the tables are dropped.
 *
 * When to go there and when to stay is bt/handover.c's to decide.
 *
 * Known limits, all of software KVM, which gives ring 3 the host's own tables
 * and CPUID: `cpuid` is the host's, so are the results of sgdt, lsl and lar
 * and rdtscp's processor number; they are the guest's own wherever KVM has
 * hardware. Code with segment registers in use runs under the translator; a
 * far transfer out of 64-bit code in the middle of a stay is met only where
 * KVM has hardware.
 */
#ifndef ENGINE_KVM_DIRECT_H
#define ENGINE_KVM_DIRECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "engine/bt/handover.h"
#include "mem.h"

struct kvm_run;

/* ---- direct-space.c: the page tables user mode runs on ---- */

struct direct_space {
	struct mem *mem;
	uint8_t *pool;      /* host address of the pool's pages, all zero until taken */
	uint64_t pool_gpa;
	uint32_t n_pages, first, used; /* pages [first, n_pages) are for tables */
	uint64_t root;      /* own top-level table, guest physical; 0: none yet */
	uint64_t guest;     /* the guest's top-level table that it was filled from */
	uint8_t *writable;  /* by guest frame: mapped writable here; shared with the translator */
	uint64_t n_fill, n_drop;
};

/* Own entries that every root has, beside the user half: slot and entry. */
struct direct_fixed {
	uint32_t slot;
	uint64_t entry;
};

/*
 * Forgets all tables and makes an empty one for the guest's tables at `guest`.
 * True when pages are being used again, so that KVM must forget what it
 * derived from them.
 */
bool direct_space_drop(struct direct_space *s, uint64_t guest, const struct direct_fixed *fixed);
/*
 * After a fault at va: maps the 2 MiB around it as the guest's tables say.
 * True when the access (write, fetch) is allowed now; false: the guest's
 * tables, or what the translator must see, forbid it.
 */
bool direct_space_fill(struct direct_space *s, uint64_t va, bool write, bool fetch);

/* ---- direct-stub.c: the ring-0 pages ---- */

#define DIRECT_VA 0xffff808000000000ull /* slot 257: in the range that no PV guest uses; 256 is taken on software KVM */
#define DIRECT_SLOT 257u
#define DIRECT_PORT 0xe0u

enum direct_page { DIRECT_CODE, DIRECT_GDT, DIRECT_IDT, DIRECT_TSS, DIRECT_STACK, DIRECT_L3, DIRECT_L2, DIRECT_L1, DIRECT_PAGES };

/* A ring-0 frame as the stub leaves it on the stack, made uniform. */
struct direct_frame {
	uint32_t vector; /* DIRECT_SYSCALL for the instruction */
	uint64_t error, rip, cs, rflags, rsp, ss;
};
#define DIRECT_SYSCALL 256u
#define DIRECT_LSTAR (DIRECT_VA + 0xc00)
#define DIRECT_STACK_TOP (DIRECT_VA + (DIRECT_STACK + 1) * 4096ull)

/* Fills the pages at pool (zeroed, DIRECT_PAGES of them) and the fixed entry that maps them. */
void direct_stub_make(uint8_t *pool, uint64_t pool_gpa, struct direct_fixed *fixed);
/* The frame, when a vCPU with this ring-0 rip and rsp stands in the stub; false when it does not. */
bool direct_stub_frame(const uint8_t *pool, uint64_t rip, uint64_t rsp, struct direct_frame *frame);

/* ---- direct.c ---- */

struct direct {
	int kvm, vm, vcpu; /* descriptors */
	struct kvm_run *run;
	uint32_t run_size;
	struct bt_vcpu *v;
	struct bt_handover handover;
	struct direct_space space;
	struct direct_fixed fixed;
	uint64_t gen;      /* handover.gen that the space stands for */
	uint64_t xcr0;     /* as KVM has it */
	_Atomic bool inside;
	_Atomic int tid;

	/* pv.c */
	timer_t timer;
	int timer_tid;     /* the thread that the timer is for; 0: there is no timer */
	bool translating, ticking;

	uint64_t n_runs, n_exits, n_syscalls, n_faults, ns; /* counters */
};

/* Whether this host's KVM will do; else why holds a phrase. */
bool direct_probe(char *why, unsigned why_len);
/* 0 or -errno with a line in err. mem and v outlive it. [control] */
int direct_create(struct direct **out, struct mem *mem, struct bt_vcpu *v, char *err, unsigned err_len);
void direct_destroy(struct direct *d);
/* Power-on: nothing is cached. */
void direct_reset(struct direct *d);
/*
 * Runs user mode from the translator's state until the translator is wanted;
 * its state is then up to date. False: KVM has lost it, and exit says how. [vcpu]
 */
bool direct_run(struct direct *d, struct vcpu_exit *exit);
/* Makes direct_run return soon. [any] */
void direct_kick(struct direct *d);

#endif
