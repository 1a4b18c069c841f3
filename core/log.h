/* SPDX-License-Identifier: MIT */
/*
 * Messages of Gamut's own. They go to standard error, one line and one write
 * each, never to standard output, which belongs to the guest's console. While
 * the terminal is raw, a line ends in CR LF.
 *
 * A path that a guest can drive logs through log_limited only.
 */
#ifndef LOG_H
#define LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gamut/host.h"

struct log {
	int fd;             /* where lines go */
	int level;          /* enum gamut_log_level: the least important that is shown */
	const char *prefix; /* the domain's name or NULL */
	const atomic_bool *raw; /* not NULL: while true the terminal is raw, and lines end in CR LF */
};

/* prefix is not copied; raw is NULL and may be set afterwards. */
void log_init(struct log *log, int fd, int level, const char *prefix);
/* One line, no newline at the end; who may be NULL. [any] */
void log_line(struct log *log, int level, const char *who, const char *fmt, ...) GAMUT_PRINTF(4, 5);
void log_vline(struct log *log, int level, const char *who, const char *fmt, va_list ap);

/* At most `burst` lines a second; zeroed is ready for use. [any] */
struct log_limit {
	_Atomic uint64_t second;
	_Atomic uint32_t count;
};

/* Whether one more line may be written now. */
bool log_allowed(struct log_limit *limit, uint32_t burst);

#endif
