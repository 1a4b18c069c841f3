/* SPDX-License-Identifier: MIT */
#include "plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "option.h"
#include "suggest.h"

#define ENV_PATH "GAMUT_PLUGIN_PATH"

static const struct {
	const char *name, *prefix;
} axes[GAMUT_AXIS_COUNT] = {
        [GAMUT_AXIS_DISK] = {"disk", "disk"},
        [GAMUT_AXIS_NET] = {"net", "net"},
        [GAMUT_AXIS_INTERRUPTS] = {"interrupts", "intr"},
        [GAMUT_AXIS_PLATFORM] = {"platform", "platform"},
        [GAMUT_AXIS_MMU] = {"mmu", "mmu"},
        [GAMUT_AXIS_CONSOLE] = {"console", "console"},
};

static const char *const colours[] = {
        [GAMUT_COLOUR_V] = "V",
        [GAMUT_COLOUR_P] = "P",
        [GAMUT_COLOUR_VH] = "VH",
};

const char *axis_name(enum gamut_axis axis)
{
	return axis < GAMUT_AXIS_COUNT ? axes[axis].name : "?";
}

const char *axis_prefix(enum gamut_axis axis)
{
	return axis < GAMUT_AXIS_COUNT ? axes[axis].prefix : "?";
}

const char *colour_name(uint32_t colour)
{
	return colour <= GAMUT_COLOUR_VH ? colours[colour] : "?";
}

/* ---- search path ------------------------------------------------------- */

static int add_dir(struct plugin_set *set, const char *dir, size_t len)
{
	char **dirs;

	if (len == 0)
		return 0;
	dirs = realloc(set->dirs, (set->n_dirs + 1) * sizeof(*dirs));
	if (!dirs)
		return -ENOMEM;
	set->dirs = dirs;
	dirs[set->n_dirs] = strndup(dir, len);
	if (!dirs[set->n_dirs])
		return -ENOMEM;
	set->n_dirs++;
	return 0;
}

static int add_dirs_of_path(struct plugin_set *set, const char *path)
{
	while (path && *path) {
		size_t len = strcspn(path, ":");
		int rc = add_dir(set, path, len);

		if (rc)
			return rc;
		path += len + (path[len] == ':');
	}
	return 0;
}

static int add_dir_of_executable(struct plugin_set *set)
{
	static const char sub[] = "/plugins";
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - sizeof(sub));
	char *slash;

	if (n <= 0)
		return 0;
	exe[n] = 0;
	slash = strrchr(exe, '/');
	if (!slash)
		return 0;
	memcpy(slash, sub, sizeof(sub));
	return add_dir(set, exe, strlen(exe));
}

int plugin_set_init(struct plugin_set *set)
{
	int rc;

	*set = (struct plugin_set){0};
	rc = add_dirs_of_path(set, getenv(ENV_PATH));
	if (!rc)
		rc = add_dir_of_executable(set);
	if (!rc)
		rc = add_dir(set, GAMUT_INSTALL_PLUGIN_DIR, strlen(GAMUT_INSTALL_PLUGIN_DIR));
	if (rc)
		plugin_set_finish(set);
	return rc;
}

int plugin_set_init_dirs(struct plugin_set *set, const char *const *dirs, size_t n)
{
	*set = (struct plugin_set){0};
	for (size_t i = 0; i < n; i++) {
		int rc = add_dir(set, dirs[i], strlen(dirs[i]));

		if (rc) {
			plugin_set_finish(set);
			return rc;
		}
	}
	return 0;
}

void plugin_set_finish(struct plugin_set *set)
{
	for (size_t i = set->n_plugins; i-- > 0;)
		plugin_close(set->plugins[i]);
	free(set->plugins);
	for (size_t i = 0; i < set->n_dirs; i++)
		free(set->dirs[i]);
	free(set->dirs);
	*set = (struct plugin_set){0};
}

/* ---- files --------------------------------------------------------------- */

/* The path of the plugin file for a choice, to be freed; NULL when no folder has it. */
static char *file_of_choice(const struct plugin_set *set, enum gamut_axis axis, const char *choice)
{
	char *path;

	if (!option_word_ok(choice))
		return NULL;
	for (size_t i = 0; i < set->n_dirs; i++) {
		if (asprintf(&path, "%s/%s-%s.so", set->dirs[i], axis_prefix(axis), choice) < 0)
			return NULL;
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

bool plugin_exists(const struct plugin_set *set, enum gamut_axis axis, const char *choice)
{
	char *path = file_of_choice(set, axis, choice);
	bool there = path != NULL;

	free(path);
	return there;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_plugin_file(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && name[0] != '.' && strcmp(name + len - 3, ".so") == 0;
}

struct file_list {
	char **files;
	int n;
};

static bool listed(const struct file_list *list, const char *name)
{
	for (int i = 0; i < list->n; i++)
		if (strcmp(base_name(list->files[i]), name) == 0)
			return true;
	return false;
}

static int list_add(struct file_list *list, const char *dir, const char *name)
{
	char **files = realloc(list->files, ((size_t)list->n + 1) * sizeof(*files));

	if (!files)
		return -ENOMEM;
	list->files = files;
	if (asprintf(&files[list->n], "%s/%s", dir, name) < 0)
		return -ENOMEM;
	list->n++;
	return 0;
}

/* A folder that is not there is no error: not every installation has all of the search path. */
static int list_dir(struct file_list *list, const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return 0;
	while (rc == 0 && (e = readdir(d)) != NULL)
		if (is_plugin_file(e->d_name) && !listed(list, e->d_name))
			rc = list_add(list, dir, e->d_name);
	closedir(d);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(base_name(*(char *const *)a), base_name(*(char *const *)b));
}

int plugin_files(const struct plugin_set *set, char ***files)
{
	struct file_list list = {0};

	for (size_t i = 0; i < set->n_dirs; i++) {
		int rc = list_dir(&list, set->dirs[i]);

		if (rc) {
			plugin_files_free(list.files, list.n);
			return rc;
		}
	}
	if (list.n)
		qsort(list.files, (size_t)list.n, sizeof(*list.files), by_name);
	*files = list.files;
	return list.n;
}

void plugin_files_free(char **files, int n)
{
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
}

/* ---- opening --------------------------------------------------------------- */

static const char *const no_words[] = {NULL};

/* Copies as much as both sides know; the rest stays zero. */
static void copy_sized(void *dst, size_t dst_size, const void *src, uint32_t src_size)
{
	memcpy(dst, src, src_size < dst_size ? src_size : dst_size);
}

#define COPY_SIZED(dst, src) copy_sized(dst, sizeof(*(dst)), src, (src)->size)

static int copy_options(struct plugin_descriptor *to, const struct gamut_descriptor *from)
{
	const char *o = (const char *)from->options;

	to->options = calloc(from->n_options ? from->n_options : 1, sizeof(*to->options));
	if (!to->options)
		return -ENOMEM;
	for (uint32_t i = 0; i < from->n_options; i++) {
		const struct gamut_option *option = (const struct gamut_option *)o;

		COPY_SIZED(&to->options[i], option);
		o += option->size;
	}
	to->d.options = to->options;
	return 0;
}

static int copy_descriptor(struct plugin_descriptor *to, const struct gamut_descriptor *from)
{
	COPY_SIZED(&to->d, from);
	COPY_SIZED(&to->ops, from->ops);
	to->d.ops = &to->ops;
	if (!to->d.needs)
		to->d.needs = no_words;
	if (!to->d.gives)
		to->d.gives = no_words;
	return copy_options(to, from);
}

static int copy_plugin(struct plugin *plugin, const struct gamut_plugin *symbol)
{
	COPY_SIZED(&plugin->info, symbol);
	plugin->descriptors = calloc(symbol->n_descriptors, sizeof(*plugin->descriptors));
	if (!plugin->descriptors)
		return -ENOMEM;
	plugin->n_descriptors = symbol->n_descriptors;
	for (uint32_t i = 0; i < symbol->n_descriptors; i++)
		if (copy_descriptor(&plugin->descriptors[i], symbol->descriptors[i]))
			return -ENOMEM;
	return 0;
}

/* dlerror starts with the path more often than not; say it once. */
static void explain_dlerror(const char *path, char *err, size_t err_len)
{
	const char *text = dlerror();
	size_t len = strlen(path);

	if (!text)
		text = "unknown error";
	if (strncmp(text, path, len) == 0 && strncmp(text + len, ": ", 2) == 0)
		text += len + 2;
	snprintf(err, err_len, "%s: cannot be loaded: %s", path, text);
}

static const struct gamut_plugin *open_symbol(struct plugin *plugin, char *err, size_t err_len)
{
	const struct gamut_plugin *symbol;

	plugin->handle = dlopen(plugin->path, RTLD_NOW | RTLD_LOCAL);
	if (!plugin->handle) {
		explain_dlerror(plugin->path, err, err_len);
		return NULL;
	}
	symbol = dlsym(plugin->handle, GAMUT_PLUGIN_SYMBOL);
	if (!symbol)
		snprintf(err, err_len, "%s: is no Gamut plugin: it exports no symbol %s", plugin->path,
		         GAMUT_PLUGIN_SYMBOL);
	return symbol;
}

static bool validate_first(const struct gamut_plugin *symbol, const char *path, char *err, size_t err_len)
{
	struct diag diag = {0};
	bool ok = plugin_validate(symbol, path, true, &diag) == 0;

	if (!ok)
		snprintf(err, err_len, "%s: %s", path, diag.n ? diag.entries[0].text : "out of memory");
	diag_finish(&diag);
	return ok;
}

struct plugin *plugin_open(const char *path, char *err, size_t err_len)
{
	struct plugin *plugin = calloc(1, sizeof(*plugin));
	const struct gamut_plugin *symbol;

	if (!plugin)
		goto no_memory;
	/* Without a slash dlopen would search the system's library folders. */
	if (asprintf(&plugin->path, "%s%s", strchr(path, '/') ? "" : "./", path) < 0) {
		plugin->path = NULL;
		goto no_memory;
	}
	symbol = open_symbol(plugin, err, err_len);
	if (!symbol || !validate_first(symbol, plugin->path, err, err_len))
		goto refused;
	if (copy_plugin(plugin, symbol))
		goto no_memory;
	return plugin;
no_memory:
	snprintf(err, err_len, "%s: out of memory", path);
refused:
	plugin_close(plugin);
	return NULL;
}

void plugin_close(struct plugin *plugin)
{
	if (!plugin)
		return;
	for (size_t i = 0; i < plugin->n_descriptors; i++)
		free(plugin->descriptors[i].options);
	free(plugin->descriptors);
	if (plugin->handle)
		dlclose(plugin->handle);
	free(plugin->path);
	free(plugin);
}

/* ---- finding a choice --------------------------------------------------------- */

/* Appends to buf of len bytes, of which *used are taken; what does not fit is cut. */
static void append(char *buf, size_t len, size_t *used, const char *fmt, ...) GAMUT_PRINTF(4, 5);
static void append(char *buf, size_t len, size_t *used, const char *fmt, ...)
{
	va_list args;
	int n;

	if (*used >= len)
		return;
	va_start(args, fmt);
	n = vsnprintf(buf + *used, len - *used, fmt, args);
	va_end(args);
	*used += n < 0 ? 0 : (size_t)n;
}

/* "xen" of ".../disk-xen.so" on the disk axis, to be freed; NULL when the file is of another axis. */
static char *choice_of_file(const char *path, enum gamut_axis axis)
{
	const char *name = base_name(path);
	size_t prefix = strlen(axis_prefix(axis));

	if (strncmp(name, axis_prefix(axis), prefix) != 0 || name[prefix] != '-')
		return NULL;
	name += prefix + 1;
	return strndup(name, strlen(name) - strlen(".so"));
}

/* Replaces the paths of files by the choices of one axis; returns how many. */
static int keep_choices(char **files, int n, enum gamut_axis axis)
{
	int kept = 0;

	for (int i = 0; i < n; i++) {
		char *choice = choice_of_file(files[i], axis);

		free(files[i]);
		files[i] = NULL;
		if (choice)
			files[kept++] = choice;
	}
	return kept;
}

static void explain_missing(const struct plugin_set *set, enum gamut_axis axis, const char *choice, char *err,
                            size_t err_len)
{
	char **files = NULL;
	int n_files = plugin_files(set, &files);
	int n = n_files > 0 ? keep_choices(files, n_files, axis) : 0;
	const char *near = suggest_nearest(choice, (const char *const *)files, (size_t)n);
	size_t used = 0;

	append(err, err_len, &used, "there is no plugin %s-%s.so in", axis_prefix(axis), choice);
	for (size_t i = 0; i < set->n_dirs; i++)
		append(err, err_len, &used, "%s %s", i ? "," : "", set->dirs[i]);
	if (near)
		append(err, err_len, &used, "; did you mean \"%s\"?", near);
	append(err, err_len, &used, "%s for %s:", near ? " Installed" : "; installed", axis_name(axis));
	for (int i = 0; i < n; i++)
		append(err, err_len, &used, "%s %s", i ? "," : "", files[i]);
	if (n == 0)
		append(err, err_len, &used, " none");
	plugin_files_free(files, n);
}

static const struct plugin *loaded(const struct plugin_set *set, const char *path)
{
	for (size_t i = 0; i < set->n_plugins; i++)
		if (strcmp(set->plugins[i]->path, path) == 0)
			return set->plugins[i];
	return NULL;
}

static const struct plugin *load(struct plugin_set *set, const char *path, char *err, size_t err_len)
{
	struct plugin **plugins;
	struct plugin *plugin;

	plugins = realloc(set->plugins, (set->n_plugins + 1) * sizeof(*plugins));
	if (!plugins) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	set->plugins = plugins;
	plugin = plugin_open(path, err, err_len);
	if (plugin)
		plugins[set->n_plugins++] = plugin;
	return plugin;
}

static const struct gamut_descriptor *descriptor_of(const struct plugin *plugin, enum gamut_axis axis,
                                                    const char *choice)
{
	for (size_t i = 0; i < plugin->n_descriptors; i++) {
		const struct gamut_descriptor *d = &plugin->descriptors[i].d;

		if (d->axis == axis && strcmp(d->choice, choice) == 0)
			return d;
	}
	return NULL;
}

const struct gamut_descriptor *plugin_find(struct plugin_set *set, enum gamut_axis axis, const char *choice,
                                           const struct plugin **plugin, char *err, size_t err_len)
{
	const struct gamut_descriptor *desc = NULL;
	const struct plugin *p;
	char *path = file_of_choice(set, axis, choice);

	if (!path) {
		explain_missing(set, axis, choice, err, err_len);
		return NULL;
	}
	p = loaded(set, path);
	if (!p)
		p = load(set, path, err, err_len);
	if (p) {
		desc = descriptor_of(p, axis, choice);
		if (!desc)
			snprintf(err, err_len, "%s: has no choice \"%s\" for %s", path, choice,
			         axis_name(axis));
	}
	if (plugin)
		*plugin = p;
	free(path);
	return desc;
}
