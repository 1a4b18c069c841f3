/* SPDX-License-Identifier: MIT */
/*
 * The gamut command: one function per sub-command, and the exit codes.
 *
 * argv[0] of a sub-command is its own name. Each answers --help (to standard
 * output, exit code 0) and calls nothing that ends the process.
 */
#ifndef CMD_H
#define CMD_H

#include <stdbool.h>
#include <stddef.h>

enum cmd_exit {
	CMD_OK = 0,      /* done; `run`: the guest powered off */
	CMD_PROBLEM = 1, /* a problem was found: a bad domain file, a host that cannot */
	CMD_USAGE = 2,   /* the command line made no sense */
	CMD_REBOOT = 3,  /* `run`: the guest asked for a reboot, and on_reboot is "destroy" */
	CMD_CRASH = 4,   /* `run`: the guest crashed, or triple-faulted */
	CMD_TIMEOUT = 5, /* `shutdown`: the time was up, and the domain is still there */
};

struct cmd {
	const char *name;
	const char *summary; /* one line, no full stop */
	int (*fn)(int argc, char **argv);
};

extern const struct cmd cmds[];
extern const size_t n_cmds;

/* Dispatches a whole command line, argv[0] being the program. Returns an exit code. */
int cmd_main(int argc, char **argv);

int cmd_run(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_color(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_reset(int argc, char **argv);
int cmd_shutdown(int argc, char **argv);
int cmd_destroy(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_matrix(int argc, char **argv);
int cmd_advise(int argc, char **argv);
int cmd_plugin(int argc, char **argv);

/*
 * For sub-commands: true when the arguments hold --help or -h before any "--",
 * in which case `text` was printed to standard output.
 */
bool cmd_help(int argc, char **argv, const char *text);
/*
 * The value of an option given as "--name value" or "--name=value", *i moved
 * on. NULL: it is not this option, or the value is missing.
 */
const char *cmd_option_value(int argc, char **argv, int *i, const char *name);
/* Prints "gamut WHAT: message" and a hint at --help to standard error; returns CMD_USAGE. */
int cmd_usage(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
