/* SPDX-License-Identifier: MIT */
/*
 * How much of the host a domain gets, in Xen's words. (The file cannot be
 * called sched.h: that is the C library's.) The host's scheduler
 * does the scheduling; this maps to what it offers to any user:
 *
 *   weight    the nice value of the vCPU threads. A step of nice is a factor of
 *             1.25 and so is ours, with 256 at nice 0. More than 256 needs the
 *             right to raise priority.
 *   cap       percent of one processor for the whole domain, 0 none: a token
 *             bucket over the threads' CPU time. When it is empty no vCPU
 *             enters the guest.
 *   affinity  sched_setaffinity of the vCPU threads.
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <stdint.h>

#include "timer.h"
#include "vcpu.h"

struct sched {
	struct vcpus *vcpus;
	struct timers *timers;
	struct gamut_timer *tick;
	uint64_t cap;     /* percent */
	uint64_t last_ns; /* domain time of the last tick */
	uint64_t last_cpu;
	int64_t tokens; /* CPU nanoseconds left */
};

/* The nice value for a weight of 1 to 65535. */
int sched_nice(int64_t weight);
/*
 * Applies all three to running vCPU threads. 0 or -errno with a line in err.
 * An affinity that no processor here can meet is an error; a nice value that
 * the host refuses is only logged. [control], paused.
 */
int sched_init(struct sched *s, struct vcpus *vcpus, struct timers *timers, int64_t weight, int64_t cap,
               const uint32_t *affinity, uint32_t n_affinity, char *err, unsigned err_len);
void sched_finish(struct sched *s);

/* The bucket, for tests: elapsed and used are nanoseconds. Returns whether the domain must wait. */
bool sched_bucket(int64_t *tokens, uint64_t cap, uint64_t elapsed, uint64_t used);

#endif
