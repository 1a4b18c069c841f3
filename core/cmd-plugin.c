/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "matrix.h"
#include "option.h"
#include "plugin.h"
#include "suggest.h"

static const char help[] = "Usage: gamut plugin list [--matrix] [--json]\n"
                           "       gamut plugin info [--json] NAME|FILE.so\n"
                           "       gamut plugin check FILE.so...\n\n"
                           "  list    the plugins of the search path, one line for each choice they offer\n"
                           "          --matrix: which choices go together, and why others do not\n"
                           "  info    one plugin: what it needs and gives, and its options\n"
                           "  check   everything that is wrong with a plugin, for its author\n\n"
                           "Search path: the folders in GAMUT_PLUGIN_PATH, \"plugins\" next to the command,\n"
                           "the installed folder.\n\n"
                           "Exit status: 0 done, 1 a problem was found, 2 bad usage.\n";

/* ---- JSON --------------------------------------------------------------------- */

static json_t *json_words(const char *const *words)
{
	json_t *list = json_array();

	for (; words && *words; words++)
		json_array_append_new(list, json_text(*words));
	return list;
}

static json_t *json_option(const struct gamut_option *o)
{
	static const char *const types[] = {"bool", "int", "string", "choice", "list", "path"};
	json_t *j = json_object();

	json_object_set_new(j, "name", json_text(o->name));
	json_object_set_new(j, "type", json_text(types[o->type]));
	json_object_set_new(j, "help", json_text(o->help));
	json_object_set_new(j, "default", json_text(o->default_value));
	json_object_set_new(j, "required", json_boolean(o->required));
	if (o->type == GAMUT_OPTION_INT) {
		json_object_set_new(j, "min", json_integer(o->min));
		json_object_set_new(j, "max", json_integer(o->max));
	}
	if (o->type == GAMUT_OPTION_CHOICE)
		json_object_set_new(j, "choices", json_words(o->choices));
	return j;
}

static json_t *json_descriptor(const struct gamut_descriptor *d)
{
	json_t *j = json_object(), *options = json_array();

	json_object_set_new(j, "axis", json_text(axis_name(d->axis)));
	json_object_set_new(j, "choice", json_text(d->choice));
	json_object_set_new(j, "colour", json_text(colour_name(d->colour)));
	json_object_set_new(j, "score", json_integer(d->score));
	json_object_set_new(j, "description", json_text(d->description));
	json_object_set_new(j, "needs", json_words(d->needs));
	json_object_set_new(j, "gives", json_words(d->gives));
	for (uint32_t i = 0; i < d->n_options; i++)
		json_array_append_new(options, json_option(&d->options[i]));
	json_object_set_new(j, "options", options);
	return j;
}

static json_t *json_plugin(const struct plugin *p)
{
	json_t *j = json_object(), *descriptors = json_array();
	char abi[16];

	snprintf(abi, sizeof(abi), "%u.%u", p->info.abi_major, p->info.abi_minor);
	json_object_set_new(j, "name", json_text(p->info.name));
	json_object_set_new(j, "version", json_text(p->info.version));
	json_object_set_new(j, "abi", json_text(abi));
	json_object_set_new(j, "licence", json_text(p->info.licence));
	json_object_set_new(j, "file", json_text(p->path));
	for (size_t i = 0; i < p->n_descriptors; i++)
		json_array_append_new(descriptors, json_descriptor(&p->descriptors[i].d));
	json_object_set_new(j, "descriptors", descriptors);
	return j;
}

/* ---- list ----------------------------------------------------------------------- */

#define ROW "%-20s %-10s %-12s %-6s %-8s %s\n"

static void print_rows(const struct plugin *p)
{
	for (size_t i = 0; i < p->n_descriptors; i++) {
		const struct gamut_descriptor *d = &p->descriptors[i].d;

		printf(ROW, p->info.name, axis_name(d->axis), d->choice, colour_name(d->colour),
		       p->info.version, d->description);
	}
}

/* list: the JSON list to add to, or NULL for text. */
static int list_file(const char *path, json_t *list)
{
	char err[1024];
	struct plugin *p = plugin_open(path, err, sizeof(err));

	if (!p) {
		fprintf(stderr, "gamut plugin list: %s\n", err);
		return CMD_PROBLEM;
	}
	if (list)
		json_array_append_new(list, json_plugin(p));
	else
		print_rows(p);
	plugin_close(p);
	return CMD_OK;
}

static void say_none(const struct plugin_set *set)
{
	fprintf(stderr, "gamut plugin list: there are no plugins in");
	for (size_t i = 0; i < set->n_dirs; i++)
		fprintf(stderr, "%s %s", i ? "," : "", set->dirs[i]);
	fprintf(stderr, "\n");
}

static int plugin_matrix(struct plugin_set *set, bool json)
{
	struct diag diag = { 0 };
	struct matrix m;
	int rc = matrix_init(&m, set, &diag);

	diag_print(&diag, stderr, "gamut plugin list: ");
	diag_finish(&diag);
	if (rc)
		return CMD_PROBLEM;
	if (!m.n)
		say_none(set);
	if (json)
		json_print(matrix_json(&m));
	else
		matrix_print(&m, stdout);
	matrix_finish(&m);
	return CMD_OK;
}

static int plugin_list(struct plugin_set *set, int argc, char **argv, bool json)
{
	json_t *list = json ? json_array() : NULL;
	char **files = NULL;
	int n, rc = CMD_OK;

	if (argc == 1 && !strcmp(argv[0], "--matrix")) {
		json_decref(list);
		return plugin_matrix(set, json);
	}
	if (argc) {
		json_decref(list);
		return cmd_usage("plugin", "list takes no argument %s", argv[0]);
	}
	n = plugin_files(set, &files);
	if (n <= 0)
		say_none(set);
	else if (!json)
		printf(ROW, "NAME", "AXIS", "CHOICE", "COLOUR", "VERSION", "DESCRIPTION");
	for (int i = 0; i < n; i++)
		if (list_file(files[i], list) != CMD_OK)
			rc = CMD_PROBLEM;
	if (n >= 0)
		plugin_files_free(files, n);
	if (list)
		json_print(list);
	return n < 0 ? CMD_PROBLEM : rc;
}

/* ---- info ------------------------------------------------------------------------- */

static void print_words(const char *title, const char *const *words)
{
	if (!*words)
		return;
	printf("  %-8s", title);
	for (; *words; words++)
		printf(" %s%s", *words, words[1] ? "," : "");
	printf("\n");
}

static void print_option(const struct gamut_option *o)
{
	char wants[512];

	printf("    %-14s %s; %s", o->name, o->help, option_wants(o, wants, sizeof(wants)));
	if (o->default_value)
		printf(" (%s)", o->default_value);
	printf("%s\n", o->required ? " (required)" : "");
}

static void print_descriptor(const struct gamut_descriptor *d)
{
	printf("\n%s = \"%s\" (%s): %s\n", axis_name(d->axis), d->choice, colour_name(d->colour),
	       d->description);
	print_words("needs", d->needs);
	print_words("gives", d->gives);
	printf("  %-8s %" PRId32 "\n", "score", d->score);
	if (d->n_options)
		printf("  options\n");
	for (uint32_t i = 0; i < d->n_options; i++)
		print_option(&d->options[i]);
}

static void print_plugin(const struct plugin *p)
{
	printf("%s %s, plugin ABI %u.%u, licence %s\n%s\n", p->info.name, p->info.version, p->info.abi_major,
	       p->info.abi_minor, p->info.licence, p->path);
	for (size_t i = 0; i < p->n_descriptors; i++)
		print_descriptor(&p->descriptors[i].d);
}

/* Whether path ends in "/NAME.so". */
static bool is_named(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t len = strlen(name);

	return strncmp(base, name, len) == 0 && strcmp(base + len, ".so") == 0;
}

static int unknown_plugin(char **files, int n, const char *name)
{
	const char *near = NULL;

	for (int i = 0; i < n; i++) {
		char *base = strrchr(files[i], '/'), *dot = strrchr(files[i], '.');
		const char *pair[2];
		const char *found;

		*dot = 0;
		pair[0] = base + 1;
		pair[1] = near;
		found = suggest_nearest(name, pair, near ? 2 : 1);
		near = found ? found : near;
	}
	fprintf(stderr, "gamut plugin info: there is no plugin \"%s\"%s%s%s\n", name,
	        near ? "; did you mean \"" : "; `gamut plugin list` shows those there are", near ? near : "",
	        near ? "\"?" : "");
	return CMD_PROBLEM;
}

static int info_file(const char *path, bool json)
{
	char err[1024];
	struct plugin *p = plugin_open(path, err, sizeof(err));

	if (!p) {
		fprintf(stderr, "gamut plugin info: %s\n", err);
		return CMD_PROBLEM;
	}
	if (json)
		json_print(json_plugin(p));
	else
		print_plugin(p);
	plugin_close(p);
	return CMD_OK;
}

static int info_name(struct plugin_set *set, const char *name, bool json)
{
	char **files = NULL;
	int n = plugin_files(set, &files), i = 0, rc;

	if (n < 0) {
		fprintf(stderr, "gamut plugin info: out of memory\n");
		return CMD_PROBLEM;
	}
	while (i < n && !is_named(files[i], name))
		i++;
	rc = i < n ? info_file(files[i], json) : unknown_plugin(files, n, name);
	plugin_files_free(files, n);
	return rc;
}

static int plugin_info(struct plugin_set *set, int argc, char **argv, bool json)
{
	size_t len;

	if (argc != 1)
		return cmd_usage("plugin", "info takes one name");
	len = strlen(argv[0]);
	if (strchr(argv[0], '/') || (len > 3 && strcmp(argv[0] + len - 3, ".so") == 0))
		return info_file(argv[0], json);
	return info_name(set, argv[0], json);
}

/* ---- check -------------------------------------------------------------------------- */

static int plugin_check_files(struct plugin_set *set, int argc, char **argv, bool json)
{
	int rc = CMD_OK;

	(void)set;
	if (argc == 0)
		return cmd_usage("plugin", "check needs a file");
	if (json)
		return cmd_usage("plugin", "check has no option --json");
	for (int i = 0; i < argc; i++) {
		struct diag diag;

		diag_init(&diag);
		if (plugin_check(argv[i], &diag))
			rc = CMD_PROBLEM;
		else
			printf("%s: ok\n", argv[i]);
		diag_print(&diag, stderr, "gamut plugin check: ");
		diag_finish(&diag);
	}
	return rc;
}

/* ---- dispatch -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*fn)(struct plugin_set *set, int argc, char **argv, bool json);
} subs[] = {
        {"list", plugin_list},
        {"info", plugin_info},
        {"check", plugin_check_files},
};

/* Takes the options out of argv; returns the number of arguments left, or -1 at an unknown one. */
static int take_options(int argc, char **argv, bool *json)
{
	int n = 0, i = 0;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--json") == 0)
			*json = true;
		else if (strcmp(argv[i], "--matrix") == 0) /* list's own */
			argv[n++] = argv[i];
		else if (argv[i][0] == '-') {
			cmd_usage("plugin", "there is no option %s", argv[i]);
			return -1;
		} else
			argv[n++] = argv[i];
	}
	for (i++; i < argc; i++)
		argv[n++] = argv[i];
	return n;
}

static int run_sub(size_t sub, int argc, char **argv)
{
	struct plugin_set set;
	bool json = false;
	int n = take_options(argc, argv, &json), rc;

	if (n < 0)
		return CMD_USAGE;
	if (plugin_set_init(&set)) {
		fprintf(stderr, "gamut plugin: out of memory\n");
		return CMD_PROBLEM;
	}
	rc = subs[sub].fn(&set, n, argv, json);
	plugin_set_finish(&set);
	return rc;
}

int cmd_plugin(int argc, char **argv)
{
	if (cmd_help(argc, argv, help))
		return CMD_OK;
	if (argc < 2)
		return cmd_usage("plugin", "list, info or check is missing");
	for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++)
		if (strcmp(subs[i].name, argv[1]) == 0)
			return run_sub(i, argc - 2, argv + 2);
	return cmd_usage("plugin", "there is no \"%s\"; there are list, info and check", argv[1]);
}
