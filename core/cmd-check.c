/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <stdio.h>
#include <string.h>

#include "conf.h"
#include "domain.h"
#include "json.h"

static const char help_head[] =
        "Usage: gamut check [--json] FILE...\n\n"
        "Checks domain files as `gamut run` would, and says everything that is wrong\n"
        "with file and line. Nothing is created, changed or locked.\n\n"
        "  --json   print the result as JSON\n\n"
        "Exit status: 0 all files are good, 1 a problem was found, 2 bad usage.\n\n"
        "Keys of a domain file (defaults in parentheses):\n";

/* Whether an instance before this one is of the same type. */
static bool repeated(const struct domain_config *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (c->instances[i].desc == c->instances[n].desc)
			return true;
	return false;
}

/* "disk=xen+ide (3)": the types that there are, and of how many devices. */
static void print_axis(const struct domain_config *c, enum gamut_axis axis)
{
	unsigned n = 0;

	printf(" %s=", axis_name(axis));
	for (uint32_t i = 0; i < c->n_instances; i++) {
		if (c->instances[i].axis != axis)
			continue;
		if (!repeated(c, i))
			printf("%s%s", n ? "+" : "", c->instances[i].choice);
		n++;
	}
	if (n == 0)
		fputs(c->axes.axis[axis].choice, stdout);
	if (n > 1)
		printf(" (%u)", n);
}

static void print_good(const struct domain_config *c, const struct engine_choice *engine)
{
	printf("%s: ok: \"%s\", mode %s:", c->file, c->name, c->axes.preset->name);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		print_axis(c, axis);
	printf("; %s\n", engine->why);
}

static json_t *json_axes(const struct domain_config *c)
{
	json_t *axes = json_object();

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		json_object_set_new(axes, axis_name(axis), json_text(c->axes.axis[axis].choice));
	return axes;
}

static json_t *json_problems(const struct diag *diag, bool notes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < diag->n; i++) {
		const struct diag_entry *e = &diag->entries[i];
		json_t *o;

		if (e->note != notes)
			continue;
		o = json_object();
		json_object_set_new(o, "file", json_text(e->file));
		json_object_set_new(o, "line", e->line ? json_integer(e->line) : json_null());
		json_object_set_new(o, "text", json_text(e->text));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *json_file(const char *path, const struct domain_config *c, const struct engine_choice *engine,
                         const struct diag *diag)
{
	json_t *o = json_object();

	json_object_set_new(o, "file", json_text(path));
	json_object_set_new(o, "ok", json_boolean(c != NULL));
	json_object_set_new(o, "problems", json_problems(diag, false));
	json_object_set_new(o, "notes", json_problems(diag, true));
	if (c) {
		json_object_set_new(o, "name", json_text(c->name));
		json_object_set_new(o, "mode", json_text(c->axes.preset->name));
		json_object_set_new(o, "axes", json_axes(c));
		json_object_set_new(o, "engine", json_text(engine->ops->name));
		json_object_set_new(o, "engine_reason", json_text(engine->why));
	}
	return o;
}

/* The file itself, then what the engine and the kernel say to it. NULL with diag when anything is wrong. */
static struct domain_config *load_and_validate(const char *path, struct plugin_set *plugins,
                                               struct engine_choice *engine, struct diag *diag)
{
	struct domain_config *c = NULL;
	struct domain_options options = { .id = 1, .leave_no_trace = true };

	if (conf_load(&c, path, plugins, diag))
		return NULL;
	options.engine = c->engine;
	if (!domain_validate(c, &options, engine, diag)) {
		if (engine->warn)
			diag_note(diag, c->file, conf_line(c, "engine"), "%s", engine->why);
		return c;
	}
	conf_destroy(c);
	return NULL;
}

/* report: the JSON list to add to, or NULL for text. */
static int check_file(const char *path, struct plugin_set *plugins, json_t *report)
{
	struct engine_choice engine = { .ops = NULL };
	struct domain_config *c;
	struct diag diag;
	int rc;

	diag_init(&diag);
	c = load_and_validate(path, plugins, &engine, &diag);
	rc = c ? CMD_OK : CMD_PROBLEM;
	if (report) {
		json_array_append_new(report, json_file(path, c, &engine, &diag));
	} else {
		diag_print(&diag, stderr, "gamut check: ");
		if (c)
			print_good(c, &engine);
	}
	conf_destroy(c);
	diag_finish(&diag);
	return rc;
}

static int check_files(int argc, char **argv, json_t *report)
{
	struct plugin_set plugins;
	int rc = CMD_OK;

	if (plugin_set_init(&plugins)) {
		fprintf(stderr, "gamut check: out of memory\n");
		return CMD_PROBLEM;
	}
	for (int i = 0; i < argc; i++)
		if (check_file(argv[i], &plugins, report) != CMD_OK)
			rc = CMD_PROBLEM;
	plugin_set_finish(&plugins);
	return rc;
}

int cmd_check(int argc, char **argv)
{
	json_t *report = NULL;
	int i = 1, rc;

	if (cmd_help(argc, argv, help_head)) {
		conf_print_keys(stdout);
		return CMD_OK;
	}
	for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--json") != 0) {
			json_decref(report);
			return cmd_usage("check", "there is no option %s", argv[i]);
		}
		report = report ? report : json_array();
	}
	i += i < argc && strcmp(argv[i], "--") == 0;
	if (i == argc) {
		json_decref(report);
		return cmd_usage("check", "a domain file is missing");
	}
	rc = check_files(argc - i, argv + i, report);
	if (report)
		json_print(report);
	return rc;
}
