// SPDX-License-Identifier: MIT
/*
 * usage: bench [--quick] [--disk=DEVICE] [--peer=ADDRESS:PORT] [NAME...]
 *
 * A NAME is that of a workload, or its beginning up to a dash: "disk" are all
 * whose name begins with "disk-". Without one, or with "all", everything is measured.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* A sample is of 20 ms, so that a tick of the guest's or the host's is a small part of it. */
static const struct effort whole = {20e6, 300e6, 5, 15, 300};
static const struct effort quick = {4e6, 60e6, 3, 7, 100};

struct options options;

static const struct workload *const tables[] = {
        loop_workloads,    kernel_workloads, process_workloads, library_workloads,
        compile_workloads, disk_workloads,   net_workloads,
};

static const struct workload *current;
static jmp_buf given_up;

void give_up(const char *what)
{
	if (errno)
		skip(current->name, "%s: %s", what, strerror(errno));
	else
		skip(current->name, "%s", what);
	longjmp(given_up, 1);
}

static double timed(const struct workload *w, uint32_t n)
{
	double start = now_ns();

	w->run(n);
	return now_ns() - start;
}

static double in_unit(const struct workload *w, double ns)
{
	switch (w->unit) {
	case UNIT_US:
		return ns / 1e3;
	case UNIT_MS:
		return ns / 1e6;
	case UNIT_MB_S:
		return w->bytes * 1e3 / ns;
	case UNIT_OPS_S:
		return 1e9 / ns;
	default:
		return ns;
	}
}

static void batches(const struct workload *w)
{
	const struct effort *e = &options.effort;
	uint32_t n = w->first ? w->first : 1, most = w->most ? w->most : 1u << 30, i;
	double each[64], start;

	while (timed(w, n) < e->batch_ns && n <= most / 2)
		n *= 2;
	start = now_ns();
	for (i = 0; i < e->batches && (i < e->least || now_ns() - start < e->budget_ns); i++)
		each[i] = in_unit(w, timed(w, n) / n);
	report(w->name, w->unit, each, i);
}

static void measure(const struct workload *w)
{
	const char *lacks;

	current = w;
	errno = 0;
	if (setjmp(given_up))
		return;
	lacks = w->begin ? w->begin() : NULL;
	if (lacks) {
		skip(w->name, "%s", lacks);
		return;
	}
	if (w->own)
		w->own(w);
	else
		batches(w);
	if (w->end)
		w->end();
}

static bool is_named(const char *workload, const char *word)
{
	size_t n = strlen(word);

	return !strcmp(word, "all") ||
	       (!strncmp(workload, word, n) && (workload[n] == 0 || workload[n] == '-'));
}

bool wanted(const char *name)
{
	for (uint32_t i = 0; i < options.n_names; i++)
		if (is_named(name, options.names[i]))
			return true;
	return !options.n_names;
}

/* The whole of it on one processor, as most guests have one. */
static void pin(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void read_options(int argc, char **argv)
{
	int i;

	options.effort = whole;
	for (i = 1; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--quick"))
			options.effort = quick;
		else if (!strncmp(argv[i], "--disk=", 7))
			options.disk = argv[i] + 7;
		else if (!strncmp(argv[i], "--peer=", 7))
			options.peer = argv[i] + 7;
		else {
			fputs("usage: bench [--quick] [--disk=DEVICE] [--peer=ADDRESS:PORT] [NAME...]\n",
			      stderr);
			exit(2);
		}
	}
	options.names = (const char *const *)argv + i;
	options.n_names = (uint32_t)(argc - i);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	read_options(argc, argv);
	pin();
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct workload *w = tables[i]; w->name; w++)
			if (wanted(w->name))
				measure(w);
	return 0;
}
