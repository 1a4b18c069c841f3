/* SPDX-License-Identifier: MIT */
#include "cells.h"

#include <math.h>
#include <stdlib.h>

#include "plugin.h"

/* Of the whole run. */
static const struct field {
	size_t offset;
	const char *path[4];
} fields[] = {
	{ offsetof(struct account, wall_ns), { "counters", "wall_ns" } },
	{ offsetof(struct account, guest_ns), { "counters", "guest_ns" } },
	{ offsetof(struct account, monitor_ns), { "counters", "monitor_ns" } },
	{ offsetof(struct account, idle_ns), { "counters", "idle_ns" } },
	{ offsetof(struct account, runnable_ns), { "counters", "runnable_ns" } },
	{ offsetof(struct account, cpu_ns), { "counters", "cpu_ns" } },
	{ offsetof(struct account, exits), { "counters", "exits" } },
	{ offsetof(struct account, memory_mib), { "counters", "memory_overhead_mib" } },
	{ offsetof(struct account, load), { "noise", "load" } },
	{ offsetof(struct account, spin_ns), { "noise", "spin_ns" } },
	{ offsetof(struct account, steal_ns), { "noise", "steal_ns" } },
};

/* Of one axis. */
static const struct {
	size_t offset;
	const char *name;
} axis_fields[] = {
	{ offsetof(struct account_axis, exits), "exits" },
	{ offsetof(struct account_axis, exit_ns), "exit_ns" },
	{ offsetof(struct account_axis, io_ns), "io_ns" },
};

double cells_number(const json_t *object, const char *const path[4])
{
	double value;

	for (int i = 0; i < 4 && path[i]; i++)
		object = json_object_get(object, path[i]);
	value = json_is_number(object) ? json_number_value(object) : NAN;
	return isfinite(value) ? value : NAN;
}

/* Counters do not go below zero. `values` has room for one a run. */
static double middle(const json_t *const *runs, size_t n, const char *const path[4], double *values)
{
	struct bench_estimate e;
	size_t m = 0;

	for (size_t i = 0; i < n; i++) {
		double value = cells_number(runs[i], path);

		if (value >= 0)
			values[m++] = value;
	}
	bench_estimate(values, m, &e);
	return m ? e.median : NAN;
}

int account_init(struct account *a, const json_t *const *runs, size_t n)
{
	double *values = calloc(n + 1, sizeof(*values));

	if (!values)
		return -1;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		*(double *)((char *)a + fields[i].offset) = middle(runs, n, fields[i].path, values);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		for (size_t i = 0; i < sizeof(axis_fields) / sizeof(axis_fields[0]); i++) {
			const char *const path[4] = { "counters", "axes", axis_name((enum gamut_axis)axis),
				                      axis_fields[i].name };

			*(double *)((char *)&a->axes[axis] + axis_fields[i].offset) = middle(runs, n, path, values);
		}
	}
	free(values);
	return 0;
}
