/* SPDX-License-Identifier: MIT */
#include "bench/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "screen.h"

#define CLEAR "\r\x1b[K"

const char *progress_time(double seconds, char *buf, size_t len)
{
	long s = seconds > 0 ? (long)(seconds + 0.5) : 0;

	if (s < 90)
		snprintf(buf, len, "%ld s", s);
	else if (s < 5400)
		snprintf(buf, len, "%ld min", (s + 30) / 60);
	else
		snprintf(buf, len, "%ld h %ld min", s / 3600, s % 3600 / 60);
	return buf;
}

void progress_init(struct progress *p, bool quiet, size_t all)
{
	*p = (struct progress){ .quiet = quiet, .all = all, .terminal = screen_possible(STDERR_FILENO, STDERR_FILENO) };
}

/* One that wraps could not be taken back. */
static void put_line(const char *line)
{
	struct winsize size = { .ws_col = 0 };
	unsigned columns = !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col - 1u : 79;

	fprintf(stderr, CLEAR "%.*s", (int)screen_cut(line, strlen(line), columns), line);
}

void progress_begin(struct progress *p, const char *row, const char *workload, int round, int warmup, int rounds,
                    double guess, double left)
{
	bool counted = round >= warmup;

	snprintf(p->what, sizeof(p->what), "%zu/%zu %s %d/%d, %s, %s", p->done + 1, p->all,
	         counted ? "round" : "warm-up", counted ? round - warmup + 1 : round + 1,
	         counted ? rounds - warmup : warmup, row, workload);
	p->guess = guess;
	p->left = left;
	progress_tick(p, 0);
}

void progress_tick(void *opaque, double seconds)
{
	struct progress *p = opaque;
	char time[32], line[400];

	if (p->quiet || !p->terminal)
		return;
	snprintf(line, sizeof(line), "%s: %.0f s; %s left", p->what, seconds,
	         progress_time(p->left - (seconds < p->guess ? seconds : p->guess), time, sizeof(time)));
	put_line(line);
}

void progress_end(struct progress *p, const json_t *run, double seconds)
{
	const char *status = json_string_value(json_object_get(run, "status"));
	const char *why = json_string_value(json_object_get(run, "why"));
	bool ok = status && !strcmp(status, "ok");
	char time[32];

	p->done++;
	if (p->quiet || (p->terminal && ok))
		return;
	progress_time(p->left - p->guess, time, sizeof(time));
	fprintf(stderr, "%s%s: ", p->terminal ? CLEAR : "", p->what);
	if (ok)
		fprintf(stderr, "%.1f s; %s left\n", seconds, time);
	else
		fprintf(stderr, "%s: %s\n", status ? status : "failed", why ? why : "no reason is known");
}

void progress_finish(struct progress *p)
{
	if (!p->quiet && p->terminal)
		fputs(CLEAR, stderr);
}
