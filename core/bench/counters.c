/* SPDX-License-Identifier: MIT */
/*
 * What a run is explained by, from the statistics of `gamut run`: for each vCPU
 * the time of the run is its guest's (the engine's translating included), the
 * monitor's (exits) or idle; what it waited for a processor of the host is
 * runnable_ns. The I/O thread works besides, and its time is in the axes' io_ns.
 */
#include <string.h>

#include "bench/run.h"

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void put(json_t *object, const char *key, json_int_t value)
{
	json_object_set_new(object, key, json_integer(value > 0 ? value : 0));
}

static json_t *axes_of(const json_t *plugins)
{
	static const char *const keys[] = { "exits", "exit_ns", "io_ns" };
	json_t *axes = json_object();

	for (size_t i = 0; i < json_array_size(plugins); i++) {
		const json_t *p = json_array_get(plugins, i);
		const char *name = json_string_value(json_object_get(p, "axis"));
		json_t *axis = name ? json_object_get(axes, name) : NULL;

		if (!name)
			continue;
		if (!axis) {
			axis = json_object();
			json_object_set_new(axes, name, axis);
		}
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			put(axis, keys[k], number(axis, keys[k]) + number(p, keys[k]));
	}
	return axes;
}

static json_int_t sum(const json_t *list, const char *key)
{
	json_int_t n = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		n += number(json_array_get(list, i), key);
	return n;
}

json_t *bench_counters(const json_t *stats)
{
	const json_t *exits = json_object_get(stats, "exits"), *vcpus = json_object_get(stats, "vcpus");
	json_int_t monitor = number(exits, "ns"), running = sum(vcpus, "running_ns");
	json_t *c = json_object(), *by_reason = json_object();
	const char *key;
	json_t *value;

	put(c, "wall_ns", number(stats, "wall_ns"));
	put(c, "guest_ns", running - monitor);
	put(c, "monitor_ns", monitor);
	put(c, "idle_ns", sum(vcpus, "blocked_ns"));
	put(c, "runnable_ns", sum(vcpus, "runnable_ns"));
	put(c, "exits", number(exits, "total"));
	json_object_foreach(json_object_get(exits, "by_reason"), key, value) {
		if (json_integer_value(value))
			json_object_set(by_reason, key, value);
	}
	json_object_set_new(c, "by_reason", by_reason);
	json_object_set_new(c, "memory_overhead_mib",
	                    json_real((double)number(json_object_get(stats, "memory"), "beyond_guest") / (1 << 20)));
	json_object_set_new(c, "axes", axes_of(json_object_get(stats, "plugins")));
	return c;
}
