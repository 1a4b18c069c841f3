/* SPDX-License-Identifier: MIT */
/*
 * A results file as what it is shown as: rows by columns, a cell for each,
 * with its samples and what can be said of them; and for each row and workload
 * how its runs went and where their time was spent. Table, report and
 * comparison are views of this and of nothing else.
 *
 * Strings are those of the document, which has to outlive the cells. They come
 * from guests and from a file that anybody may have written: whoever shows
 * them makes them harmless for where they are shown (figures.h, html.c).
 */
#ifndef BENCH_CELLS_H
#define BENCH_CELLS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "estimate.h"
#include "gamut/plugin.h"

/* The name under which a run's memory_overhead_mib is a column, where its guest or runner says none. */
#define CELLS_MEMORY "memory-overhead MiB"

struct cells_axis {
	const char *choice, *colour; /* "" where absent */
};

struct cells_row {
	const char *id, *mode, *engine, *kind; /* kind: "gamut", "qemu", "imported", or what the file says */
	struct cells_axis axes[GAMUT_AXIS_COUNT];
	const char *left_out;                  /* why; NULL: it was to run */
	const json_t *json;
};

struct cells_column {
	size_t workload;       /* index */
	const char *key;       /* "fork-exec ns" */
	char *name;            /* "fork-exec" */
	const char *unit;      /* in `key`; "" where it has none */
	int direction;         /* 1: the more the better, -1: the less, 0: not known */
	bool twin;             /* the same is there in ns: cycles that say it again, which only CSV shows */
	size_t leader;         /* the row with the best median of those that can be compared; SIZE_MAX: none */
	bool told_apart;       /* some row differs from the leader: `best` is worth showing */
};

struct cell {
	double *samples;          /* a median of each counted round, sorted */
	size_t n;
	double p25, p75;          /* within runs: medians of their quartiles; NAN where n is 0 */
	struct bench_estimate est;
	struct bench_pair leader; /* b: this cell, a: the leader's; not COMPARED for the leader itself */
	bool best;                /* the leader, or not different from it beyond noise */
	const char *skipped;      /* the guest's reason; NULL: none given */
};

struct account_axis {
	double exits, exit_ns, io_ns;
};

/* Medians over the counted runs. NAN: no run has it. */
struct account {
	double wall_ns, guest_ns, monitor_ns, idle_ns, runnable_ns, cpu_ns, exits, memory_mib;
	struct account_axis axes[GAMUT_AXIS_COUNT];
	double load, spin_ns, steal_ns;
};

/* A row's runs of one workload. */
struct attempt {
	const json_t **runs;      /* ok and no warm-up */
	size_t n, warmups, failed, interrupted, refused; /* refused: 1 in the place of runs, as this row cannot have them */
	const char *why;          /* of the last run that was not ok; NULL: none */
	struct account account;
};

struct cells {
	const json_t *results;
	struct cells_row *rows;
	struct cells_column *columns; /* of a workload side by side, in the workloads' order */
	const char **workloads;
	size_t n_rows, n_columns, n_workloads;
	struct cell *cells;           /* rows * columns */
	struct attempt *attempts;     /* rows * workloads */
	char **notes;                 /* what of the file could not be used */
	size_t n_notes;
};

/* 0; -1 with a message: the document is not a results file, or memory is short. */
int cells_init(struct cells *c, const json_t *results, char *err, size_t len);
/* Also after a failure, and for zeroes. */
void cells_finish(struct cells *c);

const struct cell *cells_at(const struct cells *c, size_t row, size_t column);
const struct attempt *cells_attempt(const struct cells *c, size_t row, size_t workload);
/* SIZE_MAX: none. */
size_t cells_find_row(const struct cells *c, const char *id);
size_t cells_find_workload(const struct cells *c, const char *id);
size_t cells_find_column(const struct cells *c, const char *workload, const char *key);

/* A member's text; "" where it is absent or something else. */
const char *cells_text(const json_t *object, const char *key);
/* A number by up to four names in each other, NULL ends them; NAN where there is none. */
double cells_number(const json_t *object, const char *const path[4]);

/* cells-best.c: each column's leader, and which cells are as good. -1: memory is short. */
int cells_find_best(struct cells *c);
/* account.c: of the runs of an attempt. -1: memory is short. */
int account_init(struct account *a, const json_t *const *runs, size_t n);

#endif
