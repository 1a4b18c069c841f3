/* SPDX-License-Identifier: MIT */
/* gamut run: each domain's control thread, and what one asks of all of them. */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stats.h"
#include "terminal.h"

/* ---- a domain's control thread --------------------------------------------------------------- */

static void poke(struct run *run)
{
	uint64_t one = 1;

	if (write(run->wake, &one, sizeof(one)) < 0)
		return;
}

/* [control] */
static void on_event(void *opaque, const char *event)
{
	struct job *job = opaque;

	if (!strcmp(event, "running"))
		service_domain(job->service, job->domain);
	service_event(job->service, event);
}

static struct domain *build(struct job *job)
{
	const struct run_options *o = &job->run->options;
	const struct domain_options options = {
		.id = service_id(job->service),
		.engine = o->engine >= 0 ? o->engine : job->config->engine,
		.consoles = service_consoles(job->service),
		.n_consoles = job->config->n_consoles,
		.raw = job->has_terminal ? terminal_raw_flag(job->run->terminal) : NULL,
		.log_level = o->log_level,
		.burn_ns = o->burn_ns,
		.on_event = on_event,
		.on_event_opaque = job,
	};
	struct domain *d = NULL;

	return domain_create(&d, job->config, &options, &job->diag) ? NULL : d;
}

/* True when every domain is built and nobody wants to quit. */
static bool wait_for_others(struct job *job, struct domain *d)
{
	struct run *run = job->run;
	bool go;

	pthread_mutex_lock(&run->lock);
	run->n_built++;
	run->n_failed += !d;
	poke(run);
	while (!run->go && !run->quit)
		pthread_cond_wait(&run->changed, &run->lock);
	go = run->go && !run->quit && d;
	if (go)
		job->domain = d;
	pthread_mutex_unlock(&run->lock);
	return go;
}

/* What gamut has chosen itself, it says; and what it would not have chosen. */
static void say_engine(struct domain *d)
{
	if (d->choice.warn)
		log_line(&d->log, GAMUT_LOG_WARN, NULL, "%s", d->choice.why);
	else if (d->choice.by_auto)
		log_line(&d->log, GAMUT_LOG_INFO, NULL, "%s", d->choice.why);
}

static void run_domain(struct job *job, struct domain *d)
{
	struct run *run = job->run;

	say_engine(d);
	service_say_consoles(job->service, &d->log);
	job->how = domain_run(d);
	memcpy(job->why, d->why, sizeof(job->why));
	pthread_mutex_lock(&run->lock);
	job->domain = NULL;
	pthread_mutex_unlock(&run->lock);
	service_domain(job->service, NULL);
	if (run->options.stats || run->options.stats_json || run->options.color)
		job->stats = stats_collect(d);
}

static void *job_main(void *opaque)
{
	struct job *job = opaque;
	struct run *run = job->run;
	struct domain *d = build(job);

	job->how = d ? DOMAIN_END_DESTROYED : GAMUT_END_ERROR;
	if (wait_for_others(job, d))
		run_domain(job, d);
	domain_destroy(d);
	service_close(job->service, domain_end_name(job->how), job->why);
	job->service = NULL;
	pthread_mutex_lock(&run->lock);
	run->n_done++;
	pthread_mutex_unlock(&run->lock);
	poke(run);
	return NULL;
}

/* ---- all of them --------------------------------------------------------------------------------- */

int run_start_jobs(struct run *run)
{
	for (int i = 0; i < run->n_jobs; i++) {
		if (!pthread_create(&run->jobs[i].thread, NULL, job_main, &run->jobs[i]))
			continue;
		fprintf(stderr, "gamut run: the host cannot start another thread\n");
		run->n_jobs = i;
		run_quit(run, "no thread");
		return -1;
	}
	return 0;
}

void run_release_jobs(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	run->go = true;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

void run_quit(struct run *run, const char *why)
{
	pthread_mutex_lock(&run->lock);
	run->quit = true;
	for (int i = 0; i < run->n_jobs; i++) {
		if (run->jobs[i].domain)
			domain_end(run->jobs[i].domain, DOMAIN_END_DESTROYED, why);
	}
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

/* ---- shutting down -------------------------------------------------------------------------------- */

static void resumed(struct domain_command *c, int rc, const char *text)
{
	(void)c;
	(void)rc;
	(void)text;
}

/* [control], or the main thread with run->lock held. */
static void asked(struct domain_command *c, int rc, const char *text)
{
	struct job *job = (struct job *)((char *)c - offsetof(struct job, shutdown));

	if (!rc || rc == -ESHUTDOWN)
		return;
	log_line(&job->run->log, GAMUT_LOG_WARN, job->config->name, "%s: it is destroyed", text);
	atomic_store(&job->refused, rc);
	poke(job->run);
}

/* A paused guest could not do it. */
void run_shut_down(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	for (int i = 0; i < run->n_jobs; i++) {
		struct job *job = &run->jobs[i];

		job->resume = (struct domain_command){ .request = DOMAIN_RESUME, .done = resumed };
		job->shutdown = (struct domain_command){ .request = DOMAIN_SHUTDOWN, .done = asked };
		if (!job->domain)
			continue;
		domain_submit(job->domain, &job->resume);
		domain_submit(job->domain, &job->shutdown);
	}
	pthread_mutex_unlock(&run->lock);
}

void run_end_refused(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	for (int i = 0; i < run->n_jobs; i++) {
		struct job *job = &run->jobs[i];

		if (atomic_exchange(&job->refused, 0) && job->domain) {
			run->signal = SIGTERM;
			domain_end(job->domain, DOMAIN_END_DESTROYED, strsignal(SIGTERM));
		}
	}
	pthread_mutex_unlock(&run->lock);
}
