/* SPDX-License-Identifier: MIT */
/*
 * gamut run --detach: domains in the background.
 *
 * The domains are built by a process of their own, made before there is any
 * thread. The first process, which the user waits for, ends when they run, or
 * with the status of what went wrong. Until then messages go where the user
 * sees them, afterwards to the log.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"

/* ---- two processes ------------------------------------------------------------------------- */

/* A signal that ends the first ends the other: the terminal sends it to both. */
static int wait_for_start(int pipe_end, pid_t child)
{
	uint8_t started = 0;
	int status;
	ssize_t n;

	do
		n = read(pipe_end, &started, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return CMD_OK;
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return CMD_PROBLEM;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : CMD_PROBLEM;
}

int run_detach(struct run *run, int *status)
{
	int ends[2];
	pid_t child;

	fflush(NULL);
	if (pipe2(ends, O_CLOEXEC))
		return -1;
	child = fork();
	if (child > 0) {
		close(ends[1]);
		*status = wait_for_start(ends[0], child);
		close(ends[0]);
		return 0;
	}
	close(ends[0]);
	if (child < 0) {
		close(ends[1]);
		return -1;
	}
	run->parent = ends[1];
	return 1;
}

/* ---- the log ---------------------------------------------------------------------------------- */

/* Makes the folders of a path that are missing. */
static int make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int rc;

		*slash = 0;
		rc = mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (rc)
			return rc;
	}
	return 0;
}

/* $XDG_STATE_HOME/gamut/NAME.log, by the XDG Base Directory Specification. */
static char *default_log(const char *name)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int n = -1;

	if (state && *state == '/')
		n = asprintf(&path, "%s/gamut/%s.log", state, name);
	else if (home && *home == '/')
		n = asprintf(&path, "%s/.local/state/gamut/%s.log", home, name);
	if (n < 0)
		return NULL;
	if (!make_folders(path))
		return path;
	free(path);
	return NULL;
}

int run_choose_log(struct run *run)
{
	if (run->options.log)
		run->log_path = realpath(run->options.log, NULL);
	if (run->options.log && !run->log_path)
		run->log_path = strdup(run->options.log);
	if (!run->options.log)
		run->log_path = default_log(run->jobs[0].config->name);
	if (run->log_path)
		return 0;
	fprintf(stderr, "gamut run: there is no place for a log; give --log FILE\n");
	return -1;
}

/* ---- going ------------------------------------------------------------------------------------------ */

static int redirect(const char *log)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600), rc = 0;

	if (fd < 0) {
		fprintf(stderr, "gamut run: cannot write the log %s: %s\n", log, strerror(errno));
		rc = -1;
	}
	if (!rc && (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0))
		rc = -1;
	if (null >= 0)
		close(null);
	if (fd >= 0)
		close(fd);
	return rc;
}

int run_detached(struct run *run)
{
	static const uint8_t started = 1;

	for (int i = 0; i < run->n_jobs; i++)
		log_line(&run->log, GAMUT_LOG_INFO, run->jobs[i].config->name, "in the background as process %d, messages in %s",
		         (int)getpid(), run->log_path);
	if (redirect(run->log_path))
		return -1;
	setsid();
	if (write(run->parent, &started, 1) != 1)
		return -1;
	close(run->parent);
	run->parent = -1;
	return 0;
}
