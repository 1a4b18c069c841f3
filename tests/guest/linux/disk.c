// SPDX-License-Identifier: MIT
/*
 * The disk, by fio, past the guest's page cache. fio logs every request, when it was
 * done and how long it took from the moment it was begun to be submitted: from that
 * come the rate, of stretches of 20 ms, and of requests at random places the latency.
 *
 * One fio does all jobs, one after the other: it needs half a second before the first.
 *
 * The whole disk is in use. In sequence it is written first, so that what is read later
 * has been written, and is no hole in the host's file.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define STRETCH_MS    20
#define MAX_STRETCHES 1024

struct requests {
	double *us; /* of each */
	size_t n, room;
	double per_second[MAX_STRETCHES]; /* in each stretch: of 20 ms, or longer until a request is done */
	uint32_t stretches;
	unsigned long began; /* the stretch that is not over, in ms */
	uint32_t done;       /* in it */
};

static void add(struct requests *r, unsigned long ms, double ns)
{
	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 4096;
		r->us = realloc(r->us, r->room * sizeof(*r->us));
		if (!r->us)
			give_up("realloc");
	}
	r->us[r->n++] = ns / 1e3;
	r->done++;
	if (ms < r->began + STRETCH_MS || r->stretches == MAX_STRETCHES)
		return;
	r->per_second[r->stretches++] = r->done * 1e3 / (double)(ms - r->began);
	r->began = ms;
	r->done = 0;
}

/* Lines of "milliseconds, nanoseconds, ..." */
static void read_log(const char *name, struct requests *r)
{
	unsigned long ms;
	char line[128];
	double ns;
	FILE *f;

	snprintf(line, sizeof(line), "/tmp/%s_lat.log", name);
	f = fopen(line, "r");
	if (!f)
		give_up("fio's log");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lu, %lf", &ms, &ns) == 2)
			add(r, ms, ns);
	fclose(f);
}

/* The first stretch is for warming up, unless there is no other. */
static void report_rate(const struct workload *w, struct requests *r, uint32_t bytes)
{
	uint32_t first = r->stretches > 1;

	for (uint32_t i = first; i < r->stretches && w->unit == UNIT_MB_S; i++)
		r->per_second[i] *= bytes / 1e6;
	report(w->name, w->unit, r->per_second + first, r->stretches - first);
}

struct command {
	const char *argv[96];
	uint32_t n;
};

__attribute__((format(printf, 2, 3))) static void add_word(struct command *c, const char *format, ...)
{
	va_list args;
	char *word;

	if (c->n + 1 == sizeof(c->argv) / sizeof(c->argv[0]))
		give_up("too many jobs");
	va_start(args, format);
	if (vasprintf(&word, format, args) < 0)
		give_up("no memory");
	va_end(args);
	c->argv[c->n++] = word;
	c->argv[c->n] = NULL;
}

/* words: "HOW BLOCK-SIZE-IN-KIB DEPTH", HOW as fio's rw. */
static void add_job(struct command *c, const struct workload *w)
{
	unsigned kib, depth;
	char how[16];

	sscanf(w->words, "%15s %u %u", how, &kib, &depth);
	add_word(c, "--name=%s", w->name);
	add_word(c, "--stonewall");
	add_word(c, "--rw=%s", how);
	add_word(c, "--bs=%uk", kib);
	add_word(c, "--iodepth=%u", depth);
	add_word(c, "--write_lat_log=/tmp/%s", w->name);
}

static void run_all(void)
{
	static const char *const same[] = {"fio",
	                                   "--ioengine=libaio",
	                                   "--direct=1",
	                                   "--thread",
	                                   "--time_based",
	                                   "--norandommap",
	                                   "--eta=never",
	                                   "--per_job_logs=0",
	                                   "--disable_slat=1",
	                                   "--disable_clat=1"};
	struct command c = {.n = 0};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		add_word(&c, "%s", same[i]);
	add_word(&c, "--filename=%s", options.disk);
	add_word(&c, "--runtime=%ums", options.effort.disk_ms);
	for (const struct workload *w = disk_workloads; w->name; w++)
		if (wanted(w->name))
			add_job(&c, w);
	run_program(c.argv, "/tmp/fio.out");
	while (c.n)
		free((char *)c.argv[--c.n]);
}

static void run_fio(const struct workload *w)
{
	static bool have_run;
	struct requests *r = calloc(1, sizeof(*r));
	unsigned kib;

	if (!r)
		give_up("calloc");
	if (!have_run) {
		have_run = true;
		run_all();
	}
	sscanf(w->words, "%*s %u", &kib);
	read_log(w->name, r);
	report_rate(w, r, kib << 10);
	if (w->unit == UNIT_OPS_S)
		report(w->name, UNIT_US, r->us, r->n);
	free(r->us);
	free(r);
}

static const char *begin_disk(void)
{
	if (!options.disk)
		return "no disk";
	return access(options.disk, W_OK) ? "the disk is not there, or cannot be written" : NULL;
}

#define FIO(name_, unit_, words_)                                                                            \
	{                                                                                                    \
		.name = name_, .unit = unit_, .begin = begin_disk, .own = run_fio, .words = words_           \
	}

const struct workload disk_workloads[] = {
        FIO("disk-seq-write-qd1", UNIT_MB_S, "write 128 1"),
        FIO("disk-seq-write-qd16", UNIT_MB_S, "write 128 16"),
        FIO("disk-seq-read-qd1", UNIT_MB_S, "read 128 1"),
        FIO("disk-seq-read-qd16", UNIT_MB_S, "read 128 16"),
        FIO("disk-rand-write-qd1", UNIT_OPS_S, "randwrite 4 1"),
        FIO("disk-rand-write-qd16", UNIT_OPS_S, "randwrite 4 16"),
        FIO("disk-rand-read-qd1", UNIT_OPS_S, "randread 4 1"),
        FIO("disk-rand-read-qd16", UNIT_OPS_S, "randread 4 16"),
        {0},
};
