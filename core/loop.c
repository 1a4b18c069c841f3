/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH 64

enum loop_want { WANT_RUN, WANT_PARK, WANT_STOP };

struct gamut_watch {
	struct gamut_watch *next, *prev;
	int fd;
	uint32_t events;
	bool always; /* epoll does not take it */
	bool dead;
	gamut_fd_fn fn;
	void *opaque;
	uint32_t ready; /* what fn is told, while it is called */
	struct loop_account *account;
};

struct gamut_defer {
	struct gamut_defer *next_queued;
	struct gamut_defer *next, *prev;
	atomic_bool pending;
	gamut_defer_fn fn;
	void *opaque;
	struct loop_account *account;
};

/* ---- life ------------------------------------------------------------------- */

int loop_init(struct loop *loop)
{
	struct epoll_event ev = { .events = EPOLLIN }; /* data NULL: the wake descriptor */
	int err;

	memset(loop, 0, sizeof(*loop));
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->changed, NULL);
	loop->wake = -1;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		goto fail;
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &ev))
		goto fail;
	return 0;
fail:
	err = -errno;
	loop_finish(loop);
	return err;
}

static void bury(struct loop *loop)
{
	while (loop->dead) {
		struct gamut_watch *w = loop->dead;

		loop->dead = w->next;
		free(w);
	}
}

void loop_finish(struct loop *loop)
{
	while (loop->watches)
		loop_unwatch(loop, loop->watches);
	bury(loop);
	while (loop->defers)
		loop_defer_destroy(loop, loop->defers);
	if (loop->wake >= 0)
		close(loop->wake);
	if (loop->epoll >= 0)
		close(loop->epoll);
	loop->wake = loop->epoll = -1;
	pthread_cond_destroy(&loop->changed);
	pthread_mutex_destroy(&loop->lock);
}

static void wake(struct loop *loop)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, and then the loop is awake. */
	if (write(loop->wake, &one, sizeof(one)) < 0)
		return;
}

/* ---- descriptors ---------------------------------------------------------------- */

static uint32_t to_epoll(uint32_t events)
{
	return (events & GAMUT_FD_IN ? EPOLLIN : 0) | (events & GAMUT_FD_OUT ? EPOLLOUT : 0);
}

static uint32_t from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? GAMUT_FD_IN : 0) | (events & EPOLLOUT ? GAMUT_FD_OUT : 0) |
	       (events & (EPOLLERR | EPOLLHUP) ? GAMUT_FD_ERR : 0);
}

struct gamut_watch *loop_watch(struct loop *loop, int fd, uint32_t events, gamut_fd_fn fn, void *opaque)
{
	struct gamut_watch *w = calloc(1, sizeof(*w));
	struct epoll_event ev = { .events = to_epoll(events), .data.ptr = w };

	if (!w)
		return NULL;
	*w = (struct gamut_watch){ .fd = fd, .events = events, .fn = fn, .opaque = opaque };
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		if (errno != EPERM) {
			free(w);
			return NULL;
		}
		w->always = true;
		loop->n_always++;
	}
	w->next = loop->watches;
	if (w->next)
		w->next->prev = w;
	loop->watches = w;
	return w;
}

int loop_modify(struct loop *loop, struct gamut_watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = to_epoll(events), .data.ptr = w };

	if (!w->always && w->events != events && epoll_ctl(loop->epoll, EPOLL_CTL_MOD, w->fd, &ev))
		return -errno;
	w->events = events;
	return 0;
}

/* The batch at hand may still name the watch, so it is only marked. */
void loop_unwatch(struct loop *loop, struct gamut_watch *w)
{
	if (!w)
		return;
	if (w->always)
		loop->n_always--;
	else
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	if (w->prev)
		w->prev->next = w->next;
	else
		loop->watches = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->dead = true;
	w->prev = NULL;
	w->next = loop->dead;
	loop->dead = w;
}

void loop_watch_account(struct gamut_watch *w, struct loop_account *account)
{
	w->account = account;
}

static void call_watch(void *opaque)
{
	struct gamut_watch *w = opaque;

	w->fn(w->opaque, w->fd, w->ready);
}

static void run_watch(struct gamut_watch *w, uint32_t events)
{
	w->ready = events;
	loop_call(w->account, call_watch, w);
}

/* Files without readiness of their own. A handler may unwatch any of them, itself included. */
static bool run_always(struct loop *loop)
{
	struct gamut_watch *w = loop->watches, *next;
	bool busy = false;

	for (; w && loop->n_always; w = next) {
		/* A watch that is dead by now leads into the list of the dead, which ends the round. */
		next = w->next;
		if (!w->always || w->dead || !w->events)
			continue;
		busy = true;
		run_watch(w, w->events);
	}
	return busy;
}

static bool any_always(const struct loop *loop)
{
	const struct gamut_watch *w = loop->n_always ? loop->watches : NULL;

	while (w && !(w->always && w->events))
		w = w->next;
	return w;
}

/* ---- deferred calls ----------------------------------------------------------------- */

struct gamut_defer *loop_defer_create(struct loop *loop, gamut_defer_fn fn, void *opaque)
{
	struct gamut_defer *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->fn = fn;
	d->opaque = opaque;
	d->next = loop->defers;
	if (d->next)
		d->next->prev = d;
	loop->defers = d;
	return d;
}

void loop_defer_account(struct gamut_defer *d, struct loop_account *account)
{
	d->account = account;
}

static void push(struct loop *loop, struct gamut_defer *d)
{
	struct gamut_defer *head = atomic_load_explicit(&loop->queued, memory_order_relaxed);

	do {
		d->next_queued = head;
	} while (!atomic_compare_exchange_weak(&loop->queued, &head, d));
}

void loop_defer_run(struct loop *loop, struct gamut_defer *d)
{
	if (atomic_exchange(&d->pending, true))
		return;
	push(loop, d);
	/* Pairs with run_once: either the loop sees the entry before it sleeps, or we see it asleep. */
	if (!atomic_load(&loop->awake))
		wake(loop);
}

/* Takes what is queued, oldest first. */
static struct gamut_defer *take(struct loop *loop)
{
	struct gamut_defer *d = atomic_exchange(&loop->queued, NULL), *list = NULL;

	while (d) {
		struct gamut_defer *next = d->next_queued;

		d->next_queued = list;
		list = d;
		d = next;
	}
	return list;
}

/* The loop is parked or this is its thread: nobody else takes; others may push. */
static void unqueue(struct loop *loop, struct gamut_defer *gone)
{
	struct gamut_defer *d = take(loop), *next, **link;

	/* One deferred call may end another that is to run in the same round. */
	for (link = &loop->running; *link && *link != gone;)
		link = &(*link)->next_queued;
	if (*link)
		*link = gone->next_queued;

	for (; d; d = next) {
		next = d->next_queued;
		if (d != gone)
			push(loop, d);
	}
}

void loop_defer_destroy(struct loop *loop, struct gamut_defer *d)
{
	if (!d)
		return;
	unqueue(loop, d);
	if (d->prev)
		d->prev->next = d->next;
	else
		loop->defers = d->next;
	if (d->next)
		d->next->prev = d->prev;
	free(d);
}

static void run_deferred(struct loop *loop)
{
	struct gamut_defer *d;

	loop->running = take(loop);
	while ((d = loop->running)) {
		loop->running = d->next_queued;
		/* Before fn, so that a call during it runs it once more. */
		atomic_store(&d->pending, false);
		loop_call(d->account, d->fn, d->opaque);
	}
}

/* ---- the round ------------------------------------------------------------------------ */

static void run_event(struct loop *loop, const struct epoll_event *ev)
{
	struct gamut_watch *w = ev->data.ptr;
	uint64_t count;

	if (w && !w->dead)
		run_watch(w, from_epoll(ev->events));
	else if (!w && read(loop->wake, &count, sizeof(count)) < 0)
		return;
}

void loop_once(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[BATCH];
	int n;

	run_deferred(loop);
	run_always(loop);
	bury(loop);
	atomic_store(&loop->awake, false);
	if (atomic_load(&loop->queued) || atomic_load(&loop->want) != WANT_RUN || any_always(loop))
		timeout_ms = 0;
	n = epoll_wait(loop->epoll, events, BATCH, timeout_ms);
	atomic_store(&loop->awake, true);
	for (int i = 0; i < n; i++)
		run_event(loop, &events[i]);
	bury(loop);
}

/* ---- the thread --------------------------------------------------------------------------- */

static void stay_parked(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->parked = true;
	pthread_cond_broadcast(&loop->changed);
	while (atomic_load(&loop->want) == WANT_PARK)
		pthread_cond_wait(&loop->changed, &loop->lock);
	loop->parked = false;
	pthread_mutex_unlock(&loop->lock);
}

static void *loop_main(void *opaque)
{
	struct loop *loop = opaque;
	int want;

	pthread_setname_np(pthread_self(), loop->name ? loop->name : "gamut-io");
	while ((want = atomic_load(&loop->want)) != WANT_STOP) {
		if (want == WANT_PARK)
			stay_parked(loop);
		else
			loop_once(loop, -1);
	}
	return NULL;
}

static void set_want(struct loop *loop, int want)
{
	pthread_mutex_lock(&loop->lock);
	atomic_store(&loop->want, want);
	pthread_cond_broadcast(&loop->changed);
	pthread_mutex_unlock(&loop->lock);
	wake(loop);
}

int loop_start(struct loop *loop)
{
	int err;

	atomic_store(&loop->want, WANT_PARK);
	err = pthread_create(&loop->thread, NULL, loop_main, loop);
	loop->started = !err;
	return -err;
}

void loop_park(struct loop *loop)
{
	if (!loop->started)
		return;
	set_want(loop, WANT_PARK);
	pthread_mutex_lock(&loop->lock);
	while (!loop->parked)
		pthread_cond_wait(&loop->changed, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

void loop_unpark(struct loop *loop)
{
	if (loop->started)
		set_want(loop, WANT_RUN);
}

void loop_stop(struct loop *loop)
{
	if (!loop->started)
		return;
	set_want(loop, WANT_STOP);
	pthread_join(loop->thread, NULL);
	loop->started = false;
}
