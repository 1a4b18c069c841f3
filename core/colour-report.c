/* SPDX-License-Identifier: MIT */
#include "colour-report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "colour.h"
#include "json.h"
#include "plugin.h"

#define NS_PER_S 1e9

/* ---- reading snapshots ------------------------------------------------------------ */

static const char *text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));

	return n > 0 ? (uint64_t)n : 0;
}

static int axis_of(const char *name)
{
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		if (!strcmp(axis_name((enum gamut_axis)axis), name))
			return axis;
	return -1;
}

static int colour_of(const char *name)
{
	for (int colour = 0; colour <= GAMUT_COLOUR_VH; colour++)
		if (!strcmp(colour_name((uint32_t)colour), name))
			return colour;
	return -1;
}

/* The object of a list whose `keys` are as in `like`; NULL: none. */
static const json_t *same_in(const json_t *list, const json_t *like, const char *const keys[])
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		int k = 0;

		while (keys[k] && !strcmp(text(item, keys[k]), text(like, keys[k])))
			k++;
		if (!keys[k])
			return item;
	}
	return NULL;
}

/* Growth of a number since the earlier snapshot; a reset in between starts it over. */
static uint64_t growth(const json_t *item, const json_t *earlier, const char *key)
{
	uint64_t now = number(item, key), then = earlier ? number(earlier, key) : 0;

	return now >= then ? now - then : now;
}

/* ---- what was seen ------------------------------------------------------------------- */

static const char *const sign_keys[] = { "plugin", "axis", "name", NULL };
static const char *const plugin_keys[] = { "name", NULL };

/* The earlier signs; NULL: none, or they were of another life of the guest. */
static const json_t *earlier_signs(const json_t *now, const json_t *before)
{
	return number(now, "resets") == number(before, "resets") ? json_object_get(before, "signs") : NULL;
}

static size_t read_signs(const json_t *now, const json_t *before, struct colour_sign *signs)
{
	const json_t *list = json_object_get(now, "signs"), *then = earlier_signs(now, before);
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		int axis = axis_of(text(item, "axis")), colour = colour_of(text(item, "colour"));

		if (axis < 0 || colour < 0)
			continue;
		signs[n++] = (struct colour_sign){
			.axis = (uint8_t)axis,
			.colour = (uint8_t)colour,
			.family = text(item, "family"),
			.name = text(item, "name"),
			.count = number(item, "count"),
			.recent = growth(item, same_in(then, item, sign_keys), "count"),
		};
	}
	return n;
}

static int derive(const json_t *now, const json_t *before, struct colour *colour)
{
	size_t n = json_array_size(json_object_get(now, "signs"));
	struct colour_sign *signs = calloc(n ? n : 1, sizeof(*signs));

	if (!signs)
		return -1;
	n = read_signs(now, before, signs);
	colour_derive(signs, n, colour);
	free(signs);
	return 0;
}

void colour_hide_configuration(json_t *snapshot)
{
	json_object_del(snapshot, "plugins");
}

/* ---- the report ------------------------------------------------------------------------ */

static double seconds_between(const json_t *now, const json_t *before)
{
	double s = (double)growth(now, before, "wall_ns") / NS_PER_S;

	return s > 0 ? s : 1e-9;
}

/* Exits and time of plugins: those of one axis, or one alone. */
struct account {
	uint64_t exits, exit_ns, io_ns;
	double exits_per_s, load; /* load: of one processor */
};

static void account_add(struct account *a, const json_t *plugin, const json_t *before, double seconds)
{
	const json_t *then = same_in(json_object_get(before, "plugins"), plugin, plugin_keys);
	uint64_t ns = growth(plugin, then, "exit_ns") + growth(plugin, then, "io_ns");

	a->exits += number(plugin, "exits");
	a->exit_ns += number(plugin, "exit_ns");
	a->io_ns += number(plugin, "io_ns");
	a->exits_per_s += (double)growth(plugin, then, "exits") / seconds;
	a->load += (double)ns / NS_PER_S / seconds;
}

static void account_put(const struct account *a, json_t *object)
{
	json_object_set_new(object, "exits", json_integer((json_int_t)a->exits));
	json_object_set_new(object, "exit_ns", json_integer((json_int_t)a->exit_ns));
	json_object_set_new(object, "io_ns", json_integer((json_int_t)a->io_ns));
	json_object_set_new(object, "exits_per_s", json_real(a->exits_per_s));
	json_object_set_new(object, "load", json_real(a->load));
}

static json_t *pair(const char *colour, const char *choice)
{
	json_t *object = json_object();

	json_object_set_new(object, "colour", json_text(colour));
	json_object_set_new(object, "choice", json_text(choice));
	return object;
}

/* Every choice of an axis once. */
static void add_configured(json_t *list, const json_t *plugin)
{
	static const char *const keys[] = { "choice", NULL };

	if (!same_in(list, plugin, keys))
		json_array_append_new(list, pair(text(plugin, "colour"), text(plugin, "choice")));
}

static json_t *axis_signs(const json_t *now, const json_t *before, const char *axis, double seconds)
{
	const json_t *all = json_object_get(now, "signs"), *then = earlier_signs(now, before);
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *item = json_array_get(all, i);
		json_t *object;

		if (strcmp(text(item, "axis"), axis) || !number(item, "count"))
			continue;
		object = pair(text(item, "colour"), text(item, "family"));
		json_object_set_new(object, "plugin", json_text(text(item, "plugin")));
		json_object_set_new(object, "name", json_text(text(item, "name")));
		json_object_set_new(object, "count", json_integer((json_int_t)number(item, "count")));
		json_object_set_new(object, "per_s",
		                    json_real((double)growth(item, same_in(then, item, sign_keys), "count") / seconds));
		json_array_append_new(list, object);
	}
	return list;
}

/* What else was seen: the pairs of the signs but that one. */
static json_t *also_seen(const json_t *signs, const json_t *observed)
{
	static const char *const keys[] = { "colour", "choice", NULL };
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(signs); i++) {
		const json_t *s = json_array_get(signs, i);
		const char *colour = text(s, "colour"), *choice = text(s, "choice");

		if (same_in(list, s, keys) ||
		    (!strcmp(colour, text(observed, "colour")) && !strcmp(choice, text(observed, "choice"))))
			continue;
		json_array_append_new(list, pair(colour, choice));
	}
	return list;
}

static json_t *axis_report(const json_t *now, const json_t *before, int axis, const struct colour_axis *seen,
                           double seconds)
{
	const char *name = axis_name((enum gamut_axis)axis);
	const json_t *plugins = json_object_get(now, "plugins");
	json_t *object = json_object(), *configured = json_array();
	struct account account = { 0 };

	for (size_t i = 0; i < json_array_size(plugins); i++) {
		const json_t *plugin = json_array_get(plugins, i);

		if (strcmp(text(plugin, "axis"), name))
			continue;
		add_configured(configured, plugin);
		account_add(&account, plugin, before, seconds);
	}
	json_object_set_new(object, "configured", configured);
	json_object_set_new(object, "observed",
	                    seen->seen ? pair(colour_name(seen->colour), seen->family) : json_null());
	account_put(&account, object);
	json_object_set_new(object, "signs", axis_signs(now, before, name, seconds));
	json_object_set_new(object, "also",
	                    also_seen(json_object_get(object, "signs"), json_object_get(object, "observed")));
	return object;
}

static json_t *plugin_report(const json_t *now, const json_t *before, double seconds)
{
	const json_t *plugins = json_object_get(now, "plugins");
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(plugins); i++) {
		const json_t *plugin = json_array_get(plugins, i);
		json_t *object = pair(text(plugin, "colour"), text(plugin, "choice"));
		struct account account = { 0 };

		account_add(&account, plugin, before, seconds);
		json_object_set_new(object, "name", json_text(text(plugin, "name")));
		account_put(&account, object);
		json_array_append_new(list, object);
	}
	return list;
}

json_t *colour_report(const json_t *now, const json_t *before)
{
	double seconds = seconds_between(now, before);
	json_t *report = json_object(), *axes = json_object();
	struct colour colour;

	if (!report || derive(now, before, &colour)) {
		json_decref(report);
		json_decref(axes);
		return NULL;
	}
	json_object_set_new(report, "domain", json_text(text(now, "domain")));
	json_object_set_new(report, "state", json_text(json_string_value(json_object_get(now, "state"))));
	json_object_set_new(report, "mode", json_text(colour.row));
	json_object_set_new(report, "why", json_text(colour.why));
	json_object_set_new(report, "engine", json_text(text(json_object_get(now, "engine"), "name")));
	json_object_set_new(report, "wall_ns", json_integer((json_int_t)number(now, "wall_ns")));
	json_object_set_new(report, "resets", json_integer((json_int_t)number(now, "resets")));
	json_object_set_new(report, "vcpus",
	                    json_integer((json_int_t)json_array_size(json_object_get(now, "vcpus"))));
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		json_object_set_new(axes, axis_name((enum gamut_axis)axis),
		                    axis_report(now, before, axis, &colour.axis[axis], seconds));
	json_object_set_new(report, "axes", axes);
	json_object_set_new(report, "plugins", plugin_report(now, before, seconds));
	return report;
}

/* ---- for reading --------------------------------------------------------------------------- */

/* From red, emulated in every detail, over yellow to green, where guest and monitor talk to each other. */
static const char *paint(const char *colour, bool ansi)
{
	static const char *const codes[] = {
		[GAMUT_COLOUR_V] = "\x1b[31m", [GAMUT_COLOUR_P] = "\x1b[32m", [GAMUT_COLOUR_VH] = "\x1b[33m"
	};
	int c = colour_of(colour);

	return ansi && c >= 0 ? codes[c] : "";
}

static const char *plain(bool ansi)
{
	return ansi ? "\x1b[0m" : "";
}

static void print_pair(const json_t *p, int width, bool ansi, FILE *out)
{
	const char *colour = text(p, "colour");

	fprintf(out, "%s%-2s %-*s%s", paint(colour, ansi), colour, width, text(p, "choice"), plain(ansi));
}

static bool is_pair(const json_t *a, const json_t *b)
{
	return !strcmp(text(a, "colour"), text(b, "colour")) && !strcmp(text(a, "choice"), text(b, "choice"));
}

/* The signs of a colour and choice: as many as a line takes. */
static void print_signs(const json_t *signs, const json_t *of, FILE *out)
{
	int shown = 0;

	for (size_t i = 0; i < json_array_size(signs) && shown < 3; i++) {
		const json_t *s = json_array_get(signs, i);
		double rate = json_real_value(json_object_get(s, "per_s"));

		if (!is_pair(s, of))
			continue;
		fprintf(out, "%s%s %" PRIu64, shown++ ? ", " : "", text(s, "name"), number(s, "count"));
		if (rate >= 1)
			fprintf(out, " (%.0f/s)", rate);
	}
}

/* NULL: nothing there. */
static void print_cell(const json_t *p, const char *none, bool ansi, FILE *out)
{
	if (json_is_object(p))
		print_pair(p, 10, ansi, out);
	else
		fprintf(out, "%-13s", none);
	fprintf(out, " ");
}

/* The first line has what the guest is taken for; below it what else was configured and seen. */
static void print_axis(const char *name, const json_t *axis, bool ansi, FILE *out)
{
	const json_t *configured = json_object_get(axis, "configured"), *also = json_object_get(axis, "also");
	const json_t *signs = json_object_get(axis, "signs");
	size_t n = json_array_size(configured), m = json_array_size(also) + 1;

	for (size_t i = 0; i < n || i < m; i++) {
		const json_t *seen = i ? json_array_get(also, i - 1) : json_object_get(axis, "observed");

		fprintf(out, "%-11s ", i ? "" : name);
		print_cell(json_array_get(configured, i), i ? "" : "-", ansi, out);
		print_cell(seen, i ? "" : "-", ansi, out);
		if (i)
			fprintf(out, "%9s %7s  ", "", "");
		else
			fprintf(out, "%9.0f %6.1f%%  ", json_real_value(json_object_get(axis, "exits_per_s")),
			        json_real_value(json_object_get(axis, "load")) * 100);
		if (json_is_object(seen))
			print_signs(signs, seen, out);
		fprintf(out, "\n");
	}
}

static void print_head(const json_t *report, bool ansi, FILE *out)
{
	const char *state = text(report, "state");

	fprintf(out, "%s: mode %s%s%s: %s\n", text(report, "domain"), ansi ? "\x1b[1m" : "", text(report, "mode"),
	        plain(ansi), text(report, "why"));
	fprintf(out, "engine %s, %" PRIu64 " vCPU%s, %.1f s", text(report, "engine"), number(report, "vcpus"),
	        number(report, "vcpus") == 1 ? "" : "s", (double)number(report, "wall_ns") / NS_PER_S);
	if (number(report, "resets"))
		fprintf(out, ", reset %" PRIu64 " time%s", number(report, "resets"), number(report, "resets") == 1 ? "" : "s");
	if (*state && strcmp(state, "running"))
		fprintf(out, ", %s", state);
	fprintf(out, "\n\n");
}

void colour_print(const json_t *report, bool ansi, FILE *out)
{
	const json_t *plugins = json_object_get(report, "plugins");
	const char *name;
	json_t *axis;

	print_head(report, ansi, out);
	fprintf(out, "%-11s %-13s %-13s %9s %7s  %s\n", "axis", "configured", "observed", "exits/s", "time", "signs");
	json_object_foreach(json_object_get(report, "axes"), name, axis)
		print_axis(name, axis, ansi, out);
	if (json_array_size(plugins))
		fprintf(out, "\n%-18s %13s %12s %9s %7s\n", "plugin", "", "exits", "exits/s", "time");
	for (size_t i = 0; i < json_array_size(plugins); i++) {
		const json_t *p = json_array_get(plugins, i);

		fprintf(out, "%-18s ", text(p, "name"));
		print_pair(p, 10, ansi, out);
		fprintf(out, " %12" PRIu64 " %9.0f %6.1f%%\n", number(p, "exits"),
		        json_real_value(json_object_get(p, "exits_per_s")),
		        json_real_value(json_object_get(p, "load")) * 100);
	}
}
