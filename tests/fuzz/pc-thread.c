/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target is one thread. So a lock that is taken while it is held is a
 * deadlock, and said at once; and who waits for another thread gets what that
 * would do done. The linker puts these in the place of libc's (--wrap).
 */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "fuzz-input.h"
#include "pc-world.h"

#define TURNS_MAX 1000u

int __real_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

void (*pc_thread_turn)(void);
int64_t pc_thread_wall;

static _Thread_local uint32_t held, turns;

uint32_t pc_thread_locks(void)
{
	turns = 0;
	return held;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
	/* The fuzzer's own threads and locks. */
	if (!pc_thread_turn)
		return __real_pthread_mutex_lock(m);
	FUZZ_CHECK(pthread_mutex_trylock(m) == 0);
	held++;
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
	if (pc_thread_turn)
		held--;
	return __real_pthread_mutex_unlock(m);
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	(void)c;
	FUZZ_CHECK(pc_thread_turn && turns++ < TURNS_MAX);
	pthread_mutex_unlock(m);
	pc_thread_turn();
	pthread_mutex_lock(m);
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!pc_thread_turn || clock != CLOCK_REALTIME)
		return __real_clock_gettime(clock, now);
	now->tv_sec = pc_thread_wall / 1000000000;
	now->tv_nsec = pc_thread_wall % 1000000000;
	return 0;
}
