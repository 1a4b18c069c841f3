/* SPDX-License-Identifier: MIT */
/* gamut matrix: the same guests in every mode, over and over; core/bench does the work. */
#include "cmd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plan.h"
#include "bench/progress.h"
#include "bench/results.h"
#include "bench/row.h"
#include "bench/schedule.h"
#include "bench/show.h"
#include "burn.h"
#include "json.h"
#include "suggest.h"

#define OUTPUT "gamut-matrix.json"

static const char help[] =
	"Usage: gamut matrix [OPTION...] [FILE]\n"
	"       gamut matrix --report RESULTS.json [OPTION...]\n"
	"       gamut matrix --compare A.json B.json\n\n"
	"Runs the same guests in every mode and engine that FILE names, in rounds, and\n"
	"shows what was faster and why. Without FILE: every preset on every engine, as in\n"
	"conf/matrix.cfg, which explains the keys. Results are written after every run; a\n"
	"matrix that was interrupted goes on when the same command is given again.\n\n"
	"  --quick            what the file has for a short one\n"
	"  -o FILE            the results (gamut-matrix.json)\n"
	"  --html FILE        the report, for a browser\n"
	"  --csv FILE         every sample, for other programs\n"
	"  --json             the results instead of a table\n"
	"  --rows A,B         these rows alone: pvh/bt, or pvh for all engines, or a peer\n"
	"  --workloads A,B    these workloads alone\n"
	"  --repetitions N    rounds that count\n"
	"  --list             rows, what is left out and why, and how long it would take;\n"
	"                     runs nothing\n"
	"  --force            measure anew, in the place of results that are there\n"
	"  --report FILE      show results again; runs nothing\n"
	"  --compare A B      what changed from A to B beyond noise, and why\n"
	"  --burn AXIS=NS     for tests of measuring: waste so long on each exit of that\n"
	"                     axis, and on each of its calls on the I/O thread\n\n"
	"Exit status: 0 done (--compare: nothing changed), 1 a problem was found, or a run\n"
	"failed (--compare: something changed), 2 bad usage.\n";

struct matrix_options {
	struct plan_options plan;
	struct show show;
	uint64_t burn_ns[GAMUT_AXIS_COUNT];
	const char *file, *output, *report, *compare[2];
	bool list, force;
};

/* ---- options ------------------------------------------------------------------------------------- */

static int parse_repetitions(struct matrix_options *o, const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (!*value || *end || n < 1 || n > PLAN_ROUNDS_MAX)
		return cmd_usage("matrix", "--repetitions wants a number from 1 to %d, not \"%s\"", PLAN_ROUNDS_MAX,
		                 value);
	o->plan.repetitions = n;
	return CMD_OK;
}

/* Options that are a text. NULL: it is none of them. */
static const char **text_option(struct matrix_options *o, const char *arg)
{
	const struct {
		const char *name;
		const char **into;
	} texts[] = {
		{ "-o", &o->output },          { "--html", &o->show.html },       { "--csv", &o->show.csv },
		{ "--rows", &o->plan.rows },   { "--workloads", &o->plan.workloads }, { "--report", &o->report },
		{ "--compare", &o->compare[0] },
	};
	size_t len = strcspn(arg, "=");

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strlen(texts[i].name) == len && !strncmp(arg, texts[i].name, len))
			return texts[i].into;
	}
	return NULL;
}

static bool *flag_option(struct matrix_options *o, const char *arg)
{
	const struct {
		const char *name;
		bool *into;
	} flags[] = {
		{ "--quick", &o->plan.quick }, { "--json", &o->show.json }, { "--list", &o->list }, { "--force", &o->force },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!strcmp(flags[i].name, arg))
			return flags[i].into;
	}
	return NULL;
}

static int parse_one(struct matrix_options *o, int argc, char **argv, int *i)
{
	const char *arg = argv[*i], *value, **text = text_option(o, arg);
	bool *flag = flag_option(o, arg);

	if (flag) {
		*flag = true;
		return CMD_OK;
	}
	if (text) {
		*text = strchr(arg, '=') ? strchr(arg, '=') + 1 : *i + 1 < argc ? argv[++*i] : NULL;
		return *text && **text ? CMD_OK : cmd_usage("matrix", "%s needs a value", arg);
	}
	if ((value = cmd_option_value(argc, argv, i, "--repetitions")))
		return parse_repetitions(o, value);
	if ((value = cmd_option_value(argc, argv, i, "--burn")))
		return burn_parse(value, "matrix", o->burn_ns);
	if (!strcmp(arg, "--repetitions") || !strcmp(arg, "--burn"))
		return cmd_usage("matrix", "%s needs a value", arg);
	return cmd_usage("matrix", "there is no option %s", arg);
}

static int parse(struct matrix_options *o, int argc, char **argv)
{
	int rc, i = 1;
	bool only_files = false;

	*o = (struct matrix_options){ .output = OUTPUT };
	o->plan.burn_ns = o->burn_ns;
	for (; i < argc; i++) {
		if (!only_files && !strcmp(argv[i], "--")) {
			only_files = true;
		} else if (!only_files && argv[i][0] == '-' && argv[i][1]) {
			rc = parse_one(o, argc, argv, &i);
			if (rc)
				return rc;
		} else if (o->compare[0] && !o->compare[1]) {
			o->compare[1] = argv[i];
		} else if (!o->file) {
			o->file = argv[i];
		} else {
			return cmd_usage("matrix", "one plan at a time, not \"%s\" as well", argv[i]);
		}
	}
	if (o->compare[0] && !o->compare[1])
		return cmd_usage("matrix", "--compare wants two results files");
	if ((o->compare[0] || o->report) && o->file)
		return cmd_usage("matrix", "%s runs nothing, and takes no plan: \"%s\"",
		                 o->report ? "--report" : "--compare", o->file);
	return CMD_OK;
}

/* ---- names on the command line that are none ----------------------------------------------------------- */

/* Whether each word of a list is one of the n names. */
static int check_list(const char *option, const char *list, const char *const *names, size_t n)
{
	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		char word[160];
		const char *near;
		size_t i = 0;

		snprintf(word, sizeof(word), "%.*s", (int)strcspn(p, ","), p);
		while (i < n && strcmp(names[i], word) != 0)
			i++;
		if (i < n)
			continue;
		near = suggest_nearest(word, names, n);
		return cmd_usage("matrix", "%s: the plan has no \"%s\"%s%s%s", option, word, near ? "; did you mean \"" : "",
		                 near ? near : "", near ? "\"?" : "; --list shows what it has");
	}
	return CMD_OK;
}

static int check_rows(const struct plan *plan, const struct rows *rows, const char *list)
{
	const char **names = calloc(rows->n + plan->n_modes + plan->n_peers + 1, sizeof(*names));
	size_t n = 0;
	int rc;

	for (size_t i = 0; names && i < rows->n; i++)
		names[n++] = rows->row[i].id;
	for (size_t i = 0; names && i < plan->n_modes; i++)
		names[n++] = plan->modes[i].name;
	for (size_t i = 0; names && i < plan->n_peers; i++)
		names[n++] = plan->peers[i].name;
	rc = names ? check_list("--rows", list, names, n) : CMD_PROBLEM;
	free(names);
	return rc;
}

static int check_workloads(const struct plan *plan, const char *list)
{
	const char *names[PLAN_MAX];

	for (size_t i = 0; i < plan->n_workloads; i++)
		names[i] = plan->workloads[i].name;
	return check_list("--workloads", list, names, plan->n_workloads);
}

/* ---- --list ------------------------------------------------------------------------------------------------ */

static void list_text(const struct plan *plan, const struct rows *rows, size_t runs, double seconds)
{
	char time[32];

	for (size_t i = 0; i < rows->n; i++) {
		const struct row *row = &rows->row[i];

		printf("%-28s %s%s\n", row->id,
		       row->left_out                ? "left out: " :
		       row->kind == ROW_IMPORTED    ? "imported" :
		       row->kind == ROW_QEMU        ? "qemu" :
		                                      "gamut",
		       row->left_out ? row->left_out : "");
		for (size_t w = 0; w < plan->n_workloads && !row->left_out; w++) {
			if (row->refused[w])
				printf("%-28s   not %s: %s\n", "", plan->workloads[w].name, row->refused[w]);
		}
	}
	printf("\n%zu runs, about %s\n", runs, progress_time(seconds, time, sizeof(time)));
}

static void list_json(const struct rows *rows, size_t runs, double seconds)
{
	json_t *list = json_array();

	for (size_t i = 0; i < rows->n; i++) {
		const struct row *row = &rows->row[i];

		json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "id", json_text(row->id), "kind",
		                                      row_kind_name(row->kind), "left_out", json_text(row->left_out)));
	}
	json_print(json_pack("{s:o, s:I, s:f}", "rows", list, "runs", (json_int_t)runs, "seconds", seconds));
}

/* ---- running ------------------------------------------------------------------------------------------------- */

static int any_failed(const json_t *results)
{
	const json_t *runs = json_object_get(results, "runs");

	for (size_t i = 0; i < json_array_size(runs); i++) {
		const char *status = json_string_value(json_object_get(json_array_get(runs, i), "status"));

		if (!status || (strcmp(status, "ok") != 0 && strcmp(status, "refused") != 0))
			return CMD_PROBLEM;
	}
	return CMD_OK;
}

/* Whoever started us reads from the status that a signal ended us. */
static void die_by(int sig)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, sig);
	signal(sig, SIG_DFL);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

/* *sig: the signal to end by, once everything is cleaned up. */
static int run_matrix(const struct matrix_options *o, struct schedule *s, int *sig)
{
	json_t *fresh = results_new(s->plan, s->rows), *results;
	size_t resumed;
	char err[512];
	int rc;

	if (!fresh || results_begin(fresh, o->output, o->force, &results, &resumed, err, sizeof(err))) {
		fprintf(stderr, "gamut matrix: %s\n", fresh ? err : "out of memory");
		return CMD_PROBLEM;
	}
	if (resumed && !o->show.json)
		fprintf(stderr, "gamut matrix: %s has %zu runs of this plan; going on from there\n", o->output, resumed);
	rc = schedule_run(s, results, o->output, o->show.json);
	*sig = rc > 0 ? rc : 0;
	if (rc > 0)
		fprintf(stderr, "gamut matrix: interrupted; the same command goes on from %s\n", o->output);
	if (rc)
		rc = CMD_PROBLEM;
	else
		rc = show_results(results, &o->show) ? CMD_PROBLEM : any_failed(results);
	json_decref(results);
	return rc;
}

static int with_rows(const struct matrix_options *o, const struct plan *plan, struct rows *rows, int *sig)
{
	struct schedule s;
	double seconds;
	size_t runs;
	int rc = CMD_OK;

	if (schedule_init(&s, plan, rows))
		return CMD_PROBLEM;
	schedule_left(&s, NULL, &runs, &seconds);
	if (o->list && o->show.json)
		list_json(rows, runs, seconds);
	else if (o->list)
		list_text(plan, rows, runs, seconds);
	else
		rc = run_matrix(o, &s, sig);
	schedule_finish(&s);
	return rc;
}

/* Everything that is wrong with the plan comes before anything is begun. */
static int with_plan(const struct matrix_options *o, struct plan *plan, struct diag *diag, int *sig)
{
	struct rows rows = { .n = 0 };
	int rc;

	rc = rows_init(&rows, plan, o->plan.rows, diag) ? CMD_PROBLEM : CMD_OK;
	diag_print(diag, stderr, "gamut matrix: ");
	if (!rc && o->plan.rows)
		rc = check_rows(plan, &rows, o->plan.rows);
	if (!rc)
		rc = with_rows(o, plan, &rows, sig);
	rows_finish(&rows);
	return rc;
}

static int matrix(const struct matrix_options *o, int *sig)
{
	struct plan *plan = malloc(sizeof(*plan));
	struct diag diag;
	int rc;

	if (!plan)
		return CMD_PROBLEM;
	diag_init(&diag);
	if (plan_load(plan, o->file, &o->plan, &diag)) {
		diag_print(&diag, stderr, "gamut matrix: ");
		rc = CMD_PROBLEM;
	} else {
		rc = o->plan.workloads ? check_workloads(plan, o->plan.workloads) : CMD_OK;
		if (!rc)
			rc = with_plan(o, plan, &diag, sig);
	}
	diag_finish(&diag);
	plan_finish(plan);
	free(plan);
	return rc;
}

static int report(const struct matrix_options *o)
{
	char err[512];
	json_t *results = results_load(o->report, err, sizeof(err));
	int rc;

	if (!results) {
		fprintf(stderr, "gamut matrix: %s\n", err);
		return CMD_PROBLEM;
	}
	rc = show_results(results, &o->show) ? CMD_PROBLEM : CMD_OK;
	json_decref(results);
	return rc;
}

int cmd_matrix(int argc, char **argv)
{
	struct matrix_options o;
	int rc, sig = 0;

	if (cmd_help(argc, argv, help))
		return CMD_OK;
	rc = parse(&o, argc, argv);
	if (rc)
		return rc;
	if (o.compare[0])
		return show_compare(o.compare[0], o.compare[1], &o.show) ? CMD_PROBLEM : CMD_OK;
	if (o.report)
		return report(&o);
	rc = matrix(&o, &sig);
	if (sig)
		die_by(sig);
	return rc;
}
