/* SPDX-License-Identifier: MIT */
/* The plan's workloads: those that there are, the user's own, and their files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/plan-internal.h"
#include "conf-internal.h"

/*
 * With --quick the second command line is taken. Seconds are of a guest on
 * engine bt, for the time left before anything has been measured.
 */
static const struct known {
	const char *name, *maker, *kernel, *ramdisk, *cmdline, *quick;
	bool linux_guest, peer;
	int64_t seconds, quick_seconds, vcpus;
} known[] = {
	{ "boot", "conf/quickstart makes it", "vmlinuz", "initramfs.img",
	  "panic=-1 gamut_exec=\"echo bench: begin boot; echo bench: end\"",
	  "panic=-1 gamut_exec=\"echo bench: begin boot; echo bench: end\"", true, false, 2, 2, 1 },
	{ "probe", "the build makes it", "probe", NULL, "measure write", "measure write quick", false, false, 1, 1, 1 },
	{ "timer", "the build makes it", "probe", NULL, "timer", "timer quick", false, false, 1, 1, 1 },
	{ "ipi", "the build makes it", "probe", NULL, "ipi", "ipi quick", false, false, 1, 1, 2 },
	{ "linux", "conf/bench-guest makes it", "bench-vmlinuz", "bench.img", "panic=-1", "panic=-1 bench_quick", true, true, 25, 8,
	  1 },
};

#define N_KNOWN (sizeof(known) / sizeof(known[0]))

#define FIELD(member) .offset = offsetof(struct plan_workload, member)

/* clang-format off */
static const struct plan_key workload_keys[] = {
	{ "name", PLAN_TEXT, FIELD(name) },
	{ "kernel", PLAN_TEXT, FIELD(kernel_text) },
	{ "ramdisk", PLAN_TEXT, FIELD(ramdisk_text) },
	{ "cmdline", PLAN_TEXT, FIELD(cmdline) },
	{ "linux", PLAN_BOOL, FIELD(linux_guest) },
	{ "peer", PLAN_BOOL, FIELD(peer) },
	{ "repetitions", PLAN_INT, FIELD(repetitions), .min = 1, .max = PLAN_ROUNDS_MAX },
	{ "warmup", PLAN_INT, FIELD(warmup), .min = 0, .max = PLAN_ROUNDS_MAX },
	{ "vcpus", PLAN_INT, FIELD(vcpus), .min = 1, .max = 64 },
	{ "timeout", PLAN_INT, FIELD(timeout), .min = 1, .max = 86400 },
	{ "seconds", PLAN_INT, FIELD(seconds), .min = 1, .max = 86400 },
};
/* clang-format on */

static const struct known *find_known(const char *name)
{
	for (size_t i = 0; name && i < N_KNOWN; i++) {
		if (!strcmp(known[i].name, name))
			return &known[i];
	}
	return NULL;
}

/* What a workload is before its group says otherwise. */
static void take_known(const struct plan_reader *r, const char *name, struct plan_workload *w)
{
	const struct known *k = find_known(name);

	*w = (struct plan_workload){ .name = name, .repetitions = -1, .warmup = -1, .cmdline = "", .vcpus = 1,
		                     .seconds = 10, .linux_guest = true };
	if (!k)
		return;
	w->cmdline = r->plan->quick ? k->quick : k->cmdline;
	w->linux_guest = k->linux_guest;
	w->peer = k->peer;
	w->vcpus = k->vcpus;
	w->seconds = r->plan->quick ? k->quick_seconds : k->seconds;
}

static bool read_group(struct plan_reader *r, const config_setting_t *s, struct plan_workload *w)
{
	const char *name = NULL;
	size_t before = r->diag->n_errors;

	config_setting_lookup_string(s, "name", &name);
	take_known(r, name, w);
	plan_read_keys(r, s, "workloads", workload_keys, sizeof(workload_keys) / sizeof(workload_keys[0]), w);
	if (!name || !plan_word_ok(name))
		plan_complain(r, s, "workloads: a group wants a name of letters, digits and -_.+=; add name = \"mine\";");
	else if (!w->kernel_text && !find_known(name))
		plan_complain(r, s, "workloads: \"%s\" has no kernel; add kernel = \"vmlinuz\";", name);
	return r->diag->n_errors == before;
}

static bool read_workload(struct plan_reader *r, const config_setting_t *s, struct plan_workload *w)
{
	const char *names[N_KNOWN], *word = config_setting_get_string(s);
	bool ok = true;

	if (config_setting_type(s) == CONFIG_TYPE_GROUP) {
		ok = read_group(r, s, w);
	} else if (!word) {
		plan_complain(r, s, "workloads: wants a name or a group { }, not %s", conf_type_name(s));
		ok = false;
	} else if (!find_known(word)) {
		for (size_t i = 0; i < N_KNOWN; i++)
			names[i] = known[i].name;
		plan_unknown(r, s, "workloads", word, names, N_KNOWN);
		ok = false;
	} else {
		take_known(r, word, w);
	}
	w->line = conf_setting_line(s);
	return ok;
}

void plan_read_workloads(struct plan_reader *r, const config_setting_t *s, void *into)
{
	struct plan *plan = into;

	plan->n_workloads = 0;
	if (!plan_is_list(r, s))
		return;
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct plan_workload *w = &plan->workloads[plan->n_workloads];
		size_t twin = 0;

		if (plan->n_workloads == PLAN_MAX) {
			plan_complain(r, e, "workloads: are more than %d; leave some out", PLAN_MAX);
			return;
		}
		if (!read_workload(r, e, w))
			continue;
		while (twin < plan->n_workloads && strcmp(plan->workloads[twin].name, w->name) != 0)
			twin++;
		if (twin < plan->n_workloads)
			plan_complain(r, e, "workloads: \"%s\" is there twice; give one of them another name", w->name);
		else
			plan->n_workloads++;
	}
}

/* ---- files --------------------------------------------------------------------------------------- */

#define OTHER_FILE "name another file"

static char *in_guests(const struct plan *plan, const char *file)
{
	char *out = NULL;

	return asprintf(&out, "%s/%s", plan->guests, file) < 0 ? NULL : out;
}

/* remedy: what comes before "or leave it out". */
static void need_file(struct plan_reader *r, unsigned line, const char *what, const char *name, const char *path,
                      const char *remedy)
{
	if (!path)
		plan_error(r->plan, r->diag, line, "out of memory");
	else if (access(path, R_OK))
		plan_error(r->plan, r->diag, line, "%s: \"%s\" needs %s: %s; %s, or leave it out", what, name, path,
		           strerror(errno), remedy);
}

static void resolve_workload(struct plan_reader *r, struct plan_workload *w)
{
	const struct known *k = find_known(w->name);
	char remedy[128];

	snprintf(remedy, sizeof(remedy), "%s, `guests` names another folder", k ? k->maker : "");
	if (w->kernel_text)
		w->kernel = plan_resolve(r->plan, w->kernel_text);
	else
		w->kernel = in_guests(r->plan, k->kernel);
	if (w->ramdisk_text)
		w->ramdisk = plan_resolve(r->plan, w->ramdisk_text);
	else if (!w->kernel_text && k->ramdisk)
		w->ramdisk = in_guests(r->plan, k->ramdisk);
	need_file(r, w->line, "workloads", w->name, w->kernel, w->kernel_text ? OTHER_FILE : remedy);
	if (w->ramdisk || w->ramdisk_text)
		need_file(r, w->line, "workloads", w->name, w->ramdisk, w->ramdisk_text ? OTHER_FILE : remedy);
	if (w->repetitions < 0 || r->options->repetitions)
		w->repetitions = r->plan->repetitions;
	if (w->warmup < 0)
		w->warmup = r->plan->warmup;
	if (!w->timeout)
		w->timeout = r->plan->timeout;
}

/* Those that are not wanted need no files. */
static void drop_workloads(struct plan *plan, const char *list)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_workloads; i++) {
		if (plan_listed(list, plan->workloads[i].name))
			plan->workloads[n++] = plan->workloads[i];
	}
	plan->n_workloads = n;
}

void plan_resolve_files(struct plan_reader *r)
{
	struct plan *plan = r->plan;

	drop_workloads(plan, r->options->workloads);
	for (size_t i = 0; i < plan->n_workloads; i++)
		resolve_workload(r, &plan->workloads[i]);
	for (size_t i = 0; i < plan->n_peers; i++) {
		struct plan_peer *p = &plan->peers[i];

		if (p->kind != PEER_CSV)
			continue;
		p->csv = plan_resolve(plan, p->csv_text);
		need_file(r, p->line, "peers", p->name, p->csv, OTHER_FILE);
	}
}

void plan_free_files(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_workloads; i++) {
		free(plan->workloads[i].kernel);
		free(plan->workloads[i].ramdisk);
	}
	for (size_t i = 0; i < plan->n_peers; i++)
		free(plan->peers[i].csv);
}
