/* SPDX-License-Identifier: MIT */
#include "timer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define NOT_SET UINT32_MAX

struct gamut_timer {
	uint64_t when;
	uint32_t index; /* in the heap, or NOT_SET */
	gamut_timer_fn fn;
	void *opaque;
	struct loop_account *account;
};

/* ---- heap ---------------------------------------------------------------------- */

static void put(struct timers *t, uint32_t i, struct gamut_timer *timer)
{
	t->heap[i] = timer;
	timer->index = i;
}

static void sift_up(struct timers *t, uint32_t i, struct gamut_timer *timer)
{
	while (i && timer->when < t->heap[(i - 1) / 2]->when) {
		put(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(t, i, timer);
}

static void sift_down(struct timers *t, uint32_t i, struct gamut_timer *timer)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < t->n && t->heap[child + 1]->when < t->heap[child]->when)
			child++;
		if (child >= t->n || timer->when <= t->heap[child]->when)
			break;
		put(t, i, t->heap[child]);
		i = child;
	}
	put(t, i, timer);
}

static void heap_remove(struct timers *t, struct gamut_timer *timer)
{
	uint32_t i = timer->index;
	struct gamut_timer *last;

	if (i == NOT_SET)
		return;
	timer->index = NOT_SET;
	last = t->heap[--t->n];
	if (last == timer)
		return;
	if (i && last->when < t->heap[(i - 1) / 2]->when)
		sift_up(t, i, last);
	else
		sift_down(t, i, last);
}

/* ---- the descriptor --------------------------------------------------------------- */

/* Domain time to a time that timerfd takes; UINT64_MAX turns it off. */
static void set_fd(struct timers *t, uint64_t when)
{
	struct itimerspec spec = { 0 };
	uint64_t now, mono;

	if (when != UINT64_MAX) {
		now = clock_now(t->clock);
		mono = mono_now();
		mono = when <= now ? mono : when - now > INT64_MAX - mono ? INT64_MAX : mono + (when - now);
		spec.it_value.tv_sec = (time_t)(mono / NS_PER_S);
		spec.it_value.tv_nsec = (long)(mono % NS_PER_S);
	}
	timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &spec, NULL);
	t->armed = when;
}

static void arm(struct timers *t)
{
	if (!t->paused && t->n && t->heap[0]->when < t->armed)
		set_fd(t, t->heap[0]->when);
}

/*
 * Fires what is due, each timer at most once: one that sets itself to the
 * past must not keep the I/O thread from everything else.
 */
static void fire(void *opaque, int fd, uint32_t events)
{
	struct timers *t = opaque;
	uint64_t now = clock_now(t->clock), count;
	uint32_t left;

	(void)events;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	pthread_mutex_lock(&t->lock);
	t->armed = UINT64_MAX;
	for (left = t->n; left && t->n && t->heap[0]->when <= now; left--) {
		struct gamut_timer *timer = t->heap[0];

		heap_remove(t, timer);
		pthread_mutex_unlock(&t->lock);
		loop_call(timer->account, timer->fn, timer->opaque);
		pthread_mutex_lock(&t->lock);
	}
	arm(t);
	pthread_mutex_unlock(&t->lock);
}

/* ---- life ----------------------------------------------------------------------------- */

int timers_init(struct timers *t, const struct clock *clock, struct loop *loop)
{
	int err;

	memset(t, 0, sizeof(*t));
	t->clock = clock;
	t->loop = loop;
	t->armed = UINT64_MAX;
	t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (t->fd < 0)
		return -errno;
	t->watch = loop_watch(loop, t->fd, GAMUT_FD_IN, fire, t);
	if (!t->watch) {
		err = -errno;
		close(t->fd);
		return err;
	}
	pthread_mutex_init(&t->lock, NULL);
	return 0;
}

void timers_finish(struct timers *t)
{
	loop_unwatch(t->loop, t->watch);
	close(t->fd);
	free(t->heap);
	pthread_mutex_destroy(&t->lock);
}

static int make_room(struct timers *t)
{
	uint32_t room = t->room ? t->room * 2 : 16;
	struct gamut_timer **heap;

	if (t->n_timers < t->room)
		return 0;
	heap = realloc(t->heap, room * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	t->heap = heap;
	t->room = room;
	return 0;
}

struct gamut_timer *timer_create_in(struct timers *t, gamut_timer_fn fn, void *opaque)
{
	struct gamut_timer *timer = calloc(1, sizeof(*timer));
	int err;

	if (!timer)
		return NULL;
	*timer = (struct gamut_timer){ .index = NOT_SET, .fn = fn, .opaque = opaque };
	pthread_mutex_lock(&t->lock);
	err = make_room(t);
	if (!err)
		t->n_timers++;
	pthread_mutex_unlock(&t->lock);
	if (!err)
		return timer;
	free(timer);
	return NULL;
}

void timer_account(struct gamut_timer *timer, struct loop_account *account)
{
	timer->account = account;
}

void timer_set_in(struct timers *t, struct gamut_timer *timer, uint64_t ns)
{
	pthread_mutex_lock(&t->lock);
	heap_remove(t, timer);
	/* The end of time is "not set" in armed, and no timer gets that old. */
	timer->when = ns < UINT64_MAX ? ns : UINT64_MAX - 1;
	sift_up(t, t->n++, timer);
	arm(t);
	pthread_mutex_unlock(&t->lock);
}

void timer_cancel_in(struct timers *t, struct gamut_timer *timer)
{
	pthread_mutex_lock(&t->lock);
	heap_remove(t, timer);
	pthread_mutex_unlock(&t->lock);
}

void timer_destroy_in(struct timers *t, struct gamut_timer *timer)
{
	if (!timer)
		return;
	pthread_mutex_lock(&t->lock);
	heap_remove(t, timer);
	t->n_timers--;
	pthread_mutex_unlock(&t->lock);
	free(timer);
}

void timers_pause(struct timers *t)
{
	pthread_mutex_lock(&t->lock);
	t->paused = true;
	set_fd(t, UINT64_MAX);
	pthread_mutex_unlock(&t->lock);
}

void timers_resume(struct timers *t)
{
	pthread_mutex_lock(&t->lock);
	t->paused = false;
	arm(t);
	pthread_mutex_unlock(&t->lock);
}
