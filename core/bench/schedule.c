/* SPDX-License-Identifier: MIT */
#include "bench/schedule.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bench/progress.h"
#include "bench/results.h"
#include "bench/run.h"
#include "clock.h"

#if __has_include("bench/peer-net.h")
#include "bench/peer-net.h"
#define HAVE_PEER 1
#endif

#define GIVE_UP 2 /* failures of a cell in a row, with none that went well */

/* ---- what runs when ------------------------------------------------------------------------- */

int schedule_init(struct schedule *s, const struct plan *plan, struct rows *rows)
{
	*s = (struct schedule){ .plan = plan, .rows = rows };
	s->cells = calloc(plan->n_workloads * rows->n + 1, sizeof(*s->cells));
	if (!s->cells)
		return -1;
	for (size_t w = 0; w < plan->n_workloads; w++) {
		const struct plan_workload *workload = &plan->workloads[w];

		for (size_t i = 0; i < rows->n; i++) {
			if (rows->row[i].kind != ROW_IMPORTED && !rows->row[i].refused[w])
				s->cells[s->n_cells++] = (struct cell){ &rows->row[i], workload, i, w,
					                                (double)workload->seconds, false };
		}
		if (workload->warmup > s->warmup)
			s->warmup = (int)workload->warmup;
		if (workload->repetitions > s->rounds)
			s->rounds = (int)workload->repetitions;
	}
	s->rounds += s->warmup;
	return 0;
}

void schedule_finish(struct schedule *s)
{
	free(s->cells);
	s->cells = NULL;
	s->n_cells = 0;
}

static bool in_round(const struct schedule *s, const struct cell *c, int round)
{
	return round >= s->warmup - (int)c->workload->warmup && round < s->warmup + (int)c->workload->repetitions;
}

/*
 * Rows that are compared run close to each other: workload by workload, those
 * turned by one each round. Within, rows start one further each round, and go
 * backwards in every other.
 */
size_t schedule_round(const struct schedule *s, int round, size_t *order)
{
	size_t workloads = s->plan->n_workloads, rows = s->rows->n, turn = (size_t)round, n = 0;

	for (size_t i = 0; i < workloads; i++) {
		size_t w = (i + turn) % workloads;

		for (size_t j = 0; j < rows; j++) {
			size_t step = turn % 2 ? rows - 1 - j : j, row = (step + turn / 2) % rows, c = 0;

			while (c < s->n_cells && (s->cells[c].workload_index != w || s->cells[c].row_index != row))
				c++;
			if (c < s->n_cells && in_round(s, &s->cells[c], round))
				order[n++] = c;
		}
	}
	return n;
}

void schedule_left(const struct schedule *s, const json_t *results, size_t *runs, double *seconds)
{
	*runs = 0;
	*seconds = 0;
	for (size_t i = 0; i < s->n_cells; i++) {
		const struct cell *c = &s->cells[i];

		for (int round = 0; round < s->rounds; round++) {
			if (!in_round(s, c, round) ||
			    (results && results_has(results, c->row->id, c->workload->name, round)))
				continue;
			(*runs)++;
			*seconds += c->seconds;
		}
	}
}

/* ---- running ------------------------------------------------------------------------------------ */

struct session {
	struct schedule *s;
	json_t *results;
	const char *path;
	struct progress progress;
	int signals;
};

/* What a cell took stands for the same workload where that has not run yet. */
static void learn(struct schedule *s, struct cell *c, double seconds)
{
	c->seconds = seconds;
	c->measured = true;
	for (size_t i = 0; i < s->n_cells; i++) {
		if (!s->cells[i].measured && s->cells[i].workload == c->workload)
			s->cells[i].seconds = seconds;
	}
}

static json_t *new_run(const struct schedule *s, const struct cell *c, int round)
{
	return json_pack("{s:s, s:s, s:i, s:b, s:o, s:s, s:{}, s:{}, s:{}}", "row", c->row->id, "workload",
	                 c->workload->name, "round", round, "warmup", round < s->warmup, "started", results_now(),
	                 "status", "failed", "samples", "skipped", "counters");
}

/* One that has failed again and again is not waited for any more, and that is said in every run left. */
static bool give_up(const struct session *x, const struct cell *c, json_t *run)
{
	bool any_ok;

	if (results_failures(x->results, c->row->id, c->workload->name, &any_ok) < GIVE_UP || any_ok)
		return false;
	json_object_set_new(run, "why", json_string("not tried again: it failed each time before"));
	return true;
}

static int run_guest(struct session *x, struct cell *c, json_t *run)
{
	const struct schedule *s = x->s;
	char stats[256];
	json_t *command = row_command(s->rows, c->row, s->plan, c->workload, stats, sizeof(stats));
	const struct bench_run what = {
		.command = command,
		.stats = stats,
		.timeout = c->workload->timeout,
		.guest_mib = row_memory(c->row, s->plan),
		.signals = x->signals,
		.tick = progress_tick,
		.opaque = &x->progress,
	};
	int signal = 0;

	if (command) {
		signal = bench_run(&what, run);
	} else {
		json_object_set_new(run, "why", json_string("its domain file cannot be written"));
	}
	json_decref(command);
	return signal;
}

/* 0, a signal, or -errno. */
static int run_cell(struct session *x, struct cell *c, int round)
{
	struct schedule *s = x->s;
	json_t *run = new_run(s, c, round);
	uint64_t begun = mono_now();
	double left, seconds;
	int signal = 0, err;
	size_t runs;

	if (!run)
		return -ENOMEM;
	schedule_left(s, x->results, &runs, &left);
	progress_begin(&x->progress, c->row->id, c->workload->name, round, s->warmup, s->rounds, c->seconds, left);
	if (!give_up(x, c, run))
		signal = run_guest(x, c, run);
	seconds = (double)(mono_now() - begun) / 1e9;
	if (!signal)
		learn(s, c, seconds);
	progress_end(&x->progress, run, seconds);
	err = results_add(x->results, run) ? -ENOMEM : results_write(x->results, x->path);
	return err ? err : signal;
}

static int run_rounds(struct session *x, size_t *order)
{
	struct schedule *s = x->s;
	int rc = 0;

	for (int round = 0; round < s->rounds && !rc; round++) {
		size_t n = schedule_round(s, round, order);

		for (size_t i = 0; i < n && !rc; i++) {
			struct cell *c = &s->cells[order[i]];

			if (!results_has(x->results, c->row->id, c->workload->name, round))
				rc = run_cell(x, c, round);
		}
	}
	return rc;
}

/* ---- around it --------------------------------------------------------------------------------------- */

/* Children have a folder of their own for their sockets: names of other domains are none of theirs. */
static int set_up(struct session *x)
{
	const struct schedule *s = x->s;
	sigset_t mask;
	int err;

	err = rows_make_disk(s->rows, s->plan);
	if (err) {
		fprintf(stderr, "gamut matrix: %s: %s; the key `scratch` names another folder\n", s->rows->disk,
		        strerror(-err));
		return err;
	}
	setenv("XDG_RUNTIME_DIR", s->rows->dir, 1);
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGQUIT);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	x->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return x->signals < 0 ? -errno : 0;
}

static int with_peer(struct session *x, size_t *order)
{
#ifdef HAVE_PEER
	struct peer_net *peer = NULL;
	int err = peer_net_start(&peer), rc;

	if (err)
		return err;
	x->s->rows->peer_port = peer_net_port(peer);
	rc = run_rounds(x, order);
	peer_net_stop(peer);
	return rc;
#else
	return run_rounds(x, order);
#endif
}

int schedule_run(struct schedule *s, json_t *results, const char *path, bool quiet)
{
	struct session x = { .s = s, .results = results, .path = path, .signals = -1 };
	size_t *order = calloc(s->n_cells + 1, sizeof(*order)), runs;
	double seconds;
	int rc;

	schedule_left(s, results, &runs, &seconds);
	progress_init(&x.progress, quiet, runs);
	rc = !order ? -ENOMEM : runs ? set_up(&x) : 0;
	if (!rc)
		rc = results_write(results, path);
	if (!rc)
		rc = with_peer(&x, order);
	progress_finish(&x.progress);
	if (!rc) {
		results_finish(results);
		rc = results_write(results, path);
	}
	if (rc < 0)
		fprintf(stderr, "gamut matrix: %s: %s\n", path, strerror(-rc));
	if (x.signals >= 0)
		close(x.signals);
	free(order);
	return rc;
}
