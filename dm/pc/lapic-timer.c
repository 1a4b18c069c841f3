/* SPDX-License-Identifier: MIT */
/*
 * The timer: a down-counter on the divided bus clock, once or over and over, or
 * a deadline in the guest's TSC. Nothing ticks: the count is computed from the
 * time since `start`, and one host timer is set for the moment that matters.
 */
#include "dm/pc/lapic-internal.h"

#include <errno.h>

/*
 * The host timer of a periodic count comes no more often than this, whatever
 * the guest asks for. Missed ticks are not made up for: IRR holds one.
 */
#define PERIOD_MIN_NS 20000u
/* Further than this is never. */
#define FAR_NS (1ull << 62)

static uint64_t now(const struct lapic *a)
{
	return a->set->host->time_now(a->set->inst);
}

static uint32_t mode(const struct lapic *a)
{
	return a->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

static bool counts(const struct lapic *a)
{
	return mode(a) == LVT_TIMER_ONESHOT || mode(a) == LVT_TIMER_PERIODIC;
}

/* Bits 3, 1, 0 of the divide configuration: 2, 4, 8 ... 128, and 1 for 111. */
static uint64_t tick_ns(const struct lapic *a)
{
	uint32_t code = (a->divide & 3) | (a->divide >> 1 & 4);

	return (uint64_t)LAPIC_TICK_NS << ((code + 1) & 7);
}

static void disarm(struct lapic *a)
{
	a->armed = false;
	a->set->host->timer_cancel(a->set->inst, a->timer);
}

static void arm(struct lapic *a, uint64_t at)
{
	a->armed = true;
	a->expiry = at;
	a->set->host->timer_set(a->set->inst, a->timer, at);
}

/* ---- counting ---- */

uint32_t lapic_timer_current(const struct lapic *a)
{
	uint64_t ticks;

	if (!counts(a) || !a->armed)
		return 0;
	ticks = (now(a) - a->start) / tick_ns(a);
	if (mode(a) == LVT_TIMER_PERIODIC)
		return a->initial - (uint32_t)(ticks % a->initial);
	return ticks < a->initial ? a->initial - (uint32_t)ticks : 0;
}

/* The next time the count comes to its end, from `start`. */
static void arm_count(struct lapic *a)
{
	uint64_t period = a->initial * tick_ns(a), at = now(a), next = a->start + period;

	if (mode(a) == LVT_TIMER_PERIODIC) {
		if (next <= at)
			next = at + period - (at - a->start) % period;
		if (next < at + PERIOD_MIN_NS)
			next = at + PERIOD_MIN_NS;
	} else if (next <= at) {
		/* A single count that is over stays over. */
		disarm(a);
		return;
	}
	arm(a, next);
}

void lapic_timer_set_initial(struct lapic *a, uint32_t value)
{
	/* With a deadline there is no count to be set. */
	if (!counts(a))
		return;
	a->initial = value;
	a->start = now(a);
	if (!value) {
		disarm(a);
		return;
	}
	lapic_count(a->set->timer_armed);
	arm_count(a);
}

/* The count stands at what it was and goes on at the new pace. */
void lapic_timer_set_divide(struct lapic *a, uint32_t value)
{
	uint32_t current = lapic_timer_current(a);

	a->divide = value & 0xb;
	if (!current)
		return;
	a->start = now(a) - (a->initial - current) * tick_ns(a);
	arm_count(a);
}

/* Between counting and the deadline everything is forgotten; between the two ways to count nothing is. */
void lapic_timer_mode(struct lapic *a, uint32_t old)
{
	bool counted = old == LVT_TIMER_ONESHOT || old == LVT_TIMER_PERIODIC;
	uint64_t at = now(a);

	if (old == mode(a))
		return;
	if (counted && counts(a)) {
		if (!a->armed)
			return;
		/* The count under way is what a single one has left. */
		if (old == LVT_TIMER_PERIODIC)
			a->start = at - (at - a->start) % (a->initial * tick_ns(a));
		arm_count(a);
		return;
	}
	a->initial = 0;
	a->deadline = 0;
	disarm(a);
}

/* ---- the deadline ---- */

/* Domain time when the guest's TSC will read tsc; the base's for one before that. */
static uint64_t when(const struct lapic *a, uint64_t tsc)
{
	uint64_t tsc_base, ns_base, delta;
	unsigned __int128 ns;
	uint32_t mul;
	int8_t shift;

	a->set->host->time_scale(a->set->inst, a->vcpu, &tsc_base, &ns_base, &mul, &shift);
	/* The guest may have set its TSC so that the base is "below zero": then small numbers come after it. */
	delta = tsc - tsc_base;
	if ((int64_t)delta < 0)
		return tsc < tsc_base ? ns_base : FAR_NS;
	if (shift > 31 || shift < -31)
		return FAR_NS;
	ns = shift >= 0 ? (unsigned __int128)delta << shift : delta >> -shift;
	/* 64 + 31 bits by 32 fit. Rounded up, so that the TSC is there when the timer fires. */
	ns = (ns * mul >> 32) + ns_base + 1;
	return ns > FAR_NS ? FAR_NS : (uint64_t)ns;
}

uint64_t lapic_timer_deadline(struct lapic *a)
{
	return mode(a) == LVT_TIMER_DEADLINE ? a->deadline : 0;
}

void lapic_timer_resync(struct lapic *a)
{
	if (a->armed && a->deadline)
		arm(a, when(a, a->deadline));
}

/* ---- firing ---- */

static void fire(struct lapic *a)
{
	/* The guest may have set its TSC back meanwhile. */
	if (a->deadline)
		a->expiry = when(a, a->deadline);
	if (now(a) < a->expiry) {
		arm(a, a->expiry);
		return;
	}
	disarm(a);
	a->deadline = 0;
	if (mode(a) == LVT_TIMER_PERIODIC)
		arm_count(a);
	lapic_count(a->set->timer_fires);
	lapic_lvt_fire(a, LVT_TIMER);
}

/* The host's timer can be later than the guest, which has seen the count at its end. */
void lapic_timer_catch_up(struct lapic *a)
{
	if (a->armed && now(a) >= a->expiry)
		fire(a);
}

void lapic_timer_set_deadline(struct lapic *a, uint64_t tsc)
{
	if (mode(a) != LVT_TIMER_DEADLINE)
		return;
	a->deadline = tsc;
	if (!tsc) {
		disarm(a);
		return;
	}
	lapic_count(a->set->timer_armed);
	/* What is past already needs no timer. */
	a->armed = true;
	a->expiry = 0;
	fire(a);
}

static void timer_fires(void *opaque)
{
	struct lapic *a = opaque;

	pthread_mutex_lock(&a->lock);
	/* A timer that was cancelled may have been on its way. */
	if (a->armed)
		fire(a);
	pthread_mutex_unlock(&a->lock);
}

/* ---- life cycle ---- */

int lapic_timer_init(struct lapic *a)
{
	a->timer = a->set->host->timer_create(a->set->inst, timer_fires, a);
	return a->timer ? 0 : -ENOMEM;
}

void lapic_timer_finish(struct lapic *a)
{
	a->set->host->timer_destroy(a->set->inst, a->timer);
}

void lapic_timer_clear(struct lapic *a)
{
	a->initial = a->divide = 0;
	a->start = a->deadline = 0;
	disarm(a);
}
