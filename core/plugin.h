/* SPDX-License-Identifier: MIT */
/*
 * The plugin loader: finds shared objects, opens them, refuses with one clear
 * line what is not a plugin of our ABI, and keeps copies of the descriptors
 * that are as long as this build of the core knows them. Whoever uses a
 * descriptor from here may therefore read every member: what an older plugin
 * did not give is zero.
 *
 * A choice C on axis A is the file "<prefix of A>-C.so" in one of the folders
 * of the search path; a plugin with several descriptors may stand under
 * further names as a link. Nothing is opened before it is asked for.
 *
 * All of it runs on the control thread.
 */
#ifndef PLUGIN_H
#define PLUGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "diag.h"
#include "gamut/plugin.h"

/* One descriptor, clamped to what both sides know. */
struct plugin_descriptor {
	struct gamut_descriptor d; /* d.options and d.ops lead to the copies below */
	struct gamut_ops ops;
	struct gamut_option *options;
};

/* One loaded plugin. Lives until plugin_set_finish. */
struct plugin {
	char *path; /* of the file */
	void *handle;
	struct gamut_plugin info; /* clamped copy; its descriptors are the plugin's own, use the next two */
	struct plugin_descriptor *descriptors;
	size_t n_descriptors;
};

/* The search path, and the plugins loaded so far. */
struct plugin_set {
	char **dirs;
	size_t n_dirs;
	struct plugin **plugins;
	size_t n_plugins;
};

/*
 * Search path: the folders of env GAMUT_PLUGIN_PATH (colon separated) when
 * set, then "plugins" next to the executable, then the installed folder.
 * 0 or -ENOMEM.
 */
int plugin_set_init(struct plugin_set *set);
/* As above with these folders alone. */
int plugin_set_init_dirs(struct plugin_set *set, const char *const *dirs, size_t n);
/* Closes every plugin: no instance, descriptor or domain_config that points into one may be left. */
void plugin_set_finish(struct plugin_set *set);

/* "disk", "net", "interrupts", "platform", "mmu", "console": the words of a domain file. */
const char *axis_name(enum gamut_axis axis);
/* "disk", "net", "intr", "platform", "mmu", "console": the first part of a file's name. */
const char *axis_prefix(enum gamut_axis axis);
/* "V", "P", "VH". */
const char *colour_name(uint32_t colour);

/*
 * The descriptor for a choice on an axis, loading its plugin when it is not
 * loaded yet. NULL when there is none, with one line in err that names the
 * file and folders, or says why the file was refused.
 */
const struct gamut_descriptor *plugin_find(struct plugin_set *set, enum gamut_axis axis, const char *choice,
                                           const struct plugin **plugin, char *err, size_t err_len);

/* True when the search path has a file for the choice; opens nothing. */
bool plugin_exists(const struct plugin_set *set, enum gamut_axis axis, const char *choice);

/*
 * Paths of the plugin files in the search path, sorted by name, a name in an
 * earlier folder hiding the same name in a later one. Returns the number, and
 * an array to be freed with plugin_files_free. -ENOMEM when memory is short.
 */
int plugin_files(const struct plugin_set *set, char ***files);
void plugin_files_free(char **files, int n);

/*
 * Opens and validates one file. NULL with one line in err when it is refused.
 * plugin_close is for plugins opened by this call only.
 */
struct plugin *plugin_open(const char *path, char *err, size_t err_len);
void plugin_close(struct plugin *plugin);

/* `gamut plugin check`: adds everything that is wrong with the file. 0 or -1 when there was a problem. */
int plugin_check(const char *path, struct diag *diag);

/*
 * The validation of the exported symbol alone, without a file: adds all
 * problems, or with first_only the first. For tests and for the two above.
 */
int plugin_validate(const struct gamut_plugin *plugin, const char *path, bool first_only, struct diag *diag);

#endif
