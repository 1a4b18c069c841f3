/* SPDX-License-Identifier: MIT */
#include "schedule.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define DEFAULT_WEIGHT 256
#define TICK_NS 10000000ull
#define BURST_TICKS 3 /* what an idle domain may save up */

int sched_nice(int64_t weight)
{
	double w = (double)weight, ref = DEFAULT_WEIGHT;
	int nice = 0;

	/* To the nearest step: half a step is a factor of sqrt(1.25). */
	for (; nice < 19 && w * 1.118 < ref; nice++)
		ref /= 1.25;
	for (; nice > -20 && w > ref * 1.118; nice--)
		ref *= 1.25;
	return nice;
}

bool sched_bucket(int64_t *tokens, uint64_t cap, uint64_t elapsed, uint64_t used)
{
	int64_t most = (int64_t)(BURST_TICKS * TICK_NS * cap / 100);

	/* A host that slept for a long time must not overflow this. */
	if (elapsed > 1000 * TICK_NS)
		elapsed = 1000 * TICK_NS;
	*tokens += (int64_t)(elapsed * cap / 100) - (int64_t)used;
	if (*tokens > most)
		*tokens = most;
	return *tokens < 0;
}

static uint64_t cpu_used(const struct vcpus *set)
{
	uint64_t sum = 0, ns[VCPU_TIMES];

	for (uint32_t i = 0; i < set->n; i++) {
		vcpu_times(set->vcpu[i], ns);
		sum += ns[VCPU_RUNNING];
	}
	return sum;
}

static void tick(void *opaque)
{
	struct sched *s = opaque;
	uint64_t now = clock_now(s->vcpus->clock), cpu = cpu_used(s->vcpus);
	uint64_t used = cpu > s->last_cpu ? cpu - s->last_cpu : 0;

	vcpus_throttle(s->vcpus, sched_bucket(&s->tokens, s->cap, now - s->last_ns, used));
	s->last_ns = now;
	s->last_cpu = cpu;
	timer_set_in(s->timers, s->tick, now + TICK_NS);
}

static int start_cap(struct sched *s, char *err, unsigned err_len)
{
	s->tick = timer_create_in(s->timers, tick, s);
	if (!s->tick) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	s->last_ns = clock_now(s->vcpus->clock);
	timer_set_in(s->timers, s->tick, s->last_ns + TICK_NS);
	return 0;
}

static int set_affinity(struct vcpu *v, const uint32_t *cpus, uint32_t n, char *err, unsigned err_len)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (uint32_t i = 0; i < n; i++) {
		if (cpus[i] < CPU_SETSIZE)
			CPU_SET(cpus[i], &set);
	}
	if (!sched_setaffinity(atomic_load(&v->tid), sizeof(set), &set))
		return 0;
	snprintf(err, err_len, "none of the processors of affinity can be used here: %s", strerror(errno));
	return -errno;
}

static void set_nice(struct vcpu *v, int nice)
{
	if (!nice || !setpriority(PRIO_PROCESS, (id_t)atomic_load(&v->tid), nice) || !v->set->log || v->index)
		return;
	log_line(v->set->log, GAMUT_LOG_WARN, NULL, "weight has no effect: nice %d is refused (%s)", nice,
	         strerror(errno));
}

int sched_init(struct sched *s, struct vcpus *vcpus, struct timers *timers, int64_t weight, int64_t cap,
               const uint32_t *affinity, uint32_t n_affinity, char *err, unsigned err_len)
{
	memset(s, 0, sizeof(*s));
	s->vcpus = vcpus;
	s->timers = timers;
	s->cap = (uint64_t)cap;
	for (uint32_t i = 0; i < vcpus->n; i++) {
		int rc = affinity ? set_affinity(vcpus->vcpu[i], affinity, n_affinity, err, err_len) : 0;

		if (rc)
			return rc;
		set_nice(vcpus->vcpu[i], sched_nice(weight));
	}
	return cap ? start_cap(s, err, err_len) : 0;
}

void sched_finish(struct sched *s)
{
	if (s->timers)
		timer_destroy_in(s->timers, s->tick);
	s->tick = NULL;
}
