/* SPDX-License-Identifier: MIT */
/* What the programs that run in a guest have in common: one line for each check, "check ok NAME" or "check bad NAME". */
#ifndef PROGRAMS_CHECK_H
#define PROGRAMS_CHECK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static inline void check(bool ok, const char *name, ...)
{
	va_list args;

	printf("check %s ", ok ? "ok" : "bad");
	va_start(args, name);
	vprintf(name, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

/* The test counts a program without this line as failed. */
static inline int finish(void)
{
	puts("check end");
	return 0;
}

#endif
