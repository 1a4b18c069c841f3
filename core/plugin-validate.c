/* SPDX-License-Identifier: MIT */
/*
 * Validation of a plugin's exported symbol.
 *
 * The order matters: nothing is read before what says that it may be read.
 * Magic, ABI major, signature and size come first, and one wrong among them
 * ends the validation; below them every problem is named, unless the caller
 * only wants the first.
 */
#include "plugin.h"

#include <inttypes.h>
#include <string.h>

#include "option.h"

#define END_OF(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

/* What 1.0 promised of each struct; a smaller one is truncated. Frozen. */
#define PLUGIN_SIZE_1_0     END_OF(struct gamut_plugin, descriptors)
#define DESCRIPTOR_SIZE_1_0 END_OF(struct gamut_descriptor, ops)
#define OPS_SIZE_1_0        END_OF(struct gamut_ops, interface)
#define OPTION_SIZE_1_0     END_OF(struct gamut_option, required)

/* More than any sane table; a count beyond them is a wild one. */
#define MAX_DESCRIPTORS 64u
#define MAX_OPTIONS     256u

struct check {
	const struct gamut_plugin *plugin;
	const char *path;
	bool first_only;
	struct diag *diag;
	size_t before; /* errors that were in diag already */
};

static bool enough(const struct check *c)
{
	return c->first_only && c->diag->n_errors > c->before;
}

#define PROBLEM(c, ...)                                                                                      \
	do {                                                                                                 \
		if (!enough(c))                                                                              \
			diag_error((c)->diag, (c)->path, 0, __VA_ARGS__);                                    \
	} while (0)

static bool blank(const char *s)
{
	return !s || !*s;
}

/* False when what follows the header cannot be trusted. */
static bool check_header(const struct check *c)
{
	const struct gamut_plugin *p = c->plugin;
	size_t before = c->diag->n_errors;

	if (p->magic != GAMUT_PLUGIN_MAGIC)
		PROBLEM(c, "is no Gamut plugin: the symbol %s starts with %#" PRIx32 " instead of %#x",
		        GAMUT_PLUGIN_SYMBOL, p->magic, GAMUT_PLUGIN_MAGIC);
	else if (p->abi_major != GAMUT_ABI_MAJOR)
		PROBLEM(c,
		        "was built for plugin ABI %u.%u, and this is ABI %u.%u; build it against these "
		        "headers",
		        p->abi_major, p->abi_minor, GAMUT_ABI_MAJOR, GAMUT_ABI_MINOR);
	else if (p->signature != GAMUT_BUILD_SIGNATURE)
		PROBLEM(c,
		        "has build signature %#" PRIx32
		        ", and this is %#x: another kind of machine or compiler",
		        p->signature, (unsigned)GAMUT_BUILD_SIGNATURE);
	else if (p->size < PLUGIN_SIZE_1_0)
		PROBLEM(c, "its struct gamut_plugin says %" PRIu32 " bytes, and ABI 1.0 has %zu", p->size,
		        PLUGIN_SIZE_1_0);
	return c->diag->n_errors == before;
}

static bool default_ok(const struct gamut_option *o)
{
	int64_t num;
	const char *str;

	return option_default(o, &num, &str);
}

static void check_option_values(const struct check *c, const char *choice, const struct gamut_option *o)
{
	char wants[256];

	if (o->type > GAMUT_OPTION_PATH)
		PROBLEM(c, "%s: option \"%s\" has type %" PRIu32 ", which ABI %u.%u does not know", choice,
		        o->name, o->type, GAMUT_ABI_MAJOR, GAMUT_ABI_MINOR);
	else if (o->type == GAMUT_OPTION_INT && o->min > o->max)
		PROBLEM(c, "%s: option \"%s\" has an empty range, %" PRId64 " to %" PRId64, choice, o->name,
		        o->min, o->max);
	else if (o->type == GAMUT_OPTION_CHOICE && (!o->choices || !o->choices[0]))
		PROBLEM(c, "%s: option \"%s\" has no choices", choice, o->name);
	else if (o->default_value && !default_ok(o))
		PROBLEM(c, "%s: option \"%s\": its default \"%s\" is not %s", choice, o->name,
		        o->default_value, option_wants(o, wants, sizeof(wants)));
}

/* Plugins of a later minor have longer entries: each says its own length. */
static const struct gamut_option *next_option(const struct gamut_option *o)
{
	return (const struct gamut_option *)((const char *)o + o->size);
}

static bool option_repeated(const struct gamut_option *first, const struct gamut_option *o)
{
	for (; first != o; first = next_option(first))
		if (strcmp(first->name, o->name) == 0)
			return true;
	return false;
}

static void check_options(const struct check *c, const char *choice, const struct gamut_descriptor *d)
{
	const struct gamut_option *o = d->options;

	if (d->n_options > MAX_OPTIONS || (d->n_options && !o)) {
		PROBLEM(c, "%s: %" PRIu32 " options%s", choice, d->n_options,
		        o ? " are too many" : ", but no table");
		return;
	}
	for (uint32_t i = 0; i < d->n_options; i++, o = next_option(o)) {
		if (o->size < OPTION_SIZE_1_0 || o->size % sizeof(void *)) {
			PROBLEM(c, "%s: option %" PRIu32 " says %" PRIu32 " bytes, and ABI 1.0 has %zu",
			        choice, i, o->size, OPTION_SIZE_1_0);
			return;
		}
		if (blank(o->name) || !option_word_ok(o->name)) {
			PROBLEM(c, "%s: option %" PRIu32 " has no name, or one that is no word", choice, i);
			return;
		}
		if (blank(o->help))
			PROBLEM(c, "%s: option \"%s\" has no help text", choice, o->name);
		if (option_repeated(d->options, o))
			PROBLEM(c, "%s: option \"%s\" is there twice", choice, o->name);
		check_option_values(c, choice, o);
	}
}

static void check_ops(const struct check *c, const char *choice, const struct gamut_ops *ops)
{
	if (!ops)
		PROBLEM(c, "%s: has no ops", choice);
	else if (ops->size < OPS_SIZE_1_0)
		PROBLEM(c, "%s: its struct gamut_ops says %" PRIu32 " bytes, and ABI 1.0 has %zu", choice,
		        ops->size, OPS_SIZE_1_0);
	else if (!ops->create || !ops->destroy)
		PROBLEM(c, "%s: ops->%s is missing", choice, ops->create ? "destroy" : "create");
}

static void check_words(const struct check *c, const char *choice, const char *what, const char *const *words)
{
	for (; words && *words; words++)
		if (!**words)
			PROBLEM(c, "%s: an empty word in %s", choice, what);
}

static bool choice_repeated(const struct gamut_plugin *p, uint32_t index)
{
	const struct gamut_descriptor *d = p->descriptors[index];

	for (uint32_t i = 0; i < index; i++) {
		const struct gamut_descriptor *other = p->descriptors[i];

		if (other && other->size >= DESCRIPTOR_SIZE_1_0 && other->axis == d->axis && other->choice &&
		    strcmp(other->choice, d->choice) == 0)
			return true;
	}
	return false;
}

static void check_descriptor(const struct check *c, uint32_t index)
{
	const struct gamut_descriptor *d = c->plugin->descriptors[index];

	if (!d || d->size < DESCRIPTOR_SIZE_1_0) {
		PROBLEM(c,
		        "descriptor %" PRIu32 " is missing or too short: %" PRIu32
		        " bytes, and ABI 1.0 has %zu",
		        index, d ? d->size : 0, DESCRIPTOR_SIZE_1_0);
		return;
	}
	if (blank(d->choice) || !option_word_ok(d->choice)) {
		PROBLEM(c, "descriptor %" PRIu32 ": its choice is no word", index);
		return;
	}
	if (d->axis >= GAMUT_AXIS_COUNT)
		PROBLEM(c, "%s: axis %" PRIu32 " is none that ABI %u.%u knows", d->choice, d->axis,
		        GAMUT_ABI_MAJOR, GAMUT_ABI_MINOR);
	if (d->colour > GAMUT_COLOUR_VH)
		PROBLEM(c, "%s: colour %" PRIu32 " is none of V, P, VH", d->choice, d->colour);
	if (blank(d->description))
		PROBLEM(c, "%s: has no description", d->choice);
	if (choice_repeated(c->plugin, index))
		PROBLEM(c, "%s: is there twice on its axis", d->choice);
	check_words(c, d->choice, "needs", d->needs);
	check_words(c, d->choice, "gives", d->gives);
	check_options(c, d->choice, d);
	check_ops(c, d->choice, d->ops);
}

static void check_body(const struct check *c)
{
	const struct gamut_plugin *p = c->plugin;

	if (blank(p->name) || !option_word_ok(p->name))
		PROBLEM(c, "its name is missing or no word");
	if (blank(p->version))
		PROBLEM(c, "has no version");
	if (blank(p->licence))
		PROBLEM(c, "has no licence");
	if (p->n_descriptors == 0 || p->n_descriptors > MAX_DESCRIPTORS || !p->descriptors) {
		PROBLEM(c, "has %" PRIu32 " descriptors%s; there must be 1 to %u", p->n_descriptors,
		        p->descriptors ? "" : " and no table", MAX_DESCRIPTORS);
		return;
	}
	for (uint32_t i = 0; i < p->n_descriptors && !enough(c); i++)
		check_descriptor(c, i);
}

int plugin_validate(const struct gamut_plugin *plugin, const char *path, bool first_only, struct diag *diag)
{
	struct check c = {plugin, path, first_only, diag, diag->n_errors};

	if (check_header(&c))
		check_body(&c);
	return diag->n_errors == c.before ? 0 : -1;
}
