/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const char *const level_names[] = {
	[GAMUT_LOG_ERROR] = "error: ",
	[GAMUT_LOG_WARN] = "warning: ",
	[GAMUT_LOG_INFO] = "",
	[GAMUT_LOG_DEBUG] = "debug: ",
};

void log_init(struct log *log, int fd, int level, const char *prefix)
{
	log->fd = fd;
	log->level = level;
	log->prefix = prefix;
	log->raw = NULL;
}

static size_t clamp(int n, size_t room)
{
	if (n < 0)
		return 0;
	return (size_t)n < room ? (size_t)n : room - 1;
}

/* Control characters may come from a guest; a terminal must not see them. */
static void tame(char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			s[i] = '?';
	}
}

void log_vline(struct log *log, int level, const char *who, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	const size_t room = sizeof(line) - 2;
	size_t n;

	if (level < GAMUT_LOG_ERROR || level > GAMUT_LOG_DEBUG || level > log->level)
		return;
	n = clamp(snprintf(line, room, "gamut: %s%s%s%s%s", log->prefix ? log->prefix : "",
	                   log->prefix ? ": " : "", level_names[level], who ? who : "", who ? ": " : ""),
	          room);
	n += clamp(vsnprintf(line + n, room - n, fmt, ap), room - n);
	tame(line, n);
	if (log->raw && atomic_load_explicit(log->raw, memory_order_relaxed))
		line[n++] = '\r';
	line[n++] = '\n';
	/* Whoever closed or filled standard error does not want to know. */
	if (write(log->fd, line, n) < 0)
		return;
}

void log_line(struct log *log, int level, const char *who, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vline(log, level, who, fmt, ap);
	va_end(ap);
}

bool log_allowed(struct log_limit *limit, uint32_t burst)
{
	struct timespec now;
	uint64_t second, last;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	second = (uint64_t)now.tv_sec + 1;
	last = atomic_load_explicit(&limit->second, memory_order_relaxed);
	if (last != second && atomic_compare_exchange_strong(&limit->second, &last, second))
		atomic_store_explicit(&limit->count, 0, memory_order_relaxed);
	if (atomic_load_explicit(&limit->count, memory_order_relaxed) >= burst)
		return false;
	return atomic_fetch_add_explicit(&limit->count, 1, memory_order_relaxed) < burst;
}
