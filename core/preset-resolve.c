/* SPDX-License-Identifier: MIT */
/*
 * From words to descriptors: loading the plugins that a domain's choices name,
 * matching needs with gives, and choosing a preset for mode = "auto".
 */
#include "preset.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENGINE_NEED "engine:"

/* A line of text that is put together piece by piece; what does not fit is cut. */
struct line {
	char *buf;
	size_t len, used;
};

static void line_add(struct line *line, const char *fmt, ...) GAMUT_PRINTF(2, 3);
static void line_add(struct line *line, const char *fmt, ...)
{
	va_list args;
	int n;

	if (line->used >= line->len)
		return;
	va_start(args, fmt);
	n = vsnprintf(line->buf + line->used, line->len - line->used, fmt, args);
	va_end(args);
	line->used += n < 0 ? 0 : (size_t)n;
}

static bool is_none(const struct axis_choice *a)
{
	return strcmp(a->choice, CHOICE_NONE) == 0;
}

/* ---- what is installed ----------------------------------------------------- */

/* Adds the files that are missing for choices that the preset made; returns how many. */
static int missing_of_preset(const struct axis_choices *choices, const struct plugin_set *plugins,
                             struct line *line)
{
	int n = 0;

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		const struct axis_choice *a = &choices->axis[axis];

		if (a->overridden || is_none(a) || plugin_exists(plugins, axis, a->choice))
			continue;
		line_add(line, "%s%s-%s.so", n++ ? ", " : "", axis_prefix(axis), a->choice);
	}
	return n;
}

int preset_missing(const struct axis_choices *choices, const struct plugin_set *plugins, char *buf, size_t len)
{
	struct line line = {buf, len, 0};

	buf[0] = 0;
	return missing_of_preset(choices, plugins, &line);
}

void preset_available(const struct plugin_set *plugins, const struct preset_wish *wish, char *buf, size_t len)
{
	/* The modes as they are, whatever the domain overrides. */
	const struct preset_wish plain = {.has_disk = wish->has_disk, .has_net = wish->has_net};
	struct line line = {buf, len, 0};
	char ignored[256];

	for (size_t i = 0; i < n_presets; i++) {
		struct axis_choices choices;
		struct line missing = {ignored, sizeof(ignored), 0};

		preset_apply(&presets[i], &plain, &choices);
		if (missing_of_preset(&choices, plugins, &missing) == 0)
			line_add(&line, "%s%s", line.used ? ", " : "", presets[i].name);
	}
	if (line.used == 0)
		line_add(&line, "none");
}

static int report_missing(const struct axis_choices *choices, const struct preset_wish *wish,
                          const struct plugin_set *plugins, const char *file, struct diag *diag)
{
	char missing[512], available[128];
	struct line line = {missing, sizeof(missing), 0};

	if (missing_of_preset(choices, plugins, &line) == 0)
		return 0;
	preset_available(plugins, wish, available, sizeof(available));
	return diag_error(diag, file, wish->mode_line,
	                  "mode: \"%s\" needs plugins that are not installed: %s; modes that are: %s",
	                  choices->preset->name, missing, available);
}

static int load_axis(struct axis_choices *choices, enum gamut_axis axis, struct plugin_set *plugins,
                     const char *file, struct diag *diag)
{
	struct axis_choice *a = &choices->axis[axis];
	char err[1024];

	if (is_none(a) || (!a->overridden && !plugin_exists(plugins, axis, a->choice)))
		return 0;
	a->desc = plugin_find(plugins, axis, a->choice, &a->plugin, err, sizeof(err));
	if (a->desc)
		return 0;
	return diag_error(diag, file, a->line, "%s%s: %s",
	                  a->overridden ? "axes." : "mode: ", axis_name(axis), err);
}

int preset_load(struct axis_choices *choices, const struct preset_wish *wish, struct plugin_set *plugins,
                const char *file, struct diag *diag)
{
	int rc = report_missing(choices, wish, plugins, file, diag);

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		if (load_axis(choices, axis, plugins, file, diag))
			rc = -1;
	return rc;
}

/* ---- needs and gives ---------------------------------------------------------- */

static bool gives(const struct gamut_descriptor *d, const char *id)
{
	for (const char *const *g = d->gives; *g; g++)
		if (strcmp(*g, id) == 0)
			return true;
	return false;
}

static bool given(const struct axis_choices *choices, const struct gamut_descriptor *to, const char *id)
{
	const struct axis_choice *a;

	for (size_t i = 0; (a = preset_choice(choices, i, NULL)); i++)
		if (a->desc && a->desc != to && gives(a->desc, id))
			return true;
	return false;
}

/* Names the installed choices that would give it. Opens every plugin, but only to explain an error. */
static void add_givers(struct line *line, const struct plugin_set *plugins, const char *id)
{
	char **files = NULL;
	int n = plugin_files(plugins, &files), found = 0;
	char err[8];

	for (int i = 0; i < n; i++) {
		struct plugin *p = plugin_open(files[i], err, sizeof(err));

		for (size_t j = 0; p && j < p->n_descriptors; j++) {
			const struct gamut_descriptor *d = &p->descriptors[j].d;

			if (gives(d, id))
				line_add(line, "%s%s = \"%s\"", found++ ? ", or " : "; it comes with ",
				         axis_name(d->axis), d->choice);
		}
		plugin_close(p);
	}
	if (n >= 0)
		plugin_files_free(files, n);
	if (!found)
		line_add(line, ", and no plugin installed gives that");
}

static int check_need(const struct axis_choices *choices, const struct axis_choice *a, const char *need,
                      const struct plugin_set *plugins, const char *file, struct diag *diag)
{
	char givers[512] = "";
	struct line line = {givers, sizeof(givers), 0};

	if (strncmp(need, ENGINE_NEED, strlen(ENGINE_NEED)) == 0 || given(choices, a->desc, need))
		return 0;
	add_givers(&line, plugins, need);
	return diag_error(diag, file, a->line,
	                  "%s: %s = \"%s\" needs \"%s\", which nothing else chosen gives%s",
	                  a->where ? a->where : "axes", axis_name(a->desc->axis), a->choice, need, givers);
}

int preset_check_needs(const struct axis_choices *choices, const struct plugin_set *plugins, const char *file,
                       struct diag *diag)
{
	const struct axis_choice *a;
	int rc = 0;

	for (size_t i = 0; (a = preset_choice(choices, i, NULL)); i++)
		for (const char *const *need = a->desc ? a->desc->needs : NULL; need && *need; need++)
			if (check_need(choices, a, *need, plugins, file, diag))
				rc = -1;
	return rc;
}

bool preset_legal(const struct axis_choices *choices)
{
	const struct axis_choice *a;

	if (!preset_rules_hold(choices))
		return false;
	for (size_t i = 0; (a = preset_choice(choices, i, NULL)); i++)
		for (const char *const *need = a->desc ? a->desc->needs : NULL; need && *need; need++)
			if (strncmp(*need, ENGINE_NEED, strlen(ENGINE_NEED)) != 0 && !given(choices, a->desc, *need))
				return false;
	return true;
}

/* ---- needs that are the engine's ---------------------------------------------- */

bool *preset_engine_cap(struct engine_caps *caps, const char *need)
{
	const struct {
		const char *word;
		bool *cap;
	} table[] = {
	        {ENGINE_NEED "hap", &caps->hap},
	        {ENGINE_NEED "shadow", &caps->shadow},
	        {ENGINE_NEED "pv-ring3", &caps->pv_ring3},
	        {ENGINE_NEED "irqchip", &caps->irqchip},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].word, need) == 0)
			return table[i].cap;
	return NULL;
}

void preset_engine_needs(const struct axis_choices *choices, struct engine_caps *caps)
{
	const struct axis_choice *a;

	for (size_t i = 0; (a = preset_choice(choices, i, NULL)); i++)
		for (const char *const *need = a->desc ? a->desc->needs : NULL; need && *need; need++) {
			bool *cap = preset_engine_cap(caps, *need);

			if (cap)
				*cap = true;
		}
}

/* ---- auto ---------------------------------------------------------------------- */

static int64_t score_of(const struct axis_choices *choices)
{
	int64_t score = 0;

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		if (choices->axis[axis].desc)
			score += choices->axis[axis].desc->score;
	return score;
}

/* Whether a preset can work here; adds the reason why not. */
static bool try_preset(const struct preset *preset, struct plugin_set *plugins,
                       const struct preset_wish *wish, int64_t *score, struct line *why_not)
{
	struct axis_choices choices;
	struct diag diag = {0};
	char files[512];
	struct line missing = {files, sizeof(files), 0};
	bool ok;

	preset_apply(preset, wish, &choices);
	if (preset_needs_kernel(&choices) && !wish->has_kernel) {
		line_add(why_not, "; %s boots a kernel directly, and boot.kernel is not given", preset->name);
		return false;
	}
	if (missing_of_preset(&choices, plugins, &missing)) {
		line_add(why_not, "; %s lacks %s", preset->name, files);
		return false;
	}
	ok = preset_check_rules(&choices, NULL, &diag) == 0 &&
	     preset_load(&choices, wish, plugins, NULL, &diag) == 0 &&
	     preset_check_needs(&choices, plugins, NULL, &diag) == 0;
	if (ok)
		*score = score_of(&choices);
	else
		line_add(why_not, "; %s: %s", preset->name, diag.n ? diag.entries[0].text : "out of memory");
	diag_finish(&diag);
	return ok;
}

const struct preset *preset_auto(struct plugin_set *plugins, const struct preset_wish *wish, char *why,
                                 size_t why_len)
{
	char why_not[2048] = "";
	struct line nots = {why_not, sizeof(why_not), 0};
	const struct preset *best = NULL;
	int64_t best_score = 0;
	int n = 0;

	for (size_t i = 0; i < n_presets; i++) {
		int64_t score;

		if (!try_preset(&presets[i], plugins, wish, &score, &nots))
			continue;
		n++;
		if (!best || score > best_score) {
			best = &presets[i];
			best_score = score;
		}
	}
	if (!best)
		snprintf(why, why_len, "no mode can work here%s", why_not);
	else
		snprintf(why, why_len, "\"auto\" is \"%s\" (%s): %s, score %lld", best->name, best->summary,
		         n == 1 ? "the only mode that can work here" : "the best of those that can work here",
		         (long long)best_score);
	return best;
}
