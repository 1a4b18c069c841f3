/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "matrix.h"

static const char *const dirs[] = {TEST_BUILD_DIR "/plugins"};

struct world {
	struct plugin_set set;
	struct matrix m;
};

static int setup(void **state)
{
	static struct world w;
	struct diag diag = {0};

	*state = &w;
	assert_int_equal(plugin_set_init_dirs(&w.set, dirs, 1), 0);
	assert_int_equal(matrix_init(&w.m, &w.set, &diag), 0);
	assert_int_equal(diag.n, 0);
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	matrix_finish(&w->m);
	plugin_set_finish(&w->set);
	return 0;
}

static size_t find(const struct matrix *m, enum gamut_axis axis, const char *word)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->choices[i].axis == axis && strcmp(m->choices[i].word, word) == 0)
			return i;
	fail_msg("no %s among the choices", word);
	return 0;
}

static const char *why(const struct matrix *m, enum gamut_axis a, const char *wa, enum gamut_axis b, const char *wb)
{
	return m->why[find(m, a, wa) * m->n + find(m, b, wb)];
}

/* What a preset has goes together, each with each; so does what it has without a disk, a card or a console. */
static void presets_are_in_it(void **state)
{
	const struct matrix *m = &((struct world *)*state)->m;

	for (size_t i = 0; i < n_presets; i++)
		for (int a = 0; a < GAMUT_AXIS_COUNT; a++)
			for (int b = 0; b < GAMUT_AXIS_COUNT; b++) {
				if (a == b)
					continue;
				assert_null(why(m, a, presets[i].choice[a], b, presets[i].choice[b]));
				if (a == GAMUT_AXIS_DISK || a == GAMUT_AXIS_NET || a == GAMUT_AXIS_CONSOLE)
					assert_null(why(m, a, CHOICE_NONE, b, presets[i].choice[b]));
			}
}

static void a_refusal_says_which_two_and_what_instead(void **state)
{
	const struct matrix *m = &((struct world *)*state)->m;
	const char *text = why(m, GAMUT_AXIS_MMU, "pv", GAMUT_AXIS_PLATFORM, "pc");

	assert_non_null(text);
	assert_non_null(strstr(text, "mmu = \"pv\""));
	assert_non_null(strstr(text, "platform = \"pc\""));
	assert_non_null(strstr(text, "use "));
	text = why(m, GAMUT_AXIS_DISK, "ide", GAMUT_AXIS_PLATFORM, "pv");
	assert_non_null(strstr(text, "disk = \"ide\""));
	for (size_t i = 0; i < m->n; i++)
		for (size_t j = 0; j < m->n; j++) {
			const char *x = m->why[i * m->n + j], *y = m->why[j * m->n + i];

			assert_int_equal(x == NULL, y == NULL);
			if (x)
				assert_string_equal(x, y);
			if (m->choices[i].axis == m->choices[j].axis)
				assert_null(x);
		}
}

static void printed_and_as_json(void **state)
{
	const struct matrix *m = &((struct world *)*state)->m;
	json_t *j = matrix_json(m);
	const json_t *all = json_object_get(j, "combinations");
	size_t works = 0, product = 1, len = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &len);

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		size_t n = 0;

		for (size_t i = 0; i < m->n; i++)
			n += m->choices[i].axis == (enum gamut_axis)axis;
		product *= n;
	}
	assert_int_equal(json_array_size(all), product);
	for (size_t i = 0; i < product; i++)
		works += json_is_true(json_object_get(json_array_get(all, i), "works"));
	assert_in_range(works, n_presets, product - 1);
	json_decref(j);

	matrix_print(m, out);
	fclose(out);
	assert_non_null(strstr(text, "(1) axes: "));
	assert_non_null(strstr(text, "works"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(presets_are_in_it),
	        cmocka_unit_test(a_refusal_says_which_two_and_what_instead),
	        cmocka_unit_test(printed_and_as_json),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
