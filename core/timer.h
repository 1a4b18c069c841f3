/* SPDX-License-Identifier: MIT */
/*
 * Timers in domain time: a heap under a small lock, and one timerfd watched by
 * the I/O loop. Any thread may set a timer; it fires on the I/O thread.
 *
 * A guest sets its next tick on almost every interrupt, mostly to a later time
 * than before. So the descriptor is only set anew for an earlier deadline; one
 * that is too early finds nothing due and is then set right.
 */
#ifndef TIMER_H
#define TIMER_H

#include <pthread.h>
#include <stdint.h>

#include "clock.h"
#include "loop.h"

struct timers {
	const struct clock *clock;
	struct loop *loop;
	int fd;
	struct gamut_watch *watch;
	pthread_mutex_t lock;
	struct gamut_timer **heap; /* earliest first */
	uint32_t n;
	uint32_t room, n_timers; /* heap has room for every timer that exists: setting one cannot fail */
	uint64_t armed; /* domain time that fd is set to; UINT64_MAX: not set */
	bool paused;
};

/* clock and loop must outlive it. 0 or -errno. [control] */
int timers_init(struct timers *t, const struct clock *clock, struct loop *loop);
/* All timers destroyed before. */
void timers_finish(struct timers *t);

/* NULL when memory is short. [control] */
struct gamut_timer *timer_create_in(struct timers *t, gamut_timer_fn fn, void *opaque);
/* From now on its time is booked there. [control] */
void timer_account(struct gamut_timer *timer, struct loop_account *account);
void timer_set_in(struct timers *t, struct gamut_timer *timer, uint64_t ns); /* [any] */
void timer_cancel_in(struct timers *t, struct gamut_timer *timer);           /* [any] */
void timer_destroy_in(struct timers *t, struct gamut_timer *timer);          /* [control], NULL allowed */

/* Around clock_pause and clock_resume, with the loop parked. [control] */
void timers_pause(struct timers *t);
void timers_resume(struct timers *t);

#endif
