/* SPDX-License-Identifier: MIT */
/*
 * What goes with what: for every two choices that are installed, on different
 * axes, whether any domain can have both, and if none can, why, and what would
 * work. Follows from the rules and from needs and gives alone (preset.h).
 */
#ifndef MATRIX_H
#define MATRIX_H

#include <jansson.h>
#include <stdio.h>

#include "preset.h"

struct matrix_choice {
	enum gamut_axis axis;
	const char *word;                    /* "none": no device */
	const struct plugin *plugin;         /* NULL for "none" */
	const struct gamut_descriptor *desc; /* likewise */
};

struct matrix {
	struct matrix_choice *choices; /* by axis */
	size_t n;
	char **why; /* n * n: [i * n + j] is NULL where the two can go together, or are of one axis */
};

/* Loads every plugin of the set. 0 or -1 with diag. matrix_finish comes before plugin_set_finish. */
int matrix_init(struct matrix *m, struct plugin_set *plugins, struct diag *diag);
void matrix_finish(struct matrix *m);

/* A table, with the reasons below it. */
void matrix_print(const struct matrix *m, FILE *out);
/* {"pairs": [{AXIS: choice, AXIS: choice, "works", "why"}], "combinations": [{every AXIS: choice, "works"}]} */
json_t *matrix_json(const struct matrix *m);

#endif
