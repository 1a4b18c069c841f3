/* SPDX-License-Identifier: MIT */
/*
 * gamut console: one's terminal on a console of a running domain. After the
 * request the control connection is the console; this copies bytes.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "cmd-domain.h"
#include "cmd.h"
#include "terminal.h"

static const char help[] =
	"Usage: gamut console [--no-history] NAME [CONSOLE]\n\n"
	"Attaches standard input and output to a console of a running domain: the first,\n"
	"or the one of that name or number, as `gamut info` shows them. What the guest has\n"
	"said before, up to 64 KiB of it, comes first. Others may watch and type as well.\n"
	"In a terminal Ctrl-] leaves; the domain goes on. In a pipe the end of the input\n"
	"does not end it.\n\n"
	"  --no-history   only what comes from now on\n\n"
	"Exit status: 0 left, or the domain has ended; 1 no such domain or console; 2 bad\n"
	"usage.\n";

struct attached {
	struct control_client *c;
	struct termios saved;
	bool raw, in_ended;
	int signals;
	int signal; /* that ended it, or 0 */
	char typed[4096]; /* not yet sent */
	size_t typed_len;
};

/* ---- the terminal -------------------------------------------------------------------- */

static void make_raw(struct attached *a)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &a->saved))
		return;
	raw = a->saved;
	cfmakeraw(&raw);
	a->raw = !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void restore(struct attached *a)
{
	if (a->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &a->saved);
	a->raw = false;
}

static int block_signals(sigset_t *old)
{
	static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t mask;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		sigaddset(&mask, ours[i]);
	sigprocmask(SIG_BLOCK, &mask, old);
	return signalfd(-1, &mask, SFD_CLOEXEC);
}

/* ---- bytes ----------------------------------------------------------------------------- */

/* 0 or -errno. */
static int put_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* False: the domain has ended, or nobody reads our output any more. */
static bool from_guest(struct attached *a)
{
	char buf[16384];
	ssize_t n = recv(a->c->fd, buf, sizeof(buf), 0);

	if (n < 0 && errno == EINTR)
		return true;
	return n > 0 && !put_all(STDOUT_FILENO, buf, (size_t)n);
}

/* Sends what waits, as far as there is room. 0 or -errno. */
static int send_typed(struct attached *a)
{
	ssize_t n = a->typed_len ? send(a->c->fd, a->typed, a->typed_len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	a->typed_len -= (size_t)n;
	memmove(a->typed, a->typed + n, a->typed_len);
	return 0;
}

/*
 * False: the user leaves, or the domain has ended. Keys that a guest does not
 * take any more are dropped, as by a full keyboard, so that Ctrl-] is heard.
 */
static bool to_guest(struct attached *a)
{
	char buf[512], *leave;
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
	size_t len, room = sizeof(a->typed) - a->typed_len;

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		/* A terminal that is gone takes its user along. */
		a->in_ended = true;
		return !a->raw;
	}
	leave = a->raw ? memchr(buf, TERMINAL_LEAVE, (size_t)n) : NULL;
	len = leave ? (size_t)(leave - buf) : (size_t)n;
	len = len < room ? len : room;
	memcpy(a->typed + a->typed_len, buf, len);
	a->typed_len += len;
	return !send_typed(a) && !leave;
}

/* False: it is over. */
static bool serve(struct attached *a, const struct pollfd fds[3])
{
	struct signalfd_siginfo info;

	if (fds[2].revents && read(a->signals, &info, sizeof(info)) == sizeof(info)) {
		a->signal = (int)info.ssi_signo;
		return false;
	}
	if (fds[0].revents & POLLOUT && send_typed(a))
		return false;
	if (fds[0].revents & ~POLLOUT && !from_guest(a))
		return false;
	return !fds[1].revents || to_guest(a);
}

static void copy(struct attached *a)
{
	struct pollfd fds[3] = { { a->c->fd, 0, 0 }, { 0, POLLIN, 0 }, { a->signals, POLLIN, 0 } };

	/* What came with the answer is the console's already. */
	if (put_all(STDOUT_FILENO, a->c->buf, a->c->used))
		return;
	do {
		/* A pipe waits; a user does not. */
		bool read_more = !a->in_ended && (a->raw || !a->typed_len);

		fds[0].events = POLLIN | (a->typed_len ? POLLOUT : 0);
		fds[1].fd = read_more ? STDIN_FILENO : -1;
		for (int i = 0; i < 3; i++)
			fds[i].revents = 0;
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return;
	} while (serve(a, fds));
}

static void attach(struct control_client *c)
{
	struct attached a = { .c = c };
	sigset_t old;

	a.signals = block_signals(&old);
	make_raw(&a);
	copy(&a);
	restore(&a);
	if (a.signals >= 0)
		close(a.signals);
	if (a.signal)
		signal(a.signal, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (a.signal)
		raise(a.signal);
}

/* ---- the command --------------------------------------------------------------------------- */

/* A number is a number of the list, anything else a name. */
static json_t *which(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	return *text && !*end ? json_integer(n) : json_string(text);
}

static int parse(int argc, char **argv, const char **name, json_t *params)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (strcmp(argv[i], "--no-history"))
			return cmd_usage("console", "there is no option %s", argv[i]);
		json_object_set_new(params, "history", json_false());
	}
	if (i >= argc)
		return cmd_usage("console", "the name of a domain is missing");
	if (i + 2 < argc)
		return cmd_usage("console", "one console at a time, not \"%s\" as well", argv[i + 2]);
	*name = argv[i];
	if (i + 1 < argc)
		json_object_set_new(params, "console", which(argv[i + 1]));
	return CMD_OK;
}

int cmd_console(int argc, char **argv)
{
	json_t *params, *result;
	struct control_client c;
	const char *name = NULL;
	int rc;

	if (cmd_help(argc, argv, help))
		return CMD_OK;
	params = json_object();
	rc = parse(argc, argv, &name, params);
	if (!rc)
		rc = cmd_domain_open(&c, "console", name);
	if (rc) {
		json_decref(params);
		return rc;
	}
	result = cmd_domain_call(&c, "console", name, "console", params);
	if (result && isatty(STDIN_FILENO))
		fprintf(stderr, "gamut: console %s of %s; Ctrl-] leaves\n",
		        json_string_value(json_object_get(result, "console")), name);
	if (result)
		attach(&c);
	rc = result ? CMD_OK : CMD_PROBLEM;
	json_decref(result);
	control_client_close(&c);
	return rc;
}
