/* SPDX-License-Identifier: MIT */
/*
 * gamut run: domains in the foreground, or with --detach in the background.
 *
 * The main thread only waits, for signals and for the end (run-supervise.c);
 * each domain has a control thread of its own, which builds it, runs it and
 * takes it down (run-job.c), and a service thread for its consoles and control
 * socket (service.c). No domain starts before all are built, so that every
 * complaint about a domain file comes before the terminal is the guest's.
 */
#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "burn.h"
#include "colour-report.h"
#include "engine-select.h"
#include "run.h"
#include "stats.h"
#include "terminal.h"

#define GRACE     60 /* seconds to shut down */
#define GRACE_MAX 86400

static const char help[] =
	"Usage: gamut run [OPTION...] FILE...\n\n"
	"Runs the domains of the files until they end. The console of the first that\n"
	"has one is standard input and output; in a terminal Ctrl-] leaves, which\n"
	"destroys the domain. Messages of gamut's own go to standard error.\n\n"
	"  -d, --detach       in the background, once all of them run; `gamut console`\n"
	"                     shows their consoles, messages go to a log\n"
	"  --log FILE         that log, instead of ~/.local/state/gamut/NAME.log\n"
	"  --engine E         auto, bt or kvm, whatever the domain files say\n"
	"  --color            at the end print the mode that each guest was in, as\n"
	"                     observed, to standard error\n"
	"  --grace SECONDS    how long guests may take to shut down on SIGTERM (60)\n"
	"  --stats            at the end print what the domains did, to standard error\n"
	"  --stats-json FILE  and as JSON into FILE\n"
	"  --burn AXIS=NS     for tests of measuring: waste so long on each exit of that axis,\n"
	"                     and on each of its calls on the I/O thread; more than once\n"
	"  -q, --quiet        only warnings and errors\n"
	"  -v, --verbose      also what nobody answered: ports, addresses, MSRs, hypercalls\n\n"
	"SIGTERM asks the guests to shut down; a second one destroys the domains, as do\n"
	"SIGINT, SIGHUP and SIGQUIT at once.\n\n"
	"Exit status: 0 the guest powered off, or the user left; 1 a problem was found;\n"
	"2 bad usage; 3 the guest asked for a reboot, and on_reboot is \"destroy\"; 4 the\n"
	"guest crashed. With several domains, that of the first which is not 0.\n";

/* ---- options --------------------------------------------------------------------------- */

static int parse_grace(struct run_options *o, const char *value)
{
	char *end;
	long seconds = strtol(value, &end, 10);

	if (!*value || *end || seconds < 0 || seconds > GRACE_MAX)
		return cmd_usage("run", "--grace wants seconds, 0 to %d, not \"%s\"", GRACE_MAX, value);
	o->grace = (int)seconds;
	return CMD_OK;
}

static int parse_one(struct run_options *o, int argc, char **argv, int *i)
{
	const char *arg = argv[*i], *value;

	if (!strcmp(arg, "--stats")) {
		o->stats = true;
	} else if (!strcmp(arg, "--color")) {
		o->color = true;
	} else if (!strcmp(arg, "-d") || !strcmp(arg, "--detach")) {
		o->detach = true;
	} else if (!strcmp(arg, "-q") || !strcmp(arg, "--quiet")) {
		o->log_level = GAMUT_LOG_WARN;
	} else if (!strcmp(arg, "-v") || !strcmp(arg, "--verbose")) {
		o->log_level = GAMUT_LOG_DEBUG;
	} else if ((value = cmd_option_value(argc, argv, i, "--stats-json"))) {
		o->stats_json = value;
	} else if ((value = cmd_option_value(argc, argv, i, "--engine"))) {
		o->engine = engine_from_name(value);
		if (o->engine < 0)
			return cmd_usage("run", "there is no engine \"%s\": auto, bt or kvm", value);
	} else if ((value = cmd_option_value(argc, argv, i, "--log"))) {
		o->log = value;
	} else if ((value = cmd_option_value(argc, argv, i, "--grace"))) {
		return parse_grace(o, value);
	} else if ((value = cmd_option_value(argc, argv, i, "--burn"))) {
		return burn_parse(value, "run", o->burn_ns);
	} else if (!strcmp(arg, "--engine") || !strcmp(arg, "--burn") || !strcmp(arg, "--stats-json") || !strcmp(arg, "--log") ||
	           !strcmp(arg, "--grace")) {
		return cmd_usage("run", "%s needs a value", arg);
	} else {
		return cmd_usage("run", "there is no option %s", arg);
	}
	return CMD_OK;
}

static int parse(struct run_options *o, int argc, char **argv)
{
	int i = 1, rc;

	*o = (struct run_options){ .engine = -1, .log_level = GAMUT_LOG_INFO, .grace = GRACE };
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
	if (o->log && !o->detach)
		return cmd_usage("run", "--log is for --detach; here messages go to standard error");
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

static bool wants_stdio(const struct domain_config *c)
{
	for (uint32_t i = 0; i < c->n_consoles; i++) {
		for (uint32_t j = 0; j < c->consoles[i].n_to; j++) {
			if (c->consoles[i].to[j].kind == CONSOLE_TO_STDIO)
				return true;
		}
	}
	return false;
}

/*
 * The first that wants standard input and output has it; a second that says so
 * in its file is an error. In the background there is none: the console is
 * where `gamut console` finds it.
 */
static int give_terminal(struct run *run, struct job *job)
{
	unsigned line = conf_line(job->config, "console");

	if (run->options.detach || !wants_stdio(job->config))
		return 0;
	if (run->terminal) {
		if (!line && !conf_line(job->config, "consoles"))
			return 0;
		fprintf(stderr, "%s:%u: another domain of this command has its console on stdio; use \"none\" or \"pty\" here\n",
		        job->config->file, line ? line : conf_line(job->config, "consoles"));
		return -1;
	}
	run->terminal = terminal_create(STDIN_FILENO, STDOUT_FILENO);
	if (!run->terminal) {
		fprintf(stderr, "gamut run: out of memory\n");
		return -1;
	}
	job->has_terminal = true;
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

static int open_service(struct run *run, struct job *job)
{
	const struct service_options options = {
		.terminal = job->has_terminal ? run->terminal : NULL,
		.id = (uint32_t)(job - run->jobs) + 1,
		.needed = run->options.detach,
		.log = run->log_path,
	};
	int rc = service_open(&job->service, job->config, &options, &job->diag);

	if (rc || run->options.log_level >= GAMUT_LOG_INFO)
		diag_print(&job->diag, stderr, "gamut run: ");
	diag_finish(&job->diag);
	diag_init(&job->diag);
	return rc;
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
	if (rc == CMD_OK && run->options.detach && run_choose_log(run))
		rc = CMD_PROBLEM;
	/* From here on the names are taken. */
	for (int i = 0; i < run->n_jobs && rc == CMD_OK; i++) {
		if (open_service(run, &run->jobs[i]))
			rc = CMD_PROBLEM;
	}
	return rc;
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

/* Of domains that came to no thread. */
static void close_services(struct run *run)
{
	for (int i = 0; run->jobs && i < run->options.n_files; i++) {
		service_close(run->jobs[i].service, NULL, NULL);
		run->jobs[i].service = NULL;
	}
}

static int run_jobs(struct run *run)
{
	int failed = run_start_jobs(run);

	run_supervise(run);
	for (int i = 0; i < run->n_jobs; i++)
		pthread_join(run->jobs[i].thread, NULL);
	close_services(run);
	terminal_destroy(run->terminal);
	run->terminal = NULL;
	return failed ? CMD_PROBLEM : conclude(run);
}

/* ---- set-up ---------------------------------------------------------------------------------------------- */

static int jobs_init(struct run *run)
{
	run->jobs = calloc((size_t)run->options.n_files, sizeof(*run->jobs));
	if (!run->jobs)
		return -1;
	run->n_jobs = run->options.n_files;
	for (int i = 0; i < run->n_jobs; i++) {
		run->jobs[i].run = run;
		diag_init(&run->jobs[i].diag);
	}
	return 0;
}

static void jobs_finish(struct run *run)
{
	close_services(run);
	for (int i = 0; run->jobs && i < run->options.n_files; i++) {
		conf_destroy(run->jobs[i].config);
		diag_finish(&run->jobs[i].diag);
		json_decref(run->jobs[i].stats);
	}
	free(run->jobs);
}

/* Ctrl-]: on the service thread of the domain that has the terminal. */
static void left(void *opaque)
{
	run_quit(opaque, "left with Ctrl-]");
}

static int run_files(struct run *run)
{
	int rc;

	if (run_signals_init(run) || jobs_init(run)) {
		fprintf(stderr, "gamut run: cannot start: %s\n", strerror(errno));
		rc = CMD_PROBLEM;
	} else {
		rc = load_all(run);
	}
	if (run->terminal)
		terminal_on_leave(run->terminal, left, run);
	if (rc == CMD_OK)
		rc = run_jobs(run);
	jobs_finish(run);
	terminal_destroy(run->terminal);
	free(run->log_path);
	return rc;
}

static int run_here(struct run *run)
{
	int rc;

	log_init(&run->log, STDERR_FILENO, run->options.log_level, NULL);
	if (plugin_set_init(&run->plugins)) {
		fprintf(stderr, "gamut run: out of memory\n");
		return CMD_PROBLEM;
	}
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->changed, NULL);
	rc = run_files(run);
	plugin_set_finish(&run->plugins);
	pthread_cond_destroy(&run->changed);
	pthread_mutex_destroy(&run->lock);
	run_signals_finish(run);
	return rc;
}

int cmd_run(int argc, char **argv)
{
	struct run run = { .parent = -1 };
	int rc, child;

	if (cmd_help(argc, argv, help))
		return CMD_OK;
	rc = parse(&run.options, argc, argv);
	if (rc)
		return rc;
	if (!run.options.detach)
		return run_here(&run);
	child = run_detach(&run, &rc);
	if (child < 0) {
		fprintf(stderr, "gamut run: the host cannot start another process\n");
		return CMD_PROBLEM;
	}
	return child ? run_here(&run) : rc;
}
