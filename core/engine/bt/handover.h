/* SPDX-License-Identifier: MIT */
/*
 * When the user mode of a PV guest is worth handing over to another engine
 * that runs it directly (engine/kvm/direct.h), and what must be watched
 * meanwhile. struct bt_vcpu.handover is NULL when nobody takes it.
 *
 * Policy. Handing over and back costs tens of microseconds where KVM is
 * software, as much as a thousand system calls cost here; running user code
 * here costs it some tenths of its speed. So it goes when user code has run
 * for a whole tick (HANDOVER_TICK_NS) with no event at all, and stays gone: a
 * timer interrupt brings it back for the moment that the guest's kernel needs,
 * and it leaves again at the kernel's return to the same address space. Not to
 * another: a program that has just begun asks CPUID what it may use, and where
 * KVM is software the other side answers with the host's. What comes back soon with an
 * event of its own (a page fault, a system call) makes the next departure
 * harder: patience doubles, in ticks, and falls back to one after a long stay.
 *
 * What is watched. The other side has page tables of its own, filled from the
 * guest's. More rights and new pages are found by faulting; when a right is
 * lost here, or a page that is writable there gets translated code, gen
 * changes, and the other side forgets its tables before it runs again. Nothing
 * of the guest runs on both sides at once: there is one vCPU.
 */
#ifndef BT_HANDOVER_H
#define BT_HANDOVER_H

#include "engine/bt/bt.h"

#define HANDOVER_TICK_NS 500000u
#define HANDOVER_PATIENCE_MAX 64u

struct bt_handover {
	uint32_t tick;      /* a tick has passed; set by the vCPU thread's timer signal */
	bool go;            /* why bt's run came back: the other side is to run */
	bool sticky;        /* leave as soon as user mode is in force again, if it is that of `root` */
	uint64_t root;      /* the user space of the last stay */
	uint32_t quiet;     /* ticks without an event */
	uint32_t patience;  /* ticks to wait for */
	uint64_t events;    /* v->n_pv at the last tick */
	uint64_t gen;       /* rights that the other side may have cached are gone */
	uint8_t *writable;  /* by guest frame: mapped writable on the other side */
	uint64_t n_frames;
};

/* Whether to leave now; go is set then. For the dispatcher, which has cleared the poll word. */
bool bt_handover_due(struct bt_vcpu *v);
/* User mode has come into force. */
void bt_handover_user(struct bt_vcpu *v);
/* A page-table entry was replaced. */
void bt_handover_pte(struct bt_vcpu *v, uint64_t old_value, uint64_t new_value);
/* A page got translated code. */
void bt_handover_code(struct bt_vcpu *v, uint64_t gpa);
/* The other side is done: it ran for ns, and came back for an event of the guest's own or not. */
void bt_handover_back(struct bt_vcpu *v, uint64_t ns, bool own_event);

#endif
