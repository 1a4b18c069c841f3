/* SPDX-License-Identifier: MIT */
#include "matrix.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

/* A preset for messages: with every axis overridden, none of its words are used. */
static const struct preset nobody = { .name = "none" };

/* ---- choices ---------------------------------------------------------------------- */

static int add_choice(struct matrix *m, const struct matrix_choice *c)
{
	struct matrix_choice *choices = realloc(m->choices, (m->n + 1) * sizeof(*choices));

	if (!choices)
		return -1;
	m->choices = choices;
	choices[m->n++] = *c;
	return 0;
}

/* A domain can do without a disk, a card, a console. */
static bool may_be_none(int axis)
{
	return axis == GAMUT_AXIS_DISK || axis == GAMUT_AXIS_NET || axis == GAMUT_AXIS_CONSOLE;
}

/* The words of an axis that the files hold; plugin_find then loads each for good. */
static int add_axis(struct matrix *m, struct plugin_set *plugins, char **files, int n, int axis, struct diag *diag)
{
	char err[1024];

	for (int i = 0; i < n; i++) {
		struct plugin *p = plugin_open(files[i], err, sizeof(err));

		for (size_t j = 0; p && j < p->n_descriptors; j++) {
			struct matrix_choice c = { .axis = (enum gamut_axis)axis };

			if (p->descriptors[j].d.axis != (uint32_t)axis)
				continue;
			c.desc = plugin_find(plugins, c.axis, p->descriptors[j].d.choice, &c.plugin, err, sizeof(err));
			if (!c.desc)
				diag_note(diag, NULL, 0, "%s", err);
			c.word = c.desc ? c.desc->choice : NULL;
			if (c.desc && add_choice(m, &c)) {
				plugin_close(p);
				return -1;
			}
		}
		plugin_close(p);
	}
	if (!may_be_none(axis))
		return 0;
	return add_choice(m, &(struct matrix_choice){ .axis = (enum gamut_axis)axis, .word = CHOICE_NONE });
}

static int find_choices(struct matrix *m, struct plugin_set *plugins, struct diag *diag)
{
	char **files = NULL;
	int n = plugin_files(plugins, &files), rc = n < 0 ? -1 : 0;

	for (int axis = 0; axis < GAMUT_AXIS_COUNT && !rc; axis++)
		rc = add_axis(m, plugins, files, n, axis, diag);
	if (n >= 0)
		plugin_files_free(files, n);
	return rc;
}

/* ---- combinations -------------------------------------------------------------------- */

/* A choice of every axis, as indices into the matrix; turned like the wheels of a counter. */
struct wheels {
	const struct matrix *m;
	size_t first[GAMUT_AXIS_COUNT], n[GAMUT_AXIS_COUNT], at[GAMUT_AXIS_COUNT];
	bool fixed[GAMUT_AXIS_COUNT];
};

/* False: an axis has no choice at all, so that there is no combination. */
static bool wheels_init(struct wheels *w, const struct matrix *m)
{
	*w = (struct wheels){ .m = m };
	for (size_t i = m->n; i-- > 0;) {
		w->first[m->choices[i].axis] = i;
		w->n[m->choices[i].axis]++;
	}
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		w->at[axis] = w->first[axis];
		if (!w->n[axis])
			return false;
	}
	return true;
}

static void wheels_fix(struct wheels *w, size_t choice)
{
	w->at[w->m->choices[choice].axis] = choice;
	w->fixed[w->m->choices[choice].axis] = true;
}

/* The next; false after the last. */
static bool wheels_turn(struct wheels *w)
{
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		if (w->fixed[axis])
			continue;
		if (++w->at[axis] < w->first[axis] + w->n[axis])
			return true;
		w->at[axis] = w->first[axis];
	}
	return false;
}

static struct axis_choices combination(const struct wheels *w)
{
	struct axis_choices all = { .preset = &nobody };

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		const struct matrix_choice *c = &w->m->choices[w->at[axis]];

		all.axis[axis] = (struct axis_choice){
			.choice = c->word, .overridden = true, .plugin = c->plugin, .desc = c->desc
		};
	}
	return all;
}

/* ---- pairs ------------------------------------------------------------------------------ */

static size_t problems(const struct axis_choices *all, const struct plugin_set *plugins, struct diag *diag)
{
	diag_init(diag);
	if (preset_check_rules(all, NULL, diag) == 0)
		preset_check_needs(all, plugins, NULL, diag);
	return diag->n_errors;
}

/* Whether a problem's text is about a choice: it names each as `axis = "word"`. */
static bool is_about(const char *text, const struct matrix_choice *c)
{
	char name[128];

	snprintf(name, sizeof(name), "%s = \"%s\"", axis_name(c->axis), c->word);
	return strstr(text, name) != NULL;
}

/* How far a combination's problems are from being that of these two: the fewer, and the more about them, the nearer. */
static size_t distance(const struct diag *diag, const struct matrix_choice *a, const struct matrix_choice *b)
{
	const char *text = diag->n ? diag->entries[0].text : "";

	return diag->n_errors * 4 + !is_about(text, a) + !is_about(text, b);
}

/* No combination with both is legal: the sentence of the one that shows best why not. */
static char *reason(struct wheels *w, const struct plugin_set *plugins, const struct matrix_choice *a,
                    const struct matrix_choice *b)
{
	size_t least = SIZE_MAX;
	char *why = NULL;

	do {
		const struct axis_choices all = combination(w);
		struct diag diag;

		if (problems(&all, plugins, &diag) && distance(&diag, a, b) < least) {
			least = distance(&diag, a, b);
			free(why);
			why = strdup(diag.n ? diag.entries[0].text : "");
		}
		diag_finish(&diag);
	} while (wheels_turn(w));
	return why;
}

/* 0; or -1 when memory is short. */
static int judge(struct matrix *m, const struct plugin_set *plugins, size_t a, size_t b)
{
	struct wheels w;

	if (!wheels_init(&w, m))
		return 0;
	wheels_fix(&w, a);
	wheels_fix(&w, b);
	do {
		const struct axis_choices all = combination(&w);

		if (preset_legal(&all))
			return 0;
	} while (wheels_turn(&w));
	m->why[a * m->n + b] = reason(&w, plugins, &m->choices[a], &m->choices[b]);
	if (!m->why[a * m->n + b])
		return -1;
	m->why[b * m->n + a] = strdup(m->why[a * m->n + b]);
	return m->why[b * m->n + a] ? 0 : -1;
}

int matrix_init(struct matrix *m, struct plugin_set *plugins, struct diag *diag)
{
	int rc;

	*m = (struct matrix){ 0 };
	rc = find_choices(m, plugins, diag);
	if (!rc) {
		m->why = calloc(m->n ? m->n * m->n : 1, sizeof(*m->why));
		rc = m->why ? 0 : -1;
	}
	for (size_t a = 0; a < m->n && !rc; a++)
		for (size_t b = a + 1; b < m->n && !rc; b++)
			if (m->choices[a].axis != m->choices[b].axis)
				rc = judge(m, plugins, a, b);
	if (!rc)
		return 0;
	matrix_finish(m);
	return diag_error(diag, NULL, 0, "out of memory");
}

void matrix_finish(struct matrix *m)
{
	for (size_t i = 0; m->why && i < m->n * m->n; i++)
		free(m->why[i]);
	free(m->why);
	free(m->choices);
	*m = (struct matrix){ 0 };
}

/* ---- showing ------------------------------------------------------------------------------ */

/* The number under which a reason stands below the table; 0: it works. Equal reasons share one. */
static size_t number_of(const struct matrix *m, const char *const *reasons, size_t n, size_t at)
{
	if (!m->why[at])
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(reasons[i], m->why[at]))
			return i + 1;
	return 0;
}

static size_t collect_reasons(const struct matrix *m, const char **reasons)
{
	size_t n = 0;

	for (size_t at = 0; at < m->n * m->n; at++)
		if (m->why[at] && !number_of(m, reasons, n, at))
			reasons[n++] = m->why[at];
	return n;
}

/* One axis against one other. */
static void print_block(const struct matrix *m, int rows, int columns, const char *const *reasons, size_t n, FILE *out)
{
	fprintf(out, "%-12s %-10s", axis_name((enum gamut_axis)rows), "");
	for (size_t j = 0; j < m->n; j++)
		if (m->choices[j].axis == (enum gamut_axis)columns)
			fprintf(out, " %9s", m->choices[j].word);
	fprintf(out, "  (%s)\n", axis_name((enum gamut_axis)columns));
	for (size_t i = 0; i < m->n; i++) {
		if (m->choices[i].axis != (enum gamut_axis)rows)
			continue;
		fprintf(out, "%-12s %-10s", "", m->choices[i].word);
		for (size_t j = 0; j < m->n; j++) {
			size_t number = number_of(m, reasons, n, i * m->n + j);

			if (m->choices[j].axis != (enum gamut_axis)columns)
				continue;
			if (number)
				fprintf(out, "  no, (%zu)%s", number, number < 10 ? " " : "");
			else
				fprintf(out, " %9s", "works");
		}
		fprintf(out, "\n");
	}
	fprintf(out, "\n");
}

void matrix_print(const struct matrix *m, FILE *out)
{
	const char **reasons = calloc(m->n * m->n + 1, sizeof(*reasons));
	size_t n;

	if (!reasons)
		return;
	n = collect_reasons(m, reasons);
	for (int rows = 0; rows < GAMUT_AXIS_COUNT; rows++)
		for (int columns = rows + 1; columns < GAMUT_AXIS_COUNT; columns++)
			print_block(m, rows, columns, reasons, n, out);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "(%zu) %s\n", i + 1, reasons[i]);
	free(reasons);
}

static json_t *json_pairs(const struct matrix *m)
{
	json_t *pairs = json_array();

	for (size_t i = 0; i < m->n; i++) {
		for (size_t j = i + 1; j < m->n; j++) {
			const struct matrix_choice *a = &m->choices[i], *b = &m->choices[j];
			const char *why = m->why[i * m->n + j];
			json_t *pair = json_object();

			json_object_set_new(pair, axis_name(a->axis), json_text(a->word));
			json_object_set_new(pair, axis_name(b->axis), json_text(b->word));
			json_object_set_new(pair, "works", json_boolean(!why));
			json_object_set_new(pair, "why", json_text(why));
			if (a->axis != b->axis)
				json_array_append(pairs, pair);
			json_decref(pair);
		}
	}
	return pairs;
}

/* Every combination there is, and whether it works. */
static json_t *json_combinations(const struct matrix *m)
{
	json_t *list = json_array();
	struct wheels w;

	if (!wheels_init(&w, m))
		return list;
	do {
		const struct axis_choices all = combination(&w);
		json_t *object = json_object();

		for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
			json_object_set_new(object, axis_name((enum gamut_axis)axis),
			                    json_text(all.axis[axis].choice));
		json_object_set_new(object, "works", json_boolean(preset_legal(&all)));
		json_array_append_new(list, object);
	} while (wheels_turn(&w));
	return list;
}

json_t *matrix_json(const struct matrix *m)
{
	json_t *object = json_object();

	json_object_set_new(object, "pairs", json_pairs(m));
	json_object_set_new(object, "combinations", json_combinations(m));
	return object;
}
