/* SPDX-License-Identifier: MIT */
/*
 * The I/O thread of a domain: an epoll loop for descriptors, and deferred
 * calls that any thread may ask for.
 *
 * Watches change on the loop's own thread, or on the control thread while the
 * loop is parked or not started; so they need no lock. A deferred call costs
 * its caller one atomic exchange, and a write to an eventfd only when the loop
 * may be asleep.
 */
#ifndef LOOP_H
#define LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

#include "burn.h"
#include "gamut/host.h"

struct loop {
	int epoll, wake;
	struct gamut_watch *watches; /* doubly linked */
	struct gamut_watch *dead;    /* unwatched, freed between two batches */
	uint32_t n_always;           /* watches of files that epoll refuses: always ready */

	struct gamut_defer *_Atomic queued; /* newest first */
	struct gamut_defer *running;        /* of this round, not yet called; the loop's thread alone */
	struct gamut_defer *defers;         /* all, for finish */
	atomic_bool awake;                  /* will look at queued before it sleeps */

	const char *name; /* the thread's, at most 15 bytes; NULL: "gamut-io" */
	pthread_t thread;
	bool started;
	_Atomic int want; /* enum loop_want */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool parked; /* under lock */
};

/*
 * TSC ticks that callbacks of one account took on the I/O thread, the only
 * one that adds; anybody may read.
 */
struct loop_account {
	_Atomic uint64_t ticks;
	uint64_t burn; /* ticks to waste on each call (burn.h) */
};

/* Calls fn and books its time; account may be NULL. */
static inline void loop_call(struct loop_account *account, void (*fn)(void *opaque), void *opaque)
{
	uint64_t begun = __rdtsc();

	fn(opaque);
	if (account && __builtin_expect(account->burn != 0, 0))
		burn_ticks(account->burn);
	if (account)
		atomic_store_explicit(&account->ticks,
		                      atomic_load_explicit(&account->ticks, memory_order_relaxed) + (__rdtsc() - begun),
		                      memory_order_relaxed);
}

int loop_init(struct loop *loop);
/* Stopped or never started. Frees what was left registered. */
void loop_finish(struct loop *loop);

/* The thread starts parked. 0 or -errno. [control] */
int loop_start(struct loop *loop);
/* On return the thread is between two batches and runs nothing. May nest not. [control] */
void loop_park(struct loop *loop);
void loop_unpark(struct loop *loop);
/* Ends and joins the thread. [control] */
void loop_stop(struct loop *loop);

/* One round: deferred calls, then descriptors, waiting at most timeout_ms. The thread's body; also for tests. */
void loop_once(struct loop *loop, int timeout_ms);

/* NULL with errno set. A file that cannot be polled (a regular one) counts as always ready. [control] [io] */
struct gamut_watch *loop_watch(struct loop *loop, int fd, uint32_t events, gamut_fd_fn fn, void *opaque);
/* From now on its time is booked there. */
void loop_watch_account(struct gamut_watch *watch, struct loop_account *account);
/* 0 or -errno. */
int loop_modify(struct loop *loop, struct gamut_watch *watch, uint32_t events);
/* fn is not called again. NULL is allowed. The descriptor stays open. */
void loop_unwatch(struct loop *loop, struct gamut_watch *watch);

/* See host.h. NULL when memory is short. */
struct gamut_defer *loop_defer_create(struct loop *loop, gamut_defer_fn fn, void *opaque);
void loop_defer_account(struct gamut_defer *defer, struct loop_account *account);
void loop_defer_run(struct loop *loop, struct gamut_defer *defer);
void loop_defer_destroy(struct loop *loop, struct gamut_defer *defer);

#endif
