/* SPDX-License-Identifier: MIT */
#include "control/server-internal.h"

#include <string.h>
#include <unistd.h>

#include "json.h"
#include "stats.h"

/* ---- a domain in one line --------------------------------------------------------------- */

static const char *state_of(const struct control *control)
{
	if (control->ending)
		return "ending";
	if (!control->domain)
		return "building";
	return atomic_load(&control->domain->paused) ? "paused" : "running";
}

static const char *engine_name(const struct control *control)
{
	static const char *const words[] = { "auto", "bt", "kvm" };

	return control->domain ? control->domain->engine->name : words[control->config.domain->engine];
}

static double uptime(const struct control *control)
{
	const struct domain *d = control->domain;

	return d && d->started_ns ? (double)((mono_now() - d->started_ns) / 1000000) / 1000 : 0;
}

static json_t *summary(struct control *control)
{
	const struct domain_config *c = control->config.domain;

	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:f, s:i, s:o}", "name", c->name, "id",
	                 (int)control->config.id, "mode", c->axes.preset->name, "state", state_of(control), "engine",
	                 engine_name(control), "vcpus", (json_int_t)c->vcpus, "memory", (json_int_t)c->memory, "uptime",
	                 uptime(control), "pid", (int)getpid(), "config", json_text(control->file));
}

/* ---- everything --------------------------------------------------------------------------- */

static json_t *axes(const struct domain_config *c)
{
	json_t *object = json_object();

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		json_object_set_new(object, axis_name((enum gamut_axis)axis), json_text(c->axes.axis[axis].choice));
	return object;
}

static json_t *option(const struct option_value *v)
{
	json_t *list;

	switch (v->type) {
	case GAMUT_OPTION_BOOL:
		return json_boolean(v->num);
	case GAMUT_OPTION_INT:
		return json_integer(v->num);
	case GAMUT_OPTION_LIST:
		list = json_array();
		for (uint32_t i = 0; i < v->n_list; i++)
			json_array_append_new(list, json_text(v->list[i]));
		return list;
	default:
		return json_text(v->str);
	}
}

static json_t *device(const struct instance_config *inst)
{
	json_t *options = json_object();

	for (uint32_t i = 0; i < inst->n_values; i++)
		json_object_set_new(options, inst->values[i].name, option(&inst->values[i]));
	return json_pack("{s:s, s:s, s:i, s:s, s:s, s:o}", "axis", axis_name(inst->axis), "choice", inst->choice, "unit",
	                 (int)inst->unit, "plugin", inst->plugin->info.name, "colour", colour_name(inst->desc->colour),
	                 "options", options);
}

static json_t *devices(const struct domain_config *c)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < c->n_instances; i++)
		json_array_append_new(list, device(&c->instances[i]));
	return list;
}

static json_int_t attached(const struct control *control, const struct console *console)
{
	json_int_t n = 0;

	for (const struct client *c = control->clients; c; c = c->next)
		n += c->console == console;
	return n;
}

static json_t *consoles(const struct control *control)
{
	const struct domain_config *config = control->config.domain;
	json_t *list = json_array();

	for (uint32_t i = 0; i < config->n_consoles; i++) {
		uint64_t out, in;

		console_counts(control->config.consoles[i], &out, &in);
		json_array_append_new(list, json_pack("{s:s, s:o, s:I, s:I, s:I}", "name", config->consoles[i].name, "to",
		                                      control->config.ends(control->config.opaque, i), "attached",
		                                      attached(control, control->config.consoles[i]), "bytes_out",
		                                      (json_int_t)out, "bytes_in", (json_int_t)in));
	}
	return list;
}

static json_t *boot(const struct domain_config *c)
{
	return json_pack("{s:o, s:o, s:o}", "kernel", json_text(c->kernel), "ramdisk", json_text(c->ramdisk), "cmdline",
	                 json_text(c->cmdline));
}

static json_t *sched(const struct domain_config *c)
{
	json_t *cpus = json_array();

	for (uint32_t i = 0; i < c->n_affinity; i++)
		json_array_append_new(cpus, json_integer(c->affinity[i]));
	return json_pack("{s:I, s:I, s:o}", "weight", (json_int_t)c->weight, "cap", (json_int_t)c->cap, "affinity", cpus);
}

static json_t *uuid(const uint8_t u[16])
{
	char text[40], *p = text;

	for (int i = 0; i < 16; i++)
		p += snprintf(p, 4, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
	return json_string(text);
}

static void add_all(struct control *control, json_t *object)
{
	const struct domain_config *c = control->config.domain;

	json_object_set_new(object, "uuid", uuid(c->uuid));
	json_object_set_new(object, "wanted_mode", json_text(c->mode));
	json_object_set_new(object, "axes", axes(c));
	json_object_set_new(object, "boot", boot(c));
	json_object_set_new(object, "sched", sched(c));
	json_object_set_new(object, "log", json_text(control->config.log));
	json_object_set_new(object, "devices", devices(c));
	json_object_set_new(object, "consoles", consoles(control));
	if (!control->domain)
		return;
	json_object_set_new(object, "engine_why", json_text(control->domain->choice.why));
	json_object_set_new(object, "stats", stats_collect(control->domain));
}

/* ---- with the domain held ---------------------------------------------------------------------- */

json_t *control_summary(struct control *control)
{
	json_t *object;

	pthread_mutex_lock(&control->domain_lock);
	object = summary(control);
	pthread_mutex_unlock(&control->domain_lock);
	return object;
}

json_t *control_info(struct control *control)
{
	json_t *object;

	pthread_mutex_lock(&control->domain_lock);
	object = summary(control);
	if (object)
		add_all(control, object);
	pthread_mutex_unlock(&control->domain_lock);
	return object;
}

json_t *control_stats(struct control *control)
{
	json_t *object = NULL;

	pthread_mutex_lock(&control->domain_lock);
	if (control->domain)
		object = stats_collect(control->domain);
	pthread_mutex_unlock(&control->domain_lock);
	return object;
}

json_t *control_activity(struct control *control)
{
	json_t *object = NULL;

	pthread_mutex_lock(&control->domain_lock);
	if (control->domain)
		object = stats_activity(control->domain);
	if (object)
		json_object_set_new(object, "state", json_string(state_of(control)));
	pthread_mutex_unlock(&control->domain_lock);
	return object;
}
