/* SPDX-License-Identifier: MIT */
/*
 * The requests of a control socket: README.md says what each does. The table
 * at the end has them all.
 */
#include "control/server-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct request {
	struct client *client;
	json_t *id; /* never NULL */
	json_t *params; /* an object or NULL */
};

/* ---- answers ------------------------------------------------------------------------ */

static void say_result(struct client *c, json_t *id, json_t *result)
{
	client_send(c, result ? json_pack("{s:O, s:o}", "id", id, "result", result) : NULL);
}

static void say_text(struct client *c, json_t *id, const char *text)
{
	say_result(c, id, json_pack("{s:s}", "text", text));
}

static void say_error(struct client *c, json_t *id, const char *code, const char *message)
{
	client_send(c, json_pack("{s:O, s:{s:s, s:s}}", "id", id, "error", "code", code, "message", message));
}

json_t *control_greeting(const struct control *control)
{
	return json_pack("{s:s, s:i, s:s, s:i, s:i}", "gamut", GAMUT_VERSION, "protocol", CONTROL_PROTOCOL, "domain",
	                 control->config.domain->name, "id", (int)control->config.id, "pid", (int)getpid());
}

/* ---- parameters ------------------------------------------------------------------------ */

static json_t *param(const struct request *r, const char *name)
{
	return r->params ? json_object_get(r->params, name) : NULL;
}

/* A boolean, or what it is by default; another type is answered with an error and false. */
static bool get_bool(const struct request *r, const char *name, bool *value)
{
	const json_t *p = param(r, name);
	char message[80];

	if (!p)
		return true;
	if (json_is_boolean(p)) {
		*value = json_is_true(p);
		return true;
	}
	snprintf(message, sizeof(message), "%s is true or false", name);
	say_error(r->client, r->id, "bad-params", message);
	return false;
}

/* ---- what is told --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	control_source source;
} sources[] = {
	{ "summary", control_summary },
	{ "info", control_info },
	{ "stats", control_stats },
	{ "activity", control_activity },
};

static control_source find_source(const char *name)
{
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (strcmp(sources[i].name, name) == 0)
			return sources[i].source;
	}
	return NULL;
}

static void tell(struct request *r, control_source source)
{
	json_t *result = source(r->client->control);

	if (result)
		say_result(r->client, r->id, result);
	else
		say_error(r->client, r->id, "not-ready", "the domain is not running yet, or not any more");
}

static void do_summary(struct request *r)
{
	tell(r, control_summary);
}

static void do_info(struct request *r)
{
	tell(r, control_info);
}

static void do_stats(struct request *r)
{
	tell(r, control_stats);
}

static void do_activity(struct request *r)
{
	tell(r, control_activity);
}

/* Snapshots begin when the domain runs: until then there is nothing to send. */
void control_snapshot(struct client *c)
{
	json_t *result = c->source(c->control);

	if (result)
		client_send(c, json_pack("{s:O, s:o}", "watch", c->watch_id, "result", result));
}

static void do_watch(struct request *r)
{
	const json_t *interval = param(r, "interval_ms"), *method = param(r, "method");
	json_int_t ms = interval ? json_integer_value(interval) : 1000;
	control_source source = method && !json_is_string(method) ? NULL :
	                                find_source(method ? json_string_value(method) : "info");

	if (ms < CONTROL_INTERVAL_MIN || ms > CONTROL_INTERVAL_MAX) {
		say_error(r->client, r->id, "bad-params", "interval_ms is from 20 to 3600000");
	} else if (!source) {
		say_error(r->client, r->id, "bad-params", "method is \"summary\", \"info\", \"stats\" or \"activity\"");
	} else if (client_set_timer(r->client, (int)ms)) {
		say_error(r->client, r->id, "failed", "the host has no timer left");
	} else {
		r->client->source = source;
		r->client->watch_id = json_incref(r->id);
		say_text(r->client, r->id, "watching");
	}
}

static void do_unwatch(struct request *r)
{
	client_stop_timer(r->client);
	say_text(r->client, r->id, "not watching");
}

static void do_events(struct request *r)
{
	r->client->wants_events = true;
	say_text(r->client, r->id, "listening");
}

/* ---- what is done -------------------------------------------------------------------------------- */

/* [control], or the thread that submitted. */
static void done(struct domain_command *command, int rc, const char *text)
{
	struct control_pending *p = (struct control_pending *)command;
	struct control *control = p->control;

	p->rc = rc;
	snprintf(p->text, sizeof(p->text), "%s", text);
	pthread_mutex_lock(&control->lock);
	p->next = control->answers;
	control->answers = p;
	pthread_mutex_unlock(&control->lock);
	loop_defer_run(control->config.loop, control->work);
}

static const char *error_code(int rc)
{
	static const struct {
		int rc;
		const char *code;
	} codes[] = { { -EBUSY, "paused" }, { -ENOTSUP, "unsupported" }, { -EAGAIN, "nobody-listens" }, { -ESHUTDOWN, "ended" } };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].rc == rc)
			return codes[i].code;
	}
	return "failed";
}

void control_answer(struct client *c, struct control_pending *p)
{
	if (c) {
		c->n_waiting--;
		if (p->rc)
			say_error(c, p->id, error_code(p->rc), p->text);
		else
			say_text(c, p->id, p->text);
	}
	json_decref(p->id);
	free(p);
}

/* False: there is no domain to submit to. */
static bool hand_over(struct control *control, struct control_pending *p)
{
	bool there;

	pthread_mutex_lock(&control->domain_lock);
	there = control->domain;
	if (there)
		domain_submit(control->domain, &p->command);
	pthread_mutex_unlock(&control->domain_lock);
	return there;
}

static void submit(struct request *r, enum domain_request what)
{
	struct client *c = r->client;
	struct control_pending *p = calloc(1, sizeof(*p));

	if (!p) {
		say_error(c, r->id, "failed", "out of memory");
		return;
	}
	p->command = (struct domain_command){ .request = what, .done = done };
	p->control = c->control;
	p->client = c->serial;
	p->id = json_incref(r->id);
	if (hand_over(c->control, p)) {
		c->n_waiting++;
		return;
	}
	json_decref(p->id);
	free(p);
	say_error(c, r->id, "not-ready", "the domain is not running yet, or not any more");
}

static void do_pause(struct request *r)
{
	submit(r, DOMAIN_PAUSE);
}

static void do_resume(struct request *r)
{
	submit(r, DOMAIN_RESUME);
}

static void do_reset(struct request *r)
{
	submit(r, DOMAIN_RESET);
}

static void do_shutdown(struct request *r)
{
	bool reboot = false;

	if (get_bool(r, "reboot", &reboot))
		submit(r, reboot ? DOMAIN_REBOOT : DOMAIN_SHUTDOWN);
}

/* Waits for no command that is under way. */
static void do_destroy(struct request *r)
{
	struct control *control = r->client->control;
	bool there;

	pthread_mutex_lock(&control->domain_lock);
	there = control->domain;
	if (there)
		domain_end(control->domain, DOMAIN_END_DESTROYED, "destroyed through its control socket");
	pthread_mutex_unlock(&control->domain_lock);
	if (there)
		say_text(r->client, r->id, "it ends");
	else
		say_error(r->client, r->id, "not-ready", "the domain is not running yet, or not any more");
}

/* ---- console ------------------------------------------------------------------------------------------ */

/* Its number, or -1. */
static json_int_t find_console(const struct control *control, const json_t *which)
{
	const struct domain_config *config = control->config.domain;

	if (!which)
		return 0;
	if (json_is_integer(which))
		return json_integer_value(which) < config->n_consoles ? json_integer_value(which) : -1;
	for (uint32_t i = 0; json_is_string(which) && i < config->n_consoles; i++) {
		if (strcmp(config->consoles[i].name, json_string_value(which)) == 0)
			return i;
	}
	return -1;
}

static void no_console(struct request *r)
{
	const struct domain_config *config = r->client->control->config.domain;
	char message[512];
	size_t n = (size_t)snprintf(message, sizeof(message), "there is no such console; there are:");

	for (uint32_t i = 0; i < config->n_consoles && n < sizeof(message); i++)
		n += (size_t)snprintf(message + n, sizeof(message) - n, " %u %s", i, config->consoles[i].name);
	say_error(r->client, r->id, "bad-params", message);
}

static void do_console(struct request *r)
{
	const struct control *control = r->client->control;
	json_int_t i = find_console(control, param(r, "console"));
	bool history = true;

	if (i < 0) {
		no_console(r);
		return;
	}
	if (!get_bool(r, "history", &history))
		return;
	/* What else it has asked for has no place in a stream of bytes. */
	if (r->client->n_waiting || r->client->timer >= 0) {
		say_error(r->client, r->id, "bad-request", "answers or snapshots are still to come on this connection");
		return;
	}
	r->client->wants_events = false;
	say_result(r->client, r->id, json_pack("{s:s, s:s}", "text", "bytes follow", "console", control->config.domain->consoles[i].name));
	client_become_console(r->client, control->config.consoles[i], history);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

static const struct method {
	const char *name;
	void (*fn)(struct request *r);
} methods[] = {
	{ "summary", do_summary }, { "info", do_info },         { "stats", do_stats },
	{ "pause", do_pause },     { "resume", do_resume },     { "reset", do_reset },
	{ "shutdown", do_shutdown }, { "destroy", do_destroy }, { "watch", do_watch },
	{ "unwatch", do_unwatch }, { "events", do_events },     { "console", do_console },
	{ "activity", do_activity },
};

static const struct method *find_method(const char *name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}

static void run(struct request *r, const json_t *message)
{
	const json_t *name = json_object_get(message, "method"), *params = json_object_get(message, "params");
	const struct method *method = json_is_string(name) ? find_method(json_string_value(name)) : NULL;
	char text[128];

	if (!json_is_string(name)) {
		say_error(r->client, r->id, "bad-request", "a request is an object with a string \"method\"");
	} else if (!method) {
		snprintf(text, sizeof(text), "there is no method \"%.40s\"", json_string_value(name));
		say_error(r->client, r->id, "unknown-method", text);
	} else if (params && !json_is_object(params)) {
		say_error(r->client, r->id, "bad-params", "\"params\" is an object");
	} else {
		method->fn(r);
	}
}

/* The id of a request, or null for one that has none that can be. */
static json_t *request_id(const json_t *message)
{
	json_t *id = json_object_get(message, "id");

	return json_is_string(id) || json_is_number(id) ? json_incref(id) : json_null();
}

void control_request(struct client *c, const char *line, size_t len)
{
	json_error_t error;
	json_t *message = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	struct request r = { c, request_id(message), json_object_get(message, "params") };

	if (!message) {
		say_error(c, r.id, "bad-request", "this is no JSON");
		c->broken = true;
	} else {
		run(&r, message);
	}
	json_decref(r.id);
	json_decref(message);
}
