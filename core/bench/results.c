/* SPDX-License-Identifier: MIT */
#include "bench/results.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "advise.h"
#include "bench/noise.h"
#include "json.h"

#define VERSION 1

static json_t *time_json(time_t t)
{
	char text[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

json_t *results_now(void)
{
	return time_json(time(NULL));
}

/* ---- whose results ------------------------------------------------------------------------------ */

/* FNV-1a. */
static uint64_t hash_of(const char *text, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3ull;
	return h;
}

static void describe_file(FILE *out, const char *path)
{
	struct stat st;

	if (path && !stat(path, &st))
		fprintf(out, "%s %lld %lld.%ld\n", path, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
		        st.st_mtim.tv_nsec);
}

/* A row as it will run, but for what differs from one process to the next. */
static void describe_row(FILE *out, const struct rows *rows, const struct row *row, const struct plan *plan)
{
	struct rows plain = { .disk = (char *)(uintptr_t)"disk", .peer_port = 1, .qemu = rows->qemu };

	fprintf(out, "%s\n", row->id);
	memcpy(plain.qemu_version, rows->qemu_version, sizeof(plain.qemu_version));
	for (size_t i = 0; i < plan->n_workloads; i++) {
		json_t *argv;

		if (row->kind == ROW_GAMUT)
			row_write_domain(&plain, row, plan, &plan->workloads[i], out);
		if (row->kind != ROW_QEMU || !rows->qemu)
			continue;
		argv = row_qemu_command(&plain, row, plan, &plan->workloads[i]);
		json_dumpf(argv, out, JSON_COMPACT);
		fprintf(out, "%s\n", rows->qemu_version);
		json_decref(argv);
	}
}

static void describe(FILE *out, const struct plan *plan, const struct rows *rows)
{
	fprintf(out, "%s %d %" PRId64 " %" PRId64 " %" PRId64 "\n", GAMUT_VERSION, plan->quick, plan->repetitions,
	        plan->warmup, plan->disk);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		fprintf(out, "%" PRIu64 " ", plan->burn_ns[axis]);
	for (size_t i = 0; i < plan->n_workloads; i++) {
		const struct plan_workload *w = &plan->workloads[i];

		fprintf(out, "%s %" PRId64 " %" PRId64 " %" PRId64 "\n", w->name, w->repetitions, w->warmup, w->timeout);
		describe_file(out, w->kernel);
		describe_file(out, w->ramdisk);
	}
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->row[i].peer)
			describe_file(out, rows->row[i].peer->csv);
		describe_row(out, rows, &rows->row[i], plan);
	}
}

static json_t *hash_json(const struct plan *plan, const struct rows *rows)
{
	char *text = NULL, hex[17];
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	describe(out, plan, rows);
	fclose(out);
	snprintf(hex, sizeof(hex), "%016" PRIx64, hash_of(text, len));
	free(text);
	return json_string(hex);
}

/* ---- a new one ------------------------------------------------------------------------------------ */

static json_t *burn_json(const struct plan *plan)
{
	json_t *burn = json_object();

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		if (plan->burn_ns[axis])
			json_object_set_new(burn, axis_name((enum gamut_axis)axis),
			                    json_integer((json_int_t)plan->burn_ns[axis]));
	}
	return burn;
}

static json_t *plan_json(const struct plan *plan, const struct rows *rows)
{
	json_t *o = json_pack("{s:o, s:o, s:I, s:I, s:b, s:I, s:I}", "file", json_text(plan->file), "hash",
	                      hash_json(plan, rows), "repetitions", (json_int_t)plan->repetitions, "warmup",
	                      (json_int_t)plan->warmup, "quick", plan->quick, "memory_mib", (json_int_t)plan->memory,
	                      "vcpus", (json_int_t)plan->vcpus);
	json_t *burn = burn_json(plan);

	if (json_object_size(burn))
		json_object_set(o, "burn", burn);
	json_decref(burn);
	return o;
}

static json_t *versions_json(const struct plan *plan, const struct rows *rows)
{
	json_t *o = json_object();
	struct advise_kernel kernel = { .path = NULL };
	char err[256];
	struct stat st;

	json_object_set_new(o, "gamut", json_string(GAMUT_VERSION));
	if (!stat("/proc/self/exe", &st))
		json_object_set_new(o, "gamut_build", time_json(st.st_mtime));
	if (rows->qemu_version[0])
		json_object_set_new(o, "qemu", json_text(rows->qemu_version));
	for (size_t i = 0; i < plan->n_workloads && !json_object_get(o, "guest_kernel"); i++) {
		if (plan->workloads[i].linux_guest &&
		    !advise_kernel_facts(plan->workloads[i].kernel, &kernel, err, sizeof(err)) && kernel.version[0])
			json_object_set_new(o, "guest_kernel", json_text(kernel.version));
	}
	return o;
}

static json_t *domain_json(const struct rows *rows, const struct row *row, const struct plan *plan)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	json_t *s;

	if (!out)
		return json_null();
	row_write_domain(rows, row, plan, &plan->workloads[0], out);
	fclose(out);
	s = json_text(text);
	free(text);
	return s;
}

static json_t *row_json(const struct rows *rows, const struct row *row, const struct plan *plan)
{
	json_t *o = json_pack("{s:o, s:s, s:o, s:s}", "id", json_text(row->id), "mode",
	                      row->mode ? row->mode->name : row->id, "engine", json_text(row->engine), "kind",
	                      row_kind_name(row->kind));

	if (row->axes)
		json_object_set(o, "axes", row->axes);
	if (row->left_out)
		json_object_set_new(o, "left_out", json_text(row->left_out));
	if (row->kind == ROW_GAMUT) {
		json_object_set_new(o, "command", json_pack("[s, s, s, s]", "gamut", "run", "-q", "bench.cfg"));
		json_object_set_new(o, "domain", domain_json(rows, row, plan));
	} else if (row->kind == ROW_QEMU && rows->qemu) {
		json_object_set_new(o, "command", row_qemu_command(rows, row, plan, &plan->workloads[0]));
	}
	return o;
}

static json_t *workloads_json(const struct plan *plan)
{
	json_t *list = json_array();

	for (size_t i = 0; i < plan->n_workloads; i++) {
		const struct plan_workload *w = &plan->workloads[i];

		json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "id", json_text(w->name), "kernel",
		                                      json_text(w->kernel), "ramdisk", json_text(w->ramdisk), "cmdline",
		                                      json_text(w->cmdline)));
	}
	return list;
}

/* Workloads that a row refuses although it runs others: in the place of a run, with the reason. */
static void add_refused(json_t *runs, const struct rows *rows, const struct plan *plan)
{
	for (size_t i = 0; i < rows->n; i++) {
		for (size_t j = 0; j < plan->n_workloads && !rows->row[i].left_out; j++) {
			if (rows->row[i].refused[j])
				json_array_append_new(runs, json_pack("{s:s, s:s, s:i, s:b, s:s, s:o, s:{}, s:{}}", "row",
				                                      rows->row[i].id, "workload",
				                                      plan->workloads[j].name, "round", 0, "warmup", 0,
				                                      "status", "refused", "why",
				                                      json_text(rows->row[i].refused[j]), "samples",
				                                      "skipped"));
		}
	}
}

json_t *results_new(const struct plan *plan, const struct rows *rows)
{
	json_t *rows_list = json_array(), *runs = json_array(), *o;

	for (size_t i = 0; i < rows->n; i++)
		json_array_append_new(rows_list, row_json(rows, &rows->row[i], plan));
	o = json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "gamut-matrix", VERSION, "version", GAMUT_VERSION,
	              "started", results_now(), "host", noise_host(), "plan", plan_json(plan, rows), "versions",
	              versions_json(plan, rows), "rows", rows_list, "workloads", workloads_json(plan), "runs", runs);
	if (!o)
		return NULL;
	add_refused(runs, rows, plan);
	for (size_t i = 0; i < plan->n_peers; i++) {
		if (plan->peers[i].kind == PEER_CSV)
			import_runs(runs, &plan->peers[i], rows);
	}
	return o;
}

/* ---- files ------------------------------------------------------------------------------------------ */

json_t *results_load(const char *path, char *err, size_t len)
{
	json_error_t error;
	json_t *o = json_load_file(path, 0, &error);

	if (!o && access(path, R_OK))
		snprintf(err, len, "%s: %s", path, strerror(errno));
	else if (!o)
		snprintf(err, len, "%s:%d: is no results file: %s", path, error.line, error.text);
	else if (json_integer_value(json_object_get(o, "gamut-matrix")) != VERSION)
		snprintf(err, len, "%s: is no results file of this version of gamut matrix", path);
	else if (!json_is_array(json_object_get(o, "runs")) || !json_is_array(json_object_get(o, "rows")) ||
	         !json_is_object(json_object_get(o, "plan")))
		snprintf(err, len, "%s: is no whole results file", path);
	else
		return o;
	json_decref(o);
	return NULL;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool interrupted(const json_t *run)
{
	return !strcmp(text_of(run, "status"), "interrupted");
}

/* What must not change in the middle, and is no part of the plan. */
static const char *changed(const json_t *old, const json_t *fresh)
{
	static const struct {
		const char *object, *key, *what;
	} same[] = {
		{ "host", "cpu", "processor" },
		{ "host", "cores", "number of processors" },
		{ "host", "kernel", "kernel of the host" },
		{ "versions", "gamut_build", "build of gamut" },
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		const json_t *a = json_object_get(json_object_get(old, same[i].object), same[i].key);
		const json_t *b = json_object_get(json_object_get(fresh, same[i].object), same[i].key);

		if (!json_equal(a, b))
			return same[i].what;
	}
	return NULL;
}

/* Why an old file cannot be gone on with; false: it can. */
static bool refuses(const json_t *old, const json_t *fresh, const char *path, char *err, size_t len)
{
	const char *hash = text_of(json_object_get(fresh, "plan"), "hash");

	if (strcmp(text_of(json_object_get(old, "plan"), "hash"), hash) != 0)
		snprintf(err, len,
		         "%s: holds results of another plan (%s), other options or other guests; give another file with -o, "
		         "or --force to measure anew in its place",
		         path, text_of(json_object_get(old, "plan"), "file"));
	else if (json_object_get(old, "finished"))
		snprintf(err, len,
		         "%s: is finished; --report %s shows it, --force measures anew in its place, -o takes another file",
		         path, path);
	else if (changed(old, fresh))
		snprintf(err, len,
		         "%s: was begun with another %s; --force measures anew in its place, -o takes another file", path,
		         changed(old, fresh));
	else
		return false;
	return true;
}

int results_begin(json_t *fresh, const char *path, bool force, json_t **results, size_t *resumed, char *err, size_t len)
{
	json_t *old, *runs, *run;
	size_t i;

	*results = fresh;
	*resumed = 0;
	if (force || (access(path, F_OK) && errno == ENOENT))
		return 0;
	old = results_load(path, err, len);
	if (!old || refuses(old, fresh, path, err, len)) {
		json_decref(old);
		json_decref(fresh);
		*results = NULL;
		return -1;
	}
	runs = json_object_get(old, "runs");
	json_array_foreach(runs, i, run)
		*resumed += !interrupted(run);
	json_decref(fresh);
	*results = old;
	return 0;
}

int results_write(const json_t *results, const char *path)
{
	char *tmp = NULL;
	int err = 0;

	if (asprintf(&tmp, "%s.%d", path, (int)getpid()) < 0)
		return -ENOMEM;
	errno = 0;
	if (json_dump_file(results, tmp, JSON_INDENT(1)) || rename(tmp, path)) {
		err = errno ? -errno : -EIO;
		unlink(tmp);
	}
	free(tmp);
	return err;
}

/* ---- runs -------------------------------------------------------------------------------------------- */

static bool is_cell(const json_t *run, const char *row, const char *workload)
{
	return !strcmp(text_of(run, "row"), row) && !strcmp(text_of(run, "workload"), workload);
}

/* Index of the run, or -1. */
static int find(const json_t *results, const char *row, const char *workload, int round)
{
	const json_t *runs = json_object_get(results, "runs");

	for (size_t i = 0; i < json_array_size(runs); i++) {
		const json_t *run = json_array_get(runs, i);

		if (is_cell(run, row, workload) && json_integer_value(json_object_get(run, "round")) == round)
			return (int)i;
	}
	return -1;
}

bool results_has(const json_t *results, const char *row, const char *workload, int round)
{
	int i = find(results, row, workload, round);

	return i >= 0 && !interrupted(json_array_get(json_object_get(results, "runs"), (size_t)i));
}

int results_failures(const json_t *results, const char *row, const char *workload, bool *any_ok)
{
	const json_t *runs = json_object_get(results, "runs");
	int n = 0;

	*any_ok = false;
	for (size_t i = 0; i < json_array_size(runs); i++) {
		const json_t *run = json_array_get(runs, i);

		if (!is_cell(run, row, workload))
			continue;
		n += !strcmp(text_of(run, "status"), "failed");
		*any_ok |= !strcmp(text_of(run, "status"), "ok");
	}
	return n;
}

int results_add(json_t *results, json_t *run)
{
	json_t *runs = json_object_get(results, "runs");
	int i = find(results, text_of(run, "row"), text_of(run, "workload"),
	             (int)json_integer_value(json_object_get(run, "round")));

	return i >= 0 ? json_array_set_new(runs, (size_t)i, run) : json_array_append_new(runs, run);
}

void results_finish(json_t *results)
{
	json_object_set_new(results, "finished", results_now());
}
