/* SPDX-License-Identifier: MIT */
/* What this host can run of the rows, and why not the rest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/row.h"
#include "conf.h"
#include "domain.h"
#include "json.h"

static json_t *axes_of(const struct domain_config *c)
{
	json_t *axes = json_object();

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		const struct axis_choice *a = &c->axes.axis[axis];
		json_t *o = json_object();

		json_object_set_new(o, "choice", json_text(a->choice));
		json_object_set_new(o, "colour", a->desc ? json_string(colour_name(a->desc->colour)) : json_null());
		json_object_set_new(axes, axis_name((enum gamut_axis)axis), o);
	}
	return axes;
}

/* The errors in one line; to be freed. */
static char *errors_of(const struct diag *diag)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	const char *between = "";

	for (size_t i = 0; out && i < diag->n; i++) {
		if (diag->entries[i].note)
			continue;
		fprintf(out, "%s%s", between, diag->entries[i].text);
		between = "; ";
	}
	if (out)
		fclose(out);
	return text;
}

/* Its console must be one whose text comes to us. */
static const char *mute(const struct plan_mode *m)
{
	const char *console = row_choice(m, GAMUT_AXIS_CONSOLE);

	return strcmp(console, "xen") && strcmp(console, "serial") ?
	               "what its console shows cannot be read here; use axes = { console = \"serial\"; } or \"xen\"" :
	               NULL;
}

/* As `gamut check` does. NULL: it can run; else why not. *plan_fault: no host could. */
static char *refusal(struct row *row, const char *path, struct plugin_set *plugins, bool *plan_fault)
{
	struct engine_choice engine = { .ops = NULL };
	struct domain_options options = { .id = 1 };
	struct domain_config *c = NULL;
	struct diag diag;
	char *why = NULL;

	diag_init(&diag);
	*plan_fault = false;
	if (conf_load(&c, path, plugins, &diag)) {
		why = errors_of(&diag);
		*plan_fault = !row->mode->plain;
	} else {
		if (!row->axes)
			row->axes = axes_of(c);
		options.engine = c->engine;
		if (domain_validate(c, &options, &engine, &diag))
			why = errors_of(&diag);
		else if (engine.warn)
			why = strdup(engine.why);
	}
	conf_destroy(c);
	diag_finish(&diag);
	return why;
}

/* Axes of a preset that cannot be loaded, for the table. */
static void axes_without_plugins(struct row *row)
{
	row->axes = row->axes ? row->axes : json_object();
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		const char *name = axis_name((enum gamut_axis)axis);

		if (!json_object_get(row->axes, name))
			json_object_set_new(row->axes, name, json_pack("{s:s, s:n}", "choice",
			                                               row_choice(row->mode, (enum gamut_axis)axis),
			                                               "colour"));
	}
}

static void check_row(struct rows *rows, struct row *row, const struct plan *plan, struct plugin_set *plugins,
                     struct diag *diag)
{
	char path[256];
	bool fault = false;

	snprintf(path, sizeof(path), "%s/check.cfg", rows->dir);
	for (size_t i = 0; i < plan->n_workloads; i++) {
		if (mute(row->mode))
			row->refused[i] = strdup(mute(row->mode));
		else if (row_write_file(rows, row, plan, &plan->workloads[i], path))
			plan_error(plan, diag, 0, "%s: cannot be written: %s", path, strerror(errno));
		else
			row->refused[i] = refusal(row, path, plugins, &fault);
		if (fault) {
			plan_error(plan, diag, row->mode->line, "modes: \"%s\": %s", row->mode->name, row->refused[i]);
			return;
		}
	}
	axes_without_plugins(row);
}

static void check_gamut(struct rows *rows, const struct plan *plan, struct diag *diag)
{
	struct plugin_set plugins;

	if (plugin_set_init(&plugins)) {
		plan_error(plan, diag, 0, "out of memory");
		return;
	}
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->row[i].kind == ROW_GAMUT)
			check_row(rows, &rows->row[i], plan, &plugins, diag);
	}
	plugin_set_finish(&plugins);
}

static void check_qemu(struct rows *rows, const struct plan *plan)
{
	struct engine_survey survey = { .kvm.ops = NULL };
	bool asked = false;

	for (size_t i = 0; i < rows->n; i++) {
		struct row *row = &rows->row[i];
		const char *why = rows->qemu ? NULL : "qemu-system-x86_64 is not installed";

		if (row->kind != ROW_QEMU)
			continue;
		row->axes = row_qemu_axes(row);
		if (!why && row->peer->kind == PEER_QEMU_KVM) {
			if (!asked)
				engine_survey(&survey);
			asked = true;
			why = survey.kvm_probe.kind == KVM_HARDWARE ? NULL : survey.kvm_probe.why;
		}
		for (size_t j = 0; why && j < plan->n_workloads; j++)
			row->refused[j] = strdup(why);
	}
}

/* Left out altogether is what no workload can run on. */
static void sum_up(struct rows *rows, const struct plan *plan)
{
	for (size_t i = 0; i < rows->n; i++) {
		struct row *row = &rows->row[i];
		size_t j = 0;

		while (j < plan->n_workloads && row->refused[j])
			j++;
		if (row->kind != ROW_IMPORTED && j && j == plan->n_workloads)
			row->left_out = strdup(row->refused[0]);
	}
}

void rows_check(struct rows *rows, const struct plan *plan, struct diag *diag)
{
	check_qemu(rows, plan);
	check_gamut(rows, plan, diag);
	sum_up(rows, plan);
}
