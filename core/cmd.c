/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gamut/abi.h"
#include "suggest.h"

const struct cmd cmds[] = {
        {"run", "run domains in the foreground", cmd_run},
        {"list", "the domains that run", cmd_list},
        {"info", "everything about a domain", cmd_info},
        {"color", "which mode a guest is really in, live", cmd_color},
        {"console", "attach to a console of a domain; Ctrl-] leaves", cmd_console},
        {"pause", "stop a domain until it is resumed", cmd_pause},
        {"resume", "let a paused domain go on", cmd_resume},
        {"reset", "start a domain again at once, as its reset button does", cmd_reset},
        {"shutdown", "ask the guest to power off, or to reboot", cmd_shutdown},
        {"destroy", "end a domain at once", cmd_destroy},
        {"check", "validate domain files without running them", cmd_check},
        {"advise", "what this host and a kernel can do, and which mode to choose", cmd_advise},
        {"matrix", "measure every mode with the same guests, and show why", cmd_matrix},
        {"plugin", "list, describe and check plugins", cmd_plugin},
};
const size_t n_cmds = sizeof(cmds) / sizeof(cmds[0]);

bool cmd_help(int argc, char **argv, const char *text)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(text, stdout);
			return true;
		}
	return false;
}

const char *cmd_option_value(int argc, char **argv, int *i, const char *name)
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

int cmd_usage(const char *what, const char *fmt, ...)
{
	const char *space = *what ? " " : "";
	va_list args;

	fprintf(stderr, "gamut%s%s: ", space, what);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, " (see `gamut%s%s --help`)\n", space, what);
	return CMD_USAGE;
}

static int print_help(void)
{
	printf("Usage: gamut COMMAND [ARGUMENT...]\n\n"
	       "Runs virtual machines whose every axis, from full virtualization to full\n"
	       "paravirtualization, is a plugin chosen in the domain file.\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < n_cmds; i++)
		printf("  %-8s %s\n", cmds[i].name, cmds[i].summary);
	printf("\n`gamut COMMAND --help` says more. `gamut --version` prints the version.\n\n"
	       "Exit status: 0 done, 1 a problem was found, 2 bad usage;\n"
	       "`gamut run` also: 3 the guest asked for a reboot, 4 the guest crashed;\n"
	       "`gamut shutdown` also: 5 the time was up.\n");
	return CMD_OK;
}

static int print_version(void)
{
	printf("gamut %s (plugin ABI %u.%u)\n", GAMUT_VERSION, GAMUT_ABI_MAJOR, GAMUT_ABI_MINOR);
	return CMD_OK;
}

static const struct cmd *find(const char *name)
{
	for (size_t i = 0; i < n_cmds; i++)
		if (strcmp(cmds[i].name, name) == 0)
			return &cmds[i];
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[sizeof(cmds) / sizeof(cmds[0])], *near;

	for (size_t i = 0; i < n_cmds; i++)
		names[i] = cmds[i].name;
	near = suggest_nearest(name, names, n_cmds);
	if (near)
		return cmd_usage("", "there is no command \"%s\"; did you mean \"%s\"?", name, near);
	return cmd_usage("", "there is no command \"%s\"", name);
}

int cmd_main(int argc, char **argv)
{
	const struct cmd *cmd;

	if (argc < 2)
		return cmd_usage("", "a command is missing");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return print_help();
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return print_version();
	if (argv[1][0] == '-')
		return cmd_usage("", "there is no option %s", argv[1]);
	cmd = find(argv[1]);
	return cmd ? cmd->fn(argc - 1, argv + 1) : unknown(argv[1]);
}
