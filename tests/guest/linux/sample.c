// SPDX-License-Identifier: MIT
/* Samples, and the lines that tell of them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"

double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Between the two samples that are nearest to it. */
static double quantile(const double *sorted, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t below = (size_t)at;

	if (below + 1 >= n)
		return sorted[n - 1];
	return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

void report(const char *name, enum unit unit, double *values, size_t n)
{
	static const char *const units[] = {"ns", "us", "ms", "MB/s", "ops/s"};

	if (!n) {
		skip(name, "not one sample");
		return;
	}
	qsort(values, n, sizeof(*values), by_value);
	printf("bench: %s %s %zu %.3f %.3f %.3f %.3f %.3f\n", name, units[unit], n, values[0],
	       quantile(values, n, 0.25), quantile(values, n, 0.5), quantile(values, n, 0.75), values[n - 1]);
}

void skip(const char *name, const char *format, ...)
{
	char why[256];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	printf("bench: skip %s %s\n", name, why);
}
