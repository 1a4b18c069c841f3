/* SPDX-License-Identifier: MIT */
/*
 * What is done about an exit: one const table from reason to handler, at the
 * end of exit.c. Handlers take the plain struct that the engine fills, so a
 * test can make one up; they change nothing but the exit's result fields, the
 * device that answers, and the vCPU's own account.
 */
#ifndef EXIT_H
#define EXIT_H

#include "engine/engine.h"

struct vcpu;

/* What the run loop is to do next. */
enum verdict {
	VERDICT_RESUME, /* enter the guest again, which completes the exit */
	VERDICT_IDLE,   /* sleep until an event in vcpu->idle_mask, then resume */
	VERDICT_STOP,   /* the domain has ended; the control thread takes over */
	VERDICT_FAULT,  /* resume, and the guest takes the exception that the exit's fields say */
};

/* Counters of one vCPU, written by its thread alone and read by any; relaxed. */
struct exit_counters {
	_Atomic uint64_t reason[EXIT_COUNT];
	_Atomic uint64_t faults;   /* VERDICT_FAULT */
	_Atomic uint64_t restarts; /* hypercalls run again */
	_Atomic uint64_t *owner;   /* by bus_owner.index; [0]: unclaimed */
	_Atomic uint64_t *ticks;   /* likewise: of the TSC, spent on them; an estimate from a sample */
	const uint64_t *burn;      /* by bus_owner.index: ticks to waste on each exit (burn.h); NULL: none */
	uint32_t n_owners;
	uint32_t last;             /* whose the last exit was */
	uint32_t until_sample;     /* exits to go */
	uint32_t random;
};

/* Handles and counts one exit. On the vCPU's thread. */
enum verdict exit_dispatch(struct vcpu *v, struct vcpu_exit *exit);

/* Runs the handler of a hypercall and counts it to its owner; -ENOSYS when nobody's. On the vCPU's thread. */
int64_t exit_hypercall(struct vcpu *v, struct gamut_hypercall *call, uint64_t rip);

/* "pio", "mmio", ...; NULL beyond the last. For statistics. */
const char *exit_name(enum exit_reason reason);

#endif
