// SPDX-License-Identifier: MIT
/* Processes: made, switched between, and many small ones of a shell's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static void reap(pid_t pid, const char *what)
{
	int status;

	if (pid < 0)
		give_up("fork");
	if (waitpid(pid, &status, 0) != pid)
		give_up("wait");
	errno = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		give_up(what);
}

void run_program(const char *const *argv, const char *output)
{
	pid_t pid = fork();

	if (!pid) {
		int fd = open(output ? output : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);

		if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(126);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	reap(pid, argv[0]);
}

/* A child that ends at once, waited for. */
static void do_fork(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		reap(pid, "the child");
	}
}

/* nothing.c, beside this program. */
static char nothing[PATH_MAX];

static const char *begin_exec(void)
{
	ssize_t n = readlink("/proc/self/exe", nothing, sizeof(nothing) - sizeof("nothing"));
	char *slash;

	if (n < 0)
		return "no /proc";
	nothing[n] = 0;
	slash = strrchr(nothing, '/');
	strcpy(slash ? slash + 1 : nothing, "nothing");
	return access(nothing, X_OK) ? "no program \"nothing\"" : NULL;
}

/* A child that runs another program, which ends at once. */
static void do_exec(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid) {
			execl(nothing, "nothing", (char *)NULL);
			_exit(1);
		}
		reap(pid, "the program");
	}
}

static int to_peer[2], from_peer[2];
static pid_t peer;

static const char *begin_switch(void)
{
	char byte;

	if (pipe(to_peer) || pipe(from_peer))
		give_up("pipe");
	peer = fork();
	if (peer < 0)
		give_up("fork");
	if (peer)
		return NULL;
	close(to_peer[1]);
	close(from_peer[0]);
	while (read(to_peer[0], &byte, 1) == 1)
		if (write(from_peer[1], &byte, 1) != 1)
			break;
	_exit(0);
}

static void end_switch(void)
{
	close(to_peer[1]);
	close(from_peer[0]);
	reap(peer, "the other process");
	close(to_peer[0]);
	close(from_peer[1]);
}

/* A byte to another process through a pipe, and one back: two switches of the address space. */
static void do_switch(uint32_t n)
{
	char byte = 0;

	for (uint32_t i = 0; i < n; i++)
		if (write(to_peer[1], &byte, 1) != 1 || read(from_peer[0], &byte, 1) != 1)
			give_up("pipe");
}

/* Words, numbers, functions, here and there a process: what a start-up script is made of. */
static const char script[] = "f() { n=$((n + $1 % 7)); }\n"
                             "n=0 i=0\n"
                             "while [ $i -lt 400 ]; do\n"
                             "	i=$((i + 1))\n"
                             "	case $i in *00) x=$(echo $i | tr 0 1) ;; *5) f ${i}0 ;; *) f $i ;; esac\n"
                             "	t=\"$t${i#?}\"\n"
                             "done\n"
                             "[ $n = 1183 ] && [ ${#t} = 692 ] && [ $x = 411 ]\n";

static void do_shell(uint32_t n)
{
	static const char *const argv[] = {"sh", "-c", script, NULL};

	for (uint32_t i = 0; i < n; i++)
		run_program(argv, NULL);
}

const struct workload process_workloads[] = {
        {"fork", UNIT_NS, do_fork},
        {"fork-exec", UNIT_NS, do_exec, .begin = begin_exec},
        {"context-switch", UNIT_NS, do_switch, .first = 16, .begin = begin_switch, .end = end_switch},
        {"shell-loop", UNIT_MS, do_shell},
        {0},
};
