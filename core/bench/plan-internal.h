/* SPDX-License-Identifier: MIT */
/* What the files of the plan's reader share; nobody else includes it. */
#ifndef BENCH_PLAN_INTERNAL_H
#define BENCH_PLAN_INTERNAL_H

#include "bench/plan.h"

/* A plan being read. */
struct plan_reader {
	struct plan *plan;
	const struct plan_options *options;
	struct diag *diag;
};

/* A key of a group: what it must be, and where it goes in the struct that the group describes. */
enum plan_type {
	PLAN_INT,    /* int64_t, from min to max */
	PLAN_TEXT,   /* const char *, the file's */
	PLAN_BOOL,   /* bool */
	PLAN_GROUP,  /* const config_setting_t * */
	PLAN_READER, /* read() does it */
};

struct plan_key {
	const char *name;
	enum plan_type type;
	size_t offset;
	int64_t min, max;
	void (*read)(struct plan_reader *r, const config_setting_t *s, void *into);
};

/* Reads a group's keys; what is none of them is an error with the nearest that is. `where` goes before keys: "quick.", "". */
void plan_read_keys(struct plan_reader *r, const config_setting_t *group, const char *where,
                    const struct plan_key *keys, size_t n, void *into);

int plan_complain(struct plan_reader *r, const config_setting_t *s, const char *fmt, ...) GAMUT_PRINTF(3, 4);
/* "X: there is no such KIND; did you mean ...? There are: ..." */
int plan_unknown(struct plan_reader *r, const config_setting_t *s, const char *what, const char *word,
                 const char *const *words, size_t n);
/* Whether a setting is a list ( ) or array [ ]; else an error. */
bool plan_is_list(struct plan_reader *r, const config_setting_t *s);
/* A word that can be part of a row's name. */
bool plan_word_ok(const char *word);
/* As seen from the plan's folder; to be freed. */
char *plan_resolve(const struct plan *plan, const char *path);

/* plan-lists.c: each replaces what is there. */
void plan_read_engines(struct plan_reader *r, const config_setting_t *s, void *into); /* into the plan */
void plan_read_modes(struct plan_reader *r, const config_setting_t *s, void *into);
void plan_read_peers(struct plan_reader *r, const config_setting_t *s, void *into);
/* plan-workloads.c */
void plan_read_workloads(struct plan_reader *r, const config_setting_t *s, void *into);
/* Paths of workloads and peers, once all else is known; what is missing is an error. */
void plan_resolve_files(struct plan_reader *r);
void plan_free_files(struct plan *plan);

#endif
