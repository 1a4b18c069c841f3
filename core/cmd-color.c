/* SPDX-License-Identifier: MIT */
/*
 * gamut color: which mode a guest is in by what it was seen to do, and what
 * that costs. The domain sends snapshots of its statistics ("watch"); each and
 * the one before it make a report.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cmd-domain.h"
#include "cmd.h"
#include "colour-report.h"
#include "screen.h"

#define INTERVAL_MIN 0.02
#define INTERVAL_MAX 3600.0

static const char help[] =
	"Usage: gamut color [--interval SECONDS] [--once] [--json] [--blind] NAME\n\n"
	"Which mode the guest of a running domain is really in: for each axis what was\n"
	"configured and what the guest is seen to use, in the colours V (fully\n"
	"virtualized), P (paravirtualized) and VH (hardware-assisted), with exits, time\n"
	"in the monitor and how fast they grow, by axis and by plugin. The mode is told\n"
	"from what the guest did since it started, not from the configuration.\n\n"
	"On a terminal the report is drawn anew every interval; q or Ctrl-C leaves. In a\n"
	"pipe it is printed once.\n\n"
	"  --interval SECONDS  between two looks, 0.02 to 3600; 1\n"
	"  --once              one report, over one interval\n"
	"  --json              as JSON: with --once an object, otherwise one a line for\n"
	"                      as long as the domain runs\n"
	"  --blind             look at the guest alone: leave out what was configured\n\n"
	"NAME may be an id, as `gamut list` shows it.\n\n"
	"Exit status: 0 done, or the domain has ended; 1 no such domain, or it ended\n"
	"before there was a report; 2 bad usage.\n";

struct color {
	double interval;
	bool once, json, blind;
	const char *name;
	struct control_client client;
	json_t *before, *now; /* the last two snapshots */
};

/* ---- the command line --------------------------------------------------------------------- */

static int parse_interval(struct color *c, const char *value)
{
	char *end;

	c->interval = strtod(value, &end);
	if (!*value || *end || !(c->interval >= INTERVAL_MIN && c->interval <= INTERVAL_MAX))
		return cmd_usage("color", "--interval wants seconds, 0.02 to 3600, not \"%s\"", value);
	return CMD_OK;
}

static int parse_option(struct color *c, int argc, char **argv, int *i)
{
	const char *value;

	if (!strcmp(argv[*i], "--once"))
		c->once = true;
	else if (!strcmp(argv[*i], "--json"))
		c->json = true;
	else if (!strcmp(argv[*i], "--blind"))
		c->blind = true;
	else if ((value = cmd_option_value(argc, argv, i, "--interval")))
		return parse_interval(c, value);
	else if (!strcmp(argv[*i], "--interval"))
		return cmd_usage("color", "--interval needs a value");
	else
		return cmd_usage("color", "there is no option %s", argv[*i]);
	return CMD_OK;
}

/* Options may stand behind the name as well. */
static int parse(struct color *c, int argc, char **argv)
{
	char *rest[4] = { argv[0], NULL, NULL, NULL };
	int n = 1, i, rc = CMD_OK;

	*c = (struct color){ .interval = 1, .client.fd = -1 };
	for (i = 1; i < argc && strcmp(argv[i], "--") && !rc; i++) {
		if (argv[i][0] == '-' && argv[i][1])
			rc = parse_option(c, argc, argv, &i);
		else if (n < 3)
			rest[n++] = argv[i];
	}
	if (rc)
		return rc;
	for (i += i < argc; i < argc && n < 3; i++)
		rest[n++] = argv[i];
	if (n == 2 && rest[1][0] == '-') {
		c->name = rest[1];
		return CMD_OK;
	}
	return cmd_domain_name(n, rest, &c->name);
}

/* ---- snapshots ------------------------------------------------------------------------------ */

/* Takes the reference. */
static void take(struct color *c, json_t *snapshot)
{
	if (c->blind)
		colour_hide_configuration(snapshot);
	json_decref(c->before);
	c->before = c->now;
	c->now = snapshot;
}

/* One message of the domain. 1: a snapshot, taken; 0: something else; -EAGAIN not yet; else -errno: the domain is gone. */
static int next(struct color *c, int timeout_ms)
{
	json_t *message = control_client_next(&c->client, timeout_ms), *snapshot;

	if (!message)
		return errno == ETIMEDOUT ? -EAGAIN : errno == EPROTO ? 0 : errno ? -errno : -EPIPE;
	snapshot = json_object_get(message, "watch") ? json_incref(json_object_get(message, "result")) : NULL;
	json_decref(message);
	if (!json_is_object(snapshot)) {
		json_decref(snapshot);
		return 0;
	}
	take(c, snapshot);
	return 1;
}

/* Waits for one. False: the domain is gone. */
static bool next_snapshot(struct color *c)
{
	int rc;

	do
		rc = next(c, -1);
	while (rc == 0 || rc == -EAGAIN || rc == -EINTR);
	return rc > 0;
}

static int watch(struct color *c)
{
	json_t *result = cmd_domain_call(&c->client, "color", c->name, "watch",
	                                 json_pack("{s:s, s:i}", "method", "activity", "interval_ms",
	                                           (int)(c->interval * 1000 + 0.5)));

	json_decref(result);
	return result ? CMD_OK : CMD_PROBLEM;
}

/* ---- reports on standard output ----------------------------------------------------------------- */

/* False: nobody reads it any more. */
static bool print_report(const struct color *c)
{
	json_t *report = colour_report(c->now, c->before);
	bool pretty = c->once || !c->json;

	if (report && c->json)
		json_dumpf(report, stdout, pretty ? JSON_INDENT(2) : JSON_COMPACT);
	if (report && c->json)
		putchar('\n');
	if (report && !c->json)
		colour_print(report, isatty(STDOUT_FILENO), stdout);
	json_decref(report);
	return report && !fflush(stdout);
}

static int no_report(const struct color *c)
{
	fprintf(stderr, "gamut color: %s: the domain has ended\n", c->name);
	return CMD_PROBLEM;
}

/* Two looks; of a domain that ends in between what there was. */
static int once(struct color *c)
{
	if (!next_snapshot(c))
		return no_report(c);
	(void)next_snapshot(c);
	return print_report(c) ? CMD_OK : CMD_PROBLEM;
}

static int stream(struct color *c)
{
	bool any = false;

	while (next_snapshot(c)) {
		if (!c->before)
			continue;
		if (!print_report(c))
			return CMD_PROBLEM;
		any = true;
	}
	if (!any && c->now)
		return print_report(c) ? CMD_OK : CMD_PROBLEM;
	return any ? CMD_OK : no_report(c);
}

/* ---- live -------------------------------------------------------------------------------------------- */

struct live {
	struct color *c;
	struct screen screen;
	int signals;
	int signal; /* that ends it, or 0 */
};

static int block_signals(sigset_t *old)
{
	static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH };
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		sigaddset(&mask, ours[i]);
	sigprocmask(SIG_BLOCK, &mask, old);
	return signalfd(-1, &mask, SFD_CLOEXEC);
}

/* 0 or -errno. */
static int draw(const struct live *l)
{
	json_t *report = l->c->now ? colour_report(l->c->now, l->c->before) : NULL;
	char *text = NULL;
	size_t len = 0;
	FILE *out = report ? open_memstream(&text, &len) : NULL;
	int rc = 0;

	if (out) {
		colour_print(report, true, out);
		fprintf(out, "\nevery %g s; q leaves\n", l->c->interval);
		rc = fclose(out) ? -ENOMEM : screen_draw(&l->screen, text);
	} else {
		rc = screen_draw(&l->screen, "waiting for the domain to start; q leaves\n");
	}
	free(text);
	json_decref(report);
	return rc;
}

/* Also takes what more has come meanwhile. False: the domain is gone. */
static bool from_domain(struct live *l)
{
	int rc;

	while ((rc = next(l->c, 0)) >= 0)
		;
	return (rc == -EAGAIN || rc == -EINTR) && !draw(l);
}

/* False: the user leaves. */
static bool from_keys(const struct live *l)
{
	char keys[64];
	ssize_t n = read(l->screen.in, keys, sizeof(keys));

	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 3)
			return false;
	return n > 0 || (n < 0 && errno == EINTR);
}

/* False: one that ends it. */
static bool from_signals(struct live *l)
{
	struct signalfd_siginfo info;

	if (read(l->signals, &info, sizeof(info)) != sizeof(info) || info.ssi_signo == SIGTSTP)
		return true;
	if (info.ssi_signo == SIGWINCH)
		return !draw(l);
	l->signal = (int)info.ssi_signo;
	return false;
}

/* Whether it was the domain that ended it. */
static bool look(struct live *l)
{
	struct pollfd fds[3] = { { l->c->client.fd, POLLIN, 0 }, { l->screen.in, POLLIN, 0 }, { l->signals, POLLIN, 0 } };

	/* What came with the answer to the request is read already. */
	for (bool there = from_domain(l); there; there = !fds[0].revents || from_domain(l)) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return false;
		if ((fds[2].revents && !from_signals(l)) || (fds[1].revents && !from_keys(l)))
			return false;
	}
	return true;
}

static int live(struct color *c)
{
	struct live l = { .c = c };
	bool ended;
	sigset_t old;
	int rc;

	l.signals = block_signals(&old);
	rc = l.signals < 0 ? -errno : screen_open(&l.screen, STDIN_FILENO, STDOUT_FILENO);
	ended = !rc && look(&l);
	screen_close(&l.screen);
	if (l.signals >= 0)
		close(l.signals);
	if (l.signal)
		signal(l.signal, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (l.signal)
		raise(l.signal);
	if (rc)
		fprintf(stderr, "gamut color: the terminal: %s\n", strerror(-rc));
	/* The last of it stays to be read. */
	if (ended && c->now)
		print_report(c);
	if (ended)
		fprintf(stderr, "gamut color: %s: the domain has ended\n", c->name);
	return rc ? CMD_PROBLEM : CMD_OK;
}

int cmd_color(int argc, char **argv)
{
	struct color c;
	int rc;

	if (cmd_help(argc, argv, help))
		return CMD_OK;
	rc = parse(&c, argc, argv);
	if (!rc)
		rc = cmd_domain_open(&c.client, "color", c.name);
	if (rc)
		return rc;
	rc = watch(&c);
	if (!rc && c.json && !c.once)
		rc = stream(&c);
	else if (!rc && !c.json && !c.once && screen_possible(STDIN_FILENO, STDOUT_FILENO))
		rc = live(&c);
	else if (!rc)
		rc = once(&c);
	json_decref(c.before);
	json_decref(c.now);
	control_client_close(&c.client);
	return rc;
}
