/* SPDX-License-Identifier: MIT */
/*
 * Consoles: where on the host the guest's consoles go. `console` is about the
 * device that axes.console chooses; each group of `consoles` is one more
 * device, with a plugin and options of its own (conf-devices.c), and `to`,
 * which is as `console`:
 *
 *   "stdio" "pty" "socket" "socket:PATH" "file:PATH" "none", or a list of them
 */
#include "conf-internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console-end.h"
#include "suggest.h"

#define WANTS "\"stdio\", \"pty\", \"socket\", \"socket:PATH\", \"file:PATH\", \"none\", or a list of them"

static const struct {
	const char *word;
	int kind;
	bool path, no_path; /* whether it may be "word:PATH", and "word" alone */
} words[] = {
	{ "stdio", CONSOLE_TO_STDIO, false, true },
	{ "pty", CONSOLE_TO_PTY, false, true },
	{ "socket", CONSOLE_TO_SOCKET, true, true },
	{ "file", CONSOLE_TO_FILE, true, false },
	{ "none", -1, false, true },
};

#define N_WORDS (sizeof(words) / sizeof(words[0]))

/* ---- one end ------------------------------------------------------------------------ */

static int unknown_end(struct conf_loader *l, const char *where, const config_setting_t *s, const char *text)
{
	const char *names[N_WORDS], *near;

	for (size_t i = 0; i < N_WORDS; i++)
		names[i] = words[i].word;
	near = suggest_nearest(text, names, N_WORDS);
	return conf_error(l, conf_setting_line(s), "%s: there is no \"%s\"%s%s%s give " WANTS, where, text,
	                  near ? "; did you mean \"" : ";", near ? near : "", near ? "\"? Else" : "");
}

/* A file can be made or written, a socket made. Nothing is, here. */
static int check_place(struct conf_loader *l, const char *where, const config_setting_t *s, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	int rc = 0;

	if (!folder)
		return conf_no_memory(l);
	if (access(path, W_OK) && access(folder, W_OK | X_OK))
		rc = conf_error(l, conf_setting_line(s), "%s: cannot make %s; its folder must be there, and yours to write",
		                where, path);
	free(folder);
	return rc;
}

static int add_end(struct conf_loader *l, struct console_config *c, const char *where, const config_setting_t *s,
                   int kind, const char *path)
{
	struct console_end_config *end = &c->to[c->n_to];

	for (uint32_t i = 0; i < c->n_to; i++) {
		if (c->to[i].kind == kind && !path && !c->to[i].path)
			return conf_error(l, conf_setting_line(s), "%s: \"%s\" is there twice; leave one out", where,
			                  console_end_kind_name(kind));
	}
	*end = (struct console_end_config){ .kind = kind };
	if (path) {
		end->path = conf_resolve(l->c->dir, path);
		if (!end->path)
			return conf_no_memory(l);
	}
	c->n_to++;
	return path ? check_place(l, where, s, end->path) : 0;
}

static int read_end(struct conf_loader *l, struct console_config *c, const char *where, const config_setting_t *s,
                    bool alone)
{
	const char *text = config_setting_get_string(s), *colon;
	size_t len;

	if (config_setting_type(s) != CONFIG_TYPE_STRING || !text)
		return conf_error(l, conf_setting_line(s), "%s: wants a string, not %s; give " WANTS, where,
		                  conf_type_name(s));
	colon = strchr(text, ':');
	len = colon ? (size_t)(colon - text) : strlen(text);
	for (size_t i = 0; i < N_WORDS; i++) {
		if (strlen(words[i].word) != len || strncmp(words[i].word, text, len) != 0)
			continue;
		if (colon ? !words[i].path || !colon[1] : !words[i].no_path)
			break;
		if (words[i].kind >= 0)
			return add_end(l, c, where, s, words[i].kind, colon ? colon + 1 : NULL);
		return alone ? 0 : conf_error(l, conf_setting_line(s), "%s: \"none\" stands alone", where);
	}
	return unknown_end(l, where, s, text);
}

/* s is a string or a list of strings. */
static int read_ends(struct conf_loader *l, struct console_config *c, const char *where, const config_setting_t *s)
{
	int type = config_setting_type(s), n = config_setting_length(s), rc = 0;
	bool list = type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY;

	c->line = conf_setting_line(s);
	c->to = calloc(list && n ? (size_t)n : 1, sizeof(*c->to));
	if (!c->to)
		return conf_no_memory(l);
	if (!list)
		return read_end(l, c, where, s, true);
	for (int i = 0; i < n && !rc; i++)
		rc = read_end(l, c, where, config_setting_get_elem(s, (unsigned)i), n == 1);
	return rc;
}

/* ---- all of them ------------------------------------------------------------------------ */

static bool has_stdio(const struct console_config *c)
{
	for (uint32_t i = 0; i < c->n_to; i++) {
		if (c->to[i].kind == CONSOLE_TO_STDIO)
			return true;
	}
	return false;
}

/* Not given: standard input and output, unless another console has them or there is no device. */
static int default_console(struct conf_loader *l, struct console_config *first, bool taken)
{
	first->to = calloc(1, sizeof(*first->to));
	if (!first->to)
		return conf_no_memory(l);
	if (!taken && l->c->axes.axis[GAMUT_AXIS_CONSOLE].desc)
		first->to[first->n_to++].kind = CONSOLE_TO_STDIO;
	return 0;
}

static int check_stdio(struct conf_loader *l)
{
	const struct console_config *first = NULL;

	for (uint32_t i = 0; i < l->c->n_consoles; i++) {
		const struct console_config *c = &l->c->consoles[i];

		if (!has_stdio(c))
			continue;
		if (first)
			return conf_error(l, c->line, "stdio is another console's already, in line %u; use a pty or a socket",
			                  first->line);
		first = c;
	}
	return 0;
}

/* "serial1", "xen": by what a console is asked for. */
static char *make_name(const struct instance_config *inst)
{
	const struct option_value *port = conf_option(inst, "port");
	char *name = NULL;
	int n = port && port->type == GAMUT_OPTION_INT ?
	                asprintf(&name, "%s%lld", inst->choice, (long long)port->num) :
	                asprintf(&name, "%s", inst->choice);

	return n < 0 ? NULL : name;
}

static int name_consoles(struct conf_loader *l)
{
	struct domain_config *c = l->c;

	for (uint32_t i = 0; i < c->n_instances; i++) {
		const struct instance_config *inst = &c->instances[i];

		if (inst->axis != GAMUT_AXIS_CONSOLE || inst->unit >= c->n_consoles)
			continue;
		c->consoles[inst->unit].name = make_name(inst);
		if (!c->consoles[inst->unit].name)
			return conf_no_memory(l);
	}
	if (c->n_consoles && !c->consoles[0].name)
		c->consoles[0].name = strdup("none");
	return c->consoles[0].name ? 0 : conf_no_memory(l);
}

void conf_consoles_read(struct conf_loader *l)
{
	const config_setting_t *list = l->lists[GAMUT_AXIS_CONSOLE];
	int n = list ? config_setting_length(list) : 0, rc = 0;
	struct domain_config *c = l->c;
	bool taken = false;
	char where[40];

	c->consoles = calloc((size_t)n + 1, sizeof(*c->consoles));
	if (!c->consoles) {
		conf_no_memory(l);
		return;
	}
	c->n_consoles = (uint32_t)n + 1;
	for (int i = 0; i < n; i++) {
		const config_setting_t *group = config_setting_get_elem(list, (unsigned)i);
		const config_setting_t *to = config_setting_get_member(group, "to");

		snprintf(where, sizeof(where), "consoles[%d].to", i);
		if (to && read_ends(l, &c->consoles[i + 1], where, to))
			rc = -1;
		taken |= has_stdio(&c->consoles[i + 1]);
	}
	if (l->console ? read_ends(l, &c->consoles[0], "console", l->console) :
	                 default_console(l, &c->consoles[0], taken))
		rc = -1;
	if (!rc && !check_stdio(l))
		name_consoles(l);
}

void conf_consoles_finish(struct domain_config *c)
{
	for (uint32_t i = 0; i < c->n_consoles; i++) {
		for (uint32_t j = 0; j < c->consoles[i].n_to; j++)
			free(c->consoles[i].to[j].path);
		free(c->consoles[i].to);
		free(c->consoles[i].name);
	}
	free(c->consoles);
}
