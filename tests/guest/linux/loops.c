// SPDX-License-Identifier: MIT
/* User mode alone: no system call, no page that is new. What differs here differs by the processor. */
#include "bench.h"

static volatile uint64_t sink;

static void loop_integer(uint32_t n)
{
	uint64_t x = 88172645463325252ull;

	for (uint32_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		x *= 0x9e3779b97f4a7c15ull;
	}
	sink = x;
}

static void loop_double(uint32_t n)
{
	double x = 0.3;

	for (uint32_t i = 0; i < n; i++)
		x = 3.99 * x * (1.0 - x);
	sink = (uint64_t)(x * 1e6);
}

#define WORDS (1u << 17) /* 1 MiB: beyond the first cache, within the second or third */
static uint64_t words[WORDS];

/* Loads and stores all over the place, in an order that no prefetcher guesses. */
static void loop_memory(uint32_t n)
{
	uint64_t at = 1, sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		at = at * 6364136223846793005ull + 1442695040888963407ull;
		sum += words[at >> 47];
		words[at >> 47] = sum;
	}
	sink = sum;
}

/* And in order. */
static void loop_stream(uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		sum += words[i % WORDS];
		words[i % WORDS] = sum ^ i;
	}
	sink = sum;
}

__attribute__((noinline)) static uint32_t fib(uint32_t n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

/* Calls and returns: fib(10) is 177 of them. */
static void loop_calls(uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += fib(10 + (sink & 1));
	sink = sum & ~1ull;
}

static uint64_t add(uint64_t x)
{
	return x + 3;
}

static uint64_t turn(uint64_t x)
{
	return x << 5 | x >> 59;
}

static uint64_t flip(uint64_t x)
{
	return ~x;
}

static uint64_t times(uint64_t x)
{
	return x * 7;
}

/* Calls through pointers, and branches that depend on data. */
static void loop_indirect(uint32_t n)
{
	static uint64_t (*volatile const table[])(uint64_t) = {add, turn, flip, times};
	uint64_t x = 1;

	for (uint32_t i = 0; i < n; i++) {
		x = table[(x ^ i) & 3](x);
		if (x & 4)
			x ^= i;
	}
	sink = x;
}

const struct workload loop_workloads[] = {
        {"loop-integer", UNIT_NS, loop_integer, .first = 1 << 16},
        {"loop-double", UNIT_NS, loop_double, .first = 1 << 16},
        {"loop-memory", UNIT_NS, loop_memory, .first = 1 << 16},
        {"loop-stream", UNIT_NS, loop_stream, .first = 1 << 16},
        {"loop-calls", UNIT_NS, loop_calls, .first = 1 << 10},
        {"loop-indirect", UNIT_NS, loop_indirect, .first = 1 << 16},
        {0},
};
