/* SPDX-License-Identifier: MIT */
/*
 * Instances: one for every disk and network card, one for every other axis
 * that has a plugin. The keys of their groups are the options of the plugin's
 * descriptor, and what a plugin's create reads has passed the checks here.
 */
#include "conf-internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "option.h"
#include "suggest.h"

/* An instance being read: `where` is its group's path in messages ("disks[0]"). */
struct reading {
	struct conf_loader *l;
	struct instance_config *inst;
	const char *where;
	const char *const *others; /* keys of its group that are no options of the plugin's; NULL: none */
};

/* ---- values --------------------------------------------------------------------- */

static struct option_value *find_value(const struct instance_config *inst, const char *name)
{
	for (uint32_t i = 0; i < inst->n_values; i++)
		if (strcmp(inst->values[i].name, name) == 0)
			return &inst->values[i];
	return NULL;
}

const struct option_value *conf_option(const struct instance_config *instance, const char *name)
{
	return find_value(instance, name);
}

/* One more string; room is what the list may come to hold. 0 or -1. */
static int add_to_list(struct option_value *v, const char *str, uint32_t room)
{
	if (!v->list)
		v->list = calloc(room, sizeof(*v->list));
	if (!v->list)
		return -1;
	v->list[v->n_list] = strdup(str);
	if (!v->list[v->n_list])
		return -1;
	v->n_list++;
	return 0;
}

/* str is copied, and resolved when the option is a path. There is room for every option once. */
static int add_value(struct reading *r, const struct gamut_option *o, int64_t num, const char *str,
                     unsigned line)
{
	struct option_value *v = &r->inst->values[r->inst->n_values];

	*v = (struct option_value){.name = o->name, .type = o->type, .num = num, .line = line};
	if (str && o->type == GAMUT_OPTION_LIST) {
		if (add_to_list(v, str, 1))
			return conf_no_memory(r->l);
	} else if (str) {
		v->str = option_is_path(o) && *str ? conf_resolve(r->l->c->dir, str) : strdup(str);
		if (!v->str)
			return conf_no_memory(r->l);
	}
	r->inst->n_values++;
	return 0;
}

static int wrong_value(struct reading *r, const struct gamut_option *o, const config_setting_t *s,
                       const char *is)
{
	char wants[512];

	return conf_error(r->l, conf_setting_line(s), "%s.%s: wants %s, not %s", r->where, o->name,
	                  option_wants(o, wants, sizeof(wants)), is);
}

static int read_int(struct reading *r, const struct gamut_option *o, const config_setting_t *s)
{
	int64_t value = config_setting_get_int64(s);
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	if (value < o->min || value > o->max)
		return wrong_value(r, o, s, text);
	return add_value(r, o, value, NULL, conf_setting_line(s));
}

static int wrong_choice(struct reading *r, const struct gamut_option *o, const config_setting_t *s,
                        const char *text)
{
	char wants[512];
	const char *near;
	size_t n = 0;

	while (o->choices[n])
		n++;
	near = suggest_nearest(text, o->choices, n);
	return conf_error(r->l, conf_setting_line(s), "%s.%s: there is no \"%s\"%s%s%s%s", r->where, o->name,
	                  text, near ? "; did you mean \"" : "", near ? near : "",
	                  near ? "\"? It is " : "; give ", option_wants(o, wants, sizeof(wants)));
}

static int read_text(struct reading *r, const struct gamut_option *o, const config_setting_t *s)
{
	const char *text = config_setting_get_string(s);

	if (!text)
		text = "";
	if (o->type == GAMUT_OPTION_CHOICE && !option_choice_ok(o, text))
		return wrong_choice(r, o, s, text);
	if (o->type == GAMUT_OPTION_STRING && option_is_path(o) && !*text)
		return conf_error(r->l, conf_setting_line(s), "%s.%s: is empty; name a file", r->where,
		                  o->name);
	return add_value(r, o, 0, text, conf_setting_line(s));
}

static int read_list(struct reading *r, const struct gamut_option *o, const config_setting_t *s)
{
	uint32_t n = (uint32_t)config_setting_length(s);
	struct option_value *v = &r->inst->values[r->inst->n_values];
	int rc = add_value(r, o, 0, NULL, conf_setting_line(s));

	for (uint32_t i = 0; i < n && !rc; i++) {
		const config_setting_t *e = config_setting_get_elem(s, i);

		if (config_setting_type(e) != CONFIG_TYPE_STRING)
			rc = conf_error(r->l, conf_setting_line(e), "%s.%s[%" PRIu32 "]: wants a string, not %s",
			                r->where, o->name, i, conf_type_name(e));
		else if (add_to_list(v, config_setting_get_string(e), n))
			rc = conf_no_memory(r->l);
	}
	return rc;
}

static int read_value(struct reading *r, const struct gamut_option *o, const config_setting_t *s)
{
	const char *text;

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_BOOL:
		if (o->type == GAMUT_OPTION_BOOL)
			return add_value(r, o, config_setting_get_bool(s) != 0, NULL, conf_setting_line(s));
		/* true and false among other words, as of a choice of "auto", "true", "false". */
		text = config_setting_get_bool(s) ? "true" : "false";
		if (o->type == GAMUT_OPTION_CHOICE && option_choice_ok(o, text))
			return add_value(r, o, 0, text, conf_setting_line(s));
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		if (o->type == GAMUT_OPTION_INT)
			return read_int(r, o, s);
		break;
	case CONFIG_TYPE_STRING:
		if (o->type != GAMUT_OPTION_BOOL && o->type != GAMUT_OPTION_INT)
			return read_text(r, o, s);
		break;
	case CONFIG_TYPE_LIST:
	case CONFIG_TYPE_ARRAY:
		if (o->type == GAMUT_OPTION_LIST)
			return read_list(r, o, s);
		break;
	default:
		break;
	}
	return wrong_value(r, o, s, conf_type_name(s));
}

/* ---- a group ----------------------------------------------------------------------- */

static const struct gamut_option *find_option(const struct gamut_descriptor *d, const char *name)
{
	for (uint32_t i = 0; i < d->n_options; i++)
		if (strcmp(d->options[i].name, name) == 0)
			return &d->options[i];
	return NULL;
}

static const char *nearest_option(const struct gamut_descriptor *d, const char *name)
{
	const char *near = NULL;

	for (uint32_t i = 0; i < d->n_options; i++) {
		const char *pair[2] = {d->options[i].name, near};
		const char *found = suggest_nearest(name, pair, near ? 2 : 1);

		near = found ? found : near;
	}
	return near;
}

static int unknown_option(struct reading *r, const config_setting_t *s)
{
	const struct instance_config *inst = r->inst;
	const char *name = config_setting_name(s);
	const char *near = nearest_option(inst->desc, name);

	if (near)
		return conf_error(r->l, conf_setting_line(s), "%s.%s: unknown key; did you mean \"%s\"?",
		                  r->where, name, near);
	return conf_error(r->l, conf_setting_line(s),
	                  "%s.%s: unknown key; `gamut plugin info %s` lists those of %s = \"%s\"", r->where,
	                  name, inst->plugin->info.name, axis_name(inst->axis), inst->choice);
}

static bool is_other(const struct reading *r, const char *name)
{
	for (const char *const *other = r->others; other && *other; other++)
		if (strcmp(*other, name) == 0)
			return true;
	return false;
}

static void read_group(struct reading *r, const config_setting_t *group)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const struct gamut_option *o = find_option(r->inst->desc, config_setting_name(s));

		if (is_other(r, config_setting_name(s)))
			continue;
		if (o)
			read_value(r, o, s);
		else
			unknown_option(r, s);
	}
}

static bool group_has(const config_setting_t *group, const char *name)
{
	return group && config_setting_get_member(group, name);
}

static void add_defaults(struct reading *r, const config_setting_t *group)
{
	const struct gamut_descriptor *d = r->inst->desc;

	for (uint32_t i = 0; i < d->n_options; i++) {
		const struct gamut_option *o = &d->options[i];
		const char *str;
		int64_t num;

		if (group_has(group, o->name))
			continue;
		if (o->default_value && option_default(o, &num, &str))
			add_value(r, o, num, str, 0);
		else if (o->required)
			conf_error(r->l, r->inst->line, "%s.%s: is missing; add %s = ... (%s)", r->where,
			           o->name, o->name, o->help);
	}
}

/* ---- what the host has to say ---------------------------------------------------------- */

static bool is_set(const struct instance_config *inst, const char *name)
{
	const struct option_value *v = find_value(inst, name);

	return v && v->type == GAMUT_OPTION_BOOL && v->num;
}

/* Nobody writes to a CD-ROM. */
static bool is_readonly(const struct instance_config *inst)
{
	return is_set(inst, "readonly") || is_set(inst, "cdrom");
}

static void check_path(struct reading *r)
{
	const struct option_value *v = find_value(r->inst, OPTION_PATH);
	char why[512];
	bool ok;

	if (!v || v->type != GAMUT_OPTION_STRING)
		return;
	ok = r->inst->axis == GAMUT_AXIS_DISK
	             ? conf_disk_usable(v->str, is_readonly(r->inst), why, sizeof(why))
	             : conf_file_readable(v->str, why, sizeof(why));
	if (!ok)
		conf_error(r->l, v->line ? v->line : r->inst->line, "%s.%s: %s", r->where, v->name, why);
}

/* Options of type PATH that the domain file gives. What a plugin has for a default may be missing. */
static void check_given_paths(struct reading *r)
{
	char why[512];

	for (uint32_t i = 0; i < r->inst->n_values; i++) {
		const struct option_value *v = &r->inst->values[i];

		if (v->type == GAMUT_OPTION_PATH && v->line && *v->str &&
		    !conf_path_readable(v->str, why, sizeof(why)))
			conf_error(r->l, v->line, "%s.%s: %s", r->where, v->name, why);
	}
}

static int read_instance(struct reading *r, const config_setting_t *group)
{
	r->inst->values =
	        calloc(r->inst->desc->n_options ? r->inst->desc->n_options : 1, sizeof(*r->inst->values));
	if (!r->inst->values)
		return conf_no_memory(r->l);
	if (group)
		read_group(r, group);
	add_defaults(r, group);
	check_path(r);
	check_given_paths(r);
	return 0;
}

/* ---- among the instances of an axis ------------------------------------------------------ */

/*
 * Options that no two instances of an axis may share: addresses of cards,
 * whatever they are of. A disk's name is a place only among disks of its type;
 * two types that have one place in common, as an IDE disk and the twin of a
 * Xen disk have, settle that themselves (dm/ide/seat.h).
 */
static const struct {
	enum gamut_axis axis;
	const char *list, *option;
	bool of_type;
} unique[] = {
        {GAMUT_AXIS_DISK, "disks", "dev", true},
        {GAMUT_AXIS_NET, "nics", "mac", false},
};

static void check_unique(struct conf_loader *l, const struct instance_config *a,
                         const struct instance_config *b)
{
	for (size_t i = 0; i < sizeof(unique) / sizeof(unique[0]); i++) {
		const struct option_value *va = find_value(a, unique[i].option),
		                          *vb = find_value(b, unique[i].option);

		if (a->axis != unique[i].axis || (unique[i].of_type && a->desc != b->desc) || !va || !vb ||
		    !va->str || !vb->str || strcasecmp(va->str, vb->str) != 0)
			continue;
		conf_error(l, vb->line ? vb->line : b->line,
		           "%s[%" PRIu32 "].%s: \"%s\" is %s[%" PRIu32 "]'s already; give another",
		           unique[i].list, b->unit, vb->name, vb->str, unique[i].list, a->unit);
	}
}

static bool same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* Two disks on one file lose data, unless neither writes. */
static void check_shared_file(struct conf_loader *l, const struct instance_config *a,
                              const struct instance_config *b)
{
	const struct option_value *va = find_value(a, OPTION_PATH), *vb = find_value(b, OPTION_PATH);

	if (a->axis != GAMUT_AXIS_DISK || !va || !vb || !va->str || !vb->str ||
	    (is_readonly(a) && is_readonly(b)))
		return;
	if (same_file(va->str, vb->str))
		conf_error(l, vb->line ? vb->line : b->line,
		           "disks[%" PRIu32 "].path: %s is disks[%" PRIu32
		           "]'s already; give another file, or readonly = true to both",
		           b->unit, vb->str, a->unit);
}

/* Two consoles of one kind are of different ports, if it has ports. */
static void check_ports(struct conf_loader *l, const struct instance_config *a, const struct instance_config *b)
{
	const struct option_value *va = find_value(a, "port"), *vb = find_value(b, "port");

	if (a->axis != GAMUT_AXIS_CONSOLE || a->desc != b->desc)
		return;
	if (!va || !vb)
		conf_error(l, b->line, "consoles[%" PRIu32 "].type: a domain can have one console of type \"%s\"",
		           b->unit - 1, b->choice);
	else if (va->num == vb->num)
		conf_error(l, vb->line ? vb->line : b->line,
		           "consoles[%" PRIu32 "].port: %s port %" PRId64 " has a console already; give another",
		           b->unit - 1, b->choice, vb->num);
}

static void check_pairs(struct conf_loader *l)
{
	const struct domain_config *c = l->c;

	for (uint32_t j = 0; j < c->n_instances; j++)
		for (uint32_t i = 0; i < j; i++)
			if (c->instances[i].axis == c->instances[j].axis) {
				check_unique(l, &c->instances[i], &c->instances[j]);
				check_shared_file(l, &c->instances[i], &c->instances[j]);
				check_ports(l, &c->instances[i], &c->instances[j]);
			}
}

/* ---- all of them --------------------------------------------------------------------------- */

static int add_instance(struct conf_loader *l, enum gamut_axis axis, const struct axis_choice *a, uint32_t unit,
                        const char *where, const config_setting_t *group, const char *const *others)
{
	struct instance_config *inst = &l->c->instances[l->c->n_instances];
	struct reading r = {l, inst, where, others};

	*inst = (struct instance_config){
	        .axis = axis,
	        .choice = a->desc->choice,
	        .unit = unit,
	        .plugin = a->plugin,
	        .desc = a->desc,
	        .line = group ? conf_setting_line(group) : a->line,
	};
	l->c->n_instances++;
	return read_instance(&r, group);
}

/* A group whose type is wrong has had its error; one that is no group, too. */
static void add_list(struct conf_loader *l, const struct conf_list *list)
{
	const struct axis_choice *axis = &l->c->axes.axis[list->axis], *own;
	const config_setting_t *groups = l->lists[list->axis];
	int n = groups ? config_setting_length(groups) : 0;
	char where[32];

	for (int i = 0; i < n; i++) {
		const config_setting_t *group = config_setting_get_elem(groups, (unsigned)i);

		if (config_setting_type(group) != CONFIG_TYPE_GROUP)
			continue;
		snprintf(where, sizeof(where), "%s[%d]", list->name, i);
		own = conf_device_choice(l, list->axis, (uint32_t)i);
		if (own)
			add_instance(l, list->axis, own, (uint32_t)i + list->further, where, group, list->others);
		else if (!list->further && !conf_is_typed(group) && axis->desc)
			add_instance(l, list->axis, axis, (uint32_t)i, where, group, list->others);
	}
}

static void add_single(struct conf_loader *l, enum gamut_axis axis)
{
	char where[48];

	snprintf(where, sizeof(where), "options.%s", axis_name(axis));
	add_instance(l, axis, &l->c->axes.axis[axis], 0, where, l->options[axis], NULL);
}

/* Disks on "none", options of "none": somebody expects a device that will not be there. */
static void check_without_plugin(struct conf_loader *l, enum gamut_axis axis)
{
	const struct conf_list *list = conf_list_of(axis);
	bool devices = list && !list->further;
	const config_setting_t *s = devices ? l->lists[axis] : l->options[axis];

	if (strcmp(l->c->axes.axis[axis].choice, CHOICE_NONE) == 0 && s && config_setting_length(s) > 0 &&
	    (!devices || conf_has_untyped(l, axis)))
		conf_error(l, conf_setting_line(s), "%s: axes.%s is \"%s\"; choose one that has a device%s, or leave these out",
		           config_setting_name(s), axis_name(axis), CHOICE_NONE, devices ? ", give each its type" : "");
}

static size_t count_instances(const struct conf_loader *l)
{
	size_t n = GAMUT_AXIS_COUNT;

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		if (l->lists[axis])
			n += (size_t)config_setting_length(l->lists[axis]);
	return n;
}

static void add_axis(struct conf_loader *l, enum gamut_axis axis)
{
	const struct conf_list *list = conf_list_of(axis);

	if (!l->c->axes.axis[axis].desc)
		check_without_plugin(l, axis);
	else if (!list || list->further)
		add_single(l, axis);
	if (list)
		add_list(l, list);
}

void conf_instances_read(struct conf_loader *l)
{
	/* Last of the three that make the machine, the platform puts a kernel onto what the others have reset. */
	static const enum gamut_axis order[GAMUT_AXIS_COUNT] = {GAMUT_AXIS_MMU,      GAMUT_AXIS_INTERRUPTS,
	                                                        GAMUT_AXIS_PLATFORM, GAMUT_AXIS_CONSOLE,
	                                                        GAMUT_AXIS_DISK,     GAMUT_AXIS_NET};

	l->c->instances = calloc(count_instances(l), sizeof(*l->c->instances));
	if (!l->c->instances) {
		conf_no_memory(l);
		return;
	}
	for (int i = 0; i < GAMUT_AXIS_COUNT; i++)
		add_axis(l, order[i]);
	check_pairs(l);
}

void conf_instances_finish(struct domain_config *c)
{
	for (uint32_t i = 0; i < c->n_instances; i++) {
		struct instance_config *inst = &c->instances[i];

		for (uint32_t j = 0; j < inst->n_values; j++) {
			free(inst->values[j].str);
			for (uint32_t k = 0; k < inst->values[j].n_list; k++)
				free(inst->values[j].list[k]);
			free(inst->values[j].list);
		}
		free(inst->values);
	}
	free(c->instances);
}
