/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include <cpuid.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define NS_PER_S 1000000000ull
/* Reading both clocks is uncertain by some 50 ns: 5 ms make that 10 parts in a million. */
#define CALIBRATE_MIN_NS 5000000ull

uint64_t mono_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* The tightest of a few readings of one clock between two of the other. */
static struct clock_sample take_sample(void)
{
	struct clock_sample best = { 0 };
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __rdtsc();
		uint64_t mono = mono_now();
		uint64_t width = __rdtsc() - before;

		if (width < best_width) {
			best = (struct clock_sample){ .tsc = before + width / 2, .mono = mono };
			best_width = width;
		}
	}
	return best;
}

/* The host's own kernel keeps time with it: the best judge of synchronous processors. */
static bool kernel_uses_tsc(void)
{
	char name[32] = "";
	int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, name, sizeof(name) - 1) < 0)
		name[0] = 0;
	close(fd);
	return !strncmp(name, "tsc", 3) || !strncmp(name, "kvm-clock", 9);
}

bool clock_tsc_steady(void)
{
	unsigned a, b, c, d;

	if (__get_cpuid(0x80000007, &a, &b, &c, &d) && d & 1u << 8)
		return true;
	return kernel_uses_tsc();
}

struct clock_scale clock_scale_from(const struct clock_sample *a, const struct clock_sample *b)
{
	struct clock_scale s = { .tsc_base = b->tsc };
	unsigned __int128 ns = b->mono - a->mono;
	uint64_t ticks = b->tsc - a->tsc;
	unsigned __int128 factor;

	if (!ticks)
		ticks = 1;
	/* 64 fraction bits, then brought to 32 significant ones. */
	factor = (ns << 64) / ticks;
	s.shift = 32;
	while (s.shift > -31 && !(factor >> 63)) {
		factor <<= 1;
		s.shift--;
	}
	while (factor >> 64) {
		factor >>= 1;
		s.shift++;
	}
	s.shift -= 32;
	s.mul = (uint32_t)(factor >> 32);
	return s;
}

uint64_t clock_scale_apply(const struct clock_scale *s, uint64_t tsc)
{
	/* Another processor's TSC may be a few ticks behind the base. */
	uint64_t delta = tsc > s->tsc_base ? tsc - s->tsc_base : 0;

	delta = s->shift >= 0 ? delta << s->shift : delta >> -s->shift;
	return (uint64_t)((unsigned __int128)delta * s->mul >> 32) + s->ns_base;
}

void clock_init(struct clock *c)
{
	memset(c, 0, sizeof(*c));
	c->first = take_sample();
	c->mono_base = c->first.mono;
}

void clock_calibrate(struct clock *c)
{
	uint64_t age = mono_now() - c->first.mono;
	struct clock_sample now;

	if (age < CALIBRATE_MIN_NS) {
		struct timespec rest = { .tv_nsec = (long)(CALIBRATE_MIN_NS - age) };

		while (nanosleep(&rest, &rest))
			;
	}
	now = take_sample();
	c->scale = clock_scale_from(&c->first, &now);
	c->scale.ns_base = now.mono - c->mono_base;
	c->tsc = clock_tsc_steady();
}

static uint64_t running_now(const struct clock *c)
{
	return c->tsc ? clock_scale_apply(&c->scale, __rdtsc()) : mono_now() - c->mono_base;
}

uint64_t clock_now(const struct clock *c)
{
	return c->frozen ? c->frozen_ns : running_now(c);
}

void clock_pause(struct clock *c)
{
	if (c->frozen)
		return;
	c->frozen_ns = running_now(c);
	c->frozen = true;
}

void clock_resume(struct clock *c)
{
	if (!c->frozen)
		return;
	c->mono_base = mono_now() - c->frozen_ns;
	c->scale.tsc_base = __rdtsc();
	c->scale.ns_base = c->frozen_ns;
	c->frozen = false;
}
