/* SPDX-License-Identifier: MIT */
/* A second vCPU: started as its mode has it, and given jobs. */
#ifndef PROBE_SMP_H
#define PROBE_SMP_H

#include "probe.h"

#define AP 1u
#define AP_STACK_BYTES 16384u

typedef void (*job_fn)(unsigned me); /* 0 on the first vCPU, 1 on the second */

extern uint8_t ap_stack[AP_STACK_BYTES];
extern volatile uint32_t ap_asked, ap_done, ap_id;

/* Whether this runs on the second vCPU: by its stack. */
static inline bool on_second(void)
{
	uint64_t here = (uint64_t)__builtin_frame_address(0);

	return here >= (uint64_t)ap_stack && here < (uint64_t)ap_stack + AP_STACK_BYTES;
}

static inline void wait_for(const volatile uint32_t *word, uint32_t value)
{
	while (*word != value)
		__asm__ volatile("pause" ::: "memory");
}

/* ---- smp-start.c ---- */
uint32_t apic_id(void);
/* The second begins with a job; wait_for(&ap_done, ap_asked) waits for its end. */
void ap_start(job_fn job);
void both(job_fn job);
/* Brings the second up, from wherever it is, in any mode; false: there is none. */
bool smp_start(void);
struct vcpu_hvm_context;
void ap_context(struct vcpu_hvm_context *c);

/* ---- entry.S ---- */
extern uint8_t ap_trampoline[], ap_trampoline_end[], ap_entry64[];

#endif
