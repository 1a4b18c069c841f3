/* SPDX-License-Identifier: MIT */
/*
 * Domain time: nanoseconds since the domain was created, standing still while
 * it is paused.
 *
 * A guest reads time in two ways: from the TSC through the scale that pvclock
 * pages publish, and from timers that the host fires. Were the host's end
 * CLOCK_MONOTONIC, the two would drift apart as NTP slews it. So once
 * calibrated, domain time is the TSC through the very scale that guests get,
 * and deadlines are turned into CLOCK_MONOTONIC only when a timer is armed. On
 * a host whose TSC is not steady, CLOCK_MONOTONIC it is.
 *
 * Written on [control] while no other thread of the domain runs; read by any.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct clock_sample {
	uint64_t tsc, mono;
};

/* ns = (((tsc - tsc_base) << shift, or >> -shift) * mul >> 32) + ns_base */
struct clock_scale {
	uint64_t tsc_base, ns_base;
	uint32_t mul;
	int8_t shift;
};

struct clock {
	struct clock_sample first; /* at clock_init */
	uint64_t mono_base;        /* CLOCK_MONOTONIC at domain time 0, while the TSC is not in use */
	struct clock_scale scale;
	bool tsc;    /* domain time follows the TSC */
	bool frozen; /* at frozen_ns */
	uint64_t frozen_ns;
};

/* Domain time starts, from CLOCK_MONOTONIC. */
void clock_init(struct clock *c);
/* Measures the TSC since clock_init, waiting until that is a few milliseconds ago, and changes over to it. */
void clock_calibrate(struct clock *c);
/* Nanoseconds of domain time. Never goes back. */
uint64_t clock_now(const struct clock *c);
void clock_pause(struct clock *c);
void clock_resume(struct clock *c);

/* For tests: whether this host's TSC is steady; the arithmetic. */
bool clock_tsc_steady(void);
struct clock_scale clock_scale_from(const struct clock_sample *a, const struct clock_sample *b);
uint64_t clock_scale_apply(const struct clock_scale *s, uint64_t tsc);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t mono_now(void);

#endif
