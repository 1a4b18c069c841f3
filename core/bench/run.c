/* SPDX-License-Identifier: MIT */
/*
 * The clocks: one starts right before the process is made, and is read when
 * "bench: begin" comes ("boot-to-init") and when the process has ended
 * ("process-start-to-end"). All that a user waits for is included: loading the
 * kernel, making the domain, the firmware.
 *
 * The process is in a group of its own, so that the terminal's Ctrl-C is ours
 * alone, and dies with us.
 */
#include "bench/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/lines.h"
#include "bench/noise.h"
#include "clock.h"
#include "json.h"
#include "plugin.h"

#define NS_PER_S   1000000000u
#define PATIENCE   (5ull * NS_PER_S) /* with a process that was asked to end */
#define TAIL       4096u             /* of what it printed, kept when it fails */
#define OUTPUT_MAX (64u << 20)       /* a guest that prints more measures nothing */

enum { OUT, ERR, PROC, SIG, N_FDS };

struct child {
	const struct bench_run *run;
	pid_t pid;
	int fd[N_FDS]; /* stdout, stderr, pidfd, signals */
	uint64_t started, begun, ended, told; /* told: when it was asked to end; 0: it was not */
	const char *broken;                   /* why we ended it */
	int signal;                           /* that we were sent */
	struct lines out, err;
	char tail[TAIL]; /* the end of both */
	size_t n_tail;
	double overhead_mib; /* -1: not known */
	int status;
	struct rusage usage;
};

/* ---- the process ------------------------------------------------------------------------------ */

static char **words_of(const json_t *command)
{
	size_t n = json_array_size(command);
	char **argv = calloc(n + 1, sizeof(*argv));

	for (size_t i = 0; argv && i < n; i++)
		argv[i] = (char *)(uintptr_t)json_string_value(json_array_get(command, i));
	return argv;
}

/* In the child. */
static void become(char **argv, const int out[2], const int err[2], pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0)
		_exit(126);
	execvp(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* Pipes of both streams; 0 or -errno. */
static int start(struct child *c)
{
	char **argv = words_of(c->run->command);
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, rc = 0;
	pid_t self = getpid();

	if (!argv || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		rc = -errno;
	fflush(NULL);
	c->started = mono_now();
	c->pid = rc ? -1 : fork();
	if (!c->pid)
		become(argv, out, err, self);
	if (!rc && c->pid < 0)
		rc = -errno;
	free(argv);
	close(out[1]);
	close(err[1]);
	c->fd[OUT] = out[0];
	c->fd[ERR] = err[0];
	if (rc)
		return rc;
	setpgid(c->pid, c->pid);
	for (int i = OUT; i <= ERR; i++)
		fcntl(c->fd[i], F_SETFL, O_NONBLOCK);
	c->fd[PROC] = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->fd[PROC] >= 0)
		return 0;
	rc = -errno;
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	return rc;
}

static void end(struct child *c, const char *why)
{
	if (c->told)
		return;
	c->broken = why;
	c->told = mono_now();
	kill(-c->pid, SIGINT);
}

/* ---- memory --------------------------------------------------------------------------------------- */

static uint64_t status_kib(pid_t pid, const char *name)
{
	char path[64], line[256];
	uint64_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			kib = strtoull(line + strlen(name) + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return kib;
}

/* What is resident of private mappings that are as large as the guest's memory: QEMU's is one. */
static uint64_t guest_kib(pid_t pid, int64_t guest_mib)
{
	uint64_t size = 0, rss, kib = 0;
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Size: %" SCNu64, &size) == 1)
			continue;
		if (sscanf(line, "Rss: %" SCNu64, &rss) == 1 && size == (uint64_t)guest_mib << 10)
			kib += rss;
	}
	if (f)
		fclose(f);
	return kib;
}

/* Of a process that leaves no statistics, when its guest is done with measuring. */
static void weigh(struct child *c)
{
	uint64_t rss = status_kib(c->pid, "VmRSS"), guest = guest_kib(c->pid, c->run->guest_mib);

	if (rss > guest)
		c->overhead_mib = (double)(rss - guest) / 1024;
}

/* ---- its output -------------------------------------------------------------------------------------- */

static void passed_a_mark(struct child *c)
{
	if (c->out.ended)
		c->ended = mono_now();
	else
		c->begun = mono_now();
	if (c->out.ended && !(c->run->stats && *c->run->stats))
		weigh(c);
}

static void keep_tail(struct child *c, const char *data, size_t n)
{
	size_t old;

	if (n > TAIL) {
		data += n - TAIL;
		n = TAIL;
	}
	old = c->n_tail < TAIL - n ? c->n_tail : TAIL - n;
	memmove(c->tail, c->tail + c->n_tail - old, old);
	memcpy(c->tail + old, data, n);
	c->n_tail = old + n;
}

static void take(struct child *c, int which, const char *data, size_t n)
{
	struct lines *lines = which == OUT ? &c->out : &c->err;
	size_t used;

	keep_tail(c, data, n);
	for (; n; data += used, n -= used) {
		if (lines_feed(lines, data, n, &used) && which == OUT)
			passed_a_mark(c);
	}
	if (lines->bytes > OUTPUT_MAX)
		end(c, "it printed more than 64 MiB");
}

/* What is there; false: there will be no more. */
static bool drain(struct child *c, int which)
{
	char buf[65536];
	ssize_t n;

	/* Bounded, so that a guest that prints without end is still stopped in time. */
	for (int i = 0; i < 16; i++) {
		n = read(c->fd[which], buf, sizeof(buf));
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (!n)
			return false;
		take(c, which, buf, (size_t)n);
	}
	return true;
}

/* ---- waiting --------------------------------------------------------------------------------------- */

static void watch_clock(struct child *c)
{
	uint64_t now = mono_now();

	if (c->told && now - c->told > PATIENCE)
		kill(-c->pid, SIGKILL);
	else if (now - c->started > (uint64_t)c->run->timeout * NS_PER_S)
		end(c, "it took longer than its time-out");
}

static void take_signal(struct child *c)
{
	struct signalfd_siginfo info;

	if (read(c->run->signals, &info, sizeof(info)) != sizeof(info))
		return;
	c->signal = (int)info.ssi_signo;
	end(c, "interrupted");
}

/* Milliseconds to the next thing to look at. */
static int next_look(const struct child *c)
{
	uint64_t now = mono_now(), all = (uint64_t)c->run->timeout * NS_PER_S, age = now - c->started;

	return c->told || age > all ? 100 : all - age < NS_PER_S ? (int)((all - age) / 1000000u) + 1 : 1000;
}

static void wait_for_it(struct child *c)
{
	struct pollfd fds[N_FDS];
	uint64_t ticked = c->started;

	for (;;) {
		for (int i = 0; i < N_FDS; i++)
			fds[i] = (struct pollfd){ .fd = c->fd[i], .events = POLLIN };
		if (poll(fds, N_FDS, next_look(c)) < 0 && errno != EINTR)
			return;
		for (int i = OUT; i <= ERR; i++) {
			if (fds[i].revents && !drain(c, i)) {
				close(c->fd[i]);
				c->fd[i] = -1;
			}
		}
		if (fds[PROC].revents & POLLIN)
			return;
		if (fds[SIG].revents & POLLIN)
			take_signal(c);
		watch_clock(c);
		if (c->run->tick && mono_now() - ticked >= NS_PER_S) {
			ticked = mono_now();
			c->run->tick(c->run->opaque, (double)(ticked - c->started) / NS_PER_S);
		}
	}
}

/* What is left in the pipes is the guest's, too. */
static void reap(struct child *c, uint64_t *over)
{
	*over = mono_now();
	/* It has ended; what it has left behind is not to run beside the next. */
	kill(-c->pid, SIGKILL);
	while (wait4(c->pid, &c->status, 0, &c->usage) < 0 && errno == EINTR)
		;
	for (int i = OUT; i <= ERR; i++) {
		if (c->fd[i] >= 0)
			drain(c, i);
	}
}

/* ---- what came of it ---------------------------------------------------------------------------------- */

/* A sentence about how it failed, or false. */
static bool failure(const struct child *c, char *why, size_t len)
{
	const char *last = *c->err.last ? c->err.last : c->out.last;
	char how[160] = "";

	if (c->broken && !strcmp(c->broken, "it took longer than its time-out"))
		snprintf(how, sizeof(how), "it took longer than %" PRId64 " s", c->run->timeout);
	else if (c->broken)
		snprintf(how, sizeof(how), "%s", c->broken);
	else if (WIFSIGNALED(c->status))
		snprintf(how, sizeof(how), "its process died by %s", strsignal(WTERMSIG(c->status)));
	else if (WEXITSTATUS(c->status))
		snprintf(how, sizeof(how), "its process ended with status %d", WEXITSTATUS(c->status));
	else if (!c->out.ended)
		snprintf(how, sizeof(how), "%s", c->out.begun ? "it ended without `bench: end`" :
		                                                "it ended without `bench: begin`");
	if (!*how)
		return false;
	snprintf(why, len, "%s%s%s", how, *last ? "; its last line: " : "", last);
	return true;
}

/* Its last lines, as a list. */
static json_t *tail_json(const struct child *c)
{
	json_t *list = json_array();

	for (size_t at = 0, len; at < c->n_tail; at += len + 1) {
		const char *end = memchr(c->tail + at, '\n', c->n_tail - at);
		char line[256];

		len = end ? (size_t)(end - c->tail) - at : c->n_tail - at;
		lines_printable(line, sizeof(line), c->tail + at, len);
		json_array_append_new(list, json_string(line));
	}
	return list;
}

static void add_clock(json_t *samples, const char *key, uint64_t ns)
{
	double s = (double)ns / NS_PER_S, five[5] = { s, s, s, s, s };

	json_object_set_new(samples, key, lines_sample(1, five));
}

static json_t *counters_of(const struct child *c, uint64_t over)
{
	const struct timeval *u = &c->usage.ru_utime, *s = &c->usage.ru_stime;
	json_t *stats = c->run->stats && *c->run->stats ? json_load_file(c->run->stats, 0, NULL) : NULL;
	json_t *object = stats ? bench_counters(stats) : json_object();

	if (!stats)
		json_object_set_new(object, "wall_ns", json_integer((json_int_t)(over - c->started)));
	if (!stats && c->overhead_mib >= 0)
		json_object_set_new(object, "memory_overhead_mib", json_real(c->overhead_mib));
	json_object_set_new(object, "cpu_ns", json_integer((json_int_t)(u->tv_sec + s->tv_sec) * NS_PER_S +
	                                                   (json_int_t)(u->tv_usec + s->tv_usec) * 1000));
	json_object_set_new(object, "max_rss_mib", json_real((double)c->usage.ru_maxrss / 1024));
	json_decref(stats);
	return object;
}

static void add_exits(json_t *samples, const char *key, const json_t *exits, int64_t turns)
{
	double n = (double)json_integer_value(exits) / (double)turns, five[5] = { n, n, n, n, n };

	if (exits)
		json_object_set_new(samples, key, lines_sample(1, five));
}

/* Of a guest that does one thing over and over: its exits, and those of the interrupts axis, each time. */
static void tell_exits(struct child *c, const json_t *counters)
{
	const json_t *axis = json_object_get(json_object_get(counters, "axes"), axis_name(GAMUT_AXIS_INTERRUPTS));

	if (!c->out.turns)
		return;
	add_exits(c->out.samples, "exits-a-turn exits", json_object_get(counters, "exits"), c->out.turns);
	add_exits(c->out.samples, "interrupt-exits-a-turn exits", json_object_get(axis, "exits"), c->out.turns);
}

static void tell(struct child *c, uint64_t over, json_t *into)
{
	json_t *counters = counters_of(c, over);
	char why[320];
	bool failed = failure(c, why, sizeof(why));

	if (c->begun)
		add_clock(c->out.samples, "boot-to-init s", c->begun - c->started);
	if (!failed)
		add_clock(c->out.samples, "process-start-to-end s", over - c->started);
	tell_exits(c, counters);
	json_object_set_new(into, "status", json_string(c->signal ? "interrupted" : failed ? "failed" : "ok"));
	if (failed) {
		json_object_set_new(into, "why", json_text(why));
		json_object_set_new(into, "tail", tail_json(c));
	}
	json_object_set(into, "samples", c->out.samples);
	json_object_set(into, "skipped", c->out.skipped);
	json_object_set_new(into, "counters", counters);
	if (c->out.bad)
		json_object_set_new(into, "bad_lines", json_integer((json_int_t)c->out.bad));
}

int bench_run(const struct bench_run *run, json_t *into)
{
	struct child c = { .run = run, .pid = -1, .fd = { -1, -1, -1, run->signals }, .overhead_mib = -1 };
	uint64_t over = 0;
	struct noise noise;
	int err;

	if (lines_init(&c.out))
		return 0;
	if (lines_init(&c.err)) {
		lines_finish(&c.out);
		return 0;
	}
	if (run->stats && *run->stats)
		unlink(run->stats);
	noise_begin(&noise);
	err = start(&c);
	if (err) {
		json_object_set_new(into, "status", json_string("failed"));
		json_object_set_new(into, "why", json_text(strerror(-err)));
	} else {
		wait_for_it(&c);
		reap(&c, &over);
		tell(&c, over, into);
	}
	json_object_set_new(into, "noise", noise_end(&noise));
	for (int i = OUT; i <= PROC; i++) {
		if (c.fd[i] >= 0)
			close(c.fd[i]);
	}
	lines_finish(&c.out);
	lines_finish(&c.err);
	return c.signal;
}
