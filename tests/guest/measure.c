/* SPDX-License-Identifier: MIT */
/*
 * What the operations of this mode cost: each is run in batches, and of the
 * batches the quartiles are printed, per operation, in ns and in cycles of the
 * time stamp counter, as core/bench/README.md has it.
 */
#include "measure.h"

#define SAMPLES 51u
#define QUICK_SAMPLES 11u
#define LEAN_SAMPLES 5u
#define LEAN 16u /* where an instruction takes most of a microsecond; lists in operations are of so many */

/* ---- lines ------------------------------------------------------------------ */

/* The five figures of sorted samples; each is times multiplier / 2^32 / divisor, with two decimals. */
static void line(const char *name, const char *unit, const uint64_t *v, unsigned n, uint64_t multiplier, uint64_t divisor)
{
	char figures[128];
	size_t len = 0;

	for (unsigned q = 0; q <= 4; q++) {
		unsigned __int128 exact = (unsigned __int128)v[(n - 1) * q / 4] * multiplier;
		uint64_t hundredths = (uint64_t)(exact >> 24) * 100 / divisor >> 8;

		len += format_to(figures + len, sizeof(figures) - len, " %lu.%02lu", hundredths / 100, hundredths % 100);
	}
	print("bench: %s %s %u%s\n", name, unit, n, figures);
}

#define ONE (1ull << 32)

void measure_values(const char *name, uint64_t *samples_ns, unsigned n, uint64_t divisor)
{
	uint64_t ratio = clock_ns_per_tsc_32();

	if (!n)
		return;
	sort(samples_ns, n);
	if (ratio)
		line(name, "ns", samples_ns, n, ONE, divisor);
	line(name, "cycles", samples_ns, n, ratio ? ~0ull / ratio : ONE, divisor);
}

void measure_rate(const char *name, const char *unit, uint64_t *values, unsigned n)
{
	measure_rate_per(name, unit, values, n, 1);
}

void measure_rate_per(const char *name, const char *unit, uint64_t *values, unsigned n, uint64_t divisor)
{
	if (!n)
		return;
	sort(values, n);
	line(name, unit, values, n, ONE, divisor);
}

void measure_skip(const char *name, const char *reason)
{
	print("bench: skip %s %s\n", name, reason);
}

/* ---- running ------------------------------------------------------------------ */

static bool by_run(const struct operation *op, uint32_t count, uint64_t *sample)
{
	uint64_t start;
	bool ok;

	if (op->setup)
		op->setup(count);
	start = clock_ns();
	ok = op->run(count);
	*sample = clock_ns() - start;
	return ok;
}

static bool sample_take(const struct operation *op, uint32_t count, uint64_t *sample)
{
	if (op->run)
		return by_run(op, count, sample);
	*sample = op->sample();
	return *sample != ~0ull;
}

static void to_rates(uint64_t bytes, uint64_t *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		v[i] = bytes * 1000 / (v[i] ? v[i] : 1);
}

/* The first sample is to warm up, and not counted. Returns how often the operation was done; 0: it does not work. */
static unsigned measure_operation(const struct operation *op)
{
	unsigned n = probe.lean ? LEAN_SAMPLES : probe.quick ? QUICK_SAMPLES : SAMPLES;
	uint32_t count = probe.lean && op->count > LEAN ? op->count / LEAN : op->count;
	uint64_t samples[1 + SAMPLES];

	for (unsigned i = 0; i <= n; i++)
		if (!sample_take(op, count, &samples[i])) {
			measure_skip(op->name, "does not work");
			return 0;
		}
	if (op->bytes) {
		to_rates((uint64_t)count * op->bytes, samples + 1, n);
		measure_rate(op->name, "MB/s", samples + 1, n);
	} else {
		measure_values(op->name, samples + 1, n, count);
	}
	return (n + 1) * count;
}

/* The first way that this mode has of those that begin at `first`; what the last of them lacks if it has none. */
static unsigned measure_ways(unsigned first, uint32_t have)
{
	const struct operation *op = &measure_table[first];
	unsigned next = first;
	bool done = false;

	for (; next < measure_table_len && strcmp(measure_table[next].name, op->name) == 0; next++)
		if (!done && !(measure_table[next].needs & ~have)) {
			measure_operation(&measure_table[next]);
			done = true;
		}
	if (!done)
		measure_skip(op->name, measure_lack(measure_table[next - 1].needs & ~have));
	return next;
}

/* In all, whatever the number of samples: so many that a firmware's 2,500 exits are lost beside theirs. */
#define TURNS 100000u

void measure_timer(void)
{
	uint32_t have = measure_prepare();
	unsigned i = 0, turns;

	while (i < measure_table_len && (strcmp(measure_table[i].name, "timer-interrupt") != 0 || measure_table[i].needs & ~have))
		i++;
	print("bench: begin timer\n");
	if (i == measure_table_len) {
		measure_skip("timer-interrupt", "no timer");
	} else {
		struct operation op = measure_table[i];

		op.count = TURNS / (probe.quick ? QUICK_SAMPLES : SAMPLES);
		turns = measure_operation(&op);
		if (turns)
			print("bench: turns %u\n", turns);
	}
	print("bench: end\n");
}

void measure_ipi(void)
{
	uint32_t have = measure_prepare();

	print("bench: begin ipi\n");
	for (unsigned i = 0; i < measure_table_len;) {
		if (memcmp(measure_table[i].name, "ipi-", 4) == 0)
			i = measure_ways(i, have);
		else
			i++;
	}
	print("bench: end\n");
}

void measure_all(void)
{
	uint32_t have = measure_prepare();

	print("bench: begin probe\n");
	for (unsigned i = 0; i < measure_table_len;)
		i = measure_ways(i, have);
	measure_io();
	print("bench: end\n");
}
