/* SPDX-License-Identifier: MIT */
/* gamut list and gamut info: what runs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd-domain.h"
#include "cmd.h"
#include "json.h"
#include "stats.h"

/* ---- options: --json alone ------------------------------------------------------------ */

/* Takes --json out of the arguments before "--". */
static bool take_json(int *argc, char **argv)
{
	bool json = false;
	int n = 1, i = 1;

	for (; i < *argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else
			argv[n++] = argv[i];
	}
	for (; i < *argc; i++)
		argv[n++] = argv[i];
	*argc = n;
	return json;
}

/* ---- list ------------------------------------------------------------------------------- */

static const char list_help[] =
	"Usage: gamut list [--json]\n\n"
	"The domains of yours that run, whoever started them.\n\n"
	"Exit status: 0 done, also when there is none; 1 a problem was found; 2 bad usage.\n";

/* One that does not answer is there all the same; NULL: it has ended meanwhile. */
static json_t *look_at(const struct rundir *r, const char *name)
{
	struct control_client c;
	int rc = control_client_open(&c, r, name);
	json_t *summary = rc ? NULL : control_client_call(&c, "summary", NULL, 5000);

	control_client_close(&c);
	if (summary || rc == -ENOENT || rc == -ECONNREFUSED || rc == -EPIPE)
		return summary;
	return json_pack("{s:s, s:s, s:s}", "name", name, "state", "silent", "problem", c.message);
}

static int collect(json_t *list)
{
	struct rundir r;
	char err[512], **names = NULL;
	int rc = rundir_open(&r, false, err, sizeof(err)), n;

	if (rc == -ENOENT)
		return CMD_OK;
	n = rc ? rc : rundir_names(&r, &names);
	if (n < 0) {
		fprintf(stderr, "gamut list: %s\n", rc ? err : strerror(-n));
		if (!rc)
			rundir_close(&r);
		return CMD_PROBLEM;
	}
	for (int i = 0; i < n; i++) {
		json_t *summary = look_at(&r, names[i]);

		if (summary)
			json_array_append_new(list, summary);
	}
	rundir_names_free(names, n);
	rundir_close(&r);
	return CMD_OK;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static const char *uptime_text(const json_t *domain, char buf[32])
{
	uint64_t s = (uint64_t)json_number_value(json_object_get(domain, "uptime"));

	if (s >= 86400)
		snprintf(buf, 32, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		snprintf(buf, 32, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(buf, 32, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	return buf;
}

static void print_row(const json_t *d)
{
	char uptime[32];

	printf("%-20s %4d  %-14s %-8s %-6s %5d %7d %8s %8d\n", text_of(d, "name"),
	       (int)json_integer_value(json_object_get(d, "id")), text_of(d, "mode"), text_of(d, "state"),
	       text_of(d, "engine"), (int)json_integer_value(json_object_get(d, "vcpus")),
	       (int)json_integer_value(json_object_get(d, "memory")), uptime_text(d, uptime),
	       (int)json_integer_value(json_object_get(d, "pid")));
}

int cmd_list(int argc, char **argv)
{
	bool json = take_json(&argc, argv);
	json_t *list, *domain;
	size_t i;
	int rc;

	if (cmd_help(argc, argv, list_help))
		return CMD_OK;
	if (argc > 1)
		return cmd_usage("list", argv[1][0] == '-' ? "there is no option %s" : "it takes no name: %s", argv[1]);
	list = json_array();
	rc = collect(list);
	if (json && !rc) {
		json_print(list);
		return rc;
	}
	if (!rc)
		printf("%-20s %4s  %-14s %-8s %-6s %5s %7s %8s %8s\n", "NAME", "ID", "MODE", "STATE", "ENGINE", "VCPUS",
		       "MEMORY", "UPTIME", "PID");
	json_array_foreach(list, i, domain)
		print_row(domain);
	json_decref(list);
	return rc;
}

/* ---- info -------------------------------------------------------------------------------- */

static const char info_help[] =
	"Usage: gamut info [--json] NAME\n\n"
	"Everything about a running domain: its file, axes, devices with their options,\n"
	"consoles and where they are, and the numbers of `gamut run --stats`. NAME may be an\n"
	"id, as `gamut list` shows it.\n\n"
	"Exit status: 0 done, 1 no such domain, 2 bad usage.\n";

static void print_consoles(json_t *info)
{
	json_t *console, *end;
	size_t i, j;

	json_array_foreach(json_object_get(info, "consoles"), i, console) {
		printf("console %zu %s: %" PRId64 " bytes out, %" PRId64 " in, %" PRId64 " attached\n", i,
		       text_of(console, "name"), (int64_t)json_integer_value(json_object_get(console, "bytes_out")),
		       (int64_t)json_integer_value(json_object_get(console, "bytes_in")),
		       (int64_t)json_integer_value(json_object_get(console, "attached")));
		json_array_foreach(json_object_get(console, "to"), j, end)
			printf("  %-6s %s\n", text_of(end, "kind"), text_of(end, "path"));
	}
}

static void print_option(const char *name, const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	printf(" %s=%s", name, text ? text : "?");
	free(text);
}

static void print_devices(json_t *info)
{
	json_t *device, *value;
	const char *name;
	size_t i;

	json_array_foreach(json_object_get(info, "devices"), i, device) {
		printf("device %s-%s.%d (%s)", text_of(device, "axis"), text_of(device, "choice"),
		       (int)json_integer_value(json_object_get(device, "unit")), text_of(device, "colour"));
		json_object_foreach(json_object_get(device, "options"), name, value)
			print_option(name, value);
		printf("\n");
	}
}

static void print_info(json_t *info)
{
	static const char *const texts[] = { "name", "state", "mode", "engine", "engine_why", "uuid", "config", "log" };
	static const char *const numbers[] = { "id", "vcpus", "memory", "pid" };
	char uptime[32];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		printf("%-12s %s\n", texts[i], text_of(info, texts[i]));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		printf("%-12s %" PRId64 "\n", numbers[i], (int64_t)json_integer_value(json_object_get(info, numbers[i])));
	printf("%-12s %s\n", "uptime", uptime_text(info, uptime));
	print_devices(info);
	print_consoles(info);
	if (json_object_get(info, "stats"))
		stats_print(json_object_get(info, "stats"), stdout);
}

int cmd_info(int argc, char **argv)
{
	bool json = take_json(&argc, argv);
	struct control_client c;
	const char *name;
	json_t *info;
	int rc;

	if (cmd_help(argc, argv, info_help))
		return CMD_OK;
	rc = cmd_domain_name(argc, argv, &name);
	if (!rc)
		rc = cmd_domain_open(&c, "info", name);
	if (rc)
		return rc;
	info = cmd_domain_call(&c, "info", name, "info", NULL);
	control_client_close(&c);
	if (!info)
		return CMD_PROBLEM;
	if (json) {
		json_print(info);
		return CMD_OK;
	}
	print_info(info);
	json_decref(info);
	return CMD_OK;
}
