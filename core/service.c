/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console-end.h"
#include "control/rundir.h"
#include "control/server.h"
#include "json.h"
#include "terminal.h"

/* Where one console goes. */
struct place {
	struct console_end **ends; /* of config->to, NULL for stdio */
};

struct service {
	const struct domain_config *config;
	struct service_options options;
	struct rundir rundir; /* fd -1: there is none */
	struct claim claim;
	struct loop loop;
	bool loop_up;
	struct console **consoles;
	struct place *places;
	struct control *control; /* NULL: none */
};

/* ---- consoles ------------------------------------------------------------------------ */

/* NAME@CONSOLE.suffix in the run-time folder; NULL when there is none, or no memory. */
static char *default_place(const struct service *s, const struct console_config *c, enum console_end_kind kind)
{
	char name[160];

	if (s->rundir.fd < 0)
		return NULL;
	snprintf(name, sizeof(name), "%s@%s", s->config->name, c->name);
	return rundir_file(&s->rundir, name, kind == CONSOLE_TO_PTY ? ".pty" : ".sock");
}

static int open_end(struct service *s, uint32_t i, uint32_t j, struct diag *diag)
{
	const struct console_config *c = &s->config->consoles[i];
	enum console_end_kind kind = (enum console_end_kind)c->to[j].kind;
	char err[512], *path;

	if (kind == CONSOLE_TO_STDIO)
		return !s->options.terminal || !terminal_attach(s->options.terminal, s->consoles[i], &s->loop) ?
		               0 :
		               diag_error(diag, s->config->file, c->line, "console: out of memory");
	path = c->to[j].path ? strdup(c->to[j].path) : default_place(s, c, kind);
	if (!path && kind == CONSOLE_TO_SOCKET)
		return diag_error(diag, s->config->file, c->line,
		                  "console: there is no run-time folder for the socket; give \"socket:PATH\"");
	s->places[i].ends[j] = console_end_open(kind, s->consoles[i], &s->loop, path, err, sizeof(err));
	free(path);
	return s->places[i].ends[j] ? 0 : diag_error(diag, s->config->file, c->line, "console: %s", err);
}

static int open_console(struct service *s, uint32_t i, struct diag *diag)
{
	const struct console_config *c = &s->config->consoles[i];

	s->consoles[i] = console_create();
	s->places[i].ends = calloc(c->n_to + 1, sizeof(struct console_end *));
	if (!s->consoles[i] || !s->places[i].ends)
		return diag_error(diag, s->config->file, 0, "out of memory");
	for (uint32_t j = 0; j < c->n_to; j++) {
		if (open_end(s, i, j, diag))
			return -1;
	}
	return 0;
}

static int open_consoles(struct service *s, struct diag *diag)
{
	uint32_t n = s->config->n_consoles;

	s->consoles = calloc(n, sizeof(*s->consoles));
	s->places = calloc(n, sizeof(*s->places));
	if (!s->consoles || !s->places)
		return diag_error(diag, s->config->file, 0, "out of memory");
	for (uint32_t i = 0; i < n; i++) {
		if (open_console(s, i, diag))
			return -1;
	}
	return 0;
}

/* The loop has stopped. What the guest has said is written out. */
static void close_ends(struct service *s)
{
	for (uint32_t i = 0; s->places && i < s->config->n_consoles; i++) {
		for (uint32_t j = 0; s->places[i].ends && j < s->config->consoles[i].n_to; j++)
			console_end_close(s->places[i].ends[j]);
		free(s->places[i].ends);
	}
	if (s->options.terminal)
		terminal_detach(s->options.terminal);
	free(s->places);
}

static void destroy_consoles(struct service *s)
{
	for (uint32_t i = 0; s->consoles && i < s->config->n_consoles; i++)
		console_destroy(s->consoles[i]);
	free(s->consoles);
}

static json_t *tell_ends(void *opaque, uint32_t i)
{
	const struct service *s = opaque;
	const struct console_config *c = &s->config->consoles[i];
	json_t *list = json_array();

	for (uint32_t j = 0; j < c->n_to; j++) {
		const struct console_end *end = s->places[i].ends[j];

		if (end || s->options.terminal)
			json_array_append_new(list, json_pack("{s:s, s:o}", "kind",
			                                      console_end_kind_name((enum console_end_kind)c->to[j].kind),
			                                      "path", json_text(end ? end->path : NULL)));
	}
	return list;
}

void service_say_consoles(const struct service *s, struct log *log)
{
	for (uint32_t i = 0; i < s->config->n_consoles; i++) {
		for (uint32_t j = 0; j < s->config->consoles[i].n_to; j++) {
			const struct console_end *end = s->places[i].ends[j];

			if (end)
				log_line(log, GAMUT_LOG_INFO, NULL, "console %s: %s %s",
				         s->config->consoles[i].name, end->ops->name, end->path);
		}
	}
}

/* ---- name, control socket -------------------------------------------------------------- */

/* 0; -1: an error. Without a run-time folder there is no name to claim. */
static int claim(struct service *s, struct diag *diag)
{
	char err[512];
	int rc = rundir_open(&s->rundir, true, err, sizeof(err));

	if (rc && s->options.needed)
		return diag_error(diag, NULL, 0, "there is no place for a control socket: %s", err);
	if (rc) {
		diag_note(diag, NULL, 0, "no control socket, so that `gamut list` does not show the domain: %s", err);
		return 0;
	}
	if (claim_take(&s->claim, &s->rundir, s->config->name, err, sizeof(err)))
		return diag_error(diag, s->config->file, conf_line(s->config, "name"), "name: %s", err);
	s->options.id = s->claim.id;
	return 0;
}

static int open_control(struct service *s, struct diag *diag)
{
	const struct control_config config = {
		.domain = s->config,
		.id = s->options.id,
		.loop = &s->loop,
		.consoles = s->consoles,
		.ends = tell_ends,
		.opaque = s,
		.log = s->options.log,
	};
	char name[80];
	int rc;

	if (s->rundir.fd < 0)
		return 0;
	snprintf(name, sizeof(name), "%s.sock", s->config->name);
	rc = control_open(&s->control, &config, s->rundir.fd, name);
	return rc ? diag_error(diag, NULL, 0, "cannot make the control socket %s/%s: %s", s->rundir.path, name,
	                       strerror(-rc)) :
	            0;
}

/* ---- life -------------------------------------------------------------------------------- */

static int bring_up(struct service *s, struct diag *diag)
{
	if (claim(s, diag))
		return -1;
	s->loop_up = !loop_init(&s->loop);
	if (!s->loop_up)
		return diag_error(diag, NULL, 0, "the host has no descriptors left");
	s->loop.name = "gamut-service";
	if (open_consoles(s, diag) || open_control(s, diag))
		return -1;
	if (loop_start(&s->loop))
		return diag_error(diag, NULL, 0, "the host cannot start another thread");
	loop_unpark(&s->loop);
	return 0;
}

int service_open(struct service **service, const struct domain_config *config, const struct service_options *options,
                 struct diag *diag)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!s)
		return diag_error(diag, config->file, 0, "out of memory");
	s->config = config;
	s->options = *options;
	s->rundir.fd = -1;
	s->claim = (struct claim){ .dir = -1, .name_lock = -1, .id_lock = -1 };
	if (bring_up(s, diag)) {
		service_close(s, NULL, NULL);
		return -1;
	}
	*service = s;
	return 0;
}

/* Those who wait for the end hear of it when nothing is left, the name included. */
void service_close(struct service *s, const char *how, const char *why)
{
	if (!s)
		return;
	if (s->loop_up)
		loop_stop(&s->loop);
	if (s->control)
		control_finish(s->control, how, why);
	close_ends(s);
	claim_release(&s->claim);
	control_close(s->control);
	destroy_consoles(s);
	if (s->loop_up)
		loop_finish(&s->loop);
	rundir_close(&s->rundir);
	free(s);
}

uint32_t service_id(const struct service *s)
{
	return s->options.id;
}

struct console **service_consoles(const struct service *s)
{
	return s->consoles;
}

void service_domain(struct service *s, struct domain *d)
{
	if (s->control)
		control_domain(s->control, d);
}

void service_event(struct service *s, const char *event)
{
	if (s->control)
		control_event(s->control, event);
}
