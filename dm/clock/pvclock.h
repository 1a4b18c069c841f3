/* SPDX-License-Identifier: MIT */
/*
 * The paravirtual clock that Xen and KVM have in common: a record for each
 * vCPU that says how system time follows from the TSC, under a version that is
 * odd while it is being written. System time is domain time; it stands still
 * while the domain is paused, which moves the record's two bases.
 */
#ifndef DM_CLOCK_PVCLOCK_H
#define DM_CLOCK_PVCLOCK_H

#include "gamut/host.h"

/* As it lies in guest memory: Xen's struct vcpu_time_info, Linux' pvclock_vcpu_time_info. */
struct pvclock {
	uint32_t version, pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time; /* ns */
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
} __attribute__((packed, aligned(4)));

_Static_assert(sizeof(struct pvclock) == 32, "pvclock");

/* The vCPUs' clocks are one clock, never to be seen going back from one to another. */
#define PVCLOCK_STABLE 1u
/* The vCPU was stopped by the host; set by it, cleared by the guest (KVM alone). */
#define PVCLOCK_STOPPED 2u

/* Whether all vCPUs follow one TSC: the host scales it the same for all. [any] */
int pvclock_stable(const struct gamut_host *host, struct gamut_inst *inst);

/* The record as of now, version 0; flags are PVCLOCK_STABLE if that holds. [any] */
void pvclock_make(const struct gamut_host *host, struct gamut_inst *inst, uint32_t vcpu, struct pvclock *clock);

/*
 * Writes a record into guest memory, to have that version, which is even and
 * another than before. One writer at a time. [any]
 */
void pvclock_publish(struct pvclock *to, const struct pvclock *from, uint32_t version);

/* The host's wall clock as it was at system time 0, in ns since 1970. [any] */
uint64_t pvclock_boot_time(const struct gamut_host *host, struct gamut_inst *inst);

#endif
