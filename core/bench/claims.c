/* SPDX-License-Identifier: MIT */
/*
 * Each claim says that one mode is better or worse than others at something.
 * It is compared row by row on the same engine, column by column where the
 * names match. All comparisons
 * of all claims are judged together, as all are that this report makes.
 *
 * What is only said of hosts without hardware virtualization is not measurable
 * on one that has it: where the kernel of any row but a PV guest's ran on engine kvm.
 */
#include "claims.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"

#define MOST 8 /* of each list of a claim; the last is NULL */
#define MOSTLY 3 /* times as many say the one as say the other */
#define SHOWN 12 /* comparisons that are told one by one */

static const struct claim {
	const char *title;
	const char *mode, *against[MOST];
	int better;               /* 1: the mode is said to be better than the others, -1: worse */
	const char *names[MOST];  /* columns; "disk-": all that begin so */
	bool without_hardware;    /* the best row of the mode against the best of the others, whatever the engine */
} claims[] = {
	{ "64-bit PV pays for system calls and address-space switches", "pv", { "pvh" }, -1,
	  { "syscall", "address-space-switch", "context-switch" }, false },
	{ "PV wins where there is no hardware virtualization", "pv", { "hvm", "hvm-pv-drivers", "pvhvm", "pvh", "kvm" }, 1,
	  { "boot-to-init", "syscall", "fork-exec", "context-switch", "compile", "shell-loop", "zstd-compress" }, true },
	{ "Emulated interrupts and timers cost several exits a cycle, paravirtual ones one or none", "hvm",
	  { "pvhvm", "pvh", "pv" }, -1, { "interrupt-exits-a-turn", "exits-a-turn" }, false },
	{ "PV drivers beat IDE", "hvm-pv-drivers", { "hvm" }, 1, { "disk-" }, false },
	{ "PVH has the smallest memory", "pvh", { "hvm", "hvm-pv-drivers", "pvhvm", "pv", "kvm" }, 1,
	  { "memory-overhead" }, false },
	{ "PVH boots fastest", "pvh", { "hvm", "hvm-pv-drivers", "pvhvm", "pv", "kvm" }, 1, { "boot-to-init" }, false },
};
#define N_CLAIMS (sizeof(claims) / sizeof(claims[0]))

/* One comparison for a claim. */
struct item {
	size_t claim, row, other;
	size_t workload;
	const struct cells_column *column;
	double a, b;                       /* medians: the other's, the row's */
	int direction;
};

struct judging {
	const struct cells *cells;
	struct item *items;
	struct bench_pair *pairs; /* as many */
	size_t n;
	bool short_of_memory;
};

const char *claim_verdict_name(enum claim_verdict verdict)
{
	static const char *const names[] = {
		[CLAIM_HOLDS] = "reproduced",    [CLAIM_PARTLY] = "in part",
		[CLAIM_FAILS] = "contradicted",  [CLAIM_MOSTLY_HOLDS] = "mostly reproduced",
		[CLAIM_MOSTLY_FAILS] = "mostly contradicted", [CLAIM_NO_DIFFERENCE] = "no difference beyond noise",
		[CLAIM_UNJUDGED] = "too few rounds", [CLAIM_UNKNOWN] = "not measurable here",
	};

	return names[verdict];
}

/* ---- finding what to compare ------------------------------------------------------------------ */

static bool in_list(const char *word, const char *const list[MOST])
{
	for (int i = 0; i < MOST && list[i]; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}

static bool name_matches(const char *name, const char *const names[MOST])
{
	for (int i = 0; i < MOST && names[i]; i++) {
		size_t len = strlen(names[i]);

		if (names[i][len - 1] == '-' ? !strncmp(name, names[i], len) : !strcmp(name, names[i]))
			return true;
	}
	return false;
}

static bool is_gamut(const struct cells_row *row)
{
	return !strcmp(row->kind, "gamut");
}

static void add(struct judging *j, const struct item *item, const struct bench_pair *pair)
{
	struct item *items = reallocarray(j->items, j->n + 1, sizeof(*items));
	struct bench_pair *pairs = items ? reallocarray(j->pairs, j->n + 1, sizeof(*pairs)) : NULL;

	j->items = items ? items : j->items;
	j->pairs = pairs ? pairs : j->pairs;
	if (!pairs) {
		j->short_of_memory = true;
		return;
	}
	items[j->n] = *item;
	pairs[j->n++] = *pair;
}

static void add_cells(struct judging *j, size_t claim, size_t row, size_t other, size_t column)
{
	const struct cell *b = cells_at(j->cells, row, column), *a = cells_at(j->cells, other, column);
	const struct cells_column *col = &j->cells->columns[column];

	if (!a || !b || !a->n || !b->n || !col->direction)
		return;
	add(j, &(struct item){ .claim = claim, .row = row, .other = other, .workload = col->workload, .column = col,
		               .a = a->est.median, .b = b->est.median, .direction = col->direction },
	    &(struct bench_pair){ .a = a->samples, .n_a = a->n, .b = b->samples, .n_b = b->n,
		                  .tolerance = BENCH_FLOOR_ROWS });
}

/* Every column of the claim, for two rows. */
static void add_rows(struct judging *j, size_t claim, size_t row, size_t other)
{
	const struct cells *c = j->cells;

	for (size_t column = 0; column < c->n_columns; column++)
		if (name_matches(c->columns[column].name, claims[claim].names) && !c->columns[column].twin)
			add_cells(j, claim, row, other, column);
}

static void add_same_engine(struct judging *j, size_t claim)
{
	const struct cells_row *rows = j->cells->rows;

	for (size_t row = 0; row < j->cells->n_rows; row++)
		for (size_t other = 0; other < j->cells->n_rows; other++)
			if (is_gamut(&rows[row]) && is_gamut(&rows[other]) && !strcmp(rows[row].mode, claims[claim].mode) &&
			    in_list(rows[other].mode, claims[claim].against) && !strcmp(rows[row].engine, rows[other].engine))
				add_rows(j, claim, row, other);
}

/* The best row of some modes in a column; SIZE_MAX: none. */
static size_t best_of(const struct cells *c, size_t column, const char *const modes[MOST])
{
	size_t best = SIZE_MAX;

	for (size_t row = 0; row < c->n_rows; row++) {
		const struct cell *cell = cells_at(c, row, column), *sofar = cells_at(c, best, column);

		if (cell->n && is_gamut(&c->rows[row]) && in_list(c->rows[row].mode, modes) &&
		    (!sofar || (cell->est.median - sofar->est.median) * c->columns[column].direction > 0))
			best = row;
	}
	return best;
}

/* A row that shows that there is hardware virtualization; SIZE_MAX: none. */
static size_t hardware(const struct cells *c)
{
	for (size_t row = 0; row < c->n_rows; row++)
		for (size_t w = 0; w < c->n_workloads; w++)
			if (cells_attempt(c, row, w)->n && is_gamut(&c->rows[row]) && !strcmp(c->rows[row].engine, "kvm") &&
			    strcmp(c->rows[row].mode, "pv"))
				return row;
	return SIZE_MAX;
}

static void add_best(struct judging *j, size_t claim)
{
	const char *const mode[MOST] = { claims[claim].mode };

	for (size_t column = 0; hardware(j->cells) == SIZE_MAX && column < j->cells->n_columns; column++)
		if (name_matches(j->cells->columns[column].name, claims[claim].names) && !j->cells->columns[column].twin)
			add_cells(j, claim, best_of(j->cells, column, mode),
			          best_of(j->cells, column, claims[claim].against), column);
}

/* ---- telling --------------------------------------------------------------------------------------- */

/* 1: the comparison says what the claim says, -1: the opposite, 0: neither. */
static int says(const struct judging *j, size_t i)
{
	const struct bench_pair *p = &j->pairs[i];
	int better = p->ratio > 1 ? j->items[i].direction : -j->items[i].direction;

	if (p->comparable != BENCH_COMPARED || !p->differs)
		return 0;
	return better == claims[j->items[i].claim].better ? 1 : -1;
}

static void put_item(const struct judging *j, size_t i, const struct item *before, FILE *out)
{
	const struct item *item = &j->items[i];
	const struct cells *c = j->cells;
	char a[FIGURE], b[FIGURE], ratio[FIGURE];

	if (!before || before->row != item->row || before->other != item->other)
		fprintf(out, "\n%s against %s: ", c->rows[item->row].id, c->rows[item->other].id);
	else
		fputs("; ", out);
	fprintf(out, "%s %s against %s %s in %s", item->column->name, figure_text(item->b, b), figure_text(item->a, a),
	        item->column->unit, c->workloads[item->workload]);
	if (j->pairs[i].comparable == BENCH_COMPARED && j->pairs[i].differs)
		fprintf(out, " (%s)", figure_ratio(j->pairs[i].ratio, ratio));
	else
		fputs(j->pairs[i].comparable == BENCH_COMPARED ? " (within noise)" : " (not judged)", out);
}

struct tally {
	size_t all, yes, no, judged;
};

static enum claim_verdict verdict_of(const struct tally *t)
{
	size_t same = t->judged - t->yes - t->no;

	if (!t->all)
		return CLAIM_UNKNOWN;
	if (!t->judged)
		return CLAIM_UNJUDGED;
	if (!t->yes && !t->no)
		return CLAIM_NO_DIFFERENCE;
	if (t->yes + t->no >= same && t->yes && t->no && t->yes >= MOSTLY * t->no)
		return CLAIM_MOSTLY_HOLDS;
	if (t->yes + t->no >= same && t->yes && t->no && t->no >= MOSTLY * t->yes)
		return CLAIM_MOSTLY_FAILS;
	if ((t->yes && t->no) || t->yes + t->no < same)
		return CLAIM_PARTLY;
	return t->yes ? CLAIM_HOLDS : CLAIM_FAILS;
}

static void put_unknown(const struct cells *c, const struct claim *claim, FILE *out)
{
	size_t row = claim->without_hardware ? hardware(c) : SIZE_MAX;

	if (row != SIZE_MAX)
		fprintf(out, "This host has hardware virtualization: %s ran on it.", c->rows[row].id);
	else if (claim->without_hardware)
		fprintf(out, "No row of mode %s and another one both have the same figure.",
		        claim->mode);
	else
		fprintf(out, "No row of mode %s and one that it is said to differ from have the same figure on the "
		             "same engine.", claim->mode);
}

static void count(const struct judging *j, size_t claim, struct tally *t)
{
	for (size_t i = 0; i < j->n; i++) {
		if (j->items[i].claim != claim)
			continue;
		t->all++;
		t->yes += says(j, i) > 0;
		t->no += says(j, i) < 0;
		t->judged += j->pairs[i].comparable == BENCH_COMPARED;
	}
}

static void put_claim(const struct judging *j, size_t claim, const struct tally *t, FILE *out)
{
	const struct item *before = NULL;
	size_t shown = 0;

	if (!t->all) {
		put_unknown(j->cells, &claims[claim], out);
		return;
	}
	if (t->judged)
		fprintf(out, "Of %zu comparison%s %zu say%s so, %zu the opposite, and %zu %s within noise.", t->judged,
		        t->judged == 1 ? "" : "s", t->yes, t->yes == 1 ? "s" : "", t->no, t->judged - t->yes - t->no,
		        t->judged - t->yes - t->no == 1 ? "is" : "are");
	else
		fputs("There are figures, of too few rounds to tell a difference from noise.", out);
	for (size_t i = 0; i < j->n && shown < SHOWN; i++) {
		if (j->items[i].claim != claim)
			continue;
		put_item(j, i, before, out);
		before = &j->items[i];
		shown++;
	}
	if (t->all > shown)
		fprintf(out, "\nand %zu more", t->all - shown);
}

static int put_result(const struct judging *j, size_t claim,
                      void (*put)(void *ctx, const struct claim_result *result), void *ctx)
{
	struct claim_result result = { .title = claims[claim].title };
	struct tally tally = { 0 };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -1;
	count(j, claim, &tally);
	put_claim(j, claim, &tally, out);
	if (fclose(out)) {
		free(text);
		return -1;
	}
	result.verdict = verdict_of(&tally);
	result.text = text;
	put(ctx, &result);
	free(text);
	return 0;
}

int claims_judge(const struct cells *c, void (*put)(void *ctx, const struct claim_result *result), void *ctx)
{
	struct judging j = { .cells = c };
	int rc;

	for (size_t claim = 0; claim < N_CLAIMS; claim++) {
		if (claims[claim].without_hardware)
			add_best(&j, claim);
		else
			add_same_engine(&j, claim);
	}
	rc = j.short_of_memory ? -1 : bench_differ(j.pairs, j.n);
	for (size_t claim = 0; claim < N_CLAIMS && !rc; claim++)
		rc = put_result(&j, claim, put, ctx);
	free(j.items);
	free(j.pairs);
	return rc;
}
