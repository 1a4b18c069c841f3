/* SPDX-License-Identifier: MIT */
/* What the files of `gamut run` share; nobody else includes it. cmd-run.c says how they work together. */
#ifndef RUN_H
#define RUN_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <jansson.h>

#include "conf.h"
#include "domain.h"
#include "service.h"

struct terminal;

struct run_options {
	bool stats, color, detach;
	const char *stats_json, *log;
	int engine; /* enum conf_engine, or -1 */
	uint64_t burn_ns[GAMUT_AXIS_COUNT]; /* see burn.h */
	int log_level;
	int grace; /* seconds that a guest has to shut down */
	char **files;
	int n_files;
};

/* One domain. */
struct job {
	struct run *run;
	struct domain_config *config;
	struct diag diag;
	struct service *service;
	bool has_terminal;
	pthread_t thread;
	struct domain *domain; /* under run->lock; NULL when nobody may end it */
	int how;               /* enum gamut_end, DOMAIN_END_DESTROYED */
	char why[320];
	json_t *stats;
	struct domain_command resume, shutdown; /* on SIGTERM */
	atomic_int refused;                     /* -errno of the latter */
};

struct run {
	struct run_options options;
	struct plugin_set plugins;
	struct job *jobs;
	int n_jobs;
	struct terminal *terminal;
	struct log log;
	char *log_path; /* with --detach */
	int parent;     /* a pipe to the process that the user waits for, or -1 */
	sigset_t old_mask;
	int signals, wake; /* signalfd; eventfd: something has changed */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	int n_built, n_failed, n_done; /* under lock */
	bool go;                       /* under lock: all are built, run */
	bool quit;                     /* under lock: end what runs, start nothing */
	int signal;                    /* that ended it, or 0 */
	uint64_t deadline;             /* mono_now when patience with guests that were asked to shut down ends; 0: none */
};

/* ---- run-job.c: domains and their control threads ---- */

/* 0 or -1: then those that run are asked to end, and n_jobs is how many there are. */
int run_start_jobs(struct run *run);
/* All are built: they may run. */
void run_release_jobs(struct run *run);
/* Ends what runs. [any] */
void run_quit(struct run *run, const char *why);
/* Asks the guests of all that run to shut down; what refuses is ended by run_end_refused. */
void run_shut_down(struct run *run);
void run_end_refused(struct run *run);

/* ---- run-supervise.c: the main thread meanwhile ---- */

int run_signals_init(struct run *run);
/* Whoever started us reads from the status that a signal ended us, if one did. */
void run_signals_finish(struct run *run);
/* Serves signals until the last control thread is done. */
void run_supervise(struct run *run);

/* ---- run-detach.c ---- */

/*
 * Goes on in a process of its own: 1 in that one, with run->parent to report
 * to. In the first: 0 with what is to become of it in *status, once that is
 * clear. -1: there is no such process.
 */
int run_detach(struct run *run, int *status);
/* The path of the log, into run->log_path. 0 or -1, and the user was told. */
int run_choose_log(struct run *run);
/* All domains run: messages go to the log from now on, and the first process ends. 0 or -1. */
int run_detached(struct run *run);

#endif
