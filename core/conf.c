/* SPDX-License-Identifier: MIT */
#include "conf-internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "suggest.h"

int conf_error(struct conf_loader *l, unsigned line, const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0)
		return conf_no_memory(l);
	diag_error(l->diag, l->c->file, line, "%s", text);
	free(text);
	return -1;
}

int conf_no_memory(struct conf_loader *l)
{
	return diag_error(l->diag, l->c->file, 0, "out of memory");
}

const char *conf_type_name(const config_setting_t *s)
{
	static const char *const names[] = {
	        [CONFIG_TYPE_NONE] = "nothing",       [CONFIG_TYPE_GROUP] = "a group { }",
	        [CONFIG_TYPE_INT] = "an integer",     [CONFIG_TYPE_INT64] = "an integer",
	        [CONFIG_TYPE_FLOAT] = "a fraction",   [CONFIG_TYPE_STRING] = "a string",
	        [CONFIG_TYPE_BOOL] = "true or false", [CONFIG_TYPE_ARRAY] = "an array [ ]",
	        [CONFIG_TYPE_LIST] = "a list ( )",
	};
	int type = config_setting_type(s);

	return type >= 0 && (size_t)type < sizeof(names) / sizeof(names[0]) ? names[type] : "something else";
}

/* ---- axes ------------------------------------------------------------------------- */

#define MAX_MODES 32 /* among which a near miss is looked for */

static const struct preset *unknown_mode(struct conf_loader *l)
{
	const char *names[MAX_MODES] = {"auto"}, *near;
	size_t n = 1;
	char available[128];

	for (size_t i = 0; i < n_presets && n < MAX_MODES; i++)
		names[n++] = presets[i].name;
	near = suggest_nearest(l->c->mode, names, n);
	preset_available(l->plugins, &l->wish, available, sizeof(available));
	conf_error(l, l->wish.mode_line, "mode: there is no \"%s\"%s%s%s whose plugins are installed: %s",
	           l->c->mode, near ? "; did you mean \"" : "", near ? near : "",
	           near ? "\"? Modes" : "; modes", available);
	return NULL;
}

static const struct preset *choose_preset(struct conf_loader *l)
{
	const struct preset *preset;
	char why[2304];

	if (strcmp(l->c->mode, "auto") != 0) {
		preset = preset_find(l->c->mode);
		return preset ? preset : unknown_mode(l);
	}
	preset = preset_auto(l->plugins, &l->wish, why, sizeof(why));
	if (preset)
		diag_note(l->diag, l->c->file, l->wish.mode_line, "mode: %s", why);
	else
		conf_error(l, l->wish.mode_line, "mode: %s", why);
	return preset;
}

/* The words of the file go with the parsed file; those of descriptors stay. */
static void keep_words(struct axis_choices *axes)
{
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		axes->axis[axis].choice = axes->axis[axis].desc ? axes->axis[axis].desc->choice : CHOICE_NONE;
}

/* 0 when every axis has its descriptor. */
static int resolve_axes(struct conf_loader *l)
{
	struct axis_choices *axes = &l->c->axes;
	const struct preset *preset;

	l->wish.mode_line = conf_line(l->c, "mode");
	l->wish.has_kernel = conf_line(l->c, "boot.kernel") != 0; /* a wrong one has had its answer */
	if (conf_devices_read(l))
		return -1;
	l->wish.has_disk = conf_has_untyped(l, GAMUT_AXIS_DISK);
	l->wish.has_net = conf_has_untyped(l, GAMUT_AXIS_NET);
	preset = choose_preset(l);
	if (!preset)
		return -1;
	preset_apply(preset, &l->wish, axes);
	if (preset_needs_kernel(axes) && !l->wish.has_kernel)
		conf_error(l, conf_line(l->c, "boot"),
		           "boot.kernel: is missing, and platform \"%s\" boots a kernel directly; "
		           "add boot = { kernel = \"vmlinuz\"; };",
		           axes->axis[GAMUT_AXIS_PLATFORM].choice);
	if (preset_check_rules(axes, l->c->file, l->diag) ||
	    preset_load(axes, &l->wish, l->plugins, l->c->file, l->diag))
		return -1;
	return preset_check_needs(axes, l->plugins, l->c->file, l->diag);
}

/* ---- uuid -------------------------------------------------------------------------- */

/*
 * A UUID of version 8 (the maker's own, RFC 9562) from the name, so that a
 * domain has the same one every time: two FNV-1a hashes from different seeds.
 */
static void uuid_from_name(const char *name, uint8_t uuid[16])
{
	static const uint64_t seeds[2] = {0xcbf29ce484222325ull, 0x9ae16a3b2f90404full};

	for (int half = 0; half < 2; half++) {
		uint64_t h = seeds[half];

		for (const char *p = name; *p; p++)
			h = (h ^ (unsigned char)*p) * 0x100000001b3ull;
		memcpy(uuid + 8 * half, &h, 8);
	}
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* ---- loading -------------------------------------------------------------------------- */

static int parse(struct conf_loader *l)
{
	char *text = conf_read_text(l->c->file, l->diag);
	int ok;

	if (!text)
		return -1;
	ok = config_read_string(&l->cfg, text);
	free(text);
	if (!ok)
		return conf_error(l, (unsigned)config_error_line(&l->cfg),
		                  "%s; every setting is: key = value;",
		                  config_error_text(&l->cfg) ? config_error_text(&l->cfg) : "syntax error");
	if (config_setting_length(config_root_setting(&l->cfg)) == 0)
		return conf_error(l, 0, "is empty; see `gamut check --help` for the keys");
	return 0;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static struct domain_config *config_create(const char *path)
{
	struct domain_config *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->file = strdup(path);
	c->dir = folder_of(path);
	c->lines = calloc(conf_key_count(), sizeof(*c->lines));
	if (c->file && c->dir && c->lines)
		return c;
	conf_destroy(c);
	return NULL;
}

static void read_all(struct conf_loader *l)
{
	if (conf_keys_defaults(l) || parse(l))
		return;
	conf_keys_read(l);
	conf_check_host(l);
	if (!l->c->uuid_text && l->c->name)
		uuid_from_name(l->c->name, l->c->uuid);
	if (resolve_axes(l) == 0) {
		conf_instances_read(l);
		conf_consoles_read(l);
	}
	keep_words(&l->c->axes);
}

int conf_load(struct domain_config **config, const char *path, struct plugin_set *plugins, struct diag *diag)
{
	struct conf_loader l = {.plugins = plugins, .diag = diag};
	size_t before = diag->n_errors;

	*config = NULL;
	l.c = config_create(path);
	if (!l.c)
		return diag_error(diag, path, 0, "out of memory");
	config_init(&l.cfg);
	read_all(&l);
	config_destroy(&l.cfg);
	if (diag->n_errors != before) {
		conf_destroy(l.c);
		return -1;
	}
	*config = l.c;
	return 0;
}

void conf_destroy(struct domain_config *config)
{
	if (!config)
		return;
	conf_consoles_finish(config);
	conf_instances_finish(config);
	conf_devices_finish(config);
	conf_keys_finish(config);
	free(config->lines);
	free(config->dir);
	free(config->file);
	free(config);
}

/* ---- afterwards -------------------------------------------------------------------------- */

unsigned conf_line(const struct domain_config *config, const char *key)
{
	int index = conf_key_index(key);

	return index < 0 ? 0 : config->lines[index];
}

/* instead: an engine that has everything, or NULL. */
static int check_engine_choice(const struct domain_config *config, const struct axis_choice *a, enum gamut_axis axis,
                               const char *engine, const struct engine_caps *caps, const char *instead, struct diag *diag)
{
	struct engine_caps have = *caps;
	const char *why;
	int rc = 0;

	for (const char *const *need = a->desc ? a->desc->needs : NULL; need && *need; need++) {
		const bool *given = preset_engine_cap(&have, *need);

		if (strncmp(*need, "engine:", 7) != 0 || (given && *given))
			continue;
		why = given == &have.hap || given == &have.shadow ? have.paging : NULL;
		rc = diag_error(diag, config->file, a->line,
		                "%s: %s = \"%s\" needs \"%s\", which the engine %s does not have on this host%s%s; "
		                "%s%s%s",
		                a->where ? a->where : "axes", axis_name(axis), a->choice, *need, engine, why ? ": " : "", why ? why : "",
		                instead ? "use engine = \"" : "choose another ", instead ? instead : axis_name(axis),
		                instead ? "\"" : "");
	}
	return rc;
}

int conf_check_engine(const struct domain_config *config, const char *engine, const struct engine_caps *caps,
                      const char *instead, struct diag *diag)
{
	const struct axis_choice *a;
	enum gamut_axis axis;
	int rc = 0;

	for (size_t i = 0; (a = preset_choice(&config->axes, i, &axis)); i++)
		if (check_engine_choice(config, a, axis, engine, caps, instead, diag))
			rc = -1;
	if (config->vcpus > (int64_t)caps->max_vcpus)
		rc = diag_error(diag, config->file, conf_line(config, "vcpus"),
		                "vcpus: %" PRId64 " are too many for the engine %s, which runs %" PRIu32
		                "; give at most that%s%s%s",
		                config->vcpus, engine, caps->max_vcpus, instead ? ", or use engine = \"" : "",
		                instead ? instead : "", instead ? "\"" : "");
	return rc;
}
