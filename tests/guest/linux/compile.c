// SPDX-License-Identifier: MIT
/* A small C program, with the C library's headers, made into one that could be run: by tcc. */
#include <unistd.h>

#include "bench.h"

#define SOURCE "/usr/src/program.c"

static const char *begin_compile(void)
{
	return access("/usr/bin/tcc", X_OK) || access(SOURCE, R_OK) ? "no tcc, or no " SOURCE : NULL;
}

static void do_compile(uint32_t n)
{
	static const char *const argv[] = {"/usr/bin/tcc", "-o", "/tmp/program", SOURCE, NULL};

	for (uint32_t i = 0; i < n; i++)
		run_program(argv, NULL);
}

const struct workload compile_workloads[] = {
        {"compile", UNIT_MS, do_compile, .begin = begin_compile},
        {0},
};
