/* SPDX-License-Identifier: MIT */
/*
 * gamut run: the main thread while domains run.
 *
 * SIGTERM asks the guests to shut down. One that has nothing that listens is
 * destroyed at once, one that takes too long after the time it has; a second
 * signal does not wait. SIGINT, SIGHUP and SIGQUIT destroy the domains. What
 * was destroyed for a signal ends the process by it; a guest that shut itself
 * down has ended as guests do.
 */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "terminal.h"

/* ---- signals -------------------------------------------------------------------------------------- */

static void stop_for_a_while(struct run *run)
{
	if (run->terminal)
		terminal_restore(run->terminal);
	kill(getpid(), SIGSTOP);
	/* SIGCONT comes next and makes the terminal raw again. */
}

static bool is_running(struct run *run)
{
	bool running;

	pthread_mutex_lock(&run->lock);
	running = run->go && !run->quit && run->n_done < run->n_jobs;
	pthread_mutex_unlock(&run->lock);
	return running;
}

static void go_on(struct run *run)
{
	if (!run->terminal || !is_running(run))
		return;
	terminal_restore(run->terminal);
	terminal_raw(run->terminal);
}

static void end_by(struct run *run, int sig, const char *why)
{
	run->signal = sig;
	run_quit(run, why);
}

static void terminate(struct run *run)
{
	if (run->deadline || !is_running(run)) {
		end_by(run, SIGTERM, strsignal(SIGTERM));
		return;
	}
	run->deadline = mono_now() + (uint64_t)run->options.grace * 1000000000u;
	log_line(&run->log, GAMUT_LOG_INFO, NULL, "%s: asking the guest to shut down", strsignal(SIGTERM));
	run_shut_down(run);
}

static void handle_signal(struct run *run, int sig)
{
	if (sig == SIGTSTP) {
		stop_for_a_while(run);
	} else if (sig == SIGCONT) {
		go_on(run);
	} else if (run->signal) {
		if (run->terminal)
			terminal_restore(run->terminal);
		_exit(128 + sig);
	} else if (sig == SIGTERM) {
		terminate(run);
	} else {
		end_by(run, sig, strsignal(sig));
	}
}

static void read_signals(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signals, &info, sizeof(info)) == sizeof(info))
		handle_signal(run, (int)info.ssi_signo);
}

int run_signals_init(struct run *run)
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

void run_signals_finish(struct run *run)
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

/* ---- waiting ------------------------------------------------------------------------------------------ */

/* All are built: the terminal is the guest's from here on. */
static void let_go(struct run *run)
{
	if (run->options.detach && run_detached(run)) {
		pthread_mutex_lock(&run->lock);
		run->n_failed++;
		pthread_mutex_unlock(&run->lock);
		run_quit(run, "it cannot go on in the background");
		return;
	}
	if (run->terminal)
		terminal_raw(run->terminal);
	run_release_jobs(run);
}

/* Milliseconds to the end of patience; -1: there is none. */
static int patience(struct run *run)
{
	uint64_t now = mono_now();

	if (!run->deadline || run->signal)
		return -1;
	if (now < run->deadline)
		return (int)((run->deadline - now) / 1000000u) + 1;
	log_line(&run->log, GAMUT_LOG_WARN, NULL, "not shut down within %d s: destroyed", run->options.grace);
	end_by(run, SIGTERM, "it did not shut down in time");
	return -1;
}

void run_supervise(struct run *run)
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
			run_quit(run, "another domain could not be built");
		else if (built)
			let_go(run);
		run_end_refused(run);
		if (poll(fds, 2, patience(run)) < 0 && errno != EINTR)
			return;
		read_signals(run);
		if (fds[1].revents && read(run->wake, &count, sizeof(count)) < 0)
			continue;
	}
}
