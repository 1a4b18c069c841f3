/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <x86intrin.h>

#include "json.h"

#define MAX_ENGINE_STATS 64

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void put(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* ---- exits --------------------------------------------------------------------------- */

static json_t *exits_by_reason(const struct vcpus *set)
{
	json_t *object = json_object();

	for (int reason = 0; reason < EXIT_COUNT; reason++) {
		uint64_t n = 0;

		for (uint32_t i = 0; i < set->n; i++)
			n += get(&set->vcpu[i]->counters.reason[reason]);
		put(object, exit_name((enum exit_reason)reason), n);
	}
	return object;
}

static uint64_t exits_total(const struct vcpus *set)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		for (int reason = 0; reason < EXIT_COUNT; reason++)
			n += get(&set->vcpu[i]->counters.reason[reason]);
	}
	return n;
}

static uint64_t exits_of(const struct vcpus *set, uint32_t owner)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		if (owner < set->vcpu[i]->counters.n_owners)
			n += get(&set->vcpu[i]->counters.owner[owner]);
	}
	return n;
}

static json_t *exits_by_axis(const struct domain *d)
{
	uint64_t n[GAMUT_AXIS_COUNT] = { 0 };
	json_t *object = json_object();

	for (uint32_t i = 0; i < d->n_instances; i++)
		n[d->instances[i].config->axis] += exits_of(&d->vcpus, d->instances[i].index);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		put(object, axis_name((enum gamut_axis)axis), n[axis]);
	return object;
}

/* From ticks of the TSC, by how many went since the domain was made. */
static uint64_t to_ns(const struct domain *d, uint64_t ticks)
{
	const struct clock_sample *first = &d->clock.first;
	uint64_t all = __rdtsc() - first->tsc, ns = mono_now() - first->mono;

	return all ? (uint64_t)((unsigned __int128)ticks * ns / all) : 0;
}

static uint64_t ticks_of(const struct vcpus *set, uint32_t owner)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		if (owner < set->vcpu[i]->counters.n_owners)
			n += get(&set->vcpu[i]->counters.ticks[owner]);
	}
	return n;
}

static json_t *exits(const struct domain *d)
{
	uint64_t faults = 0, restarts = 0, ticks = 0;
	json_t *object = json_object();

	/* Those that are nobody's included. */
	for (uint32_t owner = 0; owner < d->vcpus.n_owners; owner++)
		ticks += ticks_of(&d->vcpus, owner);
	for (uint32_t i = 0; i < d->vcpus.n; i++) {
		faults += get(&d->vcpus.vcpu[i]->counters.faults);
		restarts += get(&d->vcpus.vcpu[i]->counters.restarts);
	}
	put(object, "total", exits_total(&d->vcpus));
	put(object, "ns", to_ns(d, ticks));
	json_object_set_new(object, "by_reason", exits_by_reason(&d->vcpus));
	json_object_set_new(object, "by_axis", exits_by_axis(d));
	put(object, "unclaimed", exits_of(&d->vcpus, BUS_UNCLAIMED));
	put(object, "faults", faults);
	put(object, "hypercall_restarts", restarts);
	return object;
}

/* ---- signs ------------------------------------------------------------------------------------- */

static void add_sign(json_t *list, uint32_t axis, uint32_t colour, const char *family, const char *plugin,
                     const char *name, uint64_t count)
{
	json_t *object = json_object();

	json_object_set_new(object, "axis", json_string(axis_name((enum gamut_axis)axis)));
	json_object_set_new(object, "colour", json_string(colour_name(colour)));
	json_object_set_new(object, "family", json_text(family));
	json_object_set_new(object, "plugin", json_text(plugin));
	json_object_set_new(object, "name", json_text(name));
	put(object, "count", count);
	json_array_append_new(list, object);
}

/* The page tables that the engine follows are the one thing that no plugin sees. */
static void add_paging(const struct domain *d, json_t *list)
{
	struct engine_stat stats[MAX_ENGINE_STATS];
	uint32_t n = d->engine->stats ? d->engine->stats(d->vm, stats, MAX_ENGINE_STATS) : 0;
	bool shadow = d->choice.caps.shadow && !strcmp(d->config->axes.axis[GAMUT_AXIS_MMU].choice, "shadow");
	const char *name = shadow ? "shadow_fills" : "page_walks";

	if (d->vcpus.pv)
		return;
	for (uint32_t i = 0; i < n && i < MAX_ENGINE_STATS; i++) {
		if (!strcmp(stats[i].name, name))
			add_sign(list, GAMUT_AXIS_MMU, shadow ? GAMUT_COLOUR_V : GAMUT_COLOUR_VH,
			         shadow ? "shadow" : "hap", d->engine->name, name, stats[i].value);
	}
}

static json_t *signs(struct domain *d)
{
	json_t *list = json_array();

	add_paging(d, list);
	for (uint32_t i = 0; i < d->n_instances; i++) {
		struct gamut_inst *inst = &d->instances[i];

		pthread_mutex_lock(&inst->lock);
		for (const struct inst_counter *c = inst->counters; c; c = c->next) {
			if (c->sign)
				add_sign(list, c->axis, c->colour, inst->config->choice, inst->name, c->name,
				         __atomic_load_n(&c->value, __ATOMIC_RELAXED));
		}
		pthread_mutex_unlock(&inst->lock);
	}
	return list;
}

/* ---- plugins ---------------------------------------------------------------------------- */

static json_t *counters(struct gamut_inst *inst)
{
	json_t *object = json_object();

	pthread_mutex_lock(&inst->lock);
	for (const struct inst_counter *c = inst->counters; c; c = c->next)
		put(object, c->name, __atomic_load_n(&c->value, __ATOMIC_RELAXED));
	pthread_mutex_unlock(&inst->lock);
	return object;
}

static json_t *plugins(struct domain *d)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < d->n_instances; i++) {
		struct gamut_inst *inst = &d->instances[i];
		json_t *object = json_object();

		json_object_set_new(object, "name", json_string(inst->name));
		json_object_set_new(object, "axis", json_string(axis_name(inst->config->axis)));
		json_object_set_new(object, "choice", json_text(inst->config->choice));
		json_object_set_new(object, "colour", json_string(colour_name(inst->config->desc->colour)));
		put(object, "exits", exits_of(&d->vcpus, inst->index));
		put(object, "exit_ns", to_ns(d, ticks_of(&d->vcpus, inst->index)));
		put(object, "io_ns", to_ns(d, get(&inst->io.ticks)));
		json_object_set_new(object, "counters", counters(inst));
		json_array_append_new(list, object);
	}
	return list;
}

/* ---- engine, vCPUs ------------------------------------------------------------------------- */

static json_t *engine(const struct domain *d)
{
	struct engine_stat stats[MAX_ENGINE_STATS];
	uint32_t n = d->engine->stats ? d->engine->stats(d->vm, stats, MAX_ENGINE_STATS) : 0;
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(d->engine->name));
	for (uint32_t i = 0; i < n && i < MAX_ENGINE_STATS; i++)
		put(object, stats[i].name, stats[i].value);
	return object;
}

static json_t *vcpu_list(const struct domain *d)
{
	static const char *const names[VCPU_TIMES] = { "running_ns", "runnable_ns", "blocked_ns", "offline_ns" };
	json_t *list = json_array();

	for (uint32_t i = 0; i < d->vcpus.n; i++) {
		json_t *object = json_object();
		uint64_t ns[VCPU_TIMES];

		vcpu_times(d->vcpus.vcpu[i], ns);
		for (int t = 0; t < VCPU_TIMES; t++)
			put(object, names[t], ns[t]);
		json_array_append_new(list, object);
	}
	return list;
}

/* ---- memory ----------------------------------------------------------------------------------- */

/* A "Name:   123 kB" line of a /proc file, in bytes; 0 when there is none. */
static uint64_t proc_kb(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	char line[256];
	uint64_t kb = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
			kb = strtoull(line + strlen(name) + 1, NULL, 10);
			break;
		}
	}
	if (f)
		fclose(f);
	return kb << 10;
}

/*
 * RSS counts the guest's pages once for each mapping that touched them, Pss
 * (of a process alone) once; "beyond_guest" is what the domain costs besides.
 */
static json_t *memory(const struct domain *d)
{
	uint64_t rss = proc_kb("/proc/self/status", "VmRSS"), shared = proc_kb("/proc/self/status", "RssShmem");
	struct mem_usage guest = mem_usage(&d->mem);
	json_t *object = json_object();

	put(object, "configured", d->mem.ram_size);
	put(object, "guest_touched", guest.touched);
	put(object, "rss", rss);
	put(object, "rss_peak", proc_kb("/proc/self/status", "VmHWM"));
	put(object, "rss_shared", shared);
	put(object, "pss", proc_kb("/proc/self/smaps_rollup", "Pss"));
	put(object, "beyond_guest", rss > shared + guest.anonymous ? rss - shared - guest.anonymous : 0);
	return object;
}

/* ---- all of it --------------------------------------------------------------------------------- */

json_t *stats_activity(struct domain *d)
{
	json_t *object = json_object();

	if (!object)
		return NULL;
	json_object_set_new(object, "domain", json_text(d->config->name));
	put(object, "wall_ns", mono_now() - d->started_ns);
	put(object, "build_ns", d->started_ns - d->clock.first.mono);
	put(object, "domain_ns", clock_now(&d->clock));
	put(object, "resets", d->resets);
	json_object_set_new(object, "exits", exits(d));
	json_object_set_new(object, "plugins", plugins(d));
	json_object_set_new(object, "signs", signs(d));
	json_object_set_new(object, "engine", engine(d));
	json_object_set_new(object, "vcpus", vcpu_list(d));
	return object;
}

json_t *stats_collect(struct domain *d)
{
	json_t *object = stats_activity(d);

	if (object)
		json_object_set_new(object, "memory", memory(d));
	return object;
}

static void print_value(const json_t *value, const char *key, int depth, FILE *out);

static void print_members(const json_t *object, int depth, FILE *out)
{
	const char *key;
	json_t *value;

	/* The iterator wants a pointer that is not const, and changes nothing. */
	json_object_foreach((json_t *)object, key, value)
		print_value(value, key, depth, out);
}

static void print_list(const json_t *list, const char *key, int depth, FILE *out)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		const char *name = json_string_value(json_object_get(item, "name"));

		if (name)
			fprintf(out, "%*s%s\n", depth * 2, "", name);
		else
			fprintf(out, "%*s%s %zu\n", depth * 2, "", key, i);
		print_members(item, depth + 1, out);
	}
}

static void print_value(const json_t *value, const char *key, int depth, FILE *out)
{
	if (json_is_array(value)) {
		print_list(value, key, depth, out);
	} else if (json_is_object(value)) {
		if (!json_object_size(value))
			return;
		fprintf(out, "%*s%s\n", depth * 2, "", key);
		print_members(value, depth + 1, out);
	} else if (json_is_string(value)) {
		if (strcmp(key, "name") != 0)
			fprintf(out, "%*s%-*s %s\n", depth * 2, "", 30 - depth * 2, key, json_string_value(value));
	} else if (json_integer_value(value)) {
		fprintf(out, "%*s%-*s %16" JSON_INTEGER_FORMAT "\n", depth * 2, "", 30 - depth * 2, key,
		        json_integer_value(value));
	}
}

void stats_print(const json_t *stats, FILE *out)
{
	print_members(stats, 0, out);
}

static int write_beside(const json_t *stats, const char *path)
{
	size_t len = strlen(path) + 16;
	char *tmp = malloc(len);
	int err = 0;

	if (!tmp)
		return -ENOMEM;
	snprintf(tmp, len, "%s.%d", path, (int)getpid());
	if (json_dump_file(stats, tmp, JSON_INDENT(2)) || rename(tmp, path)) {
		err = errno ? -errno : -EIO;
		unlink(tmp);
	}
	free(tmp);
	return err;
}

/* A regular file is replaced as a whole, so that a reader sees all or nothing. */
int stats_write(const json_t *stats, const char *path)
{
	struct stat st;

	errno = 0;
	if (stat(path, &st) || S_ISREG(st.st_mode))
		return write_beside(stats, path);
	if (json_dump_file(stats, path, JSON_INDENT(2)))
		return errno ? -errno : -EIO;
	return 0;
}
