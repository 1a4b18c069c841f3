/* SPDX-License-Identifier: MIT */
/*
 * A row of the matrix: a mode on an engine, which becomes a domain file, or
 * another program, which becomes its command line, or what was measured
 * elsewhere. Rows are looked at before anything runs: what this host cannot
 * run has the reason.
 */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "bench/plan.h"

enum row_kind { ROW_GAMUT, ROW_QEMU, ROW_IMPORTED };

struct row {
	char id[140];
	enum row_kind kind;
	const struct plan_mode *mode; /* ROW_GAMUT */
	const char *engine;
	const struct plan_peer *peer; /* the others */
	json_t *axes;                 /* as in the results file; NULL: not known */
	char *refused[PLAN_MAX];      /* by workload: why not; NULL: it runs */
	char *left_out;               /* no workload runs; NULL: some do */
};

struct rows {
	struct row *row;
	size_t n;
	char dir[96];          /* domain files, runtime folder; gone at the end */
	char *disk;            /* the scratch disk */
	const char *qemu;      /* found on PATH, or NULL */
	char qemu_version[64]; /* "7.2.0", or "" */
	unsigned peer_port;    /* of the host's end of a guest's connections; 0: none */
};

/*
 * All rows of the plan, those that `only` ("pvh/bt,pv"; NULL: all) names. Asks
 * the host. 0; -1 with errors in diag, for what is the plan's fault. To be
 * finished in both cases.
 */
int rows_init(struct rows *rows, const struct plan *plan, const char *only, struct diag *diag);
void rows_finish(struct rows *rows);

/* Makes the scratch disk, full of data, so that all rows have the same. 0 or -errno. */
int rows_make_disk(struct rows *rows, const struct plan *plan);

/*
 * What to run for a workload; for ROW_GAMUT writes the domain file. stats:
 * where it leaves its statistics, or "" when it has none. NULL: no memory, or
 * the file cannot be written.
 */
json_t *row_command(const struct rows *rows, const struct row *row, const struct plan *plan,
                    const struct plan_workload *w, char *stats, size_t stats_len);

/* The domain file of ROW_GAMUT. 0 or -1. */
int row_write_domain(const struct rows *rows, const struct row *row, const struct plan *plan,
                     const struct plan_workload *w, FILE *out);

int row_write_file(const struct rows *rows, const struct row *row, const struct plan *plan,
                   const struct plan_workload *w, const char *path);
/* The mode's choice on an axis. */
const char *row_choice(const struct plan_mode *m, enum gamut_axis axis);

/* row-check.c: fills in `refused`, `left_out` and `axes`; what no host could run is an error of the plan. */
void rows_check(struct rows *rows, const struct plan *plan, struct diag *diag);

/* The guest's memory in MiB. */
int64_t row_memory(const struct row *row, const struct plan *plan);
int64_t row_vcpus(const struct row *row, const struct plan *plan, const struct plan_workload *w);

/* row-qemu.c */
json_t *row_qemu_command(const struct rows *rows, const struct row *row, const struct plan *plan,
                         const struct plan_workload *w);
json_t *row_qemu_axes(const struct row *row);
/* Looks for the program and asks its version. */
void rows_find_qemu(struct rows *rows);
/* The words for a guest's kernel; to be freed. */
char *row_cmdline(const struct rows *rows, const struct row *row, const struct plan_workload *w, const char *console,
                  const char *more);

/* import.c: adds the rows of a CSV file to rows, and its runs to `runs`. */
int import_rows(struct rows *rows, const struct plan_peer *peer, const char *only, struct diag *diag);
int import_runs(json_t *runs, const struct plan_peer *peer, const struct rows *rows);

/* A row more; NULL: no memory. */
struct row *rows_add(struct rows *rows, enum row_kind kind, const char *id);
const char *row_kind_name(enum row_kind kind);

#endif
