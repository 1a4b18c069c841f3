/* SPDX-License-Identifier: MIT */
/*
 * The matrix's file: which modes, engines and workloads, how often, and what
 * else to compare them with. Read and checked as a whole, like a domain file:
 * every problem with file, line, key and remedy, and nothing is begun before
 * all is well.
 */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <libconfig.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diag.h"
#include "preset.h"

#define PLAN_MAX        64 /* modes, workloads, peers: of each */
#define PLAN_ENGINES    2
#define PLAN_ROUNDS_MAX 1000

/* One mode: a preset, and what is changed of it. Strings are the file's, or constants. */
struct plan_mode {
	char name[64];
	const struct preset *preset;
	const char *axis[GAMUT_AXIS_COUNT]; /* NULL: the preset's */
	const char *engines[PLAN_ENGINES];  /* n_engines 0: the plan's */
	size_t n_engines;
	int64_t memory, vcpus;              /* 0: the plan's */
	const char *cmdline;                /* words more for the guest, or NULL */
	const config_setting_t *options, *bt, *sched; /* go into the domain file as they are; NULL: none */
	unsigned line;
	bool plain; /* a preset as it is */
};

struct plan_workload {
	const char *name;
	const char *kernel_text, *ramdisk_text; /* as written; NULL: the name's own, in plan.guests */
	char *kernel, *ramdisk; /* resolved; ramdisk may be NULL */
	const char *cmdline;    /* what the guest is told to do */
	bool linux_guest;       /* it takes console=... and the like */
	bool peer;              /* it talks to somebody on the host */
	int64_t repetitions, warmup; /* -1: the plan's */
	int64_t vcpus;               /* that it takes at least */
	int64_t timeout, seconds;    /* s; the second is a guess at how long it takes, for the time left */
	unsigned line;
};

enum plan_peer_kind { PEER_QEMU_TCG, PEER_QEMU_KVM, PEER_CSV };

struct plan_peer {
	const char *name;
	enum plan_peer_kind kind;
	bool microvm; /* QEMU's machine, else a PC */
	const char *csv_text;
	char *csv;    /* resolved */
	unsigned line;
};

/* What the command line has in place of the file's. */
struct plan_options {
	bool quick;
	int64_t repetitions;          /* 0: the file's */
	const char *rows, *workloads; /* "a,b"; NULL: all */
	const uint64_t *burn_ns;      /* by axis */
};

struct plan {
	const char *file; /* as shown */
	char *dir;        /* relative paths mean it */
	config_t cfg;
	bool quick;
	int64_t repetitions, warmup, memory, vcpus, timeout, disk;
	char *guests, *scratch; /* folders */
	const char *engines[PLAN_ENGINES];
	size_t n_engines;
	struct plan_mode modes[PLAN_MAX];
	size_t n_modes;
	struct plan_workload workloads[PLAN_MAX];
	size_t n_workloads;
	struct plan_peer peers[PLAN_MAX];
	size_t n_peers;
	uint64_t burn_ns[GAMUT_AXIS_COUNT];
};

/*
 * path NULL: the plan that is built in, which is conf/matrix.cfg. 0; or -1 with
 * errors in diag. To be destroyed in both cases.
 */
int plan_load(struct plan *plan, const char *path, const struct plan_options *options, struct diag *diag);
void plan_finish(struct plan *plan);

/* Adds a problem of the plan's file; always -1. */
int plan_error(const struct plan *plan, struct diag *diag, unsigned line, const char *fmt, ...) GAMUT_PRINTF(4, 5);

/* Whether a name is in "a,b"; NULL has all. */
bool plan_listed(const char *list, const char *name);

#endif
