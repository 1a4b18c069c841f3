/* SPDX-License-Identifier: MIT */
/*
 * Devices with a type of their own. A disk or a network card takes the choice
 * of its axis unless its group has `type`; consoles beside the one that
 * axes.console chooses always have it:
 *
 *   disks = ( { dev = "xvda"; path = "a.img"; }, { type = "ide"; dev = "hda"; path = "b.img"; } );
 *
 * They are looked up before a preset is applied, and go with it through rules
 * and needs (preset.h): each is judged as if it were its axis' choice, beside
 * all the others. What the options of their groups say is read afterwards
 * (conf-instances.c).
 */
#include "conf-internal.h"

#include <stdlib.h>
#include <string.h>

#include "option.h"

static const char *const typed_only[] = {"type", NULL};
static const char *const of_consoles[] = {"type", "to", NULL};

static const struct conf_list lists[] = {
        {GAMUT_AXIS_DISK, "disks", "disk", "xen", false, typed_only},
        {GAMUT_AXIS_NET, "nics", "network card", "xen", false, typed_only},
        {GAMUT_AXIS_CONSOLE, "consoles", "console", "serial", true, of_consoles},
};

#define N_LISTS (sizeof(lists) / sizeof(lists[0]))

const struct conf_list *conf_list_of(enum gamut_axis axis)
{
	for (size_t i = 0; i < N_LISTS; i++)
		if (lists[i].axis == axis)
			return &lists[i];
	return NULL;
}

static uint32_t length_of(const struct conf_loader *l, enum gamut_axis axis)
{
	return l->lists[axis] ? (uint32_t)config_setting_length(l->lists[axis]) : 0;
}

static const config_setting_t *group_of(const struct conf_loader *l, enum gamut_axis axis, uint32_t index)
{
	const config_setting_t *s = config_setting_get_elem(l->lists[axis], index);

	return config_setting_type(s) == CONFIG_TYPE_GROUP ? s : NULL;
}

bool conf_is_typed(const config_setting_t *group)
{
	return config_setting_get_member(group, "type") != NULL;
}

bool conf_has_untyped(const struct conf_loader *l, enum gamut_axis axis)
{
	for (uint32_t i = 0; i < length_of(l, axis); i++) {
		const config_setting_t *group = group_of(l, axis, i);

		if (!group || !conf_is_typed(group))
			return true;
	}
	return false;
}

const struct axis_choice *conf_device_choice(const struct conf_loader *l, enum gamut_axis axis, uint32_t index)
{
	for (size_t i = 0; i < l->c->n_devices; i++)
		if (l->c->devices[i].axis == axis && l->c->devices[i].index == index)
			return &l->c->devices[i].choice;
	return NULL;
}

/* The descriptor's word is kept; the file's goes with the parsed file. */
static void find_plugin(struct conf_loader *l, struct device_choice *device, const char *word)
{
	struct axis_choice *a = &device->choice;
	char err[1024];

	a->desc = plugin_find(l->plugins, device->axis, word, &a->plugin, err, sizeof(err));
	if (a->desc)
		a->choice = a->desc->choice;
	else
		conf_error(l, a->line, "%s: %s", a->where, err);
}

static int add_device(struct conf_loader *l, const struct conf_list *list, uint32_t index, const config_setting_t *group)
{
	const config_setting_t *type = config_setting_get_member(group, "type");
	const char *word = type ? config_setting_get_string(type) : NULL;
	struct device_choice *device = &l->c->devices[l->c->n_devices];
	char *where;

	if (!word || !option_word_ok(word) || !strcmp(word, CHOICE_NONE)) {
		conf_error(l, conf_setting_line(type ? type : group),
		           "%s[%u].type: wants the %s's kind; write type = \"%s\"", list->name, index, list->what,
		           list->example);
		return 0;
	}
	if (asprintf(&where, "%s[%u].type", list->name, index) < 0)
		return conf_no_memory(l);
	*device = (struct device_choice){
	        .axis = list->axis,
	        .index = index,
	        .choice = {.line = conf_setting_line(type), .overridden = true, .where = where},
	};
	find_plugin(l, device, word);
	if (device->choice.desc)
		l->c->n_devices++;
	else
		free(where);
	return 0;
}

static int add_list(struct conf_loader *l, const struct conf_list *list)
{
	int rc = 0;

	for (uint32_t i = 0; i < length_of(l, list->axis) && !rc; i++) {
		const config_setting_t *group = group_of(l, list->axis, i);

		if (group && (list->further || conf_is_typed(group)))
			rc = add_device(l, list, i, group);
	}
	return rc;
}

int conf_devices_read(struct conf_loader *l)
{
	size_t room = 1;
	int rc = 0;

	for (size_t i = 0; i < N_LISTS; i++)
		room += length_of(l, lists[i].axis);
	l->c->devices = calloc(room, sizeof(*l->c->devices));
	if (!l->c->devices)
		return conf_no_memory(l);
	for (size_t i = 0; i < N_LISTS && !rc; i++)
		rc = add_list(l, &lists[i]);
	l->wish.devices = l->c->devices;
	l->wish.n_devices = l->c->n_devices;
	return rc;
}

void conf_devices_finish(struct domain_config *c)
{
	for (size_t i = 0; i < c->n_devices; i++)
		free((char *)c->devices[i].choice.where);
	free(c->devices);
}
