/* SPDX-License-Identifier: MIT */
/* gamut pause, resume, reset, shutdown and destroy; and how commands find a domain. */
#include "cmd-domain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "suggest.h"

#define DESTROY_MS  60000
#define TIMEOUT_MAX 86400

/* ---- finding a domain --------------------------------------------------------------------- */

static void say_unknown(const struct rundir *r, const char *what, const char *name)
{
	char **names = NULL;
	int n = r->fd >= 0 ? rundir_names(r, &names) : 0;
	const char *near = n > 0 ? suggest_nearest(name, (const char *const *)names, (size_t)n) : NULL;

	fprintf(stderr, "gamut %s: no domain \"%s\" is running%s%s%s\n", what, name, near ? "; did you mean \"" : "",
	        near ? near : "", near ? "\"?" : n > 0 ? "; `gamut list` shows those that are" : ", nor is any other");
	rundir_names_free(names, n > 0 ? n : 0);
}

/* 0 when a domain with that id answered. */
static int open_by_id(struct control_client *c, const struct rundir *r, const char *text)
{
	char *end, **names = NULL;
	long id = strtol(text, &end, 10);
	int n = *text && !*end && id > 0 ? rundir_names(r, &names) : 0, rc = -ENOENT;

	for (int i = 0; i < n && rc; i++) {
		if (control_client_open(c, r, names[i]))
			continue;
		if (json_integer_value(json_object_get(c->greeting, "id")) == id)
			rc = 0;
		else
			control_client_close(c);
	}
	rundir_names_free(names, n > 0 ? n : 0);
	return rc;
}

static int open_in(struct control_client *c, const struct rundir *r, const char *what, const char *name)
{
	int rc = strlen(name) > 63 || strchr(name, '/') ? -ENOENT : control_client_open(c, r, name);

	if (rc == -ENOENT || rc == -ECONNREFUSED)
		rc = open_by_id(c, r, name) ? -ENOENT : 0;
	if (rc == -ENOENT)
		say_unknown(r, what, name);
	else if (rc)
		fprintf(stderr, "gamut %s: %s: %s\n", what, name, c->message);
	return rc ? CMD_PROBLEM : CMD_OK;
}

int cmd_domain_open(struct control_client *c, const char *what, const char *name)
{
	struct rundir r;
	char err[512];
	int rc = rundir_open(&r, false, err, sizeof(err));

	*c = (struct control_client){ .fd = -1 };
	if (rc == -ENOENT)
		say_unknown(&r, what, name);
	else if (rc)
		fprintf(stderr, "gamut %s: %s\n", what, err);
	if (rc)
		return CMD_PROBLEM;
	rc = open_in(c, &r, what, name);
	rundir_close(&r);
	return rc;
}

json_t *cmd_domain_call(struct control_client *c, const char *what, const char *name, const char *method,
                        json_t *params)
{
	json_t *result = control_client_call(c, method, params, CMD_ANSWER_MS);

	if (!result)
		fprintf(stderr, "gamut %s: %s: %s\n", what, name, c->message);
	return result;
}

int cmd_domain_name(int argc, char **argv, const char **name)
{
	int i = 1;

	if (i < argc && !strcmp(argv[i], "--"))
		i++;
	else if (i < argc && argv[i][0] == '-' && argv[i][1])
		return cmd_usage(argv[0], "there is no option %s", argv[i]);
	if (i >= argc)
		return cmd_usage(argv[0], "the name of a domain is missing");
	if (i + 1 < argc)
		return cmd_usage(argv[0], "one domain at a time, not \"%s\" as well", argv[i + 1]);
	*name = argv[i];
	return CMD_OK;
}

/* ---- one request, one answer ------------------------------------------------------------------- */

static int simple(int argc, char **argv, const char *help)
{
	struct control_client c;
	const char *name;
	json_t *result;
	int rc;

	if (cmd_help(argc, argv, help))
		return CMD_OK;
	rc = cmd_domain_name(argc, argv, &name);
	if (!rc)
		rc = cmd_domain_open(&c, argv[0], name);
	if (rc)
		return rc;
	result = cmd_domain_call(&c, argv[0], name, argv[0], NULL);
	rc = result ? CMD_OK : CMD_PROBLEM;
	json_decref(result);
	control_client_close(&c);
	return rc;
}

#define STATUS_HELP "Exit status: 0 done, 1 no such domain or it could not be done, 2 bad usage.\n"

int cmd_pause(int argc, char **argv)
{
	return simple(argc, argv,
	              "Usage: gamut pause NAME\n\n"
	              "Stops a domain, its time included, until `gamut resume`. When the command ends\n"
	              "no processor of it runs and no request to a disk is under way. One that is\n"
	              "paused already stays so.\n\n" STATUS_HELP);
}

int cmd_resume(int argc, char **argv)
{
	return simple(argc, argv,
	              "Usage: gamut resume NAME\n\n"
	              "Lets a paused domain go on. One that was not paused goes on as well.\n\n" STATUS_HELP);
}

int cmd_reset(int argc, char **argv)
{
	return simple(argc, argv,
	              "Usage: gamut reset NAME\n\n"
	              "Starts a domain again, as the reset button of a computer does: the guest is\n"
	              "not asked, and what it has not written to its disks is lost. A domain that was\n"
	              "paused is paused at its first instruction.\n\n" STATUS_HELP);
}

/* ---- waiting for the end ---------------------------------------------------------------------------- */

/* Until the connection closes, which is when nothing is left of the domain. 0 or -ETIMEDOUT. */
static int wait_end(struct control_client *c, int64_t timeout_ms)
{
	struct timespec now;
	int64_t end;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + timeout_ms;
	for (;;) {
		int64_t left = end - ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
		json_t *event = control_client_next(c, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0);

		if (!event && errno != EPROTO)
			return errno == ETIMEDOUT ? -ETIMEDOUT : 0;
		json_decref(event);
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
}

int cmd_destroy(int argc, char **argv)
{
	struct control_client c;
	const char *name;
	json_t *result;
	int rc;

	if (cmd_help(argc, argv,
	             "Usage: gamut destroy NAME\n\n"
	             "Ends a domain at once, as pulling the plug does: the guest is not asked, and\n"
	             "what it has not written to its disks is lost. When the command ends the domain\n"
	             "is gone.\n\n" STATUS_HELP))
		return CMD_OK;
	rc = cmd_domain_name(argc, argv, &name);
	if (!rc)
		rc = cmd_domain_open(&c, "destroy", name);
	if (rc)
		return rc;
	result = cmd_domain_call(&c, "destroy", name, "destroy", NULL);
	rc = result ? CMD_OK : CMD_PROBLEM;
	if (result && wait_end(&c, DESTROY_MS)) {
		fprintf(stderr, "gamut destroy: %s: it has not ended within %d s\n", name, DESTROY_MS / 1000);
		rc = CMD_PROBLEM;
	}
	json_decref(result);
	control_client_close(&c);
	return rc;
}

/* ---- shutdown ------------------------------------------------------------------------------------------ */

static const char shutdown_help[] =
	"Usage: gamut shutdown [--reboot] [--wait] [--timeout SECONDS] NAME\n\n"
	"Asks the guest to end itself in good order: by the ACPI power button of a PC,\n"
	"by the xenstore in a Xen guest. What comes of it is the guest's to decide.\n\n"
	"  --reboot           to start again instead\n"
	"  --wait             until the domain is gone; with --reboot, until it has started\n"
	"                     again\n"
	"  --timeout SECONDS  the same, but no longer than that\n\n"
	"Exit status: 0 the guest was asked and, with --wait, is gone; 1 no such domain, or\n"
	"there is no way to ask, or nothing in the guest listens; 2 bad usage; 5 the time\n"
	"was up, and the domain is still there.\n";

struct shutdown {
	bool reboot, wait;
	int64_t timeout_ms; /* -1: none */
	const char *name;
};

static int parse_timeout(struct shutdown *s, const char *value)
{
	char *end;
	long seconds = strtol(value, &end, 10);

	if (!*value || *end || seconds < 0 || seconds > TIMEOUT_MAX)
		return cmd_usage("shutdown", "--timeout wants seconds, 0 to %d, not \"%s\"", TIMEOUT_MAX, value);
	s->timeout_ms = seconds * 1000;
	s->wait = true;
	return CMD_OK;
}

static int parse_shutdown(struct shutdown *s, int argc, char **argv)
{
	char *rest[3] = { argv[0], NULL, NULL };
	const char *value;
	int i, n = 1, rc = CMD_OK;

	*s = (struct shutdown){ .timeout_ms = -1 };
	for (i = 1; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") && !rc; i++) {
		if (!strcmp(argv[i], "--reboot"))
			s->reboot = true;
		else if (!strcmp(argv[i], "--wait"))
			s->wait = true;
		else if ((value = cmd_option_value(argc, argv, &i, "--timeout")))
			rc = parse_timeout(s, value);
		else if (!strcmp(argv[i], "--timeout"))
			rc = cmd_usage("shutdown", "--timeout needs a value");
		else
			rc = cmd_usage("shutdown", "there is no option %s", argv[i]);
	}
	if (rc)
		return rc;
	i += i < argc && !strcmp(argv[i], "--");
	for (; i < argc && n < 3; i++)
		rest[n++] = argv[i];
	return cmd_domain_name(n, rest, &s->name);
}

/* Until it has been reset, or has ended. 0 or -ETIMEDOUT. */
static int wait_reset(struct control_client *c, int64_t timeout_ms)
{
	bool again = false;
	json_t *event;

	while (!again && (event = control_client_next(c, (int)timeout_ms))) {
		const char *what = json_string_value(json_object_get(event, "event"));

		again = what && (!strcmp(what, "reset") || !strcmp(what, "ended"));
		json_decref(event);
	}
	return again || errno != ETIMEDOUT ? 0 : -ETIMEDOUT;
}

static int ask(struct control_client *c, const struct shutdown *s)
{
	json_t *result = s->wait && s->reboot ? cmd_domain_call(c, "shutdown", s->name, "events", NULL) : json_true();

	if (!result)
		return CMD_PROBLEM;
	json_decref(result);
	result = cmd_domain_call(c, "shutdown", s->name, "shutdown", json_pack("{s:b}", "reboot", s->reboot));
	json_decref(result);
	if (!result)
		return CMD_PROBLEM;
	if (!s->wait || !(s->reboot ? wait_reset(c, s->timeout_ms) : wait_end(c, s->timeout_ms)))
		return CMD_OK;
	fprintf(stderr, "gamut shutdown: %s: it still runs\n", s->name);
	return CMD_TIMEOUT;
}

int cmd_shutdown(int argc, char **argv)
{
	struct control_client c;
	struct shutdown s;
	int rc;

	if (cmd_help(argc, argv, shutdown_help))
		return CMD_OK;
	rc = parse_shutdown(&s, argc, argv);
	if (!rc)
		rc = cmd_domain_open(&c, "shutdown", s.name);
	if (rc)
		return rc;
	rc = ask(&c, &s);
	control_client_close(&c);
	return rc;
}
