/* SPDX-License-Identifier: MIT */
/*
 * Workloads of a Linux guest, measured from its user mode: one static program,
 * the same on the host and in every kind of guest. The lines that it prints are
 * core/bench/README.md's.
 *
 * A workload is an operation that can be done n times over. How many make a
 * batch is found out (n is doubled until a batch is long enough, which also warms
 * up caches and translators), and each batch is a sample.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a sample is told: the time of an operation, or the rate that it makes. */
enum unit { UNIT_NS, UNIT_US, UNIT_MS, UNIT_MB_S, UNIT_OPS_S };

struct workload {
	const char *name;
	enum unit unit;
	/* n operations. One that fails ends the workload: see give_up. */
	void (*run)(uint32_t n);
	uint32_t first;       /* operations to begin with; 0: 1 */
	uint32_t bytes;       /* of an operation, for UNIT_MB_S */
	uint32_t most;        /* operations in a batch; 0: any number */
	const char *(*begin)(void); /* why it cannot be had here, or NULL; may be NULL */
	void (*end)(void);    /* undoes a begin that went well; may be NULL */
	/* In place of all of these, for what is measured by another program. */
	void (*own)(const struct workload *w);
	const char *words;    /* for own */
};

/* One table for each file of them; its last has no name. */
extern const struct workload loop_workloads[], kernel_workloads[], process_workloads[], library_workloads[],
	compile_workloads[], disk_workloads[], net_workloads[];

struct effort {
	double batch_ns;  /* a batch takes at least so long */
	double budget_ns; /* no batch begins after so long, but for the least number */
	uint32_t least, batches;
	uint32_t disk_ms; /* of each job of fio's */
};

/* What was asked for on the command line. */
struct options {
	struct effort effort;
	const char *disk;              /* its device; NULL: there is none. All that is on it is lost. */
	const char *peer;              /* ADDRESS:PORT of the host's end (core/bench/peer-net.h); NULL: there is none */
	const char *const *names;      /* NULL: all */
	uint32_t n_names;
};
extern struct options options;

bool wanted(const char *name);
double now_ns(void);
void report(const char *name, enum unit unit, double *values, size_t n); /* sorts values */
void skip(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The workload that runs cannot go on: it is skipped, with this and what errno says (when it is not 0). */
_Noreturn void give_up(const char *what);

/* Starts a program with its output in a file, or thrown away; give_up unless it ends with status 0. */
void run_program(const char *const *argv, const char *output);

#endif
