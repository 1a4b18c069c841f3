/* SPDX-License-Identifier: MIT */
/*
 * gamut run: domains in the foreground.
 *
 * The main thread only waits, for signals and for the end; each domain has a
 * control thread of its own, which builds it, runs it and takes it down. No
 * domain starts before all are built, so that every complaint about a domain
 * file comes before the terminal is the guest's.
 *
 * Signals are blocked in every thread and read by the main one. SIGINT,
 * SIGTERM, SIGHUP and SIGQUIT end the domains, and then the process by the
 * same signal; a second one does not wait for the domains.
 */
#include "cmd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "colour-report.h"
#include "conf.h"
#include "domain.h"
#include "engine-select.h"
#include "stats.h"
#include "terminal.h"

static const char help[] =
	"Usage: gamut run [OPTION...] FILE...\n\n"
	"Runs the domains of the files until they end. The console of the first that\n"
	"has one is standard input and output; in a terminal Ctrl-] leaves, which\n"
	"destroys the domain. Messages of gamut's own go to standard error.\n\n"
	"  --engine E         auto, bt or kvm, whatever the domain files say\n"
	"  --color            at the end print the mode that each guest was in, as observed, to standard error\n"
	"  --stats            at the end print what the domains did, to standard error\n"
	"  --stats-json FILE  and as JSON into FILE\n"
	"  -q, --quiet        only warnings and errors\n"
	"  -v, --verbose      also what nobody answered: ports, addresses, MSRs, hypercalls\n\n"
	"Exit status: 0 the guest powered off, or the user left; 1 a problem was found;\n"
	"2 bad usage; 3 the guest asked for a reboot, and on_reboot is \"destroy\"; 4 the\n"
	"guest crashed. With several domains, that of the first which is not 0.\n";

struct run_options {
	bool stats, color;
	const char *stats_json;
	int engine; /* enum conf_engine, or -1 */
	int log_level;
	char **files;
	int n_files;
};

/* One domain. */
struct job {
	struct run *run;
	struct domain_config *config;
	struct diag diag;
	uint32_t id;
	struct terminal *terminal; /* NULL: no console */
	pthread_t thread;
	struct domain *domain; /* under run->lock; NULL when nobody may end it */
	int how;               /* enum gamut_end, DOMAIN_END_DESTROYED */
	char why[320];
	json_t *stats;
};

struct run {
	struct run_options options;
	struct plugin_set plugins;
	struct job *jobs;
	int n_jobs;
	struct terminal *terminal;
	struct log log;
	sigset_t old_mask;
	int signals, wake; /* signalfd; eventfd: something has changed */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	int n_built, n_failed, n_done; /* under lock */
	bool go;                       /* under lock: all are built, run */
	bool quit;                     /* under lock: end what runs, start nothing */
	int signal;                    /* that ended it, or 0 */
};

/* ---- options --------------------------------------------------------------------------- */

/* The value of an option given as "--name value" or "--name=value". NULL: not this option, or missing. */
static const char *option_value(int argc, char **argv, int *i, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0)
		return NULL;
	if (argv[*i][len] == '=')
		return argv[*i] + len + 1;
	if (argv[*i][len] || *i + 1 >= argc)
		return NULL;
	return argv[++*i];
}

static int parse_one(struct run_options *o, int argc, char **argv, int *i)
{
	const char *arg = argv[*i], *value;

	if (!strcmp(arg, "--stats")) {
		o->stats = true;
	} else if (!strcmp(arg, "--color")) {
		o->color = true;
	} else if (!strcmp(arg, "-q") || !strcmp(arg, "--quiet")) {
		o->log_level = GAMUT_LOG_WARN;
	} else if (!strcmp(arg, "-v") || !strcmp(arg, "--verbose")) {
		o->log_level = GAMUT_LOG_DEBUG;
	} else if ((value = option_value(argc, argv, i, "--stats-json"))) {
		o->stats_json = value;
	} else if ((value = option_value(argc, argv, i, "--engine"))) {
		o->engine = engine_from_name(value);
		if (o->engine < 0)
			return cmd_usage("run", "there is no engine \"%s\": auto, bt or kvm", value);
	} else if (!strcmp(arg, "--engine") || !strcmp(arg, "--stats-json")) {
		return cmd_usage("run", "%s needs a value", arg);
	} else {
		return cmd_usage("run", "there is no option %s", arg);
	}
	return CMD_OK;
}

static int parse(struct run_options *o, int argc, char **argv)
{
	int i = 1, rc;

	*o = (struct run_options){ .engine = -1, .log_level = GAMUT_LOG_INFO };
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		rc = parse_one(o, argc, argv, &i);
		if (rc)
			return rc;
	}
	o->files = argv + i;
	o->n_files = argc - i;
	return o->n_files > 0 ? CMD_OK : cmd_usage("run", "a domain file is missing");
}

/* ---- domain files ------------------------------------------------------------------------- */

static int load(struct run *run, struct job *job, const char *file)
{
	int rc = conf_load(&job->config, file, &run->plugins, &job->diag);

	/* Also what went well may have notes. */
	if (rc || run->options.log_level >= GAMUT_LOG_INFO)
		diag_print(&job->diag, stderr, "gamut run: ");
	diag_finish(&job->diag);
	diag_init(&job->diag);
	return rc;
}

/* The first that wants standard input and output has it; a second that says so in its file is an error. */
static int give_terminal(struct run *run, struct job *job)
{
	if (job->config->console != CONF_CONSOLE_STDIO)
		return 0;
	if (run->terminal) {
		if (!conf_line(job->config, "console"))
			return 0;
		fprintf(stderr, "%s:%u: another domain of this command has its console on stdio; use \"none\" here\n",
		        job->config->file, conf_line(job->config, "console"));
		return -1;
	}
	run->terminal = terminal_create(STDIN_FILENO, STDOUT_FILENO);
	if (!run->terminal) {
		fprintf(stderr, "gamut run: out of memory\n");
		return -1;
	}
	job->terminal = run->terminal;
	return 0;
}

static int unique_name(const struct run *run, const struct job *job)
{
	for (const struct job *other = run->jobs; other < job; other++) {
		if (strcmp(other->config->name, job->config->name) != 0)
			continue;
		fprintf(stderr, "%s:%u: %s has the same name, \"%s\"\n", job->config->file,
		        conf_line(job->config, "name"), other->config->file, job->config->name);
		return -1;
	}
	return 0;
}

static int load_all(struct run *run)
{
	int rc = CMD_OK;

	for (int i = 0; i < run->n_jobs; i++) {
		if (load(run, &run->jobs[i], run->options.files[i]))
			rc = CMD_PROBLEM;
	}
	for (int i = 0; i < run->n_jobs && rc == CMD_OK; i++) {
		if (unique_name(run, &run->jobs[i]) || give_terminal(run, &run->jobs[i]))
			rc = CMD_PROBLEM;
	}
	return rc;
}

/* ---- a domain's control thread ---------------------------------------------------------------- */

static void poke(struct run *run)
{
	uint64_t one = 1;

	if (write(run->wake, &one, sizeof(one)) < 0)
		return;
}

static struct domain *build(struct job *job)
{
	const struct run_options *o = &job->run->options;
	const struct domain_options options = {
		.id = job->id,
		.engine = o->engine >= 0 ? o->engine : job->config->engine,
		.terminal = job->terminal,
		.log_level = o->log_level,
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
	job->how = domain_run(d);
	memcpy(job->why, d->why, sizeof(job->why));
	pthread_mutex_lock(&run->lock);
	job->domain = NULL;
	pthread_mutex_unlock(&run->lock);
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
	pthread_mutex_lock(&run->lock);
	run->n_done++;
	pthread_mutex_unlock(&run->lock);
	poke(run);
	return NULL;
}

static void quit(struct run *run, const char *why)
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

/* Ctrl-]: on the I/O thread of the domain that has the terminal. */
static void left(void *opaque)
{
	quit(opaque, "left with Ctrl-]");
}

/* ---- the main thread ------------------------------------------------------------------------------ */

static void stop_for_a_while(struct run *run)
{
	if (run->terminal)
		terminal_restore(run->terminal);
	kill(getpid(), SIGSTOP);
	/* SIGCONT comes next and makes the terminal raw again. */
}

static void handle_signal(struct run *run, int sig)
{
	bool running;

	pthread_mutex_lock(&run->lock);
	running = run->go && run->n_done < run->n_jobs;
	pthread_mutex_unlock(&run->lock);
	if (sig == SIGTSTP) {
		stop_for_a_while(run);
	} else if (sig == SIGCONT) {
		if (run->terminal && running) {
			terminal_restore(run->terminal);
			terminal_raw(run->terminal);
		}
	} else if (run->signal) {
		if (run->terminal)
			terminal_restore(run->terminal);
		_exit(128 + sig);
	} else {
		run->signal = sig;
		quit(run, strsignal(sig));
	}
}

static void read_signals(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signals, &info, sizeof(info)) == sizeof(info))
		handle_signal(run, (int)info.ssi_signo);
}

/* All are built: the terminal is the guest's from here on. */
static void let_go(struct run *run)
{
	if (run->terminal)
		terminal_raw(run->terminal);
	pthread_mutex_lock(&run->lock);
	run->go = true;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

/* Serves signals until the last control thread is done. */
static void supervise(struct run *run)
{
	struct pollfd fds[] = { { .fd = run->signals, .events = POLLIN }, { .fd = run->wake, .events = POLLIN } };
	uint64_t count;

	for (;;) {
		bool built, failed, done;

		pthread_mutex_lock(&run->lock);
		done = run->n_done == run->n_jobs;
		built = run->n_built == run->n_jobs && !run->go && !run->quit;
		failed = run->n_failed > 0;
		pthread_mutex_unlock(&run->lock);
		if (done)
			return;
		if (built && failed)
			quit(run, "another domain could not be built");
		else if (built)
			let_go(run);
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		read_signals(run);
		if (fds[1].revents && read(run->wake, &count, sizeof(count)) < 0)
			continue;
	}
}

static int start_jobs(struct run *run)
{
	for (int i = 0; i < run->n_jobs; i++) {
		if (!pthread_create(&run->jobs[i].thread, NULL, job_main, &run->jobs[i]))
			continue;
		fprintf(stderr, "gamut run: the host cannot start another thread\n");
		run->n_jobs = i;
		quit(run, "no thread");
		return -1;
	}
	return 0;
}

/* ---- the end ------------------------------------------------------------------------------------------ */

static int exit_status(int how)
{
	switch (how) {
	case GAMUT_END_POWEROFF:
	case DOMAIN_END_DESTROYED:
		return CMD_OK;
	case GAMUT_END_REBOOT:
		return CMD_REBOOT;
	case GAMUT_END_CRASH:
		return CMD_CRASH;
	default:
		return CMD_PROBLEM;
	}
}

static void report(struct run *run, struct job *job)
{
	int level = job->how == GAMUT_END_CRASH || job->how == GAMUT_END_ERROR ? GAMUT_LOG_ERROR :
	            job->how == GAMUT_END_SUSPEND                              ? GAMUT_LOG_WARN :
	                                                                         GAMUT_LOG_INFO;

	diag_print(&job->diag, stderr, "gamut run: ");
	if (!job->why[0])
		return;
	log_line(&run->log, level, job->config->name, "%s", job->why);
	if (job->how == GAMUT_END_SUSPEND)
		log_line(&run->log, level, job->config->name, "a domain cannot be suspended yet; it was destroyed");
}

static void report_color(const json_t *stats)
{
	json_t *report = colour_report(stats, NULL);

	if (report)
		colour_print(report, isatty(STDERR_FILENO), stderr);
	json_decref(report);
}

static int report_stats(struct run *run)
{
	json_t *all = json_array();
	int err = 0;

	for (int i = 0; i < run->n_jobs; i++) {
		if (run->jobs[i].stats && run->options.color)
			report_color(run->jobs[i].stats);
		if (run->jobs[i].stats && run->options.stats)
			stats_print(run->jobs[i].stats, stderr);
		if (run->jobs[i].stats)
			json_array_append(all, run->jobs[i].stats);
	}
	if (run->options.stats_json)
		err = stats_write(json_array_size(all) == 1 ? json_array_get(all, 0) : all, run->options.stats_json);
	if (err)
		fprintf(stderr, "gamut run: cannot write %s: %s\n", run->options.stats_json, strerror(-err));
	json_decref(all);
	return err ? CMD_PROBLEM : CMD_OK;
}

/* After the terminal is the shell's again. */
static int conclude(struct run *run)
{
	int status = CMD_OK, rc;

	for (int i = 0; i < run->n_jobs; i++) {
		report(run, &run->jobs[i]);
		rc = exit_status(run->jobs[i].how);
		if (status == CMD_OK)
			status = rc;
	}
	rc = report_stats(run);
	return status == CMD_OK ? rc : status;
}

static int run_jobs(struct run *run)
{
	int failed = start_jobs(run);

	supervise(run);
	for (int i = 0; i < run->n_jobs; i++)
		pthread_join(run->jobs[i].thread, NULL);
	terminal_destroy(run->terminal);
	run->terminal = NULL;
	return failed ? CMD_PROBLEM : conclude(run);
}

/* ---- set-up ---------------------------------------------------------------------------------------------- */

static int signals_init(struct run *run)
{
	static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT };
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		sigaddset(&mask, ours[i]);
	/* A reader of our output that goes away is a failed write, and so is a closed socket. */
	signal(SIGPIPE, SIG_IGN);
	run->signals = run->wake = -1;
	if (pthread_sigmask(SIG_BLOCK, &mask, &run->old_mask))
		return -1;
	run->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	run->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return run->signals < 0 || run->wake < 0 ? -1 : 0;
}

/* Whoever started us reads from the status that a signal ended us, as it asked. */
static void signals_finish(struct run *run)
{
	if (run->signals >= 0)
		close(run->signals);
	if (run->wake >= 0)
		close(run->wake);
	if (run->signal)
		signal(run->signal, SIG_DFL);
	pthread_sigmask(SIG_SETMASK, &run->old_mask, NULL);
	if (run->signal)
		raise(run->signal);
}

static int jobs_init(struct run *run)
{
	run->jobs = calloc((size_t)run->options.n_files, sizeof(*run->jobs));
	if (!run->jobs)
		return -1;
	run->n_jobs = run->options.n_files;
	for (int i = 0; i < run->n_jobs; i++) {
		run->jobs[i].run = run;
		run->jobs[i].id = (uint32_t)i + 1;
		diag_init(&run->jobs[i].diag);
	}
	return 0;
}

static void jobs_finish(struct run *run)
{
	for (int i = 0; run->jobs && i < run->options.n_files; i++) {
		conf_destroy(run->jobs[i].config);
		diag_finish(&run->jobs[i].diag);
		json_decref(run->jobs[i].stats);
	}
	free(run->jobs);
}

static int run_files(struct run *run)
{
	int rc;

	if (signals_init(run) || jobs_init(run)) {
		fprintf(stderr, "gamut run: cannot start: %s\n", strerror(errno));
		rc = CMD_PROBLEM;
	} else {
		rc = load_all(run);
	}
	if (run->terminal)
		terminal_on_leave(run->terminal, left, run);
	if (rc == CMD_OK)
		rc = run_jobs(run);
	terminal_destroy(run->terminal);
	jobs_finish(run);
	return rc;
}

int cmd_run(int argc, char **argv)
{
	struct run run = { 0 };
	int rc;

	if (cmd_help(argc, argv, help))
		return CMD_OK;
	rc = parse(&run.options, argc, argv);
	if (rc)
		return rc;
	log_init(&run.log, STDERR_FILENO, run.options.log_level, NULL);
	if (plugin_set_init(&run.plugins)) {
		fprintf(stderr, "gamut run: out of memory\n");
		return CMD_PROBLEM;
	}
	pthread_mutex_init(&run.lock, NULL);
	pthread_cond_init(&run.changed, NULL);
	rc = run_files(&run);
	plugin_set_finish(&run.plugins);
	pthread_cond_destroy(&run.changed);
	pthread_mutex_destroy(&run.lock);
	signals_finish(&run);
	return rc;
}
